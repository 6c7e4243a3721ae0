//! Black-box tests: the real daemon, over gRPC or its command line, with SoftHSM2, sshd and ssh-keygen.
//!
//! Each test has a [`site::Site`] of its own (token directory, port, ledger), so they run in parallel. One binary, so
//! that they are linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

mod ca;
#[path = "../../examples/forge/corpus.rs"]
mod corpus;
#[allow(dead_code, reason = "the tests of YubiKeys need more of it")]
#[path = "../yubikey/desk.rs"]
mod desk;
#[path = "../../examples/forge/file.rs"]
mod file;
mod forge;
#[allow(dead_code, reason = "the contract needs more of it")]
#[path = "../contract/hsm.rs"]
mod hsm;
mod site;

mod agent;
mod backup;
mod bench;
mod blocklist;
mod budget;
mod ceremony;
mod checkpoints;
mod cli;
mod crl_ocsp;
mod database;
mod doctor;
mod documents;
mod export;
mod faulty;
mod fleet;
mod flood;
mod forged;
mod front_ends;
mod health;
mod hostile;
mod hygiene;
mod identity;
mod init;
mod key_delete;
mod key_import;
mod lanes;
mod ledger;
mod limits;
mod login;
mod outage;
mod pad;
mod pins;
mod pki;
mod provision;
mod reading;
mod readme;
mod refusals;
mod replay;
mod revoke;
mod rotate;
mod several;
mod sign;
mod softhsm;
mod start;
mod terminal;
mod tokens;
mod transcript;
mod transcripts;
mod transparency;
mod witness;
mod words;
mod x509;
