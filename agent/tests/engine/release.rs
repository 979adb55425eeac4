//! `ha-agent release` after a kill: what systemd's ExecStopPost does.

use std::time::{Duration, Instant};

use super::lab::{Host, Lab, until};

/// Two instances on one interface with one VRID, of IPv4 and of IPv6; `more` in each, for `v4` and `v6`.
fn conf(priority: u8, (v4, v6): (&str, &str)) -> String {
    format!(
        "vrrp_instance VI_4 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    version 3
    priority {priority}
    {v4}
    virtual_ipaddress {{
        192.168.178.3/24
        192.168.178.4/24
    }}
}}
vrrp_instance VI_6 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority {priority}
    {v6}
    virtual_ipaddress {{
        fe80::5:1/64
        2001:db8::100/64
    }}
}}
"
    )
}

fn unicast(own: u8, peer: u8) -> (String, String) {
    let of = |network: &str| {
        format!("unicast_src_ip {network}{own}\n    unicast_peer {{\n        {network}{peer}\n    }}")
    };
    (of("192.168.178."), of("2001:db8::"))
}

const VIPS: [&str; 4] = ["192.168.178.3", "192.168.178.4", "fe80::5:1", "2001:db8::100"];

fn has_all(host: &Host) -> bool {
    VIPS.iter().all(|vip| host.has(vip))
}

/// The first is killed and released; the second has everything within its skew of 609 ms.
#[allow(clippy::disallowed_methods, reason = "tests measure real time")]
fn the_peer_takes_over_within_its_skew(first: &str, second: &str) {
    let mut lab = Lab::new();
    let lb01 = lab.host6("lb01", "192.168.178.130/24", "2001:db8::130/64");
    let lb02 = lab.host6("lb02", "192.168.178.131/24", "2001:db8::131/64");
    let (first, second) = (lb01.file("keepalived.conf", first), lb02.file("keepalived.conf", second));
    let engine = lb01.engine_with(&first);
    until("lb01 serves", Duration::from_secs(10), || has_all(&lb01));
    let peer = lb02.engine_with(&second);
    peer.state("BACKUP");
    peer.state("BACKUP");
    // An advert of each was heard: a peer that never heard a master has nobody to take over from.
    let capture = lb02.tcpdump(&[], "proto 112 or ip6 proto 112");
    for _ in 0..2 {
        capture.line("advert", |line| line.contains("prio 150").then_some(()));
    }
    engine.kill();
    let killed = Instant::now();
    let said = lb01.release_with(&first);
    let released = killed.elapsed();
    assert!(!VIPS.iter().any(|vip| lb01.has(vip)), "{said}");
    for _ in 0..2 {
        let taken = peer.state("MASTER");
        assert_eq!(taken.reason, "master_resigned", "{}", taken.line);
    }
    let taken = killed.elapsed();
    eprintln!("released {released:?} after the kill, taken over {taken:?} after it");
    assert!(taken < released + Duration::from_millis(609 + 250), "{released:?} {taken:?}");
    until("lb02 serves", Duration::from_secs(1), || has_all(&lb02));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert_eq!(lb01.release_with(&first), "");
}

#[test]
fn a_killed_engine_s_peer_takes_over_within_its_skew_in_both_families() {
    the_peer_takes_over_within_its_skew(&conf(150, ("", "")), &conf(100, ("", "")));
}

#[test]
fn a_killed_engine_s_unicast_peer_takes_over_within_its_skew_in_both_families() {
    let of = |priority, own, peer| {
        let (v4, v6) = unicast(own, peer);
        conf(priority, (&v4, &v6))
    };
    the_peer_takes_over_within_its_skew(&of(150, 130, 131), &of(100, 131, 130));
}
