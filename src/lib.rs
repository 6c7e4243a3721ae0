//! countersign: a signing service that reads what it signs.
//!
//! One request goes one way, and each stage is a module, in this order:
//!
//! ```text
//! bytes -> server -> caller -> tbs -> policy -> ledger -> token -> verify -> server -> bytes
//! ```
//!
//! Start with [`sign`], which is that line as code. A stage's result is a type that only that stage can build and the
//! next one demands, so that a signature without a durable ledger entry does not compile.

pub mod sign;

pub mod key;

pub mod caller;
pub mod ledger;
pub mod policy;
pub mod rotation;
pub mod token;
pub mod verify;

pub mod provision;
pub mod sshsig;

pub mod config;
pub mod daemon;
pub mod server;

pub mod agent;

pub mod cli;

mod causes;
mod directory;
#[cfg(test)]
mod logged;
mod secret_file;
