//! Generates a CA key on a token: sensitive, not extractable, for signing only.
//!
//! In: a label, an id and a kind. Out: the key as the token tells it when asked again; or one for measurements, which no token
//! keeps. Never beside a key of the same
//! label or id, and never destroys anything, also not a key that turns out unfit (R44, R45).

use countersign_tbs::key::{Curve, ParameterSet};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectHandle};
use cryptoki::types::Ulong;

use super::attribute::{NAME_ED25519, OID_ED25519, OID_P256, OID_P384, OID_P521, pkcs11_name};
use super::carry::Leaving;
use super::key;
use super::operator::{Console, call};
use crate::key::Scheme;

/// RSA's public exponent, F4.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// What kind of key to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyKind {
    /// On a NIST curve.
    Ec(Curve),
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of this many bits.
    Rsa(u16),
    /// ML-DSA of this parameter set.
    MlDsa(ParameterSet),
}

/// A key that was made, and what of it the token was asked for.
pub(crate) struct Made {
    pub(crate) private: ObjectHandle,
    pub(crate) template: Template,
}

/// What a private key is to be.
pub(crate) struct Template(pub(super) Vec<Attribute>);

impl Template {
    /// What every CA key should be that never leaves its token.
    pub(crate) fn of_service() -> Self {
        let mut template = restricted("", &[]);
        template.extend([Attribute::Extractable(false), Attribute::Modifiable(false)]);
        Self(template)
    }

    /// Whether a key that leaves its token wrapped can do so in keys alone that the security officer trusts.
    pub(crate) fn wants_trusted(&self) -> bool {
        self.0.contains(&Attribute::WrapWithTrusted(true))
    }
}

impl KeyKind {
    /// The kind of key that signs by `scheme`; `rsa_bits` counts for RSA only.
    #[must_use]
    pub(crate) fn for_scheme(scheme: Scheme, rsa_bits: u16) -> Self {
        match scheme {
            Scheme::EcdsaP256Sha256 => Self::Ec(Curve::P256),
            Scheme::EcdsaP384Sha384 => Self::Ec(Curve::P384),
            Scheme::EcdsaP521Sha512 => Self::Ec(Curve::P521),
            Scheme::Ed25519 => Self::Ed25519,
            Scheme::RsaPkcs1Sha256
            | Scheme::RsaPkcs1Sha384
            | Scheme::RsaPkcs1Sha512
            | Scheme::RsaPssSha256
            | Scheme::RsaPssSha384
            | Scheme::RsaPssSha512 => Self::Rsa(rsa_bits),
            Scheme::MlDsa44 => Self::MlDsa(ParameterSet::MlDsa44),
            Scheme::MlDsa65 => Self::MlDsa(ParameterSet::MlDsa65),
            Scheme::MlDsa87 => Self::MlDsa(ParameterSet::MlDsa87),
        }
    }

    fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ec(_) => Mechanism::EccKeyPairGen,
            Self::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
            Self::Rsa(_) => Mechanism::RsaPkcsKeyPairGen,
            Self::MlDsa(_) => Mechanism::MlDsaKeyPairGen,
        }
    }

    /// What makes such a key.
    pub(super) fn mechanism_type(self) -> MechanismType {
        self.mechanism().mechanism_type()
    }

    pub(super) fn key_type(self) -> KeyType {
        match self {
            Self::Ec(_) => KeyType::EC,
            Self::Ed25519 => KeyType::EC_EDWARDS,
            Self::Rsa(_) => KeyType::RSA,
            Self::MlDsa(_) => KeyType::ML_DSA,
        }
    }

    /// How to say it to the token; modules disagree about Ed25519 (R24).
    fn dialects(self) -> Vec<Vec<Attribute>> {
        let params = |params: &[u8]| vec![Attribute::EcParams(params.to_vec())];
        match self {
            Self::Ec(Curve::P256) => vec![params(OID_P256)],
            Self::Ec(Curve::P384) => vec![params(OID_P384)],
            Self::Ec(Curve::P521) => vec![params(OID_P521)],
            Self::Ed25519 => vec![params(OID_ED25519), params(NAME_ED25519)],
            Self::Rsa(bits) => vec![vec![
                Attribute::ModulusBits(Ulong::new(bits.into())),
                Attribute::PublicExponent(EXPONENT.to_vec()),
            ]],
            Self::MlDsa(parameters) => vec![vec![Attribute::ParameterSet(pkcs11_name(parameters).into())]],
        }
    }
}

impl Console {
    /// Makes a key pair.
    ///
    /// # Errors
    /// If a private key has this label or id already, or the token refuses.
    pub(crate) fn generate(
        &self,
        label: &str,
        id: &[u8],
        kind: KeyKind,
        leaving: Leaving,
    ) -> anyhow::Result<Made> {
        self.refuse_namesakes(label, id)?;
        self.generate_pair(label, id, kind, leaving)
    }

    /// # Errors
    /// If a private key has this label or id already.
    pub(super) fn refuse_namesakes(&self, label: &str, id: &[u8]) -> anyhow::Result<()> {
        let same = |label, id| key::private_keys(&self.session, label, id).map_err(call);
        if !same(Some(label), None)?.is_empty() {
            anyhow::bail!(
                "a private key with label {label:?} exists already; `countersign key list` shows it"
            );
        }
        if !same(None, Some(id))?.is_empty() {
            anyhow::bail!("a private key with id {} exists already; choose another `id`", key::hex(id));
        }
        Ok(())
    }

    /// Makes a key pair, whatever else is on the token.
    ///
    /// # Errors
    /// If the token refuses.
    pub(super) fn generate_pair(
        &self,
        label: &str,
        id: &[u8],
        kind: KeyKind,
        leaving: Leaving,
    ) -> anyhow::Result<Made> {
        let mut refused = None;
        for (dialect, optional) in kind
            .dialects()
            .iter()
            .flat_map(|dialect| optional(leaving).into_iter().map(move |optional| (dialect, optional)))
        {
            let public = public_template(label, id, kind, dialect, &optional);
            let template = private_template(label, id, kind, leaving, &optional);
            match self.session.generate_key_pair(&kind.mechanism(), &public, &template) {
                Ok((_, private)) => return Ok(Made { private, template: Template(template) }),
                Err(error) if concerns_template(&error) => refused = Some(error),
                Err(error) => return Err(call(error)),
            }
        }
        Err(refused.map_or_else(|| anyhow::anyhow!("no way to say {kind:?} to a token"), call))
    }
}

fn public_template(
    label: &str,
    id: &[u8],
    kind: KeyKind,
    dialect: &[Attribute],
    optional: &[Attribute],
) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::KeyType(kind.key_type()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ];
    template.extend_from_slice(dialect);
    template
        .extend(optional.iter().filter(|attribute| matches!(attribute, Attribute::Modifiable(_))).cloned());
    template
}

/// What is asked for if the token lets that be asked for; all of it first. Some do not let the application say that nobody may change
/// the key (krill#1018), some have no keys that are trusted to wrap others.
pub(super) fn optional(leaving: Leaving) -> Vec<Vec<Attribute>> {
    let (fixed, trusted) = (Attribute::Modifiable(false), Attribute::WrapWithTrusted(true));
    match leaving {
        Leaving::Never => vec![vec![fixed], Vec::new()],
        Leaving::Wrapped => {
            vec![vec![fixed.clone(), trusted.clone()], vec![trusted], vec![fixed], Vec::new()]
        }
    }
}

fn private_template(
    label: &str,
    id: &[u8],
    kind: KeyKind,
    leaving: Leaving,
    optional: &[Attribute],
) -> Vec<Attribute> {
    let mut template = restricted(label, id);
    template.extend([
        Attribute::Token(true),
        Attribute::Extractable(leaving == Leaving::Wrapped),
        Attribute::KeyType(kind.key_type()),
    ]);
    template.extend_from_slice(optional);
    template
}

/// What every private key is made as, wherever it comes from: hidden, and for signing only.
pub(super) fn restricted(label: &str, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ]
}

/// Whether the token refused what was said, and not what was meant: nothing was made (PKCS#11 v2.40 base §4.1.1).
pub(super) fn concerns_template(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::AttributeReadOnly
                | RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::TemplateInconsistent
                | RvError::DomainParamsInvalid
                | RvError::CurveNotSupported,
            _
        )
    )
}
