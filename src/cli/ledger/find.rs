//! `countersign ledger find`: the entries that a filter means, newest first.
//!
//! In: what to look for, and where. Out: lines or objects as `ledger show` has them. An index that is of no use costs time and
//! nothing else: the log is read instead, and that is said.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use countersign_proto::{Client, v1};

use crate::cli::ledger::source::{Opened, Source, refused};
use crate::cli::ledger::{Style, note};
use crate::ledger::entry::UnixMillis;
use crate::ledger::{Archive, Entry, Filter, Revocations, Search, Serial};

/// How many entries are looked at, on a file, before what was found is printed.
const STEP: u64 = 4096;

/// What to look for: entries that are all of it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Find {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    wanted: Wanted,
    /// Entries below N only
    #[arg(long, value_name = "N")]
    before: Option<u64>,
    /// The newest N of them only
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    #[command(flatten)]
    style: Style,
}

/// A filter. Text is compared whole.
#[derive(Debug, clap::Args)]
#[group(id = "wanted", required = true, multiple = true)]
struct Wanted {
    /// A certificate's serial: of SSH decimal, of X.509 hexadecimal; what can be both finds both
    #[arg(long, value_name = "NUMBER")]
    serial: Option<String>,
    /// An SSH certificate's key id
    #[arg(long, value_name = "TEXT")]
    key_id: Option<String>,
    /// A principal, a subject alternative name (DNS:www.example.org) or a subject (CN=…), as `show --json` has it
    #[arg(long, visible_alias = "name", value_name = "NAME")]
    principal: Option<String>,
    /// The fingerprint of the certified key: SHA256:…, as `ssh-keygen -l` prints it
    #[arg(long, value_name = "FINGERPRINT")]
    subject: Option<String>,
    /// The CA key's name
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Who asked
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Revocations alone
    #[arg(long)]
    revocations: bool,
    /// Steps of rotations alone
    #[arg(long)]
    rotations: bool,
    /// Entries of this time and later
    #[arg(long, value_name = "RFC3339", value_parser = humantime::parse_rfc3339_weak)]
    since: Option<SystemTime>,
    /// Entries before this time
    #[arg(long, value_name = "RFC3339", value_parser = humantime::parse_rfc3339_weak)]
    until: Option<SystemTime>,
}

impl Find {
    pub(super) async fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        // Here, so that both ways say the same of a serial that is none.
        let filter = self.wanted.filter()?;
        match self.source.open().await? {
            Opened::File(reader) => {
                let (archive, unusable) = Archive::open(*reader)?;
                if let Some(why) = unusable {
                    note(&format!("the ledger's index cannot be used ({why}), so all of it is read"))?;
                }
                self.in_file(&archive, filter, out)
            }
            Opened::Signer(client) => self.at_signer(&client, out).await,
        }
    }

    fn in_file(&self, archive: &Archive, filter: Filter, out: &mut impl Write) -> anyhow::Result<()> {
        let mut search = Search::new(archive, filter, self.before)?;
        let mut left = self.limit;
        while left > 0 && search.next().is_some() {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(256);
            for entry in search.step(archive, STEP, wanted)? {
                self.style.print(entry.index, &Entry::decode(&entry.bytes)?, out)?;
                left -= 1;
            }
        }
        self.done(left, out)
    }

    async fn at_signer(&self, client: &Client, out: &mut impl Write) -> anyhow::Result<()> {
        let (mut before, mut left) = (self.before, self.limit);
        while left > 0 {
            let limit = u32::try_from(left).unwrap_or(u32::MAX);
            let request = v1::FindEntriesRequest { filter: Some(self.wanted.message()), before, limit };
            let page = client.find_entries(request).await.map_err(refused)?;
            for entry in page.entries {
                self.style.print(entry.index, &Entry::decode(&entry.leaf)?, out)?;
                left = left.saturating_sub(1);
            }
            match page.next {
                Some(next) if before.is_none_or(|before| next < before) => before = Some(next),
                _ => break,
            }
        }
        self.done(left, out)
    }

    /// Says so if nothing was found.
    fn done(&self, left: u64, out: &mut impl Write) -> anyhow::Result<()> {
        if left == self.limit {
            note("no entry matches")?;
        }
        Ok(out.flush()?)
    }
}

impl Wanted {
    fn filter(&self) -> anyhow::Result<Filter> {
        Ok(Filter {
            key: self.key.clone(),
            caller: self.caller.clone(),
            serial: self.serial.as_deref().map(str::parse::<Serial>).transpose()?,
            key_id: self.key_id.clone(),
            name: self.principal.clone(),
            subject_key: self.subject.clone(),
            revocations: self.revocations.then_some(Revocations::All),
            rotations: self.rotations,
            since: self.since.map(|time| UnixMillis(millis(time))),
            until: self.until.map(|time| UnixMillis(millis(time))),
        })
    }

    fn message(&self) -> v1::Filter {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        v1::Filter {
            key: text(&self.key),
            caller: text(&self.caller),
            serial: text(&self.serial),
            key_id: text(&self.key_id),
            name: text(&self.principal),
            subject_key: text(&self.subject),
            since_ms: self.since.map(millis),
            until_ms: self.until.map(millis),
            revocations_of: self.revocations.then(Bytes::new),
            rotations: self.rotations,
        }
    }
}

/// Whole milliseconds since 1970; 0 before.
pub(in crate::cli) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
