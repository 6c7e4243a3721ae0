//! Reads the formats of lists of keys into sorted hashes.

use base64ct::{Base64Unpadded, Encoding};

use super::ListError;

/// The bytes of a record of badkeys: a hash of 15, and the number of a list.
pub(super) const RECORD: usize = 16;

/// badkeys' records, which must be sorted by their hashes, as the binary search wants them.
pub(super) fn badkeys(bytes: Vec<u8>) -> Result<Vec<u8>, ListError> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        return Err(ListError::Records(bytes.len()));
    }
    let mut pairs = records.iter().zip(records.iter().skip(1));
    match pairs.position(|(one, next)| hash_of(one) > hash_of(next)) {
        None => Ok(bytes),
        Some(at) => Err(ListError::NotSorted(at + 2)),
    }
}

pub(super) fn has_record(records: &[u8], hash: &[u8; 15]) -> bool {
    records.as_chunks::<RECORD>().0.binary_search_by(|record| hash_of(record).cmp(hash)).is_ok()
}

fn hash_of([hash @ .., _]: &[u8; RECORD]) -> &[u8] {
    hash
}

pub(super) fn openssl(bytes: &[u8]) -> Result<Vec<[u8; 10]>, ListError> {
    lines(bytes, "20 hexadecimal digits, as in Debian's openssl-blacklist", hex)
}

pub(super) fn fingerprints(bytes: &[u8]) -> Result<Vec<[u8; 32]>, ListError> {
    let wanted = "`SHA256:` and 43 characters as `ssh-keygen -l` prints them, or the 64 hexadecimal digits of the \
                  SHA-256 of a SubjectPublicKeyInfo";
    lines(bytes, wanted, |line| match line.strip_prefix("SHA256:") {
        None => hex(line),
        Some(base64) => {
            let mut hash = [0; 32];
            Base64Unpadded::decode(base64, &mut hash).ok().filter(|hash| hash.len() == 32)?;
            Some(hash)
        }
    })
}

/// One hash a line, sorted; lines that are empty or start with `#` have none.
fn lines<const N: usize>(
    bytes: &[u8],
    wanted: &'static str,
    read: impl Fn(&str) -> Option<[u8; N]>,
) -> Result<Vec<[u8; N]>, ListError> {
    let mut hashes = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let hash = str::from_utf8(line).ok().and_then(&read);
        hashes.push(hash.ok_or(ListError::Line { line: index + 1, wanted })?);
    }
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

/// `N` bytes in hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = 16 * digit(*high)? + digit(*low)?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
