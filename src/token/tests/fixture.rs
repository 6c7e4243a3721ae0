//! A SoftHSM2 token in a directory of its own, and token processes that are counted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::config::Fault;
use crate::key::Flaw;
use crate::key::{self, KeyName, KeyPurpose, Keys, Scheme};
use crate::token::{Absent, Config, Device, Launch, Limits, Pkcs11, TokenName, Tokens};

/// Marks the environment of a token process of these tests.
pub(super) const MARK: &str = "COUNTERSIGN_TEST_TOKEN_PROCESS";
pub(super) const PIN: &str = "71083924";
const SO_PIN: &str = "10293847";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

pub(super) struct Fixture {
    dir: tempfile::TempDir,
    pub(super) config: Config,
    pub(super) keys: Vec<key::Config>,
    made: std::cell::Cell<u8>,
}

pub(super) fn signal(process: Pid, signal: Signal) {
    rustix::process::kill_process(process, signal).unwrap();
}

impl Fixture {
    /// An initialised token without keys.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tokens")).unwrap();
        let conf = dir.path().join("softhsm2.conf");
        let text = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.path().display());
        fs::write(&conf, text).unwrap();
        let config = Config {
            name: TokenName::new("t").unwrap(),
            device: Device::Pkcs11(Pkcs11 { module: MODULE.into(), label: "t".to_owned(), serial: None }),
            pin_file: dir.path().join("pin").into(),
            processes: 1,
            sessions: 2,
            queue: 64,
            deadline: Duration::from_secs(20),
            keepalive: Duration::from_secs(3600),
            limits: Limits::default(),
            environment: BTreeMap::from([
                ("SOFTHSM2_CONF".to_owned(), conf.display().to_string()),
                (MARK.to_owned(), "1".to_owned()),
            ]),
        };
        let fixture = Self { dir, config, keys: Vec::new(), made: std::cell::Cell::new(0) };
        fixture.write_pin(PIN);
        fixture.init_another("t");
        fixture.write_wrapper();
        fixture
    }

    /// What its section says of the module.
    pub(super) fn device(&mut self) -> &mut Pkcs11 {
        match &mut self.config.device {
            Device::Pkcs11(device) => device,
            Device::YubiKey(_) => panic!("every fixture is SoftHSM2"),
        }
    }

    /// A token with one P-256 key, `ca`, which is configured.
    pub(super) fn with_key() -> Self {
        let mut fixture = Self::new();
        fixture.generate("ca", "EC:prime256v1");
        fixture.configure("ca", "ca", Scheme::EcdsaP256Sha256);
        fixture
    }

    /// Another token, of the same PIN.
    pub(super) fn init_another(&self, label: &str) {
        let init = ["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN];
        self.run("softhsm2-util", &init);
    }

    /// Another token, which nobody has given a user PIN.
    pub(super) fn init_token_without_pin(&self, label: &str) {
        let slots = self.run("softhsm2-util", &["--show-slots"]);
        // SoftHSM2's last slot is always a free one.
        let free = slots.lines().rev().find_map(|line| line.strip_prefix("Slot ")).unwrap();
        let arguments =
            ["--module", MODULE, "--init-token", "--slot", free, "--label", label, "--so-pin", SO_PIN];
        self.run("pkcs11-tool", &arguments);
    }

    /// Gives it the user PIN.
    pub(super) fn set_pin(&self, label: &str) {
        let so =
            ["--module", MODULE, "--token-label", label, "--login", "--login-type", "so", "--so-pin", SO_PIN];
        self.run("pkcs11-tool", &[&so[..], &["--init-pin", "--pin", PIN]].concat());
    }

    /// Generates a key whose id is the number of the call, from 1.
    pub(super) fn generate(&self, label: &str, kind: &str) {
        self.generate_with(label, kind, &["--sensitive"]);
    }

    pub(super) fn generate_extractable(&self, label: &str, kind: &str) {
        self.generate_with(label, kind, &["--extractable"]);
    }

    /// A key that wants the PIN for each signature, by its own attribute.
    pub(super) fn generate_always_authenticate(&self, label: &str) {
        self.generate_with(label, "EC:prime256v1", &["--always-auth"]);
    }

    fn generate_with(&self, label: &str, kind: &str, flags: &[&str]) {
        self.made.set(self.made.get() + 1);
        let id = format!("{:02x}", self.made.get());
        let pair = ["--keypairgen", "--key-type", kind, "--label", label, "--id", &id];
        self.tool(&[&pair, flags].concat());
    }

    /// A key on another of its tokens.
    pub(super) fn generate_on(&self, token: &str, label: &str, kind: &str) {
        let pair = ["--keypairgen", "--key-type", kind, "--label", label, "--id", "01", "--sensitive"];
        self.tool_on(token, &pair);
    }

    /// Puts the key pair of a PEM file on the token, as `ca`.
    pub(super) fn import(&self, pem: &Path) {
        let pem = pem.display().to_string();
        let arguments = ["--import", &pem, "--token", "t", "--label", "ca", "--id", "0a", "--pin", PIN];
        self.run("softhsm2-util", &arguments);
    }

    /// A key that does nothing but sign, as a CA key should be.
    pub(super) fn generate_to_sign(&self, label: &str, kind: &str) {
        self.generate_with(label, kind, &["--usage-sign", "--sensitive"]);
    }

    /// Another key pair of the id that the first key has.
    pub(super) fn generate_twin(&self, label: &str, kind: &str) {
        self.generate_on("t", label, kind);
    }

    /// A key pair without an id.
    pub(super) fn generate_without_id(&self, label: &str, kind: &str) {
        self.tool(&["--keypairgen", "--key-type", kind, "--label", label, "--sensitive"]);
    }

    /// Fills the token with so many copies of a key pair's objects. SoftHSM2 keeps each in a file of its own.
    pub(super) fn crowd(&self, copies: usize) {
        let before = self.object_files();
        self.generate("crowd", "EC:prime256v1");
        let made: Vec<_> = self.object_files().into_iter().filter(|file| !before.contains(file)).collect();
        assert_eq!(made.len(), 2, "{made:?}");
        for (number, file) in (1..copies).flat_map(|number| made.iter().map(move |file| (number, file))) {
            fs::copy(
                file,
                file.with_file_name(format!("{number:08}-{}", file.file_name().unwrap().display())),
            )
            .unwrap();
        }
        let listed = self.tool(&["--list-objects"]);
        assert_eq!(listed.matches("crowd").count(), 2 * copies);
    }

    fn object_files(&self) -> Vec<PathBuf> {
        let tokens = fs::read_dir(self.path("tokens")).unwrap().map(|token| token.unwrap().path());
        let files = tokens.flat_map(|token| fs::read_dir(token).unwrap()).map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "object")).collect()
    }

    pub(super) fn destroy(&self, label: &str) {
        self.tool(&["--delete-object", "--type", "privkey", "--label", label]);
        self.destroy_public(label);
    }

    pub(super) fn destroy_public(&self, label: &str) {
        self.tool(&["--delete-object", "--type", "pubkey", "--label", label]);
    }

    /// Keeps a copy of a public key object in a file.
    pub(super) fn export_public(&self, label: &str) -> String {
        let file = self.path(label).with_extension("der").display().to_string();
        self.tool(&["--read-object", "--type", "pubkey", "--label", label, "--output-file", &file]);
        file
    }

    /// Puts it there again, under the id of the private key.
    pub(super) fn import_public(&self, label: &str, id: &str, file: &str) {
        self.tool(&["--write-object", file, "--type", "pubkey", "--label", label, "--id", id]);
    }

    fn tool(&self, arguments: &[&str]) -> String {
        self.tool_on("t", arguments)
    }

    fn tool_on(&self, token: &str, arguments: &[&str]) -> String {
        let login = ["--module", MODULE, "--token-label", token, "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&login, arguments].concat())
    }

    /// Those of its tokens.
    pub(super) fn serials(&self) -> Vec<String> {
        let slots = self.run("softhsm2-util", &["--show-slots"]);
        let serials = slots.lines().filter_map(|line| line.trim().strip_prefix("Serial number:"));
        // The free slot has none.
        serials.map(|serial| serial.trim().to_owned()).filter(|serial| !serial.is_empty()).collect()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).envs(&self.config.environment).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn configure(&mut self, name: &str, label: &str, scheme: Scheme) {
        self.keys.push(key::Config {
            name: KeyName::new(name).unwrap(),
            purpose: KeyPurpose::SshUserCa,
            scheme,
            token: self.config.name.clone(),
            label: label.to_owned(),
            id: None,
            slot: None,
            fingerprint: None,
            copies: Vec::new(),
            // What softhsm2-util's copies and pkcs11-tool's RSA keys are.
            accept: [
                Flaw::OnceExtractable,
                Flaw::OnceNotSensitive,
                Flaw::NotLocal,
                Flaw::Decrypts,
                Flaw::Unwraps,
                Flaw::Derives,
            ]
            .into(),
            certificate: None,
            succeeds: None,
        });
    }

    /// Writes the PIN file by replacing it, as a careful operator does.
    pub(super) fn write_pin(&self, pin: &str) {
        let new = self.dir.path().join("pin.new");
        fs::write(&new, format!("{pin}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, self.path("pin")).unwrap();
    }

    /// A shell script that notes its process id and environment, and then becomes this test binary as a token process.
    fn write_wrapper(&self) {
        let (path, dir) = (self.wrapper(), self.dir.path().display());
        let binary = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nenv >{dir}/environment\necho $$ >>{dir}/processes\nexec {} --exact {} --nocapture\n",
            binary.display(),
            "token::tests::acts_as_the_token_process",
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A path in its directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn wrapper(&self) -> PathBuf {
        self.dir.path().join("token-process")
    }

    pub(super) fn launch(&self) -> Launch {
        // Through the shell: a script that was just written may still be open for writing in a sibling test's child.
        Launch { program: "/bin/sh".into(), arguments: vec![self.wrapper().into()] }
    }

    pub(super) async fn start(&self) -> Result<(Tokens, Keys), Vec<Fault>> {
        Tokens::start_with(
            self.launch(),
            std::slice::from_ref(&self.config),
            &self.keys,
            self.dir.path(),
            Absent::Fault,
        )
        .await
    }

    /// Starts this token and another, which holds the same keys.
    pub(super) async fn start_with(
        &self,
        other: &Self,
        absent: Absent,
    ) -> Result<(Tokens, Keys), Vec<Fault>> {
        let tokens = [self.config.clone(), other.config.clone()];
        Tokens::start_with(self.launch(), &tokens, &self.keys, self.dir.path(), absent).await
    }

    /// Every token process so far.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let text = self.note("processes");
        text.lines().map(|line| Pid::from_raw(line.parse().unwrap()).unwrap()).collect()
    }

    pub(super) fn environment(&self) -> String {
        self.note("environment")
    }

    fn note(&self, name: &str) -> String {
        fs::read_to_string(Path::new(self.dir.path()).join(name)).unwrap()
    }
}
