//! Key ceremonies in a real terminal: the examples as they are printed, what an outsider makes of the result, and all that is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::ledger::{Entry, Reader};
use rustix::process::Signal;

use crate::ca::{openssl, words};
use crate::site::{Daemon, Site, USER_CA, ssh_keygen, text};
use crate::terminal::Terminal;
use crate::transcript::Transcript;

mod backup;
mod broken;
mod inputs;
mod refusals;

const DOCS: &str = include_str!("../../docs/ceremony.md");

/// The keys in the examples, whose private halves nobody has, are these operators'.
const OPERATORS: [&str; 3] = ["alice", "bob", "carol"];

/// The ceremony's directory in the tests: the one in the manual.
const DIRECTORY: &str = "2026-11-27";

/// The fenced block of the manual that begins with `first`.
fn block(first: &str) -> String {
    let mut blocks = DOCS.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.find(|(_, block)| block.starts_with(first)).unwrap().1.to_owned()
}

/// A site with an uninitialised SoftHSM2, and the keys of three operators and of a stranger.
fn site() -> Site {
    let site = Site::without_token("");
    for name in OPERATORS.iter().chain(&["mallory"]) {
        ssh_keygen(&site.path(name), &["-t", "ed25519"]);
    }
    site
}

/// Writes a configuration of the manual into the site: for its user, and its SoftHSM2.
fn configure(site: &Site, name: &str, token: &str) {
    let user = format!("uid:{}", rustix::process::geteuid().as_raw());
    let softhsm = site.path("softhsm2.conf").display().to_string();
    let environment = format!("\n[token.{token}.environment]\nSOFTHSM2_CONF = {softhsm:?}\n");
    let config = block(&format!("# {name}.toml")).replace("uid:0", &user) + &environment;
    fs::write(site.path(&format!("{name}.toml")), config).unwrap();
}

/// An example as it is printed, with the operators' real keys.
fn example(site: &Site, kind: &str) -> String {
    let mut script = site.run_ok(&["ceremony", "example", kind]);
    let made_up: Vec<_> = script
        .lines()
        .filter_map(|line| line.strip_prefix("key = ").filter(|key| key.starts_with("\"ssh-")))
        .map(str::to_owned)
        .collect();
    assert_eq!(made_up.len(), OPERATORS.len());
    for (made_up, name) in made_up.iter().zip(OPERATORS) {
        script = script.replace(made_up, &format!("{:?}", public_key(site, name)));
    }
    script
}

fn public_key(site: &Site, name: &str) -> String {
    fs::read_to_string(site.path(&format!("{name}.pub"))).unwrap().trim_end().to_owned()
}

/// A short script with these steps, two operators and the configuration that the site has.
fn short(site: &Site, steps: &str) {
    let [alice, bob] = ["alice", "bob"].map(|name| public_key(site, name));
    let script = format!(
        "title = \"A test\"\nthreshold = 2\nconfig = \"countersign.toml\"\n[[operator]]\nname = \"alice\"\nkey = {alice:?}\n\
         [[operator]]\nname = \"bob\"\nkey = {bob:?}\n{steps}"
    );
    fs::write(site.path("script.toml"), script).unwrap();
}

fn hold(site: &Site, script: &str) -> Terminal {
    Terminal::start(site, &["ceremony", "run", script, "--directory", DIRECTORY])
}

/// Two of three are there.
fn alice_and_bob(terminal: &mut Terminal) {
    terminal.answer("signature 1 of at least 2, or `stop`: ", "alice");
    terminal.answer("signature 2 of at least 2, or `stop`: ", "bob");
}

fn confirm(terminal: &mut Terminal, steps: std::ops::RangeInclusive<usize>) {
    for number in steps {
        terminal.answer(&format!("type {number} to have it done, or `stop`: "), &number.to_string());
    }
}

fn transcript_sha256(site: &Site) -> [u8; 32] {
    let json = fs::read(site.path(DIRECTORY).join("transcript.json")).unwrap();
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &json).as_ref().try_into().unwrap()
}

fn transcript(site: &Site) -> serde_json::Value {
    serde_json::from_slice(&fs::read(site.path(DIRECTORY).join("transcript.json")).unwrap()).unwrap()
}

/// The transcript of a ceremony in the ledger of this file.
fn recorded(site: &Site, ledger: &str) -> Vec<(String, [u8; 32])> {
    let reader = Reader::open(site.path(ledger)).unwrap();
    let entries = reader.entries(0..reader.len().unwrap()).map(|entry| entry.unwrap().1);
    let ceremonies = entries.filter_map(|entry| match entry {
        Entry::Ceremony { participants, transcript_sha256, .. } => {
            Some((text(&participants), transcript_sha256))
        }
        _ => None,
    });
    ceremonies.collect()
}

/// What a machine, a build and a day make different, beside what every transcript masks.
fn without_machine(said: &str) -> String {
    let mut lines = Vec::new();
    let mut in_log = false;
    for line in said.lines() {
        if line.starts_with("It began at ") {
            lines.push("It began at … on …".to_owned());
        } else if line == "The signer logged:" {
            lines.push(format!("{line}\n\n    …"));
            in_log = true;
        } else if !in_log || !(line.is_empty() || line.starts_with("    ")) {
            in_log = false;
            let version = format!("countersign {};", env!("CARGO_PKG_VERSION"));
            lines.push(
                line.replace(env!("CARGO_BIN_EXE_countersign"), "…/countersign")
                    .replace(&version, "countersign …;"),
            );
        }
    }
    lines.join("\n") + "\n"
}

/// A ceremony by the example for a user CA, held by two of the three operators.
fn user_ca() -> (Site, String) {
    let site = site();
    configure(&site, "countersign", "soft");
    fs::write(site.path("ssh-user-ca.toml"), example(&site, "ssh-user-ca")).unwrap();
    let mut terminal = hold(&site, "ssh-user-ca.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("signature 3 of 3, or `go` with 2, or `stop`: ", "go");
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    confirm(&mut terminal, 2..=5);
    terminal.answer("the number on the bag: ", "B-1704");
    let right = "type 6 if it is done, and that is right, or `again` to type it anew, or `stop`: ";
    terminal.answer(right, "6");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok && screen.contains("The ceremony is complete."), "{screen}");
    (site, screen)
}

#[test]
fn user_ca_of_the_example_is_made_before_witnesses_and_outsiders_can_check_it() {
    let (site, screen) = user_ca();
    let mut said = Transcript::new("ceremony-ssh-user-ca", &site);
    said.shown(&["ceremony", "run", "ssh-user-ca.toml", "--directory", DIRECTORY], &without_machine(&screen));
    let verify = ["ceremony", "verify", DIRECTORY, "--files", "."];
    let output = site.run(&verify);
    assert!(output.status.success(), "{output:?}");
    said.tell(&verify, &output);
    let markdown = fs::read_to_string(site.path(DIRECTORY).join("transcript.md")).unwrap();
    said.file("transcript.md", &without_machine(&markdown));
    said.compare();

    // With what the manual says, to the letter, and nothing of countersign.
    let mut outsider = Command::new("bash");
    outsider.args(["-euc", &block("cd 2026-11-27")]).current_dir(site.dir());
    let output = outsider.output().unwrap();
    let good = text(&output.stdout).matches("Good \"").count();
    assert!(output.status.success() && good == 5, "{output:?}");
    // The same, of a transcript in which a word is another.
    let json = site.path(DIRECTORY).join("transcript.json");
    fs::write(&json, fs::read_to_string(&json).unwrap().replace("B-1704", "B-1705")).unwrap();
    assert!(!outsider.output().unwrap().status.success());
}

#[test]
fn transcript_of_a_user_ca_is_in_the_ledger_and_the_key_works() {
    let (site, _) = user_ca();
    assert_eq!(recorded(&site, "ledger.sqlite"), [("alice,bob".to_owned(), transcript_sha256(&site))]);
    let shown = site.run_ok(&["ledger", "show"]);
    assert!(
        shown.contains("ceremony") && shown.contains("\"SSH user CA of example.org\", with alice,bob"),
        "{shown}"
    );
    let found = site.run_ok(&["ledger", "show", "--json"]);
    assert!(found.contains("\"kind\":\"ceremony\"") || found.contains("\"kind\": \"ceremony\""), "{found}");
    assert!(site.run_ok(&["ledger", "stats"]).contains("ceremony"));
    site.run_ok(&["ledger", "verify", "--accept-uncovered", "--key", "user_ca.pub"]);
    let public = fs::read_to_string(site.path("user_ca.pub")).unwrap();
    assert_eq!(public, site.run_ok(&["key", "export-public", "user-ca", "--format", "trusted-user-ca"]));
    assert_eq!(transcript(&site)["steps"][5]["written"], "B-1704");
    // No secret is in anything that the ceremony wrote.
    let secrets = ["pin", "so-pin"].map(|name| fs::read_to_string(site.path(name)).unwrap());
    for file in fs::read_dir(site.path(DIRECTORY)).unwrap() {
        let content = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(secrets.iter().all(|secret| !content.contains(secret.trim_end())));
    }
}

/// A site with the configurations of the example for an offline root, and the script in `offline-root.toml`.
fn root_site() -> Site {
    let site = site();
    configure(&site, "root-new", "root");
    let root = fs::read_to_string(site.path("root-new.toml")).unwrap();
    let certified = root.replace("token = \"root\"\n", "token = \"root\"\ncertificate = \"root.pem\"\n");
    fs::write(site.path("root.toml"), certified).unwrap();
    configure(&site, "tls-ca", "tls");
    fs::write(site.path("offline-root.toml"), example(&site, "offline-root")).unwrap();
    site
}

#[test]
fn root_of_the_example_certifies_a_ca_below_it() {
    let site = root_site();
    let mut terminal = hold(&site, "offline-root.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("signature 3 of 3, or `go` with 2, or `stop`: ", "carol");
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    confirm(&mut terminal, 2..=9);
    terminal.answer("the number on the bag: ", "B-1705");
    let right = "type 10 if it is done, and that is right, or `again` to type it anew, or `stop`: ";
    terminal.answer(right, "10");
    // Bob had to leave.
    terminal.answer("signature 1 of at least 2, or `stop`: ", "carol");
    terminal.answer("signature 2 of at least 2, or `stop`: ", "alice");
    terminal.answer("signature 3 of 3, or `go` with 2, or `stop`: ", "go");
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    let said = site.run_ok(&["ceremony", "verify", DIRECTORY, "--files", "."]);
    for good in
        ["presence of bob", "signed by carol", "signed by key root", "signed by key tls-ca", "tls-ca.pem"]
    {
        assert!(said.lines().any(|line| line.starts_with("good ") && line.contains(good)), "{said}");
    }
    assert_eq!(recorded(&site, "root-ledger.sqlite"), [("carol,alice".to_owned(), transcript_sha256(&site))]);
    openssl(&site, &words("verify -x509_strict -CAfile root.pem root.pem"));
    openssl(&site, &words("verify -x509_strict -CAfile root.pem tls-ca.pem"));
    let shown = openssl(&site, &words("x509 -in tls-ca.pem -noout -text"));
    assert!(shown.contains("CN = TLS CA 1") && shown.contains("DNS:example.org"), "{shown}");
    let logged = transcript(&site)["steps"][3]["runs"][0]["signer_log"].as_str().unwrap().to_owned();
    assert!(logged.contains("listening") && logged.contains("SIGTERM: stopping"), "{logged}");
    let mut said = Transcript::new("ceremony-offline-root", &site);
    let markdown = fs::read_to_string(site.path(DIRECTORY).join("transcript.md")).unwrap();
    said.file("transcript.md", &without_machine(&markdown));
    said.compare();
}

#[test]
fn every_file_of_a_ceremony_counts() {
    let (site, _) = user_ca();
    let directory = site.path(DIRECTORY);
    let verify = ["ceremony", "verify", DIRECTORY, "--files", "."];
    let fails = |what: &str, why: &str| {
        let output = site.run(&verify);
        let said = text(&output.stdout) + &text(&output.stderr);
        let found =
            said.lines().any(|line| line.starts_with(&format!("FAILED  {what}")) && line.contains(why));
        assert!(output.status.code() == Some(1) && found, "{what}: {said}");
    };
    let change = |path: PathBuf, from: &str, to: &str, what: &str, why: &str| {
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{before}");
        fs::write(&path, before.replacen(from, to, 1)).unwrap();
        fails(what, why);
        fs::write(&path, before).unwrap();
    };
    let wrong = "is not one of this very text";
    let public = public_key(&site, "carol").split(' ').nth(1).unwrap().to_owned();
    let file = |name: &str| directory.join(name);
    change(file("transcript.json"), "B-1704", "B-1705", "transcript signed by alice", wrong);
    change(file("transcript.json"), "B-1704", "B-1705", "transcript signed by key user-ca", wrong);
    change(file("transcript.json"), "B-1704", "B-1705", "transcript.md", "it is not what is made of");
    change(file("transcript.json"), "B-1704", "B-1705", "ledger.json", "the receipt of another transcript");
    change(
        file("transcript.json"),
        "\"threshold\":2",
        "\"threshold\":1",
        "script.toml",
        "other steps or operators",
    );
    change(file("transcript.json"), "\"complete\"", "\"unfinished\"", "outcome", "it was never ended");
    change(file("transcript.md"), "B-1704", "B-1705", "transcript.md", "it is not what is made of");
    change(file("script.toml"), "Read aloud", "Whisper", "script.toml", "not the script of this ceremony");
    change(file("challenge.json"), "\"nonce\":\"", "\"nonce\":\"0", "challenge.json", "agreed to");
    change(file("challenge.json"), "\"nonce\":\"", "\"nonce\":\"0", "presence of bob", wrong);
    let armour = "-----BEGIN SSH SIGNATURE-----";
    for (of, who) in
        [("challenge.json", "presence of alice"), ("transcript.json", "transcript signed by alice")]
    {
        change(file(&format!("{of}.alice.sig")), armour, "-----BEGIN-----", who, "not a signature");
        fs::copy(file(&format!("{of}.alice.sig")), file("kept")).unwrap();
        fs::copy(file(&format!("{of}.bob.sig")), file(&format!("{of}.alice.sig"))).unwrap();
        fails(who, "signed by SHA256:");
        fs::remove_file(file(&format!("{of}.alice.sig"))).unwrap();
        fails("enough", "1 good signatures, and 2 are needed");
        fs::rename(file("kept"), file(&format!("{of}.alice.sig"))).unwrap();
    }
    change(site.path("user_ca.pub"), "ecdsa", "ECDSA", "user_ca.pub", "not what the ceremony wrote");
    change(file("allowed_signers"), &public, "AAAA", "allowed_signers", "other keys than the transcript");
    for missing in
        ["allowed_signers", "ledger.json", "transcript.json.key=user-ca.sig", "script.toml", "transcript.md"]
    {
        fs::rename(file(missing), file("kept")).unwrap();
        assert!(!site.run(&verify).status.success(), "{missing}");
        fs::rename(file("kept"), file(missing)).unwrap();
    }
    // One encoding, and no other.
    change_and_refuse(&site, &file("transcript.json"), "{", "{ ", "not in its one encoding");
    site.run_ok(&verify);

    // The key signs later, and this transcript only.
    let sign = ["ceremony", "sign", DIRECTORY, "--key", "user-ca"];
    let said = site.run_refused(&sign, 1);
    assert!(said.contains("cannot write") && said.contains("key=user-ca.sig"), "{said}");
    fs::remove_file(file("transcript.json.key=user-ca.sig")).unwrap();
    site.run_ok(&sign);
    site.run_ok(&verify);
}

fn change_and_refuse(site: &Site, path: &Path, from: &str, to: &str, why: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, before.replacen(from, to, 1)).unwrap();
    let said = site.run_refused(&["ceremony", "verify", DIRECTORY], 1);
    assert!(said.contains(why), "{said}");
    fs::write(path, before).unwrap();
}

#[test]
fn a_dry_run_says_all_that_is_wrong_and_touches_nothing() {
    let site = site();
    configure(&site, "countersign", "soft");
    let script = example(&site, "ssh-user-ca");
    let run = ["ceremony", "run", "--dry-run", "ssh-user-ca.toml"];
    fs::write(site.path("ssh-user-ca.toml"), &script).unwrap();
    let files = || {
        let entries = fs::read_dir(site.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        let tokens = fs::read_dir(site.path("tokens")).unwrap().map(|entry| entry.unwrap().file_name());
        entries.chain(tokens).collect::<BTreeSet<_>>()
    };
    let before = files();
    let output = site.run(&run);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(files(), before);
    let mut said = Transcript::new("ceremony-dry-run", &site);
    said.shown(&run, &without_machine(&text(&output.stdout)));

    let wrong = script
        .replace("threshold = 2", "threshold = 4")
        .replace("do.check = {}", "do.key-show.key = \"nobody\"")
        .replace("generate_pins = true", "generate_pins = false")
        .replace("out = \"user_ca.pub\"", "out = \"alice.pub\"")
        .replace("record_in = \"countersign.toml\"", "record_in = \"nowhere.toml\"");
    fs::write(site.path("ssh-user-ca.toml"), &wrong).unwrap();
    said.tell(&run, &site.run(&run));
    fs::write(site.path("ssh-user-ca.toml"), wrong.replace("threshold = 4", "threshold = 2")).unwrap();
    let output = site.run(&run);
    assert_eq!(output.status.code(), Some(2));
    said.tell(&run, &output);
    assert_eq!(files(), before);
    said.compare();
}

#[test]
fn signer_of_a_ceremony_ends_with_it() {
    let site = Site::new(USER_CA);
    let mut shell = Command::new("sh");
    let serve = format!("{} serve --stop-with-parent & wait", env!("CARGO_BIN_EXE_countersign"));
    shell.args(["-c", &serve]).current_dir(site.dir());
    let mut daemon = Daemon::start(shell.env("COUNTERSIGN_CONFIG", site.path("countersign.toml")));
    // The shell alone.
    daemon.signal(Signal::KILL);
    daemon.wait_for("SIGTERM: stopping");
}

#[test]
fn nobody_counts_twice_in_a_transcript() {
    let (site, _) = user_ca();
    let json = site.path(DIRECTORY).join("transcript.json");
    let before = fs::read_to_string(&json).unwrap();
    let (start, present) = before.split_once("\"present\":").unwrap();
    fs::write(&json, format!("{start}\"present\":{}", present.replacen("\"bob\"", "\"alice\"", 1))).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", "transcript@ceremony.countersign", "-f", "alice"]);
    assert!(keygen.arg(&json).current_dir(site.dir()).status().unwrap().success());
    fs::rename(json.with_extension("json.sig"), json.with_extension("json.alice.sig")).unwrap();
    let said = text(&site.run(&["ceremony", "verify", DIRECTORY]).stdout);
    for line in [
        "FAILED  enough were there: 1 good signatures, and 2 are needed",
        "good    transcript signed by alice",
        "FAILED  enough signed the transcript: 1 good signatures, and 2 are needed",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
