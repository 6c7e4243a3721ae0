//! Front-ends that ask for one certificate after another, verify each, and count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use countersign::ledger::Entry;
use countersign::ledger::entry::Outcome;
use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_tbs::ssh::{Certificate, SubjectKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, PATIENCE, Site, at, now, request};

/// No two certificates of one test have one serial.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Entries of the ledger, shown by their number.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Entries(pub BTreeSet<u64>);

impl std::fmt::Debug for Entries {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} entries", self.0.len())
    }
}

/// A front-end that knows the key it asks for from the start, as a verifier does.
pub struct Caller {
    client: Client,
    key: String,
    ca_key: Vec<u8>,
    /// The ledger's entries of all certificates that it was given.
    released: Mutex<BTreeSet<u64>>,
}

impl Caller {
    pub async fn new(site: &Site, daemon: &Daemon, key: &str) -> Self {
        let client = site.client(daemon, FRONT_END).await.with_deadline(PATIENCE);
        let openssh = client.get_key(key).await.unwrap().openssh;
        let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
        Self { client, key: key.to_owned(), ca_key, released: Mutex::default() }
    }

    /// One certificate. Panics if it is not exactly what was asked for.
    pub async fn sign(&self) -> Result<Certificate, CallError> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let tbs = Forgery { serial, ..Forgery::user(self.ca_key.clone(), now()) }.encode();
        let answer = self.client.sign(request(&self.key, tbs.clone())).await?;
        let certificate = Certificate::parse(&answer.object).unwrap();
        assert_eq!(certificate.tbs().as_bytes(), tbs, "another certificate was signed");
        let entry = answer.receipt.expect("each answer has a receipt").entry_index;
        assert!(self.released.lock().unwrap().insert(entry), "two certificates of entry {entry}");
        Ok(certificate)
    }

    /// The entries of which it was given a certificate.
    pub fn released(&self) -> BTreeSet<u64> {
        self.released.lock().unwrap().clone()
    }

    /// Asks until it is signed; how long that took.
    pub async fn sign_at_last(&self) -> Duration {
        let since = Instant::now();
        while let Err(error) = self.sign().await {
            assert!(since.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }

    /// Whether a signature of a P-256 key verifies, by code that is not countersign's.
    pub fn verifies(&self, certificate: &Certificate) -> bool {
        let point = &self.ca_key[self.ca_key.len() - 65..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(certificate.tbs().as_bytes(), certificate.raw_signature())
            .is_ok()
    }
}

/// What became of a load's requests, from the callers' side.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub signed: u64,
    pub wrong: u64,
    /// The entries that the receipts name.
    pub released: Entries,
    /// By the word of docs/errors.md, or else by gRPC code.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.signed += other.signed;
        self.wrong += other.wrong;
        for (class, count) in &other.errors {
            *self.errors.entry(class.clone()).or_default() += count;
        }
    }

    fn count(&mut self, caller: &Caller, answer: &Result<Certificate, CallError>) {
        match answer {
            Ok(certificate) if caller.verifies(certificate) => self.signed += 1,
            Ok(_) => self.wrong += 1,
            Err(error) => *self.errors.entry(class(error)).or_default() += 1,
        }
    }
}

fn class(error: &CallError) -> String {
    if error.reason.is_empty() { format!("{:?}", error.code) } else { error.reason.clone() }
}

/// Callers that ask without a pause, of P-256 keys, until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<Arc<Caller>>,
    /// How many certificates each caller has got.
    signed: watch::Sender<Vec<u64>>,
    tallies: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// `each` callers on the connection of each of `callers`.
    pub fn start(callers: Vec<Caller>, each: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let signed = watch::Sender::new(vec![0; callers.len() * each]);
        let callers: Vec<_> = callers.into_iter().map(Arc::new).collect();
        let task = |number: usize| {
            let caller = callers[number % callers.len()].clone();
            let (stop, signed) = (stop.clone(), signed.clone());
            tokio::spawn(async move { ask(&caller, number, &stop, &signed).await })
        };
        let tallies = (0..callers.len() * each).map(task).collect();
        Self { stop, callers, signed, tallies }
    }

    /// Waits until every caller has got `more` certificates from now on; how long that took.
    pub async fn progress(&self, more: u64) -> Duration {
        let since = Instant::now();
        let before = self.signed.borrow().clone();
        let mut signed = self.signed.subscribe();
        let all = |signed: &Vec<u64>| signed.iter().zip(&before).all(|(now, then)| *now >= then + more);
        let served = tokio::time::timeout(PATIENCE, signed.wait_for(all)).await;
        served.expect("the callers are served again").unwrap();
        since.elapsed()
    }

    /// Lets the requests in flight end; what became of all of them.
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for tally in self.tallies {
            sum.add(&tally.await.unwrap());
        }
        sum.released.0.extend(self.callers.iter().flat_map(|caller| caller.released()));
        sum
    }
}

async fn ask(caller: &Caller, number: usize, stop: &AtomicBool, signed: &watch::Sender<Vec<u64>>) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let answer = caller.sign().await;
        tally.count(caller, &answer);
        match answer {
            Ok(_) => signed.send_modify(|signed| signed[number] += 1),
            // A front-end that is less patient than `retry_after` asks it to be.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    tally
}

/// What the ledger says of requests, once the daemon has stopped.
#[derive(Debug, Default)]
pub struct Settled {
    pub intents: u64,
    pub signed: u64,
    /// The intents whose outcome is a signature.
    pub released: Entries,
    /// Outcomes without a released signature.
    pub unsigned: BTreeMap<String, u64>,
}

/// Reads the ledger. Panics unless every intent and every self-test has exactly one outcome.
pub fn settled(site: &Site) -> Settled {
    let entries = site.entries();
    let mut open: Vec<usize> = Vec::new();
    let mut settled = Settled::default();
    for (index, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Intent { .. } => {
                settled.intents += 1;
                open.push(index);
            }
            Entry::SelfTest { .. } => open.push(index),
            Entry::Outcome { intent, outcome, .. } => {
                let place = open.iter().position(|open| *open == at(*intent));
                open.swap_remove(place.unwrap_or_else(|| panic!("entry {index} settles none: {entry:?}")));
                if matches!(entries[at(*intent)], Entry::Intent { .. }) {
                    count(&mut settled, *intent, outcome);
                }
            }
            Entry::Refusal { .. }
            | Entry::Refusals { .. }
            | Entry::Freeze { .. }
            | Entry::Thaw { .. }
            | Entry::Revocation { .. }
            | Entry::Checkpoint { .. }
            | Entry::KeyRecord { .. }
            | Entry::KeyDeletion { .. }
            | Entry::KeyWrapping { .. }
            | Entry::Rotation { .. }
            | Entry::Ceremony { .. } => {
                panic!("nothing here refuses, or signs checkpoints: entry {index} is {entry:?}")
            }
        }
    }
    assert!(open.is_empty(), "{} entries have no outcome, such as {:?}", open.len(), entries[open[0]]);
    settled
}

fn count(settled: &mut Settled, intent: u64, outcome: &Outcome) {
    let word = match outcome {
        Outcome::Signed(_) => {
            settled.signed += 1;
            settled.released.0.insert(intent);
            return;
        }
        Outcome::Failed(word) => word.clone(),
        Outcome::Discarded => "discarded".to_owned(),
        Outcome::Abandoned => "abandoned".to_owned(),
    };
    *settled.unsigned.entry(word).or_default() += 1;
}
