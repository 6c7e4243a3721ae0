//! Profiles for CRLs and OCSP responses: their defaults, and each bound beyond itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::{LEAST, parse};

/// One key of each purpose that signs them, appended to [`LEAST`]; it begins at line 27.
const KEYS: &str = r#"[key.ca]
purpose = "x509-ca"
scheme = "ed25519"
token = "one"
certificate = "ca.pem"
[key.ca.allow.web]
budget = "9/h"
callers = ["dns:acme"]
signs = "tls-server"
dns_names = ["*.example.org"]
max_lifetime = "90d"
[key.ca.allow.lists]
budget = "9/h"
callers = ["dns:lists"]
signs = "crl"
max_next_update = "7d"
[key.ca.allow.responses]
budget = "9/h"
callers = ["dns:ocsp"]
signs = "ocsp-response"
max_next_update = "1d"
[key.lists]
purpose = "x509-crl"
scheme = "ed25519"
token = "one"
certificate = "lists.pem"
[key.lists.allow.all]
budget = "9/h"
callers = ["dns:lists"]
signs = "crl"
max_next_update = "8d"
[key.responder]
purpose = "ocsp"
scheme = "ed25519"
token = "one"
certificate = "responder.pem"
issuer_certificate = "ca.pem"
[key.responder.allow.all]
budget = "9/h"
callers = ["dns:ocsp"]
signs = "ocsp-response"
max_next_update = "2d"
"#;

fn faults_with(from: &str, to: &str) -> Vec<String> {
    assert_eq!(KEYS.matches(from).count(), 1, "{from:?} is in the text once");
    let faults = parse(&format!("{LEAST}{}", KEYS.replace(from, to))).unwrap_err();
    faults.iter().map(|fault| fault.to_string().replace("/etc/cs/cs.toml:", "")).collect()
}

/// A text of `KEYS`, what it is replaced by, and how the one fault begins.
#[rustfmt::skip]
const BOUNDS: &[(&str, &str, &str)] = &[
    ("\"tls-server\"", "\"crls\"", "35: key.ca.allow.web.signs: is \"crls\"; it is one of tls-server, tls-client, mtls-service, smart-card-logon, code-signing, ocsp-responder, intermediate-ca, crl, ocsp-response"),
    ("signs = \"crl\"\nmax_next_update = \"8d\"", "signs = \"ocsp-response\"\nmax_next_update = \"8d\"", "56: key.lists.allow.all.signs: is not what a key of purpose x509-crl signs; that is crl"),
    ("signs = \"crl\"\nmax_next_update = \"8d\"", "signs = \"tls-client\"\nuris = [\"x:y\"]\nmax_lifetime = \"8d\"", "56: key.lists.allow.all.signs: is not what a key of purpose x509-crl signs; that is crl"),
    ("signs = \"ocsp-response\"\nmax_next_update = \"2d\"", "signs = \"crl\"\nmax_next_update = \"2d\"", "67: key.responder.allow.all.signs: is not what a key of purpose ocsp signs; that is ocsp-response"),
    ("\"7d\"", "\"0s\"", "42: key.ca.allow.lists.max_next_update: is \"0s\"; 1s to"),
    ("\"7d\"", "\"11years\"", "42: key.ca.allow.lists.max_next_update: is \"11years\"; 1s to"),
    ("max_next_update = \"7d\"", "", "38: key.ca.allow.lists.max_next_update: is missing"),
    ("callers = [\"dns:lists\"]\nsigns = \"crl\"\nmax_next_update = \"7d\"", "signs = \"crl\"\nmax_next_update = \"7d\"", "38: key.ca.allow.lists.callers: is missing"),
    ("\"7d\"", "\"7d\"\nbackdating = \"61m\"", "43: key.ca.allow.lists.backdating: is \"61m\"; 0s to 1h"),
    ("\"7d\"", "\"7d\"\nstart_within = \"25h\"", "43: key.ca.allow.lists.start_within: is \"25h\"; 0s to 1day"),
    ("\"7d\"", "\"7d\"\nmax_entries = 65537", "43: key.ca.allow.lists.max_entries: is 65537; 0 to 65536"),
    ("\"7d\"", "\"7d\"\nmax_entries = -1", "43: key.ca.allow.lists.max_entries: is -1; 0 to 65536"),
    ("\"7d\"", "\"7d\"\nnumber_step = 0", "43: key.ca.allow.lists.number_step: is 0; 1 to 10000000000000000"),
    ("\"7d\"", "\"7d\"\nnumber_step = -1", "43: key.ca.allow.lists.number_step: is -1; 1 to"),
    ("\"7d\"", "\"7d\"\nnumber_step = 10000000000000001", "43: key.ca.allow.lists.number_step: is 10000000000000001; 1 to"),
    ("\"7d\"", "\"7d\"\nmax_first_number = -1", "43: key.ca.allow.lists.max_first_number: is -1; 0 to"),
    ("\"7d\"", "\"7d\"\nnumber_step = \"any\"", "43: key.ca.allow.lists.number_step: has the wrong type"),
    ("\"1d\"", "\"1d\"\nnumber_step = 1", "48: key.ca.allow.responses.number_step: is not a key of this section"),
    ("\"7d\"", "\"7d\"\ndelta = \"yes\"", "43: key.ca.allow.lists.delta: has the wrong type"),
    ("\"7d\"", "\"7d\"\nscopes = []", "43: key.ca.allow.lists.scopes: is empty"),
    ("\"7d\"", "\"7d\"\nscopes = [\"attribute\"]", "43: key.ca.allow.lists.scopes: \"attribute\" is not a scope of a list; it is one of all, user, ca"),
    ("\"7d\"", "\"7d\"\ncrl_urls = [\"crl.example.org\"]", "43: key.ca.allow.lists.crl_urls: \"crl.example.org\" is no URL"),
    ("\"7d\"", "\"7d\"\nextension_values.\"1.2.3\" = [\"xx\"]", "43: key.ca.allow.lists.extension_values.1.2.3: is not DER in hexadecimal"),
    ("\"7d\"", "\"7d\"\nmax_lifetime = \"7d\"", "43: key.ca.allow.lists.max_lifetime: is not a key of this section"),
    ("\"1d\"", "\"1d\"\nmax_responses = 0", "48: key.ca.allow.responses.max_responses: is 0; 1 to 256"),
    ("\"1d\"", "\"1d\"\nmax_responses = 257", "48: key.ca.allow.responses.max_responses: is 257; 1 to 256"),
    ("\"1d\"", "\"1d\"\nnonce = 1", "48: key.ca.allow.responses.nonce: has the wrong type"),
    ("\"1d\"", "\"1d\"\ndelta = true", "48: key.ca.allow.responses.delta: is not a key of this section"),
    ("max_next_update = \"1d\"", "", "43: key.ca.allow.responses.max_next_update: is missing"),
    ("issuer_certificate = \"ca.pem\"\n", "", "58: key.responder.issuer_certificate: is missing"),
];

#[test]
fn every_bound_is_refused_beyond_itself_with_its_line() {
    for (from, to, expected) in BOUNDS {
        let faults = faults_with(from, to);
        let [fault] = &*faults else { panic!("{to}: one fault, not {faults:#?}") };
        assert!(fault.starts_with(expected), "{to}:\n{fault}\n{expected}");
    }
}

#[test]
fn a_profile_of_what_the_key_does_not_sign_hides_no_fault() {
    let faults = faults_with(
        "signs = \"ocsp-response\"\nmax_next_update = \"2d\"",
        "signs = \"crl\"\nmax_entries = -1",
    );
    let at: Vec<_> = faults.iter().map(|fault| fault.split(": ").nth(1).unwrap()).collect();
    let profile = "key.responder.allow.all";
    assert_eq!(
        at,
        [format!("{profile}.max_next_update"), format!("{profile}.signs"), format!("{profile}.max_entries")]
    );
}

#[test]
fn defaults_allow_least() {
    let policy = parse(&format!("{LEAST}{KEYS}")).unwrap().policy.canonical_text();
    let lists = "allow \"lists\"\ncaller \"dns:lists\"\nsigns crl\ndelta false\nscope \"all\"\nmax_entries 65536\nmax_first_number 1000\nnumber_step 1000\n\
                 backdating 60\nstart_within 60\nmax_next_update 604800\nbudget 9/3600\n";
    let responses = "allow \"responses\"\ncaller \"dns:ocsp\"\nsigns ocsp-response\nmax_responses 1\nnonce false\n\
                     backdating 60\nstart_within 60\nmax_next_update 86400\nbudget 9/3600\n";
    assert!(policy.contains(lists) && policy.contains(responses), "{policy}");
}

#[test]
fn digest_is_of_every_bound() {
    let digest = |keys: &str| parse(&format!("{LEAST}{keys}")).unwrap().policy.digest();
    let changes = [
        ("\"7d\"", "\"6d\""),
        ("\"7d\"", "\"7d\"\nbackdating = \"0s\""),
        ("\"7d\"", "\"7d\"\nstart_within = \"0s\""),
        ("\"7d\"", "\"7d\"\nmax_entries = 0"),
        ("\"7d\"", "\"7d\"\nnumber_step = 1"),
        ("\"7d\"", "\"7d\"\nmax_first_number = 1"),
        ("\"7d\"", "\"7d\"\ndelta = true"),
        ("\"7d\"", "\"7d\"\nscopes = [\"all\", \"ca\"]"),
        ("\"7d\"", "\"7d\"\ncrl_urls = [\"http://crl.example.org\"]"),
        ("\"7d\"", "\"7d\"\nextension_values.\"1.2.3\" = [\"0500\"]"),
        ("\"1d\"", "\"1d\"\nmax_responses = 2"),
        ("\"1d\"", "\"1d\"\nnonce = true"),
        ("\"1d\"", "\"2d\""),
    ];
    for (from, to) in changes {
        assert_ne!(digest(KEYS), digest(&KEYS.replacen(from, to, 1)), "{to}");
    }
    assert_eq!(
        digest(KEYS),
        digest(&KEYS.replacen("\"7d\"", "\"7d\"\ndelta = false\nscopes = [\"all\"]", 1))
    );
}
