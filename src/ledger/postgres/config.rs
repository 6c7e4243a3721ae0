//! Where the database is, and how this signer shows who it is.
//!
//! In: a connection string of libpq's form, and paths. Out: a [`Config`] that holds no secret: the password is read from its file
//! for each connection, so that it can be changed. Over a network there is TLS, and the server's certificate is verified; and a
//! password goes over no TCP without it, for on loopback any user of the host can wait for it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use crate::secret_file::{self, Unusable};

/// The keys of `[ledger]` that are about PostgreSQL, checked.
#[derive(Clone, Debug)]
pub struct Config {
    connection: tokio_postgres::Config,
    password: Option<PathBuf>,
    roots: Option<PathBuf>,
    timeout: Duration,
}

/// What is wrong with a connection string.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// It does not parse. It is not shown: it may have a secret in it.
    #[error(
        "should be as \"host=/run/postgresql dbname=countersign user=countersign\" or \
         \"postgresql://countersign@db1.example.org,db2.example.org/countersign\""
    )]
    Syntax,
    /// Configurations are read by more people than secrets.
    #[error("has a password in it: write that in a file of mode 0600, named by `postgres_password_file`")]
    Password,
    /// There is no default that would mean the same everywhere.
    #[error("should name `host`, `dbname` and `user`")]
    Incomplete,
    /// Whoever is in between could read and change the record.
    #[error(
        "names a host on a network: give `postgres_root_certificates`, the CA certificates that the server's must chain to"
    )]
    NoTls,
    /// Whoever takes the port while the server is down is asked for nothing, and may ask for the password in the clear.
    #[error(
        "names a host on loopback, without TLS, where any user of this host could wait for the password: name the directory of \
         the server's socket, or give `postgres_root_certificates`"
    )]
    Overheard,
    /// What a stand-by has is read-only.
    #[error("has `target_session_attrs`; a signer always looks for a server that can be written")]
    Target,
}

/// Why a password is not used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It cannot be read.
    #[error("cannot read password file {}: {cause}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others may read it.
    #[error(
        "password file {} has mode {mode:04o}: others than its owner can use it; run `chmod 0600 {}`",
        path.display(),
        path.display()
    )]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file, empty, or too long.
    #[error("password file {} must be a regular file of 1 to {MAX_PASSWORD} bytes", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
    },
}

/// More than any role has.
const MAX_PASSWORD: u64 = 1024;

impl Config {
    /// Checks a connection string, and adds what a signer always wants.
    ///
    /// # Errors
    /// [`Malformed`], which shows nothing of it.
    pub fn new(
        connection: &str,
        password: Option<PathBuf>,
        roots: Option<PathBuf>,
        timeout: Duration,
    ) -> Result<Self, Malformed> {
        let mut connection: tokio_postgres::Config = connection.parse().map_err(|_| Malformed::Syntax)?;
        if connection.get_password().is_some() {
            return Err(Malformed::Password);
        }
        let (hosts, addresses) = (connection.get_hosts(), connection.get_hostaddrs());
        let is_named = connection.get_dbname().is_some() && connection.get_user().is_some();
        if hosts.is_empty() || !is_named {
            return Err(Malformed::Incomplete);
        }
        let is_here = if addresses.is_empty() {
            hosts.iter().all(is_local)
        } else {
            addresses.iter().all(IpAddr::is_loopback)
        };
        if roots.is_none() && !is_here {
            return Err(Malformed::NoTls);
        }
        if roots.is_none() && password.is_some() && has_tcp(&connection) {
            return Err(Malformed::Overheard);
        }
        if connection.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err(Malformed::Target);
        }
        connection
            .ssl_mode(if roots.is_some() { SslMode::Require } else { SslMode::Disable })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(timeout)
            .tcp_user_timeout(timeout)
            .keepalives(true)
            .keepalives_idle(timeout)
            .keepalives_interval(timeout)
            .keepalives_retries(2);
        Ok(Self { connection, password, roots, timeout })
    }

    /// Whether another user of this host can be the server, while that is down.
    pub(super) fn is_anybodys(&self) -> bool {
        self.roots.is_none() && has_tcp(&self.connection)
    }

    /// How long one step may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The CA certificates that the server's must chain to.
    pub(super) fn roots(&self) -> Option<&Path> {
        self.roots.as_deref()
    }

    /// What to connect with, as `name`; with the password, as its file has it now.
    pub(super) fn connection(&self, name: &str) -> Result<tokio_postgres::Config, PasswordError> {
        let mut connection = self.connection.clone();
        connection.application_name(name);
        if let Some(path) = &self.password {
            connection.password(&**read_password(path)?);
        }
        Ok(connection)
    }

    /// The servers and the database, for people.
    pub(crate) fn server(&self) -> String {
        let hosts = self.connection.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        format!("{} on {}", self.connection.get_dbname().unwrap_or_default(), hosts.join(","))
    }
}

/// Whether any host is reached by TCP. An address takes the place of whatever the host is.
fn has_tcp(connection: &tokio_postgres::Config) -> bool {
    !connection.get_hostaddrs().is_empty()
        || connection.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

/// The bytes of a file of mode 0600 or stricter; one trailing newline is no part of the password.
fn read_password(path: &Path) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    secret_file::read(path, 0o600, MAX_PASSWORD).map_err(|why| {
        let path = path.to_owned();
        match why {
            Unusable::Open(cause) => PasswordError::Open { path, cause },
            Unusable::Mode(mode) => PasswordError::Mode { path, mode },
            Unusable::Content => PasswordError::Content { path },
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn parse(connection: &str, roots: Option<&str>) -> Result<Config, Malformed> {
        Config::new(connection, None, roots.map(PathBuf::from), Duration::from_secs(5))
    }

    #[test]
    fn a_connection_string_has_no_password_and_no_network_without_tls() {
        for (text, roots, fault) in [
            ("host=/run/postgresql dbname=cs user=signer password=s3cret", None, Malformed::Password),
            ("postgresql://signer:s3cret@localhost/cs", None, Malformed::Password),
            ("host=db.example.org dbname=cs user=signer", None, Malformed::NoTls),
            ("host=localhost hostaddr=192.0.2.1 dbname=cs user=signer", None, Malformed::NoTls),
            ("host=127.0.0.1,192.0.2.1 dbname=cs user=signer", None, Malformed::NoTls),
            ("dbname=cs user=signer", None, Malformed::Incomplete),
            ("host=/run/postgresql dbname=cs", None, Malformed::Incomplete),
            ("host=/run/postgresql user=signer", None, Malformed::Incomplete),
            ("s3cret", None, Malformed::Syntax),
            ("host=/run dbname=cs user=signer target_session_attrs=read-only", None, Malformed::Target),
        ] {
            let error = parse(text, roots).unwrap_err();
            assert_eq!(error, fault, "{text}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        for (text, roots) in [
            ("host=/run/postgresql dbname=cs user=signer", None),
            ("host=localhost,127.0.0.1,::1 dbname=cs user=signer", None),
            ("postgresql://signer@db1.example.org,db2.example.org:5433/cs", Some("ca.pem")),
        ] {
            let config = parse(text, roots).unwrap();
            let mode = if roots.is_some() { SslMode::Require } else { SslMode::Disable };
            assert_eq!(config.connection.get_ssl_mode(), mode, "{text}");
            assert_eq!(config.connection.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        }
    }

    #[test]
    fn a_password_goes_over_no_tcp_without_tls() {
        let with_password = |hosts: &str, roots: Option<&str>| {
            let text = format!("{hosts} dbname=cs user=signer");
            Config::new(
                &text,
                Some(PathBuf::from("password")),
                roots.map(PathBuf::from),
                Duration::from_secs(5),
            )
        };
        for hosts in [
            "host=localhost",
            "host=127.0.0.1",
            "host=::1",
            "host=/run,localhost",
            "host=/run hostaddr=127.0.0.1",
        ] {
            assert_eq!(with_password(hosts, None).unwrap_err(), Malformed::Overheard, "{hosts}");
            assert!(!with_password(hosts, Some("ca.pem")).unwrap().is_anybodys(), "{hosts}");
        }
        assert!(!with_password("host=/run/postgresql", None).unwrap().is_anybodys());
        let config = parse("host=localhost dbname=cs user=signer", None).unwrap();
        assert!(config.is_anybodys(), "the signer warns");
    }

    #[test]
    fn a_password_is_its_owners_alone_and_read_for_each_connection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let text = "host=/run dbname=cs user=signer";
        let config = Config::new(text, Some(path.clone()), None, Duration::from_secs(5)).unwrap();
        assert!(matches!(config.connection("x"), Err(PasswordError::Open { .. })));
        for (content, mode, password) in [
            ("one\n", 0o600, Some("one")),
            ("two", 0o400, Some("two")),
            ("three", 0o640, None),
            ("", 0o600, None),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found =
                config.connection("x").ok().and_then(|found| found.get_password().map(<[u8]>::to_vec));
            assert_eq!(found.as_deref(), password.map(str::as_bytes), "{content:?} {mode:o}");
        }
    }
}
