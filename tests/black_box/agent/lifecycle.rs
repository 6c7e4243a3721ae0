//! Starting, stopping, taking a socket over, and a signer that comes and goes.

use countersign_faulty::{Action, Call, On, Script};

use super::*;
use crate::faulty::Broken;
use crate::site::free_port;

const SIGN: [&str; 9] = ["-Us", "ca.pub", "-I", "x", "-n", "alice", "-V", "+5m", "-z"];

#[test]
fn it_finds_the_signer_again_and_reads_its_own_files_again() {
    let site = site("ed25519");
    let port = free_port();
    let config = std::fs::read_to_string(site.path("countersign.toml")).unwrap();
    site.configure(&config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let daemon = site.serve();
    for half in ["pem", "key"] {
        std::fs::copy(
            site.path(&format!("mtls/{FRONT_END}.{half}")),
            site.path(&format!("mtls/agent.{half}")),
        )
        .unwrap();
    }
    let mut agent = Agent::start(&site, &daemon, "agent");
    agent.ok("ssh-keygen", &[&SIGN[..], &["1", "id.pub"]].concat());

    daemon.stop();
    agent.refused("ssh-keygen", &[&SIGN[..], &["2", "id.pub"]].concat());
    agent.log.wait_for("cannot list the signer's keys: cannot connect to");
    let daemon = site.serve();
    agent.ok("ssh-keygen", &[&SIGN[..], &["3", "id.pub"]].concat());
    daemon.kill();
    let daemon = site.serve();
    agent.ok("ssh-keygen", &[&SIGN[..], &["4", "id.pub"]].concat());

    // A new connection, and a new certificate with it.
    for half in ["pem", "key"] {
        std::fs::copy(
            site.path(&format!("mtls/{STRANGER}.{half}")),
            site.path(&format!("mtls/agent.{half}")),
        )
        .unwrap();
    }
    daemon.stop();
    agent.refused("ssh-add", &["-l"]);
    let _daemon = site.serve();
    assert_eq!(text(&agent.output("ssh-add", &["-l"]).stdout), "The agent has no identities.\n");
}

#[test]
fn it_waits_for_a_signer_that_is_not_there_yet_and_speaks_to_its_unix_socket() {
    let site = site("ed25519");
    let socket = site.path("agent.sock");
    let mut command = site.command(&["agent", "--server", "unix:signer.sock", "--listen"]);
    let mut agent = Agent::run(command.arg(&socket), socket);
    agent.refused("ssh-add", &["-l"]);
    agent.log.wait_for("cannot list the signer's keys: cannot connect to signer.sock");
    let _daemon = site.serve();
    agent.ok("ssh-keygen", &[&SIGN[..], &["1", "id.pub"]].concat());
    let by = format!("uid:{}", getuid().as_raw());
    let asked = site.entries().into_iter().find_map(|entry| match entry {
        Entry::Intent { asked, .. } => Some(asked.caller),
        _ => None,
    });
    assert_eq!(text(&asked.unwrap()), by);
}

#[test]
fn sigterm_and_sigint_stop_it_and_remove_its_socket() {
    let site = site("ed25519");
    let daemon = site.serve();
    for signal in [Signal::TERM, Signal::INT] {
        let mut agent = Agent::start(&site, &daemon, FRONT_END);
        let mode = std::fs::metadata(&agent.socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // An idle client does not hold it up.
        let _idle = UnixStream::connect(&agent.socket).unwrap();
        agent.ok("ssh-add", &["-l"]);
        let begun = std::time::Instant::now();
        agent.signal(signal);
        assert!(agent.child.wait().unwrap().success());
        assert!(begun.elapsed().as_secs() < 5, "it is to stop at once, not after its grace");
        assert!(!agent.socket.exists());
        agent.log.wait_for("stopped");
    }
}

#[test]
fn what_is_being_signed_when_it_is_to_stop_is_still_answered() {
    let Broken { site, control } = Broken::new();
    let daemon = site.serve();
    write_ca(&site, "user-ca", "ca.pub");
    ssh_keygen(&site.path("id"), &["-t", "ed25519"]);
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let args =
        ["-Us", "ca.pub", "-I", "x", "-n", "alice", "-V", "-10s:+5m", "-z", "1", "-O", "clear", "id.pub"];
    let client = agent.client("ssh-keygen", &args).stderr(Stdio::piped()).spawn().unwrap();
    assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
    agent.signal(Signal::TERM);
    agent.log.wait_for("SIGTERM: stopping");
    control.clear().unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(agent.child.wait().unwrap().success());
    assert!(site.path("id-cert.pub").exists());
}

#[test]
fn it_takes_the_socket_of_a_dead_agent_and_not_that_of_a_live_one() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut dead = Agent::start(&site, &daemon, FRONT_END);
    dead.signal(Signal::KILL);
    dead.child.wait().unwrap();
    assert!(dead.socket.exists());
    let live = Agent::start(&site, &daemon, FRONT_END);
    let second =
        site.client_command(&daemon, FRONT_END, &["agent", "--listen", "agent.sock"]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = text(&second.stderr);
    assert!(said.contains("cannot listen on agent.sock: another server listens there"), "{said}");
    let mut on_a_file = site.client_command(&daemon, FRONT_END, &["agent", "--listen", "ca.pub"]);
    assert_eq!(on_a_file.output().unwrap().status.code(), Some(2));
    assert!(site.path("ca.pub").is_file());
    assert!(live.ok("ssh-add", &["-l"]).contains("user-ca"));
}

#[test]
fn wrong_files_and_arguments_keep_it_from_starting() {
    let site = site("ed25519");
    let daemon = site.serve();
    let socket = ["--listen", "agent.sock"];
    for (args, wrong, wanted) in [
        (&[][..], FRONT_END, "--listen"),
        (&["--socket-activation"], FRONT_END, "0 sockets were handed over"),
        (&[&socket[..], &["--socket-activation"]].concat(), FRONT_END, "cannot be used with"),
        (&socket, "no-such", "cannot read"),
    ] {
        let mut command = site.client_command(&daemon, wrong, &[&["agent"], args].concat());
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    assert!(!site.path("agent.sock").exists());
}

/// Hands a listening socket over as systemd does, and becomes the command.
const ACTIVATE: &str = "
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn it_serves_the_socket_that_systemd_hands_over_and_leaves_it_there() {
    let site = site("ed25519");
    let daemon = site.serve();
    let socket = site.path("systemd.sock");
    let plain = site.client_command(&daemon, FRONT_END, &[]);
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE]).arg(&socket).arg(env!("CARGO_BIN_EXE_countersign"));
    command.args(["agent", "--socket-activation"]).current_dir(site.dir());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut agent = Agent::run(&mut command, socket);
    agent.ok("ssh-keygen", &[&SIGN[..], &["1", "id.pub"]].concat());
    agent.signal(Signal::TERM);
    assert!(agent.child.wait().unwrap().success());
    assert!(agent.socket.exists());
}

/// Only root can become somebody else: without it this shows nothing, and the unit test of `is_served` has to do.
#[test]
fn another_user_is_not_served_even_if_the_modes_let_it_connect() {
    if !getuid().is_root() {
        return;
    }
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let open =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(site.dir(), 0o755);
    open(&agent.socket, 0o666);
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "ssh-add", "-l"];
    agent.refused("setpriv", &nobody);
    agent.log.wait_for("uid:65534,pid:");
    assert!(agent.ok("ssh-add", &["-l"]).contains("user-ca"), "root is");
}
