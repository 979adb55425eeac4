//! VRRP over IPv4: one raw socket per interface, for receiving and sending.
//!
//! The socket is bound to its interface, so that an advert is known by where it really came from, and has the group
//! joined there by index, so that it works before the interface has an address. It sends with its own IP header
//! (TTL 255 and TOS 0xC0 as RFC 9568 section 5.1.1 asks, no DF flag and a counting identification as keepalived).
//! `IP_MULTICAST_LOOP` is off: this host's own adverts do not come back. The kernel reassembles before it hands over.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd},
};

use hafleet_vrrp::packet::{GROUP_V4, IP_PROTOCOL, TOS, TTL};
use pnet::packet::{
    ip::IpNextHeaderProtocol,
    ipv4::{Ipv4Packet, MutableIpv4Packet},
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// Larger than any VRRP packet: 60 bytes of IP header, 8 of VRRP, 255 addresses, 8 of password.
pub const BUFFER_LEN: usize = 2048;

const IP_HEADER_LEN: usize = 20;
const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;

/// A raw socket for VRRP on one interface.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    interface_index: u32,
    identification: u16,
}

/// A VRRP packet as it came, borrowed from the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Source address of the IP header.
    pub source: Ipv4Addr,
    /// Destination address of the IP header.
    pub destination: Ipv4Addr,
    /// TTL of the IP header.
    pub ttl: u8,
    /// What follows the IP header and its options.
    pub payload: &'a [u8],
}

/// Why a packet's IP header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than an IP header, or than the header says it is long.
    #[error("{len} bytes are fewer than the IP header")]
    Header {
        /// Bytes received.
        len: usize,
    },
    /// Fewer bytes than the total length says.
    #[error("{len} bytes are fewer than the {total_len} that the IP header announces")]
    Truncated {
        /// Bytes received.
        len: usize,
        /// Bytes announced.
        total_len: usize,
    },
    /// Not version 4, not protocol 112, or a fragment.
    #[error("not a whole IPv4 packet of protocol 112")]
    NotVrrp,
}

impl AdvertSocket {
    /// Opens a socket on the interface with this name and index. Needs CAP_NET_RAW.
    pub fn open(interface: &str, interface_index: u32) -> io::Result<Self> {
        let socket = raw_socket()?;
        socket.set_nonblocking(true)?;
        // A burst of all 255 VRIDs while the host is busy; the kernel gives at most net.core.rmem_max.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_header_included_v4(true)?;
        socket.set_multicast_loop_v4(false)?;
        socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface_index))?;
        Ok(Self { socket, interface_index, identification: 0 })
    }

    /// The index of the interface that the socket was opened on. A recreated interface has another.
    pub fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// Takes the next packet off the queue, IP header included; `None` when it is empty.
    pub fn receive(&self, buffer: &mut [u8; BUFFER_LEN]) -> io::Result<Option<usize>> {
        match (&self.socket).read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one VRRP packet. Never waits: a full queue is an error.
    pub fn send(&mut self, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        // Zero would have the kernel choose one.
        self.identification = self.identification.checked_add(1).unwrap_or(1);
        let packet = ip_packet(source, destination, self.identification, payload)?;
        let sent = self.socket.send_to(&packet, &SocketAddrV4::new(destination, 0).into())?;
        if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether this process may open raw sockets at all.
pub fn may_open() -> io::Result<()> {
    raw_socket().map(drop)
}

fn raw_socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(IP_PROTOCOL))))
}

/// Reads the IP header of what a raw socket gave.
pub fn parse(packet: &[u8]) -> Result<Received<'_>, Malformed> {
    let len = packet.len();
    let header = Ipv4Packet::new(packet).ok_or(Malformed::Header { len })?;
    let header_len = usize::from(header.get_header_length()) * 4;
    let total_len = usize::from(header.get_total_length());
    if header_len < IP_HEADER_LEN || total_len < header_len {
        return Err(Malformed::Header { len });
    }
    let more_fragments = header.get_flags() & 0b001 != 0;
    if header.get_version() != 4
        || header.get_next_level_protocol().0 != IP_PROTOCOL
        || header.get_fragment_offset() != 0
        || more_fragments
    {
        return Err(Malformed::NotVrrp);
    }
    let payload = packet.get(header_len..total_len).ok_or(Malformed::Truncated { len, total_len })?;
    Ok(Received {
        source: header.get_source(),
        destination: header.get_destination(),
        ttl: header.get_ttl(),
        payload,
    })
}

fn ip_packet(source: Ipv4Addr, destination: Ipv4Addr, id: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
    let len = IP_HEADER_LEN + payload.len();
    let total_len = u16::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut bytes = vec![0; IP_HEADER_LEN];
    let mut header = MutableIpv4Packet::new(&mut bytes).ok_or(io::ErrorKind::InvalidInput)?;
    header.set_version(4);
    header.set_header_length(5);
    header.set_dscp(TOS >> 2);
    header.set_total_length(total_len);
    header.set_identification(id);
    header.set_ttl(TTL);
    header.set_next_level_protocol(IpNextHeaderProtocol(IP_PROTOCOL));
    header.set_source(source);
    header.set_destination(destination);
    // The kernel computes it again for a packet sent with IP_HDRINCL (raw(7)).
    let checksum = pnet::packet::ipv4::checksum(&header.to_immutable());
    header.set_checksum(checksum);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 178, 130);
    /// keepalived 2.2.7, captured: 192.168.178.130, VRID 51, priority 150, three addresses, PASS 1111.
    const KEEPALIVED: &str = "45c0003000010000ff70675fc0a8b282e0000012\
                              2133960301018d5dc0a8b203c0a8b204c0a8b2053131313100000000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_ip_header_is_byte_for_byte_keepalived_s() {
        let captured = bytes(KEEPALIVED);
        assert_eq!(ip_packet(SOURCE, GROUP_V4, 1, &captured[20..]).unwrap(), captured);
    }

    #[test]
    fn a_captured_packet_is_read() {
        let captured = bytes(KEEPALIVED);
        let received = parse(&captured).unwrap();
        assert_eq!(
            received,
            Received { source: SOURCE, destination: GROUP_V4, ttl: 255, payload: &captured[20..] }
        );
    }

    #[test]
    fn options_are_skipped_and_padding_is_stripped() {
        let mut packet = bytes(KEEPALIVED);
        packet.splice(20..20, [0x94, 0x04, 0, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        packet.extend([0xEE; 6]);
        let received = parse(&packet).unwrap();
        assert_eq!(received.payload, &bytes(KEEPALIVED)[20..]);
    }

    #[test]
    fn what_is_no_whole_vrrp_packet_is_named() {
        let whole = bytes(KEEPALIVED);
        let changed = |at: usize, value: u8| {
            let mut packet = whole.clone();
            packet[at] = value;
            parse(&packet).unwrap_err()
        };
        assert_eq!(parse(&whole[..19]).unwrap_err(), Malformed::Header { len: 19 });
        assert_eq!(parse(&whole[..40]).unwrap_err(), Malformed::Truncated { len: 40, total_len: 48 });
        assert_eq!(changed(0, 0x44), Malformed::Header { len: 48 });
        assert_eq!(changed(3, 19), Malformed::Header { len: 48 });
        assert_eq!(changed(0, 0x65), Malformed::NotVrrp);
        assert_eq!(changed(6, 0x20), Malformed::NotVrrp);
        assert_eq!(changed(7, 1), Malformed::NotVrrp);
        assert_eq!(changed(9, 6), Malformed::NotVrrp);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(packet in prop::collection::vec(any::<u8>(), 0..128)) {
            if let Ok(received) = parse(&packet) {
                prop_assert!(received.payload.len() <= packet.len() - IP_HEADER_LEN);
            }
        }
    }
}
