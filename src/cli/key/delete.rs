//! `countersign key delete`: deletes a key that no configuration names, for good.
//!
//! In: a token, and the fingerprint of the key's public half. Out: a token without it. Promised: the configuration names no such
//! key, the running signer has it not in service, and an entry of its ledger says what is about to go before it goes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use countersign_proto::Client;
use countersign_proto::v1::RecordKeyDeletionRequest;

use crate::cli::server::refused;
use crate::cli::token::{environment, management_key, no_token};
use crate::cli::{ConfigArgs, Usage, runtime};
use crate::config::Config;
use crate::key::{self, PublicKey};
use crate::ledger::entry;
use crate::token::piv::management;
use crate::token::piv::operator;
use crate::token::pkcs11::operator::{Access, Console, Modules};
use crate::token::{self, Device, Slot, YubiKey};

/// Which key goes.
#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The token that holds it, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    token: String,
    /// The fingerprint of the key that is to go, as `key list` and `ssh-keygen -l` print it: what is deleted is lost for good
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: String,
    /// Why, for the ledger: one line
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// For YubiKeys: a file with the management key in hexadecimal, mode 0600; asked for if left out
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
}

/// Where on its token a key is.
enum Place<'a> {
    Object { label: &'a str, id: &'a str },
    Slot(Slot),
}

/// # Errors
/// What is wrong; without an entry in the ledger, nothing was deleted.
pub(super) fn run(args: &DeleteArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = config.tokens.iter().find(|token| token.name.as_str() == args.token);
    let token = token.ok_or_else(|| no_token(&config, &args.token))?;
    if entry::from_fingerprint(&args.fingerprint).is_none() {
        let wrong = format!(
            "--fingerprint {} is none: `countersign key list` and `ssh-keygen -l` print SHA256: and 43 characters; nothing was deleted",
            args.fingerprint
        );
        return Err(Usage(wrong).into());
    }
    let pinned = config.keys.iter().find(|key| key.fingerprint.as_ref() == Some(&args.fingerprint));
    pinned.map_or(Ok(()), |key| Err(named(key, &args.config.config)))?;
    environment::enter(std::slice::from_ref(token))?;
    match &token.device {
        Device::Pkcs11(_) => delete_object(args, &config, token),
        Device::YubiKey(card) => delete_from_slot(args, &config, token, *card),
    }
}

fn delete_object(args: &DeleteArgs, config: &Config, token: &token::Config) -> anyhow::Result<()> {
    let mut modules = Modules::default();
    let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Write)?;
    let mut found = console.keys_of(&args.fingerprint)?;
    let doomed = match (found.pop(), found.len()) {
        (Some(only), 0) => only,
        (Some(_), others) => bail!(
            "token {} holds {} private keys of this public half; delete all but one by the vendor's means",
            token.name,
            others + 1
        ),
        (None, _) => bail!(no_such_key(args)),
    };
    let place = Place::Object { label: &doomed.facts.label, id: &doomed.facts.id };
    let entry = announce(args, config, token, &doomed.public_key, &place)?;
    console.delete(&doomed).with_context(|| recorded_only(entry))?;
    done(args, entry)
}

fn delete_from_slot(
    args: &DeleteArgs,
    config: &Config,
    token: &token::Config,
    card: YubiKey,
) -> anyhow::Result<()> {
    let management_key = management_key::read(args.management_key_file.as_deref())?;
    let mut keys = operator::public_keys(card)?.into_iter();
    let found = keys.find(|(_, public_key)| public_key.fingerprint() == args.fingerprint);
    let (slot, public_key) = found.with_context(|| no_such_key(args))?;
    let entry = announce(args, config, token, &public_key, &Place::Slot(slot))?;
    management::delete(card, slot, &args.fingerprint, &management_key)
        .with_context(|| recorded_only(entry))?;
    done(args, entry)
}

/// Has the running signer record that the key is about to go; the entry's index.
///
/// # Errors
/// That the configuration or the signer names the key, or that there is no signer: it alone writes its ledger.
fn announce(
    args: &DeleteArgs,
    config: &Config,
    token: &token::Config,
    public_key: &PublicKey,
    place: &Place<'_>,
) -> anyhow::Result<u64> {
    let mut here = config.keys.iter().filter(|key| key.tokens().any(|holder| *holder == token.name));
    here.find(|key| place.is_of(key)).map_or(Ok(()), |key| Err(named(key, &args.config.config)))?;
    let socket = config.server.unix_socket.as_deref();
    let socket = socket.ok_or_else(|| Usage::no_socket(&args.config.config))?;
    let request = RecordKeyDeletionRequest {
        token: token.name.as_str().to_owned(),
        spki: public_key.to_spki_der().into(),
        place: place.in_words(),
        why: args.why.clone(),
    };
    let recorded = runtime()?.block_on(async {
        let client = Client::connect_unix(socket)
            .await
            .context("no signer runs here, and the ledger must have the deletion before it happens")?;
        client.record_key_deletion(request).await.map_err(refused)
    });
    Ok(recorded.context("nothing was deleted")?.entry_index)
}

impl Place<'_> {
    /// Whether the configuration's key is found here, on the same token.
    fn is_of(&self, key: &key::Config) -> bool {
        match self {
            Self::Object { label, id } => {
                key.label == *label && key.id.as_deref().is_none_or(|wanted| super::hex(wanted) == *id)
            }
            Self::Slot(slot) => key.slot == Some(*slot),
        }
    }

    /// As the ledger has it.
    fn in_words(&self) -> String {
        match self {
            Self::Object { label, id } => format!("label {label:?}, id {id}"),
            Self::Slot(slot) => format!("slot {slot}"),
        }
    }
}

fn named(key: &key::Config, file: &Path) -> anyhow::Error {
    let (name, file) = (&key.name, file.display());
    anyhow::anyhow!(
        "section [key.{name}] of {file} names this key, and nothing was deleted: take the section out, restart the signer, and \
         delete the key then"
    )
}

fn no_such_key(args: &DeleteArgs) -> String {
    format!(
        "token {} tells no key {}, and nothing was deleted; `countersign key list` shows what it holds",
        args.token, args.fingerprint
    )
}

fn recorded_only(entry: u64) -> String {
    format!(
        "entry {entry} of the ledger says that the key is about to be deleted, but it was not, or not wholly"
    )
}

fn done(args: &DeleteArgs, entry: u64) -> anyhow::Result<()> {
    let DeleteArgs { token, fingerprint, .. } = args;
    ensure!(
        writeln!(io::stdout().lock(), "deleted key {fingerprint} from token {token}: entry {entry}").is_ok(),
        "the key is deleted (entry {entry}), but that could not be printed"
    );
    Ok(())
}
