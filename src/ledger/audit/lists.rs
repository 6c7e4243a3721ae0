//! Lists that are too long for a ledger, from whoever has them: CRLs in files.
//!
//! In: files, each of PEM sections or DER. Out: what was signed of each list, found by the SHA-256 that the log has of it, and which lists
//! the log knows nothing of. Promised: one file is in memory at a time; each is read and hashed anew when it is asked for, so that one that was
//! changed meanwhile is none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use countersign_tbs::crl::TbsCertList;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::ledger::entry::sha256;

/// CRLs, by the SHA-256 of their TBSCertList.
#[derive(Clone, Debug, Default)]
pub struct Lists(HashMap<[u8; 32], Given>);

#[derive(Clone, Debug)]
struct Given {
    file: PathBuf,
    /// Whether an intent is for it.
    is_known: bool,
}

/// A list that was given, and that no entry permits.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stranger {
    /// The file that it is in.
    pub file: PathBuf,
    /// SHA-256 of its TBSCertList.
    pub sha256: [u8; 32],
}

/// Why a file cannot be compared with a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It cannot be read.
    #[error("cannot read list {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is something else, or one of its PEM sections is.
    #[error("{path} is no CRL, or has one that is none; give lists as they were signed, PEM or DER")]
    NoList {
        /// The file.
        path: PathBuf,
    },
}

impl Lists {
    /// Takes the lists in a file.
    ///
    /// # Errors
    /// [`ListError`] if there is none.
    pub fn add(&mut self, path: &Path) -> Result<(), ListError> {
        let bytes = fs::read(path).map_err(|source| ListError::Io { path: path.to_owned(), source })?;
        let signed = signed_in(&bytes).ok_or_else(|| ListError::NoList { path: path.to_owned() })?;
        let given = |tbs: &Vec<u8>| (sha256(&[tbs]), Given { file: path.to_owned(), is_known: false });
        self.0.extend(signed.iter().map(given));
        Ok(())
    }

    /// What was signed, if a file has `len` bytes of this SHA-256.
    pub(super) fn get(&mut self, digest: &[u8; 32], len: u64) -> Option<Vec<u8>> {
        let given = self.0.get_mut(digest)?;
        given.is_known = true;
        let bytes = fs::read(&given.file).ok()?;
        let is_it = |signed: &Vec<u8>| u64::try_from(signed.len()) == Ok(len) && sha256(&[signed]) == *digest;
        signed_in(&bytes)?.into_iter().find(is_it)
    }

    /// Takes note of a list that the log has whole.
    pub(super) fn is_in_the_log(&mut self, signed: &[u8]) {
        if !self.0.is_empty()
            && let Some(given) = self.0.get_mut(&sha256(&[signed]))
        {
            given.is_known = true;
        }
    }

    /// Those that nobody asked for, by file.
    pub(super) fn into_strangers(self) -> Vec<Stranger> {
        let strangers = self.0.into_iter().filter(|(_, given)| !given.is_known);
        let mut strangers: Vec<_> =
            strangers.map(|(sha256, Given { file, .. })| Stranger { file, sha256 }).collect();
        strangers.sort();
        strangers
    }
}

/// The TBSCertList of each CRL in a file, PEM or DER, whatever it says; none if one of them is no CRL.
fn signed_in(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let sections: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    let lists = match &sections {
        Ok(sections) if !sections.is_empty() => sections.iter().map(AsRef::as_ref).collect(),
        _ => vec![bytes],
    };
    lists.into_iter().map(|der| TbsCertList::signed_in(der).ok().map(<[u8]>::to_vec)).collect()
}
