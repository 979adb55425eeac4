//! No bytes make the reader panic, and every finding lies inside the text.

use proptest::{collection::vec, prelude::*, sample::select};

use crate::tests::{misplaced, read_keepalived, read_native};

/// Pieces of the language, so that random texts get deep into the reader.
const PIECES: &[&str] = &[
    "vrrp_instance",
    "VI_1",
    "global_defs",
    "{",
    "}",
    "{",
    "}",
    "\n",
    "\n",
    "\n",
    " ",
    "\t",
    "\r\n",
    "#",
    "!",
    "\"",
    "'",
    "\\",
    "state",
    "MASTER",
    "BACKUP",
    "interface",
    "ens33",
    "virtual_router_id",
    "51",
    "0",
    "256",
    "priority",
    "150",
    "advert_int",
    "0.5",
    "1.",
    "version",
    "3",
    "authentication",
    "auth_type",
    "PASS",
    "AH",
    "auth_pass",
    "1111",
    "virtual_ipaddress",
    "virtual_ipaddress_excluded",
    "192.168.178.3/24",
    "10.0.0.1",
    "::1/64",
    "fe80::1",
    "2001:db8::2/64",
    "native_ipv6",
    "mcast_src_ip",
    "peer",
    "-nodad",
    "preferred_lft",
    "forever",
    "dev",
    "label",
    "ens33:3",
    "brd",
    "+",
    "scope",
    "link",
    "nopreempt",
    "preempt",
    "preempt_delay",
    "track_script",
    "track_process",
    "track_file",
    "track_interface",
    "vrrp_script",
    "vrrp_track_process",
    "vrrp_track_file",
    "chk",
    "script",
    "true",
    "\"sh -c 'exit 0'\"",
    "weight",
    "-20",
    "reverse",
    "interval",
    "timeout",
    "process",
    "param_match",
    "quorum_max",
    "file",
    "init_file",
    "overwrite",
    "unicast_peer",
    "unicast_src_ip",
    "unicast_ttl",
    "min_ttl",
    "max_ttl",
    "old_unicast_checksum",
    "unicast_fault_no_peer",
    "vrrp_sync_group",
    "include",
    "includea",
    "*.none",
    "/nonexistent",
    "@main",
    "@^x",
    "$A=1 \\",
    "$A",
    "${_PWD}",
    "~SEQ(A,1,2)",
    "~LST(",
    ";",
    "虚拟IP",
    "｛",
    "\u{3000}",
    "\u{feff}",
    "notify_master",
    "vrrp_min_garp",
    "off",
    "strict_mode",
    "on",
    "garp_master_delay",
    "garp_master_refresh",
    "garp_lower_prio_repeat",
    "garp_group",
    "interfaces",
    "lower_prio_no_advert",
    "higher_prio_send_advert",
    "dont_track_primary",
    "accept",
    "no_accept",
    "use_vmac",
    "vmac_xmit_base",
    "00:00:5e:00:01:33",
    "vrrp_rt_priority",
    "1e9",
    "99999999999999999999",
    "no_such_word",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let joined = || {
        vec((select(PIECES), select(["", " ", " ", "\n"].as_slice())), 0..120).prop_map(|all| {
            all.into_iter().flat_map(|(word, space)| [word, space]).collect::<String>().into_bytes()
        })
    };
    prop_oneof![
        3 => joined(),
        1 => vec(any::<u8>(), 0..300),
        1 => (joined(), vec(any::<u8>(), 0..8), any::<prop::sample::Index>()).prop_map(|(mut text, junk, at)| {
            let at = if text.is_empty() { 0 } else { at.index(text.len()) };
            text.splice(at..at, junk);
            text
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(text in text()) {
        let read = read_keepalived(&text);
        prop_assert_eq!(misplaced(&read, &text), None);
        prop_assert_eq!(misplaced(&read_native(&text), &text), None);
    }

    /// A right file with one byte changed, removed or doubled.
    #[test]
    fn a_right_file_with_one_mistake(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut text = super::instance("authentication {\nauth_type PASS\nauth_pass 1111\n}").into_bytes();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => drop(text.remove(at)),
            _ => text.insert(at, byte),
        }
        let read = read_keepalived(&text);
        prop_assert_eq!(misplaced(&read, &text), None);
    }
}

#[test]
fn deep_and_long_texts_are_read_in_time() {
    for text in ["a {\n".repeat(100_000), "{".repeat(100_000), "}".repeat(100_000), "\"".repeat(100_001)] {
        assert!(read_keepalived(&text).is_err());
    }
    let addresses: String =
        (0..60_000).map(|n| format!("10.{}.{}.{}\n", n >> 16, (n >> 8) & 255, n & 255)).collect();
    let error = read_keepalived(super::instance(&format!("virtual_ipaddress {{\n{addresses}}}")))
        .expect_err("too many");
    assert!(error.to_string().contains("holds at most 4096 addresses"), "{error}");
}
