//! The certificate of an X.509 key: what names the key to those who rely on it, and what its signatures must agree with.
//!
//! In: the files that the configuration names. Out: a [`KeyCertificate`] that is fit for the key's purpose. Promised: a CA
//! may sign what its purpose says, and a delegated responder was issued by the CA that it answers for. Not
//! done here: paths to a root, or signatures of CAs; nobody trusts a CA because this signer does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use countersign_tbs::der::Oid;
use countersign_tbs::x509::{self, BasicConstraints, Certificate, KeyId, KeyUsage};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::key::{Config, KeyName, KeyPurpose, PublicKey, UnixTime};

/// Where the certificate of a key is, PEM or DER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFiles {
    /// The key's own.
    pub own: PathBuf,
    /// That of the CA for which a delegated responder answers.
    pub issuer: Option<PathBuf>,
}

/// A certificate that is fit for its key's purpose, and its CA's.
#[derive(Clone, Debug)]
pub struct KeyCertificate {
    own: Certificate,
    own_der: Vec<u8>,
    /// Of a delegated responder.
    issuer: Option<Certificate>,
}

/// Why a certificate is of no use to its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitCertificate {
    /// The configuration names no file.
    #[error("is missing: a key of this purpose has a certificate")]
    Missing,
    /// There is no file of this name.
    #[error("there is no {path}; correct the path", path = path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// There is no file yet, where the configuration says that there is one.
    #[error(
        "there is no {path}; have the output of `countersign key show NAME --pem` certified, or correct `certificate`",
        path = path.display()
    )]
    Awaited {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither PEM nor DER of one certificate.
    #[error("{path} holds no certificate, in PEM or DER", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A private key that is not on the token, or somebody else's.
    #[error("{path} holds a private key: move it elsewhere, and leave the certificate alone", path = path.display())]
    PrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that this signer does not read.
    #[error("{path}: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks.
        source: x509::ParseError,
    },
    /// It does not say what the purpose needs.
    #[error("this certificate is not fit for purpose {purpose}: {lack}")]
    Unfit {
        /// The key's purpose.
        purpose: KeyPurpose,
        /// What it lacks.
        lack: &'static str,
    },
    /// It is not valid now.
    #[error("this certificate is valid from {from} to {to}, and it is {now}; renew it")]
    NotValid {
        /// Its first second.
        from: UnixTime,
        /// Its last second.
        to: UnixTime,
        /// The clock.
        now: UnixTime,
    },
    /// It is another key's (field-notes R38).
    #[error("this is the certificate of {certified}; the token holds {found}")]
    OtherKey {
        /// The key in the certificate.
        certified: String,
        /// The key on the token.
        found: String,
    },
    /// The delegation is not the CA's.
    #[error("`issuer_certificate` did not issue this certificate: {0}")]
    OtherIssuer(&'static str),
}

/// The longest file that is read, in bytes: PEM is four thirds of DER, and comments may stand around it.
const MAX_FILE: u64 = 128 * 1024;

/// `id-kp-OCSPSigning` (RFC 6960 §4.2.2.2).
const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";

impl KeyCertificate {
    /// Reads the certificate of `config`'s key, and of its CA if that is another.
    ///
    /// # Errors
    /// [`UnfitCertificate`] unless it is fit for the key's purpose.
    pub fn load(config: &Config) -> Result<Self, UnfitCertificate> {
        let files = config.certificate.as_ref().ok_or(UnfitCertificate::Missing)?;
        let (own_der, own) = read(&files.own).map_err(|unfit| match unfit {
            UnfitCertificate::NotThere { path } => UnfitCertificate::Awaited { path },
            other => other,
        })?;
        let issuer = files.issuer.as_ref().map(read).transpose()?.map(|(_, issuer)| issuer);
        let certificate = Self { own, own_der, issuer };
        certificate.fit(config.purpose)?;
        Ok(certificate)
    }

    /// The certificates of `configs` that can be read, for who explains a decision without a token.
    #[must_use]
    pub fn load_all(configs: &[Config]) -> BTreeMap<KeyName, Self> {
        let load = |config: &Config| Some((config.name.clone(), Self::load(config).ok()?));
        configs.iter().filter_map(load).collect()
    }

    /// Itself, if it is the certificate of `key`, and valid `now`.
    ///
    /// # Errors
    /// [`UnfitCertificate::OtherKey`] if it is another's, [`UnfitCertificate::NotValid`] if it is over, or not yet valid.
    pub fn of(self, key: &PublicKey, now: UnixTime) -> Result<Self, UnfitCertificate> {
        if self.public_key() == key {
            return self.valid(now).map(|()| self);
        }
        let (certified, found) = (self.public_key().fingerprint(), key.fingerprint());
        Err(UnfitCertificate::OtherKey { certified, found })
    }

    /// The key's own certificate.
    #[must_use]
    pub fn own(&self) -> &x509::TbsCertificate {
        self.own.tbs()
    }

    /// The key's own certificate, as DER.
    #[must_use]
    pub fn own_der(&self) -> &[u8] {
        &self.own_der
    }

    /// The certificate of the CA whose certificates this key signs, or answers for.
    #[must_use]
    pub fn ca(&self) -> &x509::TbsCertificate {
        self.issuer.as_ref().map_or(self.own.tbs(), Certificate::tbs)
    }

    /// The key that is certified.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.own.tbs().public_key()
    }

    /// The identifier of the key: [`Self::load`] has seen to it that a CA's certificate has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.own.tbs().subject_key_id()
    }

    fn fit(&self, purpose: KeyPurpose) -> Result<(), UnfitCertificate> {
        let unfit = |lack| Err(UnfitCertificate::Unfit { purpose, lack });
        let own = self.own.tbs();
        let usable = |usage| own.key_usage().is_none_or(|allowed| allowed.contains(usage));
        match purpose {
            KeyPurpose::SshUserCa | KeyPurpose::SshHostCa => unfit("SSH has no X.509 certificates"),
            KeyPurpose::Ledger => unfit("checkpoints have no X.509 certificates"),
            KeyPurpose::X509Ca if !is_ca(own) => unfit("it is not a CA's (basicConstraints)"),
            KeyPurpose::X509Ca if !usable(KeyUsage::KEY_CERT_SIGN) => unfit("its keyUsage lacks keyCertSign"),
            KeyPurpose::X509Crl if !usable(KeyUsage::CRL_SIGN) => unfit("its keyUsage lacks cRLSign"),
            KeyPurpose::X509Ca | KeyPurpose::X509Crl if own.subject_key_id().is_none() => {
                unfit("it has no subjectKeyIdentifier")
            }
            KeyPurpose::X509Ca | KeyPurpose::X509Crl => Ok(()),
            KeyPurpose::Ocsp => self.delegated(),
        }
    }

    /// RFC 6960 §4.2.2.2: issued directly by the CA, for this alone.
    fn delegated(&self) -> Result<(), UnfitCertificate> {
        let (own, purpose) = (self.own.tbs(), KeyPurpose::Ocsp);
        let Some(issuer) = &self.issuer else {
            let lack =
                "`issuer_certificate`, the certificate of the CA that it answers for, is not configured";
            return Err(UnfitCertificate::Unfit { purpose, lack });
        };
        if !own.ext_key_usage().iter().any(|usage| Oid::from_dotted(OCSP_SIGNING).as_ref() == Some(usage)) {
            let lack = "its extKeyUsage lacks OCSPSigning";
            return Err(UnfitCertificate::Unfit { purpose, lack });
        }
        if !is_ca(issuer.tbs()) {
            return Err(UnfitCertificate::OtherIssuer("it is not a CA's (basicConstraints)"));
        }
        if own.issuer() != issuer.tbs().subject() {
            return Err(UnfitCertificate::OtherIssuer("the names differ"));
        }
        if own.authority_key_id().is_none() || own.authority_key_id() != issuer.tbs().subject_key_id() {
            return Err(UnfitCertificate::OtherIssuer("the key identifiers differ, or there is none"));
        }
        Ok(())
    }

    /// Whether it is valid now, and that of the CA that a delegated responder answers for.
    ///
    /// # Errors
    /// [`UnfitCertificate::NotValid`], of the one that is not.
    pub fn valid(&self, now: UnixTime) -> Result<(), UnfitCertificate> {
        for tbs in [self.own(), self.ca()] {
            let validity = tbs.validity();
            let from = UnixTime(validity.not_before.unix_secs());
            let to = UnixTime(validity.not_after.unix_secs());
            if !(from..=to).contains(&now) {
                return Err(UnfitCertificate::NotValid { from, to, now });
            }
        }
        Ok(())
    }
}

fn is_ca(tbs: &x509::TbsCertificate) -> bool {
    matches!(tbs.basic_constraints(), Some(BasicConstraints::Ca { .. }))
}

/// Of any form that PEM has a label for, encrypted or not.
fn holds_private_key(pem: &[u8]) -> bool {
    let is_begin = |line: &[u8]| line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----");
    pem.split(|byte| *byte == b'\n').any(|line| is_begin(line.trim_ascii()))
}

/// Reads one certificate, in PEM or DER; its DER, and what that says.
///
/// # Errors
/// [`UnfitCertificate`] if there is none.
pub(crate) fn read(path: &PathBuf) -> Result<(Vec<u8>, Certificate), UnfitCertificate> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => UnfitCertificate::NotThere { path: path.clone() },
        _ => UnfitCertificate::Io { path: path.clone(), source },
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.first() != Some(&0x30) {
        if holds_private_key(&bytes) {
            return Err(UnfitCertificate::PrivateKey { path: path.clone() });
        }
        let pem = CertificateDer::from_pem_slice(&bytes);
        bytes = pem.map_err(|_| UnfitCertificate::NoCertificate { path: path.clone() })?.to_vec();
    }
    let certificate = Certificate::parse(&bytes)
        .map_err(|source| UnfitCertificate::Parse { path: path.clone(), source })?;
    Ok((bytes, certificate))
}

#[cfg(test)]
mod tests;
