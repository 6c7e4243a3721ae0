#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::process::{getppid, test_kill_process};

use super::*;

/// What happens in a thread that is held to `limits`; the other tests' threads are not.
fn when_held<T: Send + 'static>(limits: Limits, probe: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let held = isolate(&limits).unwrap();
        assert!(!matches!(held, Held::Not(_)), "{held:?}: this test needs Linux 6.7");
        probe()
    });
    thread.join().unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn writes_only_where_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    for dir in [&ours, &theirs] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("old"), "old").unwrap();
    }
    let limits = Limits { writable: vec![ours.clone()], ..Limits::default() };
    let (mine, others) = (ours.clone(), theirs.clone());
    when_held(limits, move || {
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        let denied = Err(ErrorKind::PermissionDenied);
        assert_eq!(kind(fs::write(others.join("new"), "new")), denied);
        assert_eq!(kind(fs::write(others.join("old"), "new")), denied);
        assert_eq!(kind(fs::remove_file(others.join("old"))), denied);
        assert!(fs::rename(mine.join("old"), others.join("new")).is_err());
        assert_eq!(fs::read(others.join("old")).unwrap(), b"old");
        assert_eq!(kind(fs::write(mine.join("new"), "new")), Ok(()));
        assert_eq!(kind(fs::write("/dev/null", "new")), Ok(()));
    });
    assert_eq!(fs::read(ours.join("new")).unwrap(), b"new");
    assert!(!theirs.join("new").exists());
}

#[test]
fn reaches_no_network_unless_it_is_a_network_hsm() {
    let (_listening, address) = listener();
    let connect = move || TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    let bind = || TcpListener::bind("127.0.0.1:0").map(drop).map_err(|error| error.kind());
    let denied = Err(ErrorKind::PermissionDenied);
    assert_eq!(when_held(Limits::default(), move || (connect(), bind())), (denied, denied));
    let limits = Limits { network: Network::Allowed, ..Limits::default() };
    assert_eq!(when_held(limits, move || (connect(), bind())), (Ok(()), Ok(())));
}

#[test]
fn has_no_capabilities_and_signals_nobody_outside() {
    when_held(Limits::default(), || {
        let left = rustix::thread::capabilities(None).unwrap();
        assert!((left.effective | left.permitted | left.inheritable).is_empty(), "{left:?}");
        let parent = getppid().unwrap();
        assert_eq!(test_kill_process(parent), Err(rustix::io::Errno::PERM));
    });
}

#[test]
fn a_path_that_is_not_there_is_a_fault_that_names_it() {
    let limits = Limits { writable: vec!["/nonexistent/tokens".into()], ..Limits::default() };
    let error = std::thread::spawn(move || isolate(&limits)).join().unwrap().unwrap_err().to_string();
    assert!(error.contains("/nonexistent/tokens") && error.contains("make it"), "{error}");
}

#[test]
fn a_kernel_that_holds_less_is_put_up_with_unless_the_limits_say_no() {
    let partly = || Held::Partly("signals to other processes".to_owned());
    for held in [Held::Fully, partly(), Held::Not("this kernel has no Landlock".to_owned())] {
        assert!(admit(&held, Weaker::Told).is_ok(), "{held:?}");
        assert_eq!(admit(&held, Weaker::Refused).is_ok(), held == Held::Fully, "{held:?}");
    }
    let error = admit(&partly(), Weaker::Refused).unwrap_err().to_string();
    assert!(error.contains("cannot hold back signals") && error.contains("`require_isolation`"), "{error}");
}

/// Whoever asks goes on as before.
#[test]
fn a_probe_holds_nobody_but_itself() {
    let dir = tempfile::tempdir().unwrap();
    let held = probe().unwrap();
    fs::write(dir.path().join("after"), "written").unwrap();
    let limits = Limits { weaker: Weaker::Refused, ..Limits::default() };
    let is_held = std::thread::spawn(move || isolate(&limits).is_ok()).join().unwrap();
    assert_eq!(is_held, held == Held::Fully, "what it says is what a token process meets");
}
