//! Serial numbers.

use std::fmt;

use super::{ParseError, Rule};
use crate::der::{Reader, Writer, tag};

/// A positive serial number of at most 20 octets (RFC 5280 §4.1.2.2), big-endian without leading zeros.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SerialNumber(Digits);

/// A non-negative integer whose INTEGER contents take at most 20 octets: shorter ones sort first.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Digits {
    len: usize,
    octets: [u8; Digits::MAX_LEN],
}

impl Digits {
    const MAX_LEN: usize = 20;
    pub(crate) const ZERO: Self = Self { len: 0, octets: [0; Self::MAX_LEN] };

    /// `None` above 20 octets of INTEGER, of which the first bit carries the sign.
    pub(crate) fn new(magnitude: &[u8]) -> Option<Self> {
        let zeros = magnitude.iter().take_while(|&&octet| octet == 0).count();
        let digits = magnitude.get(zeros..)?;
        if digits.len() == Self::MAX_LEN && digits.first().is_some_and(|&first| first >= 0x80) {
            return None;
        }
        let mut octets = [0; Self::MAX_LEN];
        octets.get_mut(..digits.len())?.copy_from_slice(digits);
        Some(Self { len: digits.len(), octets })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// `None` if the sum is above 20 octets of INTEGER.
    pub(crate) fn checked_add(&self, more: u64) -> Option<Self> {
        // From the last octet on; what is left of `carry` after the first one does not fit.
        let (mut sum, mut carry) = ([0; Self::MAX_LEN], u128::from(more));
        let digits = self.as_bytes().iter().rev().copied().chain(std::iter::repeat(0));
        for (to, octet) in sum.iter_mut().rev().zip(digits) {
            carry += u128::from(octet);
            [.., *to] = carry.to_be_bytes();
            carry >>= 8;
        }
        if carry == 0 { Self::new(&sum) } else { None }
    }
}

impl SerialNumber {
    /// `None` for zero, and above 20 octets of INTEGER.
    #[must_use]
    pub fn new(magnitude: &[u8]) -> Option<Self> {
        Digits::new(magnitude).filter(|digits| digits.len > 0).map(Self)
    }

    /// 128 bits from the operating system after a first octet of 1, which keeps the number positive and of one length.
    ///
    /// # Errors
    /// If the operating system has no random bytes to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        const LEN: usize = 17;
        let mut octets = [0; Digits::MAX_LEN];
        let [first, random @ ..] = &mut octets;
        *first = 1;
        getrandom::fill(random.get_mut(..LEN - 1).unwrap_or_default())?;
        Ok(Self(Digits { len: LEN, octets }))
    }

    /// The big-endian magnitude: 1 to 20 octets, the first not zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        let value = reader.unsigned(tag::INTEGER, field)?;
        Self::new(value.rest()).ok_or_else(|| Rule::SerialNumber.at(&value, field))
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.unsigned(tag::INTEGER, self.as_bytes());
    }
}

impl fmt::Display for SerialNumber {
    /// Lowercase hexadecimal, two digits an octet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}
