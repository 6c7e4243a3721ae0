//! What becomes of one record within the writer's transaction.
//!
//! In: an intent, a refusal, a thaw or a revocation, and the [`Batch`]. Out: where it is in the log, or why it is not. The order is
//! fixed: whoever is frozen gets nothing; what is revoked is not signed, not even as an answer that is given again; a request that
//! was answered costs nothing, but that of a list or a response, which is compared with what is revoked each time; what is to be
//! signed or compared is charged before.

use crate::ledger::account::{Account, Party};
use crate::ledger::budget::Standing;
use crate::ledger::claim::{Claim, Conflict, Unique, revoked_serial};
use crate::ledger::compromised::{good_conflict, subject_conflict};
use crate::ledger::entry::{Entry, RevocationReason, UnixMillis};
use crate::ledger::meant::Meant;
use crate::ledger::store::{Batch, Stored};
use crate::ledger::{Leaf, Receipt, Thaw};
use crate::policy::Refusal;

/// The index of an intent, or why it is not appended.
pub(super) type Claimed = Result<u64, Conflict>;

/// Appends an intent, unless its caller is frozen, its subject key is revoked for `reasons` that bar it, what it claims is taken, its
/// budget is used up, or it says other than what is revoked.
pub(super) fn intent(
    batch: &mut impl Batch,
    claim: &Claim,
    time: UnixMillis,
    leaf: &Leaf,
    reasons: &[RevocationReason],
) -> Stored<Claimed> {
    if let Some(refusal) = batch.standing(&Party::of(claim))?.refusal() {
        return Ok(Err(Conflict::Refused(refusal)));
    }
    // Of X.509, lists have certificates one by one: each that is signed for a key that is revoked would make them longer.
    let are_listed = claim.ca_key.is_x509();
    if reasons.iter().any(|reason| are_listed || *reason == RevocationReason::KeyCompromise) {
        return Ok(Err(subject_conflict()));
    }
    // An answer that is given again is compared again, and costs what that does.
    let answer = match taken(batch, claim)? {
        Some(answer @ Conflict::Answered { .. }) if claim.is_compared() => Some(answer),
        Some(conflict) => return Ok(Err(conflict)),
        None => None,
    };
    if let Some(conflict) = charged(batch, claim, time)? {
        return Ok(Err(conflict));
    }
    if let Some(conflict) = contradiction(batch, claim, time)?.or(answer) {
        return Ok(Err(conflict));
    }
    batch.append_intent(claim, leaf).map(Ok)
}

/// What is in the way of a response or a list that says other than what is revoked. It may cost much: ask only of what is charged.
fn contradiction(batch: &mut impl Batch, claim: &Claim, time: UnixMillis) -> Stored<Option<Conflict>> {
    for good in &claim.good {
        if batch.is_revoked(good)? {
            return Ok(Some(good_conflict(good)));
        }
    }
    let Some(listing) = &claim.listing else { return Ok(None) };
    let mut rows = Vec::new();
    for ca_key in &listing.cas {
        rows.extend(batch.revoked(ca_key, listing.interval.kept(time))?);
    }
    Ok(listing.against(rows, time))
}

/// The answer that an intent has had, or what is in the way since another has what it claims. A serial that is revoked comes first:
/// its certificate is not handed out again.
fn taken(batch: &mut impl Batch, claim: &Claim) -> Stored<Option<Conflict>> {
    if let Unique::Serial(serial) = &claim.unique
        && batch.is_revoked(&(claim.ca_key.spki_sha256, serial.as_bytes().to_vec()))?
    {
        return Ok(Some(revoked_serial()));
    }
    if let Some(conflict) = batch.by_request(claim)?.and_then(|earlier| claim.against_request(earlier)) {
        return Ok(Some(conflict));
    }
    if let Some(conflict) = batch.by_serial(claim)?.and_then(|earlier| claim.against_serial(&earlier)) {
        return Ok(Some(conflict));
    }
    batch.by_crl_number(claim)
}

/// Charges its budget; what is in the way if that is used up.
fn charged(batch: &mut impl Batch, claim: &Claim, time: UnixMillis) -> Stored<Option<Conflict>> {
    let account = Account::of(claim);
    let mut spent = batch.spent(&account)?;
    let charged = spent.charge(&claim.budget, time);
    batch.set_spent(&account, spent);
    let Err(over) = charged else { return Ok(None) };
    let refusal = over.refusal(&claim.rule);
    let frozen = count_over(batch, claim, &refusal, time)?;
    Ok(Some(Conflict::Exhausted { refusal, wait: over.wait, frozen }))
}

/// Counts a request beyond a budget; the entry that freezes its caller, if it is one too many.
fn count_over(
    batch: &mut impl Batch,
    claim: &Claim,
    refusal: &Refusal,
    time: UnixMillis,
) -> Stored<Option<u64>> {
    let party = Party::of(claim);
    let mut standing = batch.standing(&party)?;
    if standing.count(claim.budget.freeze_after, time) {
        let Party { caller, key } = party.clone();
        let (rule, requests, since) = (refusal.rule.clone(), standing.over, standing.since);
        let freeze = Entry::Freeze { time, caller, key, rule, requests, since };
        standing.frozen = Some(batch.append_entry(&freeze)?.index);
    }
    batch.set_standing(&party, standing);
    Ok(standing.frozen)
}

/// Appends a refusal; its index, or `None` if its caller has had so many that it is only counted.
pub(super) fn refusal(
    batch: &mut impl Batch,
    caller: &[u8],
    time: UnixMillis,
    leaf: &Leaf,
) -> Stored<Option<u64>> {
    let mut tally = batch.tally(caller)?;
    let whole = tally.admit(time);
    batch.set_tally(caller, tally);
    if whole { batch.append(leaf).map(Some) } else { Ok(None) }
}

/// Appends an entry for each caller with refusals that were only counted.
pub(super) fn counted_refusals(batch: &mut impl Batch, time: UnixMillis) -> Stored<()> {
    for (caller, mut tally) in batch.open_tallies()? {
        let (since, count) = (tally.since, tally.count);
        batch.append_entry(&Entry::Refusals { time, caller: caller.clone(), since, count })?;
        tally.count = 0;
        batch.set_tally(&caller, tally);
    }
    Ok(())
}

/// Appends a revocation, with all that it means; `None` if too much came since that was looked for.
pub(super) fn revocation(batch: &mut impl Batch, entry: &Entry, meant: &Meant) -> Stored<Option<Receipt>> {
    let newer = if meant.is_kept() { batch.newer(&meant.sizes)? } else { Some(Vec::new()) };
    let Some(newer) = newer else { return Ok(None) };
    let receipt = batch.append_entry(entry)?;
    batch.keep_revocation(receipt.index, entry, meant.rows(entry, &newer))?;
    Ok(Some(receipt))
}

/// Appends a thaw, and forgets the tries that led to the freeze; `None` if there is nothing to thaw.
pub(super) fn thaw(batch: &mut impl Batch, thaw: &Thaw, time: UnixMillis) -> Stored<Option<Receipt>> {
    let party = thaw.party();
    let Some(freeze) = batch.freeze(&party, time)? else { return Ok(None) };
    let (by, why) = (thaw.by.as_str().as_bytes().to_vec(), thaw.why.clone().into_bytes());
    let Party { caller, key } = party.clone();
    let entry = Entry::Thaw { time, caller, key, freeze, by, why };
    let receipt = batch.append_entry(&entry)?;
    batch.set_standing(&party, Standing::default());
    Ok(Some(receipt))
}
