//! What happens to a call before it reaches the real module.
//!
//! In: which function, and which session. Out: leave to go on ([`Entered`]), or the code to answer instead. A call is
//! counted, then asked whether its session and token are alive, then whether the script has something for it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cryptoki_sys::{CK_RV, CK_SESSION_HANDLE, CKR_GENERAL_ERROR};
use rustix::process::{Signal, getpid, kill_process};

use crate::board::Board;
use crate::control::{board_path, generation, generation_of};
use crate::objects::Objects;
use crate::real::{Real, call};
use crate::session::{Busy, Sessions, lock};
use crate::slots::Slots;
use crate::{Action, CONTROL_VARIABLE, Call, Code, Heals, MODULE_VARIABLE, Script};

/// How often a hanging call looks for a new script.
const LOOK: Duration = Duration::from_millis(2);

static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();

/// This process's faulty module.
pub(crate) struct Engine {
    pub(crate) real: Real,
    pub(crate) board: Board,
    pub(crate) sessions: Sessions,
    pub(crate) objects: Mutex<Objects>,
    pub(crate) slots: Mutex<Slots>,
    /// Held while a session is opened, so that no two take the last place.
    pub(crate) opening: Mutex<()>,
    /// The hash of the PIN that the user logged in with.
    pub(crate) pin: Mutex<Option<u64>>,
    illness: Mutex<Illness>,
    script: Option<PathBuf>,
    plan: RwLock<Arc<Plan>>,
}

/// A script and its generation.
#[derive(Default)]
pub(crate) struct Plan {
    generation: u32,
    pub(crate) script: Script,
}

/// What is wrong with the token, and not with a session: the answer until it is healed.
#[derive(Default)]
struct Illness {
    login: Option<Code>,
    initialize: Option<Code>,
    process: Option<Code>,
}

/// What is to be done to a signature.
#[derive(Clone, Copy)]
pub(crate) enum Damage {
    /// Flip a bit.
    Wrong,
    /// Leave out the last byte.
    Short,
}

/// What happens after the real module has returned.
#[derive(Clone, Copy)]
enum Aftermath {
    Crash,
    Hang,
    Mask(Code),
}

/// Leave to call the real module.
pub(crate) struct Entered {
    pub(crate) plan: Arc<Plan>,
    pub(crate) busy: Option<Busy>,
    pub(crate) damage: Option<Damage>,
    aftermath: Option<Aftermath>,
}

/// What the script has for a call that it lets go on.
struct Struck {
    plan: Arc<Plan>,
    damage: Option<Damage>,
    aftermath: Option<Aftermath>,
}

/// The engine, made at the first call.
///
/// # Errors
/// `CKR_GENERAL_ERROR` if it cannot be; why is on standard error.
pub(crate) fn engine() -> Result<&'static Engine, CK_RV> {
    let made = ENGINE.get_or_init(|| Engine::from_environment().inspect_err(|error| complain(error)));
    made.as_ref().map_err(|_| CKR_GENERAL_ERROR)
}

impl Engine {
    fn from_environment() -> Result<Self, String> {
        let module = std::env::var_os(MODULE_VARIABLE)
            .ok_or_else(|| format!("set {MODULE_VARIABLE} to the module to forward to"))?;
        let script = std::env::var_os(CONTROL_VARIABLE).map(PathBuf::from);
        let board = match &script {
            Some(script) => Board::open(&board_path(script))
                .map_err(|error| format!("cannot map the scoreboard beside {}: {error}", script.display()))?,
            None => Board::private(),
        };
        Ok(Self {
            real: Real::load(Path::new(&module))?,
            board,
            sessions: Sessions::default(),
            objects: Mutex::default(),
            slots: Mutex::default(),
            opening: Mutex::default(),
            pin: Mutex::default(),
            illness: Mutex::default(),
            script,
            plan: RwLock::default(),
        })
    }

    /// Counts a call, and lets the script have its way with it.
    ///
    /// # Errors
    /// What is to be answered instead.
    pub(crate) fn enter(&self, call: Call, session: Option<CK_SESSION_HANDLE>) -> Result<Entered, CK_RV> {
        let entered = self.admit(call, session)?;
        let Struck { plan, damage, aftermath } = self.strike(call, session)?;
        Ok(Entered { plan, damage, aftermath, ..entered })
    }

    /// Lets the script have its way with a call that was made.
    ///
    /// # Errors
    /// What is to be answered.
    pub(crate) fn leave(
        &self,
        call: Call,
        entered: &Entered,
        result: Result<(), CK_RV>,
    ) -> Result<(), CK_RV> {
        match entered.aftermath {
            None => result,
            Some(Aftermath::Crash) => crash(),
            Some(Aftermath::Hang) => {
                self.board.count_hang(call);
                self.wait_for_another(&entered.plan);
                result
            }
            Some(Aftermath::Mask(code)) => result.map_err(|_| code.value()),
        }
    }

    /// Counts a call, and asks only whether session and token are alive.
    ///
    /// # Errors
    /// What is to be answered instead.
    pub(crate) fn admit(&self, call: Call, session: Option<CK_SESSION_HANDLE>) -> Result<Entered, CK_RV> {
        self.board.count_call(call);
        let plan = self.plan();
        // The real module refuses a session that was never opened.
        let found = session.and_then(|handle| self.sessions.get(handle));
        let busy = found.map(|session| Busy::new(session, self.board));
        if let Some(Busy { session, .. }) = &busy {
            if session.called(plan.script.token.expire_idle_millis.map(Duration::from_millis)) {
                self.board.count_expired();
            }
            if let Some(code) = session.dead().or_else(|| lock(&self.illness).forbids(call)) {
                return Err(code.value());
            }
        }
        Ok(Entered { plan, busy, damage: None, aftermath: None })
    }

    fn strike(&self, call: Call, session: Option<CK_SESSION_HANDLE>) -> Result<Struck, CK_RV> {
        'script: loop {
            let (plan, mut damage, mut aftermath) = (self.plan(), None, None);
            for (slot, on) in plan.script.on.iter().enumerate().filter(|(_, on)| on.call == call) {
                if !self.board.strikes(plan.generation, slot, on) {
                    continue;
                }
                match on.action {
                    Action::DelayMicros(micros) => std::thread::sleep(Duration::from_micros(micros)),
                    Action::Hang => {
                        self.board.count_hang(call);
                        self.wait_for_another(&plan);
                        continue 'script;
                    }
                    Action::Crash => crash(),
                    Action::CrashAfter => aftermath = Some(Aftermath::Crash),
                    Action::HangAfter => aftermath = Some(Aftermath::Hang),
                    Action::Mask(code) => aftermath = Some(Aftermath::Mask(code)),
                    Action::Fail(code) => return Err(code.value()),
                    Action::Die { heals, code } => {
                        self.kill(heals, code, session);
                        return Err(code.value());
                    }
                    Action::WrongSignature => damage = Some(Damage::Wrong),
                    Action::ShortSignature => damage = Some(Damage::Short),
                }
            }
            return Ok(Struck { plan, damage, aftermath });
        }
    }

    fn kill(&self, heals: Heals, code: Code, session: Option<CK_SESSION_HANDLE>) {
        match heals {
            Heals::Reopen => self.sessions.kill_all(code),
            Heals::Login => {
                lock(&self.illness).login = Some(code);
                if let Some(session) = session {
                    // So that the login that heals is one to the real module too.
                    let _ = call!(self.real, C_Logout(session));
                }
            }
            Heals::Initialize => lock(&self.illness).initialize = Some(code),
            Heals::Process => lock(&self.illness).process = Some(code),
        }
    }

    /// The user has logged in.
    pub(crate) fn logged_in(&self) {
        lock(&self.illness).login = None;
    }

    /// The module was finalised: sessions and logins are gone.
    pub(crate) fn finalized(&self) {
        self.sessions.forget();
        *lock(&self.pin) = None;
        let mut illness = lock(&self.illness);
        (illness.login, illness.initialize) = (None, None);
    }

    /// The script as it is now.
    fn plan(&self) -> Arc<Plan> {
        let Some(path) = &self.script else { return Arc::default() };
        let known = self.plan.read().unwrap_or_else(PoisonError::into_inner).clone();
        if newest(path) == known.generation {
            return known;
        }
        let plan = Arc::new(read(path).unwrap_or_else(|error| give_up(path, &error)));
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = plan.clone();
        plan
    }

    fn wait_for_another(&self, plan: &Plan) {
        while self.script.as_ref().is_some_and(|path| newest(path) == plan.generation) {
            std::thread::sleep(LOOK);
        }
    }
}

fn newest(path: &Path) -> u32 {
    generation(path).unwrap_or_else(|error| give_up(path, &error.to_string()))
}

impl Illness {
    /// What a call on a session is answered instead.
    fn forbids(&self, call: Call) -> Option<Code> {
        match call {
            Call::CloseSession | Call::GetSessionInfo => None,
            Call::Login | Call::Logout => self.process.or(self.initialize),
            _ => self.process.or(self.initialize).or(self.login),
        }
    }
}

/// Reads the script and the generation of the very file that was read.
fn read(path: &Path) -> Result<Plan, String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Plan::default()),
        Err(error) => return Err(error.to_string()),
    };
    let metadata: fs::Metadata = file.metadata().map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| error.to_string())?;
    let script = Script::parse(&text).map_err(|error| error.to_string())?;
    Ok(Plan { generation: generation_of(&metadata), script })
}

/// A script that cannot be read must not look like one that says nothing.
fn give_up(path: &Path, error: &str) -> ! {
    complain(&format!("the script {}: {error}", path.display()));
    std::process::abort()
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "countersign-faulty: {message}");
}

/// Dies as a module does that follows a bad pointer.
fn crash() -> ! {
    loop {
        // Rust's own handler takes the first one for a stack overflow's, and steps aside.
        let _ = kill_process(getpid(), Signal::SEGV);
    }
}
