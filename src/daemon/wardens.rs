//! What watches over the tokens while the daemon runs: it has them sign challenges, each recorded as a self-test.
//!
//! In: a [`Probation`] of each token, a [`Suspicion`] of each of its keys. Out: nothing, but what the token is taken for afterwards. Promised: no challenge is cut off, for
//! each must have its outcome. Why a token has to prove itself, and when, is decided in `token`.

use std::time::{Duration, Instant};

use super::Stop;
use crate::causes::in_one_line;
use crate::sign::{Failure, Signer};
use crate::token::TokenError;
use crate::token::probation::{Faults, Patience, Probation, Verdict};
use crate::token::suspicion::Suspicion;

/// Has a token that was lost, or that lied, prove itself, each time, before it takes load beside the others again.
pub(super) async fn readmit(signer: Signer, probation: Probation, mut stop: Stop) {
    let mut past = Past::default();
    while let Some(Some(faults)) = stop.or(probation.begins()).await {
        past.patience.lost(Instant::now(), probation.instead());
        let proof = prove(&signer, &probation, faults, &mut past, &mut stop).await;
        if proof == Proof::Given && probation.end(faults) {
            past.told = None;
            tracing::info!(token = %probation.token(), "the token has proven itself, and takes load again");
        }
    }
}

/// What a warden remembers of its token from one proof to the next.
#[derive(Default)]
struct Past {
    patience: Patience,
    /// Why the last proof failed of which the log was told, since the token was admitted.
    told: Option<String>,
}

/// Whether a token has proven itself.
#[derive(Eq, PartialEq)]
enum Proof {
    Given,
    /// It was lost or doubted again, or the daemon is to stop.
    Cut,
}

/// Returns once the token has signed a challenge with each key that it has to, and that often enough. No self-test is cut off.
async fn prove(
    signer: &Signer,
    probation: &Probation,
    faults: Faults,
    past: &mut Past,
    stop: &mut Stop,
) -> Proof {
    let mut pause = past.patience.before();
    loop {
        // An error is that the token was there all the while, and not doubted.
        let paused = stop.or(tokio::time::timeout(pause, probation.has_others(faults))).await;
        if !matches!(paused, Some(Err(_))) {
            return Proof::Cut;
        }
        let mut failed = None;
        for key in probation.keys().filter_map(|name| signer.keys.get(name)) {
            failed = failed.or(signer.self_test(key, probation.token()).await.err());
        }
        pause = match failed {
            None => match past.patience.proven(Instant::now()) {
                Verdict::Admit => return Proof::Given,
                Verdict::Wait(pause) => pause,
            },
            Some(failure) => {
                let failure = in_one_line(&failure);
                if past.told.as_ref() != Some(&failure) {
                    tracing::warn!(token = %probation.token(), failure, "the token does not prove itself");
                    past.told = Some(failure);
                }
                past.patience.lost(Instant::now(), probation.instead());
                past.patience.pause()
            }
        };
    }
}

/// Has a token that refuses to sign with a key be asked for a challenge, until it is known whether the requests are at fault, and while it
/// refuses that, too.
pub(super) async fn challenge(signer: Signer, mut suspicion: Suspicion, mut stop: Stop) {
    let Some(key) = signer.keys.get(suspicion.key()).cloned() else { return };
    while stop.or(suspicion.stands()).await.is_some() {
        let answer = signer.self_test(&key, suspicion.token()).await;
        let pause = judge(&mut suspicion, answer, Instant::now());
        if stop.or(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Notes what became of a challenge. How long until another may be made.
fn judge(suspicion: &mut Suspicion, answer: Result<(), Failure>, now: Instant) -> Duration {
    let failure = match answer {
        Ok(()) => return suspicion.refuted(),
        Err(Failure::Token(error @ TokenError::Failed { .. })) => return suspicion.confirmed(&error, now),
        Err(failure) => failure,
    };
    let (key, token) = (suspicion.key(), suspicion.token());
    tracing::debug!(%key, %token, failure = in_one_line(&failure), "a challenge does not tell whether the token refuses");
    match failure {
        Failure::Ledger(_) | Failure::Token(TokenError::Busy { .. } | TokenError::Expired { .. }) => {
            suspicion.kept_from_it()
        }
        Failure::Token(_) | Failure::Verify(_) | Failure::Refused(_) | Failure::TooLate => {
            suspicion.undecided(now)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ledger::LedgerError;
    use crate::token::TokenName;

    #[test]
    fn what_keeps_a_challenge_from_its_token_makes_no_pause_longer_and_what_the_token_does_with_it_does() {
        let (name, after) = (|| TokenName::new("t").unwrap(), Duration::from_secs(1));
        let busy = || TokenError::Busy { token: name(), given: false };
        let expired = || TokenError::Expired { token: name(), given: false };
        let begin = Instant::now();
        let mut suspicion = Suspicion::of_test();
        let mut judged = |failure, now| judge(&mut suspicion, Err(failure), now);
        for minute in 0..10 {
            let now = begin + Duration::from_secs(60) * minute;
            let kept = [Failure::Ledger(LedgerError::Closed), busy().into(), expired().into()];
            for pause in kept.map(|failure| judged(failure, now)) {
                assert_eq!(pause, Duration::from_secs(2));
            }
        }
        let lost = [TokenError::TimedOut { token: name(), after }, TokenError::Unavailable { token: name() }];
        let pauses = lost.map(|error| judged(error.into(), begin));
        assert_eq!(pauses, [Duration::from_millis(500), Duration::from_secs(1)]);
        assert_eq!(judged(busy().into(), begin), Duration::from_secs(2));
    }
}
