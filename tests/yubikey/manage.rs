//! What an operator changes on a card: keys made, moved and deleted, by who has the management key.

use virtual_yubikey::{Firmware, Settings};

use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::{Place, write_secret};

/// A card without a key, and a file with its management key.
fn place(scheme: &str) -> Place {
    let place = Place::without_key(Settings::of(SERIAL), ("9c", scheme, &[]), "");
    management_key(&place, MANAGEMENT_KEY);
    place
}

pub fn management_key(place: &Place, hex: &str) {
    write_secret(place, "management-key", hex);
}

pub fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--management-key-file", "management-key"]].concat()
}

fn generate() -> Vec<&'static str> {
    with_key(&["key", "generate", "user-ca"])
}

/// The fingerprint of the key in the slot.
pub fn fingerprint(place: &Place) -> String {
    let shown = place.site.run_ok(&["key", "show", "user-ca", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn keys_of_every_scheme_are_made_with_management_keys_of_every_aes() {
    let ciphers = [("AES128", 32), ("AES192", 48), ("AES256", 64)];
    let schemes = ["ecdsa-p256-sha256", "ed25519", "rsa-pkcs1-sha512"];
    for (scheme, (cipher, digits)) in schemes.into_iter().zip(ciphers) {
        let place = place(scheme);
        let new = "a1b2c3d4".repeat(digits / 8);
        let change =
            ["piv", "access", "change-management-key", "-f", "-m", MANAGEMENT_KEY, "-a", cipher, "-n"];
        place.desk.ykman_ok(&[&change[..], &[&new]].concat());
        management_key(&place, &new);
        let said = place.site.run_ok(&generate());
        assert!(said.contains(&format!("fingerprint = \"{}\"", fingerprint(&place))), "{said}");
        assert!(place.site.run_ok(&["check"]).contains("no faults"));
        let info = place.site.run_ok(&["token", "info", "yubi"]);
        assert!(info.contains("PIN policy always, touch policy never, made in the card"), "{info}");
    }
}

#[test]
fn a_key_is_made_with_the_policies_that_are_asked_for() {
    let place = place("ecdsa-p384-sha384");
    let policies = ["--pin-policy", "once", "--touch-policy", "cached"];
    let message = place.site.run_refused(&[&generate()[..], &policies].concat(), 1);
    assert!(
        message.contains("the key is in its slot, but is not fit for service"),
        "nobody is there: {message}"
    );
    let info = place.site.run_ok(&["token", "info", "yubi"]);
    assert!(info.contains("slot 9c: P-384, PIN policy once, touch policy cached"), "{info}");
    let never = place.site.run_refused(&[&generate()[..], &["--pin-policy", "never"]].concat(), 2);
    assert!(never.contains("once or always"), "{never}");
}

#[test]
fn no_key_is_made_over_another() {
    let place = place("ecdsa-p256-sha256");
    place.site.run_ok(&generate());
    let before = fingerprint(&place);
    let message = place.site.run_refused(&generate(), 1);
    assert!(message.contains("slot 9c holds a key already"), "{message}");
    assert_eq!(fingerprint(&place), before);
}

#[test]
fn a_wrong_management_key_changes_nothing() {
    let place = place("ecdsa-p256-sha256");
    management_key(&place, &"00".repeat(24));
    let message = place.site.run_refused(&generate(), 1);
    assert!(message.contains("the management key is another one; nothing was changed"), "{message}");
    management_key(&place, "not hexadecimal");
    let message = place.site.run_refused(&generate(), 1);
    assert!(message.contains("32, 48 or 64 hexadecimal digits") && !message.contains("not hex"), "{message}");
    assert!(place.site.run_refused(&["check"], 2).contains("holds no key"));
}

/// The factory's, of firmware before 5.7; and of firmware that does not tell what it is.
#[test]
fn keys_are_made_with_a_3des_management_key() {
    for firmware in [Firmware::V5_4_3, "5.2.4".parse().unwrap()] {
        let place = Place::without_key(
            Settings { firmware, ..Settings::of(SERIAL) },
            ("9c", "ecdsa-p256-sha256", &[]),
            "",
        );
        management_key(&place, &"00".repeat(24));
        let message = place.site.run_refused(&generate(), 1);
        assert!(message.contains("the management key is another one; nothing was changed"), "{message}");
        management_key(&place, MANAGEMENT_KEY);
        place.site.run_ok(&generate());
        let moved = place.site.run_refused(&with_key(&["key", "move", "user-ca", "--to", "82"]), 1);
        assert!(moved.contains(&format!("firmware {firmware} moves and deletes no keys")), "{moved}");
    }
}

#[test]
fn a_key_moves_to_an_empty_slot_and_is_the_same_there() {
    let place = place("ecdsa-p256-sha256");
    place.site.run_ok(&generate());
    let before = fingerprint(&place);
    place.desk.generate("9a", "ecdsa-p256-sha256");
    let taken = place.site.run_refused(&with_key(&["key", "move", "user-ca", "--to", "9a"]), 1);
    assert!(taken.contains("slot 9a holds a key already"), "{taken}");
    let said = place.site.run_ok(&with_key(&["key", "move", "user-ca", "--to", "82"]));
    assert!(said.contains("slot = \"82\""), "{said}");
    assert!(place.site.run_refused(&["check"], 2).contains("slot 9c of the YubiKey holds no key"));
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    place.site.configure(&config.replace("slot = \"9c\"", "slot = \"82\""));
    assert_eq!(fingerprint(&place), before);
}

#[test]
fn only_a_key_that_no_section_names_is_deleted() {
    let place = place("ecdsa-p256-sha256");
    place.site.run_ok(&generate());
    place.desk.generate("82", "ecdsa-p384-sha384");
    let (named, config) =
        (fingerprint(&place), std::fs::read_to_string(place.site.path("countersign.toml")).unwrap());
    place.site.configure(&config.replace("9c", "82").replace("ecdsa-p256-sha256", "ecdsa-p384-sha384"));
    let other = fingerprint(&place);
    place.site.configure(&config);
    let _daemon = place.site.serve();
    let delete = |fingerprint| {
        let key = ["key", "delete", "--token", "yubi", "--fingerprint", fingerprint, "--why", "a test"];
        with_key(&key)
    };
    let nobody = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let message = place.site.run_refused(&delete(nobody), 1);
    assert!(message.contains(&format!("tells no key {nobody}, and nothing was deleted")), "{message}");
    let message = place.site.run_refused(&delete(&named), 1);
    assert!(message.contains("section [key.user-ca] of ") && message.contains("names this key"), "{message}");
    let said = place.site.run_ok(&delete(&other));
    assert!(said.contains(&format!("deleted key {other} from token yubi: entry ")), "{said}");
    let info = place.site.run_ok(&["token", "info", "yubi"]);
    assert!(info.contains("slot 9c") && !info.contains("slot 82"), "{info}");
    assert_eq!(fingerprint(&place), named);
}

/// Another program puts another key there while the signer is asked.
#[test]
fn a_slot_that_holds_another_key_by_now_keeps_it() {
    let place = place("ecdsa-p256-sha256");
    place.desk.generate("9c", "ecdsa-p256-sha256");
    place.desk.generate("82", "ecdsa-p384-sha384");
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    let at_82 = config.replace("9c", "82").replace("ecdsa-p256-sha256", "ecdsa-p384-sha384");
    let fingerprint_at_82 = || {
        place.site.configure(&at_82);
        let found = fingerprint(&place);
        place.site.configure(&config);
        found
    };
    let doomed = fingerprint_at_82();
    let _daemon = place.site.serve();
    let delete = ["key", "delete", "--token", "yubi", "--fingerprint", &doomed, "--why", "a test"];
    let replace = || place.desk.generate("82", "ecdsa-p384-sha384");
    let message = place.site.run_refused_after(&with_key(&delete), replace);
    assert!(message.contains("slot 82 holds another key by now, and nothing was deleted"), "{message}");
    assert_ne!(fingerprint_at_82(), doomed);
}
