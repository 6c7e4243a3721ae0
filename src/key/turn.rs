//! When a key signs certificates: from one second on, and until another.
//!
//! In: what the steps of rotations have come to, whenever that changes. Out: for a request's moment, whether the key signs
//! certificates then. Every request asks, so that nothing is locked: two numbers are read, of which each request needs one.
//! Both keys of a link have the same second, and a request is about one key, so that there is none at which both sign.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign_tbs::TbsKind;

use crate::key::UnixTime;

/// No second that comes.
const NEVER: u64 = u64::MAX;

/// When a key signs certificates. What it says changes; whose place is whose does not.
#[derive(Debug)]
pub struct Turn {
    /// The key whose place this one takes.
    predecessor: Option<String>,
    /// The key that takes its place, once one has been named.
    successor: Option<String>,
    /// The first second at which it signs; 0 once that has come.
    from: AtomicU64,
    /// The first second at which it signs no more.
    until: AtomicU64,
    /// Whether that has come: a clock that is set back brings nothing back.
    over: AtomicBool,
}

/// Why a key signs no certificates at a moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutOfTurn<'a> {
    /// Not yet.
    Early {
        /// The key that does.
        predecessor: &'a str,
        /// When this one will, if that is set.
        from: Option<UnixTime>,
    },
    /// No more.
    Over {
        /// The key that does.
        successor: &'a str,
        /// Since when.
        since: UnixTime,
    },
}

impl Turn {
    /// That of a key between these two, which has not begun if there is one before it, and does not end.
    #[must_use]
    pub fn new(predecessor: Option<String>, successor: Option<String>) -> Self {
        let from = if predecessor.is_some() { NEVER } else { 0 };
        let (from, until) = (AtomicU64::new(from), AtomicU64::new(NEVER));
        Self { predecessor, successor, from, until, over: AtomicBool::new(false) }
    }

    /// Says when it signs, as seen at `now`: from the first second on (`None`: not yet), and until the second (`None`: always).
    pub(crate) fn set(&self, from: Option<UnixTime>, until: Option<UnixTime>, now: UnixTime) {
        let from = from.map_or(NEVER, |from| if from <= now { 0 } else { from.0 });
        // What has come stays so.
        if self.from.load(Ordering::Relaxed) != 0 {
            self.from.store(from, Ordering::Relaxed);
        }
        if !self.over.load(Ordering::Relaxed) {
            self.until.store(until.map_or(NEVER, |until| until.0), Ordering::Relaxed);
            self.over.store(until.is_some_and(|until| until <= now), Ordering::Relaxed);
        }
    }

    /// Lets it begin no sooner than this, until [`Self::set`] says when: `None` is not at all.
    pub(crate) fn hold_from(&self, from: Option<UnixTime>) {
        self.from.store(from.map_or(NEVER, |from| from.0), Ordering::Relaxed);
    }

    /// Has it end no later than this, until [`Self::set`] says when.
    pub(crate) fn hold_until(&self, until: Option<UnixTime>) {
        self.until.store(until.map_or(NEVER, |until| until.0), Ordering::Relaxed);
    }

    /// Whether it has begun, and stays so whatever the clock says.
    pub(crate) fn has_begun(&self) -> bool {
        self.from.load(Ordering::Relaxed) == 0
    }

    /// Whether it signs this kind at `now`. A key whose turn is over goes on with lists and responses about what it has signed; one
    /// whose turn has not come signs what asks for, or is, its own certificate.
    ///
    /// # Errors
    /// [`OutOfTurn`] if it does not.
    pub fn at(&self, now: UnixTime, kind: TbsKind) -> Result<(), OutOfTurn<'_>> {
        let (from, until) = (self.from.load(Ordering::Relaxed), self.until.load(Ordering::Relaxed));
        match kind {
            TbsKind::X509Crl | TbsKind::OcspResponse if from <= now.0 => return Ok(()),
            TbsKind::X509Request | TbsKind::X509Root => return Ok(()),
            _ => {}
        }
        if from > now.0 {
            let predecessor = self.predecessor.as_deref().unwrap_or("before it");
            return Err(OutOfTurn::Early { predecessor, from: (from != NEVER).then_some(UnixTime(from)) });
        }
        if until <= now.0 || self.over.load(Ordering::Relaxed) {
            let successor = self.successor.as_deref().unwrap_or("after it");
            return Err(OutOfTurn::Over { successor, since: UnixTime(until) });
        }
        Ok(())
    }
}
