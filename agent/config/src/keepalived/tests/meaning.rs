//! What right files mean, and what is read the way its author meant it.

use std::time::Duration;

use hafleet_vrrp::{AdvertInterval, Announcing, Authentication, Peer, Priority, Version};

use super::{clean, instance, password, vip, warned};
use crate::{Instance, PathConfig, VipConfig, VipFlags};

fn one(mut instances: Vec<Instance>) -> Instance {
    assert_eq!(instances.len(), 1);
    instances.remove(0)
}

fn interval(cs: u16, version: Version) -> AdvertInterval {
    AdvertInterval::from_centiseconds(cs, version).expect("in its range")
}

#[test]
fn defaults_are_keepalived_s() {
    let text =
        "vrrp_instance A {\n interface e0\n virtual_router_id 7\n virtual_ipaddress {\n  192.0.2.1\n }\n}\n";
    let a = one(clean(text));
    assert_eq!(
        (a.priority, a.version, a.interval),
        (Priority::DEFAULT, Version::V2, AdvertInterval::DEFAULT)
    );
    assert_eq!((a.preempt, a.preempt_delay, a.source), (true, Duration::ZERO, None));
    assert_eq!((a.authentication, a.announcing), (Authentication::None, Announcing::default()));
    assert_eq!(a.vips, [vip("192.0.2.1", 32)]);
}

#[test]
fn the_layout_is_free() {
    let plain = format!("{:?}", clean(&instance("authentication {\nauth_type PASS\nauth_pass x\n}")));
    for (name, text) in [
        ("brace on the next line", instance("authentication\n{\nauth_type PASS\nauth_pass x\n}")),
        (
            "brace after an empty line",
            instance("authentication\n\n  # here\n{\nauth_type PASS\nauth_pass x\n}"),
        ),
        ("braces without white space", instance("authentication{\nauth_type PASS\nauth_pass x}")),
        ("tabs", instance("\tauthentication\t{\n\tauth_type\tPASS\n\tauth_pass\tx\n\t}")),
        ("quotation marks", instance("authentication {\n'auth_type' \"PASS\"\nauth_pass \"x\"\n}")),
        ("escapes", instance("authentication {\nauth_type PASS\nauth_pass \"\\x78\"\n}")),
        ("comments", instance("authentication { ! one\nauth_type PASS # two\nauth_pass x !three\n}#four")),
        ("any comment", instance("# 虚拟IP {{{ \"\nauthentication {\nauth_type PASS\nauth_pass x\n}")),
        ("Windows", instance("authentication {\nauth_type PASS\nauth_pass x\n}").replace('\n', "\r\n")),
    ] {
        assert_eq!(format!("{:?}", clean(&text)), plain, "{name}:\n{text}");
        assert_eq!(one(clean(&text)).authentication, password("x"), "{name}");
    }
}

#[test]
fn a_comment_may_be_in_any_encoding() {
    let mut text = b"# \xc4\xe3\xba\xc3 {\n".to_vec();
    text.extend(instance("priority2").replace("priority2", "! \u{fffd}").bytes());
    let loaded = crate::tests::read_keepalived(&text).expect("a comment in GBK");
    assert_eq!(loaded.config.instances.len(), 1);
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
}

#[test]
fn quotation_keeps_what_is_inside() {
    let text = "vrrp_instance \"VI # 1 {!}\" {\ninterface ens33\nvirtual_router_id 1\n\
                authentication {\nauth_type PASS\nauth_pass \"a!#'b\\\"\"\n}\nvirtual_ipaddress { 192.0.2.1 }\n}\n";
    let found = one(clean(text));
    assert_eq!(found.name, "VI # 1 {!}");
    assert_eq!(found.authentication, password("a!#'b\""));
}

#[test]
fn escapes_are_those_of_the_shell() {
    for (written, read) in [
        (r#""\101\x42\cC""#, "AB\u{3}"),
        (r#""a\tb\\c""#, "a\tb\\c"),
        (r#"ab"c d"ef"#, "abc def"),
        (r#"'a"b'"#, "a\"b"),
        (r#""\q""#, "q"),
        (r"a\b", r"a\b"),
        ("pa$word", "pa$word"),
    ] {
        let text = instance(&format!("authentication {{\nauth_type PASS\nauth_pass {written}\n}}"));
        assert_eq!(one(clean(&text)).authentication, password(read), "{written}");
    }
}

#[test]
fn intervals_follow_the_version() {
    for (lines, cs, version) in [
        ("advert_int 3", 300, Version::V2),
        ("advert_int 255", 25_500, Version::V2),
        ("advert_int 0.01\nversion 3", 1, Version::V3),
        ("version 3\nadvert_int 0.29", 29, Version::V3),
        ("version 3\nadvert_int 40.95", 4_095, Version::V3),
    ] {
        let found = one(clean(&instance(lines)));
        assert_eq!((found.interval, found.version), (interval(cs, version), version), "{lines}");
    }
    for (lines, cs, version, warning) in [
        (
            "advert_int 0.4",
            100,
            Version::V2,
            "6:12: warning: `advert_int` is rounded to 1 seconds, as keepalived does",
        ),
        (
            "advert_int 1.5",
            200,
            Version::V2,
            "6:12: warning: `advert_int` is rounded to 2 seconds, as keepalived does",
        ),
        (
            "advert_int 1.234\nversion 3",
            123,
            Version::V3,
            "6:12: warning: `advert_int` is rounded to 1.23 seconds, as keepalived does",
        ),
    ] {
        assert_eq!(one(warned(&instance(lines), &[warning])).interval, interval(cs, version), "{lines}");
    }
}

#[test]
fn global_settings_are_defaults_wherever_they_stand() {
    let globals = "global_defs {\nvrrp_version 3\nvrrp_garp_master_delay 10\nvrrp_garp_master_repeat 2\n}\n";
    let announcing = Announcing {
        repeat: 2,
        delay: Duration::from_secs(10),
        delayed_repeat: 2,
        lower_repeat: 2,
        lower_delay: Duration::from_secs(10),
        ..Announcing::default()
    };
    for text in [format!("{globals}{}", instance("")), format!("{}{globals}", instance(""))] {
        let found = one(clean(&text));
        assert_eq!((found.version, found.announcing), (Version::V3, announcing), "{text}");
    }
    let own =
        one(clean(&format!("{globals}{}", instance("version 2\ngarp_master_repeat 7\ngarp_master_delay 0"))));
    assert_eq!(own.version, Version::V2);
    assert_eq!(
        own.announcing,
        Announcing { repeat: 7, delay: Duration::ZERO, delayed_repeat: 0, ..announcing }
    );
}

#[test]
fn addresses_carry_what_the_kernel_is_told() {
    let text = instance(
        "virtual_ipaddress {\n192.168.178.9\n10.0.0.1/8 brd + dev lo label lo:x scope host\n\
         10.0.0.2/24 brd 10.0.0.255 scope 253\n10.0.0.3/24 brd -\n}\n\
         virtual_ipaddress_excluded {\n10.0.0.4/16 label ens33:4 dev ens33\n}",
    );
    let found = one(clean(&text));
    let some = |text: &str| Some(text.to_owned());
    let broadcast = |text: &str| Some(text.parse().expect("an address"));
    let mut excluded = VipConfig { dev: some("ens33"), label: some("ens33:4"), ..vip("10.0.0.4", 16) };
    excluded.vip.advertised = false;
    let expected = [
        vip("192.168.178.3", 24),
        vip("192.168.178.9", 32),
        VipConfig {
            dev: some("lo"),
            label: some("lo:x"),
            scope: 254,
            broadcast: broadcast("10.255.255.255"),
            ..vip("10.0.0.1", 8)
        },
        VipConfig { scope: 253, broadcast: broadcast("10.0.0.255"), ..vip("10.0.0.2", 24) },
        vip("10.0.0.3", 24),
        excluded,
    ];
    assert_eq!(found.vips, expected);
}

#[test]
fn ipv6_addresses_make_an_instance_of_version_3() {
    let ipv6 = |lines: &str| instance(lines).replace("192.168.178.3/24", "fe80::51:1");
    let found = one(clean(&ipv6(
        "advert_int 0.5\nmcast_src_ip fe80::2\nmcast_dst_ip ff02::12\nnative_ipv6\n\
         virtual_ipaddress {\n2001:db8::1/64\n2001:db8::2\n2001:db8::3 preferred_lft forever\n}\n\
         virtual_ipaddress_excluded {\n10.0.0.1/8\n2001:db8::4/64 -nodad home mngtmpaddr noprefixroute autojoin no_track preferred_lft 30 dev eth1\n}",
    )));
    assert_eq!((found.version, found.interval), (Version::V3, interval(50, Version::V3)));
    assert_eq!(found.source, Some("fe80::2".parse().expect("an address")));
    assert!(found.is_ipv6());
    let deprecated = |address| VipConfig { preferred_s: Some(0), ..vip(address, 128) };
    let excluded = |mut vip: VipConfig| {
        vip.vip.advertised = false;
        vip
    };
    let flags = VipFlags { dad: true, home: true, mngtmpaddr: true, noprefixroute: true, autojoin: true };
    let expected = [
        deprecated("fe80::51:1"),
        vip("2001:db8::1", 64),
        deprecated("2001:db8::2"),
        vip("2001:db8::3", 128),
        excluded(vip("10.0.0.1", 8)),
        excluded(VipConfig {
            flags,
            repair: false,
            preferred_s: Some(30),
            dev: Some("eth1".to_owned()),
            ..vip("2001:db8::4", 64)
        }),
    ];
    assert_eq!(found.vips, expected);

    let two = one(warned(
        &ipv6("version 2\nadvert_int 0.5"),
        &["6:9: warning: version 3 is used: version 2 carries IPv4 only"],
    ));
    assert_eq!((two.version, two.interval), (Version::V3, interval(50, Version::V3)));
    let global = one(clean(&format!("global_defs {{\nvrrp_version 2\n}}\n{}", ipv6(""))));
    assert_eq!(global.version, Version::V3);
    let mixed = one(clean(&instance("virtual_ipaddress_excluded {\nfe80::1/64\n}")));
    assert_eq!((mixed.version, mixed.is_ipv6()), (Version::V2, false));
    one(warned(
        &instance("mcast_src_ip 2001:db8::9").replace("192.168.178.3/24", "2001:db8::1/64"),
        &[
            "5:21: warning: the first IPv6 address is link-local in RFC 9568 section 5.2.9, here is 2001:db8::1",
            "6:14: warning: the source of IPv6 adverts is link-local in RFC 9568 section 5.1.2.1, here is 2001:db8::9",
        ],
    ));
}

#[test]
fn the_prefix_length_of_a_point_to_point_address_is_its_peer_s() {
    let peer = |peer: &str, prefix_len| VipConfig {
        peer: Some((peer.parse().expect("an address"), prefix_len)),
        ..vip("10.0.0.1", prefix_len)
    };
    for (line, expected, warning) in [
        ("10.0.0.1 peer 10.0.0.2", peer("10.0.0.2", 32), None),
        (
            "10.0.0.1 peer 10.0.0.2/30",
            peer("10.0.0.2", 30),
            Some("7:15: warning: a `peer` with a prefix length; keepalived would not read it"),
        ),
        (
            "10.0.0.1/24 peer 10.0.0.2",
            peer("10.0.0.2", 32),
            Some(
                "7:18: warning: the prefix length /24 is not used next to `peer`: the peer is a /32, as in keepalived",
            ),
        ),
    ] {
        let text = instance(&format!("virtual_ipaddress {{\n{line}\n}}"));
        let found = one(warned(&text, &warning.into_iter().collect::<Vec<_>>()));
        assert_eq!(found.vips[1], expected, "{line}");
    }
}

#[test]
fn peers_make_the_service_interface_unicast() {
    let found = one(clean(&instance(
        "check_unicast_src\nunicast_src_ip 10.0.0.1\nunicast_ttl 64\nunicast_fault_no_peer\nold_unicast_checksum never\n\
         unicast_peer {\n10.0.0.2\n10.0.0.3 max_ttl 64 min_ttl 62\n}\nunicast_peer {\n10.0.0.4 min_ttl 255\n}",
    )));
    let peer = |address: &str, ttl| Peer { address: address.parse().expect("an address"), ttl };
    let peers = vec![peer("10.0.0.2", 0..=255), peer("10.0.0.3", 62..=64), peer("10.0.0.4", 255..=255)];
    assert_eq!(found.paths, [PathConfig { interface: "ens33".to_owned(), peers }]);
    assert_eq!((found.unicast_ttl, found.source), (64, Some("10.0.0.1".parse().expect("an address"))));

    let found = one(clean(&instance("unicast_peer {\n10.0.0.2\n}")));
    assert_eq!((found.unicast_ttl, found.source), (255, None));
    let found = one(clean(
        &instance("unicast_src_ip 2001:db8::1\nunicast_peer {\nfe80::2\n2001:db8::2\n}")
            .replace("192.168.178.3/24", "fe80::51"),
    ));
    assert_eq!(found.paths[0].peers, [peer("fe80::2", 0..=255), peer("2001:db8::2", 0..=255)]);

    let found = one(warned(
        &instance(
            "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.1\n10.0.0.2 10.0.0.3\n10.0.0.2 min_ttl 9\n}",
        ),
        &[
            "8:1: warning: the peer 10.0.0.1 is this router's own source; it is not used",
            "9:10: warning: a second address on one line; keepalived would not read it",
            "10:1: warning: the peer 10.0.0.2 is listed twice",
        ],
    ));
    assert_eq!(found.paths[0].peers, [peer("10.0.0.2", 9..=255), peer("10.0.0.3", 0..=255)]);
    let found = one(warned(
        &instance("unicast_peer {\n}"),
        &["6:1: warning: `unicast_peer` names no peer, so the adverts are multicast, as in keepalived"],
    ));
    assert!(found.paths.is_empty());
}

#[test]
fn preemption_has_two_switches() {
    let off = one(clean(&instance("state BACKUP\nnopreempt")));
    assert_eq!((off.preempt, off.preempt_delay), (false, Duration::ZERO));
    let delayed = one(clean(&instance("state BACKUP\npreempt_delay 4.12")));
    assert_eq!((delayed.preempt, delayed.preempt_delay), (true, Duration::from_micros(4_120_000)));
    assert!(one(clean(&instance("preempt"))).preempt);

    let both = one(warned(
        &instance("nopreempt\npreempt_delay 5"),
        &["7:1: warning: `preempt_delay` has no effect with `nopreempt`"],
    ));
    assert_eq!((both.preempt, both.preempt_delay), (false, Duration::ZERO));
    let undone = warned(
        &instance("nopreempt\npreempt"),
        &["6:1: warning: `nopreempt` is undone by the `preempt` after it"],
    );
    assert!(one(undone).preempt);
}

#[test]
fn what_keepalived_reads_surprisingly_is_read_as_meant() {
    let one_line = one(warned(
        &instance("authentication { auth_type PASS auth_pass x }"),
        &["6:33: warning: `auth_pass` stands on the line of `auth_type`; keepalived would not read it"],
    ));
    assert_eq!(one_line.authentication, password("x"));

    let no_type = one(warned(
        &instance("authentication {\nauth_pass x\n}"),
        &["6:1: warning: there is no `auth_type`; PASS is meant, but keepalived would use no password"],
    ));
    assert_eq!(no_type.authentication, password("x"));

    let twice = one(warned(
        &instance("priority 10;"),
        &[
            "4:1: warning: `priority` is written twice; this one is not read",
            "6:12: warning: the `;` is not part of the language; `10` is read, keepalived would not read it",
        ],
    ));
    assert_eq!(twice.priority.get(), 10);

    let long = one(warned(
        &instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}"),
        &["8:11: warning: the password has 9 bytes; only the first 8 are used"],
    ));
    assert_eq!(long.authentication, password("12345678"));

    let lower = "vrrp_instance A {\nstate Master\ninterface e0\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n}";
    let owner = one(warned(
        lower,
        &[
            "2:7: warning: `Master` is read as MASTER; keepalived would not read it",
            "2:7: warning: `state MASTER` without `priority` means priority 255, the owner of the addresses",
        ],
    ));
    assert_eq!(owner.priority, Priority::OWNER);

    let kept = one(warned(
        &instance("state MASTER\nnopreempt"),
        &["7:1: warning: `nopreempt` counts here; keepalived would drop it next to `state MASTER`"],
    ));
    assert!(!kept.preempt);
    let kept = one(warned(
        &instance("state MASTER\npreempt_delay 5"),
        &["7:1: warning: `preempt_delay` counts here; keepalived would drop it next to `state MASTER`"],
    ));
    assert_eq!(kept.preempt_delay, Duration::from_secs(5));

    let cut = one(warned(
        &instance("authentication {\nauth_type PASS\nauth_pass ab!cd\n}"),
        &["8:11: warning: a comment begins in the middle of this word; the rest of the line is not read"],
    ));
    assert_eq!(cut.authentication, password("ab"));

    let two = warned(
        &instance("virtual_ipaddress {\n10.0.0.1/8 10.0.0.2/8\n}"),
        &["7:12: warning: a second address on one line; keepalived would not read it"],
    );
    assert_eq!(one(two).vips.len(), 3);

    let marked = warned(
        &format!("\u{feff}{}", instance("")),
        &["1:1: warning: the file begins with a byte order mark; keepalived would not read it"],
    );
    assert_eq!(marked.len(), 1);
}

#[test]
fn harmless_keywords_are_named() {
    let text = format!(
        "global_defs {{\nrouter_id lb01\nnotification_email {{\nroot@localhost\n}}\nsmtp_server 127.0.0.1\n\
         script_user root\nenable_script_security\nvrrp_skip_check_adv_addr\n}}\n{}\
         virtual_server 10.0.0.1 80 {{\nreal_server 10.0.0.2 80 {{\nweight 1\n}}\n}}\n",
        instance("notify_master \"/etc/up.sh a\"\ndebug 2\naccept\nsmtp_alert")
    );
    let found = warned(
        &text,
        &[
            "3:1: warning: `notification_email` is not active: hafleet's coordinator sends mail",
            "6:1: warning: `smtp_server` is not active: hafleet's coordinator sends mail",
            "16:1: warning: `notify_master` is not active: this version runs no notify scripts; the addresses move all \
             the same",
            "19:1: warning: `smtp_alert` is not active: hafleet's coordinator sends mail",
            "21:1: warning: `virtual_server` is not active: hafleet does not balance load: the block is checked for its \
             braces only",
        ],
    );
    assert_eq!(found.len(), 1);
}
