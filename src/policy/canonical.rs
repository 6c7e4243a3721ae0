//! The policy as canonical text, which is what its digest covers.
//!
//! In: compiled rules. Out: lines of a word and its values, in a fixed order, with every default written out; docs/policy.md
//! specifies them. Two configurations that decide alike line by line have one text, whatever their comments, order and spelling.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::key::KeyName;
use crate::policy::blocklist::Blocklist;
use crate::policy::budget::{Budget, Rate};
use crate::policy::profile::{Bounds, Profile};
use crate::policy::ssh::value::ValueRule;
use crate::policy::validity::{UpdateBounds, ValidityBounds};
use crate::policy::{KeyRules, ssh};

/// The first line. Its number changes when the built-in rules or this format do.
const HEADER: &str = "countersign policy 3";

/// The canonical text: ASCII where the configuration is, each line ended by a line feed.
pub(super) fn text(keys: &BTreeMap<KeyName, KeyRules>, blocklist: &Blocklist) -> String {
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = write_policy(&mut text, keys, blocklist);
    text
}

fn write_policy(out: &mut String, keys: &BTreeMap<KeyName, KeyRules>, blocklist: &Blocklist) -> fmt::Result {
    writeln!(out, "{HEADER}")?;
    for list in blocklist.lists() {
        write!(out, "blocklist {} ", list.format().name())?;
        list.sha256().iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        writeln!(out)?;
    }
    for (name, rules) in keys {
        writeln!(out, "key {:?} {}", name.as_str(), rules.purpose)?;
        for profile in &rules.profiles {
            write_profile(out, profile)?;
        }
    }
    Ok(())
}

fn write_profile(out: &mut String, profile: &Profile) -> fmt::Result {
    writeln!(out, "allow {:?}", profile.name)?;
    write_each(out, "caller", &profile.callers)?;
    match &profile.bounds {
        Bounds::Ssh(bounds) => write_ssh(out, bounds)?,
        Bounds::X509(bounds) => bounds.canonical(out)?,
        Bounds::Crl(bounds) => bounds.canonical(out)?,
        Bounds::Ocsp(bounds) => bounds.canonical(out)?,
        Bounds::Request(bounds) => bounds.canonical(out)?,
        Bounds::Root(bounds) => bounds.canonical(out)?,
    }
    write_budget(out, &profile.budget)
}

fn write_budget(out: &mut String, budget: &Budget) -> fmt::Result {
    let Budget { rate, burst, volume, freeze_after } = budget;
    write_rate(out, "budget", *rate)?;
    writeln!(out, "burst {burst}")?;
    match volume {
        None => writeln!(out, "volume none")?,
        Some(volume) => write_rate(out, "volume", *volume)?,
    }
    write_rate(out, "freeze_after", *freeze_after)
}

fn write_rate(out: &mut String, word: &str, rate: Rate) -> fmt::Result {
    writeln!(out, "{word} {}/{}", rate.count(), rate.period().as_secs())
}

fn write_ssh(out: &mut String, bounds: &ssh::Bounds) -> fmt::Result {
    write_each(out, "subject_key", &bounds.subject_keys)?;
    writeln!(out, "min_rsa_bits {}", bounds.min_rsa_bits)?;
    writeln!(out, "max_principals {}", bounds.max_principals)?;
    write_each(out, "principal", &bounds.principals)?;
    match &bounds.key_id {
        None => writeln!(out, "key_id any")?,
        Some(patterns) => write_each(out, "key_id", patterns)?,
    }
    write_validity(out, &bounds.validity)?;
    write_options(out, "critical_option", &bounds.critical_options)?;
    write_each(out, "require_critical_option", &bounds.require_critical_options)?;
    write_options(out, "extension", &bounds.extensions)
}

pub(super) fn write_validity(out: &mut String, validity: &ValidityBounds) -> fmt::Result {
    writeln!(out, "backdating {}", validity.backdating.as_secs())?;
    writeln!(out, "start_within {}", validity.start_within.as_secs())?;
    writeln!(out, "min_lifetime {}", validity.min_lifetime.as_secs())?;
    writeln!(out, "max_lifetime {}", validity.max_lifetime.as_secs())
}

pub(super) fn write_updates(out: &mut String, updates: &UpdateBounds) -> fmt::Result {
    writeln!(out, "backdating {}", updates.backdating.as_secs())?;
    writeln!(out, "start_within {}", updates.start_within.as_secs())?;
    writeln!(out, "max_next_update {}", updates.max_next_update.as_secs())
}

fn write_options(out: &mut String, word: &str, options: &BTreeMap<String, ValueRule>) -> fmt::Result {
    for (name, rule) in options {
        match rule {
            ValueRule::Absent => writeln!(out, "{word} {name:?} flag")?,
            ValueRule::Matching(patterns) => write_each(out, &format!("{word} {name:?} matching"), patterns)?,
            ValueRule::Within(networks) => write_each(out, &format!("{word} {name:?} within"), networks)?,
        }
    }
    Ok(())
}

/// One line for each value: `word "value"`.
pub(super) fn write_each<T: Display>(
    out: &mut String,
    word: &str,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    values.into_iter().try_for_each(|value| writeln!(out, "{word} {:?}", value.to_string()))
}
