//! What a CA may do: basicConstraints and nameConstraints.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::Name;
use super::super::general_name::{checked_text, is_dns_name, is_mailbox};
use super::{ParseError, Reader, Rule, Writer};
use crate::der::tag;

/// basicConstraints (RFC 5280 §4.2.1.9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BasicConstraints {
    /// cA is FALSE.
    Leaf,
    /// cA is TRUE.
    Ca {
        /// How many intermediate CAs may follow; unset is any number.
        path_len: Option<u16>,
    },
}

impl BasicConstraints {
    /// The longest path that is taken.
    pub const MAX_PATH_LEN: u16 = 255;

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = "basicConstraints";
        r.nested(tag::SEQUENCE, field, |r| {
            let is_ca = r.flag(tag::BOOLEAN, field)?;
            if !is_ca {
                let with_path_len = r.next_is(tag::INTEGER);
                return if with_path_len { Err(Rule::PathLength.at(r, field)) } else { Ok(Self::Leaf) };
            }
            let has_path_len = r.next_is(tag::INTEGER);
            let path_len =
                has_path_len.then(|| r.small(tag::INTEGER, field, Self::MAX_PATH_LEN)).transpose()?;
            Ok(Self::Ca { path_len })
        })
    }

    pub(super) fn write(self, w: &mut Writer) {
        w.sequence(|w| {
            if let Self::Ca { path_len } = self {
                w.set_flag(tag::BOOLEAN);
                if let Some(path_len) = path_len {
                    w.small(tag::INTEGER, path_len);
                }
            }
        });
    }
}

/// nameConstraints (RFC 5280 §4.2.1.10): at least one subtree in all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NameConstraints {
    /// permittedSubtrees; empty if absent.
    pub permitted: Vec<Subtree>,
    /// excludedSubtrees; empty if absent.
    pub excluded: Vec<Subtree>,
}

/// A set of names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subtree {
    /// This DNS name and those below it; empty is every name.
    Dns(String),
    /// One mailbox, the mailboxes of a host, or with a leading dot those of the hosts below a domain.
    Email(String),
    /// The URIs of a host, or with a leading dot those of the hosts below a domain.
    Uri(String),
    /// The addresses of a network.
    Ip(IpPrefix),
    /// The names below this one.
    Directory(Name),
}

/// A network: an address without host bits and the length of its prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IpPrefix {
    address: IpAddr,
    len: u32,
}

impl NameConstraints {
    const MAX_SUBTREES: usize = 256;
    const FIELD: &'static str = "nameConstraints";

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let subtrees = |r: &mut Reader<'_>, tag| {
            if r.next_is(tag) {
                r.list(tag, Self::FIELD, Self::MAX_SUBTREES, Subtree::parse)
            } else {
                Ok(Vec::new())
            }
        };
        r.nested(tag::SEQUENCE, Self::FIELD, |r| {
            let permitted = subtrees(r, tag::constructed(0))?;
            let excluded = subtrees(r, tag::constructed(1))?;
            if permitted.is_empty() && excluded.is_empty() {
                return Err(Rule::NameConstraintsEmpty.at(r, Self::FIELD));
            }
            Ok(Self { permitted, excluded })
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.sequence(|w| {
            for (tag, subtrees) in
                [(tag::constructed(0), &self.permitted), (tag::constructed(1), &self.excluded)]
            {
                if !subtrees.is_empty() {
                    w.nested(tag, |w| subtrees.iter().for_each(|subtree| w.sequence(|w| subtree.write(w))));
                }
            }
        });
    }
}

/// Context tags of GeneralName.
const RFC822: u8 = tag::primitive(1);
const DNS: u8 = tag::primitive(2);
const DIRECTORY: u8 = tag::constructed(4);
const URI: u8 = tag::primitive(6);
const IP: u8 = tag::primitive(7);

impl Subtree {
    /// GeneralSubtree. Minimum is left out (0 is its default) and maximum must be: both come out as trailing bytes.
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let field = NameConstraints::FIELD;
        let max = 253;
        r.nested(tag::SEQUENCE, field, |r| match r.rest() {
            [DNS, 0, ..] => {
                r.value(DNS, field)?;
                Ok(Self::Dns(String::new()))
            }
            [DNS, ..] => checked_text(r, DNS, field, max, is_dns_name, Rule::DnsName).map(Self::Dns),
            [RFC822, ..] => {
                let is_valid = |text: &str| is_mailbox(text) || is_host_or_domain(text);
                checked_text(r, RFC822, field, max, is_valid, Rule::Mailbox).map(Self::Email)
            }
            [URI, ..] => checked_text(r, URI, field, max, is_host_or_domain, Rule::Uri).map(Self::Uri),
            [DIRECTORY, ..] => r.nested(DIRECTORY, field, |r| Name::parse(r, field)).map(Self::Directory),
            [IP, ..] => {
                let value = r.value(IP, field)?;
                IpPrefix::from_octets(value.rest())
                    .map(Self::Ip)
                    .ok_or_else(|| Rule::IpAddress.at(&value, field))
            }
            _ => Err(Rule::GeneralNameKind.at(r, field)),
        })
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Dns(text) => w.value(DNS, text.as_bytes()),
            Self::Email(text) => w.value(RFC822, text.as_bytes()),
            Self::Uri(text) => w.value(URI, text.as_bytes()),
            Self::Ip(prefix) => w.value(IP, &prefix.octets()),
            Self::Directory(name) => w.nested(DIRECTORY, |w| name.write(w)),
        }
    }
}

impl Subtree {
    /// From text with its kind before it: `dns:example.org`, `email:.example.org`, `uri:.example.org`, `ip:10.0.0.0/8`. The
    /// empty DNS name, which is every name, is `dns:`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let owned = || name.to_owned();
        match kind {
            "dns" if name.is_empty() || is_dns_name(name) => Some(Self::Dns(owned())),
            "email" if is_mailbox(name) || is_host_or_domain(name) => Some(Self::Email(owned())),
            "uri" if is_host_or_domain(name) => Some(Self::Uri(owned())),
            "ip" => {
                let (address, len) = name.split_once('/')?;
                IpPrefix::new(address.parse().ok()?, len.parse().ok()?).map(Self::Ip)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Subtree {
    /// As [`Self::from_text`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
            Self::Ip(prefix) => write!(f, "ip:{}/{}", prefix.address, prefix.len),
            Self::Directory(name) => write!(f, "directory:{name}"),
        }
    }
}

fn is_host_or_domain(text: &str) -> bool {
    is_dns_name(text.strip_prefix('.').unwrap_or(text))
}

impl IpPrefix {
    /// `None` if the prefix is longer than the address, or the address has bits after it.
    #[must_use]
    pub fn new(address: IpAddr, len: u32) -> Option<Self> {
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        (len <= width && bits & !mask(len) == 0).then_some(Self { address, len })
    }

    /// The first address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix.
    #[must_use]
    pub const fn prefix_len(self) -> u32 {
        self.len
    }

    /// Address and mask, 4 or 16 octets each.
    fn from_octets(octets: &[u8]) -> Option<Self> {
        let (address, mask) = octets.split_at_checked(octets.len() / 2)?;
        let v4 = |octets: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?));
        let v6 = |octets: &[u8]| Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?));
        let prefix = if let (Some(address), Some(mask)) = (v4(address), v4(mask)) {
            Self::new(address.into(), mask.to_bits().leading_ones())
        } else {
            Self::new(v6(address)?.into(), v6(mask)?.to_bits().leading_ones())
        };
        // A mask with a hole has fewer leading ones than it has ones.
        prefix.filter(|prefix| prefix.octets() == octets)
    }

    fn octets(self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(v4) => {
                let [a, b, c, d, ..] = mask(self.len).to_be_bytes();
                [v4.octets(), [a, b, c, d]].concat()
            }
            IpAddr::V6(v6) => [v6.octets(), mask(self.len).to_be_bytes()].concat(),
        }
    }
}

/// `len` ones at the top.
const fn mask(len: u32) -> u128 {
    match u128::MAX.checked_shl(128 - len) {
        Some(mask) => mask,
        None => 0,
    }
}
