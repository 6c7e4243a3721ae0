//! A key that was made elsewhere, put on a token; no part of the service.
//!
//! In: a [`SoftwareKey`]. Out: the same key on the token, which tells for ever that it was not made there: `CKA_LOCAL` and
//! `CKA_ALWAYS_SENSITIVE` are the token's own to set. What is secret is shown to the module by `C_CreateObject`, the one call that every
//! module has for it, and wiped afterwards. Not done here: a token that takes no key in clear is not helped.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use zeroize::Zeroize;

use super::attribute::{NAME_ED25519, OID_ED25519};
use super::carry::{Arrival, create, curve_oid};
use super::generate::{Made, concerns_template};
use super::operator::Console;
use crate::key::PublicKey;
use crate::token::software::{Number, Private, SoftwareKey};

/// A template that holds a private key, wiped when it is dropped.
struct Secret(Vec<Attribute>);

impl Drop for Secret {
    fn drop(&mut self) {
        for attribute in &mut self.0 {
            if let Attribute::Value(bytes)
            | Attribute::PrivateExponent(bytes)
            | Attribute::Prime1(bytes)
            | Attribute::Prime2(bytes)
            | Attribute::Exponent1(bytes)
            | Attribute::Exponent2(bytes)
            | Attribute::Coefficient(bytes) = attribute
            {
                bytes.zeroize();
            }
        }
    }
}

impl Console {
    /// Puts the key on the token.
    ///
    /// # Errors
    /// What is wrong, and whether the key is on the token now.
    pub(crate) fn import(&self, arrival: &Arrival<'_>, key: &SoftwareKey) -> anyhow::Result<Made> {
        self.settle(arrival, |wanted| {
            let mut refused = Error::InvalidValue;
            for mut template in secret(key) {
                template.0.extend_from_slice(wanted);
                match create(&self.session, &template.0) {
                    Err(error) if concerns_template(&error) => refused = error,
                    answer => return answer,
                }
            }
            Err(refused)
        })
    }
}

/// How a private key may be said; modules disagree about Ed25519 (R24).
fn secret(key: &SoftwareKey) -> Vec<Secret> {
    let elliptic = |kind, params: &[u8], number: &Number| {
        let mut template = room();
        template.0.extend([
            Attribute::KeyType(kind),
            Attribute::EcParams(params.to_vec()),
            Attribute::Value(number.to_vec()),
        ]);
        template
    };
    match (&key.private, &key.public) {
        (Private::Ecdsa(scalar), PublicKey::Ecdsa(point)) => {
            vec![elliptic(KeyType::EC, curve_oid(point.curve()), scalar)]
        }
        (Private::Ed25519(seed), PublicKey::Ed25519(_)) => {
            [OID_ED25519, NAME_ED25519].map(|params| elliptic(KeyType::EC_EDWARDS, params, seed)).into()
        }
        (Private::Rsa(numbers), PublicKey::Rsa(public)) => {
            let mut template = room();
            template.0.extend([
                Attribute::KeyType(KeyType::RSA),
                Attribute::Modulus(public.modulus().to_vec()),
                Attribute::PublicExponent(public.exponent().to_vec()),
                Attribute::PrivateExponent(numbers.d.to_vec()),
                Attribute::Prime1(numbers.p.to_vec()),
                Attribute::Prime2(numbers.q.to_vec()),
                Attribute::Exponent1(numbers.dp.to_vec()),
                Attribute::Exponent2(numbers.dq.to_vec()),
                Attribute::Coefficient(numbers.q_inverse.to_vec()),
            ]);
            vec![template]
        }
        // A `SoftwareKey` has two halves of one kind.
        _ => Vec::new(),
    }
}

fn room() -> Secret {
    Secret(vec![Attribute::Class(ObjectClass::PRIVATE_KEY)])
}
