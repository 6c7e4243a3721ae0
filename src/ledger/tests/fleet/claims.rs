//! What `verify` says of rows of claims and outcomes that are not as the log has them.

use super::*;

/// Entries that are wrong, with the word for it.
type Wrong = Vec<(u64, &'static str)>;

fn found(config: &Config) -> Wrong {
    wrong(&audited_at(config, UnixMillis::now()))
}

impl Fleet {
    /// What is wrong with the first log, and with the other.
    fn found(&self) -> [Wrong; 2] {
        [&self.fixture.config, &self.other].map(found)
    }

    /// What is wrong with the first log after each change of a table, which is as it was in between.
    fn changes_are_named(&self, changes: &[(&str, &str, Wrong)]) {
        for (table, change, wrong) in changes {
            self.database.sql(&format!("CREATE TABLE before AS SELECT * FROM countersign.{table}"));
            self.database.sql(&format!("SET search_path = countersign; {change}"));
            assert_eq!(self.found(), [wrong.clone(), vec![]], "{change}");
            self.database.sql(&format!(
                "DELETE FROM countersign.{table}; INSERT INTO countersign.{table} SELECT * FROM before; DROP TABLE before"
            ));
        }
        assert_eq!(self.found(), [vec![], vec![]]);
    }

    /// It fails before any token has it.
    async fn fail(&self, ledger: &Ledger, request: &Request) {
        drop(intent(self.fixture.record(ledger, request.clone()).await));
        ledger.queue.settled().await;
    }

    async fn close(&self, ledgers: [Ledger; 2]) {
        for ledger in ledgers {
            ledger.close().await;
        }
    }
}

#[tokio::test]
async fn a_claim_or_an_outcome_that_has_no_row_or_one_of_another_entry_is_named() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    for ledger in [&one, &one, &other] {
        fleet.sign(ledger, fleet.fixture.request("alice")).await;
    }
    fleet.close([one, other]).await;
    let own = "signer = (SELECT id FROM signer WHERE origin = 'test.example/log')";
    let kept = |index| vec![(index, "NOT_KEPT")];
    for table in ["serial", "request"] {
        let changes = [
            (format!("DELETE FROM {table} WHERE {own} AND intent = 2"), kept(2)),
            // What it leads to is before it; is another's later on; is an outcome; is not there; is of another log; of none.
            (format!("UPDATE {table} SET intent = 0 WHERE {own} AND intent = 2"), kept(2)),
            (format!("UPDATE {table} SET intent = 2 WHERE {own} AND intent = 0"), kept(0)),
            (format!("UPDATE {table} SET intent = 3 WHERE {own} AND intent = 2"), kept(2)),
            (format!("UPDATE {table} SET intent = 1000 WHERE {own} AND intent = 2"), kept(2)),
            (
                format!(
                    "UPDATE {table} SET intent = 0, signer = (SELECT id FROM signer WHERE origin = 'other.example/log') \
                     WHERE {own} AND intent = 2"
                ),
                kept(2),
            ),
            (format!("UPDATE {table} SET signer = 9999 WHERE {own} AND intent = 2"), kept(2)),
        ];
        let changes: Vec<_> =
            changes.iter().map(|(change, wrong)| (table, &**change, wrong.clone())).collect();
        fleet.changes_are_named(&changes);
    }
    let (gone, moved) = (
        format!("DELETE FROM outcome WHERE {own} AND intent = 2"),
        format!("UPDATE outcome SET idx = 1 WHERE {own} AND intent = 2"),
    );
    fleet.changes_are_named(&[("outcome", &gone, kept(3)), ("outcome", &moved, kept(3))]);
}

#[tokio::test]
async fn a_fleet_in_which_claims_were_taken_over_as_they_may_be_has_nothing_wrong() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    for ledger in [&one, &one, &other, &one, &other] {
        fleet.fail(ledger, &request).await;
    }
    fleet.sign(&one, request.clone()).await;
    // A request id that failed is free for other bytes, too.
    let again = fleet.fixture.request("alice");
    fleet.fail(&one, &again).await;
    let bytes = Request { request_id: again.request_id, ..fleet.fixture.request("alice") };
    fleet.fail(&other, &bytes).await;
    fleet.sign(&one, bytes).await;
    // One that nobody ends.
    std::mem::forget(fleet.fixture.intent(&other).await);
    assert_eq!(fleet.found(), [vec![], vec![]]);
    fleet.close([one, other]).await;
    assert_eq!(fleet.found(), [vec![], vec![]]);
}

#[tokio::test]
async fn of_more_claims_than_are_compared_at_once_each_is() {
    let fleet = Fleet::new();
    let ledger = fleet.fixture.open();
    fleet.fail(&ledger, &fleet.fixture.request("alice")).await;
    ledger.close().await;
    fleet.database.sql(
        "INSERT INTO countersign.entry SELECT signer, n, leaf FROM countersign.entry, generate_series(2, 1200) n WHERE idx = 0",
    );
    let mut report = audited(&fleet.fixture.config);
    let before = report.findings.total();
    report.compare_kept(&Reader::open(&fleet.fixture.config).unwrap(), UnixMillis::now());
    // The serial and the request id of each, whose rows lead to the first.
    assert_eq!((report.stopped.is_none(), report.findings.total() - before), (true, 2 * 1199));
}

#[tokio::test]
async fn what_was_taken_over_since_the_log_was_read_is_not_wrong() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    let open = intent(fleet.fixture.record(&one, request.clone()).await);
    let mut report = audited(&fleet.fixture.config);
    drop(open);
    one.queue.settled().await;
    fleet.sign(&other, request).await;
    report.compare_kept(&Reader::open(&fleet.fixture.config).unwrap(), UnixMillis::now());
    assert_eq!((report.entries, wrong(&report)), (1, vec![]));
    fleet.close([one, other]).await;
}

#[tokio::test]
async fn a_serial_that_two_logs_have_signed_is_named_by_the_one_that_its_row_does_not_lead_to() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = anew(&fleet.fixture.request_with_serial(7));
    fleet.sign(&one, request.clone()).await;
    fleet.database.sql("DELETE FROM countersign.serial");
    fleet.sign(&other, request).await;
    fleet.close([one, other]).await;
    assert_eq!(fleet.found(), [vec![(0, "SERIAL")], vec![]]);
    let report = audited_at(&fleet.fixture.config, UnixMillis::now());
    let said = report.findings.first()[0].what.to_string();
    assert!(said.contains("has the serial of entry 0 of the log \"other.example/log\""), "{said}");
}

#[tokio::test]
async fn a_serial_of_other_bytes_in_another_log_is_named_though_nobody_has_the_first() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    fleet.fail(&one, &anew(&fleet.fixture.request_with_serial(7))).await;
    fleet.database.sql("DELETE FROM countersign.serial");
    fleet.sign(&other, anew(&fleet.fixture.request_with_serial(7))).await;
    fleet.close([one, other]).await;
    assert_eq!(fleet.found(), [vec![(0, "SERIAL")], vec![]]);
}

#[tokio::test]
async fn a_claim_of_what_was_signed_that_leads_back_to_what_failed_is_named() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    fleet.fail(&other, &request).await;
    fleet.fail(&one, &request).await;
    fleet.sign(&one, request).await;
    fleet.close([one, other]).await;
    let back = "SET intent = 0, signer = (SELECT id FROM signer WHERE origin = 'other.example/log')";
    fleet.changes_are_named(&[
        ("serial", &format!("UPDATE serial {back}"), vec![(2, "SERIAL")]),
        ("request", &format!("UPDATE request {back}"), vec![(2, "NOT_KEPT")]),
        ("serial", "UPDATE serial SET intent = 0", vec![(2, "NOT_KEPT")]),
        ("request", "UPDATE request SET intent = 0", vec![(2, "NOT_KEPT")]),
    ]);
}

#[tokio::test]
async fn a_thaw_by_another_log_is_one_and_a_caller_that_is_thawed_by_no_entry_is_named() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    let policy = Fixture::policy(|text| text.replace("\"1000/h\"", "\"1/h\"\nfreeze_after = \"1/h\""));
    let ask = async |ledger: &Ledger| {
        let decision = fleet.fixture.decide_by(&policy, fleet.fixture.request("alice"));
        drop(ledger.record(decision).await.unwrap().permitted());
    };
    ask(&one).await;
    one.queue.settled().await;
    // The first log freezes twice; of its first freeze the other takes back a copy.
    ask(&one).await;
    let is_frozen = || fleet.database.sql("SELECT count(frozen) FROM countersign.standing");
    assert_eq!((is_frozen(), fleet.found()), ("1".to_owned(), [vec![], vec![]]));
    let thaw = Thaw {
        key: KeyName::new("user-ca").unwrap(),
        caller: CallerName::parse("uid:1000").unwrap(),
        by: CallerName::parse("uid:0").unwrap(),
        why: "looked into it".to_owned(),
    };
    other.thaw(thaw).await.unwrap().unwrap();
    assert_eq!((is_frozen(), fleet.found()), ("0".to_owned(), [vec![], vec![]]));
    ask(&one).await;
    assert_eq!((is_frozen(), fleet.found()), ("1".to_owned(), [vec![], vec![]]));
    fleet.close([one, other]).await;
    let entries = Fleet::entries(&fleet.fixture.config);
    let last = entries.iter().rposition(|entry| matches!(entry, Entry::Freeze { .. })).unwrap();
    let wrong = vec![(u64::try_from(last).unwrap(), "NOT_KEPT")];
    fleet.changes_are_named(&[
        ("standing", "DELETE FROM standing", wrong.clone()),
        ("standing", "UPDATE standing SET frozen = NULL, frozen_by = NULL", wrong),
    ]);
}

#[tokio::test]
async fn a_request_id_that_has_had_two_answers_is_named_by_the_first() {
    let fleet = Fleet::new();
    let (one, other) = fleet.open();
    for ledger in [&one, &one, &other] {
        fleet.database.sql("DELETE FROM countersign.request");
        let request_id = Some(crate::sign::RequestId::new("once".to_owned()).unwrap());
        fleet.sign(ledger, Request { request_id, ..fleet.fixture.request("alice") }).await;
    }
    fleet.close([one, other]).await;
    // Of one log that shows without any row.
    let found = vec![(0, "NOT_KEPT"), (2, "REQUEST_ID"), (2, "NOT_KEPT")];
    assert_eq!(fleet.found(), [found, vec![]]);
}
