//! `countersign key record verify`: whether a key signed its own record, offline; and where the ledger has it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{print_attributes, shown};
use crate::cli::ledger::Log;
use crate::ledger::entry::sha256;
use crate::ledger::{Archive, Receipt};
use crate::provision::{Record, SignedRecord, signature_path};
use crate::token::pkcs11::key::hex;

/// Which record.
#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    /// The record; its signature is in FILE.sig
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The fingerprint that the key must have
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: Option<String>,
    /// The ledger's file, in which the record is looked for
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// The signer's configuration, which names the ledger
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where the ledger has it.
enum Place {
    Entry(u64),
    /// It has been looked for.
    Nowhere,
    /// No ledger was named, or it cannot be read.
    Unknown(String),
}

/// # Errors
/// That the record is none, or not the key's.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let signed = SignedRecord::read(&args.file)
        .map_err(|error| anyhow::anyhow!("{} cannot be trusted: {error}", shown(&args.file)))?;
    let own = signed.public_key().fingerprint();
    anyhow::ensure!(
        args.fingerprint.as_ref().is_none_or(|wanted| *wanted == own),
        "{} is a good record, but of another key: {own}",
        shown(&args.file)
    );
    let place = look(args, &signed);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json(&signed, &place))?)?;
    } else {
        print(&mut out, &args.file, &signed, &place)?;
    }
    Ok(())
}

fn look(args: &VerifyArgs, signed: &SignedRecord) -> Place {
    if args.ledger.is_none() && args.config.is_none() {
        return Place::Unknown("no --ledger and no --config says where to look".to_owned());
    }
    let find = || -> anyhow::Result<Option<Receipt>> {
        let reader = Log::at(args.ledger.clone(), args.config.clone()).open()?;
        let (archive, _) = Archive::open(reader)?;
        Ok(archive.find_key_record(signed)?)
    };
    let found = find();
    match found {
        Ok(Some(receipt)) => Place::Entry(receipt.index),
        Ok(None) => Place::Nowhere,
        Err(error) => Place::Unknown(format!("{error:#}")),
    }
}

fn json(signed: &SignedRecord, place: &Place) -> Value {
    let record: &Record = signed.record();
    json!({
        "key": record.key, "token": record.token.name, "how": record.how.name(), "time": record.time,
        "scheme": record.scheme, "fingerprint": signed.public_key().fingerprint(),
        "record_sha256": hex(&sha256(&[signed.bytes()])),
        "differs": record.attributes.iter().filter(|row| row.differs()).map(|row| &row.name).collect::<Vec<_>>(),
        "entry": match place { Place::Entry(index) => Some(*index), Place::Nowhere | Place::Unknown(_) => None },
        "looked_for": !matches!(place, Place::Unknown(_)),
    })
}

fn print(out: &mut impl Write, file: &Path, signed: &SignedRecord, place: &Place) -> io::Result<()> {
    // Every text of a record is somebody's, and goes to a terminal.
    let safe = |text: &str| text.escape_debug().to_string();
    let record = signed.record();
    writeln!(out, "{}: signed by the key itself ({})", shown(file), shown(&signature_path(file)))?;
    writeln!(out, "key {}, {} {}", safe(&record.key), safe(&record.purpose), record.scheme)?;
    writeln!(out, "{}", signed.public_key().fingerprint())?;
    let operator = &record.operator;
    let login = operator.login_uid.map(|uid| format!(", logged in as uid {uid}")).unwrap_or_default();
    let name = operator.name.as_deref().unwrap_or("nobody");
    let who = format!("{} (uid {}{login})", safe(name), operator.uid);
    let (how, time, host) = (record.how.name(), safe(&record.time), safe(&record.host));
    writeln!(out, "{how} at {time} by {who} on {host}, with {}", safe(&record.program))?;
    if let Some(note) = &record.note {
        writeln!(out, "{}", safe(note))?;
    }
    let token = &record.token;
    let (model, serial, firmware) = (safe(&token.model), safe(&token.serial), safe(&token.firmware));
    writeln!(out, "token {}: {model}, serial {serial}, firmware {firmware}", safe(&token.name))?;
    if let Some(module) = &record.module {
        writeln!(out, "module {}, sha256 {}", safe(&module.path), safe(&module.sha256))?;
    }
    print_attributes(out, &record.attributes)?;
    match place {
        Place::Entry(index) => writeln!(out, "entry {index} of the ledger"),
        Place::Nowhere => {
            writeln!(out, "not in the ledger; a signer that has the key in service records it at its start")
        }
        Place::Unknown(why) => writeln!(out, "not looked for in a ledger: {why}"),
    }
}
