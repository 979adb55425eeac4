//! Routers of one group that understand each other, and what they send.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Config, Path, PathId, Priority, Version, Vip,
    VirtualRouterId,
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
    // On the second line the addresses are ordered the other way round.
    let source = |line: u8, host: u8| address(is_v6, line, if line == 0 { 1 + host } else { 9 - host });
    (0..hosts)
        .map(|host| {
            let cs = if learns { draw.pick(&[100, 10, 4_095]) } else { common_cs };
            let paths = (0..lines).map(|line| Path {
                source: source(line, host),
                peers: (0..hosts)
                    .filter(|peer| is_unicast && *peer != host)
                    .map(|peer| source(line, peer))
                    .collect(),
            });
            let config = Config {
                name: format!("VI_{host}"),
                vrid: VirtualRouterId::new(51).expect("not 0"),
                version,
                priority: Priority::new(draw.pick(&[100, 100, 150, 1, 254, 255])).expect("not 0"),
                interval: interval(cs, version),
                preempt: !draw.flag(),
                preempt_delay: Duration::from_millis(draw.pick(&[0, 0, 500, 60_000])),
                authentication: authentication.clone(),
                checksum: draw.pick(&[ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader]),
                vips: (0..vips).map(|n| vip(is_v6, n)).collect(),
                paths: paths.collect(),
                announcing: Announcing {
                    repeat: draw.pick(&[5, 1, 0]),
                    delay: Duration::from_secs(draw.pick(&[5, 0])),
                    delayed_repeat: draw.pick(&[5, 0]),
                },
            };
            config.validate().expect("made to be right");
            config
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
    Vip { address: address(is_v6, 0, 100 + n), prefix_len: 24, advertised: n != 2 }
}

/// Version 2 counts whole seconds, and can say more of them.
fn interval(cs: u16, version: Version) -> AdvertInterval {
    AdvertInterval::from_centiseconds(cs, version).expect("in range")
}
