//! Any input, from bytes.

use std::net::IpAddr;

use hafleet_vrrp::{
    AddressFault, Config, HoldCause, Input, LinkFault, Override, PathId, TrackId, TrackResult, Vip,
    packet::{Advertisement, Datagram, GROUP_V4, GROUP_V6, TTL},
};

use super::group;
use crate::draw::Draw;

/// One for each kind of input.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Start,
    Stop,
    Deadline,
    Packet,
    LinkUp,
    LinkDown,
    AddressHeld,
    AddressFault,
    SendFailed,
    Hold,
    Unhold,
    Track,
    Reconfigure,
    Isolate,
    Reconnect,
    Override,
    TakeOver,
    Announce,
    Maintain,
    EndMaintenance,
}

const KINDS: [Kind; 21] = [
    Kind::Start,
    Kind::Stop,
    Kind::Deadline,
    Kind::Packet,
    Kind::LinkUp,
    Kind::LinkDown,
    Kind::AddressHeld,
    Kind::AddressFault,
    Kind::SendFailed,
    Kind::Hold,
    Kind::Unhold,
    Kind::Track,
    Kind::Reconfigure,
    // Half of what there is to change.
    Kind::Reconfigure,
    Kind::Isolate,
    Kind::Reconnect,
    Kind::Override,
    Kind::TakeOver,
    Kind::Announce,
    Kind::Maintain,
    Kind::EndMaintenance,
];

/// The name of an input's kind. A kind that is not fuzzed yet does not compile here: give it one, and [`any`] a way to
/// make it.
pub(super) const fn name(input: &Input<'_>) -> &'static str {
    match input {
        Input::Start { .. } => "start",
        Input::Stop { .. } => "stop",
        Input::Deadline => "deadline",
        Input::Packet { .. } => "packet",
        Input::LinkUp { .. } => "link up",
        Input::LinkDown { .. } => "link down",
        Input::AddressHeld(_) => "address held",
        Input::AddressFault { .. } => "address fault",
        Input::SendFailed { .. } => "send failed",
        Input::Hold(_) => "hold",
        Input::Unhold(_) => "unhold",
        Input::Override(_) => "override",
        Input::TakeOver => "take over",
        Input::Announce => "announce",
        Input::Track { .. } => "track",
        Input::Reconfigure(_) => "reconfigure",
    }
}

/// One input for a router of this configuration; `sources` are the addresses of its group.
pub(super) fn any<'a>(
    draw: &mut Draw<'_>,
    config: &Config,
    sources: &[IpAddr],
    payload: &'a mut Vec<u8>,
) -> Input<'a> {
    match draw.pick(&KINDS) {
        Kind::Start => Input::Start { adopt: draw.flag() },
        Kind::Stop => Input::Stop { hand_over: draw.flag() },
        Kind::Deadline => Input::Deadline,
        Kind::Packet => packet(draw, config, sources, payload),
        Kind::LinkUp => Input::LinkUp { path: path(draw), source: source(draw, config, sources) },
        Kind::LinkDown => Input::LinkDown { path: path(draw), fault: link_fault(draw) },
        Kind::AddressHeld => Input::AddressHeld(vip(draw, config)),
        Kind::AddressFault => Input::AddressFault { vip: vip(draw, config), fault: address_fault(draw) },
        Kind::SendFailed => Input::SendFailed { path: path(draw), error: words(draw) },
        Kind::Hold => Input::Hold(HoldCause::Fence),
        Kind::Unhold => Input::Unhold(HoldCause::Fence),
        Kind::Maintain => Input::Hold(HoldCause::Maintenance),
        Kind::EndMaintenance => Input::Unhold(HoldCause::Maintenance),
        Kind::Isolate => Input::Hold(HoldCause::Isolation),
        Kind::Reconnect => Input::Unhold(HoldCause::Isolation),
        Kind::Override => Input::Override(Override::new(draw.pick(&[200, 254, 100, 1, 255]))),
        Kind::TakeOver => Input::TakeOver,
        Kind::Announce => Input::Announce,
        Kind::Track => {
            let result = match draw.below(4) {
                0 => TrackResult::Up,
                1 => TrackResult::Down,
                _ => TrackResult::Value(draw.pick(&[0, 1, -30, i16::MAX, i16::MIN])),
            };
            Input::Track {
                track: TrackId(draw.pick(&[0, 0, 1, 1, 2, u16::MAX])),
                result,
                detail: words(draw),
            }
        }
        Kind::Reconfigure => Input::Reconfigure(group::changed(draw, config)),
    }
}

pub(super) fn refused<'a>(vip: Vip) -> Input<'a> {
    Input::AddressFault { vip, fault: AddressFault::Refused("Permission denied".to_owned()) }
}

/// An advert that somebody sends, or bytes that are none.
fn packet<'a>(
    draw: &mut Draw<'_>,
    config: &Config,
    sources: &[IpAddr],
    payload: &'a mut Vec<u8>,
) -> Input<'a> {
    let path = path(draw);
    let source = source(draw, config, sources);
    let line = config.paths.get(usize::from(path.0));
    let destination = match (line.filter(|line| !line.peers.is_empty()), source) {
        (Some(line), _) => line.source,
        (None, IpAddr::V4(_)) => GROUP_V4.into(),
        (None, IpAddr::V6(_)) => GROUP_V6.into(),
    };
    let kind = draw.byte();
    if kind & 7 == 0 {
        payload.extend(draw.bytes(32));
    } else {
        let own_cs = config.interval.as_centiseconds();
        let advertisement = Advertisement {
            version: config.version,
            vrid: config.vrid,
            priority: draw.pick(&[0, 1, 99, 100, 101, 150, 254, 255]),
            interval_cs: if kind & 8 == 0 { own_cs } else { draw.pick(&[1, 10, 100, 4_095]) },
            addresses: config.advertised().skip(usize::from(kind >> 7)).collect(),
        };
        *payload = advertisement.encode(&config.authentication, config.checksum, source, destination);
    }
    let ttl = if kind & 16 == 0 { TTL } else { 64 };
    Input::Packet { path, datagram: Datagram { source, destination, ttl, payload } }
}

/// Mostly one that there is.
fn path(draw: &mut Draw<'_>) -> PathId {
    PathId(draw.pick(&[0, 0, 0, 1, 1, 2, 255]))
}

/// Of a member of the group, of a stranger, or none.
fn source(draw: &mut Draw<'_>, config: &Config, sources: &[IpAddr]) -> IpAddr {
    let is_v6 = config.source().is_ipv6();
    let strangers = [
        group::address(is_v6, 0, 0),
        group::address(is_v6, 0, 200),
        group::address(!is_v6, 0, 200),
        IpAddr::from([0, 0, 0, 0]),
        IpAddr::from([0; 8]),
    ];
    let all: Vec<IpAddr> = sources.iter().copied().chain(strangers).collect();
    draw.pick(&all)
}

/// Of this router, or another one's.
fn vip(draw: &mut Draw<'_>, config: &Config) -> Vip {
    let own = draw.below(4);
    config.vips.get(own).copied().unwrap_or_else(|| group::vip(config.source().is_ipv6(), 9))
}

fn link_fault(draw: &mut Draw<'_>) -> LinkFault {
    draw.pick(&[
        LinkFault::NoCarrier,
        LinkFault::AdminDown,
        LinkFault::Missing,
        LinkFault::NoAddress,
        LinkFault::OnlyVirtual,
        LinkFault::VirtualMac,
    ])
}

pub(super) fn address_fault(draw: &mut Draw<'_>) -> AddressFault {
    match draw.below(3) {
        0 => AddressFault::Removed,
        1 => AddressFault::Foreign,
        _ => AddressFault::Refused(words(draw)),
    }
}

/// The kernel's, which may be longer than what is kept, and cut anywhere.
fn words(draw: &mut Draw<'_>) -> String {
    "虚ä!".repeat(draw.pick(&[0, 1, 33, 34, 100]))
}
