//! What readers of the ledger ask, and what they are told.

use std::collections::BTreeMap;

use bytes::Bytes;
use countersign_proto::v1;
use countersign_tbs::x509::SerialNumber;

use super::super::status::ReadingFault;
use crate::ledger::entry::UnixMillis;
use crate::ledger::merkle::Hash;
use crate::ledger::{Consistency, Due, Filter, Inclusion, LogState, LoggedRevocation, RawEntry, Revocations};

/// Reads a filter; what is empty is not asked for.
///
/// # Errors
/// [`ReadingFault::FilterInvalid`] if its serial is none, or a hash is not one.
pub(in crate::server) fn filter(filter: v1::Filter) -> Result<Filter, ReadingFault> {
    let v1::Filter {
        key,
        caller,
        serial,
        key_id,
        name,
        subject_key,
        since_ms,
        until_ms,
        revocations_of,
        rotations,
    } = filter;
    let given = |text: String| if text.is_empty() { None } else { Some(text) };
    let serial =
        given(serial).map(|text| text.parse().map_err(|_| ReadingFault::FilterInvalid)).transpose()?;
    let of = |of: Bytes| match (of.is_empty(), <[u8; 32]>::try_from(&*of)) {
        (true, _) => Ok(Revocations::All),
        (false, Ok(spki_sha256)) => Ok(Revocations::Of(spki_sha256)),
        (false, Err(_)) => Err(ReadingFault::FilterInvalid),
    };
    Ok(Filter {
        revocations: revocations_of.map(of).transpose()?,
        rotations,
        key: given(key),
        caller: given(caller),
        serial,
        key_id: given(key_id),
        name: given(name),
        subject_key: given(subject_key),
        since: since_ms.map(UnixMillis),
        until: until_ms.map(UnixMillis),
    })
}

pub(in crate::server) fn entries(entries: Vec<RawEntry>) -> Vec<v1::Entry> {
    let entry = |RawEntry { index, bytes }| v1::Entry { index, leaf: bytes.into() };
    entries.into_iter().map(entry).collect()
}

pub(in crate::server) fn tree(log_origin: String, size: u64, root: Hash) -> v1::Tree {
    v1::Tree { log_origin, size, root: hash(&root), other_logs: Vec::new() }
}

pub(in crate::server) fn inclusion(log_origin: String, proof: Inclusion) -> v1::InclusionProof {
    let Inclusion { index, leaf_hash, size, root, hashes } = proof;
    let (leaf_hash, tree) = (hash(&leaf_hash), Some(tree(log_origin, size, root)));
    v1::InclusionProof { index, leaf_hash, tree, hashes: hashes.iter().map(hash).collect() }
}

pub(in crate::server) fn consistency(log_origin: &str, proof: Consistency) -> v1::ConsistencyProof {
    let Consistency { old, new, hashes } = proof;
    let tree = |(size, root)| Some(tree(log_origin.to_owned(), size, root));
    v1::ConsistencyProof { old: tree(old), tree: tree(new), hashes: hashes.iter().map(hash).collect() }
}

/// So many of what a list names, after a serial.
pub(in crate::server) fn revoked(
    due: BTreeMap<SerialNumber, Due>,
    after: &[u8],
    most: usize,
) -> v1::ListRevokedResponse {
    let after = SerialNumber::new(after);
    let mut rest = due.into_iter().filter(|(serial, _)| after.is_none_or(|after| *serial > after));
    let certificates = rest.by_ref().take(most).map(|(serial, due)| v1::RevokedCertificate {
        serial: Bytes::copy_from_slice(serial.as_bytes()),
        since_ms: due.since.0,
        reason: due.reason.to_string(),
    });
    let certificates = certificates.collect();
    v1::ListRevokedResponse { certificates, more: rest.next().is_some() }
}

/// So many of the revocations that were found.
pub(in crate::server) fn revocations(
    logs: Vec<LogState>,
    found: Vec<LoggedRevocation>,
    most: usize,
) -> v1::ListRevocationsResponse {
    let more = found.len() > most;
    let logs = logs.into_iter().map(|LogState { origin, size, newest }| v1::LogState {
        log_origin: origin,
        size,
        newest_ms: newest.0,
    });
    let revocations = found.into_iter().take(most).map(|LoggedRevocation { log, entry }| {
        v1::LoggedRevocation { log_origin: log, index: entry.index, leaf: entry.bytes.into() }
    });
    v1::ListRevocationsResponse { revocations: revocations.collect(), more, logs: logs.collect() }
}

fn hash(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(hash)
}
