//! Reading the ledger of a signer that runs: who may, what is found, what is proven, what comes.

use std::collections::BTreeSet;

use countersign::ledger::merkle::{Hash, ProofError, check_consistency, check_inclusion};
use countersign::ledger::{Entry, leaf_hash};
use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_proto::v1;
use countersign_tbs::signature::Scheme;
use countersign_tbs::ssh::SubjectKey;
use countersign_tbs::x509::GeneralName;
use tokio::task::JoinSet;
use tonic::Code;

use crate::ca::{self, certificate, leaf_under, make_key, oid, x509_request};
use crate::forge::Forgery;
use crate::site::{Daemon, FRONT_END, PATIENCE, STRANGER, Site, USER_CA, at, now, request};

#[path = "reading/commands.rs"]
mod commands;
#[path = "reading/served.rs"]
mod served;

/// Who may read, and may have nothing signed.
const READER: &str = STRANGER;

/// A site whose ledger [`READER`] may read.
fn with_reader(site: Site) -> Site {
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let readers = "[ledger]\nreaders = [\"spiffe://countersign.example/stranger\"]\n";
    site.configure(&config.replace("[ledger]\n", readers));
    site
}

async fn ca_key(client: &Client) -> Vec<u8> {
    SubjectKey::from_openssh_line(&client.get_key("user-ca").await.unwrap().openssh).unwrap().to_wire()
}

/// Has certificates with these serials signed for `alice`, and one refused for `root` after each.
async fn sign(client: &Client, serials: std::ops::Range<u64>) -> Vec<v1::SignResponse> {
    let ca_key = ca_key(client).await;
    let mut answers = Vec::new();
    for serial in serials {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        answers.push(client.sign(request("user-ca", tbs.encode())).await.unwrap());
        let refused = Forgery { principals: vec![b"root".to_vec()], serial: serial + (1 << 40), ..tbs };
        client.sign(request("user-ca", refused.encode())).await.unwrap_err();
    }
    answers
}

/// All that a filter finds below `before`, in pages of `limit`, as indexes.
async fn found(client: &Client, filter: &v1::Filter, mut before: Option<u64>, limit: u32) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let request = v1::FindEntriesRequest { filter: Some(filter.clone()), before, limit };
        let page = client.find_entries(request).await.unwrap();
        assert!(page.entries.len() <= limit as usize);
        found.extend(page.entries.iter().map(|entry| entry.index));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

fn hashes(proof: &[bytes::Bytes]) -> Vec<Hash> {
    proof.iter().map(|hash| hash[..].try_into().unwrap()).collect()
}

fn hash(bytes: &bytes::Bytes) -> Hash {
    bytes[..].try_into().unwrap()
}

/// What a proof of inclusion shows, by our own checks.
fn check(proof: &v1::InclusionProof, leaf: &Hash) -> Result<(), ProofError> {
    let tree = proof.tree.as_ref().unwrap();
    check_inclusion(leaf, proof.index, tree.size, &hash(&tree.root), &hashes(&proof.hashes))
}

/// The error of each method.
async fn refusals(client: &Client) -> Vec<CallError> {
    vec![
        client.ledger_tree(v1::GetTreeRequest::default()).await.unwrap_err(),
        client.checkpoint().await.unwrap_err(),
        client.list_entries(v1::ListEntriesRequest::default()).await.unwrap_err(),
        client.find_entries(v1::FindEntriesRequest::default()).await.unwrap_err(),
        client.prove_inclusion(v1::ProveInclusionRequest::default()).await.unwrap_err(),
        client.prove_consistency(v1::ProveConsistencyRequest::default()).await.unwrap_err(),
        client.watch_ledger(None).await.unwrap_err(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_reader_cannot_learn_that_there_is_such_a_service() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let front_end = site.client(&daemon, FRONT_END).await;
    let thaw = v1::ThawRequest::default();
    let none = front_end.thaw(thaw).await.unwrap_err();
    assert_eq!(none.code, Code::Unimplemented);
    for refusal in refusals(&front_end).await {
        assert_eq!(refusal, none, "the answer of a service that is not there");
    }
    let reader = site.client(&daemon, READER).await;
    let by_socket = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    for client in [&reader, &by_socket] {
        let tree = client.ledger_tree(v1::GetTreeRequest::default()).await.unwrap();
        // The self-test, and its outcome, which is not waited for.
        assert!((1..=2).contains(&tree.size), "{tree:?}");
        assert_eq!(tree.log_origin, "test.countersign.example/ledger");
    }
    assert_eq!(reader.thaw(v1::ThawRequest::default()).await.unwrap_err(), none, "a reader is no operator");
    let error = reader.sign(request("user-ca", Vec::new())).await.unwrap_err();
    assert_eq!(error.reason, "KEY_NOT_AVAILABLE", "and reading is not signing");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_as_they_are_stored_page_by_page() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    sign(&site.client(&daemon, FRONT_END).await, 1..6).await;
    let reader = site.client(&daemon, READER).await;
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let page = reader.list_entries(v1::ListEntriesRequest { from, limit: 4 }).await.unwrap();
        assert!(page.size >= 16 && page.entries.len() <= 4);
        let Some(last) = page.entries.last() else { break };
        from = last.index + 1;
        all.extend(page.entries);
    }
    for (index, (entry, stored)) in all.iter().zip(site.entries()).enumerate() {
        assert_eq!((at(entry.index), Entry::decode(&entry.leaf).unwrap()), (index, stored));
    }
    assert!(all.len() >= 16, "{}", all.len());
    let usual = reader.list_entries(v1::ListEntriesRequest::default()).await.unwrap();
    assert_eq!(usual.entries[..16], all[..16]);
    let none = reader.list_entries(v1::ListEntriesRequest { from: u64::MAX, limit: 0 }).await.unwrap();
    assert!(none.entries.is_empty());
}

/// A site with an SSH and an X.509 CA.
fn two_cas() -> Site {
    let profile = r#"
[key.tls-ca.allow.servers]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "tls-server"
dns_names = ["*.example.org"]
max_lifetime = "25h"

[key.tls-ca.allow.servers.subject]
CN = ["*.example.org"]
"#;
    with_reader(ca::site(&format!("{USER_CA}{}{profile}", ca::key("tls-ca", Scheme::EcdsaP256Sha256))))
}

/// The index of the entry of a request.
fn entry_of(result: &Result<v1::SignResponse, CallError>) -> u64 {
    match result {
        Ok(response) => response.receipt.as_ref().unwrap().entry_index,
        Err(error) => error.entry.unwrap_or_else(|| panic!("{error}")),
    }
}

/// Filters, each with what it must find, newest first.
async fn expectations(site: &Site, daemon: &Daemon) -> Vec<(v1::Filter, Vec<u64>)> {
    let client = site.client(daemon, FRONT_END).await;
    let ca_key = ca_key(&client).await;
    let alice = Forgery { serial: 16, key_id: b"alice's laptop".to_vec(), ..Forgery::user(ca_key, now()) };
    let root = Forgery { serial: 17, principals: vec![b"bob".to_vec(), b"root".to_vec()], ..alice.clone() };
    let ssh = entry_of(&client.sign(request("user-ca", alice.encode())).await);
    let ssh_refused = entry_of(&client.sign(request("user-ca", root.encode())).await);
    let key = make_key(site, "leaf");
    let certificate = certificate(site, "tls-ca");
    let tbs = |name: &str| {
        leaf_under(certificate.tbs(), Scheme::EcdsaP256Sha256, key.clone(), name)
            .ext_key_usage(vec![oid(countersign_tbs::der::oids::SERVER_AUTH)])
            .subject_alt_names(vec![GeneralName::Dns(name.to_owned())])
            .build()
            .unwrap()
    };
    let (www, evil) = (tbs("www.example.org"), tbs("www.example.com"));
    let x509 = entry_of(&client.sign(x509_request("tls-ca", www.as_bytes())).await);
    let x509_refused = entry_of(&client.sign(x509_request("tls-ca", evil.as_bytes())).await);
    let foreign = site.client(daemon, READER).await.sign(request("tls-ca", alice.encode())).await;
    let foreign = entry_of(&foreign);

    let text = str::to_owned;
    let none = v1::Filter::default;
    let caller = |name: &str| format!("spiffe://countersign.example/{name}");
    let self_tests: Vec<_> = (0..)
        .zip(site.entries())
        .filter_map(|(index, entry)| match entry {
            Entry::SelfTest { key, .. } => Some((key, index)),
            _ => None,
        })
        .collect();
    let test_of = |name: &str| self_tests.iter().find(|(key, _)| key == name).unwrap().1;
    let since = site.entries()[at(x509)].time().0;
    let x509_serial = www.serial().to_string();
    let colons: Vec<_> =
        x509_serial.as_bytes().chunks(2).map(|octet| str::from_utf8(octet).unwrap()).collect();
    vec![
        (v1::Filter { serial: text("16"), ..none() }, vec![foreign, ssh]),
        (v1::Filter { serial: text("16"), key: text("user-ca"), ..none() }, vec![ssh]),
        (v1::Filter { serial: text("17"), ..none() }, vec![ssh_refused]),
        (v1::Filter { serial: text("10"), ..none() }, vec![]),
        (v1::Filter { serial: x509_serial.clone(), ..none() }, vec![x509]),
        (v1::Filter { serial: colons.join(":").to_uppercase(), ..none() }, vec![x509]),
        (v1::Filter { key_id: text("alice's laptop"), ..none() }, vec![foreign, ssh_refused, ssh]),
        (v1::Filter { name: text("root"), ..none() }, vec![ssh_refused]),
        (v1::Filter { name: text("bob"), key_id: text("nobody"), ..none() }, vec![]),
        (v1::Filter { name: text("DNS:www.example.org"), ..none() }, vec![x509]),
        (v1::Filter { name: text("CN=www.example.com"), ..none() }, vec![x509_refused]),
        (v1::Filter { subject_key: key.fingerprint(), ..none() }, vec![x509_refused, x509]),
        (
            v1::Filter { subject_key: key.fingerprint(), name: text("CN=www.example.org"), ..none() },
            vec![x509],
        ),
        (v1::Filter { caller: caller("stranger"), ..none() }, vec![foreign]),
        (v1::Filter { caller: caller("front-end"), ..none() }, vec![x509_refused, x509, ssh_refused, ssh]),
        (v1::Filter { key: text("tls-ca"), ..none() }, vec![foreign, x509_refused, x509, test_of("tls-ca")]),
        (v1::Filter { key: text("user-ca"), ..none() }, vec![ssh_refused, ssh, test_of("user-ca")]),
        (v1::Filter { key: text("user-c"), ..none() }, vec![]),
        (v1::Filter { key: text("user-ca"), since_ms: Some(since + 1), ..none() }, vec![]),
        (
            v1::Filter { subject_key: key.fingerprint(), since_ms: Some(since), ..none() },
            vec![x509_refused, x509],
        ),
        (v1::Filter { subject_key: key.fingerprint(), until_ms: Some(since), ..none() }, vec![]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_finds_what_was_signed_and_refused_and_nothing_else() {
    let site = two_cas();
    let daemon = site.serve();
    let expected = expectations(&site, &daemon).await;
    let manifest = std::fs::read_to_string(site.path("ledger.sqlite-index/manifest.json")).unwrap();
    assert!(manifest.contains("\"entries\": 0,"), "nothing of it is in the index's files: {manifest}");
    let reader = site.client(&daemon, READER).await;
    for (filter, indexes) in &expected {
        for limit in [1, 100] {
            assert_eq!(found(&reader, filter, None, limit).await, *indexes, "{filter:?}");
        }
    }
    let everything = found(&reader, &v1::Filter::default(), None, 7).await;
    assert!(everything.iter().rev().copied().eq(0..everything.len() as u64), "{everything:?}");
    daemon.stop();
    let stopped_at = site.entries().len() as u64;
    let daemon = site.serve();
    let manifest = std::fs::read_to_string(site.path("ledger.sqlite-index/manifest.json")).unwrap();
    assert!(
        manifest.contains(&format!("\"entries\": {stopped_at},")),
        "it was written at the stop: {manifest}"
    );
    let reader = site.client(&daemon, READER).await;
    for (filter, indexes) in &expected {
        assert_eq!(found(&reader, filter, Some(stopped_at), 100).await, *indexes, "{filter:?}");
    }
    let nonsense = v1::Filter { serial: "no".to_owned(), ..Default::default() };
    let request = v1::FindEntriesRequest { filter: Some(nonsense), before: None, limit: 0 };
    let error = reader.find_entries(request).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::InvalidArgument, "FILTER_INVALID"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_an_answer_is_proven_later_and_a_flipped_bit_is_not() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let answers = sign(&site.client(&daemon, FRONT_END).await, 1..8).await;
    let early = site.client(&daemon, READER).await.ledger_tree(v1::GetTreeRequest::default()).await.unwrap();
    daemon.stop();
    let daemon = site.serve();
    let later = sign(&site.client(&daemon, FRONT_END).await, 8..12).await;
    let reader = site.client(&daemon, READER).await;
    for answer in answers.iter().chain(&later) {
        let receipt = answer.receipt.clone().unwrap();
        let proof = v1::ProveInclusionRequest { index: receipt.entry_index, size: None };
        let proof = reader.prove_inclusion(proof).await.unwrap();
        assert_eq!(proof.tree.as_ref().unwrap().log_origin, receipt.log_origin);
        let mut leaf = hash(&receipt.leaf_hash);
        assert_eq!(check(&proof, &leaf), Ok(()), "what the caller kept");
        leaf[31] ^= 1;
        assert_eq!(check(&proof, &leaf), Err(ProofError::Root));
    }
    let stored: Vec<_> = site.entries().iter().map(|entry| leaf_hash(&entry.encode().unwrap())).collect();
    let newest = reader.ledger_tree(v1::GetTreeRequest::default()).await.unwrap();
    for _ in 0..40 {
        let random: u64 = rand();
        let entries = 1 + random % newest.size;
        let index = (random >> 32) % entries;
        let proof = v1::ProveInclusionRequest { index, size: Some(entries) };
        let mut proof = reader.prove_inclusion(proof).await.unwrap();
        assert_eq!(check(&proof, &stored[at(index)]), Ok(()), "{index} of {entries}");
        if let Some(first) = proof.hashes.first_mut() {
            let mut flipped = first.to_vec();
            flipped[(random % 32) as usize] ^= 1 << (random % 8);
            *first = flipped.into();
            assert_eq!(check(&proof, &stored[at(index)]), Err(ProofError::Root));
        }
    }
    let consistency = v1::ProveConsistencyRequest { old_size: early.size, size: Some(newest.size) };
    let proof = reader.prove_consistency(consistency).await.unwrap();
    assert_eq!((proof.old.unwrap(), proof.tree.unwrap()), (early.clone(), newest.clone()));
    let (old, new) = (hash(&early.root), hash(&newest.root));
    let path = hashes(&proof.hashes);
    assert_eq!(check_consistency((early.size, &old), (newest.size, &new), &path), Ok(()));
    let same = v1::GetTreeRequest { size: Some(early.size) };
    assert_eq!(reader.ledger_tree(same).await.unwrap(), early, "the tree as it was");
    let beyond = v1::ProveInclusionRequest { index: u64::MAX, size: None };
    let error = reader.prove_inclusion(beyond).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::OutOfRange, "NO_SUCH_ENTRY"));
}

/// Random bits, of the hasher's own key.
fn rand() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_each_entry_once_in_order_while_64_callers_have_theirs_signed() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 6;
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let front_end = site.client(&daemon, FRONT_END).await;
    let ca_key = ca_key(&front_end).await;
    let reader = site.client(&daemon, READER).await;
    // One begins at the first entry, one with the next, and one reads nothing until all is over.
    let (mut first, mut next) =
        (reader.watch_ledger(Some(0)).await.unwrap(), reader.watch_ledger(None).await.unwrap());
    let mut slow = reader.watch_ledger(Some(0)).await.unwrap();
    let (mut signers, total) = (JoinSet::new(), 2 + 2 * CALLERS * EACH);
    for caller in 0..CALLERS {
        let (client, ca_key) = (front_end.clone(), ca_key.clone());
        signers.spawn(async move {
            for n in 1..=EACH {
                let tbs = Forgery { serial: caller << 32 | n, ..Forgery::user(ca_key.clone(), now()) };
                client.sign(request("user-ca", tbs.encode())).await.unwrap();
            }
        });
    }
    let watched = async {
        let mut seen = Vec::new();
        while (seen.len() as u64) < total {
            seen.extend(first.next().await.unwrap().unwrap());
        }
        seen
    };
    let (seen, _) = tokio::time::timeout(4 * PATIENCE, async { tokio::join!(watched, signers.join_all()) })
        .await
        .expect("every entry");
    let indexes: Vec<u64> = seen.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (0..total).collect::<Vec<_>>());
    let stored = site.entries();
    assert!(seen.iter().zip(&stored).all(|(seen, stored)| Entry::decode(&seen.leaf).unwrap() == *stored));
    for (watcher, begins) in [(&mut next, 1..=2), (&mut slow, 0..=0)] {
        let mut got = watcher.next().await.unwrap().unwrap();
        let from = got[0].index;
        while from + (got.len() as u64) < total {
            got.extend(watcher.next().await.unwrap().unwrap());
        }
        // The outcome of the self-test may have come before the watch, or after.
        assert!(begins.contains(&from) && got == seen[at(from)..], "from {from}");
    }
    daemon.stop();
    assert!(first.next().await.unwrap().is_none(), "the signer's end is the watch's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_holds_up_neither_the_writer_nor_others_and_watches_are_bounded() {
    let site = with_reader(Site::new(USER_CA));
    let daemon = site.serve();
    let front_end = site.client(&daemon, FRONT_END).await;
    let idle = site.client(&daemon, READER).await;
    let mut watches = Vec::new();
    for _ in 0..16 {
        watches.push(idle.watch_ledger(Some(0)).await.unwrap());
    }
    let error = idle.watch_ledger(Some(0)).await.unwrap_err();
    assert_eq!((error.code, &*error.reason), (Code::ResourceExhausted, "TOO_MANY_WATCHES"));
    // Refusals that are recorded whole: more, all together, than HTTP/2's windows take.
    for _ in 0..400 {
        front_end.sign(request("user-ca", vec![0x5a; 4000])).await.unwrap_err();
    }
    let reader = site.client(&daemon, READER).await;
    let tree = reader.ledger_tree(v1::GetTreeRequest::default()).await.unwrap();
    assert_eq!(tree.size, 402);
    // The client's window of the connection is full of what the others were sent.
    watches.truncate(1);
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < tree.size {
        for entry in
            tokio::time::timeout(PATIENCE, watches[0].next()).await.expect("entries").unwrap().unwrap()
        {
            assert!(seen.insert(entry.index), "{} twice", entry.index);
        }
    }
    drop(watches);
    // Their places are free again once the server has seen that they are gone.
    let mut tries = 0;
    while idle.watch_ledger(None).await.is_err() {
        tokio::task::yield_now().await;
        tries += 1;
        assert!(tries < 10_000, "places that nobody has are taken");
    }
}
