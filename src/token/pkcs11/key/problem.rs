//! Why a key cannot be used, in words for an operator.

use countersign_tbs::key::KeyError;
use cryptoki::error::Error;
use cryptoki::mechanism::MechanismType;

use super::super::classify;
use super::hex;
use crate::key::{PublicKey, Scheme, signs_by};

/// Why a key cannot be used, and what to do. The cause is in the message, which crosses a socket as text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyProblem {
    /// No private key has this label and id.
    #[error(
        "no private key has label {label:?}{} ({present}); correct `label` or `id` in [key.{name}], or, for a new CA, run \
         `countersign key generate {name}`",
        id_clause(id.as_deref())
    )]
    Missing {
        /// The key's name in the configuration.
        name: String,
        /// The label that was looked for.
        label: String,
        /// The id that was looked for.
        id: Option<Vec<u8>>,
        /// What there is.
        present: String,
    },
    /// Several have, and `id` can tell which is meant.
    #[error(
        "several private keys have label {label:?}{}; set `id` to one of: {ids}{}", id_clause(id.as_deref()),
        if *without_id { "; one has no CKA_ID, and needs one to be meant" } else { "" }
    )]
    Ambiguous {
        /// The label that was looked for.
        label: String,
        /// The id that was looked for.
        id: Option<Vec<u8>>,
        /// Their ids in hexadecimal.
        ids: String,
        /// Whether there is another, without any.
        without_id: bool,
    },
    /// Several have, and nothing in the configuration can tell which is meant.
    #[error(
        "{count} private keys have label {label:?} and id {id}, so that nothing tells them apart; give all but the right one another \
         label or CKA_ID"
    )]
    Alike {
        /// How many.
        count: usize,
        /// The label of each.
        label: String,
        /// The id of each in hexadecimal.
        id: String,
    },
    /// Neither a public key object nor the private key itself tells the public key.
    #[error(
        "the token does not tell the public key: {}; import one",
        if candidates.is_empty() {
            "no public key object has the private key's CKA_ID".to_owned()
        } else {
            format!("the public key objects that have the private key's CKA_ID give none: {candidates}")
        }
    )]
    NoPublicKey {
        /// The label of each object that could tell it, and why it does not; empty if there is none.
        candidates: String,
    },
    /// Several public key objects with different keys, or with a key and what is none.
    #[error(
        "{count} public key objects have the private key's CKA_ID {id}: {candidates}; give the other key pairs another CKA_ID, or remove \
         what belongs to no private key"
    )]
    ManyPublicKeys {
        /// How many.
        count: usize,
        /// The id in hexadecimal.
        id: String,
        /// The label of each, and its key or why it gives none.
        candidates: String,
    },
    /// What the token tells is no public key.
    #[error("the token's public key cannot be used: {0}")]
    PublicKey(KeyError),
    /// An RSA key outside 2048 to 4096 bits.
    #[error("an RSA key of {0} bits; a CA key has 2048 to 4096")]
    RsaBits(usize),
    /// Another kind of key than the scheme wants.
    #[error("scheme {scheme} does not fit the key on the token: {}; correct `scheme`, or generate a key that fits", signs_by(.found))]
    Unfit {
        /// The configured scheme.
        scheme: Scheme,
        /// The key.
        found: Box<PublicKey>,
    },
    /// A scheme that this program does not know.
    #[error("unknown scheme {scheme:?}")]
    Scheme {
        /// Its name.
        scheme: String,
    },
    /// The token does not let it sign.
    #[error(
        "the private key has {found}; a CA key must have CKA_SIGN true: generate it with `countersign key generate`"
    )]
    SignsNothing {
        /// `CKA_SIGN`, and its value.
        found: String,
    },
    /// The private key is not what a CA key should be, or the token does not tell.
    #[error(
        "the private key has {found}, which a CA key must not have; generate one with `countersign key generate`, or take this one \
         as it is, knowing what that means, with `accept = [{accept}]`"
    )]
    Flawed {
        /// `CKA_EXTRACTABLE`, and its value; and so on.
        found: String,
        /// The flaws, as `accept` lists them.
        accept: String,
    },
    /// The token cannot sign by this scheme.
    #[error("the token has no {needed}, which scheme {scheme} needs")]
    Mechanism {
        /// The mechanism by name.
        needed: MechanismType,
        /// The configured scheme.
        scheme: Scheme,
    },
    /// A call failed.
    #[error("{} failed: {}; {}", classify::describe(.0).call, classify::code(.0), classify::advice(.0))]
    Call(Error),
}

impl From<KeyError> for KeyProblem {
    fn from(error: KeyError) -> Self {
        Self::PublicKey(error)
    }
}

impl From<Error> for KeyProblem {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

fn id_clause(id: Option<&[u8]>) -> String {
    id.map(|id| format!(" and id {}", hex(id))).unwrap_or_default()
}
