//! A site in front of one kind of token, and what that kind is: module, schemes, the HSM's own process.
//!
//! To add a kind: a variant here with its section of the configuration, and its column in the table of `main.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use countersign_faulty::{Call, Control, module};

use crate::desk::{Desk, SERIAL, write_pin};
use crate::hsm::Hsm;
use crate::site::{Site, text};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const P11_KIT_CLIENT: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
const TPM2: &str = "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1";

/// Every kind of token that runs without hardware.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// SoftHSM2, in the token's process.
    SoftHsm,
    /// The faulty module, which only forwards to SoftHSM2 unless a test tells it otherwise.
    Faulty,
    /// p11-kit-client in front of a `p11-kit server` with SoftHSM2: an HSM whose process can die.
    P11Kit,
    /// tpm2-pkcs11 with a TPM that is a process, swtpm, behind the resource manager tpm2-abrmd.
    Tpm,
    /// A virtual YubiKey behind the real pcscd.
    YubiKey,
    /// kryoptic, which `ci/kryoptic` builds: another software token, of other habits.
    Kryoptic,
}

/// A scheme that a kind has, by its name in the configuration, and the key for it, as pkcs11-tool says it.
pub type Scheme = (&'static str, &'static str);

/// What most tests want.
pub const P256: Scheme = ("ecdsa-p256-sha256", "EC:prime256v1");
const P384: Scheme = ("ecdsa-p384-sha384", "EC:secp384r1");
const P521: Scheme = ("ecdsa-p521-sha512", "EC:secp521r1");
const ED25519: Scheme = ("ed25519", "EC:ed25519");
const RSA_SHA256: Scheme = ("rsa-pkcs1-sha256", "rsa:2048");
const RSA_SHA512: Scheme = ("rsa-pkcs1-sha512", "rsa:2048");

/// Where keys are in a YubiKey, in their order.
const SLOTS: [&str; 6] = ["9c", "9a", "9d", "82", "95", "83"];

impl Kind {
    /// The schemes for SSH that it has. p11-kit passes no EdDSA on; the TPM has neither Ed25519 nor P-521, a YubiKey no P-521.
    pub fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::SoftHsm | Self::Faulty | Self::Kryoptic => {
                &[P256, P384, P521, ED25519, RSA_SHA256, RSA_SHA512]
            }
            Self::P11Kit => &[P256, P384, P521, RSA_SHA256, RSA_SHA512],
            Self::Tpm => &[P256, P384, RSA_SHA256, RSA_SHA512],
            Self::YubiKey => &[P256, P384, ED25519, RSA_SHA256, RSA_SHA512],
        }
    }

    /// The RSA schemes that it has, each with a key of one size: all three sizes with each code that pads, and 4096 bits no oftener than that,
    /// for they take seconds to make. tpm2-pkcs11 has no `CKM_RSA_PKCS_PSS`, and a TPM no key of more than 3072 bits.
    pub fn rsa_schemes(self) -> &'static [Scheme] {
        match self {
            Self::SoftHsm => &[
                ("rsa-pkcs1-sha256", "rsa:3072"),
                ("rsa-pkcs1-sha384", "rsa:2048"),
                ("rsa-pkcs1-sha512", "rsa:2048"),
                ("rsa-pss-sha256", "rsa:2048"),
                ("rsa-pss-sha384", "rsa:2048"),
                ("rsa-pss-sha512", "rsa:4096"),
            ],
            // SoftHSM2 is behind both: the sizes that it does not show for itself.
            Self::Faulty | Self::P11Kit => &[
                ("rsa-pkcs1-sha256", "rsa:2048"),
                ("rsa-pkcs1-sha384", "rsa:3072"),
                ("rsa-pkcs1-sha512", "rsa:2048"),
                ("rsa-pss-sha256", "rsa:3072"),
                ("rsa-pss-sha384", "rsa:2048"),
                ("rsa-pss-sha512", "rsa:2048"),
            ],
            Self::Tpm => &[
                ("rsa-pkcs1-sha256", "rsa:3072"),
                ("rsa-pkcs1-sha384", "rsa:2048"),
                ("rsa-pkcs1-sha512", "rsa:2048"),
            ],
            Self::YubiKey => &[
                ("rsa-pkcs1-sha256", "rsa:4096"),
                ("rsa-pkcs1-sha384", "rsa:2048"),
                ("rsa-pkcs1-sha512", "rsa:3072"),
                ("rsa-pss-sha256", "rsa:2048"),
                ("rsa-pss-sha384", "rsa:3072"),
                ("rsa-pss-sha512", "rsa:2048"),
            ],
            Self::Kryoptic => &[
                ("rsa-pkcs1-sha256", "rsa:2048"),
                ("rsa-pkcs1-sha384", "rsa:4096"),
                ("rsa-pkcs1-sha512", "rsa:2048"),
                ("rsa-pss-sha256", "rsa:3072"),
                ("rsa-pss-sha384", "rsa:2048"),
                ("rsa-pss-sha512", "rsa:2048"),
            ],
        }
    }

    fn module(self) -> PathBuf {
        match self {
            Self::SoftHsm => SOFTHSM.into(),
            Self::Faulty => module().unwrap(),
            Self::P11Kit => P11_KIT_CLIENT.into(),
            Self::Tpm => TPM2.into(),
            Self::YubiKey => panic!("a YubiKey has no module"),
            Self::Kryoptic => kryoptic().clone(),
        }
    }
}

/// The module that `ci/kryoptic` builds, or has built. Whatever needs it has kryoptic in its name: where it does not build, `ci/test`
/// leaves those out and runs the others.
fn kryoptic() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/kryoptic");
        let output = Command::new(script).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim_end().into()
    })
}

/// A site whose `[token.soft]` is of one kind.
pub struct Token {
    pub site: Site,
    pub kind: Kind,
    /// The HSM's own process, where the kind has one.
    pub hsm: Option<Hsm>,
    /// What drives the faulty module, where it is one.
    pub control: Option<Control>,
    /// The card and its reader, where it is a YubiKey.
    pub desk: Option<Desk>,
}

/// Whatever a test did: no daemon and no command that it ran has asked the token to destroy anything (R45).
impl Drop for Token {
    fn drop(&mut self) {
        let destroyed = self.control.as_ref().map_or(0, |control| control.calls(Call::DestroyObject));
        if !std::thread::panicking() {
            assert_eq!(destroyed, 0, "objects were destroyed");
        }
    }
}

impl Token {
    /// A token with one P-256 key, `user-ca`.
    pub fn new(kind: Kind) -> Self {
        Self::with_keys(kind, &[("user-ca", P256)])
    }

    /// A token with these keys.
    pub fn with_keys(kind: Kind, keys: &[(&str, Scheme)]) -> Self {
        let token = Self::without_keys(kind, keys);
        for (number, (name, scheme)) in keys.iter().enumerate() {
            token.make(number, name, scheme);
        }
        token
    }

    /// Makes a key of the configuration, in its place there.
    pub fn make(&self, number: usize, name: &str, scheme: &Scheme) {
        match &self.desk {
            Some(desk) if scheme.1.starts_with("rsa:") => desk.generate(SLOTS[number], scheme.1),
            Some(desk) => desk.generate(SLOTS[number], scheme.0),
            None => self.generate(name, scheme, &format!("{:02x}", number + 1)),
        }
    }

    /// With `countersign key generate`, or with the vendor's tool: tpm2-pkcs11 wants a template of its own.
    fn generate(&self, name: &str, (_, key_type): &Scheme, id: &str) {
        match (self.kind, key_type.strip_prefix("rsa:")) {
            (Kind::Tpm, _) => self.generate_by_tool(name, key_type, id),
            (_, Some(bits)) => {
                self.site.run_ok(&["key", "generate", name, "--rsa-bits", bits]);
            }
            (_, None) => {
                self.site.run_ok(&["key", "generate", name]);
            }
        }
    }

    /// With pkcs11-tool, which does not mind that there is such a label already.
    pub fn generate_by_tool(&self, label: &str, key_type: &str, id: &str) {
        let what = ["--keypairgen", "--key-type", key_type, "--label", label, "--id", id];
        self.pkcs11_tool(&[&what[..], &["--usage-sign", "--sensitive"]].concat());
    }

    /// A token with no key, and a configuration with these.
    pub fn without_keys(kind: Kind, keys: &[(&str, Scheme)]) -> Self {
        let site = Site::without_token("");
        let hsm = match kind {
            Kind::SoftHsm | Kind::Faulty | Kind::YubiKey | Kind::Kryoptic => None,
            Kind::P11Kit => Some(Hsm::p11_kit(site.dir(), SOFTHSM)),
            Kind::Tpm => Some(Hsm::swtpm(site.dir())),
        };
        let control = (kind == Kind::Faulty).then(|| {
            fs::create_dir(site.path("script")).unwrap();
            Control::new(&site.path("script/script.toml")).unwrap()
        });
        let desk = (kind == Kind::YubiKey).then(|| Desk::new(site.dir()));
        if kind == Kind::Kryoptic {
            let slot = format!(
                "[[slots]]\nslot = 0\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
                site.path("tokens/kryoptic.sql").display()
            );
            fs::write(site.path("kryoptic.conf"), slot).unwrap();
        }
        let token = Self { site, kind, hsm, control, desk };
        token.configure(keys, "");
        if token.desk.is_some() {
            write_pin(&token.site.path("pin"));
            return token;
        }
        let so_pin = token.site.path("so-pin");
        let init = ["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()];
        token.site.run_ok(&init);
        token
    }

    /// Replaces the configuration: these keys, and `more` in the token's section.
    pub fn configure(&self, keys: &[(&str, Scheme)], more: &str) {
        let section = |(number, (name, (scheme, _))): (usize, &(&str, Scheme))| {
            key_section(name, scheme, &self.place(number))
        };
        let keys: String = keys.iter().enumerate().map(section).collect();
        self.configure_sections(&keys, more);
    }

    /// What the section of a key says of where it is, and what it is.
    pub fn place(&self, number: usize) -> String {
        match self.kind {
            Kind::YubiKey => format!("slot = {:?}\n", SLOTS[number]),
            // Its RSA keys decrypt, too, and there is no asking it not to.
            Kind::Tpm => "accept = [\"decrypts\"]\n".to_owned(),
            _ => String::new(),
        }
    }

    /// The same with whole sections of keys.
    pub fn configure_sections(&self, keys: &str, more: &str) {
        let base = self.site.base_config();
        let base = base.split("[token.soft]").next().unwrap();
        self.site.configure(&format!("{base}{}{keys}", self.section(more)));
    }

    fn section(&self, more: &str) -> String {
        let line = |(name, value): (String, String)| format!("{name} = {value:?}\n");
        let environment = self.environment().into_iter().map(line).collect::<Vec<_>>().concat();
        let writable: &[&str] = match self.kind {
            Kind::SoftHsm | Kind::P11Kit => &[],
            Kind::Faulty => &["script"],
            Kind::Tpm | Kind::Kryoptic => &["tokens"],
            Kind::YubiKey => {
                return format!(
                    "[token.soft]\nyubikey = {SERIAL}\npin_file = \"pin\"\n{more}\n\
                     [token.soft.environment]\n{environment}"
                );
            }
        };
        format!(
            "[token.soft]\nmodule = {module:?}\nlabel = \"test\"\npin_file = \"pin\"\nsessions = 4\n\
             writable = {writable:?}\n{more}\n[token.soft.environment]\n{environment}",
            module = self.kind.module().display().to_string(),
        )
    }

    /// What the module must find in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.site.path(name).display().to_string();
        let softhsm = ("SOFTHSM2_CONF".to_owned(), path("softhsm2.conf"));
        match self.kind {
            Kind::SoftHsm => vec![softhsm],
            Kind::Faulty => {
                let control = self.control.as_ref().unwrap().environment(SOFTHSM);
                control.into_iter().chain([softhsm]).collect()
            }
            Kind::P11Kit | Kind::Tpm => self.hsm.as_ref().unwrap().environment(),
            Kind::YubiKey => vec![self.desk.as_ref().unwrap().pcscd.environment()],
            Kind::Kryoptic => vec![("KRYOPTIC_CONF".to_owned(), path("kryoptic.conf"))],
        }
    }

    /// An independent client of the module: pkcs11-tool, logged in.
    pub fn pkcs11_tool(&self, args: &[&str]) {
        let pin = fs::read_to_string(self.site.path("pin")).unwrap();
        let output = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(self.kind.module())
            .args(["--token-label", "test", "--login", "--pin", pin.trim_end()])
            .args(args)
            .envs(self.environment())
            .output()
            .unwrap();
        assert!(output.status.success(), "pkcs11-tool {args:?}: {}", text(&output.stderr));
    }

    /// Kills the HSM's process, or pcscd.
    pub fn kill_hsm(&mut self) {
        match (&mut self.hsm, &mut self.desk) {
            (Some(hsm), _) => hsm.kill(),
            (None, Some(desk)) => desk.pcscd.kill(),
            (None, None) => panic!("{:?} has no process of its own", self.kind),
        }
    }

    /// Starts it again.
    pub fn start_hsm(&mut self) {
        match (&mut self.hsm, &mut self.desk) {
            (Some(hsm), _) => hsm.start(),
            (None, Some(desk)) => desk.start_pcscd(),
            (None, None) => panic!("{:?} has no process of its own", self.kind),
        }
    }

    /// Makes another token of the same label and PIN, with another key of the same label, to be put in this one's place.
    pub fn prepare_other(&mut self) {
        if let Some(desk) = &mut self.desk {
            desk.prepare_other();
            desk.generate(SLOTS[0], P256.0);
            return desk.exchange();
        }
        self.exchange();
        fs::create_dir(self.site.path("tokens")).unwrap();
        self.site.run_ok(&["token", "init", "soft", "--so-pin-file", "so-pin"]);
        self.generate("user-ca", &P256, "01");
        self.exchange();
    }

    /// Puts the other token in this one's place, or back. Processes that hold the old one open go on with it.
    pub fn exchange(&mut self) {
        if let Some(desk) = &mut self.desk {
            return desk.exchange();
        }
        let path = |name| self.site.path(name);
        fs::rename(path("tokens"), path("between")).unwrap();
        if path("other").exists() {
            fs::rename(path("other"), path("tokens")).unwrap();
        }
        fs::rename(path("between"), path("other")).unwrap();
    }
}

pub fn key_section(name: &str, scheme: &str, slot: &str) -> String {
    format!(
        "[key.{name}]\npurpose = \"ssh-user-ca\"\nscheme = {scheme:?}\ntoken = \"soft\"\n{slot}\
         [key.{name}.allow.staff]\ncallers = [\"spiffe://countersign.example/front-end\"]\n\
         principals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"1000000/m\"\nextensions = [\"permit-pty\"]\n"
    )
}
