#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::{LEAST, parse};

/// The faults of `LEAST` with one text replaced, as `LINE: at: message`.
fn faults_with(from: &str, to: &str) -> Vec<String> {
    assert_eq!(LEAST.matches(from).count(), 1, "{from:?} is in the text once");
    let faults = parse(&LEAST.replace(from, to)).unwrap_err();
    faults.iter().map(|fault| fault.to_string().replace("/etc/cs/cs.toml:", "")).collect()
}

/// A text of `LEAST`, what it is replaced by, and how the one fault begins.
#[rustfmt::skip]
const BOUNDS: &[(&str, &str, &str)] = &[
    ("listen = \"127.0.0.1:0\"", "listen = \"localhost:1\"", "3: server.listen: should be ADDRESS:PORT"),
    ("tls_key = \"tls.key\"", "tls_key = \"\"", "5: server.tls_key: should be the path of a file"),
    ("client_ca = \"/ca.crt\"", "", "2: server.client_ca: is missing"),
    ("[ledger]", "max_connections = 0\n[ledger]", "8: server.max_connections: is 0; 1 to 65536 is allowed"),
    ("[ledger]", "max_connections = -1\n[ledger]", "8: server.max_connections: is -1; 1 to"),
    ("[ledger]", "shutdown_grace = \"1h\"\n[ledger]", "8: server.shutdown_grace: is \"1h\"; 1s to 10m is allowed"),
    ("[ledger]", "shutdown_grace = \"10\"\n[ledger]", "8: server.shutdown_grace: \"10\" is not a duration"),
    ("test.example/log", "https://test.example/log", "10: ledger.origin: should be a URL without its scheme"),
    ("test.example/log", "test example", "10: ledger.origin: should be"),
    ("[token.one]", "clock_tolerance = \"11years\"\n[token.one]", "12: ledger.clock_tolerance: is \"11years\"; 0s to"),
    ("[token.one]", "checkpoint_key = \"log\"\n[token.one]", "12: ledger.checkpoint_key: is \"log\", but there is no section [key.log]"),
    ("[token.one]", "checkpoint_key = \"user-ca\"\n[token.one]", "12: ledger.checkpoint_key: is \"user-ca\", whose purpose is ssh-user-ca"),
    ("[token.one]", "checkpoint_interval = \"1ms\"\n[token.one]", "12: ledger.checkpoint_interval: is \"1ms\"; 100ms to 1day"),
    ("[token.one]", "checkpoint_entries = 0\n[token.one]", "12: ledger.checkpoint_entries: is 0; 1 to"),
    ("[token.one]", "checkpoint_file = \"\"\n[token.one]", "12: ledger.checkpoint_file: should be the path of a file"),
    ("[token.one]", "readers = []\n[token.one]", "12: ledger.readers: is empty: list at least one"),
    ("[token.one]", "readers = [\"auditor\"]\n[token.one]", "12: ledger.readers: \"auditor\" is no caller"),
    ("label = \"one\"", "label = \"one \"", "14: token.one.label: should be 1 to 32 bytes"),
    ("pin_file = \"pin\"", "pin_credential = \"a/b\"", "15: token.one.pin_credential: should be the name of a systemd credential"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\npin_credential = \"pin\"", "15: token.one.pin_file: is there, and so is `pin_credential`"),
    ("pin_file = \"pin\"", "pin_file = \"/dev/fd/3\"", "15: token.one.pin_file: is a descriptor, which no token's process inherits"),
    ("pin_file = \"pin\"", "pin_file = \"/proc/self/fd/3\"", "15: token.one.pin_file: is a descriptor, which no token's process inherits"),
    ("pin_file = \"pin\"", "pin_file = \"/dev/stdin\"", "15: token.one.pin_file: is a descriptor, which no token's process inherits"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\npin_source = \"|ask-pin\"", "16: token.one.pin_source: is not a key: a PIN is never in this file"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\npin_env = \"HSM_PIN\"", "16: token.one.pin_env: is not a key: a PIN is never in this file"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nserial = \"12345678901234567\"", "16: token.one.serial: should be 1 to 16"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nprocesses = 0", "16: token.one.processes: is 0; 1 to 8 is allowed"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nprocesses = 9", "16: token.one.processes: is 9; 1 to 8 is allowed"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nprocesses = 2\nsessions = 1", "17: token.one.sessions: is 1; 2 to 64 is allowed"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nsessions = 65", "16: token.one.sessions: is 65; 1 to 64 is allowed"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nqueue = 0", "16: token.one.queue: is 0; 1 to 65536"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\ndeadline = \"1ms\"", "16: token.one.deadline: is \"1ms\"; 100ms to 5m"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nwritable = [\"\"]", "16: token.one.writable: should be the path of a file"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nnetwork = \"yes\"", "16: token.one.network: has the wrong type: a boolean is wanted"),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nenvironment.\"A=B\" = \"\"", "16: token.one.environment.A=B: is not a variable's name"),
    ("ssh-user-ca", "x509", "18: key.user-ca.purpose: is \"x509\"; it is one of ssh-user-ca, ssh-host-ca"),
    ("ed25519", "ssh-rsa", "19: key.user-ca.scheme: is \"ssh-rsa\"; it is one of ecdsa-p256-sha256,"),
    ("token = \"one\"", "token = [\"one\", \"one\"]", "20: key.user-ca.token: lists one twice"),
    ("ed25519", "ml-dsa-65", "19: key.user-ca.scheme: is ml-dsa-65, which SSH does not have; take \"ed25519\" there"),
    ("ed25519", "rsa-pss-sha256", "19: key.user-ca.scheme: is rsa-pss-sha256, which SSH does not have"),
    ("token = \"one\"", "token = \"one\"\nid = \"012\"", "21: key.user-ca.id: should be 1 to 64 bytes in hexadecimal"),
    ("token = \"one\"", "token = \"one\"\nid = \"0x\"", "21: key.user-ca.id: should be"),
    ("token = \"one\"", "token = \"one\"\nfingerprint = \"SHA256:x\"", "21: key.user-ca.fingerprint: should be"),
    ("[key.user-ca.allow.staff]", "[key.user-ca.allow.Staff]", "22: key.user-ca.allow.Staff: a name is 1 to 64"),
    ("[\"dns:frontend.example\"]", "[\"frontend\"]", "23: key.user-ca.allow.staff.callers: "),
    ("[\"dns:frontend.example\"]", "[]", "23: key.user-ca.allow.staff.callers: is empty: list at least one"),
    ("callers = [\"dns:frontend.example\"]", "", "22: key.user-ca.allow.staff.callers: is missing"),
    ("principals = [\"alice\"]", "", "22: key.user-ca.allow.staff.principals: is missing"),
    ("[\"alice\"]", "[]", "24: key.user-ca.allow.staff.principals: is empty"),
    ("[\"alice\"]", "[\"alice\", \"alice\"]", "24: key.user-ca.allow.staff.principals: lists \"alice\" twice"),
    ("[\"alice\"]", "[\"alice,root\"]", "24: key.user-ca.allow.staff.principals: \"alice,root\" matches no principal"),
    ("[\"alice\"]", "[\"a**\"]", "24: key.user-ca.allow.staff.principals: write `*` for `**`"),
    ("max_lifetime = \"1h\"", "", "22: key.user-ca.allow.staff.max_lifetime: is missing: it has no default"),
    ("\"1h\"", "\"0s\"", "25: key.user-ca.allow.staff.max_lifetime: is \"0s\"; 1s to"),
    ("\"1h\"", "\"1s 1ms\"", "25: key.user-ca.allow.staff.max_lifetime: is 1s 1ms; certificates count whole seconds"),
    ("\"1h\"", "\"11years\"", "25: key.user-ca.allow.staff.max_lifetime: is \"11years\"; 1s to"),
    ("\"1h\"", "\"1h\"\nbackdating = \"61m\"", "26: key.user-ca.allow.staff.backdating: is \"61m\"; 0s to 1h"),
    ("\"1h\"", "\"1h\"\nstart_within = \"2days\"", "26: key.user-ca.allow.staff.start_within: is \"2days\"; 0s to 1day"),
    ("\"1h\"", "\"1h\"\nmax_principals = 257", "26: key.user-ca.allow.staff.max_principals: is 257; 1 to 256"),
    ("\"1h\"", "\"1h\"\nmin_rsa_bits = 1024", "26: key.user-ca.allow.staff.min_rsa_bits: is 1024; 2048 to 8192"),
    ("\"1h\"", "\"1h\"\nkey_id = []", "26: key.user-ca.allow.staff.key_id: is empty"),
    ("\"1h\"", "\"1h\"\nsubject_keys = [\"ssh-dss\"]", "26: key.user-ca.allow.staff.subject_keys: \"ssh-dss\" is not a subject key"),
    ("\"1h\"", "\"1h\"\nextensions = [\"permit-tty\"]", "26: key.user-ca.allow.staff.extensions: \"permit-tty\" is not an extension"),
    ("\"1h\"", "\"1h\"\nextension_values.permit-pty = [\"x\"]", "26: key.user-ca.allow.staff.extension_values.permit-pty: should be"),
    ("\"1h\"", "\"1h\"\nextension_values.\"a@b\" = []", "26: key.user-ca.allow.staff.extension_values.a@b: is empty"),
    ("\"1h\"", "\"1h\"\ncritical_options.source-address = [\"10.0.0.1/8\"]", "26: key.user-ca.allow.staff.critical_options.source-address: a network is"),
    ("\"1h\"", "\"1h\"\ncritical_options.force-command = []", "26: key.user-ca.allow.staff.critical_options.force-command: is empty"),
    ("\"1h\"", "\"1h\"\ncritical_options.other = []", "26: key.user-ca.allow.staff.critical_options.other: is not a key of this section"),
    ("budget = \"500/h\"", "", "22: key.user-ca.allow.staff.budget: is missing: it has no default"),
    ("500/h", "0/h", "26: key.user-ca.allow.staff.budget: \"0/h\" is not a number and a time, such as \"500/h\""),
    ("500/h", "unlimited", "26: key.user-ca.allow.staff.budget: \"unlimited\" is not a number and a time"),
    ("\"500/h\"", "\"500/h\"\nburst = 501", "27: key.user-ca.allow.staff.burst: is 501; 1 to 500 is allowed"),
    ("\"500/h\"", "\"500/h\"\nburst = 0", "27: key.user-ca.allow.staff.burst: is 0; 1 to 500"),
    ("\"500/h\"", "\"500/h\"\nvolume = \"1\"", "27: key.user-ca.allow.staff.volume: \"1\" is not a number and a time"),
    ("\"500/h\"", "\"500/h\"\nfreeze_after = \"never\"", "27: key.user-ca.allow.staff.freeze_after: \"never\" is not"),
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
fn a_misspelt_key_is_told_every_key_that_there_is() {
    let faults = faults_with("budget = ", "budgt = ");
    let told = faults.iter().find(|fault| fault.contains("budgt")).unwrap();
    for key in [
        "callers",
        "principals",
        "max_lifetime",
        "budget",
        "burst",
        "volume",
        "freeze_after",
        "critical_options",
    ] {
        assert!(told.contains(&format!("`{key}`")), "{key} is not in: {told}");
    }
}

/// What a profile of an X.509 key says in the place of `signs = "tls-server"`, and how its one fault begins, after the key's name.
const X509: &[(&str, &str)] = &[
    (
        "signs = \"tls-server\"\next_key_usage = [\"2.5.29.37.0\"]",
        "24: key.tls-ca.allow.web.ext_key_usage: anyExtendedKeyUsage",
    ),
    (
        "signs = \"tls-server\"\next_key_usage = [\"1.3.6.1.5.5.7.3.9\"]",
        "24: key.tls-ca.allow.web.ext_key_usage: OCSPSigning",
    ),
    (
        "signs = \"tls-client\"\nuser_principal_names = [\"*@example.org\"]",
        "22: key.tls-ca.allow.web: allows user principal names and no security identifier",
    ),
    (
        "signs = \"mtls-service\"\nuris = [\"spiffe://example.org/*\"]\nupn_without_sid = true",
        "22: key.tls-ca.allow.web: has `upn_without_sid`, but no user_principal_names",
    ),
    (
        "signs = \"smart-card-logon\"\nuser_principal_names = [\"*@example.org\"]\nsecurity_identifiers = [\"S-1-5-21-*\"]\n\
         upn_without_sid = true",
        "22: key.tls-ca.allow.web: has `upn_without_sid`, but smart-card logon",
    ),
    (
        "signs = \"tls-client\"\next_key_usage = [\"1.3.6.1.5.5.7.3.1\"]",
        "24: key.tls-ca.allow.web.ext_key_usage: this purpose makes a TLS server",
    ),
    (
        "signs = \"tls-client\"\next_key_usage = [\"2.16.840.1.113730.4.1\"]",
        "24: key.tls-ca.allow.web.ext_key_usage: this purpose makes a TLS server",
    ),
    (
        "signs = \"tls-server\"\next_key_usage = [\"1.3.6.1.4.1.311.20.2.2\"]",
        "24: key.tls-ca.allow.web.ext_key_usage: smart-card logon",
    ),
    (
        "signs = \"intermediate-ca\"\nsubject.CN = [\"x\"]\nmax_path_length = 0\nunconstrained = true\n\
         ext_key_usage = [\"1.3.6.1.5.5.7.3.1\", \"1.3.6.1.5.5.7.3.9\"]",
        "27: key.tls-ca.allow.web.ext_key_usage: OCSPSigning",
    ),
    (
        "signs = \"intermediate-ca\"\nsubject.CN = [\"x\"]\nmax_path_length = 0\npermitted_names = [\"dns:example.org\"]",
        "22: key.tls-ca.allow.web: lets the CA certify every IP address",
    ),
    (
        "signs = \"intermediate-ca\"\nsubject.CN = [\"x\"]\nmax_path_length = 0\n\
         permitted_names = [\"dns:example.org\"]\nexcluded_names = [\"ip:0.0.0.0/0\"]",
        "22: key.tls-ca.allow.web: lets the CA certify every IP address",
    ),
    (
        "signs = \"intermediate-ca\"\nsubject.CN = [\"x\"]\nmax_path_length = 0\n\
         permitted_names = [\"ip:10.0.0.0/8\"]\nexcluded_names = [\"dns:secret.example.org\"]",
        "22: key.tls-ca.allow.web: lets the CA certify every DNS name",
    ),
    (
        "signs = \"tls-server\"\nextension_values.\"1.2.3\" = [\"+500\"]",
        "24: key.tls-ca.allow.web.extension_values.1.2.3: is not DER in hexadecimal",
    ),
    (
        "signs = \"tls-server\"\nwildcard_dns_names = [\"*.Example.org\"]",
        "24: key.tls-ca.allow.web.wildcard_dns_names: \"*.Example.org\" matches nothing: no domain with capital letters",
    ),
    (
        "signs = \"tls-client\"\nemail_addresses = [\"Alice@Example.org\"]",
        "24: key.tls-ca.allow.web.email_addresses: \"Alice@Example.org\" matches nothing",
    ),
];

#[test]
fn profile_of_an_x509_key_that_allows_more_than_its_kind_is_a_fault() {
    let key = "[key.tls-ca]\npurpose = \"x509-ca\"\nscheme = \"ed25519\"\ntoken = \"one\"\ncertificate = \"ca.pem\"\n\
               [key.tls-ca.allow.web]\nSIGNS\ncallers = [\"uid:0\"]\ndns_names = [\"x\"]\nmax_lifetime = \"1h\"\nbudget = \"1/h\"\n";
    let (token, _) = LEAST.split_once("[key.user-ca]").unwrap();
    let parse = |signs: &str| super::parse(&format!("{token}{}", key.replace("SIGNS", signs)));
    assert!(parse("signs = \"tls-server\"").is_ok());
    assert!(parse("signs = \"tls-client\"\nemail_addresses = [\"Alice@example.org\"]").is_ok());
    for (signs, expected) in X509 {
        let faults = parse(signs).unwrap_err();
        let [fault] = &*faults else { panic!("{signs}: one fault, not {faults:#?}") };
        let fault = fault.to_string().replace("/etc/cs/cs.toml:", "");
        assert!(fault.starts_with(expected), "{signs}:\n{fault}\n{expected}");
    }
    let capitals = key.replace("SIGNS", "signs = \"tls-server\"").replace("\"x\"", "\"*.Example.org\"");
    let faults = super::parse(&format!("{token}{capitals}")).unwrap_err();
    assert!(faults[0].to_string().contains("dns_names: \"*.Example.org\" matches nothing"), "{faults:#?}");
}

/// A configuration that signs checkpoints, with one text replaced, and how its one fault begins.
const LOG_KEYS: &[(&str, &str, &str)] = &[
    (
        "checkpoint_key = \"log\"\n",
        "",
        "17: key.log: signs no checkpoints: name it in `ledger.checkpoint_key`",
    ),
    (
        "\"ed25519\"",
        "\"ecdsa-p384-sha384\"",
        "20: key.log.scheme: is ecdsa-p384-sha384; checkpoints are signed with",
    ),
    (
        "\"ed25519\"",
        "\"rsa-pkcs1-sha256\"",
        "20: key.log.scheme: is rsa-pkcs1-sha256; checkpoints are signed with",
    ),
    ("\"log-1\"", "\"user-ca\"", "23: key.user-ca: is the same key as key.log"),
    (
        "\"log-1\"",
        "\"log-1\"\ncertificate = \"log.pem\"",
        "23: key.log.certificate: is for X.509 keys: delete it",
    ),
    (
        "\"log-1\"",
        "\"log-1\"\nallow.all = { callers = [\"uid:0\"] }",
        "18: key.log: allows callers to use it, and a key of purpose ledger signs checkpoints alone",
    ),
    ("\"ledger\"", "\"ssh-host-ca\"", "12: ledger.checkpoint_key: is \"log\", whose purpose is ssh-host-ca"),
];

#[test]
fn the_logs_key_is_no_others_and_nobodys() {
    let signing = LEAST.replace("[token.one]", "checkpoint_key = \"log\"\n[token.one]").replace(
        "[key.user-ca]\n",
        "[key.log]\npurpose = \"ledger\"\nscheme = \"ed25519\"\ntoken = \"one\"\nlabel = \"log-1\"\n[key.user-ca]\n",
    );
    let config = parse(&signing).unwrap();
    let checkpoints = config.ledger.checkpoints.unwrap();
    assert_eq!(
        (checkpoints.key.as_str(), checkpoints.interval.as_secs(), checkpoints.entries),
        ("log", 10, 1000)
    );
    assert_eq!(checkpoints.file, std::path::Path::new("/etc/cs/ledger.sqlite-checkpoint"));
    assert_eq!(config.policy.digest(), parse(LEAST).unwrap().policy.digest(), "no rule is about it");
    for (from, to, expected) in LOG_KEYS {
        let faults = parse(&signing.replacen(from, to, 1)).unwrap_err();
        let faults: Vec<_> =
            faults.iter().map(|fault| fault.to_string().replace("/etc/cs/cs.toml:", "")).collect();
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{to}:\n{faults:#?}\n{expected}");
    }
}

#[test]
fn sections_that_contradict_each_other_are_faults() {
    let another_token =
        "[token.two]\nmodule = \"/module.so\"\nlabel = \"one\"\npin_file = \"pin2\"\n[token.one]";
    let another_key = "[key.host-ca]\npurpose = \"ssh-host-ca\"\nscheme = \"ed25519\"\ntoken = \"one\"\nlabel = \"user-ca\"\n\
                       allow.all = { callers = [\"uid:0\"], principals = [\"*\"], max_lifetime = \"1h\", budget = \"1/h\" }\n[key.user-ca]";
    let forced = "\"1h\"\nextensions = [\"permit-port-forwarding\"]\nrequire_critical_options = [\"force-command\"]\n\
                  critical_options.force-command = [\"x\"]";
    let cases: [(&str, &str, &[&str]); 7] = [
        (
            "[token.one]",
            another_token,
            &["12: token.two: is the same token as token.one", "12: token.two: holds no key"],
        ),
        ("[key.user-ca]", another_key, &["23: key.user-ca: is the same key as key.host-ca"]),
        (
            "token = \"one\"",
            "token = \"two\"",
            &[
                "12: token.one: holds no key of [key.NAME]",
                "20: key.user-ca.token: is \"two\", but there is no section [token.two]",
            ],
        ),
        (
            "[token.one]",
            "[token.One]",
            &[
                "12: token.One: a name is 1 to 64 of",
                "12: token.One: holds no key of [key.NAME]",
                "20: key.user-ca.token: is \"one\", but there is no section [token.one]",
            ],
        ),
        (
            "\"1h\"",
            forced,
            &["22: key.user-ca.allow.staff: requires force-command, which permit-port-forwarding"],
        ),
        (
            "\"1h\"",
            "\"1h\"\nrequire_critical_options = [\"source-address\"]",
            &["26: key.user-ca.allow.staff.require_critical_options: \"source-address\" is required, but"],
        ),
        (
            "[key.user-ca.allow.staff]",
            "[key.other.allow.staff]",
            &[
                "17: key.user-ca: no profile allows anything with this key: add a section [key.user-ca.allow.PROFILE]",
                "22: key.other.purpose: is missing",
                "22: key.other.scheme: is missing",
                "22: key.other.token: is missing",
            ],
        ),
    ];
    for (from, to, expected) in cases {
        let faults = faults_with(from, to);
        let all = faults.iter().zip(expected).all(|(fault, expected)| fault.starts_with(expected));
        assert!(faults.len() == expected.len() && all, "{to}:\n{faults:#?}");
    }
}

#[test]
fn refuses_options_of_host_certificates() {
    let host = LEAST
        .replace("\"ssh-user-ca\"", "\"ssh-host-ca\"")
        .replace("\"1h\"", "\"1h\"\nextensions = [\"permit-pty\"]");
    let faults = parse(&host).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].at.as_str(), faults[0].line), ("key.user-ca.allow.staff", Some(22)));
}

#[test]
fn reports_every_fault_of_every_section_at_once_in_the_order_of_the_file() {
    let text = r#"
[server]
listn = "0.0.0.0:1"
tls_key = 7
client_ca = ["a"]
other = 1

[ledger]

[token.one]
module = "m"
label = 5
pin_file = "p"
deadline = "forever"

[key.user-ca]
purpose = "signing"
scheme = "ed25519"
token = "two"

[key.user-ca.allow.staff]
principals = ["a b", 5]
extensions = "permit-pty"

[key.user-ca.allow.staff.critical_options]
verify-required = "yes"
force-command = []

[extra]
"#;
    let faults = parse(text).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.line.unwrap(), fault.at.as_str())).collect();
    assert_eq!(
        found,
        [
            (2, "server.tls_certificate"),
            (3, "server.listn"),
            (4, "server.tls_key"),
            (5, "server.client_ca"),
            (6, "server.other"),
            (8, "ledger.origin"),
            (8, "ledger.path"),
            (10, "token.one"),
            (12, "token.one.label"),
            (14, "token.one.deadline"),
            (17, "key.user-ca.purpose"),
            (19, "key.user-ca.token"),
            (21, "key.user-ca.allow.staff.budget"),
            (21, "key.user-ca.allow.staff.callers"),
            (21, "key.user-ca.allow.staff.max_lifetime"),
            (22, "key.user-ca.allow.staff.principals"),
            (23, "key.user-ca.allow.staff.extensions"),
            (26, "key.user-ca.allow.staff.critical_options.verify-required"),
            (27, "key.user-ca.allow.staff.critical_options.force-command"),
            (29, "extra"),
        ],
        "{faults:#?}"
    );
}

#[test]
fn names_every_section_that_is_missing_or_no_table() {
    let faults = parse("server = 1\nkey = {}").unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.line.unwrap(), fault.at.as_str())).collect();
    assert_eq!(found, [(1, "ledger"), (1, "server"), (1, "token"), (2, "key")], "{faults:#?}");
}

#[test]
fn gives_a_syntax_error_its_line() {
    let faults = faults_with("[ledger]", "[ledger");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("8: is not TOML: "), "{faults:?}");
}

/// A text of `LEAST`, what somebody wrote for it, and all the faults.
#[rustfmt::skip]
const MEANT: &[(&str, &str, &[&str])] = &[
    ("listen = \"127.0.0.1:0\"", "listen = 127.0.0.1:0", &["3: is not TOML: invalid float; put text in quotes: listen = \"…\""]),
    ("[server]", "{ \"server\":", &["2: is not TOML: it looks like JSON"]),
    ("listen = \"127.0.0.1:0\"", "listen = \"a\"\nlisten = \"b\"", &["4: is not TOML: duplicate key `listen`; keep one of them"]),
    ("listen = \"127.0.0.1:0\"", "listen = \"localhost:1\"", &["3: server.listen: should be ADDRESS:PORT, with an IP address and no name, such as \"127.0.0.1:8443\""]),
    ("max_lifetime = \"1h\"", "max_lifetime = 1", &["25: key.user-ca.allow.staff.max_lifetime: has the wrong type: a duration in quotes, such as \"90s\" or \"16h\", is wanted"]),
    ("max_lifetime", "max_liftime", &["25: key.user-ca.allow.staff.max_liftime: is not a key of this section: expected "]),
    ("[ledger]", "[leger]", &["8: leger: is not a section: there are [server], [ledger], "]),
    ("[\"dns:frontend.example\"]", "[\"spiffe://a.example/*\"]", &["23: key.user-ca.allow.staff.callers: callers are exact names, not patterns: "]),
    ("pin_file = \"pin\"", "pin_file = \"pin\"\nenvironment.SOFTHSM2_CONF = \"softhsm2.conf\"", &["16: token.one.environment.SOFTHSM2_CONF: should be a whole path, from / on"]),
    ("[server]\nlisten", "listen", &["1: server: is missing", "2: listen: is outside of any section; is the line of its section, such as [server], missing above it?"]),
];

#[test]
fn what_was_meant_is_told_once() {
    for (from, to, expected) in MEANT {
        let faults = faults_with(from, to);
        assert!(faults.len() >= expected.len(), "{to}: {faults:#?}");
        assert!(expected.len() > 1 || faults.len() == 1, "{to}: {faults:#?}");
        for (fault, expected) in faults.iter().zip(*expected) {
            assert!(fault.starts_with(expected), "{to}:\n{fault}\n{expected}");
        }
    }
    assert!(faults_with("max_lifetime", "max_liftime")[0].ends_with("; did you mean `max_lifetime`?"));
}

#[test]
fn faults_never_show_what_may_be_a_secret() {
    let cases = [
        ("pin_file = \"pin\"", "pin_file = \"pin\"\npin = \"CANARY1\""),
        ("pin_file = \"pin\"", "user_pin = \"CANARY1\"\npin_file = \"pin\""),
        ("pin_file = \"pin\"", "pin_file = \"CANARY1\\n\""),
        ("pin_file = \"pin\"", "pin_file = CANARY1"),
        ("pin_file = \"pin\"", "pin_file = [\"CANARY1\"]"),
        ("tls_key = \"tls.key\"", "tls_key = \"\"\"-----BEGIN PRIVATE KEY-----\nCANARY1\"\"\""),
    ];
    for (from, to) in cases {
        let faults = faults_with(from, to);
        assert!(!faults.is_empty() && !faults.iter().any(|fault| fault.contains("CANARY1")), "{faults:?}");
    }
    let numeric = faults_with("pin_file = \"pin\"", "pin_file = 271828");
    assert_eq!(numeric, ["15: token.one.pin_file: has the wrong type: a string is wanted"]);
    let inline = faults_with("pin_file = \"pin\"", "pin_file = \"pin\"\npin = \"1234\"");
    assert!(inline[0].contains("name that in `pin_file`"), "{inline:?}");
}

#[test]
fn a_key_that_names_no_token_is_a_fault_beside_the_token_that_has_no_key() {
    for (tokens, expected) in [
        ("[]", "20: key.user-ca.token: is empty: list at least one"),
        ("1", "20: key.user-ca.token: has the wrong type: a token's name or a list of them is wanted"),
        ("[\"one\", 1]", "20: key.user-ca.token: has the wrong type: a string is wanted"),
    ] {
        let faults = faults_with("token = \"one\"", &format!("token = {tokens}"));
        assert!(faults.iter().any(|fault| fault == expected), "{tokens}: {faults:#?}");
    }
}

/// A configuration with a witness, with one text replaced, and how its one fault begins.
const WITNESSES: &[(&str, &str, &str)] = &[
    (
        "https://w.example",
        "http://w.example",
        "ledger.witness.one.url: is \"http://w.example\"; http:// is for 127.0.0.1",
    ),
    ("https://w.example", "w.example", "ledger.witness.one.url: is \"w.example\"; it should be https://HOST"),
    ("ca_file = \"ca.pem\"\n", "", "ledger.witness.one: has https:// and no `ca_file`"),
    ("KEY", "w.example+0+0", "ledger.witness.one.verifier_key: \"w.example+0+0\" is no verifier key"),
    ("KEY", "LOG", "ledger.witness.one.verifier_key: is the key of no witness"),
    ("quorum = 1", "quorum = 2", "ledger.quorum: is 2; 1 to 1 is allowed"),
    ("quorum = 1", "quorum = 0", "ledger.quorum: is 0; 1 to 1 is allowed"),
    (
        "[ledger.witness.one]",
        "[ledger.witness.\"a b\"]",
        "ledger.witness.a b: should have a name of 1 to 64 letters",
    ),
    (
        "#more",
        "[ledger.witness.two]\nurl = \"http://127.0.0.1\"\nverifier_key = \"KEY\"",
        "ledger.witness.two: has the key of [ledger.witness.one]",
    ),
];

#[test]
fn a_witness_has_an_address_a_key_of_its_own_and_what_to_trust() {
    use crate::ledger::note::{SignerName, VerifierKey};
    let name = || SignerName::new("w.example").unwrap();
    let key = VerifierKey::cosigner(name(), [9; 32]).unwrap().to_string();
    let log = VerifierKey::new(name(), &crate::key::PublicKey::Ed25519([9; 32])).unwrap().to_string();
    let witness = "checkpoint_key = \"log\"\nquorum = 1\n[ledger.witness.one]\nurl = \"https://w.example\"\nca_file = \"ca.pem\"\n\
                   verifier_key = \"KEY\"\n#more\n[token.one]";
    let asked = LEAST.replace("[token.one]", witness).replace(
        "[key.user-ca]\n",
        "[key.log]\npurpose = \"ledger\"\nscheme = \"ed25519\"\ntoken = \"one\"\nlabel = \"log-1\"\n[key.user-ca]\n",
    );
    let keys = |text: String| text.replace("KEY", &key).replace("LOG", &log);
    let checkpoints = parse(&keys(asked.clone())).unwrap().ledger.checkpoints.unwrap();
    assert_eq!((checkpoints.witnesses.len(), checkpoints.quorum), (1, 1));
    for (from, to, expected) in WITNESSES {
        let faults = parse(&keys(asked.replacen(from, to, 1))).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{to}: {faults:#?}\n{expected}");
    }
    let without = parse(&keys(asked).replace("checkpoint_key = \"log\"\n", "")).unwrap_err();
    assert!(without.iter().any(|fault| fault.to_string().contains("has witnesses and no `checkpoint_key`")));
}
