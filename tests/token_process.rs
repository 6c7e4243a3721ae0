//! The daemon's side of a token, with the real binary as token process.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use countersign::key::{self, KeyName, KeyPurpose, Scheme};
use countersign::token::{Config, Health, Launch, TokenName, Tokens};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "83920174";

fn provision(dir: &std::path::Path) -> Config {
    fs::create_dir(dir.join("tokens")).unwrap();
    let conf = dir.join("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", dir.display()))
        .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).env("SOFTHSM2_CONF", &conf).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run("softhsm2-util", &["--init-token", "--free", "--label", "t", "--so-pin", "12345678", "--pin", PIN]);
    let key = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "ca", "--id", "01", "--sensitive"];
    run("pkcs11-tool", &[["--module", MODULE, "--login", "--pin", PIN].as_slice(), &key].concat());
    let pin_file = dir.join("pin");
    fs::write(&pin_file, PIN).unwrap();
    fs::set_permissions(&pin_file, fs::Permissions::from_mode(0o400)).unwrap();
    Config {
        name: TokenName::new("t").unwrap(),
        module: MODULE.into(),
        label: "t".to_owned(),
        serial: None,
        pin_file,
        sessions: 2,
        queue: 16,
        deadline: Duration::from_secs(20),
        environment: BTreeMap::from([("SOFTHSM2_CONF".to_owned(), conf.display().to_string())]),
    }
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
        fingerprint: None,
        certificate: None,
    };
    let launch = Launch::of(env!("CARGO_BIN_EXE_countersign").into());
    let (tokens, keys) = Tokens::start_with(launch, &[token], &[key]).await.unwrap();
    assert_eq!(keys.iter().count(), 1);
    let mut health = tokens.watch_health(&name).unwrap();
    health.wait_for(|health| *health == Health::Ready).await.unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("softhsm"), "the module is mapped into the daemon");
    for descriptor in fs::read_dir("/proc/self/fd").unwrap() {
        let target = fs::read_link(descriptor.unwrap().path()).unwrap_or_default();
        assert_ne!(target, pin_file, "the daemon holds the PIN file open");
    }
    tokens.shutdown().await;
}
