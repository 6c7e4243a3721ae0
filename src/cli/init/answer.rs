//! What an answer may be: each kind has one checked constructor, for options and for what is typed alike.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::caller::CallerName;
use crate::key::{KeyPurpose, Scheme};
use crate::policy::Pattern;

/// A domain in lower case, which can be a SPIFFE trust domain and part of a log's name.
#[derive(Clone, Debug)]
pub(super) struct DomainName(String);

/// Who signs, as certificates say it: at most 40 characters, so that a name can be made of it.
#[derive(Clone, Debug)]
pub(super) struct Organisation(String);

/// A caller's name, which is a section of the configuration, a part of a SPIFFE ID and a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::cli) struct Name(String);

/// Patterns of a profile: one at least.
#[derive(Clone, Debug)]
pub(super) struct Patterns(pub(super) Vec<String>);

/// Names of a profile: perhaps none.
#[derive(Clone, Debug)]
pub(super) struct Names(pub(super) Vec<String>);

/// What callers call the signer: one at least.
#[derive(Clone, Debug)]
pub(super) struct ServerNames {
    pub(super) dns: Vec<String>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// A time as it was written, and how long it is.
#[derive(Clone, Debug)]
pub(super) struct Span {
    text: String,
    pub(super) duration: Duration,
}

/// What a signer can be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Authority {
    User,
    Host,
    Tls,
}

/// Where keys can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// A new one in a directory.
    SoftHsm2,
    /// One that is initialised.
    Pkcs11,
    YubiKey,
}

impl DomainName {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        CallerName::parse(&format!("dns:{text}")).map_err(|_| {
            "a domain in lower case, such as example.org: labels of a-z, 0-9 and '-', without a trailing dot"
        })?;
        Ok(Self(text.to_owned()))
    }

    /// The identity of a caller.
    pub(super) fn caller(&self, name: &Name) -> String {
        format!("spiffe://{}/{name}", self.0)
    }
}

impl Organisation {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fits = (1..=40).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !fits || text.contains('*') || text.trim() != text {
            return Err("1 to 40 characters of printable ASCII, without `*`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Name {
    /// The longest.
    const MAX_LEN: usize = 40;

    /// # Errors
    /// It is no such name.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || text.len() > Self::MAX_LEN || !text.chars().all(fits) {
            return Err(format!(
                "{text:?} is no caller's name here: 1 to {} of a-z, 0-9, '-' and '_', a letter or digit first",
                Self::MAX_LEN
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub(in crate::cli) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Patterns {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let found = split(text);
        if found.is_empty() {
            return Err("one at least, such as \"alice,deploy-*\"".to_owned());
        }
        for pattern in &found {
            Pattern::new(pattern.as_str()).map_err(|error| format!("{pattern:?}: {error}"))?;
        }
        Ok(Self(found))
    }
}

impl Names {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match split(text).as_slice() {
            [none] if none == "none" => Ok(Self(Vec::new())),
            [] => Err("one at least, or none in a word: \"none\"".to_owned()),
            names => Ok(Self(names.to_vec())),
        }
    }
}

impl ServerNames {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut names = Self { dns: Vec::new(), addresses: BTreeSet::new() };
        for name in split(text) {
            if let Ok(address) = name.parse() {
                names.addresses.insert(address);
            } else if CallerName::parse(&format!("dns:{name}")).is_ok() {
                names.dns.push(name);
            } else {
                return Err(format!("{name:?} is no DNS name in lower case and no address"));
            }
        }
        if names.first().is_none() { Err("one at least, such as localhost".to_owned()) } else { Ok(names) }
    }

    /// The one to call it by, as a certificate has it.
    pub(super) fn first(&self) -> Option<String> {
        self.dns.first().cloned().or_else(|| self.addresses.first().map(ToString::to_string))
    }

    /// The same, as a URL has it.
    pub(super) fn host(&self) -> Option<String> {
        let address = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        self.dns.first().cloned().or_else(|| self.addresses.first().map(address))
    }
}

impl Span {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), duration })
    }
}

impl Authority {
    const ALL: [Self; 3] = [Self::User, Self::Host, Self::Tls];

    pub(super) fn parse_list(text: &str) -> Result<BTreeSet<Self>, String> {
        let parse = |word: &String| {
            let found = Self::ALL.into_iter().find(|authority| authority.purpose().name() == word);
            found.ok_or_else(|| format!("{word:?} is none of ssh-user-ca, ssh-host-ca, x509-ca"))
        };
        let found: BTreeSet<_> = split(text).iter().map(parse).collect::<Result<_, _>>()?;
        if found.is_empty() {
            Err("one at least: ssh-user-ca, ssh-host-ca, x509-ca".to_owned())
        } else {
            Ok(found)
        }
    }

    pub(super) const fn purpose(self) -> KeyPurpose {
        match self {
            Self::User => KeyPurpose::SshUserCa,
            Self::Host => KeyPurpose::SshHostCa,
            Self::Tls => KeyPurpose::X509Ca,
        }
    }

    /// The key's name.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::User => "user-ca",
            Self::Host => "host-ca",
            Self::Tls => "tls-ca",
        }
    }
}

impl TokenKind {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "softhsm2" => Ok(Self::SoftHsm2),
            "pkcs11" => Ok(Self::Pkcs11),
            "yubikey" => Ok(Self::YubiKey),
            _ => Err(format!("{text:?} is none of softhsm2, pkcs11, yubikey")),
        }
    }
}

pub(super) fn scheme(text: &str) -> Result<Scheme, String> {
    let names = || Scheme::ALL.into_iter().map(Scheme::name).collect::<Vec<_>>().join(", ");
    let found = Scheme::ALL.into_iter().find(|scheme| scheme.name() == text);
    found.ok_or_else(|| format!("{text:?} is none of {}", names()))
}

/// The scheme, if every CA that is wanted can sign by it.
pub(super) fn fits(scheme: Scheme, wanted: Option<&BTreeSet<Authority>>) -> Result<Scheme, String> {
    let ssh = wanted.is_some_and(|all| all.iter().any(|authority| *authority != Authority::Tls));
    if !ssh || scheme.ssh_name().is_some() {
        return Ok(scheme);
    }
    let known = Scheme::ALL.into_iter().filter(|scheme| scheme.ssh_name().is_some());
    let known: Vec<_> = known.map(Scheme::name).collect();
    Err(format!(
        "SSH has no {scheme} signatures, so that it is for an x509-ca alone; take one of {}",
        known.join(", ")
    ))
}

/// A file that is there; its absolute path, because the configuration will be elsewhere.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(text).and_then(|path| path.metadata().map(|_| path));
    path.map_err(|error| format!("cannot read {text:?}: {error}"))
}

pub(super) fn label(text: &str) -> Result<String, String> {
    if (1..=32).contains(&text.len()) { Ok(text.to_owned()) } else { Err("1 to 32 bytes".to_owned()) }
}

pub(super) fn serial(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "the number that is printed on the YubiKey".to_owned())
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The words between commas.
fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Organisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
