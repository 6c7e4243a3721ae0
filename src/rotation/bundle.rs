//! The keys of a line that are to be trusted, in the forms that those who trust them read.
//!
//! In: a [`Line`]. Out: lines for sshd and known_hosts, PEM of public keys and of CA certificates. Keys that left the
//! configuration have none: the signer no longer knows their certificates, and `rotations.disagreements` has said so.

use std::sync::Arc;

use crate::key::pem::pem;
use crate::key::{Key, KeyCertificate, KeyPurpose};
use crate::rotation::{Line, State};

/// What is to be trusted, the oldest first.
#[derive(Clone, Debug)]
pub struct Bundle(Vec<(Arc<Key>, State)>);

impl Bundle {
    /// That of a line.
    #[must_use]
    pub fn of(line: &Line) -> Self {
        let trusted = line.members.iter().filter(|member| member.state.is_trusted());
        Self(trusted.filter_map(|member| Some((Arc::clone(member.key.as_ref()?), member.state))).collect())
    }

    /// The keys, and where each is in its line.
    pub fn iter(&self) -> impl Iterator<Item = &(Arc<Key>, State)> {
        self.0.iter()
    }

    /// What all of them sign.
    #[must_use]
    pub fn purpose(&self) -> Option<KeyPurpose> {
        self.0.first().map(|(key, _)| key.purpose)
    }

    /// For sshd's TrustedUserCAKeys, of a user CA: a line for each key. Empty for X.509.
    #[must_use]
    pub fn openssh(&self) -> String {
        let keys = self.0.iter().filter(|(key, _)| !key.purpose.is_x509());
        keys.filter_map(|(key, _)| Some(key.public_key.to_openssh_line(key.name.as_str())? + "\n")).collect()
    }

    /// For known_hosts, of a host CA that is trusted for the hosts of these patterns.
    #[must_use]
    pub fn known_hosts(&self, patterns: &str) -> String {
        cert_authorities(patterns, &self.openssh())
    }

    /// The public keys.
    #[must_use]
    pub fn public_keys(&self) -> String {
        self.0.iter().map(|(key, _)| pem("PUBLIC KEY", &key.public_key.to_spki_der())).collect()
    }

    /// The certificates of X.509 CAs.
    #[must_use]
    pub fn certificates(&self) -> String {
        let certificates = self.0.iter().filter_map(|(key, _)| certificate(key));
        certificates.map(|der| pem("CERTIFICATE", der)).collect()
    }
}

/// Lines of known_hosts, of those of host CAs.
pub(crate) fn cert_authorities(patterns: &str, keys: &str) -> String {
    keys.lines().flat_map(|key| ["@cert-authority ", patterns, " ", key, "\n"]).collect()
}

/// The certificate of an X.509 CA, DER.
pub(crate) fn certificate(key: &Key) -> Option<&[u8]> {
    key.certificate.as_deref().map(KeyCertificate::own_der)
}
