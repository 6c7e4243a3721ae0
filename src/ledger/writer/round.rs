//! What the writer writes in one transaction, and those who wait for it.
//!
//! In: what came since the last commit. Out: what became of each, in the order of each kind, told once all of it is durable,
//! or why none of it is.

use countersign_tbs::crl::CrlNumber;

use crate::ledger::admit::{self, Claimed};
use crate::ledger::claim::Conflict;
use crate::ledger::compromised::Compromised;
use crate::ledger::entry::UnixMillis;
use crate::ledger::store::{Batch, Needs, Stored};
use crate::ledger::writer::queue::{IntentJob, RefusalJob, RulingJob, Waiting};
use crate::ledger::{Entry, Leaf, LedgerError, Receipt, Thaw};

/// All that waits, by kind.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) records: Vec<Waiting<Leaf, u64>>,
    pub(super) refusals: Vec<Waiting<RefusalJob, Option<u64>>>,
    pub(super) thaws: Vec<Waiting<Box<Thaw>, Option<Receipt>>>,
    /// What operators rule: revocations, and steps of rotations.
    pub(super) rulings: Vec<Waiting<Box<RulingJob>, Option<Receipt>>>,
    pub(super) intents: Vec<Waiting<Box<IntentJob>, Claimed>>,
    /// Who asks for a key's newest CRL number.
    pub(super) numbers: Vec<Waiting<[u8; 32], Option<CrlNumber>>>,
    /// Who asks whether a record would be taken.
    pub(super) probes: Vec<Waiting<usize, ()>>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Written {
    records: Vec<u64>,
    refusals: Vec<Option<u64>>,
    thaws: Vec<Option<Receipt>>,
    rulings: Vec<Option<Receipt>>,
    intents: Vec<Claimed>,
    numbers: Vec<Option<CrlNumber>>,
}

impl Round {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        let Self { records, refusals, thaws, rulings, intents, numbers, probes } = self;
        let is_empty = records.is_empty() && refusals.is_empty() && thaws.is_empty();
        is_empty && rulings.is_empty() && intents.is_empty() && numbers.is_empty() && probes.is_empty()
    }

    /// The time of each.
    pub(super) fn times(&self) -> impl Iterator<Item = UnixMillis> {
        let records = self.records.iter().map(|waiting| waiting.time);
        let refusals = self.refusals.iter().map(|waiting| waiting.time);
        let thaws = self.thaws.iter().map(|waiting| waiting.time);
        let intents = self.intents.iter().map(|waiting| waiting.time);
        let rulings = self.rulings.iter().map(|waiting| waiting.time);
        records.chain(refusals).chain(thaws).chain(rulings).chain(intents)
    }

    /// What it will be judged by.
    pub(super) fn needs(&self) -> Needs<'_> {
        Needs {
            claims: self.intents.iter().map(|intent| &intent.what.claim).collect(),
            parties: self.thaws.iter().map(|thaw| thaw.what.party()).collect(),
            callers: self.refusals.iter().map(|refusal| &*refusal.what.caller).collect(),
            kept: self.kept(),
        }
    }

    /// Of which second on certificates are in one of the lists that are asked for.
    fn kept(&self) -> u64 {
        let kept = self.intents.iter().filter_map(|intent| {
            intent.what.claim.listing.as_ref().map(|listing| listing.interval.kept(intent.time))
        });
        kept.min().unwrap_or_default()
    }

    /// What there would be outcomes about, had those who wait been told: its index, and its time.
    pub(super) fn owing(&self, written: &Written) -> Vec<(u64, UnixMillis)> {
        let records = self.records.iter().zip(&written.records);
        let records =
            records.filter(|(record, _)| record.what.owes).map(|(record, index)| (*index, record.time));
        let intents = self.intents.iter().zip(&written.intents);
        let intents = intents.filter_map(|(intent, claimed)| Some((*claimed.as_ref().ok()?, intent.time)));
        records.chain(intents).collect()
    }

    /// The rulings that are in the log by now.
    pub(super) fn ruled(&self, written: &Written) -> impl Iterator<Item = &Entry> {
        self.recorded(&written.rulings)
    }

    fn recorded(&self, receipts: &[Option<Receipt>]) -> impl Iterator<Item = &Entry> {
        let rulings = self.rulings.iter().zip(receipts.to_vec());
        rulings.filter(|(_, receipt)| receipt.is_some()).map(|(ruling, _)| &ruling.what.entry)
    }

    /// Appends all of it. A thaw comes before the intents that wait for it, and a revocation before those that it bars.
    pub(super) fn append(&self, batch: &mut impl Batch, barred: &Compromised) -> Stored<Written> {
        let records =
            self.records.iter().map(|record| batch.append(&record.what)).collect::<Result<_, _>>()?;
        let refusals = self.refusals.iter().map(|refusal| {
            let RefusalJob { caller, leaf } = &refusal.what;
            admit::refusal(batch, caller, refusal.time, leaf)
        });
        let refusals = refusals.collect::<Result<_, _>>()?;
        let thaws = self.thaws.iter().map(|thaw| admit::thaw(batch, &thaw.what, thaw.time));
        let thaws = thaws.collect::<Result<_, _>>()?;
        let rulings = self.rulings.iter().map(|ruling| {
            let RulingJob { entry, meant } = &*ruling.what;
            match meant {
                Some(meant) => admit::revocation(batch, entry, meant),
                None => batch.append_entry(entry).map(Some),
            }
        });
        let rulings: Vec<Option<Receipt>> = rulings.collect::<Result<_, _>>()?;
        let just_now = Compromised::of(self.recorded(&rulings));
        let intents = self.intents.iter().map(|intent| {
            let IntentJob { claim, leaf } = &*intent.what;
            let mut reasons: Vec<_> = barred.reasons(claim).chain(just_now.reasons(claim)).collect();
            reasons.extend(batch.subject_reasons(claim)?);
            admit::intent(batch, claim, intent.time, leaf, &reasons)
        });
        let intents = intents.collect::<Result<_, _>>()?;
        let numbers = self.numbers.iter().map(|asked| batch.newest_crl_number(&asked.what));
        let numbers = numbers.collect::<Result<_, _>>()?;
        Ok(Written { records, refusals, thaws, rulings, intents, numbers })
    }

    /// Tells each what became of it.
    pub(super) fn tell(self, written: Written) {
        tell(self.records, written.records);
        tell(self.refusals, written.refusals);
        tell(self.thaws, written.thaws);
        tell(self.rulings, written.rulings);
        for (intent, claimed) in self.intents.iter().zip(&written.intents) {
            report_freeze(&intent.what, claimed);
        }
        tell(self.intents, written.intents);
        tell(self.numbers, written.numbers);
        for probe in self.probes {
            probe.tell(Ok(()));
        }
    }

    /// Tells who has asked only whether a record would be taken that it would not.
    pub(super) fn fail_probes(&mut self, error: &LedgerError) {
        fail(std::mem::take(&mut self.probes), error);
    }

    /// Tells each that nothing was written.
    pub(super) fn fail(self, error: &LedgerError) {
        fail(self.records, error);
        fail(self.refusals, error);
        fail(self.thaws, error);
        fail(self.rulings, error);
        fail(self.intents, error);
        fail(self.numbers, error);
        fail(self.probes, error);
    }
}

fn tell<W, T>(waiting: Vec<Waiting<W, T>>, answers: Vec<T>) {
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        waiting.tell(Ok(answer));
    }
}

fn fail<W, T>(waiting: Vec<Waiting<W, T>>, error: &LedgerError) {
    for waiting in waiting {
        waiting.tell(Err(error.clone()));
    }
}

/// One line for each freeze: what follows is refused without a word.
fn report_freeze(wanted: &IntentJob, claimed: &Claimed) {
    let Err(Conflict::Exhausted { refusal, frozen: Some(entry), .. }) = claimed else { return };
    let asked = &wanted.claim.asked;
    let (caller, key) = (asked.caller.escape_ascii(), asked.key.escape_ascii());
    tracing::error!(
        rule = refusal.rule,
        entry,
        "{caller} is frozen for key {key}: it went on asking beyond its budget. Look into it, then run \
         `countersign policy thaw {key} {caller} --why TEXT`"
    );
}
