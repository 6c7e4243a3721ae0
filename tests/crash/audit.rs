//! The log against what its signer has told callers and the world, all through its kills.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::entry::{AskedTbs, Outcome};
use countersign::ledger::merkle::{Frontier, Hash};
use countersign::ledger::{Entry, leaf_hash};
use countersign_tbs::ssh::Certificate;

use crate::bed::Bed;
use crate::book::{Answer, Book};
use crate::site::at;

pub struct Audit<'a> {
    bed: &'a Bed,
    /// As they were found after each kill.
    checkpoints: Vec<Checkpoint>,
}

impl<'a> Audit<'a> {
    pub fn new(bed: &'a Bed) -> Self {
        Self { bed, checkpoints: Vec::new() }
    }

    /// Takes note of the newest checkpoint, which is never older than the one before.
    pub fn look_at_checkpoint(&mut self) {
        let before = self.checkpoints.last().map(Checkpoint::size);
        let Some(found) = self.bed.checkpoint() else {
            return assert_eq!(before, None, "the file of the checkpoint is gone");
        };
        assert!(before <= Some(found.size()), "{before:?}, and then {}", found.size());
        self.checkpoints.push(found);
    }

    /// Panics unless the log has all that was told, and tells it once.
    pub fn whole(&self, book: &Book, ca_key: &[u8]) {
        let entries = self.bed.entries();
        let log = Log::of(&entries);
        let mut of_index = HashMap::new();
        let mut of_serial: HashMap<u64, &[u8]> = HashMap::new();
        let answers = book.answers();
        for answer in &answers {
            let other = of_index.insert(answer.index, answer.ask.serial);
            assert_eq!(other, None, "index {} was given twice", answer.index);
            let other = of_serial.insert(answer.ask.serial, &answer.certificate);
            assert_eq!(other, None, "serial {} was given twice", answer.ask.serial);
            log.holds(answer, ca_key);
        }
        for told in &self.checkpoints {
            assert_eq!(log.roots[at(told.size())], *told.root(), "the checkpoint of {} entries", told.size());
        }
        log.checkpoints_continue_each_other();
        println!("{} entries, {} answers; {}", entries.len(), answers.len(), log.left_open());
    }
}

/// The entries, and what belongs to each.
struct Log<'a> {
    entries: &'a [Entry],
    outcomes: BTreeMap<u64, (u64, &'a Outcome)>,
    /// Of the first so many.
    roots: Vec<Hash>,
}

impl<'a> Log<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let (mut outcomes, mut frontier) = (BTreeMap::new(), Frontier::new());
        let mut roots = vec![frontier.root()];
        for (index, entry) in (0..).zip(entries) {
            frontier.push(leaf_hash(&entry.encode().unwrap()), |_| Ok::<_, ()>(())).unwrap();
            roots.push(frontier.root());
            if let Entry::Outcome { intent, outcome, .. } = entry {
                assert!(*intent < index, "entry {index} comes before what it is the outcome of");
                let other = outcomes.insert(*intent, (index, outcome));
                assert!(other.is_none(), "two outcomes of entry {intent}");
            }
        }
        Self { entries, outcomes, roots }
    }

    /// The intent of an answer, and no outcome but this very signature.
    fn holds(&self, Answer { ask, certificate, index, leaf_hash: promised }: &Answer, ca_key: &[u8]) {
        let Some(entry) = self.entries.get(at(*index)) else { panic!("entry {index} is lost") };
        assert_eq!(leaf_hash(&entry.encode().unwrap()).as_slice(), promised, "entry {index} is another");
        let Entry::Intent { asked, .. } = entry else { panic!("{index}: {entry:?}") };
        assert!(matches!(&asked.tbs, AskedTbs::Whole(tbs) if *tbs == ask.tbs), "{index}: {asked:?}");
        let certificate = Certificate::parse(certificate).unwrap();
        assert_eq!(certificate.tbs().as_bytes(), ask.tbs);
        let point = &ca_key[ca_key.len() - 65..];
        let by = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(by.verify(&ask.tbs, certificate.raw_signature()).is_ok(), "serial {}", ask.serial);
        if let Some((_, outcome)) = self.outcomes.get(index) {
            let is_it = matches!(outcome, Outcome::Signed(raw) if *raw == certificate.raw_signature());
            assert!(is_it, "entry {index} was answered with another signature than {outcome:?}");
        }
    }

    fn checkpoints_continue_each_other(&self) {
        let mut size = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            let Entry::Checkpoint { text, .. } = entry else { continue };
            let checkpoint = Checkpoint::parse(text).unwrap();
            assert!(size <= checkpoint.size() && at(checkpoint.size()) <= index, "entry {index}: {text}");
            assert_eq!(self.roots[at(checkpoint.size())], *checkpoint.root(), "entry {index}");
            size = checkpoint.size();
        }
    }

    /// What was under way at the kills, by kind. Panics if they met no request or no checkpoint: then they tested little. A
    /// self-test is open for a millisecond.
    fn left_open(&self) -> String {
        let of = |is: fn(&Entry) -> bool| {
            let open = |index: &u64| !self.outcomes.contains_key(index);
            (0..).zip(self.entries).filter(|(index, entry)| is(entry) && open(index)).count()
        };
        let open = [
            ("requests", of(|entry| matches!(entry, Entry::Intent { .. }))),
            ("self-tests", of(|entry| matches!(entry, Entry::SelfTest { .. }))),
            ("checkpoints", of(|entry| matches!(entry, Entry::Checkpoint { .. }))),
        ];
        assert!(open.iter().all(|(name, count)| *count > 0 || *name == "self-tests"), "{open:?}");
        format!("killed between intent and outcome: {open:?}")
    }
}
