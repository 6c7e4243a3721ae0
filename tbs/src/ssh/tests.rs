#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use std::collections::BTreeSet;

use super::*;
use crate::key::{Curve, EcPoint, RsaPublicKey};

type Bytes = Vec<u8>;

/// A TBS field by field, each of which a test may spoil. Key fields and lists are already encoded.
#[derive(Clone)]
struct Draft {
    type_name: Bytes,
    nonce: Bytes,
    key_fields: Bytes,
    serial: u64,
    certificate_type: u32,
    key_id: Bytes,
    principals: Bytes,
    valid_after: u64,
    valid_before: u64,
    critical: Bytes,
    extensions: Bytes,
    reserved: Bytes,
    ca_key: Bytes,
    trailer: Bytes,
}

fn valid() -> Draft {
    Draft {
        type_name: b"ssh-ed25519-cert-v01@openssh.com".into(),
        nonce: vec![9; 32],
        key_fields: string([5; 32]),
        serial: 42,
        certificate_type: 1,
        key_id: b"alice@example.com".into(),
        principals: list(["alice", "root"]),
        valid_after: 1_700_000_000,
        valid_before: 1_700_003_600,
        critical: [option("force-command", "/bin/true"), flag("verify-required")].concat(),
        extensions: [option("login@example.com", ""), flag("permit-X11-forwarding"), flag("permit-pty")]
            .concat(),
        reserved: Vec::new(),
        ca_key: PublicKey::Ecdsa(point(Curve::P256)).to_ssh_wire().unwrap(),
        trailer: Vec::new(),
    }
}

impl Draft {
    fn encode(&self) -> Bytes {
        [
            string(&self.type_name),
            string(&self.nonce),
            self.key_fields.clone(),
            self.serial.to_be_bytes().to_vec(),
            self.certificate_type.to_be_bytes().to_vec(),
            string(&self.key_id),
            string(&self.principals),
            self.valid_after.to_be_bytes().to_vec(),
            self.valid_before.to_be_bytes().to_vec(),
            string(&self.critical),
            string(&self.extensions),
            string(&self.reserved),
            string(&self.ca_key),
            self.trailer.clone(),
        ]
        .concat()
    }
}

fn string(bytes: impl AsRef<[u8]>) -> Bytes {
    let mut out = Vec::new();
    put_string(&mut out, bytes.as_ref());
    out
}

fn list(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Bytes {
    items.into_iter().flat_map(string).collect()
}

fn flag(name: &str) -> Bytes {
    list([name, ""])
}

fn option(name: &str, value: &str) -> Bytes {
    list([name.as_bytes(), &string(value)])
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|index| format!("name-{index:03}"))
}

fn point(curve: Curve) -> EcPoint {
    let mut bytes = vec![7; 1 + 2 * curve.field_len()];
    bytes[0] = 4;
    EcPoint::new(curve, bytes).unwrap()
}

fn security_key(application: &str) -> SubjectKey {
    SubjectKey::SkEd25519 { key: [3; 32], application: application.into() }
}

/// Every kind of subject key.
fn subject_keys() -> Vec<SubjectKey> {
    let rsa = RsaPublicKey::new(vec![0xc1; 256], vec![1, 0, 1]).unwrap();
    let mut keys = vec![
        SubjectKey::Plain(PublicKey::Ed25519([5; 32])),
        SubjectKey::Plain(PublicKey::Rsa(rsa)),
        security_key("ssh:"),
        SubjectKey::SkEcdsaP256 { point: point(Curve::P256), application: "ssh:work".into() },
    ];
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        keys.push(SubjectKey::Plain(PublicKey::Ecdsa(point(curve))));
    }
    keys
}

fn parse_edited(edit: impl FnOnce(&mut Draft)) -> Result<CertificateTbs, ParseError> {
    let mut draft = valid();
    edit(&mut draft);
    CertificateTbs::parse(&draft.encode())
}

/// Why a valid TBS with one edit is refused.
fn refused(edit: impl FnOnce(&mut Draft)) -> ParseError {
    parse_edited(edit).unwrap_err()
}

/// Why a valid certificate of another type, for a key of these fields, is refused.
fn refused_key(type_name: &str, key_fields: &[&[u8]]) -> ParseError {
    refused(|draft| {
        draft.type_name = type_name.into();
        draft.key_fields = list(key_fields);
    })
}

fn refused_rsa(exponent: &[u8], modulus: &[u8]) -> ParseError {
    refused_key("ssh-rsa-cert-v01@openssh.com", &[exponent, modulus])
}

fn refused_line(line: &str) -> ParseError {
    SubjectKey::from_openssh_line(line).unwrap_err()
}

/// Why a valid TBS with this signature blob after it is refused.
fn refused_signature(algorithm: &str, signature: &[u8]) -> ParseError {
    let blob = list([algorithm.as_bytes(), signature]);
    Certificate::parse(&[valid().encode(), string(blob)].concat()).unwrap_err()
}

/// A valid object with one thing wrong, for each rule and each way to break it.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_fixtures() -> Vec<(&'static str, ParseError)> {
    const ED25519: &str = "ssh-ed25519-cert-v01@openssh.com";
    const P256: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
    let certificate = list([ED25519.as_bytes(), &[1; 90]]);
    let p256 = point(Curve::P256);
    let modulus = [&[0], [0xc1; 256].as_slice()].concat();
    let even_modulus = [&[0], [0xc2; 256].as_slice()].concat();
    let sk_fields = |application: &[u8]| list([&[3; 32], application]);
    let line = PublicKey::Ed25519([5; 32]).to_openssh_line("").unwrap();
    let ca = |name: &str| refused(|d| d.ca_key = list([name.as_bytes(), &[5; 32], b"ssh:"]));
    let sk = |application: &[u8]| refused(|d| {
        d.type_name = b"sk-ssh-ed25519-cert-v01@openssh.com".into();
        d.key_fields = sk_fields(application);
    });
    let principals = |items: &[&[u8]]| refused(|d| d.principals = list(items));
    let critical = |options: &[Bytes]| refused(|d| d.critical = options.concat());
    let extensions = |options: &[Bytes]| refused(|d| d.extensions = options.concat());
    vec![
        ("TBS_TOO_LARGE", refused(|d| d.trailer = vec![0; CertificateTbs::MAX_LEN])),
        ("TBS_TOO_LARGE", refused_line(&format!("{line} {}", "x".repeat(CertificateTbs::MAX_LEN)))),
        ("TBS_TOO_LARGE", Certificate::parse(&[0; 70_000]).unwrap_err()),
        ("TBS_TRUNCATED", CertificateTbs::parse(b"").unwrap_err()),
        ("TBS_TRUNCATED", refused(|d| d.principals = [list(["alice"]), vec![0, 0, 0, 9, b'x']].concat())),
        ("TBS_TRUNCATED", refused(|d| d.principals = vec![0xff; 4])),
        ("TBS_TRUNCATED", critical(&[string("no-data")])),
        ("TBS_TRUNCATED", refused(|d| d.ca_key.truncate(60))),
        ("TBS_TRAILING_BYTES", refused(|d| d.trailer = vec![0])),
        ("TBS_TRAILING_BYTES", refused(|d| d.ca_key.push(0))),
        ("TBS_NOT_CANONICAL", parse_edited(|_| {}).unwrap().fields.check_canonical(b"other").unwrap_err()),
        ("TYPE_UNKNOWN", refused_key("ssh-dss-cert-v01@openssh.com", &[&[5; 32]])),
        ("TYPE_UNKNOWN", refused_key("ssh-ed25519", &[&[5; 32]])),
        ("TYPE_UNKNOWN", refused_key("ssh-ed25519-cert-v00@openssh.com", &[&[5; 32]])),
        ("TYPE_IS_SIGNATURE_ALGORITHM", refused_key("rsa-sha2-256-cert-v01@openssh.com", &[&[3], &modulus])),
        ("TYPE_IS_SIGNATURE_ALGORITHM", refused_key("rsa-sha2-512-cert-v01@openssh.com", &[&[3], &modulus])),
        ("NONCE_LENGTH", refused(|d| d.nonce = vec![9; 15])),
        ("NONCE_LENGTH", refused(|d| d.nonce = vec![9; 65])),
        ("SUBJECT_IS_CERTIFICATE", refused_key(ED25519, &[&certificate])),
        ("SUBJECT_IS_CERTIFICATE", refused_key(P256, &[&certificate])),
        ("SUBJECT_IS_CERTIFICATE", refused_key("ssh-ed25519-cert-v01-cert-v01@openssh.com", &[&[5; 32]])),
        ("SUBJECT_IS_CERTIFICATE", SubjectKey::from_wire(&certificate).unwrap_err()),
        ("SUBJECT_IS_CERTIFICATE", refused_line(&format!("{ED25519} AAAA"))),
        ("CA_KEY_IS_CERTIFICATE", ca(ED25519)),
        ("CA_KEY_IS_SECURITY_KEY", ca("sk-ssh-ed25519@openssh.com")),
        ("KEY_TYPE_UNKNOWN", ca("ssh-dss")),
        ("KEY_TYPE_UNKNOWN", refused_line("ssh-dss AAAA")),
        ("KEY_CURVE_MISMATCH", refused_key(P256, &[b"nistp384", point(Curve::P384).as_bytes()])),
        ("KEY_INVALID", refused_key(P256, &[b"nistp256", point(Curve::P384).as_bytes()])),
        ("KEY_INVALID", refused_key(P256, &[b"nistp256", &[&[2], &p256.as_bytes()[1..33]].concat()])),
        ("KEY_INVALID", refused_key(P256, &[b"nistp256", &[&[6], &p256.as_bytes()[1..]].concat()])),
        ("KEY_INVALID", refused_key(P256, &[b"nistp256", &[0]])),
        ("KEY_INVALID", refused_key(ED25519, &[&[5; 31]])),
        ("KEY_INVALID", refused_rsa(&[1, 0, 1], &even_modulus)),
        ("KEY_INVALID", refused_rsa(&[1, 0, 1], &[0x41; 127])),
        ("KEY_INVALID", refused_rsa(&[1, 0, 1], &[0x41; 2049])),
        ("KEY_INVALID", refused_rsa(&[1], &modulus)),
        ("KEY_INVALID", refused_rsa(&[4], &modulus)),
        ("KEY_INVALID", refused_rsa(&[], &modulus)),
        ("KEY_INVALID", refused_rsa(&[1; 9], &modulus)),
        ("INTEGER_NEGATIVE", refused_rsa(&[1, 0, 1], &[0xc1; 256])),
        ("INTEGER_NOT_MINIMAL", refused_rsa(&[0, 1, 0, 1], &modulus)),
        ("INTEGER_NOT_MINIMAL", refused_rsa(&[0], &modulus)),
        ("INTEGER_NOT_MINIMAL", refused_rsa(&[1, 0, 1], &[&[0], modulus.as_slice()].concat())),
        ("APPLICATION_INVALID", sk(b"")),
        ("APPLICATION_INVALID", sk(b"ssh:\0")),
        ("APPLICATION_INVALID", sk(b"ssh:\xff")),
        ("APPLICATION_INVALID", sk(&[b'x'; 257])),
        ("CERTIFICATE_TYPE_UNKNOWN", refused(|d| d.certificate_type = 0)),
        ("CERTIFICATE_TYPE_UNKNOWN", refused(|d| d.certificate_type = 3)),
        ("KEY_ID_TOO_LONG", refused(|d| d.key_id = vec![b'x'; 1025])),
        ("KEY_ID_NOT_UTF8", refused(|d| d.key_id = vec![b'x', 0xff])),
        ("KEY_ID_CONTROL_CHARACTER", refused(|d| d.key_id = b"alice\0".into())),
        ("KEY_ID_CONTROL_CHARACTER", refused(|d| d.key_id = b"alice\nroot".into())),
        ("KEY_ID_CONTROL_CHARACTER", refused(|d| d.key_id = "alice\u{9b}".into())),
        ("KEY_ID_CONTROL_CHARACTER", refused(|d| d.key_id = "\u{202e}ecila".into())),
        ("KEY_ID_CONTROL_CHARACTER", refused(|d| d.key_id = "ali\u{200b}ce".into())),
        ("VALIDITY_INVERTED", refused(|d| d.valid_before = d.valid_after)),
        ("VALIDITY_INVERTED", refused(|d| d.valid_after = u64::MAX)),
        ("RESERVED_NOT_EMPTY", refused(|d| d.reserved = vec![0])),
        ("PRINCIPALS_EMPTY", principals(&[])),
        ("PRINCIPALS_TOO_MANY", refused(|d| d.principals = list(names(257)))),
        ("PRINCIPAL_EMPTY", principals(&[b"alice", b""])),
        ("PRINCIPAL_TOO_LONG", principals(&[&[b'x'; 257]])),
        ("PRINCIPAL_NOT_UTF8", principals(&[b"\xc3"])),
        ("PRINCIPAL_CONTROL_CHARACTER", principals(&[b"root\0"])),
        ("PRINCIPAL_CONTROL_CHARACTER", principals(&[b"root\x7f"])),
        ("PRINCIPAL_DUPLICATE", principals(&[b"alice", b"bob", b"alice"])),
        ("OPTIONS_TOO_MANY", extensions(&names(65).map(|name| flag(&name)).collect::<Vec<_>>())),
        ("OPTIONS_NOT_SORTED", extensions(&[flag("permit-pty"), flag("permit-X11-forwarding")])),
        ("OPTIONS_NOT_SORTED", critical(&[flag("b"), flag("a")])),
        ("OPTION_DUPLICATE", extensions(&[flag("permit-pty"), flag("permit-pty")])),
        ("OPTION_NAME_INVALID", extensions(&[flag("")])),
        ("OPTION_NAME_INVALID", extensions(&[flag("permit pty")])),
        ("OPTION_NAME_INVALID", extensions(&[flag("perm\u{ef}t-pty")])),
        ("OPTION_NAME_INVALID", extensions(&[flag("permit-pty\0")])),
        ("OPTION_NAME_INVALID", extensions(&[flag(&"x".repeat(65))])),
        ("OPTION_NOT_WRAPPED", critical(&[list(["force-command", "/bin/true"])])),
        ("OPTION_NOT_WRAPPED", critical(&[list(["force-command", "/b"])])),
        ("OPTION_TRAILING_BYTES", critical(&[list([b"force-command", list(["a", "b"]).as_slice()])])),
        ("OPTION_VALUE_TOO_LONG", critical(&[option("force-command", &"x".repeat(16 * 1024 + 1))])),
        ("OPTION_NEEDS_VALUE", critical(&[flag("force-command")])),
        ("OPTION_NEEDS_VALUE", critical(&[option("source-address", "")])),
        ("OPTION_TAKES_NO_VALUE", critical(&[option("verify-required", "yes")])),
        ("OPTION_TAKES_NO_VALUE", extensions(&[option("no-touch-required", "")])),
        ("OPTION_TAKES_NO_VALUE", extensions(&[option("permit-pty", "yes")])),
        ("SIGNATURE_ALGORITHM_UNKNOWN", refused_signature("ssh-rsa", &[1; 256])),
        ("SIGNATURE_INVALID", refused_signature("ssh-ed25519", &[1; 63])),
        ("SIGNATURE_INVALID", refused_signature("ssh-ed25519", &[1; 64])),
        ("SIGNATURE_INVALID", refused_signature("ecdsa-sha2-nistp256", &list([[1; 32].as_slice(), b""]))),
        ("SIGNATURE_INVALID", refused_signature("ecdsa-sha2-nistp256", &list([[1; 33], [1; 33]]))),
        ("INTEGER_NOT_MINIMAL", refused_signature("ecdsa-sha2-nistp256", &list([[0, 1], [0, 1]]))),
        ("TBS_TRAILING_BYTES", refused_signature("ecdsa-sha2-nistp256", &list([[1], [1], [1]]))),
        ("LINE_INCOMPLETE", refused_line("")),
        ("LINE_INCOMPLETE", refused_line("ssh-ed25519")),
        ("LINE_INCOMPLETE", refused_line(&format!("{line} alice\n{line} bob"))),
        ("LINE_HAS_OPTIONS", refused_line(&format!("no-pty {line}"))),
        ("LINE_HAS_OPTIONS", refused_line(&format!("command=\"/bin/echo hi\" {line}"))),
        ("LINE_NOT_BASE64", refused_line(&format!("{line}!"))),
        ("LINE_TYPE_MISMATCH", refused_line(&line.replace("ssh-ed25519", "ssh-rsa"))),
    ]
}

#[test]
fn refuses_each_bad_fixture_by_its_own_rule() {
    for (index, (rule, error)) in bad_fixtures().into_iter().enumerate() {
        assert_eq!(error.rule(), rule, "fixture {index}: {error}");
    }
}

#[test]
fn every_rule_has_a_bad_fixture_and_a_place_in_the_docs() {
    let source = include_str!("error.rs");
    let words = source.lines().filter_map(|line| line.trim().split_once(" => \"")).map(|(_, word)| word);
    let rules: BTreeSet<_> =
        words.filter_map(|w| w.strip_suffix("\",")).filter(|w| w.contains('_')).collect();
    let tested = bad_fixtures().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, tested);
    for rule in rules {
        assert!(source.contains(&format!("`{rule}`")), "{rule} is not in the table of ParseError");
    }
}

#[test]
fn refuses_ssh_cert_without_principals() {
    let host_too = refused(|draft| (draft.principals, draft.certificate_type) = (Vec::new(), 2));
    assert_eq!(refused(|draft| draft.principals.clear()), ParseError::PrincipalsEmpty);
    assert_eq!(host_too, ParseError::PrincipalsEmpty);
}

#[test]
fn says_what_every_field_says() {
    let tbs = CertificateTbs::parse(&valid().encode()).unwrap();
    assert_eq!(tbs.as_bytes(), valid().encode());
    assert_eq!(tbs.subject_key(), &SubjectKey::Plain(PublicKey::Ed25519([5; 32])));
    assert_eq!(tbs.nonce(), [9; 32]);
    assert_eq!(tbs.serial(), 42);
    assert_eq!(tbs.certificate_type(), CertificateType::User);
    assert_eq!(tbs.key_id(), "alice@example.com");
    assert_eq!(tbs.principals(), ["alice", "root"]);
    assert_eq!((tbs.valid_after(), tbs.valid_before()), (1_700_000_000, 1_700_003_600));
    assert_eq!(tbs.critical_options().get("force-command"), Some(Some(b"/bin/true".as_slice())));
    assert_eq!(tbs.critical_options().get("verify-required"), Some(None));
    assert_eq!(tbs.critical_options().get("source-address"), None);
    let extensions: Vec<_> = tbs.extensions().iter().collect();
    let empty: &[u8] = &[];
    assert_eq!(
        extensions,
        [("login@example.com", Some(empty)), ("permit-X11-forwarding", None), ("permit-pty", None)]
    );
    assert_eq!(tbs.ca_key(), &PublicKey::Ecdsa(point(Curve::P256)));
}

#[test]
fn tells_user_from_host() {
    let types = [1, 2]
        .map(|number| parse_edited(|draft| draft.certificate_type = number).unwrap().certificate_type());
    assert_eq!(types, [CertificateType::User, CertificateType::Host]);
}

#[test]
fn reads_every_kind_of_subject_key() {
    for key in subject_keys() {
        let tbs = parse_edited(|draft| {
            draft.type_name = key.kind().certificate_name().into();
            draft.key_fields.clear();
            key.put_fields(&mut draft.key_fields);
        });
        assert_eq!(tbs.unwrap().subject_key(), &key);
    }
}

#[test]
fn accepts_what_is_exactly_at_each_limit() {
    let long_name = "x".repeat(256);
    let edits: [fn(&mut Draft); 8] = [
        |draft| draft.nonce = vec![9; 16],
        |draft| draft.nonce = vec![9; 64],
        |draft| draft.key_id = vec![b'x'; 1024],
        |draft| draft.key_id.clear(),
        |draft| draft.principals = list(names(256)),
        |draft| draft.critical = names(64).flat_map(|name| flag(&name)).collect(),
        |draft| draft.extensions = option(&"x".repeat(64), &"x".repeat(16 * 1024)),
        |draft| (draft.valid_after, draft.valid_before) = (u64::MAX - 1, u64::MAX),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        assert_eq!(parse_edited(edit).err(), None, "edit {index}");
    }
    parse_edited(|draft| draft.principals = string(long_name)).unwrap();
}

#[test]
fn refuses_every_strict_prefix_as_truncated() {
    let bytes = valid().encode();
    for len in 0..bytes.len() {
        assert_eq!(CertificateTbs::parse(&bytes[..len]).unwrap_err().rule(), "TBS_TRUNCATED", "{len}");
    }
}

#[test]
fn truncation_names_the_field_and_the_numbers() {
    let error = CertificateTbs::parse(&[0, 0, 0, 32, 1, 2]).unwrap_err();
    assert_eq!(error.to_string(), "truncated: the type needs 32 bytes and 2 are left");
}

#[test]
fn messages_hold_hostile_text_short_and_escaped() {
    let message = refused_key(&format!("\u{1b}[31m\"{}", "x".repeat(30_000)), &[&[5; 32]]).to_string();
    assert!(message.starts_with(r#""\x1b[31m\"xxx"#), "{message}");
    assert!(message.len() < 200 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn debug_shows_no_tbs_bytes() {
    let shown = format!("{:?}", CertificateTbs::parse(&valid().encode()).unwrap());
    assert!(shown.contains("alice@example.com") && !shown.contains("9, 9"), "{shown}");
}

#[test]
fn certificate_is_the_tbs_and_its_signature() {
    let tbs = CertificateTbs::parse(&valid().encode()).unwrap();
    let raw = [[1; 32], [0xff; 32]].concat();
    let bytes = tbs.certificate(Scheme::EcdsaP256Sha256, &raw).unwrap();
    let blob =
        list([b"ecdsa-sha2-nistp256".as_slice(), &list([&[1; 32][..], &[&[0][..], &[0xff; 32]].concat()])]);
    assert_eq!(bytes, [tbs.as_bytes(), &string(blob)].concat());

    let certificate = Certificate::parse(&bytes).unwrap();
    assert_eq!(certificate.tbs(), &tbs);
    assert_eq!(
        (certificate.scheme(), certificate.raw_signature()),
        (Scheme::EcdsaP256Sha256, raw.as_slice())
    );
    assert_eq!(certificate.as_bytes(), bytes);
    let line = certificate.to_openssh_line("alice\nssh-rsa");
    assert!(line.starts_with("ssh-ed25519-cert-v01@openssh.com AAAA") && line.ends_with(" alice?ssh-rsa"));
}

#[test]
fn refuses_to_finish_a_certificate_by_a_scheme_of_another_key() {
    let tbs = CertificateTbs::parse(&valid().encode()).unwrap();
    let algorithm = "ecdsa-sha2-nistp256";
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP384Sha384, Scheme::RsaPkcs1Sha512] {
        let error = tbs.certificate(scheme, &[1; 64]).unwrap_err();
        assert_eq!(error, SignatureError::KeyMismatch { scheme, algorithm });
    }
}

#[test]
fn refuses_a_certificate_with_bytes_after_its_signature() {
    let tbs = CertificateTbs::parse(&valid().encode()).unwrap();
    let mut bytes = tbs.certificate(Scheme::EcdsaP256Sha256, &[1; 64]).unwrap();
    bytes.push(0);
    assert_eq!(Certificate::parse(&bytes).unwrap_err().rule(), "TBS_TRAILING_BYTES");
}

#[test]
fn refuses_a_finished_certificate_as_a_tbs() {
    let tbs = CertificateTbs::parse(&valid().encode()).unwrap();
    let bytes = tbs.certificate(Scheme::EcdsaP256Sha256, &[1; 64]).unwrap();
    assert_eq!(CertificateTbs::parse(&bytes).unwrap_err().rule(), "TBS_TRAILING_BYTES");
}
