//! Starts every token, one after the other, and pins what their keys are.
//!
//! In: the configuration. Out: [`Tokens`] and [`Keys`], or every fault of every token at once; then no process is left
//! running. Two children that start on one SoftHSM at the same moment can fail each other, hence the order (design §8).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::child::{Launch, Spawner, StartError, TokenProcess};
use super::frame::{Setup, StartFault, Started, WantedKey};
use super::isolate::Held;
use super::latch::{Latch, PinMark};
use super::pin::InMemory;
use super::pool::Pool;
use super::supervise::Supervisor;
use super::{Config, Route, Running, Tokens};
use crate::config::Fault;
use crate::key::{self, Key, Keys, PublicKey};

/// A token whose process runs, before its keys are accepted.
struct Candidate {
    config: Config,
    keys: Vec<key::Config>,
    setup: Setup,
    latch: Latch,
    process: TokenProcess,
}

pub(super) async fn start(
    launch: Launch,
    tokens: &[Config],
    keys: &[key::Config],
    state: &Path,
) -> Result<(Tokens, Keys), Vec<Fault>> {
    let spawner = Spawner::new().map_err(|error| vec![Fault::new("token", error.to_string())])?;
    let mut faults = homeless(tokens, keys);
    let mut candidates = Vec::new();
    for config in tokens {
        match start_one(&spawner, &launch, config, keys, state).await {
            Ok(candidate) => candidates.push(candidate),
            Err(found) => faults.extend(found),
        }
    }
    let (found, key_faults) = pin(&candidates);
    faults.extend(key_faults);
    if !faults.is_empty() {
        for candidate in candidates {
            candidate.process.finish().await;
        }
        return Err(faults);
    }
    Ok((run(&launch, &spawner, candidates), found))
}

async fn start_one(
    spawner: &Spawner,
    launch: &Launch,
    config: &Config,
    keys: &[key::Config],
    state: &Path,
) -> Result<Candidate, Vec<Fault>> {
    let keys: Vec<_> = keys.iter().filter(|key| key.token == config.name).cloned().collect();
    let at = format!("token.{}", config.name);
    let latch = Latch::new(state, &config.name);
    let refused = latch.mark().map_err(|error| vec![Fault::new(&at, unreadable(&latch, &error))])?;
    let setup = setup(config, &keys, refused);
    match TokenProcess::start(spawner, launch, config, &setup).await {
        Ok(process) => {
            report(config, process.started());
            released(&latch);
            Ok(Candidate { config: config.clone(), keys, setup, latch, process })
        }
        Err(StartError::PinRefused(refusal)) => {
            latch.set(&refusal);
            Err(vec![Fault::new(format!("{at}.pin_file"), refusal.message)])
        }
        Err(StartError::Process(message)) => Err(vec![Fault::new(at, message)]),
        Err(StartError::Faults(faults)) => {
            let place = |index: usize| keys.get(index).map(|key| format!("key.{}", key.name));
            let locate = |found: StartFault| {
                Fault::new(found.key.and_then(place).unwrap_or_else(|| at.clone()), found.message)
            };
            Err(faults.into_iter().map(locate).collect())
        }
    }
}

fn setup(config: &Config, keys: &[key::Config], refused: Option<PinMark>) -> Setup {
    let wanted = |key: &key::Config| WantedKey {
        label: key.label.clone(),
        id: key.id.clone(),
        scheme: key.scheme.name().to_owned(),
    };
    Setup {
        module: config.module.clone(),
        label: config.label.clone(),
        serial: config.serial.clone(),
        pin_file: config.pin_file.clone(),
        refused,
        sessions: config.sessions,
        limits: config.limits.clone(),
        keys: keys.iter().map(wanted).collect(),
    }
}

/// Why no PIN may be tried while the latch's file cannot be read.
pub(super) fn unreadable(latch: &Latch, error: &std::io::Error) -> String {
    format!(
        "{}, which says what PIN not to try, cannot be read ({error}); make it readable, or run `countersign token unlatch`",
        latch.path().display()
    )
}

/// The PIN was right: nothing is to be remembered of one that was not.
pub(super) fn released(latch: &Latch) {
    if let Err(error) = latch.clear() {
        tracing::warn!(path = %latch.path().display(), %error, "a note about a refused PIN cannot be removed");
    }
}

fn report(config: &Config, started: &Started) {
    let token = &started.token;
    tracing::info!(
        token = %config.name, serial = token.serial, model = token.model, firmware = token.firmware,
        sessions = started.sessions, "the token is ready"
    );
    match &started.held {
        Held::Fully => {}
        Held::Partly(missing) => tracing::warn!(
            token = %config.name,
            "THE TOKEN PROCESS IS HELD ONLY PARTLY: this kernel cannot hold back {missing}; Linux 6.12 can"
        ),
        Held::Not(why) => tracing::error!(
            token = %config.name,
            "THE TOKEN PROCESS IS NOT HELD: {why}; the vendor's module may write, connect and signal as its user may"
        ),
    }
    if started.pin == InMemory::Swappable {
        tracing::warn!(
            token = %config.name,
            "the PIN can reach the swap: raise the limit of locked memory (`LimitMEMLOCK=`, `ulimit -l`)"
        );
    }
    if started.sessions < config.sessions {
        tracing::warn!(
            token = %config.name, configured = config.sessions, sessions = started.sessions,
            "the token allows fewer sessions than configured; lower `sessions` to that number"
        );
    }
}

/// Keys whose token is not configured.
fn homeless(tokens: &[Config], keys: &[key::Config]) -> Vec<Fault> {
    let is_homeless = |key: &&key::Config| tokens.iter().all(|token| token.name != key.token);
    let describe = |key: &key::Config| {
        Fault::new(
            format!("key.{}.token", key.name),
            format!("there is no [token.{}]; add it, or name another", key.token),
        )
    };
    keys.iter().filter(is_homeless).map(describe).collect()
}

/// Decodes and checks every public key: scheme, fingerprint, and that no two names are one key.
fn pin(candidates: &[Candidate]) -> (Keys, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut found: Vec<Key> = Vec::new();
    for (config, wire) in
        candidates.iter().flat_map(|token| token.keys.iter().zip(&token.process.started().keys))
    {
        match accept(config, wire, &found) {
            Ok(key) => found.push(key),
            Err(message) => faults.push(Fault::new(format!("key.{}", config.name), message)),
        }
    }
    (found.into_iter().collect(), faults)
}

fn accept(config: &key::Config, wire: &[u8], others: &[Key]) -> Result<Key, String> {
    let public_key =
        PublicKey::from_ssh_wire(wire).map_err(|error| format!("the token's public key: {error}"))?;
    if !config.scheme.fits(&public_key) {
        return Err(format!("scheme {} does not fit the key on the token", config.scheme));
    }
    let fingerprint = public_key.ssh_fingerprint();
    if let Some(expected) = config.fingerprint.as_ref().filter(|expected| **expected != fingerprint) {
        return Err(format!(
            "the token holds {fingerprint} where the configuration expects {expected}; find out which is right"
        ));
    }
    if let Some(other) = others.iter().find(|other| other.public_key == public_key) {
        return Err(format!(
            "this is the same key as key.{}; one key has one name and one purpose, so remove one of the two",
            other.name
        ));
    }
    Key::new(config.name.clone(), config.purpose, config.scheme, public_key)
        .map_err(|unfit| unfit.to_string())
}

/// Puts accepted tokens into service.
fn run(launch: &Launch, spawner: &Spawner, candidates: Vec<Candidate>) -> Tokens {
    let (stop, stopped) = watch::channel(false);
    let mut routes = BTreeMap::new();
    let mut supervisors = Vec::new();
    for Candidate { config, keys, setup, latch, process } in candidates {
        let pool = Arc::new(Pool::new(config));
        for (index, key) in (0..).zip(keys) {
            routes.insert(key.name, Route { pool: pool.clone(), index });
        }
        let (launch, spawner, stop) = (launch.clone(), spawner.clone(), stopped.clone());
        let pinned = process.started().keys.clone();
        let supervisor = Supervisor { pool, launch, spawner, setup, latch, pinned, stop };
        supervisors.push(tokio::spawn(supervisor.run(process)));
    }
    Tokens(Arc::new(Running { routes, stop, supervisors: supervisors.into() }))
}
