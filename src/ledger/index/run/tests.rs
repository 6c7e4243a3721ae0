//! Runs: merged in order, and looked into.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::ledger::entry::sha256;

fn sorted(postings: &[(u64, u64)]) -> Sorted<'_> {
    Box::new(postings.iter().map(|&(hash, index)| Ok(Posting { hash, index })))
}

fn run(directory: &TempDir, name: &str, postings: &[(u64, u64)]) -> (PathBuf, Contents, Run) {
    let path = directory.path().join(name);
    let rows = postings.len().try_into().unwrap();
    let (contents, run) = Run::write(&path, rows, vec![sorted(postings)]).unwrap();
    (path, contents, run)
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
    let (_, _, run) = run(&directory, "run", &postings);
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
    let (_, _, run) = run(&directory, "run", &[]);
    assert!(found(&run, 0, usize::MAX).is_empty());
}

#[test]
fn merging_keeps_every_posting_in_order() {
    let directory = TempDir::new().unwrap();
    let thirds: Vec<Vec<_>> =
        (0..3).map(|third| (third..1000).step_by(3).map(|n| (n / 10, n)).collect()).collect();
    let names = ["0", "1", "2"];
    let runs: Vec<_> = names.iter().zip(&thirds).map(|(name, third)| run(&directory, name, third)).collect();
    let merged = directory.path().join("merged");
    let sources =
        runs.iter().map(|(path, contents, _)| -> Sorted<'_> { Box::new(rows(path, contents).unwrap()) });
    let (contents, _) = Run::write(&merged, 1000, sources.collect()).unwrap();
    assert_eq!(contents.rows, 1000);
    assert_eq!(run(&directory, "at once", &(0..1000).map(|n| (n / 10, n)).collect::<Vec<_>>()).1, contents);
    let read = rows(&merged, &contents).unwrap().map(Result::unwrap);
    assert!(read.eq((0..1000).map(|n| Posting { hash: n / 10, index: n })));
}

#[test]
fn a_run_of_more_or_fewer_rows_than_it_was_to_have_is_not_written() {
    let directory = TempDir::new().unwrap();
    let postings: Vec<_> = (0..1000).map(|n| (n, n)).collect();
    for rows in [0, 1, 999, 1001, 5000] {
        let error = Run::write(&directory.path().join("run"), rows, vec![sorted(&postings)]).unwrap_err();
        assert_eq!(error.to_string(), format!("1000 rows to write, and not {rows}"));
    }
}

#[test]
fn a_run_of_another_length_is_refused() {
    let directory = TempDir::new().unwrap();
    let (path, contents, _) = run(&directory, "run", &[(1, 1), (2, 2)]);
    for rows in [1, 3, 1 << 60, u64::MAX] {
        let other = Contents { rows, ..contents.clone() };
        assert_eq!(Run::open(&path, &other).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn a_run_with_other_bytes_is_neither_merged_nor_opened() {
    let directory = TempDir::new().unwrap();
    let postings: Vec<_> = (1..1000).map(|n| (n, n)).collect();
    let (path, contents, _) = run(&directory, "run", &postings);
    let whole = fs::read(&path).unwrap();
    let damages: [(&str, Damage<'_>); 5] = [
        // Of a block's mark, and of the top.
        ("has other bytes", &|bytes| bytes[999 * 16] ^= 1),
        ("has other bytes", &|bytes| *bytes.last_mut().unwrap() ^= 1),
        ("has other bytes", &|bytes| *bytes.get_mut(8).unwrap() ^= 1),
        ("has other bytes", &|bytes| bytes[..999 * 16].rotate_left(16)),
        ("has another length", &|bytes| bytes.truncate(bytes.len() - 8)),
    ];
    for (how, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let merged =
            || Run::write(&directory.path().join("merged"), 999, vec![Box::new(rows(&path, &contents)?)]);
        for error in [merged().unwrap_err(), Run::open(&path, &contents).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(how), "{error}");
        }
    }
}

#[test]
fn a_block_that_was_changed_while_the_run_is_open_leads_nowhere() {
    let directory = TempDir::new().unwrap();
    // Four blocks, the last of them not full.
    let postings: Vec<_> = (1..1000).map(|n| (n * 2, n)).collect();
    let (path, _, run) = run(&directory, "run", &postings);
    let whole = fs::read(&path).unwrap();
    let find = |hash| run.newest(hash, &mut |index| Ok::<_, io::Error>(Some(index)));
    for row in [0, 255, 256, 700, 998] {
        for bit in 0..ROW * 8 {
            let mut bytes = whole.clone();
            bytes[row * ROW + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            for other in [0, 100, 255, 256, 511, 700, 900, 998] {
                let entry = u64::try_from(other + 1).unwrap();
                // Neither its own entry nor that the hash between it and the next has none.
                for (hash, leads_to) in [(entry * 2, Some(entry)), (entry * 2 + 1, None)] {
                    match find(hash) {
                        Ok(found) => assert_eq!((found, other / 256 == row / 256), (leads_to, false)),
                        Err(error) => {
                            assert_eq!((error.kind(), other / 256), (io::ErrorKind::InvalidData, row / 256));
                            assert!(error.to_string().contains("run is damaged: it has other bytes"));
                        }
                    }
                }
            }
        }
    }
    fs::write(&path, &whole[..500 * ROW]).unwrap();
    assert_eq!(find(500).unwrap(), Some(250));
    let error = find(900).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("it is shorter"), "{error}");
}

/// The memory of a process, where it has none, is read as a sector is that its disk cannot read any more.
#[test]
fn what_a_disk_cannot_read_any_more_is_damaged() {
    let directory = TempDir::new().unwrap();
    let (_, _, whole) = run(&directory, "run", &[(1, 1)]);
    let run = Run { file: File::open("/proc/self/mem").unwrap(), ..whole };
    let error = run.newest(1, &mut |_| Ok::<_, io::Error>(Some(()))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("run is damaged: its disk gives an error"), "{error}");
}

#[test]
fn a_run_that_becomes_shorter_while_it_is_read_is_not_at_its_end() {
    let directory = TempDir::new().unwrap();
    // 79 blocks; the marks of all are read with the first.
    let postings: Vec<_> = (1..20_000).map(|n| (n, n)).collect();
    let (path, contents, _) = run(&directory, "run", &postings);
    let mut read = rows(&path, &contents).unwrap();
    assert_eq!(read.next().unwrap().unwrap(), Posting { hash: 1, index: 1 });
    fs::write(&path, &fs::read(&path).unwrap()[..160_008]).unwrap();
    let rest: Vec<_> = read.collect();
    let (last, before) = rest.split_last().unwrap();
    assert_eq!((before.len(), before.iter().all(Result::is_ok)), (39 * 256 - 1, true));
    let last = last.as_ref().unwrap_err();
    assert!(last.to_string().contains("is shorter"), "{last}");
}

/// Nothing is read of it: there is nothing to read.
#[test]
fn what_is_absent_is_mostly_told_without_a_look_into_the_file() {
    let directory = TempDir::new().unwrap();
    let scattered = |n: u64| u64::from_be_bytes(*sha256(&[&n.to_be_bytes()]).first_chunk().unwrap());
    let mut postings: Vec<_> = (0..10_000).map(|n| (scattered(n), n)).collect();
    postings.sort_unstable();
    let (path, contents, written) = run(&directory, "run", &postings);
    let opened = Run::open(&path, &contents).unwrap();
    fs::write(&path, b"").unwrap();
    for run in [written, opened] {
        let reads = |hash| run.newest(hash, &mut |_| Ok::<_, io::Error>(Some(()))).is_err();
        assert!(postings.iter().all(|(hash, _)| reads(*hash)), "what is there is looked for");
        let absent = (10_000..20_000).filter(|n| reads(scattered(*n))).count();
        assert!(absent < 1_000, "{absent} of 10,000");
    }
}
