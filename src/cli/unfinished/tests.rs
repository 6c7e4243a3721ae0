#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn replaces_a_certificate_in_one_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("id-cert.pub");
    drop(Unfinished::beside(&path).unwrap());
    assert!(!path.exists(), "what was not signed is not written");
    Unfinished::beside(&path).unwrap().finish(b"one\n").unwrap();
    Unfinished::beside(&path).unwrap().finish(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn takes_the_place_of_regular_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, directory.path().join("link")).unwrap();
    for taken in [socket, directory.path().join("link"), directory.path().to_owned()] {
        // Only who can write to standard output is told that it is there.
        let error = Unfinished::beside(&taken).err().unwrap().to_string();
        assert!(error.contains("no regular file") && !error.contains('`'), "{error}");
        let error = Unfinished::unless_stdout(&taken).err().unwrap().to_string();
        assert!(error.contains("no regular file") && error.contains("`-` writes"), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
