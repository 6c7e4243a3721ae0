//! Whether somebody touches the card when a key wants it.

use std::str::FromStr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who touches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TouchMode {
    /// Somebody always does, at once.
    AtOnce,
    /// Nobody does.
    Never,
    /// Whoever calls [`crate::VirtualYubiKey::touch`], or writes "touch" to the program.
    Asked,
}

impl FromStr for TouchMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "at-once" => Ok(Self::AtOnce),
            "never" => Ok(Self::Never),
            "asked" => Ok(Self::Asked),
            other => Err(format!("{other} is neither at-once nor never nor asked")),
        }
    }
}

/// The card's button.
#[derive(Debug)]
pub(crate) struct Touch {
    mode: TouchMode,
    patience: Duration,
    button: Mutex<Button>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Button {
    waits: bool,
    touched: bool,
    gone: bool,
}

impl Touch {
    pub(crate) fn new(mode: TouchMode, patience: Duration) -> Self {
        Self { mode, patience, button: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for a touch; whether it came. A card that is pulled out waits no longer.
    pub(crate) fn wait(&self) -> bool {
        if self.mode == TouchMode::AtOnce {
            return true;
        }
        let mut button = self.button();
        button.waits = true;
        button.touched = false;
        self.changed.notify_all();
        let idle = |button: &mut Button| !button.touched && !button.gone;
        let waited = self.changed.wait_timeout_while(button, self.patience, idle);
        let (mut button, _) = waited.unwrap_or_else(PoisonError::into_inner);
        button.waits = false;
        button.touched
    }

    /// Touches it. Means something only while a key waits.
    pub(crate) fn give(&self) {
        if self.mode == TouchMode::Asked {
            self.button().touched = true;
            self.changed.notify_all();
        }
    }

    /// Waits until a key waits to be touched; whether it came to that.
    pub(crate) fn asked(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.button(), patience, |button| !button.waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.waits
    }

    pub(crate) fn set_gone(&self, gone: bool) {
        self.button().gone = gone;
        self.changed.notify_all();
    }

    fn button(&self) -> MutexGuard<'_, Button> {
        self.button.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
