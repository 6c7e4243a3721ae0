//! What other processes show of themselves: arguments, environment, limits, memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::canary::Hunt;
use crate::site::{Daemon, Site};

/// How much memory is read at once, and how much of that again with the next: more than any form has.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 256;

fn proc(pid: Pid, name: &str) -> String {
    format!("/proc/{}/{name}", pid.as_raw_nonzero())
}

/// Where something was found in a process's memory.
#[derive(Debug)]
pub struct Place {
    /// Whether the kernel keeps it out of the swap.
    pub is_locked: bool,
    #[expect(dead_code, reason = "for whoever reads why a test failed")]
    what: String,
    #[expect(dead_code, reason = "the line of its mapping, for the same reader")]
    mapping: String,
}

/// What everybody may see of a process has no PIN, and it leaves no core. Of one that is gone there is nothing to see.
pub fn shows_nothing(hunt: &Hunt, pid: Pid) {
    for name in ["cmdline", "environ", "comm"] {
        // A token process may have been replaced since its number was asked for.
        let Ok(shown) = fs::read(proc(pid, name)) else { return };
        assert_eq!(hunt.find(&shown), None, "{name} of {pid:?}: {}", String::from_utf8_lossy(&shown));
    }
    let Ok(limits) = fs::read_to_string(proc(pid, "limits")) else { return };
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"], "{pid:?} may leave a core");
}

/// Where in a process's memory a PIN is. `None` if this user may not read it.
pub fn memory(hunt: &Hunt, pid: Pid) -> Option<Vec<Place>> {
    search(pid, |bytes| hunt.find_all(bytes).map(|(what, at)| (what.to_owned(), at)).collect())
}

/// The same, of what `find` finds in each piece of it.
fn search(pid: Pid, find: impl Fn(&[u8]) -> Vec<(String, usize)>) -> Option<Vec<Place>> {
    if !rustix::process::geteuid().is_root() {
        println!("the memory of {pid:?} is not searched: only root may");
        return None;
    }
    let memory = File::open(proc(pid, "mem")).expect("root may read it");
    let mut places = Vec::new();
    for mapping in fs::read_to_string(proc(pid, "maps")).unwrap().lines() {
        let mut words = mapping.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with('r') {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (mut at, end) = (address(start), address(end));
        let mut bytes = vec![0; PIECE + OVERLAP];
        // What cannot be read is the kernel's own ([vvar]), or gone.
        while let Ok(read @ 1..) = memory.read_at(&mut bytes, at) {
            let piece = &bytes[..read.min(usize::try_from(end - at).unwrap())];
            for (what, offset) in find(piece) {
                let place = at + u64::try_from(offset).unwrap();
                places.push(Place { what, is_locked: is_locked(pid, place), mapping: mapping.to_owned() });
            }
            at += u64::try_from(PIECE).unwrap();
            if at >= end {
                break;
            }
        }
    }
    Some(places)
}

fn address(hexadecimal: &str) -> u64 {
    u64::from_str_radix(hexadecimal, 16).unwrap()
}

/// By the flag of its mapping in `smaps`.
fn is_locked(pid: Pid, at: u64) -> bool {
    let mut is_it = false;
    for line in fs::read_to_string(proc(pid, "smaps")).unwrap().lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            is_it = (address(start)..address(end)).contains(&at);
        } else if is_it && first == "VmFlags:" {
            return line.split_whitespace().any(|flag| flag == "lo");
        }
    }
    false
}

/// The daemon's memory, and what it and its token processes show, have no PIN.
pub fn daemon_knows_nothing(hunt: &Hunt, daemon: &Daemon) {
    let pids = [vec![daemon.pid()], daemon.token_processes()].concat();
    for pid in &pids {
        shows_nothing(hunt, *pid);
    }
    if let Some(places) = memory(hunt, pids[0]) {
        assert!(places.is_empty(), "the daemon's memory: {places:#?}");
        let name = |bytes: &[u8]| {
            let found = memchr::memmem::find_iter(bytes, b"test.countersign.example/ledger");
            found.map(|at| (String::new(), at)).collect()
        };
        assert!(!search(pids[0], name).unwrap().is_empty(), "what is in its memory is found");
    }
}

/// Says so if a process that dies in this site's directory leaves no core there anyway.
pub fn try_to_leave_a_core(site: &Site) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && exec sleep 60"]).current_dir(site.dir());
    let mut sleeper = command.spawn().unwrap();
    let pid = Pid::from_child(&sleeper);
    while fs::read_to_string(proc(pid, "comm")).unwrap().trim() != "sleep" {
        std::thread::yield_now();
    }
    kill_process(pid, Signal::SEGV).unwrap();
    sleeper.wait().unwrap();
    let left = cores(site);
    for core in &left {
        fs::remove_file(core).unwrap();
    }
    if left.is_empty() {
        println!(
            "this machine leaves no core files in the directory of a process: only its limit is looked at"
        );
    }
}

/// The core files in this site's directory.
pub fn cores(site: &Site) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(site.dir()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("core")).collect()
}
