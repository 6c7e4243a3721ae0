//! A profile of an SSH key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::{RawValidity, callers, given, is_set, one_of};
use crate::caller::CallerName;
use crate::config::checks::integer;
use crate::config::section::{List, Number, Section, Text};
use crate::key::KeyPurpose;
use crate::policy::network::Network;
use crate::policy::pattern::Pattern;
use crate::policy::profile;
use crate::policy::ssh::value::ValueRule;
use crate::policy::ssh::{Bounds, MAX_PRINCIPALS, is_principal};
use crate::policy::subject_key::RSA_BITS;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Raw {
    callers: List,
    principals: List,
    max_principals: Number,
    key_id: List,
    subject_keys: List,
    min_rsa_bits: Number,
    max_lifetime: Text,
    min_lifetime: Text,
    backdating: Text,
    start_within: Text,
    extensions: List,
    extension_values: Option<BTreeMap<String, Spanned<Vec<Spanned<String>>>>>,
    require_critical_options: List,
}

/// `[key.NAME.allow.PROFILE.critical_options]`: all that PROTOCOL.certkeys defines.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct RawCriticalOptions {
    force_command: List,
    source_address: List,
    verify_required: Option<Spanned<bool>>,
}

/// Every subject key algorithm that the TBS parser knows; all but the last, RSA, are allowed by default.
const SUBJECT_KEYS: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    RSA,
];
const RSA: &str = "ssh-rsa";

/// The extensions of PROTOCOL.certkeys. Any other has a `name@domain`.
const EXTENSIONS: [&str; 6] = [
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// What would let a caller around a forced command.
const FORWARDING: [&str; 3] = ["permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding"];

const FORCE_COMMAND: &str = "force-command";

pub(super) fn read(
    purpose: Option<KeyPurpose>,
    section: &mut Section<'_, '_>,
) -> Option<(BTreeSet<CallerName>, profile::Bounds)> {
    let critical_options =
        section.child("critical_options").map_or(Some(BTreeMap::new()), |mut s| critical(&mut s));
    let raw: Raw = section.read();
    let required = section.list("require_critical_options", raw.require_critical_options, |name| {
        let allowed = critical_options.as_ref().is_none_or(|allowed| allowed.contains_key(&name));
        if allowed {
            Ok(name)
        } else {
            Err(format!("{name:?} is required, but critical_options does not allow it"))
        }
    });
    let extensions = extensions(raw.extensions, raw.extension_values.unwrap_or_default(), section);
    if let (Some(required), Some(extensions)) = (&required, &extensions) {
        refuse_forwarding(required, extensions, section);
    }
    if purpose == Some(KeyPurpose::SshHostCa) {
        refuse_options(critical_options.as_ref(), extensions.as_ref(), section);
    }
    let defaults = SUBJECT_KEYS.into_iter().filter(|algorithm| *algorithm != RSA).collect();
    let callers = callers(section, raw.callers);
    let principals = section.required_list("principals", raw.principals, principal_pattern);
    let max_principals = section.or("max_principals", raw.max_principals, 16, integer(1..=MAX_PRINCIPALS));
    let key_id = section.optional_list("key_id", raw.key_id, Pattern::new).map(given);
    let subject_keys = section
        .optional_list("subject_keys", raw.subject_keys, |text| {
            one_of(&SUBJECT_KEYS, "a subject key algorithm", &text)
        })
        .map(given);
    let min_rsa_bits = section.or("min_rsa_bits", raw.min_rsa_bits, 3072, integer(RSA_BITS));
    let validity = RawValidity {
        max_lifetime: raw.max_lifetime,
        min_lifetime: raw.min_lifetime,
        backdating: raw.backdating,
        start_within: raw.start_within,
    };
    let validity = validity.read(section);
    let bounds = Bounds {
        principals: principals?,
        max_principals: max_principals?,
        key_id: key_id?,
        subject_keys: subject_keys?.unwrap_or(defaults),
        min_rsa_bits: min_rsa_bits?,
        validity: validity?,
        critical_options: critical_options?,
        require_critical_options: required?,
        extensions: extensions?,
    };
    Some((callers?, profile::Bounds::Ssh(Box::new(bounds))))
}

/// Host certificates have no critical options and no extensions: PROTOCOL.certkeys defines none.
fn refuse_options(
    critical_options: Option<&BTreeMap<String, ValueRule>>,
    extensions: Option<&BTreeMap<String, ValueRule>>,
    section: &mut Section<'_, '_>,
) {
    if [critical_options, extensions].into_iter().flatten().any(|allowed| !allowed.is_empty()) {
        section.fault("allows extensions or critical options, but host certificates have none: delete them");
    }
}

/// A pattern that some principal could match.
fn principal_pattern(text: String) -> Result<Pattern, String> {
    if !is_principal(&text.replace('*', "x")) {
        return Err(format!(
            "{text:?} matches no principal: principals and patterns are made of A-Z a-z 0-9 . _ @ - + : / and *"
        ));
    }
    Pattern::new(text).map_err(|error| error.to_string())
}

fn critical(section: &mut Section<'_, '_>) -> Option<BTreeMap<String, ValueRule>> {
    let raw: RawCriticalOptions = section.read();
    let commands = section.optional_list(FORCE_COMMAND, raw.force_command, Pattern::new);
    let networks = section.optional_list("source-address", raw.source_address, |text| Network::parse(&text));
    let verify = is_set(raw.verify_required).then_some(ValueRule::Absent);
    let options = [
        (FORCE_COMMAND, given(commands?).map(ValueRule::Matching)),
        ("source-address", given(networks?).map(ValueRule::Within)),
        ("verify-required", verify),
    ];
    Some(options.into_iter().filter_map(|(name, rule)| Some((name.to_owned(), rule?))).collect())
}

/// Flags from `extensions`, and those with values from `extension_values`.
fn extensions(
    flags: List,
    values: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    section: &mut Section<'_, '_>,
) -> Option<BTreeMap<String, ValueRule>> {
    let flags = section.list("extensions", flags, extension);
    let count = values.len();
    let mut rules: BTreeMap<String, ValueRule> = BTreeMap::new();
    for (name, patterns) in values {
        let (at, span) = (format!("extension_values.{name}"), patterns.span());
        let patterns = section.required_list(&at, Some(patterns), Pattern::new);
        if !is_custom(&name) || flags.as_ref().is_some_and(|flags| flags.contains(&name)) {
            section.fault_at(
                &at,
                &span,
                "should be a name@domain that is not in `extensions`: the others have no value",
            );
        } else if let Some(patterns) = patterns {
            rules.insert(name, ValueRule::Matching(patterns));
        }
    }
    let complete = rules.len() == count;
    rules.extend(flags?.into_iter().map(|name| (name, ValueRule::Absent)));
    complete.then_some(rules)
}

fn extension(name: String) -> Result<String, String> {
    if EXTENSIONS.contains(&name.as_str()) || is_custom(&name) {
        return Ok(name);
    }
    Err(format!("{name:?} is not an extension; it is one of {}, or a name@domain", EXTENSIONS.join(", ")))
}

/// `name@domain` (PROTOCOL.certkeys: how vendors name their own).
fn is_custom(name: &str) -> bool {
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    name.split_once('@').is_some_and(|(name, domain)| is_word(name) && is_word(domain))
}

fn refuse_forwarding(
    required: &BTreeSet<String>,
    extensions: &BTreeMap<String, ValueRule>,
    section: &mut Section<'_, '_>,
) {
    let forwarding: Vec<_> = FORWARDING.into_iter().filter(|name| extensions.contains_key(*name)).collect();
    if required.contains(FORCE_COMMAND) && !forwarding.is_empty() {
        section.fault(format!(
            "requires {FORCE_COMMAND}, which {} would let a caller around: delete one or the other",
            forwarding.join(", ")
        ));
    }
}
