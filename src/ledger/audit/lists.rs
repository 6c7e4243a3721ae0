//! Lists that are too long for a ledger, from whoever has them: CRLs in files.
//!
//! In: files, PEM or DER. Out: what was signed of each, found by the SHA-256 that the log has of it. Promised: one list is in memory at a
//! time; each is read and hashed anew when it is asked for, so that a file that was changed meanwhile is none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use countersign_tbs::der::{Reader, tag};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::ledger::entry::sha256;

/// CRLs, by the SHA-256 of their TBSCertList.
#[derive(Clone, Debug, Default)]
pub struct Lists(HashMap<[u8; 32], PathBuf>);

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
    /// It is something else.
    #[error("{path} is no CRL; give the list as it was signed, PEM or DER")]
    NoList {
        /// The file.
        path: PathBuf,
    },
}

impl Lists {
    /// Takes the list in a file.
    ///
    /// # Errors
    /// [`ListError`] if there is none.
    pub fn add(&mut self, path: &Path) -> Result<(), ListError> {
        let bytes = fs::read(path).map_err(|source| ListError::Io { path: path.to_owned(), source })?;
        let signed = signed_in(&bytes).ok_or_else(|| ListError::NoList { path: path.to_owned() })?;
        self.0.insert(sha256(&[&signed]), path.to_owned());
        Ok(())
    }

    /// What was signed, if a file has `len` bytes of this SHA-256.
    pub(super) fn get(&self, digest: &[u8; 32], len: u64) -> Option<Vec<u8>> {
        let bytes = fs::read(self.0.get(digest)?).ok()?;
        let is_it = |signed: &Vec<u8>| u64::try_from(signed.len()) == Ok(len) && sha256(&[signed]) == *digest;
        signed_in(&bytes).filter(is_it)
    }
}

/// The TBSCertList in a CRL, PEM or DER, whatever it says.
pub(crate) fn signed_in(bytes: &[u8]) -> Option<Vec<u8>> {
    let pem = CertificateRevocationListDer::from_pem_slice(bytes);
    let der = pem.as_ref().map_or(bytes, |list| list.as_ref());
    let mut list = Reader::new(der).value(tag::SEQUENCE, "certificateList").ok()?;
    Some(list.element(tag::SEQUENCE, "tbsCertList").ok()?.rest().to_vec())
}
