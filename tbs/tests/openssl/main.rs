//! The X.509 part against the real `openssl`: what it makes we read and build again byte by byte, and what we build and
//! it signs, its own verifiers accept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod certificate;
mod crl;
mod ocsp;
mod tool;
