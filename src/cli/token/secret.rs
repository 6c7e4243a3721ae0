//! Secrets for an operator's commands: out of a file, out of a descriptor, or from a person at a terminal.
//!
//! In: which secret is wanted, and the file that the command line named for it. Out: a [`Pin`]. Promised: none comes out of an
//! argument or a variable, which others can read; what is typed is not shown, and the terminal is as it was before, after ^C, SIGTERM
//! and SIGHUP as well. Not done here: what the secret is good for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::restore::Restore;
use crate::secret_file::is_descriptor;
use crate::token::Pin;

/// A secret that a command wants.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Secret<'a> {
    /// What it is, for prompts and messages: "the new PIN".
    pub(in crate::cli) name: &'a str,
    /// The option that names its file.
    pub(in crate::cli) option: &'a str,
}

/// More than any token takes, and than anybody types.
const LONGEST: usize = 256;

impl Secret<'_> {
    /// One that there is already: out of `file`, or typed once.
    ///
    /// # Errors
    /// What is wrong with the file, or that there is no terminal; never what the secret is.
    pub(in crate::cli) fn read(self, file: Option<&Path>) -> anyhow::Result<Pin> {
        match file {
            Some(file) => from_file(file).with_context(|| self.name.to_owned()),
            None => Ok(Pin::hold(self.terminal()?.ask(self.name)?)),
        }
    }

    /// One that is new: out of `file`, or typed twice.
    ///
    /// # Errors
    /// As [`Self::read`], or that it was not typed the same twice.
    pub(in crate::cli) fn choose(self, file: Option<&Path>) -> anyhow::Result<Pin> {
        let Some(file) = file else {
            let mut terminal = self.terminal()?;
            let typed = terminal.ask(self.name)?;
            let again = terminal.ask(&format!("{} again", self.name))?;
            ensure!(*typed == *again, "{} was not typed the same twice; nothing was changed", self.name);
            return Ok(Pin::hold(typed));
        };
        from_file(file).with_context(|| self.name.to_owned())
    }

    fn terminal(self) -> anyhow::Result<Terminal> {
        Terminal::open().with_context(|| {
            format!(
                "there is no terminal to type {} at; name a file with {}, or a descriptor as /dev/fd/N",
                self.name, self.option
            )
        })
    }
}

/// A file of mode 0600 or stricter, or what comes out of a pipe that this process has inherited; one trailing newline is no part of it.
fn from_file(path: &Path) -> anyhow::Result<Pin> {
    let open = || format!("cannot open {}", path.display());
    let metadata = path.metadata().with_context(open)?;
    // Nobody waits for ever at the other end of such a pipe, as at a FIFO's.
    if !(is_descriptor(path) && metadata.file_type().is_fifo()) {
        return Ok(Pin::read(path)?);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let longest = u64::try_from(LONGEST + 2)?;
    File::open(path).and_then(|pipe| pipe.take(longest).read_to_end(&mut bytes)).with_context(open)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    ensure!((1..=LONGEST).contains(&bytes.len()), "{} should give 1 to {LONGEST} bytes", path.display());
    Ok(Pin::hold(bytes))
}

/// The terminal of whoever started the command, for as long as it shows nothing of what is typed.
struct Terminal {
    tty: File,
    before: Termios,
    restore: Restore,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&tty)?;
        let mut quiet = before.clone();
        // Keys one by one, and ^C as one of them: a signal would leave the terminal as it is now.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        let restore = Restore::new()?;
        restore.hold(&tty, &before)?;
        // What was typed before anybody asked is no answer.
        tcsetattr(&tty, OptionalActions::Flush, &quiet)?;
        Ok(Self { tty, before, restore })
    }

    fn ask(&mut self, what: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        write!(self.tty, "{what}: ")?;
        let line = self.line();
        writeln!(self.tty)?;
        let line = line?;
        ensure!(!line.is_empty(), "{what} is empty; nothing was changed");
        Ok(line)
    }

    fn line(&mut self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut key = Zeroizing::new([0]);
        loop {
            ensure!(self.tty.read(key.as_mut_slice())? == 1, "the terminal is gone; nothing was changed");
            match *key {
                [b'\n' | b'\r'] => return Ok(line),
                // ^C, ^D, ^\
                [0x03 | 0x04 | 0x1C] => bail!("interrupted; nothing was changed"),
                // Backspace takes a whole character of UTF-8, ^U all of them.
                [0x08 | 0x7F] => while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
                [0x15] => line.clear(),
                [byte] if line.len() < LONGEST => line.push(byte),
                [_] => bail!("that is more than {LONGEST} bytes; nothing was changed"),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone.
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
        self.restore.release();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PIN: Secret<'_> = Secret { name: "the new PIN", option: "--new-pin-file" };

    fn piped(bytes: &[u8]) -> anyhow::Result<Pin> {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        PIN.read(Some(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))))
    }

    #[test]
    fn a_secret_comes_through_a_descriptor() {
        assert_eq!(piped(b"123456\n").unwrap().for_piv().unwrap().as_slice(), b"123456\xFF\xFF");
        for wrong in [&b"\n"[..], &[b'x'; 257]] {
            let error = format!("{:#}", piped(wrong).unwrap_err());
            assert!(error.contains("should give 1 to 256 bytes"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new-pin");
        let missing = format!("{:#}", PIN.read(Some(&path)).unwrap_err());
        assert!(missing.starts_with("the new PIN: cannot open "), "{missing}");
        std::fs::write(&path, "123456").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        for file in [&path, &dir.path().to_owned()] {
            PIN.read(Some(file)).unwrap_err();
            PIN.choose(Some(file)).unwrap_err();
        }
        let opened = File::open(&path).unwrap();
        let by_descriptor = format!("/dev/fd/{}", opened.as_raw_fd());
        PIN.read(Some(Path::new(&by_descriptor))).unwrap_err();
    }
}
