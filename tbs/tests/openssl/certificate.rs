//! Certificates.

use countersign_tbs::der::{Time, oids};
use countersign_tbs::x509::{
    AccessDescription, BasicConstraints, CertificateBuilder, CertificatePolicy, DistributionPoint, Extension,
    ExtensionValue, GeneralName, IpPrefix, KeyId, KeyUsage, NameConstraints, PolicyQualifier, Subtree,
    TbsCertificate, Validity,
};

use crate::tool::{Directory, KEY_TYPES, KeyType, common_name, now, oid, tbs_of};

/// Sections of extensions that `openssl` is asked for, each of them within our grammar.
const EXTENSIONS: &[&str] = &[
    "basicConstraints=critical,CA:FALSE",
    "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth",
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash",
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature",
    "basicConstraints=critical,CA:TRUE,pathlen:200\nkeyUsage=critical,keyCertSign",
    "keyUsage=decipherOnly,keyAgreement",
    "keyUsage=nonRepudiation,dataEncipherment,encipherOnly,keyAgreement",
    "extendedKeyUsage=serverAuth,clientAuth,codeSigning,OCSPSigning,timeStamping,1.3.6.1.4.1.311.20.2.2",
    "extendedKeyUsage=critical,anyExtendedKeyUsage",
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid",
    "subjectAltName=DNS:www.example.com,DNS:*.example.com,DNS:localhost",
    "subjectAltName=critical,URI:spiffe://example.org/ns/default/sa/web",
    "subjectAltName=email:someone@example.com,email:a.b+c@mail.example.com",
    "subjectAltName=IP:192.0.2.1,IP:2001:db8::1,IP:0.0.0.0,IP:::",
    "subjectAltName=otherName:1.3.6.1.4.1.311.20.2.3;UTF8:jörg@corp.example",
    "subjectAltName=dirName:dir\n[dir]\nC=CH\nO=Acme\nCN=somebody",
    "crlDistributionPoints=URI:http://pki.example/ca.crl",
    "crlDistributionPoints=URI:http://a.example/ca.crl,URI:ldap://b.example/cn=ca?certificateRevocationList",
    "authorityInfoAccess=OCSP;URI:http://ocsp.example,caIssuers;URI:http://pki.example/ca.der",
    "certificatePolicies=1.2.3.4,2.23.140.1.2.1",
    "certificatePolicies=1.2.3.4,@policy\n[policy]\npolicyIdentifier=1.3.5.8\nCPS.1=https://pki.example/cps\nuserNotice.1=@notice\n[notice]\nexplicitText=UTF8:Für Tests",
    "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:example.com,permitted;email:.example.com,excluded;IP:10.0.0.0/255.0.0.0",
    "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;IP:2001:db8::/ffff:ffff::,permitted;URI:.example.com",
    "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;dirName:dir,excluded;IP:0.0.0.0/0.0.0.0\n[dir]\nC=CH",
    "tlsfeature=status_request",
    "tlsfeature=status_request,status_request_v2",
    "noCheck=yes\nextendedKeyUsage=OCSPSigning",
    "1.3.6.1.4.1.311.25.2=ASN1:SEQUENCE:sid\n[sid]\nname=IMPLICIT:0,SEQUENCE:other\n[other]\ntype=OID:1.3.6.1.4.1.311.25.2.1\nvalue=EXPLICIT:0,OCTETSTRING:S-1-5-21-1004336348-1177238915-682003330-512",
    "nsComment=unknown to us\n1.2.3.4=ASN1:UTF8String:and this",
    "issuerAltName=DNS:ca.example",
];

/// Sections of extensions that `openssl` makes and we refuse, each with the rule.
const REFUSED: &[(&str, &str)] = &[
    ("", "VERSION"),
    ("basicConstraints=critical,CA:FALSE,pathlen:0", "PATH_LENGTH"),
    ("basicConstraints=CA:TRUE", "EXTENSION_CRITICALITY"),
    ("basicConstraints=critical,CA:TRUE,pathlen:0", "PATH_LENGTH"),
    ("keyUsage=keyCertSign", "CERT_SIGN_WITHOUT_CA"),
    ("1.2.3.4=critical,ASN1:NULL", "EXTENSION_UNKNOWN_CRITICAL"),
    ("policyConstraints=critical,requireExplicitPolicy:0", "EXTENSION_UNKNOWN_CRITICAL"),
    ("subjectAltName=RID:1.2.3.4", "GENERAL_NAME_KIND"),
    ("subjectAltName=otherName:1.2.3.4;UTF8:x", "GENERAL_NAME_KIND"),
    ("subjectAltName=DNS:bad_name.example", "DNS_NAME"),
    ("subjectAltName=DNS:with space.example", "DNS_NAME"),
    ("subjectAltName=URI:relative", "URI"),
    ("subjectAltName=email:nobody", "MAILBOX"),
    ("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid,issuer:always", "DER_TRAILING_BYTES"),
    ("extendedKeyUsage=serverAuth,serverAuth", "ITEM_DUPLICATE"),
    ("basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:a.example", "EXTENSION_CRITICALITY"),
    ("nameConstraints=critical,permitted;DNS:a.example", "NAME_CONSTRAINTS_WITHOUT_CA"),
    (
        "crlDistributionPoints=point\n[point]\nfullname=URI:http://a.example\nreasons=keyCompromise",
        "DER_TRAILING_BYTES",
    ),
    ("authorityInfoAccess=critical,OCSP;URI:http://a.example", "EXTENSION_CRITICALITY"),
];

/// The same certificate through the public builder.
fn rebuild(tbs: &TbsCertificate) -> TbsCertificate {
    let algorithm = tbs.signature_algorithm();
    let start =
        CertificateBuilder::new(algorithm, tbs.issuer().clone(), tbs.validity(), tbs.public_key().clone())
            .serial(*tbs.serial())
            .subject(tbs.subject().clone());
    tbs.extensions().iter().cloned().fold(start, CertificateBuilder::extension).build().unwrap()
}

fn config(extensions: &str) -> String {
    format!("[req]\ndistinguished_name=dn\n[dn]\n[ext]\n{extensions}\n")
}

/// `openssl x509 -req` under a CA that `openssl req -x509` made.
fn issue(directory: &Directory, extensions: &str) -> Vec<u8> {
    directory.write("ext.cnf", config(extensions));
    let arguments = "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -extfile ext.cnf -extensions ext -days 9 -outform DER -out leaf.der";
    directory.run(&arguments.split(' ').collect::<Vec<_>>());
    directory.read("leaf.der")
}

fn with_openssl_ca() -> Directory {
    let directory = Directory::new();
    directory.make_key("ca", &KEY_TYPES[0]);
    directory.make_key("leaf", &KEY_TYPES[0]);
    directory
        .run(&"req -x509 -key ca.key -subj /C=CH/O=Acme/CN=ca -out ca.pem".split(' ').collect::<Vec<_>>());
    directory
        .run(&"req -new -key leaf.key -subj /O=Acme/CN=leaf -out leaf.csr".split(' ').collect::<Vec<_>>());
    directory
}

#[test]
fn rebuilds_what_openssl_issues_with_every_extension() {
    let directory = with_openssl_ca();
    for extensions in EXTENSIONS {
        let bytes = tbs_of(&issue(&directory, extensions));
        let tbs = TbsCertificate::parse(&bytes).unwrap_or_else(|error| panic!("{extensions}: {error}"));
        assert_eq!(rebuild(&tbs).as_bytes(), bytes, "{extensions}");
    }
}

#[test]
fn rebuilds_what_openssl_ca_issues() {
    let directory = with_openssl_ca();
    let policy = "policy=p\n[p]\norganizationName=optional\ncommonName=supplied\n";
    let head = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\n\
                private_key=ca.key\ndefault_md=sha256\ndefault_days=9\n";
    directory.write("index.txt", "");
    directory.write("serial", "7f00000000000000\n");
    for extensions in EXTENSIONS {
        directory.write("issue.cnf", format!("{head}{policy}{}", config(extensions)));
        // One name may be certified again and again.
        directory.write("index.txt.attr", "unique_subject = no\n");
        let arguments = "ca -batch -notext -config issue.cnf -extensions ext -in leaf.csr -out leaf.pem";
        directory.run(&arguments.split(' ').collect::<Vec<_>>());
        directory.run(&["x509", "-in", "leaf.pem", "-outform", "DER", "-out", "leaf.der"]);
        let bytes = tbs_of(&directory.read("leaf.der"));
        let tbs = TbsCertificate::parse(&bytes).unwrap_or_else(|error| panic!("{extensions}: {error}"));
        assert_eq!(rebuild(&tbs).as_bytes(), bytes, "{extensions}");
    }
}

#[test]
fn refuses_what_openssl_issues_against_the_rules() {
    let directory = with_openssl_ca();
    for (extensions, rule) in REFUSED {
        let bytes = tbs_of(&issue(&directory, extensions));
        let error = TbsCertificate::parse(&bytes).err().unwrap_or_else(|| panic!("{extensions} was parsed"));
        assert_eq!(error.rule(), *rule, "{extensions}: {error}");
    }
}

#[test]
fn rebuilds_what_openssl_signs_with_every_algorithm() {
    let directory = Directory::new();
    directory.write("empty.cnf", config("basicConstraints=critical,CA:TRUE"));
    for key_type in &KEY_TYPES {
        directory.make_key("ca", key_type);
        let arguments = "req -x509 -config empty.cnf -extensions ext -key ca.key -subj /CN=ca -outform DER -out ca.der -days 20000";
        directory.run(&[&arguments.split(' ').collect::<Vec<_>>(), key_type.digest].concat());
        let bytes = tbs_of(&directory.read("ca.der"));
        let tbs = TbsCertificate::parse(&bytes).unwrap();
        assert_eq!(rebuild(&tbs).as_bytes(), bytes);
        assert_eq!(tbs.signature_algorithm(), key_type.algorithm);
    }
}

#[test]
fn rebuilds_every_kind_of_name_that_openssl_writes() {
    let directory = Directory::new();
    directory.make_key("ca", &KEY_TYPES[0]);
    directory.write("empty.cnf", config("basicConstraints=critical,CA:TRUE"));
    for (subject, shown) in [
        ("/CN=a", "CN=a"),
        (
            "/C=CH/ST=Zürich/L=Zürich/O=Acme, Inc./OU=a\\+b",
            "C=CH,ST=Z\\c3\\bcrich,L=Z\\c3\\bcrich,O=Acme\\, Inc.,OU=a\\+b",
        ),
        ("/DC=com/DC=example/UID=me", "DC=com,DC=example,UID=me"),
        ("/CN=a+OU=b/O=c", "CN=a+OU=b,O=c"),
        ("/O=z+CN=y+OU=x", "CN=y+OU=x+O=z"),
        ("/serialNumber=1/GN=g/SN=s/title=t/dnQualifier=d", "serialNumber=1,GN=g,SN=s,title=t,dnQualifier=d"),
        ("/CN=a/emailAddress=a@b.example", "CN=a,emailAddress=a@b.example"),
        ("/businessCategory=x", "2.5.4.15=x"),
    ] {
        let arguments = "req -x509 -utf8 -multivalue-rdn -config empty.cnf -extensions ext -key ca.key -outform DER -out ca.der -subj";
        directory.run(&[&arguments.split(' ').collect::<Vec<_>>()[..], &[subject]].concat());
        let bytes = tbs_of(&directory.read("ca.der"));
        let tbs = TbsCertificate::parse(&bytes).unwrap_or_else(|error| panic!("{subject}: {error}"));
        assert_eq!(rebuild(&tbs).as_bytes(), bytes);
        let mut by_value = shown.split(['+', ',']).collect::<Vec<_>>();
        let found = tbs.subject().to_string();
        let mut found = found.split(['+', ',']).collect::<Vec<_>>();
        by_value.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, by_value);
    }
}

#[test]
fn agrees_with_openssl_on_serials_and_dates() {
    let directory = with_openssl_ca();
    for (serial, days) in
        [("01", "1"), ("7F", "100"), ("80", "8580"), ("FF00000000000000000000000000000000000", "8600")]
    {
        let serial_argument = format!("0x{serial}");
        let arguments =
            ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-outform", "DER"];
        let extensions =
            ["-extfile", "v3.cnf", "-set_serial", &serial_argument, "-days", days, "-out", "leaf.der"];
        directory.write("v3.cnf", "subjectKeyIdentifier=hash");
        directory.run(&[&arguments[..], &extensions].concat());
        let tbs = TbsCertificate::parse(&tbs_of(&directory.read("leaf.der"))).unwrap();
        let shown = directory.run(
            &"x509 -inform DER -in leaf.der -noout -dates -dateopt iso_8601 -serial"
                .split(' ')
                .collect::<Vec<_>>(),
        );
        let ours = |time: Time| time.to_string().replace('T', " ");
        let Validity { not_before, not_after } = tbs.validity();
        let hex = tbs.serial().to_string().to_uppercase();
        let expected =
            format!("notBefore={}\nnotAfter={}\nserial={hex}\n", ours(not_before), ours(not_after));
        assert_eq!(shown, expected);
    }
}

fn valid_for(days: u64) -> Validity {
    let time = |secs| Time::from_unix_secs(secs).unwrap();
    Validity { not_before: time(now() - 60), not_after: time(now() + days * 86_400) }
}

fn key_id(octet: u8) -> KeyId {
    KeyId::new(&[octet; 20]).unwrap()
}

fn ca_builder(directory: &Directory, key_type: &KeyType) -> CertificateBuilder {
    let constraints = NameConstraints {
        permitted: vec![
            Subtree::Dns("example.com".to_owned()),
            Subtree::Uri(".example.com".to_owned()),
            Subtree::Ip(IpPrefix::new("192.0.2.0".parse().unwrap(), 24).unwrap()),
        ],
        excluded: vec![Subtree::Dns("not.example.com".to_owned())],
    };
    let key = directory.make_key("ca", key_type);
    CertificateBuilder::new(key_type.algorithm, common_name("our ca"), valid_for(365), key)
        .subject(common_name("our ca"))
        .basic_constraints(BasicConstraints::Ca { path_len: Some(0) })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .subject_key_id(key_id(1))
        .authority_key_id(key_id(1))
        .extension(Extension::critical(ExtensionValue::NameConstraints(constraints)))
}

/// A leaf with most extensions.
fn leaf_builder(directory: &Directory, key_type: &KeyType) -> CertificateBuilder {
    let uri = |path: &str| GeneralName::Uri(format!("http://pki.example.com/{path}"));
    let policy = CertificatePolicy {
        oid: oid(&[0x2a, 3, 4]),
        qualifiers: vec![
            PolicyQualifier::Cps("https://a.example/".to_owned()),
            PolicyQualifier::Notice("é".to_owned()),
        ],
    };
    let access = AccessDescription { method: oid(oids::AD_OCSP), location: uri("ocsp") };
    let point = DistributionPoint { full_name: vec![uri("ca.crl")] };
    let sid = "S-1-5-21-1004336348-1177238915-682003330-512".to_owned();
    let key = directory.make_key("leaf", key_type);
    CertificateBuilder::new(key_type.algorithm, common_name("our ca"), valid_for(30), key)
        .basic_constraints(BasicConstraints::Leaf)
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
        .ext_key_usage(vec![oid(oids::SERVER_AUTH), oid(oids::CLIENT_AUTH)])
        .subject_alt_names(vec![
            GeneralName::Dns("www.example.com".to_owned()),
            GeneralName::Uri("spiffe://pki.example.com/web".to_owned()),
            GeneralName::Ip("192.0.2.7".parse().unwrap()),
            GeneralName::UserPrincipalName("user@example.com".to_owned()),
        ])
        .authority_key_id(key_id(1))
        .subject_key_id(key_id(2))
        .extension(Extension::non_critical(ExtensionValue::CrlDistributionPoints(vec![point])))
        .extension(Extension::non_critical(ExtensionValue::AuthorityInfoAccess(vec![access])))
        .extension(Extension::non_critical(ExtensionValue::CertificatePolicies(vec![policy])))
        .extension(Extension::non_critical(ExtensionValue::SecurityIdentifier(sid)))
        .extension(Extension::non_critical(ExtensionValue::TlsFeature(vec![5])))
}

/// Signs with the CA's key and writes `name.der` and `name.pem`.
fn finish(directory: &Directory, key_type: &KeyType, name: &str, builder: CertificateBuilder) {
    let tbs = builder.build().unwrap();
    let signature = directory.sign("ca", key_type, tbs.as_bytes());
    directory.write(&format!("{name}.der"), tbs.certificate(key_type.algorithm, &signature).unwrap());
    let [der, pem] = [format!("{name}.der"), format!("{name}.pem")];
    directory.run(&["x509", "-inform", "DER", "-in", &der, "-out", &pem]);
}

#[test]
fn openssl_verifies_the_chains_that_we_build() {
    for key_type in &KEY_TYPES {
        let directory = Directory::new();
        finish(&directory, key_type, "ca", ca_builder(&directory, key_type));
        finish(&directory, key_type, "leaf", leaf_builder(&directory, key_type));
        let purpose =
            ["-purpose", "sslserver", "-verify_hostname", "www.example.com", "-verify_ip", "192.0.2.7"];
        let verify = ["verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca.pem"];
        directory.run(&[&verify[..], &purpose, &["leaf.pem"]].concat());
        let text = directory.run(&["x509", "-in", "leaf.pem", "-noout", "-text"]);
        for line in [
            "CA:FALSE",
            "Digital Signature",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            "DNS:www.example.com, URI:spiffe://pki.example.com/web, IP Address:192.0.2.7, othername: UPN:",
            "URI:http://pki.example.com/ca.crl",
            "OCSP - URI:http://pki.example.com/ocsp",
            "Policy: 1.2.3.4",
            "S-1-5-21-1004336348-1177238915-682003330-512",
            "status_request",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}

#[test]
fn openssl_rejects_our_certificate_with_another_keys_signature() {
    let (directory, key_type) = (Directory::new(), &KEY_TYPES[0]);
    finish(&directory, key_type, "ca", ca_builder(&directory, key_type));
    let leaf = leaf_builder(&directory, key_type);
    directory.make_key("ca", key_type);
    finish(&directory, key_type, "leaf", leaf);
    assert!(!directory.try_run(&["verify", "-CAfile", "ca.pem", "leaf.pem"]).status.success());
}
