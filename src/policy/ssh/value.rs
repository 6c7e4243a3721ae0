//! What value an extension or a critical option may carry.

use std::collections::BTreeSet;

use crate::policy::network::Network;
use crate::policy::pattern::Pattern;
use crate::policy::quote::listed;

/// The values that a profile allows for one extension or critical option.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ValueRule {
    /// A flag: it may be there, without a value.
    Absent,
    /// A value that one of the patterns matches.
    Matching(BTreeSet<Pattern>),
    /// A list of networks separated by commas, at least one, each within one of these.
    Within(BTreeSet<Network>),
}

impl ValueRule {
    /// Whether `value`, `None` for a flag, is allowed.
    pub(super) fn allows(&self, value: Option<&[u8]>) -> bool {
        match (self, value.map(str::from_utf8)) {
            (Self::Absent, None) => true,
            (Self::Matching(patterns), Some(Ok(value))) => {
                patterns.iter().any(|pattern| pattern.matches(value))
            }
            (Self::Within(allowed), Some(Ok(list))) => {
                list.split(',').all(|network| is_within(network, allowed))
            }
            (Self::Absent, Some(_)) | (Self::Matching(_) | Self::Within(_), None | Some(Err(_))) => false,
        }
    }

    /// What is allowed, for a message.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Absent => "no value".to_owned(),
            Self::Matching(patterns) => format!("a value that matches one of: {}", listed(patterns.iter())),
            Self::Within(networks) => format!("networks within: {}", listed(networks.iter())),
        }
    }
}

/// An empty item is no network, so an empty list is refused too.
fn is_within(network: &str, allowed: &BTreeSet<Network>) -> bool {
    Network::parse(network).is_ok_and(|network| allowed.iter().any(|outer| network.is_within(*outer)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Network, Pattern, ValueRule};

    #[test]
    fn allows_only_the_values_of_its_kind() {
        let absent = ValueRule::Absent;
        let matching = ValueRule::Matching([Pattern::new("job-*").unwrap()].into());
        let within = ValueRule::Within(["10.0.0.0/8", "::1"].map(|net| Network::parse(net).unwrap()).into());
        let cases: [(&ValueRule, Option<&[u8]>, bool); 16] = [
            (&absent, None, true),
            (&absent, Some(b""), false),
            (&absent, Some(b"x"), false),
            (&matching, Some(b"job-1"), true),
            (&matching, Some(b"job-1;"), false),
            (&matching, Some(b"\xff"), false),
            (&matching, None, false),
            (&within, Some(b"10.1.0.0/16,::1"), true),
            (&within, Some(b"10.1.0.0/16,192.0.2.1"), false),
            (&within, Some(b"0.0.0.0/0"), false),
            (&within, Some(b""), false),
            (&within, Some(b"10.0.0.1,"), false),
            (&within, Some(b"10.0.0.1, 10.0.0.2"), false),
            (&within, Some(b"!10.0.0.1"), false),
            (&within, Some(b"\xff"), false),
            (&within, None, false),
        ];
        for (rule, value, expected) in cases {
            assert_eq!(rule.allows(value), expected, "{rule:?} {value:?}");
        }
    }
}
