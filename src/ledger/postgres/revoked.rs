//! The database's rows of revoked certificates, and of subject keys all of whose certificates are.
//!
//! In: what a batch keeps of revocations. Out: columns for the database, and what it says. A signer's own that is there
//! already stays as it is: it is older. What other signers say of the same certificate stands beside it.

use tokio::join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row as Found};

use crate::ledger::compromised::subject;
use crate::ledger::entry::{Entry, RevocationReason, UnixMillis};
use crate::ledger::postgres::DatabaseError;
use crate::ledger::postgres::claims::{Pair, get};
use crate::ledger::postgres::sql::{Statements, execute};
use crate::ledger::revoked::{Certificate, Row};
use crate::ledger::store::Stored;

/// What a batch adds.
#[derive(Clone, Debug, Default)]
pub(super) struct Revoked {
    /// The revocations whose certificates are kept, by their indexes.
    revocations: Vec<i64>,
    pub(super) rows: Vec<Row>,
    subjects: Vec<(Pair, RevocationReason)>,
}

impl Revoked {
    /// What a revocation means.
    pub(super) fn keep(&mut self, index: u64, revocation: &Entry, rows: Vec<Row>) {
        self.revocations.push(index.cast_signed());
        self.rows.extend(rows);
        let subject = subject(revocation);
        self.subjects.extend(subject.map(|((ca, key), reason)| ((ca.to_vec(), key.to_vec()), reason)));
    }

    pub(super) async fn write(
        &self,
        client: &Client,
        statements: &Statements,
        signer: i32,
    ) -> Result<(), Error> {
        let Self { revocations, rows, subjects } = self;
        let (keys, serials): (Vec<&[u8]>, Vec<&[u8]>) =
            rows.iter().map(|row| (row.ca_key.as_slice(), &*row.serial)).unzip();
        let (reasons, since): (Vec<&str>, Vec<i64>) =
            rows.iter().map(|row| (row.reason.word(), row.since.0.cast_signed())).unzip();
        let end = |own: Certificate| i64::try_from(own.not_after).unwrap_or(i64::MAX);
        let (ends, cas): (Vec<Option<i64>>, Vec<Option<bool>>) =
            rows.iter().map(|row| (row.certificate.map(end), row.certificate.map(|own| own.is_ca))).unzip();
        let (cas_of, subject_keys): (Vec<&[u8]>, Vec<&[u8]>) =
            subjects.iter().map(|((ca, key), _)| (&**ca, &**key)).unzip();
        let words: Vec<&str> = subjects.iter().map(|(_, reason)| reason.word()).collect();
        let written = join!(
            biased;
            async {
                let values: [&(dyn ToSql + Sync); 2] = [&signer, revocations];
                execute(client, &statements.add_revocations, revocations.len(), &values).await
            },
            async {
                let values: [&(dyn ToSql + Sync); 7] =
                    [&signer, &keys, &serials, &reasons, &since, &ends, &cas];
                execute(client, &statements.add_revoked, rows.len(), &values).await
            },
            async {
                let values: [&(dyn ToSql + Sync); 4] = [&signer, &cas_of, &subject_keys, &words];
                execute(client, &statements.add_subjects, words.len(), &values).await
            },
        );
        written.0.and(written.1).and(written.2)
    }
}

/// What the database says of a certificate of `ca_key`, from this column on.
pub(super) fn row(ca_key: [u8; 32], found: &Found) -> Stored<Row> {
    let end = get::<Option<i64>>(found, 4)?.map(i64::cast_unsigned);
    let certificate = end.zip(get::<Option<bool>>(found, 5)?);
    Ok(Row {
        ca_key,
        serial: get(found, 1)?,
        reason: reason(get(found, 2)?)?,
        since: UnixMillis(get::<i64>(found, 3)?.cast_unsigned()),
        certificate: certificate.map(|(not_after, is_ca)| Certificate { not_after, is_ca }),
    })
}

/// A reason as the tables have it.
pub(super) fn reason(word: &str) -> Stored<RevocationReason> {
    Ok(word.parse().map_err(|_| DatabaseError::Row { table: "revoked" })?)
}
