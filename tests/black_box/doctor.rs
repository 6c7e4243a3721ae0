//! `countersign doctor`: each fault is there for real, and is told with its cause and what to do.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use countersign::ledger::entry::{Entry, Outcome, UnixMillis};
use countersign_faulty::{Script, Token};
use countersign_tbs::signature::Scheme;
use serde_json::Value;

use crate::ca;
use crate::faulty::Broken;
use crate::hsm::Hsm;
use crate::site::{Site, USER_CA, text};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const P11_KIT: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";

/// A site of which nothing is to be said: its certificates are good for years, and its policy is narrow.
fn well() -> Site {
    Site::new(&narrow())
}

fn narrow() -> String {
    USER_CA.replace("100000/h", "100/h")
}

fn config(site: &Site) -> String {
    std::fs::read_to_string(site.path("countersign.toml")).unwrap()
}

fn replace(site: &Site, from: &str, to: &str) {
    let config = config(site);
    assert!(config.contains(from), "{from}");
    site.configure(&config.replace(from, to));
}

/// The exit status, and the rows.
fn examine(output: &Output) -> (Option<i32>, Vec<Value>) {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), said["findings"].as_array().unwrap().clone())
}

fn rows<'a>(rows: &'a [Value], level: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["level"] == level).collect()
}

#[test]
fn a_directory_of_bundles_is_there_and_nobody_elses() {
    let site = well();
    site.configure(&format!("{}\n[bundles]\ndirectory = \"bundles\"\n", config(&site)));
    let doctor = || site.run(&["doctor", "--json"]);
    finds(&doctor(), "warning", ["bundles.directory", "no bundle can be written", "make it"]);
    let mode =
        |mode| std::fs::set_permissions(site.path("bundles"), std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir(site.path("bundles")).unwrap();
    mode(0o777);
    finds(&doctor(), "warning", ["bundles.directory", "has mode 0777", "chmod go-w"]);
    mode(0o755);
    assert_eq!(doctor().status.code(), Some(0));
}

/// That this, and nothing else, is at fault or to be warned of: its place, its cause, and what to do.
fn finds(output: &Output, level: &str, [what, cause, fix]: [&str; 3]) {
    let (status, all) = examine(output);
    let found = rows(&all, level);
    assert_eq!(status, Some(if level == "fault" { 2 } else { 1 }), "{all:#?}");
    assert_eq!(found.len(), 1, "{all:#?}");
    assert_eq!(found[0]["what"], what, "{all:#?}");
    let text = |key: &str| found[0][key].as_str().unwrap();
    assert!(text("cause").contains(cause), "{all:#?}");
    assert!(text("fix").contains(fix), "{all:#?}");
}

fn fault(site: &Site, row: [&str; 3]) {
    finds(&site.run(&["doctor", "--json"]), "fault", row);
}

fn warning(site: &Site, row: [&str; 3]) {
    finds(&site.run(&["doctor", "--json"]), "warning", row);
}

/// Runs it in a mount namespace of its own, after a command there.
fn within(site: &Site, mount: &str) -> Output {
    let line = format!("{mount} && exec \"$0\" doctor --json");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &line, env!("CARGO_BIN_EXE_countersign")]).current_dir(site.dir());
    command.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap()
}

#[test]
fn says_that_all_is_well_beside_a_daemon_that_runs() {
    let site = well();
    let (status, before) = examine(&site.run(&["doctor", "--json"]));
    assert_eq!((status, rows(&before, "well").len()), (Some(0), before.len()), "{before:#?}");
    assert!(!site.path("ledger.sqlite").exists());
    let daemon = site.serve();
    let (status, all) = examine(&site.run(&["doctor", "--json"]));
    assert_eq!((status, rows(&all, "well").len()), (Some(0), all.len()), "{all:#?}");
    daemon.stop();
    let said = site.run_ok(&["doctor"]);
    for row in [
        "config",
        "server.tls_certificate",
        "server.client_ca",
        "ledger.space",
        "ledger",
        "policy",
        "token.soft",
        "keys",
    ] {
        assert!(
            said.contains(&format!("\nwell     {row}: ")) || said.starts_with(&format!("well     {row}: ")),
            "{said}"
        );
    }
}

#[test]
fn works_without_a_configuration_and_with_one_that_is_none() {
    let site = Site::without_token("");
    let mut none = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let none = none.args(["doctor", "--json"]).env_remove("COUNTERSIGN_CONFIG").output().unwrap();
    finds(&none, "fault", ["config", "no configuration is named", "name it with --config"]);
    std::fs::remove_file(site.path("countersign.toml")).unwrap();
    fault(&site, ["config", "cannot read it: No such file", "correct --config"]);
    site.configure("[server]\nlisten = \"127.0.0.1:0\n");
    fault(&site, ["config", "is not TOML", "countersign.example.toml says"]);
    site.configure(&format!("{}{}", site.base_config().replace("label =", "lable ="), narrow()));
    let (status, all) = examine(&site.run(&["doctor", "--json"]));
    let places: Vec<_> =
        rows(&all, "fault").iter().map(|row| row["what"].as_str().unwrap().to_owned()).collect();
    assert_eq!((status, places), (Some(2), ["token.soft.lable"].map(String::from).to_vec()));
    let said = text(&site.run(&["doctor"]).stdout);
    assert!(said.contains("FAULT    token.soft.lable: is not a key of this section"), "{said}");
    assert!(said.contains("\n         fix: "), "{said}");
}

#[test]
fn tells_of_a_configuration_that_others_can_write() {
    let site = well();
    std::fs::set_permissions(site.path("countersign.toml"), std::fs::Permissions::from_mode(0o664)).unwrap();
    fault(&site, ["config", "has mode 0664: others can write it, and with it the policy", "chmod go-w"]);
}

#[test]
fn tells_of_modules_that_cannot_be_loaded() {
    let site = well();
    let module = format!("module = {MODULE:?}");
    replace(&site, &module, "module = \"/no/such/libsofthsm2.so\"");
    fault(
        &site,
        ["token.soft", "/no/such/libsofthsm2.so: cannot open shared object file", "is it a PKCS#11 module"],
    );
    replace(&site, "module = \"/no/such/libsofthsm2.so\"", "module = \"countersign.toml\"");
    fault(&site, ["token.soft", "countersign.toml: ", "of this machine's kind"]);
    // A library, and no module.
    let libraries = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"];
    let library = libraries.into_iter().find(|path| Path::new(path).exists()).unwrap();
    replace(&site, "module = \"countersign.toml\"", &format!("module = {library:?}"));
    fault(&site, ["token.soft", "C_GetFunctionList", "is it a PKCS#11 module"]);
}

#[test]
fn tells_of_a_softhsm_that_is_another_users_or_none() {
    let site = well();
    chown(site.path("tokens"), Some(65534), None).unwrap();
    // Root's rights are of no use to a token process, which has no capabilities.
    let row = ["token.soft.environment", "it belongs to user 65534", "give it the directory with `chown -R`"];
    fault(&site, row);
    std::fs::set_permissions(site.path("tokens"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let row =
        ["token.soft.environment", "tokens belongs to user 65534, and this is user", "as the daemon's user"];
    warning(&site, row);
    chown(site.path("tokens"), Some(0), None).unwrap();
    let conf = site.path("softhsm2.conf");
    let conf = conf.to_str().unwrap();
    replace(&site, conf, "/no/such/softhsm2.conf");
    let (status, all) = examine(&site.run(&["doctor", "--json"]));
    assert_eq!(status, Some(2));
    assert!(
        rows(&all, "fault").iter().any(|row| row["what"] == "token.soft.environment"
            && row["fix"].as_str().unwrap().contains("softhsm/create DIR")),
        "{all:#?}"
    );
}

/// R48: tokens and PIN are root's, and the daemon is not.
#[test]
fn tells_another_user_what_it_may_not_use() {
    let site = well();
    let program = site.path("countersign");
    std::fs::copy(env!("CARGO_BIN_EXE_countersign"), &program).unwrap();
    for name in
        ["", "countersign.toml", "softhsm2.conf", "mtls", "mtls/server.pem", "mtls/ca.pem", "countersign"]
    {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["doctor", "--json"]);
    let output = command.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap();
    let (status, all) = examine(&output);
    let says = |what: &str, cause: &str| {
        let is = |row: &&&Value| row["what"] == what && row["cause"].as_str().unwrap().contains(cause);
        assert!(rows(&all, "fault").iter().any(|row| is(&row)), "{what}, {cause}: {all:#?}");
    };
    assert_eq!(status, Some(2));
    says(
        "token.soft.environment",
        "tokens cannot be used by the token process of this user: it belongs to user 0",
    );
    says("token.soft.pin_file", "cannot open the PIN file");
    says("server.tls_key", "cannot read");
    says("ledger.path", "cannot be written by this user");
}

#[test]
fn tells_of_a_token_that_is_not_there() {
    let site = well();
    replace(&site, "label = \"test\"", "label = \"tset\"");
    fault(&site, ["token.soft", "no token has label \"tset\"", "there are: \"test\" (serial "]);
    let site = Site::without_token(&narrow());
    let (_, all) = examine(&site.run(&["doctor", "--json"]));
    let found = rows(&all, "fault");
    assert!(
        found.iter().any(|row| row["fix"].as_str().unwrap().contains("`countersign token init NAME`")),
        "{all:#?}"
    );
}

#[test]
fn tells_of_a_mechanism_that_the_token_lacks() {
    let keys = narrow().replace("ecdsa-p256-sha256", "ed25519");
    let site = Site::new(&keys);
    // p11-kit passes on no EdDSA.
    let hsm = Hsm::p11_kit(site.dir(), MODULE);
    let environment = hsm.environment().into_iter().map(|(name, value)| format!("{name} = {value:?}\n"));
    replace(&site, &format!("module = {MODULE:?}"), &format!("module = {P11_KIT:?}"));
    let environment = environment.collect::<String>();
    replace(&site, "[token.soft.environment]\n", &format!("[token.soft.environment]\n{environment}"));
    let output = site.run(&["doctor", "--json", "--no-login"]);
    finds(
        &output,
        "fault",
        ["key.user-ca.scheme", "cannot sign by ed25519: the token has no CKM_EDDSA", "token info"],
    );
}

#[test]
fn tells_of_pins_that_cannot_be_read_and_of_one_that_was_refused() {
    let site = well();
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o644)).unwrap();
    fault(
        &site,
        ["token.soft.pin_file", "has mode 0644: others than its owner can use it", "run `chmod 0600 "],
    );
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(site.path("pin"), "canary-4711").unwrap();
    fault(&site, ["token.soft.pin_file", "refused the PIN (CKR_PIN_INCORRECT)", "put the right PIN into"]);
    let output = site.run(&["doctor", "--json"]);
    let (_, all) = examine(&output);
    finds(&output, "fault", ["token.soft.pin_file", "the token refused this PIN", "token unlatch soft"]);
    assert!(!format!("{all:?}").contains("canary"));
}

#[test]
fn tells_of_pin_flags_and_spends_no_try_for_it() {
    let broken = Broken::new();
    let site = &broken.site;
    let config = config(site).replace("100000/h", "100/h");
    site.configure(&config);
    let tries =
        |tries| Script { token: Token { pin_tries: Some(tries), ..Token::default() }, ..Script::default() };
    broken.control.set(&tries(2)).unwrap();
    let right = std::fs::read_to_string(site.path("pin")).unwrap();
    std::fs::write(site.path("pin"), "wrong-4711").unwrap();
    let output = site.run(&["doctor", "--json", "--no-login"]);
    assert_eq!((output.status.code(), broken.control.wrong_pins()), (Some(0), 0));
    assert!(site.run_refused(&["key", "show", "user-ca"], 1).contains("CKR_PIN_INCORRECT"));
    std::fs::write(site.path("pin"), right).unwrap();
    let row = ["token.soft.flags", "one try is left for the user PIN", "`countersign token unlock soft`"];
    fault(site, row);
    fault(site, row);
    broken.control.set(&tries(1)).unwrap();
    fault(site, ["token.soft.flags", "the user PIN is locked", "`countersign token unlock soft`"]);
    broken.control.set(&tries(3)).unwrap();
    site.run_ok(&["token", "unlatch", "soft"]);
    let output = site.run(&["doctor", "--json", "--no-login"]);
    finds(&output, "warning", ["token.soft.flags", "a wrong PIN since the last login", "find out who"]);
}

#[test]
fn tells_of_a_key_that_is_another() {
    let site = well();
    let other = "fingerprint = \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n";
    replace(&site, "[key.user-ca]\n", &format!("[key.user-ca]\n{other}"));
    fault(&site, ["key.user-ca", "where the configuration expects SHA256:AAAA", "find out which is right"]);
}

#[test]
fn tells_of_a_clock_behind_the_newest_entry() {
    let site = well();
    site.serve().stop();
    let future = UnixMillis(UnixMillis::now().0 + 3_600_000);
    let entry =
        Entry::Outcome { time: future, intent: 0, outcome: Outcome::Abandoned, latency_us: 0, token: None };
    let ledger = rusqlite::Connection::open(site.path("ledger.sqlite")).unwrap();
    let values = (i64::try_from(site.entries().len()).unwrap(), entry.encode().unwrap());
    ledger.execute("INSERT INTO entry (idx, leaf) VALUES (?1, ?2)", values).unwrap();
    drop(ledger);
    fault(&site, ["clock", "behind the newest entry of the ledger", "set the clock"]);
}

#[test]
fn tells_of_a_ledger_that_cannot_be_used() {
    let site = well();
    site.serve().stop();
    replace(&site, "origin = \"test.", "origin = \"other.");
    let (status, all) = examine(&site.run(&["doctor", "--json"]));
    assert_eq!((status, rows(&all, "fault")[0]["what"].as_str()), (Some(2), Some("ledger.path")), "{all:#?}");
    replace(&site, "origin = \"other.", "origin = \"test.");
    replace(&site, "path = \"ledger.sqlite\"", "path = \"small/ledger.sqlite\"");
    fault(&site, ["ledger.path", "small", "mount or make it, or correct `ledger.path`"]);
    std::fs::create_dir(site.path("small")).unwrap();
    let small = within(&site, "mount -t tmpfs -o size=1m none small");
    finds(&small, "fault", ["ledger.space", "small has 1 MiB left", "make room, or move the ledger"]);
    let little = within(&site, "mount -t tmpfs -o size=100m none small");
    finds(&little, "warning", ["ledger.space", "small has 100 MiB left", "make room"]);
    let (status, all) = examine(&within(&site, "mount -t tmpfs -o ro none small"));
    let read_only = |row: &&&Value| row["cause"].as_str().unwrap().contains("mounted read-only");
    assert_eq!((status, rows(&all, "fault").iter().filter(read_only).count()), (Some(2), 1), "{all:#?}");
}

#[test]
fn tells_of_certificates_that_expire_or_have() {
    let site = Site::new(&narrow());
    let make = |name: &str, days: &str| {
        let line = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout mtls/{name}.key -out mtls/{name}.pem"
        );
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).args(["-days", days]).current_dir(site.dir());
        assert!(command.output().unwrap().status.success());
    };
    make("soon", "10");
    replace(&site, "mtls/server.", "mtls/soon.");
    warning(
        &site,
        [
            "server.tls_certificate",
            "\"CN=soon\" expires in ",
            "renew it before; a daemon takes new TLS files at a SIGHUP",
        ],
    );
    let mut late = rcgen::CertificateParams::new(Vec::new()).unwrap();
    late.distinguished_name = rcgen::DistinguishedName::new();
    late.distinguished_name.push(rcgen::DnType::CommonName, "late");
    late.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    late.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(site.path("mtls/late.pem"), late.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(site.path("mtls/late.key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(site.path("mtls/late.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    replace(&site, "mtls/soon.", "mtls/late.");
    fault(&site, ["server.tls_certificate", "expired at", "issue another"]);
    replace(&site, "mtls/late.", "mtls/server.");
    replace(&site, "mtls/ca.pem", "mtls/late.pem");
    fault(&site, ["server.client_ca", "\"CN=late\" expired", "renew it, and send the daemon a SIGHUP"]);
}

#[test]
fn tells_of_a_ca_certificate_that_expires() {
    let profile = "[key.issuing-ca.allow.web]\ncallers = [\"spiffe://countersign.example/front-end\"]\nsigns = \"tls-server\"\n\
                   dns_names = [\"*.example.org\"]\nmax_lifetime = \"1d\"\nbudget = \"100/h\"\n";
    let site = ca::site(&format!("{}{profile}", ca::key("issuing-ca", Scheme::EcdsaP256Sha256)));
    warning(&site, ["key.issuing-ca.certificate", "expires in ", "renew it before"]);
    std::fs::remove_file(site.path("issuing-ca.pem")).unwrap();
    fault(&site, ["key.issuing-ca.certificate", "there is no ", "`countersign key show NAME --pem`"]);
}

#[test]
fn tells_of_a_policy_that_bounds_little() {
    let site = well();
    replace(&site, "\"deploy-*\"", "\"*\"");
    warning(
        &site,
        [
            "key.user-ca.allow.staff.principals",
            "the pattern \"*\", which root matches as well",
            "list the names",
        ],
    );
    replace(&site, "\"*\"", "\"deploy-*\"");
    replace(&site, "100/h", "100000/h");
    warning(&site, ["key.user-ca.allow.staff.budget", "2400000 certificates a day", "with `volume`"]);
}
