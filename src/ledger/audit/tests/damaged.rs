//! What a flipped bit in SQLite's file comes to, wherever it is.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::ledger::audit::{UNKNOWN, entries_of};
use crate::ledger::{Ledger, LedgerError};

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

    fn flipped(&self) -> PathBuf {
        self.log.fixture.directory().join("flipped.sqlite")
    }

    /// The file with one bit flipped, and no write-ahead log.
    fn flip(&self, byte: usize, bit: u8) -> PathBuf {
        let path = self.flipped();
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
        let (source, beside) = Source::log(path).unwrap();
        let (len, origin) = match &source {
            Source::Log(reader) => (entries_of(reader).unwrap(), Some(reader.origin().to_owned())),
            _ => (UNKNOWN, None),
        };
        let options = Options {
            signatures: Signatures::Skip,
            checkpoints: vec![self.checkpoint.clone()],
            origin,
            beside: beside.into_iter().collect(),
            ..Log::options()
        };
        audit(source, len, options, |_| ()).unwrap()
    }

    /// What is wrong if this is changed so, and no bit of its bytes.
    fn edit(&self, sql: &str) -> Report {
        self.audit(&self.edited(sql))
    }

    /// The file, changed so.
    fn edited(&self, sql: &str) -> PathBuf {
        let path = self.flip(0, 0);
        fs::write(&path, &self.bytes).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
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
    // What SQLite knows its files by, the size of its pages.
    for byte in [0, 16] {
        let report = file.audit(&file.flip(byte, 1));
        assert_eq!((words(&report), report.entries), (vec![(0, "UNREADABLE")], 0), "{byte}");
    }
    for schema in ["DROP TABLE entry", "DELETE FROM meta"] {
        assert_eq!(words(&file.edit(schema)), [(0, "UNREADABLE")], "{schema}");
    }
    let path = file.flip(0, 0);
    let mut unmarked = file.bytes.clone();
    unmarked[68..70].fill(0);
    for other in [&unmarked, &b"no database"[..], b""] {
        fs::write(&path, other).unwrap();
        let error = Source::log(&path).unwrap_err();
        assert_eq!(error.word(), "LEDGER_NOT_A_LEDGER");
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_named_with_what_was_found_before_it() {
    let file = File::new();
    // As a flip in a row's serial type does: a text where the bytes were.
    let report = file.edit(
        "DROP TRIGGER entry_is_never_changed; PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'entry'; \
         PRAGMA writable_schema = RESET; UPDATE entry SET leaf = x'02' WHERE idx = 10; \
         UPDATE entry SET leaf = CAST(leaf AS TEXT) WHERE idx = 50",
    );
    assert_eq!((words(&report), report.entries), (vec![(10, "NOT_AN_ENTRY"), (50, "UNREADABLE")], 50));
    assert!(
        report.stopped.is_none() && report.findings.first()[1].what.to_string().contains("cannot be read")
    );
    assert_eq!(report.checkpoints, [Rooted { size: file.log.len, holds: None }], "it was not reached");
}

#[test]
fn a_damaged_mark_or_version_is_found_by_what_else_the_file_has_and_its_entries_are_read() {
    let file = File::new();
    let report = file.audit(&file.flip(68, 1));
    assert_eq!((words(&report), report.entries), (vec![(0, "HEADER")], file.log.len));
    // One bit of the 7, or one byte; a number of one digit that it can become.
    for version in ["?", "3", "1", "8", "9"] {
        let report = file.edit(&format!("UPDATE meta SET value = '{version}' WHERE name = 'schema'"));
        assert_eq!((words(&report), report.entries), (vec![(0, "HEADER")], file.log.len), "{version}");
        assert_eq!(report.checkpoints, [Rooted { size: file.log.len, holds: Some(true) }], "{version}");
        assert_eq!(Reader::open(file.flipped()).unwrap_err().word(), "LEDGER_DAMAGED", "{version}");
    }
    for (version, tables) in [
        ("8", "ALTER TABLE revocation ADD COLUMN more INTEGER"),
        ("8", "CREATE INDEX more ON revoked (since)"),
        ("4", "DROP TABLE revocation; DROP TABLE revoked"),
    ] {
        let path =
            file.edited(&format!("{tables}; UPDATE meta SET value = '{version}' WHERE name = 'schema'"));
        match Source::log(&path) {
            Err(LedgerError::NewerSchema { found: 8, known: 7, .. }) if version == "8" => {}
            Ok((Source::Log(_), None)) if version == "4" => {}
            other => panic!("{tables}: {other:?}"),
        }
    }
}

#[test]
fn a_damaged_name_is_found_by_a_checkpoint_or_by_the_index_and_another_logs_file_is_another_logs() {
    let entries = |signed: Option<&str>, serial: u64| {
        let one = [intent(10, serial, "alice")];
        let Entry::Checkpoint { text, .. } = checkpoint(20, &one, 1) else { panic!() };
        let root = *Checkpoint::parse(&text).unwrap().root();
        let signed = signed.map(|origin| checkpoint_of(20, origin, 1, root));
        one.into_iter().chain(signed).collect::<Vec<_>>()
    };
    let (ours, other) = ("test.example/log", "uest.example/log");
    // What the entries are, whose the header says that they are, whether there is our index, and whether that is damage.
    for (signed, serials, stored, has_index, is_damaged) in [
        (Some(ours), 1, other, false, true),
        (Some(ours), 1, other, true, true),
        (None, 1, other, true, true),
        // The index of another file was left.
        (None, 2, other, true, false),
        (None, 1, other, false, false),
        (Some(other), 1, other, true, false),
        (Some(other), 1, other, false, false),
    ] {
        let what = format!("{signed:?} {serials} {has_index}");
        let (log, of_ours) = (File::of(&entries(signed, serials)).log, File::of(&entries(None, 1)).log);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(of_ours.fixture.open().close());
        drop(log.fixture.sql(&format!("UPDATE meta SET value = '{stored}' WHERE name = 'origin'")));
        log.fixture.remove_index();
        if has_index {
            fs::rename(of_ours.fixture.index(), log.fixture.index()).unwrap();
        }
        let config = &log.fixture.config;
        let error = Ledger::check(config).unwrap_err();
        assert_eq!(error.word(), if is_damaged { "LEDGER_DAMAGED" } else { "LEDGER_OTHER_ORIGIN" }, "{what}");
        assert_eq!(Ledger::open(config).unwrap_err().word(), error.word(), "{what}");
        let opened = Source::log(config);
        if !is_damaged {
            assert_eq!(opened.unwrap_err().word(), "LEDGER_OTHER_ORIGIN", "{what}");
            continue;
        }
        let (source, wrong) = opened.unwrap();
        let Source::Log(reader) = &source else { panic!() };
        assert_eq!(reader.origin(), ours, "{what}");
        let options =
            Options { beside: wrong.into_iter().collect(), signatures: Signatures::Skip, ..Log::options() };
        let report = audit(source, log.len, options, |_| ()).unwrap();
        assert_eq!((words(&report), report.entries), (vec![(0, "HEADER")], log.len), "{what}");
        let why = report.findings.first()[0].what.to_string();
        assert!(
            why.contains("entry 1") == signed.is_some() && why.contains(other) && why.contains(ours),
            "{why}"
        );
    }
}
