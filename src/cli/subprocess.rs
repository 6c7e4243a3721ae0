//! Has a process of its own ask a module: one that crashes or hangs takes that process with it, and no command.
//!
//! In: a command of this program that prints JSON. Out: what it printed, or why there is nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;

/// How long a module may take to answer: network HSMs take seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs this program with these arguments, and in this environment beside its own.
///
/// # Errors
/// What a person is to read.
pub(super) async fn command<T: DeserializeOwned>(
    arguments: impl IntoIterator<Item = &OsStr>,
    environment: &BTreeMap<String, String>,
) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).envs(environment).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => Err(format!("the module does not answer within {PATIENCE:?}; does it reach its token?")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(output)) if output.status.success() => serde_json::from_slice(&output.stdout)
            .map_err(|_| "the module prints to standard output; have it print elsewhere".to_owned()),
        Ok(Ok(output)) => Err(why(&output)),
    }
}

/// Why a process gave no answer: how it was killed, or its last words.
fn why(output: &Output) -> String {
    if let Some(signal) = output.status.signal() {
        return format!("it crashes (signal {signal}); is it a PKCS#11 module, and of this machine's kind?");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find_map(|line| line.strip_prefix("countersign: "));
    last.map_or_else(|| format!("it ends its process ({})", output.status), str::to_owned)
}
