//! A YubiKey's secrets: its PIN, its PUK and its management key, and a key that is imported into it, with its passphrase.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};

use crate::canary::Hunt;
use crate::daemon::{Caller, end};
use crate::desk::{Desk, MANAGEMENT_KEY, PIN, SERIAL};
use crate::nest::Nest;
use crate::process::{self, daemon_knows_nothing};
use crate::site::{Daemon, text};

/// PINs and PUKs have 8 bytes at most, and there is a wrong one for each try.
const CARD_PIN: &str = "Zq4mTx7v";
const NEW_PIN: &str = "Wb6kRd9s";
const WRONG_PINS: [&str; 2] = ["Gh2jVz5n", "Rf8cXk3w"];
const PUK: &str = "Mt5yLp9g";
const NEW_PUK: &str = "Dn3wHs6b";
const WRONG_PUKS: [&str; 2] = ["Xv7fQj4k", "Bc9zYr2t"];
/// Halves of AES-256 keys. Files have them in hexadecimal.
const KEY: [&str; 2] = ["pW7sKc2vRx9mTf4j", "Lz6qBn8dYg3hXt5w"];
const WRONG_KEY: [&str; 2] = ["Vh4rMd9kZs2pCj7b", "Qx3nGf8tWy6vLk5c"];
/// Halves of an Ed25519 seed, and of the passphrase of its file.
const SEED: [&str; 2] = ["Td8wHq5xJn2vPb7y", "Fk4mRz9cSg6tVl3d"];
const PASSPHRASE: [&str; 2] = ["Nb6vXj3kLw8r", "Cy9hTq4pMz7f"];

fn secrets() -> Vec<&'static str> {
    let (wrong, pins) = ([WRONG_PINS, WRONG_PUKS].concat(), [CARD_PIN, NEW_PIN, PUK, NEW_PUK]);
    [&wrong[..], &pins, &KEY, &WRONG_KEY, &SEED, &PASSPHRASE].concat()
}

fn hex(halves: [&str; 2]) -> String {
    let digits = |byte: u8| format!("{byte:02x}");
    halves.concat().bytes().map(digits).collect::<Vec<_>>().concat()
}

const CHANGE: [&str; 5] = ["token", "change-pin", "yubi", "--new-pin-file", "secrets/new-pin"];
const UNLOCK: [&str; 7] =
    ["token", "unlock", "yubi", "--puk-file", "secrets/puk", "--new-pin-file", "secrets/new-pin"];
const CHANGE_PUK: [&str; 7] =
    ["token", "change-puk", "yubi", "--puk-file", "secrets/puk", "--new-puk-file", "secrets/new-puk"];
const CHANGE_KEY: [&str; 7] = [
    "token",
    "change-management-key",
    "yubi",
    "--management-key-file",
    "secrets/key",
    "--new-management-key-file",
    "secrets/new-key",
];
const GENERATE: [&str; 5] = ["key", "generate", "user-ca", "--management-key-file", "secrets/key"];
const IMPORT: [&str; 9] = [
    "key",
    "import",
    "user-ca",
    "--from",
    "secrets/old-ca",
    "--passphrase-file",
    "secrets/passphrase",
    "--management-key-file",
    "secrets/key",
];

/// A card from the factory, whose PIN, PUK and management key are then changed to canaries.
fn nest() -> (Nest, Desk) {
    let nest = Nest::hunting(&secrets());
    let desk = Desk::new(nest.site.dir());
    let (variable, socket) = desk.pcscd.environment();
    nest.configure(|config| {
        let (others, rest) = config.split_once("[token.soft]").unwrap();
        let key = rest.split_once("[key.user-ca]").unwrap().1;
        let key = key.replace("token = \"soft\"", "token = \"yubi\"\nslot = \"9c\"\naccept = [\"not-local\"]");
        let key = key.replace("ecdsa-p256-sha256", "ed25519");
        format!(
            "{others}[token.yubi]\nyubikey = {SERIAL}\npin_file = \"pin\"\n[token.yubi.environment]\n{variable} = {socket:?}\n\
             [key.user-ca]{key}"
        )
    });
    nest.write("pin", PIN.as_bytes());
    for (file, secret) in [
        ("puk", "12345678"),
        ("key", MANAGEMENT_KEY),
        ("new-pin", CARD_PIN),
        ("new-puk", PUK),
        ("new-key", &hex(KEY)),
    ] {
        nest.secret(file, secret);
    }
    for args in [&CHANGE[..], &CHANGE_PUK, &CHANGE_KEY] {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }
    for (file, secret) in [("puk", PUK), ("key", &*hex(KEY)), ("new-pin", NEW_PIN), ("new-puk", NEW_PUK)] {
        nest.secret(file, secret);
    }
    nest.secret("new-key", &hex(WRONG_KEY));
    (nest, desk)
}

#[test]
fn what_is_wrong_with_a_secret_shows_none() {
    let (nest, desk) = nest();
    for (file, args) in [
        ("new-pin", &CHANGE[..]),
        ("puk", &UNLOCK),
        ("new-puk", &CHANGE_PUK),
        ("key", &CHANGE_KEY),
        ("new-key", &CHANGE_KEY),
        ("key", &GENERATE),
    ] {
        let path = format!("secrets/{file}");
        let good = fs::read(nest.site.path(&path)).unwrap();
        for (content, mode) in
            [(&good[..], 0o644), (b"", 0o600), (&good.repeat(5), 0o600), (&good[..5], 0o600)]
        {
            nest.write(&path, content);
            fs::set_permissions(nest.site.path(&path), Permissions::from_mode(mode)).unwrap();
            nest.fails(args, "");
        }
        nest.write(&path, &good);
    }
    assert_eq!(desk.card.tries_left(), (3, 3), "none of them was tried");

    nest.secret("key", &hex(WRONG_KEY));
    for args in [&CHANGE_KEY[..], &GENERATE] {
        nest.fails(args, "the management key is another one");
    }
    nest.secret("key", &hex(KEY));
    for wrong in WRONG_PUKS {
        nest.secret("puk", wrong);
        nest.fails(&UNLOCK, "refused the PUK");
    }
    nest.secret("puk", PUK);
    nest.fails(&UNLOCK, "one try left");
    for wrong in WRONG_PINS {
        nest.write("pin", wrong.as_bytes());
        nest.fails(&CHANGE, "refused the PIN");
        for args in [&CHANGE[..], &["check"], &["doctor"], &["serve"]] {
            nest.fails(args, "");
        }
    }
    nest.write("pin", CARD_PIN.as_bytes());
    nest.fails(&CHANGE, "one try left");
    assert_eq!(desk.card.tries_left(), (1, 1), "and the last ones are kept");
    nest.leaves_nothing();
}

/// The seed as `openssl` makes a file of it, with a passphrase or without.
fn write_key(nest: &Nest, has_passphrase: bool) {
    // RFC 8410 §7.
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend(SEED.concat().bytes());
    nest.write("secrets/seed.der", &der);
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs8", "-topk8", "-inform", "DER", "-in", "secrets/seed.der", "-out", "secrets/old-ca"]);
    if has_passphrase {
        openssl.args(["-v2", "aes256", "-passout", "file:secrets/passphrase"]);
    } else {
        openssl.arg("-nocrypt");
    }
    let made = openssl.current_dir(nest.site.dir()).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    fs::set_permissions(nest.site.path("secrets/old-ca"), Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_key_and_its_passphrase_are_shown_nowhere() {
    let (nest, desk) = nest();
    nest.secret("passphrase", &PASSPHRASE.concat());
    write_key(&nest, true);
    let key = fs::read(nest.site.path("secrets/old-ca")).unwrap();
    nest.secret("passphrase", WRONG_KEY[0]);
    nest.fails(&IMPORT, "the passphrase is another one");
    nest.secret("passphrase", &PASSPHRASE.concat());
    for broken in [&key[..key.len() / 2], b"", &[&key[..60], b"AAAA", &key[60..]].concat()] {
        nest.write("secrets/old-ca", broken);
        nest.fails(&IMPORT, "");
    }
    write_key(&nest, false);
    let plain = fs::read(nest.site.path("secrets/old-ca")).unwrap();
    for broken in [&plain[..plain.len() / 2], &[&plain[..40], b"AAAA", &plain[40..]].concat()] {
        nest.write("secrets/old-ca", broken);
        nest.fails(&IMPORT, "");
    }
    nest.write("secrets/old-ca", &plain);
    fs::set_permissions(nest.site.path("secrets/old-ca"), Permissions::from_mode(0o644)).unwrap();
    nest.fails(&IMPORT, "has mode 0644");
    nest.write("secrets/old-ca", &key);
    nest.secret("key", &hex(WRONG_KEY));
    nest.fails(&IMPORT, "the management key is another one");
    nest.secret("key", &hex(KEY));
    assert_eq!(nest.run(&IMPORT), Some(0));
    nest.fails(&IMPORT, "already, and nothing was changed");
    for args in [&["key", "show", "user-ca"][..], &["key", "list"], &["check"], &["token", "info", "yubi"]] {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    end(&nest, daemon);
    drop(desk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_has_no_pin_whatever_becomes_of_the_card() {
    let (nest, mut desk) = nest();
    process::try_to_leave_a_core(&nest.site);
    assert_eq!(nest.run(&GENERATE), Some(0));
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    // Each signature wants it.
    if let Some(places) = process::memory(&nest.hunt, daemon.token_processes()[0]) {
        assert!(!places.is_empty(), "it keeps its PIN");
        assert!(places.iter().all(|place| place.is_locked), "a PIN may be swapped: {places:#?}");
    }
    desk.card.remove();
    assert!(!caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    desk.put_back();
    caller.signs_at_last().await;
    desk.pcscd.kill();
    assert!(!caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    desk.start_pcscd();
    caller.signs_at_last().await;
    for signal in [Signal::ABORT, Signal::SEGV] {
        kill_process(daemon.token_processes()[0], signal).unwrap();
        caller.signs_at_last().await;
    }
    // The PIN changes under it.
    assert_eq!(nest.run(&CHANGE), Some(0));
    caller.signs_at_last().await;
    daemon_knows_nothing(&nest.hunt, &daemon);
    end(&nest, daemon);
}

#[test]
fn the_hunt_knows_these_secrets_as_their_files_have_them() {
    let hunt = Hunt::new(&secrets());
    for secret in [hex(KEY), hex(WRONG_KEY).to_uppercase(), format!("pin = {CARD_PIN:?}"), SEED.concat()] {
        assert!(hunt.find(secret.as_bytes()).is_some(), "{secret}");
    }
}
