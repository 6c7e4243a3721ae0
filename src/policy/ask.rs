//! The order in which the rules are asked, and who may watch.
//!
//! In: a [`Question`]. Out: the profile that permits, or the refusal. A request is decided and explained by this one walk:
//! the only difference is the [`Observer`], and that offline a CA key may be unknown. What a rule cannot know is a no,
//! unless the observer takes note of it; the one that watches decisions never does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use countersign_tbs::key::PublicKey;
use countersign_tbs::x509::Name;
use countersign_tbs::{ParseError, Tbs, TbsKind};

use crate::caller::CallerName;
use crate::key::{Clock, KeyCertificate, KeyName, KeyPurpose, Keys, OutOfTurn, Scheme, Turn, UnixTime};
use crate::policy::format::{Format, built_in, first_permitting};
use crate::policy::profile::Profile;
use crate::policy::quote::{listed, quoted};
use crate::policy::{Case, Objection, Policy, Reason, Refusal, Verdict, object};

/// What the rules are asked about: a request, without the proof of who asks.
pub(crate) struct Question<'a> {
    pub(crate) caller: &'a CallerName,
    pub(crate) key: &'a str,
    pub(crate) kind: TbsKind,
    pub(crate) deadline: Option<Instant>,
    pub(crate) tbs: Result<&'a Tbs, &'a ParseError>,
    pub(crate) now: Clock,
    pub(crate) ca_keys: CaKeys<'a>,
}

/// The CA keys of this signer, as far as they are known.
#[derive(Clone, Copy)]
pub(crate) enum CaKeys<'a> {
    /// In service: the daemon has read each from its token, and pinned it.
    Pinned(&'a Keys),
    /// Offline: the configuration and its files say at most a key's fingerprint or certificate.
    Configured(Offline<'a>),
    /// Offline, about a TBS that was made up here, so that the CA key in it means nothing.
    Assumed(Offline<'a>),
}

/// What is known of CA keys without their tokens.
#[derive(Clone, Copy)]
pub(crate) struct Offline<'a> {
    pub(crate) keys: &'a [crate::key::Config],
    /// Those that could be read.
    pub(crate) certificates: &'a BTreeMap<KeyName, KeyCertificate>,
}

/// How a public key compares with the CA key of a name.
pub(super) enum Comparison {
    Same,
    /// The CA key is another; its fingerprint.
    Other(String),
    /// Nobody here knows, and why.
    Unknown(&'static str),
}

/// What permits a request: a key, and a profile of it.
pub(crate) struct Granted<'a> {
    pub(super) key: KeyName,
    pub(super) profile: &'a Profile,
}

/// A rule that is asked.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Tbs,
    BuiltIn(&'static str),
    Profile(&'a Profile, &'static str),
}

/// Watches the rules being asked.
pub(crate) trait Observer {
    /// Takes note of what `place` saw and said. If it could not know, says whether the walk goes on.
    fn note(&mut self, place: Place<'_>, saw: impl FnOnce() -> String, said: &Verdict) -> IfUnknown;
}

/// What a rule's "I cannot know" comes to.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum IfUnknown {
    Refuse,
    GoOn,
}

/// Watches nothing, and lets nothing pass that a rule could not check.
pub(super) struct Unwatched;

impl Observer for Unwatched {
    fn note(&mut self, _: Place<'_>, _: impl FnOnce() -> String, _: &Verdict) -> IfUnknown {
        IfUnknown::Refuse
    }
}

/// The rule's name in refusals: `key.user-ca.allow.staff.principals`, `built-in.serial` or `tbs`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tbs => f.write_str("tbs"),
            Self::BuiltIn(name) => write!(f, "built-in.{name}"),
            Self::Profile(profile, name) => write!(f, "{}.{name}", profile.path),
        }
    }
}

/// Tells `observer` what a rule said, and makes its no a refusal.
pub(super) fn answer(
    observer: &mut impl Observer,
    place: Place<'_>,
    saw: impl FnOnce() -> String,
    said: Verdict,
) -> Result<(), Refusal> {
    let if_unknown = observer.note(place, saw, &said);
    match said {
        Ok(()) => Ok(()),
        Err(Objection::Unknown(_)) if if_unknown == IfUnknown::GoOn => Ok(()),
        // In service every CA key is pinned before it is named to anybody, so that this is a key that went away.
        Err(Objection::Unknown(_)) => Err(key_not_available()),
        Err(Objection::No { reason, message }) => Err(Refusal { reason, rule: place.to_string(), message }),
    }
}

impl Policy {
    /// Asks the rules in order. A caller that may not use the key learns nothing else, so that comes first.
    pub(super) fn ask(
        &self,
        asked: &Question<'_>,
        observer: &mut impl Observer,
    ) -> Result<Granted<'_>, Refusal> {
        let (key, purpose) = self.available(asked, observer)?;
        let saw = || if asked.deadline.is_some() { "a deadline" } else { "no deadline" }.to_owned();
        answer(observer, Place::BuiltIn("deadline"), saw, in_time(asked))?;
        let saw = || asked.kind.to_string();
        answer(observer, Place::BuiltIn("tbs_kind"), saw, of_kind(&key, purpose, asked.kind))?;
        if let Some(turn) = asked.ca_keys.turn(&key) {
            let saw = || format!("{} at {}", asked.kind, asked.now.unix);
            answer(observer, Place::BuiltIn("turn"), saw, in_turn(&key, turn, asked.kind, asked.now.unix))?;
        }
        if asked.ca_keys.await_certificate(&key) {
            let saw = || "no `certificate` of the key".to_owned();
            answer(observer, Place::BuiltIn("certificate"), saw, certified(&key, asked.kind))?;
        }
        let profile = match parsed(asked, observer)? {
            Tbs::Ssh(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
            Tbs::X509(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
            Tbs::Crl(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
            Tbs::Ocsp(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
            Tbs::Request(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
            Tbs::Root(tbs) => self.ask_rules(asked, &key, purpose, tbs, observer),
        }?;
        Ok(Granted { key, profile })
    }

    /// Asks the rules of a format, built in and of each profile.
    fn ask_rules<T: Format>(
        &self,
        asked: &Question<'_>,
        key: &KeyName,
        purpose: KeyPurpose,
        tbs: &T,
        observer: &mut impl Observer,
    ) -> Result<&Profile, Refusal> {
        let now = asked.now.unix;
        let case = Case { ca_keys: asked.ca_keys, key, purpose, tbs, now, blocklist: &self.blocklist };
        built_in(&case, observer)?;
        first_permitting(self.profiles(asked.caller, key), asked.caller, &case, observer)
            .map_err(|refusal| refusal.unwrap_or_else(key_not_available))
    }

    fn available(
        &self,
        asked: &Question<'_>,
        observer: &mut impl Observer,
    ) -> Result<(KeyName, KeyPurpose), Refusal> {
        let key = KeyName::new(asked.key).ok().and_then(|name| {
            let purpose = asked.ca_keys.purpose(&name)?;
            let named = self.profiles(asked.caller, &name).next().is_some();
            named.then_some((name, purpose))
        });
        let saw = || format!("caller {}, key {}", asked.caller, quoted(asked.key));
        let said = if key.is_some() { Ok(()) } else { object(Reason::KeyNotAvailable, NO_SUCH_KEY) };
        answer(observer, Place::BuiltIn("key_available"), saw, said)?;
        key.ok_or_else(key_not_available)
    }
}

/// The same for a key that does not exist and one that is another's: neither name nor caller is in it.
const NO_SUCH_KEY: &str = "no key of this name is available to this caller; ListKeys names those that are";

pub(super) fn key_not_available() -> Refusal {
    let rule = Place::BuiltIn("key_available").to_string();
    Refusal { reason: Reason::KeyNotAvailable, rule, message: NO_SUCH_KEY.to_owned() }
}

fn in_time(asked: &Question<'_>) -> Verdict {
    if asked.deadline.is_none_or(|deadline| asked.now.instant < deadline) {
        return Ok(());
    }
    object(Reason::RequestExpired, "the deadline passed before the request was decided; nothing was signed")
}

/// Asked before the bytes are looked at: bytes for another kind of key have no business to be parsed for this one.
fn of_kind(key: &KeyName, purpose: KeyPurpose, found: TbsKind) -> Verdict {
    let kinds = purpose.kinds();
    if kinds.contains(&found) {
        return Ok(());
    }
    let message =
        format!("key {key} is for purpose {purpose} and signs {}, not {found}", listed(kinds.iter()));
    object(Reason::TbsKindNotAllowed, message)
}

/// Of two keys of which one takes the place of the other, one signs certificates.
fn in_turn(key: &KeyName, turn: &Turn, found: TbsKind, now: UnixTime) -> Verdict {
    let Err(out_of_turn) = turn.at(now, found) else { return Ok(()) };
    match out_of_turn {
        OutOfTurn::Early { predecessor, from } => {
            let from = from.map_or_else(|| "a time that is not set yet".to_owned(), |from| from.to_string());
            let message = format!(
                "key {key} takes the place of key {predecessor} at {from}, and signs no certificates before; until then ask for \
                 {predecessor}"
            );
            object(Reason::KeyNotActive, message)
        }
        OutOfTurn::Over { successor, since } => {
            let message = format!(
                "key {successor} has taken the place of key {key} at {since}, which signs no certificates any more; ask for {successor}, and \
                 name its public key as the CA's"
            );
            object(Reason::KeySuperseded, message)
        }
    }
}

/// A CA that has no certificate yet has no name that what it signs could be issued by.
fn certified(key: &KeyName, found: TbsKind) -> Verdict {
    if matches!(found, TbsKind::X509Request | TbsKind::X509Root) {
        return Ok(());
    }
    let message = format!(
        "key {key} awaits its certificate, and until then signs a request for it or its own root certificate alone; see \
         `countersign key csr`"
    );
    object(Reason::CertificateAwaited, message)
}

fn parsed<'a>(asked: &Question<'a>, observer: &mut impl Observer) -> Result<&'a Tbs, Refusal> {
    let said = asked.tbs.map(|_| ()).map_err(|error| Objection::No {
        reason: Reason::Malformed(error.rule()),
        message: error.to_string(),
    });
    let saw =
        || asked.tbs.map_or_else(|_| "bytes".to_owned(), |tbs| format!("{} bytes", tbs.as_bytes().len()));
    answer(observer, Place::Tbs, saw, said)?;
    asked.tbs.map_err(malformed)
}

pub(super) fn malformed(error: &ParseError) -> Refusal {
    Refusal {
        reason: Reason::Malformed(error.rule()),
        rule: Place::Tbs.to_string(),
        message: error.to_string(),
    }
}

impl<'a> CaKeys<'a> {
    /// What the key `name` may sign; `None` if there is no such key.
    fn purpose(&self, name: &KeyName) -> Option<KeyPurpose> {
        match self {
            Self::Pinned(keys) => keys.get(name).map(|key| key.purpose),
            Self::Configured(offline) | Self::Assumed(offline) => offline.find(name).map(|key| key.purpose),
        }
    }

    /// How the key `name` signs; `None` if there is no such key.
    pub(super) fn scheme(&self, name: &KeyName) -> Option<Scheme> {
        match self {
            Self::Pinned(keys) => keys.get(name).map(|key| key.scheme),
            Self::Configured(offline) | Self::Assumed(offline) => offline.find(name).map(|key| key.scheme),
        }
    }

    /// The certificate of the key `name`; `None` if it has none, or nobody here has read it.
    pub(super) fn certificate(&self, name: &KeyName) -> Option<&'a KeyCertificate> {
        match self {
            Self::Pinned(keys) => keys.get(name)?.certificate.as_deref(),
            Self::Configured(offline) | Self::Assumed(offline) => offline.certificates.get(name),
        }
    }

    /// Whether a CA key is certified for `name`, as verifiers compare names.
    pub(super) fn certify_as(&self, name: &Name) -> bool {
        match self {
            Self::Pinned(keys) => keys.cas_named(name).next().is_some(),
            Self::Configured(offline) | Self::Assumed(offline) => {
                let mut cas = offline.keys.iter().filter(|key| key.purpose == KeyPurpose::X509Ca);
                cas.any(|key| {
                    offline.certificates.get(&key.name).is_some_and(|own| own.own().subject().matches(name))
                })
            }
        }
    }

    /// When the key `name` signs certificates, if that depends on another key. Only a signer that runs knows.
    pub(super) fn turn(&self, name: &KeyName) -> Option<&'a Turn> {
        match self {
            Self::Pinned(keys) => keys.get(name)?.turn.as_deref(),
            Self::Configured(_) | Self::Assumed(_) => None,
        }
    }

    /// Whether the key `name` is a CA's whose certificate is still to be made: the configuration names none.
    pub(super) fn await_certificate(&self, name: &KeyName) -> bool {
        let awaits = |purpose, has_certificate: bool| purpose == KeyPurpose::X509Ca && !has_certificate;
        match self {
            Self::Pinned(keys) => {
                keys.get(name).is_some_and(|key| awaits(key.purpose, key.certificate.is_some()))
            }
            Self::Configured(offline) | Self::Assumed(offline) => {
                offline.find(name).is_some_and(|key| awaits(key.purpose, key.certificate.is_some()))
            }
        }
    }

    /// Compares `found`, the CA key in a TBS, with the key `name`.
    pub(super) fn compare(&self, name: &KeyName, found: &PublicKey) -> Comparison {
        match self {
            Self::Assumed(_) => Comparison::Unknown("the TBS was made up here and names no CA key"),
            Self::Pinned(keys) => match keys.get(name) {
                None => Comparison::Unknown("the key is not in service"),
                Some(key) if key.public_key == *found => Comparison::Same,
                Some(key) => Comparison::Other(key.public_key.fingerprint()),
            },
            Self::Configured(offline) => match offline.find(name).and_then(|key| offline.fingerprint(key)) {
                None => Comparison::Unknown("only the token knows the CA key; set its `fingerprint`"),
                Some(fingerprint) if fingerprint == found.fingerprint() => Comparison::Same,
                Some(fingerprint) => Comparison::Other(fingerprint),
            },
        }
    }

    /// Whether `subject` is a CA key. A delegated key is none: its CA certifies it.
    pub(super) fn contain(&self, subject: &PublicKey) -> bool {
        match self {
            Self::Pinned(keys) => {
                let mut cas = keys.iter().filter(|key| !key.purpose.is_delegated());
                cas.any(|key| key.public_key == *subject)
            }
            Self::Configured(offline) | Self::Assumed(offline) => {
                let found = Some(subject.fingerprint());
                offline.cas().any(|key| offline.fingerprint(key) == found)
            }
        }
    }

    /// The CA keys that nothing could be compared with.
    pub(super) fn unknown(&self) -> Vec<&'a KeyName> {
        match self {
            Self::Pinned(_) => Vec::new(),
            Self::Configured(offline) | Self::Assumed(offline) => {
                let unknown = offline.cas().filter(|key| offline.fingerprint(key).is_none());
                unknown.map(|key| &key.name).collect()
            }
        }
    }
}

impl<'a> Offline<'a> {
    fn find(&self, name: &KeyName) -> Option<&'a crate::key::Config> {
        self.keys.iter().find(|key| key.name == *name)
    }

    fn cas(&self) -> impl Iterator<Item = &'a crate::key::Config> {
        self.keys.iter().filter(|key| !key.purpose.is_delegated())
    }

    /// The key's fingerprint, as the configuration says or its certificate.
    fn fingerprint(&self, key: &crate::key::Config) -> Option<String> {
        let certified =
            || self.certificates.get(&key.name).map(|certificate| certificate.public_key().fingerprint());
        key.fingerprint.clone().or_else(certified)
    }
}

/// A moment of the past or the future, for a question without a deadline.
impl From<UnixTime> for Clock {
    fn from(unix: UnixTime) -> Self {
        Self { unix, instant: Instant::now() }
    }
}
