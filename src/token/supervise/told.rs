//! What the log is told of the tries to replace a process.

use std::mem;

/// What the tries of one outage said: what the try before said as well is no news, however long that goes on.
#[derive(Default)]
pub(super) struct Told {
    before: Vec<String>,
    now: Vec<String>,
}

impl Told {
    /// Another try begins.
    pub(super) fn next_try(&mut self) {
        self.before = mem::take(&mut self.now);
    }

    /// Whether the try before did not say that.
    pub(super) fn is_news(&mut self, message: String) -> bool {
        let is_news = !self.before.contains(&message);
        self.now.push(message);
        is_news
    }
}
