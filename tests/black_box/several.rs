//! One key on two tokens of a real daemon: one dies or lies, callers do not notice, and it proves itself before it takes load
//! again.

use std::process::Command;
use std::time::Duration;

use countersign::ledger::Entry;
use countersign::ledger::entry::Outcome;
use countersign_faulty::{Action, Call, Code, Control, On, Script};
use countersign_proto::Client;
use countersign_proto::client::Health;
use countersign_tbs::ssh::SubjectKey;
use rustix::process::{Signal, kill_process};

use crate::faulty::{Broken, faulty};
use crate::forge::Forgery;
use crate::site::{FRONT_END, PATIENCE, Site, USER_CA, now, request, text};

/// A site whose `user-ca` is on the tokens `soft` and `spare`.
fn site() -> Site {
    site_with(|_, base| base)
}

/// The same, with other sections that every site has.
fn site_with(change: impl FnOnce(&Site, String) -> String) -> Site {
    let site = Site::without_token("");
    // Copies: what is on two tokens was made on neither.
    let copies = "token = [\"soft\", \"spare\"]\naccept = [\"not-local\", \"once-extractable\", \"once-not-sensitive\"]";
    let keys = USER_CA.replace("token = \"soft\"", copies);
    let spare = format!(
        "\n[token.spare]\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\nlabel = \"spare\"\npin_file = \"spare-pin\"\n\
         [token.spare.environment]\nSOFTHSM2_CONF = \"{}/softhsm2.conf\"\n",
        site.dir().display()
    );
    site.configure(&format!("{}{spare}{keys}", change(&site, site.base_config())));
    let pem = site.path("ca.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&pem)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    for (token, label, pin) in [("soft", "test", "pin"), ("spare", "spare", "spare-pin")] {
        let so_pin = site.path(&format!("{token}-so-pin"));
        site.run_ok(&["token", "init", token, "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
        let pin = std::fs::read_to_string(site.path(pin)).unwrap();
        let imported = Command::new("softhsm2-util")
            .args(["--token", label, "--label", "user-ca", "--id", "01", "--pin", pin.trim(), "--import"])
            .arg(&pem)
            .env("SOFTHSM2_CONF", site.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(imported.status.success(), "{}", text(&imported.stderr));
    }
    site
}

/// The same, with `soft` behind the faulty module.
fn broken_site() -> (Site, Control) {
    let mut control = None;
    let site = site_with(|site, base| {
        std::fs::create_dir(site.path("script")).unwrap();
        let made = Control::new(&site.path("script/script.toml")).unwrap();
        faulty(&base, control.insert(made))
    });
    (site, control.unwrap())
}

fn self_tests(site: &Site) -> usize {
    site.entries().iter().filter(|entry| matches!(entry, Entry::SelfTest { .. })).count()
}

/// How many outcomes name this token.
fn named(entries: &[Entry], name: &str) -> usize {
    let of = |entry: &&Entry| matches!(entry, Entry::Outcome { token: Some(token), .. } if token == name.as_bytes());
    entries.iter().filter(of).count()
}

/// What the outcome of the entry at `index` says: of what, and at which token.
fn outcome(entries: &[Entry], index: u64) -> (Outcome, Option<String>) {
    let of = |entry: &Entry| match entry {
        Entry::Outcome { intent, outcome, token, .. } if *intent == index => {
            Some((outcome.clone(), token.as_deref().map(text)))
        }
        _ => None,
    };
    entries.iter().find_map(of).expect("it has an outcome")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_token_is_not_missed_and_proves_itself_before_it_serves_again() {
    let site = site();
    let mut daemon = site.serve();
    assert_eq!(self_tests(&site), 2, "one on each token");
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let lost = daemon.token_processes()[0];
    for serial in 1..=100 {
        if serial == 50 {
            kill_process(lost, Signal::KILL).unwrap();
        }
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        client.sign(request("user-ca", tbs.encode())).await.expect("one of the two is well");
    }
    daemon.wait_for("has proven itself");
    assert_eq!(self_tests(&site), 4, "two proofs of the one that was lost");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let entries = site.entries();
    let (soft, spare) = (named(&entries, "soft"), named(&entries, "spare"));
    assert_eq!(soft + spare, 104, "each outcome says which token it is of");
    assert!(soft > 20 && spare > 50, "{soft} and {spare}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lies_costs_no_caller_anything_and_proves_itself_before_it_serves_again() {
    let (site, control) = broken_site();
    let mut daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let sign = async |serial| {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        let signed = client.sign(request("user-ca", tbs.encode())).await;
        signed.expect("one of the two tells the truth").receipt.unwrap().entry_index
    };
    let mut by = Vec::new();
    for (round, lie) in (0..).zip([Action::WrongSignature, Action::ShortSignature]) {
        control.set(&Script::on(On::call(Call::Sign, lie).times(1))).unwrap();
        let before = control.calls(Call::Sign);
        let (mut serial, mut last) = (100 * round + 1, 0);
        while control.calls(Call::Sign) == before {
            last = sign(serial).await;
            serial += 1;
        }
        by.push((last, "spare"));
        daemon.wait_for("THE TOKEN GAVE A SIGNATURE THAT DOES NOT VERIFY");
        assert_eq!(client.health(Some("user-ca")).await.unwrap(), Health::Serving, "the other one is well");
        daemon.wait_for("has proven itself");
        let calls = control.calls(Call::Sign);
        while control.calls(Call::Sign) == calls {
            last = sign(serial).await;
            serial += 1;
        }
        by.push((last, "soft"));
    }
    assert_eq!(self_tests(&site), 6, "one on each token, and two proofs each time");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let failed = |entry: &Entry| matches!(entry, Entry::Outcome { outcome, .. } if !matches!(outcome, Outcome::Signed(_)));
    let entries = site.entries();
    assert!(!entries.iter().any(failed), "nobody was refused anything");
    for (index, token) in by {
        assert_eq!(outcome(&entries, index).1.as_deref(), Some(token), "entry {index} was signed by it");
    }
    let shown = site.run_ok(&["ledger", "show", "--long"]);
    assert!(shown.contains(" at token soft ") && shown.contains(" at token spare "), "{shown}");
    let shown = site.run_ok(&["ledger", "show", "--json"]);
    assert!(shown.contains(r#""token":"soft""#) && shown.contains(r#""token":"spare""#), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_refuses_fast_attracts_no_load_and_serves_again_once_it_signs() {
    let (site, control) = broken_site();
    let mut daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let sign = async |serial| {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        client.sign(request("user-ca", tbs.encode())).await.expect("one of the two signs");
    };
    let before = control.calls(Call::SignInit);
    let refuse = Action::Fail(Code::CKR_FUNCTION_NOT_SUPPORTED);
    control.set(&Script::on(On::call(Call::SignInit, refuse))).unwrap();
    for serial in 1..=200 {
        sign(serial).await;
    }
    let asked = control.calls(Call::SignInit) - before;
    assert!((1..20).contains(&asked), "it was asked for {asked} of 200");
    assert_eq!(client.health(Some("user-ca")).await.unwrap(), Health::Serving, "the other one is well");
    let operator = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let [trouble] = &operator.troubles().await.unwrap()[..] else { panic!("the token is named") };
    assert_eq!((trouble.subject.as_str(), trouble.reason.as_str()), ("token/soft", "TOKEN_FAILED"));
    control.clear().unwrap();
    daemon.wait_for("the token signs with this key again");
    assert_eq!(operator.troubles().await.unwrap(), []);
    let (before, mut serial) = (control.calls(Call::SignInit), 201);
    while control.calls(Call::SignInit) == before {
        sign(serial).await;
        serial += 1;
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    for once in ["the token refuses a request", "THE TOKEN REFUSES TO SIGN WITH THIS KEY"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_the_token_that_was_given_the_bytes_and_none_if_none_was() {
    let Broken { site, control } = Broken::new();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("writable = [\"script\"]", "writable = [\"script\"]\nsessions = 1"));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let asked = |serial| {
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        request("user-ca", tbs.encode())
    };
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let (hung, first) = (client.clone(), asked(1));
    let hung = tokio::spawn(async move { hung.sign(first).await });
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    let hurried = client.with_deadline(Duration::from_millis(100));
    hurried.sign(asked(2)).await.expect_err("the only session hangs");
    hung.await.unwrap().expect_err("it did not answer");
    daemon.stop();
    let entries = site.entries();
    let asked = (0..).zip(&entries).filter(|(_, entry)| matches!(entry, Entry::Intent { .. }));
    let of: Vec<_> = asked.map(|(index, _)| outcome(&entries, index)).collect();
    let failed = |word: &str, token: Option<&str>| (Outcome::Failed(word.into()), token.map(str::to_owned));
    assert_eq!(of, [failed("TOKEN_TIMED_OUT", Some("soft")), failed("TOKEN_QUEUE_EXPIRED", None)]);
}
