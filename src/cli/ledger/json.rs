//! Entries as JSON objects, one per line; docs/ledger.md lists the fields.

use base64ct::{Base64, Encoding};
use countersign_tbs::Tbs;
use countersign_tbs::crl::TbsCertList;
use countersign_tbs::csr::CertificationRequestInfo;
use countersign_tbs::ocsp::{ResponderId, ResponseData};
use countersign_tbs::ssh::{CertificateTbs, Options};
use countersign_tbs::x509::{BasicConstraints, TbsCertificate};
use serde_json::{Map, Value, json};

use crate::cli::ledger::{hex, parsed, time};
use crate::ledger::entry::{
    Asked, AskedTbs, CaKey, Outcome, Revoked, RotationStep, fingerprint, serial_text, sha256,
    spki_fingerprint,
};
use crate::ledger::{Entry, leaf_hash};

/// The object of one entry.
pub(super) fn line(index: u64, entry: &Entry) -> Value {
    let mut object = match entry {
        Entry::Intent { asked, policy, rule, ca_key, .. } => merged([
            asked_fields(asked),
            key_fields(ca_key),
            json!({ "kind": "intent", "policy_sha256": hex(policy), "rule": rule }),
        ]),
        Entry::Refusal { asked, policy, rule, reason, message, .. } => merged([
            asked_fields(asked),
            json!({ "kind": "refusal", "policy_sha256": hex(policy), "rule": rule, "reason": reason, "message": message }),
        ]),
        Entry::Outcome { intent, outcome, latency_us, token, .. } => merged([
            outcome_fields(outcome),
            token.as_ref().map_or_else(|| json!({}), |token| json!({ "token": utf8(token) })),
            json!({ "kind": "outcome", "intent": intent, "latency_us": latency_us }),
        ]),
        Entry::SelfTest { key, ca_key, challenge, .. } => merged([
            key_fields(ca_key),
            json!({ "kind": "self-test", "key": key, "challenge": Base64::encode_string(challenge) }),
        ]),
        Entry::Refusals { caller, since, count, .. } => merged([
            json!({ "kind": "refusals", "caller": utf8(caller), "since": time(*since), "count": count }),
        ]),
        Entry::Freeze { caller, key, rule, requests, since, .. } => merged([
            json!({ "kind": "freeze", "caller": utf8(caller), "key": utf8(key), "rule": rule }),
            json!({ "requests": requests, "since": time(*since) }),
        ]),
        Entry::Thaw { caller, key, freeze, by, why, .. } => merged([
            json!({ "kind": "thaw", "caller": utf8(caller), "key": utf8(key), "freeze": freeze }),
            json!({ "by": utf8(by), "why": utf8(why) }),
        ]),
        Entry::Revocation { key, ca_key, what, reason, in_ledger, by, why, .. } => merged([
            key_fields(ca_key),
            json!({ "kind": "revocation", "key": utf8(key), "revoked": revoked(ca_key, what) }),
            json!({ "reason": reason.word(), "in_ledger": in_ledger, "by": utf8(by), "why": utf8(why) }),
        ]),
        Entry::KeyRecord { key, token, spki, record, signature, by, .. } => merged([
            json!({ "kind": "key-record", "key": utf8(key), "token": utf8(token), "by": utf8(by) }),
            json!({ "fingerprint": spki_fingerprint(spki), "spki_sha256": hex(&sha256(&[spki])) }),
            json!({ "record": Base64::encode_string(record), "record_sha256": hex(&sha256(&[record])) }),
            json!({ "signature": utf8(signature) }),
        ]),
        Entry::KeyDeletion { token, spki_sha256, place, by, why, .. } => merged([
            json!({ "kind": "key-deletion", "token": utf8(token), "spki_sha256": hex(spki_sha256) }),
            json!({ "place": utf8(place), "by": utf8(by), "why": utf8(why) }),
        ]),
        Entry::KeyWrapping { token, spki_sha256, recipient_sha256, place, by, why, .. } => merged([
            json!({ "kind": "key-wrapping", "token": utf8(token), "spki_sha256": hex(spki_sha256) }),
            json!({ "recipient_sha256": hex(recipient_sha256) }),
            json!({ "place": utf8(place), "by": utf8(by), "why": utf8(why) }),
        ]),
        Entry::Rotation { key, ca_key, spki, old, old_spki, step, by, why, .. } => merged([
            key_fields(ca_key),
            json!({ "kind": "rotation", "key": utf8(key), "spki": Base64::encode_string(spki) }),
            json!({ "old": utf8(old), "old_spki_sha256": hex(&sha256(&[old_spki])) }),
            step_fields(*step),
            json!({ "by": utf8(by), "why": utf8(why) }),
        ]),
        Entry::Ceremony { title, transcript_sha256, participants, by, .. } => merged([
            json!({ "kind": "ceremony", "title": utf8(title), "transcript_sha256": hex(transcript_sha256) }),
            json!({ "participants": utf8(participants), "by": utf8(by) }),
        ]),
        Entry::Checkpoint { key, ca_key, text, .. } => {
            merged([key_fields(ca_key), json!({ "kind": "checkpoint", "key": key, "text": text })])
        }
    };
    object.insert("index".to_owned(), index.into());
    object.insert("time".to_owned(), time(entry.time()).into());
    // What was decoded encodes to the bytes that are stored.
    if let Ok(leaf) = entry.encode() {
        object.insert("leaf_hash".to_owned(), hex(&leaf_hash(&leaf)).into());
    }
    Value::Object(object)
}

fn asked_fields(asked: &Asked) -> Value {
    let mut fields = merged([
        json!({ "caller": utf8(&asked.caller), "key": utf8(&asked.key), "tbs_kind": asked.kind }),
        match &asked.tbs {
            AskedTbs::Whole(bytes) => json!({ "tbs": Base64::encode_string(bytes) }),
            AskedTbs::Digest(hash, len) => json!({ "tbs_sha256": hex(hash), "tbs_len": len }),
        },
    ]);
    if let Some(id) = &asked.request_id {
        fields.insert("request_id".to_owned(), utf8(id));
    }
    match parsed(asked) {
        None => {}
        Some(Tbs::Ssh(certificate)) => drop(fields.insert("ssh".to_owned(), ssh(&certificate))),
        Some(Tbs::X509(certificate)) => drop(fields.insert("x509".to_owned(), x509(&certificate))),
        Some(Tbs::Root(root)) => drop(fields.insert("x509".to_owned(), x509(root.tbs()))),
        Some(Tbs::Request(info)) => drop(fields.insert("request".to_owned(), request(&info))),
        Some(Tbs::Crl(list)) => drop(fields.insert("crl".to_owned(), crl(&list))),
        Some(Tbs::Ocsp(response)) => drop(fields.insert("ocsp".to_owned(), ocsp(&response))),
    }
    Value::Object(fields)
}

fn key_fields(key: &CaKey) -> Value {
    json!({ "purpose": key.purpose, "scheme": key.scheme, "spki_sha256": hex(&key.spki_sha256) })
}

/// Which certificates are revoked: by one word.
fn revoked(ca_key: &CaKey, what: &Revoked) -> Value {
    let value = match what {
        Revoked::Serial(octets) => serial_text(octets, ca_key.is_x509()).into(),
        Revoked::KeyId(text) | Revoked::Name(text) => utf8(text),
        Revoked::SubjectKey(hash) => fingerprint(hash).into(),
        Revoked::Recorded(since, until) => json!({ "since": time(*since), "until": time(*until) }),
        Revoked::Entry(index) => (*index).into(),
    };
    json!({ what.word(): value })
}

fn step_fields(step: RotationStep) -> Value {
    match step {
        RotationStep::Activate(at) => json!({ "step": step.word(), "at": time(at) }),
        RotationStep::Retire(forced) => json!({ "step": step.word(), "forced": forced }),
        RotationStep::Stage | RotationStep::Publish | RotationStep::Cancel => json!({ "step": step.word() }),
    }
}

fn outcome_fields(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Signed(raw) => json!({ "outcome": "signed", "signature": Base64::encode_string(raw) }),
        Outcome::Failed(class) => json!({ "outcome": "failed", "class": class }),
        Outcome::Discarded => json!({ "outcome": "discarded" }),
        Outcome::Abandoned => json!({ "outcome": "abandoned" }),
    }
}

/// 64-bit numbers are strings: many JSON readers keep 53 bits.
fn ssh(certificate: &CertificateTbs) -> Value {
    json!({
        "type": certificate.certificate_type().to_string(),
        "serial": certificate.serial().to_string(),
        "key_id": certificate.key_id(),
        "principals": certificate.principals(),
        "valid_after": certificate.valid_after().to_string(),
        "valid_before": certificate.valid_before().to_string(),
        "critical_options": options(certificate.critical_options()),
        "extensions": options(certificate.extensions()),
        "subject_key": certificate.subject_key().fingerprint(),
    })
}

/// A serial number in hexadecimal, as X.509's tools write it.
fn x509(certificate: &TbsCertificate) -> Value {
    let validity = certificate.validity();
    json!({
        "serial": certificate.serial().to_string(),
        "issuer": certificate.issuer().to_string(),
        "subject": certificate.subject().to_string(),
        "names": certificate.subject_alt_names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "not_before": validity.not_before.unix_secs().to_string(),
        "not_after": validity.not_after.unix_secs().to_string(),
        "is_ca": matches!(certificate.basic_constraints(), Some(BasicConstraints::Ca { .. })),
        "ext_key_usage": certificate.ext_key_usage().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subject_key": certificate.public_key().fingerprint(),
    })
}

fn request(info: &CertificationRequestInfo) -> Value {
    json!({ "subject": info.subject().to_string(), "subject_key": info.public_key().fingerprint() })
}

/// The number as OpenSSL writes it; `delta_base` only of a list that adds to another.
fn crl(list: &TbsCertList) -> Value {
    let mut fields = merged([json!({
        "number": list.number().to_string(),
        "issuer": list.issuer().to_string(),
        "this_update": list.this_update().unix_secs().to_string(),
        "next_update": list.next_update().unix_secs().to_string(),
        "entries": list.entry_count(),
    })]);
    if let Some(base) = list.delta_base() {
        fields.insert("delta_base".to_owned(), base.to_string().into());
    }
    Value::Object(fields)
}

fn ocsp(response: &ResponseData) -> Value {
    let answers = response.responses().iter().map(|one| {
        json!({
            "serial": one.cert_id.serial.to_string(),
            "status": one.status.name(),
            "this_update": one.this_update.unix_secs().to_string(),
            "next_update": one.next_update.map(|next| next.unix_secs().to_string()),
        })
    });
    json!({
        "responder": match response.responder() {
            ResponderId::Name(name) => name.to_string(),
            ResponderId::KeyHash(hash) => hex(hash),
        },
        "produced_at": response.produced_at().unix_secs().to_string(),
        "responses": answers.collect::<Vec<_>>(),
    })
}

/// By name; `null` for an option without a value.
fn options(options: &Options) -> Value {
    options.iter().map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, utf8))).collect()
}

/// U+FFFD for what is not UTF-8; `tbs` has the bytes.
fn utf8(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

fn merged<const N: usize>(parts: [Value; N]) -> Map<String, Value> {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    fields.flatten().collect()
}
