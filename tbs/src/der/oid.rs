//! Object identifiers, and those that this crate knows.

use std::fmt;

/// An object identifier, as the contents octets of its DER.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Oid(Vec<u8>);

impl Oid {
    /// The longest that is taken, in contents octets.
    pub const MAX_LEN: usize = 63;

    /// From contents octets: base 128, no arc with a superfluous first octet, none at 2^128 or above.
    #[must_use]
    pub fn from_contents(contents: &[u8]) -> Option<Self> {
        if contents.is_empty() || contents.len() > Self::MAX_LEN {
            return None;
        }
        let mut arc: Option<u128> = None;
        for &octet in contents {
            if arc.is_none() && octet == 0x80 {
                return None;
            }
            let value = arc.unwrap_or(0).checked_mul(128)? | u128::from(octet & 0x7f);
            arc = (octet & 0x80 != 0).then_some(value);
        }
        arc.is_none().then(|| Self(contents.to_vec()))
    }

    /// From dotted decimal: `1.3.6.1.5.5.7.3.1`.
    #[must_use]
    pub fn from_dotted(text: &str) -> Option<Self> {
        let mut arcs = text.split('.').map(decimal);
        let (root, second) = (arcs.next()??, arcs.next()??);
        if root > 2 || (root < 2 && second > 39) {
            return None;
        }
        let mut contents = Vec::new();
        push_base_128(&mut contents, (root * 40).checked_add(second)?);
        for arc in arcs {
            push_base_128(&mut contents, arc?);
        }
        Self::from_contents(&contents)
    }

    /// The contents octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Oid {
    /// Dotted decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc: u128 = 0;
        let mut first = true;
        for &octet in &self.0 {
            arc = (arc << 7) | u128::from(octet & 0x7f);
            if octet & 0x80 != 0 {
                continue;
            }
            if first {
                let root = (arc / 40).min(2);
                write!(f, "{root}.{}", arc - root * 40)?;
            } else {
                write!(f, ".{arc}")?;
            }
            first = false;
            arc = 0;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// Digits without a sign or a superfluous zero.
fn decimal(text: &str) -> Option<u128> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

fn push_base_128(out: &mut Vec<u8>, arc: u128) {
    let septets = (128 - arc.leading_zeros()).div_ceil(7).max(1);
    for index in (0..septets).rev() {
        let [septet, ..] = ((arc >> (7 * index)) & 0x7f).to_le_bytes();
        out.push(if index == 0 { septet } else { 0x80 | septet });
    }
}

/// Contents octets of the identifiers that this crate knows, named as their standards name them.
pub mod oids {
    /// ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758).
    pub const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    /// ecdsa-with-SHA384, 1.2.840.10045.4.3.3.
    pub const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    /// ecdsa-with-SHA512, 1.2.840.10045.4.3.4.
    pub const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
    /// id-Ed25519, 1.3.101.112 (RFC 8410).
    pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    /// id-ml-dsa-44, 2.16.840.1.101.3.4.3.17 (RFC 9881).
    pub const ML_DSA_44: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11];
    /// id-ml-dsa-65, 2.16.840.1.101.3.4.3.18.
    pub const ML_DSA_65: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
    /// id-ml-dsa-87, 2.16.840.1.101.3.4.3.19.
    pub const ML_DSA_87: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13];
    /// sha256WithRSAEncryption, 1.2.840.113549.1.1.11 (RFC 4055).
    pub const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    /// sha384WithRSAEncryption, 1.2.840.113549.1.1.12.
    pub const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    /// sha512WithRSAEncryption, 1.2.840.113549.1.1.13.
    pub const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
    /// id-RSASSA-PSS, 1.2.840.113549.1.1.10.
    pub const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    /// id-mgf1, 1.2.840.113549.1.1.8.
    pub const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    /// id-sha1, 1.3.14.3.2.26: the name of a certificate in OCSP only.
    pub const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
    /// id-sha256, 2.16.840.1.101.3.4.2.1.
    pub const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    /// id-sha384, 2.16.840.1.101.3.4.2.2.
    pub const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    /// id-sha512, 2.16.840.1.101.3.4.2.3.
    pub const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

    /// id-at-commonName, 2.5.4.3 (RFC 5280 Appendix A), as are the next.
    pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    /// id-at-surname, 2.5.4.4.
    pub const SURNAME: &[u8] = &[0x55, 0x04, 0x04];
    /// id-at-serialNumber, 2.5.4.5.
    pub const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
    /// id-at-countryName, 2.5.4.6.
    pub const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
    /// id-at-localityName, 2.5.4.7.
    pub const LOCALITY: &[u8] = &[0x55, 0x04, 0x07];
    /// id-at-stateOrProvinceName, 2.5.4.8.
    pub const STATE: &[u8] = &[0x55, 0x04, 0x08];
    /// id-at-organizationName, 2.5.4.10.
    pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
    /// id-at-organizationalUnitName, 2.5.4.11.
    pub const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 0x04, 0x0b];
    /// id-at-title, 2.5.4.12.
    pub const TITLE: &[u8] = &[0x55, 0x04, 0x0c];
    /// id-at-givenName, 2.5.4.42.
    pub const GIVEN_NAME: &[u8] = &[0x55, 0x04, 0x2a];
    /// id-at-dnQualifier, 2.5.4.46.
    pub const DN_QUALIFIER: &[u8] = &[0x55, 0x04, 0x2e];
    /// domainComponent, 0.9.2342.19200300.100.1.25.
    pub const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];
    /// userid, 0.9.2342.19200300.100.1.1 (RFC 4519).
    pub const USER_ID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01];
    /// emailAddress, 1.2.840.113549.1.9.1.
    pub const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];

    /// id-ce-subjectKeyIdentifier, 2.5.29.14 (RFC 5280), as are the next.
    pub const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
    /// id-ce-keyUsage, 2.5.29.15.
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// id-ce-subjectAltName, 2.5.29.17.
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// id-ce-basicConstraints, 2.5.29.19.
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    /// id-ce-cRLNumber, 2.5.29.20.
    pub const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
    /// id-ce-cRLReasons, 2.5.29.21.
    pub const CRL_REASON: &[u8] = &[0x55, 0x1d, 0x15];
    /// id-ce-invalidityDate, 2.5.29.24.
    pub const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
    /// id-ce-deltaCRLIndicator, 2.5.29.27.
    pub const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 0x1b];
    /// id-ce-issuingDistributionPoint, 2.5.29.28.
    pub const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
    /// id-ce-nameConstraints, 2.5.29.30.
    pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
    /// id-ce-cRLDistributionPoints, 2.5.29.31.
    pub const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
    /// id-ce-certificatePolicies, 2.5.29.32.
    pub const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
    /// id-ce-authorityKeyIdentifier, 2.5.29.35.
    pub const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
    /// id-ce-extKeyUsage, 2.5.29.37.
    pub const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    /// id-pe-authorityInfoAccess, 1.3.6.1.5.5.7.1.1.
    pub const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
    /// id-pe-tlsfeature, 1.3.6.1.5.5.7.1.24 (RFC 7633).
    pub const TLS_FEATURE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x18];
    /// szOID_NTDS_CA_SECURITY_EXT, 1.3.6.1.4.1.311.25.2 ([MS-WCCE] §2.2.2.7.7.4).
    pub const NTDS_CA_SECURITY: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x19, 0x02];
    /// szOID_NTDS_OBJECTSID, 1.3.6.1.4.1.311.25.2.1.
    pub const NTDS_OBJECT_SID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x19, 0x02, 0x01];
    /// User principal name, 1.3.6.1.4.1.311.20.2.3.
    pub const USER_PRINCIPAL_NAME: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03];

    /// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1.
    pub const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    /// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2.
    pub const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    /// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3.
    pub const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
    /// id-kp-OCSPSigning, 1.3.6.1.5.5.7.3.9.
    pub const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
    /// Smart-card logon, 1.3.6.1.4.1.311.20.2.2.
    pub const SMART_CARD_LOGON: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x02];
    /// anyExtendedKeyUsage, 2.5.29.37.0.
    pub const ANY_EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
    /// Microsoft's Server Gated Crypto, which OpenSSL and others take for serverAuth.
    pub const MICROSOFT_SGC: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0a, 0x03, 0x03];
    /// Netscape's Server Gated Crypto, the same.
    pub const NETSCAPE_SGC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 0x04, 0x01];

    /// id-ad-ocsp, 1.3.6.1.5.5.7.48.1.
    pub const AD_OCSP: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
    /// id-ad-caIssuers, 1.3.6.1.5.5.7.48.2.
    pub const AD_CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
    /// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1 (RFC 6960).
    pub const OCSP_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
    /// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
    pub const OCSP_NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
    /// id-pkix-ocsp-nocheck, 1.3.6.1.5.5.7.48.1.5.
    pub const OCSP_NO_CHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];
    /// id-qt-cps, 1.3.6.1.5.5.7.2.1.
    pub const QT_CPS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x01];
    /// id-qt-unotice, 1.3.6.1.5.5.7.2.2.
    pub const QT_USER_NOTICE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x02, 0x02];
    /// extensionRequest (RFC 2985 §5.4.2).
    pub const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
}
