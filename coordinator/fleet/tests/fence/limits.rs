//! Rules 1, 6 to 10, 12, 14, 17 and 18: how far, how many, how often, and whom never.

use std::time::Duration;

use hafleet_fleet::{
    FindingKind, VrrpState,
    fence::{Device, FenceInput, FenceState, FenceVerb, Level, Mode, Operation, RefusalCode as Code, Rung},
};

use crate::{
    lab::{Behaviour, Lab},
    network::{ip, vip},
    world::{group, node},
};

/// The split brain is over, the victim is released and has rejoined.
fn mend(lab: &mut Lab) {
    lab.world.segment.filtered.clear();
    lab.run(2_000);
    let released = lab.ask(FenceVerb::Release { node: node("lb02") });
    assert!(released.is_ok(), "{released:?}");
    lab.run(5_000);
    assert_eq!(lab.world.segment.host("lb02").instances[0].report.state, VrrpState::Backup);
}

#[test]
fn rule_1_disabled_does_nothing_and_nobody_can() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.mode = Mode::Disabled;
    // The fleet's `disabled` is a master switch.
    lab.policy.group_modes.insert(group(vip()), Mode::Auto);
    lab.configure();
    lab.split();
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.rows.len()), (vec![], 0));
    assert_eq!(lab.run_demote("lb02").map_err(|refusal| refusal.code), Err(Code::Disabled));
    lab.untouched(Code::Disabled);
}

#[test]
fn rule_1_the_default_is_dry_run_and_writes_down_what_it_would_have_done() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.mode = Mode::default();
    lab.configure();
    lab.split();
    lab.run(60_000);
    lab.untouched(Code::DryRun);
    assert_eq!(lab.rows.len(), 1, "once for one split brain");
    let Operation { state, reason, detail, .. } = lab.operation();
    assert_eq!((*state, reason.as_str()), (FenceState::Denied, "dry_run"));
    assert_eq!(detail, "would demote lb02: lb02 loses: its priority 100 is lower than 150");
}

#[test]
fn rule_1_approve_waits_for_a_person_and_a_group_may_differ() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.group_modes.insert(group(vip()), Mode::Approve);
    lab.configure();
    lab.split();
    lab.run(120_000);
    assert_eq!((lab.steps(), lab.state()), (vec![], FenceState::AwaitingApproval));
    assert!(lab.world.expect(FindingKind::Fence).action.contains("hactl fence approve fence/1"));
    // The split brain ends by itself: there is nothing left to approve.
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.state()), (vec![], FenceState::Denied));
    assert_eq!(lab.operation().reason, "evidence_gone");
}

#[test]
fn rule_1_a_pause_stops_everything_until_its_end_is_written() {
    let mut lab = Lab::new(&[150, 100]);
    assert_eq!(lab.ask(FenceVerb::Pause), Ok(None));
    lab.split();
    lab.run(60_000);
    lab.untouched(Code::Paused);
    assert_eq!(lab.run_demote("lb02").map_err(|refusal| refusal.code), Err(Code::Paused));
    lab.restart();
    lab.run(60_000);
    lab.untouched(Code::Paused);
    assert_eq!(lab.ask(FenceVerb::Resume), Ok(None));
    lab.run(10_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_6_a_coordinator_that_is_cut_off_itself_fences_nobody() {
    let mut lab = Lab::new(&[150, 100]);
    lab.references = (1, 3);
    lab.run(6_000);
    lab.split();
    lab.run(30_000);
    lab.untouched(Code::CoordinatorIsolated);
    lab.references = (2, 3);
    lab.run(10_000);
    assert_eq!(lab.steps(), ["demote lb02"], "two of three are enough");
}

#[test]
fn rule_6_programs_need_references_that_are_known() {
    let mut lab = Lab::witnessed();
    lab.references = (0, 0);
    lab.disobedient.insert("lb02".to_owned());
    lab.run(6_000);
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::CoordinatorIsolated));
}

#[test]
fn rule_6_too_many_unheard_agents_are_a_trouble_of_the_coordinator() {
    let mut lab = Lab::new(&[150, 100, 50, 40]);
    lab.world.disconnect("lb03");
    lab.split();
    lab.run(30_000);
    lab.untouched(Code::FleetUnreachable);
}

/// A second group of lb03 and lb04.
fn two_groups() -> Lab {
    let mut lab = Lab::new(&[150, 100, 150, 100]);
    for name in ["lb03", "lb04"] {
        lab.world.edit(name, |report| {
            (report.vrid, report.addresses) = (52, vec![(ip(101), 24)]);
        });
    }
    lab.world.enter("lb03", VrrpState::Master, "preempted");
    lab.run(2_000);
    lab
}

fn both_split(lab: &mut Lab) {
    lab.world.filter("lb03", "lb04");
    lab.split();
    lab.world.enter("lb04", VrrpState::Master, "master_down");
}

#[test]
fn rule_7_few_operations_act_at_once() {
    let mut lab = two_groups();
    lab.policy.limits.active = 1;
    lab.configure();
    lab.disobedient.insert("lb02".to_owned());
    both_split(&mut lab);
    lab.run_until(10_000, "demoted", |lab| lab.steps.len() == 1);
    lab.run(8_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::TooManyActive));
    // The first one comes to its end, and has failed.
    lab.run(20_000);
    assert_eq!(lab.steps(), ["demote lb02", "demote lb04"]);
}

#[test]
fn rule_7_one_operation_for_a_group() {
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run_until(10_000, "demoted", |lab| lab.steps.len() == 1);
    assert_eq!(lab.run_demote("lb03").map_err(|refusal| refusal.code), Err(Code::GroupBusy));
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_7_one_operation_for_a_device() {
    let mut lab = two_groups();
    for name in ["lb02", "lb04"] {
        lab.policy.devices.insert(node(name), [(Rung::Network, Device("one switch".to_owned()))].into());
        lab.devices.insert((name.to_owned(), Rung::Network), Behaviour::Hangs);
    }
    lab.configure();
    lab.run(2_000);
    let run = |name| FenceVerb::Run { node: node(name), level: Level::Device(Rung::Network), consent: None };
    assert!(lab.ask(run("lb02")).is_ok());
    assert_eq!(lab.refused(run("lb04")), Code::DeviceBusy);
    assert_eq!(lab.steps(), ["network off lb02"]);
}

#[test]
fn rule_8_too_often_needs_a_person_until_one_resumes() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.cool_down = Duration::ZERO;
    lab.configure();
    for _ in 0..2 {
        lab.split();
        lab.run(10_000);
        mend(&mut lab);
    }
    let twice = ["demote lb02", "withdraw lb02", "demote lb02", "withdraw lb02"];
    assert_eq!(lab.steps(), twice);
    lab.split();
    lab.run(60_000);
    assert_eq!(lab.steps(), twice, "the third within an hour is not done");
    assert_eq!(lab.state(), FenceState::AwaitingApproval);
    assert!(lab.standing.latched_groups.contains(&group(vip())));
    // It is latched: a new coordinator knows, and the passing of time does not help.
    lab.restart();
    lab.run(20_000);
    assert_eq!(lab.steps(), twice);
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.world.segment.filtered.clear();
    lab.run(60_000);
    assert_eq!(lab.ask(FenceVerb::Resume), Ok(None));
    lab.split();
    lab.run(10_000);
    assert_eq!(lab.steps().len(), 5, "{:?}", lab.refusals());
}

#[test]
fn rule_8_the_fleet_has_a_rate_too() {
    let mut lab = two_groups();
    lab.policy.limits.fleet_rate = 1;
    lab.configure();
    both_split(&mut lab);
    lab.run(60_000);
    assert_eq!(lab.steps().len(), 1);
    assert!(lab.standing.latched);
}

#[test]
fn rule_9_a_node_that_was_fenced_is_left_alone_for_a_quarter_of_an_hour() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(10_000);
    mend(&mut lab);
    lab.split();
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"]);
    assert!(lab.refusals().contains(&Code::CoolDown));
    lab.run(15 * 60_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02", "demote lb02"]);
}

#[test]
fn rule_9_it_is_left_alone_from_the_end_of_the_operation() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(14 * 60_000);
    mend(&mut lab);
    lab.split();
    lab.run(5 * 60_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"], "it was released five minutes ago");
}

#[test]
fn rule_9_a_clock_that_was_set_back_makes_it_more_careful() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run(10_000);
    mend(&mut lab);
    for acted in &mut lab.standing.acted {
        acted.last_at = acted.last_at + Duration::from_secs(86_400);
    }
    lab.restart();
    lab.run(16 * 60_000);
    lab.split();
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"]);
}

#[test]
fn rule_10_nothing_is_fenced_in_the_first_five_minutes_of_a_leader() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.grace = Duration::from_secs(300);
    lab.lead();
    lab.split();
    lab.run(280_000);
    lab.untouched(Code::Grace);
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_12_a_repeated_request_joins_and_a_recent_success_is_not_repeated() {
    let mut lab = Lab::new(&[150, 100]);
    let first = lab.run_demote("lb02");
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(lab.run_demote("lb02"), first);
    lab.run(5_000);
    assert_eq!(lab.run_demote("lb02"), first);
    assert_eq!(lab.steps(), ["demote lb02"]);
    mend(&mut lab);
    assert_eq!(lab.run_demote("lb02"), first, "it worked a moment ago");
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"]);
    lab.run(11 * 60_000);
    assert!(lab.run_demote("lb02").is_ok_and(|id| id.is_some() && Ok(id) != first));
    assert_eq!(lab.steps().len(), 3);
}

#[test]
fn rule_14_attempts_are_bounded_until_the_node_has_rejoined() {
    let mut lab = Lab::witnessed();
    lab.policy.limits.attempts = 2;
    lab.configure();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Fails);
    lab.split();
    lab.run(600_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"], "the third would be power");
    assert!(lab.refusals().contains(&Code::AttemptsUsed));
    assert_eq!(lab.state(), FenceState::Failed);
    let power = lab.power("lb02");
    assert_eq!(lab.refused(power), Code::AttemptsUsed, "nor does a person go on");
    // It has stopped holding by itself, is released and takes part again.
    lab.disobedient.clear();
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.run(5_000);
    assert_eq!(lab.standing.attempts.get(&node("lb02")), Some(&2));
    mend(&mut lab);
    assert_eq!(lab.standing.attempts.get(&node("lb02")), None);
}

#[test]
fn rule_17_some_are_never_fenced() {
    type Protect = fn(&mut Lab);
    let ways: [(Protect, Code); 6] = [
        (|lab| lab.policy.coordinator_hosts.extend([node("lb02")]), Code::Protected),
        (|lab| lab.policy.database_hosts.extend([node("lb02")]), Code::Protected),
        (|lab| lab.policy.protected_nodes.extend([node("lb02")]), Code::Protected),
        (
            |lab| {
                lab.policy.protected_labels.insert("storage".to_owned());
                lab.policy.labels.insert(node("lb02"), ["storage".to_owned()].into());
            },
            Code::Protected,
        ),
        (|lab| lab.maintain("lb02"), Code::Maintenance),
        (|lab| lab.tell(FenceInput::Committing { node: node("lb02"), on: true }), Code::Committing),
    ];
    for (protect, code) in ways {
        let mut lab = Lab::new(&[150, 100]);
        protect(&mut lab);
        lab.configure();
        lab.split();
        lab.run(30_000);
        lab.untouched(code);
        assert_eq!(lab.run_demote("lb02").map_err(|refusal| refusal.code), Err(code), "nor by a person");
    }
}

#[test]
fn rule_17_a_path_that_was_not_verified_lately_is_not_used() {
    let mut lab = Lab::witnessed();
    for rung in [Rung::Network, Rung::Power] {
        lab.devices.insert(("lb02".to_owned(), rung), Behaviour::Broken);
    }
    lab.run(601_000);
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::PathUnverified));
    let power = lab.power("lb02");
    assert_eq!(lab.refused(power), Code::PathUnverified);
}

#[test]
fn rule_17_the_last_good_node_is_not_fenced_by_a_person_either() {
    let mut lab = Lab::new(&[150, 100]);
    lab.world.disconnect("lb02");
    lab.run(5_000);
    assert_eq!(lab.run_demote("lb01").map_err(|refusal| refusal.code), Err(Code::LastGoodNode));
    assert_eq!(lab.steps(), [""; 0]);
    // Nobody is heard any more: the one that is to be switched off may be the one that serves.
    let mut lab = Lab::witnessed();
    for name in ["lb01", "lb02", "lb03"] {
        lab.world.disconnect(name);
    }
    lab.run(5_000);
    let power = lab.power("lb02");
    assert_eq!(lab.refused(power), Code::LastGoodNode);
}

#[test]
fn rule_18_a_broken_path_is_a_finding_until_it_answers() {
    let mut lab = Lab::witnessed();
    let paths = lab.world.fleet.fences().paths;
    assert_eq!(paths.len(), 4);
    assert!(paths.iter().all(|(_, _, since)| since.is_some()), "{paths:?}");
    lab.devices.insert(("lb02".to_owned(), Rung::Power), Behaviour::Broken);
    lab.run(590_000);
    assert!(lab.world.firing(FindingKind::FencePathBroken).is_none(), "it is asked every ten minutes");
    lab.run(20_000);
    let finding = lab.world.expect(FindingKind::FencePathBroken);
    assert_eq!(finding.subject, "node/lb02");
    assert!(finding.summary.contains("power"), "{}", finding.summary);
    lab.devices.clear();
    lab.run(610_000);
    assert!(lab.world.firing(FindingKind::FencePathBroken).is_none());
    assert_eq!(lab.steps(), [""; 0], "verifying changes nothing");
}

#[test]
fn rule_18_paths_of_one_name_are_verified_one_after_the_other() {
    let mut lab = Lab::witnessed();
    // Nothing is heard of any: each one would have to wait for the one before it.
    for name in ["lb02", "lb03"] {
        for rung in [Rung::Network, Rung::Power] {
            lab.policy.devices.entry(node(name)).or_default().insert(rung, Device("pdu1".into()));
            lab.devices.insert((name.to_owned(), rung), Behaviour::Silent);
        }
    }
    lab.verified.clear();
    lab.configure();
    lab.run(1_300_000);
    let of_pdu1: Vec<u64> =
        lab.verified.iter().filter(|(device, _)| device.0 == "pdu1").map(|(_, at_ms)| *at_ms).collect();
    assert!(of_pdu1.len() > 4, "all have their turn: {of_pdu1:?}");
    assert!(of_pdu1.windows(2).all(|pair| pair[1] >= pair[0] + 120_000), "{of_pdu1:?}");
}

/// Nobody verifies a path while an operation uses its device: its own statuses count, or a person could not go on after it.
#[test]
fn rule_18_what_an_operation_reads_says_that_a_path_works() {
    let mut lab = Lab::witnessed();
    lab.policy.windows.path = Duration::from_secs(60);
    lab.policy.devices.insert(node("lb02"), [(Rung::Power, Device("pdu1".to_owned()))].into());
    lab.configure();
    lab.run(1_000);
    lab.disobedient.insert("lb02".to_owned());
    // Verified until now; from now on it says that it is done, and its status that the host is on.
    lab.devices.insert(("lb02".to_owned(), Rung::Power), Behaviour::Broken);
    lab.split();
    lab.run(10_000);
    lab.run_until(900_000, "it was tried", |lab| lab.state() == FenceState::Failed);
    assert!(lab.steps().contains(&"power off lb02"), "{:?}", lab.steps());
    let again = lab.power("lb02");
    assert!(lab.ask(again).is_ok());
}
