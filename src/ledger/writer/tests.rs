//! What the writer makes of a transaction's end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::ledger::fixture::Fixture;
use crate::ledger::index::Limits;
use crate::ledger::sqlite;

/// As the checkpoints and whoever asks for a CRL's number have it: a round that writes nothing.
#[test]
fn a_round_that_writes_nothing_does_not_say_that_the_disk_takes_entries_again() {
    let fixture = Fixture::in_file();
    let store = sqlite::Store::open(&fixture.config, Limits::default()).unwrap();
    let clock = LogClock::new(fixture.config.path.clone(), UnixMillis(0), Duration::from_secs(5));
    let rulings = Rulings { barred: Compromised::default(), links: watch::Sender::default() };
    let (mut writer, _queue) = Writer::new(store, clock, rulings);
    let outcome = Entry::Outcome {
        time: UnixMillis(1),
        intent: 0,
        outcome: Outcome::Abandoned,
        latency_us: 0,
        token: None,
    };
    let outcome = Leaf::of(&outcome, writer.store.index().key()).unwrap();
    fixture.fill(0);
    writer.outcomes.push(outcome.clone());
    writer.commit(Round::default(), Turn::Another);
    assert_eq!(writer.failures, 1);
    writer.outcomes = Outcomes::default();
    writer.commit(Round::default(), Turn::Another);
    assert_eq!(writer.failures, 1, "an empty transaction succeeds on a full disk");
    fixture.make_room();
    writer.outcomes.push(outcome);
    writer.commit(Round::default(), Turn::Another);
    assert_eq!(writer.failures, 0);
}
