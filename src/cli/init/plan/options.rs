//! What was answered, as a command that asks nothing.

use std::path::Path;

use super::{Plan, Token, token::PinSource};
use crate::cli::fresh::shell;

impl Plan {
    /// The command, an option on each line, as a shell takes it.
    pub(in crate::cli::init) fn options(&self) -> String {
        let mut given = vec![
            ("--directory", self.directory.display().to_string()),
            ("--domain", self.domain.to_string()),
            ("--organisation", self.organisation.to_string()),
            ("--ca", words(self.authorities.iter().map(|authority| authority.purpose().name()))),
            ("--scheme", self.scheme.name().to_owned()),
        ];
        given.extend(self.token.options());
        given.extend(
            self.environment.iter().map(|(name, value)| ("--environment", format!("{name}={value}"))),
        );
        let addresses = self.server_names.addresses.iter().map(ToString::to_string);
        let names: Vec<_> = self.server_names.dns.iter().cloned().chain(addresses).collect();
        given.extend([
            ("--listen", self.listen.to_string()),
            ("--server-names", names.join(",")),
            ("--front-end", self.front_end.to_string()),
        ]);
        if let Some(users) = &self.users {
            let none = || "none".to_owned();
            let extensions = Some(users.extensions.0.join(",")).filter(|names| !names.is_empty());
            given.extend([
                ("--principals", users.principals.0.join(",")),
                ("--max-lifetime", users.max_lifetime.to_string()),
                ("--extensions", extensions.unwrap_or_else(none)),
            ]);
        }
        let of_names = [("--hosts", &self.hosts), ("--dns-names", &self.dns_names)];
        given.extend(
            of_names.into_iter().filter_map(|(option, names)| Some((option, names.as_ref()?.0.join(",")))),
        );
        given.push(("--max-server-lifetime", self.max_server_lifetime.to_string()));
        given.push(("--mtls-lifetime", self.mtls_lifetime.to_string()));
        let line =
            |(option, value): &(&str, String)| format!("    {option} {} \\\n", shell(Path::new(value)));
        format!("  countersign init \\\n{}    --yes", given.iter().map(line).collect::<String>())
    }
}

impl Token {
    fn options(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.display().to_string();
        let of_pin = |pin: &PinSource| match pin {
            PinSource::File(file) => ("--pin-file", path(file)),
            PinSource::Credential(name) => ("--pin-credential", name.clone()),
        };
        match self {
            Self::New { module, label } => {
                vec![
                    ("--token", "softhsm2".to_owned()),
                    ("--module", path(module)),
                    ("--label", label.clone()),
                ]
            }
            Self::Existing { module, label, pin } => vec![
                ("--token", "pkcs11".to_owned()),
                ("--module", path(module)),
                ("--label", label.clone()),
                of_pin(pin),
            ],
            Self::YubiKey { serial, pin, management_key_file } => {
                let management =
                    management_key_file.as_ref().map(|file| ("--management-key-file", path(file)));
                let given =
                    [("--token", "yubikey".to_owned()), ("--yubikey", serial.to_string()), of_pin(pin)];
                given.into_iter().chain(management).collect()
            }
        }
    }
}

fn words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(",")
}
