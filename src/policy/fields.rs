//! The fields of a certificate as a person writes them: on a command line, or in a file of cases.
//!
//! In: names, durations, options. Out: a TBS of now. Nothing here is a rule: what may be signed is decided by the walk.

use std::str::FromStr;
use std::time::Duration;

use countersign_tbs::ssh::{BuildError, CertificateBuilder, CertificateTbs, CertificateType, SubjectKey};

use crate::key::{PublicKey, UnixTime};

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) certificate_type: CertificateType,
    pub(crate) principals: Vec<String>,
    /// From now on; whole seconds count.
    pub(crate) lifetime: Duration,
    /// How far before now the validity begins; whole seconds count.
    pub(crate) backdate: Duration,
    /// If not set, the first principal.
    pub(crate) key_id: Option<String>,
    /// If not set, 64 random bits.
    pub(crate) serial: Option<u64>,
    pub(crate) critical_options: Vec<NamedValue>,
    pub(crate) extensions: Vec<NamedValue>,
}

/// `NAME` or `NAME=VALUE`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NamedValue {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl NamedValue {
    pub(crate) fn flag(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }
}

impl FromStr for NamedValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() { Err("the name is missing") } else { Ok(Self { name: name.to_owned(), value }) }
    }
}

impl Fields {
    /// The TBS for `subject_key`, to be signed by `ca_key` at `now`. A validity beyond 2^64 s ends there.
    ///
    /// # Errors
    /// [`BuildError`] if a strict parser would refuse it, or there is no randomness.
    pub(crate) fn tbs(
        self,
        subject_key: SubjectKey,
        ca_key: PublicKey,
        now: UnixTime,
    ) -> Result<CertificateTbs, BuildError> {
        let key_id = self.key_id.or_else(|| self.principals.first().cloned()).unwrap_or_default();
        let mut builder = CertificateBuilder::new(self.certificate_type, subject_key, ca_key)
            .key_id(key_id)
            .valid_after(now.0.saturating_sub(self.backdate.as_secs()))
            .valid_before(now.0.saturating_add(self.lifetime.as_secs()));
        if let Some(serial) = self.serial {
            builder = builder.serial(serial);
        }
        for principal in self.principals {
            builder = builder.principal(principal);
        }
        for NamedValue { name, value } in self.critical_options {
            builder = builder.critical_option(name, value.as_deref());
        }
        for NamedValue { name, value } in self.extensions {
            builder = builder.extension(name, value.as_deref());
        }
        builder.build()
    }
}
