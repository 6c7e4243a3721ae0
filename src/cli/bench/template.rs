//! TBSs for load: alike but for their serials, so that making one costs next to nothing.

use anyhow::Context;
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Key, Priority, Purpose, SignRequest};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{CertificateBuilder, CertificateType, SubjectKey};

use crate::key::UnixTime;

/// How long the certificates live, in seconds.
const LIFETIME: u64 = 300;
/// A serial that stands nowhere else in the bytes.
const MARK: u64 = 0x636f_756e_7465_7273;

/// A TBS, and where its serial is.
#[derive(Clone)]
pub(super) struct Template {
    key: String,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// For certificates of `key` with one principal and no options.
    pub(super) fn new(key: &Key, principal: &str) -> anyhow::Result<Self> {
        let SubjectKey::Plain(ca_key) = SubjectKey::from_openssh_line(&key.openssh)? else {
            anyhow::bail!("key {} is a security key", key.name)
        };
        let kind = match key.purpose() {
            Purpose::SshHostCa => CertificateType::Host,
            _ => CertificateType::User,
        };
        let now = UnixTime::now().0;
        let tbs = CertificateBuilder::new(kind, SubjectKey::Plain(PublicKey::Ed25519([0x5a; 32])), ca_key)
            .serial(MARK)
            .key_id("countersign bench")
            .principal(principal)
            .valid_after(now)
            .valid_before(now + LIFETIME)
            .build()?;
        let mark = MARK.to_be_bytes();
        let at = tbs.as_bytes().windows(mark.len()).position(|window| window == mark).context("no serial")?;
        let (before, rest) = tbs.as_bytes().split_at(at);
        Ok(Self {
            key: key.name.clone(),
            before: before.to_vec(),
            after: rest.get(mark.len()..).context("no serial")?.to_vec(),
        })
    }

    /// A request for the `n`th certificate.
    pub(super) fn request(&self, n: u64) -> SignRequest {
        let tbs = [self.before.as_slice(), &(n + 1).to_be_bytes(), &self.after].concat();
        SignRequest {
            key: self.key.clone(),
            tbs: Some(Tbs::SshCertificate(tbs.into())),
            request_id: n.to_string(),
            priority: Priority::Interactive.into(),
        }
    }
}
