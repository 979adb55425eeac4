//! What a planned move costs a client, beside what stopping keepalived costs it in the same run.
//!
//! Two clients ask at once. One asks every millisecond and measures how long nobody answered. The other asks every 10 ms and counts
//! what it lost: that is the interval at which "an outage of at most 10 ms" and "zero or one lost probe" say the same. (At a probe a
//! millisecond an outage of 10 ms is ten lost probes; at one a second none would be seen.)

use std::time::Duration;

use hafleet_tests::lab::{Daemon, Instance, Kind, Lab, Outage, Probe, wait_for};

use crate::fleet::{Fleet, SOON, VIP, configuration};

const MOVES: usize = 5;
const STOPS: usize = 3;
/// Judged: the longest outage of a planned move, and the interval of the client that loses at most one probe by it.
const LONGEST_MS: f64 = 10.0;
const ASKS_EVERY_MS: u32 = 10;

fn median(outages: &[Outage]) -> f64 {
    let mut gaps: Vec<f64> = outages.iter().map(|outage| outage.longest_gap_ms).collect();
    gaps.sort_by(f64::total_cmp);
    gaps[gaps.len() / 2]
}

/// Both at 1 s adverts, everything that is measured or measures in real time: what else the machine does is not the question.
#[test]
fn a_switchover_costs_a_client_ten_milliseconds_at_most() {
    let fleet =
        Fleet::start_in(Lab::new().unwrap(), &[150, 100], None, configuration, |host| host.in_real_time());
    let echoes: Vec<_> = fleet.hosts.iter().map(|host| host.serve(VIP).unwrap()).collect();
    let (mut fine, mut coarse) = (Vec::new(), Vec::new());
    for number in 0..MOVES {
        let to = ["lb02", "lb01"][number % 2];
        let probe = Probe::start(&fleet.client, VIP).unwrap();
        let asks = Probe::start_every(&fleet.client, VIP, ASKS_EVERY_MS).unwrap();
        let moved = fleet.coordinator.hactl(&["switchover", "web", "--to", to]).unwrap();
        assert!(moved.status.success(), "{moved:?}");
        probe.wait_for_server(to, SOON).unwrap();
        asks.wait_for_server(to, SOON).unwrap();
        fleet.wait_for_holder(Some(to));
        let (outage, asked) = (probe.finish().unwrap(), asks.finish().unwrap());
        println!(
            "switchover {number} to {to}: {:.1} ms; at {ASKS_EVERY_MS} ms {} lost",
            outage.longest_gap_ms, asked.lost
        );
        fine.push(outage);
        coarse.push(asked);
    }
    drop(echoes);
    drop(fleet);
    let stopped = keepalived_is_stopped();
    let (ours, theirs) = (median(&fine), median(&stopped));
    println!(
        "median of {MOVES} switchovers {ours:.1} ms, of {STOPS} stops of keepalived {theirs:.1} ms: ratio {:.3}",
        ours / theirs
    );
    assert!(ours <= LONGEST_MS, "{fine:#?}");
    assert!(coarse.iter().all(|asked| asked.lost <= 1), "{coarse:#?}");
    assert!(coarse.iter().all(|asked| asked.sent > 10), "nothing was asked: {coarse:#?}");
    assert!(ours < theirs / 10.0, "{ours} ms and {theirs} ms");
}

/// keepalived with the same two priorities and the same interval gets SIGTERM on the master.
fn keepalived_is_stopped() -> Vec<Outage> {
    let mut lab = Lab::new().unwrap();
    let hosts = [("lb01", 130, 150), ("lb02", 131, 100)].map(|(name, number, priority)| {
        let host = lab.host(name, &format!("192.168.178.{number}/24")).unwrap().in_real_time();
        let instance = Instance {
            priority,
            interval: Duration::from_secs(1),
            vips: vec![format!("{VIP}/24")],
            ..Instance::default()
        };
        (host, [instance])
    });
    let client = lab.client("client", "192.168.178.10/24").unwrap().in_real_time();
    let echoes: Vec<_> = hosts.iter().map(|(host, _)| host.serve(VIP).unwrap()).collect();
    let [(first, better), (second, worse)] = &hosts;
    let _backup = Daemon::start(Kind::Keepalived, second, worse).unwrap();
    let outages = (0..STOPS).map(|number| {
        let master = Daemon::start(Kind::Keepalived, first, better).unwrap();
        wait_for("lb01 alone to hold it", SOON, || {
            Ok((first.holds(VIP)? && !second.holds(VIP)?).then_some(()))
        })
        .unwrap();
        let probe = Probe::start(&client, VIP).unwrap();
        probe.wait_for_server("lb01", SOON).unwrap();
        master.stop().unwrap();
        probe.wait_for_server("lb02", SOON).unwrap();
        let outage = probe.finish().unwrap();
        println!("stop {number} of keepalived: {:.1} ms", outage.longest_gap_ms);
        outage
    });
    let outages = outages.collect();
    drop(echoes);
    outages
}
