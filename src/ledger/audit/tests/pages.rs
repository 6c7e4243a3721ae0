//! What a flipped bit in PostgreSQL's files comes to: the server itself gives rows that are damaged, none, or an error.

use std::fs;

use base64ct::{Base64, Encoding};
use test_postgres::{Database, Server, Stop};

use super::*;
use crate::ledger::audit::entries_of;
use crate::ledger::fixture::use_database;

/// PostgreSQL's own.
const PAGE: usize = 8192;

/// A log in a database of its own, of several pages, with an entry whose bytes are in a table beside it.
struct Pages {
    server: Server,
    database: Database,
    fixture: Fixture,
    len: u64,
    /// The entry that is beside the others.
    long: u64,
    checkpoint: Checkpoint,
}

/// A file of the server, and what is to be in it.
struct Intact {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pages {
    fn new() -> Self {
        let server = Server::start(&[("autovacuum", "off")]);
        let (mut fixture, database) = (Fixture::in_file(), server.database());
        use_database(&mut fixture.config, &database);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(fixture.open().close());
        let Tbs::Crl(list) = list(9_u64.into(), None, 600) else { panic!() };
        let list = intent_of(100, "x509-ca", "x509-crl", "ca", AskedTbs::Whole(list.as_bytes().to_vec()));
        let some = |serials: Range<u64>| {
            serials.map(|serial| intent(serial, 1000 + serial, "alice")).collect::<Vec<_>>()
        };
        let before = [good(), some(0..60)].concat();
        let long = u64::try_from(before.len()).unwrap();
        let entries = [before, vec![list], some(60..120)].concat();
        for (index, entry) in entries.iter().enumerate() {
            let leaf = Base64::encode_string(&entry.encode().unwrap());
            database.sql(&format!(
                "INSERT INTO countersign.entry VALUES (1, {index}, decode('{leaf}', 'base64'))"
            ));
        }
        let Entry::Checkpoint { text, .. } = checkpoint(0, &entries, entries.len()) else { panic!() };
        let len = u64::try_from(entries.len()).unwrap();
        database.sql("CHECKPOINT");
        Self { server, database, fixture, len, long, checkpoint: Checkpoint::parse(&text).unwrap() }
    }

    /// The file of a table or an index, read while the server has stopped.
    fn file(&self, relation: &str) -> Intact {
        let path = self.database.sql(&format!("SELECT pg_relation_filepath({relation})"));
        let path = self.server.directory().join("data").join(path);
        self.server.stop(Stop::Fast);
        let bytes = fs::read(&path).unwrap();
        self.server.run();
        Intact { path, bytes }
    }

    /// What is found if one of the files has these bytes, and the others are as they were: a server that meets damage changes those, too.
    fn audit_with(&self, files: &[Intact], damaged: usize, bytes: &[u8]) -> Report {
        self.server.stop(Stop::Fast);
        for file in files {
            fs::write(&file.path, &file.bytes).unwrap();
        }
        fs::write(&files[damaged].path, bytes).unwrap();
        self.server.run();
        self.audit()
    }

    fn audit(&self) -> Report {
        let reader = Reader::open(&self.fixture.config).unwrap();
        let len = entries_of(&reader).unwrap();
        let options = Options {
            signatures: Signatures::Skip,
            checkpoints: vec![self.checkpoint.clone()],
            ..Log::options()
        };
        audit(Source::Log(reader), len, options, |_| ()).unwrap()
    }
}

#[test]
fn what_is_damaged_in_a_database_is_named_or_no_entry_depends_on_it() {
    let pages = Pages::new();
    let intact = pages.audit();
    assert_eq!((words(&intact), intact.entries), (vec![], pages.len));
    let [heap, toast, index, toast_index] = [0, 1, 2, 3];
    let beside = "(SELECT reltoastrelid FROM pg_class WHERE oid = 'countersign.entry'::regclass)";
    let files = [
        "'countersign.entry'",
        beside,
        "'countersign.entry_pkey'",
        &format!("(SELECT indexrelid FROM pg_index WHERE indrelid = {beside})"),
    ]
    .map(|relation| pages.file(relation));
    assert!(files[heap].bytes.len() > 4 * PAGE && files[toast].bytes.len() >= PAGE);

    // A page that is none: those before it are read, and its first entry is named.
    let on_page = "SELECT min(idx) FROM countersign.entry WHERE ctid >= '(2,0)' AND ctid < '(3,0)'";
    let first: u64 = pages.database.sql(on_page).parse().unwrap();
    let mut bytes = files[heap].bytes.clone();
    bytes[2 * PAGE + 12..2 * PAGE + 18].fill(0xff);
    let report = pages.audit_with(&files, heap, &bytes);
    assert_eq!(report.entries, first);
    assert!(words(&report).contains(&(first, "UNREADABLE")), "{:?}", report.findings);

    // The same of what is beside: it is this one entry's.
    let report = pages.audit_with(&files, toast, &vec![0; files[toast].bytes.len()]);
    assert!(words(&report).contains(&(pages.long, "UNREADABLE")), "{:?}", report.findings);

    let (mut random, mut found) = (1_u64, 0);
    for round in 0..20 {
        let damaged = [toast, index, heap, toast_index, heap, heap][round % 6];
        let (mut bytes, mut flipped) = (files[damaged].bytes.clone(), Vec::new());
        for _ in 0..1 << (round % 5) {
            // Knuth's generator: the same places in each run.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let byte = usize::try_from(random >> 33).unwrap() % bytes.len();
            let bit = u8::try_from(random >> 30 & 7).unwrap();
            bytes[byte] ^= 1 << bit;
            flipped.push((byte, bit));
        }
        let report = pages.audit_with(&files, damaged, &bytes);
        let at = format!("file {damaged}: {flipped:?}: {:?} {:?}", words(&report), report.stopped);
        if report.findings.total() > 0 {
            found += 1;
        } else {
            // No entry depends on it: all of them were read, and have the root that was signed.
            assert!(report.stopped.is_none(), "{at}");
            assert_eq!((report.entries, report.root), (intact.entries, intact.root), "{at}");
        }
    }
    assert!(found > 5, "{found}");
    assert_eq!(pages.audit_with(&files, heap, &files[heap].bytes).root, intact.root);
}
