//! Builds a certificate's TBS.
//!
//! In: what the certificate is to say. Out: a [`CertificateTbs`] with a fresh nonce and, unless one is given, a random
//! serial. Promised: the strict parser has read the result, so nothing is built that a signer would refuse as malformed.
//! Never holds a signing key.

use super::fields::Fields;
use super::{CertificateTbs, CertificateType, Options, ParseError, SubjectKey};
use crate::key::PublicKey;

/// A certificate in the making. Without principals and a validity it does not build.
#[derive(Clone, Debug)]
pub struct CertificateBuilder {
    fields: Fields,
    serial: Option<u64>,
}

/// Why there is no TBS.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// What was asked for breaks a rule of the format.
    #[error("the certificate would be refused: {0}")]
    Refused(#[from] ParseError),
    /// The operating system gave no random bytes.
    #[error("no random bytes for the serial and the nonce")]
    Random(#[from] getrandom::Error),
}

impl CertificateBuilder {
    /// A certificate of this type for this key, to be signed by that CA key.
    #[must_use]
    pub fn new(certificate_type: CertificateType, subject_key: SubjectKey, ca_key: PublicKey) -> Self {
        let fields = Fields {
            subject_key,
            nonce: Vec::new(),
            serial: 0,
            certificate_type,
            key_id: String::new(),
            principals: Vec::new(),
            valid_after: 0,
            valid_before: 0,
            critical_options: Options::default(),
            extensions: Options::default(),
            ca_key,
        };
        Self { fields, serial: None }
    }

    /// The number to revoke it by. Unset: 64 random bits, not zero.
    #[must_use]
    pub fn serial(mut self, serial: u64) -> Self {
        self.serial = Some(serial);
        self
    }

    /// What sshd logs. Unset: empty.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.fields.key_id = key_id.into();
        self
    }

    /// Adds a user or host name.
    #[must_use]
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.fields.principals.push(principal.into());
        self
    }

    /// The first second of validity, since 1970. Unset: 0.
    #[must_use]
    pub fn valid_after(mut self, seconds: u64) -> Self {
        self.fields.valid_after = seconds;
        self
    }

    /// The first second after validity, since 1970. Unset: 0, which does not build.
    #[must_use]
    pub fn valid_before(mut self, seconds: u64) -> Self {
        self.fields.valid_before = seconds;
        self
    }

    /// Adds an option that a server must know: `force-command` with a value, `verify-required` without.
    #[must_use]
    pub fn critical_option(mut self, name: impl Into<String>, value: Option<&str>) -> Self {
        self.fields.critical_options.insert(name.into(), value.map(|value| value.as_bytes().to_vec()));
        self
    }

    /// Adds an option that a server may ignore: `permit-pty` without a value.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: Option<&str>) -> Self {
        self.fields.extensions.insert(name.into(), value.map(|value| value.as_bytes().to_vec()));
        self
    }

    /// The TBS: canonical, with options in order.
    ///
    /// # Errors
    /// - [`BuildError::Refused`] with the rule that the certificate would break.
    /// - [`BuildError::Random`] without randomness.
    pub fn build(self) -> Result<CertificateTbs, BuildError> {
        let mut fields = self.fields;
        fields.nonce = vec![0; 32];
        getrandom::fill(&mut fields.nonce)?;
        fields.serial = match self.serial {
            Some(serial) => serial,
            None => random_serial()?,
        };
        Ok(CertificateTbs::parse(&fields.encode())?)
    }
}

/// Zero means "no serial" (PROTOCOL.certkeys), so it is drawn again.
fn random_serial() -> Result<u64, getrandom::Error> {
    loop {
        match getrandom::u64()? {
            0 => {}
            serial => return Ok(serial),
        }
    }
}

#[cfg(test)]
mod tests;
