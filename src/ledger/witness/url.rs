//! Where a witness is: `https://HOST[:PORT]/PATH`, or `http://` on this host.
//!
//! In: text. Out: a [`Url`]. Not done here: names are looked up when it is asked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address that is asked without redirections, credentials or queries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Url {
    text: String,
    /// Whether by TLS.
    pub tls: bool,
    /// The name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What `Host:` says.
    pub authority: String,
    /// The path, without a slash at its end.
    pub path: String,
}

/// Not a [`Url`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {text:?}; {why}")]
pub struct InvalidUrl {
    text: String,
    why: &'static str,
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |why| InvalidUrl { text: text.to_owned(), why };
        let form = "it should be https://HOST[:PORT][/PATH], without user, query or fragment";
        let uri: hyper::Uri = text.parse().map_err(|_| invalid(form))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(invalid(form));
        };
        if uri.query().is_some() || text.contains(['#', '@']) || authority.host().is_empty() {
            return Err(invalid(form));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = match scheme {
            "https" => true,
            "http" if host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) => false,
            "http" => {
                return Err(invalid(
                    "http:// is for 127.0.0.1 and [::1] alone, for anybody on the way could answer; use https://",
                ));
            }
            _ => return Err(invalid(form)),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { text: text.to_owned(), tls, host, port, authority: authority.to_string(), path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
