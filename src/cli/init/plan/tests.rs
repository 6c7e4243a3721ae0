#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{chown, symlink};

use rustix::process::geteuid;

use super::*;

#[test]
fn only_an_empty_directory_of_ones_own_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name);
    let taken = |name: &str| vacant(path(name).to_str().unwrap());
    fs::create_dir(path("empty")).unwrap();
    for name in ["empty", "new"] {
        assert_eq!(taken(name).unwrap(), path(name));
    }
    symlink(path("empty"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling")).unwrap();
    fs::write(path("file"), "").unwrap();
    for (name, says) in [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("file", "it is no directory"),
        (".", "is not empty"),
    ] {
        let error = taken(name).unwrap_err();
        assert!(error.contains(says), "{name}: {error}");
    }
    // Only root gives one away; anybody else has one that is root's.
    let others = if geteuid().is_root() {
        chown(path("empty"), Some(1), None).unwrap();
        path("empty")
    } else {
        PathBuf::from("/usr")
    };
    let error = vacant(others.to_str().unwrap()).unwrap_err();
    assert!(error.contains("it belongs to user"), "{error}");
}
