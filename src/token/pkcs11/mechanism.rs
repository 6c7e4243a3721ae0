//! Signing: one raw mechanism per kind of key, because modules disagree about the hashing ones (R23).
//!
//! In: a found key and an [`Input`] whose length is right. Out: the token's bytes. Steady state is `C_SignInit` and
//! `C_Sign` on cached handles (R19).

use std::sync::Arc;

use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::types::Ulong;

use super::classify::{self, Remedy};
use super::key::{FoundKey, KeyProblem};
use crate::key::Scheme;
use crate::token::frame::CallFailure;
use crate::token::input::Input;
use crate::token::session::{Session, SignError};

/// One open session and the handles of the keys. A token object's handle serves every session of its process.
pub(super) struct Pkcs11Session {
    session: cryptoki::session::Session,
    keys: Arc<[FoundKey]>,
}

impl Pkcs11Session {
    pub(super) fn new(session: cryptoki::session::Session, keys: Arc<[FoundKey]>) -> Self {
        Self { session, keys }
    }
}

impl Session for Pkcs11Session {
    fn sign(&mut self, key: usize, input: &Input) -> Result<Vec<u8>, SignError> {
        let key = self.keys.get(key).filter(|key| key.scheme == input.scheme()).ok_or_else(|| {
            let code = format!("no key {key} of scheme {}", input.scheme());
            SignError::Request(CallFailure { call: "the token process".to_owned(), code })
        })?;
        self.session.sign(&mechanism(key.scheme), key.private, &input.block()).map_err(|error| {
            match classify::remedy(&error) {
                Remedy::Answer => SignError::Request(classify::describe(&error)),
                Remedy::Reopen | Remedy::Restart | Remedy::Pin => {
                    SignError::Process(classify::describe(&error))
                }
            }
        })
    }
}

fn mechanism(scheme: Scheme) -> Mechanism<'static> {
    match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 | Scheme::EcdsaP521Sha512 => Mechanism::Ecdsa,
        Scheme::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => Mechanism::RsaPkcs,
        Scheme::RsaPssSha256 => pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Scheme::RsaPssSha384 => pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Scheme::RsaPssSha512 => pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    }
}

/// RSASSA-PSS on a digest, with a salt as long as that; other lengths, zero above all, are refused by some tokens (R23).
fn pss(hash_alg: MechanismType, mgf: PkcsMgfType, salt_len: u64) -> Mechanism<'static> {
    Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len: Ulong::new(salt_len) })
}

/// Passes on a key whose mechanism the token has.
///
/// # Errors
/// [`KeyProblem::Mechanism`] otherwise.
pub(super) fn check(offered: &[MechanismType], key: FoundKey) -> Result<FoundKey, KeyProblem> {
    let needed = mechanism(key.scheme).mechanism_type();
    if offered.contains(&needed) {
        Ok(key)
    } else {
        Err(KeyProblem::Mechanism { needed, scheme: key.scheme })
    }
}
