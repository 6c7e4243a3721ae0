//! The management key: which cipher it is for, and its one operation, a block encrypted.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptingKey, UnboundCipherKey};
use des::TdesEde3;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use serde::{Deserialize, Serialize};

use crate::firmware::Firmware;

/// What management keys are for, by PIV's algorithm identifier.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Cipher {
    /// 03
    TripleDes,
    /// 08
    Aes128,
    /// 0A
    Aes192,
    /// 0C
    Aes256,
}

impl Cipher {
    pub(crate) fn of_id(id: u8) -> Option<Self> {
        // 00 is 3DES as well (SP 800-78-4, table 6-2).
        let id = if id == 0 { 0x03 } else { id };
        [Self::TripleDes, Self::Aes128, Self::Aes192, Self::Aes256]
            .into_iter()
            .find(|cipher| cipher.id() == id)
    }

    pub(crate) fn id(self) -> u8 {
        match self {
            Self::TripleDes => 0x03,
            Self::Aes128 => 0x08,
            Self::Aes192 => 0x0A,
            Self::Aes256 => 0x0C,
        }
    }

    fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    pub(crate) fn block_len(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

/// The key of 9B.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct ManagementKey {
    pub(crate) cipher: Cipher,
    #[serde(with = "crate::hex")]
    key: Vec<u8>,
    pub(crate) touch: bool,
}

const FACTORY: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

impl ManagementKey {
    /// The same bytes in every firmware, for another cipher since 5.7.
    pub(crate) fn factory(firmware: Firmware) -> Self {
        let cipher = if firmware.is_5_7() { Cipher::Aes192 } else { Cipher::TripleDes };
        Self { cipher, key: FACTORY.to_vec(), touch: false }
    }

    /// None if the length is wrong.
    pub(crate) fn new(cipher: Cipher, key: &[u8], touch: bool) -> Option<Self> {
        (key.len() == cipher.key_len()).then(|| Self { cipher, key: key.to_vec(), touch })
    }

    pub(crate) fn is_factory(&self) -> bool {
        self.key == FACTORY
    }

    /// One block, encrypted. None if it is not one block.
    pub(crate) fn encrypt(&self, block: &[u8]) -> Option<Vec<u8>> {
        if block.len() != self.cipher.block_len() {
            return None;
        }
        let algorithm = match self.cipher {
            Cipher::TripleDes => return self.encrypt_des(block),
            Cipher::Aes128 => &AES_128,
            Cipher::Aes192 => &AES_192,
            Cipher::Aes256 => &AES_256,
        };
        let mut block = block.to_vec();
        let key = EncryptingKey::ecb(UnboundCipherKey::new(algorithm, &self.key).ok()?).ok()?;
        key.encrypt(&mut block).ok()?;
        Some(block)
    }

    fn encrypt_des(&self, block: &[u8]) -> Option<Vec<u8>> {
        let mut block = des::cipher::array::Array::try_from(block).ok()?;
        TdesEde3::new_from_slice(&self.key).ok()?.encrypt_block(&mut block);
        Some(block.to_vec())
    }
}
