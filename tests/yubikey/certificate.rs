//! The certificate beside a key, which other programs go by: written, read by them, moved and deleted with the key.

use std::process::Command;

use virtual_yubikey::Settings;

use crate::desk::{MANAGEMENT_KEY, SERIAL};
use crate::manage::{fingerprint, management_key, with_key};
use crate::site::text;
use crate::{Place, write};

const READ: [&str; 4] = ["key", "certificate", "user-ca", "--read"];

/// A card with a key, and a certificate of it by another CA: `with` are extensions as openssl's configuration has them.
fn place(with: &str) -> Place {
    let place = Place::without_key(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "");
    management_key(&place, MANAGEMENT_KEY);
    place.site.run_ok(&with_key(&["key", "generate", "user-ca"]));
    write(&place.site.path("extensions"), with);
    let public = place.site.run_ok(&["key", "show", "user-ca", "--pem"]);
    write(&place.site.path("public.pem"), &public);
    let ca = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=Root",
    ];
    openssl(&place, &[&ca[..], &["-keyout", "ca.key", "-out", "ca.pem"]].concat());
    certify(&place, "public.pem", "card.pem");
    place
}

fn certify(place: &Place, public: &str, out: &str) {
    let issue = ["x509", "-new", "-subj", "/CN=small CA", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30"];
    openssl(place, &[&issue[..], &["-extfile", "extensions", "-force_pubkey", public, "-out", out]].concat());
}

fn openssl(place: &Place, args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).current_dir(place.site.dir()).output().unwrap();
    assert!(output.status.success(), "openssl {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn write_certificate(file: &'static str) -> Vec<&'static str> {
    with_key(&["key", "certificate", "user-ca", "--write", file])
}

#[test]
fn a_certificate_that_is_written_is_read_by_everybody() {
    let place = place("");
    assert!(place.site.run_refused(&READ, 1).contains("slot 9c has no certificate"));
    openssl(&place, &["x509", "-in", "card.pem", "-outform", "DER", "-out", "card.der"]);
    let pem = std::fs::read_to_string(place.site.path("card.pem")).unwrap();
    for file in ["card.pem", "card.der"] {
        place.site.run_ok(&write_certificate(file));
        assert_eq!(place.site.run_ok(&READ), pem);
    }
    let exported = place.desk.ykman(&["piv", "certificates", "export", "9c", "-"]);
    assert_eq!(text(&exported.stdout), pem, "{}", text(&exported.stderr));
    let by_yubico =
        place.desk.client("yubico-piv-tool").args(["--reader=", "-a", "read-cert", "-s", "9c"]).output();
    assert!(text(&by_yubico.unwrap().stdout).contains(pem.trim_end()));
    let module = ["--module", "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "--list-objects"];
    let seen = place.desk.client("pkcs11-tool").args(module).output().unwrap();
    let seen = text(&seen.stdout);
    assert!(seen.contains("Certificate for Digital Signature") || seen.contains("/CN=small CA"), "{seen}");
}

#[test]
fn only_a_certificate_of_the_key_is_written() {
    let place = place("");
    openssl(&place, &["pkey", "-in", "ca.key", "-pubout", "-out", "other.pub"]);
    certify(&place, "other.pub", "other.pem");
    let message = place.site.run_refused(&write_certificate("other.pem"), 1);
    assert!(message.contains("the certificate is of the key SHA256:"), "{message}");
    assert!(message.contains(&format!("and slot 9c holds {}; nothing", fingerprint(&place))), "{message}");
    let both = ["card.pem", "ca.pem"].map(|name| std::fs::read_to_string(place.site.path(name)).unwrap());
    write(&place.site.path("both.pem"), &both.concat());
    assert!(
        place.site.run_refused(&write_certificate("both.pem"), 1).contains("holds more than one certificate")
    );
    write(&place.site.path("none.der"), "no certificate");
    assert!(place.site.run_refused(&write_certificate("none.der"), 1).contains("it cannot be read"));
    assert!(place.site.run_refused(&READ, 1).contains("slot 9c has no certificate"));
}

#[test]
fn a_certificate_that_a_card_has_no_room_for_is_not_sent() {
    let place = place(&format!("nsComment = {}", "x".repeat(2900)));
    let message = place.site.run_refused(&write_certificate("card.pem"), 1);
    assert!(message.contains("and a YubiKey has room for 30"), "{message}");
    assert!(message.contains("nothing was changed"), "{message}");
}

#[test]
fn a_certificate_that_others_compressed_is_named_so() {
    let place = place("");
    let certificate = place.site.path("card.pem");
    let import = ["piv", "certificates", "import", "--compress", "-m", MANAGEMENT_KEY, "9c"];
    place.desk.ykman_ok(&[&import[..], &[certificate.to_str().unwrap()]].concat());
    let message = place.site.run_refused(&READ, 1);
    assert!(
        message.contains("is compressed") && message.contains("ykman piv certificates export 9c"),
        "{message}"
    );
    place.site.run_ok(&write_certificate("card.pem"));
    place.site.run_ok(&READ);
}

#[test]
fn a_certificate_moves_and_goes_with_its_key() {
    let place = place("");
    place.site.run_ok(&write_certificate("card.pem"));
    let pem = place.site.run_ok(&READ);
    place.site.run_ok(&with_key(&["key", "move", "user-ca", "--to", "95"]));
    assert!(!place.desk.ykman(&["piv", "certificates", "export", "9c", "-"]).status.success());
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    place.site.configure(&config.replace("slot = \"9c\"", "slot = \"95\""));
    assert_eq!(place.site.run_ok(&READ), pem);
    let found = fingerprint(&place);
    // Only a key that no section names is deleted, and only with a signer that records it.
    place.desk.generate("82", "ecdsa-p256-sha256");
    place.site.configure(&config.replace("slot = \"9c\"", "slot = \"82\""));
    let daemon = place.site.serve();
    let delete = ["key", "delete", "--token", "yubi", "--fingerprint", &found, "--why", "a test"];
    place.site.run_ok(&with_key(&delete));
    daemon.stop();
    assert!(!place.desk.ykman(&["piv", "certificates", "export", "95", "-"]).status.success());
    place.site.configure(&config.replace("slot = \"9c\"", "slot = \"95\""));
    assert!(place.site.run_refused(&READ, 1).contains("slot 95 has no certificate"));
}
