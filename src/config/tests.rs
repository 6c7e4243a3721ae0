#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "tests")]
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Visitor;
use serde::de::value::Error;

use crate::config::{Config, Fault, blocklist, bundles, key, ledger, profile, server, token};

mod faults;
mod revocation;
mod rotation;
mod tokens;
mod yubikey;

const EXAMPLE: &str = concat!(
    include_str!("../../countersign.example.toml"),
    include_str!("../../countersign.x509.example.toml"),
    include_str!("../../countersign.yubikey.example.toml")
);

/// The least that is a configuration.
const LEAST: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "tls.crt"
tls_key = "tls.key"
client_ca = "/ca.crt"

[ledger]
path = "ledger.sqlite"
origin = "test.example/log"

[token.one]
module = "/module.so"
label = "one"
pin_file = "pin"

[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ed25519"
token = "one"

[key.user-ca.allow.staff]
callers = ["dns:frontend.example"]
principals = ["alice"]
max_lifetime = "1h"
budget = "500/h"
"#;

fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse(Path::new("/etc/cs/cs.toml"), text)
}

/// As [`parse`], where the file that is named like a list is one.
fn parse_with_lists(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse_with(Path::new("/etc/cs/cs.toml"), text, &|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        Ok(match name {
            "blocklist.dat" => vec![7; 32],
            "blacklist.RSA-2048" => b"# a comment\nd10d992069d592fe1766\n".to_vec(),
            "blocked-keys" => format!("{}\n", "5a".repeat(32)).into_bytes(),
            other => return Err(std::io::Error::other(format!("nothing is called {other}"))),
        })
    })
}

#[test]
fn least_configuration_has_the_documented_defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.server.tls_key, Path::new("/etc/cs/tls.key"));
    assert_eq!(config.server.client_ca, Path::new("/ca.crt"));
    assert_eq!(
        (config.server.max_connections, config.server.shutdown_grace),
        (1024, Duration::from_secs(10))
    );
    assert_eq!(config.server.unix_socket, None);
    assert_eq!(config.ledger.clock_tolerance, Duration::from_secs(5));
    let token = &config.tokens[0];
    assert_eq!(
        (token.processes, token.sessions, token.queue, token.deadline),
        (1, 4, 1024, Duration::from_secs(10))
    );
    assert!(token.environment.is_empty() && token.pkcs11().unwrap().serial.is_none());
    let key = &config.keys[0];
    assert_eq!((key.label.as_str(), &key.id, &key.fingerprint), ("user-ca", &None, &None));
    assert_eq!(
        config.policy.canonical_text().lines().skip(3).collect::<Vec<_>>().join("\n"),
        r#"caller "dns:frontend.example"
subject_key "ecdsa-sha2-nistp256"
subject_key "ecdsa-sha2-nistp384"
subject_key "ecdsa-sha2-nistp521"
subject_key "sk-ecdsa-sha2-nistp256@openssh.com"
subject_key "sk-ssh-ed25519@openssh.com"
subject_key "ssh-ed25519"
min_rsa_bits 3072
max_principals 16
principal "alice"
key_id any
backdating 60
start_within 60
min_lifetime 1
max_lifetime 3600
budget 500/3600
burst 500
volume none
freeze_after 100/3600"#
    );
}

#[test]
fn example_is_a_configuration() {
    let config = parse(EXAMPLE).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(config.keys.len(), 8);
}

#[test]
fn example_is_a_configuration_with_every_commented_key_too() {
    let config = parse_with_lists(&uncommented(EXAMPLE)).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(config.server.unix_socket.is_some());
    assert_eq!(config.policy.blocklists().len(), 3);
}

#[test]
fn example_shows_the_defaults_that_hold() {
    let kept: Vec<_> = EXAMPLE.lines().filter(|line| !is_commented_key(line)).collect();
    let without = kept.join("\n");
    let (with, without) = (parse(&only_defaults(EXAMPLE)).unwrap(), parse(&without).unwrap());
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

#[test]
fn example_documents_every_key() {
    let example = uncommented(EXAMPLE);
    let table: toml::Table = example.parse().unwrap();
    let profile = &table["key"]["user-ca"]["allow"]["staff"];
    let web = &table["key"]["tls-ca"]["allow"]["web"];
    let departments = &table["key"]["tls-ca"]["allow"]["departments"];
    let without = |keys: &[&'static str], others: &[&str]| {
        keys.iter().copied().filter(|key| !others.contains(key)).collect::<Vec<_>>()
    };
    // They take the place of `pin_file`.
    let of_services = ["pin_credential", "pin_pad", "pin_none"];
    for key in of_services {
        assert!(EXAMPLE.contains(&format!("\n# {key} = ")), "the example file lacks {key}");
    }
    // Of a section that nobody has by default.
    for key in keys_of::<bundles::Raw>() {
        assert!(EXAMPLE.contains(&format!("\n# {key} = ")), "the example file lacks {key}");
    }
    assert!(EXAMPLE.contains("\n# succeeds = \""));
    let of_witnesses = ["quorum"];
    for key in keys_of::<ledger::RawWitness>().iter().chain(&of_witnesses) {
        assert!(EXAMPLE.contains(&format!("\n# {key} = ")), "the example file lacks {key}");
    }
    let of_ca = ["max_path_length", "permitted_names", "excluded_names"];
    let of_others = ["max_path_length", "permitted_names", "excluded_names", "unconstrained"];
    let of_x509 = ["slot", "certificate", "issuer_certificate", "succeeds"];
    let of_tokens = ["label", "id", "slot", "fingerprint", "accept", "issuer_certificate", "succeeds"];
    let of_all = ["label", "id", "slot", "fingerprint", "accept", "succeeds"];
    let of_modules = ["label", "id", "certificate", "issuer_certificate", "succeeds"];
    let lists = &table["key"]["tls-ca"]["allow"]["lists"];
    let responses = &table["key"]["tls-ocsp"]["allow"]["responses"];
    for (section, keys) in [
        (&table["server"], keys_of::<server::Raw>().to_vec()),
        (&table["ledger"], without(keys_of::<ledger::Raw>(), &of_witnesses)),
        (&table["blocklist"], keys_of::<blocklist::Raw>().to_vec()),
        (&table["token"]["soft"], without(keys_of::<token::Raw>(), &of_services)),
        (&table["token"]["yubikey"], without(keys_of::<token::RawYubiKey>(), &of_services)),
        (&table["key"]["user-ca"], without(keys_of::<key::Raw>(), &of_x509)),
        (&table["key"]["small-ca"], without(keys_of::<key::Raw>(), &of_modules)),
        (&table["key"]["tls-ca"], without(keys_of::<key::Raw>(), &of_tokens)),
        (profile, keys_of::<profile::ssh::Raw>().to_vec()),
        (profile, keys_of::<profile::budget::Raw>().to_vec()),
        (&profile["critical_options"], keys_of::<profile::ssh::RawCriticalOptions>().to_vec()),
        (web, without(keys_of::<profile::x509::Raw>(), &of_others)),
        (departments, of_ca.to_vec()),
        (&table["key"]["tls-ocsp"], without(keys_of::<key::Raw>(), &of_all)),
        (lists, keys_of::<profile::crl::Raw>().to_vec()),
        (lists, vec!["extension_values"]),
        (
            &table["key"]["root"]["allow"]["itself"],
            vec!["callers", "subject", "max_path_length", "max_lifetime"],
        ),
        (&table["key"]["tls-ca"]["allow"]["request"], vec!["callers", "subject"]),
        (responses, keys_of::<profile::ocsp::Raw>().to_vec()),
    ] {
        assert!(!keys.is_empty());
        for key in keys {
            assert!(section.get(key).is_some(), "the example files lack {key}");
        }
    }
}

#[test]
fn digest_is_of_what_the_rules_say_and_nothing_else() {
    let digest = |text: &str| parse(text).unwrap().policy.digest();
    let same =
        LEAST.replace("[\"alice\"]", "[ \"alice\" ] # who").replace("\"1h\"", "\"60m\"\nmax_principals = 16");
    assert_eq!(digest(LEAST), digest(&same));
    assert_eq!(digest(LEAST), digest(&LEAST.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"")));
    let changes = [
        ("[\"alice\"]", "[\"bob\"]"),
        ("[\"alice\"]", "[\"alice\", \"bob\"]"),
        ("\"1h\"", "\"2h\""),
        ("\"1h\"", "\"1h\"\nmax_principals = 1"),
        ("\"1h\"", "\"1h\"\nmin_rsa_bits = 2048"),
        ("\"1h\"", "\"1h\"\nbackdating = \"0s\""),
        ("\"1h\"", "\"1h\"\nstart_within = \"0s\""),
        ("\"1h\"", "\"1h\"\nkey_id = [\"*\"]"),
        ("\"1h\"", "\"1h\"\nsubject_keys = [\"ssh-ed25519\"]"),
        ("\"1h\"", "\"1h\"\nextensions = [\"permit-pty\"]"),
        ("\"1h\"", "\"1h\"\nextension_values.\"a@b\" = [\"x\"]"),
        ("\"1h\"", "\"1h\"\ncritical_options.verify-required = true"),
        ("\"1h\"", "\"1h\"\ncritical_options.source-address = [\"::/0\"]"),
        ("dns:frontend.example", "dns:other.example"),
        ("allow.staff", "allow.others"),
        ("[key.user-ca]\npurpose = \"ssh-user-ca\"", "[key.user-ca]\npurpose = \"ssh-host-ca\""),
    ];
    for (from, to) in changes {
        let other = LEAST.replace(from, to);
        assert_ne!(other, LEAST, "{from}");
        assert_ne!(digest(LEAST), digest(&other), "{to}");
    }
}

#[test]
fn digest_is_of_the_lists_of_keys_too_and_not_of_their_names_or_order() {
    let config = |lists: &str| parse_with_lists(&format!("{LEAST}[blocklist]\n{lists}")).unwrap().policy;
    let both = config("openssl = [\"blacklist.RSA-2048\"]\nbadkeys = [\"blocklist.dat\"]\n");
    let moved = config("badkeys = [\"/elsewhere/blocklist.dat\"]\nopenssl = [\"blacklist.RSA-2048\"]\n");
    assert_eq!(both.digest(), moved.digest());
    let lists: Vec<_> = both.canonical_text().lines().skip(1).take(2).map(str::to_owned).collect();
    let of_32_sevens = "blocklist badkeys 4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0";
    assert_eq!(lists[0], of_32_sevens);
    assert!(lists[1].starts_with("blocklist openssl "), "{lists:?}");
    let one = config("badkeys = [\"blocklist.dat\"]\n");
    let digests = [both.digest(), one.digest(), parse(LEAST).unwrap().policy.digest(), config("").digest()];
    assert_eq!(digests[2], digests[3]);
    assert!(digests[0] != digests[1] && digests[1] != digests[2]);
}

#[test]
fn a_list_of_keys_that_cannot_be_read_is_a_fault_with_its_line_and_what_to_do() {
    let faults = |lists: &str| {
        let faults = parse_with_lists(&format!("{LEAST}[blocklist]\n{lists}\n")).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let line = LEAST.lines().count() + 2;
    assert_eq!(
        faults("openssl = [\"gone\"]"),
        [format!(
            "/etc/cs/cs.toml:{line}: blocklist.openssl: cannot read the list /etc/cs/gone: nothing is called gone"
        )]
    );
    let other = faults("fingerprints = [\"blacklist.RSA-2048\", \"blocklist.dat\"]");
    assert_eq!(other.len(), 2, "{other:?}");
    assert!(
        other[0].contains("blacklist.RSA-2048 line 2 should be `SHA256:` and 43 characters"),
        "{other:?}"
    );
    assert!(faults("openssl = []")[0].contains("is empty"));
    assert!(faults("openssh = [\"x\"]")[0].contains("is not a key of this section"));
    let twice = faults("openssl = [\"blacklist.RSA-2048\", \"blacklist.RSA-2048\"]");
    assert!(twice[0].contains("twice"), "{twice:?}");
    let unread = parse(&format!("{LEAST}[blocklist]\nbadkeys = [\"blocklist.dat\"]\n")).unwrap_err();
    assert!(unread[0].message().contains("no file is opened here"), "a policy is never without its lists");
}

#[test]
fn load_reads_lists_of_keys_beside_the_file_and_nothing_but_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countersign.toml");
    std::fs::write(directory.path().join("list"), "d10d992069d592fe1766\n").unwrap();
    std::fs::write(&path, format!("{LEAST}[blocklist]\nopenssl = [\"list\"]\n")).unwrap();
    assert_eq!(Config::load(&path).unwrap().policy.blocklists()[0].count(), 1);
    std::fs::write(&path, format!("{LEAST}[blocklist]\nopenssl = [\"/dev/zero\"]\n")).unwrap();
    assert!(Config::load(&path).unwrap_err()[0].message().ends_with("it is not a file"));
}

#[test]
fn load_reads_the_file_and_says_if_it_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countersign.toml");
    let missing = Config::load(&path).unwrap_err();
    assert!(
        missing[0].to_string().starts_with(&format!("{}: cannot read it: ", path.display())),
        "{missing:?}"
    );
    std::fs::write(&path, LEAST).unwrap();
    assert_eq!(Config::load(&path).unwrap().ledger.path, directory.path().join("ledger.sqlite"));
}

/// A key that may be left out: `#key = value`.
fn is_commented_key(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| !rest.starts_with([' ', '-']) && rest.contains(" = "))
}

fn uncommented(text: &str) -> String {
    let lines: Vec<_> =
        text.lines().map(|line| if is_commented_key(line) { &line[1..] } else { line }).collect();
    lines.join("\n")
}

/// The text with those commented keys whose comment does not say that what they show is an example.
fn only_defaults(text: &str) -> String {
    let (mut comment, mut out) = (String::new(), String::new());
    for line in text.lines() {
        if line.starts_with("# ") {
            comment.push_str(line);
        }
        let is_default = is_commented_key(line) && !comment.contains("Default: none");
        if is_default {
            out.push_str(&line[1..]);
        } else if !is_commented_key(line) {
            out.push_str(line);
        }
        out.push('\n');
        if line.is_empty() {
            comment.clear();
        }
    }
    out
}

/// The keys that a raw struct knows, from serde itself.
fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a Cell<&'static [&'static str]>);

    impl<'de> serde::Deserializer<'de> for Ask<'_> {
        type Error = Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.0.set(fields);
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(serde::de::Error::custom("only asked"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let fields = Cell::default();
    assert!(T::deserialize(Ask(&fields)).is_err());
    fields.get()
}
