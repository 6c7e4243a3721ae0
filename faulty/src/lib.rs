//! A PKCS#11 module for tests: it forwards to a real module and breaks as a script tells it to.
//!
//! In: the real module's path in `FAULTY_MODULE`, and a script's path in `FAULTY_CONTROL`, which a test replaces while the
//! module runs. Out: what the real module says, or what a broken token would. Without a script it only forwards and counts.
//! A test drives it through [`Control`] and finds the built module with [`module`]:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use countersign_faulty::{Action, Call, Code, Control, On, Script, module};
//!
//! let control = Control::new("/some/directory/script.toml".as_ref())?;
//! let (module, environment) = (module()?, control.environment("/usr/lib/softhsm/libsofthsm2.so"));
//! // … start something that loads `module` with `environment`, and then:
//! let fail = Action::Fail(Code::CKR_DEVICE_ERROR);
//! control.set(&Script::on(On::call(Call::Sign, fail).after(3).times(1)))?;
//! // … see how it takes that, and:
//! control.clear()?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Control`] that is dropped fails the test if a session had two calls at once meanwhile.
//!
//! By hand: write the script's TOML ([`Script`]) to the path in `FAULTY_CONTROL`; at most one new script a second.
//!
//! Facts, seen with real modules (`field-notes` R1 to R9, R18, R42): which codes come back from dead sessions, that a
//! session may look well and not sign, that some deaths end with `C_Finalize` only, that a token locks its PIN.
//! Assumptions, where vendors differ or no hardware was asked:
//! - A call that only asks for a signature's length fails if its session is dead, and is spared by the script otherwise.
//! - A `C_Sign` or `C_SignFinal` that fails ends the operation; a call that hangs goes on once the script changes.
//! - The last wrong PIN is answered `CKR_PIN_INCORRECT`, and every try after it `CKR_PIN_LOCKED`; a right one resets the count.
//! - A token with a PIN pad takes a PIN from the caller as well, and one that nobody comes to answers `CKR_FUNCTION_CANCELED` at once.
//! - A token that wants a login for each signature takes every mechanism's data in parts, which SoftHSM2 does not: such
//!   callers log in between `C_SignInit` and `C_SignUpdate`.
//! - A module that wants parameters of EdDSA means Ed25519 by those of no hash and no context, as Thales writes of Luna; the standard
//!   has them for Ed25519ctx.
//! - The cap on sessions holds for each process by itself. A dead session no longer counts.
//! - A session is idle from the start of the last call on it, and only the next call finds out that it was for too long.
//! - Only v2.40's functions are there: `C_GetInterface` is not.

pub use self::call::Call;
pub use self::code::{Code, UnknownCode};
pub use self::control::{Control, module};
pub use self::script::{Action, Heals, On, Renumber, Script, Token};

mod board;
mod call;
mod code;
mod control;
mod engine;
mod export;
mod objects;
mod real;
mod script;
mod session;
mod slots;

/// Names the real module's path in the environment of whoever loads this one.
pub const MODULE_VARIABLE: &str = "FAULTY_MODULE";
/// Names the script's path there.
pub const CONTROL_VARIABLE: &str = "FAULTY_CONTROL";
