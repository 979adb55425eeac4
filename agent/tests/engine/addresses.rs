//! What the kernel is told, and that it stays so.

use std::time::Duration;

use super::{
    config,
    lab::{Host, Lab, pause, until},
};

/// All ways to write an address that the tutorial uses, and a plain one.
const KEEPALIVED_CONF: &str = "
global_defs {
    router_id lb01
}
vrrp_instance VI_1 {
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority 150
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        192.168.178.3/24 dev ens33 label ens33:3
        192.168.178.4 dev ens33 label ens33:4
        192.168.178.5/24
        10.20.30.40/24 brd 10.20.30.255 dev ens33 scope link
    }
}
";

fn lb01() -> (Lab, Host) {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    (lab, host)
}

#[test]
fn the_kernel_shows_the_very_lines_of_keepalived() {
    let lines_of = |host: &Host| {
        until("five addresses", Duration::from_secs(10), || host.inet().len() == 5);
        host.inet()
    };
    let (_lab, host) = lb01();
    let keepalived = host.keepalived(KEEPALIVED_CONF);
    let theirs = lines_of(&host);
    drop(keepalived);

    let (_lab, host) = lb01();
    let conf = host.file("keepalived.conf", KEEPALIVED_CONF);
    let engine = host.engine_with(&conf);
    let ours = lines_of(&host);
    assert_eq!(ours.iter().filter(|line| line.contains(" dynamic ")).count(), 4, "{ours:#?}");
    let without_lease: Vec<String> = ours.iter().map(|line| line.replace(" dynamic", "")).collect();
    assert_eq!(without_lease, theirs);
    engine.stop();
    assert_eq!(host.inet().len(), 1);

    // keepalived's way altogether.
    let engine = host.engine(
        r#"
[[instance]]
name = "VI_1"
interface = "ens33"
vrid = 51
lease = "off"
vips = [{ address = "192.168.178.3/24", label = "ens33:3" }, { address = "192.168.178.4", label = "ens33:4" }]
"#,
    );
    until("three addresses", Duration::from_secs(10), || host.inet().len() == 3);
    assert!(host.inet().iter().all(|line| theirs.contains(line)), "{:#?}", host.inet());
    drop(engine);
    pause(Duration::from_millis(3_500));
    assert_eq!(host.inet().len(), 3, "without a lease the kernel keeps them");
}

#[test]
fn renewals_keep_the_address_in_place() {
    let (_lab, host) = lb01();
    let engine = host.engine(&config(150));
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || host.has("192.168.178.3"));
    let mut command = host.command("ip");
    command.args(["-4", "monitor", "address"]);
    let monitor = super::lab::Process::start(command, true);
    // Four renewals, a second apart.
    for _ in 0..4 {
        monitor.line_within("a renewal", Duration::from_secs(2), |line| {
            assert!(!line.contains("Deleted"), "{line}");
            line.contains("192.168.178.3/24 scope global secondary dynamic ens33:3").then_some(())
        });
    }
    assert!(engine.drain().is_empty(), "nothing to report");
}

#[test]
fn an_address_that_somebody_removes_is_back_at_once_and_alone() {
    let (_lab, host) = lb01();
    let two = config(150).replace("vips = [", "vips = [{ address = \"192.168.178.4/24\" }, ");
    let engine = host.engine(&two);
    engine.state("MASTER");
    until("both are there", Duration::from_secs(1), || {
        host.has("192.168.178.3") && host.has("192.168.178.4")
    });
    let mut command = host.command("ip");
    command.args(["-4", "monitor", "address"]);
    let monitor = super::lab::Process::start(command, true);
    monitor.line("a renewal", |_| Some(()));
    host.ip(&["addr", "del", "192.168.178.3/24", "dev", "ens33"]);
    let took = until("it is back", Duration::from_millis(500), || host.has("192.168.178.3"));
    eprintln!("removed by hand: back after {took:?} at the latest");
    engine.line("report", |line| {
        assert!(!line.starts_with("transition"), "{line}");
        line.contains("192.168.178.3/24 repaired").then_some(())
    });
    monitor.line("the removal", |line| {
        line.contains("Deleted").then(|| assert!(line.contains(".3/24"), "{line}"))
    });
    assert!(!monitor.drain().iter().any(|line| line.contains("Deleted")));
}

#[test]
fn what_a_dead_engine_left_behind_is_removed_by_one_that_cannot_serve() {
    let (_lab, host) = lb01();
    host.ip(&["addr", "add", "192.168.178.3/24", "dev", "ens33", "label", "ens33:3"]);
    host.carrier(false);
    let engine = host.engine(&config(150));
    assert_eq!(engine.state("FAULT").reason, "link_no_carrier");
    until("it is gone", Duration::from_millis(500), || !host.has("192.168.178.3"));
    host.carrier(true);
    engine.state("MASTER");
    until("it is ours", Duration::from_millis(500), || host.has("192.168.178.3"));
}

#[test]
fn release_removes_what_is_there_tells_the_peers_and_is_idempotent() {
    let (_lab, host) = lb01();
    let config = config(150);
    assert_eq!(host.release(&config), "");
    host.ip(&["addr", "add", "192.168.178.3/24", "dev", "ens33", "label", "ens33:3"]);
    let capture = host.tcpdump(&["-v"], "proto 112");
    assert_eq!(host.release(&config), "released VI_1 [\"192.168.178.3/24\"] []\n");
    assert!(!host.has("192.168.178.3"));
    capture.line("priority 0", |line| {
        let told = line.contains(
            "192.168.178.130 > 224.0.0.18: VRRPv2, Advertisement, vrid 51, prio 0, authtype simple",
        );
        told.then_some(())
    });
    assert_eq!(host.release(&config), "");
    pause(Duration::from_millis(200));
    assert!(capture.drain().is_empty(), "nothing was there, nothing is said");
}

#[test]
fn an_address_that_the_kernel_refuses_is_a_fault_with_its_words() {
    let (_lab, host) = lb01();
    // An MTU below 68 takes IPv4 off an interface altogether: the kernel answers ENOBUFS.
    host.ip(&["link", "set", "lo", "mtu", "60"]);
    let config =
        config(150).replace("vips = [", "vips = [{ address = \"192.168.178.4/32\", dev = \"lo\" }, ");
    let engine = host.engine(&config);
    let capture = host.tcpdump(&["-v"], "proto 112");
    engine.state("MASTER");
    let refused =
        engine.line("refusal", |line| line.contains("192.168.178.4/32 refused").then(|| line.to_owned()));
    assert!(refused.contains("No buffer space available"), "{refused}");
    let fault = engine.state("FAULT");
    assert_eq!(fault.reason, "address_refused", "{}", fault.line);
    until("nothing is held", Duration::from_millis(500), || !host.has("192.168.178.3"));
    capture.line("priority 0", |line| line.contains("prio 0").then_some(()));
    host.ip(&["link", "set", "lo", "mtu", "65536"]);
    engine.state("MASTER");
    until("all is held", Duration::from_millis(500), || host.has("192.168.178.3"));
}

#[test]
fn the_host_s_own_address_is_never_removed_because_a_vip_names_it() {
    let (_lab, host) = lb01();
    let config = |priority: u8, prefix: &str| {
        config(priority).replace("192.168.178.3/24\", label = \"ens33:3", &format!("192.168.178.130{prefix}"))
    };
    for prefix in ["/24", ""] {
        let engine = host.engine(&config(100, prefix));
        let fault = engine.state("FAULT");
        assert_eq!(fault.reason, "link_only_virtual", "{}", fault.line);
        assert!(fault.line.contains("take it out of the virtual addresses"), "{}", fault.line);
        // Truth comes every second.
        pause(Duration::from_millis(2_200));
        assert!(host.has("192.168.178.130"));
        engine.stop();
        assert_eq!(host.release(&config(100, prefix)), "");
        assert!(host.has("192.168.178.130"));
    }
    // The owner serves it, whatever prefix length the configuration names.
    for prefix in ["/24", ""] {
        let before = host.inet();
        let engine = host.engine(&config(255, prefix));
        let master = engine.state("MASTER");
        assert_eq!(master.reason, "address_owner", "{}", master.line);
        pause(Duration::from_millis(2_200));
        assert_eq!(host.inet(), before);
        assert!(engine.drain().is_empty());
        engine.stop();
        assert_eq!(host.inet(), before);
    }
}
