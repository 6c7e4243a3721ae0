//! The file's rows of revoked certificates.
//!
//! In: [`Row`]s. Out: the same, as a transaction or a reader finds them. One that is there already stays as it is: it is older.

use rusqlite::{Connection, params};

use crate::ledger::entry::UnixMillis;
use crate::ledger::revoked::{Certificate, Row};

pub(super) fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let insert = "INSERT OR IGNORE INTO revoked (ca_key, serial, reason, since, not_after, is_ca) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Row { ca_key, serial, reason, since, certificate } = row;
    let not_after = certificate.map(|own| i64::try_from(own.not_after).unwrap_or(i64::MAX));
    let is_ca = certificate.map(|own| own.is_ca);
    let values = params![ca_key, serial, reason.word(), since.0.cast_signed(), not_after, is_ca];
    connection.prepare_cached(insert)?.execute(values).map(drop)
}

pub(super) fn is_there(connection: &Connection, ca_key: &[u8; 32], serial: &[u8]) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM revoked WHERE ca_key = ?1 AND serial = ?2")?
        .exists(params![ca_key, serial])
}

/// What is revoked of a CA key.
pub(super) fn select(connection: &Connection, ca_key: &[u8; 32]) -> rusqlite::Result<Vec<Row>> {
    let select = "SELECT serial, reason, since, not_after, is_ca FROM revoked WHERE ca_key = ?1";
    let mut select = connection.prepare_cached(select)?;
    let rows = select.query_map([ca_key], |row| {
        let reason: String = row.get(1)?;
        let (not_after, is_ca) = (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<bool>>(4)?);
        let certificate = not_after.zip(is_ca);
        let no_reason = |error| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
        };
        Ok(Row {
            ca_key: *ca_key,
            serial: row.get(0)?,
            reason: reason.parse().map_err(no_reason)?,
            since: UnixMillis(row.get::<_, i64>(2)?.cast_unsigned()),
            certificate: certificate
                .map(|(not_after, is_ca)| Certificate { not_after: not_after.cast_unsigned(), is_ca }),
        })
    })?;
    rows.collect()
}
