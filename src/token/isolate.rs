//! What a token process may do beside signing, before its vendor's code runs at all.
//!
//! In: the token's [`Limits`]. Out: a process without capabilities that can write nowhere but where the token's
//! configuration says, reaches no network unless that calls the token a network HSM, and signals nobody outside
//! (landlock(7)); and how much of this the kernel holds it to. Promised: it happens before the module is loaded, so that
//! the module's constructors and all its threads are held. Not done here: reading stays what the daemon's user may read.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use super::frame::text;

/// The kernel interface that holds all that is promised: 6, since Linux 6.12. TCP is held since 4, Linux 6.7.
const NEEDED: ABI = ABI::V6;
/// The newest that the network is held by where there is one: UDP, too.
const NEWEST: ABI = ABI::V10;
/// What every process may write, and what nobody can misuse.
const HARMLESS: &str = "/dev/null";

/// Whether a token process may use the network.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Network {
    /// No TCP, and no UDP where the kernel can hold that. Unix sockets with a path stay, for `pcscd` and its like.
    #[default]
    None,
    /// The token is a network HSM.
    Allowed,
}

/// What a token's configuration allows its process.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Limits {
    /// Files and directories that it may write, with all that is in them.
    pub writable: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: Network,
    /// Where the kernel cannot hold it to all of this.
    pub weaker: Weaker,
}

/// What becomes of a token process that the kernel cannot hold to all of its limits.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Weaker {
    /// It runs, held as far as the kernel can, and each start says loudly what is missing.
    #[default]
    Told,
    /// It ends before the module is loaded: `require_isolation`.
    Refused,
}

/// How far the kernel holds a token process to its [`Limits`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Held {
    /// All of it.
    Fully,
    /// Some of it; what is missing, in words.
    Partly(#[serde(deserialize_with = "text")] String),
    /// None of it; why, in words.
    Not(#[serde(deserialize_with = "text")] String),
}

/// Why a process cannot be held, and so must not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IsolateError {
    /// A configured path cannot be opened.
    #[error("writable: {} cannot be opened: {cause}; make it, or correct it", path.display())]
    Writable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The kernel has Landlock, and refused.
    #[error("the kernel does not confine the token process: {0}")]
    Landlock(#[from] RulesetError),
    /// It is held to less than all of its limits, and must not be.
    #[error(
        "the token process is not held as `require_isolation` wants it: {0}; start the signer on Linux 6.12 or newer, or take that line out"
    )]
    Weaker(String),
    /// Capabilities could not be given up.
    #[error("the token process cannot give up its capabilities: {0}")]
    Capabilities(io::Error),
}

/// Holds this thread, and every thread and process that it makes from now on, to `limits`. For good.
///
/// # Errors
/// [`IsolateError`]. A kernel without Landlock is none unless the limits say so: it is said in the answer.
pub(super) fn isolate(limits: &Limits) -> Result<Held, IsolateError> {
    let held = confine(limits)?;
    admit(&held, limits.weaker)?;
    rustix::thread::clear_ambient_capability_set()
        .map_err(|error| IsolateError::Capabilities(error.into()))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).map_err(|error| IsolateError::Capabilities(error.into()))?;
    Ok(held)
}

/// How far this kernel would hold a token process, which a thread finds out that is held and ends.
///
/// # Errors
/// [`IsolateError`]
pub(crate) fn probe() -> Result<Held, IsolateError> {
    let probe = std::thread::spawn(|| isolate(&Limits::default()));
    probe.join().unwrap_or_else(|_| Ok(Held::Not("it could not be found out".to_owned())))
}

fn admit(held: &Held, weaker: Weaker) -> Result<(), IsolateError> {
    match (held.missing(), weaker) {
        (None, _) | (Some(_), Weaker::Told) => Ok(()),
        (Some(missing), Weaker::Refused) => Err(IsolateError::Weaker(missing)),
    }
}

impl Held {
    /// What the kernel does not hold back, for people; nothing if it holds all.
    pub(crate) fn missing(&self) -> Option<String> {
        match self {
            Self::Fully => None,
            Self::Partly(missing) => Some(format!("this kernel cannot hold back {missing}")),
            Self::Not(why) => Some(format!(
                "{why}, so that a vendor's module may write, connect and signal as its user may"
            )),
        }
    }
}

fn confine(limits: &Limits) -> Result<Held, IsolateError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_write(NEEDED))?.scope(Scope::Signal)?;
    if limits.network == Network::None {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?.scope(Scope::AbstractUnixSocket)?;
    }
    let mut rules = rules.create()?;
    for path in limits.writable.iter().map(PathBuf::as_path).chain([Path::new(HARMLESS)]) {
        rules = allow_writing(rules, path)?;
    }
    Ok(held(&rules.restrict_self()?.landlock))
}

fn held(landlock: &LandlockStatus) -> Held {
    match landlock {
        LandlockStatus::Available { effective_abi, .. } if *effective_abi >= NEEDED => Held::Fully,
        LandlockStatus::Available { effective_abi, .. } if *effective_abi >= ABI::V4 => {
            Held::Partly("signals to other processes".to_owned())
        }
        LandlockStatus::Available { .. } => {
            Held::Partly("the network and signals to other processes".to_owned())
        }
        LandlockStatus::NotEnabled => Held::Not("Landlock is switched off in this kernel".to_owned()),
        LandlockStatus::NotImplemented => Held::Not("this kernel has no Landlock".to_owned()),
    }
}

/// All kinds of writing below a directory, or into a file.
fn allow_writing(rules: RulesetCreated, path: &Path) -> Result<RulesetCreated, IsolateError> {
    let unopened = |cause: String| IsolateError::Writable { path: path.to_owned(), cause };
    let is_dir = path.metadata().map_err(|error| unopened(error.to_string()))?.is_dir();
    let opened = PathFd::new(path).map_err(|error| unopened(error.to_string()))?;
    let writing = AccessFs::from_write(NEEDED);
    let access = if is_dir { writing } else { writing & AccessFs::from_file(NEEDED) };
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

#[cfg(test)]
mod tests;
