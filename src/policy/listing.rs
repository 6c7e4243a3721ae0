//! What a profile lists exactly, in every format of X.509: places to look at, and extensions that nobody here knows.
//!
//! In: what the TBS has, and what the profile lists. Out: an objection, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_tbs::der::Oid;
use countersign_tbs::x509::GeneralName;

use crate::policy::canonical::write_each;
use crate::policy::quote::{hex, listed, quoted};
use crate::policy::{Reason, Verdict, object};

/// Extensions that are not known here, and the values that they may have.
pub(crate) type ExtensionValues = BTreeMap<Oid, BTreeSet<Vec<u8>>>;

/// Every one of `names` is a URI of `urls`.
pub(super) fn urls<'a>(
    profile: &str,
    noun: &str,
    names: impl IntoIterator<Item = &'a GeneralName>,
    urls: &BTreeSet<String>,
) -> Verdict {
    let is_listed = |name: &GeneralName| matches!(name, GeneralName::Uri(uri) if urls.contains(uri));
    match names.into_iter().find(|name| !is_listed(name)) {
        None => Ok(()),
        Some(bad) => url_not_allowed(profile, noun, bad),
    }
}

/// The refusal of a place that no profile, or not this one, lists.
pub(super) fn url_not_allowed(profile: &str, noun: &str, bad: &GeneralName) -> Verdict {
    let bad = quoted(&bad.to_string());
    object(Reason::UrlNotAllowed, format!("{noun} {bad} is not among those of profile {profile}"))
}

/// Extensions that are not known here, by name and value; none is critical, or the parser had refused it.
pub(super) fn extension_values<'a>(
    profile: &str,
    found: impl IntoIterator<Item = (&'a Oid, &'a [u8])>,
    allowed: &ExtensionValues,
) -> Verdict {
    for (oid, value) in found {
        let Some(values) = allowed.get(oid) else {
            let allowed = listed(allowed.keys());
            let message = format!("extension {oid} is not among those of profile {profile}: {allowed}");
            return object(Reason::ExtensionNotAllowed, message);
        };
        if !values.contains(value) {
            let message = format!("extension {oid} has a value that profile {profile} does not allow");
            return object(Reason::ExtensionValueNotAllowed, message);
        }
    }
    Ok(())
}

/// As the policy's digest covers them.
pub(super) fn write_extension_values(out: &mut String, allowed: &ExtensionValues) -> fmt::Result {
    allowed.iter().try_for_each(|(oid, values)| {
        write_each(out, &format!("extension_value {oid}"), values.iter().map(|value| hex(value)))
    })
}
