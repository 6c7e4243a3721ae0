//! How a private key that was somewhere else comes to be on a token, for an operator; no part of the service (R44).
//!
//! In: what is known of a key, and a way to have the token hold it. Out: the key on the token: sensitive, for signing only, its
//! label and id its own. Promised: before the token keeps anything, it holds the key in this session alone, and what it says of
//! it and a signature by it have been looked at; nothing is destroyed here. That what it keeps signs, too, the key's record shows, which the
//! ledger has. Every other call that carries a key into a token or out of one is a lint's error (clippy.toml).

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use countersign_tbs::key::Curve;
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::attribute::{NAME_ED25519, OID_ED25519, OID_P256, OID_P384, OID_P521, Object, pkcs11_name};
use super::generate::{Made, Template, concerns_template, optional, restricted};
use super::key::{self, FoundKey, hex};
use super::ladder::Trouble;
use super::mechanism::{self, Dialect};
use super::operator::{Console, call};
use crate::key::{Flaw, PublicKey, Scheme};
use crate::token::input::Input;
use crate::verify::Verifier;

/// What the bytes begin with that such a key signs. There is no entry of it in a ledger (docs/ledger.md): it can be nothing else.
const PROOF: &[u8] = b"countersign proves a key that came to a token: ";

/// A key on its way to a token, and what it is to be there.
pub(crate) struct Arrival<'a> {
    /// `CKA_LABEL`.
    pub(crate) label: &'a str,
    /// `CKA_ID`.
    pub(crate) id: &'a [u8],
    /// How it is to sign.
    pub(crate) scheme: Scheme,
    /// The flaws that its section accepts.
    pub(crate) accept: &'a BTreeSet<Flaw>,
    /// Its public half.
    pub(crate) public_key: &'a PublicKey,
    /// Whether it may leave again.
    pub(crate) leaving: Leaving,
}

/// Whether a key may leave its token, wrapped in another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Leaving {
    /// As a CA key should be.
    Never,
    /// For a backup.
    Wrapped,
}

/// How long the token is to hold an object.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Stay {
    /// Until the session ends.
    Session,
    /// For good.
    Token,
}

impl Stay {
    /// What lasts as long as the session goes by another name, so that it is never taken for what stays.
    fn label<'a>(self, arrival: &Arrival<'a>) -> &'a str {
        match self {
            Self::Session => "countersign trial, temporary",
            Self::Token => arrival.label,
        }
    }

    fn id(self, arrival: &Arrival<'_>) -> Vec<u8> {
        match self {
            Self::Session => self.label(arrival).as_bytes().to_vec(),
            Self::Token => arrival.id.to_vec(),
        }
    }
}

impl Console {
    /// Puts a key on the token by `enter`, which is given what the object is to be and what it is called.
    ///
    /// # Errors
    /// What is wrong, and whether the key is on the token now.
    pub(super) fn settle(
        &self,
        arrival: &Arrival<'_>,
        enter: impl Fn(&[Attribute]) -> Result<ObjectHandle, Error>,
    ) -> anyhow::Result<Made> {
        let nothing = "nothing was changed on the token";
        self.refuse_namesakes(arrival.label, arrival.id).context(nothing)?;
        self.refuse_twins(arrival).context(nothing)?;
        let trial = enter_as(arrival, Stay::Session, &enter);
        let trial = trial.context("the token takes no private key in this way").context(nothing)?;
        let fit = key::fit(&self.session, trial.private, arrival.public_key, arrival.accept);
        fit.context("as this token holds it, the key is none that its section takes; nothing was changed on the token")?;
        self.prove(trial.private, arrival).context(nothing)?;
        let dialect = self.public_dialect(arrival).context(nothing)?;
        let made = enter_as(arrival, Stay::Token, &enter).context(nothing)?;
        let there = || {
            let (label, id) = (arrival.label, hex(arrival.id));
            format!(
                "the private key is on the token (label {label:?}, id {id}) and stays there, but is not fit for service"
            )
        };
        create(&self.session, &public_template(arrival, Stay::Token, &dialect))
            .map_err(call)
            .with_context(there)?;
        Ok(made)
    }

    /// A second object of the same key would be a second life of it, which nobody sees end.
    fn refuse_twins(&self, arrival: &Arrival<'_>) -> anyhow::Result<()> {
        let fingerprint = arrival.public_key.fingerprint();
        let twins = self.keys_of(&fingerprint)?;
        let named: Vec<_> = twins.iter().map(|twin| format!("label {:?}", twin.facts.label)).collect();
        ensure!(named.is_empty(), "the token holds the key {fingerprint} already: {}", named.join(", "));
        Ok(())
    }

    /// Has the private key, while it lasts as long as the session, sign what nobody knew before: it is the one of this public half.
    fn prove(&self, private: ObjectHandle, arrival: &Arrival<'_>) -> anyhow::Result<()> {
        let mut message = PROOF.to_vec();
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random)?;
        message.extend(random);
        let (public_key, scheme) = (arrival.public_key.clone(), arrival.scheme);
        let verifier = Verifier::new(scheme, &public_key)?;
        let key =
            FoundKey { private, public_key, scheme, always_authenticate: false, dialect: Dialect::default() };
        let signed = mechanism::sign(&self.session, &key, &Input::of(scheme, &message));
        let signed = signed.map_err(|trouble| match trouble {
            Trouble::Call(error) => call(error),
            _ => anyhow::anyhow!("the token wants its PIN for each signature of this key"),
        })?;
        let proof = verifier.verify(&message, &signed);
        proof.context("the token holds another key than the one with this public half, or signs wrongly")
    }

    /// How to tell this token the public half, so that it tells the same again.
    fn public_dialect(&self, arrival: &Arrival<'_>) -> anyhow::Result<Vec<Attribute>> {
        let mut refused = None;
        for dialect in public_dialects(arrival.public_key) {
            match create(&self.session, &public_template(arrival, Stay::Session, &dialect)) {
                Ok(handle) => {
                    let told = key::read_public_key(&Object { session: &self.session, handle });
                    if told.is_ok_and(|told| told.as_ref() == Some(arrival.public_key)) {
                        return Ok(dialect);
                    }
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused
            .map_or_else(|| anyhow::anyhow!("the token tells another public key than it was told"), call))
    }
}

/// Enters it as an object that stays so long.
fn enter_as(
    arrival: &Arrival<'_>,
    stay: Stay,
    enter: impl Fn(&[Attribute]) -> Result<ObjectHandle, Error>,
) -> anyhow::Result<Made> {
    let mut refused = None;
    for optional in optional(arrival.leaving) {
        let mut template = restricted(stay.label(arrival), &stay.id(arrival));
        template.extend([
            Attribute::Token(stay == Stay::Token),
            Attribute::Extractable(arrival.leaving == Leaving::Wrapped),
        ]);
        template.extend(optional);
        match enter(&template) {
            Ok(private) => return Ok(Made { private, template: Template(template) }),
            Err(error) if concerns_template(&error) => refused = Some(error),
            Err(error) => return Err(call(error)),
        }
    }
    Err(refused.map_or_else(|| anyhow::anyhow!("no way to say what the key is to be"), call))
}

/// Has the token hold an object whose value it is shown.
///
/// # Errors
/// If the token refuses.
pub(super) fn create(session: &Session, template: &[Attribute]) -> Result<ObjectHandle, Error> {
    #[expect(clippy::disallowed_methods, reason = "an operator brings a key, or its public half")]
    session.create_object(template)
}

fn public_template(arrival: &Arrival<'_>, stay: Stay, dialect: &[Attribute]) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Token(stay == Stay::Token),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Label(stay.label(arrival).as_bytes().to_vec()),
        Attribute::Id(stay.id(arrival)),
    ];
    template.extend_from_slice(dialect);
    template
}

/// How a public key may be said; modules disagree about Ed25519 (R24).
pub(super) fn public_dialects(public_key: &PublicKey) -> Vec<Vec<Attribute>> {
    let point = |kind, params: &[u8], point: Vec<u8>| {
        vec![Attribute::KeyType(kind), Attribute::EcParams(params.to_vec()), Attribute::EcPoint(point)]
    };
    match public_key {
        PublicKey::Ecdsa(ec) => vec![point(KeyType::EC, curve_oid(ec.curve()), octets(ec.as_bytes()))],
        PublicKey::Ed25519(key) => {
            [(OID_ED25519, octets(key)), (NAME_ED25519, octets(key)), (OID_ED25519, key.to_vec())]
                .map(|(params, bytes)| point(KeyType::EC_EDWARDS, params, bytes))
                .into()
        }
        PublicKey::Rsa(rsa) => vec![vec![
            Attribute::KeyType(KeyType::RSA),
            Attribute::Modulus(rsa.modulus().to_vec()),
            Attribute::PublicExponent(rsa.exponent().to_vec()),
        ]],
        PublicKey::MlDsa(key) => vec![vec![
            Attribute::KeyType(KeyType::ML_DSA),
            Attribute::ParameterSet(pkcs11_name(key.parameters()).into()),
            Attribute::Value(key.as_bytes().to_vec()),
        ]],
    }
}

/// `CKA_EC_PARAMS` of a NIST curve.
pub(super) fn curve_oid(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => OID_P256,
        Curve::P384 => OID_P384,
        Curve::P521 => OID_P521,
    }
}

/// DER of an OCTET STRING as long as a point may be.
fn octets(bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    let head: &[u8] = if len < 0x80 { &[0x04, len] } else { &[0x04, 0x81, len] };
    [head, bytes].concat()
}

/// Has the token wrap one key in another.
///
/// # Errors
/// If the token refuses.
pub(super) fn wrap(
    session: &Session,
    mechanism: &Mechanism<'_>,
    wrapping: ObjectHandle,
    key: ObjectHandle,
) -> Result<Vec<u8>, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an operator has named the key that may open it, and the ledger has it"
    )]
    session.wrap_key(mechanism, wrapping, key)
}

/// Has the token hold what is wrapped in a key of its own.
///
/// # Errors
/// If the token refuses.
pub(super) fn unwrap(
    session: &Session,
    mechanism: &Mechanism<'_>,
    unwrapping: ObjectHandle,
    wrapped: &[u8],
    template: &[Attribute],
) -> Result<ObjectHandle, Error> {
    #[expect(clippy::disallowed_methods, reason = "an operator brings a key that was wrapped for this token")]
    session.unwrap_key(mechanism, unwrapping, wrapped, template)
}

#[cfg(test)]
mod tests {
    use countersign_tbs::{Tbs, TbsKind};

    use super::PROOF;

    #[test]
    fn what_a_key_proves_itself_by_is_nothing_else() {
        let message = [PROOF, &[0x30; 32]].concat();
        for kind in TbsKind::ALL {
            assert!(Tbs::parse(kind, &message).is_err(), "{kind:?}");
        }
        assert!(PROOF.contains(&b' '), "no checkpoint begins with a space in its first line");
    }
}
