//! Keys that want to be touched, where somebody is there.

use std::time::Duration;

use virtual_yubikey::{Settings, TouchMode};

use crate::Place;
use crate::desk::SERIAL;
use crate::load::{Caller, settled};
use crate::site::PATIENCE;

const TOUCHED: [&str; 2] = ["--touch-policy", "ALWAYS"];

fn place(touch: TouchMode, touch_patience: Duration, more: &str) -> Place {
    let settings = Settings { touch, touch_patience, ..Settings::of(SERIAL) };
    Place::with(settings, ("9c", "ecdsa-p256-sha256", &TOUCHED), &format!("interactive = true\n{more}"))
}

/// The daemon's self-test is a signature, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touch_is_asked_for_in_the_log_and_waited_for() {
    let place = place(TouchMode::Asked, PATIENCE, "");
    let card = &place.desk.card;
    let touch = |times: usize| {
        for _ in 0..times {
            assert!(card.is_asked_for_touch(PATIENCE));
            card.touch();
        }
    };
    let mut daemon = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| place.site.serve());
        touch(1);
        daemon.join().unwrap()
    });
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    let asked =
        tokio::spawn(async move { caller.sign().await.map(|certificate| caller.verifies(&certificate)) });
    daemon.wait_for("touch YubiKey 12345678: slot 9c is to sign");
    touch(1);
    assert_eq!(asked.await.unwrap(), Ok(true));
    assert!(daemon.stop().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touch_that_does_not_come_fails_the_request_and_nothing_else() {
    let place = place(TouchMode::Asked, Duration::from_secs(1), "");
    let card = &place.desk.card;
    let daemon = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| place.site.serve());
        assert!(card.is_asked_for_touch(PATIENCE));
        card.touch();
        daemon.join().unwrap()
    });
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    let process = daemon.token_processes();
    let error = caller.sign().await.expect_err("nobody touches it");
    assert_eq!(error.reason, "TOKEN_FAILED", "{error}");
    let (signed, touched) = tokio::join!(caller.sign(), async {
        tokio::task::block_in_place(|| {
            let asked = card.is_asked_for_touch(PATIENCE);
            card.touch();
            asked
        })
    });
    assert!(touched && signed.is_ok(), "{signed:?}");
    assert_eq!(daemon.token_processes(), process);
    assert!(daemon.stop().0.success());
    assert_eq!(settled(&place.site).unsigned.get("TOKEN_FAILED"), Some(&1));
}
