//! An index at start-up: compared with its log, and brought up to it.
//!
//! In: a log that is open. Out: an index that knows all of it. An index that cannot be used is made anew from the log. One that
//! knows more than the log, or other entries, is a witness against it, whether it can be used or not: the signer does not
//! start. It stays until another that knows all of the log takes its place, however often that is interrupted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ledger::LedgerError;
use crate::ledger::entry::{Entry, leaf_hash};
use crate::ledger::index::checker::Checker;
use crate::ledger::index::directory::{self, Access};
use crate::ledger::index::files::{Files, MANIFEST, Unusable, Witness};
use crate::ledger::index::term::UnknownSerial;
use crate::ledger::index::thread::Thread;
use crate::ledger::index::waiting::Waiting;
use crate::ledger::index::{Index, Limits, RecordedTiles, TermKey, View, path, tiles};
use crate::ledger::merkle::{Hash, Tiles as _};

/// How often a long reading of the log says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// How many of the newest entries that the index knows are compared with the log, at most twice as many.
const COMPARED: u64 = 256;

/// How many entries are confirmed at once.
const TOGETHER: u64 = 256;

/// The log, and whose it is.
#[derive(Clone, Copy)]
pub(in crate::ledger) struct Log<'a> {
    pub(in crate::ledger) path: &'a Path,
    pub(in crate::ledger) origin: &'a str,
    pub(in crate::ledger) leaves: &'a dyn Leaves,
    /// How many entries it has.
    pub(in crate::ledger) entries: u64,
}

/// The entries of a log, whatever keeps them.
pub(in crate::ledger) trait Leaves {
    /// Gives each entry from `first` on to `read`, in order, for as long as that wants more.
    fn each(&self, first: u64, read: &mut Visit<'_>) -> Result<(), LedgerError>;
}

/// What is done with an entry: its index, and its bytes.
pub(in crate::ledger) type Visit<'a> = dyn FnMut(u64, &[u8]) -> Result<Next, LedgerError> + 'a;

/// Whether whoever reads wants to go on.
pub(in crate::ledger) enum Next {
    More,
    Enough,
}

impl Index {
    /// Opens the index of `log`, or makes it, and has it know all entries.
    pub(in crate::ledger) fn open(log: Log<'_>, limits: Limits) -> Result<Self, LedgerError> {
        let path = path(log.path);
        settle(&path).map_err(|source| failed("opening index", &path, source))?;
        let access =
            directory::close(&path, MANIFEST).map_err(|source| failed("opening index", &path, source))?;
        let opened = match access {
            Access::Private => Files::open(&path, log.origin, limits.flush),
            Access::Exposed => Err(Unusable::Exposed),
        };
        let mut files = match opened {
            Ok(files) => {
                let tile = |n, width| files.tiles().tile(0, n, width).map(Some);
                compare(&path, files.entries(), log, tile)?;
                files
            }
            Err(unusable) => {
                hear(&path, log)?;
                made_anew(&path, log, limits, &unusable)?
            }
        };
        let noted =
            tiles::noted(&path, files.entries()).map_err(|source| failed("reading index", &path, source))?;
        let known = files.entries().saturating_add(u64::try_from(noted.len()).unwrap_or(u64::MAX));
        has_all(&path, known, log)?;
        let active = catch_up(&path, &mut files, &noted, log, limits)?;
        let (key, runs, tiles) = (files.key(), files.runs(), files.tiles());
        let view = watch::Sender::new(View::new(key, &active, &runs, &tiles));
        let thread =
            Thread::start(files, limits.pause).map_err(|source| failed("writing index", &path, source))?;
        let checker = Checker::start(path.clone(), Arc::clone(&runs.find))
            .map_err(|source| failed("checking index", &path, source))?;
        let (since, hashes) = (Instant::now(), Vec::new());
        let mut index = Self {
            path,
            key,
            limits,
            active,
            since,
            writing: None,
            failure: None,
            runs,
            tiles,
            hashes,
            unnoted: None,
            thread,
            view,
            _checker: checker,
        };
        index.note();
        Ok(index)
    }
}

/// Makes an index of all of the log, and puts it in the place of one that cannot be used.
fn made_anew(path: &Path, log: Log<'_>, limits: Limits, unusable: &Unusable) -> Result<Files, LedgerError> {
    if log.entries > 0 {
        let entries = log.entries;
        tracing::warn!(cause = %unusable, entries, "index {} is made anew from the ledger", path.display());
    }
    let key = TermKey::random().map_err(|_| LedgerError::NoRandomness)?;
    let making = |source| failed("making index", path, source);
    let new = beside(path, ".new");
    remove(&new).map_err(making)?;
    let mut files = Files::begin(&new, log.origin, key, limits.flush).map_err(making)?;
    let rest = catch_up(&new, &mut files, &[], log, limits)?;
    if rest.weight() > 0 {
        files.write(&rest).map_err(making)?;
    }
    drop(files);
    install(&new, path).map_err(making)?;
    Files::open(path, log.origin, limits.flush).map_err(|unusable| making(io::Error::other(unusable)))
}

/// Puts the index at `new` in the place of the one at `path`. Whenever this is interrupted, one of the two is there.
fn install(new: &Path, path: &Path) -> io::Result<()> {
    let old = beside(path, ".old");
    if path.exists() {
        fs::rename(path, &old)?;
    }
    fs::rename(new, path)?;
    File::open(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))?
        .sync_all()?;
    remove(&old)
}

/// Ends what was interrupted: an index that was to be replaced, and was not, is in its place again.
fn settle(path: &Path) -> io::Result<()> {
    let old = beside(path, ".old");
    match (old.exists(), path.exists()) {
        (true, false) => fs::rename(old, path),
        (true, true) => remove(&old),
        (false, _) => Ok(()),
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.to_owned();
    path.as_mut_os_string().push(end);
    path
}

/// Has an index that cannot be used say what it knows against the log, before it goes.
fn hear(path: &Path, log: Log<'_>) -> Result<(), LedgerError> {
    let Some(witness) = Witness::read(path, log.origin) else { return Ok(()) };
    let tiles = witness.has_tiles().then(|| RecordedTiles::of(path.to_owned(), witness.entries));
    let known = tiles.as_ref().map_or(witness.entries, RecordedTiles::entries);
    // Its tiles may be what is wrong with it.
    compare(path, known, log, |n, width| Ok(tiles.as_ref().and_then(|tiles| tiles.tile(0, n, width).ok())))
}

/// Whether the log is the one that the index was made of, or a later state of it. The index knows `known` entries, and their
/// hashes by `tile`, as far as that has any.
fn compare(
    index: &Path,
    known: u64,
    log: Log<'_>,
    tile: impl Fn(u64, u16) -> io::Result<Option<Vec<Hash>>>,
) -> Result<(), LedgerError> {
    has_all(index, known, log)?;
    let Some(last) = known.checked_sub(1) else { return Ok(()) };
    let newest = last / COMPARED;
    for n in newest.saturating_sub(1)..=newest {
        let first = n * COMPARED;
        let width = u16::try_from((known - first).min(COMPARED)).unwrap_or(u16::MAX);
        let hashes = tile(n, width).map_err(|source| failed("reading index", index, source))?;
        let Some(hashes) = hashes else { continue };
        each(log, first, |at, leaf| {
            let hash = usize::try_from(at - first).ok().and_then(|at| hashes.get(at));
            match hash {
                Some(hash) if *hash == leaf_hash(leaf) => Ok(Next::More),
                Some(_) => Err(other(index, at, log)),
                None => Ok(Next::Enough),
            }
        })?;
    }
    Ok(())
}

/// Whether the log has all of the `known` entries that its index knows.
fn has_all(index: &Path, known: u64, log: Log<'_>) -> Result<(), LedgerError> {
    if known <= log.entries {
        return Ok(());
    }
    let (path, index, entries) = (log.path.to_owned(), index.to_owned(), log.entries);
    Err(LedgerError::OlderThanIndex { path, index, entries, known })
}

/// That the log's entry is not the one that its index knows.
fn other(index: &Path, entry: u64, log: Log<'_>) -> LedgerError {
    LedgerError::OtherThanIndexed { path: log.path.to_owned(), index: index.to_owned(), entry }
}

/// Has the index know the entries that it does not, of which the first have the `noted` hashes; what waits for its files in the end.
fn catch_up(
    path: &Path,
    files: &mut Files,
    noted: &[Hash],
    log: Log<'_>,
    limits: Limits,
) -> Result<Waiting, LedgerError> {
    let mut noted = noted.iter();
    let (key, tiles, first) = (files.key(), files.tiles(), files.entries());
    let (mut waiting, mut hashes): (_, Vec<Hash>) = (Waiting::new(first), Vec::new());
    let mut told = Instant::now();
    each(log, first, |index, leaf| {
        let hash = leaf_hash(leaf);
        if noted.next().is_some_and(|noted| *noted != hash) {
            return Err(other(path, index, log));
        }
        let entry = Entry::decode(leaf).map_err(|source| LedgerError::Entry {
            path: log.path.to_owned(),
            index,
            source,
        })?;
        let terms = key.recorded(&entry).map_err(|UnknownSerial| LedgerError::UnknownSerial {
            path: log.path.to_owned(),
            entry: index,
        })?;
        waiting.append(&terms);
        hashes.push(hash);
        if waiting.fresh() >= TOGETHER {
            waiting.confirm();
        }
        if waiting.weight() >= limits.bound {
            waiting.confirm();
            tiles.append(&std::mem::take(&mut hashes));
            files.write(&waiting).map_err(|source| failed("writing index", path, source))?;
            waiting = Waiting::new(index + 1);
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            tracing::info!("index {}: {} of {} entries", path.display(), index + 1, log.entries);
        }
        Ok(Next::More)
    })?;
    waiting.confirm();
    tiles.append(&hashes);
    Ok(waiting)
}

/// Gives each entry from `first` on to `read`; one that is missing ends it.
fn each(
    log: Log<'_>,
    first: u64,
    mut read: impl FnMut(u64, &[u8]) -> Result<Next, LedgerError>,
) -> Result<(), LedgerError> {
    let mut expected = first;
    log.leaves.each(first, &mut |index, leaf| {
        if index != expected {
            return Err(LedgerError::Gap { path: log.path.to_owned(), index: expected });
        }
        expected += 1;
        read(index, leaf)
    })
}

fn failed(doing: &'static str, index: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io { doing, path: index.to_owned(), source: Arc::new(source) }
}
