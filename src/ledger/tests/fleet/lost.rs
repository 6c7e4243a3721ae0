//! Sessions, answers and servers that are lost, or hang.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const PAGE: Page = Page { entries: 100, bytes: 1 << 20 };

#[tokio::test]
async fn a_session_that_was_lost_is_replaced_and_nobody_notices() {
    let fleet = Fleet::new();
    let ledger = fleet.fixture.open();
    for index in [0, 2, 4] {
        let intent = fleet.fixture.intent(&ledger).await;
        assert_eq!(intent.receipt().index, index);
        drop(intent);
        ledger.queue.settled().await;
        let read = async || ledger.live().read(|archive| archive.entries(0..9, PAGE)).await.unwrap().len();
        assert_eq!(u64::try_from(read().await).unwrap(), index + 2);
        fleet.database.sql(END_SESSIONS);
    }
}

#[tokio::test]
async fn a_commit_that_was_not_answered_is_told_to_nobody_and_written_once() {
    let server = Server::shared();
    for cut in [Cut::Before, Cut::After] {
        let mut fleet = Fleet::on(server);
        let proxy = Proxy::new(server);
        use_database(&mut fleet.fixture.config, &proxy.database(&fleet.database));
        let ledger = fleet.fixture.open();
        let first = fleet.fixture.intent(&ledger).await;
        let request = fleet.fixture.request("alice");
        let decision = fleet.fixture.decide(request.clone());
        proxy.cut(cut);
        // Its outcome is in the transaction that is cut, or in the next: nothing that takes time comes between.
        drop(first);
        let error = ledger.record(decision).await.unwrap_err();
        assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(said.contains("whether it has the last entries is not known yet"), "{said}");
        // Whoever was told nothing may ask again, and there is one answer.
        fleet.sign(&ledger, request).await;
        ledger.close().await;
        let entries = Fleet::entries(&fleet.fixture.config);
        let outcomes: Vec<_> =
            entries.iter().filter(|entry| matches!(entry, Entry::Outcome { .. })).collect();
        let intents = entries.iter().filter(|entry| matches!(entry, Entry::Intent { .. })).count();
        match cut {
            Cut::Before => assert_eq!((intents, outcomes.len()), (2, 2), "{entries:?}"),
            Cut::After => assert_eq!((intents, outcomes.len()), (3, 3), "{entries:?}"),
        }
        let settled: BTreeSet<u64> = outcomes.iter().map(|entry| outcome_of(entry).0).collect();
        assert_eq!(settled.len(), outcomes.len(), "each has one: {entries:?}");
        let abandoned = outcomes.iter().filter(|entry| *outcome_of(entry).1 == Outcome::Abandoned);
        assert_eq!(abandoned.count(), outcomes.len() - 1, "{entries:?}");
    }
}

#[tokio::test]
async fn a_batch_takes_three_round_trips_whatever_is_in_it() {
    let server = Server::shared();
    let mut fleet = Fleet::on(server);
    let proxy = Proxy::new(server);
    use_database(&mut fleet.fixture.config, &proxy.database(&fleet.database));
    let ledger = fleet.fixture.open();
    std::mem::forget(fleet.fixture.intent(&ledger).await);
    let blocked = fixture::block(&fleet.fixture.config);
    let before = proxy.said();
    let records: Vec<_> = (0..300)
        .map(|_| {
            let (ledger, decision) = (ledger.clone(), fleet.fixture.decide(fleet.fixture.request("alice")));
            tokio::spawn(async move { ledger.record(decision).await.map(std::mem::forget) })
        })
        .collect();
    let_each_run(records.len()).await;
    drop(blocked);
    for record in records {
        record.await.unwrap().unwrap();
    }
    // The writer may have taken the first alone, and then some; what is sent may arrive in pieces.
    let said = proxy.said() - before;
    assert!(said < 60, "{said}");
    assert_eq!(fleet.fixture.entries().len(), 301);
}

#[tokio::test]
async fn a_database_that_is_gone_fails_requests_and_service_returns_by_itself() {
    let server = Server::start(&[]);
    let fleet = Fleet::on(&server);
    let (one, other) = fleet.open();
    for stop in [Stop::Fast, Stop::Immediate] {
        std::mem::forget(fleet.fixture.intent(&one).await);
        server.stop(stop);
        let asked = Instant::now();
        for ledger in [&one, &other] {
            let decision = fleet.fixture.decide(fleet.fixture.request("alice"));
            let error = ledger.record(decision).await.unwrap_err();
            assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
            assert!(!ledger.is_writable());
            let why = ledger.refuses();
            assert!(matches!(why, Some(LedgerError::DatabaseUnavailable { .. })), "{why:?}");
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        server.run();
        for ledger in [&one, &other] {
            let recorded =
                async || ledger.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.ok();
            while recorded().await.is_none() {
                tokio::task::yield_now().await;
            }
            assert!(ledger.is_writable() && ledger.refuses().is_none());
        }
    }
    for (ledger, config) in [(one, &fleet.fixture.config), (other, &fleet.other)] {
        ledger.close().await;
        assert!(!Fleet::entries(config).is_empty());
    }
}

#[tokio::test]
async fn a_database_that_hangs_fails_requests_within_its_timeout() {
    let mut fleet = Fleet::new();
    let connection = fleet.database.connection();
    let timeout = Duration::from_secs(1);
    fleet.fixture.config.postgres =
        Some(Arc::new(postgres::Config::new(&connection, None, None, timeout).unwrap()));
    let ledger = fleet.fixture.open();
    std::mem::forget(fleet.fixture.intent(&ledger).await);
    let blocked = fixture::block(&fleet.fixture.config);
    let asked = Instant::now();
    let error = ledger.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.unwrap_err();
    assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop(blocked);
    while ledger.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A commit that waits for a stand-by which is not there, under load of one record.
async fn waiting(fleet: &Fleet, ledger: &Ledger) -> tokio::task::JoinHandle<Result<(), LedgerError>> {
    let (ledger, decision) = (ledger.clone(), fleet.fixture.decide(fleet.fixture.request("alice")));
    let record = tokio::spawn(async move { ledger.record(decision).await.map(drop) });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'";
    while fleet.database.sql(waits) == "0" {
        tokio::task::yield_now().await;
    }
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_stand_by_has_not_is_told_to_nobody() {
    let server = Server::start(&[]);
    let mut fleet = Fleet::on(&server);
    let database = postgres::Config::new(&fleet.database.connection(), None, None, Duration::from_secs(2));
    fleet.fixture.config.postgres = Some(Arc::new(database.unwrap()));
    let ledger = fleet.fixture.open();
    // Sessions of `psql` wait for nobody, so that they can say what they see.
    fleet.database.sql("ALTER ROLE postgres SET synchronous_commit = local");
    let require = |names: &str| {
        fleet.database.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        fleet.database.sql("SELECT pg_reload_conf()");
        while fleet.database.sql("SHOW synchronous_standby_names") != names {
            std::thread::yield_now();
        }
    };
    require("nobody");
    // An administrator cancels what waits: the server says that it is committed, and warns.
    let record = waiting(&fleet, &ledger).await;
    fleet.database.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    let error = record.await.unwrap().unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("a stand-by might not have what was committed"), "{said}");
    // Nobody does: it is given up here, and there when the next session comes.
    let record = waiting(&fleet, &ledger).await;
    assert_eq!(record.await.unwrap().unwrap_err().word(), "LEDGER_UNAVAILABLE");
    require("");
    while ledger.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.is_err() {
        tokio::task::yield_now().await;
    }
    ledger.close().await;
    let entries = fleet.fixture.entries();
    let owed: BTreeSet<u64> = (0..)
        .zip(&entries)
        .filter(|(_, entry)| matches!(entry, Entry::Intent { .. }))
        .map(|(at, _)| at)
        .collect();
    let outcomes = entries.iter().filter(|entry| matches!(entry, Entry::Outcome { .. }));
    let settled: Vec<u64> = outcomes.map(|entry| outcome_of(entry).0).collect();
    assert_eq!((settled.len(), settled.into_iter().collect()), (owed.len(), owed), "{entries:?}");
}
