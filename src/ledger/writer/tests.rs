//! What the writer makes of a transaction's end.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::ledger::fixture::Fixture;
use crate::ledger::index::Limits;
use crate::ledger::sqlite;

/// A writer that does not run.
fn idle(fixture: &Fixture) -> (Writer<sqlite::Store>, Queue) {
    let store = sqlite::Store::open(&fixture.config, Limits::default()).unwrap();
    let clock = LogClock::new(fixture.config.path.clone(), UnixMillis(0), Duration::from_secs(5));
    Writer::new(store, clock, Rulings { barred: Compromised::default(), links: watch::Sender::default() })
}

fn outcome(queue: &Queue) -> Leaf {
    let (time, outcome) = (UnixMillis(1), Outcome::Abandoned);
    queue.leaf(&Entry::Outcome { time, intent: 0, outcome, latency_us: 0, token: None }).unwrap()
}

/// As the checkpoints and whoever asks for a CRL's number have it: a round that writes nothing.
#[test]
fn a_round_that_writes_nothing_does_not_say_that_the_disk_takes_entries_again() {
    let fixture = Fixture::in_file();
    let (mut writer, queue) = idle(&fixture);
    let outcome = outcome(&queue);
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

#[test]
fn an_outcome_wakes_no_writer_that_looks_for_it_by_itself() {
    let fixture = Fixture::in_file();
    let (mut writer, queue) = idle(&fixture);
    writer.commit(Round::default(), Turn::Another);
    queue.outcome(outcome(&queue)).unwrap();
    assert!(writer.queue.try_recv().is_err(), "it was woken");
    assert!(matches!(writer.next(Phase::Open), Next::OutcomesAreDue));
    writer.commit(Round::default(), Turn::Another);
    assert_eq!(writer.store.index().entries(), 1);
}

#[test]
fn an_outcome_wakes_a_writer_that_rests_and_the_next_does_not() {
    let fixture = Fixture::in_file();
    let (mut writer, queue) = idle(&fixture);
    queue.outcome(outcome(&queue)).unwrap();
    queue.outcome(outcome(&queue)).unwrap();
    let Next::Job(woken @ Job::Outcomes) = writer.next(Phase::Open) else { panic!("it was not woken") };
    let (round, _) = writer.gather(woken, &mut Vec::new());
    assert!(round.is_empty());
    // It rests from then on, with these two.
    assert!(matches!(writer.next(Phase::Open), Next::OutcomesAreDue));
    queue.outcome(outcome(&queue)).unwrap();
    assert!(matches!(writer.next(Phase::Open), Next::Job(Job::Outcomes)), "it was not woken again");
    writer.commit(Round::default(), Turn::Another);
    assert_eq!(writer.store.index().entries(), 3);
}

#[test]
fn an_outcome_after_the_writer_has_ended_is_an_error() {
    let fixture = Fixture::in_file();
    let (writer, queue) = idle(&fixture);
    let leaf = outcome(&queue);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ended = thread::spawn(move || writer.run());
    drop(runtime.block_on(queue.close()));
    ended.join().unwrap();
    for _ in 0..2 {
        assert!(matches!(queue.outcome(leaf.clone()), Err(LedgerError::Closed)));
    }
}
