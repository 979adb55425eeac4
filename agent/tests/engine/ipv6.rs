//! IPv6, with keepalived 2.2.7 as the peer and as the measure.

use std::time::Duration;

use super::lab::{Host, Lab, pause, until};

const VIP: &str = "192.168.178.3";
const VIP6: &str = "2001:db8::100";

/// Two virtual routers with one VRID: of IPv4 and of IPv6.
fn conf(priority: u8) -> String {
    format!(
        "vrrp_instance VI_4 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    version 3
    priority {priority}
    virtual_ipaddress {{
        192.168.178.3/24
    }}
}}
vrrp_instance VI_6 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority {priority}
    virtual_ipaddress {{
        fe80::5:1/64
        2001:db8::100/64
    }}
}}
"
    )
}

fn two_hosts() -> (Lab, Host, Host) {
    let mut lab = Lab::new();
    let lb01 = lab.host6("lb01", "192.168.178.130/24", "2001:db8::130/64");
    let lb02 = lab.host6("lb02", "192.168.178.131/24", "2001:db8::131/64");
    (lab, lb01, lb02)
}

/// Everything that keepalived.conf can say of an IPv6 address.
const EVERY_OPTION: &str = "
vrrp_instance VI_6 {
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        fe80::5:1/64
        2001:db8::100/64
        2001:db8::101
        2001:db8::102/64 -nodad
        2001:db8::103/64 preferred_lft 60
        2001:db8::104/64 noprefixroute home
        2001:db8::105/64 mngtmpaddr
        2001:db8::106/64 preferred_lft 0
        2001:db8::107/128 preferred_lft forever
    }
    virtual_ipaddress_excluded {
        192.168.178.3/24
    }
}
";

#[test]
fn the_kernel_shows_the_very_lines_of_keepalived() {
    let lines_of = |host: &Host| {
        let all_there = || host.inet6().iter().filter(|line| !line.contains("tentative")).count() == 11;
        until("nine addresses", Duration::from_secs(10), all_there);
        until("and one of IPv4", Duration::from_secs(1), || host.inet().len() == 2);
        let lines = [host.inet6(), host.inet()].concat();
        lines.into_iter().filter(|line| !line.contains(&host.link_local())).collect::<Vec<_>>()
    };
    let (_lab, host, _) = two_hosts();
    let keepalived = host.keepalived(EVERY_OPTION);
    let theirs = lines_of(&host);
    drop(keepalived);

    let (_lab, host, _) = two_hosts();
    let engine = host.engine_with(&host.file("keepalived.conf", EVERY_OPTION));
    let ours = lines_of(&host);
    assert_eq!(ours.iter().filter(|line| line.contains(" dynamic")).count(), 10, "{ours:#?}");
    let without = |lines: &[String]| -> Vec<String> {
        let words =
            |line: &String| line.split(' ').filter(|word| *word != "dynamic").collect::<Vec<_>>().join(" ");
        lines.iter().map(words).collect()
    };
    assert_eq!(without(&ours), without(&theirs));
    // Renewals change nothing of it.
    pause(Duration::from_secs(4));
    assert_eq!(lines_of(&host), ours);
    engine.stop();
    assert_eq!((host.inet6().len(), host.inet().len()), (2, 1), "{:#?}", host.inet6());
}

#[test]
fn keepalived_follows_us_in_both_families_and_takes_over_when_we_stop() {
    let (_lab, lb01, lb02) = two_hosts();
    let keepalived = lb02.keepalived(&conf(100));
    let both = |to: &str| {
        let mut missing = vec!["VI_4", "VI_6"];
        keepalived.line(to, |line| {
            missing.retain(|instance| !line.contains(&format!("({instance}) Entering {to} STATE")));
            missing.is_empty().then_some(())
        });
    };
    both("BACKUP");
    both("MASTER");
    let engine = lb01.engine_with(&lb01.file("keepalived.conf", &conf(150)));
    for _ in 0..2 {
        let taken = engine.state("MASTER");
        assert_eq!(taken.reason, "preempted", "{}", taken.line);
    }
    both("BACKUP");
    until("only lb01 has the VIPs", Duration::from_secs(1), || {
        lb01.has(VIP) && lb01.has(VIP6) && !lb02.has(VIP) && !lb02.has(VIP6)
    });
    engine.stop();
    both("MASTER");
    until("only lb02 has the VIPs", Duration::from_secs(1), || {
        lb02.has(VIP) && lb02.has(VIP6) && !lb01.has(VIP) && !lb01.has(VIP6)
    });
}

#[test]
fn we_follow_keepalived_and_take_over_when_it_stops_or_is_cut_off() {
    let (_lab, lb01, lb02) = two_hosts();
    let keepalived = lb01.keepalived(&conf(150));
    for _ in 0..2 {
        keepalived.line("MASTER", |line| line.contains("Entering MASTER STATE").then_some(()));
    }
    let mut engine = lb02.engine_with(&lb02.file("keepalived.conf", &conf(100)));
    // Longer than Master_Down: whoever did not hear it would be MASTER now.
    pause(Duration::from_secs(4));
    engine.say("snapshot");
    let state = engine.line("snapshot", |line| Some(line.strip_prefix("snapshot VI_6 ")?.to_owned()));
    let from = format!("master=Some({})", lb01.link_local());
    assert!(state.starts_with("BACKUP") && state.contains(&from), "{state}");
    assert!(state.contains(" rejected=0"), "{state}");
    let heard = format!("heard ens33 51 {} ", lb01.link_local());
    engine.line("heard", |line| line.starts_with(&heard).then_some(()));
    keepalived.stop();
    for _ in 0..2 {
        assert_eq!(engine.state("MASTER").reason, "master_resigned");
    }
    until("only lb02 has the VIP", Duration::from_secs(1), || lb02.has(VIP6) && !lb01.has(VIP6));

    let _keepalived = lb01.keepalived(&conf(150));
    for _ in 0..2 {
        assert_eq!(engine.state("BACKUP").reason, "higher_priority_heard");
    }
    until("only lb01 has the VIP", Duration::from_secs(1), || lb01.has(VIP6) && !lb02.has(VIP6));
    lb01.carrier(false);
    for _ in 0..2 {
        assert_eq!(engine.state("MASTER").reason, "master_down");
    }
}

/// One instance and nothing else, for who looks at single packets.
const ONE: &str = "vrrp_instance VI_6 {
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        fe80::5:1/64
        2001:db8::100/64
    }
}
";

/// The first advert and the first two announcements, without what differs between two hosts.
fn on_the_wire(client: &Host, start: impl FnOnce() -> super::lab::Process, from: &Host) -> Vec<String> {
    let seen = client.tcpdump(&["-v", "-t", "-e"], "ip6 proto 112 or (icmp6 and ip6[40] == 136)");
    let _process = start();
    let (mac, link_local) = (from.mac(), from.link_local());
    let mut lines = Vec::new();
    while lines.len() < 7 {
        let line = seen.line("a packet", |line| Some(line.trim().to_owned()));
        // Other neighbours look for each other, too; the MAC is in hexadecimal beside what it is in words.
        if line.contains("0x0000:") || line.contains("solicited") {
            continue;
        }
        // A random number of the kernel's.
        let (start, end) = line.split_once("flowlabel ").unwrap_or((&line, ""));
        let end = end.split_once(", ").map_or(end, |(_, end)| end);
        lines.push(format!("{start}{end}").replace(&mac, "MAC").replace(&link_local, "LINK-LOCAL"));
    }
    lines
}

#[test]
fn adverts_and_announcements_are_keepalived_s() {
    for forwarding in ["0", "1"] {
        let (mut lab, lb01, lb02) = two_hosts();
        let client = lab.host6("client", "192.168.178.9/24", "2001:db8::9/64");
        for host in [&lb01, &lb02] {
            host.sysctl("net.ipv6.conf.all.forwarding", forwarding);
        }
        let theirs = on_the_wire(&client, || lb01.keepalived(ONE), &lb01);
        let conf = lb02.file("keepalived.conf", ONE);
        lb01.carrier(false);
        let ours = on_the_wire(&client, || lb02.engine_with(&conf), &lb02);
        assert_eq!(ours, theirs);
        assert!(theirs[0].contains("> 33:33:00:00:00:12") && theirs[0].contains("hlim 255"), "{theirs:#?}");
        assert_eq!(theirs.iter().any(|line| line.contains("router")), forwarding == "1", "{theirs:#?}");
    }
}

/// Unsolicited advertisements of every address, as after the takeover.
#[test]
fn what_is_asked_for_is_announced_again() {
    let (_lab, lb01, lb02) = two_hosts();
    let mut engine = lb01.engine_with(&lb01.file("keepalived.conf", ONE));
    engine.state("MASTER");
    // The takeover has said all that it says.
    pause(Duration::from_millis(5_500));
    let seen = lb02.tcpdump(&["-t", "-e"], "icmp6 and ip6[40] == 136");
    engine.say("announce VI_6");
    engine.line("answer", |line| (line == "announced Ok(())").then_some(()));
    for address in ["fe80::5:1", VIP6] {
        let tells = format!("tgt is {address},");
        let line = seen.line("an advertisement", |line| line.contains(&tells).then(|| line.to_owned()));
        assert!(line.starts_with(&lb01.mac()) && line.contains("> 33:33:00:00:00:01"), "{line}");
    }
}

#[test]
fn a_source_that_is_still_tentative_is_waited_for() {
    let mut lab = Lab::new();
    let host = lab.bare_host("lb01");
    let engine = host.engine_with(&host.file("keepalived.conf", ONE));
    assert_eq!(engine.state("FAULT").reason, "link_missing");
    host.plug_in();
    host.ip(&["addr", "add", "2001:db8::130/64", "dev", "ens33"]);
    until("it is tentative", Duration::from_secs(1), || {
        host.inet6().iter().any(|line| line.contains("fe80:") && line.contains("tentative"))
    });
    assert_eq!(engine.state("BACKUP").reason, "link_restored");
    assert!(!host.inet6().iter().any(|line| line.contains("fe80:") && line.contains("tentative")));
    engine.state("MASTER");
}

#[test]
fn an_address_that_another_host_has_is_refused_when_duplicates_are_detected() {
    let (_lab, lb01, lb02) = two_hosts();
    lb01.sysctl("net.ipv6.conf.ens33.accept_dad", "1");
    lb02.ip(&["addr", "add", "2001:db8::100/64", "dev", "ens33"]);
    let conf = ONE.replace("2001:db8::100/64", "2001:db8::100/64 -nodad");
    let engine = lb01.engine_with(&lb01.file("keepalived.conf", &conf));
    engine.state("MASTER");
    let fault = engine.state("FAULT");
    assert_eq!(fault.reason, "address_refused", "{}", fault.line);
    assert!(fault.line.contains("another host has it"), "{}", fault.line);
    until("it is gone", Duration::from_secs(1), || !lb01.has(VIP6));
}

#[test]
fn an_address_is_not_announced_before_it_is_used() {
    let (mut lab, lb01, _lb02) = two_hosts();
    let client = lab.host6("client", "192.168.178.9/24", "2001:db8::9/64");
    lb01.sysctl("net.ipv6.conf.ens33.accept_dad", "1");
    let conf = ONE.replace("2001:db8::100/64", "2001:db8::100/64 -nodad");
    let announced = client.tcpdump(&["-v"], "icmp6 and ip6[40] == 136 and src host 2001:db8::100");
    let engine = lb01.engine_with(&lb01.file("keepalived.conf", &conf));
    engine.state("MASTER");
    let tentative = || lb01.inet6().iter().any(|line| line.contains(VIP6) && line.contains("tentative"));
    until("it is tentative", Duration::from_secs(1), tentative);
    assert!(announced.drain().is_empty());
    for _ in 0..5 {
        announced.line("announcement", |line| line.contains("[override]").then_some(()));
    }
    assert!(!tentative());
}

#[test]
fn a_killed_engine_leaves_its_address_for_no_longer_than_the_lease_and_a_removed_one_is_put_back() {
    let (_lab, host, _) = two_hosts();
    let engine = host.engine_with(&host.file("keepalived.conf", ONE));
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || host.has(VIP6));
    host.ip(&["addr", "del", "2001:db8::100/64", "dev", "ens33"]);
    let took = until("it is back", Duration::from_millis(500), || host.has(VIP6));
    eprintln!("removed by hand: back after {took:?} at the latest");
    engine.line("report", |line| {
        assert!(!line.starts_with("transition"), "{line}");
        line.contains("2001:db8::100/64 repaired").then_some(())
    });
    engine.kill();
    // 3 s, and up to 1 s because the kernel looks at IPv6 lifetimes once a second at most (`addrconf_verify_rtnl`).
    let took = until("the VIP is gone", Duration::from_millis(4_200), || !host.has(VIP6));
    eprintln!("killed: the kernel dropped the VIP after {took:?}");
    assert!(!host.has("fe80::5:1"));
}

#[test]
fn a_probe_finds_everybody_who_answers_but_ourselves() {
    let (mut lab, lb01, lb02) = two_hosts();
    let foreign = lab.host6("foreign", "192.168.178.132/24", "2001:db8::132/64");
    let mut engine = lb01.engine_with(&lb01.file("keepalived.conf", ONE));
    engine.state("MASTER");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.has(VIP6));
    let mut probe = |expected: &[String]| {
        engine.say("probe 2001:db8::100");
        let start = format!("probe ens33 {VIP6} ");
        let answer = engine.line("probe", |line| Some(line.strip_prefix(&start)?.trim().to_owned()));
        let mut macs: Vec<&str> = answer.split(',').filter(|mac| !mac.is_empty()).collect();
        let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        macs.sort_unstable();
        expected.sort_unstable();
        assert_eq!(macs, expected);
    };
    probe(&[]);
    lb02.ip(&["addr", "add", "2001:db8::100/128", "dev", "ens33", "nodad"]);
    probe(&[lb02.mac()]);
    foreign.ip(&["addr", "add", "2001:db8::100/128", "dev", "ens33", "nodad"]);
    probe(&[lb02.mac(), foreign.mac()]);
}
