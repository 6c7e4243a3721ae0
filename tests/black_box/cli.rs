//! The command line, as an operator and as a script use it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, CertificateBuilder, CertificateType, SubjectKey};
use serde_json::Value;

use crate::site::{FRONT_END, Site, USER_CA, now, request, ssh_keygen, text};

fn json(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn token_init_makes_private_pins_and_never_touches_a_token_of_that_name() {
    let site = Site::without_keys(USER_CA);
    for file in ["pin", "so-pin"] {
        let mode = std::fs::metadata(site.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let pin = std::fs::read(site.path("pin")).unwrap();
    let so_pin = site.path("so-pin");
    let message = site.run_refused(&["token", "init", "soft", "--so-pin-file", so_pin.to_str().unwrap()], 1);
    assert!(message.contains("test"), "{message}");
    assert_eq!(std::fs::read(site.path("pin")).unwrap(), pin);
    let listed = site.run_ok(&["token", "list"]);
    assert!(listed.contains("test") && listed.contains("SoftHSM"), "{listed}");
}

#[test]
fn key_generate_refuses_a_label_that_is_taken() {
    let site = Site::new(USER_CA);
    let message = site.run_refused(&["key", "generate", "user-ca"], 1);
    assert!(message.contains("user-ca"), "{message}");
    let message = site.run_refused(&["key", "generate", "no-such-key"], 2);
    assert!(
        message.contains("no-such-key") && message.contains("user-ca"),
        "it says which there are: {message}"
    );
}

#[test]
fn a_script_can_provision_and_pin_by_json() {
    let site = Site::without_token(USER_CA);
    let so_pin = site.path("so-pin");
    let init =
        ["token", "init", "soft", "--generate-pins", "--json", "--so-pin-file", so_pin.to_str().unwrap()];
    let token = json(&site.run_ok(&init));
    let key = json(&site.run_ok(&["key", "generate", "user-ca", "--json"]));
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let config =
        config.replace("label = \"test\"\n", &format!("label = \"test\"\nserial = {}\n", token["serial"]));
    let pins = format!("[key.user-ca]\nid = {}\nfingerprint = {}\n", key["id"], key["fingerprint"]);
    site.configure(&config.replace("[key.user-ca]\n", &pins));
    let checked = json(&site.run_ok(&["check", "--json"]));
    assert_eq!(checked["keys"][0]["fingerprint"], key["fingerprint"], "{checked}");
}

#[test]
fn a_generated_key_can_sign_and_nothing_else_and_not_leave() {
    let site = Site::new(USER_CA);
    let pin = std::fs::read_to_string(site.path("pin")).unwrap();
    let listed = Command::new("pkcs11-tool")
        .args([
            "--module",
            "/usr/lib/softhsm/libsofthsm2.so",
            "--token-label",
            "test",
            "--login",
            "--pin",
            pin.trim(),
        ])
        .args(["--list-objects", "--type", "privkey"])
        .env("SOFTHSM2_CONF", site.path("softhsm2.conf"))
        .output()
        .unwrap();
    let listed = text(&listed.stdout);
    let field = |name: &str| {
        listed
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .unwrap_or_else(|| panic!("{listed}"))
            .trim()
            .to_owned()
    };
    assert_eq!(field("Usage:"), "sign");
    assert_eq!(field("Access:"), "sensitive, always sensitive, never extractable, local");
}

#[test]
fn key_list_tells_found_from_missing_and_names_strangers() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&format!("{config}{}", USER_CA.replace("key.user-ca", "key.other-ca")));
    let listed = json(&site.run_ok(&["key", "list", "--json"]));
    let row = |name: Value| listed.as_array().unwrap().iter().find(|row| row["key"] == name).cloned();
    assert!(row("user-ca".into()).unwrap()["problem"].is_null(), "{listed}");
    assert!(row("other-ca".into()).unwrap()["fingerprint"].is_null(), "{listed}");

    site.configure(&config.replace("[key.user-ca]\n", "[key.user-ca]\nlabel = \"something-else\"\n"));
    let listed = json(&site.run_ok(&["key", "list", "--json"]));
    let strangers: Vec<_> = listed.as_array().unwrap().iter().filter(|row| row["key"].is_null()).collect();
    assert_eq!(strangers.len(), 1, "{listed}");
    assert_eq!(strangers[0]["label"], "user-ca", "{listed}");
}

#[test]
fn key_show_agrees_with_openssl_and_ssh_keygen() {
    let site = Site::new(USER_CA);
    let shown = json(&site.run_ok(&["key", "show", "user-ca", "--json"]));
    std::fs::write(site.path("ca.pub"), shown["openssh"].as_str().unwrap()).unwrap();
    let listed = Command::new("ssh-keygen").args(["-l", "-f"]).arg(site.path("ca.pub")).output().unwrap();
    assert!(
        text(&listed.stdout).contains(shown["fingerprint"].as_str().unwrap()),
        "{}",
        text(&listed.stdout)
    );
    assert_eq!(site.run_ok(&["key", "show", "user-ca", "--pem"]), shown["spki_pem"].as_str().unwrap());

    let exported = Command::new("ssh-keygen")
        .args(["-e", "-m", "PKCS8", "-f"])
        .arg(site.path("ca.pub"))
        .output()
        .unwrap();
    assert_eq!(text(&exported.stdout).trim(), shown["spki_pem"].as_str().unwrap().trim());
}

#[test]
fn sign_writes_a_certificate_beside_the_key_and_tells_a_script_about_it() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let args = ["user-ca", "--public-key", "id.pub", "--principal", "alice", "--lifetime", "10m", "--json"];
    let signed = site.sign_command(&daemon, FRONT_END, &args).output().unwrap();
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let told = json(&text(&signed.stdout));
    assert_eq!(told["receipt"]["entry_index"], 2, "after the self-test and its outcome: {told}");
    let listing =
        Command::new("ssh-keygen").args(["-L", "-f"]).arg(site.path("id-cert.pub")).output().unwrap();
    assert!(text(&listing.stdout).contains("alice"), "{}", text(&listing.stdout));
}

#[tokio::test]
async fn sign_tbs_has_the_bytes_of_a_file_signed_and_keeps_the_object() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let ca = site.client(&daemon, FRONT_END).await.get_key("user-ca").await.unwrap();
    let ca = PublicKey::from_spki_der(&ca.spki).unwrap();
    let subject = SubjectKey::from_openssh_line(&ssh_keygen(&site.path("id"), &["-t", "ed25519"])).unwrap();
    let tbs = CertificateBuilder::new(CertificateType::User, subject, ca)
        .key_id("alice")
        .principal("alice")
        .valid_after(now())
        .valid_before(now() + 600)
        .build()
        .unwrap();
    std::fs::write(site.path("id.tbs"), tbs.as_bytes()).unwrap();
    let args = ["sign-tbs", "user-ca", "id.tbs", "--kind", "ssh-certificate", "--out", "id.cert"];
    let signed = site.client_command(&daemon, FRONT_END, &args).output().unwrap();
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    assert!(text(&signed.stdout).contains("id.cert: ssh-certificate signed by user-ca; entry 2 of"));
    let object = std::fs::read(site.path("id.cert")).unwrap();
    assert_eq!(Certificate::parse(&object).unwrap().tbs().as_bytes(), tbs.as_bytes());

    let unknown = site.client_command(&daemon, FRONT_END, &[&args[..4], &["pgp"]].concat()).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    let said = text(&unknown.stderr);
    assert!(said.contains("ssh-certificate, x509-certificate, x509-crl, ocsp-response"), "{said}");
}

#[test]
fn a_refused_sign_says_why_and_writes_nothing() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let args = ["user-ca", "--public-key", "id.pub", "--principal", "root", "--lifetime", "10m"];
    let refused = site.sign_command(&daemon, FRONT_END, &args).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    for wanted in ["PRINCIPAL_NOT_ALLOWED", "root", "key.user-ca.allow.staff.principals"] {
        assert!(message.contains(wanted), "{wanted} is not in: {message}");
    }
    assert!(!site.path("id-cert.pub").exists());
}

/// A key whose certificates are the other type's: the option that was forgotten, or too much.
#[test]
fn a_refused_sign_of_the_other_type_names_the_option() {
    let host_ca = "[key.host-ca]\npurpose = \"ssh-host-ca\"\nscheme = \"ecdsa-p256-sha256\"\ntoken = \"soft\"\n\
                   [key.host-ca.allow.all]\ncallers = [\"spiffe://countersign.example/front-end\"]\n\
                   principals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"10/h\"\n";
    let site = Site::new(&format!("{USER_CA}\n{host_ca}"));
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let to_sign = ["--public-key", "id.pub", "--principal", "alice", "--lifetime", "10m"];
    for (args, says) in [
        (&["user-ca", "--host"][..], "is for purpose ssh-user-ca (leave out --host)"),
        (&["host-ca"], "is for purpose ssh-host-ca (give --host)"),
    ] {
        let refused = site.sign_command(&daemon, FRONT_END, &[args, &to_sign[..]].concat()).output().unwrap();
        let message = text(&refused.stderr);
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn ledger_show_escapes_what_came_from_outside() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let nasty = "no\u{1b}[31m\nsuch \"key\"";
    site.client(&daemon, FRONT_END).await.sign(request(nasty, Vec::new())).await.unwrap_err();
    let shown = site.run_ok(&["ledger", "show"]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let last = site.run_ok(&["ledger", "show", "--json", "--last", "1"]);
    assert_eq!(last.lines().count(), 1, "one object a line: {last:?}");
    assert_eq!(json(&last)["key"], nasty);
}

#[test]
fn completions_are_scripts_that_their_shell_accepts() {
    let site = Site::without_token(USER_CA);
    let script = site.run_ok(&["completions", "bash"]);
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    for command in ["serve", "check", "sign", "token", "key", "ledger"] {
        assert!(script.contains(command));
    }
    assert!(!script.contains("token-process"), "what serve runs is nobody's command");
}

#[test]
fn every_command_has_a_manual_page_that_groff_accepts() {
    let site = Site::without_token(USER_CA);
    site.run_ok(&["man", "share/man/man1"]);
    let pages: Vec<_> =
        std::fs::read_dir(site.path("share/man/man1")).unwrap().map(|page| page.unwrap().path()).collect();
    for page in &pages {
        let groff =
            Command::new("groff").args(["-man", "-Kutf8", "-Tutf8", "-ww"]).arg(page).output().unwrap();
        assert!(
            groff.status.success() && groff.stderr.is_empty(),
            "{}: {}",
            page.display(),
            text(&groff.stderr)
        );
        // A page for each command that its parent's page names.
        let source = std::fs::read_to_string(page).unwrap().replace("\\-", "-");
        for child in source.lines().filter_map(|line| line.strip_suffix("(1)")) {
            let is_childs = |page: &PathBuf| page.ends_with(format!("{child}.1"));
            assert!(pages.iter().any(is_childs), "{}: no page {child}", page.display());
        }
    }
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    for name in [
        "countersign.1",
        "countersign-doctor.1",
        "countersign-token-change-pin.1",
        "countersign-ledger-verify.1",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help") || name.contains("token-process")), "{names:?}");
    let page = std::fs::read_to_string(site.path("share/man/man1/countersign-token-unlock.1")).unwrap();
    assert!(page.contains("so\\-pin\\-file") && page.contains("mode 0600"), "{page}");
}

#[test]
fn a_reader_that_stops_early_is_no_failure_and_a_full_disk_is_one() {
    let site = Site::new(USER_CA);
    for args in ["completions bash", "check", "key list", "token list"] {
        let script = format!("\"$0\" {args} | true; exit ${{PIPESTATUS[0]}}");
        let mut piped = Command::new("bash");
        piped.args(["-c", &script, env!("CARGO_BIN_EXE_countersign")]).current_dir(site.dir());
        let output = piped.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args}");
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = site.command(&["check"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("No space left"), "{}", text(&output.stderr));
}

#[test]
fn a_certificate_that_could_not_be_written_is_not_signed() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let before = site.entries().len();
    for out in ["no-such-directory/id-cert.pub", "mtls"] {
        let args =
            ["user-ca", "--public-key", "id.pub", "--principal", "alice", "--lifetime", "10m", "--out", out];
        let failed = site.sign_command(&daemon, FRONT_END, &args).output().unwrap();
        assert_eq!(failed.status.code(), Some(1));
        assert!(text(&failed.stderr).contains(out), "{}", text(&failed.stderr));
    }
    daemon.stop();
    assert!(site.entries().len() <= before + 1, "the self-test's outcome at most");
}

#[test]
fn wrong_arguments_exit_with_2_and_failures_with_1() {
    let site = Site::new(USER_CA);
    site.run_refused(&["sign", "user-ca"], 2);
    site.run_refused(&["no-such-command"], 2);
    site.run_refused(&["key", "show", "no-such-key"], 2);
    let nobody = [
        "sign",
        "user-ca",
        "--public-key",
        "x.pub",
        "--principal",
        "alice",
        "--lifetime",
        "1m",
        "--server",
        "https://localhost:1",
    ];
    site.run_refused(
        &[
            &nobody[..],
            &[
                "--tls-ca",
                "mtls/ca.pem",
                "--tls-cert",
                "mtls/front-end.pem",
                "--tls-key",
                "mtls/front-end.key",
            ],
        ]
        .concat(),
        1,
    );
}
