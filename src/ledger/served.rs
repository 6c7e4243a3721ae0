//! A log that a signer serves, for whoever reads all of it from another host.
//!
//! In: what the signer answers, which may be anything. Out: entries, in order, each in the place that it was asked for. Promised: one
//! answer is in memory at a time; an entry that is not given is an error with its index. Not done here: the calls, which are for whoever
//! implements [`Serves`]; believing any of it, which is for what an audit compares it with.

use std::error::Error;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::{iter, vec};

use crate::ledger::merkle::Hash;
use crate::ledger::{LedgerError, RawEntry};

/// Why a call has no answer.
pub type CallFailed = Arc<dyn Error + Send + Sync>;

/// A signer that serves its log. A call blocks, and the same may be made again.
pub trait Serves: Debug + Send {
    /// Entries of `range`, from its first on, as many as the signer gives at once. Whatever else comes is taken for a refusal.
    ///
    /// # Errors
    /// There is no answer.
    fn entries(&self, range: Range<u64>) -> Result<Vec<RawEntry>, CallFailed>;

    /// A proof that the entry at `index` is among the first `size` (RFC 6962 §2.1.1), right or not; `None` if the signer has none.
    ///
    /// # Errors
    /// There is no answer.
    fn inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, CallFailed>;
}

/// The log of such a signer.
#[derive(Debug)]
pub struct Served {
    /// Where the signer is, for messages.
    pub address: String,
    /// The log's name, as the signer says.
    pub origin: String,
    /// How many entries it has, as the signer says.
    pub size: u64,
    /// Whom to ask.
    pub signer: Box<dyn Serves>,
}

impl Served {
    /// The bytes of the entries in `range`, each with its index, whatever they are. The first error is the last item.
    pub fn leaves(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Vec<u8>), LedgerError>> {
        let (mut rest, mut answer) = (range, Vec::new().into_iter());
        iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (index, leaf) = (rest.start, self.next(&rest, &mut answer));
            rest.start = if leaf.is_ok() { index + 1 } else { rest.end };
            Some(leaf.map(|leaf| (index, leaf)))
        })
    }

    /// The first entry of `rest`: from the answer that is here, or else from the next one.
    fn next(&self, rest: &Range<u64>, answer: &mut vec::IntoIter<RawEntry>) -> Result<Vec<u8>, LedgerError> {
        let index = rest.start;
        if answer.len() == 0 {
            let asked = self.signer.entries(rest.clone());
            let given = asked.map_err(|source| self.no_answer(index, source))?;
            *answer = given.into_iter();
        }
        match answer.next() {
            Some(entry) if entry.index == index => Ok(entry.bytes),
            _ => Err(LedgerError::Withheld { server: self.address.clone(), index }),
        }
    }

    pub(super) fn no_answer(&self, index: u64, source: CallFailed) -> LedgerError {
        LedgerError::NoAnswer { server: self.address.clone(), index, source }
    }
}
