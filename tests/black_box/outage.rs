//! What keeps a signer from its ledger, at start and under way: nothing is signed, it says why, and comes back by itself.

use std::path::PathBuf;
use std::process::Command;

use countersign_faulty::Call;
use countersign_proto::client::{Health, HealthChanges};
use test_postgres::{Server, Stop};

use crate::faulty::Broken;
use crate::health::{told, unix};
use crate::site::{Daemon, FRONT_END, Site, USER_CA, text};

/// `EX_TEMPFAIL`: docs/countersign.service has the daemon started again.
const PASSING: i32 = 75;

/// A site whose ledger is in a database.
fn in_database(connection: &str) -> Site {
    let site = Site::new(USER_CA);
    let postgres = format!("path = \"ledger\"\npostgres = \"{connection}\"\npostgres_timeout = \"2s\"");
    edit(&site, "path = \"ledger.sqlite\"", &postgres);
    site
}

fn edit(site: &Site, from: &str, to: &str) {
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    assert!(config.contains(from), "{config}");
    site.configure(&config.replace(from, to));
}

/// Has the daemon of [`serve_by_clock`] believe that it is so much later.
fn set_clock(site: &Site, by: &str) {
    std::fs::write(site.path("clock.new"), by).unwrap();
    std::fs::rename(site.path("clock.new"), site.path("clock")).unwrap();
}

fn serve_by_clock(site: &Site) -> Daemon {
    let faketime = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(PathBuf::from(&faketime).exists(), "ci/install installs libfaketime");
    let mut command = site.command(&["serve"]);
    command.env("LD_PRELOAD", faketime).env("FAKETIME_TIMESTAMP_FILE", site.path("clock"));
    // Timers go by a clock that nobody sets.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Daemon::start(&mut command)
}

/// A signer that nobody asks for anything but its health.
async fn idle(site: &Site, daemon: &Daemon) -> HealthChanges {
    let mut changes = site.client(daemon, FRONT_END).await.watch_health(None).await.unwrap();
    assert_eq!(told(&mut changes).await, Some(Health::Serving));
    changes
}

/// Nobody asks, and it says why it does not serve.
async fn falls_ill(site: &Site, changes: &mut HealthChanges, why: &str) {
    assert_eq!(told(changes).await, Some(Health::NotServing), "{why}");
    let said = site.run_refused(&["health", "--server", &unix(site)], 1);
    assert!(said.contains(&format!("\n  ledger: {why}")), "{said}");
}

/// Nobody asks, and it serves again.
async fn recovers(site: &Site, changes: &mut HealthChanges) {
    assert_eq!(told(changes).await, Some(Health::Serving));
    assert_eq!(site.run_ok(&["health", "--server", &unix(site)]), "serving\n");
}

#[test]
fn a_database_that_is_away_at_start_is_a_reason_to_try_again_and_one_that_is_not_there_is_none() {
    let server = Server::start(&[]);
    let database = server.database();
    let site = in_database(&database.connection());
    server.stop(Stop::Fast);
    let message = site.run_refused(&["serve"], PASSING);
    assert!(
        message.contains("ledger.path: ledger database") && message.contains("no connection"),
        "{message}"
    );
    // What does not pass is told, too, and counts.
    edit(&site, "mtls/server.pem", "mtls/no-such.pem");
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("no connection") && message.contains("server.tls_certificate"), "{message}");
    edit(&site, "mtls/no-such.pem", "mtls/server.pem");
    server.run();
    site.serve().stop();
    edit(&site, &format!("dbname={}", database.name()), "dbname=nowhere");
    let message = site.run_refused(&["serve"], 2);
    assert!(message.contains("\"nowhere\" does not exist"), "{message}");
}

/// Of a disk with so many KiB left: none, and what SQLite has in memory beside a log, and no more.
#[test]
fn a_full_disk_at_start_is_a_reason_to_try_again_before_anybody_logs_in() {
    let Broken { site, control } = Broken::new();
    site.serve().stop();
    edit(&site, "path = \"ledger.sqlite\"", "path = \"disk/ledger.sqlite\"");
    std::fs::create_dir(site.path("disk")).unwrap();
    let logins = control.calls(Call::Login);
    for left in ["0", "36"] {
        let full = "mount -t tmpfs -o size=4m none disk && cp -a ledger.sqlite* disk || exit 99; \
                    cat /dev/zero 2>/dev/null >disk/fill; truncate -s -$1K disk/fill; exec \"$0\" serve";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", full, env!("CARGO_BIN_EXE_countersign"), left]);
        unshare.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
        let output = unshare.output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(PASSING), "{left}: {message}");
        assert!(message.contains("ledger.path: ledger"), "{left}: {message}");
        assert_eq!(control.calls(Call::Login), logins, "{left}: {message}");
    }
    site.serve().stop();
}

#[test]
fn a_clock_that_is_behind_at_start_is_a_reason_to_try_again() {
    let site = Site::new(USER_CA);
    site.forget_records();
    set_clock(&site, "+1h");
    serve_by_clock(&site).stop();
    let message = site.run_refused(&["serve"], PASSING);
    assert!(message.contains("behind the newest entry") && message.contains("set the clock"), "{message}");
    set_clock(&site, "+61m");
    serve_by_clock(&site).stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stops_under_an_idle_signer_is_noticed_and_so_is_its_return() {
    let server = Server::start(&[]);
    let site = in_database(&server.database().connection());
    let daemon = site.serve();
    let mut changes = idle(&site, &daemon).await;
    for stop in [Stop::Fast, Stop::Immediate] {
        server.stop(stop);
        falls_ill(&site, &mut changes, "LEDGER_UNAVAILABLE: ledger database").await;
        server.run();
        recovers(&site, &mut changes).await;
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let said = |words: &str| log.matches(words).count();
    assert_eq!((said("takes no entries, so"), said("takes entries again")), (2, 2), "{log}");
}

/// Files that nobody may write stand for a disk that is read-only: one that is in use cannot be made so.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_nobody_may_write_under_an_idle_signer_is_noticed_and_so_is_its_return() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut changes = idle(&site, &daemon).await;
    let files = Immutable::of(&site);
    falls_ill(&site, &mut changes, "LEDGER_UNAVAILABLE: ledger ").await;
    drop(files);
    recovers(&site, &mut changes).await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let said = |words: &str| log.matches(words).count();
    assert_eq!((said("takes no entries, so"), said("takes entries again")), (1, 1), "{log}");
}

/// The ledger's files, while nobody may write them, root not either.
struct Immutable(Vec<PathBuf>);

impl Immutable {
    fn of(site: &Site) -> Self {
        let names = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite.lock"];
        let files = Self(names.map(|name| site.path(name)).to_vec());
        files.change("+i");
        files
    }

    fn change(&self, how: &str) {
        let changed = Command::new("chattr").arg(how).args(&self.0).output().unwrap();
        assert!(changed.status.success(), "{}", text(&changed.stderr));
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        self.change("-i");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_under_an_idle_signer_is_noticed_and_so_is_its_return() {
    let site = Site::new(USER_CA);
    site.forget_records();
    set_clock(&site, "+1h");
    let daemon = serve_by_clock(&site);
    let mut changes = idle(&site, &daemon).await;
    set_clock(&site, "+50m");
    falls_ill(&site, &mut changes, "CLOCK_BEHIND: the clock is ").await;
    set_clock(&site, "+1h");
    recovers(&site, &mut changes).await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("behind the newest entry").count(), 1, "{log}");
    assert_eq!(log.matches("the clock is right again").count(), 1, "{log}");
}
