mod election;
mod faults;
mod hand_over;
mod operations;
mod orders;
mod reconfigure;
mod table;
mod timing;
mod tracking;

use std::{format, string::String, string::ToString, vec, vec::Vec};

use super::*;
use crate::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Path, Peer, Priority, Track, TrackId,
    TrackResult, Version, VirtualRouterId,
    packet::{self, Advertisement, Header, Rejection},
};

const OURS: &str = "10.77.0.5";
const BELOW: &str = "10.77.0.4";
const ABOVE: &str = "10.77.0.6";
const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn vip(host: u8) -> Vip {
    Vip { address: IpAddr::from([10, 77, 0, host]), prefix_len: 24, advertised: true }
}

/// Version 3, 1 s, priority 100, two addresses: Master_Down is 3.609375 s, the skew 0.609375 s.
fn config() -> Config {
    Config {
        name: String::from("VI_1"),
        vrid: VirtualRouterId::new(51).unwrap(),
        version: Version::V3,
        priority: Priority::DEFAULT,
        interval: AdvertInterval::DEFAULT,
        preempt: true,
        preempt_delay: Duration::ZERO,
        authentication: Authentication::None,
        checksum: ChecksumForm::WithPseudoHeader,
        vips: vec![vip(100), vip(101)],
        paths: vec![Path { source: ip(OURS), peers: Vec::new() }],
        announcing: Announcing::default(),
        tracks: Vec::new(),
        track_service: true,
        answers_lower: true,
        answers_higher: false,
    }
}

fn with_priority(priority: u8) -> Config {
    Config { priority: Priority::new(priority).unwrap(), ..config() }
}

/// Two lines; on the second the addresses are ordered the other way round.
fn two_paths() -> Config {
    let mut config = config();
    config.paths.push(Path { source: ip("10.9.0.5"), peers: Vec::new() });
    config
}

/// A router with a clock and a notebook.
struct Rig {
    router: VirtualRouter,
    now: Instant,
}

impl Rig {
    fn new(config: Config) -> Self {
        config.validate().unwrap();
        Self { router: VirtualRouter::new(config), now: at_ms(1_000_000) }
    }

    /// Started, and in BACKUP unless the owner or unable.
    fn started(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.give(Input::Start { adopt: false });
        rig
    }

    fn master(config: Config) -> Self {
        let mut rig = Self::started(config);
        rig.run_to_deadline();
        assert_eq!(rig.router.state(), State::Master);
        rig
    }

    /// The outputs of one input, in short.
    fn give(&mut self, input: Input<'_>) -> Vec<String> {
        self.router.handle(input, self.now);
        self.drain().iter().map(short).collect()
    }

    fn drain(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.router.next_output()).collect()
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// Waits for the deadline and hands it in.
    fn run_to_deadline(&mut self) -> Vec<String> {
        self.now = self.router.deadline().unwrap();
        self.give(Input::Deadline)
    }

    /// How long until the deadline.
    fn left(&self) -> Duration {
        self.router.deadline().unwrap().since(self.now)
    }

    fn hear(&mut self, source: &str, priority: u8) -> Vec<String> {
        self.hear_on(PathId::SERVICE, source, priority, 100)
    }

    fn hear_on(&mut self, path: PathId, source: &str, priority: u8, interval_cs: u16) -> Vec<String> {
        let payload = advert(self.router.config(), source, priority, interval_cs);
        let outputs = self.give(Input::Packet { path, datagram: datagram(source, &payload) });
        assert!(matches!(self.router.last_verdict(), Some(Verdict::Accepted(_))));
        outputs
    }

    /// A packet that must be rejected.
    fn hear_junk(&mut self) -> Vec<String> {
        let payload = advert(self.router.config(), ABOVE, 254, 100);
        let datagram = Datagram { ttl: 64, ..datagram(ABOVE, &payload) };
        let outputs = self.give(Input::Packet { path: PathId::SERVICE, datagram });
        assert_eq!(
            self.router.last_verdict(),
            Some(&Verdict::Rejected(Rejection::Ttl { heard: 64, least: 255, most: 255 }))
        );
        outputs
    }
}

fn advert(config: &Config, source: &str, priority: u8, interval_cs: u16) -> Vec<u8> {
    let advert = Advertisement {
        version: config.version,
        vrid: config.vrid,
        priority,
        interval_cs,
        addresses: config.advertised().collect(),
    };
    advert.encode(&config.authentication, config.checksum, ip(source), packet::GROUP_V4.into())
}

fn datagram<'a>(source: &str, payload: &'a [u8]) -> Datagram<'a> {
    Datagram { source: ip(source), destination: packet::GROUP_V4.into(), ttl: 255, payload }
}

fn short(output: &Output) -> String {
    match output {
        Output::SendAdvertisement { path, payload, .. } => {
            let priority = Header::peek(payload).unwrap().priority;
            if path.is_service() {
                format!("advert {priority}")
            } else {
                format!("advert {priority} on {}", path.0)
            }
        }
        Output::HoldAddresses(vips) => format!("hold {}", vips.len()),
        Output::ReleaseAddresses(vips) => format!("release {}", vips.len()),
        Output::Announce(announcement) => {
            format!("announce {}x{}", announcement.addresses.len(), announcement.repeat)
        }
        Output::Transition(Transition { from, to, reason }) => format!("{from}>{to} {}", reason.code()),
    }
}
