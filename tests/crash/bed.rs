//! A signer that is killed again and again, with one kind of store. To add a store: a constructor, and what reads it.

use std::process::Stdio;
use std::time::Duration;

use countersign::config::Config;
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::note::VerifierKey;
use countersign::ledger::{Entry, Reader};
use serde_json::Value;
use test_postgres::Server;

use crate::site::{Log, Site, key_sections};

const ORIGIN: &str = "test.countersign.example/ledger";

/// A CA for callers, whose requests stay good for as long as they may be asked again, and the log's own key.
const KEYS: &str = r#"
[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ecdsa-p256-sha256"
token = "soft"

[key.user-ca.allow.staff]
callers = ["spiffe://countersign.example/front-end"]
principals = ["alice"]
max_lifetime = "1h"
backdating = "1h"
budget = "1000000/m"
extensions = ["permit-pty"]

[key.log]
purpose = "ledger"
scheme = "ed25519"
token = "soft"
"#;

/// Checkpoints come so often that there is nearly always one being signed.
const LEDGER: &str =
    "[ledger]\ncheckpoint_key = \"log\"\ncheckpoint_interval = \"100ms\"\ncheckpoint_entries = 20\n";

pub struct Bed {
    pub site: Site,
    log_key: VerifierKey,
    /// Where the signer has its newest checkpoint.
    checkpoint: &'static str,
}

impl Bed {
    /// With the embedded store.
    pub fn sqlite() -> Self {
        Self::with("path = \"ledger.sqlite\"", "ledger.sqlite-checkpoint")
    }

    /// With the store of a fleet: a database that outlives its signer, and need not have noticed yet that it is gone.
    pub fn postgres() -> Self {
        let connection = Server::shared().database().connection();
        Self::with(&format!("path = \"ledger\"\npostgres = {connection:?}"), "ledger-checkpoint")
    }

    fn with(store: &str, checkpoint: &'static str) -> Self {
        let site = Site::without_token("");
        let base = site.base_config().replace("path = \"ledger.sqlite\"", store);
        site.configure(&format!("{}{KEYS}", base.replace("[ledger]\n", LEDGER)));
        let so_pin = site.path("so-pin");
        site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
        for name in key_sections(KEYS) {
            site.run_ok(&["key", "generate", name]);
        }
        site.forget_records();
        std::fs::write(site.path("log.pem"), site.run_ok(&["key", "show", "log", "--pem"])).unwrap();
        let shown: Value = serde_json::from_str(&site.run_ok(&["key", "show", "log", "--json"])).unwrap();
        let log_key = shown["verifier_key"].as_str().unwrap().parse().unwrap();
        Self { site, log_key, checkpoint }
    }

    /// Starts the signer, and kills it so soon after the log says this, or after its beginning, that it may not listen yet.
    pub fn start_and_kill(&self, since: Option<&str>, after: Duration) {
        let mut serve = self.site.command(&["serve"]);
        let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = Log::follow(child.stderr.take().unwrap());
        if let Some(line) = since {
            log.wait_for(line);
        }
        // Exact to fractions of a millisecond, which a runtime's timer is not.
        std::thread::sleep(after);
        assert_eq!(child.try_wait().unwrap(), None, "it starts, or serves");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Every entry, and that there is no gap among them.
    pub fn entries(&self) -> Vec<Entry> {
        let config = Config::load(&self.site.path("countersign.toml")).unwrap();
        let reader = Reader::open(&config.ledger).unwrap();
        reader.entries(0..reader.len().unwrap()).map(|entry| entry.unwrap().1).collect()
    }

    /// The newest checkpoint that the signer has told the world, verified.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let note = std::fs::read(self.site.path(self.checkpoint)).ok()?;
        Some(Checkpoint::open(&note, ORIGIN, &self.log_key).unwrap().0)
    }

    /// Panics unless `countersign ledger verify` can check everything, and finds nothing wrong.
    pub fn verify(&self) {
        let log_key = self.log_key.to_string();
        let by = ["--log-key", &log_key, "--checkpoint", self.checkpoint, "--key", "log.pem"];
        let out = self.site.run_ok(&[&["ledger", "verify"][..], &by].concat());
        assert!(out.ends_with("nothing wrong was found\n"), "{out}");
    }
}
