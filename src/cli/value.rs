//! What the values of options are read by, where more than one command has such an option.
//!
//! In: what somebody typed. Out: the value, or what it should look like: an example, since whoever got it wrong has nothing to go by.

use std::net::SocketAddr;
use std::time::SystemTime;

/// A time, with or without its `T` and `Z`.
pub(super) fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|_| "should be a time in UTC, such as 2027-01-31T08:00:00Z".to_owned())
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "should be an IP address and a port, such as 127.0.0.1:8443".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_time_is_taken_as_people_write_it_and_else_there_is_an_example() {
        let strict = time("2027-01-31T08:00:00Z").unwrap();
        for weak in ["2027-01-31 08:00:00", "2027-01-31T08:00:00", "2027-01-31 08:00:00Z"] {
            assert_eq!(time(weak).unwrap(), strict, "{weak}");
        }
        for bad in ["yesterday", "2027-01-31", ""] {
            assert!(time(bad).unwrap_err().contains("2027-01-31T08:00:00Z"), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_port_and_else_there_is_an_example() {
        assert_eq!(address("[::1]:8443").unwrap().port(), 8443);
        for bad in ["8443", "localhost:8443", "127.0.0.1"] {
            assert!(address(bad).unwrap_err().contains("127.0.0.1:8443"), "{bad}");
        }
    }
}
