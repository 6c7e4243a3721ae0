//! A token's PKCS#11 URI, read strictly (RFC 7512).
//!
//! In: `pkcs11:token=one;serial=1f2e?pin-source=file:/etc/pin`. Out: a [`TokenUri`], or what is wrong with it. What would be ignored
//! is refused, so that no URI chooses another token than it says; a PIN in it, and a command to ask for one, are refused, too (R16).

use std::path::PathBuf;
use std::str::FromStr;

use super::module::Wanted;

/// What a URI says of a token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TokenUri {
    /// Which token.
    pub(crate) wanted: Wanted,
    /// `module-path`: the module that it is behind.
    pub(crate) module: Option<PathBuf>,
    /// `pin-source=file:`: where its PIN is.
    pub(crate) pin_file: Option<PathBuf>,
}

/// Why a text is no URI of a token. Holds nothing of a PIN.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UriError {
    /// Another scheme, or none.
    #[error("a PKCS#11 URI begins with \"pkcs11:\"")]
    Scheme,
    /// No `name=value`.
    #[error(
        "the URI has an attribute without \"=\" or without a name: write name=value, with \";\" between them and \"?\" before the query's"
    )]
    Form,
    /// The same attribute again.
    #[error("the URI has {0} twice")]
    Twice(&'static str),
    /// An octet that must be percent-encoded, or a percent sign that encodes nothing.
    #[error(
        "the value of {0} in the URI is not encoded as RFC 7512 wants it: write %20 for a space, %3B for \";\", and UTF-8 for the rest"
    )]
    Encoding(&'static str),
    /// Longer than the field of the token is.
    #[error("{name} in the URI is longer than the {most} bytes that a token has for it")]
    TooLong {
        /// The attribute.
        name: &'static str,
        /// The length of the field.
        most: usize,
    },
    /// A slot's number or description.
    #[error(
        "the URI names a slot, and slots are numbered anew when tokens come and go: name the token by `token` or `serial`"
    )]
    Slot,
    /// `object`, `id`, `type`.
    #[error(
        "the URI names an object on the token: leave out `object`, `id` and `type`, for a token is chosen here"
    )]
    Object,
    /// `module-name`.
    #[error(
        "`module-name` in the URI says not which file the module is: give its path, in `module-path` or with --module"
    )]
    ModuleName,
    /// `pin-value`.
    #[error(
        "`pin-value` in the URI would put the PIN where every process list and shell history shows it: put it into a file of mode 0600, and write pin-source=file:/PATH"
    )]
    PinValue,
    /// `pin-source=|…`.
    #[error(
        "`pin-source` in the URI is a command, and no command is run for a PIN: put it into a file of mode 0600, and write pin-source=file:/PATH"
    )]
    PinCommand,
    /// Any other `pin-source`.
    #[error("`pin-source` in the URI should be file:/PATH, with an absolute path")]
    PinSource,
    /// `module-path` that is none.
    #[error("`module-path` in the URI should be an absolute path")]
    ModulePath,
    /// Anything else.
    #[error(
        "the URI has an attribute that chooses no token here: those that do are token, serial, manufacturer, model, module-path and pin-source"
    )]
    Unknown,
}

/// Whether a text means to be a PKCS#11 URI, and is no label.
pub(crate) fn is_uri(text: &str) -> bool {
    text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"))
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = if is_uri(text) { text.get(7..) } else { None }.ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self::default();
        if !path.is_empty() {
            path.split(';').try_for_each(|attribute| uri.path_attribute(attribute))?;
        }
        if let Some(query) = query {
            query.split('&').try_for_each(|attribute| uri.query_attribute(attribute))?;
        }
        Ok(uri)
    }
}

impl TokenUri {
    fn path_attribute(&mut self, attribute: &str) -> Result<(), UriError> {
        let (name, value) = split(attribute)?;
        // RFC 7512 §2.3: pk11-pchar is unreserved, these, and what is encoded.
        let decode = |name| decode(name, value, b":[]@!$'()*+,=&");
        let wanted = &mut self.wanted;
        match name {
            "token" => set(&mut wanted.label, "token", field("token", decode("token")?, 32)?),
            "serial" => set(&mut wanted.serial, "serial", field("serial", decode("serial")?, 16)?),
            "model" => set(&mut wanted.model, "model", field("model", decode("model")?, 16)?),
            "manufacturer" => {
                let value = field("manufacturer", decode("manufacturer")?, 32)?;
                set(&mut wanted.manufacturer, "manufacturer", value)
            }
            "slot-id" | "slot-description" | "slot-manufacturer" => Err(UriError::Slot),
            "object" | "id" | "type" => Err(UriError::Object),
            "pin-value" => Err(UriError::PinValue),
            _ => Err(UriError::Unknown),
        }
    }

    fn query_attribute(&mut self, attribute: &str) -> Result<(), UriError> {
        let (name, value) = split(attribute)?;
        let decode = |name| decode(name, value, b":[]@!$'()*+,=/?|");
        match name {
            "pin-value" => Err(UriError::PinValue),
            "pin-source" => {
                let path = pin_file(&decode("pin-source")?)?;
                set(&mut self.pin_file, "pin-source", path)
            }
            "module-name" => Err(UriError::ModuleName),
            "module-path" => {
                let path = absolute(&decode("module-path")?).ok_or(UriError::ModulePath)?;
                set(&mut self.module, "module-path", path)
            }
            _ => Err(UriError::Unknown),
        }
    }
}

fn split(attribute: &str) -> Result<(&str, &str), UriError> {
    attribute.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(UriError::Form)
}

fn set<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    if place.replace(value).is_some() { Err(UriError::Twice(name)) } else { Ok(()) }
}

fn field(name: &'static str, value: String, most: usize) -> Result<String, UriError> {
    if value.len() > most { Err(UriError::TooLong { name, most }) } else { Ok(value) }
}

/// A file's URI, or its absolute path.
fn pin_file(source: &str) -> Result<PathBuf, UriError> {
    if source.starts_with('|') {
        return Err(UriError::PinCommand);
    }
    let path = source.strip_prefix("file:").unwrap_or(source);
    // RFC 8089 §2: file:/PATH, or file://HOST/PATH with an empty host.
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    absolute(path).ok_or(UriError::PinSource)
}

fn absolute(path: &str) -> Option<PathBuf> {
    (path.starts_with('/') && !path.starts_with("//") && !path.contains('\0')).then(|| PathBuf::from(path))
}

/// The value without its percent signs; `also` may stand for itself beside letters, digits and `-._~`.
fn decode(name: &'static str, value: &str, also: &[u8]) -> Result<String, UriError> {
    let malformed = || UriError::Encoding(name);
    let (mut bytes, mut decoded) = (value.bytes(), Vec::with_capacity(value.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let pair = digit().zip(digit()).ok_or_else(malformed)?;
                u8::try_from(pair.0 * 16 + pair.1).map_err(|_| malformed())?
            }
            b'-' | b'.' | b'_' | b'~' => byte,
            byte if byte.is_ascii_alphanumeric() || also.contains(&byte) => byte,
            _ => return Err(malformed()),
        });
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

#[cfg(test)]
mod tests;
