//! Cases as text: a head of `name: value` lines, an empty line, then the TBS, one field a line.
//!
//! A field is `name: PART PART …`; a part is hex, a byte and how often it comes (`61*1025`), or a placeholder: `<user-ca>`
//! and `<host-ca>` for the point of that CA's key, `<now+600>` for a time as uint64. Promised: `read(write(x)) == x`.

use std::fmt::Write;

use crate::corpus::{Case, HOST_CA, NOW, USER_CA};

const HEAD: &str = "# Written by `cargo run --example forge` from examples/forge/corpus/: change that.\n";
/// From how many equal bytes on a repetition is shorter to read.
const REPEAT: usize = 40;

/// A case as text.
pub fn write(case: &Case) -> String {
    let mut out = HEAD.to_owned();
    for (name, value) in head(case) {
        writeln!(out, "{name}: {value}").unwrap();
    }
    out.push('\n');
    for (name, bytes) in &case.tbs {
        writeln!(out, "{name}:{}", parts(bytes)).unwrap();
    }
    out
}

fn head(case: &Case) -> [(&'static str, &str); 7] {
    [
        ("attack", &case.attack),
        ("field", &case.field),
        ("source", &case.source),
        ("key", &case.key),
        ("kind", &case.kind),
        ("reason", &case.reason),
        ("rule", &case.rule),
    ]
}

fn parts(mut bytes: &[u8]) -> String {
    let (mut out, mut gap) = (String::new(), true);
    while let [byte, rest @ ..] = bytes {
        let repeats = bytes.iter().take_while(|other| *other == byte).count();
        let (part, len) = match placeholder(bytes) {
            Some(found) => found,
            None if repeats >= REPEAT => (format!("{byte:02x}*{repeats}"), repeats),
            None => {
                out.push_str(if gap { " " } else { "" });
                write!(out, "{byte:02x}").unwrap();
                (bytes, gap) = (rest, false);
                continue;
            }
        };
        write!(out, " {part}").unwrap();
        (bytes, gap) = (&bytes[len..], true);
    }
    out
}

fn placeholder(bytes: &[u8]) -> Option<(String, usize)> {
    for (name, point) in [("<user-ca>", USER_CA), ("<host-ca>", HOST_CA)] {
        if bytes.starts_with(&point) {
            return Some((name.to_owned(), point.len()));
        }
    }
    let time = u64::from_be_bytes(*bytes.first_chunk()?);
    let seconds = time.wrapping_sub(NOW).cast_signed();
    i32::try_from(seconds).ok().map(|seconds| (format!("<now{seconds:+}>"), 8))
}

/// What stands in a file. `name` is the file's without its ending.
pub fn read(name: &str, text: &str) -> Case {
    let (head, body) = text.strip_prefix(HEAD).unwrap().split_once("\n\n").unwrap();
    let mut values = head.lines().map(|line| line.split_once(": ").unwrap());
    let mut value = |wanted: &str| {
        let (name, value) = values.next().unwrap();
        assert_eq!(name, wanted);
        value.to_owned()
    };
    Case {
        name: name.to_owned(),
        attack: value("attack"),
        field: value("field"),
        source: value("source"),
        key: value("key"),
        kind: value("kind"),
        reason: value("reason"),
        rule: value("rule"),
        tbs: body.lines().map(field).collect(),
    }
}

fn field(line: &str) -> (String, Vec<u8>) {
    let (name, parts) = line.split_once(':').unwrap();
    (name.to_owned(), parts.split_whitespace().flat_map(part).collect())
}

fn part(text: &str) -> Vec<u8> {
    match text {
        "<user-ca>" => return USER_CA.to_vec(),
        "<host-ca>" => return HOST_CA.to_vec(),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix("<now").and_then(|rest| rest.strip_suffix('>')) {
        return NOW.wrapping_add_signed(seconds.parse().unwrap()).to_be_bytes().to_vec();
    }
    let (hex, times) = text.split_once('*').map_or((text, 1), |(byte, times)| (byte, times.parse().unwrap()));
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    bytes.collect::<Vec<_>>().repeat(times)
}

/// The bytes to send: the stand-ins replaced by the keys' points and the time.
pub fn bytes(case: &Case, user_ca: &[u8], host_ca: &[u8], now: u64) -> Vec<u8> {
    let whole: Vec<u8> = case.tbs.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let (mut rest, mut out) = (whole.as_slice(), Vec::new());
    while let Some(byte) = rest.first() {
        let (filled, len) = match placeholder(rest) {
            Some((name, len)) if name == "<user-ca>" => (user_ca.to_vec(), len),
            Some((name, len)) if name == "<host-ca>" => (host_ca.to_vec(), len),
            Some((_, len)) => {
                let offset = u64::from_be_bytes(*rest.first_chunk().unwrap()).wrapping_sub(NOW);
                (now.wrapping_add(offset).to_be_bytes().to_vec(), len)
            }
            None => (vec![*byte], 1),
        };
        out.extend(filled);
        rest = &rest[len..];
    }
    out
}
