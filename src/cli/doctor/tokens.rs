//! The tokens: their modules, flags, mechanisms and PIN files, each module in a process of its own and without a login.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::finding::Finding;
use super::softhsm;
use crate::cli::subprocess;
use crate::config::Config;
use crate::key;
use crate::token::latch::{Latch, Verdict};
use crate::token::pkcs11::state::State;
use crate::token::{self, Device, PinFile, TokenName};

/// Looks at every token; `path` is that of the configuration.
pub(super) async fn examine(path: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for token in &config.tokens {
        let what = format!("token.{}", token.name);
        findings.extend(softhsm::examine(token));
        let words = ["token", "info", token.name.as_str(), "--json", "--config"].map(OsStr::new);
        let arguments = words.into_iter().chain([path.as_os_str()]);
        let info = subprocess::command::<Value>(arguments, &BTreeMap::new()).await;
        let serial = info.as_ref().ok().and_then(|info| info.get("serial"));
        findings.extend(pin(token, config.state(), serial));
        match info {
            Err(message) => findings.push(Finding::told(what, &message)),
            Ok(info) => {
                let keys = config.keys.iter().filter(|key| key.tokens().any(|held| *held == token.name));
                let found = match &token.device {
                    Device::Pkcs11(_) => module(&token.name, &info, &keys.collect::<Vec<_>>()),
                    Device::YubiKey(_) => card(&token.name, &info),
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
        "{}, serial {}, firmware {}: no warning flags; has every mechanism that its keys need",
        text("model"),
        text("serial"),
        text("firmware")
    )
}

/// Whether the PIN can be read, and whether the token of this serial number refused it before; it is not tried.
fn pin(token: &token::Config, state: &Path, serial: Option<&Value>) -> Option<Finding> {
    let what = format!("token.{}.{}", token.name, token.pin_file.option());
    let pin = match token.pin_file.read() {
        Ok(pin) => pin,
        Err(error) => return Some(Finding::told(what, &error.to_string())),
    };
    let latch = Latch::new(state, &token.name);
    if !latch.path().exists() || token.pin_file == PinFile::None {
        return None;
    }
    let serial = serial.map(|serial| serial.as_str().map_or_else(|| serial.to_string(), str::to_owned));
    let verdict = latch.past().ok().zip(serial).map(|(past, serial)| past.judge(&pin, &serial));
    if matches!(verdict, Some(Verdict::Untried | Verdict::Doubtful(_))) {
        // The next login takes the note away, or says that this one is wrong as well.
        return None;
    }
    if token.pin_file == PinFile::Pad {
        let cause =
            format!("nobody is asked for the PIN at the token's own pad: see {}", latch.path().display());
        let fix = format!("stand at it, and run `countersign token unlatch {}`", token.name);
        return Some(Finding::warning(what, cause, fix));
    }
    let cause = format!(
        "the token refused this PIN, or one before it: {} says so, and it is not tried again",
        latch.path().display()
    );
    let fix = format!(
        "put the right PIN into {}; if it is right, or was made right on the token, run `countersign token unlatch {}`",
        token.pin_file, token.name
    );
    Some(Finding::fault(what, cause, fix))
}

/// What a flag means to who runs the signer.
fn flag(name: &TokenName, state: State) -> Option<Finding> {
    let what = format!("token.{name}.flags");
    Some(match state {
        State::Ready | State::PinPad => return None,
        State::UserPinTried => Finding::warning(
            what,
            "somebody has tried a wrong PIN since the last login",
            "find out who; a right login takes the flag away",
        ),
        State::UserPinFinalTry => Finding::fault(
            what,
            "one try is left for the user PIN, which countersign does not spend",
            format!(
                "log in once by hand, with the right PIN and the vendor's tool, or run `countersign token unlock {name}`"
            ),
        ),
        State::UserPinLocked => Finding::fault(
            what,
            "the user PIN is locked: too many wrong ones were tried",
            format!("run `countersign token unlock {name}`, with the security officer's PIN"),
        ),
        State::UserPinUnset => Finding::fault(
            what,
            "the token has no user PIN yet",
            format!("run `countersign token unlock {name}`, with the security officer's PIN"),
        ),
        State::UserPinToBeChanged => Finding::fault(
            what,
            "the token wants its user PIN changed before it signs",
            format!("run `countersign token change-pin {name} --generate-pin`"),
        ),
        State::Error => Finding::fault(
            what,
            "the token says that it is in an error state",
            "ask its vendor's documentation; most want to be powered off and on",
        ),
        State::NeedsNoLogin => Finding::warning(
            what,
            "the token needs no login: whoever can load the module can sign",
            "have the token want a PIN, if it can",
        ),
        // The security officer's PIN, and write protection: nothing of it keeps the signer from signing.
        State::Blank
        | State::SoPinTried
        | State::SoPinFinalTry
        | State::SoPinLocked
        | State::SoPinToBeChanged
        | State::WriteProtected => Finding::warning(
            what,
            format!("the token says: {}", state.name()),
            "see to it before the token is to be changed",
        ),
    })
}

fn module(name: &TokenName, info: &Value, keys: &[&key::Config]) -> Vec<Finding> {
    let list = |key: &str| info.get(key).and_then(Value::as_array).into_iter().flatten();
    let states = list("state").filter_map(|state| State::deserialize(state).ok());
    let mut findings: Vec<_> = states.filter_map(|state| flag(name, state)).collect();
    if let Some(error) = info.get("schemes").and_then(|schemes| schemes.get("error")).and_then(Value::as_str)
    {
        findings.push(Finding::told(format!("token.{name}.mechanisms"), error));
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
fn card(name: &TokenName, info: &Value) -> Vec<Finding> {
    let (mut findings, what) = (Vec::new(), format!("token.{name}"));
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
    findings.extend(factory_secrets(name, info));
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

/// With them, who has the card in hand sets another PIN, or puts other keys into its slots.
fn factory_secrets(name: &TokenName, info: &Value) -> Vec<Finding> {
    let is_factory =
        |key: &str| info.get(key).and_then(|secret| secret.get("factory")) == Some(&Value::Bool(true));
    let mut findings = Vec::new();
    if is_factory("puk") {
        findings.push(Finding::warning(
            format!("token.{name}.puk"),
            "the PUK is the factory's: whoever has the card sets another PIN with it",
            format!("run `countersign token change-puk {name}`"),
        ));
    }
    if is_factory("management_key") {
        findings.push(Finding::warning(
            format!("token.{name}.management-key"),
            "the management key is the factory's: whoever has the card puts other keys into its slots with it",
            format!(
                "run `countersign token change-management-key {name} --new-management-key-file management-key --generate`"
            ),
        ));
    }
    findings
}
