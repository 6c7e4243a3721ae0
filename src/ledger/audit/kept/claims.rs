//! Compares what a database keeps of claims and outcomes with the intents of the log. A file keeps neither: its index, which is made of the
//! log, finds them.
//!
//! In: the entries, read once more, and the rows that do not lead to them. Out: findings, by the intent or the outcome. Promised: no serial
//! and no request id of the log is free, or another intent's, but one's that may have taken it over; a certificate of another log that has a serial of this one
//! is named as one of this log would be. Memory is bounded. Not done here: rows that no entry asks for, which keep something from being
//! used, and nothing else.

use super::{Compare, unread};
use crate::ledger::LedgerError;
use crate::ledger::audit::Wrong;
use crate::ledger::audit::unique::Fate;
use crate::ledger::claim::Serial;
use crate::ledger::claimed::{Claimed, Elsewhere, Lead, Table};
use crate::ledger::entry::{Asked, AskedTbs, CaKey, Entry};
use crate::ledger::index::parsed;
use crate::ledger::postgres::Select;

/// How many of a kind are compared at once: 64 MiB, should each row lead to another entry, and each of those be as long as can be.
const CHUNK: usize = 1024;

/// What is compared next.
#[derive(Debug, Default)]
struct Chunk {
    requests: Vec<Claimed>,
    serials: Vec<Claimed>,
    /// The intent of each, and its own index.
    outcomes: Vec<(u64, u64)>,
}

impl Compare<'_> {
    pub(super) fn claims(&mut self) -> Result<(), LedgerError> {
        let Some(database) = self.reader.claims() else { return Ok(()) };
        let mut chunk = Chunk::default();
        for leaf in self.reader.leaves(0..self.entries) {
            let (index, leaf) = leaf?;
            // What is none is found already.
            let Ok(entry) = Entry::decode(&leaf) else { continue };
            chunk.learn(index, &entry);
            if chunk.is_full() {
                self.chunk(database, std::mem::take(&mut chunk))?;
            }
        }
        self.chunk(database, chunk)
    }

    fn chunk(&mut self, database: &Select, chunk: Chunk) -> Result<(), LedgerError> {
        let Chunk { requests, serials, outcomes } = chunk;
        for (table, claims) in [(Table::Request, requests), (Table::Serial, serials)] {
            let Some(first) = claims.first().map(|claimed| claimed.intent) else { continue };
            let rows = database.claims_elsewhere(table, claims);
            // Which of the two, the server alone says.
            let tables = format!("{} or outcome", table.name());
            for row in self.readable(&tables, first, rows)? {
                self.elsewhere(table, &row)?;
            }
        }
        let Some(first) = outcomes.first().map(|(_, index)| *index) else { return Ok(()) };
        let rows = database.outcomes_elsewhere(outcomes);
        for index in self.readable("outcome", first, rows)? {
            self.row(index, "it is not the outcome that the row of its intent leads to".to_owned());
        }
        Ok(())
    }

    /// Rows, or none and a finding if they are damaged: of which entry, nobody knows. The first that was asked about is named.
    fn readable<T>(
        &mut self,
        table: &str,
        first: u64,
        rows: Result<Vec<T>, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        match rows {
            Err(error) if error.is_damage() => {
                self.row(first, unread(table, &error));
                Ok(Vec::new())
            }
            rows => rows,
        }
    }

    /// What a claim has whose row does not lead to the intent.
    fn elsewhere(&mut self, table: Table, found: &Elsewhere) -> Result<(), LedgerError> {
        let (claimed, what) = (&found.claimed, table.what());
        let Some(lead) = &found.lead else {
            self.row(claimed.intent, format!("its {what} has no row, and is free"));
            return Ok(());
        };
        let is_own = lead.log == self.reader.log();
        let Some(taker) = lead.intent(table, claimed).filter(|_| !is_own || lead.entry > claimed.intent)
        else {
            let why = format!("the row of its {what} leads to {}, which has not taken it over", lead.place());
            self.row(claimed.intent, why);
            return Ok(());
        };
        let is_out = found.fate() == Fate::Out;
        match table {
            Table::Request if is_out => {
                let why = format!(
                    "the row of its request id leads to {}, and whoever asked may have its own signature",
                    lead.place()
                );
                self.row(claimed.intent, why);
            }
            // Those of one log are compared with each other without any row.
            Table::Serial if !is_own && (is_out || self.tbs(claimed.intent)? != Some(taker.tbs)) => {
                let log = lead.origin.clone().unwrap_or_default();
                self.findings.add(claimed.intent, Wrong::SerialElsewhere { entry: lead.entry, log });
            }
            Table::Request | Table::Serial => {}
        }
        Ok(())
    }

    /// What an intent of the log is to sign.
    fn tbs(&self, intent: u64) -> Result<Option<AskedTbs>, LedgerError> {
        let entry = Entry::decode(&self.reader.leaf(intent)?.bytes);
        Ok(if let Ok(Entry::Intent { asked, .. }) = entry { Some(asked.tbs) } else { None })
    }

    /// Each is named: what is kept of those that were does not grow with the log.
    fn row(&mut self, index: u64, why: String) {
        self.findings.add(index, Wrong::OtherRow { why });
    }
}

impl Chunk {
    fn learn(&mut self, index: u64, entry: &Entry) {
        match entry {
            Entry::Intent { asked, ca_key, .. } => {
                let of = |table| claimed(table, index, asked, ca_key);
                self.requests.extend(of(Table::Request));
                self.serials.extend(of(Table::Serial));
            }
            Entry::Outcome { intent, .. } => self.outcomes.push((*intent, index)),
            _ => {}
        }
    }

    fn is_full(&self) -> bool {
        let Self { requests, serials, outcomes } = self;
        requests.len().max(serials.len()).max(outcomes.len()) >= CHUNK
    }
}

impl Elsewhere {
    /// What became of the intent that claims it.
    fn fate(&self) -> Fate {
        match self.outcome.as_deref().map(Entry::decode) {
            Some(Ok(Entry::Outcome { intent, outcome, token, .. })) if intent == self.claimed.intent => {
                Fate::of(&outcome, token.as_deref())
            }
            _ => Fate::Out,
        }
    }
}

impl Lead {
    /// What is asked by the intent that it leads to, if that claims the same.
    fn intent(&self, table: Table, claims: &Claimed) -> Option<Asked> {
        let Ok(Entry::Intent { asked, ca_key, .. }) = Entry::decode(self.leaf.as_deref()?) else {
            return None;
        };
        let own = claimed(table, claims.intent, &asked, &ca_key);
        (own.as_ref() == Some(claims)).then_some(asked)
    }

    fn place(&self) -> String {
        let log = self
            .origin
            .as_deref()
            .map_or("a log that is not there".to_owned(), |log| format!("the log {log}"));
        format!("entry {} of {log}", self.entry)
    }
}

/// What an intent at `intent` claims.
fn claimed(table: Table, intent: u64, asked: &Asked, ca_key: &CaKey) -> Option<Claimed> {
    let (whose, what) = match table {
        Table::Request => (asked.caller.clone(), asked.request_id.clone()?),
        Table::Serial => {
            let serial = Serial::of(&parsed(asked)?)?;
            (ca_key.spki_sha256.to_vec(), serial.as_bytes().to_vec())
        }
    };
    Some(Claimed { whose, what, intent })
}
