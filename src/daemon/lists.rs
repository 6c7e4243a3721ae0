//! Whether what the ledger revokes goes on fitting into the lists that profiles allow: one that does not is refused, and the CA's
//! last list grows old.
//!
//! In: the profiles of lists, and the ledger. Out: a [`Fault`] for each whose `max_entries` is nearly used up, to be said before it is.
//! Nothing is refused here. A profile for parts of the certificates alone has no word: a list may be of any part.

use crate::config::{Config, Fault};
use crate::key::Keys;
use crate::ledger::entry::UnixMillis;
use crate::ledger::{self, Interval, LedgerError};

/// How many entries lists of some CA keys may have, and where that is said.
pub(crate) struct Limit {
    at: String,
    most: usize,
    cas: Vec<[u8; 32]>,
}

/// What each profile of lists of all certificates allows.
pub(crate) fn limits(config: &Config, keys: &Keys) -> Vec<Limit> {
    let limits = config.policy.list_limits();
    let of_key = |(key, at, most)| Some(Limit { at, most, cas: keys.listed_by(keys.get(key)?) });
    limits.into_iter().filter_map(of_key).collect()
}

/// Which of them are nearly used up by what is revoked now. Blocks.
///
/// # Errors
/// [`LedgerError`] if the ledger cannot be read.
pub(crate) fn tight(ledger: &ledger::Config, limits: Vec<Limit>) -> Result<Vec<Fault>, LedgerError> {
    let mut found = Vec::new();
    if limits.is_empty() {
        return Ok(found);
    }
    let Some(reader) = ledger.reader()? else { return Ok(found) };
    let now = UnixMillis::now();
    let interval = Interval { this: now.0 / 1000, next: now.0 / 1000 };
    for Limit { at, most, cas } in limits {
        let due = reader.due(&cas, interval, now)?.len();
        if due > 0 && due >= most - most / 10 {
            let message = format!(
                "a list has to name {due} certificates now, and may have {most} entries: beyond, lists are refused \
                 (ENTRIES_ABOVE_LIMIT); raise it"
            );
            found.push(Fault::new(format!("{at}.max_entries"), message));
        }
    }
    Ok(found)
}
