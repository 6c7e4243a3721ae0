//! Attributes of one object, asked one at a time, and the encodings of public keys that modules use.
//!
//! One attribute that a module does not know fails a whole template in some modules (R25). `CKA_EC_POINT` comes as a DER
//! OCTET STRING or raw, `CKA_EC_PARAMS` as an OID or a name (R24): every dialect is read, and one value comes out.

use countersign_tbs::key::{Curve, EcPoint, KeyError, RsaPublicKey};
use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use crate::key::PublicKey;

/// DER of the OBJECT IDENTIFIERs (RFC 5480 §2.1.1.1, RFC 8410 §3).
pub(super) const OID_P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const OID_P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(super) const OID_P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
pub(super) const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
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
                | Attribute::Sensitive(value)
                | Attribute::Sign(value)
                | Attribute::Unwrap(value),
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
                | Attribute::PublicExponent(value),
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
        OID_ED25519 | NAME_ED25519 => {
            let raw = raw_point(point, 32).and_then(|raw| raw.try_into().ok());
            return raw.map(PublicKey::Ed25519).ok_or(KeyError::PointEncoding);
        }
        _ => return Err(KeyError::Algorithm),
    };
    let raw = raw_point(point, 1 + 2 * curve.field_len()).ok_or(KeyError::PointEncoding)?;
    Ok(PublicKey::Ecdsa(EcPoint::new(curve, raw.to_vec())?))
}

/// A point of `len` bytes, raw or within a DER OCTET STRING. Only the total length can tell: a raw P-256 point may start
/// with 0x04 0x41, which is also how its OCTET STRING starts.
fn raw_point(point: &[u8], len: usize) -> Option<&[u8]> {
    match point {
        raw if raw.len() == len => Some(raw),
        [0x04, short, raw @ ..] if usize::from(*short) == len && len < 128 && raw.len() == len => Some(raw),
        [0x04, 0x81, long, raw @ ..] if usize::from(*long) == len && len >= 128 && raw.len() == len => {
            Some(raw)
        }
        _ => None,
    }
}

/// The public key of an RSA object; PKCS#11 does not forbid leading zeros.
///
/// # Errors
/// [`KeyError`]
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    Ok(PublicKey::Rsa(RsaPublicKey::new(significant(modulus), significant(exponent))?))
}

fn significant(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::as_conversions, clippy::cast_possible_truncation, reason = "tests")]

    use super::*;

    fn octet_string(raw: &[u8]) -> Vec<u8> {
        let mut der = vec![0x04];
        if raw.len() >= 128 {
            der.push(0x81);
        }
        der.push(raw.len() as u8);
        der.extend_from_slice(raw);
        der
    }

    #[test]
    fn reads_a_point_raw_or_in_der_on_every_curve() {
        for (params, len) in [(OID_P256, 65), (OID_P384, 97), (OID_P521, 133)] {
            // The start of a raw point that looks like the OCTET STRING of another.
            let mut raw = vec![0x41; len];
            raw.splice(..1, [0x04]);
            let from_raw = ec_public_key(params, &raw).unwrap();
            assert_eq!(ec_public_key(params, &octet_string(&raw)).unwrap(), from_raw);
            assert!(matches!(from_raw, PublicKey::Ecdsa(point) if point.as_bytes() == raw));
        }
    }

    #[test]
    fn reads_ed25519_by_oid_and_by_name_raw_and_in_der() {
        // A key that starts like its own OCTET STRING.
        let mut raw = [0x20; 32];
        raw.splice_first(0x04);
        for params in [OID_ED25519, NAME_ED25519] {
            for point in [raw.to_vec(), octet_string(&raw)] {
                assert_eq!(ec_public_key(params, &point).unwrap(), PublicKey::Ed25519(raw));
            }
        }
    }

    trait SpliceFirst {
        fn splice_first(&mut self, byte: u8);
    }

    impl SpliceFirst for [u8; 32] {
        fn splice_first(&mut self, byte: u8) {
            if let Some(first) = self.first_mut() {
                *first = byte;
            }
        }
    }

    #[test]
    fn refuses_points_of_another_length_and_unknown_curves() {
        let secp256k1 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
        assert_eq!(ec_public_key(&secp256k1, &[4; 65]), Err(KeyError::Algorithm));
        for len in [0, 1, 32, 33, 64, 66, 68, 97] {
            assert_eq!(ec_public_key(OID_P256, &vec![4; len]), Err(KeyError::PointEncoding), "{len}");
        }
        assert_eq!(ec_public_key(OID_ED25519, &[4; 33]), Err(KeyError::PointEncoding));
    }

    #[test]
    fn strips_leading_zeros_of_rsa_numbers() {
        let modulus = [0xff; 256];
        let padded = [&[0][..], &modulus].concat();
        assert_eq!(rsa_public_key(&padded, &[0, 1, 0, 1]), rsa_public_key(&modulus, &[1, 0, 1]));
    }
}
