#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::ledger::Entry;
use crate::ledger::fixture::Fixture;

/// The time of each test's log.
const T: u64 = 1_700_000_000_000;

fn leaf(time: u64, caller: &str) -> Vec<u8> {
    let time = UnixMillis(time);
    Entry::Refusals { time, caller: caller.into(), since: time, count: 1 }.encode().unwrap()
}

/// What the searches of `filter` are answered, each going on where the one before ended.
fn answers(fixture: &Fixture, filter: &v1::Filter) -> Vec<v1::FindEntriesResponse> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (ledger, keys, stopping) = (fixture.open(), Keys::from_iter([]), watch::channel(false).1);
        let (calls, watches) = (Shares::new(MAX_CALLS), Shares::new(MAX_WATCHES));
        let reading = Reading { ledger: ledger.clone(), keys, calls, watches, stopping };
        let (mut answers, mut before) = (Vec::new(), None);
        loop {
            let request = v1::FindEntriesRequest { filter: Some(filter.clone()), before, limit: 1000 };
            let answer = reading.find(request).await.unwrap();
            before = answer.next;
            answers.push(answer);
            if before.is_none() {
                break;
            }
        }
        ledger.close().await;
        answers
    })
}

#[test]
fn a_search_looks_at_some_30_000_entries_and_says_where_to_go_on_though_it_found_none() {
    let fixture = Fixture::in_file();
    // Times may run backwards by a minute, so each may be of the time that is looked for.
    fixture.append((0..40_000).map(|index| leaf(T + 30_000 * u64::from(index == 10), "uid:1000")));
    let answers = answers(&fixture, &v1::Filter { since_ms: Some(T + 30_000), ..Default::default() });
    let found: Vec<Vec<u64>> =
        answers.iter().map(|answer| answer.entries.iter().map(|entry| entry.index).collect()).collect();
    assert_eq!(found, [vec![], vec![10]]);
    let looked_at = 40_000 - answers[0].next.unwrap();
    assert!((25_000..35_000).contains(&looked_at), "{looked_at}");
}

#[test]
fn an_answer_of_long_entries_ends_after_a_mebibyte_and_the_next_goes_on_after_it() {
    let fixture = Fixture::in_file();
    let long = "x".repeat(60_000);
    fixture.append((0..40).map(|_| leaf(T, &long)));
    let answers = answers(&fixture, &v1::Filter::default());
    let bytes = |answer: &v1::FindEntriesResponse| -> usize {
        answer.entries.iter().map(|entry| entry.leaf.len()).sum()
    };
    let found = answers.iter().flat_map(|answer| &answer.entries).map(|entry| entry.index);
    assert_eq!(found.collect::<Vec<_>>(), (0..40).rev().collect::<Vec<_>>());
    let (first, most) = (bytes(&answers[0]), (1 << 20) + 15 * 65_535);
    assert!(answers.len() == 2 && first >= 1 << 20 && first <= most, "{first} of {} answers", answers.len());
}
