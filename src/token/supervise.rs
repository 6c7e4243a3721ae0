//! Keeps one process of a token running.
//!
//! In: the process of start-up and the public keys pinned then. A process that dies, hangs past the token's deadline,
//! calls itself broken or gives a signature that does not verify is killed and replaced, with back-off. Promised: a
//! replacement signs nothing before its public keys equal the pinned ones, and a PIN that was refused is not tried
//! again before there is another or an operator says so (R9).

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use self::told::Told;
use super::TokenError;
use super::child::{Launch, Spawner, Start, StartError, TokenProcess, Undead, warn_of_end};
use super::frame::{PinRefusal, Setup};
use super::gatekeeper::Gatekeeper;
use super::latch::{Past, PinMark};
use super::link::{End, Link};
use super::pin::Stamp;
use super::pin::source::PinFile;
use super::pool::Pool;
use super::process::PIN_REFUSED;
use super::start::{unreadable, warn_of_few_sessions};

pub(super) mod limit;
mod told;

/// How long a call into the module may still take once the tokens are to stop.
const LAST_CALL: Duration = Duration::from_secs(2);
/// The first and the longest wait before a replacement, which doubles in between.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A process that has lived this long was healthy: the back-off begins anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// How often the metadata of a refused PIN's file, and the latch, are looked at.
const PIN_POLL: Duration = Duration::from_secs(1);

/// What makes and remakes one process of a token.
pub(super) struct Supervisor {
    pub(super) pool: Arc<Pool>,
    /// Which of the token's processes.
    pub(super) place: usize,
    pub(super) launch: Launch,
    pub(super) spawner: Spawner,
    pub(super) setup: Setup,
    pub(super) keeper: Arc<Gatekeeper>,
    /// The public keys that the first process found, and that every later one must find.
    pub(super) pinned: Vec<Vec<u8>>,
    /// How long the first try of a replacement may take; each that fails gives the next twice as long, up to [`limit::START`].
    pub(super) first_try: Duration,
    pub(super) stop: watch::Receiver<bool>,
}

/// How a process's service ended.
enum Service {
    /// The daemon is shutting down, and the process is gone.
    Stopped,
    /// The process is gone and must be replaced.
    Lost,
    /// It must be replaced, and cannot be killed.
    Stuck(Undead),
}

impl Supervisor {
    /// Serves with `process`, if it has started, and its replacements until the daemon stops.
    pub(super) async fn run(self, mut process: Option<TokenProcess>) {
        let mut stop = self.stop.clone();
        let mut back_off = BACK_OFF.0;
        if process.is_none() {
            self.give_up(&self.unavailable());
        }
        loop {
            if let Some(process) = process {
                let since = Instant::now();
                match self.serve(process).await {
                    Service::Stopped => return,
                    Service::Lost => {}
                    Service::Stuck(undead) => {
                        self.give_up(&self.unavailable());
                        tokio::select! {
                            () = undead.gone() => {}
                            () = stopped(&mut stop) => return,
                        }
                    }
                }
                if since.elapsed() >= HEALTHY {
                    back_off = BACK_OFF.0;
                }
            }
            process = tokio::select! {
                replacement = self.replace(&mut back_off) => Some(replacement),
                () = stopped(&mut stop) => return self.give_up(&self.unavailable()),
            };
        }
    }

    async fn serve(&self, mut process: TokenProcess) -> Service {
        let mut stop = self.stop.clone();
        let doubts = self.pool.state.borrow().doubts;
        let sockets = match process.open_sessions().await {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::error!(token = %self.pool.config.name, %error, "the token process took no sessions");
                self.pool.restart(self.place);
                self.hold_at_pad();
                return Service::Lost;
            }
        };
        // Before the sessions: one that looks at a closed queue has nothing more to do, and ends.
        self.pool.serve(self.place);
        let mut sessions = JoinSet::new();
        let is_lost = watch::Sender::new(false);
        let (looking, is_gone) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        for socket in sockets {
            let (pool, keeper, is_lost) = (self.pool.clone(), self.keeper.clone(), is_lost.clone());
            let (looking, is_gone) = (looking.clone(), is_gone.clone());
            let count = process.started().sessions.saturating_mul(pool.config.processes);
            sessions.spawn(async move {
                let (token, deadline) = (&pool.config.name, pool.config.deadline);
                let (queue, longest_login) = (&pool.queue, limit::START + deadline);
                let link = Link {
                    token,
                    queue,
                    deadline,
                    keepalive: pool.config.keepalive,
                    sessions: count,
                    keeper: &keeper,
                    longest_login,
                    lost: &is_lost,
                    looking: &looking,
                    is_gone: &is_gone,
                };
                link.serve(socket).await
            });
        }
        tokio::select! {
            biased;
            Some(end) = sessions.join_next() => self.report_end(end),
            // Whatever makes it sign wrongly, a process that begins anew may not have it.
            () = self.pool.doubted(doubts) => {}
            status = process.ended() => self.report_exit(status, &mut sessions).await,
            () = stopped(&mut stop) => {
                self.give_up(&self.unavailable());
                let answered = async { while sessions.join_next().await.is_some() {} };
                // One that cannot be killed outlives the daemon, which has said so.
                if tokio::time::timeout(LAST_CALL, answered).await.is_err() {
                    // Its callers have had the shutdown's grace already: a call that has not returned by now is stuck.
                    let _ = process.kill().await;
                    sessions.shutdown().await;
                } else if let Ok(Some(status)) = process.finish().await {
                    warn_of_end(&self.pool.config.name, status);
                }
                return Service::Stopped;
            }
        }
        self.pool.restart(self.place);
        if is_gone.load(Ordering::SeqCst) {
            // What came while that was found out has waited for it, and goes on to another token.
            self.give_up(&self.unavailable());
        }
        // A call into a module cannot be cancelled; a process can be killed. Its jobs in flight fail.
        let killed = process.kill().await;
        sessions.shutdown().await;
        self.hold_at_pad();
        killed.map_or_else(Service::Stuck, |()| Service::Lost)
    }

    /// Where the PIN is typed at the token's own pad, no login is tried before an operator says that somebody is there.
    fn hold_at_pad(&self) {
        let token = &self.pool.config.name;
        if self.setup.pin_file != PinFile::Pad {
            return;
        }
        tracing::error!(
            %token, "SOMEBODY HAS TO TYPE THE PIN at the token's own pad: stand there, and run `countersign token unlatch {token}`"
        );
        if self.keeper.latch().is_set() {
            return;
        }
        let message = format!("token {token} was lost, and nobody may stand at its pad");
        self.keeper.latch().set(&PinRefusal { message, mark: Some(PinMark::at_pad()) });
    }

    /// That the PIN was refused may still be in a session's socket, and nothing else keeps it from being tried again.
    async fn report_exit(&self, status: io::Result<ExitStatus>, sessions: &mut JoinSet<End>) {
        if status.as_ref().is_ok_and(|status| status.code() == Some(PIN_REFUSED)) {
            while let Ok(Some(end)) = tokio::time::timeout(LAST_CALL, sessions.join_next()).await {
                let is_refusal = matches!(end, Ok(End::PinRefused(_)));
                self.report_end(end);
                if is_refusal {
                    return;
                }
            }
        }
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::error!(token = %self.pool.config.name, status, "the token process ended; it is replaced");
    }

    fn report_end(&self, end: Result<End, tokio::task::JoinError>) {
        let token = &self.pool.config.name;
        match end {
            Ok(End::TimedOut) => {
                let deadline = self.pool.config.deadline;
                tracing::error!(%token, ?deadline, "the token did not answer in time; its process is killed");
            }
            Ok(End::Broken(failure)) => {
                let (call, code) = (failure.call, failure.code);
                tracing::error!(%token, call, code, "the token failed; its process is replaced");
            }
            Ok(End::Gone(error)) => {
                tracing::error!(%token, %error, "the token process hung up; it is replaced");
            }
            Ok(End::PinRefused(refusal)) => {
                tracing::error!(%token, refusal.message, "the token refused the PIN; it is not tried again");
                self.keeper.latch().set(&refusal);
            }
            Ok(End::Closed) => tracing::error!(%token, "a session ended without being asked to"),
            Err(error) => tracing::error!(%token, %error, "a session's task failed"),
        }
    }

    /// Tries until there is a process that holds the pinned keys. Requests wait for the first try, for as long as one
    /// signature may take; after that they are refused until a try succeeds.
    async fn replace(&self, back_off: &mut Duration) -> TokenProcess {
        if *back_off > BACK_OFF.0 {
            // It is not the first that is lost in a row: nobody should wait for one that may not come.
            self.give_up(&self.unavailable());
        }
        let (mut next, mut told) = (self.first_try, Told::default());
        loop {
            let limit = next;
            next = limit::twice(limit);
            tokio::time::sleep(*back_off).await;
            *back_off = (*back_off * 2).min(BACK_OFF.1);
            // Before the process reads the file: a change during the try counts as a change.
            let stamp = self.setup.pin_file.stamp();
            let start = async {
                let _turn = self.pool.starting.lock().await;
                self.start(limit, &mut told).await
            };
            tokio::pin!(start);
            let started = tokio::time::timeout(self.pool.config.deadline, &mut start).await;
            let started = if let Ok(started) = started {
                started
            } else {
                self.give_up(&self.unavailable());
                start.await
            };
            match started {
                Ok(process) => return process,
                Err(NotReplaced::Pin) => {
                    self.give_up(&TokenError::PinRefused {
                        token: self.pool.config.name.clone(),
                        given: false,
                    });
                    self.pin_change(stamp).await;
                }
                Err(NotReplaced::KeyChanged) => {
                    let reason = TokenError::KeyChanged { token: self.pool.config.name.clone() };
                    self.give_up(&reason);
                }
                Err(NotReplaced::Failed) => self.give_up(&self.unavailable()),
                Err(NotReplaced::Stuck(undead)) => {
                    self.give_up(&self.unavailable());
                    undead.gone().await;
                }
            }
        }
    }

    /// One try, whose failure is logged here if it is news.
    async fn start(&self, limit: Duration, told: &mut Told) -> Result<TokenProcess, NotReplaced> {
        told.next_try();
        let token = &self.pool.config.name;
        let latch = self.keeper.latch();
        let past = match latch.past() {
            Ok(past) => past,
            Err(error) => {
                tracing::error!(%token, "{}", unreadable(latch, &error));
                return Err(NotReplaced::Pin);
            }
        };
        let (config, setup) = (&self.pool.config, &self.setup);
        let started = TokenProcess::start(Start {
            spawner: &self.spawner,
            launch: &self.launch,
            config,
            setup,
            keeper: &self.keeper,
            limit: limit::of(limit, &past, &setup.pin_file),
        })
        .await;
        // It was kept from trying the PIN by what an operator has taken away since: that must not be noted again.
        if let Err(StartError::PinRefused(PinRefusal { mark: None, .. })) = started
            && past != Past::default()
            && latch.past().is_ok_and(|now| now == Past::default())
        {
            tracing::info!(%token, "the PIN may be tried again");
            return Err(NotReplaced::Failed);
        }
        if started.is_err() {
            self.hold_at_pad();
        }
        match started {
            Ok(process) if process.started().keys == self.pinned => {
                tracing::info!(%token, "the token process is replaced; its keys are those pinned at start-up");
                warn_of_few_sessions(config, setup.sessions, process.started());
                Ok(process)
            }
            Ok(process) => {
                let serial = &process.started().token.serial;
                if told.is_news(format!("other keys on {serial}")) {
                    tracing::error!(
                        %token, serial,
                        "THE TOKEN HOLDS OTHER KEYS than those pinned at start-up; it signs nothing until they are back"
                    );
                }
                let failed = process.finish().await.map_err(NotReplaced::Stuck)?;
                if let Some(status) = failed.filter(|status| told.is_news(status.to_string())) {
                    warn_of_end(token, status);
                }
                Err(NotReplaced::KeyChanged)
            }
            Err(StartError::PinRefused(refusal)) => {
                let file =
                    if self.setup.pin_file == PinFile::Pad { "" } else { "its file holds another, or " };
                tracing::error!(
                    %token, refusal.message, "the PIN is not tried again until {file}`countersign token unlatch {token}` is run"
                );
                latch.set(&refusal);
                Err(NotReplaced::Pin)
            }
            Err(StartError::Undead(undead)) => Err(NotReplaced::Stuck(undead)),
            Err(error) if self.setup.pin_file == PinFile::Pad => {
                tracing::error!(%token, ?error, "the token does not come up");
                Err(NotReplaced::Pin)
            }
            Err(StartError::Faults(faults)) => {
                for message in faults.into_iter().map(|fault| fault.message) {
                    if told.is_news(message.clone()) {
                        tracing::error!(%token, message, "the token does not come up");
                    }
                }
                Err(NotReplaced::Failed)
            }
            Err(StartError::Process(message)) => {
                if told.is_news(message.clone()) {
                    tracing::error!(%token, message, "the token process does not come up");
                }
                Err(NotReplaced::Failed)
            }
        }
    }

    /// Returns once the PIN file was touched, or an operator has taken the latch away.
    async fn pin_change(&self, stamp: Option<Stamp>) {
        while self.setup.pin_file.stamp() == stamp && self.keeper.latch().is_set() {
            tokio::time::sleep(PIN_POLL).await;
        }
    }

    fn give_up(&self, reason: &TokenError) {
        self.pool.give_up(self.place, reason);
    }

    fn unavailable(&self) -> TokenError {
        TokenError::Unavailable { token: self.pool.config.name.clone() }
    }
}

/// Returns once the daemon stops, or has dropped every handle on its tokens.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Why a try gave no process.
enum NotReplaced {
    Pin,
    KeyChanged,
    Failed,
    Stuck(Undead),
}
