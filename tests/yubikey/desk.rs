//! A desk with a real pcscd, and a virtual YubiKey in its first reader.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use virtual_yubikey::{Pcscd, READER, Settings, VirtualYubiKey};

use crate::site::text;

/// The serial number of the card.
pub const SERIAL: u32 = 12_345_678;
/// The PIN and the management key of a card from the factory.
pub const PIN: &str = "123456";
pub const MANAGEMENT_KEY: &str = "010203040506070801020304050607080102030405060708";

pub struct Desk {
    dir: PathBuf,
    pub card: VirtualYubiKey,
    /// Another card, which is in no reader.
    other: Option<VirtualYubiKey>,
    pub pcscd: Pcscd,
}

/// Puts the factory's PIN into a file.
pub fn write_pin(path: &Path) {
    fs::write(path, PIN).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Desk {
    /// With a card from the factory, of firmware 5.7.1.
    pub fn new(dir: &Path) -> Self {
        Self::with(dir, Settings::of(SERIAL))
    }

    /// With a new card.
    pub fn with(dir: &Path, settings: Settings) -> Self {
        let dir = dir.join("desk");
        fs::create_dir(&dir).unwrap();
        let pcscd = Pcscd::start(&dir).unwrap();
        let mut card = VirtualYubiKey::new(&dir.join("card"), settings).unwrap();
        card.insert(&pcscd.first()).unwrap();
        Self { dir, card, other: None, pcscd }
    }

    /// Makes a key for a scheme, or an RSA key of a size: `rsa:3072`.
    pub fn generate(&self, slot: &str, scheme: &str) {
        self.generate_with(slot, scheme, &[]);
    }

    /// The same, with policies in ykman's words.
    pub fn generate_with(&self, slot: &str, scheme: &str, policies: &[&str]) {
        let algorithm = match scheme {
            "ecdsa-p256-sha256" => "ECCP256",
            "ecdsa-p384-sha384" => "ECCP384",
            "ed25519" => "ED25519",
            "rsa:3072" => "RSA3072",
            "rsa:4096" => "RSA4096",
            _ => "RSA2048",
        };
        let generate = ["piv", "keys", "generate", "-m", MANAGEMENT_KEY, "-a", algorithm];
        self.ykman_ok(&[&generate[..], policies, &[slot, "public.pem"]].concat());
    }

    /// Yubico's own client, on the first reader.
    pub fn ykman(&self, args: &[&str]) -> Output {
        let reader = format!("{READER} 00 00");
        self.client("ykman").args(["--reader", &reader]).args(args).output().expect("ci/test installs ykman")
    }

    pub fn ykman_ok(&self, args: &[&str]) {
        let output = self.ykman(args);
        assert!(output.status.success(), "ykman {args:?}: {}", text(&output.stderr));
    }

    /// Any other client of pcscd.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs([self.pcscd.environment()]).current_dir(&self.dir);
        command
    }

    /// Starts pcscd again after it was killed, with the card in its reader.
    pub fn start_pcscd(&mut self) {
        self.pcscd.restart().unwrap();
        self.put_back();
    }

    /// Puts the card into its reader.
    pub fn put_back(&mut self) {
        self.card.insert(&self.pcscd.first()).unwrap();
    }

    /// Gets out another card of the same serial number and PIN, as no real one is, and puts it into the reader.
    pub fn prepare_other(&mut self) {
        self.prepare_other_with(SERIAL);
    }

    /// The same, of another serial number.
    pub fn prepare_other_with(&mut self, serial: u32) {
        let other = VirtualYubiKey::new(&self.dir.join("other"), Settings::of(serial)).unwrap();
        self.other = Some(other);
        self.exchange();
    }

    /// Puts the other card in this one's place, or back.
    pub fn exchange(&mut self) {
        self.card.remove();
        std::mem::swap(&mut self.card, self.other.as_mut().unwrap());
        self.put_back();
    }

    /// The card that is in no reader.
    pub fn other(&self) -> &VirtualYubiKey {
        self.other.as_ref().unwrap()
    }
}
