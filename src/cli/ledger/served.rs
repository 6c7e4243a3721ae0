//! A signer whose whole log is read from here: what `ledger verify` and `ledger export` ask it.
//!
//! In: its address. Out: its log, page by page, and its newest checkpoint, as the signer sends them: whoever reads them verifies them.
//! Promised: a call that was lost on its way is made again, as reading twice does no harm; so a signer that is restarted ends no reading.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_proto::client::CallError;
use countersign_proto::{Client, v1};
use tokio::runtime::Runtime;
use tonic::Code;

use super::source::refused;
use crate::cli::runtime;
use crate::cli::server::Identity;
use crate::ledger::merkle::Hash;
use crate::ledger::{CallFailed, RawEntry, Served, Serves};

/// How many entries a signer gives at once.
const PAGE: u32 = 1000;

/// What a signer says that cannot read an entry, or has the hash of another in its place.
const UNREADABLE: &str = "LEDGER_UNREADABLE";

/// How long to wait before a call that was lost is made again, and again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A connection to it, for threads that may block.
#[derive(Debug)]
pub(super) struct Signer {
    address: String,
    client: Client,
    runtime: Runtime,
}

impl Signer {
    pub(super) fn connect(address: &str, identity: &Identity) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let client = runtime.block_on(identity.connect(address))?;
        Ok(Self { address: address.to_owned(), client, runtime })
    }

    /// Its address, where messages have a file's path.
    pub(super) fn place(&self) -> &Path {
        Path::new(&self.address)
    }

    /// Its newest checkpoint. Ask for it before the log, which is not shorter then.
    pub(super) fn checkpoint(&self) -> anyhow::Result<Vec<u8>> {
        self.ask(|| self.client.checkpoint()).map_err(refused)
    }

    /// Its log, as it is now.
    pub(super) fn log(self) -> anyhow::Result<Served> {
        let tree = self.ask(|| self.client.ledger_tree(v1::GetTreeRequest::default())).map_err(refused)?;
        let (address, signer) = (self.address.clone(), Box::new(self));
        Ok(Served { address, origin: tree.log_origin, size: tree.size, signer })
    }

    /// What a call comes to.
    fn ask<T, F>(&self, call: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut answer = self.runtime.block_on(call());
        for pause in PAUSES {
            if !answer.as_ref().is_err_and(is_lost) {
                break;
            }
            thread::sleep(pause);
            answer = self.runtime.block_on(call());
        }
        answer
    }
}

impl Serves for Signer {
    fn entries(&self, range: Range<u64>) -> Result<Vec<RawEntry>, CallFailed> {
        let (from, mut limit) =
            (range.start, u32::try_from(range.end - range.start).unwrap_or(PAGE).min(PAGE));
        let page = loop {
            match self.ask(|| self.client.list_entries(v1::ListEntriesRequest { from, limit })) {
                // It does not say which of them it cannot read: those before that one it can.
                Err(error) if error.reason == UNREADABLE && limit > 1 => limit /= 2,
                page => break page,
            }
        };
        let page = page.map_err(|error| -> CallFailed { Arc::new(error) })?;
        let raw = |v1::Entry { index, leaf }| RawEntry { index, bytes: leaf.into() };
        Ok(page.entries.into_iter().map(raw).collect())
    }

    fn inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, CallFailed> {
        let size = Some(size);
        match self.ask(|| self.client.prove_inclusion(v1::ProveInclusionRequest { index, size })) {
            Ok(proof) => Ok(proof.hashes.iter().map(|hash| Hash::try_from(&**hash).ok()).collect()),
            Err(error) if error.reason == UNREADABLE => Ok(None),
            Err(error) => Err(Arc::new(error)),
        }
    }
}

/// Whether the same call may have an answer in a moment.
fn is_lost(error: &CallError) -> bool {
    match error.reason.as_str() {
        // Not the signer's own words, but those of the library that lost it.
        "" => matches!(error.code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
        reason => ["SHUTTING_DOWN", "TOO_MANY_REQUESTS"].contains(&reason),
    }
}
