//! Software keys put on tokens behind PKCS#11 modules: what is refused, that nothing is left of a refused one, and where the
//! private half is not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64ct::{Base64, Encoding};
use countersign_faulty::{Action, Call, On, Script};
use serde_json::Value;

use crate::faulty::Broken;
use crate::site::{Site, USER_CA, text};

const PASSPHRASE: &str = "canary passphrase";
const ACCEPT: &str = "accept = [\"not-local\", \"once-not-sensitive\", \"once-extractable\"]";
const IMPORT: [&str; 5] = ["key", "import", "user-ca", "--from", "old"];

/// The section of a user CA that takes an imported key.
fn section() -> String {
    USER_CA.replace("token = \"soft\"\n", &format!("token = \"soft\"\n{ACCEPT}\n"))
}

fn run(site: &Site, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(site.dir()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A key in the file `old`; its fingerprint.
fn old(site: &Site, kind: &[&str], passphrase: &str) -> String {
    run(site, "ssh-keygen", &[&["-q", "-f", "old", "-C", "", "-N", passphrase], kind].concat());
    let said = run(site, "ssh-keygen", &["-l", "-f", "old.pub"]);
    said.split_whitespace().nth(1).unwrap().to_owned()
}

fn secret(site: &Site, name: &str, bytes: &[u8]) {
    std::fs::write(site.path(name), bytes).unwrap();
    std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn keys(site: &Site) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&site.run_ok(&["key", "list", "--json"])).unwrap();
    listed.as_array().unwrap().clone()
}

fn is_empty(site: &Site) -> bool {
    keys(site)[0]["problem"].as_str().is_some_and(|problem| problem.contains("the token has no private key"))
}

#[test]
fn a_refused_key_leaves_nothing_on_the_token() {
    let site = Site::without_keys(&section());
    let refused = |args: &[&str], what: &str| {
        let message = site.run_refused(args, 1);
        assert!(message.contains(what), "{message}");
        assert!(is_empty(&site), "{message}");
    };
    refused(&IMPORT, "cannot open old");
    let fingerprint = old(&site, &["-t", "ed25519"], PASSPHRASE);
    secret(&site, "passphrase", b"another\n");
    let with_passphrase = [&IMPORT[..], &["--passphrase-file", "passphrase"]].concat();
    refused(&with_passphrase, "the passphrase is another one");
    secret(&site, "passphrase", PASSPHRASE.as_bytes());
    refused(&with_passphrase, &format!("does not fit the key {fingerprint}; nothing was changed"));
    site.configure(&format!("{}{}", site.base_config(), section().replace("\"not-local\", ", "")));
    refused(
        &with_passphrase,
        "takes no imported key, and nothing was changed: set `accept = [\"once-extractable\", \"once-not-sensitive\", \"not-local\"]`",
    );
    // What else the token would say of it is not accepted, and is found out before it keeps the key.
    let only = section().replace(", \"once-not-sensitive\", \"once-extractable\"", "");
    site.configure(&format!("{}{}", site.base_config(), only.replace("ecdsa-p256-sha256", "ed25519")));
    refused(&with_passphrase, "`accept = [\"once-extractable\", \"once-not-sensitive\", \"not-local\"]`");
    let pinned = "fingerprint = \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\nscheme";
    let other = section().replace("ecdsa-p256-sha256", "ed25519").replace("scheme", pinned);
    site.configure(&format!("{}{other}", site.base_config()));
    refused(&with_passphrase, "is not the one that [key.user-ca] pins; nothing was changed");
    site.configure(&format!("{}{}", site.base_config(), section().replace("ecdsa-p256-sha256", "ed25519")));
    let replacing = [&with_passphrase[..], &["--replace", &fingerprint]].concat();
    refused(&replacing, "no key takes another's place; nothing was changed: leave --replace out");
    site.run_ok(&with_passphrase);
    assert!(!is_empty(&site));
}

#[test]
fn a_key_that_others_know_is_not_imported() {
    let rsa = section().replace("ecdsa-p256-sha256", "rsa-pkcs1-sha256");
    let site = Site::without_keys(&rsa);
    secret(&site, "old", include_bytes!("key_import/close-primes.pem"));
    let message = site.run_refused(&IMPORT, 1);
    assert!(
        message.contains("is no secret: its primes are so close that anybody can find them"),
        "{message}"
    );
    std::fs::remove_file(site.path("old")).unwrap();
    let fingerprint = old(&site, &["-t", "ecdsa"], "");
    std::fs::write(site.path("leaked"), format!("{fingerprint}\n")).unwrap();
    let lists = "\n[blocklist]\nfingerprints = [\"leaked\"]\n";
    site.configure(&format!("{}{}{lists}", site.base_config(), section()));
    let message = site.run_refused(&IMPORT, 1);
    let expected = format!("the key {fingerprint} is no secret: it is in the blocklist `fingerprints`");
    assert!(message.contains(&expected), "{message}");
    assert!(is_empty(&site));
}

#[test]
fn no_key_is_imported_beside_itself_or_its_namesake() {
    let site = Site::without_keys(&section());
    let fingerprint = old(&site, &["-t", "ecdsa"], "");
    let said = site.run_ok(&IMPORT);
    assert!(said.starts_with("imported key user-ca onto token soft; a signature of it verifies"), "{said}");
    assert!(said.contains(&fingerprint), "{said}");
    assert_eq!(row(&said, "CKA_LOCAL"), ["true", "false", "accepted,", "as", "\"not-local\""]);
    // What is kept of it is signed by the key, and says where it came from.
    let file = said.split("provisioning record ").nth(1).unwrap().split(": ").next().unwrap();
    let record: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(
        (&record["how"], &record["note"]),
        (&"imported".into(), &"from a file in OpenSSH's format".into())
    );
    site.run_ok(&["key", "record", "verify", file]);
    let message = site.run_refused(&IMPORT, 1);
    assert!(
        message.contains("nothing was changed on the token: a private key with label \"user-ca\""),
        "{message}"
    );
    let section = section().replace("key.user-ca", "key.twin-ca");
    site.configure(&format!("{}{section}", site.base_config()));
    let message = site.run_refused(&["key", "import", "twin-ca", "--from", "old"], 1);
    let twin = format!("the token holds the key {fingerprint} already: label \"user-ca\"");
    assert!(message.contains(&twin), "{message}");
    assert_eq!(keys(&site).len(), 2);
}

/// One bit of the proof is wrong, and the token keeps nothing.
#[test]
fn a_token_that_signs_wrongly_keeps_no_key() {
    let Broken { site, control } = Broken::new();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let section = section().replace("key.user-ca", "key.imported");
    site.configure(&format!("{config}{section}"));
    old(&site, &["-t", "ecdsa"], "");
    let import = ["key", "import", "imported", "--from", "old"];
    control.set(&Script::on(On::call(Call::Sign, Action::WrongSignature))).unwrap();
    let message = site.run_refused(&import, 1);
    assert!(message.contains("nothing was changed on the token: the token holds another key"), "{message}");
    control.set(&Script::default()).unwrap();
    assert!(
        site.run_refused(&["key", "show", "imported"], 1).contains("no private key has label \"imported\"")
    );
    let before = control.calls(Call::SignInit);
    site.run_ok(&import);
    assert_eq!(control.calls(Call::SignInit) - before, 2, "the trial's, and that of its record");
    assert_eq!(control.calls(Call::DestroyObject), 0);
}

/// What a command said of an attribute.
pub fn row<'a>(said: &'a str, attribute: &str) -> Vec<&'a str> {
    let mut rows = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&attribute));
    row.unwrap_or_else(|| panic!("{attribute}: {said}"))[1..].to_vec()
}

/// The scalar as it is, in hexadecimal, and in base64 at every place in its groups of three bytes.
pub fn spellings(scalar: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| {
        let digits =
            scalar.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        digits.collect::<String>().into_bytes()
    };
    let base64 = (0..3).map(|shift| {
        let text = Base64::encode_string(&[&vec![0; shift], scalar].concat());
        text.as_bytes()[4..40].to_vec()
    });
    base64.chain([scalar.to_vec(), hex(false), hex(true)]).collect()
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

/// Nothing that countersign does writes it: not to the ledger, the log or a file of its own. SoftHSM2 keeps it encrypted.
#[test]
fn the_private_half_is_in_no_file_but_the_one_it_came_from() {
    let site = Site::without_keys(&section());
    run(
        &site,
        "openssl",
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "old"],
    );
    let shown = run(&site, "openssl", &["pkey", "-in", "old", "-noout", "-text"]);
    let digits: String = shown.lines().skip(2).take(3).collect::<String>().replace([':', ' '], "");
    let digits = &digits[digits.len() - 64..];
    let scalar: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
    let found =
        |needle: &[u8], path: &Path| memchr::memmem::find(&std::fs::read(path).unwrap(), needle).is_some();
    let der = Base64::decode_vec(
        &std::fs::read_to_string(site.path("old"))
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect::<String>(),
    );
    assert!(memchr::memmem::find(&der.unwrap(), &scalar).is_some(), "it is not where it is");
    let output = site.command(&IMPORT).env("RUST_LOG", "trace").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let daemon = site.serve();
    daemon.stop();
    std::fs::remove_file(site.path("old")).unwrap();
    let files = files(site.dir());
    assert!(files.len() > 10, "{files:?}");
    for needle in spellings(&scalar) {
        for path in &files {
            assert!(!found(&needle, path), "{}", path.display());
        }
        for said in [&output.stdout, &output.stderr] {
            assert!(memchr::memmem::find(said, &needle).is_none(), "{}", text(said));
        }
    }
}
