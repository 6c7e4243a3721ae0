//! What is kept of revocations beside the log, of revocations from before there was such a thing.
//!
//! In: the revocations of the log, and which of them the store has kept the meaning of. Out: a store that has all of them. Nothing is
//! signed before. It happens once, with the first start of a version that keeps them: so a clock that is ahead makes nothing older than
//! the newest entry does.

use std::collections::HashSet;

use crate::ledger::archive::{Archive, ArchiveError};
use crate::ledger::entry::{Entry, UnixMillis};
use crate::ledger::meant::{Looking, Meant};
use crate::ledger::store::{Batch as _, Needs, Store, Stored};

/// Looks for what revocations mean of which that is not kept, and keeps it.
pub(super) fn catch_up(
    store: &mut impl Store,
    archive: &Archive,
    revocations: &[(u64, Entry)],
    now: UnixMillis,
) -> Result<(), ArchiveError> {
    let kept: HashSet<u64> = archive.reader().kept_revocations()?.into_iter().collect();
    let now = now.min(store.newest());
    let missing = revocations.iter().filter(|(index, _)| !kept.contains(index));
    // The oldest first: of two for one reason, that says since when.
    for (index, entry) in missing.rev() {
        tracing::info!(entry = index, "looking for the certificates that a revocation means");
        let Entry::Revocation { time, ca_key, what, .. } = entry else { continue };
        let recorded = Some((*index, *time));
        let meant = Meant::new(ca_key.clone(), what.clone(), archive.reader().log(), recorded, now);
        let meant = if meant.is_kept() {
            Looking::begin(archive, meant).and_then(|looking| looking.finish(archive))?
        } else {
            meant
        };
        keep(store, *index, entry, &meant).map_err(|source| store.unavailable(source))?;
    }
    Ok(())
}

fn keep(store: &mut impl Store, index: u64, entry: &Entry, meant: &Meant) -> Stored<()> {
    let mut batch = store.begin(&Needs::default())?;
    batch.keep_revocation(index, entry, meant.rows(entry, &[]))?;
    batch.commit()
}
