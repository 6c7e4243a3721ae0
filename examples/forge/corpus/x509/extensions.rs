//! Where to look and under which policy, and extensions that nobody asked for.

use super::der::{CN, critical, der, directory, dns, extension, int, name, oid, seq, uri, utf8};
use super::{Case, Kind, Row, forged};

pub fn cases() -> Vec<Case> {
    let lists = [
        forged(Kind::Server, "cRLDistributionPoints", CRLS),
        forged(Kind::Server, "authorityInfoAccess", ACCESS),
        forged(Kind::Server, "certificatePolicies", POLICIES),
        forged(Kind::Server, "extension", UNKNOWN),
    ];
    lists.concat()
}

const CRL: &str = "2.5.29.31";

/// One distribution point of these names.
fn crl(names: &[Vec<u8>]) -> Vec<u8> {
    extension(CRL, &seq(&[&seq(&[&der(0xa0, &der(0xa0, &names.concat()))])]))
}

const GOOD_CRL: &str = "http://pki.example.org/ca.crl";

const CRLS: &[Row] = &[
    ("other", "a list that says that nothing is revoked", "R30", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri("http://evil.example/ca.crl")]));
    }),
    ("beside-good", "another list, behind the right one", "R30", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri(GOOD_CRL), uri("http://evil.example/ca.crl")]));
    }),
    ("longer", "a place that begins like the right one", "R30", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri(&format!("{GOOD_CRL}.evil.example"))]));
    }),
    ("file", "a file of the reader's own", "R30", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri("file:///etc/passwd")]));
    }),
    (
        "metadata",
        "a request that the reader makes from within",
        "CWE-918",
        "URL_NOT_ALLOWED by crl_urls",
        |tbs| {
            tbs.add("cRLDistributionPoints", crl(&[uri("http://169.254.169.254/latest")]));
        },
    ),
    ("directory", "a place in a directory", "R30", "URL_NOT_ALLOWED by crl_urls", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[directory(&name(&[(CN, "crl")]))]));
    }),
    ("space", "a URL with a space", "RFC 3986 §2", "URI", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri("http://pki.example.org/ca crl")]));
    }),
    ("relative", "a URL without a scheme", "RFC 5280 §4.2.1.6", "URI", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri("/ca.crl")]));
    }),
    ("newline", "a URL with a second line", "B2", "DER_STRING_CONTROL", |tbs| {
        tbs.add("cRLDistributionPoints", crl(&[uri("http://pki.example.org/\r\nHost: x")]));
    }),
    ("indirect", "a list of somebody else", "RFC 5280 §5.2.5", "DER_TRAILING_BYTES", |tbs| {
        let point =
            seq(&[&der(0xa0, &der(0xa0, &uri(GOOD_CRL))), &der(0xa2, &directory(&name(&[(CN, "evil")])))]);
        tbs.add("cRLDistributionPoints", extension(CRL, &seq(&[&point])));
    }),
    ("reasons", "a list of some reasons alone", "RFC 5280 §4.2.1.13", "DER_TRAILING_BYTES", |tbs| {
        let point = seq(&[&der(0xa0, &der(0xa0, &uri(GOOD_CRL))), &der(0x81, &[6, 0x40])]);
        tbs.add("cRLDistributionPoints", extension(CRL, &seq(&[&point])));
    }),
    ("no-name", "a place without a name", "RFC 5280 §4.2.1.13", "DER_TRUNCATED", |tbs| {
        tbs.add("cRLDistributionPoints", extension(CRL, &seq(&[&seq(&[])])));
    }),
];

const AIA: &str = "1.3.6.1.5.5.7.1.1";
const OCSP: &str = "1.3.6.1.5.5.7.48.1";
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

fn access(method: &str, location: &[u8]) -> Vec<u8> {
    extension(AIA, &seq(&[&seq(&[&oid(method), location])]))
}

const ACCESS: &[Row] = &[
    ("other-ocsp", "a responder that says that all is good", "R30", "URL_NOT_ALLOWED by ocsp_urls", |tbs| {
        tbs.add("authorityInfoAccess", access(OCSP, &uri("http://evil.example")));
    }),
    ("other-issuer", "another CA certificate", "R30", "URL_NOT_ALLOWED by ca_issuers_urls", |tbs| {
        tbs.add("authorityInfoAccess", access(CA_ISSUERS, &uri("http://evil.example/ca.der")));
    }),
    (
        "crossed",
        "the CA certificate's place for the responder's",
        "R30",
        "URL_NOT_ALLOWED by ocsp_urls",
        |tbs| {
            tbs.add("authorityInfoAccess", access(OCSP, &uri("http://pki.example.org/ca.der")));
        },
    ),
    ("other-method", "a method that nobody knows", "-", "URL_NOT_ALLOWED by ca_issuers_urls", |tbs| {
        tbs.add("authorityInfoAccess", access("1.3.6.1.5.5.7.48.3", &uri("http://evil.example")));
    }),
    ("dns", "a responder without a URL", "RFC 5280 §4.2.2.1", "URL_NOT_ALLOWED by ocsp_urls", |tbs| {
        tbs.add("authorityInfoAccess", access(OCSP, &dns("ocsp.example.org")));
    }),
    ("critical", "places that readers must look at", "RFC 5280 §4.2.2.1", "EXTENSION_CRITICALITY", |tbs| {
        tbs.add(
            "authorityInfoAccess",
            critical(AIA, &seq(&[&seq(&[&oid(OCSP), &uri("http://ocsp.example.org")])])),
        );
    }),
    ("empty", "no place", "RFC 5280 §4.2.2.1", "DER_LIST_EMPTY", |tbs| {
        tbs.add("authorityInfoAccess", extension(AIA, &seq(&[])));
    }),
];

const POLICY: &str = "2.5.29.32";

fn policy(parts: &[&[u8]]) -> Vec<u8> {
    extension(POLICY, &seq(&[&seq(parts)]))
}

const POLICIES: &[Row] = &[
    (
        "other",
        "a policy that the profile does not list",
        "R11",
        "CERTIFICATE_POLICY_NOT_ALLOWED by policies",
        |tbs| {
            tbs.add("certificatePolicies", policy(&[&oid("2.23.140.1.1")]));
        },
    ),
    ("any", "every policy", "RFC 5280 §4.2.1.4", "CERTIFICATE_POLICY_NOT_ALLOWED by policies", |tbs| {
        tbs.add("certificatePolicies", policy(&[&oid("2.5.29.32.0")]));
    }),
    (
        "qualifier",
        "text that readers show to people",
        "RFC 5280 §4.2.1.4",
        "CERTIFICATE_POLICY_NOT_ALLOWED by policies",
        |tbs| {
            let cps = seq(&[&oid("1.3.6.1.5.5.7.2.1"), &der(0x16, b"https://evil.example")]);
            tbs.add("certificatePolicies", policy(&[&oid("1.3.6.1.4.1.99999.1"), &seq(&[&cps])]));
        },
    ),
    ("unknown-qualifier", "a qualifier that nobody knows", "RFC 5280 §4.2.1.4", "POLICY_QUALIFIER", |tbs| {
        let unknown = seq(&[&oid("1.3.6.1.4.1.99999.6"), &utf8("x")]);
        tbs.add("certificatePolicies", policy(&[&oid("1.3.6.1.4.1.99999.1"), &seq(&[&unknown])]));
    }),
    ("twice", "one policy twice", "RFC 5280 §4.2.1.4", "ITEM_DUPLICATE", |tbs| {
        let one = seq(&[&oid("1.3.6.1.4.1.99999.1")]);
        tbs.add("certificatePolicies", extension(POLICY, &seq(&[&one, &one])));
    }),
    ("empty", "no policy", "RFC 5280 §4.2.1.4", "DER_LIST_EMPTY", |tbs| {
        tbs.add("certificatePolicies", extension(POLICY, &seq(&[])));
    }),
];

const UNKNOWN: &[Row] = &[
    (
        "unknown",
        "an extension that nobody asked for",
        "R13",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("unknown", extension("1.3.6.1.4.1.99999.3", &[5, 0]));
        },
    ),
    (
        "unknown-critical",
        "an extension that readers must understand",
        "RFC 5280 §4.2",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.add("unknown", critical("1.3.6.1.4.1.99999.3", &[5, 0]));
        },
    ),
    (
        "listed-critical",
        "one that the profile lists, but critical",
        "RFC 5280 §4.2",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.add("listed", critical("1.3.6.1.4.1.99999.2", &[5, 0]));
        },
    ),
    (
        "listed-other-value",
        "one that the profile lists, with another value",
        "R13",
        "EXTENSION_VALUE_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("listed", extension("1.3.6.1.4.1.99999.2", &int(&[1])));
        },
    ),
    (
        "must-staple",
        "a feature that the profile does not allow",
        "RFC 7633",
        "EXTENSION_NOT_ALLOWED by must_staple",
        |tbs| {
            tbs.add("tlsFeature", extension("1.3.6.1.5.5.7.1.24", &seq(&[&int(&[5])])));
        },
    ),
    (
        "tls-feature-17",
        "a feature that no profile allows",
        "RFC 7633",
        "EXTENSION_NOT_ALLOWED by must_staple",
        |tbs| {
            tbs.add("tlsFeature", extension("1.3.6.1.5.5.7.1.24", &seq(&[&int(&[17])])));
        },
    ),
    (
        "precertificate",
        "the poison of a precertificate, without which it is a certificate",
        "RFC 6962 §3.1",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            tbs.add("poison", critical("1.3.6.1.4.1.11129.2.4.3", &[5, 0]));
        },
    ),
    (
        "timestamps",
        "signatures of logs that have not seen it",
        "RFC 6962 §3.3",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("timestamps", extension("1.3.6.1.4.1.11129.2.4.2", &super::der::octets(&[0, 0])));
        },
    ),
    (
        "policy-mappings",
        "one policy for another",
        "CVE-2023-0464",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            let mapping = seq(&[&oid("1.3.6.1.4.1.99999.1"), &oid("2.23.140.1.1")]);
            tbs.add("policyMappings", extension("2.5.29.33", &seq(&[&mapping])));
        },
    ),
    (
        "netscape-type",
        "a CA, for readers of the last century",
        "CVE-2002-0862",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("netscapeCertType", extension("2.16.840.1.113730.1.1", &der(3, &[0, 0x07])));
        },
    ),
    (
        "proxy",
        "a certificate whose owner may certify others",
        "RFC 3820",
        "EXTENSION_UNKNOWN_CRITICAL",
        |tbs| {
            let policy = seq(&[&oid("1.3.6.1.5.5.7.21.1")]);
            tbs.add("proxyCertInfo", critical("1.3.6.1.5.5.7.1.14", &seq(&[&policy])));
        },
    ),
    (
        "name-constraints",
        "constraints in a leaf",
        "RFC 5280 §4.2.1.10",
        "NAME_CONSTRAINTS_WITHOUT_CA",
        |tbs| {
            tbs.add("nameConstraints", super::constraints(&[dns("example.org")], &[]));
        },
    ),
    (
        "smart-card-template",
        "the template of another enterprise's domain controller",
        "CVE-2022-26923",
        "EXTENSION_NOT_ALLOWED by extension_values",
        |tbs| {
            tbs.add("certificateTemplate", extension("1.3.6.1.4.1.311.20.2", &der(0x1e, b"\0D\0C")));
        },
    ),
    (
        "no-check",
        "ocsp-nocheck in a server's certificate: no list revokes it",
        "RFC 6960 §4.2.2.2.1",
        "CERTIFICATE_KIND_MISMATCH by signs",
        |tbs| {
            tbs.add("ocspNoCheck", extension("1.3.6.1.5.5.7.48.1.5", &[5, 0]));
        },
    ),
];
