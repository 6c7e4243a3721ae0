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

/// What is revoked of a CA key, without what had expired before the second `kept`: all rows of a certificate, or none.
pub(super) fn select(connection: &Connection, ca_key: &[u8; 32], kept: u64) -> rusqlite::Result<Vec<Row>> {
    let select = "SELECT serial, reason, since, not_after, is_ca FROM revoked r WHERE ca_key = ?1 AND EXISTS \
                  (SELECT 1 FROM revoked o WHERE o.ca_key = r.ca_key AND o.serial = r.serial \
                   AND (o.not_after IS NULL OR o.not_after >= ?2))";
    let mut select = connection.prepare_cached(select)?;
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    let rows = select.query_map(params![ca_key, kept], |row| {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ledger::entry::RevocationReason;
    use crate::ledger::sqlite::upgrade::REVOKED;

    #[test]
    fn what_had_expired_is_not_read() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(REVOKED).unwrap();
        let ca_key = [1; 32];
        let [less, more] = [RevocationReason::Superseded, RevocationReason::KeyCompromise];
        for (serial, reason, end) in [
            (1, less, Some(99)),
            (2, less, Some(100)),
            (3, less, None),
            // What is said more of one that is read is read, too.
            (4, less, None),
            (4, more, Some(99)),
        ] {
            let certificate = end.map(|not_after| Certificate { not_after, is_ca: false });
            let row = Row { ca_key, serial: vec![serial], reason, since: UnixMillis(0), certificate };
            insert(&connection, &row).unwrap();
        }
        let mut rows: Vec<_> = select(&connection, &ca_key, 100).unwrap();
        rows.sort_by_key(|row| (row.serial.clone(), row.certificate.is_some()));
        let rows: Vec<_> = rows.into_iter().map(|row| (row.serial, row.reason)).collect();
        let read = [(2, less), (3, less), (4, less), (4, more)];
        assert_eq!(rows, read.map(|(serial, reason)| (vec![serial], reason)));
    }
}
