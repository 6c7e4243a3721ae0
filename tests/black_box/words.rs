//! What commands say when something is wrong: the cause, what to do, and the exit status that scripts go by.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use countersign::config::{Config, Fault};

use crate::site::{Daemon, FRONT_END, STRANGER, Site, USER_CA, ssh_keygen, text};
use crate::terminal::Terminal;

const NOBODY: &str = "65534";

fn config(site: &Site) -> String {
    std::fs::read_to_string(site.path("countersign.toml")).unwrap()
}

fn replace(site: &Site, from: &str, to: &str) {
    let config = config(site);
    assert!(config.contains(from), "{from}");
    site.configure(&config.replace(from, to));
}

#[track_caller]
fn says(text: &str, all: &[&str]) {
    for wanted in all {
        assert!(text.contains(wanted), "{wanted:?} is not in: {text}");
    }
}

/// A command as a user who may read the configuration, and what else is named, and nothing more.
fn as_nobody(site: &Site, readable: &[&str], args: &[&str]) -> Output {
    let program = site.path("countersign");
    std::fs::copy(env!("CARGO_BIN_EXE_countersign"), &program).unwrap();
    for name in ["", "countersign.toml", "mtls", "countersign"].iter().chain(readable) {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&program).args(args);
    command.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap()
}

#[test]
fn a_fault_has_the_status_2_even_if_nobody_reads_all_of_it() {
    let site = Site::new(USER_CA);
    replace(&site, "label = \"test\"", "label = \"tset\"");
    for reader in ["true", "head -1"] {
        let script = format!("\"$0\" doctor | {reader} >/dev/null; exit ${{PIPESTATUS[0]}}");
        let mut piped = Command::new("bash");
        piped.args(["-c", &script, env!("CARGO_BIN_EXE_countersign")]).current_dir(site.dir());
        let output = piped.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{reader}: {}", text(&output.stderr));
    }
}

#[test]
fn a_file_that_this_user_may_not_read_is_no_reason_for_a_new_token() {
    let site = Site::new(USER_CA);
    std::fs::set_permissions(site.path("softhsm2.conf"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = text(&as_nobody(&site, &[], &["doctor", "--no-login"]).stdout);
    for place in ["token.soft.pin_file", "token.soft.environment", "server.tls_key"] {
        let mut lines = said.lines().skip_while(|line| !line.starts_with(&format!("FAULT    {place}: ")));
        says(lines.next().unwrap_or_else(|| panic!("{place}: {said}")), &["Permission denied"]);
        says(lines.next().unwrap(), &["fix: run this", "as the daemon's user", "`chown`"]);
    }
    assert!(!said.contains("token init") && !said.contains("softhsm/create"), "{said}");
}

#[test]
fn a_pin_file_that_is_not_there_is_a_path_to_correct_first() {
    let site = Site::new(USER_CA);
    let missing = "No such file or directory (os error 2); correct the path; only for a token that was never initialised";
    says(&site.run_refused(&["token", "set-pin-source", "soft", "--pin-file", "nope"], 1), &[missing]);
    std::fs::rename(site.path("pin"), site.path("pin.away")).unwrap();
    says(&site.run_refused(&["check"], 2), &["token.soft.pin_file: ", missing]);
}

#[test]
fn a_misspelt_label_is_corrected_and_no_reason_for_a_new_key() {
    let site = Site::new(USER_CA);
    replace(&site, "[key.user-ca]\n", "[key.user-ca]\nlabel = \"user-cb\"\n");
    let said = site.run_refused(&["check"], 2);
    let cause = "key.user-ca: no private key has label \"user-cb\" (there are: \"user-ca\" (id ";
    let fix = "; correct `label` or `id` in [key.user-ca], or, for a new CA, run `countersign key generate user-ca`";
    says(&said, &[cause, fix]);
    says(&site.run_refused(&["key", "show", "user-ca"], 1), &[fix]);
}

#[test]
fn a_scheme_that_does_not_fit_is_told_with_one_that_does() {
    let site = Site::new(USER_CA);
    replace(&site, "scheme = \"ecdsa-p256-sha256\"", "scheme = \"ed25519\"");
    let said = site.run_refused(&["check"], 2);
    says(&said, &["scheme ed25519 does not fit", "that signs by `scheme = \"ecdsa-p256-sha256\"`"]);
}

#[test]
fn causes_come_before_what_is_to_be_done() {
    let fault = Fault::new("ledger.path", "it is not there; mount it");
    assert_eq!((&fault.cause[..], fault.fix.as_deref()), ("it is not there", Some("mount it")));
    assert_eq!(fault.to_string(), "ledger.path: it is not there; mount it");
    let faults = Config::load(Path::new("/no/such/file.toml")).unwrap_err();
    assert_eq!(faults[0].fix.as_deref(), Some("correct --config, or COUNTERSIGN_CONFIG"));
    let site = Site::new(USER_CA);
    std::fs::create_dir(site.path("ledger.sqlite.lock")).unwrap();
    let said = site.run_refused(&["serve"], 2);
    let row = said.lines().find(|line| line.contains("ledger.path: ")).unwrap();
    let (cause, fix) = row.split_once("; ").unwrap_or_else(|| panic!("{said}"));
    // What the system says is the cause, and has no place after the advice.
    says(cause, &["failed: Is a directory"]);
    assert_eq!(fix, "check its owner and mode, and those of its directory");
}

#[test]
fn what_others_can_write_is_refused_by_all_who_serve_or_would() {
    let site = Site::new(USER_CA);
    std::fs::set_permissions(site.path("countersign.toml"), std::fs::Permissions::from_mode(0o664)).unwrap();
    for command in ["check", "serve"] {
        let said = site.run_refused(&[command], 2);
        says(&said, &["countersign.toml: has mode 0664: others can write it", "run `chmod go-w "]);
    }
}

#[test]
fn a_pin_file_has_one_place_and_a_refused_pin_one_row() {
    let site = Site::new(&USER_CA.replace("100000/h", "100/h"));
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["check"][..], &["doctor"]] {
        let output = site.run(args);
        let said = text(&output.stdout) + &text(&output.stderr);
        says(&said, &["token.soft.pin_file: the PIN file ", "has mode 0644"]);
    }
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let right = std::fs::read(site.path("pin")).unwrap();
    std::fs::write(site.path("pin"), "wrong-4711").unwrap();
    site.run_refused(&["check"], 2);
    let output = site.run(&["doctor"]);
    let said = text(&output.stdout);
    assert_eq!((output.status.code(), said.matches("token.soft.pin_file").count()), (Some(2), 1), "{said}");
    says(
        &said,
        &["FAULT    token.soft.pin_file: the token refused this PIN", "`countersign token unlatch soft`"],
    );
    assert!(!said.contains("WARNING"), "{said}");
    // What is noted of another PIN is no fault of this one.
    std::fs::write(site.path("pin"), right).unwrap();
    assert_eq!(site.run(&["doctor"]).status.code(), Some(0));
}

#[test]
fn what_is_missing_may_be_in_the_environment_and_that_is_said() {
    let command = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.args(args).env_clear().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        text(&output.stderr)
    };
    says(&command(&["serve"]), &["--config <FILE>", "tip: ", "COUNTERSIGN_CONFIG"]);
    says(
        &command(&["ledger", "show"]),
        &["--ledger <FILE>", "tip: ", "--config FILE, or COUNTERSIGN_CONFIG"],
    );
    says(&command(&["health"]), &["--server <ADDRESS>", "tip: ", "COUNTERSIGN_SERVER"]);
    let asks = "--server ADDRESS asks a signer that runs; COUNTERSIGN_SERVER does not count here";
    for args in
        [&["ledger", "find", "--serial", "1"][..], &["ledger", "verify"], &["ssh-krl", "a", "--out", "b"]]
    {
        says(&command(args), &["--ledger <FILE>", "--config FILE, or COUNTERSIGN_CONFIG", asks]);
    }
    assert!(!command(&["ledger", "show"]).contains("--server"), "it reads files alone");
}

#[test]
fn an_argument_that_does_not_fit_the_configuration_has_the_status_2() {
    let site = Site::new(USER_CA);
    let tokens = "there is no [token.nope] in the configuration; there are: soft";
    let so_pin = ["--so-pin-file", "so-pin"];
    says(&site.run_refused(&["token", "unlatch", "nope"], 2), &[tokens]);
    says(&site.run_refused(&[&["token", "init", "nope"][..], &so_pin].concat(), 2), &[tokens]);
    says(&site.run_refused(&["key", "list", "--token", "nope"], 2), &[tokens]);
    let delete = ["key", "delete", "--why", "a test", "--fingerprint", "abc", "--token"];
    says(&site.run_refused(&[&delete[..], &["nope"]].concat(), 2), &[tokens]);
    says(&site.run_refused(&[&delete[..], &["soft"]].concat(), 2), &["--fingerprint abc is none"]);
    let wrapping = ["key", "wrapping-key", "--token", "nope", "--out", "to.json"];
    says(&site.run_refused(&wrapping, 2), &[tokens]);
    assert!(!site.path("to.json").exists());
    let keys = "there is no [key.nope] in the configuration; there are: user-ca";
    says(&site.run_refused(&["key", "generate", "nope"], 2), &[keys]);
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let request = ["--public-key", "id.pub", "--principal", "alice"];
    let explain = ["policy", "explain", "--key", "user-ca", "--caller", "front-end"];
    says(&site.run_refused(&[&explain[..], &request].concat(), 2), &["--caller: ", "dns:NAME"]);
    let sign = [&["sign", "user-ca"][..], &request, &["--server"]].concat();
    says(&site.run_refused(&[&sign[..], &["https://localhost:1"]].concat(), 2), &["needs --tls-cert"]);
    let tls =
        ["--tls-cert", "mtls/front-end.pem", "--tls-key", "mtls/front-end.key", "--tls-ca", "mtls/ca.pem"];
    let no_address = [&sign[..], &["localhost:8443"], &tls].concat();
    says(&site.run_refused(&no_address, 2), &["\"localhost:8443\" is not a signer's address"]);
    replace(&site, "unix_socket = \"signer.sock\"\n", "");
    let revoke = ["revoke", "user-ca", "--serial", "1", "--why", "a test", "--yes"];
    let restart = "set it, and restart the signer";
    says(&site.run_refused(&revoke, 2), &["no server.unix_socket", restart]);
    let thaw = ["policy", "thaw", "user-ca", "dns:a.example", "--why", "a test"];
    says(&site.run_refused(&thaw, 2), &["no server.unix_socket", restart]);
}

#[test]
fn a_socket_that_nobody_listens_on_is_told_with_what_may_be_missing() {
    let site = Site::new(USER_CA);
    let said = site.run_refused(&["revoke", "user-ca", "--serial", "1", "--why", "a test", "--yes"], 1);
    says(
        &said,
        &[
            "signer.sock",
            "No such file",
            "running there?; if it started before `unix_socket` was set, restart it",
        ],
    );
}

#[test]
fn a_revocation_says_what_is_to_be_pasted_next() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let mut terminal =
        Terminal::start(&site, &["revoke", "user-ca", "--serial", "7", "--not-in-ledger", "--why", "test"]);
    let asked = "serial 7 of key user-ca will be revoked although this ledger has no such certificate";
    terminal.answer(asked, "yes");
    let (done, said) = terminal.end();
    assert!(done, "{said}");
    let next = said.split('`').find(|text| text.starts_with("countersign ssh-krl")).unwrap();
    let words: Vec<_> = next.split(' ').skip(1).collect();
    site.run_ok(&words);
    assert!(site.path("user-ca.krl").exists());
    daemon.stop();
}

#[test]
fn a_sighup_says_what_it_does_not_read() {
    let site = Site::new(USER_CA);
    let mut daemon = site.serve();
    daemon.signal(rustix::process::Signal::HUP);
    says(&daemon.wait_for("SIGHUP"), &["TLS files as they are now", "only by a restart"]);
}

/// What `health` says with these TLS files, which must not get it an answer.
fn refused_health(site: &Site, daemon: &Daemon, files: [&str; 3]) -> String {
    let mut command = site.client_command(daemon, FRONT_END, &["health"]);
    for (name, file) in
        ["COUNTERSIGN_TLS_CERT", "COUNTERSIGN_TLS_KEY", "COUNTERSIGN_TLS_CA"].iter().zip(files)
    {
        command.env(name, file);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    text(&output.stderr)
}

#[test]
fn a_client_that_is_not_accepted_is_told_which_certificate_and_the_log_why() {
    let site = Site::new(USER_CA);
    let other = crate::pki::write(&site.path("other"), &[FRONT_END]);
    let mut late = crate::pki::Pki::client(FRONT_END);
    (late.not_before, late.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 2));
    other.issue(&site.path("other"), "late", late, rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let mut daemon = site.serve();

    let said = refused_health(&site, &daemon, ["other/late.pem", "other/late.key", "mtls/ca.pem"]);
    says(&said, &["other/late.pem expired on 2021-01-02T00:00:00Z; get a new one"]);

    let said = refused_health(&site, &daemon, ["other/front-end.pem", "other/front-end.key", "mtls/ca.pem"]);
    let whose = "other/front-end.pem (issuer CN=countersign test mTLS CA";
    let names = "names spiffe://countersign.example/front-end)";
    says(&said, &["the signer closed the connection", whose, names, "its log says why"]);
    says(&daemon.wait_for("closed a connection"), &["INFO", "invalid peer certificate"]);

    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(site.path("mtls/front-end.key"), open).unwrap();
    let warned = site.client_command(&daemon, FRONT_END, &["health"]).output().unwrap();
    assert_eq!((warned.status.code(), text(&warned.stdout)), (Some(0), "serving\n".to_owned()));
    says(
        &text(&warned.stderr),
        &["front-end.key has mode 0644: others can be this caller", "run `chmod 0600 "],
    );
    let said = refused_health(&site, &daemon, ["mtls/front-end.pem", "mtls/front-end.key", "other/ca.pem"]);
    says(&said, &["the signer's certificate does not chain to other/ca.pem"]);
    daemon.stop();
}

#[test]
fn where_nobody_listens_a_client_asks_for_the_daemon() {
    let site = Site::without_token(USER_CA);
    let mut args = vec!["health", "--server", "https://localhost:1", "--tls-cert", "mtls/front-end.pem"];
    args.extend(["--tls-key", "mtls/front-end.key", "--tls-ca", "mtls/ca.pem"]);
    let asks = ["Connection refused (os error 111); is `countersign serve` running there?"];
    says(&site.run_refused(&args, 2), &asks);
    says(
        &site.run_refused(&["health", "--server", "unix:nope.sock"], 2),
        &["No such file or directory (os error 2); is `countersign serve` running there?"],
    );
}

#[test]
fn offline_it_is_said_whether_key_or_caller_is_wrong() {
    let site = Site::new(USER_CA);
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let explain = |key: &str, caller: &str| {
        let request = ["--public-key", "id.pub", "--principal", "alice"];
        site.run_ok(&[&["policy", "explain", "--key", key, "--caller", caller], &request[..]].concat())
    };
    let said = explain("user_ca", "spiffe://countersign.example/front-end");
    says(&said, &["KEY_NOT_AVAILABLE", "there is no [key.user_ca]", "there are the keys user-ca"]);
    let said = explain("user-ca", "dns:web.example");
    let whom = "no profile of user-ca names dns:web.example: staff (";
    says(&said, &[whom, "countersign.toml:", ") names spiffe://countersign.example/front-end"]);
    assert!(!said.contains("ListKeys"), "{said}");
}

#[test]
fn a_caller_without_a_key_is_told_its_own_name_and_no_method() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let ask = |args: &[&str], status: i32| {
        let output = site.client_command(&daemon, STRANGER, args).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(!said.contains("ListKeys"), "{said}");
        said
    };
    let advice = "has spiffe://countersign.example/stranger, as it calls you, in its `callers`, and whether the signer was restarted";
    let said = ask(&["sign", "user-ca", "--public-key", "id.pub", "--principal", "alice"], 1);
    says(&said, &["KEY_NOT_AVAILABLE: ", "ask the signer's operator", advice]);
    says(&ask(&["bundle", "user-ca", "--format", "openssh"], 1), &["KEY_NOT_AVAILABLE: ", advice]);
    std::fs::write(site.path("tbs"), "x").unwrap();
    let tbs = ["sign-tbs", "user-ca", "tbs", "--kind", "ssh-certificate", "--out", "-"];
    says(&ask(&tbs, 1), &["KEY_NOT_AVAILABLE: ", advice]);
    says(&ask(&["health", "nope"], 2), &["there is no key nope, or you may not use it; ", advice]);
    says(&ask(&["health", "--witnesses"], 2), &["this signer has no witnesses ([ledger.witness.NAME])"]);
    says(&ask(&["health", "--checkpoints"], 2), &["signs no checkpoints (`ledger.checkpoint_key`)"]);
    says(&ask(&["health", "--bundles"], 2), &["this signer writes no files of bundles ([bundles])"]);
    daemon.stop();
}

#[test]
fn a_file_of_the_clients_tls_that_is_another_is_named() {
    let site = Site::without_token("");
    std::fs::write(site.path("mtls/empty"), "").unwrap();
    let ask = |cert: &str, key: &str, ca: &str| {
        let mut command = site.command(&["health", "--server", "https://localhost:1"]);
        for (name, file) in [("CERT", cert), ("KEY", key), ("CA", ca)] {
            command.env(format!("COUNTERSIGN_TLS_{name}"), format!("mtls/{file}"));
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let (cert, key, ca) = ("front-end.pem", "front-end.key", "ca.pem");
    says(&ask(cert, "stranger.key", ca), &["mtls/stranger.key is not the key of mtls/front-end.pem"]);
    let wanted = "mtls/front-end.key holds a private key, where the client's certificate (COUNTERSIGN_TLS_CERT) is wanted";
    says(&ask(key, key, ca), &[wanted]);
    let wanted = "mtls/front-end.pem holds a certificate, where the client's private key (COUNTERSIGN_TLS_KEY) is wanted";
    says(&ask(cert, cert, ca), &[wanted]);
    let wanted = "mtls/front-end.key holds a private key, where the certificate of the server's CA (COUNTERSIGN_TLS_CA) is wanted";
    says(&ask(cert, key, key), &[wanted]);
    says(&ask("empty", key, ca), &["mtls/empty holds no readable PEM certificate"]);
    says(&ask(cert, "empty", ca), &["mtls/empty holds no unencrypted PEM private key"]);
}

#[test]
fn a_running_ledger_is_found_by_the_configuration() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    assert!(site.run_ok(&["ledger", "tail"]).contains("self-test"));
    says(&site.run_refused(&["ledger", "checkpoint"], 1), &["CHECKPOINTS_OFF"]);
    let nowhere =
        Command::new(env!("CARGO_BIN_EXE_countersign")).args(["ledger", "tail"]).env_clear().output();
    let nowhere = nowhere.unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    says(&text(&nowhere.stderr), &["--server ADDRESS, which is unix:PATH for its operator", "--config FILE"]);
    let nothing = site.run(&["ledger", "find", "--serial", "4711"]);
    assert_eq!((nothing.status.code(), text(&nothing.stdout)), (Some(0), String::new()));
    says(&text(&nothing.stderr), &["no entry matches"]);
    // What can match nothing gets no all-clear.
    for by in [&[][..], &["--server", "unix:signer.sock"]] {
        let find = |question: &[&str], status| {
            site.run_refused(&[&["ledger", "find"][..], question, by].concat(), status)
        };
        says(&find(&["--subject", "nofile"], 1), &["cannot read nofile", "SHA256:… or a file"]);
        says(&find(&["--subject", "SHA256:short"], 2), &["is no fingerprint"]);
        says(&find(&["--serial", "x"], 2), &["--serial: a serial is decimal"]);
        let times = ["--since", "2020-01-02 00:00:00", "--until"];
        for until in ["2020-01-02 00:00:00", "2020-01-01 00:00:00"] {
            says(&find(&[&times[..], &[until]].concat(), 2), &["--since must be before --until"]);
        }
        says(
            &find(&["--revocations", "--rotations"], 2),
            &["'--revocations' cannot be used with '--rotations'"],
        );
        for count in ["--limit", "--before"] {
            says(&find(&["--key", "user-ca", count, "0"], 2), &[count, "0 is not in 1.."]);
        }
        says(&find(&["--caller", "nobody"], 2), &["--caller: \"nobody\" is no caller", "uid:NUMBER"]);
        let unknown = "no entry of a key usr-ca: name it as the signer's configuration does";
        says(&find(&["--key", "usr-ca"], 1), &[unknown]);
        let nothing = site.run(&[&["ledger", "find", "--key", "user-ca", "--revocations"][..], by].concat());
        assert_eq!((nothing.status.code(), text(&nothing.stdout)), (Some(0), String::new()));
    }
    daemon.stop();
}

#[test]
fn a_verification_says_how_to_check_what_it_could_not() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    // Its self-test need not have its outcome yet.
    let said = text(&site.run(&["ledger", "verify"]).stdout);
    let known = "entries were compared with the hashes that were known";
    says(&said, &["0 checkpoints, 0 revocations, 0 others", known]);
    daemon.stop();
    let output = site.run(&["ledger", "verify"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    says(&said, &[&format!("2 {known}")]);
    let how = "give its PEM with --key FILE: `countersign key show NAME --pem >FILE` writes it";
    says(&said, &["by the ssh-user-ca key user-ca (SPKI", how]);
    std::fs::write(site.path("ca.pem"), site.run_ok(&["key", "show", "user-ca", "--pem"])).unwrap();
    site.run_ok(&["ledger", "verify", "--key", "ca.pem", "--accept-uncovered"]);
}

#[test]
fn a_variable_that_names_a_file_is_whole_and_there() {
    let site = Site::new(USER_CA);
    let conf = site.path("softhsm2.conf");
    replace(&site, conf.to_str().unwrap(), "softhsm2.conf");
    let place = "token.soft.environment.SOFTHSM2_CONF: ";
    says(&site.run_refused(&["check"], 2), &[place, "should be a whole path"]);
    replace(&site, "\"softhsm2.conf\"", "\"/nope/softhsm2.conf\"");
    says(&site.run_refused(&["check"], 2), &[place, "SOFTHSM2_CONF=/nope/softhsm2.conf: no such file"]);
}

#[test]
fn a_file_of_another_kind_is_told_by_what_it_is() {
    let site = Site::without_token(USER_CA);
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let server = ["--server", "unix:nowhere.sock"];
    let sign = |key: &str, more: &[&str]| {
        let request = ["sign", "user-ca", "--principal", "alice", "--public-key", key];
        site.run_refused(&[&request[..], &server, more].concat(), 1)
    };
    says(&sign("id", &[]), &["id is a private key", "give its public half, id.pub"]);
    let nowhere = ["--out", "nope/id-cert.pub"];
    says(&sign("id.pub", &nowhere), &["there is no directory nope", "`-` writes to standard output"]);
    std::fs::write(site.path("www.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let tbs = ["sign-tbs", "tls-ca", "www.pem", "--kind", "x509-certificate", "--out", "out.pem"];
    says(
        &site.run_refused(&[&tbs[..], &server].concat(), 1),
        &["www.pem is PEM, and nothing was signed", "`countersign sign-csr`"],
    );
    // Who cannot write to standard output is not told to.
    let crl = ["crl", "tls-ca", "--certificate", "mtls/ca.pem", "--output", "nope/list"];
    let refused = site.run_refused(&[&crl[..], &server].concat(), 1);
    assert!(
        refused.contains("there is no directory nope") && !refused.contains("standard output"),
        "{refused}"
    );
    let crl = ["crl", "tls-ca", "--certificate", "nope.pem", "--output", "list"];
    says(&site.run_refused(&[&crl[..], &server].concat(), 1), &["there is no nope.pem; correct the path"]);
}

#[test]
fn help_names_every_kind_of_tbs() {
    let site = Site::without_token(USER_CA);
    let help = site.run_ok(&["sign-tbs", "--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for kind in countersign_tbs::TbsKind::ALL {
        assert!(help.contains(kind.name()), "{kind}: {help}");
    }
}
