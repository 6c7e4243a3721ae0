//! Keys that are fit for service, and those that are not.

use std::time::Duration;

use virtual_yubikey::{Firmware, Settings};

use crate::Place;
use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::load::Caller;

const P256: &str = "ecdsa-p256-sha256";

#[test]
fn refuses_keys_that_are_not_fit_and_says_why() {
    let never: &[&str] = &["--pin-policy", "NEVER"];
    let touch: &[&str] = &["--touch-policy", "ALWAYS"];
    let cached: &[&str] = &["--touch-policy", "CACHED"];
    for (key, why) in [
        (("9a", P256, never), "wants no PIN"),
        (("9a", P256, touch), "wants to be touched"),
        (("9a", P256, cached), "wants to be touched"),
    ] {
        let place = Place::with(Settings::of(SERIAL), key, "");
        let message = place.site.run_refused(&["check"], 2);
        assert!(message.contains(why) && message.contains("key.user-ca"), "{message}");
    }
    let place = Place::without_key(Settings::of(SERIAL), ("9a", P256, &[]), "");
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("slot 9a of the YubiKey holds no key"), "{message}");
    place.desk.generate("9a", "ecdsa-p384-sha384");
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("scheme ecdsa-p256-sha256 does not fit the key in slot 9a"), "{message}");
}

/// Before 5.3 a card has no metadata: its attestation says what the key is, and how it may be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_of_old_firmware_is_asked_for_its_attestation() {
    let settings = Settings { firmware: "5.2.4".parse::<Firmware>().unwrap(), ..Settings::of(SERIAL) };
    let place = Place::with(settings, ("9c", P256, &[]), "");
    let daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    assert!(caller.verifies(&caller.sign().await.unwrap()));
    assert!(daemon.stop().0.success());
    place.desk.generate_with("9c", P256, &["--pin-policy", "NEVER"]);
    assert!(place.site.run_refused(&["check"], 2).contains("wants no PIN"));
    let pem = place.site.path("imported.pem");
    let made = std::process::Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(&pem)
        .status();
    assert!(made.unwrap().success());
    place.desk.ykman_ok(&["piv", "keys", "import", "-m", MANAGEMENT_KEY, "9c", pem.to_str().unwrap()]);
    assert!(place.site.run_refused(&["check"], 2).contains("firmware 5.2.4 tells nothing of such keys"));
}

/// A card takes its time, and its requests wait; pcscd and the reader add little to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_card_is_waited_for() {
    let settings = Settings { sign_delay: Duration::from_millis(150), ..Settings::of(SERIAL) };
    let place = Place::with(settings, ("9c", P256, &[]), "deadline = \"5s\"");
    let daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    for _ in 0..5 {
        caller.sign().await.unwrap();
    }
    assert!(daemon.stop().0.success());
}
