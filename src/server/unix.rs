//! The Unix door: a socket for callers on this host, whom the kernel names by user id.
//!
//! In: a path. Out: connections whose peer credentials the kernel gave. The socket appears under its path in one step,
//! already with mode 0600: only the daemon's own user and root can connect. It goes when the server stops.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::connection::{self, Rejected};
use super::handshake::Source;
use crate::caller::Caller;

#[cfg(test)]
mod tests;

/// A path that is taken, and not listened on yet.
pub(crate) struct Bound {
    socket: UnixSocket,
    file: SocketFile,
}

/// Listens on a Unix socket.
pub(crate) struct Door {
    listener: UnixListener,
    _file: SocketFile,
}

/// The socket's name in the file system, while it is this server's.
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another server may have taken the path over.
    id: (u64, u64),
}

impl Bound {
    /// Takes `path`. What a dead server left there is replaced; anything else is left alone.
    ///
    /// # Errors
    /// Something else is there, somebody listens there, or the directory does not let us.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        vacant(path)?;
        // Made under another name: between bind(2) and chmod(2) a socket has whatever mode the umask leaves.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        // A process of the same id may have died in the middle of this; in a container that is always the same id.
        let _ = fs::remove_file(&unfinished);
        let bound = bind(&unfinished).and_then(|bound| fs::rename(&unfinished, path).map(|()| bound));
        let (socket, id) = bound.inspect_err(|_| {
            // It is ours alone, and of no use.
            let _ = fs::remove_file(&unfinished);
        })?;
        Ok(Self { socket, file: SocketFile { path: path.to_owned(), id } })
    }

    /// Listens.
    ///
    /// # Errors
    /// Those of `listen(2)`.
    pub(crate) fn listen(self, backlog: u32) -> io::Result<Door> {
        Ok(Door { listener: self.socket.listen(backlog)?, _file: self.file })
    }
}

impl Door {
    /// What to accept from.
    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl connection::Door for Door {
    type Knock = (UnixStream, u32);
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<Self::Knock> {
        let (stream, _) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, uid))
    }

    fn source(_: &Self::Knock) -> Option<Source> {
        None
    }

    async fn identify((stream, uid): Self::Knock, _: Duration) -> Result<(UnixStream, Caller), Rejected> {
        Ok((stream, Caller::from_uid(uid)))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.id);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn bind(path: &Path) -> io::Result<(UnixSocket, (u64, u64))> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok((socket, identity(&fs::symlink_metadata(path)?)))
}

/// Whether `path` is free, or holds a socket that nobody listens on any more.
fn vacant(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "it is there, and is not a socket; move it away",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another server listens there; stop it first")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
