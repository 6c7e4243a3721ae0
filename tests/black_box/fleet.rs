//! Two signers of one PostgreSQL database: one is killed, the database restarts, a stand-by is promoted, all under load.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign::config::Config;
use countersign::ledger::{Entry, Ledger, Reader, leaf_hash};
use countersign_proto::{Client, v1};
use countersign_tbs::key::PublicKey;
use countersign_tbs::krl::{self, Krl};
use countersign_tbs::ssh::SubjectKey;
use test_postgres::{Server, Stop};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::forge::{Forgery, string};
use crate::site::{Daemon, FRONT_END, Site, USER_CA, at, now, request};

/// The signers' names, and the names of their configurations.
const SIGNERS: [(&str, &str); 2] =
    [("one.countersign.example/ledger", "countersign.toml"), ("two.countersign.example/ledger", "two.toml")];

/// A site with two signers, who share a token and a database.
struct Fleet {
    site: Site,
}

/// What callers were given, as they were given it, and who asks for more until it is dropped.
struct Load {
    answers: UnboundedReceiver<v1::SignResponse>,
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// Both signers under load, and all that their callers were given.
struct Busy {
    signers: [Daemon; 2],
    loads: [Load; 2],
    answers: Vec<v1::SignResponse>,
}

impl Fleet {
    fn new(connection: &str) -> Self {
        let fleet = Self { site: Site::new(USER_CA) };
        fleet.configure(connection);
        fleet
    }

    fn configure(&self, connection: &str) {
        for (origin, file) in SIGNERS {
            let name = file.trim_end_matches(".toml");
            let config = self
                .site
                .base_config()
                .replace(
                    "path = \"ledger.sqlite\"",
                    &format!("path = \"{name}\"\npostgres = \"{connection}\"\npostgres_timeout = \"2s\""),
                )
                .replace("test.countersign.example/ledger", origin)
                .replace("signer.sock", &format!("{name}.sock"));
            std::fs::write(self.site.path(file), format!("{config}{USER_CA}")).unwrap();
        }
    }

    fn file(&self, signer: usize) -> PathBuf {
        self.site.path(SIGNERS[signer].1)
    }

    fn serve(&self, signer: usize) -> Daemon {
        let mut command = self.site.command(&["serve"]);
        Daemon::start(command.env("COUNTERSIGN_CONFIG", self.file(signer)).stdout(Stdio::null()))
    }

    /// A command with a signer's configuration, which must succeed.
    fn run_ok(&self, signer: usize, args: &[&str]) -> String {
        let output = self.site.command(args).env("COUNTERSIGN_CONFIG", self.file(signer)).output().unwrap();
        assert!(output.status.success(), "countersign {args:?}: {}", crate::site::text(&output.stderr));
        crate::site::text(&output.stdout)
    }

    fn entries(&self, signer: usize) -> Vec<Entry> {
        let reader = Reader::open(&Config::load(&self.file(signer)).unwrap().ledger).unwrap();
        reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect()
    }

    async fn client(&self, daemon: &Daemon) -> Client {
        self.site.client(daemon, FRONT_END).await
    }

    async fn ca_key(&self, daemon: &Daemon) -> Vec<u8> {
        let key = self.client(daemon).await.get_key("user-ca").await.unwrap();
        SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire()
    }

    /// Eight callers, who go on after a refusal.
    async fn load(&self, daemon: &Daemon, signer: u64) -> Load {
        let (tell, answers) = unbounded_channel();
        let (refused, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let ca_key = self.ca_key(daemon).await;
        for caller in 0..8_u64 {
            let (tell, ca_key, client) = (tell.clone(), ca_key.clone(), self.client(daemon).await);
            let (refused, stop) = (Arc::clone(&refused), Arc::clone(&stop));
            tokio::spawn(async move {
                for n in 1_u64.. {
                    let serial = signer << 48 | caller << 32 | n;
                    let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
                    if let Ok(answer) = client.sign(request("user-ca", tbs.encode())).await {
                        // Nobody counts answers any more once the test has failed.
                        let _ = tell.send(answer);
                    } else {
                        refused.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        Load { answers, refused, stop }
    }

    /// Starts both signers, and loads them.
    async fn busy(&self) -> Busy {
        let signers = [self.serve(0), self.serve(1)];
        let loads = [self.load(&signers[0], 1).await, self.load(&signers[1], 2).await];
        Busy { signers, loads, answers: Vec::new() }
    }

    /// Has callers finish, stops both signers, and looks at what was answered.
    async fn finish(&self, busy: Busy) {
        let Busy { signers, loads, mut answers } = busy;
        for load in loads {
            load.end(&mut answers).await;
        }
        for signer in signers {
            assert_eq!(signer.stop().0.code(), Some(0));
        }
        self.check(&answers);
    }

    /// Every answer has its intent in the log that its receipt names, no index is given twice, and each log verifies.
    fn check(&self, answers: &[v1::SignResponse]) {
        let logs: BTreeMap<&str, Vec<Entry>> =
            SIGNERS.iter().enumerate().map(|(signer, (origin, _))| (*origin, self.entries(signer))).collect();
        let mut seen = HashSet::new();
        for answer in answers {
            let receipt = answer.receipt.as_ref().unwrap();
            let entry = &logs[&*receipt.log_origin][at(receipt.entry_index)];
            assert!(matches!(entry, Entry::Intent { .. }), "{receipt:?}: {entry:?}");
            assert_eq!(leaf_hash(&entry.encode().unwrap()).as_slice(), receipt.leaf_hash, "{receipt:?}");
            assert!(seen.insert((receipt.log_origin.clone(), receipt.entry_index)), "twice: {receipt:?}");
        }
        for signer in 0..2 {
            self.run_ok(signer, &["ledger", "verify", "--accept-uncovered"]);
        }
    }
}

impl Busy {
    /// So many answers more of each.
    async fn wait_for(&mut self, count: usize) {
        for load in &mut self.loads {
            load.wait_for(count, &mut self.answers).await;
        }
    }

    /// Until each refuses somebody.
    async fn wait_for_refusals(&mut self) {
        for load in &mut self.loads {
            load.wait_for_refusal(&mut self.answers).await;
        }
    }

    /// What has come until now: whoever waits then waits for what comes later.
    fn drain(&mut self) {
        for load in &mut self.loads {
            load.drain(&mut self.answers);
        }
    }
}

impl Load {
    /// So many answers more.
    async fn wait_for(&mut self, count: usize, answers: &mut Vec<v1::SignResponse>) {
        for _ in 0..count {
            let answer = tokio::time::timeout(crate::site::PATIENCE, self.answers.recv()).await;
            answers.push(answer.expect("answers go on").expect("callers go on"));
        }
    }

    /// Until somebody is refused.
    async fn wait_for_refusal(&mut self, answers: &mut Vec<v1::SignResponse>) {
        let before = self.refused.load(Ordering::SeqCst);
        while self.refused.load(Ordering::SeqCst) == before {
            self.drain(answers);
            tokio::task::yield_now().await;
        }
    }

    fn drain(&mut self, answers: &mut Vec<v1::SignResponse>) {
        while let Ok(answer) = self.answers.try_recv() {
            answers.push(answer);
        }
    }

    /// Has callers finish what they have begun.
    async fn end(mut self, answers: &mut Vec<v1::SignResponse>) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(answer) = self.answers.recv().await {
            answers.push(answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_signer_leaves_the_other_at_work_and_comes_back_whole() {
    let fleet = Fleet::new(&Server::shared().database().connection());
    let mut busy = fleet.busy().await;
    busy.wait_for(100).await;
    let [one, two] = busy.signers;
    let [first, mut second] = busy.loads;
    one.kill();
    second.drain(&mut busy.answers);
    second.wait_for(200, &mut busy.answers).await;
    first.end(&mut busy.answers).await;
    let one = fleet.serve(0);
    let first = fleet.load(&one, 3).await;
    let mut busy = Busy { signers: [one, two], loads: [first, second], ..busy };
    busy.wait_for(100).await;
    fleet.finish(busy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_one_signer_answered_is_answered_alike_by_the_other() {
    let fleet = Fleet::new(&Server::shared().database().connection());
    let (one, two) = (fleet.serve(0), fleet.serve(1));
    let ca_key = fleet.ca_key(&one).await;
    let asked = |serial| {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        v1::SignRequest { request_id: format!("request-{serial}"), ..request("user-ca", tbs.encode()) }
    };
    let (here, there) = (fleet.client(&one).await, fleet.client(&two).await);
    let again = asked(7);
    let first = here.sign(again.clone()).await.unwrap();
    // The outcome follows the answer within 20 ms; until then the other signer says that the request is in work.
    let second = loop {
        match there.sign(again.clone()).await {
            Err(error) if error.reason == "REQUEST_IN_PROGRESS" => {}
            answer => break answer.unwrap(),
        }
    };
    assert_eq!((&first.signature, &first.receipt), (&second.signature, &second.receipt));
    assert_eq!(second.receipt.unwrap().log_origin, SIGNERS[0].0);
    let same_serial = v1::SignRequest { request_id: String::new(), ..asked(7) };
    assert_eq!(there.sign(same_serial).await.unwrap_err().reason, "SERIAL_REUSED");
    // What reads a log reads this one.
    fleet.run_ok(0, &["check"]);
    assert!(fleet.run_ok(0, &["ledger", "find", "--serial", "7", "--json"]).contains("\"kind\":\"intent\""));
    let socket = format!("unix:{}", fleet.site.path("countersign.sock").display());
    assert!(
        fleet
            .run_ok(0, &["ledger", "find", "--serial", "7", "--json", "--server", &socket])
            .contains("\"intent\"")
    );
    assert!(fleet.run_ok(0, &["ledger", "tail", "--server", &socket]).contains("intent"));
    let index = first.receipt.unwrap().entry_index.to_string();
    assert!(fleet.run_ok(0, &["ledger", "prove", &index]).contains(SIGNERS[0].0));
    assert!(fleet.run_ok(1, &["ledger", "stats"]).contains(SIGNERS[1].0));
    assert!(fleet.run_ok(1, &["ledger", "show"]).contains("SERIAL_REUSED"));
    fleet.run_ok(0, &["ledger", "export", "export"]);
    fleet.run_ok(0, &["ledger", "verify", "--accept-uncovered", "--against", "export"]);
    let stranger = fleet.site.command(&["serve"]).env("COUNTERSIGN_CONFIG", fleet.file(0)).output().unwrap();
    let message = crate::site::text(&stranger.stderr);
    assert!(message.contains("is in use by countersign one.countersign.example/ledger"), "{message}");
    assert_eq!((one.stop().0.code(), two.stop().0.code()), (Some(0), Some(0)));
}

/// Whichever signer signed it, was told, or is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_krl_has_what_either_signer_revoked_of_what_either_signed() {
    let fleet = Fleet::new(&Server::shared().database().connection());
    let daemons = [fleet.serve(0), fleet.serve(1)];
    let ca_key = fleet.ca_key(&daemons[0]).await;
    let sign = async |signer: usize, serial: u64, principal: &str, key_id: &str, subject: u8| {
        let tbs = Forgery {
            serial,
            key_id: key_id.into(),
            principals: vec![principal.into()],
            subject: string(&[subject; 32]),
            ..Forgery::user(ca_key.clone(), now())
        };
        fleet.client(&daemons[signer]).await.sign(request("user-ca", tbs.encode())).await.unwrap();
    };
    sign(0, 1, "alice", "alice@desk", 1).await;
    sign(1, 2, "alice", "alice@home", 2).await;
    sign(1, 3, "bob", "bob@desk", 3).await;
    sign(0, 4, "deploy-a", "deploy", 4).await;
    let revoke = |signer: usize, more: &[&str]| {
        let args = ["revoke", "user-ca", "--why", "a test", "--yes"];
        fleet.run_ok(signer, &[&args, more].concat())
    };
    let subject = SubjectKey::Plain(PublicKey::Ed25519([4; 32]));
    revoke(0, &["--principal", "alice"]);
    revoke(1, &["--key-id", "bob@desk"]);
    revoke(1, &["--subject", &subject.fingerprint()]);
    revoke(0, &["--serial", "5", "--not-in-ledger"]);
    // Who comes later with a name that was revoked is none of it.
    sign(0, 6, "alice", "alice@desk", 6).await;

    let mut expected = krl::Revoked::default();
    let line = fleet.run_ok(0, &["key", "show", "user-ca", "--openssh"]);
    let SubjectKey::Plain(ca) = SubjectKey::from_openssh_line(&line).unwrap() else { panic!("{line}") };
    for serial in [1, 2, 5] {
        expected.serial(&ca, serial);
    }
    expected.key_id(&ca, "bob@desk");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &subject.to_wire());
    expected.fingerprint(hash.as_ref().try_into().unwrap());
    let sockets =
        ["countersign.sock", "two.sock"].map(|name| format!("unix:{}", fleet.site.path(name).display()));
    let mut lists = Vec::new();
    for (signer, socket) in sockets.iter().enumerate() {
        for source in [vec![], vec!["--server", socket]] {
            let args = [&["ssh-krl", "user-ca", "--output", "fleet.krl", "--replace"], &source[..]].concat();
            fleet.run_ok(signer, &args);
            let list = Krl::parse(&std::fs::read(fleet.site.path("fleet.krl")).unwrap()).unwrap();
            assert_eq!(list.sections, expected.sections(), "{signer} {source:?}");
            assert!(SIGNERS.iter().all(|(origin, _)| list.comment.contains(origin)), "{}", list.comment);
            lists.push(list);
        }
    }
    let sizes = [0, 1].map(|signer| fleet.entries(signer).len() as u64);
    assert!(lists.iter().all(|list| list.version == sizes.iter().sum::<u64>()), "{lists:?}");
    let said = fleet.run_ok(1, &["revoke", "user-ca", "--principal", "deploy-a", "--dry-run"]);
    assert!(said.contains("this ledger has no such certificate"), "{said}");
    for daemon in daemons {
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_under_load_releases_nothing_and_service_returns() {
    let server = Server::start(&[]);
    let fleet = Fleet::new(&server.database().connection());
    let mut busy = fleet.busy().await;
    for stop in [Stop::Immediate, Stop::Fast] {
        busy.wait_for(100).await;
        server.stop(stop);
        busy.wait_for_refusals().await;
        busy.drain();
        server.run();
    }
    busy.wait_for(100).await;
    fleet.finish(busy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_by_that_is_promoted_has_what_was_released_and_signers_find_it() {
    let server = Server::start(&[]);
    let standby = server.standby("standby");
    let database = server.database();
    database.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    database.sql("SELECT pg_reload_conf()");
    while database.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1" {
        std::thread::yield_now();
    }
    let connection = format!(
        "host={},{} port={},{} dbname={} user=postgres",
        server.directory().display(),
        standby.directory().display(),
        server.port(),
        standby.port(),
        database.name()
    );
    let fleet = Fleet::new(&connection);
    let mut busy = fleet.busy().await;
    busy.wait_for(100).await;
    server.stop(Stop::Immediate);
    busy.wait_for_refusals().await;
    standby.promote();
    busy.drain();
    busy.wait_for(100).await;
    fleet.finish(busy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_connects_with_tls_and_a_password_from_a_file_or_not_at_all() {
    let server = Server::start(&[("ssl", "off")]);
    let database = server.database();
    let fleet = Fleet::new(&database.connection());
    for (name, file) in [("server.crt", "mtls/server.pem"), ("server.key", "mtls/server.key")] {
        server.install(name, &std::fs::read_to_string(fleet.site.path(file)).unwrap());
    }
    database.sql("CREATE ROLE remote LOGIN SUPERUSER PASSWORD 's3cret'");
    server.stop(Stop::Fast);
    server.admit("hostssl all all 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 reject");
    server.configure("ssl = on\n");
    server.run();
    let host = format!("host=localhost port={} dbname={} user=remote", server.port(), database.name());
    let secret = fleet.site.path("db-password");
    let open = |roots: Option<&str>, password: &str| {
        std::fs::write(&secret, password).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let roots = roots.map_or(String::new(), |file| format!("\npostgres_root_certificates = \"{file}\""));
        let keys = format!("{host}\"\npostgres_password_file = \"db-password\"{roots}\n# \"");
        fleet.configure(&keys);
        Ledger::open(&Config::load(&fleet.file(0)).unwrap().ledger)
    };
    open(Some("mtls/ca.pem"), "s3cret\n").unwrap().close().await;
    let cause =
        |ledger: Result<Ledger, _>| std::error::Error::source(&ledger.unwrap_err()).unwrap().to_string();
    let message = cause(open(Some("mtls/ca.pem"), "guess"));
    assert!(message.contains("password authentication failed"), "{message}");
    fleet.configure(&format!("{host}\"\npostgres_password_file = \"db-password\"\n# \""));
    let message = format!("{:?}", Config::load(&fleet.file(0)).unwrap_err());
    assert!(message.contains("could wait for the password"), "{message}");
    fleet.configure(&host);
    let message = cause(Ledger::open(&Config::load(&fleet.file(0)).unwrap().ledger));
    assert!(message.contains("rejects connection"), "{message}");
    let other = tempfile::tempdir().unwrap();
    crate::pki::write(&other.path().join("mtls"), &[]);
    let message = cause(open(other.path().join("mtls/ca.pem").to_str(), "s3cret"));
    assert!(message.contains("TLS"), "{message}");
}
