//! A step that this program does: one run of one command, watched and written down.
//!
//! In: a command, and what was agreed to. Out: a [`Run`]. The command is this very program again, with the terminal for PINs, which it
//! asks for there and shows nobody; what it prints is shown as it comes, and kept.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::action::Action;
use super::plan::{PROGRAM, Plan, digest_of};
use super::script::Signer;
use super::signer::RunningSigner;
use super::transcript::{FileDigest, NewKey, Run, Step, now};

/// One run of a step's command.
pub(super) struct Attempt<'a> {
    pub(super) plan: &'a Plan,
    pub(super) action: &'a Action,
    pub(super) config: &'a str,
    /// What was done before, which says what files were made.
    pub(super) steps: &'a [Step],
    /// The terminal.
    pub(super) screen: File,
}

/// What a command printed, and how it ended.
struct Said {
    status: ExitStatus,
    output: String,
    errors: String,
}

impl Attempt<'_> {
    /// Runs it, and fills in `run`; the key that was made, if one was.
    pub(super) fn make(&self, run: &mut Run) -> Option<NewKey> {
        let made = self.try_make(run);
        run.ended = Some(now());
        made.unwrap_or_else(|error| {
            run.problem = Some(format!("{error:#}"));
            None
        })
    }

    fn try_make(&self, run: &mut Run) -> anyhow::Result<Option<NewKey>> {
        self.unchanged()?;
        run.inputs = self.plan.read_by(self.action, self.config, self.steps)?;
        let starts = self.action.asks_signer() && self.plan.script.signer == Signer::Start;
        let signer = starts.then(|| RunningSigner::start(self.plan.directory(), self.config)).transpose()?;
        let said = self.run(&self.action.arguments(self.config));
        // It is stopped whatever the command came to.
        let log = signer.map(RunningSigner::stop).transpose();
        let said = said?;
        run.status = Some(said.status.to_string());
        (run.output, run.errors) = (said.output, said.errors);
        run.signer_log = log?;
        ensure!(said.status.success(), "countersign {} ended with {}", self.command_words(), said.status);
        if let Some(out) = self.action.out() {
            self.keep(out, run)?;
        }
        self.action.makes().map(|name| self.new_key(name)).transpose()
    }

    /// Whether the program, the modules, the configurations and the files that no step makes are what the operators agreed to.
    fn unchanged(&self) -> anyhow::Result<()> {
        let (before, now) = (&self.plan.inputs, self.plan.hash_inputs().map_err(anyhow::Error::msg)?);
        if let Some(FileDigest { what, path, .. }) = before.iter().find(|input| !now.contains(input)) {
            bail!("{what} {path} is not what it was when the operators agreed to it: put it back, or stop");
        }
        if let Some(FileDigest { what, path, .. }) = now.iter().find(|input| !before.contains(input)) {
            bail!("{what} {path} was not there when the operators agreed: move it away, or stop");
        }
        Ok(())
    }

    fn command_words(&self) -> String {
        let words = self.action.arguments(self.config);
        words.into_iter().take_while(|word| !word.starts_with("--")).collect::<Vec<_>>().join(" ")
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg0("countersign").args(arguments).current_dir(self.plan.directory()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[String]) -> anyhow::Result<Said> {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let (screen, other) = (self.screen.try_clone()?, self.screen.try_clone()?);
        let (output, errors) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| copied(errors, other));
            (copied(output, screen), errors.join().unwrap_or_default())
        });
        Ok(Said { status: child.wait()?, output, errors })
    }

    /// Makes the file of what was printed, if the command does not, and has its digest.
    fn keep(&self, out: &str, run: &mut Run) -> anyhow::Result<()> {
        let path = self.plan.directory().join(out);
        if self.action.out_is_printed() {
            let made = OpenOptions::new().write(true).create_new(true).open(&path);
            let written = made.and_then(|mut file| {
                file.write_all(run.output.as_bytes())?;
                file.sync_all()
            });
            written.with_context(|| format!("cannot make {out}"))?;
        }
        run.files.push(digest_of("output", out, Path::new(&path)).map_err(anyhow::Error::msg)?);
        Ok(())
    }

    /// The key as its token tells it to another process than the one that made it.
    fn new_key(&self, name: &str) -> anyhow::Result<NewKey> {
        let arguments =
            ["key", "show", name, "--json", &format!("--config={}", self.config)].map(str::to_owned);
        let shown = self.command(&arguments).output()?;
        let unread = || {
            let errors = String::from_utf8_lossy(&shown.stderr);
            format!("key {name} is made, but could not be read back: {}", errors.trim())
        };
        ensure!(shown.status.success(), unread());
        let shown: Value = serde_json::from_slice(&shown.stdout).with_context(unread)?;
        let field =
            |name: &str| shown.get(name).and_then(Value::as_str).map(str::to_owned).with_context(unread);
        let openssh = field("openssh")?;
        let openssh = openssh.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Ok(NewKey {
            name: name.to_owned(),
            config: self.config.to_owned(),
            fingerprint: field("fingerprint")?,
            openssh,
        })
    }
}

/// All that comes, which is shown meanwhile.
fn copied(from: Option<impl Read>, mut screen: File) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    if let Some(mut from) = from {
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let part = buffer.get(..read).unwrap_or_default();
            all.extend_from_slice(part);
            // The transcript has it, too.
            let _ = screen.write_all(part);
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
