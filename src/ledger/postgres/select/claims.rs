//! Rows of claims and of outcomes that do not lead where the log says, many with one statement; and who is frozen.

use std::sync::Arc;

use tokio_postgres::{Client, Row};

use super::Select;
use crate::ledger::LedgerError;
use crate::ledger::account::{FrozenRow, Party};
use crate::ledger::claimed::{Claimed, Elsewhere, Lead, Table};
use crate::ledger::postgres::number;

impl Select {
    /// Of what intents of this log claim: that whose row is missing, or leads to another entry.
    pub(in crate::ledger) fn claims_elsewhere(
        &self,
        table: Table,
        claims: Vec<Claimed>,
    ) -> Result<Vec<Elsewhere>, LedgerError> {
        let signer = self.signer;
        let select = elsewhere_in(table);
        self.read("reading claims", async move |client: Arc<Client>| {
            let (whose, what): (Vec<&[u8]>, Vec<&[u8]>) =
                claims.iter().map(|claimed| (&*claimed.whose, &*claimed.what)).unzip();
            let intents: Vec<i64> = claims.iter().map(|claimed| claimed.intent.cast_signed()).collect();
            client.query(&select, &[&whose, &what, &intents, &signer]).await?.iter().map(elsewhere).collect()
        })
    }

    /// Who is frozen, by whatever log.
    pub(in crate::ledger) fn frozen(&self) -> Result<Vec<FrozenRow>, LedgerError> {
        self.read("reading who is frozen", async move |client: Arc<Client>| {
            let select =
                "SELECT caller, key, frozen_by, frozen FROM countersign.standing WHERE frozen IS NOT NULL";
            let frozen = |row: &Row| {
                let party = Party { caller: row.try_get(0)?, key: row.try_get(1)? };
                Ok(FrozenRow { party, log: row.try_get(2)?, freeze: number(row.try_get(3)?) })
            };
            client.query(select, &[]).await?.iter().map(frozen).collect()
        })
    }

    /// Of outcomes of this log, each as its intent and its own index: the indexes of those whose row is missing, or leads to another.
    pub(in crate::ledger) fn outcomes_elsewhere(
        &self,
        outcomes: Vec<(u64, u64)>,
    ) -> Result<Vec<u64>, LedgerError> {
        let signer = self.signer;
        let select = "SELECT w.idx FROM unnest($1::bigint[], $2::bigint[]) AS w (intent, idx) \
                      LEFT JOIN countersign.outcome o ON o.signer = $3 AND o.intent = w.intent \
                      WHERE o.idx IS DISTINCT FROM w.idx";
        self.read("reading outcomes", async move |client: Arc<Client>| {
            let (intents, indexes): (Vec<i64>, Vec<i64>) =
                outcomes.iter().map(|(intent, index)| (intent.cast_signed(), index.cast_signed())).unzip();
            let rows = client.query(select, &[&intents, &indexes, &signer]).await?;
            rows.iter().map(|row| row.try_get(0).map(number)).collect()
        })
    }
}

/// The statement for a table. Entries are read of what leads elsewhere alone.
fn elsewhere_in(table: Table) -> String {
    let (whose, what) = match table {
        Table::Request => ("caller", "id"),
        Table::Serial => ("ca_key", "serial"),
    };
    let table = table.name();
    format!(
        "SELECT w.whose, w.what, w.intent, oe.leaf, c.signer, s.origin, c.intent, e.leaf \
         FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS w (whose, what, intent) \
         LEFT JOIN countersign.{table} c ON c.{whose} = w.whose AND c.{what} = w.what \
         LEFT JOIN countersign.signer s ON s.id = c.signer \
         LEFT JOIN countersign.entry e ON e.signer = c.signer AND e.idx = c.intent \
         LEFT JOIN countersign.outcome o ON o.signer = $4 AND o.intent = w.intent \
         LEFT JOIN countersign.entry oe ON oe.signer = o.signer AND oe.idx = o.idx \
         WHERE (c.signer, c.intent) IS DISTINCT FROM ($4, w.intent)"
    )
}

fn elsewhere(row: &Row) -> Result<Elsewhere, tokio_postgres::Error> {
    let claimed = Claimed { whose: row.try_get(0)?, what: row.try_get(1)?, intent: number(row.try_get(2)?) };
    let (log, intent) = (row.try_get::<_, Option<i32>>(4)?, row.try_get::<_, Option<i64>>(6)?);
    let (origin, bytes) = (row.try_get(5)?, row.try_get(7)?);
    let lead = log.zip(intent).map(|(log, intent)| Lead { log, origin, entry: number(intent), leaf: bytes });
    Ok(Elsewhere { claimed, outcome: row.try_get(3)?, lead })
}
