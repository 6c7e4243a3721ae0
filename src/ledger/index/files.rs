//! The index's directory: runs of postings, tiles, and the manifest that says which of them count.
//!
//! In: the terms of the entries that follow those it knows. Out: files that know them too, once the disk has them. The
//! manifest takes the place of the one before last and at once, so that whatever is interrupted leaves the index as it was;
//! what it does not name is removed. Each level of runs has four times the rows of the one before, and a level that would be too
//! long is merged into the next: so a row is written two or three times on each level on its way down, in long writes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ledger::index::find::FindRun;
use crate::ledger::index::run::{self, Contents, Open, Run, Sorted};
use crate::ledger::index::term::TermKey;
use crate::ledger::index::tiles::TileFiles;
use crate::ledger::index::waiting::{Posting, Waiting};

/// The layout of the directory, and what entries are found by. Any other is made anew.
const FORMAT: u32 = 6;

pub(super) const MANIFEST: &str = "manifest.json";
const NEW_MANIFEST: &str = "manifest.new";

/// The longest manifest: many times what the runs of any log take.
const MAX_MANIFEST: u64 = 65_536;

/// Is there once a run was found to be damaged, and says which.
const DAMAGED: &str = "damaged";

/// What the manifest says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    /// The log's.
    origin: String,
    key: TermKey,
    /// How many entries it knows.
    entries: u64,
    /// Counts the manifests, so that no two runs have one name.
    generation: u64,
    /// The runs of each family, the newest entries' first; `None` where a level is empty.
    claims: Vec<Option<Named>>,
    find: Vec<Option<Named>>,
}

/// A run, by its file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Named {
    file: String,
    contents: Contents,
}

/// The runs that are looked into, in each family those of the newest entries first.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// By the writer.
    pub(super) claims: Vec<Arc<Run>>,
    /// By those who read.
    pub(super) find: Arc<[Arc<FindRun>]>,
}

/// The runs of one family that are open, as the manifest names them.
type Levels<R> = Vec<Option<(Named, Arc<R>)>>;

/// The rows of a level, to those of the one before.
const GROWTH: u64 = 4;

/// An index's files, for the one who writes them.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    manifest: Manifest,
    claims: Levels<Run>,
    find: Levels<FindRun>,
    tiles: Arc<TileFiles>,
    /// The rows that the first level may have, before the next begins.
    first_level: u64,
    /// How a run that was to be merged is damaged.
    damage: Option<String>,
}

/// Why an index cannot be used, and is made anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("it is that of {0:?}")]
    OtherOrigin(String),
    #[error("its manifest is not one")]
    Malformed(#[from] serde_json::Error),
    #[error("it has format {0}, this countersign knows {FORMAT}")]
    Format(u32),
    #[error("others could read its key, or write in it")]
    Exposed,
    #[error("{0}")]
    Damaged(String),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// How many entries the index at `path` has the hashes of, of the log named `origin`: for whoever compares them beside its signer, which may
/// be of an earlier version.
pub(super) fn known(path: &Path, origin: &str) -> Result<u64, Unusable> {
    let text = manifest_text(path)?;
    let witness = Witness::of(&text)?;
    if !witness.has_tiles() {
        return Err(Unusable::Format(witness.format));
    }
    if witness.format == FORMAT {
        return parsed(&text, origin).map(|manifest| manifest.entries);
    }
    witness.about(origin).map(|witness| witness.entries)
}

/// What an index says against its log, though it cannot be used: what manifests of every format say.
#[derive(Debug, Deserialize)]
pub(super) struct Witness {
    format: u32,
    origin: String,
    /// How many entries it knows.
    pub(super) entries: u64,
}

impl Witness {
    /// The one at `path`, of the log named `origin`.
    pub(super) fn read(path: &Path, origin: &str) -> Option<Self> {
        Self::of(&manifest_text(path).ok()?).ok()?.about(origin).ok()
    }

    fn of(text: &[u8]) -> Result<Self, Unusable> {
        Ok(serde_json::from_slice(text)?)
    }

    /// If it is about the log named `origin`.
    fn about(self, origin: &str) -> Result<Self, Unusable> {
        if self.origin == origin { Ok(self) } else { Err(Unusable::OtherOrigin(self.origin)) }
    }

    /// Whether its tiles are where they are known to be here.
    pub(super) fn has_tiles(&self) -> bool {
        self.format <= FORMAT
    }
}

fn manifest(path: &Path, origin: &str) -> Result<Manifest, Unusable> {
    parsed(&manifest_text(path)?, origin)
}

fn manifest_text(path: &Path) -> Result<Vec<u8>, Unusable> {
    match read(&path.join(MANIFEST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unusable::Missing),
        text => Ok(text?),
    }
}

fn parsed(text: &[u8], origin: &str) -> Result<Manifest, Unusable> {
    // First what every format has: the rest of another is no fault of its writer.
    let witness = Witness::of(text)?;
    if witness.format != FORMAT {
        return Err(Unusable::Format(witness.format));
    }
    witness.about(origin)?;
    Ok(serde_json::from_slice(text)?)
}

/// A file of this directory that is not long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_MANIFEST) {
        return Ok(bytes);
    }
    let long = format!("{} has more than {MAX_MANIFEST} bytes", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, long))
}

impl Files {
    /// Opens the index at `path` of the log named `origin`.
    pub(super) fn open(path: &Path, origin: &str, first_level: u64) -> Result<Self, Unusable> {
        let manifest = manifest(path, origin)?;
        if let Some(damage) = damage(path)? {
            return Err(Unusable::Damaged(damage));
        }
        let (claims, find) = (opened(path, &manifest.claims)?, opened(path, &manifest.find)?);
        let tiles = Arc::new(TileFiles::open(path, manifest.entries)?);
        let files = Self { path: path.to_owned(), manifest, claims, find, tiles, first_level, damage: None };
        files.remove_strangers()?;
        Ok(files)
    }

    /// Begins an index that knows nothing at `path`, where nothing is.
    pub(super) fn begin(path: &Path, origin: &str, key: TermKey, first_level: u64) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(path)?;
        let (claims, find) = (Vec::new(), Vec::new());
        let origin = origin.to_owned();
        let manifest = Manifest { format: FORMAT, origin, key, entries: 0, generation: 0, claims, find };
        replace_manifest(path, &manifest)?;
        let tiles = Arc::new(TileFiles::open(path, 0)?);
        let (path, claims, find) = (path.to_owned(), Vec::new(), Vec::new());
        Ok(Self { path, manifest, claims, find, tiles, first_level, damage: None })
    }

    /// What its terms are hashed with.
    pub(super) fn key(&self) -> TermKey {
        self.manifest.key
    }

    /// How many entries it knows.
    pub(super) fn entries(&self) -> u64 {
        self.manifest.entries
    }

    /// The runs to look into.
    pub(super) fn runs(&self) -> Runs {
        Runs { claims: runs_of(&self.claims).collect(), find: runs_of(&self.find).collect() }
    }

    pub(super) fn tiles(&self) -> Arc<TileFiles> {
        Arc::clone(&self.tiles)
    }

    /// Adds what waits, and returns once the disk has it. If it fails, all is as before; if it fails because a run is damaged,
    /// it fails until the index is made anew.
    pub(super) fn write(&mut self, waiting: &Waiting) -> io::Result<()> {
        if let Some(damage) = &self.damage {
            return Err(io::Error::new(io::ErrorKind::InvalidData, damage.clone()));
        }
        let written = self.written(waiting).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let damage = condemn(&self.path, &error);
                self.damage = Some(damage.clone());
                io::Error::new(io::ErrorKind::InvalidData, damage)
            }
            _ => error,
        });
        // What is left is in nobody's way, and goes at the next start at the latest.
        let _ = self.remove_strangers();
        written
    }

    fn written(&mut self, waiting: &Waiting) -> io::Result<()> {
        let (entries, generation) = (waiting.entries().end, self.manifest.generation + 1);
        let (mut claims, mut find) = (self.claims.clone(), self.find.clone());
        self.merge(&mut claims, generation, waiting.claims())?;
        self.merge(&mut find, generation, waiting.find())?;
        self.tiles.write(entries)?;
        let manifest = Manifest {
            entries,
            generation,
            claims: names_of(&claims),
            find: names_of(&find),
            ..self.manifest.clone()
        };
        replace_manifest(&self.path, &manifest)?;
        self.tiles.forget(entries);
        (self.manifest, self.claims, self.find) = (manifest, claims, find);
        Ok(())
    }

    /// Merges what comes into the first level that has room for it and for all levels before it.
    fn merge<R: Open>(
        &self,
        levels: &mut Levels<R>,
        generation: u64,
        postings: Vec<Posting>,
    ) -> io::Result<()> {
        if postings.is_empty() {
            return Ok(());
        }
        let mut rows = u64::try_from(postings.len()).map_err(io::Error::other)?;
        let mut sources: Vec<Sorted<'_>> = vec![Box::new(postings.into_iter().map(Ok))];
        let (mut level, mut most) = (0, self.first_level);
        loop {
            if level == levels.len() {
                levels.push(None);
            }
            let Some(place) = levels.get_mut(level) else { break };
            if let Some((Named { file, contents }, _)) = place.take() {
                rows += contents.rows;
                sources.push(Box::new(run::rows(&self.path.join(file), &contents)?));
            }
            if rows <= most {
                let file = format!("{}-{generation}", R::NAME);
                let (contents, run) = R::write(&self.path.join(&file), rows, sources)?;
                *place = Some((Named { file, contents }, Arc::new(run)));
                break;
            }
            (level, most) = (level + 1, most.saturating_mul(GROWTH));
        }
        Ok(())
    }

    /// Removes the runs that the manifest does not name, and an unfinished manifest.
    fn remove_strangers(&self) -> io::Result<()> {
        let named = || self.manifest.claims.iter().chain(&self.manifest.find).flatten();
        for file in fs::read_dir(&self.path)? {
            let name = file?.file_name();
            let name = name.to_string_lossy();
            let is_run = name.starts_with("claims-") || name.starts_with("find-");
            if is_run && named().all(|named| named.file != name) || name == NEW_MANIFEST {
                fs::remove_file(self.path.join(&*name))?;
            }
        }
        Ok(())
    }
}

/// The runs that a manifest names.
fn opened<R: Open>(directory: &Path, named: &[Option<Named>]) -> io::Result<Levels<R>> {
    let open = |named: &Named| {
        let run = R::open(&directory.join(&named.file), &named.contents)?;
        Ok((named.clone(), Arc::new(run)))
    };
    named.iter().map(|named| named.as_ref().map(open).transpose()).collect()
}

fn runs_of<R>(levels: &Levels<R>) -> impl Iterator<Item = Arc<R>> {
    levels.iter().flatten().map(|(_, run)| Arc::clone(run))
}

fn names_of<R>(levels: &Levels<R>) -> Vec<Option<Named>> {
    levels.iter().map(|level| level.as_ref().map(|(named, _)| named.clone())).collect()
}

/// An index's files, for somebody who only reads them, maybe while a signer writes.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: TermKey,
    pub(super) entries: u64,
    pub(super) find: Arc<[Arc<FindRun>]>,
    pub(super) tiles: TileFiles,
}

impl Known {
    /// Reads the index at `path` of the log named `origin`.
    pub(super) fn read(path: &Path, origin: &str) -> Result<Self, Unusable> {
        let mut named = manifest(path, origin)?;
        if let Some(damage) = damage(path)? {
            return Err(Unusable::Damaged(damage));
        }
        loop {
            let open = |run: &Named| FindRun::open(&path.join(&run.file), &run.contents).map(Arc::new);
            match named.find.iter().flatten().map(open).collect::<Result<_, _>>() {
                Ok(find) => {
                    let (key, entries) = (named.key, named.entries);
                    return Ok(Self { key, entries, find, tiles: TileFiles::read(path, entries)? });
                }
                Err(error) => {
                    // The signer has replaced it meanwhile.
                    let again = manifest(path, origin)?;
                    if again.generation == named.generation {
                        return Err(error.into());
                    }
                    named = again;
                }
            }
        }
    }
}

/// Which run of the index at `path` was found to be damaged.
fn damage(path: &Path) -> io::Result<Option<String>> {
    match read(&path.join(DAMAGED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        damage => damage.map(|damage| Some(String::from_utf8_lossy(&damage).into_owned())),
    }
}

/// Has the next start make the index at `path` anew, because of `damage`; what to say of it.
pub(super) fn condemn(path: &Path, damage: &io::Error) -> String {
    let damage = format!("{damage}; restart the signer, which makes its index anew");
    // If that fails, whoever looks the next time meets the damage again.
    let _ = fs::write(path.join(DAMAGED), &damage);
    damage
}

/// Returns once the disk has `manifest` in the place of the one before.
fn replace_manifest(directory: &Path, manifest: &Manifest) -> io::Result<()> {
    let new = directory.join(NEW_MANIFEST);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
    file.sync_data()?;
    fs::rename(new, directory.join(MANIFEST))?;
    File::open(directory)?.sync_data()
}
