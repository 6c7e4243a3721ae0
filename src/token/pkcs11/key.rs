//! Finds one key without doubt, and checks that it is fit to be a CA key.
//!
//! In: a label, perhaps an id, and a scheme. Out: a [`FoundKey`], or the [`KeyProblem`] that an operator must solve. Modules
//! allow several objects of one name, and some ignore what they are asked for: exactly one private key must match, and
//! what was found is asked again (R18, R20). Nothing is taken for granted that the token does not say (R44).

use std::collections::BTreeSet;

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::attribute::Object;
use super::mechanism::Dialect;
use crate::key::{Flaw, PublicKey, Scheme, accepting};

mod problem;
mod public;
pub(crate) use problem::KeyProblem;
pub(crate) use public::public_key;
pub(super) use public::{lacks, public_objects, read_public_key};

/// The RSA moduli that a CA key may have, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A private key on the token and its public half.
#[derive(Debug)]
pub(crate) struct FoundKey {
    pub(crate) private: ObjectHandle,
    pub(crate) public_key: PublicKey,
    pub(crate) scheme: Scheme,
    /// Whether each signature wants a login of its own (R42).
    pub(super) always_authenticate: bool,
    /// How its module wants its mechanism.
    pub(super) dialect: Dialect,
}

/// How a key is found on a token.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    /// What the configuration calls it, for who has to correct that.
    pub(crate) name: &'a str,
    /// `CKA_LABEL`.
    pub(crate) label: &'a str,
    /// `CKA_ID`, if the label alone is not enough.
    pub(crate) id: Option<&'a [u8]>,
}

/// Lower-case hexadecimal, as `id` is written in the configuration.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Finds and checks the one key.
///
/// # Errors
/// [`KeyProblem`]
pub(crate) fn find(
    session: &Session,
    name: Named<'_>,
    scheme: Scheme,
    accept: &BTreeSet<Flaw>,
) -> Result<FoundKey, KeyProblem> {
    let private = find_private(session, name)?;
    let public_key = public_key(session, private)?;
    if let PublicKey::Rsa(key) = &public_key {
        let bits = key.bits();
        if !RSA_BITS.contains(&bits) {
            return Err(KeyProblem::RsaBits(bits));
        }
    }
    if !scheme.fits(&public_key) {
        return Err(KeyProblem::Unfit { scheme, found: Box::new(public_key) });
    }
    fit(session, private, &public_key, accept)?;
    let object = Object { session, handle: private };
    // Modules older than v2.20 do not know the attribute, and so do not enforce it.
    let always_authenticate = object.flag(AttributeType::AlwaysAuthenticate)?.unwrap_or(false);
    Ok(FoundKey { private, public_key, scheme, always_authenticate, dialect: Dialect::default() })
}

/// Whether a private key signs, and has no flaw that its section does not accept.
///
/// # Errors
/// [`KeyProblem::SignsNothing`], [`KeyProblem::Flawed`], [`KeyProblem::Call`]
pub(super) fn fit(
    session: &Session,
    private: ObjectHandle,
    public_key: &PublicKey,
    accept: &BTreeSet<Flaw>,
) -> Result<(), KeyProblem> {
    let asked = Flaw::ALL.into_iter().filter(|flaw| concerns(*flaw, public_key) && !accept.contains(flaw));
    check_attributes(&Object { session, handle: private }, asked, accept)
}

/// The attribute that tells of a flaw, and what it should be.
pub(super) fn attribute(flaw: Flaw) -> (&'static str, AttributeType, bool) {
    match flaw {
        Flaw::Extractable => ("CKA_EXTRACTABLE", AttributeType::Extractable, false),
        Flaw::NotSensitive => ("CKA_SENSITIVE", AttributeType::Sensitive, true),
        Flaw::OnceExtractable => ("CKA_NEVER_EXTRACTABLE", AttributeType::NeverExtractable, true),
        Flaw::OnceNotSensitive => ("CKA_ALWAYS_SENSITIVE", AttributeType::AlwaysSensitive, true),
        Flaw::NotLocal => ("CKA_LOCAL", AttributeType::Local, true),
        Flaw::Decrypts => ("CKA_DECRYPT", AttributeType::Decrypt, false),
        Flaw::Unwraps => ("CKA_UNWRAP", AttributeType::Unwrap, false),
        Flaw::Derives => ("CKA_DERIVE", AttributeType::Derive, false),
    }
}

/// Whether a token that does not tell is taken for one that tells the worse: what a key is now, every token can say; what it was and
/// what else it can do, some leave out.
fn must_be_told(flaw: Flaw) -> bool {
    matches!(flaw, Flaw::Extractable | Flaw::NotSensitive)
}

/// Whether a key of this kind can have the flaw at all: no mechanism decrypts with an elliptic curve's key, and modules that set the
/// attribute all the same (SoftHSM2) mean nothing by it.
pub(super) fn concerns(flaw: Flaw, key: &PublicKey) -> bool {
    match flaw {
        Flaw::Decrypts | Flaw::Unwraps => matches!(key, PublicKey::Rsa(_)),
        Flaw::Derives => matches!(key, PublicKey::Ecdsa(_)),
        Flaw::Extractable
        | Flaw::NotSensitive
        | Flaw::OnceExtractable
        | Flaw::OnceNotSensitive
        | Flaw::NotLocal => true,
    }
}

fn check_attributes(
    key: &Object<'_>,
    asked: impl Iterator<Item = Flaw>,
    accept: &BTreeSet<Flaw>,
) -> Result<(), KeyProblem> {
    let said = |name: &str, value: Option<bool>| {
        value.map_or(format!("no readable {name}"), |value| format!("{name} {value}"))
    };
    let signs = key.flag(AttributeType::Sign)?;
    if signs != Some(true) {
        return Err(KeyProblem::SignsNothing { found: said("CKA_SIGN", signs) });
    }
    // The whole list, to be written in the place of the one that is there.
    let (mut found, mut flaws) = (Vec::new(), accept.clone());
    for flaw in asked {
        let (name, kind, wanted) = attribute(flaw);
        let value = key.flag(kind)?;
        if value == Some(!wanted) || (value.is_none() && must_be_told(flaw)) {
            found.push(said(name, value));
            flaws.insert(flaw);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(KeyProblem::Flawed { found: found.join(", "), accept: accepting(&flaws) })
}

/// Every private key of this label and id, asked twice: by template, and by its own attributes.
///
/// # Errors
/// If a call fails.
pub(crate) fn private_keys(
    session: &Session,
    label: Option<&str>,
    id: Option<&[u8]>,
) -> Result<Vec<ObjectHandle>, Error> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(label.map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    let mut found = Vec::new();
    for handle in session.find_objects(&template)? {
        let object = Object { session, handle };
        if matches_class(&object, ObjectClass::PRIVATE_KEY)?
            && matches_bytes(&object, AttributeType::Label, label.map(str::as_bytes))?
            && matches_bytes(&object, AttributeType::Id, id)?
        {
            found.push(handle);
        }
    }
    Ok(found)
}

fn matches_class(object: &Object<'_>, class: ObjectClass) -> Result<bool, Error> {
    Ok(matches!(object.get(AttributeType::Class)?, Some(Attribute::Class(found)) if found == class))
}

fn matches_bytes(object: &Object<'_>, kind: AttributeType, wanted: Option<&[u8]>) -> Result<bool, Error> {
    match wanted {
        Some(wanted) => Ok(object.bytes(kind)?.is_some_and(|found| found == wanted)),
        None => Ok(true),
    }
}

fn find_private(session: &Session, Named { name, label, id }: Named<'_>) -> Result<ObjectHandle, KeyProblem> {
    let mut found = private_keys(session, Some(label), id)?;
    match (found.pop(), found.len()) {
        (Some(handle), 0) => Ok(handle),
        (Some(handle), _) => {
            found.push(handle);
            Err(several(session, label, id, &found)?)
        }
        (None, _) => Err(KeyProblem::Missing {
            name: name.to_owned(),
            label: label.to_owned(),
            id: id.map(<[u8]>::to_vec),
            present: present(session)?,
        }),
    }
}

/// What tells private keys of one label apart, if anything does.
fn several(
    session: &Session,
    label: &str,
    id: Option<&[u8]>,
    found: &[ObjectHandle],
) -> Result<KeyProblem, Error> {
    let ids: BTreeSet<_> = found.iter().map(|handle| id_of(session, *handle)).collect::<Result<_, _>>()?;
    let label = label.to_owned();
    if let (Some(one), 1) = (ids.first(), ids.len()) {
        return Ok(KeyProblem::Alike { count: found.len(), label, id: one.clone() });
    }
    let without_id = ids.contains(NO_ID);
    let ids = ids.into_iter().filter(|id| id != NO_ID).collect::<Vec<_>>().join(", ");
    Ok(KeyProblem::Ambiguous { label, id: id.map(<[u8]>::to_vec), ids, without_id })
}

/// What a person is told of an object without a `CKA_ID`.
const NO_ID: &str = "none";

/// An object's id in hexadecimal, for a person.
fn id_of(session: &Session, handle: ObjectHandle) -> Result<String, Error> {
    let id = Object { session, handle }.bytes(AttributeType::Id)?.filter(|id| !id.is_empty());
    Ok(id.map_or_else(|| NO_ID.to_owned(), |id| hex(&id)))
}

/// The private keys that there are, for a person who has mistyped one.
fn present(session: &Session) -> Result<String, Error> {
    let mut names = Vec::new();
    for handle in private_keys(session, None, None)?.into_iter().take(16) {
        let label = Object { session, handle }.bytes(AttributeType::Label)?.unwrap_or_default();
        names.push(format!("{:?} (id {})", String::from_utf8_lossy(&label), id_of(session, handle)?));
    }
    names.sort();
    Ok(if names.is_empty() {
        "the token has no private key".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    })
}
