//! `countersign ledger stats`: how many entries there are of what, by whom, and when.
//!
//! In: a ledger's file, all of which is read. Out: a table, or one JSON object. Promised: memory does not grow with the log; of
//! names, which callers choose, the first ten thousand of a kind are counted each, and the rest together.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::ledger::{Log, ascii, table, time};
use crate::ledger::Entry;
use crate::ledger::entry::{Asked, Outcome};

/// How many names of a kind are counted each.
const NAMES: usize = 10_000;

/// Of which ledger, and how to print it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Stats {
    #[command(flatten)]
    log: Log,
    /// Print one JSON object; docs/ledger.md lists its fields
    #[arg(long)]
    json: bool,
}

/// How many entries have a name.
#[derive(Debug, Default)]
struct Counts {
    named: BTreeMap<Vec<u8>, u64>,
    others: u64,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    entries: u64,
    kinds: Counts,
    /// By key and by caller: intents and refusals.
    keys: Counts,
    callers: Counts,
    /// What became of intents and self-tests.
    outcomes: Counts,
    reasons: Counts,
    /// Refusals without entries of their own.
    without_entry: u64,
    days: Counts,
}

impl Counts {
    fn add(&mut self, name: &[u8]) {
        if let Some(count) = self.named.get_mut(name) {
            *count += 1;
        } else if self.named.len() < NAMES {
            self.named.insert(name.to_vec(), 1);
        } else {
            self.others += 1;
        }
    }

    /// The most frequent first.
    fn sorted(&self) -> Vec<(&[u8], u64)> {
        let mut sorted: Vec<_> = self.named.iter().map(|(name, count)| (&**name, *count)).collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sorted
    }

    /// Names that are the same text, since neither is UTF-8, are one.
    fn json(&self) -> Value {
        let mut named = BTreeMap::<_, u64>::new();
        for (name, count) in &self.named {
            *named.entry(String::from_utf8_lossy(name)).or_default() += count;
        }
        json!({ "named": named, "others": self.others })
    }

    fn print<'a>(
        &'a self,
        title: &str,
        rows: impl IntoIterator<Item = (&'a [u8], u64)>,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        if self.named.is_empty() {
            return Ok(());
        }
        writeln!(out, "{title}")?;
        for (name, count) in rows {
            writeln!(out, "  {count:>12}  {}", table::word(name))?;
        }
        if self.others > 0 {
            writeln!(out, "  {:>12}  of other names", self.others)?;
        }
        Ok(())
    }
}

impl Counted {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.days.add(time(entry.time()).get(..10).unwrap_or_default().as_bytes());
        let kind = match entry {
            Entry::Intent { asked, .. } => {
                self.asked(asked);
                "intent"
            }
            Entry::Refusal { asked, reason, .. } => {
                self.asked(asked);
                self.reasons.add(reason.as_bytes());
                "refusal"
            }
            Entry::Outcome { outcome, .. } => {
                self.outcomes.add(match outcome {
                    Outcome::Signed(_) => b"signed",
                    Outcome::Failed(_) => b"failed",
                    Outcome::Discarded => b"discarded",
                    Outcome::Abandoned => b"abandoned",
                });
                "outcome"
            }
            Entry::SelfTest { .. } => "self-test",
            Entry::Refusals { count, .. } => {
                self.without_entry = self.without_entry.saturating_add(*count);
                "refusals"
            }
            Entry::Freeze { .. } => "freeze",
            Entry::Thaw { .. } => "thaw",
            Entry::KeyRecord { .. } => "key-record",
            Entry::KeyDeletion { .. } => "key-deletion",
            Entry::KeyWrapping { .. } => "key-wrapping",
            Entry::Rotation { .. } => "rotation",
            Entry::Ceremony { .. } => "ceremony",
            Entry::Checkpoint { .. } => "checkpoint",
            Entry::Revocation { .. } => "revocation",
        };
        self.kinds.add(kind.as_bytes());
    }

    fn asked(&mut self, asked: &Asked) {
        self.keys.add(&asked.key);
        self.callers.add(&asked.caller);
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.kinds.print("entries by kind", self.kinds.sorted(), out)?;
        self.outcomes.print("outcomes", self.outcomes.sorted(), out)?;
        self.keys.print("requests by key", self.keys.sorted(), out)?;
        self.callers.print("requests by caller", self.callers.sorted(), out)?;
        self.reasons.print("refusals by reason", self.reasons.sorted(), out)?;
        if self.without_entry > 0 {
            writeln!(out, "  {:>12}  without entries of their own", self.without_entry)?;
        }
        let by_day = self.days.named.iter().map(|(day, count)| (&**day, *count));
        self.days.print("entries by day (UTC)", by_day, out)
    }

    fn json(&self) -> Value {
        json!({
            "entries": self.entries,
            "kinds": self.kinds.json(),
            "outcomes": self.outcomes.json(),
            "keys": self.keys.json(),
            "callers": self.callers.json(),
            "reasons": self.reasons.json(),
            "refusals_only_counted": self.without_entry,
            "days": self.days.json(),
        })
    }
}

impl Stats {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let reader = self.log.open()?;
        let (begun, mut counted) = (Instant::now(), Counted::default());
        for entry in reader.entries(0..reader.len()?) {
            counted.add(&entry?.1);
        }
        let (bytes, rate) = (reader.bytes()?, per_second(counted.entries, begun.elapsed()));
        if self.json {
            let mut object = counted.json();
            if let Value::Object(fields) = &mut object {
                fields.insert("log_origin".to_owned(), reader.origin().into());
                fields.insert("file_bytes".to_owned(), bytes.into());
                fields.insert("read_per_second".to_owned(), rate.into());
            }
            writeln!(out, "{}", ascii(&object.to_string()))?;
        } else {
            let origin = table::text(reader.origin());
            writeln!(out, "{origin}: {} entries, {bytes} bytes, read at {rate} entries/s", counted.entries)?;
            counted.print(out)?;
        }
        Ok(out.flush()?)
    }
}

/// How many that is in a second.
fn per_second(entries: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(entries) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}
