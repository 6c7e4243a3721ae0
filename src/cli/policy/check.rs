//! `countersign policy check`: whether a configuration is without fault, offline; no token is asked.

use std::io::Write;

use crate::cli::ConfigArgs;
use crate::cli::ledger::hex;

/// Which configuration.
#[derive(clap::Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Check {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let config = self.config.load()?;
        for list in config.policy.blocklists() {
            let (format, sha256) = (list.format().name(), hex(&list.sha256()));
            writeln!(out, "blocklist {format}: {} keys, sha256 {sha256}", list.count())?;
        }
        let digest = hex(&config.policy.digest());
        Ok(writeln!(out, "policy digest {digest}\nno faults in the file; its tokens were not asked")?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::{Check, ConfigArgs};
    use crate::cli::Faults;

    #[test]
    fn says_the_digest_or_every_fault() {
        let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/countersign.example.toml"));
        let mut out = Vec::new();
        Check { config: ConfigArgs { config: example.to_owned() } }.run(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("policy digest "));
        let file = tempfile::NamedTempFile::new().unwrap();
        let bad = Check { config: ConfigArgs { config: file.path().to_owned() } };
        assert!(bad.run(&mut Vec::new()).unwrap_err().is::<Faults>());
    }
}
