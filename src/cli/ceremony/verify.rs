//! `countersign ceremony verify`: whether a ceremony's directory is what its transcript says, and who vouches for it.
//!
//! In: a directory. Out: a line for each thing that was looked at, and whether all of it holds. Nothing is asked of a token, a signer or the
//! network. Whose keys the operators' are, a person must know: their fingerprints are printed for that.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use countersign_proto::client::escaped;
use countersign_tbs::ssh::SubjectKey;

use super::markdown;
use super::operators::{PRESENCE, TRANSCRIPT};
use super::record::Recorded;
use super::run::{people, steps};
use super::script::{Script, Work};
use super::transcript::{Directory, NewKey, Outcome, Step, Transcript, canonical, principal, read, sha256};
use crate::sshsig;

/// Which ceremony.
#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    /// The ceremony's directory
    directory: PathBuf,
    /// Where the files are that steps were given and wrote, which the transcript has the digests of [default: they are not looked at]
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
}

/// What was found so far.
struct Findings<'a, W> {
    out: &'a mut W,
    failed: usize,
}

impl<W: Write> Findings<'_, W> {
    /// One line; whether it holds.
    fn look(&mut self, what: &str, result: &anyhow::Result<String>) -> anyhow::Result<bool> {
        match result {
            Ok(said) => writeln!(self.out, "good    {what}: {}", escaped(said))?,
            Err(error) => {
                self.failed += 1;
                writeln!(self.out, "FAILED  {what}: {}", escaped(&format!("{error:#}")))?;
            }
        }
        Ok(result.is_ok())
    }
}

/// # Errors
/// That something does not hold, after a line for each; or that there is no transcript.
pub(super) fn run(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let directory = Directory::new(&args.directory);
    let (transcript, json) = directory.load()?;
    let mut findings = Findings { out, failed: 0 };
    writeln!(findings.out, "key ceremony: {}", escaped(&transcript.challenge.title))?;
    findings.look("transcript.json", &Ok(format!("SHA-256 {}", sha256(json.as_bytes()))))?;
    findings.look("outcome", &outcome(&transcript))?;
    findings.look("transcript.md", &is_made_of(&directory, &transcript, &json))?;
    findings.look("script.toml", &script(&directory, &transcript))?;
    findings.look("challenge.json", &challenge(&directory, &transcript))?;
    findings.look("what steps read", &inputs(&directory, &transcript))?;
    presence(&mut findings, &directory, &transcript)?;
    signatures(&mut findings, &directory, &transcript, &json)?;
    findings.look("allowed_signers", &signers(&directory, &transcript))?;
    if let Some(config) = &transcript.record_in {
        findings.look("ledger.json", &receipt(&directory, config, &json))?;
    }
    if let Some(files) = &args.files {
        outputs(&mut findings, files, &transcript)?;
    }
    ensure!(
        findings.failed == 0,
        "{} of these do not hold: this is not the record of a ceremony as it should be",
        findings.failed
    );
    writeln!(
        findings.out,
        "all of it holds; whether the fingerprints above are those of the people that you know, only you can say"
    )?;
    Ok(())
}

fn outcome(transcript: &Transcript) -> anyhow::Result<String> {
    match &transcript.outcome {
        Outcome::Complete => {
            ensure!(
                transcript.steps.iter().all(|step| step.done.is_some()),
                "a step is not done, and it says that all are"
            );
            Ok("every step was done".to_owned())
        }
        Outcome::Stopped { step: Some(step), why } => bail!("it was stopped in step {step}: {why}"),
        Outcome::Stopped { step: None, why } => bail!("it was stopped before its first step: {why}"),
        Outcome::Unfinished => bail!("it was never ended: it goes on, or it was killed"),
    }
}

fn is_made_of(directory: &Directory, transcript: &Transcript, json: &str) -> anyhow::Result<String> {
    let made = markdown::of(transcript, &sha256(json.as_bytes()));
    ensure!(read(&directory.markdown())? == made, "it is not what is made of transcript.json");
    Ok("made of transcript.json".to_owned())
}

/// Whether the script is the one that was agreed to, and the transcript is of its steps and its operators.
fn script(directory: &Directory, transcript: &Transcript) -> anyhow::Result<String> {
    let content = fs::read(directory.script())
        .with_context(|| format!("cannot read {}", directory.script().display()))?;
    ensure!(sha256(&content) == transcript.challenge.script_sha256, "it is not the script of this ceremony");
    let script = Script::parse(&directory.script(), &content).map_err(crate::cli::Faults)?;
    let bare = |step: &Step| Step { written: None, runs: Vec::new(), done: None, ..step.clone() };
    ensure!(
        steps(&script) == transcript.steps.iter().map(bare).collect::<Vec<_>>()
            && people(&script) == transcript.operators
            && script.title == transcript.challenge.title
            && script.threshold == transcript.threshold
            && script.record_in == transcript.record_in,
        "the transcript has other steps or operators than the script"
    );
    let made: Vec<_> = transcript.keys.iter().map(|key| key.name.clone()).collect();
    let is_complete = transcript.outcome == Outcome::Complete;
    ensure!(!is_complete || made == keys_of(&script), "the transcript has other keys than the script makes");
    Ok("the steps and the operators are its".to_owned())
}

/// Whether each file that a step was given is one that was agreed to, or that a step before it wrote.
fn inputs(directory: &Directory, transcript: &Transcript) -> anyhow::Result<String> {
    let content = fs::read(directory.script())
        .with_context(|| format!("cannot read {}", directory.script().display()))?;
    let script = Script::parse(&directory.script(), &content).map_err(crate::cli::Faults)?;
    let mut known: Vec<_> = transcript.challenge.inputs.iter().filter(|file| file.what == "input").collect();
    for ((step, done), number) in script.steps.iter().zip(&transcript.steps).zip(1..) {
        let Work::Command { action, .. } = &step.work else { continue };
        for run in done.runs.iter().filter(|run| run.status.is_some()) {
            for file in action.inputs() {
                ensure!(
                    run.inputs.iter().any(|read| read.path == file),
                    "step {number} was given {file}, and the transcript does not say what was in it"
                );
            }
            if let Some(file) = run.inputs.iter().find(|file| !known.contains(file)) {
                bail!(
                    "step {number} read another {} than was agreed to, or than a step before it wrote",
                    file.path
                );
            }
        }
        known.extend(done.runs.iter().flat_map(|run| &run.files));
    }
    Ok("agreed to, or written by a step before".to_owned())
}

/// The names of the keys that a script makes.
fn keys_of(script: &Script) -> Vec<String> {
    let made = script.steps.iter().filter_map(|step| match &step.work {
        Work::Command { action, .. } => action.makes().map(str::to_owned),
        Work::ByHand | Work::WriteDown(_) => None,
    });
    made.collect()
}

fn challenge(directory: &Directory, transcript: &Transcript) -> anyhow::Result<String> {
    let agreed = canonical(&transcript.challenge)?;
    ensure!(read(&directory.challenge())? == agreed, "it is not what the transcript says that was agreed to");
    Ok("what was agreed to".to_owned())
}

fn presence<W: Write>(
    findings: &mut Findings<'_, W>,
    directory: &Directory,
    transcript: &Transcript,
) -> anyhow::Result<()> {
    let file = directory.challenge();
    let mut present = 0;
    for name in those_there(transcript) {
        let person = transcript.person(name).context("is no operator of this ceremony");
        let signed = person.and_then(|person| signed_by(&file, name, PRESENCE, &person.fingerprint));
        present += usize::from(findings.look(&format!("presence of {name}"), &signed)?);
    }
    findings.look("enough were there", &enough(present, transcript.threshold))?;
    Ok(())
}

/// Each once, however often the transcript has them: nobody counts twice.
fn those_there(transcript: &Transcript) -> BTreeSet<&str> {
    transcript.present.iter().map(|present| present.name.as_str()).collect()
}

fn signatures<W: Write>(
    findings: &mut Findings<'_, W>,
    directory: &Directory,
    transcript: &Transcript,
    json: &str,
) -> anyhow::Result<()> {
    let file = directory.json();
    let mut signed = 0;
    for name in those_there(transcript) {
        let Some(person) = transcript.person(name) else { continue };
        if Directory::signature(&file, name).exists() {
            let result = signed_by(&file, name, TRANSCRIPT, &person.fingerprint);
            signed += usize::from(findings.look(&format!("transcript signed by {name}"), &result)?);
        }
    }
    findings.look("enough signed the transcript", &enough(signed, transcript.threshold))?;
    for key in &transcript.keys {
        let result = is_itself(key)
            .and_then(|()| signed_by(&file, &principal(&key.name), TRANSCRIPT, &key.fingerprint));
        findings.look(&format!("transcript signed by key {}", key.name), &result)?;
    }
    ensure!(read(&file)? == json, "the transcript was changed while it was looked at");
    Ok(())
}

fn enough(have: usize, threshold: usize) -> anyhow::Result<String> {
    ensure!(have >= threshold, "{have} good signatures, and {threshold} are needed");
    Ok(format!("{have}, and {threshold} are needed"))
}

/// Whose signature is beside a file, if it is by the key of this fingerprint.
fn signed_by(file: &Path, who: &str, namespace: &str, fingerprint: &str) -> anyhow::Result<String> {
    let armored = read(&Directory::signature(file, who))?;
    let key = sshsig::verify(&armored, namespace, &fs::read(file)?)?;
    ensure!(key.fingerprint() == fingerprint, "signed by {}, and not by {fingerprint}", key.fingerprint());
    Ok(format!("{} {fingerprint}", key.algorithm()))
}

/// Whether both of what the transcript says of a key are of one.
fn is_itself(key: &NewKey) -> anyhow::Result<()> {
    let told = SubjectKey::from_openssh_line(&key.openssh)?.fingerprint();
    ensure!(told == key.fingerprint, "the transcript has {told} beside {}", key.fingerprint);
    Ok(())
}

fn signers(directory: &Directory, transcript: &Transcript) -> anyhow::Result<String> {
    let there = read(&directory.allowed_signers())?;
    ensure!(there == transcript.allowed_signers(), "it has other keys than the transcript");
    Ok("the keys of the transcript".to_owned())
}

fn receipt(directory: &Directory, config: &str, json: &str) -> anyhow::Result<String> {
    let text = read(&directory.receipt())
        .with_context(|| format!("the script has it recorded in the ledger of {config}"))?;
    let recorded: Recorded = serde_json::from_str(&text).context("it is no receipt")?;
    ensure!(recorded.transcript_sha256 == sha256(json.as_bytes()), "it is the receipt of another transcript");
    let Recorded { log_origin, entry_index, .. } = recorded;
    Ok(format!(
        "says entry {entry_index} of {log_origin}; `countersign ledger show` there has the transcript's SHA-256"
    ))
}

fn outputs<W: Write>(
    findings: &mut Findings<'_, W>,
    directory: &Path,
    transcript: &Transcript,
) -> anyhow::Result<()> {
    let agreed = transcript.challenge.inputs.iter().filter(|file| file.what == "input");
    let written = transcript.steps.iter().flat_map(|step| &step.runs).flat_map(|run| &run.files);
    for file in agreed.chain(written) {
        let result = fs::read(directory.join(&file.path)).map_err(anyhow::Error::from).and_then(|content| {
            let did = if file.what == "input" { "read" } else { "wrote" };
            ensure!(sha256(&content) == file.sha256, "it is not what the ceremony {did}");
            Ok(format!("SHA-256 {}", file.sha256))
        });
        findings.look(&file.path, &result)?;
    }
    Ok(())
}
