//! SoftHSM2's convoy, with no signer: `cargo bench --bench convoy [-- SECONDS [ROUNDS]]`, on a token of its own.
//!
//! Two sessions in one process share the module's locks; on two cores their threads can fall into step, each waking the other for
//! every call, at less than the rate of one. A session in each of two processes cannot. Out: signatures a second of one session,
//! of two in one process and of one in each of two, in turn, with nothing but `C_SignInit` and `C_Sign` in the loop; each round,
//! and the least and the most of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark")]
#![allow(missing_docs, reason = "a benchmark")]

use std::env;
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const LABEL: &str = "convoy";
/// Of a token that lives as long as the measurement.
const PIN: &str = "12345678";
/// P-256, as a DER object identifier.
const CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The arguments of this program as its own child: to make the token, and to sign with so many sessions for so long.
const PREPARE: &str = "prepare";
const SIGN: &str = "sign";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |place: usize| arguments.get(place).and_then(|argument| argument.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some(PREPARE) => prepare(),
        Some(SIGN) => sign(number(1).unwrap(), Duration::from_secs(number(2).unwrap())),
        _ => measure(number(0).unwrap_or(2), number(1).unwrap_or(10)),
    }
}

fn measure(seconds: u64, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let create = Path::new(env!("CARGO_MANIFEST_DIR")).join("softhsm/create");
    assert!(Command::new(create).arg(directory.path()).stdout(Stdio::null()).status().unwrap().success());
    let conf = directory.path().join("softhsm2.conf");
    assert!(child(&conf, &[PREPARE.to_owned()]).wait().unwrap().success());
    for (shape, processes, sessions) in SHAPES {
        print!("{shape}:");
        let rates: Vec<u64> = (0..rounds).map(|_| rate(&conf, processes, sessions, seconds)).collect();
        let listed: Vec<String> = rates.iter().map(u64::to_string).collect();
        let (least, most) = (rates.iter().min().unwrap(), rates.iter().max().unwrap());
        println!(" {} signatures/s: {least} to {most}", listed.join(" "));
    }
}

/// Of so many processes with so many sessions each, together.
const SHAPES: [(&str, usize, u64); 3] = [
    ("one session", 1, 1),
    ("two sessions in one process", 1, 2),
    ("two processes with a session each", 2, 1),
];

fn rate(conf: &Path, processes: usize, sessions: u64, seconds: u64) -> u64 {
    let arguments = [SIGN.to_owned(), sessions.to_string(), seconds.to_string()];
    let (mut children, mut said) = (Vec::new(), Vec::new());
    // All have logged in before any of them signs; one after the other, for two that start at once can fail each other.
    for _ in 0..processes {
        let mut child = child(conf, &arguments);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        children.push(child);
        said.push(lines);
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let signed: u64 =
        said.iter_mut().map(|lines| lines.next().unwrap().unwrap().parse::<u64>().unwrap()).sum();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    signed / seconds
}

fn child(conf: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments).env("SOFTHSM2_CONF", conf);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn module() -> Pkcs11 {
    let module = Pkcs11::new(MODULE).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    module
}

fn pin() -> AuthPin {
    AuthPin::new(PIN.into())
}

/// Makes the token and a key for each session.
fn prepare() {
    let module = module();
    let free = module.get_slots_with_token().unwrap()[0];
    module.init_token(free, &pin(), LABEL).unwrap();
    // SoftHSM2 numbers its slots anew.
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&pin())).unwrap();
    session.init_pin(&pin()).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin())).unwrap();
    for _ in 0..2 {
        let public = [Attribute::Token(true), Attribute::EcParams(CURVE.to_vec())];
        let private = [Attribute::Token(true), Attribute::Private(true), Attribute::Sign(true)];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    }
}

/// Waits for a line, signs, and says how often.
fn sign(sessions: u64, duration: Duration) {
    let module = module();
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let sessions: Vec<Session> = (0..sessions).map(|_| module.open_ro_session(slot).unwrap()).collect();
    sessions[0].login(UserType::User, Some(&pin())).unwrap();
    println!("ready");
    assert!(stdin().lines().next().unwrap().is_ok());
    let until = Instant::now() + duration;
    let signed: u64 = std::thread::scope(|scope| {
        let sign = |(place, session)| scope.spawn(move || sign_until(session, place, until));
        let threads: Vec<_> = sessions.into_iter().enumerate().map(sign).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{signed}");
}

#[expect(clippy::needless_pass_by_value, reason = "a session is one thread's")]
fn sign_until(session: Session, place: usize, until: Instant) -> u64 {
    let key = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap()[place];
    let mut signed = 0;
    while Instant::now() < until {
        session.sign(&Mechanism::Ecdsa, key, &[7; 32]).unwrap();
        signed += 1;
    }
    signed
}
