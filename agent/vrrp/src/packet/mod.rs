//! VRRP on the wire: what is sent, and what is believed of what is received.
//!
//! Version 2 (RFC 3768 section 5.1; the authentication data is always there):
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! | ver 2 | type 1|     VRID      |   priority    | address count |
//! +-------+-------+---------------+---------------+---------------+
//! |   auth type   | interval (s)  |            checksum           |
//! +---------------+---------------+-------------------------------+
//! |                      IPv4 addresses (4 each)                  |
//! +---------------------------------------------------------------+
//! |                  authentication data (8 bytes)                |
//! +---------------------------------------------------------------+
//! ```
//!
//! Version 3 (RFC 9568 section 5.1):
//!
//! ```text
//! +-------+-------+---------------+---------------+---------------+
//! | ver 3 | type 1|     VRID      |   priority    | address count |
//! +-------+-------+---------------+---------------+---------------+
//! | rsvd 0|     interval (cs)     |            checksum           |
//! +-------+-----------------------+-------------------------------+
//! |                 addresses (4 or 16 bytes each)                |
//! +---------------------------------------------------------------+
//! ```

mod checksum;
mod header;
mod receive;
mod rejection;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use checksum::checksum_form;
pub use header::{AuthType, Header, vrid};
pub(crate) use receive::receive;
pub use receive::{Received, Verdict};
pub use rejection::{Rejection, Remark};

use crate::{Authentication, ChecksumForm, Version, VirtualRouterId};

/// The IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
pub const IP_PROTOCOL: u8 = 112;
/// The TTL or hop limit of every advert (RFC 9568 section 5.1.1.3).
pub const TTL: u8 = 255;
/// The TOS byte keepalived and FRR send: class selector 6, internetwork control.
pub const TOS: u8 = 0xc0;
/// The group of IPv4 adverts (RFC 9568 section 5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The group of IPv6 adverts (RFC 9568 section 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The one type there is (RFC 9568 section 5.2.2).
const ADVERTISEMENT: u8 = 1;
const HEADER_LEN: usize = 8;
const AUTH_DATA_LEN: usize = 8;

/// A VRRP datagram as it came from the socket, with what the IP header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address: the group or ours.
    pub destination: IpAddr,
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// What follows the IP header, Ethernet padding included if the shell could not strip it.
    pub payload: &'a [u8],
}

/// What one advert says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The version it is written in.
    pub version: Version,
    /// For which virtual router.
    pub vrid: VirtualRouterId,
    /// 1 to 255; 0 when the master resigns.
    pub priority: u8,
    /// The sender's interval, 1 to 25,500 cs.
    pub interval_cs: u16,
    /// The virtual addresses in the order sent.
    pub addresses: Vec<IpAddr>,
}

impl Advertisement {
    /// The VRRP payload with its checksum, ready for the IP header.
    ///
    /// Addresses that are not of `source`'s family and those past the 255th are left out; a validated
    /// [`crate::Config`] has neither.
    pub fn encode(
        &self,
        authentication: &Authentication,
        form: ChecksumForm,
        source: IpAddr,
        destination: IpAddr,
    ) -> Vec<u8> {
        let (version, auth_or_interval) = match self.version {
            Version::V2 => {
                let seconds = u8::try_from(self.interval_cs / 100).unwrap_or(u8::MAX);
                (2_u8, [auth_type(authentication), seconds])
            }
            Version::V3 => (3, (self.interval_cs & 0x0fff).to_be_bytes()),
        };
        let addresses =
            self.addresses.iter().filter(|address| address.is_ipv4() == source.is_ipv4()).take(255);
        let count = u8::try_from(addresses.clone().count()).unwrap_or(u8::MAX);
        let mut payload = Vec::with_capacity(HEADER_LEN + 16 * usize::from(count) + AUTH_DATA_LEN);
        payload.extend([version << 4 | ADVERTISEMENT, self.vrid.get(), self.priority, count]);
        payload.extend(auth_or_interval);
        payload.extend([0, 0]);
        for address in addresses {
            match address {
                IpAddr::V4(address) => payload.extend(address.octets()),
                IpAddr::V6(address) => payload.extend(address.octets()),
            }
        }
        let form = match self.version {
            Version::V2 => {
                payload.extend(match authentication {
                    Authentication::None => [0; AUTH_DATA_LEN],
                    Authentication::Pass(secret) => *secret,
                });
                ChecksumForm::WithoutPseudoHeader
            }
            Version::V3 => checksum::form_for(form, source),
        };
        let sum = checksum::compute(&payload, form, source, destination);
        if let Some(field) = payload.get_mut(6..8) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        payload
    }
}

/// Where adverts go when no peer is named.
pub(crate) fn group(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => IpAddr::V4(GROUP_V4),
        IpAddr::V6(_) => IpAddr::V6(GROUP_V6),
    }
}

/// The version's number on the wire.
pub(crate) const fn version_number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

const fn auth_type(authentication: &Authentication) -> u8 {
    match authentication {
        Authentication::None => 0,
        Authentication::Pass(_) => 1,
    }
}
