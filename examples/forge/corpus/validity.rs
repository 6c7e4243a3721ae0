//! When a certificate is valid.

use super::{Case, NOW, Row, forged};
use crate::forge::Forgery;

pub fn cases() -> Vec<Case> {
    forged("validity", ROWS)
}

const ROWS: &[Row<Forgery>] = &[
    ("forever", "no end", "R35", "VALID_FOREVER", |tbs| tbs.valid_before = u64::MAX),
    ("always", "neither beginning nor end, the default of builders", "R35", "VALID_FOREVER", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (0, u64::MAX);
    }),
    ("nearly-forever", "an end that only looks like one", "R35", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = u64::MAX - 1;
    }),
    ("beyond-i64", "an end that is negative where time is signed", "R35", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = 1 << 63;
    }),
    ("largest-i64", "the last time that a signed clock can show", "R35", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = (1 << 63) - 1;
    }),
    ("beyond-u32", "an end that is zero in 32 bits", "R35", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = 1 << 32;
    }),
    ("milliseconds", "milliseconds where seconds belong", "-", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = 1_800_000_000_000;
    }),
    ("wraps", "a beginning plus a lifetime that wraps around", "R35, crypki", "VALIDITY_INVERTED", |tbs| {
        tbs.valid_before = tbs.valid_after.wrapping_add(u64::MAX);
    }),
    ("wraps-to-zero", "a lifetime that wraps around to 1970", "R35, crypki", "VALIDITY_INVERTED", |tbs| {
        tbs.valid_before = 0;
    }),
    ("swapped", "beginning and end swapped", "RustCrypto/SSH#143", "VALIDITY_INVERTED", |tbs| {
        std::mem::swap(&mut tbs.valid_after, &mut tbs.valid_before);
    }),
    ("empty", "an end at the beginning", "R35", "VALIDITY_INVERTED", |tbs| {
        tbs.valid_before = tbs.valid_after;
    }),
    ("zeros", "both zero, as in a field left out", "R35", "VALIDITY_INVERTED", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (0, 0);
    }),
    ("both-largest", "both the largest number", "R35", "VALIDITY_INVERTED", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (u64::MAX, u64::MAX);
    }),
    ("starts-never", "a last second before forever", "R35", "VALID_FOREVER", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (u64::MAX - 1, u64::MAX);
    }),
    ("expired", "over already", "-", "CERTIFICATE_EXPIRED", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (NOW - 3600, NOW - 60);
    }),
    ("1970", "the first second of all", "-", "CERTIFICATE_EXPIRED", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (0, 1);
    }),
    (
        "since-1970",
        "valid since ever, to pass as issued before a revocation",
        "R28",
        "BACKDATED_TOO_FAR",
        |tbs| tbs.valid_after = 0,
    ),
    ("backdated-by-a-day", "valid since yesterday", "R28", "BACKDATED_TOO_FAR", |tbs| {
        tbs.valid_after -= 86_400;
    }),
    ("postdated-by-a-day", "one for later, when the thief is gone", "R11", "STARTS_TOO_LATE", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (NOW + 86_400, NOW + 86_700);
    }),
    ("postdated-by-years", "one for much later", "R11", "STARTS_TOO_LATE", |tbs| {
        (tbs.valid_after, tbs.valid_before) = (NOW + 1_000_000_000, NOW + 1_000_000_060);
    }),
    ("two-hours", "twice what the profile allows", "R11", "LIFETIME_TOO_LONG", |tbs| {
        tbs.valid_before = NOW + 7200;
    }),
    ("a-year", "a year", "R11", "LIFETIME_TOO_LONG", |tbs| tbs.valid_before = NOW + 31_536_000),
];
