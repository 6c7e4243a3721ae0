//! What breaks, in the order of a round: how, for how long, and what it may cost.
//!
//! Promised: a fault that does not strike fails the soak. The module's scoreboard says that it did ([`Strikes`]), and the
//! daemon's log that it was noticed.

use std::time::Duration;

use countersign_faulty::{Action, Call, Code, Control, Heals, On, Renumber, Script, Token as Like};

use crate::site::PATIENCE;

/// How long a fault lasts that does: longer than the token's deadline.
const LASTS: Duration = Duration::from_secs(3);

/// One thing that breaks.
pub struct Fault {
    pub name: &'static str,
    pub script: Script,
    pub course: Course,
    /// What the daemon's log says of it, if it is more than slowness.
    pub said: Option<&'static str>,
}

/// How a fault goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Course {
    /// Over as soon as it has struck; the token's process heals, and is not replaced.
    Passes,
    /// It slows down what is signed for a while, and costs no process.
    Slows,
    /// It strikes whatever is signed for a while. That wears out the ladder, which costs the process.
    Lasts,
    /// The same, and the PIN is latched in the end, until an operator says that it is right.
    Latches,
}

impl Course {
    /// Whether the token's processes are the same ones afterwards.
    pub fn keeps_processes(self) -> bool {
        matches!(self, Self::Passes | Self::Slows)
    }

    /// How long until it may end: a fault ends when it has struck and this is over.
    pub fn lasts(self) -> Duration {
        if self == Self::Passes { Duration::ZERO } else { LASTS }
    }
}

const REOPENED: &str = "is well again: the process reopened the session";
const REINITIALIZED: &str = "is well again: the process initialised the module again";
/// Whichever rung it was.
const HEALED: &str = "is well again: the process";
const FAILED: &str = "the token failed";
const LATE: &str = "the token did not answer in time";
const REFUSED: &str = "the token refused the PIN";
const WRONG: &str = "A SIGNATURE THAT DOES NOT VERIFY";
const GONE: &str = "; it is replaced";

/// What breaks. A process initialises its module only once in ten seconds: where one may have to, it is a young one. So the last
/// fault is one that costs every process.
pub fn faults() -> Vec<Fault> {
    let fault = |name, script, course, said| Fault { name, script, course, said: Some(said) };
    let passes = |name, script, said| fault(name, script, Course::Passes, said);
    let lasts = |name, script, said| fault(name, script, Course::Lasts, said);
    let latches = |name, script, said| fault(name, script, Course::Latches, said);
    let logged_out = || die(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN);
    let refuses = On::call(Call::Login, Action::Fail(Code::CKR_PIN_INCORRECT)).times(1);
    let hangs = On::call(Call::Login, Action::Hang);
    let latency = sign(Action::DelayMicros(20_000));
    vec![
        passes("sessions die once", once(Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID), REOPENED),
        passes("sessions expire once", expiry_once(), REOPENED),
        passes("device rebooted once", once(Heals::Initialize, Code::CKR_DEVICE_REMOVED), REINITIALIZED),
        Fault { name: "20 ms of latency", script: latency, course: Course::Slows, said: None },
        lasts("C_Sign hangs", sign(Action::Hang), LATE),
        passes("logged out once", once(Heals::Login, Code::CKR_USER_NOT_LOGGED_IN), HEALED),
        lasts("CKR_DEVICE_ERROR", sign(Action::Fail(Code::CKR_DEVICE_ERROR)), FAILED),
        passes("handles mean other keys after a reboot", renumbered(), REINITIALIZED),
        lasts("sessions die", die(Heals::Reopen, Code::CKR_SESSION_HANDLE_INVALID), FAILED),
        lasts("crashes", Script::on(crash(0)).and(crash(100)).and(crash(200)), GONE),
        lasts("sessions expire", expiry(2, Script::default()), FAILED),
        lasts("logged out", logged_out(), FAILED),
        latches("the PIN is refused", logged_out().and(refuses), REFUSED),
        latches("C_Login hangs", logged_out().and(hangs), LATE),
        lasts("one session is left", capped(), FAILED),
        lasts("device rebooted", die(Heals::Initialize, Code::CKR_DEVICE_REMOVED), FAILED),
        lasts("C_Finalize hangs after a reboot", finalize_hangs(), LATE),
        lasts("short signatures", sign(Action::ShortSignature), WRONG),
        lasts("wrong signatures", sign(Action::WrongSignature), WRONG),
    ]
}

fn sign(action: Action) -> Script {
    Script::on(On::call(Call::Sign, action))
}

fn die(heals: Heals, code: Code) -> Script {
    sign(Action::Die { heals, code })
}

fn once(heals: Heals, code: Code) -> Script {
    Script::on(On::call(Call::Sign, Action::Die { heals, code }).times(1))
}

fn renumbered() -> Script {
    let mut script = once(Heals::Initialize, Code::CKR_DEVICE_REMOVED);
    script.token.renumber = Some(Renumber::OtherKey);
    script
}

fn finalize_hangs() -> Script {
    die(Heals::Initialize, Code::CKR_DEVICE_REMOVED).and(On::call(Call::Finalize, Action::Hang))
}

fn crash(after: u32) -> On {
    On::call(Call::Sign, Action::Crash).after(after).times(1)
}

fn expiry(idle_millis: u64, script: Script) -> Script {
    Script { token: Like { expire_idle_millis: Some(idle_millis), ..Like::default() }, ..script }
}

/// Each session has a call that takes longer than a session may be idle, and nothing else does.
fn expiry_once() -> Script {
    expiry(200, Script::on(On::call(Call::Sign, Action::DelayMicros(300_000)).times(4)))
}

/// Every session dies, and there is room for one new one in each process. That one lives long enough for another to find no room.
fn capped() -> Script {
    let lives = On::call(Call::SignInit, Action::DelayMicros(50_000));
    let mut script = die(Heals::Reopen, Code::CKR_SESSION_CLOSED).and(lives);
    script.token.max_sessions = Some(1);
    script
}

/// What the module had counted before a fault.
pub struct Strikes<'a> {
    control: &'a Control,
    expired: u64,
    capped: u64,
}

impl<'a> Strikes<'a> {
    pub fn begin(control: &'a Control) -> Self {
        Self { control, expired: control.expired(), capped: control.capped() }
    }

    /// Waits until every part of a fault has struck since then. Panics if one does not.
    pub fn wait_for(&self, Fault { name, script, .. }: &Fault) {
        let struck = |control: &Control| {
            control.struck(script).unwrap().iter().all(|times| *times > 0)
                && (script.token.expire_idle_millis.is_none() || control.expired() > self.expired)
                && (script.token.max_sessions.is_none() || control.capped() > self.capped)
        };
        assert!(
            self.control.wait_until(PATIENCE, struck),
            "{name}: did not strike; so often did its parts: {:?}, and {} sessions expired, {} were one too many",
            self.control.struck(script).unwrap(),
            self.control.expired() - self.expired,
            self.control.capped() - self.capped,
        );
    }
}
