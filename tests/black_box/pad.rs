//! A token whose PIN is typed at its own pad: it is asked for while somebody stands there, and at no other time.

use countersign_faulty::{Action, Call, Code, Heals, On, Script, Token};
use countersign_proto::client::Health;
use rustix::process::{Signal, kill_process};

use crate::faulty::{Broken, Caller};
use crate::site::{FRONT_END, Site, USER_CA, text};

const LIST: [&str; 4] = ["key", "list", "--token", "soft"];

/// Token `soft` behind the faulty module, with a pad, and its key.
struct Pad {
    broken: Broken,
    right: String,
    /// How many wrong PINs lock it.
    tries: u32,
}

impl Pad {
    fn new() -> Self {
        let broken = Broken::new();
        let right = std::fs::read_to_string(broken.site.path("pin")).unwrap().trim_end().to_owned();
        broken.site.run_ok(&["token", "set-pin-source", "soft", "--pad"]);
        std::fs::remove_file(broken.site.path("pin")).unwrap();
        let config = std::fs::read_to_string(broken.site.path("countersign.toml")).unwrap();
        assert!(config.contains("label = \"test\"\npin_pad = true\n"), "{config}");
        let pad = Self { broken, right, tries: 9 };
        pad.types(&pad.right);
        pad
    }

    /// Has a hand at the pad, which types this; or none there.
    fn types(&self, pin: &str) {
        self.script(pin, None);
    }

    fn script(&self, pin: &str, on: Option<On>) {
        let token = Token { pad: Some(pin.to_owned()), pin_tries: Some(self.tries), ..Token::default() };
        self.broken.control.set(&Script { token, on: on.into_iter().collect() }).unwrap();
    }

    fn site(&self) -> &Site {
        &self.broken.site
    }

    /// How often anybody was asked.
    fn logins(&self) -> u64 {
        self.broken.control.calls(Call::Login)
    }

    fn unlatch(&self) {
        let said = self.site().run_ok(&["token", "unlatch", "soft"]);
        assert!(said.contains("at its own pad, once: stand there"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_types_the_pin_once_and_the_signer_serves() {
    let pad = Pad::new();
    let before = pad.logins();
    let output = pad.site().run(&LIST);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("type the PIN of token soft at its own pad now"), "{output:?}");
    assert_eq!(pad.logins(), before + 1);
    let daemon = pad.site().serve();
    assert_eq!(pad.logins(), before + 2, "once for all sessions");
    Caller::new(pad.site(), &daemon).await.sign("user-ca").await.unwrap();
    let (status, log) = daemon.stop();
    assert!(status.success() && log.contains("TYPE THE PIN at the token's own pad now"), "{log}");
    assert!(!pad.site().path("soft.pin-refused").exists(), "whoever starts it again stands there");
    assert!(pad.site().run_ok(&["token", "list"]).contains("PIN pad"));
    let all = pad.site().run(&["key", "list"]);
    let said = text(&all.stdout);
    assert!(
        said.contains("other-ca: ") && said.contains("`countersign key list --token soft` asks"),
        "{said}"
    );
    assert_eq!(pad.logins(), before + 2, "several tokens are asked without anybody at a pad");
}

/// A restart, and a login that is lost: both want a login, and nobody stands at the pad.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_nobody_is_asked_before_an_operator_says_so() {
    let pad = Pad::new();
    let mut daemon = pad.site().serve();
    let caller = Caller::new(pad.site(), &daemon).await;
    let client = pad.site().client(&daemon, FRONT_END).await;
    let logged_out = Action::Die { heals: Heals::Login, code: Code::CKR_USER_NOT_LOGGED_IN };
    for lost in [None, Some(On::call(Call::Sign, logged_out).times(1))] {
        caller.sign("user-ca").await.unwrap();
        let before = pad.logins();
        if let Some(on) = lost {
            pad.script(&pad.right, Some(on));
            assert!(caller.sign("user-ca").await.is_err());
        } else {
            let soft = daemon.token_processes().into_iter().find(|pid| is_of(*pid, "libcountersign_faulty"));
            kill_process(soft.unwrap(), Signal::KILL).unwrap();
        }
        daemon.wait_for("SOMEBODY HAS TO TYPE THE PIN");
        assert!(caller.sign("user-ca").await.is_err());
        daemon.wait_for("nobody may be there: stand at it and run `countersign token unlatch`");
        assert!(caller.sign("user-ca").await.is_err());
        assert_eq!(client.health(Some("user-ca")).await.unwrap(), Health::NotServing);
        assert_eq!(client.health(Some("other-ca")).await.unwrap(), Health::Serving);
        assert_eq!(pad.logins(), before, "nobody was asked");
        let shown = text(&pad.site().run(&["doctor", "--no-login"]).stdout);
        assert!(shown.contains("stand at it, and run `countersign token unlatch soft`"), "{shown}");
        pad.unlatch();
        daemon.wait_for("TYPE THE PIN at the token's own pad now");
        daemon.wait_for("the token process is replaced");
        caller.sign_at_last("user-ca").await;
        assert_eq!(pad.logins(), before + 1);
    }
    assert!(daemon.stop().0.success());
}

/// Whether a process has a library of this name in its memory.
fn is_of(pid: rustix::process::Pid, library: &str) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero()));
    maps.is_ok_and(|maps| maps.contains(library))
}

#[test]
fn a_wrong_pin_and_an_empty_room_are_asked_once_and_not_again() {
    let pad = Pad::new();
    for (typed, code) in [("wrong-4711", "CKR_PIN_INCORRECT"), ("", "CKR_FUNCTION_CANCELED")] {
        pad.types(typed);
        let before = pad.logins();
        let said = pad.site().run_refused(&["serve"], 2);
        assert!(
            said.contains(&format!("token.soft.pin_pad: the token took no PIN at its own pad ({code})")),
            "{said}"
        );
        for (args, status) in [(&["serve"][..], 2), (&["check"], 2), (&LIST, 1)] {
            let said = pad.site().run_refused(args, status);
            assert!(
                said.contains("nobody may be there: stand at it and run `countersign token unlatch`"),
                "{said}"
            );
            assert!(!said.contains("now"), "nobody is told to type: {said}");
        }
        assert_eq!(pad.logins(), before + 1);
        pad.unlatch();
        let said = pad.site().run_refused(&LIST, 1);
        assert!(said.contains(code) && pad.logins() == before + 2, "{said}");
        pad.unlatch();
        pad.types(&pad.right);
        pad.site().run_ok(&["check"]);
    }
    assert_eq!(pad.broken.control.wrong_pins(), 0, "a right one was typed last");
}

#[test]
fn the_last_try_is_not_asked_for() {
    let pad = Pad { tries: 3, ..Pad::new() };
    pad.types("wrong-4711");
    for _ in 0..2 {
        pad.site().run_refused(&LIST, 1);
        pad.unlatch();
    }
    let before = pad.logins();
    let said = pad.site().run_refused(&LIST, 1);
    assert!(said.contains("one try left for the user PIN, which is not spent here"), "{said}");
    assert_eq!((pad.logins(), pad.broken.control.wrong_pins()), (before, 2));
}

#[test]
fn what_a_pad_cannot_do_is_said_at_once() {
    let pad = Pad::new();
    let site = pad.site();
    for command in ["change-pin", "unlock"] {
        let said = site.run_refused(&["token", command, "soft"], 1);
        assert!(said.contains("typed at its own pad: change it there, or with the vendor's tool"), "{said}");
    }
    let said = site.run_refused(&["token", "init", "soft", "--so-pin-file", "soft-so-pin"], 1);
    assert!(said.contains("make it there, or with the vendor's tool"), "{said}");
    // A token without one.
    pad.broken.control.clear().unwrap();
    let before = pad.logins();
    let said = site.run_refused(&["check"], 2);
    assert!(said.contains("the token has no PIN pad of its own; name `pin_file`"), "{said}");
    // A key that would have somebody type for each signature.
    let token = Token { pad: Some(pad.right.clone()), always_authenticate: true, ..Token::default() };
    assert_eq!(pad.logins(), before);
    pad.broken.control.set(&Script::token(token)).unwrap();
    let said = site.run_refused(&["check"], 2);
    assert!(said.contains("key.user-ca: wants its PIN for each signature"), "{said}");
}

#[test]
fn a_configuration_has_one_place_for_the_pin_and_one_process_at_a_pad() {
    let site = Site::without_token(USER_CA);
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    for (lines, fault) in [
        (
            "pin_file = \"pin\"\npin_pad = true",
            "token.soft.pin_pad: is there, and so is another of `pin_file`",
        ),
        ("pin_none = true\npin_credential = \"pin\"", "token.soft.pin_none: is there, and so is another of"),
        ("pin_none = true\npin_pad = true", "token.soft.pin_none: is there, and so is another of"),
        ("pin_pad = true\nprocesses = 2", "token.soft.processes: is 2; 1 to 1 is allowed"),
        ("pin_pad = false", "token.soft.pin_file: is missing"),
        ("pin_none = false", "token.soft.pin_file: is missing"),
    ] {
        site.configure(&config.replace("pin_file = \"pin\"", lines));
        let said = site.run_refused(&["check"], 2);
        assert!(said.contains(fault), "{said}");
    }
}
