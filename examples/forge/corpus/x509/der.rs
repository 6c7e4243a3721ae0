//! DER without a check: the library's own writer cannot make what a forgery needs.

use countersign_tbs::der::Oid;

/// An element of any tag, its length in the fewest octets.
pub fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = contents.len();
    let digits: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    let length = match u8::try_from(len) {
        Ok(short @ 0..0x80) => vec![short],
        _ => [vec![0x80 | u8::try_from(digits.len()).unwrap()], digits].concat(),
    };
    [&[tag][..], &length, contents].concat()
}

/// Tag and length of an element with so many bytes in it.
pub fn head(tag: u8, len: usize) -> Vec<u8> {
    let mut whole = der(tag, &vec![0; len]);
    whole.truncate(whole.len() - len);
    whole
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

pub fn set(parts: &[&[u8]]) -> Vec<u8> {
    der(0x31, &parts.concat())
}

pub fn int(contents: &[u8]) -> Vec<u8> {
    der(2, contents)
}

pub fn oid(dotted: &str) -> Vec<u8> {
    der(6, Oid::from_dotted(dotted).unwrap().as_bytes())
}

pub fn octets(contents: &[u8]) -> Vec<u8> {
    der(4, contents)
}

pub fn utf8(text: &str) -> Vec<u8> {
    der(12, text.as_bytes())
}

/// Stands for the digits of a UTCTime, so many seconds from the time of the test: as long as they are.
pub fn utc(seconds: i32) -> Vec<u8> {
    format!("~{seconds:+012}").into_bytes()
}

/// The same of a GeneralizedTime.
pub fn generalized(seconds: i32) -> Vec<u8> {
    format!("^{seconds:+014}").into_bytes()
}

/// Validity in UTCTime, from and to so many seconds from the time of the test.
pub fn validity(from: i32, to: i32) -> Vec<u8> {
    seq(&[&der(0x17, &utc(from)), &der(0x17, &utc(to))])
}

/// A name of one attribute in each relative name, as UTF8String.
pub fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdns = attributes.iter().map(|(kind, value)| set(&[&attribute(kind, &utf8(value))]));
    der(0x30, &rdns.collect::<Vec<_>>().concat())
}

pub fn attribute(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), value])
}

pub const CN: &str = "2.5.4.3";
pub const O: &str = "2.5.4.10";

pub fn extension(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &octets(value)])
}

pub fn critical(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &[1, 1, 0xff], &octets(value)])
}

pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub const KEY_USAGE: &str = "2.5.29.15";
pub const EXT_KEY_USAGE: &str = "2.5.29.37";
pub const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub const AUTHORITY_KEY_ID: &str = "2.5.29.35";
pub const SUBJECT_KEY_ID: &str = "2.5.29.14";
pub const NAME_CONSTRAINTS: &str = "2.5.29.30";

pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
pub const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
pub const SMART_CARD_LOGON: &str = "1.3.6.1.4.1.311.20.2.2";
pub const ANY_PURPOSE: &str = "2.5.29.37.0";

/// An extKeyUsage extension.
pub fn purposes(list: &[&str]) -> Vec<u8> {
    let list: Vec<_> = list.iter().map(|purpose| oid(purpose)).collect();
    extension(EXT_KEY_USAGE, &der(0x30, &list.concat()))
}

/// A subjectAltName extension, not critical.
pub fn names(list: &[Vec<u8>]) -> Vec<u8> {
    extension(SUBJECT_ALT_NAME, &der(0x30, &list.concat()))
}

pub fn dns(name: &str) -> Vec<u8> {
    der(0x82, name.as_bytes())
}

pub fn uri(uri: &str) -> Vec<u8> {
    der(0x86, uri.as_bytes())
}

pub fn email(address: &str) -> Vec<u8> {
    der(0x81, address.as_bytes())
}

pub fn ip(address: &[u8]) -> Vec<u8> {
    der(0x87, address)
}

pub fn directory(name: &[u8]) -> Vec<u8> {
    der(0xa4, name)
}

/// A user principal name, as UTF8String.
pub fn upn(name: &str) -> Vec<u8> {
    other("1.3.6.1.4.1.311.20.2.3", &utf8(name))
}

pub fn other(kind: &str, value: &[u8]) -> Vec<u8> {
    der(0xa0, &[oid(kind), der(0xa0, value)].concat())
}

/// The security identifier of an account, as its extension.
pub fn security_id(sid: &str) -> Vec<u8> {
    let name = other("1.3.6.1.4.1.311.25.2.1", &octets(sid.as_bytes()));
    extension("1.3.6.1.4.1.311.25.2", &seq(&[&name]))
}

/// A keyUsage extension, critical: unused bits, then bits.
pub fn key_usage(bits: &[u8]) -> Vec<u8> {
    critical(KEY_USAGE, &der(3, bits))
}

/// digitalSignature.
pub const SIGNS_DATA: &[u8] = &[7, 0x80];
/// keyCertSign and cRLSign.
pub const SIGNS_CERTIFICATES: &[u8] = &[1, 0x06];

pub fn is_ca(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map(|length| int(&[length])).unwrap_or_default();
    critical(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff], &length]))
}

pub fn authority(key_id: &[u8]) -> Vec<u8> {
    extension(AUTHORITY_KEY_ID, &seq(&[&der(0x80, key_id)]))
}

/// A SubjectPublicKeyInfo.
pub fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    seq(&[algorithm, &der(3, &[&[0], key].concat())])
}

pub fn ed25519(key: &[u8]) -> Vec<u8> {
    spki(&seq(&[&oid("1.3.101.112")]), key)
}

pub fn p256(point: &[u8]) -> Vec<u8> {
    ec("1.2.840.10045.3.1.7", point)
}

pub fn ec(curve: &str, point: &[u8]) -> Vec<u8> {
    spki(&seq(&[&oid("1.2.840.10045.2.1"), &oid(curve)]), point)
}

/// An RSA key of these two integers, written as they are.
pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    spki(&seq(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]), &seq(&[&int(modulus), &int(exponent)]))
}
