//! Gives a command that loads a module the environment that the module has in service.
//!
//! In: the tokens' configuration. A module reads its environment when it is loaded, and a process cannot safely change its
//! own: the command starts itself anew, once, with what is missing. It keeps the rest of the operator's environment.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::token::Config;

/// Returns if every variable of every token is set already, and otherwise replaces this process with itself.
///
/// # Errors
/// If two tokens want one variable to have two values, or the program cannot be started again.
pub(in crate::cli) fn enter(tokens: &[Config]) -> anyhow::Result<()> {
    let wanted = merge(tokens)?;
    if wanted.iter().all(|(name, value)| std::env::var(name).is_ok_and(|set| set == **value)) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let arg0 = arguments.next().unwrap_or_default();
    let error = Command::new(std::env::current_exe()?).arg0(arg0).args(arguments).envs(wanted).exec();
    Err(anyhow::Error::new(error).context("cannot start this command again with the token's `environment`"))
}

fn merge(tokens: &[Config]) -> anyhow::Result<BTreeMap<&String, &String>> {
    let mut wanted = BTreeMap::new();
    for token in tokens {
        for (name, value) in &token.environment {
            if wanted.insert(name, value).is_some_and(|other| other != value) {
                anyhow::bail!(
                    "two tokens set {name} differently in `environment`; name one of them with --token"
                );
            }
        }
    }
    Ok(wanted)
}
