//! One request and its answer, by HTTP/1.1 over TLS 1.3, or in the clear on this host.
//!
//! In: a [`Url`] of the configuration. Out: the [`Answer`], of a length that is bounded. No redirection is followed. Not done
//! here: the deadline, which is the caller's.

use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::future::{Future, pending};
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ledger::witness::Url;

/// The longest body that is read: many times a cosignature, or a checkpoint with many.
const MAX_BODY: usize = 64 * 1024;
/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

type Failed = Box<dyn Error + Send + Sync>;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

/// What is verified of a server, by the CA certificates in a PEM file.
pub(super) fn trust(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let pem = fs::read(ca_file).map_err(|error| format!("{} cannot be read: {error}", ca_file.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("{} has what is no CA certificate: {error}", ca_file.display()))?;
    }
    if roots.is_empty() {
        return Err(format!("{} has no CA certificate in PEM", ca_file.display()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Posts `body` to `url` with `path` after it.
pub(super) async fn post(
    url: &Url,
    tls: Option<&Arc<ClientConfig>>,
    path: &str,
    body: String,
) -> Result<Answer, Failed> {
    let request = request(Method::POST, url, path, body.into())?;
    ask(url, tls, request).await
}

/// What is at `url`.
pub(super) async fn get(url: &Url, tls: Option<&Arc<ClientConfig>>) -> Result<Answer, Failed> {
    ask(url, tls, request(Method::GET, url, "", Bytes::new())?).await
}

fn request(method: Method, url: &Url, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failed> {
    let path = format!("{}{path}", url.path);
    let request = Request::builder()
        .method(method)
        .uri(if path.is_empty() { "/" } else { &path })
        .header(HOST, &url.authority)
        .header(CONNECTION, "close");
    Ok(request.body(Full::new(body))?)
}

async fn ask(
    url: &Url,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failed> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    match tls {
        Some(tls) => {
            let name = ServerName::try_from(url.host.clone())?;
            exchange(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?, request).await
        }
        None => exchange(stream, request).await,
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failed> {
    let mut http = http1::Builder::new();
    http.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|text| text.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
        Ok(Answer { status, content_type, body })
    };
    tokio::select! {
        answer = answer => answer,
        never = driven(connection) => match never {},
    }
}

/// Drives the connection. What becomes of it, whoever waits for the answer learns.
async fn driven<E>(connection: impl Future<Output = Result<(), E>>) -> Infallible {
    let _ = connection.await;
    pending().await
}
