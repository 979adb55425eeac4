//! The lab itself: does it do what the other tests believe?

use std::time::Duration;

use hafleet_tests::lab::{Direction, Lab, Probe, Segment, wait_for};

#[test]
fn a_client_measures_an_outage_and_who_serves() {
    let mut lab = Lab::new().unwrap();
    let one = lab.host("one", "192.168.178.130/24").unwrap();
    let two = lab.host("two", "192.168.178.131/24").unwrap();
    let client = lab.client("client", "192.168.178.10/24").unwrap();
    let (_one, _two) = (one.serve("192.168.178.3").unwrap(), two.serve("192.168.178.3").unwrap());
    let hold = ["addr", "add", "192.168.178.3/32", "dev", "ens33"];
    one.run("ip", &hold).unwrap();
    assert!(one.holds("192.168.178.3").unwrap() && !two.holds("192.168.178.3").unwrap());

    let probe = Probe::start(&client, "192.168.178.3").unwrap();
    one.run("ip", &["addr", "del", "192.168.178.3/32", "dev", "ens33"]).unwrap();
    // The client still has the first host's MAC: until it forgets that, its probes are lost.
    two.run("ip", &hold).unwrap();
    client.run("ip", &["neigh", "flush", "all"]).unwrap();
    probe.wait_for_server("two", Duration::from_secs(10)).unwrap();
    let outage = probe.finish().unwrap();
    assert_eq!(outage.served_by, ["one", "two"]);
    assert!(outage.lost > 0 && outage.longest_gap_ms > 1.0, "{outage:?}");
}

#[test]
fn faults_do_what_they_say() {
    let mut lab = Lab::new().unwrap();
    let one = lab.host("one", "192.168.178.130/24").unwrap();
    let two = lab.host("two", "192.168.178.131/24").unwrap();
    let reachable = |address: &str| one.run("ping", &["-c", "1", "-W", "1", address]).is_ok();
    assert!(reachable("192.168.178.131") && reachable(&two.management_address()));

    one.drop_vrrp(Direction::Both).unwrap();
    assert!(reachable("192.168.178.131"), "only protocol 112 is dropped");
    one.pass_vrrp().unwrap();

    two.isolate(Segment::Service).unwrap();
    assert!(!reachable("192.168.178.131") && reachable(&two.management_address()));
    let carrier = || two.run("cat", &["/sys/class/net/ens33/carrier"]).unwrap();
    assert_eq!(carrier().trim(), "1", "isolation keeps the carrier");
    two.rejoin(Segment::Service).unwrap();
    wait_for("the way back", Duration::from_secs(5), || Ok(reachable("192.168.178.131").then_some(())))
        .unwrap();

    two.unplug(Segment::Service).unwrap();
    wait_for("loss of carrier", Duration::from_secs(5), || Ok((carrier().trim() == "0").then_some(())))
        .unwrap();
    two.plug(Segment::Service).unwrap();
    wait_for("the way back", Duration::from_secs(5), || Ok(reachable("192.168.178.131").then_some(())))
        .unwrap();
}
