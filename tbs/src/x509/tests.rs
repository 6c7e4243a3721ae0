#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod extensions;

use super::*;
use crate::der::{StringKind, oids};
use crate::key::{Curve, EcPoint};

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

pub(crate) fn common_name(value: &str) -> Name {
    Name::new(vec![vec![Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, value).unwrap()]]).unwrap()
}

fn validity(not_before: u64, not_after: u64) -> Validity {
    let time = |secs| Time::from_unix_secs(secs).unwrap();
    Validity { not_before: time(not_before), not_after: time(not_after) }
}

fn public_key() -> PublicKey {
    let mut point = vec![7; 65];
    point[0] = 4;
    PublicKey::Ecdsa(EcPoint::new(Curve::P256, point).unwrap())
}

fn leaf() -> Fields {
    Fields {
        serial: SerialNumber::new(&[1, 2, 3]).unwrap(),
        algorithm: SignatureAlgorithm::EcdsaSha256,
        issuer: common_name("Test CA"),
        validity: validity(1_800_000_000, 1_800_086_400),
        subject: common_name("leaf"),
        public_key: public_key(),
        extensions: vec![
            Extension::critical(ExtensionValue::KeyUsage(KeyUsage::DIGITAL_SIGNATURE)),
            Extension::non_critical(ExtensionValue::SubjectAltName(vec![GeneralName::Dns(
                "leaf.example".into(),
            )])),
        ],
    }
}

fn rule(bytes: &[u8]) -> &'static str {
    match TbsCertificate::parse(bytes) {
        Ok(tbs) => panic!("parsed as {tbs:?}"),
        Err(error) => error.rule(),
    }
}

/// The rule that a leaf breaks after `change`.
fn broken(change: impl FnOnce(&mut Fields)) -> &'static str {
    let mut fields = leaf();
    change(&mut fields);
    rule(&fields.encode())
}

/// The rule that a leaf breaks with this extension after its own.
fn broken_by(extension: Extension) -> &'static str {
    broken(|fields| fields.extensions.push(extension))
}

/// An extension with any contents.
fn raw_extension(oid_contents: &[u8], critical: bool, write: impl FnOnce(&mut Writer)) -> Extension {
    let value = Writer::collect(write);
    Extension { critical, value: ExtensionValue::Unknown { oid: oid(oid_contents), value } }
}

/// The elements of a TBSCertificate, of which tests replace one.
struct Parts(Vec<Vec<u8>>);

const VERSION: usize = 0;
const SERIAL: usize = 1;
const ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const SPKI: usize = 6;
const EXTENSIONS: usize = 7;

impl Parts {
    fn of(fields: &Fields) -> Self {
        let der = fields.encode();
        let mut inner = Reader::new(&der).value(tag::SEQUENCE, "tbs").unwrap();
        let mut parts = Vec::new();
        while let Some(&tag) = inner.rest().first() {
            parts.push(inner.element(tag, "part").unwrap().rest().to_vec());
        }
        Self(parts)
    }

    fn replace(mut self, index: usize, write: impl FnOnce(&mut Writer)) -> Self {
        self.0[index] = Writer::collect(write);
        self
    }

    fn join(&self) -> Vec<u8> {
        Writer::collect(|w| w.sequence(|w| w.raw(&self.0.concat())))
    }
}

fn broken_part(index: usize, write: impl FnOnce(&mut Writer)) -> &'static str {
    rule(&Parts::of(&leaf()).replace(index, write).join())
}

#[test]
fn keeps_the_exact_bytes_and_says_what_they_say() {
    let fields = leaf();
    let bytes = fields.encode();
    let tbs = TbsCertificate::parse(&bytes).unwrap();
    assert_eq!(tbs.as_bytes(), bytes);
    assert_eq!(tbs.fields, fields);
    assert_eq!(tbs.subject().to_string(), "CN=leaf");
    assert_eq!(tbs.serial().to_string(), "010203");
    assert_eq!(tbs.validity().not_after.to_string(), "2027-01-16T08:00:00Z");
    assert_eq!(tbs.subject_alt_names(), [GeneralName::Dns("leaf.example".into())]);
    assert!(tbs.key_usage().unwrap().contains(KeyUsage::DIGITAL_SIGNATURE));
}

#[test]
fn refuses_truncation_and_trailing_bytes_everywhere() {
    let bytes = leaf().encode();
    for len in 0..bytes.len() {
        rule(&bytes[..len]);
    }
    assert_eq!(rule(&[&bytes[..], &[0]].concat()), "DER_TRAILING_BYTES");
    let mut parts = Parts::of(&leaf());
    parts.0.push(vec![5, 0]);
    assert_eq!(rule(&parts.join()), "DER_TRAILING_BYTES");
    let two_values = raw_extension(oids::BASIC_CONSTRAINTS, true, |w| w.raw(&[0x30, 0, 5, 0]));
    assert_eq!(broken_by(two_values), "DER_TRAILING_BYTES");
}

#[test]
fn refuses_a_tbs_above_64_kib() {
    let value = vec![0; TbsCertificate::MAX_LEN];
    let big = Extension::non_critical(ExtensionValue::Unknown { oid: oid(&[0x2a, 3]), value });
    assert_eq!(broken_by(big), "TBS_TOO_LONG");
}

#[test]
fn refuses_versions_other_than_3() {
    let version =
        |number| broken_part(VERSION, |w| w.nested(tag::constructed(0), |w| w.small(tag::INTEGER, number)));
    assert_eq!(version(0), "VERSION");
    assert_eq!(version(1), "VERSION");
    assert_eq!(version(3), "VERSION");
    assert_eq!(broken_part(VERSION, |_| {}), "VERSION");
}

#[test]
fn refuses_serials_of_zero_below_zero_or_above_20_octets() {
    let serial = |contents: &[u8]| broken_part(SERIAL, |w| w.value(tag::INTEGER, contents));
    assert_eq!(serial(&[0]), "SERIAL_NUMBER");
    assert_eq!(serial(&[0x7f; 21]), "SERIAL_NUMBER");
    assert_eq!(serial(&[&[0][..], &[0x80; 20]].concat()), "SERIAL_NUMBER");
    assert_eq!(serial(&[0xff]), "DER_INTEGER_NEGATIVE");
    assert_eq!(serial(&[0, 1]), "DER_INTEGER_NOT_MINIMAL");
    assert!(SerialNumber::new(&[0x7f; 20]).is_some());
    assert!(SerialNumber::new(&[0x80; 20]).is_none());
    assert!(SerialNumber::new(&[0, 0]).is_none());
}

#[test]
fn serials_sort_as_numbers() {
    let serial = |magnitude: &[u8]| SerialNumber::new(magnitude).unwrap();
    assert!(serial(&[0xff]) < serial(&[1, 0]));
    assert!(serial(&[1, 0]) < serial(&[1, 1]));
    assert_eq!(serial(&[0, 5]), serial(&[5]));
}

#[test]
fn draws_serials_of_128_random_bits() {
    let mut seen: Vec<_> = (0..1000).map(|_| SerialNumber::random().unwrap()).collect();
    assert!(seen.iter().all(|serial| serial.as_bytes().len() == 17 && serial.as_bytes()[0] == 1));
    for index in 1..17 {
        let octets =
            seen.iter().map(|serial| serial.as_bytes()[index]).collect::<std::collections::BTreeSet<_>>();
        assert!(octets.len() > 200, "octet {index} is not random");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
}

#[test]
fn refuses_weak_algorithms_and_parameters_that_do_not_fit() {
    let algorithm = |contents: &[u8], parameters: &[u8]| {
        broken_part(ALGORITHM, |w| {
            w.sequence(|w| {
                w.known_oid(contents);
                w.raw(parameters);
            });
        })
    };
    let sha1_with_rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
    let md5_with_rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
    let ecdsa_with_sha1 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
    assert_eq!(algorithm(&sha1_with_rsa, &[5, 0]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(&md5_with_rsa, &[5, 0]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(&ecdsa_with_sha1, &[]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(oids::ECDSA_SHA256, &[5, 0]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(oids::ED25519, &[5, 0]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(oids::RSA_SHA256, &[]), "SIGNATURE_ALGORITHM");
    // The defaults of RSASSA-PSS-params are SHA-1.
    assert_eq!(algorithm(oids::RSA_PSS, &[0x30, 0]), "SIGNATURE_ALGORITHM");
    assert_eq!(algorithm(oids::RSA_PSS, &[]), "SIGNATURE_ALGORITHM");
}

#[test]
fn refuses_pss_with_another_mask_hash_or_salt_length() {
    let pss = SignatureAlgorithm::RsaPss(PssHash::Sha256).to_der();
    let changed = |from: &[u8], to: &[u8], skip: usize| {
        let at =
            pss.windows(from.len()).enumerate().filter(|(_, window)| *window == from).nth(skip).unwrap().0;
        let mut der = pss.clone();
        der[at..at + to.len()].copy_from_slice(to);
        broken_part(ALGORITHM, |w| w.raw(&der))
    };
    assert_eq!(changed(&[2, 1, 32], &[2, 1, 20], 0), "SIGNATURE_ALGORITHM");
    assert_eq!(changed(oids::SHA256, oids::SHA384, 1), "SIGNATURE_ALGORITHM");
    assert_eq!(changed(oids::SHA256, oids::SHA384, 0), "SIGNATURE_ALGORITHM");
}

#[test]
fn reads_every_algorithm_that_it_writes() {
    for algorithm in SignatureAlgorithm::ALL {
        let fields = Fields { algorithm, ..leaf() };
        assert_eq!(TbsCertificate::parse(&fields.encode()).unwrap().signature_algorithm(), algorithm);
    }
}

#[test]
fn refuses_an_empty_issuer_and_an_unnamed_subject() {
    assert_eq!(broken(|fields| fields.issuer = Name::empty()), "ISSUER_EMPTY");
    assert_eq!(broken(|fields| fields.subject = Name::empty()), "SUBJECT_EMPTY");
    let mut fields = leaf();
    fields.subject = Name::empty();
    fields.extensions[1].critical = true;
    assert!(TbsCertificate::parse(&fields.encode()).unwrap().subject().is_empty());
}

#[test]
fn refuses_a_validity_that_ends_before_it_begins() {
    assert_eq!(broken(|fields| fields.validity = validity(2, 1)), "TIME_ORDER");
    let late = leaf().validity.not_after;
    let as_generalized = broken_part(VALIDITY, |w| {
        w.sequence(|w| {
            w.time(late);
            w.generalized_time(late);
        });
    });
    assert_eq!(as_generalized, "DER_TIME_TYPE");
}

#[test]
fn refuses_names_outside_rfc_5280() {
    let attribute = |oid: &[u8], kind: StringKind, value: &str| {
        broken_part(SUBJECT, |w| {
            w.sequence(|w| {
                w.nested(tag::SET, |w| {
                    w.sequence(|w| {
                        w.known_oid(oid);
                        w.text(kind, value);
                    });
                });
            });
        })
    };
    assert_eq!(attribute(oids::COMMON_NAME, StringKind::Utf8, &"a".repeat(65)), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::COMMON_NAME, StringKind::Ia5, "a"), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::COUNTRY, StringKind::Utf8, "CH"), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::COUNTRY, StringKind::Printable, "CHE"), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::COUNTRY, StringKind::Printable, "C"), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::EMAIL_ADDRESS, StringKind::Utf8, "a@b"), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(&[0x2a, 3], StringKind::Utf8, &"é".repeat(257)), "ATTRIBUTE_VALUE");
    assert_eq!(attribute(oids::COMMON_NAME, StringKind::Utf8, "good\0.evil"), "DER_STRING_CONTROL");
    assert_eq!(attribute(oids::COMMON_NAME, StringKind::Utf8, ""), "DER_STRING_LENGTH");
    assert_eq!(attribute(oids::COMMON_NAME, StringKind::Printable, "a*"), "DER_STRING_CHARACTER");
    let bmp_string =
        |w: &mut Writer| w.raw(&[0x30, 13, 0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 3, 0x1e, 2, 0, 0x41]);
    assert_eq!(broken_part(SUBJECT, bmp_string), "ATTRIBUTE_VALUE");
    let teletex = |w: &mut Writer| w.raw(&[0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x14, 1, 0x41]);
    assert_eq!(broken_part(ISSUER, teletex), "ATTRIBUTE_VALUE");
}

#[test]
fn refuses_relative_names_that_are_empty_unsorted_or_repeat_a_type() {
    let rdn = |values: &[(u8, &str)]| {
        broken_part(SUBJECT, |w| {
            w.sequence(|w| {
                w.nested(tag::SET, |w| {
                    for (last_arc, value) in values {
                        w.sequence(|w| {
                            w.known_oid(&[0x55, 4, *last_arc]);
                            w.text(StringKind::Utf8, value);
                        });
                    }
                });
            });
        })
    };
    assert_eq!(rdn(&[]), "DER_LIST_EMPTY");
    assert_eq!(rdn(&[(10, "a"), (3, "b")]), "DER_SET_ORDER");
    assert_eq!(rdn(&[(3, "a"), (3, "a")]), "DER_SET_ORDER");
    assert_eq!(rdn(&[(3, "a"), (3, "b")]), "ATTRIBUTE_DUPLICATE");
}

#[test]
fn sorts_a_relative_names_attributes() {
    let attribute = |contents, value| Attribute::new(oid(contents), StringKind::Utf8, value).unwrap();
    let name = Name::new(vec![vec![attribute(oids::ORGANIZATION, "o"), attribute(oids::COMMON_NAME, "c")]]);
    assert_eq!(name.unwrap().to_string(), "CN=c+O=o");
    assert!(Name::new(vec![vec![]]).is_none());
    assert!(Attribute::new(oid(oids::COUNTRY), StringKind::Utf8, "CH").is_none());
}

#[test]
fn names_display_without_ambiguity() {
    for (value, shown) in [
        ("a,CN=b", "CN=a\\,CN\\=b"),
        (" a ", "CN=\\ a\\ "),
        ("#1", "CN=\\#1"),
        ("a\\,b", "CN=a\\\\\\,b"),
        ("\u{202e}a", "CN=\\e2\\80\\aea"),
        ("é", "CN=\\c3\\a9"),
    ] {
        assert_eq!(common_name(value).to_string(), shown);
    }
}

#[test]
fn refuses_keys_that_it_cannot_name() {
    let dsa = |w: &mut Writer| w.raw(&[0x30, 0]);
    assert_eq!(broken_part(SPKI, dsa), "PUBLIC_KEY");
    let mut spki = public_key().to_spki_der();
    let last = spki.len() - 65;
    spki[last] = 2;
    assert_eq!(broken_part(SPKI, |w| w.raw(&spki)), "PUBLIC_KEY");
}

#[test]
fn refuses_unique_identifiers() {
    for tag in [0x81, 0x82] {
        let mut parts = Parts::of(&leaf());
        parts.0.insert(EXTENSIONS, vec![tag, 2, 0, 1]);
        assert_eq!(rule(&parts.join()), "UNIQUE_ID");
    }
}

#[test]
fn builds_what_it_parses() {
    let fields = leaf();
    let builder =
        CertificateBuilder::new(fields.algorithm, fields.issuer, fields.validity, fields.public_key)
            .subject(fields.subject)
            .key_usage(KeyUsage::DIGITAL_SIGNATURE)
            .subject_alt_names(vec![GeneralName::Dns("leaf.example".into())]);
    assert_eq!(builder.clone().serial(fields.serial).build().unwrap().as_bytes(), leaf().encode());
    let (one, other) = (builder.clone().build().unwrap(), builder.build().unwrap());
    assert_ne!(one.serial(), other.serial());
    assert_eq!(TbsCertificate::parse(one.as_bytes()), Ok(one));
}

#[test]
fn builder_refuses_what_the_parser_refuses() {
    let fields = leaf();
    let no_subject =
        CertificateBuilder::new(fields.algorithm, fields.issuer, fields.validity, fields.public_key);
    let Err(BuildError::Refused(error)) = no_subject.clone().build() else { panic!("built") };
    assert_eq!(error.rule(), "SUBJECT_EMPTY");
    let named = no_subject.subject_alt_names(vec![GeneralName::Dns("a.example".into())]);
    assert!(named.build().unwrap().extensions()[0].critical);
}

#[test]
fn finishes_only_with_the_algorithm_that_it_states() {
    let tbs = TbsCertificate::parse(&leaf().encode()).unwrap();
    let error = tbs.certificate(SignatureAlgorithm::EcdsaSha384, &[1]).unwrap_err();
    assert_eq!(error.to_string(), "the TBS says ecdsa-with-SHA256, the signature is ecdsa-with-SHA384");
    let certificate = tbs.certificate(SignatureAlgorithm::EcdsaSha256, &[1, 2]).unwrap();
    let mut inner = Reader::new(&certificate).value(tag::SEQUENCE, "x").unwrap();
    assert_eq!(inner.element(tag::SEQUENCE, "x").unwrap().rest(), tbs.as_bytes());
    assert_eq!(inner.element(tag::SEQUENCE, "x").unwrap().rest(), SignatureAlgorithm::EcdsaSha256.to_der());
    assert_eq!(inner.rest(), [3, 3, 0, 1, 2]);
    let read = Certificate::parse(&certificate).unwrap();
    assert_eq!((read.tbs(), read.signature()), (&tbs, &[1, 2][..]));
}

#[test]
fn refuses_certificates_around_another_algorithm_or_with_more_in_them() {
    let tbs = leaf().encode();
    let broken = |der: &[u8]| Certificate::parse(der).unwrap_err().rule();
    assert_eq!(broken(&signed(&tbs, SignatureAlgorithm::Ed25519, &[1], |_| {})), "ALGORITHM_DIFFERS");
    let more = signed(&tbs, SignatureAlgorithm::EcdsaSha256, &[1], |w| w.value(tag::NULL, &[]));
    assert_eq!(broken(&more), "DER_TRAILING_BYTES");
    let certificate = signed(&tbs, SignatureAlgorithm::EcdsaSha256, &[1], |_| {});
    assert_eq!(broken(&[&certificate[..], &[0]].concat()), "DER_TRAILING_BYTES");
    let mut unused = certificate.clone();
    *unused.iter_mut().nth_back(1).unwrap() = 1;
    assert_eq!(broken(&unused), "DER_BIT_STRING_UNUSED");
    assert_eq!(broken(&vec![0; Certificate::MAX_LEN + 1]), "TBS_TOO_LONG");
}

proptest::proptest! {
    #[test]
    fn no_input_panics(input: Vec<u8>) {
        let _ = TbsCertificate::parse(&input);
    }

    #[test]
    fn what_parses_after_damage_encodes_to_the_same_bytes(
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..=255u8), 1..4),
        from in 0..3usize,
    ) {
        let mut bytes = [leaf(), extensions::all(), extensions::authority()][from].encode();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(tbs) = TbsCertificate::parse(&bytes) {
            proptest::prop_assert_eq!(tbs.fields.encode(), bytes);
        }
    }
}
