//! Gives a key another label, where the token lets anybody change it.
//!
//! In: a key that was found, and the label that it is to have. Out: both halves with that label, and the same public key under it.
//! Promised: no other object has or gets that label, and a key that cannot be changed is left as it is.

use cryptoki::object::{Attribute, AttributeType, ObjectHandle};

use super::attribute::Object;
use super::key::{self, FoundKey};
use super::operator::{Console, call};

/// Why a label stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unrenamed {
    /// As `key generate` makes them, so that nobody gives them other properties either.
    #[error("the token does not let the key be changed (CKA_MODIFIABLE false)")]
    Fixed,
    /// The new label is another key's.
    #[error("another key on the token has the label {0:?} already")]
    Taken(String),
    /// The token said no.
    #[error(transparent)]
    Refused(anyhow::Error),
    /// Some of its objects have the new label by now.
    #[error(
        "{0:#}; one of the key's two halves may have the new label by now: run this again, or look with `countersign key list`"
    )]
    Half(anyhow::Error),
}

impl Console {
    /// Sets the label of a private key, and of the public key objects of its id that are its public half.
    ///
    /// # Errors
    /// [`Unrenamed`]
    pub(crate) fn rename(&self, found: &FoundKey, to: &str) -> Result<(), Unrenamed> {
        let refused = |error| Unrenamed::Refused(call(error));
        let object = Object { session: &self.session, handle: found.private };
        if object.flag(AttributeType::Modifiable).map_err(refused)? == Some(false) {
            return Err(Unrenamed::Fixed);
        }
        if !key::private_keys(&self.session, Some(to), None).map_err(refused)?.is_empty() {
            return Err(Unrenamed::Taken(to.to_owned()));
        }
        let id = object.bytes(AttributeType::Id).map_err(refused)?.filter(|id| !id.is_empty());
        let public = id.as_ref().map(|id| key::public_objects(&self.session, id)).transpose();
        let mut twins = Vec::new();
        for handle in public.map_err(refused)?.unwrap_or_default() {
            let twin = key::read_public_key(&Object { session: &self.session, handle });
            twins.extend((twin.ok().flatten().as_ref() == Some(&found.public_key)).then_some(handle));
        }
        self.label(found.private, to).map_err(Unrenamed::Refused)?;
        twins.into_iter().try_for_each(|twin| self.label(twin, to)).map_err(Unrenamed::Half)?;
        let now = key::private_keys(&self.session, Some(to), id.as_deref());
        let now = now.map_err(|error| Unrenamed::Half(call(error)))?;
        match now[..] {
            [only] if key::public_key(&self.session, only).ok().as_ref() == Some(&found.public_key) => Ok(()),
            _ => Err(Unrenamed::Half(anyhow::anyhow!(
                "the token does not tell the same key under its new label"
            ))),
        }
    }

    fn label(&self, object: ObjectHandle, to: &str) -> anyhow::Result<()> {
        let label = Attribute::Label(to.as_bytes().to_vec());
        self.session.update_attributes(object, &[label]).map_err(call)
    }
}
