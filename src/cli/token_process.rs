//! `countersign token-process`: what the daemon runs for each token. Hidden: nobody else can speak to it.

use crate::token::process;

/// Serves the control socket that standard input must be, and exits with the process: this never returns.
#[expect(clippy::print_stderr, reason = "the daemon passes its standard error on, and reads no other output")]
pub(super) fn run() -> anyhow::Result<()> {
    match process::run() {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!(
                "countersign token-process: {error}; it is started by `countersign serve`, not by hand"
            );
            process::exit(1)
        }
    }
}
