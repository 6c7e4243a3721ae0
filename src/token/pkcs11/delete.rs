//! Deletes a key from a token for an operator; no part of the service (R45).
//!
//! In: the fingerprint of a public key, which a person has typed. Out: the private keys of that public half, or that one of them is
//! gone. Promised: nothing but that private key and its own public key objects is destroyed; the token is asked right before, for
//! another program may have changed its objects since, and afterwards.
//! Every other call of `destroy_object` is a lint's error (clippy.toml).

use cryptoki::object::ObjectHandle;

use super::attribute::Object;
use super::key;
use super::operator::{Console, KeyFacts, call};
use crate::key::PublicKey;

/// A private key on the token that is to go.
pub(crate) struct Doomed {
    private: ObjectHandle,
    /// What else the token tells of it.
    pub(crate) facts: KeyFacts,
    /// Its public half.
    pub(crate) public_key: PublicKey,
}

impl Doomed {
    /// The private key.
    pub(super) fn handle(&self) -> ObjectHandle {
        self.private
    }
}

impl Console {
    /// Every private key whose public half has this fingerprint.
    ///
    /// # Errors
    /// If a call fails.
    pub(crate) fn keys_of(&self, fingerprint: &str) -> anyhow::Result<Vec<Doomed>> {
        let mut found = Vec::new();
        for private in self.private_keys()? {
            let facts = self.facts(private)?;
            let public_key = facts.public_key.clone().filter(|key| key.fingerprint() == fingerprint);
            found.extend(public_key.map(|public_key| Doomed { private, facts, public_key }));
        }
        Ok(found)
    }

    /// Destroys the private key, and then the public key objects of its id that are its public half.
    ///
    /// # Errors
    /// If the object is another by now, the token refuses, or tells the key all the same afterwards.
    pub(crate) fn delete(&self, doomed: &Doomed) -> anyhow::Result<()> {
        let object = Object { session: &self.session, handle: doomed.private };
        anyhow::ensure!(
            self.private_keys()?.contains(&doomed.private)
                && key::public_key(&self.session, doomed.private).ok().as_ref() == Some(&doomed.public_key),
            "the token's object is not that key any more, and nothing was deleted; `countersign key list` shows what it holds"
        );
        let id = object.bytes(cryptoki::object::AttributeType::Id).map_err(call)?.unwrap_or_default();
        let mut twins = Vec::new();
        for handle in key::public_objects(&self.session, &id).map_err(call)? {
            let twin = key::read_public_key(&Object { session: &self.session, handle })?;
            twins.extend((twin.as_ref() == Some(&doomed.public_key)).then_some(handle));
        }
        self.destroy(doomed.private)?;
        twins.into_iter().try_for_each(|twin| self.destroy(twin))?;
        let still = self.keys_of(&doomed.public_key.fingerprint())?;
        anyhow::ensure!(
            still.is_empty(),
            "the token says that it destroyed the key, and tells it all the same"
        );
        Ok(())
    }

    fn destroy(&self, object: ObjectHandle) -> anyhow::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "an operator has typed the key's fingerprint")]
        self.session.destroy_object(object).map_err(call)
    }
}
