//! Front-ends that ask without a pause until the signer is killed, and then for what they were not told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_proto::client::{CallError, Tls};
use countersign_proto::{Client, v1};
use countersign_tbs::ssh::SubjectKey;
use tokio::task::JoinSet;

use crate::bed::Bed;
use crate::book::{Answer, Ask, Book, Step};
use crate::moments::Moments;
use crate::site::{Daemon, FRONT_END, PATIENCE, request};

/// Connections, and callers on each.
const CONNECTIONS: usize = 4;
const EACH: usize = 4;

pub async fn ca_key(bed: &Bed, daemon: &Daemon) -> Vec<u8> {
    let key = bed.site.client(daemon, FRONT_END).await.get_key("user-ca").await.unwrap();
    SubjectKey::from_openssh_line(&key.openssh).unwrap().to_wire()
}

fn address(bed: &Bed, daemon: &Daemon) -> (String, Tls) {
    let file = |name: &str| bed.site.path(&format!("mtls/{FRONT_END}.{name}"));
    let tls = Tls::from_files(&file("pem"), &file("key"), &bed.site.path("mtls/ca.pem")).unwrap();
    (format!("https://localhost:{}", daemon.address.port()), tls)
}

/// Callers at work.
pub struct Load {
    callers: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub fn start(bed: &Bed, daemon: &Daemon, ca_key: &[u8], book: &Arc<Book>, random: &mut Moments) -> Self {
        let (mut callers, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for _ in 0..CONNECTIONS {
            let (url, tls) = address(bed, daemon);
            let randoms: Vec<Moments> = (0..EACH).map(|_| random.fork()).collect();
            let (book, ca_key, stop) = (Arc::clone(book), ca_key.to_vec(), Arc::clone(&stop));
            callers.spawn(async move {
                // It may be killed before.
                let Ok(client) = Client::connect(&url, &tls).await else { return };
                let caller = Caller { client: client.with_deadline(PATIENCE), book, ca_key, stop };
                let caller = Arc::new(caller);
                let each = randoms.into_iter().map(|random| Arc::clone(&caller).run(random));
                each.collect::<JoinSet<()>>().join_all().await;
            });
        }
        Self { callers, stop }
    }

    /// Returns once every caller has noticed that the signer is gone.
    pub async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.callers.join_all())
            .await
            .expect("callers of a dead signer return");
    }

    /// Returns once every request of before has been answered, or never will be; callers ask for nothing else.
    pub async fn until_nothing_is_open(self, book: &Book) {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await;
        assert!(book.is_settled(), "a signer that lives answers");
    }
}

struct Caller {
    client: Client,
    book: Arc<Book>,
    ca_key: Vec<u8>,
    stop: Arc<AtomicBool>,
}

/// The signer did not answer.
struct Gone;

impl Caller {
    async fn run(self: Arc<Self>, mut random: Moments) {
        while !(self.stop.load(Ordering::Relaxed) && self.book.is_settled()) {
            let done = match self.book.step(&mut random, &self.ca_key) {
                Step::Ask(ask) => self.ask(ask).await,
                Step::Repeat(answer) => self.repeat(&answer).await,
                Step::Steal(answer) => self.steal(&answer).await,
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, ask: Ask) -> Result<(), Gone> {
        match self.sign(&ask.request_id, &ask.tbs).await {
            Ok(answer) => self.book.answered(answer.to(ask)),
            Err(error) if error.reason == "REQUEST_OUTCOME_UNKNOWN" => {
                self.book.outcome_is_unknown();
                // There may be a signature of it: there must never be another.
                return self.is_taken(&format!("{}-again", ask.request_id), &ask.tbs).await;
            }
            Err(error) => {
                self.book.unanswered(ask);
                return gone(&error);
            }
        }
        Ok(())
    }

    /// The same answer, whatever has become of the signer since.
    async fn repeat(&self, before: &Answer) -> Result<(), Gone> {
        let ask = &before.ask;
        match self.sign(&ask.request_id, &ask.tbs).await {
            Ok(answer) => {
                let answer = answer.to(ask.clone());
                assert!(answer.certificate == before.certificate, "serial {}: signed twice", ask.serial);
                assert_eq!((answer.index, answer.leaf_hash), (before.index, before.leaf_hash.clone()));
                self.book.was_repeated();
                Ok(())
            }
            // Its outcome was still in the queue when the signer was killed.
            Err(error) if error.reason == "REQUEST_OUTCOME_UNKNOWN" => Ok(()),
            Err(error) => gone(&error),
        }
    }

    async fn steal(&self, taken: &Answer) -> Result<(), Gone> {
        let mut tbs = taken.ask.tbs.clone();
        // In the nonce, which comes second, after the type's name and both lengths.
        tbs[4 + 32 + 4] ^= 1;
        self.is_taken(&format!("{}-stolen", taken.ask.request_id), &tbs).await
    }

    async fn is_taken(&self, request_id: &str, tbs: &[u8]) -> Result<(), Gone> {
        match self.sign(request_id, tbs).await {
            Ok(_) => panic!("{request_id}: a second certificate with one serial"),
            Err(error) if error.reason == "SERIAL_REUSED" => {
                self.book.was_refused();
                Ok(())
            }
            Err(error) => gone(&error),
        }
    }

    async fn sign(&self, request_id: &str, tbs: &[u8]) -> Result<Signed, CallError> {
        let request = request("user-ca", tbs.to_vec());
        self.client.sign(v1::SignRequest { request_id: request_id.to_owned(), ..request }).await.map(Signed)
    }
}

/// An answer as it came.
struct Signed(v1::SignResponse);

impl Signed {
    fn to(self, ask: Ask) -> Answer {
        let receipt = self.0.receipt.unwrap();
        let (index, leaf_hash) = (receipt.entry_index, receipt.leaf_hash.to_vec());
        Answer { ask, certificate: self.0.object.to_vec(), index, leaf_hash }
    }
}

/// Panics at an answer that a signer has given, and should not have.
fn gone(error: &CallError) -> Result<(), Gone> {
    assert!(error.reason.is_empty(), "{error}");
    Err(Gone)
}
