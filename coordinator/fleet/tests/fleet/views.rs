//! What people see and are told in words.

use hafleet_fleet::{VrrpState, view::GroupState};

use crate::{
    network::{ip, vip},
    world::{World, at, group, site},
};

#[test]
fn the_election_is_told_in_words() {
    let mut world = World::new(&[150, 100, 50]);
    world.edit("lb01", |report| {
        report.reason_detail = "master 10.0.0.2 has priority 100, ours is 150".to_owned()
    });
    world.disconnect("lb03");
    world.run(5_000);
    let told = world.explain();
    let expected = [
        "VI_1 in dc1 is the group of 10.0.0.100; its members are lb01, lb02 and lb03.",
        "lb01 is MASTER since 17 min 5 s, with priority 150: it has a better priority than the master before it (master \
         10.0.0.2 has priority 100, ours is 150).",
        "lb02 follows as BACKUP since 17 min 5 s, with priority 100: it was started.",
        "lb03 is stale: its last word is 5 s old. It was BACKUP then; that is not counted.",
        "If lb01 failed, lb02 would take over after about 3.6 s (its Master_Down time), with priority 100; if lb01 were \
         stopped in order, within its skew time.",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert_eq!(world.fleet.explain(&group(ip(9)), at(world.now_us)), None);
}

#[test]
fn a_better_member_that_waits_is_explained() {
    let mut world = World::new(&[150, 100]);
    world.enter("lb01", VrrpState::Backup, "link_restored");
    world.enter("lb02", VrrpState::Master, "master_down");
    world.edit("lb01", |report| report.preempt = false);
    assert!(
        world.explain().contains("lb01 has the higher priority, but lets lb02 be: nopreempt."),
        "{}",
        world.explain()
    );
}

#[test]
fn the_next_master_is_the_one_with_the_better_priority_then_address() {
    let mut world = World::new(&[150, 100, 50]);
    world.edit("lb02", |report| report.effective_priority = 40);
    assert!(world.explain().contains("lb03 would take over"), "{}", world.explain());
    assert!(world.explain().contains("priority 40 (100 configured)"), "{}", world.explain());
    world.edit("lb02", |report| report.effective_priority = 50);
    assert!(
        world.explain().contains("lb03 would take over"),
        "a tie goes to the higher address: {}",
        world.explain()
    );
    world.enter("lb02", VrrpState::Fault, "link_missing");
    world.enter("lb03", VrrpState::Fault, "link_missing");
    assert!(world.explain().contains("nobody could take over now"), "{}", world.explain());
}

#[test]
fn a_group_is_in_one_state_at_a_time() {
    let mut world = World::new(&[150, 100]);
    assert_eq!(world.group().state, GroupState::Ok);
    world.enter("lb02", VrrpState::Master, "master_down");
    assert_eq!((world.group().state, world.group().holder), (GroupState::Changing, None));
    world.run(3_000);
    assert_eq!(world.group().state, GroupState::SplitBrain);
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(1_500);
    assert_eq!(world.group().state, GroupState::Ok);
    world.enter("lb01", VrrpState::Fault, "link_no_carrier");
    assert_eq!(world.group().state, GroupState::Changing);
    world.run(9_000);
    assert_eq!(world.group().state, GroupState::NoMaster);
    world.disconnect("lb01");
    assert_eq!(world.group().state, GroupState::Unknown);
}

#[test]
fn members_are_shown_best_first_and_nodes_with_their_age() {
    let mut world = World::new(&[50, 150, 100]);
    world.disconnect("lb03");
    world.run(2_000);
    let members: Vec<_> = world.group().members.into_iter().map(|member| member.node.0).collect();
    assert_eq!(members, ["lb02", "lb03", "lb01"]);
    let view = world.view();
    let lost = view.nodes.iter().find(|node| node.node.0 == "lb03").expect("lb03");
    assert!(!lost.connected && !lost.fresh);
    assert_eq!(lost.age.map(|age| age.as_millis()), Some(2_000));
    assert_eq!(lost.site, site());
}

#[test]
fn a_name_that_members_do_not_agree_on_is_the_address() {
    let mut world = World::new(&[150, 100]);
    assert_eq!(world.group().name, "VI_1");
    let mut host = world.segment.host("lb02").clone();
    host.instances[0].report.instance = "web".to_owned();
    *world.segment.host("lb02") = host;
    world.say("lb02");
    assert_eq!(world.group().name, vip().to_string());
    assert_eq!(world.group().members.len(), 2, "the old instance is gone");
}
