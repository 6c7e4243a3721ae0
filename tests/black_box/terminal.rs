//! A command in a real terminal, with somebody who reads and types. `script` (util-linux) makes the terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use rustix::process::{Pid, Signal, kill_process};

use crate::site::{PATIENCE, Site, children, text};

pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    seen: String,
    /// How much of it somebody has read.
    read: usize,
}

impl Terminal {
    /// Starts `countersign` with the site's configuration. No argument needs quoting.
    pub fn start(site: &Site, args: &[&str]) -> Self {
        let line = format!("{} {}", env!("CARGO_BIN_EXE_countersign"), args.join(" "));
        // Whoever runs these tests in the background ignores ^C, and all that he starts would.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT", "script", "--quiet", "--flush", "--return"]);
        command.args(["--command", &line, "/dev/null"]);
        command.current_dir(site.dir()).env("COUNTERSIGN_CONFIG", site.path("countersign.toml"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, shown) = mpsc::channel();
        let mut screen = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take().unwrap();
        Self { child, keys, shown, seen: String::new(), read: 0 }
    }

    /// Waits for `prompt`, and types `line`.
    pub fn answer(&mut self, prompt: &str, line: &str) {
        self.wait_for(prompt);
        self.type_line(line);
    }

    /// Types `line`, when somebody has waited for its prompt.
    pub fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\r").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Closes the window: all that runs in it gets SIGHUP.
    pub fn close(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal to `countersign` alone, which a shell in the terminal has started.
    pub fn signal(&self, signal: Signal) {
        let mut process = Pid::from_child(&self.child);
        // The terminal, the shell, the command.
        for _ in 0..2 {
            let [child] = children(process)[..] else { panic!("one process runs in the terminal") };
            process = child;
        }
        kill_process(process, signal).unwrap();
    }

    /// Waits for `prompt`, and types ^C.
    pub fn interrupt(&mut self, prompt: &str) {
        self.wait_for(prompt);
        self.keys.write_all(b"\x03").unwrap();
        self.keys.flush().unwrap();
    }

    pub fn wait_for(&mut self, what: &str) {
        while !self.seen[self.read..].contains(what) {
            let Ok(bytes) = self.shown.recv_timeout(PATIENCE) else {
                panic!("no {what:?} on the screen:\n{}", self.seen)
            };
            self.seen.push_str(&text(&bytes));
        }
        self.read += self.seen[self.read..].find(what).unwrap() + what.len();
    }

    /// Waits for the end: whether it succeeded, and all that was on the screen.
    pub fn end(mut self) -> (bool, String) {
        loop {
            match self.shown.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&text(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("it does not end:\n{}", self.seen)
                }
            }
        }
        let status = self.child.wait().unwrap();
        (status.success(), self.seen.replace("\r\n", "\n"))
    }
}
