//! A terminal that is as it was before, also if a signal ends the program while it is not.
//!
//! In: a terminal, and how it was. Promised: SIGTERM and SIGHUP put it back, and then end the program as they would without this. Not done
//! here: ^C, which is a key like any other where something is typed, and SIGKILL, which nobody hears.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Waits for the signals, for as long as the program runs.
pub(super) struct Restore(Arc<Mutex<Option<Held>>>);

/// A terminal, and how it was.
struct Held {
    tty: File,
    before: Termios,
}

impl Restore {
    /// # Errors
    /// If the signals cannot be waited for.
    pub(super) fn new() -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGHUP])?;
        let held = Arc::new(Mutex::new(None));
        let waiting = held.clone();
        // A thread, for the one that asks waits for keys; it is never told to end: who stops listening leaves the signals ignored.
        std::thread::Builder::new().name("restore".to_owned()).spawn(move || {
            for signal in signals.forever() {
                restore(lock(&waiting).as_ref());
                // It ends the program, so that nothing is left to do about an error.
                let _ = emulate_default_handler(signal);
            }
        })?;
        Ok(Self(held))
    }

    /// From here on, until it is released, this is how the terminal is to be left.
    ///
    /// # Errors
    /// If there is no other handle on the terminal to be had.
    pub(super) fn hold(&self, tty: &File, before: &Termios) -> io::Result<()> {
        *lock(&self.0) = Some(Held { tty: tty.try_clone()?, before: before.clone() });
        Ok(())
    }

    /// It is as it was.
    pub(super) fn release(&self) {
        lock(&self.0).take();
    }
}

fn restore(held: Option<&Held>) {
    if let Some(Held { tty, before }) = held {
        // It may be gone.
        let _ = tcsetattr(tty, OptionalActions::Now, before);
    }
}

fn lock(held: &Mutex<Option<Held>>) -> MutexGuard<'_, Option<Held>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
