//! The sessions of this process: which are dead, when each was last called, what each is in the middle of.
//!
//! Promised: two calls at once in one session, and a signature begun within another, are noticed; PKCS#11 forbids both, and
//! most modules do not notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki_sys::{CK_SESSION_HANDLE, CK_SLOT_ID};

use crate::Code;
use crate::board::Board;

/// Every open session by its handle.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<CK_SESSION_HANDLE, Arc<Session>>>);

/// One session.
pub(crate) struct Session {
    slot: CK_SLOT_ID,
    busy: AtomicBool,
    state: Mutex<State>,
}

struct State {
    dead: Option<Code>,
    called: Instant,
    signing: Option<Signing>,
}

/// A signature that was begun.
#[derive(Clone, Default)]
pub(crate) struct Signing {
    /// Whether the user has logged in for it.
    pub(crate) authenticated: bool,
    /// What came in parts and was not handed on.
    pub(crate) parts: Option<Vec<u8>>,
}

impl Sessions {
    pub(crate) fn opened(&self, handle: CK_SESSION_HANDLE, slot: CK_SLOT_ID) {
        let state = State { dead: None, called: Instant::now(), signing: None };
        let session = Session { slot, busy: AtomicBool::new(false), state: Mutex::new(state) };
        lock(&self.0).insert(handle, Arc::new(session));
    }

    pub(crate) fn get(&self, handle: CK_SESSION_HANDLE) -> Option<Arc<Session>> {
        lock(&self.0).get(&handle).cloned()
    }

    pub(crate) fn closed(&self, handle: CK_SESSION_HANDLE) {
        lock(&self.0).remove(&handle);
    }

    pub(crate) fn closed_all(&self, slot: CK_SLOT_ID) {
        lock(&self.0).retain(|_, session| session.slot != slot);
    }

    pub(crate) fn forget(&self) {
        lock(&self.0).clear();
    }

    /// Another session of the same slot.
    pub(crate) fn sibling(&self, slot: CK_SLOT_ID) -> Option<CK_SESSION_HANDLE> {
        lock(&self.0).iter().find(|(_, session)| session.slot == slot).map(|(handle, _)| *handle)
    }

    /// How many sessions of this slot are alive.
    pub(crate) fn alive(&self, slot: CK_SLOT_ID) -> u64 {
        let sessions = lock(&self.0);
        let alive = sessions.values().filter(|session| session.slot == slot && session.dead().is_none());
        u64::try_from(alive.count()).unwrap_or(u64::MAX)
    }

    /// Every session that is open now answers nothing but this.
    pub(crate) fn kill_all(&self, code: Code) {
        lock(&self.0).values().for_each(|session| session.kill(code));
    }
}

impl Session {
    pub(crate) fn slot(&self) -> CK_SLOT_ID {
        self.slot
    }

    pub(crate) fn dead(&self) -> Option<Code> {
        lock(&self.state).dead
    }

    fn kill(&self, code: Code) {
        lock(&self.state).dead.get_or_insert(code);
    }

    /// Notes a call, and kills the session if the one before was too long ago. Whether it died of that.
    pub(crate) fn called(&self, expires: Option<Duration>) -> bool {
        let mut state = lock(&self.state);
        let is_late = state.dead.is_none() && expires.is_some_and(|idle| state.called.elapsed() > idle);
        if is_late {
            state.dead = Some(Code::CKR_SESSION_HANDLE_INVALID);
        }
        state.called = Instant::now();
        is_late
    }

    pub(crate) fn signing(&self) -> Option<Signing> {
        lock(&self.state).signing.clone()
    }

    pub(crate) fn set_signing(&self, signing: Option<Signing>) {
        lock(&self.state).signing = signing;
    }
}

/// A session that is being called. Dropped when the call returns.
pub(crate) struct Busy {
    pub(crate) session: Arc<Session>,
    first: bool,
}

impl Busy {
    pub(crate) fn new(session: Arc<Session>, board: Board) -> Self {
        let first = !session.busy.swap(true, Ordering::SeqCst);
        if !first {
            board.count_violation();
        }
        Self { session, first }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.first {
            self.session.busy.store(false, Ordering::SeqCst);
        }
    }
}

/// What a lock holds, also after a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn two_calls_at_once_in_one_session_are_a_violation() {
        let (board, sessions) = (Board::private(), Sessions::default());
        sessions.opened(1, 0);
        sessions.opened(2, 0);
        let first = Busy::new(sessions.get(1).unwrap(), board);
        let other = Busy::new(sessions.get(2).unwrap(), board);
        assert_eq!(board.violations(), 0, "two sessions are two");
        let second = Busy::new(sessions.get(1).unwrap(), board);
        assert_eq!(board.violations(), 1);
        drop((first, second, other));
        drop(Busy::new(sessions.get(1).unwrap(), board));
        assert_eq!(board.violations(), 1, "one after another is as it should be");
    }
}
