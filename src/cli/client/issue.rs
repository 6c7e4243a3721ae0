//! The certificates by which mutual TLS knows a signer, its front-ends and its operators: signed by a CA key of a running signer,
//! like any other certificate, and recorded.
//!
//! In: the CA's key and certificate, and whose certificate is wanted. Out: the certificate, or a directory with what a client
//! needs. Promised: a private key is in one new file of mode 0600, or, with a request (PKCS#10), was never here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use countersign_tbs::TbsKind;
use countersign_tbs::der::{Oid, StringKind, oids};
use countersign_tbs::x509::{Attribute, BasicConstraints, CertificateBuilder, GeneralName, KeyUsage, Name};
use zeroize::Zeroizing;

use crate::cli::fresh::{self, Readers};
use crate::cli::pem;
use crate::cli::signing::{Signed, Signing};
use crate::cli::x509::{certificate_parts, key_id, request, validity};
use crate::key::{KeyCertificate, PublicKey};

/// Which end of mutual TLS a certificate is for.
#[derive(Clone, Copy)]
pub(in crate::cli) enum End {
    Client,
    Server,
}

/// Whose certificate is wanted, and for how long.
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) end: End,
    pub(in crate::cli) common_name: String,
    pub(in crate::cli) names: Vec<GeneralName>,
    pub(in crate::cli) lifetime: Duration,
}

/// A private key that was made here.
pub(in crate::cli) struct LocalKey {
    pem: Zeroizing<String>,
    public: PublicKey,
}

/// The key that is to be certified.
pub(in crate::cli) enum Subject {
    /// Made here, with its private half.
    Local(LocalKey),
    /// Of a request that bears its signature.
    Requested(PublicKey),
}

/// What a client needs to be one.
pub(in crate::cli) struct Identity {
    pub(in crate::cli) directory: PathBuf,
}

impl LocalKey {
    /// A new P-256 key.
    ///
    /// # Errors
    /// There is no randomness.
    pub(in crate::cli) fn generate() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("no key can be made")?;
        // Wiped when it is dropped.
        let pkcs8 = pair.to_pkcs8v1().context("no key can be made")?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().context("no key can be made")?;
        let public = PublicKey::from_spki_der(spki.as_ref()).context("the new key cannot be read")?;
        Ok(Self { pem: Zeroizing::new(pem("PRIVATE KEY", pkcs8.as_ref())), public })
    }

    /// Writes the private half, PKCS#8 in PEM, for its owner alone.
    ///
    /// # Errors
    /// As [`fresh::file`].
    pub(in crate::cli) fn write(&self, path: &Path) -> anyhow::Result<()> {
        fresh::file(path, self.pem.as_bytes(), Readers::Owner)
    }
}

impl Subject {
    /// The key of a request, if there is one, or a new one.
    ///
    /// # Errors
    /// The request cannot be read, or is not signed by its key.
    pub(super) fn of(csr: Option<&Path>) -> anyhow::Result<Self> {
        match csr {
            Some(csr) => Ok(Self::Requested(request(csr)?.public_key().clone())),
            None => Ok(Self::Local(LocalKey::generate()?)),
        }
    }

    pub(in crate::cli) fn public(&self) -> &PublicKey {
        match self {
            Self::Local(key) => &key.public,
            Self::Requested(key) => key,
        }
    }
}

impl Wanted {
    /// Looks at what would otherwise be found by whoever checks the certificate.
    ///
    /// # Errors
    /// It would outlive its CA.
    pub(in crate::cli) fn check(&self, ca: &KeyCertificate) -> anyhow::Result<()> {
        let (own, until) = (validity(self.lifetime)?.not_after, ca.own().validity().not_after);
        let end = std::time::UNIX_EPOCH + Duration::from_secs(until.unix_secs());
        ensure!(
            own.unix_secs() <= until.unix_secs(),
            "the certificate would outlive its CA's, which ends at {}: give a shorter --lifetime, or renew the CA; nothing was changed",
            humantime::format_rfc3339_seconds(end)
        );
        Ok(())
    }

    /// Has the CA key sign it.
    ///
    /// # Errors
    /// What the signer refused.
    pub(in crate::cli) fn issue(
        &self,
        signing: &Signing,
        ca: &KeyCertificate,
        key: &PublicKey,
    ) -> anyhow::Result<Signed> {
        self.check(ca)?;
        let ca_key_id = ca.key_id().context("the CA's certificate has no subjectKeyIdentifier")?.clone();
        let purpose = match self.end {
            End::Client => oids::CLIENT_AUTH,
            End::Server => oids::SERVER_AUTH,
        };
        let purpose = Oid::from_contents(purpose).context("the purpose is no object identifier")?;
        let issuer = ca.own().subject().clone();
        let tbs = CertificateBuilder::new(signing.algorithm(), issuer, validity(self.lifetime)?, key.clone())
            .subject(self.subject(ca)?)
            .basic_constraints(BasicConstraints::Leaf)
            .key_usage(KeyUsage::DIGITAL_SIGNATURE)
            .ext_key_usage(vec![purpose])
            .subject_alt_names(self.names.clone())
            .subject_key_id(key_id(key)?)
            .authority_key_id(ca_key_id)
            .build()?;
        signing.sign(TbsKind::X509Certificate, tbs.as_bytes(), certificate_parts)
    }

    /// Of the CA's organisation.
    fn subject(&self, ca: &KeyCertificate) -> anyhow::Result<Name> {
        let own = Oid::from_contents(oids::COMMON_NAME)
            .and_then(|oid| Attribute::new(oid, StringKind::Utf8, &self.common_name));
        let own = own.with_context(|| format!("{:?} is no common name", self.common_name))?;
        let organisation = ca.own().subject().attributes().find(|attribute| attribute.label() == Some("O"));
        let parts = organisation.cloned().into_iter().chain([own]).map(|attribute| vec![attribute]);
        Name::new(parts.collect()).context("the subject has too many parts")
    }
}

impl Identity {
    /// Writes what a client has: its key, if that was made here, its certificate, and its CA's.
    ///
    /// # Errors
    /// As [`fresh::file`].
    pub(in crate::cli) fn write(
        &self,
        subject: &Subject,
        signed: &Signed,
        ca: &KeyCertificate,
    ) -> anyhow::Result<()> {
        if let Subject::Local(key) = subject {
            key.write(&self.directory.join("key.pem"))?;
        }
        fresh::file(&self.certificate(), pem("CERTIFICATE", &signed.object).as_bytes(), Readers::All)?;
        fresh::file(&self.ca(), pem("CERTIFICATE", ca.own_der()).as_bytes(), Readers::All)
    }

    pub(in crate::cli) fn certificate(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    pub(in crate::cli) fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// What the commands of a client read, as a shell sets it. `server` is an https:// URL.
    pub(in crate::cli) fn exports(&self, server: &str, key: &Path) -> [String; 2] {
        let (certificate, ca) = (fresh::shell(&self.certificate()), fresh::shell(&self.ca()));
        [
            format!("export COUNTERSIGN_SERVER={server} COUNTERSIGN_TLS_CA={ca}"),
            format!("export COUNTERSIGN_TLS_CERT={certificate} COUNTERSIGN_TLS_KEY={}", fresh::shell(key)),
        ]
    }
}
