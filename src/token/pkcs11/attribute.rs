//! Attributes of one object, asked one at a time, and the encodings of public keys that modules use.
//!
//! One attribute that a module does not know fails a whole template in some modules (R25). `CKA_EC_POINT` comes raw, as a DER
//! OCTET STRING or as a BIT STRING, `CKA_EC_PARAMS` as an OID or a name (R24): every dialect is read, one value comes out.

use countersign_tbs::key::{Curve, EcPoint, KeyError, MlDsaPublicKey, ParameterSet, RsaPublicKey};
use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, MlDsaParameterSetType, ObjectHandle, ParameterSetType};
use cryptoki::session::Session;

use crate::key::PublicKey;

/// DER of the OBJECT IDENTIFIERs (RFC 5480 §2.1.1.1, RFC 8410 §3).
pub(super) const OID_P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const OID_P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const OID_P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
pub(super) const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// Ed25519's identifier of before RFC 8410, which OpenPGP cards still use (1.3.6.1.4.1.11591.15.1).
const OLD_OID_ED25519: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// The NIST curves as PrintableStrings, which PKCS#11 v3.0 allows for every curve (current mechanisms §2.3.3).
const NAMED: [(&[u8], Curve); 4] = [
    (b"\x13\x09secp256r1", Curve::P256),
    (b"\x13\x0aprime256v1", Curve::P256),
    (b"\x13\x09secp384r1", Curve::P384),
    (b"\x13\x09secp521r1", Curve::P521),
];
/// DER of the PrintableString "edwards25519" (PKCS#11 v3.0 current mechanisms §2.3.5).
pub(super) const NAME_ED25519: &[u8] = b"\x13\x0cedwards25519";

/// Reads attributes of one object.
pub(super) struct Object<'a> {
    pub(super) session: &'a Session,
    pub(super) handle: ObjectHandle,
}

impl Object<'_> {
    /// One attribute; `None` if the object has none, or the module does not know it or keeps it to itself.
    ///
    /// # Errors
    /// If the call fails otherwise.
    pub(super) fn get(&self, kind: AttributeType) -> Result<Option<Attribute>, Error> {
        Ok(self.session.get_attributes(self.handle, &[kind])?.pop())
    }

    /// A boolean attribute.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn flag(&self, kind: AttributeType) -> Result<Option<bool>, Error> {
        Ok(match self.get(kind)? {
            Some(
                Attribute::AlwaysAuthenticate(value)
                | Attribute::AlwaysSensitive(value)
                | Attribute::Decrypt(value)
                | Attribute::Derive(value)
                | Attribute::Extractable(value)
                | Attribute::Local(value)
                | Attribute::Modifiable(value)
                | Attribute::NeverExtractable(value)
                | Attribute::Private(value)
                | Attribute::Sensitive(value)
                | Attribute::Sign(value)
                | Attribute::Unwrap(value)
                | Attribute::WrapWithTrusted(value),
            ) => Some(value),
            _ => None,
        })
    }

    /// A byte-string attribute.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn bytes(&self, kind: AttributeType) -> Result<Option<Vec<u8>>, Error> {
        Ok(match self.get(kind)? {
            Some(
                Attribute::Id(value)
                | Attribute::Label(value)
                | Attribute::EcPoint(value)
                | Attribute::EcParams(value)
                | Attribute::Modulus(value)
                | Attribute::PublicExponent(value)
                | Attribute::PublicKeyInfo(value)
                | Attribute::Value(value),
            ) => Some(value),
            _ => None,
        })
    }
}

/// The public key of an elliptic-curve object.
///
/// # Errors
/// [`KeyError::Algorithm`] for a curve without a name here, [`KeyError::PointEncoding`] for a point of another length.
pub(super) fn ec_public_key(params: &[u8], point: &[u8]) -> Result<PublicKey, KeyError> {
    let curve = match params {
        OID_P256 => Curve::P256,
        OID_P384 => Curve::P384,
        OID_P521 => Curve::P521,
        OID_ED25519 | OLD_OID_ED25519 | NAME_ED25519 => {
            let raw = raw_point(point, 32).and_then(|raw| raw.try_into().ok());
            return raw.map(PublicKey::Ed25519).ok_or(KeyError::PointEncoding);
        }
        named => {
            let known = NAMED.into_iter().find(|(name, _)| *name == named);
            known.map(|(_, curve)| curve).ok_or(KeyError::Algorithm)?
        }
    };
    let raw = raw_point(point, 1 + 2 * curve.field_len()).ok_or(KeyError::PointEncoding)?;
    Ok(PublicKey::Ecdsa(EcPoint::new(curve, raw.to_vec())?))
}

/// A point of `len` bytes, raw, within a DER OCTET STRING, or within a BIT STRING. Only the total length can tell: a raw
/// P-256 point may start with 0x04 0x41, which is also how its OCTET STRING starts.
fn raw_point(point: &[u8], len: usize) -> Option<&[u8]> {
    if point.len() == len {
        return Some(point);
    }
    let contents = match point {
        [0x04 | 0x03, short, contents @ ..] if usize::from(*short) == contents.len() && *short < 128 => {
            contents
        }
        [0x04 | 0x03, 0x81, long, contents @ ..] if usize::from(*long) == contents.len() && *long >= 128 => {
            contents
        }
        _ => return None,
    };
    let raw = match point.first() {
        Some(0x03) => contents.strip_prefix(&[0])?, // No unused bits.
        _ => contents,
    };
    (raw.len() == len).then_some(raw)
}

/// The public key of an RSA object; PKCS#11 does not forbid leading zeros.
///
/// # Errors
/// [`KeyError`]
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    Ok(PublicKey::Rsa(RsaPublicKey::new(significant(modulus), significant(exponent))?))
}

/// The public key of an ML-DSA object: `CKA_PARAMETER_SET`, and in `CKA_VALUE` the key as FIPS 204 encodes it (PKCS#11 v3.2
/// §6.67.2).
///
/// # Errors
/// [`KeyError::Algorithm`] for a parameter set without a name here, [`KeyError::MlDsaLength`] for another length.
pub(super) fn ml_dsa_public_key(set: ParameterSetType, value: Vec<u8>) -> Result<PublicKey, KeyError> {
    let same = |parameters: &ParameterSet| *ParameterSetType::from(pkcs11_name(*parameters)) == *set;
    let parameters = ParameterSet::ALL.into_iter().find(same).ok_or(KeyError::Algorithm)?;
    Ok(PublicKey::MlDsa(MlDsaPublicKey::new(parameters, value)?))
}

/// `CKP_ML_DSA_44` and so on.
pub(super) fn pkcs11_name(parameters: ParameterSet) -> MlDsaParameterSetType {
    match parameters {
        ParameterSet::MlDsa44 => MlDsaParameterSetType::ML_DSA_44,
        ParameterSet::MlDsa65 => MlDsaParameterSetType::ML_DSA_65,
        ParameterSet::MlDsa87 => MlDsaParameterSetType::ML_DSA_87,
    }
}

fn significant(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests;
