//! The ledger alone, with no token: `cargo bench --bench ledger [-- SECONDS [CALLERS...]]`, in a directory of its own.
//!
//! Out, for each number of callers: durable intents per second, each with an outcome behind it, and what the ledger costs
//! of the CPU for each: the process's CPU time, less that of the same requests when they are only built and decided. The outcome is
//! that nobody signed: only a token's answer that was verified can be settled, and there is none. In service it has a signature,
//! of 64 bytes where the key is on P-256, which are hashed and written as well; what that costs is in no figure here. Then what one
//! caller waits for, beside what the disk alone takes for a commit, and what a verification takes that `ledger verify` is made of.
//! `LEDGER_BENCH_ENTRIES=10000000` fills a log with so many entries first, and measures opening it, looking up and making its
//! index anew as well; opening and looking up also after the kernel was told to drop what it has of the files in memory, as after a boot, and
//! opening after a `kill -9` of another process of this program, which wrote what no file of the index has. `LEDGER_BENCH_POSTGRES="host=… dbname=… user=…"` has it in an empty database instead of a file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a benchmark"
)]
#![allow(missing_docs, reason = "a benchmark")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use countersign::caller::{Caller, CallerName};
use countersign::config::Config;
use countersign::key::{Clock, Key, KeyName, KeyPurpose, Keys, PublicKey, Scheme, UnixTime};
use countersign::ledger::entry::{RevocationReason, Revoked};
use countersign::ledger::{Archive, ArchiveError, Filter, Ledger, Permitted, Reader, Revocation, Search};
use countersign::policy::{Decision, Policy};
use countersign::sign::{Priority, Request, RequestId};
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};
use countersign_tbs::{Tbs, TbsKind};

/// How many certificates a large log has revoked.
const REVOKED: u64 = 1000;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "tls.crt"
tls_key = "tls.key"
client_ca = "ca.crt"
[ledger]
path = "ledger.sqlite"
origin = "bench.example/ledger"
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
budget = "10000000/s"
"#;

struct Site {
    config: Config,
    keys: Keys,
    serial: AtomicU64,
}

impl Site {
    fn new(directory: &Path) -> Self {
        let mut config = CONFIG.to_owned();
        if let Ok(connection) = env::var("LEDGER_BENCH_POSTGRES") {
            config = config.replace("[ledger]\n", &format!("[ledger]\npostgres = \"{connection}\"\n"));
        }
        let config = Config::parse(&directory.join("countersign.toml"), &config).unwrap();
        let name = KeyName::new("user-ca").unwrap();
        let key =
            Key::new(name, KeyPurpose::SshUserCa, Scheme::Ed25519, PublicKey::Ed25519([7; 32])).unwrap();
        Self { config, keys: Keys::from_iter([key]), serial: AtomicU64::new(0) }
    }

    /// A request like any other: a serial that looks random, an id of its own, a subject's key.
    fn decide(&self) -> Decision {
        self.decide_serial(scattered(self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    fn decide_serial(&self, serial: u64) -> Decision {
        let mut key = [0; 32];
        for (byte, source) in key.iter_mut().zip(serial.to_be_bytes().iter().cycle()) {
            *byte = *source;
        }
        let now = UnixTime::now().0;
        let subject = SubjectKey::Plain(PublicKey::Ed25519(key));
        let tbs = CertificateBuilder::new(CertificateType::User, subject, PublicKey::Ed25519([7; 32]))
            .key_id(format!("alice@example.org {serial:x}"))
            .principal("alice")
            .valid_after(now)
            .valid_before(now + 600)
            .serial(serial);
        let bytes = tbs.build().unwrap().as_bytes().to_vec().into();
        let request = Request {
            caller: Caller::from_uid(1000),
            key: "user-ca".to_owned(),
            kind: TbsKind::SshCertificate,
            bytes,
            request_id: Some(RequestId::new(format!("request-{serial:016x}")).unwrap()),
            priority: Priority::Interactive,
            deadline: None,
        };
        let policy: &Policy = &self.config.policy;
        let tbs = Tbs::parse(request.kind, &request.bytes);
        policy.decide(&self.keys, request, tbs, Clock::read())
    }
}

/// A bijection of the numbers (splitmix64).
fn scattered(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// User and system time of this process, in seconds: fields 14 and 15 of its stat, in hundredths.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// How many, how long, and the CPU time of each in microseconds.
async fn run(
    site: &Arc<Site>,
    ledger: Option<&Ledger>,
    callers: usize,
    until: impl Fn(u64) -> bool,
) -> (f64, f64) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (began, used) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (site, ledger) = (Arc::clone(site), ledger.cloned());
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let decision = site.decide();
                    match &ledger {
                        Some(ledger) => {
                            let permitted = ledger.record(decision).await.unwrap().permitted().unwrap();
                            assert!(matches!(permitted, Permitted::Intent(_)), "{permitted:?}");
                        }
                        None => tokio::task::yield_now().await,
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while !until(done.load(Ordering::Relaxed)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let done = done.load(Ordering::Relaxed) as f64;
    (done / began.elapsed().as_secs_f64(), (cpu() - used) / done * 1e6)
}

async fn measure(site: &Arc<Site>, ledger: &Ledger, callers: usize, seconds: u64) {
    let lasts = |seconds: u64| {
        let began = Instant::now();
        move |_| began.elapsed() >= Duration::from_secs(seconds)
    };
    let (_, without) = run(site, None, callers, lasts(2)).await;
    let (rate, with) = run(site, Some(ledger), callers, lasts(seconds)).await;
    println!("| {callers} | {rate:.0} | {:.1} µs | {} MiB |", with - without, resident());
}

/// Half of them took no longer.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long each of `work` took, for so many seconds.
fn timed(seconds: u64, mut work: impl FnMut()) -> Vec<Duration> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(seconds) {
        let began = Instant::now();
        work();
        times.push(began.elapsed());
    }
    times
}

/// What one caller waits for, and what it would wait for if there were nothing but the disk.
async fn alone(site: &Arc<Site>, ledger: &Ledger, directory: &Path, seconds: u64) {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(seconds) {
        let decision = site.decide();
        let began = Instant::now();
        let permitted = ledger.record(decision).await.unwrap().permitted().unwrap();
        times.push(began.elapsed());
        drop(permitted);
    }
    let one = median(times);
    let file = fs::File::create(directory.join("appended")).unwrap();
    let synced = median(timed(seconds, || {
        (&file).write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    }));
    if site.config.ledger.postgres.is_some() {
        println!(
            "- One caller waits for {one:?} (p50); this disk takes {synced:?} to sync an append of 4 KiB"
        );
        return;
    }
    let committed = median(commits(directory, seconds));
    println!(
        "- One caller waits for {one:?} (p50); SQLite alone takes {committed:?} for the commit of one row of 350 bytes on this disk, \
         and the disk {synced:?} to sync an append of 4 KiB: the ledger adds {:?} to the commit",
        one.saturating_sub(committed)
    );
}

/// Commits of one row each, as durable as the ledger's.
fn commits(directory: &Path, seconds: u64) -> Vec<Duration> {
    let connection = rusqlite::Connection::open(directory.join("alone.sqlite")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 4096).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
        .execute_batch("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT")
        .unwrap();
    let mut insert = connection.prepare("INSERT INTO entry (leaf) VALUES (?1)").unwrap();
    timed(seconds, || assert_eq!(insert.execute([[7_u8; 350].as_slice()]).unwrap(), 1))
}

/// What the library takes for a signature, on one core; `ledger verify` verifies on all of them.
fn verifications(seconds: u64) {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).unwrap();
    let message = [7; 300];
    let signature = pair.sign(&random, &message).unwrap();
    let one = median(timed(seconds, || key.verify_sig(&message, signature.as_ref()).unwrap()));
    println!(
        "- One P-256 verification by the library takes {one:?}, {:.0}/s on a core: `ledger verify` has one for two entries, so {:.0} \
         entries/s on each core are its bound",
        1.0 / one.as_secs_f64(),
        2.0 / one.as_secs_f64()
    );
}

/// Revokes so many certificates, and says how long one takes.
async fn revoke(site: &Site, ledger: &Ledger, count: u64) {
    let began = Instant::now();
    for n in 0..count {
        let revocation = Revocation {
            key: Arc::clone(site.keys.iter().next().unwrap()),
            what: Revoked::Serial(scattered(n).to_be_bytes().to_vec()),
            reason: RevocationReason::Unspecified,
            in_ledger: true,
            by: CallerName::parse("uid:0").unwrap(),
            why: "a benchmark".to_owned(),
        };
        ledger.revoke(revocation).await.unwrap();
    }
    println!(
        "- {count} certificates revoked, one after the other: {:?} each",
        began.elapsed() / u32::try_from(count).unwrap()
    );
}

/// Has the kernel drop what it has in memory of the files of the log and its index (`POSIX_FADV_DONTNEED`, after a sync): they are read
/// from the disk again, or from what is behind it. A database's files are not ours to drop.
fn forget(directory: &Path) {
    for file in fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()) {
        if file.is_dir() {
            forget(&file);
            continue;
        }
        let file = fs::File::open(file).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

/// What `FindEntries` does, by the serial of a certificate that was signed once, and not revoked.
fn find(archive: &Archive, serial: u64) -> Result<(), ArchiveError> {
    let filter = Filter { serial: serial.to_string().parse().ok(), ..Filter::default() };
    let (mut search, mut found) = (Search::new(archive, filter, None)?, 0);
    while search.next().is_some() {
        found += search.step(archive, 1000, 1000)?.len();
    }
    assert_eq!(found, 1, "{serial}");
    Ok(())
}

/// The serial of one of so many that were signed, after those that [`revoke`] has taken.
fn signed_once(n: u64, signed: u64) -> u64 {
    scattered(REVOKED + scattered(n) % (signed - REVOKED))
}

/// How long searches by serial take: the first of a signer that was just started, those after it, and that of another process.
async fn finds(site: &Site, ledger: &Ledger, signed: u64) {
    let mut times = Vec::new();
    for n in 0..1000 {
        let began = Instant::now();
        ledger.live().read(move |archive| find(archive, signed_once(n, signed))).await.unwrap();
        times.push(began.elapsed());
    }
    let (first, worst) = (times[0], times[1..].iter().max().copied().unwrap());
    let began = Instant::now();
    let (archive, unusable) = Archive::open(Reader::open(&site.config.ledger).unwrap()).unwrap();
    find(&archive, signed_once(0, signed)).unwrap();
    println!(
        "- 1000 searches by serial: {first:?} the first, {:?} (p50), {worst:?} at worst; {:?} offline, with the opening{}",
        median(times),
        began.elapsed(),
        unusable.map(|why| format!(", WITHOUT THE INDEX: {why}")).unwrap_or_default()
    );
}

/// Where the process that is to be killed writes, and from which serial on.
const VICTIM: [&str; 2] = ["LEDGER_BENCH_VICTIM", "LEDGER_BENCH_VICTIM_FROM"];

/// So many intents, with an outcome each, are a little less than the 16,384 entries that the index writes together: none of them is in its files.
const UNINDEXED: u64 = 7_000;

/// Records until it is killed, and says when it has recorded [`UNINDEXED`] intents, and what it has in memory then.
async fn victim(directory: &Path) {
    let site = Arc::new(Site::new(directory));
    site.serial.store(env::var(VICTIM[1]).unwrap().parse().unwrap(), Ordering::Relaxed);
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    run(&site, Some(&ledger), 64, |done| {
        if done >= UNINDEXED {
            println!("{}", resident());
        }
        false
    })
    .await;
}

/// Opens the log after a process that writes it was killed in the middle of it: with entries that no file of the index has. That process
/// has in memory what a signer has that finds the log as it is, and begins at this serial.
async fn killed(site: &Site, from: u64) {
    let directory = site.config.ledger.path.parent().unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child.env(VICTIM[0], directory).env(VICTIM[1], from.to_string()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let (mut output, mut said) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    output.read_line(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let resident: u64 = said.trim().parse().unwrap();
    let began = Instant::now();
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    let (took, entries) = (began.elapsed(), ledger.live().size());
    println!(
        "- With {entries} entries opened in {took:?} after a `kill -9` of another process: it had opened the log, written {UNINDEXED} intents, \
         and {resident} MiB resident"
    );
    ledger.close().await;
}

/// The log as a signer finds it, and a serial that was signed long ago.
async fn large(site: &Arc<Site>, entries: u64) {
    killed(site, 1 << 40).await;
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    let began = Instant::now();
    let (rate, _) = run(site, Some(&ledger), 512, |done| done * 2 >= entries).await;
    // A start looks for all revocations.
    revoke(site, &ledger, REVOKED).await;
    ledger.close().await;
    println!(
        "- Filled with {entries} entries in {:?}, {rate:.0} intents/s; {} MiB resident",
        began.elapsed(),
        resident()
    );
    let began = Instant::now();
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    println!("- Opened in {:?}; {} MiB resident", began.elapsed(), resident());
    ledger.close().await;
    let signed = site.serial.load(Ordering::Relaxed);
    killed(site, 1 << 41).await;
    forget(site.config.ledger.path.parent().unwrap());
    let began = Instant::now();
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    println!("- Opened in {:?} with nothing of it in memory", began.elapsed());
    finds(site, &ledger, signed).await;
    let mut worst = Duration::ZERO;
    let began = Instant::now();
    for n in 0..1000 {
        let again = site.decide_serial(scattered(scattered(n) % signed));
        let began = Instant::now();
        ledger.record(again).await.unwrap().permitted().unwrap_err();
        worst = worst.max(began.elapsed());
    }
    println!(
        "- 1000 serials and request ids looked up, refused and recorded: {:?} each, {worst:?} at worst",
        began.elapsed() / 1000
    );
    ledger.close().await;
    let mut index = site.config.ledger.path.clone().into_os_string();
    index.push("-index");
    fs::remove_dir_all(index).unwrap();
    let began = Instant::now();
    Ledger::open(&site.config.ledger).unwrap().close().await;
    println!("- Its index made anew in {:?}; {} MiB resident\n", began.elapsed(), resident());
}

#[tokio::main]
async fn main() {
    let mut numbers = env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let seconds = numbers.next().unwrap_or(5);
    let mut callers: Vec<usize> = numbers.map(|number| usize::try_from(number).unwrap()).collect();
    if callers.is_empty() {
        callers = vec![8, 64, 256];
    }
    if let Ok(directory) = env::var(VICTIM[0]) {
        return victim(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let site = Arc::new(Site::new(directory.path()));
    if let Ok(entries) = env::var("LEDGER_BENCH_ENTRIES") {
        large(&site, entries.parse().unwrap()).await;
    }
    println!("| callers | intents/s | the ledger's CPU each | resident |\n|---|---|---|---|");
    let ledger = Ledger::open(&site.config.ledger).unwrap();
    for callers in callers {
        measure(&site, &ledger, callers, seconds).await;
    }
    println!();
    alone(&site, &ledger, directory.path(), seconds).await;
    verifications(seconds);
    ledger.close().await;
}
