//! BER-TLV as PIV has it (ISO 7816-4 §5.2.2): tags of up to three bytes, lengths below 64 KiB.

/// The value of the first TLV with this tag in a sequence of them; none also if any before it is cut short.
pub(in crate::token) fn find(mut bytes: &[u8], tag: u32) -> Option<&[u8]> {
    loop {
        let (found, value, rest) = next(bytes)?;
        if found == tag {
            return Some(value);
        }
        bytes = rest;
    }
}

/// One TLV.
pub(in crate::token) fn of(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes() {
        [0, low @ 0..=0x7F] => out.push(low),
        [0, low] => out.extend([0x81, low]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(value);
    out
}

/// The first TLV, and what comes after it.
pub(in crate::token) fn next(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(first);
    let mut more = first & 0x1F == 0x1F;
    while more {
        let (&byte, after) = rest.split_first()?;
        tag = tag.checked_mul(0x100)? | u32::from(byte);
        more = byte & 0x80 != 0;
        rest = after;
    }
    let (&short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        0..=0x7F => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_nothing_in_what_is_cut_short() {
        let long = vec![7; 300];
        let bytes = [of(0x01, &[1]), vec![0x7F, 0x49, 2, 8, 9], of(0x86, &long)].concat();
        assert_eq!(find(&bytes, 0x01), Some([1].as_slice()));
        assert_eq!(find(&bytes, 0x7F49), Some([8, 9].as_slice()));
        assert_eq!(find(&bytes, 0x86), Some(long.as_slice()));
        assert_eq!(find(&bytes, 0x02), None);
        for len in 0..bytes.len() {
            assert_eq!(bytes.get(..len).and_then(|cut| find(cut, 0x86)), None);
        }
    }
}
