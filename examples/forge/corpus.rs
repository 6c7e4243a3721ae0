//! The forged SSH certificates: what is wrong with each, where that was seen, and how it must be refused.
//!
//! Out: [`all`]. Each starts from [`good`], which is signed. Two things exist only at run time and have stand-ins here: the
//! CA keys ([`CA_KEYS`], [`signers::KEY_HASHES`]) and the clock ([`NOW`], [`x509::der::utc`], [`x509::der::generalized`]);
//! `file.rs` writes them as placeholders. The X.509 certificates are [`x509`]'s, the lists [`crl`]'s, the answers
//! [`ocsp`]'s, and what CA keys sign about themselves [`own`]'s.

// With their paths, since the black-box tests have this file under another root.
#[path = "corpus/crl.rs"]
pub mod crl;
#[path = "corpus/foreign.rs"]
mod foreign;
#[path = "corpus/keys.rs"]
mod keys;
#[path = "corpus/names.rs"]
mod names;
#[path = "corpus/ocsp.rs"]
pub mod ocsp;
#[path = "corpus/options.rs"]
mod options;
#[path = "corpus/own.rs"]
pub mod own;
#[path = "corpus/signers.rs"]
pub mod signers;
#[path = "corpus/structure.rs"]
mod structure;
#[path = "corpus/validity.rs"]
mod validity;
#[path = "corpus/x509.rs"]
pub mod x509;

use crate::forge::{Forgery, string};

/// Stands for the point of `user-ca`'s key, on P-256.
pub const USER_CA: [u8; 65] = stand_in(0xc1);
/// Stands for the point of `host-ca`'s key, on P-256.
pub const HOST_CA: [u8; 65] = stand_in(0xc2);
/// Stands for the point of `server-ca`'s key, on P-256.
pub const SERVER_CA: [u8; 65] = stand_in(0xc3);
/// Stands for the point of `code-ca`'s key, on P-256.
pub const CODE_CA: [u8; 65] = stand_in(0xc4);
/// Stands for the point of `request-ca`'s key, on P-256.
pub const REQUEST_CA: [u8; 65] = stand_in(0xc5);
/// Stands for the point of `root-ca`'s key, on P-256.
pub const ROOT_CA: [u8; 65] = stand_in(0xc6);
/// Every stand-in for a CA key, by the key's name.
pub const CA_KEYS: [(&str, [u8; 65]); 6] = [
    ("user-ca", USER_CA),
    ("host-ca", HOST_CA),
    ("server-ca", SERVER_CA),
    ("code-ca", CODE_CA),
    ("request-ca", REQUEST_CA),
    ("root-ca", ROOT_CA),
];
/// Stands for the time of the test, in seconds since 1970; what is added to it stays within 31 bits.
pub const NOW: u64 = 0x6e6f_7721_8000_0000;

/// A TBS, field by field in order, each with its length.
pub type Fields = Vec<(&'static str, Vec<u8>)>;

/// One forged TBS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Case {
    /// `FIELD-WHAT`: the file's name without its ending.
    pub name: String,
    /// What an attacker wants, in a line.
    pub attack: String,
    /// The field at fault.
    pub field: String,
    /// A CVE, an issue, a standard or a field note (`R12`, `B2`) that it comes from; `-` for none.
    pub source: String,
    /// The key that is asked for.
    pub key: String,
    /// What the caller says that the bytes are.
    pub kind: String,
    /// The refusal's reason.
    pub reason: String,
    /// The refusal's rule.
    pub rule: String,
    /// The bytes.
    pub tbs: Vec<(String, Vec<u8>)>,
}

/// A row of a list: name, attack, source, reason, and what it does to a good TBS.
type Row<T> = (&'static str, &'static str, &'static str, &'static str, fn(&mut T));

impl Case {
    fn new(field: &str, row: (&str, &str, &str, &str), tbs: Fields) -> Self {
        let (name, attack, source, reason) = row;
        let [field, attack, source, reason] = [field, attack, source, reason].map(str::to_owned);
        Self {
            name: format!("{}-{name}", field.replace(' ', "-")),
            rule: rule("user-ca.allow.staff", &reason),
            attack,
            field,
            source,
            key: "user-ca".to_owned(),
            kind: "ssh-certificate".to_owned(),
            reason,
            tbs: tbs.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
        }
    }

    /// The same bytes, asked of another key.
    fn of_key(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    pub fn file_name(&self) -> String {
        format!("{}.txt", self.name)
    }
}

/// The TBS that the forgeries start from.
fn base() -> Forgery {
    Forgery::user(p256_blob(&USER_CA), NOW)
}

/// The same as a case, which is none: it must be signed.
pub fn good() -> Case {
    Case::new("good", ("base", "none", "-", "-"), base().fields())
}

/// The cases of each directory of `tests/forged/`.
pub fn directories() -> [(&'static str, Vec<Case>); 5] {
    [("ssh", all()), ("x509", x509::all()), ("crl", crl::all()), ("ocsp", ocsp::all()), ("own", own::all())]
}

/// Every case about SSH certificates, sorted by name.
fn all() -> Vec<Case> {
    let lists = [
        structure::cases(),
        keys::cases(),
        names::cases(),
        validity::cases(),
        options::cases(),
        foreign::cases(),
    ];
    let mut cases = lists.concat();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// The cases of one field, each made by a change to [`base`].
fn forged(field: &str, rows: &[Row<Forgery>]) -> Vec<Case> {
    let case = |&(name, attack, source, reason, forge): &Row<Forgery>| {
        let mut tbs = base();
        forge(&mut tbs);
        Case::new(field, (name, attack, source, reason), tbs.fields())
    };
    rows.iter().map(case).collect()
}

/// The rule that gives `reason`: a built-in one, one of the profile, or the parser.
fn rule(profile: &str, reason: &str) -> String {
    let built_in = |name: &str| format!("built-in.{name}");
    let profile = |name: &str| format!("key.{profile}.{name}");
    match reason {
        "KEY_NOT_AVAILABLE" => built_in("key_available"),
        "TBS_KIND_NOT_ALLOWED" => built_in("tbs_kind"),
        "CA_KEY_MISMATCH" => built_in("ca_key"),
        "CERTIFICATE_TYPE_NOT_ALLOWED" => built_in("certificate_type"),
        "SERIAL_ZERO" => built_in("serial"),
        "KEY_ID_EMPTY" => built_in("key_id"),
        "PRINCIPAL_INVALID" => built_in("principals"),
        "VALID_FOREVER" | "CERTIFICATE_EXPIRED" => built_in("validity"),
        "SUBJECT_KEY_IS_CA_KEY" | "SUBJECT_KEY_INVALID" | "SUBJECT_KEY_SMALL_FACTOR" => {
            built_in("subject_key")
        }
        "SUBJECT_KEY_NOT_ALLOWED" => profile("subject_keys"),
        "PRINCIPALS_ABOVE_LIMIT" => profile("max_principals"),
        "PRINCIPAL_NOT_ALLOWED" => profile("principals"),
        "BACKDATED_TOO_FAR" => profile("backdating"),
        "STARTS_TOO_LATE" => profile("start_within"),
        "LIFETIME_TOO_LONG" => profile("max_lifetime"),
        "CRITICAL_OPTION_NOT_ALLOWED" | "CRITICAL_OPTION_VALUE_NOT_ALLOWED" => profile("critical_options"),
        "EXTENSION_NOT_ALLOWED" => profile("extensions"),
        _ => "tbs".to_owned(),
    }
}

/// The fields of an ECDSA key on P-256 as they stand in a certificate.
fn p256(point: &[u8]) -> Vec<u8> {
    [string(b"nistp256"), string(point)].concat()
}

/// The same as a key blob.
fn p256_blob(point: &[u8]) -> Vec<u8> {
    [string(b"ecdsa-sha2-nistp256"), p256(point)].concat()
}

const fn stand_in(byte: u8) -> [u8; 65] {
    let mut point = [byte; 65];
    point[0] = 4;
    point
}
