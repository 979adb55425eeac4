//! Another configuration while the engine runs, and an engine that starts where its addresses are.

use std::time::Duration;

use super::{
    config,
    lab::{Host, Lab, Process, pause, until},
};

/// `VI_1` with these addresses, and what else an instance says.
fn with(priority: u8, addresses: &[&str], more: &str) -> String {
    let vips: Vec<String> =
        addresses.iter().map(|address| format!("{{ address = \"{address}/24\" }}")).collect();
    format!(
        "[[instance]]\nname = \"VI_1\"\ninterface = \"ens33\"\nvrid = 51\npriority = {priority}\n\
         advert_interval = \"100ms\"\nvips = [{}]\n{more}\n",
        vips.join(", ")
    )
}

fn reload(host: &Host, engine: &mut Process, config: &str) -> String {
    host.file("agent.toml", config);
    engine.say("reload");
    engine.line("the answer", |line| line.strip_prefix("reloaded ").map(str::to_owned))
}

fn transitions(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("transition")).collect()
}

#[test]
fn addresses_are_added_and_removed_under_a_master_that_stays() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let mut master = lb01.engine(&with(150, &["192.168.178.3", "192.168.178.4"], ""));
    master.state("MASTER");
    let backup = lb02.engine(&with(100, &["192.168.178.3", "192.168.178.4"], ""));
    backup.state("BACKUP");
    until("both addresses", Duration::from_secs(1), || {
        lb01.has("192.168.178.3") && lb01.has("192.168.178.4")
    });
    // Whatever happens to 192.168.178.3, the kernel tells.
    let mut monitor = lb01.command("ip");
    monitor.args(["monitor", "address"]);
    let monitor = Process::start(monitor, false);
    let client = lb02.tcpdump(&["-e"], "arp and src host 192.168.178.5");
    let said = reload(&lb01, &mut master, &with(150, &["192.168.178.3", "192.168.178.5"], ""));
    assert_eq!(said, "1 changed (VI_1), 0 unchanged");
    client.line("an announcement of the new address", |line| line.contains("192.168.178.5").then_some(()));
    until("the old address is gone", Duration::from_secs(1), || !lb01.has("192.168.178.4"));
    assert!(lb01.has("192.168.178.5"));
    assert_eq!(
        reload(&lb01, &mut master, &with(150, &["192.168.178.3", "192.168.178.5"], "")),
        "1 unchanged"
    );
    // Past the lease that was in force: its renewals go on.
    pause(Duration::from_secs(4));
    let removed: Vec<String> =
        monitor.drain().into_iter().filter(|line| line.starts_with("Deleted")).collect();
    assert!(removed.iter().all(|line| !line.contains("192.168.178.3/")), "{removed:?}");
    assert_eq!(transitions(&master.drain()), [""; 0]);
    assert_eq!(transitions(&backup.drain()), [""; 0]);
}

#[test]
fn a_lower_priority_hands_over_and_a_higher_one_takes_back() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let mut one = lb01.engine(&with(150, &["192.168.178.3"], ""));
    one.state("MASTER");
    let two = lb02.engine(&with(100, &["192.168.178.3"], ""));
    two.state("BACKUP");
    reload(&lb01, &mut one, &with(50, &["192.168.178.3"], ""));
    assert_eq!(two.state("MASTER").reason, "preempted");
    assert_eq!(one.state("BACKUP").reason, "higher_priority_heard");
    reload(&lb01, &mut one, &with(150, &["192.168.178.3"], ""));
    assert_eq!(one.state("MASTER").reason, "preempted");
}

#[test]
fn instances_come_and_go_and_the_others_do_not_notice() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let first = with(150, &["192.168.178.3"], "");
    let second = with(150, &["192.168.178.9"], "").replace("VI_1", "VI_2").replace("vrid = 51", "vrid = 52");
    let mut engine = lb01.engine(&first);
    engine.state("MASTER");
    let adverts = lb01.tcpdump(&["-tt"], "proto 112 and ip[21] = 51");
    assert_eq!(reload(&lb01, &mut engine, &format!("{first}{second}")), "1 started (VI_2), 1 unchanged");
    let lines = engine.line("VI_2 is MASTER", |line| {
        assert!(!line.starts_with("transition VI_1"), "{line}");
        line.starts_with("transition VI_2 BACKUP MASTER").then(|| line.to_owned())
    });
    assert!(lines.contains("master_down"), "{lines}");
    until("its address", Duration::from_secs(1), || lb01.has("192.168.178.9"));
    assert_eq!(reload(&lb01, &mut engine, &first), "1 stopped (VI_2), 1 unchanged");
    until("its address is gone", Duration::from_secs(1), || !lb01.has("192.168.178.9"));
    // The same again finds its slot free; renamed, it goes on as the same router.
    assert_eq!(reload(&lb01, &mut engine, &format!("{first}{second}")), "1 started (VI_2), 1 unchanged");
    engine.line("VI_2 again", |line| line.starts_with("transition VI_2 BACKUP MASTER").then_some(()));
    // A slot that was used before has nothing left to wait for: the engine sleeps.
    let before = engine.cpu_ticks();
    pause(Duration::from_secs(4));
    let ticks = engine.cpu_ticks() - before;
    assert!(ticks < 40, "{ticks} ticks of 10 ms in 4 s");
    let renamed = second.replace("VI_2", "VI_B");
    assert_eq!(reload(&lb01, &mut engine, &format!("{first}{renamed}")), "1 changed (VI_B), 1 unchanged");
    assert!(lb01.has("192.168.178.9"));
    // The other one's adverts kept their time through all of it.
    let times: Vec<f64> =
        adverts.drain().iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert!(times.len() > 10, "{times:?}");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(longest < 0.2, "{longest} s between adverts of 0.1 s");
}

#[test]
fn a_new_label_or_device_is_applied_in_place() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let mut engine = lb01.engine(&config(150));
    engine.state("MASTER");
    until("the label", Duration::from_secs(1), || lb01.inet().iter().any(|line| line.ends_with("ens33:3")));
    reload(&lb01, &mut engine, &config(150).replace("ens33:3", "ens33:7"));
    until("the new label", Duration::from_secs(1), || {
        lb01.inet().iter().any(|line| line.ends_with("ens33:7"))
    });
    assert_eq!(transitions(&engine.drain()), [""; 0]);
}

#[test]
fn a_restarted_engine_keeps_its_addresses_and_the_peer_notices_nothing() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let first = lb01.engine(&config(150));
    first.state("MASTER");
    let peer = lb02.engine(&config(100));
    peer.state("BACKUP");
    until("the address", Duration::from_secs(1), || lb01.has("192.168.178.3"));
    let mut monitor = lb01.command("ip");
    monitor.args(["monitor", "address"]);
    let monitor = Process::start(monitor, false);
    first.kill();
    let second = lb01.engine(&config(150));
    let adopted = second.state("MASTER");
    assert_eq!(adopted.reason, "adopted");
    // Past the first one's lease, and past the peer's Master_Down.
    pause(Duration::from_secs(5));
    assert!(lb01.has("192.168.178.3"));
    let removed: Vec<String> =
        monitor.drain().into_iter().filter(|line| line.starts_with("Deleted")).collect();
    assert_eq!(removed, [""; 0]);
    assert_eq!(transitions(&peer.drain()), [""; 0]);
    assert_eq!(transitions(&second.drain()), [""; 0]);
}

#[test]
fn a_restarted_engine_yields_to_a_better_master_at_once() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let permanent = config(100).replace("version = 2", "version = 2\nlease = \"off\"");
    let first = lb01.engine(&permanent);
    first.state("MASTER");
    until("the address", Duration::from_secs(1), || lb01.has("192.168.178.3"));
    first.kill();
    let better = lb02.engine(&config(150));
    better.state("MASTER");
    assert!(lb01.has("192.168.178.3"), "left behind: there is no lease");
    let second = lb01.engine(&permanent);
    assert_eq!(second.state("MASTER").reason, "adopted");
    assert_eq!(second.state("BACKUP").reason, "higher_priority_heard");
    until("it is gone", Duration::from_secs(1), || !lb01.has("192.168.178.3"));
    assert_eq!(transitions(&better.drain()), [""; 0]);
}
#[test]
fn a_checks_result_moves_the_priority_or_stops_the_instance() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    lb01.ip(&["link", "add", "eth1", "type", "veth", "peer", "name", "eth1p"]);
    for name in ["eth1", "eth1p"] {
        lb01.ip(&["link", "set", name, "up"]);
    }
    let tracking = with(150, &["192.168.178.3"], "track = [{ interface = \"eth1\" }]");
    let engine = lb01.engine(&tracking);
    engine.state("MASTER");
    lb01.ip(&["link", "set", "eth1p", "down"]);
    let fault = engine.state("FAULT");
    assert_eq!(fault.reason, "track_failed", "{}", fault.line);
    until("the address is gone", Duration::from_secs(1), || !lb01.has("192.168.178.3"));
    lb01.ip(&["link", "set", "eth1p", "up"]);
    assert_eq!(engine.state("BACKUP").reason, "tracks_restored");
    engine.state("MASTER");
}

/// What is the host's own is never removed, whatever a configuration said of it before.
#[test]
fn the_host_s_own_address_survives_being_configured_by_mistake() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let good = with(150, &["192.168.178.3"], "");
    let other = with(150, &["192.168.178.9"], "").replace("VI_1", "VI_2").replace("vrid = 51", "vrid = 52");
    // A MASTER is told to hold the host's only address: FAULT, and the address is left alone.
    let mut engine = lb01.engine(&format!("{other}{good}"));
    until("both", Duration::from_secs(5), || lb01.has("192.168.178.3") && lb01.has("192.168.178.9"));
    let wrong = with(150, &["192.168.178.3", "192.168.178.130"], "");
    reload(&lb01, &mut engine, &format!("{other}{wrong}"));
    engine.line("FAULT", |line| line.starts_with("transition VI_1 MASTER FAULT").then_some(()));
    pause(Duration::from_millis(1500));
    assert!(lb01.has("192.168.178.130"), "{:?}", lb01.inet());
    // The mistake is corrected: still there.
    reload(&lb01, &mut engine, &format!("{other}{good}"));
    pause(Duration::from_millis(1500));
    let own = "inet 192.168.178.130/24 brd 192.168.178.255 scope global ens33";
    assert!(lb01.inet().iter().any(|line| line == own), "{:?}", lb01.inet());
    // The owner's address stays with the host when the owner goes.
    let owner = with(255, &["192.168.178.130"], "").replace("100ms", "1s");
    reload(&lb01, &mut engine, &format!("{other}{owner}"));
    pause(Duration::from_millis(1500));
    reload(&lb01, &mut engine, &other);
    pause(Duration::from_millis(1500));
    assert!(lb01.inet().iter().any(|line| line == own), "{:?}", lb01.inet());
}

#[test]
fn an_address_that_passes_to_another_instance_and_a_shorter_lease_are_no_loss() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let second = |addresses: &[&str]| {
        with(150, addresses, "").replace("VI_1", "VI_2").replace("vrid = 51", "vrid = 52")
    };
    let both = |one: &[&str], two: &[&str]| format!("{}{}", with(150, one, ""), second(two));
    let (a, b, c) = ("192.168.178.3", "192.168.178.4", "192.168.178.5");
    let mut engine = lb01.engine(&both(&[a], &[b, c]));
    until("all three", Duration::from_secs(5), || [a, b, c].iter().all(|address| lb01.has(address)));
    reload(&lb01, &mut engine, &both(&[a, b], &[c]));
    pause(Duration::from_millis(1500));
    reload(&lb01, &mut engine, &both(&[c, b], &[a]));
    pause(Duration::from_millis(1500));
    assert!([a, b, c].iter().all(|address| lb01.has(address)), "{:?}", lb01.inet());
    let long = both(&[c, b], &[a]).replace("[[instance]]", "[[instance]]\nlease = \"60s\"");
    reload(&lb01, &mut engine, &long);
    pause(Duration::from_secs(4));
    reload(&lb01, &mut engine, &both(&[c, b], &[a]));
    pause(Duration::from_secs(4));
    assert!([a, b, c].iter().all(|address| lb01.has(address)), "{:?}", lb01.inet());
    let told = engine.drain();
    let odd: Vec<&String> =
        told.iter().filter(|line| line.starts_with("address") || line.contains("FAULT")).collect();
    assert!(odd.is_empty(), "{odd:?}");
}
