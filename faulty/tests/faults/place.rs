//! A SoftHSM2 token with two keys, the faulty module before it, and processes that use both.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use countersign_faulty::{Control, module};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, Result, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use cryptoki_sys::{CK_FUNCTION_LIST, CK_SESSION_HANDLE, CK_SLOT_ID, CKF_SERIAL_SESSION, CKR_OK};
use rustix::process::{Pid, Signal, kill_process};

pub const PIN: &str = "71083924";
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const DIGEST: [u8; 32] = [7; 32];

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";
const SO_PIN: &str = "10293847";
/// In the environment of a test's own process: its place, and how many processes there were before it.
const DIR: &str = "FAULTY_TEST_DIR";
const RUN: &str = "FAULTY_TEST_RUN";

/// A test whose body runs in a process of its own.
macro_rules! alone {
    ($(#[$meta:meta])* fn $name:ident($token:ident) $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            if let Some(place) = crate::place::outside(name, |$token| $body) {
                place.run_ok();
            }
        }
    };
}

/// Runs `body` in a process that [`Place::run`] made; in any other, makes a place to run it in.
pub fn outside(name: &str, body: impl FnOnce(&Token)) -> Option<Place> {
    let Some(dir) = std::env::var_os(DIR) else { return Some(Place::new(name)) };
    body(&Token::load(Path::new(&dir)));
    None
}

/// Where a test's token and script are.
pub struct Place {
    pub dir: tempfile::TempDir,
    /// The test's name within this program.
    test: String,
    pub control: Control,
    runs: std::cell::Cell<u32>,
}

impl Place {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tokens")).unwrap();
        let conf = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.path().display());
        std::fs::write(dir.path().join("softhsm2.conf"), conf).unwrap();
        let test = name.split_once("::").unwrap().1.to_owned();
        let control = Control::new(&script(dir.path())).unwrap();
        // The process that runs the test has a control of its own.
        control.expect_violations();
        let place = Self { dir, test, control, runs: std::cell::Cell::new(0) };
        place.tool(
            "softhsm2-util",
            &["--init-token", "--free", "--label", "t", "--so-pin", SO_PIN, "--pin", PIN],
        );
        for (label, id) in [("a", "01"), ("b", "02")] {
            let login = ["--module", REAL, "--token-label", "t", "--login", "--pin", PIN];
            let key = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", id];
            place.tool("pkcs11-tool", &[&login[..], &key].concat());
        }
        place
    }

    fn tool(&self, program: &str, arguments: &[&str]) {
        let output = self.with_environment(Command::new(program).args(arguments)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn with_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SOFTHSM2_CONF", self.dir.path().join("softhsm2.conf"))
    }

    /// Runs the test's body in a new process, to its end; one that takes too long is killed.
    pub fn run(&self) -> Output {
        self.run_with(|command| command)
    }

    /// The same, with another environment.
    pub fn run_with(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&self.test, "--exact", "--nocapture"]).envs(self.control.environment(REAL));
        command.env(DIR, self.dir.path()).env(RUN, self.runs.get().to_string());
        self.runs.set(self.runs.get() + 1);
        self.with_environment(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let child = command.spawn().unwrap();
        let process = Pid::from_child(&child);
        let (ended, end) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE * 2) == Err(RecvTimeoutError::Timeout) {
                // It may have ended in this very moment.
                let _ = kill_process(process, Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        output
    }

    /// The same; it must succeed, and it must have been the test.
    pub fn run_ok(&self) {
        passed(self.run());
    }
}

/// Ends the test unless the process did what it was to do.
pub fn passed(output: Output) {
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let passed = output.status.success() && told[0].contains("1 passed");
    assert!(passed, "{}:\n{}\n{}", output.status, told[0], told[1]);
}

/// Where a test's script is.
pub fn script(dir: &Path) -> PathBuf {
    dir.join("script.toml")
}

/// The token through the faulty module, as the one process of it sees it.
pub struct Token {
    pub module: Pkcs11,
    pub control: Control,
}

impl Token {
    fn load(dir: &Path) -> Self {
        Self { module: Pkcs11::new(module().unwrap()).unwrap(), control: Control::new(&script(dir)).unwrap() }
    }

    /// How many processes of this test there were before.
    #[expect(clippy::unused_self, reason = "there is no other way to a run's number")]
    pub fn run(&self) -> u32 {
        std::env::var(RUN).unwrap().parse().unwrap()
    }

    pub fn initialize(&self) {
        self.module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    }

    pub fn finalize(&self) {
        self.module.clone().finalize().unwrap();
    }

    pub fn slot(&self) -> Slot {
        let slots = self.module.get_slots_with_initialized_token().unwrap();
        *slots.first().unwrap()
    }

    pub fn info(&self) -> TokenInfo {
        self.module.get_token_info(self.slot()).unwrap()
    }

    /// A session without a login.
    pub fn open(&self) -> Result<Session> {
        self.module.open_ro_session(self.slot())
    }

    /// A session with one.
    pub fn log_in(&self) -> Session {
        self.initialize();
        let session = self.open().unwrap();
        log_in(&session).unwrap();
        session
    }
}

pub fn log_in(session: &Session) -> Result<()> {
    session.login(UserType::User, Some(&AuthPin::new(PIN.into())))
}

/// The handle of a key by its label.
pub fn find(session: &Session, class: ObjectClass, label: &str) -> Option<ObjectHandle> {
    let wanted = [Attribute::Class(class), Attribute::Label(label.into())];
    session.find_objects(&wanted).unwrap().pop()
}

pub fn private_key(session: &Session, label: &str) -> ObjectHandle {
    find(session, ObjectClass::PRIVATE_KEY, label).expect("a private key")
}

pub fn sign(session: &Session, key: ObjectHandle) -> Result<Vec<u8>> {
    session.sign(&Mechanism::Ecdsa, key, &DIGEST)
}

/// Whether it is the key of this label that signed.
pub fn verifies(session: &Session, label: &str, signature: &[u8]) -> bool {
    let public = find(session, ObjectClass::PUBLIC_KEY, label).expect("a public key");
    session.verify(&Mechanism::Ecdsa, public, &DIGEST, signature).is_ok()
}

/// The code of a call that must fail.
pub fn code<T>(result: Result<T>) -> RvError {
    match result {
        Err(Error::Pkcs11(code, _)) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it did not fail"),
    }
}

/// The module's functions, as a caller in C has them: `cryptoki` lets nobody share a session.
pub fn functions() -> CK_FUNCTION_LIST {
    // SAFETY: the module is loaded already, and trusted.
    let library = unsafe { cryptoki_sys::Pkcs11::new(countersign_faulty::module().unwrap()) }.unwrap();
    let mut list = std::ptr::null_mut();
    // SAFETY: there is a place for the pointer, which the module then fills in.
    unsafe {
        assert_eq!(library.C_GetFunctionList(&raw mut list), CKR_OK);
        *list
    }
}

/// A session, as a caller in C opens it.
pub fn open_in_c(functions: &CK_FUNCTION_LIST, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
    let (open, mut session) = (functions.C_OpenSession.unwrap(), 0);
    // SAFETY: the arguments are as the standard wants them.
    let code = unsafe { open(slot, CKF_SERIAL_SESSION, std::ptr::null_mut(), None, &raw mut session) };
    assert_eq!(code, CKR_OK);
    session
}
