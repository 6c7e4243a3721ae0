//! `countersign key self-sign`: has a CA key sign its own certificate, which makes it a root.

use std::io::Write;
use std::time::Duration;

use countersign_tbs::TbsKind;
use countersign_tbs::x509::{
    BasicConstraints, CertificateBuilder, KeyUsage, Name, SignatureAlgorithm, TbsCertificate,
};

use super::certify::PaperArgs;
use crate::cli::x509::{SubjectPart, certificate_parts, key_id, subject, validity};
use crate::key::PublicKey;

/// Which key becomes a root, and under which name.
#[derive(clap::Args)]
pub(crate) struct SelfSignArgs {
    #[command(flatten)]
    paper: PaperArgs,
    /// A part of the root's name, such as "CN=Root 1"; repeated, in order
    #[arg(long, value_name = "LABEL=VALUE", required = true)]
    subject: Vec<SubjectPart>,
    /// How long it is valid from now on
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// How many CAs may follow below it [default: any number]
    #[arg(long, value_name = "NUMBER")]
    path_length: Option<u16>,
}

/// # Errors
/// What is wrong, and whether anything was signed.
pub(super) fn run(args: &SelfSignArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let desk = args.paper.desk()?;
    let root = Root { name: subject(&args.subject)?, lifetime: args.lifetime, path_length: args.path_length };
    let tbs = root.tbs(desk.algorithm(), &desk.public_key)?;
    writeln!(out, "{}", desk.sign(TbsKind::X509Root, tbs.as_bytes(), certificate_parts)?)?;
    writeln!(out, "set `certificate` in [key.{}], and restart the signer", args.paper.name)?;
    Ok(())
}

/// What a root says of itself.
pub(in crate::cli) struct Root {
    pub(in crate::cli) name: Name,
    pub(in crate::cli) lifetime: Duration,
    /// How many CAs may follow below it; `None` for any number.
    pub(in crate::cli) path_length: Option<u16>,
}

impl Root {
    /// Its certificate, to be signed by `key` itself.
    ///
    /// # Errors
    /// It breaks a rule, or the clock is beyond any certificate.
    pub(in crate::cli) fn tbs(
        self,
        algorithm: SignatureAlgorithm,
        key: &PublicKey,
    ) -> anyhow::Result<TbsCertificate> {
        let Self { name, lifetime, path_length } = self;
        let builder = CertificateBuilder::new(algorithm, name.clone(), validity(lifetime)?, key.clone())
            .subject(name)
            .basic_constraints(BasicConstraints::Ca { path_len: path_length })
            .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
            .subject_key_id(key_id(key)?);
        Ok(builder.build()?)
    }
}
