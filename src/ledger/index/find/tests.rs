#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::ledger::fixture::bytes_read;

/// A run of these postings, in order.
fn run(directory: &TempDir, name: &str, postings: impl Iterator<Item = (u64, u64)>) -> Arc<FindRun> {
    let (path, contents) = written(directory, name, postings);
    Arc::new(open(&path, &contents))
}

fn open(path: &Path, contents: &Contents) -> FindRun {
    FindRun::open(path, contents).unwrap()
}

fn written(
    directory: &TempDir,
    name: &str,
    postings: impl Iterator<Item = (u64, u64)>,
) -> (PathBuf, Contents) {
    let path: PathBuf = directory.path().join(name);
    let postings: Vec<_> = postings.map(|(hash, index)| Posting { hash, index }).collect();
    let rows = postings.len().try_into().unwrap();
    let contents = FindRun::write(&path, rows, vec![Box::new(postings.into_iter().map(Ok))]).unwrap().0;
    (path, contents)
}

fn cursor(hash: u64, runs: &[Arc<FindRun>]) -> Cursor {
    Cursor::new(hash, std::iter::empty(), runs)
}

/// All that a cursor leads to, from `bound` down.
fn all(mut cursor: Cursor, bound: u64) -> Vec<u64> {
    let mut found = Vec::new();
    let mut next = Some(bound);
    while let Some(bound) = next {
        let Some(index) = cursor.at_most(bound).unwrap() else { break };
        found.push(index);
        next = index.checked_sub(1);
    }
    found
}

#[test]
fn finds_what_a_hash_leads_to_across_blocks_and_runs_newest_first() {
    let directory = TempDir::new().unwrap();
    // Hash 7 has more than a block in the older run, from the middle of one on; 8 begins where a block does.
    let older = (0..100).map(|at| (3, at)).chain((0..1000).map(|at| (7, 2 * at))).chain([(9, 5)]);
    let newer = [(1, 2000), (7, 2001), (7, 2003), (u64::MAX, 2004)];
    let runs = [run(&directory, "newer", newer.into_iter()), run(&directory, "older", older)];
    let expected: Vec<u64> = [2003, 2001].into_iter().chain((0..1000).rev().map(|at| 2 * at)).collect();
    assert_eq!(all(cursor(7, &runs), u64::MAX), expected);
    assert_eq!(all(cursor(7, &runs), 1001), &expected[501..]);
    assert_eq!(all(cursor(3, &runs), u64::MAX), (0..100).rev().collect::<Vec<_>>());
    assert_eq!((all(cursor(9, &runs), 9), all(cursor(1, &runs), u64::MAX)), (vec![5], vec![2000]));
    assert_eq!(all(cursor(u64::MAX, &runs), u64::MAX), [2004]);
    for none in [0, 2, 8, 10] {
        assert_eq!(all(cursor(none, &runs), u64::MAX), [0; 0], "{none}");
    }
}

#[test]
fn what_waits_comes_before_the_runs() {
    let directory = TempDir::new().unwrap();
    let runs = [run(&directory, "run", [(7, 1), (7, 2)].into_iter())];
    let gathered = |indexes: &[u64]| {
        let mut waiting = crate::ledger::index::waiting::Waiting::new(0);
        for index in indexes {
            waiting.append_posting(Posting { hash: 7, index: *index });
            waiting.confirm();
        }
        waiting.gathered()
    };
    let (newest, before) = (gathered(&[5, 6]), gathered(&[3, 4]));
    let waiting = [newest.as_deref(), None, before.as_deref()];
    assert_eq!(all(Cursor::new(7, waiting.into_iter(), &runs), u64::MAX), [6, 5, 4, 3, 2, 1]);
    assert_eq!(all(Cursor::new(8, waiting.into_iter(), &runs), u64::MAX), [0; 0]);
}

#[test]
fn a_lookup_in_a_long_run_reads_no_more_of_it_than_three_pages() {
    const ROWS: u64 = 1 << 20;
    // The top, a page of marks and a block; the rest is this count itself.
    const MOST: u64 = 3 * 256 * 48 + 1024;
    let directory = TempDir::new().unwrap();
    let (path, contents) = written(&directory, "long", (0..ROWS).map(|row| (row / 4 * 10, row)));
    for hash in [0, 10, 500_000, (ROWS / 4 - 1) * 10] {
        // As whoever comes first finds it: nothing of it was read or checked before.
        let before = bytes_read();
        let runs = [Arc::new(FindRun::open(&path, &contents).unwrap())];
        let mut one = cursor(hash, &runs);
        assert_eq!(one.at_most(u64::MAX).unwrap(), Some(hash / 10 * 4 + 3));
        let read = bytes_read() - before;
        assert!(read < MOST && one.reads() == 3, "{read} bytes, {} reads", one.reads());
    }
    // What is asked for next is mostly there, and a leap is no dearer than the first.
    let many = [run(&directory, "many", (0..ROWS).map(|row| (7, row)))];
    let mut one = cursor(7, &many);
    for index in (ROWS - 1000..ROWS).rev() {
        assert_eq!(one.at_most(index).unwrap(), Some(index));
    }
    assert!(one.reads() <= 3 + 1000 / run::BLOCK, "{}", one.reads());
    let (before, read) = (one.reads(), bytes_read());
    assert_eq!(one.at_most(12).unwrap(), Some(12));
    assert!(one.reads() - before <= 2 && bytes_read() - read < MOST, "{}", one.reads());
}

#[test]
fn what_is_read_of_a_changed_run_is_an_error_and_what_is_not_is_found() {
    const ROWS: u64 = 200_000;
    let directory = TempDir::new().unwrap();
    let (path, contents) = written(&directory, "run", (0..ROWS).map(|row| (row, row)));
    let whole = std::fs::read(&path).unwrap();
    let look = |hash: u64| {
        let runs = [Arc::new(FindRun::open(&path, &contents).unwrap())];
        cursor(hash, &runs).at_most(u64::MAX)
    };
    let marks = usize::try_from(ROWS).unwrap() * 16;
    let top = whole.len() - 4 * 48;
    assert_eq!(top, marks + 782 * 48, "782 blocks, four pages");
    FindRun::open(&path, &contents).unwrap().check(|| true).unwrap();
    // One bit of the row itself, of another in its block, of its block's mark, of another in its page, of its page's, of another's.
    for at in [1000 * 16, 1020 * 16 + 3, marks + 3 * 48, marks + 250 * 48 + 20, top, top + 3 * 48 + 47] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(&path, bytes).unwrap();
        let error = look(1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}");
        assert!(error.to_string().contains("run is damaged: it has other bytes"), "{error}");
    }
    let mut bytes = whole;
    bytes[1000 * 16] ^= 0x20;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(look(150_000).unwrap(), Some(150_000), "nobody who looks for it reads what is damaged");
    let all = FindRun::open(&path, &contents).unwrap();
    assert_eq!(all.check(|| true).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_run_that_is_cut_while_it_is_open_or_that_its_disk_cannot_read_is_damaged() {
    const ROWS: u64 = 200_000;
    let directory = TempDir::new().unwrap();
    let (path, contents) = written(&directory, "run", (0..ROWS).map(|row| (row, row)));
    let damage = |run: &Arc<FindRun>, hash| {
        let error = cursor(hash, std::slice::from_ref(run)).at_most(u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        error.to_string()
    };
    // The memory of a process, where it has none, is read as a sector is that its disk cannot read any more.
    let unreadable = FindRun { file: File::open("/proc/self/mem").unwrap(), ..open(&path, &contents) };
    let said = damage(&Arc::new(unreadable), 1000);
    assert!(said.contains("run is damaged: its disk gives an error"), "{said}");

    let (untouched, known) = (Arc::new(open(&path, &contents)), Arc::new(open(&path, &contents)));
    assert_eq!(cursor(1000, &[Arc::clone(&known)]).at_most(u64::MAX).unwrap(), Some(1000));
    // In the rows: the top is gone for who has not read it, and for who has a page is.
    File::options().write(true).open(&path).unwrap().set_len(1000 * 16).unwrap();
    for run in [untouched, known] {
        let said = damage(&run, 1000);
        assert!(said.contains("run is damaged: it is shorter"), "{said}");
    }
}

#[test]
fn a_long_list_of_what_waits_is_dropped_without_a_deep_stack() {
    let mut waiting = crate::ledger::index::waiting::Waiting::new(0);
    for index in 0..200_000 {
        waiting.append_posting(Posting { hash: 1, index });
        waiting.confirm();
    }
    drop(waiting);
}
