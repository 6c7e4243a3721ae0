//! What a transaction begins with: its turn, its log's end, and all that its records will be judged by, in one round trip.
//!
//! In: what a round claims. Out: rows for each claim, in memory. What a batch appends is added there, so that it is found in the
//! same batch. An intent of another signer is judged like one of this log, by its own bytes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use countersign_tbs::crl::CrlNumber;
use tokio::join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use crate::ledger::account::{Account, Party};
use crate::ledger::claim::{Claim, Recorder, Unique};
use crate::ledger::crl_number::Series;
use crate::ledger::entry::{Asked, CaKey, Entry, Outcome, RevocationReason};
use crate::ledger::error::StoreError;
use crate::ledger::leaf_hash;
use crate::ledger::postgres::error::DatabaseError;
use crate::ledger::postgres::link::Session;
use crate::ledger::postgres::revoked::{reason, row as revoked_row};
use crate::ledger::postgres::sql::{BEGIN, LOCKS, Statements};
use crate::ledger::postgres::{Signer, number};
use crate::ledger::revoked;
use crate::ledger::store::{Needs, Stored};

/// A caller and its request id, or a CA key and a serial.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// What is looked up, each once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) requests: Vec<Pair>,
    pub(super) serials: Vec<Pair>,
    /// CA keys and the subject keys that they are to certify.
    pub(super) subjects: Vec<Pair>,
    /// CA keys and serials that are called good, or are to be certificates'.
    pub(super) good: Vec<Pair>,
    /// CA keys whose certificates are listed.
    pub(super) listed: Vec<Vec<u8>>,
    /// Of which second on they are.
    pub(super) kept: i64,
    /// CA keys whose lists are numbered.
    pub(super) numbers: Vec<Vec<u8>>,
    pub(super) accounts: Vec<Account>,
    pub(super) parties: Vec<Party>,
    pub(super) callers: Vec<Vec<u8>>,
}

/// What the database says of it, as rows that begin with which of [`Wanted`]'s they are about, from 1.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) wanted: Wanted,
    pub(super) requests: Vec<Row>,
    pub(super) serials: Vec<Row>,
    pub(super) subjects: Vec<Row>,
    pub(super) good: Vec<Row>,
    pub(super) listed: Vec<Row>,
    pub(super) numbers: Vec<Row>,
    pub(super) spent: Vec<Row>,
    pub(super) standing: Vec<Row>,
    pub(super) tallies: Vec<Row>,
}

/// A transaction that has its turn.
#[derive(Debug)]
pub(super) struct Begun {
    /// Of the log, as the database has it; `None` if it has forgotten the signer.
    pub(super) epoch: Option<i64>,
    /// How many entries the log has.
    pub(super) len: u64,
    pub(super) answers: Answers,
}

/// The newest intent that claims something.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) signer: i32,
    /// Whose log has it.
    pub(super) origin: Arc<str>,
    pub(super) index: u64,
    pub(super) leaf_hash: [u8; 32],
    pub(super) asked: Asked,
    pub(super) ca_key: CaKey,
    pub(super) outcome: Option<Outcome>,
    pub(super) recorder: Recorder,
    /// Whether this transaction has appended it.
    pub(super) is_new: bool,
}

/// One of the newest lists of a series, and its number.
pub(super) type Numbered = (Known, CrlNumber);

/// What is known of each claim that was looked up: `None` if nobody has it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) requests: HashMap<Pair, Option<Known>>,
    pub(super) serials: HashMap<Pair, Option<Known>>,
    /// Why a CA key's certificates of a subject key are revoked.
    pub(super) subjects: HashMap<Pair, Vec<RevocationReason>>,
    /// Whether a certificate is revoked.
    pub(super) good: HashMap<Pair, bool>,
    /// What is revoked of a CA key.
    pub(super) listed: HashMap<Vec<u8>, Vec<revoked::Row>>,
    /// By CA key.
    pub(super) numbers: HashMap<(Vec<u8>, Series), Vec<Numbered>>,
}

impl Wanted {
    /// All that the records of a round will be judged by.
    pub(super) fn of(needs: &Needs<'_>) -> Self {
        let (mut requests, mut serials, mut numbers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut subjects, mut good, mut listed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut accounts, mut parties) = (BTreeSet::new(), BTreeSet::new());
        for claim in &needs.claims {
            requests.extend(request(claim));
            serials.extend(serial(claim));
            subjects.extend(subject(claim));
            good.extend(serial(claim));
            good.extend(claim.good.iter().map(|(ca_key, serial)| (ca_key.to_vec(), serial.clone())));
            let cas = claim.listing.iter().flat_map(|listing| &listing.cas);
            listed.extend(cas.map(|ca_key| ca_key.to_vec()));
            numbers.extend(list(claim));
            accounts.insert(Account::of(claim));
            parties.insert(Party::of(claim));
        }
        parties.extend(needs.parties.iter().cloned());
        let callers: BTreeSet<Vec<u8>> = needs.callers.iter().map(|caller| caller.to_vec()).collect();
        Self {
            requests: requests.into_iter().collect(),
            serials: serials.into_iter().collect(),
            subjects: subjects.into_iter().collect(),
            good: good.into_iter().collect(),
            listed: listed.into_iter().collect(),
            kept: i64::try_from(needs.kept).unwrap_or(i64::MAX),
            numbers: numbers.into_iter().collect(),
            accounts: accounts.into_iter().collect(),
            parties: parties.into_iter().collect(),
            callers: callers.into_iter().collect(),
        }
    }
}

/// The claim's request id, and whose it is.
pub(super) fn request(claim: &Claim) -> Option<Pair> {
    let id = claim.asked.request_id.as_ref()?;
    Some((claim.asked.caller.clone(), id.clone()))
}

/// The claim's serial, and of which CA key it is.
pub(super) fn serial(claim: &Claim) -> Option<Pair> {
    let Unique::Serial(serial) = &claim.unique else { return None };
    Some((claim.ca_key.spki_sha256.to_vec(), serial.as_bytes().to_vec()))
}

/// The subject key that the claim is to have certified, and by which CA key.
pub(super) fn subject(claim: &Claim) -> Option<Pair> {
    Some((claim.ca_key.spki_sha256.to_vec(), claim.subject_key?.to_vec()))
}

/// The CA key of the claim's list.
pub(super) fn list(claim: &Claim) -> Option<Vec<u8>> {
    matches!(claim.unique, Unique::CrlNumber(_)).then(|| claim.ca_key.spki_sha256.to_vec())
}

/// Waits for this signer's turn, and looks up what is wanted: the statements are sent together, and run one after the other, so
/// that each sees what was committed before the turn came.
pub(super) async fn begin(
    session: &Session,
    statements: &Statements,
    signer: i32,
    wanted: Wanted,
) -> Result<Begun, Error> {
    let client = &session.client;
    let (begun, turn, epoch, len, answers) = join!(
        biased;
        client.batch_execute(BEGIN),
        async { client.execute(&statements.lock, &[&LOCKS]).await },
        async { client.query_opt(&statements.epoch, &[&signer]).await },
        async { client.query_one(&statements.len, &[&signer]).await },
        look_up(session, statements, wanted),
    );
    begun?;
    turn?;
    let epoch = epoch?.map(|row| row.try_get(0)).transpose()?;
    let len = len?.try_get::<_, i64>(0)?.cast_unsigned();
    Ok(Begun { epoch, len, answers: answers? })
}

/// Looks up what is wanted, in the transaction that has begun.
pub(super) async fn look_up(
    session: &Session,
    statements: &Statements,
    wanted: Wanted,
) -> Result<Answers, Error> {
    let (callers, ids): (Vec<&[u8]>, Vec<&[u8]>) = pairs(&wanted.requests);
    let (keys, serials): (Vec<&[u8]>, Vec<&[u8]>) = pairs(&wanted.serials);
    let (cas, subjects): (Vec<&[u8]>, Vec<&[u8]>) = pairs(&wanted.subjects);
    let account = |of: fn(&Account) -> &[u8]| wanted.accounts.iter().map(of).collect::<Vec<_>>();
    let (spenders, spent_keys) = (account(|of| &of.party.caller), account(|of| &of.party.key));
    let rules: Vec<&str> = wanted.accounts.iter().map(|account| &*account.rule).collect();
    let party = |of: fn(&Party) -> &[u8]| wanted.parties.iter().map(of).collect::<Vec<_>>();
    let (parties, party_keys) = (party(|of| &of.caller), party(|of| &of.key));
    let rows = async |statement: &Statement, wanted: usize, values: &[&(dyn ToSql + Sync)]| {
        if wanted == 0 { Ok(Vec::new()) } else { session.client.query(statement, values).await }
    };
    let (called, called_serials): (Vec<&[u8]>, Vec<&[u8]>) = pairs(&wanted.good);
    let (requests, serials, subjects, good, listed, numbers, spent, standing, tallies) = join!(
        biased;
        async { rows(&statements.by_request, callers.len(), &[&callers, &ids]).await },
        async { rows(&statements.by_serial, keys.len(), &[&keys, &serials]).await },
        async { rows(&statements.revoked_subject, cas.len(), &[&cas, &subjects]).await },
        async { rows(&statements.revoked_serial, called.len(), &[&called, &called_serials]).await },
        async { rows(&statements.revoked, wanted.listed.len(), &[&wanted.listed, &wanted.kept]).await },
        async { rows(&statements.by_number, wanted.numbers.len(), &[&wanted.numbers]).await },
        async { rows(&statements.spent, rules.len(), &[&spenders, &spent_keys, &rules]).await },
        async { rows(&statements.standing, parties.len(), &[&parties, &party_keys]).await },
        async { rows(&statements.tally, wanted.callers.len(), &[&wanted.callers]).await },
    );
    let (requests, serials, numbers) = (requests?, serials?, numbers?);
    let (subjects, good, listed) = (subjects?, good?, listed?);
    let (spent, standing, tallies) = (spent?, standing?, tallies?);
    Ok(Answers { wanted, requests, serials, subjects, good, listed, numbers, spent, standing, tallies })
}

fn pairs(of: &[Pair]) -> (Vec<&[u8]>, Vec<&[u8]>) {
    of.iter().map(|(a, b)| (&**a, &**b)).unzip()
}

impl Found {
    /// Takes what the database says of claims.
    pub(super) fn take(&mut self, answers: &Answers, signer: &Signer) -> Stored<()> {
        let wanted = &answers.wanted;
        for (pairs, rows, found) in [
            (&wanted.requests, &answers.requests, &mut self.requests),
            (&wanted.serials, &answers.serials, &mut self.serials),
        ] {
            found.extend(pairs.iter().map(|pair| (pair.clone(), None)));
            for row in rows {
                let pair = asked_for(pairs, row)?;
                found.insert(pair.clone(), Some(known(row, signer)?));
            }
        }
        self.take_revoked(answers)?;
        for ca_key in &wanted.numbers {
            for series in [Series::Complete, Series::Delta] {
                self.numbers.insert((ca_key.clone(), series), Vec::new());
            }
        }
        for row in &answers.numbers {
            let ca_key = asked_for(&wanted.numbers, row)?;
            let (number, series): (&[u8], &str) = (get(row, 8)?, get(row, 9)?);
            let series = [Series::Complete, Series::Delta].into_iter().find(|known| known.name() == series);
            let series = series.ok_or(DatabaseError::Row { table: "crl_number" })?;
            let number = CrlNumber::new(number).ok_or(DatabaseError::Row { table: "crl_number" })?;
            self.numbers.entry((ca_key.clone(), series)).or_default().push((known(row, signer)?, number));
        }
        Ok(())
    }
}

impl Found {
    /// Takes what the database says of revocations.
    fn take_revoked(&mut self, answers: &Answers) -> Stored<()> {
        let wanted = &answers.wanted;
        self.subjects.extend(wanted.subjects.iter().map(|pair| (pair.clone(), Vec::new())));
        for row in &answers.subjects {
            let pair = asked_for(&wanted.subjects, row)?;
            self.subjects.entry(pair.clone()).or_default().push(reason(get(row, 1)?)?);
        }
        self.good.extend(wanted.good.iter().map(|pair| (pair.clone(), false)));
        for row in &answers.good {
            self.good.insert(asked_for(&wanted.good, row)?.clone(), true);
        }
        self.listed.extend(wanted.listed.iter().map(|ca_key| (ca_key.clone(), Vec::new())));
        for row in &answers.listed {
            let ca_key = asked_for(&wanted.listed, row)?;
            let spki_sha256 = ca_key.as_slice().try_into();
            let spki_sha256 = spki_sha256.map_err(|_| DatabaseError::Row { table: "revoked" })?;
            self.listed.entry(ca_key.clone()).or_default().push(revoked_row(spki_sha256, row)?);
        }
        Ok(())
    }
}

/// What a row is about.
pub(super) fn asked_for<'a, T>(wanted: &'a [T], row: &Row) -> Stored<&'a T> {
    let place = get::<i64>(row, 0)?.checked_sub(1).and_then(|place| usize::try_from(place).ok());
    let wanted = place.and_then(|place| wanted.get(place));
    Ok(wanted.ok_or(DatabaseError::Row { table: "unnest" })?)
}

/// A column.
pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Stored<T> {
    let doing = "reading a row";
    Ok(row.try_get(column).map_err(|source| DatabaseError::Failed { doing, source })?)
}

/// The intent that a row of a claim leads to.
fn known(row: &Row, signer: &Signer) -> Stored<Known> {
    let (id, index) = (get::<i32>(row, 1)?, number(get(row, 2)?));
    let (origin, opened_at): (Option<String>, Option<i64>) = (get(row, 3)?, get(row, 4)?);
    // What has no log is claimed all the same: it is no more free than what has one.
    let (Some(origin), Some(opened_at)) = (origin, opened_at.map(number)) else {
        return Err(DatabaseError::NoSigner(id).into());
    };
    let leaf: &[u8] = get::<Option<_>>(row, 5)?.ok_or(StoreError::Astray(index))?;
    let Entry::Intent { asked, ca_key, .. } = entry(index, leaf)? else {
        return Err(StoreError::Astray(index));
    };
    let outcome = match get::<Option<i64>>(row, 6)?.map(number) {
        None => None,
        Some(at) => {
            let leaf: &[u8] = get::<Option<_>>(row, 7)?.ok_or(StoreError::Astray(at))?;
            match entry(at, leaf)? {
                Entry::Outcome { intent, outcome, .. } if intent == index => Some(outcome),
                _ => return Err(StoreError::Astray(at)),
            }
        }
    };
    let recorder = match (id == signer.id, index >= opened_at) {
        (_, false) => Recorder::OneBefore,
        (true, true) => Recorder::ThisProcess,
        (false, true) => Recorder::OtherSigner,
    };
    let (origin, leaf_hash) = (Arc::from(origin), leaf_hash(leaf));
    Ok(Known { signer: id, origin, index, leaf_hash, asked, ca_key, outcome, recorder, is_new: false })
}

fn entry(index: u64, leaf: &[u8]) -> Stored<Entry> {
    Entry::decode(leaf).map_err(|source| StoreError::Entry { index, source })
}
