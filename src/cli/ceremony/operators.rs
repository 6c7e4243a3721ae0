//! The operators, each of whom shows by a signature that they are there.
//!
//! In: a file, and who may sign it. Out: so many of them that have, and their signatures beside the file. A signature counts if it
//! verifies, in its namespace, of this very file, by the key of one who has not signed yet; every other is refused with its reason, and
//! asked for again. Keys are named and used by `ssh-keygen`, here or elsewhere, so that agents and FIDO keys will do; none is read here.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::script::Operator;
use super::terminal::{Stop, Terminal};
use super::transcript::{Directory, Present, now};
use crate::sshsig;

/// The namespace of signatures by which operators say that they are there.
pub(super) const PRESENCE: &str = "presence@ceremony.countersign";
/// The namespace of signatures of the transcript.
pub(super) const TRANSCRIPT: &str = "transcript@ceremony.countersign";

/// More than any signature has.
const MAX_SIGNATURE: u64 = 64 * 1024;

/// What is to be signed, and by how many.
pub(super) struct Collection<'a> {
    pub(super) file: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) operators: Vec<&'a Operator>,
    pub(super) threshold: usize,
}

impl Collection<'_> {
    /// Asks until there are enough, and nobody wants to add theirs.
    pub(super) fn collect(&self, terminal: &mut Terminal) -> Result<Vec<Present>, Stop> {
        let (file, namespace) = (self.file.display(), self.namespace);
        terminal.say(&format!(
            "Each signs {file}: type the path of your private key (or of the .pub file of a key in an agent), and ssh-keygen is\n\
             run here; or sign it elsewhere, and press Enter when {file}.sig is there:\n\n    \
             ssh-keygen -Y sign -n {namespace} -f YOUR_KEY {file}\n"
        ));
        let mut present: Vec<Present> = Vec::new();
        while present.len() < self.operators.len() {
            let answer = terminal.ask(&self.question(present.len()))?;
            if answer == "go" && present.len() >= self.threshold {
                break;
            }
            match self.take(&answer, &present) {
                Ok(operator) => {
                    terminal.say(&format!("{}: {}", operator.name, operator.key.fingerprint()));
                    present.push(Present { name: operator.name.clone(), time: now() });
                }
                Err(error) => terminal.say(&format!("not taken: {error:#}")),
            }
        }
        Ok(present)
    }

    fn question(&self, have: usize) -> String {
        let (next, of) = (have + 1, self.operators.len());
        if have >= self.threshold {
            format!("signature {next} of {of}, or `go` with {have}, or `stop`:")
        } else {
            format!("signature {next} of at least {}, or `stop`:", self.threshold)
        }
    }

    /// Whose signature it is, which is kept then.
    fn take(&self, key: &str, present: &[Present]) -> anyhow::Result<&Operator> {
        let signature = PathBuf::from(format!("{}.sig", self.file.display()));
        if !key.is_empty() {
            self.sign_with(key)?;
        }
        let armored = read_signature(&signature)?;
        let judged = self.judge(&armored, present);
        match judged {
            Ok(operator) => {
                let kept = Directory::signature(self.file, &operator.name);
                std::fs::rename(&signature, &kept)
                    .with_context(|| format!("cannot rename {}", signature.display()))?;
                Ok(operator)
            }
            Err(error) => {
                // Or ssh-keygen would ask whether to write over it.
                let _ = std::fs::remove_file(&signature);
                Err(error)
            }
        }
    }

    fn sign_with(&self, key: &str) -> anyhow::Result<()> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "sign", "-n", self.namespace, "-f", key]).arg(self.file);
        let status = command.stdout(Stdio::null()).status();
        let status =
            status.context("ssh-keygen cannot be run here: sign the file elsewhere, and press Enter")?;
        if !status.success() {
            bail!("ssh-keygen did not sign with {key} ({status}); try again");
        }
        Ok(())
    }

    fn judge(&self, armored: &str, present: &[Present]) -> anyhow::Result<&Operator> {
        let content = std::fs::read(self.file)?;
        let key = sshsig::verify(armored, self.namespace, &content)?;
        let operator = self.operators.iter().find(|operator| operator.key == key);
        let Some(operator) = operator else {
            let names: Vec<_> = self.operators.iter().map(|operator| operator.name.as_str()).collect();
            bail!("{} is the key of none of {}", key.fingerprint(), names.join(", "));
        };
        if present.iter().any(|present| present.name == operator.name) {
            bail!("{} has signed already: the next signature is somebody else's", operator.name);
        }
        Ok(operator)
    }
}

fn read_signature(path: &Path) -> anyhow::Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("there is no {}", path.display()))?;
    let mut text = String::new();
    file.take(MAX_SIGNATURE).read_to_string(&mut text).context("the signature is no text")?;
    Ok(text)
}
