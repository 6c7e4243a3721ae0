//! What tests of the record need: a log in a directory of its own, a CA key in memory, and a policy that permits some.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};
use countersign_tbs::{Tbs, TbsKind};
use rusqlite::Connection;
use tempfile::TempDir;
use test_postgres::{Database, Server};

use crate::caller::Caller;
use crate::key::{Clock, Key, KeyName, KeyPurpose, Keys, PublicKey, Scheme, UnixTime};
use crate::ledger::entry::UnixMillis;
use crate::ledger::index::Limits;
use crate::ledger::{Config, Entry, Intent, Ledger, Permitted, Reader, Recorded, postgres};
use crate::policy::{Decision, Policy};
use crate::sign::{Failure, Priority, Request, RequestId};
use crate::token::RawSignature;
use crate::verify::Signature;

/// Permits `alice`, and nobody else, to `uid:1000`.
pub(crate) const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "tls.crt"
tls_key = "tls.key"
client_ca = "ca.crt"

[ledger]
path = "log.sqlite"
origin = "test.example/log"

[token.one]
module = "/module.so"
label = "one"
pin_file = "pin"

[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ed25519"
token = "one"

[key.user-ca.allow.staff]
callers = ["uid:1000"]
principals = ["alice"]
max_lifetime = "1h"
budget = "1000/h"
"#;

/// How many bytes this thread has read of files until now, by the kernel's count.
pub(crate) fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

pub(crate) struct Fixture {
    directory: TempDir,
    pub(crate) config: Config,
    ca: Ed25519KeyPair,
    keys: Keys,
    policy: Policy,
}

impl Fixture {
    /// With a log in whatever store the environment says: see [`choose_store`].
    pub(crate) fn new() -> Self {
        let mut fixture = Self::in_file();
        choose_store(&mut fixture.config);
        fixture
    }

    /// With a log in a file, for tests of what only a file has.
    pub(crate) fn in_file() -> Self {
        Self::with_ca(Ed25519KeyPair::generate().unwrap())
    }

    /// With the CA key of this seed, so that several processes have the same.
    pub(super) fn with_seed(seed: &[u8; 32]) -> Self {
        Self::with_ca(Ed25519KeyPair::from_seed_unchecked(seed).unwrap())
    }

    fn with_ca(ca: Ed25519KeyPair) -> Self {
        let directory = TempDir::new().unwrap();
        let config = crate::config::Config::parse(&directory.path().join("cs.toml"), CONFIG).unwrap();
        let public_key = PublicKey::Ed25519(ca.public_key().as_ref().try_into().unwrap());
        let name = KeyName::new("user-ca").unwrap();
        let key = Key::new(name, KeyPurpose::SshUserCa, Scheme::Ed25519, public_key).unwrap();
        let keys = Keys::from_iter([key]);
        Self { directory, config: config.ledger, ca, keys, policy: config.policy }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn open(&self) -> Ledger {
        open(&self.config)
    }

    /// The same, by a clock that may be wrong.
    pub(crate) fn open_by(&self, now: fn() -> UnixMillis) -> Ledger {
        open_by(&self.config, now)
    }

    /// The same, with an index that is written sooner.
    pub(super) fn open_with(&self, limits: Limits) -> Ledger {
        Ledger::open_by(&self.config, UnixMillis::now, limits).unwrap()
    }

    /// The index's directory.
    pub(crate) fn index(&self) -> PathBuf {
        self.directory().join("log.sqlite-index")
    }

    pub(crate) fn remove_index(&self) {
        fs::remove_dir_all(self.index()).unwrap();
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        self.keys.iter().next().unwrap()
    }

    /// A request for `alice`, with this serial.
    pub(crate) fn request_with_serial(&self, serial: u64) -> Request {
        self.build("alice", Some(serial))
    }

    /// A request for one principal; policy permits `alice`.
    pub(crate) fn request(&self, principal: &str) -> Request {
        self.build(principal, None)
    }

    fn build(&self, principal: &str, serial: Option<u64>) -> Request {
        let subject = SubjectKey::Plain(PublicKey::Ed25519(
            Ed25519KeyPair::generate().unwrap().public_key().as_ref().try_into().unwrap(),
        ));
        let now = UnixTime::now().0;
        let mut tbs = CertificateBuilder::new(CertificateType::User, subject, self.key().public_key.clone())
            .key_id("alice smith")
            .principal(principal)
            .valid_after(now)
            .valid_before(now + 600);
        if let Some(serial) = serial {
            tbs = tbs.serial(serial);
        }
        let tbs = tbs.build().unwrap();
        Request {
            caller: Caller::for_test("uid:1000"),
            key: "user-ca".to_owned(),
            kind: TbsKind::SshCertificate,
            bytes: tbs.as_bytes().to_vec().into(),
            request_id: Some(RequestId::new(format!("request-{}", tbs.serial())).unwrap()),
            priority: Priority::Interactive,
            deadline: None,
        }
    }

    pub(crate) fn decide(&self, request: Request) -> Decision {
        self.decide_by(&self.policy, request)
    }

    pub(crate) fn decide_by(&self, policy: &Policy, request: Request) -> Decision {
        let tbs = Tbs::parse(request.kind, &request.bytes);
        policy.decide(&self.keys, request, tbs, Clock::read())
    }

    /// The policy of a configuration that was edited.
    pub(crate) fn policy(edit: impl FnOnce(&str) -> String) -> Policy {
        crate::config::Config::parse(Path::new("/cs.toml"), &edit(CONFIG)).unwrap().policy
    }

    pub(crate) async fn intent(&self, ledger: &Ledger) -> Intent {
        intent(self.record(ledger, self.request("alice")).await)
    }

    /// Decides and records.
    pub(crate) async fn record(&self, ledger: &Ledger, request: Request) -> Recorded {
        ledger.record(self.decide(request)).await.unwrap()
    }

    /// What a token would answer, verified.
    pub(crate) fn sign(&self, intent: &Intent) -> Result<Signature, Failure> {
        let raw = RawSignature::for_test(self.ca.sign(intent.message()).as_ref());
        Ok(raw.verify(intent)?)
    }

    /// Every entry, as another process sees them now.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let reader = Reader::open(&self.config).unwrap();
        reader.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect()
    }

    /// Appends what no signer need have written, and begins the log if there is none.
    pub(crate) fn append(&self, leaves: impl IntoIterator<Item = Vec<u8>>) {
        if !self.config.path.exists() {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(self.open().close());
        }
        let mut connection = Connection::open(&self.config.path).unwrap();
        let transaction = connection.transaction().unwrap();
        let append =
            "INSERT INTO entry (idx, leaf) VALUES ((SELECT coalesce(max(idx) + 1, 0) FROM entry), ?1)";
        for leaf in leaves {
            transaction.prepare_cached(append).unwrap().execute((leaf,)).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Has the store take no entries from the index `first` on, as if its disk were full.
    pub(crate) fn fill(&self, first: u64) {
        match database(&self.config) {
            None => drop(self.sql(&format!(
                "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.idx >= {first} BEGIN SELECT RAISE(ABORT, ''); END"
            ))),
            Some(database) => drop(database.sql(&format!(
                "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'full'; END $$;
                 CREATE TRIGGER full_disk BEFORE INSERT ON countersign.entry FOR EACH ROW WHEN (NEW.idx >= {first})
                     EXECUTE FUNCTION public.full_disk()"
            ))),
        }
    }

    /// The same, of entries of so many bytes or more.
    pub(crate) fn fill_but_for(&self, bytes: usize) {
        match database(&self.config) {
            None => drop(self.sql(&format!(
                "CREATE TRIGGER full BEFORE INSERT ON entry WHEN length(NEW.leaf) >= {bytes} BEGIN SELECT RAISE(ABORT, ''); END;
                 CREATE TRIGGER full_probe BEFORE INSERT ON meta WHEN length(NEW.value) >= {bytes} BEGIN SELECT RAISE(ABORT, ''); END"
            ))),
            Some(database) => drop(database.sql(&format!(
                "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'full'; END $$;
                 CREATE TRIGGER full_disk BEFORE INSERT ON countersign.entry FOR EACH ROW WHEN (octet_length(NEW.leaf) >= {bytes})
                     EXECUTE FUNCTION public.full_disk()"
            ))),
        }
    }

    /// It takes them again.
    pub(crate) fn make_room(&self) {
        match database(&self.config) {
            None => drop(self.sql("DROP TRIGGER full; DROP TRIGGER IF EXISTS full_probe")),
            Some(database) => drop(
                database.sql("DROP TRIGGER full_disk ON countersign.entry; DROP FUNCTION public.full_disk"),
            ),
        }
    }

    /// What somebody with `sqlite3` does.
    pub(crate) fn sql(&self, sql: &str) -> Connection {
        let connection = Connection::open(&self.config.path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }
}

impl Drop for Fixture {
    /// A ledger that was not closed may be writing still: what it adds meanwhile is removed, too.
    fn drop(&mut self) {
        for _ in 0..20_000 {
            if fs::remove_dir_all(self.directory()).is_ok() || !self.directory().exists() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Opens a log that is closed, not only dropped: its writer has its lock until it has ended.
pub(crate) fn open(config: &Config) -> Ledger {
    Ledger::open(config).unwrap()
}

/// The same, by a clock that may be wrong.
pub(crate) fn open_by(config: &Config, now: fn() -> UnixMillis) -> Ledger {
    Ledger::open_by(config, now, Limits::default()).unwrap()
}

/// Where tests have their logs: with `COUNTERSIGN_TEST_STORE=postgres`, each in a database of its own, on a real server.
pub(crate) fn choose_store(config: &mut Config) {
    if std::env::var_os("COUNTERSIGN_TEST_STORE").is_some_and(|store| store == "postgres") {
        use_database(config, &Server::shared().database());
    }
}

/// Has a log in this database.
pub(crate) fn use_database(config: &mut Config, database: &Database) {
    let timeout = Duration::from_secs(5);
    let postgres = postgres::Config::new(&database.connection(), None, None, timeout).unwrap();
    config.postgres = Some(Arc::new(postgres));
}

/// The database that [`use_database`] was told.
pub(crate) fn database(config: &Config) -> Option<Database> {
    let server = config.postgres.as_ref()?.server();
    let (name, _) = server.split_once(' ').unwrap();
    Some(Server::shared().named(name))
}

/// Keeps every writer waiting, until what is returned is dropped.
pub(crate) fn block(config: &Config) -> Box<dyn std::any::Any + Send> {
    match database(config) {
        None => {
            let connection = Connection::open(&config.path).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            Box::new(connection)
        }
        Some(database) => Box::new(database.hold("SELECT pg_advisory_lock(x'6373676e'::int4, 0)")),
    }
}

/// What is to be signed.
pub(crate) fn intent(recorded: Recorded) -> Intent {
    match recorded.permitted().unwrap() {
        Permitted::Intent(intent) => intent,
        Permitted::Replay(replay) => panic!("{replay:?}"),
    }
}
