//! Wrong files: each with the place and the text of everything that is said about it.
//!
//! The findings are in `snapshots/`; [`CASES`] says which of them must be refused.

use super::instance;
use crate::tests::{lines, read_keepalived};

/// Lines in an otherwise right instance, beginning in line 6.
const IN_AN_INSTANCE: &[(&str, &str)] = &[
    ("misspelt keyword", "prioritty 100"),
    ("keyword of another block", "router_id lb01"),
    ("keyword of the top", "vrrp_instance VI_2 {\ninterface eth0\n}"),
    ("unknown block", "frobnicate {\n a b\n c {\n }\n}"),
    ("no value", "advert_int"),
    ("block where a word belongs", "advert_int { 1 }"),
    ("word where a block belongs", "authentication PASS"),
    ("priority 0", "priority 0"),
    ("priority 256", "priority 256"),
    ("priority in words", "priority high"),
    ("priority in hex", "priority 0x64"),
    ("VRID 0", "virtual_router_id 0"),
    ("VRID 256", "virtual_router_id 256"),
    ("interval 0", "advert_int 0"),
    ("interval with a unit", "advert_int 1s"),
    ("interval infinite", "advert_int inf"),
    ("interval beyond version 2", "advert_int 256"),
    ("interval beyond version 3", "version 3\nadvert_int 41"),
    ("version 4", "version 4"),
    ("unknown state", "state SLAVE"),
    ("delay beyond its range", "preempt_delay 1001"),
    ("interface name too long", "interface enp0s31f6.12345678"),
    ("interface name with a colon", "interface eth0:1"),
    ("address out of range", "virtual_ipaddress {\n 192.168.178.400/24\n}"),
    ("address with leading zero", "virtual_ipaddress {\n 192.168.178.004/24\n}"),
    ("prefix length 33", "virtual_ipaddress {\n 192.168.178.4/33\n}"),
    ("prefix length empty", "virtual_ipaddress {\n 192.168.178.4/\n}"),
    ("netmask", "virtual_ipaddress {\n 192.168.178.4/255.255.255.0\n}"),
    ("address of the other family", "virtual_ipaddress {\n 2001:db8::1/64\n}"),
    ("prefix length 129", "virtual_ipaddress_excluded {\n 2001:db8::1/129\n}"),
    ("broadcast of IPv6", "virtual_ipaddress_excluded {\n 2001:db8::1/64 brd +\n}"),
    (
        "options of IPv4",
        "virtual_ipaddress_excluded {\n 2001:db8::1/64 scope link label ens33:6\n 2001:db8::2/64 scope world\n}",
    ),
    ("options of IPv6", "virtual_ipaddress {\n 192.168.178.4/24 home -nodad mngtmpaddr\n}"),
    (
        "addresses that cannot serve",
        "virtual_ipaddress_excluded {\n ff02::12\n ::\n ::1\n ::ffff:10.0.0.1\n 2001:db8::/64\n 2001:db8:1::/127\n}",
    ),
    ("source of the other family", "mcast_src_ip fe80::1"),
    ("group of the other family", "mcast_dst_ip ff02::12"),
    ("IPv6 without IPv6", "native_ipv6"),
    ("peer without a value", "virtual_ipaddress {\n 192.168.178.4 peer\n}"),
    ("peer of the other family", "virtual_ipaddress {\n 192.168.178.4 peer 2001:db8::1\n}"),
    (
        "peer that is none",
        "virtual_ipaddress {\n 192.168.178.4 peer lb02\n 192.168.178.5 peer 10.0.0.1/33\n}",
    ),
    ("peer beside a prefix length", "virtual_ipaddress {\n 192.168.178.4/24 peer 10.0.0.1\n}"),
    ("peer with a prefix length", "virtual_ipaddress {\n 192.168.178.4 peer 10.0.0.1/24\n}"),
    (
        "preferred lifetime",
        "virtual_ipaddress {\n 192.168.178.4 preferred_lft 0x10\n 192.168.178.5 preferred_lft -1\n}",
    ),
    ("multicast address", "virtual_ipaddress {\n 224.0.0.18\n}"),
    ("address twice", "virtual_ipaddress {\n 192.168.178.3/24\n}"),
    ("address excluded and not", "virtual_ipaddress_excluded {\n 192.168.178.3/24\n}"),
    ("option on the next line", "virtual_ipaddress {\n 192.168.178.4/24\n   dev ens33\n}"),
    ("option misspelt", "virtual_ipaddress {\n 192.168.178.4/24 lable ens33:4\n}"),
    ("option without value", "virtual_ipaddress {\n 192.168.178.4/24 dev\n}"),
    ("label too long", "virtual_ipaddress {\n 192.168.178.4/24 label ens33:123456789012\n}"),
    ("label of another interface", "virtual_ipaddress {\n 192.168.178.4/24 dev eth1 label ens33:4\n}"),
    ("unknown scope", "virtual_ipaddress {\n 192.168.178.4/24 scope world\n}"),
    ("broadcast of a /32", "virtual_ipaddress {\n 192.168.178.4 brd +\n}"),
    ("unsupported option", "virtual_ipaddress {\n 192.168.178.4/24 use_vmac\n}"),
    ("option of static addresses", "virtual_ipaddress {\n 192.168.178.4/24 track_group G\n}"),
    ("block after an address", "virtual_ipaddress {\n 192.168.178.4/24 {\n }\n}"),
    ("authentication AH", "authentication {\n auth_type AH\n auth_pass x\n}"),
    ("authentication unknown", "authentication {\n auth_type MD5\n auth_pass x\n}"),
    ("authentication without password", "authentication {\n auth_type PASS\n}"),
    ("authentication in version 3", "version 3\nauthentication {\n auth_type PASS\n auth_pass x\n}"),
    ("misspelt password", "authentication {\n auth_type PASS\n auth_pas x\n}"),
    ("quotation not closed", "authentication {\n auth_type PASS\n auth_pass \"x\n}"),
    ("source address wrong", "mcast_src_ip 192.168.178"),
    ("other multicast group", "mcast_dst_ip 224.0.0.19"),
    ("other number of adverts", "down_timer_adverts 5"),
    ("strict", "strict_mode"),
    ("strict with a wrong word", "strict_mode maybe"),
    ("garp repeat 0", "garp_master_repeat 0"),
    ("garp delay in fractions", "garp_master_delay 2.5"),
    (
        "announcing",
        "garp_master_refresh -1
garp_master_refresh_repeat 0
garp_lower_prio_delay 3601
garp_lower_prio_repeat 256",
    ),
    (
        "switches",
        "lower_prio_no_advert maybe
higher_prio_send_advert 2",
    ),
    (
        "tracking",
        "track_script {\n chk_nginx\n}\ntrack_interface {\n eth1 eth2\n eth1 weight\n eth1 weight 254\n eth1 weight 1 up\n \
         eth1 weight 1 reverse twice\n a/b\n eth1 {\n }\n}\ntrack_file {\n f\n}\nvrrp_track_file {\n f\n}",
    ),
    (
        "tracking with a remark",
        "track_interface {\n eth1 reverse\n eth1\n ens33 weight 5\n eth2 weight 1 no_reverse\n}",
    ),
    ("tracking of an owner", "priority 255\ntrack_interface {\n eth1 weight 5\n eth2\n}"),
    (
        "wrong peers",
        "unicast_peer {\n lb02\n 10.0.0.2 min_ttl\n 10.0.0.3 min_ttl 256\n 10.0.0.4 min_ttl 9 max_ttl 3\n \
         10.0.0.5 ttl 3\n 10.0.0.6 {\n }\n}",
    ),
    ("peers that cannot be", "unicast_peer {\n fe80::1\n 224.0.0.18\n 192.168.178.3\n 0.0.0.0\n}"),
    (
        "peers that are not used",
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n 10.0.0.1\n 10.0.0.2/24\n 10.0.0.2 max_ttl 9\n 10.0.0.3 10.0.0.4\n}\n\
         mcast_dst_ip 224.0.0.18",
    ),
    ("no peers", "unicast_peer {\n}\nunicast_ttl 9\nold_unicast_checksum"),
    ("unicast without peers", "unicast_src_ip 10.0.0.1"),
    ("two sources", "mcast_src_ip 10.0.0.1\nunicast_src_ip 10.0.0.1\nunicast_peer {\n 10.0.0.2\n}"),
    ("fault without peers", "unicast_fault_no_peer"),
    ("TTL 0", "unicast_ttl 0\nunicast_peer {\n 10.0.0.2\n}"),
    ("old checksum", "version 3\nold_unicast_checksum\nunicast_peer {\n 10.0.0.2\n}"),
    ("old checksum in version 2", "old_unicast_checksum\nunicast_peer {\n 10.0.0.2\n}"),
    ("old checksum with a wrong word", "old_unicast_checksum always\nunicast_peer {\n 10.0.0.2\n}"),
    ("peers in a line", "unicast_peer 10.0.0.2"),
    ("virtual MAC", "use_vmac vrrp.51 00:00:5e:00:01:33"),
    ("virtual MAC on a wrong interface", "use_vmac this.name.is.too.long"),
    ("virtual MAC on the interface itself", "use_vmac ens33"),
    (
        "virtual MAC with unicast",
        "use_vmac
unicast_peer {
 10.0.0.2
}",
    ),
    ("virtual MAC without one", "vmac_xmit_base"),
    (
        "other virtual interfaces",
        "use_vmac_addr
use_ipvlan",
    ),
    (
        "accept and not",
        "accept
no_accept",
    ),
    (
        "owner that does not accept",
        "priority 255
no_accept",
    ),
    ("no tracking of the interface", "dont_track_primary off"),
    ("routes", "virtual_routes {\n 0.0.0.0/0 via 10.0.0.1\n}"),
    ("too many words", "priority 100 200\nstate BACKUP # fine\nnopreempt now"),
    ("conditional line", "@main priority 100\n@^main priority 50"),
    ("use of a predefined value", "mcast_src_ip ${_IP}"),
    ("sequence", "virtual_ipaddress {\n~SEQ(N, 1, 9) 10.0.0.${N}\n}"),
    ("full-width brace", "authentication ｛\n auth_type PASS\n}"),
    ("ideographic space", "priority\u{3000}100"),
    ("brace too many", "}\nstate BACKUP"),
    ("brace missing", "authentication {\n auth_type PASS\n auth_pass x\nvirtual_ipaddress {\n 10.0.0.1\n}"),
    ("brace alone", "{\n foo\n}"),
];

/// Whole files.
const WHOLE: &[(&str, &str)] = &[
    ("empty", ""),
    ("only a comment", "# keepalived\n"),
    ("no instance", "global_defs {\n router_id x\n}\n"),
    ("instance without a name", "vrrp_instance {\n interface e0\n}\n"),
    ("empty instance", "vrrp_instance A {\n}\n"),
    ("instance without a block", "vrrp_instance A\n"),
    (
        "instance without addresses",
        "vrrp_instance A {\n interface e0\n virtual_router_id 1\n virtual_ipaddress {\n }\n}\n",
    ),
    (
        "the tutorial's first listing",
        "global_defs {\n  notification_email {\n  }\n  smtp_server 192.168.200.1\n  router_id LVS_DEVEL\n",
    ),
    ("definition", "$VIP=10.0.0.1\n$BLOCK= \\\n  a { \\\n  b\nglobal_defs {\n}\n"),
    (
        "addresses that are all excluded",
        "vrrp_instance A {\n interface e0\n virtual_router_id 1\n virtual_ipaddress_excluded {\n  fe80::1/64\n }\n}\n",
    ),
    (
        "IPv6",
        "vrrp_instance A {\n interface e0\n virtual_router_id 1\n version 2\n mcast_src_ip 2001:db8::2\n \
         virtual_ipaddress {\n  2001:db8::1/64\n  10.0.0.1\n }\n}\n",
    ),
    (
        "IPv6 with a password",
        "vrrp_instance A {\n interface e0\n virtual_router_id 1\n authentication {\n  auth_type PASS\n  auth_pass x\n }\n \
         mcast_src_ip 10.0.0.9\n virtual_ipaddress {\n  fe80::1/64\n }\n}\n",
    ),
    (
        "scripts",
        "vrrp_script a {\n}\nvrrp_script b {\n script /nonexistent/check\n interval 0\n timeout 5000\n rise 0\n fall -1\n \
         weight 254\n}\nvrrp_script c {\n script \"\"\n}\nvrrp_script d {\n script \"sh -c 'x\"\n}\nvrrp_script e {\n \
         script \"[[ -f /x ]] && exit 1\"\n}\nvrrp_script f {\n script \"/etc/passwd\"\n}\nvrrp_script g {\n \
         script \"./check.sh\"\n}\nvrrp_script h {\n script no_such_program\n frob\n}\nglobal_defs {\n script_user root\n}\n",
    ),
    (
        "processes",
        "vrrp_track_process a {\n}\nvrrp_track_process b {\n process x\n quorum 0\n quorum_max -1\n fork_delay 3601\n \
         terminate_delay x\n param_match all\n weight 255\n}\nvrrp_track_process c {\n process x\n quorum 3\n \
         quorum_max 2\n}\n",
    ),
    (
        "files",
        "track_file a {\n}\nvrrp_track_file b {\n file load\n init_file 300\n weight 255 down\n}\nvrrp_track_file b {\n \
         file /run/load\n init_file always\n}\n",
    ),
    (
        "global settings",
        "global_defs {\n vrrp_garp_interval 11\n vrrp_gna_interval x\n vrrp_rt_priority 0\n vrrp_lower_prio_no_advert maybe\n \
         vrrp_garp_master_refresh_repeat 0\n vrrp_mcast_group6 ff02::13\n vrrp_garp_extra_if 100\n vmac_prefix v\n}\n",
    ),
    (
        "pauses of interfaces",
        "garp_group {\n garp_interval 0.2\n}\ngarp_group {\n interface ens33\n}\ngarp_group {\n gna_interval 0.2\n interfaces {\n  \
         ens33 eth1\n  a/b\n }\n frob\n}\n",
    ),
    ("sync group", "vrrp_sync_group G {\n group {\n  VI_1\n }\n}\n"),
    ("static addresses", "static_ipaddress {\n 10.0.0.1/24 dev e0\n}\n"),
    ("extra brace at the end", "global_defs {\n}\n}\n"),
    ("old Mac", "global_defs {\r}\r"),
    ("not a configuration", "<?xml version=\"1.0\"?>\n<a>b</a>\n"),
];

#[test]
fn every_wrong_file_is_explained() {
    let mut shown = String::new();
    let inside = IN_AN_INSTANCE.iter().map(|(name, lines)| (*name, *lines, instance(lines)));
    let whole = WHOLE.iter().map(|(name, text)| (*name, *text, (*text).to_owned()));
    for (name, written, text) in inside.chain(whole) {
        let read = read_keepalived(&text);
        let found = lines(&read);
        assert!(!found.is_empty(), "{name}: nothing was found in\n{text}");
        shown.push_str(&format!("== {name}: {}\n", if read.is_ok() { "taken" } else { "refused" }));
        written.lines().for_each(|line| shown.push_str(&format!("    | {line}\n")));
        found.iter().for_each(|line| shown.push_str(&format!("{line}\n")));
    }
    insta::assert_snapshot!("broken", shown);
}

#[test]
fn a_name_that_is_not_defined_is_named_with_the_nearest() {
    let definitions = "vrrp_script chk_nginx {\nscript /bin/true\n}\nvrrp_track_process haproxy {\nprocess haproxy\n}\nglobal_defs {\nscript_user root\n}\n";
    for (track, message, help) in [
        ("track_script {\nchk_ngnix\n}", "there is no script named `chk_ngnix`", "did you mean `chk_nginx`?"),
        ("track_script {\nhaproxy\n}", "there is no script named `haproxy`", "`haproxy` is a process"),
        ("track_script {\nzzz\n}", "there is no script named `zzz`", "defined are chk_nginx"),
        ("track_file {\nzzz\n}", "there is no file named `zzz`", "no file is defined"),
    ] {
        let error = read_keepalived(format!("{definitions}{}", instance(track))).expect_err(track);
        let [finding] = error.findings.as_slice() else { panic!("{error}") };
        assert_eq!((finding.message.as_str(), finding.help.as_deref()), (message, Some(help)), "{track}");
        assert_eq!((finding.place.line, finding.place.column), (16, 1), "{track}");
    }
}

#[test]
fn bytes_that_are_no_utf_8_are_pointed_at() {
    let mut text = instance("# here: x").into_bytes();
    let at = text.windows(8).position(|window| window == b"# here: ").expect("the comment");
    text.splice(at..at, b"priority 1\xff0 ".iter().copied());
    let read = read_keepalived(&text);
    let found = lines(&read);
    assert_eq!(found[2], "6:11: error: this byte is not UTF-8", "{found:?}");
    assert!(read.is_err());
}

#[test]
fn two_instances_may_not_share_a_name_a_vrid_or_an_address() {
    let text = format!("{}{}", instance(""), instance(""));
    let found = lines(&read_keepalived(&text));
    assert_eq!(
        found,
        [
            "8:15: error: an instance named `VI_1` is already at k.conf:1:15",
            "8:15: error: `VI_1` uses VRID 51 on ens33, which `VI_1` at k.conf:1:15 uses already",
            "8:15: error: `VI_1` holds 192.168.178.3, which `VI_1` at k.conf:1:15 holds too",
        ]
    );
    let ipv6 = instance("").replace("VI_1", "VI_2").replace("192.168.178.3/24", "fe80::1/64");
    let third = ipv6.replace("VI_2", "VI_3").replace("ens33", "eth1");
    let text = format!("{}{ipv6}{third}", instance(""));
    assert!(
        read_keepalived(&text).is_ok(),
        "one VRID for IPv4 and one for IPv6; one link-local address on two interfaces"
    );
    let text = format!("{ipv6}{}", third.replace("eth1", "ens33"));
    assert_eq!(
        lines(&read_keepalived(&text)),
        [
            "8:15: error: `VI_3` uses VRID 51 on ens33, which `VI_2` at k.conf:1:15 uses already",
            "8:15: error: `VI_3` holds fe80::1, which `VI_2` at k.conf:1:15 holds too",
        ]
    );
    let other = instance("").replace("ens33", "eth1").replace("VI_1", "VI_2").replace("178.3", "178.4");
    let text = format!("{}{other}", instance(""));
    assert!(read_keepalived(&text).is_ok(), "one VRID on two interfaces is allowed");
}
