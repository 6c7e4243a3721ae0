#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The serial number of the token.
const SERIAL: &str = "1f2e";

fn pin(text: &str) -> Pin {
    Pin::hold(zeroize::Zeroizing::new(text.as_bytes().to_vec()))
}

fn marked(text: &str) -> PinMark {
    pin(text).mark(SERIAL).unwrap()
}

fn refusal(text: &str) -> PinRefusal {
    PinRefusal { message: "no".to_owned(), mark: Some(marked(text)) }
}

fn judged(latch: &Latch, text: &str) -> Verdict {
    latch.past().unwrap().judge(&pin(text), SERIAL)
}

#[test]
fn a_later_daemon_knows_the_pin_that_was_refused_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let name = TokenName::new("t").unwrap();
    Latch::new(dir.path(), &name).set(&refusal("0000"));
    let later = Latch::new(dir.path(), &name);
    assert!(matches!(judged(&later, "0000"), Verdict::Barred(_)));
    assert_eq!(judged(&later, "1111"), Verdict::Untried);
    assert!(later.clear().unwrap());
    assert!(!later.is_set());
    assert_eq!(later.past().unwrap(), Past::default());
    assert!(!later.clear().unwrap(), "there was none");
}

#[test]
fn the_file_shows_no_pin_and_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    latch.set(&refusal("canary-pin"));
    assert!(!fs::read_to_string(latch.path()).unwrap().contains("canary"));
    assert_eq!(latch.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(PinMark::of(b"0000"), PinMark::of(b"0000"), "the salt differs");
}

#[test]
fn a_link_in_its_way_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("t.pin-refused.new")).unwrap();
    latch.set(&refusal("0000"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(latch.path()).unwrap().is_file());
    assert!(matches!(judged(&latch, "0000"), Verdict::Barred(_)));
}

#[test]
fn without_a_place_to_note_it_the_daemon_remembers() {
    let latch = Latch::new(Path::new("/nonexistent"), &TokenName::new("t").unwrap());
    latch.set(&refusal("0000"));
    assert!(latch.is_set());
    assert!(matches!(judged(&latch, "0000"), Verdict::Barred(_)));
}

#[test]
fn a_file_that_cannot_be_read_lets_no_pin_be_tried() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    fs::write(latch.path(), "{").unwrap();
    assert!(latch.past().is_err() && latch.is_set());
}

#[test]
fn a_login_that_nobody_told_the_end_of_was_tried_once_and_then_twice() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    latch.begin(&marked("0000")).unwrap();
    assert!(!latch.is_set(), "nobody has refused anything");
    let later = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    let Verdict::Doubtful(mark) = judged(&later, "0000") else { panic!("it was tried") };
    later.begin(&mark).unwrap();
    assert!(matches!(judged(&later, "0000"), Verdict::Barred(why) if why.contains("never came back")));
    assert_eq!(judged(&later, "1111"), Verdict::Untried);
    later.undo(&mark);
    assert!(matches!(judged(&later, "0000"), Verdict::Doubtful(_)));
    later.undo(&mark);
    assert!(!later.path().exists(), "nothing is known");
}

#[test]
fn every_pin_that_was_refused_is_remembered_and_when_there_are_eight_none_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    for number in 0..MOST {
        assert_eq!(judged(&latch, "right"), Verdict::Untried, "after {number}");
        latch.set(&refusal(&number.to_string()));
    }
    for number in 0..MOST {
        assert_eq!(judged(&latch, &number.to_string()), Verdict::Barred(REFUSED));
    }
    assert_eq!(judged(&latch, "right"), Verdict::Barred(TOO_MANY));
}

#[test]
fn the_file_of_a_daemon_that_remembered_one_pin_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    let note = serde_json::json!({ "message": "no", "mark": marked("0000") });
    fs::write(latch.path(), note.to_string()).unwrap();
    assert!(matches!(judged(&latch, "0000"), Verdict::Barred(_)) && latch.is_set());
    fs::write(latch.path(), r#"{"message":"locked","mark":null}"#).unwrap();
    assert!(judged(&latch, "0000") == Verdict::Untried && latch.is_set());
}

#[test]
fn two_who_note_at_once_lose_none_of_it() {
    const EACH: u8 = 50;
    let dir = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(2);
    let note = |from: u8| {
        let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
        start.wait();
        for number in from..from + EACH {
            latch.begin(&PinMark { salt: [number; 16], hash: [number; 32] }).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for from in [0, EACH] {
            let note = &note;
            scope.spawn(move || note(from));
        }
    });
    let noted = Latch::new(dir.path(), &TokenName::new("t").unwrap()).past().unwrap();
    assert_eq!(noted.tried().len(), usize::from(2 * EACH));
}

#[test]
fn without_its_lock_no_pin_is_tried_and_nothing_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    fs::create_dir(dir.path().join("t.pin-refused.lock")).unwrap();
    assert!(latch.begin(&marked("0000")).is_err());
    latch.set(&refusal("0000"));
    assert!(!latch.path().exists(), "another process may be at it");
    assert!(matches!(judged(&latch, "0000"), Verdict::Barred(_)), "the daemon knows");
    assert!(latch.clear().unwrap() && judged(&latch, "0000") == Verdict::Untried);
}

#[test]
fn what_could_not_be_noted_goes_with_the_note_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let latch = Latch::new(dir.path(), &TokenName::new("t").unwrap());
    latch.begin(&marked("0000")).unwrap();
    // In the way of every new note.
    fs::create_dir(dir.path().join("t.pin-refused.new")).unwrap();
    assert!(latch.begin(&marked("1111")).is_err());
    latch.set(&refusal("0000"));
    assert!(latch.is_set());
    Latch::new(dir.path(), &TokenName::new("t").unwrap()).clear().unwrap();
    assert!(!latch.is_set(), "an operator has removed it");
}
