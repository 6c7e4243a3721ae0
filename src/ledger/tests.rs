#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign_tbs::ssh::Certificate;
use countersign_tbs::{Tbs, TbsKind};

use super::audit::{AuditError, CaKeys, Compared, Lists, Options, Report, Signatures, Source, audit};
use super::entry::{AskedTbs, MAX_KEY, MAX_MESSAGE, Outcome};
use super::fixture::Fixture;
use super::record::shortened;
use super::*;
use crate::key::Scheme;
use crate::policy::Decision;
use crate::sign::Failure;
use crate::token::RawSignature;

mod budget;
mod clock;
mod crash;
mod crl;
mod disk;
mod fleet;
mod hanging;
mod identity;
mod index;
mod noted;
mod reading;
mod revocation;
mod revoked;
mod schema;

fn outcome_of(entry: &Entry) -> (u64, &Outcome) {
    match entry {
        Entry::Outcome { intent, outcome, .. } => (*intent, outcome),
        other => panic!("{other:?}"),
    }
}

/// What is found in a log, also if the header is damaged.
fn audited(config: &Config) -> Report {
    audited_by(Reader::open_damaged(config).unwrap().0).unwrap()
}

/// The same of one that is open.
fn audited_by(reader: Reader) -> Result<Report, AuditError> {
    let len = reader.len().unwrap();
    audit(Source::Log(reader), len, comparing(Vec::new()), |_| ())
}

/// What to look for in a log whose signatures are not verified: these hashes of it are known.
fn comparing(compare: Vec<Compared>) -> Options {
    Options {
        ca_keys: CaKeys::default(),
        lists: Lists::default(),
        signatures: Signatures::Skip,
        origin: None,
        clock_tolerance: Duration::from_secs(5),
        checkpoints: Vec::new(),
        compare,
        beside: Vec::new(),
    }
}

/// The same, and what is found beside it at some time.
fn audited_at(config: &Config, now: UnixMillis) -> Report {
    let mut report = audited(config);
    report.compare_kept(&Reader::open_damaged(config).unwrap().0, now);
    assert!(report.stopped.is_none(), "{:?}", report.stopped);
    report
}

/// The entries that are wrong, with the word for it.
fn wrong(report: &Report) -> Vec<(u64, &'static str)> {
    report.findings.first().iter().map(|finding| (finding.index, finding.what.word())).collect()
}

#[tokio::test]
async fn an_intent_is_durable_before_record_returns() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let intent = fixture::intent(fixture.record(&ledger, request.clone()).await);

    let entries = fixture.entries();
    let Entry::Intent { asked, rule, ca_key, .. } = &entries[0] else { panic!("{entries:?}") };
    assert_eq!((entries.len(), rule.as_str()), (1, "key.user-ca.allow.staff"));
    assert_eq!((asked.caller.as_slice(), asked.key.as_slice()), (&b"uid:1000"[..], &b"user-ca"[..]));
    assert_eq!(asked.request_id.as_deref(), request.request_id.as_ref().map(|id| id.as_str().as_bytes()));
    assert_eq!(asked.tbs, AskedTbs::Whole(request.bytes.to_vec()));
    assert_eq!((ca_key.purpose.as_str(), ca_key.scheme.as_str()), ("ssh-user-ca", "ed25519"));
    assert_eq!(ca_key.spki_sha256, entry::sha256(&[&fixture.key().public_key.to_spki_der()]));
    let leaf_hash = leaf_hash(&entries[0].encode().unwrap());
    assert_eq!(intent.receipt(), Receipt { index: 0, leaf_hash });
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_reason() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let mut request = fixture.request("root");
    let refused = fixture.record(&ledger, request.clone()).await.permitted().unwrap_err();
    request.key = "ü".repeat(200);
    fixture.record(&ledger, request).await.permitted().unwrap_err();

    let entries = fixture.entries();
    let Entry::Refusal { asked, rule, reason, message, .. } = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(asked.key, b"user-ca");
    assert_eq!((rule, message), (&refused.refusal.rule, &refused.refusal.message));
    assert_eq!(reason, refused.refusal.reason.code_word());
    assert_eq!(refused.entry, Some(0));
    let Entry::Refusal { asked, .. } = &entries[1] else { panic!("{entries:?}") };
    assert_eq!(asked.key.len(), MAX_KEY);
}

#[tokio::test]
async fn settling_gives_the_certificate_and_appends_the_signature() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let intent = fixture.intent(&ledger).await;
    let (message, signature) = (intent.message().to_vec(), fixture.sign(&intent));
    let signed = ledger.settle(intent, signature).unwrap();
    ledger.close().await;

    let certificate = Certificate::parse(&signed.object).unwrap();
    assert_eq!(certificate.tbs().as_bytes(), message);
    assert_eq!((signed.receipt.index, signed.scheme), (0, Scheme::Ed25519));
    let entries = fixture.entries();
    let raw = certificate.raw_signature().to_vec();
    assert!(signed.object.ends_with(&signed.signature) && signed.signature.ends_with(&raw));
    assert_eq!(outcome_of(&entries[1]), (0, &Outcome::Signed(raw)));
}

#[tokio::test]
async fn an_outcome_says_how_long_its_intent_waited_for_it() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let asked = Instant::now();
    let intent = fixture.intent(&ledger).await;
    let recorded = Instant::now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let signature = fixture.sign(&intent);
    let waited = recorded.elapsed();
    ledger.settle(intent, signature).unwrap();
    let most = asked.elapsed();
    ledger.close().await;
    let entries = fixture.entries();
    let Entry::Outcome { latency_us, time, .. } = entries[1] else { panic!("{entries:?}") };
    let took = Duration::from_micros(latency_us);
    assert!(took.as_micros() >= waited.as_micros() && took <= most, "{waited:?} {took:?} {most:?}");
    // It is as much later than its intent, on the intent's clock.
    assert!(time.0 - entries[0].time().0 >= 5 && time == entries[0].time().after(took), "{entries:?}");
}

#[tokio::test]
async fn a_signature_after_the_deadline_is_discarded() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let mut intent = fixture.intent(&ledger).await;
    let signature = fixture.sign(&intent);
    intent.deadline = Some(Instant::now());
    assert!(matches!(ledger.settle(intent, signature), Err(Failure::TooLate)));
    ledger.close().await;
    assert_eq!(outcome_of(&fixture.entries()[1]), (0, &Outcome::Discarded));
}

#[tokio::test]
async fn a_wrong_signature_is_a_recorded_failure() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let (first, second) = (fixture.intent(&ledger).await, fixture.intent(&ledger).await);
    let other = fixture.sign(&first).unwrap();
    let wrong = RawSignature::for_test(other.as_bytes()).verify(&second);
    let failure = ledger.settle(second, wrong.map_err(Failure::from)).unwrap_err();
    assert!(matches!(failure, Failure::Verify(_)), "{failure}");
    ledger.settle(first, Ok(other)).unwrap();
    ledger.close().await;
    let entries = fixture.entries();
    assert_eq!(outcome_of(&entries[2]), (1, &Outcome::Failed("SIGNATURE_WITHHELD".to_owned())));
    assert!(matches!(outcome_of(&entries[3]), (0, Outcome::Signed(_))));
}

#[tokio::test]
async fn an_intent_dropped_unsettled_is_abandoned() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    drop(fixture.intent(&ledger).await);
    ledger.close().await;
    assert_eq!(outcome_of(&fixture.entries()[1]), (0, &Outcome::Abandoned));
}

#[tokio::test]
async fn a_self_test_signs_what_no_certificate_can_be() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let test = ledger.record_self_test(fixture.key()).await.unwrap();
    let challenge = test.intent().message().to_vec();
    assert!(Tbs::parse(TbsKind::SshCertificate, &challenge).is_err());
    // The first string of an SSH certificate would be longer than any message; DER would begin with a SEQUENCE.
    let length = u32::from_be_bytes(challenge[..4].try_into().unwrap());
    assert!(usize::try_from(length).unwrap() > countersign_tbs::ssh::CertificateTbs::MAX_LEN);
    assert_ne!(challenge[0], 0x30);
    let signature = fixture.sign(test.intent());
    ledger.settle_self_test(test, signature).unwrap();
    let again = ledger.record_self_test(fixture.key()).await.unwrap();
    assert_ne!(again.intent().message(), challenge);
    ledger.close().await;

    let entries = fixture.entries();
    let Entry::SelfTest { key, challenge: recorded, .. } = &entries[0] else { panic!("{entries:?}") };
    assert_eq!((key.as_str(), recorded), ("user-ca", &challenge));
    assert!(matches!(outcome_of(&entries[1]), (0, Outcome::Signed(_))));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    assert_eq!(shortened("ä"), "ä");
    let long = format!("a{}", "ä".repeat(MAX_MESSAGE));
    assert_eq!(shortened(&long).len(), MAX_MESSAGE - 1);
}

#[tokio::test]
async fn a_failed_commit_fails_all_its_records_and_nothing_stays() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    std::mem::forget(fixture.intent(&ledger).await);
    fixture.fill(3);
    let blocked = fixture::block(&fixture.config);
    let records: Vec<_> = (0..8)
        .map(|_| {
            let (ledger, decision) = (ledger.clone(), fixture.decide(fixture.request("alice")));
            tokio::spawn(async move { ledger.record(decision).await })
        })
        .collect();
    let_each_run(records.len()).await;
    drop(blocked);
    // The writer takes the first alone, or some of them; the rest fail together, after their first was inserted.
    let mut recorded = 0;
    for record in records {
        match record.await.unwrap() {
            Ok(record) => {
                recorded += 1;
                std::mem::forget(record);
            }
            Err(error) => assert_eq!(error.word(), "LEDGER_UNAVAILABLE"),
        }
    }
    assert!(recorded <= 2, "{recorded}");
    assert_eq!(fixture.entries().len(), 1 + recorded);
    ledger.close().await;
}

#[tokio::test]
async fn a_replay_is_no_sign_that_a_full_disk_has_room_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let request = fixture.request("alice");
    let asked = fixture::intent(fixture.record(&ledger, request.clone()).await);
    let signature = fixture.sign(&asked);
    ledger.settle(asked, signature).unwrap();
    ledger.queue.settled().await;
    fixture.fill(0);
    ledger.record_self_test(fixture.key()).await.unwrap_err();
    let replayed = fixture.record(&ledger, request).await.permitted();
    assert!(matches!(replayed, Ok(Permitted::Replay(_))));
    assert!(!ledger.is_writable() && ledger.refuses().is_some());
    fixture.make_room();
    std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    assert!(ledger.is_writable());
}

#[tokio::test]
async fn an_entry_that_is_smaller_is_no_sign_that_a_full_disk_takes_intents_again() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let self_test = async || std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    self_test().await;
    let bytes = fixture.entries()[0].encode().unwrap().len() + 1;
    fixture.fill_but_for(bytes);
    ledger.record(fixture.decide(fixture.request("alice"))).await.unwrap_err();
    for _ in 0..2 {
        self_test().await;
        assert!(!ledger.is_writable() && ledger.refuses().is_some(), "callers are refused all the same");
        ledger.probe().await.unwrap_err();
    }
    fixture.make_room();
    ledger.probe().await.unwrap();
    assert!(!ledger.is_writable(), "it is not written");
    self_test().await;
    assert!(ledger.is_writable() && ledger.refuses().is_none());
    // Or another intent shows it, by itself.
    fixture.fill_but_for(bytes);
    ledger.record(fixture.decide(fixture.request("alice"))).await.unwrap_err();
    fixture.make_room();
    std::mem::forget(fixture.intent(&ledger).await);
    assert!(ledger.is_writable());
    let selves = |entry: &Entry| matches!(entry, Entry::SelfTest { .. });
    assert_eq!(fixture.entries().iter().filter(|entry| !selves(entry)).count(), 1, "no probe is in the log");
    ledger.close().await;
}

#[tokio::test]
async fn a_probe_that_finds_no_room_fails_nothing_that_comes_with_it() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    let bytes = fixture.entries()[0].encode().unwrap().len() + 1;
    fixture.fill_but_for(bytes);
    let blocked = fixture::block(&fixture.config);
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (ledger, key) = (ledger.clone(), fixture.key().clone());
            tokio::spawn(async move {
                tokio::join!(ledger.queue.probe(UnixMillis::now(), bytes), ledger.record_self_test(&key))
            })
        })
        .collect();
    let_each_run(asked.len()).await;
    drop(blocked);
    for asked in asked {
        let (probed, recorded) = asked.await.unwrap();
        assert!(probed.is_err(), "there is room for nothing so large");
        std::mem::forget(recorded.unwrap());
    }
    ledger.close().await;
}

#[tokio::test]
async fn outcomes_of_a_failed_commit_are_written_before_the_next_record() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let (first, second) = (fixture.intent(&ledger).await, fixture.intent(&ledger).await);
    fixture.fill(0);
    drop(second);
    drop(first);
    assert!(ledger.record_self_test(fixture.key()).await.is_err());
    assert_eq!(fixture.entries().len(), 2);
    fixture.make_room();
    std::mem::forget(ledger.record_self_test(fixture.key()).await.unwrap());
    let entries = fixture.entries();
    assert_eq!([outcome_of(&entries[2]).0, outcome_of(&entries[3]).0], [1, 0]);
    assert!(matches!(&entries[4..], [Entry::SelfTest { .. }]), "{entries:?}");
}

#[tokio::test]
async fn closing_writes_the_outcomes_of_a_failed_commit() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let intent = fixture.intent(&ledger).await;
    fixture.fill(0);
    drop(intent);
    // Answered after the outcome was tried.
    assert!(ledger.record_self_test(fixture.key()).await.is_err());
    fixture.make_room();
    ledger.close().await;
    assert_eq!(outcome_of(&fixture.entries()[1]), (0, &Outcome::Abandoned));
}

#[tokio::test]
async fn a_full_disk_stops_the_record_and_the_next_start_goes_on() {
    let fixture = Fixture::in_file();
    let store = sqlite::Store::open(&fixture.config, Limits::default()).unwrap();
    store.limit_pages(12);
    let ledger = Ledger::start(store, &fixture.config, UnixMillis::now).unwrap();
    let (recorded, error) = until_it_records_no_more(&fixture, &ledger).await;
    assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
    ledger.close().await;
    assert_eq!(fixture.entries().len(), recorded);

    let ledger = fixture.open();
    assert_eq!(fixture.intent(&ledger).await.receipt().index, u64::try_from(recorded).unwrap());
}

#[tokio::test]
async fn records_that_wait_together_share_a_commit() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    std::mem::forget(fixture.intent(&ledger).await);
    let before = commits(&fixture);
    let blocked = fixture::block(&fixture.config);
    let records: Vec<_> = (0..200)
        .map(|_| {
            let (ledger, key) = (ledger.clone(), Arc::clone(fixture.key()));
            tokio::spawn(async move { ledger.record_self_test(&key).await.map(std::mem::forget) })
        })
        .collect();
    let_each_run(records.len()).await;
    drop(blocked);
    for record in records {
        record.await.unwrap().unwrap();
    }
    assert_eq!(fixture.entries().len(), 201);
    // The writer may have taken the first alone, and then some, before all were queued.
    assert!(commits(&fixture) - before <= 3, "{}", commits(&fixture) - before);
}

/// What becomes of `decisions` that the ledger records in one commit, or in one after the first.
async fn recorded_at_once(
    config: &Config,
    ledger: &Ledger,
    decisions: impl Iterator<Item = Decision>,
) -> Vec<Result<Permitted, Refused>> {
    let blocked = fixture::block(config);
    let records: Vec<_> = decisions
        .map(|decision| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.record(decision).await.unwrap().permitted() })
        })
        .collect();
    let_each_run(records.len()).await;
    drop(blocked);
    let mut recorded = Vec::new();
    for record in records {
        recorded.push(record.await.unwrap());
    }
    recorded
}

/// Of `recorded`, one begins, and each other is refused for `reason`.
fn assert_one_is_begun(recorded: Vec<Result<Permitted, Refused>>, reason: &str) {
    let (begun, refused): (Vec<_>, Vec<_>) = recorded.into_iter().partition(Result::is_ok);
    assert!(matches!(begun[..], [Ok(Permitted::Intent(_))]), "{begun:?}");
    for refused in refused {
        assert_eq!(refused.unwrap_err().refusal.reason.code_word(), reason);
    }
}

/// Records self-tests until the ledger takes no more: how many it took, and what it said then.
async fn until_it_records_no_more(fixture: &Fixture, ledger: &Ledger) -> (usize, LedgerError) {
    for recorded in 0..1000 {
        match ledger.record_self_test(fixture.key()).await {
            Ok(test) => std::mem::forget(test),
            Err(error) => return (recorded, error),
        }
    }
    panic!("the bound was never met");
}

/// On a test's one thread, lets as many tasks run until they wait: each yield lets at least one.
async fn let_each_run(tasks: usize) {
    for _ in 0..tasks {
        tokio::task::yield_now().await;
    }
}

/// The transactions in the write-ahead log: its frames with a database size (<https://sqlite.org/fileformat2.html> §4.1).
fn commits(fixture: &Fixture) -> usize {
    let wal = fs::read(fixture.directory().join("log.sqlite-wal")).unwrap();
    let page = usize::try_from(u32::from_be_bytes(wal[8..12].try_into().unwrap())).unwrap();
    wal[32..].chunks(24 + page).filter(|frame| frame[4..8] != [0; 4] && frame[8..16] == wal[16..24]).count()
}

#[tokio::test]
async fn an_outcome_is_written_although_nobody_records_more() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    drop(fixture.intent(&ledger).await);
    let since = Instant::now();
    while fixture.entries().len() < 2 {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "the outcome waits for a record that nobody sends"
        );
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn closing_writes_what_waits_and_refuses_what_comes_later() {
    let fixture = Fixture::new();
    let ledger = fixture.open();
    let intents = [fixture.intent(&ledger).await, fixture.intent(&ledger).await];
    let late = fixture.intent(&ledger).await;
    drop(intents);
    ledger.close().await;
    assert_eq!(fixture.entries().len(), 5);
    assert!(matches!(ledger.record_self_test(fixture.key()).await, Err(LedgerError::Closed)));
    drop(late);
    ledger.close().await;
    fixture.open().close().await;
    assert_eq!(fixture.entries().len(), 5);
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_runs() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert_eq!(error.word(), "LEDGER_LOCKED");
    assert!(error.to_string().contains("another process writes ledger"), "{error}");
    ledger.close().await;
    fixture.open().close().await;
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    drop(fixture.intent(&ledger).await);
    for name in ["log.sqlite", "log.sqlite-wal", "log.sqlite-shm", "log.sqlite.lock"] {
        let mode = fs::metadata(fixture.directory().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    ledger.close().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fixture.index()), 0o700);
    let files: Vec<_> = fs::read_dir(fixture.index()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

async fn with_entries(count: usize) -> Fixture {
    let fixture = Fixture::in_file();
    let ledger = fixture.open();
    for _ in 0..count {
        std::mem::forget(fixture.intent(&ledger).await);
    }
    ledger.close().await;
    fixture
}

/// Opens a log after `sql`; it must be refused.
async fn refusal_after(sql: &str) -> LedgerError {
    let fixture = with_entries(5).await;
    fixture.sql(sql);
    Ledger::open(&fixture.config).unwrap_err()
}

const DROP_TRIGGER: &str = "DROP TRIGGER entry_is_never_removed; ";

#[tokio::test]
async fn refuses_a_log_with_a_gap() {
    for (removed, first_missing) in [("idx = 3", 3), ("idx = 0", 0), ("idx < 3", 0), ("idx IN (1, 3)", 1)] {
        let error = refusal_after(&format!("{DROP_TRIGGER} DELETE FROM entry WHERE {removed}")).await;
        assert!(matches!(error, LedgerError::Gap { index, .. } if index == first_missing), "{error}");
    }
}

#[tokio::test]
async fn refuses_a_log_of_another_signer() {
    let fixture = with_entries(1).await;
    let config = Config { origin: "other.example/log".to_owned(), ..fixture.config.clone() };
    let error = Ledger::open(&config).unwrap_err();
    assert_eq!(error.word(), "LEDGER_OTHER_ORIGIN");
    assert!(error.to_string().contains("\"test.example/log\", not of \"other.example/log\""), "{error}");
}

#[tokio::test]
async fn refuses_a_newer_schema() {
    let newer = "CREATE TABLE newer (idx INTEGER); UPDATE meta SET value = '8' WHERE name = 'schema'";
    let error = refusal_after(newer).await;
    assert!(matches!(error, LedgerError::NewerSchema { found: 8, known: 7, .. }), "{error}");
}

#[tokio::test]
async fn refuses_another_programs_database() {
    let fixture = Fixture::in_file();
    fixture.sql("CREATE TABLE other (x)");
    assert_eq!(Ledger::open(&fixture.config).unwrap_err().word(), "LEDGER_NOT_A_LEDGER");
    let journal: String = fixture.sql("").pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "delete", "it must be left as it was");
    assert_eq!(Reader::open(&fixture.config.path).unwrap_err().word(), "LEDGER_NOT_A_LEDGER");
}

#[tokio::test]
async fn refuses_a_damaged_file() {
    let fixture = with_entries(50).await;
    let mut bytes = fs::read(&fixture.config.path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&fixture.config.path, &bytes).unwrap();
    assert_eq!(Ledger::open(&fixture.config).unwrap_err().word(), "LEDGER_DAMAGED");
    fs::write(&fixture.config.path, "not a database, but long enough to look at").unwrap();
    assert_eq!(Ledger::open(&fixture.config).unwrap_err().word(), "LEDGER_NOT_A_LEDGER");
}

#[test]
fn refuses_a_missing_directory() {
    let fixture = Fixture::in_file();
    let path = fixture.directory().join("missing/log.sqlite");
    let error = Ledger::open(&Config { path, ..fixture.config.clone() }).unwrap_err();
    assert_eq!(error.word(), "LEDGER_NO_DIRECTORY");
    let path = fixture.directory().to_owned();
    assert_eq!(Ledger::open(&Config { path, ..fixture.config.clone() }).unwrap_err().word(), "LEDGER_IO");
}

#[tokio::test]
async fn the_schema_refuses_change_and_removal() {
    let fixture = with_entries(2).await;
    for sql in ["DELETE FROM entry WHERE idx = 1", "UPDATE entry SET leaf = x'00' WHERE idx = 0"] {
        let error = fixture.sql("").execute_batch(sql).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn finding_the_ends_of_a_log_does_not_read_all_of_it() {
    let fixture = with_entries(1).await;
    let connection = fixture.sql("");
    for sql in ["SELECT ifnull(min(idx), 0) FROM entry", "SELECT ifnull(max(idx), -1) + 1 FROM entry"] {
        let plan: String =
            connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), (), |row| row.get("detail")).unwrap();
        assert!(plan.starts_with("SEARCH"), "{plan}");
    }
}

#[tokio::test]
async fn reads_ranges_across_chunks_while_the_writer_writes() {
    let fixture = with_entries(600).await;
    let ledger = fixture.open();
    let reader = Reader::open(&fixture.config).unwrap();
    assert_eq!((reader.origin(), reader.len().unwrap()), ("test.example/log", 600));
    let mut entries = reader.entries(250..u64::MAX);
    assert_eq!(entries.next().unwrap().unwrap().0, 250);
    // The reader stands in the middle, and the writer does not wait for it.
    std::mem::forget(tokio::time::timeout(Duration::from_secs(5), fixture.intent(&ledger)).await.unwrap());
    assert!(entries.map(|entry| entry.unwrap().0).eq(251..601));
    let (start, end) = (20, 10);
    assert_eq!(reader.entries(start..end).count() + reader.entries(700..800).count(), 0);
}

#[tokio::test]
async fn reading_ends_at_a_missing_or_malformed_entry() {
    let fixture = with_entries(5).await;
    fixture.sql(&format!("{DROP_TRIGGER} DELETE FROM entry WHERE idx = 3"));
    let reader = Reader::open(&fixture.config).unwrap();
    let read: Vec<_> = reader.entries(1..5).collect();
    assert!(
        matches!(&read[..], [Ok((1, _)), Ok((2, _)), Err(LedgerError::Gap { index: 3, .. })]),
        "{read:?}"
    );

    fixture.sql("INSERT INTO entry VALUES (3, x'01ff')");
    let read: Vec<_> = reader.entries(2..5).collect();
    assert!(matches!(&read[..], [Ok(_), Err(LedgerError::Entry { index: 3, .. })]), "{read:?}");
}
