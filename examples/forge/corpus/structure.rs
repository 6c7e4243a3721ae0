//! Lengths and ends: a TBS that is cut, continued, or says that a field is longer than it is.

use super::{Case, Fields, base};
use crate::forge::string;

/// The fields that begin with a length.
const STRINGS: [&str; 9] = [
    "type",
    "nonce",
    "subject key",
    "key id",
    "principals",
    "critical options",
    "extensions",
    "reserved",
    "ca key",
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let good = base().fields();
    for (index, (field, bytes)) in good.iter().enumerate() {
        let before = ("cut-before", "a TBS that ends early", "RFC 4251 §5", "TBS_TRUNCATED");
        cases.push(Case::new(field, before, good[..index].to_vec()));
        let mut cut = good[..=index].to_vec();
        cut[index].1.truncate(bytes.len() / 2);
        let within = ("cut-within", "a TBS that ends within a field", "RFC 4251 §5", "TBS_TRUNCATED");
        cases.push(Case::new(field, within, cut));
    }
    for field in STRINGS {
        cases.push(with_length(field, "length-4-gib", "a length to allocate by", [0xff; 4]));
        cases.push(with_length(
            field,
            "length-negative",
            "a length below zero where it is signed",
            [0x80, 0, 0, 0],
        ));
        cases.push(with_length(field, "length-64-kib", "a length just beyond the end", [0, 1, 0, 0]));
    }
    cases.extend(WHOLE.iter().map(|&(name, attack, reason, make)| {
        Case::new("whole", (name, attack, "R35", reason), make(good.clone()))
    }));
    cases
}

fn with_length(field: &'static str, name: &str, attack: &str, length: [u8; 4]) -> Case {
    let mut fields = base().fields();
    let (_, bytes) = fields.iter_mut().find(|(name, _)| *name == field).unwrap();
    bytes[..4].copy_from_slice(&length);
    Case::new(field, (name, attack, "RFC 4251 §5", "TBS_TRUNCATED"), fields)
}

/// The same fields with one replaced.
fn replaced(mut fields: Fields, field: &str, bytes: Vec<u8>) -> Fields {
    fields.iter_mut().find(|(name, _)| *name == field).unwrap().1 = bytes;
    fields
}

/// The same fields and one more.
fn followed(mut fields: Fields, name: &'static str, bytes: Vec<u8>) -> Fields {
    fields.push((name, bytes));
    fields
}

type Whole = (&'static str, &'static str, &'static str, fn(Fields) -> Fields);

const WHOLE: &[Whole] = &[
    ("nul-after", "a byte that nobody reads", "TBS_TRAILING_BYTES", |tbs| followed(tbs, "more", vec![0])),
    ("newline-after", "a file's last line break", "TBS_TRAILING_BYTES", |tbs| {
        followed(tbs, "more", vec![b'\n'])
    }),
    ("signature-after", "a finished certificate", "TBS_TRAILING_BYTES", |tbs| {
        let signature =
            [string(b"ecdsa-sha2-nistp256"), string(&[string(&[1; 32]), string(&[2; 32])].concat())].concat();
        followed(tbs, "signature", string(&signature))
    }),
    ("empty-signature-after", "a finished certificate without a signature", "TBS_TRAILING_BYTES", |tbs| {
        followed(tbs, "signature", string(b""))
    }),
    ("twice", "two certificates for one signature", "TBS_TRAILING_BYTES", |tbs| [tbs.clone(), tbs].concat()),
    ("too-large", "more bytes than any certificate has", "TBS_TOO_LARGE", |tbs| {
        followed(tbs, "more", vec![0; 33 * 1024])
    }),
    ("too-large-key-id", "more bytes than any certificate has, in one field", "TBS_TOO_LARGE", |tbs| {
        replaced(tbs, "key id", string(&[b'a'; 33 * 1024]))
    }),
    ("wrapped", "a string around the TBS", "TYPE_UNKNOWN", |tbs| {
        vec![("bytes", string(&tbs.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>()))]
    }),
    ("without-nonce", "the format without a nonce: the key takes its place", "KEY_INVALID", |tbs| {
        tbs.into_iter().filter(|(name, _)| *name != "nonce").collect()
    }),
    ("principals-overrun", "a principal that goes beyond its list", "TBS_TRUNCATED", |tbs| {
        replaced(tbs, "principals", string(&[&[0, 0, 0, 6][..], b"alice"].concat()))
    }),
    ("principals-bare", "a name where a list of names belongs", "TBS_TRUNCATED", |tbs| {
        replaced(tbs, "principals", string(b"alice"))
    }),
    ("principals-trailing", "half a length behind the last principal", "TBS_TRUNCATED", |tbs| {
        replaced(tbs, "principals", string(&[&string(b"alice")[..], &[0, 0]].concat()))
    }),
    ("options-overrun", "an option that goes beyond its list", "TBS_TRUNCATED", |tbs| {
        replaced(
            tbs,
            "critical options",
            string(&[&string(b"force-command")[..], &[0, 0, 1, 0, b'a']].concat()),
        )
    }),
    ("option-without-data", "an option of a name alone", "TBS_TRUNCATED", |tbs| {
        replaced(tbs, "extensions", string(&string(b"permit-pty")))
    }),
    ("host-order-lengths", "lengths in the wrong byte order", "TBS_TRUNCATED", |tbs| {
        let mut tbs = tbs;
        tbs[0].1[..4].reverse();
        tbs
    }),
    ("serial-32-bits", "a serial of half its size", "CERTIFICATE_TYPE_UNKNOWN", |tbs| {
        replaced(tbs, "serial", vec![0, 0, 0, 42])
    }),
    ("validity-32-bits", "times of half their size: both are read as one", "VALIDITY_INVERTED", |tbs| {
        let tbs = replaced(tbs, "valid after", vec![0x6b, 0x49, 0xd2, 0]);
        replaced(tbs, "valid before", vec![0x6b, 0x49, 0xd2, 1])
    }),
];
