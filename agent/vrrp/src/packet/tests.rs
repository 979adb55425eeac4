use std::{boxed::Box, format, string::String, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{AdvertInterval, Announcing, Config, Path, Peer, Priority, Vip};

const OURS: &str = "10.77.0.1";
const PEER: &str = "10.77.0.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn config(version: Version, interval_cs: u16, vrid: u8, auth: Authentication, vips: &[IpAddr]) -> Config {
    Config {
        name: String::from("VI_1"),
        vrid: VirtualRouterId::new(vrid).unwrap(),
        version,
        priority: Priority::DEFAULT,
        interval: AdvertInterval::from_centiseconds(interval_cs, version).unwrap(),
        preempt: true,
        preempt_delay: core::time::Duration::ZERO,
        authentication: auth,
        checksum: ChecksumForm::WithPseudoHeader,
        vips: vips
            .iter()
            .map(|address| Vip { address: *address, prefix_len: 32, advertised: true })
            .collect(),
        paths: vec![Path { source: ip(OURS), peers: Vec::new() }],
        announcing: Announcing::default(),
        tracks: Vec::new(),
        track_service: true,
        answers_lower: true,
        answers_higher: false,
    }
}

fn v2() -> Config {
    config(Version::V2, 100, 51, Authentication::None, &[ip("10.77.0.100"), ip("10.77.0.101")])
}

fn v3() -> Config {
    config(Version::V3, 100, 51, Authentication::None, &[ip("10.77.0.100"), ip("10.77.0.101")])
}

fn advert(config: &Config) -> Advertisement {
    Advertisement {
        version: config.version,
        vrid: config.vrid,
        priority: 150,
        interval_cs: config.interval.as_centiseconds(),
        addresses: config.advertised().collect(),
    }
}

fn encoded(config: &Config) -> Vec<u8> {
    advert(config).encode(&config.authentication, config.checksum, ip(PEER), GROUP_V4.into())
}

fn datagram(payload: &[u8]) -> Datagram<'_> {
    Datagram { source: ip(PEER), destination: GROUP_V4.into(), ttl: 255, payload }
}

fn judge(config: &Config, datagram: &Datagram<'_>) -> Result<Received, Rejection> {
    receive(datagram, config, &config.paths[0])
}

fn code(config: &Config, datagram: &Datagram<'_>) -> &'static str {
    judge(config, datagram).map_or_else(|rejection| rejection.code(), |_| "accepted")
}

/// Recomputes the checksum after a field was changed, version 2 or the bare version 3 form.
fn resum(payload: &mut [u8]) {
    payload[6..8].fill(0);
    let sum = checksum::compute(payload, ChecksumForm::WithoutPseudoHeader, ip(PEER), GROUP_V4.into());
    payload[6..8].copy_from_slice(&sum.to_be_bytes());
}

fn pass(text: &str) -> Authentication {
    let mut secret = [0; 8];
    secret[..text.len()].copy_from_slice(text.as_bytes());
    Authentication::Pass(secret)
}

/// What other implementations sent is accepted, read rightly, and encoded to the same bytes.
#[test]
fn captured_adverts_are_read_and_written_alike() {
    let mut seen = 0;
    for line in include_str!("../../../../tests/vectors/vrrp/captured.txt").lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, version, auth, source, destination, ttl, vrid, priority, interval_cs, addresses, payload] =
            *fields.as_slice()
        else {
            panic!("eleven fields expected: {line}")
        };
        let version = if version == "2" { Version::V2 } else { Version::V3 };
        let auth = if auth == "-" { Authentication::None } else { pass(auth) };
        let addresses: Vec<IpAddr> = addresses.split(',').map(ip).collect();
        let bytes = unhex(payload);
        let config =
            config(version, interval_cs.parse().unwrap(), vrid.parse().unwrap(), auth.clone(), &addresses);
        let packet = Datagram {
            source: ip(source),
            destination: ip(destination),
            ttl: ttl.parse().unwrap(),
            payload: &bytes,
        };

        let received = judge(&config, &packet).unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
        assert_eq!(received.remarks, [], "{name}");
        let advert = &received.advertisement;
        assert_eq!(advert.priority, priority.parse::<u8>().unwrap(), "{name}");
        assert_eq!(advert.interval_cs, interval_cs.parse::<u16>().unwrap(), "{name}");
        assert_eq!(advert.addresses, addresses, "{name}");
        let form = (version == Version::V3).then_some(ChecksumForm::WithPseudoHeader);
        assert_eq!(received.checksum_form, form, "{name}");
        assert_eq!(advert.encode(&auth, config.checksum, packet.source, packet.destination), bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Golden bytes of the specification: keepalived's version 2, FRR's version 3.
#[test]
fn golden_bytes() {
    let v2 = config(Version::V2, 100, 51, Authentication::None, &[ip("10.77.0.100")]);
    assert_eq!(encoded(&v2), unhex("2133960100013e190a4d00640000000000000000"));
    let v3 = config(Version::V3, 100, 51, Authentication::None, &[ip("10.77.0.100")]);
    let frr = Advertisement { priority: 100, ..advert(&v3) };
    let form = ChecksumForm::WithPseudoHeader;
    let payload = frr.encode(&Authentication::None, form, ip(PEER), GROUP_V4.into());
    // The sample's VRID is 0x33 = 51, its priority 0x64.
    assert_eq!(payload[..6], unhex("313364010064"));
    assert_eq!(payload, unhex("31336401006474d80a4d0064"));
}

type Spoil = Box<dyn Fn(&mut Vec<u8>, &mut Datagram<'static>)>;

/// Every check with a packet that fails it alone, in the order of the checks. A packet that fails two of them is
/// rejected by the earlier one.
#[test]
fn checks_reject_in_order() {
    fn payload(change: impl Fn(&mut Vec<u8>) + 'static) -> Spoil {
        Box::new(move |bytes, _| change(bytes))
    }
    let checks: Vec<(&str, Spoil)> = vec![
        ("length", payload(|bytes| bytes.truncate(15))),
        ("ttl", Box::new(|_, datagram| datagram.ttl = 254)),
        ("version_mismatch", payload(|bytes| bytes[0] = 0x31)),
        ("vrid_mismatch", payload(|bytes| bytes[1] = 52)),
        ("auth_mismatch", payload(|bytes| bytes[4] = 2)),
        ("interval_mismatch", payload(|bytes| bytes[5] = 3)),
        ("type", payload(|bytes| bytes[0] = bytes[0] & 0xf0 | 2)),
        ("checksum", payload(|bytes| bytes[7] ^= 1)),
        ("mode_mismatch", Box::new(|_, datagram| datagram.destination = ip(OURS))),
    ];
    let config = v2();
    for (index, (expected, spoil)) in checks.iter().enumerate() {
        for (_, also) in core::iter::once(&("", payload(|_| {}) as Spoil)).chain(&checks[index + 1..]) {
            let mut bytes = encoded(&config);
            let mut packet = Datagram { payload: &[], ..datagram(&[]) };
            also(&mut bytes, &mut packet);
            if *expected != "checksum" && bytes.len() == 24 {
                resum(&mut bytes);
            }
            spoil(&mut bytes, &mut packet);
            let packet = Datagram { payload: &bytes, ..packet };
            assert_eq!(code(&config, &packet), *expected, "{:?}", judge(&config, &packet));
        }
    }
    assert_eq!(code(&config, &datagram(&encoded(&config))), "accepted");
}

#[test]
fn an_advert_of_nothing_or_never_is_rejected() {
    let mut config = v3();
    config.vips.clear();
    assert_eq!(code(&config, &datagram(&encoded(&config))), "no_addresses");

    let config = v3();
    let never = Advertisement { interval_cs: 0, ..advert(&config) };
    let bytes = never.encode(&Authentication::None, config.checksum, ip(PEER), GROUP_V4.into());
    assert_eq!(code(&config, &datagram(&bytes)), "zero_interval");

    // Version 2 needs the interval to be ours, which is never 0.
    let config = v2();
    let mut bytes = encoded(&config);
    bytes[5] = 0;
    resum(&mut bytes);
    assert_eq!(code(&config, &datagram(&bytes)), "interval_mismatch");
}

#[test]
fn every_length_but_the_right_one() {
    for config in [v2(), v3()] {
        let bytes = encoded(&config);
        for len in 0..bytes.len() {
            assert_eq!(code(&config, &datagram(&bytes[..len])), "length", "{len}");
        }
        // Ethernet pads to 46 bytes, 26 after the IPv4 header, with anything.
        let mut padded = bytes.clone();
        padded.resize(26, 0xa5);
        assert_eq!(judge(&config, &datagram(&padded)).unwrap().remarks, []);
        padded.push(0);
        let remarks = judge(&config, &datagram(&padded)).unwrap().remarks;
        assert_eq!(remarks, [Remark::TrailingBytes { count: 27 - bytes.len() }]);
    }
}

#[test]
fn both_checksum_forms_are_received_and_no_other() {
    let forms = [ChecksumForm::WithPseudoHeader, ChecksumForm::WithoutPseudoHeader];
    for ours in forms {
        for theirs in forms {
            let bytes = encoded(&Config { checksum: theirs, ..v3() });
            let received = judge(&Config { checksum: ours, ..v3() }, &datagram(&bytes)).unwrap();
            assert_eq!(received.checksum_form, Some(theirs));
            assert_eq!(checksum_form(&datagram(&bytes)), Some(theirs));
        }
        let right: Vec<Vec<u8>> = forms.map(|checksum| encoded(&Config { checksum, ..v3() })).into();
        let mut accepted = 0;
        for sum in 0..=u16::MAX {
            let mut bytes = encoded(&v3());
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
            match code(&Config { checksum: ours, ..v3() }, &datagram(&bytes)) {
                "accepted" => {
                    assert!(right.contains(&bytes), "{sum:#06x}");
                    accepted += 1;
                }
                other => assert_eq!(other, "checksum"),
            }
        }
        assert_eq!(accepted, 2);
    }
}

#[test]
fn the_pseudo_header_ties_the_advert_to_its_addresses() {
    let bytes = encoded(&v3());
    let elsewhere = Datagram { source: ip("10.77.0.3"), ..datagram(&bytes) };
    assert_eq!(code(&v3(), &elsewhere), "checksum");
    assert_eq!(checksum_form(&elsewhere), None);
}

#[test]
fn authentication() {
    let with = |auth: Authentication| Config { authentication: auth, ..v2() };
    let table = [
        (Authentication::None, Authentication::None, "accepted"),
        (pass("1111"), pass("1111"), "accepted"),
        (pass("1111"), pass("1112"), "auth_mismatch"),
        (pass("1111"), pass("11111"), "auth_mismatch"),
        (pass("1111"), Authentication::None, "auth_mismatch"),
        (Authentication::None, pass("1111"), "auth_mismatch"),
    ];
    for (ours, theirs, expected) in table {
        let bytes = encoded(&with(theirs));
        assert_eq!(code(&with(ours), &datagram(&bytes)), expected);
    }
    let mut ah = encoded(&v2());
    ah[4] = 2;
    resum(&mut ah);
    let rejection = judge(&v2(), &datagram(&ah)).unwrap_err();
    assert_eq!(format!("{rejection}"), "authentication type is ah, ours is none");
    let rejection = judge(&with(pass("secret")), &datagram(&encoded(&with(pass("public"))))).unwrap_err();
    assert_eq!(rejection, Rejection::Password);
    assert!(!format!("{rejection} {rejection:?}").contains("secret"));
    assert!(!format!("{:?}", with(pass("secret"))).contains("secret"));
}

#[test]
fn rejections_tell_both_values() {
    let vrid = VirtualRouterId::new(51).unwrap();
    let table = [
        (Rejection::Length { have: 12, need: 20 }, "message is 12 bytes long, needs 20"),
        (Rejection::Ttl { heard: 64, least: 255, most: 255 }, "TTL is 64, must be 255"),
        (Rejection::Version { heard: 2, ours: 3 }, "version is 2, ours is 3"),
        (Rejection::Vrid { heard: 52, ours: vrid }, "VRID is 52, ours is 51"),
        (Rejection::Interval { heard_cs: 300, ours_cs: 100 }, "advert interval is 3 s, ours is 1 s"),
        (
            Rejection::Mode { destination: ip(OURS), multicast: true },
            "sent to 10.77.0.1, this path listens to the multicast group",
        ),
        (Rejection::Type { heard: 2 }, "type is 2, must be 1"),
        (
            Rejection::Checksum { heard: 0xabcd, with_pseudo_header: 1, without_pseudo_header: 2 },
            "checksum is 0xabcd, must be 0x0001 or 0x0002",
        ),
    ];
    for (rejection, expected) in table {
        assert_eq!(format!("{rejection}"), expected);
    }
}

#[test]
fn the_address_set_is_a_set() {
    let ours = v2();
    let heard = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| ip(address)).collect();
        let advert = Advertisement { addresses, ..advert(&ours) };
        let bytes = advert.encode(&Authentication::None, ours.checksum, ip(PEER), GROUP_V4.into());
        judge(&ours, &datagram(&bytes)).unwrap().remarks
    };
    assert_eq!(heard(&["10.77.0.100", "10.77.0.101"]), []);
    assert_eq!(heard(&["10.77.0.101", "10.77.0.100"]), []);
    let remarks = heard(&["10.77.0.101", "10.77.0.102"]);
    assert_eq!(remarks[0].code(), "address_mismatch");
    assert_eq!(
        format!("{}", remarks[0]),
        "addresses are 10.77.0.101, 10.77.0.102, ours are 10.77.0.100, 10.77.0.101"
    );
    assert_eq!(heard(&["10.77.0.100"]).len(), 1);
    assert_eq!(heard(&["10.77.0.100", "10.77.0.101", "10.77.0.102"]).len(), 1);
    let mut excluding = ours.clone();
    excluding.vips.push(Vip { address: ip("10.77.0.200"), prefix_len: 24, advertised: false });
    assert_eq!(judge(&excluding, &datagram(&encoded(&ours))).unwrap().remarks, []);
}

#[test]
fn unicast_paths_hear_their_peers_only() {
    let mut config = v3();
    config.paths[0].peers = vec![Peer::new(ip(PEER))];
    let bytes = advert(&config).encode(&Authentication::None, config.checksum, ip(PEER), ip(OURS));
    let to_us = Datagram { destination: ip(OURS), ttl: 60, ..datagram(&bytes) };
    assert_eq!(code(&config, &to_us), "accepted");
    let group = encoded(&config);
    assert_eq!(code(&config, &datagram(&group)), "mode_mismatch");
    config.paths[0].peers = vec![Peer::new(ip("10.77.0.9"))];
    assert_eq!(code(&config, &to_us), "unknown_peer");
}

#[test]
fn a_header_is_peeked_from_anything() {
    assert_eq!(vrid(&[]), None);
    assert_eq!(vrid(&[0x21, 7]), Some(7));
    assert_eq!(Header::peek(&[0x21; 7]), None);
    let bytes = encoded(&v2());
    let header = Header::peek(&bytes[..14]).unwrap();
    assert_eq!((header.version, header.kind, header.vrid, header.priority), (2, 1, 51, 150));
    assert_eq!((header.count, header.interval_cs, header.auth), (2, 100, Some(AuthType::NONE)));
    assert_eq!(header.addresses(&bytes[..14], ip(PEER)), [ip("10.77.0.100")]);
    let numbers = [0, 1, 2, 9].map(|number| format!("{}", AuthType(number)));
    assert_eq!(numbers, ["none", "pass", "ah", "9"]);
}

#[test]
fn ipv6_goes_both_ways() {
    let (ours, peer) = (ip("fe80::1"), ip("fe80::2"));
    let mut config = config(Version::V3, 100, 7, Authentication::None, &[ip("fe80::100"), ip("2001:db8::1")]);
    config.paths[0].source = ours;
    let bytes = advert(&config).encode(&Authentication::None, config.checksum, peer, GROUP_V6.into());
    assert_eq!(bytes.len(), 40);
    let packet = Datagram { source: peer, destination: GROUP_V6.into(), ttl: 255, payload: &bytes };
    let received = judge(&config, &packet).unwrap();
    assert_eq!((received.advertisement, received.checksum_form), (advert(&config), None));
    assert_eq!(code(&v3(), &packet), "family_mismatch");
}

fn any_config() -> impl Strategy<Value = Config> {
    (any::<bool>(), 1..=255_u8, 1..=40_u16, any::<bool>(), any::<Option<[u8; 8]>>(), 1..=255_usize).prop_map(
        |(is_v2, vrid, seconds, with, secret, count)| {
            let version = if is_v2 { Version::V2 } else { Version::V3 };
            let auth = match secret {
                Some(secret) if is_v2 => Authentication::Pass(secret),
                Some(_) | None => Authentication::None,
            };
            let vips: Vec<IpAddr> =
                (0..count).map(|host| Ipv4Addr::from(0x0a4d_0100 + host as u32).into()).collect();
            let form = if with { ChecksumForm::WithPseudoHeader } else { ChecksumForm::WithoutPseudoHeader };
            Config { checksum: form, ..config(version, seconds * 100, vrid, auth, &vips) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..1200), ttl: u8, group: bool) {
        let destination = if group { GROUP_V4.into() } else { ip(OURS) };
        let packet = Datagram { source: ip(PEER), destination, ttl, payload: &bytes };
        for config in [v2(), v3(), Config { authentication: pass("1111"), ..v2() }] {
            let _ = judge(&config, &packet);
        }
        let _ = checksum_form(&packet);
        if let Some(header) = Header::peek(&bytes) {
            prop_assert!(header.addresses(&bytes, packet.source).len() <= 255);
        }
    }

    #[test]
    fn what_is_encoded_is_accepted(config in any_config(), priority: u8) {
        let sent = Advertisement { priority, ..advert(&config) };
        let bytes = sent.encode(&config.authentication, config.checksum, ip(PEER), GROUP_V4.into());
        let received = judge(&config, &datagram(&bytes)).unwrap();
        prop_assert_eq!(received.advertisement, sent);
        prop_assert_eq!(received.remarks, []);
    }

    /// The checksum is 16 bits wide and sees every flipped bit outside of what was rejected before it.
    #[test]
    fn one_flipped_bit_is_never_accepted(config in any_config(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut bytes = encoded(&config);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_ne!(code(&config, &datagram(&bytes)), "accepted");
    }
}
