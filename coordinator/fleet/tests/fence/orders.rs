//! A person's order against a node that an operation is open against already, or was a moment ago.

use hafleet_fleet::fence::{
    FenceState, FenceVerb, Level, Mode, OperationId, Origin, RefusalCode as Code, Rung,
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

const NETWORK: Level = Level::Device(Rung::Network);

fn run(level: Level) -> FenceVerb {
    FenceVerb::Run { node: node("lb02"), level, consent: None }
}

fn resolved() -> Lab {
    let mut lab = Lab::witnessed();
    lab.split();
    lab.run(10_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Resolved));
    lab
}

#[test]
fn a_harder_order_is_carried_out_although_the_demote_worked() {
    let mut lab = resolved();
    let first = lab.operation().id;
    assert_eq!(lab.run_demote("lb02"), Ok(Some(first)), "that is done");
    let power = lab.power("lb02");
    assert_eq!(lab.ask(power.clone()), Ok(Some(first)));
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "power off lb02"]);
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.operation().origin, Origin::Order("ada".to_owned()));
    assert_eq!(lab.ask(power), Ok(Some(first)), "that is done");
    assert_eq!(lab.steps().len(), 2);
}

#[test]
fn a_harder_order_needs_its_gates_open_and_changes_nothing_when_they_are_not() {
    let mut lab = resolved();
    lab.devices.insert(("lb02".to_owned(), Rung::Power), Behaviour::Broken);
    lab.run(610_000);
    let before = lab.rows.clone();
    let power = lab.power("lb02");
    assert_eq!(lab.refused(power), Code::PathUnverified);
    lab.run(10_000);
    assert_eq!((lab.rows.clone(), lab.steps()), (before, vec!["demote lb02"]));
}

#[test]
fn an_order_is_the_yes_that_an_operation_waits_for() {
    for (power, step) in [(false, "demote lb02"), (true, "power off lb02")] {
        let mut lab = Lab::witnessed();
        lab.policy.mode = Mode::Approve;
        lab.configure();
        lab.split();
        lab.run(10_000);
        assert_eq!((lab.steps(), lab.state()), (vec![], FenceState::AwaitingApproval));
        let verb = if power { lab.power("lb02") } else { run(Level::Demote) };
        assert!(lab.ask(verb).is_ok());
        lab.run(30_000);
        assert_eq!(lab.steps(), [step], "{:?}", lab.refusals());
        assert!(lab.state().has_worked(), "{}", lab.state());
    }
}

#[test]
fn an_order_for_more_holds_although_the_node_lets_go_meanwhile() {
    let mut lab = Lab::witnessed();
    lab.policy.mode = Mode::Approve;
    lab.configure();
    lab.mute.insert("lb02".to_owned());
    lab.split();
    lab.run(10_000);
    let operation = lab.operation().id;
    assert!(lab.ask(FenceVerb::Approve { operation, up_to: Level::Demote, consent: None }).is_ok());
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::AwaitingApproval));
    // The order is given while the demote that was late works at last.
    let power = lab.power("lb02");
    lab.world.enter("lb02", hafleet_fleet::VrrpState::Fault, "held");
    assert!(lab.ask(power).is_ok());
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "power off lb02"]);
}

#[test]
fn a_milder_success_a_moment_ago_is_no_harder_one() {
    let mut lab = resolved();
    let first = lab.operation().id;
    lab.world.segment.filtered.clear();
    lab.run(2_000);
    assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
    lab.run(5_000);
    assert_eq!(lab.run_demote("lb02"), Ok(Some(first)), "rule 12");
    lab.restart();
    lab.run(5_000);
    let power = lab.power("lb02");
    assert_eq!(lab.ask(power), Ok(Some(OperationId(first.0 + 1))));
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02", "power off lb02"]);
}

#[test]
fn an_order_that_cannot_be_taken_up_says_so() {
    let mut lab = resolved();
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    assert!(lab.ask(run(NETWORK)).is_ok());
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    let power = lab.power("lb02");
    assert_eq!(lab.refused(power.clone()), Code::TargetBusy);
    assert!(lab.ask(run(NETWORK)).is_ok(), "that runs");
    lab.run_until(130_000, "ended", |lab| lab.state() == FenceState::Verifying(Rung::Network));
    // It is still on as far as anybody knows: nobody has to wait for the last status.
    assert!(lab.ask(power.clone()).is_ok());
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02", "power off lb02"]);

    let mut lab = resolved();
    assert!(lab.ask(run(NETWORK)).is_ok());
    lab.run(30_000);
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.refused(power), Code::TargetBusy, "it is out by its network");

    let mut lab = resolved();
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Fails);
    assert!(lab.ask(run(NETWORK)).is_ok());
    lab.run(30_000);
    assert_eq!(lab.state(), FenceState::Failed);
    assert_eq!(lab.refused(run(Level::Demote)), Code::TargetBusy, "nothing would be done");
}

/// A person wants lb02, which holds nothing, to be held down; its agent does not do it.
fn refused() -> Lab {
    let mut lab = Lab::witnessed();
    lab.refuses.insert("lb02".to_owned());
    assert!(lab.run_demote("lb02").is_ok());
    lab.run(2_500);
    assert_eq!(lab.state(), FenceState::Demoting);
    lab
}

#[test]
fn a_node_that_holds_nothing_is_not_held_down_by_an_order_that_failed() {
    let mut lab = refused();
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02"; 3], "as often as steps may be tried");
    assert_eq!(lab.state(), FenceState::Failed);

    let mut lab = refused();
    lab.refuses.clear();
    lab.run(5_000);
    assert_eq!(lab.state(), FenceState::Resolved);
    assert_eq!(lab.world.segment.host("lb02").instances[0].report.reason, "held");
}

#[test]
fn a_victim_that_lets_go_by_itself_is_not_said_to_be_held_down() {
    for mute in [true, false] {
        let mut lab = Lab::witnessed();
        let list = if mute { &mut lab.mute } else { &mut lab.refuses };
        list.insert("lb02".to_owned());
        lab.split();
        lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
        lab.world.segment.filtered.clear();
        lab.world.enter("lb02", hafleet_fleet::VrrpState::Backup, "higher_priority_heard");
        let mut states = std::collections::BTreeSet::new();
        for _ in 0..60 {
            lab.run(1_000);
            states.insert(lab.state());
        }
        assert!(!states.contains(&FenceState::Resolved), "mute {mute}: {states:?}");
        assert_eq!(lab.rows[&OperationId(1)].state, FenceState::Denied, "mute {mute}");
    }
}

#[test]
fn an_agent_that_will_not_take_an_order_back_is_asked_more_and_more_seldom() {
    let mut lab = resolved();
    lab.world.segment.filtered.clear();
    lab.refuses.insert("lb02".to_owned());
    assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
    lab.run(3_600_000);
    let asked: Vec<u64> = lab.steps.iter().skip(1).map(|(at_us, _)| at_us / 1_000_000).collect();
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    let told = lab.audit.iter().filter(|line| line.action == "withdrawal failed");
    assert_eq!(told.count(), 1);
    // It comes back as another one, and does what it is asked.
    lab.refuses.clear();
    lab.world.disconnect("lb02");
    lab.run(5_000);
    lab.world.connect("lb02");
    lab.run(11_000);
    assert!(lab.operation().withdrawn, "at once, not in ten minutes");
}
