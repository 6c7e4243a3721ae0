//! Entries as lines for people: index, time, kind, caller, key, and the rest in words.

use countersign_tbs::Tbs;
use countersign_tbs::crl::TbsCertList;
use countersign_tbs::ocsp::ResponseData;
use countersign_tbs::ssh::CertificateTbs;
use countersign_tbs::x509::TbsCertificate;

use crate::cli::ledger::{hex, parsed, seconds, time};
use crate::ledger::Entry;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::{
    Asked, AskedTbs, CaKey, Outcome, Revoked, RotationStep, fingerprint, serial_text, sha256,
    spki_fingerprint,
};
use crate::provision::Record;

/// The line of one entry.
pub(super) fn line(index: u64, entry: &Entry) -> String {
    let (kind, caller, key, what) = match entry {
        Entry::Intent { asked, rule, .. } => {
            ("intent", word(&asked.caller), word(&asked.key), format!("{} by {}", tbs(asked), text(rule)))
        }
        Entry::Refusal { asked, rule, reason, message, .. } => {
            let why = format!("{} by {}: {}", text(reason), text(rule), text(message));
            ("refusal", word(&asked.caller), word(&asked.key), format!("{why}; {}", tbs(asked)))
        }
        Entry::Outcome { intent, outcome, latency_us, token, .. } => {
            let at = token.as_ref().map(|token| format!(" at token {}", word(token))).unwrap_or_default();
            let what = format!("{}{at} {latency_us} µs after entry {intent}", ending(outcome));
            ("outcome", "-".to_owned(), "-".to_owned(), what)
        }
        Entry::SelfTest { key, ca_key, .. } => {
            let what = format!("{}, spki sha256 {}", text(&ca_key.scheme), hex(&ca_key.spki_sha256));
            ("self-test", "-".to_owned(), word(key.as_bytes()), what)
        }
        Entry::Refusals { caller, since, count, .. } => {
            let what = format!("{count} more since {}, which have no entries of their own", time(*since));
            ("refusals", word(caller), "-".to_owned(), what)
        }
        Entry::Freeze { caller, key, rule, requests, since, .. } => {
            let what = format!("{requests} requests beyond {} since {}", text(rule), time(*since));
            ("freeze", word(caller), word(key), what)
        }
        Entry::Thaw { caller, key, freeze, by, why, .. } => {
            let what = format!("of entry {freeze} by {}: \"{}\"", word(by), why.escape_ascii());
            ("thaw", word(caller), word(key), what)
        }
        Entry::Revocation { key, ca_key, what, reason, by, why, in_ledger, .. } => {
            let unknown = if *in_ledger { "" } else { ", which this ledger does not have" };
            let what = format!(
                "of {}{unknown}, {reason}, by {}: \"{}\"",
                revoked(ca_key, what),
                word(by),
                why.escape_ascii()
            );
            ("revocation", "-".to_owned(), word(key), what)
        }
        Entry::KeyRecord { key, token, spki, record, by, .. } => {
            let how = Record::parse(record).map_or("not readable", |record| record.how.name());
            let fingerprint = spki_fingerprint(spki).unwrap_or_else(|| "no key".to_owned());
            let sha256 = hex(&sha256(&[record]));
            let what = format!("{how}, on token {}, {fingerprint}, record sha256 {sha256}", word(token));
            ("key-record", word(by), word(key), what)
        }
        Entry::KeyDeletion { token, spki_sha256, place, by, why, .. } => {
            let (place, why) = (place.escape_ascii(), why.escape_ascii());
            let spki = hex(spki_sha256);
            let what = format!("{place} of token {}, spki sha256 {spki}: \"{why}\"", word(token));
            ("key-deletion", word(by), "-".to_owned(), what)
        }
        Entry::KeyWrapping { token, spki_sha256, recipient_sha256, place, by, why, .. } => {
            let (place, why) = (place.escape_ascii(), why.escape_ascii());
            let (spki, recipient) = (hex(spki_sha256), hex(recipient_sha256));
            let token = word(token);
            let what = format!(
                "{place} of token {token}, spki sha256 {spki}, for whoever has spki sha256 {recipient}: \"{why}\""
            );
            ("key-wrapping", word(by), "-".to_owned(), what)
        }
        Entry::Rotation { key, old, step, by, why, .. } => {
            let (step, old, why) = (rotation(*step), word(old), why.escape_ascii());
            ("rotation", word(by), word(key), format!("{step}, in the place of {old}: \"{why}\""))
        }
        Entry::Ceremony { title, transcript_sha256, participants, by, .. } => {
            let (title, sha256) = (title.escape_ascii(), hex(transcript_sha256));
            let what =
                format!("\"{title}\", with {}, transcript sha256 {sha256}", participants.escape_ascii());
            ("ceremony", word(by), "-".to_owned(), what)
        }
        Entry::Checkpoint { key, text, .. } => {
            ("checkpoint", "-".to_owned(), word(key.as_bytes()), checkpoint(text))
        }
    };
    format!("{index:>8}  {}  {kind:<10}  {caller:<24}  {key:<12}  {what}", time(entry.time()))
}

/// Which certificates are revoked, in words.
pub(in crate::cli) fn revoked(ca_key: &CaKey, what: &Revoked) -> String {
    match what {
        Revoked::Serial(octets) => format!("serial {}", serial_text(octets, ca_key.is_x509())),
        Revoked::KeyId(id) => format!("key id \"{}\"", id.escape_ascii()),
        Revoked::Name(name) => format!("name \"{}\"", name.escape_ascii()),
        Revoked::SubjectKey(hash) => format!("subject key {}", fingerprint(hash)),
        Revoked::Recorded(since, until) => {
            format!("certificates recorded from {} until {}", time(*since), time(*until))
        }
        Revoked::Entry(index) => format!("the certificate of entry {index}"),
    }
}

/// A step of a rotation, in words.
fn rotation(step: RotationStep) -> String {
    match step {
        RotationStep::Activate(at) => format!("activate at {}", time(at)),
        RotationStep::Retire(true) => "retire, forced".to_owned(),
        RotationStep::Stage | RotationStep::Publish | RotationStep::Cancel | RotationStep::Retire(false) => {
            step.word().to_owned()
        }
    }
}

/// What is to be signed, or the text itself, if it is no checkpoint.
fn checkpoint(signed: &str) -> String {
    Checkpoint::parse(signed).map_or_else(
        |_| format!("\"{}\"", text(signed)),
        |found| {
            format!(
                "of {} entries, root {}, of log {}",
                found.size(),
                hex(found.root()),
                text(found.origin())
            )
        },
    )
}

fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Signed(_) => "signed".to_owned(),
        Outcome::Failed(class) => format!("failed, {},", text(class)),
        Outcome::Discarded => "signed too late and discarded".to_owned(),
        Outcome::Abandoned => "abandoned".to_owned(),
    }
}

/// What was asked for, in words.
pub(in crate::cli) fn tbs(asked: &Asked) -> String {
    let request = asked.request_id.as_ref().map(|id| format!(", request {}", word(id))).unwrap_or_default();
    let what = match (parsed(asked), &asked.tbs) {
        (Some(Tbs::Ssh(certificate)), _) => ssh(&certificate),
        (Some(Tbs::X509(certificate)), _) => x509(&certificate),
        (Some(Tbs::Root(root)), _) => format!("root: {}", x509(root.tbs())),
        (Some(Tbs::Request(info)), _) => {
            let subject = quoted(&info.subject().to_string());
            format!("x509 request, subject {subject}, key {}", info.public_key().fingerprint())
        }
        (Some(Tbs::Crl(list)), _) => crl(&list),
        (Some(Tbs::Ocsp(response)), _) => ocsp(&response),
        (None, AskedTbs::Whole(bytes)) => format!("{}, {} bytes", text(&asked.kind), bytes.len()),
        (None, AskedTbs::Digest(hash, len)) => {
            format!("{}, {len} bytes, sha256 {}", text(&asked.kind), hex(hash))
        }
    };
    what + &request
}

fn ssh(certificate: &CertificateTbs) -> String {
    let principals: Vec<String> = certificate.principals().iter().map(|name| quoted(name)).collect();
    format!(
        "ssh {} certificate, serial {}, key id {}, principals {}, valid {} to {}",
        certificate.certificate_type(),
        certificate.serial(),
        quoted(certificate.key_id()),
        principals.join(" "),
        seconds(certificate.valid_after()),
        seconds(certificate.valid_before()),
    )
}

fn x509(certificate: &TbsCertificate) -> String {
    let names: Vec<String> =
        certificate.subject_alt_names().iter().map(|name| word(name.to_string().as_bytes())).collect();
    let validity = certificate.validity();
    format!(
        "x509 certificate, serial {}, subject {}, names {}, valid {} to {}",
        certificate.serial(),
        quoted(&certificate.subject().to_string()),
        if names.is_empty() { "none".to_owned() } else { names.join(" ") },
        seconds(validity.not_before.unix_secs()),
        seconds(validity.not_after.unix_secs()),
    )
}

fn crl(list: &TbsCertList) -> String {
    let base = list.delta_base().map(|base| format!(" (delta to {base})")).unwrap_or_default();
    format!(
        "x509 crl, number {}{base}, issuer {}, entries {}, from {} to {}",
        list.number(),
        quoted(&list.issuer().to_string()),
        list.entry_count(),
        seconds(list.this_update().unix_secs()),
        seconds(list.next_update().unix_secs()),
    )
}

fn ocsp(response: &ResponseData) -> String {
    let answers: Vec<String> = response
        .responses()
        .iter()
        .map(|one| {
            let next = one.next_update.map(|next| format!(" to {}", seconds(next.unix_secs())));
            let from = seconds(one.this_update.unix_secs());
            format!("{} {} from {from}{}", one.cert_id.serial, one.status.name(), next.unwrap_or_default())
        })
        .collect();
    let produced = seconds(response.produced_at().unix_secs());
    format!("ocsp response of {produced}, serials {}", answers.join(" "))
}

/// Text from outside in a column of its own: visible ASCII as it is, all else escaped, spaces too.
pub(in crate::cli) fn word(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace(' ', "\\x20")
}

/// Text from outside within a sentence.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.as_bytes().escape_ascii())
}

/// Our own words, which quote outside text already escaped: control characters and what is not ASCII escaped, all else as
/// it is.
pub(in crate::cli) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c.is_ascii_graphic() { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}
