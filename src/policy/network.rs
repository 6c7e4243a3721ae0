//! CIDR networks, as the `source-address` critical option lists them (PROTOCOL.certkeys).
//!
//! In: `10.0.0.0/8` or a bare address. Out: a [`Network`] that can tell whether it lies within another. Strict where
//! implementations of sshd differ: no bits beyond the prefix, no leading zeros, no white space. An IPv4 network never
//! lies within an IPv6 one.

use std::fmt;
use std::net::IpAddr;

/// An IP network: an address whose bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Not a [`Network`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a network is ADDRESS/PREFIX with no bits set beyond the prefix, such as 10.0.0.0/8 or 2001:db8::/32"
)]
pub struct InvalidNetwork;

impl Network {
    /// Parses `ADDRESS/PREFIX`, or `ADDRESS` for a single host.
    ///
    /// # Errors
    /// [`InvalidNetwork`] for any other form.
    pub fn parse(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let prefix = prefix.map_or(Ok(width(address)), parse_prefix)?;
        let network = Self { address, prefix };
        if prefix <= width(address) && bits(address) & !network.mask() == 0 {
            Ok(network)
        } else {
            Err(InvalidNetwork)
        }
    }

    /// Whether every address of this network is in `outer`.
    #[must_use]
    pub fn is_within(self, outer: Self) -> bool {
        self.address.is_ipv4() == outer.address.is_ipv4()
            && self.prefix >= outer.prefix
            && bits(self.address) & outer.mask() == bits(outer.address)
    }

    /// The prefix's bits, aligned as [`bits`] aligns an address.
    fn mask(self) -> u128 {
        let host_bits = u32::from(width(self.address).saturating_sub(self.prefix));
        u128::MAX.checked_shl(host_bits).unwrap_or(0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Digits only: `u8::from_str` alone would take `+8`.
fn parse_prefix(text: &str) -> Result<u8, InvalidNetwork> {
    let prefix: u8 = text.parse().map_err(|_| InvalidNetwork)?;
    if prefix.to_string() == text { Ok(prefix) } else { Err(InvalidNetwork) }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number in the low bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{InvalidNetwork, Network};

    #[test]
    fn knows_which_network_lies_within_which() {
        let cases = [
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.1.2.0/24", "10.0.0.0/8", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.0.0.0/24", "10.0.0.0/8", false),
            ("0.0.0.0/0", "10.0.0.0/8", false),
            ("10.0.0.0/7", "10.0.0.0/8", false),
            ("192.0.2.1", "0.0.0.0/0", true),
            ("2001:db8:1::/48", "2001:db8::/32", true),
            ("2001:db9::/32", "2001:db8::/32", false),
            ("::1", "::/0", true),
            ("10.0.0.1", "::/0", false),
            ("::ffff:10.0.0.1", "10.0.0.0/8", false),
        ];
        for (inner, outer, expected) in cases {
            let within = Network::parse(inner).unwrap().is_within(Network::parse(outer).unwrap());
            assert_eq!(within, expected, "{inner} within {outer}");
        }
    }

    #[test]
    fn refuses_what_implementations_of_sshd_read_differently() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "/8",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "010.0.0.0/8",
            " 10.0.0.0/8",
            "10.0.0.0/8 ",
            "!10.0.0.0/8",
            "10.0.*",
            "10.0.0.0/255.0.0.0",
            "::/129",
            "fe80::1%eth0",
            "example.org",
        ] {
            assert_eq!(Network::parse(text), Err(InvalidNetwork), "{text:?}");
        }
    }
}
