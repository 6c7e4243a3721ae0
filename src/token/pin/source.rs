//! Where a token's PIN is between one login and the next: a file of its own, a credential that systemd hands to the service, the
//! head of whoever types it at the token's own pad, or nowhere, for the token needs none.
//!
//! In: `pin_file`, `pin_credential`, `pin_pad` or `pin_none` of the configuration. Out: a [`PinFile`], which whoever logs in reads, and nobody before. The
//! credential's directory is told once, by whoever has read the environment.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Pin, PinFileError, Stamp};

/// Permission bits that a PIN file may have: its owner's.
const OWN: u32 = 0o600;
/// Those of a credential, which is root's, with an access list that gives the service's user leave to read it: the list shows as the
/// group's bits (systemd.exec(5), `LoadCredential=`). Its directory is nobody else's.
const CREDENTIAL: u32 = 0o640;

/// Where a PIN is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PinFile {
    /// `pin_file`: a file of mode 0600 or stricter; one trailing newline is no part of the PIN.
    Own(PathBuf),
    /// `pin_credential`.
    Credential {
        /// Its name.
        name: String,
        /// `$CREDENTIALS_DIRECTORY`, if there is one.
        directory: Option<PathBuf>,
    },
    /// `pin_pad`: nowhere in this machine. Somebody types it at the token, once for each login.
    Pad,
    /// `pin_none`: nowhere at all. The token signs for whoever has a session.
    None,
}

impl From<PathBuf> for PinFile {
    fn from(path: PathBuf) -> Self {
        Self::Own(path)
    }
}

impl PinFile {
    /// The key of the configuration that names it.
    #[must_use]
    pub fn option(&self) -> &'static str {
        match self {
            Self::Own(_) => "pin_file",
            Self::Credential { .. } => "pin_credential",
            Self::Pad => "pin_pad",
            Self::None => "pin_none",
        }
    }

    /// The file, where it is one of our own, which commands may write.
    #[must_use]
    pub fn own(&self) -> Option<&Path> {
        match self {
            Self::Own(path) => Some(path),
            Self::Credential { .. } | Self::Pad | Self::None => None,
        }
    }

    /// Tells a credential where credentials are.
    pub(crate) fn locate(&mut self, credentials: Option<&Path>) {
        if let Self::Credential { directory, .. } = self {
            *directory = credentials.map(Path::to_owned);
        }
    }

    /// Whether there is something to read.
    pub(crate) fn exists(&self) -> bool {
        self.path().is_some_and(|path| path.exists())
    }

    /// The file, if it is known.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Own(path) => Some(path.clone()),
            Self::Credential { name, directory } => Some(directory.as_ref()?.join(name)),
            Self::Pad | Self::None => None,
        }
    }

    /// Reads the PIN, or says that nobody has it here.
    ///
    /// # Errors
    /// [`PinFileError`], which never holds what is in the file.
    pub(crate) fn read(&self) -> Result<Pin, PinFileError> {
        match self {
            Self::Own(path) => Pin::read_of_mode(path, OWN),
            Self::Credential { name, directory: None } => {
                Err(PinFileError::NoCredentials { name: name.clone() })
            }
            Self::Credential { name, directory: Some(directory) } => {
                Pin::read_of_mode(&directory.join(name), CREDENTIAL)
            }
            Self::Pad | Self::None => Ok(Pin::at_pad()),
        }
    }

    /// What tells whether somebody has changed it.
    pub(in crate::token) fn stamp(&self) -> Option<Stamp> {
        self.path().and_then(|path| Stamp::of(&path))
    }
}

/// Who has it, for people: the file by its path, or the credential by its name.
impl fmt::Display for PinFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(path) => path.display().fmt(f),
            Self::Credential { name, .. } => write!(f, "credential {name}"),
            Self::Pad => f.write_str("the hands of whoever stands at the token's own pad"),
            Self::None => f.write_str("no place, for it needs none"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_credential_may_have_an_access_list_and_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut pin = PinFile::Credential { name: "pin".to_owned(), directory: None };
        assert!(matches!(pin.read(), Err(PinFileError::NoCredentials { .. })));
        pin.locate(Some(dir.path()));
        fs::write(dir.path().join("pin"), "1234\n").unwrap();
        for (mode, fits) in [(0o400, true), (0o440, true), (0o600, true), (0o444, false), (0o460, false)] {
            fs::set_permissions(dir.path().join("pin"), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(pin.read().is_ok(), fits, "{mode:o}");
        }
        let own = PinFile::from(dir.path().join("pin"));
        fs::set_permissions(dir.path().join("pin"), fs::Permissions::from_mode(0o440)).unwrap();
        assert!(matches!(own.read(), Err(PinFileError::Mode { .. })), "a group reads that one");
    }
}
