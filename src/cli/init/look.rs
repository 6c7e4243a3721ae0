//! Looks for the token before anything is made on it, or for it.
//!
//! In: a checked [`Plan`]. Out: whether its token is there. No PIN is shown to it yet: a wrong one is found by the first step.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use anyhow::{Context, anyhow};
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::Value;

use super::plan::{Plan, Token};
use super::template::{self, Made};
use crate::cli::{runtime, subprocess};

/// # Errors
/// It is not there, or its module cannot be loaded.
pub(super) fn at_token(plan: &Plan) -> anyhow::Result<()> {
    if let Token::New { .. } = plan.token {
        return Ok(());
    }
    // A configuration that is nowhere yet: a process of its own loads the module, and inherits the file.
    let memory = memfd_create("countersign.toml", MemfdFlags::empty());
    let mut draft = File::from(memory.context("nothing was made: no memory for a configuration")?);
    draft.write_all(template::render(plan, &Made::default())?.as_bytes())?;
    let path = format!("/dev/fd/{}", draft.as_raw_fd());
    let words = ["token", "info", plan.token.name(), "--json", "--config", &path].map(OsStr::new);
    let found: Result<Value, String> = runtime()?.block_on(subprocess::command(words, &BTreeMap::new()));
    let told = |why| anyhow!("nothing was made, for the token cannot be used: {why}");
    found.map(drop).map_err(told)
}
