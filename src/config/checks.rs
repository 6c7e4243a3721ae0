//! Checks that several sections share: from a raw value to one within bounds, or what is wrong with it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A path, relative to `directory` unless it is absolute. Faults do not show it: somebody may have pasted the secret itself.
pub(super) fn path(directory: &Path) -> impl Fn(String) -> Result<PathBuf, String> {
    move |text| {
        let is_path = !text.is_empty() && text.len() <= 4096 && !text.contains(char::is_control);
        if is_path {
            Ok(directory.join(text))
        } else {
            Err("should be the path of a file, and only that".to_owned())
        }
    }
}

/// A duration with its unit, `90s` or `16h`, within bounds.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(String) -> Result<Duration, String> {
    move |text| {
        let range = format!("{} to {}", show(*bounds.start()), show(*bounds.end()));
        let duration = humantime::parse_duration(&text).map_err(|error| {
            format!("{text:?} is not a duration such as \"90s\" or \"16h\" ({range}): {error}")
        })?;
        if bounds.contains(&duration) {
            Ok(duration)
        } else {
            Err(format!("is {text:?}; {range} is allowed"))
        }
    }
}

/// A duration of whole seconds, within bounds.
pub(super) fn seconds(bounds: RangeInclusive<Duration>) -> impl Fn(String) -> Result<Duration, String> {
    let within = duration(bounds);
    move |text| match within(text)? {
        whole if whole.subsec_nanos() == 0 => Ok(whole),
        part => Err(format!("is {}; certificates count whole seconds", show(part))),
    }
}

/// An integer within bounds.
pub(super) fn integer(bounds: RangeInclusive<usize>) -> impl Fn(i64) -> Result<usize, String> {
    move |number| match usize::try_from(number) {
        Ok(fits) if bounds.contains(&fits) => Ok(fits),
        _ => Err(format!("is {number}; {} to {} is allowed", bounds.start(), bounds.end())),
    }
}

/// Text of 1 to `max` bytes without control characters or white space at its ends.
pub(super) fn text(max: usize) -> impl Fn(String) -> Result<String, String> {
    move |text| {
        let fits = (1..=max).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control);
        if fits {
            Ok(text)
        } else {
            Err(format!("should be 1 to {max} bytes, without control characters or white space around it"))
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    words: impl IntoIterator<Item = (&'static str, T)>,
) -> impl FnOnce(String) -> Result<T, String> {
    move |text| {
        let words: Vec<_> = words.into_iter().collect();
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let found = words.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("is {text:?}; it is one of {}", names.join(", ")))
    }
}

fn show(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
