//! `countersign sign-tbs`: has the bytes of a file signed, of any kind that a key signs.
//!
//! In: the exact bytes of a TBS, which some front-end has built. Out: the finished object in a file that takes its place in
//! one step, after checking that it holds exactly those bytes. What may be signed is decided by the signer, not here.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use countersign_proto::v1::sign_request::Tbs;
use countersign_proto::v1::{Priority, SignRequest};
use countersign_tbs::TbsKind;

use super::pem;
use super::policy::kind;
use super::server::{ServerArgs, random_id, recorded};
use super::unfinished::Unfinished;

/// Has a TBS signed.
#[derive(Debug, clap::Args)]
pub(super) struct SignTbsArgs {
    /// The CA key's name in the signer's configuration
    key: String,
    /// The exact bytes of the TBS
    file: PathBuf,
    /// What they are: ssh-certificate, x509-certificate, x509-crl, ocsp-response, x509-request or x509-root
    #[arg(long, value_parser = kind)]
    kind: TbsKind,
    /// Where to write the finished object, in binary; `-` for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write PEM
    #[arg(long)]
    pem: bool,
    /// A name for this request in the signer's ledger, 1 to 64 of A-Z a-z 0-9 . _ : - [default: a random one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
///
/// # Errors
/// What the signer refused, or what kept the request from it, or the file that could not be written.
pub(super) async fn run(args: SignTbsArgs) -> anyhow::Result<()> {
    let tbs = fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    ensure!(
        !tbs.starts_with(b"-----BEGIN "),
        "{} is PEM, and nothing was signed: the bytes to be signed are wanted themselves, in DER, such as those of a TBSCertificate; \
         `countersign sign-csr` has a certificate signed for a request",
        args.file.display()
    );
    // Before anything is signed: a certificate that cannot be written is one that has to be revoked.
    let unfinished = Unfinished::unless_stdout(&args.out)?;
    let client = args.server.connect().await?;
    let request = SignRequest {
        key: args.key.clone(),
        tbs: Some(of_kind(args.kind, tbs.clone())),
        request_id: args.request_id.map_or_else(random_id, Ok)?,
        priority: Priority::Interactive.into(),
        ..SignRequest::default()
    };
    let response = client.sign(request).await.map_err(|error| args.server.refused(error))?;
    ensure!(
        response.object.windows(tbs.len().max(1)).any(|window| window == tbs),
        "the signer signed other bytes than those of {}; the answer was thrown away",
        args.file.display()
    );
    let object =
        if args.pem { pem(label(args.kind), &response.object).into() } else { response.object.to_vec() };
    let Some(unfinished) = unfinished else {
        return std::io::stdout().write_all(&object).context("cannot write to standard output");
    };
    let receipt = response.receipt.unwrap_or_default();
    unfinished
        .finish(&object)
        .with_context(|| format!("this was signed, but not written: {}", recorded(&receipt)))?;
    let (file, key, recorded) = (args.out.display(), args.key, recorded(&receipt));
    writeln!(std::io::stdout(), "{file}: {} signed by {key}; {recorded}", args.kind)
        .context("cannot write to standard output")
}

pub(super) fn of_kind(kind: TbsKind, bytes: Vec<u8>) -> Tbs {
    match kind {
        TbsKind::SshCertificate => Tbs::SshCertificate(bytes.into()),
        TbsKind::X509Certificate => Tbs::X509Certificate(bytes.into()),
        TbsKind::X509Crl => Tbs::X509Crl(bytes.into()),
        TbsKind::OcspResponse => Tbs::OcspResponse(bytes.into()),
        TbsKind::X509Request => Tbs::X509Request(bytes.into()),
        TbsKind::X509Root => Tbs::X509Root(bytes.into()),
    }
}

/// RFC 7468; what it does not name is called what OpenSSL calls it.
pub(super) const fn label(kind: TbsKind) -> &'static str {
    match kind {
        TbsKind::SshCertificate => "SSH CERTIFICATE",
        TbsKind::X509Certificate | TbsKind::X509Root => "CERTIFICATE",
        TbsKind::X509Request => "CERTIFICATE REQUEST",
        TbsKind::X509Crl => "X509 CRL",
        TbsKind::OcspResponse => "OCSP RESPONSE",
    }
}
