//! Links and interfaces that fail and return.

use std::time::Duration;

use super::{
    config,
    lab::{Lab, until},
};

const VIP: &str = "192.168.178.3";

#[test]
fn a_cut_cable_is_a_fault_at_once_and_the_peer_takes_over() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let first = lb01.engine(&config(150));
    let second = lb02.engine(&config(100));
    first.state("MASTER");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.has(VIP));
    lb01.carrier(false);
    let fault = first.state("FAULT");
    assert_eq!(fault.reason, "link_no_carrier", "{}", fault.line);
    until("the VIP left lb01", Duration::from_millis(500), || !lb01.has(VIP));
    let taken = second.state("MASTER");
    // Silence from the last advert on: 3 intervals and the skew, less at most the interval since that advert.
    let took = Duration::from_micros(taken.mono_us - fault.mono_us);
    assert!((2_600..3_700).contains(&took.as_millis()), "{took:?}");
    lb01.carrier(true);
    assert_eq!(first.state("BACKUP").reason, "link_restored");
    first.state("MASTER");
    second.state("BACKUP");
    until("the VIP is back on lb01", Duration::from_secs(1), || lb01.has(VIP) && !lb02.has(VIP));
}

#[test]
fn an_interface_that_is_shut_renamed_emptied_or_made_again_recovers_by_itself() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    let engine = host.engine(&config(150));
    engine.state("MASTER");
    let fails_and_returns = |reason: &str, fail: &dyn Fn(), restore: &dyn Fn()| {
        fail();
        let fault = engine.state("FAULT");
        assert_eq!(fault.reason, reason, "{}", fault.line);
        restore();
        engine.state("BACKUP");
        engine.state("MASTER");
        until("the VIP is there", Duration::from_secs(1), || host.has(VIP));
    };
    fails_and_returns("link_admin_down", &|| drop(host.ip(&["link", "set", "ens33", "down"])), &|| {
        host.ip(&["link", "set", "ens33", "up"]);
    });
    fails_and_returns(
        "link_no_address",
        &|| drop(host.ip(&["addr", "del", "192.168.178.130/24", "dev", "ens33"])),
        &|| {
            host.ip(&["addr", "add", "192.168.178.130/24", "brd", "+", "dev", "ens33"]);
        },
    );
    fails_and_returns(
        // A deleted interface goes down first.
        "link_admin_down",
        &|| {
            // A name cannot change while the interface is up on older kernels.
            host.ip(&["link", "set", "ens33", "down"]);
            engine.state("FAULT");
            host.ip(&["link", "set", "ens33", "name", "other0"]);
            host.ip(&["link", "set", "other0", "name", "ens33"]);
            host.ip(&["link", "set", "ens33", "up"]);
            engine.state("MASTER");
            host.ip(&["link", "del", "ens33"]);
        },
        &|| {
            host.plug_in();
            host.ip(&["addr", "add", "192.168.178.130/24", "brd", "+", "dev", "ens33"]);
        },
    );
}

#[test]
fn an_interface_that_does_not_exist_yet_is_waited_for() {
    let mut lab = Lab::new();
    let host = lab.bare_host("lb01");
    let engine = host.engine(&config(150));
    assert_eq!(engine.state("FAULT").reason, "link_missing");
    host.plug_in();
    host.ip(&["addr", "add", "192.168.178.130/24", "brd", "+", "dev", "ens33"]);
    assert_eq!(engine.state("BACKUP").reason, "link_restored");
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || host.has(VIP));
}

#[test]
fn an_address_without_a_lease_does_not_stay_on_an_interface_that_is_renamed() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    let engine = host.engine(&format!("{}lease = \"off\"\n", config(150)));
    let here = |interface: &str| host.ip(&["addr", "show", "dev", interface]).contains("192.168.178.3/24");
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || here("ens33"));
    // Up as it is, which kernels since 6.2 allow.
    host.ip(&["link", "set", "ens33", "name", "other0"]);
    assert_eq!(engine.state("FAULT").reason, "link_missing");
    until("it is gone", Duration::from_secs(1), || !here("other0"));
    host.ip(&["link", "set", "other0", "name", "ens33"]);
    engine.state("MASTER");
    until("the VIP is back", Duration::from_secs(1), || here("ens33"));
}
