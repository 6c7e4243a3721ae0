//! The README's first steps, to the letter.

use std::process::{Command, Stdio};

use crate::site::{Daemon, free_port, ssh_keygen, text};

const README: &str = include_str!("../../README.md");

/// The shell blocks under "First steps by hand", with another port.
fn steps(port: u16) -> Vec<String> {
    let (_, section) = README.split_once("## First steps by hand").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.map(|block| block.replace("8443", &port.to_string())).collect()
}

fn bash(home: &std::path::Path, script: &str) -> Command {
    let (bin, _) = env!("CARGO_BIN_EXE_countersign").rsplit_once('/').unwrap();
    let mut command = Command::new("bash");
    command.args(["-euc", script]).env("HOME", home).env("SRC", env!("CARGO_MANIFEST_DIR"));
    command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
    command
}

#[test]
fn the_first_steps_by_hand_work_as_written() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let steps = steps(port);
    let [before, after] = steps.as_slice() else { panic!("{steps:?}") };
    let example = "$SRC/countersign.example.toml >countersign.toml";
    assert!(before.contains(example) && before.ends_with("countersign serve\n"), "{before}");
    let before = before
        .replace(example, &format!("<(sed s/8443/{port}/ $SRC/countersign.example.toml) >countersign.toml"));
    let before = before.replace("countersign serve\n", "exec countersign serve\n");

    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    ssh_keygen(&home.path().join(".ssh/id_ed25519"), &["-t", "ed25519"]);
    let _daemon = Daemon::start(bash(home.path(), &before).stdout(Stdio::null()));
    let done = bash(home.path(), after).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(home.path().join(".ssh/id_ed25519-cert.pub").exists(), "{}", text(&done.stdout));
    assert!(text(&done.stdout).contains("signed"), "{}", text(&done.stdout));
}
