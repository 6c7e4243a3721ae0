//! What one caller may not have twice, or not at all.

use super::*;

fn freeze(time: u64, caller: &str, key: &str) -> Entry {
    let (caller, key, rule) = (caller.into(), key.into(), "a rule".to_owned());
    Entry::Freeze { time: UnixMillis(T + time), caller, key, rule, requests: 3, since: UnixMillis(T) }
}

fn thaw(time: u64, freeze: u64) -> Entry {
    let (by, why) = (b"uid:0".to_vec(), b"a test".to_vec());
    let (caller, key) = (b"uid:1000".to_vec(), b"a-key".to_vec());
    Entry::Thaw { time: UnixMillis(T + time), caller, key, freeze, by, why }
}

#[test]
fn nobody_who_is_frozen_for_a_key_has_an_intent_until_they_are_thawed() {
    check(&[
        (|log| log.extend([freeze(110, "uid:1000", "a-key"), intent(111, 30, "alice")]), &[(23, "FROZEN")]),
        (|log| log.extend([freeze(110, "uid:1000", "b-key"), intent(111, 30, "alice")]), &[]),
        (|log| log.extend([freeze(110, "uid:1001", "a-key"), intent(111, 30, "alice")]), &[]),
        (|log| log.extend([intent(110, 30, "alice"), freeze(111, "uid:1000", "a-key")]), &[]),
        (|log| log.extend([freeze(110, "uid:1000", "a-key"), thaw(111, 22), intent(112, 30, "alice")]), &[]),
        (
            |log| {
                log.extend([freeze(110, "uid:1000", "a-key"), thaw(111, 22), intent(112, 30, "alice")]);
                log.extend([freeze(113, "uid:1000", "a-key"), intent(114, 31, "alice")]);
            },
            &[(26, "FROZEN")],
        ),
    ]);
}

/// An export has the entries of one log, and does not say whether its store has another, where somebody may have been thawed.
#[test]
fn of_a_log_that_may_have_others_beside_it_nobody_is_called_frozen() {
    let log = Log::of(&[good(), vec![freeze(110, "uid:1000", "a-key"), intent(111, 30, "alice")]].concat());
    let to = log.exported();
    let alone = log.audit(Log::options());
    assert_eq!((words(&alone), alone.frozen_unchecked), (vec![(23, "FROZEN")], false));
    let exported = audit_export(&to, log.len);
    assert_eq!((words(&exported), exported.frozen_unchecked), (vec![], true));
    // Where nobody was frozen, there is nothing to look for.
    let log = Log::of(&good());
    assert!(!audit_export(&log.exported(), log.len).frozen_unchecked);
}

/// An intent with a request id.
fn named(time: u64, serial: u64, caller: &str, id: &str) -> Entry {
    let mut entry = intent(time, serial, "alice");
    let Entry::Intent { asked, .. } = &mut entry else { panic!() };
    (asked.caller, asked.request_id) = (caller.into(), Some(id.into()));
    entry
}

#[test]
fn a_request_id_that_may_have_been_answered_does_not_come_again() {
    let first = || named(110, 30, "uid:1000", "one");
    for (number, (between, again, is_wrong)) in [
        (vec![signed(110, 22, &first())], named(120, 31, "uid:1000", "one"), true),
        // Nobody knows what became of it.
        (vec![], named(120, 31, "uid:1000", "one"), true),
        (vec![failed(110, 22)], named(120, 31, "uid:1000", "one"), false),
        (vec![outcome(110, 22, Outcome::Abandoned)], named(120, 31, "uid:1000", "one"), false),
        (vec![signed(110, 22, &first())], named(120, 31, "uid:1000", "another"), false),
        (vec![signed(110, 22, &first())], named(120, 31, "uid:1001", "one"), false),
        (vec![failed(110, 22), named(115, 32, "uid:1000", "one")], named(120, 31, "uid:1000", "one"), true),
    ]
    .into_iter()
    .enumerate()
    {
        let entries = [good(), vec![first()], between, vec![again]].concat();
        let last = u64::try_from(entries.len() - 1).unwrap();
        let expected = if is_wrong { vec![(last, "REQUEST_ID")] } else { vec![] };
        assert_eq!(words(&Log::of(&entries).audit(Log::options())), expected, "case {number}");
    }
}

/// The second may not be there either, and takes the place of nothing that the third may not have.
#[test]
fn what_somebody_has_is_found_to_come_a_third_time_though_the_second_was_withheld() {
    let ids = [30, 31, 32].map(|serial| named(100 + serial, serial, "uid:1000", "one"));
    let serials = [0, 1, 2].map(|n| intent(110 + n, 30, "alice"));
    for (intents, word) in [(ids, "REQUEST_ID"), (serials, "SERIAL")] {
        let [first, second, third] = intents;
        let time = |entry: &Entry| entry.time().0 - T;
        let outcomes =
            [signed(time(&first), 22, &first), failed(time(&second), 24), signed(time(&third), 26, &third)];
        let [of_first, of_second, of_third] = outcomes;
        let entries = [good(), vec![first, of_first, second, of_second, third, of_third]].concat();
        assert_eq!(words(&Log::of(&entries).audit(Log::options())), [(24, word), (26, word)]);
    }
}
