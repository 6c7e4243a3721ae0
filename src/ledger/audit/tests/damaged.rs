//! What a flipped bit in SQLite's file comes to, wherever it is.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::ledger::audit::{UNKNOWN, entries_of};

/// Of SQLite's file.
const PAGE: usize = 4096;

/// The file's own header, and that of its first page.
const HEADERS: usize = 108;

/// The file of a log of several pages, with an entry that takes more than one, all of it in its place.
struct File {
    log: Log,
    bytes: Vec<u8>,
    checkpoint: Checkpoint,
}

impl File {
    fn new() -> Self {
        let Tbs::Crl(long) = list(9_u64.into(), None, 600) else { panic!() };
        let long = intent_of(100, "x509-ca", "x509-crl", "ca", AskedTbs::Whole(long.as_bytes().to_vec()));
        let some = |serials: Range<u64>| {
            serials.map(|serial| intent(serial, 1000 + serial, "alice")).collect::<Vec<_>>()
        };
        Self::of(&[good(), some(0..60), vec![long], some(60..120)].concat())
    }

    fn of(entries: &[Entry]) -> Self {
        let Entry::Checkpoint { text, .. } = checkpoint(0, entries, entries.len()) else { panic!() };
        let (fixture, len) = (Fixture::in_file(), u64::try_from(entries.len()).unwrap());
        fixture.append(entries.iter().map(|entry| entry.encode().unwrap()));
        drop(fixture.sql("PRAGMA wal_checkpoint(TRUNCATE)"));
        let bytes = fs::read(&fixture.config.path).unwrap();
        Self { log: Log { fixture, len }, bytes, checkpoint: Checkpoint::parse(&text).unwrap() }
    }

    /// The file with one bit flipped, and no write-ahead log.
    fn flip(&self, byte: usize, bit: u8) -> PathBuf {
        let path = self.log.fixture.directory().join("flipped.sqlite");
        for beside in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{beside}", path.display()));
        }
        let mut bytes = self.bytes.clone();
        bytes[byte] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        path
    }

    /// What is found in it.
    fn audit(&self, path: &Path) -> Report {
        let source = Source::log(Reader::open(path)).unwrap();
        let (len, origin) = match &source {
            Source::Log(reader) => (entries_of(reader).unwrap(), Some(reader.origin().to_owned())),
            _ => (UNKNOWN, None),
        };
        let options = Options {
            signatures: Signatures::Skip,
            checkpoints: vec![self.checkpoint.clone()],
            origin,
            ..Log::options()
        };
        audit(source, len, options, |_| ()).unwrap()
    }

    /// What is wrong if this place of the row of entry `index` is changed so, and no bit of its bytes.
    fn edit(&self, sql: &str) -> Report {
        let path = self.flip(0, 0);
        fs::write(&path, &self.bytes).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        let triggers = "DROP TRIGGER entry_is_never_changed; DROP TRIGGER entry_is_never_removed;";
        connection.execute_batch(&format!("{triggers}{sql}")).unwrap();
        drop(connection);
        self.audit(&path)
    }
}

/// Whether what is found in a file with a flipped bit has a finding. If not, no entry depends on it: all of them were read, and have the
/// root that was signed.
fn is_found(
    file: &File,
    intact: &Report,
    byte: usize,
    bit: u8,
    words_found: &mut BTreeSet<&'static str>,
) -> bool {
    let at = format!("bit {bit} of byte {byte}");
    let report = file.audit(&file.flip(byte, bit));
    assert!(report.stopped.is_none(), "{at}: {:?}", report.stopped);
    if report.findings.total() == 0 {
        assert_eq!(report.checkpoints, [Rooted { size: file.log.len, holds: Some(true) }], "{at}");
        assert_eq!((report.entries, report.root), (intact.entries, intact.root), "{at}");
    }
    words_found.extend(words(&report).into_iter().map(|(_, word)| word));
    report.findings.total() > 0
}

#[test]
fn every_flipped_bit_of_a_file_is_found_with_an_index_or_no_entry_depends_on_it() {
    let file = File::new();
    let intact = file.audit(&file.log.fixture.config.path);
    assert_eq!((words(&intact), intact.entries), (vec![], file.log.len));
    assert_eq!(intact.checkpoints, [Rooted { size: file.log.len, holds: Some(true) }]);
    let (mut found, mut words_found) = (0, BTreeSet::new());
    let mut random = 1_u64;
    for _ in 0..600 {
        // Knuth's generator: the same places in each run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let byte = usize::try_from(random >> 33).unwrap() % file.bytes.len();
        let bit = u8::try_from(random >> 30 & 7).unwrap();
        found += u64::from(is_found(&file, &intact, byte, bit, &mut words_found));
    }
    assert!(found > 200, "{found}");
    assert!(words_found.contains("OTHER_ROOT") && words_found.contains("UNREADABLE"), "{words_found:?}");
}

#[test]
fn every_byte_of_the_header_and_of_the_schema_is_one_of_those() {
    let file = File::of(&[intent(10, 1, "alice")]);
    let intact = file.audit(&file.log.fixture.config.path);
    let (mut found, mut words_found) = (0, BTreeSet::new());
    for byte in 0..PAGE {
        // What is between the list of what the page has and that is in no use.
        let is_unused = file.bytes[byte.saturating_sub(8)..PAGE.min(byte + 8)].iter().all(|byte| *byte == 0);
        if byte < HEADERS || !is_unused {
            let bit = u8::try_from(byte % 8).unwrap();
            found += u64::from(is_found(&file, &intact, byte, bit, &mut words_found));
        }
    }
    assert!(found > 200, "{found}");
    assert!(words_found.contains("UNREADABLE"), "{words_found:?}");
}

#[test]
fn a_file_whose_header_or_schema_is_damaged_names_its_first_entry_and_one_of_something_else_is_none() {
    let file = File::new();
    // What SQLite knows its files by, the size of its pages, a ledger's mark.
    for byte in [0, 16, 68] {
        let report = file.audit(&file.flip(byte, 1));
        assert_eq!((words(&report), report.entries), (vec![(0, "UNREADABLE")], 0), "{byte}");
    }
    for schema in
        ["DROP TABLE entry", "DELETE FROM meta", "UPDATE meta SET value = '?' WHERE name = 'schema'"]
    {
        assert_eq!(words(&file.edit(schema)), [(0, "UNREADABLE")], "{schema}");
    }
    let path = file.flip(0, 0);
    let mut unmarked = file.bytes.clone();
    unmarked[68..70].fill(0);
    for other in [&unmarked, &b"no database"[..], b""] {
        fs::write(&path, other).unwrap();
        let error = Source::log(Reader::open(&*path)).unwrap_err();
        assert_eq!(error.word(), "LEDGER_NOT_A_LEDGER");
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_named_with_what_was_found_before_it() {
    let file = File::new();
    // As a flip in a row's serial type does: a text where the bytes were.
    let report = file.edit(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'entry'; \
         PRAGMA writable_schema = RESET; UPDATE entry SET leaf = x'02' WHERE idx = 10; \
         UPDATE entry SET leaf = CAST(leaf AS TEXT) WHERE idx = 50",
    );
    assert_eq!((words(&report), report.entries), (vec![(10, "NOT_AN_ENTRY"), (50, "UNREADABLE")], 50));
    assert!(
        report.stopped.is_none() && report.findings.first()[1].what.to_string().contains("cannot be read")
    );
    assert_eq!(report.checkpoints, [Rooted { size: file.log.len, holds: None }], "it was not reached");
}
