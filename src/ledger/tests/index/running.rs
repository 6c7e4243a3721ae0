//! What earlier entries claim, in files that are damaged while their signer runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

/// Changes `change`, a row's number and its bytes, in every row of what entries claim.
fn change_claims(fixture: &Fixture, change: impl Fn(u64, &mut [u8; 16])) {
    let manifest = manifest(fixture);
    let runs: Vec<_> =
        manifest["claims"].as_array().unwrap().iter().filter(|named| !named.is_null()).collect();
    assert!(!runs.is_empty(), "{manifest}");
    for named in runs {
        let path = fixture.index().join(named["file"].as_str().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let rows = bytes.as_chunks_mut::<16>().0.iter_mut();
        for (n, row) in (0..named["contents"]["rows"].as_u64().unwrap()).zip(rows) {
            change(n, row);
        }
        fs::write(&path, bytes).unwrap();
    }
}

/// Has ten requests signed, and opens the log again: all that they claim is in files.
async fn ten_signed(fixture: &Fixture) -> (Ledger, Vec<Request>) {
    let ledger = fixture.open_with(OFTEN);
    let requests = signed(fixture, &ledger, 10).await;
    ledger.close().await;
    (fixture.open_with(OFTEN), requests)
}

#[tokio::test]
async fn a_row_that_changes_while_the_signer_runs_frees_no_serial_and_no_request_id() {
    let fixture = Fixture::in_file();
    // A hash that leads to nothing any more, and an entry that is another's, and passed over.
    for byte in [7, 15] {
        for repeats in [false, true] {
            let (ledger, requests) = ten_signed(&fixture).await;
            change_claims(&fixture, |_, row| row[byte] ^= 1);
            let again = if repeats { requests[3].clone() } else { same_serial(&fixture, 4) };
            let error = ledger.record(fixture.decide(again)).await.unwrap_err();
            assert_eq!((error.word(), error.passes()), ("LEDGER_UNAVAILABLE", false));
            let why = in_one_line(&error);
            assert!(why.contains("has other bytes") && why.contains("restart the signer"), "{why}");
            assert!(fixture.index().join("damaged").exists());
            ledger.close().await;
            fixture.remove_index();
            fs::remove_file(&fixture.config.path).unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_is_signed_from_the_first_damaged_claim_on_until_a_start_has_made_the_index_anew() {
    let fixture = Fixture::in_file();
    let (ledger, requests) = ten_signed(&fixture).await;
    let last = intent(fixture.record(&ledger, fixture.request_with_serial(11)).await);
    change_claims(&fixture, |_, row| row[7] ^= 1);
    ledger.record(fixture.decide(same_serial(&fixture, 1))).await.unwrap_err();
    // It is as it was, and nobody relies on that.
    change_claims(&fixture, |_, row| row[7] ^= 1);
    for request in [fixture.request_with_serial(12), requests[0].clone()] {
        let error = ledger.record(fixture.decide(request)).await.unwrap_err();
        assert_eq!(error.word(), "LEDGER_UNAVAILABLE");
    }
    ledger.record_self_test(fixture.key()).await.unwrap_err();
    assert!(!ledger.is_writable());
    let refuses = in_one_line(&ledger.refuses().unwrap());
    assert!(refuses.contains("claims-") && refuses.contains("restart the signer"), "health says: {refuses}");
    // What was recorded before has its outcome all the same, and that is no sign that more would be taken.
    let signature = fixture.sign(&last);
    ledger.settle(last, signature).unwrap();
    ledger.queue.settled().await;
    assert!(matches!(fixture.entries().last(), Some(Entry::Outcome { intent: 20, .. })));
    ledger.probe().await.unwrap_err();
    assert!(!ledger.is_writable() && ledger.refuses().is_some());
    ledger.close().await;

    let ledger = fixture.open_with(OFTEN);
    assert!(!fixture.index().join("damaged").exists());
    assert!(ledger.is_writable());
    all_are_known(&fixture, &ledger, &requests).await;
    ledger.close().await;
}
