//! The gate of a token process, with the daemon behind it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::*;
use crate::token::TokenName;
use crate::token::gatekeeper::Gatekeeper;
use crate::token::latch::Latch;

fn gate(state: &Path) -> (Arc<Gatekeeper>, Gate) {
    let name = TokenName::new("t").unwrap();
    let latch = Latch::new(state, &name);
    let keeper = Arc::new(Gatekeeper::new(name, latch, Duration::from_secs(60)));
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    tokio::spawn(keeper.clone().attend(ours));
    let theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    (keeper, Gate::daemon(theirs))
}

fn pin() -> Pin {
    Pin::hold(Zeroizing::new(b"4711".to_vec()))
}

/// A login that ends so.
fn ends<'a>(
    gate: &'a Gate,
    pin: &Pin,
    login: Login,
    end: Result<(), Said<()>>,
) -> Result<Done<'a>, Barred<()>> {
    gate.turn()?.log_in(Candidate { pin, serial: "1f2e", login }, |_| end)
}

fn logged_in(gate: &Gate) -> Done<'_> {
    ends(gate, &pin(), Login::First, Ok(())).ok().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_session_has_its_turn_before_what_a_login_leaves_behind_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (_keeper, gate) = gate(dir.path());
    let is_free = |gate: &Gate| matches!(gate, Gate::Daemon(door) if door.try_lock().is_ok());
    let login = spawn_blocking(move || {
        let done = logged_in(&gate);
        let during = is_free(&gate);
        drop(done);
        (during, is_free(&gate))
    });
    assert_eq!(login.await.unwrap(), (false, true));
}

/// The token had somebody logged in, and said so before it looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_the_token_has_not_looked_at_is_not_that_of_the_last_login() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, gate) = gate(dir.path());
    let past = spawn_blocking(move || {
        assert!(logged_in(&gate).is_taken);
        let other = Pin::hold(Zeroizing::new(b"0000".to_vec()));
        let unchecked = ends(&gate, &other, Login::First, Err(Said::Unchecked));
        assert!(unchecked.is_ok_and(|done| !done.is_taken));
        // What became of its own is its own to find out, and no other process's.
        let lost = ends(&gate, &pin(), Login::Again, Err(Said::Unknown(())));
        assert!(matches!(lost, Err(Barred::Failed(()))));
        drop(logged_in(&gate));
        assert!(matches!(gate.refuse("no longer".to_owned(), || true), Ok(Word::Noted(_))));
        let past = keeper.latch().past().unwrap();
        [pin(), other].map(|pin| past.judge(&pin, "1f2e"))
    });
    assert!(matches!(past.await.unwrap(), [Verdict::Barred(_), Verdict::Untried]));
}

/// The new one may be right: nobody was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_of_which_nothing_was_said_is_not_noted_for_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, gate) = gate(dir.path());
    let past = spawn_blocking(move || {
        drop(logged_in(&gate));
        let new = Pin::hold(Zeroizing::new(b"0000".to_vec()));
        assert!(ends(&gate, &new, Login::First, Err(Said::Unknown(()))).is_err());
        let refused = ends(&gate, &pin(), Login::Again, Err(Said::Refused("no".to_owned())));
        assert!(matches!(refused, Err(Barred::Pin(_))));
        let past = keeper.latch().past().unwrap();
        [pin(), new].map(|pin| past.judge(&pin, "1f2e"))
    });
    assert!(matches!(past.await.unwrap(), [Verdict::Barred(_), Verdict::Doubtful(_)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_what_was_tried_before_the_last_login_is_not_noted_of_that() {
    let dir = tempfile::tempdir().unwrap();
    let (keeper, gate) = gate(dir.path());
    let said = spawn_blocking(move || {
        let refuse = |is_last| gate.refuse("no longer".to_owned(), || is_last).unwrap();
        let before = refuse(true);
        drop(logged_in(&gate));
        let outdated = refuse(false);
        let was_set = keeper.latch().is_set();
        let last = refuse(true);
        (before, (outdated, was_set), (last, keeper.latch().is_set()))
    });
    let (before, outdated, last) = said.await.unwrap();
    assert!(matches!(before, Word::NoPin));
    assert!(matches!(outdated, (Word::Outdated, false)));
    assert!(matches!(last, (Word::Noted(_), true)));
}
