//! The names in a certificate: its subject, and its alternative names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;

use countersign_tbs::der::oids;
use countersign_tbs::x509::{Attribute, ExtensionValue, GeneralName, TbsCertificate};

use super::kind::{has_sid, serves};
use super::{Bounds, Case, unmatched};
use crate::policy::canonical::write_each;
use crate::policy::format::Limits;
use crate::policy::network::Network;
use crate::policy::pattern::{Pattern, any_matches};
use crate::policy::quote::{listed, quoted};
use crate::policy::{Reason, Verdict, object};

/// Which names a certificate may have. An empty set allows none.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameBounds {
    /// By the attribute's label, such as `CN` (RFC 4514 §3).
    pub(crate) subject: BTreeMap<&'static str, BTreeSet<Pattern>>,
    pub(crate) dns: BTreeSet<Pattern>,
    /// Each as it is: `*.apps.example.org`.
    pub(crate) wildcard_dns: BTreeSet<String>,
    pub(crate) ip: BTreeSet<Network>,
    pub(crate) email: BTreeSet<Pattern>,
    pub(crate) uri: BTreeSet<Pattern>,
    pub(crate) user_principal: BTreeSet<Pattern>,
    pub(crate) security_identifiers: BTreeSet<Pattern>,
    /// Whether there may be a user principal name where there is no security identifier.
    pub(crate) upn_without_sid: bool,
    /// How many alternative names.
    pub(crate) max_names: usize,
}

impl NameBounds {
    pub(super) fn canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "max_names {}", self.max_names)?;
        for (label, patterns) in &self.subject {
            write_each(out, &format!("subject {label}"), patterns)?;
        }
        write_each(out, "dns_name", &self.dns)?;
        write_each(out, "wildcard_dns_name", &self.wildcard_dns)?;
        write_each(out, "ip_address", &self.ip)?;
        write_each(out, "email_address", &self.email)?;
        write_each(out, "uri", &self.uri)?;
        write_each(out, "user_principal_name", &self.user_principal)?;
        write_each(out, "security_identifier", &self.security_identifiers)?;
        writeln!(out, "upn_without_sid {}", self.upn_without_sid)
    }
}

pub(super) fn subject(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let allowed = &limits.bounds.names.subject;
    for attribute in tbs.subject().attributes() {
        let label = attribute.label().map_or_else(|| attribute.oid().to_string(), str::to_owned);
        let Some(patterns) = allowed.get(label.as_str()) else {
            let allowed = listed(allowed.keys());
            let message = format!(
                "the subject has attribute {label}, which is not among those of profile {}: {allowed}",
                limits.profile
            );
            return object(Reason::SubjectNotAllowed, message);
        };
        if !any_matches(patterns, attribute.value()) {
            return refused(
                limits,
                Reason::SubjectNotAllowed,
                &format!("subject {label}"),
                attribute.value(),
                patterns,
            );
        }
    }
    common_name_is_a_name(tbs)
}

/// RFC 6125 §6.4.4: a client that finds no DNS name may go by the common name, so a server has none but its own. The certificate
/// says whether it is one, whatever its profile is for.
fn common_name_is_a_name(tbs: &TbsCertificate) -> Verdict {
    if !serves(tbs) {
        return Ok(());
    }
    let is_name = |common_name: &str| {
        tbs.subject_alt_names().iter().any(|name| match name {
            GeneralName::Dns(dns) => dns == common_name,
            GeneralName::Ip(address) => address.to_string() == common_name,
            _ => false,
        })
    };
    let common_names =
        tbs.subject().attributes().filter(|attribute| attribute.oid().as_bytes() == oids::COMMON_NAME);
    match common_names.map(Attribute::value).find(|value| !is_name(value)) {
        None => Ok(()),
        Some(bad) => object(
            Reason::SubjectNotAllowed,
            format!("subject CN {} is none of the certificate's DNS names and IP addresses", quoted(bad)),
        ),
    }
}

pub(super) fn max_names(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let (count, limit) = (tbs.subject_alt_names().len(), limits.bounds.names.max_names);
    if count <= limit {
        return Ok(());
    }
    let message = format!("there are {count} alternative names; profile {} allows {limit}", limits.profile);
    object(Reason::NamesAboveLimit, message)
}

/// A wildcard is another rule's: no pattern matches it.
pub(super) fn dns_names(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let exact = dns(case.tbs).filter(|name| !name.starts_with('*'));
    matching(limits, "DNS name", exact, &limits.bounds.names.dns)
}

pub(super) fn wildcard_dns_names(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let allowed = &limits.bounds.names.wildcard_dns;
    let mut wildcards = dns(case.tbs).filter(|name| name.starts_with('*'));
    match wildcards.find(|name| !allowed.contains(*name)) {
        None => Ok(()),
        Some(bad) => refused(limits, Reason::NameNotAllowed, "wildcard DNS name", bad, allowed),
    }
}

pub(super) fn ip_addresses(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let allowed = &limits.bounds.names.ip;
    let is_allowed = |address: &IpAddr| {
        Network::parse(&address.to_string())
            .is_ok_and(|one| allowed.iter().any(|network| one.is_within(*network)))
    };
    let mut addresses = tbs.subject_alt_names().iter().filter_map(|name| match name {
        GeneralName::Ip(address) => Some(*address),
        _ => None,
    });
    match addresses.find(|address| !is_allowed(address)) {
        None => Ok(()),
        Some(bad) => refused(limits, Reason::NameNotAllowed, "IP address", &bad.to_string(), allowed),
    }
}

pub(super) fn email_addresses(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let emails = of_kind(case.tbs, |name| match name {
        GeneralName::Email(email) => Some(email),
        _ => None,
    });
    matching(limits, "email address", emails, &limits.bounds.names.email)
}

pub(super) fn uris(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let uris = of_kind(case.tbs, |name| match name {
        GeneralName::Uri(uri) => Some(uri),
        _ => None,
    });
    matching(limits, "URI", uris, &limits.bounds.names.uri)
}

pub(super) fn user_principal_names(limits: &Limits<'_, Bounds>, case: &Case<'_>) -> Verdict {
    let allowed = &limits.bounds.names.user_principal;
    matching(limits, "user principal name", user_principals(case.tbs), allowed)
}

/// A domain controller takes a client's certificate for a login, too, and guesses the account from the name where there is no
/// security identifier (CVE-2022-26923).
pub(super) fn upn_without_sid(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let may_be = limits.bounds.names.upn_without_sid || has_sid(tbs);
    match user_principals(tbs).next().filter(|_| !may_be) {
        None => Ok(()),
        Some(name) => {
            let (name, profile) = (quoted(name), limits.profile);
            let message = format!(
                "user principal name {name} is without the account's security identifier (1.3.6.1.4.1.311.25.2), which profile {profile} \
                 wants beside it"
            );
            object(Reason::NameNotAllowed, message)
        }
    }
}

fn user_principals(tbs: &TbsCertificate) -> impl Iterator<Item = &str> {
    of_kind(tbs, |name| match name {
        GeneralName::UserPrincipalName(principal) => Some(principal),
        _ => None,
    })
}

pub(super) fn security_identifiers(limits: &Limits<'_, Bounds>, Case { tbs, .. }: &Case<'_>) -> Verdict {
    let identifiers = tbs.extensions().iter().filter_map(|extension| match &extension.value {
        ExtensionValue::SecurityIdentifier(identifier) => Some(identifier.as_str()),
        _ => None,
    });
    matching(limits, "security identifier", identifiers, &limits.bounds.names.security_identifiers)
}

/// No profile can allow a directory name: nothing here would bound it.
pub(super) fn directory_name(tbs: &TbsCertificate) -> Option<&GeneralName> {
    tbs.subject_alt_names().iter().find(|name| matches!(name, GeneralName::Directory(_)))
}

fn dns(tbs: &TbsCertificate) -> impl Iterator<Item = &str> {
    of_kind(tbs, |name| match name {
        GeneralName::Dns(name) => Some(name),
        _ => None,
    })
}

fn of_kind<'a>(
    tbs: &'a TbsCertificate,
    pick: impl Fn(&'a GeneralName) -> Option<&'a String>,
) -> impl Iterator<Item = &'a str> {
    tbs.subject_alt_names().iter().filter_map(pick).map(String::as_str)
}

fn matching<'a>(
    limits: &Limits<'_, Bounds>,
    noun: &str,
    values: impl IntoIterator<Item = &'a str>,
    allowed: &BTreeSet<Pattern>,
) -> Verdict {
    match unmatched(values, allowed) {
        None => Ok(()),
        Some(bad) => refused(limits, Reason::NameNotAllowed, noun, bad, allowed),
    }
}

fn refused<T: ToString>(
    limits: &Limits<'_, Bounds>,
    reason: Reason,
    noun: &str,
    bad: &str,
    allowed: &BTreeSet<T>,
) -> Verdict {
    let (bad, allowed) =
        (quoted(bad), listed(allowed.iter().map(ToString::to_string).collect::<Vec<_>>().iter()));
    object(reason, format!("{noun} {bad} is not among those of profile {}: {allowed}", limits.profile))
}
