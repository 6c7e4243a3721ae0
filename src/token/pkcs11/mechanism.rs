//! Signing: one raw mechanism per kind of key, because modules disagree about the hashing ones (R23).
//!
//! In: a session, a found key and an [`Input`] whose length is right. Out: the token's bytes. Where modules disagree about a
//! mechanism's parameters (R24), a key's first signature finds out what its module wants, and what does not verify is no answer.

use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::session::Session;
use cryptoki::types::Ulong;

use super::key::{FoundKey, KeyProblem};
use super::ladder::Trouble;
use crate::key::Scheme;
use crate::token::frame::CallFailure;
use crate::token::input::Input;
use crate::verify::Verifier;

/// Signs in one session: `C_SignInit`, and `C_Sign` twice, the first time for the signature's length only. That one is
/// answered without the device; `cryptoki` has no way to bring a buffer along.
///
/// # Errors
/// [`Trouble`]
pub(super) fn sign(session: &Session, key: &FoundKey, input: &Input) -> Result<Vec<u8>, Trouble> {
    in_its_dialect(key, input, |mechanism| Ok(session.sign(mechanism, key.private, &input.block())?))
}

/// Signs with a key that wants a login of its own after `C_SignInit` (R42), which is `log_in`. In parts, because `cryptoki` does `C_SignInit`
/// and `C_Sign` in one; tokens that have such keys take that (ykcs11, OpenSC), SoftHSM does not.
///
/// # Errors
/// [`Trouble`]
pub(super) fn sign_authenticated(
    session: &Session,
    key: &FoundKey,
    input: &Input,
    mut log_in: impl FnMut(&Session) -> Result<(), Trouble>,
) -> Result<Vec<u8>, Trouble> {
    in_its_dialect(key, input, |mechanism| {
        session.sign_init(mechanism, key.private)?;
        log_in(session)?;
        session.sign_update(&input.block()).map_err(|error| match error {
            // What SoftHSM says where it does not sign in parts. The operation is over, and the session is well.
            Error::Pkcs11(RvError::OperationNotInitialized, Function::SignUpdate) => {
                Error::Pkcs11(RvError::FunctionNotSupported, Function::SignUpdate)
            }
            other => other,
        })?;
        Ok(session.sign_final()?)
    })
}

/// Whether `CKM_EDDSA` goes with `CK_EDDSA_PARAMS`, of no hash and an empty context. Ed25519 is what it means without (PKCS#11 v3.0, its table);
/// some modules refuse that, and mean Ed25519 by what the standard has for Ed25519ctx (R24). Others refuse the parameters.
#[derive(Debug, Default)]
pub(super) struct Dialect {
    parameters: AtomicBool,
}

/// Signs by `attempt` with the key's mechanism as its module wants it, which the first signature finds out: for the same bytes, so that
/// the token signs nothing that was not asked for.
fn in_its_dialect(
    key: &FoundKey,
    input: &Input,
    mut attempt: impl FnMut(&Mechanism<'_>) -> Result<Vec<u8>, Trouble>,
) -> Result<Vec<u8>, Trouble> {
    let has_parameters = key.dialect.parameters.load(Ordering::Relaxed);
    match attempt(&mechanism(key.scheme, has_parameters)) {
        Err(Trouble::Call(Error::Pkcs11(RvError::MechanismParamInvalid, function)))
            if key.scheme == Scheme::Ed25519 && !has_parameters =>
        {
            let signature = attempt(&mechanism(key.scheme, true))?;
            let verifier = Verifier::new(key.scheme, &key.public_key).ok();
            if verifier.is_some_and(|verifier| verifier.verify(&input.block(), &signature).is_ok()) {
                key.dialect.parameters.store(true, Ordering::Relaxed);
                return Ok(signature);
            }
            // Ed25519ctx, as the standard has it; no format that is signed here is.
            let code =
                "CKR_MECHANISM_PARAM_INVALID without CK_EDDSA_PARAMS, and no Ed25519 signature with them";
            Err(Trouble::Request(CallFailure { call: format!("C_{function:?}"), code: code.to_owned() }))
        }
        answer => answer,
    }
}

/// With parameters of EdDSA, or without.
fn mechanism(scheme: Scheme, eddsa_parameters: bool) -> Mechanism<'static> {
    match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 | Scheme::EcdsaP521Sha512 => Mechanism::Ecdsa,
        Scheme::Ed25519 => {
            let bare = EddsaSignatureScheme::Ed25519;
            // By this name `cryptoki` makes parameters of no hash.
            let with = EddsaSignatureScheme::Ed25519ctx(&[]);
            Mechanism::Eddsa(EddsaParams::new(if eddsa_parameters { with } else { bare }))
        }
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => Mechanism::RsaPkcs,
        Scheme::RsaPssSha256 => pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Scheme::RsaPssSha384 => pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Scheme::RsaPssSha512 => pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        // No parameters: an empty context, and the token hedges if it can (PKCS#11 v3.2 §6.67.5).
        Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => {
            Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None))
        }
    }
}

/// RSASSA-PSS on a digest, with a salt as long as that; other lengths, zero above all, are refused by some tokens (R23).
fn pss(hash_alg: MechanismType, mgf: PkcsMgfType, salt_len: u64) -> Mechanism<'static> {
    Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len: Ulong::new(salt_len) })
}

/// The mechanism that a scheme needs.
pub(super) fn of(scheme: Scheme) -> MechanismType {
    mechanism(scheme, false).mechanism_type()
}

/// Passes on a key whose mechanism the token has.
///
/// # Errors
/// [`KeyProblem::Mechanism`] otherwise.
pub(super) fn check(offered: &[MechanismType], key: FoundKey) -> Result<FoundKey, KeyProblem> {
    let needed = of(key.scheme);
    if offered.contains(&needed) {
        Ok(key)
    } else {
        Err(KeyProblem::Mechanism { needed, scheme: key.scheme })
    }
}
