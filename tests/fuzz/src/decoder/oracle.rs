//! What must become of a datagram, written down a second time: RFC 3768 section 7.1, RFC 9568 section 7.1, and the order
//! and the additions of the specification. It uses nothing of the decoder.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hafleet_vrrp::{Authentication, Version};

use super::case::Case;

/// The code of the first check that fails; `None` when all pass.
pub(super) fn rejection(case: &Case) -> Option<&'static str> {
    let (config, bytes) = (&case.config, case.payload.as_slice());
    let is_v6 = config.vips[0].address.is_ipv6();
    let Some(path) = config.paths.get(usize::from(case.path.0)) else { return Some("unknown_path") };
    if case.source.is_ipv6() != is_v6 {
        return Some("family_mismatch");
    }
    if bytes.len() < 8 || bytes.len() < need(bytes, is_v6) {
        return Some("length");
    }
    let is_multicast = path.peers.is_empty();
    let (version, ours) = (bytes[0] >> 4, config.version);
    let is_ours = (version == 2 && ours == Version::V2) || (version == 3 && ours == Version::V3);
    let peer = path.peers.iter().find(|peer| peer.address == case.source);
    let is_near = match peer {
        Some(peer) => peer.ttl.contains(&case.ttl),
        None => !is_multicast || case.ttl == 255,
    };
    let secret = &bytes[need(bytes, is_v6).saturating_sub(8)..need(bytes, is_v6)];
    let has_our_authentication = match (&config.authentication, bytes[4]) {
        (Authentication::None, 0) => true,
        (Authentication::Pass(ours), 1) => secret == ours,
        (Authentication::None | Authentication::Pass(_), _) => false,
    };
    let pseudo = (case.source, case.destination);
    let message = &bytes[..need(bytes, is_v6)];
    let sums_up = match (ours, is_v6) {
        (Version::V2, _) => sums_up(message, None),
        (Version::V3, false) => sums_up(message, None) || sums_up(message, Some(pseudo)),
        (Version::V3, true) => sums_up(message, Some(pseudo)),
    };
    let checks = [
        (!is_near, "ttl"),
        (!is_ours, "version_mismatch"),
        (bytes[1] != config.vrid.get(), "vrid_mismatch"),
        (ours == Version::V2 && !has_our_authentication, "auth_mismatch"),
        (ours == Version::V2 && interval_cs(bytes) != config.interval.as_centiseconds(), "interval_mismatch"),
        (bytes[0] & 15 != 1, "type"),
        (!sums_up, "checksum"),
        (case.destination.is_multicast() != is_multicast, "mode_mismatch"),
        (bytes[3] == 0, "no_addresses"),
        (interval_cs(bytes) == 0, "zero_interval"),
        (!is_multicast && peer.is_none(), "unknown_peer"),
    ];
    checks.into_iter().find(|(fails, _)| *fails).map(|(_, code)| code)
}

/// How many bytes the message has by its version and its count; of a version that does not exist only the header.
fn need(bytes: &[u8], is_v6: bool) -> usize {
    let addresses = usize::from(bytes[3]) * if is_v6 { 16 } else { 4 };
    match bytes[0] >> 4 {
        2 => 8 + addresses + 8,
        3 => 8 + addresses,
        _ => 8,
    }
}

pub(super) fn interval_cs(bytes: &[u8]) -> u16 {
    match bytes[0] >> 4 {
        2 => 100 * u16::from(bytes[5]),
        _ => u16::from(bytes[4] & 15) << 8 | u16::from(bytes[5]),
    }
}

pub(super) fn addresses(bytes: &[u8], is_v6: bool) -> Vec<IpAddr> {
    let (count, list) = (usize::from(bytes[3]), &bytes[8..]);
    match is_v6 {
        true => list.as_chunks::<16>().0.iter().take(count).map(|it| Ipv6Addr::from(*it).into()).collect(),
        false => list.as_chunks::<4>().0.iter().take(count).map(|it| Ipv4Addr::from(*it).into()).collect(),
    }
}

/// Whether there is one way only to write this message: nothing in reserved bits, no data beside `auth none`, and not the
/// checksum's other zero.
pub(super) fn is_canonical(case: &Case) -> bool {
    let bytes = case.payload.as_slice();
    let is_v6 = case.source.is_ipv6();
    let unused = match (case.config.version, &case.config.authentication) {
        (Version::V2, Authentication::None) => &bytes[need(bytes, is_v6) - 8..need(bytes, is_v6)],
        (Version::V2, Authentication::Pass(_)) => &[],
        (Version::V3, _) => &[bytes[4] >> 4][..],
    };
    unused.iter().all(|byte| *byte == 0) && bytes[6..8] != [0xff, 0xff]
}

/// Writes the checksum that makes the message right, with the pseudo-header of these addresses or without one.
pub(super) fn put_checksum(bytes: &mut [u8], pseudo: Option<(IpAddr, IpAddr)>) {
    if bytes.len() < 8 {
        return;
    }
    let end = need(bytes, pseudo.is_some_and(|(source, _)| source.is_ipv6())).min(bytes.len());
    bytes[6..8].fill(0);
    let sum = !ones_sum(&bytes[..end], pseudo);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
}

fn sums_up(message: &[u8], pseudo: Option<(IpAddr, IpAddr)>) -> bool {
    ones_sum(message, pseudo) == 0xffff
}

/// RFC 1071, word by word, the carry added at once.
fn ones_sum(message: &[u8], pseudo: Option<(IpAddr, IpAddr)>) -> u16 {
    let mut words = Vec::new();
    if let Some((source, destination)) = pseudo {
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => words.extend(address.octets()),
                IpAddr::V6(address) => words.extend(address.octets()),
            }
        }
        words.extend([0, 112]);
        words.extend(u16::try_from(message.len()).expect("a datagram").to_be_bytes());
    }
    words.extend(message);
    words.chunks(2).fold(0_u16, |sum, pair| {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}
