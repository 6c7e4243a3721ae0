//! One CA key takes the place of another, step by step, as an operator says.
//!
//! In: the configuration's `succeeds`, what the ledger has of steps, and the operator's next one. Out: the [`Turn`] of each key,
//! which policy asks, the [`Line`]s for operators, and their [`Bundle`]s for those who trust the keys. Promised: a step is durable
//! before it has any effect; while it is not, what both outcomes allow is allowed, so that no two keys of a line ever sign
//! certificates in the same second. What the log says holds, whatever became of the configuration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::caller::CallerName;
use crate::key::{Config, Key, KeyName, KeyPurpose, Keys, Turn, UnixTime};
use crate::ledger::entry::{RotationStep, UnixMillis};
use crate::ledger::rotation::{Link, Member, Stage};
use crate::ledger::{ArchiveError, Ledger, LedgerError, Links, Receipt, Rotation};

pub use bundle::Bundle;
pub(crate) use bundle::{cert_authorities, certificate};
pub use line::{Line, LineMember, State};

mod bundle;
mod line;

/// How far ahead a key's turn may be set: ten years.
const MOST_AHEAD: u64 = 3653 * 86_400;

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

/// A step that an operator wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The successor; to retire, the key whose place was taken.
    pub key: String,
    /// The step. Whether certificates of a key that is retired may still be valid is found out here.
    pub step: RotationStep,
    /// The operator, as the kernel names it.
    pub by: CallerName,
    /// The operator's reason.
    pub why: String,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No key has this name, neither in service nor, to retire, in the log.
    #[error("there is no [key.{0}] in the configuration that the signer runs by; name a key that there is")]
    NoKey(String),
    /// The step is of the key at the other end.
    #[error("{key} is the {end} key; {step} {other}")]
    OtherEnd {
        /// The key that was named.
        key: String,
        /// Which of the two it is.
        end: &'static str,
        /// The step.
        step: &'static str,
        /// The key that it is of.
        other: String,
    },
    /// Nothing says that the key takes another's place, or that another takes its.
    #[error(
        "{0} takes no other key's place, and none takes its; write `succeeds` into the new key's section, and restart the signer"
    )]
    NoLine(String),
    /// Another step is next.
    #[error("{state}; nothing was done; {next}")]
    OutOfOrder {
        /// How the link stands.
        state: String,
        /// What is to be done.
        next: String,
    },
    /// Its turn cannot begin then.
    #[error(
        "{0} cannot be the time: it is a whole second that is still to come, within ten years; nothing was done"
    )]
    Time(UnixTime),
    /// Whoever takes the bundle after this would refuse good certificates.
    #[error(
        "key {key} has signed certificates that are still valid: entry {entry} of the ledger until {until}; retire it then, or \
         with --force, which has everybody who takes the bundle refuse them; nothing was done"
    )]
    StillValid {
        /// The key.
        key: String,
        /// The entry of the one that is valid for longest, or nearly.
        entry: u64,
        /// When that ends.
        until: UnixTime,
    },
    /// The ledger has not said what became of the step before.
    #[error("the ledger has not said yet what became of the last step; try again in a moment")]
    Unsettled,
    /// It was not recorded, or nobody knows.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
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

    /// Takes a step, if it is the next one; where it is recorded. `prove` has a key that is staged sign a challenge. Dropped, it
    /// takes none, or goes on without whoever asked: once the ledger is asked, a step has its end.
    ///
    /// # Errors
    /// [`StepError`], or that of `prove`; nothing has changed but with [`StepError::Ledger`], after which the turns are what both
    /// outcomes allow until the ledger has said which it is.
    pub async fn step<E: From<StepError>>(
        &self,
        wanted: Wanted,
        prove: impl AsyncFnOnce(&Arc<Key>) -> Result<(), E>,
    ) -> Result<Receipt, E> {
        let one = Arc::clone(&self.0.steps).lock_owned().await;
        if self.is_in_doubt() {
            return Err(StepError::Unsettled.into());
        }
        let Wanted { key, step, by, why } = wanted;
        let (old, new, stage) = self.link(&key, step)?;
        self.is_next(&old, &new, stage, step)?;
        let step = match step {
            RotationStep::Retire(force) => RotationStep::Retire(self.is_forced(&old, force).await?),
            other => other,
        };
        let in_service = self.in_service(&new).cloned();
        if let (RotationStep::Stage, Some(key)) = (step, &in_service) {
            prove(key).await?;
        }
        let about =
            in_service.as_ref().map(|key| (key.purpose.name(), key.scheme.name())).unwrap_or_default();
        let (purpose, scheme) = (about.0.to_owned(), about.1.to_owned());
        self.hold_for(&old, &new, stage, step);
        // The turn may have begun meanwhile. From here on it does not.
        if let Err(late) = self.is_next(&old, &new, stage, step) {
            *self.hold() = Hold::Free;
            self.settle();
            return Err(late.into());
        }
        let rotation = Rotation { old, new, purpose, scheme, step, by, why };
        let rotations = self.clone();
        // A task of its own: what is in the ledger's queue is written, whatever its client does, and the turns are to follow.
        let recording = tokio::spawn(async move {
            let _one = one;
            rotations.record(key, rotation).await
        });
        // It fails if the task panicked, which ends the process in a release build, or if the runtime ends.
        Ok(recording.await.unwrap_or(Err(StepError::Unsettled))?)
    }

    /// Records a step of the key that the operator named, and gives every key the turn that follows.
    async fn record(&self, key: String, rotation: Rotation) -> Result<Receipt, StepError> {
        let (step, by, why) = (rotation.step, rotation.by.clone(), rotation.why.clone());
        let recorded = self.0.ledger.rotate(rotation).await;
        *self.hold() = if recorded.is_ok() { Hold::Free } else { Hold::Doubt };
        if let Ok(receipt) = &recorded {
            self.settle();
            let step = step.word();
            tracing::warn!(entry = receipt.index, why, step, "{by} took a step of a rotation: key {key}");
        }
        self.0.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        Ok(recorded?)
    }

    /// The link that a step is about, and how far it is; `None` if the log has none.
    fn link(&self, name: &str, step: RotationStep) -> Result<(Member, Member, Option<Stage>), StepError> {
        let (links, no_line) = (self.0.ledger.links(), || self.no_link(name, step));
        let key = KeyName::new(name).ok().and_then(|name| self.0.keys.get(&name));
        let member = |key: &Arc<Key>| Member::new(key.name.to_string(), key.public_key.to_spki_der());
        if matches!(step, RotationStep::Retire(_)) {
            let by_key = key.and_then(|key| links.from(&key.spki_sha256()));
            let found =
                by_key.or_else(|| links.iter().rev().find(|link| key.is_none() && link.old.name == name));
            let link = found.ok_or_else(no_line)?;
            return Ok((self.named_now(&link.old), self.named_now(&link.new), Some(link.stage)));
        }
        let key = key.ok_or_else(no_line)?;
        let named =
            self.0.named.iter().find(|(new, _)| *new == key.name).and_then(|(_, old)| self.0.keys.get(old));
        let by_config =
            named.map(|old| (member(old), links.iter().find(|link| line::is_between(link, old, key))));
        let by_log = || links.to(&key.spki_sha256()).map(|link| (self.named_now(&link.old), Some(link)));
        let (old, link) = by_config.or_else(by_log).ok_or_else(no_line)?;
        Ok((old, member(key), link.map(|link| link.stage)))
    }

    /// Why there is no link that a step of this key could be about.
    fn no_link(&self, name: &str, step: RotationStep) -> StepError {
        let (links, named) = (self.0.ledger.links(), &self.0.named);
        let Some(key) = KeyName::new(name).ok().and_then(|name| self.0.keys.get(&name)) else {
            return StepError::NoKey(name.to_owned());
        };
        let (before, after) = (line::predecessor(key, &links, named), line::successor(key, &links, named));
        let retires = matches!(step, RotationStep::Retire(_));
        let (end, other) = match (retires, before, after) {
            // It takes another's place itself, but what is to be retired is the old one.
            (true, Some(old), _) => ("new", old),
            (true, None, Some(new)) => {
                let (state, next) = line::standing(name, &new, None, self.latest());
                return StepError::OutOfOrder { state, next };
            }
            (false, _, Some(new)) => ("old", new),
            (true, None, None) | (false, _, None) => return StepError::NoLine(name.to_owned()),
        };
        StepError::OtherEnd { key: name.to_owned(), end, step: step.word(), other }
    }

    /// With the name that it has now.
    fn named_now(&self, member: &Member) -> Member {
        let name = self.in_service(member).map(|key| key.name.to_string());
        Member { name: name.unwrap_or_else(|| member.name.clone()), ..member.clone() }
    }

    fn in_service(&self, member: &Member) -> Option<&Arc<Key>> {
        self.0.keys.iter().find(|key| key.spki_sha256() == member.spki_sha256)
    }

    /// Whether the step follows where the link is.
    fn is_next(
        &self,
        old: &Member,
        new: &Member,
        stage: Option<Stage>,
        step: RotationStep,
    ) -> Result<(), StepError> {
        let now = self.as_late_as_seen(new, stage);
        let is_next = match (step, stage) {
            (RotationStep::Stage, None | Some(Stage::Replaced)) => self.may_have_successor(old, new, now)?,
            (RotationStep::Publish, Some(Stage::Staged)) => self.is_certified(new)?,
            (RotationStep::Activate(at), Some(Stage::Published)) => may_begin(at, now)?,
            (RotationStep::Activate(at), Some(Stage::Activated(set))) if set > now => may_begin(at, now)?,
            (RotationStep::Cancel, Some(Stage::Activated(set))) => set > now,
            (RotationStep::Retire(_), Some(Stage::Activated(set))) => set <= now,
            _ => false,
        };
        if is_next {
            return Ok(());
        }
        let (standing, next) = line::standing(&old.name, &new.name, stage, now);
        Err(StepError::OutOfOrder { state: standing, next })
    }

    /// The time now, or that of the ledger's newest entry: a clock that was set back does not undo what came by its time.
    fn latest(&self) -> UnixTime {
        UnixTime(self.0.ledger.latest().0 / 1000)
    }

    /// The same, and not before a turn of `new` that has begun.
    fn as_late_as_seen(&self, new: &Member, stage: Option<Stage>) -> UnixTime {
        let turn = self.in_service(new).and_then(|key| key.turn.as_deref());
        let begun = stage.and_then(Stage::takes_over).filter(|_| turn.is_some_and(Turn::has_begun));
        begun.map_or(self.latest(), |begun| begun.max(self.latest()))
    }

    /// Whether `old` signs certificates now, so that somebody can take its place.
    fn may_have_successor(&self, old: &Member, new: &Member, now: UnixTime) -> Result<bool, StepError> {
        let links = self.0.ledger.links();
        if let Some(link) = links.from(&old.spki_sha256).filter(|link| link.stage.takes_over().is_some()) {
            let state =
                format!("key {} takes, or has taken, the place of key {} already", link.new.name, old.name);
            let next = format!("have key {} succeed {}", new.name, link.new.name);
            return Err(StepError::OutOfOrder { state, next });
        }
        let named = self.0.named.iter().any(|(new, _)| new.as_str() == old.name);
        let link = links.to(&old.spki_sha256);
        if link.map_or(named, |link| link.stage.takes_over().is_none_or(|at| at > now)) {
            let state = format!("key {} has not taken its own place yet", old.name);
            let next =
                format!("finish that first: `countersign rotate status {}` says how it stands", old.name);
            return Err(StepError::OutOfOrder { state, next });
        }
        Ok(true)
    }

    /// Whether those who are to trust it can: an X.509 CA is trusted by its certificate.
    fn is_certified(&self, new: &Member) -> Result<bool, StepError> {
        let key = self.in_service(new);
        if key.is_none_or(|key| key.purpose != KeyPurpose::X509Ca || key.certificate.is_some()) {
            return Ok(true);
        }
        let state = format!("key {} has no certificate yet", new.name);
        let next = "have it certified (`countersign key csr`, or `key self-sign`), name the certificate in its section, and restart \
                    the signer"
            .to_owned();
        Err(StepError::OutOfOrder { state, next })
    }

    /// Whether certificates of a key that is to be retired may be valid, which is a no unless it is forced.
    async fn is_forced(&self, old: &Member, force: bool) -> Result<bool, StepError> {
        let last = self.0.ledger.still_valid(old.spki_sha256, UnixTime::now()).await?;
        match last {
            Some((until, entry)) if !force => {
                Err(StepError::StillValid { key: old.name.clone(), entry, until })
            }
            last => Ok(last.is_some()),
        }
    }

    /// Until the step is durable: what it allows and what was allowed before.
    fn hold_for(&self, old: &Member, new: &Member, stage: Option<Stage>, step: RotationStep) {
        let mut hold = self.hold();
        *hold = Hold::Step;
        let before = stage.and_then(Stage::takes_over);
        let after = match step {
            RotationStep::Activate(UnixMillis(at)) => Some(UnixTime(at / 1000)),
            RotationStep::Cancel => None,
            RotationStep::Stage | RotationStep::Publish | RotationStep::Retire(_) => return,
        };
        let ends = before.into_iter().chain(after).min();
        if let Some(turn) = self.in_service(old).and_then(|key| key.turn.as_deref()) {
            turn.hold_until(ends);
        }
        if let Some(turn) = self.in_service(new).and_then(|key| key.turn.as_deref()) {
            turn.hold_from(before.zip(after).map(|(before, after)| before.max(after)));
        }
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

    /// What the log and the configuration do not agree on, each in one line.
    #[must_use]
    pub fn disagreements(&self) -> Vec<String> {
        let links = self.0.ledger.links();
        links.iter().filter_map(|link| self.disagreement(link)).collect()
    }

    fn disagreement(&self, link: &Link) -> Option<String> {
        let (old, new) = (&link.old, &link.new);
        let status = format!("`countersign rotate status {}` says how it stands", new.name);
        match (link.stage, self.in_service(old), self.in_service(new)) {
            (Stage::Replaced, ..)
            | (Stage::Retired(_), None, _)
            | (Stage::Retired(_), Some(_), Some(_))
            | (_, None, None) => None,
            (Stage::Retired(_) | Stage::Staged | Stage::Published | Stage::Activated(_), Some(old), None) => Some(format!(
                "key {} is in the ledger as what takes the place of key {}, and has no section in the configuration; what the ledger says \
                 of {} holds all the same; {status}",
                new.name, old.name, old.name
            )),
            (_, None, Some(new)) => Some(format!(
                "key {} has no section in the configuration, and is not retired: the bundles are without it, and its certificates are \
                 refused where they are taken; put it back and run `countersign rotate retire {}` when it is time; {status}",
                old.name, old.name
            )).filter(|_| new.turn.is_some()),
            (_, Some(old), Some(new)) => {
                let named = self.0.named.iter().any(|(key, other)| *key == new.name && *other == old.name);
                (!named).then(|| format!(
                    "key {} takes the place of key {} by the ledger, and its section does not say so; that holds all the same: write \
                     succeeds = \"{}\" into it",
                    new.name, old.name, old.name
                ))
            }
        }
    }
}

/// Whether a turn can begin then.
fn may_begin(UnixMillis(at): UnixMillis, UnixTime(now): UnixTime) -> Result<bool, StepError> {
    let at_secs = at / 1000;
    if at.is_multiple_of(1000) && at_secs > now && at_secs <= now.saturating_add(MOST_AHEAD) {
        Ok(true)
    } else {
        Err(StepError::Time(UnixTime(at_secs)))
    }
}

#[cfg(test)]
mod tests;
