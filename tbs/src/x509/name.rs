//! Distinguished names (RFC 5280 §4.1.2.4).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;

use super::{ParseError, Rule};
use crate::der::{Oid, Reader, StringKind, Writer, oids, tag};

/// A distinguished name: its relative names in order, and the exact bytes.
///
/// Two names are equal here if their bytes are: an issuer that differs in string type or case from its CA's subject is another
/// name. Verifiers are not so strict: ask [`Name::matches`] where it is dangerous that two names are one to them.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Name {
    rdns: Vec<Vec<Attribute>>,
    der: Vec<u8>,
}

/// One attribute of a relative name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Attribute {
    oid: Oid,
    kind: StringKind,
    value: String,
}

/// What Appendix A.1 of RFC 5280 says about an attribute type.
struct Profile {
    oid: &'static [u8],
    /// In RFC 4514 §3, or as OpenSSL writes it.
    label: &'static str,
    kinds: &'static [StringKind],
    /// In characters.
    chars: RangeInclusive<usize>,
}

const DIRECTORY_STRING: &[StringKind] = &[StringKind::Utf8, StringKind::Printable];
const PRINTABLE: &[StringKind] = &[StringKind::Printable];
const IA5: &[StringKind] = &[StringKind::Ia5];

static PROFILES: [Profile; 14] = [
    Profile { oid: oids::COMMON_NAME, label: "CN", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::SURNAME, label: "SN", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::SERIAL_NUMBER, label: "serialNumber", kinds: PRINTABLE, chars: 1..=64 },
    Profile { oid: oids::COUNTRY, label: "C", kinds: PRINTABLE, chars: 2..=2 },
    Profile { oid: oids::LOCALITY, label: "L", kinds: DIRECTORY_STRING, chars: 1..=128 },
    Profile { oid: oids::STATE, label: "ST", kinds: DIRECTORY_STRING, chars: 1..=128 },
    Profile { oid: oids::ORGANIZATION, label: "O", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::ORGANIZATIONAL_UNIT, label: "OU", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::TITLE, label: "title", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::GIVEN_NAME, label: "GN", kinds: DIRECTORY_STRING, chars: 1..=64 },
    Profile { oid: oids::DN_QUALIFIER, label: "dnQualifier", kinds: PRINTABLE, chars: 1..=64 },
    Profile { oid: oids::DOMAIN_COMPONENT, label: "DC", kinds: IA5, chars: 1..=63 },
    Profile { oid: oids::USER_ID, label: "UID", kinds: DIRECTORY_STRING, chars: 1..=256 },
    Profile { oid: oids::EMAIL_ADDRESS, label: "emailAddress", kinds: IA5, chars: 1..=255 },
];

impl Attribute {
    /// The longest value of any type, in characters.
    pub const MAX_CHARS: usize = 256;

    /// `None` unless `value` is of `kind`'s character set, and of the kind and length that RFC 5280 gives this type.
    #[must_use]
    pub fn new(oid: Oid, kind: StringKind, value: &str) -> Option<Self> {
        let text = kind.check(value.as_bytes()).ok()?;
        let attribute = Self { oid, kind, value: text.to_owned() };
        attribute.fits().then_some(attribute)
    }

    /// The attribute type.
    #[must_use]
    pub fn oid(&self) -> &Oid {
        &self.oid
    }

    /// The string type of the value.
    #[must_use]
    pub fn kind(&self) -> StringKind {
        self.kind
    }

    /// The value, without control characters.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The short name of the attribute type, `CN` (RFC 4514 §3, else as OpenSSL writes it); `None` if it is not known here.
    #[must_use]
    pub fn label(&self) -> Option<&'static str> {
        self.profile().map(|profile| profile.label)
    }

    /// Every [`Self::label`].
    pub fn labels() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|profile| profile.label)
    }

    /// The contents octets of the type that has this label.
    #[must_use]
    pub fn oid_of(label: &str) -> Option<&'static [u8]> {
        PROFILES.iter().find(|profile| profile.label == label).map(|profile| profile.oid)
    }

    fn profile(&self) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.oid == self.oid.as_bytes())
    }

    fn fits(&self) -> bool {
        let chars = self.value.chars().count();
        match self.profile() {
            Some(profile) => profile.kinds.contains(&self.kind) && profile.chars.contains(&chars),
            None => (1..=Self::MAX_CHARS).contains(&chars),
        }
    }

    fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        reader.nested(tag::SEQUENCE, field, |r| {
            let oid = r.oid(field)?;
            let kind = StringKind::ALL.into_iter().find(|kind| r.next_is(kind.tag()));
            let kind = kind.ok_or_else(|| Rule::AttributeValue.at(r, field))?;
            let start = *r;
            let value = r.text(kind.tag(), kind, field, 4 * Self::MAX_CHARS)?.to_owned();
            let attribute = Self { oid, kind, value };
            if attribute.fits() { Ok(attribute) } else { Err(Rule::AttributeValue.at(&start, field)) }
        })
    }

    fn to_der(&self) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                w.oid(&self.oid);
                w.text(self.kind, &self.value);
            });
        })
    }
}

impl Name {
    /// The most relative names, and the most attributes in one.
    pub const MAX_RDNS: usize = 32;

    /// A name of these relative names; attributes within one are put in DER's order. `None` if there are too many, one
    /// is empty, or two of one type are in one.
    #[must_use]
    pub fn new(mut rdns: Vec<Vec<Attribute>>) -> Option<Self> {
        for rdn in &mut rdns {
            rdn.sort_by_key(Attribute::to_der);
        }
        let der = encode(&rdns);
        // The parser's rules are the rules.
        Self::parse(&mut Reader::new(&der), "name").ok()
    }

    /// The empty name, which only a subject may be.
    #[must_use]
    pub fn empty() -> Self {
        Self { rdns: Vec::new(), der: encode(&[]) }
    }

    /// Whether it has no relative names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The exact RDNSequence.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The relative names, most general first.
    #[must_use]
    pub fn rdns(&self) -> &[Vec<Attribute>] {
        &self.rdns
    }

    /// Every attribute, in order.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.rdns.iter().flatten()
    }

    /// Whether verifiers may take one for the other (RFC 5280 §7.1): neither the type of a string, nor case, nor the amount of white
    /// space counts.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.comparable() == other.comparable()
    }

    fn comparable(&self) -> Vec<BTreeSet<(&Oid, String)>> {
        let each = self.rdns.iter();
        each.map(|rdn| rdn.iter().map(|attribute| (&attribute.oid, folded(&attribute.value))).collect())
            .collect()
    }

    pub(crate) fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, ParseError> {
        let element = reader.element(tag::SEQUENCE, field)?;
        let mut inner = element;
        if inner.value(tag::SEQUENCE, field)?.is_empty() {
            return Ok(Self::empty());
        }
        let mut inner = element;
        let rdns = inner.list(tag::SEQUENCE, field, Self::MAX_RDNS, |r| {
            let start = *r;
            let rdn = r.set_of(field, Self::MAX_RDNS, |r| Attribute::parse(r, field))?;
            if has_duplicates(rdn.iter().map(Attribute::oid)) {
                return Err(Rule::AttributeDuplicate.at(&start, field));
            }
            Ok(rdn)
        })?;
        Ok(Self { rdns, der: element.rest().to_vec() })
    }

    /// Writes the name from its attributes, so that a re-encoded TBS proves that they say all that the bytes say.
    pub(crate) fn write(&self, w: &mut Writer) {
        w.raw(&encode(&self.rdns));
    }
}

/// Small letters and large ones alike, in both steps, since some have two of the other kind; white space as single spaces.
fn folded(text: &str) -> String {
    let text = text.to_lowercase().to_uppercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn encode(rdns: &[Vec<Attribute>]) -> Vec<u8> {
    Writer::collect(|w| {
        w.sequence(|w| {
            for rdn in rdns {
                w.nested(tag::SET, |w| rdn.iter().for_each(|attribute| w.raw(&attribute.to_der())));
            }
        });
    })
}

/// Whether two of a short list are equal.
pub(crate) fn has_duplicates<T: PartialEq>(items: impl Iterator<Item = T> + Clone) -> bool {
    let mut rest = items;
    while let Some(item) = rest.next() {
        if rest.clone().any(|other| other == item) {
            return true;
        }
    }
    false
}

impl fmt::Display for Name {
    /// Like RFC 4514, but most general first, as in the bytes: `C=CH,O=Acme\, Inc.,CN=www`. Never a character that an
    /// attacker could draw other text with: all but visible ASCII and space is `\xx` octets of its UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rdn) in self.rdns.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            for (index, attribute) in rdn.iter().enumerate() {
                if index > 0 {
                    f.write_char('+')?;
                }
                attribute.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.profile() {
            Some(profile) => write!(f, "{}=", profile.label)?,
            None => write!(f, "{}=", self.oid)?,
        }
        let last = self.value.len().saturating_sub(1);
        for (index, byte) in self.value.bytes().enumerate() {
            let at_edge = index == 0 || index == last;
            match byte {
                b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                    write!(f, "\\{}", char::from(byte))?;
                }
                b' ' if at_edge => f.write_str("\\ ")?,
                b'#' if index == 0 => f.write_str("\\#")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\{byte:02x}")?,
            }
        }
        Ok(())
    }
}
