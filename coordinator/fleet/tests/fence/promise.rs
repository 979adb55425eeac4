//! What fencing is for: a cut heartbeat with a living management line is ended by demoting the explained victim.

use hafleet_fleet::{
    FindingKind, VrrpState,
    fence::{Aftercare, FenceState, FenceVerb, Mode, RefusalCode},
    view::GroupState,
};

use crate::{
    lab::Lab,
    network::{ip, vip},
    world::node,
};

#[test]
fn the_explained_victim_is_demoted_within_five_seconds_of_the_confirmation() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.run_until(4_000, "confirmed", |lab| lab.world.firing(FindingKind::SplitBrainConfirmed).is_some());
    let took = lab.run_until(5_000, "demoted", |lab| !lab.steps.is_empty());
    assert!(took <= 5_000, "{took} ms");
    assert_eq!(lab.steps(), ["demote lb02"]);
    lab.run(10_000);
    let row = lab.operation();
    assert_eq!((row.state, row.aftercare), (FenceState::Resolved, Aftercare::Done));
    assert_eq!(row.explanation, "lb02 loses: its priority 100 is lower than 150");
    assert_eq!(lab.world.group().state, GroupState::Ok);
    assert_eq!(lab.world.group().holder, Some(node("lb01")));
    assert!(lab.world.firing(FindingKind::SplitBrainConfirmed).is_none());
    let finding = lab.world.expect(FindingKind::Fence);
    assert!(finding.action.contains("hactl fence release lb02"), "{}", finding.action);

    // The line is mended, and a person lets it back.
    lab.world.segment.filtered.clear();
    lab.run(5_000);
    assert_eq!(lab.steps(), ["demote lb02"], "it stays down until then");
    assert_eq!(lab.ask(FenceVerb::Release { node: node("lb02") }).ok().flatten(), Some(lab.operation().id));
    lab.run(3_000);
    assert_eq!(lab.steps(), ["demote lb02", "withdraw lb02"]);
    assert_eq!((lab.state(), lab.operation().withdrawn), (FenceState::Released, true));
    assert!(lab.world.firing(FindingKind::Fence).is_none());
    assert_eq!(lab.standing.attempts, [].into(), "it has rejoined");
    assert_eq!(lab.world.fleet.fences().operations, []);
}

#[test]
fn long_intervals_are_ended_within_five_seconds_of_their_confirmation_too() {
    let mut lab = Lab::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        lab.world.edit(name, |report| report.interval = std::time::Duration::from_secs(4));
    }
    lab.split();
    lab.run_until(12_000, "confirmed", |lab| lab.world.firing(FindingKind::SplitBrainConfirmed).is_some());
    lab.run_until(5_000, "demoted", |lab| !lab.steps.is_empty());
}

#[test]
fn every_group_of_a_cut_line_is_ended_by_one_operation_for_each_host() {
    let mut lab = Lab::new(&[150, 100]);
    // Three more groups; of the last one the other host is the better.
    for (index, name) in [(0_u8, "lb01"), (1, "lb02")] {
        let mut host = lab.world.segment.host(name).clone();
        for extra in 1..=3_u8 {
            let mut instance = host.instances[0].clone();
            instance.report.instance = format!("VI_{}", extra + 1);
            instance.report.vrid = 60 + extra;
            instance.report.addresses = vec![(ip(100 + extra), 24)];
            instance.report.addresses_present.clear();
            instance.report.state = VrrpState::Backup;
            let better = if extra == 3 { 1 } else { 0 };
            instance.report.priority = if index == better { 150 } else { 100 };
            instance.report.effective_priority = instance.report.priority;
            host.instances.push(instance);
        }
        *lab.world.segment.host(name) = host;
    }
    lab.world.filter("lb01", "lb02");
    let now = lab.world.now_us;
    for name in ["lb01", "lb02"] {
        for index in 0..4 {
            let host = lab.world.segment.host(name);
            if host.instances[index].report.state != VrrpState::Master {
                host.enter(index, VrrpState::Master, "master_down", now + 200 * index as u64);
            }
        }
    }
    lab.run(1_000);
    lab.world.say("lb01");
    lab.world.say("lb02");
    lab.run(12_000);
    for (name, held) in [("lb01", vec!["VI_4"]), ("lb02", vec!["VI_1", "VI_2", "VI_3"])] {
        let host = lab.world.segment.host(name).clone();
        let down = host.instances.iter().filter(|it| it.report.state == VrrpState::Fault);
        let down: Vec<&str> = down.map(|it| it.report.instance.as_str()).collect();
        assert_eq!(
            down,
            held,
            "{name}: {:?} {:#?}",
            lab.steps,
            lab.audit
                .iter()
                .map(|l| (l.at.as_micros(), l.action.clone(), l.group.clone(), l.refused, l.detail.clone()))
                .collect::<Vec<_>>()
        );
    }
    assert_eq!(lab.rows.len(), 2, "one operation for each host");
    assert!(lab.world.view().groups.iter().all(|group| group.state == GroupState::Ok));
    assert_eq!(lab.standing.attempts.get(&node("lb02")), Some(&1), "groups that join are no new attempt");
}

#[test]
fn without_a_policy_or_a_lease_nothing_is_said_or_done() {
    let mut lab = Lab::new(&[150, 100]);
    lab.tell(hafleet_fleet::fence::FenceInput::NotLeader);
    lab.split();
    lab.run(20_000);
    lab.untouched(RefusalCode::NotLeader);
    assert_eq!(lab.rows.len(), 0);
    let mut world = crate::world::World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(20_000);
    assert_eq!(world.fenced, []);
    assert_eq!(world.fleet.fences().mode, Mode::Disabled);
    assert!(world.explain().contains(&vip().to_string()));
}
