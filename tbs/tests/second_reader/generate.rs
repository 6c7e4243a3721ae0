//! Random certificates, the same ones from the same seed.

use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::{Curve, EcPoint, MlDsaPublicKey, ParameterSet, PublicKey, RsaPublicKey};
use countersign_tbs::x509::{
    AccessDescription, Attribute, BasicConstraints, CertificateBuilder, CertificatePolicy, DistributionPoint,
    Extension, ExtensionValue, GeneralName, IpPrefix, KeyId, KeyUsage, Name, NameConstraints,
    PolicyQualifier, SerialNumber, SignatureAlgorithm, Subtree, TbsCertificate, Validity,
};

/// xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn octets(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// At least one, each once.
    fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        let mut chosen: Vec<T> = items.iter().copied().filter(|_| self.chance(50)).collect();
        if chosen.is_empty() {
            chosen.push(items[0]);
        }
        chosen
    }

    fn list<T>(&mut self, max: u64, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(max)).map(|_| item(self)).collect()
    }

    fn text(&mut self, alphabet: &str, max: u64) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..=self.below(max)).map(|_| self.pick(&letters)).collect()
    }
}

const PURPOSES: [&[u8]; 5] =
    [oids::SERVER_AUTH, oids::CLIENT_AUTH, oids::CODE_SIGNING, oids::OCSP_SIGNING, oids::SMART_CARD_LOGON];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

fn attribute(random: &mut Random) -> Attribute {
    let (contents, kind) = random.pick(&[
        (oids::COMMON_NAME, StringKind::Utf8),
        (oids::ORGANIZATION, StringKind::Printable),
        (oids::ORGANIZATIONAL_UNIT, StringKind::Utf8),
        (oids::LOCALITY, StringKind::Utf8),
        (oids::SERIAL_NUMBER, StringKind::Printable),
        (oids::DOMAIN_COMPONENT, StringKind::Ia5),
        (oids::USER_ID, StringKind::Utf8),
    ]);
    let alphabet = match kind {
        StringKind::Utf8 => "abcXYZ 019 äöü€中😀,;=<>\"'*&@_",
        StringKind::Printable => "abcXYZ 019'()+,-./:=?",
        StringKind::Ia5 => "abcXYZ019_*@-",
    };
    Attribute::new(oid(contents), kind, &random.text(alphabet, 40)).unwrap()
}

fn name(random: &mut Random) -> Name {
    // Two attributes of one type in one relative name make none: draw again.
    loop {
        let rdns = random.list(4, |random| random.list(2, attribute));
        if let Some(name) = Name::new(rdns) {
            return name;
        }
    }
}

fn dns(random: &mut Random) -> String {
    random.list(4, |random| random.text(LETTERS, 12)).join(".")
}

fn uri(random: &mut Random) -> String {
    let scheme = random.pick(&["http", "https", "ldap", "spiffe", "urn"]);
    format!("{scheme}://{}/{}", dns(random), random.text("abc/019-._~?&=+@", 20))
}

fn general_name(random: &mut Random) -> GeneralName {
    match random.below(7) {
        0 => GeneralName::Uri(uri(random)),
        1 => GeneralName::Email(format!("{}@{}", random.text("abc019+_-", 20), dns(random))),
        2 => GeneralName::Ip(<[u8; 4]>::try_from(random.octets(4)).unwrap().into()),
        3 => GeneralName::Ip(<[u8; 16]>::try_from(random.octets(16)).unwrap().into()),
        4 => GeneralName::UserPrincipalName(format!(
            "{}@{}",
            random.text("abcäöü", 9),
            random.text(LETTERS, 9)
        )),
        5 => GeneralName::Directory(name(random)),
        _ => GeneralName::Dns(if random.chance(20) { format!("*.{}", dns(random)) } else { dns(random) }),
    }
}

fn subtree(random: &mut Random) -> Subtree {
    match random.below(5) {
        0 => Subtree::Email(dns(random)),
        1 => Subtree::Uri(format!(".{}", dns(random))),
        2 => {
            let len = random.below(33) as u32;
            let bits = random.next() as u32 & u32::MAX.checked_shl(32 - len).unwrap_or(0);
            Subtree::Ip(IpPrefix::new(bits.to_be_bytes().into(), len).unwrap())
        }
        3 => Subtree::Directory(name(random)),
        _ => Subtree::Dns(dns(random)),
    }
}

fn public_key(random: &mut Random) -> PublicKey {
    match random.below(4) {
        0 => PublicKey::Ed25519(random.octets(32).try_into().unwrap()),
        1 => {
            let mut modulus = random.octets(256);
            modulus[0] |= 0x80;
            modulus[255] |= 1;
            PublicKey::Rsa(RsaPublicKey::new(modulus, vec![1, 0, 1]).unwrap())
        }
        2 => {
            let parameters = ParameterSet::ALL[random.below(3) as usize];
            let bytes = random.octets(parameters.public_key_len() as u64);
            PublicKey::MlDsa(MlDsaPublicKey::new(parameters, bytes).unwrap())
        }
        _ => PublicKey::Ecdsa(EcPoint::new(Curve::P256, P256_GENERATOR.to_vec()).unwrap()),
    }
}

/// SEC 2 §2.4.2: any point on the curve would do, and `cryptography` checks that it is on it.
const P256_GENERATOR: &[u8; 65] = b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

fn policies(random: &mut Random) -> Vec<CertificatePolicy> {
    (0..=random.below(3))
        .map(|last| {
            let qualifiers = match random.below(3) {
                0 => vec![
                    PolicyQualifier::Cps(uri(random)),
                    PolicyQualifier::Notice(random.text("abc äöü", 50)),
                ],
                1 => vec![PolicyQualifier::Notice(random.text("abc äöü", 50))],
                _ => Vec::new(),
            };
            CertificatePolicy { oid: oid(&[0x2a, last as u8]), qualifiers }
        })
        .collect()
}

/// The rights of a CA, or of a leaf.
fn rights(random: &mut Random) -> Vec<Extension> {
    use ExtensionValue as Value;
    // `cryptography` shows encipherOnly and decipherOnly only beside keyAgreement: without it they mean nothing.
    let usages = random.some(&KeyUsage::NAMED[..5]);
    let usage = usages.iter().fold(KeyUsage::KEY_AGREEMENT, |all, (one, _)| all | *one);
    let purposes = random.some(&PURPOSES);
    if random.chance(30) {
        let path_len = random.chance(50).then(|| random.below(256) as u16);
        let (permitted, excluded) = (random.list(4, subtree), random.list(4, subtree));
        let constraints = NameConstraints { permitted, excluded };
        return vec![
            Extension::critical(Value::BasicConstraints(BasicConstraints::Ca { path_len })),
            Extension::critical(Value::KeyUsage(usage | KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)),
            Extension::critical(Value::NameConstraints(constraints)),
        ];
    }
    let only = random.pick(&[KeyUsage::ENCIPHER_ONLY, KeyUsage::DECIPHER_ONLY, KeyUsage::KEY_AGREEMENT]);
    vec![
        Extension { critical: random.chance(50), value: Value::BasicConstraints(BasicConstraints::Leaf) },
        Extension { critical: random.chance(50), value: Value::KeyUsage(usage | only) },
        Extension {
            critical: random.chance(50),
            value: Value::ExtKeyUsage(purposes.into_iter().map(oid).collect()),
        },
    ]
}

fn extensions(random: &mut Random) -> Vec<Extension> {
    use ExtensionValue as Value;
    let access = |random: &mut Random| AccessDescription {
        method: oid(random.pick(&[oids::AD_OCSP, oids::AD_CA_ISSUERS])),
        location: GeneralName::Uri(uri(random)),
    };
    let point = |random: &mut Random| DistributionPoint {
        full_name: random.list(2, |random| GeneralName::Uri(uri(random))),
    };
    let mut extensions = rights(random);
    let values = [
        Value::AuthorityKeyId(KeyId::new(&random.octets(20)).unwrap()),
        Value::SubjectKeyId(KeyId::new(&random.octets(20)).unwrap()),
        Value::CrlDistributionPoints(random.list(2, point)),
        Value::AuthorityInfoAccess(random.list(2, access)),
        Value::CertificatePolicies(policies(random)),
        Value::SecurityIdentifier(format!("S-1-5-21-{}-{}", random.below(1 << 32), random.below(1 << 32))),
        Value::OcspNoCheck,
        Value::TlsFeature(random.some(&[5, 17])),
        Value::Unknown { oid: oid(&[0x2a, 3, 4]), value: random.octets(30) },
    ];
    extensions.extend(values.into_iter().filter(|_| random.chance(50)).map(Extension::non_critical));
    extensions
}

pub(crate) fn certificate(random: &mut Random) -> TbsCertificate {
    let not_before = random.below(Time::MAX.unix_secs() / 2);
    let not_after = not_before + random.below(Time::MAX.unix_secs() / 2);
    let time = |secs| Time::from_unix_secs(secs).unwrap();
    let validity = Validity { not_before: time(not_before), not_after: time(not_after) };
    let len = 1 + random.below(20);
    let mut serial = random.octets(len);
    serial[0] = serial[0] & 0x7f | 1;
    let algorithm = random.pick(&SignatureAlgorithm::ALL);
    let builder = CertificateBuilder::new(algorithm, name(random), validity, public_key(random))
        .serial(SerialNumber::new(&serial).unwrap())
        .subject(name(random))
        .subject_alt_names(random.list(6, general_name));
    extensions(random).into_iter().fold(builder, CertificateBuilder::extension).build().unwrap()
}
