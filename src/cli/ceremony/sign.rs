//! `countersign ceremony sign`: a key that was made in a ceremony signs its transcript.
//!
//! In: a ceremony's directory, and a key. Out: the signature beside the transcript, in SSH's form. Promised: only the transcript of a
//! ceremony that is complete, and that says that this very key was made in it, is signed. It goes past the signer's policy and ledger:
//! the namespace keeps the signature from being one of anything else, and nobody but the operator, who has the PIN, can ask for it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::operators::TRANSCRIPT;
use super::plan::{PROGRAM, Plan, ssh_scheme};
use super::transcript::{Directory, NewKey, Outcome, principal};
use crate::cli::ConfigArgs;
use crate::cli::token::environment;
use crate::cli::unfinished::{Existing, Unfinished};
use crate::sshsig;
use crate::token::{once, process};

/// Whose transcript, and which key.
#[derive(clap::Args)]
pub(crate) struct SignArgs {
    /// The ceremony's directory
    directory: PathBuf,
    /// The key's name in the configuration, which is its name in the transcript
    #[arg(long, value_name = "NAME")]
    key: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// # Errors
/// Why the key did not sign.
pub(super) fn run(args: &SignArgs) -> anyhow::Result<()> {
    process::seal()?;
    let directory = Directory::new(&args.directory);
    let (transcript, json) = directory.load()?;
    ensure!(
        transcript.outcome == Outcome::Complete,
        "the ceremony is not complete, and nothing was signed: no key vouches for half of one"
    );
    let made = transcript.keys.iter().find(|key| key.name == args.key);
    let made = made.with_context(|| format!("no key {} was made in this ceremony", args.key))?;
    let config = args.config.load()?;
    let key = config.keys.iter().find(|key| key.name.as_str() == args.key);
    let key = key.with_context(|| format!("there is no [key.{}] in the configuration", args.key))?;
    let token = config.tokens.iter().find(|token| token.name == key.token);
    let token = token.with_context(|| format!("there is no [token.{}] in the configuration", key.token))?;
    let scheme = ssh_scheme(key.scheme).with_context(|| format!("SSH has no {} signatures", key.scheme))?;
    environment::enter(std::slice::from_ref(token))?;
    let key = crate::key::Config { scheme, ..key.clone() };
    let message = sshsig::to_sign(TRANSCRIPT, json.as_bytes());
    let (public_key, raw) = once::sign(token, &key, &config.latch(&token.name), &message)?;
    ensure!(
        public_key.fingerprint() == made.fingerprint,
        "the token has {} as key {}, and the one of the ceremony is {}: its signature was thrown away",
        public_key.fingerprint(),
        args.key,
        made.fingerprint
    );
    let armored = sshsig::armored(&public_key, scheme, TRANSCRIPT, &raw)?;
    let file = Directory::signature(&directory.json(), &principal(&args.key));
    Unfinished::beside(&file)?.finish_as(armored.as_bytes(), Existing::Kept)
}

/// Has a process of its own do it: modules read their environment when they are loaded, and keys may be on several tokens.
///
/// # Errors
/// What it said.
pub(super) fn in_child(plan: &Plan, directory: &Directory, key: &NewKey) -> anyhow::Result<()> {
    let mut command = Command::new(PROGRAM);
    command.args(["ceremony", "sign"]).arg(std::path::absolute(directory.path())?);
    command.args([format!("--key={}", key.name), format!("--config={}", key.config)]);
    command.current_dir(plan.directory()).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim().trim_start_matches("countersign: "));
    Ok(())
}
