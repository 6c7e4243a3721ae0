//! `countersign ledger find`: the entries that a filter means, newest first.
//!
//! In: what to look for, and where. Out: lines or objects as `ledger show` has them. An index that is of no use costs time and
//! nothing else: the log is read instead, and that is said. Promised: what can match nothing is an error, as nobody should take a
//! mistyped question for an answer.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;

use crate::caller::CallerName;
use crate::cli::Usage;
use crate::cli::ledger::source::Source;
use crate::cli::ledger::{Style, keys, note};
use crate::cli::revoked::{More, Record};
use crate::ledger::entry::UnixMillis;
use crate::ledger::{Entry, Filter, Revocations, Serial};

/// How many entries are found before they are printed.
const PAGE: u64 = 1000;

/// What to look for: entries that are all of it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Find {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    wanted: Wanted,
    /// Entries below N only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    before: Option<u64>,
    /// The newest N of them only
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..))]
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
    /// The certified key: SHA256:…, as `ssh-keygen -l` prints it, or a file with a public key or a certificate
    #[arg(long, value_name = "FINGERPRINT|FILE")]
    subject: Option<String>,
    /// The CA key's name
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Who asked: spiffe://…, dns:…, cn:… or uid:…
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Revocations alone
    #[arg(long)]
    revocations: bool,
    /// Steps of rotations alone
    #[arg(long, conflicts_with = "revocations")]
    rotations: bool,
    /// Entries of this time and later
    #[arg(long, value_name = "RFC3339", value_parser = crate::cli::value::time)]
    since: Option<SystemTime>,
    /// Entries before this time
    #[arg(long, value_name = "RFC3339", value_parser = crate::cli::value::time)]
    until: Option<SystemTime>,
}

impl Find {
    pub(super) async fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        // Here, so that both ways say the same of what can be found nowhere.
        let filter = self.wanted.filter()?;
        let record = Record::open(self.source.open().await?).await?;
        let (mut left, mut before) = (self.limit, self.before.unwrap_or(record.size));
        loop {
            let page = self.page(&record, &filter, before, left).await?;
            for (index, entry) in &page {
                let outcome = if self.style.is_short() { record.outcome(*index, entry).await? } else { None };
                self.style.print_with(*index, entry, outcome, out)?;
            }
            let found = u64::try_from(page.len())?;
            left -= found;
            match page.last() {
                Some((last, _)) if found == PAGE && left > 0 => before = *last,
                _ => break,
            }
        }
        if left == self.limit {
            self.nothing(&record).await?;
        }
        Ok(out.flush()?)
    }

    /// The next that are found below `before`, newest first.
    async fn page(
        &self,
        record: &Record,
        filter: &Filter,
        before: u64,
        left: u64,
    ) -> anyhow::Result<Vec<(u64, Entry)>> {
        let (mut page, most) = (Vec::new(), usize::try_from(left.min(PAGE))?);
        record
            .each(filter.clone(), before, |index, entry| {
                page.push((index, entry));
                Ok(if page.len() < most { More::Yes } else { More::No })
            })
            .await?;
        Ok(page)
    }

    /// Says that nothing was found, and not so if there is nothing to find: of a key that signs, its self-tests are there at least.
    async fn nothing(&self, record: &Record) -> anyhow::Result<()> {
        if let Some(key) = &self.wanted.key {
            let (mut is_known, filter) = (false, Filter { key: Some(key.clone()), ..Filter::default() });
            record
                .each(filter, record.size, |_, _| {
                    is_known = true;
                    Ok(More::No)
                })
                .await?;
            ensure!(
                is_known,
                "this ledger has no entry of a key {}: name it as the signer's configuration does, [key.NAME]",
                key.escape_debug()
            );
        }
        Ok(note("no entry matches")?)
    }
}

impl Wanted {
    fn filter(&self) -> anyhow::Result<Filter> {
        let caller = self.caller.as_deref().map(CallerName::parse).transpose();
        let caller = caller.map_err(|error| Usage(format!("--caller: {error}")))?;
        let serial = self.serial.as_deref().map(str::parse::<Serial>).transpose();
        let serial = serial.map_err(|error| Usage(format!("--serial: {error}")))?;
        let (since, until) = (self.since.map(millis), self.until.map(millis));
        ensure!(
            since.zip(until).is_none_or(|(since, until)| since < until),
            Usage("--since must be before --until: no entry is of both".to_owned())
        );
        Ok(Filter {
            key: self.key.clone(),
            caller: caller.map(|caller| caller.as_str().to_owned()),
            serial,
            key_id: self.key_id.clone(),
            name: self.principal.clone(),
            subject_key: self.subject.as_deref().map(keys::subject).transpose()?,
            revocations: self.revocations.then_some(Revocations::All),
            rotations: self.rotations,
            since: since.map(UnixMillis),
            until: until.map(UnixMillis),
        })
    }
}

/// Whole milliseconds since 1970; 0 before.
pub(in crate::cli) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
