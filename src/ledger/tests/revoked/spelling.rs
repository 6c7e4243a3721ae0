//! A revocation by name is found by whatever finds the certificates that it is of.

use super::*;
use crate::ledger::fixture::Fixture;
use crate::ledger::{Filter, Search};

/// What the CA's operator was told to revoke, in a spelling of his own.
const SPELT: &[u8] = b"DNS:A.Example.ORG";

fn by(name: &str) -> Filter {
    Filter { name: Some(name.to_owned()), ..Filter::default() }
}

#[tokio::test]
async fn a_revocation_by_name_is_found_in_every_spelling_that_finds_the_certificates() {
    let authority = authority();
    let ledger = fixture::open(&authority.config.ledger);
    let intent = sign(&authority, &ledger, "ca", &web(1, "a", 3600)).await;
    let revoked = revoke(&authority, &ledger, Revoked::Name(SPELT.to_vec())).await;
    for wanted in ["DNS:a.example.org", "DNS:A.Example.ORG", "DNS:A.EXAMPLE.org"] {
        let find = move |archive: &Archive| {
            let (mut search, mut found) = (Search::new(archive, by(wanted), None)?, Vec::new());
            while search.next().is_some() {
                found.extend(search.step(archive, 100, 100)?.into_iter().map(|entry| entry.index));
            }
            Ok(found)
        };
        let found = ledger.live().read(find).await.unwrap();
        assert_eq!(found, [revoked.index, intent], "{wanted}");
    }
    ledger.close().await;
}

/// sshd compares principals as they are.
#[tokio::test]
async fn a_principal_of_ssh_is_found_as_it_is_written() {
    let fixture = Fixture::new();
    let (key, by_whom) = (Arc::clone(fixture.key()), CallerName::parse("uid:0").unwrap());
    let (what, reason) = (Revoked::Name(SPELT.to_vec()), RevocationReason::Unspecified);
    let revocation =
        Revocation { key, what, reason, in_ledger: false, by: by_whom, why: "a test".to_owned() };
    let entry = revocation.entry(UnixMillis::now());
    assert!(by("DNS:A.Example.ORG").matches(&entry));
    assert!(!by("DNS:a.example.org").matches(&entry));
}
