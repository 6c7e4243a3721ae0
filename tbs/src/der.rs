//! DER (X.690 §10 and §11), strictly: the reader and the writer of every X.509 object here.
//!
//! In: bytes and the tag that must come next. Out: contents, with their place in the input for error messages.
//! Promised: one encoding per value, every length checked against what is there before it is used, no allocation that
//! the input's length does not bound, no panic. Nothing here calls itself: elements nest as deep as the caller's grammar
//! spells out and no deeper. Multi-byte tags do not occur in that grammar, so they never match. Not done here: meaning.

mod error;
mod oid;
mod text;
mod time;
mod writer;

pub use error::{DerError, DerRule};
pub use oid::{Oid, oids};
pub use text::StringKind;
pub use time::Time;
pub use writer::Writer;

/// Identifier octets (X.690 §8.1.2).
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// `[n]`, implicit, of a primitive type; `n` is at most 30.
    #[must_use]
    pub const fn primitive(n: u8) -> u8 {
        0x80 | n
    }

    /// `[n]`, explicit or of a constructed type; `n` is at most 30.
    #[must_use]
    pub const fn constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// A place in the input: what is left to read there, and how far from the input's start it is.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `input` from its start.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input, offset: 0 }
    }

    /// What is left to read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes from the start of the input to [`Self::rest`].
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether `tag` comes next.
    #[must_use]
    pub fn next_is(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// An error about `field`, here.
    #[must_use]
    pub const fn error(&self, rule: DerRule, field: &'static str) -> DerError {
        DerError { rule, field, offset: self.offset }
    }

    /// Reads one element and returns its contents.
    ///
    /// # Errors
    /// [`DerRule::UnexpectedTag`], or one of the `Length…` rules and [`DerRule::Truncated`].
    pub fn value(&mut self, tag: u8, field: &'static str) -> Result<Self, DerError> {
        let (element, header_len) = self.next_element(tag, field)?;
        let contents =
            Self { rest: element.get(header_len..).unwrap_or_default(), offset: self.offset + header_len };
        self.skip(element.len());
        Ok(contents)
    }

    /// Reads one element and returns all of it: identifier, length and contents.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn element(&mut self, tag: u8, field: &'static str) -> Result<Self, DerError> {
        let (element, _) = self.next_element(tag, field)?;
        let whole = Self { rest: element, offset: self.offset };
        self.skip(element.len());
        Ok(whole)
    }

    /// Reads one element with `parse`, which must use up its contents.
    ///
    /// # Errors
    /// As [`Self::value`], those of `parse`, and [`DerRule::TrailingBytes`].
    pub fn nested<T, E: From<DerError>>(
        &mut self,
        tag: u8,
        field: &'static str,
        parse: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut contents = self.value(tag, field)?;
        let parsed = parse(&mut contents)?;
        contents.finish(field)?;
        Ok(parsed)
    }

    /// As [`Self::nested`], if `tag` comes next.
    ///
    /// # Errors
    /// As [`Self::nested`].
    pub fn optional<T, E: From<DerError>>(
        &mut self,
        tag: u8,
        field: &'static str,
        parse: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        if self.next_is(tag) { self.nested(tag, field, parse).map(Some) } else { Ok(None) }
    }

    /// Reads an element that holds 1 to `max` items, each read by `item`.
    ///
    /// # Errors
    /// As [`Self::nested`], [`DerRule::ListEmpty`] and [`DerRule::ListTooLong`].
    pub fn list<T, E: From<DerError>>(
        &mut self,
        tag: u8,
        field: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        self.nested(tag, field, |list| {
            let mut items = Vec::new();
            while !list.is_empty() {
                if items.len() == max {
                    return Err(list.error(DerRule::ListTooLong { max }, field).into());
                }
                items.push(item(list)?);
            }
            if items.is_empty() { Err(list.error(DerRule::ListEmpty, field).into()) } else { Ok(items) }
        })
    }

    /// As [`Self::list`] for a SET OF, whose encodings must ascend (X.690 §11.6). Equal ones are refused too.
    ///
    /// # Errors
    /// As [`Self::list`], and [`DerRule::SetOrder`].
    pub fn set_of<T, E: From<DerError>>(
        &mut self,
        field: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut before: &[u8] = &[];
        self.list(tag::SET, field, max, |list| {
            let start = *list;
            let parsed = item(list)?;
            let encoding = start.rest.get(..start.rest.len() - list.rest.len()).unwrap_or_default();
            if before >= encoding {
                return Err(start.error(DerRule::SetOrder, field).into());
            }
            before = encoding;
            Ok(parsed)
        })
    }

    /// Refuses bytes that nobody read.
    ///
    /// # Errors
    /// [`DerRule::TrailingBytes`].
    pub fn finish(&self, field: &'static str) -> Result<(), DerError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(DerRule::TrailingBytes, field)) }
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.offset += len;
    }

    /// The next element, and how many of its bytes are identifier and length.
    fn next_element(&self, tag: u8, field: &'static str) -> Result<(&'a [u8], usize), DerError> {
        let fail = |rule| self.error(rule, field);
        let found = *self.rest.first().ok_or_else(|| fail(DerRule::Truncated))?;
        if found != tag {
            return Err(fail(DerRule::UnexpectedTag { expected: tag, found }));
        }
        let (len, header_len) = self.length().map_err(fail)?;
        let end = header_len.checked_add(len).ok_or_else(|| fail(DerRule::Truncated))?;
        let element = self.rest.get(..end).ok_or_else(|| fail(DerRule::Truncated))?;
        Ok((element, header_len))
    }

    /// The length after the identifier, and where the contents start (X.690 §10.1). Four length octets are enough for
    /// anything that this crate takes.
    fn length(&self) -> Result<(usize, usize), DerRule> {
        let first = *self.rest.get(1).ok_or(DerRule::Truncated)?;
        if first < 0x80 {
            return Ok((usize::from(first), 2));
        }
        let octets = usize::from(first & 0x7f);
        if octets == 0 {
            return Err(DerRule::LengthIndefinite);
        }
        if octets > 4 {
            return Err(DerRule::LengthTooBig);
        }
        let digits = self.rest.get(2..2 + octets).ok_or(DerRule::Truncated)?;
        let len = digits.iter().fold(0, |len: u64, &digit| (len << 8) | u64::from(digit));
        if digits.first() == Some(&0) || len < 0x80 {
            return Err(DerRule::LengthNotMinimal);
        }
        Ok((usize::try_from(len).map_err(|_| DerRule::LengthTooBig)?, 2 + octets))
    }
}

/// The universal types.
impl<'a> Reader<'a> {
    /// BOOLEAN, or an implicit tag of one, that is DEFAULT FALSE: absent, or TRUE.
    ///
    /// # Errors
    /// [`DerRule::DefaultEncoded`] for an encoded FALSE, [`DerRule::BooleanValue`] for a TRUE other than 0xff.
    pub fn flag(&mut self, tag: u8, field: &'static str) -> Result<bool, DerError> {
        if !self.next_is(tag) {
            return Ok(false);
        }
        let value = self.value(tag, field)?;
        match value.rest {
            [0xff] => Ok(true),
            [0] => Err(value.error(DerRule::DefaultEncoded, field)),
            _ => Err(value.error(DerRule::BooleanValue, field)),
        }
    }

    /// INTEGER of zero or above: big-endian, without the octet that only carries the sign; zero is one octet.
    ///
    /// # Errors
    /// [`DerRule::IntegerNotMinimal`] and [`DerRule::IntegerNegative`].
    pub fn unsigned(&mut self, tag: u8, field: &'static str) -> Result<Self, DerError> {
        let value = self.value(tag, field)?;
        match value.rest {
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
                Err(value.error(DerRule::IntegerNotMinimal, field))
            }
            [0x80..=0xff, ..] => Err(value.error(DerRule::IntegerNegative, field)),
            [0, magnitude @ ..] if !magnitude.is_empty() => {
                Ok(Self { rest: magnitude, offset: value.offset + 1 })
            }
            _ => Ok(value),
        }
    }

    /// INTEGER or ENUMERATED (or an implicit tag of one) of at most `max`.
    ///
    /// # Errors
    /// As [`Self::unsigned`], and [`DerRule::IntegerTooBig`].
    pub fn small(&mut self, tag: u8, field: &'static str, max: u16) -> Result<u16, DerError> {
        let value = self.unsigned(tag, field)?;
        let number = match *value.rest {
            [low] => u16::from(low),
            [high, low] => u16::from_be_bytes([high, low]),
            _ => u16::MAX,
        };
        if value.rest.len() > 2 || number > max {
            return Err(value.error(DerRule::IntegerTooBig { max }, field));
        }
        Ok(number)
    }

    /// NULL.
    ///
    /// # Errors
    /// [`DerRule::TrailingBytes`] if it has contents.
    pub fn null(&mut self, tag: u8, field: &'static str) -> Result<(), DerError> {
        self.value(tag, field)?.finish(field)
    }

    /// OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// [`DerRule::OidMalformed`].
    pub fn oid(&mut self, field: &'static str) -> Result<Oid, DerError> {
        let value = self.value(tag::OID, field)?;
        Oid::from_contents(value.rest).ok_or_else(|| value.error(DerRule::OidMalformed, field))
    }

    /// BIT STRING of whole octets, without the octet that counts unused bits.
    ///
    /// # Errors
    /// [`DerRule::BitStringUnused`] if there are unused bits.
    pub fn bit_string(&mut self, field: &'static str) -> Result<Self, DerError> {
        let value = self.value(tag::BIT_STRING, field)?;
        let [0, octets @ ..] = value.rest else {
            return Err(value.error(DerRule::BitStringUnused, field));
        };
        Ok(Self { rest: octets, offset: value.offset + 1 })
    }

    /// BIT STRING with named bits: bit `n` of the answer is bit `n` of the list. At least one must be set, as RFC 5280
    /// asks of the only list that it names (§4.2.1.3), and none at `count` or above.
    ///
    /// # Errors
    /// [`DerRule::BitStringUnused`], [`DerRule::NamedBitsTrailingZero`] and [`DerRule::NamedBitsUnknown`].
    pub fn named_bits(&mut self, field: &'static str, count: u32) -> Result<u16, DerError> {
        let value = self.value(tag::BIT_STRING, field)?;
        let fail = |rule| Err(value.error(rule, field));
        let [unused @ 0..=7, octets @ ..] = value.rest else {
            return fail(DerRule::BitStringUnused);
        };
        let Some(&last) = octets.last() else {
            return fail(if *unused == 0 { DerRule::NamedBitsEmpty } else { DerRule::BitStringUnused });
        };
        if last.trailing_zeros() < u32::from(*unused) {
            return fail(DerRule::BitStringUnused);
        }
        if last.trailing_zeros() != u32::from(*unused) {
            return fail(DerRule::NamedBitsTrailingZero);
        }
        let bits = match *octets {
            [low] => u16::from(low.reverse_bits()),
            [low, high] => u16::from_le_bytes([low.reverse_bits(), high.reverse_bits()]),
            _ => return fail(DerRule::NamedBitsUnknown),
        };
        if u32::from(bits) >> count != 0 {
            return fail(DerRule::NamedBitsUnknown);
        }
        Ok(bits)
    }

    /// A character string of `kind` under `tag`, of 1 to `max` bytes, without control characters.
    ///
    /// # Errors
    /// [`DerRule::StringLength`], [`DerRule::StringCharacter`] and [`DerRule::StringControl`].
    pub fn text(
        &mut self,
        tag: u8,
        kind: StringKind,
        field: &'static str,
        max: usize,
    ) -> Result<&'a str, DerError> {
        let value = self.value(tag, field)?;
        if value.rest.is_empty() || value.rest.len() > max {
            return Err(value.error(DerRule::StringLength { max }, field));
        }
        kind.check(value.rest).map_err(|rule| value.error(rule, field))
    }

    /// Time as RFC 5280 §4.1.2.5 wants it: UTCTime through 2049, GeneralizedTime from 2050.
    ///
    /// # Errors
    /// [`DerRule::TimeForm`], [`DerRule::TimeNotADate`] and [`DerRule::TimeType`].
    pub fn time(&mut self, field: &'static str) -> Result<Time, DerError> {
        if !self.next_is(tag::UTC_TIME) {
            let start = *self;
            let time = self.generalized_time(field)?;
            return if time.is_utc_time() { Err(start.error(DerRule::TimeType, field)) } else { Ok(time) };
        }
        let value = self.value(tag::UTC_TIME, field)?;
        Time::from_utc_time(value.rest).map_err(|rule| value.error(rule, field))
    }

    /// GeneralizedTime of any year from 1970 on.
    ///
    /// # Errors
    /// [`DerRule::TimeForm`] and [`DerRule::TimeNotADate`].
    pub fn generalized_time(&mut self, field: &'static str) -> Result<Time, DerError> {
        let value = self.value(tag::GENERALIZED_TIME, field)?;
        Time::from_generalized_time(value.rest).map_err(|rule| value.error(rule, field))
    }
}

#[cfg(test)]
mod tests;
