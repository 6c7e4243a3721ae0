//! `countersign token change-pin` and `token unlock`: PINs from files, descriptors, and somebody at a terminal.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use countersign_faulty::{Action, Call, Code, On, Script, Token};
use rustix::process::Signal;

use crate::faulty::Broken;
use crate::site::{Daemon, Site, USER_CA, text};
use crate::terminal::Terminal;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn write(path: &Path, pin: &str) {
    std::fs::write(path, pin).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn pin(site: &Site) -> String {
    std::fs::read_to_string(site.path("pin")).unwrap().trim_end().to_owned()
}

/// What OpenSC's client says of a PIN of the site's token.
fn opens(site: &Site, pin: &str) -> bool {
    let mut command = Command::new("pkcs11-tool");
    command.args(["--module", MODULE, "--token-label", "test", "--login", "--list-objects", "--pin", pin]);
    command.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap().status.success()
}

/// A private directory as systemd makes it for a service, with the token's PIN as `hsm-pin`.
fn credentials(site: &Site) -> std::path::PathBuf {
    let dir = site.path("credentials");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(site.path("pin"), dir.join("hsm-pin")).unwrap();
    std::fs::set_permissions(dir.join("hsm-pin"), std::fs::Permissions::from_mode(0o440)).unwrap();
    dir
}

/// Nothing that a command was not told to leave.
fn leaves_nothing(site: &Site) {
    assert!(!site.path("pin.new").exists());
}

#[test]
fn a_pin_is_changed_on_the_token_and_in_its_file() {
    let site = Site::new(USER_CA);
    let old = pin(&site);
    std::fs::set_permissions(site.path("pin"), std::fs::Permissions::from_mode(0o400)).unwrap();
    let said = site.run_ok(&["token", "change-pin", "soft", "--generate-pin"]);
    let new = pin(&site);
    assert_ne!(old, new);
    assert!(opens(&site, &new) && !opens(&site, &old));
    assert!(!said.contains(&new) && !said.contains(&old), "{said}");
    assert_eq!(std::fs::metadata(site.path("pin")).unwrap().mode() & 0o7777, 0o400);
    leaves_nothing(&site);
    site.run_ok(&["check"]);

    write(&site.path("chosen"), "chosen-4711\n");
    site.run_ok(&["token", "change-pin", "pkcs11:token=test", "--new-pin-file", "chosen"]);
    assert_eq!(pin(&site), "chosen-4711");
    assert!(opens(&site, "chosen-4711"));
}

#[test]
fn a_running_daemon_takes_the_new_pin_when_it_logs_in_again() {
    let site = Site::new(USER_CA);
    let mut daemon = site.serve();
    site.run_ok(&["token", "change-pin", "soft", "--generate-pin"]);
    rustix::process::kill_process(daemon.token_processes()[0], rustix::process::Signal::KILL).unwrap();
    daemon.wait_for("the token process is replaced");
    daemon.stop();
}

#[test]
fn somebody_types_the_pins_and_nobody_sees_them() {
    let site = Site::new(USER_CA);
    let old = pin(&site);
    std::fs::rename(site.path("pin"), site.path("moved")).unwrap();
    let mut terminal = Terminal::start(&site, &["token", "change-pin", "soft"]);
    terminal.answer("the PIN of now: ", &old);
    terminal.answer("the new PIN: ", "typed-4711");
    terminal.answer("the new PIN again: ", "typed-4711");
    let (ok, screen) = terminal.end();
    assert!(ok && screen.contains("the token has its new user PIN"), "{screen}");
    assert!(!screen.contains("4711") && !screen.contains(&old), "{screen}");
    assert!(opens(&site, "typed-4711"));
    assert_eq!(pin(&site), "typed-4711");

    let mut terminal = Terminal::start(&site, &["token", "change-pin", "soft"]);
    terminal.answer("the new PIN: ", "typed-4712");
    terminal.answer("the new PIN again: ", "typed-4713");
    let (ok, screen) = terminal.end();
    assert!(!ok && screen.contains("not typed the same twice; nothing was changed"), "{screen}");
    let mut terminal = Terminal::start(&site, &["token", "change-pin", "soft"]);
    terminal.interrupt("the new PIN: ");
    let (ok, screen) = terminal.end();
    assert!(!ok && screen.contains("interrupted; nothing was changed"), "{screen}");
    assert!(opens(&site, "typed-4711"));
    leaves_nothing(&site);
}

#[test]
fn a_signal_while_a_pin_is_typed_leaves_the_terminal_as_it_was() {
    let site = Site::new(USER_CA);
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::start(&site, &["token", "change-pin", "soft", ";", "stty", "-a"]);
        terminal.wait_for("the new PIN: ");
        terminal.signal(signal);
        let (_, screen) = terminal.end();
        let settings: Vec<_> = screen.split_whitespace().collect();
        assert!(["echo", "icanon", "isig"].iter().all(|on| settings.contains(on)), "{signal:?}: {screen}");
    }
}

#[test]
fn without_a_terminal_and_a_file_it_says_what_to_do() {
    let site = Site::new(USER_CA);
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_countersign"), "token", "change-pin", "soft"]);
    command.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let said = text(&command.output().unwrap().stderr);
    assert!(
        said.contains("no terminal to type the new PIN at: ")
            && said.contains("; name a file with --new-pin-file"),
        "{said}"
    );
}

#[test]
fn a_pin_comes_through_a_descriptor_and_never_in_the_arguments() {
    let site = Site::new(USER_CA);
    let line = "printf 'piped-4711\\n' | \"$0\" token change-pin soft --new-pin-file /dev/stdin";
    let mut command = Command::new("bash");
    command.args(["-c", line, env!("CARGO_BIN_EXE_countersign")]).current_dir(site.dir());
    let output = command.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(opens(&site, "piped-4711"));
    for option in ["--pin=1234", "--new-pin=1234", "--so-pin=1234"] {
        let said = site.run_refused(&["token", "change-pin", "soft", option], 2);
        assert!(said.contains("unexpected argument"), "{said}");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_and_so_is_one_that_an_interrupted_command_left() {
    let site = Site::new(USER_CA);
    let old = pin(&site);
    write(&site.path("chosen"), "chosen-4711");
    std::fs::set_permissions(site.path("chosen"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let change = ["token", "change-pin", "soft", "--new-pin-file", "chosen"];
    assert!(site.run_refused(&change, 1).contains("run `chmod 0600 "));
    write(&site.path("chosen"), "chosen-4711");
    write(&site.path("pin.new"), "from before");
    let said = site.run_refused(&change, 1);
    assert!(said.contains("a command that changed the PIN did not end"), "{said}");
    assert_eq!(std::fs::read_to_string(site.path("pin.new")).unwrap(), "from before");
    assert!(opens(&site, &old));
}

#[test]
fn the_tokens_of_a_module_alone_have_their_pins_changed_too() {
    let site = Site::new(USER_CA);
    write(&site.path("chosen"), "chosen-4711");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["token", "change-pin"]).args(args).args(["--module", MODULE]).current_dir(site.dir());
        command.env("SOFTHSM2_CONF", site.path("softhsm2.conf")).output().unwrap()
    };
    let output = run(&["test", "--pin-file", "pin", "--new-pin-file", "chosen"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("no file was written"), "{said}");
    assert!(opens(&site, "chosen-4711") && pin(&site) != "chosen-4711");
    let uri = format!("pkcs11:token=test?pin-source=file:{}", site.path("chosen").display());
    let output = run(&[&uri, "--generate-pin"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(opens(&site, std::fs::read_to_string(site.path("chosen")).unwrap().trim_end()));
    let output = run(&["test", "--pin-file", "chosen", "--generate-pin"]);
    assert!(text(&output.stderr).contains("--generate-pin needs a file"), "{}", text(&output.stderr));
}

#[test]
fn a_wrong_pin_is_tried_once_and_the_final_try_is_never_spent() {
    let broken = Broken::new();
    let site = &broken.site;
    let locks = Script { token: Token { pin_tries: Some(2), ..Token::default() }, ..Script::default() };
    broken.control.set(&locks).unwrap();
    let right = pin(site);
    write(&site.path("wrong"), "wrong-4711");
    write(&site.path("chosen"), "chosen-4711");
    let change = |old| ["token", "change-pin", "soft", "--pin-file", old, "--new-pin-file", "chosen"];
    let said = site.run_refused(&change("wrong"), 1);
    assert!(said.contains("CKR_PIN_INCORRECT") && said.contains("the PIN is as it was"), "{said}");
    assert!(site.run_ok(&["token", "list"]).contains("user PIN: final try"));
    for old in ["wrong", "pin"] {
        let said = site.run_refused(&change(old), 1);
        assert!(said.contains("one try left for the user PIN, which is not spent here"), "{said}");
    }
    assert_eq!((broken.control.wrong_pins(), pin(site)), (1, right));
    leaves_nothing(site);
}

#[test]
fn a_pin_that_was_refused_to_a_command_is_tried_by_nobody_again() {
    let broken = Broken::new();
    let site = &broken.site;
    let right = pin(site);
    let list = ["key", "list", "--token", "soft"];
    let untried = |args: &[&str], status| {
        let said = site.run_refused(args, status);
        assert!(said.contains("refused before, and is not tried again"), "{args:?}: {said}");
    };
    write(&site.path("pin"), "wrong-4711");
    assert!(site.run_refused(&list, 1).contains("CKR_PIN_INCORRECT"));
    untried(&list, 1);
    untried(&["check"], 2);
    write(&site.path("chosen"), "chosen-4711");
    let change = ["token", "change-pin", "soft", "--new-pin-file", "chosen"];
    untried(&change, 1);
    assert_eq!(broken.control.wrong_pins(), 1);

    write(&site.path("pin"), "wrong-4712");
    assert!(site.run_refused(&change, 1).contains("CKR_PIN_INCORRECT"));
    untried(&list, 1);
    assert_eq!(broken.control.wrong_pins(), 2);
    // One that the daemon would not try is none of its business.
    write(&site.path("pin"), &right);
    write(&site.path("wrong"), "wrong-4713");
    let by_hand = ["token", "change-pin", "soft", "--pin-file", "wrong", "--new-pin-file", "chosen"];
    let said = site.run_refused(&by_hand, 1);
    assert!(said.contains("CKR_PIN_INCORRECT") && said.contains("put the right PIN into wrong;"), "{said}");
    write(&site.path("pin"), "wrong-4712");
    untried(&list, 1);
    write(&site.path("pin"), &right);
    site.run_ok(&list);
    leaves_nothing(site);
}

#[test]
fn a_locked_token_is_unlocked_with_the_so_pin_and_keeps_its_keys() {
    let broken = Broken::new();
    let site = &broken.site;
    let locks = Script { token: Token { pin_tries: Some(2), ..Token::default() }, ..Script::default() };
    broken.control.set(&locks).unwrap();
    let right = pin(site);
    // By hand, for nothing of ours would spend the last try.
    let environment = broken.control.environment(MODULE);
    let mut by_hand = Command::new("pkcs11-tool");
    by_hand.arg("--module").arg(countersign_faulty::module().unwrap()).envs(environment);
    by_hand.args(["--token-label", "test", "--login", "--list-objects", "--pin", "wrong-4711"]);
    by_hand.env("SOFTHSM2_CONF", site.path("softhsm2.conf"));
    for _ in 0..2 {
        by_hand.output().unwrap();
    }
    assert!(site.run_ok(&["token", "list"]).contains("user PIN locked"));
    let said = site.run_refused(&["check"], 2);
    assert!(
        said.contains("user PIN is locked; set it anew with the SO PIN: `countersign token unlock NAME`"),
        "{said}"
    );

    write(&site.path("wrong"), "wrong-4711");
    let said = site.run_refused(&["token", "unlock", "soft", "--so-pin-file", "wrong", "--generate-pin"], 1);
    assert!(said.contains("refused the SO PIN (CKR_PIN_INCORRECT), and is not asked again"), "{said}");
    let so_pin = site.path("soft-so-pin");
    let so_pin = so_pin.to_str().unwrap();
    let said = site.run_ok(&["token", "unlock", "soft", "--so-pin-file", so_pin, "--new-pin-file", "pin"]);
    assert!(said.contains("a daemon that held back tries it again"), "{said}");
    assert_eq!(pin(site), right, "the PIN that the file holds");
    site.run_ok(&["check"]);
    site.run_ok(&["token", "unlock", "soft", "--so-pin-file", so_pin, "--generate-pin"]);
    assert_ne!(pin(site), right);
    site.run_ok(&["check"]);
    leaves_nothing(site);
}

#[test]
fn a_pin_that_the_token_does_not_take_changes_nothing() {
    let site = Site::new(USER_CA);
    let old = pin(&site);
    write(&site.path("chosen"), "123");
    let said = site.run_refused(&["token", "change-pin", "soft", "--new-pin-file", "chosen"], 1);
    assert!(
        said.contains("does not take the new PIN (CKR_PIN_LEN_RANGE); it wants 4 to 255 bytes"),
        "{said}"
    );
    assert_eq!(pin(&site), old);
    leaves_nothing(&site);
    assert!(opens(&site, &old));
}

#[test]
fn a_call_that_fails_half_way_leaves_both_pins() {
    let broken = Broken::new();
    let site = &broken.site;
    let old = pin(site);
    let fails = On::call(Call::SetPIN, Action::Fail(Code::CKR_DEVICE_ERROR));
    broken.control.set(&Script::on(fails)).unwrap();
    write(&site.path("chosen"), "chosen-4711");
    let said = site.run_refused(&["token", "change-pin", "soft", "--new-pin-file", "chosen"], 1);
    assert!(said.contains("C_SetPIN failed: CKR_DEVICE_ERROR; whether the token has the old PIN"), "{said}");
    assert!(said.contains("pin.new, and the PIN file has the old one"), "{said}");
    assert_eq!(std::fs::read_to_string(site.path("pin.new")).unwrap(), "chosen-4711\n");
    assert_eq!(pin(site), old);
}

#[test]
fn a_daemon_takes_its_pin_from_a_credential() {
    let site = Site::new(USER_CA);
    let dir = credentials(&site);
    std::fs::remove_file(site.path("pin")).unwrap();
    site.run_ok(&["token", "set-pin-source", "soft", "--credential", "hsm-pin"]);
    let said = site.run_refused(&["check"], 2);
    assert!(said.contains("in the systemd credential hsm-pin, and systemd has handed none"), "{said}");
    assert!(said.contains("LoadCredentialEncrypted=hsm-pin:"), "{said}");
    let with = |args: &[&str]| {
        let output = site.command(args).env("CREDENTIALS_DIRECTORY", &dir).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    with(&["check"]);
    with(&["key", "show", "user-ca"]);
    let daemon = Daemon::start(site.command(&["serve"]).env("CREDENTIALS_DIRECTORY", &dir));
    daemon.stop();

    write(&site.path("chosen"), "chosen-4711");
    let said = with(&["token", "change-pin", "soft", "--new-pin-file", "chosen"]);
    assert!(said.contains("put it into credential hsm-pin before the daemon logs in again"), "{said}");
    assert!(opens(&site, "chosen-4711"));
    let mut refused = site.command(&["check"]);
    let refused = text(&refused.env("CREDENTIALS_DIRECTORY", &dir).output().unwrap().stderr);
    assert!(refused.contains("token.soft.pin_credential: the token refused the PIN"), "{refused}");
}

#[test]
fn the_source_of_a_pin_is_changed_and_nothing_else_of_the_configuration() {
    let site = Site::new(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let text = |source: &str| {
        let commented = format!("# the PIN\n  {source}   # kept, not moved\n# after it");
        config.replace("pin_file = \"pin\"", &commented)
    };
    site.configure(&text("pin_file =  'pin'"));
    std::fs::set_permissions(site.path("countersign.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::copy(site.path("pin"), site.path("pin \"2\"")).unwrap();
    let now = || std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    let set = |source: [&str; 2]| site.run(&["token", "set-pin-source", "soft", source[0], source[1]]);
    assert!(set(["--pin-file", "pin \"2\""]).status.success());
    assert_eq!(now(), text(r#"pin_file = "pin \"2\"""#));
    site.run_ok(&["check"]);
    assert!(set(["--credential", "hsm-pin"]).status.success());
    assert_eq!(now(), text(r#"pin_credential = "hsm-pin""#));
    for (option, source) in [("--none", "pin_none = true"), ("--pad", "pin_pad = true")] {
        site.run_ok(&["token", "set-pin-source", "soft", option]);
        assert_eq!(now(), text(source));
    }
    assert!(set(["--pin-file", "pin"]).status.success());
    assert_eq!(now(), text(r#"pin_file = "pin""#));
    assert_eq!(std::fs::metadata(site.path("countersign.toml")).unwrap().mode() & 0o7777, 0o640);

    write(&site.path("open"), "1234");
    std::fs::set_permissions(site.path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for (source, status, problem) in [
        (["--pin-file", "open"], 1, "has mode 0644"),
        (["--pin-file", "no-such-file"], 1, "cannot open the PIN file"),
        (["--credential", "../pin"], 2, "should be the name of a systemd credential"),
    ] {
        let output = set(source);
        let said = crate::site::text(&output.stderr);
        assert_eq!((output.status.code(), now()), (Some(status), text(r#"pin_file = "pin""#)), "{said}");
        assert!(said.contains(problem), "{said}");
    }
    site.run_refused(&["token", "set-pin-source", "none", "--pin-file", "pin"], 2);
    site.run_refused(&["token", "set-pin-source", "soft"], 2);
    assert!(!site.path("countersign.toml.new").exists());
}
