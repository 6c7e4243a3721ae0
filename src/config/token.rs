//! `[token.NAME]`: a token, and the process that talks to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::config::checks::{duration, integer, path, text};
use crate::config::section::{List, Number, Section, Text};
use crate::secret_file::is_descriptor;
use crate::token::{
    Config, Device, Limits, Network, PATH_VARIABLES, PinFile, Pkcs11, TokenName, Touch, Weaker, YubiKey,
};

/// A token behind a PKCS#11 module.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    module: Text,
    label: Text,
    serial: Text,
    pin_file: Text,
    pin_credential: Text,
    pin_pad: Option<Spanned<bool>>,
    pin_none: Option<Spanned<bool>>,
    processes: Number,
    sessions: Number,
    queue: Number,
    deadline: Text,
    keepalive: Text,
    writable: List,
    network: Option<Spanned<bool>>,
    require_isolation: Option<Spanned<bool>>,
    environment: Option<BTreeMap<String, Spanned<String>>>,
}

/// A YubiKey.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawYubiKey {
    yubikey: Number,
    pin_file: Text,
    pin_credential: Text,
    interactive: Option<Spanned<bool>>,
    queue: Number,
    deadline: Text,
    keepalive: Text,
    environment: Option<BTreeMap<String, Spanned<String>>>,
}

pub(super) fn read(name: &str, section: &mut Section<'_, '_>) -> Option<Config> {
    let name = TokenName::new(name).map_err(|error| section.fault(error)).ok();
    if section.has("yubikey") { yubikey(name, section) } else { pkcs11(name, section) }
}

/// Whether two sections are one token, whatever path they call its module by, and whether or not they say its serial number, which a label
/// that only one token has needs not: each would have a latch of its own, and a try of the PIN for each. In another environment a module may
/// have other tokens; a card is the same one whoever is there to touch it, and by whatever socket it is reached.
pub(super) fn are_one(one: &Config, other: &Config) -> bool {
    match (&one.device, &other.device) {
        (Device::Pkcs11(device), Device::Pkcs11(known)) => {
            let module =
                |device: &Pkcs11| device.module.canonicalize().unwrap_or_else(|_| device.module.clone());
            let may_be_one =
                device.serial == known.serial || device.serial.is_none() || known.serial.is_none();
            device.label == known.label
                && may_be_one
                && one.environment == other.environment
                && module(device) == module(known)
        }
        (Device::YubiKey(card), Device::YubiKey(known)) => card.serial == known.serial,
        (Device::Pkcs11(_), Device::YubiKey(_)) | (Device::YubiKey(_), Device::Pkcs11(_)) => false,
    }
}

fn pkcs11(name: Option<TokenName>, section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: Raw = section.read();
    let directory = section.directory();
    let here = path(&directory);
    let module = section.required("module", raw.module, &here);
    // CK_TOKEN_INFO: 32 bytes of label and 16 of serial number, padded with spaces.
    let label = section.required("label", raw.label, text(32));
    let serial = section.or("serial", raw.serial, None, |serial| text(16)(serial).map(Some));
    let without_one = [("pin_pad", raw.pin_pad, PinFile::Pad), ("pin_none", raw.pin_none, PinFile::None)];
    let without_one = without_one.into_iter().filter_map(|(key, said, source)| {
        said.filter(|said| *said.get_ref()).map(|said| (key, said.span(), source))
    });
    let pin_file = match without_one.collect::<Vec<_>>().as_slice() {
        [] => pin_file(raw.pin_file, raw.pin_credential, section),
        [(_, _, source)] if raw.pin_file.is_none() && raw.pin_credential.is_none() => Some(source.clone()),
        [.., (key, span, _)] => {
            let message = "is there, and so is another of `pin_file`, `pin_credential`, `pin_pad` and `pin_none`: keep one of them";
            section.fault_at(key, span, message);
            None
        }
    };
    // Each process logs in, and each login is somebody's at the pad.
    let most = if pin_file == Some(PinFile::Pad) { 1 } else { 8 };
    let processes = section.or("processes", raw.processes, 1, integer(1..=most));
    let least = processes.unwrap_or(1);
    let sessions = section.or("sessions", raw.sessions, least.max(4), integer(least..=64));
    let queue = queue(raw.queue, section);
    let deadline = deadline(raw.deadline, Duration::from_secs(10), section);
    let keepalive = keepalive(raw.keepalive, section);
    let writable = section.list("writable", raw.writable, &here);
    let network = if raw.network.is_some_and(Spanned::into_inner) { Network::Allowed } else { Network::None };
    let weaker =
        if raw.require_isolation.is_some_and(Spanned::into_inner) { Weaker::Refused } else { Weaker::Told };
    let environment = environment(raw.environment.unwrap_or_default(), section);
    Some(Config {
        name: name?,
        device: Device::Pkcs11(Pkcs11 { module: module?, label: label?, serial: serial? }),
        pin_file: pin_file?,
        processes: processes?,
        sessions: sessions?,
        queue: queue?,
        deadline: deadline?,
        keepalive: keepalive?,
        limits: Limits { writable: writable?.into_iter().collect(), network, weaker },
        environment: environment?,
    })
}

/// A card does one thing at a time, and its process needs nothing but pcscd's socket.
fn yubikey(name: Option<TokenName>, section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: RawYubiKey = section.read();
    let serial = section.required("yubikey", raw.yubikey, |serial| {
        u32::try_from(serial).map_err(|_| "should be the serial number that is printed on the YubiKey")
    });
    let pin_file = pin_file(raw.pin_file, raw.pin_credential, section);
    // A card waits 15 seconds to be touched.
    let (touch, longest) = match raw.interactive.map(Spanned::into_inner) {
        Some(true) => (Touch::Interactive, Duration::from_secs(30)),
        Some(false) | None => (Touch::Refused, Duration::from_secs(10)),
    };
    let queue = queue(raw.queue, section);
    let deadline = deadline(raw.deadline, longest, section);
    let keepalive = keepalive(raw.keepalive, section);
    let environment = environment(raw.environment.unwrap_or_default(), section);
    Some(Config {
        name: name?,
        device: Device::YubiKey(YubiKey { serial: serial?, touch }),
        pin_file: pin_file?,
        processes: 1,
        sessions: 1,
        queue: queue?,
        deadline: deadline?,
        keepalive: keepalive?,
        limits: Limits::default(),
        environment: environment?,
    })
}

/// A PIN is read anew for each login, by processes that inherit nothing; another descriptor may have the number there.
fn not_inherited(file: PathBuf) -> Result<PathBuf, String> {
    if is_descriptor(&file) {
        return Err("is a descriptor, which no token's process inherits, and a PIN is read again at each login: name a file, or a `pin_credential`".to_owned());
    }
    Ok(file)
}

/// A file, or a credential; where credentials are is not known here.
fn pin_file(file: Text, credential: Text, section: &mut Section<'_, '_>) -> Option<PinFile> {
    let Some(credential) = credential else {
        let directory = section.directory();
        return section
            .required("pin_file", file, |file| not_inherited(path(&directory)(file)?))
            .map(PinFile::Own);
    };
    if let Some(file) = file {
        section.fault_at("pin_file", &file.span(), "is there, and so is `pin_credential`: keep one of them");
        return None;
    }
    let name = section.required("pin_credential", Some(credential), |name| {
        let is_name = (1..=255).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
            && ![".", ".."].contains(&name.as_str());
        if is_name { Ok(name) } else { Err("should be the name of a systemd credential, and only that") }
    });
    name.map(|name| PinFile::Credential { name, directory: None })
}

fn queue(raw: Number, section: &mut Section<'_, '_>) -> Option<usize> {
    section.or("queue", raw, 1024, integer(1..=65_536))
}

fn deadline(raw: Text, default: Duration, section: &mut Section<'_, '_>) -> Option<Duration> {
    let bounds = Duration::from_millis(100)..=Duration::from_secs(300);
    section.or("deadline", raw, default, duration(bounds))
}

fn keepalive(raw: Text, section: &mut Section<'_, '_>) -> Option<Duration> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    section.or("keepalive", raw, Duration::from_secs(10), duration(bounds))
}

fn environment(
    raw: BTreeMap<String, Spanned<String>>,
    section: &mut Section<'_, '_>,
) -> Option<BTreeMap<String, String>> {
    let (count, mut checked) = (raw.len(), BTreeMap::new());
    for (name, value) in raw {
        let at = format!("environment.{name}");
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.starts_with(|first: char| !first.is_ascii_digit());
        if !is_name {
            section.fault_at(
                &at,
                &value.span(),
                "is not a variable's name: letters, digits and _, no digit first",
            );
        } else if value.get_ref().contains('\0') {
            section.fault_at(&at, &value.span(), "has a NUL, which no variable can hold");
        } else if PATH_VARIABLES.contains(&name.as_str()) && !value.get_ref().starts_with('/') {
            let message = "should be a whole path, from / on: another is taken from wherever the daemon or a command is started";
            section.fault_at(&at, &value.span(), message);
        } else {
            checked.insert(name, value.into_inner());
        }
    }
    (checked.len() == count).then_some(checked)
}
