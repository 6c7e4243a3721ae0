//! What no entry may say, however well it is encoded: each rule keeps whatever a token signs where it is read and judged.
//!
//! In: an entry, as it was decoded. Out: nothing, or the rule that it breaks. A signer that was broken into would hide a certificate in
//! a self-test, whose bytes nobody reads as a certificate's, or behind a digest, of which nobody can tell what was signed. Not done
//! here: whether an entry fits those before it; the audit says that.

use super::{Asked, AskedTbs, DecodeError, Entry, MAX_WHOLE_TBS};
use crate::key::KeyPurpose;
use crate::ledger::checkpoint::Checkpoint;
use countersign_tbs::TbsKind;

/// What every challenge of a self-test begins with; [`RANDOM`] random bytes follow.
///
/// No TBS begins so. An OpenSSH certificate's begins with the length of a short algorithm name, in four bytes: here "coun"
/// is 1.6 GB. A DER TBS begins with the tag of a SEQUENCE, 0x30: here "c" is another one.
const CHALLENGE: &[u8] = b"countersign self-test; this is no certificate: ";

/// How many random bytes a challenge has.
const RANDOM: usize = 32;

/// The challenge of one self-test.
pub(in crate::ledger) fn challenge(random: &[u8; RANDOM]) -> Vec<u8> {
    [CHALLENGE, random].concat()
}

/// Whether `entry` may be in a log at all.
pub(super) fn check(entry: &Entry) -> Result<(), DecodeError> {
    match entry {
        Entry::SelfTest { challenge, .. } if !is_challenge(challenge) => Err(DecodeError::Challenge),
        Entry::Checkpoint { ca_key, text, .. }
            if ca_key.purpose != KeyPurpose::Ledger.name() || Checkpoint::parse(text).is_err() =>
        {
            Err(DecodeError::Checkpoint)
        }
        Entry::Intent { asked, .. } if !is_readable(asked) => Err(DecodeError::Unreadable),
        Entry::Intent { .. }
        | Entry::SelfTest { .. }
        | Entry::Checkpoint { .. }
        // Nothing is signed of these.
        | Entry::Refusal { .. }
        | Entry::Outcome { .. }
        | Entry::Refusals { .. }
        | Entry::Freeze { .. }
        | Entry::Thaw { .. }
        | Entry::Revocation { .. }
        | Entry::KeyRecord { .. }
        | Entry::KeyDeletion { .. }
        | Entry::KeyWrapping { .. }
        | Entry::Rotation { .. }
        | Entry::Ceremony { .. } => Ok(()),
    }
}

fn is_challenge(bytes: &[u8]) -> bool {
    bytes.strip_prefix(CHALLENGE).is_some_and(|random| random.len() == RANDOM)
}

/// Whether what is permitted is there, or is a list that is too long to be.
fn is_readable(asked: &Asked) -> bool {
    match asked.tbs {
        AskedTbs::Whole(_) => true,
        AskedTbs::Digest(_, len) => {
            let is_long = usize::try_from(len).map_or(true, |len| len > MAX_WHOLE_TBS);
            asked.kind == TbsKind::X509Crl.name() && is_long
        }
    }
}
