//! What commands that build X.509 certificates have in common: names, validity, identifiers, and files of PEM or DER.
//!
//! In: options, and files that others sent. Out: the parts of a certificate to be built. Promised: a request is taken only if it bears the
//! signature of the key in it. What may be signed is for the signer to say.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64, Encoding};
use countersign_tbs::csr::{CertificationRequest, CertificationRequestInfo};
use countersign_tbs::der::{Oid, StringKind, Time};
use countersign_tbs::ocsp::public_key_bits;
use countersign_tbs::x509::{Attribute, Certificate, KeyId, Name, Validity};

use super::signing::is_signed_by;
use crate::key::PublicKey;

/// The labels of a request: RFC 7468's, and one that older programs write.
const REQUEST: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// One part of a name: `CN=TLS CA 1`.
#[derive(Clone, Debug)]
pub(super) struct SubjectPart(Attribute);

impl std::str::FromStr for SubjectPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (label, value) = text.split_once('=').ok_or("it is LABEL=VALUE, such as \"CN=TLS CA 1\"")?;
        let oid = Attribute::oid_of(label).and_then(Oid::from_contents).ok_or_else(|| {
            let labels: Vec<_> = Attribute::labels().collect();
            format!("{label:?} is not an attribute of a subject; it is one of {}", labels.join(", "))
        })?;
        let kinds = [StringKind::Utf8, StringKind::Printable, StringKind::Ia5];
        let found = kinds.into_iter().find_map(|kind| Attribute::new(oid.clone(), kind, value));
        found.map(Self).ok_or_else(|| format!("{value:?} has a length or characters that no {label} has"))
    }
}

/// The name of these parts, each a relative name of its own.
pub(super) fn subject(parts: &[SubjectPart]) -> anyhow::Result<Name> {
    let rdns = parts.iter().map(|SubjectPart(attribute)| vec![attribute.clone()]).collect();
    Name::new(rdns).context("the subject has too many parts")
}

/// From now on, for as long.
pub(super) fn validity(lifetime: Duration) -> anyhow::Result<Validity> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let until = now.checked_add(lifetime.as_secs()).and_then(Time::from_unix_secs);
    let not_before = Time::from_unix_secs(now).context("the clock is beyond 9999")?;
    Ok(Validity { not_before, not_after: until.context("the lifetime ends beyond 9999")? })
}

/// RFC 7093 §2: the first 160 bits of the SHA-256 of the key's bits.
pub(super) fn key_id(key: &PublicKey) -> anyhow::Result<KeyId> {
    let hash = digest(&SHA256, &public_key_bits(key));
    hash.as_ref().get(..20).and_then(KeyId::new).context("SHA-256 has 256 bits")
}

/// What was signed in a certificate, and the signature.
pub(super) fn certificate_parts(object: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let certificate = Certificate::parse(object).ok()?;
    Some((certificate.tbs().as_bytes().to_vec(), certificate.signature().to_vec()))
}

/// A certificate request (PKCS#10) in a file, PEM or DER: its own signature is what shows that whoever sent it has the key.
///
/// # Errors
/// There is none, or it is not signed by the key in it.
pub(super) fn request(path: &Path) -> anyhow::Result<CertificationRequestInfo> {
    let name = path.display();
    let der = read(path, &REQUEST)?;
    ensure!(
        Certificate::parse(&der).is_err(),
        "{name} holds a certificate, and no request for one: give the request (PKCS#10) that its key signed"
    );
    let request = CertificationRequest::parse(&der).with_context(|| format!("{name} is no request"))?;
    let info = request.info();
    if let PublicKey::Rsa(rsa) = info.public_key() {
        // Signatures of shorter keys are not verified at all.
        ensure!(
            rsa.bits() >= 2048,
            "the RSA key of {name} has {} bits, which is too short to be certified: make one of 3072, or of 2048 at least",
            rsa.bits()
        );
    }
    ensure!(
        is_signed_by(info.public_key(), request.signature_algorithm(), info.as_bytes(), request.signature()),
        "the signature of {name} is not by the key in it: whoever sent it may not have that key"
    );
    Ok(info.clone())
}

/// The PEM or DER of one thing in a file.
///
/// # Errors
/// That there is none, or more than one, or a private key beside it.
pub(super) fn read(path: &Path, labels: &[&str]) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{name} is neither PEM nor DER"))?;
    let found =
        text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let found: Vec<_> = found.collect();
    let wanted = labels.first().copied().unwrap_or_default();
    ensure!(
        !found.iter().any(|label| label.ends_with("PRIVATE KEY")),
        "{name} holds a private key: leave that where it is used, and give a file with the {wanted} alone"
    );
    let fitting: Vec<_> = found.iter().filter(|label| labels.contains(label)).collect();
    let label = match (fitting.as_slice(), found.as_slice()) {
        ([label], _) => label,
        ([], []) => bail!("{name} holds no {wanted}, in PEM or DER"),
        ([], [other, ..]) => bail!("{name} holds a {}, and no {wanted}", other.escape_debug()),
        (several, _) => bail!("{name} holds {} blocks of {wanted}: give a file for each", several.len()),
    };
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (body, _) = body.with_context(|| format!("{name} ends within its {label}"))?;
    let body: String = body.split_whitespace().collect();
    Base64::decode_vec(&body).map_err(|error| anyhow!("{name}: the {label} is not base64: {error}"))
}
