//! Witnesses of the log: who cosigns, who does not and what that costs, and what one can show that ends the log.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::note::{Note, Statement, VerifierKey};
use countersign_proto::client::{Health, HealthOf};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::checkpoints::until_file;
use crate::site::{Daemon, FRONT_END, PATIENCE, Site, USER_CA, key_sections, now, request, text};

#[path = "witness/server.rs"]
mod server;

use server::{Fault, Witness};

const ORIGIN: &str = "test.countersign.example/ledger";
const COSIGNED: &str = "ledger.sqlite-checkpoint-cosigned";

/// A log with witnesses, before its signer starts.
struct Seen {
    site: Site,
    key: VerifierKey,
    witnesses: Vec<Witness>,
}

impl Seen {
    fn new(count: usize, lines: &str, more: &str) -> Self {
        Self::by(count, lines, more, |_, _| None)
    }

    fn by(
        count: usize,
        lines: &str,
        more: &str,
        tls: impl Fn(&Site, usize) -> Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let (site, trusted) = (Site::without_token(""), Arc::<Mutex<Option<VerifierKey>>>::default());
        let mut config = format!("{}{USER_CA}", site.base_config()).replace(
            "[ledger]\n",
            &format!("[ledger]\ncheckpoint_key = \"log\"\ncheckpoint_interval = \"100ms\"\n{lines}\n"),
        );
        config += "\n[key.log]\npurpose = \"ledger\"\nscheme = \"ed25519\"\ntoken = \"soft\"\n";
        let mut witnesses = Vec::new();
        for index in 1..=count {
            let tls = tls(&site, index);
            let (tls_on, ca) = (tls.is_some(), if tls.is_some() { "ca_file = \"mtls/ca.pem\"" } else { "" });
            let witness = Witness::start(&format!("witness.example/w{index}"), &trusted, tls);
            let at = if tls_on {
                format!("https://localhost:{}", witness.port)
            } else {
                format!("http://127.0.0.1:{}", witness.port)
            };
            let section = format!(
                "\n[ledger.witness.w{index}]\nurl = \"{at}/w\"\nverifier_key = \"{}\"\n{ca}\n{}\n",
                witness.key,
                more.replace("AT", &at)
            );
            config += &section;
            witnesses.push(witness);
        }
        site.configure(&config);
        let so_pin = site.path("so-pin");
        site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
        for name in key_sections(&config) {
            site.run_ok(&["key", "generate", name]);
        }
        let shown: Value = serde_json::from_str(&site.run_ok(&["key", "show", "log", "--json"])).unwrap();
        let key: VerifierKey = shown["verifier_key"].as_str().unwrap().parse().unwrap();
        *trusted.lock().unwrap() = Some(key.clone());
        Self { site, key, witnesses }
    }

    /// The checkpoint that has its quorum, once it is of so many entries at least.
    fn cosigned(&self, entries: u64) -> (Checkpoint, Note) {
        until_file(&self.site, || self.newest_cosigned().filter(|(found, _)| found.size() >= entries))
    }

    fn newest_cosigned(&self) -> Option<(Checkpoint, Note)> {
        let note = std::fs::read(self.site.path(COSIGNED)).ok()?;
        Some(Checkpoint::open(&note, ORIGIN, &self.key).unwrap())
    }

    /// Which of the witnesses have cosigned.
    fn who(&self, note: &Note) -> Vec<usize> {
        let has = |witness: &Witness| matches!(note.verify(&witness.key), Ok(Statement::Cosigned { time }) if time.abs_diff(now()) < 60);
        self.witnesses
            .iter()
            .enumerate()
            .filter(|(_, witness)| has(witness))
            .map(|(index, _)| index + 1)
            .collect()
    }

    /// Has the log grow until these have cosigned all of it.
    async fn until(&self, daemon: &Daemon, witnesses: &[usize]) {
        let since = Instant::now();
        loop {
            let size = self.grow(daemon).await;
            let who = self.who(&self.cosigned(size).1);
            if who == witnesses {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{who:?} have cosigned");
        }
    }

    /// One more intent; how many entries there are then.
    async fn grow(&self, daemon: &Daemon) -> u64 {
        self.grow_by(daemon, 1).await
    }

    async fn grow_by(&self, daemon: &Daemon, entries: u64) -> u64 {
        let client = self.site.client(daemon, FRONT_END).await;
        for _ in 0..entries {
            client.sign(request("user-ca", b"no certificate".to_vec())).await.unwrap_err();
        }
        u64::try_from(self.site.entries().len()).unwrap()
    }

    async fn health(&self, daemon: &Daemon, wanted: Health) {
        let client = self.site.client(daemon, FRONT_END).await;
        let mut changes = client.watch_health(HealthOf::Witnesses).await.unwrap();
        while tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change").unwrap() != Some(wanted)
        {
        }
    }
}

#[tokio::test]
async fn a_checkpoint_is_cosigned_and_others_verify_it() {
    let seen = Seen::new(2, "", "");
    let Seen { site, key, witnesses } = &seen;
    let daemon = site.serve();
    let (first, note) = seen.cosigned(1);
    assert_eq!(seen.who(&note), [1, 2]);
    assert_eq!(
        note.to_string().lines().nth(4).unwrap().split(' ').nth(1),
        Some(ORIGIN),
        "the log's line first"
    );
    seen.health(&daemon, Health::Serving).await;
    assert_eq!(site.run_ok(&["health", "--witnesses", "--server", &unix(site)]), "serving\n");
    let size = seen.grow(&daemon).await;
    let (next, _) = seen.cosigned(size);
    assert!(next.size() > first.size());
    assert_eq!(witnesses[0].asked()[..2], [0, first.size()], "each continues the one before");
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");

    let (key, [w1, w2]) = (key.to_string(), [0, 1].map(|index: usize| witnesses[index].key.to_string()));
    let verify = ["ledger", "verify", "--skip-signatures", "--checkpoint", COSIGNED, "--log-key", &key];
    site.run_ok(&both(&verify, &["--witness", &w1, "--witness", &w2]));
    let stranger = Witness::start("witness.example/w3", &Arc::default(), None).key.to_string();
    let refused = site.run_refused(&both(&verify, &["--witness", &w1, "--witness", &stranger]), 2);
    assert!(refused.contains("1 witnesses of 2") && refused.contains("witness.example/w3"), "{refused}");
    site.run_ok(&both(&verify, &["--witness", &w1, "--witness", &stranger, "--quorum", "1"]));
    let refused = site.run_refused(&both(&verify, &["--witness", &w1, "--witness", &w1]), 2);
    assert!(refused.contains("count twice"), "{refused}");

    site.run_ok(&["ledger", "export", "export", "--checkpoint", COSIGNED, "--log-key", &key]);
    let note = std::fs::read_to_string(site.path(COSIGNED)).unwrap();
    assert_eq!(std::fs::read_to_string(site.path("export/checkpoint")).unwrap(), note);
    let export = ["ledger", "verify", "--export", "export", "--skip-signatures", "--log-key", &key];
    site.run_ok(&[&export[..], &["--witness", &w1, "--witness", &w2]].concat());
    by_go(&["export"], site, &[&key]);
    by_go(&["export"], site, &[&key, &w1, &w2]);
    let request = witnesses[0].continuing().unwrap();
    std::fs::write(site.path("request"), request).unwrap();
    by_go(&["-request", "request", "export"], site, &[&key]);
}

fn both<'a>(one: &[&'a str], other: &[&'a str]) -> Vec<&'a str> {
    [one, other].concat()
}

/// Go's `sumdb/note` reads the lines of these keys, the log's and of witnesses, and passes over the others.
fn by_go(what: &[&str], site: &Site, keys: &[&str]) {
    let mut go = std::process::Command::new(crate::front_ends::made().join("bin/verify-export"));
    let output = go.args(what).args(keys).current_dir(site.dir()).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn unix(site: &Site) -> String {
    format!("unix:{}", site.path("signer.sock").display())
}

#[tokio::test]
async fn two_of_three_are_a_quorum_whatever_the_third_does() {
    let seen = Seen::new(3, "quorum = 2", "");
    let faults = [
        Fault::BadSignature,
        Fault::Time(3600),
        Fault::Time(-3600),
        Fault::Huge,
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Knows(1_000_000),
        Fault::Silent,
    ];
    let words = [
        "does not verify",
        "its cosignature is of",
        "its cosignature is of",
        "cannot be asked",
        "does not know the log's key",
        "does not know the log",
        "answers 500",
        "COSIGNED 1000000 ENTRIES",
        "does not answer within 5s",
    ];
    let daemon = seen.site.serve();
    for fault in &faults {
        seen.until(&daemon, &[1, 2, 3]).await;
        seen.witnesses[2].fault(fault.clone());
        let since = Instant::now();
        seen.until(&daemon, &[1, 2]).await;
        assert!(since.elapsed() < Duration::from_secs(20), "{fault:?}: {:?}", since.elapsed());
        seen.health(&daemon, Health::Serving).await;
        seen.witnesses[2].fault(None);
    }
    let (_, log) = daemon.stop();
    for words in words {
        let said = log.lines().filter(|line| line.contains("witness w3") && line.contains(words)).count();
        assert!((1..=4).contains(&said), "{words}: {log}");
    }
}

#[tokio::test]
async fn without_a_quorum_certificates_are_signed_and_health_says_so() {
    let seen = Seen::new(2, "", "");
    for witness in &seen.witnesses {
        witness.fault(Fault::Status(500));
    }
    let daemon = seen.site.serve();
    seen.grow(&daemon).await;
    seen.health(&daemon, Health::NotServing).await;
    let refused = seen.site.run_refused(&["health", "--witnesses", "--server", &unix(&seen.site)], 1);
    assert!(refused.contains("no quorum"), "{refused}");
    assert!(seen.newest_cosigned().is_none());
    assert!(seen.site.path("ledger.sqlite-checkpoint").exists(), "it is published without");
    seen.witnesses[0].fault(None);
    seen.witnesses[1].fault(None);
    // By themselves, though nothing is new.
    seen.health(&daemon, Health::Serving).await;
    assert_eq!(seen.who(&seen.cosigned(1).1), [1, 2]);
    let (_, log) = daemon.stop();
    let said = |words: &str| log.matches(words).count();
    assert_eq!((said("NO QUORUM"), said("have their quorum of witnesses again")), (1, 1), "{log}");
}

#[tokio::test]
async fn a_cosignature_is_kept_while_the_others_are_asked_again() {
    let seen = Seen::new(2, "", "");
    seen.witnesses[1].fault(Fault::Status(500));
    let daemon = seen.site.serve();
    // Both were asked before it listened.
    assert!(seen.witnesses[0].size() > 0);
    seen.witnesses[0].fault(Fault::Status(500));
    seen.witnesses[1].fault(None);
    // The one has cosigned already, and the other does so now; neither would have both.
    seen.health(&daemon, Health::Serving).await;
    daemon.stop();
}

#[tokio::test]
async fn a_signer_that_starts_again_goes_on_from_what_the_witness_knows() {
    let seen = Seen::new(1, "", "");
    seen.site.serve().stop();
    let known = seen.witnesses[0].size();
    assert!(known > 0);
    let daemon = seen.site.serve();
    let asked = seen.witnesses[0].asked();
    let again = asked.iter().rposition(|old| *old == 0).unwrap();
    assert_eq!(asked[again..again + 2], [0, known], "the size that it says, once");
    assert!(seen.cosigned(known + 1).0.size() > known);
    daemon.stop();
}

/// Everything beside the ledger that a backup of its disk has.
fn copy(site: &Site, from: &str, to: &str) {
    let script = format!("mkdir -p {to} && rm -rf {to}/ledger.sqlite* && cp -a {from}/ledger.sqlite* {to}");
    let copied =
        std::process::Command::new("sh").args(["-c", &script]).current_dir(site.dir()).status().unwrap();
    assert!(copied.success());
}

/// A site whose disk is that of an earlier day, which its witness has seen later ones of.
async fn restored(more: &str) -> Seen {
    let seen = Seen::new(1, "", more);
    seen.site.serve().stop();
    copy(&seen.site, ".", "backup");
    let daemon = seen.site.serve();
    let size = seen.grow_by(&daemon, 40).await;
    seen.cosigned(size);
    daemon.stop();
    copy(&seen.site, "backup", ".");
    seen
}

#[tokio::test]
async fn a_restored_log_ends_by_what_its_witness_shows() {
    let seen = restored("newest_url = \"AT/newest\"").await;
    let file = seen.site.path("ledger.sqlite-checkpoint");
    let (asked, entries) = (seen.witnesses[0].asked(), seen.site.entries().len());
    let signed = std::fs::read_to_string(&file).unwrap();
    let refused = seen.site.run_refused(&["serve"], 2);
    assert!(refused.contains("checkpoint-contradicted") && refused.contains("an older copy"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), signed, "no fork is signed");
    assert_eq!(seen.witnesses[0].asked(), asked, "nor shown to anybody");
    assert_eq!(seen.site.entries().len(), entries, "no key has signed a self-test");

    // What it has shown is kept, and no start passes it over.
    let evidence = seen.site.path("ledger.sqlite-checkpoint-contradicted");
    let shown = std::fs::read(&evidence).unwrap();
    assert_eq!(Checkpoint::open(&shown, ORIGIN, &seen.key).unwrap().0.size(), seen.witnesses[0].size());
    seen.witnesses[0].fault(Fault::Status(500));
    for command in ["check", "serve"] {
        let refused = seen.site.run_refused(&[command], 2);
        assert!(refused.contains("checkpoint-contradicted"), "{command}: {refused}");
    }
}

/// The way on that docs/ledger.md names, "A log that contradicts its checkpoint", where there is no newer copy.
#[tokio::test]
async fn after_a_restore_that_was_meant_another_log_goes_on() {
    let seen = restored("newest_url = \"AT/newest\"").await;
    seen.site.run_refused(&["serve"], 2);
    std::fs::remove_file(seen.site.path("ledger.sqlite-checkpoint-contradicted")).unwrap();
    seen.site.run_refused(&["serve"], 2);
    let config = std::fs::read_to_string(seen.site.path("countersign.toml")).unwrap();
    let next = config.replace(ORIGIN, &format!("{ORIGIN}/2")).replace("ledger.sqlite", "ledger-2.sqlite");
    seen.site.configure(&next);
    let daemon = seen.site.serve();
    let client = seen.site.client(&daemon, FRONT_END).await;
    client.sign(request("user-ca", b"no certificate".to_vec())).await.unwrap_err();
    assert_eq!(client.health(None).await.unwrap(), Health::Serving);
    daemon.stop();
    let log_key = seen.site.run_ok(&["key", "show", "log", "--json"]);
    let log_key: Value = serde_json::from_str(&log_key).unwrap();
    let note = std::fs::read(seen.site.path("ledger-2.sqlite-checkpoint")).unwrap();
    let key: VerifierKey = log_key["verifier_key"].as_str().unwrap().parse().unwrap();
    Checkpoint::open(&note, &format!("{ORIGIN}/2"), &key).unwrap();
}

#[tokio::test]
async fn a_log_whose_witness_has_seen_more_ends_while_it_runs() {
    let seen = restored("newest_url = \"AT/newest\"").await;
    seen.witnesses[0].hide(true);
    let daemon = seen.site.serve();
    seen.witnesses[0].hide(false);
    let client = seen.site.client(&daemon, FRONT_END).await;
    let since = Instant::now();
    while client.health(None).await.unwrap() == Health::Serving {
        assert!(since.elapsed() < PATIENCE, "nothing was shown");
        // Its refusal says the same in words, once.
        let _ = client.sign(request("user-ca", b"no certificate".to_vec())).await;
    }
    let error = client.sign(request("user-ca", b"no certificate".to_vec())).await.unwrap_err();
    assert_eq!(error.reason, "LEDGER_CONTRADICTS_CHECKPOINT", "{error}");
    let (_, log) = daemon.stop();
    assert!(log.contains("IT SAYS THAT IT HAS COSIGNED") && log.contains("SIGNS NOTHING ANY MORE"), "{log}");
}

#[tokio::test]
async fn a_witness_that_is_silent_keeps_a_signer_from_starting_for_five_seconds_at_most() {
    let seen = Seen::new(1, "", "newest_url = \"AT/newest\"");
    seen.site.serve().stop();
    seen.witnesses[0].mute();
    let since = Instant::now();
    let daemon = seen.site.serve();
    // Once for what it shows, and once for the first checkpoint.
    assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&since.elapsed()));
    seen.grow(&daemon).await;
    let (_, log) = daemon.stop();
    assert!(log.contains("witness w1 shows no checkpoint: it does not answer within 5s"), "{log}");
}

#[tokio::test]
async fn a_stop_has_a_last_checkpoint_cosigned() {
    let seen = Seen::new(1, "", "");
    let config = std::fs::read_to_string(seen.site.path("countersign.toml")).unwrap();
    seen.site.configure(&config.replace("\"100ms\"", "\"1h\""));
    let daemon = seen.site.serve();
    let size = seen.grow_by(&daemon, 3).await;
    assert!(seen.newest_cosigned().unwrap().0.size() < size, "none is due");
    daemon.stop();
    assert!(seen.newest_cosigned().unwrap().0.size() >= size);
    let last = seen.site.entries().len();
    seen.site.serve().stop();
    assert!(seen.site.entries().len() > last);
}

#[tokio::test]
async fn what_a_witness_merely_says_is_reported_and_ends_nothing() {
    let seen = restored("").await;
    let daemon = seen.site.serve();
    let size = seen.grow(&daemon).await;
    // Beyond what the witness knows, it is another tree.
    seen.grow_by(&daemon, seen.witnesses[0].size() + 20 - size).await;
    seen.health(&daemon, Health::NotServing).await;
    seen.site.client(&daemon, FRONT_END).await.health(None).await.unwrap();
    let mut daemon = daemon;
    daemon.wait_for("WERE OTHERS");
    let (_, log) = daemon.stop();
    assert!(log.contains("IT SAYS THAT IT HAS COSIGNED"), "{log}");
    assert!(!log.contains("SIGNS NOTHING"), "{log}");

    // Nor does what it shows, if it is not by the log's key.
    let seen = Seen::new(1, "", "newest_url = \"AT/newest\"");
    seen.site.serve().stop();
    seen.witnesses[0].show(&forged());
    seen.witnesses[0].fault(Fault::Knows(1_000_000));
    let daemon = seen.site.serve();
    seen.grow(&daemon).await;
    let (_, log) = daemon.stop();
    assert!(log.contains("shows nothing that this log's key signed"), "{log}");
}

/// A larger checkpoint of this log, by nobody.
fn forged() -> String {
    let line = Base64::encode_string(&[7; 68]);
    format!("{ORIGIN}\n1000000\n{}\n\n\u{2014} {ORIGIN} {line}\n", Base64::encode_string(&[7; 32]))
}

/// TLS as the server with this certificate.
fn tls(directory: &Path) -> Arc<rustls::ServerConfig> {
    let chain = CertificateDer::pem_file_iter(directory.join("server.pem")).unwrap().map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain.collect(), key).unwrap())
}

#[tokio::test]
async fn a_witness_with_a_certificate_of_another_ca_is_not_believed() {
    let seen = Seen::by(2, "quorum = 1", "", |site, index| {
        if index == 1 {
            return Some(tls(&site.path("mtls")));
        }
        crate::pki::write(&site.path("other"), &[FRONT_END]);
        Some(tls(&site.path("other")))
    });
    let daemon = seen.site.serve();
    let size = seen.grow(&daemon).await;
    let (_, note) = seen.cosigned(size);
    assert_eq!(seen.who(&note), [1]);
    let (_, log) = daemon.stop();
    assert!(log.contains("witness w2 does not cosign") && log.contains("certificate"), "{log}");
}
