//! What each rule looks at in a request, in words: for explanations, never for decisions.

use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Options, SubjectKey};

use super::{Case, period};
use crate::key::UnixTime;
use crate::policy::quote::{duration, listed, quoted};

pub(super) fn ca_key(Case { tbs, .. }: &Case<'_>) -> String {
    format!("CA key {}", tbs.ca_key().fingerprint())
}

pub(super) fn certificate_type(Case { tbs, .. }: &Case<'_>) -> String {
    format!("a {} certificate", tbs.certificate_type())
}

pub(super) fn serial(Case { tbs, .. }: &Case<'_>) -> String {
    format!("serial {}", tbs.serial())
}

pub(super) fn key_id(Case { tbs, .. }: &Case<'_>) -> String {
    format!("key id {}", quoted(tbs.key_id()))
}

pub(super) fn principals(Case { tbs, .. }: &Case<'_>) -> String {
    format!("principals {}", listed(tbs.principals().iter().map(|name| quoted(name))))
}

pub(super) fn count_of_principals(Case { tbs, .. }: &Case<'_>) -> String {
    format!("principals: {}", tbs.principals().len())
}

pub(super) fn validity(Case { tbs, now, .. }: &Case<'_>) -> String {
    let before = match tbs.valid_before() {
        u64::MAX => "forever".to_owned(),
        before => UnixTime(before).to_string(),
    };
    format!("valid_after {}, valid_before {before}, now {now}", UnixTime(tbs.valid_after()))
}

pub(super) fn beginning(case: &Case<'_>) -> String {
    period(case.tbs).beginning(case.now)
}

pub(super) fn lifetime(case: &Case<'_>) -> String {
    format!("usable for {}", duration(period(case.tbs).usable(case.now)))
}

pub(super) fn subject_key(case: &Case<'_>) -> String {
    format!("{} {}", subject_algorithm(case), case.tbs.subject_key().fingerprint())
}

pub(super) fn subject_algorithm(Case { tbs, .. }: &Case<'_>) -> String {
    format!("subject key {}", tbs.subject_key().algorithm())
}

pub(super) fn rsa_bits(Case { tbs, .. }: &Case<'_>) -> String {
    match tbs.subject_key() {
        SubjectKey::Plain(PublicKey::Rsa(rsa)) => format!("an RSA subject key of {} bits", rsa.bits()),
        _ => "no RSA subject key".to_owned(),
    }
}

pub(super) fn critical_options(Case { tbs, .. }: &Case<'_>) -> String {
    format!("critical options: {}", options(tbs.critical_options()))
}

pub(super) fn extensions(Case { tbs, .. }: &Case<'_>) -> String {
    format!("extensions: {}", options(tbs.extensions()))
}

fn options(options: &Options) -> String {
    let shown: Vec<String> = options.iter().map(|(name, value)| option(name, value)).collect();
    listed(shown.iter())
}

fn option(name: &str, value: Option<&[u8]>) -> String {
    let value = value.map(|value| format!("={}", quoted(&String::from_utf8_lossy(value))));
    format!("{}{}", name.escape_debug(), value.unwrap_or_default())
}
