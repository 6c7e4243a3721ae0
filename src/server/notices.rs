//! What the log says of connections that were closed without a word: why, but no more lines than anybody may make of them.
//!
//! In: why a connection was closed. Out: a line in the log, at a level that is shown unless it is turned down. Whoever can connect can
//! have such lines written, so there are at most ten a minute and door of strangers, as many of crowds, and as many of callers whom the
//! client CA vouches for; the next line says how many were left out. The peer is told nothing of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::connection::Rejected;

/// How many lines in one [`WINDOW`].
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The bounds of one door.
#[derive(Default)]
pub(super) struct Notices {
    strangers: Mutex<Bound>,
    /// Of its own, so that what a crowd hides is told beside it.
    crowds: Mutex<Bound>,
    /// Of its own, so that strangers cannot keep from the log what concerns callers.
    callers: Mutex<Bound>,
}

/// How much was told, and not told, since when.
#[derive(Default)]
struct Bound {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Notices {
    /// Says why a connection was closed, or counts it.
    pub(super) fn tell(&self, rejected: &Rejected) {
        let bound = match rejected {
            Rejected::Handshake { source, .. } if concerns_certificate(source) => &self.strangers,
            Rejected::Crowd(_) => &self.crowds,
            Rejected::Nameless { .. } | Rejected::TooMany { .. } => &self.callers,
            // Port scanners, and whoever gave up: nobody who waits for an answer.
            Rejected::Handshake { .. } | Rejected::Slow { .. } | Rejected::NotHttp2 { .. } => {
                return debug!("closed a connection: {rejected}");
            }
        };
        let Some(untold) = bound.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) else {
            return debug!("closed a connection: {rejected}");
        };
        let more = if untold == 0 { String::new() } else { format!(" (and {untold} before, not told)") };
        if let Rejected::Nameless { .. } | Rejected::Crowd(_) = rejected {
            warn!("closed a connection: {rejected}{more}");
        } else {
            info!("closed a connection: {rejected}{more}");
        }
    }
}

impl Bound {
    /// Whether one more may be told now, and how many were not since the last.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = |since: Instant| now.duration_since(since) >= WINDOW;
        if self.since.is_none_or(is_over) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told == MOST {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Whether the peer's certificate, or that it has none, is why.
fn concerns_certificate(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ten_a_minute_and_then_how_many_it_did_not() {
        let (mut bound, begin) = (Bound::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(bound.take(begin), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(bound.take(begin + WINDOW / 2), None);
        }
        assert_eq!(bound.take(begin + WINDOW), Some(1000));
        assert_eq!(bound.take(begin + WINDOW), Some(0));
    }
}
