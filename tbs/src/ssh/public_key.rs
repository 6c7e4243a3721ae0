//! Public keys in SSH: the wire form (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, PROTOCOL.u2f), lines, fingerprints.
//!
//! In: a key blob, a line of `authorized_keys`, or the key fields inside a certificate. Out: a [`SubjectKey`], or a
//! [`PublicKey`] where a security key will not do. Promised: one key, one encoding; a certificate is never taken for a key.

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use super::wire::{Reader, excerpt, put_mpint, put_string};
use super::{APPLICATION_MAX_LEN, CertificateTbs, KeyRole, ParseError};
use crate::key::{Curve, EcPoint, KeyError, ParameterSet, PublicKey, RsaPublicKey};

/// The key that a certificate is for. Never itself a certificate.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SubjectKey {
    /// A key in software, a smart card or an agent.
    Plain(PublicKey),
    /// An Ed25519 key on a FIDO authenticator.
    SkEd25519 {
        /// As in [`PublicKey::Ed25519`].
        key: [u8; 32],
        /// The FIDO relying party, usually `ssh:`; 1 to 256 bytes without control characters.
        application: String,
    },
    /// An ECDSA key on a FIDO authenticator.
    SkEcdsaP256 {
        /// A point on P-256.
        point: EcPoint,
        /// The FIDO relying party, usually `ssh:`; 1 to 256 bytes without control characters.
        application: String,
    },
}

/// A key type; all but the last can be certified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Algorithm {
    Ed25519,
    Ecdsa(Curve),
    Rsa,
    SkEd25519,
    SkEcdsaP256,
    /// SSH has no name for it: what is written with the standard's own nobody reads, this crate's parser included.
    MlDsa(ParameterSet),
}

impl Algorithm {
    /// Those that SSH has.
    const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::Ecdsa(Curve::P256),
        Self::Ecdsa(Curve::P384),
        Self::Ecdsa(Curve::P521),
        Self::Rsa,
        Self::SkEd25519,
        Self::SkEcdsaP256,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256",
            Self::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384",
            Self::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::MlDsa(parameters) => parameters.name(),
        }
    }

    /// The type of a certificate for such a key.
    pub(super) const fn certificate_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            Self::Rsa => "ssh-rsa-cert-v01@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::MlDsa(parameters) => parameters.name(),
        }
    }

    pub(super) fn from_certificate_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.certificate_name().as_bytes() == name)
    }

    fn from_name(role: KeyRole, name: &[u8]) -> Result<Self, ParseError> {
        if let Some(algorithm) = Self::ALL.into_iter().find(|algorithm| algorithm.name().as_bytes() == name) {
            return Ok(algorithm);
        }
        let name_excerpt = excerpt(name);
        Err(match role {
            KeyRole::Subject if is_certificate_name(name) => {
                ParseError::SubjectIsCertificate { name: name_excerpt }
            }
            KeyRole::Ca if is_certificate_name(name) => ParseError::CaKeyIsCertificate { name: name_excerpt },
            KeyRole::Subject | KeyRole::Ca => ParseError::KeyTypeUnknown { role, name: name_excerpt },
        })
    }

    /// Reads the fields that follow the type: the same in a key blob and, after the nonce, in a certificate.
    pub(super) fn read_key(self, role: KeyRole, reader: &mut Reader<'_>) -> Result<SubjectKey, ParseError> {
        Ok(match self {
            Self::Ed25519 => SubjectKey::Plain(PublicKey::Ed25519(read_ed25519(role, reader)?)),
            Self::Ecdsa(curve) => {
                SubjectKey::Plain(PublicKey::Ecdsa(read_point(role, self.name(), curve, reader)?))
            }
            Self::Rsa => SubjectKey::Plain(PublicKey::Rsa(read_rsa(role, reader)?)),
            Self::SkEd25519 => SubjectKey::SkEd25519 {
                key: read_ed25519(role, reader)?,
                application: read_application(reader)?,
            },
            Self::SkEcdsaP256 => SubjectKey::SkEcdsaP256 {
                point: read_point(role, self.name(), Curve::P256, reader)?,
                application: read_application(reader)?,
            },
            Self::MlDsa(parameters) => {
                return Err(ParseError::KeyTypeUnknown { role, name: parameters.name().to_owned() });
            }
        })
    }
}

/// Whether `name` is a certificate's type, of a version and key type known or not.
pub(super) fn is_certificate_name(name: &[u8]) -> bool {
    name.ends_with(b"@openssh.com") && name.windows(7).any(|part| part == b"-cert-v")
}

fn read_ed25519(role: KeyRole, reader: &mut Reader<'_>) -> Result<[u8; 32], ParseError> {
    let key = reader.string("Ed25519 key")?;
    let wrong_length = |_| ParseError::KeyInvalid { role, source: KeyError::Ed25519Length(key.len()) };
    key.try_into().map_err(wrong_length)
}

fn read_point(
    role: KeyRole,
    algorithm: &'static str,
    curve: Curve,
    reader: &mut Reader<'_>,
) -> Result<EcPoint, ParseError> {
    let named = reader.string("curve's name")?;
    if named != curve.ssh_name().as_bytes() {
        return Err(ParseError::KeyCurveMismatch { role, algorithm, curve: excerpt(named) });
    }
    let point = reader.string("curve point")?;
    EcPoint::new(curve, point.to_vec()).map_err(|source| ParseError::KeyInvalid { role, source })
}

fn read_rsa(role: KeyRole, reader: &mut Reader<'_>) -> Result<RsaPublicKey, ParseError> {
    let exponent = reader.mpint("RSA exponent")?;
    let modulus = reader.mpint("RSA modulus")?;
    RsaPublicKey::new(modulus.to_vec(), exponent.to_vec())
        .map_err(|source| ParseError::KeyInvalid { role, source })
}

fn read_application(reader: &mut Reader<'_>) -> Result<String, ParseError> {
    let application = reader.string("security key's application")?;
    str::from_utf8(application)
        .ok()
        .filter(|text| (1..=APPLICATION_MAX_LEN).contains(&text.len()) && !text.contains(char::is_control))
        .map(str::to_owned)
        .ok_or(ParseError::ApplicationInvalid)
}

impl SubjectKey {
    /// The key's type: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, `sk-ssh-ed25519@openssh.com` and so on.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.kind().name()
    }

    /// Reads a key blob that is all of `wire`.
    ///
    /// # Errors
    /// [`ParseError`]; [`ParseError::SubjectIsCertificate`] for a certificate.
    pub fn from_wire(wire: &[u8]) -> Result<Self, ParseError> {
        read_blob(KeyRole::Subject, wire)
    }

    /// Reads `TYPE BASE64 [COMMENT]`, the content of a `.pub` file or a line of `authorized_keys` without options.
    ///
    /// # Errors
    /// [`ParseError`]; [`ParseError::SubjectIsCertificate`] for a certificate.
    pub fn from_openssh_line(line: &str) -> Result<Self, ParseError> {
        if line.len() > CertificateTbs::MAX_LEN {
            return Err(ParseError::TooLarge { len: line.len(), limit: CertificateTbs::MAX_LEN });
        }
        let line = line.trim_ascii();
        let mut words = line.split_ascii_whitespace();
        let (Some(name), false) = (words.next(), line.contains(['\r', '\n'])) else {
            return Err(ParseError::LineIncomplete);
        };
        let is_known = |word: &str| Algorithm::from_name(KeyRole::Subject, word.as_bytes()).is_ok();
        let algorithm = match Algorithm::from_name(KeyRole::Subject, name.as_bytes()) {
            Err(ParseError::KeyTypeUnknown { .. }) if words.clone().any(is_known) => {
                return Err(ParseError::LineHasOptions);
            }
            result => result?,
        };
        let base64 = words.next().ok_or(ParseError::LineIncomplete)?;
        let wire = Base64::decode_vec(base64).map_err(|_| ParseError::LineNotBase64)?;
        let key = Self::from_wire(&wire)?;
        if key.kind() == algorithm {
            Ok(key)
        } else {
            Err(ParseError::LineTypeMismatch { line: algorithm.name(), key: key.algorithm() })
        }
    }

    /// The key blob.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, self.algorithm().as_bytes());
        self.put_fields(&mut out);
        out
    }

    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Plain(key) => key.fingerprint(),
            Self::SkEd25519 { .. } | Self::SkEcdsaP256 { .. } => fingerprint(&self.to_wire()),
        }
    }

    pub(super) fn kind(&self) -> Algorithm {
        match self {
            Self::Plain(key) => kind(key),
            Self::SkEd25519 { .. } => Algorithm::SkEd25519,
            Self::SkEcdsaP256 { .. } => Algorithm::SkEcdsaP256,
        }
    }

    /// Writes the fields that [`Algorithm::read_key`] reads.
    pub(super) fn put_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(key) => put_plain_fields(out, key),
            Self::SkEd25519 { key, application } => {
                put_string(out, key);
                put_string(out, application.as_bytes());
            }
            Self::SkEcdsaP256 { point, application } => {
                put_point(out, point);
                put_string(out, application.as_bytes());
            }
        }
    }
}

impl PublicKey {
    /// The key's type in SSH: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa` and so on; `ML-DSA-44` and so on for what SSH does
    /// not have.
    #[must_use]
    pub fn ssh_algorithm(&self) -> &'static str {
        kind(self).name()
    }

    /// The SSH key blob; `None` for ML-DSA, which SSH does not have.
    #[must_use]
    pub fn to_ssh_wire(&self) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(_) | Self::Ecdsa(_) | Self::Rsa(_) => Some(self.blob()),
            Self::MlDsa(_) => None,
        }
    }

    /// The key blob, or what looks like one.
    pub(super) fn blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, self.ssh_algorithm().as_bytes());
        put_plain_fields(&mut out, self);
        out
    }

    /// Reads an SSH key blob that is all of `wire`, as that of a CA key.
    ///
    /// # Errors
    /// [`ParseError`]; [`ParseError::CaKeyIsCertificate`] for a certificate, [`ParseError::CaKeyIsSecurityKey`] for a
    /// FIDO key.
    pub fn from_ssh_wire(wire: &[u8]) -> Result<Self, ParseError> {
        match read_blob(KeyRole::Ca, wire)? {
            SubjectKey::Plain(key) => Ok(key),
            key @ (SubjectKey::SkEd25519 { .. } | SubjectKey::SkEcdsaP256 { .. }) => {
                Err(ParseError::CaKeyIsSecurityKey { name: key.algorithm() })
            }
        }
    }

    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it; for ML-DSA, which SSH does not have, of the DER
    /// SubjectPublicKeyInfo.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.to_ssh_wire().unwrap_or_else(|| self.to_spki_der()))
    }

    /// `TYPE BASE64 COMMENT`, without a line break; control characters in the comment become `?`. `None` for ML-DSA.
    #[must_use]
    pub fn to_openssh_line(&self, comment: &str) -> Option<String> {
        self.to_ssh_wire().map(|wire| openssh_line(self.ssh_algorithm(), &wire, comment))
    }
}

fn kind(key: &PublicKey) -> Algorithm {
    match key {
        PublicKey::Ed25519(_) => Algorithm::Ed25519,
        PublicKey::Ecdsa(point) => Algorithm::Ecdsa(point.curve()),
        PublicKey::Rsa(_) => Algorithm::Rsa,
        PublicKey::MlDsa(key) => Algorithm::MlDsa(key.parameters()),
    }
}

fn put_plain_fields(out: &mut Vec<u8>, key: &PublicKey) {
    match key {
        PublicKey::Ed25519(key) => put_string(out, key),
        PublicKey::Ecdsa(point) => put_point(out, point),
        PublicKey::Rsa(key) => {
            put_mpint(out, key.exponent());
            put_mpint(out, key.modulus());
        }
        PublicKey::MlDsa(key) => put_string(out, key.as_bytes()),
    }
}

fn put_point(out: &mut Vec<u8>, point: &EcPoint) {
    put_string(out, point.curve().ssh_name().as_bytes());
    put_string(out, point.as_bytes());
}

fn read_blob(role: KeyRole, wire: &[u8]) -> Result<SubjectKey, ParseError> {
    let mut reader = Reader::new(wire);
    let algorithm = Algorithm::from_name(role, reader.string("key's type")?)?;
    let key = algorithm.read_key(role, &mut reader)?;
    reader.finish("public key")?;
    Ok(key)
}

fn fingerprint(wire: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(wire)))
}

/// One line for a `.pub` file. A line break in the comment would be a second line, and so a second key.
pub(super) fn openssh_line(name: &str, wire: &[u8], comment: &str) -> String {
    let comment = comment.replace(char::is_control, "?");
    format!("{name} {} {comment}", Base64::encode_string(wire)).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
