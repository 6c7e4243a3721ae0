//! `countersign crl`: an X.509 CRL of what a ledger says is revoked, signed by the signer like any other TBS.
//!
//! In: a signer whose ledger this caller may read and who signs CRLs for it, and the CA's certificate. Out: the list, in a file that
//! takes its place in one step. Promised: it names what the signer would miss in it, the number is above those before it, nothing is
//! replaced but an older list of the same issuer, and nothing but what was asked for is written.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use countersign_proto::Client;
use countersign_proto::v1::sign_request::Tbs as Request;
use countersign_proto::v1::{self, Priority, SignRequest, SignResponse};
use countersign_tbs::crl::{
    CrlBuilder, CrlNumber, EntryExtension, IssuingDistributionPoint, RevokedEntry, Scope, TbsCertList,
    Updates,
};
use countersign_tbs::der::Time;
use countersign_tbs::x509::{GeneralName, SerialNumber, SignatureAlgorithm, TbsCertificate};
use serde_json::json;

use crate::cli::ledger::source::refused as refused_to_read;
use crate::cli::ledger::{ascii, seconds};
use crate::cli::pem;
use crate::cli::server::{ServerArgs, random_id};
use crate::cli::turn::Turn;
use crate::cli::unfinished::Unfinished;
use crate::cli::{runtime, scheme};
use crate::key::{UnixTime, read_certificate};
use crate::ledger::Serial;
use crate::ledger::entry::{RevocationReason, sha256};
use crate::policy::Reason;

mod there;

/// How often a list is made that lacks what was revoked meanwhile.
const TRIES: u32 = 3;

/// The word by which the signer refuses it.
const NOT_LISTED: &str = Reason::RevokedNotListed.code_word();

/// Whose list, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Crl {
    /// The CA key's name
    key: String,
    /// The CA's certificate, PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The key that signs the list, if it is not the CA's own: one of purpose x509-crl
    #[arg(long, value_name = "KEY", requires = "signer_certificate")]
    signer: Option<String>,
    /// Its certificate
    #[arg(long, value_name = "FILE", requires = "signer")]
    signer_certificate: Option<PathBuf>,
    /// The list
    #[arg(long = "out", visible_alias = "output", value_name = "FILE")]
    output: PathBuf,
    /// Write PEM
    #[arg(long)]
    pem: bool,
    /// How long until the next list comes at the latest
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = humantime::parse_duration)]
    next_update: Duration,
    /// Its number, decimal or after 0x hexadecimal [default: one above the newest in the ledger]
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    number: Option<CrlNumber>,
    /// Where the list is published, as certificates say; may be repeated
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// List certificates that have expired, too
    #[arg(long)]
    expired: bool,
    /// Print one JSON object; docs/revocation.md lists its fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Crl {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        runtime()?.block_on(self.make(out))
    }

    async fn make(self, out: &mut impl Write) -> anyhow::Result<()> {
        let (_, ca) = read_certificate(&self.certificate)?;
        let signer = match &self.signer_certificate {
            Some(file) => read_certificate(file)?.1,
            None => ca.clone(),
        };
        let unfinished = Unfinished::beside(&self.output)?;
        let _turn = Turn::at(&self.output)?;
        let client = self.server.connect().await?;
        let (list, answer) = self.signed(&client, ca.tbs(), signer.tbs()).await?;
        let is_it = answer.object.windows(list.as_bytes().len()).any(|window| window == list.as_bytes());
        ensure!(is_it, "the signer signed another list than the one that was asked for; it was thrown away");
        let bytes =
            if self.pem { pem("X509 CRL", &answer.object).into_bytes() } else { answer.object.to_vec() };
        // Who has another lock, on another host, may have been faster.
        there::loses_nothing(&self.output, &list)?;
        unfinished.for_all()?.finish(&bytes)?;
        writeln!(out, "{}", self.said(&list, &answer))?;
        Ok(out.flush()?)
    }

    /// What was made, in one line.
    fn said(&self, list: &TbsCertList, answer: &SignResponse) -> String {
        let (file, number, count) = (self.output.display(), list.number(), list.entry_count());
        let until = list.next_update().unix_secs();
        if self.json {
            let made = json!({
                "file": file.to_string(), "key": self.key, "number": number.to_string(), "certificates": count,
                "next_update": until.to_string(), "entry": answer.receipt.as_ref().map(|receipt| receipt.entry_index),
            });
            return ascii(&made.to_string());
        }
        let until = seconds(until);
        format!("{file}: CRL {number} of key {}, {count} certificates, good until {until}", self.key)
    }

    /// The list, signed. If something was revoked while it was made, it is made again.
    async fn signed(
        &self,
        client: &Client,
        ca: &TbsCertificate,
        signer: &TbsCertificate,
    ) -> anyhow::Result<(TbsCertList, SignResponse)> {
        let mut tries = TRIES;
        loop {
            let list = self.list(client, ca, signer).await?;
            // Before it costs a number.
            there::loses_nothing(&self.output, &list)?;
            let request = SignRequest {
                key: self.signer.clone().unwrap_or_else(|| self.key.clone()),
                tbs: Some(Request::X509Crl(list.as_bytes().to_vec().into())),
                request_id: random_id()?,
                priority: Priority::Interactive.into(),
                ..SignRequest::default()
            };
            tries -= 1;
            match client.sign(request).await {
                Ok(answer) => return Ok((list, answer)),
                Err(error) if error.reason == NOT_LISTED && tries > 0 => {}
                Err(error) => return Err(self.server.refused(error)),
            }
        }
    }

    /// What is to be signed.
    async fn list(
        &self,
        client: &Client,
        ca: &TbsCertificate,
        signer: &TbsCertificate,
    ) -> anyhow::Result<TbsCertList> {
        let key = client.get_key(self.signer.as_ref().unwrap_or(&self.key)).await;
        let key = key.map_err(|error| self.server.refused(error))?;
        let spki_sha256 = sha256(&[&signer.public_key().to_spki_der()]);
        ensure!(
            *key.spki_sha256 == spki_sha256,
            "key {} is not the one that is certified in {}",
            key.name,
            self.signer_certificate.as_ref().unwrap_or(&self.certificate).display()
        );
        let scheme = scheme(&key)?;
        let number = match self.number {
            Some(number) => number,
            None => next(client, spki_sha256).await?,
        };
        let this = UnixTime::now().0;
        let next = this.saturating_add(self.next_update.as_secs());
        let time = |seconds| Time::from_unix_secs(seconds).context("--next-update is after the year 9999");
        let updates = Updates { this: time(this)?, next: time(next)? };
        let entries = self.entries(client, ca, updates).await?;
        let id = signer.subject_key_id().context("the certificate has no subjectKeyIdentifier")?;
        let builder = CrlBuilder::new(SignatureAlgorithm::from(scheme), signer.subject().clone(), updates)
            .authority_key_id(id.clone())
            .number(number);
        let builder = entries.iter().fold(builder, CrlBuilder::entry);
        let names: Vec<_> = self.urls.iter().cloned().map(GeneralName::Uri).collect();
        let builder = if names.is_empty() {
            builder
        } else {
            builder
                .issuing_distribution_point(IssuingDistributionPoint { full_name: names, scope: Scope::All })
        };
        Ok(builder.build()?)
    }

    /// What the signer says that the list has to name.
    async fn entries(
        &self,
        client: &Client,
        ca: &TbsCertificate,
        updates: Updates,
    ) -> anyhow::Result<Vec<RevokedEntry>> {
        let (this_update, next_update) = if self.expired {
            // As if there had never been a list.
            (0, updates.next.unix_secs())
        } else {
            (updates.this.unix_secs(), updates.next.unix_secs())
        };
        let mut request = v1::ListRevokedRequest {
            spki_sha256: sha256(&[&ca.public_key().to_spki_der()]).to_vec().into(),
            signer: self.signer.clone().unwrap_or_else(|| self.key.clone()),
            this_update,
            next_update,
            after: Bytes::new(),
        };
        let mut entries = Vec::new();
        loop {
            let page = client.list_revoked(request.clone()).await.map_err(refused_to_read)?;
            for certificate in &page.certificates {
                entries.push(entry(certificate, updates.this)?);
            }
            match page.certificates.last() {
                Some(last) if page.more => request.after = last.serial.clone(),
                _ => return Ok(entries),
            }
        }
    }
}

/// What a list of `this` says of a certificate.
fn entry(certificate: &v1::RevokedCertificate, this: Time) -> anyhow::Result<RevokedEntry> {
    let serial = SerialNumber::new(&certificate.serial).context("the signer sent a serial that is none")?;
    let reason: RevocationReason =
        certificate.reason.parse().context("the signer sent a reason of revocation")?;
    // The clock of who makes the list may be behind the signer's.
    let revoked = Time::from_unix_secs(certificate.since_ms / 1000).map_or(this, |revoked| revoked.min(this));
    let reason = reason.in_crl().map(EntryExtension::Reason);
    Ok(RevokedEntry { extensions: reason.into_iter().collect(), ..RevokedEntry::new(serial, revoked) })
}

fn number(text: &str) -> Result<CrlNumber, String> {
    let hexadecimal = text.starts_with("0x").then(|| text.parse::<Serial>().ok()?.octets(true)).flatten();
    let number = match hexadecimal {
        Some(octets) => CrlNumber::new(&octets),
        None => text.parse::<u64>().ok().map(CrlNumber::from),
    };
    number.ok_or_else(|| "a CRL's number is decimal, or 0x and up to 20 octets in hexadecimal".to_owned())
}

/// The number after the newest that the signer's ledger has.
async fn next(client: &Client, spki_sha256: [u8; 32]) -> anyhow::Result<CrlNumber> {
    let Some(newest) = client.crl_number(spki_sha256).await.map_err(refused_to_read)? else {
        return Ok(1.into());
    };
    let newest = CrlNumber::new(&newest).context("the signer sent a CRL number that is none")?;
    newest.checked_add(1).context("the CA's lists are at their last number: replace its key")
}
