//! A step of a rotation: whether it is the next one, and what is so while it is recorded.
//!
//! In: a [`StepRequest`] of an operator. Out: where the step is recorded, or the [`StepError`] that says what comes before it. Promised:
//! one step at a time; a key that is staged has signed a challenge; turns are held from before the ledger is asked until it has answered.

use std::sync::Arc;

use crate::caller::CallerName;
use crate::key::{Key, KeyName, KeyPurpose, Turn, UnixTime};
use crate::ledger::entry::{RotationStep, UnixMillis};
use crate::ledger::rotation::{Member, Stage};
use crate::ledger::{ArchiveError, LedgerError, Receipt, Rotation};
use crate::rotation::{Hold, Rotations, line};

/// How far ahead a key's turn may be set: ten years.
pub(super) const MOST_AHEAD: u64 = 3653 * 86_400;

/// A step that an operator wants.
#[derive(Clone, Debug)]
pub struct StepRequest {
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
    /// Takes a step, if it is the next one; where it is recorded. `prove` has a key that is staged sign a challenge. Dropped, it
    /// takes none, or goes on without whoever asked: once the ledger is asked, a step has its end.
    ///
    /// # Errors
    /// [`StepError`], or that of `prove`; nothing has changed but with [`StepError::Ledger`], after which the turns are what both
    /// outcomes allow until the ledger has said which it is.
    pub async fn step<E: From<StepError>>(
        &self,
        request: StepRequest,
        prove: impl AsyncFnOnce(&Arc<Key>) -> Result<(), E>,
    ) -> Result<Receipt, E> {
        let one = Arc::clone(&self.0.steps).lock_owned().await;
        let key = request.key.clone();
        let rotation = self.prepare(request, prove).await?;
        let rotations = self.clone();
        // A task of its own: what is in the ledger's queue is written, whatever its client does, and the turns are to follow.
        let recording = tokio::spawn(async move {
            let _one = one;
            rotations.record(key, rotation).await
        });
        // It fails if the task panicked, which ends the process in a release build, or if the runtime ends.
        Ok(recording.await.unwrap_or(Err(StepError::Unsettled))?)
    }

    /// Finds out whether the step is the next one, and holds the turns for it: it is to be recorded without a pause, so that they are
    /// not held for nothing.
    async fn prepare<E: From<StepError>>(
        &self,
        request: StepRequest,
        prove: impl AsyncFnOnce(&Arc<Key>) -> Result<(), E>,
    ) -> Result<Rotation, E> {
        if self.is_in_doubt() {
            return Err(StepError::Unsettled.into());
        }
        let StepRequest { key, step, by, why } = request;
        let (old, new, stage) = self.link(&key, step)?;
        self.check_next(&old, &new, stage, step)?;
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
        if let Err(late) = self.check_next(&old, &new, stage, step) {
            *self.hold() = Hold::Free;
            self.settle();
            return Err(late.into());
        }
        Ok(Rotation { old, new, purpose, scheme, step, by, why })
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

    /// The step follows where the link is.
    ///
    /// # Errors
    /// [`StepError::OutOfOrder`], with what does, or what else is in the step's way.
    fn check_next(
        &self,
        old: &Member,
        new: &Member,
        stage: Option<Stage>,
        step: RotationStep,
    ) -> Result<(), StepError> {
        let now = self.as_late_as_seen(new, stage);
        match (step, stage) {
            (RotationStep::Stage, None | Some(Stage::Replaced)) => {
                return self.check_place_free(old, new, now);
            }
            (RotationStep::Publish, Some(Stage::Staged)) => return self.check_certified(new),
            (RotationStep::Activate(at), Some(Stage::Published)) => return check_time(at, now),
            (RotationStep::Activate(at), Some(Stage::Activated(set))) if set > now => {
                return check_time(at, now);
            }
            (RotationStep::Cancel, Some(Stage::Activated(set))) if set > now => return Ok(()),
            (RotationStep::Retire(_), Some(Stage::Activated(set))) if set <= now => return Ok(()),
            _ => {}
        }
        let (standing, next) = line::standing(&old.name, &new.name, stage, now);
        Err(StepError::OutOfOrder { state: standing, next })
    }

    /// The same, and not before a turn of `new` that has begun.
    fn as_late_as_seen(&self, new: &Member, stage: Option<Stage>) -> UnixTime {
        let turn = self.in_service(new).and_then(|key| key.turn.as_deref());
        let begun = stage.and_then(Stage::takes_over).filter(|_| turn.is_some_and(Turn::has_begun));
        begun.map_or(self.latest(), |begun| begun.max(self.latest()))
    }

    /// `old` signs certificates now, and nobody has taken its place.
    fn check_place_free(&self, old: &Member, new: &Member, now: UnixTime) -> Result<(), StepError> {
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
        Ok(())
    }

    /// Those who are to trust it can: an X.509 CA is trusted by its certificate.
    fn check_certified(&self, new: &Member) -> Result<(), StepError> {
        let key = self.in_service(new);
        if key.is_none_or(|key| key.purpose != KeyPurpose::X509Ca || key.certificate.is_some()) {
            return Ok(());
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
    pub(super) fn hold_for(&self, old: &Member, new: &Member, stage: Option<Stage>, step: RotationStep) {
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
}

/// A turn can begin then.
fn check_time(UnixMillis(at): UnixMillis, UnixTime(now): UnixTime) -> Result<(), StepError> {
    let at_secs = at / 1000;
    if at.is_multiple_of(1000) && at_secs > now && at_secs <= now.saturating_add(MOST_AHEAD) {
        Ok(())
    } else {
        Err(StepError::Time(UnixTime(at_secs)))
    }
}
