//! Provisioning records: who signed them, where they are kept, and what becomes of one that is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign::ledger::Entry;
use countersign_faulty::{Control, Script, Token};
use countersign_proto::v1::RecordKeyRequest;
use serde_json::Value;
use tonic::Code;

use crate::faulty::faulty;
use crate::site::{FRONT_END, Site, USER_CA, at, text};

/// A second key on the same token.
const ANOTHER: &str = "
[key.another]
purpose = \"ssh-host-ca\"
scheme = \"ed25519\"
token = \"soft\"
[key.another.allow.staff]
callers = [\"spiffe://countersign.example/front-end\"]
principals = [\"*.example.org\"]
max_lifetime = \"1h\"
budget = \"1/h\"
";

/// A site with `keys` in its configuration, the first of which is made.
fn site(keys: &str) -> (Site, Value) {
    let site = Site::without_keys(keys);
    let made = generate(&site, "user-ca", &[]);
    (site, made)
}

fn generate(site: &Site, name: &str, more: &[&str]) -> Value {
    json(&site.run_ok(&[&["key", "generate", name, "--json"], more].concat()))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The file of what `key generate --json` printed.
fn file(site: &Site, made: &Value) -> PathBuf {
    site.path(made["record"]["file"].as_str().unwrap())
}

fn signature(record: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sig", record.display()))
}

/// The records of the ledger: index, exact bytes, and who had them recorded.
fn recorded(site: &Site) -> Vec<(usize, Vec<u8>, String)> {
    let entries = site.entries().into_iter().enumerate();
    let found = entries.filter_map(|(index, entry)| match entry {
        Entry::KeyRecord { record, by, .. } => Some((index, record, text(&by))),
        _ => None,
    });
    found.collect()
}

fn verify(site: &Site, record: &Path) -> Value {
    json(&site.run_ok(&["key", "record", "verify", record.to_str().unwrap(), "--json"]))
}

#[test]
fn a_key_that_is_made_signs_its_own_record() {
    let (site, made) = site(USER_CA);
    let path = file(&site, &made);
    let record = json(&fs::read_to_string(&path).unwrap());
    assert_eq!((&made["record"]["entry"], &made["differs"]), (&Value::Null, &Value::Array(Vec::new())));
    assert_eq!(
        (&record["how"], &record["key"], &record["scheme"]),
        (&"generated".into(), &"user-ca".into(), &"ecdsa-p256-sha256".into())
    );
    assert_eq!(record["operator"]["uid"], rustix::process::getuid().as_raw());
    assert_eq!(record["public_key"]["fingerprint"], made["fingerprint"]);
    assert_eq!((&record["place"]["label"], &record["place"]["id"]), (&"user-ca".into(), &made["id"]));
    assert_eq!((&record["token"]["name"], &record["token"]["label"]), (&"soft".into(), &"test".into()));
    for field in ["host", "program", "time"] {
        assert!(!record[field].as_str().unwrap().is_empty(), "{record}");
    }
    assert!(!record["token"]["serial"].as_str().unwrap().is_empty());
    let module = &record["module"];
    let sum = Command::new("sha256sum").arg(module["path"].as_str().unwrap()).output().unwrap();
    assert!(text(&sum.stdout).starts_with(module["sha256"].as_str().unwrap()), "{record}");
    assert_eq!(module["manufacturer"], "SoftHSM");
    let attributes = record["attributes"].as_array().unwrap();
    for (name, value) in [
        ("CKA_PRIVATE", "true"),
        ("CKA_EXTRACTABLE", "false"),
        ("CKA_MODIFIABLE", "false"),
        ("CKA_LOCAL", "true"),
    ] {
        let row = attributes.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!((&row["expected"], &row["told"]), (&value.into(), &value.into()), "{row}");
    }
}

/// With nothing of countersign's but the two files.
#[test]
fn ssh_keygen_verifies_a_record() {
    let (site, made) = site(USER_CA);
    let path = file(&site, &made);
    let line = made["openssh"].as_str().unwrap();
    fs::write(site.path("allowed"), format!("user-ca {line}\n")).unwrap();
    let verifies = |message: &Path| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Y", "verify", "-I", "user-ca", "-n", "provisioning-record@countersign"]);
        keygen.arg("-f").arg(site.path("allowed")).arg("-s").arg(signature(&path));
        keygen.stdin(fs::File::open(message).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        keygen.status().unwrap().success()
    };
    assert!(verifies(&path));
    let changed = fs::read_to_string(&path).unwrap().replace("\"generated\"", "\"imported\"");
    fs::write(site.path("changed.json"), changed).unwrap();
    assert!(!verifies(&site.path("changed.json")));
}

#[test]
fn a_record_waits_for_the_first_start_and_is_recorded_once() {
    let (site, made) = site(USER_CA);
    let path = file(&site, &made);
    assert_eq!(verify(&site, &path)["looked_for"], false, "there is no ledger yet");
    let mut entry = None;
    for _ in 0..3 {
        let (status, log) = site.serve_with_records().stop();
        assert!(status.success(), "{log}");
        let found = recorded(&site);
        let [(index, bytes, by)] = &found[..] else { panic!("{found:?}\n{log}") };
        assert_eq!(*bytes, fs::read(&path).unwrap());
        assert_eq!(*by, format!("uid:{}", rustix::process::geteuid().as_raw()));
        assert_eq!(*entry.get_or_insert(*index), *index);
        assert!(!log.contains("WARN") || !log.contains("provisioning"), "{log}");
    }
    assert_eq!(verify(&site, &path)["entry"], entry.unwrap());
    // That the key is known, which signed the self-tests before, is by the record alone.
    site.run_ok(&["ledger", "verify", "--accept-uncovered", "--ledger", "ledger.sqlite"]);
    let shown = site.run_ok(&["ledger", "find", "--subject", made["fingerprint"].as_str().unwrap()]);
    assert!(shown.contains("key-record") && shown.contains("generated, on token soft, SHA256:"), "{shown}");
    let shown = json(&site.run_ok(&[
        "ledger",
        "find",
        "--json",
        "--key",
        "user-ca",
        "--limit",
        "1",
        "--subject",
        made["fingerprint"].as_str().unwrap(),
    ]));
    assert_eq!((&shown["kind"], &shown["fingerprint"]), (&"key-record".into(), &made["fingerprint"]));
    assert!(site.run_ok(&["ledger", "stats"]).contains("key-record"));
}

#[test]
fn a_signer_that_runs_is_told() {
    let (site, first) = site(&format!("{USER_CA}{ANOTHER}"));
    site.configure(&format!("{}{USER_CA}", site.base_config()));
    let daemon = site.serve();
    site.configure(&format!("{}{USER_CA}{ANOTHER}", site.base_config()));
    let copy = site.path("copy.json");
    let said = site.run_ok(&["key", "generate", "another", "--record", copy.to_str().unwrap()]);
    let found = recorded(&site);
    let [(index, bytes, _)] = &found[..] else { panic!("{found:?}") };
    assert!(said.contains(&format!(": entry {index} of the ledger")), "{said}");
    assert_eq!(
        (bytes, verify(&site, &copy)["entry"].as_u64()),
        (&fs::read(&copy).unwrap(), Some(*index as u64))
    );
    // The same again, and another of the same key.
    let made = json(&site.run_ok(&["key", "record", "make", "another", "--json"]));
    let again = made["entry"].as_u64().unwrap();
    let found = json(&fs::read_to_string(site.path(made["file"].as_str().unwrap())).unwrap());
    assert_eq!(found["how"], "found", "nobody saw how it was made");
    assert_eq!(recorded(&site).len(), 2);
    daemon.stop();
    // Its file is where the signer looks at its start, and it is there already.
    let (_, log) = site.serve_with_records().stop();
    assert!(!log.contains("recorded that key"), "{log}");
    assert_eq!(recorded(&site).len(), 2, "{log}");
    assert!(matches!(site.entries()[at(again)], Entry::KeyRecord { .. }));
    drop(first);
}

#[test]
fn a_record_that_is_damaged_or_anothers_is_a_warning_and_no_entry() {
    let (site, made) = site(&format!("{USER_CA}{ANOTHER}"));
    let path = file(&site, &made);
    let (good, signed) = (fs::read(&path).unwrap(), fs::read(signature(&path)).unwrap());
    // A key of its own that no section names any more: its record is as good as any that somebody makes at home.
    let stranger = file(&site, &generate(&site, "another", &[]));
    site.configure(&format!("{}{USER_CA}", site.base_config()));
    let changed = text(&good).replace("\"generated\"", "\"restored\"");
    let damages: [(&str, Vec<u8>, Vec<u8>); 5] = [
        ("was the text changed after it was signed?", changed.into_bytes(), signed.clone()),
        ("not a provisioning record", b"{}\n".to_vec(), signed.clone()),
        ("not a provisioning record", good[..good.len() / 2].to_vec(), signed.clone()),
        ("not a signature in SSH's form", good.clone(), Vec::new()),
        ("and not by the key that it is of", good.clone(), fs::read(signature(&stranger)).unwrap()),
    ];
    for (what, record, signature_file) in damages {
        fs::write(&path, record).unwrap();
        fs::write(signature(&path), signature_file).unwrap();
        let (status, log) = site.serve_with_records().stop();
        assert!(status.success(), "{log}");
        assert!(log.contains("no good provisioning record, and was not recorded"), "{log}");
        let is_other = what.contains("of the key") || what.contains("by the key");
        assert!(is_other || log.contains(what), "{what}: {log}");
        assert!(log.contains("which is no key in service"), "{log}");
        assert_eq!(recorded(&site), [], "{what}");
        let message = site.run_refused(&["key", "record", "verify", path.to_str().unwrap()], 1);
        assert!(message.contains("cannot be trusted"), "{message}");
    }
    fs::write(&path, good).unwrap();
    fs::write(signature(&path), signed).unwrap();
    site.serve_with_records().stop();
    assert_eq!(recorded(&site).len(), 1);
}

#[tokio::test]
async fn only_the_operator_has_records_recorded_and_only_good_ones() {
    let (site, made) = site(USER_CA);
    let path = file(&site, &made);
    let request = RecordKeyRequest {
        record: fs::read(&path).unwrap().into(),
        signature: fs::read_to_string(signature(&path)).unwrap(),
    };
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    assert_eq!(client.record_key(request.clone()).await.unwrap_err().code, Code::Unimplemented);
    let operator = countersign_proto::Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let forged =
        RecordKeyRequest { record: text(&request.record).replace("soft", "hard").into(), ..request.clone() };
    let error = operator.record_key(forged).await.unwrap_err();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "KEY_RECORD_INVALID"));
    // All at once, and once.
    let asked = (0..8).map(|_| operator.record_key(request.clone()));
    let answers: Vec<_> = futures_util::future::try_join_all(asked).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| !answer.already).count(), 1);
    let entry =
        |answer: &countersign_proto::v1::RecordKeyResponse| answer.receipt.clone().unwrap().entry_index;
    assert!(answers.iter().all(|answer| entry(answer) == entry(&answers[0])));
    assert_eq!(recorded(&site).len(), 1);
}

#[test]
fn a_key_that_did_not_sign_its_record_is_told_of() {
    let (site, made) = site(USER_CA);
    let records = file(&site, &made).parent().unwrap().to_owned();
    fs::remove_dir_all(&records).unwrap();
    fs::write(&records, "in the way").unwrap();
    site.configure(&format!("{}{USER_CA}{ANOTHER}", site.base_config()));
    let message = site.run_refused(&["key", "generate", "another"], 1);
    assert!(
        message.contains("the key is on the token, but there is no provisioning record of it"),
        "{message}"
    );
    assert!(message.contains("`countersign key record make another`"), "{message}");
    fs::remove_file(&records).unwrap();
    let said = site.run_ok(&["key", "record", "make", "another"]);
    assert!(
        said.contains("found key another on token soft") && said.contains("provisioning record"),
        "{said}"
    );
}

#[test]
fn a_record_is_of_the_key_that_is_meant() {
    let (site, made) = site(USER_CA);
    let path = file(&site, &made);
    let path = path.to_str().unwrap();
    let own = made["fingerprint"].as_str().unwrap();
    site.run_ok(&["key", "record", "verify", path, "--fingerprint", own]);
    let other = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let message = site.run_refused(&["key", "record", "verify", path, "--fingerprint", other], 1);
    assert!(message.contains("is a good record, but of another key"), "{message}");
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CKA_MODIFIABLE: u64 = 0x170;

/// Has OpenSC do something on the token.
fn pkcs11_tool(site: &Site, args: &[&str]) {
    let pin = fs::read_to_string(site.path("pin")).unwrap();
    let mut tool = Command::new("pkcs11-tool");
    tool.args(["--module", MODULE, "--token-label", "test", "--login", "--pin", pin.trim_end()]).args(args);
    let output = tool.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A key as OpenSC makes it: whoever has the PIN may change it.
fn site_with_tools_key() -> Site {
    let site = Site::without_keys(USER_CA);
    let key = ["--keypairgen", "--label", "user-ca", "--id", "01", "--key-type", "EC:prime256v1"];
    pkcs11_tool(&site, &[&key[..], &["--usage-sign", "--sensitive"]].concat());
    site
}

#[test]
fn what_a_key_should_not_be_is_marked_and_an_error() {
    let site = site_with_tools_key();
    let output = site.run(&["key", "record", "make", "user-ca"]);
    let (said, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{message}");
    let row = |name: &str| said.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    let words = |name: &str| row(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("attribute"), ["attribute", "expected", "token", "says"]);
    assert_eq!(words("CKA_MODIFIABLE"), ["CKA_MODIFIABLE", "false", "true", "DIFFERS"]);
    assert_eq!(words("CKA_SENSITIVE"), ["CKA_SENSITIVE", "true", "true"]);
    assert!(
        message.contains("[key.user-ca] is there, but CKA_MODIFIABLE is not as it should be"),
        "{message}"
    );
    assert!(message.contains("`countersign key delete` deletes it"), "{message}");
    // What differs is what the record says, too.
    let record = fs::read_dir(site.path("ledger.sqlite.records")).unwrap();
    let mut paths = record.map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.extension().is_some_and(|kind| kind == "json")).unwrap();
    assert_eq!(verify(&site, &path)["differs"], serde_json::json!(["CKA_MODIFIABLE"]));
}

/// A module that says one thing and does another.
#[test]
fn a_token_that_makes_another_key_than_was_asked_for_is_told_of() {
    let site = Site::without_token("");
    fs::create_dir(site.path("script")).unwrap();
    let control = Control::new(&site.path("script/script.toml")).unwrap();
    site.configure(&format!("{}{USER_CA}", faulty(&site.base_config(), &control)));
    let so_pin = site.path("so-pin");
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    let attribute_true = vec![CKA_MODIFIABLE];
    control.set(&Script::token(Token { attribute_true, ..Token::default() })).unwrap();
    let output = site.run(&["key", "generate", "user-ca"]);
    let (said, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{message}");
    assert!(
        message.contains("[key.user-ca] is there, but CKA_MODIFIABLE is not as it should be"),
        "{message}"
    );
    assert_eq!(said.lines().filter(|line| line.ends_with("DIFFERS")).count(), 1, "{said}");
    assert!(said.contains("provisioning record "), "it is a fact all the same: {said}");
}

#[test]
fn a_key_for_a_backup_is_made_only_where_both_say_so() {
    let site = Site::without_keys(USER_CA);
    let generate = ["key", "generate", "user-ca", "--backup"];
    let message = site.run_refused(&generate, 1);
    assert!(message.contains("takes no key that can leave its token, and nothing was made"), "{message}");
    let some = USER_CA.replace("[key.user-ca]\n", "[key.user-ca]\naccept = [\"extractable\"]\n");
    site.configure(&format!("{}{some}", site.base_config()));
    assert!(site.run_refused(&generate, 1).contains("and nothing was made"));
    let both = some.replace("[\"extractable\"]", "[\"extractable\", \"once-extractable\"]");
    site.configure(&format!("{}{both}", site.base_config()));
    let output = site.run(&generate);
    let (said, warning) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{warning}");
    assert!(
        warning.contains("WARNING: this key can leave its token") && warning.contains("marked as trusted"),
        "{warning}"
    );
    let words = |name: &str| {
        let row = said.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        row.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words("CKA_EXTRACTABLE"), "true true");
    assert_eq!(words("CKA_NEVER_EXTRACTABLE"), "false false");
    assert_eq!(words("CKA_SENSITIVE"), "true true");
    assert_eq!(words("CKA_WRAP_WITH_TRUSTED"), "true true");
    let shown = json(&site.run_ok(&["key", "show", "user-ca", "--json"]));
    assert_eq!(shown["attributes"]["CKA_EXTRACTABLE"], true);
    // It serves as long as its section puts up with it, and no longer.
    assert!(site.run_ok(&["check"]).contains("no faults"));
    site.configure(&format!("{}{USER_CA}", site.base_config()));
    assert!(site.run_refused(&["check"], 2).contains("has CKA_EXTRACTABLE true"));
}

#[test]
fn a_label_is_changed_where_the_token_lets_it_be() {
    let site = site_with_tools_key();
    let before = json(&site.run_ok(&["key", "show", "user-ca", "--json"]));
    let message = site.run_refused(&["key", "rename", "user-ca", "--to", "user-ca"], 1);
    assert!(message.contains("has the label \"user-ca\" already"), "{message}");
    let said = site.run_ok(&["key", "rename", "user-ca", "--to", "user-ca-2026"]);
    assert!(said.contains(before["fingerprint"].as_str().unwrap()), "{said}");
    assert!(said.contains("  label = \"user-ca-2026\""), "{said}");
    assert!(
        site.run_refused(&["key", "show", "user-ca"], 1).contains("no private key has label \"user-ca\"")
    );
    let labelled = USER_CA.replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"user-ca-2026\"\n");
    site.configure(&format!("{}{labelled}", site.base_config()));
    let after = json(&site.run_ok(&["key", "show", "user-ca", "--json"]));
    assert_eq!((&after["fingerprint"], &after["label"]), (&before["fingerprint"], &"user-ca-2026".into()));
    assert!(site.run_ok(&["check"]).contains("no faults"));
    // No second key of a name.
    let other = ["--keypairgen", "--label", "other", "--id", "02", "--key-type", "EC:prime256v1"];
    pkcs11_tool(&site, &[&other[..], &["--usage-sign", "--sensitive"]].concat());
    let message = site.run_refused(&["key", "rename", "user-ca", "--to", "other"], 1);
    assert!(message.contains("another key on the token has the label \"other\" already"), "{message}");
}

#[test]
fn a_label_that_nobody_can_change_stays_and_why_is_said() {
    let (site, made) = site(USER_CA);
    let message = site.run_refused(&["key", "rename", "user-ca", "--to", "other"], 1);
    assert!(
        message.contains("key user-ca was not renamed") && message.contains("CKA_MODIFIABLE false"),
        "{message}"
    );
    assert!(message.contains("call the section [key.NEW], give it `label = \"user-ca\"`"), "{message}");
    // What it says to do is enough.
    let renamed =
        USER_CA.replace("key.user-ca", "key.new").replace("[key.new]\n", "[key.new]\nlabel = \"user-ca\"\n");
    site.configure(&format!("{}{renamed}", site.base_config()));
    let shown = json(&site.run_ok(&["key", "show", "new", "--json"]));
    assert_eq!(shown["fingerprint"], made["fingerprint"]);
}
