//! One signer's whole world in a private directory: SoftHSM2 token, keys, mTLS PKI, configuration, ledger.

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign::ledger::{Entry, Reader};
use countersign_proto::client::{ConnectError, Tls};
use countersign_proto::{Client, v1};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The identity that the profiles below allow.
pub const FRONT_END: &str = "front-end";
/// One with a good certificate that no profile names.
pub const STRANGER: &str = "stranger";

/// A P-256 user CA with one profile.
pub const USER_CA: &str = r#"
[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ecdsa-p256-sha256"
token = "soft"

[key.user-ca.allow.staff]
callers = ["spiffe://countersign.example/front-end"]
principals = ["alice", "bob", "deploy-*"]
max_lifetime = "1h"
budget = "100000/h"
extensions = ["permit-pty"]

[key.user-ca.allow.staff.critical_options]
force-command = ["/usr/bin/backup"]
source-address = ["10.0.0.0/8"]
"#;

pub struct Site {
    dir: TempDir,
}

impl Site {
    /// A site whose token holds every `[key.NAME]` of `keys` (TOML).
    pub fn new(keys: &str) -> Self {
        let site = Self::without_keys(keys);
        for name in key_sections(keys) {
            site.run_ok(&["key", "generate", name]);
        }
        site
    }

    /// Removes the provisioning records that wait for the signer's start, so that a ledger has a test's own entries and no others.
    pub fn forget_records(&self) {
        for entry in std::fs::read_dir(self.dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "records") {
                std::fs::remove_dir_all(path).unwrap();
            }
        }
    }

    /// The same, with an empty token.
    pub fn without_keys(keys: &str) -> Self {
        let site = Self::without_token(keys);
        let so_pin = site.path("so-pin");
        site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
        site
    }

    /// The same, with an uninitialised SoftHSM2.
    pub fn without_token(keys: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("countersign-test.").tempdir().unwrap();
        let site = Self { dir };
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/softhsm/create"))
            .arg(site.dir())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        crate::pki::write(&site.path("mtls"), &[FRONT_END, STRANGER]);
        site.configure(&format!("{}{keys}", site.base_config()));
        site
    }

    /// The sections that every site has.
    pub fn base_config(&self) -> String {
        format!(
            r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "mtls/server.pem"
tls_key = "mtls/server.key"
client_ca = "mtls/ca.pem"
unix_socket = "signer.sock"
shutdown_grace = "5s"

[ledger]
path = "ledger.sqlite"
origin = "test.countersign.example/ledger"

[token.soft]
module = "/usr/lib/softhsm/libsofthsm2.so"
label = "test"
pin_file = "pin"

[token.soft.environment]
SOFTHSM2_CONF = "{}/softhsm2.conf"
"#,
            self.dir().display()
        )
    }

    /// Replaces the configuration.
    pub fn configure(&self, toml: &str) {
        std::fs::write(self.path("countersign.toml"), toml).unwrap();
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The `countersign` command with this site's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(args).current_dir(self.dir()).env("COUNTERSIGN_CONFIG", self.path("countersign.toml"));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    pub fn run_ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "countersign {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must fail with `status`; its standard error.
    pub fn run_refused(&self, args: &[&str], status: i32) -> String {
        let output = self.run(args);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "countersign {args:?}: {message}");
        message
    }

    /// Runs a command that must fail with status 1, and does something else as soon as it turns to the signer, before the signer hears
    /// of it; its standard error.
    pub fn run_refused_after(&self, args: &[&str], meanwhile: impl FnOnce()) -> String {
        let config = std::fs::read_to_string(self.path("countersign.toml")).unwrap();
        self.configure(&config.replace("\"signer.sock\"", "\"between.sock\""));
        let between = UnixListener::bind(self.path("between.sock")).unwrap();
        let child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let patience = PATIENCE.try_into().unwrap();
        assert_eq!(
            poll(&mut [PollFd::new(&between, PollFlags::IN)], Some(&patience)).unwrap(),
            1,
            "it asks nobody"
        );
        let (command, _) = between.accept().unwrap();
        meanwhile();
        let signer = UnixStream::connect(self.path("signer.sock")).unwrap();
        let pass_on = |mut from: &UnixStream, mut to: &UnixStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        let output = std::thread::scope(|scope| {
            scope.spawn(|| pass_on(&command, &signer));
            scope.spawn(|| pass_on(&signer, &command));
            child.wait_with_output().unwrap()
        });
        std::fs::remove_file(self.path("between.sock")).unwrap();
        self.configure(&config);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "countersign {args:?}: {message}");
        message
    }

    /// The client command `countersign sign`, as `identity`.
    pub fn sign_command(&self, daemon: &Daemon, identity: &str, args: &[&str]) -> Command {
        self.client_command(daemon, identity, &[&["sign"], args].concat())
    }

    /// A client command, as `identity`.
    pub fn client_command(&self, daemon: &Daemon, identity: &str, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("COUNTERSIGN_SERVER", format!("https://localhost:{}", daemon.address.port()));
        command.env("COUNTERSIGN_TLS_CA", self.path("mtls/ca.pem"));
        command.env("COUNTERSIGN_TLS_CERT", self.path(&format!("mtls/{identity}.pem")));
        command.env("COUNTERSIGN_TLS_KEY", self.path(&format!("mtls/{identity}.key")));
        command
    }

    /// Starts the daemon and waits until it listens. Of keys that were made before, it records nothing.
    pub fn serve(&self) -> Daemon {
        self.forget_records();
        self.serve_with_records()
    }

    /// The same, and what waits is recorded.
    pub fn serve_with_records(&self) -> Daemon {
        Daemon::start(self.command(&["serve"]).stdout(Stdio::null()))
    }

    /// Every entry of the ledger.
    pub fn entries(&self) -> Vec<Entry> {
        let reader = Reader::open(self.path("ledger.sqlite")).unwrap();
        reader.entries(0..reader.len().unwrap()).map(|entry| entry.unwrap().1).collect()
    }

    /// A client of `daemon` as `identity`.
    pub async fn client(&self, daemon: &Daemon, identity: &str) -> Client {
        self.try_client(daemon, identity).await.unwrap()
    }

    pub async fn try_client(&self, daemon: &Daemon, identity: &str) -> Result<Client, ConnectError> {
        let file = |name: &str| self.path(&format!("mtls/{name}"));
        let (certificate, key) = (format!("{identity}.pem"), format!("{identity}.key"));
        let tls = Tls::from_files(&file(&certificate), &file(&key), &file("ca.pem")).unwrap();
        Client::connect(&format!("https://localhost:{}", daemon.address.port()), &tls).await
    }
}

/// A running `countersign serve`, killed when dropped.
pub struct Daemon {
    child: Child,
    pub log: Log,
    pub address: SocketAddr,
}

impl Daemon {
    /// Runs a command that becomes the daemon, and waits until it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = Log::follow(child.stderr.take().unwrap());
        let line = log.wait_for("listening");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        Self { child, log, address: address.expect("an address in the log line").parse().unwrap() }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next log line that holds `what`.
    pub fn wait_for(&mut self, what: &str) -> String {
        self.log.wait_for(what)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM, and waits for the end; the status and the whole log.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.end()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.end();
    }

    fn end(&mut self) -> (ExitStatus, String) {
        (self.child.wait().unwrap(), self.log.rest())
    }

    /// The daemon's token processes, whichever of its threads started them.
    pub fn token_processes(&self) -> Vec<Pid> {
        children(self.pid())
    }
}

/// A process's children, whichever of its threads started them.
pub fn children(process: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    let children =
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    let pids =
        children.flat_map(|pids| pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>());
    pids.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone after `stop`; nothing else can be wrong here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The index of an entry in [`Site::entries`].
pub fn at(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

/// What a process writes to its standard error, line by line.
pub struct Log {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Log {
    /// Follows a stream until it ends.
    pub fn follow(stream: impl std::io::Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { lines, seen: Vec::new() }
    }

    /// The next line that holds `what`; panics with all that was seen if the process ends first.
    pub fn wait_for(&mut self, what: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("no {what:?} in the log:\n{}", self.seen.join("\n"))
    }

    /// What has come until now.
    pub fn so_far(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }

    /// All of it, once the process has ended.
    fn rest(&mut self) -> String {
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }
}

/// The name of each `[key.NAME]`.
pub fn key_sections(toml: &str) -> impl Iterator<Item = &str> {
    toml.lines().filter_map(key_section)
}

fn key_section(line: &str) -> Option<&str> {
    line.strip_prefix("[key.")?.strip_suffix(']').filter(|name| !name.contains('.'))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whole seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A request to sign `tbs` as an SSH certificate with `key`.
pub fn request(key: &str, tbs: Vec<u8>) -> v1::SignRequest {
    v1::SignRequest {
        key: key.into(),
        tbs: Some(v1::sign_request::Tbs::SshCertificate(tbs.into())),
        request_id: String::new(),
        priority: v1::Priority::Interactive.into(),
        ..v1::SignRequest::default()
    }
}

/// Makes an SSH key pair without a passphrase at `path`; the public half's line.
pub fn ssh_keygen(path: &Path, kind: &[&str]) -> String {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .args(kind)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}
