//! General names (RFC 5280 §4.2.1.6): what a certificate is for, and where things are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Name, ParseError, Rule};
use crate::der::{Reader, StringKind, Writer, oids, tag};

/// A general name of a kind that is signed here; its text has been checked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum GeneralName {
    /// dNSName: letters, digits and hyphens; `*` only as the whole first label.
    Dns(String),
    /// uniformResourceIdentifier: absolute (RFC 3986).
    Uri(String),
    /// rfc822Name: `local@domain`, in ASCII.
    Email(String),
    /// iPAddress.
    Ip(IpAddr),
    /// otherName with a user principal name, for smart-card logon.
    UserPrincipalName(String),
    /// directoryName.
    Directory(Name),
}

/// How long a name may be, in bytes.
const MAX_TEXT: usize = 2048;
/// RFC 1035 §2.3.4, without the root's label.
const MAX_DNS: usize = 253;

/// Context tags of the CHOICE.
const OTHER: u8 = tag::constructed(0);
const RFC822: u8 = tag::primitive(1);
const DNS: u8 = tag::primitive(2);
const DIRECTORY: u8 = tag::constructed(4);
const URI: u8 = tag::primitive(6);
const IP: u8 = tag::primitive(7);

impl GeneralName {
    /// The most names in one list.
    pub const MAX_NAMES: usize = 256;

    pub(crate) fn parse(r: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        match r.rest().first() {
            Some(&RFC822) => {
                checked_text(r, RFC822, field, MAX_TEXT, is_mailbox, Rule::Mailbox).map(Self::Email)
            }
            Some(&DNS) => checked_text(r, DNS, field, MAX_DNS, is_dns_pattern, Rule::DnsName).map(Self::Dns),
            Some(&URI) => checked_text(r, URI, field, MAX_TEXT, is_uri, Rule::Uri).map(Self::Uri),
            Some(&IP) => {
                let value = r.value(IP, field)?;
                ip_address(value.rest()).map(Self::Ip).ok_or_else(|| Rule::IpAddress.at(&value, field))
            }
            Some(&DIRECTORY) => r.nested(DIRECTORY, field, |r| Name::parse(r, field)).map(Self::Directory),
            Some(&OTHER) => r.nested(OTHER, field, |r| {
                other_name(r, oids::USER_PRINCIPAL_NAME, field, |r| {
                    Ok(r.text(tag::UTF8_STRING, StringKind::Utf8, field, MAX_TEXT)?.to_owned())
                })
                .map(Self::UserPrincipalName)
            }),
            _ => Err(Rule::GeneralNameKind.at(r, field)),
        }
    }

    /// One or more names under `tag`.
    pub(crate) fn parse_list(
        r: &mut Reader<'_>,
        tag: u8,
        field: &'static str,
    ) -> Result<Vec<Self>, ParseError> {
        r.list(tag, field, Self::MAX_NAMES, |r| Self::parse(r, field))
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::Email(text) => w.value(RFC822, text.as_bytes()),
            Self::Dns(text) => w.value(DNS, text.as_bytes()),
            Self::Uri(text) => w.value(URI, text.as_bytes()),
            Self::Ip(IpAddr::V4(address)) => w.value(IP, &address.octets()),
            Self::Ip(IpAddr::V6(address)) => w.value(IP, &address.octets()),
            Self::Directory(name) => w.nested(DIRECTORY, |w| name.write(w)),
            Self::UserPrincipalName(text) => w.nested(OTHER, |w| {
                write_other_name(w, oids::USER_PRINCIPAL_NAME, |w| w.text(StringKind::Utf8, text));
            }),
        }
    }

    pub(crate) fn write_list(names: &[Self], tag: u8, w: &mut Writer) {
        w.nested(tag, |w| names.iter().for_each(|name| name.write(w)));
    }
}

impl fmt::Display for GeneralName {
    /// `DNS:www.example.com`. Characters that could hide others are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) => write!(f, "DNS:{text}"),
            Self::Uri(text) => write!(f, "URI:{text}"),
            Self::Email(text) => write!(f, "email:{}", text.escape_debug()),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::UserPrincipalName(text) => write!(f, "UPN:{}", text.escape_default()),
            Self::Directory(name) => write!(f, "directory:{name}"),
        }
    }
}

/// The contents of an OtherName of type `oid`.
pub(super) fn other_name<T>(
    r: &mut Reader<'_>,
    oid: &[u8],
    field: &'static str,
    value: impl FnOnce(&mut Reader<'_>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let start = *r;
    if r.oid(field)?.as_bytes() != oid {
        return Err(Rule::GeneralNameKind.at(&start, field));
    }
    r.nested(tag::constructed(0), field, value)
}

pub(super) fn write_other_name(w: &mut Writer, oid: &[u8], value: impl FnOnce(&mut Writer)) {
    w.known_oid(oid);
    w.nested(tag::constructed(0), value);
}

pub(super) fn checked_text(
    r: &mut Reader<'_>,
    tag: u8,
    field: &'static str,
    max: usize,
    is_valid: impl FnOnce(&str) -> bool,
    rule: Rule,
) -> Result<String, ParseError> {
    let start = *r;
    let text = r.text(tag, StringKind::Ia5, field, max)?;
    if is_valid(text) { Ok(text.to_owned()) } else { Err(rule.at(&start, field)) }
}

/// Not of IPv4 within IPv6 (RFC 4291 §2.5.5.2): some verifiers compare `::ffff:10.0.0.1` as 10.0.0.1 (Go's `net.IP`), others do not.
fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into());
    let v6 = || {
        let address = Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?);
        address.to_ipv4_mapped().is_none().then_some(address.into())
    };
    v4().or_else(v6)
}

/// The preferred name syntax of RFC 1034 §3.5, as RFC 1123 §2.1 relaxes it, without a final dot.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= MAX_DNS && text.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_dns_pattern(text: &str) -> bool {
    is_dns_name(text.strip_prefix("*.").unwrap_or(text))
}

/// RFC 5321 §4.1.2 with a dot-string before the `@`: no quoting, no address literal.
pub(super) fn is_mailbox(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        let is_atom = |atom: &str| {
            let extra = b"!#$%&'*+-/=?^_`{|}~";
            !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
        };
        local.len() <= 64 && local.split('.').all(is_atom) && is_dns_name(domain)
    })
}

/// `scheme:something`, of RFC 3986's characters, each `%` before two hexadecimal digits.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let in_set =
        rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte));
    let mut escapes = rest.split('%').skip(1);
    let is_escaped = escapes.all(
        |after| matches!(after.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
    );
    is_scheme && !rest.is_empty() && in_set && is_escaped
}
