//! The daemon's hold on one token process: spawn, introduce, hand over sockets, end.
//!
//! In: a [`Launch`] and a [`Setup`]. Out: a process that has reported what it found, or why it could not. Promised: it has
//! no environment but the token's, no descriptor but its control socket and the one to the gate of logins, and it does not outlive
//! this handle; unless the kernel does not let go of it, which nobody here waits for.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::frame::{self, MAX_SESSIONS, PinRefusal, Refusal, Report, Setup, StartFault, Started};
use super::gatekeeper::Gatekeeper;
use super::{Config, TokenName, process, stderr};
use crate::config::Fault;

/// How long an ending token process may take before it is killed: above its own bounds.
const END: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a process that was killed; one that is in a call which does not return takes for ever.
const KILLED: Duration = Duration::from_secs(2);

/// How long the last words of a process that is gone may take: whoever it made may hold its standard error open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How to start a token process.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program; speaks as `countersign token-process` does.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Launch {
    /// This very program, with the hidden subcommand.
    ///
    /// # Errors
    /// A fault if there is no `/proc`.
    pub fn current_exe() -> Result<Self, Fault> {
        // Not its path: an upgrade may have put another program there, which need not understand this one.
        let program = PathBuf::from("/proc/self/exe");
        match program.metadata() {
            Ok(_) => Ok(Self::of(program)),
            Err(error) => {
                Err(Fault::new("token", format!("/proc is needed to start token processes: {error}")))
            }
        }
    }

    /// Another copy of this program, with the hidden subcommand.
    #[must_use]
    pub fn of(program: PathBuf) -> Self {
        Self { program, arguments: vec![OsString::from(process::WORD)] }
    }
}

/// Why there is no token process.
#[derive(Debug)]
pub(super) enum StartError {
    /// The token was asked once and said no.
    PinRefused(PinRefusal),
    /// What is wrong with the token or its keys.
    Faults(Vec<StartFault>),
    /// The process could not be made, ended, hung, or did not speak as expected.
    Process(String),
    /// The same, and it cannot be killed.
    Undead(Undead),
}

/// Makes every token process from one thread that lives as long as this does. The kernel sends a process its parent's
/// death signal when the *thread* that made it ends (prctl(2), PR_SET_PDEATHSIG); a runtime's threads come and go.
#[derive(Clone)]
pub(super) struct Spawner(mpsc::UnboundedSender<Order>);

struct Order {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// # Errors
    /// If the thread cannot be made.
    pub(super) fn new() -> io::Result<Self> {
        let (sender, mut orders) = mpsc::unbounded_channel::<Order>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("token-spawner".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            while let Some(mut order) = orders.blocking_recv() {
                let _ = order.reply.send(order.command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that makes token processes is gone");
        self.0.send(Order { command, reply }).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

/// What a process is started with.
pub(super) struct Start<'a> {
    pub(super) spawner: &'a Spawner,
    pub(super) launch: &'a Launch,
    pub(super) config: &'a Config,
    pub(super) setup: &'a Setup,
    pub(super) keeper: &'a Arc<Gatekeeper>,
    /// How long it may take until its report.
    pub(super) limit: Duration,
}

/// A running token process. Dropped, it is killed.
pub(super) struct TokenProcess {
    body: Body,
    control: UnixStream,
    started: Started,
}

/// The process itself, and what answers it at the gate.
#[derive(Debug)]
struct Body {
    token: TokenName,
    child: Child,
    attended: JoinHandle<()>,
}

/// A process that was killed and is not gone: it is in a call of the kernel that does not return, and may still be at its token.
#[derive(Debug)]
pub(super) struct Undead(Box<Body>);

impl TokenProcess {
    /// Starts a process and waits for its report.
    ///
    /// # Errors
    /// [`StartError`]; a process that was made is gone.
    pub(super) async fn start(with: Start<'_>) -> Result<Self, StartError> {
        let Start { spawner, launch, config, setup, keeper, limit } = with;
        let process = |error: io::Error| StartError::Process(error.to_string());
        let (control, theirs) = pair().map_err(process)?;
        let (gate, door) = pair().map_err(process)?;
        let mut command = Command::new(&launch.program);
        command
            .arg0("countersign")
            .args(&launch.arguments)
            .env_clear()
            .envs(&config.environment)
            .kill_on_drop(true);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawner.spawn(command).await.map_err(process)?;
        let said = child.stderr.take().map(|pipe| stderr::follow(config.name.clone(), pipe));
        let attended = tokio::spawn(keeper.clone().attend(gate));
        let mut body = Body { token: config.name.clone(), child, attended };
        let mut control = control;
        let report = tokio::time::timeout(limit, introduce(&mut control, door, setup)).await;
        let error = match report {
            Ok(Ok(Report::Started(started))) => return Ok(Self { body, control, started }),
            Ok(Ok(Report::Refused(Refusal::Faults(faults)))) => StartError::Faults(faults),
            Ok(Ok(Report::Refused(Refusal::PinRefused(refusal)))) => StartError::PinRefused(refusal),
            Ok(Err(error)) => StartError::Process(explain(&mut body.child, &error).await),
            Err(_) => {
                // It has had its time.
                let _ = body.child.start_kill();
                StartError::Process(format!(
                    "the token process did not report within {limit:?}; does the module reach its token?"
                ))
            }
        };
        let ended = body.end(control).await;
        // Its last words say why, and are logged before anybody acts on the error.
        if let Some(said) = said {
            let _ = tokio::time::timeout(LAST_WORDS, said).await;
        }
        ended.map_err(StartError::Undead)?;
        Err(error)
    }

    /// What it found.
    pub(super) fn started(&self) -> &Started {
        &self.started
    }

    /// Hands over one end of a socket pair for each session, and returns the other ends. From here on it may sign.
    ///
    /// # Errors
    /// If the process is gone.
    pub(super) async fn open_sessions(&mut self) -> io::Result<Vec<UnixStream>> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.started.sessions.min(MAX_SESSIONS) {
            let (left, right) = pair()?;
            ours.push(left);
            theirs.push(right);
        }
        let fds: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        send(&self.control, &fds).await?;
        Ok(ours)
    }

    /// Returns once the process has ended by itself, with how.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.body.child.wait().await
    }

    /// Hangs up, waits for it to let go of the token, and kills it if it does not. How it failed in that, if it did, for [`warn_of_end`].
    ///
    /// # Errors
    /// As [`Self::kill`].
    pub(super) async fn finish(self) -> Result<Option<ExitStatus>, Undead> {
        let ended = self.body.end(self.control).await?;
        Ok(ended.filter(|status| !status.success()))
    }

    /// Kills it, and returns once it is gone, and what it did at the gate is noted.
    ///
    /// # Errors
    /// [`Undead`] if it is not gone within [`KILLED`].
    pub(super) async fn kill(self) -> Result<(), Undead> {
        self.body.kill().await
    }
}

impl Body {
    /// How it has ended, if it has by itself.
    async fn end(mut self, control: UnixStream) -> Result<Option<ExitStatus>, Undead> {
        drop(control);
        let ended = tokio::time::timeout(END, self.child.wait()).await;
        if ended.is_err() {
            tracing::warn!(token = %self.token, "a token process did not end within {END:?}; it is killed");
        }
        self.kill().await?;
        Ok(ended.ok().and_then(Result::ok))
    }

    async fn kill(mut self) -> Result<(), Undead> {
        // An error is that it is gone.
        let _ = self.child.start_kill();
        if tokio::time::timeout(KILLED, self.gone()).await.is_ok() {
            return Ok(());
        }
        tracing::error!(
            token = %self.token, pid = self.child.id(),
            "THE TOKEN PROCESS CANNOT BE KILLED: the kernel does not let go of it. No other is started before it is gone; see what \
             it waits for (`/proc/PID/stack`, `/proc/PID/wchan`), and that the token's device and file systems answer"
        );
        Err(Undead(Box::new(self)))
    }

    /// Its child may have left the gate to another, which says nothing there.
    async fn gone(&mut self) {
        let _ = self.child.wait().await;
        if tokio::time::timeout(LAST_WORDS, &mut self.attended).await.is_err() {
            self.attended.abort();
        }
    }
}

impl Undead {
    /// Returns once it is gone after all.
    pub(super) async fn gone(mut self) {
        self.0.gone().await;
        tracing::warn!(token = %self.0.token, "the token process that could not be killed is gone");
    }

    /// What to do, for people.
    pub(super) fn message(&self) -> String {
        let pid = self.0.child.id().unwrap_or_default();
        format!(
            "its process {pid} cannot be killed, for the kernel does not let go of it; see what it waits for (/proc/{pid}/stack), and that \
             the token's device and file systems answer"
        )
    }
}

/// Its module may have left the token as nobody knows.
pub(super) fn warn_of_end(token: &TokenName, status: ExitStatus) {
    tracing::warn!(%token, %status, "a token process failed when it was to let go of the token");
}

/// Our end, and the one that a token process gets.
fn pair() -> io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

async fn send(control: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    control.async_io(Interest::WRITABLE, || frame::send_sockets(control, sockets)).await
}

async fn introduce(
    control: &mut UnixStream,
    door: std::os::unix::net::UnixStream,
    setup: &Setup,
) -> io::Result<Report> {
    send(control, &[door.as_fd()]).await?;
    drop(door);
    let mut bytes = Vec::new();
    frame::encode(setup, &mut bytes)?;
    control.write_all(&bytes).await?;
    match frame::decode(&frame::read_async(control).await?)? {
        Report::Started(started) if started.keys.len() != setup.keys.len() || started.sessions == 0 => {
            Err(io::Error::other("it did not report every key and at least one session"))
        }
        report => Ok(report),
    }
}

/// Says how a process ended that hung up before its report: a module that crashes is found here.
async fn explain(child: &mut Child, error: &io::Error) -> String {
    match tokio::time::timeout(END, child.wait()).await {
        Ok(Ok(status)) if error.kind() != io::ErrorKind::Other => {
            format!("the token process ended before its report ({status}); what it said is in the log")
        }
        _ => format!("the token process does not speak as expected: {error}"),
    }
}
