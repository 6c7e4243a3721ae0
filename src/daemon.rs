//! The composition root: puts the stages together, runs them, and takes them down in order.
//!
//! In: a checked [`Config`]. Out: a running service, or every [`Fault`] that kept it from starting, at once. Promised:
//! nothing listens before every key was found, pinned and has signed a challenge that verified, and before the ledger was
//! compared with the newest checkpoint of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::causes::in_one_line;
use crate::config::{Config, Fault};
use crate::key::{Key, Keys, UnixTime};
use crate::ledger::checkpoints::Checkpoints;
use crate::ledger::{Ledger, LedgerError};
use crate::rotation::Rotations;
use crate::server::{self, Listener};
use crate::sign::{Failure, Signer};
use crate::token::{Absent, Tokens};

use attest::Attest;
use bundles::Files;
use checkpoints::Checkpointer;
use rotations::Keeper;
use witnesses::Witnesses;

mod attest;
pub mod bundles;
mod checkpoints;
pub(crate) mod lists;
mod records;
mod rotations;
mod wardens;
mod witnesses;

/// How long the ledger is left alone between two tries.
const LEDGER_RETRY: Duration = Duration::from_secs(1);

/// How long nothing is recorded before the ledger is asked whether it would be.
const LEDGER_IDLE: Duration = Duration::from_secs(2);

/// How long the ledger has to take what is left and to close, and its index to be written with what remains of it. A disk that hangs never
/// answers, and a daemon that was told to stop ends all the same (field-notes R31).
const LEDGER_CLOSES: Duration = Duration::from_secs(10);

/// A signer that has passed its start-up checks and holds its listening addresses.
pub struct Daemon {
    signer: Signer,
    listener: Listener,
    /// Every key, the log's own too, for what the daemon has signed by itself.
    all_keys: Keys,
    checkpointer: Option<Checkpointer>,
    witnesses: Option<Witnesses>,
    keeper: Keeper,
}

/// By which ways callers come in.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Doors {
    /// TLS, and the Unix socket if there is one.
    All,
    /// The Unix socket.
    Local,
}

impl Doors {
    fn bind(self, config: &server::Config) -> Result<Listener, Vec<Fault>> {
        match self {
            Self::All => Listener::bind(config),
            Self::Local => Listener::bind_local(config),
        }
    }
}

impl Daemon {
    /// Starts every stage and tests every key.
    ///
    /// # Errors
    /// Every fault that was found, by every stage; whatever had started is stopped again.
    pub async fn start(config: &Config) -> Result<Self, Vec<Fault>> {
        Self::start_behind(config, Doors::All).await
    }

    /// The same behind the Unix socket alone, without the files of TLS: they are what it is started to sign.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_local(config: &Config) -> Result<Self, Vec<Fault>> {
        Self::start_behind(config, Doors::Local).await
    }

    async fn start_behind(config: &Config, doors: Doors) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        // The ledger first: its lock tells a second daemon apart before that touches the first one's socket.
        let ledger =
            keep(Ledger::open(&config.ledger).map_err(|error| vec![ledger_fault(&error)]), &mut faults);
        let listener = ledger.as_ref().and_then(|_| keep(doors.bind(&config.server), &mut faults));
        if ledger.is_none() && doors == Doors::All {
            keep(server::check(&config.server), &mut faults);
        }
        // Nothing could be signed without the ledger, and a login may cost a try of the token's PIN.
        let started = match &ledger {
            Some(_) => keep(
                Tokens::start(&config.tokens, &config.keys, config.state(), Absent::Tolerated).await,
                &mut faults,
            ),
            None => None,
        };
        let (listener, ledger, (tokens, keys)) = match (listener, ledger, started) {
            (Some(listener), Some(ledger), Some(started)) => (listener, ledger, started),
            (_, ledger, started) => {
                stop(started.map(|(tokens, _)| tokens), ledger).await;
                return Err(faults);
            }
        };
        let keys = match keys.certified(&config.keys, UnixTime::now()) {
            Ok(keys) => keys,
            Err(faults) => {
                stop(Some(tokens), Some(ledger)).await;
                return Err(faults);
            }
        };
        let (rotations, keys) = Rotations::new(ledger.clone(), keys, &config.keys);
        let mut signer = Signer { keys, policy: config.policy.clone(), ledger, tokens, rotations };
        match Self::proven(config, &signer).await {
            Ok((checkpointer, witnesses)) => {
                let all_keys = std::mem::take(&mut signer.keys);
                signer.keys = all_keys.for_callers();
                let rotations = &signer.rotations;
                let mut files = config.bundles.clone().map(|config| Files::new(config, rotations.clone()));
                if let Some(files) = &mut files {
                    files.write();
                }
                let keeper = Keeper::new(rotations.clone(), files);
                Ok(Self { signer, listener, all_keys, checkpointer, witnesses, keeper })
            }
            Err(faults) => {
                stop(Some(signer.tokens), Some(signer.ledger)).await;
                Err(faults)
            }
        }
    }

    /// Compares the log with what was signed of it, and with what its witnesses show, before anything is appended; tests every key,
    /// signs the first checkpoint, and has its witnesses asked; these two may fail.
    async fn proven(
        config: &Config,
        signer: &Signer,
    ) -> Result<(Option<Checkpointer>, Option<Witnesses>), Vec<Fault>> {
        let checkpoints = open_checkpoints(config, signer).await.map_err(|fault| vec![fault])?;
        let checkpoints = checkpoints.zip(config.ledger.checkpoints.as_ref());
        let mut witnesses = match &checkpoints {
            Some((checkpoints, config)) => Witnesses::new(checkpoints, config)?,
            None => None,
        };
        if let Some(witnesses) = &witnesses {
            witnesses.hear().await.map_err(|error| vec![ledger_fault(&error)])?;
        }
        let faults = self_test(signer).await;
        if !faults.is_empty() {
            return Err(faults);
        }
        records::record_waiting(&signer.ledger, &signer.keys, &config.records())
            .await
            .map_err(|fault| vec![fault])?;
        warn_of_lists(config, &signer.keys).await;
        let Some((checkpoints, config)) = checkpoints else { return Ok((None, None)) };
        let mut checkpointer = Checkpointer::new(checkpoints, signer.tokens.clone(), config);
        checkpointer.sign().await;
        if let Some(witnesses) = &mut witnesses {
            witnesses.ask().await;
        }
        Ok((Some(checkpointer), witnesses))
    }

    /// What reads the TLS files again while the daemon runs, if it has any.
    #[must_use]
    pub fn tls_files(&self) -> Option<server::Reload> {
        self.listener.reload()
    }

    /// Serves until `stopped` resolves, then finishes what is in flight, and signs a last checkpoint; the ledger is last to close.
    ///
    /// # Errors
    /// [`server::ServeError`] if listening broke, or the ledger does not close.
    pub async fn run(self, stopped: impl Future<Output = ()> + Send) -> Result<(), server::ServeError> {
        let Signer { tokens, ledger, .. } = self.signer.clone();
        let (stop, stopping) = watch::channel(false);
        let mut wardens = JoinSet::new();
        let own = Signer { keys: self.all_keys.clone(), ..self.signer.clone() };
        for probation in tokens.probations() {
            wardens.spawn(wardens::readmit(own.clone(), probation, Stop(stopping.clone())));
        }
        for suspicion in tokens.suspicions() {
            wardens.spawn(wardens::challenge(own.clone(), suspicion, Stop(stopping.clone())));
        }
        let mut attest = Attest::start(self.checkpointer, self.witnesses, &stopping);
        wardens.spawn(self.keeper.run(Stop(stopping.clone())));
        wardens.spawn(probe_ledger(ledger.clone(), Stop(stopping.clone())));
        wardens.spawn(retry_ledger(self.signer.clone(), Stop(stopping)));
        let served = self.listener.serve(self.signer, self.all_keys, stopped).await;
        stop.send_replace(true);
        attest.last_words().await;
        // Before the wardens, whose self-tests wait for the tokens; they are not cut off, for each must have its outcome.
        tokens.shutdown().await;
        let closed = async {
            attest.ended().await;
            wardens.join_all().await;
            ledger.close_log().await
        };
        let until = Instant::now() + LEDGER_CLOSES;
        let Ok(closed) = timeout_at(until, closed).await else {
            if let Err(error) = served {
                tracing::error!("{error}");
            }
            return Err(server::ServeError::LedgerOpen { within: LEDGER_CLOSES });
        };
        if timeout_at(until, closed.index()).await.is_err() {
            tracing::info!(
                "the ledger is closed, and its index is not written yet; the next start reads the log"
            );
        }
        served
    }
}

/// Finds every key that `config` names and checks what else [`Daemon::start`] checks. Nothing is signed, recorded or
/// listened on, and no address is tried, so that it may run beside a daemon with the same configuration.
///
/// # Errors
/// Every fault that was found.
pub async fn check(config: &Config) -> Result<Keys, Vec<Fault>> {
    let mut faults = Vec::new();
    let ledger = keep(Ledger::check(&config.ledger).map_err(|error| vec![ledger_fault(&error)]), &mut faults);
    keep(server::check(&config.server), &mut faults);
    if let Some(checkpoints) = &config.ledger.checkpoints {
        keep(witnesses::check(checkpoints), &mut faults);
    }
    if ledger.is_none() {
        // As at a start.
        return Err(faults);
    }
    let started =
        keep(Tokens::start(&config.tokens, &config.keys, config.state(), Absent::Fault).await, &mut faults);
    let Some((tokens, keys)) = started else { return Err(faults) };
    tokens.shutdown().await;
    let log_key = config.ledger.checkpoints.as_ref().and_then(|of| Some((of, keys.get(&of.key)?)));
    if let Some((of, key)) = log_key {
        let checked = Checkpoints::check(&config.ledger, of, key);
        keep(checked.map_err(|error| vec![ledger_fault(&error)]), &mut faults);
    }
    match keep(keys.certified(&config.keys, UnixTime::now()), &mut faults) {
        Some(keys) if faults.is_empty() => Ok(keys),
        _ => Err(faults),
    }
}

/// Compares the log with what was signed of it, if checkpoints are to be.
async fn open_checkpoints(config: &Config, signer: &Signer) -> Result<Option<Checkpoints>, Fault> {
    let Some(config) = config.ledger.checkpoints.clone() else { return Ok(None) };
    let key = signer.keys.get(&config.key).cloned();
    let key = key.ok_or_else(|| Fault::new("ledger.checkpoint_key", "no token holds this key"))?;
    let ledger = signer.ledger.clone();
    let opened = tokio::task::spawn_blocking(move || Checkpoints::open(&ledger, &config, &key)).await;
    match opened {
        Ok(opened) => opened.map(Some).map_err(|error| ledger_fault(&error)),
        Err(error) => Err(Fault::new("ledger.checkpoint_file", format!("cannot be compared: {error}"))),
    }
}

/// Says which lists are about to have too many entries. What cannot be read is for whoever asks for a list.
async fn warn_of_lists(config: &Config, keys: &Keys) {
    let (ledger, limits) = (config.ledger.clone(), lists::limits(config, keys));
    let tight = tokio::task::spawn_blocking(move || lists::tight(&ledger, limits)).await;
    for fault in tight.unwrap_or(Ok(Vec::new())).unwrap_or_default() {
        tracing::warn!("{fault}");
    }
}

/// Has every key sign a challenge, on every token that is there, recorded like any other use of it.
async fn self_test(signer: &Signer) -> Vec<Fault> {
    let mut faults = Vec::new();
    for key in signer.keys.iter() {
        for token in signer.tokens.present(&key.name) {
            if let Err(failure) = signer.self_test(key, &token).await {
                let mut fault = Fault::caused(format!("key.{}", key.name), &failure);
                fault.cause = format!("the self-test on token {token} failed: {}", fault.cause);
                fault.passes = matches!(&failure, Failure::Ledger(error) if error.passes());
                faults.push(fault);
            }
        }
    }
    faults
}

/// That the daemon is to stop, for its wardens.
struct Stop(watch::Receiver<bool>);

impl Stop {
    /// What `future` comes to, or `None` if the daemon is to stop before.
    async fn or<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            _ = self.0.wait_for(|stop| *stop) => None,
            done = future => Some(done),
        }
    }
}

/// While the ledger takes nothing, has it try a self-test: callers who stay away from a signer that is not well would never let it
/// find out that it is again.
async fn retry_ledger(signer: Signer, mut stop: Stop) {
    let mut writable = signer.ledger.watch_writable();
    loop {
        let unwritable = async {
            // The sender is in `signer`, so there is no error.
            let _ = writable.wait_for(|writable| !*writable).await;
            tokio::time::sleep(LEDGER_RETRY).await;
        };
        if stop.or(unwritable).await.is_none() {
            return;
        }
        let present = |key: &Arc<Key>| Some((Arc::clone(key), signer.tokens.present(&key.name).pop()?));
        let Some((key, token)) = signer.keys.iter().find_map(present) else { continue };
        if signer.ledger.is_writable() {
            continue;
        }
        match stop.or(signer.ledger.probe()).await {
            None => return,
            Some(Err(_)) => continue,
            Some(Ok(())) => {}
        }
        if let Err(failure) = signer.self_test(&key, &token).await {
            tracing::debug!(%token, failure = in_one_line(&failure), "the self-test that tries the ledger failed");
        }
    }
}

/// While nothing is recorded, asks the ledger now and then whether it would be.
async fn probe_ledger(ledger: Ledger, mut stop: Stop) {
    let size = ledger.watch_size();
    let mut before = *size.borrow();
    while stop.or(tokio::time::sleep(LEDGER_IDLE)).await.is_some() {
        let now = *size.borrow();
        if now == before && ledger.is_writable() && stop.or(ledger.probe()).await.is_none() {
            return;
        }
        before = now;
    }
}

/// Tokens first: what they still sign is still recorded.
async fn stop(tokens: Option<Tokens>, ledger: Option<Ledger>) {
    if let Some(tokens) = tokens {
        tokens.shutdown().await;
    }
    if let Some(ledger) = ledger {
        ledger.close().await;
    }
}

fn keep<T>(result: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|found| faults.extend(found)).ok()
}

/// With its causes: what SQLite or the system said is what an operator needs.
fn ledger_fault(error: &LedgerError) -> Fault {
    Fault { passes: error.passes(), ..Fault::caused("ledger.path", error) }
}
