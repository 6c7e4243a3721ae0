//! The signer, as the agent sees it: a connection that is made anew when it is lost.
//!
//! In: calls. Out: answers. A call that found no signer is made once more on a new connection, for which the TLS files
//! are read again. `Sign` can be repeated because it has a request id: the signer does not sign the same request twice.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use countersign_proto::client::{CallError, Client, ConnectError, Tls};
use countersign_proto::v1::{Key, SignRequest, SignResponse};
use tokio::sync::Mutex;
use tonic::Code;
use tracing::debug;

/// Where a signer is, and what to show it.
#[derive(Clone, Debug)]
pub enum Address {
    /// Its Unix socket, where the kernel tells it this process's user id.
    Unix(PathBuf),
    /// Its TCP address.
    Tls {
        /// `https://HOST:PORT`.
        url: String,
        /// The client certificate's chain, PEM.
        cert: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
        /// The CA certificates that the signer's own must chain to, PEM.
        ca: PathBuf,
    },
}

impl Address {
    /// Connects; the files are read now.
    ///
    /// # Errors
    /// [`ConnectError`], by the file or the signer that is not there.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        match self {
            Self::Unix(path) => Client::connect_unix(path).await,
            Self::Tls { url, cert, key, ca } => Client::connect(url, &Tls::from_files(cert, key, ca)?).await,
        }
    }
}

/// Why the signer gave no answer, or which it gave.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Call(Box<CallError>),
    #[error("the signer did not answer within {0:?}")]
    Slow(Duration),
}

impl From<CallError> for UpstreamError {
    fn from(error: CallError) -> Self {
        Self::Call(Box::new(error))
    }
}

/// The signer, connected or not.
#[derive(Debug)]
pub struct Upstream {
    address: Address,
    patience: Duration,
    connection: Mutex<Connection>,
}

#[derive(Debug, Default)]
struct Connection {
    client: Option<Client>,
    /// How many there were before it: whoever found it broken must not throw away the next one.
    number: u64,
}

impl Upstream {
    /// A signer that each call, connecting included, gives `patience` to answer.
    #[must_use]
    pub fn new(address: Address, patience: Duration) -> Self {
        Self { address, patience, connection: Mutex::default() }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// As [`Address::connect`].
    pub async fn connect(&self) -> Result<(), ConnectError> {
        self.client().await.map(drop)
    }

    pub(super) async fn list_keys(&self) -> Result<Vec<Key>, UpstreamError> {
        self.call(|client| async move { client.list_keys().await }).await
    }

    /// `request` must have a request id.
    pub(super) async fn sign(&self, request: SignRequest) -> Result<SignResponse, UpstreamError> {
        self.call(|client| {
            let request = request.clone();
            async move { client.sign(request).await }
        })
        .await
    }

    async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let calls = async {
            let (client, number) = self.client().await?;
            match call(client).await {
                Err(error) if is_connection_lost(&error) => {
                    debug!("connecting to the signer again: {error}");
                    self.forget(number).await;
                    let (client, _) = self.client().await?;
                    call(client).await.map_err(UpstreamError::from)
                }
                answer => answer.map_err(UpstreamError::from),
            }
        };
        tokio::time::timeout(self.patience, calls).await.unwrap_or(Err(UpstreamError::Slow(self.patience)))
    }

    async fn client(&self) -> Result<(Client, u64), ConnectError> {
        let mut connection = self.connection.lock().await;
        let client = if let Some(client) = &connection.client {
            client.clone()
        } else {
            let client = self.address.connect().await?.with_deadline(self.patience);
            connection.number = connection.number.wrapping_add(1);
            connection.client.insert(client).clone()
        };
        Ok((client, connection.number))
    }

    async fn forget(&self, number: u64) {
        let mut connection = self.connection.lock().await;
        if connection.number == number {
            connection.client = None;
        }
    }
}

/// Whether a new connection may bring the answer: this one broke, or is one that the signer is done with.
fn is_connection_lost(error: &CallError) -> bool {
    match error.reason.as_str() {
        // Not the signer's own words, but those of the library that lost it.
        "" => matches!(error.code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
        reason => ["SHUTTING_DOWN", "CALLER_EXPIRED"].contains(&reason),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    fn error(code: Code, reason: &str) -> CallError {
        let reason = reason.to_owned();
        CallError { code, message: String::new(), reason, rule: None, entry: None, retry_after: None }
    }

    #[test]
    fn connects_again_for_a_lost_connection_and_for_no_other_answer() {
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled] {
            assert!(is_connection_lost(&error(code, "")), "{code:?}");
        }
        assert!(is_connection_lost(&error(Code::Unavailable, "SHUTTING_DOWN")));
        assert!(is_connection_lost(&error(Code::Unauthenticated, "CALLER_EXPIRED")));
        assert!(!is_connection_lost(&error(Code::Unavailable, "TOKEN_UNAVAILABLE")));
        assert!(!is_connection_lost(&error(Code::PermissionDenied, "PRINCIPAL_NOT_ALLOWED")));
        assert!(!is_connection_lost(&error(Code::DeadlineExceeded, "")));
    }

    #[tokio::test]
    async fn a_signer_that_accepts_and_says_nothing_costs_no_more_than_patience() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("signer");
        let _mute = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let upstream = Upstream::new(Address::Unix(path), Duration::from_millis(50));
        assert!(matches!(upstream.list_keys().await, Err(UpstreamError::Slow(_) | UpstreamError::Call(_))));
    }
}
