//! A configuration and a datagram, from bytes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
    time::Duration,
};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Config, Path, PathId, Peer, Priority, Version,
    Vip, VirtualRouterId,
    packet::{Advertisement, Datagram, GROUP_V4, GROUP_V6},
};

use super::oracle;
use crate::draw::Draw;

/// What keepalived and FRR sent.
static CAPTURED: LazyLock<Vec<Captured>> = LazyLock::new(|| {
    let lines = include_str!("../../../vectors/vrrp/captured.txt").lines();
    lines.filter(|line| !line.starts_with('#') && !line.is_empty()).map(Captured::read).collect()
});

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub config: Config,
    pub path: PathId,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub payload: Vec<u8>,
    /// The datagram is what another implementation sent to a router of this configuration.
    pub(super) is_as_captured: bool,
}

impl Case {
    pub fn read(draw: &mut Draw<'_>) -> Self {
        match draw.below(8) {
            0 => Self::raw(draw),
            1..=3 => Self::captured(draw),
            _ => Self::encoded(draw),
        }
    }

    pub fn datagram(&self) -> Datagram<'_> {
        Datagram { source: self.source, destination: self.destination, ttl: self.ttl, payload: &self.payload }
    }

    /// Any bytes.
    fn raw(draw: &mut Draw<'_>) -> Self {
        let mut case = Self::with(config(draw));
        case.envelope(draw);
        case.payload = draw.bytes(2048).to_vec();
        case
    }

    /// Bytes of another implementation, perhaps with a mistake.
    fn captured(draw: &mut Draw<'_>) -> Self {
        let captured = draw.pick(&CAPTURED);
        let mut case = Self::with(captured.config);
        case.source = captured.source;
        case.destination = captured.destination;
        case.payload = captured.payload;
        case.is_as_captured = !case.spoil(draw);
        case
    }

    /// What we would send, perhaps with other values and a mistake.
    fn encoded(draw: &mut Draw<'_>) -> Self {
        let mut case = Self::with(config(draw));
        case.envelope(draw);
        let config = &case.config;
        let advertisement = Advertisement {
            version: config.version,
            vrid: config.vrid,
            priority: draw.byte(),
            interval_cs: if draw.flag() { draw.word() } else { config.interval.as_centiseconds() },
            addresses: config.advertised().skip(draw.below(3)).collect(),
        };
        let form = draw.pick(&[ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader]);
        case.payload = advertisement.encode(&config.authentication, form, case.source, case.destination);
        case.spoil(draw);
        case
    }

    fn with(config: Config) -> Self {
        let (source, destination): (IpAddr, IpAddr) = match config.vips.first().map(|vip| vip.address) {
            Some(IpAddr::V6(_)) => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into(), GROUP_V6.into()),
            Some(IpAddr::V4(_)) | None => (Ipv4Addr::new(10, 77, 0, 2).into(), GROUP_V4.into()),
        };
        let destination = if config.paths[0].peers.is_empty() { destination } else { config.source() };
        Self {
            config,
            path: PathId::SERVICE,
            source,
            destination,
            ttl: 255,
            payload: Vec::new(),
            is_as_captured: false,
        }
    }

    /// Where it came from, where it went to, how far, and on which line.
    fn envelope(&mut self, draw: &mut Draw<'_>) {
        let odd = draw.byte();
        if odd & 1 != 0 {
            self.source = draw.pick(&[
                IpAddr::from([10, 77, 0, 1]),
                IpAddr::from([10, 77, 0, 3]),
                IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 3_u16]),
                Ipv4Addr::UNSPECIFIED.into(),
            ]);
        }
        if odd & 2 != 0 {
            self.destination = draw.pick(&[
                GROUP_V4.into(),
                IpAddr::from([10, 77, 0, 1]),
                GROUP_V6.into(),
                IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1_u16]),
            ]);
        }
        if odd & 4 != 0 {
            self.ttl = draw.byte();
        }
        if odd & 8 != 0 {
            self.path = PathId(draw.byte());
        }
    }

    /// Bytes changed, cut off or added, and then perhaps a right checksum all the same. True when something was done.
    fn spoil(&mut self, draw: &mut Draw<'_>) -> bool {
        let before = self.payload.clone();
        for _ in 0..draw.below(4) {
            let at = draw.below(self.payload.len().clamp(1, 256));
            let value = draw.byte();
            if let Some(byte) = self.payload.get_mut(at) {
                *byte = value;
            }
        }
        match draw.below(4) {
            0 | 1 => {}
            2 => self.payload.truncate(draw.below(256)),
            _ => {
                let more = draw.below(64);
                self.payload.extend(draw.bytes(more));
            }
        }
        match draw.below(4) {
            0 | 1 => {}
            2 => oracle::put_checksum(&mut self.payload, None),
            _ => oracle::put_checksum(&mut self.payload, Some((self.source, self.destination))),
        }
        self.payload != before
    }
}

/// A configuration that passes validation.
fn config(draw: &mut Draw<'_>) -> Config {
    let (version, is_v6) = draw.pick(&[(Version::V2, false), (Version::V3, false), (Version::V3, true)]);
    let cs = match version {
        Version::V2 => 100 * (1 + u16::from(draw.byte()) % 255),
        Version::V3 => 1 + draw.word() % 4095,
    };
    let authentication = match version {
        Version::V2 if draw.flag() => Authentication::Pass(*b"1111\0\0\0\0"),
        Version::V2 | Version::V3 => Authentication::None,
    };
    let address = |host: u16| match is_v6 {
        true => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host]),
        false => Ipv4Addr::from_bits(0x0a4d_0000 + u32::from(host)).into(),
    };
    let count = draw.pick(&[1_u16, 2, 3, 255]);
    let excluded = draw.flag();
    let vips = (0..count).map(|n| Vip {
        address: address(100 + n),
        prefix_len: 24,
        advertised: !(excluded && n == 1),
    });
    let peers = draw.pick(&[0_u16, 0, 1, 2]);
    let ttl = draw.pick(&[0..=255, 255..=255, 250..=254]);
    let peer = |n| Peer { address: address(2 + n), ttl: ttl.clone() };
    let path = Path { source: address(1), peers: (0..peers).map(peer).collect() };
    let config = Config {
        vips: vips.collect(),
        paths: vec![path],
        authentication,
        priority: Priority::new(draw.byte()).unwrap_or(Priority::DEFAULT),
        checksum: draw.pick(&[ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader]),
        ..plain(version, 51, cs)
    };
    config.validate().expect("made to be right");
    config
}

/// What does not matter for a packet, with a version, a VRID and an interval.
fn plain(version: Version, vrid: u8, cs: u16) -> Config {
    Config {
        name: "VI_1".to_owned(),
        vrid: VirtualRouterId::new(vrid).expect("not 0"),
        version,
        priority: Priority::DEFAULT,
        interval: AdvertInterval::from_centiseconds(cs, version).expect("in range"),
        preempt: true,
        preempt_delay: Duration::ZERO,
        authentication: Authentication::None,
        checksum: ChecksumForm::WithPseudoHeader,
        vips: Vec::new(),
        paths: Vec::new(),
        announcing: Announcing::default(),
        tracks: Vec::new(),
        track_service: true,
        answers_lower: true,
        answers_higher: true,
    }
}

#[derive(Clone, Debug)]
struct Captured {
    config: Config,
    source: IpAddr,
    destination: IpAddr,
    payload: Vec<u8>,
}

impl Captured {
    /// A line of the file: its fields are explained there.
    fn read(line: &str) -> Self {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, version, auth, source, destination, "255", vrid, _, cs, addresses, payload] =
            *fields.as_slice()
        else {
            panic!("eleven fields and a TTL of 255 expected: {line}")
        };
        let version = if version == "2" { Version::V2 } else { Version::V3 };
        let authentication = match auth {
            "-" => Authentication::None,
            text => {
                let mut secret = [0; 8];
                secret[..text.len()].copy_from_slice(text.as_bytes());
                Authentication::Pass(secret)
            }
        };
        let vips = addresses.split(',').map(|address| Vip {
            address: address.parse().expect("an address"),
            prefix_len: 32,
            advertised: true,
        });
        let config = Config {
            authentication,
            vips: vips.collect(),
            paths: vec![Path { source: [10, 77, 0, 1].into(), peers: Vec::new() }],
            ..plain(version, vrid.parse().expect("a VRID"), cs.parse().expect("an interval"))
        };
        let (source, destination) =
            (source.parse().expect("a source"), destination.parse().expect("a group"));
        Self { config, source, destination, payload: unhex(payload) }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte: {text}");
    pairs.iter().map(|[high, low]| 16 * digit(*high).expect("hex") + digit(*low).expect("hex")).collect()
}
