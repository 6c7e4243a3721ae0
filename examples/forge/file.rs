//! Cases as text: a head of `name: value` lines, an empty line, then the TBS, one field a line.
//!
//! A field is `name: PART PART …`; a part is hex, a byte and how often it comes (`61*1025`), or a placeholder: `<user-ca>`
//! for the point of that CA's key, `<sha1:ocsp-ca>` for a hash of that point, `<now+600>` for a time as uint64, `<utc+600>` and
//! `<generalized+600>` for one as the digits of UTCTime and GeneralizedTime. Promised: `read(write(x)) == x`.

use std::fmt::Write;

use countersign_tbs::der::{Time, Writer};

use crate::corpus::signers::{KEY_HASHES, KeyHash};
use crate::corpus::x509::der::{generalized, utc};
use crate::corpus::{CA_KEYS, Case, NOW};

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
    stand_in(bytes).map(|(stands_for, len)| (stands_for.to_string(), len))
}

/// What exists only at run time.
enum StandsFor {
    Point(&'static str),
    Hash(&'static KeyHash),
    /// In seconds from now.
    Now(i32),
    Utc(i32),
    Generalized(i32),
}

impl std::fmt::Display for StandsFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Point(key) => write!(f, "<{key}>"),
            Self::Hash(hash) => write!(f, "<{}>", hash.name),
            Self::Now(seconds) => write!(f, "<now{seconds:+}>"),
            Self::Utc(seconds) => write!(f, "<utc{seconds:+}>"),
            Self::Generalized(seconds) => write!(f, "<generalized{seconds:+}>"),
        }
    }
}

/// What `bytes` begin with, if it is a stand-in, and its length.
fn stand_in(bytes: &[u8]) -> Option<(StandsFor, usize)> {
    if let Some((key, point)) = CA_KEYS.iter().find(|(_, point)| bytes.starts_with(point)) {
        return Some((StandsFor::Point(key), point.len()));
    }
    if let Some(hash) = KEY_HASHES.iter().find(|hash| bytes.starts_with(hash.stand_in)) {
        return Some((StandsFor::Hash(hash), hash.stand_in.len()));
    }
    let seconds = |digits| str::from_utf8(digits).ok()?.parse().ok();
    if let Some([b'~', digits @ ..]) = bytes.first_chunk::<13>() {
        return Some((StandsFor::Utc(seconds(digits)?), 13));
    }
    if let Some([b'^', digits @ ..]) = bytes.first_chunk::<15>() {
        return Some((StandsFor::Generalized(seconds(digits)?), 15));
    }
    let time = u64::from_be_bytes(*bytes.first_chunk()?);
    let seconds = i32::try_from(time.wrapping_sub(NOW).cast_signed()).ok()?;
    Some((StandsFor::Now(seconds), 8))
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
    let named = |(key, _): &&(&str, [u8; 65])| text == format!("<{key}>");
    if let Some((_, point)) = CA_KEYS.iter().find(named) {
        return point.to_vec();
    }
    if let Some(hash) = KEY_HASHES.iter().find(|hash| text == format!("<{}>", hash.name)) {
        return hash.stand_in.to_vec();
    }
    let seconds = |word| text.strip_prefix(word).and_then(|rest| rest.strip_suffix('>'));
    if let Some(seconds) = seconds("<now") {
        return NOW.wrapping_add_signed(seconds.parse().unwrap()).to_be_bytes().to_vec();
    }
    if let Some(seconds) = seconds("<utc") {
        return utc(seconds.parse().unwrap());
    }
    if let Some(seconds) = seconds("<generalized") {
        return generalized(seconds.parse().unwrap());
    }
    let (hex, times) = text.split_once('*').map_or((text, 1), |(byte, times)| (byte, times.parse().unwrap()));
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    bytes.collect::<Vec<_>>().repeat(times)
}

/// The bytes to send: the stand-ins replaced by the keys' points, which `point` knows by their names, and the time.
pub fn bytes(case: &Case, point: impl Fn(&str) -> Vec<u8>, now: u64) -> Vec<u8> {
    let whole: Vec<u8> = case.tbs.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let (mut rest, mut out) = (whole.as_slice(), Vec::new());
    let at = |seconds: i32| now.wrapping_add_signed(seconds.into());
    while let Some(byte) = rest.first() {
        let (stands_for, len) = stand_in(rest).map_or((None, 1), |(stands_for, len)| (Some(stands_for), len));
        out.extend(match stands_for {
            None => vec![*byte],
            Some(StandsFor::Point(key)) => point(key),
            Some(StandsFor::Hash(hash)) => hash.of(&point(hash.key)),
            Some(StandsFor::Now(seconds)) => at(seconds).to_be_bytes().to_vec(),
            Some(StandsFor::Utc(seconds)) => digits(at(seconds), Writer::time),
            Some(StandsFor::Generalized(seconds)) => digits(at(seconds), Writer::generalized_time),
        });
        rest = &rest[len..];
    }
    out
}

/// The digits of a time: what follows tag and length.
fn digits(seconds: u64, write: fn(&mut Writer, Time)) -> Vec<u8> {
    let time = Time::from_unix_secs(seconds).filter(|time| time.is_utc_time()).unwrap();
    Writer::collect(|w| write(w, time)).split_off(2)
}
