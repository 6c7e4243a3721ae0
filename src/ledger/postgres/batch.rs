//! One transaction on the fleet's logs: entries of this one, and the claims that they are judged by.
//!
//! In: encoded entries with their claims. Out: their indexes, and earlier intents, of any signer. Promised: all of a batch is in
//! the database, durably, once it is committed; nothing is sent before it is committed, and if that is not answered, it is in doubt
//! until the database has been asked. Dropped, it leaves nothing.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use countersign_tbs::crl::CrlNumber;

use crate::ledger::account::{Account, Party, Rows};
use crate::ledger::budget::{Spent, Standing, Tally};
use crate::ledger::claim::{Claim, Conflict, Earlier, Fate, Recorder, Unique};
use crate::ledger::compromised::OfCa;
use crate::ledger::crl_number::{List, ListNumber, Series};
use crate::ledger::entry::{Entry, RevocationReason, UnixMillis};
use crate::ledger::error::StoreError;
use crate::ledger::meant::{Sizes, unreadable};
use crate::ledger::postgres::additions::Additions;
use crate::ledger::postgres::claims::{self, Answers, Found, Known, Wanted};
use crate::ledger::postgres::commit::commit;
use crate::ledger::postgres::revoked::Revoked;
use crate::ledger::postgres::rows::{self, Changes};
use crate::ledger::postgres::{Connected, DatabaseError, Freezes, Store, number};
use crate::ledger::revoked::Row;
use crate::ledger::store::{self, MAX_NEWER, Stored};
use crate::ledger::{Leaf, Receipt, leaf_hash};

/// Entries that are committed together, or not at all.
#[derive(Debug)]
pub(in crate::ledger) struct Batch<'a> {
    store: &'a mut Store,
    connected: Connected,
    /// The index of the first entry of the batch.
    first: u64,
    leaves: Vec<Leaf>,
    found: Found,
    rows: Rows,
    freezes: Freezes,
    /// Numbers of lists that are to be forgotten.
    forgotten: Vec<(Vec<u8>, Series, CrlNumber)>,
    /// What is kept of revocations.
    revoked: Revoked,
    /// Which of `leaves` are the outcomes of which intents.
    outcomes: HashMap<u64, usize>,
    /// Whether there is a transaction that is neither committed nor rolled back.
    is_open: bool,
}

impl<'a> Batch<'a> {
    /// In a transaction that has begun on the log's first `first` entries.
    pub(super) fn new(
        store: &'a mut Store,
        connected: Connected,
        first: u64,
        answers: &Answers,
    ) -> Stored<Self> {
        let (leaves, outcomes) = (Vec::new(), HashMap::new());
        let (found, rows, freezes) = (Found::default(), Rows::default(), Freezes::default());
        let mut batch = Self {
            store,
            connected,
            first,
            leaves,
            found,
            rows,
            freezes,
            forgotten: Vec::new(),
            revoked: Revoked::default(),
            outcomes,
            is_open: true,
        };
        batch.take(answers)?;
        Ok(batch)
    }

    fn take(&mut self, answers: &Answers) -> Stored<()> {
        self.found.take(answers, &self.store.signer)?;
        rows::take(answers, &mut self.rows, &mut self.freezes)
    }

    /// Looks up what was not foreseen.
    fn look_up(&mut self, wanted: Wanted) -> Stored<()> {
        let Connected { session, statements } = self.connected.clone();
        let answers = self
            .store
            .place
            .link
            .wait("looking up", async move { claims::look_up(&session, &statements, wanted).await })?;
        self.take(&answers)
    }

    /// An entry that came since, unless it is of another log and none.
    fn newer_entry(&self, row: &tokio_postgres::Row) -> Stored<Option<(i32, u64, Entry)>> {
        let (log, index, leaf) =
            (claims::get(row, 0)?, number(claims::get(row, 1)?), claims::get::<&[u8]>(row, 2)?);
        match Entry::decode(leaf) {
            Ok(entry) => Ok(Some((log, index, entry))),
            Err(source) if log == self.store.signer.id => Err(StoreError::Entry { index, source }),
            Err(source) => {
                unreadable(claims::get(row, 3)?, index, &source);
                Ok(None)
            }
        }
    }

    /// What is known of `intent`, and became of it.
    fn earlier(&self, known: &Known) -> Stored<Earlier> {
        let Known { origin, index, leaf_hash, asked, ca_key, .. } = known.clone();
        let is_own = known.signer == self.store.signer.id;
        let log = (!is_own).then_some(origin);
        Ok(Earlier { receipt: Receipt { index, leaf_hash }, log, asked, ca_key, fate: self.fate(known)? })
    }

    fn fate(&self, known: &Known) -> Stored<Fate> {
        let is_own = known.signer == self.store.signer.id;
        let here = self.outcomes.get(&known.index).filter(|_| is_own);
        let Some(leaf) = here.and_then(|at| self.leaves.get(*at)) else {
            return Ok(Fate::of(known.outcome.clone(), known.recorder));
        };
        let entry = Entry::decode(&leaf.bytes);
        match entry.map_err(|source| StoreError::Entry { index: known.index, source })? {
            Entry::Outcome { outcome, .. } => Ok(Fate::of(Some(outcome), known.recorder)),
            _ => Err(StoreError::Astray(known.index)),
        }
    }

    /// The newest lists of a series: those that are being worked on, and one before them.
    fn lists(&self, ca_key: &[u8], series: Series) -> Stored<Vec<List>> {
        let lists = self.found.numbers.get(&(ca_key.to_vec(), series)).into_iter().flatten();
        let lists = lists.map(|(known, number)| Ok(List { number: *number, fate: self.fate(known)? }));
        Ok(List::sorted(lists.collect::<Stored<_>>()?))
    }

    /// The list of `known` is the newest; those that no later one is judged by are forgotten.
    fn add_list(&mut self, ca_key: &[u8], series: Series, number: CrlNumber, known: Known) -> Stored<()> {
        let forgotten = List::forgotten(&self.lists(ca_key, series)?);
        let lists = self.found.numbers.entry((ca_key.to_vec(), series)).or_default();
        lists.retain(|(_, number)| !forgotten.contains(number));
        lists.push((known, number));
        self.forgotten.extend(forgotten.into_iter().map(|number| (ca_key.to_vec(), series, number)));
        Ok(())
    }

    /// An intent that has just been appended at `index`.
    fn own(&self, claim: &Claim, leaf: &Leaf, index: u64) -> Known {
        Known {
            signer: self.store.signer.id,
            origin: Arc::clone(&self.store.signer.origin),
            index,
            leaf_hash: leaf.hash,
            asked: claim.asked.clone(),
            ca_key: claim.ca_key.clone(),
            outcome: None,
            recorder: Recorder::ThisProcess,
            is_new: true,
        }
    }

    /// All that is to be written; the bytes of the leaves go into it.
    fn additions(&mut self) -> Additions {
        let mut additions =
            Additions { rows: Changes::of(&self.rows, self.store.signer.id), ..Additions::default() };
        for (intent, at) in &self.outcomes {
            let at = u64::try_from(*at).unwrap_or(u64::MAX);
            additions.outcomes.push(*intent, self.first.saturating_add(at));
        }
        let new = |known: &Known| known.is_new.then_some(known.index);
        for ((caller, id), known) in self.found.requests.drain() {
            additions.requests.extend(known.as_ref().and_then(new).map(|intent| (caller, id, intent)));
        }
        for ((ca_key, serial), known) in self.found.serials.drain() {
            additions.serials.extend(known.as_ref().and_then(new).map(|intent| (ca_key, serial, intent)));
        }
        additions.revoked = mem::take(&mut self.revoked);
        for (ca_key, series, number) in mem::take(&mut self.forgotten) {
            additions.forgotten.push(ca_key, series, number);
        }
        for ((ca_key, series), lists) in self.found.numbers.drain() {
            for (known, number) in lists {
                if let Some(intent) = new(&known) {
                    additions.lists.push(ca_key.clone(), series, number, intent);
                }
            }
        }
        additions.leaves = self.leaves.iter_mut().map(|leaf| mem::take(&mut leaf.bytes)).collect();
        additions
    }

    /// Sends all of it, and then, once the database has it, the commit.
    fn send(&mut self) -> Stored<()> {
        let (signer, first, additions) = (self.store.signer.id, self.first.cast_signed(), self.additions());
        let Connected { session, statements } = self.connected.clone();
        let client = Arc::clone(&session.client);
        let (writer, prepared) = (Arc::clone(&client), Arc::clone(&statements));
        let transaction = self.store.place.link.wait("writing", async move {
            Box::pin(additions.write(&writer, &prepared, signer, first)).await
        })?;
        session.was_warned();
        let committed = self
            .store
            .place
            .link
            .wait("committing", async move { commit(&client, &statements, &transaction).await });
        self.is_open = false;
        match committed {
            Ok(false) => Err(StoreError::InDoubt(DatabaseError::RolledBack)),
            Ok(true) if !session.was_warned() => Ok(()),
            Ok(true) => Err(StoreError::InDoubt(DatabaseError::NotReplicated)),
            Err(error) => Err(StoreError::InDoubt(error)),
        }
    }
}

impl store::Batch for Batch<'_> {
    fn append(&mut self, leaf: &Leaf) -> Stored<u64> {
        let at = self.leaves.len();
        if let Some(intent) = leaf.settles {
            self.outcomes.insert(intent, at);
        }
        self.leaves.push(leaf.clone());
        self.store.index.append(leaf);
        Ok(self.first.saturating_add(u64::try_from(at).unwrap_or(u64::MAX)))
    }

    fn append_entry(&mut self, entry: &Entry) -> Stored<Receipt> {
        let leaf = Leaf::of(entry, self.store.index.key())?;
        Ok(Receipt { index: self.append(&leaf)?, leaf_hash: leaf.hash })
    }

    fn append_intent(&mut self, claim: &Claim, leaf: &Leaf) -> Stored<u64> {
        let index = self.append(leaf)?;
        let known = self.own(claim, leaf, index);
        if let Unique::CrlNumber(ListNumber { series, number, .. }) = &claim.unique {
            self.add_list(&claim.ca_key.spki_sha256, *series, *number, known.clone())?;
        }
        if let Some(serial) = claims::serial(claim) {
            self.found.serials.insert(serial, Some(known.clone()));
        }
        if let Some(request) = claims::request(claim) {
            self.found.requests.insert(request, Some(known));
        }
        Ok(index)
    }

    fn by_request(&mut self, claim: &Claim) -> Stored<Option<Earlier>> {
        let Some(request) = claims::request(claim) else { return Ok(None) };
        if !self.found.requests.contains_key(&request) {
            self.look_up(Wanted { requests: vec![request.clone()], ..Wanted::default() })?;
        }
        let known = self.found.requests.get(&request).and_then(Option::as_ref);
        known.map(|known| self.earlier(known)).transpose()
    }

    fn by_serial(&mut self, claim: &Claim) -> Stored<Option<Earlier>> {
        let Some(serial) = claims::serial(claim) else { return Ok(None) };
        if !self.found.serials.contains_key(&serial) {
            self.look_up(Wanted { serials: vec![serial.clone()], ..Wanted::default() })?;
        }
        let known = self.found.serials.get(&serial).and_then(Option::as_ref);
        known.map(|known| self.earlier(known)).transpose()
    }

    fn subject_reasons(&mut self, claim: &Claim) -> Stored<Vec<RevocationReason>> {
        let Some(subject) = claims::subject(claim) else { return Ok(Vec::new()) };
        if !self.found.subjects.contains_key(&subject) {
            self.look_up(Wanted { subjects: vec![subject.clone()], ..Wanted::default() })?;
        }
        Ok(self.found.subjects.get(&subject).cloned().unwrap_or_default())
    }

    fn newer(&mut self, sizes: &Sizes) -> Stored<Option<Vec<(i32, u64, Entry)>>> {
        let Connected { session, statements } = self.connected.clone();
        let (logs, first): (Vec<i32>, Vec<i64>) =
            sizes.iter().map(|(log, size)| (*log, size.cast_signed())).unzip();
        let most = i64::try_from(MAX_NEWER).unwrap_or(i64::MAX).saturating_add(1);
        let rows = self.store.place.link.wait("reading what came since", async move {
            session.client.query(&statements.newer, &[&logs, &first, &most]).await
        })?;
        if rows.len() > MAX_NEWER {
            return Ok(None);
        }
        let newer = rows.iter().filter_map(|row| self.newer_entry(row).transpose());
        newer.collect::<Stored<_>>().map(Some)
    }

    fn keep_revocation(&mut self, index: u64, revocation: &Entry, rows: Vec<Row>) -> Stored<()> {
        self.revoked.keep(index, revocation, rows);
        Ok(())
    }

    fn is_revoked(&mut self, (ca_key, serial): &OfCa) -> Stored<bool> {
        let pair = (ca_key.to_vec(), serial.clone());
        if !self.found.good.contains_key(&pair) {
            self.look_up(Wanted { good: vec![pair.clone()], ..Wanted::default() })?;
        }
        let is_new = self.revoked.rows.iter().any(|row| row.ca_key == *ca_key && row.serial == *serial);
        Ok(is_new || self.found.good.get(&pair).copied().unwrap_or_default())
    }

    fn revoked(&mut self, ca_key: &[u8; 32], kept: u64) -> Stored<Vec<Row>> {
        if !self.found.listed.contains_key(ca_key.as_slice()) {
            self.look_up(Wanted {
                listed: vec![ca_key.to_vec()],
                kept: i64::try_from(kept).unwrap_or(i64::MAX),
                ..Wanted::default()
            })?;
        }
        let found = self.found.listed.get(ca_key.as_slice()).into_iter().flatten();
        let new = self.revoked.rows.iter().filter(|row| row.ca_key == *ca_key);
        Ok(found.chain(new).cloned().collect())
    }

    fn by_crl_number(&mut self, claim: &Claim) -> Stored<Option<Conflict>> {
        let Unique::CrlNumber(number) = &claim.unique else { return Ok(None) };
        let ca_key = claim.ca_key.spki_sha256.to_vec();
        if !self.found.numbers.contains_key(&(ca_key.clone(), number.series)) {
            self.look_up(Wanted { numbers: vec![ca_key.clone()], ..Wanted::default() })?;
        }
        let own = List::newest(&self.lists(&ca_key, number.series)?);
        let other = List::newest(&self.lists(&ca_key, number.series.other())?);
        Ok(number.against(own, other))
    }

    fn newest_crl_number(&mut self, spki_sha256: &[u8; 32]) -> Stored<Option<CrlNumber>> {
        if !self.found.numbers.contains_key(&(spki_sha256.to_vec(), Series::Complete)) {
            self.look_up(Wanted { numbers: vec![spki_sha256.to_vec()], ..Wanted::default() })?;
        }
        let complete = List::newest(&self.lists(spki_sha256, Series::Complete)?);
        Ok(complete.max(List::newest(&self.lists(spki_sha256, Series::Delta)?)))
    }

    fn spent(&mut self, account: &Account) -> Stored<Spent> {
        if self.rows.spent.get(account).is_none() {
            self.look_up(Wanted { accounts: vec![account.clone()], ..Wanted::default() })?;
        }
        Ok(self.rows.spent.get(account).unwrap_or_default())
    }

    fn set_spent(&mut self, account: &Account, value: Spent) {
        self.rows.spent.change(account, value);
    }

    fn standing(&mut self, party: &Party) -> Stored<Standing> {
        if self.rows.standing.get(party).is_none() {
            self.look_up(Wanted { parties: vec![party.clone()], ..Wanted::default() })?;
        }
        Ok(self.rows.standing.get(party).unwrap_or_default())
    }

    fn set_standing(&mut self, party: &Party, value: Standing) {
        self.freezes.remove(party);
        self.rows.standing.change(party, value);
    }

    fn freeze(&mut self, party: &Party, time: UnixMillis) -> Stored<Option<u64>> {
        let Some(freeze) = self.standing(party)?.frozen else { return Ok(None) };
        let by = self.freezes.get(party).copied().unwrap_or(self.store.signer.id);
        if by == self.store.signer.id {
            return Ok(Some(freeze));
        }
        // A thaw names an entry of its own log.
        let leaf = self.store.leaf(by, freeze)?;
        match Entry::decode(&leaf).map_err(|source| StoreError::Entry { index: freeze, source })? {
            Entry::Freeze { caller, key, rule, requests, since, .. } => {
                let copy = Entry::Freeze { time, caller, key, rule, requests, since };
                Ok(Some(self.append_entry(&copy)?.index))
            }
            _ => Err(StoreError::Astray(freeze)),
        }
    }

    fn tally(&mut self, caller: &[u8]) -> Stored<Tally> {
        if self.rows.tally.get(caller).is_none() {
            self.look_up(Wanted { callers: vec![caller.to_vec()], ..Wanted::default() })?;
        }
        Ok(self.rows.tally.get(caller).unwrap_or_default())
    }

    fn set_tally(&mut self, caller: &[u8], value: Tally) {
        self.rows.tally.change(caller, value);
    }

    fn open_tallies(&mut self) -> Stored<Vec<(Vec<u8>, Tally)>> {
        let Connected { session, statements } = self.connected.clone();
        let open = self.store.place.link.wait("reading refusals that were counted", async move {
            session.client.query(&statements.open_tallies, &[]).await
        })?;
        open.iter().map(|row| Ok((claims::get(row, 0)?, rows::tally(row)?))).collect()
    }

    fn commit(mut self) -> Stored<()> {
        match self.send() {
            Ok(()) => {
                self.store.index.confirm();
                Ok(())
            }
            Err(error) => {
                if matches!(error, StoreError::InDoubt(_)) {
                    self.store.doubt = Some(mem::take(&mut self.leaves));
                    self.store.disconnect();
                }
                Err(error)
            }
        }
    }
}

impl Drop for Batch<'_> {
    /// A transaction that is not committed holds up all other signers until it is over.
    fn drop(&mut self) {
        if self.is_open {
            let client = Arc::clone(&self.connected.session.client);
            let ended = self
                .store
                .place
                .link
                .wait("rolling back", async move { client.batch_execute("ROLLBACK").await });
            if ended.is_err() {
                self.store.disconnect();
            }
        }
    }
}

/// Whether what is in the database from `first` on is what was sent.
pub(super) fn is_sent(sent: &[Leaf], found: &[(u64, Vec<u8>)], first: u64) -> bool {
    let indexes = first..;
    sent.len() == found.len()
        && indexes
            .zip(sent.iter().zip(found))
            .all(|(index, (sent, (at, leaf)))| index == *at && sent.hash == leaf_hash(leaf))
}
