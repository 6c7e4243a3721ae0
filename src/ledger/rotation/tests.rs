#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A step that a key of this name, and public half, takes towards the place of another.
fn step(old: &str, new: &str, step: RotationStep) -> Entry {
    let member = |name: &str| Member::new(name.to_owned(), name.as_bytes().to_vec());
    let by = crate::caller::Caller::from_uid(0).name().clone();
    let (purpose, scheme, why) = ("ssh-user-ca".to_owned(), "ed25519".to_owned(), "a test".to_owned());
    Rotation { old: member(old), new: member(new), purpose, scheme, step, by, why }.entry(UnixMillis(1))
}

fn stage(links: &Links, old: &str, new: &str) -> Option<Stage> {
    let found = links.iter().find(|link| link.old.name == old && link.new.name == new);
    found.map(|link| link.stage)
}

const AT: RotationStep = RotationStep::Activate(UnixMillis(7_000));

#[test]
fn a_rotation_goes_from_step_to_step() {
    let steps = [
        (RotationStep::Stage, Stage::Staged),
        (RotationStep::Publish, Stage::Published),
        (AT, Stage::Activated(UnixTime(7))),
        (RotationStep::Activate(UnixMillis(9_000)), Stage::Activated(UnixTime(9))),
        (RotationStep::Cancel, Stage::Published),
        (AT, Stage::Activated(UnixTime(7))),
        (RotationStep::Retire(false), Stage::Retired(UnixTime(7))),
    ];
    let mut links = Links::default();
    for (taken, comes_to) in steps {
        assert!(links.learn(&step("a", "b", taken)));
        assert_eq!(stage(&links, "a", "b"), Some(comes_to), "{taken:?}");
    }
    assert_eq!(links.iter().count(), 1);
}

#[test]
fn another_successor_replaces_one_that_has_not_taken_over() {
    let steps = [
        step("a", "b", RotationStep::Stage),
        step("a", "c", RotationStep::Stage),
        step("a", "c", RotationStep::Publish),
        step("a", "c", AT),
        step("c", "d", RotationStep::Stage),
    ];
    let links = Links::of(&steps);
    let stages = [("a", "b"), ("a", "c"), ("c", "d")].map(|(old, new)| stage(&links, old, new).unwrap());
    assert_eq!(stages, [Stage::Replaced, Stage::Activated(UnixTime(7)), Stage::Staged]);
    let name = |link: Option<&Link>| link.map(|link| link.new.name.clone());
    assert_eq!(name(links.from(&sha256(&[b"a"]))).as_deref(), Some("c"));
    // It is no key of its own for that.
    assert_eq!(name(links.to(&sha256(&[b"b"]))).as_deref(), Some("b"));
}

#[test]
fn a_key_is_known_by_its_public_half_whatever_its_name() {
    let Entry::Rotation { time, ca_key, spki, old_spki, by, why, .. } = step("a", "b", AT) else { return };
    let (key, old) = (b"b-2027".to_vec(), b"a-2025".to_vec());
    let renamed = Entry::Rotation { time, key, ca_key, spki, old, old_spki, step: AT, by, why };
    let links = Links::of(&[step("a", "b", RotationStep::Stage), renamed]);
    let link = links.to(&sha256(&[b"b"])).unwrap();
    assert_eq!((&*link.old.name, &*link.new.name, links.iter().count()), ("a-2025", "b-2027", 1));
}

proptest! {
    /// Whatever a log says, no key has two successors that have taken over or may.
    #[test]
    fn no_key_has_two_successors_in_waiting(steps in prop::collection::vec((0..3usize, 0..3usize, 0..5usize), 0..24)) {
        let taken = [RotationStep::Stage, RotationStep::Publish, AT, RotationStep::Cancel, RotationStep::Retire(true)];
        let names = ["a", "b", "c"];
        let mut links = Links::default();
        for (old, new, at) in steps {
            let (old, new, taken) = (names[old], names[new], taken[at]);
            // What a signer records: a step that follows another, and no stage after the place is taken.
            let before = links.from(&sha256(&[old.as_bytes()])).map(|link| (link.new.name.clone(), link.stage));
            let is_first = before.as_ref().is_none_or(|(_, stage)| stage.takes_over().is_none());
            let follows = before.is_some_and(|(name, stage)| name == new && stage != Stage::Replaced);
            if old != new && if taken == RotationStep::Stage { is_first } else { follows } {
                links.learn(&step(old, new, taken));
            }
        }
        for name in names {
            let of_it = links.iter().filter(|link| link.old.name == name && link.stage != Stage::Replaced);
            prop_assert!(of_it.count() <= 1);
        }
    }
}
