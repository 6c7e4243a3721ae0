//! The way in and out: gRPC over mutual TLS, and over a Unix socket.
//!
//! In: connections. Out: [`Request`](crate::sign::Request)s to the [`Signer`], and its answers as gRPC messages and
//! statuses. Promised: nobody is served before TLS or the kernel has said who it is, and shutting down takes no longer
//! than its grace. Generated protobuf types stop here.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_proto::v1::ledger_server::LedgerServer;
use countersign_proto::v1::operator_server::OperatorServer;
use countersign_proto::v1::signer_server::SignerServer;
use countersign_tbs::ssh::CertificateTbs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tonic::service::Routes;

use crate::caller::Caller;
use crate::config::Fault;
use crate::key::Keys;
use crate::ledger::Ledger;
use crate::policy::{Policy, crl};
use crate::sign::Signer;

mod api;
mod arrival;
mod coalesce;
mod connection;
mod handshake;
mod health;
mod held;
mod ledger;
mod message;
mod notices;
mod operator;
mod share;
mod status;
mod stream;
mod tls;
pub(crate) mod unix;

#[cfg(test)]
mod tests;

use share::{ShareLimits, Shares};
pub use tls::Reload;

/// How many connections the kernel keeps for us before they are accepted.
const BACKLOG: u32 = 1024;
/// The longest request, in bytes: the longest TBS but a CRL's, and what is around it.
const MAX_REQUEST_BYTES: usize = CertificateTbs::MAX_LEN + 4096;
/// The same, of a caller that a profile lets have CRLs signed.
const MAX_CRL_REQUEST_BYTES: usize = crl::MAX_LEN + 4096;
/// How many requests are worked on at once. A request outlives the call that brought it, so that HTTP/2's own limits
/// bound nothing.
const MAX_IN_WORK: ShareLimits = ShareLimits { total: 2048, each: 512 };

/// The `[server]` section of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen for TLS.
    pub listen: SocketAddr,
    /// The server's certificate chain, PEM, leaf first.
    pub tls_certificate: PathBuf,
    /// Its private key, PEM, mode 0600 or stricter.
    pub tls_key: PathBuf,
    /// The CA certificates that client certificates must chain to, PEM.
    pub client_ca: PathBuf,
    /// A Unix socket for callers on this host, known by their user id. Its mode is 0600.
    pub unix_socket: Option<PathBuf>,
    /// How many connections at once by TLS, and how many by the Unix socket; one more is closed.
    pub max_connections: usize,
    /// How long requests in flight may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
}

/// The addresses, taken but not listened on before [`Self::serve`].
pub struct Listener {
    /// None where only this host is to reach the signer.
    tls: Option<TlsAddress>,
    unix: Option<unix::Bound>,
    limits: connection::Limits,
}

struct TlsAddress {
    socket: TcpSocket,
    local_addr: SocketAddr,
    reload: tls::Reload,
}

/// Why serving did not end cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address that was taken at start-up could not be listened on.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// Connections were cut; what was being signed for them may be without an outcome in the ledger.
    #[error("{requests} requests were still in work {grace:?} after the shutdown began, and were cut off")]
    GraceOver {
        /// How many.
        requests: usize,
        /// How long they were given.
        grace: Duration,
    },
    /// Its disk or its database does not answer. What was being signed may be without an outcome in it.
    #[error(
        "the ledger did not take what was left and close within {within:?}: its disk or its database does not answer; the next start reads what \
         it has"
    )]
    LedgerOpen {
        /// How long it was waited for.
        within: Duration,
    },
}

impl Listener {
    /// Reads the TLS files and takes the addresses.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn bind(config: &Config) -> Result<Self, Vec<Fault>> {
        let files = enough_files(config);
        let identity = tls::load(config);
        let tcp = bind_tcp(config.listen);
        let unix = config.unix_socket.as_deref().map(bind_unix).transpose();
        match (identity, tcp, unix, files) {
            (Ok(identity), Ok((tcp, local_addr)), Ok(unix), Ok(())) => {
                let limits =
                    connection::Limits { connections: config.max_connections, grace: config.shutdown_grace };
                let reload = tls::Reload::new(identity, config.clone());
                Ok(Self { tls: Some(TlsAddress { socket: tcp, local_addr, reload }), unix, limits })
            }
            (identity, tcp, unix, files) => {
                let mut faults = identity.err().unwrap_or_default();
                faults.extend(tcp.err());
                faults.extend(unix.err());
                faults.extend(files.err());
                Err(faults)
            }
        }
    }

    /// Takes the Unix socket alone: for a signer that has no TLS files yet, and is to sign them. Nobody else's host reaches it.
    ///
    /// # Errors
    /// There is no such socket in the configuration, or it cannot be taken.
    pub fn bind_local(config: &Config) -> Result<Self, Vec<Fault>> {
        let path = config.unix_socket.as_deref();
        let path = path.ok_or_else(|| vec![fault("unix_socket", "is missing: set it".to_owned())])?;
        let unix = bind_unix(path).map_err(|fault| vec![fault])?;
        let limits = connection::Limits { connections: config.max_connections, grace: config.shutdown_grace };
        Ok(Self { tls: None, unix: Some(unix), limits })
    }

    /// Where TLS is listened for, if it is: with port 0 in the configuration, the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|tls| tls.local_addr)
    }

    /// What reads the TLS files again while the server runs, if it has any.
    #[must_use]
    pub fn reload(&self) -> Option<Reload> {
        self.tls.as_ref().map(|tls| tls.reload.clone())
    }

    /// Listens and serves until `shutdown`, then lets requests in flight finish. None of `all_keys`, those of the signer and the
    /// log's own, is let go by its operator.
    ///
    /// # Errors
    /// [`ServeError::Listen`] if it cannot listen, [`ServeError::GraceOver`] if the last requests did not finish in time.
    pub async fn serve(
        self,
        signer: Signer,
        all_keys: Keys,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { tls, unix, limits } = self;
        let unix = unix.map(|bound| bound.listen(BACKLOG)).transpose()?;
        // The last, for it says so: who waits for that may come by either way.
        let tls = tls.map(TlsAddress::listen).transpose()?;
        let grace = limits.grace;
        let (stop, stopping) = watch::channel(false);
        let work = Shares::new(MAX_IN_WORK);
        let (policy, ledger) = (signer.policy.clone(), signer.ledger.clone());
        let reading = ledger::Reading::service(ledger.clone(), all_keys.clone(), stopping.clone());
        let own = Signer { keys: all_keys, ..signer.clone() };
        let operator = OperatorServer::new(operator::Operator::new(own));
        let health = health::Health::service(signer.clone(), stopping.clone());
        let api = api::Api::new(signer, work.clone(), stopping.clone());
        let up_to = |max| {
            let signer = SignerServer::new(api.clone()).max_decoding_message_size(max);
            Routes::new(signer).add_service(health.clone())
        };
        let by_tls = ForCaller::new(&up_to, policy, &reading, ledger);
        // Only here: over TLS a caller cannot even learn that there is such a service.
        let up_to = |max| up_to(max).add_service(operator.clone());
        let by_unix = by_tls.with(&up_to, &reading);

        let serving = async {
            let by_unix = async {
                if let Some(door) = unix {
                    let routes = move |caller: &Caller| by_unix.routes(caller);
                    connection::serve(door, routes, limits, stopping.clone()).await;
                }
            };
            let by_tls = async {
                if let Some(door) = tls {
                    let routes = move |caller: &Caller| by_tls.routes(caller);
                    connection::serve(door, routes, limits, stopping.clone()).await;
                }
            };
            tokio::join!(by_tls, by_unix);
            // A request whose connection is gone may not have begun yet. It must not: the ledger is about to be closed.
            work.close().await;
        };
        let out_of_time = async {
            shutdown.await;
            stop.send_replace(true);
            tokio::time::sleep(grace).await;
        };
        // HTTP/2 alone would wait for ever for a client that ignores GOAWAY (field-notes R31); dropping `serving`
        // closes what is left.
        tokio::select! {
            biased;
            () = serving => Ok(()),
            () = out_of_time => match work.taken() {
                0 => {
                    tracing::info!("cut clients that kept idle connections open for {grace:?} after being asked to close them");
                    Ok(())
                }
                requests => Err(ServeError::GraceOver { requests, grace }),
            },
        }
    }
}

impl TlsAddress {
    fn listen(self) -> std::io::Result<tls::Door> {
        let door = tls::Door::new(self.socket.listen(BACKLOG)?, self.reload);
        tracing::info!(address = %self.local_addr, "listening");
        Ok(door)
    }
}

/// The methods for each caller, who may have CRLs signed or not, and may read the ledger or not. Where a caller's routes have no
/// service, it is answered as if there were none.
#[derive(Clone)]
struct ForCaller {
    policy: Policy,
    ledger: Ledger,
    usual: [Routes; 2],
    for_readers: [Routes; 2],
}

impl ForCaller {
    fn new(
        up_to: &impl Fn(usize) -> Routes,
        policy: Policy,
        reading: &LedgerServer<ledger::Reading>,
        ledger: Ledger,
    ) -> Self {
        let (usual, for_readers) = Self::both(up_to, reading);
        Self { policy, ledger, usual, for_readers }
    }

    /// The same callers, other routes.
    fn with(&self, up_to: &impl Fn(usize) -> Routes, reading: &LedgerServer<ledger::Reading>) -> Self {
        Self::new(up_to, self.policy.clone(), reading, self.ledger.clone())
    }

    fn both(
        up_to: &impl Fn(usize) -> Routes,
        reading: &LedgerServer<ledger::Reading>,
    ) -> ([Routes; 2], [Routes; 2]) {
        let usual = [MAX_REQUEST_BYTES, MAX_CRL_REQUEST_BYTES].map(up_to);
        let for_readers = usual.clone().map(|routes| routes.add_service(reading.clone()).prepare());
        (usual.map(Routes::prepare), for_readers)
    }

    fn routes(&self, caller: &Caller) -> Routes {
        // By TLS nobody is an operator: only the kernel names users.
        let reads = self.ledger.may_be_read_by(caller) || operator::operator(caller).is_ok();
        let [usual, with_crls] = if reads { &self.for_readers } else { &self.usual };
        if self.policy.may_have_crls(caller) { with_crls.clone() } else { usual.clone() }
    }
}

/// Reads and checks the TLS files, and takes no address: what a daemon that runs already would not mind.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn check(config: &Config) -> Result<(), Vec<Fault>> {
    tls::load(config).map(drop)
}

/// Raises the limit of open files as far as it goes: a caller that opens every connection it may must not leave a token
/// process without its sockets.
fn enough_files(config: &Config) -> Result<(), Fault> {
    let limit = getrlimit(Resource::Nofile);
    // Connections by TLS and by the Unix socket; the rest is for handshakes, sessions, files.
    let needed =
        u64::try_from(config.max_connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(2048);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most < needed {
        let message = format!(
            "needs a limit of {needed} open files, and the hard limit is {most}: raise that or lower this"
        );
        return Err(fault("max_connections", message));
    }
    let raised = Rlimit { current: Some(needed.max(limit.current.unwrap_or(most))), ..limit };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| fault("max_connections", format!("cannot raise the limit of open files: {error}")))
}

fn bind_tcp(address: SocketAddr) -> Result<(TcpSocket, SocketAddr), Fault> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restart need not wait for the connections of the daemon before it to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let local = socket.local_addr()?;
        Ok::<_, std::io::Error>((socket, local))
    };
    bound().map_err(|error| fault("listen", format!("cannot listen on {address}: {error}{}", remedy(&error))))
}

fn bind_unix(path: &Path) -> Result<unix::Bound, Fault> {
    unix::Bound::new(path)
        .map_err(|error| fault("unix_socket", format!("cannot listen on {}: {error}", path.display())))
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; stop the process that has it (`ss -ltnp` names it), or choose another"
        }
        std::io::ErrorKind::AddrNotAvailable => "; no interface of this host has this address",
        _ => "",
    }
}

fn fault(key: &str, message: String) -> Fault {
    Fault::new(format!("server.{key}"), message)
}
