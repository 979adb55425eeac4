//! A fence that runs holds no_master of its groups back, for a time; and nothing else does.

use hafleet_fleet::{
    FindingKind, VrrpState,
    fence::{FenceInput, FenceState, FenceVerb, Mode, RefusalCode, Rung},
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

const HOSTS: [&str; 3] = ["lb01", "lb02", "lb03"];

/// The switch's program hangs while lb02 is fenced, for two minutes.
fn fencing() -> Lab {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    lab.split();
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    lab
}

/// Every member lets go, and says why.
fn nobody_holds(lab: &mut Lab) {
    for name in HOSTS {
        lab.world.enter(name, VrrpState::Fault, "link_no_carrier");
    }
}

fn fires(lab: &Lab) -> bool {
    lab.world.firing(FindingKind::NoMaster).is_some()
}

fn times_told(lab: &Lab) -> usize {
    lab.world.told().iter().filter(|line| line.starts_with("no_master firing")).count()
}

#[test]
fn while_a_fence_runs_nobody_hears_of_no_master_for_a_minute() {
    let mut lab = fencing();
    nobody_holds(&mut lab);
    lab.run(55_000);
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    assert!(!fires(&lab) && times_told(&lab) == 0, "{:?}", lab.world.told());
    // However long the program takes.
    lab.run(10_000);
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    assert!(fires(&lab), "{:?}", lab.world.told());
    assert_eq!(times_told(&lab), 1);
}

#[test]
fn when_the_fence_is_over_and_still_nobody_holds_it_is_said_at_once() {
    let mut lab = fencing();
    nobody_holds(&mut lab);
    lab.run(20_000);
    assert!(!fires(&lab));
    // A person saw to it that the node is down.
    lab.world.crash("lb02");
    lab.run(200);
    assert!(lab.ask(FenceVerb::Confirm { node: node("lb02") }).is_ok());
    assert_eq!(lab.state(), FenceState::Quarantined);
    // Of a silent node nobody knows whether it holds; when it is back it is known.
    assert!(!fires(&lab), "a member is not heard");
    lab.world.segment.host("lb02").up = true;
    lab.world.connect("lb02");
    lab.run_until(15_000, "no_master", fires);
    assert_eq!(times_told(&lab), 1);
}

#[test]
fn the_end_of_a_demote_is_the_end_of_the_silence() {
    let mut lab = Lab::witnessed();
    lab.mute.insert("lb02".to_owned());
    lab.split();
    lab.run_until(20_000, "the demote", |lab| lab.steps() == ["demote lb02"]);
    assert_eq!(lab.state(), FenceState::Demoting);
    // The agent did not answer, and holds on; the others lose their links.
    for name in ["lb01", "lb03"] {
        lab.world.enter(name, VrrpState::Fault, "link_no_carrier");
    }
    lab.run(1_000);
    lab.world.enter("lb02", VrrpState::Fault, "held");
    lab.run(100);
    assert_eq!(lab.state(), FenceState::Resolved);
    let took = lab.run_until(10_000, "no_master", fires);
    assert!(took > 2_500, "{took} ms: an election has its time, as ever");
    assert_eq!(times_told(&lab), 1);
}

#[test]
fn what_fired_before_the_fence_is_not_taken_back() {
    let mut lab = Lab::witnessed();
    nobody_holds(&mut lab);
    lab.run_until(10_000, "no_master", fires);
    assert!(lab.run_demote("lb02").is_ok());
    lab.run(5_000);
    assert!(fires(&lab));
    assert_eq!(times_told(&lab), 1);
}

#[test]
fn a_fence_that_waits_for_a_person_or_was_refused_holds_nothing_back() {
    let mut lab = Lab::witnessed();
    lab.policy.mode = Mode::Approve;
    lab.configure();
    lab.split();
    lab.run_until(60_000, "a question", |lab| {
        lab.rows.len() == 1 && lab.state() == FenceState::AwaitingApproval
    });
    nobody_holds(&mut lab);
    lab.run(12_000);
    assert!(fires(&lab), "{:?}", lab.world.told());
}

#[test]
fn a_coordinator_that_does_not_lead_holds_nothing_back() {
    let mut lab = fencing();
    nobody_holds(&mut lab);
    lab.run(20_000);
    assert!(!fires(&lab));
    lab.tell(FenceInput::NotLeader);
    lab.run(2_000);
    assert!(fires(&lab), "{:?}", lab.world.told());
    assert!(lab.refusals().contains(&RefusalCode::NotLeader));
}
