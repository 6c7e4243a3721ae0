//! A file of an older schema, brought up to date.
//!
//! In: a log that is open, and its index. Out: the schema of this version, all of it or nothing. Promised: what an older
//! schema has in tables of its own and the index has now is forgotten only if the index finds it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::ledger::LedgerError;
use crate::ledger::error::StoreError;
use crate::ledger::index::{Index, Term, TermKey};
use crate::ledger::sqlite::{SCHEMA_2, SCHEMA_VERSION, unreadable};
use crate::ledger::store::Stored;

/// The first schema with the tables of what is revoked.
pub(super) const KEEPS_REVOCATIONS: u32 = 5;

/// What a log has that was begun before there were CRLs, too.
pub(super) const CRL_NUMBERS: &str = "
    CREATE TABLE IF NOT EXISTS crl_number (ca_key BLOB, series TEXT, number BLOB, intent INTEGER NOT NULL,
                                           PRIMARY KEY (ca_key, series, number)) STRICT, WITHOUT ROWID;
";

/// What schemas before [`KEEPS_REVOCATIONS`] did not have: the revocations whose certificates are kept, and those.
pub(super) const REVOKED: &str = "
    CREATE TABLE IF NOT EXISTS revocation (idx INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS revoked (ca_key BLOB, serial BLOB, reason TEXT, since INTEGER NOT NULL, not_after INTEGER,
                                        is_ca INTEGER, PRIMARY KEY (ca_key, serial, reason)) STRICT, WITHOUT ROWID;
";

/// Schemas before 4 had one number of a series, that of the newest intent.
const BEFORE_SCHEMA_4: &str = "
    ALTER TABLE crl_number RENAME TO one_crl_number;
    CREATE TABLE crl_number (ca_key BLOB, series TEXT, number BLOB, intent INTEGER NOT NULL,
                             PRIMARY KEY (ca_key, series, number)) STRICT, WITHOUT ROWID;
    INSERT INTO crl_number (ca_key, series, number, intent) SELECT ca_key, series, number, intent FROM one_crl_number;
    DROP TABLE one_crl_number;
";

/// It cost each insert, and kept nobody out: who can write the file can drop it.
const ONLY_IN_SCHEMA_6: &str = "DROP TRIGGER IF EXISTS entry_is_never_replaced;";

/// What schemas before 3 had, and the index has now.
const BEFORE_SCHEMA_3: &str = "
    DROP TABLE IF EXISTS outcome; DROP TABLE IF EXISTS request; DROP TABLE IF EXISTS serial;
";

/// What schemas before 3 knew to be claimed.
const CLAIMS: [Claims; 2] = [
    Claims { table: "serial", select: "SELECT ca_key, serial, intent FROM serial", term: TermKey::taken },
    Claims { table: "request", select: "SELECT caller, id, intent FROM request", term: TermKey::request },
];

struct Claims {
    table: &'static str,
    select: &'static str,
    term: fn(TermKey, &[u8], &[u8]) -> Term,
}

/// Brings an older schema up to date.
pub(super) fn upgrade(connection: &mut Connection, index: &Index, path: &Path) -> Result<(), LedgerError> {
    let path = path.to_owned();
    match upgraded(connection, index) {
        Ok(None) => Ok(()),
        Ok(Some((table, entry))) => Err(LedgerError::LostClaim { path, table, entry }),
        Err(StoreError::Log(source)) => Err(unreadable(&path, source)),
        Err(source) => Err(LedgerError::Unavailable { path, source: Arc::new(source) }),
    }
}

/// The table and the intent that are in the way of it; then nothing has changed.
fn upgraded(connection: &mut Connection, index: &Index) -> Stored<Option<(&'static str, u64)>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let meta = "SELECT value FROM meta WHERE name = 'schema'";
    let found: String = transaction.query_row(meta, (), |row| row.get(0))?;
    if found == "1" {
        transaction.execute_batch(SCHEMA_2)?;
    }
    if matches!(&*found, "1" | "2") {
        for claims in CLAIMS {
            if let Some(intent) = claims.lost(&transaction, index)? {
                return Ok(Some((claims.table, intent)));
            }
        }
        transaction.execute_batch(BEFORE_SCHEMA_3)?;
    }
    transaction.execute_batch(CRL_NUMBERS)?;
    transaction.execute_batch(REVOKED)?;
    transaction.execute_batch(ONLY_IN_SCHEMA_6)?;
    if matches!(&*found, "1" | "2" | "3") {
        transaction.execute_batch(BEFORE_SCHEMA_4)?;
    }
    if found != SCHEMA_VERSION.to_string() {
        let version = "UPDATE meta SET value = ?1 WHERE name = 'schema'";
        transaction.execute(version, [SCHEMA_VERSION.to_string()])?;
    }
    transaction.commit()?;
    Ok(None)
}

impl Claims {
    /// The first intent of the table that the index does not find by what it claims.
    fn lost(&self, transaction: &Transaction<'_>, index: &Index) -> Stored<Option<u64>> {
        let exists = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        if transaction.query_row(exists, [self.table], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        let mut select = transaction.prepare(self.select)?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let (whose, what): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let intent = row.get::<_, i64>(2)?.cast_unsigned();
            let term = (self.term)(index.key(), &whose, &what);
            if index.newest(term, |found| Ok((found == intent).then_some(())))?.is_none() {
                return Ok(Some(intent));
            }
        }
        Ok(None)
    }
}
