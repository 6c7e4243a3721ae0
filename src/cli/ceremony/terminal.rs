//! The terminal at which a ceremony is held.
//!
//! In: what to say and to ask. Out: the line that was typed, or that somebody wants to stop. What was typed before a question is no
//! answer to it. ^C at a question means stop; while a command runs it ends the command, and never the ceremony. SIGTERM and SIGHUP end it,
//! and leave the terminal as it was.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGINT, SIGQUIT};

use crate::cli::restore::Restore;

/// The longest line that is an answer, in bytes.
const LONGEST: usize = 1024;
/// What ^C types.
const INTERRUPT: u8 = 0x03;

/// The terminal of whoever started the command.
pub(super) struct Terminal {
    tty: File,
    restore: Restore,
}

/// That somebody wants the ceremony to stop, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stop(pub(super) String);

impl Terminal {
    /// # Errors
    /// That there is none.
    pub(super) fn open() -> anyhow::Result<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let tty =
            tty.context("a ceremony is held at a terminal, and there is none; `--dry-run` needs none")?;
        for signal in [SIGINT, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self { tty, restore: Restore::new()? })
    }

    /// What others write to, while a command runs.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.tty.try_clone()
    }

    /// Says one thing, in lines of its own.
    pub(super) fn say(&mut self, text: &str) {
        // Whoever closed the terminal is told so by the next question.
        let _ = writeln!(self.tty, "{text}");
    }

    /// Asks until there is an answer; spaces around it are no part of it.
    pub(super) fn ask(&mut self, question: &str) -> Result<String, Stop> {
        match self.line(question) {
            Ok(Some(line)) if line.trim() == "stop" => Err(Stop("an operator stopped it".to_owned())),
            Ok(Some(line)) => Ok(line.trim().to_owned()),
            Ok(None) => Err(Stop("an operator interrupted it".to_owned())),
            Err(error) => Err(Stop(format!("the terminal is gone ({error})"))),
        }
    }

    /// `None` for ^C.
    fn line(&mut self, question: &str) -> io::Result<Option<String>> {
        let before = tcgetattr(&self.tty)?;
        let mut asking = before.clone();
        // ^C is typed like any other key, and ends the line.
        asking.local_modes.remove(LocalModes::ISIG);
        asking.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        self.restore.hold(&self.tty, &before)?;
        tcsetattr(&self.tty, OptionalActions::Flush, &asking)?;
        let line = write!(self.tty, "{question} ").and_then(|()| self.typed());
        tcsetattr(&self.tty, OptionalActions::Now, &before)?;
        self.restore.release();
        line
    }

    fn typed(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut key = [0];
        loop {
            if self.tty.read(&mut key)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match key {
                [INTERRUPT] => {
                    writeln!(self.tty)?;
                    return Ok(None);
                }
                [b'\n'] => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                [byte] if line.len() < LONGEST => line.push(byte),
                [_] => {}
            }
        }
    }
}
