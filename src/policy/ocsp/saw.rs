//! What each rule looks at in an OCSP response, in words: for explanations, never for decisions.

use countersign_tbs::ocsp::{ResponderId, SingleResponse};

use super::{Case, built_in, period};
use crate::key::UnixTime;
use crate::policy::quote::{at, hex, listed, quoted};

pub(super) fn responder(Case { tbs, .. }: &Case<'_>) -> String {
    match tbs.responder() {
        ResponderId::Name(name) => format!("responder {}", quoted(&name.to_string())),
        ResponderId::KeyHash(hash) => format!("responder with key {}", hex(hash)),
    }
}

pub(super) fn certificates(Case { tbs, .. }: &Case<'_>) -> String {
    let words = |response: &SingleResponse| format!("{} {}", response.cert_id.serial, response.status.name());
    format!("certificates: {}", listed(tbs.responses().iter().map(words)))
}

pub(super) fn count(Case { tbs, .. }: &Case<'_>) -> String {
    format!("answers: {}", tbs.responses().len())
}

pub(super) fn updates(case: &Case<'_>) -> String {
    let updates = case.tbs.responses().iter().map(|response| {
        let next = response.next_update.map_or("none".to_owned(), |next| at(next).to_string());
        format!("thisUpdate {} nextUpdate {next}", at(response.this_update))
    });
    format!("{}; producedAt {}, now {}", listed(updates), UnixTime(period(case.tbs).after), case.now)
}

pub(super) fn beginning(case: &Case<'_>) -> String {
    period(case.tbs).beginning(case.now)
}

pub(super) fn nonce(Case { tbs, .. }: &Case<'_>) -> String {
    tbs.nonce().map_or("no nonce".to_owned(), |nonce| format!("a nonce of {} octets", nonce.as_bytes().len()))
}

pub(super) fn extensions(Case { tbs, .. }: &Case<'_>) -> String {
    let unknown: Vec<String> = built_in::unknown(tbs).map(ToString::to_string).collect();
    format!("extensions that are not known here: {}", listed(unknown.iter()))
}
