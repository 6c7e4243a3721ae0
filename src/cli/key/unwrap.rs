//! `countersign key unwrap`: puts a key on a token that another token wrapped for it.
//!
//! In: the file of `key wrap`, and the fingerprint that the key must have. Out: the key on the token, as its section takes it. Promised: the
//! token keeps nothing before a signature of the key has verified under the public key that was named.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::public_line;
use super::record::{self, Coming, CopyArgs, OnToken};
use super::wrap::held;
use super::wrapping_key::no_yubikey;
use crate::cli::ConfigArgs;
use crate::cli::token::environment;
use crate::key::{self, Flaw, PublicKey};
use crate::provision::How;
use crate::token::pkcs11::carry::{Arrival, Leaving};
use crate::token::transport::{self, WrappedKey};

/// Which key, and from where.
#[derive(clap::Args)]
pub(crate) struct UnwrapArgs {
    /// The key's name in the configuration
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// The file that `key wrap` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The fingerprint of the key that it must be; left out if the key's section has `fingerprint`
    #[arg(long, value_name = "SHA256:…")]
    fingerprint: Option<String>,
    /// Of the key's tokens, the one that it goes to; the first if left out
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Let the key leave this token, too, wrapped again: it is for a token that keeps backups
    #[arg(long)]
    backup: bool,
    #[command(flatten)]
    copy: CopyArgs,
}

/// # Errors
/// What is wrong, and whether the key is on the token now.
pub(super) fn run(args: &UnwrapArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let (key, token) = held(&config, &args.name, args.token.as_deref())?;
    no_yubikey(token)?;
    let from: WrappedKey = transport::read(&args.from)?;
    let (public_key, id) = checked(args, key, &from)?;
    environment::enter(std::slice::from_ref(token))?;
    let arrival = Arrival {
        label: &key.label,
        id: &id,
        scheme: key.scheme,
        accept: &key.accept,
        public_key: &public_key,
        leaving: if args.backup { Leaving::Wrapped } else { Leaving::Never },
    };
    let note = Some(format!("wrapped by another token for {}", from.recipient));
    let coming = Coming { config: &config, key, token, how: How::Restored, note, copy: &args.copy };
    let OnToken { attributes, kept, .. } = coming.conclude(|console| console.unwrap(&arrival, &from))?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "restored key {} onto token {}; a signature of it verifies under the same public key",
        key.name, token.name
    )?;
    record::print_attributes(&mut out, &attributes)?;
    writeln!(out, "{}", public_line(key, &public_key))?;
    kept.print(&mut out)?;
    writeln!(out, "then delete the wrapping key {}, if nothing else is to come by it", from.recipient)?;
    record::want_no_differences(key, &attributes)
}

/// The key's public half and id, if it is the one that was named and its section takes it.
fn checked(args: &UnwrapArgs, key: &key::Config, from: &WrappedKey) -> anyhow::Result<(PublicKey, Vec<u8>)> {
    let file = args.from.display();
    let public_key = from.public_key().with_context(|| format!("{file} holds no public key"))?;
    let found = public_key.fingerprint();
    let named = match (&args.fingerprint, &key.fingerprint) {
        (Some(given), Some(pinned)) if given != pinned => {
            bail!("--fingerprint {given} is not the key that [key.{}] pins; nothing was changed", key.name)
        }
        (Some(named), _) | (None, Some(named)) => named,
        (None, None) => bail!(
            "which key it must be, the file cannot say: give --fingerprint, or set `fingerprint` in [key.{}]; nothing was changed",
            key.name
        ),
    };
    ensure!(*named == found, "{file} holds the key {found}, and it should be {named}; nothing was changed");
    ensure!(
        from.scheme().is_some_and(|scheme| scheme.fits(&public_key)) && key.scheme.fits(&public_key),
        "scheme {} of [key.{}] does not fit the key {found}; nothing was changed",
        key.scheme,
        key.name
    );
    ensure!(
        key.accept.contains(&Flaw::NotLocal),
        "[key.{}] takes no key that was not made in its token, and nothing was changed: add `accept = [\"not-local\"]` to it, \
         knowing that there is another",
        key.name
    );
    let id = key.id.clone().or_else(|| from.id());
    Ok((public_key, id.with_context(|| format!("{file} holds no id"))?))
}
