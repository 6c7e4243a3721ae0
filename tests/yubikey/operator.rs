//! What an operator asks a card: about itself, and what it attests.

use serde_json::Value;
use virtual_yubikey::{Firmware, Settings, VirtualYubiKey};

use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::{Place, write};

const P256: &str = "ecdsa-p256-sha256";

fn old_card() -> Place {
    let settings = Settings { firmware: Firmware::V5_4_3, ..Settings::of(SERIAL) };
    Place::with(settings, ("9c", P256, &["--touch-policy", "CACHED"]), "interactive = true")
}

fn attest(place: &Place, root: &str) -> Vec<&'static str> {
    write(&place.site.path("roots.pem"), root);
    vec!["key", "attest", "user-ca", "--roots", "roots.pem"]
}

#[test]
fn info_tells_firmware_tries_and_policies_without_a_pin() {
    let place = Place::new();
    let said = place.site.run_ok(&["token", "info", "yubi"]);
    assert!(said.starts_with("YubiKey 12345678, firmware 5.7.1\n"), "{said}");
    assert!(said.contains("PIN: 3 of 3 tries left; STILL THE FACTORY'S"), "{said}");
    assert!(said.contains("management key: AES-192; STILL THE FACTORY'S"), "{said}");
    let slot = "slot 9c: P-256, PIN policy always, touch policy never, made in the card\n";
    assert!(said.ends_with(slot) && !said.contains("EUCLEAK"), "{said}");
    assert_eq!(place.desk.card.counts().pins, 0);
    place.desk.ykman_ok(&["piv", "access", "change-pin", "-P", "123456", "-n", "654321"]);
    let said = place.site.run_ok(&["token", "info", "yubi", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["pin"]["factory"], &said["pin"]["left"]), (&Value::Bool(false), &3.into()));
    assert_eq!((&said["eucleak"], &said["slots"][0]["slot"]), (&Value::Bool(false), &"9c".into()));
}

#[test]
fn a_card_is_listed_and_whatever_is_still_the_factorys_is_found() {
    let place = Place::new();
    let said = place.site.run_ok(&["token", "list"]);
    assert!(said.contains("YubiKey 12345678 [token.yubi]: `countersign token info yubi` shows it"), "{said}");
    let listed: Value = serde_json::from_str(&place.site.run_ok(&["token", "list", "--json"])).unwrap();
    let is_card = |row: &&Value| row["token"] == "yubi" && row["yubikey"] == 12_345_678;
    assert_eq!(listed.as_array().unwrap().iter().filter(is_card).count(), 1, "{listed}");
    let said = String::from_utf8(place.site.run(&["doctor", "--no-login"]).stdout).unwrap();
    for command in ["change-pin yubi", "change-puk yubi", "change-management-key yubi"] {
        assert!(said.contains(&format!("countersign token {command}")), "{command}: {said}");
    }
    assert_eq!(place.desk.card.counts().pins, 0);
}

#[test]
fn info_warns_of_firmware_with_eucleak() {
    let said = old_card().site.run_ok(&["token", "info", "yubi"]);
    assert!(said.contains("firmware 5.4.3\nWARNING: this firmware has EUCLEAK"), "{said}");
}

#[test]
fn an_attestation_that_leads_to_the_root_tells_what_the_key_is() {
    let place = Place::new();
    let said = place.site.run_ok(&attest(&place, &place.desk.card.attestation_root()));
    assert!(said.contains("user-ca: made in slot 9c") && said.contains("Virtual YubiKey Root CA"), "{said}");
    let facts = "serial 12345678, firmware 5.7.1, PIN policy always, touch policy never\n";
    assert!(said.ends_with(facts), "{said}");
    let key = place.site.run_ok(&["key", "show", "user-ca", "--json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    assert!(said.contains(key["fingerprint"].as_str().unwrap()), "{said}");
}

#[test]
fn an_attestation_of_a_card_with_eucleak_is_flagged() {
    let place = old_card();
    let mut args = attest(&place, &place.desk.card.attestation_root());
    let said = place.site.run_ok(&args);
    assert!(said.contains("touch policy cached\nWARNING: this firmware has EUCLEAK"), "{said}");
    args.push("--json");
    let said: Value = serde_json::from_str(&place.site.run_ok(&args)).unwrap();
    assert_eq!((&said["eucleak"], &said["firmware"]), (&Value::Bool(true), &"5.4.3".into()));
}

#[test]
fn an_attestation_that_leads_elsewhere_is_none() {
    let place = Place::new();
    let other = VirtualYubiKey::new(&place.site.path("other-card"), Settings::of(SERIAL)).unwrap();
    let message = place.site.run_refused(&attest(&place, &other.attestation_root()), 1);
    assert!(message.contains("key user-ca is not attested"), "{message}");
    assert!(message.contains("no certificate of \"CN=Virtual YubiKey Root CA\""), "{message}");
    let message = place.site.run_refused(&attest(&place, "no certificate"), 1);
    assert!(message.contains("there is no certificate in roots.pem"), "{message}");
}

#[test]
fn an_imported_key_is_not_attested() {
    let place = Place::new();
    let pem = place.site.path("imported.pem");
    let arguments = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
    assert!(std::process::Command::new("openssl").args(arguments).arg(&pem).status().unwrap().success());
    place.desk.ykman_ok(&["piv", "keys", "import", "-m", MANAGEMENT_KEY, "9c", pem.to_str().unwrap()]);
    let message = place.site.run_refused(&attest(&place, &place.desk.card.attestation_root()), 1);
    assert!(message.contains("the key in slot 9c was imported"), "{message}");
    assert!(place.site.run_ok(&["token", "info", "yubi"]).contains("touch policy never, imported"));
}

/// A card's own certificate is no root, whoever it says it is: somebody put another attestation key into the slot.
#[test]
fn a_card_whose_attestation_key_was_replaced_is_not_believed() {
    let place = Place::new();
    let (key, certificate) = (place.site.path("f9.key"), place.site.path("f9.pem"));
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"];
    let made = std::process::Command::new("openssl")
        .args(request)
        .args(["/CN=Yubico PIV Attestation", "-keyout"])
        .args([key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let piv = |args: &[&str]| place.desk.ykman_ok(&[&["piv"], args].concat());
    piv(&["keys", "import", "-m", MANAGEMENT_KEY, "f9", key.to_str().unwrap()]);
    piv(&["certificates", "import", "-m", MANAGEMENT_KEY, "f9", certificate.to_str().unwrap()]);
    let message = place.site.run_refused(&attest(&place, &place.desk.card.attestation_root()), 1);
    assert!(message.contains("no certificate of \"CN=Yubico PIV Attestation\""), "{message}");
}
