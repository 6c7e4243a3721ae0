//! A profile of an X.509 key for certificates of one kind.

use std::collections::{BTreeMap, BTreeSet};

use countersign_tbs::der::{Oid, oids};
use countersign_tbs::x509::{Attribute, GeneralName, KeyUsage, NameConstraints, Subtree};
use serde::Deserialize;
use toml::Spanned;

use super::{RawValidity, callers, given, is_set, one_of};
use crate::caller::CallerName;
use crate::config::checks::integer;
use crate::config::section::{List, Number, Section, Text};
use crate::policy::listing::ExtensionValues;
use crate::policy::network::Network;
use crate::policy::pattern::Pattern;
use crate::policy::subject_key::RSA_BITS;
use crate::policy::x509::{Bounds, CertificateKind, DEFAULT_SUBJECT_KEYS, NameBounds, SERVES, SUBJECT_KEYS};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Raw {
    callers: List,
    subject_keys: List,
    min_rsa_bits: Number,
    key_usage: List,
    ext_key_usage: List,
    max_path_length: Number,
    permitted_names: List,
    excluded_names: List,
    unconstrained: Option<Spanned<bool>>,
    max_names: Number,
    dns_names: List,
    wildcard_dns_names: List,
    ip_addresses: List,
    email_addresses: List,
    uris: List,
    user_principal_names: List,
    security_identifiers: List,
    upn_without_sid: Option<Spanned<bool>>,
    policies: List,
    crl_urls: List,
    ocsp_urls: List,
    ca_issuers_urls: List,
    must_staple: Option<Spanned<bool>>,
    max_lifetime: Text,
    min_lifetime: Text,
    backdating: Text,
    start_within: Text,
}

pub(super) fn read(
    kind: CertificateKind,
    section: &mut Section<'_, '_>,
) -> Option<(BTreeSet<CallerName>, Bounds)> {
    let subject = section.child("subject").map_or(Some(BTreeMap::new()), |mut table| subject(&mut table));
    let extension_values = extension_values(section);
    let mut raw: Raw = section.read();
    let callers = callers(section, raw.callers.take());
    let subject_keys = section
        .optional_list("subject_keys", raw.subject_keys.take(), |text| {
            one_of(&SUBJECT_KEYS, "a subject key algorithm", &text)
        })
        .map(given);
    let defaults = DEFAULT_SUBJECT_KEYS.into_iter().collect();
    let min_rsa_bits = section.or("min_rsa_bits", raw.min_rsa_bits.take(), 3072, integer(RSA_BITS));
    let key_usage = key_usage(kind, raw.key_usage.take(), section);
    let ext_key_usage = ext_key_usage(kind, raw.ext_key_usage.take(), section);
    let max_path_length = max_path_length(kind, raw.max_path_length.take(), section);
    let name_constraints = name_constraints(kind, &mut raw, section);
    let names = names(kind, subject, &mut raw, section);
    let policies = section.list("policies", raw.policies, |text| oid(&text));
    let crl_urls = section.list("crl_urls", raw.crl_urls, url);
    let ocsp_urls = section.list("ocsp_urls", raw.ocsp_urls, url);
    let ca_issuers_urls = section.list("ca_issuers_urls", raw.ca_issuers_urls, url);
    let validity = RawValidity {
        max_lifetime: raw.max_lifetime,
        min_lifetime: raw.min_lifetime,
        backdating: raw.backdating,
        start_within: raw.start_within,
    };
    let validity = validity.read(section);
    let bounds = Bounds {
        signs: kind,
        subject_keys: subject_keys?.unwrap_or(defaults),
        min_rsa_bits: min_rsa_bits?,
        key_usage: key_usage?,
        ext_key_usage: ext_key_usage?,
        max_path_length: max_path_length?,
        name_constraints: name_constraints?,
        names: names?,
        policies: policies?,
        crl_urls: crl_urls?,
        ocsp_urls: ocsp_urls?,
        ca_issuers_urls: ca_issuers_urls?,
        must_staple: is_set(raw.must_staple),
        extension_values: extension_values?,
        validity: validity?,
    };
    Some((callers?, bounds))
}

/// The table of subject attributes: each label with its patterns.
pub(super) fn subject(table: &mut Section<'_, '_>) -> Option<BTreeMap<&'static str, BTreeSet<Pattern>>> {
    let labels: Vec<&'static str> = Attribute::labels().collect();
    lists(table, Pattern::new, |text| one_of(&labels, "an attribute of a subject", text))
}

/// The table `extension_values`, which may be missing.
pub(super) fn extension_values(section: &mut Section<'_, '_>) -> Option<ExtensionValues> {
    section.child("extension_values").map_or(Some(ExtensionValues::new()), |mut table| values(&mut table))
}

/// The table of extensions that are not known here: each identifier with its values, as hexadecimal DER.
fn values(table: &mut Section<'_, '_>) -> Option<ExtensionValues> {
    lists(table, |text| hex(&text), oid)
}

/// A table of lists, none empty.
fn lists<K: Ord, V: Ord, E: std::fmt::Display>(
    table: &mut Section<'_, '_>,
    mut value: impl FnMut(String) -> Result<V, E>,
    key: impl Fn(&str) -> Result<K, String>,
) -> Option<BTreeMap<K, BTreeSet<V>>> {
    let raw: BTreeMap<String, Spanned<Vec<Spanned<String>>>> = table.read();
    let (count, mut checked) = (raw.len(), BTreeMap::new());
    for (name, list) in raw {
        let span = list.span();
        let list = table.required_list(&name, Some(list), &mut value);
        match key(&name) {
            Err(error) => table.fault_at(&name, &span, error),
            Ok(key) => checked.extend(list.map(|list| (key, list))),
        }
    }
    (checked.len() == count).then_some(checked)
}

fn key_usage(kind: CertificateKind, raw: List, section: &mut Section<'_, '_>) -> Option<KeyUsage> {
    let span = raw.as_ref().map(Spanned::span);
    let listed = section.optional_list("key_usage", raw, |text| {
        let names = KeyUsage::NAMED.map(|(_, name)| name);
        one_of(&names, "a key usage", &text)
    })?;
    let bits = KeyUsage::NAMED.into_iter().filter(|(_, name)| listed.contains(name)).map(|(bit, _)| bit);
    let allowed = bits.reduce(|all, bit| all | bit).unwrap_or_else(|| kind.default_usage());
    if allowed.contains(kind.required_usage()) {
        return Some(allowed);
    }
    let message =
        format!("lacks {}, which every certificate of kind {} has", kind.required_usage(), kind.name());
    section.fault_at("key_usage", &span.unwrap_or_default(), message);
    None
}

fn ext_key_usage(kind: CertificateKind, raw: List, section: &mut Section<'_, '_>) -> Option<BTreeSet<Oid>> {
    let more = section.list("ext_key_usage", raw, |text| match oid(&text)? {
        any if any.as_bytes() == oids::ANY_EXT_KEY_USAGE => {
            Err("anyExtendedKeyUsage allows everything; list what is meant".to_owned())
        }
        // RFC 6960 §4.2.2.2: whoever has it answers for the CA that issued this, also a CA that was to certify responders.
        responder if responder.as_bytes() == oids::OCSP_SIGNING && kind != CertificateKind::OcspResponder => {
            Err("OCSPSigning makes a responder of this CA; have one signed by a profile for \"ocsp-responder\"".to_owned())
        }
        // A logon certificate without a security identifier is anybody's who has the name. A CA for logon is another matter.
        logon if logon.as_bytes() == oids::SMART_CARD_LOGON
            && !matches!(kind, CertificateKind::SmartCardLogon | CertificateKind::IntermediateCa) =>
        {
            let why = "smart-card logon wants a security identifier; have it signed by a profile for \"smart-card-logon\"";
            Err(why.to_owned())
        }
        // A server's names are bounded by the kinds that are for servers; of others, the common name could be anybody's.
        server if SERVES.contains(&server.as_bytes()) && !kind.may_serve() => {
            let why = "this purpose makes a TLS server of whoever has it; have it signed by a profile for \"tls-server\" or \"mtls-service\"";
            Err(why.to_owned())
        }
        oid => Ok(oid),
    })?;
    let own = kind.purposes().iter().filter_map(|purpose| Oid::from_contents(purpose));
    Some(own.chain(more).collect())
}

fn max_path_length(kind: CertificateKind, raw: Number, section: &mut Section<'_, '_>) -> Option<u16> {
    let length = match (kind, raw) {
        (CertificateKind::IntermediateCa, raw) => section.required("max_path_length", raw, integer(0..=16)),
        (_, raw) => section.or("max_path_length", raw, 0, |_| {
            Err::<usize, _>("is for profiles that sign \"intermediate-ca\": delete it")
        }),
    };
    length.and_then(|length| u16::try_from(length).ok())
}

/// A CA is constrained, or the file says that it is not: then, and for all else, they are empty.
fn name_constraints(
    kind: CertificateKind,
    raw: &mut Raw,
    section: &mut Section<'_, '_>,
) -> Option<NameConstraints> {
    let subtree = |text: String| {
        Subtree::from_text(&text).map(|subtree| Named(text.clone(), subtree)).ok_or_else(|| {
            format!("{text:?} is no subtree such as \"dns:example.org\", \"email:example.org\" or \"ip:10.0.0.0/8\"")
        })
    };
    let permitted = section.list("permitted_names", raw.permitted_names.take(), subtree);
    let excluded = section.list("excluded_names", raw.excluded_names.take(), subtree);
    let (permitted, excluded) = (permitted?, excluded?);
    let constrained = !permitted.is_empty() || !excluded.is_empty();
    let fault = match (kind, constrained, is_set(raw.unconstrained.take())) {
        (CertificateKind::IntermediateCa, false, false) => {
            "has no permitted_names: list what the CA may certify, or say `unconstrained = true`"
        }
        (CertificateKind::IntermediateCa, true, true) => {
            "has name constraints and `unconstrained`: delete one"
        }
        (CertificateKind::IntermediateCa, ..) | (_, false, false) => {
            let subtrees = |set: BTreeSet<Named>| set.into_iter().map(|Named(_, subtree)| subtree).collect();
            let found = NameConstraints { permitted: subtrees(permitted), excluded: subtrees(excluded) };
            match left_open(&found).filter(|_| constrained) {
                None => return Some(found),
                Some(fault) => fault,
            }
        }
        _ => "has name constraints, which are for profiles that sign \"intermediate-ca\": delete them",
    };
    section.fault(fault);
    None
}

/// What a server is verified by, and these do not bound: a kind of name that is not in the list is free (RFC 5280 §4.2.1.10).
fn left_open(NameConstraints { permitted, excluded }: &NameConstraints) -> Option<&'static str> {
    let excludes = |text| Subtree::from_text(text).is_some_and(|all| excluded.contains(&all));
    if !permitted.iter().any(|subtree| matches!(subtree, Subtree::Dns(_))) && !excludes("dns:") {
        return Some(
            "lets the CA certify every DNS name: list some in permitted_names, or \"dns:\" in excluded_names",
        );
    }
    let no_address = excludes("ip:0.0.0.0/0") && excludes("ip:::/0");
    (!permitted.iter().any(|subtree| matches!(subtree, Subtree::Ip(_))) && !no_address).then_some(
        "lets the CA certify every IP address: list some in permitted_names, or \"ip:0.0.0.0/0\" and \"ip:::/0\" in \
         excluded_names",
    )
}

/// A subtree, sorted by how it is written.
#[derive(Eq, PartialEq)]
struct Named(String, Subtree);

impl Ord for Named {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Whom a certificate may be for; somebody, or the profile is of no use.
fn names(
    kind: CertificateKind,
    subject: Option<BTreeMap<&'static str, BTreeSet<Pattern>>>,
    raw: &mut Raw,
    section: &mut Section<'_, '_>,
) -> Option<NameBounds> {
    let max_names = section.or("max_names", raw.max_names.take(), 16, integer(1..=GeneralName::MAX_NAMES));
    let dns = section.list("dns_names", raw.dns_names.take(), |text| pattern(&text, |name| Some(name)));
    let wildcard_dns = section.list("wildcard_dns_names", raw.wildcard_dns_names.take(), wildcard);
    let ip = section.list("ip_addresses", raw.ip_addresses.take(), |text| Network::parse(&text));
    let email = section.list("email_addresses", raw.email_addresses.take(), |text| {
        pattern(&text, |address| Some(address.rsplit_once('@')?.1))
    });
    let uri = section.list("uris", raw.uris.take(), Pattern::new);
    let user_principal = section.list("user_principal_names", raw.user_principal_names.take(), Pattern::new);
    let security_identifiers =
        section.list("security_identifiers", raw.security_identifiers.take(), Pattern::new);
    let names = NameBounds {
        subject: subject?,
        dns: dns?,
        wildcard_dns: wildcard_dns?,
        ip: ip?,
        email: email?,
        uri: uri?,
        user_principal: user_principal?,
        security_identifiers: security_identifiers?,
        upn_without_sid: is_set(raw.upn_without_sid.take()),
        max_names: max_names?,
    };
    if let Some(missing) = missing(kind, &names) {
        section.fault(format!("allows no certificate of kind {}: add {missing}", kind.name()));
        return None;
    }
    if let Some(fault) = loosely_bound(kind, &names) {
        section.fault(fault);
        return None;
    }
    Some(names)
}

/// What a profile of this kind cannot do without.
fn missing(kind: CertificateKind, names: &NameBounds) -> Option<&'static str> {
    let no_server = names.dns.is_empty() && names.wildcard_dns.is_empty() && names.ip.is_empty();
    let nobody =
        no_server && names.email.is_empty() && names.uri.is_empty() && names.user_principal.is_empty();
    match kind {
        CertificateKind::TlsServer if no_server => Some("dns_names, wildcard_dns_names or ip_addresses"),
        CertificateKind::TlsClient if nobody && names.subject.is_empty() => {
            Some("dns_names, uris or a subject")
        }
        CertificateKind::MtlsService if names.uri.is_empty() => Some("uris, with a SPIFFE ID"),
        CertificateKind::SmartCardLogon if names.user_principal.is_empty() => Some("user_principal_names"),
        CertificateKind::SmartCardLogon if names.security_identifiers.is_empty() => {
            Some("security_identifiers")
        }
        CertificateKind::CodeSigning | CertificateKind::OcspResponder | CertificateKind::IntermediateCa
            if names.subject.is_empty() =>
        {
            Some("a table `subject`")
        }
        _ => None,
    }
}

/// That names of accounts are bound to none, without the file saying so; or that it says so where it means nothing.
fn loosely_bound(kind: CertificateKind, names: &NameBounds) -> Option<&'static str> {
    let has_principals = !names.user_principal.is_empty();
    match (names.upn_without_sid, kind) {
        (true, CertificateKind::SmartCardLogon) => {
            Some("has `upn_without_sid`, but smart-card logon wants the security identifier: delete it")
        }
        (true, _) if !has_principals => Some("has `upn_without_sid`, but no user_principal_names: delete it"),
        (false, _) if has_principals && names.security_identifiers.is_empty() => Some(
            "allows user principal names and no security identifier, so that a domain controller guesses whose account it is: list \
             security_identifiers, or say `upn_without_sid = true`",
        ),
        _ => None,
    }
}

/// A pattern for names whose domain is at this place in them. No domain with capital letters is signed (`built-in.name_case`).
fn pattern(text: &str, domain: impl FnOnce(&str) -> Option<&str>) -> Result<Pattern, String> {
    small(domain(text).unwrap_or_default(), text)?;
    Pattern::new(text).map_err(|error| error.to_string())
}

fn small(domain: &str, text: &str) -> Result<(), String> {
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "{text:?} matches nothing: no domain with capital letters is signed; write it in small ones"
        ));
    }
    Ok(())
}

fn wildcard(text: String) -> Result<String, String> {
    small(&text, &text)?;
    let is_wildcard =
        text.strip_prefix("*.").is_some_and(|domain| CallerName::parse(&format!("dns:{domain}")).is_ok());
    if is_wildcard {
        Ok(text)
    } else {
        Err(format!("{text:?} is no wildcard name such as \"*.example.org\""))
    }
}

fn oid(text: &str) -> Result<Oid, String> {
    Oid::from_dotted(text).ok_or_else(|| {
        format!("{text:?} is no object identifier in dotted decimal, such as \"1.3.6.1.5.5.7.3.1\"")
    })
}

/// As it is to be in the certificate: no pattern.
pub(super) fn url(text: String) -> Result<String, String> {
    let is_url = ["http://", "https://", "ldap://"].iter().any(|scheme| text.starts_with(scheme))
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_url { Ok(text) } else { Err(format!("{text:?} is no URL of http, https or ldap")) }
}

fn hex(text: &str) -> Result<Vec<u8>, &'static str> {
    let wrong = "is not DER in hexadecimal, such as \"0500\"";
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    // `from_str_radix` alone would take `+5`.
    if pairs.is_empty() || !rest.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong);
    }
    let byte = |pair: &[u8; 2]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    pairs.iter().map(|pair| byte(pair).ok_or(wrong)).collect()
}
