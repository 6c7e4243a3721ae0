//! Secrets that a person types, at a real terminal: what is typed is not shown, and the terminal is as before.

use serde_json::{Value, json};
use virtual_yubikey::Settings;

use crate::Place;
use crate::desk::{PIN, SERIAL};
use crate::site::text;

/// Runs a command at a terminal of its own, types an answer to each prompt, and tells what was on the screen, how the command
/// ended, and whether the terminal shows what is typed, as it did before.
const PERSON: &str = "
import json, os, pty, sys, termios
answers = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = lambda: termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
before, screen, read = shown(), b'', 0
def more():
    global screen
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        piece = b''
    screen += piece
    return piece
for prompt, answer in answers:
    while prompt.encode() + b': ' not in screen[read:] and more():
        pass
    read = len(screen)
    os.write(terminal, answer.encode())
    while not screen[read:].strip(b' ') and more():
        pass
while more():
    pass
after = shown()
_, status = os.waitpid(child, 0)
print(json.dumps({'screen': screen.decode(), 'status': os.waitstatus_to_exitcode(status), 'restored': before == after}))
";

struct Seen {
    screen: String,
    status: i64,
}

fn type_at(place: &Place, args: &[&str], answers: &[(&str, &str)]) -> Seen {
    let mut person = place.desk.client("python3");
    person.args(["-c", PERSON, &json!(answers).to_string(), env!("CARGO_BIN_EXE_countersign")]).args(args);
    person.current_dir(place.site.dir()).env("COUNTERSIGN_CONFIG", place.site.path("countersign.toml"));
    let output = person.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["restored"], true, "the terminal is as it was: {seen}");
    Seen { screen: seen["screen"].as_str().unwrap().to_owned(), status: seen["status"].as_i64().unwrap() }
}

const UNBLOCK: [&str; 3] = ["token", "unlock", "yubi"];

#[test]
fn what_is_typed_is_not_shown_and_is_taken() {
    let place = Place::with(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "");
    // A slip of the finger, taken back; and a line begun anew with ^U.
    let answers = [
        ("the PUK", "1234567x\x7f8\r"),
        ("the new PIN", "no\x15canary9\r"),
        ("the new PIN again", "canary9\r"),
    ];
    let seen = type_at(&place, &UNBLOCK, &answers);
    assert_eq!(seen.status, 0, "{}", seen.screen);
    for secret in ["7x", "canary"] {
        assert!(!seen.screen.contains(secret), "{}", seen.screen);
    }
    assert_eq!(std::fs::read_to_string(place.pin_file()).unwrap(), "canary9\n");
    assert!(place.site.run_ok(&["check"]).contains("no faults"));
    std::fs::remove_file(place.pin_file()).unwrap();
    let answers =
        [("the PIN of now", "canary9\r"), ("the new PIN", "123456\r"), ("the new PIN again", "123456\r")];
    assert_eq!(type_at(&place, &["token", "change-pin", "yubi"], &answers).status, 0);
    assert_eq!(
        std::fs::read_to_string(place.pin_file()).unwrap(),
        "123456\n",
        "there was none, and now there is"
    );
}

#[test]
fn whoever_mistypes_or_gives_up_changes_nothing() {
    let place = Place::with(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "");
    let puk = ("the PUK", "12345678\r");
    for (answers, why) in [
        (
            vec![puk, ("the new PIN", "canary1\r"), ("the new PIN again", "canary2\r")],
            "was not typed the same twice",
        ),
        (vec![puk, ("the new PIN", "canary1\x03")], "interrupted; nothing was changed"),
        (vec![("the PUK", "\x04")], "interrupted; nothing was changed"),
        (vec![("the PUK", "\r")], "the PUK is empty; nothing was changed"),
    ] {
        let seen = type_at(&place, &UNBLOCK, &answers);
        assert!(seen.status == 1 && seen.screen.contains(why), "{}: {}", seen.status, seen.screen);
        assert!(!seen.screen.contains("canary"), "{}", seen.screen);
    }
    assert_eq!(std::fs::read_to_string(place.pin_file()).unwrap(), PIN);
    assert_eq!(place.desk.card.tries_left(), (3, 3));
}

/// As in a script: nobody waits for ever.
#[test]
fn without_a_terminal_the_file_to_name_is_named() {
    let place = Place::with(Settings::of(SERIAL), ("9c", "ecdsa-p256-sha256", &[]), "");
    let mut alone = std::process::Command::new("setsid");
    alone.arg("--wait").arg(env!("CARGO_BIN_EXE_countersign")).args(UNBLOCK);
    alone.current_dir(place.site.dir()).env("COUNTERSIGN_CONFIG", place.site.path("countersign.toml"));
    let output = alone.output().unwrap();
    let message = text(&output.stderr);
    assert!(message.contains("there is no terminal to type the PUK at"), "{message}");
    assert!(message.contains("; name a file with --puk-file"), "{message}");
    assert_eq!(output.status.code(), Some(1));
}
