//! A YubiKey for tests: it speaks vpcd's protocol to the real pcscd, so that real clients use it as they use a real one.
//!
//! In: APDUs. Out: what PIV on a YubiKey 5 answers: PIN and PUK, management key, keys in slots 9a, 9c, 9d, 9e, 82 to 95 and
//! f9 (P-256, P-384, Ed25519, RSA 2048 to 4096), attestation, metadata, data objects. Not offered: key agreement and
//! X25519, applets other than PIV, biometrics, firmware before 5. A test plays card and reader:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use virtual_yubikey::{Pcscd, Settings, VirtualYubiKey};
//!
//! let pcscd = Pcscd::start("/some/directory".as_ref())?;
//! let mut card = VirtualYubiKey::new("/some/directory/state".as_ref(), Settings::of(12345678))?;
//! card.insert(&pcscd.first())?;
//! // … start a client with `pcscd.environment()`, and then:
//! card.remove();
//! # Ok(())
//! # }
//! ```
//!
//! By hand: the program `virtual-yubikey` in front of any pcscd with vpcd; it follows lines on its standard input.
//!
//! Facts, seen with real clients (ykman, yubico-piv-tool, OpenSC, ykcs11): the APDUs, their chaining, and the layout of what
//! comes back. Assumptions, where no hardware was asked:
//! - A SELECT, also of PIV itself, and every reset of the card forget the PIN and the management key. What is unlocked is
//!   unlocked for every client.
//! - PIN policy "always" is met by a VERIFY since the last use of any key. A use that fails counts.
//! - The last wrong PIN is answered 63C0, and every try after it 6983. A try is spent before the PIN is compared. A changed
//!   PIN that is too short leaves the old one, and gives its tries back.
//! - A touch that does not come is answered 6982, as a missing PIN is; one touch holds 15 s for policy "cached".
//! - An empty slot is answered 6A88; an imported key's attestation 6A80; MOVE KEY to a slot that is taken 6985.
//! - Ed25519 takes a message of any length that a chain holds, 4 KiB. A digest longer than the curve's is refused.
//! - Which firmware has what: metadata since 5.3.0, AES management keys since 5.4.2, the rest since 5.7.0.
//! - Attestations name "Yubico PIV Attestation" as their issuer, and only a key of a curve can issue them. The roots are the
//!   card's own.
//! - Only the PIN's and PUK's length is looked at when they change, unless `pin_complexity` says so: then 6985 refuses one character
//!   alone and the factory's. A real card's list of what is too common is longer. There is no FIPS mode.

pub use self::card::Counts;
pub use self::device::{Reader, Settings, VirtualYubiKey};
pub use self::firmware::{Firmware, NoFirmware};
pub use self::pcscd::{Pcscd, READER};
pub use self::touch::TouchMode;

mod apdu;
mod attestation;
mod card;
mod device;
mod firmware;
mod hex;
mod key;
mod management_key;
mod pcscd;
mod piv;
mod state;
mod tlv;
mod touch;
mod vpcd;
