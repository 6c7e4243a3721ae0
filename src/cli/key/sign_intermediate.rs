//! `countersign key sign-intermediate`: has a CA key sign the certificate of a CA below it.
//!
//! In: a request that bears the signature of its own key, or a public key alone; and what the CA may do. Nothing but the key and
//! the name is taken from a request. Whether it may be signed decides a profile of the key with `signs = "intermediate-ca"`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use countersign_tbs::TbsKind;
use countersign_tbs::x509::{
    BasicConstraints, CertificateBuilder, DistributionPoint, Extension, ExtensionValue, GeneralName,
    KeyUsage, Name, NameConstraints, Subtree,
};

use super::certify::{PaperArgs, section};
use crate::cli::x509::{SubjectPart, certificate_parts, key_id, read, request, subject, validity};
use crate::key::{KeyCertificate, PublicKey};

/// Which CA is to be below which.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["csr", "public_key"]))]
pub(crate) struct SignIntermediateArgs {
    #[command(flatten)]
    paper: PaperArgs,
    /// The CA's request, in PEM or DER: its key and, without --subject, its name are taken from it
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// The CA's public key, in PEM or DER, if there is no request: then nothing shows that anybody has its private half
    #[arg(long, value_name = "FILE", requires = "subject")]
    public_key: Option<PathBuf>,
    /// A part of the CA's name, such as "CN=TLS CA 1"; repeated, in order
    #[arg(long, value_name = "LABEL=VALUE")]
    subject: Vec<SubjectPart>,
    /// How long it is valid from now on
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// How many CAs may follow below it
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    path_length: u16,
    /// What names the CA may certify, such as dns:example.org or ip:10.0.0.0/8; repeated
    #[arg(long, value_name = "KIND:NAME", value_parser = subtree)]
    permitted_name: Vec<Named>,
    /// What names it may not; repeated
    #[arg(long, value_name = "KIND:NAME", value_parser = subtree)]
    excluded_name: Vec<Named>,
    /// Where the signing CA's lists are; repeated
    #[arg(long, value_name = "URL")]
    crl_url: Vec<String>,
}

/// A subtree as it was written, which is how profiles sort them.
type Named = (String, Subtree);

fn subtree(text: &str) -> Result<Named, String> {
    let subtree = Subtree::from_text(text)
        .ok_or("it is a subtree such as dns:example.org, email:example.org or ip:10.0.0.0/8")?;
    Ok((text.to_owned(), subtree))
}

/// # Errors
/// What is wrong, and whether anything was signed.
pub(super) fn run(args: &SignIntermediateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let (key, name) = args.whose()?;
    let desk = args.paper.desk()?;
    let issuer = KeyCertificate::load(section(&desk.config, &args.paper.name)?)
        .with_context(|| format!("the certificate of key {}", args.paper.name))?;
    let issuer_id = issuer.key_id().context("the CA's certificate has no subjectKeyIdentifier")?.clone();
    let start = CertificateBuilder::new(
        desk.algorithm(),
        issuer.own().subject().clone(),
        validity(args.lifetime)?,
        key.clone(),
    );
    let builder = start
        .subject(name)
        .basic_constraints(BasicConstraints::Ca { path_len: Some(args.path_length) })
        .key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN)
        .subject_key_id(key_id(&key)?)
        .authority_key_id(issuer_id);
    let tbs = args.extensions().into_iter().fold(builder, CertificateBuilder::extension).build()?;
    writeln!(out, "{}", desk.sign(TbsKind::X509Certificate, tbs.as_bytes(), certificate_parts)?)?;
    Ok(())
}

impl SignIntermediateArgs {
    /// The key to be certified, and its name.
    fn whose(&self) -> anyhow::Result<(PublicKey, Name)> {
        let named = (!self.subject.is_empty()).then(|| subject(&self.subject)).transpose()?;
        if let Some(file) = &self.csr {
            let info = request(file)?;
            let key = info.public_key().clone();
            return Ok((key, named.unwrap_or_else(|| info.subject().clone())));
        }
        let file = self.public_key.as_ref().context("give --csr or --public-key")?;
        let der = read(file, &["PUBLIC KEY"])?;
        let key =
            PublicKey::from_spki_der(&der).with_context(|| format!("{} is no public key", file.display()))?;
        Ok((key, named.context("give --subject")?))
    }

    fn extensions(&self) -> Vec<Extension> {
        let sorted = |names: &[Named]| {
            let by_text: BTreeSet<_> = names.iter().map(|(text, _)| text.clone()).collect();
            by_text.iter().filter_map(|text| Subtree::from_text(text)).collect::<Vec<_>>()
        };
        let (permitted, excluded) = (sorted(&self.permitted_name), sorted(&self.excluded_name));
        let mut extensions = Vec::new();
        if !permitted.is_empty() || !excluded.is_empty() {
            let constraints = NameConstraints { permitted, excluded };
            extensions.push(Extension::critical(ExtensionValue::NameConstraints(constraints)));
        }
        if !self.crl_url.is_empty() {
            let full_name = self.crl_url.iter().cloned().map(GeneralName::Uri).collect();
            let points = vec![DistributionPoint { full_name }];
            extensions.push(Extension::non_critical(ExtensionValue::CrlDistributionPoints(points)));
        }
        extensions
    }
}
