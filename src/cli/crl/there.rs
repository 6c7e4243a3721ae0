//! The list that is where a new one is to be.
//!
//! In: a path, and the list for it. Out: nothing, or that a newer one is there. Of what is no list, or of another issuer or key,
//! nothing is said: it has no number to compare with.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, ensure};
use countersign_tbs::crl::TbsCertList;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

/// Refuses to put `list` in the place of a newer one.
pub(super) fn is_not_newer(path: &Path, list: &TbsCertList) -> anyhow::Result<()> {
    let there = match fs::read(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let Some(there) = parsed(&there).filter(|there| has_signer_of(there, list)) else { return Ok(()) };
    ensure!(
        there.number() <= list.number(),
        "{} is CRL {} already, and this is {}: another command wrote it meanwhile, or this ledger is another one; it stays as it is. \
         Run this again, for another ledger with --number above {}",
        path.display(),
        there.number(),
        list.number(),
        there.number()
    );
    Ok(())
}

/// Whether both have their numbers from one key.
fn has_signer_of(one: &TbsCertList, other: &TbsCertList) -> bool {
    one.issuer() == other.issuer() && one.authority_key_id() == other.authority_key_id()
}

/// What is signed in a CRL, PEM or DER.
fn parsed(bytes: &[u8]) -> Option<TbsCertList> {
    let pem = CertificateRevocationListDer::from_pem_slice(bytes);
    let der = pem.as_ref().map_or(bytes, |list| list.as_ref());
    TbsCertList::parse(TbsCertList::signed_in(der).ok()?).ok()
}
