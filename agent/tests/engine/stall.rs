//! A kernel that does not answer, as when another program holds its lock.

use std::time::Duration;

use super::{
    config,
    lab::{Lab, Process, pause, until},
};

const VIP: &str = "192.168.178.3";

/// The addresses that the engine says are present.
fn present(engine: &mut Process) -> String {
    engine.say("snapshot");
    engine.line("snapshot", |line| {
        Some(
            line.strip_prefix("snapshot VI_1 ")?
                .split("present=")
                .nth(1)?
                .split(" master=")
                .next()?
                .to_owned(),
        )
    })
}

#[test]
fn a_master_whose_kernel_does_not_answer_hands_over_by_the_end_of_the_lease() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let mut first = lb01.engine(&config(150));
    let second = lb02.engine(&config(100));
    first.state("MASTER");
    second.state("BACKUP");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.has(VIP));
    first.say("stall");
    let refused = first.line_within("refusal", Duration::from_millis(3_500), |line| {
        line.contains("192.168.178.3/24 refused").then(|| line.to_owned())
    });
    assert!(refused.contains("the kernel did not answer within 3.0 s"), "{refused}");
    let fault = first.state("FAULT");
    assert_eq!(fault.reason, "address_refused", "{}", fault.line);
    let taken = second.state("MASTER");
    assert_eq!(taken.reason, "master_resigned", "{}", taken.line);
    until("the VIP is on lb02", Duration::from_secs(1), || lb02.has(VIP));
    until("the VIP left lb01", Duration::from_millis(800), || !lb01.has(VIP));
    pause(Duration::from_secs(1));
    assert_eq!(present(&mut first), "[]");
    first.drain();
    // What was asked for before is carried out, in order: nothing stays, and nobody is disturbed.
    first.say("resume");
    pause(Duration::from_secs(2));
    assert!(!lb01.has(VIP) && lb02.has(VIP));
    let said = first.drain();
    assert!(!said.iter().any(|line| line.contains(" repaired ") || line.contains(" MASTER ")), "{said:#?}");
    assert!(second.drain().is_empty());
}

#[test]
fn a_takeover_that_the_kernel_does_not_answer_is_given_up() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    let mut engine = host.engine(&format!("{}lease = \"off\"\n", config(150)));
    engine.state("BACKUP");
    engine.say("stall");
    let master = engine.state("MASTER");
    let fault = engine.state("FAULT");
    assert!(fault.line.contains("the kernel did not answer within 2.0 s"), "{}", fault.line);
    let took = Duration::from_micros(fault.mono_us - master.mono_us);
    assert!((1_950..2_300).contains(&took.as_millis()), "{took:?}");
    engine.say("resume");
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || host.has(VIP));
}

#[test]
fn an_address_without_a_lease_survives_a_silent_kernel_but_is_not_called_present() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    let mut engine = host.engine(&format!("{}lease = \"off\"\n", config(150)));
    engine.state("MASTER");
    until("the VIP is told", Duration::from_secs(2), || present(&mut engine) == "[192.168.178.3]");
    engine.say("stall");
    until("it is not told any more", Duration::from_secs(5), || present(&mut engine) == "[]");
    assert!(host.has(VIP));
    engine.say("resume");
    until("the VIP is told again", Duration::from_secs(2), || present(&mut engine) == "[192.168.178.3]");
    let said = engine.drain();
    assert!(
        !said.iter().any(|line| line.starts_with("transition") || line.starts_with("address")),
        "{said:#?}"
    );
}

#[test]
fn a_stop_that_the_kernel_does_not_answer_says_what_is_left() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    let mut engine = host.engine(&format!("{}lease = \"off\"\n", config(150)));
    engine.state("MASTER");
    until("the VIP is there", Duration::from_secs(1), || host.has(VIP));
    engine.say("stall");
    until("the stall began", Duration::from_secs(5), || present(&mut engine) == "[]");
    let (status, said) = engine.end();
    assert_eq!(status.code(), Some(1), "{said:#?}");
    let told = "left 192.168.178.3/24 of VI_1: the kernel did not answer in time";
    assert!(said.iter().any(|line| line == told), "{said:#?}");
    assert!(host.has(VIP));
}
