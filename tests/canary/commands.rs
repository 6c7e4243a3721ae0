//! Commands that read a PIN in their own process.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use countersign_faulty::{Action, Call, Code, On, Script};
use rustix::process::Pid;

use crate::canary::{WRONG, whole};
use crate::daemon::end;
use crate::nest::{COMES, INIT, Nest};
use crate::process;
use crate::site::Daemon;

/// Those that log in.
pub const LOGIN: [&[&str]; 7] = [
    &["key", "generate", "user-ca"],
    &["key", "list"],
    &["key", "show", "user-ca"],
    &["key", "export-public", "user-ca", "--format", "pem"],
    &[
        "key",
        "delete",
        "--token",
        "soft",
        "--fingerprint",
        "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "--why",
        "a test",
    ],
    &["key", "wrapping-key", "--token", "soft", "--out", "to.json"],
    &["ceremony", "sign", "ceremony", "--key", "user-ca"],
];
/// And those that have a token process do it.
pub const BY_PROCESS: [&[&str]; 3] = [&["check"], &["doctor"], &["serve"]];

#[test]
fn commands_show_no_pin_that_is_wrong_or_in_a_file_that_is() {
    let nest = Nest::new();
    let pin = fs::read(nest.site.path("pin")).unwrap();
    let bad: [(&[u8], u32); 4] =
        [(&pin, 0o644), (b"", 0o600), (&pin.repeat(20), 0o600), (&[&pin[..], b"\xff"].concat(), 0o600)];
    for file in ["pin", "so-pin"] {
        let good = fs::read(nest.site.path(file)).unwrap();
        for (content, mode) in bad {
            nest.write(file, content);
            fs::set_permissions(nest.site.path(file), Permissions::from_mode(mode)).unwrap();
            nest.fails(&INIT, "");
        }
        nest.write(file, &good);
    }
    nest.fails(&[&INIT[..], &["--generate-pins"]].concat(), "exists already");
    assert_eq!(nest.run(&INIT), Some(0));
    nest.fails(&INIT, "exists already");
    assert_eq!(nest.run(LOGIN[0]), Some(0));
    nest.fails(LOGIN[0], "exists already");
    for args in [&["key", "list"][..], &["key", "show", "user-ca", "--json"], &["check"], &["token", "list"]]
    {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }

    for (content, mode) in bad.into_iter().take(3) {
        nest.write("pin", content);
        fs::set_permissions(nest.site.path("pin"), Permissions::from_mode(mode)).unwrap();
        for args in LOGIN.into_iter().chain(BY_PROCESS) {
            nest.fails(args, "the PIN file");
        }
    }
    nest.write("pin", whole(WRONG).as_bytes());
    for args in LOGIN.into_iter().chain(BY_PROCESS) {
        nest.fails(args, "PIN");
    }
    nest.fails(&["check"], "token unlatch");
    assert_eq!(nest.run(&["token", "unlatch", "soft"]), Some(0));
    nest.fails(&["check"], "CKR_PIN_INCORRECT");
    nest.leaves_nothing();
}

#[test]
fn commands_show_no_pin_beside_a_configuration_or_a_token_that_is_broken() {
    let nest = Nest::with_key();
    let pin = fs::read_to_string(nest.site.path("pin")).unwrap();
    let edits: [&dyn Fn(String) -> String; 6] = [
        &|config| config.replace("label = \"test\"", "label = \"another\""),
        &|config| config.replace("libcountersign_faulty", "no-such-module"),
        &|config| config.replace("FAULTY_MODULE = ", "FAULTY_MODULE = \"/none\" #"),
        &|config| config.replace("[token.soft]", "[token.soft"),
        // What the example says not to do.
        &|config| config.replace("pin_file = ", &format!("pin = {pin:?}\npin_file = ")),
        &|config| config.replace("pin_file = \"pin\"", &format!("pin_file = [{pin:?}]")),
    ];
    for edit in edits {
        nest.break_configuration(edit);
        for args in LOGIN.into_iter().chain(BY_PROCESS).chain([&["token", "list"][..], &INIT]) {
            nest.run(args);
        }
    }
    nest.configure(|config| config);
    fs::rename(nest.site.path("tokens"), nest.site.path("gone")).unwrap();
    for args in LOGIN.into_iter().chain(BY_PROCESS) {
        nest.fails(args, "");
    }
    nest.leaves_nothing();
}

/// They have no PIN themselves, and ask a signer that has one.
#[test]
fn commands_that_ask_the_signer_show_no_pin() {
    let nest = Nest::new();
    let own = format!("uid:{}", rustix::process::geteuid().as_raw());
    let tls_ca = format!(
        "[key.tls-ca]\npurpose = \"x509-ca\"\nscheme = \"ecdsa-p256-sha256\"\ntoken = \"soft\"\n\
         [key.tls-ca.allow.itself]\nsigns = \"certificate-request\"\ncallers = [{own:?}]\nbudget = \"10/h\"\n\
         subject = {{ CN = [\"TLS CA\"] }}\n"
    );
    nest.configure(|config| config + &tls_ca);
    for args in [&INIT[..], &["key", "generate", "user-ca"], &["key", "generate", "tls-ca"]] {
        assert_eq!(nest.run(args), Some(0), "{args:?}");
    }
    let daemon = Daemon::start(nest.command(&["serve"]).stdout(Stdio::null()));
    let paper = ["tls-ca", "--subject", "CN=TLS CA", "--out", "tls-ca.csr"];
    assert_eq!(nest.run(&[&["key", "csr"][..], &paper].concat()), Some(0));
    for (args, saying) in [
        (&[&["key", "csr"][..], &paper].concat()[..], "is there already"),
        (
            &[&["key", "self-sign", "--force", "--lifetime", "1d"][..], &paper].concat(),
            "TBS_KIND_NOT_ALLOWED",
        ),
        (
            &[
                &["key", "sign-intermediate", "--force", "--lifetime", "1d", "--csr", "tls-ca.csr"][..],
                &paper,
            ]
            .concat(),
            "certificate",
        ),
        (LOGIN[4], "tells no key"),
        (&["revoke", "user-ca", "--serial", "1", "--why", "a test", "--yes"], "NOTHING_TO_REVOKE"),
    ] {
        nest.fails(args, saying);
    }
    end(&nest, daemon);
}

#[test]
fn commands_show_no_pin_where_the_module_fails_crashes_or_hangs_in_the_login() {
    let nest = Nest::with_key();
    process::try_to_leave_a_core(&nest.site);
    let codes = [
        Code::CKR_PIN_INCORRECT,
        Code::CKR_PIN_EXPIRED,
        Code::CKR_PIN_LOCKED,
        Code::CKR_PIN_LEN_RANGE,
        Code::CKR_DEVICE_ERROR,
        Code::CKR_GENERAL_ERROR,
        Code::CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    ];
    for code in codes {
        nest.control.set(&Script::on(On::call(Call::Login, Action::Fail(code)))).unwrap();
        for args in [&["key", "list"][..], &["check"]] {
            nest.fails(args, "CKR_");
            // A PIN that was refused to one of them is tried by none.
            nest.run(&["token", "unlatch", "soft"]);
        }
    }
    nest.control.set(&Script::on(On::call(Call::Login, Action::Crash))).unwrap();
    for args in LOGIN {
        assert_eq!(nest.run(args), None, "it dies of a signal: {args:?}");
    }
    for args in BY_PROCESS {
        nest.fails(args, "the token process ended");
        // A login that never came back may have cost a try, and a third is not made.
        nest.run(&["token", "unlatch", "soft"]);
    }
    nest.control.clear().unwrap();
    hangs(&nest, Call::Login, &["key", "list"]);
    nest.leaves_nothing();
}

#[test]
fn init_shows_no_pin_where_the_module_fails_crashes_or_hangs() {
    for call in [Call::InitToken, Call::InitPIN] {
        let nest = Nest::new();
        nest.control.set(&Script::on(On::call(call, Action::Fail(Code::CKR_DEVICE_ERROR)).times(1))).unwrap();
        nest.fails(&INIT, "CKR_DEVICE_ERROR");
        nest.leaves_nothing();
        let nest = Nest::new();
        nest.control.set(&Script::on(On::call(call, Action::Crash))).unwrap();
        assert_eq!(nest.run(&INIT), None, "it dies of a signal in {call:?}");
        nest.leaves_nothing();
        let nest = Nest::new();
        hangs(&nest, call, &INIT);
        nest.leaves_nothing();
    }
}

/// A command whose module hangs in a call that has a PIN: it has that in memory, and shows it nowhere; then it aborts.
pub fn hangs(nest: &Nest, call: Call, args: &[&str]) {
    nest.control.set(&Script::on(On::call(call, Action::Hang))).unwrap();
    let before = nest.control.hangs(call);
    let mut command = nest.command(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    assert!(nest.control.wait_until(COMES, |control| control.hangs(call) > before));
    process::shows_nothing(&nest.hunt, pid);
    if let Some(places) = process::memory(&nest.hunt, pid) {
        assert!(!places.is_empty(), "a hunt through its memory finds what is there");
        assert!(places.iter().all(|place| place.is_locked), "in {call:?} a PIN may be swapped: {places:#?}");
    }
    // As a panic ends it.
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let output = child.wait_with_output().unwrap();
    nest.shows_nothing("what it said", &[output.stdout, output.stderr].concat());
    nest.control.clear().unwrap();
}
