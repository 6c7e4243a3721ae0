//! An SSH agent whose keys are the signer's CA keys: a front-end for whatever asks an ssh-agent to sign a certificate.
//!
//! In: connections to a Unix socket, which the kernel says are by this process's own user or root. Out: the CA keys that
//! this agent's identity may use, and signatures on certificates that the signer permits. Promised: everything else is
//! answered with FAILURE and said in the log, and what asks a key of ours to sign goes to the signer, so that its ledger
//! holds the refusal. No policy is here: the signer decides.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::server::unix::{Bound, Door};

mod answer;
mod client;
pub mod codec;
mod upstream;

pub use answer::Agent;
pub use upstream::{Address, Upstream};

/// How many clients at once. An idle one keeps its place: front-ends that sign all day connect once.
const MAX_CLIENTS: usize = 128;
/// How many connections the kernel keeps for us before they are accepted.
const BACKLOG: u32 = 128;
/// How long requests in work may take to be answered once the agent is to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: out of file descriptors, trying at once again would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where clients come from.
pub struct Socket(Listening);

enum Listening {
    /// A socket that we made; its file goes when we do.
    Own(Door),
    /// One that systemd made, and keeps.
    Inherited(UnixListener),
}

impl Socket {
    /// Listens on `path`, mode 0600. What a dead agent left there is replaced; anything else is left alone.
    ///
    /// # Errors
    /// Something else is there, somebody listens there, or the directory does not let us.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self(Listening::Own(Bound::new(path)?.listen(BACKLOG)?)))
    }

    /// Listens on a socket that was handed to this process.
    ///
    /// # Errors
    /// It cannot be used without blocking.
    pub fn inherited(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(Listening::Inherited(UnixListener::from_std(listener)?)))
    }

    /// Waits for the next connection. Cancel-safe.
    async fn accept(&self) -> io::Result<UnixStream> {
        let listener = match &self.0 {
            Listening::Own(door) => door.listener(),
            Listening::Inherited(listener) => listener,
        };
        Ok(listener.accept().await?.0)
    }
}

/// Who is at the other end, as the kernel says; for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Peer {
    uid: u32,
    pid: Option<i32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid:{}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, ",pid:{pid}"))
    }
}

/// Why a connection is closed without a word.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("cannot tell who is at the other end: {0}")]
    Unknown(#[from] io::Error),
    #[error("{0} is another user; only this agent's own and root are served")]
    Stranger(Peer),
    #[error("there are {MAX_CLIENTS} clients already; have some end")]
    TooMany,
}

/// Serves clients until `shutdown`; then gives what is being signed some seconds to be answered.
pub async fn serve(socket: Socket, agent: Agent, shutdown: impl Future<Output = ()>) {
    let agent = Arc::new(agent);
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let (stop, stopping) = watch::channel(false);
    let mut clients = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = clients.join_next() => {}
            accepted = socket.accept() => match accepted {
                Ok(stream) => match admit(&stream, &places) {
                    Ok((peer, place)) => {
                        let (agent, stopping) = (Arc::clone(&agent), stopping.clone());
                        clients.spawn(async move {
                            client::converse(stream, peer, &agent, stopping).await;
                            drop(place);
                        });
                    }
                    Err(rejected) => warn!("closed a connection: {rejected}"),
                },
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    // Whoever comes now is told at once that nobody is there.
    drop(socket);
    stop.send_replace(true);
    let ended = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        warn!(
            "cut clients that had no answer within {GRACE:?}; the signer's ledger says what was signed for them"
        );
    }
    info!("stopped");
}

/// Who it is, and a place for it.
fn admit(stream: &UnixStream, places: &Arc<Semaphore>) -> Result<(Peer, OwnedSemaphorePermit), Rejected> {
    let credentials = stream.peer_cred()?;
    let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
    if !is_served(peer.uid, geteuid().as_raw()) {
        return Err(Rejected::Stranger(peer));
    }
    let place = Arc::clone(places).try_acquire_owned().map_err(|_| Rejected::TooMany)?;
    Ok((peer, place))
}

/// The socket's mode says the same, as long as nobody changes it, and a socket of systemd's has the mode of its unit.
const fn is_served(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_its_own_user_and_root_alone() {
        assert!(is_served(1000, 1000) && is_served(0, 1000) && is_served(0, 0));
        assert!(!is_served(1001, 1000) && !is_served(1000, 0));
    }
}
