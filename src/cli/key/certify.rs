//! What `countersign key csr`, `self-sign` and `sign-intermediate` have in common: they ask the running signer, over its Unix
//! socket and by its policy, and write one PEM file.
//!
//! Promised: no file is overwritten without `--force`, none is half written, and nothing is written but what was asked for and bears
//! a signature by the key that was to make it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use countersign_proto::Client;
use countersign_proto::v1::{Priority, Receipt, SignRequest};
use countersign_tbs::TbsKind;
use countersign_tbs::der::{Oid, Reader, StringKind, Time, tag};
use countersign_tbs::ocsp::public_key_bits;
use countersign_tbs::signature::x509_signature;
use countersign_tbs::x509::{Attribute, KeyId, Name, SignatureAlgorithm, Validity};

use crate::cli::sign::{Existing, Unfinished, random_id, refused_here};
use crate::cli::sign_tbs::{label, of_kind};
use crate::cli::{ConfigArgs, Usage, pem, runtime};
use crate::config::Config;
use crate::key::{self, PublicKey, Scheme};
use crate::verify::Verifier;

/// Whose certificate, and where it goes.
#[derive(clap::Args)]
pub(super) struct PaperArgs {
    /// The CA key's name in the configuration
    pub(super) name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to write it, in PEM
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// A running signer, one of its keys, and the file that waits for what the key is to sign.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) public_key: PublicKey,
    signing: Signing,
    unfinished: Unfinished,
    existing: Existing,
    out: PathBuf,
}

/// A running signer and one of its keys, asked over its Unix socket.
pub(in crate::cli) struct Signing {
    public_key: PublicKey,
    scheme: Scheme,
    name: String,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// What a key has signed, and where that is recorded.
pub(in crate::cli) struct Signed {
    pub(in crate::cli) object: Vec<u8>,
    pub(in crate::cli) receipt: Receipt,
}

/// One part of a name: `CN=TLS CA 1`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct SubjectPart(Attribute);

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
pub(in crate::cli) fn subject(parts: &[SubjectPart]) -> anyhow::Result<Name> {
    let rdns = parts.iter().map(|SubjectPart(attribute)| vec![attribute.clone()]).collect();
    Name::new(rdns).context("the subject has too many parts")
}

/// From now on, for as long.
pub(in crate::cli) fn validity(lifetime: Duration) -> anyhow::Result<Validity> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let until = now.checked_add(lifetime.as_secs()).and_then(Time::from_unix_secs);
    let not_before = Time::from_unix_secs(now).context("the clock is beyond 9999")?;
    Ok(Validity { not_before, not_after: until.context("the lifetime ends beyond 9999")? })
}

/// RFC 7093 §2: the first 160 bits of the SHA-256 of the key's bits.
pub(in crate::cli) fn key_id(key: &PublicKey) -> anyhow::Result<KeyId> {
    let hash = digest(&SHA256, &public_key_bits(key));
    hash.as_ref().get(..20).and_then(KeyId::new).context("SHA-256 has 256 bits")
}

/// The key's section of the configuration.
pub(in crate::cli) fn section<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a key::Config> {
    super::sections(config, name).map(|(key, _)| key)
}

impl PaperArgs {
    /// Looks at everything that can be wrong before anything is signed.
    ///
    /// # Errors
    /// The file that is there, or the signer that is not.
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        let config = self.config.load()?;
        let existing = if self.force { Existing::Replaced } else { Existing::Kept };
        let taken = existing == Existing::Kept && self.out.symlink_metadata().is_ok();
        ensure!(!taken, "{} is there already; --force writes over it", self.out.display());
        let unfinished = Unfinished::beside(&self.out)?;
        let signing = Signing::of(&config, &self.config.config, &self.name)?;
        let (public_key, out) = (signing.public_key.clone(), self.out.clone());
        Ok(Desk { config, public_key, signing, unfinished, existing, out })
    }
}

impl Desk {
    /// How the key signs, as X.509 names it.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.signing.algorithm()
    }

    /// Has the key sign `tbs`, checks what comes back with `parts` (what was signed, and the signature), and writes it. Says
    /// where it is recorded.
    ///
    /// # Errors
    /// What the signer refused, or that it answered anything else.
    pub(super) fn sign(
        self,
        kind: TbsKind,
        tbs: &[u8],
        parts: impl FnOnce(&[u8]) -> Option<(Vec<u8>, Vec<u8>)>,
    ) -> anyhow::Result<String> {
        let Signed { object, receipt } = self.signing.sign(kind, tbs, parts)?;
        let text = pem(label(kind), &object);
        self.unfinished.finish_as(text.as_bytes(), self.existing).with_context(|| {
            format!(
                "this was signed, but not written: entry {} of {}",
                receipt.entry_index, receipt.log_origin
            )
        })?;
        let (file, entry, log) = (self.out.display(), receipt.entry_index, receipt.log_origin);
        Ok(format!("{file}: signed by {}; entry {entry} of {log}", self.signing.name))
    }
}

impl Signing {
    /// Connects to the signer of `config`, which is the file at `path`.
    ///
    /// # Errors
    /// There is no such key, no socket in the configuration, or nobody who listens there.
    pub(in crate::cli) fn of(config: &Config, path: &Path, name: &str) -> anyhow::Result<Self> {
        let scheme = section(config, name)?.scheme;
        let socket = config.server.unix_socket.clone().ok_or_else(|| Usage::no_socket(path))?;
        let runtime = runtime()?;
        let (client, key) = runtime.block_on(async {
            let client = Client::connect_unix(&socket).await?;
            let key = client.get_key(name).await.map_err(refused_here)?;
            anyhow::Ok((client, key))
        })?;
        let public_key =
            PublicKey::from_spki_der(&key.spki).context("the signer sent a key that cannot be read")?;
        Ok(Self { public_key, scheme, name: name.to_owned(), client, runtime })
    }

    /// The key.
    pub(in crate::cli) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// How it signs, as X.509 names it.
    pub(in crate::cli) fn algorithm(&self) -> SignatureAlgorithm {
        self.scheme.into()
    }

    /// Has the key sign `tbs`, and checks what comes back with `parts`: what was signed, and the signature.
    ///
    /// # Errors
    /// What the signer refused, or that it answered anything else.
    pub(in crate::cli) fn sign(
        &self,
        kind: TbsKind,
        tbs: &[u8],
        parts: impl FnOnce(&[u8]) -> Option<(Vec<u8>, Vec<u8>)>,
    ) -> anyhow::Result<Signed> {
        let request = SignRequest {
            key: self.name.clone(),
            tbs: Some(of_kind(kind, tbs.to_vec())),
            request_id: random_id()?,
            priority: Priority::Interactive.into(),
            ..SignRequest::default()
        };
        let answer = self.runtime.block_on(self.client.sign(request)).map_err(refused_here)?;
        let (signed, signature) = parts(&answer.object).context("the signer's answer cannot be read")?;
        ensure!(signed == tbs, "the signer signed something else; its answer was thrown away");
        ensure!(
            is_signed_by(&self.public_key, self.algorithm(), tbs, &signature),
            "the signature is not by key {}; the signer's answer was thrown away",
            self.name
        );
        Ok(Signed { object: answer.object.to_vec(), receipt: answer.receipt.unwrap_or_default() })
    }
}

/// Whether `signature`, in X.509's encoding, is `key`'s of `message`.
pub(in crate::cli) fn is_signed_by(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let fits = |scheme: &Scheme| SignatureAlgorithm::from(*scheme) == algorithm && scheme.fits(key);
    let Some(scheme) = Scheme::ALL.into_iter().find(fits) else { return false };
    let Some(raw) = raw(scheme, signature) else { return false };
    Verifier::new(scheme, key).is_ok_and(|verifier| verifier.verify(message, &raw).is_ok())
}

/// A signature as tokens give it; `None` if its encoding is not the one of X.509.
fn raw(scheme: Scheme, signature: &[u8]) -> Option<Vec<u8>> {
    let octets: usize = match scheme {
        Scheme::EcdsaP256Sha256 => 32,
        Scheme::EcdsaP384Sha384 => 48,
        Scheme::EcdsaP521Sha512 => 66,
        _ => return Some(signature.to_vec()),
    };
    let mut numbers = Reader::new(signature).value(tag::SEQUENCE, "signature").ok()?;
    let mut number = || {
        let digits = numbers.unsigned(tag::INTEGER, "number").ok()?.rest();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(zeros..)?;
        Some([vec![0; octets.checked_sub(digits.len())?].as_slice(), digits].concat())
    };
    let raw = [number()?, number()?].concat();
    (x509_signature(scheme, &raw).ok()? == signature).then_some(raw)
}

/// The PEM or DER of one thing in a file.
///
/// # Errors
/// That there is none.
pub(in crate::cli) fn read(path: &Path, labels: &[&str]) -> anyhow::Result<Vec<u8>> {
    use base64ct::{Base64, Encoding};

    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{} is neither PEM nor DER", path.display()))?;
    for label in labels {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
        if let Some((body, _)) = body {
            let body: String = body.split_whitespace().collect();
            return Base64::decode_vec(&body)
                .map_err(|error| anyhow!("{}: the {label} is not base64: {error}", path.display()));
        }
    }
    bail!("{} holds no {}, in PEM or DER", path.display(), labels.join(" or "))
}
