//! BER-TLV as PIV uses it (ISO 7816-4 §5.2.2): tags of one to three bytes, lengths of one to three.
//!
//! In: the bytes of a command. Out: its values in order, or nothing if anything is cut short or left over.

/// One value and its tag.
pub(crate) type Tlv<'a> = (u32, &'a [u8]);

/// Every TLV of `bytes`.
pub(crate) fn read_all(mut bytes: &[u8]) -> Option<Vec<Tlv<'_>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (tlv, rest) = read(bytes)?;
        all.push(tlv);
        bytes = rest;
    }
    Some(all)
}

/// The value of the one TLV that `bytes` is, if its tag is `tag`.
pub(crate) fn only(bytes: &[u8], tag: u32) -> Option<&[u8]> {
    match read(bytes)? {
        ((found, value), []) if found == tag => Some(value),
        _ => None,
    }
}

/// The first value with this tag.
pub(crate) fn find<'a>(all: &[Tlv<'a>], tag: u32) -> Option<&'a [u8]> {
    all.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
}

/// Appends a TLV. Values are far below 64 KiB here; what is above is cut.
pub(crate) fn push(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    let tag = tag.to_be_bytes();
    out.extend(tag.iter().skip_while(|byte| **byte == 0));
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    match len.to_be_bytes() {
        [0, low @ 0..=0x7F] => out.push(low),
        [0, low] => out.extend([0x81, low]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend(value.iter().take(len.into()));
}

/// A TLV by itself.
pub(crate) fn of(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, tag, value);
    out
}

fn read(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(first);
    if first & 0x1F == 0x1F {
        loop {
            let (&next, after) = rest.split_first()?;
            tag = tag.checked_mul(0x100)? | u32::from(next);
            rest = after;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    Some(((tag, value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let (short, middle, long) = (vec![1; 0x7F], vec![2; 0xFF], vec![3; 0x1234]);
        let mut bytes = of(0x53, &short);
        push(&mut bytes, 0x7F49, &middle);
        push(&mut bytes, 0x5F_C105, &long);
        let expected: Vec<Tlv<'_>> = vec![(0x53, &short), (0x7F49, &middle), (0x5F_C105, &long)];
        assert_eq!(read_all(&bytes), Some(expected));
    }

    #[test]
    fn refuses_what_is_cut_short() {
        let bytes = of(0x5F_C105, &[3; 0x1234]);
        for len in 1..bytes.len() {
            assert_eq!(bytes.get(..len).and_then(read_all), None, "{len}");
        }
    }
}
