//! `countersign revoke`: takes certificates of a CA key back, for ever.
//!
//! In: which, why, and a word for lists. Out: the ledger's entry of it. The running signer does it, since it alone writes the
//! ledger: over its Unix socket, for root and its own user. What is meant is shown first, and asked about in a terminal.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail, ensure};
use countersign_proto::v1::revoke_request::What;
use countersign_proto::v1::{self, RevokeRequest};
use serde_json::json;

use crate::cli::ledger::find::millis;
use crate::cli::ledger::keys;
use crate::cli::ledger::{Style, note};
use crate::cli::revoked::Record;
use crate::cli::server::refused;
use crate::cli::{ConfigArgs, Usage, runtime};
use crate::config::Config;
use crate::key::{KeyPurpose, UnixTime};
use crate::ledger::entry::{CaKey, RevocationReason, Revoked, UnixMillis, from_fingerprint};

mod before;
mod next;

use before::Before;

/// How many certificates are shown to a person before the question.
const SHOWN: u64 = 20;

/// Which certificates, and why.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "options of the command line, each a word of its own")]
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
    /// Record it even if all that is meant is revoked already, for this reason or a graver one
    #[arg(long)]
    again: bool,
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
    #[arg(long, value_name = "RFC3339", value_parser = crate::cli::value::time, group = "one")]
    since: Option<SystemTime>,
    /// With --since: before this time
    #[arg(long, value_name = "RFC3339", value_parser = crate::cli::value::time, requires = "since")]
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
        let checked =
            client.revoke(request.clone()).await.map_err(|error| self.hint(refused(error), &config))?;
        let (ca_key, what) = revoked(&checked.key.context("the signer named no key")?, what)?;
        let before = Before::of(&record, &ca_key, self.reason).await?;
        let shown = if self.dry_run || self.style.is_json() { u64::MAX } else { SHOWN };
        let Shown { count, new } = self.show(&record, (&ca_key, &what, &before), shown, out).await?;
        if self.dry_run {
            return self.nothing_recorded(count, out);
        }
        // What others of a fleet have is not known here.
        let is_known = what.means_later() || record.others.is_empty();
        if !self.again && is_known && before.has_all(&what, count, new) {
            return self.nothing_new(count, out);
        }
        if !self.yes {
            confirm(count, &self.what, &self.key)?;
        }
        let answer = client.revoke(RevokeRequest { dry_run: false, ..request }).await.map_err(refused)?;
        let receipt = answer.receipt.context("the signer gave no receipt")?;
        if self.style.is_json() {
            writeln!(out, "{}", json!({ "entry": receipt.entry_index, "certificates": count }))?;
        } else {
            writeln!(
                out,
                "revoked by entry {}; the ledger has {count} such certificates of key {}",
                receipt.entry_index, self.key
            )?;
            writeln!(
                out,
                "nobody who verifies knows of it before you distribute a new list: {}",
                next::next(&ca_key, &self.key, &config)
            )?;
        }
        Ok(out.flush()?)
    }

    /// Says that nothing was recorded, since it would say nothing new.
    fn nothing_new(&self, count: u64, out: &mut impl Write) -> anyhow::Result<()> {
        if !self.style.is_json() {
            writeln!(
                out,
                "all {count} are revoked already; nothing was recorded. --again records it all the same"
            )?;
        }
        self.nothing_recorded(count, out)
    }

    /// The last line of what recorded nothing: people see as much.
    fn nothing_recorded(&self, count: u64, out: &mut impl Write) -> anyhow::Result<()> {
        if self.style.is_json() {
            writeln!(out, "{}", json!({ "entry": null, "certificates": count }))?;
        }
        Ok(out.flush()?)
    }

    /// A refusal; of a name without its kind, what it may have been.
    fn hint(&self, error: anyhow::Error, config: &Config) -> anyhow::Error {
        let section = config.keys.iter().find(|section| section.name.as_str() == self.key);
        let is_x509 = section.is_some_and(|section| section.purpose.is_x509());
        match &self.what.principal {
            Some(name) if is_x509 && !name.contains([':', '=']) => {
                let name = name.escape_debug();
                anyhow!("{error:#}; a name of X.509 has its kind before it: --principal DNS:{name}")
            }
            _ => error,
        }
    }

    /// Prints the certificates that are meant, up to so many; how many there are.
    async fn show(
        &self,
        record: &Record,
        (ca_key, what, before): (&CaKey, &Revoked, &Before),
        most: u64,
        out: &mut impl Write,
    ) -> anyhow::Result<Shown> {
        let mut shown = Shown { count: 0, new: 0 };
        record
            .certificates(ca_key, what, record.size, |found| {
                shown.count += 1;
                let by = before.revocation_of(&found);
                shown.new += u64::from(by.is_none());
                if shown.count > most {
                    return Ok(());
                }
                let by = by.map(|entry| format!("revoked by entry {entry}"));
                Ok(self.style.print_with(found.index, &found.entry, by.as_deref(), out)?)
            })
            .await?;
        let count = shown.count;
        if !self.style.is_json() && count > most {
            writeln!(out, "and {} more; --dry-run shows all", count - most)?;
        }
        if !self.style.is_json() && count == 0 {
            writeln!(out, "this ledger has no such certificate")?;
        }
        Ok(shown)
    }
}

/// How many certificates are meant.
struct Shown {
    count: u64,
    /// Those that no revocation means yet.
    new: u64,
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
            return Ok(What::SubjectKey(keys::subject(subject)?));
        }
        let since = millis(since.context(
            "select certificates: --serial, --key-id, --principal, --subject, --since or --entry",
        )?);
        let now = UnixTime::now().0.saturating_mul(1000).saturating_add(1000);
        let until_ms = until.map_or(now, millis);
        ensure!(
            since < until_ms,
            Usage("--since must be before --until, or before now without it".to_owned())
        );
        Ok(What::Recorded(v1::TimeRange { since_ms: since, until_ms }))
    }
}
