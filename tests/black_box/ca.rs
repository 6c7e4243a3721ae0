//! X.509 keys of a site: a root that the `openssl` command keeps, and the certificates of the token's keys under it.

use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use countersign_proto::v1::{self, sign_request::Tbs};
use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::PublicKey;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::{
    Attribute, BasicConstraints, Certificate, CertificateBuilder, KeyUsage, Name, TbsCertificate, Validity,
};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::site::{Site, key_sections, now, request, text};

/// What makes a certificate a CA's.
pub const CA: &str = "basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid";

/// Those that SoftHSM2 and the `openssl` command have: all but ML-DSA, which the contract suite has a token for.
pub fn schemes() -> impl Iterator<Item = Scheme> {
    Scheme::ALL.into_iter().filter(|scheme| scheme.parameters().is_none())
}

/// A section of an X.509 key whose certificate is `NAME.pem`.
pub fn key(name: &str, scheme: Scheme) -> String {
    format!(
        "
[key.{name}]
purpose = \"x509-ca\"
scheme = \"{scheme}\"
token = \"soft\"
certificate = \"{name}.pem\"
"
    )
}

/// A site whose keys are on its token, and certified under its root if they are X.509 keys.
pub fn site(keys: &str) -> Site {
    let site = Site::without_keys(keys);
    make_root(&site);
    for name in key_sections(keys) {
        generate(&site, name);
        if keys.contains(&format!("\"{name}.pem\"")) {
            certify(&site, name, CA);
        }
    }
    site
}

/// Generates a key of the configuration; its public half is in `NAME.pub.pem` then.
pub fn generate(site: &Site, name: &str) {
    let shown = site.run_ok(&["key", "generate", name, "--rsa-bits", "2048", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    std::fs::write(site.path(&format!("{name}.pub.pem")), shown["spki_pem"].as_str().unwrap()).unwrap();
}

/// Makes `root.pem` and `root.key`.
pub fn make_root(site: &Site) {
    let command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -days 30 -addext keyUsage=critical,keyCertSign";
    openssl(site, &[&words(command)[..], &["-subj", "/O=Example/CN=root"]].concat());
}

/// Writes `NAME.pem`: the certificate of the key in `NAME.pub.pem` with these extensions, for `O=Example, CN=NAME`.
pub fn certify(site: &Site, name: &str, extensions: &str) {
    std::fs::write(site.path(&format!("{name}.ext")), extensions).unwrap();
    let command = format!(
        "x509 -new -force_pubkey {name}.pub.pem -subj /O=Example/CN={name} -CA root.pem -CAkey root.key \
         -extfile {name}.ext -days 20 -out {name}.pem"
    );
    openssl(site, &words(&command));
}

/// A key on P-256, for rcgen.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// As [`certify`], for a key on P-256, by another hand: with this key identifier, and valid between these two moments, in
/// seconds from now, which `openssl x509` cannot choose.
pub fn certify_between(site: &Site, name: &str, key_id: &[u8], between: [i64; 2]) {
    certify_for(site, name, key_id, between, vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
}

/// The same with this keyUsage.
pub fn certify_for(
    site: &Site,
    name: &str,
    key_id: &[u8],
    between: [i64; 2],
    key_usages: Vec<KeyUsagePurpose>,
) {
    certify_as(site, name, name, key_id, between, key_usages);
}

/// The same for the name of another key.
pub fn certify_as(
    site: &Site,
    name: &str,
    subject: &str,
    key_id: &[u8],
    between: [i64; 2],
    key_usages: Vec<KeyUsagePurpose>,
) {
    let mut params = params(subject, between);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = key_usages;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
    write_certificate(site, name, &params, CertificateParams::default());
}

/// Has the CA of this name and key identifier delegate its answers to the key `name`.
pub fn certify_responder(site: &Site, name: &str, (ca, key_id): (&str, &[u8]), between: [i64; 2]) {
    let mut params = params(name, between);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    let mut issuer = self::params(ca, between);
    issuer.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
    write_certificate(site, name, &params, issuer);
}

/// For `O=Example, CN=NAME`.
fn params(name: &str, [from, to]: [i64; 2]) -> CertificateParams {
    let at = |seconds: i64| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(now().checked_add_signed(seconds).unwrap())
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(from).into();
    params.not_after = at(to).into();
    params
}

/// Writes `NAME.pem`, of the key in `NAME.pub.pem`. Its signature is by no key of the issuer: nobody here checks it.
fn write_certificate(site: &Site, name: &str, params: &CertificateParams, issuer: CertificateParams) {
    let spki = SubjectPublicKeyInfoDer::from_pem_file(site.path(&format!("{name}.pub.pem"))).unwrap();
    let PublicKey::Ecdsa(point) = PublicKey::from_spki_der(&spki).unwrap() else {
        panic!("{name} is not on P-256")
    };
    let issuer = Issuer::new(issuer, KeyPair::generate().unwrap());
    let pem = params.signed_by(&Point(point.as_bytes().to_vec()), &issuer).unwrap().pem();
    std::fs::write(site.path(&format!("{name}.pem")), pem).unwrap();
}

/// Makes a P-256 key, `NAME.key`.
pub fn make_key(site: &Site, name: &str) -> PublicKey {
    let command = format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key");
    openssl(site, &words(&command));
    openssl(site, &words(&format!("pkey -in {name}.key -pubout -outform DER -out {name}.spki")));
    PublicKey::from_spki_der(&std::fs::read(site.path(&format!("{name}.spki"))).unwrap()).unwrap()
}

/// What `NAME.pem` says.
pub fn certificate(site: &Site, name: &str) -> Certificate {
    openssl(site, &words(&format!("x509 -in {name}.pem -outform DER -out {name}.der")));
    Certificate::parse(&std::fs::read(site.path(&format!("{name}.der"))).unwrap()).unwrap()
}

/// A certificate in the making that the CA of `NAME.pem` may sign: its name, key identifier and algorithm, valid for an hour.
pub fn under(ca: &TbsCertificate, scheme: Scheme, subject: PublicKey) -> CertificateBuilder {
    let time = |secs| Time::from_unix_secs(secs).unwrap();
    let validity = Validity { not_before: time(now()), not_after: time(now() + 3600) };
    CertificateBuilder::new(scheme.into(), ca.subject().clone(), validity, subject)
        .authority_key_id(ca.subject_key_id().unwrap().clone())
}

/// The same for a leaf of this common name; an empty one is for no subject.
pub fn leaf_under(
    ca: &TbsCertificate,
    scheme: Scheme,
    subject: PublicKey,
    common_name: &str,
) -> CertificateBuilder {
    under(ca, scheme, subject)
        .subject(if common_name.is_empty() { Name::empty() } else { name(common_name) })
        .basic_constraints(BasicConstraints::Leaf)
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
}

/// `CN=…`.
pub fn name(common_name: &str) -> Name {
    let attribute = Attribute::new(oid(oids::COMMON_NAME), StringKind::Utf8, common_name).unwrap();
    Name::new(vec![vec![attribute]]).unwrap()
}

pub fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

/// A request to sign `tbs` as an X.509 certificate with `key`.
pub fn x509_request(key: &str, tbs: &[u8]) -> v1::SignRequest {
    v1::SignRequest { tbs: Some(Tbs::X509Certificate(tbs.to_vec().into())), ..request(key, Vec::new()) }
}

/// Writes a finished certificate as `NAME.pem`.
pub fn write_pem(site: &Site, name: &str, der: &[u8]) {
    std::fs::write(site.path(&format!("{name}.der")), der).unwrap();
    openssl(site, &words(&format!("x509 -inform DER -in {name}.der -out {name}.pem")));
}

/// Whether `openssl verify` accepts `LEAF.pem` under the root, by way of these CAs and with more `options`; what it says.
pub fn verify(site: &Site, leaf: &str, cas: &[&str], options: &str) -> Result<String, String> {
    let cas: Vec<String> = cas.iter().flat_map(|ca| ["-untrusted".to_owned(), format!("{ca}.pem")]).collect();
    let cas: Vec<&str> = cas.iter().map(String::as_str).collect();
    let leaf = format!("{leaf}.pem");
    let whole =
        [&["verify", "-x509_strict", "-CAfile", "root.pem"], &words(options)[..], &cas, &[&leaf]].concat();
    let output = try_openssl(site, &whole);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// Runs `openssl`, which must succeed; its standard output.
pub fn openssl(site: &Site, args: &[&str]) -> String {
    let output = try_openssl(site, args);
    assert!(output.status.success(), "openssl {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn try_openssl(site: &Site, args: &[&str]) -> Output {
    Command::new("openssl").args(args).current_dir(site.dir()).output().unwrap()
}

pub fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
