//! Routers of one group that understand each other, and what they send.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Config, Path, PathId, Peer, Priority, Track,
    TrackResult, Version, Vip, VirtualRouterId,
    packet::{Datagram, TTL},
};

use crate::draw::Draw;

/// An advert under way.
#[derive(Clone, Debug)]
pub(super) struct Advert {
    pub from: usize,
    pub path: PathId,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub payload: Vec<u8>,
}

impl Advert {
    pub fn datagram(&self) -> Datagram<'_> {
        Datagram { source: self.source, destination: self.destination, ttl: TTL, payload: &self.payload }
    }

    /// Whether a host with this configuration gets it.
    pub fn is_for(&self, config: &Config) -> bool {
        let source = config.paths.get(usize::from(self.path.0)).map(|line| line.source);
        self.destination.is_multicast() || source == Some(self.destination)
    }
}

/// Two or three of them, with one or two lines each.
pub(super) fn configs(draw: &mut Draw<'_>) -> Vec<Config> {
    let (version, is_v6) = draw.pick(&[(Version::V3, false), (Version::V2, false), (Version::V3, true)]);
    let hosts = draw.pick(&[2_u8, 3]);
    let lines = draw.pick(&[1_u8, 2]);
    let is_unicast = draw.flag();
    let learns = version == Version::V3 && draw.flag();
    let common_cs = draw.pick(&[100, 10, 4_095]);
    let vips = draw.pick(&[1_u8, 3]);
    let authentication = match version {
        Version::V2 if draw.flag() => Authentication::Pass(*b"1111\0\0\0\0"),
        Version::V2 | Version::V3 => Authentication::None,
    };
    (0..hosts)
        .map(|host| {
            let cs = if learns { draw.pick(&[100, 10, 4_095]) } else { common_cs };
            let config = Config {
                name: format!("VI_{host}"),
                vrid: VirtualRouterId::new(51).expect("not 0"),
                version,
                priority: priority(draw),
                interval: AdvertInterval::from_centiseconds(cs, version).expect("in range"),
                preempt: !draw.flag(),
                preempt_delay: preempt_delay(draw),
                authentication: authentication.clone(),
                checksum: checksum(draw),
                vips: (0..vips).map(|n| vip(is_v6, n)).collect(),
                paths: (0..lines).map(|line| path(is_v6, line, host, hosts, is_unicast)).collect(),
                announcing: announcing(draw),
                tracks: tracks(draw),
                track_service: !draw.flag(),
                answers_lower: !draw.flag(),
                answers_higher: draw.flag(),
            };
            config.validate().expect("made to be right");
            config
        })
        .collect()
}

/// The same router, configured otherwise in one respect, or not at all.
pub(super) fn changed(draw: &mut Draw<'_>, config: &Config) -> Config {
    let mut new = config.clone();
    let is_v6 = config.source().is_ipv6();
    match draw.below(18) {
        0 => {}
        1 | 2 => new.priority = priority(draw),
        3 => {
            let cs = draw.pick(&[10, 100, 200, 4_095]);
            new.interval = AdvertInterval::from_centiseconds(cs, config.version).expect("in range");
        }
        4 => new.preempt = !config.preempt,
        5 => new.preempt_delay = preempt_delay(draw),
        6 => new.vips = (0..draw.pick(&[1, 2, 3, 4])).map(|n| vip(is_v6, n)).collect(),
        7 => new.vips.iter_mut().skip(1).for_each(|vip| vip.advertised = !vip.advertised),
        8 => new.vips.iter_mut().for_each(|vip| vip.prefix_len ^= 1),
        9 => new.vips.reverse(),
        10 => {
            let (host, is_unicast) = (draw.byte() & 3, draw.flag());
            new.paths = (0..draw.pick(&[1, 2])).map(|line| path(is_v6, line, host, 3, is_unicast)).collect();
        }
        11 => new.announcing = announcing(draw),
        12 | 13 => new.tracks = tracks(draw),
        14 => new.track_service = !config.track_service,
        15 => new.answers_lower = !config.answers_lower,
        16 => new.answers_higher = !config.answers_higher,
        // Another router, which this one cannot become.
        _ => new.vrid = VirtualRouterId::new(52).expect("not 0"),
    }
    // Changes add up, and together they may be wrong: then nothing is changed, as the readers would have it.
    if new.validate().is_ok() { new } else { config.clone() }
}

/// On the second line the addresses are ordered the other way round.
fn path(is_v6: bool, line: u8, host: u8, hosts: u8, is_unicast: bool) -> Path {
    let source = |host: u8| address(is_v6, line, if line == 0 { 1 + host } else { 9 - host });
    let peers = (0..hosts).filter(|peer| is_unicast && *peer != host).map(|peer| Peer::new(source(peer)));
    Path { source: source(host), peers: peers.collect() }
}

fn priority(draw: &mut Draw<'_>) -> Priority {
    Priority::new(draw.pick(&[100, 100, 150, 1, 254, 255])).expect("not 0")
}

fn preempt_delay(draw: &mut Draw<'_>) -> Duration {
    Duration::from_millis(draw.pick(&[0, 0, 500, 60_000]))
}

fn checksum(draw: &mut Draw<'_>) -> ChecksumForm {
    draw.pick(&[ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader])
}

fn announcing(draw: &mut Draw<'_>) -> Announcing {
    let mut all = Announcing::default();
    let odd = draw.byte();
    if odd & 1 != 0 {
        (all.repeat, all.lower_repeat) = (0, 0);
    }
    if odd & 2 != 0 {
        (all.delay, all.lower_delay) = (Duration::ZERO, Duration::ZERO);
    }
    if odd & 4 != 0 {
        (all.delayed_repeat, all.refresh_repeat) = (0, 0);
    }
    if odd & 8 != 0 {
        all.refresh = Duration::from_secs(draw.pick(&[1, 60]));
    }
    all
}

/// Up to two of them.
fn tracks(draw: &mut Draw<'_>) -> Vec<Track> {
    let shape = draw.byte();
    let names: &[&str] = match shape & 3 {
        0 | 1 => &[],
        2 => &["a"],
        _ => &["b", "a"],
    };
    names
        .iter()
        .map(|name| Track {
            name: (*name).to_owned(),
            weight: draw.pick(&[0, 30, -30, 253, -253]),
            reverse: draw.flag(),
            initially: draw.pick(&[None, Some(TrackResult::Down), Some(TrackResult::Up)]),
        })
        .collect()
}

pub(super) fn address(is_v6: bool, line: u8, host: u8) -> IpAddr {
    match is_v6 {
        true => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, line.into(), u16::from(host)]),
        false => Ipv4Addr::new(10, 77, line, host).into(),
    }
}

/// The third is excluded from the advert.
pub(super) fn vip(is_v6: bool, n: u8) -> Vip {
    Vip { address: address(is_v6, 0, 100 + n), prefix_len: 24, advertised: n != 2 && n != 3 }
}
