//! What is wrong with a text that is not TOML, as far as it can be told without showing a value, which may be a secret.

use toml::de::Error;

/// One line: what the parser says, and what people who wrote this usually meant.
pub(super) fn fault(text: &str, error: &Error) -> String {
    let (said, span) = (error.message(), error.span().unwrap_or_default());
    let said = said.strip_suffix(", expected nothing").unwrap_or(said);
    if text.trim_start().starts_with('{') {
        return "is not TOML: it looks like JSON, and the configuration is TOML; see countersign.example.toml".to_owned();
    }
    if said.starts_with("duplicate key") {
        let key = text.get(span).unwrap_or_default();
        return format!("is not TOML: {said} `{}`; keep one of them", key.escape_debug());
    }
    match unquoted(text, span.start) {
        Some(key) => format!("is not TOML: {said}; put text in quotes: {key} = \"…\""),
        None => format!("is not TOML: {said}"),
    }
}

/// The key of the line at `offset`, if its value looks like text without quotes: neither quoted, nor a list, a table, or one number.
fn unquoted(text: &str, offset: usize) -> Option<&str> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_key =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let first = value.chars().next()?;
    (is_key && !"\"'[{#".contains(first)).then_some(key)
}
