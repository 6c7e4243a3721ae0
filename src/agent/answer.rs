//! What each message is answered with, and what the log says about it.
//!
//! In: a client's message. Out: an [`Answer`]. A request to sign goes to the signer under the asked key's name, whatever
//! it holds, as long as that key is one that this agent's identity may use: what is no certificate's TBS is refused there
//! and leaves an entry in the ledger. Promised: a signature goes to a client only if it is by that key, over data that the
//! strict parser reads as a certificate's TBS, which names that key as its CA.

use countersign_proto::client::CallError;
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{self, Priority, SignResponse};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, CertificateTbs, ParseError};
use tracing::{info, warn};

use super::Peer;
use super::codec::{Answer, Identity, MessageError, RSA_SHA2_256, RSA_SHA2_512, Request, SignRequest};
use super::upstream::{Upstream, UpstreamError};
use crate::key::Scheme;

/// Answers the messages of any number of clients.
#[derive(Debug)]
pub struct Agent {
    upstream: Upstream,
}

/// A CA key that this agent's identity may use.
struct CaKey {
    name: String,
    public_key: PublicKey,
    scheme: Scheme,
}

/// Why a client gets FAILURE.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("cannot list the signer's keys: {0}")]
    Keys(UpstreamError),
    #[error("there is no SSH CA key that is asked to sign ({0}), or this agent's identity may not use it")]
    NoSuchKey(String),
    #[error(
        "key {key} signs by {scheme}, for which the flags are {wanted}, and the client asks with {flags}; \
         with ssh-keygen, give -t {ssh_name}"
    )]
    Flags { key: String, scheme: Scheme, ssh_name: &'static str, wanted: u32, flags: u32 },
    #[error(
        "{len} bytes for key {key} are more than the {} of any certificate; not sent to the signer",
        CertificateTbs::MAX_LEN
    )]
    TooLong { key: String, len: usize },
    #[error("no random bytes for a request id")]
    Random,
    #[error("the signer refused {what} for key {key}: {}", explained(.error))]
    Refused { what: &'static str, key: String, error: Box<CallError> },
    #[error("the signer gave no signature on {what} for key {key}: {error}")]
    NoAnswer { what: &'static str, key: String, error: UpstreamError },
    /// No signer of this version signs what the parser that both have does not read; another version's might.
    #[error("the signer signed {what} with key {key}, which this agent does not pass on: {source}")]
    Unread { what: &'static str, key: String, source: ParseError },
    #[error(
        "the signer's answer for key {key} is not the certificate that was asked for; it was thrown away"
    )]
    Another { key: String },
}

impl Agent {
    /// An agent for the keys of that signer.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    pub(super) async fn answer(&self, peer: Peer, message: &[u8]) -> Answer {
        let answer = match Request::parse(message) {
            Ok(Request::Identities) => self.identities().await,
            Ok(Request::Sign(request)) => self.sign(peer, request).await,
            Err(error) => Err(error.into()),
        };
        answer.unwrap_or_else(|refusal| {
            warn!(client = %peer, "answered with FAILURE: {refusal}");
            Answer::Failure
        })
    }

    async fn identities(&self) -> Result<Answer, Refusal> {
        let identity = |key: CaKey| Some(Identity { key: key.public_key.to_ssh_wire()?, comment: key.name });
        Ok(Answer::Identities(self.keys().await?.filter_map(identity).collect()))
    }

    async fn keys(&self) -> Result<impl Iterator<Item = CaKey>, Refusal> {
        let keys = self.upstream.list_keys().await.map_err(Refusal::Keys)?;
        Ok(keys.into_iter().filter_map(CaKey::from_listed))
    }

    async fn sign(&self, peer: Peer, asked: SignRequest<'_>) -> Result<Answer, Refusal> {
        let key =
            self.keys().await?.find(|key| key.public_key.to_ssh_wire().is_some_and(|wire| wire == asked.key));
        let key = key.ok_or_else(|| Refusal::NoSuchKey(fingerprint(asked.key)))?;
        key.check_flags(asked.flags)?;
        if asked.data.len() > CertificateTbs::MAX_LEN {
            return Err(Refusal::TooLong { key: key.name, len: asked.data.len() });
        }
        let tbs = CertificateTbs::parse(asked.data);
        let what = kind_of(&tbs, asked.data);
        let response = self.forward(what, &key.name, asked.data).await?;
        let tbs = tbs.map_err(|source| Refusal::Unread { what, key: key.name.clone(), source })?;
        let signature = key.released(&tbs, &response)?;
        let entry = response.receipt.map(|receipt| receipt.entry_index);
        info!(client = %peer, key = key.name, serial = tbs.serial(), key_id = ?tbs.key_id(), entry, "signed {what}");
        Ok(Answer::Signature(signature))
    }

    async fn forward(&self, what: &'static str, key: &str, data: &[u8]) -> Result<SignResponse, Refusal> {
        let request = v1::SignRequest {
            key: key.to_owned(),
            tbs: Some(Tbs::SshCertificate(data.to_vec().into())),
            request_id: request_id()?,
            priority: Priority::Interactive.into(),
            ..v1::SignRequest::default()
        };
        self.upstream.sign(request).await.map_err(|error| match error {
            UpstreamError::Call(error) if !error.reason.is_empty() => {
                Refusal::Refused { what, key: key.to_owned(), error }
            }
            error => Refusal::NoAnswer { what, key: key.to_owned(), error },
        })
    }
}

impl CaKey {
    /// None for the keys of X.509, and for what this version does not know.
    fn from_listed(key: v1::Key) -> Option<Self> {
        let is_ssh = match key.purpose() {
            v1::Purpose::SshUserCa | v1::Purpose::SshHostCa => true,
            v1::Purpose::Unspecified | v1::Purpose::X509Ca | v1::Purpose::X509Crl | v1::Purpose::Ocsp => {
                false
            }
        };
        let scheme = ssh_scheme(key.scheme())?;
        let public_key = PublicKey::from_spki_der(&key.spki).ok()?;
        is_ssh.then_some(Self { name: key.name, public_key, scheme })
    }

    /// An RSA key's flags must ask for the hash that it signs with; it never signs with SHA-1, which is what 0 asks for.
    fn check_flags(&self, flags: u32) -> Result<(), Refusal> {
        let wanted = match self.scheme {
            Scheme::RsaPkcs1Sha256 => RSA_SHA2_256,
            Scheme::RsaPkcs1Sha512 => RSA_SHA2_512,
            Scheme::EcdsaP256Sha256
            | Scheme::EcdsaP384Sha384
            | Scheme::EcdsaP521Sha512
            | Scheme::Ed25519
            | Scheme::RsaPkcs1Sha384
            | Scheme::RsaPssSha256
            | Scheme::RsaPssSha384
            | Scheme::RsaPssSha512
            | Scheme::MlDsa44
            | Scheme::MlDsa65
            | Scheme::MlDsa87 => 0,
        };
        if flags == wanted {
            return Ok(());
        }
        let ssh_name = self.scheme.ssh_name().unwrap_or_default();
        Err(Refusal::Flags { key: self.name.clone(), scheme: self.scheme, ssh_name, wanted, flags })
    }

    /// The signature, if the signer's answer is the certificate that was asked for, by this key. It is for whoever relies on
    /// the certificate to verify.
    fn released(&self, tbs: &CertificateTbs, response: &SignResponse) -> Result<Vec<u8>, Refusal> {
        let is_this = *tbs.ca_key() == self.public_key
            && Certificate::parse(&response.object)
                .is_ok_and(|object| object.tbs() == tbs && object.scheme() == self.scheme)
            && response.object.len() == tbs.as_bytes().len() + 4 + response.signature.len()
            && response.object.ends_with(&response.signature);
        if is_this {
            Ok(response.signature.to_vec())
        } else {
            Err(Refusal::Another { key: self.name.clone() })
        }
    }
}

/// The scheme, if SSH has it.
fn ssh_scheme(scheme: v1::Scheme) -> Option<Scheme> {
    match scheme {
        v1::Scheme::EcdsaP256Sha256 => Some(Scheme::EcdsaP256Sha256),
        v1::Scheme::EcdsaP384Sha384 => Some(Scheme::EcdsaP384Sha384),
        v1::Scheme::EcdsaP521Sha512 => Some(Scheme::EcdsaP521Sha512),
        v1::Scheme::Ed25519 => Some(Scheme::Ed25519),
        v1::Scheme::RsaPkcs1Sha256 => Some(Scheme::RsaPkcs1Sha256),
        v1::Scheme::RsaPkcs1Sha512 => Some(Scheme::RsaPkcs1Sha512),
        v1::Scheme::Unspecified
        | v1::Scheme::RsaPkcs1Sha384
        | v1::Scheme::RsaPssSha256
        | v1::Scheme::RsaPssSha384
        | v1::Scheme::RsaPssSha512
        | v1::Scheme::MlDsa44
        | v1::Scheme::MlDsa65
        | v1::Scheme::MlDsa87 => None,
    }
}

/// What a client wants signed, for the log. A guess at what is no TBS: nothing depends on it.
fn kind_of(tbs: &Result<CertificateTbs, ParseError>, data: &[u8]) -> &'static str {
    match (tbs, data) {
        (Ok(_), _) => "a certificate",
        // PROTOCOL.sshsig: what `ssh-keygen -Y sign` sends.
        (Err(_), [b'S', b'S', b'H', b'S', b'I', b'G', ..]) => "an SSHSIG signature of a file",
        // RFC 4252 §7: a session id, SSH_MSG_USERAUTH_REQUEST.
        (Err(_), [0, 0, 0, 20 | 32 | 48 | 64, rest @ ..]) if is_user_auth(data, rest) => "a login",
        (Err(_), data) if [20, 32, 48, 64].contains(&data.len()) => "what may be a digest",
        (Err(_), _) => "what is no certificate",
    }
}

fn is_user_auth(data: &[u8], rest: &[u8]) -> bool {
    let session_id = data.get(3).copied().map_or(0, usize::from);
    rest.get(session_id) == Some(&50)
}

/// What the signer said, where it recorded that, and which rule it was.
fn explained(error: &CallError) -> String {
    let rule = error.rule.as_ref().map_or_else(String::new, |rule| format!("; rule {rule}"));
    let entry = error.entry.map_or_else(String::new, |entry| format!("; recorded as entry {entry}"));
    format!("{error}{rule}{entry}")
}

/// How `ssh-keygen -l` would name the key.
fn fingerprint(key: &[u8]) -> String {
    PublicKey::from_ssh_wire(key).map_or_else(|_| "an unreadable key".to_owned(), |key| key.fingerprint())
}

/// A new one for each request: with it a request whose answer was lost can be sent again.
fn request_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refusal::Random)?;
    Ok(format!("agent-{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests;
