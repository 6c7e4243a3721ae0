//! Verifies signatures on every core: they take most of the time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::ledger::audit::{Findings, Wrong};
use crate::verify::Verifier;

/// How many signatures a thread takes at once: about a millisecond's work.
const BATCH: usize = 32;

/// A signature that is to be verified.
#[derive(Debug)]
pub(super) struct Job {
    /// The entry of what is signed.
    pub(super) intent: u64,
    /// The entry with the signature.
    pub(super) outcome: u64,
    pub(super) verifier: Arc<Verifier>,
    pub(super) message: Vec<u8>,
    pub(super) raw: Vec<u8>,
}

impl Job {
    /// Whether the signature is the key's, over this message.
    pub(super) fn is_right(&self) -> bool {
        self.verifier.verify(&self.message, &self.raw).is_ok()
    }
}

/// The threads.
#[derive(Debug)]
pub(super) struct Pool<'scope> {
    jobs: SyncSender<Vec<Job>>,
    next: Vec<Job>,
    threads: Vec<ScopedJoinHandle<'scope, Done>>,
}

/// What one thread has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) verified: u64,
    pub(super) findings: Findings,
}

impl<'scope> Pool<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let (jobs, queue) = sync_channel(2 * count);
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..count).map(|_| {
            let queue = Arc::clone(&queue);
            scope.spawn(move || work(&queue))
        });
        Self { jobs, next: Vec::with_capacity(BATCH), threads: threads.collect() }
    }

    /// Has a signature verified; waits if there are many to verify already.
    pub(super) fn verify(&mut self, job: Job) {
        self.next.push(job);
        if self.next.len() == BATCH {
            self.send();
        }
    }

    /// Waits for all.
    pub(super) fn finish(mut self) -> Done {
        self.send();
        drop(self.jobs);
        let mut all = Done::default();
        for thread in self.threads {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.verified += done.verified;
            all.findings.extend(done.findings);
        }
        all
    }

    fn send(&mut self) {
        let jobs = std::mem::replace(&mut self.next, Vec::with_capacity(BATCH));
        // The threads listen until the sender is gone; one that panicked is found by `finish`.
        let _ = self.jobs.send(jobs);
    }
}

fn work(queue: &Mutex<Receiver<Vec<Job>>>) -> Done {
    let mut done = Done::default();
    loop {
        let jobs = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(jobs) = jobs else { return done };
        for job in jobs {
            if job.is_right() {
                done.verified += 1;
            } else {
                done.findings.add(job.outcome, Wrong::Signature { intent: job.intent });
            }
        }
    }
}
