//! The scoreboard: numbers that every process of a test shares, in a file that each of them maps.
//!
//! Out: how often each function was called, how often a session was used by two at once, how many PINs were wrong, and how
//! often the script came true. Each is one atomic word, so that counting costs nothing and survives a crash.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::script::On;
use crate::{Call, Script};

const VIOLATIONS: usize = 0;
const WRONG_PINS: usize = 1;
const LENGTH_QUERIES: usize = 2;
const EXPIRED: usize = 3;
const CAPPED: usize = 4;
const CALLS: usize = 5;
const HANGS: usize = CALLS + Call::ALL.len();
/// How many calls each entry of the script has seen.
const SEEN: usize = HANGS + Call::ALL.len();
/// A bit for each attribute below [`MOST_ATTRIBUTES`] that was asked for.
const ATTRIBUTES: usize = SEEN + Script::MAX_ON;
const WORDS: usize = ATTRIBUTES + MOST_ATTRIBUTES / 64;
/// All of the standard's have lower numbers (`pkcs11t.h` v3.2).
const MOST_ATTRIBUTES: usize = 0x800;

/// The words of a board. Never unmapped: a module lives as long as its process, and a test has few boards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board(&'static [AtomicU64]);

impl Board {
    /// Maps the board of this file, which is made if it is missing.
    ///
    /// # Errors
    /// If the file cannot be made or mapped.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let size = WORDS * size_of::<AtomicU64>();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(u64::try_from(size).map_err(io::Error::other)?)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so that nothing else is mapped over.
        let address = unsafe { mmap(ptr::null_mut(), size, access, MapFlags::SHARED, &file, 0)? };
        // SAFETY: `address` is the start of a page, readable and writable for `size` bytes, and stays mapped until the process
        // ends. Every process accesses it through atomics only, and any bits are an `AtomicU64`. Nobody shortens the file.
        Ok(Self(unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), WORDS) }))
    }

    /// A board of this process alone.
    pub(crate) fn private() -> Self {
        Self(Box::leak((0..WORDS).map(|_| AtomicU64::new(0)).collect()))
    }

    pub(crate) fn count_call(self, call: Call) {
        self.add(CALLS + index(call));
    }

    pub(crate) fn calls(self, call: Call) -> u64 {
        self.get(CALLS + index(call))
    }

    pub(crate) fn count_hang(self, call: Call) {
        self.add(HANGS + index(call));
    }

    pub(crate) fn hangs(self, call: Call) -> u64 {
        self.get(HANGS + index(call))
    }

    pub(crate) fn count_violation(self) {
        self.add(VIOLATIONS);
    }

    pub(crate) fn violations(self) -> u64 {
        self.get(VIOLATIONS)
    }

    pub(crate) fn count_length_query(self) {
        self.add(LENGTH_QUERIES);
    }

    pub(crate) fn length_queries(self) -> u64 {
        self.get(LENGTH_QUERIES)
    }

    pub(crate) fn count_wrong_pin(self) {
        self.add(WRONG_PINS);
    }

    pub(crate) fn wrong_pins(self) -> u64 {
        self.get(WRONG_PINS)
    }

    pub(crate) fn forget_wrong_pins(self) {
        if let Some(word) = self.0.get(WRONG_PINS) {
            word.store(0, Ordering::SeqCst);
        }
    }

    pub(crate) fn count_expired(self) {
        self.add(EXPIRED);
    }

    pub(crate) fn expired(self) -> u64 {
        self.get(EXPIRED)
    }

    pub(crate) fn count_capped(self) {
        self.add(CAPPED);
    }

    pub(crate) fn capped(self) -> u64 {
        self.get(CAPPED)
    }

    pub(crate) fn note_attribute(self, attribute: u64) {
        let bit = usize::try_from(attribute).ok().filter(|bit| *bit < MOST_ATTRIBUTES);
        if let Some(word) = bit.and_then(|bit| self.0.get(ATTRIBUTES + bit / 64)) {
            word.fetch_or(1 << (attribute % 64), Ordering::SeqCst);
        }
    }

    pub(crate) fn attributes(self) -> impl Iterator<Item = u64> {
        (0..).take(MOST_ATTRIBUTES).zip(0..).filter_map(move |(place, attribute): (usize, u64)| {
            (self.get(ATTRIBUTES + place / 64) >> (attribute % 64) & 1 == 1).then_some(attribute)
        })
    }

    /// Whether entry `slot` of the script of this generation strikes at the call that asks, which is counted.
    pub(crate) fn strikes(self, generation: u32, slot: usize, on: &On) -> bool {
        let Some(word) = self.0.get(SEEN + slot) else { return false };
        let before = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| count(word, generation));
        // A call that still follows an older script than others do is none of the newer one's.
        let Ok(before) = before else { return on.after == 0 && on.times.is_none() };
        let past = if halves(before).0 == generation { halves(before).1 } else { 0 };
        past >= on.after && on.times.is_none_or(|times| past - on.after < times)
    }

    /// How often entry `slot` of the script of this generation has struck.
    pub(crate) fn struck(self, generation: u32, slot: usize, on: &On) -> u32 {
        let (owner, calls) = halves(self.get(SEEN + slot));
        let calls = if owner == generation { calls.saturating_sub(on.after) } else { 0 };
        on.times.map_or(calls, |times| calls.min(times))
    }

    fn add(self, word: usize) {
        if let Some(word) = self.0.get(word) {
            word.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn get(self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Ordering::SeqCst))
    }
}

/// One more call in the count of this generation's entry: a new generation counts from zero, an older one not at all.
fn count(word: u64, generation: u32) -> Option<u64> {
    let (owner, calls) = halves(word);
    let calls = match owner.cmp(&generation) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => calls,
        std::cmp::Ordering::Greater => return None,
    };
    Some((u64::from(generation) << 32) | u64::from(calls.saturating_add(1)))
}

/// The generation and the count in one word.
fn halves(word: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(word >> 32), half(word))
}

fn index(call: Call) -> usize {
    Call::ALL.iter().position(|other| *other == call).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, On};

    #[test]
    fn an_entry_strikes_after_so_many_calls_and_so_often() {
        let board = Board::private();
        let on = On::call(Call::Sign, Action::Hang).after(2).times(3);
        let struck: Vec<_> = (0..7).map(|_| board.strikes(1, 0, &on)).collect();
        assert_eq!(struck, [false, false, true, true, true, false, false]);
        assert_eq!((board.struck(1, 0, &on), board.struck(2, 0, &on)), (3, 0));
        assert!(!board.strikes(2, 0, &on), "a new script counts anew");
        assert!(!board.strikes(1, 0, &on), "an old script counts no more");
        assert!(!board.strikes(2, 0, &on));
        assert!(board.strikes(2, 0, &on));
        assert_eq!(board.struck(2, 0, &on), 1);
        let always = On::call(Call::Sign, Action::Hang);
        assert!(
            board.strikes(3, 1, &always) && board.strikes(2, 1, &always),
            "a call may follow an old script"
        );
        assert_eq!(board.struck(3, 1, &always), 1);
    }
}
