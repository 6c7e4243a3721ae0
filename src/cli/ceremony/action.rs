//! What a step may have this program do: a closed list, each kind with its own arguments, and never a shell.
//!
//! In: the `do` of a step. Out: the arguments of one command of this program, which its own parser has read; which files it is given and
//! writes, and whether it asks a running signer.

use clap::Parser;
use serde::Deserialize;

/// One kind of step, and its arguments; paths are relative to the script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum Action {
    TokenInit {
        token: String,
        so_pin_file: String,
        #[serde(default)]
        generate_pins: bool,
    },
    TokenInfo {
        token: String,
    },
    TokenChangePin {
        token: String,
    },
    KeyGenerate {
        key: String,
        rsa_bits: Option<u16>,
    },
    KeyShow {
        key: String,
    },
    KeyExportPublic {
        key: String,
        format: Option<String>,
        #[serde(default)]
        hosts: Vec<String>,
        comment: Option<String>,
        out: Option<String>,
    },
    KeyAttest {
        key: String,
        roots: String,
    },
    KeyCsr {
        key: String,
        subject: Vec<String>,
        out: String,
    },
    KeySelfSign {
        key: String,
        subject: Vec<String>,
        lifetime: String,
        path_length: Option<u16>,
        out: String,
    },
    KeySignIntermediate {
        key: String,
        csr: Option<String>,
        public_key: Option<String>,
        #[serde(default)]
        subject: Vec<String>,
        lifetime: String,
        path_length: Option<u16>,
        #[serde(default)]
        permitted_names: Vec<String>,
        #[serde(default)]
        excluded_names: Vec<String>,
        #[serde(default)]
        crl_urls: Vec<String>,
        out: String,
    },
    Check {},
    Doctor {
        #[serde(default)]
        no_login: bool,
    },
    LedgerVerify {
        #[serde(default)]
        keys: Vec<String>,
        #[serde(default)]
        accept_uncovered: bool,
    },
}

impl Action {
    /// The arguments of the command, with the configuration that it reads.
    pub(super) fn arguments(&self, config: &str) -> Vec<String> {
        let mut line = Line::new(config);
        match self {
            Self::TokenInit { token, so_pin_file, generate_pins } => {
                line.words(&["token", "init", token]).option("so-pin-file", so_pin_file);
                line.flag("generate-pins", *generate_pins);
            }
            Self::TokenInfo { token } => _ = line.words(&["token", "info", token]),
            Self::TokenChangePin { token } => _ = line.words(&["token", "change-pin", token]),
            Self::KeyGenerate { key, rsa_bits } => {
                line.words(&["key", "generate", key]).options("rsa-bits", rsa_bits);
            }
            Self::KeyShow { key } => _ = line.words(&["key", "show", key]),
            Self::KeyExportPublic { key, format, hosts, comment, out: _ } => {
                line.words(&["key", "export-public", key]).options("format", format);
                line.options("hosts", hosts).options("comment", comment);
            }
            Self::KeyAttest { key, roots } => _ = line.words(&["key", "attest", key]).option("roots", roots),
            Self::KeyCsr { key, subject, out } => {
                line.words(&["key", "csr", key]).options("subject", subject).option("out", out);
            }
            Self::KeySelfSign { key, subject, lifetime, path_length, out } => {
                line.words(&["key", "self-sign", key]).options("subject", subject);
                line.option("lifetime", lifetime).options("path-length", path_length).option("out", out);
            }
            Self::KeySignIntermediate { key, .. } => {
                line.words(&["key", "sign-intermediate", key]);
                self.intermediate(&mut line);
            }
            Self::Check {} => _ = line.words(&["check"]),
            Self::Doctor { no_login } => line.words(&["doctor"]).flag("no-login", *no_login),
            Self::LedgerVerify { keys, accept_uncovered } => {
                line.words(&["ledger", "verify"])
                    .options("key", keys)
                    .flag("accept-uncovered", *accept_uncovered);
            }
        }
        line.done()
    }

    /// The options of `key sign-intermediate`, of which there are many.
    fn intermediate(&self, line: &mut Line) {
        let Self::KeySignIntermediate {
            key: _,
            csr,
            public_key,
            subject,
            lifetime,
            path_length,
            permitted_names,
            excluded_names,
            crl_urls,
            out,
        } = self
        else {
            return;
        };
        line.options("csr", csr).options("public-key", public_key).options("subject", subject);
        line.option("lifetime", lifetime).options("path-length", path_length);
        line.options("permitted-name", permitted_names).options("excluded-name", excluded_names);
        line.options("crl-url", crl_urls).option("out", out);
    }

    /// What this program's own parser says of the arguments, if it does not take them.
    pub(super) fn fault(&self, config: &str) -> Option<String> {
        let words = std::iter::once("countersign".to_owned()).chain(self.arguments(config));
        let error = crate::cli::Cli::try_parse_from(words).err()?.to_string();
        let said = error.lines().take_while(|line| !line.is_empty() && !line.starts_with("Usage"));
        Some(said.map(|line| line.trim().trim_start_matches("error: ")).collect::<Vec<_>>().join(" "))
    }

    /// The name of the key that it makes.
    pub(super) fn makes(&self) -> Option<&str> {
        if let Self::KeyGenerate { key, .. } = self { Some(key) } else { None }
    }

    /// The key in the configuration that it is about.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::KeyGenerate { key, .. }
            | Self::KeyShow { key }
            | Self::KeyExportPublic { key, .. }
            | Self::KeyAttest { key, .. }
            | Self::KeyCsr { key, .. }
            | Self::KeySelfSign { key, .. }
            | Self::KeySignIntermediate { key, .. } => Some(key),
            Self::TokenInit { .. }
            | Self::TokenInfo { .. }
            | Self::TokenChangePin { .. }
            | Self::Check {}
            | Self::Doctor { .. }
            | Self::LedgerVerify { .. } => None,
        }
    }

    /// The token in the configuration that it is about.
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::TokenInit { token, .. } | Self::TokenInfo { token } | Self::TokenChangePin { token } => {
                Some(token)
            }
            _ => None,
        }
    }

    /// Whether it goes through a running signer, its policy and its ledger.
    pub(super) fn asks_signer(&self) -> bool {
        matches!(self, Self::KeyCsr { .. } | Self::KeySelfSign { .. } | Self::KeySignIntermediate { .. })
    }

    /// The file that it makes for others, whose digest the transcript has.
    pub(super) fn out(&self) -> Option<&str> {
        match self {
            Self::KeyExportPublic { out, .. } => out.as_deref(),
            Self::KeyCsr { out, .. }
            | Self::KeySelfSign { out, .. }
            | Self::KeySignIntermediate { out, .. } => Some(out),
            _ => None,
        }
    }

    /// Whether the file is made of what the command prints.
    pub(super) fn out_is_printed(&self) -> bool {
        matches!(self, Self::KeyExportPublic { .. })
    }

    /// Every file that must not be there before.
    pub(super) fn makes_files(&self) -> impl Iterator<Item = &str> {
        let secret = match self {
            Self::TokenInit { so_pin_file, generate_pins: true, .. } => Some(so_pin_file.as_str()),
            _ => None,
        };
        self.out().into_iter().chain(secret)
    }

    /// Every file that must be there, or come out of a step before.
    pub(super) fn reads_files(&self) -> impl Iterator<Item = &str> {
        let (one, more): (_, &[String]) = match self {
            Self::TokenInit { so_pin_file, generate_pins: false, .. } => (vec![so_pin_file], &[]),
            Self::KeyAttest { roots, .. } => (vec![roots], &[]),
            Self::KeySignIntermediate { csr, public_key, .. } => {
                (csr.iter().chain(public_key).collect(), &[])
            }
            Self::LedgerVerify { keys, .. } => (Vec::new(), keys),
            _ => (Vec::new(), &[]),
        };
        one.into_iter().chain(more).map(String::as_str)
    }

    /// Those of them that are no secret, whose digests the operators agree to.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        let secret = match self {
            Self::TokenInit { so_pin_file, .. } => Some(so_pin_file.as_str()),
            _ => None,
        };
        self.reads_files().filter(move |file| Some(*file) != secret)
    }
}

/// A command line in the making. An option and its value are one argument, so that no value is taken for an option.
struct Line {
    words: Vec<String>,
    options: Vec<String>,
}

impl Line {
    fn new(config: &str) -> Self {
        Self { words: Vec::new(), options: vec![format!("--config={config}")] }
    }

    fn words(&mut self, words: &[&str]) -> &mut Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    fn option(&mut self, name: &str, value: &str) -> &mut Self {
        self.options.push(format!("--{name}={value}"));
        self
    }

    fn options<T: ToString>(&mut self, name: &str, values: impl IntoIterator<Item = T>) -> &mut Self {
        self.options.extend(values.into_iter().map(|value| format!("--{name}={}", value.to_string())));
        self
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        self.options.extend(is_set.then(|| format!("--{name}")));
    }

    fn done(self) -> Vec<String> {
        [self.words, self.options].concat()
    }
}
