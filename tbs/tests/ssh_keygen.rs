//! The SSH part against the real `ssh-keygen`: what it signs we read, and what we build it prints as its own.
//!
//! `ssh-keygen -L` verifies a certificate's signature before it prints, so our certificates are signed for real, by
//! `openssl` with the CA keys that `ssh-keygen` made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

#[path = "rebuild/rebuild.rs"]
mod rebuild;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64ct::{Base64, Encoding};
use countersign_tbs::key::PublicKey;
use countersign_tbs::signature::{Scheme, x509_signature};
use countersign_tbs::ssh::{
    Certificate, CertificateBuilder, CertificateTbs, CertificateType, Options, SubjectKey,
};
use rebuild::{rebuild, with_nonce};
use tempfile::TempDir;

const CA_KEYS: [&str; 5] = ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"];
const SECURITY_KEYS: [&str; 2] = ["sk-ed25519", "sk-ecdsa256"];
const DEFAULT_EXTENSIONS: [Pair; 5] = [
    ("permit-X11-forwarding", None),
    ("permit-agent-forwarding", None),
    ("permit-port-forwarding", None),
    ("permit-pty", None),
    ("permit-user-rc", None),
];

type Pair = (&'static str, Option<&'static str>);

/// One certificate: what `ssh-keygen` is asked, and what the certificate must then say.
#[derive(Clone, Debug)]
struct Case {
    ca: &'static str,
    subject: &'static str,
    certificate_type: CertificateType,
    serial: u64,
    validity: (u64, u64),
    principals: &'static [&'static str],
    /// The `-O` arguments.
    options: &'static [&'static str],
    critical: Vec<Pair>,
    extensions: Vec<Pair>,
}

fn user() -> Case {
    Case {
        ca: "ed25519",
        subject: "ed25519",
        certificate_type: CertificateType::User,
        serial: 42,
        validity: (1_700_000_000, 1_700_003_600),
        principals: &["alice"],
        options: &[],
        critical: Vec::new(),
        extensions: DEFAULT_EXTENSIONS.to_vec(),
    }
}

fn host() -> Case {
    Case {
        certificate_type: CertificateType::Host,
        principals: &["db.example.com", "192.0.2.7"],
        extensions: Vec::new(),
        ..user()
    }
}

/// A user certificate with these options; `clear` comes first, so that nothing else is in it.
fn cleared(options: &'static [&'static str], critical: &[Pair], extensions: &[Pair]) -> Case {
    assert_eq!(options[0], "clear");
    Case { options, critical: critical.to_vec(), extensions: extensions.to_vec(), ..user() }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ca in CA_KEYS {
        cases.extend([Case { ca, ..user() }, Case { ca, ..host() }]);
    }
    for subject in CA_KEYS.into_iter().chain(SECURITY_KEYS) {
        cases.extend([Case { subject, ca: "ecdsa256", ..user() }, Case { subject, ..host() }]);
    }
    for (removed, option) in
        ["no-x11-forwarding", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc"]
            .iter()
            .enumerate()
    {
        let mut extensions = DEFAULT_EXTENSIONS.to_vec();
        extensions.remove(removed);
        cases.push(Case { options: std::slice::from_ref(option), extensions, ..user() });
    }
    cases.extend([
        Case { serial: 0, ..user() },
        Case { serial: u64::MAX, ..user() },
        Case { validity: (0, u64::MAX), ..user() },
        Case { validity: (1, 2), ..host() },
        Case { principals: &["alice", "root", "Ünïcode"], ..user() },
    ]);
    cases.extend(option_cases());
    cases
}

fn option_cases() -> [Case; 15] {
    let command = "/usr/bin/rsync --server \"a b\" 'c'";
    [
        cleared(&["clear"], &[], &[]),
        cleared(&["clear", "permit-x11-forwarding"], &[], &DEFAULT_EXTENSIONS[..1]),
        cleared(&["clear", "permit-agent-forwarding"], &[], &DEFAULT_EXTENSIONS[1..2]),
        cleared(&["clear", "permit-port-forwarding"], &[], &DEFAULT_EXTENSIONS[2..3]),
        cleared(&["clear", "permit-pty"], &[], &DEFAULT_EXTENSIONS[3..4]),
        cleared(&["clear", "permit-user-rc"], &[], &DEFAULT_EXTENSIONS[4..]),
        cleared(&["clear", "no-touch-required"], &[], &[("no-touch-required", None)]),
        cleared(&["clear", "verify-required"], &[("verify-required", None)], &[]),
        cleared(
            &["clear", "force-command=/usr/bin/rsync --server \"a b\" 'c'"],
            &[("force-command", Some(command))],
            &[],
        ),
        cleared(
            &["clear", "source-address=192.0.2.0/24,2001:db8::/32"],
            &[("source-address", Some("192.0.2.0/24,2001:db8::/32"))],
            &[],
        ),
        cleared(
            &["clear", "extension:flag@example.com", "extension:login@example.com=alice"],
            &[],
            &[("flag@example.com", None), ("login@example.com", Some("alice"))],
        ),
        cleared(&["clear", "extension:empty@example.com="], &[], &[("empty@example.com", Some(""))]),
        cleared(&["clear", "critical:flag@example.com"], &[("flag@example.com", None)], &[]),
        cleared(&["clear", "critical:v@example.com=a=b, c"], &[("v@example.com", Some("a=b, c"))], &[]),
        Case {
            options: &[
                "verify-required",
                "source-address=::1/128",
                "force-command=true",
                "extension:a@b=c",
                "no-pty",
            ],
            critical: vec![
                ("force-command", Some("true")),
                ("source-address", Some("::1/128")),
                ("verify-required", None),
            ],
            extensions: vec![
                ("a@b", Some("c")),
                DEFAULT_EXTENSIONS[0],
                DEFAULT_EXTENSIONS[1],
                DEFAULT_EXTENSIONS[2],
                DEFAULT_EXTENSIONS[4],
            ],
            ..user()
        },
    ]
}

/// A directory with a key pair of each kind in [`CA_KEYS`], and a public key of each kind in [`SECURITY_KEYS`].
struct Keys(TempDir);

impl Keys {
    fn generate() -> Self {
        let keys = Self(TempDir::new().unwrap());
        for (name, kind, bits, format) in [
            // OpenSSH 9.2 knows Ed25519 in its own format only.
            ("ed25519", "ed25519", "256", "RFC4716"),
            ("ecdsa256", "ecdsa", "256", "PKCS8"),
            ("ecdsa384", "ecdsa", "384", "PKCS8"),
            ("ecdsa521", "ecdsa", "521", "PKCS8"),
            ("rsa", "rsa", "2048", "PKCS8"),
        ] {
            keys.ssh_keygen(&["-q", "-t", kind, "-b", bits, "-m", format, "-N", "", "-C", name, "-f", name]);
        }
        for (name, key) in [("sk-ed25519", security_key()), ("sk-ecdsa256", keys.ecdsa_security_key())] {
            let line = format!("{} {} {name}", key.algorithm(), Base64::encode_string(&key.to_wire()));
            fs::write(keys.path(&format!("{name}.pub")), line).unwrap();
        }
        keys.write_ed25519_as_pkcs8();
        keys
    }

    /// ssh-keygen wants a point that is on its curve, so this is the `ecdsa256` key again.
    fn ecdsa_security_key(&self) -> SubjectKey {
        let SubjectKey::Plain(PublicKey::Ecdsa(point)) = self.subject("ecdsa256") else { panic!() };
        SubjectKey::SkEcdsaP256 { point, application: "ssh:work".into() }
    }

    /// Cuts the seed out of OpenSSH's private key file: it stands right before the second copy of the public key.
    fn write_ed25519_as_pkcs8(&self) {
        let pem = fs::read_to_string(self.path("ed25519")).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let private = Base64::decode_vec(&base64).unwrap();
        let PublicKey::Ed25519(public) = self.ca("ed25519") else { panic!() };
        let ends: Vec<_> = (0..private.len() - 32).filter(|at| private[*at..*at + 32] == public).collect();
        let seed = &private[ends.last().unwrap() - 32..*ends.last().unwrap()];
        let der = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", seed].concat();
        let base64 = Base64::encode_string(&der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
        fs::write(self.path("ed25519.pkcs8"), pem).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let command = Command::new(program).args(arguments).current_dir(&self.0).env("TZ", "UTC").output();
        let output = command.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    fn ssh_keygen(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run("ssh-keygen", arguments).unwrap()).unwrap()
    }

    fn subject(&self, name: &str) -> SubjectKey {
        SubjectKey::from_openssh_line(&fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap())
            .unwrap()
    }

    fn ca(&self, name: &str) -> PublicKey {
        PublicKey::from_ssh_wire(&self.subject(name).to_wire()).unwrap()
    }

    /// Has ssh-keygen sign `case`, and returns the line that it wrote.
    fn sign(&self, case: &Case, extra: &[&str]) -> String {
        let (after, before) = case.validity;
        let (serial, validity) = (case.serial.to_string(), format!("{after:#x}:{before:#x}"));
        let validity = if case.validity == (0, u64::MAX) { "always:forever" } else { &validity };
        let (principals, public) = (case.principals.join(","), format!("{}.pub", case.subject));
        let mut arguments = vec!["-q", "-s", case.ca, "-I", "id of it", "-z", &serial, "-V", validity];
        if !case.principals.is_empty() {
            arguments.extend(["-n", &principals]);
        }
        if case.certificate_type == CertificateType::Host {
            arguments.push("-h");
        }
        arguments.extend(case.options.iter().flat_map(|option| ["-O", option]));
        arguments.extend(extra);
        arguments.push(&public);
        self.ssh_keygen(&arguments);
        let line = fs::read_to_string(self.path(&format!("{}-cert.pub", case.subject))).unwrap();
        line.trim_end().to_owned()
    }

    /// What `ssh-keygen -L` prints of a certificate, without the file's name; an error if its signature is wrong.
    fn show(&self, line: &str) -> Result<String, String> {
        fs::write(self.path("shown-cert.pub"), format!("{line}\n")).unwrap();
        let shown = self.run("ssh-keygen", &["-L", "-f", "shown-cert.pub"])?;
        Ok(String::from_utf8(shown).unwrap())
    }

    /// Signs with openssl, and returns the raw signature.
    fn sign_raw(&self, ca: &str, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        fs::write(self.path("message"), message).unwrap();
        let key = if ca == "ed25519" { "ed25519.pkcs8" } else { ca };
        let mut arguments = vec!["pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", "message"];
        let (digest, field_len) = match scheme {
            Scheme::EcdsaP256Sha256 => (Some("sha256"), Some(32)),
            Scheme::EcdsaP384Sha384 => (Some("sha384"), Some(48)),
            Scheme::EcdsaP521Sha512 => (Some("sha512"), Some(66)),
            Scheme::Ed25519 => (None, None),
            Scheme::RsaPkcs1Sha256 => (Some("sha256"), None),
            Scheme::RsaPkcs1Sha512 => (Some("sha512"), None),
            other => panic!("SSH has no {other}"),
        };
        arguments.extend(digest.iter().flat_map(|digest| ["-digest", digest]));
        let signature = self.run("openssl", &arguments).unwrap();
        let raw = field_len.map_or_else(|| signature.clone(), |len| raw_ecdsa(&signature, len));
        assert_eq!(x509_signature(scheme, &raw), Ok(signature), "openssl encodes {scheme} differently");
        raw
    }

    /// Builds and signs `case` without ssh-keygen.
    fn build(&self, case: &Case, scheme: Scheme) -> Certificate {
        let (after, before) = case.validity;
        let mut builder =
            CertificateBuilder::new(case.certificate_type, self.subject(case.subject), self.ca(case.ca))
                .serial(case.serial)
                .key_id("id of it")
                .valid_after(after)
                .valid_before(before);
        for principal in case.principals {
            builder = builder.principal(*principal);
        }
        for (name, value) in case.critical.iter().rev() {
            builder = builder.critical_option(*name, *value);
        }
        for (name, value) in case.extensions.iter().rev() {
            builder = builder.extension(*name, *value);
        }
        let tbs = builder.build().unwrap();
        let raw = self.sign_raw(case.ca, scheme, tbs.as_bytes());
        Certificate::parse(&tbs.certificate(scheme, &raw).unwrap()).unwrap()
    }
}

fn security_key() -> SubjectKey {
    SubjectKey::SkEd25519 { key: [0x77; 32], application: "ssh:".into() }
}

/// `r || s` of a DER Ecdsa-Sig-Value.
fn raw_ecdsa(der: &[u8], field_len: usize) -> Vec<u8> {
    let mut rest = if der[1] == 0x81 { &der[3..] } else { &der[2..] };
    let mut raw = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.resize(raw.len() + field_len - number.len(), 0);
        raw.extend(number);
        rest = after;
    }
    raw
}

fn decode(line: &str) -> Vec<u8> {
    Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap()
}

/// Cuts the signature off without our parser: the shortest end that is one string with an algorithm's name in it.
fn without_signature(certificate: &[u8]) -> &[u8] {
    let cuts = (4..certificate.len().min(700)).map(|len| certificate.len() - len);
    let is_signature = |cut: &usize| {
        let (_, string) = certificate.split_at(*cut);
        let len = u32::from_be_bytes(string[..4].try_into().unwrap()) as usize;
        let name = ["ssh-ed25519", "ecdsa-sha2-", "rsa-sha2-"];
        len == string.len() - 4 && name.iter().any(|name| string[8..].starts_with(name.as_bytes()))
    };
    &certificate[..cuts.into_iter().find(is_signature).unwrap()]
}

fn pairs(options: &Options) -> Vec<(&str, Option<&str>)> {
    options.iter().map(|(name, value)| (name, value.map(|value| str::from_utf8(value).unwrap()))).collect()
}

fn scheme_of(ca: &str) -> Scheme {
    match ca {
        "ed25519" => Scheme::Ed25519,
        "ecdsa256" => Scheme::EcdsaP256Sha256,
        "ecdsa384" => Scheme::EcdsaP384Sha384,
        "ecdsa521" => Scheme::EcdsaP521Sha512,
        _ => Scheme::RsaPkcs1Sha512,
    }
}

#[test]
fn reads_what_ssh_keygen_signs_and_writes_the_same_bytes() {
    let keys = Keys::generate();
    for case in cases() {
        let line = keys.sign(&case, &[]);
        let bytes = decode(&line);
        let tbs = CertificateTbs::parse(without_signature(&bytes))
            .unwrap_or_else(|error| panic!("{case:?}: {error}"));
        assert_eq!(tbs.subject_key(), &keys.subject(case.subject), "{case:?}");
        assert_eq!(tbs.ca_key(), &keys.ca(case.ca), "{case:?}");
        assert_eq!(tbs.certificate_type(), case.certificate_type, "{case:?}");
        assert_eq!(
            (tbs.serial(), tbs.key_id(), tbs.nonce().len()),
            (case.serial, "id of it", 32),
            "{case:?}"
        );
        assert_eq!(tbs.principals(), case.principals, "{case:?}");
        assert_eq!((tbs.valid_after(), tbs.valid_before()), case.validity, "{case:?}");
        assert_eq!(pairs(tbs.critical_options()), case.critical, "{case:?}");
        assert_eq!(pairs(tbs.extensions()), case.extensions, "{case:?}");
        assert_eq!(rebuild(&tbs).as_deref(), Some(tbs.as_bytes()), "{case:?}");

        let certificate = Certificate::parse(&bytes).unwrap();
        assert_eq!(certificate.tbs(), &tbs, "{case:?}");
        assert_eq!(certificate.scheme(), scheme_of(case.ca), "{case:?}");
        assert_eq!(tbs.certificate(certificate.scheme(), certificate.raw_signature()), Ok(bytes), "{case:?}");
        assert_eq!(certificate.to_openssh_line(case.subject), line, "{case:?}");
    }
}

#[test]
fn ssh_keygen_accepts_our_certificates_and_prints_them_like_its_own() {
    let keys = Keys::generate();
    for case in cases() {
        let theirs = keys.sign(&case, &[]);
        let certificate = keys.build(&case, scheme_of(case.ca));
        let ours = certificate.to_openssh_line(case.subject);
        assert_eq!(keys.show(&ours), keys.show(&theirs), "{case:?}");
        assert!(keys.show(&ours).is_ok());

        let their_bytes = decode(&theirs);
        let their_tbs = CertificateTbs::parse(without_signature(&their_bytes)).unwrap();
        assert_eq!(with_nonce(certificate.tbs(), their_tbs.nonce()), their_tbs.as_bytes(), "{case:?}");
    }
}

#[test]
fn reads_and_writes_both_hashes_of_rsa() {
    let keys = Keys::generate();
    let case = Case { ca: "rsa", ..user() };
    for (name, scheme) in [("rsa-sha2-256", Scheme::RsaPkcs1Sha256), ("rsa-sha2-512", Scheme::RsaPkcs1Sha512)]
    {
        let theirs = keys.sign(&case, &["-t", name]);
        assert_eq!(Certificate::parse(&decode(&theirs)).unwrap().scheme(), scheme);
        let ours = keys.build(&case, scheme).to_openssh_line("rsa");
        assert_eq!(keys.show(&ours), keys.show(&theirs));
        assert!(keys.show(&ours).unwrap().contains(&format!("(using {name})")));
    }
}

/// Without this, the comparison of what `ssh-keygen -L` prints would say little about our signatures.
#[test]
fn ssh_keygen_refuses_to_print_a_wrong_signature() {
    let keys = Keys::generate();
    let certificate = keys.build(&user(), Scheme::Ed25519);
    let mut raw = certificate.raw_signature().to_vec();
    raw[0] ^= 1;
    let forged = certificate.tbs().certificate(Scheme::Ed25519, &raw).unwrap();
    let line = Certificate::parse(&forged).unwrap().to_openssh_line("forged");
    assert!(keys.show(&line).is_err());
}

#[test]
fn refuses_what_ssh_keygen_signs_too_lightly() {
    let keys = Keys::generate();
    let rule = |case: &Case, extra: &[&str]| {
        let bytes = decode(&keys.sign(case, extra));
        CertificateTbs::parse(without_signature(&bytes)).unwrap_err().rule()
    };
    assert_eq!(rule(&Case { principals: &[], ..user() }, &[]), "PRINCIPALS_EMPTY");
    assert_eq!(rule(&Case { principals: &["a", "a"], ..user() }, &[]), "PRINCIPAL_DUPLICATE");
    assert_eq!(rule(&Case { options: &["critical:force-command="], ..user() }, &[]), "OPTION_NEEDS_VALUE");
    assert_eq!(
        rule(&Case { options: &["extension:permit-pty=x", "no-pty"], ..user() }, &[]),
        "OPTION_TAKES_NO_VALUE"
    );
    assert_eq!(rule(&user(), &["-I", "a\nb"]), "KEY_ID_CONTROL_CHARACTER");
}

#[test]
fn fingerprints_and_lines_are_those_of_ssh_keygen() {
    let keys = Keys::generate();
    for name in CA_KEYS.into_iter().chain(SECURITY_KEYS) {
        let shown = keys.ssh_keygen(&["-l", "-f", &format!("{name}.pub")]);
        assert_eq!(shown.split(' ').nth(1), Some(keys.subject(name).fingerprint().as_str()), "{name}");
    }
    for name in CA_KEYS {
        let line = fs::read_to_string(keys.path(&format!("{name}.pub"))).unwrap();
        assert_eq!(keys.ca(name).to_openssh_line(name).as_deref(), Some(line.trim_end()));
        assert!(
            keys.ssh_keygen(&["-l", "-f", &format!("{name}.pub")]).contains(&keys.ca(name).fingerprint())
        );
    }
}

#[test]
fn spki_is_that_of_openssl() {
    let keys = Keys::generate();
    for name in CA_KEYS {
        let private = if name == "ed25519" { "ed25519.pkcs8" } else { name };
        let der = keys.run("openssl", &["pkey", "-in", private, "-pubout", "-outform", "DER"]).unwrap();
        assert_eq!(keys.ca(name).to_spki_der(), der, "{name}");
        assert_eq!(PublicKey::from_spki_der(&der), Ok(keys.ca(name)), "{name}");
    }
}

/// A certificate's line, where a key's is wanted.
#[test]
fn refuses_the_certificate_file_of_ssh_keygen_as_a_key() {
    let keys = Keys::generate();
    let line = keys.sign(&user(), &[]);
    assert_eq!(SubjectKey::from_openssh_line(&line).unwrap_err().rule(), "SUBJECT_IS_CERTIFICATE");
    assert_eq!(SubjectKey::from_wire(&decode(&line)).unwrap_err().rule(), "SUBJECT_IS_CERTIFICATE");
    assert_eq!(PublicKey::from_ssh_wire(&decode(&line)).unwrap_err().rule(), "CA_KEY_IS_CERTIFICATE");
}
