//! `countersign ceremony run`: the dry run, those who are there, the steps, the signatures.
//!
//! In: a script, and a terminal. Out: a directory with the transcript. Promised: no step is done that nobody confirmed, none after one
//! that failed, and what happened is on disk before anything else happens.

use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64ct::{Base64, Encoding};
use countersign_proto::client::escaped;

use super::action::Action;
use super::operators::{Collection, PRESENCE, TRANSCRIPT};
use super::plan::Plan;
use super::record;
use super::script::{Operator, Script, Work, step_name};
use super::sign;
use super::step::Attempt;
use super::terminal::{Stop, Terminal};
use super::transcript::{
    Challenge, Directory, FORMAT, Host, Outcome, Person, Run, Step, Transcript, canonical, now, read, sha256,
    write,
};
use crate::cli::Faults;
use crate::cli::server::random_id;

/// Which ceremony, and where its transcript goes.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// The script
    file: PathBuf,
    /// The directory to make for the transcript and its signatures; it must not be there yet [default: ceremony-TIME]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Check everything that can be checked without touching a token, print the plan, and stop there
    #[arg(long)]
    dry_run: bool,
}

/// A ceremony that goes on.
struct Ceremony {
    plan: Plan,
    directory: Directory,
    terminal: Terminal,
    transcript: Transcript,
}

/// How a ceremony comes to an early end.
enum Halt {
    /// Somebody wants that; the transcript is to say so.
    Stop(Stop),
    /// The transcript cannot be written.
    Broken(anyhow::Error),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// # Errors
/// Every fault of the script before anything is done; that the ceremony was stopped, and where its transcript is.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let plan = Plan::make(&args.file).map_err(Faults)?;
    if args.dry_run {
        let mut out = io::stdout().lock();
        writeln!(out, "{plan}\nno faults: this was the dry run, and nothing was done")?;
        return Ok(());
    }
    let mut ceremony = Ceremony::begin(plan, args.directory.as_deref())?;
    match ceremony.hold() {
        Ok(()) => Ok(()),
        Err(Halt::Stop(Stop(why))) => Err(ceremony.stop(why)),
        Err(Halt::Broken(error)) => {
            Err(error.context("the ceremony is over: what happens now could not be written down"))
        }
    }
}

impl Ceremony {
    fn begin(plan: Plan, directory: Option<&Path>) -> anyhow::Result<Self> {
        let mut terminal = Terminal::open()?;
        let time = now();
        let default = PathBuf::from(format!("ceremony-{}", time.replace(':', "")));
        let directory = Directory::new(directory.unwrap_or(&default));
        std::fs::DirBuilder::new().mode(0o700).create(directory.path()).with_context(|| {
            format!("cannot make {}, which must not be there yet", directory.path().display())
        })?;
        let transcript = transcript(&plan, time)?;
        write(&directory.script(), &plan.content)?;
        write(&directory.challenge(), canonical(&transcript.challenge)?.as_bytes())?;
        directory.save(&transcript)?;
        terminal.say(&format!(
            "{plan}\nno faults: this was the dry run. All that follows is written into {}.\n",
            directory.path().display()
        ));
        Ok(Self { plan, directory, terminal, transcript })
    }

    fn hold(&mut self) -> Result<(), Halt> {
        self.presence()?;
        for at in 0..self.plan.script.steps.len() {
            self.step(at)?;
        }
        self.transcript.outcome = Outcome::Complete;
        self.transcript.ended = Some(now());
        self.directory.save(&self.transcript)?;
        self.signatures()
    }

    fn presence(&mut self) -> Result<(), Halt> {
        let Script { operators, threshold, .. } = &self.plan.script;
        self.terminal.say(&format!(
            "Who is here? {threshold} of {} operators show it by a signature, and that they agree to the plan above.",
            operators.len()
        ));
        let file = self.directory.challenge();
        let collection = Collection {
            file: &file,
            namespace: PRESENCE,
            operators: operators.iter().collect(),
            threshold: *threshold,
        };
        self.transcript.present = collection.collect(&mut self.terminal)?;
        Ok(self.directory.save(&self.transcript)?)
    }

    /// Shows one step, has it confirmed, and does it.
    fn step(&mut self, at: usize) -> Result<(), Halt> {
        let number = at + 1;
        let Some(step) = self.plan.script.steps.get(at).cloned() else { return Ok(()) };
        let described = self.plan.described(number, &step).unwrap_or_default();
        self.terminal.say(&format!("\nstep {number} of {}\n{described}", self.plan.script.steps.len()));
        match &step.work {
            Work::ByHand => self.confirm(number, "when it is done")?,
            Work::WriteDown(what) => {
                let written = self.written(number, what)?;
                self.entry(at, |entry| entry.written = Some(written))?;
            }
            Work::Command { action, config } => {
                self.confirm(number, "to have it done")?;
                self.command(at, action, config)?;
            }
        }
        self.entry(at, |entry| entry.done = Some(now()))
    }

    /// Runs a step's command until it succeeds and what it made is seen, or somebody has had enough.
    fn command(&mut self, at: usize, action: &Action, config: &str) -> Result<(), Halt> {
        let mut printed = None;
        loop {
            self.entry(at, |entry| entry.runs.push(Run { began: now(), ..Run::default() }))?;
            let screen = self.terminal.writer().context("the terminal is gone")?;
            let mut run = Run { began: now(), ..Run::default() };
            let steps = &self.transcript.steps;
            let (plan, directory, printed) = (&self.plan, self.directory.path(), &mut printed);
            let attempt = Attempt { plan, action, config, directory, steps, screen, printed };
            let made = attempt.make(&mut run);
            let problem = run.problem.clone();
            self.transcript.keys.extend(made);
            self.entry(at, |entry| {
                entry.runs.pop();
                entry.runs.push(run);
            })?;
            let Some(problem) = problem else { return Ok(()) };
            self.terminal.say(&format!("\n{} failed: {problem}", step_name(at + 1)));
            self.again()?;
        }
    }

    /// Nothing but the step's number is a yes.
    fn confirm(&mut self, number: usize, what: &str) -> Result<(), Stop> {
        let question = format!("type {number} {what}, or `stop`:");
        while self.terminal.ask(&question)? != number.to_string() {}
        Ok(())
    }

    /// What people type, once they have seen it and say that it is right.
    fn written(&mut self, number: usize, what: &str) -> Result<String, Stop> {
        loop {
            let written = self.terminal.ask(&format!("{}:", escaped(what)))?;
            if super::script::is_line(&written) && self.is_right(number, &written)? {
                return Ok(written);
            }
        }
    }

    fn is_right(&mut self, number: usize, written: &str) -> Result<bool, Stop> {
        self.terminal.say(&format!("to be written down: {}", escaped(written)));
        let question =
            format!("type {number} if it is done, and that is right, or `again` to type it anew, or `stop`:");
        loop {
            match self.terminal.ask(&question)? {
                answer if answer == number.to_string() => return Ok(true),
                answer if answer == "again" => return Ok(false),
                _ => {}
            }
        }
    }

    /// Changes what the transcript says of a step, on disk as well.
    fn entry(&mut self, at: usize, change: impl FnOnce(&mut Step)) -> Result<(), Halt> {
        self.transcript.steps.get_mut(at).map(change);
        Ok(self.directory.save(&self.transcript)?)
    }

    /// The transcript, which nothing changes any more, is signed and recorded.
    fn signatures(&mut self) -> Result<(), Halt> {
        let signers = self.transcript.allowed_signers();
        write(&self.directory.allowed_signers(), signers.as_bytes())?;
        let json = read(&self.directory.json())?;
        self.terminal.say(&format!(
            "\nEvery step is done. The SHA-256 of the transcript is\n\n    {}\n",
            sha256(json.as_bytes())
        ));
        for at in 0..self.transcript.keys.len() {
            self.key_signs(at)?;
        }
        let file = self.directory.json();
        let Script { operators, threshold, .. } = &self.plan.script;
        let is_present = |operator: &&Operator| {
            self.transcript.present.iter().any(|present| present.name == operator.name)
        };
        let operators = operators.iter().filter(is_present).collect();
        let collection = Collection { file: &file, namespace: TRANSCRIPT, operators, threshold: *threshold };
        let signed = collection.collect(&mut self.terminal)?;
        let participants: Vec<_> = signed.into_iter().map(|present| present.name).collect();
        self.record(&json, &participants)?;
        let directory = self.directory.path().display();
        self.terminal.say(&format!(
            "\nThe ceremony is complete. `countersign ceremony verify {directory}` checks all of it."
        ));
        Ok(())
    }

    fn key_signs(&mut self, at: usize) -> Result<(), Halt> {
        let Some(key) = self.transcript.keys.get(at).cloned() else { return Ok(()) };
        loop {
            match sign::in_child(&self.plan, &self.directory, &key) {
                Ok(()) => {
                    self.terminal.say(&format!("key {}: {}", key.name, key.fingerprint));
                    return Ok(());
                }
                Err(error) => {
                    self.terminal.say(&format!("key {} did not sign the transcript: {error:#}", key.name));
                }
            }
            self.again()?;
        }
    }

    fn record(&mut self, json: &str, participants: &[String]) -> Result<(), Halt> {
        let Some(config) = self.plan.script.record_in.clone() else { return Ok(()) };
        loop {
            match record::record(&self.plan, &self.directory, &config, json, participants) {
                Ok(said) => {
                    self.terminal.say(&said);
                    return Ok(());
                }
                Err(error) => self.terminal.say(&format!("the transcript was not recorded: {error:#}")),
            }
            self.again()?;
        }
    }

    /// Waits until somebody wants what failed to be done again.
    fn again(&mut self) -> Result<(), Stop> {
        while self.terminal.ask("type `again` to have it done again, or `stop`:")? != "again" {}
        Ok(())
    }

    /// The transcript says that it was stopped, unless it was complete before.
    fn stop(&mut self, why: String) -> anyhow::Error {
        let directory = self.directory.path().display().to_string();
        if self.transcript.outcome == Outcome::Complete {
            return anyhow::anyhow!(
                "every step is done, but not every signature is there: {why}. What there is, is in {directory}"
            );
        }
        let done = self.transcript.steps.iter().take_while(|step| step.done.is_some()).count();
        let step = (!self.transcript.present.is_empty()).then_some(done + 1);
        let place =
            step.map_or_else(|| "before its first step".to_owned(), |step| format!("in {}", step_name(step)));
        let said = format!(
            "the ceremony was stopped {place}: {why}. What was done until then is in {directory}, and was not undone"
        );
        self.transcript.outcome = Outcome::Stopped { step, why };
        self.transcript.ended = Some(now());
        match self.directory.save(&self.transcript) {
            Ok(()) => anyhow::anyhow!(said),
            Err(error) => error.context(said),
        }
    }
}

/// One in which nothing has happened yet.
fn transcript(plan: &Plan, time: String) -> anyhow::Result<Transcript> {
    let script = &plan.script;
    let challenge = Challenge {
        title: script.title.clone(),
        time,
        nonce: random_id()?,
        script_sha256: script.sha256.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: plan.inputs.clone(),
    };
    let kernel = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
    };
    Ok(Transcript {
        format: FORMAT.to_owned(),
        challenge,
        threshold: script.threshold,
        operators: people(script),
        present: Vec::new(),
        host: Host {
            name: kernel("hostname"),
            kernel: format!("{} {}", kernel("ostype"), kernel("osrelease")),
        },
        steps: steps(script),
        keys: Vec::new(),
        record_in: script.record_in.clone(),
        outcome: Outcome::Unfinished,
        ended: None,
    })
}

/// A script's operators, as a transcript has them.
pub(super) fn people(script: &Script) -> Vec<Person> {
    let person = |operator: &Operator| Person {
        name: operator.name.clone(),
        key: format!("{} {}", operator.key.algorithm(), Base64::encode_string(&operator.key.to_wire())),
        fingerprint: operator.key.fingerprint(),
    };
    script.operators.iter().map(person).collect()
}

/// A script's steps, none of which is done.
pub(super) fn steps(script: &Script) -> Vec<Step> {
    let step = |step: &super::script::Step| Step {
        text: step.text.clone(),
        command: step.arguments(),
        write_down: if let Work::WriteDown(what) = &step.work { Some(what.clone()) } else { None },
        written: None,
        runs: Vec::new(),
        done: None,
    };
    script.steps.iter().map(step).collect()
}
