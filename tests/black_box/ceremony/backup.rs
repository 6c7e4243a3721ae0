//! A CA's key with a backup, made and wrapped before witnesses.

use std::fs;

use super::{DIRECTORY, alice_and_bob, confirm, hold, short, site, transcript};
use crate::site::{Site, USER_CA};

/// The section of a user CA whose key may leave its token.
fn section(accept: &str) -> String {
    USER_CA.replace("token = \"soft\"\n", &format!("token = \"soft\"\naccept = [{accept}]\n"))
}

const STEPS: &str = r#"
[[step]]
text = "Make the CA's key."
do.key-generate = { key = "user-ca", backup = true, record = "user-ca.record" }
[[step]]
text = "Read its record aloud."
do.key-record-verify.file = "user-ca.record"
[[step]]
text = "Wrap it for the safe."
do.key-wrap = { key = "user-ca", wrapping_key = "to.json", recipient = "RECIPIENT", why = "the safe", so_pin_file = "so-pin", out = "user-ca.json" }
"#;

#[test]
fn a_ca_with_a_backup_is_made_before_witnesses() {
    let safe = Site::without_keys(&section(
        "\"extractable\", \"once-extractable\", \"once-not-sensitive\", \"not-local\"",
    ));
    let said = safe.run_ok(&["key", "wrapping-key", "--token", "soft", "--out", "to.json"]);
    let recipient = said.split("its fingerprint is ").nth(1).unwrap().lines().next().unwrap();
    let site = site();
    site.configure(&format!("{}{}", site.base_config(), section("\"extractable\", \"once-extractable\"")));
    let so_pin = site.path("so-pin");
    site.run_ok(&["token", "init", "soft", "--generate-pins", "--so-pin-file", so_pin.to_str().unwrap()]);
    fs::copy(safe.path("to.json"), site.path("to.json")).unwrap();
    short(&site, &STEPS.replace("RECIPIENT", recipient));

    let mut terminal = hold(&site, "script.toml");
    for shown in [
        "  input to.json",
        "countersign key generate user-ca --config=countersign.toml --record=user-ca.record --backup",
        "countersign key record verify --config=countersign.toml -- user-ca.record",
        "countersign key wrap user-ca --config=countersign.toml --for=to.json",
        "asks a signer, which is started with countersign.toml and stopped after",
    ] {
        terminal.wait_for(shown);
    }
    alice_and_bob(&mut terminal);
    confirm(&mut terminal, 1..=2);
    terminal.wait_for("type 3 to have it done, or `stop`: ");
    // Somebody else's wrapping key is not what was agreed to.
    fs::rename(site.path("to.json"), site.path("kept")).unwrap();
    fs::write(site.path("to.json"), "{}").unwrap();
    terminal.type_line("3");
    terminal.wait_for("input to.json is not what it was when the operators agreed to it");
    fs::rename(site.path("kept"), site.path("to.json")).unwrap();
    terminal.answer("type `again` to have it done again, or `stop`: ", "again");
    alice_and_bob(&mut terminal);
    let (ok, screen) = terminal.end();
    assert!(ok, "{screen}");
    let verified = site.run_ok(&["ceremony", "verify", DIRECTORY, "--files", "."]);
    for file in ["user-ca.record", "user-ca.record.sig", "user-ca.json", "to.json"] {
        let good = |line: &str| line.starts_with("good ") && line.contains(&format!("{file}: SHA-256"));
        assert!(verified.lines().any(good), "{file}: {verified}");
    }

    let fingerprint = transcript(&site)["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    let from = site.path("user-ca.json").display().to_string();
    let restored = safe.run_ok(&["key", "unwrap", "user-ca", "--from", &from, "--fingerprint", &fingerprint]);
    assert!(restored.starts_with("restored key user-ca onto token soft"), "{restored}");
}
