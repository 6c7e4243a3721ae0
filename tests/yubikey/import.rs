//! Software keys put into slots: of every kind and form, and never over another key by mistake.

use std::process::Command;

use virtual_yubikey::{Firmware, Settings};

use crate::desk::{MANAGEMENT_KEY, PIN, SERIAL};
use crate::load::Caller;
use crate::manage::{fingerprint, management_key, with_key};
use crate::site::text;
use crate::{Place, write, write_secret};

const P256: &str = "ecdsa-p256-sha256";
const PASSPHRASE: &str = "canary passphrase";

/// A card without a key, and the files that an import wants.
fn place(settings: Settings, scheme: &str) -> Place {
    let place = Place::without_key(settings, ("9c", scheme, &[]), "");
    place.accept_imported();
    management_key(&place, MANAGEMENT_KEY);
    write_secret(&place, "passphrase", PASSPHRASE);
    place
}

/// A key by `ssh-keygen`; its fingerprint.
fn ssh_keygen(place: &Place, name: &str, kind: &[&str]) -> String {
    run(place, "ssh-keygen", &[&["-q", "-f", name, "-C", "old CA"], kind].concat());
    let said = run(place, "ssh-keygen", &["-l", "-f", &format!("{name}.pub")]);
    said.split_whitespace().nth(1).unwrap().to_owned()
}

/// A key by `openssl`, encrypted; its fingerprint by `ssh-keygen`.
fn openssl(place: &Place, name: &str, kind: &[&str]) -> String {
    let pass = format!("pass:{PASSPHRASE}");
    run(place, "openssl", &[&["genpkey", "-aes256", "-pass", &pass, "-out", name], kind].concat());
    let public = run(place, "ssh-keygen", &["-y", "-P", PASSPHRASE, "-f", name]);
    write(&place.site.path("public"), &public);
    let said = run(place, "ssh-keygen", &["-l", "-f", "public"]);
    said.split_whitespace().nth(1).unwrap().to_owned()
}

fn run(place: &Place, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(place.site.dir()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn import(more: &[&'static str]) -> Vec<&'static str> {
    let import = ["key", "import", "user-ca", "--from", "old", "--passphrase-file", "passphrase"];
    with_key(&[&import[..], more].concat())
}

#[test]
fn keys_of_every_kind_are_imported_and_sign() {
    let ssh: &dyn Fn(&Place, &[&str]) -> String =
        &|place, kind| ssh_keygen(place, "old", &[kind, &["-N", PASSPHRASE]].concat());
    let plain: &dyn Fn(&Place, &[&str]) -> String =
        &|place, kind| ssh_keygen(place, "old", &[kind, &["-N", ""]].concat());
    let pkcs8: &dyn Fn(&Place, &[&str]) -> String = &|place, kind| openssl(place, "old", kind);
    let p384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    for (scheme, make, kind) in [
        (P256, plain, &["-t", "ecdsa"][..]),
        ("ecdsa-p384-sha384", pkcs8, p384),
        ("ed25519", ssh, &["-t", "ed25519"]),
        ("rsa-pkcs1-sha256", ssh, &["-t", "rsa", "-b", "2048"]),
        ("rsa-pkcs1-sha512", pkcs8, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
        ("rsa-pkcs1-sha512", plain, &["-t", "rsa", "-b", "4096"]),
    ] {
        let place = place(Settings::of(SERIAL), scheme);
        let expected = make(&place, kind);
        let output = place.site.run(&import(&[]));
        let (said, warned) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{kind:?}: {warned}");
        assert!(said.contains("a signature of it verifies under the same public key"), "{said}");
        assert!(warned.contains("WARNING") && warned.contains("was outside of a token"), "{warned}");
        assert!(!said.contains("canary") && !warned.contains("canary"));
        assert_eq!(fingerprint(&place), expected);
        assert!(place.site.run_ok(&["check"]).contains("no faults"));
        assert_eq!(place.desk.card.counts().signatures, 1, "{kind:?}: its record shows that it signs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_key_serves_and_tells_for_ever_that_it_was_imported() {
    let place = place(Settings::of(SERIAL), P256);
    ssh_keygen(&place, "old", &["-t", "ecdsa", "-N", ""]);
    place.site.run_ok(&import(&["--pin-policy", "once"]));
    let accepting = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    place.site.configure(&accepting.replace("accept = [\"not-local\"]\n", ""));
    for (args, status) in [(&["check"][..], 2), (&["key", "show", "user-ca"], 1)] {
        let message = place.site.run_refused(args, status);
        assert!(message.contains("slot 9c was imported") && message.contains("not-local"), "{message}");
    }
    place.site.configure(&accepting.replace("[\"not-local\"]", "[\"extractable\"]"));
    assert!(place.site.run_refused(&["check"], 2).contains("it is one of not-local"));
    place.site.configure(&accepting.replace("accept = [\"not-local\"]\n", ""));
    let message = place.site.run_refused(&import(&["--replace", "SHA256:any"]), 1);
    assert!(message.contains("[key.user-ca] takes no imported key, and nothing was changed"), "{message}");
    place.site.configure(&accepting);
    let daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    assert!(caller.verifies(&caller.sign().await.unwrap()));
    assert!(daemon.stop().0.success());
    let slot = "slot 9c: P-256, PIN policy once, touch policy never, imported\n";
    assert!(place.site.run_ok(&["token", "info", "yubi"]).contains(slot));
    place.site.run_ok(&with_key(&["key", "move", "user-ca", "--to", "82"]));
    assert!(place.site.run_ok(&["token", "info", "yubi"]).contains("touch policy never, imported\n"));
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    place.site.configure(&config.replace("slot = \"9c\"", "slot = \"82\""));
    write(&place.site.path("roots.pem"), &place.desk.card.attestation_root());
    let message = place.site.run_refused(&["key", "attest", "user-ca", "--roots", "roots.pem"], 1);
    assert!(
        message.contains("was imported: it was outside of the card before, and no card attests"),
        "{message}"
    );
}

#[test]
fn no_key_is_overwritten_but_the_one_that_is_named() {
    let place = place(Settings::of(SERIAL), P256);
    let first = ssh_keygen(&place, "old", &["-t", "ecdsa", "-N", ""]);
    place.site.run_ok(&import(&[]));
    let public = place.site.path("public.pem");
    write(&public, &place.site.run_ok(&["key", "show", "user-ca", "--pem"]));
    let certify = ["piv", "certificates", "generate", "-m", MANAGEMENT_KEY, "-P", PIN, "-s", "CN=old", "9c"];
    place.desk.ykman_ok(&[&certify[..], &[public.to_str().unwrap()]].concat());
    std::fs::rename(place.site.path("old"), place.site.path("older")).unwrap();
    std::fs::remove_file(place.site.path("old.pub")).unwrap();
    let second = ssh_keygen(&place, "old", &["-t", "ecdsa", "-N", ""]);
    for more in [&[][..], &["--replace", "SHA256:another"]] {
        let message = place.site.run_refused(&import(more), 1);
        assert!(message.contains(&format!("slot 9c holds the key {first} already")), "{message}");
    }
    assert_eq!(fingerprint(&place), first);
    let named: &'static str = format!("--replace={first}").leak();
    place.site.run_ok(&import(&[named]));
    assert_eq!(fingerprint(&place), second);
    let message = place.site.run_refused(&["key", "certificate", "user-ca", "--read"], 1);
    assert!(message.contains("slot 9c has no certificate"), "the other key's is gone: {message}");
}

#[test]
fn what_cannot_be_imported_changes_nothing() {
    let old_card = Settings { firmware: Firmware::V5_4_3, ..Settings::of(SERIAL) };
    let place = place(old_card, "ed25519");
    ssh_keygen(&place, "old", &["-t", "ed25519", "-N", PASSPHRASE]);
    let refused = |why: &str| {
        let message = place.site.run_refused(&import(&[]), 1);
        assert!(message.contains(why) && !message.contains("canary"), "{message}");
    };
    refused("firmware 5.4.3 takes no such keys");
    write_secret(&place, "passphrase", "another canary");
    refused("the passphrase is another one");
    std::fs::set_permissions(place.site.path("old"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    refused("has mode 0644: others than its owner can use the key");
    std::fs::remove_file(place.site.path("old")).unwrap();
    refused("cannot open old");
    ssh_keygen(&place, "other", &["-t", "ecdsa", "-N", ""]);
    std::fs::rename(place.site.path("other"), place.site.path("old")).unwrap();
    refused("scheme ed25519 of [key.user-ca] does not fit the key SHA256:");
    let config = std::fs::read_to_string(place.site.path("countersign.toml")).unwrap();
    let pinned =
        format!("scheme = {P256:?}\nfingerprint = \"SHA256:jO4Hn3rVYuT0hGZ0yYrUbSUSZ6n4dM3z8Bjv3QmZ6xk\"");
    place.site.configure(&config.replace("scheme = \"ed25519\"", &pinned));
    refused("is not the one that [key.user-ca] pins; nothing was changed");
    management_key(&place, &"00".repeat(24));
    place.site.configure(&config.replace("\"ed25519\"", &format!("{P256:?}")));
    refused("the management key is another one; nothing was changed");
    assert!(place.site.run_refused(&["check"], 2).contains("slot 9c of the YubiKey holds no key"));
}

#[test]
fn a_key_that_cannot_be_shown_to_sign_is_said_to_be_there() {
    let place = place(Settings::of(SERIAL), P256);
    let made = ssh_keygen(&place, "old", &["-t", "ecdsa", "-N", ""]);
    place.write_pin("000000");
    let message = place.site.run_refused(&import(&[]), 1);
    let said = "the key is on the token, but there is no provisioning record of it";
    assert!(message.contains(said) && message.contains("countersign key record make user-ca"), "{message}");
    assert!(message.contains("the YubiKey refused the PIN"), "{message}");
    assert_eq!(fingerprint(&place), made);
    assert!(place.site.run_refused(&["check"], 2).contains("is the one that the token refused before"));
    assert_eq!(place.desk.card.counts().wrong_pins, 1);
}
