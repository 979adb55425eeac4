//! What was on the wire, read by somebody else than our own decoder: pnet for the standard headers, and the fields of
//! VRRP by their offsets in RFC 3768 section 5.1 and RFC 9568 section 5.2.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use pnet::{
    packet::{
        Packet,
        arp::{ArpOperations, ArpPacket},
        ethernet::{EtherTypes, EthernetPacket},
        icmpv6::ndp::{NdpOptionTypes, NeighborAdvertPacket},
        icmpv6::{Icmpv6Packet, Icmpv6Types},
        ip::IpNextHeaderProtocol,
        ipv4::Ipv4Packet,
        ipv6::Ipv6Packet,
    },
    util::MacAddr,
};

use super::vrrp;

/// IANA's number for VRRP.
pub const VRRP: IpNextHeaderProtocol = IpNextHeaderProtocol(112);

/// One Ethernet frame, with the kernel's time of its arrival at the switch.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Since 1970-01-01 UTC.
    pub at: Duration,
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// Ethernet destination.
    pub target_mac: MacAddr,
    /// What it carries.
    pub content: Content,
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Content {
    /// VRRP, whether or not it is a valid advert.
    Advert(Advert),
    /// ARP.
    Arp(Arp),
    /// An ICMPv6 neighbour advertisement.
    Neighbor(Neighbor),
    /// Anything else that the capture's filter let through.
    Other,
}

/// A VRRP message and the IP header that it came under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// The VRRP message.
    pub message: Vec<u8>,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// A request; else an answer.
    pub is_request: bool,
    /// Sender's MAC.
    pub sender_mac: MacAddr,
    /// Sender's address.
    pub sender: Ipv4Addr,
    /// Target's MAC.
    pub target_mac: MacAddr,
    /// Target's address.
    pub target: Ipv4Addr,
}

/// A neighbour advertisement (RFC 4861 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// Hop limit, 255 or it is not believed.
    pub hop_limit: u8,
    /// R, S and O in the highest bits.
    pub flags: u8,
    /// The address that is told.
    pub target: Ipv6Addr,
    /// The target link-layer address option.
    pub mac: Option<MacAddr>,
}

impl Frame {
    /// Reads an Ethernet frame.
    pub fn read(at: Duration, bytes: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(bytes)?;
        let content = match ethernet.get_ethertype() {
            EtherTypes::Arp => read_arp(ethernet.payload()),
            EtherTypes::Ipv4 => read_ipv4(ethernet.payload()),
            EtherTypes::Ipv6 => read_ipv6(ethernet.payload()),
            _ => None,
        };
        Some(Self {
            at,
            source_mac: ethernet.get_source(),
            target_mac: ethernet.get_destination(),
            content: content.unwrap_or(Content::Other),
        })
    }

    /// The advert, if it is one.
    pub fn advert(&self) -> Option<&Advert> {
        match &self.content {
            Content::Advert(advert) => Some(advert),
            Content::Arp(_) | Content::Neighbor(_) | Content::Other => None,
        }
    }

    /// The address that a gratuitous ARP or an unsolicited neighbour advertisement announces.
    pub fn announced(&self) -> Option<IpAddr> {
        match self.content {
            Content::Arp(arp) if arp.sender == arp.target => Some(arp.sender.into()),
            // The S flag: an answer to a question, not an announcement.
            Content::Neighbor(neighbor) if neighbor.flags & 0x40 == 0 => Some(neighbor.target.into()),
            Content::Advert(_) | Content::Arp(_) | Content::Neighbor(_) | Content::Other => None,
        }
    }
}

impl Advert {
    /// The version in the upper half of the first byte.
    pub fn version(&self) -> u8 {
        self.byte(0) >> 4
    }

    /// The message's type, 1 for an advert.
    pub fn kind(&self) -> u8 {
        self.byte(0) & 0x0F
    }

    /// VRID.
    pub fn vrid(&self) -> u8 {
        self.byte(1)
    }

    /// Priority; 0 says goodbye.
    pub fn priority(&self) -> u8 {
        self.byte(2)
    }

    /// How many addresses it says it has.
    pub fn count(&self) -> u8 {
        self.byte(3)
    }

    /// Version 2 only: 0 none, 1 PASS.
    pub fn auth_type(&self) -> u8 {
        self.byte(4)
    }

    /// The interval, milliseconds: whole seconds in version 2, 12 bits of centiseconds in version 3.
    pub fn interval_ms(&self) -> u32 {
        let (high, low) = (u32::from(self.byte(4)), u32::from(self.byte(5)));
        if self.version() == 2 { low * 1000 } else { ((high & 0x0F) << 8 | low) * 10 }
    }

    /// The four bits before the interval of version 3, which must be zero.
    pub fn reserved(&self) -> u8 {
        self.byte(4) >> 4
    }

    /// The addresses, in the order sent.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self.message.get(8..).unwrap_or_default();
        let count = usize::from(self.count());
        match self.source {
            IpAddr::V4(_) => listed.as_chunks::<4>().0.iter().take(count).map(|a| IpAddr::from(*a)).collect(),
            IpAddr::V6(_) => {
                listed.as_chunks::<16>().0.iter().take(count).map(|a| IpAddr::from(*a)).collect()
            }
        }
    }

    /// What follows the addresses: version 2's authentication data.
    pub fn trailer(&self) -> &[u8] {
        let each = if self.source.is_ipv4() { 4 } else { 16 };
        self.message.get(8 + usize::from(self.count()) * each..).unwrap_or_default()
    }

    /// Whether the checksum is right with the IP pseudo-header.
    pub fn is_right_with_pseudo_header(&self) -> bool {
        self.checksum() == vrrp::checksum_with_pseudo_header(&self.message, self.source, self.destination)
    }

    /// Whether it is right without.
    pub fn is_right_without_pseudo_header(&self) -> bool {
        self.checksum() == vrrp::checksum(&self.message)
    }

    fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.byte(6), self.byte(7)])
    }

    fn byte(&self, at: usize) -> u8 {
        self.message.get(at).copied().unwrap_or_default()
    }
}

fn read_arp(bytes: &[u8]) -> Option<Content> {
    let arp = ArpPacket::new(bytes)?;
    Some(Content::Arp(Arp {
        is_request: arp.get_operation() == ArpOperations::Request,
        sender_mac: arp.get_sender_hw_addr(),
        sender: arp.get_sender_proto_addr(),
        target_mac: arp.get_target_hw_addr(),
        target: arp.get_target_proto_addr(),
    }))
}

fn read_ipv4(bytes: &[u8]) -> Option<Content> {
    let ip = Ipv4Packet::new(bytes)?;
    if ip.get_next_level_protocol() != VRRP {
        return None;
    }
    // Without Ethernet's padding.
    let header_len = usize::from(ip.get_header_length()) * 4;
    let message = bytes.get(header_len..usize::from(ip.get_total_length()))?;
    Some(Content::Advert(Advert {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        ttl: ip.get_ttl(),
        tos: ip.get_dscp() << 2 | ip.get_ecn(),
        message: message.to_vec(),
    }))
}

fn read_ipv6(bytes: &[u8]) -> Option<Content> {
    let ip = Ipv6Packet::new(bytes)?;
    if ip.get_next_header() == VRRP {
        return Some(Content::Advert(Advert {
            source: ip.get_source().into(),
            destination: ip.get_destination().into(),
            ttl: ip.get_hop_limit(),
            tos: ip.get_traffic_class(),
            message: ip.payload().to_vec(),
        }));
    }
    let icmp = Icmpv6Packet::new(ip.payload())?;
    if icmp.get_icmpv6_type() != Icmpv6Types::NeighborAdvert {
        return None;
    }
    let advert = NeighborAdvertPacket::new(ip.payload())?;
    let option = advert
        .get_options_iter()
        .find(|option| option.get_option_type() == NdpOptionTypes::TargetLLAddr)
        .and_then(|option| option.payload().first_chunk::<6>().copied());
    Some(Content::Neighbor(Neighbor {
        source: ip.get_source(),
        destination: ip.get_destination(),
        hop_limit: ip.get_hop_limit(),
        flags: advert.get_flags(),
        target: advert.get_target_addr(),
        mac: option.map(|[a, b, c, d, e, f]| MacAddr::new(a, b, c, d, e, f)),
    }))
}
