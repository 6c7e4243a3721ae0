//! Whether an intent may stand beside those before it: one caller's request id has one answer, one CA key's serial is
//! that of one certificate, and its CRL numbers only grow (`ledger::crl_number`). What its caller has left to spend,
//! `ledger::budget` says.
//!
//! In: what an intent claims, and the earlier intent that claimed the same. Out: the [`Conflict`] between them, if there
//! is one. The writer asks within the transaction that is to append the intent, so of two that come at once one is in
//! the log when the other is judged. Nothing here does I/O.

use std::sync::Arc;
use std::time::Duration;

use countersign_tbs::Tbs;

use crate::ledger::Receipt;
use crate::ledger::compromised::OfCa;
use crate::ledger::crl_number::ListNumber;
use crate::ledger::entry::{Asked, CaKey, Outcome};
use crate::ledger::revoked::Listing;
use crate::policy::budget::Budget;
use crate::policy::crl::Numbering;
use crate::policy::{Reason, Refusal};

/// What an intent wants for itself.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) asked: Asked,
    pub(super) ca_key: CaKey,
    pub(super) unique: Unique,
    /// What names the key that is certified in revocations, if it is for a certificate.
    pub(super) subject_key: Option<[u8; 32]>,
    /// The certificates that it calls good, if it is an OCSP response.
    pub(super) good: Vec<OfCa>,
    /// What it lists, if it is for a CRL.
    pub(super) listing: Option<Listing>,
    /// The profile that permits it, which is charged.
    pub(super) rule: String,
    pub(super) budget: Budget,
}

/// What no two intents of one CA key have in common.
#[derive(Debug)]
pub(super) enum Unique {
    /// The serial of a certificate.
    Serial(Serial),
    /// The number of a CRL.
    CrlNumber(ListNumber),
    /// Nothing: any number of OCSP responses may say the same.
    Nothing,
}

/// What a certificate is revoked by, among those of one CA key: an SSH serial, 8 bytes, big-endian, or an X.509
/// serial number, 1 to 20 bytes without leading zeros.
#[derive(Debug)]
pub(super) struct Serial(Vec<u8>);

/// The newest intent in the log that claimed the same.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) receipt: Receipt,
    /// The log that has it, if it is another signer's.
    pub(super) log: Option<Arc<str>>,
    pub(super) asked: Asked,
    pub(super) ca_key: CaKey,
    pub(super) fate: Fate,
}

/// What became of an earlier intent.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is being worked on.
    InWork,
    /// The signer ended while it worked. Somebody may have the signature: an outcome is not waited for.
    Unknown,
    /// Another signer of the fleet is working on it, or was stopped and has not been started again.
    Elsewhere,
    /// Signed and released; the raw signature.
    Signed(Vec<u8>),
    /// It ended, and nobody was given a signature.
    Failed,
}

/// Why an intent is not appended.
#[derive(Debug)]
pub(super) enum Conflict {
    /// It is the earlier request again: the answer is the earlier signature.
    Answered {
        receipt: Receipt,
        /// The log that has it, if it is another signer's.
        log: Option<Arc<str>>,
        signature: Vec<u8>,
    },
    /// It claims what is taken.
    Refused(Refusal),
    /// It claims more than there is.
    Exhausted {
        refusal: Refusal,
        /// How long until there is some again.
        wait: Duration,
        /// The entry that froze the caller, if this request was one too many.
        frozen: Option<u64>,
    },
}

impl Fate {
    /// By the outcome, if there is one, and by whether this process recorded the intent.
    pub(super) fn of(outcome: Option<Outcome>, recorded: Recorder) -> Self {
        match (outcome, recorded) {
            (Some(Outcome::Signed(signature)), _) => Self::Signed(signature),
            (Some(Outcome::Failed(_) | Outcome::Discarded | Outcome::Abandoned), _) => Self::Failed,
            (None, Recorder::ThisProcess) => Self::InWork,
            (None, Recorder::OneBefore) => Self::Unknown,
            (None, Recorder::OtherSigner) => Self::Elsewhere,
        }
    }
}

/// Who recorded an intent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recorder {
    /// This process, which still owes what outcome is missing.
    ThisProcess,
    /// One that has ended, and writes no more.
    OneBefore,
    /// The process that last opened another signer's log.
    OtherSigner,
}

impl Claim {
    /// Whether it says which certificates are revoked, or which are not.
    pub(super) fn is_compared(&self) -> bool {
        self.listing.is_some() || !self.good.is_empty()
    }

    /// Judges by the earlier intent of the same caller and request id.
    pub(super) fn against_request(&self, earlier: Earlier) -> Option<Conflict> {
        match earlier.fate {
            // Free again, for other bytes too: nobody has anything under this id.
            Fate::Failed => None,
            Fate::Signed(_) | Fate::InWork | Fate::Unknown | Fate::Elsewhere
                if !self.asks_the_same(&earlier) =>
            {
                Some(refused("request_id", Reason::RequestIdReused, REUSED))
            }
            Fate::Signed(signature) => {
                Some(Conflict::Answered { receipt: earlier.receipt, log: earlier.log, signature })
            }
            Fate::InWork => Some(refused("request_id", Reason::RequestInProgress, IN_PROGRESS)),
            Fate::Unknown => Some(refused("request_id", Reason::RequestOutcomeUnknown, UNKNOWN)),
            Fate::Elsewhere => {
                let log = earlier.log.as_deref().unwrap_or_default();
                let message = format!(
                    "signer {log} is working on this request; ask again, with the same request_id, for its answer; if that signer \
                     was stopped, ask for a new certificate, with a new request_id and a new serial"
                );
                Some(refused("request_id", Reason::RequestInProgress, &message))
            }
        }
    }

    /// Judges by the earlier intent of the same CA key and serial.
    ///
    /// A serial is its bytes' own, for ever. They may come again, with another request id or none, if nobody was given a
    /// signature of them: that is a caller who tries again.
    pub(super) fn against_serial(&self, earlier: &Earlier) -> Option<Conflict> {
        let again = matches!(earlier.fate, Fate::Failed) && self.asked.tbs == earlier.asked.tbs;
        (!again).then(|| refused("serial", Reason::SerialReused, SERIAL_REUSED))
    }

    /// The same bytes, by the same key.
    fn asks_the_same(&self, earlier: &Earlier) -> bool {
        let (now, before) = (&self.asked, &earlier.asked);
        (&now.key, &now.kind, &now.tbs, &self.ca_key)
            == (&before.key, &before.kind, &before.tbs, &earlier.ca_key)
    }
}

const REUSED: &str =
    "this caller has used this request_id for another key or other bytes; give each request its own";
const IN_PROGRESS: &str =
    "this request is being worked on; ask again, with the same request_id, for its answer";
const UNKNOWN: &str = "the signer was stopped while it worked on this request, and nobody knows whether its answer left; \
                       ask for a new certificate, with a new request_id and a new serial";

const SERIAL_REUSED: &str = "this CA key has signed, or begun to sign, a certificate with this serial; take 64 random bits, or ask again \
                             with the request_id of the first time";

const SERIAL_REVOKED: &str = "the certificate of this CA key with this serial is revoked, for ever, and not handed out again; ask for a new one, with a new request_id \
     and 64 random bits as its serial";

/// What is in the way of a certificate whose serial is revoked.
pub(super) fn revoked_serial() -> Conflict {
    refused("serial", Reason::SerialReused, SERIAL_REVOKED)
}

pub(super) fn refused(rule: &str, reason: Reason, message: &str) -> Conflict {
    Conflict::Refused(Refusal { reason, rule: format!("ledger.{rule}"), message: message.to_owned() })
}

impl Unique {
    /// What `tbs` claims for itself, by the profile `rule`.
    pub(super) fn of(tbs: &Tbs, rule: &str, numbering: Numbering) -> Self {
        match tbs {
            Tbs::Crl(list) => Self::CrlNumber(ListNumber::of(list, rule, numbering)),
            Tbs::Ssh(_) | Tbs::X509(_) | Tbs::Ocsp(_) | Tbs::Request(_) | Tbs::Root(_) => {
                Serial::of(tbs).map_or(Self::Nothing, Self::Serial)
            }
        }
    }
}

impl Serial {
    /// A certificate's.
    pub(super) fn of(tbs: &Tbs) -> Option<Self> {
        match tbs {
            Tbs::Ssh(certificate) => Some(Self(certificate.serial().to_be_bytes().to_vec())),
            Tbs::X509(certificate) => Some(Self(certificate.serial().as_bytes().to_vec())),
            Tbs::Root(root) => Some(Self(root.tbs().serial().as_bytes().to_vec())),
            Tbs::Crl(_) | Tbs::Ocsp(_) | Tbs::Request(_) => None,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
