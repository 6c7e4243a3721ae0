//! A bundle: up to 256 entries, each after its length in two bytes, big-endian.

use std::iter;

/// A bundle that ends within an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cut;

/// Appends an entry. One that is too long for a bundle is no entry of a log.
pub(super) fn append(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    let len = u16::try_from(entry.len()).ok()?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}

/// The entries of a bundle, in order. The first error is the last item.
pub(crate) fn entries(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], Cut>> {
    let mut rest = bundle;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((entry, after)) = first(rest) else {
            rest = &[];
            return Some(Err(Cut));
        };
        rest = after;
        Some(Ok(entry))
    })
}

fn first(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bundle.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*len).into())
}
