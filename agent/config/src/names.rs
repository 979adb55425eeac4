//! Names and addresses that a person types.

use std::{fmt, str::FromStr};

/// The port a coordinator listens on when none is said.
const DEFAULT_PORT: u16 = 7443;

/// A node's or a site's name: 1 to 63 letters, digits, `.`, `_` or `-`, the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// A text that is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: expected 1 to 63 letters, digits, \".\", \"_\" or \"-\", the first a letter or a digit"
)]
pub struct InvalidName(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This host's name up to its first dot.
    pub fn of_host() -> Option<Self> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        name.trim().split('.').next()?.parse().ok()
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let reads_well =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if starts_well && reads_well && text.len() <= 63 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a coordinator listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorAddress {
    host: String,
    port: u16,
}

/// A text that is no [`CoordinatorAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a coordinator's address: expected HOST:PORT such as coord1:7443 or 192.0.2.10:7443; IPv6 stands in \
     brackets: [2001:db8::1]:7443"
)]
pub struct InvalidAddress(String);

impl CoordinatorAddress {
    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for CoordinatorAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAddress(text.chars().take(120).collect());
        let (host, port) = match text.rsplit_once(':') {
            // The colons of a bare IPv6 address are no port's.
            Some((_, port)) if port.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?,
        };
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').filter(|host| host.contains(':')).ok_or_else(invalid)?,
            None => Some(host).filter(|host| !host.contains(':')).ok_or_else(invalid)?,
        };
        // What neither a certificate nor the resolver can mean.
        rustls_pki_types::ServerName::try_from(host).map_err(|_| invalid())?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for CoordinatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
