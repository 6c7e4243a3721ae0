//! `countersign agent`: an SSH agent whose keys are a signer's CA keys, until SIGTERM or SIGINT. Its log is on standard error.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use countersign_proto::client::ConnectError;
use listenfd::ListenFd;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::NoAnswer;
use super::server::ServerArgs;
use crate::agent::{self, Agent, Socket, Upstream};
use crate::token::process;

/// Where clients come from, and where the signer is.
#[derive(Debug, clap::Args)]
pub(super) struct AgentArgs {
    /// The Unix socket to make and listen on, which is SSH_AUTH_SOCK for clients; for this user and root alone
    #[arg(long, value_name = "PATH", required_unless_present = "socket_activation")]
    listen: Option<PathBuf>,
    /// Listen on the one socket that systemd hands over (LISTEN_FDS) instead
    #[arg(long, conflicts_with = "listen")]
    socket_activation: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// [`NoAnswer`] if it could not start.
pub(super) fn run(args: &AgentArgs) -> anyhow::Result<()> {
    // Before there are threads: the variables that name the socket are read and removed.
    let handed_over = args.socket_activation.then(handed_over).transpose().map_err(NoAnswer)?;
    super::log(tracing::Level::INFO);
    // Its TLS key belongs into no core file and no debugger.
    process::seal()?;
    super::runtime()?.block_on(async {
        // Before the start, so that a signal that comes meanwhile is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let upstream = upstream(&args.server).await.map_err(NoAnswer)?;
        let socket = socket(args.listen.as_deref(), handed_over).map_err(NoAnswer)?;
        let stopped = async move {
            tokio::select! {
                _ = terminate.recv() => info!("SIGTERM: stopping"),
                _ = interrupt.recv() => info!("SIGINT: stopping"),
            }
        };
        agent::serve(socket, Agent::new(upstream), stopped).await;
        Ok(())
    })
}

/// The socket that systemd made.
fn handed_over() -> anyhow::Result<UnixListener> {
    let mut handed_over = ListenFd::from_env();
    anyhow::ensure!(
        handed_over.len() == 1,
        "{} sockets were handed over, and --socket-activation wants one: start this by a systemd .socket unit with one \
         ListenStream=, or give --listen",
        handed_over.len()
    );
    let listener =
        handed_over.take_unix_listener(0).context("what was handed over is no Unix stream socket")?;
    listener.ok_or_else(|| anyhow!("the socket that was handed over is gone"))
}

fn socket(path: Option<&Path>, handed_over: Option<UnixListener>) -> anyhow::Result<Socket> {
    let (socket, name) = match (path, handed_over) {
        (Some(path), None) => {
            let socket =
                Socket::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
            (socket, path.display().to_string())
        }
        (_, Some(listener)) => (Socket::inherited(listener)?, "handed over".to_owned()),
        (None, None) => return Err(anyhow!("there is nowhere to listen: give --listen")),
    };
    info!(socket = name, "listening");
    Ok(socket)
}

/// The signer. One that is not there yet may come; files or an address that are wrong stay wrong.
async fn upstream(server: &ServerArgs) -> anyhow::Result<Upstream> {
    let upstream = server.upstream()?;
    match upstream.connect().await {
        Ok(()) => {}
        Err(error @ ConnectError::Unreachable { .. }) => {
            warn!("{error}; every request is answered with FAILURE until it can be reached");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(upstream)
}
