//! Where keys live: token processes, their sessions, and the queue in front of them.
//!
//! In: an [`Intent`]. Out: a [`RawSignature`], which nobody can use before it is verified. The daemon itself never
//! loads a PKCS#11 module, speaks to no YubiKey and never sees a PIN: one or more child processes per token do
//! (`token::process`). A child that dies or hangs is replaced, and its keys are compared with those pinned at start-up
//! before it signs anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Fault;
use crate::key::{self, InvalidName, KeyName, Keys, is_name};
use crate::ledger::Intent;

mod child;
mod device;
mod error;
mod frame;
pub(crate) mod gate;
mod gatekeeper;
mod input;
pub(crate) mod isolate;
pub(crate) mod latch;
mod link;
pub(crate) mod once;
pub(crate) mod pin;
pub(crate) mod piv;
pub(crate) mod pkcs11;
mod pool;
pub mod probation;
pub(crate) mod process;
mod queue;
mod route;
mod session;
pub(crate) mod software;
mod start;
mod stderr;
mod supervise;
pub mod suspicion;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
mod trouble;

pub use child::Launch;
pub use device::{Device, InvalidSlot, NoModule, Pkcs11, Slot, Touch, YubiKey};
pub use error::{TokenError, TokenErrorClass};
pub(crate) use frame::PinRefusal;
pub use isolate::{Limits, Network, Weaker};
pub(crate) use pin::Pin;
pub use pin::source::PinFile;
pub(crate) use pin::stage::Staged;
pub use start::Absent;

/// Variables by which modules find their own files: paths, whatever is told of the token.
pub(crate) const PATH_VARIABLES: [&str; 3] = ["SOFTHSM2_CONF", "TPM2_PKCS11_STORE", "KRYOPTIC_CONF"];

use pool::Request;
pub use route::Asking;
use route::Route;

/// A token's name in the configuration; the same form as a [`KeyName`]. Cheap to clone: each signature's entry names its token.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenName(Arc<str>);

/// What a token answered: `r || s`, 64 bytes of Ed25519, or the RSA block. Not yet verified.
#[derive(Debug)]
pub struct RawSignature(Vec<u8>);

/// Every token in service. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Running>);

/// What the clones of [`Tokens`] share.
struct Running {
    routes: BTreeMap<KeyName, Arc<Route>>,
    stop: watch::Sender<bool>,
    supervisors: Mutex<Vec<JoinHandle<()>>>,
}

/// Whether a token can sign now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// Its process runs and holds the pinned keys.
    Ready,
    /// The same, but a signature of it did not verify, and none with this key has since.
    Doubted,
    /// Its process runs, and refuses to sign a challenge with this key.
    Refusing,
    /// Its process ended and the first replacement is on its way: requests wait.
    Restarting,
    /// No replacement came up, or an operator must act: requests are refused.
    Down,
}

/// One `[token.NAME]` section of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: TokenName,
    /// What it is.
    pub device: Device,
    /// Where the user PIN is.
    pub pin_file: PinFile,
    /// How many processes: 1 to 8. Each has its part of the sessions, and what befalls one does not befall the others.
    pub processes: usize,
    /// How many sessions sign side by side, in all processes together: 1 to 64, and one for each process at least.
    pub sessions: usize,
    /// How many requests may wait: 1 to 65,536, an eighth of them interactive ones only. One more is answered RESOURCE_EXHAUSTED.
    pub queue: usize,
    /// How long one signature may take before the token process is taken for stuck, killed and replaced.
    pub deadline: Duration,
    /// After how long without a request each session looks whether the token is there.
    pub keepalive: Duration,
    /// What the token process may do beside signing.
    pub limits: Limits,
    /// The environment of the token process; nothing else of the daemon's is passed on.
    pub environment: BTreeMap<String, String>,
}

impl Tokens {
    /// Starts the processes of each token, one after the other, and pins the public keys that they find. What must outlive the
    /// daemon, which is that a PIN was refused, is noted in the directory `state`.
    ///
    /// # Errors
    /// Every fault of every token and key at once.
    pub async fn start(
        tokens: &[Config],
        keys: &[key::Config],
        state: &Path,
        absent: Absent,
    ) -> Result<(Self, Keys), Vec<Fault>> {
        let launch = Launch::current_exe().map_err(|fault| vec![fault])?;
        Self::start_with(launch, tokens, keys, state, absent).await
    }

    /// As [`Self::start`], with token processes that `launch` describes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        launch: Launch,
        tokens: &[Config],
        keys: &[key::Config],
        state: &Path,
        absent: Absent,
    ) -> Result<(Self, Keys), Vec<Fault>> {
        start::start(launch, tokens, keys, state, absent).await
    }

    /// The tokens that can sign an intent's message, to be asked one after the other.
    ///
    /// # Errors
    /// [`TokenError::NotInService`] if no token holds its key.
    pub fn holding<'a>(&'a self, intent: &'a Intent) -> Result<Asking<'a>, TokenError> {
        Ok(self.route(&intent.key().name)?.ask(request(intent)))
    }

    /// One of these tokens, and no other.
    ///
    /// # Errors
    /// [`TokenError::NotInService`] if this token does not hold the key.
    pub fn only<'a>(&'a self, token: &TokenName, intent: &'a Intent) -> Result<Asking<'a>, TokenError> {
        self.route(&intent.key().name)?.ask_only(token, request(intent))
    }

    /// The tokens that hold `key` and are not out of service.
    #[must_use]
    pub fn present(&self, key: &KeyName) -> Vec<TokenName> {
        let members = self.0.routes.get(key).map(|route| route.members()).into_iter().flatten();
        let present = members.filter(|member| member.pool.health() != Health::Down);
        present.map(|member| member.pool.config.name.clone()).collect()
    }

    fn route(&self, key: &KeyName) -> Result<&Arc<Route>, TokenError> {
        self.0.routes.get(key).ok_or_else(|| TokenError::NotInService { key: key.clone() })
    }

    /// Whether a token of `key` can sign now; `None` if no token holds a key of this name.
    #[must_use]
    pub fn health(&self, key: &KeyName) -> Option<Health> {
        self.0.routes.get(key).map(|route| *route.health().borrow())
    }

    /// The same, as it changes; for readiness that follows the tokens and does not ask them.
    #[must_use]
    pub fn watch_health(&self, key: &KeyName) -> Option<watch::Receiver<Health>> {
        self.0.routes.get(key).map(|route| route.health().subscribe())
    }

    /// Finishes what the tokens have in hand, refuses the rest, and ends the token processes within a few seconds.
    pub async fn shutdown(self) {
        self.0.stop.send_replace(true);
        let supervisors =
            std::mem::take(&mut *self.0.supervisors.lock().unwrap_or_else(PoisonError::into_inner));
        for supervisor in supervisors {
            // A supervisor that panicked has dropped its process, which kills it.
            let _ = supervisor.await;
        }
    }
}

impl Config {
    /// How many of the sessions are those of the process at `place`.
    fn sessions_of(&self, place: usize) -> usize {
        let processes = self.processes.max(1);
        self.sessions / processes + usize::from(place < self.sessions % processes)
    }
}

/// What an intent says, in the words of this stage.
fn request(intent: &Intent) -> Request<'_> {
    Request {
        key: &intent.key().name,
        scheme: intent.key().scheme,
        message: intent.message(),
        deadline: intent.deadline(),
        priority: intent.priority(),
    }
}

impl Health {
    /// The better, the lower.
    fn rank(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Doubted => 1,
            Self::Refusing => 2,
            Self::Restarting => 3,
            Self::Down => 4,
        }
    }
}

impl RawSignature {
    #[cfg(test)]
    pub(crate) fn for_test(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// What a token answered before, as the ledger has it.
    pub(crate) fn recorded(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The token's bytes, unverified.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TokenName {
    /// # Errors
    /// [`InvalidName`] if `name` has another form than a key's name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if is_name(&name) { Ok(Self(name.into())) } else { Err(InvalidName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for TokenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
