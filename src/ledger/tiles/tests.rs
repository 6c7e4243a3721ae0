#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::key::{PublicKey, Scheme};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::{Entry, UnixMillis};
use crate::ledger::fixture::Fixture;
use crate::ledger::merkle::{Frontier, Tree};
use crate::ledger::note::{SignerName, VerifierKey};
use crate::ledger::{Reader, leaf_hash};

/// Some entries, of different lengths.
fn leaf(index: u64) -> Vec<u8> {
    let caller = vec![b'x'; usize::try_from(index % 7).unwrap()];
    let time = UnixMillis(index);
    Entry::Refusals { time, caller, since: time, count: index }.encode().unwrap()
}

struct Site {
    fixture: Fixture,
    to: PathBuf,
}

impl Site {
    fn new(entries: u64) -> Self {
        let fixture = Fixture::new();
        fixture.append((0..entries).map(leaf));
        let to = fixture.directory().join("export");
        Self { fixture, to }
    }

    fn export(&self, publish: Option<&Published>) -> Result<Exported, TilesError> {
        self.export_for(Audience::Owner, publish)
    }

    fn export_for(&self, audience: Audience, publish: Option<&Published>) -> Result<Exported, TilesError> {
        let to = Destination { directory: &self.to, audience };
        export(&Reader::open(&self.fixture.config.path).unwrap(), to, publish, |_, _| ())
    }

    /// Every file but the lock, with its inode and bytes.
    fn files(&self) -> BTreeMap<String, (u64, Vec<u8>)> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.to.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if !path.ends_with(".lock") {
                    let name = path.strip_prefix(&self.to).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, (fs::metadata(&path).unwrap().ino(), fs::read(&path).unwrap()));
                }
            }
        }
        files
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files().into_iter().map(|(name, (_, bytes))| (name, bytes)).collect()
    }
}

fn root(size: u64) -> Hash {
    let mut frontier = Frontier::new();
    for index in 0..size {
        let Ok(()) = frontier.push(leaf_hash(&leaf(index)), |_| Ok::<_, Infallible>(()));
    }
    frontier.root()
}

/// Signed in the test, by a key of the test's own.
fn published(size: u64, root: Hash) -> Published {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    let key = VerifierKey::new(SignerName::new("test.example/log").unwrap(), &key).unwrap();
    let checkpoint = Checkpoint::new("test.example/log", size, root).unwrap();
    let mut note = checkpoint.to_note();
    note.sign(&key, Scheme::Ed25519, pair.sign(note.text().as_bytes()).as_ref()).unwrap();
    Published { path: "checkpoint".into(), checkpoint, note }
}

#[test]
fn files_are_called_as_the_specification_says() {
    assert_eq!(Resource::Entries(1_234_067).path(256), "tile/entries/x001/x234/067");
    assert_eq!(Resource::Tile { level: 1, n: 0 }.path(256), "tile/1/000");
    assert_eq!(Resource::Tile { level: 0, n: 1000 }.path(255), "tile/0/x001/000.p/255");
    assert_eq!(Resource::Entries(999).path(1), "tile/entries/999.p/1");
    for (name, width) in
        [("1", Some(1)), ("255", Some(255)), ("256", None), ("0", None), ("01", None), ("1.tmp", None)]
    {
        assert_eq!(path::width(name), width, "{name}");
    }
}

#[test]
fn reads_regular_files_alone_and_no_more_of_one_than_an_export_has() {
    let site = Site::new(3);
    site.export(None).unwrap();
    let directory = Directory::open(&site.to).unwrap();
    let endless = |name: &str| {
        let file = fs::OpenOptions::new().create(true).append(true).open(site.to.join(name)).unwrap();
        file.set_len(1 << 36).unwrap();
    };
    endless("tile/entries/000.p/3");
    assert_eq!(u64::try_from(directory.bundle(0, 3).unwrap().1.len()).unwrap(), 256 * 65_537 + 1);
    endless("tile/0/000.p/3");
    assert!(matches!(directory.tile(0, 0, 3), Err(TilesError::Length { len: 8193, .. })));
    endless("checkpoint");
    assert_eq!(directory.checkpoint().unwrap().unwrap().len(), note::MAX_LEN + 1);

    let checkpoint = site.to.join("checkpoint");
    fs::remove_file(&checkpoint).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&checkpoint).status().unwrap();
    assert!(made.success());
    assert!(matches!(directory.checkpoint(), Err(TilesError::NotAFile { .. })));
    fs::remove_file(&checkpoint).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &checkpoint).unwrap();
    assert!(matches!(directory.checkpoint(), Err(TilesError::NotAFile { .. })));
}

#[test]
fn exports_every_entry_and_hash_and_nothing_else() {
    let site = Site::new(600);
    let exported = site.export(None).unwrap();
    assert_eq!((exported.size, exported.kept, exported.files), (600, 0, 7));
    assert_eq!(exported.root, root(600));
    let files = site.contents();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let entries = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"];
    let tiles = ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"];
    assert_eq!(names, [&tiles[..], &entries[..]].concat());
    let bundled = |range: std::ops::Range<u64>| -> Vec<u8> {
        range
            .flat_map(|index| {
                [&u16::try_from(leaf(index).len()).unwrap().to_be_bytes()[..], &leaf(index)].concat()
            })
            .collect()
    };
    assert_eq!(files["tile/entries/001"], bundled(256..512));
    assert_eq!(files["tile/entries/002.p/88"], bundled(512..600));
    let hashes: Vec<_> = (512..600).map(|index| leaf_hash(&leaf(index))).collect();
    assert_eq!(files["tile/0/002.p/88"], hashes.concat());

    let directory = Directory::open(&site.to).unwrap();
    assert_eq!(directory.size().unwrap(), 600);
    for size in [1, 255, 256, 257, 511, 512, 600] {
        assert_eq!(
            Tree::new(&directory, size).root().unwrap(),
            root(size),
            "a wider tile has the narrower ones"
        );
    }
    assert!(matches!(Tree::new(&directory, 601).root(), Err(TreeError::Tiles(TilesError::Missing { .. }))));
}

#[test]
fn a_later_export_adds_what_is_new_and_writes_nothing_again() {
    let site = Site::new(600);
    site.export(None).unwrap();
    let before = site.files();
    assert_eq!(site.export(None).unwrap().files, 0);
    assert_eq!(site.files(), before);

    site.fixture.append((600..66_000).map(leaf));
    let exported = site.export(None).unwrap();
    assert_eq!((exported.size, exported.kept, exported.root), (66_000, 512, root(66_000)));
    let after = site.files();
    for name in ["tile/0/000", "tile/0/001", "tile/entries/001"] {
        assert_eq!(after[name], before[name], "{name} was written again");
    }
    assert!(!after.keys().any(|name| name.contains(".p/88")), "superseded");
    let fresh = Site::new(66_000);
    fresh.export(None).unwrap();
    assert_eq!(site.contents(), fresh.contents());
}

#[test]
fn goes_on_where_an_export_was_stopped_or_power_was_lost() {
    let site = Site::new(66_000);
    site.export(None).unwrap();
    let whole = site.contents();
    for lost in [
        &["tile/1/000", "tile/2/000.p/1"][..],
        &["tile/0/100"],
        &["tile/entries/255", "tile/1/000"],
        &["tile/0/000"],
    ] {
        for name in lost {
            fs::remove_file(site.to.join(name)).unwrap();
        }
        fs::write(site.to.join("tile/0/100.tmp"), "half").unwrap();
        let exported = site.export(None).unwrap();
        assert!(exported.files >= 1 && exported.root == root(66_000));
        let _ = fs::remove_file(site.to.join("tile/0/100.tmp"));
        assert_eq!(site.contents(), whole, "without {lost:?}");
    }
}

#[test]
fn goes_on_only_with_the_export_of_the_same_log() {
    let site = Site::new(600);
    site.export(None).unwrap();
    let other = Fixture::new();
    other.append((0..600).map(|index| leaf(index ^ u64::from(index == 300))));
    let reader = Reader::open(&other.config.path).unwrap();
    let error =
        export(&reader, Destination { directory: &site.to, audience: Audience::Owner }, None, |_, _| ())
            .unwrap_err();
    assert!(matches!(error, TilesError::OtherLog { index: 300, .. }), "{error}");
}

#[test]
fn publishes_the_tree_that_was_signed_and_no_other() {
    let site = Site::new(600);
    let error = site.export(Some(&published(601, root(600)))).unwrap_err();
    assert!(matches!(error, TilesError::Shorter { size: 601, len: 600, .. }), "{error}");
    let error = site.export(Some(&published(500, root(499)))).unwrap_err();
    assert!(matches!(error, TilesError::OtherRoot { size: 500, .. }), "{error}");
    assert!(!site.to.join(CHECKPOINT).exists());

    let checkpoint = published(500, root(500));
    assert_eq!(site.export(Some(&checkpoint)).unwrap().size, 500);
    let directory = Directory::open(&site.to).unwrap();
    assert_eq!(directory.checkpoint().unwrap().unwrap(), checkpoint.note.to_string().into_bytes());
    assert_eq!(site.export(Some(&published(600, root(600)))).unwrap().size, 600);
    let error = site.export(Some(&checkpoint)).unwrap_err();
    assert!(matches!(error, TilesError::Older { published: 600, size: 500, .. }), "{error}");
    // Without a checkpoint, the published one stays, with the files that it needs.
    site.fixture.append((600..700).map(leaf));
    assert_eq!(site.export(None).unwrap().size, 700);
    assert_eq!(Tree::new(&directory, 600).root().unwrap(), root(600));
}

#[test]
fn publishes_nothing_that_does_not_continue_what_is_published() {
    let site = Site::new(600);
    site.export(Some(&published(600, root(600)))).unwrap();
    let tile = site.to.join("tile/0/002.p/88");
    let mut bytes = fs::read(&tile).unwrap();
    bytes.reverse();
    fs::write(&tile, bytes).unwrap();
    let error = site.export(None).unwrap_err();
    assert!(matches!(error, TilesError::OtherRoot { size: 600, .. }), "{error}");
    fs::write(site.to.join(CHECKPOINT), "no checkpoint").unwrap();
    assert!(matches!(site.export(None), Err(TilesError::Checkpoint { .. })));
}

#[test]
fn two_exports_to_one_directory_do_not_mix() {
    let site = Site::new(3);
    fs::create_dir(&site.to).unwrap();
    let lock = fs::File::create(site.to.join(".lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(matches!(site.export(None), Err(TilesError::Locked { .. })));
    // Closed alone, it may be held still by what another test forked.
    lock.unlock().unwrap();
    site.export(None).unwrap();
}

#[test]
fn only_the_owner_can_read_an_export_unless_it_is_for_everybody() {
    for (audience, directories, files) in
        [(Audience::Owner, 0o700, 0o600), (Audience::Everybody, 0o755, 0o644)]
    {
        let site = Site::new(300);
        site.export_for(audience, Some(&published(300, root(300)))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        for directory in ["", "tile", "tile/entries", "tile/entries/001.p"] {
            assert_eq!(mode(&site.to.join(directory)), directories, "{directory}");
        }
        for file in site.files().keys() {
            assert_eq!(mode(&site.to.join(file)), files, "{file}");
        }
        assert_eq!(mode(&site.to.join(".lock")), 0o600);
    }
}

#[test]
fn an_export_for_everybody_opens_what_an_earlier_one_closed_and_nothing_else() {
    let site = Site::new(300);
    let publish = published(300, root(300));
    site.export_for(Audience::Owner, Some(&publish)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    let (notes, elsewhere) = (site.to.join("notes"), site.fixture.directory().join("elsewhere"));
    for own in [&notes, &elsewhere] {
        fs::write(own, "private").unwrap();
        fs::set_permissions(own, fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::os::unix::fs::symlink(&elsewhere, site.to.join("tile/link")).unwrap();
    let again = site.export_for(Audience::Everybody, Some(&publish)).unwrap();
    assert_eq!(again.files, 0, "all of it was there");
    for directory in ["", "tile", "tile/0", "tile/entries", "tile/entries/001.p"] {
        assert_eq!(mode(&site.to.join(directory)), 0o755, "{directory}");
    }
    for file in site.files().keys().filter(|file| !["notes", "tile/link"].contains(&file.as_str())) {
        assert_eq!(mode(&site.to.join(file)), 0o644, "{file}");
    }
    assert_eq!([&notes, &elsewhere, &site.to.join(".lock")].map(|path| mode(path)), [0o600; 3]);
}

#[test]
fn an_export_follows_no_link_to_write() {
    let site = Site::new(3);
    site.export(None).unwrap();
    let (elsewhere, first) =
        (site.fixture.directory().join("elsewhere"), site.to.join("tile/entries/000.p/3"));
    fs::write(&elsewhere, "precious").unwrap();
    let temporary = site.to.join("tile/entries/000.p/3.tmp");
    std::os::unix::fs::symlink(&elsewhere, &temporary).unwrap();
    fs::remove_file(&first).unwrap();
    site.export(None).unwrap();
    assert!(first.is_file() && !temporary.exists());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    let lock = site.to.join(".lock");
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
    assert!(matches!(site.export(None), Err(TilesError::Io { doing: "opening lock file", .. })));
}

#[test]
fn what_is_in_a_files_place_is_read_no_further_than_it_is_long() {
    let site = Site::new(3);
    site.export(None).unwrap();
    let tile = site.to.join("tile/0/000.p/3");
    // It has no end.
    fs::remove_file(&tile).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &tile).unwrap();
    site.export(None).unwrap();
    assert_eq!(fs::read(&tile).unwrap().len(), 3 * 32);
}
