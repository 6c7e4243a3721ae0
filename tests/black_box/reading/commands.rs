//! The commands that read a ledger, of a file and of a signer that runs.
