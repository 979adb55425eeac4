//! The second half of S24: the wall clock is set while ours runs. Debian's libfaketime sets it for the agent alone.

use std::{fs, path::PathBuf, time::Duration};

use hafleet_tests::lab::{Instance, Kind, wait_for};

use crate::{
    pair::{Cast, Node, Pair, SOON, WAKE, longest_gap, moment},
    report::Report,
};

/// Debian's library, whatever the machine.
fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("libfaketime is installed: run tests/setup test")
}

/// Sets the agent's wall clock forward or back.
fn set(node: &Node, step: &str) {
    let (new, file) = (node.host.write("clock.new", step).unwrap(), node.host.directory().join("clock"));
    fs::rename(new, file).unwrap();
}

fn steps(cast: Cast) {
    let ours_at = usize::from(!cast.higher.is_ours());
    let mut report = Report::new(
        "S24",
        cast,
        "100 ms: the wall clock of ours is set: a day on, an hour back, ten years on",
    );
    let mut pair = Pair::new(
        (cast.higher, Instance { priority: 150, ..Instance::default() }),
        (cast.lower, Instance::default()),
    );
    let host = &pair.nodes[ours_at].host;
    let file = host.write("clock", "+0").unwrap();
    pair.nodes[ours_at].host = host
        .in_environment("LD_PRELOAD", libfaketime().to_str().unwrap())
        .in_environment("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
        .in_environment("FAKETIME_NO_CACHE", "1")
        .in_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    for node in &mut pair.nodes {
        node.start();
    }
    pair.wait_for_holder(0);
    pair.watch_for(Duration::from_millis(1100));
    let began = moment();
    let before = pair.nodes.each_ref().map(|node| (node.transitions(), node.held()));
    for step in ["+1d", "-1h", "+3650d"] {
        set(&pair.nodes[ours_at], step);
        pair.watch_for(Duration::from_secs(1));
    }
    // The lease would have ended.
    pair.watch_for(Duration::from_secs(2));
    // A refused file is dated by the agent's wall clock: it did see the last step.
    let daemon = pair.nodes[ours_at].daemon();
    daemon.rewrite("!").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let dated = wait_for("the refusal", SOON, || {
        Ok(daemon.status()?["configuration"]["error_at"].as_str().map(String::from))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    let year = |text: &str| text.get(..4).unwrap().parse::<u64>().unwrap();
    let now = 1970 + moment().as_secs() / (365 * 24 * 3600 + 6 * 3600);
    assert!(year(&dated) >= now + 9, "the agent did not see its clock set: {dated}");
    report.saw(format!("by the clock of ours it is {dated}"));
    let after = pair.nodes.each_ref().map(|node| (node.transitions(), node.held()));
    assert_eq!(after, before, "{}", pair.logs());
    assert!(pair.cadence(1, began).is_empty(), "{}", pair.logs());
    let gap = longest_gap(&pair.cadence(0, began));
    report.at_most("longest gap between the master's adverts", gap, Instance::default().interval + WAKE);
    report.saw("no transition on either side, the address never left");
}

#[test]
fn s24_clock_steps_ours() {
    steps(Cast::OURS);
}

#[test]
fn s24_clock_steps_keepalived_ours_master() {
    steps(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s24_clock_steps_keepalived_ours_backup() {
    steps(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s24_clock_steps_frr_ours_master() {
    steps(Cast::ours_above(Kind::Frr));
}
