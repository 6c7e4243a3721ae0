#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::key::{MlDsaPublicKey, ParameterSet};

const CA: PublicKey = PublicKey::Ed25519([7; 32]);

fn krl(serials: impl IntoIterator<Item = u64>) -> Krl {
    let mut revoked = Revoked::default();
    serials.into_iter().for_each(|serial| revoked.serial(&CA, serial));
    Krl { version: 1, generated: 2, comment: "test".to_owned(), sections: revoked.sections() }
}

fn forms(krl: &Krl) -> Vec<&'static str> {
    let of = krl.certificates(&CA).map(|of| match of {
        Certificates::Serials(_) => "list",
        Certificates::Range(..) => "range",
        Certificates::Bitmap(..) => "bitmap",
        Certificates::KeyIds(_) => "key ids",
    });
    of.collect()
}

fn serials(krl: &Krl) -> Vec<u64> {
    krl.serials(&CA).into_iter().flat_map(|run| run.first..=run.last).collect()
}

/// How many bytes the subsections take.
fn cost(of: &[Certificates]) -> usize {
    of.iter().map(|of| 5 + of.encode().1.len()).sum()
}

#[test]
fn each_stretch_of_serials_takes_the_form_that_is_smallest() {
    assert_eq!(forms(&krl([1 << 20])), ["list"], "one serial");
    assert_eq!(forms(&krl([1 << 10, 1 << 40, 1 << 60])), ["list"], "serials that are far apart");
    assert_eq!(forms(&krl(1000..2_000_000)), ["range"], "serials in a row");
    assert_eq!(forms(&krl((1000..3000).step_by(3))), ["bitmap"], "serials that are close");
    let mixed = [1, 1 << 30].into_iter().chain((1 << 40)..(1 << 40) + 500).chain([1 << 50]);
    assert_eq!(forms(&krl(mixed)), ["list", "range", "list"]);
    assert_eq!(forms(&krl([u64::MAX - 1, u64::MAX])), ["bitmap"], "at the end of serials");
    let wide = krl((1..100_000).step_by(2));
    assert!(
        forms(&wide).iter().all(|form| *form == "bitmap") && forms(&wide).len() == 7,
        "{:?}",
        forms(&wide)
    );
    assert_eq!(serials(&wide).len(), 50_000 - 1 + usize::from(99_999 % 2 == 1));
}

#[test]
fn serial_zero_is_no_certificates() {
    assert_eq!(krl([0]).sections, []);
    assert_eq!(serials(&krl([0, 1])), [1]);
}

#[test]
fn a_list_covers_another_that_has_nothing_more() {
    let made = |serials: &[u64], id: &str, hash: u8| {
        let mut revoked = Revoked::default();
        for serial in serials {
            revoked.serial(&CA, *serial);
        }
        revoked.key_id(&CA, id);
        revoked.fingerprint([hash; 32]);
        Krl { sections: revoked.sections(), ..Krl::default() }
    };
    let many: Vec<u64> = (1..5000).chain([9000]).collect();
    let of = made(&many, "alice", 1);
    assert!(of.covers(&of) && of.covers(&Krl::default()) && of.covers(&made(&[17, 9000], "alice", 1)));
    for more in [made(&[5000], "alice", 1), made(&many, "bob", 1), made(&many, "alice", 2)] {
        assert!(!of.covers(&more), "{more:?}");
    }
    let serials = || vec![Certificates::Range(1, 5)];
    let by =
        |ca_key| Krl { sections: vec![Section::Certificates { ca_key, of: serials() }], ..Krl::default() };
    let (every, other) = (by(None), by(Some(PublicKey::Ed25519([8; 32]))));
    assert!(!of.covers(&every) && !of.covers(&other) && every.covers(&other) && every.covers(&every));
    assert!(!Krl::default().covers(&of));
}

/// In a KRL a section without a CA key is of every CA.
#[test]
fn a_key_that_ssh_does_not_have_revokes_nothing() {
    let key = MlDsaPublicKey::new(ParameterSet::MlDsa44, vec![7; 1312]).unwrap();
    let ca_key = PublicKey::MlDsa(key);
    let mut revoked = Revoked::default();
    revoked.serial(&ca_key, 5);
    revoked.key_id(&ca_key, "id");
    assert!(revoked.is_empty() && revoked.sections().is_empty());
    let of = vec![Certificates::Serials(vec![5])];
    let krl = Krl { sections: vec![Section::Certificates { ca_key: Some(ca_key), of }], ..Krl::default() };
    assert_eq!(Krl::parse(&krl.encode()).unwrap(), Krl::default());
}

/// By hand, from PROTOCOL.krl.
#[test]
fn a_list_has_the_bytes_of_the_protocol() {
    let mut revoked = Revoked::default();
    revoked.serial(&CA, 5);
    revoked.key_id(&CA, "id");
    revoked.fingerprint([9; 32]);
    let krl = Krl { version: 3, generated: 4, comment: "c".to_owned(), sections: revoked.sections() };
    let mut ca_key = Vec::new();
    put_string(&mut ca_key, &CA.to_ssh_wire().unwrap());
    let mut want = b"SSHKRL\n\0\0\0\0\x01".to_vec();
    want.extend(b"\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01c");
    let list = b"\0\0\0\0\x20\0\0\0\x08\0\0\0\0\0\0\0\x05\x23\0\0\0\x06\0\0\0\x02id";
    want.push(1);
    put_string(&mut want, &[&ca_key[..], list].concat());
    want.push(5);
    put_string(&mut want, &[&b"\0\0\0\x20"[..], &[9; 32]].concat());
    assert_eq!(krl.encode(), want);
    assert_eq!(Krl::parse(&want).unwrap(), krl);
}

#[test]
fn says_what_is_wrong_with_bytes_that_are_no_list() {
    let good = krl([5]).encode();
    let broken = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Krl::parse(&bytes).unwrap_err().to_string()
    };
    assert!(broken(0, b'X').contains("not an OpenSSH KRL"));
    assert!(broken(11, 2).contains("format 2"));
    assert!(broken(35, 1).contains("reserved"));
    let section = 8 + 4 + 8 + 8 + 8 + 4 + 4 + 4;
    assert!(broken(section, 4).contains("section of type 4"));
    assert!(Krl::parse(&good[..good.len() - 1]).is_err());
    for of in
        [Certificates::Range(2, 1), Certificates::Bitmap(1, vec![]), Certificates::Bitmap(u64::MAX, vec![2])]
    {
        let sections = vec![Section::Certificates { ca_key: None, of: vec![of.clone()] }];
        let bytes = Krl { sections, ..Krl::default() }.encode();
        assert!(Krl::parse(&bytes).is_err(), "{of:?}");
    }
}

proptest! {
    #[test]
    fn what_is_put_in_is_what_is_said(
        close in btree_set(1_u64..3000, 0..200),
        far in btree_set(1_u64.., 0..20),
        ids in btree_set("[a-z]{0,9}", 0..4),
        hashes in btree_set(any::<[u8; 32]>(), 0..4),
    ) {
        let all: BTreeSet<u64> = close.union(&far).copied().collect();
        let mut revoked = Revoked::default();
        for serial in &all {
            revoked.serial(&CA, *serial);
        }
        for id in &ids {
            revoked.key_id(&CA, id);
        }
        for hash in &hashes {
            revoked.fingerprint(*hash);
        }
        let krl = Krl { sections: revoked.sections(), ..Krl::default() };
        let read = Krl::parse(&krl.encode()).unwrap();
        prop_assert_eq!(&read, &krl);
        prop_assert_eq!(serials(&read), all.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(read.key_ids(&CA), ids.iter().map(String::as_str).collect());
        prop_assert_eq!(read.fingerprints(), hashes);
    }

    /// No worse than each form alone, where it fits.
    #[test]
    fn serials_take_no_more_bytes_than_one_form_would(set in btree_set(1_u64..16_000, 1..300)) {
        let of = serials::encode(&set);
        let list = cost(&[Certificates::Serials(set.iter().copied().collect())]);
        let runs = serials::merged(set.iter().map(|&serial| SerialRun { first: serial, last: serial }).collect());
        let ranges = 21 * runs.len();
        let (first, last) = (set.first().unwrap(), set.last().unwrap());
        let bitmap = 5 + 8 + 4 + usize::try_from((last - first + 1) / 8 + 1).unwrap();
        // A byte for each bitmap whose last bits are padded.
        let slack = of.iter().filter(|of| matches!(of, Certificates::Bitmap(..))).count();
        prop_assert!(cost(&of) <= list.min(ranges).min(bitmap) + slack, "{} of {list}, {ranges}, {bitmap}", cost(&of));
    }

    #[test]
    fn no_bytes_make_parse_panic_and_what_it_takes_encodes_to_the_same(
        set in btree_set(1_u64..3000, 1..50),
        at in any::<prop::sample::Index>(),
        byte: u8,
        tail in vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = krl(set).encode();
        *at.get_mut(&mut bytes) = byte;
        bytes.extend(tail);
        if let Ok(read) = Krl::parse(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}
