//! Which rule of DER some bytes broke, and where.

/// Why bytes are not the DER that was to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field} at byte {offset}: {rule}")]
pub struct DerError {
    /// The rule.
    pub rule: DerRule,
    /// The field that was being read, by its name in the standard.
    pub field: &'static str,
    /// Bytes from the start of the input.
    pub offset: usize,
}

/// A rule of DER, or of the profile of it that RFC 5280 makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DerRule {
    /// The input ends inside an element, or before one that must come.
    #[error("the input ends too early")]
    Truncated,
    /// Another element, or a multi-byte tag.
    #[error("tag {found:#04x} where {expected:#04x} must come")]
    UnexpectedTag {
        /// The identifier octet that must come.
        expected: u8,
        /// The one that came.
        found: u8,
    },
    /// X.690 §10.1: the definite form only.
    #[error("an indefinite length")]
    LengthIndefinite,
    /// X.690 §10.1: the fewest octets.
    #[error("a length in more octets than it needs")]
    LengthNotMinimal,
    /// More than four length octets.
    #[error("a length above 4 GiB")]
    LengthTooBig,
    /// Bytes after the last thing that an element may hold.
    #[error("bytes after the end")]
    TrailingBytes,
    /// X.690 §11.5: a value that is the default is left out.
    #[error("a default value is encoded")]
    DefaultEncoded,
    /// X.690 §11.1: TRUE is 0xff.
    #[error("a BOOLEAN that is neither 0x00 nor 0xff")]
    BooleanValue,
    /// X.690 §8.3.2: the first nine bits are not all equal; and at least one octet.
    #[error("an INTEGER that is empty or has a superfluous first octet")]
    IntegerNotMinimal,
    /// Nothing here is below zero.
    #[error("an INTEGER below zero")]
    IntegerNegative,
    /// Above what the field may be.
    #[error("an INTEGER above {max}")]
    IntegerTooBig {
        /// The largest that the field may be.
        max: u16,
    },
    /// X.690 §11.2.1: zero to seven unused bits, all zero.
    #[error("a BIT STRING whose unused bits are not 0 to 7 zeros")]
    BitStringUnused,
    /// X.690 §11.2.2: trailing zero bits of a named bit list are removed.
    #[error("a named bit list with trailing zero bits")]
    NamedBitsTrailingZero,
    /// RFC 5280 §4.2.1.3: at least one bit is set.
    #[error("a named bit list with no bit set")]
    NamedBitsEmpty,
    /// A bit that the standard gives no name.
    #[error("a bit without a name")]
    NamedBitsUnknown,
    /// X.690 §8.19: base 128, minimal; here also at most 63 octets, and arcs below 2^128.
    #[error("a malformed OBJECT IDENTIFIER")]
    OidMalformed,
    /// SIZE (1..MAX).
    #[error("an empty list")]
    ListEmpty,
    /// More items than this crate takes.
    #[error("more than {max} items")]
    ListTooLong {
        /// The largest count.
        max: usize,
    },
    /// X.690 §11.6: ascending; and no two alike.
    #[error("a SET OF whose elements do not ascend")]
    SetOrder,
    /// Empty, or too long.
    #[error("a string of zero or more than {max} bytes")]
    StringLength {
        /// The largest length in bytes.
        max: usize,
    },
    /// Not of the string type's character set, or not UTF-8.
    #[error("a character that the string's type does not have")]
    StringCharacter,
    /// C0 and C1 controls: NUL cuts names short in C programs, others forge log lines.
    #[error("a control character")]
    StringControl,
    /// RFC 5280 §4.1.2.5: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, nothing else.
    #[error("a time that is not [YY]YYMMDDHHMMSSZ")]
    TimeForm,
    /// No such day or second, or before 1970.
    #[error("not a date and time since 1970")]
    TimeNotADate,
    /// RFC 5280 §4.1.2.5: UTCTime through 2049.
    #[error("a GeneralizedTime before 2050")]
    TimeType,
}

impl DerRule {
    /// The rule's name in ledger entries and test vectors: `DER_SET_ORDER`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "DER_TRUNCATED",
            Self::UnexpectedTag { .. } => "DER_UNEXPECTED_TAG",
            Self::LengthIndefinite => "DER_LENGTH_INDEFINITE",
            Self::LengthNotMinimal => "DER_LENGTH_NOT_MINIMAL",
            Self::LengthTooBig => "DER_LENGTH_TOO_BIG",
            Self::TrailingBytes => "DER_TRAILING_BYTES",
            Self::DefaultEncoded => "DER_DEFAULT_ENCODED",
            Self::BooleanValue => "DER_BOOLEAN_VALUE",
            Self::IntegerNotMinimal => "DER_INTEGER_NOT_MINIMAL",
            Self::IntegerNegative => "DER_INTEGER_NEGATIVE",
            Self::IntegerTooBig { .. } => "DER_INTEGER_TOO_BIG",
            Self::BitStringUnused => "DER_BIT_STRING_UNUSED",
            Self::NamedBitsTrailingZero => "DER_NAMED_BITS_TRAILING_ZERO",
            Self::NamedBitsEmpty => "DER_NAMED_BITS_EMPTY",
            Self::NamedBitsUnknown => "DER_NAMED_BITS_UNKNOWN",
            Self::OidMalformed => "DER_OID_MALFORMED",
            Self::ListEmpty => "DER_LIST_EMPTY",
            Self::ListTooLong { .. } => "DER_LIST_TOO_LONG",
            Self::SetOrder => "DER_SET_ORDER",
            Self::StringLength { .. } => "DER_STRING_LENGTH",
            Self::StringCharacter => "DER_STRING_CHARACTER",
            Self::StringControl => "DER_STRING_CONTROL",
            Self::TimeForm => "DER_TIME_FORM",
            Self::TimeNotADate => "DER_TIME_NOT_A_DATE",
            Self::TimeType => "DER_TIME_TYPE",
        }
    }
}
