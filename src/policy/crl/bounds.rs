//! What a profile bounds in a CRL.
//!
//! In: a [`Case`]. Out: the first rule that objects. To add a rule, write one function, one line in [`RULES`] and one key in
//! `config/profile/crl.rs`; its name in [`RULES`] is that key.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use countersign_tbs::crl::{Scope, TbsCertList};

use super::number_step::Numbering;
use super::{Case, period, saw};
use crate::policy::canonical::{write_each, write_updates};
use crate::policy::format::{Bounded, Limits};
use crate::policy::listing::{self, ExtensionValues, write_extension_values};
use crate::policy::quote::listed;
use crate::policy::validity::UpdateBounds;
use crate::policy::{Reason, Verdict, object};

/// Every field bounds something; an empty set allows nothing.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Whether lists may be such that only add to another.
    pub(crate) delta: bool,
    /// Which certificates they may be about.
    pub(crate) scopes: Scopes,
    /// Where they may say that they are published.
    pub(crate) crl_urls: BTreeSet<String>,
    /// How many certificates may be revoked.
    pub(crate) max_entries: usize,
    /// How far their numbers may leap, and where they may begin; the ledger asks.
    pub(crate) numbering: Numbering,
    /// Extensions that are not known here, and the values that they may have.
    pub(crate) extension_values: ExtensionValues,
    /// When they are made, and when the next comes.
    pub(crate) updates: UpdateBounds,
}

/// The words of [`SCOPES`].
pub(crate) type Scopes = BTreeSet<&'static str>;

/// Which certificates a list can be about, as configuration says it.
pub(crate) const SCOPES: [&str; 3] = ["all", "user", "ca"];

/// The rules, in the order in which they are asked, each under the key of the configuration that sets it.
pub(super) const RULES: &[Bounded<TbsCertList>] = &[
    ("delta", saw::number, delta),
    ("scopes", saw::distribution_point, scopes),
    ("crl_urls", saw::distribution_point, crl_urls),
    ("max_entries", saw::entries, max_entries),
    ("extension_values", saw::extensions, extension_values),
    ("backdating", saw::beginning, backdating),
    ("start_within", saw::beginning, start_within),
    ("max_next_update", saw::updates, max_next_update),
];

pub(super) const fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "all",
        Scope::UserCertificates => "user",
        Scope::CaCertificates => "ca",
    }
}

fn delta(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    if tbs.delta_base().is_none() || limits.bounds.delta {
        return Ok(());
    }
    let message =
        format!("this is {}; profile {} allows complete lists only", saw::words(tbs), limits.profile);
    object(Reason::DeltaNotAllowed, message)
}

/// RFC 5280 §5.2.5: without issuingDistributionPoint a list is about all certificates.
fn scopes(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let scope = tbs.issuing_distribution_point().map_or(Scope::All, |point| point.scope);
    let (scope, allowed) = (scope_name(scope), &limits.bounds.scopes);
    if allowed.contains(scope) {
        return Ok(());
    }
    let message = format!(
        "the list is about {scope} certificates, which is not among those of profile {}: {}",
        limits.profile,
        listed(allowed.iter())
    );
    object(Reason::ScopeNotAllowed, message)
}

fn crl_urls(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let names = tbs.issuing_distribution_point().map_or(&[][..], |point| &point.full_name);
    listing::urls(limits.profile, "distribution point", names, &limits.bounds.crl_urls)
}

fn max_entries(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (count, limit) = (tbs.entry_count(), limits.bounds.max_entries);
    if count <= limit {
        return Ok(());
    }
    let message = format!(
        "there are {count} entries; profile {} allows {limit}: leave out what has expired, or have the signer's operator raise its \
         max_entries",
        limits.profile
    );
    object(Reason::EntriesAboveLimit, message)
}

fn extension_values(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    listing::extension_values(limits.profile, tbs.unknown_extensions(), &limits.bounds.extension_values)
}

fn backdating(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.updates.backdating(limits.profile, &period(case.tbs), case.now)
}

fn start_within(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.updates.start_within(limits.profile, &period(case.tbs), case.now)
}

fn max_next_update(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    limits.bounds.updates.max_next_update(limits.profile, &period(case.tbs), case.now)
}

impl Bounds {
    /// As the policy's digest covers them.
    pub(in crate::policy) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "signs crl")?;
        writeln!(out, "delta {}", self.delta)?;
        write_each(out, "scope", &self.scopes)?;
        write_each(out, "crl_url", &self.crl_urls)?;
        writeln!(out, "max_entries {}", self.max_entries)?;
        writeln!(out, "max_first_number {}", self.numbering.max_first)?;
        writeln!(out, "number_step {}", self.numbering.step)?;
        write_extension_values(out, &self.extension_values)?;
        write_updates(out, &self.updates)
    }
}
