//! The client's end of mutual TLS: TLS 1.3, one set of roots, no resumption.
//!
//! In: PEM. Out: a [`Tls`] that any number of connections may share. The version and the cryptographic provider are
//! named here, so that nothing depends on what else is linked into the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tonic::transport::Uri;

use super::ConnectError;

/// A client certificate, its key, and the CAs that the server's certificate must chain to.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

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
    #[error("the {what} holds no readable PEM certificate (\"-----BEGIN CERTIFICATE-----\")")]
    Certificate {
        /// Which of the inputs.
        what: &'static str,
    },
    /// No private key where one was expected.
    #[error("the client key is not an unencrypted PEM private key (PKCS#8, SEC 1 or PKCS#1)")]
    Key,
    /// The certificate and the key do not belong together, or are of a kind that TLS 1.3 does not know.
    #[error("the client certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// One server to connect to, over and over.
#[derive(Clone)]
pub(super) struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
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
        Self::from_pem(&read(certificate)?, &read(key)?, &read(server_ca)?)
    }

    /// As [`Self::from_files`], from the files' contents.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_pem(certificate: &[u8], key: &[u8], server_ca: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(server_ca, "server CA file")? {
            roots.add(root)?;
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(certificate, "client certificate file")?, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
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
        Ok(Connector { host, port, name, tls: TlsConnector::from(Arc::clone(&self.0)) })
    }
}

impl Connector {
    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms per request.
        stream.set_nodelay(true)?;
        self.tls.connect(self.name.clone(), stream).await
    }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Certificate { what })?;
    if certificates.is_empty() { Err(TlsError::Certificate { what }) } else { Ok(certificates) }
}
