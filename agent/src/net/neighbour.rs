//! Asking who answers for an address, and hearing every answer until the time is up, because the interesting case is the
//! second one: an ARP probe (RFC 5227 section 2.1.1: sender address 0.0.0.0), a neighbour solicitation (RFC 4861 section 7.2.2).
//!
//! Runs on a thread of its own for each request, so that neither a flood of answers nor a slow interface touches
//! the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use hafleet_vrrp::Instant;
use pnet::{
    packet::{
        Packet,
        arp::{ArpOperations, ArpPacket},
        ethernet::{EtherType, EtherTypes, EthernetPacket},
        icmpv6::{
            Icmpv6Types,
            ndp::{NdpOptionTypes, NeighborAdvertPacket},
        },
        ip::IpNextHeaderProtocols,
        ipv6::Ipv6Packet,
    },
    util::MacAddr,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{
    frame::{Arp, Frame, neighbour_solicitation},
    link_layer,
};
use crate::clock;

/// The longest a probe may wait.
pub const MOST_TIMEOUT: Duration = Duration::from_secs(1);
/// The most MACs that are kept for one address; a host that answers with more is lying already.
pub const MOST_MACS: usize = 16;
/// The most answers that are read in one probe.
const MOST_ANSWERS: usize = 4096;

/// Where and as whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The interface.
    pub interface_index: u32,
    /// Its MAC.
    pub mac: MacAddr,
    /// For IPv6 addresses: an address of our own there. ARP needs none.
    pub source: Option<Ipv6Addr>,
}

/// Asks for all `targets`, which are of one family, and collects who answers until `timeout`, without `own` MACs. IPv6 addresses
/// are not asked for without a source.
pub fn probe(
    asker: Asker,
    own: &BTreeSet<MacAddr>,
    targets: &BTreeSet<IpAddr>,
    timeout: Duration,
) -> io::Result<BTreeMap<IpAddr, BTreeSet<MacAddr>>> {
    let until = clock::now() + timeout.min(MOST_TIMEOUT);
    let mut answers: BTreeMap<IpAddr, BTreeSet<MacAddr>> =
        targets.iter().map(|target| (*target, BTreeSet::new())).collect();
    let Some(is_v4) = targets.first().map(IpAddr::is_ipv4) else { return Ok(answers) };
    let (ether_type, socket) = if is_v4 {
        (EtherTypes::Arp, open(asker.interface_index, EtherTypes::Arp, &ARP_REPLIES)?)
    } else {
        (EtherTypes::Ipv6, open(asker.interface_index, EtherTypes::Ipv6, &ADVERTISEMENTS)?)
    };
    // To whom is in the frame.
    let to = link_layer::address(asker.interface_index, ether_type.0, MacAddr::broadcast());
    for frame in targets.iter().filter_map(|target| question(asker, *target)) {
        socket.send_to(frame.as_slice(), &to)?;
    }
    for _ in 0..MOST_ANSWERS {
        let Some((address, mac)) = next_answer(&socket, until)? else { break };
        if own.contains(&mac) {
            continue;
        }
        if let Some(macs) = answers.get_mut(&address)
            && macs.len() < MOST_MACS
        {
            macs.insert(mac);
        }
    }
    Ok(answers)
}

fn question(asker: Asker, target: IpAddr) -> Option<Frame> {
    match target {
        IpAddr::V4(target) => {
            let request = Arp {
                operation: ArpOperations::Request,
                sender: (asker.mac, Ipv4Addr::UNSPECIFIED),
                target: (MacAddr::zero(), target),
            };
            Some(request.frame())
        }
        IpAddr::V6(target) => Some(neighbour_solicitation((asker.mac, asker.source?), target)),
    }
}

/// A socket that receives answers on one interface and nothing else.
fn open(interface_index: u32, ether_type: EtherType, filter: &[Instruction]) -> io::Result<Socket> {
    // Opened for no EtherType and bound only after the filter is in: nothing unfiltered is ever queued.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    let filter: Vec<SockFilter> =
        filter.iter().map(|&(code, jt, jf, k)| SockFilter::new(code, jt, jf, k)).collect();
    socket.attach_filter(&filter)?;
    socket.bind(&link_layer::address(interface_index, ether_type.0, MacAddr::zero()))?;
    Ok(socket)
}

/// Of classic BPF: what, how far to jump if so and if not, operand.
type Instruction = (u16, u8, u8, u32);

/// Over the Ethernet frame: accept if the EtherType is ARP and the operation is reply.
const ARP_REPLIES: [Instruction; 6] = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_IF_EQUAL, 0, 3, EtherTypes::Arp.0 as u32),
    (LOAD_HALF, 0, 0, 20),
    (JUMP_IF_EQUAL, 0, 1, ArpOperations::Reply.0 as u32),
    (RETURN, 0, 0, FRAME_LEN as u32),
    (RETURN, 0, 0, 0),
];
/// Accept if the EtherType is IPv6, what follows its header is ICMPv6, and that is a neighbour advertisement.
const ADVERTISEMENTS: [Instruction; 8] = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_IF_EQUAL, 0, 5, EtherTypes::Ipv6.0 as u32),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_IF_EQUAL, 0, 3, IpNextHeaderProtocols::Icmpv6.0 as u32),
    (LOAD_BYTE, 0, 0, 54),
    (JUMP_IF_EQUAL, 0, 1, Icmpv6Types::NeighborAdvert.0 as u32),
    (RETURN, 0, 0, FRAME_LEN as u32),
    (RETURN, 0, 0, 0),
];
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// As much as is looked at.
const FRAME_LEN: usize = 128;

/// The next readable answer; `None` when the time is up.
fn next_answer(socket: &Socket, until: Instant) -> io::Result<Option<(IpAddr, MacAddr)>> {
    let mut frame = [0; FRAME_LEN];
    loop {
        let left = until.since(clock::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let len = match (&mut &*socket).read(&mut frame) {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(answer) = frame.get(..len).and_then(answer) {
            return Ok(Some(answer));
        }
    }
}

/// Who says to have which address.
fn answer(frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Arp => arp_reply(ethernet.payload()),
        EtherTypes::Ipv6 => advertisement(ethernet.payload(), ethernet.get_source()),
        _ => None,
    }
}

fn arp_reply(packet: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let arp = ArpPacket::new(packet)?;
    let ipv4_over_ethernet = arp.get_protocol_type() == EtherTypes::Ipv4
        && arp.get_hw_addr_len() == 6
        && arp.get_proto_addr_len() == 4
        && arp.get_operation() == ArpOperations::Reply;
    ipv4_over_ethernet.then(|| (arp.get_sender_proto_addr().into(), arp.get_sender_hw_addr()))
}

/// Valid ones have hop limit 255: nobody further away can send them (RFC 4861 section 7.1.2).
fn advertisement(packet: &[u8], sender: MacAddr) -> Option<(IpAddr, MacAddr)> {
    let ip = Ipv6Packet::new(packet)?;
    if ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 || ip.get_hop_limit() != 255 {
        return None;
    }
    let body = packet.get(Ipv6Packet::minimum_packet_size()..)?;
    let advertisement = NeighborAdvertPacket::new(body)?;
    if advertisement.get_icmpv6_type() != Icmpv6Types::NeighborAdvert {
        return None;
    }
    let options = body.get(NeighborAdvertPacket::minimum_packet_size()..)?;
    Some((advertisement.get_target_addr().into(), link_layer_option(options).unwrap_or(sender)))
}

/// The target link-layer address among the options (RFC 4861 section 4.6), each as long as its second byte says in units of
/// eight. pnet's iterator over them does not end at one of length zero.
fn link_layer_option(mut options: &[u8]) -> Option<MacAddr> {
    while let [kind, units @ 1..=u8::MAX, value @ ..] = options {
        if (*kind, *units) == (NdpOptionTypes::TargetLLAddr.0, 1) {
            return value.first_chunk::<6>().map(|mac| MacAddr::from(*mac));
        }
        options = options.get(usize::from(*units) * 8..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::frame::{tests::hex, unsolicited_advertisement};

    const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);

    #[test]
    fn a_reply_names_its_sender_and_a_request_is_none() {
        let address = Ipv4Addr::new(192, 168, 178, 3);
        let frame =
            |operation| Arp { operation, sender: (MAC, address), target: (MacAddr::zero(), address) }.frame();
        assert_eq!(answer(frame(ArpOperations::Reply).as_slice()), Some((address.into(), MAC)));
        assert_eq!(answer(frame(ArpOperations::Request).as_slice()), None);
    }

    #[test]
    fn an_advertisement_names_its_target_and_the_address_in_its_option() {
        let address: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let frame = unsolicited_advertisement(MAC, address, false);
        assert_eq!(answer(frame.as_slice()), Some((address.into(), MAC)));
        let mut frame = frame.as_slice().to_vec();
        // From another MAC than it advertises: what neighbours learn counts.
        frame[11] = 9;
        assert_eq!(answer(&frame), Some((address.into(), MAC)));
        // Without the option, or with one that does not end.
        let sender = MacAddr::new(2, 0, 0, 0, 0, 9);
        assert_eq!(answer(&frame[..frame.len() - 8]), Some((address.into(), sender)));
        let at = frame.len() - 7;
        frame[at] = 0;
        assert_eq!(answer(&frame), Some((address.into(), sender)));
        // Through a router.
        frame[14 + 7] = 254;
        assert_eq!(answer(&frame), None);
    }

    #[test]
    fn a_captured_answer_is_read() {
        // Linux 6.18, captured.
        let captured = hex("6e9d ce40 2471 da68 1da2 11b9 86dd 6000 0000 0020 3aff 2001 0db8 0000 0000 0000
                            0000 0000 0131 2001 0db8 0000 0000 0000 0000 0000 0130 8800 7f22 6000 0000 2001
                            0db8 0000 0000 0000 0000 0000 0131 0201 da68 1da2 11b9");
        let mac = MacAddr::new(0xda, 0x68, 0x1d, 0xa2, 0x11, 0xb9);
        assert_eq!(answer(&captured), Some(("2001:db8::131".parse().unwrap(), mac)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(frame in prop::collection::vec(any::<u8>(), 0..128)) {
            answer(&frame);
        }

        #[test]
        fn no_options_panic_or_never_end(options in prop::collection::vec(any::<u8>(), 0..64)) {
            link_layer_option(&options);
        }
    }
}
