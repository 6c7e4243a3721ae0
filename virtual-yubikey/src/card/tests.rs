//! The rules of the card that clients do not show: when it wants what, and what it remembers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::thread;

use tempfile::TempDir;

use super::*;
use crate::firmware::Firmware;
use crate::touch::TouchMode;

const SELECT: &[u8] = &[0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 3, 8];
const VERIFY: &[u8] = b"\x00\x20\x00\x80\x08123456\xFF\xFF";
const VERIFY_WRONG: &[u8] = b"\x00\x20\x00\x80\x08000000\xFF\xFF";
const OK: u16 = 0x9000;
const SECURITY: u16 = 0x6982;

struct Reader {
    card: Card,
    dir: TempDir,
}

impl Reader {
    fn new(touch: TouchMode) -> Self {
        let dir = TempDir::new().unwrap();
        let state = State::factory(1, Firmware::V5_7_1).unwrap();
        let touch = Arc::new(Touch::new(touch, Duration::from_millis(200)));
        let card = Card::new(state, dir.path().join("state"), Duration::ZERO, touch);
        let mut reader = Self { card, dir };
        assert_eq!(reader.status(SELECT), OK);
        reader
    }

    fn status(&mut self, apdu: &[u8]) -> u16 {
        let response = self.card.transmit(apdu);
        u16::from_be_bytes(*response.last_chunk().unwrap())
    }

    /// Makes a P-256 key in a slot, with policies if they are not 0.
    fn generate(&mut self, slot: u8, pin: u8, touch: u8) {
        self.card.unlocked.management = true;
        let wanted = [0xAC, 9, 0x80, 1, 0x11, 0xAA, 1, pin, 0xAB, 1, touch];
        let len = u8::try_from(wanted.len()).unwrap();
        assert_eq!(self.status(&[&[0, 0x47, 0, slot, len], &wanted[..]].concat()), OK);
        self.card.unlocked.management = false;
    }

    fn sign(&mut self, slot: u8) -> u16 {
        let template = tlv::of(0x7C, &[tlv::of(0x82, &[]), tlv::of(0x81, &[1; 32])].concat());
        let len = u8::try_from(template.len()).unwrap();
        self.status(&[&[0, 0x87, 0x11, slot, len], template.as_slice()].concat())
    }
}

#[test]
fn slots_want_the_pin_as_their_policies_say() {
    let mut reader = Reader::new(TouchMode::AtOnce);
    for slot in [0x9A, 0x9C, 0x9E] {
        reader.generate(slot, 0, 0);
    }
    assert_eq!([0x9A, 0x9C, 0x9E].map(|slot| reader.sign(slot)), [SECURITY, SECURITY, OK]);
    assert_eq!(reader.status(VERIFY), OK);
    assert_eq!([0x9C, 0x9C, 0x9A, 0x9A].map(|slot| reader.sign(slot)), [OK, SECURITY, OK, OK]);
}

#[test]
fn a_select_and_a_reset_forget_the_pin() {
    let mut reader = Reader::new(TouchMode::AtOnce);
    reader.generate(0x9A, 2, 0);
    for resets in [0, 1] {
        assert_eq!((reader.status(VERIFY), reader.sign(0x9A)), (OK, OK));
        (0..resets).for_each(|_| reader.card.reset());
        assert_eq!((reader.status(SELECT), reader.sign(0x9A)), (OK, SECURITY));
    }
}

#[test]
fn the_pin_blocks_after_its_tries_and_stays_so_without_power() {
    let mut reader = Reader::new(TouchMode::AtOnce);
    let tried = [(); 4].map(|()| reader.status(VERIFY_WRONG));
    assert_eq!(tried, [0x63C2, 0x63C1, 0x63C0, 0x6983]);
    let state = State::load(&reader.dir.path().join("state")).unwrap().unwrap();
    reader.card = Card::new(state, reader.card.path, Duration::ZERO, reader.card.touch);
    assert_eq!((reader.status(SELECT), reader.status(VERIFY)), (OK, 0x6983));
}

#[test]
fn a_right_pin_gives_the_tries_back() {
    let mut reader = Reader::new(TouchMode::AtOnce);
    assert_eq!((reader.status(VERIFY_WRONG), reader.status(VERIFY)), (0x63C2, OK));
    assert_eq!(reader.status(VERIFY_WRONG), 0x63C2);
}

#[test]
fn a_touch_that_does_not_come_is_refused() {
    let mut reader = Reader::new(TouchMode::Never);
    reader.generate(0x9E, 1, 2);
    assert_eq!(reader.sign(0x9E), SECURITY);
}

#[test]
fn one_touch_holds_for_a_while_where_the_policy_says_cached() {
    let mut reader = Reader::new(TouchMode::Asked);
    reader.generate(0x82, 1, 3);
    reader.generate(0x83, 1, 2);
    let touch = reader.card.touch.clone();
    let finger = thread::spawn(move || {
        assert!(touch.asked(Duration::from_secs(10)));
        touch.give();
    });
    assert_eq!([0x82, 0x82, 0x83].map(|slot| reader.sign(slot)), [OK, OK, SECURITY]);
    finger.join().unwrap();
}

#[test]
fn a_card_that_is_pulled_out_waits_for_no_touch() {
    let dir = TempDir::new().unwrap();
    let state = State::factory(1, Firmware::V5_7_1).unwrap();
    let touch = Arc::new(Touch::new(TouchMode::Asked, Duration::from_secs(3600)));
    let card = Card::new(state, dir.path().join("state"), Duration::ZERO, touch.clone());
    let mut reader = Reader { card, dir };
    assert_eq!(reader.status(SELECT), OK);
    reader.generate(0x9E, 1, 2);
    let hand = thread::spawn(move || {
        assert!(touch.asked(Duration::from_secs(10)));
        touch.set_gone(true);
    });
    assert_eq!(reader.sign(0x9E), SECURITY);
    hand.join().unwrap();
}

#[test]
fn nothing_changes_without_the_management_key() {
    let mut reader = Reader::new(TouchMode::AtOnce);
    for ins in [0x47, 0xDB, 0xF6, 0xFA, 0xFE, 0xFF] {
        assert_eq!(reader.status(&[0, ins, 0, 0x9A]), SECURITY, "{ins:x}");
    }
}
