//! The IP headers of adverts: what is sent, and what a raw IPv4 socket hands over.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use hafleet_vrrp::packet::{IP_PROTOCOL, TOS};
use pnet::packet::{
    ip::IpNextHeaderProtocol,
    ipv4::{Ipv4Packet, MutableIpv4Packet},
    ipv6::{Ipv6Packet, MutableIpv6Packet},
};

use super::{Malformed, Received};

const V4_LEN: usize = 20;
const V6_LEN: usize = 40;

/// Fills `packet` with an IPv4 packet: TOS 0xC0 as keepalived and FRR send it, no DF flag.
pub(super) fn write_v4(
    packet: &mut Vec<u8>,
    (source, destination): (Ipv4Addr, Ipv4Addr),
    (ttl, id): (u8, u16),
    payload: &[u8],
) -> io::Result<()> {
    let total_len = payload_len(V4_LEN + payload.len())?;
    packet.clear();
    packet.resize(V4_LEN, 0);
    let mut header = MutableIpv4Packet::new(packet).ok_or(io::ErrorKind::InvalidInput)?;
    header.set_version(4);
    header.set_header_length(5);
    header.set_dscp(TOS >> 2);
    header.set_total_length(total_len);
    header.set_identification(id);
    header.set_ttl(ttl);
    header.set_next_level_protocol(IpNextHeaderProtocol(IP_PROTOCOL));
    header.set_source(source);
    header.set_destination(destination);
    // The kernel computes it again for a packet sent with IP_HDRINCL (raw(7)).
    let checksum = pnet::packet::ipv4::checksum(&header.to_immutable());
    header.set_checksum(checksum);
    packet.extend_from_slice(payload);
    Ok(())
}

/// Fills `packet` with an IPv6 packet: traffic class 0xC0 as keepalived sends it.
pub(super) fn write_v6(
    packet: &mut Vec<u8>,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    payload: &[u8],
) -> io::Result<()> {
    let len = payload_len(payload.len())?;
    packet.clear();
    packet.resize(V6_LEN, 0);
    let mut header = MutableIpv6Packet::new(packet).ok_or(io::ErrorKind::InvalidInput)?;
    header.set_version(6);
    header.set_traffic_class(TOS);
    header.set_payload_length(len);
    header.set_next_header(IpNextHeaderProtocol(IP_PROTOCOL));
    header.set_hop_limit(hop_limit);
    header.set_source(source);
    header.set_destination(destination);
    packet.extend_from_slice(payload);
    Ok(())
}

fn payload_len(len: usize) -> io::Result<u16> {
    u16::try_from(len).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Reads the IP header of what a raw IPv4 socket gave.
pub(super) fn read_v4(packet: &[u8]) -> Result<Received<'_>, Malformed> {
    let len = packet.len();
    let header = Ipv4Packet::new(packet).ok_or(Malformed::Header { len })?;
    let header_len = usize::from(header.get_header_length()) * 4;
    let total_len = usize::from(header.get_total_length());
    if header_len < V4_LEN || total_len < header_len {
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
        source: header.get_source().into(),
        destination: header.get_destination().into(),
        ttl: header.get_ttl(),
        interface_index: None,
        payload,
    })
}

/// Reads the header of a whole IPv6 packet.
pub(super) fn read_v6(packet: &[u8]) -> Result<Received<'_>, Malformed> {
    let len = packet.len();
    let header = Ipv6Packet::new(packet).ok_or(Malformed::Header { len })?;
    if header.get_version() != 6 || header.get_next_header().0 != IP_PROTOCOL {
        return Err(Malformed::NotVrrp);
    }
    let total_len = V6_LEN + usize::from(header.get_payload_length());
    let payload = packet.get(V6_LEN..total_len).ok_or(Malformed::Truncated { len, total_len })?;
    Ok(Received {
        source: header.get_source().into(),
        destination: header.get_destination().into(),
        ttl: header.get_hop_limit(),
        interface_index: None,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use hafleet_vrrp::packet::{GROUP_V4, GROUP_V6, TTL};
    use proptest::prelude::*;

    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 178, 130);
    /// keepalived 2.2.7, captured: 192.168.178.130, VRID 51, priority 150, three addresses, PASS 1111.
    const KEEPALIVED: &str = "45c0003000010000ff70675fc0a8b282e0000012\
                              2133960301018d5dc0a8b203c0a8b204c0a8b2053131313100000000";
    /// keepalived 2.2.7, captured: VRID 51, priority 100, three addresses. Its kernel chose the flow label 0x0980c.
    const KEEPALIVED_V6: &str = "6c00980c003870fffe80000000000000d8681dfffea211b9ff020000000000000000000000000012\
                                 3133640300640969fe800000000000000000000000050001\
                                 20010db800000000000000000000010020010db8000000000000000000000101";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_ip_header_is_byte_for_byte_keepalived_s() {
        let captured = bytes(KEEPALIVED);
        let mut packet = vec![7; 3];
        write_v4(&mut packet, (SOURCE, GROUP_V4), (TTL, 1), &captured[20..]).unwrap();
        assert_eq!(packet, captured);
    }

    #[test]
    fn the_ipv6_header_is_keepalived_s_but_for_the_flow_label() {
        let captured = bytes(KEEPALIVED_V6);
        let source = "fe80::d868:1dff:fea2:11b9".parse().unwrap();
        let mut packet = vec![7; 99];
        write_v6(&mut packet, (source, GROUP_V6), TTL, &captured[40..]).unwrap();
        assert_eq!(packet[..4], [0x6c, 0, 0, 0]);
        assert_eq!(packet[4..], captured[4..]);
    }

    #[test]
    fn what_no_length_field_can_say_is_not_sent() {
        let payload = vec![0; 65_536];
        let refused = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::InvalidInput;
        assert!(refused(write_v4(&mut Vec::new(), (SOURCE, GROUP_V4), (TTL, 1), &payload)));
        assert!(refused(write_v6(&mut Vec::new(), (GROUP_V6, GROUP_V6), TTL, &payload)));
    }

    #[test]
    fn a_captured_packet_is_read() {
        let captured = bytes(KEEPALIVED);
        let received = read_v4(&captured).unwrap();
        let payload = &captured[20..];
        assert_eq!(
            received,
            Received {
                source: SOURCE.into(),
                destination: GROUP_V4.into(),
                ttl: 255,
                interface_index: None,
                payload
            }
        );
    }

    #[test]
    fn options_are_skipped_and_padding_is_stripped() {
        let mut packet = bytes(KEEPALIVED);
        packet.splice(20..20, [0x94, 0x04, 0, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        packet.extend([0xEE; 6]);
        let received = read_v4(&packet).unwrap();
        assert_eq!(received.payload, &bytes(KEEPALIVED)[20..]);
    }

    #[test]
    fn what_is_no_whole_vrrp_packet_is_named() {
        let whole = bytes(KEEPALIVED);
        let changed = |at: usize, value: u8| {
            let mut packet = whole.clone();
            packet[at] = value;
            read_v4(&packet).unwrap_err()
        };
        assert_eq!(read_v4(&whole[..19]).unwrap_err(), Malformed::Header { len: 19 });
        assert_eq!(read_v4(&whole[..40]).unwrap_err(), Malformed::Truncated { len: 40, total_len: 48 });
        assert_eq!(changed(0, 0x44), Malformed::Header { len: 48 });
        assert_eq!(changed(3, 19), Malformed::Header { len: 48 });
        assert_eq!(changed(0, 0x65), Malformed::NotVrrp);
        assert_eq!(changed(6, 0x20), Malformed::NotVrrp);
        assert_eq!(changed(7, 1), Malformed::NotVrrp);
        assert_eq!(changed(9, 6), Malformed::NotVrrp);
    }

    #[test]
    fn a_whole_ipv6_packet_is_read_as_it_was_written() {
        let mut packet = Vec::new();
        write_v6(&mut packet, ("fe80::1".parse().unwrap(), GROUP_V6), TTL, &[1, 2, 3]).unwrap();
        // Ethernet pads.
        packet.push(0);
        let received = read_v6(&packet).unwrap();
        assert_eq!(received.source, "fe80::1".parse::<std::net::IpAddr>().unwrap());
        assert_eq!((received.destination, received.ttl), (GROUP_V6.into(), TTL));
        assert_eq!((received.payload, received.interface_index), (&[1, 2, 3][..], None));
        let truncated = Malformed::Truncated { len: 42, total_len: 43 };
        assert_eq!(read_v6(&packet[..42]).unwrap_err(), truncated);
        assert_eq!(read_v6(&packet[..39]).unwrap_err(), Malformed::Header { len: 39 });
        packet[6] = 17;
        assert_eq!(read_v6(&packet).unwrap_err(), Malformed::NotVrrp);
    }

    proptest! {
        #[test]
        fn no_ipv6_bytes_panic(packet in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = read_v6(&packet);
        }

        #[test]
        fn no_bytes_panic(packet in prop::collection::vec(any::<u8>(), 0..128)) {
            if let Ok(received) = read_v4(&packet) {
                prop_assert!(received.payload.len() <= packet.len() - V4_LEN);
            }
        }
    }
}
