//! An index that others could reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

#[tokio::test]
async fn an_index_that_others_could_reach_is_closed_to_them_and_its_key_replaced_if_they_knew_it() {
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (directory, file, is_kept) in [(0o755, 0o600, true), (0o755, 0o644, false), (0o720, 0o600, false)] {
        let fixture = Fixture::new();
        let ledger = fixture.open();
        let requests = signed(&fixture, &ledger, 2).await;
        ledger.close().await;
        let before = manifest(&fixture);
        mode(&fixture.index(), directory);
        mode(&fixture.index().join("manifest.json"), file);
        let ledger = fixture.open();
        all_are_known(&fixture, &ledger, &requests).await;
        ledger.close().await;
        assert_eq!(manifest(&fixture)["key"] == before["key"], is_kept, "{directory:o} {file:o}");
        assert_eq!(fs::metadata(fixture.index()).unwrap().permissions().mode() & 0o777, 0o700);
        let file = fs::metadata(fixture.index().join("manifest.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn an_index_behind_a_link_is_refused() {
    let fixture = Fixture::new();
    fixture.open().close().await;
    let elsewhere = fixture.directory().join("elsewhere");
    fs::rename(fixture.index(), &elsewhere).unwrap();
    symlink(&elsewhere, fixture.index()).unwrap();
    let error = Ledger::open(&fixture.config).unwrap_err();
    assert!(error.to_string().starts_with("opening index"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not a directory"), "{cause}");
}
