//! A site whose PINs are canaries, and all that comes out of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use countersign_faulty::{Control, module};

use crate::canary::{Hunt, PINS, SO, USER, whole};
use crate::site::{Site, USER_CA, text};

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Files and directories whose business it is to have secrets: the last is a card's and its reader's.
const SECRET: [&str; 5] = ["pin", "pin.new", "so-pin", "secrets", "desk"];

/// The transcript of a ceremony in which another key than the site's was made.
const CEREMONY: &str = concat!(
    r#"{"challenge":{"inputs":[],"nonce":"","script_sha256":"","time":"","title":"","version":""},"ended":null,"#,
    r#""format":"countersign-ceremony-v1","host":{"kernel":"","name":""},"keys":[{"config":"","fingerprint":"","name":"user-ca","#,
    r#""openssh":""}],"operators":[],"outcome":"complete","present":[],"record_in":null,"steps":[],"threshold":1}"#
);

pub struct Nest {
    pub site: Site,
    pub control: Control,
    pub hunt: Hunt,
}

impl Nest {
    /// An uninitialised token behind the faulty module, the PIN files, and a configuration with one key.
    pub fn new() -> Self {
        Self::hunting(PINS.as_flattened())
    }

    /// The same, where these are what is hunted for.
    pub fn hunting(secrets: &[&str]) -> Self {
        let site = Site::without_token("");
        for directory in ["script", "tmp", "secrets", "ceremony"] {
            fs::create_dir(site.path(directory)).unwrap();
        }
        fs::write(site.path("ceremony/transcript.json"), CEREMONY).unwrap();
        let control = Control::new(&site.path("script/script.toml")).unwrap();
        let nest = Self { site, control, hunt: Hunt::new(secrets) };
        nest.configure(|config| config);
        nest.write("pin", whole(USER).as_bytes());
        nest.write("so-pin", whole(SO).as_bytes());
        nest
    }

    /// With a token and its key.
    pub fn with_key() -> Self {
        let nest = Self::new();
        for args in [&INIT[..], &["key", "generate", "user-ca"]] {
            assert_eq!(nest.run(args), Some(0), "{args:?}");
        }
        nest
    }

    /// Replaces the configuration by an edited one.
    pub fn configure(&self, edit: impl FnOnce(String) -> String) {
        let base = self.site.base_config();
        let environment = self.control.environment(REAL);
        let environment = environment.map(|(name, value)| format!("{name} = {value:?}\n")).concat();
        let base = base
            .replace(REAL, &module().unwrap().display().to_string())
            .replace(
                "pin_file = \"pin\"\n",
                "pin_file = \"pin\"\nwritable = [\"script\"]\ndeadline = \"1s\"\n",
            )
            .replace("[token.soft.environment]\n", &format!("[token.soft.environment]\n{environment}"));
        self.site.configure(&edit(format!("{base}{USER_CA}")));
    }

    /// The same, by an edit that must find something to change.
    pub fn break_configuration(&self, edit: impl FnOnce(String) -> String) {
        self.configure(|config| {
            let edited = edit(config.clone());
            assert_ne!(edited, config);
            edited
        });
    }

    /// Writes a file that its owner alone may read.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.site.path(name);
        // A file of another mode, or another kind, may be there.
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes a file of `secrets`, where nobody is surprised to find one.
    pub fn secret(&self, name: &str, content: &str) {
        self.write(&format!("secrets/{name}"), content.as_bytes());
    }

    /// A command that says as much as it can, and would leave a core, and its temporary files, in the site's directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_countersign")]);
        command.args(args).current_dir(self.site.dir());
        command.env("COUNTERSIGN_CONFIG", self.site.path("countersign.toml"));
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").env("TMPDIR", self.site.path("tmp"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which shows nothing; its exit status.
    pub fn run(&self, args: &[&str]) -> Option<i32> {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        self.shows_nothing(&format!("the output of {args:?}"), &[stdout, stderr].concat());
        status.code()
    }

    /// Runs a command that must fail, and say this.
    pub fn fails(&self, args: &[&str], saying: &str) {
        self.fails_as(&mut self.command(args), saying);
    }

    /// The same of a command that is made already.
    pub fn fails_as(&self, command: &mut Command, saying: &str) {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = text(&[stdout, stderr].concat());
        let args: Vec<_> = command.get_args().skip(3).collect();
        self.shows_nothing(&format!("the output of {args:?}"), said.as_bytes());
        assert!(!status.success() && said.contains(saying), "{args:?}, without {saying:?}: {status}: {said}");
    }

    pub fn shows_nothing(&self, what: &str, bytes: &[u8]) {
        let found = self.hunt.find(bytes);
        assert_eq!(found, None, "{what}: {}", String::from_utf8_lossy(bytes));
    }

    /// No file has a secret but those that are to have one: configuration, ledger, index, latch, temporary files, the token's own.
    pub fn leaves_nothing(&self) {
        let mut read = 0;
        self.search(self.site.dir(), &mut read);
        assert!(read > 10, "{read} files");
        assert_eq!(crate::process::cores(&self.site), Vec::<std::path::PathBuf>::new());
    }

    fn search(&self, directory: &Path, read: &mut u32) {
        for file in fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            if SECRET.iter().any(|name| path == self.site.path(name)) {
                continue;
            }
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                self.search(&path, read);
            } else if kind.is_file() {
                *read += 1;
                let content = fs::read(&path).unwrap();
                assert_eq!(self.hunt.find(&content), None, "{}", path.display());
            }
        }
    }
}

/// Makes the token with the PINs that are there.
pub const INIT: [&str; 5] = ["token", "init", "soft", "--so-pin-file", "so-pin"];

/// How long a module may take to come to where it hangs.
pub const COMES: Duration = Duration::from_secs(30);
