//! What is where a new list is to be.
//!
//! In: a path, and the list for it. Out: nothing, or why what is there stays as it is: it is no list, one of another issuer, or a newer one.
//! Who signs for the issuer does not count, since any such list names the same certificates; numbers are compared if it was the same key.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, ensure};
use countersign_tbs::crl::TbsCertList;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

/// What a part of a PEM file begins with.
const PEM: &[u8] = b"-----BEGIN ";

/// Refuses to put `list` in the place of a newer one, or of anything but a list of its issuer and an empty file.
pub(super) fn loses_nothing(path: &Path, list: &TbsCertList) -> anyhow::Result<()> {
    let there = match fs::read(path) {
        Ok(there) if there.is_empty() => return Ok(()),
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let there = parsed(&there).with_context(|| {
        format!(
            "{} is there, and is no CRL that can be read; move it away, or write to another file",
            path.display()
        )
    })?;
    ensure!(
        there.issuer().matches(list.issuer()),
        "{} is a CRL of \"{}\", and this is one of \"{}\"; move it away, or write to another file",
        path.display(),
        there.issuer(),
        list.issuer()
    );
    ensure!(
        there.authority_key_id() != list.authority_key_id() || there.number() <= list.number(),
        "{} is CRL {} already, and this is {}: another command wrote it meanwhile, or this ledger is another one; it stays as it is. \
         Run this again, for another ledger with --number above {}",
        path.display(),
        there.number(),
        list.number(),
        there.number()
    );
    Ok(())
}

/// What is signed in a CRL, PEM or DER.
fn parsed(bytes: &[u8]) -> anyhow::Result<TbsCertList> {
    let begins = bytes.windows(PEM.len()).filter(|window| *window == PEM).count();
    // Some servers want the lists of a whole chain in one file, which is not ours to replace.
    ensure!(begins <= 1, "it has {begins} parts in PEM");
    let pem = CertificateRevocationListDer::from_pem_slice(bytes);
    let der = pem.as_ref().map_or(bytes, |list| list.as_ref());
    Ok(TbsCertList::parse(TbsCertList::signed_in(der)?)?)
}
