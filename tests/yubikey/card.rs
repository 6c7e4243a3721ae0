//! Cards that go and come back, or do not.

use crate::Place;
use crate::load::{Caller, Load, settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_pulled_under_load_and_put_back_serves_again() {
    let mut place = Place::new();
    let mut daemon = place.site.serve();
    let callers = vec![Caller::new(&place.site, &daemon, "user-ca").await];
    let load = Load::start(callers, 4);
    load.progress(2).await;
    place.desk.card.remove();
    daemon.wait_for("there is no YubiKey of serial number 12345678; there is: no card");
    place.desk.put_back();
    load.progress(2).await;
    let tally = load.stop().await;
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert!(daemon.stop().0.success());
    let settled = settled(&place.site);
    assert!(settled.signed >= tally.signed, "{settled:?} {tally:?}");
    assert_eq!(place.desk.card.counts().wrong_pins, 0);
}

/// Before anybody asked for a signature: the first that comes finds it again in the same process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_was_out_for_a_moment_is_found_again_by_the_same_process() {
    let mut place = Place::new();
    let mut daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    let before = daemon.token_processes();
    place.desk.card.remove();
    place.desk.put_back();
    assert!(caller.verifies(&caller.sign().await.unwrap()));
    daemon.wait_for("found the card again");
    assert_eq!(daemon.token_processes(), before);
    assert!(daemon.stop().0.success());
}

/// Not a PIN goes to it, although it has the same one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_card_with_the_same_pin_signs_nothing_and_is_shown_no_pin() {
    let mut place = Place::new();
    place.desk.prepare_other_with(87_654_321);
    place.desk.generate("9c", "ecdsa-p256-sha256");
    place.desk.exchange();
    let mut daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    caller.sign().await.unwrap();
    let signed_before = place.desk.other().counts();
    place.desk.exchange();
    let error = caller.sign().await.expect_err("it is another card");
    assert_eq!(error.reason, "TOKEN_UNAVAILABLE", "{error}");
    daemon.wait_for("there is: a YubiKey of serial number 87654321");
    assert_eq!(place.desk.card.counts(), signed_before, "nothing was asked of it but its name");
    place.desk.exchange();
    caller.sign_at_last().await;
    assert!(daemon.stop().0.success());
}

#[test]
fn a_card_that_is_not_there_is_a_fault_with_those_that_are() {
    let mut place = Place::new();
    place.desk.prepare_other_with(87_654_321);
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("no YubiKey of serial number 12345678"), "{message}");
    assert!(message.contains("there is: a YubiKey of serial number 87654321"), "{message}");
    place.desk.pcscd.kill();
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("pcscd is not running"), "{message}");
}
