//! `[key.NAME]`: a CA key or the log's own, where it is and what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use base64ct::{Base64Unpadded, Encoding};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use crate::config::checks::{path, text, word};
use crate::config::profile;
use crate::config::section::{List, Section, Text};
use crate::key::{CertificateFiles, Config, Flaw, KeyName, KeyPurpose, Scheme};
use crate::policy::KeyRules;
use crate::token::{Device, TokenName};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    purpose: Text,
    scheme: Text,
    token: Option<Spanned<OneOrMore>>,
    label: Text,
    id: Text,
    slot: Text,
    fingerprint: Text,
    accept: List,
    certificate: Text,
    issuer_certificate: Text,
    succeeds: Text,
}

/// The names of the tokens, for the keys to refer to.
#[derive(Default)]
pub(super) struct TokenNames {
    /// Every `[token.NAME]`, at fault or not, and where it is in the file.
    pub(super) known: BTreeMap<String, Range<usize>>,
    used: BTreeSet<String>,
    /// What those are that are not at fault.
    pub(super) kinds: BTreeMap<String, Kind>,
}

/// What a key must say to be found on a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A label, and perhaps an id.
    Pkcs11,
    /// A slot.
    YubiKey,
}

impl Kind {
    pub(super) fn of(device: &Device) -> Self {
        match device {
            Device::Pkcs11(_) => Self::Pkcs11,
            Device::YubiKey(_) => Self::YubiKey,
        }
    }
}

/// The names of the keys, for the ledger to refer to.
#[derive(Default)]
pub(super) struct KnownKeys {
    /// Every `[key.NAME]`, at fault or not: what it seems to be for, and where it is in the file.
    known: BTreeMap<String, (Option<KeyPurpose>, Range<usize>)>,
    /// That of the ledger.
    used: Option<String>,
    /// The keys that are to take the place of another: that other's name, and where it says so.
    successors: Vec<(String, String, Range<usize>)>,
}

/// Reads a key and its profiles; the log's own has none.
pub(super) fn read(
    name: &str,
    tokens: &mut TokenNames,
    known: &mut KnownKeys,
    section: &mut Section<'_, '_>,
) -> Option<(Config, Option<KeyRules>)> {
    let purposes = KeyPurpose::ALL.map(|purpose| (purpose.name(), purpose));
    let says = |purpose: &&(&str, KeyPurpose)| section.peek("purpose") == Some(purpose.0);
    let likely = purposes.iter().find(says).map(|(_, purpose)| *purpose);
    known.known.insert(name.to_owned(), (likely, section.span()));
    // The profiles are read even if the key is at fault, so that one fault never hides another.
    let profiles = match likely {
        Some(KeyPurpose::Ledger) => has_no_profiles(section).then_some(None),
        likely => profile::read_all(likely, section).map(Some),
    };
    let raw: Raw = section.read();
    let purpose = section.required("purpose", raw.purpose, word(purposes));
    let key_name = KeyName::new(name).map_err(|error| section.fault(error)).ok();
    let scheme = section.required("scheme", raw.scheme, |name| scheme_for(purpose, name));
    let token = section.required("token", raw.token, |names| tokens.resolve_all(names));
    let kinds: Option<Vec<_>> = token.as_ref().and_then(|token| tokens.kinds_of(token));
    let is_only = |kind| kinds.as_ref().is_some_and(|kinds| kinds.iter().all(|other| *other == kind));
    let no_label = if is_only(Kind::YubiKey) { Err(NO_LABEL) } else { Ok(()) };
    let label = section.or("label", raw.label, name.to_owned(), |label| {
        no_label?;
        text(255)(label)
    });
    let id = section.or("id", raw.id, None, |hex| {
        no_label?;
        key_id(&hex).map(Some)
    });
    let slot = if kinds.as_ref().is_some_and(|kinds| kinds.contains(&Kind::YubiKey)) {
        section.required("slot", raw.slot, |slot| slot.parse()).map(Some)
    } else {
        let no_slot = if is_only(Kind::Pkcs11) { Err(NO_SLOT) } else { Ok(None) };
        section.or("slot", raw.slot, None, |_| no_slot)
    };
    let fingerprint = section.or("fingerprint", raw.fingerprint, None, |text| fingerprint(text).map(Some));
    let accept = section.optional_list("accept", raw.accept, |name| {
        if is_only(Kind::YubiKey) {
            return word([(Flaw::NotLocal.name(), Flaw::NotLocal)])(name);
        }
        word(Flaw::ALL.map(|flaw| (flaw.name(), flaw)))(name)
    });
    let (own, issuer) = (raw.certificate, raw.issuer_certificate);
    let certificate = match purpose {
        // A CA's is made with its key's signature, so that the key is in service before.
        Some(KeyPurpose::X509Ca) if own.is_none() => has_no_issuer(issuer, section).then_some(None),
        Some(purpose) if purpose.is_x509() => certificate_files(purpose, own, issuer, section).map(Some),
        _ => has_no_files(own, issuer, section).then_some(None),
    };
    let span = raw.succeeds.as_ref().map(Spanned::span);
    let succeeds = section.or("succeeds", raw.succeeds, None, |old| KeyName::new(old).map(Some));
    if let (Some(Some(old)), Some(span)) = (&succeeds, span) {
        known.successors.push((name.to_owned(), old.to_string(), span));
    }
    let mut token = token?.into_iter();
    let config = Config {
        name: key_name?,
        purpose: purpose?,
        scheme: scheme?,
        token: token.next()?,
        copies: token.collect(),
        label: label?,
        id: id?,
        slot: slot?,
        fingerprint: fingerprint?,
        accept: accept?,
        certificate: certificate?,
        succeeds: succeeds?,
    };
    let rules = profiles?.map(|profiles| KeyRules { purpose: config.purpose, profiles });
    Some((config, rules))
}

/// Whether nobody may have anything signed with the key.
fn has_no_profiles(section: &mut Section<'_, '_>) -> bool {
    if section.child("allow").is_none() {
        return true;
    }
    let message = "allows callers to use it, and a key of purpose ledger signs checkpoints alone: delete its profiles, or \
                   take another key for them";
    section.fault(message);
    false
}

const NO_LABEL: &str = "is for tokens behind a PKCS#11 module: delete it, and name a `slot`";
const NO_SLOT: &str = "is for YubiKeys: delete it";

/// `"one"` or `["one", "two"]`.
struct OneOrMore(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = OneOrMore;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a token's name or a list of them")
            }

            fn visit_str<E>(self, name: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMore(names))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

impl TokenNames {
    fn resolve_all(&mut self, OneOrMore(names): OneOrMore) -> Result<Vec<TokenName>, String> {
        if names.is_empty() {
            return Err("is empty: list at least one".to_owned());
        }
        let mut resolved: Vec<TokenName> = Vec::new();
        for name in names {
            let token = self.resolve(name)?;
            if resolved.contains(&token) {
                return Err(format!("lists {token} twice"));
            }
            resolved.push(token);
        }
        Ok(resolved)
    }

    fn resolve(&mut self, name: String) -> Result<TokenName, String> {
        if !self.known.contains_key(&name) {
            return Err(format!("is {name:?}, but there is no section [token.{name}]"));
        }
        self.used.insert(name.clone());
        TokenName::new(name).map_err(|error| error.to_string())
    }

    /// What each of these is, unless one is at fault.
    fn kinds_of(&self, tokens: &[TokenName]) -> Option<Vec<Kind>> {
        tokens.iter().map(|token| self.kinds.get(token.as_str()).copied()).collect()
    }

    /// Those that no key named.
    pub(super) fn unused(self) -> impl Iterator<Item = (String, Range<usize>)> {
        self.known.into_iter().filter(move |(name, _)| !self.used.contains(name))
    }
}

impl KnownKeys {
    /// What is wrong with the lines that keys make, each of which takes the place of one: where, and why.
    pub(super) fn faults_of_lines(&self) -> Vec<(String, Range<usize>, String)> {
        let mut successors = BTreeMap::new();
        let faults = self.successors.iter().filter_map(|(name, old, span)| {
            let fault = self.fault_of_link(name, old).or_else(|| {
                let rival: &mut &String = successors.entry(old).or_insert(name);
                (*rival != name).then(|| {
                    format!("is {old:?}, whose place key.{rival} is to take already: a key has one successor")
                })
            });
            Some((name.clone(), span.clone(), fault?))
        });
        let mut faults: Vec<_> = faults.collect();
        for (name, old, span) in &self.successors {
            let (mut at, mut seen) = (name, BTreeSet::new());
            while let Some(next) = successors.get(at).filter(|_| seen.insert(at)) {
                at = next;
            }
            if seen.len() > 1 && at == name {
                faults.push((
                    name.clone(),
                    span.clone(),
                    format!("is {old:?}, and goes round: no key takes its own place in the end"),
                ));
            }
        }
        faults
    }

    fn fault_of_link(&self, name: &str, old: &str) -> Option<String> {
        let purpose = |name: &str| self.known.get(name).map(|(purpose, _)| *purpose);
        let Some(other) = purpose(old) else {
            return Some(format!(
                "is {old:?}, but there is no section [key.{old}]; once that key is retired and its section deleted, delete this, too"
            ));
        };
        if name == old {
            return Some("is the key itself: name the one whose place it is to take".to_owned());
        }
        match (purpose(name).flatten(), other) {
            (Some(KeyPurpose::X509Crl | KeyPurpose::Ocsp | KeyPurpose::Ledger), _) => Some(
                "is for keys that sign certificates (ssh-user-ca, ssh-host-ca, x509-ca): delete it"
                    .to_owned(),
            ),
            (Some(own), Some(other)) if own != other => Some(format!(
                "is {old:?}, which is for {other}; one of {own} takes the place of such a key alone"
            )),
            _ => None,
        }
    }

    /// The key that signs checkpoints.
    pub(super) fn for_ledger(&mut self, name: &str) -> Result<KeyName, String> {
        self.used = Some(name.to_owned());
        match self.known.get(name) {
            None => Err(format!("is {name:?}, but there is no section [key.{name}]")),
            Some((Some(KeyPurpose::Ledger) | None, _)) => {
                KeyName::new(name).map_err(|error| error.to_string())
            }
            Some((Some(purpose), _)) => Err(format!(
                "is {name:?}, whose purpose is {purpose}: checkpoints take a key of their own, of purpose \"ledger\""
            )),
        }
    }

    /// Whether any is for this.
    pub(super) fn any_is_for(&self, purpose: KeyPurpose) -> bool {
        self.known.values().any(|(own, _)| *own == Some(purpose))
    }

    /// Those for checkpoints that the ledger does not name.
    pub(super) fn unused(self) -> impl Iterator<Item = (String, Range<usize>)> {
        let is_for_ledger = |purpose| purpose == Some(KeyPurpose::Ledger);
        let known = self.known.into_iter().filter(move |(_, (purpose, _))| is_for_ledger(*purpose));
        known.filter(move |(name, _)| self.used.as_ref() != Some(name)).map(|(name, (_, span))| (name, span))
    }
}

/// The files of an X.509 key.
fn certificate_files(
    purpose: KeyPurpose,
    own: Text,
    issuer: Text,
    section: &mut Section<'_, '_>,
) -> Option<CertificateFiles> {
    let directory = section.directory();
    let here = path(&directory);
    let own = section.required("certificate", own, &here);
    let issuer = if purpose == KeyPurpose::Ocsp {
        section.required("issuer_certificate", issuer, &here).map(Some)
    } else {
        has_no_issuer(issuer, section).then_some(None)
    };
    Some(CertificateFiles { own: own?, issuer: issuer? })
}

/// Whether a key that answers for no other CA names none.
fn has_no_issuer(issuer: Text, section: &mut Section<'_, '_>) -> bool {
    let why = "is for keys of purpose \"ocsp\", which answer for another CA: delete it";
    section.or("issuer_certificate", issuer, (), |_| Err(why)).is_some()
}

/// Whether a key that is not for X.509 names no files.
fn has_no_files(own: Text, issuer: Text, section: &mut Section<'_, '_>) -> bool {
    let why = "is for X.509 keys: delete it";
    let own = section.or("certificate", own, (), |_| Err(why));
    let issuer = section.or("issuer_certificate", issuer, (), |_| Err(why));
    own.and(issuer).is_some()
}

/// A scheme that the purpose's format has a name for.
fn scheme_for(purpose: Option<KeyPurpose>, name: String) -> Result<Scheme, String> {
    let scheme = word(Scheme::ALL.map(|scheme| (scheme.name(), scheme)))(name)?;
    match purpose {
        Some(KeyPurpose::Ledger) if !matches!(scheme, Scheme::Ed25519 | Scheme::EcdsaP256Sha256) => {
            Err(format!("is {scheme}; checkpoints are signed with \"ed25519\" or \"ecdsa-p256-sha256\""))
        }
        Some(purpose) if !purpose.is_x509() && scheme.parameters().is_some() => Err(format!(
            "is {scheme}, which SSH does not have; take \"ed25519\" there, or an ECDSA or RSA scheme"
        )),
        Some(purpose) if !purpose.is_x509() && scheme.ssh_name().is_none() => {
            Err(format!("is {scheme}, which SSH does not have; an RSA key takes \"rsa-pkcs1-sha512\" there"))
        }
        Some(_) | None => Ok(scheme),
    }
}

/// What two sections of one key have in common: its place on a token, or its fingerprint. Where one names an id and the
/// other does not, only the token can tell.
pub(super) fn identities(tokens: &TokenNames, config: &Config) -> impl Iterator<Item = String> {
    let place = |token: &TokenName| match (tokens.kinds.get(token.as_str()), config.slot) {
        (Some(Kind::YubiKey), Some(slot)) => format!("{token} slot {slot}"),
        _ => format!("{token} {:?} {:?}", config.label, config.id),
    };
    config.tokens().map(place).chain(config.fingerprint.clone())
}

/// `CKA_ID`, which has no length limit in PKCS#11; 64 bytes are more than any token in use takes.
fn key_id(hex: &str) -> Result<Vec<u8>, &'static str> {
    let wrong = "should be 1 to 64 bytes in hexadecimal, such as \"01\" or \"a1b2c3\"";
    let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| (1..=128).contains(&digits.len())).ok_or(wrong)?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong);
    }
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).map_err(|_| wrong)).collect()
}

/// As `ssh-keygen -l` prints it.
fn fingerprint(text: String) -> Result<String, &'static str> {
    let mut hash = [0; 32];
    let decoded = text.strip_prefix("SHA256:").map(|base64| Base64Unpadded::decode(base64, &mut hash));
    match decoded {
        Some(Ok(hash)) if hash.len() == 32 => Ok(text),
        _ => Err("should be the key's fingerprint as `ssh-keygen -l` prints it: SHA256: and 43 characters"),
    }
}
