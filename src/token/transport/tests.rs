//! Files that travel: as they were written, or refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;

fn wrapped() -> WrappedKey {
    WrappedKey {
        label: "user-ca".to_owned(),
        id: "a10b".to_owned(),
        scheme: "ed25519".to_owned(),
        spki: PublicKey::Ed25519([7; 32]).to_spki_der(),
        recipient: "SHA256:AAAA".to_owned(),
        oaep: Oaep::Sha256,
        key_wrap: KeyWrap::Gcm,
        nonce: vec![3; 12],
        wrapped_aes_key: vec![4; 24],
        ciphertext: vec![5; 24],
    }
}

fn write(path: &Path) -> Result<(), TransportError> {
    Reserved::at(path)?.write(wrapped())
}

#[test]
fn what_was_written_is_read_and_no_file_is_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key.json");
    write(&path).unwrap();
    let found: WrappedKey = read(&path).unwrap();
    assert!(found == wrapped());
    assert_eq!((found.id(), found.scheme()), (Some(vec![0xA1, 0x0B]), Some(Scheme::Ed25519)));
    assert!(matches!(write(&path), Err(TransportError::Write { .. })));
    assert!(matches!(read::<WrappingKey>(&path), Err(TransportError::Form { .. })));
    for id in ["", "a1b", "g0"] {
        assert_eq!(WrappedKey { id: id.to_owned(), ..wrapped() }.id(), None, "{id}");
    }
}

/// Cut anywhere, or with any bit of it turned: refused, or read as it was written.
#[test]
fn a_file_that_was_changed_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key.json");
    write(&path).unwrap();
    let text = std::fs::read(&path).unwrap();
    let end = text.len() - 1;
    for at in 0..end {
        std::fs::write(&path, text.get(..at).unwrap()).unwrap();
        assert!(read::<WrappedKey>(&path).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut turned = text.clone();
            *turned.get_mut(at).unwrap() ^= 1 << bit;
            std::fs::write(&path, turned).unwrap();
            assert!(
                read(&path).map_or(true, |found: WrappedKey| found == wrapped()),
                "bit {bit} of byte {at}"
            );
        }
    }
}
