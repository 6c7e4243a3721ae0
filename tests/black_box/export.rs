//! `countersign key export-public`: every form, as OpenSSH and OpenSSL read it.

use std::path::Path;
use std::process::Command;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use crate::site::{Site, text};

/// A user CA and a host CA, and one on RSA.
fn site() -> Site {
    let key = |name: &str, purpose: &str, scheme: &str| {
        format!(
            "[key.{name}]\npurpose = \"{purpose}\"\nscheme = \"{scheme}\"\ntoken = \"soft\"\n\
             [key.{name}.allow.staff]\ncallers = [\"dns:front\"]\nprincipals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"1/h\"\n"
        )
    };
    Site::new(
        &[
            key("user-ca", "ssh-user-ca", "ecdsa-p521-sha512"),
            key("host-ca", "ssh-host-ca", "ed25519"),
            key("rsa-ca", "ssh-host-ca", "rsa-pkcs1-sha512"),
        ]
        .concat(),
    )
}

fn export(site: &Site, args: &[&str]) -> String {
    site.run_ok(&[&["key", "export-public"], args].concat())
}

fn run(program: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn openssh_reads_every_line() {
    let site = site();
    let file = site.path("exported");
    for name in ["user-ca", "host-ca", "rsa-ca"] {
        std::fs::write(&file, export(&site, &[name])).unwrap();
        let said = run("ssh-keygen", &["-lvf"], &file);
        assert_eq!(export(&site, &[name, "--format", "fingerprint"]), said);
        let shown = site.run_ok(&["key", "show", name, "--openssh"]);
        assert_eq!(export(&site, &[name]), shown);
    }
    let trusted = export(&site, &["user-ca", "--format", "trusted-user-ca", "--comment", "our users"]);
    assert!(trusted.ends_with(" our users\n"), "{trusted}");
    std::fs::write(&file, trusted).unwrap();
    assert!(run("ssh-keygen", &["-lf"], &file).contains("our users (ECDSA)"));

    let hosts = ["host-ca", "--format", "cert-authority", "--hosts", "*.example.org,10.0.0.*"];
    std::fs::write(&file, export(&site, &hosts)).unwrap();
    let found = run("ssh-keygen", &["-F", "www.example.org", "-f"], &file);
    assert!(found.contains("found: line 1 CA"), "{found}");
    run("ssh-keygen", &["-F", "10.0.0.7", "-f"], &file);
}

#[test]
fn a_line_that_makes_somebody_trust_a_key_is_for_its_purpose_alone() {
    let site = site();
    std::fs::remove_file(site.path("pin")).unwrap();
    for (args, problem) in [
        (
            &["user-ca", "--format", "cert-authority", "--hosts", "*"][..],
            "is for keys of purpose ssh-host-ca; user-ca is of ssh-user-ca",
        ),
        (&["user-ca", "--format", "known-hosts", "--hosts", "*"], "is for keys of purpose ssh-host-ca"),
        (&["host-ca", "--format", "trusted-user-ca"], "is for keys of purpose ssh-user-ca"),
        (&["host-ca", "--format", "cert-authority", "--hosts", "*.example.org ssh-rsa"], "wants patterns"),
        (&["host-ca", "--format", "cert-authority", "--hosts", ""], "wants patterns"),
        (&["host-ca", "--format", "jwk", "--hosts", "*"], "no other form says for which hosts"),
        (&["host-ca", "--comment", "a\nssh-rsa AAAA"], "control characters"),
    ] {
        let said = site.run_refused(&[&["key", "export-public"], args].concat(), 1);
        assert!(said.contains(problem), "{args:?}: {said}");
    }
    // `bundle` calls it by the other name.
    for form in ["cert-authority", "known-hosts"] {
        site.run_refused(&["key", "export-public", "host-ca", "--format", form], 2);
    }
}

#[test]
fn a_json_web_key_and_pem_are_the_same_key() {
    let site = site();
    let file = site.path("exported.pem");
    for (name, kind, algorithm) in
        [("user-ca", "EC", "ES512"), ("host-ca", "OKP", "EdDSA"), ("rsa-ca", "RSA", "RS512")]
    {
        let jwk: Value = serde_json::from_str(&export(&site, &[name, "--format", "jwk"])).unwrap();
        assert_eq!((&jwk["kty"], &jwk["alg"], &jwk["use"]), (&kind.into(), &algorithm.into(), &"sig".into()));
        let member = |member: &str| Base64UrlUnpadded::decode_vec(jwk[member].as_str().unwrap()).unwrap();
        std::fs::write(&file, export(&site, &[name, "--format", "pem"])).unwrap();
        let der = Command::new("openssl")
            .args(["pkey", "-pubin", "-outform", "DER", "-in"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(der.status.success());
        let raw = match kind {
            "EC" => [&[4][..], &member("x"), &member("y")].concat(),
            "OKP" => member("x"),
            _ => [&member("n")[..], &[2, 3], &member("e")].concat(),
        };
        assert!(der.stdout.ends_with(&raw), "{name}: {jwk}");
        assert_eq!(member("kid").len(), 32);
    }
}
