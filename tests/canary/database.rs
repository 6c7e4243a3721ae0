//! The password of a ledger's database: in its file, and wherever somebody puts it instead.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use test_postgres::{Database, Server, Stop};

use crate::daemon::{Caller, end};
use crate::nest::Nest;
use crate::process;
use crate::site::Daemon;

/// Halves of the right password, and of one that the server refuses.
const PASSWORD: [&str; 2] = ["Xm4tKz8wRb2q", "Jv7nLc5hYp9d"];
const WRONG: [&str; 2] = ["Sg3kWf6vTx8m", "Dq9bNz4rHc7j"];

const READING: [&[&str]; 5] = [
    &["check"],
    &["doctor"],
    &["ledger", "show"],
    &["ledger", "verify", "--accept-uncovered"],
    &["ledger", "stats"],
];

/// A server that wants the password, also over its socket, and a signer's nest for it.
fn nest() -> (Nest, Server, Database) {
    let server = Server::start(&[]);
    let database = server.database();
    // The server hashes it, and logs no statement.
    database.sql(&format!("CREATE ROLE signer LOGIN SUPERUSER PASSWORD '{}'", PASSWORD.concat()));
    server.stop(Stop::Fast);
    server.admit("local all signer scram-sha-256");
    server.run();
    let nest = Nest::hunting([PASSWORD, WRONG].as_flattened());
    nest.secret("db", &PASSWORD.concat());
    connect(&nest, &database.connection_as("signer"));
    for args in [&crate::nest::INIT[..], &["key", "generate", "user-ca"]] {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }
    (nest, server, database)
}

fn connect(nest: &Nest, connection: &str) {
    nest.break_configuration(|config| {
        let lines = format!(
            "path = \"ledger.sqlite\"\npostgres = {connection:?}\npostgres_password_file = \"secrets/db\"\npostgres_timeout = \"2s\""
        );
        config.replace("path = \"ledger.sqlite\"", &lines)
    });
}

#[test]
fn a_password_that_is_wrong_or_in_the_wrong_place_is_not_shown() {
    let (nest, _server, database) = nest();
    let right = database.connection_as("signer");
    let (password, wrong) = (PASSWORD.concat(), WRONG.concat());
    for (content, mode) in
        [(&*wrong, 0o600), (&*password, 0o644), ("", 0o600), (&*password.repeat(50), 0o600)]
    {
        nest.secret("db", content);
        fs::set_permissions(nest.site.path("secrets/db"), Permissions::from_mode(mode)).unwrap();
        nest.fails(&["serve"], "password");
        for args in &READING[1..] {
            nest.fails(args, "password");
        }
    }
    nest.secret("db", &password);
    for connection in [
        format!("{right} password={password}"),
        format!("{right} password='{password}"),
        format!("{right} password={password} {wrong}"),
        format!("{right} password=x {wrong}=1"),
        format!("{right} {password}"),
        format!("{right} port={password}"),
        format!("{right} target_session_attrs={password}"),
        format!("postgresql://signer:{password}@localhost/ledger"),
        format!("postgresql://signer:{password}@[::1/ledger?sslmode={wrong}"),
    ] {
        connect(&nest, &connection);
        for args in READING.into_iter().chain([&["serve"][..]]) {
            nest.fails(args, "postgres");
        }
    }
    connect(&nest, &right);
    // By name, as if it were the file.
    nest.break_configuration(|config| {
        config.replace("\n[ledger]", &format!("\n[ledger]\npostgres_password = {password:?}"))
    });
    nest.fails(&["check"], "postgres_password");
    connect(&nest, &right);
    nest.leaves_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_shows_no_password_while_its_database_goes_and_comes() {
    let (nest, server, _) = nest();
    process::try_to_leave_a_core(&nest.site);
    // What its user has in the environment is for no child of it.
    let mut serve = nest.command(&["serve"]);
    let daemon = Daemon::start(serve.env("PGPASSWORD", WRONG.concat()).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    let shows_nothing = || {
        for pid in daemon.token_processes() {
            process::shows_nothing(&nest.hunt, pid);
        }
        let line = fs::read(format!("/proc/{}/cmdline", daemon.pid().as_raw_nonzero())).unwrap();
        nest.shows_nothing("the daemon's arguments", &line);
    };
    shows_nothing();
    for stop in [Stop::Immediate, Stop::Fast] {
        server.stop(stop);
        assert!(!caller.signs().await);
        shows_nothing();
        // It may be refused for a while, too.
        nest.secret("db", &WRONG.concat());
        server.run();
        assert!(!caller.signs().await);
        nest.secret("db", &PASSWORD.concat());
        caller.signs_at_last().await;
    }
    for args in READING {
        // The doctor finds the budget wide.
        let status = nest.run(args);
        assert!(status == Some(0) || args == ["doctor"] && status == Some(1), "{args:?}: {status:?}");
    }
    shows_nothing();
    end(&nest, daemon);
}
