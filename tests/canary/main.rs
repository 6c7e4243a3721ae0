//! A canary PIN through every failure path of whatever reads one: it is found in its file, and nowhere else.
//!
//! So are a YubiKey's PIN, PUK and management key, an imported key and its passphrase, and a database's password.
//!
//! The daemon and each command that reads a PIN run with `RUST_LOG=trace` into everything that can go wrong with a token: a
//! wrong PIN and the latch, PIN files of every bad kind, a module that fails, crashes or hangs, in the login and after. What they
//! print, log, answer, record and leave on the disk is searched for the PINs in many forms; so are the arguments and the
//! environment of their processes, and the daemon's whole memory. The memory of other processes is read by root alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

mod canary;
mod card;
mod changes;
mod commands;
mod daemon;
mod database;
#[allow(dead_code, reason = "the tests of YubiKeys need more of it")]
#[path = "../yubikey/desk.rs"]
mod desk;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/forge.rs"]
mod forge;
mod nest;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/pki.rs"]
mod pki;
mod process;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/site.rs"]
mod site;
