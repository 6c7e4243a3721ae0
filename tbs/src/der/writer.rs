//! Writes DER; what the types of the arguments allow is always canonical, but lists are not sorted here.

use super::{Oid, StringKind, Time, tag};

/// Bytes under construction.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Runs `write` and returns what it wrote.
    #[must_use]
    pub fn collect(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::default();
        write(&mut writer);
        writer.0
    }

    /// Elements that are DER already.
    pub fn raw(&mut self, der: &[u8]) {
        self.0.extend_from_slice(der);
    }

    /// An element with the contents that `write` writes.
    pub fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.0.push(tag);
        let start = self.0.len();
        write(self);
        let len = self.0.len() - start;
        self.0.splice(start..start, length_octets(len));
    }

    /// A primitive element.
    pub fn value(&mut self, tag: u8, contents: &[u8]) {
        self.nested(tag, |w| w.raw(contents));
    }

    /// SEQUENCE.
    pub fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(tag::SEQUENCE, write);
    }

    /// BOOLEAN TRUE, or an implicit tag of one. FALSE is the default of every field here, so it is never written.
    pub fn set_flag(&mut self, tag: u8) {
        self.value(tag, &[0xff]);
    }

    /// INTEGER, ENUMERATED or an implicit tag of one, from a big-endian magnitude.
    pub fn unsigned(&mut self, tag: u8, magnitude: &[u8]) {
        let zeros = magnitude.iter().take_while(|&&octet| octet == 0).count();
        let digits = magnitude.get(zeros..).unwrap_or_default();
        self.nested(tag, |w| {
            if digits.first().is_none_or(|&first| first >= 0x80) {
                w.0.push(0);
            }
            w.raw(digits);
        });
    }

    /// INTEGER, ENUMERATED or an implicit tag of one.
    pub fn small(&mut self, tag: u8, number: u16) {
        self.unsigned(tag, &number.to_be_bytes());
    }

    /// OBJECT IDENTIFIER.
    pub fn oid(&mut self, oid: &Oid) {
        self.known_oid(oid.as_bytes());
    }

    /// OBJECT IDENTIFIER from its contents octets, one of [`super::oids`].
    pub fn known_oid(&mut self, contents: &[u8]) {
        self.value(tag::OID, contents);
    }

    /// BIT STRING of whole octets.
    pub fn bit_string(&mut self, octets: &[u8]) {
        self.nested(tag::BIT_STRING, |w| {
            w.0.push(0);
            w.raw(octets);
        });
    }

    /// BIT STRING with named bits, in the order of [`super::Reader::named_bits`].
    pub fn named_bits(&mut self, bits: u16) {
        let octets = bits.to_le_bytes().map(u8::reverse_bits);
        let used = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        let octets = octets.get(..used).unwrap_or_default();
        let unused = octets.last().map_or(0, |last| last.trailing_zeros().to_le_bytes()[0]);
        self.nested(tag::BIT_STRING, |w| {
            w.0.push(unused);
            w.raw(octets);
        });
    }

    /// A character string of `kind`.
    pub fn text(&mut self, kind: StringKind, text: &str) {
        self.value(kind.tag(), text.as_bytes());
    }

    /// Time as RFC 5280 §4.1.2.5 wants it: UTCTime through 2049, GeneralizedTime from 2050.
    pub fn time(&mut self, time: Time) {
        if time.is_utc_time() {
            self.value(tag::UTC_TIME, time.to_utc_time().as_bytes());
        } else {
            self.generalized_time(time);
        }
    }

    /// GeneralizedTime.
    pub fn generalized_time(&mut self, time: Time) {
        self.value(tag::GENERALIZED_TIME, time.to_generalized_time().as_bytes());
    }
}

/// The definite form in the fewest octets (X.690 §10.1).
fn length_octets(len: usize) -> impl Iterator<Item = u8> {
    let digits = len.to_be_bytes();
    let zeros = digits.iter().take_while(|&&octet| octet == 0).count();
    let long = (len >= 0x80).then(|| 0x80 | u8::try_from(digits.len() - zeros).unwrap_or(0));
    // The short form is the last digit alone, which is also there for zero.
    let skipped = if long.is_some() { zeros } else { digits.len() - 1 };
    long.into_iter().chain(digits.into_iter().skip(skipped))
}
