//! `countersign key list` of several tokens: a process of its own for each.
//!
//! In: a configuration and its tokens. Out: their rows. Modules do not get on with each other in one process where one is a wrapper of
//! the other, or both want one variable to be different; and a token that fails is told of, and hides no other.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{runtime, subprocess};
use crate::token::{Config, PinFile};

/// The rows of every token, and how many tokens could not be asked.
pub(super) fn rows(config: &Path, tokens: &[Config]) -> anyhow::Result<(Vec<Value>, usize)> {
    let runtime = runtime()?;
    let (mut rows, mut failed) = (Vec::new(), 0);
    for token in tokens {
        match runtime.block_on(of(config, token)) {
            Ok(listed) => rows.extend(listed),
            Err(problem) => {
                failed += 1;
                rows.push(json!({ "key": null, "token": token.name.as_str(), "problem": problem }));
            }
        }
    }
    Ok((rows, failed))
}

async fn of(config: &Path, token: &Config) -> Result<Vec<Value>, String> {
    if token.pin_file == PinFile::Pad {
        let name = &token.name;
        return Err(format!(
            "its PIN is typed at its own pad: `countersign key list --token {name}` asks for it there"
        ));
    }
    let words = ["key", "list", "--json", "--token", token.name.as_str(), "--config"].map(OsStr::new);
    subprocess::command(words.into_iter().chain([config.as_os_str()]), &token.environment).await
}
