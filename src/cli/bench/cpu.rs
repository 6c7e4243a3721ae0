//! CPU time of the signer and its token processes, as Linux counts it in `/proc/PID/stat` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// User and system time that a process and its children have used until now.
#[derive(Clone, Copy)]
pub(super) struct CpuTime(Duration);

impl CpuTime {
    /// Of `pid` and its children.
    ///
    /// # Errors
    /// No such process on this machine.
    pub(super) fn of_tree(pid: u32) -> anyhow::Result<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let threads = threads.with_context(|| format!("no process {pid} on this machine"))?;
        let mut ticks = ticks(pid)?;
        for thread in threads {
            // A child is listed with the thread that started it.
            for child in fs::read_to_string(thread?.path().join("children"))?.split_whitespace() {
                ticks += self::ticks(child.parse()?)?;
            }
        }
        Ok(Self(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?))
    }

    /// What was used since `before`.
    pub(super) fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command in parentheses, which may hold anything; fields 14 and 15 are utime and stime.
    let (_, fields) = stat.rsplit_once(") ").context("an unreadable /proc/PID/stat")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(user + system),
        _ => anyhow::bail!("an unreadable /proc/PID/stat"),
    }
}
