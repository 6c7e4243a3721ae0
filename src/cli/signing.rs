//! A running signer and one of its keys: for commands that have the key sign what they built themselves.
//!
//! In: the signer, over its operator's Unix socket or as any caller reaches it, and the bytes. Out: the finished object, and where it is
//! recorded. Promised: it holds the bytes that were sent, and the key's signature of them; any other answer is thrown away.

use std::path::Path;

use anyhow::{Context, ensure};
use countersign_proto::Client;
use countersign_proto::client::CallError;
use countersign_proto::v1::{self, Priority, Purpose, Receipt, SignRequest};
use countersign_tbs::TbsKind;
use countersign_tbs::signature::from_x509_signature;
use countersign_tbs::x509::{Certificate, SignatureAlgorithm};

use super::key::certify::section;
use super::server::{ServerArgs, random_id, refused, refused_here};
use super::sign_tbs::of_kind;
use super::{Usage, runtime, scheme};
use crate::config::Config;
use crate::key::{PublicKey, Scheme};
use crate::verify::Verifier;

/// A running signer and one of its keys.
pub(super) struct Signing {
    public_key: PublicKey,
    scheme: Scheme,
    key: v1::Key,
    client: Client,
    runtime: tokio::runtime::Runtime,
    /// What a refusal is to whoever asks in this way.
    refused: fn(CallError) -> anyhow::Error,
}

/// What a key has signed, and where that is recorded.
pub(super) struct Signed {
    pub(super) object: Vec<u8>,
    pub(super) receipt: Receipt,
}

impl Signing {
    /// Connects to the signer of `config`, which is the file at `path`, over its Unix socket.
    ///
    /// # Errors
    /// There is no such key, no socket in the configuration, or nobody who listens there.
    pub(super) fn of(config: &Config, path: &Path, name: &str) -> anyhow::Result<Self> {
        let scheme = section(config, name)?.scheme;
        let socket = config.server.unix_socket.clone().ok_or_else(|| Usage::no_socket(path))?;
        let runtime = runtime()?;
        let (client, key) = runtime.block_on(async {
            let client = Client::connect_unix(&socket).await?;
            let key = client.get_key(name).await.map_err(refused_here)?;
            anyhow::Ok((client, key))
        })?;
        Ok(Self { public_key: public_key(&key)?, scheme, key, client, runtime, refused: refused_here })
    }

    /// Connects as a caller does, with an identity of its own.
    ///
    /// # Errors
    /// There is no such signer, or it has no such key for this caller.
    pub(super) fn through(server: &ServerArgs, name: &str) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let (client, key) = runtime.block_on(async {
            let client = server.connect().await?;
            let key = client.get_key(name).await.map_err(|error| server.refused(error))?;
            anyhow::Ok((client, key))
        })?;
        let (public_key, scheme) = (public_key(&key)?, scheme(&key)?);
        Ok(Self { public_key, scheme, key, client, runtime, refused })
    }

    /// The key's name.
    pub(super) fn name(&self) -> &str {
        &self.key.name
    }

    /// What it signs.
    pub(super) fn purpose(&self) -> Purpose {
        self.key.purpose()
    }

    /// The key.
    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// How it signs, as X.509 names it.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.scheme.into()
    }

    /// The certificate of a CA key, as the signer has it, and its DER.
    ///
    /// # Errors
    /// It has none, or it is another key's.
    pub(super) fn certificate(&self) -> anyhow::Result<(Vec<u8>, Certificate)> {
        let name = self.name();
        let bundle = self.runtime.block_on(self.client.get_bundle(name)).map_err(self.refused)?;
        let is_own = |member: &v1::BundleMember| member.key.as_ref().is_some_and(|key| key.name == name);
        let member = bundle.members.into_iter().find(is_own);
        let der = member.map(|member| member.certificate.to_vec()).filter(|der| !der.is_empty());
        let der = der.with_context(|| {
            format!("key {name} has no certificate that is to be trusted now, so that nothing can be under it; docs/x509.md says how a CA gets its own")
        })?;
        let certificate = Certificate::parse(&der).context("the CA's certificate cannot be read")?;
        ensure!(
            certificate.tbs().public_key() == self.public_key(),
            "the signer gave the certificate of another key than {name}; ask its operator"
        );
        Ok((der, certificate))
    }

    /// Has the key sign `tbs`, and checks what comes back with `parts`: what was signed, and the signature.
    ///
    /// # Errors
    /// What the signer refused, or that it answered anything else.
    pub(super) fn sign(
        &self,
        kind: TbsKind,
        tbs: &[u8],
        parts: impl FnOnce(&[u8]) -> Option<(Vec<u8>, Vec<u8>)>,
    ) -> anyhow::Result<Signed> {
        let request = SignRequest {
            key: self.key.name.clone(),
            tbs: Some(of_kind(kind, tbs.to_vec())),
            request_id: random_id()?,
            priority: Priority::Interactive.into(),
            ..SignRequest::default()
        };
        let answer = self.runtime.block_on(self.client.sign(request)).map_err(self.refused)?;
        let (signed, signature) = parts(&answer.object).context("the signer's answer cannot be read")?;
        ensure!(signed == tbs, "the signer signed something else; its answer was thrown away");
        ensure!(
            is_signed_by(&self.public_key, self.algorithm(), tbs, &signature),
            "the signature is not by key {}; the signer's answer was thrown away",
            self.key.name
        );
        Ok(Signed { object: answer.object.to_vec(), receipt: answer.receipt.unwrap_or_default() })
    }
}

fn public_key(key: &v1::Key) -> anyhow::Result<PublicKey> {
    PublicKey::from_spki_der(&key.spki).context("the signer sent a key that cannot be read")
}

/// Whether `signature`, in X.509's encoding, is `key`'s of `message`.
pub(super) fn is_signed_by(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let fits = |scheme: &Scheme| SignatureAlgorithm::from(*scheme) == algorithm && scheme.fits(key);
    let Some(scheme) = Scheme::ALL.into_iter().find(fits) else { return false };
    let Ok(raw) = from_x509_signature(scheme, signature) else { return false };
    Verifier::new(scheme, key).is_ok_and(|verifier| verifier.verify(message, &raw).is_ok())
}
