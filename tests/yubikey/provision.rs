//! The provisioning record of a key that is made in a card: what the card says and attests, and the touch that its signature wants.

use std::fs;
use std::process::Command;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use virtual_yubikey::{Firmware, Settings, TouchMode};

use crate::Place;
use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::manage::{management_key, with_key};
use crate::site::{PATIENCE, text};

const GENERATE: [&str; 4] = ["key", "generate", "user-ca", "--json"];

fn place(settings: Settings, more: &str) -> Place {
    let place = Place::without_key(settings, ("9c", "ecdsa-p256-sha256", &[]), more);
    management_key(&place, MANAGEMENT_KEY);
    place
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_record_has_what_the_card_says_and_attests() {
    for firmware in [Firmware::V5_4_3, "5.2.4".parse().unwrap()] {
        let place = place(Settings { firmware, ..Settings::of(SERIAL) }, "");
        let made = parsed(&place.site.run_ok(&with_key(&GENERATE)));
        let path = made["record"]["file"].as_str().unwrap();
        let record = parsed(&fs::read_to_string(place.site.path(path)).unwrap());
        assert_eq!((&record["module"], &record["place"]["slot"]), (&Value::Null, &json!("9c")));
        let token = &record["token"];
        assert_eq!(
            (&token["serial"], &token["firmware"]),
            (&json!("12345678"), &json!(firmware.to_string()))
        );
        let row = |name: &str, value: &str| json!({ "name": name, "expected": value, "told": value, "accepted": null });
        let expected =
            [row("made in the card", "true"), row("PIN policy", "always"), row("touch policy", "never")];
        assert_eq!(record["attributes"], json!(expected));
        let attested = record["attestation"]["certificate"].as_str().unwrap();
        fs::write(place.site.path("attested.der"), Base64::decode_vec(attested).unwrap()).unwrap();
        let mut openssl = Command::new("openssl");
        openssl
            .args(["x509", "-inform", "der", "-noout", "-pubkey", "-in"])
            .arg(place.site.path("attested.der"));
        assert_eq!(text(&openssl.output().unwrap().stdout), made["spki_pem"].as_str().unwrap());
        assert!(record["attestation"]["card_certificate"].is_string());
        let verified = place.site.run_ok(&["key", "record", "verify", path]);
        assert!(verified.contains("signed by the key itself"), "{verified}");
        let (_, log) = place.site.serve_with_records().stop();
        assert!(log.contains("recorded that key SHA256:"), "{log}");
    }
}

#[test]
fn a_key_that_wants_a_touch_signs_its_record_with_one() {
    let settings = Settings { touch: TouchMode::Asked, touch_patience: PATIENCE, ..Settings::of(SERIAL) };
    let place = place(settings, "interactive = true");
    let generate = [&with_key(&GENERATE)[..], &["--touch-policy", "always"]].concat();
    let made = std::thread::scope(|scope| {
        let made = scope.spawn(|| place.site.run_ok(&generate));
        assert!(place.desk.card.is_asked_for_touch(PATIENCE));
        place.desk.card.touch();
        parsed(&made.join().unwrap())
    });
    place.site.run_ok(&["key", "record", "verify", made["record"]["file"].as_str().unwrap()]);
}

#[test]
fn a_key_that_nobody_touched_has_its_record_made_later() {
    let touch_patience = Duration::from_secs(1);
    let settings = Settings { touch: TouchMode::Asked, touch_patience, ..Settings::of(SERIAL) };
    let place = place(settings, "interactive = true");
    let message =
        place.site.run_refused(&[&with_key(&GENERATE)[..], &["--touch-policy", "always"]].concat(), 1);
    assert!(
        message.contains("the key is on the token, but there is no provisioning record of it"),
        "{message}"
    );
    assert!(message.contains("was not touched in time"), "{message}");
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| place.site.run_ok(&["key", "record", "make", "user-ca"]));
        assert!(place.desk.card.is_asked_for_touch(PATIENCE));
        place.desk.card.touch();
        said.join().unwrap()
    });
    assert!(said.contains("found key user-ca"), "{said}");
}

#[test]
fn a_card_makes_no_key_that_leaves_it_and_has_no_labels() {
    let place = place(Settings::of(SERIAL), "");
    let message = place.site.run_refused(&with_key(&["key", "generate", "user-ca", "--backup"]), 1);
    assert!(message.contains("is a YubiKey, which lets no private key out; nothing was made"), "{message}");
    let message = place.site.run_refused(&["key", "rename", "user-ca", "--to", "other"], 1);
    assert!(
        message.contains("a YubiKey has no labels") && message.contains("call the section otherwise"),
        "{message}"
    );
}
