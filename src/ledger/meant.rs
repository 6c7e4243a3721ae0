//! The certificates that a revocation means, in every log of the store.
//!
//! In: a selection, and the logs. Out: [`Meant`], and of it the rows that are kept once the transaction that appends the revocation
//! has shown what came meanwhile. This log is looked through by its index; the others, whose indexes are on other hosts, by reading
//! them, but for a serial. What cannot be read in another log means nothing, and is told; in this one it is an error. A look is many
//! short ones, between which others have their turn.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ledger::archive::{Archive, ArchiveError, Page, RawEntry};
use crate::ledger::claim::Serial;
use crate::ledger::entry::{CaKey, DecodeError, Entry, Revoked, UnixMillis};
use crate::ledger::revoked::{Certificate, Row, certificate};
use crate::ledger::search::{Search, decoded};

/// The most certificates that one revocation means, and that have not expired. They are written in one transaction, for no list may be made of
/// half of them, and until it ends nobody's request is recorded, in a database no other signer's either.
pub(super) const MAX_MEANT: usize = 100_000;

/// For so long after a certificate has expired it is kept as one that has not, in milliseconds: the host's clock may be ahead, and what
/// a revocation means is looked for once.
const AHEAD: u64 = 24 * 3600 * 1000;

/// How many entries are looked at in one step.
const STEP: u64 = 2048;

/// How much of another log is read at once.
const PAGE: Page = Page { entries: STEP, bytes: 4 << 20 };

/// Of each log, how many of its first entries were looked at.
pub(super) type Sizes = BTreeMap<i32, u64>;

/// What a revocation means, among the entries that were looked at.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    ca_key: CaKey,
    what: Revoked,
    /// The log that the revocation is in, or is to be.
    log: i32,
    /// Where it is there, and since when, if it is.
    recorded: Option<(u64, UnixMillis)>,
    /// What had expired long before is not kept.
    now: UnixMillis,
    pub(super) sizes: Sizes,
    /// Whether there is any, expired or not.
    pub(super) is_any: bool,
    /// How many there are that are not kept.
    expired: u64,
    certificates: Vec<(Vec<u8>, Certificate, UnixMillis)>,
}

/// A look that is under way.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) meant: Meant,
    /// In this log.
    search: Option<Search>,
    /// What is to be read of logs.
    rest: Vec<(i32, Range<u64>)>,
}

impl Meant {
    /// Of a revocation that is not recorded yet, or is so at an index and a time; nothing was looked at.
    pub(super) fn new(
        ca_key: CaKey,
        what: Revoked,
        log: i32,
        recorded: Option<(u64, UnixMillis)>,
        now: UnixMillis,
    ) -> Self {
        let (sizes, certificates) = (Sizes::new(), Vec::new());
        Self { ca_key, what, log, recorded, now, sizes, is_any: false, expired: 0, certificates }
    }

    /// Whether there is a row for each certificate: of SSH, lists have most selections as they are.
    pub(super) fn is_kept(&self) -> bool {
        !self.what.means_later() || self.ca_key.is_x509()
    }

    /// Whether it means more than is written at once.
    pub(super) fn is_too_much(&self) -> bool {
        self.certificates.len() > MAX_MEANT
    }

    /// Takes note of an entry.
    fn look(&mut self, log: i32, index: u64, entry: &Entry) {
        let Some(found) = self.meant(log, index, entry) else { return };
        self.is_any = true;
        // Of a serial it counts for ever that it is revoked.
        let is_due = found.1.not_after >= self.now.0.saturating_sub(AHEAD) / 1000;
        if is_due || matches!(self.what, Revoked::Serial(_)) {
            self.certificates.push(found);
        } else {
            self.expired += 1;
        }
    }

    /// Takes note of entries of one log.
    fn look_in(&mut self, archive: &Archive, log: i32, leaves: &[RawEntry]) -> Result<(), ArchiveError> {
        let mut astray = None;
        for leaf in leaves {
            match Entry::decode(&leaf.bytes) {
                Ok(entry) => self.look(log, leaf.index, &entry),
                Err(source) if log != archive.reader().log() => astray = Some((leaf.index, source)),
                Err(_) => return decoded(archive, leaf).map(drop),
            }
        }
        if let Some((index, source)) = astray {
            unreadable(&archive.reader().name_of(log)?, index, &source);
        }
        Ok(())
    }

    fn meant(&self, log: i32, index: u64, entry: &Entry) -> Option<(Vec<u8>, Certificate, UnixMillis)> {
        let is_own = log == self.log;
        let is_before = self.what.means_later()
            || self.recorded.is_none_or(|(at, time)| if is_own { index < at } else { entry.time() <= time });
        // An entry is named by its place in one log.
        if !is_before || (!is_own && matches!(self.what, Revoked::Entry(_))) {
            return None;
        }
        let (tbs, time) = (entry.certificate_of(&self.ca_key)?, entry.time());
        let serial = Serial::of(&tbs).filter(|_| self.what.means(index, time, &tbs))?;
        Some((serial.as_bytes().to_vec(), certificate(&tbs)?, time))
    }

    /// What is to be kept of the revocation, once the entries that came since are known, too.
    pub(super) fn rows(&self, revocation: &Entry, newer: &[(i32, u64, Entry)]) -> Vec<Row> {
        let Entry::Revocation { time, ca_key, what, reason, .. } = revocation else { return Vec::new() };
        if !self.is_kept() {
            return Vec::new();
        }
        if self.expired > 0 {
            tracing::warn!(
                expired = self.expired,
                clock_ms = self.now.0,
                "a revocation means certificates that have expired by this host's clock; no list names them: if the clock is ahead, set \
                 it right and revoke them again"
            );
        }
        let (ca_key, reason) = (ca_key.spki_sha256, *reason);
        let newer = newer.iter().filter_map(|(log, index, entry)| self.meant(*log, *index, entry));
        let found = self.certificates.iter().cloned().chain(newer);
        let mut rows: Vec<_> = found
            .map(|(serial, certificate, signed)| {
                // One that was signed after its key was revoked is revoked since it exists.
                let since = if matches!(what, Revoked::SubjectKey(_)) { signed.max(*time) } else { *time };
                Row { ca_key, serial, reason, since, certificate: Some(certificate) }
            })
            .collect();
        if let (Revoked::Serial(serial), true) = (what, rows.is_empty()) {
            rows.push(Row { ca_key, serial: serial.clone(), reason, since: *time, certificate: None });
        }
        rows
    }
}

impl Looking {
    /// Begins to look for all that is meant.
    pub(super) fn begin(archive: &Archive, mut meant: Meant) -> Result<Self, ArchiveError> {
        let logs = sizes(archive)?;
        let (mut search, mut rest) = (None, Vec::new());
        match meant.what.clone() {
            Revoked::Entry(index) if index < archive.size() => rest.push((meant.log, index..index + 1)),
            Revoked::Entry(_) => {}
            what => search = Some(Search::new(archive, what.filter(&meant.ca_key), None)?),
        }
        match &meant.what {
            Revoked::Serial(serial) => {
                let claimed = archive.reader().by_serial(&meant.ca_key.spki_sha256, serial)?;
                // The search finds this log's.
                let own = meant.log;
                for (log, leaf) in claimed.into_iter().filter(|(log, _)| *log != own) {
                    meant.look_in(archive, log, &[leaf])?;
                }
            }
            Revoked::Entry(_) => {}
            _ => rest
                .extend(logs.iter().filter(|(log, _)| **log != meant.log).map(|(log, len)| (*log, 0..*len))),
        }
        meant.sizes = logs;
        Ok(Self { meant, search, rest })
    }

    /// Begins to look for what came since.
    pub(super) fn go_on(archive: &Archive, mut meant: Meant) -> Result<Self, ArchiveError> {
        let logs = sizes(archive)?;
        let since = |log| meant.sizes.get(log).copied().unwrap_or_default();
        let rest = logs.iter().map(|(log, len)| (*log, since(log)..*len)).collect();
        meant.sizes = logs;
        Ok(Self { meant, search: None, rest })
    }

    /// Whether everything was looked at.
    pub(super) fn is_over(&self) -> bool {
        self.search.is_none() && self.rest.is_empty()
    }

    /// Looks at some more.
    pub(super) fn step(&mut self, archive: &Archive) -> Result<(), ArchiveError> {
        if let Some(search) = &mut self.search {
            for leaf in search.step(archive, STEP, 256)? {
                self.meant.look(self.meant.log, leaf.index, &decoded(archive, &leaf)?);
            }
            if search.next().is_none() {
                self.search = None;
            }
            return Ok(());
        }
        let Some((log, range)) = self.rest.last_mut() else { return Ok(()) };
        let leaves: Vec<RawEntry> = archive.reader().page_of(*log, range.clone(), PAGE)?;
        self.meant.look_in(archive, *log, &leaves)?;
        range.start = leaves.last().map_or(range.end, |leaf| leaf.index.saturating_add(1));
        if range.is_empty() {
            self.rest.pop();
        }
        Ok(())
    }

    /// Looks at everything, for as long as that takes.
    pub(super) fn finish(mut self, archive: &Archive) -> Result<Meant, ArchiveError> {
        while !self.is_over() {
            self.step(archive)?;
        }
        Ok(self.meant)
    }
}

/// Tells of an entry of another log that is none: the last of those that were read at once.
pub(super) fn unreadable(log: &str, index: u64, source: &DecodeError) {
    tracing::warn!(
        index,
        "an entry of the log {log} cannot be read and is passed over; `ledger verify` that log: {source}"
    );
}

/// How many entries each log has, this one as far as it is known.
fn sizes(archive: &Archive) -> Result<Sizes, ArchiveError> {
    let mut sizes = archive.reader().sizes()?;
    sizes.insert(archive.reader().log(), archive.size());
    Ok(sizes)
}
