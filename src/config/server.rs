//! `[server]`: where to listen, and what to trust there.

use std::time::Duration;

use serde::Deserialize;

use crate::config::checks::{duration, integer, path};
use crate::config::section::{Number, Section, Text};
use crate::server::Config;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    listen: Text,
    tls_certificate: Text,
    tls_key: Text,
    client_ca: Text,
    unix_socket: Text,
    max_connections: Number,
    shutdown_grace: Text,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Config> {
    let raw: Raw = section.read();
    let directory = section.directory();
    let here = path(&directory);
    let listen = section.required("listen", raw.listen, |text| {
        text.parse().map_err(|_| "should be ADDRESS:PORT, with an IP address and no name, such as \"127.0.0.1:8443\" or \"[::1]:8443\"")
    });
    let tls_certificate = section.required("tls_certificate", raw.tls_certificate, &here);
    let tls_key = section.required("tls_key", raw.tls_key, &here);
    let client_ca = section.required("client_ca", raw.client_ca, &here);
    let unix_socket = section.or("unix_socket", raw.unix_socket, None, |text| here(text).map(Some));
    let max_connections = section.or("max_connections", raw.max_connections, 1024, integer(1..=65_536));
    let shutdown_grace = section.or(
        "shutdown_grace",
        raw.shutdown_grace,
        Duration::from_secs(10),
        duration(Duration::from_secs(1)..=Duration::from_secs(600)),
    );
    Some(Config {
        listen: listen?,
        tls_certificate: tls_certificate?,
        tls_key: tls_key?,
        client_ca: client_ca?,
        unix_socket: unix_socket?,
        max_connections: max_connections?,
        shutdown_grace: shutdown_grace?,
    })
}
