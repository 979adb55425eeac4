//! Heartbeats on more than one line.

use std::time::Duration;

use super::lab::{Host, Lab, Process, pause, until};

/// `VI_1` with a second line, and what else it says.
fn with(priority: u8, vips: &str, more: &str) -> String {
    format!(
        "[[instance]]\nname = \"VI_1\"\ninterface = \"ens33\"\nvrid = 51\npriority = {priority}\n\
         advert_interval = \"100ms\"\nvips = [{vips}]\npaths = [{{ interface = \"hb0\" }}]\n{more}\n"
    )
}

const V4: &str = "{ address = \"192.168.178.3/24\" }";
const V6: &str = "{ address = \"fe80::5:1/64\" }, { address = \"2001:db8::100/64\" }";
/// At 100 ms and priority 100.
const MASTER_DOWN: Duration = Duration::from_millis(361);

fn two_hosts(lab: &mut Lab) -> [Host; 2] {
    [130, 131].map(|number| {
        let (v4, v6) = (format!("192.168.178.{number}/24"), format!("2001:db8::{number}/64"));
        let host = lab.host6(&format!("lb{number}"), &v4, &v6);
        host.add_line("br1", &format!("10.9.0.{number}/24"));
        host
    })
}

fn snapshot(engine: &mut Process) -> Vec<String> {
    engine.say("snapshot");
    let mut lines = Vec::new();
    engine.line("a snapshot", |line| {
        lines.push(line.to_owned());
        (line == "end").then_some(())
    });
    lines
}

fn transitions(engine: &Process) -> Vec<String> {
    engine.drain().into_iter().filter(|line| line.starts_with("transition")).collect()
}

/// The service segment is cut; the second line, which has its own source, keeps the backup where it is.
fn the_second_line_keeps_the_backup_back(vips: &str, (dev, vip): (&str, &str), source: &str) {
    let mut lab = Lab::new();
    let [one, two] = two_hosts(&mut lab);
    let master = one.engine(&with(150, vips, source));
    master.state("MASTER");
    let backup = two.engine(&with(100, vips, ""));
    backup.state("BACKUP");
    two.isolate();
    pause(MASTER_DOWN * 8);
    assert_eq!(transitions(&backup), [""; 0]);
    assert!(one.has_on(dev, vip) && !two.has(vip));

    // Killed and cleaned up after: priority 0 by the one line that is left.
    master.kill();
    one.release(&with(150, vips, source));
    assert_eq!(backup.state("MASTER").reason, "master_resigned");
}

#[test]
fn the_second_line_keeps_the_backup_back_v4() {
    the_second_line_keeps_the_backup_back(V4, ("ens33", "192.168.178.3"), "source = \"192.168.178.130\"");
}

#[test]
fn the_second_line_keeps_the_backup_back_v6() {
    the_second_line_keeps_the_backup_back(V6, ("ens33", "2001:db8::100"), "");
}

/// With a virtual MAC adverts on the service interface go out from another interface; those of the second line do not.
#[test]
fn the_second_line_keeps_the_backup_back_of_a_virtual_mac() {
    the_second_line_keeps_the_backup_back(V4, ("vrrp.51", "192.168.178.3"), "vmac = true");
}

/// On each line adverts come from that line's own address, with TTL 255; `source` is the service interface's.
#[test]
fn each_line_has_its_own_source() {
    let mut lab = Lab::new();
    let [one, two] = two_hosts(&mut lab);
    one.ip(&["addr", "add", "192.168.178.140/24", "dev", "ens33"]);
    let _master = one.engine(&with(150, V4, "source = \"192.168.178.140\""));
    for (interface, source) in [("ens33", "192.168.178.140"), ("hb0", "10.9.0.130")] {
        let heard = two.tcpdump(&["-v", "-i", interface], "ip proto 112");
        heard.line("TTL 255", |line| line.contains("ttl 255").then_some(()));
        heard.line(source, |line| line.contains(&format!("{source} > 224.0.0.18")).then_some(()));
    }
}

/// Both interfaces are on one segment: the master hears its own adverts, from an address above that of the line they come on. Over
/// IPv4 the kernel drops what comes from an address of its own, unless it is told otherwise.
#[test]
fn a_host_that_hears_itself_is_no_other_master() {
    for vips in [V4, V6] {
        let mut lab = Lab::new();
        let one = lab.host6("lb01", "192.168.178.130/24", "2001:db8::130/64");
        one.add_line("br0", "10.9.0.130/24");
        one.sysctl("net.ipv4.conf.all.accept_local", "1");
        one.sysctl("net.ipv4.conf.all.rp_filter", "0");
        let mut master = one.engine(&with(100, vips, ""));
        master.state("MASTER");
        pause(MASTER_DOWN * 5);
        assert_eq!(transitions(&master), [""; 0]);
        let heard = snapshot(&mut master);
        let own = heard.iter().filter(|line| line.contains("own_line"));
        assert!(own.count() > 0, "{heard:#?}");
    }
}

/// The second line loses its address, its carrier and its interface, and works again, under a master and a backup that stay.
#[test]
fn a_line_may_have_no_address_and_no_carrier() {
    let mut lab = Lab::new();
    let [one, two] = two_hosts(&mut lab);
    let master = one.engine(&with(150, V4, ""));
    master.state("MASTER");
    let mut backup = two.engine(&with(100, V4, ""));
    backup.state("BACKUP");
    one.ip(&["addr", "flush", "dev", "hb0"]);
    two.ip(&["link", "set", "hb0", "down"]);
    pause(MASTER_DOWN * 3);
    one.ip(&["addr", "add", "10.9.0.130/24", "dev", "hb0"]);
    two.ip(&["link", "del", "hb0"]);
    pause(MASTER_DOWN * 3);
    two.add_line("br1", "10.9.0.131/24");
    until("the new interface hears", Duration::from_secs(5), || {
        snapshot(&mut backup).iter().any(|line| line.starts_with("heard hb0 51 10.9.0.130"))
    });
    assert_eq!((transitions(&master), transitions(&backup)), (Vec::new(), Vec::new()));
}
