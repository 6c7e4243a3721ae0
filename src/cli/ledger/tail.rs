//! `countersign ledger tail`: the newest entries of a signer that runs, and those that come.
//!
//! In: where the signer is. Out: lines or objects as `ledger show` has them, each entry once and in order, once it is durable.

use std::io::Write;

use anyhow::bail;
use countersign_proto::{Client, v1};

use crate::cli::ledger::source::{Running, refused};
use crate::cli::ledger::{LAST, Style, none_from};
use crate::ledger::Entry;

/// Whose ledger, and how much of it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    signer: Running,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
    /// Begin with entry N; with --follow also with one that is still to come
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Begin with the newest N entries
    #[arg(long, value_name = "N", default_value_t = LAST, conflicts_with = "from")]
    last: u64,
    #[command(flatten)]
    style: Style,
}

impl Tail {
    pub(super) async fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let client = self.signer.connect().await?;
        let size = client.ledger_tree(v1::GetTreeRequest::default()).await.map_err(refused)?.size;
        let from = self.from.unwrap_or_else(|| size.saturating_sub(self.last));
        if self.follow {
            self.follow(&client, from, out).await
        } else {
            none_from(self.from, size)?;
            self.list(&client, from..size, out).await
        }
    }

    async fn list(
        &self,
        client: &Client,
        mut range: std::ops::Range<u64>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        while !range.is_empty() {
            let limit = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
            let request = v1::ListEntriesRequest { from: range.start, limit };
            let page = client.list_entries(request).await.map_err(refused)?;
            if page.entries.is_empty() {
                bail!("the signer has no entry {} any more", range.start);
            }
            self.print(page.entries, &mut range.start, out)?;
        }
        Ok(())
    }

    async fn follow(&self, client: &Client, mut next: u64, out: &mut impl Write) -> anyhow::Result<()> {
        let mut coming = client.watch_ledger(Some(next)).await.map_err(refused)?;
        while let Some(entries) = coming.next().await.map_err(refused)? {
            self.print(entries, &mut next, out)?;
        }
        bail!("the signer stops; go on with --from {next}")
    }

    fn print(&self, entries: Vec<v1::Entry>, next: &mut u64, out: &mut impl Write) -> anyhow::Result<()> {
        for entry in entries {
            if entry.index != *next {
                bail!("the signer sent entry {} where {next} comes", entry.index);
            }
            *next += 1;
            self.style.print(entry.index, &Entry::decode(&entry.leaf)?, out)?;
        }
        Ok(out.flush()?)
    }
}
