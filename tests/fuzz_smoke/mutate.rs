//! Makes inputs that are nearly valid: one to three changes to a seed.

/// SplitMix64: numbers that depend on the seed alone, on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, without `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A short range within `len`.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len);
        start..len.min(start + 1 + self.below(8))
    }
}

/// A change to one input; the seeds are there to take parts from.
type Mutation = fn(&mut Random, &[Vec<u8>], &mut Vec<u8>);

const MUTATIONS: &[Mutation] = &[
    |random, _, bytes| flip_bit(random, bytes),
    |random, _, bytes| set_byte(random, bytes),
    truncate,
    remove,
    repeat,
    splice,
    edit_ssh_length,
    pad_ssh_string,
    |random, _, bytes| edit_der_length(random, bytes),
    edit_der_element,
    |random, _, bytes| edit_word(random, bytes),
];

/// Bytes where parsers change their mind: ends of ranges, DER tags and lengths, separators of text.
const TELLING: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x17, 0x18, 0x20, 0x30, 0x31, 0x7f, 0x80, 0x81,
    0x82, 0x84, 0xa0, 0xa3, 0xc0, 0xed, 0xff, b'\n', b'"', b'*', b',', b'.', b'/', b':', b'=', b'[', b']',
];

/// A seed with one to three changes.
pub fn mutant(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..=random.below(3) {
        random.pick(MUTATIONS)(random, seeds, &mut bytes);
    }
    bytes
}

fn flip_bit(random: &mut Random, bytes: &mut [u8]) {
    let place = random.below(bytes.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << random.below(8);
    }
}

fn set_byte(random: &mut Random, bytes: &mut [u8]) {
    let place = random.below(bytes.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte = *random.pick(TELLING);
    }
}

fn truncate(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    bytes.truncate(random.below(bytes.len()));
}

fn remove(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let range = random.range(bytes.len());
    bytes.drain(range);
}

fn repeat(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let copy = bytes[random.range(bytes.len())].to_vec();
    let place = random.below(bytes.len());
    bytes.splice(place..place, copy);
}

/// The start of this one and the end of another.
fn splice(random: &mut Random, seeds: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let other = random.pick(seeds);
    bytes.truncate(random.below(bytes.len()));
    bytes.extend(&other[random.below(other.len())..]);
}

/// Makes a length wrong or extreme.
fn edit_ssh_length(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let Some((place, length)) = ssh_length(random, bytes) else { return };
    let wrong = [0, 1, length.wrapping_sub(1), length + 1, length + 4, u32::MAX, 1 << 31];
    bytes.splice(place..place + 4, random.pick(&wrong).to_be_bytes());
}

/// Puts a zero in front of a string and counts it: another spelling of an mpint, a NUL in a text.
fn pad_ssh_string(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let Some((place, length)) = ssh_length(random, bytes) else { return };
    bytes.splice(place..place + 4, [&(length + 1).to_be_bytes()[..], &[0]].concat());
}

/// The place and the value of something that looks like the length of a string.
fn ssh_length(random: &mut Random, bytes: &[u8]) -> Option<(usize, u32)> {
    let value = |place: usize| u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap());
    let places: Vec<usize> =
        (0..bytes.len().saturating_sub(3)).filter(|&place| value(place) < 2048).collect();
    (!places.is_empty()).then(|| *random.pick(&places)).map(|place| (place, value(place)))
}

/// Changes the byte after one that looks like a DER tag.
fn edit_der_length(random: &mut Random, bytes: &mut [u8]) {
    let is_tag =
        |byte: u8| matches!(byte, 0x01..=0x06 | 0x0a | 0x0c | 0x13 | 0x16..=0x18 | 0x30 | 0x31 | 0x80..=0xa4);
    let lengths: Vec<usize> = (1..bytes.len()).filter(|&place| is_tag(bytes[place - 1])).collect();
    if lengths.is_empty() {
        return;
    }
    let length = &mut bytes[*random.pick(&lengths)];
    *length = *random.pick(&[0, length.wrapping_sub(1), length.wrapping_add(1), 0x80, 0x81, 0x84, 0xff]);
}

/// Changes the contents of one DER element, and every length around it.
fn edit_der_element(random: &mut Random, _: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let mut count = usize::MAX;
    edit_nth(bytes, &mut count, &mut |_| {});
    let mut number = random.below(usize::MAX - count);
    *bytes = edit_nth(bytes, &mut number, &mut |contents| match random.below(5) {
        0 => contents.insert(0, 0),
        1 => contents.insert(0, 0xff),
        2 => contents.push(*random.pick(TELLING)),
        3 => contents.clear(),
        _ => contents.truncate(contents.len() / 2),
    });
}

/// The same elements with the contents of one changed, the one that `number` counts down to. Stops at what is no DER.
fn edit_nth(mut der: &[u8], number: &mut usize, edit: &mut impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((tag, contents, rest)) = der_element(der) {
        let is_it = *number == 0;
        *number = number.wrapping_sub(1);
        let mut contents = if tag & 0x20 != 0 { edit_nth(contents, number, edit) } else { contents.to_vec() };
        if is_it {
            edit(&mut contents);
        }
        out.push(tag);
        let [.., high, low] = contents.len().to_be_bytes();
        match (high, low) {
            (0, 0..=0x7f) => out.push(low),
            (0, _) => out.extend([0x81, low]),
            _ => out.extend([0x82, high, low]),
        }
        out.extend(contents);
        der = rest;
    }
    out.extend(der);
    out
}

/// Tag, contents and what follows.
fn der_element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, len, rest) = match der {
        [tag, len @ 0..=0x7f, rest @ ..] | [tag, 0x81, len, rest @ ..] => (*tag, usize::from(*len), rest),
        [tag, 0x82, high, low, rest @ ..] => (*tag, usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

/// Another digit for a digit, another letter for a letter: text that stays text.
fn edit_word(random: &mut Random, bytes: &mut [u8]) {
    let words: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place].is_ascii_alphanumeric()).collect();
    if words.is_empty() {
        return;
    }
    let byte = &mut bytes[*random.pick(&words)];
    let alphabet = if byte.is_ascii_digit() { &b"0123456789"[..] } else { b"abcdefxyzABCXYZ" };
    *byte = *random.pick(alphabet);
}
