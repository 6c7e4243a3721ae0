//! What goes wrong in the middle of a ceremony, and can be mended there.

use std::fs;

use countersign_faulty::{Action, Call, Code, Control, On, Script};
use rustix::process::Signal;

use super::refusals::{BY_HAND, served_site};
use super::{DIRECTORY, alice_and_bob, confirm, hold, short, site, transcript};
use crate::faulty::faulty;
use crate::site::{PATIENCE, Site, USER_CA};
use crate::terminal::Terminal;

const AGAIN: &str = "type `again` to have it done again, or `stop`: ";

/// A site whose token is behind the faulty module, without keys.
fn broken_site() -> (Site, Control) {
    let site = site();
    fs::create_dir(site.path("script")).unwrap();
    let control = Control::new(&site.path("script/script.toml")).unwrap();
    let other = USER_CA.replace("key.user-ca", "key.other-ca");
    site.configure(&format!("{}{USER_CA}{other}", faulty(&site.base_config(), &control)));
    let so_pin = site.path("so-pin");
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    (site, control)
}

#[test]
fn a_key_that_is_made_is_not_made_again_because_it_could_not_be_read_back() {
    let (site, control) = broken_site();
    let before = control.calls(Call::Initialize);
    site.run_ok(&["key", "generate", "other-ca"]);
    let of_generate = u32::try_from(control.calls(Call::Initialize) - before).unwrap();
    short(&site, "[[step]]\ntext = \"Make it.\"\ndo.key-generate.key = \"user-ca\"\n");
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    // The first call of what reads the key back.
    let fails = On::call(Call::Initialize, Action::Fail(Code::CKR_GENERAL_ERROR));
    control.set(&Script::on(fails.after(of_generate).times(1))).unwrap();
    confirm(&mut terminal, 1..=1);
    terminal.wait_for("step 1 failed: key user-ca is made, but could not be read back");
    terminal.answer(AGAIN, "again");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    let said = transcript(&site);
    let runs = said["steps"][0]["runs"].as_array().unwrap();
    let statuses: Vec<_> = runs.iter().map(|run| run["status"].as_str()).collect();
    assert_eq!(statuses, [Some("exit status: 0"), None]);
    assert!(runs[1]["problem"].is_null() && said["keys"][0]["name"] == "user-ca", "{said}");
    let markdown = fs::read_to_string(site.path(DIRECTORY).join("transcript.md")).unwrap();
    assert!(markdown.contains("not run again, for it had succeeded before"), "{markdown}");
    site.run_ok(&["ceremony", "verify", DIRECTORY]);
}

#[test]
fn a_file_that_cannot_be_written_is_written_once_it_can() {
    let site = served_site();
    let export = "do.key-export-public = { key = \"user-ca\", out = \"to/ca.pub\" }";
    short(&site, &format!("[[step]]\ntext = \"Export it.\"\n{export}\n"));
    let mut terminal = hold(&site, "script.toml");
    terminal.wait_for("countersign key export-public user-ca --config=countersign.toml > to/ca.pub");
    alice_and_bob(&mut terminal);
    confirm(&mut terminal, 1..=1);
    terminal.wait_for("step 1 failed: cannot make to/ca.pub");
    fs::create_dir(site.path("to")).unwrap();
    terminal.answer(AGAIN, "again");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    let public = fs::read_to_string(site.path("to/ca.pub")).unwrap();
    assert_eq!(public, site.run_ok(&["key", "export-public", "user-ca"]));
    site.run_ok(&["ceremony", "verify", DIRECTORY, "--files", "."]);
}

#[test]
fn a_note_is_shown_before_it_is_taken_and_typed_anew_if_it_is_wrong() {
    let site = site();
    short(&site, "[[step]]\ntext = \"Seal it.\"\nwrite_down = \"the number on the bag\"\n");
    let right = "type 1 if it is done, and that is right, or `again` to type it anew, or `stop`: ";
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("the number on the bag: ", "B-1740");
    terminal.wait_for("to be written down: B-1740");
    for no in ["", "B-1704"] {
        terminal.answer(right, no);
    }
    terminal.answer(right, "again");
    terminal.answer("the number on the bag: ", "B-1704");
    terminal.wait_for("to be written down: B-1704");
    terminal.answer(right, "1");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    assert_eq!(transcript(&site)["steps"][0]["written"], "B-1704");
    let json = fs::read_to_string(site.path(DIRECTORY).join("transcript.json")).unwrap();
    assert!(!json.contains("B-1740"), "{json}");
}

#[test]
fn an_interrupt_ends_a_signer_whose_module_hangs_and_not_the_ceremony() {
    let (site, control) = broken_site();
    site.run_ok(&["key", "generate", "user-ca"]);
    let csr = "do.key-csr = { key = \"user-ca\", subject = [\"CN=A\"], out = \"csr\" }";
    short(&site, &format!("[[step]]\ntext = \"Ask.\"\n{csr}\n"));
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    control.set(&Script::on(On::call(Call::Initialize, Action::Hang))).unwrap();
    confirm(&mut terminal, 1..=1);
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Initialize) == 1));
    terminal.interrupt("");
    terminal.wait_for("step 1 failed: the signer did not start");
    terminal.answer(AGAIN, "stop");
    let (ok, _) = terminal.end();
    assert!(!ok);
}

#[test]
fn a_signal_at_a_question_leaves_the_terminal_as_it_was() {
    let site = site();
    short(&site, BY_HAND);
    let mut terminal = Terminal::start(
        &site,
        &["ceremony", "run", "script.toml", "--directory", DIRECTORY, ";", "stty", "-a"],
    );
    terminal.wait_for("signature 1 of at least 2, or `stop`: ");
    terminal.signal(Signal::TERM);
    let (_, screen) = terminal.end();
    let settings: Vec<_> = screen.split_whitespace().collect();
    assert!(settings.contains(&"isig") && screen.contains("eol = <undef>"), "{screen}");
}
