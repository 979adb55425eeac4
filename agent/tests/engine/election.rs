use std::time::Duration;

use rustix::process::Signal;

use super::{
    config,
    lab::{Lab, until},
};

const VIP: &str = "192.168.178.3";
const VIP_LINE: &str = "inet 192.168.178.3/24 scope global secondary dynamic ens33:3";

#[test]
fn two_engines_elect_one_and_a_stop_hands_over_within_the_skew() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let first = lb01.engine(&config(150));
    let second = lb02.engine(&config(100));
    assert_eq!(first.state("BACKUP").reason, "started");
    assert_eq!(first.state("MASTER").reason, "master_down");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.inet().iter().any(|line| line == VIP_LINE));
    assert!(!lb02.has(VIP));

    let resigned = first.stop();
    let stopped = resigned.iter().find(|line| line.contains("MASTER INIT stopped")).unwrap();
    let stopped_us: u64 = stopped.split(' ').nth(5).unwrap().parse().unwrap();
    let taken = second.state("MASTER");
    assert_eq!(taken.reason, "master_resigned", "{}", taken.line);
    let skew_us = (256 - 100) * 1_000_000 / 256;
    let took_us = taken.mono_us - stopped_us;
    // The skew, and 50 ms for two processes on a busy machine.
    assert!((skew_us..skew_us + 50_000).contains(&took_us), "{took_us} us, skew {skew_us} us");
    assert!(!lb01.has(VIP), "{:?}", lb01.inet());
    until("the VIP is on lb02", Duration::from_secs(1), || lb02.inet().iter().any(|line| line == VIP_LINE));

    // Back, and by preemption.
    let first = lb01.engine(&config(150));
    first.state("MASTER");
    second.state("BACKUP");
    until("the VIP is back on lb01", Duration::from_secs(1), || lb01.has(VIP) && !lb02.has(VIP));
}

#[test]
fn a_killed_engine_leaves_its_address_for_no_longer_than_the_lease() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let engine = lb01.engine(&config(150));
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || lb01.has(VIP));
    engine.kill();
    // 3 s, and up to 0.75 s because the kernel looks at lifetimes once a second.
    let took = until("the VIP is gone", Duration::from_millis(3_800), || !lb01.has(VIP));
    eprintln!("killed: the kernel dropped the VIP after {took:?}");
}

#[test]
fn a_frozen_engine_loses_its_address_and_takes_it_back_after_the_thaw() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let engine = lb01.engine(&config(150));
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || lb01.has(VIP));
    engine.signal(Signal::STOP);
    let took = until("the VIP is gone", Duration::from_millis(3_800), || !lb01.has(VIP));
    eprintln!("frozen: the kernel dropped the VIP after {took:?}");
    engine.signal(Signal::CONT);
    until("the VIP is back", Duration::from_secs(1), || lb01.inet().iter().any(|line| line == VIP_LINE));
    engine.line("repair", |line| line.contains("repaired").then_some(()));
}

#[test]
fn a_killed_master_and_its_successor_do_not_both_hold_the_address_for_long() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let first = lb01.engine(&config(150));
    let second = lb02.engine(&config(100));
    first.state("MASTER");
    second.state("BACKUP");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.has(VIP));
    first.kill();
    second.state("MASTER");
    // Both count three seconds from about the same advert and renewal; the kernel looks once a second.
    let both = until("the VIP left lb01", Duration::from_secs(1), || !lb01.has(VIP));
    eprintln!("killed: held by two for {both:?} after the takeover");
    until("the VIP is on lb02", Duration::from_millis(500), || lb02.has(VIP));
}

#[test]
fn a_frozen_master_that_thaws_yields_or_wins_but_never_shares() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let first = lb01.engine(&config(150));
    let second = lb02.engine(&config(100));
    first.state("MASTER");
    second.state("BACKUP");
    first.signal(Signal::STOP);
    second.state("MASTER");
    until("the VIP left lb01", Duration::from_secs(1), || !lb01.has(VIP));
    first.signal(Signal::CONT);
    assert_eq!(second.state("BACKUP").reason, "higher_priority_heard");
    until("only lb01 has the VIP", Duration::from_secs(1), || lb01.has(VIP) && !lb02.has(VIP));
}
