//! What a step may have this program do: a closed list, each kind with its own arguments, and never a shell.
//!
//! In: the `do` of a step. Out: the arguments of one command of this program, which its own parser has read; which files it is given and
//! writes (`files.rs`), and whether it asks a running signer.

use clap::Parser;
use serde::Deserialize;

mod files;

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
        #[serde(default)]
        backup: bool,
        record: Option<String>,
    },
    KeyRecordVerify {
        file: String,
        fingerprint: Option<String>,
    },
    KeyWrappingKey {
        token: String,
        out: String,
    },
    KeyWrap {
        key: String,
        wrapping_key: String,
        recipient: String,
        why: String,
        so_pin_file: Option<String>,
        token: Option<String>,
        out: String,
    },
    KeyUnwrap {
        key: String,
        from: String,
        fingerprint: Option<String>,
        token: Option<String>,
        #[serde(default)]
        backup: bool,
        record: Option<String>,
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
    RotateStage {
        key: String,
        why: String,
    },
    RotatePublish {
        key: String,
        why: String,
    },
    RotateActivate {
        key: String,
        at: String,
        why: String,
    },
    RotateCancel {
        key: String,
        why: String,
    },
    RotateRetire {
        key: String,
        why: String,
        #[serde(default)]
        force: bool,
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
            Self::KeyGenerate { key, rsa_bits, backup, record } => {
                line.words(&["key", "generate", key]).options("rsa-bits", rsa_bits);
                line.options("record", record).flag("backup", *backup);
            }
            Self::KeyRecordVerify { file, fingerprint } => {
                line.words(&["key", "record", "verify"]).options("fingerprint", fingerprint);
                line.value(file);
            }
            Self::KeyWrappingKey { .. } | Self::KeyWrap { .. } | Self::KeyUnwrap { .. } => {
                self.carriage(&mut line);
            }
            Self::RotateStage { key, why } => _ = line.words(&["rotate", "stage", key]).option("why", why),
            Self::RotatePublish { key, why } => {
                line.words(&["rotate", "publish", key]).option("why", why);
            }
            Self::RotateActivate { key, at, why } => {
                line.words(&["rotate", "activate", key]).option("at", at).option("why", why);
            }
            Self::RotateCancel { key, why } => _ = line.words(&["rotate", "cancel", key]).option("why", why),
            Self::RotateRetire { key, why, force } => {
                line.words(&["rotate", "retire", key]).option("why", why).flag("force", *force);
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

    /// The command that takes a key from one token to another, which are three.
    fn carriage(&self, line: &mut Line) {
        match self {
            Self::KeyWrappingKey { token, out } => {
                line.words(&["key", "wrapping-key"]).option("token", token).option("out", out);
            }
            Self::KeyWrap { key, wrapping_key, recipient, why, so_pin_file, token, out } => {
                line.words(&["key", "wrap", key]).option("for", wrapping_key).option("recipient", recipient);
                line.option("why", why).options("so-pin-file", so_pin_file).options("token", token);
                line.option("out", out);
            }
            Self::KeyUnwrap { key, from, fingerprint, token, backup, record } => {
                line.words(&["key", "unwrap", key]).option("from", from).options("fingerprint", fingerprint);
                line.options("token", token).options("record", record).flag("backup", *backup);
            }
            _ => {}
        }
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
            | Self::KeySignIntermediate { key, .. }
            | Self::KeyWrap { key, .. }
            | Self::KeyUnwrap { key, .. }
            | Self::RotateStage { key, .. }
            | Self::RotatePublish { key, .. }
            | Self::RotateActivate { key, .. }
            | Self::RotateCancel { key, .. }
            | Self::RotateRetire { key, .. } => Some(key),
            Self::KeyRecordVerify { .. }
            | Self::KeyWrappingKey { .. }
            | Self::TokenInit { .. }
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
            Self::TokenInit { token, .. }
            | Self::TokenInfo { token }
            | Self::TokenChangePin { token }
            | Self::KeyWrappingKey { token, .. } => Some(token),
            Self::KeyWrap { token, .. } | Self::KeyUnwrap { token, .. } => token.as_deref(),
            _ => None,
        }
    }

    /// Whether it goes through a running signer, its policy and its ledger.
    pub(super) fn asks_signer(&self) -> bool {
        matches!(
            self,
            Self::KeyCsr { .. }
                | Self::KeySelfSign { .. }
                | Self::KeySignIntermediate { .. }
                | Self::KeyWrap { .. }
                | Self::RotateStage { .. }
                | Self::RotatePublish { .. }
                | Self::RotateActivate { .. }
                | Self::RotateCancel { .. }
                | Self::RotateRetire { .. }
        )
    }
}

/// A command line in the making. An option and its value are one argument, so that no value is taken for an option.
struct Line {
    words: Vec<String>,
    options: Vec<String>,
    /// A file that is no option's value, after a sign that none follows.
    file: Option<String>,
}

impl Line {
    fn new(config: &str) -> Self {
        Self { words: Vec::new(), options: vec![format!("--config={config}")], file: None }
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

    fn value(&mut self, file: &str) {
        self.file = Some(file.to_owned());
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        self.options.extend(is_set.then(|| format!("--{name}")));
    }

    fn done(self) -> Vec<String> {
        let file = self.file.into_iter().flat_map(|file| ["--".to_owned(), file]);
        self.words.into_iter().chain(self.options).chain(file).collect()
    }
}
