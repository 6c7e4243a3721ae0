//! What ceremonies refuse, and how they end before their end.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64ct::{Base64, Encoding};
use countersign_tbs::ssh::SubjectKey;
use countersign_tbs::sshsig::{MessageHash, Raw, SshSignature, signed_bytes};

use super::{DIRECTORY, alice_and_bob, confirm, hold, recorded, short, site, transcript, transcript_sha256};
use crate::site::{Site, USER_CA, text};
use crate::terminal::Terminal;

pub(super) const BY_HAND: &str = "[[step]]\ntext = \"Do it.\"\n";
const PRESENCE: &str = "presence@ceremony.countersign";

/// A site with a token and a user CA beside the operators.
pub(super) fn served_site() -> Site {
    let site = site();
    site.configure(&format!("{}{USER_CA}", site.base_config()));
    let so_pin = site.path("so-pin");
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    site.run_ok(&["key", "generate", "user-ca"]);
    site
}

/// Signs a file of the site's with somebody's key.
fn sign(site: &Site, who: &str, namespace: &str, file: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f", who, file]).current_dir(site.dir());
    let output = keygen.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn nobody_is_there_by_a_signature_that_is_not_theirs_of_this() {
    let site = site();
    short(&site, BY_HAND);
    let challenge = format!("{DIRECTORY}/challenge.json");
    let signature = site.path(&format!("{challenge}.sig"));
    let mut terminal = hold(&site, "script.toml");
    let (first, second) =
        ("signature 1 of at least 2, or `stop`: ", "signature 2 of at least 2, or `stop`: ");
    let refused = |terminal: &mut Terminal, prompt: &str, answer: &str, why: &str| {
        terminal.answer(prompt, answer);
        terminal.wait_for(why);
    };
    refused(&mut terminal, first, "", "not taken: there is no 2026-11-27/challenge.json.sig");
    refused(&mut terminal, first, "no-such-key", "not taken: ssh-keygen did not sign with no-such-key");
    refused(&mut terminal, first, "mallory", "is the key of none of alice, bob");
    refused(&mut terminal, first, "go", "not taken: ssh-keygen did not sign with go");
    // Elsewhere, and carried here.
    terminal.wait_for(first);
    sign(&site, "alice", "file", &challenge);
    let answer = |terminal: &mut Terminal, why: &str| {
        terminal.type_line("");
        terminal.wait_for(why);
        terminal.wait_for(first);
        assert!(!signature.exists(), "{why}");
    };
    answer(
        &mut terminal,
        "the signature is in the namespace \"file\"; it must be made with `-n presence@ceremony.countersign`",
    );
    fs::write(site.path("another"), "something else").unwrap();
    sign(&site, "alice", PRESENCE, "another");
    fs::rename(site.path("another.sig"), &signature).unwrap();
    answer(&mut terminal, "the signature is not one of this very text");
    fs::write(&signature, "no signature").unwrap();
    answer(&mut terminal, "not a signature in SSH's form");
    sign(&site, "alice", PRESENCE, &challenge);
    terminal.type_line("");
    terminal.wait_for("alice: SHA256:");
    refused(
        &mut terminal,
        second,
        "alice",
        "alice has signed already: the next signature is somebody else's",
    );
    terminal.answer(second, "bob");
    terminal.wait_for("bob: SHA256:");
    terminal.answer("type 1 when it is done, or `stop`: ", "stop");
    let (ok, screen) = terminal.end();
    assert!(!ok && screen.contains("the ceremony was stopped in step 1: an operator stopped it"), "{screen}");
    let said = text(&site.run(&["ceremony", "verify", DIRECTORY]).stdout);
    assert!(said.contains("good    presence of alice") && said.contains("good    presence of bob"), "{said}");
}

/// A FIDO authenticator in software, by PROTOCOL.u2f: what it signs is its application's hash, its flags, its counter, and the hash of
/// what it is given. That real ones do so is assumed; that OpenSSH takes this one for one is shown.
struct Authenticator {
    pair: Ed25519KeyPair,
    key: SubjectKey,
}

impl Authenticator {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key = SubjectKey::SkEd25519 { key: public, application: "ssh:".to_owned() };
        Self { pair, key }
    }

    fn line(&self) -> String {
        format!("{} {}", self.key.algorithm(), Base64::encode_string(&self.key.to_wire()))
    }

    fn sign(&self, namespace: &str, message: &[u8], flags: u8) -> String {
        let inner = signed_bytes(namespace, MessageHash::Sha512, digest(&SHA512, message).as_ref());
        let (application, inner) = (digest(&SHA256, b"ssh:"), digest(&SHA256, &inner));
        let signed = [application.as_ref(), &[flags], &7_u32.to_be_bytes(), inner.as_ref()].concat();
        let bytes = self.pair.sign(&signed).as_ref().to_vec();
        let signature = SshSignature {
            public_key: self.key.clone(),
            namespace: namespace.to_owned(),
            hash: MessageHash::Sha512,
            raw: Raw::SecurityKey { bytes, flags, counter: 7 },
        };
        signature.to_armored().unwrap()
    }
}

#[test]
fn an_operator_with_a_fido_key_is_there_once_it_is_touched() {
    let site = site();
    let authenticator = Authenticator::new();
    fs::write(site.path("bob.pub"), authenticator.line()).unwrap();
    short(&site, BY_HAND);
    let directory = site.path(DIRECTORY);
    let put = |file: &str, namespace: &str, flags: u8| {
        let message = fs::read(directory.join(file)).unwrap();
        let armored = authenticator.sign(namespace, &message, flags);
        fs::write(directory.join(format!("{file}.sig")), armored).unwrap();
    };
    let mut terminal = hold(&site, "script.toml");
    let (first, second) =
        ("signature 1 of at least 2, or `stop`: ", "signature 2 of at least 2, or `stop`: ");
    terminal.wait_for(first);
    put("challenge.json", PRESENCE, 0);
    terminal.type_line("");
    terminal.wait_for("signed without a touch");
    terminal.wait_for(first);
    put("challenge.json", PRESENCE, 1);
    terminal.type_line("");
    terminal.wait_for("bob: SHA256:");
    terminal.answer(second, "alice");
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    terminal.answer(first, "alice");
    terminal.wait_for(second);
    put("transcript.json", "transcript@ceremony.countersign", 1);
    terminal.type_line("");
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    site.run_ok(&["ceremony", "verify", DIRECTORY]);
    let mut outsider = Command::new("bash");
    let verify = "ssh-keygen -Y verify -f allowed_signers -I bob -n transcript@ceremony.countersign -s transcript.json.bob.sig <transcript.json";
    let output = outsider.args(["-c", verify]).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_step_that_fails_is_done_again_or_the_last() {
    let site = served_site();
    short(&site, "[[step]]\ntext = \"Look.\"\ndo.key-show.key = \"user-ca\"\n[[step]]\ntext = \"Never.\"\n");
    fs::rename(site.path("pin"), site.path("kept")).unwrap();
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    // Nothing but the number is a yes.
    for no in ["", "y", "2", "11"] {
        terminal.answer("type 1 to have it done, or `stop`: ", no);
    }
    confirm(&mut terminal, 1..=1);
    terminal.wait_for("step 1 failed: countersign key show user-ca ended with exit status: 1");
    for no in ["", "1", "skip"] {
        terminal.answer("type `again` to have it done again, or `stop`: ", no);
    }
    fs::rename(site.path("kept"), site.path("pin")).unwrap();
    terminal.answer("type `again` to have it done again, or `stop`: ", "again");
    terminal.interrupt("type 2 when it is done, or `stop`: ");
    let (ok, screen) = terminal.end();
    assert!(!ok, "{screen}");
    assert!(
        screen.contains("the ceremony was stopped in step 2: an operator interrupted it. What was done until then is in 2026-11-27, and was not undone"),
        "{screen}"
    );
    let said = transcript(&site);
    assert_eq!(said["outcome"]["stopped"]["step"], 2);
    let runs = said["steps"][0]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert!(
        runs[0]["errors"].as_str().unwrap().contains("pin") && runs[0]["problem"].is_string(),
        "{runs:?}"
    );
    assert!(
        runs[1]["output"].as_str().unwrap().contains("SHA256:") && runs[1]["problem"].is_null(),
        "{runs:?}"
    );
    let output = site.run(&["ceremony", "verify", DIRECTORY]);
    let said = text(&output.stdout);
    assert!(
        output.status.code() == Some(1) && said.contains("FAILED  outcome: it was stopped in step 2"),
        "{said}"
    );

    // Another ceremony does not write over it.
    let before = fs::read(site.path(DIRECTORY).join("transcript.json")).unwrap();
    let (ok, screen) = hold(&site, "script.toml").end();
    assert!(!ok && screen.contains("cannot make 2026-11-27, which must not be there yet"), "{screen}");
    assert_eq!(fs::read(site.path(DIRECTORY).join("transcript.json")).unwrap(), before);
}

#[test]
fn a_ceremony_whose_terminal_is_closed_leaves_what_it_did() {
    let site = served_site();
    short(&site, "[[step]]\ntext = \"Look.\"\ndo.key-show.key = \"user-ca\"\n[[step]]\ntext = \"Never.\"\n");
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    confirm(&mut terminal, 1..=1);
    terminal.wait_for("type 2 when it is done, or `stop`: ");
    terminal.close();
    let said = transcript(&site);
    assert!(said["steps"][0]["done"].is_string() && said["steps"][1]["done"].is_null(), "{said}");
    assert_ne!(said["outcome"], "complete");
    assert!(!site.run(&["ceremony", "verify", DIRECTORY]).status.success());
    let refused = site.run_refused(&["ceremony", "sign", DIRECTORY, "--key", "user-ca"], 1);
    assert!(refused.contains("no key vouches for half of one"), "{refused}");
}

#[test]
fn what_was_agreed_to_stays_so() {
    let site = served_site();
    short(&site, "[[step]]\ntext = \"Look.\"\ndo.key-show.key = \"user-ca\"\n");
    let config = fs::read_to_string(site.path("countersign.toml")).unwrap();
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    site.configure(&format!("{config}# changed\n"));
    confirm(&mut terminal, 1..=1);
    terminal.wait_for("configuration countersign.toml is not what it was when the operators agreed to it");
    site.configure(&config);
    terminal.answer("type `again` to have it done again, or `stop`: ", "again");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    let runs = transcript(&site)["steps"][0]["runs"].clone();
    assert!(runs[0]["status"].is_null() && runs[1]["status"] == "exit status: 0", "{runs}");
    site.run_ok(&["ceremony", "verify", DIRECTORY]);
    let refused = site.run_refused(&["ceremony", "sign", DIRECTORY, "--key", "user-ca"], 1);
    assert!(refused.contains("no key user-ca was made in this ceremony"), "{refused}");
}

#[test]
fn a_pin_that_is_typed_is_in_no_transcript() {
    let site = served_site();
    short(&site, "[[step]]\ntext = \"Change it.\"\ndo.token-change-pin.token = \"soft\"\n");
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    confirm(&mut terminal, 1..=1);
    terminal.answer("the new PIN: ", "typed-4711");
    terminal.answer("the new PIN again: ", "typed-4711");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok && screen.contains("the token has its new user PIN") && !screen.contains("4711"), "{screen}");
    assert_eq!(fs::read_to_string(site.path("pin")).unwrap().trim_end(), "typed-4711");
    for file in fs::read_dir(site.path(DIRECTORY)).unwrap() {
        let content = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!content.contains("4711"), "{content}");
    }
}

#[test]
fn a_ceremony_is_held_at_a_terminal() {
    let site = site();
    short(&site, BY_HAND);
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_countersign"), "ceremony", "run", "script.toml"]);
    let output = command.args(["--directory", DIRECTORY]).current_dir(site.dir()).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("a ceremony is held at a terminal, and there is none"), "{said}");
    assert!(!site.path(DIRECTORY).exists());
}

#[test]
fn a_signer_that_runs_is_asked_and_waited_for() {
    let site = served_site();
    short(&site, BY_HAND);
    let script = fs::read_to_string(site.path("script.toml")).unwrap();
    let recorded_there = format!("signer = \"running\"\nrecord_in = \"countersign.toml\"\n{script}");
    fs::write(site.path("script.toml"), recorded_there).unwrap();
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    terminal.answer("type 1 when it is done, or `stop`: ", "1");
    alice_and_bob(&mut terminal);
    terminal.wait_for("the transcript was not recorded: no signer runs here; start it");
    let daemon = site.serve();
    terminal.answer("type `again` to have it done again, or `stop`: ", "again");
    let (ok, screen) = terminal.end();
    assert!(ok && screen.contains("recorded as entry 2 of test.countersign.example/ledger"), "{screen}");
    site.run_ok(&["ceremony", "verify", DIRECTORY]);
    daemon.stop();
    assert_eq!(recorded(&site, "ledger.sqlite"), [("alice,bob".to_owned(), transcript_sha256(&site))]);
}

#[test]
fn interrupting_a_command_does_not_end_the_ceremony() {
    let site = served_site();
    let csr = "do.key-csr = { key = \"user-ca\", subject = [\"CN=A\"], out = \"csr\" }";
    short(&site, &format!("[[step]]\ntext = \"Ask.\"\n{csr}\n"));
    let script = fs::read_to_string(site.path("script.toml")).unwrap();
    fs::write(site.path("script.toml"), format!("signer = \"running\"\n{script}")).unwrap();
    // One that never answers.
    let signer = UnixListener::bind(site.path("signer.sock")).unwrap();
    let mut terminal = hold(&site, "script.toml");
    alice_and_bob(&mut terminal);
    confirm(&mut terminal, 1..=1);
    let (_asked, _) = signer.accept().unwrap();
    terminal.interrupt("");
    terminal.wait_for("step 1 failed: countersign key csr user-ca ended with signal: 2 (SIGINT)");
    terminal.answer("type `again` to have it done again, or `stop`: ", "stop");
    let (ok, _) = terminal.end();
    assert!(!ok && transcript(&site)["steps"][0]["runs"][0]["status"] == "signal: 2 (SIGINT)");
}
