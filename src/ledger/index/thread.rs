//! The one thread that writes the index's files, behind the writer of the log.
//!
//! In: what waits, one range of entries at a time. Out: the files' new runs, or why they could not be written; then it
//! is tried again, now and then and when it is asked to, until it succeeds or nobody waits any more.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::ledger::index::files::{Files, Runs};
use crate::ledger::index::waiting::Waiting;

/// What became of an attempt to write what waits.
pub(super) type Attempt = io::Result<Runs>;

/// The thread, and the way to it and back.
#[derive(Debug)]
pub(super) struct Thread {
    /// `None` once it is to end.
    ends: Option<Ends>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Ends {
    jobs: Sender<Job>,
    /// Holds one: a success waits for its place, of failures the first.
    attempts: Receiver<Attempt>,
}

#[derive(Debug)]
enum Job {
    Write(Arc<Waiting>),
    /// What failed is to be tried again at once.
    Again,
}

impl Thread {
    /// Starts it; `pause` is how long it waits before it tries again by itself.
    pub(super) fn start(files: Files, pause: Duration) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let (answers, attempts) = sync_channel(1);
        let work = move || run(files, pause, &queue, &answers);
        let handle = Builder::new().name("ledger-index".to_owned()).spawn(work)?;
        Ok(Self { ends: Some(Ends { jobs, attempts }), handle: Some(handle) })
    }

    /// Has `waiting` written. The one before must have been.
    pub(super) fn write(&self, waiting: Arc<Waiting>) {
        self.send(Job::Write(waiting));
    }

    /// Has it try at once what it would try later.
    pub(super) fn again(&self) {
        self.send(Job::Again);
    }

    fn send(&self, job: Job) {
        // If it had ended, no attempt would come of this, and the ledger stop at its bound.
        let _ = self.ends.as_ref().map(|ends| ends.jobs.send(job));
    }

    /// What became of an attempt that nobody has asked about yet.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        self.ends.as_ref()?.attempts.try_recv().ok()
    }

    /// What becomes of the next attempt.
    pub(super) fn next_attempt(&self) -> Attempt {
        let attempt = self.ends.as_ref().and_then(|ends| ends.attempts.recv().ok());
        attempt.unwrap_or_else(|| Err(io::Error::other("the thread that writes it has ended")))
    }
}

impl Drop for Thread {
    /// Returns once it writes nothing any more.
    fn drop(&mut self) {
        drop(self.ends.take());
        if let Some(handle) = self.handle.take() {
            // A panic has been reported where it was.
            let _ = handle.join();
        }
    }
}

fn run(mut files: Files, pause: Duration, queue: &Receiver<Job>, answers: &SyncSender<Attempt>) {
    while let Ok(job) = queue.recv() {
        let Job::Write(waiting) = job else { continue };
        while let Err(error) = files.write(&waiting) {
            // If the place is taken, a failure like this one is in it.
            let _ = answers.try_send(Err(error));
            if matches!(queue.recv_timeout(pause), Err(RecvTimeoutError::Disconnected)) {
                return;
            }
        }
        if answers.send(Ok(files.runs())).is_err() {
            return;
        }
    }
}
