//! The TLS door: TLS 1.3 with a client certificate, and nothing else.
//!
//! In: three PEM files and TCP connections. Out: a stream whose peer's certificate rustls has verified in a full
//! handshake. There is no resumption: a ticket would outlive the CA's or the certificate's removal (field-notes R27).
//! [`Reload`] reads the files again; connections that are open keep what they have.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use super::connection::{self, Rejected};
use super::handshake::Source;
use super::{Config, fault};
use crate::caller::Caller;
use crate::config::Fault;
use crate::key::UnixTime;

#[cfg(test)]
mod tests;

/// Listens for TLS.
pub(super) struct Door {
    listener: TcpListener,
    reload: Reload,
}

/// Reads the TLS files again, for the connections that come after.
#[derive(Clone)]
pub struct Reload {
    files: Arc<Config>,
    current: Arc<ArcSwap<ServerConfig>>,
}

/// A TCP connection, with the TLS configuration of the moment when it came.
pub(super) struct Knock {
    stream: TcpStream,
    peer: SocketAddr,
    tls: Arc<ServerConfig>,
}

impl Reload {
    pub(super) fn new(identity: ServerConfig, files: Config) -> Self {
        Self { files: Arc::new(files), current: Arc::new(ArcSwap::from_pointee(identity)) }
    }

    /// Takes the files as they are now.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once; what was loaded before stays in use.
    pub fn reload(&self) -> Result<(), Vec<Fault>> {
        self.current.store(Arc::new(load(&self.files)?));
        Ok(())
    }
}

impl Door {
    pub(super) fn new(listener: TcpListener, reload: Reload) -> Self {
        Self { listener, reload }
    }
}

impl connection::Door for Door {
    type Knock = Knock;
    type Stream = TlsStream<TcpStream>;

    async fn accept(&self) -> io::Result<Knock> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(Knock { stream, peer, tls: self.reload.current.load_full() })
    }

    fn source(knock: &Knock) -> Option<Source> {
        Some(knock.peer.ip().into())
    }

    async fn identify(knock: Knock, patience: Duration) -> Result<(Self::Stream, Caller), Rejected> {
        let Knock { stream, peer, tls } = knock;
        let peer = peer.to_string();
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms per request.
        let stream = stream.set_nodelay(true).map(|()| stream);
        let handshake = async { TlsAcceptor::from(tls).accept(stream?).await };
        let stream = match tokio::time::timeout(patience, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(Rejected::Handshake { peer, source }),
            Err(_) => return Err(Rejected::Slow { peer }),
        };
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(b"h2") {
            return Err(Rejected::NotHttp2 { peer });
        }
        let Some([certificate, ..]) = session.peer_certificates() else {
            let source = io::Error::other("no client certificate");
            return Err(Rejected::Handshake { peer, source });
        };
        match Caller::from_certificate(certificate) {
            Ok(caller) => Ok((stream, caller)),
            Err(source) => Err(Rejected::Nameless { peer, source }),
        }
    }
}

/// Reads and checks the three files.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub(super) fn load(files: &Config) -> Result<ServerConfig, Vec<Fault>> {
    let chain = certificates("tls_certificate", &files.tls_certificate)
        .and_then(|chain| in_force(chain, &files.tls_certificate, UnixTime::now()));
    let key = private_key(&files.tls_key);
    let roots = roots(&files.client_ca);
    match (chain, key, roots) {
        (Ok(chain), Ok(key), Ok(roots)) => configure(chain, key, roots).map_err(|fault| vec![fault]),
        (chain, key, roots) => Err([chain.err(), key.err(), roots.err()].into_iter().flatten().collect()),
    }
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| fault("client_ca", format!("cannot be used: {error}")))?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map(|builder| builder.with_client_cert_verifier(verifier))
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(unusable_key)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(tls)
}

fn unusable_key(error: rustls::Error) -> Fault {
    let message = match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "does not belong to server.tls_certificate; give the key that the certificate was issued for"
                .to_owned()
        }
        error => format!("cannot be used with server.tls_certificate: {error}"),
    };
    fault("tls_key", message)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let pem = std::fs::read(path).map_err(|error| unreadable(key, path, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(fault(key, format!("{} holds no PEM certificate", path.display()))),
        Err(error) => Err(fault(key, format!("{} is not PEM: {error}", path.display()))),
    }
}

/// Refuses a certificate that every client would refuse.
fn in_force(
    chain: Vec<CertificateDer<'static>>,
    path: &Path,
    now: UnixTime,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let wrong = |what: String| fault("tls_certificate", format!("{}: {what}", path.display()));
    let leaf = chain.first().and_then(|leaf| Certificate::from_der(leaf).ok());
    let leaf = leaf.ok_or_else(|| wrong("the first certificate is not X.509".to_owned()))?;
    let validity = leaf.tbs_certificate().validity();
    if validity.not_after.to_unix_duration().as_secs() < now.0 {
        return Err(wrong(format!("expired at {}; issue another", validity.not_after)));
    }
    if validity.not_before.to_unix_duration().as_secs() > now.0 {
        return Err(wrong(format!("not valid before {}; is the clock right?", validity.not_before)));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let unreadable = |error| unreadable("tls_key", path, &error);
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), mode & 0o777);
        let message =
            format!("{path} has mode {mode:04o}: others than its owner can use it; run `chmod 0600 {path}`");
        return Err(fault("tls_key", message));
    }
    let mut pem = Zeroizing::new(Vec::new());
    file.read_to_end(&mut pem).map_err(unreadable)?;
    // The parser's error may quote a line of the file.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = path.display();
        fault("tls_key", format!("{path} holds no unencrypted PEM private key (PKCS#8, SEC 1 or PKCS#1)"))
    })
}

fn roots(path: &Path) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", path)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            fault("client_ca", format!("{}: not a CA certificate: {error}", path.display()))
        })?;
    }
    Ok(roots)
}

fn unreadable(key: &str, path: &Path, error: &io::Error) -> Fault {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the daemon's user; if that is who you are, give it the file with `chown`".to_owned()
        }
        io::ErrorKind::NotFound => format!("correct `{key}`, or put the file there"),
        _ => "see that it is a file, on a disk that works".to_owned(),
    };
    fault(key, format!("cannot read {}: {error}; {remedy}", path.display()))
}
