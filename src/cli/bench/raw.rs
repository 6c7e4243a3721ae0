//! The token by itself, on this machine and in the same run: what the signer's rate is a part of.
//!
//! In: a token's section of the configuration. Out: the best of several runs of its raw `C_Sign` loop, with one session and with as
//! many as the signer has, before and after the load: a shared machine is never equally fast for long.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::load::float;
use crate::cli::Usage;
use crate::config::Config;
use crate::key::Scheme;
use crate::token;
use crate::token::latch::Latch;
use crate::token::pkcs11::operator::{Access, Console, Modules};
use crate::token::pkcs11::raw::RawLoop;

/// A token that can be measured. The loops end before the module does.
pub(super) struct Raw {
    loops: Vec<RawLoop>,
    runs: Vec<Run>,
    _modules: Modules,
}

/// One run of some sessions side by side.
struct Run {
    sessions: usize,
    per_second: f64,
}

/// The token's section, and how it signs with `key`.
///
/// # Errors
/// If there is no such token, or the key is not on it.
pub(super) fn section<'a>(
    config: &'a Config,
    name: &str,
    key: &str,
) -> anyhow::Result<(&'a token::Config, Scheme)> {
    let token = config.tokens.iter().find(|token| token.name.as_str() == name);
    let names = config.tokens.iter().map(|token| token.name.as_str());
    let token = token.ok_or_else(|| Usage::no_section("token", name, names))?;
    let held = config.keys.iter().find(|found| found.name.as_str() == key);
    let held = held.filter(|key| key.tokens().any(|token| token.as_str() == name));
    let held = held.with_context(|| format!("[key.{key}] of the configuration is not on token {name}"))?;
    Ok((token, held.scheme))
}

impl Raw {
    /// Logs in, and makes a key for each session, which is destroyed when this is dropped.
    ///
    /// # Errors
    /// What the token refuses.
    pub(super) fn open(token: &token::Config, latch: &Latch, scheme: Scheme) -> anyhow::Result<Self> {
        let mut modules = Modules::default();
        let mut loops = Vec::new();
        for number in 0..token.sessions {
            let console = Console::open(&mut modules, token, latch, Access::Write)?;
            loops.push(RawLoop::new(console, number, scheme)?);
        }
        Ok(Self { loops, runs: Vec::new(), _modules: modules })
    }

    /// Runs with one session, and with all of them, each for so long. Blocks.
    ///
    /// # Errors
    /// If a call fails.
    pub(super) fn run(&mut self, duration: Duration) -> anyhow::Result<()> {
        let counts = if self.loops.len() > 1 { vec![1, self.loops.len()] } else { vec![1] };
        for sessions in counts {
            let loops = self.loops.get_mut(..sessions).unwrap_or_default();
            let started = Instant::now();
            let until = started + duration;
            let signed: anyhow::Result<Vec<u64>> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    loops.iter_mut().map(|each| scope.spawn(move || each.run(until))).collect();
                let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                    thread.join().map_err(|_| anyhow::anyhow!("a thread of the raw loop panicked"))?
                };
                threads.into_iter().map(join).collect()
            });
            let signed: u64 = signed?.iter().sum();
            self.runs.push(Run { sessions, per_second: float(signed) / started.elapsed().as_secs_f64() });
        }
        Ok(())
    }

    /// The best run, all of them, and what part of the best `per_second` is.
    ///
    /// # Errors
    /// If the token signed nothing.
    pub(super) fn report(&self, per_second: f64) -> anyhow::Result<Value> {
        let best = self.runs.iter().max_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let best = best.filter(|best| best.per_second > 0.0).context("the raw loop has not run")?;
        ensure!(per_second.is_finite(), "the load took no time");
        let runs = self.runs.iter().map(|run| json!([run.sessions, run.per_second.round()]));
        Ok(json!({
            "ratio": (per_second / best.per_second * 1000.0).round() / 1000.0,
            "per_second": best.per_second.round(),
            "sessions": best.sessions,
            "runs": runs.collect::<Vec<_>>(),
        }))
    }
}
