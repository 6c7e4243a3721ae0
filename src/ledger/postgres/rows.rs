//! What the database says of callers: what each has spent, how it stands, how many of its refusals were only counted, at all
//! signers together.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use crate::ledger::account::{Account, Party, Rows};
use crate::ledger::bucket::Bucket;
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::entry::UnixMillis;
use crate::ledger::postgres::claims::{Answers, asked_for, get};
use crate::ledger::postgres::error::DatabaseError;
use crate::ledger::postgres::sql::{Statements, execute};
use crate::ledger::postgres::{Freezes, number};
use crate::ledger::store::Stored;

/// The rows that a transaction has changed, as columns.
#[derive(Debug, Default)]
pub(super) struct Changes {
    spent: Spending,
    standing: Standings,
    tally: Tallies,
}

#[derive(Debug, Default)]
struct Spending {
    callers: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    rules: Vec<String>,
    numbers: [Vec<i64>; 4],
}

#[derive(Debug, Default)]
struct Standings {
    callers: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    numbers: [Vec<i64>; 2],
    frozen: Vec<Option<i64>>,
    frozen_by: Vec<Option<i32>>,
}

#[derive(Debug, Default)]
struct Tallies {
    callers: Vec<Vec<u8>>,
    numbers: [Vec<i64>; 4],
}

/// Takes what the database says of callers; of those who are frozen, also by which signer.
pub(super) fn take(answers: &Answers, rows: &mut Rows, freezes: &mut Freezes) -> Stored<()> {
    let wanted = &answers.wanted;
    for account in &wanted.accounts {
        rows.spent.keep(account.clone(), Spent::default());
    }
    for row in &answers.spent {
        let spent = Spent { rate: bucket(row, 1)?, volume: bucket(row, 3)? };
        rows.spent.keep(asked_for(&wanted.accounts, row)?.clone(), spent);
    }
    for party in &wanted.parties {
        rows.standing.keep(party.clone(), Standing::default());
    }
    for row in &answers.standing {
        let party = asked_for(&wanted.parties, row)?;
        let over =
            u32::try_from(get::<i64>(row, 1)?).map_err(|_| DatabaseError::Row { table: "standing" })?;
        let frozen = get::<Option<i64>>(row, 3)?.map(number);
        rows.standing.keep(party.clone(), Standing { over, since: UnixMillis(number(get(row, 2)?)), frozen });
        if let Some(by) = get::<Option<i32>>(row, 4)? {
            freezes.insert(party.clone(), by);
        }
    }
    for caller in &wanted.callers {
        rows.tally.keep(caller.clone(), Tally::default());
    }
    for row in &answers.tallies {
        rows.tally.keep(asked_for(&wanted.callers, row)?.clone(), tally(row)?);
    }
    Ok(())
}

/// From the second column on.
pub(super) fn tally(row: &Row) -> Stored<Tally> {
    let (count, since) = (number(get(row, 3)?), UnixMillis(number(get(row, 4)?)));
    Ok(Tally { whole: bucket(row, 1)?, count, since })
}

/// What is missing, and the next column: when.
fn bucket(row: &Row, column: usize) -> Stored<Bucket> {
    Ok(Bucket { missing: number(get(row, column)?), at: UnixMillis(number(get(row, column + 1)?)) })
}

impl Changes {
    /// Of a transaction of `signer`.
    pub(super) fn of(rows: &Rows, signer: i32) -> Self {
        let mut changes = Self::default();
        let Self { spent: spending, standing: standings, tally: tallies } = &mut changes;
        for (Account { party: Party { caller, key }, rule }, Spent { rate, volume }) in rows.spent.changed() {
            spending.callers.push(caller.clone());
            spending.keys.push(key.clone());
            spending.rules.push(rule.clone());
            push(&mut spending.numbers, [rate.missing, rate.at.0, volume.missing, volume.at.0]);
        }
        for (Party { caller, key }, Standing { over, since, frozen }) in rows.standing.changed() {
            standings.callers.push(caller.clone());
            standings.keys.push(key.clone());
            push(&mut standings.numbers, [u64::from(*over), since.0]);
            standings.frozen.push(frozen.map(u64::cast_signed));
            // A row that is frozen and changes was frozen by this transaction: whoever is frozen gets no further.
            standings.frozen_by.push(frozen.map(|_| signer));
        }
        for (caller, Tally { whole, count, since }) in rows.tally.changed() {
            tallies.callers.push(caller.clone());
            push(&mut tallies.numbers, [whole.missing, whole.at.0, *count, since.0]);
        }
        changes
    }

    pub(super) async fn write(&self, client: &Client, statements: &Statements) -> Result<(), Error> {
        let Self { spent, standing, tally } = self;
        let (spent, standing, tally) = tokio::join!(
            biased;
            spent.write(client, statements),
            standing.write(client, statements),
            tally.write(client, statements),
        );
        spent.and(standing).and(tally)
    }
}

impl Spending {
    async fn write(&self, client: &Client, statements: &Statements) -> Result<(), Error> {
        let Self { callers, keys, rules, numbers: [rate, rate_at, volume, volume_at] } = self;
        let values: [&(dyn ToSql + Sync); 7] = [callers, keys, rules, rate, rate_at, volume, volume_at];
        execute(client, &statements.set_spent, callers.len(), &values).await
    }
}

impl Standings {
    async fn write(&self, client: &Client, statements: &Statements) -> Result<(), Error> {
        let Self { callers, keys, numbers: [over, since], frozen, frozen_by } = self;
        let values: [&(dyn ToSql + Sync); 6] = [callers, keys, over, since, frozen, frozen_by];
        execute(client, &statements.set_standing, callers.len(), &values).await
    }
}

impl Tallies {
    async fn write(&self, client: &Client, statements: &Statements) -> Result<(), Error> {
        let Self { callers, numbers: [whole, whole_at, count, since] } = self;
        let values: [&(dyn ToSql + Sync); 5] = [callers, whole, whole_at, count, since];
        execute(client, &statements.set_tally, callers.len(), &values).await
    }
}

fn push<const N: usize>(columns: &mut [Vec<i64>; N], row: [u64; N]) {
    for (column, value) in columns.iter_mut().zip(row) {
        column.push(value.cast_signed());
    }
}
