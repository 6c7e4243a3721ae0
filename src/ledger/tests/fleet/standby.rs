//! What becomes of signers whose database is a stand-by that was behind, while they run.

use std::thread;

use tokio::time::timeout;

use super::*;

/// Far more than a fail-over takes here.
const LIMIT: Duration = Duration::from_secs(60);

impl Fleet {
    /// Has both signers look for the first of these servers that can be written.
    fn have_hosts(&mut self, servers: [&Server; 2]) {
        let [hosts, ports] = [
            servers.map(|server| server.directory().display().to_string()),
            servers.map(|server| server.port().to_string()),
        ]
        .map(|each| each.join(","));
        let connection = format!("host={hosts} port={ports} dbname={} user=postgres", self.database.name());
        let database = postgres::Config::new(&connection, None, None, Duration::from_secs(5)).unwrap();
        self.fixture.config.postgres = Some(Arc::new(database));
        self.other.postgres.clone_from(&self.fixture.config.postgres);
    }

    /// Why a record is not taken, with its causes.
    async fn refused(&self, ledger: &Ledger) -> String {
        let record = ledger.record(self.fixture.decide(self.fixture.request("alice"))).await;
        let error = record.unwrap_err();
        assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
        in_one_line(&error)
    }
}

/// Without `synchronous_standby_names`, a stand-by may lack what was signed.
#[tokio::test]
async fn a_running_signer_whose_entries_a_promoted_stand_by_lacks_records_nothing_more() {
    let server = Server::start(&[]);
    let standby = server.standby("behind");
    let mut fleet = Fleet::on(&server);
    fleet.have_hosts([&server, &standby]);
    let (one, other) = fleet.open();
    for ledger in [&one, &other] {
        fleet.sign(ledger, fleet.fixture.request("alice")).await;
    }
    let promoted = standby.named(fleet.database.name());
    let since = Instant::now();
    while promoted.sql("SELECT count(*) FROM countersign.entry") != "4" {
        assert!(since.elapsed() < LIMIT, "the stand-by has not the entries within {LIMIT:?}");
        thread::yield_now();
    }
    standby.cut_off();
    let lost = fleet.sign(&one, fleet.fixture.request_with_serial(7)).await.receipt;
    let owed = fleet.fixture.intent(&one).await;
    server.stop(Stop::Immediate);
    standby.promote();
    drop(owed);

    let why = "it has 2 entries where it had 5: those from 2 on are lost";
    let found = async {
        while !fleet.refused(&one).await.contains(why) {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LIMIT, found).await.is_ok(), "it has not found the other host within {LIMIT:?}");
    for _ in 0..3 {
        assert!(fleet.refused(&one).await.contains(why));
    }
    // Nor does anybody take it for well who asks for nothing.
    assert!(in_one_line(&one.probe().await.unwrap_err()).contains(why));
    let health = one.refuses().unwrap();
    assert!(!one.is_writable() && !health.passes() && in_one_line(&health).contains(why), "{health:?}");
    // The other's entries are all there.
    let goes_on = async {
        while other.record(fleet.fixture.decide(fleet.fixture.request("alice"))).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LIMIT, goes_on).await.is_ok(), "the other takes nothing within {LIMIT:?}");
    fleet.sign(&other, fleet.fixture.request("alice")).await;
    one.close().await;
    let of_one = "SELECT count(*) FROM countersign.entry JOIN countersign.signer ON id = signer WHERE origin = 'test.example/log'";
    assert_eq!(promoted.sql(of_one), "2", "it left nothing behind, not even when it stopped");

    // The way on: what receipts are of that the message names, is revoked.
    let error = Ledger::open(&fleet.fixture.config).unwrap_err();
    let LedgerError::OlderThanIndex { entries: 2, known: 5, .. } = error else { panic!("{error:?}") };
    assert!(lost.index >= 2);
    fleet.fixture.remove_index();
    let one = fleet.fixture.open();
    let revocation = Revocation {
        key: Arc::clone(fleet.fixture.key()),
        what: entry::Revoked::Serial(7_u64.to_be_bytes().to_vec()),
        reason: entry::RevocationReason::Unspecified,
        in_ledger: false,
        by: CallerName::parse("uid:0").unwrap(),
        why: "its entry was lost".to_owned(),
    };
    assert_eq!(one.revoke(revocation).await.unwrap().index, 2);
    for ledger in [one, other] {
        fleet.sign(&ledger, fleet.fixture.request("alice")).await;
        ledger.close().await;
    }
    for config in [&fleet.fixture.config, &fleet.other] {
        assert_eq!(wrong(&audited_at(config, UnixMillis::now())), []);
    }
}
