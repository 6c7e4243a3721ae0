//! Properties of the SSH part over generated input: what builds parses, what parses re-encodes, and nothing panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

#[path = "rebuild/rebuild.rs"]
mod rebuild;

use std::collections::{BTreeMap, BTreeSet};

use countersign_tbs::key::{Curve, EcPoint, PublicKey, RsaPublicKey};
use countersign_tbs::signature::{Scheme, from_ssh_signature_blob, ssh_signature_blob};
use countersign_tbs::ssh::{
    Certificate, CertificateBuilder, CertificateTbs, CertificateType, Options, SubjectKey,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::Index;
use rebuild::rebuild;

/// What a builder is told.
#[derive(Clone, Debug)]
struct Wish {
    certificate_type: CertificateType,
    subject_key: SubjectKey,
    ca_key: PublicKey,
    serial: u64,
    key_id: String,
    principals: BTreeSet<String>,
    valid_after: u64,
    valid_before: u64,
    critical: BTreeMap<String, Option<String>>,
    extensions: BTreeMap<String, Option<String>>,
}

impl Wish {
    fn build(&self) -> CertificateTbs {
        let mut builder =
            CertificateBuilder::new(self.certificate_type, self.subject_key.clone(), self.ca_key.clone())
                .serial(self.serial)
                .key_id(&self.key_id)
                .valid_after(self.valid_after)
                .valid_before(self.valid_before);
        for principal in &self.principals {
            builder = builder.principal(principal);
        }
        // Backwards, so that the builder has something to sort.
        for (name, value) in self.critical.iter().rev() {
            builder = builder.critical_option(name, value.as_deref());
        }
        for (name, value) in self.extensions.iter().rev() {
            builder = builder.extension(name, value.as_deref());
        }
        builder.build().unwrap()
    }
}

fn ec_point(curve: Curve) -> impl Strategy<Value = EcPoint> {
    vec(any::<u8>(), 2 * curve.field_len())
        .prop_map(move |xy| EcPoint::new(curve, [vec![4], xy].concat()).unwrap())
}

fn rsa_key() -> impl Strategy<Value = RsaPublicKey> {
    let odd_and_long = |mut bytes: Vec<u8>| {
        bytes[0] |= 1;
        *bytes.last_mut().unwrap() |= 3;
        bytes
    };
    (vec(any::<u8>(), 129..300).prop_map(odd_and_long), vec(any::<u8>(), 1..9).prop_map(odd_and_long))
        .prop_map(|(modulus, exponent)| RsaPublicKey::new(modulus, exponent).unwrap())
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(PublicKey::Ed25519),
        ec_point(Curve::P256).prop_map(PublicKey::Ecdsa),
        ec_point(Curve::P384).prop_map(PublicKey::Ecdsa),
        ec_point(Curve::P521).prop_map(PublicKey::Ecdsa),
        rsa_key().prop_map(PublicKey::Rsa),
    ]
}

fn subject_key() -> impl Strategy<Value = SubjectKey> {
    let application = || "ssh:[a-z.é]{0,20}";
    prop_oneof![
        5 => public_key().prop_map(SubjectKey::Plain),
        1 => (any::<[u8; 32]>(), application())
            .prop_map(|(key, application)| SubjectKey::SkEd25519 { key, application }),
        1 => (ec_point(Curve::P256), application())
            .prop_map(|(point, application)| SubjectKey::SkEcdsaP256 { point, application }),
    ]
}

fn options(
    flags: &'static str,
    with_value: &'static str,
) -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
    let custom = btree_map("[!-~]{1,20}@example\\.com", of("\\PC{0,30}"), 0..5);
    (custom, of(flags), of((with_value, "\\PC{1,30}"))).prop_map(|(mut options, flag, with_value)| {
        options.extend(flag.map(|name| (name, None)));
        options.extend(with_value.map(|(name, value)| (name, Some(value))));
        options
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    let certificate_type = prop_oneof![Just(CertificateType::User), Just(CertificateType::Host)];
    let validity = (any::<u64>(), any::<u64>()).prop_filter("not empty", |(one, other)| one != other);
    (
        (certificate_type, subject_key(), public_key(), any::<u64>(), "[ -~äöü€漢字]{0,40}"),
        (btree_set("\\PC{1,20}", 1..6), validity),
        options("verify-required", "force-command|source-address"),
        options("permit-pty|permit-X11-forwarding|no-touch-required", r"login@example\.org"),
    )
        .prop_map(|(keys, names, critical, extensions)| {
            let (certificate_type, subject_key, ca_key, serial, key_id) = keys;
            let (principals, (one, other)) = names;
            let (valid_after, valid_before) = (one.min(other), one.max(other));
            Wish {
                certificate_type,
                subject_key,
                ca_key,
                serial,
                key_id,
                principals,
                valid_after,
                valid_before,
                critical,
                extensions,
            }
        })
}

fn owned(options: &Options) -> BTreeMap<String, Option<String>> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    options.iter().map(|(name, value)| (name.to_owned(), value.map(text))).collect()
}

/// One thing that goes wrong on the way.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    FlipBit(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::FlipBit(at, bit)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match damage {
        Damage::Replace(at, byte) => bytes[at.index(len)] = *byte,
        Damage::FlipBit(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Damage::Insert(at, byte) => bytes.insert(at.index(len), *byte),
        Damage::Remove(at) => drop(bytes.drain(at.index(len)..=at.index(len))),
        Damage::Truncate(at) => bytes.truncate(at.index(len)),
    }
}

proptest! {
    #[test]
    fn says_what_the_builder_was_told(wish in wish()) {
        let built = wish.build();
        let tbs = CertificateTbs::parse(built.as_bytes()).unwrap();
        prop_assert_eq!(&tbs, &built);
        prop_assert_eq!(tbs.certificate_type(), wish.certificate_type);
        prop_assert_eq!(tbs.subject_key(), &wish.subject_key);
        prop_assert_eq!(tbs.ca_key(), &wish.ca_key);
        prop_assert_eq!(tbs.serial(), wish.serial);
        prop_assert_eq!(tbs.key_id(), &wish.key_id);
        prop_assert!(tbs.principals().iter().eq(&wish.principals));
        prop_assert_eq!((tbs.valid_after(), tbs.valid_before()), (wish.valid_after, wish.valid_before));
        prop_assert_eq!(owned(tbs.critical_options()), wish.critical);
        prop_assert_eq!(owned(tbs.extensions()), wish.extensions);
        prop_assert_eq!(rebuild(&tbs), Some(tbs.as_bytes().to_vec()));
    }

    #[test]
    fn what_parses_after_damage_encodes_to_the_damaged_bytes(wish in wish(), damages in vec(damage(), 1..4)) {
        let mut bytes = wish.build().as_bytes().to_vec();
        for damage in &damages {
            apply(damage, &mut bytes);
        }
        if let Ok(tbs) = CertificateTbs::parse(&bytes) {
            prop_assert_eq!(tbs.as_bytes(), bytes.as_slice());
            if let Some(rebuilt) = rebuild(&tbs) {
                prop_assert_eq!(rebuilt, bytes);
            }
        }
    }

    #[test]
    fn finished_certificates_read_back(wish in wish(), raw in vec(1..=u8::MAX, 132)) {
        let tbs = wish.build();
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.fits(tbs.ca_key())).unwrap();
        let len = match scheme {
            Scheme::EcdsaP256Sha256 | Scheme::Ed25519 => 64,
            Scheme::EcdsaP384Sha384 => 96,
            _ => 132,
        };
        let bytes = tbs.certificate(scheme, &raw[..len]).unwrap();
        let certificate = Certificate::parse(&bytes).unwrap();
        prop_assert_eq!(certificate.tbs(), &tbs);
        prop_assert_eq!((certificate.scheme(), certificate.raw_signature()), (scheme, &raw[..len]));
    }

    #[test]
    fn keys_read_back(key in subject_key()) {
        prop_assert_eq!(SubjectKey::from_wire(&key.to_wire()), Ok(key.clone()));
        if let SubjectKey::Plain(plain) = &key {
            let line = plain.to_openssh_line("a comment").unwrap();
            prop_assert_eq!(SubjectKey::from_openssh_line(&line), Ok(key.clone()));
            prop_assert_eq!(PublicKey::from_ssh_wire(&plain.to_ssh_wire().unwrap()), Ok(plain.clone()));
            prop_assert_eq!(PublicKey::from_spki_der(&plain.to_spki_der()), Ok(plain.clone()));
        }
    }

    #[test]
    fn what_is_read_of_damaged_keys_encodes_to_the_damaged_bytes(key in public_key(), damage in damage()) {
        let (mut wire, mut spki) = (key.to_ssh_wire().unwrap(), key.to_spki_der());
        apply(&damage, &mut wire);
        apply(&damage, &mut spki);
        if let Ok(read) = SubjectKey::from_wire(&wire) {
            prop_assert_eq!(read.to_wire(), wire);
        }
        if let Ok(read) = PublicKey::from_spki_der(&spki) {
            prop_assert_eq!(read.to_spki_der(), spki);
        }
    }

    #[test]
    fn what_is_read_of_a_damaged_signature_encodes_to_the_damaged_bytes(raw in vec(any::<u8>(), 64), damage in damage()) {
        for scheme in [Scheme::EcdsaP256Sha256, Scheme::Ed25519] {
            let Ok(mut blob) = ssh_signature_blob(scheme, &raw) else { continue };
            apply(&damage, &mut blob);
            if let Ok((scheme, raw)) = from_ssh_signature_blob(&blob) {
                prop_assert_eq!(ssh_signature_blob(scheme, &raw), Ok(blob));
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..600), line in "\\PC{0,80}") {
        let _ = CertificateTbs::parse(&bytes);
        let _ = Certificate::parse(&bytes);
        let _ = SubjectKey::from_wire(&bytes);
        let _ = PublicKey::from_spki_der(&bytes);
        let _ = from_ssh_signature_blob(&bytes);
        let _ = SubjectKey::from_openssh_line(&line);
    }
}
