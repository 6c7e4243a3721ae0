//! The ciphers of management keys, one block at a time.
//!
//! In: a key and a block, both as long as the cipher says. Out: the block, encrypted or decrypted. AES is aws-lc-rs's; 3DES, which
//! cards of before firmware 5.7 come with, is not, because aws-lc-rs refuses Yubico's key, whose thirds are alike.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use des::TdesEde3;
use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// What a management key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cipher {
    TripleDes,
    Aes128,
    Aes192,
    Aes256,
}

/// Not a [`Cipher`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("aes256, aes192, aes128, or 3des for firmware before 5.4.2")]
pub(crate) struct UnknownCipher;

impl Cipher {
    const ALL: [Self; 4] = [Self::TripleDes, Self::Aes128, Self::Aes192, Self::Aes256];

    /// PIV's number for it (SP 800-78-4 table 6-2).
    pub(super) fn id(self) -> u8 {
        match self {
            Self::TripleDes => 0x03,
            Self::Aes128 => 0x08,
            Self::Aes192 => 0x0A,
            Self::Aes256 => 0x0C,
        }
    }

    pub(super) fn of_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.id() == id)
    }

    /// Bytes of a key.
    pub(crate) fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// Bytes of a block.
    pub(super) fn block_len(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }

    /// `block`, encrypted; none unless key and block have the right lengths.
    pub(super) fn encrypt(self, key: &[u8], block: &[u8]) -> Option<Vec<u8>> {
        let mut block = block.to_vec();
        match self.aes() {
            Some(aes) => {
                let key = EncryptingKey::ecb(UnboundCipherKey::new(aes, key).ok()?).ok()?;
                key.less_safe_encrypt(&mut block, EncryptionContext::None).ok()?;
            }
            None => triple_des(key, &mut block, TdesEde3::encrypt_block)?,
        }
        Some(block)
    }

    /// `block`, decrypted; none unless key and block have the right lengths.
    pub(super) fn decrypt(self, key: &[u8], block: &[u8]) -> Option<Vec<u8>> {
        let mut block = block.to_vec();
        match self.aes() {
            Some(aes) => {
                let key = DecryptingKey::ecb(UnboundCipherKey::new(aes, key).ok()?).ok()?;
                key.decrypt(&mut block, DecryptionContext::None).ok()?;
            }
            None => triple_des(key, &mut block, TdesEde3::decrypt_block)?,
        }
        Some(block)
    }

    fn aes(self) -> Option<&'static Algorithm> {
        match self {
            Self::TripleDes => None,
            Self::Aes128 => Some(&AES_128),
            Self::Aes192 => Some(&AES_192),
            Self::Aes256 => Some(&AES_256),
        }
    }
}

fn triple_des(
    key: &[u8],
    block: &mut [u8],
    operation: impl FnOnce(&TdesEde3, &mut Block<TdesEde3>),
) -> Option<()> {
    let block = <&mut Block<TdesEde3>>::try_from(block).ok()?;
    operation(&TdesEde3::new_from_slice(key).ok()?, block);
    Some(())
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TripleDes => "3DES",
            Self::Aes128 => "AES-128",
            Self::Aes192 => "AES-192",
            Self::Aes256 => "AES-256",
        })
    }
}

impl FromStr for Cipher {
    type Err = UnknownCipher;

    fn from_str(word: &str) -> Result<Self, UnknownCipher> {
        match word {
            "3des" => Ok(Self::TripleDes),
            "aes128" => Ok(Self::Aes128),
            "aes192" => Ok(Self::Aes192),
            "aes256" => Ok(Self::Aes256),
            _ => Err(UnknownCipher),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_encrypted_is_decrypted_again_and_wrong_lengths_are_neither() {
        for cipher in Cipher::ALL {
            let (key, block) = (vec![7; cipher.key_len()], vec![1; cipher.block_len()]);
            let encrypted = cipher.encrypt(&key, &block).unwrap();
            assert_ne!(encrypted, block);
            assert_eq!(cipher.decrypt(&key, &encrypted).unwrap(), block);
            assert_eq!(cipher.encrypt(&[7; 15], &block), None);
            assert_eq!(cipher.decrypt(&key, &[1; 7]), None);
            assert_eq!(Cipher::of_id(cipher.id()), Some(cipher));
        }
    }

    /// SP 800-67's construction with single DES's vector: alike thirds are one DES.
    #[test]
    fn triple_des_is_the_standards() {
        let key = [0x13, 0x34, 0x57, 0x79, 0x9B, 0xBC, 0xDF, 0xF1].repeat(3);
        let block = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
        let expected = [0x85, 0xE8, 0x13, 0x54, 0x0F, 0x0A, 0xB4, 0x05];
        assert_eq!(Cipher::TripleDes.encrypt(&key, &block).unwrap(), expected);
    }
}
