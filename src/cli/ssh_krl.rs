//! `countersign ssh-krl`: an OpenSSH key revocation list of what a ledger says is revoked.
//!
//! In: a ledger, and the names of SSH CA keys. Out: the file that sshd's `RevokedKeys` and ssh's `RevokedHostKeys` name, in its
//! place in one step. Promised: the same log of the same size makes the same bytes; a list is not replaced by an older one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use countersign_tbs::Tbs;
use countersign_tbs::key::PublicKey;
use countersign_tbs::krl::{self, Krl};

use crate::cli::ledger::source::Source;
use crate::cli::revoked::{More, Record, Revocation};
use crate::cli::runtime;
use crate::cli::sign::Unfinished;
use crate::ledger::entry::{CaKey, Revoked};
use crate::ledger::{Entry, Filter, Revocations};

/// Of which keys, by which ledger, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct SshKrl {
    /// The SSH CA keys' names
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// The list
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    source: Source,
}

impl SshKrl {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        runtime()?.block_on(self.make(out))
    }

    async fn make(self, out: &mut impl Write) -> anyhow::Result<()> {
        let record = Record::open(self.source.open().await?).await?;
        let all = record.revocations(Revocations::All).await?;
        let (mut revoked, mut count) = (krl::Revoked::default(), 0_usize);
        for key in &self.keys {
            let CaKey { spki_sha256, .. } = named(&record, key).await?;
            // Whatever the key was called then, and whatever key had this name.
            let is_of = |revocation: &&Revocation| {
                revocation.key == key.as_bytes() || revocation.ca_key.spki_sha256 == spki_sha256
            };
            for revocation in all.iter().filter(is_of) {
                count += 1;
                add(&record, revocation, &mut revoked).await?;
            }
        }
        let generated = match record.size.checked_sub(1) {
            Some(newest) => record.entry(newest).await?.map_or(0, |entry| entry.time().0 / 1000),
            None => 0,
        };
        let comment = format!("{} of {}", self.keys.join(" "), record.origin);
        let list = Krl { version: record.size, generated, comment, sections: revoked.sections() };
        replace(&self.output, &list)?;
        writeln!(
            out,
            "{}: version {}, of {count} revocations: {} serials, key ids and keys",
            self.output.display(),
            list.version,
            revoked.len()
        )?;
        Ok(out.flush()?)
    }
}

/// Adds what a revocation means.
async fn add(record: &Record, revocation: &Revocation, revoked: &mut krl::Revoked) -> anyhow::Result<()> {
    let index = revocation.index;
    let ca_key = PublicKey::from_spki_der(&revocation.spki).with_context(|| {
        format!("entry {index} has a CA key that cannot be read; `ledger verify` the ledger")
    })?;
    match &revocation.what {
        Revoked::Serial(octets) => {
            let serial = <[u8; 8]>::try_from(octets.as_slice());
            let serial = serial.ok().with_context(|| format!("entry {index} revokes no serial of SSH"))?;
            revoked.serial(&ca_key, u64::from_be_bytes(serial));
        }
        Revoked::KeyId(id) => revoked
            .key_id(&ca_key, str::from_utf8(id).with_context(|| format!("entry {index} revokes no key id"))?),
        Revoked::SubjectKey(hash) => revoked.fingerprint(*hash),
        Revoked::Name(_) | Revoked::Recorded(..) | Revoked::Entry(_) => {
            let before = revocation.before(record.size);
            record
                .certificates(&revocation.ca_key, &revocation.what, before, |found| {
                    if let Tbs::Ssh(certificate) = found.tbs {
                        revoked.serial(&ca_key, certificate.serial());
                    }
                    Ok(())
                })
                .await?;
        }
    }
    Ok(())
}

/// The key that had this name last, if it is an SSH CA's.
async fn named(record: &Record, key: &str) -> anyhow::Result<CaKey> {
    let (filter, mut newest) = (Filter { key: Some(key.to_owned()), ..Filter::default() }, None);
    record
        .each(filter, record.size, |_, entry| {
            newest = of(&entry).cloned();
            Ok(if newest.is_some() { More::No } else { More::Yes })
        })
        .await?;
    let newest = newest.with_context(|| {
        format!("this ledger knows no key {key}; name it as the signer's configuration does")
    })?;
    match &*newest.purpose {
        "ssh-user-ca" | "ssh-host-ca" => Ok(newest),
        "x509-ca" => bail!("key {key} signs X.509 certificates; `countersign crl {key}` makes its list"),
        other => bail!("key {key} is for {other}, and signs no SSH certificates"),
    }
}

/// The key that an entry is about.
fn of(entry: &Entry) -> Option<&CaKey> {
    match entry {
        Entry::Intent { ca_key, .. }
        | Entry::SelfTest { ca_key, .. }
        | Entry::Checkpoint { ca_key, .. }
        | Entry::Revocation { ca_key, .. } => Some(ca_key),
        Entry::Refusal { .. }
        | Entry::Outcome { .. }
        | Entry::Refusals { .. }
        | Entry::Freeze { .. }
        | Entry::Thaw { .. }
        | Entry::KeyDeletion { .. } => None,
    }
}

/// Puts a list in the place of an older one, for all to read: sshd does, whatever user it checks for.
fn replace(path: &Path, list: &Krl) -> anyhow::Result<()> {
    if let Ok(there) = fs::read(path) {
        let there = Krl::parse(&there).map(|there| there.version).unwrap_or_default();
        ensure!(
            there <= list.version,
            "{} is version {there}, and this ledger has {} entries: it is an older copy, or another one, and its list would forget \
             revocations; remove the file if that is meant",
            path.display(),
            list.version
        );
    }
    Unfinished::beside(path)?.for_all()?.finish(&list.encode())
}
