//! The data types of RFC 4251 §5: reading and writing `string`, `uint32`, `uint64` and `mpint`.
//!
//! Promised: a length is compared with what is left before anything is cut or allocated, and an mpint has one form.

use super::ParseError;
use crate::key::positive_integer;

/// What is left to read of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array(field).map(|[byte]| byte)
    }

    pub(crate) fn uint32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn uint64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.array(field).map(u64::from_be_bytes)
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a [u8], ParseError> {
        let needed = self.uint32(field)?;
        let left = self.rest.len();
        let (string, rest) = usize::try_from(needed)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len))
            .ok_or(ParseError::Truncated { field, needed, left })?;
        self.rest = rest;
        Ok(string)
    }

    /// The magnitude of an mpint that is not negative, without leading zeros; empty for zero.
    pub(crate) fn mpint(&mut self, field: &'static str) -> Result<&'a [u8], ParseError> {
        match self.string(field)? {
            [first, ..] if *first >= 0x80 => Err(ParseError::IntegerNegative { field }),
            [0, magnitude @ ..] if magnitude.first().is_some_and(|first| *first >= 0x80) => Ok(magnitude),
            [0, ..] => Err(ParseError::IntegerNotMinimal { field }),
            magnitude => Ok(magnitude),
        }
    }

    /// Nothing may be left; `after` is what was read last.
    pub(crate) fn finish(self, after: &'static str) -> Result<(), ParseError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(ParseError::TrailingBytes { after, count }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let needed = u32::try_from(N).unwrap_or(u32::MAX);
        let left = self.rest.len();
        let (array, rest) =
            self.rest.split_first_chunk().ok_or(ParseError::Truncated { field, needed, left })?;
        self.rest = rest;
        Ok(*array)
    }
}

pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    // No caller comes near 4 GiB; a length that is too small could only make a reader refuse the result.
    let len = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.extend(len.to_be_bytes());
    out.extend(string);
}

/// A number above zero.
pub(crate) fn put_mpint(out: &mut Vec<u8>, big_endian: &[u8]) {
    put_string(out, &positive_integer(big_endian));
}

/// The start of some bytes for a message: printable ASCII, the rest escaped, at most 64 bytes of them.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 64;
    match bytes.split_at_checked(MAX) {
        Some((start, rest)) if !rest.is_empty() => format!("{}…", start.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}
