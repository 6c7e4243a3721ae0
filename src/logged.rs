//! What is logged on one thread while it is held: a test's own, for these run on one thread each.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing::subscriber::DefaultGuard;

pub(crate) struct Log {
    written: Written,
    _held: DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Of every level.
    pub(crate) fn hold() -> Self {
        let written = Written::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer({
                let written = written.clone();
                move || written.clone()
            });
        Self { written, _held: tracing::subscriber::set_default(subscriber.finish()) }
    }

    /// The lines so far that hold `words`.
    pub(crate) fn lines(&self, words: &str) -> Vec<String> {
        let written = String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap();
        written.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}
