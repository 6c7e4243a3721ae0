//! One token in two sections.

use std::path::PathBuf;

use crate::config::Fault;
use crate::token::{Config, Device, Pkcs11};

/// Sections that are one token, whatever path they call its module by, and whether or not they say its serial number, which a label that
/// only one token has needs not: each would have a latch of its own for the one PIN. Only in one environment, which may say which device it is.
pub(super) fn faults(tokens: &[Config]) -> Vec<Fault> {
    let mut seen: Vec<(&Config, &Pkcs11, PathBuf)> = Vec::new();
    let mut faults = Vec::new();
    for config in tokens {
        let Device::Pkcs11(device) = &config.device else { continue };
        let module = device.module.canonicalize().unwrap_or_else(|_| device.module.clone());
        let is_same = |(other, known, path): &&(&Config, &Pkcs11, PathBuf)| {
            let may_be_one =
                known.serial == device.serial || known.serial.is_none() || device.serial.is_none();
            *path == module
                && known.label == device.label
                && may_be_one
                && other.environment == config.environment
        };
        if let Some((other, ..)) = seen.iter().find(is_same) {
            let message = format!(
                "is the same token as token.{}: a token has one section, with one PIN; put the keys of both into one",
                other.name
            );
            faults.push(Fault::new(format!("token.{}", config.name), message));
        }
        seen.push((config, device, module));
    }
    faults
}
