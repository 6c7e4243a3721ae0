#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::{LEAST, parse};
use crate::config::{Config, Fault};

/// `LEAST` with a YubiKey as its token, these lines in its section, and these in its key's.
fn with(token: &str, key: &str) -> Result<Config, Vec<Fault>> {
    let module = "module = \"/module.so\"\nlabel = \"one\"\n";
    assert!(LEAST.contains(module));
    let text = LEAST.replace(module, &format!("yubikey = 12345678\n{token}\n"));
    parse(&text.replace("token = \"one\"", &format!("token = \"one\"\n{key}")))
}

fn only_fault(result: Result<Config, Vec<Fault>>) -> String {
    let faults = result.unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    format!("{}: {}", faults[0].at, faults[0].message())
}

#[test]
fn a_yubikey_has_one_session_and_waits_longer_for_a_touch() {
    let config = with("", "slot = \"9c\"").unwrap();
    let token = &config.tokens[0];
    assert_eq!((token.sessions, token.queue, token.deadline.as_secs()), (1, 1024, 10));
    assert_eq!(config.keys[0].slot.unwrap().to_string(), "9c");
    let config = with("interactive = true", "slot = \"82\"").unwrap();
    assert_eq!(config.tokens[0].deadline.as_secs(), 30);
}

#[test]
fn a_yubikey_wants_a_slot_for_each_key_and_nothing_of_pkcs11() {
    for (token, key, fault) in [
        ("", "", "key.user-ca.slot: is missing"),
        ("", "slot = \"9b\"", "key.user-ca.slot: should be a PIV slot"),
        ("", "slot = \"9c\"\nlabel = \"x\"", "key.user-ca.label: is for tokens behind a PKCS#11 module"),
        ("", "slot = \"9c\"\nid = \"01\"", "key.user-ca.id: is for tokens behind a PKCS#11 module"),
        ("module = \"/m.so\"", "slot = \"9c\"", "token.one.module: is not a key of this section"),
        ("sessions = 4", "slot = \"9c\"", "token.one.sessions: is not a key of this section"),
    ] {
        let found = only_fault(with(token, key));
        assert!(found.starts_with(fault), "{found}");
    }
    let modules = LEAST.replace("token = \"one\"", "token = \"one\"\nslot = \"9c\"");
    assert_eq!(only_fault(parse(&modules)), "key.user-ca.slot: is for YubiKeys: delete it");
}

#[test]
fn a_key_on_tokens_of_both_kinds_has_a_label_and_a_slot() {
    let other = "[token.two]\nmodule = \"/module.so\"\nlabel = \"two\"\npin_file = \"p\"\n";
    let both = "token = [\"one\", \"two\"]\nlabel = \"x\"\n";
    let text = |slot: &str| {
        let yubikey = LEAST.replace("module = \"/module.so\"\nlabel = \"one\"\n", "yubikey = 1\n");
        format!("{}{other}", yubikey.replace("token = \"one\"\n", &format!("{both}{slot}\n")))
    };
    let config = parse(&text("slot = \"9c\"")).unwrap();
    assert_eq!((config.keys[0].label.as_str(), config.keys[0].slot.is_some()), ("x", true));
    assert!(only_fault(parse(&text(""))).starts_with("key.user-ca.slot: is missing"));
}

#[test]
fn two_keys_in_one_slot_are_one_key_and_one_card_is_one_token() {
    let other = "[key.other]\npurpose = \"ssh-host-ca\"\nscheme = \"ed25519\"\ntoken = \"one\"\nslot = \"9C\"\n\
                 [key.other.allow.fleet]\ncallers = [\"dns:a.example\"]\nprincipals = [\"*.example\"]\n\
                 max_lifetime = \"1h\"\nbudget = \"1/h\"\n";
    let yubikey = LEAST.replace("module = \"/module.so\"\nlabel = \"one\"\n", "yubikey = 1\n");
    let text = yubikey.replace("token = \"one\"", "token = \"one\"\nslot = \"9c\"");
    let fault = only_fault(parse(&format!("{text}{other}")));
    assert!(fault.contains("is the same key as"), "{fault}");
    let twice = "[token.two]\nyubikey = 1\npin_file = \"p\"\ninteractive = true\n";
    let faults = parse(&format!("{text}{twice}")).unwrap_err();
    assert!(faults.iter().any(|fault| fault.message().starts_with("is the same token as")), "{faults:?}");
}
