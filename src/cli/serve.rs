//! `countersign serve`: the daemon until SIGTERM or SIGINT, its log on standard error. SIGHUP reads the TLS files again.
//!
//! A signal that ends it does so at any time, also while a module hangs before the start is done.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigArgs, Faults};
use crate::daemon::Daemon;
use crate::server::Reload;
use crate::token::process;

/// Arguments of `countersign serve`.
#[derive(clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Stop, as SIGTERM has it stop, when the process that started it ends: for a signer that serves one job
    #[arg(long)]
    stop_with_parent: bool,
}

/// Starts the service and runs it until it is told to stop.
///
/// # Errors
/// [`Faults`] if it could not start, each with what to do, or [`Passing`](super::Passing) if another try may; anything else broke while
/// it ran.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    if args.stop_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let config = &args.config.load_guarded()?;
    super::log(tracing::Level::INFO);
    // Its TLS key belongs into no core file and no debugger.
    process::seal()?;
    let runtime = super::runtime()?;
    let served = runtime.block_on(async {
        // Before the start, which they end as well.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        let mut stopped = pin!(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            }
        });
        let daemon = tokio::select! {
            biased;
            // A start that is dropped kills the token processes that it has made: a module may hang in a call that never returns.
            () = &mut stopped => return Ok(()),
            daemon = Daemon::start(config) => daemon.map_err(|faults| Faults(faults).of_start())?,
        };
        if let Some(tls_files) = daemon.tls_files() {
            tokio::spawn(reload(hangup, tls_files));
        }
        Ok(daemon.run(stopped).await?)
    });
    // Whoever reads a disk that hangs would be waited for.
    runtime.shutdown_background();
    served
}

/// Takes the TLS files as they are now at each SIGHUP; what is wrong with them is logged, and the old ones stay in use.
async fn reload(mut hangup: Signal, tls_files: Reload) {
    while hangup.recv().await.is_some() {
        match tls_files.reload() {
            Ok(()) => tracing::info!(
                "SIGHUP: new connections use the TLS files as they are now; the configuration itself is read again only by a restart"
            ),
            Err(faults) => {
                for fault in faults {
                    tracing::error!("SIGHUP: the TLS files that were loaded before stay in use: {fault}");
                }
            }
        }
    }
}
