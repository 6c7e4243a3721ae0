//! The commands that read a ledger, of a file and of a signer that runs.

use std::io::Write;
use std::process::{Command, Stdio};

use countersign_tbs::ssh::SubjectKey;
use serde_json::Value;

use super::{READER, check_inclusion, sign, with_reader};
use crate::site::{Daemon, FRONT_END, Log, Site, USER_CA, request, text};
use crate::terminal::Terminal;

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn indexes(lines: &str) -> Vec<u64> {
    objects(lines).iter().map(|object| object["index"].as_u64().unwrap()).collect()
}

/// A reader's command; its standard output and error.
fn at_signer(site: &Site, daemon: &Daemon, args: &[&str]) -> (String, String) {
    let server = format!("https://localhost:{}", daemon.address.port());
    let output = site.client_command(daemon, READER, args).args(["--server", &server]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn find<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["ledger", "find", "--json"], args].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn find_finds_the_same_in_a_file_at_a_signer_and_without_an_index() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    sign(&client, 1..5).await;
    client.sign(request("\u{1b}[31m", Vec::new())).await.unwrap_err();
    let subject = SubjectKey::Plain(countersign_tbs::key::PublicKey::Ed25519([0x5a; 32])).fingerprint();
    let filters: &[(&[&str], usize)] = &[
        (&["--serial", "3"], 1),
        (&["--serial", "0x3"], 0),
        (&["--principal", "root"], 4),
        (&["--principal", "alice", "--key", "user-ca"], 4),
        (&["--key-id", "alice@example"], 8),
        (&["--subject", &subject], 8),
        (&["--caller", "spiffe://countersign.example/front-end", "--limit", "2"], 2),
        (&["--key", "user-ca", "--since", "2020-01-01 00:00:00"], 9),
        (&["--key", "user-ca", "--until", "2020-01-01 00:00:00"], 0),
        (&["--key", "user-ca", "--before", "1"], 1),
    ];
    let mut expected = Vec::new();
    for (filter, count) in filters {
        let live = at_signer(&site, &daemon, &find(filter)).0;
        let (live, file) = (indexes(&live), indexes(&site.run_ok(&find(filter))));
        assert_eq!((live.len(), &live), (*count, &file), "{filter:?}");
        assert!(live.is_sorted_by(|newer, older| newer > older), "{live:?}");
        expected.push(live);
    }
    let shown = at_signer(&site, &daemon, &["ledger", "find", "--key", "\u{1b}[31m"]).0;
    assert!(shown.contains("  \\x1b[31m  ") && shown.is_ascii() && !shown.contains('\x1b'), "{shown:?}");
    daemon.stop();
    let stopped = site.run(&find(&["--serial", "3"]));
    assert_eq!(
        (indexes(&text(&stopped.stdout)), text(&stopped.stderr)),
        (expected[0].clone(), String::new())
    );
    std::fs::remove_dir_all(site.path("ledger.sqlite-index")).unwrap();
    for ((filter, _), expected) in filters.iter().zip(expected) {
        let scanned = site.run(&find(filter));
        assert_eq!(indexes(&text(&scanned.stdout)), expected, "{filter:?}");
        assert!(text(&scanned.stderr).contains("index cannot be used (there is none)"), "{scanned:?}");
    }
    let message = site.run_refused(&["ledger", "find", "--serial", "x"], 2);
    assert!(message.contains("decimal"), "{message}");
    site.run_refused(&["ledger", "find"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_reader_is_told_what_to_do() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    for command in [&["ledger", "tail"][..], &["ledger", "tail", "--follow"]] {
        let output = site.client_command(&daemon, FRONT_END, command).output().unwrap();
        assert!(!output.status.success() && text(&output.stderr).contains("ledger.readers"), "{output:?}");
    }
}

/// What is typed counts before what is exported; and a command that reads a file asks no signer because of a variable.
#[tokio::test(flavor = "multi_thread")]
async fn an_exported_address_is_taken_where_nothing_else_is_typed() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    sign(&site.client(&daemon, FRONT_END).await, 1..3).await;
    let run = |args: &[&str]| {
        let output = site.command(args).env("COUNTERSIGN_SERVER", "unix:nowhere.sock").output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    for command in [&["ledger", "tail"][..], &["ledger", "checkpoint"]] {
        let asks_nowhere = |more: &[&str]| run(&[command, more].concat()).1.contains("nowhere.sock");
        assert!(asks_nowhere(&[]), "{command:?}: before COUNTERSIGN_CONFIG");
        assert!(!asks_nowhere(&["--config", "countersign.toml"]), "{command:?}");
        assert!(!asks_nowhere(&["--server", "unix:signer.sock"]), "{command:?}");
        assert!(
            asks_nowhere(&["--server", "unix:nowhere.sock", "--config", "countersign.toml"]),
            "{command:?}"
        );
    }
    let shown = site.run_ok(&["ledger", "show", "--from", "0"]);
    assert_eq!(run(&["ledger", "tail", "--config", "countersign.toml"]), (true, shown));
    daemon.stop();
    for command in [
        &["ledger", "find", "--serial", "1"][..],
        &["ledger", "prove", "1"],
        &["ledger", "export", "export"],
        &["ledger", "verify", "--accept-uncovered"],
        &["ssh-krl", "user-ca", "--out", "krl"],
    ] {
        let (ok, said) = run(command);
        assert!(ok, "{command:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prove_prints_a_proof_that_outsiders_can_check() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let answers = sign(&site.client(&daemon, FRONT_END).await, 1..20).await;
    let receipt = answers[7].receipt.clone().unwrap();
    let (index, leaf) = (receipt.entry_index.to_string(), format!("{:x}", receipt.leaf_hash));
    let prove = ["ledger", "prove", &index, "--leaf-hash", &leaf, "--json"];
    let live = at_signer(&site, &daemon, &prove).0;
    let sized = at_signer(&site, &daemon, &[&prove[..], &["--size", "30"]].concat()).0;
    assert_eq!(sized, site.run_ok(&[&prove[..], &["--size", "30"]].concat()), "of a file and at a signer");
    daemon.stop();
    for proof in [live, sized, site.run_ok(&prove)] {
        let proof: Value = serde_json::from_str(&proof).unwrap();
        assert_eq!(
            (&proof["leaf_hash"], &proof["log_origin"]),
            (&Value::from(leaf.clone()), &Value::from(receipt.log_origin.clone()))
        );
        by_python(&proof);
        let hash = |value: &Value| -> [u8; 32] {
            let text = value.as_str().unwrap();
            std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        };
        let hashes: Vec<_> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
        let (entries, root) = (proof["tree_size"].as_u64().unwrap(), hash(&proof["root_hash"]));
        assert_eq!(
            check_inclusion(&hash(&proof["leaf_hash"]), receipt.entry_index, entries, &root, &hashes),
            Ok(())
        );
    }
    let said = site.run_ok(&prove[..5]);
    let proof: Value = serde_json::from_str(&site.run_ok(&prove)).unwrap();
    let (entries, hashes) = (&proof["tree_size"], proof["hashes"].as_array().unwrap().len());
    let first = format!(
        "entry {index} is among the first {entries} of {}\nleaf hash {leaf}\nroot ",
        receipt.log_origin
    );
    assert!(
        said.starts_with(&first) && said.contains(&format!("\n{hashes} hashes prove it")),
        "for people: {said}"
    );
    let mut other = prove;
    other[2] = "0";
    let message = site.run_refused(&other, 1);
    assert!(message.contains("entry 0 is another one"), "{message}");
    let message = site.run_refused(&["ledger", "prove", "7", "--size", "7"], 1);
    assert!(message.contains("none with index 7"), "{message}");
    site.run_refused(&["ledger", "prove", "7", "--leaf-hash", "beef"], 2);
}

/// RFC 9162 §2.1.3.2, from its text and in another language.
fn by_python(proof: &Value) {
    const CHECK: &str = r#"
import hashlib, json, sys
proof = json.load(sys.stdin)
fn, sn = proof["index"], proof["tree_size"] - 1
r = bytes.fromhex(proof["leaf_hash"])
node = lambda left, right: hashlib.sha256(b"\x01" + left + right).digest()
for p in map(bytes.fromhex, proof["hashes"]):
    assert sn != 0
    if fn & 1 or fn == sn:
        r = node(p, r)
        while not fn & 1 and fn:
            fn, sn = fn >> 1, sn >> 1
    else:
        r = node(r, p)
    fn, sn = fn >> 1, sn >> 1
assert sn == 0 and r.hex() == proof["root_hash"]
"#;
    let mut python = Command::new("python3");
    let mut python = python.args(["-c", CHECK]).stdin(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(proof.to_string().as_bytes()).unwrap();
    assert!(python.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_the_newest_and_with_follow_what_comes() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    sign(&client, 1..4).await;
    let newest = at_signer(&site, &daemon, &["ledger", "tail", "--last", "3"]).0;
    let shown = site.run_ok(&["ledger", "show", "--from", "0"]);
    assert!(newest.lines().count() == 3 && shown.contains(&newest), "{newest}\n{shown}");
    let mut follow =
        site.client_command(&daemon, READER, &["ledger", "tail", "--follow", "--from", "4", "--json"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Log::follow(follow.stdout.take().unwrap());
    let mut end = Log::follow(follow.stderr.take().unwrap());
    lines.wait_for("\"index\":4,");
    sign(&client, 4..6).await;
    lines.wait_for("\"serial\":\"5\"");
    lines.wait_for("\"index\":16,");
    let shown = site.run(&["ledger", "show", "--from", "1000"]);
    let nothing = (text(&shown.stdout), text(&shown.stderr));
    assert_eq!(nothing, at_signer(&site, &daemon, &["ledger", "tail", "--from", "1000"]));
    let none = "countersign: the log has 17 entries, and none from 1000 on\n";
    assert_eq!((shown.status.code(), nothing), (Some(0), (String::new(), none.to_owned())));
    daemon.stop();
    end.wait_for("the signer stops; go on with --from 17");
    assert_eq!(follow.wait().unwrap().code(), Some(1));
    assert_eq!(indexes(&lines.so_far()), (4..17).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_in_a_terminal_how_far_it_is_and_of_a_lost_end_no_time_that_is_left() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    sign(&site.client(&daemon, FRONT_END).await, 1..30).await;
    daemon.stop();
    let screen = || Terminal::start(&site, &["ledger", "verify", "--skip-signatures"]).end().1;
    let whole = screen();
    assert!(whole.contains("\rverifying [") && whole.contains(" left\u{1b}[K"), "{whole:?}");
    // The page of the newest entry is none any more.
    let path = site.path("ledger.sqlite");
    let (mut file, newest) = (std::fs::read(&path).unwrap(), site.entries().pop().unwrap().encode().unwrap());
    let newest = file.windows(newest.len()).rposition(|window| window == newest).unwrap();
    file[newest - newest % 4096] = 0;
    std::fs::write(&path, file).unwrap();
    let damaged = screen();
    assert!(damaged.contains("\rverifying  ") && damaged.contains("/s\u{1b}[K"), "{damaged:?}");
    assert!(!damaged.contains(" left\u{1b}[K") && !damaged.contains('%'), "{damaged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_what_there_is() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    sign(&site.client(&daemon, FRONT_END).await, 1..6).await;
    let stranger = site.client(&daemon, READER).await;
    // Of a name 256 bytes are recorded, so that both end in half a letter, each in another.
    let long = "a".repeat(255);
    for name in ["\u{1b}[31m", &format!("{long}é"), &format!("{long}ф")] {
        stranger.sign(request(name, Vec::new())).await.unwrap_err();
    }
    daemon.stop();
    let stats: Value = serde_json::from_str(&site.run_ok(&["ledger", "stats", "--json"])).unwrap();
    let named = |of: &str| stats[of]["named"].clone();
    let kinds = serde_json::json!({ "intent": 5, "refusal": 8, "outcome": 6, "self-test": 1 });
    assert_eq!((&stats["entries"], named("kinds")), (&Value::from(20), kinds));
    assert_eq!(named("outcomes"), serde_json::json!({ "signed": 6 }));
    assert_eq!(
        named("keys"),
        serde_json::json!({ "user-ca": 10, "\u{1b}[31m": 1, format!("{long}\u{fffd}"): 2 })
    );
    let callers = serde_json::json!({ "spiffe://countersign.example/front-end": 10, "spiffe://countersign.example/stranger": 3 });
    assert_eq!(named("callers"), callers);
    assert_eq!(named("reasons"), serde_json::json!({ "PRINCIPAL_NOT_ALLOWED": 5, "KEY_NOT_AVAILABLE": 3 }));
    let days: u64 = named("days").as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(days, 20);
    assert!(stats["file_bytes"].as_u64().unwrap() > 4096 && stats["read_per_second"].as_u64().unwrap() > 0);
    let table = site.run_ok(&["ledger", "stats"]);
    assert!(table.starts_with("test.countersign.example/ledger: 20 entries, "), "{table}");
    assert!(
        table.contains("requests by key\n            10  user-ca\n             1  \\x1b[31m\n"),
        "{table}"
    );
    assert!(table.is_ascii() && !table.contains('\x1b'), "{table:?}");
}
