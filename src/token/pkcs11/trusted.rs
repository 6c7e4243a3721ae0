//! An AES key that the token's security officer trusts to carry others away (`CKA_WRAP_WITH_TRUSTED`); no part of the service.
//!
//! In: a token and both its PINs. Out: a logged-in [`Console`], and an AES key in its session that only the security officer can have made
//! so: a key that leaves in trusted keys alone takes two people, where two people have the two PINs. The key is gone with
//! the session.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;

use super::change::so_log_in;
use super::operator::{Access, Console, Modules, call};
use crate::token::Config;
use crate::token::latch::Latch;
use crate::token::pin::Pin;

/// An AES key of the session.
#[derive(Clone, Copy)]
pub(crate) struct Trusted(pub(super) ObjectHandle);

/// What an AES key is for. Never for data: what decrypts could show what it wrapped.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Uses {
    Wraps,
    /// To try both.
    Both,
    /// As the first, and the security officer is logged in, who sees no private objects.
    WrapsTrusted,
}

impl Console {
    /// Opens a token, with a key that its security officer trusts.
    ///
    /// # Errors
    /// As [`Console::open`], or that the SO PIN is refused or may not be tried, or the token makes no such key.
    pub(crate) fn open_trusted(
        modules: &mut Modules,
        config: &Config,
        latch: &Latch,
        so: &Pin,
    ) -> anyhow::Result<(Self, Trusted)> {
        Self::open_after(modules, config, latch, Access::Write, |session, info| {
            so_log_in(session, info, so).map_err(|message| anyhow::anyhow!(message))?;
            let made = aes_key(session, Uses::WrapsTrusted);
            // Which leaves alone what is not private.
            session.logout().map_err(call)?;
            Ok(Trusted(made.map_err(call)?))
        })
    }
}

/// Makes an AES-256 key that can itself be wrapped, for as long as the session.
///
/// # Errors
/// If the token refuses.
pub(super) fn aes_key(session: &Session, uses: Uses) -> Result<ObjectHandle, Error> {
    let mut template = vec![
        Attribute::Token(false),
        Attribute::Private(uses != Uses::WrapsTrusted),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Wrap(true),
        Attribute::Unwrap(uses == Uses::Both),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::ValueLen(Ulong::new(32)),
    ];
    if uses == Uses::WrapsTrusted {
        template.push(Attribute::Trusted(true));
    }
    session.generate_key(&Mechanism::AesKeyGen, &template)
}
