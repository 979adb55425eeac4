//! The routers of one group, and what they may be reconfigured to.

use std::{net::IpAddr, time::Duration};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Config, Path, Peer, Priority, Track,
    TrackResult, Version, Vip, VirtualRouterId,
};

use crate::chance::Chance;

/// The watched things that a host has.
pub const WATCHED: [&str; 2] = ["gateway", "nginx"];

/// Two to five routers of one group. With two paths the priorities differ and stay so: the addresses are ordered differently
/// on the second one, and a tie on two paths is a unit test's matter.
pub fn configs(chance: &mut Chance, paths: u8) -> Vec<Config> {
    let count = u8::try_from(2 + chance.below(4)).unwrap();
    let (version, is_v6) =
        chance.pick(&[(Version::V2, false), (Version::V3, false), (Version::V3, false), (Version::V3, true)]);
    let common_cs = match version {
        Version::V2 => 100,
        Version::V3 => chance.pick(&[10, 25, 100]),
    };
    let learns = version == Version::V3 && chance.percent(20);
    let is_unicast = chance.percent(25);
    let vips: Vec<Vip> = (0..chance.pick(&[1_u8, 1, 3])).map(|n| vip(is_v6, n)).collect();
    (0..count)
        .map(|n| {
            let priority = match paths {
                1 => priority(chance),
                _ => Priority::new(50 + 50 * n).unwrap_or(Priority::OWNER),
            };
            let cs = if learns { chance.pick(&[10, 25, 100]) } else { common_cs };
            let source = |path: u8, n: u8| address(is_v6, path, if path == 0 { 10 + n } else { 250 - n });
            let path = |path: u8| Path {
                source: source(path, n),
                peers: (0..count)
                    .filter(|peer| is_unicast && *peer != n)
                    .map(|peer| Peer::new(source(path, peer)))
                    .collect(),
            };
            let config = Config {
                name: format!("VI_{n}"),
                vrid: VirtualRouterId::new(51).unwrap(),
                version,
                priority,
                interval: AdvertInterval::from_centiseconds(cs, version).unwrap(),
                preempt: !chance.percent(20),
                preempt_delay: preempt_delay(chance),
                authentication: Authentication::None,
                checksum: chance.pick(&[ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader]),
                vips: vips.clone(),
                paths: (0..paths).map(path).collect(),
                announcing: announcing(chance),
                tracks: tracks(chance, paths),
                track_service: !chance.percent(15),
                answers_lower: !chance.percent(20),
                answers_higher: chance.percent(50),
            };
            config.validate().unwrap();
            config
        })
        .collect()
}

/// The same router otherwise: what one host can change without the others.
pub fn changed(chance: &mut Chance, config: &Config) -> Config {
    let mut new = config.clone();
    let paths = u8::try_from(config.paths.len()).unwrap();
    match chance.below(9) {
        0 | 1 if paths == 1 => new.priority = priority(chance),
        2 if config.version == Version::V3 => {
            let cs = chance.pick(&[10, 25, 100]);
            new.interval = AdvertInterval::from_centiseconds(cs, config.version).unwrap();
        }
        3 => new.preempt = !config.preempt,
        4 => new.preempt_delay = preempt_delay(chance),
        5 | 6 => new.tracks = tracks(chance, paths),
        7 => new.announcing = announcing(chance),
        8 => new.track_service = !config.track_service,
        _ => new.answers_lower = !config.answers_lower,
    }
    new.validate().unwrap();
    new
}

/// The group's addresses with one more, or one fewer.
pub fn other_addresses(config: &Config) -> Vec<Vip> {
    let mut vips = config.vips.clone();
    if vips.len() == 1 {
        vips.push(vip(config.source().is_ipv6(), 3));
    } else {
        vips.pop();
    }
    vips
}

fn address(is_v6: bool, path: u8, host: u8) -> IpAddr {
    if is_v6 {
        IpAddr::from([0xfe80, 0, 0, 0, 0, 0, path.into(), u16::from(host)])
    } else {
        IpAddr::from([10, 77 + path, 0, host])
    }
}

/// The second is excluded from the advert.
fn vip(is_v6: bool, n: u8) -> Vip {
    Vip { address: address(is_v6, 0, 100 + n), prefix_len: 24, advertised: n != 1 }
}

fn priority(chance: &mut Chance) -> Priority {
    Priority::new(chance.pick(&[1, 50, 100, 100, 150, 254, 255])).unwrap()
}

fn preempt_delay(chance: &mut Chance) -> Duration {
    Duration::from_millis(chance.pick(&[0, 0, 0, 500, 5_000]))
}

fn announcing(chance: &mut Chance) -> Announcing {
    Announcing { refresh: Duration::from_secs(chance.pick(&[0, 0, 1])), ..Announcing::default() }
}

/// A weight of 0 is FAULT while it fails; with two paths nothing may make a tie.
fn tracks(chance: &mut Chance, paths: u8) -> Vec<Track> {
    let all = WATCHED.iter().filter(|_| chance.percent(25)).collect::<Vec<_>>();
    let weights: &[i16] = if paths == 1 { &[0, -20, 60, -253] } else { &[0] };
    all.into_iter()
        .map(|name| Track {
            name: (*name).to_owned(),
            weight: chance.pick(weights),
            reverse: chance.percent(20),
            initially: chance.pick(&[None, None, Some(TrackResult::Down)]),
        })
        .collect()
}
