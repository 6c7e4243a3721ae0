//! Whether the write-ahead log of a file lost transactions that were durable.
//!
//! In: the `-wal` file. Out: yes or no. SQLite takes what follows a frame whose checksum is wrong for what a crash left of a transaction that
//! nobody was told of. That is so of the last transaction alone: each is on the disk before the next is begun, and a frame's checksum goes
//! on from the one before it. So a frame that goes on from the end of a transaction says that all before it was whole. Not found here: damage
//! in the last transaction, of which nothing says that it is not a crash's; checkpoints and the index find that it is missing.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// How the file begins (<https://sqlite.org/fileformat2.html#the_write_ahead_log>), and what is before each page of it.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// SQLite's default, which every ledger has.
const PAGE: usize = 4096;

/// The last bit says in which order checksums take their bytes.
const MAGIC: u32 = 0x377f_0682;

type Checksum = [u32; 2];

/// In which order checksums take their bytes.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// What a frame may go on from.
struct Before {
    /// The checksum that is written there, and that of what is there: one of them is right, if a single byte is wrong.
    checksums: [Checksum; 2],
    /// Whether a transaction ends there.
    is_end: bool,
}

/// Whether entries that were durable are missing, for a part of the file before them is damaged. Not a file that is missing.
pub(super) fn is_broken(wal: &Path) -> io::Result<bool> {
    // What a signer writes meanwhile is whole when it is read again, or begins anew with another header.
    let first = first_broken(wal)?;
    Ok(first.is_some() && first_broken(wal)? == first)
}

/// The header and the number of the first frame that is damaged, if transactions were written after it.
fn first_broken(wal: &Path) -> io::Result<Option<([u8; HEADER], u64)>> {
    let file = match File::open(wal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut file = BufReader::new(file);
    let (mut header, mut frame) = ([0; HEADER], [0; FRAME_HEADER + PAGE]);
    if !filled(&mut file, &mut header)? {
        return Ok(None);
    }
    let order = if word(&header, 0) == MAGIC | 1 { Order::Big } else { Order::Little };
    let written = [word(&header, 24), word(&header, 28)];
    let found = sum(order, [0, 0], header.get(..24).unwrap_or_default());
    let mut before = Before { checksums: [written, found], is_end: true };
    let mut salts = (written == found).then(|| salts_of(&header, 16));
    let mut broken = (written != found).then_some(0);
    let mut number = 1;
    while filled(&mut file, &mut frame)? {
        let of_frame = salts_of(&frame, 8);
        let expected = *salts.get_or_insert(of_frame);
        let written = [word(&frame, 16), word(&frame, 20)];
        let sum_from = |from| {
            let from = sum(order, from, frame.get(..8).unwrap_or_default());
            sum(order, from, frame.get(FRAME_HEADER..).unwrap_or_default())
        };
        let sums = before.checksums.map(sum_from);
        let goes_on = of_frame == expected && sums.contains(&written);
        if goes_on && before.is_end && broken.is_some() {
            return Ok(broken.map(|broken| (header, broken)));
        }
        if !goes_on {
            broken.get_or_insert(number);
        }
        let [found, _] = sums;
        before = Before { checksums: [written, found], is_end: word(&frame, 4) != 0 };
        number += 1;
    }
    Ok(None)
}

/// Fills `buffer`, if the file has so much.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Goes on from a checksum over `bytes`, eight at a time.
fn sum(order: Order, from: Checksum, bytes: &[u8]) -> Checksum {
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs.iter().fold(from, |[one, two], [a, b, c, d, e, f, g, h]| {
        let of = |bytes| match order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        };
        let one = one.wrapping_add(of([*a, *b, *c, *d])).wrapping_add(two);
        [one, two.wrapping_add(of([*e, *f, *g, *h])).wrapping_add(one)]
    })
}

/// The two salts of a header or a frame: frames of an earlier time have others.
fn salts_of(bytes: &[u8], at: usize) -> [u32; 2] {
    [word(bytes, at), word(bytes, at + 4)]
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_be_bytes(*word))
}
