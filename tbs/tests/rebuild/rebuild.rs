//! Builds a TBS again from what the parser says of it: an encoder that shares no state with the parsed value.

use countersign_tbs::ssh::{CertificateBuilder, CertificateTbs};

/// The bytes that the builder makes of what `tbs` says, with its nonce in place of the fresh one; `None` if an option's
/// value is not text, which the builder does not take.
pub(crate) fn rebuild(tbs: &CertificateTbs) -> Option<Vec<u8>> {
    let mut builder =
        CertificateBuilder::new(tbs.certificate_type(), tbs.subject_key().clone(), tbs.ca_key().clone())
            .serial(tbs.serial())
            .key_id(tbs.key_id())
            .valid_after(tbs.valid_after())
            .valid_before(tbs.valid_before());
    for principal in tbs.principals() {
        builder = builder.principal(principal);
    }
    for (name, value) in tbs.critical_options().iter() {
        builder = builder.critical_option(name, value.map(str::from_utf8).transpose().ok()?);
    }
    for (name, value) in tbs.extensions().iter() {
        builder = builder.extension(name, value.map(str::from_utf8).transpose().ok()?);
    }
    Some(with_nonce(&builder.build().expect("what parses must build"), tbs.nonce()))
}

/// The bytes of `tbs` with another nonce.
pub(crate) fn with_nonce(tbs: &CertificateTbs, nonce: &[u8]) -> Vec<u8> {
    let bytes = tbs.as_bytes();
    let type_end = 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    let nonce_end = type_end + 4 + tbs.nonce().len();
    let nonce_len = u32::try_from(nonce.len()).unwrap().to_be_bytes();
    [&bytes[..type_end], &nonce_len, nonce, &bytes[nonce_end..]].concat()
}
