//! The lenient view of a VRRP message: what can be read of it, right or wrong. For dispatch and for the
//! heard-adverts table; nothing is decided by it.

use alloc::vec::Vec;
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{AUTH_DATA_LEN, HEADER_LEN};

/// The VRID that a message names, for dispatch. `None` when it is too short to name one.
pub fn vrid(payload: &[u8]) -> Option<u8> {
    payload.get(1).copied()
}

/// The first eight bytes of a message, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version field, 0 to 15.
    pub version: u8,
    /// The type field, 0 to 15; 1 is an advert.
    pub kind: u8,
    /// The VRID.
    pub vrid: u8,
    /// The priority.
    pub priority: u8,
    /// How many addresses it says it has.
    pub count: u8,
    /// Version 2: the authentication type. Other versions have none.
    pub auth: Option<AuthType>,
    /// The interval, cs. Version 2 counts seconds; they are converted.
    pub interval_cs: u16,
    /// The checksum field.
    pub checksum: u16,
}

impl Header {
    /// `None` for less than eight bytes.
    pub fn peek(payload: &[u8]) -> Option<Self> {
        let [first, vrid, priority, count, fifth, sixth, seventh, eighth] =
            *payload.first_chunk::<HEADER_LEN>()?;
        let version = first >> 4;
        let (auth, interval_cs) = match version {
            2 => (Some(AuthType(fifth)), u16::from(sixth) * 100),
            _ => (None, u16::from_be_bytes([fifth & 0x0f, sixth])),
        };
        Some(Self {
            version,
            kind: first & 0x0f,
            vrid,
            priority,
            count,
            auth,
            interval_cs,
            checksum: u16::from_be_bytes([seventh, eighth]),
        })
    }

    /// How long the message is by its version and count; a version we do not know has no more than its header.
    pub fn message_len(&self, source: IpAddr) -> usize {
        let addresses = usize::from(self.count) * address_len(source);
        match self.version {
            2 => HEADER_LEN + addresses + AUTH_DATA_LEN,
            3 => HEADER_LEN + addresses,
            _ => HEADER_LEN,
        }
    }

    /// The addresses as far as they are there, in the order sent.
    pub fn addresses(&self, payload: &[u8], source: IpAddr) -> Vec<IpAddr> {
        self.each_address(payload, source).collect()
    }

    /// The same, one after the other.
    pub(crate) fn each_address(
        &self,
        payload: &[u8],
        source: IpAddr,
    ) -> impl ExactSizeIterator<Item = IpAddr> {
        let list = payload.get(HEADER_LEN..).unwrap_or_default();
        list.chunks_exact(address_len(source)).take(usize::from(self.count)).map(address)
    }
}

/// The version 2 authentication type (RFC 2338 section 5.3.6). Displays as `none`, `pass`, `ah` or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthType(pub u8);

impl AuthType {
    /// No authentication.
    pub const NONE: Self = Self(0);
    /// A password in clear.
    pub const PASS: Self = Self(1);
    /// IPsec authentication header; keepalived's `auth_type AH`.
    pub const AH: Self = Self(2);

    /// What it is called, if it has a name.
    pub const fn name(self) -> Option<&'static str> {
        match self.0 {
            0 => Some("none"),
            1 => Some("pass"),
            2 => Some("ah"),
            3.. => None,
        }
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

const fn address_len(source: IpAddr) -> usize {
    match source {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}

/// Of 16 bytes or 4.
fn address(octets: &[u8]) -> IpAddr {
    match (octets.first_chunk::<16>(), octets.first_chunk::<4>()) {
        (Some(octets), _) => Ipv6Addr::from(*octets).into(),
        (None, Some(octets)) => Ipv4Addr::from(*octets).into(),
        (None, None) => Ipv4Addr::UNSPECIFIED.into(),
    }
}
