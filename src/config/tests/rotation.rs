#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use super::{LEAST, parse};

/// A key of this name that is to take the place of `old`.
fn key(name: &str, purpose: &str, old: &str) -> String {
    let profile = match purpose {
        "ssh-user-ca" | "ssh-host-ca" => "principals = [\"alice\"]\n",
        "x509-ca" => "signs = \"tls-server\"\ndns_names = [\"www.example.org\"]\n",
        _ => "signs = \"crl\"\nmax_entries = 3\nmax_next_update = \"7d\"\n",
    };
    let lifetime = if purpose == "x509-crl" { "" } else { "max_lifetime = \"1h\"\n" };
    let certificate = if purpose == "x509-crl" { "certificate = \"c.pem\"\n" } else { "" };
    format!(
        "[key.{name}]\npurpose = \"{purpose}\"\nscheme = \"ed25519\"\ntoken = \"one\"\nsucceeds = \"{old}\"\n{certificate}\
         [key.{name}.allow.staff]\ncallers = [\"uid:7\"]\n{profile}{lifetime}budget = \"1/h\"\n"
    )
}

fn faults(more: &str) -> Vec<String> {
    let faults = parse(&format!("{LEAST}{more}")).unwrap_err();
    faults.iter().map(|fault| format!("{}: {}", fault.at, fault.message())).collect()
}

#[test]
fn a_key_takes_the_place_of_one_of_its_purpose() {
    let chain = [key("second", "ssh-user-ca", "user-ca"), key("first", "ssh-user-ca", "second")].concat();
    let config = parse(&format!("{LEAST}{chain}")).unwrap();
    let named: Vec<_> =
        config.keys.iter().map(|key| key.succeeds.as_ref().map(ToString::to_string)).collect();
    assert_eq!(named, [Some("second".to_owned()), Some("user-ca".to_owned()), None]);
}

#[test]
fn lines_that_cannot_be_are_faults() {
    let user = |name: &str, old: &str| key(name, "ssh-user-ca", old);
    let cases = [
        (
            user("new", "user-cb"),
            &["key.new.succeeds: is \"user-cb\", but there is no section [key.user-cb]"][..],
        ),
        (user("new", "User CA"), &["key.new.succeeds: a name is 1 to 64"]),
        (user("new", "new"), &["key.new.succeeds: is the key itself"]),
        (
            key("new", "ssh-host-ca", "user-ca"),
            &["key.new.succeeds: is \"user-ca\", which is for ssh-user-ca"],
        ),
        (key("new", "x509-crl", "user-ca"), &["key.new.succeeds: is for keys that sign certificates"]),
        (
            [user("one-more", "user-ca"), user("other", "user-ca")].concat(),
            &["key.other.succeeds: is \"user-ca\", whose place key.one-more is to take already"],
        ),
        (
            [user("one-more", "other"), user("other", "one-more")].concat(),
            &[
                "key.one-more.succeeds: is \"other\", and goes round",
                "key.other.succeeds: is \"one-more\", and goes round",
            ],
        ),
    ];
    for (more, says) in cases {
        let found = faults(&more);
        assert_eq!(found.len(), says.len(), "{found:#?}");
        for (found, says) in found.iter().zip(says) {
            assert!(found.starts_with(says), "{found}");
        }
    }
}

#[test]
fn bundles_have_a_directory_and_patterns_for_host_cas() {
    let bundles = |more: &str| format!("[bundles]\ndirectory = \"bundles\"\n{more}");
    let config = parse(&format!("{LEAST}{}", bundles(""))).unwrap().bundles.unwrap();
    assert_eq!((config.directory.as_path(), config.host_patterns.len()), (Path::new("/etc/cs/bundles"), 0));
    let host = key("host-ca", "ssh-host-ca", "host-ca").replace("succeeds = \"host-ca\"\n", "");
    let patterns = "host_patterns = [\"*.example.org\", \"10.0.0.*\"]\n";
    let config = parse(&format!("{LEAST}{host}{}", bundles(patterns))).unwrap().bundles.unwrap();
    assert_eq!(config.host_patterns, ["*.example.org", "10.0.0.*"]);
    for (more, says) in [
        (format!("{host}{}", bundles("")), "bundles.host_patterns: is missing"),
        ("[bundles]\n".to_owned(), "bundles.directory: is missing"),
        (bundles("host_patterns = [\"a b\"]\n"), "bundles.host_patterns: \"a b\" is no pattern"),
        (bundles("host_patterns = [\"a,b\"]\n"), "bundles.host_patterns: \"a,b\" is no pattern"),
        (bundles("file = \"x\"\n"), "bundles.file: is not a key of this section"),
    ] {
        let found = faults(&more);
        assert!(found.len() == 1 && found[0].starts_with(says), "{found:#?}");
    }
}
