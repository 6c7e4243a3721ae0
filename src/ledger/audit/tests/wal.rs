//! What a flipped bit in SQLite's write-ahead log comes to: SQLite takes what follows it for nothing.

use std::fs;

use super::*;
use crate::ledger::audit::entries_of;
use crate::ledger::{Config, Ledger, LedgerError};

/// Of the write-ahead log's own, and of each frame in it, with its page.
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// A log as a signer that was killed leaves it: all of its entries are in the write-ahead log.
struct Killed {
    fixture: Fixture,
    bytes: Vec<u8>,
    wal: Vec<u8>,
    entries: Vec<Entry>,
}

impl Killed {
    async fn new() -> Self {
        let fixture = Fixture::in_file();
        let ledger = fixture.open();
        for _ in 0..6 {
            std::mem::forget(fixture.intent(&ledger).await);
        }
        let path = &fixture.config.path;
        let (bytes, wal) = (fs::read(path).unwrap(), fs::read(wal_of(path)).unwrap());
        let entries = fixture.entries();
        ledger.close().await;
        Self { fixture, bytes, wal, entries }
    }

    /// Where the last transaction begins, with the frame before it: that the one before ends there, a flipped bit of it can hide.
    fn last(&self) -> usize {
        let ends = (HEADER..self.wal.len()).step_by(FRAME);
        let ends: Vec<_> = ends.filter(|at| self.wal[at + 4..at + 8] != [0; 4]).collect();
        ends[ends.len() - 2]
    }

    fn flip(&self, byte: usize, bit: u8) -> Config {
        let path = self.fixture.directory().join("flipped.sqlite");
        let _ = fs::remove_file(format!("{}-shm", path.display()));
        let mut wal = self.wal.clone();
        wal[byte] ^= 1 << bit;
        fs::write(&path, &self.bytes).unwrap();
        fs::write(wal_of(&path), wal).unwrap();
        Config { path, ..self.fixture.config.clone() }
    }
}

fn audited(path: &Path, checkpoints: Vec<Checkpoint>) -> Report {
    let reader = Reader::open(path).unwrap();
    let len = entries_of(&reader).unwrap();
    let options = Options { signatures: Signatures::Skip, checkpoints, ..Log::options() };
    audit(Source::Log(reader), len, options, |_| ()).unwrap()
}

fn wal_of(path: &Path) -> PathBuf {
    format!("{}-wal", path.display()).into()
}

#[tokio::test]
async fn entries_that_a_flipped_bit_takes_out_of_the_write_ahead_log_are_found_by_where_the_log_ends() {
    let killed = Killed::new().await;
    let all = u64::try_from(killed.entries.len()).unwrap();
    let Entry::Checkpoint { text, .. } = checkpoint(0, &killed.entries, killed.entries.len()) else {
        panic!()
    };
    let signed = Checkpoint::parse(&text).unwrap();
    let headers = (HEADER..killed.wal.len()).step_by(FRAME).flat_map(|frame| (frame..frame + 24).step_by(5));
    let bytes = (0..HEADER).chain(headers).chain((HEADER..killed.wal.len()).step_by(997));
    let mut cut = 0;
    for byte in bytes {
        let at = format!("byte {byte}");
        let config = killed.flip(byte, u8::try_from(byte % 8).unwrap());
        let report = audited(&config.path, Vec::new());
        let found = words(&report);
        if report.entries == all {
            assert_eq!(found, [], "{at}");
        } else if byte < killed.last() {
            assert_eq!(found, [(report.entries, "UNREADABLE")], "{at}");
            cut += 1;
        } else {
            // It could be a transaction that a crash has cut off, and nobody was told of.
            let report = audited(&config.path, vec![signed.clone()]);
            assert!(words(&report).contains(&(report.entries, "REMOVED")), "{at}: {:?}", words(&report));
        }
    }
    assert!(cut > 50, "{cut}");
    let intact = killed.flip(0, 0).path;
    fs::write(wal_of(&intact), &killed.wal).unwrap();
    assert_eq!(words(&audited(&intact, vec![signed])), []);
}

#[tokio::test]
async fn a_start_and_a_check_leave_a_damaged_write_ahead_log_as_it_is_and_name_the_first_entry_that_is_lost()
{
    let killed = Killed::new().await;
    let config = killed.flip(killed.last() - FRAME / 2, 3);
    let before = fs::read(wal_of(&config.path)).unwrap();
    let entries = Reader::open(&config.path).unwrap().len().unwrap();
    for error in [Ledger::check(&config).unwrap_err(), Ledger::open(&config).unwrap_err()] {
        assert!(matches!(error, LedgerError::Cut { index, .. } if index == entries), "{error}");
        assert_eq!(
            (error.word(), fs::read(wal_of(&config.path)).unwrap() == before),
            ("LEDGER_DAMAGED", true)
        );
    }
}
