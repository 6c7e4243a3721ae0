//! What keeps a signer from its ledger, at start and under way: nothing is signed, it says why, and comes back by itself.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_faulty::Call;
use countersign_proto::client::{Health, HealthChanges};
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use rustix::fs::{CWD, Mode, mkfifoat};
use test_postgres::{Database, Server, Stop};

use crate::faulty::Broken;
use crate::forge::Forgery;
use crate::health::{told, unix};
use crate::site::{Daemon, FRONT_END, Site, USER_CA, now, request, text};

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

/// A signer that nobody asks for anything but its health, until it has told of a change.
struct Idle<'a> {
    site: &'a Site,
    changes: HealthChanges,
    asker: Asker,
}

impl<'a> Idle<'a> {
    async fn new(site: &'a Site, daemon: &Daemon) -> Self {
        let mut changes = site.client(daemon, FRONT_END).await.watch_health(None).await.unwrap();
        assert_eq!(told(&mut changes).await, Some(Health::Serving));
        Self { site, changes, asker: Asker::new(site, daemon).await }
    }

    /// Nobody asks, and it says why it does not serve; who asks then has nothing signed. What it says.
    async fn falls_ill(&mut self, word: &str, why: &str) -> String {
        assert_eq!(told(&mut self.changes).await, Some(Health::NotServing), "{word}: {why}");
        let said = self.site.run_refused(&["health", "--server", &unix(self.site)], 1);
        assert!(said.contains(&format!("\n  ledger: {word}: {why}")), "{said}");
        assert_eq!(self.asker.ask().await.unwrap_err(), word);
        said
    }

    /// Nobody asks, and it serves again; what it refused, too, of which no token has had anything.
    async fn recovers(&mut self) {
        assert_eq!(told(&mut self.changes).await, Some(Health::Serving));
        assert_eq!(self.site.run_ok(&["health", "--server", &unix(self.site)]), "serving\n");
        self.asker.ask_again().await.unwrap();
        let find = ["ledger", "find", "--key", "user-ca", "--json", "--server", &unix(self.site)];
        let intents = self.site.run_ok(&find).matches("\"kind\":\"intent\"").count();
        assert_eq!(intents, self.asker.signed, "what was refused has no intent, so that no token was asked");
    }
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
    let mut idle = Idle::new(&site, &daemon).await;
    for stop in [Stop::Fast, Stop::Immediate] {
        server.stop(stop);
        idle.falls_ill("LEDGER_UNAVAILABLE", "ledger database").await;
        server.run();
        idle.recovers().await;
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
    let mut idle = Idle::new(&site, &daemon).await;
    let files = Immutable::of(&site);
    idle.falls_ill("LEDGER_UNAVAILABLE", "ledger ").await;
    drop(files);
    idle.recovers().await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let said = |words: &str| log.matches(words).count();
    assert_eq!((said("takes no entries, so"), said("takes entries again")), (1, 1), "{log}");
}

/// The hang is an `open` for writing of a pipe without a reader, as of a file on a disk that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_whose_disk_hangs_ends_all_the_same_when_it_is_told_to() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut idle = Idle::new(&site, &daemon).await;
    let lock = site.path("ledger.sqlite.lock");
    std::fs::remove_file(&lock).unwrap();
    mkfifoat(CWD, &lock, Mode::RUSR | Mode::WUSR).unwrap();
    idle.falls_ill("LEDGER_UNAVAILABLE", "ledger ").await;
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the ledger did not take what was left and close within 10s"), "{log}");
    std::fs::remove_file(&lock).unwrap();
    site.serve().stop();
}

/// A pipe without a reader in the place of its next manifest has the index take long to write, as a merge of long runs does.
#[test]
fn a_signer_whose_index_takes_long_to_write_ends_well_when_it_is_told_to() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    mkfifoat(CWD, site.path("ledger.sqlite-index/manifest.new"), Mode::RUSR | Mode::WUSR).unwrap();
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("the ledger is closed, and its index is not written yet"), "{log}");
    let (status, log) = site.serve().stop();
    assert!(status.success() && !log.contains("not written yet"), "{log}");
    site.run_ok(&["ledger", "verify", "--accept-uncovered", "--skip-signatures"]);
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

/// SQLite goes on writing a file that has lost its name: what would be signed then would be gone with the signer.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_moved_away_or_replaced_is_noticed_and_so_is_its_return() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut idle = Idle::new(&site, &daemon).await;
    idle.asker.ask().await.unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        let (place, away) = (site.path(name), site.path("away"));
        for (put, why) in [(None, "there is no file"), (Some("ledger.sqlite.lock"), "is another file than")] {
            std::fs::rename(&place, &away).unwrap();
            if let Some(other) = put {
                std::fs::copy(site.path(other), &place).unwrap();
            }
            assert_eq!(idle.asker.ask().await.unwrap_err(), "LEDGER_UNAVAILABLE", "{name}: {why}");
            let said = idle.falls_ill("LEDGER_UNAVAILABLE", "ledger ").await;
            assert!(said.contains(why) && said.contains(name) && said.contains("put "), "{said}");
            std::fs::rename(&away, &place).unwrap();
            idle.recovers().await;
        }
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let verified = site.run_ok(&["ledger", "verify", "--accept-uncovered"]);
    assert!(verified.contains("5 intents"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_moved_away_under_an_idle_signer_is_noticed() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut idle = Idle::new(&site, &daemon).await;
    std::fs::rename(site.path("ledger.sqlite"), site.path("away")).unwrap();
    idle.falls_ill("LEDGER_UNAVAILABLE", "ledger ").await;
    std::fs::rename(site.path("away"), site.path("ledger.sqlite")).unwrap();
    idle.recovers().await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_under_an_idle_signer_is_noticed_and_so_is_its_return() {
    let site = Site::new(USER_CA);
    site.forget_records();
    set_clock(&site, "+1h");
    let daemon = serve_by_clock(&site);
    let mut idle = Idle::new(&site, &daemon).await;
    set_clock(&site, "+50m");
    idle.asker.ahead = 50 * 60;
    idle.falls_ill("CLOCK_BEHIND", "the clock is ").await;
    set_clock(&site, "+1h");
    idle.asker.ahead = 60 * 60;
    idle.recovers().await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("behind the newest entry").count(), 1, "{log}");
    assert_eq!(log.matches("the clock is right again").count(), 1, "{log}");
}

/// Leaves no room on a disk, until the file is removed.
fn fill(path: &Path) {
    let full = io::copy(&mut io::repeat(0), &mut File::create(path).unwrap()).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_full_under_an_idle_signer_is_noticed_and_so_is_room() {
    let site = Site::new(USER_CA);
    site.serve().stop();
    edit(&site, "path = \"ledger.sqlite\"", "path = \"disk/ledger.sqlite\"");
    std::fs::create_dir(site.path("disk")).unwrap();
    let small =
        "mount -t tmpfs -o size=4m none disk && cp -a ledger.sqlite* disk || exit 99; exec \"$0\" serve";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", small, env!("CARGO_BIN_EXE_countersign")]);
    unshare.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let daemon = Daemon::start(&mut unshare);
    let mut idle = Idle::new(&site, &daemon).await;
    // The disk is there for the daemon alone.
    let root = format!("/proc/{}/root{}", daemon.pid().as_raw_nonzero(), site.path("disk").display());
    let filling = Path::new(&root).join("filling");
    fill(&filling);
    let said = idle.falls_ill("LEDGER_UNAVAILABLE", "ledger ").await;
    assert!(said.contains("database or disk is full"), "{said}");
    std::fs::remove_file(&filling).unwrap();
    idle.recovers().await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let said = |words: &str| log.matches(words).count();
    assert_eq!((said("takes no entries, so"), said("takes entries again")), (1, 1), "{log}");
}

/// One that may have a certificate for each serial.
struct Asker {
    client: Client,
    ca_key: Vec<u8>,
    serial: u64,
    /// By how many seconds the signer's clock is ahead.
    ahead: u64,
    /// How many it was given.
    signed: usize,
}

impl Asker {
    async fn new(site: &Site, daemon: &Daemon) -> Self {
        let client = site.client(daemon, FRONT_END).await;
        let openssh = client.get_key("user-ca").await.unwrap().openssh;
        let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
        Self { client, ca_key, serial: 0, ahead: 0, signed: 0 }
    }

    /// Asks for another one.
    async fn ask(&mut self) -> Result<v1::SignResponse, String> {
        self.serial += 1;
        self.ask_again().await
    }

    /// Asks for one with the serial of the last.
    async fn ask_again(&mut self) -> Result<v1::SignResponse, String> {
        let tbs = Forgery { serial: self.serial, ..Forgery::user(self.ca_key.clone(), now() + self.ahead) };
        let answer = self.client.sign(request("user-ca", tbs.encode())).await.map_err(|error| error.reason);
        self.signed += usize::from(answer.is_ok());
        answer
    }
}

/// What is small finds room in a page that is there, as a self-test does: it is the larger ones that are refused, and first.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_is_a_reason_and_serves_again_once_there_is_room() {
    let server = Server::on_small_disk();
    let database = server.database();
    let site = in_database(&database.connection());
    let daemon = site.serve();
    let mut asker = Asker::new(&site, &daemon).await;
    // The server's own log goes on in a segment that is there: without one it would end, as if it had been stopped.
    database.sql("SELECT pg_switch_wal()");
    asker.ask().await.unwrap();
    server.fill();
    let full = "LEDGER_UNAVAILABLE: ledger database";
    loop {
        match asker.ask().await {
            Ok(_) => {}
            Err(reason) => {
                assert_eq!(reason, "LEDGER_UNAVAILABLE");
                let health = site.run(&["health", "--server", &unix(&site)]);
                let said = text(&health.stderr);
                // A self-test may have been taken since.
                if !health.status.success() {
                    assert!(said.contains(full) && said.contains("No space left on device"), "{said}");
                    break;
                }
            }
        }
    }
    server.make_room();
    let mut changes = site.client(&daemon, FRONT_END).await.watch_health(None).await.unwrap();
    while told(&mut changes).await != Some(Health::Serving) {}
    asker.ask().await.unwrap();
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("takes no entries, so") && log.contains("takes entries again"), "{log}");
}

/// Has new sessions begin as ones that may not write, or as ones that may: what a transaction says of itself does not count then, for a
/// signer takes no such session.
fn read_only(database: &Database, is: &str) {
    database.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {is}"));
    database.sql("SELECT pg_reload_conf()");
    while database.sql("SHOW default_transaction_read_only") != is {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_becomes_read_only_is_noticed_and_so_is_that_it_is_no_more() {
    let server = Server::start(&[]);
    let database = server.database();
    let site = in_database(&database.connection());
    read_only(&database, "on");
    let message = site.run_refused(&["serve"], PASSING);
    assert!(message.contains("no connection that can be written"), "{message}");
    read_only(&database, "off");
    let daemon = site.serve();
    let mut idle = Idle::new(&site, &daemon).await;
    read_only(&database, "on");
    let others = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
    database.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"));
    let said = idle.falls_ill("LEDGER_UNAVAILABLE", "ledger database").await;
    assert!(said.contains("no connection that can be written"), "{said}");
    read_only(&database, "off");
    idle.recovers().await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
}
