//! VRRP messages made by hand, right or wrong, and the frames that carry them. Nothing here uses our own encoder.

use std::net::{IpAddr, Ipv4Addr};

use pnet::{
    packet::{
        ethernet::{EtherTypes, MutableEthernetPacket},
        ip::IpNextHeaderProtocol,
        ipv4::{self, MutableIpv4Packet},
        util,
    },
    util::MacAddr,
};

use super::frame::VRRP;

/// The group of RFC 9568 section 5.1.1.2.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The Ethernet address of that group.
pub const GROUP_V4_MAC: MacAddr = MacAddr(0x01, 0x00, 0x5E, 0x00, 0x00, 0x12);

/// The checksum over a message alone, whatever its checksum field has.
pub fn checksum(message: &[u8]) -> u16 {
    // The word to leave out is the fourth one.
    util::checksum(message, 3)
}

/// The checksum over the IP pseudo-header and the message.
pub fn checksum_with_pseudo_header(message: &[u8], source: IpAddr, destination: IpAddr) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            util::ipv4_checksum(message, 3, &[], &source, &destination, VRRP)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            util::ipv6_checksum(message, 3, &[], &source, &destination, VRRP)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

/// A version 2 message with its password, if any.
pub fn version_2(vrid: u8, priority: u8, interval_s: u8, vips: &[Ipv4Addr], pass: Option<&str>) -> Vec<u8> {
    let count = u8::try_from(vips.len()).unwrap_or(u8::MAX);
    let mut message = vec![0x21, vrid, priority, count, u8::from(pass.is_some()), interval_s, 0, 0];
    message.extend(vips.iter().flat_map(Ipv4Addr::octets));
    let mut data = pass.unwrap_or_default().as_bytes().to_vec();
    data.resize(8, 0);
    message.extend(data);
    let sum = checksum(&message);
    with_checksum(message, sum)
}

/// A version 3 message over IPv4 to the group, its checksum with the pseudo-header.
pub fn version_3(vrid: u8, priority: u8, interval_cs: u16, vips: &[Ipv4Addr], source: Ipv4Addr) -> Vec<u8> {
    let count = u8::try_from(vips.len()).unwrap_or(u8::MAX);
    let [high, low] = interval_cs.to_be_bytes();
    let mut message = vec![0x31, vrid, priority, count, high, low, 0, 0];
    message.extend(vips.iter().flat_map(Ipv4Addr::octets));
    let sum = checksum_with_pseudo_header(&message, source.into(), GROUP_V4.into());
    with_checksum(message, sum)
}

/// The message with this checksum.
pub fn with_checksum(mut message: Vec<u8>, sum: u16) -> Vec<u8> {
    if let Some(field) = message.get_mut(6..8) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Where a forged packet says it comes from, and to whom it is handed.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// Ethernet destination: the group's, or one host's, so that nobody else hears it.
    pub target_mac: MacAddr,
    /// IP source.
    pub source: Ipv4Addr,
    /// IP destination.
    pub destination: Ipv4Addr,
    /// TTL.
    pub ttl: u8,
}

impl Envelope {
    /// To the whole group.
    pub fn to_group(source_mac: MacAddr, source: Ipv4Addr) -> Self {
        Self { source_mac, target_mac: GROUP_V4_MAC, source, destination: GROUP_V4, ttl: 255 }
    }

    /// To the group by its IP header, but handed by Ethernet to one host only: nobody else hears it.
    pub fn to_one(self, target_mac: MacAddr) -> Self {
        Self { target_mac, ..self }
    }

    /// The whole frame.
    pub fn around(self, message: &[u8]) -> Vec<u8> {
        self.around_protocol(VRRP, message)
    }

    /// The same for another IP protocol, such as 51, IPsec's authentication header.
    pub fn around_protocol(self, protocol: IpNextHeaderProtocol, message: &[u8]) -> Vec<u8> {
        const ETHERNET: usize = 14;
        const IP: usize = 20;
        let mut frame = vec![0; ETHERNET + IP];
        frame.extend_from_slice(message);
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
            ethernet.set_source(self.source_mac);
            ethernet.set_destination(self.target_mac);
            ethernet.set_ethertype(EtherTypes::Ipv4);
        }
        if let Some(mut ip) = frame.get_mut(ETHERNET..).and_then(MutableIpv4Packet::new) {
            ip.set_version(4);
            ip.set_header_length(5);
            ip.set_dscp(0x30);
            ip.set_total_length(u16::try_from(IP + message.len()).unwrap_or(u16::MAX));
            ip.set_ttl(self.ttl);
            ip.set_next_level_protocol(protocol);
            ip.set_source(self.source);
            ip.set_destination(self.destination);
            let sum = ipv4::checksum(&ip.to_immutable());
            ip.set_checksum(sum);
        }
        // The least that Ethernet carries.
        frame.resize(frame.len().max(60), 0);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_messages_are_byte_for_byte_those_of_keepalived_and_frr() {
        let vips = [Ipv4Addr::new(10, 77, 0, 100)];
        assert_eq!(
            version_2(51, 150, 1, &vips, None),
            bytes("2133960100013e190a4d00640000000000000000"),
            "keepalived 2.2.7"
        );
        assert_eq!(
            version_3(51, 100, 100, &vips, Ipv4Addr::new(10, 77, 0, 2)),
            bytes("31336401006474d80a4d0064"),
            "FRR 8.4.4"
        );
    }
}
