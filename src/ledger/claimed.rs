//! What a database's tables say of claims, for whoever compares them with a log.
//!
//! In: what an intent claims. Out: where the row of it leads, if that is elsewhere. Nothing here says whether that is right.

/// What two intents may not both claim, and a database has a table of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    /// One caller's request id.
    Request,
    /// One CA key's serial.
    Serial,
}

impl Table {
    /// Its name in the database.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Serial => "serial",
        }
    }

    /// What it is of, in words.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Request => "request id",
            Self::Serial => "serial",
        }
    }
}

/// What an intent of the log that is compared claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Claimed {
    /// The caller, or the SHA-256 of the CA key's SPKI.
    pub(super) whose: Vec<u8>,
    /// The request id, or the serial.
    pub(super) what: Vec<u8>,
    /// The intent's index.
    pub(super) intent: u64,
}

/// A claim whose row does not lead to the intent that claims it.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) claimed: Claimed,
    /// The entry of that intent's outcome, if there is one by now.
    pub(super) outcome: Option<Vec<u8>>,
    /// Where the row leads, if there is a row.
    pub(super) lead: Option<Lead>,
}

/// Where a row of a claim leads.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) log: i32,
    /// The log's name, if there is such a log.
    pub(super) origin: Option<String>,
    /// The index of the entry.
    pub(super) entry: u64,
    /// The entry, if there is one.
    pub(super) leaf: Option<Vec<u8>>,
}
