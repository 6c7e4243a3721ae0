//! Records decisions and self-tests, and settles what came of them.
//!
//! In: a [`Decision`]. Out: a [`Recorded`] decision, durable; then, for what a token made of its intent, the answer. Promised: nothing is
//! permitted that the log did not take.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;

use crate::key::Key;
use crate::ledger::claim::{Claim, Conflict, Unique};
use crate::ledger::compromised::called_good;
use crate::ledger::debt::Debt;
use crate::ledger::entry::{self, Asked, AskedTbs, CaKey, MAX_KEY, MAX_MESSAGE, Outcome};
use crate::ledger::leaf::Leaf;
use crate::ledger::revoked::Listing;
use crate::ledger::{
    Entry, Intent, Ledger, LedgerError, Order, Permitted, Receipt, Recorded, Refused, Replay, SelfTest,
};
use crate::policy::{Decision, Refusal};
use crate::sign::{Answer, Failure, Priority, Request, Signed};

impl Ledger {
    /// Records a decision and returns once it is durable.
    ///
    /// What policy permits is refused all the same if its request id, its serial or its CRL number stands for something else
    /// already, if that number leaps too far, or if its caller has used up its budget or is frozen. If the request id
    /// stands for the same, nothing is recorded: it was.
    ///
    /// It is recorded even if the deadline passes meanwhile. A future that is dropped while it waits may leave an intent
    /// without an outcome, and nothing is signed.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was recorded, and nothing may be signed. At once while the disk is known to hang: who asks is not to wait
    /// with those who asked before that was known.
    pub async fn record(&self, decision: Decision) -> Result<Recorded, LedgerError> {
        if let Some(hangs) = self.writable.hangs() {
            return Err(hangs);
        }
        let (request, policy, verdict) = decision.into_parts();
        let permit = match verdict {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(&request, policy, refusal, None).await,
        };
        let (budget, numbering, cas) = (permit.budget(), permit.numbering(), permit.cas().to_vec());
        let (key, tbs, rule) = permit.into_parts();
        let asked = asked(&request, AskedTbs::of(&request.bytes));
        let (ca_key, unique) = (ca_key(&key), Unique::of(&tbs, &rule, numbering));
        let (subject_key, good) = (entry::subject_key(&tbs), called_good(&key, &tbs));
        let listing = Listing::of(&tbs, cas);
        let rule_of = rule.clone();
        let claim = Claim { asked, ca_key, unique, subject_key, good, listing, rule: rule_of, budget };
        let (time, asked, ca_key) = ((self.now)(), claim.asked.clone(), claim.ca_key.clone());
        let entry = Entry::Intent { time, asked, policy, rule, ca_key };
        let leaf = Leaf::of_intent(&entry, &tbs, self.queue.term_key())?;
        let (leaf_hash, bytes) = (leaf.hash, leaf.bytes.len());
        let order = Order::tbs(key, tbs);
        let recorded = self.queue.record_intent(time, leaf, claim).await;
        let permitted = match self.noted_intent(bytes, recorded)? {
            Ok(index) => {
                let debt = Debt::new(Receipt { index, leaf_hash }, time, self.queue.clone());
                let (priority, deadline) = (request.priority, request.deadline);
                Permitted::Intent(Intent { order, priority, deadline, debt })
            }
            Err(Conflict::Answered { receipt, log, signature }) => {
                Permitted::Replay(Replay::new(order, signature, receipt, log))
            }
            Err(Conflict::Refused(refusal)) => return self.refuse(&request, policy, refusal, None).await,
            Err(Conflict::Exhausted { refusal, wait, .. }) => {
                return self.refuse(&request, policy, refusal, Some(wait)).await;
            }
        };
        Ok(Recorded(Ok(permitted)))
    }

    async fn refuse(
        &self,
        request: &Request,
        policy: [u8; 32],
        refusal: Refusal,
        retry_after: Option<Duration>,
    ) -> Result<Recorded, LedgerError> {
        let asked = asked(request, AskedTbs::of_refused(&request.bytes));
        let (time, rule) = ((self.now)(), refusal.rule.clone());
        let reason = refusal.reason.code_word().to_owned();
        let message = shortened(&refusal.message).to_owned();
        let caller = asked.caller.clone();
        let leaf = self.queue.leaf(&Entry::Refusal { time, asked, policy, rule, reason, message })?;
        let entry = self.noted(self.queue.record_refusal(time, leaf, caller).await)?;
        Ok(Recorded(Err(Refused { refusal, entry, retry_after })))
    }

    /// Records that `key` is about to sign a challenge of its own: at start-up, when a token comes back, and to find out whether
    /// the ledger takes entries again.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_self_test(&self, key: &Arc<Key>) -> Result<SelfTest, LedgerError> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| LedgerError::NoRandomness)?;
        let challenge = entry::challenge(&random);
        let entry = Entry::SelfTest {
            time: (self.now)(),
            key: key.name.as_str().to_owned(),
            ca_key: ca_key(key),
            challenge: challenge.clone(),
        };
        let debt = Debt::new(self.append(&entry).await?, entry.time(), self.queue.clone());
        let order = Order::own(Arc::clone(key), challenge);
        Ok(SelfTest(Intent { order, priority: Priority::Interactive, deadline: None, debt }))
    }

    /// Appends the outcome of an intent, and turns it into the answer.
    ///
    /// The append is queued in order and not waited for: the intent is what must be durable.
    ///
    /// # Errors
    /// The failure that was given, or that the caller's deadline passed meanwhile; either is recorded.
    pub fn settle(&self, intent: Intent, answer: impl Into<Answer>) -> Result<Signed, Failure> {
        let Answer { result, token } = answer.into();
        let answer = result.and_then(|signature| Ok((intent.answer(&signature)?, signature)));
        let outcome = match &answer {
            Ok((_, signature)) => Outcome::Signed(signature.as_bytes().to_vec()),
            Err(Failure::TooLate) => Outcome::Discarded,
            Err(failure) => Outcome::Failed(word(failure).to_owned()),
        };
        intent.debt.settle(outcome, token);
        answer.map(|(signed, _)| signed)
    }

    /// Appends the outcome of a self-test.
    ///
    /// # Errors
    /// The failure that was given; it is recorded.
    pub fn settle_self_test(
        &self,
        SelfTest(intent): SelfTest,
        answer: impl Into<Answer>,
    ) -> Result<(), Failure> {
        let Answer { result, token } = answer.into();
        let outcome = match &result {
            Ok(signature) => Outcome::Signed(signature.as_bytes().to_vec()),
            Err(failure) => Outcome::Failed(word(failure).to_owned()),
        };
        intent.debt.settle(outcome, token);
        result.map(drop)
    }

    /// Appends one entry and returns once it is durable.
    pub(super) async fn append(&self, entry: &Entry) -> Result<Receipt, LedgerError> {
        let leaf = self.queue.leaf(entry)?;
        let leaf_hash = leaf.hash;
        let index = self.noted(self.queue.record(entry.time(), leaf).await)?;
        Ok(Receipt { index, leaf_hash })
    }
}

fn asked(request: &Request, tbs: AskedTbs) -> Asked {
    let key = request.key.as_bytes();
    Asked {
        caller: request.caller.name().to_string().into_bytes(),
        key: key.get(..MAX_KEY).unwrap_or(key).to_vec(),
        request_id: request.request_id.as_ref().map(|id| id.as_str().into()),
        kind: request.kind.name().to_owned(),
        tbs,
    }
}

/// The key, as entries name it.
pub(super) fn ca_key(key: &Key) -> CaKey {
    CaKey {
        purpose: key.purpose.name().to_owned(),
        scheme: key.scheme.name().to_owned(),
        spki_sha256: key.spki_sha256(),
    }
}

/// The first [`MAX_MESSAGE`] bytes, and fewer where the next would be half a character.
pub(super) fn shortened(message: &str) -> &str {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    (0..=MAX_MESSAGE).rev().find_map(|end| message.get(..end)).unwrap_or_default()
}

/// The word for a failure in its outcome.
pub(super) fn word(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused(refused) => refused.refusal.reason.code_word(),
        Failure::Ledger(error) => error.word(),
        Failure::Token(error) => error.word(),
        Failure::Verify(error) => error.word(),
        Failure::TooLate => "DEADLINE_EXCEEDED",
    }
}
