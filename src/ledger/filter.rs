//! What people look for in a log: entries that have all of some words, and a time.
//!
//! In: what somebody asks. Out: the words that the index has lists of, and whether an entry is meant: a list may have others,
//! whose words have the same hash. Text is compared whole, byte for byte, but names of X.509, which are compared as `entry::spelling` folds
//! them, of certificates and of revocations alike.

use std::fmt;

use countersign_tbs::Tbs;
use countersign_tbs::ssh::CertificateTbs;
use countersign_tbs::x509::{SerialNumber, TbsCertificate};

use crate::ledger::Entry;
use crate::ledger::entry::{
    Asked, CaKey, Revoked, UnixMillis, fingerprint, folded, is_name_of, spki_fingerprint,
};
use crate::ledger::index::{Kind, Word, parsed};

/// Entries that are all of what is set. Outcomes have nothing but a time.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The key's name, as it was asked for.
    pub key: Option<String>,
    /// Who asked.
    pub caller: Option<String>,
    /// The serial of a certificate.
    pub serial: Option<Serial>,
    /// An SSH certificate's key id.
    pub key_id: Option<String>,
    /// A principal, a subject alternative name or a subject, as `ledger show --json` writes it.
    pub name: Option<String>,
    /// The fingerprint of the certified key, as OpenSSH writes it.
    pub subject_key: Option<String>,
    /// Revocations alone, and of which CA key.
    pub revocations: Option<Revocations>,
    /// Steps of rotations alone.
    pub rotations: bool,
    /// At this time or later.
    pub since: Option<UnixMillis>,
    /// Before this time.
    pub until: Option<UnixMillis>,
}

/// Which revocations are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Revocations {
    /// Those of every CA key.
    All,
    /// Those of the CA key whose SPKI has this SHA-256.
    Of([u8; 32]),
}

/// A certificate's serial as people write it: of SSH decimal, of X.509 hexadecimal. Some texts are both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Serial {
    ssh: Option<u64>,
    x509: Option<SerialNumber>,
}

/// Text that is no serial.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a serial is decimal (SSH, below 2^64) or hexadecimal (X.509, 1 to 20 octets, with or without colons), and not zero"
)]
pub struct NoSerial;

impl std::str::FromStr for Serial {
    type Err = NoSerial;

    fn from_str(text: &str) -> Result<Self, NoSerial> {
        let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let ssh = if is_decimal { text.parse().ok() } else { None };
        let x509 = hexadecimal(text).and_then(|octets| SerialNumber::new(&octets));
        if ssh.is_none() && x509.is_none() { Err(NoSerial) } else { Ok(Self { ssh, x509 }) }
    }
}

impl Serial {
    /// A serial as a revocation has it.
    pub(super) fn recorded(octets: &[u8], is_x509: bool) -> Option<Self> {
        let (ssh, x509) = if is_x509 {
            (None, Some(SerialNumber::new(octets)?))
        } else {
            (Some(u64::from_be_bytes(octets.try_into().ok()?)), None)
        };
        Some(Self { ssh, x509 })
    }

    /// What a certificate of that format has, if there is one: no certificate of SSH has serial 0.
    pub(crate) fn octets(&self, is_x509: bool) -> Option<Vec<u8>> {
        if is_x509 {
            return self.x509.map(|serial| serial.as_bytes().to_vec());
        }
        self.ssh.filter(|serial| *serial > 0).map(|serial| serial.to_be_bytes().to_vec())
    }

    /// Whether one of what `wanted` may be is this.
    fn is_among(&self, wanted: &Self) -> bool {
        let Self { ssh, x509 } = self;
        (ssh.is_some() && *ssh == wanted.ssh) || (x509.is_some() && *x509 == wanted.x509)
    }
}

impl Revocations {
    fn has(self, entry: &Entry) -> bool {
        match (self, entry) {
            (Self::All, Entry::Revocation { .. }) => true,
            (Self::Of(spki), Entry::Revocation { ca_key, .. }) => ca_key.spki_sha256 == spki,
            _ => false,
        }
    }
}

/// What [`str::parse`] reads as this one; of SSH, where it is both.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { ssh: Some(serial), .. } => write!(f, "{serial}"),
            Self { x509: Some(serial), .. } => write!(f, "0x{serial}"),
            Self { ssh: None, x509: None } => Ok(()),
        }
    }
}

impl Filter {
    /// Of each kind that is asked for, the words that will do; the rarest first.
    pub(super) fn words(&self) -> Vec<Vec<Word>> {
        let serials = self.serial.iter().map(|Serial { ssh, x509 }| {
            let ssh = ssh.map(|serial| serial.to_be_bytes().to_vec());
            let x509 = x509.as_ref().map(|serial| serial.as_bytes().to_vec());
            let mut octets: Vec<_> = ssh.into_iter().chain(x509).collect();
            octets.dedup();
            octets.into_iter().map(|octets| (Kind::Serial, octets)).collect()
        });
        let texts = [
            (Kind::SubjectKey, &self.subject_key),
            (Kind::KeyId, &self.key_id),
            (Kind::Caller, &self.caller),
            (Kind::Key, &self.key),
        ];
        let texts = texts.into_iter().filter_map(|(kind, text)| Some((kind, text.as_ref()?)));
        let revocations = self.revocations.iter().map(|of| {
            let word = match of {
                Revocations::All => Vec::new(),
                Revocations::Of(ca_key) => ca_key.to_vec(),
            };
            vec![(Kind::Revocation, word)]
        });
        let rotations = self.rotations.then(|| vec![(Kind::Rotation, Vec::new())]);
        let names = self.name.iter().map(|name| {
            let mut spelt = vec![name.clone(), folded(name)];
            spelt.dedup();
            spelt.into_iter().map(|name| (Kind::Name, name.into_bytes())).collect()
        });
        let rare = revocations.chain(rotations).chain(serials).chain(names);
        rare.chain(texts.map(|(kind, text)| vec![(kind, text.as_bytes().to_vec())])).collect()
    }

    /// Whether `entry` is meant.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let time = entry.time();
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && is(self.caller.as_ref(), caller(entry))
            && keys(entry).into_iter().any(|key| is(self.key.as_ref(), key))
            && (!self.rotations || matches!(entry, Entry::Rotation { .. }))
            && self.revocations.is_none_or(|wanted| wanted.has(entry))
            && self.matches_tbs(entry)
    }

    fn matches_tbs(&self, entry: &Entry) -> bool {
        let Self { serial, key_id, name, subject_key, .. } = self;
        if serial.is_none() && key_id.is_none() && name.is_none() && subject_key.is_none() {
            return true;
        }
        if let Entry::Revocation { ca_key, what, .. } = entry {
            return self.matches_revoked(ca_key, what);
        }
        if let Entry::KeyRecord { spki, .. } = entry {
            let fingerprint = spki_fingerprint(spki);
            return serial.is_none() && key_id.is_none() && name.is_none() && *subject_key == fingerprint;
        }
        match asked(entry).and_then(parsed) {
            Some(Tbs::Ssh(certificate)) => self.matches_ssh(&certificate),
            Some(Tbs::X509(certificate)) => self.matches_x509(&certificate),
            Some(Tbs::Root(root)) => self.matches_x509(root.tbs()),
            // These name other certificates, of which there are entries.
            Some(Tbs::Crl(_) | Tbs::Ocsp(_) | Tbs::Request(_)) | None => false,
        }
    }

    fn matches_ssh(&self, certificate: &CertificateTbs) -> bool {
        let fingerprint = certificate.subject_key().fingerprint();
        self.serial.as_ref().is_none_or(|wanted| wanted.ssh == Some(certificate.serial()))
            && is(self.key_id.as_ref(), Some(certificate.key_id().as_bytes()))
            && is(self.subject_key.as_ref(), Some(fingerprint.as_bytes()))
            && self.name.as_ref().is_none_or(|name| certificate.principals().contains(name))
    }

    /// Whether a revocation is of what is looked for, by the same word.
    fn matches_revoked(&self, ca_key: &CaKey, what: &Revoked) -> bool {
        let (mut serial, mut key_id, mut name, mut subject_key) = (None, None, None, None);
        match what {
            Revoked::Serial(octets) => serial = Serial::recorded(octets, ca_key.is_x509()),
            Revoked::KeyId(id) => key_id = Some(id.as_slice()),
            Revoked::Name(own) => name = Some(own.as_slice()),
            Revoked::SubjectKey(hash) => subject_key = Some(fingerprint(hash)),
            Revoked::Recorded(..) | Revoked::Entry(_) => {}
        }
        self.serial.as_ref().is_none_or(|wanted| serial.is_some_and(|serial| serial.is_among(wanted)))
            && is(self.key_id.as_ref(), key_id)
            && self
                .name
                .as_ref()
                .is_none_or(|wanted| name.is_some_and(|name| is_same_name(ca_key, name, wanted)))
            && is(self.subject_key.as_ref(), subject_key.as_deref().map(str::as_bytes))
    }

    fn matches_x509(&self, certificate: &TbsCertificate) -> bool {
        let fingerprint = certificate.public_key().fingerprint();
        let has = |wanted: &String| is_name_of(certificate, wanted);
        self.serial.as_ref().is_none_or(|wanted| wanted.x509.as_ref() == Some(certificate.serial()))
            && self.key_id.is_none()
            && is(self.subject_key.as_ref(), Some(fingerprint.as_bytes()))
            && self.name.as_ref().is_none_or(has)
    }
}

/// Whether the name that a revocation has is `wanted`, as it is compared with those of the CA key's certificates.
fn is_same_name(ca_key: &CaKey, name: &[u8], wanted: &str) -> bool {
    let is_one = |name| ca_key.is_x509() && folded(name) == folded(wanted);
    name == wanted.as_bytes() || str::from_utf8(name).is_ok_and(is_one)
}

/// Whether what is wanted, if anything is, is there.
fn is(wanted: Option<&String>, there: Option<&[u8]>) -> bool {
    wanted.is_none_or(|wanted| there == Some(wanted.as_bytes()))
}

fn asked(entry: &Entry) -> Option<&Asked> {
    match entry {
        Entry::Intent { asked, .. } | Entry::Refusal { asked, .. } => Some(asked),
        Entry::Outcome { .. }
        | Entry::SelfTest { .. }
        | Entry::Refusals { .. }
        | Entry::Freeze { .. }
        | Entry::Thaw { .. }
        | Entry::Checkpoint { .. }
        | Entry::Revocation { .. }
        | Entry::KeyRecord { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        | Entry::Rotation { .. }
        | Entry::Ceremony { .. } => None,
    }
}

fn caller(entry: &Entry) -> Option<&[u8]> {
    match entry {
        Entry::Intent { asked, .. } | Entry::Refusal { asked, .. } => Some(&asked.caller),
        Entry::Refusals { caller, .. } | Entry::Freeze { caller, .. } | Entry::Thaw { caller, .. } => {
            Some(caller)
        }
        Entry::Revocation { by, .. }
        | Entry::Rotation { by, .. }
        | Entry::Ceremony { by, .. }
        | Entry::KeyRecord { by, .. }
        | Entry::KeyDeletion { by, .. }
        | Entry::KeyWrapping { by, .. } => Some(by),
        Entry::Outcome { .. } | Entry::SelfTest { .. } | Entry::Checkpoint { .. } => None,
    }
}

/// The names of keys that an entry is about.
fn keys(entry: &Entry) -> [Option<&[u8]>; 2] {
    match entry {
        Entry::Rotation { key, old, .. } => [Some(key), Some(old)],
        other => [key(other), None],
    }
}

fn key(entry: &Entry) -> Option<&[u8]> {
    match entry {
        Entry::Intent { asked, .. } | Entry::Refusal { asked, .. } => Some(&asked.key),
        Entry::Freeze { key, .. }
        | Entry::Thaw { key, .. }
        | Entry::Revocation { key, .. }
        | Entry::KeyRecord { key, .. }
        | Entry::Rotation { key, .. } => Some(key),
        Entry::SelfTest { key, .. } | Entry::Checkpoint { key, .. } => Some(key.as_bytes()),
        Entry::Outcome { .. }
        | Entry::Refusals { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        | Entry::Ceremony { .. } => None,
    }
}

/// The octets of a number in hexadecimal, without leading zeros.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    let digits = digits.trim_start_matches('0');
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    let octets = (0..even.len()).step_by(2).map(|at| u8::from_str_radix(even.get(at..at + 2)?, 16).ok());
    let is_number = !even.is_empty() && even.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number { octets.collect() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use countersign_tbs::ssh::{self, CertificateType, SubjectKey};
    use countersign_tbs::x509::{self, SignatureAlgorithm, Validity};

    use super::*;
    use crate::ledger::entry::{AskedTbs, RevocationReason, subject_key};
    use crate::policy::fixture::{NOW, name, public_key, time};

    fn intent(kind: &str, tbs: &[u8]) -> Entry {
        let tbs = AskedTbs::Whole(tbs.to_vec());
        let asked = Asked { caller: vec![], key: vec![], request_id: None, kind: kind.to_owned(), tbs };
        Entry::Intent { time: UnixMillis(0), asked, policy: [0; 32], rule: String::new(), ca_key: ca_key() }
    }

    fn ca_key() -> CaKey {
        CaKey { purpose: "x509-ca".to_owned(), scheme: "ed25519".to_owned(), spki_sha256: [0; 32] }
    }

    /// The index is asked first, by a hash of 8 bytes: only this tells two apart that have the same.
    #[test]
    fn a_subject_key_is_compared_in_every_entry_that_has_one() {
        let key = public_key("one");
        let certificate = ssh::CertificateBuilder::new(
            CertificateType::User,
            SubjectKey::Plain(key.clone()),
            public_key("ca"),
        );
        let certificate =
            certificate.key_id("a key id").principal("alice").valid_after(NOW).valid_before(NOW + 60);
        let ssh = certificate.build().unwrap();
        let validity = Validity { not_before: time(NOW), not_after: time(NOW + 60) };
        let algorithm = SignatureAlgorithm::Ed25519;
        let x509 = x509::CertificateBuilder::new(algorithm, name("CA"), validity, key.clone())
            .subject(name("a subject"))
            .build()
            .unwrap();
        let revocation = Entry::Revocation {
            time: UnixMillis(0),
            key: vec![],
            ca_key: ca_key(),
            spki: vec![],
            what: Revoked::SubjectKey(subject_key(&Tbs::X509(x509.clone())).unwrap()),
            reason: RevocationReason::Unspecified,
            in_ledger: true,
            by: vec![],
            why: vec![],
        };
        let record = Entry::KeyRecord {
            time: UnixMillis(0),
            key: vec![],
            token: vec![],
            spki: key.to_spki_der(),
            record: vec![],
            signature: vec![],
            by: vec![],
        };
        let intents =
            [intent("ssh-certificate", ssh.as_bytes()), intent("x509-certificate", x509.as_bytes())];
        for entry in intents.into_iter().chain([revocation, record]) {
            for (of, found) in [("one", true), ("two", false)] {
                let subject_key = Some(public_key(of).fingerprint());
                assert_eq!(
                    Filter { subject_key, ..Filter::default() }.matches(&entry),
                    found,
                    "{of}: {entry:?}"
                );
            }
        }
    }

    #[test]
    fn a_serial_is_what_show_prints_of_either_kind() {
        let serial = |text: &str| text.parse::<Serial>();
        let x509 = |octets: &[u8]| SerialNumber::new(octets);
        assert_eq!(serial("10").unwrap(), Serial { ssh: Some(10), x509: x509(&[0x10]) });
        assert_eq!(serial("0a"), serial("A"));
        assert_eq!(serial("00:Ff:01").unwrap(), Serial { ssh: None, x509: x509(&[0xff, 1]) });
        assert_eq!(serial("0x1ff").unwrap(), Serial { ssh: None, x509: x509(&[1, 0xff]) });
        assert_eq!(serial(&u64::MAX.to_string()).unwrap().ssh, Some(u64::MAX));
        for none in ["", "x", "0x", "-1", "+1", "1 ", "g0", "é", &"f".repeat(41), "0x0"] {
            assert_eq!(serial(none), Err(NoSerial), "{none:?}");
        }
        assert_eq!(serial("0").unwrap(), Serial { ssh: Some(0), x509: None });
    }
}
