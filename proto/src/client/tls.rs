//! The client's end of mutual TLS: TLS 1.3, one set of roots, no resumption.
//!
//! In: PEM. Out: a [`Tls`] that any number of connections may share. The version and the cryptographic provider are
//! named here, so that nothing depends on what else is linked into the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, InconsistentKeys, RootCertStore};
use tonic::transport::Uri;

use super::ConnectError;
use super::shown::Shown;

/// How long a server that speaks HTTP/2 may take for its first word, which ours says at once; another is connected to all the same.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// A client certificate, its key, and the CAs that the server's certificate must chain to.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    shown: Arc<Shown>,
}

/// Why PEM files are not the client's end of mutual TLS. Never holds key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No certificate, or a broken one, where one was expected.
    #[error(
        "{file} holds no readable PEM certificate (\"-----BEGIN CERTIFICATE-----\"), where {wanted} is wanted"
    )]
    Certificate {
        /// The file, or what was given instead.
        file: String,
        /// Which of the inputs it was to be.
        wanted: Input,
    },
    /// No private key where one was expected.
    #[error("{file} holds no unencrypted PEM private key (PKCS#8, SEC 1 or PKCS#1), where {wanted} is wanted", wanted = Input::Key)]
    Key {
        /// The file, or what was given instead.
        file: String,
    },
    /// A certificate where the key was expected, or the other way round.
    #[error("{file} holds {found}, where {wanted} is wanted")]
    Mixed {
        /// The file, or what was given instead.
        file: String,
        /// What it holds.
        found: &'static str,
        /// Which of the inputs it was to be.
        wanted: Input,
    },
    /// What TLS cannot take for a CA's certificate.
    #[error("{file} holds what is no CA certificate: {source}")]
    ServerCa {
        /// The file, or what was given instead.
        file: String,
        /// Why not.
        source: Box<rustls::Error>,
    },
    /// The certificate is another key's.
    #[error("{key} is not the key of {certificate}")]
    NotItsKey {
        /// The key's file.
        key: String,
        /// The certificate's.
        certificate: String,
    },
    /// The client certificate's time is over.
    #[error("{} expired on {at}; get a new one", file.display())]
    Expired {
        /// The certificate's file.
        file: PathBuf,
        /// Its last second.
        at: String,
    },
    /// The client certificate's time has not come.
    #[error("{} is not valid before {at}; is this host's clock right?", file.display())]
    NotYet {
        /// The certificate's file.
        file: PathBuf,
        /// Its first second.
        at: String,
    },
    /// The certificate or the key is of a kind that TLS 1.3 does not know.
    #[error("{certificate} and {key} cannot be used: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: String,
        /// The key's.
        key: String,
        /// Why not.
        source: Box<rustls::Error>,
    },
    /// TLS 1.3 itself cannot be had.
    #[error("TLS 1.3 cannot be used: {0}")]
    Version(rustls::Error),
}

/// One of the three inputs, and the variable of the environment that names its file to this project's programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Input {
    /// The client's certificate chain.
    #[error("the client's certificate (COUNTERSIGN_TLS_CERT)")]
    Certificate,
    /// Its private key.
    #[error("the client's private key (COUNTERSIGN_TLS_KEY)")]
    Key,
    /// What the server's certificate must chain to.
    #[error("the certificate of the server's CA (COUNTERSIGN_TLS_CA)")]
    ServerCa,
}

/// What an input is called, and what it holds.
struct Pem<'a> {
    name: String,
    content: &'a [u8],
}

/// Why one side did not accept the other's certificate.
#[derive(Debug, thiserror::Error)]
enum Unaccepted {
    /// The server's, by this client.
    #[error(
        "the signer's certificate does not chain to {ca} ({cause}); give the CA certificate that issued it"
    )]
    Server { ca: String, cause: CertificateError },
    /// The client's, by the server, which says little or nothing of it to strangers.
    #[error(
        "the signer closed the connection{cause}: it probably does not accept {shown}, or has too many connections of this caller; \
         its log says why"
    )]
    Client { cause: String, shown: Arc<Shown> },
}

/// One server to connect to, over and over.
#[derive(Clone)]
pub(super) struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    shown: Arc<Shown>,
}

impl Tls {
    /// From PEM files: the client's certificate chain (leaf first), its private key, and the server's CA certificates.
    ///
    /// # Errors
    /// [`TlsError`] if one cannot be read, or does not hold what it should.
    pub fn from_files(certificate: &Path, key: &Path, server_ca: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
        };
        let name = |path: &Path| path.display().to_string();
        let contents = (read(certificate)?, read(key)?, read(server_ca)?);
        let tls = Self::from_inputs(
            &Pem { name: name(certificate), content: &contents.0 },
            &Pem { name: name(key), content: &contents.1 },
            &Pem { name: name(server_ca), content: &contents.2 },
        )?;
        let shown = Shown::clone(&tls.shown).in_files(certificate, server_ca);
        Ok(Self { shown: Arc::new(shown), ..tls })
    }

    /// As [`Self::from_files`], from the files' contents.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_pem(certificate: &[u8], key: &[u8], server_ca: &[u8]) -> Result<Self, TlsError> {
        let named = |name: &str, content| Pem { name: name.to_owned(), content };
        Self::from_inputs(
            &named("what was given", certificate),
            &named("what was given", key),
            &named("what was given", server_ca),
        )
    }

    fn from_inputs(certificate: &Pem<'_>, key: &Pem<'_>, server_ca: &Pem<'_>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(server_ca, Input::ServerCa)? {
            let added = roots.add(root);
            added.map_err(|error| TlsError::ServerCa {
                file: server_ca.name.clone(),
                source: Box::new(error),
            })?;
        }
        let chain = certificates(certificate, Input::Certificate)?;
        let shown = Arc::new(Shown::new(&chain));
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Version)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private_key(key)?)
            .map_err(|error| unusable(certificate, key, error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), shown })
    }

    pub(super) fn connector(&self, url: &str) -> Result<Connector, ConnectError> {
        let wrong = || ConnectError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some("https"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
            return Err(wrong());
        };
        // A URL has an IPv6 address in brackets; the resolver and TLS want it without.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        self.shown.in_force()?;
        let tls = TlsConnector::from(Arc::clone(&self.config));
        Ok(Connector { host, port, name, tls, shown: Arc::clone(&self.shown) })
    }
}

impl Connector {
    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms per request.
        stream.set_nodelay(true)?;
        let connected = self.tls.connect(self.name.clone(), stream).await;
        let mut stream = connected.map_err(|error| self.explain(error))?;
        // In TLS 1.3 a client is done before the server has seen its certificate: only what the server says next tells.
        match tokio::time::timeout(FIRST_WORD, stream.fill_buf()).await {
            Ok(Ok([])) => Err(self.refused(String::new())),
            Ok(Err(error)) => Err(self.refused(format!(" ({error})"))),
            Ok(Ok(_)) | Err(_) => Ok(stream),
        }
    }

    fn refused(&self, cause: String) -> io::Error {
        io::Error::other(Unaccepted::Client { cause, shown: Arc::clone(&self.shown) })
    }

    fn explain(&self, error: io::Error) -> io::Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(
                cause @ (CertificateError::UnknownIssuer | CertificateError::BadSignature),
            )) => {
                let (ca, cause) = (self.shown.server_ca.clone(), cause.clone());
                io::Error::other(Unaccepted::Server { ca, cause })
            }
            _ => error,
        }
    }
}

fn certificates(pem: &Pem<'_>, wanted: Input) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.content).collect();
    let file = pem.name.clone();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) if PrivateKeyDer::from_pem_slice(pem.content).is_ok() => {
            Err(TlsError::Mixed { file, found: "a private key", wanted })
        }
        Ok(_) | Err(_) => Err(TlsError::Certificate { file, wanted }),
    }
}

fn private_key(pem: &Pem<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    // The parser's error may quote a line of the file.
    PrivateKeyDer::from_pem_slice(pem.content).map_err(|_| {
        let file = pem.name.clone();
        match CertificateDer::from_pem_slice(pem.content) {
            Ok(_) => TlsError::Mixed { file, found: "a certificate", wanted: Input::Key },
            Err(_) => TlsError::Key { file },
        }
    })
}

fn unusable(certificate: &Pem<'_>, key: &Pem<'_>, source: rustls::Error) -> TlsError {
    let (certificate, key) = (certificate.name.clone(), key.name.clone());
    match source {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::NotItsKey { key, certificate }
        }
        error => TlsError::Unusable { certificate, key, source: Box::new(error) },
    }
}
