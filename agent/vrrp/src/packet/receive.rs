//! The checks that a received packet must pass, in order (RFC 9568 section 7.1, RFC 3768 section 7.1).

use alloc::vec::Vec;
use core::net::IpAddr;

use subtle::ConstantTimeEq;

use super::{
    ADVERTISEMENT, AUTH_DATA_LEN, Advertisement, AuthType, Datagram, Header, Rejection, Remark, TTL,
    auth_type, checksum, version_number,
};
use crate::{Authentication, ChecksumForm, Config, Path, Version};

/// The least an Ethernet frame carries is 46 bytes; 20 are the IPv4 header's.
const PADDED_PAYLOAD_LEN: usize = 26;

/// What became of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was believed, perhaps with remarks.
    Accepted(Received),
    /// It was not, and touched nothing.
    Rejected(Rejection),
}

/// An advert that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub advertisement: Advertisement,
    /// Which checksum form the sender uses; `None` where there is one form only (version 2, IPv6).
    pub checksum_form: Option<ChecksumForm>,
    /// What was odd about it.
    pub remarks: Vec<Remark>,
}

/// Checks a packet against what this router and this path are configured to be.
///
/// By multicast the TTL is 255; a unicast peer may be some hops away, and has a range of its own.
pub(crate) fn receive(datagram: &Datagram<'_>, config: &Config, path: &Path) -> Result<Received, Rejection> {
    let Datagram { source, destination, ttl, payload } = *datagram;
    let ours = config.family_sample();
    if source.is_ipv4() != ours.is_ipv4() {
        return Err(Rejection::Family { heard: source, ours });
    }
    let multicast = path.peers.is_empty();

    let header =
        Header::peek(payload).ok_or(Rejection::Length { have: payload.len(), need: super::HEADER_LEN })?;
    let need = header.message_len(source);
    let message = payload.get(..need).ok_or(Rejection::Length { have: payload.len(), need })?;
    let peer = path.peers.iter().find(|peer| peer.address == source);
    let (least, most) = match (multicast, peer) {
        (true, _) => (TTL, TTL),
        (false, Some(peer)) => (*peer.ttl.start(), *peer.ttl.end()),
        // Rejected as a stranger below, if nothing else is wrong with it.
        (false, None) => (0, u8::MAX),
    };
    if !(least..=most).contains(&ttl) {
        return Err(Rejection::Ttl { heard: ttl, least, most });
    }
    if header.version != version_number(config.version) {
        return Err(Rejection::Version { heard: header.version, ours: version_number(config.version) });
    }
    if header.vrid != config.vrid.get() {
        return Err(Rejection::Vrid { heard: header.vrid, ours: config.vrid });
    }
    match config.version {
        Version::V2 => {
            check_authentication(&header, message, &config.authentication)?;
            let ours_cs = config.interval.as_centiseconds();
            if header.interval_cs != ours_cs {
                return Err(Rejection::Interval { heard_cs: header.interval_cs, ours_cs });
            }
        }
        Version::V3 => {}
    }
    if header.kind != ADVERTISEMENT {
        return Err(Rejection::Type { heard: header.kind });
    }
    let checksum_form = check_checksum(&header, message, datagram, config)?;
    if destination.is_multicast() != multicast {
        return Err(Rejection::Mode { destination, multicast });
    }
    if header.count == 0 {
        return Err(Rejection::NoAddresses);
    }
    if header.interval_cs == 0 {
        return Err(Rejection::ZeroInterval);
    }
    if !multicast && peer.is_none() {
        return Err(Rejection::UnknownPeer { heard: source });
    }

    let addresses = header.addresses(message, source);
    let mut remarks = Vec::new();
    if !is_same_set(&addresses, config.advertised()) {
        remarks
            .push(Remark::AddressMismatch { heard: addresses.clone(), ours: config.advertised().collect() });
    }
    if payload.len() > need.max(PADDED_PAYLOAD_LEN) {
        remarks.push(Remark::TrailingBytes { count: payload.len() - need });
    }
    let advertisement = Advertisement {
        version: config.version,
        vrid: config.vrid,
        priority: header.priority,
        interval_cs: header.interval_cs,
        addresses,
    };
    Ok(Received { advertisement, checksum_form, remarks })
}

fn check_authentication(header: &Header, message: &[u8], ours: &Authentication) -> Result<(), Rejection> {
    let heard = header.auth.unwrap_or(AuthType::NONE);
    let our_type = AuthType(auth_type(ours));
    if heard != our_type {
        return Err(Rejection::AuthType { heard, ours: our_type });
    }
    match ours {
        Authentication::None => Ok(()),
        Authentication::Pass(secret) => {
            let data = message.last_chunk::<AUTH_DATA_LEN>().map_or(&[][..], |data| data);
            if bool::from(data.ct_eq(secret)) { Ok(()) } else { Err(Rejection::Password) }
        }
    }
}

/// Version 3 over IPv4 is received in both forms, the configured one tried first.
fn check_checksum(
    header: &Header,
    message: &[u8],
    datagram: &Datagram<'_>,
    config: &Config,
) -> Result<Option<ChecksumForm>, Rejection> {
    use ChecksumForm::{WithPseudoHeader, WithoutPseudoHeader};
    let Datagram { source, destination, .. } = *datagram;
    let (forms, is_told): (&[ChecksumForm], bool) = match (config.version, source) {
        (Version::V2, _) => (&[WithoutPseudoHeader], false),
        (Version::V3, IpAddr::V6(_)) => (&[WithPseudoHeader], false),
        (Version::V3, IpAddr::V4(_)) => match config.checksum {
            WithPseudoHeader => (&[WithPseudoHeader, WithoutPseudoHeader], true),
            WithoutPseudoHeader => (&[WithoutPseudoHeader, WithPseudoHeader], true),
        },
    };
    if let Some(form) =
        forms.iter().copied().find(|form| checksum::is_right(message, *form, source, destination))
    {
        return Ok(is_told.then_some(form));
    }
    let mut zeroed = message.to_vec();
    if let Some(field) = zeroed.get_mut(6..8) {
        field.fill(0);
    }
    let expected = |form: ChecksumForm| {
        let form = if forms.contains(&form) { form } else { forms.first().copied().unwrap_or(form) };
        checksum::compute(&zeroed, form, source, destination)
    };
    Err(Rejection::Checksum {
        heard: header.checksum,
        with_pseudo_header: expected(WithPseudoHeader),
        without_pseudo_header: expected(WithoutPseudoHeader),
    })
}

/// Order and repetition do not matter; the usual case, the same order, is told without sorting.
fn is_same_set(heard: &[IpAddr], ours: impl Iterator<Item = IpAddr> + Clone) -> bool {
    if heard.iter().copied().eq(ours.clone()) {
        return true;
    }
    let sorted = |mut addresses: Vec<IpAddr>| {
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    sorted(heard.to_vec()) == sorted(ours.collect())
}
