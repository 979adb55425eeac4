//! Tests of the agent.toml reader.

mod track;
mod wrong;

use std::{fs, path::Path, time::Duration};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Peer, Priority, Version, Vip, VirtualRouterId,
};

use super::keys::Keys;
use crate::{
    AgentConfig, Lease, OnIsolation, Pacing, PathConfig, References, Scheduling, VipConfig, VipFlags, Vmac,
    tests::{expect, lines, read_native},
};

/// An instance with everything it must have, and some lines more; those begin in line 6.
fn instance(lines: &str) -> String {
    format!(
        "[[instance]]\nname = \"VI_1\"\ninterface = \"ens33\"\nvrid = 51\n\
         vips = [{{ address = \"192.168.178.3/24\" }}]\n{lines}\n"
    )
}

#[track_caller]
fn clean(text: &str) -> AgentConfig {
    let read = read_native(text);
    expect(&read, text, &[]);
    read.expect("it is clean").config
}

#[test]
fn everything_that_can_be_written() {
    let text = r#"
node = "lb01"
site = "dc1"
coordinators = ["coord1:7443", "[2001:db8::1]:7443"]

[[instance]]
name = "VI_1"
interface = "ens33"
vrid = 51
version = 2
priority = 150
advert_interval = "2s"
preempt = true
preempt_delay = "1m 30s"
auth = { type = "pass", secret = "1111" }
vips = [
    { address = "192.168.178.3/24", label = "ens33:3" },
    { address = "192.168.178.4", dev = "eth1", scope = "link", broadcast = "192.168.178.255", advertised = false },
]
paths = [{ interface = "ens33" }]
lease = "off"
checksum = "without-pseudo-header"
source = "192.168.178.130"
announcing = { repeat = 3, delay = "2s", delayed_repeat = 1 }
track_service = false
answers_lower = false
answers_higher = false
accept = false
vmac = true

[[instance]]
name = "VI_2"
interface = "ens33"
vrid = 52
preempt = false
advert_interval = "100ms"
vips = [{ address = "192.168.178.5/24" }]
"#;
    let config = clean(text);
    assert_eq!((config.node.as_deref(), config.site.as_deref()), (Some("lb01"), Some("dc1")));
    assert_eq!(config.coordinators, ["coord1:7443", "[2001:db8::1]:7443"]);
    let [one, two] = config.instances.as_slice() else { panic!("{:?}", config.instances) };
    assert_eq!((one.name.as_str(), one.interface.as_str(), one.vrid.get()), ("VI_1", "ens33", 51));
    assert_eq!((one.version, Some(one.priority)), (Version::V2, Priority::new(150)));
    assert_eq!(Some(one.interval), AdvertInterval::from_centiseconds(200, Version::V2));
    assert_eq!((one.preempt, one.preempt_delay), (true, Duration::from_secs(90)));
    assert_eq!(one.authentication, Authentication::Pass(*b"1111\0\0\0\0"));
    let vip = |address: &str, prefix_len, advertised| Vip {
        address: address.parse().expect("an address"),
        prefix_len,
        advertised,
    };
    let vips = [
        VipConfig {
            vip: vip("192.168.178.3", 24, true),
            dev: None,
            label: Some("ens33:3".into()),
            scope: 0,
            ..VipConfig::new(vip("192.168.178.3", 24, true))
        },
        VipConfig {
            vip: vip("192.168.178.4", 32, false),
            dev: Some("eth1".into()),
            label: None,
            scope: 253,
            broadcast: Some("192.168.178.255".parse().expect("an address")),
            ..VipConfig::new(vip("192.168.178.4", 32, false))
        },
    ];
    assert_eq!(one.vips, vips);
    assert!(one.paths.is_empty(), "the service interface is no path beside itself");
    assert_eq!((one.lease, one.checksum), (Lease::Off, ChecksumForm::WithoutPseudoHeader));
    assert_eq!(one.source, Some("192.168.178.130".parse().expect("an address")));
    let announcing = Announcing {
        repeat: 3,
        delay: Duration::from_secs(2),
        delayed_repeat: 1,
        lower_repeat: 3,
        lower_delay: Duration::from_secs(2),
        ..Announcing::default()
    };
    assert_eq!(one.announcing, announcing);
    assert_eq!(
        (one.track_service, one.answers_lower, one.answers_higher, one.accept),
        (false, false, false, false)
    );
    assert_eq!(one.vmac, Some(Vmac { interface: Some("vrrp.51".into()), adverts_from_parent: false }));
    assert_eq!((one.defined_at.line, one.defined_at.column), (7, 8));

    assert_eq!(two.vrid, VirtualRouterId::new(52).expect("not 0"));
    assert_eq!((two.version, two.priority, two.preempt), (Version::V3, Priority::DEFAULT, false));
    assert_eq!(Some(two.interval), AdvertInterval::from_centiseconds(10, Version::V3));
    assert_eq!((two.authentication.clone(), two.announcing), (Authentication::None, Announcing::default()));
    assert_eq!(
        (two.track_service, two.answers_lower, two.answers_higher, two.accept),
        (true, true, true, true)
    );
    assert_eq!((two.vmac.clone(), two.pacing), (None, Pacing::default()));
    assert_eq!((two.lease, two.checksum), (Lease::default(), ChecksumForm::WithPseudoHeader));
}

#[test]
fn references_and_what_is_done_without_them() {
    let config = clean(&instance(""));
    assert_eq!(
        (config.references, config.instances[0].on_isolation),
        (References::Gateways, OnIsolation::Keep)
    );
    let written = "references = [\"192.0.2.1\", \"fe80::1\"]\n";
    let config = clean(&format!("{written}{}", instance("on_isolation = \"release\"")));
    let address = |text: &str| text.parse().expect("an address");
    assert_eq!(config.references, References::These(vec![address("192.0.2.1"), address("fe80::1")]));
    assert_eq!(config.instances[0].on_isolation, OnIsolation::Release);
    assert_eq!(clean("references = \"off\"\n").references, References::Off);
}

#[test]
fn peers_make_the_service_interface_unicast() {
    let text = instance(
        "unicast_ttl = 64\nsource = \"10.0.0.1\"\n\
         paths = [{ interface = \"ens33\", peers = [\"10.0.0.2\", { address = \"10.0.0.3\", min_ttl = 62, max_ttl = 64 }] }]",
    );
    let config = clean(&text);
    let [found] = config.instances.as_slice() else { panic!("{:?}", config.instances) };
    let peer = |address: &str, ttl| Peer { address: address.parse().expect("an address"), ttl };
    let peers = vec![peer("10.0.0.2", 0..=255), peer("10.0.0.3", 62..=64)];
    assert_eq!(found.paths, [PathConfig { interface: "ens33".to_owned(), peers }]);
    assert_eq!(found.unicast_ttl, 64);
}

#[test]
fn further_lines_come_after_the_service_interface() {
    let read = |paths: &str| {
        let config = clean(&instance(paths));
        let [found] = config.instances.as_slice() else { panic!("{:?}", config.instances) };
        found.clone()
    };
    let line = |interface: &str, peers: &[&str]| PathConfig {
        interface: interface.to_owned(),
        peers: peers.iter().map(|peer| Peer::new(peer.parse().expect("an address"))).collect(),
    };
    // The contract's own example: the service interface by multicast.
    let one = read("paths = [{ interface = \"ens33\" }, { interface = \"hb0\", peers = [\"10.9.0.2\"] }]");
    assert_eq!(one.paths, [line("hb0", &["10.9.0.2"])]);
    // It is there also when it is not named, and first wherever it is.
    assert_eq!(read("paths = [{ interface = \"hb0\" }]").paths, [line("hb0", &[])]);
    let all = "paths = [{ interface = \"hb1\" }, { interface = \"ens33\", peers = [\"10.0.0.2\"] }, { interface = \"hb0\" }]";
    assert_eq!(read(all).paths, [line("ens33", &["10.0.0.2"]), line("hb1", &[]), line("hb0", &[])]);
    // A further line may be by unicast while the virtual MAC sends on the service interface.
    let with_mac =
        read("vmac = true\nunicast_ttl = 255\npaths = [{ interface = \"hb0\", peers = [\"10.9.0.2\"] }]");
    assert_eq!(with_mac.vmac.map(|vmac| vmac.adverts_from_parent), Some(false));
    // Seven beside it.
    let seven = (0..7).map(|n| format!("{{ interface = \"h{n}\" }}")).collect::<Vec<_>>().join(", ");
    assert_eq!(read(&format!("paths = [{seven}]")).paths.len(), 7);
}

#[test]
fn ipv6_addresses_and_what_the_kernel_is_told_about_them() {
    let text = r#"
[[instance]]
name = "VI_6"
interface = "ens33"
vrid = 51
source = "fe80::2"
vips = [
    { address = "fe80::51" },
    { address = "2001:db8::1/64", dad = true, home = true, mngtmpaddr = true, noprefixroute = true, autojoin = true },
    { address = "2001:db8::2", preferred_lft = "forever", repair = false },
    { address = "10.0.0.1", peer = "10.0.0.2/30", preferred_lft = "1m", advertised = false },
]
"#;
    let config = clean(text);
    let [found] = config.instances.as_slice() else { panic!("{:?}", config.instances) };
    assert_eq!((found.version, found.is_ipv6()), (Version::V3, true));
    assert_eq!(found.source, Some("fe80::2".parse().expect("an address")));
    let vip = |address: &str, prefix_len, advertised| {
        let address = address.parse().expect("an address");
        VipConfig::new(Vip { address, prefix_len, advertised })
    };
    let flags = VipFlags { dad: true, home: true, mngtmpaddr: true, noprefixroute: true, autojoin: true };
    let expected = [
        VipConfig { preferred_s: Some(0), ..vip("fe80::51", 128, true) },
        VipConfig { flags, ..vip("2001:db8::1", 64, true) },
        VipConfig { repair: false, ..vip("2001:db8::2", 128, true) },
        VipConfig {
            peer: Some(("10.0.0.2".parse().expect("an address"), 30)),
            preferred_s: Some(60),
            ..vip("10.0.0.1", 30, false)
        },
    ];
    assert_eq!(found.vips, expected);

    let two = text.replace("vrid = 51", "vrid = 51\nversion = 2");
    expect(
        &read_native(&two),
        &two,
        &["6:11: error: `version` is 3 with IPv6 addresses: version 2 carries IPv4 only"],
    );
}

#[test]
fn announcements_are_counted_delayed_refreshed_and_paced() {
    let text = instance(
        "announcing = { repeat = 2, delay = \"3s\", delayed_repeat = 4, lower_repeat = 0, lower_delay = \"0s\", refresh = \"1m\", \
         refresh_repeat = 6, garp_interval = \"1ms\", gna_interval = \"2ms\" }",
    );
    let config = clean(&text);
    let announcing = Announcing {
        repeat: 2,
        delay: Duration::from_secs(3),
        delayed_repeat: 4,
        lower_repeat: 0,
        lower_delay: Duration::ZERO,
        refresh: Duration::from_secs(60),
        refresh_repeat: 6,
    };
    assert_eq!(config.instances[0].announcing, announcing);
    let pacing = Pacing { garp: Duration::from_millis(1), gna: Duration::from_millis(2) };
    assert_eq!(config.instances[0].pacing, pacing);
}

#[test]
fn a_virtual_mac_has_an_interface_and_the_engine_a_priority() {
    let read = |lines: &str| clean(&instance(lines)).instances.remove(0).vmac;
    let vmac = |interface: &str, adverts_from_parent| {
        Some(Vmac { interface: Some(interface.into()), adverts_from_parent })
    };
    assert_eq!(read("vmac = false"), None);
    assert_eq!(read("vmac = {}"), vmac("vrrp.51", false));
    assert_eq!(read("vmac = { interface = \"lan\", adverts_from_parent = true }"), vmac("lan", true));
    let unicast = "vmac = true\npaths = [{ interface = \"ens33\", peers = [\"10.0.0.2\"] }]";
    assert_eq!(read(unicast), vmac("vrrp.51", true));

    let scheduling = clean("[engine]\nrealtime_priority = 50\nlock_memory = true\n").scheduling;
    assert_eq!((scheduling.realtime_priority, scheduling.lock_memory), (Some(50), true));
    assert_eq!(clean("").scheduling, Scheduling::default());
}

#[test]
fn an_empty_file_is_an_agent_without_instances() {
    let config = clean("");
    assert!(config.node.is_none() && config.instances.is_empty());
}

#[test]
fn metrics_are_served_at_an_address_of_this_host() {
    assert_eq!(clean("").metrics, None);
    assert_eq!(clean("metrics = \"127.0.0.1:9101\"").metrics, "127.0.0.1:9101".parse().ok());
    assert_eq!(clean("metrics = \"[::]:9101\"").metrics, "[::]:9101".parse().ok());
    for wrong in ["localhost:9101", "127.0.0.1", "127.0.0.1:0", "::1:9101"] {
        let text = format!("metrics = {wrong:?}\n");
        let expected = format!(
            "1:11: error: `metrics` is an IP address and a port such as \"127.0.0.1:9101\", here is {wrong:?}"
        );
        expect(&read_native(&text), &text, &[&expected]);
    }
}

#[test]
fn a_secret_is_never_repeated() {
    let text = instance("version = 2\nauth = { type = \"pass\", secret = \"topsecret9\" }");
    let error = read_native(&text).expect_err("it is too long");
    assert!(!error.to_string().contains("topsecret"), "{error}");
    let text = instance("version = 2\nauth = { type = \"pass\", secret = 4711 }");
    let error = read_native(&text).expect_err("it is a number");
    assert!(
        error.to_string().contains("`secret` is a string") && !error.to_string().contains("4711"),
        "{error}"
    );
}

#[test]
fn the_documentation_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let document = fs::read_to_string(path).expect("docs/configuration.md");
    for keys in Keys::ALL {
        let heading = format!("\n### {}\n", keys.table());
        let (_, section) = document.split_once(&heading).unwrap_or_else(|| panic!("no heading{heading}"));
        let section = section.split("\n#").next().expect("at least one part");
        let written: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split_once('`').map(|(key, _)| key))
            .collect();
        assert_eq!(written, keys.names(), "{}", keys.table());
    }
}

#[test]
fn what_run_would_refuse_or_drop_is_refused_here() {
    for (text, at) in [
        ("node = \"-lb\"", "1:8: error: `node` is 1 to 63 letters"),
        ("site = \".dc\"", "1:8: error: `site` is 1 to 63 letters"),
        ("coordinators = [\"[x]:7443\"]", "1:17: error: \"[x]:7443\" is not a coordinator's address"),
        ("coordinators = [\"a:1\", \"*:7443\"]", "1:24: error: \"*:7443\" is not a coordinator's address"),
    ] {
        let read = read_native(text);
        let found = lines(&read);
        assert!(read.is_err() && found.len() == 1 && found[0].starts_with(at), "{text}: {found:?}");
    }
}

#[test]
fn addresses_that_cannot_serve() {
    for (address, finding) in [
        ("127.0.0.1/8", Some("error: 127.0.0.1 is a loopback address")),
        ("224.0.0.18", Some("error: 224.0.0.18 is not an address that a host can hold")),
        ("0.0.0.0", Some("error: 0.0.0.0 is not an address that a host can hold")),
        ("10.0.0.0/24", Some("warning: 10.0.0.0 is the network address of 10.0.0.0/24")),
        ("10.0.0.255/24", Some("warning: 10.0.0.255 is the broadcast address of 10.0.0.255/24")),
        ("10.0.0.255/16", None),
        ("10.0.0.0/31", None),
        ("10.0.0.255", None),
        ("::1", Some("error: ::1 is a loopback address")),
        ("ff02::12", Some("error: ff02::12 is not an address that a host can hold")),
        ("::ffff:10.0.0.1", Some("error: ::ffff:10.0.0.1 is not an address that a host can hold")),
        ("fe80::/64", Some("warning: fe80:: is the subnet-router anycast address of fe80::/64")),
        ("fe80::/127", None),
        ("fe80::51/64", None),
    ] {
        let found = lines(&read_native(instance("").replace("192.168.178.3/24", address)));
        match finding {
            Some(finding) => assert!(found.len() == 1 && found[0].contains(finding), "{address}: {found:?}"),
            None => assert!(found.is_empty(), "{address}: {found:?}"),
        }
    }
}
