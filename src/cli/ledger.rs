//! `countersign ledger`: shows, exports and verifies the record, of a signer that runs or of one that does not.
//!
//! In: a ledger's file, or a signer that lets this caller read its ledger. Out: a line per entry, for people, or a JSON object
//! per line, for programs. Promised: no text from outside reaches a terminal unescaped.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal, Read as _, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use countersign_proto::client::escaped;
use countersign_tbs::{Tbs, TbsKind};

use crate::cli::runtime;
use crate::config::Config;
use crate::ledger::entry::{Asked, AskedTbs, UnixMillis};
use crate::ledger::note;
use crate::ledger::{Entry, Reader, postgres};

mod checkpoint;
mod export;
pub(super) mod find;
mod json;
pub(super) mod keys;
mod progress;
mod prove;
mod served;
pub(super) mod short;
pub(super) mod source;
mod stats;
pub(super) mod table;
mod tail;
mod verify;

/// How many of the newest entries are shown if nothing else is asked for.
const LAST: u64 = 20;

/// The subcommands of `countersign ledger`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show entries, oldest first; works while the signer runs
    Show(Show),
    /// Write what is new to a directory that any web server can serve (C2SP tlog-tiles), also from a signer that runs elsewhere
    Export(Box<export::Export>),
    /// Check every entry, signature and hash of a ledger, while its signer runs, here or elsewhere, or of an export
    Verify(Box<verify::Verify>),
    /// Find entries by what they say, newest first: in a file, or at a running signer
    Find(Box<find::Find>),
    /// Show the newest entries of a running signer, and with --follow those that come
    Tail(Box<tail::Tail>),
    /// Print the newest signed checkpoint of a running signer
    Checkpoint(Box<checkpoint::Checkpoint>),
    /// Prove that an entry is in the log; a receipt suffices
    Prove(Box<prove::Prove>),
    /// Count entries by kind, key, caller, reason and day
    Stats(stats::Stats),
    /// Print the SQL that makes the schema of a PostgreSQL ledger, for the database's owner
    Schema {
        /// Print what brings a schema of this version up to date
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(1..=2))]
        since: Option<u8>,
    },
}

/// Which ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Log {
    /// The ledger's file, instead of the one that a configuration names
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    ledger: Option<PathBuf>,
    /// The signer's configuration, which names the ledger
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
}

/// Which entries to show, of which ledger, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    log: Log,
    /// Begin with entry N
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Show the newest N entries only [default: 20, unless --from is given]
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    #[command(flatten)]
    style: Style,
}

/// How entries are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Style {
    /// Print one JSON object per line; docs/ledger.md lists its fields
    #[arg(long)]
    json: bool,
    /// On a terminal, print all that an entry says, however long the line; elsewhere that is so anyway
    #[arg(long, conflicts_with = "json")]
    long: bool,
    /// How wide the terminal is, if the output is one.
    #[arg(skip = columns(&std::io::stdout()))]
    columns: Option<usize>,
}

/// The columns of the terminal that `stream` is, if it is one.
fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok();
    // One that does not say, as a serial line, has what terminals always had.
    Some(size.map_or(80, |size| if size.ws_col == 0 { 80 } else { size.ws_col.into() }))
}

impl Style {
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a line has what fits a terminal alone.
    pub(super) fn is_short(self) -> bool {
        self.columns.is_some() && !self.json && !self.long
    }

    pub(super) fn print(self, index: u64, entry: &Entry, out: &mut impl Write) -> std::io::Result<()> {
        self.print_with(index, entry, None, out)
    }

    /// The same, with what is known of the entry, in a word or two of our own, for people.
    pub(super) fn print_with(
        self,
        index: u64,
        entry: &Entry,
        known: Option<&str>,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        match self.columns.filter(|_| self.is_short()) {
            _ if self.json => writeln!(out, "{}", ascii(&json::line(index, entry).to_string())),
            Some(columns) => writeln!(out, "{}", short::line(index, entry, known, columns)),
            None => {
                let known = known.map(|known| format!("; {known}")).unwrap_or_default();
                writeln!(out, "{}{known}", table::line(index, entry))
            }
        }
    }
}

impl Command {
    /// Runs the subcommand and prints to `out`.
    ///
    /// # Errors
    /// The file cannot be read, is no ledger, or is damaged; what comes before the damage is printed.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Show(show) => show.run(out),
            Self::Export(export) => export.run(out),
            Self::Verify(verify) => verify.run(out),
            Self::Find(find) => runtime()?.block_on(find.run(out)),
            Self::Tail(tail) => runtime()?.block_on(tail.run(out)),
            Self::Checkpoint(checkpoint) => runtime()?.block_on(checkpoint.run(out)),
            Self::Stats(stats) => stats.run(out),
            Self::Schema { since: None } => Ok(out.write_all(postgres::SCHEMA.as_bytes())?),
            Self::Schema { since: Some(1) } => Ok(out.write_all(postgres::SINCE_1.as_bytes())?),
            Self::Schema { since: Some(_) } => Ok(out.write_all(postgres::SINCE_2.as_bytes())?),
            Self::Prove(prove) => runtime()?.block_on(prove.run(out)),
        }
    }
}

impl Show {
    fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let reader = self.log.open()?;
        let len = reader.len()?;
        let last = self.last.or(if self.from.is_some() { None } else { Some(LAST) });
        let newest = last.map_or(0, |last| len.saturating_sub(last));
        for entry in reader.entries(self.from.unwrap_or(0).max(newest)..len) {
            let (index, entry) = entry?;
            self.style.print(index, &entry, out)?;
        }
        none_from(self.from, len)?;
        Ok(out.flush()?)
    }
}

/// Says so if a log of so many entries has none where somebody wants to begin.
fn none_from(from: Option<u64>, len: u64) -> std::io::Result<()> {
    match from {
        Some(from) if from >= len => note(&format!("the log has {len} entries, and none from {from} on")),
        _ => Ok(()),
    }
}

/// The bytes of a signed note, or enough of a longer file for it to be refused.
fn read_note(path: &Path) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, most) = (Vec::new(), u64::try_from(note::MAX_LEN)? + 1);
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// The ledger that `config` names, by its path and by its origin.
fn open_configured(config: &Config) -> anyhow::Result<Reader> {
    Ok(Reader::open(&config.ledger)?)
}

impl Log {
    /// The ledger of this file, or of this configuration.
    pub(super) fn at(ledger: Option<PathBuf>, config: Option<PathBuf>) -> Self {
        Self { ledger, config }
    }

    pub(super) fn open(&self) -> anyhow::Result<Reader> {
        match &self.ledger {
            Some(path) => Ok(Reader::open(path)?),
            None => open_configured(&self.config()?),
        }
    }

    /// The configuration, where no file was named.
    fn config(&self) -> anyhow::Result<Config> {
        let config = self.config.as_ref().context("give --ledger FILE or --config FILE")?;
        Config::load(config).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}\ncorrect the configuration, or give --ledger FILE", faults.join("\n"))
        })
    }
}

/// Something that whoever reads the output should know, beside it; escaped, for it may quote anybody.
pub(super) fn note(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "countersign: {}", escaped(text))
}

/// What was asked for, if it was recorded whole and is what it was said to be.
fn parsed(asked: &Asked) -> Option<Tbs> {
    match &asked.tbs {
        AskedTbs::Whole(bytes) => Tbs::parse(TbsKind::from_name(&asked.kind)?, bytes).ok(),
        AskedTbs::Digest(..) => None,
    }
}

/// RFC 3339, in UTC; the number itself where that has no form, after the year 9999.
pub(super) fn time(UnixMillis(millis): UnixMillis) -> String {
    const YEAR_10000: u64 = 253_402_300_800_000;
    match UNIX_EPOCH.checked_add(Duration::from_millis(millis)) {
        Some(time) if millis < YEAR_10000 => humantime::format_rfc3339_millis(time).to_string(),
        _ => millis.to_string(),
    }
}

/// [`time`] of whole seconds since 1970.
pub(super) fn seconds(seconds: u64) -> String {
    time(UnixMillis(seconds.saturating_mul(1000)))
}

/// An entry as `ledger show --json` prints it.
pub(super) fn json_line(index: u64, entry: &Entry) -> serde_json::Value {
    json::line(index, entry)
}

/// The same JSON in ASCII (RFC 8259 §7). What serde_json leaves as it is, a terminal may obey: U+009B begins a command, and
/// U+202E turns text around.
pub(super) fn ascii(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            shown.push(c);
        } else {
            // Writing to a String does not fail. Outside of strings JSON is ASCII.
            let _ = c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(shown, "\\u{unit:04x}"));
        }
    }
    shown
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
