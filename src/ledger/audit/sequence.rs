//! Checks the entries one after the other: what each says, and what it says of those before it.
//!
//! In: entries, in order. Out: findings, and signatures to verify. An intent waits here for its outcome, with the bytes that
//! are signed; if many wait, without them, to be read again.

use std::collections::HashMap;
use std::time::Duration;

use countersign_tbs::ssh::CertificateType;
use countersign_tbs::{Tbs, TbsKind};

use crate::key::{KeyPurpose, Scheme};
use crate::ledger::account::Party;
use crate::ledger::audit::again::Again;
use crate::ledger::audit::barred::Barred;
use crate::ledger::audit::findings::KEPT as KEPT_UNREAD;
use crate::ledger::audit::frozen::Frozen;
use crate::ledger::audit::keys::KnownKeys;
use crate::ledger::audit::recorded::Recorded;
use crate::ledger::audit::signatures::Pool;
use crate::ledger::audit::unique::{Claim, Claims, Fate};
use crate::ledger::audit::{CaKeys, Counts, Findings, Lists, Report, Rooted, Signatures, Unread, Wrong};
use crate::ledger::entry::{Asked, AskedTbs, CaKey, Entry, Outcome, UnixMillis, sha256};
use crate::ledger::merkle::Hash;
use crate::provision;

mod signed;

use signed::Later;

/// How many bytes of open intents are kept.
const KEPT: usize = 64 * 1024 * 1024;

/// What is known before the first entry.
#[derive(Debug)]
pub(super) struct Basis {
    pub(super) ca_keys: CaKeys,
    pub(super) lists: Lists,
    pub(super) signatures: Signatures,
    pub(super) origin: Option<String>,
    pub(super) clock_tolerance: Duration,
    /// Whether the store is known to have no other log.
    pub(super) is_alone: bool,
}

/// What was checked so far.
#[derive(Debug)]
pub(super) struct Sequence<'scope> {
    signatures: Signatures,
    clock_tolerance: Duration,
    newest: UnixMillis,
    open: HashMap<u64, Open>,
    /// How many bytes the open intents have.
    kept: usize,
    keys: KnownKeys,
    claims: Claims,
    barred: Barred,
    frozen: Frozen,
    recorded: Recorded,
    lists: Lists,
    unread: Vec<Unread>,
    /// Signatures that are verified at the end.
    later: Vec<Later>,
    counts: Counts,
    findings: Findings,
    pool: Pool<'scope>,
}

/// An intent, a self-test or a checkpoint that waits for its outcome.
#[derive(Debug)]
struct Open {
    time: UnixMillis,
    key: usize,
    scheme: Option<Scheme>,
    message: Message,
    /// By its TBS, and by its request id.
    claims: [Option<Claim>; 2],
}

/// What is signed.
#[derive(Debug)]
enum Message {
    Here(Vec<u8>),
    /// In the intent's entry.
    InTheLog,
    /// In a file, of which the log has the SHA-256 and the length.
    InAList([u8; 32], u64),
    /// Nowhere that is known: the log has these alone.
    Nowhere([u8; 32], u64),
}

impl<'scope> Sequence<'scope> {
    pub(super) fn new(basis: Basis, pool: Pool<'scope>) -> Self {
        let Basis { ca_keys, lists, signatures, origin, clock_tolerance, is_alone } = basis;
        Self {
            signatures,
            clock_tolerance,
            newest: UnixMillis(0),
            open: HashMap::new(),
            kept: 0,
            keys: KnownKeys::new(ca_keys),
            claims: Claims::default(),
            barred: Barred::default(),
            frozen: Frozen::new(is_alone),
            recorded: Recorded::new(origin),
            lists,
            unread: Vec::new(),
            later: Vec::new(),
            counts: Counts::default(),
            findings: Findings::default(),
            pool,
        }
    }

    /// Checks the next entry.
    pub(super) fn entry(&mut self, index: u64, leaf: &[u8]) {
        let entry = match Entry::decode(leaf) {
            Ok(entry) => entry,
            Err(error) => return self.findings.add(index, error.into()),
        };
        match entry {
            Entry::Outcome { time, intent, outcome, latency_us, token } => {
                let fate = Fate::of(&outcome, token.as_deref());
                self.outcome(index, (time, latency_us), intent, (outcome, fate));
            }
            Entry::Intent { time, asked, ca_key, .. } => {
                self.counts.intents += 1;
                self.counts.lists += u64::from(TbsKind::from_name(&asked.kind) == Some(TbsKind::X509Crl));
                self.time(index, time);
                self.intent(index, time, asked, &ca_key);
            }
            Entry::SelfTest { time, key, ca_key, challenge } => {
                self.counts.self_tests += 1;
                self.time(index, time);
                self.own(index, time, (&key, &ca_key), challenge);
            }
            Entry::Checkpoint { time, key, ca_key, text } => {
                self.counts.checkpoints += 1;
                self.time(index, time);
                if let Some(wrong) = self.recorded.checkpoint(index, &text) {
                    self.findings.add(index, wrong);
                }
                self.own(index, time, (&key, &ca_key), text.into_bytes());
            }
            Entry::Refusal { time, .. } => {
                self.counts.refusals += 1;
                self.time(index, time);
            }
            Entry::Revocation { time, key, ca_key, spki, what, reason, .. } => {
                self.counts.revocations += 1;
                self.time(index, time);
                let place = self.key(index, &ca_key, &key);
                self.barred.learn(index, (place, &ca_key), what, reason);
                if sha256(&[&spki]) != ca_key.spki_sha256 {
                    self.findings.add(index, Wrong::OtherRevokedKey);
                }
            }
            Entry::Rotation { time, key, ca_key, spki, .. } => {
                self.counts.others += 1;
                self.time(index, time);
                self.key(index, &ca_key, &key);
                if sha256(&[&spki]) != ca_key.spki_sha256 {
                    self.findings.add(index, Wrong::OtherSuccessor);
                }
            }
            Entry::KeyRecord { time, key, token, spki, record, signature, .. } => {
                self.counts.others += 1;
                self.time(index, time);
                match provision::key_of_entry((&key, &token, &spki), record, signature) {
                    Some(key) => self.keys.tell(key),
                    None => self.findings.add(index, Wrong::KeyRecord),
                }
            }
            Entry::Freeze { time, caller, key, .. } => {
                self.counts.others += 1;
                self.time(index, time);
                self.frozen.freeze(Party { caller, key }, index);
            }
            Entry::Thaw { time, caller, key, .. } => {
                self.counts.others += 1;
                self.time(index, time);
                self.frozen.thaw(&Party { caller, key });
            }
            Entry::Refusals { time, .. }
            | Entry::KeyDeletion { time, .. }
            | Entry::KeyWrapping { time, .. }
            | Entry::Ceremony { time, .. } => {
                self.counts.others += 1;
                self.time(index, time);
            }
        }
    }

    /// Takes the hash of the entry that was checked last.
    pub(super) fn appended(&mut self, hash: Hash) {
        self.recorded.append(hash);
    }

    /// Time does not run backwards. An outcome's is its intent's and the latency, whatever the clock says.
    fn time(&mut self, index: u64, time: UnixMillis) {
        let behind = Duration::from_millis(self.newest.0.saturating_sub(time.0));
        if behind > self.clock_tolerance {
            self.findings.add(index, Wrong::ClockBehind { behind });
        }
        self.newest = self.newest.max(time);
    }

    /// A self-test or a checkpoint: what the signer has signed for itself.
    fn own(&mut self, index: u64, time: UnixMillis, (name, ca_key): (&str, &CaKey), message: Vec<u8>) {
        let (key, scheme) = (self.key(index, ca_key, name.as_bytes()), self.scheme(index, ca_key));
        self.wait(index, Open { time, key, scheme, message: Message::Here(message), claims: [None; 2] });
    }

    /// The place of the key that an entry names, whose purpose is that of the entries before.
    fn key(&mut self, index: u64, ca_key: &CaKey, name: &[u8]) -> usize {
        let place = self.keys.place(index, ca_key, name);
        if let Some(wrong) = self.keys.other_purpose(index, place, &ca_key.purpose) {
            self.findings.add(index, wrong);
        }
        place
    }

    fn intent(&mut self, index: u64, time: UnixMillis, asked: Asked, ca_key: &CaKey) {
        let (key, scheme) = (self.key(index, ca_key, &asked.key), self.scheme(index, ca_key));
        let purpose = KeyPurpose::named(&ca_key.purpose);
        let kind = TbsKind::from_name(&asked.kind);
        let covers = purpose.zip(kind).is_some_and(|(purpose, kind)| purpose.kinds().contains(&kind));
        if !covers {
            let wrong = Wrong::Purpose { kind: asked.kind.clone(), purpose: ca_key.purpose.clone() };
            self.findings.add(index, wrong);
        }
        if let Some(wrong) = self.frozen.intent(&asked.caller, &asked.key) {
            self.findings.add(index, wrong);
        }
        let request = self.claims.request(&asked);
        let list = match &asked.tbs {
            AskedTbs::Whole(bytes) => {
                if kind == Some(TbsKind::X509Crl) {
                    self.lists.is_in_the_log(bytes);
                }
                None
            }
            AskedTbs::Digest(sha256, len) => self.lists.get(sha256, *len),
        };
        let message = match asked.tbs {
            AskedTbs::Whole(bytes) => Message::Here(bytes),
            AskedTbs::Digest(sha256, len) if list.is_some() => Message::InAList(sha256, len),
            AskedTbs::Digest(sha256, len) => Message::Nowhere(sha256, len),
        };
        let bytes = if let Message::Here(bytes) = &message { Some(bytes) } else { list.as_ref() };
        let claim = kind.zip(bytes).and_then(|(kind, bytes)| self.tbs(index, (key, ca_key), kind, bytes));
        let unread = (kind == Some(TbsKind::X509Crl)).then_some(Claim::List { key, number: None });
        let claims = [claim.or(unread), request];
        self.wait(index, Open { time, key, scheme, message, claims });
    }

    /// What a TBS claims, if it is one.
    fn tbs(&mut self, index: u64, by: (usize, &CaKey), kind: TbsKind, bytes: &[u8]) -> Option<Claim> {
        let (key, ca_key) = by;
        let tbs = match Tbs::parse(kind, bytes) {
            Ok(tbs) => tbs,
            Err(error) => {
                let wrong = Wrong::NoTbs { kind: kind.name().to_owned(), why: error.to_string() };
                self.findings.add(index, wrong);
                return None;
            }
        };
        if let Tbs::Ssh(certificate) = &tbs {
            if !self.keys.is(key, certificate.ca_key()) {
                self.findings.add(index, Wrong::OtherCaKey);
            }
            if !is_of_purpose(certificate.certificate_type(), &ca_key.purpose) {
                let kind = format!("{} for a {}", kind.name(), certificate.certificate_type());
                self.findings.add(index, Wrong::Purpose { kind, purpose: ca_key.purpose.clone() });
            }
        }
        if let Some(revocation) = self.barred.by(by, &tbs) {
            self.findings.add(index, Wrong::Revoked { revocation });
        }
        self.claims.of(key, &tbs)
    }

    fn scheme(&mut self, index: u64, ca_key: &CaKey) -> Option<Scheme> {
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == ca_key.scheme);
        if scheme.is_none() {
            self.findings.add(index, Wrong::Scheme { scheme: ca_key.scheme.clone() });
        }
        scheme
    }

    fn wait(&mut self, index: u64, mut open: Open) {
        if let Message::Here(bytes) = &open.message {
            if self.kept.saturating_add(bytes.len()) > KEPT {
                open.message = Message::InTheLog;
            } else {
                self.kept += bytes.len();
            }
        }
        self.open.insert(index, open);
    }

    /// The outcome of `intent`, at a time and after a latency in microseconds.
    fn outcome(
        &mut self,
        index: u64,
        (time, latency_us): (UnixMillis, u64),
        intent: u64,
        (outcome, fate): (Outcome, Fate),
    ) {
        self.counts.outcomes += 1;
        let Some(open) = self.open.remove(&intent) else {
            return self.findings.add(index, Wrong::OutcomeOfNothing { intent });
        };
        if let Message::Here(bytes) = &open.message {
            self.kept -= bytes.len();
        }
        if time != open.time.after(Duration::from_micros(latency_us)) {
            self.findings.add(index, Wrong::OutcomeTime { intent });
        }
        if let Message::Nowhere(sha256, len) = open.message
            && fate != Fate::Unmade
        {
            self.unread(Unread { intent, sha256, len });
        }
        for claim in open.claims.into_iter().flatten() {
            self.claims.settled(intent, claim, fate);
        }
        if let Outcome::Signed(raw) = outcome {
            self.counts.signed += 1;
            self.signed(intent, index, open, raw);
        }
    }

    /// Nobody could read what is signed.
    fn unread(&mut self, unread: Unread) {
        self.counts.digest_only += 1;
        if self.unread.len() < KEPT_UNREAD {
            self.unread.push(unread);
        }
    }

    /// Verifies what was put off, and compares all intents with each other.
    pub(super) fn finish(mut self, mut again: Again<'_>, checkpoints: Vec<Rooted>, compared: u64) -> Report {
        for later in std::mem::take(&mut self.later) {
            self.verify_later(&mut again, later);
        }
        let mut open: Vec<u64> = self.open.keys().copied().collect();
        open.sort_unstable();
        for (intent, open) in std::mem::take(&mut self.open) {
            if let Message::Nowhere(sha256, len) = open.message {
                self.unread(Unread { intent, sha256, len });
            }
            for claim in open.claims.into_iter().flatten() {
                self.claims.settled(intent, claim, Fate::Out);
            }
        }
        self.unread.sort_by_key(|unread| unread.intent);
        let done = self.pool.finish();
        let (mut counts, mut findings) = (self.counts, self.findings);
        counts.verified += done.verified;
        findings.extend(done.findings);
        let newest_lists = self.claims.finish(&mut again, &mut findings);
        let newest_lists = newest_lists
            .into_iter()
            .filter_map(|(key, list)| Some((self.keys.spki_sha256(key)?, list)))
            .collect();
        findings.extend(again.findings);
        findings.sort();
        Report {
            entries: again.entries,
            root: again.root,
            counts,
            findings,
            open,
            unchecked: self.keys.into_unchecked(),
            unread: self.unread,
            strangers: self.lists.into_strangers(),
            checkpoints,
            compared,
            frozen_unchecked: self.frozen.is_unchecked(),
            stopped: again.stopped,
            newest_lists,
            frozen: self.frozen.into_parties(),
            lacks_tables: false,
        }
    }
}

/// Whether a CA key of this purpose signs certificates of that type; what no key of SSH signs is a finding of its own.
fn is_of_purpose(certificate: CertificateType, purpose: &str) -> bool {
    match KeyPurpose::named(purpose) {
        Some(KeyPurpose::SshUserCa) => certificate == CertificateType::User,
        Some(KeyPurpose::SshHostCa) => certificate == CertificateType::Host,
        Some(KeyPurpose::X509Ca | KeyPurpose::X509Crl | KeyPurpose::Ocsp | KeyPurpose::Ledger) | None => true,
    }
}
