//! The SoftHSM2 kit: its page to the letter, several at once, and what its scripts refuse.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::site::text;

const PAGE: &str = include_str!("../../softhsm/README.md");
const KIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/softhsm");

/// The shell blocks of the page, in order.
fn blocks() -> String {
    PAGE.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect()
}

fn bash(directory: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(directory).env("KIT", KIT).env("TMPDIR", directory);
    command.env_remove("SOFTHSM2_CONF");
    command
}

fn kit(directory: &Path, script: &str, args: &[&str]) -> Output {
    Command::new(format!("{KIT}/{script}")).args(args).current_dir(directory).output().unwrap()
}

/// No place of a command is left.
fn is_clean(directory: &Path) -> bool {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.into_iter().all(|name| !name.to_string_lossy().starts_with("softhsm."))
}

#[test]
fn the_page_works_as_written_twice_at_once() {
    let script = blocks();
    assert_eq!(script.matches("$KIT/").count(), 4, "{script}");
    let run = || {
        let home = tempfile::Builder::new().prefix("a home ").tempdir().unwrap();
        let done = bash(home.path(), &script).output().unwrap();
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
        assert!(text(&done.stdout).contains("signer"), "{}", text(&done.stdout));
        assert!(!home.path().join("place").exists() && is_clean(home.path()));
    };
    thread::scope(|scope| {
        for job in [scope.spawn(run), scope.spawn(run)] {
            job.join().unwrap();
        }
    });
}

#[test]
fn create_keeps_the_tokens_that_are_there_and_takes_no_path_that_softhsm_does_not() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(kit(home.path(), "create", &[]).status.code(), Some(2));
    let made = kit(home.path(), "create", &["place"]);
    let conf = home.path().canonicalize().unwrap().join("place/softhsm2.conf");
    assert_eq!(text(&made.stdout).trim_end(), conf.display().to_string());
    std::fs::write(home.path().join("place/tokens/one"), "a token").unwrap();
    assert!(kit(home.path(), "create", &["place"]).status.success());
    assert!(home.path().join("place/tokens/one").exists());
    let refused = kit(home.path(), "create", &["place #2"]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("name another directory"),
        "{refused:?}"
    );
}

#[test]
fn destroy_takes_what_create_made_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let refused = |name: &str, why: &str| {
        let output = kit(home.path(), "destroy", &[name]);
        let said = text(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains(why) && said.contains("nothing deleted"),
            "{said}"
        );
    };
    assert_eq!(kit(home.path(), "destroy", &[]).status.code(), Some(2));
    refused("none", "no such directory");
    std::fs::create_dir_all(home.path().join("theirs/tokens")).unwrap();
    refused("theirs", "no softhsm2.conf with tokens/");
    std::fs::write(
        home.path().join("theirs/softhsm2.conf"),
        "directories.tokendir = /var/lib/softhsm/tokens\n",
    )
    .unwrap();
    refused("theirs", "names tokens elsewhere");
    assert!(home.path().join("theirs/tokens").exists());
    for (name, more) in [("-place", None), ("with more", Some("with more/log"))] {
        assert!(kit(home.path(), "create", &[&format!("./{name}")]).status.success());
        more.inspect(|file| std::fs::write(home.path().join(file), "kept").unwrap());
        let done = kit(home.path(), "destroy", &[name]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert_eq!(home.path().join(name).exists(), more.is_some(), "what else is there is kept");
    }
    assert!(home.path().join("with more/log").exists());
}

#[test]
fn run_ends_as_its_command_does_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let run = |script: &str| bash(home.path(), &format!("\"$KIT/run\" {script}")).output().unwrap();
    assert_eq!(bash(home.path(), "\"$KIT/run\"").output().unwrap().status.code(), Some(2));
    assert_eq!(run("sh -c 'exit 7'").status.code(), Some(7));
    assert_eq!(run("no-such-command").status.code(), Some(127));
    assert_eq!(text(&run("cat <<<input").stdout), "input\n");
    assert!(is_clean(home.path()));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        // The command says where it is, and then waits for its end. Whoever runs the tests may ignore SIGHUP, as nohup does.
        let mut command = bash(
            home.path(),
            "exec env --default-signal \"$KIT/run\" sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 60'",
        );
        let mut child = command.spawn().unwrap();
        while !home.path().join("pid").exists() {
            thread::yield_now();
        }
        let sleeper = std::fs::read_to_string(home.path().join("pid")).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{signal:?}: the command was ended by SIGTERM");
        assert!(!Path::new(&format!("/proc/{}", sleeper.trim())).exists());
        std::fs::remove_file(home.path().join("pid")).unwrap();
        assert!(is_clean(home.path()), "{signal:?}");
    }
}
