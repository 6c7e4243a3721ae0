//! One certificate of each kind, with all that its profile allows; and what OpenSSL makes of it.

use countersign::ledger::Entry;
use countersign_tbs::der::oids;
use countersign_tbs::ocsp::public_key_bits;
use countersign_tbs::signature::Scheme;
use countersign_tbs::x509::{
    AccessDescription, BasicConstraints, CertificateBuilder, CertificatePolicy, DistributionPoint, Extension,
    ExtensionValue, GeneralName, IpPrefix, KeyId, KeyUsage, NameConstraints, Subtree, TbsCertificate,
};

use super::{ISSUER, sign};
use crate::ca::{
    self, certificate, leaf_under, make_key, name, oid, openssl, under, verify, words, x509_request,
};
use crate::site::{FRONT_END, Site};

const PROFILES: &str = r#"
[key.issuing-ca.allow.tls-server]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "tls-server"
dns_names = ["www.example.org"]
wildcard_dns_names = ["*.apps.example.org"]
ip_addresses = ["2001:db8::/32"]
policies = ["1.3.6.1.4.1.99999.1"]
crl_urls = ["http://pki.example.org/ca.crl"]
ocsp_urls = ["http://ocsp.example.org"]
ca_issuers_urls = ["http://pki.example.org/ca.der"]
must_staple = true
max_lifetime = "2h"

[key.issuing-ca.allow.tls-server.extension_values]
"1.3.6.1.4.1.99999.2" = ["0500"]

[key.issuing-ca.allow.tls-client]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "tls-client"
email_addresses = ["alice@example.org"]
subject = { O = ["Example"], CN = ["alice"] }
max_lifetime = "2h"

[key.issuing-ca.allow.mtls-service]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "mtls-service"
uris = ["spiffe://example.org/ns/*/sa/web"]
dns_names = ["web.prod.example.org"]
max_lifetime = "2h"

[key.issuing-ca.allow.smart-card-logon]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "smart-card-logon"
user_principal_names = ["alice@corp.example"]
security_identifiers = ["S-1-5-21-1004336348-1177238915-682003330-*"]
subject = { CN = ["alice"] }
max_lifetime = "2h"

[key.issuing-ca.allow.code-signing]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "code-signing"
subject = { CN = ["release pipeline"] }
max_lifetime = "2h"

[key.issuing-ca.allow.ocsp-responder]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "ocsp-responder"
subject = { CN = ["responder"] }
max_lifetime = "2h"

[key.issuing-ca.allow.intermediate-ca]
callers = ["spiffe://countersign.example/front-end"]
budget = "100000/h"
signs = "intermediate-ca"
max_path_length = 0
permitted_names = ["dns:example.org", "ip:192.0.2.0/24"]
excluded_names = ["dns:secret.example.org"]
subject = { CN = ["subordinate"] }
max_lifetime = "2h"
"#;

const SCHEME: Scheme = Scheme::EcdsaP256Sha256;

/// A leaf of this kind, of the key `KIND.key`: its subject's common name, its purposes and names, and what else it has.
struct Leaf {
    kind: &'static str,
    common_name: &'static str,
    purposes: &'static [&'static [u8]],
    names: Vec<GeneralName>,
    more: Vec<ExtensionValue>,
    /// As `openssl x509 -text` shows it.
    shown: &'static [&'static str],
    /// For `openssl verify`, all of which hold.
    holds: &'static [&'static str],
    /// For `openssl verify`, each of which does not.
    fails: &'static [&'static str],
}

fn leaves() -> [Leaf; 6] {
    use ExtensionValue as Value;
    let dns = |name: &str| GeneralName::Dns(name.to_owned());
    let uri = |uri: &str| GeneralName::Uri(uri.to_owned());
    let access = |method, url| AccessDescription { method: oid(method), location: uri(url) };
    let leaf = |kind, common_name, purposes| Leaf {
        kind,
        common_name,
        purposes,
        names: Vec::new(),
        more: Vec::new(),
        shown: &[],
        holds: &[],
        fails: &["-purpose sslserver", "-purpose sslclient"],
    };
    [
        Leaf {
            names: vec![
                dns("www.example.org"),
                dns("*.apps.example.org"),
                GeneralName::Ip("2001:db8::7".parse().unwrap()),
            ],
            more: vec![
                Value::CrlDistributionPoints(vec![DistributionPoint {
                    full_name: vec![uri("http://pki.example.org/ca.crl")],
                }]),
                Value::AuthorityInfoAccess(vec![
                    access(oids::AD_OCSP, "http://ocsp.example.org"),
                    access(oids::AD_CA_ISSUERS, "http://pki.example.org/ca.der"),
                ]),
                Value::CertificatePolicies(vec![CertificatePolicy {
                    oid: dotted("1.3.6.1.4.1.99999.1"),
                    qualifiers: Vec::new(),
                }]),
                Value::TlsFeature(vec![5]),
                Value::Unknown { oid: dotted("1.3.6.1.4.1.99999.2"), value: vec![5, 0] },
            ],
            shown: &[
                "X509v3 Subject Alternative Name: critical",
                "DNS:*.apps.example.org",
                "URI:http://pki.example.org/ca.crl",
                "OCSP - URI:http://ocsp.example.org",
                "CA Issuers - URI:http://pki.example.org/ca.der",
                "Policy: 1.3.6.1.4.1.99999.1",
                "status_request",
                "1.3.6.1.4.1.99999.2",
            ],
            holds: &["-purpose sslserver -verify_hostname shop.apps.example.org", "-verify_ip 2001:db8::7"],
            fails: &["-purpose sslclient", "-verify_hostname a.b.apps.example.org"],
            ..leaf("tls-server", "", &[oids::SERVER_AUTH])
        },
        Leaf {
            names: vec![GeneralName::Email("alice@example.org".to_owned())],
            shown: &["Subject: CN = alice", "email:alice@example.org", "TLS Web Client Authentication"],
            holds: &["-purpose sslclient -verify_email alice@example.org"],
            fails: &["-purpose sslserver", "-verify_email bob@example.org"],
            ..leaf("tls-client", "alice", &[oids::CLIENT_AUTH])
        },
        Leaf {
            names: vec![uri("spiffe://example.org/ns/prod/sa/web"), dns("web.prod.example.org")],
            shown: &["URI:spiffe://example.org/ns/prod/sa/web", "X509v3 Subject Alternative Name: critical"],
            holds: &["-purpose sslclient", "-purpose sslserver -verify_hostname web.prod.example.org"],
            fails: &["-verify_hostname web.test.example.org"],
            ..leaf("mtls-service", "", &[oids::CLIENT_AUTH, oids::SERVER_AUTH])
        },
        Leaf {
            names: vec![GeneralName::UserPrincipalName("alice@corp.example".to_owned())],
            more: vec![Value::SecurityIdentifier("S-1-5-21-1004336348-1177238915-682003330-512".to_owned())],
            shown: &[
                "UPN::alice@corp.example",
                "Microsoft Smartcard Login",
                "1.3.6.1.4.1.311.25.2",
                "S-1-5-21-1004336348-1177238915-682003330-512",
            ],
            holds: &["-purpose sslclient"],
            fails: &["-purpose sslserver"],
            ..leaf("smart-card-logon", "alice", &[oids::CLIENT_AUTH, oids::SMART_CARD_LOGON])
        },
        Leaf {
            shown: &["Code Signing", "Subject: CN = release pipeline"],
            ..leaf("code-signing", "release pipeline", &[oids::CODE_SIGNING])
        },
        Leaf {
            more: vec![Value::OcspNoCheck],
            shown: &["OCSP Signing", "OCSP No Check"],
            holds: &["-purpose ocsphelper"],
            ..leaf("ocsp-responder", "responder", &[oids::OCSP_SIGNING])
        },
    ]
}

fn dotted(text: &str) -> countersign_tbs::der::Oid {
    countersign_tbs::der::Oid::from_dotted(text).unwrap()
}

/// The certificate of `leaf`.
fn build(site: &Site, ca: &TbsCertificate, leaf: &Leaf) -> TbsCertificate {
    let purposes = leaf.purposes.iter().map(|purpose| oid(purpose)).collect();
    let mut builder =
        leaf_under(ca, SCHEME, make_key(site, leaf.kind), leaf.common_name).ext_key_usage(purposes);
    if !leaf.names.is_empty() {
        builder = builder.subject_alt_names(leaf.names.clone());
    }
    let more = leaf.more.iter().cloned().map(Extension::non_critical);
    more.fold(builder, CertificateBuilder::extension).build().unwrap()
}

/// The profile by which each certificate was signed, oldest first.
fn profiles(site: &Site) -> Vec<String> {
    let rules = site.entries().into_iter().filter_map(|entry| match entry {
        Entry::Intent { rule, .. } => Some(rule),
        _ => None,
    });
    rules.map(|rule| rule.strip_prefix("key.issuing-ca.allow.").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn openssl_accepts_a_certificate_of_each_kind_for_that_alone() {
    let site = ca::site(&[&ca::key(ISSUER, SCHEME), PROFILES].concat());
    let daemon = site.serve();
    let ca = certificate(&site, ISSUER);
    let leaves = leaves();
    for leaf in &leaves {
        let kind = leaf.kind;
        sign(&site, &daemon, ISSUER, &build(&site, ca.tbs(), leaf), kind).await;
        verify(&site, kind, &[ISSUER], "").unwrap();
        for options in leaf.holds {
            verify(&site, kind, &[ISSUER], options).unwrap_or_else(|said| panic!("{kind} {options}: {said}"));
        }
        for options in leaf.fails {
            verify(&site, kind, &[ISSUER], options).expect_err(&format!("{kind} {options}"));
        }
        let shown = openssl(&site, &words(&format!("x509 -in {kind}.pem -noout -text")));
        for wanted in leaf.shown {
            assert!(shown.contains(wanted), "{kind}: {wanted} is not in:\n{shown}");
        }
    }
    assert_eq!(profiles(&site), leaves.map(|leaf| leaf.kind));
}

#[tokio::test]
async fn no_kind_but_a_responder_goes_without_revocation_checks() {
    let site = ca::site(&[&ca::key(ISSUER, SCHEME), PROFILES].concat());
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await;
    let ca = certificate(&site, ISSUER);
    for mut leaf in leaves().into_iter().filter(|leaf| leaf.kind != "ocsp-responder") {
        leaf.more.push(ExtensionValue::OcspNoCheck);
        let tbs = build(&site, ca.tbs(), &leaf);
        let error = client.sign(x509_request(ISSUER, tbs.as_bytes())).await.expect_err(leaf.kind);
        // That of the profile that came furthest, which may be the responder's.
        assert!(
            error.rule.as_deref().is_some_and(|rule| rule.starts_with("key.issuing-ca.allow.")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_intermediate_ca_certifies_within_its_constraints_alone() {
    let site = ca::site(&[&ca::key(ISSUER, SCHEME), PROFILES].concat());
    let daemon = site.serve();
    let ca = certificate(&site, ISSUER);
    let key = make_key(&site, "subordinate");
    let key_id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public_key_bits(&key));
    let subtree = |text| Subtree::from_text(text).unwrap();
    let constraints = NameConstraints {
        permitted: vec![
            subtree("dns:example.org"),
            Subtree::Ip(IpPrefix::new([192, 0, 2, 0].into(), 24).unwrap()),
        ],
        excluded: vec![subtree("dns:secret.example.org")],
    };
    let tbs = under(ca.tbs(), SCHEME, key)
        .subject(name("subordinate"))
        .basic_constraints(BasicConstraints::Ca { path_len: Some(0) })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .subject_key_id(KeyId::new(&key_id.as_ref()[..20]).unwrap())
        .extension(Extension::critical(ExtensionValue::NameConstraints(constraints)));
    sign(&site, &daemon, ISSUER, &tbs.build().unwrap(), "subordinate").await;
    assert_eq!(profiles(&site), ["intermediate-ca"]);
    verify(&site, "subordinate", &[ISSUER], "").unwrap();
    let shown = openssl(&site, &words("x509 -in subordinate.pem -noout -text"));
    assert!(shown.contains("CA:TRUE, pathlen:0"), "{shown}");

    make_key(&site, "leaf");
    openssl(&site, &words("req -new -key leaf.key -subj /CN=leaf -out leaf.csr"));
    let cas = ["subordinate", ISSUER];
    for within in ["DNS:www.example.org", "DNS:example.org,IP:192.0.2.200"] {
        issue_below(&site, within, "CA:FALSE");
        verify(&site, "below", &cas, "").unwrap_or_else(|said| panic!("{within}: {said}"));
    }
    for outside in ["DNS:www.example.com", "DNS:www.example.org,IP:192.0.3.1", "DNS:a.secret.example.org"] {
        issue_below(&site, outside, "CA:FALSE");
        let said = verify(&site, "below", &cas, "").expect_err(outside);
        assert!(
            said.contains("permitted subtree violation") || said.contains("excluded subtree violation"),
            "{said}"
        );
    }

    issue_below(&site, "DNS:ca.example.org", "CA:TRUE");
    std::fs::rename(site.path("below.pem"), site.path("third.pem")).unwrap();
    make_key(&site, "deep");
    openssl(&site, &words("req -new -key deep.key -subj /CN=deep -out deep.csr"));
    let issue =
        "x509 -req -in deep.csr -CA third.pem -CAkey leaf.key -extfile below.ext -days 1 -out below.pem";
    openssl(&site, &words(issue));
    let said = verify(&site, "below", &["third", "subordinate", ISSUER], "").unwrap_err();
    assert!(said.contains("path length constraint exceeded"), "{said}");
}

/// `below.pem`: a certificate for `leaf.key` that the subordinate CA issued, by openssl.
fn issue_below(site: &Site, names: &str, constraints: &str) {
    let usage = if constraints == "CA:TRUE" { "keyCertSign" } else { "digitalSignature" };
    let extensions = format!(
        "basicConstraints=critical,{constraints}\nkeyUsage=critical,{usage}\nsubjectAltName={names}\n\
         subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid"
    );
    std::fs::write(site.path("below.ext"), extensions).unwrap();
    let issue = "x509 -req -in leaf.csr -CA subordinate.pem -CAkey subordinate.key -extfile below.ext -days 1 -out below.pem";
    openssl(site, &words(issue));
}
