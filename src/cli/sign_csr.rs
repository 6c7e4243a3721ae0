//! `countersign sign-csr`: has one X.509 certificate signed for the key of a request (PKCS#10), as a front-end would, from the command line.
//!
//! In: a request, what the certificate is to say, and where the signer is. Out: the certificate in PEM, written in one step, after
//! checking that the CA's key signed exactly what was asked for. A request is a wish: its key alone is taken, unless an option says more,
//! and what is asked for is shown before. What may be signed is decided by the signer, not here.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use countersign_proto::client::escaped;
use countersign_proto::v1::Purpose;
use countersign_tbs::TbsKind;
use countersign_tbs::csr::CertificationRequestInfo;
use countersign_tbs::der::{Oid, Time, oids};
use countersign_tbs::x509::{
    BasicConstraints, Certificate, CertificateBuilder, ExtensionValue, GeneralName, KeyUsage, Name,
    TbsCertificate, Validity,
};

use super::ledger::seconds;
use super::server::{ServerArgs, recorded};
use super::sign::lifetime;
use super::signing::Signing;
use super::unfinished::Unfinished;
use super::x509::{SubjectPart, certificate_parts, key_id, request, subject};
use super::{Usage, pem};
use crate::key::{PublicKey, UnixTime};

/// Has an X.509 certificate signed.
#[derive(Debug, clap::Args)]
pub(super) struct SignCsrArgs {
    /// The CA key's name in the signer's configuration
    key: String,
    /// The request (PKCS#10, PEM or DER); its key is taken from it, and no more than the options say
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// The end of a TLS connection that the certificate is for
    #[arg(long = "for", value_enum, value_name = "END", default_value_t = End::Server)]
    end: End,
    #[command(flatten)]
    names: NameArgs,
    /// How long the certificate is valid from now on
    #[arg(long, default_value = "30days", value_name = "DURATION", value_parser = lifetime)]
    lifetime: Duration,
    /// How far before now its validity begins, for clocks that are slow; never before the CA's own
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    backdate: Duration,
    /// Where to write the certificate, in PEM; `-` for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the CA's certificate after it, as servers want it that are below another CA
    #[arg(long)]
    chain: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Whom the certificate is to name.
#[derive(Debug, clap::Args)]
struct NameArgs {
    /// A DNS name that it is for, such as www.example.org; may be repeated
    #[arg(long = "dns-name", value_name = "NAME")]
    dns_names: Vec<String>,
    /// An IP address that it is for; may be repeated
    #[arg(long = "ip", value_name = "ADDRESS")]
    ips: Vec<IpAddr>,
    /// A URI that it is for, such as a SPIFFE ID; may be repeated
    #[arg(long = "uri", value_name = "URI")]
    uris: Vec<String>,
    /// A mail address that it is for; may be repeated
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// Take the names (subjectAltName) that the request asks for
    #[arg(long, conflicts_with_all = ["dns_names", "ips", "uris", "emails"])]
    names_from_csr: bool,
    /// A part of its subject, such as "CN=www"; repeated, in order [default: an empty subject]
    #[arg(long = "subject", value_name = "LABEL=VALUE")]
    parts: Vec<SubjectPart>,
    /// Take the subject that the request asks for
    #[arg(long, conflicts_with = "parts")]
    subject_from_csr: bool,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum End {
    /// A TLS server
    Server,
    /// A TLS client
    Client,
    /// Both ends, as services with a SPIFFE ID are
    Both,
}

/// Whom a certificate names.
struct Names {
    subject: Name,
    alternative: Vec<GeneralName>,
}

/// # Errors
/// What the signer refused, or what kept the request from it, or the file that could not be written.
pub(super) fn run(args: &SignCsrArgs) -> anyhow::Result<()> {
    let info = request(&args.csr)?;
    let names = args.names.of(args, &info)?;
    // Before anything is signed: a certificate that cannot be written is one that has to be revoked.
    let unfinished = Unfinished::unless_stdout(&args.out)?;
    let signing = Signing::through(&args.server, &args.key)?;
    want_x509(&signing)?;
    let (ca_der, ca) = signing.certificate()?;
    let tbs = args.tbs(&signing, &ca, &info, names)?;
    write!(std::io::stderr(), "{}", args.shown(&tbs)).context("cannot write to standard error")?;
    let signed = signing.sign(TbsKind::X509Certificate, tbs.as_bytes(), certificate_parts)?;
    let chain = if args.chain { pem("CERTIFICATE", &ca_der) } else { String::new() };
    let text = pem("CERTIFICATE", &signed.object) + &chain;
    let Some(unfinished) = unfinished else {
        return write!(std::io::stdout(), "{text}").context("cannot write to standard output");
    };
    unfinished.finish(text.as_bytes()).with_context(|| {
        format!("this was signed, but not written: {}\n{text}", recorded(&signed.receipt))
    })?;
    let (file, serial) = (args.out.display(), tbs.serial());
    writeln!(
        std::io::stdout(),
        "{file}: signed by {}, serial {serial}; {}",
        escaped(signing.name()),
        recorded(&signed.receipt)
    )
    .context("cannot write to standard output")
}

/// # Errors
/// The key signs something else.
fn want_x509(signing: &Signing) -> anyhow::Result<()> {
    let name = signing.name();
    let advice = match signing.purpose() {
        Purpose::X509Ca => return Ok(()),
        Purpose::SshUserCa | Purpose::SshHostCa => {
            "an SSH CA: `countersign sign` has SSH certificates signed".to_owned()
        }
        other => format!(
            "for {}: name a key of purpose x509-ca",
            other.as_str_name().trim_start_matches("PURPOSE_").to_lowercase().replace('_', "-")
        ),
    };
    Err(Usage(format!("{name} signs no X.509 certificates; it is {advice}")).into())
}

impl SignCsrArgs {
    /// What the CA is to sign.
    fn tbs(
        &self,
        signing: &Signing,
        ca: &Certificate,
        info: &CertificationRequestInfo,
        names: Names,
    ) -> anyhow::Result<TbsCertificate> {
        let (ca, key) = (ca.tbs(), info.public_key());
        let ca_key_id = ca.subject_key_id().context("the CA's certificate has no subjectKeyIdentifier")?;
        let validity = self.validity(&ca.validity(), UnixTime::now())?;
        let builder =
            CertificateBuilder::new(signing.algorithm(), ca.subject().clone(), validity, key.clone())
                .subject(names.subject)
                .basic_constraints(BasicConstraints::Leaf)
                .key_usage(self.end.key_usage(key))
                .ext_key_usage(self.end.purposes());
        let builder =
            if names.alternative.is_empty() { builder } else { builder.subject_alt_names(names.alternative) };
        Ok(builder.subject_key_id(key_id(key)?).authority_key_id(ca_key_id.clone()).build()?)
    }

    /// From a little before `now`, within the CA's own.
    fn validity(&self, ca: &Validity, now: UnixTime) -> anyhow::Result<Validity> {
        let (from, to) = (ca.not_before.unix_secs(), ca.not_after.unix_secs());
        ensure!(
            now.0 <= to,
            "the certificate of key {} ended at {}, and nothing was signed: have it renewed (docs/x509.md), and the signer restarted",
            self.key,
            seconds(to)
        );
        let end = now.0.saturating_add(self.lifetime.as_secs());
        ensure!(
            end <= to,
            "the certificate would outlive its CA's, which ends at {}, and nothing was signed: give a shorter --lifetime, or renew the CA",
            seconds(to)
        );
        let begin = now.0.saturating_sub(self.backdate.as_secs()).max(from);
        let time = |secs| Time::from_unix_secs(secs).context("the validity ends beyond 9999");
        Ok(Validity { not_before: time(begin)?, not_after: time(end)? })
    }

    /// What is asked for, for a person.
    fn shown(&self, tbs: &TbsCertificate) -> String {
        let names: Vec<_> = tbs.subject_alt_names().iter().map(ToString::to_string).collect();
        let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        format!(
            "asking {} for a certificate of the key {}\n  for      {}\n  names    {}\n  subject  {}\n  until    {}\n",
            self.key,
            tbs.public_key().fingerprint(),
            self.end.words(),
            or_none(names.join(", ")),
            or_none(tbs.subject().to_string()),
            seconds(tbs.validity().not_after.unix_secs())
        )
    }
}

impl NameArgs {
    /// What the options say, and of the request what they let in.
    ///
    /// # Errors
    /// It would be a certificate for nobody.
    fn of(&self, args: &SignCsrArgs, info: &CertificationRequestInfo) -> anyhow::Result<Names> {
        let asked = asked_names(info);
        let alternative = if self.names_from_csr { asked.to_vec() } else { self.given() };
        let subject = if self.subject_from_csr { info.subject().clone() } else { subject(&self.parts)? };
        ensure!(
            !alternative.is_empty() || (args.end == End::Client && !subject.is_empty()),
            Usage(nobody(args, asked, info.subject()))
        );
        Ok(Names { subject, alternative })
    }

    fn given(&self) -> Vec<GeneralName> {
        let dns = self.dns_names.iter().cloned().map(GeneralName::Dns);
        let ips = self.ips.iter().copied().map(GeneralName::Ip);
        let uris = self.uris.iter().cloned().map(GeneralName::Uri);
        let emails = self.emails.iter().cloned().map(GeneralName::Email);
        dns.chain(ips).chain(uris).chain(emails).collect()
    }
}

/// The names that a request asks for.
fn asked_names(info: &CertificationRequestInfo) -> &[GeneralName] {
    let found = info.extensions().iter().find_map(|extension| match &extension.value {
        ExtensionValue::SubjectAltName(names) => Some(names.as_slice()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// What to say if nobody would be named.
fn nobody(args: &SignCsrArgs, asked: &[GeneralName], subject: &Name) -> String {
    let file = args.csr.display();
    let wish = if asked.is_empty() {
        let subject = if subject.is_empty() { "no subject".to_owned() } else { format!("subject {subject}") };
        format!("{file} asks for no names, and for {subject}")
    } else {
        let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
        format!("{file} asks for {}: --names-from-csr takes that", asked.join(", "))
    };
    let instead = match args.end {
        End::Server => "--dns-name www.example.org or --ip 192.0.2.7",
        End::Client | End::Both => "--uri spiffe://example.org/web, --dns-name or --email",
    };
    format!("whom the certificate is for is not said: give {instead}. {wish}")
}

impl End {
    fn purposes(self) -> Vec<Oid> {
        let all: &[&[u8]] = match self {
            Self::Server => &[oids::SERVER_AUTH],
            Self::Client => &[oids::CLIENT_AUTH],
            Self::Both => &[oids::CLIENT_AUTH, oids::SERVER_AUTH],
        };
        all.iter().filter_map(|purpose| Oid::from_contents(purpose)).collect()
    }

    /// RSA's key exchange, which servers of TLS 1.2 may still have, encrypts; no other key does.
    fn key_usage(self, key: &PublicKey) -> KeyUsage {
        match (self, key) {
            (Self::Server, PublicKey::Rsa(_)) => KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
            (
                Self::Server | Self::Client | Self::Both,
                PublicKey::Rsa(_) | PublicKey::Ecdsa(_) | PublicKey::Ed25519(_) | PublicKey::MlDsa(_),
            ) => KeyUsage::DIGITAL_SIGNATURE,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Server => "a TLS server",
            Self::Client => "a TLS client",
            Self::Both => "both ends of TLS",
        }
    }
}

#[cfg(test)]
mod tests;
