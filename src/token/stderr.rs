//! What a token process, and the vendor's module in it, write to standard error: lines of the daemon's log.
//!
//! In: a pipe whose other end is not trusted. Out: log lines under the token's name, with every control character
//! escaped, cut at [`MAX_LINE`] bytes, and no more than [`MAX_LINES`] in each [`WINDOW`]; what is dropped is counted.
//! Promised: the pipe is always read, so that a module that chatters neither fills the log nor waits for it.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::TokenName;

/// The longest line, in bytes before they are escaped.
const MAX_LINE: usize = 512;
/// How many lines are logged in one [`WINDOW`].
const MAX_LINES: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// Logs what comes until nobody holds the pipe any more; the handle is of that.
pub(super) fn follow(token: TokenName, mut pipe: ChildStderr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = Lines::new(Instant::now());
        let mut buffer = [0; 4096];
        // A pipe that fails is one that has ended.
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            log(&token, lines.feed(buffer.get(..count).unwrap_or_default(), Instant::now()));
        }
        log(&token, lines.finish());
    })
}

fn log(token: &TokenName, entries: Vec<Entry>) {
    for entry in entries {
        match entry {
            Entry::Line(line) => tracing::warn!(%token, "the token process says: {line}"),
            Entry::Dropped(count) => {
                tracing::warn!(%token, count, "the token process said more than is logged");
            }
        }
    }
}

/// One thing to log.
#[derive(Debug, Eq, PartialEq)]
enum Entry {
    /// A line, escaped.
    Line(String),
    /// How many lines were dropped before the next one.
    Dropped(u64),
}

/// Takes a stream of bytes apart into few, short and harmless lines.
struct Lines {
    line: Vec<u8>,
    cut: bool,
    window: Instant,
    logged: u32,
    dropped: u64,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { line: Vec::new(), cut: false, window: now, logged: 0, dropped: 0 }
    }

    fn feed(&mut self, bytes: &[u8], now: Instant) -> Vec<Entry> {
        let mut entries = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line(now, &mut entries);
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            } else {
                self.cut = true;
            }
        }
        entries
    }

    /// At the end of the stream: a last line without its end, and what was dropped.
    fn finish(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if !self.line.is_empty() {
            self.end_line(self.window, &mut entries);
        }
        self.tell_dropped(&mut entries);
        entries
    }

    fn end_line(&mut self, now: Instant, entries: &mut Vec<Entry>) {
        if now.duration_since(self.window) >= WINDOW {
            (self.window, self.logged) = (now, 0);
            self.tell_dropped(entries);
        }
        let (line, cut) = (std::mem::take(&mut self.line), std::mem::take(&mut self.cut));
        if line.is_empty() {
            return;
        }
        if self.logged < MAX_LINES {
            self.logged += 1;
            let text = String::from_utf8_lossy(&line).escape_debug().to_string();
            entries.push(Entry::Line(if cut { format!("{text} (cut)") } else { text }));
        } else {
            self.dropped += 1;
        }
    }

    fn tell_dropped(&mut self, entries: &mut Vec<Entry>) {
        if self.dropped > 0 {
            entries.push(Entry::Dropped(std::mem::take(&mut self.dropped)));
        }
    }
}

#[cfg(test)]
mod tests;
