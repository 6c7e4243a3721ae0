//! What is a YubiKey's own: cards that are pulled and swapped, PINs that block, touches, and other programs at the same card.
//!
//! A real daemon, the real pcscd, a virtual YubiKey. What every token promises is in `tests/contract/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/ca.rs"]
mod ca;
mod card;
mod certificate;
#[allow(dead_code, reason = "the contract needs more of it")]
mod desk;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/forge.rs"]
mod forge;
mod import;
mod keys;
#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../contract/load.rs"]
mod load;
mod manage;
mod modules;
mod operator;
mod others;
mod pin;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/pki.rs"]
mod pki;
mod provision;
mod secrets;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/site.rs"]
mod site;
mod soak;
mod terminal;
mod touch;
mod two;
mod x509;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use virtual_yubikey::Settings;

use crate::desk::{Desk, SERIAL, write_pin};
use crate::site::Site;

/// A site whose only token is the YubiKey on its desk.
struct Place {
    site: Site,
    desk: Desk,
}

/// One key in the card: slot, scheme, and policies in ykman's words.
type Key<'a> = (&'a str, &'a str, &'a [&'a str]);

impl Place {
    /// A card with a P-256 key in 9c, whose PIN policy is "always" there.
    fn new() -> Self {
        Self::with(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "")
    }

    /// A card with this key, `user-ca`, and `more` in the token's section.
    fn with(settings: Settings, key: Key<'_>, more: &str) -> Self {
        let place = Self::without_key(settings, key, more);
        place.desk.generate_with(key.0, key.1, key.2);
        place
    }

    fn without_key(settings: Settings, (slot, scheme, _): Key<'_>, more: &str) -> Self {
        let site = Site::without_token("");
        let desk = Desk::with(site.dir(), settings);
        write_pin(&site.path("pin"));
        let (_, socket) = desk.pcscd.environment();
        let base = site.base_config();
        let base = base.split("[token.soft]").next().unwrap();
        site.configure(&format!("{base}{}{}", token(&socket, more), user_ca(slot, scheme)));
        Self { site, desk }
    }

    /// A key that was not made in the card will do.
    fn accept_imported(&self) {
        let config = std::fs::read_to_string(self.site.path("countersign.toml")).unwrap();
        let accept = "[key.user-ca]\naccept = [\"not-local\"]\n";
        self.site.configure(&config.replace("[key.user-ca]\n", accept));
    }

    fn pin_file(&self) -> std::path::PathBuf {
        self.site.path("pin")
    }

    fn write_pin(&self, pin: &str) {
        write(&self.pin_file(), pin);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Writes a file of mode 0600.
fn write_secret(place: &Place, name: &str, text: &str) {
    let path = place.site.path(name);
    write(&path, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn token(socket: &str, more: &str) -> String {
    format!(
        "[token.yubi]\nyubikey = {SERIAL}\npin_file = \"pin\"\n{more}\n\
         [token.yubi.environment]\nPCSCLITE_CSOCK_NAME = {socket:?}\n"
    )
}

fn user_ca(slot: &str, scheme: &str) -> String {
    format!(
        "[key.user-ca]\npurpose = \"ssh-user-ca\"\nscheme = {scheme:?}\ntoken = \"yubi\"\nslot = {slot:?}\n\
         [key.user-ca.allow.staff]\ncallers = [\"spiffe://countersign.example/front-end\"]\n\
         principals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"1000000/m\"\nextensions = [\"permit-pty\"]\n"
    )
}
