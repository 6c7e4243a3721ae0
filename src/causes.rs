//! An error and what caused it, in one line, for logs and for errors that hold text.

use std::error::Error;

/// The error's message, and after it those of its causes. A cause that was told already is left out: `transparent` errors, and those
/// that quote their cause, say what it says.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::in_one_line;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Layer {
        said: &'static str,
        source: io::Error,
    }

    #[test]
    fn every_cause_is_told_and_none_twice() {
        let innermost = Layer { said: "the disk is gone", source: io::Error::other("no such device") };
        let quoted = Layer {
            said: "it failed: the disk is gone",
            source: io::Error::new(io::ErrorKind::NotFound, innermost),
        };
        assert_eq!(in_one_line(&quoted), "it failed: the disk is gone: no such device");
    }
}
