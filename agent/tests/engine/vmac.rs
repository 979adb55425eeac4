//! Virtual MACs (RFC 9568 section 7.3), with keepalived 2.2.7 as the peer.

use std::time::Duration;

use super::lab::{Host, Lab, Process, engine, pause, until};

const VIP: &str = "192.168.178.3";
const VIP6: &str = "2001:db8::100";
const MAC: &str = "00:00:5e:00:01:33";
const MAC6: &str = "00:00:5e:00:02:33";
/// What no host but the master may send.
const FROM_VIRTUAL: &str = "ether src 00:00:5e:00:01:33 or ether src 00:00:5e:00:02:33";
/// Packets that the interface sends.
const OUT: [&str; 4] = ["-e", "-v", "-Q", "out"];

/// Two virtual routers with one VRID: of IPv4 and of IPv6.
fn conf(priority: u8, vmac: &str) -> String {
    format!(
        "vrrp_instance VI_4 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    version 3
    priority {priority}
    {vmac}
    virtual_ipaddress {{
        192.168.178.3/24 dev ens33 label ens33:3
    }}
}}
vrrp_instance VI_6 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority {priority}
    {vmac}
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

fn start(host: &Host, priority: u8) -> Process {
    host.engine_with(&host.file("keepalived.conf", &conf(priority, "use_vmac")))
}

fn serves(host: &Host) -> bool {
    host.has_on("vrrp.51", VIP) && host.has_on("vrrp6.51", VIP6) && host.has_on("vrrp6.51", "fe80::5:1")
}

fn has_none(host: &Host) -> bool {
    !host.ip(&["link", "show"]).contains("vrrp")
}

/// Both instances enter this state.
fn both(engine: &Process, state: &str) -> Vec<String> {
    (0..2).map(|_| engine.state(state).reason).collect()
}

/// Asks until the answer comes, and returns the MAC that the client has learnt.
fn neighbour(client: &Host, address: &str) -> String {
    until("an answer", Duration::from_secs(5), || {
        client.command("ping").args(["-c1", "-W1", "-q", address]).output().unwrap().status.success()
    });
    let text = client.ip(&["neigh", "show", address, "dev", "ens33"]);
    text.split(" lladdr ").nth(1).unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn only_the_master_is_seen_with_the_virtual_mac_and_the_client_s_neighbour_never_changes() {
    let (mut lab, lb01, lb02) = two_hosts();
    let client = lab.host6("client", "192.168.178.9/24", "2001:db8::9/64");
    let seen = client.tcpdump(&["-e", "-v"], FROM_VIRTUAL);
    let first = start(&lb01, 150);
    both(&first, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
    let mut missing = vec![
        format!("{MAC} > 01:00:5e:00:00:12"),
        format!("{MAC6} > 33:33:00:00:00:12"),
        format!("{MAC} > ff:ff:ff:ff:ff:ff"),
        format!("{MAC6} > 33:33:00:00:00:01"),
    ];
    seen.line("adverts and announcements", |line| {
        missing.retain(|wanted| !line.contains(wanted));
        missing.is_empty().then_some(())
    });
    // Adverts come from the parent's addresses.
    seen.line("source", |line| line.contains("192.168.178.130 > 224.0.0.18: VRRPv3").then_some(()));
    let source = format!("{} > ff02::12", lb01.link_local());
    seen.line("source", |line| line.contains(&source).then_some(()));

    let quiet = lb02.tcpdump(&OUT, FROM_VIRTUAL);
    let second = start(&lb02, 100);
    both(&second, "BACKUP");
    assert_eq!([neighbour(&client, VIP), neighbour(&client, VIP6)], [MAC, MAC6]);
    // The master asks for the client itself, for an answer from the virtual address.
    lb01.ip(&["neigh", "flush", "dev", "ens33"]);
    let ping = lb01.command("ping").args(["-c1", "-W1", "-I", VIP, "192.168.178.9"]).output().unwrap();
    assert!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
    assert_eq!(neighbour(&client, VIP), MAC);

    // One answer, whoever asks.
    let answers = client.tcpdump(&["-e"], "arp[6:2] == 2 and arp[14:4] == 0xc0a8b203");
    client.ip(&["neigh", "flush", "dev", "ens33"]);
    assert_eq!(neighbour(&client, VIP), MAC);
    answers.line("answer", |line| {
        assert!(line.contains(&format!("{MAC} > ")) && line.contains(&format!("is-at {MAC}")), "{line}");
        Some(())
    });
    pause(Duration::from_millis(300));
    assert_eq!(answers.drain(), [""; 0]);

    assert_eq!(quiet.drain(), [""; 0], "a backup takes the virtual MAC away from its master");
    first.stop();
    assert!(has_none(&lb01));
    assert_eq!(both(&second, "MASTER"), ["master_resigned"; 2]);
    quiet.line("advert", |line| line.contains("224.0.0.18").then_some(()));
    until("lb02 serves", Duration::from_secs(1), || serves(&lb02));
    let entry = client.ip(&["neigh", "show", VIP, "dev", "ens33"]);
    assert!(entry.contains(MAC), "{entry}");
    assert_eq!([neighbour(&client, VIP), neighbour(&client, VIP6)], [MAC, MAC6]);
}

#[test]
fn keepalived_with_a_virtual_mac_and_we_follow_each_other() {
    let (_lab, lb01, lb02) = two_hosts();
    let keepalived = lb02.keepalived(&conf(100, "use_vmac"));
    let enters = |keepalived: &Process, state: &str| {
        let entering = format!("Entering {state} STATE");
        for _ in 0..2 {
            keepalived.line(state, |line| line.contains(&entering).then_some(()));
        }
    };
    enters(&keepalived, "MASTER");
    let engine = start(&lb01, 150);
    assert_eq!(both(&engine, "MASTER"), ["preempted"; 2]);
    enters(&keepalived, "BACKUP");
    until("only lb01 serves", Duration::from_secs(1), || serves(&lb01) && !serves(&lb02));
    engine.stop();
    enters(&keepalived, "MASTER");
    until("only lb02 serves", Duration::from_secs(1), || serves(&lb02) && has_none(&lb01));
    let engine = start(&lb01, 50);
    both(&engine, "BACKUP");
    pause(Duration::from_secs(4));
    keepalived.stop();
    assert_eq!(both(&engine, "MASTER"), ["master_resigned"; 2]);
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
}

#[test]
fn a_killed_engine_s_interfaces_are_adopted_and_a_released_one_s_go() {
    let (_lab, lb01, lb02) = two_hosts();
    let file = lb01.file("keepalived.conf", &conf(150, "use_vmac"));
    let first = lb01.engine_with(&file);
    both(&first, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
    let peer = start(&lb02, 100);
    both(&peer, "BACKUP");
    let links = lb01.ip(&["-br", "link", "show", "type", "macvlan"]);
    first.kill();
    let again = lb01.engine_with(&file);
    assert_eq!(both(&again, "MASTER"), ["adopted"; 2]);
    assert!(serves(&lb01));
    assert_eq!(lb01.ip(&["-br", "link", "show", "type", "macvlan"]), links);
    pause(Duration::from_secs(1));
    let said = peer.drain();
    assert!(!said.iter().any(|line| line.starts_with("transition")), "{said:#?}");

    let resigned = lb02.tcpdump(&["-e", "-v"], "proto 112 or ip6 proto 112");
    again.kill();
    let said = lb01.release_with(&file);
    assert!(said.contains("\"vrrp.51\"") && said.contains("\"vrrp6.51\""), "{said}");
    assert!(has_none(&lb01));
    let mut missing = vec![MAC, MAC6];
    let mut is_from = "";
    resigned.line("priority 0", |line| {
        is_from = [MAC, MAC6].into_iter().find(|mac| line.contains(&format!("{mac} > "))).unwrap_or(is_from);
        if line.contains("prio 0,") {
            missing.retain(|mac| *mac != is_from);
        }
        missing.is_empty().then_some(())
    });
    assert_eq!(both(&peer, "MASTER"), ["master_resigned"; 2]);
    assert_eq!(lb01.release_with(&file), "");
}

#[test]
fn an_interface_deleted_or_shut_by_hand_is_made_again_without_a_transition() {
    let (_lab, lb01, _lb02) = two_hosts();
    let engine = start(&lb01, 150);
    both(&engine, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
    for name in ["vrrp.51", "vrrp6.51"] {
        lb01.ip(&["link", "del", name]);
        let took = until("it is back", Duration::from_secs(1), || serves(&lb01));
        eprintln!("{name} deleted by hand: back after {took:?} at the latest");
    }
    lb01.ip(&["link", "set", "vrrp6.51", "down"]);
    until("it is back", Duration::from_secs(1), || serves(&lb01));
    let said = engine.drain();
    assert!(!said.iter().any(|line| line.starts_with("transition")), "{said:#?}");
    // With its parent it goes, and comes back.
    lb01.ip(&["link", "del", "ens33"]);
    both(&engine, "FAULT");
    lb01.plug_in();
    lb01.ip(&["addr", "add", "192.168.178.130/24", "brd", "+", "dev", "ens33"]);
    both(&engine, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
    engine.stop();
    assert!(has_none(&lb01));
}

#[test]
fn a_foreign_interface_of_the_name_is_a_fault_and_left_alone() {
    let (_lab, lb01, _lb02) = two_hosts();
    lb01.ip(&["link", "add", "vrrp.51", "type", "bridge"]);
    let engine = start(&lb01, 150);
    let fault = engine.state("FAULT");
    assert_eq!(fault.reason, "link_virtual_mac", "{}", fault.line);
    assert!(fault.line.contains("there is an interface vrrp.51 already"), "{}", fault.line);
    assert!(lb01.ip(&["-d", "link", "show", "vrrp.51"]).contains("bridge"));
    lb01.ip(&["link", "del", "vrrp.51"]);
    engine.line("restored", |line| line.contains("FAULT BACKUP link_restored").then_some(()));
    until("lb01 serves", Duration::from_secs(5), || serves(&lb01));
    // Nobody can be the master of a MAC that is on another virtual router's interface of the same parent.
    engine.stop();
    lb01.ip(&["link", "add", "link", "ens33", "name", "mine", "address", MAC, "type", "macvlan"]);
    lb01.ip(&["link", "set", "mine", "up"]);
    let engine = start(&lb01, 150);
    let fault = engine.state("FAULT");
    let words = "cannot set vrrp.51 up: Address already in use";
    assert!(fault.reason == "link_virtual_mac" && fault.line.contains(words), "{}", fault.line);
    engine.stop();
    assert!(lb01.ip(&["link", "show", "mine"]).contains(MAC));
}

#[test]
fn what_may_not_be_set_is_a_fault_unless_it_is_so_already() {
    let (_lab, lb01, _lb02) = two_hosts();
    let file = lb01.file("keepalived.conf", &conf(150, "use_vmac"));
    let read_only = || {
        let mut command = lb01.command("sh");
        let script = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec \"$@\"";
        command.args(["-c", script, "sh"]).arg(engine()).arg(&file);
        Process::start(command, true)
    };
    let engine = read_only();
    let fault = engine.state("FAULT");
    let words = "cannot set /proc/sys/net/ipv4/conf/ens33/arp_ignore to 1: Read-only file system";
    assert!(fault.reason == "link_virtual_mac" && fault.line.contains(words), "{}", fault.line);
    lb01.sysctl("net.ipv4.conf.ens33.arp_ignore", "1");
    lb01.sysctl("net.ipv4.conf.ens33.arp_announce", "2");
    let set = [
        ("ipv4", "arp_ignore", "1"),
        ("ipv4", "accept_local", "1"),
        ("ipv4", "promote_secondaries", "1"),
        ("ipv6", "addr_gen_mode", "1"),
        ("ipv6", "accept_ra", "0"),
    ];
    for (protocol, key, value) in set {
        for interface in ["vrrp.51", "vrrp6.51"] {
            lb01.sysctl(&format!("net/{protocol}/conf/{interface}/{key}"), value);
        }
    }
    both(&engine, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || serves(&lb01));
    engine.stop();
    assert!(has_none(&lb01));
}

#[test]
fn a_virtual_mac_comes_and_goes_by_reload_without_a_transition() {
    let (mut lab, lb01, _lb02) = two_hosts();
    let client = lab.host6("client", "192.168.178.9/24", "2001:db8::9/64");
    let (plain, real) = (conf(150, ""), lb01.mac());
    let file = lb01.file("keepalived.conf", &plain);
    let mut engine = lb01.engine_with(&file);
    both(&engine, "MASTER");
    until("lb01 serves", Duration::from_secs(1), || lb01.has(VIP) && lb01.has(VIP6));
    let seen = client.tcpdump(&["-e"], "proto 112");
    let mut reload = |text: &str| {
        lb01.file("keepalived.conf", text);
        engine.say("reload");
        engine.line("reload", |line| {
            assert!(!line.starts_with("transition"), "{line}");
            line.starts_with("reloaded 2 changed").then_some(())
        });
        seen.drain();
        engine.drain()
    };
    let mut said = reload(&conf(150, "use_vmac"));
    until("it is on the virtual MAC", Duration::from_secs(1), || serves(&lb01) && !lb01.has(VIP));
    seen.line("advert", |line| line.contains(&format!("{MAC} > ")).then_some(()));
    assert_eq!([neighbour(&client, VIP), neighbour(&client, VIP6)], [MAC, MAC6]);
    said.extend(reload(&conf(150, "use_vmac\n    vmac_xmit_base")));
    seen.line("advert", |line| line.contains(&format!("{real} > ")).then_some(()));
    assert!(serves(&lb01));
    said.extend(reload(&plain));
    until("it is on the interface", Duration::from_secs(1), || {
        has_none(&lb01) && lb01.has(VIP) && lb01.has(VIP6)
    });
    assert_eq!([neighbour(&client, VIP), neighbour(&client, VIP6)], [real.clone(), real.clone()]);
    said.extend(engine.drain());
    assert!(!said.iter().any(|line| line.starts_with("transition")), "{said:#?}");
}
