//! The files that steps read are what the operators agreed to, or what an earlier step made.

use std::fs;

use super::{DIRECTORY, alice_and_bob, configure, confirm, hold, root_site, short, site, transcript};
use crate::ca::openssl;
use crate::site::{Site, text};
use crate::terminal::Terminal;

const AGAIN: &str = "type `again` to have it done again, or `stop`: ";

/// Somebody's own request, for the subject of the example.
fn request(site: &Site, file: &str) {
    let key = format!("{file}.key");
    let subject = "/O=Example/CN=TLS CA 1";
    let make = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"];
    openssl(site, &[&make[..], &["-keyout", &key, "-out", file, "-subj", subject]].concat());
}

/// Puts another file in the place of one, has a step done that reads it, and puts that back.
fn swapped(site: &Site, terminal: &mut Terminal, file: &str, instead: &str, why: &str) {
    fs::rename(site.path(file), site.path("kept")).unwrap();
    fs::copy(site.path(instead), site.path(file)).unwrap();
    terminal.type_line("again");
    terminal.wait_for(why);
    terminal.wait_for(AGAIN);
    fs::rename(site.path("kept"), site.path(file)).unwrap();
}

/// The example without a second token: the request is brought along.
fn brought(site: &Site) {
    let script = fs::read_to_string(site.path("offline-root.toml")).unwrap();
    let parts: Vec<_> = script.split("[[step]]").collect();
    let script = [&parts[..5], &parts[8..9]].concat().join("[[step]]");
    let script = script.replace("\"tls-ca.csr\"", "\"below.csr\"").replace("record_in", "# record_in");
    fs::write(site.path("offline-root.toml"), script).unwrap();
    request(site, "below.csr");
    request(site, "mallory.csr");
}

#[test]
fn a_request_that_was_brought_is_what_was_agreed_to() {
    let site = root_site();
    brought(&site);
    let mut terminal = hold(&site, "offline-root.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("signature 3 of 3, or `go` with 2, or `stop`: ", "go");
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    confirm(&mut terminal, 2..=4);
    let why = "input below.csr is not what it was when the operators agreed to it: put it back, or stop";
    terminal.wait_for("type 5 to have it done, or `stop`: ");
    fs::rename(site.path("below.csr"), site.path("agreed.csr")).unwrap();
    fs::copy(site.path("mallory.csr"), site.path("below.csr")).unwrap();
    terminal.type_line("5");
    terminal.wait_for(why);
    terminal.wait_for(AGAIN);
    assert!(!site.path("tls-ca.pem").exists());
    fs::rename(site.path("agreed.csr"), site.path("below.csr")).unwrap();
    let another = "certificate mtls/ca.pem is not what it was when the operators agreed to it";
    swapped(&site, &mut terminal, "mtls/ca.pem", "mtls/server.pem", another);
    terminal.type_line("again");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok && site.path("tls-ca.pem").exists(), "{screen}");

    let said = transcript(&site);
    let input = |of: &serde_json::Value| {
        let files = of.as_array().unwrap();
        files.iter().find(|file| file["path"] == "below.csr").unwrap().clone()
    };
    let runs = &said["steps"][4]["runs"];
    assert_eq!(input(&runs[2]["inputs"]), input(&said["challenge"]["inputs"]));
    assert!(runs[0]["status"].is_null() && runs[1]["status"].is_null(), "{runs}");
    let verify = ["ceremony", "verify", DIRECTORY, "--files", "."];
    let good = site.run_ok(&verify);
    for line in ["good    what steps read: agreed to", "good    below.csr: SHA-256"] {
        assert!(good.contains(line), "{good}");
    }
    fs::copy(site.path("mallory.csr"), site.path("below.csr")).unwrap();
    let bad = text(&site.run(&verify).stdout);
    assert!(bad.contains("FAILED  below.csr: it is not what the ceremony read"), "{bad}");

    // A transcript of a step that read something else, or that does not say what.
    let json = site.path(DIRECTORY).join("transcript.json");
    let before = fs::read_to_string(&json).unwrap();
    let digest = input(&runs[2]["inputs"])["sha256"].as_str().unwrap().to_owned();
    let (start, end) = before.rsplit_once(&digest).unwrap();
    let entry = format!("{{\"path\":\"below.csr\",\"sha256\":\"{digest}\",\"what\":\"input\"}},");
    let (head, tail) = before.rsplit_once(&entry).unwrap();
    for (changed, why) in [
        (format!("{start}{}{end}", "0".repeat(64)), "step 5 read another below.csr than was agreed to"),
        (
            format!("{head}{tail}"),
            "step 5 was given below.csr, and the transcript does not say what was in it",
        ),
    ] {
        fs::write(&json, changed).unwrap();
        let said = text(&site.run(&verify).stdout);
        assert!(said.contains(&format!("FAILED  what steps read: {why}")), "{said}");
    }
}

#[test]
fn what_an_earlier_step_made_is_what_a_later_one_reads() {
    let site = root_site();
    request(&site, "mallory.csr");
    let mut terminal = hold(&site, "offline-root.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("signature 3 of 3, or `go` with 2, or `stop`: ", "go");
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    confirm(&mut terminal, 2..=7);
    terminal.wait_for("type 8 to have it done, or `stop`: ");
    fs::rename(site.path("tls-ca.csr"), site.path("made.csr")).unwrap();
    fs::copy(site.path("mallory.csr"), site.path("tls-ca.csr")).unwrap();
    terminal.type_line("8");
    terminal.wait_for("output tls-ca.csr is not what step 7 wrote: put that back, or stop");
    terminal.wait_for(AGAIN);
    fs::rename(site.path("made.csr"), site.path("tls-ca.csr")).unwrap();
    // The configuration names this one, and it was not there before step 4.
    let certificate = "output root.pem is not what step 4 wrote: put that back, or stop";
    swapped(&site, &mut terminal, "root.pem", "mtls/ca.pem", certificate);
    assert!(!site.path("tls-ca.pem").exists());
    terminal.type_line("again");
    terminal.answer("type 9 to have it done, or `stop`: ", "stop");
    let (_, screen) = terminal.end();
    assert!(site.path("tls-ca.pem").exists(), "{screen}");
    let steps = transcript(&site)["steps"].clone();
    let read = steps[7]["runs"][2]["inputs"].clone();
    assert_eq!(read[0], steps[6]["runs"][0]["files"][0], "{read}");
    assert_eq!(read[1], steps[3]["runs"][0]["files"][0], "{read}");
}

#[test]
fn a_secret_that_is_read_has_no_digest() {
    let site = site();
    configure(&site, "countersign", "soft");
    short(
        &site,
        "[[step]]\ntext = \"Make it.\"\ndo.token-init = { token = \"soft\", so_pin_file = \"so-pin\" }\n",
    );
    fs::write(site.path("so-pin"), "12345678\n").unwrap();
    let said = site.run_ok(&["ceremony", "run", "--dry-run", "script.toml"]);
    assert!(said.contains("certificate mtls/ca.pem") && !said.contains("input"), "{said}");
    assert!(!said.contains("server.key"), "{said}");
}
