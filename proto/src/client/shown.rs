//! What a client shows of itself, as far as a person who was refused has to know it.
//!
//! In: the client certificate, and where it came from. Out: whether it can be accepted now, and its holder's and issuer's names. It
//! proves nothing, and nothing is decided by it but that an expired certificate is not worth a connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::TlsError;

/// The most names that are shown.
const MOST_NAMES: usize = 4;

/// A client certificate.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// What to call it: its file.
    name: String,
    /// The file of the CAs that the server must have a certificate of.
    pub(super) server_ca: String,
    /// Nothing, if it is no X.509: whoever verifies it will say so.
    certificate: Option<Certificate>,
}

impl Shown {
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Self {
        let certificate = chain.first().and_then(|leaf| Certificate::from_der(leaf).ok());
        let (name, server_ca) = ("the client certificate".to_owned(), "the given CA certificates".to_owned());
        Self { name, server_ca, certificate }
    }

    pub(super) fn in_files(self, certificate: &Path, server_ca: &Path) -> Self {
        let text = |path: &Path| path.display().to_string();
        Self { name: text(certificate), server_ca: text(server_ca), ..self }
    }

    /// That it is in force now, by this host's clock.
    ///
    /// # Errors
    /// [`TlsError::Expired`], [`TlsError::NotYet`]
    pub(super) fn in_force(&self) -> Result<(), TlsError> {
        let Some(certificate) = &self.certificate else { return Ok(()) };
        let validity = certificate.tbs_certificate().validity();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let file = PathBuf::from(&self.name);
        if validity.not_after.to_unix_duration() < now {
            return Err(TlsError::Expired { file, at: validity.not_after.to_string() });
        }
        if validity.not_before.to_unix_duration() > now {
            return Err(TlsError::NotYet { file, at: validity.not_before.to_string() });
        }
        Ok(())
    }
}

/// `FILE (issuer CN=CA, names dns:a.example)`
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some(certificate) = &self.certificate else { return Ok(()) };
        let tbs = certificate.tbs_certificate();
        let names = tbs.get_extension::<SubjectAltName>().ok().flatten();
        let names = names.into_iter().flat_map(|(_, names)| names.0).filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
            GeneralName::DnsName(name) => Some(format!("dns:{}", name.as_str())),
            _ => None,
        });
        let mut names: Vec<_> = names.take(MOST_NAMES).collect();
        if names.is_empty() {
            names.push(tbs.subject().to_string());
        }
        // Whoever made the certificate chose them.
        let (issuer, names) = (tbs.issuer().to_string(), names.join(", "));
        write!(f, " (issuer {}, names {})", issuer.escape_debug(), names.escape_debug())
    }
}
