//! `countersign key wrapping-key`: has the token that is to get a key make the one that it is wrapped for.
//!
//! In: a token. Out: an RSA key in it, which unwraps and does nothing else, and a file with its public half for the token that
//! has the key. Who can put another public half into that file's place gets the key: so its fingerprint goes by another way.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::generate::random_id;
use crate::cli::ConfigArgs;
use crate::cli::token::{environment, no_token};
use crate::token::pkcs11::key::hex;
use crate::token::pkcs11::operator::{Access, Console, Modules};
use crate::token::transport::{Reserved, WrappingKey};
use crate::token::{self, Device};

/// Which token is to get a key.
#[derive(clap::Args)]
pub(crate) struct WrappingKeyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The token that is to get the key, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    token: String,
    /// A new file for its public half, for `key wrap` on the other side
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// # Errors
/// What is wrong, and whether there is a wrapping key now.
pub(super) fn run(args: &WrappingKeyArgs) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let token = config.tokens.iter().find(|token| token.name.as_str() == args.token);
    let token = token.ok_or_else(|| no_token(&config, &args.token))?;
    no_yubikey(token)?;
    environment::enter(std::slice::from_ref(token))?;
    // Not before: this process may have begun once more there.
    let file = Reserved::at(&args.out).context("nothing was made")?;
    let mut modules = Modules::default();
    let console = Console::open(&mut modules, token, &config.latch(&token.name), Access::Write)?;
    let unwraps = console.unwraps().context("nothing was made")?;
    let id = random_id()?;
    let label = format!("countersign wrapping key {}", hex(&id));
    let public_key = console.make_wrapping_key(&label, &id)?;
    let fingerprint = public_key.fingerprint();
    let content = WrappingKey {
        token: token.name.to_string(),
        spki: public_key.to_spki_der(),
        oaep: unwraps.oaep,
        key_wrap: unwraps.key_wrap,
    };
    file.write(content).with_context(|| {
        let name = &token.name;
        format!(
            "the wrapping key {fingerprint} is on token {name} (label {label:?}), but nothing says so; delete it with `countersign key \
             delete --token {name} --fingerprint {fingerprint} --why TEXT`, and make another"
        )
    })?;
    let out = args.out.display();
    writeln!(
        io::stdout().lock(),
        "made a wrapping key on token {}, which unwraps and does nothing else (label {label:?})\n\
         its fingerprint is {fingerprint}\n\
         carry {out} to where the key is, and the fingerprint by another way, such as a telephone call; there, run\n  \
         countersign key wrap NAME --for {out} --recipient {fingerprint} --why TEXT --out FILE\n\
         when the key is here, delete the wrapping key: `countersign key delete --token {} --fingerprint {fingerprint} --why TEXT`",
        token.name,
        token.name
    )?;
    Ok(())
}

/// What is behind a PKCS#11 module may wrap and unwrap.
///
/// # Errors
/// That a YubiKey does neither.
pub(super) fn no_yubikey(token: &token::Config) -> anyhow::Result<()> {
    match token.device {
        Device::Pkcs11(_) => Ok(()),
        Device::YubiKey(_) => bail!(
            "token {} is a YubiKey: no private key leaves it, and it takes none that is wrapped, so there is no backup of its keys; \
             two cards can hold one key that was made outside (`countersign key import`)",
            token.name
        ),
    }
}
