//! What a running daemon tells the world of its log: checkpoints, and what witnesses say to them.
//!
//! In: who signs checkpoints, and who asks witnesses. Out: both at work until the daemon stops, and then a last checkpoint, shown to
//! the witnesses: what is signed between the newest one and the end could be changed unnoticed while the signer is down.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Stop;
use super::checkpoints::Checkpointer;
use super::witnesses::Witnesses;

/// How long witnesses have for the last checkpoint.
const WITNESSING: Duration = Duration::from_secs(2);
/// How long all of it may take, before tokens are told to stop: a checkpoint that hangs then, ends with them.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Who is at work.
pub(super) struct Attest(JoinSet<()>);

impl Attest {
    /// Has both work, until `stopping` says to stop.
    pub(super) fn start(
        checkpointer: Option<Checkpointer>,
        witnesses: Option<Witnesses>,
        stopping: &watch::Receiver<bool>,
    ) -> Self {
        let mut work = JoinSet::new();
        if let Some(checkpointer) = checkpointer {
            work.spawn(attest(checkpointer, witnesses, stopping.clone()));
        }
        Self(work)
    }

    /// Waits for the last checkpoint, and what witnesses say to it, while there is time.
    pub(super) async fn last_words(&mut self) {
        if timeout(LAST_WORDS, self.0.join_next()).await.is_err() {
            tracing::warn!(
                "the last checkpoint is not signed within {LAST_WORDS:?}; the next start signs one"
            );
        }
    }

    /// Returns once nothing is under way: a checkpoint that was begun has its outcome.
    pub(super) async fn ended(self) {
        self.0.join_all().await;
    }
}

async fn attest(checkpointer: Checkpointer, witnesses: Option<Witnesses>, stopping: watch::Receiver<bool>) {
    let asking = async {
        match witnesses {
            Some(witnesses) => Some(witnesses.run(Stop(stopping.clone())).await),
            None => None,
        }
    };
    let ((), witnesses) = tokio::join!(checkpointer.run(Stop(stopping.clone())), asking);
    if let Some(witnesses) = witnesses {
        witnesses.ask_once_more(WITNESSING).await;
    }
}
