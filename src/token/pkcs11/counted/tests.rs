use super::*;

#[test]
fn a_flag_that_came_is_a_count_and_one_that_went_tells_nothing() {
    let (good, low, last, locked) =
        ([false, false, false], [true, false, false], [true, true, false], [true, false, true]);
    for (before, after, counted) in [
        (good, low, Counted::Yes),
        (low, last, Counted::Yes),
        (last, locked, Counted::Yes),
        (good, locked, Counted::Yes),
        (good, good, Counted::No),
        (low, low, Counted::Unknown),
        (last, low, Counted::Unknown),
        (low, good, Counted::Unknown),
        (last, good, Counted::Unknown),
    ] {
        assert_eq!(by_flags(before, after), counted, "{before:?} {after:?}");
    }
}
