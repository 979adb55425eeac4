//! VRRP on the wire: one raw socket per interface and family, for receiving and sending.
//!
//! The socket is bound to its interface, so that an advert is known by where it really came from, and has the group
//! joined there by index, so that it works before the interface has an address. It sends with its own IP header: TOS or traffic
//! class 0xC0, over IPv4 no DF flag and a counting identification as keepalived. Multicast loops are off: this host's own
//! adverts do not come back. The kernel reassembles before it hands over.
//!
//! | | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | source, destination, TTL of what is received | in the packet | beside it (RFC 3542): `IPV6_RECVPKTINFO`, `IPV6_RECVHOPLIMIT` |
//! | longer than the MTU | refused by the kernel, as for keepalived | sent without our header, in fragments |

mod batch;
mod header;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use hafleet_vrrp::packet::{GROUP_V4, GROUP_V6, IP_PROTOCOL, TOS};
use nix::{
    libc,
    sys::socket::{ControlMessage, MsgFlags, SockaddrIn6, sendmsg, setsockopt, sockopt::Ipv6RecvPacketInfo},
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

pub use self::batch::{BATCH_LEN, Batch};
use super::Family;

const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;

/// A raw socket for VRRP on one interface.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    family: Family,
    interface_index: u32,
    identification: u16,
    /// What is being sent.
    packet: Vec<u8>,
}

/// A VRRP packet as it came, borrowed from its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit of the IP header.
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
    #[error("{len} bytes are fewer than the {total_len} of the whole packet")]
    Truncated {
        /// Bytes received.
        len: usize,
        /// Bytes announced.
        total_len: usize,
    },
    /// Not version 4, not protocol 112, or a fragment.
    #[error("not a whole IPv4 packet of protocol 112")]
    NotVrrp,
    /// IPv6.
    #[error("the kernel did not tell its source, destination and hop limit")]
    Untold,
}

impl AdvertSocket {
    /// Opens a socket on the interface with this name and index. Needs CAP_NET_RAW.
    pub fn open(family: Family, interface: &str, interface_index: u32) -> io::Result<Self> {
        let socket = raw_socket(family)?;
        socket.set_nonblocking(true)?;
        // A burst of all 255 VRIDs while the host is busy; the kernel gives at most net.core.rmem_max.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        match family {
            Family::V4 => {
                socket.set_header_included_v4(true)?;
                socket.set_multicast_loop_v4(false)?;
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface_index))?;
            }
            Family::V6 => {
                socket.set_header_included_v6(true)?;
                socket.set_tclass_v6(TOS.into())?;
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
                socket.set_multicast_loop_v6(false)?;
                socket.join_multicast_v6(&GROUP_V6, interface_index)?;
            }
        }
        Ok(Self { socket, family, interface_index, identification: 0, packet: Vec::new() })
    }

    /// The index of the interface that the socket was opened on. A recreated interface has another.
    pub fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// What it was opened for.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Sends one VRRP packet with this TTL or hop limit. Never waits: a full queue is an error.
    pub fn send(&mut self, source: IpAddr, destination: IpAddr, ttl: u8, payload: &[u8]) -> io::Result<()> {
        match (self.family, source, destination) {
            (Family::V4, IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.send_v4(source, destination, ttl, payload)
            }
            (Family::V6, IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.send_v6(source, destination, ttl, payload)
            }
            (Family::V4 | Family::V6, IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => {
                Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
            }
        }
    }

    fn send_v4(
        &mut self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        // Zero would have the kernel choose one.
        self.identification = self.identification.checked_add(1).unwrap_or(1);
        header::write_v4(&mut self.packet, (source, destination), (ttl, self.identification), payload)?;
        let sent = self.socket.send_to(&self.packet, &SocketAddrV4::new(destination, 0).into())?;
        whole(sent, self.packet.len())
    }

    fn send_v6(
        &mut self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        header::write_v6(&mut self.packet, (source, destination), ttl, payload)?;
        let to = SocketAddrV6::new(destination, 0, 0, self.interface_index);
        match self.socket.send_to(&self.packet, &to.into()) {
            Ok(sent) => whole(sent, self.packet.len()),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                self.send_fragments(source, to, ttl, payload)
            }
            Err(error) => Err(error),
        }
    }

    /// More than 90 addresses do not fit an Ethernet frame. The kernel makes fragments of what has no header of ours.
    fn send_fragments(
        &mut self,
        source: Ipv6Addr,
        to: SocketAddrV6,
        ttl: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let from = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.interface_index,
        };
        let limit = i32::from(ttl);
        let control = [ControlMessage::Ipv6PacketInfo(&from), ControlMessage::Ipv6HopLimit(&limit)];
        self.socket.set_header_included_v6(false)?;
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[io::IoSlice::new(payload)],
            &control,
            MsgFlags::empty(),
            Some(&SockaddrIn6::from(to)),
        );
        self.socket.set_header_included_v6(true)?;
        whole(sent?, payload.len())
    }
}

impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether this process may open raw sockets at all.
pub fn may_open() -> io::Result<()> {
    raw_socket(Family::V4).map(drop)
}

fn raw_socket(family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(IP_PROTOCOL))))
}

fn whole(sent: usize, len: usize) -> io::Result<()> {
    if sent == len { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
