//! A guided start on a token that is there already.

use std::fs;

use super::{Start, printed, serve, shell};
use crate::desk::{Desk, MANAGEMENT_KEY, SERIAL, write_pin};
use crate::site::key_sections;

/// A token with a PIN, as somebody else has made it.
const TOKEN: [&str; 6] =
    ["--token", "pkcs11", "--module", "/usr/lib/softhsm/libsofthsm2.so", "--label", "test"];

#[test]
fn takes_a_token_that_is_initialised_and_no_key_of_it() {
    let start = Start::new();
    let site = &start.site;
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", "so-pin"]);
    let conf = format!("SOFTHSM2_CONF={}", site.path("softhsm2.conf").display());
    let token =
        [&TOKEN[..], &["--pin-file", "pin", "--environment", &conf, "--principals", "alice"]].concat();
    let (said, daemon) = start.serve(&token);
    assert!(shell(site, &printed(&said)[1..]).contains("user certificate"));
    let config = fs::read_to_string(start.path("countersign.toml")).unwrap();
    let pin_file = site.path("pin");
    assert!(config.contains(&format!("pin_file = {:?}", pin_file.display().to_string())), "{config}");
    daemon.stop();

    // Another start on it does not take over the first one's keys.
    let mut again = start.args(&token);
    again[2] = "second";
    let message = site.run_refused(&again, 1);
    assert!(message.contains("holds keys of these names already"), "{message}");
    for key in ["user-ca (SHA256:", "mtls-ca (SHA256:", "log (SHA256:"] {
        assert!(message.contains(key), "{message}");
    }
    assert!(message.contains("nothing was removed"), "{message}");
    let listed = start.run_ok(&["key", "list"]);
    assert_eq!(listed.lines().count(), key_sections(&config).count(), "{listed}");
}

#[test]
fn makes_nothing_for_a_token_that_is_not_there() {
    let start = Start::new();
    let site = &start.site;
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", "so-pin"]);
    let conf = format!("SOFTHSM2_CONF={}", site.path("softhsm2.conf").display());
    let of = |label: &'static str| {
        let token = [&TOKEN[..5], &[label, "--pin-file", "pin", "--environment", &conf][..]].concat();
        site.run_refused(&start.args(&[&token[..], &["--principals", "alice"]].concat()), 1)
    };
    let message = of("another");
    assert!(message.contains("nothing was made, for the token cannot be used: "), "{message}");
    assert!(message.contains("\"another\""), "{message}");
    assert!(!start.path("").exists());
    let desk = Desk::new(site.dir());
    let (name, value) = desk.pcscd.environment();
    let socket = format!("{name}={value}");
    let card = ["--token", "yubikey", "--yubikey", "1", "--pin-file", "pin", "--environment", &socket];
    let message = site.run_refused(&start.args(&[&card[..], &["--principals", "alice"]].concat()), 1);
    assert!(message.contains("nothing was made, for the token cannot be used: "), "{message}");
    assert!(!start.path("").exists());
}

#[test]
fn starts_on_a_yubikey() {
    let start = Start::new();
    let desk = Desk::new(start.site.dir());
    write_pin(&start.site.path("yubikey-pin"));
    write_pin(&start.site.path("management-key"));
    fs::write(start.site.path("management-key"), MANAGEMENT_KEY).unwrap();
    let (name, value) = desk.pcscd.environment();
    let (serial, socket) = (SERIAL.to_string(), format!("{name}={value}"));
    let said = start.make(&[
        "--token",
        "yubikey",
        "--yubikey",
        &serial,
        "--pin-file",
        "yubikey-pin",
        "--management-key-file",
        "management-key",
        "--environment",
        &socket,
        "--principals",
        "alice",
    ]);
    let commands = printed(&said);
    let _daemon = serve(&start.site, &commands[0]);
    assert!(shell(&start.site, &commands[1..]).contains("user certificate"));
}
