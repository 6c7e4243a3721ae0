//! Runs: merged in order, and looked into.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn sorted(postings: &[(u64, u64)]) -> Sorted<'_> {
    Box::new(postings.iter().map(|&(hash, index)| Ok(Posting { hash, index })))
}

fn run(directory: &TempDir, name: &str, postings: &[(u64, u64)]) -> (PathBuf, Run) {
    let path = directory.path().join(name);
    let rows = write(&path, vec![sorted(postings)]).unwrap();
    let run = Run::open(&path, rows).unwrap();
    (path, run)
}

/// All that `hash` leads to, as far as `enough`.
fn found(run: &Run, hash: u64, enough: usize) -> Vec<u64> {
    let mut found = Vec::new();
    let mut judge = |index| {
        found.push(index);
        Ok::<_, io::Error>((found.len() == enough).then_some(()))
    };
    let last = run.newest(hash, &mut judge).unwrap();
    assert_eq!(last.is_some(), found.len() == enough);
    found
}

#[test]
fn a_hash_leads_to_its_entries_newest_first() {
    let directory = TempDir::new().unwrap();
    // Thousands of one hash between others, so that they begin and end within blocks and fill some.
    let mut postings = vec![(0, 4)];
    postings.extend((0..100).map(|n| (5, n)));
    postings.extend((0..1000).map(|n| (6, n)));
    postings.extend((7..300).map(|n| (n * 2, n)));
    postings.push((u64::MAX, 1));
    let (_, run) = run(&directory, "run", &postings);
    assert_eq!(found(&run, 6, 3), [999, 998, 997]);
    assert!(found(&run, 6, usize::MAX).into_iter().eq((0..1000).rev()));
    assert!(found(&run, 5, usize::MAX).into_iter().eq((0..100).rev()));
    for (hash, index) in [(0, 4), (14, 7), (300, 150), (598, 299), (u64::MAX, 1)] {
        assert_eq!(found(&run, hash, usize::MAX), [index]);
    }
    for absent in [1, 7, 13, 15, 599, 600, u64::MAX - 1] {
        assert!(found(&run, absent, usize::MAX).is_empty(), "{absent}");
    }
}

#[test]
fn an_empty_run_leads_nowhere() {
    let directory = TempDir::new().unwrap();
    let (_, run) = run(&directory, "run", &[]);
    assert!(found(&run, 0, usize::MAX).is_empty());
}

#[test]
fn merging_keeps_every_posting_in_order() {
    let directory = TempDir::new().unwrap();
    let thirds: Vec<Vec<_>> =
        (0..3).map(|third| (third..1000).step_by(3).map(|n| (n / 10, n)).collect()).collect();
    let names = ["0", "1", "2"];
    let paths: Vec<_> =
        names.iter().zip(&thirds).map(|(name, third)| run(&directory, name, third).0).collect();
    let merged = directory.path().join("merged");
    let all = |path: &PathBuf| -> Sorted<'_> { Box::new(Run::all(path).unwrap()) };
    let sources = paths.iter().map(all).collect();
    assert_eq!(write(&merged, sources).unwrap(), 1000);
    let rows = Run::all(&merged).unwrap().map(Result::unwrap);
    assert!(rows.eq((0..1000).map(|n| Posting { hash: n / 10, index: n })));
}

#[test]
fn a_run_of_another_length_is_refused() {
    let directory = TempDir::new().unwrap();
    let (path, _) = run(&directory, "run", &[(1, 1), (2, 2)]);
    for rows in [1, 3] {
        assert_eq!(Run::open(&path, rows).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
