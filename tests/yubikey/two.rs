//! Two cards in two readers: told apart by their serial numbers, and with one imported key in both, neither is missed.

use virtual_yubikey::{Settings, VirtualYubiKey};

use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::load::{Caller, Load, settled};
use crate::manage::{management_key, with_key};
use crate::{Place, write_secret};

const SPARE: u32 = 87_654_321;

/// A key of which both cards have a copy, and the other card.
fn place() -> (Place, VirtualYubiKey) {
    let place = Place::without_key(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "");
    let mut spare = VirtualYubiKey::new(&place.site.path("spare"), Settings::of(SPARE)).unwrap();
    spare.insert(&place.desk.pcscd.second()).unwrap();
    let (_, socket) = place.desk.pcscd.environment();
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    let both = crate::token(&socket, "").replace("yubi]", "spare]").replace("yubi.", "spare.");
    let both = both.replace(&SERIAL.to_string(), &SPARE.to_string());
    let config = config.replace("token = \"yubi\"", "token = [\"yubi\", \"spare\"]");
    place.site.configure(&config.replace("[key.user-ca]", &format!("{both}[key.user-ca]")));
    place.accept_imported();
    management_key(&place, MANAGEMENT_KEY);
    let made = ["-q", "-t", "ecdsa", "-N", "", "-f", "old"];
    let made = std::process::Command::new("ssh-keygen").args(made).current_dir(place.site.dir()).status();
    assert!(made.unwrap().success());
    (place, spare)
}

fn import(token: &'static str) -> Vec<&'static str> {
    with_key(&["key", "import", "user-ca", "--from", "old", "--token", token])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_cards_with_one_key_is_not_missed_and_takes_load_again() {
    let (mut place, mut spare) = place();
    for token in ["yubi", "spare"] {
        place.site.run_ok(&import(token));
    }
    let mut daemon = place.site.serve();
    let load = Load::start(vec![Caller::new(&place.site, &daemon, "user-ca").await], 4);
    load.progress(2).await;
    place.desk.card.remove();
    load.progress(2).await;
    place.desk.put_back();
    daemon.wait_for("takes load again");
    spare.remove();
    load.progress(2).await;
    spare.insert(&place.desk.pcscd.second()).unwrap();
    daemon.wait_for("takes load again");
    load.progress(2).await;
    let tally = load.stop().await;
    assert!(tally.wrong == 0 && tally.errors.is_empty(), "{tally:?}");
    assert!(daemon.stop().0.success());
    assert_eq!(settled(&place.site).signed, tally.signed);
    for card in [&place.desk.card, &spare] {
        assert_eq!(card.counts().wrong_pins, 0);
    }
}

/// By its serial number, in whichever reader it is, whatever PIN the other has.
#[test]
fn each_of_two_cards_is_asked_for_what_is_its_own() {
    let (place, spare) = place();
    place.site.run_ok(&import("spare"));
    // The key signs the record of its import, and nothing else to prove itself.
    assert_eq!((spare.counts().signatures, place.desk.card.counts().signatures), (1, 0));
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("slot 9c of the YubiKey holds no key"), "{message}");
    write_secret(&place, "new-pin", "654321");
    let change = ["token", "change-pin", "spare", "--new-pin-file", "new-pin", "--keep-pin-file"];
    place.site.run_ok(&change);
    let info = |token| place.site.run_ok(&["token", "info", token]);
    assert!(
        info("yubi").contains("YubiKey 12345678") && info("yubi").contains("tries left; STILL THE FACTORY'S")
    );
    assert!(info("spare").contains("YubiKey 87654321") && info("spare").contains("PIN: 3 of 3 tries left\n"));
    let message = place.site.run_refused(&import("nowhere"), 1);
    assert!(message.contains("[key.user-ca] is not on a token nowhere"), "{message}");
}
