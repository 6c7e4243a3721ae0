//! A log that a signer serves, which may lie.

use super::*;

/// What a signer makes of the right answer.
type Answers = fn(Vec<RawEntry>) -> Result<Vec<RawEntry>, CallFailed>;

/// A signer that serves seven entries at once, and changes its answers as a test likes.
#[derive(Debug)]
struct Signer {
    leaves: Vec<Vec<u8>>,
    answer: Answers,
}

impl Serves for Signer {
    fn entries(&self, range: Range<u64>) -> Result<Vec<RawEntry>, CallFailed> {
        let all = (0..).zip(&self.leaves).map(|(index, leaf)| RawEntry { index, bytes: leaf.clone() });
        (self.answer)(all.filter(|entry| range.contains(&entry.index)).take(7).collect())
    }

    fn inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, CallFailed> {
        let tiles = Hashed::of(&self.leaves);
        Ok(Tree::new(&tiles, size).inclusion(index).ok())
    }
}

/// The tiles of some entries, as a signer keeps them.
struct Hashed(BTreeMap<(u8, u64), Vec<Hash>>);

impl Hashed {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let (mut frontier, mut tiles) = (Frontier::new(), BTreeMap::new());
        let mut keep = |tile: Tile<'_>| tiles.insert((tile.level, tile.n), tile.hashes.to_vec());
        for leaf in leaves {
            frontier
                .push(leaf_hash(leaf), |tile| {
                    keep(tile);
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        for tile in frontier.partial() {
            keep(tile);
        }
        Self(tiles)
    }
}

impl Tiles for Hashed {
    type Error = ();

    fn tile(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, ()> {
        let tile = self.0.get(&(level, n)).ok_or(())?;
        Ok(tile.iter().take(width.into()).copied().collect())
    }
}

/// What an audit of `entries` comes to if they are served so.
fn audit_served(entries: &[Entry], answer: Answers) -> Result<Report, AuditError> {
    audit_served_by(entries, answer, Log::options())
}

fn audit_served_by(entries: &[Entry], answer: Answers, options: Options) -> Result<Report, AuditError> {
    let leaves: Vec<_> = entries.iter().map(|entry| entry.encode().unwrap()).collect();
    let size = u64::try_from(leaves.len()).unwrap();
    let (address, origin) = ("https://signer.example".to_owned(), "test.example/log".to_owned());
    let served = Served { address, origin, size, signer: Box::new(Signer { leaves, answer }) };
    audit(Source::Served(served), size, options, |_| ())
}

#[test]
fn a_log_that_is_served_page_by_page_is_checked_like_a_file() {
    let entries = good();
    let (file, served) = (Log::of(&entries).audit(Log::options()), audit_served(&entries, Ok).unwrap());
    assert_eq!((words(&served), &served.open, served.counts), (vec![], &file.open, file.counts));
    assert_eq!((served.entries, served.root), (file.entries, file.root));
}

#[test]
fn an_entry_that_a_signer_leaves_out_or_replaces_is_missing() {
    let ways: [Answers; 3] = [
        |page| Ok(page.into_iter().filter(|entry| entry.index != 9).collect()),
        |page| Ok(page.into_iter().take_while(|entry| entry.index < 9).collect()),
        |page| Ok(page.into_iter().map(|entry| RawEntry { index: entry.index.min(8), ..entry }).collect()),
    ];
    for way in ways {
        let report = audit_served(&good(), way).unwrap();
        assert_eq!((words(&report), report.entries), (vec![(9, "MISSING")], 9));
    }
}

#[test]
fn an_entry_that_was_changed_behind_a_signer_is_named_by_proofs() {
    fn change(entry: RawEntry) -> RawEntry {
        let mut bytes = entry.bytes;
        // In the count alone, which breaks no rule: of the first of a tile, and of the last of all.
        if [256, 300, 530].contains(&entry.index) {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        RawEntry { bytes, ..entry }
    }
    let caller = b"uid:1000".to_vec();
    let refusals = |at: u64| Entry::Refusals {
        time: UnixMillis(T + at),
        caller: caller.clone(),
        since: UnixMillis(T),
        count: 2 + 2 * at,
    };
    let entries: Vec<Entry> = (0..531).map(refusals).collect();
    let Entry::Checkpoint { text, .. } = checkpoint(0, &entries, entries.len()) else { panic!() };
    let options = || Options { checkpoints: vec![Checkpoint::parse(&text).unwrap()], ..Log::options() };
    let right = audit_served_by(&entries, Ok, options()).unwrap();
    assert_eq!((words(&right), right.checkpoints), (vec![], vec![Rooted { size: 531, holds: Some(true) }]));
    let report =
        audit_served_by(&entries, |page| Ok(page.into_iter().map(change).collect()), options()).unwrap();
    let found: Vec<_> = words(&report)
        .into_iter()
        .filter(|(_, word)| *word == "OTHER_HASH")
        .map(|(index, _)| index)
        .collect();
    assert_eq!(found, [256, 300, 530]);
    assert!(words(&report).contains(&(530, "OTHER_ROOT")), "{:?}", report.findings.first());
}

#[test]
fn a_signer_that_does_not_answer_is_no_log_that_is_wrong_and_hides_nothing_that_was_read() {
    let mut entries = good();
    entries[3] = signed(10, 2, &intent(10, 2, "alice"));
    let report = audit_served(&entries, |page| match page.first() {
        Some(entry) if entry.index > 13 => Err(gone()),
        _ => Ok(page),
    });
    let report = report.unwrap();
    assert_eq!((words(&report), report.entries), (vec![(3, "SIGNATURE")], 14));
    let Stopped { index, why } = report.stopped.unwrap();
    assert!(matches!(why, AuditError::Ledger(LedgerError::NoAnswer { index: 14, .. })), "{index}: {why}");
    assert_eq!(index, 14);
}

#[test]
fn an_entry_that_a_signer_sends_once_and_another_after_it_is_found() {
    // Two certificates have one serial, so that both are read again, each by itself.
    let entries = [good(), vec![intent(110, 1, "bob")]].concat();
    let honest = audit_served(&entries, Ok).unwrap();
    assert_eq!(words(&honest), [(22, "SERIAL")]);
    let lie = |mut page: Vec<RawEntry>| {
        if let [RawEntry { index: 22, bytes }] = &mut page[..] {
            *bytes = intent(110, 77, "bob").encode().unwrap();
        }
        Ok(page)
    };
    assert_eq!(words(&audit_served(&entries, lie).unwrap()), [(22, "OTHER_HASH")]);
    let silent = |page: Vec<RawEntry>| if page.len() == 1 { Err(gone()) } else { Ok(page) };
    let report = audit_served(&entries, silent).unwrap();
    assert_eq!((words(&report), report.stopped.map(|stopped| stopped.index)), (vec![], Some(0)));
}

fn gone() -> CallFailed {
    Arc::new(std::io::Error::other("gone"))
}
