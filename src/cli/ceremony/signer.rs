//! The signer that a ceremony starts for a step: `countersign serve`, on an otherwise silent machine.
//!
//! In: a configuration. Out: a signer that listens, and its log once it is stopped. It goes with the ceremony, also if that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::plan::PROGRAM;

/// What a signer logs once it listens.
const LISTENING: &str = "listening address=";

/// A signer that listens.
pub(super) struct RunningSigner {
    child: Child,
    log: JoinHandle<String>,
}

impl RunningSigner {
    /// Starts one, and waits until it listens.
    ///
    /// # Errors
    /// What it said, if it does not.
    pub(super) fn start(directory: &Path, config: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--stop-with-parent", &format!("--config={config}")]);
        command.current_dir(directory).env("RUST_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start the signer")?;
        let (ready, is_ready) = mpsc::channel();
        let stderr = child.stderr.take().context("the signer has no standard error")?;
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            let mut lines = BufReader::new(stderr);
            while matches!(lines.read_line(&mut log), Ok(1..)) {
                if log.lines().next_back().is_some_and(|line| line.contains(LISTENING)) {
                    // Nobody waits for the second.
                    let _ = ready.send(());
                }
            }
            log
        });
        let started = Self { child, log };
        if is_ready.recv().is_err() {
            let log = started.stop().unwrap_or_else(|error| error.to_string());
            bail!("the signer did not start:\n{}", log.trim_end());
        }
        Ok(started)
    }

    /// Has it finish, and waits for that; its log.
    ///
    /// # Errors
    /// That it was not there any more, or did not end well.
    pub(super) fn stop(mut self) -> anyhow::Result<String> {
        // It may have ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let status = self.child.wait().context("the signer is lost")?;
        let log = self.log.join().unwrap_or_else(|_| "its log is lost".to_owned());
        if status.success() { Ok(log) } else { bail!("the signer ended with {status}:\n{}", log.trim_end()) }
    }
}
