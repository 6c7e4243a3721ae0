use super::*;

fn text(value: &str) -> String {
    value.to_owned()
}

/// A leaf with every extension that a leaf may have.
pub(super) fn all() -> Fields {
    let uri = |path: &str| GeneralName::Uri(format!("http://pki.example/{path}"));
    let names = vec![
        GeneralName::Dns(text("*.example.com")),
        GeneralName::Uri(text("spiffe://example/ns/a/sa/b%20c")),
        GeneralName::Email(text("first.last+tag@mail.example")),
        GeneralName::Ip("192.0.2.1".parse().unwrap()),
        GeneralName::Ip("2001:db8::1".parse().unwrap()),
        GeneralName::UserPrincipalName(text("jörg@corp.example")),
        GeneralName::Directory(common_name("other")),
    ];
    let policies = vec![
        CertificatePolicy { oid: oid(&[0x2a, 3, 4]), qualifiers: vec![] },
        CertificatePolicy {
            oid: oid(&[0x2a, 3, 5]),
            qualifiers: vec![
                PolicyQualifier::Cps(text("https://pki.example/cps")),
                PolicyQualifier::Notice(text("Für Tests")),
            ],
        },
    ];
    let ocsp = AccessDescription { method: oid(oids::AD_OCSP), location: uri("ocsp") };
    let issuers = AccessDescription { method: oid(oids::AD_CA_ISSUERS), location: uri("ca.der") };
    let extensions = vec![
        Extension::critical(ExtensionValue::BasicConstraints(BasicConstraints::Leaf)),
        Extension::critical(ExtensionValue::KeyUsage(KeyUsage::DIGITAL_SIGNATURE | KeyUsage::DECIPHER_ONLY)),
        Extension::non_critical(ExtensionValue::ExtKeyUsage(vec![
            oid(oids::SERVER_AUTH),
            oid(oids::CLIENT_AUTH),
        ])),
        Extension::non_critical(ExtensionValue::SubjectAltName(names)),
        Extension::non_critical(ExtensionValue::AuthorityKeyId(KeyId::new(&[1; 20]).unwrap())),
        Extension::non_critical(ExtensionValue::SubjectKeyId(KeyId::new(&[2; 20]).unwrap())),
        Extension::non_critical(ExtensionValue::CrlDistributionPoints(vec![DistributionPoint {
            full_name: vec![uri("a.crl"), uri("b.crl")],
        }])),
        Extension::non_critical(ExtensionValue::AuthorityInfoAccess(vec![ocsp, issuers])),
        Extension::non_critical(ExtensionValue::CertificatePolicies(policies)),
        Extension::non_critical(ExtensionValue::SecurityIdentifier(text(
            "S-1-5-21-1004336348-1177238915-0-512",
        ))),
        Extension::non_critical(ExtensionValue::OcspNoCheck),
        Extension::non_critical(ExtensionValue::TlsFeature(vec![5, 17])),
        Extension::non_critical(ExtensionValue::Unknown { oid: oid(&[0x2a, 3]), value: vec![1, 2, 3] }),
    ];
    Fields { extensions, ..leaf() }
}

/// A CA with name constraints.
pub(super) fn authority() -> Fields {
    let constraints = NameConstraints {
        permitted: vec![
            Subtree::Dns(text("example.com")),
            Subtree::Email(text("user@example.com")),
            Subtree::Email(text(".example.com")),
            Subtree::Uri(text(".example.com")),
            Subtree::Directory(common_name("x")),
            Subtree::Ip(IpPrefix::new("10.0.0.0".parse().unwrap(), 8).unwrap()),
        ],
        excluded: vec![
            Subtree::Dns(String::new()),
            Subtree::Ip(IpPrefix::new("0.0.0.0".parse().unwrap(), 0).unwrap()),
            Subtree::Ip(IpPrefix::new("2001:db8::".parse().unwrap(), 32).unwrap()),
            Subtree::Ip(IpPrefix::new("::1".parse().unwrap(), 128).unwrap()),
        ],
    };
    let extensions = vec![
        Extension::critical(ExtensionValue::BasicConstraints(BasicConstraints::Ca { path_len: Some(0) })),
        Extension::critical(ExtensionValue::KeyUsage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)),
        Extension::critical(ExtensionValue::NameConstraints(constraints)),
    ];
    Fields { extensions, ..leaf() }
}

#[test]
fn reads_every_extension_that_it_writes() {
    for fields in [all(), authority()] {
        let tbs = TbsCertificate::parse(&fields.encode()).unwrap();
        assert_eq!(tbs.fields, fields);
    }
    let tbs = TbsCertificate::parse(&all().encode()).unwrap();
    assert_eq!(tbs.unknown_extensions().collect::<Vec<_>>(), [(&oid(&[0x2a, 3]), &[1, 2, 3][..])]);
    assert_eq!(tbs.ext_key_usage(), [oid(oids::SERVER_AUTH), oid(oids::CLIENT_AUTH)]);
    assert_eq!(tbs.authority_key_id().unwrap().as_bytes(), [1; 20]);
    assert_eq!(tbs.subject_key_id().unwrap().as_bytes(), [2; 20]);
}

#[test]
fn refuses_an_empty_or_endless_or_repeated_extension_list() {
    let empty = |w: &mut Writer| w.nested(tag::constructed(3), |w| w.sequence(|_| {}));
    assert_eq!(broken_part(EXTENSIONS, empty), "DER_LIST_EMPTY");
    let again = leaf().extensions[0].clone();
    assert_eq!(broken_by(again), "EXTENSION_DUPLICATE");
    let many = |fields: &mut Fields| {
        for last in 0..=32 {
            let value = ExtensionValue::Unknown { oid: oid(&[0x2a, last]), value: vec![] };
            fields.extensions.push(Extension::non_critical(value));
        }
    };
    assert_eq!(broken(many), "DER_LIST_TOO_LONG");
    let explicit_false = |w: &mut Writer| {
        w.nested(tag::constructed(3), |w| {
            w.sequence(|w| w.sequence(|w| w.raw(&[6, 3, 0x55, 0x1d, 0x0e, 1, 1, 0, 4, 3, 4, 1, 1])));
        });
    };
    assert_eq!(broken_part(EXTENSIONS, explicit_false), "DER_DEFAULT_ENCODED");
}

#[test]
fn refuses_critical_extensions_that_it_does_not_know() {
    let unknown = |critical| raw_extension(&[0x2a, 3], critical, |w| w.raw(&[5, 0]));
    assert_eq!(broken_by(unknown(true)), "EXTENSION_UNKNOWN_CRITICAL");
    let error = {
        let mut fields = leaf();
        fields.extensions.push(unknown(true));
        TbsCertificate::parse(&fields.encode()).unwrap_err()
    };
    assert_eq!(error.rule.to_string(), "extension 1.2.3 is critical and unknown");
    // Policy constraints and the poison of Certificate Transparency are among them.
    let policy_constraints = raw_extension(&[0x55, 0x1d, 0x24], true, |w| w.raw(&[0x30, 3, 0x80, 1, 0]));
    assert_eq!(broken_by(policy_constraints), "EXTENSION_UNKNOWN_CRITICAL");
}

#[test]
fn refuses_criticality_that_the_standard_does_not_allow() {
    let with_other_criticality = |mut fields: Fields, contents: &[u8]| {
        let found = fields.extensions.iter_mut().find(|extension| extension.oid() == contents).unwrap();
        found.critical = !found.critical;
        rule(&fields.encode())
    };
    assert_eq!(with_other_criticality(all(), oids::AUTHORITY_KEY_ID), "EXTENSION_CRITICALITY");
    assert_eq!(with_other_criticality(all(), oids::SUBJECT_KEY_ID), "EXTENSION_CRITICALITY");
    assert_eq!(with_other_criticality(all(), oids::AUTHORITY_INFO_ACCESS), "EXTENSION_CRITICALITY");
    assert_eq!(with_other_criticality(authority(), oids::NAME_CONSTRAINTS), "EXTENSION_CRITICALITY");
    assert_eq!(with_other_criticality(authority(), oids::BASIC_CONSTRAINTS), "EXTENSION_CRITICALITY");
}

#[test]
fn refuses_a_leaf_with_a_cas_rights() {
    let constraints = |contents: &'static [u8]| {
        broken_by(raw_extension(oids::BASIC_CONSTRAINTS, true, |w| w.sequence(|w| w.raw(contents))))
    };
    assert_eq!(constraints(&[1, 1, 0]), "DER_DEFAULT_ENCODED");
    assert_eq!(constraints(&[2, 1, 0]), "PATH_LENGTH");
    assert_eq!(constraints(&[1, 1, 0xff, 2, 1, 0]), "PATH_LENGTH");
    assert_eq!(constraints(&[1, 1, 0xff, 2, 2, 1, 0]), "DER_INTEGER_TOO_BIG");
    let usage = |fields: &mut Fields| {
        fields.extensions[0].value = ExtensionValue::KeyUsage(KeyUsage::KEY_CERT_SIGN);
    };
    assert_eq!(broken(usage), "CERT_SIGN_WITHOUT_CA");
    assert_eq!(broken_by(authority().extensions.remove(2)), "NAME_CONSTRAINTS_WITHOUT_CA");
}

#[test]
fn refuses_empty_usages_and_repeated_items() {
    let usage = |contents: &'static [u8]| {
        broken(|fields| {
            fields.extensions[0] =
                raw_extension(oids::KEY_USAGE, true, |w| w.value(tag::BIT_STRING, contents));
        })
    };
    assert_eq!(usage(&[0]), "DER_NAMED_BITS_EMPTY");
    assert_eq!(usage(&[0, 0x80]), "DER_NAMED_BITS_TRAILING_ZERO");
    let purposes = |purposes| broken_by(Extension::non_critical(ExtensionValue::ExtKeyUsage(purposes)));
    assert_eq!(purposes(vec![]), "DER_LIST_EMPTY");
    assert_eq!(purposes(vec![oid(oids::SERVER_AUTH), oid(oids::SERVER_AUTH)]), "ITEM_DUPLICATE");
    let features = |features| broken_by(Extension::non_critical(ExtensionValue::TlsFeature(features)));
    assert_eq!(features(vec![]), "DER_LIST_EMPTY");
    assert_eq!(features(vec![5, 5]), "ITEM_DUPLICATE");
    let twice = [1, 2].map(|count| CertificatePolicy {
        oid: oid(&[0x2a, 3]),
        qualifiers: vec![PolicyQualifier::Notice(text("a")); count],
    });
    let policies = Extension::non_critical(ExtensionValue::CertificatePolicies(twice.to_vec()));
    assert_eq!(broken_by(policies), "ITEM_DUPLICATE");
}

/// The rule that a leaf breaks whose subjectAltName is this one.
fn broken_name(name: GeneralName) -> &'static str {
    broken(|fields| fields.extensions[1].value = ExtensionValue::SubjectAltName(vec![name]))
}

fn broken_raw_name(contents: &[u8]) -> &'static str {
    broken(|fields| {
        fields.extensions[1] =
            raw_extension(oids::SUBJECT_ALT_NAME, false, |w| w.sequence(|w| w.raw(contents)));
    })
}

#[test]
fn refuses_names_that_are_not_of_their_kind() {
    for name in
        ["a..b", ".a", "a.", "-a", "a-", "a_b", "*", "*.", "a.*.b", "w*.a", "**.a", "a b", "a,b", "1.2.3.4/8"]
    {
        assert_eq!(broken_name(GeneralName::Dns(text(name))), "DNS_NAME", "{name}");
    }
    assert_eq!(broken_name(GeneralName::Dns("a".repeat(64))), "DNS_NAME");
    assert_eq!(broken_name(GeneralName::Dns("a.".repeat(127))), "DER_STRING_LENGTH");
    for name in ["a", "@a", "a@", "a@b@c", "a b@c", ".a@b", "\"a\"@b", "a@[1.2.3.4]", "a,b@c", "<a@b>"] {
        assert_eq!(broken_name(GeneralName::Email(text(name))), "MAILBOX", "{name}");
    }
    assert_eq!(broken_name(GeneralName::Email(format!("{}@b", "a".repeat(65)))), "MAILBOX");
    for name in [
        "a",
        "//a/b",
        ":a",
        "a:",
        "1a:b",
        "http://a b",
        "http://a\"",
        "a:%",
        "a:%2",
        "a:%zz",
        "a:\\",
        "a:<b>",
    ] {
        assert_eq!(broken_name(GeneralName::Uri(text(name))), "URI", "{name}");
    }
    assert_eq!(broken_name(GeneralName::Ip("::ffff:10.0.0.1".parse().unwrap())), "IP_ADDRESS");
    assert_eq!(broken_name(GeneralName::Dns(text("good.example\0.evil.example"))), "DER_STRING_CONTROL");
    assert_eq!(broken_name(GeneralName::Dns(text("bücher.example"))), "DER_STRING_CHARACTER");
    assert_eq!(broken_name(GeneralName::UserPrincipalName(text("a\nb"))), "DER_STRING_CONTROL");
}

#[test]
fn refuses_kinds_of_names_that_it_does_not_sign() {
    assert_eq!(broken_raw_name(&[]), "DER_LIST_EMPTY");
    assert_eq!(broken_raw_name(&[0x88, 1, 0x2a]), "GENERAL_NAME_KIND");
    assert_eq!(broken_raw_name(&[0xa3, 0]), "GENERAL_NAME_KIND");
    assert_eq!(broken_raw_name(&[0xa5, 0]), "GENERAL_NAME_KIND");
    assert_eq!(broken_raw_name(&[0xa0, 8, 6, 2, 0x2a, 3, 0xa0, 2, 5, 0]), "GENERAL_NAME_KIND");
    for len in [0_u8, 3, 5, 8, 15, 17, 32] {
        let contents = [&[0x87, len][..], &vec![0; usize::from(len)]].concat();
        assert_eq!(broken_raw_name(&contents), "IP_ADDRESS", "{len}");
    }
}

#[test]
fn refuses_key_identifiers_in_other_forms() {
    let authority = |contents: &'static [u8]| {
        broken_by(raw_extension(oids::AUTHORITY_KEY_ID, false, |w| w.sequence(|w| w.raw(contents))))
    };
    assert_eq!(authority(&[]), "DER_TRUNCATED");
    assert_eq!(authority(&[0x80, 0]), "KEY_IDENTIFIER");
    assert_eq!(authority(&[0x82, 1, 1]), "DER_UNEXPECTED_TAG");
    assert_eq!(authority(&[0x80, 1, 1, 0x82, 1, 1]), "DER_TRAILING_BYTES");
    let subject = raw_extension(oids::SUBJECT_KEY_ID, false, |w| w.value(tag::OCTET_STRING, &[0; 65]));
    assert_eq!(broken_by(subject), "KEY_IDENTIFIER");
}

#[test]
fn refuses_distribution_points_for_partial_or_indirect_lists() {
    let point = |contents: &'static [u8]| {
        broken_by(raw_extension(oids::CRL_DISTRIBUTION_POINTS, false, |w| {
            w.sequence(|w| w.sequence(|w| w.raw(contents)));
        }))
    };
    let full_name = [0xa0, 7, 0xa0, 5, 0x86, 3, b'a', b':', b'b'];
    assert_eq!(point(&[]), "DER_TRUNCATED");
    assert_eq!(point(&[0xa0, 2, 0xa1, 0]), "DER_UNEXPECTED_TAG");
    assert_eq!(point(&[0x81, 2, 0, 1]), "DER_UNEXPECTED_TAG");
    let reasons = raw_extension(oids::CRL_DISTRIBUTION_POINTS, false, |w| {
        w.sequence(|w| w.sequence(|w| w.raw(&[&full_name[..], &[0x81, 2, 0, 1]].concat())));
    });
    assert_eq!(broken_by(reasons), "DER_TRAILING_BYTES");
}

#[test]
fn refuses_policy_qualifiers_that_it_does_not_read() {
    let qualifier = |oid: &'static [u8], contents: &'static [u8]| {
        broken_by(raw_extension(oids::CERTIFICATE_POLICIES, false, |w| {
            w.sequence(|w| {
                w.sequence(|w| {
                    w.known_oid(&[0x2a, 3]);
                    w.sequence(|w| {
                        w.sequence(|w| {
                            w.known_oid(oid);
                            w.raw(contents);
                        });
                    });
                });
            });
        }))
    };
    assert_eq!(qualifier(&[0x2a, 3], &[5, 0]), "POLICY_QUALIFIER");
    assert_eq!(qualifier(oids::QT_USER_NOTICE, &[0x30, 3, 0x16, 1, b'a']), "POLICY_QUALIFIER");
    assert_eq!(qualifier(oids::QT_USER_NOTICE, &[0x30, 0]), "POLICY_QUALIFIER");
    assert_eq!(qualifier(oids::QT_CPS, &[0x16, 1, b'a']), "URI");
    let long = CertificatePolicy {
        oid: oid(&[0x2a, 3]),
        qualifiers: vec![PolicyQualifier::Notice("a".repeat(201))],
    };
    let extension = Extension::non_critical(ExtensionValue::CertificatePolicies(vec![long]));
    assert_eq!(broken_by(extension), "POLICY_QUALIFIER");
}

/// The rule that a CA breaks with this subtree alone.
fn broken_subtree(contents: &[u8]) -> &'static str {
    let mut fields = authority();
    fields.extensions[2] = raw_extension(oids::NAME_CONSTRAINTS, true, |w| {
        w.sequence(|w| w.nested(tag::constructed(0), |w| w.sequence(|w| w.raw(contents))));
    });
    rule(&fields.encode())
}

#[test]
fn refuses_name_constraints_without_one_meaning() {
    let mut fields = authority();
    fields.extensions[2].value = ExtensionValue::NameConstraints(NameConstraints::default());
    assert_eq!(rule(&fields.encode()), "NAME_CONSTRAINTS_EMPTY");
    fields.extensions[2] = raw_extension(oids::NAME_CONSTRAINTS, true, |w| w.raw(&[0x30, 2, 0xa0, 0]));
    assert_eq!(rule(&fields.encode()), "DER_LIST_EMPTY");
    assert_eq!(broken_subtree(&[0x82, 1, b'a', 0x80, 1, 0]), "DER_TRAILING_BYTES");
    assert_eq!(broken_subtree(&[0x82, 2, b'.', b'a']), "DNS_NAME");
    assert_eq!(broken_subtree(&[0x82, 3, b'*', b'.', b'a']), "DNS_NAME");
    assert_eq!(broken_subtree(&[0x86, 3, b'a', b':', b'b']), "URI");
    assert_eq!(broken_subtree(&[0x81, 2, b'@', b'a']), "MAILBOX");
    assert_eq!(broken_subtree(&[0x88, 1, 0x2a]), "GENERAL_NAME_KIND");
    assert_eq!(broken_subtree(&[0x87, 4, 10, 0, 0, 0]), "IP_ADDRESS");
    assert_eq!(broken_subtree(&[0x87, 8, 10, 0, 0, 0, 255, 0, 255, 0]), "IP_ADDRESS");
    assert_eq!(broken_subtree(&[0x87, 8, 10, 1, 0, 0, 255, 0, 0, 0]), "IP_ADDRESS");
}

#[test]
fn refuses_malformed_security_identifiers() {
    let long = format!("S-1{}", "-1".repeat(17));
    for sid in [
        "",
        "S-1-5",
        "S-2-5-1",
        "s-1-5-1",
        "S-1-5-",
        "S-1-05-1",
        "S-1-5-1 ",
        "S-1-5--1",
        "S-1-5-281474976710656",
        &long,
    ] {
        let extension = Extension::non_critical(ExtensionValue::SecurityIdentifier(text(sid)));
        assert_eq!(broken_by(extension), "SECURITY_IDENTIFIER", "{sid}");
    }
}
