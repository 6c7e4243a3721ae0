//! What was found.

use std::collections::HashMap;
use std::time::Duration;

use crate::ledger::UnusableIndex;
use crate::ledger::account::Party;
use crate::ledger::audit::newest::NewestList;
use crate::ledger::audit::{Findings, Stopped, Stranger};
use crate::ledger::entry::DecodeError;
use crate::ledger::merkle::Hash;

/// What checking a log found.
#[derive(Debug)]
pub struct Report {
    /// How many entries were read, from the first on without a gap.
    pub entries: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// How many there are of what.
    pub counts: Counts,
    /// What is wrong, by entry.
    pub findings: Findings,
    /// Intents and self-tests without an outcome: a signature may exist.
    pub open: Vec<u64>,
    /// Signatures that nobody could check, by key.
    pub unchecked: Vec<Unchecked>,
    /// The first thousand intents for lists that nobody could read.
    pub unread: Vec<Unread>,
    /// Lists that were given, and that no entry permits: another log's, or signed behind this one's back.
    pub strangers: Vec<Stranger>,
    /// The checkpoints that the log was compared with.
    pub checkpoints: Vec<Rooted>,
    /// How many of its first entries were compared with hashes that were known.
    pub compared: u64,
    /// Whether somebody was frozen, and intents of theirs were not looked for: the store has other logs, or may have, whose thaws count here.
    pub frozen_unchecked: bool,
    /// Where the reading ended too early, if nothing is known to be wrong there.
    pub stopped: Option<Stopped>,
    /// The lists whose numbers the store must have beside the log, by the SHA-256 of the CA key's SPKI.
    pub(super) newest_lists: Vec<([u8; 32], NewestList)>,
    /// Who is frozen after the last entry, and by which one.
    pub(super) frozen: HashMap<Party, u64>,
    /// Whether there is what tables beside the log should say, and the file is of a schema without those tables.
    pub lacks_tables: bool,
}

/// How many entries there are of what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Intents.
    pub intents: u64,
    /// Those that are for lists.
    pub lists: u64,
    /// Refusals with an entry of their own.
    pub refusals: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Self-tests.
    pub self_tests: u64,
    /// Checkpoints of the log itself.
    pub checkpoints: u64,
    /// Revocations.
    pub revocations: u64,
    /// Counted refusals, freezes, thaws, and what else operators had recorded.
    pub others: u64,
    /// Outcomes with a signature.
    pub signed: u64,
    /// Signatures that verify.
    pub verified: u64,
    /// Intents for lists of which the log has the digest alone and nobody gave the list, though a signature may exist.
    pub digest_only: u64,
}

/// A checkpoint, and what the log says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rooted {
    /// How many entries it is of.
    pub size: u64,
    /// Whether the log has its root there; `None` if the reading ended before.
    pub holds: Option<bool>,
}

/// Signatures by a key whose public half is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unchecked {
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// The key's purpose, as the log has it.
    pub purpose: String,
    /// What the log called the key first.
    pub name: String,
    /// How many there are.
    pub signatures: u64,
    /// The first entry that has one.
    pub first: u64,
}

/// An intent for a list of which the log has the digest alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unread {
    /// Its index.
    pub intent: u64,
    /// SHA-256 of what is to be signed.
    pub sha256: [u8; 32],
    /// How many bytes that has.
    pub len: u64,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// It is not there, but later ones are, or are said to be.
    #[error("is missing")]
    Missing,
    /// The bundle ends within it, or goes on where it should end.
    #[error("is cut off in {file}, or comes after all that belong there; what follows was not checked")]
    Bundle {
        /// The bundle.
        file: String,
    },
    /// The store does not give it, for it is damaged.
    #[error("cannot be read; what follows was not checked: {why}")]
    Unreadable {
        /// What the store says.
        why: String,
    },
    /// It is none.
    #[error("is none: {0}")]
    NotAnEntry(#[from] DecodeError),
    /// The tile has another hash for it.
    #[error("is not what {file} has the hash of: the entry or the hash was changed")]
    OtherHash {
        /// The tile.
        file: String,
    },
    /// The signer that serves it proves that the tree has another entry there, or nothing.
    #[error(
        "is not proven to be in the tree of {size} entries by the signer that serves it: the entry was changed, or the signer's hashes, or \
         another entry comes each time that it is asked for"
    )]
    Unproven {
        /// The tree's size.
        size: u64,
    },
    /// A tile has another hash for a subtree, whose entries have the right ones.
    #[error("begins a subtree that {file} has another hash of: the hash was changed")]
    OtherSubtree {
        /// The tile.
        file: String,
    },
    /// There is no tile to compare with.
    #[error("has no hash to compare with: there is no {file}; export again")]
    NoTile {
        /// The tile.
        file: String,
    },
    /// What the ledger's file says of itself is damaged, and entries can be read.
    #[error("begins a log whose file says of itself what is not so: {why}")]
    Header {
        /// What else says so.
        why: String,
    },
    /// The index beside the ledger is there, and cannot be used.
    #[error(
        "begins a log whose hashes are lost: {0}; compare with --against or --checkpoint before the signer makes another"
    )]
    Index(#[from] UnusableIndex),
    /// The tree does not have a root that was signed.
    #[error(
        "is the last of a tree that does not have the root of the checkpoint of {size} entries: an entry up to it was changed"
    )]
    OtherRoot {
        /// The checkpoint's size.
        size: u64,
    },
    /// A checkpoint that the log itself records has another root than the entries before it.
    #[error(
        "records a checkpoint of {size} entries that has another root than they have: an entry from {since} on and below {size} was \
         changed, or the checkpoint"
    )]
    RecordedRoot {
        /// The checkpoint's size.
        size: u64,
        /// That of the one before it, whose root is right.
        since: u64,
    },
    /// A checkpoint of more entries than are before it, or of fewer than an earlier one.
    #[error("records a checkpoint of {size} entries; between {least} and its own index are right")]
    CheckpointSize {
        /// The checkpoint's size.
        size: u64,
        /// The least that is right.
        least: u64,
    },
    /// A checkpoint of another log.
    #[error("records a checkpoint of the log {origin:?}, not of this one")]
    OtherLog {
        /// The other's name.
        origin: String,
    },
    /// A checkpoint or an export has more entries.
    #[error("is missing: the log has {len} entries, and had {had}")]
    Removed {
        /// How many there are.
        len: u64,
        /// How many there were.
        had: u64,
    },
    /// Time runs backwards.
    #[error("is {} older than an entry before it", humantime::format_duration(*behind))]
    ClockBehind {
        /// By how much.
        behind: Duration,
    },
    /// An outcome whose time is not that of its intent and the latency.
    #[error("has another time than that of entry {intent} and the latency")]
    OutcomeTime {
        /// The intent.
        intent: u64,
    },
    /// A second outcome, or that of something else than an intent.
    #[error(
        "is the outcome of entry {intent}, which has one already, or is no intent or self-test before it"
    )]
    OutcomeOfNothing {
        /// The index that it names.
        intent: u64,
    },
    /// The bytes are no TBS of the kind that the entry says.
    #[error("permits bytes that are no {kind}: {why}")]
    NoTbs {
        /// The kind.
        kind: String,
        /// The rule that they break.
        why: String,
    },
    /// The key may not sign this kind.
    #[error("has a {kind} signed by a key of purpose {purpose}")]
    Purpose {
        /// The kind.
        kind: String,
        /// The purpose.
        purpose: String,
    },
    /// One key, and two purposes of which neither includes the other.
    #[error(
        "has as one of purpose {purpose} the key that entry {earlier} has for {had}: a key has one purpose, and was used beyond it"
    )]
    OtherPurpose {
        /// The purpose.
        purpose: String,
        /// The one that it had.
        had: String,
        /// The first entry that says so.
        earlier: u64,
    },
    /// The SSH certificate names another key than the entry.
    #[error("has an SSH certificate by another CA key than the one that it says is to sign")]
    OtherCaKey,
    /// A revocation has another public key than it names.
    #[error("has another public key than the one that it names by its hash: lists are made of another CA's")]
    OtherRevokedKey,
    /// A step of a rotation has another public key than it names.
    #[error(
        "has another public key than the one that it names by its hash: another key would take the place of the old one"
    )]
    OtherSuccessor,
    /// A provisioning record is not signed by its key, or its entry says other things of it.
    #[error(
        "has a provisioning record that is not signed by the key that it is of, or that is of another key than the entry says"
    )]
    KeyRecord,
    /// No key of its algorithm signs so.
    #[error("has a key that cannot sign by {scheme:?}")]
    Scheme {
        /// The scheme, as the entry has it.
        scheme: String,
    },
    /// The signature is not the key's.
    #[error("has a signature that does not verify over entry {intent}, by the CA key that it names")]
    Signature {
        /// The intent.
        intent: u64,
    },
    /// Two certificates of one CA key have one serial.
    #[error("has the serial of entry {earlier}, by the same CA key")]
    Serial {
        /// The earlier intent.
        earlier: u64,
    },
    /// Two intents of one caller have one request id.
    #[error("has the request id of entry {earlier}, by the same caller, who may have its signature")]
    RequestId {
        /// The earlier intent.
        earlier: u64,
    },
    /// Whoever is frozen has nothing signed.
    #[error("permits what a caller asked for whom entry {freeze} froze for this key, and nobody thawed")]
    Frozen {
        /// The freeze.
        freeze: u64,
    },
    /// A certificate of another log of the store has the serial, and it is not one that may.
    #[error(
        "has the serial of entry {entry} of the log {log:?}, by the same CA key, which is not the same certificate, or this one may have \
         been signed: both logs have it, or the row of the serial was changed"
    )]
    SerialElsewhere {
        /// The entry there.
        entry: u64,
        /// The log's name.
        log: String,
    },
    /// A certificate that a revocation before it bars.
    #[error("has a certificate whose serial or subject key entry {revocation} revoked before, for good")]
    Revoked {
        /// The revocation.
        revocation: u64,
    },
    /// A revocation of which the store does not keep what lists and responses are made of.
    #[error(
        "revokes what the tables beside the log do not: {why}; lists and OCSP responses say less than the log. Put the tables right from a \
         backup, or revoke it again, for another reason if there is a row"
    )]
    NotKept {
        /// What the tables lack.
        why: String,
    },
    /// The same, of tables that lists are not made of.
    #[error("does not agree with the tables beside the log: {why}. Put the tables right from a backup")]
    OtherRow {
        /// What differs.
        why: String,
    },
    /// A CRL's number does not grow.
    #[error("has a CRL number that is not above that of entry {earlier}, by the same CA key")]
    CrlNumber {
        /// The earlier intent.
        earlier: u64,
    },
}

impl Wrong {
    /// A stable word to branch on.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Bundle { .. } => "BUNDLE",
            Self::Unreadable { .. } => "UNREADABLE",
            Self::NotAnEntry(_) => "NOT_AN_ENTRY",
            Self::OtherHash { .. } | Self::Unproven { .. } => "OTHER_HASH",
            Self::OtherSubtree { .. } => "OTHER_SUBTREE",
            Self::NoTile { .. } => "NO_TILE",
            Self::Header { .. } => "HEADER",
            Self::Index(_) => "INDEX",
            Self::OtherRoot { .. } | Self::RecordedRoot { .. } => "OTHER_ROOT",
            Self::CheckpointSize { .. } | Self::OtherLog { .. } => "CHECKPOINT",
            Self::Removed { .. } => "REMOVED",
            Self::ClockBehind { .. } => "CLOCK_BEHIND",
            Self::OutcomeTime { .. } => "OUTCOME_TIME",
            Self::OutcomeOfNothing { .. } => "OUTCOME_OF_NOTHING",
            Self::NoTbs { .. } => "NO_TBS",
            Self::Purpose { .. } | Self::OtherPurpose { .. } => "PURPOSE",
            Self::OtherCaKey | Self::OtherRevokedKey | Self::OtherSuccessor => "OTHER_CA_KEY",
            Self::KeyRecord => "KEY_RECORD",
            Self::Scheme { .. } => "SCHEME",
            Self::Signature { .. } => "SIGNATURE",
            Self::Serial { .. } | Self::SerialElsewhere { .. } => "SERIAL",
            Self::CrlNumber { .. } => "CRL_NUMBER",
            Self::RequestId { .. } => "REQUEST_ID",
            Self::Frozen { .. } => "FROZEN",
            Self::Revoked { .. } => "REVOKED",
            Self::NotKept { .. } | Self::OtherRow { .. } => "NOT_KEPT",
        }
    }
}
