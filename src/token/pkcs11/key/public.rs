//! Reads the public half of a private key.
//!
//! In: a private key's object. Out: the one public key that the token tells of it, or why there is none or more than one, with
//! every object that could be meant.

use countersign_tbs::key::KeyError;
use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::{KeyProblem, hex, matches_bytes, matches_class};
use crate::key::PublicKey;
use crate::token::pkcs11::attribute::{Object, ec_public_key, ml_dsa_public_key, rsa_public_key};

/// The public half: of the public key object with the same `CKA_ID`, or what the private key itself tells.
///
/// # Errors
/// [`KeyProblem`]
pub(crate) fn public_key(session: &Session, private: ObjectHandle) -> Result<PublicKey, KeyProblem> {
    let own = Object { session, handle: private };
    let id = own.bytes(AttributeType::Id)?.filter(|id| !id.is_empty()).unwrap_or_default();
    let mut twins = if id.is_empty() { Twins::default() } else { Twins::of(session, &id)? };
    if twins.keys.len() + twins.wrong.len() > 1 {
        let candidates = twins.candidates();
        return Err(KeyProblem::ManyPublicKeys {
            count: candidates.len(),
            id: hex(&id),
            candidates: candidates.join(", "),
        });
    }
    if let Some((_, error)) = twins.wrong.pop() {
        return Err(error.into());
    }
    match twins.keys.pop() {
        Some((_, key)) => Ok(key),
        None => read_public_key(&own)?
            .ok_or_else(|| KeyProblem::NoPublicKey { candidates: twins.candidates().join(", ") }),
    }
}

/// The public key objects of one `CKA_ID`, each with its label in quotes.
#[derive(Default)]
struct Twins {
    /// What tells a key; each key once.
    keys: Vec<(String, PublicKey)>,
    /// What tells something that is no key.
    wrong: Vec<(String, KeyError)>,
    /// What tells none, and what it lacks.
    silent: Vec<(String, &'static str)>,
}

impl Twins {
    fn of(session: &Session, id: &[u8]) -> Result<Self, KeyProblem> {
        let mut twins = Self::default();
        for handle in public_objects(session, id)? {
            let object = Object { session, handle };
            let label = object.bytes(AttributeType::Label)?.unwrap_or_default();
            let label = format!("{:?}", String::from_utf8_lossy(&label));
            match read_public_key(&object) {
                Ok(Some(key)) if twins.keys.iter().any(|(_, known)| *known == key) => {}
                Ok(Some(key)) => twins.keys.push((label, key)),
                Ok(None) => twins.silent.push((label, lacks(&object)?)),
                Err(KeyProblem::PublicKey(error)) => twins.wrong.push((label, error)),
                Err(problem) => return Err(problem),
            }
        }
        Ok(twins)
    }

    /// Each object, for a person: its label, and its key or why it gives none.
    fn candidates(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|(label, key)| format!("{label} ({})", key.fingerprint()));
        let wrong = self.wrong.iter().map(|(label, error)| format!("{label} ({error})"));
        let silent = self.silent.iter().map(|(label, lacks)| format!("{label} ({lacks})"));
        keys.chain(wrong).chain(silent).collect()
    }
}

/// Every public key object of this id, asked twice like [`private_keys`](super::private_keys).
///
/// # Errors
/// If a call fails.
pub(in crate::token::pkcs11) fn public_objects(
    session: &Session,
    id: &[u8],
) -> Result<Vec<ObjectHandle>, Error> {
    let mut found = Vec::new();
    for handle in
        session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())])?
    {
        let object = Object { session, handle };
        if matches_class(&object, ObjectClass::PUBLIC_KEY)?
            && matches_bytes(&object, AttributeType::Id, Some(id))?
        {
            found.push(handle);
        }
    }
    Ok(found)
}

/// What spells a public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spelled {
    /// `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`.
    Numbers,
    /// `CKA_EC_PARAMS` and `CKA_EC_POINT`.
    Point,
    /// `CKA_PARAMETER_SET` and `CKA_VALUE`.
    ParameterSet,
}

/// Which attributes a key of this `CKA_KEY_TYPE` has, if any that are read here. Some modules call Ed25519 an EC key (R24): which curve
/// it is, the parameters say.
fn spelled(kind: KeyType) -> Option<Spelled> {
    [
        (KeyType::RSA, Spelled::Numbers),
        (KeyType::EC, Spelled::Point),
        (KeyType::EC_EDWARDS, Spelled::Point),
        (KeyType::ML_DSA, Spelled::ParameterSet),
    ]
    .into_iter()
    .find_map(|(known, spelled)| (known == kind).then_some(spelled))
}

/// What keeps an object that spells no public key from it, for a person.
///
/// # Errors
/// If a call fails.
pub(in crate::token::pkcs11) fn lacks(object: &Object<'_>) -> Result<&'static str, Error> {
    let Some(Attribute::KeyType(kind)) = object.get(AttributeType::KeyType)? else {
        return Ok("no readable CKA_KEY_TYPE");
    };
    Ok(match spelled(kind) {
        Some(Spelled::Numbers) => "no readable CKA_MODULUS and CKA_PUBLIC_EXPONENT",
        Some(Spelled::Point) => "no readable CKA_EC_PARAMS and CKA_EC_POINT",
        Some(Spelled::ParameterSet) => "no readable CKA_PARAMETER_SET and CKA_VALUE",
        None => "a kind of key that no scheme signs with",
    })
}

/// The public key that an object's attributes spell; `None` if they do not.
///
/// # Errors
/// [`KeyProblem`]
pub(in crate::token::pkcs11) fn read_public_key(
    object: &Object<'_>,
) -> Result<Option<PublicKey>, KeyProblem> {
    let bytes = |kind| Ok::<_, Error>(object.bytes(kind)?.filter(|bytes| !bytes.is_empty()));
    let Some(Attribute::KeyType(kind)) = object.get(AttributeType::KeyType)? else { return Ok(None) };
    match spelled(kind) {
        Some(Spelled::Numbers) => {
            let numbers = bytes(AttributeType::Modulus)?.zip(bytes(AttributeType::PublicExponent)?);
            Ok(numbers.map(|(modulus, exponent)| rsa_public_key(&modulus, &exponent)).transpose()?)
        }
        Some(Spelled::Point) => {
            let parts = bytes(AttributeType::EcParams)?.zip(bytes(AttributeType::EcPoint)?);
            Ok(parts.map(|(params, point)| ec_public_key(&params, &point)).transpose()?)
        }
        Some(Spelled::ParameterSet) => read_ml_dsa(object),
        None => Ok(None),
    }
}

/// What `CKA_VALUE` is of a private key nobody asks for: that tells the public one by its SubjectPublicKeyInfo, if at all.
fn read_ml_dsa(object: &Object<'_>) -> Result<Option<PublicKey>, KeyProblem> {
    if !matches_class(object, ObjectClass::PUBLIC_KEY)? {
        let spki = object.bytes(AttributeType::PublicKeyInfo)?.filter(|spki| !spki.is_empty());
        return Ok(spki.map(|spki| PublicKey::from_spki_der(&spki)).transpose()?);
    }
    let set = match object.get(AttributeType::ParameterSet)? {
        Some(Attribute::ParameterSet(set)) => Some(set),
        _ => None,
    };
    let parts = set.zip(object.bytes(AttributeType::Value)?);
    Ok(parts.map(|(set, value)| ml_dsa_public_key(set, value)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_read_whichever_type_its_module_calls_it() {
        for (kind, expected) in [
            (KeyType::EC, Some(Spelled::Point)),
            (KeyType::EC_EDWARDS, Some(Spelled::Point)),
            (KeyType::EC_MONTGOMERY, None),
            (KeyType::RSA, Some(Spelled::Numbers)),
            (KeyType::ML_DSA, Some(Spelled::ParameterSet)),
            (KeyType::AES, None),
        ] {
            assert_eq!(spelled(kind), expected, "{kind}");
        }
    }
}
