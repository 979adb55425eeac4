//! The Internet checksum over a VRRP message, with and without the IP pseudo-header (RFC 9568 section 5.2.8).

use core::net::IpAddr;

use super::{Datagram, Header, IP_PROTOCOL};
use crate::ChecksumForm;

/// Which form of the version 3 checksum this datagram carries; `None` for version 2, for IPv6 (where there is one
/// form only), and when neither is right.
pub fn checksum_form(datagram: &Datagram<'_>) -> Option<ChecksumForm> {
    let header = Header::peek(datagram.payload)?;
    if header.version != 3 || datagram.source.is_ipv6() {
        return None;
    }
    let message = datagram.payload.get(..header.message_len(datagram.source))?;
    [ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader]
        .into_iter()
        .find(|form| is_right(message, *form, datagram.source, datagram.destination))
}

/// The form in force: IPv6 always has the pseudo-header (RFC 9568 section 5.2.8).
pub(super) fn form_for(configured: ChecksumForm, source: IpAddr) -> ChecksumForm {
    match source {
        IpAddr::V4(_) => configured,
        IpAddr::V6(_) => ChecksumForm::WithPseudoHeader,
    }
}

/// Whether the message, checksum field included, sums up to zero.
pub(super) fn is_right(message: &[u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) -> bool {
    compute(message, form, source, destination) == 0
}

/// The complement of the one's complement sum.
pub(super) fn compute(message: &[u8], form: ChecksumForm, source: IpAddr, destination: IpAddr) -> u16 {
    let pseudo_header = match form {
        ChecksumForm::WithPseudoHeader => {
            // The length is below 64 KiB: 255 addresses of 16 bytes.
            let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
            sum_of_address(source) + sum_of_address(destination) + u32::from(IP_PROTOCOL) + len
        }
        ChecksumForm::WithoutPseudoHeader => 0,
    };
    !fold(sum(message) + pseudo_header)
}

fn sum_of_address(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

/// Cannot overflow: at most 2,048 words of 16 bits.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            [high] => u32::from(*high) << 8,
            _ => 0,
        })
        .fold(0, u32::saturating_add)
}

fn fold(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    let twice = (once >> 16) + (once & 0xffff);
    u16::try_from(twice).unwrap_or(u16::MAX)
}
