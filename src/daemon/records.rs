//! Records, before anybody is served, the provisioning records that have waited for a start: a first key is made before there is a
//! signer to tell.
//!
//! In: the directory beside the ledger. Out: an entry for each record of a key in service that is not in the log yet. Promised: each
//! once; one that is damaged, or that its key did not sign, is a warning at each start and no entry. It keeps no CA from serving: what the
//! log has of a key says nothing about what the key may sign.

use std::path::Path;

use rustix::process::geteuid;

use super::ledger_fault;
use crate::caller::Caller;
use crate::causes::in_one_line;
use crate::config::Fault;
use crate::key::Keys;
use crate::ledger::{KeyRecorded, Ledger, Unrecorded};
use crate::provision::{SignedRecord, in_directory};

/// # Errors
/// That the ledger takes or tells nothing.
pub(super) async fn record_waiting(ledger: &Ledger, keys: &Keys, directory: &Path) -> Result<(), Fault> {
    let found = match in_directory(directory) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(
                "provisioning records cannot be read, and none was recorded: {}",
                in_one_line(&error)
            );
            return Ok(());
        }
    };
    for (path, signed) in found {
        match signed {
            Ok(signed) => record(ledger, keys, &path, &signed).await?,
            Err(error) => tracing::warn!(
                file = %path.display(),
                "this is no good provisioning record, and was not recorded: {}; find out who changed it, and put the original \
                 back or move it away",
                in_one_line(&error)
            ),
        }
    }
    Ok(())
}

async fn record(ledger: &Ledger, keys: &Keys, path: &Path, signed: &SignedRecord) -> Result<(), Fault> {
    let fingerprint = signed.public_key().fingerprint();
    // Anybody has a key of his own that signs what he likes; which keys are ours, the configuration and the tokens say.
    if !keys.iter().any(|key| key.public_key == *signed.public_key()) {
        tracing::warn!(
            file = %path.display(),
            "this provisioning record is of {fingerprint}, which is no key in service, and was not recorded; it waits until \
             the key is, or move it away"
        );
        return Ok(());
    }
    let own = Caller::from_uid(geteuid().as_raw());
    let recorded = ledger.record_key(signed, own.name()).await.map_err(|error| match error {
        Unrecorded::Write(error) => ledger_fault(&error),
        Unrecorded::Read(error) => Fault::caused("ledger.path", &error),
    })?;
    let KeyRecorded { receipt, already } = recorded;
    if !already {
        let (key, how) = (&signed.record().key, signed.record().how.name());
        tracing::info!(entry = receipt.index, key, "recorded that key {fingerprint} was {how}");
    }
    Ok(())
}
