//! A guided start, and a second front-end after it: by options, at a terminal, and where something is in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::site::{Daemon, Site, USER_CA, free_port, text};
use crate::terminal::Terminal;
use crate::transcript::Transcript;

mod client;
mod tls;
mod token;

/// What every start here says.
const DOMAIN: [&str; 2] = ["--domain", "example.org"];

/// A place where a signer is made, in a directory `signer`.
struct Start {
    site: Site,
    listen: String,
}

impl Start {
    fn new() -> Self {
        let site = Site::without_token(USER_CA);
        Self { site, listen: format!("127.0.0.1:{}", free_port()) }
    }

    /// `countersign init` without questions.
    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let common = ["init", "--directory", "signer", "--listen", &self.listen, "--yes"];
        [&common[..], &DOMAIN, more].concat()
    }

    /// Makes a signer, which must work; what was said.
    fn make(&self, more: &[&str]) -> String {
        self.site.run_ok(&self.args(more))
    }

    /// The same, and starts it as it says.
    fn serve(&self, more: &[&str]) -> (String, Daemon) {
        let said = self.make(more);
        let daemon = serve(&self.site, &printed(&said)[0]);
        (said, daemon)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path("signer").join(name)
    }

    /// A command with the configuration that was made.
    fn run(&self, args: &[&str]) -> Output {
        self.site.command(args).env("COUNTERSIGN_CONFIG", self.path("countersign.toml")).output().unwrap()
    }

    fn run_ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn run_refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

/// The commands among what was said.
fn printed(said: &str) -> Vec<String> {
    let next = said.split("\n\n").skip(1).collect::<Vec<_>>().join("\n");
    next.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

/// What a shell does with these lines, as a person would type them; what they print.
fn shell(site: &Site, lines: &[String]) -> String {
    let output = in_shell(site, &lines.join("\n")).output().unwrap();
    assert!(output.status.success(), "{lines:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn serve(site: &Site, line: &str) -> Daemon {
    Daemon::start(in_shell(site, &format!("exec {line}")).stdout(Stdio::null()))
}

/// With `countersign` in the path, and nothing else of this test.
fn in_shell(site: &Site, script: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_countersign"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(site.dir()).env("PATH", path);
    command
}

/// Every file and directory below, by its path there, with its mode.
fn modes(directory: &Path) -> Vec<(String, u32)> {
    let (mut found, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(directory).unwrap().display().to_string();
        found.push((name, metadata.permissions().mode() & 0o7777));
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

#[test]
fn makes_a_signer_that_signs_by_the_very_commands_that_it_prints() {
    let start = Start::new();
    let all = ["--ca", "ssh-user-ca,ssh-host-ca,x509-ca", "--principals", "alice,deploy-*"];
    let (said, daemon) = start.serve(&all);
    let commands = printed(&said);
    assert_eq!(commands.iter().filter(|line| line.starts_with("countersign ")).count(), 4, "{commands:?}");
    let done = shell(&start.site, &commands[1..]);
    assert!(done.starts_with("serving\n"), "{done}");
    assert!(done.contains("Type: ssh-ed25519-cert-v01@openssh.com user certificate"), "{done}");
    assert!(done.contains("                alice\n"), "{done}");
    assert!(done.ends_with("www.pem: OK\n"), "{done}");

    // The operator reads the ledger over the network, and the front-end does not.
    let read = |who: &str| {
        let exports: Vec<_> =
            commands[1..3].iter().map(|line| line.replace("clients/front-end", who)).collect();
        in_shell(&start.site, &[exports.join("\n"), "countersign ledger tail --last 1".into()].join("\n"))
            .output()
            .unwrap()
    };
    assert!(read("clients/operator").status.success(), "{}", text(&read("clients/operator").stderr));
    assert!(!read("clients/front-end").status.success());

    // Every certificate of mutual TLS is an entry.
    let recorded = start.run_ok(&["ledger", "show", "--last", "100"]);
    for subject in ["CN=countersign mTLS CA", "CN=localhost", "CN=front-end", "CN=operator"] {
        assert!(recorded.contains(subject), "{subject}: {recorded}");
    }
    daemon.stop();
    for quiet in [&["check"][..], &["policy", "check"], &["doctor"]] {
        let output = start.run(quiet);
        assert!(output.status.success(), "{quiet:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().find(|line| !line.contains("kernel")), None, "{quiet:?}");
    }
}

#[test]
fn is_read_by_openssl_as_one_small_pki() {
    let start = Start::new();
    start.make(&["--ca", "ssh-host-ca,x509-ca", "--organisation", "Example, Inc."]);
    let verify = |purpose: &str, file: &str| {
        let mut command = Command::new("openssl");
        command
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .arg(start.path("mtls/ca.pem"));
        let output = command.arg(start.path(file)).output().unwrap();
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
    };
    verify("sslserver", "mtls/server.pem");
    for client in ["front-end", "operator"] {
        verify("sslclient", &format!("clients/{client}/cert.pem"));
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-subject", "-ext", "subjectAltName", "-in"]);
        let mut shown = shown_in(&mut command, &start.path(&format!("clients/{client}/cert.pem")));
        shown.retain(|line| !line.contains("Subject Alternative Name"));
        let subject = format!("subject=O = \"Example, Inc.\", CN = {client}");
        assert_eq!(shown, [subject, format!("URI:spiffe://example.org/{client}")]);
    }
    // The CA for TLS servers is a root of its own.
    let root = start.path("tls-ca.pem");
    let verified =
        Command::new("openssl").args(["verify", "-x509_strict", "-CAfile"]).arg(&root).arg(&root).output();
    assert!(verified.unwrap().status.success());
}

fn shown_in(command: &mut Command, file: &Path) -> Vec<String> {
    let output = command.arg(file).output().unwrap();
    text(&output.stdout).lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn lets_nobody_else_read_what_it_makes_and_shows_no_pin() {
    let start = Start::new();
    let made = start
        .site
        .command(&start.args(&["--principals", "alice"]))
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&[made.stdout, made.stderr].concat());
    assert!(said.contains("TRACE"));
    for (path, mode) in modes(&start.path("")) {
        let public =
            ["ca.pem", "cert.pem", "server.pem", "-checkpoint"].iter().any(|name| path.ends_with(name));
        // Records of how keys were made are for everybody who gets that far.
        let is_record = path.contains(".records");
        let expected = match start.path(&path).is_dir() {
            true if is_record => 0o755,
            true => 0o700,
            false if public || is_record => 0o644,
            false => 0o600,
        };
        assert_eq!(mode, expected, "{path}: {mode:o}");
    }
    for file in ["pin", "so-pin"] {
        let pin = fs::read_to_string(start.path(file)).unwrap();
        let pin = pin.trim();
        assert!(pin.len() >= 16, "{file}");
        assert!(!said.contains(pin));
        for (path, _) in modes(&start.path("")).iter().filter(|(path, _)| path != file) {
            let content = fs::read(start.path(path)).unwrap_or_default();
            assert!(!content.windows(pin.len()).any(|bytes| bytes == pin.as_bytes()), "{path} has {file}");
        }
    }
    // No CA key is on the disk: those that are there belong to the signer and its callers.
    let private = modes(&start.path("")).into_iter().filter(|(path, _)| {
        let content = fs::read(start.path(path)).unwrap_or_default();
        text(&content).contains("PRIVATE KEY")
    });
    let private: Vec<_> = private.map(|(path, _)| path).collect();
    for key in &private {
        let pem = fs::read_to_string(start.path(key)).unwrap();
        assert!(!said.contains(pem.lines().nth(1).unwrap()), "{key} is in the log");
    }
    assert_eq!(private, ["clients/front-end/key.pem", "clients/operator/key.pem", "mtls/server.key"]);
}

#[test]
fn a_transcript_by_options() {
    let start = Start::new();
    let mut transcript = Transcript::new("init", &start.site);
    let site = &start.site;
    transcript.run(site, &["init"]);
    transcript.run(site, &["init", "--yes", "--ca", "ssh-user-ca,ssh-host-ca"]);
    transcript.run(site, &["init", "--yes", "--domain", "Example.org"]);
    let wrong = [
        &["--principals", "a**"][..],
        &["--principals", "alice", "--extensions", "permit-everything"],
        &["--principals", "alice", "--mtls-lifetime", "20years"],
        &["--principals", "alice", "--front-end", "operator"],
        &["--principals", "alice", "--module", "/nowhere/module.so"],
        &["--principals", "alice", "--token", "pkcs11"],
        &["--principals", "alice", "--scheme", "ml-dsa-65"],
    ];
    for wrong in wrong {
        transcript.run(site, &start.args(wrong));
        assert!(!start.path("").exists(), "{wrong:?}");
    }
    let good = ["--principals", "*", "--max-lifetime", "30days"];
    transcript.run(site, &start.args(&good));
    transcript.run(site, &start.args(&good));
    transcript.compare();
}

#[test]
fn asks_at_a_terminal_and_asks_again_what_it_cannot_use() {
    let start = Start::new();
    let mut transcript = Transcript::new("init-terminal", &start.site);
    let args = ["init", "--listen", &start.listen];
    let mut terminal = Terminal::start(&start.site, &args);
    let answers = [
        ("Directory to make [countersign]: ", "."),
        ("Directory to make [countersign]: ", "signer"),
        ("Domain that certificates are for, such as example.org: ", "Example"),
        ("Domain that certificates are for, such as example.org: ", "example.org"),
        ("Organisation [example.org]: ", "Example"),
        ("with commas [ssh-user-ca]: ", "ssh-user-ca, ssh-host-ca"),
        ("sign [ecdsa-p256-sha256]: ", "rsa"),
        ("sign [ecdsa-p256-sha256]: ", "ml-dsa-65"),
        ("sign [ecdsa-p256-sha256]: ", "ed25519"),
        ("[softhsm2]: ", ""),
        ("[localhost]: ", ""),
        ("[front-end]: ", "operator"),
        ("[front-end]: ", "login"),
        ("such as alice,deploy-*: ", ""),
        ("such as alice,deploy-*: ", "alice, bob"),
        ("[16h]: ", "8h"),
        ("[permit-pty]: ", ""),
        ("[*.example.org]: ", ""),
        ("[365days]: ", "90days"),
        ("Make it? [yes/no]: ", ""),
        ("Make it? [yes/no]: ", "sure"),
        ("Make it? [yes/no]: ", "Y"),
    ];
    for (prompt, answer) in answers {
        terminal.answer(prompt, answer);
    }
    let (made, screen) = terminal.end();
    assert!(made, "{screen}");
    transcript.shown(&args, &screen);
    transcript.compare();

    let config = fs::read_to_string(start.path("countersign.toml")).unwrap();
    for line in [
        "principals = [\"alice\", \"bob\"]",
        "max_lifetime = \"8h\"",
        "[key.user-ca.allow.login]",
        "callers = [\"spiffe://example.org/login\"]",
        "scheme = \"ed25519\"",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let commands = printed(&screen[screen.find("made countersign.toml").unwrap()..]);
    let _daemon = serve(&start.site, &commands[0]);
    assert!(shell(&start.site, &commands[1..]).contains("user certificate"));
}

#[test]
fn makes_nothing_that_nobody_said_yes_to() {
    let start = Start::new();
    for end in ["no", "\x04"] {
        let args = ["init", "--directory", "signer", "--domain", "example.org", "--ca", "x509-ca"];
        let mut terminal = Terminal::start(&start.site, &args);
        for prompt in [
            "Organisation",
            "CA keys sign",
            "[softhsm2]: ",
            "Where it listens",
            "call it",
            "front-end's name",
            "DNS names",
            "mutual TLS live",
        ] {
            terminal.answer(prompt, "");
        }
        terminal.answer("Make it? [yes/no]: ", end);
        let (made, screen) = terminal.end();
        assert!(!made && screen.contains("nothing was made"), "{screen}");
        assert!(!start.path("").exists());
        assert_eq!(screen.contains("    --yes"), end == "no", "{screen}");
        if end == "no" {
            // What was answered is not lost: the same, without a question.
            let command = &screen[screen.find("  countersign init").unwrap()..];
            let command =
                command.replace("0.0.0.0:8443", &start.listen).replace("127.0.0.1:8443", &start.listen);
            assert!(shell(&start.site, &[command.trim_end().replace('\r', "")]).contains("Start the signer"));
            assert!(start.path("tls-ca.pem").exists());
            fs::remove_dir_all(start.path("")).unwrap();
        }
    }
}

#[test]
fn says_what_it_made_when_it_fails_half_way() {
    let start = Start::new();
    // A library, but no PKCS#11 module.
    let args = start.args(&["--principals", "alice", "--module", "/bin/true"]);
    let message = start.site.run_refused(&args, 1);
    for part in [
        "made so far: the directory",
        "signer; nothing else",
        "nothing was removed",
        "move that directory away",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(start.path("countersign.toml.draft").exists() && !start.path("countersign.toml").exists());
    let again = start.site.run_refused(&start.args(&["--principals", "alice"]), 1);
    assert!(again.contains("is not empty") && again.contains("ended half-way"), "{again}");
    fs::rename(start.path(""), start.site.path("away")).unwrap();
    start.make(&["--principals", "alice"]);
}
