//! `countersign revoke`: takes certificates of a CA key back, for ever.
//!
//! In: which, why, and a word for lists. Out: the ledger's entry of it. The running signer does it, since it alone writes the
//! ledger: over its Unix socket, for root and its own user. What is meant is shown first, and asked about in a terminal.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use countersign_proto::v1::revoke_request::What;
use countersign_proto::v1::{self, RevokeRequest};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, SubjectKey};

use crate::cli::ledger::find::millis;
use crate::cli::ledger::keys;
use crate::cli::ledger::{Style, note};
use crate::cli::revoked::Record;
use crate::cli::sign::refused;
use crate::cli::{ConfigArgs, runtime};
use crate::config::Config;
use crate::key::{KeyPurpose, UnixTime};
use crate::ledger::entry::{
    CaKey, RevocationReason, Revoked, UnixMillis, fingerprint, from_fingerprint, key_sha256,
};
use base64ct::{Base64, Encoding};

/// How many certificates are shown before the question.
const SHOWN: u64 = 20;

/// Which certificates, and why.
#[derive(clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    config: ConfigArgs,
    /// The CA key's name
    key: String,
    #[command(flatten)]
    what: Selected,
    /// Why, for lists: unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn
    #[arg(long, value_name = "WORD", default_value = "unspecified")]
    reason: RevocationReason,
    /// Why, for the ledger: one line; must be given unless --dry-run is
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    why: Option<String>,
    /// Revoke a serial, a key id or a subject key even if this ledger has no such certificate
    #[arg(long)]
    not_in_ledger: bool,
    /// Show what would be revoked, and revoke nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    style: Style,
}

/// One selection.
#[derive(clap::Args)]
#[group(id = "what", required = true, multiple = true)]
struct Selected {
    /// The certificate with this serial: of SSH decimal, of X.509 hexadecimal
    #[arg(long, value_name = "NUMBER", group = "one")]
    serial: Option<String>,
    /// All SSH certificates with this key id, also those that are signed later
    #[arg(long, value_name = "TEXT", group = "one")]
    key_id: Option<String>,
    /// Those with this principal, subject alternative name (DNS:www.example.org) or subject (CN=…), signed until now
    #[arg(long, visible_alias = "name", value_name = "NAME", group = "one")]
    principal: Option<String>,
    /// All for this public key, also those that are signed later: SHA256:…, or a file with a public key or a certificate
    #[arg(long, value_name = "FINGERPRINT|FILE", group = "one")]
    subject: Option<String>,
    /// Those that the ledger recorded at this time or later, until now or --until
    #[arg(long, value_name = "RFC3339", value_parser = humantime::parse_rfc3339_weak, group = "one")]
    since: Option<SystemTime>,
    /// With --since: before this time
    #[arg(long, value_name = "RFC3339", value_parser = humantime::parse_rfc3339_weak, requires = "since")]
    until: Option<SystemTime>,
    /// The certificate of this entry of the ledger
    #[arg(long, value_name = "INDEX", group = "one")]
    entry: Option<u64>,
}

impl Revoke {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        runtime()?.block_on(self.revoke(out))
    }

    async fn revoke(self, out: &mut impl Write) -> anyhow::Result<()> {
        let what = self.what.message()?;
        let config = self.config.load()?;
        let client = self.config.operator(&config).await?;
        let request = RevokeRequest {
            key: self.key.clone(),
            what: Some(what.clone()),
            reason: self.reason.to_string(),
            why: self.why.clone().unwrap_or_else(|| "dry run".to_owned()),
            not_in_ledger: self.not_in_ledger,
            dry_run: true,
        };
        let record = Record::of(client.clone()).await?;
        if !record.others.is_empty() {
            let others = record.others.join(", ");
            note(&format!(
                "only what {} has is shown; what is meant in {others} is revoked, too",
                record.origin
            ))?;
        }
        let checked = client.revoke(request.clone()).await.map_err(refused)?;
        let (ca_key, what) = revoked(&checked.key.context("the signer named no key")?, what)?;
        let shown = if self.dry_run { u64::MAX } else { SHOWN };
        let count = self.show(&record, &ca_key, &what, shown, out).await?;
        if self.dry_run {
            return Ok(());
        }
        if !self.yes {
            confirm(count, &self.what, &self.key)?;
        }
        let answer = client.revoke(RevokeRequest { dry_run: false, ..request }).await.map_err(refused)?;
        let receipt = answer.receipt.context("the signer gave no receipt")?;
        if !self.style.is_json() {
            writeln!(
                out,
                "revoked by entry {}; the ledger has {count} such certificates of key {}",
                receipt.entry_index, self.key
            )?;
            writeln!(
                out,
                "nobody who verifies knows of it before you distribute a new list: {}",
                next(&ca_key, &self.key, &config)
            )?;
        }
        Ok(out.flush()?)
    }

    /// Prints the certificates that are meant, up to so many; how many there are.
    async fn show(
        &self,
        record: &Record,
        ca_key: &CaKey,
        what: &Revoked,
        most: u64,
        out: &mut impl Write,
    ) -> anyhow::Result<u64> {
        let mut count = 0;
        record
            .certificates(ca_key, what, record.size, |found| {
                count += 1;
                if count <= most { Ok(self.style.print(found.index, &found.entry, out)?) } else { Ok(()) }
            })
            .await?;
        if !self.style.is_json() && count > most {
            writeln!(out, "and {} more; --dry-run shows all", count - most)?;
        }
        if !self.style.is_json() && count == 0 {
            writeln!(out, "this ledger has no such certificate")?;
        }
        Ok(count)
    }
}

/// What is to be done next, as a line to paste.
fn next(ca_key: &CaKey, key: &str, config: &Config) -> String {
    if ca_key.is_x509() {
        let section = config.keys.iter().find(|section| section.name.as_str() == key);
        let file = |path: Option<&PathBuf>| path.map_or("FILE".to_owned(), |path| path.display().to_string());
        let certificate = file(section.and_then(|section| Some(&section.certificate.as_ref()?.own)));
        let socket = file(config.server.unix_socket.as_ref());
        format!(
            "`countersign crl {key} --certificate {certificate} --output {key}.crl --server unix:{socket}`"
        )
    } else {
        format!("`countersign ssh-krl {key} --output {key}.krl`, for the file that sshd's RevokedKeys names")
    }
}

/// Asks, if there is somebody to ask.
fn confirm(count: u64, what: &Selected, key: &str) -> anyhow::Result<()> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    ensure!(stdin.is_terminal(), "nothing was revoked: there is no terminal to ask in; give --yes");
    let doomed = match count {
        0 => format!("{what} of key {key} will be revoked although this ledger has no such certificate"),
        1 => format!("1 certificate of key {key} will be revoked"),
        _ => format!("{count} certificates of key {key} will be revoked"),
    };
    write!(stderr, "{doomed}, and there is no way back. Type yes to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    ensure!(answer.trim() == "yes", "nothing was revoked");
    Ok(())
}

/// What the signer was asked, as the ledger has it.
fn revoked(key: &v1::Key, what: What) -> anyhow::Result<(CaKey, Revoked)> {
    let purpose = match key.purpose() {
        v1::Purpose::X509Ca => KeyPurpose::X509Ca,
        v1::Purpose::SshHostCa => KeyPurpose::SshHostCa,
        v1::Purpose::SshUserCa => KeyPurpose::SshUserCa,
        other => bail!("the signer named a key for {}", other.as_str_name()),
    };
    let spki_sha256 =
        <[u8; 32]>::try_from(&*key.spki_sha256).ok().context("the signer sent no hash of a key")?;
    let ca_key = CaKey { purpose: purpose.name().to_owned(), scheme: String::new(), spki_sha256 };
    let what = match what {
        What::Serial(text) => Revoked::serial(&text, ca_key.is_x509()),
        What::KeyId(id) => Some(Revoked::KeyId(id.into_bytes())),
        What::Name(name) => Some(Revoked::Name(name.into_bytes())),
        What::SubjectKey(text) => from_fingerprint(&text).map(Revoked::SubjectKey),
        What::Recorded(range) => {
            Some(Revoked::Recorded(UnixMillis(range.since_ms), UnixMillis(range.until_ms)))
        }
        What::Entry(index) => Some(Revoked::Entry(index)),
    };
    Ok((ca_key, what.context("the signer takes a selection that this command does not read")?))
}

/// As a person names it.
impl fmt::Display for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, key_id, principal, subject, since: _, until: _, entry } = self;
        let texts =
            [("serial", serial), ("key id", key_id), ("principal", principal), ("subject key", subject)];
        match (texts.into_iter().find_map(|(kind, text)| Some((kind, text.as_ref()?))), entry) {
            // It is a person's own argument, but may have been pasted.
            (Some((kind, text)), _) => write!(f, "{kind} {}", text.escape_debug()),
            (None, Some(entry)) => write!(f, "entry {entry}"),
            (None, None) => f.write_str("what was recorded at that time"),
        }
    }
}

impl Selected {
    fn message(&self) -> anyhow::Result<What> {
        let Self { serial, key_id, principal, subject, since, until, entry } = self;
        let texts = [
            serial.clone().map(What::Serial),
            key_id.clone().map(What::KeyId),
            principal.clone().map(What::Name),
            entry.map(What::Entry),
        ];
        if let Some(what) = texts.into_iter().flatten().next() {
            return Ok(what);
        }
        if let Some(subject) = subject {
            return Ok(What::SubjectKey(subject_key(subject)?));
        }
        let since = millis(since.context(
            "select certificates: --serial, --key-id, --principal, --subject, --since or --entry",
        )?);
        let now = UnixTime::now().0.saturating_mul(1000).saturating_add(1000);
        let until_ms = until.map_or(now, millis);
        ensure!(since < until_ms, "--since must be before --until, or before now without it");
        Ok(What::Recorded(v1::TimeRange { since_ms: since, until_ms }))
    }
}

/// The fingerprint itself, or that of the one key in a file.
fn subject_key(text: &str) -> anyhow::Result<String> {
    if text.starts_with("SHA256:") {
        ensure!(
            from_fingerprint(text).is_some(),
            "{text} is no fingerprint; `ssh-keygen -l` prints SHA256 and 43 characters"
        );
        return Ok(text.to_owned());
    }
    let path = PathBuf::from(text);
    let content = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read {text}; --subject takes SHA256:… or a file with a public key or a certificate")
    })?;
    if let Some(key) = ssh_key(&content) {
        return Ok(fingerprint(&key_sha256(&key)));
    }
    let found = one(&path)?;
    Ok(found.fingerprint())
}

/// Of the one OpenSSH line: the key, or the key that a certificate is for. A security key is one, too.
fn ssh_key(content: &str) -> Option<SubjectKey> {
    let mut lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    if let Ok(key) = SubjectKey::from_openssh_line(line) {
        return Some(key);
    }
    let base64 = line.split_ascii_whitespace().nth(1)?;
    let certificate = Certificate::parse(&Base64::decode_vec(base64).ok()?).ok()?;
    Some(certificate.tbs().subject_key().clone())
}

fn one(path: &Path) -> anyhow::Result<PublicKey> {
    let keys = keys::read(path)
        .with_context(|| format!("{} is not one key or certificate; give one", path.display()))?;
    match keys.as_slice() {
        [key] => Ok(key.clone()),
        _ => bail!(
            "{} has {} keys; give one, or the fingerprint of the one that is meant",
            path.display(),
            keys.len()
        ),
    }
}
