//! A real login for each CA algorithm: sshd trusts the user CA, ssh trusts the host CA, and both keys are on a token.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::desk::{Desk, SERIAL, write_pin};
use crate::site::{Daemon, FRONT_END, Log, Site, free_port, ssh_keygen, text};

/// A user CA and a host CA of one algorithm, for the user that runs the tests.
pub fn keys(scheme: &str) -> String {
    format!(
        r#"
[key.user-ca]
purpose = "ssh-user-ca"
scheme = "{scheme}"
token = "soft"

[key.user-ca.allow.staff]
callers = ["spiffe://countersign.example/front-end"]
principals = ["{user}"]
max_lifetime = "1h"
budget = "100/h"
extensions = ["permit-pty"]

[key.host-ca]
purpose = "ssh-host-ca"
scheme = "{scheme}"
token = "soft"

[key.host-ca.allow.fleet]
callers = ["spiffe://countersign.example/front-end"]
principals = ["127.0.0.1"]
max_lifetime = "1h"
budget = "100/h"
"#,
        user = user()
    )
}

pub fn user() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    text(&id.stdout).trim().to_owned()
}

/// Logs in with a user key of `kind` to a host with a key of `kind`, both certified by CAs of `scheme`.
fn logs_in(scheme: &str, kind: &[&str], ca_signature: &str) {
    logs_in_at(&Site::new(&keys(scheme)), kind, ca_signature);
}

fn logs_in_at(site: &Site, kind: &[&str], ca_signature: &str) {
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), kind);
    ssh_keygen(&site.path("host_key"), kind);
    certify(
        site,
        &daemon,
        &["user-ca", "--public-key", "id.pub", "--principal", &user(), "--lifetime", "10m"],
    );
    certify(
        site,
        &daemon,
        &[
            "host-ca",
            "--host",
            "--public-key",
            "host_key.pub",
            "--principal",
            "127.0.0.1",
            "--lifetime",
            "10m",
        ],
    );

    let listing =
        Command::new("ssh-keygen").args(["-L", "-f"]).arg(site.path("id-cert.pub")).output().unwrap();
    assert!(text(&listing.stdout).contains(&format!("(using {ca_signature})")), "{}", text(&listing.stdout));

    let mut host = Sshd::start(site);
    let login = host.login(site);
    assert!(login.status.success(), "{}\n{}", text(&login.stderr), host.log.so_far());
    assert_eq!(text(&login.stdout), "it works\n");
}

pub fn certify(site: &Site, daemon: &Daemon, args: &[&str]) {
    let signed = site.sign_command(daemon, FRONT_END, args).output().unwrap();
    assert!(signed.status.success(), "{}", text(&signed.stderr));
}

#[test]
fn a_p256_ca_logs_in() {
    logs_in("ecdsa-p256-sha256", &["-t", "ed25519"], "ecdsa-sha2-nistp256");
}

#[test]
fn a_p384_ca_logs_in() {
    logs_in("ecdsa-p384-sha384", &["-t", "ecdsa", "-b", "256"], "ecdsa-sha2-nistp384");
}

#[test]
fn a_p521_ca_logs_in() {
    logs_in("ecdsa-p521-sha512", &["-t", "ecdsa", "-b", "384"], "ecdsa-sha2-nistp521");
}

#[test]
fn an_ed25519_ca_logs_in() {
    logs_in("ed25519", &["-t", "ecdsa", "-b", "521"], "ssh-ed25519");
}

#[test]
fn an_rsa_ca_logs_in_with_sha2_512() {
    logs_in("rsa-pkcs1-sha512", &["-t", "ed25519"], "rsa-sha2-512");
}

#[test]
fn an_rsa_ca_logs_in_with_sha2_256() {
    logs_in("rsa-pkcs1-sha256", &["-t", "ed25519"], "rsa-sha2-256");
}

/// Both CAs on one card: one that wants the PIN for each signature, and one that wants it once.
#[test]
fn a_ca_on_a_yubikey_logs_in() {
    let site = Site::without_token("");
    let desk = Desk::new(site.dir());
    write_pin(&site.path("pin"));
    let (variable, socket) = desk.pcscd.environment();
    let token = format!(
        "[token.yubi]\nyubikey = {SERIAL}\npin_file = \"pin\"\n[token.yubi.environment]\n{variable} = {socket:?}\n"
    );
    let keys = keys("ecdsa-p384-sha384");
    let (user, host) = keys.split_once("[key.host-ca]").unwrap();
    let at = |slot: &str| format!("token = \"yubi\"\nslot = {slot:?}");
    let keys = [user.replace("token = \"soft\"", &at("9c")), host.replace("token = \"soft\"", &at("9a"))];
    for slot in ["9c", "9a"] {
        desk.generate(slot, "ecdsa-p384-sha384");
    }
    let base = site.base_config();
    let base = base.split("[token.soft]").next().unwrap();
    site.configure(&format!("{base}{token}{}", keys.join("[key.host-ca]")));
    logs_in_at(&site, &["-t", "ed25519"], "ecdsa-sha2-nistp384");
}

#[test]
fn sshd_refuses_a_login_without_the_certificate() {
    let site = Site::new(&keys("ed25519"));
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    ssh_keygen(&site.path("host_key"), &["-t", "ed25519"]);
    certify(
        &site,
        &daemon,
        &[
            "host-ca",
            "--host",
            "--public-key",
            "host_key.pub",
            "--principal",
            "127.0.0.1",
            "--lifetime",
            "10m",
        ],
    );
    std::fs::write(site.path("id-cert.pub"), std::fs::read(site.path("id.pub")).unwrap()).unwrap();

    let mut host = Sshd::start(&site);
    let login = host.login(&site);
    assert!(!login.status.success(), "the login must rest on the certificate alone");
    assert!(text(&login.stderr).contains("Permission denied"), "{}", text(&login.stderr));
}

/// A temporary sshd on a loopback port: host key with certificate, the user CA, and nothing else that lets anybody in.
pub struct Sshd {
    child: Child,
    port: u16,
    pub log: Log,
}

impl Sshd {
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, "")
    }

    /// The same, with more lines of configuration.
    pub fn start_with(site: &Site, more: &str) -> Self {
        let port = free_port();
        std::fs::write(site.path("user_ca.pub"), site.run_ok(&["key", "show", "user-ca", "--openssh"]))
            .unwrap();
        let host_ca = site.run_ok(&["key", "show", "host-ca", "--openssh"]);
        std::fs::write(site.path("known_hosts"), format!("@cert-authority [127.0.0.1]:{port} {host_ca}"))
            .unwrap();
        Self::launch(site, port, more)
    }

    /// The same, reading what the files say that were there before: `user_ca.pub`, and of the client `known_hosts`.
    pub fn start_reading(site: &Site) -> Self {
        Self::launch(site, free_port(), "")
    }

    fn launch(site: &Site, port: u16, more: &str) -> Self {
        let config = sshd_config(site.dir(), port) + more;
        std::fs::write(site.path("sshd_config"), config).unwrap();
        if rustix::process::getuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(site.path("sshd_config")).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = Log::follow(child.stderr.take().unwrap());
        log.wait_for("Server listening");
        Self { child, port, log }
    }

    pub fn login(&mut self, site: &Site) -> std::process::Output {
        let known_hosts = format!("UserKnownHostsFile={}", site.path("known_hosts").display());
        let certificate = format!("CertificateFile={}", site.path("id-cert.pub").display());
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-p", &self.port.to_string(), "-i"]).arg(site.path("id"));
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            &known_hosts,
            &certificate,
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args([&format!("{}@127.0.0.1", user()), "echo it works"]).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sshd_config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host_key\nHostCertificate {dir}/host_key-cert.pub\n\
         TrustedUserCAKeys {dir}/user_ca.pub\nPidFile {dir}/sshd.pid\nAuthorizedKeysFile none\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         UsePAM no\nStrictModes no\n"
    )
}
