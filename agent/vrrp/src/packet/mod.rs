//! VRRP on the wire.
use core::net::IpAddr;

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
