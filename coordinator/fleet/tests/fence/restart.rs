//! Rule 11: written down before acted on, under an epoch that is not over; and going on from what was written.

use hafleet_fleet::{
    VrrpState,
    fence::{FenceInput, FenceState, Outcome, RefusalCode as Code, Rung},
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

#[test]
fn rule_11_nothing_is_done_before_the_row_is_written() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.database_down = true;
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.rows.len()), (vec![], 0));
    lab.database_up();
    lab.run(10_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_11_a_row_that_is_written_too_late_is_looked_at_again() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.database_down = true;
    lab.run(20_000);
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.run(10_000);
    lab.database_up();
    lab.run(120_000);
    assert_eq!(lab.steps(), ["withdraw lb02"], "the order was never given, and is taken back all the same");
    assert_eq!(lab.state(), FenceState::Denied);
}

#[test]
fn rule_11_a_program_whose_row_is_written_too_late_is_looked_at_again() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.deafen();
    lab.run_until(60_000, "escalating", |lab| {
        lab.rows.values().any(|row| row.state == FenceState::Escalating)
    });
    lab.database_down = true;
    lab.run(60_000);
    assert!(!lab.waits_with_a_step());
    lab.world.enter("lb02", VrrpState::Fault, "held");
    lab.run(2_000);
    lab.database_up();
    lab.run(120_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Failed));
    assert!(lab.audit.iter().any(|line| line.action == "escalating -> running_network"));
}

#[test]
fn rule_11_only_the_word_of_the_row_as_it_is_lets_a_step_go() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.database_down = true;
    lab.run(8_000);
    let row = lab.world.fleet.fences().operations[0].clone();
    assert_eq!(row.state, FenceState::Demoting);
    for revision in [0, row.revision - 1, row.revision + 1] {
        lab.tell(FenceInput::Written { operation: Some(row.id), revision });
        lab.run(1_000);
        assert!(!lab.waits_with_a_step(), "{revision} is not {}", row.revision);
    }
    lab.tell(FenceInput::Written { operation: Some(row.id), revision: row.revision });
    lab.run(1_000);
    assert!(lab.waits_with_a_step());
}

#[test]
fn rule_11_a_leader_whose_epoch_is_over_does_nothing() {
    let mut lab = Lab::new(&[150, 100]);
    // Another coordinator has taken the lease, and this one does not know yet.
    lab.lease += 1;
    lab.split();
    lab.run(60_000);
    lab.untouched(Code::NotLeader);
    assert_eq!(lab.rows.len(), 0);
    assert_eq!(lab.world.fleet.fences().epoch, None);
    // It may not become leader under an old epoch, nor without having read the store.
    lab.tell(FenceInput::Leader { epoch: lab.lease });
    assert_eq!(lab.world.fleet.fences().epoch, None, "the store was not read");
    let (standing, operations) = (lab.standing.clone(), vec![]);
    // The core itself refuses: the store is not asked.
    lab.database_down = true;
    lab.tell(FenceInput::Restored { standing, operations });
    lab.tell(FenceInput::Leader { epoch: lab.standing.epoch });
    assert_eq!(lab.world.fleet.fences().epoch, None, "that epoch is over");
    lab.database_up();
    lab.run(60_000);
    assert_eq!(lab.steps(), [""; 0]);
}

#[test]
fn a_demote_that_was_given_before_the_restart_is_found_done() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
    assert_eq!(lab.state(), FenceState::Demoting);
    lab.restart();
    lab.run(5_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Resolved));
}

#[test]
fn a_demote_that_was_not_given_and_is_not_needed_any_more_is_not_given() {
    let mut lab = Lab::new(&[150, 100]);
    lab.mute.insert("lb02".to_owned());
    lab.split();
    lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
    lab.world.segment.filtered.clear();
    let now = lab.world.now_us;
    lab.world.segment.host("lb02").enter(0, VrrpState::Backup, "higher_priority_heard", now);
    lab.steps.clear();
    lab.restart();
    lab.run(120_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["withdraw lb02"], FenceState::Denied));
}

#[test]
fn a_demote_of_a_node_that_is_silent_after_the_restart_is_unknown() {
    let mut lab = Lab::new(&[150, 100]);
    lab.mute.insert("lb02".to_owned());
    lab.split();
    lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
    lab.world.crash("lb02");
    lab.restart();
    lab.run(120_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Unknown));
}

#[test]
fn a_program_that_ran_when_the_coordinator_died_is_not_run_again() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    lab.split();
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    // It did its work meanwhile.
    lab.off.insert(("lb02".to_owned(), Rung::Network));
    for other in ["lb01", "lb03"] {
        lab.world.cut("lb02", other);
    }
    lab.restart();
    lab.run(60_000);
    let offs = lab.steps().iter().filter(|step| step.contains("off")).count();
    assert_eq!((offs, lab.state()), (1, FenceState::Quarantined), "the status said so");
}

#[test]
fn an_order_is_taken_back_when_the_agent_is_there_again() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(10_000);
    lab.world.segment.filtered.clear();
    lab.world.disconnect("lb02");
    assert!(lab.ask(hafleet_fleet::fence::FenceVerb::Release { node: node("lb02") }).is_ok());
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    lab.restart();
    lab.run(5_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"]);
    assert!(lab.operation().withdrawn);
}

#[test]
fn numbers_go_on_and_nothing_is_lost() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(10_000);
    let before = lab.world.fleet.fences();
    lab.restart();
    lab.run(5_000);
    let after = lab.world.fleet.fences();
    assert_eq!(after.standing.last_operation, before.standing.last_operation);
    assert_eq!(after.standing.acted, before.standing.acted);
    assert_eq!(after.operations.len(), 1);
    assert_eq!(after.operations[0].epoch, lab.lease, "rewritten under the new epoch");
    // An answer to a step of the life before changes nothing.
    lab.tell(FenceInput::Demoted { operation: after.operations[0].id, outcome: Outcome::Failed });
    assert_eq!(lab.state(), FenceState::Resolved);
}
