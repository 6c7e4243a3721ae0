//! A server's socket with somebody in between, who cuts connections at the worst moment.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use crate::{Database, Server};

/// When the connection is cut that sends a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// The server never sees the commit.
    Before,
    /// The server has committed, and its answer is lost.
    After,
}

/// Passes on what clients and the server say.
#[derive(Debug)]
pub struct Proxy {
    directory: PathBuf,
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: Mutex<Option<Cut>>,
    /// How often a client said something.
    said: AtomicU64,
}

impl Proxy {
    /// In front of `server`.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        let directory = PathBuf::from(format!("{}-proxy-{}", server.directory().display(), crate::next()));
        fs::create_dir(&directory).unwrap();
        let name = format!(".s.PGSQL.{}", server.port());
        let (listener, target) =
            (UnixListener::bind(directory.join(&name)).unwrap(), server.directory().join(&name));
        let state = Arc::<State>::default();
        let (port, shared) = (server.port(), Arc::clone(&state));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&target)) else { continue };
                pass(client, server, &shared);
            }
        });
        Self { directory, port, state }
    }

    /// The same database, through this.
    #[must_use]
    pub fn database(&self, database: &Database) -> Database {
        Database { directory: self.directory.clone(), port: self.port, name: database.name.clone() }
    }

    /// Cuts the next connection that commits.
    pub fn cut(&self, cut: Cut) {
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// How often clients have said something, so far.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.state.said.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn pass(client: UnixStream, server: UnixStream, state: &Arc<State>) {
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    let swallow = Arc::new(AtomicBool::new(false));
    let (state, swallows) = (Arc::clone(state), Arc::clone(&swallow));
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(len @ 1..) = from_client.read(&mut buffer) {
            let said = buffer.get(..len).unwrap();
            state.said.fetch_add(1, Ordering::SeqCst);
            // To its end: what begins a transaction says READ COMMITTED.
            let commits = said.windows(7).any(|window| window == b"COMMIT\0");
            let cut = if commits { state.cut.lock().unwrap().take() } else { None };
            swallows.fetch_or(cut == Some(Cut::After), Ordering::SeqCst);
            if cut == Some(Cut::Before) || to_server.write_all(said).is_err() {
                break;
            }
        }
        let _ = (from_client.shutdown(Shutdown::Both), to_server.shutdown(Shutdown::Both));
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(len @ 1..) = from_server.read(&mut buffer) {
            if swallow.load(Ordering::SeqCst) || to_client.write_all(buffer.get(..len).unwrap()).is_err() {
                break;
            }
        }
        let _ = (from_server.shutdown(Shutdown::Both), to_client.shutdown(Shutdown::Both));
    });
}
