//! step-ca with `sshagentkms`: its own server, as Debian packages it, whose SSH CA keys are those that `countersign agent` lists.

use std::process::Child;

use crate::agent::Agent;
use crate::site::{Log, STRANGER, free_port};

use super::*;

/// A running step-ca, killed when dropped.
struct StepCa {
    child: Child,
    log: Log,
    port: u16,
}

impl StepCa {
    fn start(site: &Site, agent: &Agent) -> Self {
        let port = free_port();
        run(provisioner(site).args(["configure", &port.to_string()]));
        let mut command = Command::new(made().join("bin/step-ca"));
        command.arg("ca.json").current_dir(site.dir()).env("SSH_AUTH_SOCK", &agent.socket);
        command.env("STEPPATH", site.path("step")).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = Log::follow(child.stderr.take().unwrap());
        log.wait_for("Serving HTTPS");
        Self { child, log, port }
    }

    /// What asks it for a certificate.
    fn ask(&self, site: &Site, kind: &str, file: &str, name: &str) -> Command {
        let mut command = provisioner(site);
        command.args(["ask", &self.port.to_string(), kind, file, name]);
        command
    }
}

impl Drop for StepCa {
    fn drop(&mut self) {
        // Already gone if it failed; nothing else can be wrong here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn provisioner(site: &Site) -> Command {
    let mut command = python("tests/black_box/front_ends/step_ca.py");
    command.current_dir(site.dir()).stdin(Stdio::null());
    command
}

/// What step-ca gives a user by default, and its validity from a minute ago.
fn keys(scheme: &str) -> String {
    let extensions = r#"extensions = [
    "permit-pty", "permit-user-rc", "permit-agent-forwarding", "permit-port-forwarding", "permit-X11-forwarding",
]"#;
    let keys = login::keys(scheme).replace("extensions = [\"permit-pty\"]", extensions);
    keys.replace("budget =", "backdating = \"2m\"\nbudget =")
}

/// A site whose root `openssl` keeps, with step-ca's own X.509 CA below it.
fn site(scheme: &str) -> Site {
    let site = Site::new(&keys(scheme));
    ca::make_root(&site);
    make_key(&site, "step");
    openssl(&site, &words("pkey -in step.key -pubout -out step.pub.pem"));
    ca::certify(&site, "step", ca::CA);
    for key in ["id", "host_key"] {
        ssh_keygen(&site.path(key), &["-t", "ed25519"]);
    }
    site
}

/// Logs in to an sshd whose host certificate, like the user's, step-ca issued.
fn logs_in(scheme: &str, signature: &str) {
    let site = site(scheme);
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let mut step = StepCa::start(&site, &agent);
    run(&mut step.ask(&site, "user", "id.pub", &login::user()));
    run(&mut step.ask(&site, "host", "host_key.pub", "127.0.0.1"));

    let listed = run(Command::new("ssh-keygen").arg("-Lf").arg(site.path("id-cert.pub")));
    assert!(text(&listed.stdout).contains(&format!("(using {signature})")), "{listed:?}");
    let mut host = Sshd::start(&site);
    let login = host.login(&site);
    assert!(login.status.success(), "{}\n{}", text(&login.stderr), host.log.so_far());
    assert_eq!(text(&login.stdout), "it works\n");

    std::fs::remove_file(site.path("id-cert.pub")).unwrap();
    let refused = step.ask(&site, "user", "id.pub", "somebody-else").output().unwrap();
    assert!(!refused.status.success() && !site.path("id-cert.pub").exists());
    let line = agent.log.wait_for("FAILURE");
    assert!(line.contains("PRINCIPAL_NOT_ALLOWED") && line.contains("recorded as entry "), "{line}");
    let said = step.log.wait_for("error signing certificate");
    assert!(said.contains("agent: failed to sign challenge"), "{said}");
}

#[test]
fn step_ca_issues_by_a_p256_ca_behind_the_agent() {
    logs_in("ecdsa-p256-sha256", "ecdsa-sha2-nistp256");
}

#[test]
fn step_ca_issues_by_an_ed25519_ca_behind_the_agent() {
    logs_in("ed25519", "ssh-ed25519");
}

#[test]
fn step_ca_issues_by_an_rsa_ca_behind_the_agent() {
    logs_in("rsa-pkcs1-sha256", "rsa-sha2-256");
}

#[test]
fn step_ca_does_not_start_with_a_key_that_its_agent_may_not_use() {
    let site = site("ed25519");
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, STRANGER);
    run(provisioner(&site).args(["configure", &free_port().to_string()]));
    let mut step = Command::new(made().join("bin/step-ca"));
    step.arg("ca.json").current_dir(site.dir()).env("SSH_AUTH_SOCK", &agent.socket);
    let said = step.env("STEPPATH", site.path("step")).stdin(Stdio::null()).output().unwrap();
    assert!(text(&said.stderr).contains("couldn't find sshagentkms:host-ca"), "{said:?}");
}
