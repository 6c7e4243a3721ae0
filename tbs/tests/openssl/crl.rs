//! Certificate revocation lists.

use countersign_tbs::crl::{
    CrlBuilder, CrlNumber, EntryExtension, IssuingDistributionPoint, Reason, RevokedEntry, Scope,
    TbsCertList, Updates,
};
use countersign_tbs::der::Time;
use countersign_tbs::x509::{
    BasicConstraints, CertificateBuilder, DistributionPoint, Extension, ExtensionValue, GeneralName, KeyId,
    KeyUsage, SerialNumber, Validity,
};

use crate::tool::{Directory, KEY_TYPES, KeyType, common_name, now, tbs_of};

/// What `openssl ca` keeps of the certificates that it revoked, and of one that it did not.
const INDEX: &str = "\
R\t350101000000Z\t260101000000Z\t01\tunknown\t/CN=a
R\t350101000000Z\t260101000001Z,keyCompromise\t02\tunknown\t/CN=b
R\t350101000000Z\t260101000002Z,CACompromise\t7F\tunknown\t/CN=c
R\t350101000000Z\t260101000003Z,affiliationChanged\t80\tunknown\t/CN=d
R\t350101000000Z\t260101000004Z,superseded\t0100\tunknown\t/CN=e
R\t350101000000Z\t260101000005Z,cessationOfOperation\t7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=f
R\t350101000000Z\t260101000006Z,keyTime,20251231235959Z\t05\tunknown\t/CN=g
R\t350101000000Z\t260101000007Z,holdInstruction,holdInstructionReject\t06\tunknown\t/CN=h
V\t350101000000Z\t\t07\tunknown\t/CN=i
";

const EXTENSIONS: &[&str] = &[
    "authorityKeyIdentifier=keyid",
    "authorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@idp\n[idp]\nfullname=URI:http://pki.example/ca.crl",
    "authorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@idp\n[idp]\nonlyuser=TRUE",
    "authorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@idp\n[idp]\nonlyCA=TRUE\nfullname=URI:http://a.example",
    "authorityKeyIdentifier=keyid\n2.5.29.27=critical,ASN1:INTEGER:3",
    "authorityKeyIdentifier=keyid\n1.2.3.4=ASN1:UTF8String:unknown to us",
];

const REFUSED: &[(&str, &str)] = &[
    ("authorityKeyIdentifier=keyid,issuer:always", "DER_TRAILING_BYTES"),
    ("subjectKeyIdentifier=none", "EXTENSION_MISSING"),
    ("authorityKeyIdentifier=keyid\n2.5.29.27=ASN1:INTEGER:3", "EXTENSION_CRITICALITY"),
    (
        "authorityKeyIdentifier=keyid\nissuingDistributionPoint=@idp\n[idp]\nonlyuser=TRUE",
        "EXTENSION_CRITICALITY",
    ),
    (
        "authorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@idp\n[idp]\nindirectCRL=TRUE",
        "ISSUING_DISTRIBUTION_POINT",
    ),
    (
        "authorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@idp\n[idp]\nonlysomereasons=keyCompromise",
        "ISSUING_DISTRIBUTION_POINT",
    ),
    ("authorityKeyIdentifier=keyid\n1.2.3.4=critical,ASN1:NULL", "EXTENSION_UNKNOWN_CRITICAL"),
];

/// A directory with a CA that `openssl ca` can use.
fn with_openssl_ca(key_type: &KeyType) -> Directory {
    let directory = Directory::new();
    directory.make_key("ca", key_type);
    directory.write("ca.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[ext]\nsubjectKeyIdentifier=hash\n");
    let arguments = "req -x509 -config ca.cnf -extensions ext -key ca.key -subj /CN=ca -out ca.pem";
    directory.run(&[&arguments.split(' ').collect::<Vec<_>>(), key_type.digest].concat());
    directory.write("index.txt", INDEX);
    directory.write("crlnumber", "00FE\n");
    directory
}

/// `openssl ca -gencrl`, in DER.
fn generate(directory: &Directory, digest: &[&str], extensions: &str) -> Vec<u8> {
    let head = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ncertificate=ca.pem\nprivate_key=ca.key\n";
    directory.write("crl.cnf", format!("{head}default_md=sha256\n[ext]\n{extensions}\n"));
    let md: Vec<_> = digest
        .iter()
        .flat_map(|argument| match argument.strip_prefix("-sha") {
            Some(bits) => vec!["-md".to_owned(), format!("sha{bits}")],
            None => vec![(*argument).to_owned()],
        })
        .collect();
    let md: Vec<_> = md.iter().map(String::as_str).collect();
    let arguments =
        "ca -gencrl -config crl.cnf -crlexts ext -crldays 7 -out crl.pem".split(' ').collect::<Vec<_>>();
    directory.run(&[&arguments[..], &md].concat());
    directory.run(&["crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der"]);
    directory.read("crl.der")
}

/// The same list through the public builder.
fn rebuild(list: &TbsCertList) -> TbsCertList {
    let updates = Updates { this: list.this_update(), next: list.next_update() };
    let start = CrlBuilder::new(list.signature_algorithm(), list.issuer().clone(), updates);
    let with_extensions = list.extensions().iter().cloned().fold(start, CrlBuilder::extension);
    list.entries().fold(with_extensions, |builder, entry| builder.entry(&entry)).build().unwrap()
}

#[test]
fn rebuilds_the_lists_that_openssl_generates() {
    for key_type in &KEY_TYPES {
        let directory = with_openssl_ca(key_type);
        let bytes = tbs_of(&generate(&directory, key_type.digest, EXTENSIONS[0]));
        let list = TbsCertList::parse(&bytes).unwrap();
        assert_eq!(rebuild(&list).as_bytes(), bytes);
        assert_eq!(list.signature_algorithm(), key_type.algorithm);
    }
    let directory = with_openssl_ca(&KEY_TYPES[0]);
    for extensions in EXTENSIONS {
        let bytes = tbs_of(&generate(&directory, &[], extensions));
        let list = TbsCertList::parse(&bytes).unwrap_or_else(|error| panic!("{extensions}: {error}"));
        assert_eq!(rebuild(&list).as_bytes(), bytes, "{extensions}");
    }
}

#[test]
fn agrees_with_openssl_on_every_entry() {
    let directory = with_openssl_ca(&KEY_TYPES[0]);
    let list = TbsCertList::parse(&tbs_of(&generate(&directory, &[], EXTENSIONS[0]))).unwrap();
    assert_eq!((list.entry_count(), list.number()), (8, CrlNumber::from(0xfe)));
    let entry = |serial: &[u8]| list.entries().find(|entry| entry.serial.as_bytes() == serial).unwrap();
    assert_eq!(entry(&[1]).reason(), None);
    assert_eq!(entry(&[0x7f]).reason(), Some(Reason::CaCompromise));
    assert_eq!(entry(&[0x80]).reason(), Some(Reason::AffiliationChanged));
    assert_eq!(entry(&[1, 0]).reason(), Some(Reason::Superseded));
    assert_eq!(entry(&[1, 0]).revoked.to_string(), "2026-01-01T00:00:04Z");
    assert_eq!(entry(&[5]).invalidity_date().unwrap().to_string(), "2025-12-31T23:59:59Z");
    let held = entry(&[6]);
    assert_eq!(held.reason(), Some(Reason::CertificateHold));
    assert!(matches!(&held.extensions[..], [_, EntryExtension::Unknown { .. }]));
}

#[test]
fn refuses_the_lists_that_openssl_generates_against_the_rules() {
    let directory = with_openssl_ca(&KEY_TYPES[0]);
    for (extensions, rule) in REFUSED {
        let bytes = tbs_of(&generate(&directory, &[], extensions));
        let error = TbsCertList::parse(&bytes).err().unwrap_or_else(|| panic!("{extensions} was parsed"));
        assert_eq!(error.rule(), *rule, "{extensions}: {error}");
    }
}

fn time(secs: u64) -> Time {
    Time::from_unix_secs(secs).unwrap()
}

fn list_address() -> Vec<GeneralName> {
    vec![GeneralName::Uri("http://pki.example/ca.crl".to_owned())]
}

fn key_id() -> KeyId {
    KeyId::new(&[1; 20]).unwrap()
}

/// Signs a certificate with `ca.key` and writes `name.pem`.
fn certify(
    directory: &Directory,
    key_type: &KeyType,
    name: &str,
    builder: CertificateBuilder,
) -> SerialNumber {
    let tbs = builder.build().unwrap();
    let signature = directory.sign("ca", key_type, tbs.as_bytes());
    directory.write("certificate.der", tbs.certificate(key_type.algorithm, &signature).unwrap());
    let file = format!("{name}.pem");
    directory.run(&["x509", "-inform", "DER", "-in", "certificate.der", "-out", &file]);
    *tbs.serial()
}

/// Our CA, and the serial numbers of two of its leaves.
fn with_our_ca(directory: &Directory, key_type: &KeyType) -> [SerialNumber; 2] {
    let validity = Validity { not_before: time(now() - 60), not_after: time(now() + 9999) };
    let ca_key = directory.make_key("ca", key_type);
    let ca = CertificateBuilder::new(key_type.algorithm, common_name("ca"), validity, ca_key.clone())
        .subject(common_name("ca"))
        .basic_constraints(BasicConstraints::Ca { path_len: None })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .subject_key_id(key_id());
    certify(directory, key_type, "ca", ca);
    let points = ExtensionValue::CrlDistributionPoints(vec![DistributionPoint { full_name: list_address() }]);
    ["good", "revoked"].map(|name| {
        let leaf = CertificateBuilder::new(key_type.algorithm, common_name("ca"), validity, ca_key.clone())
            .subject(common_name(name))
            .authority_key_id(key_id())
            .extension(Extension::non_critical(points.clone()));
        certify(directory, key_type, name, leaf)
    })
}

#[test]
fn openssl_verifies_the_lists_that_we_build() {
    for key_type in &KEY_TYPES {
        let directory = Directory::new();
        let [_, revoked] = with_our_ca(&directory, key_type);
        let full_name = list_address();
        let other = SerialNumber::random().unwrap();
        let reasons = vec![
            EntryExtension::Reason(Reason::KeyCompromise),
            EntryExtension::InvalidityDate(time(now() - 99)),
        ];
        let updates = Updates { this: time(now() - 60), next: time(now() + 9999) };
        let list = CrlBuilder::new(key_type.algorithm, common_name("ca"), updates)
            .entry(&RevokedEntry { serial: revoked, revoked: time(now() - 30), extensions: reasons })
            .entry(&RevokedEntry::new(other, time(now())))
            .authority_key_id(key_id())
            .number(CrlNumber::from(0x0012_3456))
            .issuing_distribution_point(IssuingDistributionPoint { full_name, scope: Scope::All })
            .build()
            .unwrap();
        let signature = directory.sign("ca", key_type, list.as_bytes());
        directory.write("crl.der", list.certificate_list(key_type.algorithm, &signature).unwrap());
        let verified = directory
            .try_run(&"crl -inform DER -in crl.der -CAfile ca.pem -noout".split(' ').collect::<Vec<_>>());
        assert!(String::from_utf8_lossy(&verified.stderr).contains("verify OK"));
        let text = directory.run(&["crl", "-inform", "DER", "-in", "crl.der", "-noout", "-text"]);
        for line in
            ["Key Compromise", "1193046", "URI:http://pki.example/ca.crl", "Invalidity Date", "Version 2"]
        {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        directory.run(&["crl", "-inform", "DER", "-in", "crl.der", "-out", "crl.pem"]);
        let check = ["verify", "-x509_strict", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem"];
        directory.run(&[&check[..], &["good.pem"]].concat());
        let output = directory.try_run(&[&check[..], &["revoked.pem"]].concat());
        assert!(String::from_utf8_lossy(&output.stderr).contains("certificate revoked"));
    }
}
