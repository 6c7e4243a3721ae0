//! HSMs that are processes: they can be killed and started again, with what they keep.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::site::{PATIENCE, text};

/// One HSM's processes.
pub struct Hsm {
    dir: PathBuf,
    how: How,
    running: Vec<Child>,
}

#[derive(Clone, Copy)]
enum How {
    /// With this module behind it.
    P11Kit(&'static str),
    /// On this port of loopback, and the next one for its control channel; behind a resource manager, on a bus of its own,
    /// which takes back what a client that died had loaded.
    Swtpm(u16),
}

impl Hsm {
    /// A `p11-kit server` on a socket in `dir`, with the SoftHSM2 there.
    pub fn p11_kit(dir: &Path, module: &'static str) -> Self {
        Self { dir: dir.to_owned(), how: How::P11Kit(module), running: Vec::new() }.started()
    }

    /// A new TPM whose state is in `dir`.
    pub fn swtpm(dir: &Path) -> Self {
        let state = dir.join("tpm");
        std::fs::create_dir(&state).unwrap();
        let made = Command::new("swtpm_setup").args(["--tpm2", "--tpmstate"]).arg(&state).output().unwrap();
        assert!(made.status.success(), "{}{}", text(&made.stdout), text(&made.stderr));
        Self { dir: dir.to_owned(), how: How::Swtpm(two_free_ports()), running: Vec::new() }.started()
    }

    fn started(mut self) -> Self {
        self.start();
        self
    }

    /// What a module needs in its environment to find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let dir = self.dir.display();
        let variables = match self.how {
            How::P11Kit(_) => vec![("P11_KIT_SERVER_ADDRESS", format!("unix:path={dir}/hsm.sock"))],
            How::Swtpm(_) => vec![
                ("TPM2_PKCS11_TCTI", TCTI.to_owned()),
                ("DBUS_SESSION_BUS_ADDRESS", bus(&self.dir)),
                ("TPM2_PKCS11_STORE", format!("{dir}/tokens")),
                ("TSS2_LOG", "all+none".to_owned()),
            ],
        };
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Starts it, and waits until it can be reached.
    pub fn start(&mut self) {
        assert!(self.running.is_empty(), "it runs already");
        self.running = match self.how {
            How::P11Kit(module) => vec![start_p11_kit(&self.dir, module)],
            How::Swtpm(port) => {
                vec![start_bus(&self.dir), start_swtpm(&self.dir, port), start_manager(&self.dir, port)]
            }
        };
    }

    /// Kills it with all its children: no goodbye to anybody.
    pub fn kill(&mut self) {
        for mut child in self.running.drain(..) {
            for pid in descendants(Pid::from_child(&child)) {
                // A child of it may be gone by now.
                let _ = kill_process(pid, Signal::KILL);
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How many wrong authorisations the TPM has counted.
    pub fn lockout_counter(&self) -> u32 {
        let output = getcap(&self.dir, "properties-variable");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let properties = text(&output.stdout);
        let line = properties.lines().find_map(|line| line.strip_prefix("TPM2_PT_LOCKOUT_COUNTER: 0x"));
        u32::from_str_radix(line.unwrap().trim(), 16).unwrap()
    }
}

impl Drop for Hsm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How the TPM's clients find it: through its resource manager.
const TCTI: &str = "tabrmd:bus_type=session";

fn bus(dir: &Path) -> String {
    format!("unix:path={}/bus", dir.display())
}

fn getcap(dir: &Path, what: &str) -> Output {
    Command::new("tpm2_getcap")
        .args(["--tcti", TCTI, what])
        .env("DBUS_SESSION_BUS_ADDRESS", bus(dir))
        .output()
        .unwrap()
}

fn start_p11_kit(dir: &Path, module: &str) -> Child {
    let socket = dir.join("hsm.sock");
    // One that was killed leaves its socket behind.
    let _ = std::fs::remove_file(&socket);
    let mut child = Command::new("p11-kit")
        .args(["server", "--foreground", "--sh", "--provider", module, "--name"])
        .args([socket.to_str().unwrap(), "pkcs11:"])
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .env("XDG_RUNTIME_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("P11_KIT_SERVER_PID")), "p11-kit server did not start");
    child
}

fn start_swtpm(dir: &Path, port: u16) -> Child {
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
        .arg(format!("dir={}", dir.join("tpm").display()))
        .args(["--server", &format!("type=tcp,port={port}")])
        .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its command port takes one connection, which is the resource manager's; its control port gives this one up.
    until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port + 1)).is_ok());
    child
}

/// A D-Bus that everybody who may open its socket may use.
fn start_bus(dir: &Path) -> Child {
    let config = format!(
        "<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>",
        bus(dir)
    );
    std::fs::write(dir.join("bus.conf"), config).unwrap();
    // One that was killed leaves its socket behind.
    let _ = std::fs::remove_file(dir.join("bus"));
    let mut child = Command::new("dbus-daemon")
        .args(["--nofork", "--print-address", "--config-file"])
        .arg(dir.join("bus.conf"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.next().is_some(), "dbus-daemon did not start");
    child
}

fn start_manager(dir: &Path, port: u16) -> Child {
    let child = Command::new("tpm2-abrmd")
        .args(["--session", "--allow-root", &format!("--tcti=swtpm:host=127.0.0.1,port={port}")])
        .env("DBUS_SESSION_BUS_ADDRESS", bus(dir))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| getcap(dir, "properties-fixed").status.success());
    child
}

/// These say nothing when they are ready.
fn until(ready: impl Fn() -> bool) {
    let since = Instant::now();
    while !ready() {
        assert!(since.elapsed() < PATIENCE, "the HSM does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two ports, one after the other, that were free a moment ago.
fn two_free_ports() -> u16 {
    let pair = || {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok()?;
        Some(port)
    };
    (0..100).find_map(|_| pair()).expect("two free ports side by side")
}

fn descendants(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}
