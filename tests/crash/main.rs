//! kill -9: the real daemon, many callers over mTLS, and at random moments 200 kills under load and more at starts, each followed by a start.
//!
//! The moments are spread over the load, in which checkpoints are signed all the time, and over the start (ledger and index opened,
//! self-tests, first checkpoint). Promised whatever the moment: every signature that a caller got has its intent in
//! the log, before any outcome; no index and no serial is given twice; a request that comes again has the same answer or
//! none; checkpoints continue each other; `countersign ledger verify` finds nothing; and the next start has less than a second
//! to do until it listens. A kill takes nothing that the kernel was given, so this tests what is done in which order, not the disk.
//!
//! `COUNTERSIGN_CRASH_SEED` repeats the moments of another run, `COUNTERSIGN_CRASH_KILLS` says how many under load. The index's own files
//! are written too seldom for this; `src/ledger/tests/crash.rs` kills a signer that writes them all the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

mod audit;
mod bed;
mod book;
mod callers;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/forge.rs"]
mod forge;
mod moments;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/pki.rs"]
mod pki;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/site.rs"]
mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::audit::Audit;
use crate::bed::Bed;
use crate::book::Book;
use crate::callers::Load;
use crate::moments::{Moment, Moments};
use crate::site::{Daemon, PATIENCE};

/// How many kills under load of a signer with each store, side by side, and the variable that says otherwise for both.
const KILLS: usize = 200;
const KILLS_VARIABLE: &str = "COUNTERSIGN_CRASH_KILLS";

/// What a start may use of a processor until it listens, in the daemon and its token process together, every one of them: a machine that is
/// busy with something else makes a start late, and gives it no more to do.
const WORK: Duration = Duration::from_secs(1);

/// How soon nine tenths of the starts on the longest logs serve again, but for when no processor was free. It is for the start that waits
/// for what the killed one left: a lock, a session of the database, a token.
const RESTART: Duration = Duration::from_secs(1);

/// What a start took until it listened.
struct Start {
    /// By the clock.
    clock: Duration,
    /// Of a processor.
    work: Duration,
    /// How long its threads were ready and no processor was free, added up.
    queued: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_promised_is_lost_by_200_kills_of_a_signer_with_sqlite() {
    survive(&Bed::sqlite(), kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_200_kills_of_one_with_postgresql() {
    survive(&Bed::postgres(), kills()).await;
}

async fn survive(bed: &Bed, kills: usize) {
    let mut moments = Moments::from_environment();
    let (book, mut audit) = (Arc::new(Book::default()), Audit::new(bed));
    let since = Instant::now();
    let daemon = bed.site.serve();
    let first_start = since.elapsed();
    let ca_key = callers::ca_key(bed, &daemon).await;
    daemon.kill();

    let (since, mut starts) = (Instant::now(), Vec::new());
    let mut at_starts = 0;
    while starts.len() < kills {
        match moments.next() {
            Moment::Start(permille) => {
                bed.start_and_kill(None, first_start * permille / 1000);
                at_starts += 1;
            }
            Moment::Proof(after) => {
                bed.start_and_kill(Some("the token is ready"), after);
                at_starts += 1;
            }
            Moment::Load(after) => {
                let before = Instant::now();
                let daemon = bed.site.serve();
                starts.push(Start::of(&daemon, before.elapsed()));
                let load = Load::start(bed, &daemon, &ca_key, &book, &mut moments);
                tokio::time::sleep(after).await;
                daemon.kill();
                load.ended().await;
            }
        }
        audit.look_at_checkpoint();
    }
    let took = since.elapsed().as_secs_f64();
    println!("{kills} kills under load and {at_starts} at starts in {took:.0} s: {}", book.summary());
    // As the last kill left it: no signer has put anything in order since.
    bed.verify();

    let daemon = bed.site.serve();
    Load::start(bed, &daemon, &ca_key, &book, &mut moments).until_nothing_is_open(&book).await;
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    bed.verify();
    audit.whole(&book, &ca_key);
    judge(&starts);
}

fn kills() -> usize {
    std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().expect("a number of kills"))
}

impl Start {
    /// Of a daemon that listens since just now, and its token process, with those that they waited for.
    fn of(daemon: &Daemon, clock: Duration) -> Self {
        let processes: Vec<_> = daemon.token_processes().into_iter().chain([daemon.pid()]).collect();
        let sum = |of: fn(Pid) -> Duration| processes.iter().map(|process| of(*process)).sum();
        Self { clock, work: sum(used), queued: sum(queued) }
    }

    /// How long it would have taken on a machine that has nothing else to do, or less: what threads waited for at once is taken off twice.
    fn alone(&self) -> Duration {
        self.clock.saturating_sub(self.queued)
    }
}

/// Fields 14 to 17 of its stat, in hundredths of a second.
fn used(process: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(4).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The second field of each thread's schedstat, in nanoseconds.
fn queued(process: Pid) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    let queued = threads.filter_map(|thread| {
        // It may have ended meanwhile.
        let stat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).ok()?;
        stat.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(queued.sum())
}

fn judge(starts: &[Start]) {
    let at = |starts: &[Start], of: fn(&Start) -> Duration, percent: usize| {
        let mut took: Vec<_> = starts.iter().map(of).collect();
        took.sort_unstable();
        took[(took.len() - 1) * percent / 100]
    };
    let line =
        |of| [0, 10, 50, 90, 100].map(|percent| format!("{percent} % {:.1?}", at(starts, of, percent)));
    println!("{} starts until it listened: {}", starts.len(), line(|start| start.clock).join(", "));
    println!("but for when no processor was free: {}", line(Start::alone).join(", "));
    println!("what they used of a processor until then: {}", line(|start| start.work).join(", "));
    let most = at(starts, |start| start.work, 100);
    assert!(most < WORK, "a start used {most:?} of a processor, and not less than {WORK:?}");
    let later = &starts[starts.len() / 2..];
    let (soon, last) = (at(later, Start::alone, 90), at(later, |start| start.clock, 100));
    assert!(soon < RESTART, "nine tenths of the later starts waited for up to {soon:?}, and not {RESTART:?}");
    // Whatever a busy machine does to one.
    assert!(last < PATIENCE, "a start took {last:?}, and not {PATIENCE:?}");
}
