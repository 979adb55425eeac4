//! A virtual router.

use std::net::IpAddr;

use hafleet_vrrp::{Authentication, Instant, Peer, Priority, State, Version};
use serde::{Deserialize, Serialize};

use super::ms;
use crate::{
    config::{VipConfig, track::Subject},
    driver::{InstanceSnapshot, PathSnapshot, TrackSnapshot},
    present::Present,
    uplink,
};

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePart {
    /// Its name.
    pub name: String,
    /// Its service interface.
    pub interface: String,
    /// Its VRID.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: String,
    /// When it entered the state, RFC 3339.
    pub since: String,
    /// How long ago.
    pub in_state_ms: u64,
    /// Why, as a stable code.
    pub reason: String,
    /// Why, in words.
    pub reason_detail: String,
    /// How often it changed its state since it was first configured.
    pub transitions: u64,
    /// Configured priority.
    pub priority: u8,
    /// The one that counts in its place by order; the configured one without an order.
    #[serde(default)]
    pub base_priority: u8,
    /// After tracking.
    pub effective_priority: u8,
    /// How the one comes from the other, in words; absent when neither an order nor anything that is tracked changes it.
    pub priority_detail: Option<String>,
    /// Advertisement interval.
    pub advert_interval_ms: u64,
    /// Without an advert for so long it takes over.
    pub master_down_ms: u64,
    /// False for `nopreempt`.
    pub preempt: bool,
    /// `none` or `pass`.
    pub auth: String,
    /// `3s`, or `off`.
    pub lease: String,
    /// The interface has carrier.
    pub carrier: bool,
    /// The source of its adverts.
    pub source: Option<String>,
    /// The master it follows.
    pub master_source: Option<String>,
    /// Every heartbeat line, the service interface first.
    pub paths: Vec<PathPart>,
    /// Everything it tracks, in the order of the configuration.
    pub tracks: Vec<TrackPart>,
    /// It has not entered the election, because it waits for the first results of what it tracks.
    pub awaits_tracks: bool,
    /// Adverts sent since the start.
    pub adverts_sent: u64,
    /// Adverts accepted since the start.
    pub adverts_accepted: u64,
    /// Packets for it that were rejected since the start.
    pub packets_rejected: u64,
    /// Adverts with its own priority and source address heard while MASTER: another host has its address.
    pub duplicates: u64,
    /// Times the kernel refused an address.
    pub refusals: u64,
    /// Addresses put back after somebody removed them.
    pub repairs: u64,
    /// Addresses taken off because they were here while it was not MASTER.
    pub foreign_released: u64,
    /// Its addresses.
    pub vips: Vec<VipPart>,
    /// File and line.
    pub defined_at: String,
}

/// One heartbeat line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPart {
    /// Its interface.
    pub interface: String,
    /// The address adverts are sent from; absent while none can be sent.
    pub source: Option<String>,
    /// Why none can be sent, as a stable code.
    pub fault: Option<String>,
    /// Unicast: who adverts are sent to and accepted from; empty for multicast.
    pub peers: Vec<PeerPart>,
    /// The TTL or hop limit that they are sent with.
    pub ttl: u8,
    /// How long ago an advert was last accepted on it.
    pub last_accepted_age_ms: Option<u64>,
    /// The last advert could not be sent.
    pub failing: bool,
    /// Adverts that could not be sent since the start.
    pub send_failures: u64,
    /// The kernel's words for the last of them.
    pub last_send_error: Option<String>,
}

/// One unicast peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPart {
    /// Its address.
    pub address: String,
    /// The least TTL or hop limit that its adverts are accepted with.
    pub ttl_min: u8,
    /// The greatest.
    pub ttl_max: u8,
}

/// Something that a virtual router tracks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackPart {
    /// `interface` or `check`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// As configured; 0: it cannot serve while this is down.
    pub weight: i16,
    /// As configured.
    pub reverse: bool,
    /// `up`, `down`, `value` (a file says a number), or `awaited` before the first result.
    pub result: String,
    /// The number in the file.
    pub value: Option<i16>,
    /// In words.
    pub detail: String,
    /// What it adds to the priority now.
    pub adds: i32,
    /// It forbids to serve now.
    pub fault: bool,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipPart {
    /// With prefix length.
    pub address: String,
    /// The interface it goes to.
    pub dev: String,
    /// Its label.
    pub label: Option<String>,
    /// The kernel has it now.
    pub present: bool,
}

impl InstancePart {
    pub(super) fn new(one: &InstanceSnapshot, present: &Present) -> Self {
        let (config, now) = (&one.config, present.now);
        let since = Instant::from_micros(one.since_mono_us);
        let vip = |vip: &VipConfig| VipPart {
            address: format!("{}/{}", vip.vip.address, vip.vip.prefix_len),
            dev: vip.dev.clone().unwrap_or_else(|| config.interface.clone()),
            label: vip.label.clone(),
            present: one.addresses_present.contains(&vip.vip.address),
        };
        let transitions = [State::Init, State::Backup, State::Master, State::Fault];
        Self {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.get(),
            version: match config.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            family: if config.is_ipv6() { "ipv6" } else { "ipv4" }.to_owned(),
            state: one.state.as_str().to_owned(),
            since: uplink::rfc3339(present.on_the_wall_us(since)),
            in_state_ms: ms(now, since),
            reason: one.reason.to_owned(),
            reason_detail: one.reason_detail.clone(),
            transitions: transitions.map(|state| one.transitions.to(state)).iter().sum(),
            priority: config.priority.get(),
            base_priority: one.base_priority,
            effective_priority: one.effective_priority,
            priority_detail: priority_detail(one),
            advert_interval_ms: u64::from(config.interval.as_centiseconds()) * 10,
            master_down_ms: u64::try_from(one.master_down.as_millis()).unwrap_or(u64::MAX),
            preempt: config.preempt,
            auth: match config.authentication {
                Authentication::None => "none",
                Authentication::Pass(_) => "pass",
            }
            .to_owned(),
            lease: config.lease.to_string(),
            carrier: one.carrier,
            source: one.source.map(|source| source.to_string()),
            master_source: one.master_source.map(|source| source.to_string()),
            adverts_sent: one.adverts_sent,
            adverts_accepted: one.adverts_accepted,
            packets_rejected: one.packets_rejected,
            duplicates: one.duplicates,
            refusals: one.refusals,
            repairs: one.repairs,
            foreign_released: one.foreign_released,
            paths: one.paths.iter().map(|path| PathPart::new(path, one, now)).collect(),
            tracks: one.tracks.iter().map(TrackPart::new).collect(),
            awaits_tracks: one.awaits_tracks,
            vips: config.vips.iter().map(vip).collect(),
            defined_at: config.defined_at.to_string(),
        }
    }
}

impl PathPart {
    fn new(path: &PathSnapshot, one: &InstanceSnapshot, now: Instant) -> Self {
        let configured = one.config.paths.iter().find(|configured| configured.interface == path.interface);
        let peers = configured.map(|configured| configured.peers.as_slice()).unwrap_or_default();
        Self {
            interface: path.interface.clone(),
            source: path.link.ok().map(|source| source.to_string()),
            fault: path.link.err().map(|fault| fault.code().to_owned()),
            peers: peers.iter().map(PeerPart::new).collect(),
            ttl: if peers.is_empty() { u8::MAX } else { one.config.unicast_ttl },
            last_accepted_age_ms: path.last_accepted.map(|last| ms(now, last)),
            failing: path.is_failing,
            send_failures: path.send_failures,
            last_send_error: Some(path.last_send_error.clone()).filter(|error| !error.is_empty()),
        }
    }
}

impl PeerPart {
    fn new(peer: &Peer) -> Self {
        let address: IpAddr = peer.address;
        Self { address: address.to_string(), ttl_min: *peer.ttl.start(), ttl_max: *peer.ttl.end() }
    }
}

impl TrackPart {
    fn new(track: &TrackSnapshot) -> Self {
        let TrackSnapshot { subject, weight, reverse, result, detail } = track;
        let kind = match subject {
            Subject::Interface(_) => "interface",
            Subject::Check(_) => "check",
        };
        let (word, value) = super::check::result(*result);
        Self {
            kind: kind.to_owned(),
            name: subject.name().to_owned(),
            weight: *weight,
            reverse: *reverse,
            result: word.to_owned(),
            value,
            detail: detail.clone(),
            adds: result.map_or(0, |result| result.adds(*weight, *reverse)),
            fault: result.is_some_and(|result| result.is_fault(*weight, *reverse)),
        }
    }
}

/// `100 - 60 (nginx is down) = 40`.
fn priority_detail(one: &InstanceSnapshot) -> Option<String> {
    let (base, configured) = (one.base_priority, one.config.priority);
    let is_ordered = base != configured.get();
    let mut text = base.to_string();
    if is_ordered {
        text.push_str(&format!(" (ordered, {configured} is configured)"));
    }
    let mut sum = i32::from(base);
    for track in one.tracks.iter().map(TrackPart::new).filter(|track| track.adds != 0) {
        let (sign, size) =
            if track.adds < 0 { ('-', track.adds.unsigned_abs()) } else { ('+', track.adds.unsigned_abs()) };
        let how = match track.value {
            Some(value) => format!("says {value}"),
            None => format!("is {}", track.result),
        };
        text.push_str(&format!(" {sign} {size} ({} {how})", track.name));
        sum = sum.saturating_add(track.adds);
    }
    if sum == i32::from(base) && one.effective_priority == base {
        return is_ordered.then_some(text);
    }
    let effective = one.effective_priority;
    Some(if configured == Priority::OWNER {
        format!("{configured}: the priority of the address owner never changes")
    } else if sum == i32::from(effective) {
        format!("{text} = {effective}")
    } else {
        format!("{text} = {sum}, kept within 1 to 254: {effective}")
    })
}
