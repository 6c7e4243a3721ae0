//! Serials in the fewest bytes: a list, a range or a bitmap for each stretch of them.
//!
//! In: serials. Out: subsections, in ascending order. What each costs is reckoned in bits, so that a bitmap that grows is judged
//! without encoding it anew: one pass over the stretches of consecutive serials, with the cheapest way to each.

use std::collections::BTreeSet;

use super::Certificates;

/// Consecutive serials, from the first to the last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SerialRun {
    /// The first.
    pub first: u64,
    /// The last; not below the first.
    pub last: u64,
}

/// The longest bitmap, in bits: what OpenSSH reads as one number.
pub(super) const BITMAP_MAX: u64 = 16_384;

/// A subsection's type and length.
const HEADER: u64 = 5 * 8;
const SERIAL: u64 = 64;
/// Both ends.
const RANGE: u64 = HEADER + 2 * SERIAL;
/// The offset, the number's length, and what its last bits are padded with.
const BITMAP: u64 = HEADER + SERIAL + 4 * 8 + 8;

/// How a run is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Range,
    List,
    Bitmap,
}

/// The cheapest way to have written all runs so far, with the last one in some form.
#[derive(Clone, Copy, Debug)]
struct Way {
    cost: u64,
    /// The form of the run before, and whether this one goes on in the same subsection.
    before: Form,
    joined: bool,
    /// Where the bitmap that goes on began.
    offset: u64,
}

const FORMS: [Form; 3] = [Form::Range, Form::List, Form::Bitmap];

/// The subsections that have exactly `serials`.
pub(super) fn encode(serials: &BTreeSet<u64>) -> Vec<Certificates> {
    let runs = merged(serials.iter().map(|&serial| SerialRun { first: serial, last: serial }).collect());
    let mut ways: Vec<[Way; 3]> = Vec::with_capacity(runs.len());
    let mut before = None;
    for run in &runs {
        let here = FORMS.map(|form| cheapest(form, run, ways.last().zip(before.as_ref())));
        ways.push(here);
        before = Some(*run);
    }
    written(&runs, &forms(&ways))
}

fn cheapest(form: Form, run: &SerialRun, earlier: Option<(&[Way; 3], &SerialRun)>) -> Way {
    let len = (run.last - run.first).saturating_add(1);
    let fresh = match form {
        Form::Range => RANGE,
        Form::List => HEADER.saturating_add(SERIAL.saturating_mul(len)),
        Form::Bitmap if len <= BITMAP_MAX => BITMAP + len,
        Form::Bitmap => u64::MAX,
    };
    let new = |cost, before| Way { cost, before, joined: false, offset: run.first };
    let Some((ways, previous)) = earlier else { return new(fresh, Form::Range) };
    let mut best: Option<Way> = None;
    for (before, way) in FORMS.into_iter().zip(ways) {
        let joined = match (before, form) {
            (Form::List, Form::List) => Some(SERIAL.saturating_mul(len)),
            (Form::Bitmap, Form::Bitmap) if run.last - way.offset < BITMAP_MAX => {
                Some(run.last - previous.last)
            }
            _ => None,
        };
        let apart = new(way.cost.saturating_add(fresh), before);
        let joined = joined.map(|more| Way {
            cost: way.cost.saturating_add(more),
            before,
            joined: true,
            offset: way.offset,
        });
        for way in joined.into_iter().chain([apart]) {
            if best.is_none_or(|best| way.cost < best.cost) {
                best = Some(way);
            }
        }
    }
    best.unwrap_or_else(|| new(fresh, Form::Range))
}

/// The form of each run, and whether it goes on in the subsection before, by the cheapest way to the last one.
fn forms(ways: &[[Way; 3]]) -> Vec<(Form, bool)> {
    let mut forms = Vec::with_capacity(ways.len());
    let last = ways.last().and_then(|ways| FORMS.into_iter().zip(ways).min_by_key(|(_, way)| way.cost));
    let mut form = last.map_or(Form::Range, |(form, _)| form);
    for ways in ways.iter().rev() {
        if let Some((_, way)) = FORMS.into_iter().zip(ways).find(|(of, _)| *of == form) {
            forms.push((form, way.joined));
            form = way.before;
        }
    }
    forms.reverse();
    forms
}

fn written(runs: &[SerialRun], forms: &[(Form, bool)]) -> Vec<Certificates> {
    let mut subsections: Vec<(Form, Vec<SerialRun>)> = Vec::new();
    for (run, (form, joined)) in runs.iter().zip(forms) {
        match subsections.last_mut() {
            Some((_, runs)) if *joined => runs.push(*run),
            _ => subsections.push((*form, vec![*run])),
        }
    }
    subsections.iter().filter_map(|(form, runs)| subsection(*form, runs)).collect()
}

fn subsection(form: Form, runs: &[SerialRun]) -> Option<Certificates> {
    let (first, last) = (runs.first()?.first, runs.last()?.last);
    Some(match form {
        Form::Range => Certificates::Range(first, last),
        Form::List => Certificates::Serials(runs.iter().flat_map(|run| run.first..=run.last).collect()),
        Form::Bitmap => {
            let len = usize::try_from(last - first).ok()? / 8 + 1;
            let mut bits = vec![0_u8; len];
            for serial in runs.iter().flat_map(|run| run.first..=run.last) {
                let bit = usize::try_from(serial - first).ok()?;
                *bits.get_mut(len - 1 - bit / 8)? |= 1 << (bit % 8);
            }
            Certificates::Bitmap(first, bits)
        }
    })
}

/// What a subsection has, as runs in no order.
pub(super) fn runs(of: &Certificates) -> Vec<SerialRun> {
    let one = |serial| SerialRun { first: serial, last: serial };
    match of {
        Certificates::Serials(serials) => serials.iter().copied().map(one).collect(),
        Certificates::Range(first, last) => vec![SerialRun { first: *first, last: *last }],
        Certificates::Bitmap(offset, bits) => {
            let bytes = (0_u64..).zip(bits.iter().rev());
            let set = bytes.flat_map(|(at, byte)| {
                (0..8_u64).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
            });
            set.map(|bit| one(offset.saturating_add(bit))).collect()
        }
        Certificates::KeyIds(_) => Vec::new(),
    }
}

/// The same serials, as the fewest runs, in order.
pub(super) fn merged(mut runs: Vec<SerialRun>) -> Vec<SerialRun> {
    runs.sort_unstable();
    let mut merged: Vec<SerialRun> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(before) if run.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(run.last);
            }
            _ => merged.push(run),
        }
    }
    merged
}
