//! `countersign key wrap`: has a key that may leave its token wrapped for another token.
//!
//! In: a key, the file of the destination's wrapping key, and its fingerprint, which an operator has from the destination by another
//! way. Out: a file that only the destination's token can open. Promised: an entry of the signer's ledger says for whom before the token
//! wraps anything.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use countersign_proto::Client;
use countersign_proto::v1::RecordKeyWrappingRequest;

use super::sections;
use super::wrapping_key::no_yubikey;
use crate::cli::server::refused;
use crate::cli::token::environment;
use crate::cli::token::secret::Secret;
use crate::cli::{ConfigArgs, Usage, runtime};
use crate::config::Config;
use crate::key::{self, PublicKey};
use crate::token::pkcs11::operator::{Access, Console, KeyFacts, Modules};
use crate::token::transport::{self, Oaep, Reserved, WrappedKey, WrappingKey};
use crate::token::{self, TokenName};

/// Which key, and for whom.
#[derive(clap::Args)]
pub(crate) struct WrapArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The file that `key wrapping-key` wrote for the token that is to get the key
    #[arg(long = "for", value_name = "FILE")]
    wrapping_key: PathBuf,
    /// The fingerprint that `key wrapping-key` showed there: who has that key has yours, so do not take it out of the file
    #[arg(long, value_name = "SHA256:…")]
    recipient: String,
    /// Why, for the ledger: one line
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// A new file for the wrapped key
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with the SO PIN, mode 0600, or /dev/fd/N: for a key that leaves only in a key that the security officer trusts
    #[arg(long, value_name = "FILE")]
    so_pin_file: Option<PathBuf>,
    /// Of the key's tokens, the one that wraps it; the first if left out
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
}

/// # Errors
/// What is wrong; without an entry in the ledger, nothing was wrapped.
pub(super) fn run(args: &WrapArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = held(&config, &args.name, args.token.as_deref())?;
    no_yubikey(token)?;
    let to: WrappingKey = transport::read(&args.wrapping_key)?;
    let recipient = checked(&config, args, &to)?;
    environment::enter(std::slice::from_ref(token))?;
    // Not before: this process may have begun once more there.
    let file = Reserved::at(&args.out).context("nothing was wrapped")?;
    let mut modules = Modules::default();
    let latch = config.latch(&token.name);
    let (console, trusted) = match &args.so_pin_file {
        None => (Console::open(&mut modules, token, &latch, Access::Write)?, None),
        Some(file) => {
            let so = Secret { name: "the SO PIN", option: "--so-pin-file" }.read(Some(file))?;
            let opened = Console::open_trusted(&mut modules, token, &latch, &so);
            let (console, trusted) = opened.context("nothing was wrapped")?;
            (console, Some(trusted))
        }
    };
    let found = console.find(key)?;
    let facts = console.facts(found.private)?;
    let parcel = console.parcel(&found, &to, trusted).context("nothing was wrapped")?;
    warn(&args.recipient, &to, &found.public_key)?;
    let entry = announce(args, &config, &token.name, &facts, (&found.public_key, &recipient))?;
    let recorded = || {
        format!("entry {entry} of the ledger says that the key is about to be wrapped, but no file has it")
    };
    let sealed = parcel.wrap().with_context(recorded)?;
    let content = WrappedKey {
        label: facts.label,
        id: facts.id,
        scheme: key.scheme.name().to_owned(),
        spki: found.public_key.to_spki_der(),
        recipient: args.recipient.clone(),
        oaep: sealed.oaep,
        key_wrap: sealed.key_wrap,
        nonce: sealed.nonce,
        wrapped_aes_key: sealed.wrapped_aes_key,
        ciphertext: sealed.ciphertext,
    };
    file.write(content).with_context(recorded)?;
    done(args, &found.public_key, sealed.oaep, entry)
}

/// A key's section, and that of one of its tokens.
///
/// # Errors
/// That there is none.
pub(super) fn held<'a>(
    config: &'a Config,
    name: &str,
    token: Option<&str>,
) -> anyhow::Result<(&'a key::Config, &'a token::Config)> {
    let (key, first) = sections(config, name)?;
    let Some(name) = token else { return Ok((key, first)) };
    let held = key.tokens().any(|held| held.as_str() == name);
    let token = config.tokens.iter().find(|token| held && token.name.as_str() == name);
    Ok((key, token.with_context(|| format!("[key.{}] is not on a token {name}", key.name))?))
}

/// The wrapping key, if it is the one that was named and no bad one.
fn checked(config: &Config, args: &WrapArgs, to: &WrappingKey) -> anyhow::Result<PublicKey> {
    let file = args.wrapping_key.display();
    let key = to.public_key().with_context(|| format!("{file} holds no RSA key"))?;
    let found = key.fingerprint();
    ensure!(
        found == args.recipient,
        "{file} holds the wrapping key {found}, and --recipient says {}: one of them is not the destination's, whose side must \
         tell you; nothing was wrapped",
        args.recipient
    );
    if let PublicKey::Rsa(rsa) = &key {
        ensure!(
            rsa.bits() >= 2048,
            "the wrapping key has {} bits, and nothing was wrapped: it should have 2048 or more",
            rsa.bits()
        );
    }
    if let Some(weakness) = config.policy.known_to_others(&key) {
        bail!("the wrapping key {found} is no secret: {weakness}; nothing was wrapped");
    }
    Ok(key)
}

fn warn(recipient: &str, to: &WrappingKey, key: &PublicKey) -> io::Result<()> {
    writeln!(
        io::stderr(),
        "WARNING: who has the private half of {recipient} has the key {} as well, for ever. The file says that it is on token {:?}, \
         which nothing here can know",
        key.fingerprint(),
        to.token
    )
}

/// Has the running signer record that the key is about to be wrapped; the entry's index.
fn announce(
    args: &WrapArgs,
    config: &Config,
    token: &TokenName,
    facts: &KeyFacts,
    (key, recipient): (&PublicKey, &PublicKey),
) -> anyhow::Result<u64> {
    let socket = config.server.unix_socket.as_deref();
    let socket = socket.ok_or_else(|| Usage::no_socket(&args.config.config))?;
    let request = RecordKeyWrappingRequest {
        token: token.as_str().to_owned(),
        spki: key.to_spki_der().into(),
        recipient_spki: recipient.to_spki_der().into(),
        place: format!("label {:?}, id {}", facts.label, facts.id),
        why: args.why.clone(),
    };
    let recorded = runtime()?.block_on(async {
        let client = Client::connect_unix(socket).await.context(
            "no signer runs here, and the ledger must have it before a key leaves its token; start it",
        )?;
        client.record_key_wrapping(request).await.map_err(refused)
    });
    Ok(recorded.context("nothing was wrapped")?.entry_index)
}

fn done(args: &WrapArgs, key: &PublicKey, oaep: Oaep, entry: u64) -> anyhow::Result<()> {
    let (file, fingerprint, mut out) = (args.out.display(), key.fingerprint(), io::stdout().lock());
    writeln!(out, "wrapped key {} for {}: entry {entry}", args.name, args.recipient)?;
    if oaep == Oaep::Sha1 {
        writeln!(
            out,
            "by RSA-OAEP with SHA-1, the best that both tokens have; what is known of SHA-1 does not open it"
        )?;
    }
    writeln!(
        out,
        "carry {file} to the destination; there, run\n  \
         countersign key unwrap NAME --from {file} --fingerprint {fingerprint}\n\
         the file holds nothing that anybody else can open; destroy it all the same when it has done its work"
    )?;
    Ok(())
}
