//! What a fleet of signers in one database promises, on a real server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Instant;

use base64ct::{Base64, Encoding};
use test_postgres::{Cut, Database, Proxy, Server, Stop};

use super::*;
use crate::causes::in_one_line;
use crate::key::KeyName;
use crate::ledger::fixture::{intent, use_database};
use crate::policy::Refusal;
use crate::sign::{Request, Signed};

mod claims;
mod lost;
mod place;
mod roles;
mod standby;

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// One policy and CA key, and two signers of one database.
struct Fleet {
    fixture: Fixture,
    database: Database,
    other: Config,
}

impl Fleet {
    fn new() -> Self {
        Self::on(Server::shared())
    }

    fn on(server: &Server) -> Self {
        let (mut fixture, database) = (Fixture::in_file(), server.database());
        use_database(&mut fixture.config, &database);
        let (path, origin) = (fixture.directory().join("other"), "other.example/log".to_owned());
        let other = Config { path, origin, ..fixture.config.clone() };
        Self { fixture, database, other }
    }

    /// Has each signer have a role of its own, with what the manual grants.
    fn use_roles(&mut self) -> Roles {
        let manual = include_str!("../../../docs/ledger.md");
        let grants =
            manual.split("```sql\n").find(|block| block.starts_with("CREATE ROLE countersign_signer"));
        let grants = grants.unwrap().split("```").next().unwrap();
        let named = |name: &str| format!("{name}_{}", self.database.name());
        let [signers, one, other] = ["signers", "one", "other"].map(named);
        let on = format!("ON DATABASE {}", self.database.name());
        let grants = grants.replace("ON DATABASE countersign", &on).replace("countersign_signer", &signers);
        let grants = grants.replace("countersign_one", &one).replace("countersign_two", &other);
        self.database.sql(postgres::SCHEMA);
        self.database.sql(&grants);
        for (config, role) in [(&mut self.fixture.config, &one), (&mut self.other, &other)] {
            let connection = self.database.connection_as(role);
            let database = postgres::Config::new(&connection, None, None, Duration::from_secs(5)).unwrap();
            config.postgres = Some(Arc::new(database));
        }
        Roles { database: self.database.clone(), signers, one, other }
    }

    fn open(&self) -> (Ledger, Ledger) {
        (self.fixture.open(), self.open_other())
    }

    fn open_other(&self) -> Ledger {
        fixture::open(&self.other)
    }

    fn entries(config: &Config) -> Vec<Entry> {
        let reader = Reader::open(config).unwrap();
        reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect()
    }

    /// Signs, and waits until the outcome is in the log.
    async fn sign(&self, ledger: &Ledger, request: Request) -> Signed {
        let intent = intent(self.fixture.record(ledger, request).await);
        let signature = self.fixture.sign(&intent);
        let signed = ledger.settle(intent, signature).unwrap();
        ledger.queue.settled().await;
        signed
    }

    async fn refusal(&self, ledger: &Ledger, request: Request) -> Refusal {
        self.fixture.record(ledger, request).await.permitted().unwrap_err().refusal
    }

    async fn word(&self, ledger: &Ledger, request: Request) -> &'static str {
        self.refusal(ledger, request).await.reason.code_word()
    }
}

/// What a signer's session may do, each in its own name.
struct Roles {
    database: Database,
    signers: String,
    one: String,
    other: String,
}

impl Drop for Roles {
    /// They are of the server, which has other tests' databases, too.
    fn drop(&mut self) {
        let Self { database, signers, one, other } = self;
        database.sql(END_SESSIONS);
        database
            .sql(&format!("DROP OWNED BY {signers}, {one}, {other}; DROP ROLE {signers}, {one}, {other}"));
    }
}

/// The same certificate, asked for without a request id.
fn anew(request: &Request) -> Request {
    Request { request_id: None, ..request.clone() }
}

#[tokio::test]
async fn an_answer_of_one_signer_is_given_again_by_another() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    let first = fleet.sign(&one, request.clone()).await;
    let again = match fleet.fixture.record(&other, request.clone()).await.permitted().unwrap() {
        Permitted::Replay(replay) => replay.verify().unwrap(),
        Permitted::Intent(intent) => panic!("signed twice: {intent:?}"),
    };
    assert_eq!((again.signature, again.receipt), (first.signature, first.receipt));
    assert_eq!((first.log.as_deref(), again.log.as_deref()), (None, Some("test.example/log")));
    assert!(Fleet::entries(&fleet.other).is_empty(), "its answer is in the other log");
    let other_bytes = Request { request_id: request.request_id, ..fleet.fixture.request("alice") };
    assert_eq!(fleet.word(&other, other_bytes).await, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn what_another_signer_works_on_is_not_signed_here() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    let first = intent(fleet.fixture.record(&one, request.clone()).await);
    let refusal = fleet.refusal(&other, request.clone()).await;
    assert_eq!(refusal.reason.code_word(), "REQUEST_IN_PROGRESS");
    assert!(refusal.message.contains("signer test.example/log is working on"), "{}", refusal.message);
    assert_eq!(fleet.word(&other, anew(&request)).await, "SERIAL_REUSED");
    // It ends without an outcome; nobody knows whether its answer left.
    std::mem::forget(first);
    one.close().await;
    assert_eq!(fleet.word(&other, request.clone()).await, "REQUEST_IN_PROGRESS");
    let one = fleet.fixture.open();
    assert_eq!(fleet.word(&other, request.clone()).await, "REQUEST_OUTCOME_UNKNOWN");
    assert_eq!(fleet.word(&one, request.clone()).await, "REQUEST_OUTCOME_UNKNOWN");
    assert_eq!(fleet.word(&one, anew(&request)).await, "SERIAL_REUSED");
}

#[tokio::test]
async fn what_failed_at_one_signer_is_free_at_another() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    drop(intent(fleet.fixture.record(&one, request.clone()).await));
    one.queue.settled().await;
    fleet.sign(&other, request.clone()).await;
    assert!(matches!(
        fleet.fixture.record(&one, request.clone()).await.permitted().unwrap(),
        Permitted::Replay(_)
    ));
    assert_eq!(fleet.word(&one, anew(&request)).await, "SERIAL_REUSED");
}

#[tokio::test]
async fn of_many_with_one_serial_at_two_signers_one_is_begun() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    for serial in 1..=10 {
        let both = [&one, &other].map(|ledger| {
            let decision = fleet.fixture.decide(anew(&fleet.fixture.request_with_serial(serial)));
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.record(decision).await.unwrap().permitted() })
        });
        let mut begun = 0;
        for record in both {
            match record.await.unwrap() {
                Ok(intent) => {
                    begun += 1;
                    drop(intent);
                }
                Err(refused) => assert_eq!(refused.refusal.reason.code_word(), "SERIAL_REUSED"),
            }
        }
        assert_eq!(begun, 1, "serial {serial}");
    }
}

#[tokio::test]
async fn whatever_isolation_is_the_default_a_turn_sees_what_was_committed_before_it() {
    let fleet = Fleet::new();
    let name = fleet.database.name();
    fleet.database.sql(&format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"));
    let (one, other) = fleet.open();
    let blocked = fixture::block(&fleet.fixture.config);
    let request = anew(&fleet.fixture.request("alice"));
    let both = [&one, &other].map(|ledger| {
        let (ledger, decision) = (ledger.clone(), fleet.fixture.decide(request.clone()));
        tokio::spawn(async move { ledger.record(decision).await.map(Recorded::permitted) })
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while fleet.database.sql(waits) != "2" {
        tokio::task::yield_now().await;
    }
    drop(blocked);
    let mut begun = Vec::new();
    for record in both {
        match record.await.unwrap().unwrap() {
            Ok(intent) => begun.push(intent),
            Err(refused) => assert_eq!(refused.refusal.reason.code_word(), "SERIAL_REUSED"),
        }
    }
    assert_eq!(begun.len(), 1, "{begun:?}");
}

#[tokio::test]
async fn a_budget_and_a_freeze_are_of_all_signers_together() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let policy = Fixture::policy(|text| {
        text.replace("budget = \"1000/h\"", "budget = \"4/h\"\nfreeze_after = \"2/h\"")
    });
    let word = async |ledger: &Ledger| {
        let decision = fleet.fixture.decide_by(&policy, fleet.fixture.request("alice"));
        match ledger.record(decision).await.unwrap().permitted() {
            Ok(_) => "OK",
            Err(refused) => refused.refusal.reason.code_word(),
        }
    };
    for ledger in [&one, &other, &one, &other] {
        assert_eq!(word(ledger).await, "OK");
    }
    for ledger in [&one, &other] {
        assert_eq!(word(ledger).await, "BUDGET_EXHAUSTED");
    }
    for ledger in [&one, &other] {
        assert_eq!(word(ledger).await, "FROZEN");
    }
    // It was the second who froze it; the first lets it go on, and says what by an entry of its own.
    let thaw = Thaw {
        key: KeyName::new("user-ca").unwrap(),
        caller: CallerName::parse("uid:1000").unwrap(),
        by: CallerName::parse("uid:0").unwrap(),
        why: "looked into it".to_owned(),
    };
    let receipt = one.thaw(thaw.clone()).await.unwrap().unwrap();
    assert!(one.thaw(thaw).await.unwrap().is_none(), "thawed once");
    // The other's own log has the freeze alone, and what is asked for now, by a profile with something left, is right all the same.
    let profile = Fixture::policy(|text| text.replace("allow.staff", "allow.night"));
    let decision = fleet.fixture.decide_by(&profile, fleet.fixture.request("alice"));
    other.record(decision).await.unwrap().permitted().unwrap();
    assert_eq!(wrong(&audited(&fleet.other)), []);
    let again = [word(&one).await, word(&other).await, word(&one).await];
    assert_eq!(again, ["BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED", "FROZEN"], "counted anew, together");
    let entries = Fleet::entries(&fleet.fixture.config);
    let thawed = &entries[usize::try_from(receipt.index).unwrap()];
    let Entry::Thaw { freeze, .. } = thawed else { panic!("{thawed:?}") };
    let freeze = &entries[usize::try_from(*freeze).unwrap()];
    assert!(matches!(freeze, Entry::Freeze { requests: 2, .. }), "{freeze:?}");
    let there = Fleet::entries(&fleet.other);
    assert!(there.iter().any(|entry| matches!(entry, Entry::Freeze { .. })), "{there:?}");
}

#[tokio::test]
async fn a_claim_of_a_signer_that_is_not_there_is_not_free() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    fleet.sign(&one, request.clone()).await;
    fleet.database.sql("UPDATE countersign.serial SET signer = 9999");
    let error = other.record(fleet.fixture.decide(anew(&request))).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("a claim is of signer 9999"), "{said}");
}

#[tokio::test]
async fn a_subject_key_that_one_signer_bars_is_certified_by_none() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    fleet.sign(&other, request.clone()).await;
    let tbs = countersign_tbs::Tbs::parse(request.kind, &request.bytes).unwrap();
    let revocation = Revocation {
        key: Arc::clone(fleet.fixture.key()),
        what: entry::Revoked::SubjectKey(entry::subject_key(&tbs).unwrap()),
        reason: entry::RevocationReason::KeyCompromise,
        in_ledger: false,
        by: CallerName::parse("uid:0").unwrap(),
        why: "a test".to_owned(),
    };
    one.revoke(revocation).await.unwrap();
    for ledger in [&one, &other] {
        assert_eq!(fleet.word(ledger, anew(&request)).await, "SUBJECT_KEY_REVOKED");
    }
    other.close().await;
    assert_eq!(fleet.word(&fleet.open_other(), anew(&request)).await, "SUBJECT_KEY_REVOKED");
}

#[tokio::test]
async fn a_schema_1_is_brought_up_to_date_with_what_it_bars() {
    let fleet = Fleet::new();
    fleet.database.sql(include_str!("../postgres/schema.sql"));
    let request = fleet.fixture.request("alice");
    let tbs = Tbs::parse(request.kind, &request.bytes).unwrap();
    let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
    let (ca_key, subject) = (fleet.fixture.key().spki_sha256(), entry::subject_key(&tbs).unwrap());
    fleet.database.sql(&format!(
        "INSERT INTO countersign.barred VALUES ('\\x{}', '\\x{}', 1, 0)",
        hex(ca_key),
        hex(subject)
    ));
    let one = fleet.fixture.open();
    assert_eq!(fleet.database.sql("SELECT schema FROM countersign.meta"), "3");
    assert_eq!(fleet.word(&one, request).await, "SUBJECT_KEY_REVOKED");
}

#[tokio::test]
async fn a_member_writes_no_reason_that_a_list_cannot_give() {
    let schema_2 = concat!(include_str!("../postgres/schema.sql"), include_str!("../postgres/schema_2.sql"));
    for begun in [postgres::SCHEMA, schema_2] {
        let fleet = Fleet::new();
        fleet.database.sql(begun);
        fleet.fixture.open().close().await;
        assert_eq!(fleet.database.sql("SELECT schema FROM countersign.meta"), "3");
        let known = "unspecified key-compromise ca-compromise affiliation-changed superseded cessation-of-operation \
                     privilege-withdrawn";
        for (word, is_known) in
            known.split(' ').map(|word| (word, true)).chain([("certificate-hold", false), ("", false)])
        {
            assert_eq!(word.parse::<entry::RevocationReason>().is_ok(), is_known, "{word}");
            for row in [
                format!("revoked (ca_key, serial, reason, since, signer) VALUES ('a', 'b', '{word}', 0, 1)"),
                format!("revoked_subject VALUES ('a', 'b', '{word}', 1)"),
            ] {
                let insert = format!("INSERT INTO countersign.{row}");
                if is_known {
                    fleet.database.sql(&insert);
                } else {
                    let said = fleet.database.sql_error("postgres", &insert);
                    assert!(said.contains("reason_is_known"), "{said}");
                }
            }
        }
    }
}

#[test]
fn a_server_that_would_lose_what_it_committed_is_refused() {
    let server = Server::start(&[("fsync", "off")]);
    let fleet = Fleet::on(&server);
    let error = Ledger::open(&fleet.fixture.config).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("its setting fsync is off"), "{said}");
    server.stop(Stop::Fast);
    server.configure("fsync = on\nsynchronous_commit = off\n");
    server.run();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ledger = fleet.fixture.open();
        drop(fleet.fixture.intent(&ledger).await);
        ledger.close().await;
    });
}

#[tokio::test]
async fn the_log_and_its_local_files_are_made_anew_from_the_database() {
    let fleet = Fleet::new();
    let ledger = fleet.fixture.open();
    let request = fleet.fixture.request("alice");
    fleet.sign(&ledger, request.clone()).await;
    ledger.close().await;
    fs::remove_dir_all(fleet.fixture.index()).unwrap();
    let ledger = fleet.fixture.open();
    assert_eq!(ledger.tiles.entries(), 2);
    assert_eq!(fleet.word(&ledger, anew(&request)).await, "SERIAL_REUSED");
    ledger.close().await;
    // An index that knows more is a witness: a stand-by that had not everything was promoted.
    fleet.database.sql(
        "DROP TRIGGER entry_is_never_changed ON countersign.entry; DELETE FROM countersign.entry WHERE idx = 2",
    );
    assert_eq!(Ledger::open(&fleet.fixture.config).unwrap_err().word(), "LEDGER_OLDER_COPY");
}

/// Whoever writes the database can name another log in it.
#[tokio::test]
async fn whoever_verifies_is_told_that_intents_of_who_is_frozen_were_not_looked_for_and_why_not() {
    let fleet = Fleet::new();
    fleet.fixture.open().close().await;
    let (caller, key, rule) = (b"uid:1000".to_vec(), b"user-ca".to_vec(), "a rule".to_owned());
    let (time, since) = (UnixMillis(2), UnixMillis(1));
    let freeze = Entry::Freeze { time, caller, key, rule, requests: 3, since }.encode().unwrap();
    let freeze = Base64::encode_string(&freeze);
    fleet.database.sql(&format!(
        "INSERT INTO countersign.entry (signer, idx, leaf) SELECT id, 0, decode('{freeze}', 'base64') FROM countersign.signer"
    ));
    let config = &fleet.fixture.config;
    assert!(!audited(config).frozen_unchecked);
    fleet.database.sql("INSERT INTO countersign.signer (origin) VALUES ('another')");
    assert!(audited(config).frozen_unchecked);
    let reader = Reader::open(config).unwrap();
    fleet.database.sql("ALTER TABLE countersign.signer RENAME COLUMN origin TO name");
    let error = audited_by(reader).unwrap_err();
    assert!(in_one_line(&error).contains("looking for other logs"), "{error:?}");
}
