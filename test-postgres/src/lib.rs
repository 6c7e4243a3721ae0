//! A real PostgreSQL for tests: a server in a directory of its own, on a Unix socket there, durable as in production.
//!
//! In: what a test does to it. Out: connection strings, and what `psql` says. [`Server::shared`] is one for all tests of a
//! binary, with a [`Database`] for each; a test that stops its server has one of its own. Debian's packages bring the programs;
//! root, whom PostgreSQL refuses, runs them as `postgres`. Whatever becomes of the test's process, a shell that waits for its
//! end stops the server and removes the directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "for tests only")]
#![allow(clippy::missing_panics_doc, reason = "whatever is not as it should be ends the test")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

mod proxy;

pub use proxy::{Cut, Proxy};
use std::sync::atomic::{AtomicU32, Ordering};

/// A server. Dropped, it is stopped, and its data removed.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    port: u16,
    /// Stops the server and removes the directory, once this process is gone or this is dropped.
    janitor: Child,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// As by its service manager: sessions are ended, and all is written.
    Fast,
    /// As by a crash.
    Immediate,
}

/// A database of one test.
#[derive(Clone, Debug)]
pub struct Database {
    directory: PathBuf,
    port: u16,
    name: String,
}

/// A session that stays as it is until this is dropped.
#[derive(Debug)]
pub struct Held {
    psql: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Which of the databases of this process is the next.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// The one for all tests of this binary. None of them may stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// A new one, with these settings besides PostgreSQL's own.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::empty().begin(settings)
    }

    /// A new one, whose data is on a disk of its own that [`Server::fill`] fills.
    #[must_use]
    pub fn on_small_disk() -> Self {
        let server = Self::empty();
        run(as_user("mkdir").arg(server.data()));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=160m,mode=0700,uid=postgres,gid=postgres", "none"]);
        run(mount.arg(server.data()));
        server.begin(&[])
    }

    /// Makes its data, and starts it.
    fn begin(self, settings: &[(&str, &str)]) -> Self {
        let server = self;
        let data = server.data();
        let mut initdb = program("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
        run(initdb.arg("-D").arg(&data));
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nmax_connections = 200\n\
             shared_buffers = '32MB'\n",
            server.port,
            server.directory.display()
        );
        for (name, value) in settings {
            let _ = writeln!(lines, "{name} = '{value}'");
        }
        server.configure(&lines);
        server.run();
        server
    }

    /// A stand-by of this one, which streams from it, as `name`.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        let standby = Self::empty();
        let from = format!(
            "host={} port={} user=postgres application_name={name}",
            self.directory.display(),
            self.port
        );
        let mut copy = program("pg_basebackup");
        copy.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--dbname", &from]);
        run(copy.arg("-D").arg(standby.data()));
        let (port, sockets) = (standby.port, standby.directory.display());
        standby.configure(&format!("port = {port}\nunix_socket_directories = '{sockets}'\n"));
        standby.run();
        standby
    }

    fn empty() -> Self {
        let made = output(as_user("mktemp").args(["-d", "/tmp/test-postgres.XXXXXX"]));
        let directory = PathBuf::from(made.trim());
        let script = "cat >/dev/null; made=$1; shift; \"$@\" -D \"$made/data\" -m immediate -w stop >/dev/null 2>&1; \
                      umount \"$made/data\" 2>/dev/null; rm -rf \"$made\"";
        let pg_ctl = program("pg_ctl");
        let mut janitor = Command::new("sh");
        janitor.current_dir("/").args(["-c", script, "janitor"]).arg(&directory);
        janitor.arg(pg_ctl.get_program()).args(pg_ctl.get_args());
        let janitor = janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { port: free_port(), janitor: janitor.spawn().unwrap(), directory }
    }

    /// Adds lines to its configuration; what comes last counts, from the next start on.
    pub fn configure(&self, lines: &str) {
        append(&self.data().join("postgresql.conf"), lines);
    }

    /// Puts a line before those that say who may connect, from the next start on.
    pub fn admit(&self, line: &str) {
        let path = self.data().join("pg_hba.conf");
        let others = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{line}\n{others}")).unwrap();
    }

    /// Puts a file into its data, as its own.
    pub fn install(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        let mut tee = as_user("sh");
        tee.args(["-c", "umask 077; cat > \"$1\"", "install"]).arg(path).stdin(Stdio::piped());
        let mut tee = tee.spawn().unwrap();
        tee.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        assert!(tee.wait().unwrap().success());
    }

    /// Starts it, and returns once it can be asked.
    pub fn run(&self) {
        let log = self.directory.join("log");
        let mut start = program("pg_ctl");
        start.arg("-D").arg(self.data()).arg("-l").arg(&log).args(["-w", "-s", "start"]);
        let started =
            start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(started.success(), "{}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Stops it; returns once it has ended.
    pub fn stop(&self, stop: Stop) {
        let mode = match stop {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        run(program("pg_ctl").arg("-D").arg(self.data()).args(["-m", mode, "-w", "-s", "stop"]));
    }

    /// Has a stand-by get nothing more of what is written; returns once it does not.
    pub fn cut_off(&self) {
        let database = self.named("postgres");
        database.sql("ALTER SYSTEM SET primary_conninfo = ''");
        database.sql("SELECT pg_reload_conf()");
        while database.sql("SELECT count(*) FROM pg_stat_wal_receiver") != "0" {
            std::thread::yield_now();
        }
    }

    /// Makes a stand-by the server that is written; returns once it is.
    pub fn promote(&self) {
        run(program("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-s", "promote"]));
    }

    /// A new database.
    #[must_use]
    pub fn database(&self) -> Database {
        let name = format!("test_{}", next());
        self.named("postgres").sql(&format!("CREATE DATABASE {name}"));
        self.named(&name)
    }

    /// A database that there is.
    #[must_use]
    pub fn named(&self, name: &str) -> Database {
        Database { directory: self.directory.clone(), port: self.port, name: name.to_owned() }
    }

    /// The directory of its socket.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its port, on 127.0.0.1 and in the name of its socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leaves no room on its disk, a small one.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filling()).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Takes away what filled its disk.
    pub fn make_room(&self) {
        fs::remove_file(self.filling()).unwrap();
    }

    fn filling(&self) -> PathBuf {
        self.data().join("filling")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

impl Database {
    /// How a signer connects to it, as the role that owns it.
    #[must_use]
    pub fn connection(&self) -> String {
        self.connection_as("postgres")
    }

    /// How a signer connects to it, as `role`.
    #[must_use]
    pub fn connection_as(&self, role: &str) -> String {
        format!("host={} port={} dbname={} user={role}", self.directory.display(), self.port, self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `psql` says, as its owner.
    #[allow(clippy::must_use_candidate, reason = "most of it says nothing")]
    pub fn sql(&self, sql: &str) -> String {
        output(self.psql().args(["-c", sql])).trim().to_owned()
    }

    /// What `psql` says, as `role`.
    #[must_use]
    pub fn sql_as(&self, role: &str, sql: &str) -> String {
        output(self.psql().args(["-U", role, "-c", sql])).trim().to_owned()
    }

    /// What `psql` says that does not succeed.
    #[must_use]
    pub fn sql_error(&self, role: &str, sql: &str) -> String {
        let done = self.psql().args(["-U", role, "-c", sql]).output().unwrap();
        assert!(!done.status.success(), "{sql} succeeded");
        String::from_utf8(done.stderr).unwrap()
    }

    /// Has a session run `sql`, and stay as it is: with its locks and its transaction.
    #[must_use]
    pub fn hold(&self, sql: &str) -> Held {
        let mut psql = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (psql.stdin.take(), BufReader::new(psql.stdout.take().unwrap()));
        let mut held = Held { psql, input, output };
        held.sql(sql);
        held
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(bin("psql"));
        psql.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            &self.name,
            "-h",
        ]);
        psql.arg(&self.directory).args(["-p", &self.port.to_string()]);
        psql
    }
}

impl Held {
    /// Runs more in it, and returns once that is done.
    pub fn sql(&mut self, sql: &str) {
        let input = self.input.as_mut().unwrap();
        write!(input, "{sql};\n\\echo done\n").unwrap();
        input.flush().unwrap();
        let done = (&mut self.output).lines().map(Result::unwrap).any(|line| line == "done");
        assert!(done, "psql ended: {sql}");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.psql.wait();
    }
}

fn next() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A program of the newest version that is installed.
fn bin(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("ci/install installs PostgreSQL");
    let mut versions: Vec<u32> =
        versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    let newest = versions.last().expect("a version of PostgreSQL");
    Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin").join(name)
}

fn program(name: &str) -> Command {
    as_user(bin(name))
}

/// A command that root runs as `postgres`, and everybody else as themselves.
fn as_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = if output(Command::new("id").arg("-u")).trim() == "0" {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        setpriv
    } else {
        Command::new(program)
    };
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn run(command: &mut Command) {
    let _ = output(command);
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn append(path: &Path, lines: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
