//! Reads a list, strictly.
//!
//! Promised: what is read encodes to the same bytes; nothing is allocated beyond what the bytes hold, and no input panics.

use super::serials::BITMAP_MAX;
use super::{
    CERTIFICATES, Certificates, EXPLICIT_KEY, FINGERPRINT_SHA256, FORMAT, KEY_ID, Krl, MAGIC, SERIAL_BITMAP,
    SERIAL_LIST, SERIAL_RANGE, Section, excerpt,
};
use crate::key::PublicKey;
use crate::ssh::wire::Reader;
use crate::ssh::{ParseError, SubjectKey};

/// Why bytes are not a list.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KrlError {
    /// A field is cut off, is followed by more, or is no key.
    #[error(transparent)]
    Field(#[from] ParseError),
    /// Not the first bytes of a list.
    #[error("not an OpenSSH KRL: it begins with other bytes than \"SSHKRL\\n\\0\"")]
    Magic,
    /// Of another format.
    #[error("a KRL of format {0}, not {FORMAT}")]
    Format(u32),
    /// Flags or a reserved field say something.
    #[error("a KRL with flags or with a reserved field that is not empty")]
    Reserved,
    /// A section that is not read here.
    #[error("a KRL with a section of type {0}, which is not read here")]
    Section(u8),
    /// The same, within the certificates of a CA.
    #[error("a KRL with certificates by type {0:#04x}, which is not read here")]
    Certificates(u8),
    /// Not text.
    #[error("{0} is not UTF-8")]
    Text(String),
    /// Ends before it begins.
    #[error("a range of serials from {0} to {1}")]
    Range(u64, u64),
    /// Zero, too long, or beyond the last serial.
    #[error(
        "a bitmap of serials that is empty, has more than {BITMAP_MAX} bits, or goes beyond the last serial"
    )]
    Bitmap,
    /// Not 32 bytes.
    #[error("a SHA-256 of {0} bytes")]
    Fingerprint(usize),
}

impl Krl {
    /// Reads all of `bytes`.
    ///
    /// # Errors
    /// [`KrlError`] for whatever is no list, or has what is not read here.
    pub fn parse(bytes: &[u8]) -> Result<Self, KrlError> {
        let mut reader = Reader::new(bytes);
        if reader.uint64("magic")? != MAGIC {
            return Err(KrlError::Magic);
        }
        let format = reader.uint32("format")?;
        if format != FORMAT {
            return Err(KrlError::Format(format));
        }
        let (version, generated) = (reader.uint64("version")?, reader.uint64("date")?);
        if reader.uint64("flags")? != 0 || !reader.string("reserved field")?.is_empty() {
            return Err(KrlError::Reserved);
        }
        let comment = text(reader.string("comment")?)?;
        let mut sections = Vec::new();
        while !reader.is_empty() {
            let kind = reader.byte("section type")?;
            sections.push(section(kind, reader.string("section")?)?);
        }
        Ok(Self { version, generated, comment, sections })
    }
}

fn section(kind: u8, body: &[u8]) -> Result<Section, KrlError> {
    let mut reader = Reader::new(body);
    match kind {
        CERTIFICATES => {
            let ca_key = match reader.string("CA key")? {
                [] => None,
                wire => Some(PublicKey::from_ssh_wire(wire)?),
            };
            if !reader.string("reserved field")?.is_empty() {
                return Err(KrlError::Reserved);
            }
            let mut of = Vec::new();
            while !reader.is_empty() {
                let kind = reader.byte("type of certificates")?;
                of.push(certificates(kind, reader.string("certificates")?)?);
            }
            Ok(Section::Certificates { ca_key, of })
        }
        EXPLICIT_KEY => {
            let keys = all(reader, |reader| Ok(SubjectKey::from_wire(reader.string("key")?)?))?;
            Ok(Section::Keys(keys))
        }
        FINGERPRINT_SHA256 => {
            let hash = |reader: &mut Reader<'_>| {
                let hash = reader.string("fingerprint")?;
                hash.try_into().map_err(|_| KrlError::Fingerprint(hash.len()))
            };
            Ok(Section::Fingerprints(all(reader, hash)?))
        }
        other => Err(KrlError::Section(other)),
    }
}

fn certificates(kind: u8, body: &[u8]) -> Result<Certificates, KrlError> {
    let mut reader = Reader::new(body);
    match kind {
        SERIAL_LIST => Ok(Certificates::Serials(all(reader, |reader| Ok(reader.uint64("serial")?))?)),
        SERIAL_RANGE => {
            let (first, last) = (reader.uint64("first serial")?, reader.uint64("last serial")?);
            reader.finish("last serial")?;
            if first > last {
                Err(KrlError::Range(first, last))
            } else {
                Ok(Certificates::Range(first, last))
            }
        }
        SERIAL_BITMAP => {
            let (offset, bits) = (reader.uint64("offset")?, reader.mpint("bitmap")?);
            reader.finish("bitmap")?;
            let most = u64::try_from(bits.len()).unwrap_or(u64::MAX).saturating_mul(8);
            let highest = bits.first().map(|first| most - 1 - u64::from(first.leading_zeros()));
            let fits = highest.is_some_and(|bit| bit < BITMAP_MAX && offset.checked_add(bit).is_some());
            if fits { Ok(Certificates::Bitmap(offset, bits.to_vec())) } else { Err(KrlError::Bitmap) }
        }
        KEY_ID => Ok(Certificates::KeyIds(all(reader, |reader| text(reader.string("key id")?))?)),
        other => Err(KrlError::Certificates(other)),
    }
}

/// Everything that is left, one item after the other.
fn all<T>(
    mut reader: Reader<'_>,
    mut next: impl FnMut(&mut Reader<'_>) -> Result<T, KrlError>,
) -> Result<Vec<T>, KrlError> {
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(next(&mut reader)?);
    }
    Ok(items)
}

fn text(bytes: &[u8]) -> Result<String, KrlError> {
    let text = str::from_utf8(bytes).map_err(|_| KrlError::Text(excerpt(bytes)))?;
    Ok(text.to_owned())
}
