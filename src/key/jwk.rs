//! A public key as a JSON Web Key, for verifiers that read those (RFC 7517, RFC 7518 §6, RFC 8037 §2).
//!
//! In: a key, and the scheme that it signs by. Out: JSON with the key's thumbprint (RFC 7638) as its `kid`. Nothing is read here.

use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use countersign_tbs::key::Curve;
use serde_json::{Map, Value, json};

use crate::key::{PublicKey, Scheme};

/// The key, by `scheme`; `None` for ML-DSA, for which no RFC has a form.
pub(crate) fn jwk(key: &PublicKey, scheme: Scheme) -> Option<Value> {
    let mut jwk = required(key)?;
    jwk.insert("kid".to_owned(), thumbprint(key)?.into());
    jwk.insert("use".to_owned(), "sig".into());
    jwk.insert("alg".to_owned(), algorithm(scheme)?.into());
    Some(Value::Object(jwk))
}

/// RFC 7638: the SHA-256 of the required members, sorted by name and without white space.
fn thumbprint(key: &PublicKey) -> Option<String> {
    // `Map` sorts by name, and the members hold nothing that JSON escapes.
    let canonical = Value::Object(required(key)?).to_string();
    Some(base64url(digest(&SHA256, canonical.as_bytes()).as_ref()))
}

fn required(key: &PublicKey) -> Option<Map<String, Value>> {
    let members = match key {
        PublicKey::Ed25519(bytes) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(bytes) }),
        PublicKey::Ecdsa(point) => {
            let curve = point.curve();
            // 04, and two coordinates of the field's length.
            let coordinates = point.as_bytes().get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at_checked(curve.field_len()).unwrap_or_default();
            json!({ "kty": "EC", "crv": name(curve), "x": base64url(x), "y": base64url(y) })
        }
        PublicKey::Rsa(rsa) => {
            json!({ "kty": "RSA", "n": base64url(rsa.modulus()), "e": base64url(rsa.exponent()) })
        }
        PublicKey::MlDsa(_) => return None,
    };
    members.as_object().cloned()
}

fn name(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
    }
}

/// RFC 7518 §3.1, RFC 8037 §3.1.
fn algorithm(scheme: Scheme) -> Option<&'static str> {
    Some(match scheme {
        Scheme::EcdsaP256Sha256 => "ES256",
        Scheme::EcdsaP384Sha384 => "ES384",
        Scheme::EcdsaP521Sha512 => "ES512",
        Scheme::Ed25519 => "EdDSA",
        Scheme::RsaPkcs1Sha256 => "RS256",
        Scheme::RsaPkcs1Sha384 => "RS384",
        Scheme::RsaPkcs1Sha512 => "RS512",
        Scheme::RsaPssSha256 => "PS256",
        Scheme::RsaPssSha384 => "PS384",
        Scheme::RsaPssSha512 => "PS512",
        Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => return None,
    })
}

fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use countersign_tbs::key::RsaPublicKey;

    use super::*;

    fn decode(text: &str) -> Vec<u8> {
        Base64UrlUnpadded::decode_vec(text).unwrap()
    }

    /// RFC 7638 §3.1 and RFC 8037 appendix A.3.
    #[test]
    fn thumbprints_are_those_of_the_standards() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
                 hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr\
                 n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = PublicKey::Rsa(RsaPublicKey::new(decode(n), decode("AQAB")).unwrap());
        assert_eq!(thumbprint(&rsa).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let x = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let ed25519 = PublicKey::Ed25519(x.try_into().unwrap());
        assert_eq!(thumbprint(&ed25519).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
