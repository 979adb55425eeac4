//! Where a coordinator listens.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use rustls_pki_types::ServerName;
use serde::Deserialize;

/// The coordinator's gRPC port unless an address says another.
pub const DEFAULT_PORT: u16 = 7443;

/// A host name or IP address with a port; the host is the name that the coordinator's certificate must carry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    server_name: ServerName<'static>,
    port: u16,
}

/// Why a text is not an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The host is neither a DNS name nor an IP address.
    #[error(
        "{0:?} is neither a host name nor an IP address; write HOST:PORT, as in coord1:7443 or [fd00::1]:7443"
    )]
    Host(String),
    /// The port is not a number from 1 to 65,535.
    #[error("{0:?} is not a port; write a number from 1 to 65535, as in coord1:7443")]
    Port(String),
}

impl Address {
    /// The host without brackets, as it is resolved.
    pub fn host(&self) -> String {
        self.server_name.to_str().into_owned()
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the coordinator's certificate must be for.
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = split(text.trim());
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                Ok(_) | Err(_) => return Err(AddressError::Port(port.to_owned())),
            },
        };
        match ServerName::try_from(host.to_owned()) {
            Ok(server_name) => Ok(Self { server_name, port }),
            Err(_) => Err(AddressError::Host(host.to_owned())),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.server_name.to_str();
        if host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

/// Host and port; an IPv6 address without brackets has no port.
fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<Address>().map(|address| address.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_addresses_with_and_without_port() {
        for (text, expected) in [
            ("coord1:7000", "coord1:7000"),
            ("coord1", "coord1:7443"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[fd00::1]:65535", "[fd00::1]:65535"),
            ("[fd00::1]", "[fd00::1]:7443"),
            ("fd00::1", "[fd00::1]:7443"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":7443",
            "coord1:",
            "coord1:0",
            "coord1:65536",
            "a b:1",
            "coord1:x",
            "http://coord1",
            "[fd00::1]x",
        ] {
            assert!(shown(text).is_err(), "{text:?} was taken as {:?}", shown(text));
        }
    }
}
