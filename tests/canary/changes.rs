//! Commands that change a PIN, or where it comes from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use countersign_faulty::{Action, Call, Code, On, Script, Token};

use crate::canary::{NEW, SO, USER, whole, wrong};
use crate::commands::{BY_PROCESS, LOGIN, hangs};
use crate::daemon::{Caller, end};
use crate::nest::Nest;
use crate::process::{self, daemon_knows_nothing};
use crate::site::Daemon;

const CHANGE: [&str; 5] = ["token", "change-pin", "soft", "--new-pin-file", "secrets/new"];
const UNLOCK: [&str; 7] =
    ["token", "unlock", "soft", "--so-pin-file", "secrets/so", "--new-pin-file", "secrets/new"];

/// A token with its key, and files with what a change wants.
fn nest() -> Nest {
    let nest = Nest::with_key();
    nest.secret("new", &whole(NEW));
    nest.secret("so", &whole(SO));
    nest
}

/// With another PIN than the configuration's.
const BY_HAND: [&str; 7] =
    ["token", "change-pin", "soft", "--new-pin-file", "secrets/new", "--pin-file", "secrets/wrong"];

#[test]
fn a_change_shows_neither_the_old_pin_nor_the_new_one() {
    let nest = nest();
    assert_eq!(nest.run(&CHANGE), Some(0));
    assert_eq!(fs::read_to_string(nest.site.path("pin")).unwrap().trim_end(), whole(NEW));
    nest.secret("new", &whole(USER));
    assert_eq!(nest.run(&UNLOCK), Some(0));
    assert_eq!(fs::read_to_string(nest.site.path("pin")).unwrap().trim_end(), whole(USER));
    assert_eq!(nest.run(&["token", "info", "soft"]), Some(0));
    // One that nobody knows before: whatever is printed, the file's content is not.
    let output = nest.command(&["token", "change-pin", "soft", "--generate-pin"]).output().unwrap();
    let made = fs::read_to_string(nest.site.path("pin")).unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success());
    assert_eq!(memchr::memmem::find(&said, made.trim_end().as_bytes()), None);
    nest.leaves_nothing();
}

#[test]
fn a_change_shows_no_pin_that_is_wrong_or_in_a_file_that_is() {
    let nest = nest();
    let pin = whole(NEW).into_bytes();
    for (content, mode) in
        [(&pin[..], 0o644), (b"", 0o600), (&pin.repeat(20), 0o600), (&[&pin[..], b"\xff"].concat(), 0o600)]
    {
        for (file, args) in [("new", &CHANGE[..]), ("new", &UNLOCK), ("so", &UNLOCK), ("wrong", &BY_HAND)] {
            let path = format!("secrets/{file}");
            let good = fs::read(nest.site.path(&path)).unwrap_or_default();
            nest.write(&path, content);
            fs::set_permissions(nest.site.path(&path), Permissions::from_mode(mode)).unwrap();
            nest.fails(args, "");
            nest.write(&path, &good);
        }
    }
    for number in 1..4 {
        nest.secret("wrong", &wrong(number));
        nest.fails(&BY_HAND, "CKR_PIN_INCORRECT");
    }
    nest.secret("so", &wrong(4));
    nest.fails(&UNLOCK, "refused the SO PIN");
    nest.secret("so", &whole(SO));
    // What the daemon would try is noted, and tried no more.
    nest.write("pin", wrong(5).as_bytes());
    nest.fails(&CHANGE, "CKR_PIN_INCORRECT");
    nest.fails(&CHANGE, "refused before");
    for args in LOGIN.into_iter().chain(BY_PROCESS) {
        nest.fails(args, "");
    }
    let tries = u32::try_from(nest.control.wrong_pins() + 1).ok();
    let last = Script { token: Token { pin_tries: tries, ..Token::default() }, ..Script::default() };
    nest.control.set(&last).unwrap();
    nest.write("pin", whole(USER).as_bytes());
    nest.fails(&CHANGE, "one try left");
    nest.control.clear().unwrap();
    nest.write("pin.new", &pin);
    for args in [&CHANGE[..], &UNLOCK] {
        nest.fails(args, "did not end");
    }
    fs::remove_file(nest.site.path("pin.new")).unwrap();
    assert_eq!(nest.run(&CHANGE), Some(0));
    nest.leaves_nothing();
}

#[test]
fn a_uri_with_a_pin_in_it_is_refused_and_not_repeated() {
    let nest = nest();
    let pin = whole(USER);
    for (uri, why) in [
        (format!("pkcs11:token=test?pin-value={pin}"), "would put the PIN"),
        (format!("pkcs11:token=test?pin-source=%7Cecho%20{pin}"), "no command is run"),
        (format!("pkcs11:token=test?pin-source={pin}"), ""),
    ] {
        for command in ["info", "change-pin", "unlock"] {
            nest.fails(&["token", command, &uri], why);
        }
    }
    nest.leaves_nothing();
}

#[test]
fn a_change_shows_no_pin_where_the_module_fails_crashes_or_hangs() {
    let nest = nest();
    process::try_to_leave_a_core(&nest.site);
    for (call, args) in [
        (Call::Login, &CHANGE[..]),
        (Call::SetPIN, &CHANGE),
        (Call::Login, &UNLOCK),
        (Call::InitPIN, &UNLOCK),
    ] {
        for code in [
            Code::CKR_PIN_INCORRECT,
            Code::CKR_PIN_INVALID,
            Code::CKR_PIN_LEN_RANGE,
            Code::CKR_PIN_LOCKED,
            Code::CKR_DEVICE_ERROR,
            Code::CKR_GENERAL_ERROR,
        ] {
            nest.control.set(&Script::on(On::call(call, Action::Fail(code)))).unwrap();
            nest.fails(args, "CKR_");
            start_again(&nest);
        }
        nest.control.set(&Script::on(On::call(call, Action::Crash))).unwrap();
        assert_eq!(nest.run(args), None, "it dies of a signal in {call:?}");
        nest.control.clear().unwrap();
        start_again(&nest);
        hangs(&nest, call, args);
        start_again(&nest);
    }
    nest.leaves_nothing();
}

/// Whatever the command before left: both PINs, and a note that one was refused.
fn start_again(nest: &Nest) {
    nest.leaves_nothing();
    let _ = fs::remove_file(nest.site.path("pin.new"));
    let _ = fs::remove_file(nest.site.path("soft.pin-refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_shown_no_more_than_a_file() {
    let nest = nest();
    let source = ["token", "set-pin-source", "soft"];
    let (file, credential) = (["--pin-file", "secrets/open"], ["--credential", "hsm-pin"]);
    nest.secret("open", &whole(NEW));
    fs::set_permissions(nest.site.path("secrets/open"), Permissions::from_mode(0o644)).unwrap();
    nest.fails(&[&source[..], &file].concat(), "has mode 0644");
    // Somebody takes a name for the thing.
    nest.fails(&[&source[..], &["--credential", &format!("../{}", whole(USER))]].concat(), "");
    assert_eq!(nest.run(&[&source[..], &credential].concat()), Some(0));
    fs::remove_file(nest.site.path("pin")).unwrap();

    let with = |args: &[&str]| {
        let mut command = nest.command(args);
        command.env("CREDENTIALS_DIRECTORY", nest.site.path("secrets"));
        command
    };
    let pin = whole(USER);
    for (content, mode) in [(&*pin, 0o646), ("", 0o400), (&pin.repeat(20), 0o400), (&*wrong(1), 0o400)] {
        nest.secret("hsm-pin", content);
        fs::set_permissions(nest.site.path("secrets/hsm-pin"), Permissions::from_mode(mode)).unwrap();
        for args in LOGIN.into_iter().chain(BY_PROCESS).chain([&CHANGE[..]]) {
            nest.fails(args, "");
            nest.fails_as(&mut with(args), "");
        }
    }
    nest.secret("hsm-pin", &pin);
    let daemon = Daemon::start(with(&["serve"]).stdout(Stdio::null()));
    let caller = Caller::new(&nest, &daemon).await;
    assert!(caller.signs().await);
    daemon_knows_nothing(&nest.hunt, &daemon);
    assert!(with(&CHANGE).output().unwrap().status.success());
    assert!(caller.signs().await);
    end(&nest, daemon);
}
