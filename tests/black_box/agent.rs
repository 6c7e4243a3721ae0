//! `countersign agent`: ssh-add, ssh-keygen and sshd with a CA key that is on a token behind a signer, and hostile clients.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use countersign::ledger::Entry;
use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::login::{self, Sshd};
use crate::site::{Daemon, FRONT_END, Log, PATIENCE, STRANGER, Site, at, ssh_keygen, text};

mod frames;
mod lifecycle;
mod options;

/// A user CA whose profile lets everything through that ssh-keygen can write, for a front-end and for this user.
fn user_ca(scheme: &str) -> String {
    format!(
        r#"
[key.user-ca]
purpose = "ssh-user-ca"
scheme = "{scheme}"
token = "soft"

[key.user-ca.allow.staff]
callers = ["spiffe://countersign.example/front-end", "uid:{uid}"]
principals = ["alice", "bob"]
max_lifetime = "1h"
budget = "100000/h"
# With -V +5m, ssh-keygen begins a minute or two before now.
backdating = "2m"
extensions = [
    "permit-pty", "permit-user-rc", "permit-agent-forwarding", "permit-port-forwarding", "permit-X11-forwarding",
    "no-touch-required",
]

[key.user-ca.allow.staff.critical_options]
force-command = ["/usr/bin/backup"]
source-address = ["10.0.0.0/8"]
verify-required = true
"#,
        uid = getuid().as_raw()
    )
}

/// A running `countersign agent`, killed when dropped.
pub struct Agent {
    child: Child,
    pub log: Log,
    pub socket: PathBuf,
}

impl Agent {
    /// As `identity`, over mutual TLS.
    pub fn start(site: &Site, daemon: &Daemon, identity: &str) -> Self {
        let socket = site.path("agent.sock");
        let mut command = site.client_command(daemon, identity, &["agent", "--listen"]);
        Self::run(command.arg(&socket), socket)
    }

    /// Runs a command that becomes the agent, and waits until it listens.
    fn run(command: &mut Command, socket: PathBuf) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = Log::follow(child.stderr.take().unwrap());
        log.wait_for("listening");
        Self { child, log, socket }
    }

    /// A program that asks this agent.
    fn client(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("SSH_AUTH_SOCK", &self.socket).current_dir(self.socket.parent().unwrap());
        command
    }

    fn output(&self, program: &str, args: &[&str]) -> Output {
        self.client(program, args).stdin(Stdio::null()).output().unwrap()
    }

    /// One that must succeed; its standard output.
    fn ok(&self, program: &str, args: &[&str]) -> String {
        let output = self.output(program, args);
        assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// One that the agent must refuse; its standard error.
    fn refused(&self, program: &str, args: &[&str]) -> String {
        let output = self.output(program, args);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{program} {args:?}: {}", text(&output.stdout));
        said
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already gone after a signal; nothing else can be wrong here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A site with a user CA, its public half in `ca.pub`, and a key to certify in `id`.
fn site(scheme: &str) -> Site {
    let site = Site::new(&user_ca(scheme));
    write_ca(&site, "user-ca", "ca.pub");
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    site
}

fn write_ca(site: &Site, key: &str, file: &str) {
    std::fs::write(site.path(file), site.run_ok(&["key", "show", key, "--openssh"])).unwrap();
}

/// The lines of `ssh-keygen -L` after the file's name.
fn listing(path: &Path) -> Vec<String> {
    let listed = Command::new("ssh-keygen").arg("-Lf").arg(path).output().unwrap();
    text(&listed.stdout).lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

/// The refusal that a line of the agent's log says is recorded: its entry's reason and bytes.
fn recorded(site: &Site, line: &str) -> (String, Vec<u8>) {
    let index = line.split("recorded as entry ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let index = index.unwrap_or_else(|| panic!("no entry in: {line}")).parse().unwrap();
    match site.entries().swap_remove(at(index)) {
        Entry::Refusal { reason, asked, .. } => {
            assert!(asked.request_id.unwrap().starts_with(b"agent-"));
            let countersign::ledger::entry::AskedTbs::Whole(tbs) = asked.tbs else { panic!("{line}") };
            (reason, tbs)
        }
        entry => panic!("{entry:?} is no refusal"),
    }
}

#[test]
fn ssh_add_lists_the_ssh_cas_that_its_identity_may_use_by_name() {
    let site = site("ecdsa-p256-sha256");
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    assert_eq!(agent.ok("ssh-add", &["-L"]), std::fs::read_to_string(site.path("ca.pub")).unwrap());
    let listed = agent.ok("ssh-add", &["-l"]);
    assert!(listed.contains(" user-ca (ECDSA)") && listed.lines().count() == 1, "{listed}");
    drop(agent);

    let strangers = Agent::start(&site, &daemon, STRANGER);
    let listed = strangers.output("ssh-add", &["-L"]);
    assert_eq!(text(&listed.stdout), "The agent has no identities.\n");
    let said = strangers.refused("ssh-keygen", &["-Us", "ca.pub", "-I", "x", "-n", "alice", "id.pub"]);
    assert!(said.contains("agent contains no identities"), "{said}");
}

/// Logs in to an sshd whose host certificate, like the user's, `ssh-keygen -U` had signed.
fn logs_in(scheme: &str, signature: &str, kind: &[&str]) {
    let site = Site::new(&login::keys(scheme));
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    write_ca(&site, "user-ca", "user-ca.pub");
    write_ca(&site, "host-ca", "host-ca.pub");
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    ssh_keygen(&site.path("host_key"), &["-t", "ed25519"]);
    let only_pty = ["-O", "clear", "-O", "permit-pty"];
    let user = [
        &["-Us", "user-ca.pub", "-I", "me", "-z", "1", "-V", "-10s:+10m", "-n", &login::user()],
        &only_pty[..],
        kind,
    ];
    agent.ok("ssh-keygen", &[&user.concat()[..], &["id.pub"]].concat());
    let host = ["-Us", "host-ca.pub", "-h", "-I", "host", "-z", "1", "-V", "-10s:+10m", "-n", "127.0.0.1"];
    agent.ok("ssh-keygen", &[&host[..], kind, &["host_key.pub"]].concat());

    let listed = listing(&site.path("id-cert.pub"));
    assert!(listed.iter().any(|line| line.ends_with(&format!("(using {signature})"))), "{listed:?}");
    let mut host = Sshd::start(&site);
    let login = host.login(&site);
    assert!(login.status.success(), "{}\n{}", text(&login.stderr), host.log.so_far());
    assert_eq!(text(&login.stdout), "it works\n");
}

#[test]
fn an_ed25519_ca_behind_the_agent_logs_in() {
    logs_in("ed25519", "ssh-ed25519", &[]);
}

#[test]
fn a_p256_ca_behind_the_agent_logs_in() {
    logs_in("ecdsa-p256-sha256", "ecdsa-sha2-nistp256", &[]);
}

#[test]
fn a_p384_ca_behind_the_agent_logs_in() {
    logs_in("ecdsa-p384-sha384", "ecdsa-sha2-nistp384", &[]);
}

#[test]
fn an_rsa_ca_behind_the_agent_logs_in_with_sha2_512() {
    logs_in("rsa-pkcs1-sha512", "rsa-sha2-512", &[]);
}

#[test]
fn an_rsa_ca_behind_the_agent_logs_in_with_sha2_256() {
    logs_in("rsa-pkcs1-sha256", "rsa-sha2-256", &["-t", "rsa-sha2-256"]);
}

#[test]
fn ssh_keygen_gets_every_option_that_it_asks_for() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let options = [
        "clear",
        "permit-pty",
        "permit-user-rc",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-x11-forwarding",
        "no-touch-required",
        "force-command=/usr/bin/backup",
        "source-address=10.1.0.0/16,10.2.3.4/32",
        "verify-required",
    ];
    let options = options.iter().flat_map(|option| ["-O", option]);
    let named = [
        "-Us",
        "ca.pub",
        "-I",
        "alice@laptop",
        "-n",
        "alice,bob",
        "-z",
        "18446744073709551615",
        "-V",
        "-1m:+20m",
    ];
    let args: Vec<_> = named.into_iter().chain(options).chain(["id.pub"]).collect();
    agent.ok("ssh-keygen", &args);
    let line = agent.log.wait_for("signed a certificate");
    assert!(line.contains("key=\"user-ca\"") && line.contains("key_id=\"alice@laptop\""), "{line}");

    let listed = listing(&site.path("id-cert.pub"));
    assert!(listed[0].ends_with("ssh-ed25519-cert-v01@openssh.com user certificate"), "{listed:?}");
    assert_eq!(listed[3..5], ["Key ID: \"alice@laptop\"", "Serial: 18446744073709551615"], "{listed:?}");
    let rest = [
        "Principals:",
        "alice",
        "bob",
        "Critical Options:",
        "force-command /usr/bin/backup",
        "source-address 10.1.0.0/16,10.2.3.4/32",
        "verify-required",
        "Extensions:",
        "no-touch-required",
        "permit-X11-forwarding",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-pty",
        "permit-user-rc",
    ];
    assert_eq!(listed[6..], rest, "{listed:?}");
}

#[test]
fn ssh_keygen_certifies_many_keys_of_every_kind_in_one_run() {
    let site = site("ecdsa-p384-sha384");
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    let kinds = [["ed25519", "256"], ["ecdsa", "256"], ["ecdsa", "384"], ["ecdsa", "521"]];
    let files: Vec<_> = kinds.iter().enumerate().map(|(at, _)| format!("many{at}.pub")).collect();
    for ([kind, bits], file) in kinds.iter().zip(&files) {
        ssh_keygen(&site.path(file).with_extension(""), &["-t", kind, "-b", bits]);
    }
    // With -z +N the serial goes up by one for each.
    let mut args = vec!["-Us", "ca.pub", "-I", "many", "-n", "bob", "-z", "+7", "-V", "+5m"];
    args.extend(files.iter().map(String::as_str));
    agent.ok("ssh-keygen", &args);
    for at in 0..files.len() {
        let listed = listing(&site.path(&format!("many{at}-cert.pub")));
        assert_eq!(listed[4], format!("Serial: {}", 7 + at), "{listed:?}");
    }
}

#[test]
fn a_refusal_is_an_error_of_ssh_keygen_a_line_of_the_log_and_an_entry() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let ask = ["-Us", "ca.pub", "-I", "x", "-V", "+5m", "id.pub"];
    for (args, reason) in [
        (&["-z", "1", "-n", "root"][..], "PRINCIPAL_NOT_ALLOWED"),
        (&["-n", "alice"], "SERIAL_ZERO"),
        (&["-z", "2", "-h", "-n", "alice"], "CERTIFICATE_TYPE_NOT_ALLOWED"),
    ] {
        let said = agent.refused("ssh-keygen", &[args, &ask].concat());
        assert!(said.contains("agent refused operation"), "{said}");
        let line = agent.log.wait_for("FAILURE");
        assert!(line.contains(reason) && line.contains("key user-ca") && line.contains("; rule "), "{line}");
        assert_eq!(recorded(&site, &line).0, reason);
    }
    assert!(!site.path("id-cert.pub").exists());
}

#[test]
fn what_is_no_certificate_is_refused_and_recorded() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    std::fs::write(site.path("letter"), "pay the bearer").unwrap();
    let said = agent.refused("ssh-keygen", &["-Y", "sign", "-f", "ca.pub", "-n", "file", "letter"]);
    assert!(said.contains("agent refused operation"), "{said}");
    let line = agent.log.wait_for("FAILURE");
    assert!(line.contains("an SSHSIG signature of a file for key user-ca"), "{line}");
    let (_, tbs) = recorded(&site, &line);
    assert!(tbs.starts_with(b"SSHSIG"), "{tbs:?}");
    assert!(!site.path("letter.sig").exists());

    agent.refused("ssh-add", &["-T", "ca.pub"]);
    let line = agent.log.wait_for("FAILURE");
    assert!(line.contains("for key user-ca"), "{line}");
    recorded(&site, &line);

    for args in [&["-D"][..], &["-d", "id.pub"], &["-q", "id"]] {
        agent.refused("ssh-add", args);
        let line = agent.log.wait_for("FAILURE");
        assert!(line.contains("is not for an agent whose keys sign certificates only"), "{line}");
    }
}

#[test]
fn an_rsa_key_signs_with_its_own_hash_alone() {
    let site = site("rsa-pkcs1-sha512");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let ask = ["-Us", "ca.pub", "-I", "x", "-z", "1", "-n", "alice", "-V", "+5m", "-t"];
    for (algorithm, flags) in [("rsa-sha2-256", 2), ("ssh-rsa", 0)] {
        agent.refused("ssh-keygen", &[&ask[..], &[algorithm, "id.pub"]].concat());
        let line = agent.log.wait_for("FAILURE");
        let wanted = format!(
            "the flags are 4, and the client asks with {flags}; with ssh-keygen, give -t rsa-sha2-512"
        );
        assert!(line.contains(&wanted), "{line}");
    }
    agent.ok("ssh-keygen", &[&ask[..], &["rsa-sha2-512", "id.pub"]].concat());
}

#[test]
fn fifty_clients_at_once_are_all_served() {
    let site = site("ecdsa-p256-sha256");
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    let key = std::fs::read(site.path("id.pub")).unwrap();
    let certify = |number: usize| {
        let (file, serial) = (format!("c{number}.pub"), (1000 + number).to_string());
        std::fs::write(site.path(&file), &key).unwrap();
        let args = ["-q", "-Us", "ca.pub", "-I", "x", "-n", "alice", "-V", "+5m", "-z", &serial, &file];
        agent.client("ssh-keygen", &args).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<Child> = (0..50).map(certify).collect();
    for (number, client) in running.into_iter().enumerate() {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{number}: {}", text(&output.stderr));
        let listed = listing(&site.path(&format!("c{number}-cert.pub")));
        assert_eq!(listed[4], format!("Serial: {}", 1000 + number));
    }
}
