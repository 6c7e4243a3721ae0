//! What watches over the tokens while the daemon runs: it has them sign challenges, each recorded as a self-test.
//!
//! In: a [`Probation`] of each token, a [`Suspicion`] of each of its keys. Out: nothing, but what the token is taken for afterwards. Promised: no challenge is cut off, for
//! each must have its outcome. Why a token has to prove itself, and when, is decided in `token`.

use std::time::Instant;

use super::Stop;
use crate::causes::in_one_line;
use crate::sign::{Failure, Signer};
use crate::token::TokenError;
use crate::token::probation::{Faults, Patience, Probation, Verdict};
use crate::token::suspicion::Suspicion;

/// Has a token that was lost, or that lied, prove itself, each time, before it takes load beside the others again.
pub(super) async fn readmit(signer: Signer, probation: Probation, mut stop: Stop) {
    let mut patience = Patience::default();
    while let Some(Some(faults)) = stop.or(probation.begins()).await {
        patience.lost(Instant::now(), probation.instead());
        let proof = prove(&signer, &probation, faults, &mut patience, &mut stop).await;
        if proof == Proof::Given && probation.end(faults) {
            tracing::info!(token = %probation.token(), "the token has proven itself, and takes load again");
        }
    }
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
    patience: &mut Patience,
    stop: &mut Stop,
) -> Proof {
    let mut pause = patience.before();
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
            None => match patience.proven(Instant::now()) {
                Verdict::Admit => return Proof::Given,
                Verdict::Wait(pause) => pause,
            },
            Some(failure) => {
                let failure = in_one_line(&failure);
                tracing::warn!(token = %probation.token(), failure, "the token does not prove itself");
                patience.lost(Instant::now(), probation.instead());
                patience.pause()
            }
        };
    }
}

/// Has a token that refuses to sign with a key be asked for a challenge, until it is known whether the requests are at fault, and while it
/// refuses that, too.
pub(super) async fn challenge(signer: Signer, mut suspicion: Suspicion, mut stop: Stop) {
    let Some(key) = signer.keys.get(suspicion.key()).cloned() else { return };
    while stop.or(suspicion.stands()).await.is_some() {
        let pause = match signer.self_test(&key, suspicion.token()).await {
            Ok(()) => suspicion.refuted(),
            Err(Failure::Token(error @ TokenError::Failed { .. })) => {
                suspicion.confirmed(&error, Instant::now())
            }
            Err(failure) => {
                let (key, token, failure) = (suspicion.key(), suspicion.token(), in_one_line(&failure));
                tracing::debug!(%key, %token, failure, "a challenge does not tell whether the token refuses");
                suspicion.undecided(Instant::now())
            }
        };
        if stop.or(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}
