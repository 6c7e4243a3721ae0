//! A whole log, verified and exported by an auditor on another host, who is one of the signer's readers and has no file of it.

use std::process::{Command, Output};

use countersign::key::PublicKey;
use countersign::ledger::Entry;
use countersign::ledger::note::{SignerName, VerifierKey};
use serde_json::Value;

use super::{READER, sign, with_reader};
use crate::checkpoints;
use crate::site::{Daemon, FRONT_END, Site, text};

/// A signer that runs, and has a checkpoint of more than a tile of entries.
struct Running {
    site: Site,
    daemon: Daemon,
    /// What verifies its checkpoints.
    key: String,
}

impl Running {
    async fn new() -> Self {
        let site = with_reader(checkpoints::site("ed25519", "checkpoint_interval = \"1s\""));
        let daemon = site.serve();
        let key = checkpoints::verifier(&site).to_string();
        let running = Self { site, daemon, key };
        running.sign(1..101).await;
        running
    }

    /// Has certificates with these serials signed, and waits until a checkpoint has what came before the last request.
    async fn sign(&self, serials: std::ops::Range<u64>) {
        sign(&self.site.client(&self.daemon, FRONT_END).await, serials).await;
        let last = self.indexes(|entry| matches!(entry, Entry::Refusal { .. })).pop().unwrap();
        checkpoints::wait_for(&self.site, &self.key.parse().unwrap(), last + 1);
    }

    /// Where such entries are.
    fn indexes(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<u64> {
        let entries = self.site.entries();
        (0..).zip(&entries).filter(|(_, entry)| is_wanted(entry)).map(|(index, _)| index).collect()
    }

    /// `countersign ledger …` of somebody with a certificate, and nothing else of the signer's.
    fn ask(&self, identity: &str, args: &[&str]) -> Output {
        let server = format!("https://localhost:{}", self.daemon.address.port());
        let args = [&["ledger"], args, &["--server", &server]].concat();
        let mut command = self.site.client_command(&self.daemon, identity, &args);
        command.env_remove("COUNTERSIGN_CONFIG").output().unwrap()
    }

    /// The auditor's command, which must end with `status`; what it says.
    fn audit(&self, args: &[&str], status: i32) -> (String, String) {
        let output = self.ask(READER, args);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{args:?}: {out}{said}");
        (out, said)
    }

    /// What a verification finds, which must be something: each entry, and what is wrong with it.
    fn findings(&self) -> Vec<(u64, String, String)> {
        let (out, _) = self.audit(&["verify", "--log-key", &self.key, "--json"], 1);
        let report: Value = serde_json::from_str(&out).unwrap();
        let finding = |finding: &Value| {
            let word = |name: &str| finding[name].as_str().unwrap().to_owned();
            (finding["entry"].as_u64().unwrap(), word("word"), word("message"))
        };
        report["findings"].as_array().unwrap().iter().map(finding).collect()
    }

    /// Changes the file behind the signer.
    fn sql(&self) -> rusqlite::Connection {
        let ledger = rusqlite::Connection::open(self.site.path("ledger.sqlite")).unwrap();
        let triggers =
            ["changed", "removed"].map(|what| format!("DROP TRIGGER IF EXISTS entry_is_never_{what};"));
        ledger.execute_batch(&triggers.concat()).unwrap();
        ledger
    }

    /// Flips a bit of `word` in an entry that has it.
    fn flip(&self, index: u64, word: &[u8]) {
        let (ledger, index) = (self.sql(), index.cast_signed());
        let leaf = ledger.query_row("SELECT leaf FROM entry WHERE idx = ?1", [index], |row| row.get(0));
        let mut leaf: Vec<u8> = leaf.unwrap();
        let at = leaf.windows(word.len()).position(|window| window == word).unwrap();
        leaf[at] ^= 0x10;
        ledger.execute("UPDATE entry SET leaf = ?2 WHERE idx = ?1", (index, leaf)).unwrap();
    }

    /// Panics unless both directories have the same files.
    fn are_alike(&self, one: &str, other: &str) {
        let compared =
            Command::new("diff").args(["-r", one, other]).current_dir(self.site.dir()).output().unwrap();
        assert!(compared.status.success(), "{}{}", text(&compared.stdout), text(&compared.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_elsewhere_verifies_and_exports_what_a_running_signer_serves() {
    let running = Running::new().await;
    let (verify, export) =
        (["verify", "--log-key", &running.key], ["export", "served", "--log-key", &running.key]);
    let (out, _) = running.audit(&verify, 0);
    assert!(
        out.starts_with("test.countersign.example/ledger: ") && out.contains("a verified checkpoint covers "),
        "{out}"
    );
    assert!(!out.contains("nothing covers") && !out.contains("not looked for"), "{out}");
    assert!(out.ends_with("nothing wrong was found\n"), "{out}");

    let filed = ["ledger", "export", "filed", "--checkpoint", "served/checkpoint", "--log-key", &running.key];
    let (out, _) = running.audit(&export, 0);
    assert!(!out.contains("no checkpoint"), "{out}");
    running.site.run_ok(&filed);
    running.are_alike("served", "filed");
    // An export that is there already is added to, and tells what the log was.
    running.sign(101..201).await;
    running.audit(&[&verify[..], &["--against", "served"]].concat(), 0);
    let (out, _) = running.audit(&export, 0);
    assert!(!out.contains(", 0 of them since before; "), "{out}");
    running.site.run_ok(&filed);
    running.are_alike("served", "filed");
    running.site.run_ok(&["ledger", "verify", "--export", "served", "--log-key", &running.key]);

    // Up to a checkpoint of before, which the auditor kept.
    std::fs::copy(running.site.path("served/checkpoint"), running.site.path("kept")).unwrap();
    running.sign(201..211).await;
    running.audit(&[&verify[..], &["--checkpoint", "kept"]].concat(), 0);
    running.audit(&["export", "kept-export", "--checkpoint", "kept", "--log-key", &running.key], 0);
    let published = |name: &str| std::fs::read(running.site.path(name)).unwrap();
    assert_eq!(published("kept-export/checkpoint"), published("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_signer_serves_is_not_believed_and_shown_to_readers_alone() {
    let running = Running::new().await;
    // Without its key, the signatures of the log's own key cannot be verified either.
    let without = ["verify", "--skip-signatures"];
    let (_, said) = running.audit(&without, 2);
    assert!(said.contains("nothing vouches") && said.contains("give --log-key KEY"), "{said}");
    running.audit(&[&without[..], &["--accept-uncovered"]].concat(), 0);
    let stranger = PublicKey::Ed25519([7; 32]);
    let name = SignerName::new("test.countersign.example/ledger").unwrap();
    let other = VerifierKey::new(name, &stranger).unwrap().to_string();
    let (out, said) = running.audit(&["verify", "--log-key", &other], 2);
    assert!(out.is_empty() && said.contains("checkpoint https://localhost:"), "{out}{said}");
    let (_, said) = running.audit(&["export", "served", "--log-key", &other], 1);
    assert!(said.contains("https://localhost:") && !running.site.path("served").exists(), "{said}");
    for (command, status) in [(&["verify", "--log-key", &running.key][..], 2), (&["export", "served"][..], 1)]
    {
        let output = running.ask(FRONT_END, command);
        assert_eq!(output.status.code(), Some(status));
        assert!(text(&output.stderr).contains("ledger.readers"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_behind_a_running_signer_is_found() {
    let running = Running::new().await;
    running.audit(&["export", "before", "--log-key", &running.key], 0);
    let intent = running.indexes(|entry| matches!(entry, Entry::Intent { .. }))[90];
    running.flip(intent, b"alice@example");
    let findings = running.findings();
    let by = |word: &str| findings.iter().filter(|(_, found, _)| found == word).collect::<Vec<_>>();
    let over = format!("does not verify over entry {intent},");
    assert!(matches!(by("SIGNATURE")[..], [(_, _, message)] if message.contains(&over)), "{findings:?}");
    assert!(!by("OTHER_ROOT").is_empty(), "{findings:?}");
    // What an auditor has from before tells which entry it is, whatever is changed in it.
    let (out, _) = running.audit(&["verify", "--log-key", &running.key, "--against", "before"], 1);
    assert!(out.contains(&format!("WRONG  entry {intent} is not what tile/0/")), "{out}");
    let (_, said) = running.audit(&["export", "after", "--log-key", &running.key], 1);
    assert!(said.contains("entries were changed; nothing was published"), "{said}");
    assert!(!running.site.path("after/checkpoint").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_changed_without_breaking_a_rule_is_named_all_the_same() {
    let running = Running::new().await;
    let intent = running.indexes(|entry| matches!(entry, Entry::Intent { .. }))[90];
    // Who asked: nothing is signed over it.
    running.flip(intent, b"front-end");
    let findings = running.findings();
    let named = findings.iter().filter(|(_, word, _)| word == "OTHER_HASH").map(|(index, ..)| *index);
    assert_eq!(named.collect::<Vec<_>>(), [intent], "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_a_running_signer_has_lost_is_named() {
    let running = Running::new().await;
    let intent = running.indexes(|entry| matches!(entry, Entry::Intent { .. }))[90];
    running.sql().execute("DELETE FROM entry WHERE idx = ?1", [intent.cast_signed()]).unwrap();
    let said = format!("gives no entry {intent}: LEDGER_UNREADABLE");
    let (out, verified) = running.audit(&["verify", "--log-key", &running.key], 2);
    assert!(out.contains(&format!("not checked: entry {intent}, which ")), "{out}");
    assert!(verified.contains(&said), "{out}{verified}");
    let (_, exported) = running.audit(&["export", "served", "--log-key", &running.key], 1);
    assert!(exported.contains(&said), "{exported}");
}
