//! Says what our reader reads, in the words of `read.py`.

use countersign_tbs::der::{Oid, StringKind};
use countersign_tbs::key::ParameterSet;
use countersign_tbs::x509::{
    BasicConstraints, Extension, ExtensionValue, GeneralName, Name, PolicyQualifier, PssHash,
    SignatureAlgorithm, Subtree, TbsCertificate,
};

pub(crate) fn describe(tbs: &TbsCertificate) -> Vec<String> {
    let validity = tbs.validity();
    let mut lines = vec![
        format!("serial {}", tbs.serial().to_string().trim_start_matches('0')),
        format!("algorithm {}", algorithm(tbs.signature_algorithm())),
        format!("issuer {}", name(tbs.issuer())),
        format!("validity {} {}", validity.not_before.unix_secs(), validity.not_after.unix_secs()),
        format!("subject {}", name(tbs.subject())),
        format!("key {}", hex(&tbs.public_key().to_spki_der())),
    ];
    lines.extend(tbs.extensions().iter().map(|one| {
        let critical = if one.critical { "True" } else { "False" };
        let oid = Oid::from_contents(one.oid()).unwrap();
        format!("extension {oid} {critical} {}", extension(one)).trim_end().to_owned()
    }));
    lines
}

fn hex(bytes: &[u8]) -> String {
    joined(bytes, "", |byte| format!("{byte:02x}"))
}

fn joined<T>(items: &[T], separator: &str, show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(separator)
}

fn algorithm(algorithm: SignatureAlgorithm) -> String {
    let (oid, hash) = match algorithm {
        SignatureAlgorithm::EcdsaSha256 => ("1.2.840.10045.4.3.2", "sha256"),
        SignatureAlgorithm::EcdsaSha384 => ("1.2.840.10045.4.3.3", "sha384"),
        SignatureAlgorithm::EcdsaSha512 => ("1.2.840.10045.4.3.4", "sha512"),
        SignatureAlgorithm::Ed25519 => ("1.3.101.112", "None"),
        SignatureAlgorithm::RsaPkcs1Sha256 => ("1.2.840.113549.1.1.11", "sha256"),
        SignatureAlgorithm::RsaPkcs1Sha384 => ("1.2.840.113549.1.1.12", "sha384"),
        SignatureAlgorithm::RsaPkcs1Sha512 => ("1.2.840.113549.1.1.13", "sha512"),
        SignatureAlgorithm::RsaPss(PssHash::Sha256) => ("1.2.840.113549.1.1.10", "sha256"),
        SignatureAlgorithm::RsaPss(PssHash::Sha384) => ("1.2.840.113549.1.1.10", "sha384"),
        SignatureAlgorithm::RsaPss(PssHash::Sha512) => ("1.2.840.113549.1.1.10", "sha512"),
        SignatureAlgorithm::MlDsa(ParameterSet::MlDsa44) => ("2.16.840.1.101.3.4.3.17", "None"),
        SignatureAlgorithm::MlDsa(ParameterSet::MlDsa65) => ("2.16.840.1.101.3.4.3.18", "None"),
        SignatureAlgorithm::MlDsa(ParameterSet::MlDsa87) => ("2.16.840.1.101.3.4.3.19", "None"),
    };
    format!("{oid} {hash}")
}

fn name(name: &Name) -> String {
    joined(name.rdns(), "/", |rdn| {
        let mut attributes: Vec<_> = rdn
            .iter()
            .map(|attribute| {
                let kind = match attribute.kind() {
                    StringKind::Utf8 => "UTF8String",
                    StringKind::Printable => "PrintableString",
                    StringKind::Ia5 => "IA5String",
                };
                format!("{}={kind}:{}", attribute.oid(), attribute.value())
            })
            .collect();
        attributes.sort();
        attributes.join("+")
    })
}

fn general_name(value: &GeneralName) -> String {
    match value {
        GeneralName::Dns(text) => format!("dns:{text}"),
        GeneralName::Uri(text) => format!("uri:{text}"),
        GeneralName::Email(text) => format!("email:{text}"),
        GeneralName::Ip(address) => format!("ip:{address}"),
        GeneralName::Directory(value) => format!("directory:{}", name(value)),
        GeneralName::UserPrincipalName(text) => format!("other:1.3.6.1.4.1.311.20.2.3:{text}"),
    }
}

fn names(values: &[GeneralName]) -> String {
    joined(values, " ", general_name)
}

fn subtrees(values: &[Subtree]) -> String {
    joined(values, " ", |subtree| match subtree {
        Subtree::Dns(text) => format!("dns:{text}"),
        Subtree::Uri(text) => format!("uri:{text}"),
        Subtree::Email(text) => format!("email:{text}"),
        Subtree::Ip(prefix) => format!("ip:{}/{}", prefix.address(), prefix.prefix_len()),
        Subtree::Directory(value) => format!("directory:{}", name(value)),
    })
}

fn extension(extension: &Extension) -> String {
    match &extension.value {
        ExtensionValue::BasicConstraints(BasicConstraints::Leaf) => "False None".to_owned(),
        ExtensionValue::BasicConstraints(BasicConstraints::Ca { path_len }) => {
            format!("True {}", path_len.map_or("None".to_owned(), |len| len.to_string()))
        }
        ExtensionValue::KeyUsage(usage) => usage.to_string().replace(", ", " "),
        ExtensionValue::ExtKeyUsage(purposes) => joined(purposes, " ", Oid::to_string),
        ExtensionValue::SubjectAltName(values) => names(values),
        ExtensionValue::AuthorityKeyId(id) | ExtensionValue::SubjectKeyId(id) => hex(id.as_bytes()),
        ExtensionValue::CrlDistributionPoints(points) => {
            joined(points, " | ", |point| names(&point.full_name))
        }
        ExtensionValue::AuthorityInfoAccess(items) => {
            joined(items, " ", |item| format!("{}@{}", item.method, general_name(&item.location)))
        }
        ExtensionValue::CertificatePolicies(policies) => joined(policies, " | ", |policy| {
            let qualifiers = policy.qualifiers.iter().map(|qualifier| match qualifier {
                PolicyQualifier::Cps(uri) => format!("cps:{uri}"),
                PolicyQualifier::Notice(text) => format!("notice:{text}"),
            });
            [policy.oid.to_string()].into_iter().chain(qualifiers).collect::<Vec<_>>().join(" ")
        }),
        ExtensionValue::NameConstraints(constraints) => {
            format!("{} | {}", subtrees(&constraints.permitted), subtrees(&constraints.excluded))
        }
        ExtensionValue::SecurityIdentifier(sid) => sid.clone(),
        ExtensionValue::OcspNoCheck => String::new(),
        ExtensionValue::TlsFeature(features) => joined(features, " ", u16::to_string),
        ExtensionValue::Unknown { value, .. } => hex(value),
    }
}
