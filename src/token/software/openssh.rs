//! OpenSSH's own format of private keys (PROTOCOL.key), which `ssh-keygen` makes: with a passphrase, or without.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use countersign_tbs::key::Curve;
use num_bigint::BigUint;
use zeroize::Zeroizing;

use super::{RsaNumbers, SoftwareKey, SoftwareKeyError, number, significant};
use crate::key::PublicKey;
use crate::token::pin::Pin;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Ten seconds or so; `ssh-keygen -a` makes 16 unless it is told otherwise.
const MOST_ROUNDS: u32 = 10_000;
const IV_LEN: usize = 16;

/// Strings and numbers of RFC 4251 §5.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn uint32(&mut self) -> Result<u32, SoftwareKeyError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(SoftwareKeyError::Broken)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], SoftwareKeyError> {
        let len = usize::try_from(self.uint32()?).map_err(|_| SoftwareKeyError::Broken)?;
        let (string, rest) = self.0.split_at_checked(len).ok_or(SoftwareKeyError::Broken)?;
        self.0 = rest;
        Ok(string)
    }
}

/// Reads the one key in it.
///
/// # Errors
/// [`SoftwareKeyError`]
pub(super) fn read(
    bytes: &[u8],
    passphrase: impl FnOnce() -> Result<Pin, SoftwareKeyError>,
) -> Result<SoftwareKey, SoftwareKeyError> {
    let mut outer = Reader(bytes.strip_prefix(MAGIC).ok_or(SoftwareKeyError::Broken)?);
    let (cipher, kdf, options) = (outer.string()?, outer.string()?, outer.string()?);
    if outer.uint32()? != 1 {
        return Err(SoftwareKeyError::Broken);
    }
    let public = PublicKey::from_ssh_wire(outer.string()?).map_err(|_| SoftwareKeyError::Kind)?;
    let mut secret = Zeroizing::new(outer.string()?.to_vec());
    if cipher != b"none" {
        decrypt(cipher, kdf, options, &mut secret, passphrase)?;
    }
    let mut inner = Reader(&secret);
    if inner.uint32()? != inner.uint32()? {
        return Err(if cipher == b"none" {
            SoftwareKeyError::Broken
        } else {
            SoftwareKeyError::WrongPassphrase
        });
    }
    let key = key(&mut inner)?;
    // Then the comment, and a padding that nobody needs.
    if key.public == public { Ok(key) } else { Err(SoftwareKeyError::Broken) }
}

fn decrypt(
    cipher: &[u8],
    kdf: &[u8],
    options: &[u8],
    secret: &mut [u8],
    passphrase: impl FnOnce() -> Result<Pin, SoftwareKeyError>,
) -> Result<(), SoftwareKeyError> {
    let (algorithm, key_len) = match (cipher, kdf) {
        (b"aes256-ctr", b"bcrypt") => (&AES_256, 32),
        (b"aes192-ctr", b"bcrypt") => (&AES_192, 24),
        (b"aes128-ctr", b"bcrypt") => (&AES_128, 16),
        _ => {
            return Err(SoftwareKeyError::Encryption(
                String::from_utf8_lossy(cipher).escape_debug().to_string(),
            ));
        }
    };
    let mut options = Reader(options);
    let (salt, rounds) = (options.string()?, options.uint32()?);
    if rounds > MOST_ROUNDS {
        return Err(SoftwareKeyError::Encryption(format!("{rounds} rounds of bcrypt")));
    }
    let mut derived = Zeroizing::new(vec![0; key_len + IV_LEN]);
    bcrypt_pbkdf::bcrypt_pbkdf(passphrase()?.expose(), salt, rounds, &mut derived)
        .map_err(|_| SoftwareKeyError::Broken)?;
    let (key, iv) = derived.split_at_checked(key_len).ok_or(SoftwareKeyError::Broken)?;
    let iv = FixedLength::<IV_LEN>::try_from(iv).map_err(|_| SoftwareKeyError::Broken)?;
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| SoftwareKeyError::Broken)?;
    let key = DecryptingKey::ctr(key).map_err(|_| SoftwareKeyError::Broken)?;
    key.decrypt(secret, DecryptionContext::Iv128(iv)).map_err(|_| SoftwareKeyError::Broken)?;
    Ok(())
}

fn key(from: &mut Reader<'_>) -> Result<SoftwareKey, SoftwareKeyError> {
    match from.string()? {
        b"ssh-ed25519" => {
            let (public, both) = (from.string()?, from.string()?);
            let seed = both.strip_suffix(public).ok_or(SoftwareKeyError::Broken)?;
            SoftwareKey::ed25519(seed, public)
        }
        b"ssh-rsa" => rsa(from),
        algorithm => {
            let curve = [Curve::P256, Curve::P384, Curve::P521].into_iter();
            let curve = curve.clone().find(|curve| algorithm.ends_with(curve.ssh_name().as_bytes()));
            let curve = curve.ok_or(SoftwareKeyError::Kind)?;
            let (_name, _point) = (from.string()?, from.string()?);
            SoftwareKey::ecdsa(curve, from.string()?)
        }
    }
}

/// The exponents of the Chinese remainder theorem are not in the file. `BigUint` does not wipe its numbers: copies of them last
/// until the process ends, which nobody else can look into.
fn rsa(from: &mut Reader<'_>) -> Result<SoftwareKey, SoftwareKeyError> {
    let (modulus, exponent, d) = (from.string()?, from.string()?, from.string()?);
    let (q_inverse, p, q) = (from.string()?, from.string()?, from.string()?);
    let reduced = |prime: &[u8]| {
        let prime = BigUint::from_bytes_be(prime);
        let below =
            if prime > BigUint::from(1_u8) { prime - 1_u8 } else { return Err(SoftwareKeyError::Broken) };
        Ok(Zeroizing::new((BigUint::from_bytes_be(d) % below).to_bytes_be()))
    };
    let numbers = RsaNumbers {
        d: number(d),
        p: number(p),
        q: number(q),
        dp: reduced(p)?,
        dq: reduced(q)?,
        q_inverse: number(q_inverse),
    };
    SoftwareKey::rsa(significant(modulus), significant(exponent), numbers)
}
