//! How many strangers may be in their handshake at once, so that those who never finish theirs keep no caller out.
//!
//! In: the host that a connection comes from. Out: a [`Handshake`], a place that is free again once the server knows who it is
//! or has given up; or none, and the connection is closed. Only handshakes under way count: a hundred front-ends behind one
//! address are a crowd only while they all connect. Where half of the places are taken, a handshake has less time.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::share::{Share, ShareLimits, Shares};

/// How many there are: a handshake takes milliseconds, and one host may be the address of many.
const PLACES: ShareLimits = ShareLimits { total: 1024, each: 128 };
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same, where half of the places are taken: still many times what it takes.
const CROWDED_PATIENCE: Duration = Duration::from_secs(1);

/// The places of one door.
pub(super) struct Handshakes(Shares<Source>);

/// One place.
#[derive(Debug)]
pub(super) struct Handshake {
    /// How long it may take.
    pub(super) patience: Duration,
    _place: Option<Share<Source>>,
}

/// Whom a connection comes from, before anybody knows who that is: one IPv4 address, or the /64 that one IPv6 host has as a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Source(IpAddr);

/// There is no place left.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}: handshake slots full ({each} of one host, {total} of all)", each = PLACES.each, total = PLACES.total)]
pub(super) struct Crowd(Source);

impl Default for Handshakes {
    fn default() -> Self {
        Self(Shares::new(PLACES))
    }
}

impl Handshakes {
    /// Takes a place for a handshake with `source`. Who comes from nowhere needs none.
    ///
    /// # Errors
    /// [`Crowd`] if none is left for this host, or at all.
    pub(super) fn begin(&self, source: Option<Source>) -> Result<Handshake, Crowd> {
        let Some(source) = source else { return Ok(Handshake { patience: PATIENCE, _place: None }) };
        let patience = if self.0.are_half_taken(&source) { CROWDED_PATIENCE } else { PATIENCE };
        let place = self.0.take_for(&source).ok_or(Crowd(source))?;
        Ok(Handshake { patience, _place: Some(place) })
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(host) => Ipv6Addr::from_bits(host.to_bits() & (u128::MAX << 64)).into(),
            host @ IpAddr::V4(_) => host,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(host) => host.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    fn begin(handshakes: &Handshakes, address: &str, count: usize) -> Vec<Handshake> {
        (0..count).map(|_| handshakes.begin(Some(source(address))).unwrap()).collect()
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn one_host_has_its_places_and_others_have_theirs() {
        let handshakes = Handshakes::default();
        let held = begin(&handshakes, "192.0.2.1", PLACES.each);
        let crowd = handshakes.begin(Some(source("192.0.2.1"))).unwrap_err();
        assert_eq!(crowd.to_string(), "192.0.2.1: handshake slots full (128 of one host, 1024 of all)");
        assert_eq!(begin(&handshakes, "192.0.2.2", 1).first().unwrap().patience, PATIENCE);
        drop(held);
        begin(&handshakes, "192.0.2.1", PLACES.each);
    }

    #[test]
    fn a_crowd_has_less_time() {
        let handshakes = Handshakes::default();
        let held = begin(&handshakes, "192.0.2.1", PLACES.each / 2 + 1);
        let (last, first) = held.split_last().unwrap();
        assert_eq!(last.patience, CROWDED_PATIENCE);
        assert!(first.iter().all(|handshake| handshake.patience == PATIENCE));
    }

    #[test]
    fn who_needs_no_handshake_needs_no_place() {
        let handshakes = Handshakes::default();
        let held: Vec<_> = (0..=PLACES.total).map(|_| handshakes.begin(None).unwrap()).collect();
        begin(&handshakes, "192.0.2.1", 1);
        drop(held);
    }
}
