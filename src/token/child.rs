//! The daemon's hold on one token process: spawn, introduce, hand over sockets, end.
//!
//! In: a [`Launch`] and a [`Setup`]. Out: a process that has reported what it found, or why it could not. Promised: it has
//! no environment but the token's, no descriptor but its control socket, and it does not outlive this handle.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, MAX_SESSIONS, PinRefusal, Refusal, Report, Setup, StartFault, Started};
use super::pin::source::PinFile;
use super::{Config, process, stderr};
use crate::config::Fault;

/// How long a token may take to load, log in and find keys: network HSMs take seconds.
const START: Duration = Duration::from_secs(60);
/// How long an ending token process may take before it is killed: above its own bounds.
const END: Duration = Duration::from_secs(5);

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

/// A running token process. Dropped, it is killed.
pub(super) struct TokenProcess {
    child: Child,
    control: UnixStream,
    started: Started,
}

impl TokenProcess {
    /// Starts a process and waits for its report.
    ///
    /// # Errors
    /// [`StartError`]; a process that was made is gone.
    pub(super) async fn start(
        spawner: &Spawner,
        launch: &Launch,
        config: &Config,
        setup: &Setup,
    ) -> Result<Self, StartError> {
        let process = |error: io::Error| StartError::Process(error.to_string());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(process)?;
        ours.set_nonblocking(true).map_err(process)?;
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
        let mut control = UnixStream::from_std(ours).map_err(process)?;
        if setup.pin_file == PinFile::Pad && setup.refused.is_none() {
            tracing::warn!(token = %config.name, "TYPE THE PIN at the token's own pad now: it is waited for, for up to {START:?}");
        }
        let report = tokio::time::timeout(START, introduce(&mut control, setup)).await;
        let error = match report {
            Ok(Ok(Report::Started(started))) => return Ok(Self { child, control, started }),
            Ok(Ok(Report::Refused(Refusal::Faults(faults)))) => StartError::Faults(faults),
            Ok(Ok(Report::Refused(Refusal::PinRefused(refusal)))) => StartError::PinRefused(refusal),
            Ok(Err(error)) => StartError::Process(explain(&mut child, &error).await),
            Err(_) => {
                let _ = child.kill().await;
                StartError::Process(format!(
                    "the token process did not report within {START:?}; does the module reach its token?"
                ))
            }
        };
        end(child, control).await;
        // Its last words say why, and are logged before anybody acts on the error.
        if let Some(said) = said {
            let _ = tokio::time::timeout(LAST_WORDS, said).await;
        }
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
            let (left, right) = std::os::unix::net::UnixStream::pair()?;
            left.set_nonblocking(true)?;
            ours.push(UnixStream::from_std(left)?);
            theirs.push(right);
        }
        let fds: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        let control = &self.control;
        control.async_io(Interest::WRITABLE, || frame::send_sockets(control, &fds)).await?;
        Ok(ours)
    }

    /// Returns once the process has ended by itself, with how.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Hangs up, waits for it to let go of the token, and kills it if it does not.
    pub(super) async fn finish(self) {
        end(self.child, self.control).await;
    }

    /// Kills it, and returns once it is gone.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

async fn end(mut child: Child, control: UnixStream) {
    drop(control);
    if tokio::time::timeout(END, child.wait()).await.is_err() {
        tracing::warn!("a token process did not end within {END:?}; it is killed");
        let _ = child.kill().await;
    }
}

async fn introduce(control: &mut UnixStream, setup: &Setup) -> io::Result<Report> {
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
