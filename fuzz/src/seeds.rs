//! Inputs that parse, for each target: made by the builders, so that no binary file is committed.
//!
//! Every optional part of each format is in at least one of them. Signatures have the right form, and verify under no key.
#![allow(clippy::unwrap_used, reason = "these values are constants")]

use countersign::agent::codec::{Request, SignRequest};
use countersign::ledger::Entry;
use countersign::ledger::entry::{
    Asked, AskedTbs, CaKey, Outcome, RevocationReason, Revoked, RotationStep, UnixMillis,
};
use countersign::provision::{
    self, Attestation, Format, How, Module, Operator, Place, Public, Record, Token,
};
use countersign_tbs::crl::{
    CrlBuilder, CrlNumber, EntryExtension, IssuingDistributionPoint, Reason, RevokedEntry, Scope,
    TbsCertList, Updates,
};
use countersign_tbs::csr::RequestBuilder;
use countersign_tbs::der::{Oid, StringKind, Time, oids};
use countersign_tbs::key::{Curve, EcPoint, MlDsaPublicKey, ParameterSet, PublicKey, RsaPublicKey};
use countersign_tbs::krl::{Certificates, Krl, Section};
use countersign_tbs::ocsp::{
    CertId, CertStatus, HashParameters, IssuerHashes, Nonce, ResponderId, ResponseBuilder, SingleResponse,
};
use countersign_tbs::signature::{self, Scheme};
use countersign_tbs::ssh::{CertificateBuilder as SshBuilder, CertificateTbs, CertificateType, SubjectKey};
use countersign_tbs::sshsig::{MessageHash, Raw, SshSignature};
use countersign_tbs::x509::{
    AccessDescription, Attribute, BasicConstraints, CertificateBuilder, CertificatePolicy, DistributionPoint,
    Extension, ExtensionValue, GeneralName, IpPrefix, KeyId, KeyUsage, Name, NameConstraints,
    PolicyQualifier, SerialNumber, SignatureAlgorithm, Subtree, TbsCertificate, Validity,
};

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
tls_certificate = "tls.crt"
tls_key = "tls.key"
client_ca = "ca.crt"

[ledger]
path = "log.sqlite"
origin = "test.example/log"

[token.one]
module = "/module.so"
label = "one"
pin_file = "pin"

[key.user-ca]
purpose = "ssh-user-ca"
scheme = "ed25519"
token = "one"

[key.user-ca.allow.staff]
callers = ["uid:1000", "spiffe://example.org/ca"]
principals = ["alice", "deploy-*"]
max_lifetime = "1h"
budget = "500/h"
extensions = ["permit-pty"]

[key.user-ca.allow.staff.critical_options]
force-command = ["/usr/bin/backup --job=*"]
source-address = ["10.0.0.0/8", "2001:db8::/32"]
"#;

fn point(curve: Curve) -> EcPoint {
    EcPoint::new(curve, [vec![4], vec![0x5a; 2 * curve.field_len()]].concat()).unwrap()
}

/// Of each algorithm that SSH has.
fn public_keys() -> [PublicKey; 5] {
    let modulus = [vec![0x80], vec![0x5a; 254], vec![1]].concat();
    [
        PublicKey::Ed25519([0x5a; 32]),
        PublicKey::Ecdsa(point(Curve::P256)),
        PublicKey::Ecdsa(point(Curve::P384)),
        PublicKey::Ecdsa(point(Curve::P521)),
        PublicKey::Rsa(RsaPublicKey::new(modulus, vec![1, 0, 1]).unwrap()),
    ]
}

/// Those, and one that only X.509 has.
fn x509_keys() -> Vec<PublicKey> {
    let parameters = ParameterSet::MlDsa44;
    let ml_dsa = MlDsaPublicKey::new(parameters, vec![0x5a; parameters.public_key_len()]).unwrap();
    public_keys().into_iter().chain([PublicKey::MlDsa(ml_dsa)]).collect()
}

fn subject_keys() -> Vec<SubjectKey> {
    let application = "ssh:".to_owned();
    let security_keys = [
        SubjectKey::SkEd25519 { key: [0x5a; 32], application: application.clone() },
        SubjectKey::SkEcdsaP256 { point: point(Curve::P256), application },
    ];
    public_keys().into_iter().map(SubjectKey::Plain).chain(security_keys).collect()
}

/// A raw signature of the right form.
fn raw(scheme: Scheme) -> Vec<u8> {
    let len = match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::Ed25519 => 64,
        Scheme::EcdsaP384Sha384 => 96,
        Scheme::EcdsaP521Sha512 => 132,
        Scheme::RsaPkcs1Sha256
        | Scheme::RsaPkcs1Sha512
        | Scheme::RsaPkcs1Sha384
        | Scheme::RsaPssSha256
        | Scheme::RsaPssSha384
        | Scheme::RsaPssSha512 => 256,
        Scheme::MlDsa44 => 2420,
        Scheme::MlDsa65 => 3309,
        Scheme::MlDsa87 => 4627,
    };
    vec![0xa5; len]
}

fn ssh_tbs_list() -> Vec<CertificateTbs> {
    let [ed25519, p256, ..] = public_keys();
    let user = |key| {
        SshBuilder::new(CertificateType::User, key, p256.clone())
            .serial(42)
            .key_id("alice@example")
            .principal("alice")
            .principal("deploy-web")
            .valid_after(1_800_000_000)
            .valid_before(1_800_000_600)
            .critical_option("force-command", Some("/usr/bin/backup"))
            .critical_option("source-address", Some("10.0.0.0/8,::1"))
            .critical_option("verify-required", None)
            .extension("permit-pty", None)
            .extension("login@example.org", Some("value"))
    };
    let host = SshBuilder::new(CertificateType::Host, SubjectKey::Plain(p256.clone()), ed25519)
        .serial(1)
        .principal("host.example.org")
        .valid_after(0)
        .valid_before(u64::MAX);
    subject_keys().into_iter().map(user).chain([host]).map(|builder| builder.build().unwrap()).collect()
}

pub(crate) fn ssh_tbs() -> Vec<Vec<u8>> {
    ssh_tbs_list().iter().map(|tbs| tbs.as_bytes().to_vec()).collect()
}

pub(crate) fn ssh_certificate() -> Vec<Vec<u8>> {
    let finished = |tbs: &CertificateTbs| {
        let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.fits(tbs.ca_key())).unwrap();
        tbs.certificate(scheme, &raw(scheme)).unwrap()
    };
    ssh_tbs_list().iter().map(finished).collect()
}

pub(crate) fn ssh_public_key() -> Vec<Vec<u8>> {
    subject_keys().iter().map(SubjectKey::to_wire).collect()
}

pub(crate) fn ssh_public_key_line() -> Vec<Vec<u8>> {
    public_keys().iter().map(|key| key.to_openssh_line("alice@example").unwrap().into_bytes()).collect()
}

pub(crate) fn ssh_signature_blob() -> Vec<Vec<u8>> {
    Scheme::ALL
        .into_iter()
        .filter_map(|scheme| signature::ssh_signature_blob(scheme, &raw(scheme)).ok())
        .collect()
}

pub(crate) fn sshsig() -> Vec<Vec<u8>> {
    let of = |key: SubjectKey| {
        let raw = match &key {
            SubjectKey::Plain(plain) => {
                let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.fits(plain)).unwrap();
                Raw::Plain { scheme, bytes: raw(scheme) }
            }
            SubjectKey::SkEd25519 { .. } | SubjectKey::SkEcdsaP256 { .. } => {
                Raw::SecurityKey { bytes: raw(Scheme::Ed25519), flags: 5, counter: 41 }
            }
        };
        let namespace = "file".to_owned();
        SshSignature { public_key: key, namespace, hash: MessageHash::Sha512, raw }
    };
    let signatures: Vec<_> = subject_keys().into_iter().map(of).collect();
    let blobs = signatures.iter().map(|signature| signature.encode().unwrap());
    blobs.chain(signatures.iter().map(|signature| signature.to_armored().unwrap().into_bytes())).collect()
}

pub(crate) fn provisioning_record() -> Vec<Vec<u8>> {
    let text = |text: &str| Some(text.to_owned());
    let record = |key: &PublicKey| Record {
        format: Format::V1,
        how: How::Restored,
        note: text("wrapped by \"hsm-1\""),
        key: "user-ca".to_owned(),
        purpose: "ssh-user-ca".to_owned(),
        scheme: "ed25519".to_owned(),
        time: "2026-11-27T00:00:00Z".to_owned(),
        operator: Operator { uid: 0, name: text("root"), login_uid: Some(1000) },
        host: "hsm-1".to_owned(),
        program: "countersign 0.1.0".to_owned(),
        module: Some(Module {
            path: "/module.so".to_owned(),
            sha256: "00".repeat(32),
            manufacturer: text("nobody"),
            description: None,
            version: text("1.0"),
        }),
        token: Token {
            name: "soft".to_owned(),
            label: text("one"),
            serial: "1f2e".to_owned(),
            manufacturer: None,
            model: "model".to_owned(),
            firmware: "1.0".to_owned(),
        },
        place: Place { label: text("user-ca"), id: text("01"), slot: None },
        attributes: vec![provision::Attribute {
            name: "CKA_EXTRACTABLE".to_owned(),
            expected: text("false"),
            told: text("true"),
            accepted: text("extractable"),
        }],
        public_key: Public::of(key),
        attestation: Some(Attestation { certificate: "AAAA".to_owned(), card_certificate: None }),
    };
    public_keys().iter().map(|key| record(key).to_bytes()).collect()
}

pub(crate) fn spki() -> Vec<Vec<u8>> {
    x509_keys().iter().map(PublicKey::to_spki_der).collect()
}

pub(crate) fn der_reader() -> Vec<Vec<u8>> {
    [x509_tbs(), crl(), ocsp(), spki()].concat()
}

fn name(common_name: &str) -> Name {
    let attribute = |oid: &[u8], kind, value| {
        vec![Attribute::new(Oid::from_contents(oid).unwrap(), kind, value).unwrap()]
    };
    Name::new(vec![
        attribute(oids::ORGANIZATION, StringKind::Printable, "Example"),
        attribute(oids::COMMON_NAME, StringKind::Utf8, common_name),
        attribute(oids::DOMAIN_COMPONENT, StringKind::Ia5, "example"),
    ])
    .unwrap()
}

fn time(seconds: u64) -> Time {
    Time::from_unix_secs(seconds).unwrap()
}

fn oid(contents: &[u8]) -> Oid {
    Oid::from_contents(contents).unwrap()
}

fn key_id() -> KeyId {
    KeyId::new(&[0x11; 20]).unwrap()
}

fn builder(algorithm: SignatureAlgorithm, key: PublicKey) -> CertificateBuilder {
    let validity = Validity { not_before: time(1_800_000_000), not_after: time(1_800_086_400) };
    CertificateBuilder::new(algorithm, name("CA"), validity, key)
        .serial(SerialNumber::new(&[0x42; 16]).unwrap())
        .authority_key_id(key_id())
        .subject_key_id(key_id())
}

fn leaf(algorithm: SignatureAlgorithm, key: PublicKey) -> TbsCertificate {
    use ExtensionValue as Value;
    let url = || GeneralName::Uri("http://pki.example/ca".to_owned());
    let qualifiers = vec![
        PolicyQualifier::Cps("http://pki.example".to_owned()),
        PolicyQualifier::Notice("notice".to_owned()),
    ];
    let values = [
        Value::CrlDistributionPoints(vec![DistributionPoint { full_name: vec![url()] }]),
        Value::AuthorityInfoAccess(vec![AccessDescription { method: oid(oids::AD_OCSP), location: url() }]),
        Value::CertificatePolicies(vec![CertificatePolicy { oid: oid(&[0x2a, 3]), qualifiers }]),
        Value::SecurityIdentifier("S-1-5-21-1-2".to_owned()),
        Value::OcspNoCheck,
        Value::TlsFeature(vec![5]),
        Value::Unknown { oid: oid(&[0x2a, 3, 4]), value: vec![5, 0] },
    ];
    let builder = builder(algorithm, key)
        .subject_alt_names(vec![
            GeneralName::Dns("*.example.org".to_owned()),
            GeneralName::Ip([192, 0, 2, 1].into()),
            GeneralName::Email("alice@example.org".to_owned()),
            GeneralName::Uri("spiffe://example.org/web".to_owned()),
            GeneralName::UserPrincipalName("alice@example.org".to_owned()),
            GeneralName::Directory(name("alice")),
        ])
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
        .ext_key_usage(vec![oid(oids::SERVER_AUTH), oid(oids::CLIENT_AUTH)]);
    let extensions = values.into_iter().map(Extension::non_critical);
    extensions.fold(builder, CertificateBuilder::extension).build().unwrap()
}

fn authority() -> TbsCertificate {
    let constraints = NameConstraints {
        permitted: vec![Subtree::Dns("example.org".to_owned())],
        excluded: vec![Subtree::Ip(IpPrefix::new([10, 0, 0, 0].into(), 8).unwrap())],
    };
    let [ed25519, ..] = public_keys();
    builder(SignatureAlgorithm::ALL[0], ed25519)
        .subject(name("Intermediate"))
        .basic_constraints(BasicConstraints::Ca { path_len: Some(0) })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .extension(Extension::critical(ExtensionValue::NameConstraints(constraints)))
        .build()
        .unwrap()
}

fn x509_tbs_list() -> Vec<TbsCertificate> {
    let leaves = SignatureAlgorithm::ALL.into_iter().zip(x509_keys().into_iter().cycle());
    leaves.map(|(algorithm, key)| leaf(algorithm, key)).chain([authority()]).collect()
}

pub(crate) fn x509_tbs() -> Vec<Vec<u8>> {
    x509_tbs_list().iter().map(|tbs| tbs.as_bytes().to_vec()).collect()
}

pub(crate) fn x509_certificate() -> Vec<Vec<u8>> {
    let finished = |tbs: &TbsCertificate| tbs.certificate(tbs.signature_algorithm(), &[0xa5; 64]).unwrap();
    x509_tbs_list().iter().map(finished).collect()
}

pub(crate) fn x509_request() -> Vec<Vec<u8>> {
    let usage = ExtensionValue::KeyUsage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN);
    let constraints = ExtensionValue::BasicConstraints(BasicConstraints::Ca { path_len: Some(0) });
    let request = |key: PublicKey, extensions: Vec<Extension>| {
        let start = RequestBuilder::new(name("Intermediate"), key);
        let info = extensions.into_iter().fold(start, RequestBuilder::extension).build().unwrap();
        info.request(SignatureAlgorithm::ALL[0], &[0xa5; 64])
    };
    let extensions = vec![Extension::critical(constraints), Extension::critical(usage)];
    public_keys()
        .into_iter()
        .map(|key| request(key, extensions.clone()))
        .chain([request(PublicKey::Ed25519([7; 32]), Vec::new())])
        .collect()
}

fn revoked(serial: u8, extensions: Vec<EntryExtension>) -> RevokedEntry {
    let entry = RevokedEntry::new(SerialNumber::new(&[serial; 8]).unwrap(), time(1_700_000_000));
    RevokedEntry { extensions, ..entry }
}

fn crl_list() -> [TbsCertList; 2] {
    let updates = Updates { this: time(1_800_000_000), next: time(1_800_600_000) };
    let start = |number: u64| {
        CrlBuilder::new(SignatureAlgorithm::ALL[0], name("CA"), updates)
            .authority_key_id(key_id())
            .number(CrlNumber::from(number))
    };
    let dated = vec![
        EntryExtension::Reason(Reason::KeyCompromise),
        EntryExtension::InvalidityDate(time(1_600_000_000)),
        EntryExtension::Unknown { oid: oid(&[0x2a, 3, 4]), value: vec![5, 0] },
    ];
    let url = GeneralName::Uri("http://pki.example/crl".to_owned());
    let point = IssuingDistributionPoint { full_name: vec![url], scope: Scope::All };
    let complete = start(7).issuing_distribution_point(point).entry(&revoked(1, Vec::new()));
    let removed = vec![EntryExtension::Reason(Reason::RemoveFromCrl)];
    let delta = start(8).delta_base(CrlNumber::from(7)).entry(&revoked(3, removed));
    [complete.entry(&revoked(2, dated)).build().unwrap(), delta.build().unwrap()]
}

pub(crate) fn krl() -> Vec<Vec<u8>> {
    let ca_key = PublicKey::Ed25519([7; 32]);
    let of = vec![
        Certificates::Serials(vec![5, 1 << 40]),
        Certificates::Range(100, 200),
        Certificates::Bitmap(1000, vec![0x81, 0x01]),
        Certificates::KeyIds(vec!["alice@desk".to_owned()]),
    ];
    let sections = vec![
        Section::Certificates { ca_key: Some(ca_key.clone()), of },
        Section::Certificates { ca_key: None, of: vec![Certificates::Range(1, 1)] },
        Section::Keys(vec![SubjectKey::Plain(ca_key)]),
        Section::Fingerprints(vec![[9; 32]]),
    ];
    let list = Krl { version: 7, generated: 1_800_000_000, comment: "seeds".to_owned(), sections };
    vec![list.encode(), Krl::default().encode()]
}

pub(crate) fn crl() -> Vec<Vec<u8>> {
    crl_list().iter().map(|list| list.as_bytes().to_vec()).collect()
}

pub(crate) fn ocsp() -> Vec<Vec<u8>> {
    let serial = |byte| SerialNumber::new(&[byte; 8]).unwrap();
    let [key, ..] = public_keys();
    let sha1 = IssuerHashes::Sha1 { name: [1; 20], key: [2; 20] };
    let sha1 = CertId { issuer: sha1, parameters: HashParameters::Absent, serial: serial(2) };
    let single = |cert_id, status, next_update| SingleResponse {
        cert_id,
        status,
        this_update: time(1_800_000_000),
        next_update,
        extensions: Vec::new(),
    };
    let at = time(1_700_000_000);
    let good = single(CertId::sha256(&name("CA"), &key, serial(1)), CertStatus::Good, Some(Time::MAX));
    let revoked = CertStatus::Revoked { at, reason: Some(Reason::Superseded) };
    let by_name = ResponseBuilder::new(ResponderId::Name(name("CA")), time(1_800_000_000))
        .response(good)
        .nonce(Nonce::new(&[7; 16]).unwrap());
    let by_key = ResponseBuilder::new(ResponderId::KeyHash([3; 20]), time(1_800_000_000))
        .response(single(sha1.clone(), revoked, None))
        .response(single(CertId { serial: serial(3), ..sha1 }, CertStatus::Unknown, None));
    [by_name, by_key].map(|builder| builder.build().unwrap().as_bytes().to_vec()).into()
}

pub(crate) fn ledger_entry() -> Vec<Vec<u8>> {
    let time = UnixMillis(1_800_000_000_123);
    let asked = |tbs| Asked {
        caller: b"uid:1000".to_vec(),
        key: b"user-ca".to_vec(),
        request_id: Some(b"request-1".to_vec()),
        kind: "ssh-certificate".to_owned(),
        tbs,
    };
    let ca_key =
        || CaKey { purpose: "ssh-user-ca".to_owned(), scheme: "ed25519".to_owned(), spki_sha256: [3; 32] };
    let policy = [4; 32];
    let whole = asked(AskedTbs::Whole(vec![1, 2, 3]));
    let rule = "key.user-ca.allow.staff".to_owned();
    let refusal = Entry::Refusal {
        time,
        asked: Asked { request_id: None, ..asked(AskedTbs::Digest([5; 32], 70_000)) },
        policy,
        rule: "tbs".to_owned(),
        reason: "TBS_TOO_LARGE".to_owned(),
        message: "too many bytes".to_owned(),
    };
    let challenge = [b"countersign self-test; this is no certificate: ".as_slice(), &[9; 32]].concat();
    let outcomes = [
        (Outcome::Signed(vec![6; 64]), Some(b"soft".to_vec())),
        (Outcome::Signed(vec![6; 64]), None),
        (Outcome::Failed("TOKEN_BUSY".to_owned()), None),
        (Outcome::Failed("TOKEN_FAILED".to_owned()), Some(b"soft".to_vec())),
        (Outcome::Discarded, Some(b"soft".to_vec())),
        (Outcome::Abandoned, None),
    ];
    let outcomes = outcomes.into_iter().map(|(outcome, token)| Entry::Outcome {
        time,
        intent: 1,
        outcome,
        latency_us: 250,
        token,
    });
    let others = [
        Entry::Intent { time, asked: whole, policy, rule, ca_key: ca_key() },
        refusal,
        Entry::SelfTest { time, key: "user-ca".to_owned(), ca_key: ca_key(), challenge },
        Entry::KeyRecord {
            time,
            key: b"user-ca".to_vec(),
            token: b"soft".to_vec(),
            spki: public_keys()[0].to_spki_der(),
            record: b"{}\n".to_vec(),
            signature: b"-----BEGIN SSH SIGNATURE-----\n".to_vec(),
            by: b"uid:0".to_vec(),
        },
        Entry::Checkpoint {
            time,
            key: "log".to_owned(),
            ca_key: CaKey { purpose: "ledger".to_owned(), ..ca_key() },
            text: "log.example/one\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".to_owned(),
        },
    ];
    let revoked = [
        Revoked::Serial(vec![7; 8]),
        Revoked::KeyId(b"alice@desk".to_vec()),
        Revoked::Name(b"alice".to_vec()),
        Revoked::SubjectKey([8; 32]),
        Revoked::Recorded(UnixMillis(1), time),
        Revoked::Entry(9),
    ];
    let revocations =
        revoked.into_iter().zip(RevocationReason::ALL).map(|(what, reason)| Entry::Revocation {
            time,
            key: b"user-ca".to_vec(),
            ca_key: ca_key(),
            spki: vec![0x30, 0],
            what,
            reason,
            in_ledger: true,
            by: b"uid:0".to_vec(),
            why: b"ticket 4711".to_vec(),
        });
    let steps = [
        RotationStep::Stage,
        RotationStep::Publish,
        RotationStep::Activate(time),
        RotationStep::Cancel,
        RotationStep::Retire(true),
    ];
    let rotations = steps.into_iter().map(|step| Entry::Rotation {
        time,
        key: b"user-ca-2".to_vec(),
        ca_key: ca_key(),
        spki: vec![0x30, 0],
        old: b"user-ca".to_vec(),
        old_spki: vec![0x30, 1],
        step,
        by: b"uid:0".to_vec(),
        why: b"ticket 4712".to_vec(),
    });
    let others = others.into_iter().chain(rotations);
    others.chain(outcomes).chain(revocations).map(|entry| entry.encode().unwrap()).collect()
}

/// Public examples: that of Go's golang.org/x/mod/sumdb/note, and that of C2SP tlog-cosignature.
pub(crate) fn note() -> Vec<Vec<u8>> {
    let [peter, sofa, log] = [
        "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
    ];
    texts(&[
        &format!("two lines\n\nof text\n\n\u{2014} {peter}\n"),
        &format!("{sofa}\n\u{2014} {log}\n\u{2014} {peter}\n"),
    ])
}

pub(crate) fn note_key() -> Vec<Vec<u8>> {
    texts(&[
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "rekor.example+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=",
    ])
}

pub(crate) fn checkpoint() -> Vec<Vec<u8>> {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    texts(&[&format!("log.example/one\n20852163\n{root}\n"), &format!("log.example\n0\n{root}\nextension\n")])
}

pub(crate) fn caller_name() -> Vec<Vec<u8>> {
    texts(&["spiffe://example.org/ns/prod/sa/ca", "dns:front-end.example.org", "cn:front-end_1", "uid:1000"])
}

pub(crate) fn config() -> Vec<Vec<u8>> {
    texts(&[CONFIG, include_str!("x509.toml"), include_str!("../../countersign.example.toml")])
}

pub(crate) fn pattern() -> Vec<Vec<u8>> {
    texts(&[
        "alice\nalice",
        "deploy-*\ndeploy-web_1",
        "*.example.org\nweb.example.org",
        "run --job=*\nrun --job=x",
        "a*b*c\naXbYbZc",
    ])
}

pub(crate) fn network() -> Vec<Vec<u8>> {
    texts(&["10.0.0.0/8\n10.1.0.0/16", "192.0.2.1\n0.0.0.0/0", "2001:db8::/32\n::/0", "::1\n::1/128"])
}

pub(crate) fn key_list() -> Vec<Vec<u8>> {
    let fingerprint = SubjectKey::Plain(PublicKey::Ed25519([7; 32])).fingerprint();
    let records: Vec<u8> = (0..4).flat_map(|n| [n * 0x40; 16]).collect();
    vec![
        [&[0], &*records].concat(),
        b"\x01# 2008\n00008be7025d9f1a9088\n\n00008f7e6a29aea0b430\n".to_vec(),
        format!("\x02# ours\n{fingerprint}\n{}\n", "5a".repeat(32)).into_bytes(),
    ]
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Messages to the SSH agent.
pub fn agent_frame() -> Vec<Vec<u8>> {
    let [key, ..] = public_keys();
    let key = key.to_ssh_wire().unwrap();
    let tbs = ssh_tbs();
    let data = tbs.iter().map(Vec::as_slice).chain([&b"SSHSIG"[..], &[]]);
    let sign = data.map(|data| agent_request(&Request::Sign(SignRequest { key: &key, data, flags: 4 })));
    sign.chain([agent_request(&Request::Identities)]).collect()
}

/// A message with its frame's header, as a client writes it (draft-ietf-sshm-ssh-agent).
pub(crate) fn agent_request(request: &Request<'_>) -> Vec<u8> {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    string(&match request {
        Request::Identities => vec![11],
        Request::Sign(SignRequest { key, data, flags }) => {
            [&[13], &string(key)[..], &string(data), &flags.to_be_bytes()].concat()
        }
    })
}
