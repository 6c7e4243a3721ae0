//! One CA key takes the place of another, step by step, as an operator says.
//!
//! In: the configuration's `succeeds`, what the ledger has of steps, and the operator's next one. Out: the [`Turn`] of each key,
//! which policy asks, the [`Line`]s for operators, and their [`Bundle`]s for those who trust the keys. Promised: a step is durable
//! before it has any effect; while it is not, what both outcomes allow is allowed, so that no two keys of a line ever sign
//! certificates in the same second. What the log says holds, whatever became of the configuration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::key::{Config, Key, KeyName, Keys, Turn, UnixTime};
use crate::ledger::rotation::Member;
use crate::ledger::{Ledger, Links};

pub use bundle::Bundle;
pub(crate) use bundle::{cert_authorities, certificate};
pub use line::{Line, LineMember, State};
pub use step::{StepError, StepRequest};

mod bundle;
mod disagreement;
mod line;
mod step;

/// How long an operator waits for files.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lines of this signer's keys. Cheap to clone.
#[derive(Clone)]
pub struct Rotations(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    /// Those in service, with their turns.
    keys: Keys,
    /// As the configuration says: a key, and whose place it is to take.
    named: Vec<(KeyName, KeyName)>,
    /// One step at a time, until it is recorded.
    steps: Arc<tokio::sync::Mutex<()>>,
    hold: Mutex<Hold>,
    /// Changes with every step, done or in doubt.
    changes: watch::Sender<u64>,
    /// How it goes with the files of bundles.
    writing: watch::Sender<Writing>,
    /// After how many changes all that follows from them has been tried.
    followed: watch::Sender<u64>,
}

/// Whether the files of bundles are what they are to be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Writing {
    /// None are written.
    #[default]
    Off,
    /// They are.
    Current,
    /// One could not be written.
    Failing,
}

/// Whether the turns are what the log says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    Free,
    /// A step is about to be recorded.
    Step,
    /// Nobody knows yet whether one was.
    Doubt,
}

impl Rotations {
    /// The lines that the log and the configuration make of `keys`, which have their turns from now on.
    #[must_use]
    pub fn new(ledger: Ledger, keys: Keys, configs: &[Config]) -> (Self, Keys) {
        let named = configs.iter().filter_map(|key| Some((key.name.clone(), key.succeeds.clone()?)));
        let (named, links) = (named.collect::<Vec<_>>(), ledger.links());
        let between =
            |key: &Key| Some((line::predecessor(key, &links, &named), line::successor(key, &links, &named)));
        let turned = keys.in_turn(|key| {
            let (before, after) = between(key)?;
            (before.is_some() || after.is_some()).then(|| Turn::new(before, after))
        });
        let (steps, hold) = (Arc::default(), Mutex::new(Hold::Free));
        let (changes, writing, followed) =
            (watch::Sender::new(0), watch::Sender::default(), watch::Sender::new(0));
        let inner = Inner { ledger, keys: turned.clone(), named, steps, hold, changes, writing, followed };
        let opened = UnixTime(inner.ledger.opened().0 / 1000);
        let rotations = Self(Arc::new(inner));
        rotations.apply(&links, opened);
        (rotations, turned)
    }

    /// Every line of two keys and more, by the name of its oldest key.
    #[must_use]
    pub fn lines(&self, now: UnixTime) -> Vec<Line> {
        line::lines(&self.0.keys, &self.0.ledger.links(), &self.0.named, now)
    }

    /// The same, and every other key that callers may use, each as a line of its own.
    #[must_use]
    pub fn all_lines(&self, now: UnixTime) -> Vec<Line> {
        let mut lines = self.lines(now);
        let is_in =
            |key: &&Arc<Key>| lines.iter().any(|line| line.members.iter().any(|member| member.is(key)));
        let alone: Vec<_> = self.0.keys.iter().filter(|key| !is_in(key)).map(Line::alone).collect();
        lines.extend(alone);
        lines
    }

    /// The line of a key, by any name that it has or had in the log; of a key that is in none, itself.
    #[must_use]
    pub fn line(&self, name: &str, now: UnixTime) -> Option<Line> {
        let lines = self.all_lines(now);
        // By a name that a key has now, before one that another had.
        let found = lines.iter().position(|line| line.has(name));
        let found = found.or_else(|| lines.iter().position(|line| line.names().contains(name)));
        found.and_then(|at| lines.into_iter().nth(at))
    }

    /// Says that what follows from so many changes has been tried.
    pub(crate) fn follows(&self, changes: u64) {
        self.0.followed.send_replace(changes);
    }

    /// Returns once what follows from the last step has been tried: files of bundles are there, or have failed.
    pub async fn followed(&self) {
        let changes = *self.0.changes.borrow();
        let mut followed = self.0.followed.subscribe();
        // An error is that it takes long, or never comes since the daemon stops; nobody waits for that.
        let _ = tokio::time::timeout(PATIENCE, followed.wait_for(|followed| *followed >= changes)).await;
    }

    /// Says how it goes with the files of bundles.
    pub(crate) fn writes(&self, writing: Writing) {
        self.0.writing.send_if_modified(|before| std::mem::replace(before, writing) != writing);
    }

    /// How it goes with the files of bundles, as it changes.
    #[must_use]
    pub fn watch_writing(&self) -> watch::Receiver<Writing> {
        self.0.writing.subscribe()
    }

    /// What the steps have come to, as that changes.
    pub(crate) fn watch_links(&self) -> watch::Receiver<Arc<Links>> {
        self.0.ledger.watch_links()
    }

    /// How many entries the log has, as that changes.
    pub(crate) fn watch_size(&self) -> watch::Receiver<u64> {
        self.0.ledger.watch_size()
    }

    /// Changes with every step, done or in doubt.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The next second at which a turn begins.
    #[must_use]
    pub fn next_turn(&self, now: UnixTime) -> Option<UnixTime> {
        let links = self.0.ledger.links();
        links.iter().filter_map(|link| link.stage.takes_over()).filter(|at| *at > now).min()
    }

    /// Gives every key the turn that the log says, unless a step is under way. After one that the ledger did not answer, call it
    /// once the ledger has taken something else.
    pub fn settle(&self) {
        let mut hold = self.hold();
        if *hold != Hold::Step {
            *hold = Hold::Free;
            self.apply(&self.0.ledger.links(), self.latest());
        }
    }

    /// Whether the ledger has not said what became of a step.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        *self.hold() == Hold::Doubt
    }

    fn in_service(&self, member: &Member) -> Option<&Arc<Key>> {
        self.0.keys.iter().find(|key| key.spki_sha256() == member.spki_sha256)
    }

    /// The time now, or that of the ledger's newest entry: a clock that was set back does not undo what came by its time.
    fn latest(&self) -> UnixTime {
        UnixTime(self.0.ledger.latest().0 / 1000)
    }

    /// Gives every key the turn that `links` say.
    fn apply(&self, links: &Links, now: UnixTime) {
        for key in self.0.keys.iter() {
            let Some(turn) = &key.turn else { continue };
            let spki_sha256 = key.spki_sha256();
            let to = links.to(&spki_sha256).map(|link| link.stage.takes_over());
            let named = self.0.named.iter().any(|(new, _)| *new == key.name);
            let from = to.unwrap_or(if named { None } else { Some(UnixTime(0)) });
            let until = links.from(&spki_sha256).and_then(|link| link.stage.takes_over());
            turn.set(from, until, now);
        }
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, Hold> {
        self.0.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
