//! `countersign key csr`: has a CA key sign the request for its own certificate.

use std::io::Write;

use countersign_tbs::TbsKind;
use countersign_tbs::csr::{CertificationRequest, RequestBuilder};
use countersign_tbs::x509::{BasicConstraints, Extension, ExtensionValue, KeyUsage};

use super::certify::PaperArgs;
use crate::cli::x509::{SubjectPart, key_id, subject};

/// Which key is to be certified, and as whom.
#[derive(clap::Args)]
pub(crate) struct CsrArgs {
    #[command(flatten)]
    paper: PaperArgs,
    /// A part of the name that the CA is to have, such as "CN=TLS CA 1"; repeated, in order
    #[arg(long, value_name = "LABEL=VALUE", required = true)]
    subject: Vec<SubjectPart>,
}

/// # Errors
/// What is wrong, and whether anything was signed.
pub(super) fn run(args: &CsrArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let desk = args.paper.desk()?;
    let key = desk.public_key.clone();
    let usage = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
    let constraints = ExtensionValue::BasicConstraints(BasicConstraints::Ca { path_len: None });
    let info = RequestBuilder::new(subject(&args.subject)?, key.clone())
        .extension(Extension::critical(constraints))
        .extension(Extension::critical(ExtensionValue::KeyUsage(usage)))
        .extension(Extension::non_critical(ExtensionValue::SubjectKeyId(key_id(&key)?)))
        .build()?;
    let said = desk.sign(TbsKind::X509Request, info.as_bytes(), |object| {
        let request = CertificationRequest::parse(object).ok()?;
        Some((request.info().as_bytes().to_vec(), request.signature().to_vec()))
    })?;
    writeln!(out, "{said}")?;
    writeln!(
        out,
        "when it is certified, set `certificate` in [key.{}], and restart the signer",
        args.paper.name
    )?;
    Ok(())
}
