//! One token as the pipeline sees it: a queue with a health, whatever processes serve it.
//!
//! In: a [`Request`]. Out: a [`RawSignature`] or the reason why not. What happens to a process behind the queue is the
//! business of its supervisor alone.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio::sync::{Mutex, watch};

use super::frame::MAX_INPUT;
use super::input::Input;
use super::queue::{Job, Queue};
use super::suspicion::Refusals;
use super::{Config, Health, RawSignature, TokenError};
use crate::key::{KeyName, Scheme};
use crate::sign::Priority;

/// How often one request may be tried on one token.
const MOST_TRIES: usize = 2;

/// What an intent says, in the words of this stage.
pub(super) struct Request<'a> {
    pub(super) key: &'a KeyName,
    pub(super) scheme: Scheme,
    pub(super) message: &'a [u8],
    pub(super) deadline: Option<Instant>,
    pub(super) priority: Priority,
}

/// One token in service.
pub(super) struct Pool {
    pub(super) config: Config,
    pub(super) queue: Queue,
    pub(super) state: watch::Sender<State>,
    /// Held by whoever starts a process: two that start at once can fail each other (design §8).
    pub(super) starting: Mutex<()>,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Of each of its processes.
    processes: Vec<Health>,
    pub(super) standing: Standing,
    /// How many signatures of it did not verify.
    pub(super) doubts: u64,
    /// How often it was lost or doubted: a proof counts for what was before it alone.
    pub(super) faults: u64,
    /// The keys, by their place, that it has signed rightly with since the last of its faults, when it was doubted.
    shown: BTreeSet<u16>,
    pub(super) refusals: Refusals,
}

/// How far a token is trusted beside others that hold the same keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// As far as any.
    Sound,
    /// It was lost, and has not proven itself since.
    Lost,
    /// It gave a signature that does not verify, and has not proven itself since.
    Doubted,
}

impl State {
    /// Whether it can sign now with the key of this place, and is believed to do so.
    fn health_of(&self, index: u16) -> Health {
        if self.refuses(index) {
            return Health::Refusing;
        }
        if self.shown.contains(&index) { self.best() } else { self.health() }
    }

    /// The same of all of its keys.
    pub(super) fn health(&self) -> Health {
        match (self.best(), self.standing) {
            (Health::Ready, Standing::Doubted) => Health::Doubted,
            (health, _) => health,
        }
    }

    /// Whether a process of it can sign, right or wrong.
    pub(super) fn is_up(&self) -> bool {
        self.best() == Health::Ready
    }

    /// That of the process that is best off.
    fn best(&self) -> Health {
        self.processes.iter().copied().min_by_key(|health| health.rank()).unwrap_or(Health::Down)
    }

    /// A token without any process that is ready is on probation from then on.
    fn set(&mut self, place: usize, health: Health) {
        if let Some(process) = self.processes.get_mut(place) {
            *process = health;
        }
        if !self.is_up() && health != Health::Ready {
            self.fault();
            if self.standing == Standing::Sound {
                self.standing = Standing::Lost;
            }
        }
    }

    /// Whether it could sign with the key of this place, and does not.
    fn refuses(&self, index: u16) -> bool {
        self.is_up() && self.refusals.of(index).is_some()
    }

    fn fault(&mut self) {
        self.faults = self.faults.wrapping_add(1);
        self.shown.clear();
    }

    /// Which of several tokens is asked first for the key of this place: the lowest.
    fn rank(&self, index: u16) -> u8 {
        match (self.health(), self.standing) {
            _ if self.refuses(index) => 1 + Health::Refusing.rank(),
            (Health::Ready, Standing::Sound) => 0,
            (health, _) => 1 + health.rank(),
        }
    }
}

impl Pool {
    pub(super) fn new(config: Config) -> Self {
        let queue = Queue::new(config.name.clone(), config.queue);
        let processes = vec![Health::Restarting; config.processes];
        let state = State {
            processes,
            standing: Standing::Sound,
            doubts: 0,
            faults: 0,
            shown: BTreeSet::new(),
            refusals: Refusals::default(),
        };
        Self { config, queue, state: watch::Sender::new(state), starting: Mutex::default() }
    }

    /// The process at `place` can sign: from here on the queue takes requests.
    pub(super) fn serve(&self, place: usize) {
        self.state.send_modify(|state| {
            state.set(place, Health::Ready);
            self.queue.open();
        });
    }

    /// The process at `place` is gone, and another is on its way: requests wait.
    pub(super) fn restart(&self, place: usize) {
        self.state.send_modify(|state| state.set(place, Health::Restarting));
    }

    /// There is no process at `place`, and nobody is to wait for one: requests are refused with `reason`, unless another process
    /// serves or is on its way.
    pub(super) fn give_up(&self, place: usize, reason: &TokenError) {
        self.state.send_modify(|state| {
            state.set(place, Health::Down);
            // Under the state's lock, so that no process begins to serve between the look and the end.
            if state.best() == Health::Down {
                self.queue.close(reason);
            }
        });
    }

    /// Takes note of a signature that does not verify: every process is replaced, for nobody knows which of them made it.
    pub(super) fn doubt(&self) {
        self.state.send_modify(|state| {
            state.standing = Standing::Doubted;
            state.doubts = state.doubts.wrapping_add(1);
            state.fault();
        });
    }

    /// What it has done so far, if it is doubted.
    pub(super) fn doubt_of(&self) -> Option<u64> {
        let state = self.state.borrow();
        (state.standing == Standing::Doubted).then_some(state.faults)
    }

    /// Takes note that it was asked when it had done what `known` says, and has signed rightly with the key of this place.
    pub(super) fn show(&self, index: u16, known: u64) {
        self.state.send_if_modified(|state| state.faults == known && state.shown.insert(index));
    }

    /// Returns once there are other doubts than `known`, or never.
    pub(super) async fn doubted(&self, known: u64) {
        // The sender is in `self`, so there is no error.
        let _ = self.state.subscribe().wait_for(|state| state.doubts != known).await;
    }

    /// Whether it has ended: not if there were other faults than `known`.
    pub(super) fn end_probation(&self, known: u64) -> bool {
        self.state.send_if_modified(|state| {
            let is_proven = state.faults == known;
            if is_proven {
                state.standing = Standing::Sound;
            }
            is_proven
        })
    }

    /// How often a request may be tried here: by a second process, if the first took it with it. It may be the request that ends them,
    /// which is why it is never fed to all.
    pub(super) fn tries(&self) -> usize {
        self.config.processes.clamp(1, MOST_TRIES)
    }

    pub(super) fn health(&self) -> Health {
        self.state.borrow().health()
    }

    pub(super) fn health_of(&self, index: u16) -> Health {
        self.state.borrow().health_of(index)
    }

    pub(super) fn rank(&self, index: u16) -> u8 {
        self.state.borrow().rank(index)
    }

    /// Signs with the key of this place on the token.
    ///
    /// # Errors
    /// [`TokenError`]
    pub(super) async fn sign(&self, index: u16, request: &Request<'_>) -> Result<RawSignature, TokenError> {
        if request.message.len() > MAX_INPUT {
            return Err(TokenError::TooLong { len: request.message.len(), limit: MAX_INPUT });
        }
        let input = Input::of(request.scheme, request.message).into_bytes();
        let (job, ticket) = Job::new(index, input, request.deadline);
        self.queue.push(job, request.priority)?;
        ticket.wait(&self.config.name).await
    }
}

#[cfg(test)]
impl Pool {
    /// One of a token that is not started.
    #[expect(clippy::unwrap_used, reason = "tests")]
    pub(super) fn of_test(device: super::Device) -> Self {
        use std::time::Duration;

        Self::new(Config {
            name: super::TokenName::new("t").unwrap(),
            device,
            pin_file: std::path::PathBuf::from("/pin").into(),
            processes: 1,
            sessions: 1,
            queue: 1,
            deadline: Duration::from_secs(1),
            keepalive: Duration::from_secs(10),
            limits: super::Limits::default(),
            environment: std::collections::BTreeMap::new(),
        })
    }
}
