//! `countersign ssh-krl`: an OpenSSH key revocation list of what a ledger says is revoked.
//!
//! In: a ledger, or all of a fleet's database, and the names of SSH CA keys. Out: the file that sshd's `RevokedKeys`
//! and ssh's `RevokedHostKeys` name, in its place in one step. Promised: the same log of the same size makes the same
//! bytes; a list is not replaced by an older one, nor by one that lacks any of it, unless that is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use countersign_tbs::Tbs;
use countersign_tbs::key::PublicKey;
use countersign_tbs::krl::{self, Krl};
use serde_json::json;

use crate::cli::ledger::ascii;
use crate::cli::ledger::source::Source;
use crate::cli::revoked::{Fleet as Said, More, Record, Recorded, Revocation};
use crate::cli::runtime;
use crate::cli::turn::Turn;
use crate::cli::unfinished::Unfinished;
use crate::ledger::entry::{CaKey, Revoked, UnixMillis};
use crate::ledger::{Entry, Filter, Revocations};

/// Of which keys, by which ledger, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct SshKrl {
    /// The SSH CA keys' names
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// The list
    #[arg(long = "out", visible_alias = "output", value_name = "FILE")]
    output: PathBuf,
    /// Replace what is there even if it is newer, revokes more, or cannot be read
    #[arg(long)]
    replace: bool,
    /// Print one JSON object; docs/revocation.md lists its fields
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl SshKrl {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        runtime()?.block_on(self.make(out))
    }

    async fn make(self, out: &mut impl Write) -> anyhow::Result<()> {
        let unfinished = Unfinished::beside(&self.output)?;
        // Before the ledger is read: what another command writes meanwhile may have more.
        let _turn = Turn::at(&self.output)?;
        let record = Record::open(self.source.open().await?).await?;
        let said = if record.others.is_empty() { of_one(&record).await? } else { record.fleet().await? };
        let (mut revoked, mut count) = (krl::Revoked::default(), 0_usize);
        for key in &self.keys {
            let CaKey { spki_sha256, .. } = named(&record, key).await?;
            let mut kept = BTreeMap::new();
            for revocation in
                said.revocations.iter().filter(|revocation| is_of(revocation, key, &spki_sha256))
            {
                count += 1;
                match add(revocation, &mut revoked)? {
                    Selected::Added => {}
                    Selected::Certificates(ca_key) if record.others.is_empty() => {
                        resolve(&record, revocation, &ca_key, &mut revoked).await?;
                    }
                    Selected::Certificates(ca_key) => {
                        drop(kept.insert(revocation.ca_key.spki_sha256, ca_key));
                    }
                }
            }
            for (spki_sha256, ca_key) in kept {
                record
                    .serials(&spki_sha256)
                    .await?
                    .into_iter()
                    .for_each(|serial| revoked.serial(&ca_key, serial));
            }
        }
        let Said { size, newest, origins, .. } = said;
        let comment = format!("{} of {}", self.keys.join(" "), origins.join(" "));
        let (version, generated) = (size, newest.0 / 1000);
        let list = Krl { version, generated, comment, sections: revoked.sections() };
        if !self.replace {
            loses_nothing(&self.output, &list)?;
        }
        // For all to read: sshd does, whatever user it checks for.
        unfinished.for_all()?.finish(&list.encode())?;
        writeln!(out, "{}", self.said(list.version, count, revoked.len()))?;
        Ok(out.flush()?)
    }

    /// What was made, in one line.
    fn said(&self, version: u64, revocations: usize, listed: usize) -> String {
        let file = self.output.display();
        if self.json {
            let made = json!({
                "file": file.to_string(), "keys": self.keys, "version": version, "revocations": revocations, "listed": listed,
            });
            return ascii(&made.to_string());
        }
        format!("{file}: version {version}, of {revocations} revocations: {listed} serials, key ids and keys")
    }
}

/// Whether a revocation is of SSH certificates of this key, whatever the key was called then, or of whatever key of SSH had this
/// name.
fn is_of(revocation: &Revocation, key: &str, spki_sha256: &[u8; 32]) -> bool {
    let is_ssh = !revocation.ca_key.is_x509();
    is_ssh && (revocation.key == key.as_bytes() || revocation.ca_key.spki_sha256 == *spki_sha256)
}

/// What one ledger says.
async fn of_one(record: &Record) -> anyhow::Result<Said> {
    let newest = match record.size.checked_sub(1) {
        Some(newest) => record.entry(newest).await?.map_or(UnixMillis(0), |entry| entry.time()),
        None => UnixMillis(0),
    };
    let (size, origins) = (record.size, vec![record.origin.clone()]);
    Ok(Said { size, newest, origins, revocations: record.revocations(Revocations::All).await? })
}

/// How a revocation is in a list.
enum Selected {
    /// By what it says.
    Added,
    /// By the serials of certificates of this key that have to be found.
    Certificates(PublicKey),
}

/// Adds what a revocation says, if a list can have that.
fn add(revocation: &Revocation, revoked: &mut krl::Revoked) -> anyhow::Result<Selected> {
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
            return Ok(Selected::Certificates(ca_key));
        }
    }
    Ok(Selected::Added)
}

/// Adds the certificates of the one ledger that a revocation means.
async fn resolve(
    record: &Record,
    revocation: &Revocation,
    ca_key: &PublicKey,
    revoked: &mut krl::Revoked,
) -> anyhow::Result<()> {
    let before = revocation.before(record.size);
    let look = |found: Recorded| {
        if let Tbs::Ssh(certificate) = found.tbs {
            revoked.serial(ca_key, certificate.serial());
        }
        Ok(())
    };
    record.certificates(&revocation.ca_key, &revocation.what, before, look).await
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
        | Entry::KeyRecord { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        // It is about two keys, and found by the name of either.
        | Entry::Rotation { .. }
        | Entry::Ceremony { .. } => None,
    }
}

/// Refuses to replace what revokes anything that `list` does not, or may do so. An empty file revokes nothing.
fn loses_nothing(path: &Path, list: &Krl) -> anyhow::Result<()> {
    let there = match fs::read(path) {
        Ok(there) if there.is_empty() => return Ok(()),
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let there = Krl::parse(&there).with_context(|| {
        format!(
            "{} is there, and what it revokes cannot be read; move it away, or give --replace",
            path.display()
        )
    })?;
    ensure!(
        there.version <= list.version,
        "{} is version {}, and this ledger has {} entries: it is an older copy, or another one, and its list would forget revocations; \
         give --replace if that is meant",
        path.display(),
        there.version,
        list.version
    );
    ensure!(
        list.covers(&there),
        "{} revokes what this list would forget: it is of other keys, of another ledger, or merged of several; write to another file, or \
         give --replace if that is meant",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::RevocationReason;

    #[test]
    fn a_list_is_of_ssh_keys_whatever_else_had_their_name() {
        let revocation = |purpose: &str, key: &str, spki| Revocation {
            index: 0,
            key: key.as_bytes().to_vec(),
            ca_key: CaKey { purpose: purpose.to_owned(), scheme: String::new(), spki_sha256: [spki; 32] },
            spki: Vec::new(),
            what: Revoked::Serial(vec![1; 20]),
            reason: RevocationReason::Unspecified,
        };
        let cases = [
            (revocation("ssh-user-ca", "ca", 1), true),
            (revocation("ssh-user-ca", "earlier", 1), true),
            (revocation("ssh-user-ca", "ca", 2), true),
            (revocation("ssh-user-ca", "other", 2), false),
            (revocation("x509-ca", "ca", 2), false),
            (revocation("x509-ca", "ca", 1), false),
        ];
        for (revocation, meant) in cases {
            assert_eq!(is_of(&revocation, "ca", &[1; 32]), meant, "{revocation:?}");
        }
    }
}
