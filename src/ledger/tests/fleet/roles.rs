//! What the database's roles may do, and what nobody may.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn the_database_refuses_change_and_removal_of_entries() {
    let fleet = Fleet::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ledger = fleet.fixture.open();
        drop(fleet.fixture.intent(&ledger).await);
        ledger.close().await;
    });
    for sql in [
        "UPDATE countersign.entry SET leaf = 'x'",
        "DELETE FROM countersign.entry",
        "TRUNCATE countersign.entry",
    ] {
        let said = fleet.database.sql_error("postgres", sql);
        assert!(said.contains("the ledger is append-only"), "{said}");
    }
}

#[tokio::test]
async fn a_role_with_what_the_manual_grants_suffices_and_can_remove_nothing() {
    let mut fleet = Fleet::new();
    let roles = fleet.use_roles();
    let (one, other) = fleet.open();
    let request = fleet.fixture.request("alice");
    fleet.sign(&one, request.clone()).await;
    assert!(fleet.fixture.record(&other, request).await.permitted().is_ok());
    fleet.fixture.record(&other, fleet.fixture.request("root")).await.permitted().unwrap_err();
    // What failed at one is free at the other, which takes the claim over.
    let request = fleet.fixture.request("alice");
    drop(intent(fleet.fixture.record(&one, request.clone()).await));
    one.queue.settled().await;
    fleet.sign(&other, request).await;
    // A new session after the one before was lost ends that one's server process, if it is there still.
    fleet.database.sql(END_SESSIONS);
    fleet.sign(&one, fleet.fixture.request("alice")).await;
    for sql in [
        "DELETE FROM countersign.entry",
        "UPDATE countersign.entry SET idx = 7",
        "TRUNCATE countersign.entry",
        "DROP TRIGGER entry_is_never_changed ON countersign.entry",
        "DELETE FROM countersign.serial",
        "DELETE FROM countersign.revoked",
        "UPDATE countersign.revoked SET not_after = 0",
        "DELETE FROM countersign.revocation",
        "DELETE FROM countersign.revoked_subject",
        "DELETE FROM countersign.signer",
        "UPDATE countersign.signer SET origin = 'x'",
        "UPDATE countersign.signer SET role = current_user",
        "CREATE TABLE countersign.other (x int)",
    ] {
        let said = fleet.database.sql_error(&roles.one, sql);
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{sql}: {said}");
    }
    // Whoever may connect may hold the lock that all wait for.
    let stranger = format!("stranger_of_{}", fleet.database.name());
    fleet.database.sql(&format!("CREATE ROLE {stranger} LOGIN"));
    let said = fleet.database.sql_error(&stranger, "SELECT pg_advisory_lock(x'6373676e'::int4, 0)");
    fleet.database.sql(&format!("DROP ROLE {stranger}"));
    assert!(said.contains("permission denied for database"), "{said}");
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_signers_role_writes_into_no_other_log_and_fences_nobody() {
    let mut fleet = Fleet::new();
    let roles = fleet.use_roles();
    let (one, other) = fleet.open();
    fleet.sign(&one, fleet.fixture.request("alice")).await;
    let victim = "(SELECT id FROM countersign.signer WHERE origin = 'test.example/log')";
    for sql in [
        "INSERT INTO countersign.entry VALUES (VICTIM, 2, 'x')",
        "INSERT INTO countersign.entry VALUES (VICTIM, 1::bigint << 62, 'x')",
        "INSERT INTO countersign.outcome VALUES (VICTIM, 7, 8)",
        "INSERT INTO countersign.request VALUES ('a', 'b', VICTIM, 0)",
        "INSERT INTO countersign.serial VALUES ('a', 'b', VICTIM, 0)",
        "INSERT INTO countersign.crl_number VALUES ('a', 'complete', 'b', VICTIM, 0)",
        "INSERT INTO countersign.revoked VALUES ('a', 'b', 'c', 0, 0, false, VICTIM)",
        "INSERT INTO countersign.revocation VALUES (VICTIM, 0)",
        "INSERT INTO countersign.revoked_subject VALUES ('a', 'b', 'c', VICTIM)",
        "UPDATE countersign.serial SET signer = 9999",
        "UPDATE countersign.request SET signer = 9999",
    ] {
        let said = fleet.database.sql_error(&roles.other, &sql.replace("VICTIM", victim));
        assert!(said.contains("violates row-level security policy"), "{sql}: {said}");
    }
    let epochs = || fleet.database.sql("SELECT epoch FROM countersign.signer ORDER BY id");
    let before = epochs();
    let raised = fleet.database.sql_as(
        &roles.other,
        "WITH raised AS (UPDATE countersign.signer SET epoch = epoch + 1 WHERE origin = 'test.example/log' RETURNING id) \
         SELECT count(*) FROM raised",
    );
    assert_eq!((raised.as_str(), epochs()), ("0", before));
    fleet.sign(&one, fleet.fixture.request("alice")).await;
    one.close().await;
    other.close().await;
    // Nor does it open it.
    let stolen = Config { postgres: fleet.other.postgres.clone(), ..fleet.fixture.config.clone() };
    let error = Ledger::open(&stolen).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("the log of test.example/log is another role's"), "{said}");
}

#[test]
fn a_role_that_may_not_bring_a_schema_up_to_date_is_told_what_to_do() {
    let mut fleet = Fleet::new();
    let _roles = fleet.use_roles();
    for schema in [1, 2] {
        fleet.database.sql(&format!("UPDATE countersign.meta SET schema = {schema}"));
        for error in
            [Ledger::open(&fleet.fixture.config).unwrap_err(), Reader::open(&fleet.other).unwrap_err()]
        {
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(said.contains(&format!("countersign ledger schema --since {schema} | psql")), "{said}");
        }
    }
}

#[test]
fn a_role_that_may_make_no_schema_is_told_what_to_do() {
    let mut fleet = Fleet::new();
    let role = format!("stranger_{}", fleet.database.name());
    fleet.database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let connection = fleet.database.connection_as(&role);
    let database = postgres::Config::new(&connection, None, None, Duration::from_secs(5)).unwrap();
    fleet.fixture.config.postgres = Some(Arc::new(database));
    let error = Ledger::open(&fleet.fixture.config).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.word(), "LEDGER_DATABASE");
    assert!(said.contains("countersign ledger schema | psql"), "{said}");
}
