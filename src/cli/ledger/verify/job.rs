//! From what was asked for to a log that is open, and all that is known of it before its entries are read.
//!
//! In: the command's options. Out: a [`Job`]. Promised: of a signer nothing is taken at its word where something that is signed says
//! it; how many entries there are is asked after what they are compared with, which a log that grows has had by then.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Verify;
use super::checkpoints::{Checkpoints, Quorum};
use crate::cli::ledger::served::Signer;
use crate::cli::ledger::{Log, keys, read_note};
use crate::config::Config;
use crate::key::KeyCertificate;
use crate::ledger::audit::{
    CaKeys, Compared, Known, Lists, Options, Signatures, Source, UNKNOWN, Wrong, entries_of,
};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::VerifierKey;
use crate::ledger::tiles::Directory;
use crate::ledger::{LedgerError, Place, UnusableIndex};

/// A log, as far as it is known before it is read.
pub(super) struct Job {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) len: u64,
    pub(super) options: Options,
    /// Checkpoints whose signatures nobody could check.
    pub(super) unsigned: Vec<PathBuf>,
}

/// A log that is open.
struct Opened {
    name: String,
    source: Source,
    /// The log's name, if it is known.
    origin: Option<String>,
    /// The newest checkpoint of a signer, as that one sends it.
    newest: Option<Vec<u8>>,
    /// What is wrong with what a file says of itself.
    wrong: Option<Wrong>,
}

/// The hashes in the index beside a ledger, or why there are none.
struct Index {
    hashes: Option<Compared>,
    unusable: Option<UnusableIndex>,
}

impl Verify {
    pub(super) fn job(&self) -> anyhow::Result<Job> {
        let config = self.configuration()?;
        let Opened { name, source, origin, newest, wrong } = self.open(config.as_ref())?;
        let mut checkpoints = self.checkpoints(origin.as_deref())?;
        if let Some((address, note)) = self.server.as_ref().zip(newest.as_ref()) {
            checkpoints.add(Path::new(address), note)?;
        }
        let mut compare: Vec<Compared> = self.compare(&mut checkpoints)?.into_iter().collect();
        let Index { hashes, unusable } = Index::beside(&source);
        compare.extend(hashes);
        let len = match &source {
            Source::Log(reader) => entries_of(reader)?,
            // What the signer says that it has beyond counts for nothing; that it has less is found.
            Source::Served(log) if newest.is_some() => vouched(&checkpoints.read, &compare).min(log.size),
            Source::Served(log) => log.size,
            Source::Damaged(_) => UNKNOWN,
            Source::Export(_) => compare.first().map_or(0, |export| export.entries),
        };
        let options = Options {
            ca_keys: self.ca_keys(config.as_ref())?,
            lists: self.lists()?,
            signatures: if self.skip_signatures { Signatures::Skip } else { Signatures::Verify },
            origin,
            clock_tolerance: self.tolerance(config.as_ref()),
            checkpoints: checkpoints.read,
            compare,
            beside: wrong.into_iter().chain(unusable.map(Wrong::from)).collect(),
        };
        Ok(Job { name, source, len, options, unsigned: checkpoints.unsigned })
    }

    /// The configuration, if nothing else names the log.
    fn configuration(&self) -> anyhow::Result<Option<Config>> {
        let is_named = self.ledger.is_some() || self.export.is_some() || self.server.is_some();
        if is_named { Ok(None) } else { Ok(Some(self.log().config()?)) }
    }

    fn log(&self) -> Log {
        Log { ledger: self.ledger.clone(), config: self.config.clone() }
    }

    fn open(&self, config: Option<&Config>) -> anyhow::Result<Opened> {
        if let Some(address) = &self.server {
            return self.open_served(address);
        }
        if let Some(path) = &self.export {
            // It does not tell whose it is but by its key, which has the log's name.
            let origin = self.log_key.as_ref().map(name_of);
            let source = Source::Export(Directory::open(path)?);
            return Ok(Opened {
                name: path.display().to_string(),
                source,
                origin,
                newest: None,
                wrong: None,
            });
        }
        let configured = config.map(|config| Place::from(&config.ledger));
        let place = configured.or_else(|| self.ledger.as_deref().map(Place::from));
        let place = place.context("give --ledger FILE or --config FILE")?;
        let name = place.to_string();
        let (source, wrong) = self.log_at(place)?;
        let origin = match &source {
            Source::Log(reader) => Some(reader.origin().to_owned()),
            _ => self.log_key.as_ref().map(name_of),
        };
        Ok(Opened { name: origin.clone().unwrap_or(name), source, origin, newest: None, wrong })
    }

    /// What is at `place`. A name that no configuration says may be the key's, if the file has another for it is damaged.
    fn log_at(&self, place: Place) -> Result<(Source, Option<Wrong>), LedgerError> {
        let Some(key) = self.log_key.as_ref().filter(|_| self.ledger.is_some()) else {
            return Source::log(place);
        };
        match Source::log(place.clone().of_log(name_of(key))) {
            Err(LedgerError::OtherOrigin { .. }) => Source::log(place),
            opened => opened,
        }
    }

    /// What the signer serves, and its newest checkpoint, if there is a key that verifies it. What it calls the log counts only without.
    fn open_served(&self, address: &str) -> anyhow::Result<Opened> {
        let signer = Signer::connect(address, &self.identity)?;
        let newest = self.log_key.as_ref().map(|_| signer.checkpoint()).transpose()?;
        let log = signer.log()?;
        let name = self.log_key.as_ref().map_or_else(|| log.origin.clone(), name_of);
        Ok(Opened { origin: Some(name.clone()), name, source: Source::Served(log), newest, wrong: None })
    }

    /// Those that were named.
    fn checkpoints(&self, origin: Option<&str>) -> anyhow::Result<Checkpoints<'_>> {
        let log = self.log_key.as_ref().zip(origin).map(|(key, origin)| (key, origin.to_owned()));
        let witnesses = Quorum::new(&self.witnesses, self.quorum)?;
        let mut checkpoints = Checkpoints { log, witnesses, read: Vec::new(), unsigned: Vec::new() };
        for path in &self.checkpoints {
            checkpoints.add(path, &read_note(path)?)?;
        }
        Ok(checkpoints)
    }

    /// The export to compare with, and how many entries of it: of one that was not finished, what is published.
    fn compare(&self, checkpoints: &mut Checkpoints<'_>) -> anyhow::Result<Option<Compared>> {
        let Some(path) = self.export.as_ref().or(self.against.as_ref()) else { return Ok(None) };
        let directory = Directory::open(path)?;
        let entries = match directory.checkpoint()? {
            Some(bytes) => checkpoints.add(&path.join("checkpoint"), &bytes)?,
            None => directory.size()?,
        };
        if self.against.is_some() && entries == 0 {
            anyhow::bail!("export {} has no entries to compare with; export to it first", path.display());
        }
        Ok(Some(Compared { known: Known::Export(directory), entries }))
    }

    fn lists(&self) -> anyhow::Result<Lists> {
        let mut lists = Lists::default();
        for path in &self.lists {
            lists.add(path)?;
        }
        Ok(lists)
    }

    fn ca_keys(&self, config: Option<&Config>) -> anyhow::Result<CaKeys> {
        let mut ca_keys = CaKeys::default();
        for path in &self.keys {
            keys::read(path)?.into_iter().for_each(|key| ca_keys.add(key));
        }
        self.log_key.iter().filter_map(VerifierKey::public_key).for_each(|key| ca_keys.add(key));
        let certificates = config.map(|config| KeyCertificate::load_all(&config.keys)).unwrap_or_default();
        for certificate in certificates.values() {
            ca_keys.add(certificate.public_key().clone());
        }
        Ok(ca_keys)
    }
}

impl Index {
    fn beside(source: &Source) -> Self {
        let mut index = Self { hashes: None, unusable: None };
        let Source::Log(reader) = source else { return index };
        match reader.recorded_tiles() {
            Ok(None) => {}
            Ok(Some(tiles)) => {
                let entries = tiles.entries();
                index.hashes = Some(Compared { known: Known::Index(tiles), entries });
            }
            Err(unusable) => index.unusable = Some(unusable),
        }
        index
    }
}

/// The log that a key is of.
fn name_of(key: &VerifierKey) -> String {
    key.name().to_string()
}

/// How many entries something vouches for, if it is right.
fn vouched(checkpoints: &[Checkpoint], compare: &[Compared]) -> u64 {
    let sizes = checkpoints.iter().map(Checkpoint::size);
    sizes.chain(compare.iter().map(|compared| compared.entries)).max().unwrap_or(0)
}
