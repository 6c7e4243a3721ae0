//! The request of a ledger entry, to be decided again.
//!
//! In: an entry. Out: the [`Inquiry`] that it records, at the time when it was recorded, or why there is none. A deadline
//! is not recorded, so the inquiry has none.

use countersign_tbs::{Tbs, TbsKind};

use super::explain::{Inquiry, Origin};
use crate::caller::{CallerName, InvalidCaller};
use crate::key::UnixTime;
use crate::ledger::Entry;
use crate::ledger::entry::{Asked, AskedTbs};

/// Why an entry holds no request that can be decided again; completes "entry N …".
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("is what became of entry {0}: explain that one")]
    Outcome(u64),
    #[error("is a self-test of the signer, which no policy decides")]
    SelfTest,
    #[error("is of a checkpoint of the log, which no policy decides")]
    Checkpoint,
    #[error("counts refusals that have no entries of their own")]
    Refusals,
    #[error("is of a freeze, which no policy decides")]
    Freeze,
    #[error("is of a revocation, which no policy decides")]
    Revocation,
    #[error("is of a key that was made, which no policy decides")]
    KeyRecord,
    #[error("is of a key that was deleted, which no policy decides")]
    KeyDeletion,
    #[error("is of a key that was wrapped for another token, which no policy decides")]
    KeyWrapping,
    #[error("is a step of a rotation, which no policy decides")]
    Rotation,
    #[error("is of a key ceremony, which no policy decides")]
    Ceremony,
    #[error("has only the digest of its TBS, which was too long to record")]
    DigestOnly,
    #[error("is of kind {0:?}, which this countersign does not know")]
    Kind(String),
    #[error("has a caller that this countersign does not know")]
    Caller(#[source] InvalidCaller),
}

/// The request of `entry`.
pub(super) fn inquiry(entry: &Entry) -> Result<Inquiry, NoRequest> {
    let Asked { caller, key, kind, tbs, .. } = asked(entry)?;
    let AskedTbs::Whole(bytes) = tbs else { return Err(NoRequest::DigestOnly) };
    let kind = TbsKind::from_name(kind).ok_or_else(|| NoRequest::Kind(kind.clone()))?;
    Ok(Inquiry {
        caller: CallerName::parse(&String::from_utf8_lossy(caller)).map_err(NoRequest::Caller)?,
        key: String::from_utf8_lossy(key).into_owned(),
        kind,
        tbs: Tbs::parse(kind, bytes),
        at: UnixTime(entry.time().0 / 1000),
        origin: Origin::Given,
    })
}

/// What a caller asked for, if this entry is about that.
pub(super) fn asked(entry: &Entry) -> Result<&Asked, NoRequest> {
    match entry {
        Entry::Intent { asked, .. } | Entry::Refusal { asked, .. } => Ok(asked),
        Entry::Outcome { intent, .. } => Err(NoRequest::Outcome(*intent)),
        Entry::SelfTest { .. } => Err(NoRequest::SelfTest),
        Entry::Refusals { .. } => Err(NoRequest::Refusals),
        Entry::Freeze { .. } | Entry::Thaw { .. } => Err(NoRequest::Freeze),
        Entry::Checkpoint { .. } => Err(NoRequest::Checkpoint),
        Entry::Revocation { .. } => Err(NoRequest::Revocation),
        Entry::KeyRecord { .. } => Err(NoRequest::KeyRecord),
        Entry::KeyDeletion { .. } => Err(NoRequest::KeyDeletion),
        Entry::KeyWrapping { .. } => Err(NoRequest::KeyWrapping),
        Entry::Rotation { .. } => Err(NoRequest::Rotation),
        Entry::Ceremony { .. } => Err(NoRequest::Ceremony),
    }
}
