//! What a certificate is for: what each kind must have and may have, whatever its profile says.

use countersign_tbs::der::oids;
use countersign_tbs::x509::{BasicConstraints, ExtensionValue, GeneralName};
use countersign_tbs::x509::{KeyUsage, TbsCertificate};

use crate::caller::CallerName;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum CertificateKind {
    /// A TLS server: DNS names and addresses, at least one.
    TlsServer,
    /// A TLS client.
    TlsClient,
    /// Both ends of mutual TLS, by its SPIFFE ID: exactly one URI (X.509-SVID §2).
    MtlsService,
    /// Logging in with a smart card: exactly one user principal name, and the account's security identifier.
    SmartCardLogon,
    /// Signing code: a subject, and no other names.
    CodeSigning,
    /// A delegated OCSP responder (RFC 6960 §4.2.2.2).
    OcspResponder,
    /// A CA below this one.
    IntermediateCa,
}

/// The purposes of which one makes a TLS server of a certificate's owner, to some verifiers.
pub(crate) const SERVES: [&[u8]; 3] = [oids::SERVER_AUTH, oids::MICROSOFT_SGC, oids::NETSCAPE_SGC];

/// Whether verifiers may take `tbs` for a TLS server's certificate: it says so, or it says nothing, and is no CA's.
pub(super) fn serves(tbs: &TbsCertificate) -> bool {
    let found = tbs.ext_key_usage();
    let makes_server = |purpose: &[u8]| SERVES.contains(&purpose) || purpose == oids::ANY_EXT_KEY_USAGE;
    let is_ca = matches!(tbs.basic_constraints(), Some(BasicConstraints::Ca { .. }));
    !is_ca && (found.is_empty() || found.iter().any(|purpose| makes_server(purpose.as_bytes())))
}

/// Whether it has the account's security identifier.
pub(super) fn has_sid(tbs: &TbsCertificate) -> bool {
    let is_sid = |value: &ExtensionValue| matches!(value, ExtensionValue::SecurityIdentifier(_));
    tbs.extensions().iter().any(|extension| is_sid(&extension.value))
}

impl CertificateKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::TlsServer,
        Self::TlsClient,
        Self::MtlsService,
        Self::SmartCardLogon,
        Self::CodeSigning,
        Self::OcspResponder,
        Self::IntermediateCa,
    ];

    /// The word in configuration: `tls-server`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TlsServer => "tls-server",
            Self::TlsClient => "tls-client",
            Self::MtlsService => "mtls-service",
            Self::SmartCardLogon => "smart-card-logon",
            Self::CodeSigning => "code-signing",
            Self::OcspResponder => "ocsp-responder",
            Self::IntermediateCa => "intermediate-ca",
        }
    }

    /// The purposes that extKeyUsage must have, and all that it may have unless the profile says more.
    pub(crate) const fn purposes(self) -> &'static [&'static [u8]] {
        match self {
            Self::TlsServer => &[oids::SERVER_AUTH],
            Self::TlsClient => &[oids::CLIENT_AUTH],
            Self::MtlsService => &[oids::CLIENT_AUTH, oids::SERVER_AUTH],
            Self::SmartCardLogon => &[oids::CLIENT_AUTH, oids::SMART_CARD_LOGON],
            Self::CodeSigning => &[oids::CODE_SIGNING],
            Self::OcspResponder => &[oids::OCSP_SIGNING],
            Self::IntermediateCa => &[],
        }
    }

    /// Whether the certificate may be a TLS server's, or of a CA that certifies some.
    pub(crate) fn may_serve(self) -> bool {
        self == Self::IntermediateCa || self.purposes().iter().any(|purpose| SERVES.contains(purpose))
    }

    /// What keyUsage must have.
    pub(crate) const fn required_usage(self) -> KeyUsage {
        match self {
            Self::IntermediateCa => KeyUsage::KEY_CERT_SIGN,
            _ => KeyUsage::DIGITAL_SIGNATURE,
        }
    }

    /// What keyUsage may have, unless the profile says otherwise.
    pub(crate) fn default_usage(self) -> KeyUsage {
        match self {
            Self::IntermediateCa => {
                KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN | KeyUsage::DIGITAL_SIGNATURE
            }
            // RSA key exchange, which TLS 1.2 still has.
            Self::TlsServer => KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
            _ => KeyUsage::DIGITAL_SIGNATURE,
        }
    }

    /// What `tbs` lacks to be of this kind, or has too much.
    pub(super) fn lack(self, tbs: &TbsCertificate) -> Option<&'static str> {
        let is_ca = matches!(tbs.basic_constraints(), Some(BasicConstraints::Ca { .. }));
        let names = tbs.subject_alt_names();
        let says_so = |value: &ExtensionValue| matches!(value, ExtensionValue::OcspNoCheck);
        let unchecked = tbs.extensions().iter().any(|extension| says_so(&extension.value));
        match self {
            Self::OcspResponder if is_ca => Some("it is a CA's"),
            Self::OcspResponder if !unchecked => {
                Some("it lacks id-pkix-ocsp-nocheck: who would answer for the responder?")
            }
            Self::OcspResponder => (!names.is_empty()).then_some("it has a subjectAltName"),
            _ if unchecked => Some("it has id-pkix-ocsp-nocheck, which is for OCSP responders alone"),
            Self::IntermediateCa if !is_ca => Some("basicConstraints does not say that it is a CA's"),
            Self::IntermediateCa if tbs.subject().is_empty() => Some("a CA has a subject"),
            Self::IntermediateCa if tbs.subject_key_id().is_none() => Some("a CA has a subjectKeyIdentifier"),
            Self::IntermediateCa if !names.is_empty() => Some("it has a subjectAltName"),
            Self::IntermediateCa => None,
            _ if is_ca => Some("it is a CA's"),
            Self::TlsServer => Self::lack_of_server(names),
            Self::MtlsService => Self::lack_of_service(names),
            Self::SmartCardLogon => Self::lack_of_smart_card(tbs, names),
            Self::CodeSigning if !names.is_empty() => Some("it has a subjectAltName"),
            Self::TlsClient | Self::CodeSigning => None,
        }
    }

    fn lack_of_server(names: &[GeneralName]) -> Option<&'static str> {
        let is_server = |name: &GeneralName| matches!(name, GeneralName::Dns(_) | GeneralName::Ip(_));
        if !names.iter().any(is_server) {
            return Some("it has no DNS name and no IP address");
        }
        (!names.iter().all(is_server)).then_some("it has a name that is no DNS name and no IP address")
    }

    fn lack_of_service(names: &[GeneralName]) -> Option<&'static str> {
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::Uri(uri) => Some(uri.as_str()),
            _ => None,
        });
        let is_id = |uri: &str| uri.starts_with("spiffe://") && CallerName::parse(uri).is_ok();
        match (uris.next(), uris.next()) {
            (Some(uri), None) if is_id(uri) => None,
            (Some(_), None) => Some("its URI is no SPIFFE ID of a workload"),
            _ => Some("it does not have exactly one URI, its SPIFFE ID"),
        }
    }

    fn lack_of_smart_card(tbs: &TbsCertificate, names: &[GeneralName]) -> Option<&'static str> {
        let principals =
            names.iter().filter(|name| matches!(name, GeneralName::UserPrincipalName(_))).count();
        if principals != 1 {
            return Some("it does not have exactly one user principal name");
        }
        (!has_sid(tbs)).then_some("it lacks the account's security identifier (1.3.6.1.4.1.311.25.2)")
    }
}
