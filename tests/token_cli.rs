//! `countersign token` and `countersign key` against a SoftHSM2 token in a directory of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A configuration and an empty token directory.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tokens")).unwrap();
        let tokens = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.path().display());
        fs::write(dir.path().join("softhsm2.conf"), tokens).unwrap();
        let this = Self { dir };
        this.configure("");
        this
    }

    /// A fixture whose token is initialised.
    fn with_token() -> Self {
        let this = Self::new();
        let (ok, text) = this.init(&["--generate-pins"]);
        assert!(ok, "{text}");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a configuration with three keys; `ca` has `more`.
    fn configure(&self, more: &str) {
        let mut text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "tls.crt"
tls_key = "tls.key"
client_ca = "ca.crt"
[ledger]
path = "ledger.sqlite"
origin = "test.example/log"
[token.one]
module = "{MODULE}"
label = "token one"
pin_file = "{}"
environment = {{ SOFTHSM2_CONF = "{}" }}
"#,
            self.path("pin").display(),
            self.path("softhsm2.conf").display()
        );
        for (name, scheme, purpose, more) in [
            ("ca", "ecdsa-p256-sha256", "ssh-user-ca", more),
            ("ed", "ed25519", "ssh-host-ca", ""),
            ("rsa", "rsa-pkcs1-sha512", "ssh-host-ca", ""),
        ] {
            let section = format!(
                r#"
[key.{name}]
purpose = "{purpose}"
scheme = "{scheme}"
token = "one"
label = "{name} label"
{more}
[key.{name}.allow.staff]
callers = ["dns:frontend.example"]
principals = ["alice"]
max_lifetime = "1h"
budget = "100/h"
"#
            );
            text.push_str(&section);
        }
        fs::write(self.path("countersign.toml"), text).unwrap();
    }

    /// Runs a command on the configuration; whether it succeeded, and all that it printed.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.output(arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(arguments).arg("--config").arg(self.path("countersign.toml"));
        // Not in this environment: the command must take it from the configuration.
        command.env_remove("SOFTHSM2_CONF").output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.output(arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn init(&self, more: &[&str]) -> (bool, String) {
        let so_pin = self.path("so-pin");
        let arguments = ["token", "init", "one", "--so-pin-file", so_pin.to_str().unwrap()];
        self.run(&[&arguments, more].concat())
    }

    /// An independent client's view of the token.
    fn objects(&self) -> String {
        let pin = fs::read_to_string(self.path("pin")).unwrap();
        let output = Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--token-label", "token one", "--login", "--list-objects", "--pin"])
            .arg(pin.trim_end())
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn init_makes_a_token_and_its_pin_files_once() {
    let fixture = Fixture::new();
    let (ok, text) = fixture.init(&["--generate-pins"]);
    assert!(ok, "{text}");
    let listed = fixture.json(&["token", "list", "--json"]);
    let token = listed.as_array().unwrap().iter().find(|row| row["label"] == "token one").unwrap();
    assert_eq!(token["state"], serde_json::json!(["ready"]));
    let serial = token["serial"].as_str().unwrap();
    assert!(text.contains(&format!("serial = \"{serial}\"")), "{text}");
    for name in ["pin", "so-pin"] {
        assert_eq!(fs::metadata(fixture.path(name)).unwrap().permissions().mode() & 0o7777, 0o600);
        let pin = fs::read_to_string(fixture.path(name)).unwrap();
        assert!(!text.contains(pin.trim_end()), "a PIN is printed");
    }
    let (ok, text) = fixture.init(&[]);
    assert!(!ok && text.contains("exists already"), "{text}");
}

#[test]
fn init_never_writes_over_a_pin_file_and_changes_nothing_then() {
    let fixture = Fixture::new();
    fs::write(fixture.path("pin"), "precious").unwrap();
    let (ok, text) = fixture.init(&["--generate-pins"]);
    assert!(!ok && text.contains("pin exists already"), "{text}");
    assert!(!fixture.path("so-pin").exists(), "half of the job");
    assert_eq!(fs::read_to_string(fixture.path("pin")).unwrap(), "precious");
    assert_eq!(fixture.json(&["token", "list", "--json"])[0]["state"], serde_json::json!(["blank"]));
}

#[test]
fn generates_every_kind_of_key_and_shows_what_the_token_holds() {
    let fixture = Fixture::with_token();
    for (name, bits) in [("ca", None), ("ed", None), ("rsa", Some("2048"))] {
        let mut arguments = vec!["key", "generate", name];
        arguments.extend(bits.iter().flat_map(|bits| ["--rsa-bits", bits]));
        let (ok, text) = fixture.run(&arguments);
        assert!(ok, "{text}");
        let shown = fixture.json(&["key", "show", name, "--json"]);
        let fingerprint = shown["fingerprint"].as_str().unwrap();
        assert!(text.contains(&format!("fingerprint = \"{fingerprint}\"")), "{text}");
        assert!(text.contains(shown["openssh"].as_str().unwrap()), "{text}");
        assert!(text.contains(&format!("id = {}", shown["id"])), "{text}");
        let attributes = &shown["attributes"];
        for (attribute, value) in [
            ("CKA_SIGN", true),
            ("CKA_SENSITIVE", true),
            ("CKA_ALWAYS_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
            ("CKA_NEVER_EXTRACTABLE", true),
            ("CKA_LOCAL", true),
            ("CKA_MODIFIABLE", false),
            ("CKA_DECRYPT", false),
            ("CKA_UNWRAP", false),
            ("CKA_DERIVE", false),
        ] {
            assert_eq!(attributes[attribute], value, "{name} {attribute}");
        }
    }
    let listed = fixture.json(&["key", "list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(listed.as_array().unwrap().iter().all(|row| row["problem"].is_null()), "{listed}");
}

#[test]
fn openssl_and_ssh_keygen_read_the_same_key() {
    let fixture = Fixture::with_token();
    for name in ["ca", "ed"] {
        assert!(fixture.run(&["key", "generate", name]).0);
        let shown = fixture.json(&["key", "show", name, "--json"]);
        let (line, pem) = (fixture.path("key.pub"), fixture.path("key.pem"));
        fs::write(&line, shown["openssh"].as_str().unwrap()).unwrap();
        fs::write(&pem, shown["spki_pem"].as_str().unwrap()).unwrap();
        let read = Command::new("ssh-keygen").arg("-lf").arg(&line).output().unwrap();
        let read = String::from_utf8(read.stdout).unwrap();
        assert!(read.contains(shown["fingerprint"].as_str().unwrap()), "{read}");
        let read =
            Command::new("openssl").args(["pkey", "-pubin", "-noout", "-in"]).arg(&pem).status().unwrap();
        assert!(read.success());
    }
}

#[test]
fn generate_refuses_a_label_that_exists() {
    let fixture = Fixture::with_token();
    assert!(fixture.run(&["key", "generate", "ca"]).0);
    let before = fixture.objects();
    let (ok, text) = fixture.run(&["key", "generate", "ca"]);
    assert!(!ok && text.contains("\"ca label\" exists already"), "{text}");
    assert_eq!(fixture.objects(), before);
}

#[test]
fn generate_uses_the_configured_id_and_refuses_one_that_exists() {
    let fixture = Fixture::with_token();
    fixture.configure("id = \"c0ffee\"");
    let (ok, text) = fixture.run(&["key", "generate", "ca"]);
    assert!(ok, "{text}");
    assert_eq!(fixture.json(&["key", "show", "ca", "--json"])["id"], "c0ffee");
    fixture.configure("id = \"c0ffee\"\n");
    let changed = fs::read_to_string(fixture.path("countersign.toml")).unwrap();
    fs::write(fixture.path("countersign.toml"), changed.replace("ca label", "another label")).unwrap();
    let (ok, text) = fixture.run(&["key", "generate", "ca"]);
    assert!(!ok && text.contains("id c0ffee exists already"), "{text}");
}

#[test]
fn list_tells_missing_strange_and_mispinned_keys_apart() {
    let fixture = Fixture::with_token();
    assert!(fixture.run(&["key", "generate", "ca"]).0);
    assert!(fixture.run(&["key", "generate", "ed"]).0);
    fixture.configure("fingerprint = \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"");
    let changed = fs::read_to_string(fixture.path("countersign.toml")).unwrap();
    fs::write(fixture.path("countersign.toml"), changed.replace("ed label", "no such label")).unwrap();
    let listed = fixture.json(&["key", "list", "--json"]);
    let problem = |name: Value| {
        let row = listed.as_array().unwrap().iter().find(|row| row["key"] == name).expect("a row");
        row["problem"].as_str().unwrap_or_default().to_owned()
    };
    assert!(problem("ca".into()).contains("not the key"));
    assert!(problem("ed".into()).contains("no private key has label \"no such label\""));
    assert!(problem(Value::Null).contains("no section"));
    let (ok, text) = fixture.run(&["key", "list"]);
    assert!(ok && text.contains("\"ed label\""), "{text}");
}

#[test]
fn a_wrong_pin_is_told_and_not_shown() {
    let fixture = Fixture::with_token();
    for arguments in [["key", "list"].as_slice(), &["key", "show", "ca"], &["key", "generate", "ca"]] {
        // Another each time: one that was refused is not tried again.
        fs::write(fixture.path("pin"), format!("canary-{}\n", arguments.join("-"))).unwrap();
        for said in ["CKR_PIN_INCORRECT", "is not tried again"] {
            let (ok, text) = fixture.run(arguments);
            assert!(!ok && text.contains(said), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
}

#[test]
fn a_token_process_does_not_run_by_hand() {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .arg("token-process")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn a_refused_pin_is_not_tried_again_before_an_operator_says_so() {
    let fixture = Fixture::with_token();
    fixture.configure("");
    fs::write(fixture.path("pin"), "not-the-pin").unwrap();
    let (ok, text) = fixture.run(&["check"]);
    assert!(!ok && text.contains("CKR_PIN_INCORRECT"), "{text}");
    let (ok, text) = fixture.run(&["check"]);
    assert!(!ok && text.contains("countersign token unlatch"), "{text}");
    assert!(!text.contains("CKR_PIN_INCORRECT"), "it was tried: {text}");
    let (ok, text) = fixture.run(&["token", "unlatch", "one"]);
    assert!(ok && text.contains("tried once more"), "{text}");
    let (ok, text) = fixture.run(&["check"]);
    assert!(!ok && text.contains("CKR_PIN_INCORRECT"), "{text}");
    fixture.run(&["token", "unlatch", "one"]);
    let (ok, text) = fixture.run(&["token", "unlatch", "one"]);
    assert!(ok && text.contains("nothing was changed"), "{text}");
    let (ok, text) = fixture.run(&["token", "unlatch", "two"]);
    assert!(!ok && text.contains("[token.two]"), "{text}");
    let (ok, text) = fixture.run(&["check"]);
    assert!(!ok && text.contains("CKR_PIN_INCORRECT"), "{text}");
    let config = fs::read_to_string(fixture.path("countersign.toml")).unwrap();
    let pin_file = format!("pin_file = {:?}", fixture.path("pin"));
    fs::write(fixture.path("countersign.toml"), config.replace(&pin_file, "pin_none = true")).unwrap();
    let (ok, text) = fixture.run(&["token", "unlatch", "one"]);
    assert!(ok && text.contains("noted no more"), "{text}");
}
