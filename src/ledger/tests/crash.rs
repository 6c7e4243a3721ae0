//! kill -9 of a signer that writes its index all the time, at random moments: nothing that was claimed is forgotten.
//!
//! The real daemon writes its index every 16,384 entries, which kills of it (`tests/crash/`) seldom meet; here it is every
//! eighth, and now and then all of it is made anew at the start. This test runs itself as the process that is killed.
//! `COUNTERSIGN_CRASH_SEED` repeats the moments of another run, `COUNTERSIGN_CRASH_KILLS` says how many.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write, stdout};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use countersign_tbs::{Tbs, TbsKind};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::ledger::entry::{AskedTbs, Outcome};
use crate::ledger::fixture::{Fixture, intent};
use crate::ledger::index::Limits;
use crate::ledger::merkle::Frontier;
use crate::ledger::{Entry, Ledger, Permitted, leaf_hash};
use crate::policy::Policy;
use crate::sign::Request;

/// This test, for the process that it runs itself as.
const NAME: &str =
    "ledger::tests::crash::nothing_claimed_is_forgotten_by_kills_of_a_signer_that_writes_its_index";
/// Where that process finds the log, and the first serial that it asks for.
const LOG: &str = "COUNTERSIGN_TEST_CRASH_LOG";
const FIRST: &str = "COUNTERSIGN_TEST_CRASH_FIRST";

const SEED: &str = "COUNTERSIGN_CRASH_SEED";
const KILLS: &str = "COUNTERSIGN_CRASH_KILLS";

const CA_SEED: [u8; 32] = [0x5a; 32];
const OFTEN: Limits =
    Limits { flush: 8, bound: 64, age: Duration::from_secs(3600), pause: Duration::from_millis(5) };
/// Callers of one signer.
const CALLERS: usize = 4;
/// How many serials there are for each signer.
const ROOM: u64 = 1_000_000;
/// The longest that one lives, once it is waited for no more.
const LONGEST_US: u64 = 80_000;
/// After so many kills, and at the end, the log is looked at.
const OFTEN_LOOKED_AT: u64 = 20;

/// However long it takes, what was asked for first may be asked for again.
fn policy() -> Policy {
    Fixture::policy(|text| text.replace("budget = \"1000/h\"", "budget = \"1000000/m\"\nbackdating = \"1h\""))
}

/// Signs without end, and says what it has released.
async fn sign_until_killed(log: PathBuf) {
    let first: u64 = env::var(FIRST).unwrap().parse().unwrap();
    let mut fixture = Fixture::with_seed(&CA_SEED);
    fixture.config.path = log;
    let (ledger, fixture, policy) = (fixture.open_with(OFTEN), Arc::new(fixture), Arc::new(policy()));
    let caller = |serials| release(ledger.clone(), Arc::clone(&fixture), Arc::clone(&policy), serials);
    let callers: JoinSet<()> = (0..CALLERS).map(|n| caller((first..).skip(n).step_by(CALLERS))).collect();
    callers.join_all().await;
}

async fn release(
    ledger: Ledger,
    fixture: Arc<Fixture>,
    policy: Arc<Policy>,
    serials: impl Iterator<Item = u64>,
) {
    for serial in serials {
        let decision = fixture.decide_by(&policy, fixture.request_with_serial(serial));
        let intent = intent(ledger.record(decision).await.unwrap());
        let (index, signature) = (intent.receipt().index, fixture.sign(&intent));
        ledger.settle(intent, signature).unwrap();
        write!(stdout(), "\nreleased {index} {serial}\n").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_claimed_is_forgotten_by_kills_of_a_signer_that_writes_its_index() {
    if let Some(log) = env::var_os(LOG) {
        return sign_until_killed(log.into()).await;
    }
    let (fixture, mut random) = (Fixture::with_seed(&CA_SEED), Random::from_environment());
    let (mut released, mut seen) = (BTreeMap::new(), Seen::default());
    let kills = env::var(KILLS).map_or(200, |kills| kills.parse().unwrap());
    let mut number = 0;
    while number < kills || number < 5 * kills && !seen.has_all() {
        number += 1;
        if random.below(8) == 0 && fixture.index().exists() {
            fixture.remove_index();
        }
        let mut signer = Signer::spawn(&fixture, number * ROOM);
        // A busy machine takes long for a start, and most kills are to meet a signer that writes.
        if random.below(4) > 0 {
            signer.wait_for_a_release();
        }
        tokio::time::sleep(Duration::from_micros(random.below(LONGEST_US))).await;
        released.extend(signer.kill());
        seen.look(&fixture);
        if number % OFTEN_LOOKED_AT == 0 {
            everything_is_known(&fixture, &released, &mut random).await;
        }
    }
    everything_is_known(&fixture, &released, &mut random).await;
    println!("{number} kills, {} signatures released; {seen:?}", released.len());
    assert!(seen.has_all(), "no kill met the index: {seen:?}");
}

/// This test, as the process that is killed.
struct Signer {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Signer {
    fn spawn(fixture: &Fixture, first: u64) -> Self {
        let mut this = Command::new(env::current_exe().unwrap());
        this.args(["--exact", NAME, "--nocapture"]);
        this.env(LOG, &fixture.config.path).env(FIRST, first.to_string());
        // It cannot remove what it makes.
        let mut child = this.env("TMPDIR", fixture.directory()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, said: String::new() }
    }

    fn wait_for_a_release(&mut self) {
        while !self.said.contains("released ") {
            let read = self.stdout.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it ended by itself: {}", self.said);
        }
    }

    /// Kills it. What it has released: index and serial.
    fn kill(mut self) -> Vec<(u64, u64)> {
        self.child.kill().unwrap();
        self.stdout.read_to_string(&mut self.said).unwrap();
        self.child.wait().unwrap();
        assert!(!self.said.contains("FAILED"), "{}", self.said);
        let released = self.said.lines().filter_map(|line| line.strip_prefix("released ")?.split_once(' '));
        released.map(|(index, serial)| (index.parse().unwrap(), serial.parse().unwrap())).collect()
    }
}

/// In what state kills have left the index, and how often.
#[derive(Debug, Default)]
struct Seen {
    /// With files that its manifest does not name.
    unfinished: u32,
    /// Knowing fewer entries than the log has.
    behind: u32,
    /// Knowing some.
    current: u32,
}

impl Seen {
    fn has_all(&self) -> bool {
        self.unfinished > 0 && self.behind > 0 && self.current > 0
    }

    fn look(&mut self, fixture: &Fixture) {
        let Ok(manifest) = fs::read(fixture.index().join("manifest.json")) else { return };
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let runs = ["claims", "find"].map(|family| manifest[family].as_array().unwrap());
        let named: BTreeSet<&str> =
            runs.into_iter().flatten().filter_map(|run| run["file"].as_str()).collect();
        let is_stranger = |name: &str| {
            name == "manifest.new"
                || !named.contains(name) && (name.starts_with("claims-") || name.starts_with("find-"))
        };
        let files = fs::read_dir(fixture.index()).unwrap();
        let strangers =
            files.filter(|file| is_stranger(&file.as_ref().unwrap().file_name().to_string_lossy()));
        let (known, entries) = (manifest["entries"].as_u64().unwrap(), fixture.entries().len());
        self.unfinished += u32::from(strangers.count() > 0);
        self.behind += u32::from(known < u64::try_from(entries).unwrap());
        self.current += u32::from(known > 0);
    }
}

/// What was released is in the log, under its index; each serial once; and the index knows all of it.
async fn everything_is_known(fixture: &Fixture, released: &BTreeMap<u64, u64>, random: &mut Random) {
    let (entries, ledger, policy) = (fixture.entries(), fixture.open_with(OFTEN), policy());
    let mut frontier = Frontier::new();
    let (mut serials, mut outcomes) = (BTreeMap::new(), BTreeMap::new());
    for (index, entry) in (0_u64..).zip(&entries) {
        frontier.push(leaf_hash(&entry.encode().unwrap()), |_| Ok::<_, ()>(())).unwrap();
        match entry {
            Entry::Intent { asked, .. } => {
                let AskedTbs::Whole(tbs) = &asked.tbs else { panic!("{entry:?}") };
                let other = serials.insert(serial_of(tbs), (index, tbs));
                assert!(other.is_none(), "two intents with the serial of entry {index}");
            }
            Entry::Outcome { intent, outcome: Outcome::Signed(signature), .. } => {
                outcomes.insert(*intent, signature);
            }
            _ => {}
        }
    }
    for (index, serial) in released {
        assert_eq!(serials.get(serial).map(|(index, _)| index), Some(index), "serial {serial} was released");
    }
    let of_index = Frontier::restore(&*ledger.tiles, frontier.size()).unwrap();
    assert_eq!(of_index.root(), frontier.root(), "the tiles are those of the log");
    // All of them would take as long as all kills together.
    for (serial, (index, tbs)) in serials.iter().filter(|_| random.below(20) == 0) {
        let same = Request { bytes: (*tbs).clone().into(), ..fixture.request_with_serial(*serial) };
        let found = ledger.record(fixture.decide_by(&policy, same)).await.unwrap().permitted();
        match (outcomes.get(index), found) {
            (Some(signature), Ok(Permitted::Replay(replay))) => {
                assert!(replay.verify().unwrap().object.ends_with(signature), "serial {serial}");
            }
            (None, Err(refused)) => {
                assert_eq!(refused.refusal.reason.code_word(), "REQUEST_OUTCOME_UNKNOWN");
            }
            (outcome, found) => panic!("serial {serial}: {outcome:?}, {found:?}"),
        }
        let other = Request { request_id: None, ..fixture.request_with_serial(*serial) };
        let refused = ledger.record(fixture.decide_by(&policy, other)).await.unwrap().permitted();
        assert_eq!(refused.unwrap_err().refusal.reason.code_word(), "SERIAL_REUSED", "serial {serial}");
    }
    ledger.close().await;
}

fn serial_of(tbs: &[u8]) -> u64 {
    match Tbs::parse(TbsKind::SshCertificate, tbs) {
        Ok(Tbs::Ssh(tbs)) => tbs.serial(),
        other => panic!("{other:?}"),
    }
}

/// SplitMix64, by a seed that is printed.
struct Random(u64);

impl Random {
    fn from_environment() -> Self {
        let now = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
        let seed = env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
        println!("{SEED}={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
