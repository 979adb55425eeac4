//! Telling the neighbours: gratuitous ARP (RFC 826, RFC 5227 section 3) exactly as keepalived sends it, in the order
//! that lets the last of many addresses not wait for the repeats of the first.

use std::{collections::VecDeque, io, net::Ipv4Addr};

use pnet::{
    packet::{
        arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket},
        ethernet::{EtherTypes, MutableEthernetPacket},
    },
    util::MacAddr,
};
use socket2::{Domain, Socket, Type};

use super::link_layer;

/// Ethernet header and ARP packet.
pub const FRAME_LEN: usize = 14 + 28;
/// How many frames may wait; the oldest round of 255 routers with 20 addresses five times over. More are counted and
/// dropped.
pub const QUEUE_LEN: usize = 32_768;

/// Sends frames on any interface. Receives nothing: it is opened for no EtherType.
#[derive(Debug)]
pub struct AnnounceSocket {
    socket: Socket,
}

impl AnnounceSocket {
    /// Opens it. Needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends one gratuitous ARP. Never waits: a full queue is an error.
    pub fn send(&self, announcement: &GratuitousArp) -> io::Result<()> {
        let frame = announcement.frame();
        let to = link_layer::address(announcement.interface_index, EtherTypes::Arp.0, MacAddr::broadcast());
        self.socket.send_to(&frame, &to).map(drop)
    }
}

/// One announcement of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GratuitousArp {
    /// The virtual router that announces, as its owner counts.
    pub router: usize,
    /// Where.
    pub interface_index: u32,
    /// The interface's MAC.
    pub mac: MacAddr,
    /// What.
    pub address: Ipv4Addr,
}

impl GratuitousArp {
    /// The frame: a request with sender = target = the address and target MAC ff:ff:ff:ff:ff:ff, to everybody.
    pub fn frame(&self) -> [u8; FRAME_LEN] {
        arp_frame(&Arp {
            operation: ArpOperations::Request,
            sender: (self.mac, self.address),
            target: (MacAddr::broadcast(), self.address),
        })
    }
}

/// The variable fields of an ARP packet that is broadcast.
pub(super) struct Arp {
    pub operation: ArpOperation,
    pub sender: (MacAddr, Ipv4Addr),
    pub target: (MacAddr, Ipv4Addr),
}

/// A broadcast Ethernet frame with an ARP packet for IPv4.
pub(super) fn arp_frame(packet: &Arp) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    let (header, body) = frame.split_at_mut(14);
    // Both lengths are right by construction, so neither is ever `None`.
    if let (Some(mut ethernet), Some(mut arp)) =
        (MutableEthernetPacket::new(header), MutableArpPacket::new(body))
    {
        ethernet.set_destination(MacAddr::broadcast());
        ethernet.set_source(packet.sender.0);
        ethernet.set_ethertype(EtherTypes::Arp);
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(packet.operation);
        arp.set_sender_hw_addr(packet.sender.0);
        arp.set_sender_proto_addr(packet.sender.1);
        arp.set_target_hw_addr(packet.target.0);
        arp.set_target_proto_addr(packet.target.1);
    }
    frame
}

/// What waits to be announced: every address of every router once, then the repeats.
#[derive(Debug, Default)]
pub struct AnnounceQueue {
    first: VecDeque<GratuitousArp>,
    repeats: VecDeque<GratuitousArp>,
    dropped: u64,
}

impl AnnounceQueue {
    /// Queues `addresses`, each `repeat` times, round by round.
    pub fn push(&mut self, addresses: &[GratuitousArp], repeat: u8) {
        for round in 0..repeat {
            for announcement in addresses {
                if self.len() >= QUEUE_LEN {
                    self.dropped += 1;
                } else if round == 0 {
                    self.first.push_back(*announcement);
                } else {
                    self.repeats.push_back(*announcement);
                }
            }
        }
    }

    /// The next one to send.
    pub fn pop(&mut self) -> Option<GratuitousArp> {
        self.first.pop_front().or_else(|| self.repeats.pop_front())
    }

    /// Forgets what a router wanted to say: it lost its addresses, and a late word would take them from the winner.
    pub fn forget(&mut self, router: usize) {
        self.first.retain(|announcement| announcement.router != router);
        self.repeats.retain(|announcement| announcement.router != router);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.first.len() + self.repeats.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.repeats.is_empty()
    }

    /// How many did not fit since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arp(router: usize, last: u8) -> GratuitousArp {
        let mac = MacAddr::new(0xde, 0x64, 0x2e, 0x05, 0xd2, 0xce);
        GratuitousArp { router, interface_index: 2, mac, address: Ipv4Addr::new(192, 168, 178, last) }
    }

    #[test]
    fn the_frame_is_byte_for_byte_keepalived_s() {
        // keepalived 2.2.7, captured.
        let captured: [u8; FRAME_LEN] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x64, 0x2e, 0x05, 0xd2, 0xce, 0x08, 0x06, 0x00, 0x01,
            0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0xde, 0x64, 0x2e, 0x05, 0xd2, 0xce, 0xc0, 0xa8, 0xb2, 0x03,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc0, 0xa8, 0xb2, 0x03,
        ];
        assert_eq!(arp(0, 3).frame(), captured);
    }

    #[test]
    fn every_address_of_every_router_is_announced_once_before_any_repeat() {
        let mut queue = AnnounceQueue::default();
        queue.push(&[arp(0, 3), arp(0, 4)], 2);
        queue.push(&[arp(1, 5)], 2);
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|arp| arp.address.octets()[3]).collect();
        assert_eq!(order, [3, 4, 5, 3, 4, 5]);
    }

    #[test]
    fn a_router_that_lost_its_addresses_says_nothing_more() {
        let mut queue = AnnounceQueue::default();
        queue.push(&[arp(0, 3)], 3);
        queue.push(&[arp(1, 5)], 2);
        queue.forget(0);
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|arp| arp.address.octets()[3]).collect();
        assert_eq!(order, [5, 5]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_queue_is_bounded_and_counts() {
        let mut queue = AnnounceQueue::default();
        let many = vec![arp(0, 3); 20_000];
        queue.push(&many, 2);
        assert_eq!((queue.len(), queue.dropped()), (QUEUE_LEN, 40_000 - QUEUE_LEN as u64));
    }
}
