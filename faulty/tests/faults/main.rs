//! Every fault, in front of SoftHSM2: that it happens, and that it stops when the script no longer says so.
//!
//! A module belongs to its process and reads its environment, so each test runs in a process of its own: see [`place`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

#[macro_use]
mod place;

mod calls;
mod ladder;
mod objects;
mod pin;
mod sessions;
mod signatures;
mod slots;
