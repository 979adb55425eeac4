//! Tests of the agent.toml reader.

use std::{fs, path::Path, time::Duration};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Peer, Priority, Version, Vip, VirtualRouterId,
};

use super::keys::Keys;
use crate::config::{
    AgentConfig, Lease, PathConfig, VipConfig, VipFlags,
    tests::{expect, lines, read_native},
    track::{
        CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck, RunAs, ScriptCheck, Subject, Tracked,
    },
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
    assert_eq!(
        one.announcing,
        Announcing { repeat: 3, delay: Duration::from_secs(2), delayed_repeat: 1, ..Announcing::default() }
    );
    assert_eq!((one.defined_at.line, one.defined_at.column), (7, 8));

    assert_eq!(two.vrid, VirtualRouterId::new(52).expect("not 0"));
    assert_eq!((two.version, two.priority, two.preempt), (Version::V3, Priority::DEFAULT, false));
    assert_eq!(Some(two.interval), AdvertInterval::from_centiseconds(10, Version::V3));
    assert_eq!((two.authentication.clone(), two.announcing), (Authentication::None, Announcing::default()));
    assert_eq!((two.lease, two.checksum), (Lease::default(), ChecksumForm::WithPseudoHeader));
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
fn everything_that_can_be_tracked() {
    let text = instance(
        "track = [{ interface = \"ens33\" }, { interface = \"eth1\", weight = -10 }, { script = \"web\" }, { process = \"web\", weight = 0, reverse = true }, { file = \"load\" }]",
    ) + r#"
[[script]]
name = "web"
command = ["sh", "-c", "exit 0"]
interval = "500ms"
timeout = "2s"
rise = 2
fall = 3
init_fail = true
weight = -60
[[process]]
name = "web"
command = "/usr/sbin/nginx"
parameters = ["-g"]
param_match = "partial"
full_command = true
quorum = 2
quorum_max = 4
fork_delay = "1s"
terminate_delay = "100ms"
weight = 5
[[file]]
name = "load"
path = "/run/load"
init = -3
overwrite = true
reverse = true
"#;
    let config = clean(&text);
    let check =
        |name: &str, weight, reverse| Tracked { subject: Subject::Check(name.into()), weight, reverse };
    let expected = [
        Tracked { subject: Subject::Interface("eth1".into()), weight: -10, reverse: false },
        check("web (script)", -60, false),
        check("web (process)", 0, true),
        check("load", 1, true),
    ];
    assert_eq!(config.instances[0].tracks, expected);
    let [script, process, file] = config.checks.as_slice() else { panic!("{:?}", config.checks) };
    let CheckKind::Script(found) = &script.kind else { panic!("{script:?}") };
    assert!(found.command[0].starts_with('/') && found.command[0].ends_with("/sh"), "{found:?}");
    let expected = ScriptCheck {
        command: vec![found.command[0].clone(), "-c".into(), "exit 0".into()],
        interval: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
        init_fail: true,
        run_as: RunAs::Agent,
    };
    assert_eq!(script.kind, CheckKind::Script(expected));
    let expected = ProcessCheck {
        command: "/usr/sbin/nginx".into(),
        parameters: Some(ParameterMatch::Partial(vec!["-g".into()])),
        full_command: true,
        quorum_least: 2,
        quorum_most: Some(4),
        terminate_delay: Duration::from_millis(100),
        fork_delay: Duration::from_secs(1),
    };
    assert_eq!(process.kind, CheckKind::Process(expected));
    let init = Some(FileInit { value: -3, overwrite: true });
    assert_eq!(file.kind, CheckKind::File(FileCheck { path: "/run/load".into(), init }));
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

/// Lines in an otherwise right instance, and all that is found.
const WRONG: &[(&str, &[&str])] = &[
    ("priorty = 150", &["6:1: error: `priorty` is not a key of [[instance]]"]),
    ("priority = 0", &["6:12: error: `priority` is a whole number from 1 to 255, here is 0"]),
    ("priority = 256", &["6:12: error: `priority` is a whole number from 1 to 255, here is 256"]),
    ("priority = \"150\"", &["6:12: error: `priority` is a whole number from 1 to 255, here is \"150\""]),
    ("priority = 1.5", &["6:12: error: `priority` is a whole number from 1 to 255, here is 1.5"]),
    ("version = 4", &["6:11: error: `version` is a whole number from 2 to 3, here is 4"]),
    (
        "advert_interval = 1",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is 1",
        ],
    ),
    (
        "advert_interval = \"1 fortnight\"",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is \"1 fortnight\"",
        ],
    ),
    (
        "advert_interval = \"41s\"",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is \"41s\"",
        ],
    ),
    ("advert_interval = \"15ms\"", &["6:19: error: `advert_interval` is a multiple of 10ms, here is 15ms"]),
    (
        "version = 2\nadvert_interval = \"1500ms\"",
        &["7:19: error: `advert_interval` is a multiple of 1s, here is 1.5s"],
    ),
    ("preempt = \"yes\"", &["6:11: error: `preempt` is true or false, here is \"yes\""]),
    (
        "preempt = false\npreempt_delay = \"5s\"",
        &["7:1: warning: `preempt_delay` has no effect with `preempt = false`"],
    ),
    (
        "auth = { type = \"pass\", secret = \"1111\" }",
        &["6:1: error: `auth` needs version 2: version 3 has no authentication"],
    ),
    ("version = 2\nauth = { secret = \"1111\" }", &["7:1: error: `auth` lacks its `type` or `secret`"]),
    (
        "version = 2\nauth = { type = \"ah\", secret = \"1111\" }",
        &["7:17: error: `type` is \"pass\", here is \"ah\""],
    ),
    (
        "version = 2\nauth = { type = \"pass\", secret = \"123456789\" }",
        &["7:34: error: `secret` is a string of 1 to 8 bytes, here are 9"],
    ),
    (
        "version = 2\nauth = \"1111\"",
        &["7:8: error: `auth` is a table { type = \"pass\", secret = \"…\" }, here is \"1111\""],
    ),
    (
        "lease = \"500ms\"",
        &["6:9: error: `lease` is a duration from 1s to 1h such as \"3s\", or \"off\", here is \"500ms\""],
    ),
    (
        "lease = false",
        &["6:9: error: `lease` is a duration from 1s to 1h such as \"3s\", or \"off\", here is false"],
    ),
    (
        "checksum = \"rfc\"",
        &["6:12: error: `checksum` is \"with-pseudo-header\" or \"without-pseudo-header\", here is \"rfc\""],
    ),
    (
        "source = \"fe80::1\"",
        &["6:10: error: the source fe80::1 is IPv6, but the instance's addresses are IPv4"],
    ),
    (
        "source = \"lb01\"",
        &["6:10: error: `source` is an address such as \"192.0.2.1\" or \"fe80::1\", here is \"lb01\""],
    ),
    ("announcing = { repeat = 0 }", &["6:25: error: `repeat` is a whole number from 1 to 255, here is 0"]),
    ("announcing = { repaet = 5 }", &["6:16: error: `repaet` is not a key of announcing"]),
    (
        "track = [{ weight = 5 }, { interface = \"eth1\", script = \"x\" }, { script = \"x\" }, { interface = \"a/b\" }, { interface = \"e\", weight = 255 }]",
        &[
            "6:10: error: this element of `track` names nothing",
            "6:48: error: an element of `track` names one thing",
            "6:75: error: there is no script named `x`",
            "6:96: error: `interface` names an interface, and \"a/b\" contains '/', which no interface's name can",
            "6:133: error: `weight` is a whole number from -254 to 254, here is 255",
        ],
    ),
    (
        "track = [{ interface = \"ens33\", weight = 5 }, { interface = \"eth1\" }, { interface = \"eth1\", weight = 5 }]",
        &[
            "6:10: warning: `ens33` is the instance's own interface, which has its own rule",
            "6:71: warning: `eth1` is tracked twice; this one is not used",
        ],
    ),
    (
        "priority = 255\ntrack = [{ interface = \"eth1\", weight = 5 }]",
        &["7:10: warning: `eth1` has no effect: the priority 255 of an owner never changes"],
    ),
    (
        "paths = [{ interface = \"ens33\" }, { interface = \"hb0\", peers = [\"10.9.0.2\"] }]",
        &["6:49: error: a path over another interface is not supported by this version"],
    ),
    (
        "paths = [{ interface = \"ens33\" }, { interface = \"ens33\" }, {}]",
        &[
            "6:35: error: a second path over `ens33`",
            "6:60: error: this element of `paths` has no `interface`",
        ],
    ),
    (
        "paths = [{ interface = \"ens33\", peers = [\"lb02\", 3, { min_ttl = 1 }, { address = \"10.0.0.2\", min_ttl = 9, max_ttl = 3 }, { address = \"10.0.0.2\", ttl = 9 }] }]",
        &[
            "6:42: error: `peers` is an address such as \"192.0.2.1\" or \"fe80::1\", here is \"lb02\"",
            "6:50: error: `peers` is a list of addresses such as \"192.0.2.2\" or tables { address = \"192.0.2.2\", min_ttl = 254 }, here is 3",
            "6:53: error: this element of `peers` has no `address`",
            "6:70: error: no advert has a TTL of at least 9 and at most 3",
            "6:146: error: `ttl` is not a key of peers",
        ],
    ),
    (
        "paths = [{ interface = \"ens33\", peers = [\"fe80::1\", \"192.168.178.3\"] }]",
        &[
            "6:42: error: the peer fe80::1 is IPv6, but the instance's addresses are IPv4",
            "6:53: error: the peer 192.168.178.3 is one of the addresses that move",
        ],
    ),
    ("unicast_ttl = 0", &["6:15: error: `unicast_ttl` is a whole number from 1 to 255, here is 0"]),
    (
        "unicast_ttl = 9",
        &["6:1: warning: `unicast_ttl` has no effect without `peers`: multicast has TTL 255"],
    ),
    ("priority = 1\npriority = 2", &["7:1: error: duplicate key"]),
    ("priority = ", &["6:12: error: string values must be quoted, expected literal string"]),
];

#[test]
fn every_wrong_value_is_explained() {
    for (written, expected) in WRONG {
        let text = instance(written);
        expect(&read_native(&text), &text, expected);
    }
}

/// An element of `vips`, and what is found in it.
const WRONG_VIPS: &[(&str, &str)] = &[
    ("", "5:8: error: `vips` is empty: the instance has no address to hold"),
    (
        "\"10.0.0.1/8\"",
        "5:9: error: `vips` is a list of tables { address = \"192.0.2.10/24\" }, here is \"10.0.0.1/8\"",
    ),
    ("{ label = \"ens33:1\" }", "5:9: error: this element of `vips` has no `address`"),
    ("{ address = \"10.0.0.1/33\" }", "5:30: error: `/33` is not a prefix length: expected /0 to /32"),
    ("{ address = \"2001:db8::1/129\" }", "5:33: error: `/129` is not a prefix length: expected /0 to /128"),
    (
        "{ address = \"10.0.0.1\" }, { address = \"fe80::1\" }",
        "5:35: error: fe80::1 is not of the family of 10.0.0.1, the instance's first address",
    ),
    (
        "{ address = \"10.0.0.1\", advertised = false }",
        "5:9: error: no address of the instance is advertised; an advert carries at least one",
    ),
    (
        "{ address = \"fe80::1\", label = \"ens33:1\" }",
        "5:32: error: `label` is for IPv4 addresses, here is fe80::1",
    ),
    ("{ dad = true, address = \"10.0.0.1\" }", "5:11: error: `dad` is for IPv6 addresses, here is 10.0.0.1"),
    (
        "{ address = \"10.0.0.1\", peer = \"fe80::2\" }",
        "5:40: error: the peer fe80::2 is not of the family of 10.0.0.1",
    ),
    (
        "{ address = \"10.0.0.1/8\", peer = \"10.0.0.2\" }",
        "5:42: error: next to `peer` the address has no prefix length of its own",
    ),
    (
        "{ address = \"10.0.0.1\", preferred_lft = \"1.5s\" }",
        "5:49: error: `preferred_lft` is a duration in whole seconds such as \"0s\" or \"10m\", or \"forever\", here is \"1.5s\"",
    ),
    (
        "{ address = \"2001:db8::1/64\" }",
        "5:9: warning: the first IPv6 address is link-local in RFC 9568 section 5.2.9, here is 2001:db8::1",
    ),
    ("{ address = \"0.0.0.0\" }", "5:21: error: 0.0.0.0 is not an address that a host can hold"),
    (
        "{ address = \"10.0.0.1\", label = \"ens33:12345678901\" }",
        "5:41: error: the label `ens33:12345678901` has 17 bytes, the kernel allows 1 to 15",
    ),
    (
        "{ address = \"10.0.0.1\", label = \"x\" }",
        "5:41: warning: the label `x` does not begin with `ens33:`; `ifconfig` will not show the address",
    ),
    (
        "{ address = \"10.0.0.1\", dev = \"a b\" }",
        "5:39: error: `dev` names an interface, and \"a b\" contains ' ', which no interface's name can",
    ),
    ("{ addres = \"10.0.0.1\", address = \"10.0.0.1\" }", "5:11: error: `addres` is not a key of vips"),
    ("{ address = \"10.0.0.1\" }, { address = \"10.0.0.1/8\" }", "5:35: error: 10.0.0.1 is listed twice"),
];

#[test]
fn every_wrong_address_is_explained() {
    for (written, expected) in WRONG_VIPS {
        let text = instance("").replace("{ address = \"192.168.178.3/24\" }", written);
        expect(&read_native(&text), &text, &[expected]);
    }
}

/// Whole files and what is found in them.
const WHOLE: &[(&str, &[&str])] = &[
    ("nodes = \"a\"", &["1:1: error: `nodes` is not a key of agent.toml"]),
    (
        "node = \"lb 01\"",
        &[
            "1:8: error: `node` is 1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or a digit, here is \"lb 01\"",
        ],
    ),
    ("site = 1", &["1:8: error: `site` is a string, here is 1"]),
    ("coordinators = \"a:1\"", &["1:16: error: `coordinators` is a list of \"HOST:PORT\", here is \"a:1\""]),
    (
        "coordinators = [\"coord1\", \"a:0\", \"b:7443\"]",
        &[
            "1:17: error: `coordinators` is a host and a port such as \"coord1:7443\", here is \"coord1\"",
            "1:27: error: `coordinators` is a host and a port such as \"coord1:7443\", here is \"a:0\"",
        ],
    ),
    (
        "instance = 3",
        &["1:12: error: `instance` is a list of tables, each headed by [[instance]], here is 3"],
    ),
    (
        "[instance]\nname = \"x\"\n",
        &["1:1: error: `instance` is a list of tables, each headed by [[instance]], here is a table"],
    ),
    (
        "# 虚拟IP\n[[instance]]\n",
        &[
            "2:1: error: this instance has no `name`",
            "2:1: error: this instance has no `interface`",
            "2:1: error: this instance has no `vrid`",
            "2:1: error: this instance has no `vips`",
        ],
    ),
    (
        "[[script]]\n[[script]]\nname = \"a\"\ncommand = \"true\"\n[[script]]\nname = \"b\"\ncommand = [\"/nonexistent/check\"]\n\
         interval = \"1ms\"\nrise = 0\nuser = 3\n[[script]]\nname = \"c\"\ncommand = []\n",
        &[
            "1:1: error: this table has no `command`",
            "4:11: error: `command` is a list of a program and its arguments, such as [\"killall\", \"-0\", \"nginx\"], here is \"true\"",
            "7:11: error: `/nonexistent/check` does not exist",
            "8:12: error: `interval` is a duration from 10ms to 3600s, such as \"1s\" or \"100ms\", here is \"1ms\"",
            "9:8: error: `rise` is a whole number from 1 to 1000000, here is 0",
            "10:1: error: `user` is not a key of [[script]]",
            "13:11: error: `command` is empty: it names a program",
        ],
    ),
    (
        "[[process]]\nname = \"a\"\n[[process]]\ncommand = \"x\"\n[[process]]\nname = \"b\"\ncommand = \"x\"\nquorum = 3\n\
         quorum_max = 2\nparam_match = \"all\"\nparameters = \"-g\"\nweight = 300\n",
        &[
            "1:1: error: this table has no `command`",
            "3:1: error: this process has no `name`",
            "9:14: error: `quorum_max` 2 is less than `quorum` 3",
            "10:15: error: `param_match` is \"exact\" or \"partial\" or \"initial\", here is \"all\"",
            "11:14: error: `parameters` is a list of strings, here is \"-g\"",
            "12:10: error: `weight` is a whole number from -254 to 254, here is 300",
        ],
    ),
    (
        "[[file]]\nname = \"a\"\npath = \"load\"\n[[file]]\nname = \"b\"\npath = \"/run/load\"\noverwrite = true\n[[file]]\n\
         name = \"b\"\npath = \"/run/load\"\n",
        &[
            "3:8: error: `path` is an absolute path such as \"/run/load\", here is \"load\"",
            "7:1: error: `overwrite` without `init`",
            "9:8: error: a file named `b` is already at a.toml:5:8",
        ],
    ),
    (
        "[[file]]\nname = \"f\"\npath = \"/run/load\"\n",
        &["2:8: warning: no instance tracks the file `f`, so nobody looks at it"],
    ),
    ("[[instance]\nname = 1", &["1:12: error: unclosed array table, expected `]`"]),
];

#[test]
fn every_wrong_file_is_explained() {
    for (text, expected) in WHOLE {
        expect(&read_native(text), text, expected);
    }
    let found = lines(&read_native(b"node = \"l\xffb\"\n"));
    assert_eq!(found, ["1:10: error: this byte is not UTF-8"]);
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
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
