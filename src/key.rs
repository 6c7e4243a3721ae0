//! The words that every stage shares: a key's name, purpose and public half, and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use countersign_tbs::key::PublicKey;
pub use countersign_tbs::signature::Scheme;

use countersign_tbs::TbsKind;
use countersign_tbs::x509::Name;

use crate::config::Fault;
use crate::ledger::entry::sha256;
use crate::verify::{UnfitKey, Verifier};

pub(crate) use certificate::read as read_certificate;
pub use certificate::{CertificateFiles, KeyCertificate, UnfitCertificate};
pub use hygiene::Flaw;
pub(crate) use hygiene::accepting;
pub use turn::{OutOfTurn, Turn};

pub(crate) mod art;
mod certificate;
mod hygiene;
pub(crate) mod jwk;
pub(crate) mod pem;
mod turn;

/// A key's name in the configuration: 1 to 64 of `a-z 0-9 . _ -`, a letter or digit first.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(String);

/// Not a [`KeyName`] (or a token's name, which has the same form).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', with a letter or digit first")]
pub struct InvalidName;

impl KeyName {
    /// # Errors
    /// [`InvalidName`] if `name` has another form.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if is_name(&name) { Ok(Self(name)) } else { Err(InvalidName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `name` has the form of a [`KeyName`] or a [`crate::token::TokenName`].
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    (1..=64).contains(&name.len())
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// What a key signs by, as its section says it, for who configured something else: ``it signs by `scheme = "ed25519"` ``.
pub(crate) fn signs_by(key: &PublicKey) -> String {
    let fitting = Scheme::ALL.into_iter().filter(|scheme| scheme.fits(key));
    let fitting: Vec<_> = fitting.map(|scheme| format!("`scheme = \"{}\"`", scheme.name())).collect();
    format!("that signs by {}", fitting.join(" or "))
}

/// The one domain that a key may sign in (field-notes B6, B7).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyPurpose {
    /// SSH user certificates.
    SshUserCa,
    /// SSH host certificates.
    SshHostCa,
    /// X.509 certificates, and CRLs and OCSP responses about them.
    X509Ca,
    /// CRLs, in the name of the CA.
    X509Crl,
    /// OCSP responses, by the CA's delegation (RFC 6960 §4.2.2.2).
    Ocsp,
    /// Checkpoints of the signer's own ledger, and nothing that a caller asks for.
    Ledger,
}

impl KeyPurpose {
    /// Every purpose.
    pub const ALL: [Self; 6] =
        [Self::SshUserCa, Self::SshHostCa, Self::X509Ca, Self::X509Crl, Self::Ocsp, Self::Ledger];

    /// The word in configuration and ledger entries: `ssh-user-ca`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SshUserCa => "ssh-user-ca",
            Self::SshHostCa => "ssh-host-ca",
            Self::X509Ca => "x509-ca",
            Self::X509Crl => "x509-crl",
            Self::Ocsp => "ocsp",
            Self::Ledger => "ledger",
        }
    }

    /// The kinds of TBS that it covers. No two of them have a TBS in common, so that a signature is of one alone.
    #[must_use]
    pub const fn kinds(self) -> &'static [TbsKind] {
        match self {
            Self::SshUserCa | Self::SshHostCa => &[TbsKind::SshCertificate],
            Self::X509Ca => &[
                TbsKind::X509Certificate,
                TbsKind::X509Crl,
                TbsKind::OcspResponse,
                TbsKind::X509Request,
                TbsKind::X509Root,
            ],
            Self::X509Crl => &[TbsKind::X509Crl],
            Self::Ocsp => &[TbsKind::OcspResponse],
            Self::Ledger => &[],
        }
    }

    /// Whether a key of this purpose may sign all that one of `other` may. No two purposes of SSH include each other, nor one of SSH
    /// and one of X.509: whoever trusts the one would take what was meant for the other.
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        match self {
            Self::X509Ca => matches!(other, Self::X509Ca | Self::X509Crl | Self::Ocsp),
            Self::SshUserCa => matches!(other, Self::SshUserCa),
            Self::SshHostCa => matches!(other, Self::SshHostCa),
            Self::X509Crl => matches!(other, Self::X509Crl),
            Self::Ocsp => matches!(other, Self::Ocsp),
            Self::Ledger => matches!(other, Self::Ledger),
        }
    }

    /// The purpose of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }

    /// Whether a certificate names the key to those who rely on it.
    #[must_use]
    pub const fn is_x509(self) -> bool {
        match self {
            Self::SshUserCa | Self::SshHostCa | Self::Ledger => false,
            Self::X509Ca | Self::X509Crl | Self::Ocsp => true,
        }
    }

    /// Whether it works for a CA that certifies it, for a short time and again and again (RFC 6960 §4.2.2.2).
    #[must_use]
    pub const fn is_delegated(self) -> bool {
        matches!(self, Self::Ocsp)
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key in service: its configuration and the public key that was found on its token and pinned at start-up.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: KeyName,
    /// What it may sign.
    pub purpose: KeyPurpose,
    /// How it signs.
    pub scheme: Scheme,
    /// What every signature is verified against.
    pub public_key: PublicKey,
    /// Its certificate, if its purpose is an X.509 one.
    pub certificate: Option<Arc<KeyCertificate>>,
    /// When it signs certificates, if it takes another key's place or another takes its.
    pub turn: Option<Arc<Turn>>,
    spki_sha256: [u8; 32],
    verifier: Verifier,
}

impl Key {
    /// Pins `public_key`.
    ///
    /// # Errors
    /// [`UnfitKey`] if no signature by `scheme` could be verified with it.
    pub fn new(
        name: KeyName,
        purpose: KeyPurpose,
        scheme: Scheme,
        public_key: PublicKey,
    ) -> Result<Self, UnfitKey> {
        let verifier = Verifier::new(scheme, &public_key)?;
        let spki_sha256 = sha256(&[&public_key.to_spki_der()]);
        Ok(Self { name, purpose, scheme, public_key, certificate: None, turn: None, spki_sha256, verifier })
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo, which names the key in ledger entries.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// Every key in service, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<BTreeMap<KeyName, Arc<Key>>>);

impl Keys {
    /// The key of this name.
    #[must_use]
    pub fn get(&self, name: &KeyName) -> Option<&Arc<Key>> {
        self.0.get(name)
    }

    /// These without the log's own, which no caller may know of.
    #[must_use]
    pub fn for_callers(&self) -> Self {
        let keys = self.0.iter().filter(|(_, key)| key.purpose != KeyPurpose::Ledger);
        Self(Arc::new(keys.map(|(name, key)| (name.clone(), Arc::clone(key))).collect()))
    }

    /// Reads the certificate of every X.509 key.
    ///
    /// # Errors
    /// A fault for each certificate that is missing, unfit, over, or another key's.
    pub fn certified(self, configs: &[Config], now: UnixTime) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut certify = |key: &Arc<Key>| {
            let config = configs.iter().find(|config| config.name == key.name && config.purpose.is_x509());
            let Some(config) = config.filter(|config| config.certificate.is_some()) else {
                return Arc::clone(key);
            };
            let certificate = KeyCertificate::load(config)
                .and_then(|certificate| certificate.of(&key.public_key, now))
                .map_err(|error| {
                    faults.push(Fault::new(format!("key.{}.certificate", key.name), error.to_string()));
                });
            Arc::new(Key { certificate: certificate.ok().map(Arc::new), ..Key::clone(key) })
        };
        let keys = Self(Arc::new(self.iter().map(|key| (key.name.clone(), certify(key))).collect()));
        if faults.is_empty() {
            faults = keys.without_ca();
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }

    /// A fault for each key whose lists are about no CA here: they would be compared with nothing.
    fn without_ca(&self) -> Vec<Fault> {
        // One that awaits its certificate may turn out to be the CA; until then policy permits no such list.
        if self.iter().any(|key| key.purpose == KeyPurpose::X509Ca && key.certificate.is_none()) {
            return Vec::new();
        }
        let stray = |key: &&Arc<Key>| key.purpose == KeyPurpose::X509Crl && self.listed_by(key).is_empty();
        let fault = |key: &Arc<Key>| {
            let name = key.certificate.as_ref().map(|own| own.own().subject().to_string());
            let message = format!(
                "is for {}, and no x509-ca key here is certified for that name, so nobody could tell what its lists must name; \
                 configure the CA's key as well, and a retired one until its last certificate is over",
                name.unwrap_or_default()
            );
            Fault::new(format!("key.{}.certificate", key.name), message)
        };
        self.iter().filter(stray).map(fault).collect()
    }

    /// These, each with its turn.
    #[must_use]
    pub fn in_turn(self, mut turn_of: impl FnMut(&Key) -> Option<Turn>) -> Self {
        let keys = self.0.iter().map(|(name, key)| match turn_of(key) {
            None => (name.clone(), Arc::clone(key)),
            Some(turn) => (name.clone(), Arc::new(Key { turn: Some(Arc::new(turn)), ..Key::clone(key) })),
        });
        Self(Arc::new(keys.collect()))
    }

    /// The CA keys whose certificates are in the lists that `key` signs, by the SHA-256 of their SPKI: its own, and those of every CA of
    /// its certificate's name, as verifiers compare names, since whoever reads the list goes by that.
    #[must_use]
    pub fn listed_by(&self, key: &Key) -> Vec<[u8; 32]> {
        let is_ca = |key: &Key| key.purpose == KeyPurpose::X509Ca;
        if !is_ca(key) && key.purpose != KeyPurpose::X509Crl {
            return Vec::new();
        }
        let name = key.certificate.as_ref().map(|certificate| certificate.own().subject());
        let of_name = name.into_iter().flat_map(|name| self.cas_named(name));
        let own = is_ca(key).then_some(key.spki_sha256());
        let cas: BTreeSet<_> = of_name.map(|ca| ca.spki_sha256()).chain(own).collect();
        cas.into_iter().collect()
    }

    /// The CA keys with a certificate that verifiers may take for one of this name.
    pub(crate) fn cas_named(&self, name: &Name) -> impl Iterator<Item = &Arc<Key>> {
        self.iter().filter(move |key| {
            let is_named = |own: &Arc<KeyCertificate>| own.own().subject().matches(name);
            key.purpose == KeyPurpose::X509Ca && key.certificate.as_ref().is_some_and(is_named)
        })
    }

    /// The keys, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.0.values()
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self(Arc::new(keys.into_iter().map(|key| (key.name.clone(), Arc::new(key))).collect()))
    }
}

/// Whole seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The system clock. A clock before 1970 reads as 0.
    #[must_use]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

/// A second as people write it: RFC 3339, in UTC.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Year 9999 ends what can be written so.
        let since = Duration::from_secs(self.0.min(253_402_300_799));
        write!(f, "{}", humantime::format_rfc3339_seconds(UNIX_EPOCH + since))
    }
}

/// One moment on both clocks: what a certificate's validity is compared with, and what a deadline is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The time of day.
    pub unix: UnixTime,
    /// The same moment on the clock that is never set.
    pub instant: Instant,
}

impl Clock {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { unix: UnixTime::now(), instant: Instant::now() }
    }
}

/// One `[key.NAME]` section of the configuration, checked; where to find the key and what it is for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: KeyName,
    /// What it may sign.
    pub purpose: KeyPurpose,
    /// How it signs.
    pub scheme: Scheme,
    /// The token that holds it.
    pub token: crate::token::TokenName,
    /// Other tokens that hold the same key pair, under the same label and id.
    pub copies: Vec<crate::token::TokenName>,
    /// `CKA_LABEL` of both halves on the token.
    pub label: String,
    /// `CKA_ID`, if the label alone is not enough.
    pub id: Option<Vec<u8>>,
    /// Where it is on those of its tokens that are YubiKeys.
    pub slot: Option<crate::token::Slot>,
    /// `SHA256:…` of the public key's SSH form; a key with another is refused at start.
    pub fingerprint: Option<String>,
    /// What may be wrong with its private half on a token behind a PKCS#11 module.
    pub accept: BTreeSet<Flaw>,
    /// Where its certificate is, if its purpose is an X.509 one.
    pub certificate: Option<CertificateFiles>,
    /// The key whose place it is to take.
    pub succeeds: Option<KeyName>,
}

impl Config {
    /// Every token that holds it, in the order of the configuration.
    pub fn tokens(&self) -> impl Iterator<Item = &crate::token::TokenName> {
        std::iter::once(&self.token).chain(&self.copies)
    }
}
