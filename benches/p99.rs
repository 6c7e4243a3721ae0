//! When each request is asked and answered: `cargo bench --bench p99 -- KEY PRINCIPAL CALLERS SECONDS`.
//!
//! In: a running signer, where `COUNTERSIGN_SERVER`, `COUNTERSIGN_TLS_CERT`, `COUNTERSIGN_TLS_KEY` and `COUNTERSIGN_TLS_CA` say, and an SSH user
//! CA key of it. So many callers ask one request after the other, over four connections. Out: a line for each, with its id and when it was asked and
//! answered, in microseconds since 1970. Beside what the ledger says of the same id, and what ran meanwhile, that tells where the
//! slowest waited (`./ci/bench-limits p99`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark")]
#![allow(missing_docs, reason = "a benchmark")]

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use countersign_proto::Client;
use countersign_proto::client::Tls;
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Key, Priority, SignRequest};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};

const CONNECTIONS: usize = 4;

/// Whom all certificates are for.
const SUBJECT: PublicKey = PublicKey::Ed25519([0x5a; 32]);

/// How long they live, in seconds.
const LIFETIME: u64 = 300;

/// What every request is made from.
struct Load {
    key: Key,
    principal: String,
    next: AtomicU64,
}

impl Load {
    /// A request with an id of its own.
    fn request(&self) -> SignRequest {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let ca = SubjectKey::from_openssh_line(&self.key.openssh).unwrap();
        let SubjectKey::Plain(ca) = ca else { panic!("{} is a security key", self.key.name) };
        let tbs = CertificateBuilder::new(CertificateType::User, SubjectKey::Plain(SUBJECT), ca)
            .serial(serial)
            .key_id("countersign bench")
            .principal(&self.principal)
            .valid_after(now)
            .valid_before(now + LIFETIME)
            .build()
            .unwrap();
        SignRequest {
            key: self.key.name.clone(),
            tbs: Some(Tbs::SshCertificate(tbs.as_bytes().to_vec().into())),
            request_id: serial.to_string(),
            priority: Priority::Interactive.into(),
            ..SignRequest::default()
        }
    }
}

fn micros() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()
}

/// One caller's requests.
async fn call(client: Client, load: Arc<Load>, until: Instant) -> Vec<(String, u128, u128)> {
    let mut seen = Vec::new();
    while Instant::now() < until {
        let request = load.request();
        let (id, asked) = (request.request_id.clone(), micros());
        client.sign(request).await.unwrap();
        seen.push((id, asked, micros()));
    }
    seen
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let file = |name: &str| PathBuf::from(env::var(name).unwrap());
    let [certificate, key, ca] =
        ["COUNTERSIGN_TLS_CERT", "COUNTERSIGN_TLS_KEY", "COUNTERSIGN_TLS_CA"].map(file);
    let tls = Tls::from_files(&certificate, &key, &ca).unwrap();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&env::var("COUNTERSIGN_SERVER").unwrap(), &tls).await.unwrap());
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let load = Arc::new(Load {
        key: clients[0].get_key(&arguments[0]).await.unwrap(),
        principal: arguments[1].clone(),
        next: AtomicU64::new(now << 32),
    });
    let until = Instant::now() + Duration::from_secs(arguments[3].parse().unwrap());
    let callers = clients.iter().cycle().take(arguments[2].parse().unwrap());
    let callers: Vec<_> =
        callers.map(|client| tokio::spawn(call(client.clone(), load.clone(), until))).collect();
    for caller in callers {
        for (id, asked, answered) in caller.await.unwrap() {
            println!("{id}\t{asked}\t{answered}");
        }
    }
}
