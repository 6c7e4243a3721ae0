//! A token process that SIGKILL does not end, as one whose call into the kernel never returns.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use super::*;

/// Traces a process, and never looks at it: its end, too, waits for the tracer.
const HOLD: &str = "
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
assert libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), 0, 0) == 0, ctypes.get_errno()
print('held', flush=True)
sys.stdin.read()
";

/// How long anything may take that does not wait for the process, on a machine that is busy.
const BOUND: Duration = Duration::from_secs(20);

struct Hold(Child);

impl Hold {
    fn on(process: Pid) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", HOLD, &process.as_raw_nonzero().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A token whose only process hangs, and cannot be killed.
async fn held() -> (Fixture, Tokens, Hold) {
    let mut fixture = Fixture::with_key();
    fixture.config.deadline = Duration::from_millis(300);
    let (tokens, _) = fixture.start().await.unwrap();
    let process = fixture.processes()[0];
    // Before it is traced: a tracer that never looks would have the signal stop one thread alone.
    signal(process, Signal::STOP);
    let hold = Hold::on(process);
    (fixture, tokens, hold)
}

#[tokio::test]
async fn one_that_cannot_be_killed_is_given_up_and_replaced_once_it_is_gone() {
    let (fixture, tokens, hold) = held().await;
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    assert!(matches!(sign(&tokens, "ca", P256).await, Err(TokenError::TimedOut { .. })));
    let since = Instant::now();
    reaches(&mut health, |health| health == Health::Down).await;
    assert!(matches!(sign(&tokens, "ca", P256).await, Err(TokenError::Unavailable { .. })));
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    // Longer than any back-off.
    let other = health.wait_for(|health| *health != Health::Down);
    assert!(tokio::time::timeout(Duration::from_secs(3), other).await.is_err());
    assert_eq!(fixture.processes().len(), 1, "it may still be at the token");
    drop(hold);
    reaches(&mut health, |health| health == Health::Ready).await;
    assert!(sign(&tokens, "ca", P256).await.is_ok());
    assert_eq!(fixture.processes().len(), 2);
    tokens.shutdown().await;
}

#[tokio::test]
async fn one_that_cannot_be_killed_keeps_nobody_from_stopping() {
    for is_noticed in [false, true] {
        let (_fixture, tokens, _hold) = held().await;
        if is_noticed {
            let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
            assert!(sign(&tokens, "ca", P256).await.is_err());
            reaches(&mut health, |health| health == Health::Down).await;
        }
        assert!(tokio::time::timeout(BOUND, tokens.shutdown()).await.is_ok(), "noticed: {is_noticed}");
    }
}
