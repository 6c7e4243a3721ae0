//! Clients that we did not write take the virtual YubiKey for one: OpenSC, yubico-piv-tool, ykman and ykcs11, through the
//! real pcscd. Each test has a pcscd and a card of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is how they fail")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use virtual_yubikey::{Firmware, Pcscd, Settings, VirtualYubiKey};

const MANAGEMENT_KEY: &str = "010203040506070801020304050607080102030405060708";
/// Where the card is. ykman would try the second reader as well, which is empty, and wait for it.
const IN_FIRST: [&str; 2] = ["--reader", "Yubico YubiKey OTP+FIDO+CCID 00 00"];
const YKCS11: &str = "/usr/lib/x86_64-linux-gnu/libykcs11.so.2";
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

/// A card in a reader, and a directory for what clients write.
struct Desk {
    card: VirtualYubiKey,
    pcscd: Pcscd,
    dir: TempDir,
}

impl Desk {
    fn new(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let pcscd = Pcscd::start(dir.path()).unwrap();
        let mut card = VirtualYubiKey::new(&dir.path().join("state"), settings).unwrap();
        card.insert(&pcscd.first()).unwrap();
        Self { card, pcscd, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a client in the directory; whether it succeeded, and all that it said.
    fn client(&self, program: &str, args: &[&str]) -> (bool, String) {
        let output = Command::new(program)
            .args(args)
            .envs([self.pcscd.environment()])
            .current_dir(self.dir.path())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; ci/test installs it"));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn ok(&self, program: &str, args: &[&str]) -> String {
        let (succeeded, said) = self.client(program, args);
        assert!(succeeded, "{program} {args:?}: {said}");
        said
    }

    fn refused(&self, program: &str, args: &[&str]) {
        let (succeeded, said) = self.client(program, args);
        assert!(!succeeded, "{program} {args:?}: {said}");
    }

    fn ykman(&self, args: &[&str]) -> String {
        self.ok("ykman", &[&IN_FIRST, args].concat())
    }

    fn ykman_refuses(&self, args: &[&str]) {
        self.refused("ykman", &[&IN_FIRST, args].concat());
    }

    fn piv_tool(&self, args: &[&str]) -> String {
        self.ok("yubico-piv-tool", &[&["--reader="], args].concat())
    }

    fn openssl(&self, args: &[&str]) -> String {
        self.ok("openssl", args)
    }

    /// Generates a key and a certificate that it signs for itself, and lets OpenSSL verify that.
    fn key_with_certificate(&self, slot: &str, algorithm: &str) {
        let public = format!("{slot}.pub");
        self.ykman(&["piv", "keys", "generate", "-m", MANAGEMENT_KEY, "-a", algorithm, slot, &public]);
        let subject = format!("CN=slot {slot}");
        self.ykman(&[
            "piv",
            "certificates",
            "generate",
            "-m",
            MANAGEMENT_KEY,
            "-P",
            "123456",
            "-s",
            &subject,
            slot,
            &public,
        ]);
        let certificate = format!("{slot}.pem");
        self.ykman(&["piv", "certificates", "export", slot, &certificate]);
        self.openssl(&["verify", "-check_ss_sig", "-partial_chain", "-trusted", &certificate, &certificate]);
    }

    /// Lets the card attest a slot's key, and OpenSSL check that down to the root; the attestation as text.
    fn attestation(&self, slot: &str) -> String {
        self.ykman(&["piv", "keys", "attest", slot, "attestation.pem"]);
        self.ykman(&["piv", "certificates", "export", "f9", "f9.pem"]);
        fs::write(self.path("root.pem"), self.card.attestation_root()).unwrap();
        self.openssl(&["verify", "-CAfile", "root.pem", "-untrusted", "f9.pem", "attestation.pem"]);
        self.openssl(&["x509", "-in", "attestation.pem", "-noout", "-text"])
    }
}

#[test]
fn ykman_lists_it_and_tells_its_firmware_and_serial() {
    let desk = Desk::new(Settings::of(12_345_678));
    let list = desk.ok("ykman", &["list"]);
    assert!(list.contains("(5.7.1)") && list.contains("Serial: 12345678"), "{list}");
    let info = desk.ykman(&["piv", "info"]);
    assert!(info.contains("PIN tries remaining:      3/3") && info.contains("AES192"), "{info}");
}

#[test]
fn ykman_signs_certificates_with_every_curve() {
    let desk = Desk::new(Settings::of(12_345_678));
    for (slot, algorithm) in [("9a", "ECCP256"), ("9c", "ECCP384"), ("9e", "ED25519")] {
        desk.key_with_certificate(slot, algorithm);
    }
}

#[test]
fn ykman_signs_certificates_with_rsa_of_every_size() {
    let desk = Desk::new(Settings::of(12_345_678));
    for (slot, algorithm) in [("9d", "RSA2048"), ("82", "RSA3072"), ("95", "RSA4096")] {
        desk.key_with_certificate(slot, algorithm);
    }
}

#[test]
fn ykman_has_keys_attested_moved_and_deleted() {
    let desk = Desk::new(Settings::of(12_345_678));
    desk.key_with_certificate("9a", "ECCP256");
    let attestation = desk.attestation("9a");
    assert!(attestation.contains("CN = YubiKey PIV Attestation 9a"), "{attestation}");
    assert!(attestation.contains("1.3.6.1.4.1.41482.3.7"), "{attestation}");
    desk.ykman(&["piv", "keys", "move", "-m", MANAGEMENT_KEY, "9a", "83"]);
    desk.ykman_refuses(&["piv", "keys", "info", "9a"]);
    assert!(desk.ykman(&["piv", "keys", "info", "83"]).contains("GENERATED"));
    desk.ykman(&["piv", "keys", "delete", "-m", MANAGEMENT_KEY, "83"]);
    desk.ykman_refuses(&["piv", "keys", "info", "83"]);
}

#[test]
fn ykman_imports_keys_that_are_not_attested() {
    let desk = Desk::new(Settings::of(12_345_678));
    desk.openssl(&["genrsa", "-out", "rsa.pem", "2048"]);
    desk.openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "ec.pem"]);
    desk.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    for (slot, file) in [("9a", "rsa.pem"), ("9d", "ec.pem"), ("84", "ed.pem")] {
        desk.ykman(&["piv", "keys", "import", "-m", MANAGEMENT_KEY, slot, file]);
        desk.ykman(&["piv", "keys", "export", slot, "card.pub"]);
        let ours = desk.openssl(&["pkey", "-in", file, "-pubout"]);
        assert_eq!(fs::read_to_string(desk.path("card.pub")).unwrap(), ours);
        desk.ykman_refuses(&["piv", "keys", "attest", slot, "attestation.pem"]);
    }
}

#[test]
fn pin_and_puk_change_block_and_unblock() {
    let desk = Desk::new(Settings::of(12_345_678));
    desk.ykman(&["piv", "access", "change-pin", "-P", "123456", "-n", "654321"]);
    desk.ykman(&["piv", "access", "change-puk", "-p", "12345678", "-n", "87654321"]);
    for left in [2, 1, 0] {
        desk.ykman_refuses(&["piv", "access", "change-pin", "-P", "123456", "-n", "111111"]);
        assert_eq!(desk.card.tries_left(), (left, 3));
    }
    desk.ykman_refuses(&["piv", "access", "change-pin", "-P", "654321", "-n", "111111"]);
    desk.ykman(&["piv", "access", "unblock-pin", "-p", "87654321", "-n", "222222"]);
    assert_eq!(desk.card.tries_left(), (3, 3));
    desk.ykman(&["piv", "access", "set-retries", "-f", "-m", MANAGEMENT_KEY, "-P", "222222", "5", "7"]);
    assert_eq!(desk.card.tries_left(), (5, 7));
}

#[test]
fn management_keys_of_every_cipher_unlock_it() {
    let desk = Desk::new(Settings::of(12_345_678));
    let mut current = MANAGEMENT_KEY.to_owned();
    for (cipher, len) in [("AES128", 16), ("AES192", 24), ("AES256", 32), ("TDES", 24)] {
        let next = "0a1b2c3d".repeat(len / 4);
        desk.ykman(&[
            "piv",
            "access",
            "change-management-key",
            "-f",
            "-a",
            cipher,
            "-m",
            &current,
            "-n",
            &next,
        ]);
        desk.ykman(&["piv", "keys", "generate", "-m", &next, "9e", "9e.pub"]);
        current = next;
    }
    desk.ykman_refuses(&["piv", "keys", "generate", "-m", MANAGEMENT_KEY, "9e", "9e.pub"]);
}

#[test]
fn a_reset_wants_both_secrets_blocked_and_leaves_the_attestation_key() {
    let desk = Desk::new(Settings::of(12_345_678));
    desk.key_with_certificate("9a", "ECCP256");
    desk.refused("yubico-piv-tool", &["--reader=", "--action=reset"]);
    desk.ykman(&["piv", "reset", "-f"]);
    desk.ykman_refuses(&["piv", "keys", "info", "9a"]);
    assert_eq!(desk.card.tries_left(), (3, 3));
    desk.key_with_certificate("9a", "ECCP256");
    desk.attestation("9a");
}

#[test]
fn yubico_piv_tool_uses_a_card_of_before_5_7() {
    let settings = Settings { firmware: Firmware::V5_4_3, ..Settings::of(12_345_678) };
    let desk = Desk::new(settings);
    let status = desk.piv_tool(&["--action=status"]);
    assert!(status.contains("5.4.3") && status.contains("Serial Number:\t12345678"), "{status}");
    desk.piv_tool(&["--action=generate", "--slot=9c", "--algorithm=ECCP256", "--output=9c.pub"]);
    fs::write(desk.path("message"), "it").unwrap();
    let sign = ["--action=verify-pin", "--pin=123456", "--sign", "--slot=9c", "--algorithm=ECCP256"];
    desk.piv_tool(&[&sign[..], &["--input=message", "--output=signature"]].concat());
    desk.openssl(&["dgst", "-sha256", "-verify", "9c.pub", "-signature", "signature", "message"]);
    desk.openssl(&["genrsa", "-out", "rsa.pem", "2048"]);
    desk.openssl(&["req", "-x509", "-key", "rsa.pem", "-subj", "/CN=imported", "-out", "rsa.crt"]);
    desk.piv_tool(&["--action=import-key", "--slot=9d", "--input=rsa.pem"]);
    desk.piv_tool(&["--action=import-certificate", "--slot=9d", "--input=rsa.crt"]);
    let test =
        ["--action=verify-pin", "--pin=123456", "--action=test-signature", "--slot=9d", "--input=rsa.crt"];
    assert!(desk.piv_tool(&test).contains("Successful RSA verification."));
    desk.piv_tool(&["--action=attest", "--slot=9c", "--output=attestation.pem"]);
    desk.refused(
        "ykman",
        &["piv", "keys", "generate", "-m", MANAGEMENT_KEY, "-a", "ED25519", "9a", "9a.pub"],
    );
}

#[test]
fn opensc_sees_the_card_and_signs_through_its_module() {
    let desk = Desk::new(Settings::of(12_345_678));
    assert!(desk.ok("opensc-tool", &["--list-readers"]).contains("Yes             Yubico YubiKey"));
    let name = desk.ok("opensc-tool", &["--name"]);
    assert!(name.contains("PIV") || name.contains("Personal Identity Verification"), "{name}");
    desk.ok("piv-tool", &["--name"]);
    desk.key_with_certificate("9a", "ECCP256");
    signs_with_id_01(&desk, OPENSC, "9a.pub");
}

#[test]
fn ykcs11_signs_with_it() {
    let settings = Settings { firmware: Firmware::V5_4_3, ..Settings::of(12_345_678) };
    let desk = Desk::new(settings);
    let generate =
        ["--login", "--login-type", "so", "--so-pin", MANAGEMENT_KEY, "--keypairgen", "--id", "01"];
    desk.ok(
        "pkcs11-tool",
        &[&["--module", YKCS11], &generate[..], &["--key-type", "EC:prime256v1"]].concat(),
    );
    desk.ykman(&["piv", "keys", "export", "9a", "9a.pub"]);
    signs_with_id_01(&desk, YKCS11, "9a.pub");
}

/// pkcs11-tool signs a digest with the key of 9a, and OpenSSL verifies that.
fn signs_with_id_01(desk: &Desk, module: &str, public: &str) {
    fs::write(desk.path("message"), "it").unwrap();
    desk.openssl(&["dgst", "-sha256", "-binary", "-out", "digest", "message"]);
    let sign =
        ["--module", module, "--login", "--pin", "123456", "--sign", "--mechanism", "ECDSA", "--id", "01"];
    let files = ["--input-file", "digest", "--output-file", "signature", "--signature-format", "openssl"];
    desk.ok("pkcs11-tool", &[&sign[..], &files].concat());
    desk.openssl(&["dgst", "-sha256", "-verify", public, "-signature", "signature", "message"]);
}
