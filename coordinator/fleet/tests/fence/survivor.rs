//! Rules 1, 5, 6, 8, 12, 14, 16 and 18 in their parts: nobody is fenced for one who will not serve, or by one who does not know.

use std::time::Duration;

use hafleet_fleet::{
    FindingKind, Input, VrrpState,
    fence::{FenceInput, FenceState, FenceVerb, Level, Mode, RefusalCode as Code, Rung},
};

use crate::{
    lab::{Behaviour, Lab},
    network::{ip, vip},
    reach::two_addresses,
    world::{group, node, site},
};

#[test]
fn rule_1_a_mode_that_became_more_careful_stops_what_has_not_acted() {
    for (mode, code) in [
        (Mode::Approve, Code::NeedsApproval),
        (Mode::DryRun, Code::NeedsApproval),
        (Mode::Disabled, Code::Disabled),
    ] {
        let mut lab = Lab::new(&[150, 100]);
        lab.split();
        lab.database_down = true;
        lab.run(8_000);
        assert_eq!(lab.world.fleet.fences().operations[0].state, FenceState::Demoting);
        lab.policy.mode = mode;
        lab.configure();
        lab.database_up();
        lab.run(20_000);
        lab.untouched(code);
    }
}

#[test]
fn rule_1_of_several_addresses_the_most_careful_mode_counts() {
    let mut lab = Lab::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        lab.world.edit(name, |report| report.addresses.push((ip(101), 24)));
    }
    lab.world.edit("lb01", |report| report.addresses_present.push(ip(101)));
    lab.policy.group_modes.insert(group(vip()), Mode::Auto);
    lab.policy.group_modes.insert(group(ip(101)), Mode::Approve);
    lab.configure();
    lab.split();
    lab.run(30_000);
    assert_eq!((lab.steps(), lab.state()), (vec![], FenceState::AwaitingApproval));
}

#[test]
fn rule_1_disabled_counts_for_a_node_without_groups_too() {
    let mut lab = Lab::new(&[150, 100]);
    lab.world.input(Input::NodeConnected { node: node("spare"), site: site() });
    lab.policy.mode = Mode::Disabled;
    lab.configure();
    assert_eq!(lab.run_demote("spare").map_err(|refusal| refusal.code), Err(Code::Disabled));
}

#[test]
fn rule_1_nothing_goes_on_before_the_end_of_a_pause_is_written() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.database_down = true;
    lab.run(8_000);
    let row = lab.world.fleet.fences().operations[0].clone();
    let ask = |lab: &mut Lab, verb| {
        lab.tell(FenceInput::Asked { request: 1, actor: "ada".to_owned(), verb });
    };
    ask(&mut lab, FenceVerb::Pause);
    lab.tell(FenceInput::Written { operation: Some(row.id), revision: row.revision });
    lab.run(2_000);
    assert!(!lab.waits_with_a_step(), "paused");
    ask(&mut lab, FenceVerb::Resume);
    lab.run(2_000);
    assert!(!lab.waits_with_a_step(), "the end is not written");
}

#[test]
fn rule_5_who_is_held_back_is_no_survivor() {
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.maintain("lb01");
    lab.split();
    lab.run(30_000);
    lab.untouched(Code::NoSurvivor);

    // lb01 was down, and is back in spite of its order.
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.world.crash("lb01");
    lab.run(6_000);
    assert!(lab.ask(FenceVerb::Confirm { node: node("lb01") }).is_ok());
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.world.filter("lb01", "lb02");
    lab.disobedient.insert("lb01".to_owned());
    let now = lab.world.now_us;
    let host = lab.world.segment.host("lb01");
    host.up = true;
    host.enter(0, VrrpState::Master, "started", now);
    lab.world.connect("lb01");
    lab.run(60_000);
    assert!(!lab.steps().contains(&"demote lb02"), "{:?}", lab.steps());
    assert!(lab.refusals().contains(&Code::NoSurvivor), "{:?}", lab.refusals());
}

#[test]
fn rule_5_nobody_survives_who_is_about_to_be_fenced() {
    let mut lab = two_addresses(Mode::Auto);
    // Of the second address lb02 is the better one.
    lab.world.segment.host("lb02").instances[1].report.effective_priority = 200;
    lab.world.segment.host("lb02").instances[1].report.priority = 200;
    let now = lab.world.now_us;
    lab.world.segment.host("lb03").enter(1, VrrpState::Backup, "higher_priority_heard", now);
    lab.world.segment.host("lb02").enter(1, VrrpState::Master, "preempted", now);
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    lab.disobedient.insert("lb02".to_owned());
    lab.deafen();
    lab.run_until(120_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"]);
    lab.world.filter("lb02", "lb03");
    let now = lab.world.now_us;
    lab.world.segment.host("lb03").enter(1, VrrpState::Master, "master_down", now);
    lab.world.tell_change("lb03");
    lab.run(30_000);
    assert!(!lab.steps().contains(&"demote lb03"), "{:?}", lab.steps());
    // Rule 7 says so first: the program acts on the second address too.
    let says_no = |code: &Code| *code == Code::NoSurvivor || *code == Code::GroupBusy;
    assert!(lab.refusals().iter().any(says_no), "{:?}", lab.refusals());
}

#[test]
fn rule_5_a_pinned_survivor_that_is_silent_survives_nobody() {
    let mut lab = Lab::witnessed();
    lab.policy.pins.insert(group(vip()), node("lb02"));
    lab.configure();
    lab.deafen();
    lab.run(1_000);
    lab.world.uplinks.get_mut("lb02").expect("lb02").late_us = 3_600_000_000;
    lab.run(120_000);
    assert_eq!(lab.steps(), [""; 0], "{:?}", lab.refusals());
}

#[test]
fn rule_5_a_program_takes_a_node_from_all_its_groups() {
    let mut lab = two_addresses(Mode::Auto);
    // The second address is held by lb02, and lb03 cannot.
    let now = lab.world.now_us;
    lab.world.segment.host("lb03").enter(1, VrrpState::Fault, "script_failed", now);
    lab.world.tell_change("lb03");
    lab.world.segment.host("lb02").enter(1, VrrpState::Master, "master_down", now);
    lab.world.tell_change("lb02");
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"], "of one address it may be demoted");
    assert!(lab.refusals().contains(&Code::LastGoodNode), "{:?}", lab.refusals());
}

#[test]
fn rule_5_the_other_one_must_be_good_when_a_person_orders() {
    type Spoil = fn(&mut Lab);
    let ways: [Spoil; 4] = [
        |lab| lab.world.segment.host("lb02").gateway = Some(false),
        |lab| lab.world.edit("lb02", |report| report.carrier = false),
        |lab| lab.world.enter("lb02", VrrpState::Fault, "script_failed"),
        |lab| lab.maintain("lb02"),
    ];
    for (way, spoil) in ways.into_iter().enumerate() {
        let mut lab = Lab::new(&[150, 100]);
        spoil(&mut lab);
        lab.run(2_000);
        assert_eq!(lab.run_demote("lb01").map_err(|refusal| refusal.code), Err(Code::LastGoodNode), "{way}");
    }
    let mut lab = Lab::new(&[150, 100]);
    assert!(lab.run_demote("lb02").is_ok());
    lab.run(2_000);
    // It is held down; nobody else is left.
    lab.world.enter("lb02", VrrpState::Backup, "unheld");
    lab.run(2_000);
    assert_eq!(lab.run_demote("lb01").map_err(|refusal| refusal.code), Err(Code::LastGoodNode));
}

#[test]
fn rule_6_three_of_ten_are_too_many() {
    for (silent, steps) in [(2, vec!["demote lb02"]), (3, vec![])] {
        let mut lab = Lab::new(&[150, 100, 99, 98, 97, 96, 95, 94, 93, 92, 91]);
        for index in 0..silent {
            lab.world.disconnect(&format!("lb{:02}", 11 - index));
        }
        lab.split();
        lab.run(20_000);
        assert_eq!(lab.steps(), steps, "{silent}: {:?}", lab.refusals());
    }
}

#[test]
fn rule_6_references_that_nobody_tells_of_any_more_allow_no_program() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.tells_references = false;
    lab.run(60_000);
    lab.deafen();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::CoordinatorIsolated));
}

#[test]
fn rule_12_what_failed_is_no_recent_success() {
    let mut lab = Lab::new(&[150, 100]);
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Failed));
    assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
    lab.run(2_000);
    lab.disobedient.clear();
    assert!(lab.run_demote("lb02").is_ok());
    lab.run(2_000);
    assert_eq!(lab.steps().last(), Some(&"demote lb02"));
}

#[test]
fn rule_14_attempts_go_on_counting_while_the_node_is_not_well() {
    let failed = || {
        let mut lab = Lab::new(&[150, 100]);
        lab.disobedient.insert("lb02".to_owned());
        lab.split();
        lab.run(60_000);
        assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
        lab
    };
    // It holds the address beside the other one as before.
    let mut lab = failed();
    lab.run(10_000);
    assert_eq!(lab.standing.attempts.get(&node("lb02")), Some(&1));
    // It has let go, and does not take part.
    let mut lab = failed();
    lab.world.enter("lb02", VrrpState::Fault, "script_failed");
    lab.run(10_000);
    assert_eq!(lab.standing.attempts.get(&node("lb02")), Some(&1));
    lab.world.enter("lb02", VrrpState::Backup, "script_passed");
    lab.run(10_000);
    assert_eq!(lab.standing.attempts.get(&node("lb02")), None);
}

#[test]
fn rule_16_of_equals_the_lower_address_loses_whatever_their_names() {
    let mut lab = Lab::new(&[150, 100]);
    for (name, last) in [("lb01", 200), ("lb02", 2)] {
        lab.world.edit(name, |report| {
            (report.priority, report.effective_priority, report.source) = (120, 120, Some(ip(last)));
        });
    }
    lab.run(2_000);
    lab.split();
    lab.run(20_000);
    assert_eq!(lab.steps(), ["demote lb02"], "{:?}", lab.refusals());
}

#[test]
fn rule_18_a_path_of_which_nothing_is_heard_is_broken() {
    let mut lab = Lab::witnessed();
    let run = FenceVerb::Run { node: node("lb02"), level: Level::Device(Rung::Network), consent: None };
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Silent);
    lab.run(740_000);
    let finding = lab.world.expect(FindingKind::FencePathBroken);
    assert!(finding.summary.contains("network"), "{}", finding.summary);
    assert_eq!(lab.refused(run), Code::PathUnverified);
}

#[test]
fn rule_18_what_was_verified_long_ago_is_not_verified_lately() {
    let mut lab = Lab::witnessed();
    lab.tell(FenceInput::NotLeader);
    lab.run(1_300_000);
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Silent);
    lab.lead();
    lab.run(3_000);
    let run = FenceVerb::Run { node: node("lb02"), level: Level::Device(Rung::Network), consent: None };
    assert_eq!(lab.refused(run), Code::PathUnverified);
    assert_eq!(lab.steps(), [""; 0]);
    assert!(lab.policy.windows.path * 2 < Duration::from_secs(1_300));
}
