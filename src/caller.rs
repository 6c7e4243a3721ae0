//! Who is calling: the identity that TLS or the kernel vouches for.
//!
//! In: a client certificate that rustls has verified, or a Unix socket's peer credentials. Out: [`Caller`], which only
//! this module builds. Nothing that the request itself says counts. A [`CallerName`] is only the text of an identity,
//! as configuration writes it: it proves nothing.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

use crate::key::UnixTime;

#[cfg(test)]
mod tests;

/// `id-at-commonName` (RFC 5280 appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What a caller is called: `spiffe://…`, `dns:NAME`, `cn:NAME` or `uid:NUMBER`, in the one spelling of each.
///
/// Policy lists these and the ledger records them. A name proves nothing; a [`Caller`] does.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallerName(String);

/// Not a [`CallerName`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCaller {
    /// None of the four kinds.
    #[error("{0:?} is no caller: write spiffe://TRUST-DOMAIN/PATH, dns:NAME, cn:NAME or uid:NUMBER")]
    Kind(String),
    /// A SPIFFE ID that SPIFFE-ID §2 does not allow, or one without a path.
    #[error(
        "{0:?} is no SPIFFE ID of a workload: a trust domain of a-z, 0-9, '.', '-' and '_', then a path of segments of \
         A-Z, a-z, 0-9, '.', '-' and '_', at most 2048 bytes, no trailing slash"
    )]
    Spiffe(String),
    /// Not a host name in lower case.
    #[error(
        "{0:?} is no DNS name: labels of a-z, 0-9 and '-', at most 253 bytes, no wildcard, no trailing dot"
    )]
    Dns(String),
    /// A common name with a character that has no place in a rule or a log line.
    #[error("{0:?} is no common name: 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-', '+' and '@'")]
    CommonName(String),
    /// Not a user id.
    #[error("{0:?} is no user id: a decimal number below 2^32, without leading zeros")]
    UserId(String),
}

/// An authenticated caller: somebody else than the caller vouches for its [`CallerName`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    name: CallerName,
    /// The last second in which the certificate is valid; none for a user id.
    expires: Option<UnixTime>,
}

/// Why a verified client certificate names no caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallerError {
    /// X.509 that webpki takes and a strict DER parser does not.
    #[error("the client certificate is not strict DER")]
    Malformed,
    /// X.509-SVID §2: an SVID with more than one URI must be rejected.
    #[error("the client certificate has a SPIFFE ID and another URI; issue it with the SPIFFE ID only")]
    ManyUris,
    /// Which of them is meant, and which of them policy allows, would be anybody's guess.
    #[error("the client certificate has {0} DNS names; issue it with one, or with a SPIFFE ID")]
    ManyDnsNames(usize),
    /// As for DNS names.
    #[error(
        "the client certificate has {0} common names; issue it with one, or with a SPIFFE ID or a DNS name"
    )]
    ManyCommonNames(usize),
    /// Nothing to go by.
    #[error("the client certificate has no SPIFFE ID, no DNS name and no common name")]
    Nameless,
    /// The name is not one that policy could list.
    #[error("the client certificate names its holder wrongly: {0}")]
    Name(#[from] InvalidCaller),
}

impl CallerName {
    /// Reads what configuration says: exactly the text that a [`Caller`] of this name shows.
    ///
    /// # Errors
    /// [`InvalidCaller`] if no caller can be called this.
    pub fn parse(text: &str) -> Result<Self, InvalidCaller> {
        match text.split_once(':') {
            Some(("spiffe", _)) => Self::spiffe(text),
            Some(("dns", name)) => Self::dns(name),
            Some(("cn", name)) => Self::common_name(name),
            Some(("uid", number)) => Self::user_id(number),
            _ => Err(InvalidCaller::Kind(text.to_owned())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn spiffe(id: &str) -> Result<Self, InvalidCaller> {
        let wrong = || InvalidCaller::Spiffe(id.to_owned());
        let rest = id.strip_prefix("spiffe://").ok_or_else(wrong)?;
        let (domain, path) = rest.split_once('/').ok_or_else(wrong)?;
        let domain_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        let path_char = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(path_char);
        let is_id = id.len() <= 2048
            && (1..=255).contains(&domain.len())
            && domain.chars().all(domain_char)
            && path.split('/').all(is_segment);
        if is_id { Ok(Self(id.to_owned())) } else { Err(wrong()) }
    }

    fn dns(name: &str) -> Result<Self, InvalidCaller> {
        let label_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(label_char)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        if is_name { Ok(Self(format!("dns:{name}"))) } else { Err(InvalidCaller::Dns(name.to_owned())) }
    }

    fn common_name(name: &str) -> Result<Self, InvalidCaller> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
        let is_name = (1..=64).contains(&name.len()) && name.chars().all(allowed);
        if is_name { Ok(Self(format!("cn:{name}"))) } else { Err(InvalidCaller::CommonName(name.to_owned())) }
    }

    fn user_id(text: &str) -> Result<Self, InvalidCaller> {
        let name = text.parse::<u32>().map(|uid| Self(format!("uid:{uid}")));
        // Printed again, so that "+7" and "007" are not other spellings of 7.
        name.ok()
            .filter(|name| name.0.strip_prefix("uid:") == Some(text))
            .ok_or_else(|| InvalidCaller::UserId(text.to_owned()))
    }

    /// What a signer calls the holder of a client certificate. That somebody has one proves nothing.
    ///
    /// # Errors
    /// As [`Caller::from_certificate`].
    pub(crate) fn in_certificate(certificate: &CertificateDer<'_>) -> Result<Self, CallerError> {
        holder(&Certificate::from_der(certificate).map_err(|_| CallerError::Malformed)?)
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Caller {
    /// The holder of a client certificate that rustls has verified: pass nothing else.
    ///
    /// The name is the SPIFFE ID if there is one, else the one DNS name in lower case, else the one common name. Kinds
    /// do not mix: a certificate whose better name is ambiguous is refused, rather than taken for its lesser one.
    ///
    /// # Errors
    /// [`CallerError`] if the certificate names nobody, or more than one.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, CallerError> {
        let certificate = Certificate::from_der(certificate).map_err(|_| CallerError::Malformed)?;
        let expires = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
        Ok(Self { name: holder(&certificate)?, expires: Some(UnixTime(expires)) })
    }

    /// A user of this host, as the kernel names the peer of a Unix socket: pass nothing else.
    #[must_use]
    pub fn from_uid(uid: u32) -> Self {
        Self { name: CallerName(format!("uid:{uid}")), expires: None }
    }

    /// What the caller is called.
    #[must_use]
    pub fn name(&self) -> &CallerName {
        &self.name
    }

    /// The name as text, which is what the ledger records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// Whether the caller's certificate has run out at `now`.
    ///
    /// TLS asks this once per connection; a connection may outlive the certificate, so each request asks again
    /// (field-notes R27). `notAfter` itself is still valid (RFC 5280 §4.1.2.5).
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires < now)
    }

    /// A caller that nobody vouches for.
    #[cfg(test)]
    #[expect(clippy::expect_used, reason = "tests")]
    pub(crate) fn for_test(name: &str) -> Self {
        Self { name: CallerName::parse(name).expect("a caller's name"), expires: None }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// The certificate's SPIFFE ID. URIs of other schemes are no names of callers.
fn holder(certificate: &Certificate) -> Result<CallerName, CallerError> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|_| CallerError::Malformed)?;
    let names = names.map_or_else(Vec::new, |(_critical, names)| names.0);
    match (spiffe_id(&names)?, dns_name(&names)?) {
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => common_name(certificate),
    }
}

fn spiffe_id(names: &[GeneralName]) -> Result<Option<CallerName>, CallerError> {
    let uris: Vec<&str> = names.iter().filter_map(uri).collect();
    let is_spiffe =
        |uri: &&str| uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("spiffe"));
    match (uris.iter().any(is_spiffe), uris.as_slice()) {
        (false, _) => Ok(None),
        (true, [id]) => Ok(Some(CallerName::spiffe(id)?)),
        (true, _) => Err(CallerError::ManyUris),
    }
}

fn dns_name(names: &[GeneralName]) -> Result<Option<CallerName>, CallerError> {
    let found: Vec<&str> = names.iter().filter_map(dns).collect();
    match found.as_slice() {
        [] => Ok(None),
        [name] => Ok(Some(CallerName::dns(&name.to_ascii_lowercase())?)),
        many => Err(CallerError::ManyDnsNames(many.len())),
    }
}

fn common_name(certificate: &Certificate) -> Result<CallerName, CallerError> {
    let subject = certificate.tbs_certificate().subject();
    let found: Vec<_> = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME).collect();
    match found.as_slice() {
        [] => Err(CallerError::Nameless),
        [name] => {
            let name: DirectoryString = name.value.decode_as().map_err(|_| CallerError::Malformed)?;
            Ok(CallerName::common_name(&name.value())?)
        }
        many => Err(CallerError::ManyCommonNames(many.len())),
    }
}

fn uri(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    }
}

fn dns(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    }
}
