//! Keys that go from one token to another, wrapped: in an AES key that is used once, and that in an RSA key whose private half the
//! destination keeps. For an operator; no part of the service.
//!
//! In: a key of this token, or one that was wrapped for it. Out: ciphertext, or the key on the token. Promised: no key is ever in clear
//! outside of a token; AES keys last as long as the session. Not done here: `CKM_AES_KEY_WRAP_KWP` and `CKM_RSA_AES_KEY_WRAP`,
//! for which `cryptoki` has no names.

use anyhow::{Context, bail, ensure};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::types::Ulong;

use super::attribute::Object;
use super::carry::{self, Arrival, public_dialects};
use super::classify;
use super::generate::{KeyKind, Made};
use super::key::{self, FoundKey};
use super::operator::{Console, call};
use super::trusted::{Trusted, Uses, aes_key};
use crate::key::PublicKey;
use crate::token::transport::{KeyWrap, Oaep, WrappedKey, WrappingKey};

/// The modulus of a wrapping key in bits: as strong as P-256, and quickly made.
const WRAPPING_BITS: u64 = 3072;
/// That of one which is there to see what the token can.
const TRIAL_BITS: u64 = 2048;
const NONCE: usize = 12;

/// What a token can unwrap, seen to work.
pub(crate) struct Unwraps {
    pub(crate) oaep: Vec<Oaep>,
    pub(crate) key_wrap: Vec<KeyWrap>,
}

/// A key that is about to be wrapped: all is ready but that.
pub(crate) struct Parcel<'a> {
    console: &'a Console,
    private: ObjectHandle,
    aes_key: ObjectHandle,
    key_wrap: Vec<KeyWrap>,
    oaep: Oaep,
    wrapped_aes_key: Vec<u8>,
}

/// What came of it.
pub(crate) struct Sealed {
    pub(crate) oaep: Oaep,
    pub(crate) key_wrap: KeyWrap,
    pub(crate) nonce: Vec<u8>,
    pub(crate) wrapped_aes_key: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl Oaep {
    /// The best first.
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    fn mechanism(self) -> Mechanism<'static> {
        let (hash, mask) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
            Self::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        };
        Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()))
    }
}

impl KeyWrap {
    /// The best first: those with padding take every key, and GCM is least often meant for keys.
    const ALL: [Self; 3] = [Self::Padded, Self::Blocks, Self::Gcm];

    fn mechanism_type(self) -> MechanismType {
        match self {
            Self::Padded => MechanismType::AES_KEY_WRAP_PAD,
            Self::Blocks => MechanismType::AES_KEY_WRAP,
            Self::Gcm => MechanismType::AES_GCM,
        }
    }

    fn nonce(self) -> anyhow::Result<Vec<u8>> {
        let mut nonce = vec![0; if self == Self::Gcm { NONCE } else { 0 }];
        aws_lc_rs::rand::fill(&mut nonce)?;
        Ok(nonce)
    }

    fn mechanism(self, nonce: &mut [u8]) -> Result<Mechanism<'_>, Error> {
        Ok(match self {
            Self::Padded => Mechanism::AesKeyWrapPad,
            Self::Blocks => Mechanism::AesKeyWrap,
            Self::Gcm => Mechanism::AesGcm(GcmParams::new(nonce, &[], Ulong::new(128))?),
        })
    }
}

impl Console {
    /// What the token can unwrap, tried with keys that last as long as the session.
    ///
    /// # Errors
    /// What it lacks.
    pub(crate) fn unwraps(&self) -> anyhow::Result<Unwraps> {
        self.want(&[
            MechanismType::RSA_PKCS_KEY_PAIR_GEN,
            MechanismType::RSA_PKCS_OAEP,
            MechanismType::AES_KEY_GEN,
        ])?;
        let listed = self.key_wraps();
        ensure!(!listed.is_empty(), "{}", lacks(&KeyWrap::ALL.map(KeyWrap::mechanism_type)));
        let (public, private) = self.rsa_pair(&trial(), TRIAL_BITS).map_err(call)?;
        let (outer, inner) = (
            aes_key(&self.session, Uses::Both).map_err(call)?,
            aes_key(&self.session, Uses::Both).map_err(call)?,
        );
        let oaep = Oaep::ALL.into_iter().filter(|oaep| {
            let there = || carry::wrap(&self.session, &oaep.mechanism(), public, inner);
            there().and_then(|wrapped| self.unwrap_aes_key(*oaep, private, &wrapped)).is_ok()
        });
        let oaep: Vec<_> = oaep.collect();
        ensure!(
            !oaep.is_empty(),
            "the token has {}, and unwraps no AES key with it",
            MechanismType::RSA_PKCS_OAEP
        );
        let key_wrap = listed.into_iter().filter(|wrap| {
            let there = || {
                let mut nonce = wrap.nonce().map_err(|_| Error::InvalidValue)?;
                let wrapped = carry::wrap(&self.session, &wrap.mechanism(&mut nonce)?, outer, inner)?;
                carry::unwrap(
                    &self.session,
                    &wrap.mechanism(&mut nonce)?,
                    outer,
                    &wrapped,
                    &secret_template(),
                )
            };
            there().is_ok()
        });
        let key_wrap: Vec<_> = key_wrap.collect();
        ensure!(!key_wrap.is_empty(), "{}", lacks(&KeyWrap::ALL.map(KeyWrap::mechanism_type)));
        Ok(Unwraps { oaep, key_wrap })
    }

    /// Makes an RSA key that unwraps, and does nothing else; its public half.
    ///
    /// # Errors
    /// If the token refuses, or made another key than it was told.
    pub(crate) fn make_wrapping_key(&self, label: &str, id: &[u8]) -> anyhow::Result<PublicKey> {
        self.refuse_namesakes(label, id)?;
        let named =
            [Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec()), Attribute::Token(true)];
        let (_, private) = self.rsa_pair(&named, WRAPPING_BITS).map_err(call)?;
        let object = Object { session: &self.session, handle: private };
        for (name, kind, wanted) in [
            ("CKA_UNWRAP", AttributeType::Unwrap, true),
            ("CKA_SENSITIVE", AttributeType::Sensitive, true),
            ("CKA_EXTRACTABLE", AttributeType::Extractable, false),
            ("CKA_SIGN", AttributeType::Sign, false),
            ("CKA_DECRYPT", AttributeType::Decrypt, false),
        ] {
            let found = object.flag(kind).map_err(call)?;
            ensure!(
                found == Some(wanted),
                "the token made a wrapping key ({label:?}) whose {name} is not {wanted}; delete it"
            );
        }
        Ok(key::public_key(&self.session, private)?)
    }

    /// Makes everything ready to wrap a key of this token, in an AES key of the session or in `trusted`.
    ///
    /// # Errors
    /// That the key cannot leave, or what the two tokens do not have in common; nothing was wrapped but an AES key.
    pub(crate) fn parcel(
        &self,
        found: &FoundKey,
        to: &WrappingKey,
        trusted: Option<Trusted>,
    ) -> anyhow::Result<Parcel<'_>> {
        let object = Object { session: &self.session, handle: found.private };
        if object.flag(AttributeType::Extractable).map_err(call)? != Some(true) {
            bail!(
                "the key cannot leave its token, and that cannot be changed (CKA_EXTRACTABLE is not true): there is no backup of \
                 it; make a new key for backup, and change over to that"
            );
        }
        if trusted.is_none() && object.flag(AttributeType::WrapWithTrusted).map_err(call)? == Some(true) {
            bail!(
                "the key leaves its token only in a key that the token's security officer trusts (CKA_WRAP_WITH_TRUSTED): give \
                 --so-pin-file with the SO PIN"
            );
        }
        self.want(&[MechanismType::RSA_PKCS_OAEP, MechanismType::AES_KEY_GEN])?;
        let mine = self.key_wraps();
        let key_wrap: Vec<_> = to.key_wrap.iter().copied().filter(|wrap| mine.contains(wrap)).collect();
        if key_wrap.is_empty() {
            let theirs: Vec<_> = to.key_wrap.iter().map(|wrap| wrap.mechanism_type()).collect();
            bail!("the destination unwraps by these, and {}", lacks(&theirs));
        }
        let recipient = to.public_key().context("the wrapping key is no RSA key")?;
        let public = self.recipient(&recipient)?;
        let aes_key = match trusted {
            Some(trusted) => trusted.0,
            None => aes_key(&self.session, Uses::Wraps).map_err(call)?,
        };
        let mut refused = None;
        for oaep in to.oaep.iter().copied() {
            match carry::wrap(&self.session, &oaep.mechanism(), public, aes_key) {
                Ok(wrapped_aes_key) => {
                    let private = found.private;
                    return Ok(Parcel { console: self, private, aes_key, key_wrap, oaep, wrapped_aes_key });
                }
                Err(error) => refused = Some(error),
            }
        }
        let refused = refused.map_or_else(|| anyhow::anyhow!("the destination names no hash"), call);
        Err(refused
            .context("no hash that the destination unwraps RSA-OAEP with is one that this token wraps with"))
    }

    /// Puts a key on this token that was wrapped for it.
    ///
    /// # Errors
    /// What is wrong, and whether the key is on the token now.
    pub(crate) fn unwrap(&self, arrival: &Arrival<'_>, from: &WrappedKey) -> anyhow::Result<Made> {
        let (recipient, mut found) = (&from.recipient, self.keys_of(&from.recipient)?);
        let (Some(wrapping), true) = (found.pop(), found.is_empty()) else {
            bail!(
                "the key was wrapped for {recipient}, and this token holds no such key, or several: it is for another token"
            );
        };
        let aes_key =
            self.unwrap_aes_key(from.oaep, wrapping.handle(), &from.wrapped_aes_key).map_err(opened)?;
        let (class, kind) =
            (Attribute::Class(ObjectClass::PRIVATE_KEY), KeyKind::for_scheme(arrival.scheme, 0));
        self.settle(arrival, |wanted| {
            let template = [&[class.clone(), Attribute::KeyType(kind.key_type())], wanted].concat();
            let mut nonce = from.nonce.clone();
            carry::unwrap(
                &self.session,
                &from.key_wrap.mechanism(&mut nonce)?,
                aes_key,
                &from.ciphertext,
                &template,
            )
        })
    }

    fn unwrap_aes_key(
        &self,
        oaep: Oaep,
        private: ObjectHandle,
        wrapped: &[u8],
    ) -> Result<ObjectHandle, Error> {
        carry::unwrap(&self.session, &oaep.mechanism(), private, wrapped, &secret_template())
    }

    /// Those of [`KeyWrap`] whose mechanism the token lists.
    fn key_wraps(&self) -> Vec<KeyWrap> {
        KeyWrap::ALL.into_iter().filter(|wrap| self.has(wrap.mechanism_type())).collect()
    }

    fn want(&self, wanted: &[MechanismType]) -> anyhow::Result<()> {
        let missing: Vec<_> = wanted.iter().copied().filter(|mechanism| !self.has(*mechanism)).collect();
        if missing.is_empty() { Ok(()) } else { bail!(lacks(&missing)) }
    }

    /// The public half of the destination's key, for as long as the session.
    fn recipient(&self, recipient: &PublicKey) -> anyhow::Result<ObjectHandle> {
        let mut template = vec![
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::Token(false),
            Attribute::Private(false),
            Attribute::Wrap(true),
        ];
        template.extend(public_dialects(recipient).into_iter().flatten());
        carry::create(&self.session, &template).map_err(call)
    }

    fn rsa_pair(&self, named: &[Attribute], bits: u64) -> Result<(ObjectHandle, ObjectHandle), Error> {
        let public = [
            Attribute::Private(false),
            Attribute::Wrap(true),
            Attribute::Encrypt(false),
            Attribute::Verify(false),
            Attribute::ModulusBits(Ulong::new(bits)),
            Attribute::PublicExponent(vec![1, 0, 1]),
        ];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Unwrap(true),
            Attribute::Sign(false),
            Attribute::Decrypt(false),
        ];
        let (public, private) = ([named, &public].concat(), [named, &private].concat());
        self.session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)
    }
}

impl Parcel<'_> {
    /// Has the token wrap the key.
    ///
    /// # Errors
    /// If it does not, in any way that the destination could unwrap.
    pub(crate) fn wrap(self) -> anyhow::Result<Sealed> {
        let mut refused = Vec::new();
        for key_wrap in self.key_wrap {
            let mut nonce = key_wrap.nonce()?;
            let mechanism = key_wrap.mechanism(&mut nonce).map_err(call)?;
            match carry::wrap(&self.console.session, &mechanism, self.aes_key, self.private) {
                Ok(ciphertext) => {
                    let (oaep, wrapped_aes_key) = (self.oaep, self.wrapped_aes_key);
                    return Ok(Sealed { oaep, key_wrap, nonce, wrapped_aes_key, ciphertext });
                }
                Err(error) => {
                    refused.push(format!("{}: {}", key_wrap.mechanism_type(), classify::code(&error)));
                }
            }
        }
        bail!(
            "C_WrapKey failed in every way that the destination can undo ({}): this token gives no such key away, or not to that one; \
             docs/backup.md says what was seen to go",
            refused.join(", ")
        )
    }
}

fn trial() -> [Attribute; 2] {
    [Attribute::Label(b"countersign trial, temporary".to_vec()), Attribute::Token(false)]
}

/// An AES key that is unwrapped, to unwrap with.
fn secret_template() -> [Attribute; 7] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Unwrap(true),
    ]
}

fn lacks(missing: &[MechanismType]) -> String {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    format!(
        "the token has no {}: keys cannot be moved by it in this way; whether its vendor has another (cloning, a backup device, \
         tpm2_ptool) is in docs/backup.md",
        names.join(", ")
    )
}

/// An unwrapping that failed.
fn opened(error: Error) -> anyhow::Error {
    let wrapped = matches!(
        error,
        Error::Pkcs11(
            RvError::WrappedKeyInvalid
                | RvError::WrappedKeyLenRange
                | RvError::EncryptedDataInvalid
                | RvError::GeneralError,
            _
        )
    );
    let error = call(error);
    if wrapped {
        error.context("what was wrapped cannot be opened: the file is damaged, or was put together from two")
    } else {
        error
    }
}
