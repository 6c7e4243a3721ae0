//! What a CA's private key should not be, and is not served with unless its section accepts it by name (R44).
//!
//! A token tells these things of a key by its attributes; a YubiKey, in its metadata, only whether the key was imported. That a key
//! could leave its token once is told, too: attributes that only the token sets say whether it was made there, and whether it was
//! always what it is now.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A property that weakens a private key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Flaw {
    /// It can leave the token, wrapped in another key.
    Extractable,
    /// The token shows it in clear to who has the PIN.
    NotSensitive,
    /// It could leave once, so that there may be copies.
    OnceExtractable,
    /// The same, in clear.
    OnceNotSensitive,
    /// It was not made in the token, so that there was a copy.
    NotLocal,
    /// It decrypts: with RSA, whoever can have anything decrypted can have anything signed.
    Decrypts,
    /// It unwraps other keys, which is decryption.
    Unwraps,
    /// It agrees on keys with others, by the same private number that signs.
    Derives,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 8] = [
        Self::Extractable,
        Self::NotSensitive,
        Self::OnceExtractable,
        Self::OnceNotSensitive,
        Self::NotLocal,
        Self::Decrypts,
        Self::Unwraps,
        Self::Derives,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Extractable => "extractable",
            Self::NotSensitive => "not-sensitive",
            Self::OnceExtractable => "once-extractable",
            Self::OnceNotSensitive => "once-not-sensitive",
            Self::NotLocal => "not-local",
            Self::Decrypts => "decrypts",
            Self::Unwraps => "unwraps",
            Self::Derives => "derives",
        }
    }
}

/// Flaws as the list of `accept` has them.
pub(crate) fn accepting<'a>(flaws: impl IntoIterator<Item = &'a Flaw>) -> String {
    flaws.into_iter().map(|flaw| format!("{:?}", flaw.name())).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
