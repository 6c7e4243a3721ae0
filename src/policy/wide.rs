//! Bounds that are there and bound little, for who looks after a configuration.
//!
//! In: the rules in force. Out: what in them is wider than the reason for such a signer allows. Nothing here refuses anything: every
//! bound is required already, and how far is too far is the operator's to say.

use std::time::Duration;

use crate::key::KeyPurpose;
use crate::policy::budget::Budget;
use crate::policy::profile::{Bounds, Profile};
use crate::policy::{Policy, ssh};

/// A bound that bounds little.
pub(crate) struct Wide {
    /// Its place in the configuration.
    pub(crate) at: String,
    /// What it lets through.
    pub(crate) cause: String,
    /// What to write instead.
    pub(crate) fix: &'static str,
}

/// The longest lifetime of a user's SSH certificate that goes without saying: nothing revokes it on hosts that fetch no list.
const LONGEST_LOGIN: Duration = Duration::from_secs(7 * 86_400);
/// As many certificates a day go without saying.
const MANY_A_DAY: u128 = 1_000_000;
/// An account that is worth more than any other.
const ROOT: &str = "root";

impl Policy {
    /// Every bound that bounds little, by profile.
    pub(crate) fn wide(&self) -> Vec<Wide> {
        let of_key = |rules: &super::KeyRules| {
            let of_profile = |profile: &Profile| wide(rules.purpose, profile);
            rules.profiles.iter().flat_map(of_profile).collect::<Vec<_>>()
        };
        self.keys.values().flat_map(of_key).collect()
    }
}

fn wide(purpose: KeyPurpose, profile: &Profile) -> Vec<Wide> {
    let mut found: Vec<_> = budget(profile).into_iter().collect();
    if let (KeyPurpose::SshUserCa, Bounds::Ssh(bounds)) = (purpose, &profile.bounds) {
        found.extend(login(&profile.path, bounds));
    }
    found
}

fn budget(profile: &Profile) -> Option<Wide> {
    let Budget { rate, volume: None, .. } = profile.budget else { return None };
    let a_day = u128::from(rate.count().get()) * 86_400 / u128::from(rate.period().as_secs().max(1));
    (a_day > MANY_A_DAY).then(|| Wide {
        at: format!("{}.budget", profile.path),
        cause: format!("lets each caller have {a_day} certificates a day, day after day"),
        fix: "bound a longer time as well, with `volume`, at what this front-end needs in a month",
    })
}

fn login(path: &str, bounds: &ssh::Bounds) -> Vec<Wide> {
    let longest = bounds.validity.max_lifetime;
    let too_long = (longest > LONGEST_LOGIN).then(|| Wide {
        at: format!("{path}.max_lifetime"),
        cause: format!("lets a user's certificate live {}", humantime::format_duration(longest)),
        fix: "sign for hours, and again when they are over: a certificate that was stolen is of use until its end",
    });
    let reaches_root =
        |pattern: &&crate::policy::Pattern| pattern.to_string() != ROOT && pattern.matches(ROOT);
    let root = bounds.principals.iter().find(reaches_root).map(|pattern| Wide {
        at: format!("{path}.principals"),
        cause: format!("has the pattern \"{pattern}\", which root matches as well"),
        fix: "list the names, or give the pattern a part that no account of power has, such as \"staff-*\"",
    });
    too_long.into_iter().chain(root).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use crate::config::Config;

    /// Where a profile is found too wide.
    fn wide(principals: &str, lifetime: &str, budget: &str) -> Vec<String> {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntls_certificate = \"c\"\ntls_key = \"k\"\nclient_ca = \"a\"\n\
             [ledger]\npath = \"l\"\norigin = \"o\"\n[token.t]\nmodule = \"m\"\nlabel = \"t\"\npin_file = \"p\"\n\
             [key.ca]\npurpose = \"ssh-user-ca\"\nscheme = \"ed25519\"\ntoken = \"t\"\n\
             [key.ca.allow.staff]\ncallers = [\"dns:front\"]\nprincipals = [{principals}]\nmax_lifetime = \"{lifetime}\"\n\
             budget = {budget}\n"
        );
        let config = Config::parse(Path::new("cs.toml"), &text).unwrap();
        config.policy.wide().into_iter().map(|wide| wide.at).collect()
    }

    #[test]
    fn what_bounds_something_is_not_wide() {
        let nothing = Vec::<String>::new();
        assert_eq!(wide("\"alice\", \"root\", \"deploy-*\"", "16h", "\"500/h\""), nothing);
        assert_eq!(wide("\"alice\"", "7d", "\"1000/s\"\nvolume = \"100000/30days\""), nothing);
    }

    #[test]
    fn what_root_or_anybody_or_any_time_fits_is_wide() {
        for pattern in ["\"*\"", "\"alice\", \"ro*\"", "\"*t\""] {
            assert_eq!(wide(pattern, "16h", "\"500/h\""), ["key.ca.allow.staff.principals"], "{pattern}");
        }
        assert_eq!(wide("\"alice\"", "8d", "\"500/h\""), ["key.ca.allow.staff.max_lifetime"]);
        assert_eq!(wide("\"alice\"", "16h", "\"1000/s\""), ["key.ca.allow.staff.budget"]);
    }
}
