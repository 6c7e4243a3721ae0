//! The daemon's side of a token, with the real binary as token process.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use countersign::key::{self, KeyName, KeyPurpose, Scheme};
use countersign::token::{
    Absent, Config, Device, Health, Launch, Limits, Network, Pkcs11, TokenName, Tokens,
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "83920174";

fn provision(dir: &Path) -> Config {
    fs::create_dir(dir.join("tokens")).unwrap();
    let conf = dir.join("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.display()))
        .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).env("SOFTHSM2_CONF", &conf).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("softhsm2-util", &["--init-token", "--free", "--label", "t", "--so-pin", "12345678", "--pin", PIN]);
    let key = [
        "--keypairgen",
        "--key-type",
        "EC:prime256v1",
        "--label",
        "ca",
        "--id",
        "01",
        "--sensitive",
        "--usage-sign",
    ];
    run("pkcs11-tool", &[["--module", MODULE, "--login", "--pin", PIN].as_slice(), &key].concat());
    let pin_file = dir.join("pin");
    fs::write(&pin_file, PIN).unwrap();
    fs::set_permissions(&pin_file, fs::Permissions::from_mode(0o400)).unwrap();
    Config {
        name: TokenName::new("t").unwrap(),
        device: Device::Pkcs11(Pkcs11 { module: MODULE.into(), label: "t".to_owned(), serial: None }),
        pin_file: pin_file.into(),
        processes: 1,
        sessions: 2,
        queue: 16,
        deadline: Duration::from_secs(20),
        keepalive: Duration::from_secs(10),
        limits: Limits::default(),
        environment: BTreeMap::from([("SOFTHSM2_CONF".to_owned(), conf.display().to_string())]),
    }
}

/// A module that does what a hostile one would, as soon as it is loaded: it notes in `notes` what the kernel let it do.
const HOSTILE: &str = r#"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    FILE *notes = fopen(getenv("NOTES"), "w");
    if (!notes) return;
    errno = 0;
    open(getenv("ELSEWHERE"), O_WRONLY | O_CREAT, 0600);
    fprintf(notes, "write %s\n", strerror(errno));
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT"))) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    errno = 0;
    connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to);
    fprintf(notes, "connect %s\n", strerror(errno));
    char line[256];
    for (FILE *status = fopen("/proc/self/status", "r"); fgets(line, sizeof line, status);)
        if (!strncmp(line, "CapEff", 6) || !strncmp(line, "CapPrm", 6) || !strncmp(line, "NoNewPrivs", 10))
            fputs(line, notes);
    fprintf(notes, "dumpable %d\n", prctl(PR_GET_DUMPABLE));
    fclose(notes);
    fputs("\033[2Jloaded\n", stderr);
}
"#;

fn build_hostile(dir: &Path) -> PathBuf {
    let (source, module) = (dir.join("hostile.c"), dir.join("hostile.so"));
    fs::write(&source, HOSTILE).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&module, &source]).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    module
}

/// Starts a token process on the hostile module; what it noted.
async fn loads_hostile_module(network: Network) -> String {
    let dir = tempfile::tempdir().unwrap();
    let module = build_hostile(dir.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut token = provision(dir.path());
    fs::create_dir(dir.path().join("own")).unwrap();
    let notes = dir.path().join("own/notes");
    let text = |path: &Path| path.display().to_string();
    token.device = Device::Pkcs11(Pkcs11 { module, label: "t".to_owned(), serial: None });
    token.limits = Limits { writable: vec![dir.path().join("own")], network, ..Limits::default() };
    token.environment.extend([
        ("NOTES".to_owned(), text(&notes)),
        ("ELSEWHERE".to_owned(), text(&dir.path().join("elsewhere"))),
        ("PORT".to_owned(), listener.local_addr().unwrap().port().to_string()),
    ]);
    let launch = Launch::of(env!("CARGO_BIN_EXE_countersign").into());
    let faults = Tokens::start_with(launch, &[token], &[], dir.path(), Absent::Fault).await.err().unwrap();
    // It is no PKCS#11 module at all (R22).
    let says =
        |words: &[&str]| faults.iter().any(|fault| words.iter().all(|word| fault.message().contains(word)));
    assert!(says(&["cannot load the module", "hostile.so", "C_GetFunctionList"]), "{faults:?}");
    assert!(!dir.path().join("elsewhere").exists());
    fs::read_to_string(notes).unwrap()
}

#[tokio::test]
async fn a_hostile_module_can_neither_write_nor_connect_and_has_no_capabilities() {
    let noted = loads_hostile_module(Network::None).await;
    let lines: Vec<_> = noted.lines().collect();
    assert_eq!(lines.first(), Some(&"write Permission denied"), "{noted}");
    assert_eq!(lines.get(1), Some(&"connect Permission denied"), "{noted}");
    for fact in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "dumpable 0"] {
        assert!(lines.contains(&fact), "no {fact:?} in {noted}");
    }
}

#[tokio::test]
async fn the_module_of_a_network_hsm_may_connect_and_still_not_write() {
    let noted = loads_hostile_module(Network::Allowed).await;
    assert!(noted.starts_with("write Permission denied\nconnect Success\n"), "{noted}");
}

#[test]
fn what_a_module_says_is_escaped_in_the_log_under_its_tokens_name() {
    let dir = tempfile::tempdir().unwrap();
    build_hostile(dir.path());
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate = \"c\"\ntls_key = \"k\"\nclient_ca = \"ca\"\n[ledger]\npath = \"ledger\"\norigin = \"a.test/log\"\n\
         [token.loud]\nmodule = \"hostile.so\"\nlabel = \"t\"\npin_file = \"pin\"\nwritable = [\".\"]\n\
         [token.loud.environment]\nNOTES = \"{0}/notes\"\nELSEWHERE = \"{0}/elsewhere\"\nPORT = \"1\"\n\
         [key.ca]\npurpose = \"ssh-user-ca\"\nscheme = \"ed25519\"\ntoken = \"loud\"\n\
         [key.ca.allow.x]\ncallers = [\"uid:0\"]\nprincipals = [\"x\"]\nmax_lifetime = \"1h\"\nbudget = \"100/h\"\n",
        dir.path().display()
    );
    fs::write(dir.path().join("countersign.toml"), toml).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output = check.args(["check", "--config"]).arg(dir.path().join("countersign.toml")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the token process says: \\u{1b}[2Jloaded token=loud"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[tokio::test]
async fn the_daemon_never_maps_the_module_nor_holds_the_pin_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let token = provision(dir.path());
    let pin_file = token.pin_file.clone();
    let name = KeyName::new("ca").unwrap();
    let key = key::Config {
        name: name.clone(),
        purpose: KeyPurpose::SshUserCa,
        scheme: Scheme::EcdsaP256Sha256,
        token: token.name.clone(),
        label: "ca".to_owned(),
        id: None,
        slot: None,
        fingerprint: None,
        copies: Vec::new(),
        accept: std::collections::BTreeSet::new(),
        certificate: None,
        succeeds: None,
    };
    let launch = Launch::of(env!("CARGO_BIN_EXE_countersign").into());
    let (tokens, keys) =
        Tokens::start_with(launch, &[token], &[key], dir.path(), Absent::Fault).await.unwrap();
    assert_eq!(keys.iter().count(), 1);
    let mut health = tokens.watch_health(&name).unwrap();
    health.wait_for(|health| *health == Health::Ready).await.unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("softhsm"), "the module is mapped into the daemon");
    for descriptor in fs::read_dir("/proc/self/fd").unwrap() {
        let target = fs::read_link(descriptor.unwrap().path()).unwrap_or_default();
        assert_ne!(Some(target.as_path()), pin_file.own(), "the daemon holds the PIN file open");
    }
    tokens.shutdown().await;
}

#[test]
fn one_whose_daemon_is_gone_before_it_is_tied_to_it_ends_at_once() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(ours);
    // The shell stands for whoever inherits an orphan: it has not made the socket.
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" token-process; exit $?", env!("CARGO_BIN_EXE_countersign")]);
    let output =
        command.stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(theirs))).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("that started this token process is gone"), "{said}");
}
