//! Keys that come from elsewhere: out of files, or wrapped by another token.

use std::process::Command;

use serde_json::Value;

use crate::load::Caller;
use crate::promises::{ends_well, ssh_keygen_verifies};
use crate::site::{Site, text};
use crate::token::{Kind, P256, Scheme, Token, key_section};

/// What every token says of a key that it was shown, whatever else it says.
pub const IMPORTED: &str =
    "accept = [\"not-local\", \"once-not-sensitive\", \"once-extractable\", \"decrypts\"]\n";

/// A key that `ssh-keygen` makes is imported, served, and told apart from one that was made in the token.
pub async fn an_imported_key_of_every_scheme_serves(kind: Kind) {
    let named: Vec<_> = kind.schemes().iter().map(|scheme| (format!("ca-{}", scheme.0), *scheme)).collect();
    let sections: Vec<_> = named.iter().map(|(name, scheme)| key_section(name, scheme.0, IMPORTED)).collect();
    let keys: Vec<_> = named.iter().map(|(name, scheme)| (name.as_str(), *scheme)).collect();
    let token = Token::without_keys(kind, &keys);
    token.configure_sections(&sections.concat(), "");
    for (name, scheme) in &named {
        let fingerprint = ssh_keygen(&token.site, name, *scheme);
        let said = token.site.run_ok(&["key", "import", name, "--from", name]);
        assert!(said.contains("a signature of it verifies under the same public key"), "{said}");
        assert!(said.contains(&fingerprint), "{said}");
        let shown: Value =
            serde_json::from_str(&token.site.run_ok(&["key", "show", name, "--json"])).unwrap();
        for (attribute, value) in [
            ("CKA_LOCAL", false),
            ("CKA_ALWAYS_SENSITIVE", false),
            ("CKA_NEVER_EXTRACTABLE", false),
            ("CKA_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
        ] {
            assert_eq!(shown["attributes"][attribute], value, "{attribute}: {shown}");
        }
    }
    let daemon = token.site.serve();
    for (name, _) in &named {
        let caller = Caller::new(&token.site, &daemon, name).await;
        let line = caller.sign().await.unwrap().to_openssh_line("");
        assert!(ssh_keygen_verifies(&token.site, &line), "{name}: {line}");
    }
    ends_well(daemon);
    token.configure_sections(&sections.concat().replace("\"not-local\", ", ""), "");
    let message = token.site.run_refused(&["serve"], 2);
    assert!(message.contains("CKA_LOCAL false") && message.contains("not-local"), "{message}");
}

/// Its vendor's own way is another command; ours says so, and the token is as it was.
pub async fn a_token_that_takes_no_key_says_so_and_keeps_nothing(kind: Kind) {
    let token = Token::without_keys(kind, &[("user-ca", P256)]);
    token.configure_sections(&key_section("user-ca", P256.0, IMPORTED), "");
    ssh_keygen(&token.site, "old", P256);
    let message = token.site.run_refused(&["key", "import", "user-ca", "--from", "old"], 1);
    assert!(
        message.contains("nothing was changed on the token: the token takes no private key in this way"),
        "{message}"
    );
    assert!(message.contains("C_CreateObject failed: CKR_ATTRIBUTE_VALUE_INVALID"), "{message}");
    let listed: Value = serde_json::from_str(&token.site.run_ok(&["key", "list", "--json"])).unwrap();
    assert!(listed[0]["problem"].as_str().unwrap().contains("the token has no private key yet"), "{listed}");
}

/// A key in a file of this name; its fingerprint.
pub fn ssh_keygen(site: &Site, name: &str, (_, key_type): Scheme) -> String {
    let kind: &[&str] = match key_type {
        "EC:prime256v1" => &["-t", "ecdsa", "-b", "256"],
        "EC:secp384r1" => &["-t", "ecdsa", "-b", "384"],
        "EC:secp521r1" => &["-t", "ecdsa", "-b", "521"],
        "EC:ed25519" => &["-t", "ed25519"],
        _ => &["-t", "rsa", "-b", "2048"],
    };
    run(site, &[&["-q", "-f", name, "-C", "old CA", "-N", ""], kind].concat());
    let said = run(site, &["-l", "-f", name]);
    said.split_whitespace().nth(1).unwrap().to_owned()
}

fn run(site: &Site, args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).current_dir(site.dir()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
