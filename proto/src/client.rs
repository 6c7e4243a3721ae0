//! A thin client: one connection to a signer, over mutual TLS 1.3 or a Unix socket.
//!
//! In: requests. Out: answers, or a [`CallError`] that says what the server's `google.rpc.ErrorInfo` said. A lost
//! connection is made anew at the next call; no call is ever repeated here, because only the caller knows whether it
//! may be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{IntoRequest, Request, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use crate::v1::ledger_client::LedgerClient;
use crate::v1::operator_client::OperatorClient;
use crate::v1::sign_stream_response::Result as Outcome;
use crate::v1::signer_client::SignerClient;
use crate::v1::{
    Bundle, GetBundleRequest, GetKeyRequest, Key, ListKeysRequest, SignRequest, SignResponse,
    SignStreamResponse,
};

mod error;
mod escaped;
mod health;
mod ledger;
mod operator;
mod shown;
mod tls;

pub use error::{CallError, ConnectError};
pub use escaped::escaped;
pub use health::{Health, HealthChanges, HealthOf};
pub use ledger::NewEntries;
pub use tls::{Input, Tls, TlsError};

/// How long a connection may take to be made, TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection with calls in flight may be silent before it is asked for a sign of life.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long that sign of life may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a signer. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    inner: SignerClient<Channel>,
    operator: OperatorClient<Channel>,
    ledger: LedgerClient<Channel>,
    health: HealthClient<Channel>,
    deadline: Option<Duration>,
}

/// One answer of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which request this answers; empty only if that had no valid id.
    pub request_id: String,
    /// What became of it.
    pub result: Result<SignResponse, CallError>,
}

/// A stream's answers, in the order in which they finish.
#[derive(Debug)]
pub struct Answers(Streaming<SignStreamResponse>);

impl Client {
    /// Connects to `https://HOST:PORT` with a client certificate, by TLS 1.3.
    ///
    /// # Errors
    /// [`ConnectError`] if the address is another kind of URL, or nobody who proves to be that host answers there.
    pub async fn connect(url: &str, tls: &Tls) -> Result<Self, ConnectError> {
        let connector = tls.connector(url)?;
        let endpoint =
            Endpoint::from_shared(url.to_owned()).map_err(|_| ConnectError::Address(url.to_owned()))?;
        let connect = service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move { connector.connect().await.map(TokioIo::new) }
        });
        let channel = configured(endpoint).connect_with_connector(connect).await;
        channel.map(Self::over).map_err(|source| ConnectError::unreachable(url, &source))
    }

    /// Connects to a Unix socket, where the kernel vouches for the user id.
    ///
    /// # Errors
    /// [`ConnectError`] if nobody listens there.
    pub async fn connect_unix(path: &Path) -> Result<Self, ConnectError> {
        let socket: PathBuf = path.to_owned();
        let connect = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // HTTP/2 wants an authority; the server does not look at it.
        let endpoint = configured(Endpoint::from_static("http://localhost"));
        let channel = endpoint.connect_with_connector(connect).await;
        channel
            .map(Self::over)
            .map_err(|source| ConnectError::unreachable(&path.display().to_string(), &source))
    }

    fn over(channel: Channel) -> Self {
        let (operator, health) = (OperatorClient::new(channel.clone()), HealthClient::new(channel.clone()));
        let ledger = LedgerClient::new(channel.clone());
        Self { inner: SignerClient::new(channel), operator, ledger, health, deadline: None }
    }

    /// Gives every later call this long, and every request of a stream; after that the signer no longer gives its work to the token.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Has one TBS signed.
    ///
    /// # Errors
    /// [`CallError`], by the server or on the way there.
    pub async fn sign(&self, request: SignRequest) -> Result<SignResponse, CallError> {
        let response = self.inner.clone().sign(self.timed(request)).await?;
        Ok(response.into_inner())
    }

    /// Has many TBSs signed over one stream. Each needs a `request_id` of its own, and has the `timeout_ms` that it brings or, if it
    /// brings none, this client's deadline; the stream itself has no deadline.
    ///
    /// # Errors
    /// [`CallError`] if the stream does not come to be; the errors of single requests are [`Answer`]s.
    pub async fn sign_stream<S>(&self, requests: S) -> Result<Answers, CallError>
    where
        S: tonic::IntoStreamingRequest<Message = SignRequest>,
    {
        let deadline = self.deadline;
        let requests = requests.into_streaming_request();
        let requests = requests.map(|requests| requests.map(move |request| within(deadline, request)));
        let response = self.inner.clone().sign_stream(requests).await?;
        Ok(Answers(response.into_inner()))
    }

    /// The keys that this caller may use, sorted by name.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub async fn list_keys(&self) -> Result<Vec<Key>, CallError> {
        let response = self.inner.clone().list_keys(self.timed(ListKeysRequest {})).await?;
        Ok(response.into_inner().keys)
    }

    /// The key of this name.
    ///
    /// # Errors
    /// [`CallError`] with reason `KEY_NOT_AVAILABLE` if there is none, or none that this caller may use.
    pub async fn get_key(&self, name: &str) -> Result<Key, CallError> {
        let request = self.timed(GetKeyRequest { name: name.to_owned() });
        Ok(self.inner.clone().get_key(request).await?.into_inner())
    }

    /// The keys that are to be trusted together with the key of this name.
    ///
    /// # Errors
    /// As [`Self::get_key`].
    pub async fn get_bundle(&self, key: &str) -> Result<Bundle, CallError> {
        let request = self.timed(GetBundleRequest { key: key.to_owned() });
        Ok(self.inner.clone().get_bundle(request).await?.into_inner())
    }

    fn timed<M>(&self, message: M) -> Request<M> {
        let mut request = message.into_request();
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

/// A stream's request with a timeout, if it has none yet.
fn within(deadline: Option<Duration>, mut request: SignRequest) -> SignRequest {
    if let (Some(deadline), 0) = (deadline, request.timeout_ms) {
        // Not 0, which would be none.
        request.timeout_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX).max(1);
    }
    request
}

impl Answers {
    /// The next answer; none once every request is answered and the requests have ended.
    ///
    /// # Errors
    /// [`CallError`] if the stream as a whole broke: what is not answered by now may or may not have been signed.
    pub async fn next(&mut self) -> Result<Option<Answer>, CallError> {
        let Some(response) = self.0.message().await? else { return Ok(None) };
        let result = match response.result {
            Some(Outcome::Response(response)) => Ok(response),
            Some(Outcome::Error(error)) => Err(error.into()),
            None => Err(CallError::empty_answer()),
        };
        Ok(Some(Answer { request_id: response.request_id, result }))
    }
}

fn configured(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
}
