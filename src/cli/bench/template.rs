//! TBSs for load: alike but for their serials, so that making one costs next to nothing.

use std::path::PathBuf;

use anyhow::Context;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Key, Priority, Purpose, SignRequest};
use countersign_tbs::TbsKind;
use countersign_tbs::der::{Oid, Time, oids};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ocsp::{self, CertId, CertStatus, ResponderId, SingleResponse};
use countersign_tbs::ssh::{self, CertificateType, SubjectKey};
use countersign_tbs::x509::{
    self, BasicConstraints, GeneralName, KeyUsage, SerialNumber, TbsCertificate, Validity,
};

use crate::cli::scheme;
use crate::key::{UnixTime, read_certificate};

/// Whom all of them are for.
const SUBJECT: PublicKey = PublicKey::Ed25519([0x5a; 32]);

/// How long the certificates live, in seconds.
const LIFETIME: u64 = 300;
/// A serial that stands nowhere else in the bytes. Those in its place are times in milliseconds, from 2^40 to 2^41, and a number: as positive
/// and as long.
const MARK: u64 = 0x636f_756e_7465_7273;

/// A TBS, and where its serial is.
#[derive(Clone)]
pub(super) struct Template {
    key: String,
    pub(super) kind: TbsKind,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// For certificates of `key` with one name: of SSH with a principal and no options, of X.509 for a TLS server under the CA
    /// whose certificate is in the file; or for OCSP responses about certificates of that CA, if that is the `kind`, or the key is
    /// for no other. There are no CRLs: each must have a higher number than the one before, so that callers side by side are refused.
    ///
    /// # Errors
    /// A kind that the key's purpose has not, or of which there is no load; what that kind needs and was not given.
    pub(super) fn new(
        key: &Key,
        kind: Option<TbsKind>,
        name: Option<&String>,
        ca_certificate: Option<&PathBuf>,
    ) -> anyhow::Result<Self> {
        let name = || name.context("certificates need --principal, a name that the key's profile allows");
        let ca = || {
            let path =
                ca_certificate.context("an X.509 key needs --ca-certificate, the certificate of the CA")?;
            anyhow::Ok(read_certificate(path)?.1)
        };
        let (kind, tbs) = match (key.purpose(), kind) {
            (Purpose::SshUserCa, None | Some(TbsKind::SshCertificate)) => {
                (TbsKind::SshCertificate, ssh(key, CertificateType::User, name()?)?)
            }
            (Purpose::SshHostCa, None | Some(TbsKind::SshCertificate)) => {
                (TbsKind::SshCertificate, ssh(key, CertificateType::Host, name()?)?)
            }
            (Purpose::X509Ca, None | Some(TbsKind::X509Certificate)) => {
                (TbsKind::X509Certificate, x509(key, ca()?.tbs(), name()?)?)
            }
            (Purpose::X509Ca, Some(TbsKind::OcspResponse))
            | (Purpose::Ocsp, None | Some(TbsKind::OcspResponse)) => {
                (TbsKind::OcspResponse, ocsp(key, ca()?.tbs())?)
            }
            (purpose, kind) => {
                let what = kind.map_or_else(String::new, |kind| format!(" of kind {kind}"));
                anyhow::bail!(
                    "there is no load{what} for key {}, which is for {}",
                    key.name,
                    purpose.as_str_name()
                )
            }
        };
        let mark = MARK.to_be_bytes();
        let at = tbs.windows(mark.len()).position(|window| window == mark).context("no serial")?;
        let (before, rest) = tbs.split_at(at);
        let after = rest.get(mark.len()..).context("no serial")?.to_vec();
        Ok(Self { key: key.name.clone(), kind, before: before.to_vec(), after })
    }

    /// A request for the `n`th certificate.
    pub(super) fn request(&self, n: u64) -> SignRequest {
        let tbs = [self.before.as_slice(), &(n + 1).to_be_bytes(), &self.after].concat();
        let tbs = match self.kind {
            TbsKind::SshCertificate => Tbs::SshCertificate(tbs.into()),
            TbsKind::X509Certificate => Tbs::X509Certificate(tbs.into()),
            TbsKind::X509Crl => Tbs::X509Crl(tbs.into()),
            TbsKind::OcspResponse => Tbs::OcspResponse(tbs.into()),
            TbsKind::X509Request => Tbs::X509Request(tbs.into()),
            TbsKind::X509Root => Tbs::X509Root(tbs.into()),
        };
        SignRequest {
            key: self.key.clone(),
            tbs: Some(tbs),
            request_id: n.to_string(),
            priority: Priority::Interactive.into(),
            ..SignRequest::default()
        }
    }
}

fn ssh(key: &Key, kind: CertificateType, principal: &str) -> anyhow::Result<Vec<u8>> {
    let SubjectKey::Plain(ca_key) = SubjectKey::from_openssh_line(&key.openssh)? else {
        anyhow::bail!("key {} is a security key", key.name)
    };
    let now = UnixTime::now().0;
    let tbs = ssh::CertificateBuilder::new(kind, SubjectKey::Plain(SUBJECT), ca_key)
        .serial(MARK)
        .key_id("countersign bench")
        .principal(principal)
        .valid_after(now)
        .valid_before(now + LIFETIME)
        .build()?;
    Ok(tbs.as_bytes().to_vec())
}

fn x509(key: &Key, ca: &TbsCertificate, dns_name: &str) -> anyhow::Result<Vec<u8>> {
    let scheme = scheme(key)?;
    let now = UnixTime::now().0;
    let validity = Validity { not_before: time(now)?, not_after: time(now + LIFETIME)? };
    let serial = serial()?;
    let purpose = Oid::from_contents(oids::SERVER_AUTH).context("no purpose")?;
    let authority = ca.subject_key_id().context("the CA's certificate has no subjectKeyIdentifier")?;
    let tbs = x509::CertificateBuilder::new(scheme.into(), ca.subject().clone(), validity, SUBJECT)
        .serial(serial)
        .basic_constraints(BasicConstraints::Leaf)
        .key_usage(KeyUsage::DIGITAL_SIGNATURE)
        .ext_key_usage(vec![purpose])
        .subject_alt_names(vec![GeneralName::Dns(dns_name.to_owned())])
        .authority_key_id(authority.clone())
        .build()?;
    Ok(tbs.as_bytes().to_vec())
}

/// That a certificate of `ca` is good, by the key itself: its responder is named by its hash.
fn ocsp(key: &Key, ca: &TbsCertificate) -> anyhow::Result<Vec<u8>> {
    let own = PublicKey::from_spki_der(&key.spki)?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &ocsp::public_key_bits(&own));
    let responder = ResponderId::KeyHash(hash.as_ref().try_into().context("SHA-1 has 20 bytes")?);
    let now = UnixTime::now().0;
    let response = SingleResponse {
        cert_id: CertId::sha256(ca.subject(), ca.public_key(), serial()?),
        status: CertStatus::Good,
        this_update: time(now)?,
        next_update: Some(time(now + LIFETIME)?),
        extensions: Vec::new(),
    };
    let data = ocsp::ResponseBuilder::new(responder, time(now)?).response(response).build()?;
    Ok(data.as_bytes().to_vec())
}

fn time(secs: u64) -> anyhow::Result<Time> {
    Time::from_unix_secs(secs).context("the clock is beyond the year 9999")
}

fn serial() -> anyhow::Result<SerialNumber> {
    SerialNumber::new(&MARK.to_be_bytes()).context("no serial")
}
