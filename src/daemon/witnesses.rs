//! Asks the log's witnesses to cosign its checkpoints, one after the other: the newest there is, whenever the last one is done.
//!
//! In: checkpoints as they are signed. Out: the same with cosignatures, for everybody. Promised: a witness that is out of service,
//! slow or lies costs a warning, once, and nothing else waits for it, but a start for five seconds; a witness that shows that the
//! log is not what it was ends the log, at a start before anything is signed.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

use super::Stop;
use crate::config::Fault;
use crate::ledger::checkpoints::{Checkpoints, Config};
use crate::ledger::note::Cosignature;
use crate::ledger::witness::{Judgement, Trouble, Witness, Witnessed};
use crate::ledger::{Checkpointing, LedgerError, SignedCheckpoint};

mod http;

/// How long one exchange with a witness may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all of them together may take with one checkpoint; whoever has not answered by then is asked again.
const ROUND: Duration = Duration::from_secs(10);
/// The longest pause between two tries of one witness, unless `checkpoint_interval` is longer.
const PAUSE: Duration = Duration::from_secs(60);

/// Asks all witnesses of a log.
pub(super) struct Witnesses {
    log: Arc<Witnessed>,
    each: Vec<Each>,
    quorum: usize,
    interval: Duration,
    /// The size of the newest checkpoint that they were asked about.
    asked: Option<u64>,
    /// Whether that one has its quorum.
    has_quorum: bool,
}

/// A witness, and what is known of it.
struct Each {
    witness: Witness,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// How many entries it is known to have cosigned.
    cosigned: u64,
    /// Its newest cosignature, and of how many entries.
    newest: Option<(u64, Cosignature)>,
    /// How often in a row it has not cosigned, and when it is asked again.
    failures: u32,
    again: Option<Instant>,
    /// What was said of it last.
    said: Option<String>,
}

impl Witnesses {
    /// Those of the configuration; `None` if there are none.
    pub(super) fn new(checkpoints: &Checkpoints, config: &Config) -> Result<Option<Self>, Vec<Fault>> {
        let each = each(config)?;
        if each.is_empty() {
            return Ok(None);
        }
        let (log, quorum, interval) = (Arc::new(Witnessed::of(checkpoints)), config.quorum, config.interval);
        log.goes(Checkpointing::Failing);
        Ok(Some(Self { log, each, quorum, interval, asked: None, has_quorum: false }))
    }

    /// Has those that show what they have cosigned do so, before this process signs anything. That takes as long as one exchange,
    /// and one that cannot be reached keeps nobody from signing.
    ///
    /// # Errors
    /// That the log is not what a witness has seen; what it showed is kept, and no start passes it over.
    pub(super) async fn hear(&self) -> Result<(), LedgerError> {
        let mut hearing: FuturesUnordered<_> = self.each.iter().map(|each| each.shown(&self.log)).collect();
        while let Some(judgement) = hearing.next().await {
            if let Some(Judgement::Contradicts(error)) = judgement {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Asks them until the daemon stops, and returns itself for a last word.
    pub(super) async fn run(mut self, mut stop: Stop) -> Self {
        while stop.or(self.is_due()).await.is_some() {
            if stop.or(self.ask()).await.is_none() {
                break;
            }
        }
        self
    }

    /// Has the newest checkpoint cosigned, unless it was, as far as that comes to something within `limit`.
    pub(super) async fn ask_once_more(mut self, limit: Duration) {
        let newest = self.log.ledger().latest_checkpoint().map(|newest| newest.checkpoint().size());
        if newest != self.asked || !self.has_quorum {
            let _ = timeout(limit, self.ask()).await;
        }
    }

    /// Returns once there is a newer checkpoint, or one without a quorum and a witness that may be asked again.
    async fn is_due(&self) {
        let (asked, mut newest) = (self.asked, self.log.ledger().watch_checkpoints());
        let newer = newest.wait_for(|newest| {
            newest.as_ref().is_some_and(|newest| Some(newest.checkpoint().size()) > asked)
        });
        if self.has_quorum {
            // Its sender is in `log`, so there is no error.
            let _ = newer.await;
            return;
        }
        let again = self.each.iter().filter_map(|each| each.again).min();
        let again = again.map_or(PAUSE, |again| again.saturating_duration_since(Instant::now()));
        let _ = timeout(again, newer).await;
        // However many checkpoints come, a witness that lags is not asked without end.
        sleep(Duration::from_millis(10)).await;
    }

    /// Asks all that are due, and have not done so, to cosign the newest checkpoint; and publishes it with what it has by then.
    pub(super) async fn ask(&mut self) {
        let Some(signed) = self.log.ledger().latest_checkpoint() else { return };
        let (size, now) = (signed.checkpoint().size(), Instant::now());
        let is_due = |each: &&mut Each| {
            each.again.is_none_or(|again| again <= now) && each.cosignature_of(size).is_none()
        };
        let asking: FuturesUnordered<_> = (self.each.iter_mut().filter(is_due))
            .map(|each| {
                // At once, if it does not come to an answer.
                each.again = Some(now);
                each.ask_and_note(&self.log, &signed, self.interval)
            })
            .collect();
        all_within(ROUND, asking).await;
        let cosignatures = self.each.iter().filter_map(|each| each.cosignature_of(size).cloned()).collect();
        self.publish(signed, cosignatures).await;
    }

    async fn publish(&mut self, signed: Arc<SignedCheckpoint>, cosignatures: Vec<Cosignature>) {
        let (log, quorum, count, size) =
            (Arc::clone(&self.log), self.quorum, cosignatures.len(), signed.checkpoint().size());
        let published = spawn_blocking(move || log.publish(&signed, cosignatures, quorum)).await;
        let published = published.unwrap_or(Err(LedgerError::Closed));
        let has_quorum = count >= quorum && published.is_ok();
        if let Err(error) = published {
            tracing::error!(%error, "the cosigned checkpoint of {size} entries is not published");
        }
        let is_first = self.asked.is_none();
        if !has_quorum && (self.has_quorum || is_first) {
            tracing::warn!(
                size,
                cosigned = count,
                quorum,
                "THE NEWEST CHECKPOINT HAS NO QUORUM OF WITNESSES; it is published without, and they are asked again"
            );
        }
        if has_quorum && !self.has_quorum && !is_first {
            tracing::warn!(size, "checkpoints have their quorum of witnesses again");
        }
        (self.asked, self.has_quorum) = (Some(size), has_quorum);
        self.log.goes(if has_quorum { Checkpointing::Current } else { Checkpointing::Failing });
    }
}

/// What is wrong with how witnesses are to be asked, if anything is.
pub(super) fn check(config: &Config) -> Result<(), Vec<Fault>> {
    each(config).map(drop)
}

fn each(config: &Config) -> Result<Vec<Each>, Vec<Fault>> {
    let (mut each, mut faults) = (Vec::new(), Vec::new());
    for witness in config.witnesses.clone() {
        match witness.ca_file.as_deref().map(http::trust).transpose() {
            Ok(tls) => each.push(Each {
                witness,
                tls,
                cosigned: 0,
                newest: None,
                failures: 0,
                again: None,
                said: None,
            }),
            Err(error) => faults.push(Fault::new(format!("ledger.witness.{}.ca_file", witness.name), error)),
        }
    }
    if faults.is_empty() { Ok(each) } else { Err(faults) }
}

impl Each {
    /// What it has cosigned of so many entries.
    fn cosignature_of(&self, size: u64) -> Option<&Cosignature> {
        self.newest.as_ref().filter(|(of, _)| *of == size).map(|(_, cosignature)| cosignature)
    }

    /// Has it cosign a checkpoint, and keeps what came of it.
    async fn ask_and_note(
        &mut self,
        log: &Arc<Witnessed>,
        signed: &Arc<SignedCheckpoint>,
        interval: Duration,
    ) {
        let result = self.ask(log, signed).await;
        if let Some(cosignature) = self.took(result, log, interval).await {
            self.newest = Some((signed.checkpoint().size(), cosignature));
        }
    }

    /// Has it cosign a checkpoint. If it says that it knows another size than is known here, it is asked from that one, once.
    async fn ask(
        &mut self,
        log: &Arc<Witnessed>,
        signed: &Arc<SignedCheckpoint>,
    ) -> Result<Cosignature, Trouble> {
        let size = signed.checkpoint().size();
        for _ in 0..2 {
            let (to, what, old) = (Arc::clone(log), Arc::clone(signed), self.cosigned.min(size));
            let request = spawn_blocking(move || to.request(&what, old)).await;
            let request = request.unwrap_or(Err(LedgerError::Closed))?;
            let answer = http::post(&self.witness.url, self.tls.as_ref(), "/add-checkpoint", request);
            let answer = in_time(answer).await?;
            match answer.status {
                200 => {
                    let cosignature = log.cosignature(signed, &self.witness.key, &answer.body)?;
                    self.cosigned = size;
                    return Ok(cosignature);
                }
                409 => match known_size(&answer)? {
                    known if known > size => return Err(Trouble::Ahead { size: known, ours: size }),
                    known if known == old => return Err(Trouble::OtherTree { size: known }),
                    known => self.cosigned = known,
                },
                422 => return Err(Trouble::OtherTree { size: old }),
                status => return Err(Trouble::Status { status }),
            }
        }
        Err(Trouble::Status { status: 409 })
    }

    /// Says what came of it if that is news, and when it is asked again. What accuses the log is looked into.
    async fn took(
        &mut self,
        result: Result<Cosignature, Trouble>,
        log: &Arc<Witnessed>,
        interval: Duration,
    ) -> Option<Cosignature> {
        let name = &self.witness.name;
        let trouble = match result {
            Ok(cosignature) => {
                if self.said.take().is_some() {
                    tracing::warn!("witness {name} cosigns again");
                }
                (self.failures, self.again) = (0, None);
                return Some(cosignature);
            }
            Err(trouble) => trouble,
        };
        let pause = interval.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        self.again = Some(Instant::now() + pause.min(interval.max(PAUSE)));
        self.failures = self.failures.saturating_add(1);
        let words = trouble.to_string();
        let is_news = self.said.as_ref() != Some(&words);
        self.said = Some(words);
        if is_news && trouble.is_a_charge() {
            tracing::error!("witness {name} contradicts the ledger: {trouble}");
        } else if is_news {
            tracing::warn!("witness {name} does not cosign: {trouble}");
        }
        if trouble.is_a_charge() {
            self.look_into(log).await;
        }
        None
    }

    /// Has the witness show the checkpoint that it speaks of.
    async fn look_into(&self, log: &Arc<Witnessed>) {
        let name = &self.witness.name;
        if let Some(Judgement::Continues(size)) = self.shown(log).await {
            tracing::warn!("witness {name} shows a checkpoint of {size} entries, which the ledger continues");
        }
    }

    /// What the newest checkpoint that the witness has cosigned is beside the log, if it shows one that the log's key signed.
    async fn shown(&self, log: &Arc<Witnessed>) -> Option<Judgement> {
        let (name, url) = (&self.witness.name, self.witness.newest_url.as_ref()?);
        let silent = |why: &dyn Display| tracing::warn!("witness {name} shows no checkpoint: {why}");
        let shown = match in_time(http::get(url, self.tls.as_ref())).await {
            Ok(answer) if answer.status == 200 => answer.body,
            Ok(answer) => {
                silent(&answer.status);
                return None;
            }
            Err(trouble) => {
                silent(&trouble);
                return None;
            }
        };
        let log = Arc::clone(log);
        let judged = spawn_blocking(move || log.judge(&shown)).await.ok()?;
        let none =
            |error: &_| tracing::warn!("witness {name} shows nothing that this log's key signed: {error}");
        judged.inspect_err(none).ok()
    }
}

/// Waits for all of them, so long at most; those that have not ended are dropped.
async fn all_within<F: Future<Output = ()>>(limit: Duration, mut asking: FuturesUnordered<F>) {
    let _ = timeout(limit, async { while asking.next().await.is_some() {} }).await;
}

/// The answer, if it comes in time.
async fn in_time<E: ToString>(
    answer: impl Future<Output = Result<http::Answer, E>>,
) -> Result<http::Answer, Trouble> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| Trouble::Unreachable(error.to_string())),
        Err(_) => Err(Trouble::Slow(PATIENCE)),
    }
}

/// The size that a witness says it knows.
fn known_size(answer: &http::Answer) -> Result<u64, Trouble> {
    let no_size = || Trouble::Malformed("size");
    if answer.content_type != "text/x.tlog.size" {
        return Err(no_size());
    }
    let text =
        str::from_utf8(&answer.body).ok().and_then(|text| text.strip_suffix('\n')).ok_or_else(no_size)?;
    text.parse::<u64>().ok().filter(|size| size.to_string() == text).ok_or_else(no_size)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_round_ends_although_one_never_answers() {
        let answered = AtomicBool::new(false);
        let asking = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
        asking.push(Box::pin(std::future::pending()));
        asking.push(Box::pin(async { answered.store(true, Ordering::Relaxed) }));
        all_within(Duration::from_millis(10), asking).await;
        assert!(answered.load(Ordering::Relaxed));
    }
}
