use alloc::vec;

use super::*;

fn config() -> Config {
    Config {
        name: String::from("VI_1"),
        vrid: VirtualRouterId::new(51).unwrap(),
        version: Version::V2,
        priority: Priority::DEFAULT,
        interval: AdvertInterval::DEFAULT,
        preempt: true,
        preempt_delay: Duration::ZERO,
        authentication: Authentication::None,
        checksum: ChecksumForm::WithPseudoHeader,
        vips: vec![vip("10.0.0.100", 24)],
        paths: vec![Path { source: ip("10.0.0.1"), peers: Vec::new() }],
        announcing: Announcing::default(),
        tracks: Vec::new(),
        track_service: true,
        answers_lower: true,
        answers_higher: false,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn vip(address: &str, prefix_len: u8) -> Vip {
    Vip { address: ip(address), prefix_len, advertised: true }
}

/// Measured on keepalived 2.2.7; see tests/vectors/vrrp/README.md.
#[test]
fn version_2_rounds_to_whole_seconds_as_keepalived_does() {
    let rounded =
        |cs| AdvertInterval::from_centiseconds(cs, Version::V2).map(AdvertInterval::as_centiseconds);
    for (cs, expected) in [(1, 100), (20, 100), (50, 100), (60, 100), (140, 100), (150, 200), (260, 300)] {
        assert_eq!(rounded(cs), Some(expected), "{cs}");
    }
    assert_eq!((rounded(0), rounded(25_500), rounded(25_501)), (None, Some(25_500), None));
    assert!(
        (1..=25_500).all(|cs| rounded(cs).is_some_and(|cs| cs % 100 == 0 && (100..=25_500).contains(&cs)))
    );
}

#[test]
fn version_3_counts_centiseconds() {
    let exact = |cs| AdvertInterval::from_centiseconds(cs, Version::V3).map(AdvertInterval::as_centiseconds);
    assert_eq!((exact(0), exact(1), exact(4_095), exact(4_096)), (None, Some(1), Some(4_095), None));
}

#[test]
fn combinations_are_checked() {
    type Change = fn(&mut Config);
    let table: [(Change, Option<ConfigError>); 14] = [
        (|_| {}, None),
        (|c| c.vips = vec![vip("fe80::1", 64)], Some(ConfigError::Version2OverIpv6)),
        (
            |c| c.interval = AdvertInterval::from_centiseconds(50, Version::V3).unwrap(),
            Some(ConfigError::SubSecondInterval { interval_cs: 50 }),
        ),
        (
            |c| {
                c.interval = AdvertInterval::from_centiseconds(5_000, Version::V2).unwrap();
                c.version = Version::V3;
            },
            Some(ConfigError::IntervalTooLong { interval_cs: 5_000 }),
        ),
        (
            |c| {
                c.version = Version::V3;
                c.authentication = Authentication::Pass(*b"12345678");
            },
            Some(ConfigError::AuthenticationInVersion3),
        ),
        (|c| c.vips.clear(), Some(ConfigError::NothingAdvertised)),
        (|c| c.vips[0].advertised = false, Some(ConfigError::NothingAdvertised)),
        (
            |c| c.vips = (0..=255).map(|host| vip(&alloc::format!("10.1.0.{host}"), 32)).collect(),
            Some(ConfigError::TooManyAdvertised { count: 256 }),
        ),
        (
            |c| c.vips.push(vip("fe80::1", 64)),
            Some(ConfigError::MixedFamilies { address: ip("fe80::1"), ours: ip("10.0.0.100") }),
        ),
        (
            |c| c.vips[0].prefix_len = 33,
            Some(ConfigError::PrefixTooLong { address: ip("10.0.0.100"), prefix_len: 33 }),
        ),
        (
            |c| c.vips.push(vip("10.0.0.100", 32)),
            Some(ConfigError::DuplicateAddress { address: ip("10.0.0.100") }),
        ),
        (|c| c.paths.clear(), Some(ConfigError::NoPath)),
        (|c| c.paths = vec![c.paths[0].clone(); 9], Some(ConfigError::TooManyPaths { count: 9 })),
        (
            |c| c.paths[0].peers = vec![Peer::new(ip("10.0.0.1"))],
            Some(ConfigError::PeerIsSelf { address: ip("10.0.0.1") }),
        ),
    ];
    for (change, expected) in table {
        let mut config = config();
        change(&mut config);
        assert_eq!(config.validate().err(), expected);
    }
}
