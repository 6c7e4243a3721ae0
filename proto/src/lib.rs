//! The countersign.v1 gRPC API: the generated types, and a thin client.
//!
//! In: addresses, PEM files and requests. Out: answers and typed errors. No policy is here, and no token library is
//! linked, so that a front-end may depend on this crate alone.

pub mod client;

pub use client::Client;

/// The generated messages, client and server of `countersign/v1/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("countersign.v1");
}

/// `domain` of every `google.rpc.ErrorInfo` that the service sends.
pub const ERROR_DOMAIN: &str = "countersign.v1";
