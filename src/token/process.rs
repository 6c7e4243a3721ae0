//! The token process: the only one that loads a vendor's module, reads the PIN, and holds sessions.
//!
//! In: a control socket as standard input. It listens nowhere, inherits no environment but the token's own, and is handed
//! only what it must sign. It checks every length again, since the raw mechanisms sign anything. When the control socket
//! ends it lets go of the token, within a bound, and exits without `atexit` handlers, in which modules crash (R41).

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use super::device::Device;
use super::frame::{
    self, Answer, Ask, At, CallFailure, Moment, Order, Recovery, Refusal, Reply, Report, Setup, StartFault,
    Started,
};
use super::gate::Gate;
use super::input::Input;
use super::isolate::{self, Held};
use super::session::{Opened, Session, SignError};
use super::{piv, pkcs11};
use crate::key::Scheme;

/// The argument that makes `countersign` a token process.
pub(crate) const WORD: &str = "token-process";

/// The exit status of a process whose last answer is that the PIN was refused.
pub(super) const PIN_REFUSED: i32 = 3;

/// How long sessions may finish, and then the module: less than the daemon waits before it kills.
const FINISH: Duration = Duration::from_secs(2);

/// Serves one token until the daemon hangs up. Standard input must be the control socket.
///
/// # Errors
/// If the process cannot confine itself, or the daemon does not speak as expected. A token that cannot be opened is
/// reported to the daemon instead.
pub(crate) fn run() -> io::Result<()> {
    close_inherited()?;
    confine()?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(door) = frame::receive_sockets(&control)?.pop() else { return Ok(()) };
    let Some(body) = frame::read(&control)? else { return Ok(()) };
    let setup: Setup = frame::decode(&body)?;
    let gate = Gate::daemon(UnixStream::from(door));
    match hold(&setup).and_then(|held| Ok((held, open(&setup, gate)?))) {
        Ok((held, opened)) => serve(&control, &setup, held, opened),
        Err(refusal) => frame::write(&control, &Report::Refused(refusal)),
    }
}

/// Ends the process at once: no `atexit` handlers, no destructors of a module that may be stuck.
pub(crate) fn exit(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// Keeps the PINs of this process out of core files, debuggers and programs with more rights.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn seal() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Closes every descriptor but the standard ones: whatever the daemon was started with is none of the module's business.
///
/// Call it before anything else has opened one.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        inherited.extend(
            entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).filter(|fd| *fd > 2),
        );
    }
    for fd in inherited {
        // The directory's own is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// Seals this process, and ties it to the daemon.
fn confine() -> io::Result<()> {
    seal()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    orphaned()?;
    // A terminal's ^C and a service manager's SIGTERM go to every process at once. Requests may be in flight: the daemon
    // decides, and hangs up when it is done.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Ends who was tied too late: the daemon was gone by then, and whoever is the parent now is not who made the control socket.
fn orphaned() -> io::Result<()> {
    let daemon = rustix::net::sockopt::socket_peercred(io::stdin())?.pid;
    if rustix::process::getppid() == Some(daemon) {
        return Ok(());
    }
    Err(io::Error::other("the daemon that started this token process is gone"))
}

/// Before the module is loaded: no code of its vendor runs in a process that is not held.
fn hold(setup: &Setup) -> Result<Held, Refusal> {
    isolate::isolate(&setup.limits)
        .map_err(|error| Refusal::Faults(vec![StartFault { at: At::Token, message: error.to_string() }]))
}

fn open(setup: &Setup, gate: Gate) -> Result<Opened, Refusal> {
    match &setup.device {
        Device::Pkcs11(device) => pkcs11::open(device, setup, gate),
        Device::YubiKey(device) => piv::open(*device, setup, gate),
    }
}

fn serve(control: &UnixStream, setup: &Setup, held: Held, opened: Opened) -> io::Result<()> {
    let schemes: Option<Arc<[Scheme]>> = setup.keys.iter().map(|key| scheme(&key.scheme)).collect();
    let schemes = schemes.ok_or_else(|| io::Error::other("a scheme that this binary does not know"))?;
    let (token, pin, keys, sessions) = (opened.token, opened.pin, opened.keys, opened.sessions.len());
    frame::write(control, &Report::Started(Started { token, held, pin, sessions, keys }))?;
    // The daemon has compared the keys with the pinned ones before it hands over any socket.
    let sockets = frame::receive_sockets(control)?;
    let (busy, all_done) = mpsc::channel::<()>();
    for (mut session, socket) in opened.sessions.into_iter().zip(sockets) {
        let (schemes, busy) = (schemes.clone(), busy.clone());
        thread::Builder::new().name("session".to_owned()).spawn(move || {
            // An error here is a daemon that hung up in mid-frame: there is nobody left to tell.
            let _ = answer_all(session.as_mut(), &schemes, &UnixStream::from(socket));
            drop((session, busy));
        })?;
    }
    drop(busy);
    wait_for_end(control);
    if all_done.recv_timeout(FINISH) == Err(mpsc::RecvTimeoutError::Disconnected) {
        finish(opened.finish);
    }
    Ok(())
}

/// The scheme of this name; both ends of the socket are the same binary, so that there always is one.
pub(super) fn scheme(name: &str) -> Option<Scheme> {
    Scheme::ALL.into_iter().find(|scheme| scheme.name() == name)
}

/// How long an answer may wait for those after it. The daemon waits for each as long as its deadline, and what it was not told
/// of is lost if a later call hangs or crashes.
const TOGETHER: Duration = Duration::from_millis(1);

/// One session's life: read, sign, write. Quick answers to a chunk go back together: a wake-up costs the daemon more than that
/// millisecond costs the first of them.
fn answer_all(session: &mut dyn Session, schemes: &[Scheme], socket: &UnixStream) -> io::Result<()> {
    let mut asks = BufReader::new(socket.try_clone()?);
    let mut replies = BufWriter::new(socket);
    let mut oldest = None;
    while let Some(body) = frame::read(&mut asks)? {
        let mut recovered = None;
        let since = Instant::now();
        let mut heal = |recovery| recovered = Some(recovery);
        let answer = match frame::decode(&body)? {
            Order::Sign(ask) => answer(session, schemes, &ask, &mut heal),
            Order::Look => session.look(&mut heal).map_or_else(Answer::from, |()| Answer::Present),
        };
        let took_us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
        let reply = Reply { recovered, took_us, answer };
        frame::write(&mut replies, &reply)?;
        let status = match reply.answer {
            Answer::Signature(_)
            | Answer::Present
            | Answer::Failed(_)
            | Answer::Busy { .. }
            | Answer::Expired { .. } => None,
            Answer::Broken(_) => Some(1),
            Answer::PinRefused { .. } => Some(PIN_REFUSED),
        };
        let is_late = oldest.get_or_insert(since).elapsed() >= TOGETHER;
        if status.is_some() || is_late || asks.buffer().is_empty() {
            replies.flush()?;
            oldest = None;
        }
        if let Some(status) = status {
            exit(status);
        }
    }
    Ok(())
}

fn answer(
    session: &mut dyn Session,
    schemes: &[Scheme],
    ask: &Ask<'_>,
    heal: &mut dyn FnMut(Recovery),
) -> Answer {
    let refuse = |code: String| Answer::Failed(CallFailure { call: "the token process".to_owned(), code });
    // Those before it in its chunk may have taken long.
    if ask.until.is_some_and(Moment::is_past) {
        return Answer::Expired { given: false };
    }
    let key = usize::from(ask.key);
    let Some(scheme) = schemes.get(key) else { return refuse(format!("no key {key}")) };
    match Input::from_wire(*scheme, ask.input.to_vec()) {
        Err(error) => refuse(error.to_string()),
        Ok(input) => session.sign(key, &input, ask.until, heal).map_or_else(Answer::from, Answer::Signature),
    }
}

impl From<SignError> for Answer {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Request(failure) => Self::Failed(failure),
            SignError::Busy { given } => Self::Busy { given },
            SignError::Late { given } => Self::Expired { given },
            SignError::Process(failure) => Self::Broken(failure),
            SignError::Pin { refusal, given } => Self::PinRefused { refusal, given },
        }
    }
}

/// Returns when the daemon hangs up or is gone. It sends nothing more.
fn wait_for_end(mut control: &UnixStream) {
    while matches!(control.read(&mut [0; 64]), Ok(read) if read > 0) {}
}

/// `C_Finalize` hangs in some modules: it gets a thread and a bound, after which the process exits all the same.
fn finish(finish: Box<dyn FnOnce() + Send>) {
    let (done, finished) = mpsc::channel::<()>();
    let started = thread::Builder::new().name("finish".to_owned()).spawn(move || {
        finish();
        drop(done);
    });
    if started.is_ok() {
        let _ = finished.recv_timeout(FINISH);
    }
}

#[cfg(test)]
mod tests;
