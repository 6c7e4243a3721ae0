//! How lines of keys stand, for operators.
//!
//! In: the keys in service, what the configuration names and what the log has. Out: each [`Line`], its members from the oldest on,
//! each with its [`State`] at one moment, and what is to be done next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::key::{Key, KeyName, Keys, PublicKey, UnixTime};
use crate::ledger::Links;
use crate::ledger::rotation::{Link, Stage};

/// A key's place: the SHA-256 of its SPKI.
type Place = [u8; 32];

/// Where a key is in its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The configuration names it as a successor, and the log says nothing of it.
    Named,
    /// It is found and tested.
    Staged,
    /// It is to be trusted, and signs no certificates yet.
    Published,
    /// The same, until this second.
    Scheduled(UnixTime),
    /// It signs certificates.
    Active,
    /// It signs no certificates since this second, and is still to be trusted.
    Superseded(UnixTime),
    /// It is not to be trusted any more.
    Retired,
    /// Another was staged in its place.
    Replaced,
}

/// One key of a line.
#[derive(Clone, Debug)]
pub struct LineMember {
    /// Its name, in the configuration or else in the log.
    pub name: String,
    /// As OpenSSH writes it.
    pub fingerprint: String,
    /// Where it is.
    pub state: State,
    /// The key, if it is in service.
    pub key: Option<Arc<Key>>,
    /// Every name that it has or had in the log.
    names: BTreeSet<String>,
}

/// Keys of which each takes the place of the one before it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The oldest first.
    pub members: Vec<LineMember>,
    /// What is to be done next, in one line.
    pub next: String,
}

impl State {
    /// The word for people and JSON: `published`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Staged => "staged",
            Self::Published => "published",
            Self::Scheduled(_) => "scheduled",
            Self::Active => "active",
            Self::Superseded(_) => "superseded",
            Self::Retired => "retired",
            Self::Replaced => "replaced",
        }
    }

    /// Whether it is to be trusted.
    #[must_use]
    pub const fn is_trusted(self) -> bool {
        match self {
            Self::Published | Self::Scheduled(_) | Self::Active | Self::Superseded(_) => true,
            Self::Named | Self::Staged | Self::Retired | Self::Replaced => false,
        }
    }

    /// The second that it is about.
    #[must_use]
    pub const fn at(self) -> Option<UnixTime> {
        match self {
            Self::Scheduled(at) | Self::Superseded(at) => Some(at),
            Self::Named | Self::Staged | Self::Published | Self::Active | Self::Retired | Self::Replaced => {
                None
            }
        }
    }

    /// That of the key at `place`, which the configuration names as a successor or not.
    fn of(place: &Place, links: &Links, is_named: bool, now: UnixTime) -> Self {
        match links.from(place).map(|link| link.stage) {
            Some(Stage::Retired(_)) => return Self::Retired,
            Some(Stage::Activated(at)) if at <= now => return Self::Superseded(at),
            _ => {}
        }
        match links.to(place).map(|link| link.stage) {
            None | Some(Stage::Replaced) if is_named => Self::Named,
            Some(Stage::Staged) => Self::Staged,
            Some(Stage::Published) => Self::Published,
            Some(Stage::Activated(at)) if at > now => Self::Scheduled(at),
            None | Some(Stage::Activated(_) | Stage::Retired(_)) => Self::Active,
            Some(Stage::Replaced) => Self::Replaced,
        }
    }
}

impl LineMember {
    /// Whether it is this key.
    pub(super) fn is(&self, key: &Key) -> bool {
        self.key.as_ref().is_some_and(|own| own.name == key.name)
    }
}

impl Line {
    /// That of a key which takes no other's place, and whose place none takes.
    pub(super) fn alone(key: &Arc<Key>) -> Self {
        let name = key.name.to_string();
        let (names, fingerprint) = (BTreeSet::from([name.clone()]), key.public_key.fingerprint());
        let member =
            LineMember { name, fingerprint, state: State::Active, key: Some(Arc::clone(key)), names };
        Self { members: vec![member], next: String::new() }
    }

    /// Whether a key of it has this name now.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.key.is_some() && member.name == name)
    }

    /// Every name that a key of it has or had in the log.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.members.iter().flat_map(|member| member.names.iter().map(String::as_str)).collect()
    }

    /// The key that signs certificates.
    #[must_use]
    pub fn active(&self) -> Option<&LineMember> {
        self.members.iter().rev().find(|member| member.state == State::Active)
    }
}

/// Whose place a key takes, or took, by name.
pub(super) fn predecessor(key: &Key, links: &Links, named: &[(KeyName, KeyName)]) -> Option<String> {
    let named = named.iter().find(|(new, _)| *new == key.name).map(|(_, old)| old.to_string());
    named.or_else(|| links.to(&key.spki_sha256()).map(|link| link.old.name.clone()))
}

/// Who takes a key's place, or took it, by name.
pub(super) fn successor(key: &Key, links: &Links, named: &[(KeyName, KeyName)]) -> Option<String> {
    let link = links.from(&key.spki_sha256());
    let taken = link.filter(|link| link.stage.takes_over().is_some()).map(|link| link.new.name.clone());
    let named = || named.iter().find(|(_, old)| *old == key.name).map(|(new, _)| new.to_string());
    taken.or_else(named).or_else(|| link.map(|link| link.new.name.clone()))
}

/// Whether the link is that of these keys.
pub(super) fn is_between(link: &Link, old: &Key, new: &Key) -> bool {
    link.old.spki_sha256 == old.spki_sha256() && link.new.spki_sha256 == new.spki_sha256()
}

/// How a link stands, and what is to be done.
pub(super) fn standing(old: &str, new: &str, stage: Option<Stage>, now: UnixTime) -> (String, String) {
    let next = |step: &str, key: &str| format!("run `countersign rotate {step} {key} --why TEXT`");
    match stage {
        None | Some(Stage::Replaced) => (
            format!("key {new} is to take the place of key {old}, and is not staged yet"),
            next("stage", new),
        ),
        Some(Stage::Staged) => (
            format!("key {new} is staged to take the place of key {old}, and is not published yet"),
            next("publish", new),
        ),
        Some(Stage::Published) => (
            format!("key {new} is published to take the place of key {old}, and no time is set yet"),
            format!("once everybody has the bundle, {}", next("activate", &format!("{new} --at TIME"))),
        ),
        Some(Stage::Activated(at)) if at > now => (
            format!("key {new} takes the place of key {old} at {at}, which has not come yet"),
            format!(
                "wait for it; `countersign rotate activate {new} --at TIME --why TEXT` sets another, and `countersign rotate cancel {new} --why \
                 TEXT` takes it back"
            ),
        ),
        Some(Stage::Activated(_)) => (
            format!("key {new} has taken the place of key {old}, which is still trusted"),
            format!("once its certificates have ended, {}", next("retire", old)),
        ),
        Some(Stage::Retired(_)) => (
            format!("key {new} has taken the place of key {old}, which is retired"),
            format!("delete [key.{old}], and `succeeds` of [key.{new}], from the configuration"),
        ),
    }
}

/// What lines are made of.
struct Lines<'a> {
    keys: BTreeMap<Place, &'a Arc<Key>>,
    links: &'a Links,
    named: &'a [(KeyName, KeyName)],
    now: UnixTime,
}

/// Every line of two keys and more, by the name of its oldest key.
pub(super) fn lines(keys: &Keys, links: &Links, named: &[(KeyName, KeyName)], now: UnixTime) -> Vec<Line> {
    let place = |name: &KeyName| keys.get(name).map(|key| key.spki_sha256());
    let by_config = named.iter().filter_map(|(new, old)| Some((place(old)?, place(new)?)));
    let by_log = links.iter().map(|link| (link.old.spki_sha256, link.new.spki_sha256));
    let mut edges: Vec<(Place, Place)> = by_log.chain(by_config).collect();
    let mut seen = BTreeSet::new();
    edges.retain(|edge| seen.insert(*edge));
    let successors: BTreeSet<Place> = edges.iter().map(|(_, new)| *new).collect();
    let mut oldest: Vec<Place> =
        edges.iter().map(|(old, _)| *old).filter(|old| !successors.contains(old)).collect();
    oldest.dedup();
    let all = Lines { keys: keys.iter().map(|key| (key.spki_sha256(), key)).collect(), links, named, now };
    let (mut taken, mut found) = (BTreeSet::new(), Vec::new());
    for first in oldest {
        let mut places = vec![];
        let mut waiting = vec![first];
        while let Some(place) = waiting.pop().filter(|place| taken.insert(*place)) {
            places.push(place);
            waiting.extend(edges.iter().rev().filter(|(old, _)| *old == place).map(|(_, new)| *new));
        }
        if !places.is_empty() {
            found.push(all.line(&places));
        }
    }
    found.sort_by(|a, b| a.members.first().map(|key| &key.name).cmp(&b.members.first().map(|key| &key.name)));
    found
}

impl Lines<'_> {
    fn line(&self, places: &[Place]) -> Line {
        let members: Vec<_> = places.iter().map(|place| self.member(place)).collect();
        let next = self.next(places);
        Line { members, next }
    }

    fn member(&self, place: &Place) -> LineMember {
        let key = self.keys.get(place).map(|key| Arc::clone(key));
        let ends = self.links.iter().flat_map(|link| [&link.old, &link.new]);
        let recorded: Vec<_> = ends.filter(|member| member.spki_sha256 == *place).collect();
        let mut names: BTreeSet<String> = recorded.iter().map(|member| member.name.clone()).collect();
        names.extend(key.as_ref().map(|key| key.name.to_string()));
        let name = key.as_ref().map(|key| key.name.to_string());
        let name = name.or_else(|| recorded.last().map(|member| member.name.clone())).unwrap_or_default();
        let public_key = recorded.last().and_then(|member| PublicKey::from_spki_der(&member.spki).ok());
        let fingerprint = key.as_ref().map(|key| key.public_key.fingerprint());
        let fingerprint = fingerprint.or_else(|| public_key.map(|key| key.fingerprint())).unwrap_or_default();
        let is_named = key.as_ref().is_some_and(|key| self.named.iter().any(|(new, _)| *new == key.name));
        let state = State::of(place, self.links, is_named, self.now);
        LineMember { name, fingerprint, state, key, names }
    }

    /// Of the first of its links that is not at its end.
    fn next(&self, places: &[Place]) -> String {
        let name = |place: &Place| self.member(place).name;
        let mut ended = String::new();
        for new in places {
            let named =
                self.keys.get(new).and_then(|key| self.named.iter().find(|(own, _)| *own == key.name));
            let old = named.and_then(|(_, old)| self.keys.values().find(|key| key.name == *old));
            let old = old.map(|key| key.spki_sha256()).or_else(|| {
                let link = self.links.to(new).filter(|link| link.stage != Stage::Replaced);
                link.map(|link| link.old.spki_sha256)
            });
            let Some(old) = old else { continue };
            let link =
                self.links.iter().find(|link| link.old.spki_sha256 == old && link.new.spki_sha256 == *new);
            let stage = link.map(|link| link.stage);
            let (_, next) = standing(&name(&old), &name(new), stage, self.now);
            if !matches!(stage, Some(Stage::Retired(_))) {
                return next;
            }
            if self.keys.contains_key(&old) || named.is_some() {
                ended = next;
            }
        }
        if ended.is_empty() { "nothing is to be done".to_owned() } else { ended }
    }
}
