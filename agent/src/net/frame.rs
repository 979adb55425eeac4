//! Whole Ethernet frames: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861).

use std::net::{Ipv4Addr, Ipv6Addr};

use pnet::{
    packet::{
        arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket},
        ethernet::{EtherType, EtherTypes, MutableEthernetPacket},
        icmpv6::{
            self, Icmpv6Packet, Icmpv6Type, Icmpv6Types, MutableIcmpv6Packet,
            ndp::{
                MutableNdpOptionPacket, MutableNeighborAdvertPacket, NdpOptionType, NdpOptionTypes,
                NeighborAdvertFlags,
            },
        },
        ip::IpNextHeaderProtocols,
        ipv6::MutableIpv6Packet,
    },
    util::MacAddr,
};

const ETHERNET_LEN: usize = 14;
const ARP_LEN: usize = 28;
const IPV6_LEN: usize = 40;
/// Type, code, checksum, flags, target; one option with a MAC.
const NEIGHBOUR_LEN: usize = 24 + 8;
const LONGEST: usize = ETHERNET_LEN + IPV6_LEN + NEIGHBOUR_LEN;

/// `ff02::1`.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// What neighbour discovery demands (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;

/// One frame of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Frame {
    /// It, as it is sent.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn new(ether_type: EtherType, (source, destination): (MacAddr, MacAddr), body_len: usize) -> Self {
        let mut frame = Self { bytes: [0; LONGEST], len: ETHERNET_LEN + body_len };
        // The length is right by construction, here and below, so this is never `None`.
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame.bytes) {
            ethernet.set_destination(destination);
            ethernet.set_source(source);
            ethernet.set_ethertype(ether_type);
        }
        frame
    }

    fn body(&mut self) -> &mut [u8] {
        self.bytes.get_mut(ETHERNET_LEN..self.len).unwrap_or_default()
    }
}

/// The variable fields of an ARP packet for IPv4, which is broadcast.
pub(super) struct Arp {
    pub operation: ArpOperation,
    pub sender: (MacAddr, Ipv4Addr),
    pub target: (MacAddr, Ipv4Addr),
}

impl Arp {
    /// A gratuitous one as keepalived sends it: a request with sender = target = the address and target MAC
    /// ff:ff:ff:ff:ff:ff.
    pub(super) fn gratuitous(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            operation: ArpOperations::Request,
            sender: (mac, address),
            target: (MacAddr::broadcast(), address),
        }
    }

    pub(super) fn frame(&self) -> Frame {
        let mut frame = Frame::new(EtherTypes::Arp, (self.sender.0, MacAddr::broadcast()), ARP_LEN);
        if let Some(mut arp) = MutableArpPacket::new(frame.body()) {
            arp.set_hardware_type(ArpHardwareTypes::Ethernet);
            arp.set_protocol_type(EtherTypes::Ipv4);
            arp.set_hw_addr_len(6);
            arp.set_proto_addr_len(4);
            arp.set_operation(self.operation);
            arp.set_sender_hw_addr(self.sender.0);
            arp.set_sender_proto_addr(self.sender.1);
            arp.set_target_hw_addr(self.target.0);
            arp.set_target_proto_addr(self.target.1);
        }
        frame
    }
}

/// An unsolicited neighbour advertisement as keepalived sends it: from the address, to everybody, Override set. `is_router` is
/// what the interface is: hosts drop a default router that denies to be one (RFC 4861 section 7.2.5).
pub(super) fn unsolicited_advertisement(mac: MacAddr, address: Ipv6Addr, is_router: bool) -> Frame {
    let flags = NeighborAdvertFlags::Override | if is_router { NeighborAdvertFlags::Router } else { 0 };
    neighbour(&Neighbour {
        kind: Icmpv6Types::NeighborAdvert,
        flags,
        source: (mac, address),
        destination: ALL_NODES,
        target: address,
        option: NdpOptionTypes::TargetLLAddr,
    })
}

/// Who has `target`? Asked from an address of our own: one without would look like duplicate address detection, and a host
/// that is about to take the address would give it up (RFC 4862 section 5.4.3).
pub(super) fn neighbour_solicitation(source: (MacAddr, Ipv6Addr), target: Ipv6Addr) -> Frame {
    let [.., a, b, c] = target.octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    neighbour(&Neighbour {
        kind: Icmpv6Types::NeighborSolicit,
        flags: 0,
        source,
        destination: group.into(),
        target,
        option: NdpOptionTypes::SourceLLAddr,
    })
}

/// The variable fields of a neighbour solicitation or advertisement, which is sent to a group.
struct Neighbour {
    kind: Icmpv6Type,
    flags: u8,
    source: (MacAddr, Ipv6Addr),
    destination: Ipv6Addr,
    target: Ipv6Addr,
    option: NdpOptionType,
}

fn neighbour(message: &Neighbour) -> Frame {
    let (mac, source) = message.source;
    let [.., a, b, c, d] = message.destination.octets();
    let to = MacAddr::new(0x33, 0x33, a, b, c, d);
    let mut frame = Frame::new(EtherTypes::Ipv6, (mac, to), IPV6_LEN + NEIGHBOUR_LEN);
    let Some((header, body)) = frame.body().split_at_mut_checked(IPV6_LEN) else { return frame };
    if let Some(mut ip) = MutableIpv6Packet::new(header) {
        ip.set_version(6);
        ip.set_payload_length(NEIGHBOUR_LEN as u16);
        ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ip.set_hop_limit(HOP_LIMIT);
        ip.set_source(source);
        ip.set_destination(message.destination);
    }
    // A solicitation has the same fields, and its flags are reserved.
    if let Some(mut advertisement) = MutableNeighborAdvertPacket::new(body) {
        advertisement.set_icmpv6_type(message.kind);
        advertisement.set_flags(message.flags);
        advertisement.set_target_addr(message.target);
    }
    if let Some(mut option) = body.get_mut(24..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(message.option);
        // In units of eight bytes.
        option.set_length(1);
        option.set_data(&mac.octets());
    }
    let checksum =
        Icmpv6Packet::new(body).map(|packet| icmpv6::checksum(&packet, &source, &message.destination));
    if let (Some(checksum), Some(mut packet)) = (checksum, MutableIcmpv6Packet::new(body)) {
        packet.set_checksum(checksum);
    }
    frame
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_gratuitous_arp_is_byte_for_byte_keepalived_s() {
        // keepalived 2.2.7, captured.
        let captured = hex("ffff ffff ffff de64 2e05 d2ce 0806 0001 0800 0604 0001 de64 2e05 d2ce c0a8 b203
                            ffff ffff ffff c0a8 b203");
        let mac = MacAddr::new(0xde, 0x64, 0x2e, 0x05, 0xd2, 0xce);
        let frame = Arp::gratuitous(mac, Ipv4Addr::new(192, 168, 178, 3)).frame();
        assert_eq!(frame.as_slice(), captured);
    }

    #[test]
    fn an_unsolicited_advertisement_is_byte_for_byte_keepalived_s() {
        // keepalived 2.2.7, captured on a host that does not forward IPv6.
        let captured = hex("3333 0000 0001 6e9d ce40 2471 86dd 6000 0000 0020 3aff 2001 0db8 0000 0000 0000
                            0000 0000 0100 ff02 0000 0000 0000 0000 0000 0000 0001 8800 97de 2000 0000 2001
                            0db8 0000 0000 0000 0000 0000 0100 0201 6e9d ce40 2471");
        let mac = MacAddr::new(0x6e, 0x9d, 0xce, 0x40, 0x24, 0x71);
        let frame = unsolicited_advertisement(mac, "2001:db8::100".parse().unwrap(), false);
        assert_eq!(frame.as_slice(), captured);
        // The same, of a link-local address.
        let captured = hex("3333 0000 0001 6e9d ce40 2471 86dd 6000 0000 0020 3aff fe80 0000 0000 0000 0000
                            0000 0005 0001 ff02 0000 0000 0000 0000 0000 0000 0001 8800 f842 2000 0000 fe80
                            0000 0000 0000 0000 0000 0005 0001 0201 6e9d ce40 2471");
        let frame = unsolicited_advertisement(mac, "fe80::5:1".parse().unwrap(), false);
        assert_eq!(frame.as_slice(), captured);
    }

    #[test]
    fn a_solicitation_is_byte_for_byte_the_kernel_s() {
        // Linux 6.18, captured: before it answered a ping.
        let captured = hex("3333 ff00 0131 6e9d ce40 2471 86dd 6000 0000 0020 3aff 2001 0db8 0000 0000 0000
                            0000 0000 0130 ff02 0000 0000 0000 0000 0001 ff00 0131 8700 b94b 0000 0000 2001
                            0db8 0000 0000 0000 0000 0000 0131 0101 6e9d ce40 2471");
        let mac = MacAddr::new(0x6e, 0x9d, 0xce, 0x40, 0x24, 0x71);
        let (source, target) = ("2001:db8::130".parse().unwrap(), "2001:db8::131".parse().unwrap());
        assert_eq!(neighbour_solicitation((mac, source), target).as_slice(), captured);
    }
}
