//! Decides whether a caller may have these bytes signed with this key.
//!
//! In: a [`Request`], what its bytes parsed to, the [`Keys`] in service and the time. Out: a [`Decision`], the only
//! source of a [`Permit`]. The default answer is no. Nothing here does I/O: the same arguments give the same decision.
//!
//! The rules are one function each, in a module for each format of TBS (`policy::ssh`, `policy::x509`, `policy::crl`,
//! `policy::ocsp`); `policy::ask` asks them in order, and `policy::explain` listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use countersign_tbs::{ParseError, Tbs};

use crate::caller::{Caller, CallerName};
use crate::key::{Clock, Key, KeyCertificate, KeyName, KeyPurpose, Keys, PublicKey, UnixTime};
use crate::policy::ask::{CaKeys, Granted, Question, Unwatched};
use crate::policy::blocklist::Blocklist;
use crate::policy::budget::Budget;
use crate::policy::profile::{Bounds, Profile};
use crate::sign::Request;

pub use crate::policy::blocklist::{KeyList, ListError, ListFormat};
pub use crate::policy::network::{InvalidNetwork, Network};
pub use crate::policy::pattern::{InvalidPattern, Pattern};
pub use crate::policy::reason::{Reason, ReasonClass};

pub(crate) mod ask;
pub(crate) mod blocklist;
pub(crate) mod budget;
mod canonical;
pub(crate) mod crl;
pub(crate) mod explain;
pub(crate) mod fields;
#[cfg(test)]
pub(crate) mod fixture;
mod format;
pub(crate) mod listing;
pub(crate) mod network;
pub(crate) mod ocsp;
pub(crate) mod own;
pub(crate) mod pattern;
pub(crate) mod profile;
mod quote;
mod reason;
mod signer;
pub(crate) mod ssh;
pub(crate) mod subject_key;
pub(crate) mod validity;
mod weak_key;
pub(crate) mod wide;
pub(crate) mod x509;

/// The rules in force: for each key, who may have what signed. Immutable, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy {
    keys: Arc<BTreeMap<KeyName, KeyRules>>,
    blocklist: Blocklist,
    digest: [u8; 32],
}

/// The rules of one key.
#[derive(Clone, Debug)]
pub(crate) struct KeyRules {
    pub(crate) purpose: KeyPurpose,
    /// Sorted by name.
    pub(crate) profiles: Vec<Profile>,
}

/// What policy says to one request; refused unless a profile allows everything in it.
#[derive(Debug)]
pub struct Decision {
    request: Request,
    policy_digest: [u8; 32],
    verdict: Result<Permit, Refusal>,
}

/// The proof that policy allows this TBS under this key. Only [`Policy::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    key: Arc<Key>,
    tbs: Tbs,
    rule: String,
    budget: Budget,
    numbering: crl::Numbering,
    cas: Vec<[u8; 32]>,
}

/// Why policy says no: a word to branch on, the rule that decided, and one line for a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// A stable word.
    pub reason: Reason,
    /// The rule that decided: a key of the configuration, `key.user-ca.allow.staff.principals`; `built-in.principals`
    /// for what no configuration can allow; `tbs` for bytes that are no TBS.
    pub rule: String,
    /// What is wrong with the request, and what would be right: one line of at most 2,000 bytes. Never TBS bytes
    /// beyond the value at fault, which is escaped and cut.
    pub message: String,
}

/// What a rule looks at: a TBS of the format `T`, and what it is asked about.
pub(crate) struct Case<'a, T> {
    ca_keys: CaKeys<'a>,
    key: &'a KeyName,
    purpose: KeyPurpose,
    tbs: &'a T,
    now: UnixTime,
    blocklist: &'a Blocklist,
}

impl<'a, T> Case<'a, T> {
    /// The certificate of the key that is to sign.
    fn certificate(&self) -> Result<&'a KeyCertificate, Objection> {
        let unknown = || Objection::Unknown("the key's certificate could not be read here".to_owned());
        self.ca_keys.certificate(self.key).ok_or_else(unknown)
    }
}

/// What a rule says.
pub(crate) type Verdict = Result<(), Objection>;

/// Why a rule is not content; who asked the rule knows its name.
pub(crate) enum Objection {
    /// It must not be.
    No {
        /// The word.
        reason: Reason,
        /// The line.
        message: String,
    },
    /// The rule cannot know, since a CA key is not known: a no, unless this is an explanation.
    Unknown(String),
}

impl Policy {
    /// Puts compiled rules into force.
    pub(crate) fn new(keys: BTreeMap<KeyName, KeyRules>, blocklist: Blocklist) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(
            digest::digest(&digest::SHA256, canonical::text(&keys, &blocklist).as_bytes()).as_ref(),
        );
        Self { keys: Arc::new(keys), blocklist, digest }
    }

    /// The SHA-256 of [`Self::canonical_text`], recorded with every decision.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The rules as text that is the same whenever they are, line by line: docs/policy.md specifies it.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        canonical::text(&self.keys, &self.blocklist)
    }

    /// The lists of keys that nobody may have a certificate for.
    #[must_use]
    pub fn blocklists(&self) -> &[KeyList] {
        self.blocklist.lists()
    }

    /// Why nobody should sign with this key: others know its private half, or can find it.
    pub(crate) fn known_to_others(&self, key: &PublicKey) -> Option<String> {
        if let Some(format) = self.blocklist.find(key, key.to_ssh_wire().as_deref()) {
            return Some(format!("it is in the blocklist `{}`", format.name()));
        }
        let PublicKey::Rsa(rsa) = key else { return None };
        weak_key::of_rsa(rsa.modulus()).map(|weakness| weakness.in_words().to_owned())
    }

    /// Whether any profile lets `caller` use `key` at all.
    #[must_use]
    pub fn may_use(&self, caller: &Caller, key: &KeyName) -> bool {
        self.profiles(caller.name(), key).next().is_some()
    }

    /// Whether any profile of any key lets `caller` have CRLs signed, which are longer than anything else.
    #[must_use]
    pub fn may_have_crls(&self, caller: &Caller) -> bool {
        let mut profiles = self.keys.values().flat_map(|rules| &rules.profiles);
        profiles.any(|profile| {
            matches!(profile.bounds, Bounds::Crl(_)) && profile.callers.contains(caller.name())
        })
    }

    /// Of each profile of lists of all certificates: the key, the profile's place in the configuration, and how many entries it allows.
    pub(crate) fn list_limits(&self) -> Vec<(&KeyName, String, usize)> {
        let mut limits = Vec::new();
        for (key, rules) in &*self.keys {
            for profile in &rules.profiles {
                if let Bounds::Crl(bounds) = &profile.bounds
                    && bounds.scopes.contains("all")
                {
                    limits.push((key, profile.path.clone(), bounds.max_entries));
                }
            }
        }
        limits
    }

    /// Decides one request.
    #[must_use]
    pub fn decide(
        &self,
        keys: &Keys,
        request: Request,
        tbs: Result<Tbs, ParseError>,
        now: Clock,
    ) -> Decision {
        let verdict = self.verdict(keys, &request, tbs, now);
        Decision { request, policy_digest: self.digest, verdict }
    }

    fn verdict(
        &self,
        keys: &Keys,
        request: &Request,
        tbs: Result<Tbs, ParseError>,
        now: Clock,
    ) -> Result<Permit, Refusal> {
        let question = Question {
            caller: request.caller.name(),
            key: &request.key,
            kind: request.kind,
            deadline: request.deadline,
            tbs: tbs.as_ref(),
            now,
            ca_keys: CaKeys::Pinned(keys),
        };
        let Granted { key, profile } = self.ask(&question, &mut Unwatched)?;
        let key = keys.get(&key).cloned().ok_or_else(ask::key_not_available)?;
        let tbs = tbs.map_err(|error| ask::malformed(&error))?;
        let (budget, numbering) = (profile.budget, profile.numbering());
        let cas = keys.listed_by(&key);
        Ok(Permit { key, tbs, rule: profile.path.clone(), budget, numbering, cas })
    }

    /// Every profile of `key`, sorted by name; `None` if no such key signs for callers.
    pub(crate) fn profiles_of(&self, key: &str) -> Option<&[Profile]> {
        Some(&self.keys.get(&KeyName::new(key).ok()?)?.profiles)
    }

    /// The profiles of `key` that name `caller`, sorted by name.
    fn profiles<'a>(&'a self, caller: &CallerName, key: &KeyName) -> impl Iterator<Item = &'a Profile> {
        let profiles = self.keys.get(key).map(|rules| rules.profiles.as_slice()).unwrap_or_default();
        profiles.iter().filter(move |profile| profile.callers.contains(caller))
    }
}

/// A rule's no.
fn object(reason: Reason, message: impl Into<String>) -> Verdict {
    Err(Objection::No { reason, message: message.into() })
}

impl Decision {
    /// What was asked.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The answer.
    ///
    /// # Errors
    /// The refusal, if that is the answer.
    pub fn verdict(&self) -> Result<&Permit, &Refusal> {
        self.verdict.as_ref()
    }

    /// The digest of the policy that decided.
    #[must_use]
    pub fn policy_digest(&self) -> [u8; 32] {
        self.policy_digest
    }

    /// The request, the digest of the policy that decided, and the answer.
    pub(crate) fn into_parts(self) -> (Request, [u8; 32], Result<Permit, Refusal>) {
        (self.request, self.policy_digest, self.verdict)
    }
}

impl Permit {
    /// The key that may sign.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// What may be signed.
    #[must_use]
    pub fn tbs(&self) -> &Tbs {
        &self.tbs
    }

    /// The profile that permits it: `key.user-ca.allow.staff`.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// How many the caller may have by this profile: for the ledger to count.
    pub(crate) fn budget(&self) -> Budget {
        self.budget
    }

    /// How the number of the list may follow the newest: for the ledger to ask.
    pub(crate) fn numbering(&self) -> crl::Numbering {
        self.numbering
    }

    /// The CA keys whose certificates the key's lists are about, by the SHA-256 of their SPKI: for the ledger to compare a list with
    /// what it knows to be revoked.
    pub(crate) fn cas(&self) -> &[[u8; 32]] {
        &self.cas
    }

    /// The key, the TBS and the profile that permits it.
    pub(crate) fn into_parts(self) -> (Arc<Key>, Tbs, String) {
        (self.key, self.tbs, self.rule)
    }
}

#[cfg(test)]
mod tests;
