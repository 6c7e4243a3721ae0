//! Builds a ResponseData for a front-end that has somebody else sign it.

use super::{Fields, Nonce, ResponderId, ResponseData, ResponseExtension, SingleResponse};
use crate::der::Time;
use crate::x509::BuildError;

/// Fields of a ResponseData in the making. Holds no private key.
#[derive(Clone, Debug)]
pub struct ResponseBuilder {
    pub(super) fields: Fields,
}

impl ResponseBuilder {
    /// By `responder`, made at `produced_at`, without responses.
    #[must_use]
    pub const fn new(responder: ResponderId, produced_at: Time) -> Self {
        Self { fields: Fields { responder, produced_at, responses: Vec::new(), extensions: Vec::new() } }
    }

    /// Adds what is said about one certificate.
    #[must_use]
    pub fn response(mut self, response: SingleResponse) -> Self {
        self.fields.responses.push(response);
        self
    }

    /// Echoes the request's nonce.
    #[must_use]
    pub fn nonce(self, nonce: Nonce) -> Self {
        self.extension(ResponseExtension::Nonce(nonce))
    }

    /// Adds any extension.
    #[must_use]
    pub fn extension(mut self, extension: ResponseExtension) -> Self {
        self.fields.extensions.push(extension);
        self
    }

    /// Encodes the fields and has the strict parser read them.
    ///
    /// # Errors
    /// [`BuildError::Refused`] if they break a rule.
    pub fn build(self) -> Result<ResponseData, BuildError> {
        Ok(ResponseData::parse(&self.fields.encode())?)
    }
}
