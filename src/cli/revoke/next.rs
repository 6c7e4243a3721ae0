//! What is to be done after a revocation, as a line to paste.
//!
//! In: the CA key and the configuration. Out: the command that makes the list; if no profile lets this operator have one signed, what to
//! add first.

use std::path::PathBuf;

use crate::caller::{Caller, CallerName};
use crate::config::Config;
use crate::ledger::entry::CaKey;
use crate::policy::Policy;

pub(super) fn next(ca_key: &CaKey, key: &str, config: &Config) -> String {
    if !ca_key.is_x509() {
        return format!(
            "`countersign ssh-krl {key} --out {key}.krl`, for the file that sshd's RevokedKeys names"
        );
    }
    let section = config.keys.iter().find(|section| section.name.as_str() == key);
    let file = |path: Option<&PathBuf>| path.map_or("FILE".to_owned(), |path| path.display().to_string());
    let certificate = file(section.and_then(|section| Some(&section.certificate.as_ref()?.own)));
    let socket = file(config.server.unix_socket.as_ref());
    let command =
        format!("`countersign crl {key} --certificate {certificate} --out {key}.crl --server unix:{socket}`");
    let operator = Caller::from_uid(rustix::process::geteuid().as_raw());
    format!("{command}{}", first(&config.policy, key, operator.name()))
}

/// What `operator` has to have before it may have lists of `key` signed; empty if it may.
fn first(policy: &Policy, key: &str, operator: &CallerName) -> String {
    let mut lists =
        policy.profiles_of(key).unwrap_or_default().iter().filter(|profile| profile.signs_lists());
    if lists.clone().any(|profile| profile.callers.contains(operator)) {
        return String::new();
    }
    let how = match lists.next() {
        Some(profile) => format!("add \"{operator}\" to the callers of [{}]", profile.path),
        None => format!(
            "add these lines:\n[key.{key}.allow.lists]\ncallers = [\"{operator}\"]\nsigns = \"crl\"\nmax_entries = 10000\n\
             max_next_update = \"7d\"\nbudget = \"100/day\""
        ),
    };
    format!(
        ". No profile lets {operator} have a list of this key signed: before that, start the signer again with a \
             configuration that does; {how}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::policy::fixture::Authority;

    #[test]
    fn an_operator_without_a_profile_for_lists_is_told_which_lines_make_one() {
        let authority = Authority::new();
        let policy = &authority.config.policy;
        let said = |key: &str, caller: &str| first(policy, key, &CallerName::parse(caller).unwrap());
        assert_eq!(said("ca", "dns:delta"), "");
        assert!(
            said("ca", "uid:0").contains("add \"uid:0\" to the callers of [key.ca.allow."),
            "{}",
            said("ca", "uid:0")
        );
        let lines = said("responder", "uid:0");
        assert!(
            lines.contains("\n[key.responder.allow.lists]\ncallers = [\"uid:0\"]\nsigns = \"crl\"\n"),
            "{lines}"
        );
    }
}
