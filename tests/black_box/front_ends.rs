//! The examples of front-ends in Python, Go and Rust, against the real daemon: what they have signed, sshd and OpenSSL accept.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use countersign::ledger::Entry;
use countersign::ledger::entry::Outcome;
use countersign_faulty::{Action, Call, On, Script};
use countersign_tbs::signature::Scheme;

use crate::ca::{self, make_key, openssl, verify, words};
use crate::faulty::Broken;
use crate::login::{self, Sshd, certify};
use crate::site::{Daemon, FRONT_END, PATIENCE, Site, at, ssh_keygen, text};

mod step_ca;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where `ci/front-ends` leaves what it makes, after it has run.
pub fn made() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        run(Command::new(format!("{ROOT}/ci/front-ends")).stdin(Stdio::null()));
        let profile = if programs().ends_with("debug") { "dev" } else { "release" };
        run(Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--example", "front_end", "--profile", profile])
            .current_dir(ROOT));
        programs().with_file_name("front-ends")
    })
}

/// Where cargo leaves programs: `debug` below its target directory.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap()
}

/// Runs a program that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

#[derive(Clone, Copy, Debug)]
enum Language {
    Python,
    Go,
    Rust,
}

impl Language {
    const ALL: [Self; 3] = [Self::Python, Self::Go, Self::Rust];

    /// The front-end that has SSH certificates signed.
    fn ssh(self) -> Command {
        match self {
            Self::Python => python("examples/python/ssh_certificate.py"),
            Self::Go => Command::new(made().join("bin/ssh-certificate")),
            Self::Rust => {
                made();
                Command::new(programs().join("examples/front_end"))
            }
        }
    }
}

pub fn python(script: &str) -> Command {
    let mut command = Command::new(made().with_file_name("python").join("bin/python3"));
    command.arg(format!("{ROOT}/{script}")).env("PYTHONPATH", made().join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Tells a front-end where the signer is, and who it is itself.
fn as_front_end<'command>(command: &'command mut Command, site: &Site, port: u16) -> &'command mut Command {
    command.current_dir(site.dir()).stdin(Stdio::null());
    command.env("COUNTERSIGN_SERVER", format!("https://localhost:{port}"));
    command.env("COUNTERSIGN_TLS_CA", site.path("mtls/ca.pem"));
    command.env("COUNTERSIGN_TLS_CERT", site.path(&format!("mtls/{FRONT_END}.pem")));
    command.env("COUNTERSIGN_TLS_KEY", site.path(&format!("mtls/{FRONT_END}.key")))
}

/// Logs in with a certificate that the front-end wrote.
fn logs_in(language: Language, scheme: &str, kind: &[&str]) {
    let site = Site::new(&login::keys(scheme));
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), kind);
    ssh_keygen(&site.path("host_key"), kind);
    let host = ["host-ca", "--host", "--public-key", "host_key.pub", "--principal", "127.0.0.1"];
    certify(&site, &daemon, &[&host[..], &["--lifetime", "10m"]].concat());
    let mut front_end = language.ssh();
    run(as_front_end(&mut front_end, &site, daemon.address.port()).args([
        "user-ca",
        "id.pub",
        &login::user(),
    ]));

    let listed = run(Command::new("ssh-keygen").arg("-Lf").arg(site.path("id-cert.pub")));
    let listed = text(&listed.stdout);
    for wanted in ["user certificate", &format!("Key ID: \"{}@id.pub\"", login::user()), "permit-pty"] {
        assert!(listed.contains(wanted), "{wanted} is not in:\n{listed}");
    }
    let mut host = Sshd::start(&site);
    let login = host.login(&site);
    assert!(login.status.success(), "{}\n{}", text(&login.stderr), host.log.so_far());
    assert_eq!(text(&login.stdout), "it works\n");
}

#[test]
fn a_certificate_by_the_python_front_end_logs_in() {
    logs_in(Language::Python, "ecdsa-p256-sha256", &["-t", "ed25519"]);
}

#[test]
fn a_certificate_by_the_go_front_end_logs_in() {
    logs_in(Language::Go, "rsa-pkcs1-sha256", &["-t", "ecdsa", "-b", "256"]);
}

#[test]
fn a_certificate_by_the_rust_front_end_logs_in() {
    logs_in(Language::Rust, "ed25519", &["-t", "ecdsa", "-b", "384"]);
}

#[test]
fn a_refusal_tells_what_where_and_by_which_rule_in_every_language() {
    let site = Site::new(crate::site::USER_CA);
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    for language in Language::ALL {
        let mut front_end = language.ssh();
        let output = as_front_end(&mut front_end, &site, daemon.address.port());
        let output = output.args(["user-ca", "id.pub", "root"]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{language:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{language:?}: {said}");
        let (_, entry) = said.split_once("ledger entry ").unwrap_or_else(|| panic!("{language:?}: {said}"));
        let entry = entry.split(';').next().unwrap().parse().unwrap();
        let Entry::Refusal { reason, rule, asked, .. } = site.entries().swap_remove(at(entry)) else {
            panic!("{language:?}: {said}")
        };
        let request_id = text(&asked.request_id.unwrap());
        for wanted in [reason, format!("rule {rule}"), format!("request id {request_id}")] {
            assert!(said.contains(&wanted), "{language:?}: {wanted} is not in: {said}");
        }
    }
    assert!(!site.path("id-cert.pub").exists());
}

/// Passes bytes on to the daemon, until it cuts every connection.
struct Wire {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(daemon: &Daemon) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, address) = (listener.local_addr().unwrap().port(), daemon.address);
        let open = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(address).unwrap());
                for (from, into) in [(&client, &server), (&server, &client)] {
                    connections.lock().unwrap().push(from.try_clone().unwrap());
                    let (from, into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                    std::thread::spawn(move || pass_on(from, into));
                }
            }
        });
        Self { port, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut into: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if into.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // Gone already if the wire was cut.
    let _ = into.shutdown(Shutdown::Both);
}

/// Loses the connection while the token works on the request, and has the certificate all the same.
fn asks_again(language: Language) {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    let wire = Wire::to(&daemon);
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let mut front_end = language.ssh();
    let front_end = as_front_end(&mut front_end, &site, wire.port).args(["user-ca", "id.pub", "alice"]);
    let front_end = front_end.stderr(Stdio::piped()).spawn().unwrap();
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    wire.cut();
    control.clear().unwrap();
    let output = front_end.wait_with_output().unwrap();
    assert!(output.status.success(), "{language:?}: {}", text(&output.stderr));
    assert!(site.path("id-cert.pub").exists());

    daemon.stop();
    let entries = site.entries();
    let ids: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Intent { asked, .. } => Some((asked.request_id.clone().unwrap(), asked.tbs.clone())),
            _ => None,
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{language:?}: one request, however often: {ids:?}");
    let signed = entries.iter().filter(
        |entry| matches!(entry, Entry::Outcome { intent, outcome: Outcome::Signed(_), .. } if matches!(entries[at(*intent)], Entry::Intent { .. })),
    );
    assert_eq!(signed.count(), 1, "{language:?}");
}

#[test]
fn the_python_front_end_asks_again_for_a_lost_answer() {
    asks_again(Language::Python);
}

#[test]
fn the_go_front_end_asks_again_for_a_lost_answer() {
    asks_again(Language::Go);
}

#[test]
fn the_rust_front_end_asks_again_for_a_lost_answer() {
    asks_again(Language::Rust);
}

const TLS_CA: &str = "tls-ca";

/// Whether `openssl verify` takes the certificate of a TLS server by this front-end.
fn certifies_a_server(front_end: &mut Command) {
    let site = ca::site(&x509_key(TLS_CA, Scheme::EcdsaP256Sha256));
    let daemon = site.serve();
    make_key(&site, "www");
    let request = "req -new -key www.key -subj / -addext subjectAltName=DNS:www.example.org -out www.csr";
    openssl(&site, &words(request));
    as_front_end(front_end, &site, daemon.address.port());
    run(front_end.args([TLS_CA, "tls-ca.pem", "www.csr", "www.pem"]));
    verify(&site, "www", &[TLS_CA], "-purpose sslserver -verify_hostname www.example.org").unwrap();
}

#[test]
fn openssl_accepts_a_certificate_by_the_python_front_end() {
    certifies_a_server(&mut python("examples/python/x509_certificate.py"));
}

#[test]
fn openssl_accepts_a_certificate_by_the_go_front_end() {
    certifies_a_server(&mut Command::new(made().join("bin/x509-certificate")));
}

/// An X.509 CA that certifies `www.example.org`, and signs lists.
fn x509_key(name: &str, scheme: Scheme) -> String {
    let section = ca::key(name, scheme);
    format!(
        r#"{section}
[key.{name}.allow.servers]
callers = ["spiffe://countersign.example/front-end"]
budget = "100/h"
signs = "tls-server"
dns_names = ["www.example.org"]
max_lifetime = "25h"

[key.{name}.allow.lists]
callers = ["spiffe://countersign.example/front-end"]
budget = "100/h"
signs = "crl"
max_next_update = "2h"
"#
    )
}

fn ssh_key(scheme: &str) -> String {
    let key = crate::site::USER_CA.replace("key.user-ca", &format!("key.ssh-{scheme}"));
    key.replace("ecdsa-p256-sha256\"\ntoken", &format!("{scheme}\"\ntoken"))
}

#[test]
fn the_go_signers_work_with_the_standard_library_and_x_crypto() {
    let x509: Vec<_> = ca::schemes().map(|scheme| (format!("{scheme}-ca"), scheme)).collect();
    let ssh = ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519", "rsa-pkcs1-sha256", "rsa-pkcs1-sha512"];
    let keys = x509.iter().map(|(name, scheme)| x509_key(name, *scheme));
    let site = ca::site(&keys.chain(ssh.iter().map(|scheme| ssh_key(scheme))).collect::<String>());
    let daemon = site.serve();
    let mut tests = Command::new(made().join("bin/signer.test"));
    let output = run(as_front_end(tests.args(["-test.v", "-test.count=1"]), &site, daemon.address.port()));
    let said = text(&output.stdout);
    assert!(said.ends_with("PASS\n") && !said.contains("SKIP"), "{said}");

    for (name, _) in &x509 {
        verify(
            &site,
            &format!("{name}.leaf"),
            &[name],
            "-purpose sslserver -verify_hostname www.example.org",
        )
        .unwrap();
        openssl(&site, &words(&format!("crl -in by-{name}.crl -CAfile {name}.pem -noout -verify")));
    }
    for scheme in ssh {
        let certificate = site.path(&format!("by-ssh-{scheme}-cert.pub"));
        let listed = run(Command::new("ssh-keygen").arg("-Lf").arg(certificate));
        let signature = match scheme {
            "ecdsa-p256-sha256" => "ecdsa-sha2-nistp256",
            "ecdsa-p384-sha384" => "ecdsa-sha2-nistp384",
            "ed25519" => "ssh-ed25519",
            "rsa-pkcs1-sha256" => "rsa-sha2-256",
            _ => "rsa-sha2-512",
        };
        assert!(text(&listed.stdout).contains(&format!("(using {signature})")), "{listed:?}");
    }
}
