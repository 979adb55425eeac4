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
use pnet::{packet::ethernet::EtherTypes, util::MacAddr};
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

pub use self::batch::{BATCH_LEN, Batch};
use super::{Family, link_layer};

/// What 255 routers say at 10 ms while the engine is kept from running for a tenth of a second: 2,550 packets of 768 bytes as
/// the kernel counts them.
const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;
/// Of classic BPF.
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A raw socket for VRRP on one interface.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    family: Family,
    interface_index: u32,
    identification: u16,
    kind: Kind,
    /// What is being sent.
    packet: Vec<u8>,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Receives and sends with the interface's own addresses.
    Whole,
    /// Sends only, from an address of another interface.
    Outgoing,
    /// Receives only, whole packets from the link layer.
    Tap,
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
    /// The index of the interface that it came on, if the socket is on all.
    pub interface_index: Option<u32>,
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
        let this = Self::on(family, interface, interface_index)?;
        let socket = &this.socket;
        widen(socket)?;
        match family {
            Family::V4 => {
                socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface_index))?;
            }
            Family::V6 => {
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(socket, Ipv6RecvPacketInfo, &true)?;
                socket.join_multicast_v6(&GROUP_V6, interface_index)?;
            }
        }
        Ok(this)
    }

    /// Opens one that only sends, on an interface that has no address of its own: it is a member of no group, and nothing is
    /// ever queued for it. Needs CAP_NET_RAW.
    pub fn open_outgoing(family: Family, interface: &str, interface_index: u32) -> io::Result<Self> {
        let mut this = Self::on(family, interface, interface_index)?;
        this.socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
        if family == Family::V6 {
            this.socket.set_freebind_v6(true)?;
        }
        this.kind = Kind::Outgoing;
        Ok(this)
    }

    /// Opens one that only receives, on every interface: for those of virtual MACs. A frame that comes from such a MAC, as every
    /// advert of another master with it does, is given by the kernel (macvlan in private mode) to the interface with that
    /// MAC and not to its parent. It has the group's frames there because the parent is a member; to be one itself,
    /// it would have to say so from the virtual MAC, and switches would take this host for the master. So they are read before
    /// IP drops them, and IPv6 ones are not reassembled.
    ///
    /// One for all: to close such a socket, the kernel waits for every processor, some 15 ms, also at the end of a killed process.
    /// Needs CAP_NET_RAW.
    pub fn open_tap(family: Family) -> io::Result<Self> {
        let (ether_type, protocol_at) = match family {
            Family::V4 => (EtherTypes::Ipv4, 9),
            Family::V6 => (EtherTypes::Ipv6, 6),
        };
        let filter = [
            SockFilter::new(LOAD_BYTE, 0, 0, protocol_at),
            SockFilter::new(JUMP_IF_EQUAL, 0, 1, IP_PROTOCOL.into()),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
            SockFilter::new(RETURN, 0, 0, 0),
        ];
        // Opened for no EtherType and bound only after the filter is in: nothing unfiltered is ever queued.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        widen(&socket)?;
        socket.attach_filter(&filter)?;
        socket.bind(&link_layer::address(0, ether_type.0, MacAddr::zero()))?;
        let packet = Vec::new();
        Ok(Self { socket, family, interface_index: 0, identification: 0, kind: Kind::Tap, packet })
    }

    fn on(family: Family, interface: &str, interface_index: u32) -> io::Result<Self> {
        let socket = raw_socket(family)?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        match family {
            Family::V4 => {
                socket.set_header_included_v4(true)?;
                socket.set_multicast_loop_v4(false)?;
            }
            Family::V6 => {
                socket.set_header_included_v6(true)?;
                socket.set_tclass_v6(TOS.into())?;
                socket.set_multicast_loop_v6(false)?;
            }
        }
        let packet = Vec::new();
        Ok(Self { socket, family, interface_index, identification: 0, kind: Kind::Whole, packet })
    }

    /// The index of the interface that the socket was opened on; 0: on all. A recreated interface has another.
    pub fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// Whether what it receives is whole packets, also over IPv6.
    fn gives_whole_packets(&self) -> bool {
        self.family == Family::V4 || self.kind == Kind::Tap
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
        let sent = match self.kind {
            // Without being told, the kernel looks for an address on the interface and finds none.
            Kind::Outgoing => self.send_from(source, &to, &self.packet, None),
            Kind::Whole | Kind::Tap => self.socket.send_to(&self.packet, &to.into()),
        };
        match sent {
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
        self.socket.set_header_included_v6(false)?;
        let sent = self.send_from(source, &to, payload, Some(ttl.into()));
        self.socket.set_header_included_v6(true)?;
        whole(sent?, payload.len())
    }

    /// `limit` for what has no header of ours.
    fn send_from(
        &self,
        source: Ipv6Addr,
        to: &SocketAddrV6,
        bytes: &[u8],
        limit: Option<i32>,
    ) -> io::Result<usize> {
        let from = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.interface_index,
        };
        let control: Vec<_> = std::iter::once(ControlMessage::Ipv6PacketInfo(&from))
            .chain(limit.as_ref().map(ControlMessage::Ipv6HopLimit))
            .collect();
        let (bytes, to) = ([io::IoSlice::new(bytes)], SockaddrIn6::from(*to));
        let sent = sendmsg(self.socket.as_raw_fd(), &bytes, &control, MsgFlags::empty(), Some(&to));
        sent.map_err(io::Error::from)
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
/// The kernel doubles what it is asked for. Without CAP_NET_ADMIN it gives at most net.core.rmem_max.
fn widen(socket: &Socket) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_LEN)
        .or_else(|_| socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN))
}
