//! A step that this program does: one run of one command, watched and written down.
//!
//! In: a command, and what was agreed to. Out: a [`Run`]. The command is this very program again, with the terminal for PINs, which it
//! asks for there and shows nobody; what it prints is shown as it comes, and kept. Promised: a command that has succeeded is not run again,
//! for what it made is there; only what is done with that is.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::action::Action;
use super::copies::Copies;
use super::plan::{PROGRAM, Plan, digest_of};
use super::script::Signer;
use super::signer::RunningSigner;
use super::transcript::{FileDigest, NewKey, Run, Step, now};

/// One run of a step's command.
pub(super) struct Attempt<'a> {
    pub(super) plan: &'a Plan,
    pub(super) action: &'a Action,
    pub(super) config: &'a str,
    /// The ceremony's directory.
    pub(super) directory: &'a Path,
    /// What was done before, which says what files were made.
    pub(super) steps: &'a [Step],
    /// The terminal.
    pub(super) screen: File,
    /// What the command printed, once it has succeeded.
    pub(super) printed: &'a mut Option<String>,
}

/// What a command printed, and how it ended.
struct Said {
    status: ExitStatus,
    output: String,
    errors: String,
}

impl Attempt<'_> {
    /// Runs it unless it has succeeded before, and fills in `run`; the key that was made, if one was.
    pub(super) fn make(mut self, run: &mut Run) -> Option<NewKey> {
        let made = self.try_make(run);
        run.ended = Some(now());
        made.unwrap_or_else(|error| {
            run.problem = Some(format!("{error:#}"));
            None
        })
    }

    fn try_make(&mut self, run: &mut Run) -> anyhow::Result<Option<NewKey>> {
        self.unchanged()?;
        if self.printed.is_none() {
            self.once(run)?;
        }
        if let Some(out) = self.action.printed_to() {
            self.write(out)?;
        }
        for out in self.action.outs() {
            let path = self.plan.directory().join(&out);
            run.files.push(digest_of("output", &out, &path).map_err(anyhow::Error::msg)?);
        }
        self.action.makes().map(|name| self.new_key(name)).transpose()
    }

    /// The command itself, with a signer beside it if it asks one.
    fn once(&mut self, run: &mut Run) -> anyhow::Result<()> {
        run.inputs = self.plan.read_by(self.action, self.config, self.steps)?;
        let starts = self.action.asks_signer() && self.plan.script.signer == Signer::Start;
        let signer = starts.then(|| RunningSigner::start(self.plan.directory(), self.config)).transpose()?;
        let copies = Copies::make(self.action, self.plan.directory(), &run.inputs, self.directory);
        let said = copies.and_then(|copies| {
            let action = self.action.reading(&|file| copies.path(file).display().to_string());
            self.run(&action.arguments(self.config))
        });
        // It is stopped whatever the command came to.
        let log = signer.map(RunningSigner::stop).transpose();
        let said = said?;
        run.status = Some(said.status.to_string());
        (run.output, run.errors) = (said.output, said.errors);
        if said.status.success() {
            *self.printed = Some(run.output.clone());
        }
        run.signer_log = log?;
        ensure!(said.status.success(), "countersign {} ended with {}", self.command_words(), said.status);
        Ok(())
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

    /// Makes the file of what was printed, unless an earlier run of this step has.
    fn write(&self, out: &str) -> anyhow::Result<()> {
        let path = self.plan.directory().join(out);
        let printed = self.printed.as_deref().unwrap_or_default();
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(_) if std::fs::read(&path).is_ok_and(|there| there == printed.as_bytes()) => return Ok(()),
            made => made.with_context(|| format!("cannot make {out}"))?,
        };
        if let Err(error) = file.write_all(printed.as_bytes()).and_then(|()| file.sync_all()) {
            // Half a file would be in the way of the next try.
            let _ = std::fs::remove_file(&path);
            return Err(error).with_context(|| format!("cannot write {out}"));
        }
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
