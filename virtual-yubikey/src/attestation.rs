//! The attestation key in slot F9, and the certificates that it gives keys which were made in the card.
//!
//! The extensions are Yubico's: 1.3.6.1.4.1.41482.3.3 firmware, .7 serial, .8 policies, .9 form factor. A virtual card's
//! root is a new one each: nothing that trusts Yubico's trusts it.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm, date_time_ymd,
};

use crate::key::{Algorithm, PrivateKey};
use crate::state::{Origin, PinPolicy, SlotKey, State, TouchPolicy};
use crate::tlv;

/// Where the attestation key lies, and the object with its certificate.
pub(crate) const SLOT: u8 = 0xF9;
pub(crate) const OBJECT: u32 = 0x5F_FF01;

/// "Yubico PIV Attestation" issues, whatever certificate a user may put in its place.
const ISSUER: &str = "Yubico PIV Attestation";
/// A keychain with USB-A.
pub(crate) const FORM_FACTOR: u8 = 0x01;

/// A new attestation key, its certificate as an object, and its issuer's certificate in PEM.
pub(crate) fn factory() -> Option<(SlotKey, Vec<u8>, String)> {
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
    let mut params = params("Virtual YubiKey Root CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).ok()?.pem();
    let issuer = Issuer::new(params, root_key);

    let key = PrivateKey::generate(Algorithm::P256)?;
    let mut params = self::params(ISSUER);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let certificate = params.signed_by(&Subject::of(&key)?, &issuer).ok()?;
    let object = [tlv::of(0x70, certificate.der()), tlv::of(0x71, &[0]), tlv::of(0xFE, &[])].concat();
    let (pin_policy, touch_policy) = (PinPolicy::Never, TouchPolicy::Never);
    Some((SlotKey { key, pin_policy, touch_policy, origin: Origin::Imported }, object, root))
}

/// The certificate that says that a slot's key was made in this card. None if it was not.
pub(crate) fn attest(state: &State, slot: u8) -> Option<Vec<u8>> {
    let attested = state.slots.get(&slot).filter(|key| key.origin == Origin::Generated)?;
    let pkcs8 = state.slots.get(&SLOT)?.key.to_pkcs8()?;
    let issuer_key = KeyPair::try_from(pkcs8.as_slice()).ok()?;
    let mut issuer_params = params(ISSUER);
    issuer_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let issuer = Issuer::new(issuer_params, issuer_key);
    let mut params = params(&format!("YubiKey PIV Attestation {slot:02x}"));
    let extension = |last: u64, content: Vec<u8>| {
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, last], content)
    };
    params.custom_extensions = vec![
        extension(3, state.firmware.bytes().to_vec()),
        extension(7, tlv::of(0x02, &integer(state.serial))),
        extension(8, vec![pin_byte(attested.pin_policy), touch_byte(attested.touch_policy)]),
        extension(9, vec![FORM_FACTOR]),
    ];
    Some(params.signed_by(&Subject::of(&attested.key)?, &issuer).ok()?.der().to_vec())
}

pub(crate) fn pin_byte(policy: PinPolicy) -> u8 {
    match policy {
        PinPolicy::Never => 1,
        PinPolicy::Once => 2,
        PinPolicy::Always => 3,
    }
}

pub(crate) fn touch_byte(policy: TouchPolicy) -> u8 {
    match policy {
        TouchPolicy::Never => 1,
        TouchPolicy::Always => 2,
        TouchPolicy::Cached => 3,
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2016, 3, 14);
    params.not_after = date_time_ymd(2052, 4, 17);
    params
}

/// The shortest positive INTEGER.
fn integer(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match significant.first() {
        Some(0..=0x7F) => significant,
        _ => [&[0], significant.as_slice()].concat(),
    }
}

/// A public key for rcgen.
struct Subject {
    bit_string: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl Subject {
    fn of(key: &PrivateKey) -> Option<Self> {
        let algorithm = match key.algorithm {
            Algorithm::P256 => &PKCS_ECDSA_P256_SHA256,
            Algorithm::P384 => &PKCS_ECDSA_P384_SHA384,
            Algorithm::Ed25519 => &PKCS_ED25519,
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => &PKCS_RSA_SHA256,
        };
        Some(Self { bit_string: key.public()?.bit_string(), algorithm })
    }
}

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.bit_string
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
