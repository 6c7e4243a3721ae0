//! In which parts of the hashes' range a run has any: for most hashes that it has not, nobody reads a block.
//!
//! In: the hashes of its rows. Out: whether one may be there. Hashes are scattered evenly, so the parts are, too: of a run of
//! 260,000 rows one in eight that is absent looks as if it might be there, of a million two in five, of ten million nearly all.

/// One bit for each part of the hashes' range.
#[derive(Debug)]
pub(super) struct Map {
    /// A power of two of them, a quarter of a MiB at most.
    parts: Vec<u64>,
}

impl Map {
    /// The most bits.
    const MOST: u64 = 1 << 21;

    /// The bits for each row at least, if there are not too many.
    const EACH: u64 = 8;

    /// Of a run that is to have so many rows.
    pub(super) fn new(rows: u64) -> Self {
        let bits = rows.saturating_mul(Self::EACH).clamp(64, Self::MOST).next_power_of_two();
        Self { parts: vec![0; usize::try_from(bits / 64).unwrap_or(1)] }
    }

    /// Where the bit of a hash is.
    fn place(&self, hash: u64) -> (usize, u64) {
        let bits = u128::from(u64::try_from(self.parts.len()).unwrap_or(1)) * 64;
        let bit = u64::try_from((u128::from(hash) * bits) >> 64).unwrap_or_default();
        (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
    }

    /// There is this hash.
    pub(super) fn add(&mut self, hash: u64) {
        let (part, bit) = self.place(hash);
        if let Some(part) = self.parts.get_mut(part) {
            *part |= bit;
        }
    }

    /// Whether there may be this hash; if not, there is not.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let (part, bit) = self.place(hash);
        self.parts.get(part).is_none_or(|part| part & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_eight_bits_for_a_row_and_a_quarter_of_a_mib_at_most() {
        for (rows, bytes) in
            [(0, 8), (1, 8), (1024, 1024), (1025, 2048), (1 << 18, 1 << 18), (u64::MAX, 1 << 18)]
        {
            assert_eq!(Map::new(rows).parts.len() * 8, bytes, "{rows}");
        }
    }
}
