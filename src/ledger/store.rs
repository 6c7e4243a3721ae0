//! What the writer needs of whatever keeps the log: one transaction after another.
//!
//! In: entries, with what they claim. Out: a [`Store`] that begins transactions, and the [`Batch`] of one, which is durable as
//! a whole or not at all. What finds entries again beside the claims is the [`Index`]'s, in files of this host whatever keeps
//! the log. Not decided here: what is let in; `ledger::admit` asks a batch and decides.

use std::path::Path;

use countersign_tbs::crl::CrlNumber;

use crate::ledger::account::{Account, Party};
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::claim::{Claim, Conflict, Earlier};
use crate::ledger::compromised::OfCa;
use crate::ledger::entry::{Entry, RevocationReason, UnixMillis};
use crate::ledger::error::StoreError;
use crate::ledger::index::Index;
use crate::ledger::meant::Sizes;
use crate::ledger::revoked::Row;
use crate::ledger::{Leaf, LedgerError, Receipt};

/// How many entries of a log a transaction looks at, of those that came while somebody looked at those before.
pub(super) const MAX_NEWER: usize = 4096;

/// What becomes of work within a transaction.
pub(super) type Stored<T> = Result<T, StoreError>;

/// A log that this process alone writes.
pub(super) trait Store: Send + 'static {
    /// Its transactions.
    type Batch<'a>: Batch
    where
        Self: 'a;

    /// Begins a transaction, in which what `needs` says will be asked for. Dropped, it leaves nothing behind.
    fn begin(&mut self, needs: &Needs<'_>) -> Stored<Self::Batch<'_>>;

    /// Whether the log could be written, as far as a transaction that writes nothing does not tell, and whether an entry of so many bytes
    /// could; of none, whether anything could.
    fn probe(&mut self, bytes: usize) -> Stored<()>;

    /// Whether a transaction is in the log whose commit ended in [`StoreError::InDoubt`]. If it is, the index knows it from now on.
    fn resolve(&mut self) -> Stored<Held>;

    /// What `source` means to those who wait for the transaction.
    fn unavailable(&self, source: StoreError) -> LedgerError;

    /// What finds its entries, and the tree over them.
    fn index(&self) -> &Index;

    /// The time of the entry that was the newest when the log was opened; 0 if there was none.
    fn newest(&self) -> UnixMillis;

    /// The log's file, or what its files on this host are named by.
    fn path(&self) -> &Path;

    /// Closes the log. What is returned is all that is left: dropped, it has the index written, which may take long, and then gives up what keeps
    /// others from the log.
    fn close(self) -> impl Sized;
}

/// What the records of a transaction will be judged by.
#[derive(Debug, Default)]
pub(super) struct Needs<'a> {
    pub(super) claims: Vec<&'a Claim>,
    /// Those who may be frozen.
    pub(super) parties: Vec<Party>,
    /// Those who are refused something.
    pub(super) callers: Vec<&'a [u8]>,
    /// Of which second on certificates are in the lists among the claims.
    pub(super) kept: u64,
}

/// What became of a transaction that was in doubt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// The log has it.
    All,
    /// It left nothing.
    Nothing,
}

/// Entries that are committed together, or not at all. What is appended or set is found from then on, in the same batch too.
pub(super) trait Batch {
    /// Appends an entry; its index.
    fn append(&mut self, leaf: &Leaf) -> Stored<u64>;

    /// Appends an entry that is made here.
    fn append_entry(&mut self, entry: &Entry) -> Stored<Receipt>;

    /// Appends an intent, which has from now on what it claims; its index.
    fn append_intent(&mut self, claim: &Claim, leaf: &Leaf) -> Stored<u64>;

    /// The newest intent that has this claim's request id.
    fn by_request(&mut self, claim: &Claim) -> Stored<Option<Earlier>>;

    /// The newest intent that has this claim's serial, or may have it and cannot be read.
    fn by_serial(&mut self, claim: &Claim) -> Stored<Option<Earlier>>;

    /// Why other logs of the store revoke the claim's subject key. What this one revokes, the writer knows.
    fn subject_reasons(&mut self, claim: &Claim) -> Stored<Vec<RevocationReason>>;

    /// The entries of all logs that came after the first so many of each; `None` if there are more than can be looked at here.
    fn newer(&mut self, sizes: &Sizes) -> Stored<Option<Vec<(i32, u64, Entry)>>>;

    /// Keeps what the revocation at `index` means.
    fn keep_revocation(&mut self, index: u64, revocation: &Entry, rows: Vec<Row>) -> Stored<()>;

    /// Whether this certificate is revoked, at any signer.
    fn is_revoked(&mut self, certificate: &OfCa) -> Stored<bool>;

    /// What is revoked of a CA key, by the SHA-256 of its SPKI, at any signer, without what had expired before the second `kept`.
    fn revoked(&mut self, ca_key: &[u8; 32], kept: u64) -> Stored<Vec<Row>>;

    /// What is in the way of this claim's CRL number.
    fn by_crl_number(&mut self, claim: &Claim) -> Stored<Option<Conflict>>;

    /// The newest CRL number, of complete and delta lists, of the key whose SPKI has this SHA-256.
    fn newest_crl_number(&mut self, spki_sha256: &[u8; 32]) -> Stored<Option<CrlNumber>>;

    /// What has been spent.
    fn spent(&mut self, account: &Account) -> Stored<Spent>;

    fn set_spent(&mut self, account: &Account, value: Spent);

    /// How a caller stands with a key.
    fn standing(&mut self, party: &Party) -> Stored<Standing>;

    fn set_standing(&mut self, party: &Party, value: Standing);

    /// The entry of this log by which a caller is frozen; a freeze of another log is told again here, at `time`.
    fn freeze(&mut self, party: &Party, time: UnixMillis) -> Stored<Option<u64>>;

    /// What a caller's refusals may leave in the log.
    fn tally(&mut self, caller: &[u8]) -> Stored<Tally>;

    fn set_tally(&mut self, caller: &[u8], value: Tally);

    /// The callers with refusals that were counted, as the transaction found them.
    fn open_tallies(&mut self) -> Stored<Vec<(Vec<u8>, Tally)>>;

    /// Returns once all of it is durable.
    fn commit(self) -> Stored<()>;
}
