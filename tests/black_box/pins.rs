//! `countersign token change-pin` and `token unlock`: PINs from files, descriptors, and somebody at a terminal.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use countersign_faulty::{Action, Call, Code, On, Script, Token};

use crate::faulty::Broken;
use crate::site::{Site, USER_CA, text};
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
    terminal.answer("the PIN: ", &old);
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
fn without_a_terminal_and_a_file_it_says_what_to_do() {
    let site = Site::new(USER_CA);
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_countersign"), "token", "change-pin", "soft"]);
    command.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
    let said = text(&command.output().unwrap().stderr);
    assert!(said.contains("no terminal to type the new PIN at; name a file with --new-pin-file"), "{said}");
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
        said.contains("user PIN is locked; set it anew with the SO PIN: `countersign token unlock`"),
        "{said}"
    );

    write(&site.path("wrong"), "wrong-4711");
    let said = site.run_refused(&["token", "unlock", "soft", "--so-pin-file", "wrong"], 1);
    assert!(said.contains("refused the SO PIN (CKR_PIN_INCORRECT), and is not asked again"), "{said}");
    let so_pin = site.path("soft-so-pin");
    let so_pin = so_pin.to_str().unwrap();
    let said = site.run_ok(&["token", "unlock", "soft", "--so-pin-file", so_pin]);
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
