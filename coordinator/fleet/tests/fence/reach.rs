//! How far a step reaches: every group of the node has its word, and a node that was fenced is not held down by what is never fenced.

use hafleet_fleet::{
    VrrpState,
    fence::{Aftercare, Device, FenceState, FenceVerb, Mode, RefusalCode as Code, Rung},
};

use crate::{
    lab::{Behaviour, Lab},
    network::{ip, vip},
    world::{group, node},
};

/// lb02 and lb03 have a second address, which lb03 holds; lb02's agent does not do what it is told.
pub fn two_addresses(second: Mode) -> Lab {
    let mut lab = Lab::witnessed();
    add_second(&mut lab);
    lab.policy.group_modes.insert(group(ip(101)), second);
    lab.configure();
    lab.run(2_000);
    lab
}

fn add_second(lab: &mut Lab) {
    let now = lab.world.now_us;
    for name in ["lb02", "lb03"] {
        let host = lab.world.segment.host(name);
        let mut instance = host.instances[0].clone();
        instance.report.instance = "VI_2".to_owned();
        (instance.report.vrid, instance.report.addresses) = (52, vec![(ip(101), 24)]);
        host.instances.push(instance);
    }
    lab.world.segment.host("lb03").enter(1, VrrpState::Master, "preempted", now);
}

#[test]
fn rule_1_a_program_asks_every_group_of_the_node_for_its_mode() {
    let cases = [
        (Mode::Auto, vec!["demote lb02", "network off lb02"], FenceState::Quarantined),
        (Mode::Approve, vec!["demote lb02"], FenceState::AwaitingApproval),
        (Mode::DryRun, vec!["demote lb02"], FenceState::AwaitingApproval),
        (Mode::Disabled, vec!["demote lb02"], FenceState::Failed),
    ];
    for (mode, steps, state) in cases {
        let mut lab = two_addresses(mode);
        lab.disobedient.insert("lb02".to_owned());
        lab.split();
        lab.run_until(300_000, "its end", |lab| lab.rows.values().any(|row| row.state == state));
        assert_eq!(lab.steps()[..steps.len()], steps, "{mode}");
        let offs = lab.steps().iter().filter(|step| step.contains("off")).count();
        assert_eq!(offs, steps.len() - 1, "{mode}: a demote takes one address, a program all of them");
    }
}

#[test]
fn rule_1_a_frozen_agent_is_fenced_only_as_far_as_its_other_groups_allow() {
    for (mode, state, rows) in
        [(Mode::Approve, FenceState::AwaitingApproval, 1), (Mode::DryRun, FenceState::Denied, 1)]
    {
        let mut lab = two_addresses(mode);
        lab.world.filter("lb01", "lb02");
        lab.run(2_000);
        lab.world.enter("lb02", VrrpState::Master, "master_down");
        // It says nothing more to the coordinator, and its router goes on.
        lab.world.uplinks.get_mut("lb02").expect("lb02").late_us = 3_600_000_000;
        lab.run(300_000);
        assert_eq!((lab.steps(), lab.state(), lab.rows.len()), (vec![], state, rows), "{mode}");
    }
    let mut lab = two_addresses(Mode::Disabled);
    lab.world.filter("lb01", "lb02");
    lab.run(2_000);
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.world.uplinks.get_mut("lb02").expect("lb02").late_us = 3_600_000_000;
    lab.run(300_000);
    lab.untouched(Code::Disabled);
    assert_eq!(lab.rows.len(), 0);
}

#[test]
fn rule_7_a_program_acts_on_every_group_of_its_node() {
    let mut lab = Lab::new(&[150, 100, 50, 40]);
    lab.policy.devices.insert(node("lb02"), [(Rung::Network, Device("a port".to_owned()))].into());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    lab.disobedient.insert("lb02".to_owned());
    add_second(&mut lab);
    lab.world.edit("lb04", |report| (report.vrid, report.addresses) = (52, vec![(ip(101), 24)]));
    lab.configure();
    lab.run(2_000);
    lab.split();
    lab.run_until(90_000, "the program", |lab| lab.steps.len() == 2);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"]);
    assert_eq!(lab.operation().groups, [group(vip())].into());
    assert_eq!(lab.standing.acted[0].groups, [group(vip()), group(ip(101))].into(), "both rates count it");
    // The program is about to take lb02 out of this group too: nobody else is taken out of it meanwhile.
    lab.world.filter("lb03", "lb04");
    lab.world.enter("lb04", VrrpState::Master, "master_down");
    lab.run(30_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"]);
    assert!(lab.refusals().contains(&Code::GroupBusy), "{:?}", lab.refusals());
    assert_eq!(lab.run_demote("lb03").map_err(|refusal| refusal.code), Err(Code::GroupBusy));
}

#[test]
fn rule_23_after_a_program_every_group_of_the_node_is_looked_at() {
    for (serves, aftercare) in [(true, Aftercare::Done), (false, Aftercare::Escalated)] {
        let mut lab = two_addresses(Mode::Auto);
        lab.disobedient.insert("lb02".to_owned());
        lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Fails);
        lab.split();
        lab.run_until(200_000, "power", |lab| lab.steps.len() == 3);
        if !serves {
            let now = lab.world.now_us;
            lab.world.segment.host("lb03").enter(1, VrrpState::Backup, "higher_priority_heard", now);
        }
        lab.run(120_000);
        assert_eq!((lab.state(), lab.operation().aftercare), (FenceState::Quarantined, aftercare));
    }
}

/// lb02 was switched off; then somebody changes the policy, and it comes back.
fn comes_back(change: fn(&mut Lab)) -> Lab {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Fails);
    lab.split();
    lab.run(120_000);
    assert_eq!(lab.state(), FenceState::Quarantined);
    lab.disobedient.clear();
    lab.steps.clear();
    change(&mut lab);
    lab.configure();
    lab.world.segment.filtered.clear();
    let now = lab.world.now_us;
    let host = lab.world.segment.host("lb02");
    host.up = true;
    host.enter(0, VrrpState::Backup, "started", now);
    lab.world.connect("lb02");
    lab.run(30_000);
    lab
}

#[test]
fn rule_1_and_17_nobody_is_kept_out_whom_nobody_may_fence() {
    assert_eq!(comes_back(|_| {}).steps(), ["demote lb02"]);
    type Change = fn(&mut Lab);
    let ways: [(Change, Code); 5] = [
        (|lab| lab.policy.mode = Mode::Disabled, Code::Disabled),
        (|lab| lab.policy.group_modes.extend([(group(vip()), Mode::Disabled)]), Code::Disabled),
        (|lab| lab.policy.coordinator_hosts.extend([node("lb02")]), Code::Protected),
        (|lab| lab.policy.database_hosts.extend([node("lb02")]), Code::Protected),
        (|lab| lab.maintain("lb02"), Code::Maintenance),
    ];
    for (change, code) in ways {
        let mut lab = comes_back(change);
        lab.untouched(code);
        assert!(lab.ask(FenceVerb::Release { node: node("lb02") }).is_ok());
    }
}

#[test]
fn rule_22_who_is_seen_is_not_down_although_its_agent_is_silent() {
    let mut lab = Lab::witnessed();
    lab.world.uplinks.get_mut("lb01").expect("lb01").late_us = 3_600_000_000;
    lab.run(5_000);
    let confirm = || FenceVerb::Confirm { node: node("lb01") };
    assert_eq!(lab.refused(confirm()), Code::StillSpeaking);
    lab.world.crash("lb01");
    lab.run(6_000);
    assert!(lab.ask(confirm()).is_ok());
    assert_eq!(lab.state(), FenceState::Quarantined);
}
