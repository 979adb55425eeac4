//! Rules 13, 15, 19, 20 and 23: step by step, each verified, and what comes after.

use std::time::Duration;

use hafleet_fleet::{
    FindingKind, Severity, VrrpState,
    fence::{Aftercare, FenceInput, FenceState, FenceVerb, Outcome, RefusalCode as Code, Rung, Trace},
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

/// lb02 says yes to the demote and does nothing; its devices behave like this.
fn stubborn(network: Behaviour, power: Behaviour) -> Lab {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), network);
    lab.devices.insert(("lb02".to_owned(), Rung::Power), power);
    lab.split();
    lab
}

#[test]
fn rule_13_off_is_what_an_independent_status_says() {
    let mut lab = stubborn(Behaviour::Works, Behaviour::Works);
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.state(), FenceState::Verifying(Rung::Network), "the program's word is not enough");
    lab.run(12_000);
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.steps()[..2], ["demote lb02", "network off lb02"]);
    lab.run(300_000);
    // Its management works, and it still says MASTER: it is told to let go again, three times, and a person hears of it.
    assert_eq!(lab.steps()[2..], ["demote lb02"; 3], "power is not needed");
    assert_eq!(lab.operation().aftercare, Aftercare::Escalated);
}

#[test]
fn rule_13_a_program_that_fails_is_followed_by_the_next_level() {
    let mut lab = stubborn(Behaviour::Fails, Behaviour::Works);
    lab.run(120_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02", "power off lb02"]);
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert!(!lab.world.segment.host("lb02").up);
}

#[test]
fn rule_13_a_time_out_is_a_failure() {
    let mut lab = stubborn(Behaviour::Hangs, Behaviour::Works);
    lab.run(160_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"], "it may still come");
    lab.run(240_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02", "power off lb02"]);
}

#[test]
fn rule_13_unknown_is_never_a_success() {
    for behaviour in [Behaviour::Unreadable, Behaviour::Lies] {
        let mut lab = stubborn(behaviour, Behaviour::Works);
        lab.run(400_000);
        assert_eq!(lab.state(), FenceState::Unknown, "{behaviour:?}");
        assert_eq!(lab.steps(), ["demote lb02", "network off lb02"]);
        assert!(lab.audit.iter().all(|line| !line.action.ends_with("-> fenced")));
        let finding = lab.world.expect(FindingKind::Fence);
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.action.contains("hactl fence confirm lb02"), "{}", finding.action);
    }
}

#[test]
fn rule_13_an_answer_to_another_step_is_not_believed() {
    let mut lab = stubborn(Behaviour::Hangs, Behaviour::Hangs);
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    let (operation, revision) = (lab.operation().id, lab.operation().revision);
    let trace = Trace::default();
    for revision in [0, revision - 1, revision + 1] {
        let outcome = Outcome::Done;
        lab.tell(FenceInput::Ran { operation, revision, outcome, trace: trace.clone() });
        let reading = hafleet_fleet::fence::Reading::Off;
        lab.tell(FenceInput::Status { operation, revision, reading, trace: trace.clone() });
    }
    assert_eq!(lab.state(), FenceState::Running(Rung::Network));
    assert!(lab.refusals().contains(&Code::Unexpected));
}

#[test]
fn rule_15_a_fenced_node_stays_out_until_a_person_releases_it() {
    let mut lab = stubborn(Behaviour::Fails, Behaviour::Works);
    lab.run(120_000);
    assert_eq!(lab.state(), FenceState::Quarantined);
    // Somebody switches it on again. Its agent obeys now.
    lab.disobedient.clear();
    lab.world.segment.filtered.clear();
    let now = lab.world.now_us;
    let host = lab.world.segment.host("lb02");
    host.up = true;
    host.enter(0, VrrpState::Backup, "started", now);
    lab.world.connect("lb02");
    lab.run(3_000);
    assert_eq!(lab.steps().last(), Some(&"demote lb02"), "{:?}", lab.steps());
    lab.run(3_600_000);
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.steps().len(), 4, "{:?}", lab.steps());
    assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
    lab.run(3_000);
    assert_eq!(lab.steps().last(), Some(&"withdraw lb02"));
    assert_eq!(lab.world.segment.host("lb02").instances[0].report.state, VrrpState::Backup);
}

#[test]
fn rule_15_the_only_one_left_is_not_kept_out() {
    let mut lab = stubborn(Behaviour::Fails, Behaviour::Works);
    lab.run(120_000);
    lab.world.crash("lb01");
    lab.world.crash("lb03");
    lab.world.segment.host("lb02").up = true;
    lab.world.connect("lb02");
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02", "power off lb02"]);
    assert!(lab.refusals().contains(&Code::LastGoodNode));
}

#[test]
fn rule_19_the_core_knows_names_of_devices_only_and_cuts_what_programs_say() {
    let mut lab = stubborn(Behaviour::Hangs, Behaviour::Hangs);
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    let (operation, revision) = (lab.operation().id, lab.operation().revision);
    let trace = Trace { tail: "\u{e4}".repeat(100_000), exit_code: Some(1), ..Trace::default() };
    lab.tell(FenceInput::Ran { operation, revision, outcome: Outcome::Failed, trace });
    let line = lab.audit.iter().find(|line| line.action == "result off failed").expect("audited");
    let program = line.evidence.iter().find(|fact| fact.kind == "program").expect("its words");
    assert!(program.facts["tail"].len() <= 4096);
    assert_eq!(program.facts["exit_code"], "1");
}

#[test]
fn rule_20_every_edge_step_and_refusal_is_in_the_audit_log_with_its_evidence() {
    let mut lab = stubborn(Behaviour::Fails, Behaviour::Works);
    lab.run(120_000);
    let edges: Vec<&str> = lab
        .audit
        .iter()
        .filter(|line| line.operation == Some(lab.operation().id) && line.action.contains(" -> "))
        .map(|line| line.action.as_str())
        .collect();
    let path = [
        "proposed -> approved",
        "approved -> demoting",
        "demoting -> escalating",
        "escalating -> running_network",
        "running_network -> verifying_network",
        "verifying_network -> escalating",
        "escalating -> running_power",
        "running_power -> verifying_power",
        "verifying_power -> fenced",
        "fenced -> quarantined",
    ];
    assert_eq!(edges, path);
    let mut lines = lab.audit.iter().filter(|line| line.action.contains(" -> "));
    assert!(lines.all(|line| !line.evidence.is_empty()), "each edge has the facts that it rests on");
    let actions: Vec<&str> = lab.audit.iter().map(|line| line.action.as_str()).collect();
    for action in [
        "proposed",
        "step of demoting",
        "result demote done",
        "step of running_network",
        "result off failed",
        "result status on",
        "step of running_power",
        "result off done",
        "result status off",
        "aftercare",
    ] {
        assert!(actions.contains(&action), "`{action}` is missing: {actions:?}");
    }
    let steps = lab.audit.iter().filter(|line| line.action.starts_with("step of"));
    assert!(steps.clone().all(|line| !line.evidence.is_empty() && line.epoch == lab.lease));
    let waited = lab.audit.iter().filter(|line| line.refused == Some(Code::ConfirmWindow));
    assert!(waited.count() >= 1, "what it waited for is written down");
}

#[test]
fn rule_23_the_survivor_s_instances_announce_and_nobody_is_called() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(30_000);
    assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Resolved, Aftercare::Done));
    assert_eq!(lab.asked_to_announce, ["lb01 VI_1"], "once, and nobody else");
    lab.run(60_000);
    assert_eq!(lab.asked_to_announce.len(), 1);
    assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Resolved, Aftercare::Done));
    assert_eq!(lab.steps(), ["demote lb02"]);
}

/// Whoever was asked first and could not: the one that holds the address by then is asked.
#[test]
fn rule_23_another_holder_is_asked_as_well() {
    let mut lab = Lab::witnessed();
    lab.announces = false;
    lab.split();
    lab.run_until(30_000, "the survivor is asked", |lab| !lab.asked_to_announce.is_empty());
    lab.world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    lab.world.enter("lb03", VrrpState::Master, "master_resigned");
    lab.announces = true;
    lab.run(40_000);
    assert_eq!(lab.asked_to_announce.last().map(String::as_str), Some("lb03 VI_1"));
    assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Resolved, Aftercare::Done));
}

#[test]
fn rule_23_without_an_announcement_a_person_is_called_after_a_minute() {
    let mut lab = Lab::new(&[150, 100]);
    lab.announces = false;
    lab.split();
    lab.run(30_000);
    assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Resolved, Aftercare::Pending));
    lab.run(60_000);
    assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Resolved, Aftercare::Escalated));
    assert_eq!(lab.world.expect(FindingKind::Fence).severity, Severity::Critical);
    assert_eq!(lab.steps(), ["demote lb02"], "nobody else is fenced for that");
}

#[test]
fn rule_23_no_holder_afterwards_calls_a_person_and_fences_nobody() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
    lab.announces = false;
    lab.world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    lab.run(90_000);
    assert_eq!(lab.operation().aftercare, Aftercare::Escalated);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_23_a_victim_that_takes_the_address_again_is_escalated() {
    let mut lab = Lab::witnessed();
    lab.split();
    lab.run(10_000);
    assert_eq!(lab.state(), FenceState::Resolved);
    lab.announces = false;
    lab.disobedient.insert("lb02".to_owned());
    lab.restart();
    // Its agent was replaced by something that does not know of the order.
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.run(200_000);
    assert_eq!(lab.steps()[..2], ["demote lb02", "network off lb02"], "{:?}", lab.refusals());
    assert_eq!(lab.state(), FenceState::Quarantined);
}

#[test]
fn a_demote_that_arrives_late_resolves_it_without_a_program() {
    let mut lab = Lab::witnessed();
    lab.policy.windows.confirm = Duration::from_secs(40);
    lab.configure();
    lab.mute.insert("lb02".to_owned());
    lab.split();
    lab.run_until(30_000, "escalating", |lab| {
        lab.rows.values().any(|row| row.state == FenceState::Escalating)
    });
    lab.world.enter("lb02", VrrpState::Fault, "held");
    lab.run(3_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Resolved));
}

#[test]
fn a_frozen_agent_whose_kernel_keeps_the_address_is_fenced_by_what_two_witnesses_see() {
    let mut lab = Lab::witnessed();
    // lb01 hangs: it says nothing more, its stream stays open, and its router goes on advertising to the third host only.
    lab.world.filter_one_way("lb01", "lb02");
    lab.run(2_000);
    lab.world.uplinks.get_mut("lb01").expect("lb01").late_us = 3_600_000_000;
    lab.run(4_000);
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.run(120_000);
    assert_eq!(lab.steps(), ["network off lb01"], "{:?}", lab.refusals());
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.world.group().holder, Some(node("lb02")));
}
