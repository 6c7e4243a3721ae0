//! Starts every token, one after the other, and pins what their keys are.
//!
//! In: the configuration. Out: [`Tokens`] and [`Keys`], or every fault of every token at once; then no process is left
//! running. A key that several tokens hold must be the same on all of them. Two children that start on one SoftHSM at
//! the same moment can fail each other, hence the order (design §8).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::child::{Launch, Spawner, Start, StartError, TokenProcess, warn_of_end};
use super::frame::{At, Setup, StartFault, Started, WantedKey};
use super::gatekeeper::Gatekeeper;
use super::isolate::Held;
use super::latch::Latch;
use super::pin::InMemory;
use super::pool::Pool;
use super::route::{Member, Route};
use super::supervise::Supervisor;
use super::supervise::limit::{self, START};
use super::{Config, PATH_VARIABLES, Running, TokenError, TokenName, Tokens};
use crate::config::Fault;
use crate::key::{self, Key, KeyName, Keys, PublicKey};

/// What becomes of a token that does not start, where other tokens hold all of its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absent {
    /// It is a fault.
    Fault,
    /// It is logged, and tried again while the others serve.
    Tolerated,
}

/// A token that was tried, before its keys are accepted.
struct Candidate {
    config: Config,
    keys: Vec<key::Config>,
    setup: Setup,
    keeper: Arc<Gatekeeper>,
    /// Its processes, or why there are none.
    processes: Result<Vec<TokenProcess>, Vec<Fault>>,
}

pub(super) async fn start(
    launch: Launch,
    tokens: &[Config],
    keys: &[key::Config],
    state: &Path,
    absent: Absent,
) -> Result<(Tokens, Keys), Vec<Fault>> {
    let spawner = Spawner::new().map_err(|error| vec![Fault::new("token", error.to_string())])?;
    let mut faults = homeless(tokens, keys);
    let mut candidates = Vec::new();
    for config in tokens {
        candidates.push(start_one(&spawner, &launch, config, keys, state).await);
    }
    let (found, key_faults) = pin(&candidates);
    faults.extend(key_faults);
    for candidate in &candidates {
        faults.extend(candidate.faults(absent, &found));
    }
    if faults.is_empty() {
        return Ok((run(&launch, &spawner, candidates, &found), found));
    }
    for Candidate { config, processes, .. } in candidates {
        finish(&config.name, processes.unwrap_or_default()).await;
    }
    Err(faults)
}

async fn start_one(
    spawner: &Spawner,
    launch: &Launch,
    config: &Config,
    keys: &[key::Config],
    state: &Path,
) -> Candidate {
    let holds = |key: &&key::Config| key.tokens().any(|token| *token == config.name);
    let keys: Vec<_> = keys.iter().filter(holds).cloned().collect();
    let at = format!("token.{}", config.name);
    let latch = Latch::new(state, &config.name);
    let setup = setup(config, &keys);
    let unread = latch.past().err().map(|error| Fault::new(&at, unreadable(&latch, &error)));
    let keeper = Arc::new(Gatekeeper::new(config.name.clone(), latch, config.deadline));
    let processes = match unread {
        Some(fault) => Err(vec![fault]),
        None => start_processes(spawner, launch, config, &setup, &keeper)
            .await
            .map_err(|error| explain(error, config, &keys, keeper.latch())),
    };
    if processes.is_ok() {
        keys.iter().for_each(accepted);
    }
    Candidate { config: config.clone(), keys, setup, keeper, processes }
}

/// All of a token's processes, or none.
async fn start_processes(
    spawner: &Spawner,
    launch: &Launch,
    config: &Config,
    setup: &Setup,
    keeper: &Arc<Gatekeeper>,
) -> Result<Vec<TokenProcess>, StartError> {
    let mut processes: Vec<TokenProcess> = Vec::new();
    for place in 0..config.processes {
        let setup = Setup { sessions: config.sessions_of(place), ..setup.clone() };
        let with = Start { spawner, launch, config, setup: &setup, keeper, limit: START };
        let started = TokenProcess::start(with).await.and_then(|process| {
            let is_same = |first: &TokenProcess| first.started().keys == process.started().keys;
            if processes.first().is_none_or(is_same) { Ok(process) } else { Err(other_keys()) }
        });
        match started {
            Ok(process) => {
                report(config, setup.sessions, process.started());
                processes.push(process);
            }
            Err(error) => {
                finish(&config.name, processes).await;
                return Err(error);
            }
        }
    }
    Ok(processes)
}

fn other_keys() -> StartError {
    StartError::Process("two of its processes found different keys: is the token being changed?".to_owned())
}

async fn finish(token: &TokenName, processes: Vec<TokenProcess>) {
    for process in processes {
        // One that cannot be killed is not waited for.
        if let Ok(Some(status)) = process.finish().await {
            warn_of_end(token, status);
        }
    }
}

fn explain(error: StartError, config: &Config, keys: &[key::Config], latch: &Latch) -> Vec<Fault> {
    let at = format!("token.{}", config.name);
    match error {
        StartError::PinRefused(refusal) => {
            latch.set(&refusal);
            vec![Fault::new(format!("{at}.{}", config.pin_file.option()), refusal.message)]
        }
        StartError::Process(message) => vec![Fault::new(&at, message)],
        StartError::Undead(undead) => vec![Fault::new(&at, undead.message())],
        StartError::Faults(faults) => {
            let place = |place: At| match place {
                At::Token => at.clone(),
                At::PinFile => format!("{at}.{}", config.pin_file.option()),
                At::Key(index) => keys.get(index).map_or(at.clone(), |key| format!("key.{}", key.name)),
            };
            let locate = |found: StartFault| Fault::new(place(found.at), found.message);
            let lost = faults.iter().any(|found| found.at == At::Token).then(|| lost(config)).flatten();
            faults.into_iter().map(locate).chain(lost).collect()
        }
    }
}

/// A file that the module was told to read and that is not there, which modules answer with a code that names none.
fn lost(config: &Config) -> Option<Fault> {
    let mut named = PATH_VARIABLES.iter().filter_map(|name| Some((name, config.environment.get(*name)?)));
    let (name, path) = named.find(|(_, path)| !Path::new(path).exists())?;
    let at = format!("token.{}.environment.{name}", config.name);
    Some(Fault::new(at, format!("{name}={path}: no such file; correct the path")))
}

impl Candidate {
    /// Why it did not start; nothing if it may be absent.
    fn faults(&self, absent: Absent, found: &Keys) -> Vec<Fault> {
        let Err(faults) = &self.processes else { return Vec::new() };
        let others_hold_all =
            !self.keys.is_empty() && self.keys.iter().all(|key| found.get(&key.name).is_some());
        if absent == Absent::Fault || !others_hold_all {
            return faults.clone();
        }
        for fault in faults {
            tracing::error!(token = %self.config.name, %fault, "THE TOKEN IS ABSENT; others hold its keys, and it is tried again");
        }
        Vec::new()
    }
}

pub(super) fn setup(config: &Config, keys: &[key::Config]) -> Setup {
    let wanted = |key: &key::Config| WantedKey {
        name: key.name.as_str().to_owned(),
        label: key.label.clone(),
        id: key.id.clone(),
        slot: key.slot,
        accept: key.accept.clone(),
        scheme: key.scheme.name().to_owned(),
    };
    Setup {
        device: config.device.clone(),
        pin_file: config.pin_file.clone(),
        sessions: config.sessions,
        limits: config.limits.clone(),
        keys: keys.iter().map(wanted).collect(),
    }
}

/// Why no PIN may be tried while the latch's file cannot be read.
pub(super) fn unreadable(latch: &Latch, error: &std::io::Error) -> String {
    format!(
        "{}, which says what PIN not to try, cannot be read ({error}); make it readable, or run `countersign token unlatch {}`",
        latch.path().display(),
        latch.path().file_stem().unwrap_or_default().display()
    )
}

fn report(config: &Config, sessions: usize, started: &Started) {
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
    warn_of_few_sessions(config, sessions, started);
}

/// Says that a process has fewer sessions than its part of those configured, which is `sessions`.
pub(super) fn warn_of_few_sessions(config: &Config, sessions: usize, started: &Started) {
    if started.sessions < sessions {
        tracing::warn!(
            token = %config.name, configured = sessions, sessions = started.sessions,
            "the token allows fewer sessions than configured; lower `sessions` to that number"
        );
    }
}

/// Says what is put up with.
fn accepted(key: &key::Config) {
    if !key.accept.is_empty() {
        let flaws: Vec<_> = key.accept.iter().map(|flaw| flaw.name()).collect();
        tracing::warn!(
            key = %key.name, accept = flaws.join(", "),
            "THE KEY NEED NOT BE WHAT A CA KEY SHOULD BE: `accept` in its section lets it be so; replace it when you can"
        );
    }
}

/// Keys of which a token is not configured.
fn homeless(tokens: &[Config], keys: &[key::Config]) -> Vec<Fault> {
    let pairs = keys.iter().flat_map(|key| key.tokens().map(move |token| (key, token)));
    let is_homeless =
        |(_, name): &(&key::Config, &TokenName)| tokens.iter().all(|token| token.name != **name);
    let describe = |(key, token): (&key::Config, &TokenName)| {
        Fault::new(
            format!("key.{}.token", key.name),
            format!("there is no [token.{token}]; add it, or name another"),
        )
    };
    pairs.filter(is_homeless).map(describe).collect()
}

/// Decodes and checks every public key: scheme, fingerprint, that no two names are one key, and that no name is two.
fn pin(candidates: &[Candidate]) -> (Keys, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut found: Vec<Key> = Vec::new();
    for token in candidates {
        let Some(process) = token.processes.as_ref().ok().and_then(|processes| processes.first()) else {
            continue;
        };
        for (config, wire) in token.keys.iter().zip(&process.started().keys) {
            let accepted = match found.iter().find(|key| key.name == config.name) {
                Some(known) => same(known, wire, &token.config.name).map(|()| None),
                None => accept(config, wire, &found).map(Some),
            };
            match accepted {
                Ok(key) => found.extend(key),
                Err(message) => faults.push(Fault::new(format!("key.{}", config.name), message)),
            }
        }
    }
    (found.into_iter().collect(), faults)
}

/// Whether another token holds the key that is known already.
fn same(known: &Key, spki: &[u8], token: &TokenName) -> Result<(), String> {
    if known.public_key.to_spki_der() == spki {
        return Ok(());
    }
    let other = PublicKey::from_spki_der(spki).map_err(|error| format!("the token's public key: {error}"))?;
    Err(format!(
        "token {token} holds {} where the others hold {}; all tokens of a key must hold the same key pair",
        other.fingerprint(),
        known.public_key.fingerprint()
    ))
}

fn accept(config: &key::Config, spki: &[u8], others: &[Key]) -> Result<Key, String> {
    let public_key =
        PublicKey::from_spki_der(spki).map_err(|error| format!("the token's public key: {error}"))?;
    if !config.scheme.fits(&public_key) {
        return Err(format!(
            "scheme {} does not fit the key on the token: {}; correct `scheme`, or name another key",
            config.scheme,
            key::signs_by(&public_key)
        ));
    }
    let fingerprint = public_key.fingerprint();
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

/// Puts accepted tokens into service, and those that are absent where they are waited for.
fn run(launch: &Launch, spawner: &Spawner, candidates: Vec<Candidate>, found: &Keys) -> Tokens {
    let (stop, stopped) = watch::channel(false);
    let mut members: BTreeMap<KeyName, Vec<Member>> = BTreeMap::new();
    let mut supervisors = Vec::new();
    for Candidate { config, keys, setup, keeper, processes } in candidates {
        let pool = Arc::new(Pool::new(config));
        let public = |key: &key::Config| found.get(&key.name).map(|key| key.public_key.to_spki_der());
        let pinned: Vec<_> = keys.iter().filter_map(public).collect();
        for (index, key) in (0..).zip(keys) {
            members.entry(key.name).or_default().push(Member { pool: pool.clone(), index });
        }
        let mut processes = processes.unwrap_or_default().into_iter();
        for place in 0..pool.config.processes {
            let process = processes.next();
            if process.is_none() {
                pool.give_up(place, &TokenError::Unavailable { token: pool.config.name.clone() });
            }
            let setup = Setup { sessions: pool.config.sessions_of(place), ..setup.clone() };
            let supervisor = Supervisor {
                pool: pool.clone(),
                place,
                launch: launch.clone(),
                spawner: spawner.clone(),
                setup,
                keeper: keeper.clone(),
                pinned: pinned.clone(),
                first_try: limit::first_try(pool.config.deadline),
                stop: stopped.clone(),
            };
            supervisors.push(tokio::spawn(supervisor.run(process)));
        }
    }
    let routes = members.into_iter().map(|(key, members)| (key, Route::new(members))).collect();
    Tokens(Arc::new(Running { routes, stop, supervisors: supervisors.into() }))
}
