//! What callers have asked for, and what they were told: all that a signer is held to afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::forge::Forgery;
use crate::moments::Moments;
use crate::site::now;

/// A request for one certificate.
#[derive(Clone)]
pub struct Ask {
    pub serial: u64,
    pub request_id: String,
    pub tbs: Vec<u8>,
}

/// The answer to one.
pub struct Answer {
    pub ask: Ask,
    pub certificate: Vec<u8>,
    pub index: u64,
    pub leaf_hash: Vec<u8>,
}

/// What a caller does next.
pub enum Step {
    /// Asks for something new, or for what it has no answer to.
    Ask(Ask),
    /// Asks for what it has an answer to.
    Repeat(Arc<Answer>),
    /// Asks for other bytes with a serial that is taken.
    Steal(Arc<Answer>),
}

#[derive(Default)]
pub struct Book {
    serial: AtomicU64,
    /// What was asked for, and not answered before the signer was killed.
    open: Mutex<Vec<Ask>>,
    answered: Mutex<Vec<Arc<Answer>>>,
    /// Asked again, and nobody can know whether there was an answer.
    unknown: AtomicU64,
    /// Asked again, with the same answer as before.
    repeated: AtomicU64,
    refused: AtomicU64,
}

/// Only such an answer is asked for again: older certificates may have expired.
const RECENT: u64 = 1000;

impl Book {
    /// What is open comes first.
    pub fn step(&self, random: &mut Moments, ca_key: &[u8]) -> Step {
        if let Some(ask) = self.open.lock().unwrap().pop() {
            return Step::Ask(ask);
        }
        let kind = random.below(16);
        let answered = self.answered.lock().unwrap();
        let len = u64::try_from(answered.len()).unwrap();
        if kind > 2 || len == 0 {
            return Step::Ask(self.fresh(ca_key));
        }
        let answer = &answered[usize::try_from(len - 1 - random.below(len.min(RECENT))).unwrap()];
        if kind == 2 { Step::Steal(Arc::clone(answer)) } else { Step::Repeat(Arc::clone(answer)) }
    }

    fn fresh(&self, ca_key: &[u8]) -> Ask {
        let serial = 1 + self.serial.fetch_add(1, Ordering::Relaxed);
        let now = now();
        let tbs = Forgery { serial, valid_before: now + 3000, ..Forgery::user(ca_key.to_vec(), now) };
        Ask { serial, request_id: format!("request-{serial}"), tbs: tbs.encode() }
    }

    /// The signer was killed before it answered.
    pub fn unanswered(&self, ask: Ask) {
        self.open.lock().unwrap().push(ask);
    }

    pub fn answered(&self, answer: Answer) {
        self.answered.lock().unwrap().push(Arc::new(answer));
    }

    pub fn outcome_is_unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub fn was_repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub fn was_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether every request is answered, or never will be.
    pub fn is_settled(&self) -> bool {
        self.open.lock().unwrap().is_empty()
    }

    pub fn answers(&self) -> Vec<Arc<Answer>> {
        self.answered.lock().unwrap().clone()
    }

    pub fn summary(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} certificates, {} requests open, {} whose outcome nobody knows, {} answers again, {} serials refused",
            self.answered.lock().unwrap().len(),
            self.open.lock().unwrap().len(),
            of(&self.unknown),
            of(&self.repeated),
            of(&self.refused),
        )
    }
}
