//! What a batch adds to the database, as columns: a constant number of statements, in one round trip.

use countersign_tbs::crl::CrlNumber;
use tokio::join;
use tokio_postgres::{Client, Error, Statement};

use crate::ledger::crl_number::Series;
use crate::ledger::postgres::commit::transaction;
use crate::ledger::postgres::revoked::Revoked;
use crate::ledger::postgres::rows::Changes;
use crate::ledger::postgres::sql::{Statements, execute};

/// What a batch adds to the database, as columns.
#[derive(Debug, Default)]
pub(super) struct Additions {
    pub(super) leaves: Vec<Vec<u8>>,
    pub(super) outcomes: Outcomes,
    pub(super) requests: Claims,
    pub(super) serials: Claims,
    pub(super) revoked: Revoked,
    /// Numbers that no later one is judged by.
    pub(super) forgotten: Forgotten,
    pub(super) lists: Lists,
    pub(super) rows: Changes,
}

#[derive(Debug, Default)]
pub(super) struct Outcomes {
    intents: Vec<i64>,
    indexes: Vec<i64>,
}

/// Callers and request ids, or CA keys and serials, and the intents that claim them.
#[derive(Debug, Default)]
pub(super) struct Claims {
    whose: Vec<Vec<u8>>,
    what: Vec<Vec<u8>>,
    intents: Vec<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    ca_keys: Vec<Vec<u8>>,
    series: Vec<&'static str>,
    numbers: Vec<Vec<u8>>,
    intents: Vec<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Forgotten {
    ca_keys: Vec<Vec<u8>>,
    series: Vec<&'static str>,
    numbers: Vec<Vec<u8>>,
}

impl Additions {
    /// In one round trip; the number of the transaction. The commit is not among it: a statement that cannot be sent
    /// would be left out of what is committed.
    pub(super) async fn write(
        &self,
        client: &Client,
        statements: &Statements,
        signer: i32,
        first: i64,
    ) -> Result<String, Error> {
        let Self { leaves, outcomes, requests, serials, revoked, forgotten, lists, rows } = self;
        let written = join!(
            biased;
            async { client.execute(&statements.add_entries, &[&signer, &first, leaves]).await.map(drop) },
            outcomes.write(client, &statements.add_outcomes, signer),
            requests.write(client, &statements.set_requests, signer),
            serials.write(client, &statements.set_serials, signer),
            revoked.write(client, statements, signer),
            // Before the lists: a number that is forgotten may come again.
            forgotten.write(client, &statements.forget_numbers),
            lists.write(client, &statements.set_numbers, signer),
            rows.write(client, statements),
            transaction(client, statements),
            // The server's own deadline would end a commit that waits for a stand-by, and call it done.
            client.batch_execute("SET LOCAL statement_timeout = 0"),
        );
        let (entries, outcomes, requests, serials, revoked, forgotten, lists, rows, number, patient) =
            written;
        entries
            .and(outcomes)
            .and(requests)
            .and(serials)
            .and(revoked)
            .and(forgotten)
            .and(lists)
            .and(rows)
            .and(patient)
            .and(number)
    }
}

impl Outcomes {
    /// The outcome of `intent` is at `index`.
    pub(super) fn push(&mut self, intent: u64, index: u64) {
        self.intents.push(intent.cast_signed());
        self.indexes.push(index.cast_signed());
    }

    async fn write(&self, client: &Client, statement: &Statement, signer: i32) -> Result<(), Error> {
        let Self { intents, indexes } = self;
        execute(client, statement, intents.len(), &[&signer, intents, indexes]).await
    }
}

impl Extend<(Vec<u8>, Vec<u8>, u64)> for Claims {
    fn extend<T: IntoIterator<Item = (Vec<u8>, Vec<u8>, u64)>>(&mut self, claims: T) {
        for (whose, what, intent) in claims {
            self.whose.push(whose);
            self.what.push(what);
            self.intents.push(intent.cast_signed());
        }
    }
}

impl Claims {
    async fn write(&self, client: &Client, statement: &Statement, signer: i32) -> Result<(), Error> {
        let Self { whose, what, intents } = self;
        execute(client, statement, intents.len(), &[&signer, whose, what, intents]).await
    }
}

impl Forgotten {
    pub(super) fn push(&mut self, ca_key: Vec<u8>, series: Series, number: CrlNumber) {
        self.ca_keys.push(ca_key);
        self.series.push(series.name());
        self.numbers.push(number.as_bytes().to_vec());
    }

    async fn write(&self, client: &Client, statement: &Statement) -> Result<(), Error> {
        let Self { ca_keys, series, numbers } = self;
        execute(client, statement, numbers.len(), &[ca_keys, series, numbers]).await
    }
}

impl Lists {
    /// The newest list of a CA key's series.
    pub(super) fn push(&mut self, ca_key: Vec<u8>, series: Series, number: CrlNumber, intent: u64) {
        self.ca_keys.push(ca_key);
        self.series.push(series.name());
        self.numbers.push(number.as_bytes().to_vec());
        self.intents.push(intent.cast_signed());
    }

    async fn write(&self, client: &Client, statement: &Statement, signer: i32) -> Result<(), Error> {
        let Self { ca_keys, series, numbers, intents } = self;
        execute(client, statement, intents.len(), &[&signer, ca_keys, series, numbers, intents]).await
    }
}
