//! What a certificate restricts and permits: critical options, extensions, the reserved field.

use super::{Case, Row, forged};
use crate::forge::{Forgery, string};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged("critical options", CRITICAL),
        forged("extensions", EXTENSIONS),
        forged("reserved", RESERVED),
        SOURCE_ADDRESSES.iter().map(|row| with_value("source-address", row)).collect(),
        FORCE_COMMANDS.iter().map(|row| with_value("force-command", row)).collect(),
    ];
    lists.concat()
}

type Options = Vec<(Vec<u8>, Vec<u8>)>;

fn flag(options: &mut Options, name: &[u8]) {
    *options = vec![(name.to_vec(), Vec::new())];
}

fn put(options: &mut Options, name: &str, data: Vec<u8>) {
    options.push((name.as_bytes().to_vec(), data));
}

fn with_value(option: &'static str, row: &(&str, &str, &str, &str, &[u8])) -> Case {
    let &(name, attack, source, reason, value) = row;
    let mut tbs = super::base();
    put(&mut tbs.critical_options, option, string(value));
    Case::new("critical options", (&format!("{option}-{name}"), attack, source, reason), tbs.fields())
}

const CRITICAL: &[Row<Forgery>] = &[
    ("unknown", "an option that no server knows", "R13", "CRITICAL_OPTION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.critical_options, b"trust-me");
    }),
    (
        "unknown-with-domain",
        "a vendor's option that the profile does not list",
        "R13",
        "CRITICAL_OPTION_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "role@example.org", string(b"admin"));
        },
    ),
    (
        "other-case",
        "a name that a lenient reader takes for another",
        "R13",
        "CRITICAL_OPTION_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "Force-Command", string(b"/usr/bin/backup"));
        },
    ),
    (
        "extension-name",
        "an extension among the critical options",
        "R13",
        "CRITICAL_OPTION_NOT_ALLOWED",
        |tbs| flag(&mut tbs.critical_options, b"permit-pty"),
    ),
    (
        "verify-required",
        "an option that the profile does not list",
        "R13",
        "CRITICAL_OPTION_NOT_ALLOWED",
        |tbs| flag(&mut tbs.critical_options, b"verify-required"),
    ),
    ("verify-required-value", "a flag with a value", "PROTOCOL.certkeys", "OPTION_TAKES_NO_VALUE", |tbs| {
        put(&mut tbs.critical_options, "verify-required", string(b"no"));
    }),
    (
        "force-command-no-data",
        "a restriction that is there and restricts nothing",
        "B5, golang/crypto b9229ec",
        "OPTION_NEEDS_VALUE",
        |tbs| flag(&mut tbs.critical_options, b"force-command"),
    ),
    (
        "source-address-no-data",
        "a restriction that is there and restricts nothing",
        "B5, golang/crypto b9229ec",
        "OPTION_NEEDS_VALUE",
        |tbs| flag(&mut tbs.critical_options, b"source-address"),
    ),
    (
        "force-command-not-wrapped",
        "a value without the string around it",
        "RustCrypto/SSH#207",
        "OPTION_NOT_WRAPPED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", b"/usr/bin/backup".to_vec());
        },
    ),
    (
        "source-address-not-wrapped",
        "a value without the string around it",
        "RustCrypto/SSH#207",
        "OPTION_NOT_WRAPPED",
        |tbs| {
            put(&mut tbs.critical_options, "source-address", b"10.0.0.1".to_vec());
        },
    ),
    (
        "force-command-wrapped-twice",
        "a value with one string too many",
        "RustCrypto/SSH#207",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", string(&string(b"/usr/bin/backup")));
        },
    ),
    (
        "force-command-trailing",
        "bytes behind the value that nobody reads",
        "B5",
        "OPTION_TRAILING_BYTES",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", [string(b"/usr/bin/backup"), vec![0]].concat());
        },
    ),
    (
        "force-command-two-values",
        "two values, of which each reader takes its own",
        "B5",
        "OPTION_TRAILING_BYTES",
        |tbs| {
            put(
                &mut tbs.critical_options,
                "force-command",
                [string(b"/usr/bin/backup"), string(b"/bin/sh")].concat(),
            );
        },
    ),
    (
        "force-command-overrun",
        "a value whose length goes beyond its option",
        "B5",
        "OPTION_NOT_WRAPPED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", [&[0, 0, 1, 0][..], b"/usr/bin/backup"].concat());
        },
    ),
    ("force-command-16-kib", "a value to fill memory with", "-", "OPTION_VALUE_TOO_LONG", |tbs| {
        put(&mut tbs.critical_options, "force-command", string(&[b'a'; 16 * 1024 + 1]));
    }),
    ("twice", "two commands, of which each reader takes its own", "R35", "OPTION_DUPLICATE", |tbs| {
        put(&mut tbs.critical_options, "force-command", string(b"/usr/bin/backup"));
        put(&mut tbs.critical_options, "force-command", string(b"/bin/sh"));
    }),
    ("not-sorted", "options out of order", "PROTOCOL.certkeys", "OPTIONS_NOT_SORTED", |tbs| {
        put(&mut tbs.critical_options, "source-address", string(b"10.0.0.1"));
        put(&mut tbs.critical_options, "force-command", string(b"/usr/bin/backup"));
    }),
    ("65", "more options than any certificate has", "-", "OPTIONS_TOO_MANY", |tbs| {
        tbs.critical_options =
            (0..65).map(|number| (format!("option-{number:02}").into_bytes(), Vec::new())).collect();
    }),
    ("name-empty", "an option without a name", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.critical_options, b"");
    }),
    ("name-space", "a name with a space", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.critical_options, b"force command");
    }),
    ("name-nul", "a name that ends early in C", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.critical_options, b"force-command\0");
    }),
    ("name-not-ascii", "a name beyond ASCII", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.critical_options, "fo\u{440}ce-command".as_bytes());
    }),
    ("name-65-bytes", "a longer name than there are", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.critical_options, &[b'a'; 65]);
    }),
];

const SOURCE_ADDRESSES: &[(&str, &str, &str, &str, &[u8])] = &[
    (
        "empty",
        "a restriction that is there and restricts nothing",
        "B5, golang/crypto b9229ec",
        "OPTION_NEEDS_VALUE",
        b"",
    ),
    (
        "outside",
        "a network that the profile does not list",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"192.0.2.0/24",
    ),
    ("everywhere", "every address", "R13", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"0.0.0.0/0"),
    (
        "everywhere-v6",
        "every address of the other family",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"::/0",
    ),
    (
        "wider",
        "a network that the allowed one is part of",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"10.0.0.0/7",
    ),
    (
        "second-outside",
        "a network that is allowed and one that is not",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"10.0.0.0/8,0.0.0.0/0",
    ),
    (
        "empty-item",
        "an empty item, which matches in lenient readers",
        "B5",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"10.0.0.1,",
    ),
    ("comma", "a list of empty items", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b","),
    ("space", "a list with white space", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"10.0.0.1, 10.0.0.2"),
    ("host-bits", "bits beyond the prefix", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"10.0.0.1/8"),
    ("negated", "a pattern list's negation", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"!10.0.0.1"),
    ("wildcard", "a pattern", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"10.*"),
    (
        "octal",
        "a leading zero, octal to some readers",
        "B5",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"010.0.0.1",
    ),
    ("short", "an address of two numbers", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"10.1"),
    ("mapped", "an IPv4 address in IPv6", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"::ffff:10.0.0.1"),
    (
        "host-name",
        "a name that somebody else resolves",
        "B5",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"example.org",
    ),
    (
        "prefix-33",
        "a prefix longer than the address",
        "B5",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"10.0.0.0/33",
    ),
    ("nul", "a value that ends early in C", "B5", "CRITICAL_OPTION_VALUE_NOT_ALLOWED", b"10.0.0.1\0"),
];

const FORCE_COMMANDS: &[(&str, &str, &str, &str, &[u8])] = &[
    ("empty", "a restriction that is there and restricts nothing", "B5", "OPTION_NEEDS_VALUE", b""),
    (
        "shell",
        "a command that the profile does not list",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/bin/sh",
    ),
    (
        "second-command",
        "another command behind the allowed one",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup; sh",
    ),
    (
        "second-line",
        "another command on the next line",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup\nsh",
    ),
    (
        "argument",
        "an argument that was not allowed",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup --to=/",
    ),
    (
        "nul",
        "a command that ends early in C",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup\0sh",
    ),
    (
        "leading-space",
        "a command that a lenient reader trims",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b" /usr/bin/backup",
    ),
    (
        "not-utf8",
        "a command that is no text",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup\xff",
    ),
    (
        "traversal",
        "another way to another program",
        "R13",
        "CRITICAL_OPTION_VALUE_NOT_ALLOWED",
        b"/usr/bin/backup/../sh",
    ),
];

const EXTENSIONS: &[Row<Forgery>] = &[
    ("port-forwarding", "a way into the network", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"permit-port-forwarding");
    }),
    ("agent-forwarding", "a way to the user's other keys", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"permit-agent-forwarding");
    }),
    ("x11-forwarding", "a way to the user's screen", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"permit-X11-forwarding");
    }),
    ("user-rc", "a script that runs at login", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"permit-user-rc");
    }),
    ("no-touch-required", "a security key without its owner", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"no-touch-required");
    }),
    ("unknown", "an extension that the profile does not list", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"root@example.org");
    }),
    ("good-and-bad", "an extension behind an allowed one", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        put(&mut tbs.extensions, "permit-user-rc", Vec::new());
    }),
    ("other-case", "a name that a lenient reader takes for another", "R13", "EXTENSION_NOT_ALLOWED", |tbs| {
        flag(&mut tbs.extensions, b"Permit-Pty");
    }),
    ("force-command", "a restriction where servers may ignore it", "B5", "EXTENSION_NOT_ALLOWED", |tbs| {
        tbs.extensions = vec![(b"force-command".to_vec(), string(b"/usr/bin/backup"))];
    }),
    ("source-address", "a restriction where servers may ignore it", "B5", "EXTENSION_NOT_ALLOWED", |tbs| {
        tbs.extensions = vec![(b"source-address".to_vec(), string(b"10.0.0.1"))];
    }),
    (
        "port-forwarding-beside-force-command",
        "a way around the forced command",
        "warp-tech/warpgate#2397",
        "EXTENSION_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", string(b"/usr/bin/backup"));
            flag(&mut tbs.extensions, b"permit-port-forwarding");
        },
    ),
    (
        "agent-forwarding-beside-force-command",
        "a way around the forced command",
        "warp-tech/warpgate#2397",
        "EXTENSION_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", string(b"/usr/bin/backup"));
            flag(&mut tbs.extensions, b"permit-agent-forwarding");
        },
    ),
    (
        "x11-forwarding-beside-force-command",
        "a way around the forced command",
        "warp-tech/warpgate#2397",
        "EXTENSION_NOT_ALLOWED",
        |tbs| {
            put(&mut tbs.critical_options, "force-command", string(b"/usr/bin/backup"));
            flag(&mut tbs.extensions, b"permit-X11-forwarding");
        },
    ),
    ("value", "a flag with a value", "PROTOCOL.certkeys", "OPTION_TAKES_NO_VALUE", |tbs| {
        tbs.extensions = vec![(b"permit-pty".to_vec(), string(b"no"))];
    }),
    (
        "empty-value",
        "a flag with an empty string in it",
        "RustCrypto/SSH#207",
        "OPTION_TAKES_NO_VALUE",
        |tbs| {
            tbs.extensions = vec![(b"permit-pty".to_vec(), string(b""))];
        },
    ),
    (
        "not-wrapped",
        "a value without the string around it",
        "RustCrypto/SSH#207",
        "OPTION_NOT_WRAPPED",
        |tbs| {
            tbs.extensions = vec![(b"permit-pty".to_vec(), b"x".to_vec())];
        },
    ),
    ("twice", "one extension twice", "R35", "OPTION_DUPLICATE", |tbs| {
        put(&mut tbs.extensions, "permit-pty", Vec::new());
    }),
    ("not-sorted", "extensions out of order", "PROTOCOL.certkeys", "OPTIONS_NOT_SORTED", |tbs| {
        put(&mut tbs.extensions, "permit-X11-forwarding", Vec::new());
    }),
    ("65", "more extensions than any certificate has", "-", "OPTIONS_TOO_MANY", |tbs| {
        tbs.extensions =
            (0..65).map(|number| (format!("option-{number:02}").into_bytes(), Vec::new())).collect();
    }),
    ("name-empty", "an extension without a name", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.extensions, b"");
    }),
    ("name-nul", "a name that ends early in C", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.extensions, b"permit-pty\0");
    }),
    ("name-newline", "a second line in a log", "RFC 4251 §6", "OPTION_NAME_INVALID", |tbs| {
        flag(&mut tbs.extensions, b"permit-pty\n");
    }),
];

const RESERVED: &[Row<Forgery>] = &[
    ("one-byte", "a byte that nobody reads today", "PROTOCOL.certkeys", "RESERVED_NOT_EMPTY", |tbs| {
        tbs.reserved = vec![0];
    }),
    ("30-kib", "room to search for a collision in", "PROTOCOL.certkeys", "RESERVED_NOT_EMPTY", |tbs| {
        tbs.reserved = vec![0x5a; 30 * 1024];
    }),
];
