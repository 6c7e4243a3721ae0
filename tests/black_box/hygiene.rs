//! Private keys that are not what a CA key should be: refused, unless their section accepts them by name.

use std::process::Command;

use crate::site::{Site, USER_CA, text};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn run(site: &Site, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).current_dir(site.dir()).env("SOFTHSM2_CONF", site.path("softhsm2.conf"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
}

/// Has OpenSC make a key pair called `user-ca`.
fn make(site: &Site, kind: &str, args: &[&str]) {
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let token = ["--module", MODULE, "--token-label", "test", "--login", "--pin", pin.trim_end()];
    let key = ["--keypairgen", "--label", "user-ca", "--id", "01", "--key-type", kind];
    run(site, "pkcs11-tool", &[&token[..], &key[..], args].concat());
}

/// A site whose token has no key yet.
fn site(scheme: &str) -> Site {
    Site::without_keys(&USER_CA.replace("100000/h", "100/h").replace("ecdsa-p256-sha256", scheme))
}

fn accept(site: &Site, list: &str) {
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("[key.user-ca]\n", &format!("[key.user-ca]\naccept = {list}\n")));
}

/// That the key is refused for these attributes, that it would be served with this list, and that it is.
fn is_refused(site: &Site, found: &str, list: &str) {
    let said = site.run_refused(&["serve"], 2);
    let (cause, fix) = said.split_once("; ").unwrap();
    assert!(cause.ends_with(&format!("the private key has {found}, which a CA key must not have")), "{said}");
    assert!(fix.contains(&format!("`accept = {list}`")), "{said}");
    accept(site, list);
    let output = site.run(&["check"]);
    let log = text(&output.stderr);
    assert!(output.status.success() && log.contains("THE KEY NEED NOT BE WHAT A CA KEY SHOULD BE"), "{log}");
    let output = site.run(&["doctor"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("WARNING  key.user-ca.accept: the key may be "), "{said}");
    let (_, log) = site.serve().stop();
    assert!(log.contains("THE KEY NEED NOT BE WHAT A CA KEY SHOULD BE"), "{log}");
}

#[test]
fn a_key_that_can_leave_the_token_is_refused_unless_it_is_accepted() {
    let site = site("ecdsa-p256-sha256");
    make(&site, "EC:prime256v1", &["--usage-sign", "--sensitive", "--extractable"]);
    let found = "CKA_EXTRACTABLE true, CKA_NEVER_EXTRACTABLE false";
    is_refused(&site, found, r#"["extractable", "once-extractable"]"#);
}

#[test]
fn a_key_that_was_imported_is_refused_unless_it_is_accepted() {
    let site = site("ecdsa-p256-sha256");
    run(
        &site,
        "openssl",
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"],
    );
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let import = [
        "--import",
        "key.pem",
        "--token",
        "test",
        "--label",
        "user-ca",
        "--id",
        "01",
        "--pin",
        pin.trim_end(),
    ];
    run(&site, "softhsm2-util", &import);
    let found = "CKA_NEVER_EXTRACTABLE false, CKA_ALWAYS_SENSITIVE false, CKA_LOCAL false";
    is_refused(&site, found, r#"["once-extractable", "once-not-sensitive", "not-local"]"#);
}

#[test]
fn a_key_that_does_more_than_sign_is_refused_unless_it_is_accepted() {
    let site = site("rsa-pkcs1-sha512");
    make(&site, "rsa:2048", &["--usage-sign", "--usage-decrypt", "--sensitive"]);
    is_refused(&site, "CKA_DECRYPT true, CKA_UNWRAP true", r#"["decrypts", "unwraps"]"#);
}

#[test]
fn only_what_is_listed_is_accepted() {
    let site = site("ecdsa-p256-sha256");
    make(&site, "EC:prime256v1", &["--usage-sign", "--sensitive", "--extractable"]);
    accept(&site, r#"["once-extractable", "not-local"]"#);
    let said = site.run_refused(&["check"], 2);
    assert!(said.contains("has CKA_EXTRACTABLE true, which"), "{said}");
    // The list as it is to be, with what is there already.
    let list = r#"`accept = ["extractable", "once-extractable", "not-local"]`"#;
    assert!(said.contains(list), "{said}");
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("not-local", "anything"));
    let said = site.run_refused(&["check"], 2);
    assert!(said.contains("key.user-ca.accept: ") && said.contains("extractable"), "{said}");
}
