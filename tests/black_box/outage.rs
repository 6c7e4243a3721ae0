//! What keeps a signer from its ledger, at start: nothing is signed, it says why, and a supervisor may try again.

use std::path::PathBuf;
use std::process::Command;

use countersign_faulty::Call;
use test_postgres::{Server, Stop};

use crate::faulty::Broken;
use crate::site::{Daemon, Site, USER_CA, text};

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
