//! How a signer is: `grpc.health.v1.Health`.
//!
//! In: what is asked about. Out: whether that can do its work now, once or whenever it changes. The signer asks nobody, and answers
//! at once.

use tonic::Streaming;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{CallError, Client};
use crate::v1::signer_server::SERVICE_NAME;

const CHECKPOINTS: &str = "ledger/checkpoints";
const WITNESSES: &str = "ledger/witnesses";
const BUNDLES: &str = "bundles";
/// What precedes a key's name.
const KEY: &str = "key/";

/// What is asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealthOf<'a> {
    /// The signer: whether it can sign with any key.
    Signer,
    /// The key of this name.
    Key(&'a str),
    /// Whether the newest checkpoint of the ledger is as new as it is to be.
    Checkpoints,
    /// Whether the newest checkpoint has its quorum of witnesses.
    Witnesses,
    /// Whether the files of bundles are what they are to be.
    Bundles,
}

/// Whether what was asked about can do its work now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// It can.
    Serving,
    /// It cannot, or is about to stop.
    NotServing,
    /// There is no such thing, or no such key that this caller may use.
    Unknown,
}

/// A health, and each that follows it.
#[derive(Debug)]
pub struct HealthChanges(Streaming<HealthCheckResponse>);

impl Client {
    /// Whether the signer, a key of it (`Some(NAME)`) or whatever else [`HealthOf`] has can do its work.
    ///
    /// # Errors
    /// [`CallError`] with reason `SERVICE_UNKNOWN` if the signer does no such work, or there is no such key, or none that this caller
    /// may use.
    pub async fn health(&self, of: impl Into<HealthOf<'_>>) -> Result<Health, CallError> {
        let request = self.timed(of.into().request());
        Ok(self.health.clone().check(request).await?.into_inner().into())
    }

    /// The same, as it changes, for as long as both sides and the connection like; no deadline holds for it.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub async fn watch_health(&self, of: impl Into<HealthOf<'_>>) -> Result<HealthChanges, CallError> {
        let request = of.into().request();
        Ok(HealthChanges(self.health.clone().watch(request).await?.into_inner()))
    }
}

impl<'a> HealthOf<'a> {
    /// Its name to `grpc.health.v1`.
    #[must_use]
    pub fn service(self) -> String {
        match self {
            Self::Signer => String::new(),
            Self::Key(name) => format!("{KEY}{name}"),
            Self::Checkpoints => CHECKPOINTS.to_owned(),
            Self::Witnesses => WITNESSES.to_owned(),
            Self::Bundles => BUNDLES.to_owned(),
        }
    }

    /// What a name means, if it is one. The signer's own is that of its gRPC service, too.
    #[must_use]
    pub fn parse(service: &'a str) -> Option<Self> {
        match service {
            "" | SERVICE_NAME => Some(Self::Signer),
            CHECKPOINTS => Some(Self::Checkpoints),
            WITNESSES => Some(Self::Witnesses),
            BUNDLES => Some(Self::Bundles),
            key => key.strip_prefix(KEY).map(Self::Key),
        }
    }

    fn request(self) -> HealthCheckRequest {
        HealthCheckRequest { service: self.service() }
    }
}

/// A key, or the signer.
impl<'a> From<Option<&'a str>> for HealthOf<'a> {
    fn from(key: Option<&'a str>) -> Self {
        key.map_or(Self::Signer, Self::Key)
    }
}

impl From<HealthCheckResponse> for Health {
    fn from(response: HealthCheckResponse) -> Self {
        match response.status() {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Self::Unknown,
        }
    }
}

impl HealthChanges {
    /// The next health, at first that of now; none once the signer stops.
    ///
    /// # Errors
    /// [`CallError`] if the call broke: nothing is known any more.
    pub async fn next(&mut self) -> Result<Option<Health>, CallError> {
        Ok(self.0.message().await?.map(Health::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_means_what_it_was_made_of() {
        let all = [HealthOf::Signer, HealthOf::Checkpoints, HealthOf::Witnesses, HealthOf::Bundles];
        for of in all.into_iter().chain([HealthOf::Key("user-ca"), HealthOf::Key("ledger/witnesses")]) {
            assert_eq!(HealthOf::parse(&of.service()), Some(of));
        }
        assert_eq!(HealthOf::parse("countersign.v1.Signer"), Some(HealthOf::Signer));
        assert_eq!(HealthOf::parse("user-ca"), None);
    }
}
