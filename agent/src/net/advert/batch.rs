//! Many packets by one system call, into buffers that are made once.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessageOwned, LinkAddr, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn6, SockaddrLike, recvmmsg,
    },
};

use super::{AdvertSocket, Malformed, Received, header};
use crate::net::Family;

/// Packets taken off a socket's queue at once.
pub const BATCH_LEN: usize = 16;

/// Larger than any VRRP packet: 8 bytes and 255 addresses of IPv6; over IPv4 60 of IP header and 8 of password.
const BUFFER_LEN: usize = 4096 + 256;

type Buffers = [[u8; BUFFER_LEN]; BATCH_LEN];

/// The packets that were last received. One serves every socket of a thread, and cannot leave that thread.
#[derive(Debug)]
pub struct Batch {
    buffers: Box<Buffers>,
    /// A whole packet says everything in its own header.
    whole: MultiHeaders<LinkAddr>,
    v6: MultiHeaders<SockaddrIn6>,
    arrived: [Arrived; BATCH_LEN],
    count: usize,
}

/// One packet in its buffer.
#[derive(Clone, Copy, Debug)]
enum Arrived {
    /// With its IP header.
    Whole { family: Family, len: usize, interface_index: Option<u32> },
    /// Without; what the header said was told beside it.
    V6 { len: usize, source: Ipv6Addr, destination: Ipv6Addr, ttl: u8 },
    /// Longer than any, or what its header said was not told.
    Malformed(Malformed),
}

const NOTHING: Arrived = Arrived::Whole { family: Family::V4, len: 0, interface_index: None };

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            buffers: Box::new([[0; BUFFER_LEN]; BATCH_LEN]),
            whole: MultiHeaders::preallocate(BATCH_LEN, None),
            v6: v6_headers(),
            arrived: [NOTHING; BATCH_LEN],
            count: 0,
        }
    }

    /// Takes what waits off the socket's queue, instead of what was here before. Says whether that was all.
    pub fn receive(&mut self, socket: &AdvertSocket) -> io::Result<bool> {
        self.count = 0;
        let received =
            if socket.gives_whole_packets() { self.receive_whole(socket) } else { self.receive_v6(socket) };
        match received {
            Ok(count) => {
                self.count = count;
                Ok(count < BATCH_LEN)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Them, in the order received.
    pub fn packets(&self) -> impl Iterator<Item = Result<Received<'_>, Malformed>> {
        self.arrived.iter().zip(&*self.buffers).take(self.count).map(|(arrived, buffer)| {
            let packet = |len: usize| buffer.get(..len).unwrap_or_default();
            match *arrived {
                Arrived::Whole { family, len, interface_index } => {
                    let received = match family {
                        Family::V4 => header::read_v4(packet(len)),
                        Family::V6 => header::read_v6(packet(len)),
                    };
                    received.map(|received| Received { interface_index, ..received })
                }
                Arrived::V6 { len, source, destination, ttl } => Ok(Received {
                    source: IpAddr::V6(source),
                    destination: IpAddr::V6(destination),
                    ttl,
                    interface_index: None,
                    payload: packet(len),
                }),
                Arrived::Malformed(malformed) => Err(malformed),
            }
        })
    }

    fn receive_whole(&mut self, socket: &AdvertSocket) -> io::Result<usize> {
        let Self { buffers, whole, arrived, .. } = self;
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages = recvmmsg(descriptor(socket), whole, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for (arrived, message) in arrived.iter_mut().zip(messages) {
            let interface = message.address.and_then(|address| u32::try_from(address.ifindex()).ok());
            let (family, len) = (socket.family(), message.bytes);
            *arrived = Arrived::Whole { family, len, interface_index: interface };
            count += 1;
        }
        Ok(count)
    }

    fn receive_v6(&mut self, socket: &AdvertSocket) -> io::Result<usize> {
        let Self { buffers, v6, arrived, .. } = self;
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let messages = recvmmsg(descriptor(socket), v6, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let (mut count, mut all_told) = (0, true);
        for (arrived, message) in arrived.iter_mut().zip(messages) {
            *arrived = read_v6(&message).unwrap_or(Arrived::Malformed(Malformed::Untold));
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                let (len, total_len) = (BUFFER_LEN, message.bytes.max(BUFFER_LEN + 1));
                *arrived = Arrived::Malformed(Malformed::Truncated { len, total_len });
            }
            all_told &= !matches!(arrived, Arrived::Malformed(Malformed::Untold));
            count += 1;
        }
        if !all_told {
            // The kernel leaves in the headers how much it told, and would tell no more the next time.
            *v6 = v6_headers();
        }
        Ok(count)
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

fn v6_headers() -> MultiHeaders<SockaddrIn6> {
    MultiHeaders::preallocate(BATCH_LEN, Some(cmsg_space!(libc::c_int, libc::in6_pktinfo)))
}

fn descriptor(socket: &AdvertSocket) -> i32 {
    socket.as_fd().as_raw_fd()
}

/// `None` when the kernel did not tell everything (RFC 3542 sections 6.1 and 6.3).
fn read_v6(message: &RecvMsg<'_, '_, SockaddrIn6>) -> Option<Arrived> {
    let source = message.address.filter(|address| address.len() > 0)?.ip();
    let (mut destination, mut ttl) = (None, None);
    for control in message.cmsgs().ok()? {
        // Foreign and growing: only what was asked for comes.
        #[allow(clippy::wildcard_enum_match_arm)]
        match control {
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
            }
            ControlMessageOwned::Ipv6HopLimit(limit) => ttl = u8::try_from(limit).ok(),
            _ => {}
        }
    }
    Some(Arrived::V6 { len: message.bytes, source, destination: destination?, ttl: ttl? })
}
