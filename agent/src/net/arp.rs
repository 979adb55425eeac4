//! Asking who answers for an address: an ARP probe (RFC 5227 section 2.1.1: sender address 0.0.0.0), and every answer
//! until the time is up, because the interesting case is the second one.
//!
//! Runs on a thread of its own for each request, so that neither a flood of answers nor a slow interface touches
//! the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    net::Ipv4Addr,
    time::Duration,
};

use hafleet_vrrp::Instant;
use pnet::{
    packet::{
        arp::{ArpOperations, ArpPacket},
        ethernet::{EtherTypes, EthernetPacket},
    },
    util::MacAddr,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{frame::Arp, link_layer};
use crate::clock;

/// The longest a probe may wait.
pub const MOST_TIMEOUT: Duration = Duration::from_secs(1);
/// The most MACs that are kept for one address; a host that answers with more is lying already.
pub const MOST_MACS: usize = 16;
/// The most answers that are read in one probe.
const MOST_ANSWERS: usize = 4096;

/// Asks on one interface for all `targets` and collects who answers until `timeout`, without `own` MACs.
pub fn probe(
    interface_index: u32,
    mac: MacAddr,
    own: &BTreeSet<MacAddr>,
    targets: &BTreeSet<Ipv4Addr>,
    timeout: Duration,
) -> io::Result<BTreeMap<Ipv4Addr, BTreeSet<MacAddr>>> {
    let until = clock::now() + timeout.min(MOST_TIMEOUT);
    let socket = open(interface_index)?;
    let everybody = link_layer::address(interface_index, EtherTypes::Arp.0, MacAddr::broadcast());
    for target in targets {
        let request = Arp {
            operation: ArpOperations::Request,
            sender: (mac, Ipv4Addr::UNSPECIFIED),
            target: (MacAddr::zero(), *target),
        };
        socket.send_to(request.frame().as_slice(), &everybody)?;
    }
    let mut answers: BTreeMap<Ipv4Addr, BTreeSet<MacAddr>> =
        targets.iter().map(|target| (*target, BTreeSet::new())).collect();
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

/// A socket that receives ARP replies on one interface and nothing else.
fn open(interface_index: u32) -> io::Result<Socket> {
    // Opened for no EtherType and bound only after the filter is in: nothing unfiltered is ever queued.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(&ARP_REPLIES.map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k)))?;
    socket.bind(&link_layer::address(interface_index, EtherTypes::Arp.0, MacAddr::zero()))?;
    Ok(socket)
}

/// Classic BPF over the Ethernet frame: accept if the EtherType is ARP and the operation is reply.
const ARP_REPLIES: [(u16, u8, u8, u32); 6] = [
    (LOAD_HALF, 0, 0, 12),
    (JUMP_IF_EQUAL, 0, 3, EtherTypes::Arp.0 as u32),
    (LOAD_HALF, 0, 0, 20),
    (JUMP_IF_EQUAL, 0, 1, ArpOperations::Reply.0 as u32),
    (RETURN, 0, 0, 128),
    (RETURN, 0, 0, 0),
];
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The next readable answer; `None` when the time is up.
fn next_answer(socket: &Socket, until: Instant) -> io::Result<Option<(Ipv4Addr, MacAddr)>> {
    let mut frame = [0; 128];
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
fn answer(frame: &[u8]) -> Option<(Ipv4Addr, MacAddr)> {
    let ethernet = EthernetPacket::new(frame)?;
    if ethernet.get_ethertype() != EtherTypes::Arp {
        return None;
    }
    let arp = ArpPacket::new(frame.get(EthernetPacket::minimum_packet_size()..)?)?;
    let ipv4_over_ethernet = arp.get_protocol_type() == EtherTypes::Ipv4
        && arp.get_hw_addr_len() == 6
        && arp.get_proto_addr_len() == 4
        && arp.get_operation() == ArpOperations::Reply;
    ipv4_over_ethernet.then(|| (arp.get_sender_proto_addr(), arp.get_sender_hw_addr()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_names_its_sender_and_a_request_is_none() {
        let (mac, address) = (MacAddr::new(2, 0, 0, 0, 0, 1), Ipv4Addr::new(192, 168, 178, 3));
        let frame =
            |operation| Arp { operation, sender: (mac, address), target: (MacAddr::zero(), address) }.frame();
        assert_eq!(answer(frame(ArpOperations::Reply).as_slice()), Some((address, mac)));
        assert_eq!(answer(frame(ArpOperations::Request).as_slice()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(frame in prop::collection::vec(any::<u8>(), 0..64)) {
            answer(&frame);
        }
    }
}
