//! Who a certificate is for: principals, key id, serial, certificate type.

use super::{Case, HOST_CA, Row, base, forged, p256_blob};
use crate::forge::Forgery;

pub fn cases() -> Vec<Case> {
    let mut cases = forged("principals", LISTS);
    cases.extend(PRINCIPALS.iter().map(|&(name, attack, source, reason, principal)| {
        let tbs = Forgery { principals: vec![principal.to_vec()], ..base() };
        Case::new("principals", (name, attack, source, reason), tbs.fields())
    }));
    cases.extend(KEY_IDS.iter().map(|&(name, attack, source, reason, key_id)| {
        let tbs = Forgery { key_id: key_id.to_vec(), ..base() };
        Case::new("key id", (name, attack, source, reason), tbs.fields())
    }));
    cases.extend(forged("serial", SERIALS));
    cases.extend(forged("certificate type", TYPES));
    let user_by_host_ca = (
        "user-by-host-ca",
        "a user certificate from the CA that hosts trust each other by",
        "B6",
        "CERTIFICATE_TYPE_NOT_ALLOWED",
    );
    let tbs = Forgery { ca_key: p256_blob(&HOST_CA), ..base() };
    cases.push(Case::new("certificate type", user_by_host_ca, tbs.fields()).of_key("host-ca"));
    cases
}

const LISTS: &[Row<Forgery>] = &[
    ("none", "no principals: sshd takes it for every user", "CVE-2024-7594", "PRINCIPALS_EMPTY", |tbs| {
        tbs.principals.clear();
    }),
    ("empty-after-good", "an empty principal behind a good one", "R12", "PRINCIPAL_EMPTY", |tbs| {
        tbs.principals.push(Vec::new());
    }),
    ("empty-before-good", "an empty principal before a good one", "R12", "PRINCIPAL_EMPTY", |tbs| {
        tbs.principals.insert(0, Vec::new());
    }),
    ("root-after-good", "root behind a principal that is allowed", "R11", "PRINCIPAL_NOT_ALLOWED", |tbs| {
        tbs.principals.push(b"root".to_vec());
    }),
    ("root-before-good", "root before a principal that is allowed", "R11", "PRINCIPAL_NOT_ALLOWED", |tbs| {
        tbs.principals.insert(0, b"root".to_vec());
    }),
    (
        "root-as-last-of-16",
        "root as the last of as many as are allowed",
        "R11",
        "PRINCIPAL_NOT_ALLOWED",
        |tbs| {
            tbs.principals = (1..16).map(|number| format!("deploy-{number}").into_bytes()).collect();
            tbs.principals.push(b"root".to_vec());
        },
    ),
    ("256", "as many as OpenSSH reads, each of them allowed", "R35", "PRINCIPALS_ABOVE_LIMIT", |tbs| {
        tbs.principals = (0..256).map(|number| format!("deploy-{number}").into_bytes()).collect();
    }),
    ("twice", "one principal twice", "-", "PRINCIPAL_DUPLICATE", |tbs| {
        tbs.principals.push(b"alice".to_vec());
    }),
    ("257", "one more than OpenSSH reads", "R35, pyca/cryptography#8376", "PRINCIPALS_TOO_MANY", |tbs| {
        tbs.principals = (0..257).map(|number| format!("deploy-{number}").into_bytes()).collect();
    }),
    ("257-bytes", "a name longer than any that exists", "-", "PRINCIPAL_TOO_LONG", |tbs| {
        tbs.principals = vec![vec![b'a'; 257]];
    }),
    ("30000-bytes", "a name to fill logs with", "-", "PRINCIPAL_TOO_LONG", |tbs| {
        tbs.principals = vec![vec![b'a'; 30_000]];
    }),
];

/// Rows whose one principal is given.
const PRINCIPALS: &[(&str, &str, &str, &str, &[u8])] = &[
    ("empty", "a principal of no bytes", "R12", "PRINCIPAL_EMPTY", b""),
    ("space", "a principal of white space", "R12", "PRINCIPAL_INVALID", b"  "),
    ("wildcard", "every user", "B2, CVE-2026-35414", "PRINCIPAL_INVALID", b"*"),
    ("wildcard-suffix", "every user with a prefix", "B2", "PRINCIPAL_INVALID", b"deploy-*"),
    ("question-mark", "one character of any kind", "B2", "PRINCIPAL_INVALID", b"alic?"),
    ("negated", "a pattern list's negation", "B2", "PRINCIPAL_INVALID", b"!bob"),
    (
        "comma",
        "a second name behind the separator of pattern lists",
        "CVE-2026-35414",
        "PRINCIPAL_INVALID",
        b"alice,root",
    ),
    ("comma-first", "an empty name and another", "CVE-2026-35414", "PRINCIPAL_INVALID", b",root"),
    ("comma-last", "a name and an empty one", "CVE-2026-35414", "PRINCIPAL_INVALID", b"alice,"),
    ("semicolon", "a second name behind another separator", "B2", "PRINCIPAL_INVALID", b"alice;root"),
    ("pipe", "a command behind a name", "B2", "PRINCIPAL_INVALID", b"alice|sh"),
    (
        "two-words",
        "a second name behind a space",
        "hashicorp/vault#16622",
        "PRINCIPAL_INVALID",
        b"alice root",
    ),
    ("leading-space", "a name that a lenient reader trims", "B2", "PRINCIPAL_INVALID", b" alice"),
    ("trailing-space", "a name that a lenient reader trims", "B2", "PRINCIPAL_INVALID", b"alice "),
    ("quote", "the end of a quoted string", "B2", "PRINCIPAL_INVALID", b"alice\"root"),
    ("apostrophe", "the end of a shell string", "B2", "PRINCIPAL_INVALID", b"alice'root"),
    ("backslash", "an escape", "B2", "PRINCIPAL_INVALID", b"alice\\root"),
    ("command-substitution", "a command in a name", "B2", "PRINCIPAL_INVALID", b"$(id)"),
    ("backticks", "a command in a name", "B2", "PRINCIPAL_INVALID", b"`id`"),
    ("token", "a token that sshd_config expands", "B2", "PRINCIPAL_INVALID", b"%u"),
    ("option", "an option of ssh", "B2", "PRINCIPAL_INVALID", b"-oProxyCommand=id"),
    ("markup", "markup in a log viewer", "warp-tech/warpgate#2397", "PRINCIPAL_INVALID", b"<alice>"),
    ("newline", "a second line in a file of principals", "B2", "PRINCIPAL_CONTROL_CHARACTER", b"alice\nroot"),
    (
        "trailing-newline",
        "a name that a lenient reader trims",
        "B2",
        "PRINCIPAL_CONTROL_CHARACTER",
        b"alice\n",
    ),
    ("carriage-return", "a line that hides its start", "B2", "PRINCIPAL_CONTROL_CHARACTER", b"root\ralice"),
    ("tab", "white space that splits a column", "B2", "PRINCIPAL_CONTROL_CHARACTER", b"alice\troot"),
    ("nul", "a name that ends early in C", "R35", "PRINCIPAL_CONTROL_CHARACTER", b"root\0alice"),
    ("nul-last", "a name that ends early in C", "R35", "PRINCIPAL_CONTROL_CHARACTER", b"alice\0"),
    (
        "escape",
        "colours and cursor movements for whoever reads the log",
        "warp-tech/warpgate#2397",
        "PRINCIPAL_CONTROL_CHARACTER",
        b"\x1b[31malice",
    ),
    (
        "delete",
        "a character that erases",
        "warp-tech/warpgate#2397",
        "PRINCIPAL_CONTROL_CHARACTER",
        b"alice\x7f",
    ),
    (
        "c1-control",
        "a control character beyond ASCII",
        "warp-tech/warpgate#2397",
        "PRINCIPAL_CONTROL_CHARACTER",
        "alice\u{85}root".as_bytes(),
    ),
    (
        "bidi-override",
        "letters shown in another order",
        "CVE-2021-42574",
        "PRINCIPAL_INVALID",
        "\u{202e}toor".as_bytes(),
    ),
    (
        "bidi-isolate",
        "letters shown in another order",
        "CVE-2021-42574",
        "PRINCIPAL_INVALID",
        "\u{2066}alice".as_bytes(),
    ),
    (
        "zero-width-space",
        "another name that looks the same",
        "B2",
        "PRINCIPAL_INVALID",
        "ali\u{200b}ce".as_bytes(),
    ),
    (
        "byte-order-mark",
        "another name that looks the same",
        "B2",
        "PRINCIPAL_INVALID",
        "\u{feff}alice".as_bytes(),
    ),
    (
        "line-separator",
        "a line break beyond ASCII",
        "warp-tech/warpgate#2397",
        "PRINCIPAL_INVALID",
        "alice\u{2028}root".as_bytes(),
    ),
    ("no-break-space", "a space beyond ASCII", "B2", "PRINCIPAL_INVALID", "alice\u{a0}root".as_bytes()),
    ("cyrillic", "another name that looks the same", "B2", "PRINCIPAL_INVALID", "\u{430}lice".as_bytes()),
    (
        "full-width",
        "another name that normalises to the same",
        "B2",
        "PRINCIPAL_INVALID",
        "\u{ff41}lice".as_bytes(),
    ),
    (
        "full-width-comma",
        "a separator after normalisation",
        "CVE-2026-35414",
        "PRINCIPAL_INVALID",
        "alice\u{ff0c}root".as_bytes(),
    ),
    (
        "combining",
        "another name that normalises differently",
        "B2",
        "PRINCIPAL_INVALID",
        "alice\u{301}".as_bytes(),
    ),
    (
        "overlong-slash",
        "an overlong form of a character that is filtered",
        "RFC 3629 §10",
        "PRINCIPAL_NOT_UTF8",
        b"alice\xc0\xaf",
    ),
    ("overlong-nul", "NUL as Java writes it", "RFC 3629 §10", "PRINCIPAL_NOT_UTF8", b"alice\xc0\x80"),
    (
        "overlong-3-bytes",
        "an overlong form in three bytes",
        "RFC 3629 §10",
        "PRINCIPAL_NOT_UTF8",
        b"alice\xe0\x80\xaf",
    ),
    ("surrogate", "half of a UTF-16 pair", "RFC 3629 §3", "PRINCIPAL_NOT_UTF8", b"alice\xed\xa0\x80"),
    (
        "beyond-unicode",
        "a character above U+10FFFF",
        "RFC 3629 §3",
        "PRINCIPAL_NOT_UTF8",
        b"alice\xf4\x90\x80\x80",
    ),
    ("cut-utf8", "a character that is cut off", "RFC 3629 §3", "PRINCIPAL_NOT_UTF8", b"alice\xc3"),
    ("byte-ff", "a byte that is in no text", "RFC 3629 §3", "PRINCIPAL_NOT_UTF8", b"alice\xff"),
    ("latin-1", "text in another encoding", "-", "PRINCIPAL_NOT_UTF8", b"k\xe4se"),
    ("root", "a user that is not allowed", "R11", "PRINCIPAL_NOT_ALLOWED", b"root"),
    (
        "other-case",
        "a user that a lenient reader takes for another",
        "R11",
        "PRINCIPAL_NOT_ALLOWED",
        b"Alice",
    ),
    ("longer", "a name that starts like an allowed one", "R11", "PRINCIPAL_NOT_ALLOWED", b"alice2"),
    ("prefixed", "a name that ends like an allowed one", "R11", "PRINCIPAL_NOT_ALLOWED", b"malice"),
    ("pattern-of-nothing", "a star that stands for nothing", "R11", "PRINCIPAL_NOT_ALLOWED", b"deploy-"),
    (
        "pattern-over-dot",
        "a star that goes beyond a dot",
        "R11",
        "PRINCIPAL_NOT_ALLOWED",
        b"deploy-web.example",
    ),
    (
        "pattern-over-at",
        "a star that goes into another realm",
        "R11",
        "PRINCIPAL_NOT_ALLOWED",
        b"deploy-web@example",
    ),
    (
        "pattern-over-slash",
        "a star that leaves a directory",
        "R11",
        "PRINCIPAL_NOT_ALLOWED",
        b"deploy-/../root",
    ),
    ("pattern-over-colon", "a star that names a zone", "R11", "PRINCIPAL_NOT_ALLOWED", b"deploy-a:root"),
];

/// Rows whose key id is given.
const KEY_IDS: &[(&str, &str, &str, &str, &[u8])] = &[
    ("empty", "nothing for sshd to log", "R14", "KEY_ID_EMPTY", b""),
    ("nul", "a key id that ends early in C", "R35", "KEY_ID_CONTROL_CHARACTER", b"alice\0bob"),
    (
        "bidi",
        "a key id that a log shows backwards",
        "-",
        "KEY_ID_CONTROL_CHARACTER",
        "\u{202e}ecila".as_bytes(),
    ),
    (
        "zero-width",
        "a key id that looks like another",
        "-",
        "KEY_ID_CONTROL_CHARACTER",
        "ali\u{200b}ce".as_bytes(),
    ),
    (
        "newline",
        "a second line in sshd's log",
        "warp-tech/warpgate#2397",
        "KEY_ID_CONTROL_CHARACTER",
        b"alice\nAccepted publickey for root",
    ),
    (
        "carriage-return",
        "a log line that hides its start",
        "warp-tech/warpgate#2397",
        "KEY_ID_CONTROL_CHARACTER",
        b"mallory\ralice",
    ),
    (
        "escape",
        "colours and cursor movements for whoever reads the log",
        "R14",
        "KEY_ID_CONTROL_CHARACTER",
        b"\x1b[31malice",
    ),
    (
        "delete",
        "a character that erases",
        "warp-tech/warpgate#2397",
        "KEY_ID_CONTROL_CHARACTER",
        b"alice\x7f",
    ),
    (
        "c1-control",
        "a control sequence of one character",
        "warp-tech/warpgate#2397",
        "KEY_ID_CONTROL_CHARACTER",
        "alice\u{9b}31m".as_bytes(),
    ),
    ("1025-bytes", "a line of any length in sshd's log", "-", "KEY_ID_TOO_LONG", &[b'a'; 1025]),
    ("overlong-utf8", "NUL as Java writes it", "RFC 3629 §10", "KEY_ID_NOT_UTF8", b"alice\xc0\x80"),
    ("surrogate", "half of a UTF-16 pair", "RFC 3629 §3", "KEY_ID_NOT_UTF8", b"alice\xed\xb0\x80"),
    ("byte-ff", "a byte that is in no text", "RFC 3629 §3", "KEY_ID_NOT_UTF8", b"\xff"),
];

const SERIALS: &[Row<Forgery>] =
    &[("zero", "a certificate that no list can revoke by itself", "R29", "SERIAL_ZERO", |tbs| {
        tbs.serial = 0;
    })];

const TYPES: &[Row<Forgery>] = &[
    ("zero", "neither user nor host", "PROTOCOL.certkeys", "CERTIFICATE_TYPE_UNKNOWN", |tbs| tbs.kind = 0),
    ("three", "neither user nor host", "PROTOCOL.certkeys", "CERTIFICATE_TYPE_UNKNOWN", |tbs| tbs.kind = 3),
    (
        "little-endian",
        "a user in the wrong byte order",
        "PROTOCOL.certkeys",
        "CERTIFICATE_TYPE_UNKNOWN",
        |tbs| tbs.kind = 1 << 24,
    ),
    (
        "all-ones",
        "a type that is -1 where it is signed",
        "PROTOCOL.certkeys",
        "CERTIFICATE_TYPE_UNKNOWN",
        |tbs| tbs.kind = u32::MAX,
    ),
    (
        "host-by-user-ca",
        "a host certificate from the CA that users are known by",
        "B6",
        "CERTIFICATE_TYPE_NOT_ALLOWED",
        |tbs| {
            tbs.kind = 2;
            tbs.principals = vec![b"web.example.org".to_vec()];
            tbs.extensions.clear();
        },
    ),
];
