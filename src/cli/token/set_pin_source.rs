//! `countersign token set-pin-source`: where the configuration has a token's PIN.
//!
//! In: the configuration's text. Out: the same text with one value, or one key and its value, replaced; every other byte stays, comments
//! too. What would be no configuration any more is not written. No PIN is tried and none is moved.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, bail};
use toml::de::DeTable;

use super::find;
use crate::cli::Faults;
use crate::config::Config;
use crate::directory::whole_file::{self, Ownership};

/// Which token, and where its PIN is from now on.
#[derive(clap::Args)]
pub(crate) struct SetPinSourceArgs {
    /// The token's name in the configuration
    name: String,
    /// The configuration file, which is changed
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// A file that holds the PIN, mode 0600; a relative path is relative to the configuration, as in it
    #[arg(long, value_name = "FILE")]
    pin_file: Option<String>,
    /// A credential that systemd hands to the service (`LoadCredentialEncrypted=NAME`)
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// The token's own pad, where somebody types it at each start
    #[arg(long)]
    pad: bool,
    /// Nowhere: the token needs no login
    #[arg(long)]
    none: bool,
}

/// # Errors
/// If the configuration would be at fault, or the PIN file cannot be used, or the file cannot be replaced; then nothing was changed.
pub(super) fn run(args: &SetPinSourceArgs) -> anyhow::Result<()> {
    // A symbolic link to the configuration stays one.
    let path = fs::canonicalize(&args.config)
        .with_context(|| format!("{} cannot be read", args.config.display()))?;
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let before = Config::check(&path, &text).map_err(Faults)?;
    find(&before, &args.name)?;
    let line = match (&args.source.pin_file, &args.source.credential) {
        (Some(file), _) => format!("pin_file = {}", quoted(file)),
        (None, Some(name)) => format!("pin_credential = {}", quoted(name)),
        (None, None) if args.source.pad => "pin_pad = true".to_owned(),
        (None, None) if args.source.none => "pin_none = true".to_owned(),
        (None, None) => bail!("name --pin-file, --credential, --pad or --none"),
    };
    let place = place(&text, &args.name)
        .context("the token's section has no `pin_file`, `pin_credential`, `pin_pad` or `pin_none`")?;
    let changed = [text.get(..place.start), Some(line.as_str()), text.get(place.end..)];
    let changed = changed.map(Option::unwrap_or_default).concat();
    let mut after = Config::check(&path, &changed).map_err(Faults)?;
    after.locate_credentials(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref());
    let source = &find(&after, &args.name)?.pin_file;
    if source.own().is_some() || source.exists() {
        source.read().context("nothing was changed")?;
    }
    whole_file::replace(&path, changed.as_bytes(), Ownership::Kept)
        .with_context(|| format!("{} cannot be replaced", path.display()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: token {} has its PIN in {source}", path.display(), args.name)?;
    writeln!(
        out,
        "no PIN was tried or moved: `countersign check` tries it once; a daemon reads this at its next start"
    )?;
    Ok(())
}

/// A TOML string. No escape of it is needed that JSON's are not.
pub(in crate::cli) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where the key and its value are in the text.
fn place(text: &str, token: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let section = root.get_ref().get("token")?.get_ref().as_table()?.get(token)?.get_ref().as_table()?;
    let sources = ["pin_file", "pin_credential", "pin_pad", "pin_none"];
    let (key, value) = sources.into_iter().find_map(|key| section.get_key_value(key))?;
    Some(key.span().start..value.span().end)
}
