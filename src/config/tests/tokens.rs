#![allow(clippy::unwrap_used, reason = "tests")]
use std::os::unix::fs::symlink;

use super::{LEAST, parse};

/// The faults of `LEAST` with these lines in its token's section, and in that of another one with its key.
fn faults(one: &str, two: &str) -> Vec<String> {
    let device = "module = \"/module.so\"\nlabel = \"one\"\n";
    assert!(LEAST.contains(device));
    let text = LEAST.replace(device, one).replace("token = \"one\"", "token = [\"one\", \"two\"]");
    let faults = parse(&format!("{text}[token.two]\npin_file = \"other\"\n{two}")).err().unwrap_or_default();
    faults.iter().map(|fault| fault.to_string().replace("/etc/cs/cs.toml:", "")).collect()
}

#[test]
fn one_token_in_two_sections_is_a_fault_however_they_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("module.so"), "").unwrap();
    symlink(path("module.so"), path("link.so")).unwrap();
    symlink(dir.path(), path("directory")).unwrap();
    let module = |name: &str, more: &str| {
        format!("module = {:?}\nlabel = \"one\"\n{more}", path(name).display().to_string())
    };
    let one = module("module.so", "");
    for two in ["module.so", "link.so", "directory/link.so"] {
        let two = module(two, "");
        assert_eq!(
            faults(&one, &two),
            [
                "27: token.two: is the same token as token.one of line 12: a token has one section, with one PIN; put what both are for into one"
            ],
            "{two}"
        );
    }
    let serial = |serial: u8| module("link.so", &format!("serial = \"{serial}\"\n"));
    let stored = |store: &str| module("link.so", &format!("environment.STORE = {store:?}\n"));
    for (one, two, are_one) in [
        (&one, &serial(1), true),
        (&serial(1), &one, true),
        (&serial(1), &serial(1), true),
        (&serial(1), &serial(2), false),
        (&one, &stored("a"), false),
        (&stored("a"), &stored("b"), false),
        (&stored("a"), &stored("a"), true),
        (&one, &module("other.so", ""), false),
        (&one, &one.replace("\"one\"", "\"two\""), false),
    ] {
        let faults = faults(one, two);
        assert_eq!(faults.len(), usize::from(are_one), "{one}{two}{faults:?}");
    }
}
