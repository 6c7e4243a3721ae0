//! A card's ECDSA signatures are DER; this program's are `r || s`, as long as the curve says.

use super::tlv;

/// `r || s` of two times `field` bytes; none if `der` is no ECDSA-Sig-Value (RFC 5480 §4) of such numbers.
pub(super) fn fixed(der: &[u8], field: usize) -> Option<Vec<u8>> {
    let numbers = tlv::find(der, 0x30)?;
    let r = tlv::find(numbers, 0x02)?;
    let s = tlv::find(numbers.get(2 + r.len()..)?, 0x02)?;
    Some([number(r, field)?, number(s, field)?].concat())
}

fn number(integer: &[u8], len: usize) -> Option<Vec<u8>> {
    let significant = integer.iter().position(|byte| *byte != 0).map_or(&[][..], |at| integer.split_at(at).1);
    let mut out = vec![0; len.checked_sub(significant.len())?];
    out.extend_from_slice(significant);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_the_curve_says() {
        let der = [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 7];
        assert_eq!(fixed(&der, 4), Some(vec![0, 0, 0x80, 1, 0, 0, 0, 7]));
        assert_eq!(fixed(&der, 1), None, "a number is longer than the curve's");
        assert_eq!(der.get(..7).and_then(|cut| fixed(cut, 4)), None);
    }
}
