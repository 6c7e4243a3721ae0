//! That outsiders can verify a ledger: by verifiers that we did not write, and by our own, which name what was changed.
//!
//! The checkpoints here are signed in the test, by keys of the test's own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use countersign::key::{PublicKey, Scheme};
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::merkle::Frontier;
use countersign::ledger::note::{SignerName, VerifierKey};
use countersign::ledger::{Reader, leaf_hash};
use countersign_tbs::key::{Curve, EcPoint};
use countersign_tbs::ssh::SubjectKey;
use serde_json::{Value, json};

use crate::forge::Forgery;
use crate::front_ends;
use crate::site::{FRONT_END, Site, USER_CA, now, request, text};
use crate::terminal::Terminal;

const ORIGIN: &str = "test.countersign.example/ledger";

/// A ledger that a daemon wrote, more than two bundles of it.
struct Written {
    site: Site,
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

impl Written {
    async fn new() -> Self {
        let site = Site::new(USER_CA);
        let daemon = site.serve();
        let client = site.client(&daemon, FRONT_END).await;
        let ca_key =
            SubjectKey::from_openssh_line(&client.get_key("user-ca").await.unwrap().openssh).unwrap();
        for serial in 1..=280 {
            let tbs = Forgery { serial, ..Forgery::user(ca_key.to_wire(), now()) };
            client.sign(request("user-ca", tbs.encode())).await.unwrap();
        }
        client.sign(request("user-ca", b"no certificate".to_vec())).await.unwrap_err();
        let (status, log) = daemon.stop();
        assert_eq!(status.code(), Some(0), "{log}");
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { site, ed25519, p256 }
    }

    /// What verifies the two signatures of a checkpoint.
    fn keys(&self) -> [VerifierKey; 2] {
        let point = EcPoint::new(Curve::P256, self.p256.public_key().as_ref().to_vec()).unwrap();
        let ed25519 = PublicKey::Ed25519(self.ed25519.public_key().as_ref().try_into().unwrap());
        [ed25519, PublicKey::Ecdsa(point)]
            .map(|key| VerifierKey::new(SignerName::new(ORIGIN).unwrap(), &key).unwrap())
    }

    /// A checkpoint of the ledger as it is, signed by both.
    fn checkpoint(&self, name: &str) -> PathBuf {
        self.checkpoint_of(name, u64::MAX)
    }

    /// The same of the first so many entries.
    fn checkpoint_of(&self, name: &str, entries: u64) -> PathBuf {
        let reader = Reader::open(self.site.path("ledger.sqlite")).unwrap();
        let mut frontier = Frontier::new();
        for leaf in reader.leaves(0..entries.min(reader.len().unwrap())) {
            frontier.push(leaf_hash(&leaf.unwrap().1), |_| Ok::<_, ()>(())).unwrap();
        }
        let mut note = Checkpoint::new(ORIGIN, frontier.size(), frontier.root()).unwrap().to_note();
        let ([one, two], message) = (self.keys(), note.text().as_bytes().to_vec());
        note.sign(&one, Scheme::Ed25519, self.ed25519.sign(&message).as_ref()).unwrap();
        let raw = self.p256.sign(&SystemRandom::new(), &message).unwrap();
        note.sign(&two, Scheme::EcdsaP256Sha256, raw.as_ref()).unwrap();
        let path = self.site.path(name);
        std::fs::write(&path, note.to_string()).unwrap();
        path
    }

    fn export(&self) -> PathBuf {
        self.export_to("export", &self.checkpoint("signed"))
    }

    fn export_to(&self, directory: &str, checkpoint: &Path) -> PathBuf {
        let (checkpoint, key) = (checkpoint.to_str().unwrap(), self.keys()[0].to_string());
        let export = ["ledger", "export", directory, "--checkpoint", checkpoint, "--log-key", &key];
        let out = self.site.run_ok(&export);
        assert!(!out.contains("no checkpoint"), "{out}");
        self.site.path(directory)
    }

    /// Exports to a copy of the directory `old` on a disk of so many KiB, and again once there is room. Whether the first was stopped: then
    /// `stopped` is what it left, and `resumed` what became of that.
    fn is_stopped(&self, checkpoint: &Path, kib: usize) -> bool {
        let small = "mount -t tmpfs -o size=$1k none disk && cp -a old disk/export || exit 99; \
                     write() { \"$0\" ledger export disk/export --checkpoint \"$2\" --log-key \"$3\"; }; \
                     write \"$@\" && exit; \
                     rm -rf stopped resumed; cp -a disk/export stopped || exit 99; \
                     mount -o remount,size=16m disk && write \"$@\" && cp -a disk/export resumed && exit 3";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", small, env!("CARGO_BIN_EXE_countersign"), &kib.to_string()]);
        unshare.arg(checkpoint).arg(self.keys()[0].to_string());
        unshare.current_dir(self.site.dir()).env("COUNTERSIGN_CONFIG", self.site.path("countersign.toml"));
        let output = unshare.output().unwrap();
        let said = text(&output.stderr);
        match output.status.code() {
            Some(0) => false,
            Some(3) if said.contains("No space left on device") => true,
            _ => panic!("{kib} KiB: {said}"),
        }
    }

    fn by_go(&self, export: &Path) -> Output {
        let mut go = Command::new(front_ends::made().join("bin/verify-export"));
        go.arg(export).args(self.keys().map(|key| key.to_string())).output().unwrap()
    }

    fn by_python(&self, export: &Path) -> Output {
        let [key, _] = self.keys();
        let mut python = front_ends::python("tests/black_box/transparency/verify_export.py");
        python.arg(export).arg(key.to_string()).output().unwrap()
    }
}

/// A file with one bit flipped in the middle; what undoes it.
fn flip(path: &Path) -> impl FnOnce() + use<> {
    let (path, whole) = (path.to_owned(), std::fs::read(path).unwrap());
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    std::fs::write(&path, changed).unwrap();
    move || std::fs::write(path, whole).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verifiers_that_we_did_not_write_accept_an_export_and_notice_each_change() {
    let written = Written::new().await;
    let export = written.export();
    let [key, _] = written.keys();
    let ours =
        || written.site.run(&["ledger", "verify", "--export", "export", "--log-key", &key.to_string()]);
    let entries = format!("{} entries in the tree", written.site.entries().len());
    for (verifier, output) in [("Go", written.by_go(&export)), ("Python", written.by_python(&export))] {
        assert!(output.status.success(), "{verifier}: {}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with(&entries), "{verifier}: {}", text(&output.stdout));
    }
    let output = ours();
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    for name in ["tile/entries/001", "tile/0/000", "tile/1/000.p/2", "checkpoint"] {
        let undo = flip(&export.join(name));
        assert!(!written.by_go(&export).status.success(), "Go does not notice {name}");
        assert!(!written.by_python(&export).status.success(), "Python does not notice {name}");
        assert!(!ours().status.success(), "we do not notice {name}");
        undo();
    }
}

/// Every file of an export but its lock, by its name.
fn files(export: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut directories) = (BTreeMap::new(), vec![export.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with(".lock") {
                let name = path.strip_prefix(export).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Stopped by a disk that is full, at each of its blocks: what an export writes is there whole or not at all, and what was published before
/// stays whole until all of the new is there.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_stopped_anywhere_leaves_no_file_in_part_and_the_published_one_as_it_was() {
    let written = Written::new().await;
    let (site, checkpoint) = (&written.site, written.checkpoint("signed"));
    let old = written.checkpoint_of("signed-before", 300);
    let [old, whole] = [("old", &old), ("whole", &old)].map(|(name, old)| written.export_to(name, old));
    written.export_to("whole", &checkpoint);
    let (old, whole) = (files(&old), files(&whole));
    std::fs::create_dir(site.path("disk")).unwrap();
    let (block, published) = (4096, Path::new("checkpoint"));
    let mut kib = old.values().map(|bytes| bytes.len().div_ceil(block) * block / 1024).sum();
    let mut stops = 0;
    while written.is_stopped(&checkpoint, kib) {
        let mut left = files(&site.path("stopped"));
        left.retain(|name, _| name.extension().is_none_or(|extension| extension != "tmp"));
        let is_new = left[published] == whole[published];
        for (name, bytes) in if is_new { &whole } else { &old } {
            assert_eq!(left.remove(name).as_ref(), Some(bytes), "{kib} KiB: {}", name.display());
        }
        for (name, bytes) in left {
            assert!(old.get(&name).or(whole.get(&name)) == Some(&bytes), "{kib} KiB: {}", name.display());
        }
        assert!(files(&site.path("resumed")) == whole, "{kib} KiB");
        (kib, stops) = (kib + block / 1024, stops + 1);
    }
    // One at least for each file that is new.
    let new = whole.keys().filter(|name| !old.contains_key(*name)).count();
    assert!(new >= 5 && stops > new, "{stops} of {new}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_which_entry_was_changed_and_its_status_tells_scripts() {
    let written = Written::new().await;
    let (site, [key, _]) = (&written.site, written.keys());
    written.export();
    let checkpoint = site.path("signed");
    let log =
        ["ledger", "verify", "--log-key", &key.to_string(), "--checkpoint", checkpoint.to_str().unwrap()];
    let out = site.run_ok(&log);
    assert!(out.contains("281 signatures verify"), "280 certificates and a self-test: {out}");
    assert!(out.contains(&format!("the checkpoint of {} entries holds", site.entries().len())), "{out}");
    assert!(out.ends_with("nothing wrong was found\n"), "{out}");

    // Who signed the checkpoint cannot be told without the key: that is not "all is well".
    let message = site.run_refused(&["ledger", "verify", "--export", "export"], 2);
    assert!(message.contains("not every signature could be checked"), "{message}");
    let message = site.run_refused(&["ledger", "verify", "--export", "export", "--skip-signatures"], 2);
    assert!(message.contains("nothing vouches"), "{message}");
    site.run_ok(&["ledger", "verify", "--export", "export", "--accept-uncovered"]);

    let sql = "DROP TRIGGER entry_is_never_changed;
               UPDATE entry SET leaf = CAST(replace(leaf, x'616c696365', x'616c696d65') AS BLOB) WHERE idx = 300;";
    rusqlite::Connection::open(site.path("ledger.sqlite")).unwrap().execute_batch(sql).unwrap();
    let output = site.run(&[&log[..], &["--against", "export", "--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: Vec<(u64, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["entry"].as_u64().unwrap(), finding["word"].as_str().unwrap()))
        .collect();
    let last = report["entries"].as_u64().unwrap() - 1;
    assert!(findings.contains(&(300, "OTHER_HASH")), "{findings:?}");
    assert!(findings.contains(&(last, "OTHER_ROOT")), "{findings:?}");
    let refused = site.run_refused(&["ledger", "export", "export"], 1);
    assert!(refused.contains("entry 300 "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_nobody_vouches_for_are_not_called_right() {
    let written = Written::new().await;
    let (site, [key, _]) = (&written.site, written.keys());
    std::fs::remove_file(written.export().join("checkpoint")).unwrap();
    let (entries, key) = (site.entries().len(), key.to_string());
    let export = ["ledger", "verify", "--export", "export"];

    let message = site.run_refused(&[&export[..], &["--log-key", &key]].concat(), 2);
    assert!(message.contains("no checkpoint was there for --log-key to verify"), "{message}");
    site.run_refused(&[&export[..], &["--log-key", &key, "--accept-uncovered"]].concat(), 2);
    let message = site.run_refused(&export, 2);
    assert!(message.contains("nothing vouches"), "{message}");
    let out = site.run_ok(&[&export[..], &["--accept-uncovered"]].concat());
    assert!(out.contains(&format!("nothing covers {entries} entries")), "{out}");
    let out = site.run_ok(&[&export[..], &["--log-key", &key, "--checkpoint", "signed"]].concat());
    assert!(out.contains(&format!("a verified checkpoint covers {entries} entries")), "{out}");
    assert!(!out.contains("nothing covers"), "{out}");

    std::fs::create_dir(site.path("empty")).unwrap();
    let message = site.run_refused(&["ledger", "verify", "--against", "empty"], 2);
    assert!(message.contains("has no entries to compare with"), "{message}");
    let out = site.run_ok(&["ledger", "verify"]);
    assert!(out.contains("compared with the hashes that were known"), "{out}");
    std::fs::write(site.path("ledger.sqlite-index/manifest.json"), "{}").unwrap();
    let out = site.run(&["ledger", "verify", "--accept-uncovered"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("cannot be used: its manifest is not one"), "{}", text(&out.stdout));
    std::fs::remove_dir_all(site.path("ledger.sqlite-index")).unwrap();
    let message = site.run_refused(&["ledger", "verify"], 2);
    assert!(message.contains("nothing vouches"), "{message}");
    let message = site.run_refused(&["ledger", "verify", "--log-key", &key], 2);
    assert!(message.contains("no checkpoint was there"), "{message}");
    let out = site.run_ok(&["ledger", "verify", "--json", "--accept-uncovered"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["uncovered"], &report["covered_by_checkpoint"]), (&entries.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_verified_and_exported_while_its_signer_writes_it() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca_key = SubjectKey::from_openssh_line(&client.get_key("user-ca").await.unwrap().openssh).unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let (first, mut signed) = (Forgery::user(ca_key.to_wire(), now()), 0_u64);
    // The first certificate names the CA key, by which the self-test's signature is verified, too.
    client.sign(request("user-ca", first.encode())).await.unwrap();
    let load = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            signed += 1;
            let tbs = Forgery { serial: first.serial + signed, ..Forgery::user(ca_key.to_wire(), now()) };
            client.sign(request("user-ca", tbs.encode())).await.unwrap();
        }
        signed
    });
    for _ in 0..3 {
        site.run_ok(&["ledger", "export", "export"]);
        site.run_ok(&["ledger", "verify", "--against", "export"]);
        site.run_ok(&["ledger", "verify", "--export", "export", "--accept-uncovered"]);
    }
    stop.send(()).unwrap();
    assert!(load.await.unwrap() > 0);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn an_export_is_its_owners_and_of_the_configured_ledger() {
    let site = Site::new(USER_CA);
    let (status, log) = site.serve().stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let export = |args: &[&str]| {
        let output = site.run(&[&["ledger", "export"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let is_open = |directory: &str| {
        std::fs::metadata(site.path(directory)).unwrap().permissions().mode() & 0o777 == 0o755
    };
    assert!(!export(&["mine"]).contains("--public") && !is_open("mine"));
    assert!(!export(&["ours", "--public"]).contains("--public") && is_open("ours"));
    let narrow = "umask 077 && exec \"$0\" ledger export narrow --public";
    let mut narrow_umask = Command::new("sh");
    narrow_umask.args(["-c", narrow, env!("CARGO_BIN_EXE_countersign")]).current_dir(site.dir());
    let output = narrow_umask.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap();
    assert!(output.status.success() && is_open("narrow/tile/entries"), "{}", text(&output.stderr));
    let said = export(&["ours"]);
    assert!(said.contains("mode 0755") && said.contains("--public"), "{said}");
    let told: Value = serde_json::from_str(&site.run_ok(&["ledger", "export", "mine", "--json"])).unwrap();
    let verified = site.run_ok(&[
        "ledger",
        "verify",
        "--export",
        "mine",
        "--accept-uncovered",
        "--skip-signatures",
        "--json",
    ]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    let expected = json!({
        "directory": "mine", "entries": 2, "kept": 0, "files": 0, "root": verified["root"], "published": false,
    });
    assert_eq!(told, expected);

    let other = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&other.replace("test.countersign.example/ledger", "other.countersign.example/ledger"));
    let commands: [&[&str]; 6] = [
        &["show"],
        &["export", "mine"],
        &["verify"],
        &["find", "--key", "user-ca"],
        &["prove", "0"],
        &["stats"],
    ];
    for command in commands {
        let output = site.run(&[&["ledger"], command].concat());
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("test.countersign.example/ledger"), "{said}");
    }
    site.run_ok(&["ledger", "show", "--ledger", site.path("ledger.sqlite").to_str().unwrap()]);
}

#[test]
fn verify_shows_how_far_it_is_to_whoever_sits_there_and_to_nobody_else() {
    let site = Site::new(USER_CA);
    site.serve().stop();
    let verify = ["ledger", "verify", "--accept-uncovered", "--skip-signatures"];
    let (ok, screen) = Terminal::start(&site, &verify).end();
    assert!(ok, "{screen}");
    let (drawn, said) = screen.rsplit_once("\r\x1b[K").expect("a line that is taken away again");
    assert!(
        drawn.starts_with("\rverifying [") && drawn.contains("% ") && drawn.contains(" of 2 entries, "),
        "{drawn}"
    );
    assert!(said.ends_with("nothing wrong was found\n") && !said.contains("verifying"), "{said}");
    assert_eq!(text(&site.run(&verify).stderr), "");
}
