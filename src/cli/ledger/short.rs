//! Entries as lines for a terminal: what somebody who looks for one sees first, and no more than the terminal is wide.
//!
//! In: entries, and what became of them where that is known. Out: a line each: index, time, kind, and what is most told of that kind,
//! the caller last. What does not fit ends in `..`; `--long` has everything, and so has whatever is no terminal.

use countersign_tbs::Tbs;

use crate::cli::ledger::table::{revoked, text, word};
use crate::cli::ledger::{parsed, seconds, time};
use crate::ledger::Entry;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::entry::{Asked, Outcome, UnixMillis};

/// What stands for the rest of a line.
const CUT: &str = "..";

/// How long a name may be, so that there is room for what comes after it.
const NAME: usize = 24;

/// The line of one entry, for a terminal of so many columns.
pub(super) fn line(index: u64, entry: &Entry, outcome: Option<&str>, columns: usize) -> String {
    let (kind, what) = of(entry);
    let outcome = outcome.map(|outcome| format!("{outcome}: ")).unwrap_or_default();
    let line = format!("{index:>6} {} {kind:<10} {outcome}{what}", short_time(entry.time()));
    cut(&line, columns)
}

/// The kind, and what is told of it.
fn of(entry: &Entry) -> (&'static str, String) {
    match entry {
        Entry::Intent { time, asked, .. } => ("intent", asked_for(asked, *time)),
        Entry::Refusal { time, asked, reason, .. } => {
            ("refusal", format!("{}, {}", text(reason), asked_for(asked, *time)))
        }
        Entry::Outcome { intent, outcome, token, .. } => {
            let at = token.as_ref().map(|token| format!(" at {}", word(token))).unwrap_or_default();
            ("outcome", format!("{}{at} (entry {intent})", ending(outcome)))
        }
        Entry::SelfTest { key, .. } => ("self-test", word(key.as_bytes())),
        Entry::Refusals { caller, count, .. } => {
            ("refusals", format!("{count} more, {}", short_name(caller)))
        }
        Entry::Freeze { caller, key, .. } => ("freeze", format!("{}, {}", word(key), short_name(caller))),
        Entry::Thaw { caller, key, by, .. } => {
            ("thaw", format!("{}, {}, by {}", word(key), short_name(caller), short_name(by)))
        }
        Entry::Checkpoint { text, .. } => {
            let size = Checkpoint::parse(text).map_or(0, |checkpoint| checkpoint.size());
            ("checkpoint", format!("of {size} entries"))
        }
        Entry::Revocation { key, ca_key, what, reason, by, .. } => (
            "revocation",
            format!("{} {}, {reason}, by {}", word(key), revoked(ca_key, what), short_name(by)),
        ),
        Entry::KeyRecord { key, token, .. } => {
            ("key-record", format!("{} on token {}", word(key), word(token)))
        }
        Entry::KeyDeletion { token, place, by, .. } => (
            "key-deletion",
            format!("{} of token {}, by {}", place.escape_ascii(), word(token), short_name(by)),
        ),
        Entry::KeyWrapping { token, place, by, .. } => (
            "key-wrapping",
            format!("{} of token {}, by {}", place.escape_ascii(), word(token), short_name(by)),
        ),
        Entry::Rotation { key, old, step, by, .. } => {
            ("rotation", format!("{} {} for {}, by {}", step.word(), word(key), word(old), short_name(by)))
        }
        Entry::Ceremony { title, by, .. } => {
            ("ceremony", format!("\"{}\", by {}", title.escape_ascii(), short_name(by)))
        }
    }
}

/// The key, for whom or what, until when, who asked.
fn asked_for(asked: &Asked, now: UnixMillis) -> String {
    let (key, caller) = (word(&asked.key), short_name(&asked.caller));
    match parsed(asked).and_then(|tbs| named(&tbs)) {
        Some((name, until)) => format!("{key} {name} {}, {caller}", short_until(until, now)),
        None => format!("{key} {}, {caller}", text(&asked.kind)),
    }
}

/// Whom or what it is for, and its last second.
fn named(tbs: &Tbs) -> Option<(String, u64)> {
    match tbs {
        Tbs::Ssh(certificate) => {
            let names = certificate.principals().iter().map(String::as_str);
            Some((several(names), certificate.valid_before()))
        }
        Tbs::X509(certificate) => {
            let subject = certificate.subject().to_string();
            let names: Vec<String> =
                certificate.subject_alt_names().iter().map(ToString::to_string).collect();
            let names = if names.is_empty() { vec![subject] } else { names };
            Some((several(names.iter().map(String::as_str)), certificate.validity().not_after.unix_secs()))
        }
        Tbs::Root(root) => {
            let tbs = root.tbs();
            Some((word(tbs.subject().to_string().as_bytes()), tbs.validity().not_after.unix_secs()))
        }
        Tbs::Crl(list) => Some((format!("CRL {}", list.number()), list.next_update().unix_secs())),
        Tbs::Request(_) | Tbs::Ocsp(_) => None,
    }
}

/// The first of several names, and how many others there are.
fn several<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let first =
        names.next().map_or_else(|| "nobody".to_owned(), |name| cut(&short_name(name.as_bytes()), NAME));
    match names.count() {
        0 => first,
        others => format!("{first} +{others}"),
    }
}

fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Signed(_) => "signed".to_owned(),
        Outcome::Failed(class) => format!("failed, {}", text(class)),
        Outcome::Discarded => "discarded".to_owned(),
        Outcome::Abandoned => "abandoned".to_owned(),
    }
}

/// What became of an intent, in a word.
pub(in crate::cli) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Signed(_) => "signed",
        Outcome::Failed(_) => "failed",
        Outcome::Discarded => "discarded",
        Outcome::Abandoned => "abandoned",
    }
}

/// The end of a long name: of a SPIFFE ID the last of its path.
fn short_name(name: &[u8]) -> String {
    let name = word(name);
    match name.rsplit_once('/') {
        Some((_, last)) => format!("{CUT}/{last}"),
        None => name,
    }
}

/// A time to the second, in UTC.
fn short_time(time_of: UnixMillis) -> String {
    let whole = time(UnixMillis(time_of.0 / 1000 * 1000));
    whole.trim_end_matches(".000Z").replace('T', " ")
}

/// Until when, without the day if it is the same.
fn short_until(secs: u64, now: UnixMillis) -> String {
    let (until, now) = (seconds(secs), time(now));
    let minute = until.get(..16).unwrap_or(&until).replace('T', " ");
    let is_same_day = now.get(..10).is_some_and(|day| minute.starts_with(day));
    let shown = if is_same_day { minute.get(11..).unwrap_or(&minute) } else { &minute };
    if secs == u64::MAX { "for ever".to_owned() } else { format!("until {shown}") }
}

/// A line that is no longer than the terminal is wide. All of it is ASCII.
pub(super) fn cut(line: &str, columns: usize) -> String {
    if line.len() <= columns {
        return line.to_owned();
    }
    let most = columns.saturating_sub(CUT.len());
    format!("{}{CUT}", line.get(..most).unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcd..");
        assert_eq!(short_name(b"spiffe://example.org/front-end"), "../front-end");
        assert_eq!(short_name(b"uid:0"), "uid:0");
        assert_eq!(short_time(UnixMillis(1_700_000_000_123)), "2023-11-14 22:13:20");
        assert_eq!(short_until(1_700_000_100, UnixMillis(1_700_000_000_000)), "until 22:15");
        assert_eq!(short_until(1_700_100_000, UnixMillis(1_700_000_000_000)), "until 2023-11-16 02:00");
        assert_eq!(several(["alice", "bob", "carol"].into_iter()), "alice +2");
    }
}
