//! PIN, PUK and management key, changed by who knows them: under load, with few tries left, and to what a card does not take.

use virtual_yubikey::{Firmware, Settings};

use crate::desk::{MANAGEMENT_KEY, PIN, SERIAL};
use crate::load::{Caller, Load};
use crate::manage::{management_key, with_key};
use crate::{Place, write_secret};

const PUK: &str = "12345678";

/// A card whose PIN file is right, and files with its PUK and a new PIN.
fn place(settings: Settings) -> Place {
    let place = Place::with(settings, ("9c", "ecdsa-p256-sha256", &[]), "");
    write_secret(&place, "puk", PUK);
    write_secret(&place, "new-pin", "654321\n");
    place
}

fn change_pin() -> Vec<&'static str> {
    vec!["token", "change-pin", "yubi", "--new-pin-file", "new-pin"]
}

fn unblock_pin() -> Vec<&'static str> {
    vec!["token", "unlock", "yubi", "--puk-file", "puk", "--new-pin-file", "new-pin"]
}

fn pin_file(place: &Place) -> String {
    std::fs::read_to_string(place.pin_file()).unwrap()
}

/// Nothing waits beside the PIN file.
fn nothing_is_left(place: &Place) -> bool {
    !place.site.path("pin.new").exists()
}

/// Card and file change at once for whoever speaks to the card.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_changed_under_load_costs_no_request_and_no_try() {
    let place = place(Settings::of(SERIAL));
    let daemon = place.site.serve();
    let load = Load::start(vec![Caller::new(&place.site, &daemon, "user-ca").await], 4);
    load.progress(1).await;
    for (command, new) in [(change_pin(), "654321"), (unblock_pin(), "765432"), (change_pin(), "876543")] {
        write_secret(&place, "new-pin", new);
        let said = tokio::task::block_in_place(|| place.site.run_ok(&command));
        assert!(said.contains("a running daemon goes on with it"), "{said}");
        load.progress(2).await;
        assert_eq!(pin_file(&place).trim_end(), new);
    }
    let tally = load.stop().await;
    assert!(tally.wrong == 0 && tally.errors.is_empty(), "{tally:?}");
    assert_eq!(place.desk.card.counts().wrong_pins, 0);
    assert!(nothing_is_left(&place) && daemon.stop().0.success());
}

#[test]
fn the_pin_file_stays_as_it_is_where_that_is_asked_for() {
    let place = place(Settings::of(SERIAL));
    let said = place.site.run_ok(&[&change_pin()[..], &["--keep-pin-file"]].concat());
    assert!(said.contains("a wrong one there costs a try"), "{said}");
    assert_eq!(pin_file(&place), PIN);
    let named = [&unblock_pin()[..], &["--keep-pin-file"]].concat();
    write_secret(&place, "new-pin", PIN);
    place.site.run_ok(&named);
    assert!(place.site.run_ok(&["check"]).contains("no faults"));
}

/// Not by the same command again, and not by the daemon.
#[test]
fn a_wrong_pin_costs_one_try_and_leaves_everything_as_it_was() {
    let place = place(Settings::of(SERIAL));
    place.write_pin("000000");
    let message = place.site.run_refused(&change_pin(), 1);
    assert!(message.contains("refused the PIN; 2 more tries are left; nothing was changed"), "{message}");
    let message = place.site.run_refused(&change_pin(), 1);
    assert!(message.contains("the token refused this PIN before, and it is not tried again"), "{message}");
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("is the one that the token refused before"), "{message}");
    assert_eq!((place.desk.card.tries_left().0, pin_file(&place)), (2, "000000".to_owned()));
    assert!(nothing_is_left(&place));
    // Somebody who knows the right one needs no `token unlatch`.
    write_secret(&place, "right", PIN);
    place.site.run_ok(&[&change_pin()[..], &["--pin-file", "right"]].concat());
    assert!(place.site.run_ok(&["check"]).contains("no faults"));
}

#[test]
fn the_last_try_is_never_spent() {
    let place = place(Settings::of(SERIAL));
    let tried = |pin: &str| {
        write_secret(&place, "tried", pin);
        place.site.run_refused(&[&change_pin()[..], &["--pin-file", "tried"]].concat(), 1)
    };
    for (pin, left) in [("000000", 2), ("111111", 1)] {
        assert!(tried(pin).contains(&format!("{left} more tries are left")));
    }
    let message = tried(PIN);
    assert!(message.contains("has one try left, which is not spent here"), "{message}");
    assert!(message.contains("countersign token unlock"), "{message}");
    assert_eq!(place.desk.card.tries_left(), (1, 3));

    write_secret(&place, "puk", "00000000");
    let change_puk = ["token", "change-puk", "yubi", "--puk-file", "puk", "--new-puk-file", "new-pin"];
    for left in [2, 1] {
        let message = place.site.run_refused(&change_puk, 1);
        assert!(message.contains(&format!("refused the PUK; {left} more tries are left")), "{message}");
    }
    for command in [&change_puk[..], &unblock_pin()] {
        let message = place.site.run_refused(command, 1);
        assert!(message.contains("the PUK has one try left, which is not spent here"), "{message}");
    }
    assert_eq!(place.desk.card.tries_left(), (1, 1));
}

#[test]
fn a_blocked_pin_is_set_anew_and_serves() {
    let place = place(Settings::of(SERIAL));
    place.write_pin("000000");
    place.site.run_refused(&change_pin(), 1);
    for _ in 0..2 {
        let wrong = ["--reader=", "--action=verify-pin", "--pin=000000"];
        place.desk.client("yubico-piv-tool").args(wrong).output().unwrap();
    }
    assert_eq!(place.desk.card.tries_left().0, 0);
    let message = place.site.run_refused(&[&change_pin()[..], &["--pin-file", "new-pin"]].concat(), 1);
    assert!(message.contains("the PIN is blocked; `countersign token unlock`"), "{message}");
    // The new PIN is the one that was refused before: now it is right.
    write_secret(&place, "new-pin", "000000");
    place.site.run_ok(&unblock_pin());
    assert!(place.site.serve().stop().0.success());
    assert_eq!(place.desk.card.tries_left(), (3, 3));
}

#[test]
fn a_changed_puk_is_what_unblocks() {
    let place = place(Settings::of(SERIAL));
    write_secret(&place, "new-puk", "87654321");
    place.site.run_ok(&["token", "change-puk", "yubi", "--puk-file", "puk", "--new-puk-file", "new-puk"]);
    place.desk.ykman_ok(&["piv", "access", "unblock-pin", "-p", "87654321", "-n", PIN]);
    assert!(place.site.run_refused(&unblock_pin(), 1).contains("refused the PUK; 2 more tries are left"));
}

#[test]
fn a_pin_that_the_card_would_not_take_changes_nothing() {
    let place = place(Settings { pin_complexity: true, ..Settings::of(SERIAL) });
    for (new, why) in [
        ("12345", "PIN and PUK of a YubiKey have 6 to 8 bytes each"),
        ("123456789", "PIN and PUK of a YubiKey have 6 to 8 bytes each"),
        ("777777", "the YubiKey finds the new PIN too simple: its PIN complexity rule"),
    ] {
        write_secret(&place, "new-pin", new);
        for command in [change_pin(), unblock_pin()] {
            let message = place.site.run_refused(&command, 1);
            assert!(message.contains(why) && message.contains("nothing was changed"), "{message}");
        }
    }
    let others = place.site.path("new-pin");
    std::fs::set_permissions(&others, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let message = place.site.run_refused(&change_pin(), 1);
    assert!(message.contains("the new PIN") && message.contains("has mode 0644"), "{message}");
    assert_eq!((place.desk.card.tries_left(), pin_file(&place)), ((3, 3), PIN.to_owned()));
    assert!(nothing_is_left(&place));
}

/// What waits beside the PIN file may be the only place where an interrupted change has left the card's PIN.
#[test]
fn a_new_pin_that_waits_is_not_overwritten() {
    let place = place(Settings::of(SERIAL));
    write_secret(&place, "pin.new", "765432");
    let message = place.site.run_refused(&change_pin(), 1);
    assert!(message.contains("pin.new") && message.contains("nothing was changed"), "{message}");
    assert_eq!(place.desk.card.counts().pins, 0);
}

/// Firmware before 5.3 tells how many tries the PIN has left, but not the PUK.
#[test]
fn tries_that_nobody_can_count_are_not_spent() {
    let firmware = "5.2.4".parse::<Firmware>().unwrap();
    let place = place(Settings { firmware, ..Settings::of(SERIAL) });
    place.site.run_ok(&change_pin());
    let message = place.site.run_refused(&unblock_pin(), 1);
    assert!(message.contains("firmware 5.2.4 does not tell how many tries the PUK has left"), "{message}");
    assert_eq!(place.desk.card.tries_left(), (3, 3));
}

/// From Yubico's 3DES key to every kind of AES key and back; Yubico's own client and countersign take each.
#[test]
fn the_management_key_is_changed_to_every_cipher() {
    let place = place(Settings { firmware: Firmware::V5_4_3, ..Settings::of(SERIAL) });
    management_key(&place, MANAGEMENT_KEY);
    for (cipher, name, digits) in [
        ("aes256", "AES-256", 64),
        ("aes128", "AES-128", 32),
        ("aes192", "AES-192", 48),
        ("3des", "3DES", 48),
    ] {
        let change = ["token", "change-management-key", "yubi", "--algorithm", cipher];
        let new = ["--new-management-key-file", "new-key", "--generate"];
        let said = place.site.run_ok(&with_key(&[&change[..], &new].concat()));
        assert!(said.contains(&format!("it is for {name} now")), "{said}");
        let made = std::fs::read_to_string(place.site.path("new-key")).unwrap();
        assert_eq!(made.trim_end().len(), digits);
        std::fs::rename(place.site.path("new-key"), place.site.path("management-key")).unwrap();
        place.desk.ykman_ok(&["piv", "keys", "generate", "-m", made.trim_end(), "-a", "ECCP256", "9a", "-"]);
        let info = place.site.run_ok(&["token", "info", "yubi"]);
        assert!(info.contains(&format!("management key: {name}\n")), "{info}");
    }
}

#[test]
fn a_management_key_is_not_changed_to_what_does_not_fit() {
    let place = place(Settings { firmware: "5.2.4".parse().unwrap(), ..Settings::of(SERIAL) });
    management_key(&place, MANAGEMENT_KEY);
    let change = |more: &[&str]| {
        let change = ["token", "change-management-key", "yubi", "--new-management-key-file", "new-key"];
        place.site.run_refused(&with_key(&[&change[..], more].concat()), 1)
    };
    write_secret(&place, "new-key", &"a5".repeat(24));
    let message = change(&[]);
    assert!(message.contains("a management key for AES-256 has 64 hexadecimal digits"), "{message}");
    let message = change(&["--algorithm", "aes192"]);
    assert!(message.contains("firmware 5.2.4 refuses such a key for AES-192"), "{message}");
    assert!(change(&["--generate", "--algorithm", "3des"]).contains("cannot make new-key"));
    std::fs::remove_file(place.site.path("new-key")).unwrap();
    management_key(&place, &"00".repeat(24));
    let message = change(&["--generate", "--algorithm", "3des"]);
    assert!(message.contains("the management key is another one; nothing was changed"), "{message}");
    assert!(!place.site.path("new-key").exists(), "no key is left that no card has");
    place.desk.ykman_ok(&["piv", "keys", "generate", "-m", MANAGEMENT_KEY, "-a", "ECCP256", "9a", "-"]);
}
