//! The daemon's side of the gate that every login of a token goes through.
//!
//! In: what the token's processes say at it (`gate`). Out: leave to try a PIN, to one session of one process at a time, and not before
//! a note says which PIN that is. Promised: a wrong PIN costs one try of the token, however many sessions and processes want to log in,
//! and whether or not the one that tries lives to tell; where nothing can be noted, no PIN is tried. Who waits for another's login that
//! does not come back is sent away before the daemon takes him for hung himself. So is, for a while, who would try the PIN that another
//! process has died with: the one that replaces it has more time for a login, and under the load that killed one the next would die as well.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::TokenName;
use super::frame::{self, PinRefusal};
use super::gate::{Knock, Leave};
use super::latch::{Latch, PinMark};
use super::start::unreadable;
use super::supervise::limit;

/// Why a PIN is not tried that may be another's refused one by now.
const CHANGED: &str =
    "what is noted of the token's PIN has changed since this login began; it is looked at again";
/// How long a session that was sent away takes nothing: so little that what waits in the queue is soon answered, and goes to another token.
const REST: Duration = Duration::from_millis(250);

/// One token's.
pub(super) struct Gatekeeper {
    token: TokenName,
    latch: Latch,
    /// Held from the question whether a PIN may be tried until its answer is noted.
    turn: Mutex<()>,
    /// When it was last taken.
    since: watch::Sender<Instant>,
    /// How long one process waits for another's login.
    patience: Duration,
    /// When a process died in a login, until one that starts has had its turn.
    died: watch::Sender<Option<Instant>>,
    /// How long those in service leave it to that.
    left_for: Duration,
}

/// A login that was let in.
enum Way {
    /// With the PIN of this mark, which is noted.
    Noted(PinMark),
    /// For one signature, with the PIN of this mark, which the process logged in with.
    Again(PinMark),
}

impl Gatekeeper {
    /// `deadline` is how long a token may take for one signature, and who waits for a login has most of its own still to do.
    pub(super) fn new(token: TokenName, latch: Latch, deadline: Duration) -> Self {
        let since = watch::Sender::new(Instant::now());
        let (died, left_for) = (watch::Sender::new(None), limit::first_try(deadline));
        Self { token, latch, turn: Mutex::default(), since, patience: deadline / 2, died, left_for }
    }

    /// What is noted.
    pub(super) fn latch(&self) -> &Latch {
        &self.latch
    }

    /// Serves one token process until it hangs up. What it was doing then has an unknown end.
    pub(super) async fn attend(self: Arc<Self>, mut gate: UnixStream) {
        let mut taken = None;
        while let Ok(knock) = knock(&mut gate).await {
            let served = match knock {
                Knock::Asks { in_service } => self.let_in(&mut gate, in_service, &mut taken).await,
                Knock::Refused(message) => self.refused(&mut gate, message, taken.as_ref()).await,
                _ => Err(unexpected()),
            };
            if let Err(error) = served {
                tracing::debug!(token = %self.token, %error, "a token process hung up at a login");
                return;
            }
        }
    }

    /// Returns once nobody is in a login, nor left out for one, or after a short while.
    pub(super) async fn at_rest(&self) {
        let mut died = self.died.subscribe();
        let rested = timeout(REST, async {
            let _ = died.wait_for(|died| !self.is_left(*died)).await;
            self.turn.lock().await
        });
        if let Ok(_turn) = rested.await {
            self.since.send_replace(Instant::now());
        }
    }

    /// Lets one process in when it is its turn.
    async fn let_in(
        self: &Arc<Self>,
        gate: &mut UnixStream,
        in_service: bool,
        taken: &mut Option<PinMark>,
    ) -> io::Result<()> {
        let turn = if in_service { self.turn_in_time().await } else { Some(self.turn.lock().await) };
        let Some(_turn) = turn else { return answer(gate, &Leave::Busy).await };
        self.since.send_replace(Instant::now());
        self.one(gate, in_service, taken).await?;
        if !in_service {
            self.died.send_replace(None);
        }
        Ok(())
    }

    /// Whether a process has died in a login of late, and none that starts has had its turn since.
    fn is_left_to_start(&self) -> bool {
        self.is_left(*self.died.borrow())
    }

    fn is_left(&self, died: Option<Instant>) -> bool {
        died.is_some_and(|died| died.elapsed() < self.left_for)
    }

    /// A call that is no login refused the PIN that the process logged in with last: that is noted whoever's turn it is.
    async fn refused(
        self: &Arc<Self>,
        gate: &mut UnixStream,
        message: String,
        taken: Option<&PinMark>,
    ) -> io::Result<()> {
        let mark = taken.cloned().ok_or_else(unexpected)?;
        self.blocking(move |latch| latch.set(&PinRefusal { message, mark: Some(mark) })).await?;
        answer(gate, &Leave::Noted).await
    }

    /// The turn of who asks now. None once it has been another's for too long, whenever that began: all who wait are sent away together.
    async fn turn_in_time(&self) -> Option<MutexGuard<'_, ()>> {
        let asked = Instant::now();
        let end = || asked.min(*self.since.borrow()) + self.patience;
        let mut turn = pin!(self.turn.lock());
        loop {
            match timeout_at(end(), &mut turn).await {
                Ok(turn) => return Some(turn),
                Err(_) if end() <= Instant::now() => return None,
                // Somebody else has had a turn meanwhile.
                Err(_) => {}
            }
        }
    }

    /// One login, from question to answer. `taken` is the PIN that the token took from the process last.
    async fn one(
        self: &Arc<Self>,
        gate: &mut UnixStream,
        in_service: bool,
        taken: &mut Option<PinMark>,
    ) -> io::Result<()> {
        let past = match self.blocking(Latch::past).await? {
            Ok(past) => past,
            Err(error) => return answer(gate, &Leave::No(unreadable(&self.latch, &error))).await,
        };
        if in_service && !past.tried().is_empty() && self.is_left_to_start() {
            return answer(gate, &Leave::Busy).await;
        }
        answer(gate, &Leave::Past(past.clone())).await?;
        let way = match knock(gate).await? {
            Knock::Passes => return Ok(()),
            // Of a PIN that nobody has told of nothing could be noted.
            Knock::TriesAgain => Way::Again(taken.clone().ok_or_else(unexpected)?),
            Knock::Tries(mark) => {
                // It may have begun anew in its turn, which takes seconds.
                if self.blocking(Latch::past).await?.is_ok_and(|now| now != past) {
                    return answer(gate, &Leave::No(CHANGED.to_owned())).await;
                }
                if let Err(error) = self.begin(mark.clone()).await {
                    return answer(gate, &Leave::No(self.unnoted(&error))).await;
                }
                answer(gate, &Leave::Noted).await?;
                Way::Noted(mark)
            }
            _ => return Err(unexpected()),
        };
        let end = knock(gate).await;
        if end.is_err() {
            self.died.send_replace(Some(Instant::now()));
            if let Way::Again(mark) = &way {
                let mark = mark.clone();
                self.blocking(move |latch| latch.lost(&mark)).await?;
            }
        }
        let end = end?;
        if let (Knock::Accepted, Way::Noted(mark)) = (&end, &way) {
            *taken = Some(mark.clone());
        }
        self.settle(gate, way, end).await
    }

    async fn begin(self: &Arc<Self>, mark: PinMark) -> io::Result<()> {
        if mark == PinMark::at_pad() {
            tracing::warn!(token = %self.token, "TYPE THE PIN at the token's own pad now: it is waited for");
        }
        self.blocking(move |latch| latch.begin(&mark)).await?
    }

    async fn settle(self: &Arc<Self>, gate: &mut UnixStream, way: Way, end: Knock) -> io::Result<()> {
        match (end, way) {
            (Knock::Accepted, Way::Again(_)) => return Ok(()),
            (Knock::Accepted, Way::Noted(_)) => self.blocking(forget).await?,
            (Knock::Refused(message), Way::Noted(mark) | Way::Again(mark)) => {
                let refusal = PinRefusal { message, mark: Some(mark) };
                self.blocking(move |latch| latch.set(&refusal)).await?;
            }
            (Knock::Unchecked, Way::Noted(mark)) => self.blocking(move |latch| latch.undo(&mark)).await?,
            (Knock::Unknown, Way::Again(mark)) => self.blocking(move |latch| latch.lost(&mark)).await?,
            // As it is noted, or not.
            (Knock::Unchecked, Way::Again(_)) | (Knock::Unknown, Way::Noted(_)) => {}
            _ => return Err(unexpected()),
        }
        answer(gate, &Leave::Noted).await
    }

    /// Reads from a disk that may be slow, or writes to it.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Latch) -> T + Send + 'static,
    ) -> io::Result<T> {
        let keeper = self.clone();
        spawn_blocking(move || work(&keeper.latch)).await.map_err(io::Error::other)
    }

    fn unnoted(&self, error: &io::Error) -> String {
        format!(
            "{} cannot be written ({error}), and no PIN is tried that could not be told from another after a crash; \
             make room on the disk, and see that the directory is the daemon's",
            self.latch.path().display()
        )
    }
}

/// The PIN was right: nothing is to be remembered of those that were not.
fn forget(latch: &Latch) {
    if let Err(error) = latch.clear() {
        tracing::warn!(path = %latch.path().display(), %error, "a note about a refused PIN cannot be removed");
    }
}

async fn knock(gate: &mut UnixStream) -> io::Result<Knock> {
    frame::decode(&frame::read_async(gate).await?)
}

async fn answer(gate: &mut UnixStream, leave: &Leave) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::encode(leave, &mut bytes)?;
    gate.write_all(&bytes).await
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not speak as expected")
}

#[cfg(test)]
mod tests;
