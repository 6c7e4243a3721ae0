//! A real pcscd with two virtual readers, for one test: in namespaces of its own, so that any number runs side by side.
//!
//! Clients find it through `PCSCLITE_CSOCK_NAME`. vpcd would listen on every interface of the machine; here it listens on
//! those of a network namespace that has loopback only. That, and the bind mount below, takes root.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::Reader;

/// How long pcscd may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

const PORT: u16 = 0x9000;
/// What the readers are called but for their number: clients of YubiKeys look for this.
pub const READER: &str = "Yubico YubiKey OTP+FIDO+CCID";

/// The daemon has no option for its socket's directory: in its own view of the file system, that directory is another.
const START: &str = "ip link set lo up && mount -t tmpfs none /run && mkdir /run/pcscd && \
                     mount --bind \"$1/run\" /run/pcscd && exec pcscd --foreground --info --config \"$1/readers\"";

/// A running pcscd. Dropped, it is killed.
pub struct Pcscd {
    dir: PathBuf,
    child: Option<Child>,
}

impl Pcscd {
    /// Starts one whose files are in `dir`, which nothing else uses.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(dir: &Path) -> io::Result<Self> {
        for part in ["run", "readers"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let driver = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
        let readers = format!(
            "FRIENDLYNAME \"{READER}\"\nDEVICENAME /dev/null:{PORT:#x}\nLIBPATH {driver}\nCHANNELID {PORT:#x}\n"
        );
        fs::write(dir.join("readers/vpcd"), readers)?;
        let mut pcscd = Self { dir: dir.to_owned(), child: None };
        pcscd.restart()?;
        Ok(pcscd)
    }

    /// Kills it if it runs, and starts it again. Its cards are out then.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        for left in fs::read_dir(self.dir.join("run"))? {
            fs::remove_file(left?.path())?;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-c", START, "sh"]).arg(&self.dir);
        let log = fs::File::create(self.dir.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = self.child.insert(command.spawn()?);
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(self.dir.join("run/pcscd.comm")).is_err() {
            if child.try_wait()?.is_some() || Instant::now() >= end {
                let said = fs::read_to_string(self.dir.join("log"))?;
                return Err(io::Error::other(format!("pcscd does not come up (it takes root): {said}")));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Kills it: no goodbye to anybody.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be gone by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What a client must have in its environment to find it.
    #[must_use]
    pub fn environment(&self) -> (String, String) {
        ("PCSCLITE_CSOCK_NAME".to_owned(), self.dir.join("run/pcscd.comm").display().to_string())
    }

    /// The first of its readers, `… 00 00` by name.
    #[must_use]
    pub fn first(&self) -> Reader {
        self.reader(PORT, "00")
    }

    /// The second, `… 00 01`.
    #[must_use]
    pub fn second(&self) -> Reader {
        self.reader(PORT + 1, "01")
    }

    fn reader(&self, port: u16, number: &str) -> Reader {
        let network = self.child.as_ref().map(|child| format!("/proc/{}/ns/net", child.id()).into());
        let log = Some((format!("{READER} 00 {number}"), self.dir.join("log")));
        Reader { port, network, log }
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        self.kill();
    }
}
