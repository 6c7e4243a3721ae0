//! Why bytes are not an OpenSSH certificate, key or signature: one variant per rule, and one stable word for each.

use std::fmt;

use super::{
    KEY_ID_MAX_LEN, NONCE_LEN, OPTION_NAME_MAX_LEN, OPTION_VALUE_MAX_LEN, OPTIONS_MAX, PRINCIPAL_MAX_LEN,
    PRINCIPALS_MAX,
};
use crate::key::KeyError;
use crate::signature::SignatureError;

/// Why bytes are not a certificate's TBS (or a key or a signature, where those are read alone).
///
/// Texts taken from the input are cut to 64 bytes and escaped. [`ParseError::rule`] gives each variant's word, in the
/// order below:
///
/// | what | words |
/// |---|---|
/// | the whole | `TBS_TOO_LARGE` `TBS_TRUNCATED` `TBS_TRAILING_BYTES` `TBS_NOT_CANONICAL` |
/// | its type | `TYPE_UNKNOWN` `TYPE_IS_SIGNATURE_ALGORITHM` `NONCE_LENGTH` |
/// | keys | `SUBJECT_IS_CERTIFICATE` `CA_KEY_IS_CERTIFICATE` `CA_KEY_IS_SECURITY_KEY` `KEY_TYPE_UNKNOWN` `KEY_CURVE_MISMATCH` `KEY_INVALID` `INTEGER_NEGATIVE` `INTEGER_NOT_MINIMAL` `APPLICATION_INVALID` |
/// | fields | `CERTIFICATE_TYPE_UNKNOWN` `KEY_ID_TOO_LONG` `KEY_ID_NOT_UTF8` `KEY_ID_CONTROL_CHARACTER` `VALIDITY_INVERTED` `RESERVED_NOT_EMPTY` |
/// | principals | `PRINCIPALS_EMPTY` `PRINCIPALS_TOO_MANY` `PRINCIPAL_EMPTY` `PRINCIPAL_TOO_LONG` `PRINCIPAL_NOT_UTF8` `PRINCIPAL_CONTROL_CHARACTER` `PRINCIPAL_DUPLICATE` |
/// | options | `OPTIONS_TOO_MANY` `OPTIONS_NOT_SORTED` `OPTION_DUPLICATE` `OPTION_NAME_INVALID` `OPTION_NOT_WRAPPED` `OPTION_TRAILING_BYTES` `OPTION_VALUE_TOO_LONG` `OPTION_NEEDS_VALUE` `OPTION_TAKES_NO_VALUE` |
/// | signatures | `SIGNATURE_ALGORITHM_UNKNOWN` `SIGNATURE_INVALID` |
/// | public key lines | `LINE_INCOMPLETE` `LINE_HAS_OPTIONS` `LINE_NOT_BASE64` `LINE_TYPE_MISMATCH` |
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Over the limit, before anything was read.
    #[error("{len} bytes are too many; the limit is {limit}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// A field, or its length, goes beyond the end of what it is part of.
    #[error("truncated: the {field} needs {needed} bytes and {left} are left")]
    Truncated {
        /// The field's name.
        field: &'static str,
        /// How many bytes it says, or has, to have.
        needed: u32,
        /// How many there are.
        left: usize,
    },
    /// More bytes than fields. A finished certificate where a TBS belongs fails here.
    #[error("{count} bytes follow the {after}, where everything must end; a TBS is without its signature")]
    TrailingBytes {
        /// The last field.
        after: &'static str,
        /// How many bytes follow it.
        count: usize,
    },
    /// What was read encodes to other bytes than were read. No input is known that gets here.
    #[error("not the canonical encoding of its own content; please report this")]
    NotCanonical,

    /// Not a certificate type that this crate reads.
    #[error("\"{name}\" is not a supported certificate type, such as ssh-ed25519-cert-v01@openssh.com")]
    TypeUnknown {
        /// What it says.
        name: String,
    },
    /// `rsa-sha2-…-cert-v01@openssh.com`, which exists in handshakes only (PROTOCOL.certkeys).
    #[error(
        "{name} names a signature algorithm; the type of an RSA certificate is ssh-rsa-cert-v01@openssh.com"
    )]
    TypeIsSignatureAlgorithm {
        /// What it says.
        name: &'static str,
    },
    /// Too short to make the hash unpredictable, or needlessly long.
    #[error(
        "the nonce has {len} bytes; it must have {} to {}, and 32 are best",
        NONCE_LEN.start(), NONCE_LEN.end()
    )]
    NonceLength {
        /// Its length in bytes.
        len: usize,
    },

    /// The key to certify is itself a certificate.
    #[error("the subject key is a certificate ({name}); give the plain public key that it certifies")]
    SubjectIsCertificate {
        /// The type of the certificate.
        name: String,
    },
    /// A chained certificate, which the format does not have.
    #[error("the CA key is a certificate ({name}); name the plain CA key")]
    CaKeyIsCertificate {
        /// The type of the certificate.
        name: String,
    },
    /// A FIDO key signs other bytes than the TBS, so it cannot be a CA here.
    #[error("the CA key is a security key ({name}), which this signer does not use")]
    CaKeyIsSecurityKey {
        /// Its type.
        name: &'static str,
    },
    /// Not a key type that this crate reads. DSA is none.
    #[error("\"{name}\" is not a supported type of {role}")]
    KeyTypeUnknown {
        /// Which key.
        role: KeyRole,
        /// What it says.
        name: String,
    },
    /// The type's name and the curve's name do not agree.
    #[error("the {role} is of type {algorithm}, but names the curve \"{curve}\"")]
    KeyCurveMismatch {
        /// Which key.
        role: KeyRole,
        /// Its type.
        algorithm: &'static str,
        /// The curve that it names.
        curve: String,
    },
    /// The key material is none.
    #[error("the {role} is invalid: {source}")]
    KeyInvalid {
        /// Which key.
        role: KeyRole,
        /// What is wrong with it.
        source: KeyError,
    },
    /// An mpint below zero.
    #[error("the {field} is negative")]
    IntegerNegative {
        /// The field's name.
        field: &'static str,
    },
    /// An mpint with a leading zero that its sign does not need (RFC 4251 §5).
    #[error("the {field} has an unnecessary leading zero")]
    IntegerNotMinimal {
        /// The field's name.
        field: &'static str,
    },
    /// The application (FIDO relying party) of a security key is empty, over 256 bytes, or not printable.
    #[error(
        "the security key's application is not 1 to 256 bytes of printable UTF-8 text; it is usually ssh:"
    )]
    ApplicationInvalid,

    /// Neither 1 nor 2.
    #[error("certificate type {value} is neither 1 (user) nor 2 (host)")]
    CertificateTypeUnknown {
        /// What it says.
        value: u32,
    },
    /// Over the limit.
    #[error("the key id has {len} bytes; the limit is {KEY_ID_MAX_LEN}")]
    KeyIdTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Not text.
    #[error("the key id is not UTF-8")]
    KeyIdNotUtf8,
    /// A line break would forge log lines; a NUL would end the key id early in C.
    #[error("the key id has a control character")]
    KeyIdControlCharacter,
    /// Never valid.
    #[error("valid_after {valid_after} is not before valid_before {valid_before}")]
    ValidityInverted {
        /// In seconds since 1970.
        valid_after: u64,
        /// In seconds since 1970.
        valid_before: u64,
    },
    /// Bytes that nobody would read.
    #[error("the reserved field has {len} bytes; it must be empty")]
    ReservedNotEmpty {
        /// Its length in bytes.
        len: usize,
    },

    /// A certificate without principals is valid for every name (CVE-2024-7594).
    #[error("no principals, which would be valid for every name; name at least one")]
    PrincipalsEmpty,
    /// OpenSSH reads no more.
    #[error("over {PRINCIPALS_MAX} principals, which OpenSSH refuses")]
    PrincipalsTooMany,
    /// A name of no bytes.
    #[error("principal {index} is empty")]
    PrincipalEmpty {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// Over the limit.
    #[error("principal {index} has {len} bytes; the limit is {PRINCIPAL_MAX_LEN}")]
    PrincipalTooLong {
        /// Its place in the list, from 0.
        index: usize,
        /// Its length in bytes.
        len: usize,
    },
    /// Not text.
    #[error("principal {index} is not UTF-8")]
    PrincipalNotUtf8 {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A line break, a NUL and the like.
    #[error("principal {index} has a control character")]
    PrincipalControlCharacter {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// The same name twice.
    #[error("principal {index} is the same as one before it: \"{name}\"")]
    PrincipalDuplicate {
        /// Its place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
    },

    /// Over the limit.
    #[error("over {OPTIONS_MAX} {section}s")]
    OptionsTooMany {
        /// Which list.
        section: OptionSection,
    },
    /// Out of the bytewise order of names, which PROTOCOL.certkeys requires.
    #[error("the {section} \"{name}\" must come before \"{previous}\": sort them by name")]
    OptionsNotSorted {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
        /// The name before it.
        previous: String,
    },
    /// The same name twice.
    #[error("the {section} \"{name}\" is there twice")]
    OptionDuplicate {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
    },
    /// Not a name by RFC 4251 §6.
    #[error(
        "\"{name}\" is not a name of 1 to {OPTION_NAME_MAX_LEN} printable ASCII characters without spaces"
    )]
    OptionNameInvalid {
        /// Which list.
        section: OptionSection,
        /// The start of it.
        name: String,
    },
    /// The data is neither empty nor a string inside a string.
    #[error("the value of the {section} \"{name}\" is not wrapped in a string of its own")]
    OptionNotWrapped {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
    },
    /// The data is a string and more.
    #[error("{count} bytes follow the value of the {section} \"{name}\"")]
    OptionTrailingBytes {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
        /// How many bytes follow.
        count: usize,
    },
    /// Over the limit.
    #[error("the value of the {section} \"{name}\" has {len} bytes; the limit is {OPTION_VALUE_MAX_LEN}")]
    OptionValueTooLong {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
        /// The value's length in bytes.
        len: usize,
    },
    /// An empty `force-command` or `source-address` restricts nothing.
    #[error("the {section} \"{name}\" must have a value")]
    OptionNeedsValue {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
    },
    /// A flag with a value, which sshd refuses.
    #[error("the {section} \"{name}\" is a flag and must not have a value")]
    OptionTakesNoValue {
        /// Which list.
        section: OptionSection,
        /// The option's name.
        name: String,
    },

    /// Not a signature algorithm that this crate reads; never `ssh-rsa`, which is SHA-1.
    #[error("\"{name}\" is not a supported signature algorithm")]
    SignatureAlgorithm {
        /// What it says.
        name: String,
    },
    /// The signature fits neither its algorithm nor the CA key.
    #[error("the signature is invalid: {0}")]
    Signature(#[from] SignatureError),

    /// Not `TYPE BASE64 [COMMENT]` on one line.
    #[error("a public key is one line: its type, its base64, and perhaps a comment")]
    LineIncomplete,
    /// `authorized_keys` options, which say nothing about a key.
    #[error("options come before the public key; start the line with the key's type")]
    LineHasOptions,
    /// Not padded, canonical base64.
    #[error("the second word of the public key is not base64")]
    LineNotBase64,
    /// The line says one type, the key in it another.
    #[error("the line says {line}, but the key in it is of type {key}")]
    LineTypeMismatch {
        /// The first word.
        line: &'static str,
        /// The type inside the base64.
        key: &'static str,
    },
}

/// Which key an error is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyRole {
    /// The key that is certified.
    Subject,
    /// The key that certifies.
    Ca,
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject key",
            Self::Ca => "CA key",
        })
    }
}

/// Which list an error is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OptionSection {
    /// Options that a verifier must know, or refuse the certificate.
    Critical,
    /// Options that a verifier may ignore.
    Extension,
}

impl fmt::Display for OptionSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Critical => "critical option",
            Self::Extension => "extension",
        })
    }
}

impl ParseError {
    /// The stable word for the rule that was broken, to branch on: `PRINCIPALS_EMPTY`.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TBS_TOO_LARGE",
            Self::Truncated { .. } => "TBS_TRUNCATED",
            Self::TrailingBytes { .. } => "TBS_TRAILING_BYTES",
            Self::NotCanonical => "TBS_NOT_CANONICAL",
            Self::TypeUnknown { .. } => "TYPE_UNKNOWN",
            Self::TypeIsSignatureAlgorithm { .. } => "TYPE_IS_SIGNATURE_ALGORITHM",
            Self::NonceLength { .. } => "NONCE_LENGTH",
            Self::SubjectIsCertificate { .. } => "SUBJECT_IS_CERTIFICATE",
            Self::CaKeyIsCertificate { .. } => "CA_KEY_IS_CERTIFICATE",
            Self::CaKeyIsSecurityKey { .. } => "CA_KEY_IS_SECURITY_KEY",
            Self::KeyTypeUnknown { .. } => "KEY_TYPE_UNKNOWN",
            Self::KeyCurveMismatch { .. } => "KEY_CURVE_MISMATCH",
            Self::KeyInvalid { .. } => "KEY_INVALID",
            Self::IntegerNegative { .. } => "INTEGER_NEGATIVE",
            Self::IntegerNotMinimal { .. } => "INTEGER_NOT_MINIMAL",
            Self::ApplicationInvalid => "APPLICATION_INVALID",
            Self::CertificateTypeUnknown { .. } => "CERTIFICATE_TYPE_UNKNOWN",
            Self::KeyIdTooLong { .. } => "KEY_ID_TOO_LONG",
            Self::KeyIdNotUtf8 => "KEY_ID_NOT_UTF8",
            Self::KeyIdControlCharacter => "KEY_ID_CONTROL_CHARACTER",
            Self::ValidityInverted { .. } => "VALIDITY_INVERTED",
            Self::ReservedNotEmpty { .. } => "RESERVED_NOT_EMPTY",
            Self::PrincipalsEmpty => "PRINCIPALS_EMPTY",
            Self::PrincipalsTooMany => "PRINCIPALS_TOO_MANY",
            Self::PrincipalEmpty { .. } => "PRINCIPAL_EMPTY",
            Self::PrincipalTooLong { .. } => "PRINCIPAL_TOO_LONG",
            Self::PrincipalNotUtf8 { .. } => "PRINCIPAL_NOT_UTF8",
            Self::PrincipalControlCharacter { .. } => "PRINCIPAL_CONTROL_CHARACTER",
            Self::PrincipalDuplicate { .. } => "PRINCIPAL_DUPLICATE",
            Self::OptionsTooMany { .. } => "OPTIONS_TOO_MANY",
            Self::OptionsNotSorted { .. } => "OPTIONS_NOT_SORTED",
            Self::OptionDuplicate { .. } => "OPTION_DUPLICATE",
            Self::OptionNameInvalid { .. } => "OPTION_NAME_INVALID",
            Self::OptionNotWrapped { .. } => "OPTION_NOT_WRAPPED",
            Self::OptionTrailingBytes { .. } => "OPTION_TRAILING_BYTES",
            Self::OptionValueTooLong { .. } => "OPTION_VALUE_TOO_LONG",
            Self::OptionNeedsValue { .. } => "OPTION_NEEDS_VALUE",
            Self::OptionTakesNoValue { .. } => "OPTION_TAKES_NO_VALUE",
            Self::SignatureAlgorithm { .. } => "SIGNATURE_ALGORITHM_UNKNOWN",
            Self::Signature(_) => "SIGNATURE_INVALID",
            Self::LineIncomplete => "LINE_INCOMPLETE",
            Self::LineHasOptions => "LINE_HAS_OPTIONS",
            Self::LineNotBase64 => "LINE_NOT_BASE64",
            Self::LineTypeMismatch { .. } => "LINE_TYPE_MISMATCH",
        }
    }
}
