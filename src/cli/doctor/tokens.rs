//! The tokens: their modules, flags, mechanisms and PIN files, each module in a process of its own and without a login.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::Value;

use super::finding::Finding;
use super::softhsm;
use crate::cli::subprocess;
use crate::config::Config;
use crate::key;
use crate::token::PinFile;
use crate::token::latch::Latch;
use crate::token::{self, Device};

/// Looks at every token; `path` is that of the configuration.
pub(super) async fn examine(path: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for token in &config.tokens {
        let what = format!("token.{}", token.name);
        findings.extend(softhsm::examine(token));
        findings.extend(pin(token, config.state()));
        let words = ["token", "info", token.name.as_str(), "--json", "--config"].map(OsStr::new);
        let arguments = words.into_iter().chain([path.as_os_str()]);
        match subprocess::command::<Value>(arguments, &BTreeMap::new()).await {
            Err(message) => findings.push(Finding::told(what, &message)),
            Ok(info) => {
                let keys = config.keys.iter().filter(|key| key.tokens().any(|held| *held == token.name));
                let found = match &token.device {
                    Device::Pkcs11(_) => module(&what, &info, &keys.collect::<Vec<_>>()),
                    Device::YubiKey(_) => card(&what, &info),
                };
                if found.is_empty() {
                    findings.push(Finding::well(what, told(&info)));
                }
                findings.extend(found);
            }
        }
    }
    findings
}

/// What it is, in a line.
fn told(info: &Value) -> String {
    let text = |key: &str| match info.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "YubiKey".to_owned(),
    };
    format!(
        "{}, serial {}, firmware {}: no flag, and no mechanism lacks",
        text("model"),
        text("serial"),
        text("firmware")
    )
}

/// Whether the PIN can be read, and whether it was refused before; it is not tried.
fn pin(token: &token::Config, state: &Path) -> Vec<Finding> {
    let what = format!("token.{}.{}", token.name, token.pin_file.option());
    if let Err(error) = token.pin_file.read() {
        return vec![Finding::told(what, &error.to_string())];
    }
    let latch = Latch::new(state, &token.name);
    if !latch.path().exists() {
        return Vec::new();
    }
    if token.pin_file == PinFile::Pad {
        let cause =
            format!("nobody is asked for the PIN at the token's own pad: see {}", latch.path().display());
        let fix = format!("stand at it, and run `countersign token unlatch {}`", token.name);
        return vec![Finding::warning(what, cause, fix)];
    }
    let cause = format!(
        "the token refused this PIN, or one before it: {} says so, and it is not tried again",
        latch.path().display()
    );
    let fix = format!(
        "put the right PIN into {}; if it is right, or was made right on the token, run `countersign token unlatch {}`",
        token.pin_file, token.name
    );
    vec![Finding::warning(what, cause, fix)]
}

/// What a flag in words means to who runs the signer.
fn flag(what: &str, state: &str) -> Option<Finding> {
    let what = format!("{what}.flags");
    let name = what.split('.').nth(1).unwrap_or_default().to_owned();
    Some(match state {
        "ready" | "PIN pad" => return None,
        "user PIN: a wrong try since the last login" => Finding::warning(
            what,
            "somebody has tried a wrong PIN since the last login",
            "find out who; a right login takes the flag away",
        ),
        "user PIN: final try" => Finding::fault(
            what,
            "one try is left for the user PIN, which countersign does not spend",
            format!(
                "log in once by hand, with the right PIN and the vendor's tool, or run `countersign token unlock {name}`"
            ),
        ),
        "user PIN locked" => Finding::fault(
            what,
            "the user PIN is locked: too many wrong ones were tried",
            format!("run `countersign token unlock {name}`, with the security officer's PIN"),
        ),
        "user PIN not set" => Finding::fault(
            what,
            "the token has no user PIN yet",
            format!("run `countersign token unlock {name}`, with the security officer's PIN"),
        ),
        "user PIN must be changed" => Finding::fault(
            what,
            "the token wants its user PIN changed before it signs",
            format!("run `countersign token change-pin {name} --generate-pin`"),
        ),
        "in an error state" => Finding::fault(
            what,
            "the token says that it is in an error state",
            "ask its vendor's documentation; most want to be powered off and on",
        ),
        "needs no login" => Finding::warning(
            what,
            "the token needs no login: whoever can load the module can sign",
            "have the token want a PIN, if it can",
        ),
        // The security officer's PIN, and write protection: nothing of it keeps the signer from signing.
        other => Finding::warning(
            what,
            format!("the token says: {other}"),
            "see to it before the token is to be changed",
        ),
    })
}

fn module(what: &str, info: &Value, keys: &[&key::Config]) -> Vec<Finding> {
    let list = |key: &str| info.get(key).and_then(Value::as_array).into_iter().flatten();
    let states = list("state").filter_map(Value::as_str);
    let mut findings: Vec<_> = states.filter_map(|state| flag(what, state)).collect();
    if let Some(error) = info.get("schemes").and_then(|schemes| schemes.get("error")).and_then(Value::as_str)
    {
        findings.push(Finding::told(format!("{what}.mechanisms"), error));
    }
    for key in keys {
        let is_keys = |row: &&Value| row.get("scheme").and_then(Value::as_str) == Some(key.scheme.name());
        let Some(why) = list("schemes").find(is_keys).and_then(|row| row.get("why")).and_then(Value::as_str)
        else {
            continue;
        };
        findings.push(Finding::fault(
            format!("key.{}.scheme", key.name),
            format!("the token cannot sign by {}: {why}", key.scheme),
            "take a scheme that `countersign token info` says it signs by, and a key for it; or another token",
        ));
    }
    findings
}

/// What a YubiKey says of itself.
fn card(what: &str, info: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = what.split('.').nth(1).unwrap_or_default();
    let pin = |key: &str| info.get("pin").and_then(|pin| pin.get(key));
    match pin("left").and_then(Value::as_u64) {
        Some(0) => findings.push(Finding::fault(
            format!("{what}.flags"),
            "the PIN is blocked: too many wrong ones were tried",
            format!("run `countersign token unlock {name}`, with the PUK"),
        )),
        Some(1) => findings.push(Finding::fault(
            format!("{what}.flags"),
            "one try is left for the PIN, which countersign does not spend",
            format!("verify it once by hand (`yubico-piv-tool -a verify-pin`), or run `countersign token unlock {name}`, with the PUK"),
        )),
        _ => {}
    }
    if pin("factory") == Some(&Value::Bool(true)) {
        let cause = "the PIN is the factory's, which everybody knows";
        findings.push(Finding::warning(
            format!("{what}.pin"),
            cause,
            format!("run `countersign token change-pin {name}`"),
        ));
    }
    if info.get("eucleak") == Some(&Value::Bool(true)) {
        let cause =
            "this firmware has EUCLEAK (YSA-2024-03): who has the card in hand can work out its ECDSA keys";
        findings.push(Finding::warning(
            format!("{what}.firmware"),
            cause,
            "take RSA keys, or a card of firmware 5.7",
        ));
    }
    findings
}
