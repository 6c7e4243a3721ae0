//! One session of a token process, seen from the daemon: takes jobs, writes them all at once, reads the answers in order. While there are
//! none it has the process look whether the token is there, so that one that is lost is known before anybody asks it (R6, R15).
//!
//! Wake-ups cost more than bytes, so a deep queue is served in chunks; but never more than the token signs in about a
//! millisecond, so that an interactive job waits for no long chunk. Each answer has the token's deadline. Whatever goes
//! wrong ends the session, and with it the process: its other sessions take nothing more, before anybody hears of it, so that what
//! is tried again is tried by another process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::frame::{self, Answer, Ask, CallFailure, Moment, Order, PinRefusal, Recovery, Reply};
use super::gate::BUSY;
use super::gatekeeper::Gatekeeper;
use super::queue::{Job, Queue};
use super::{RawSignature, TokenError, TokenName};

/// The most jobs in one chunk; more gains nothing (design §8).
const CHUNK: usize = 16;
/// How much work one chunk may be.
const CHUNK_TIME: Duration = Duration::from_millis(1);

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The queue is closed: nothing was in flight.
    Closed,
    /// No answer within the token's deadline.
    TimedOut,
    /// The token process says that it is broken, and ends.
    Broken(CallFailure),
    /// The same, and the token has refused the PIN.
    PinRefused(PinRefusal),
    /// The process is gone, or does not speak as expected.
    Gone(std::io::Error),
}

/// What a session does next.
enum Work<'a> {
    Jobs(Vec<Job>),
    /// To look whether the token is there, in its turn.
    Look(MutexGuard<'a, ()>),
}

/// What a session serves by.
pub(super) struct Link<'a> {
    pub(super) token: &'a TokenName,
    pub(super) queue: &'a Queue,
    pub(super) deadline: Duration,
    /// After how long without a job the token is looked at.
    pub(super) keepalive: Duration,
    /// How many sessions share the queue.
    pub(super) sessions: usize,
    /// The token's.
    pub(super) keeper: &'a Gatekeeper,
    /// No process is in a login for longer than this; of one that still is, nobody knows how to end it.
    pub(super) longest_login: Duration,
    /// Whether the process is lost, as any of its sessions finds out.
    pub(super) lost: &'a watch::Sender<bool>,
    /// Held by the one session of the process that looks: the others take what comes.
    pub(super) looking: &'a Mutex<()>,
    /// Whether that found the token gone, so that nobody is to wait for it.
    pub(super) is_gone: &'a AtomicBool,
}

/// What a chunk took.
#[derive(Default)]
struct Pace {
    /// How long the token took for all that it was asked.
    took: Duration,
    /// How many those were.
    jobs: usize,
    /// Whether one was sent back for a login of another process.
    is_busy: bool,
    /// Whether another was not.
    is_served: bool,
}

impl Link<'_> {
    /// Serves the queue over `socket` until either ends. Jobs that it cannot answer are dropped, which tells their callers.
    pub(super) async fn serve(&self, socket: UnixStream) -> End {
        let mut socket = BufReader::new(socket);
        let mut lost = self.lost.subscribe();
        let (mut most, mut busy_since) = (1, None);
        while let Some(work) = self.take(most, &mut lost).await {
            let jobs = match work {
                Work::Jobs(jobs) => jobs,
                Work::Look(_turn) => match self.look(&mut socket).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
            };
            match self.exchange(&mut socket, jobs).await {
                Ok(Pace { took, jobs, is_busy, is_served }) => {
                    most = chunk_size(took, jobs);
                    if is_served {
                        busy_since = None;
                    }
                    if is_busy {
                        if busy_since.is_some_and(|since: Instant| since.elapsed() > self.longest_login) {
                            return self.gives_up();
                        }
                        busy_since = busy_since.or_else(|| Some(Instant::now()));
                        // It would send back what comes next as well, and faster than any other session signs.
                        self.keeper.at_rest().await;
                    }
                }
                Err(end) => return end,
            }
        }
        End::Closed
    }

    /// Waits for work. Once the process is lost there is none, and the session that found out tells why: this one waits for its end. What it
    /// may have been woken for, another is.
    async fn take(&self, most: usize, lost: &mut watch::Receiver<bool>) -> Option<Work<'_>> {
        let turn = async {
            tokio::time::sleep(self.keepalive).await;
            self.looking.lock().await
        };
        tokio::select! {
            biased;
            _ = lost.wait_for(|lost| *lost) => {}
            jobs = self.queue.take(most, self.sessions) => return jobs.map(Work::Jobs),
            turn = turn => return Some(Work::Look(turn)),
        }
        std::future::pending().await
    }

    /// The process waits for a login that does not end, and the token has to be known for one that does not sign.
    fn gives_up(&self) -> End {
        self.lost.send_replace(true);
        End::Broken(CallFailure { call: "C_Login".to_owned(), code: BUSY.to_owned() })
    }

    /// # Errors
    /// Why the process has to be replaced.
    async fn look(&self, socket: &mut BufReader<UnixStream>) -> Result<(), End> {
        let mut order = Vec::new();
        frame::encode(&Order::Look, &mut order).map_err(End::Gone)?;
        let end = match socket.get_mut().write_all(&order).await {
            Err(error) => End::Gone(error),
            Ok(()) => match self.answer(socket, &mut Pace::default()).await {
                Ok(Answer::Broken(failure)) => End::Broken(failure),
                Ok(Answer::PinRefused { refusal, .. }) => End::PinRefused(refusal),
                // It is there; or it waits for a login of another process, which is looked after where that is.
                Ok(_) => return Ok(()),
                Err(end) => end,
            },
        };
        self.is_gone.store(true, Ordering::SeqCst);
        self.lost.send_replace(true);
        Err(end)
    }

    async fn exchange(&self, socket: &mut BufReader<UnixStream>, jobs: Vec<Job>) -> Result<Pace, End> {
        let mut pace = Pace::default();
        let mut asks = Vec::new();
        let (now, moment) = (Instant::now(), Moment::now());
        for job in &jobs {
            let caller = job.deadline().map(|deadline| deadline.saturating_duration_since(now));
            // Each of those before it in its chunk may take as long as the daemon waits for one.
            let until = Some(moment.after(caller.map_or(self.deadline, |caller| caller.min(self.deadline))));
            let ask = Ask { key: job.key, until, input: &job.input };
            frame::encode(&Order::Sign(ask), &mut asks).map_err(End::Gone)?;
        }
        let written = tokio::time::timeout(self.deadline, socket.get_mut().write_all(&asks)).await;
        let mut written = Some(written);
        for job in jobs {
            let answer = match written.take() {
                Some(Err(_)) => Err(End::TimedOut),
                Some(Ok(Err(error))) => Err(End::Gone(error)),
                Some(Ok(Ok(()))) | None => self.answer(socket, &mut pace).await,
            };
            self.deliver(job, answer)?;
        }
        Ok(pace)
    }

    async fn answer(&self, socket: &mut BufReader<UnixStream>, pace: &mut Pace) -> Result<Answer, End> {
        let body = tokio::time::timeout(self.deadline, frame::read_async(socket)).await;
        let body = body.map_err(|_| End::TimedOut)?.map_err(End::Gone)?;
        let Reply { recovered, took_us, answer } = frame::decode(&body).map_err(End::Gone)?;
        let is_busy = matches!(answer, Answer::Busy { .. });
        pace.is_busy |= is_busy;
        pace.is_served |= !is_busy;
        if !matches!(answer, Answer::Expired { .. }) {
            pace.took += Duration::from_micros(took_us.into());
            pace.jobs += 1;
        }
        if let Some(Recovery { healing, failure: CallFailure { call, code } }) = recovered {
            let did = healing.words();
            tracing::warn!(token = %self.token, call, code, "the token failed, and is well again: the process {did}");
        }
        Ok(answer)
    }

    fn deliver(&self, job: Job, answer: Result<Answer, End>) -> Result<(), End> {
        let token = || self.token.clone();
        let failed = |failure: CallFailure| TokenError::Failed {
            token: token(),
            call: failure.call,
            code: failure.code,
        };
        let (result, end) = match answer {
            Ok(Answer::Signature(bytes)) => (Ok(RawSignature(bytes)), Ok(())),
            Ok(Answer::Present) => {
                let confused = std::io::ErrorKind::InvalidData.into();
                (Err(TokenError::Unavailable { token: token() }), Err(End::Gone(confused)))
            }
            Ok(Answer::Failed(failure)) => (Err(failed(failure)), Ok(())),
            Ok(Answer::Expired { given }) if job.is_expired(Instant::now()) => {
                (Err(TokenError::Expired { token: token(), given }), Ok(()))
            }
            // Of one that expired for no caller, its turn did not come in the time that the token has for it.
            Ok(Answer::Busy { given } | Answer::Expired { given }) => {
                (Err(TokenError::Busy { token: token(), given }), Ok(()))
            }
            Ok(Answer::Broken(failure)) => {
                (Err(TokenError::Unavailable { token: token() }), Err(End::Broken(failure)))
            }
            Ok(Answer::PinRefused { refusal, given }) => {
                (Err(TokenError::PinRefused { token: token(), given }), Err(End::PinRefused(refusal)))
            }
            Err(End::TimedOut) => {
                (Err(TokenError::TimedOut { token: token(), after: self.deadline }), Err(End::TimedOut))
            }
            Err(end) => (Err(TokenError::Unavailable { token: token() }), Err(end)),
        };
        if end.is_err() {
            self.lost.send_replace(true);
        }
        job.answer(result);
        end
    }
}

/// As many jobs as took [`CHUNK_TIME`] at the pace of the last chunk: 1 to [`CHUNK`].
fn chunk_size(took: Duration, jobs: usize) -> usize {
    let jobs = u128::try_from(jobs).unwrap_or(1);
    let fit = CHUNK_TIME.as_nanos() * jobs / took.as_nanos().max(1);
    usize::try_from(fit).unwrap_or(CHUNK).clamp(1, CHUNK)
}

#[cfg(test)]
mod tests;
