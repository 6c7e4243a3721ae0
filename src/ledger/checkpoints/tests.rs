#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::io::Write;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;
use crate::key::{KeyPurpose, PublicKey, Scheme};
use crate::ledger::entry::leaf_hash;
use crate::ledger::fixture::Fixture;
use crate::ledger::merkle::{Frontier, Hash};
use crate::token::{RawSignature, TokenError};

/// A log with a key of its own.
struct Log {
    fixture: Fixture,
    config: Config,
    pair: Ed25519KeyPair,
    key: Arc<Key>,
}

impl Log {
    fn new() -> Self {
        let fixture = Fixture::new();
        let (pair, key) = key();
        let file = file::beside(&fixture.config.path);
        let (witnesses, quorum) = (Vec::new(), 0);
        let interval = Duration::from_secs(10);
        let config = Config { key: key.name.clone(), interval, entries: 1000, file, witnesses, quorum };
        Self { fixture, config, pair, key }
    }

    fn open(&self) -> (Ledger, Result<Checkpoints, LedgerError>) {
        let ledger = self.fixture.open();
        let checkpoints = Checkpoints::open(&ledger, &self.config, &self.key);
        (ledger, checkpoints)
    }

    /// Adds `count` intents with their outcomes, durably.
    async fn grow(&self, ledger: &Ledger, count: usize) {
        for _ in 0..count {
            let intent = self.fixture.intent(ledger).await;
            let index = intent.receipt().index;
            let signature = self.fixture.sign(&intent);
            ledger.settle(intent, signature).unwrap();
            ledger.watch_size().wait_for(|size| *size >= index + 2).await.unwrap();
        }
    }

    async fn sign(&self, checkpoints: &mut Checkpoints) -> Result<(), Failure> {
        let intent = checkpoints.record().await?;
        let raw = RawSignature::for_test(self.pair.sign(intent.intent().message()).as_ref());
        let signature = raw.verify(intent.intent())?;
        intent.settle(Ok(signature)).await
    }

    /// A log with three checkpoints, closed; what the second and the third say.
    async fn signed(&self) -> [Arc<SignedCheckpoint>; 2] {
        let (ledger, checkpoints) = self.open();
        let (mut checkpoints, mut signed) = (checkpoints.unwrap(), Vec::new());
        for _ in 0..3 {
            self.grow(&ledger, 3).await;
            self.sign(&mut checkpoints).await.unwrap();
            signed.push(ledger.latest_checkpoint().unwrap());
        }
        ledger.close().await;
        [signed[1].clone(), signed[2].clone()]
    }

    /// Why the log is not opened; nothing is appended meanwhile.
    async fn refused(&self) -> LedgerError {
        let (ledger, checkpoints) = self.open();
        let before = *ledger.watch_size().borrow();
        let error = checkpoints.unwrap_err();
        ledger.close().await;
        assert_eq!(self.fixture.entries().len().try_into(), Ok(before));
        error
    }

    /// The log and its index, without what was signed of it.
    fn back_up(&self) {
        let copy = self.fixture.directory().join("backup");
        fs::create_dir(&copy).unwrap();
        fs::copy(&self.fixture.config.path, copy.join("log")).unwrap();
        fs::create_dir(copy.join("index")).unwrap();
        for file in fs::read_dir(self.fixture.index()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.join("index").join(file.file_name())).unwrap();
        }
    }

    fn restore(&self) {
        let copy = self.fixture.directory().join("backup");
        fs::copy(copy.join("log"), &self.fixture.config.path).unwrap();
        for of in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{of}", self.fixture.config.path.display()));
        }
        self.fixture.remove_index();
        fs::rename(copy.join("index"), self.fixture.index()).unwrap();
    }
}

fn key() -> (Ed25519KeyPair, Arc<Key>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public_key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    let name = KeyName::new("log").unwrap();
    (pair, Arc::new(Key::new(name, KeyPurpose::Ledger, Scheme::Ed25519, public_key).unwrap()))
}

fn root(entries: &[Entry]) -> Hash {
    let mut frontier = Frontier::new();
    for entry in entries {
        frontier.push(leaf_hash(&entry.encode().unwrap()), |_| Ok::<_, ()>(())).unwrap();
    }
    frontier.root()
}

#[tokio::test]
async fn a_checkpoint_is_of_all_entries_before_it_and_its_intent_is_durable_first() {
    let log = Log::new();
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    assert!(ledger.latest_checkpoint().is_none());
    log.grow(&ledger, 300).await;
    let intent = checkpoints.record().await.unwrap();
    let entries = log.fixture.entries();
    let Some((Entry::Checkpoint { key, ca_key, text, .. }, before)) = entries.split_last() else {
        panic!("{entries:?}")
    };
    assert_eq!((key.as_str(), ca_key.purpose.as_str(), before.len()), ("log", "ledger", 600));
    assert_eq!(*text, Checkpoint::new("test.example/log", 600, root(before)).unwrap().to_string());
    assert_eq!(intent.intent().message(), text.as_bytes());
    assert!(!log.config.file.exists() && ledger.latest_checkpoint().is_none());

    let raw = RawSignature::for_test(log.pair.sign(text.as_bytes()).as_ref());
    let signature = raw.verify(intent.intent()).unwrap();
    intent.settle(Ok(signature)).await.unwrap();
    let signed = ledger.latest_checkpoint().unwrap();
    assert_eq!(fs::read_to_string(&log.config.file).unwrap(), signed.note());
    let verifier = verifier_key("test.example/log", &log.key.public_key).unwrap();
    let (opened, _) = Checkpoint::open(signed.note().as_bytes(), "test.example/log", &verifier).unwrap();
    assert_eq!((&opened, opened.to_string()), (signed.checkpoint(), text.clone()));
    ledger.close().await;
    assert!(matches!(
        log.fixture.entries().last(),
        Some(Entry::Outcome { intent: 600, outcome: Outcome::Signed(_), .. })
    ));
}

#[tokio::test]
async fn only_what_is_not_about_checkpoints_is_new() {
    let log = Log::new();
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    let mut size = ledger.watch_size();
    log.grow(&ledger, 2).await;
    assert_eq!(checkpoints.fresh(*size.borrow()), 4);
    let intent = checkpoints.record().await.unwrap();
    let busy = TokenError::NotInService { key: log.key.name.clone() };
    intent.settle(Err(busy.into())).await.unwrap_err();
    size.wait_for(|size| *size == 6).await.unwrap();
    assert_eq!(checkpoints.fresh(6), 4, "one that failed is none, and makes nothing new");
    assert!(ledger.latest_checkpoint().is_none() && !log.config.file.exists());
    log.sign(&mut checkpoints).await.unwrap();
    size.wait_for(|size| *size == 8).await.unwrap();
    assert_eq!((checkpoints.fresh(7), checkpoints.fresh(8), checkpoints.fresh(9)), (0, 0, 1));
    assert_eq!(ledger.latest_checkpoint().unwrap().checkpoint().size(), 6);
}

#[tokio::test]
async fn a_restart_goes_on_from_the_file() {
    let log = Log::new();
    let [_, last] = log.signed().await;
    let (ledger, checkpoints) = log.open();
    assert_eq!(ledger.latest_checkpoint().unwrap().note(), last.note());
    log.sign(&mut checkpoints.unwrap()).await.unwrap();
    assert!(ledger.latest_checkpoint().unwrap().checkpoint().size() > last.checkpoint().size());
}

#[tokio::test]
async fn a_backup_that_agrees_with_its_index_is_refused() {
    let log = Log::new();
    log.signed().await;
    log.back_up();
    let [_, last] = log.signed().await;
    log.restore();
    let error = log.refused().await;
    let LedgerError::OlderThanCheckpoint { entries, signed, .. } = error else { panic!("{error:?}") };
    assert_eq!((entries, signed), (24, last.checkpoint().size()));

    // Written on, by a signer that signs no checkpoints, until it is as long.
    let ledger = log.fixture.open();
    log.grow(&ledger, 30).await;
    ledger.close().await;
    let error = log.refused().await;
    assert!(matches!(error, LedgerError::OtherThanCheckpoint { .. }), "{error:?}");
}

#[tokio::test]
async fn a_check_beside_a_signer_that_signs_meanwhile_finds_its_log() {
    let log = Log::new();
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    log.grow(&ledger, 3).await;
    // Whoever reads the file waits for what is written to it here: the checkpoint of what comes while they do.
    let file = log.fixture.directory().join("slow-checkpoint");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    let (ledger_config, key) = (log.fixture.config.clone(), Arc::clone(&log.key));
    let config = Config { file: file.clone(), ..log.config.clone() };
    let check = spawn_blocking(move || Checkpoints::check(&ledger_config, &config, &key));
    let pipe = spawn_blocking(move || fs::OpenOptions::new().write(true).open(file).unwrap());
    let mut pipe = pipe.await.unwrap();
    log.grow(&ledger, 3).await;
    log.sign(&mut checkpoints).await.unwrap();
    pipe.write_all(ledger.latest_checkpoint().unwrap().note().as_bytes()).unwrap();
    drop(pipe);
    check.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_entry_that_was_changed_is_refused_though_the_index_was_made_anew() {
    let log = Log::new();
    log.signed().await;
    log.fixture.remove_index();
    drop(log.fixture.sql(
        "DROP TRIGGER entry_is_never_changed;
         UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 2) WHERE idx = 0;",
    ));
    let error = log.refused().await;
    assert!(matches!(error, LedgerError::OtherThanCheckpoint { signed: 22, .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_file_is_made_anew_from_the_log() {
    let log = Log::new();
    let [second, last] = log.signed().await;
    fs::remove_file(&log.config.file).unwrap();
    let (ledger, checkpoints) = log.open();
    assert_eq!(ledger.latest_checkpoint().unwrap().note(), last.note());
    assert_eq!(fs::read_to_string(&log.config.file).unwrap(), last.note());
    // One that was begun and not signed is passed over.
    let mut checkpoints = checkpoints.unwrap();
    drop(checkpoints.record().await.unwrap());
    ledger.close().await;
    fs::remove_file(&log.config.file).unwrap();
    let (ledger, checkpoints) = log.open();
    assert_eq!(ledger.latest_checkpoint().unwrap().note(), last.note());
    checkpoints.unwrap();
    ledger.close().await;

    // An older file is no reason to stop: the log has all that it says.
    fs::write(&log.config.file, second.note()).unwrap();
    let (_ledger, checkpoints) = log.open();
    log.sign(&mut checkpoints.unwrap()).await.unwrap();
}

#[tokio::test]
async fn an_older_file_does_not_outvote_what_the_log_records_as_signed() {
    let log = Log::new();
    let [second, last] = log.signed().await;
    fs::write(&log.config.file, second.note()).unwrap();
    let (ledger, checkpoints) = log.open();
    assert_eq!(checkpoints.unwrap().last.as_ref(), Some(last.checkpoint()));
    assert_eq!(ledger.latest_checkpoint().unwrap().note(), last.note());
    assert_eq!(fs::read_to_string(&log.config.file).unwrap(), last.note());
    ledger.close().await;

    // What the older one does not know was changed, and the index knows of nothing.
    let (known, of) = (second.checkpoint().size(), last.checkpoint().size());
    assert!(known < 18 && 18 < of, "{known} to {of}");
    log.fixture.remove_index();
    drop(log.fixture.sql(
        "DROP TRIGGER entry_is_never_changed;
         UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 2) WHERE idx = 18;",
    ));
    fs::write(&log.config.file, second.note()).unwrap();
    let error = log.refused().await;
    assert!(matches!(error, LedgerError::OtherThanCheckpoint { signed, .. } if signed == of), "{error:?}");
    assert_eq!(fs::read_to_string(&log.config.file).unwrap(), second.note(), "nothing is made anew");
}

#[tokio::test]
async fn a_file_that_the_key_did_not_sign_for_this_log_is_refused() {
    let log = Log::new();
    let [_, last] = log.signed().await;
    for spoilt in [String::new(), last.note().replace("test.example", "best.example"), "x".repeat(300_000)] {
        fs::write(&log.config.file, spoilt).unwrap();
        let error = log.refused().await;
        assert!(matches!(error, LedgerError::Checkpoint { .. }), "{error:?}");
    }
    fs::write(&log.config.file, last.note().replace("\n22\n", "\n21\n")).unwrap();
    let error = log.refused().await;
    assert!(matches!(error, LedgerError::Checkpoint { .. }), "{error:?}");
}

#[tokio::test]
async fn another_key_goes_on_where_the_first_ended_once_the_file_is_gone() {
    let mut log = Log::new();
    let [_, last] = log.signed().await;
    (log.pair, log.key) = key();
    let error = log.refused().await;
    assert!(matches!(error, LedgerError::Checkpoint { .. }), "{error:?}");
    fs::remove_file(&log.config.file).unwrap();
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    assert!(ledger.latest_checkpoint().is_none());
    assert_eq!(checkpoints.last.as_ref(), Some(last.checkpoint()));
    log.sign(&mut checkpoints).await.unwrap();
    assert_eq!(fs::read_to_string(&log.config.file).unwrap(), ledger.latest_checkpoint().unwrap().note());
}

#[tokio::test]
async fn a_log_that_ceases_to_continue_what_was_signed_takes_no_entries_any_more() {
    let log = Log::new();
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    log.grow(&ledger, 3).await;
    log.sign(&mut checkpoints).await.unwrap();
    let before = ledger.latest_checkpoint().unwrap();
    let open = log.fixture.intent(&ledger).await;
    // As if the tiles were others.
    checkpoints.last =
        Some(Checkpoint::new("test.example/log", before.checkpoint().size(), [7; 32]).unwrap());
    let error = checkpoints.record().await.unwrap_err();
    assert!(matches!(error, LedgerError::OtherThanCheckpoint { .. }), "{error:?}");
    assert!(!ledger.is_writable());
    for principal in ["alice", "root"] {
        let error = ledger.record(log.fixture.decide(log.fixture.request(principal))).await.unwrap_err();
        assert_eq!(error.word(), "LEDGER_CONTRADICTS_CHECKPOINT");
    }
    assert_eq!(ledger.latest_checkpoint().unwrap().note(), before.note());
    let index = open.receipt().index;
    let signature = log.fixture.sign(&open);
    ledger.settle(open, signature).unwrap();
    ledger.close().await;
    let last = log.fixture.entries().pop().unwrap();
    assert!(matches!(last, Entry::Outcome { intent, .. } if intent == index), "{last:?}");
}

#[tokio::test]
async fn nobody_is_given_a_checkpoint_whose_file_cannot_be_written() {
    let mut log = Log::new();
    log.config.file = log.fixture.directory().join("gone").join("checkpoint");
    let (ledger, checkpoints) = log.open();
    let mut checkpoints = checkpoints.unwrap();
    log.grow(&ledger, 1).await;
    let failure = log.sign(&mut checkpoints).await.unwrap_err();
    assert!(failure.to_string().contains("writing checkpoint"), "{failure}");
    assert!(ledger.latest_checkpoint().is_none());
    ledger.close().await;
    let last = log.fixture.entries().pop().unwrap();
    let Entry::Outcome { outcome: Outcome::Failed(word), .. } = last else { panic!("{last:?}") };
    assert_eq!(word, "LEDGER_IO");
}
