//! What happened in a ceremony, as a file: `transcript.json`, and `transcript.md` for people, which is made of it.
//!
//! In: what the ceremony does, as it does it. Out: one object in one encoding (keys sorted, no spaces), written whole and durably after
//! each change, so that a ceremony that is killed leaves what it did. Promised: no secret is in it; what is read back is exactly what
//! was written.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::markdown;
use super::operators::{PRESENCE, TRANSCRIPT};
use crate::cli::unfinished::Unfinished;
use crate::token::pkcs11::key::hex;

/// The first word of every transcript.
pub(super) const FORMAT: &str = "countersign-ceremony-v1";

/// One ceremony.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transcript {
    pub(super) format: String,
    pub(super) challenge: Challenge,
    pub(super) threshold: usize,
    pub(super) operators: Vec<Person>,
    /// Those who showed before the first step that they were there.
    pub(super) present: Vec<Present>,
    pub(super) host: Host,
    pub(super) steps: Vec<Step>,
    /// Those that were made, each of which signs the transcript.
    pub(super) keys: Vec<NewKey>,
    /// The configuration of the signer whose ledger gets this transcript's digest.
    pub(super) record_in: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) ended: Option<String>,
}

/// What operators sign to show that they are there, and what they agree to: `challenge.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Challenge {
    pub(super) title: String,
    pub(super) time: String,
    pub(super) nonce: String,
    pub(super) script_sha256: String,
    /// The version of this program.
    pub(super) version: String,
    /// This program, the modules that it loads, the configurations that it reads, and the files that steps read and none makes.
    pub(super) inputs: Vec<FileDigest>,
}

/// A file, and what was in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDigest {
    /// `program`, `module`, `configuration`, `input`, `certificate` (one that a configuration names) or `output`.
    pub(super) what: String,
    pub(super) path: String,
    pub(super) sha256: String,
}

/// An operator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub(super) name: String,
    /// A line of a .pub file, without a comment.
    pub(super) key: String,
    pub(super) fingerprint: String,
}

/// When an operator's signature was taken.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Present {
    pub(super) name: String,
    pub(super) time: String,
}

/// The machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) kernel: String,
}

/// One step of the script.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) text: String,
    /// The arguments of this program; nothing for what people do.
    pub(super) command: Option<Vec<String>>,
    /// What people were to write down, and what they wrote.
    pub(super) write_down: Option<String>,
    pub(super) written: Option<String>,
    /// Each time that the command was run.
    pub(super) runs: Vec<Run>,
    /// When it was done.
    pub(super) done: Option<String>,
}

/// One run of a command.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) began: String,
    /// What it was given: `input`, as it was agreed to, or another step's `output`.
    pub(super) inputs: Vec<FileDigest>,
    /// Nothing if the ceremony was killed meanwhile.
    pub(super) ended: Option<String>,
    /// How the command ended: `exit status: 0`; nothing if it was not run, or not again, for it had succeeded before.
    pub(super) status: Option<String>,
    pub(super) output: String,
    pub(super) errors: String,
    /// What the signer that was started for it logged.
    pub(super) signer_log: Option<String>,
    pub(super) files: Vec<FileDigest>,
    /// Why it counts as failed.
    pub(super) problem: Option<String>,
}

/// A key that was made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    pub(super) name: String,
    pub(super) config: String,
    pub(super) fingerprint: String,
    /// A line of a .pub file, without a comment.
    pub(super) openssh: String,
}

/// How it ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It did not, yet; or it was killed.
    Unfinished,
    /// Somebody stopped it.
    Stopped {
        /// Before this step was done, counted from 1; nothing if before the first.
        step: Option<usize>,
        why: String,
    },
    /// Every step was done.
    Complete,
}

impl Transcript {
    /// The one encoding.
    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        canonical(self)
    }

    /// Reads what [`Self::to_json`] made.
    ///
    /// # Errors
    /// For everything else.
    pub(super) fn from_json(json: &str) -> anyhow::Result<Self> {
        let transcript: Self = serde_json::from_str(json).context("this is no transcript")?;
        ensure!(transcript.format == FORMAT, "a transcript of format {:?}, not {FORMAT}", transcript.format);
        ensure!(transcript.to_json()? == json, "the transcript is not in its one encoding");
        Ok(transcript)
    }

    /// What `ssh-keygen -Y verify` goes by: the operators, and the keys that were made.
    pub(super) fn allowed_signers(&self) -> String {
        let operator = |person: &Person| {
            format!("{} namespaces=\"{PRESENCE},{TRANSCRIPT}\" {}\n", person.name, person.key)
        };
        let key =
            |key: &NewKey| format!("{} namespaces=\"{TRANSCRIPT}\" {}\n", principal(&key.name), key.openssh);
        self.operators.iter().map(operator).chain(self.keys.iter().map(key)).collect()
    }

    /// Those who signed, or may sign, by name.
    pub(super) fn person(&self, name: &str) -> Option<&Person> {
        self.operators.iter().find(|person| person.name == name)
    }
}

/// A ceremony's directory.
#[derive(Clone, Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn script(&self) -> PathBuf {
        self.0.join("script.toml")
    }

    pub(super) fn challenge(&self) -> PathBuf {
        self.0.join("challenge.json")
    }

    pub(super) fn json(&self) -> PathBuf {
        self.0.join("transcript.json")
    }

    pub(super) fn markdown(&self) -> PathBuf {
        self.0.join("transcript.md")
    }

    pub(super) fn allowed_signers(&self) -> PathBuf {
        self.0.join("allowed_signers")
    }

    /// Where the transcript is in a ledger.
    pub(super) fn receipt(&self) -> PathBuf {
        self.0.join("ledger.json")
    }

    /// The signature of an operator, or (`key:NAME`) of a key, beside what it is of.
    pub(super) fn signature(of: &Path, who: &str) -> PathBuf {
        let mut name = of.as_os_str().to_owned();
        // No operator's name has such a sign.
        name.push(format!(".{}.sig", who.replace(':', "=")));
        name.into()
    }

    /// Writes the transcript in both forms.
    pub(super) fn save(&self, transcript: &Transcript) -> anyhow::Result<()> {
        let json = transcript.to_json()?;
        write(&self.json(), json.as_bytes())?;
        write(&self.markdown(), markdown::of(transcript, &sha256(json.as_bytes())).as_bytes())
    }

    /// The transcript, and its bytes.
    pub(super) fn load(&self) -> anyhow::Result<(Transcript, String)> {
        let json = read(&self.json())?;
        let transcript = Transcript::from_json(&json).with_context(|| self.json().display().to_string())?;
        Ok((transcript, json))
    }
}

/// Writes a file whole, or not at all.
pub(super) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    Unfinished::beside(path)?.finish(content)
}

/// A file of text.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What a key is called where operators are, too.
pub(super) fn principal(key: &str) -> String {
    format!("key:{key}")
}

/// Keys sorted, no spaces.
pub(super) fn canonical(value: &impl Serialize) -> anyhow::Result<String> {
    // Through a value, whose objects are sorted.
    Ok(serde_json::to_string(&serde_json::to_value(value)?)?)
}

/// In hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The time of now, in whole seconds.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn empty() -> Transcript {
        let text = String::new;
        let challenge = Challenge {
            title: text(),
            time: text(),
            nonce: text(),
            script_sha256: text(),
            version: text(),
            inputs: Vec::new(),
        };
        Transcript {
            format: FORMAT.to_owned(),
            challenge,
            threshold: 1,
            operators: Vec::new(),
            present: Vec::new(),
            host: Host { name: text(), kernel: text() },
            steps: Vec::new(),
            keys: Vec::new(),
            record_in: None,
            outcome: Outcome::Stopped { step: None, why: "\u{1b}".to_owned() },
            ended: None,
        }
    }

    #[test]
    fn a_transcript_has_one_encoding() {
        let json = empty().to_json().unwrap();
        let head = r#"{"challenge":{"inputs":[],"nonce":"","script_sha256":"","time":"","title":"","version":""},"ended":null,"#;
        assert!(json.starts_with(head), "{json}");
        assert_eq!(Transcript::from_json(&json).unwrap(), empty());
        let others = [
            json.replace(":null", ": null"),
            json.replacen("\"ended\":null,", "", 1),
            json.replacen('{', "{\"more\":1,", 1),
            json.replace("\\u001b", "\\u001B"),
            json.replace("-v1", "-v2"),
            format!("{json}\n"),
        ];
        for other in others {
            assert_ne!(other, json);
            Transcript::from_json(&other).unwrap_err();
        }
    }

    #[test]
    fn no_operators_signature_takes_the_place_of_a_keys() {
        let of_key = Directory::signature(Path::new("t"), &principal("root"));
        assert_eq!(of_key, Path::new("t.key=root.sig"));
        assert!(crate::key::KeyName::new("key=root").is_err());
    }
}
