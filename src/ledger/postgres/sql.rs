//! Every statement that a signer's transactions are made of, prepared once for each session.
//!
//! All of them take arrays, so that a batch is a constant number of statements whatever is in it.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

/// Executes a statement about some rows, unless there are none.
pub(super) async fn execute(
    client: &Client,
    statement: &Statement,
    rows: usize,
    values: &[&(dyn ToSql + Sync)],
) -> Result<(), Error> {
    if rows == 0 { Ok(()) } else { client.execute(statement, values).await.map(drop) }
}

/// "csgn": the first half of every advisory lock's key. The second is a signer's id, or 0 for the lock of the fleet.
pub(super) const LOCKS: i32 = i32::from_be_bytes(*b"csgn");

/// Each statement sees what was committed before it, whatever the role, the database or the server has for a default: one that sees
/// what there was before its turn came would give a serial twice.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// An intent by what it claims: the columns that `claims` reads, after the number of what was asked for. The intent of whatever row
/// `c` is; its outcome, and who writes its log.
macro_rules! intents {
    ($from:literal, $number:literal) => {
        concat!(
            "SELECT w.n, c.signer, c.intent, s.origin, s.opened_at, e.leaf, o.idx, oe.leaf, ",
            $number,
            " FROM unnest(",
            $from,
            " LEFT JOIN countersign.signer s ON s.id = c.signer",
            " LEFT JOIN countersign.entry e ON e.signer = c.signer AND e.idx = c.intent",
            " LEFT JOIN countersign.outcome o ON o.signer = c.signer AND o.intent = c.intent",
            " LEFT JOIN countersign.entry oe ON oe.signer = o.signer AND oe.idx = o.idx"
        )
    };
}

/// What takes its place beside the other transactions, and which process may.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1, 0)";
/// Locked, so that whoever raises the epoch by hand waits for this transaction's end.
const EPOCH: &str = "SELECT epoch FROM countersign.signer WHERE id = $1 FOR SHARE";
const LEN: &str = "SELECT coalesce(max(idx) + 1, 0) FROM countersign.entry WHERE signer = $1";

const BY_REQUEST: &str = intents!(
    "$1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (a, b, n) JOIN countersign.request c ON c.caller = w.a AND c.id = w.b",
    "NULL::bytea, NULL::text"
);
const BY_SERIAL: &str = intents!(
    "$1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (a, b, n) JOIN countersign.serial c ON c.ca_key = w.a AND c.serial = w.b",
    "NULL::bytea, NULL::text"
);
const BY_NUMBER: &str = intents!(
    "$1::bytea[]) WITH ORDINALITY AS w (a, n) JOIN countersign.crl_number c ON c.ca_key = w.a",
    "c.number, c.series"
);
const REVOKED_SUBJECT: &str = "SELECT w.n, t.reason \
    FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (ca_key, subject_key, n) \
    JOIN countersign.revoked_subject t USING (ca_key, subject_key)";
const REVOKED_SERIAL: &str = "SELECT w.n FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (ca_key, serial, n) \
    WHERE EXISTS (SELECT FROM countersign.revoked t WHERE t.ca_key = w.ca_key AND t.serial = w.serial)";
pub(super) const REVOKED: &str = "SELECT w.n, t.serial, t.reason, t.since, t.not_after, t.is_ca \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS w (ca_key, n) JOIN countersign.revoked t USING (ca_key) \
    WHERE EXISTS (SELECT FROM countersign.revoked o WHERE o.ca_key = t.ca_key AND o.serial = t.serial \
                  AND (o.not_after IS NULL OR o.not_after >= $2))";
/// Of each log what comes after its first so many, up to a number.
const NEWER: &str = "SELECT s.id, e.idx, e.leaf, s.origin FROM countersign.signer s \
    LEFT JOIN unnest($1::integer[], $2::bigint[]) AS w (id, first) ON w.id = s.id \
    CROSS JOIN LATERAL (SELECT idx, leaf FROM countersign.entry e WHERE e.signer = s.id AND e.idx >= coalesce(w.first, 0) \
                        ORDER BY e.idx LIMIT $3) e";
const SPENT: &str = "SELECT w.n, t.rate, t.rate_at, t.volume, t.volume_at \
    FROM unnest($1::bytea[], $2::bytea[], $3::text[]) WITH ORDINALITY AS w (caller, key, rule, n) \
    JOIN countersign.spent t USING (caller, key, rule)";
const STANDING: &str = "SELECT w.n, t.tries, t.since, t.frozen, t.frozen_by \
    FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (caller, key, n) \
    JOIN countersign.standing t USING (caller, key)";
const TALLY: &str = "SELECT w.n, t.whole, t.whole_at, t.count, t.since \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS w (caller, n) JOIN countersign.tally t USING (caller)";
const OPEN_TALLIES: &str =
    "SELECT caller, whole, whole_at, count, since FROM countersign.tally WHERE count > 0 ORDER BY caller";
const LEAVES: &str =
    "SELECT idx, leaf FROM countersign.entry WHERE signer = $1 AND idx >= $2 AND idx < $3 ORDER BY idx";

const ADD_ENTRIES: &str = "INSERT INTO countersign.entry (signer, idx, leaf) \
    SELECT $1, $2 + n - 1, leaf FROM unnest($3::bytea[]) WITH ORDINALITY AS w (leaf, n)";
const ADD_OUTCOMES: &str = "INSERT INTO countersign.outcome (signer, intent, idx) \
    SELECT $1, intent, idx FROM unnest($2::bigint[], $3::bigint[]) AS w (intent, idx) ON CONFLICT DO NOTHING";
const SET_REQUESTS: &str = "INSERT INTO countersign.request (caller, id, signer, intent) \
    SELECT caller, id, $1, intent FROM unnest($2::bytea[], $3::bytea[], $4::bigint[]) AS w (caller, id, intent) \
    ON CONFLICT (caller, id) DO UPDATE SET signer = excluded.signer, intent = excluded.intent";
const SET_SERIALS: &str = "INSERT INTO countersign.serial (ca_key, serial, signer, intent) \
    SELECT ca_key, serial, $1, intent FROM unnest($2::bytea[], $3::bytea[], $4::bigint[]) AS w (ca_key, serial, intent) \
    ON CONFLICT (ca_key, serial) DO UPDATE SET signer = excluded.signer, intent = excluded.intent";
const ADD_REVOCATIONS: &str = "INSERT INTO countersign.revocation (signer, idx) \
    SELECT $1, idx FROM unnest($2::bigint[]) AS w (idx) ON CONFLICT DO NOTHING";
const ADD_REVOKED: &str = "INSERT INTO countersign.revoked (ca_key, serial, reason, since, not_after, is_ca, signer) \
    SELECT w.*, $1 FROM unnest($2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[]) AS w \
    ON CONFLICT DO NOTHING";
const ADD_SUBJECTS: &str = "INSERT INTO countersign.revoked_subject (ca_key, subject_key, reason, signer) \
    SELECT w.*, $1 FROM unnest($2::bytea[], $3::bytea[], $4::text[]) AS w ON CONFLICT DO NOTHING";
const SET_NUMBERS: &str = "INSERT INTO countersign.crl_number (ca_key, series, number, signer, intent) \
    SELECT ca_key, series, number, $1, intent \
    FROM unnest($2::bytea[], $3::text[], $4::bytea[], $5::bigint[]) AS w (ca_key, series, number, intent) \
    ON CONFLICT (ca_key, series, number) DO UPDATE SET signer = excluded.signer, intent = excluded.intent";
const FORGET_NUMBERS: &str = "DELETE FROM countersign.crl_number t \
    USING unnest($1::bytea[], $2::text[], $3::bytea[]) AS w (ca_key, series, number) \
    WHERE t.ca_key = w.ca_key AND t.series = w.series AND t.number = w.number";
const SET_SPENT: &str = "INSERT INTO countersign.spent (caller, key, rule, rate, rate_at, volume, volume_at) \
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
    ON CONFLICT (caller, key, rule) DO UPDATE SET rate = excluded.rate, rate_at = excluded.rate_at, \
    volume = excluded.volume, volume_at = excluded.volume_at";
const SET_STANDING: &str = "INSERT INTO countersign.standing (caller, key, tries, since, frozen, frozen_by) \
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[]) \
    ON CONFLICT (caller, key) DO UPDATE SET tries = excluded.tries, since = excluded.since, frozen = excluded.frozen, \
    frozen_by = excluded.frozen_by";
const SET_TALLY: &str = "INSERT INTO countersign.tally (caller, whole, whole_at, count, since) \
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
    ON CONFLICT (caller) DO UPDATE SET whole = excluded.whole, whole_at = excluded.whole_at, count = excluded.count, \
    since = excluded.since";

/// A number that the server gives it once something is written.
const TRANSACTION: &str = "SELECT pg_current_xact_id()::text";
const FATE: &str = "SELECT pg_xact_status($1::text::xid8)";

macro_rules! statements {
    ($($name:ident = $sql:ident),* $(,)?) => {
        /// The statements of one session.
        pub(super) struct Statements { $(pub(super) $name: Statement),* }

        impl Statements {
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                Ok(Self { $($name: client.prepare($sql).await?),* })
            }
        }
    };
}

statements! {
    lock = LOCK,
    transaction = TRANSACTION,
    fate = FATE,
    epoch = EPOCH,
    len = LEN,
    by_request = BY_REQUEST,
    by_serial = BY_SERIAL,
    by_number = BY_NUMBER,
    revoked_subject = REVOKED_SUBJECT,
    revoked_serial = REVOKED_SERIAL,
    revoked = REVOKED,
    newer = NEWER,
    spent = SPENT,
    standing = STANDING,
    tally = TALLY,
    open_tallies = OPEN_TALLIES,
    leaves = LEAVES,
    add_entries = ADD_ENTRIES,
    add_outcomes = ADD_OUTCOMES,
    set_requests = SET_REQUESTS,
    set_serials = SET_SERIALS,
    add_revocations = ADD_REVOCATIONS,
    add_revoked = ADD_REVOKED,
    add_subjects = ADD_SUBJECTS,
    set_numbers = SET_NUMBERS,
    forget_numbers = FORGET_NUMBERS,
    set_spent = SET_SPENT,
    set_standing = SET_STANDING,
    set_tally = SET_TALLY,
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}
