//! What a ledger says of revocations, for the commands that show them or make lists of them.
//!
//! In: a ledger's file, or a signer whose ledger this caller may read. Out: revocations, oldest first, and the certificates that
//! each means, as they were when it was opened. Nothing is written.

use std::ops::Range;

use anyhow::{Context, ensure};
use bytes::Bytes;
use countersign_proto::{Client, v1};
use countersign_tbs::Tbs;

use crate::cli::ledger::source::{Opened, refused};
use crate::cli::ledger::{note, short};
use crate::ledger::entry::{CaKey, RevocationReason, Revoked};
use crate::ledger::{Archive, Entry, Filter, Revocations, Search};

mod fleet;

pub(super) use fleet::Fleet;

/// How many entries of a file are looked at in one step.
const STEP: u64 = 4096;

/// How far after an intent its outcome is looked for, and again, and again: it comes within 20 ms, whatever else is recorded then.
const SOON: [u64; 3] = [16, 256, 4096];

/// A ledger, up to a size.
pub(super) struct Record {
    from: From,
    /// How many entries it has.
    pub(super) size: u64,
    /// Its name.
    pub(super) origin: String,
    /// The names of the other ledgers in its database.
    pub(super) others: Vec<String>,
}

enum From {
    File(Box<Archive>),
    Signer(Box<Client>),
}

/// One revocation.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    /// Its entry.
    pub(super) index: u64,
    pub(super) key: Vec<u8>,
    pub(super) ca_key: CaKey,
    pub(super) spki: Vec<u8>,
    pub(super) what: Revoked,
    pub(super) reason: RevocationReason,
}

/// One certificate that the ledger recorded an intent for.
pub(super) struct Recorded {
    pub(super) index: u64,
    pub(super) entry: Entry,
    pub(super) tbs: Tbs,
}

impl Record {
    /// Of a file, or of a signer that runs.
    pub(super) async fn open(opened: Opened) -> anyhow::Result<Self> {
        Ok(match opened {
            Opened::File(reader) => {
                let (archive, unusable) = Archive::open(*reader)?;
                if let Some(why) = unusable {
                    note(&format!("the ledger's index cannot be used ({why}), so all of it is read"))?;
                }
                let (size, origin) = (archive.size(), archive.reader().origin().to_owned());
                let others = archive.reader().other_logs()?;
                Self { from: From::File(Box::new(archive)), size, origin, others }
            }
            Opened::Signer(client) => Self::of(*client).await?,
        })
    }

    /// Of the signer at the other end.
    pub(super) async fn of(client: Client) -> anyhow::Result<Self> {
        let tree = client.ledger_tree(v1::GetTreeRequest::default()).await.map_err(refused)?;
        Ok(Self {
            from: From::Signer(Box::new(client)),
            size: tree.size,
            origin: tree.log_origin,
            others: tree.other_logs,
        })
    }

    /// The entry at `index`, if there is one.
    pub(super) async fn entry(&self, index: u64) -> anyhow::Result<Option<Entry>> {
        if index >= self.size {
            return Ok(None);
        }
        match &self.from {
            From::File(archive) => Ok(Some(Entry::decode(&archive.reader().leaf(index)?.bytes)?)),
            From::Signer(client) => {
                let request = v1::ListEntriesRequest { from: index, limit: 1 };
                let entries = client.list_entries(request).await.map_err(refused)?.entries;
                let entry = entries.first().filter(|entry| entry.index == index);
                Ok(Some(Entry::decode(&entry.context("the signer sent another entry")?.leaf)?))
            }
        }
    }

    /// What became of the intent at `index`, in a word, as far as that is soon after it; nothing of any other entry.
    pub(super) async fn outcome(&self, index: u64, entry: &Entry) -> anyhow::Result<Option<&'static str>> {
        if !matches!(entry, Entry::Intent { .. }) {
            return Ok(None);
        }
        let mut from = index + 1;
        for more in SOON {
            let until = from.saturating_add(more).min(self.size);
            for (_, entry) in self.range(from..until).await? {
                if let Entry::Outcome { intent, outcome, .. } = entry
                    && intent == index
                {
                    return Ok(Some(short::outcome(&outcome)));
                }
            }
            from = until;
        }
        Ok(Some("no outcome"))
    }

    /// The entries of a range, oldest first.
    async fn range(&self, mut range: Range<u64>) -> anyhow::Result<Vec<(u64, Entry)>> {
        let client = match &self.from {
            From::File(archive) => return Ok(archive.reader().entries(range).collect::<Result<_, _>>()?),
            From::Signer(client) => client,
        };
        let mut entries = Vec::new();
        while !range.is_empty() {
            let limit = u32::try_from(range.end - range.start)?;
            let request = v1::ListEntriesRequest { from: range.start, limit };
            let page = client.list_entries(request).await.map_err(refused)?.entries;
            let next = page.last().context("the signer has not the entries that it had")?.index;
            for entry in page {
                entries.push((entry.index, Entry::decode(&entry.leaf)?));
            }
            ensure!(next >= range.start, "the signer sent other entries than were asked for");
            range.start = next + 1;
        }
        Ok(entries)
    }

    /// Shows `look` the entries below `before` that `filter` means, newest first, for as long as it wants more.
    pub(super) async fn each(
        &self,
        filter: Filter,
        before: u64,
        mut look: impl FnMut(u64, Entry) -> anyhow::Result<More>,
    ) -> anyhow::Result<()> {
        let before = before.min(self.size);
        match &self.from {
            From::File(archive) => {
                let mut search = Search::new(archive, filter, Some(before))?;
                while search.next().is_some() {
                    for raw in search.step(archive, STEP, 256)? {
                        if look(raw.index, Entry::decode(&raw.bytes)?)? == More::No {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            }
            From::Signer(client) => {
                let (filter, mut next) = (message(&filter), Some(before));
                while let Some(before) = next {
                    let request = v1::FindEntriesRequest {
                        filter: Some(filter.clone()),
                        before: Some(before),
                        limit: 1000,
                    };
                    let page = client.find_entries(request).await.map_err(refused)?;
                    for entry in page.entries {
                        if look(entry.index, Entry::decode(&entry.leaf)?)? == More::No {
                            return Ok(());
                        }
                    }
                    next = onward(page.next, before)?;
                }
                Ok(())
            }
        }
    }

    /// The revocations of a CA key or of all, oldest first.
    pub(super) async fn revocations(&self, of: Revocations) -> anyhow::Result<Vec<Revocation>> {
        let filter = Filter { revocations: Some(of), ..Filter::default() };
        let mut found = Vec::new();
        self.each(filter, self.size, |index, entry| {
            if let Entry::Revocation { key, ca_key, spki, what, reason, .. } = entry {
                found.push(Revocation { index, key, ca_key, spki, what, reason });
            }
            Ok(More::Yes)
        })
        .await?;
        found.reverse();
        Ok(found)
    }

    /// Shows `look` the certificates of `ca_key` below `before` that are meant, newest first.
    pub(super) async fn certificates(
        &self,
        ca_key: &CaKey,
        what: &Revoked,
        before: u64,
        mut look: impl FnMut(Recorded) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut consider = |index, entry: Entry| {
            if let Some(tbs) = entry.certificate_of(ca_key)
                && what.means(index, entry.time(), &tbs)
            {
                look(Recorded { index, entry, tbs })?;
            }
            Ok(More::Yes)
        };
        if let Revoked::Entry(index) = what {
            return match self.entry(*index).await? {
                Some(entry) if *index < before => consider(*index, entry).map(drop),
                _ => Ok(()),
            };
        }
        self.each(what.filter(ca_key), before, consider).await
    }
}

/// Where a search goes on that has looked at all from `before` on. A list of half of it would pass for whole.
fn onward(next: Option<u64>, before: u64) -> anyhow::Result<Option<u64>> {
    ensure!(
        next.is_none_or(|next| next < before),
        "the signer's search stopped at entry {before} and would not go on, so that revocations may be missing; nothing was made of it"
    );
    Ok(next)
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum More {
    Yes,
    No,
}

impl Revocation {
    /// Below which entry the certificates are that it means, in a record of `size` entries.
    pub(super) fn before(&self, size: u64) -> u64 {
        if self.what.means_later() { size } else { self.index.min(size) }
    }
}

fn message(filter: &Filter) -> v1::Filter {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    v1::Filter {
        key: text(&filter.key),
        caller: text(&filter.caller),
        serial: filter.serial.as_ref().map(ToString::to_string).unwrap_or_default(),
        key_id: text(&filter.key_id),
        name: text(&filter.name),
        subject_key: text(&filter.subject_key),
        since_ms: filter.since.map(|time| time.0),
        until_ms: filter.until.map(|time| time.0),
        rotations: filter.rotations,
        revocations_of: filter.revocations.map(|of| match of {
            Revocations::All => Bytes::new(),
            Revocations::Of(spki_sha256) => Bytes::copy_from_slice(&spki_sha256),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_search_that_does_not_go_on_is_an_error_and_not_its_end() {
        assert_eq!(onward(Some(4), 5).unwrap(), Some(4));
        assert_eq!(onward(None, 5).unwrap(), None);
        for stuck in [5, 6, u64::MAX] {
            assert!(onward(Some(stuck), 5).unwrap_err().to_string().contains("would not go on"));
        }
    }
}
