//! When a checkpoint is signed: soon after something new is in the log, and now and then at most.
//!
//! In: the log as it grows, and the tokens of its key. Out: one checkpoint after another, for as long as the daemon runs.
//! Promised: nothing but checkpoints makes none; the last one of a daemon that is told to stop is of every intent in its log, if
//! its token can sign then; a token that cannot sign them holds up nobody else, and is said once, with
//! how old the newest one is, and once when it is over.

use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::Stop;
use crate::ledger::checkpoints::{Checkpointing, Checkpoints, Config};
use crate::sign::{self, Failure};
use crate::token::{Health, Tokens};

/// The longest pause between two tries, unless `interval` is longer.
const PAUSE: Duration = Duration::from_secs(60);

/// Signs checkpoints; made when the daemon starts.
pub(super) struct Checkpointer {
    checkpoints: Checkpoints,
    tokens: Tokens,
    interval: Duration,
    entries: u64,
    /// When the newest one was signed, by this process.
    signed: Option<Instant>,
    /// How many tries have failed since.
    failures: u32,
}

impl Checkpointer {
    pub(super) fn new(checkpoints: Checkpoints, tokens: Tokens, config: &Config) -> Self {
        let Config { interval, entries, .. } = *config;
        Self { checkpoints, tokens, interval, entries, signed: None, failures: 0 }
    }

    /// Signs checkpoints until the daemon stops, and then a last one of what is new, if a token can. None that was begun is cut off.
    pub(super) async fn run(mut self, mut stop: Stop) {
        while stop.or(self.is_due()).await.is_some() {
            self.sign().await;
        }
        let ledger = self.checkpoints.ledger();
        let is_news = self.checkpoints.fresh(*ledger.watch_size().borrow()) > 0 && ledger.is_writable();
        if is_news && self.token_is_there().now_or_never().is_some() {
            self.sign().await;
        }
    }

    /// Returns once there is something new, and it is time.
    async fn is_due(&self) {
        let (mut size, fresh) =
            (self.checkpoints.ledger().watch_size(), |size: u64| self.checkpoints.fresh(size));
        if size.wait_for(|size| fresh(*size) > 0).await.is_err() {
            // The writer has ended, and the daemon is about to.
            return pending().await;
        }
        if self.failures > 0 {
            sleep(self.pause()).await;
            return self.token_is_there().await;
        }
        let rest = self.signed.map(|signed| self.interval.saturating_sub(signed.elapsed()));
        let many = size.wait_for(|size| fresh(*size) >= self.entries);
        // An error is that the time has come before so many entries.
        if matches!(timeout(rest.unwrap_or_default(), many).await, Ok(Err(_))) {
            pending::<()>().await;
        }
    }

    /// How long until the next try.
    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        self.interval.saturating_mul(2_u32.saturating_pow(doublings)).min(self.interval.max(PAUSE))
    }

    /// Returns once a token can sign them: a try without one would only be two more entries.
    async fn token_is_there(&self) {
        if let Some(mut health) = self.tokens.watch_health(&self.checkpoints.key().name) {
            let is_there = |health: &Health| matches!(health, Health::Ready | Health::Doubted);
            // Its sender is in `tokens`, so there is no error.
            let _ = health.wait_for(is_there).await;
        }
    }

    /// Signs one, and says how it went if that is news.
    pub(super) async fn sign(&mut self) {
        match self.try_sign().await {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::warn!(
                        failures = self.failures,
                        age = self.age(),
                        "checkpoints are signed again"
                    );
                }
                (self.failures, self.signed) = (0, Some(Instant::now()));
                self.checkpoints.goes(Checkpointing::Current);
            }
            Err(failure) => {
                if self.failures == 0 {
                    tracing::warn!(
                        %failure,
                        age = self.age(),
                        "NO CHECKPOINT CAN BE SIGNED; it is tried again, and nothing else waits for it"
                    );
                }
                self.failures = self.failures.saturating_add(1);
                self.checkpoints.goes(Checkpointing::Failing);
            }
        }
    }

    /// How old the newest one is, if this process has signed it.
    fn age(&self) -> Option<String> {
        let seconds = self.signed?.elapsed().as_secs();
        Some(humantime::format_duration(Duration::from_secs(seconds)).to_string())
    }

    async fn try_sign(&mut self) -> Result<(), Failure> {
        let intent = self.checkpoints.record().await?;
        let answer = sign::ask(self.tokens.holding(intent.intent()), intent.intent()).await;
        intent.settle(answer).await
    }
}
