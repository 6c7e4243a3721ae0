//! PINs that are wrong, run out, change, or cannot be.

use countersign::ledger::Entry;
use countersign::ledger::entry::Outcome;

use crate::Place;
use crate::desk::PIN;
use crate::load::Caller;

/// A person tries a PIN.
fn verifies(place: &Place, pin: &str) -> bool {
    let action = ["--reader=", "--action=verify-pin", &format!("--pin={pin}")];
    place.desk.client("yubico-piv-tool").args(action).output().unwrap().status.success()
}

#[test]
fn the_last_try_is_left_to_a_person() {
    let place = Place::new();
    for _ in 0..2 {
        assert!(!verifies(&place, "000000"));
    }
    assert_eq!(place.desk.card.tries_left().0, 1);
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("one try left"), "{message}");
    assert_eq!(place.desk.card.tries_left().0, 1);
    assert!(verifies(&place, PIN));
    assert!(place.site.serve().stop().0.success());
}

#[test]
fn a_blocked_pin_is_named_and_an_unblocked_one_serves() {
    let place = Place::new();
    for _ in 0..3 {
        assert!(!verifies(&place, "000000"));
    }
    assert_eq!(place.desk.card.tries_left().0, 0);
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("the YubiKey's PIN is blocked"), "{message}");
    place.desk.ykman_ok(&["piv", "access", "unblock-pin", "-p", "12345678", "-n", "654321"]);
    place.write_pin("654321");
    assert!(place.site.serve().stop().0.success());
}

/// Whoever changes it on the card changes the file, and nobody restarts anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_changes_with_its_file_costs_no_try() {
    let place = Place::new();
    let daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    caller.sign().await.unwrap();
    place.desk.ykman_ok(&["piv", "access", "change-pin", "-P", PIN, "-n", "654321"]);
    place.write_pin("654321");
    caller.sign().await.unwrap();
    assert_eq!(place.desk.card.counts().wrong_pins, 0);
    assert!(daemon.stop().0.success());
}

/// Under load as well: the first that finds out is the only one that tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_changes_without_its_file_costs_one_try() {
    let place = Place::new();
    let mut daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    caller.sign().await.unwrap();
    place.desk.ykman_ok(&["piv", "access", "change-pin", "-P", PIN, "-n", "654321"]);
    let before = place.desk.card.counts().wrong_pins;
    for _ in 0..5 {
        caller.sign().await.expect_err("the PIN is another");
    }
    daemon.wait_for("the token refused the PIN");
    assert_eq!(place.desk.card.counts().wrong_pins, before + 1);
    place.write_pin("654321");
    caller.sign_at_last().await;
    assert_eq!(place.desk.card.counts().wrong_pins, before + 1);
    assert!(daemon.stop().0.success());
}

/// The card was lost and found again before that: it has been asked for nothing but its PIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_what_no_card_was_given_names_no_token() {
    let mut place = Place::new();
    let mut daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    place.desk.card.remove();
    place.desk.put_back();
    place.desk.ykman_ok(&["piv", "access", "change-pin", "-P", PIN, "-n", "654321"]);
    caller.sign().await.expect_err("the PIN is another");
    daemon.wait_for("the token refused the PIN");
    assert!(daemon.stop().0.success());
    let failed = place.site.entries().into_iter().filter_map(|entry| match entry {
        Entry::Outcome { outcome: Outcome::Failed(word), token, .. } => Some((word, token)),
        _ => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), [("TOKEN_PIN_REFUSED".to_owned(), None)]);
}

/// Whatever a card answers it, and whoever tries it next.
#[test]
fn a_wrong_pin_of_which_nothing_is_said_costs_one_try() {
    let place = Place::new();
    place.desk.card.hide_wrong_pins();
    place.write_pin("000000");
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("VERIFY failed: status 6f00"), "{message}");
    for _ in 0..2 {
        let message = place.site.run_refused(&["check"], 2);
        assert!(message.contains("the YubiKey has counted a wrong PIN since"), "{message}");
    }
    assert_eq!(place.desk.card.counts().wrong_pins, 1);
    place.write_pin(PIN);
    place.site.run_ok(&["check"]);
}

#[test]
fn a_pin_of_another_length_is_not_tried() {
    let place = Place::new();
    for pin in ["12345", "123456789"] {
        place.write_pin(pin);
        let message = place.site.run_refused(&["check"], 2);
        assert!(message.contains("6 to 8 bytes"), "{message}");
    }
    assert_eq!(place.desk.card.counts().pins, 0);
}
