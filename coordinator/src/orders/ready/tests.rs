#![allow(clippy::unwrap_used)]

use hafleet_fleet::{
    CauseCode, FindingId, GroupKey, InstanceReport, Instant, Severity, Site, view::GroupState,
};

use super::*;

fn name(node: &str) -> NodeName {
    NodeName(node.to_owned())
}

fn member(node: &str, state: VrrpState, priority: u8) -> MemberView {
    let last = u8::try_from(node.len()).unwrap() + priority;
    MemberView {
        node: name(node),
        report: InstanceReport {
            instance: "VI_1".to_owned(),
            interface: "ens33".to_owned(),
            vrid: 51,
            version: 3,
            state,
            in_state: Duration::from_secs(9),
            reason: "started".to_owned(),
            reason_detail: String::new(),
            priority,
            effective_priority: priority,
            interval: Duration::from_secs(1),
            master_down: Duration::from_secs(4),
            auth: "none".to_owned(),
            preempt: true,
            addresses: vec![("10.0.0.100".parse().unwrap(), 24)],
            addresses_present: Vec::new(),
            source: Some(IpAddr::from([10, 0, 0, last])),
            carrier: true,
            interface_errors: 0,
            defined_at: String::new(),
        },
        fresh: true,
        age: Some(Duration::ZERO),
        since: Instant::from_micros(1),
        address_present: state == VrrpState::Master,
    }
}

/// lb01 holds with 150, lb02 and lb03 wait with 100 and 90.
fn group() -> GroupView {
    GroupView {
        key: GroupKey { site: Site("dc1".to_owned()), address: "10.0.0.100".parse().unwrap() },
        name: "VI_1".to_owned(),
        addresses: vec![("10.0.0.100".parse().unwrap(), 24)],
        holder: Some(name("lb01")),
        since: Some(Instant::from_micros(1)),
        state: GroupState::Ok,
        members: vec![
            member("lb01", VrrpState::Master, 150),
            member("lb02", VrrpState::Backup, 100),
            member("lb03", VrrpState::Backup, 90),
        ],
    }
}

fn finding(kind: FindingKind, subject: &str, status: FindingStatus) -> Finding {
    Finding {
        id: FindingId(format!("{kind}@{subject}#1")),
        kind,
        severity: Severity::Warning,
        subject: subject.to_owned(),
        site: Site("dc1".to_owned()),
        status,
        since: Instant::from_micros(1),
        resolved_at: None,
        summary: String::new(),
        cause_code: CauseCode::Unknown,
        cause: String::new(),
        action: String::new(),
        evidence: Vec::new(),
    }
}

fn asked(change: impl FnOnce(&mut GroupView)) -> Result<Plan, NotReady> {
    let mut group = group();
    change(&mut group);
    judge(&Question { group: &group, target: &name("lb02"), findings: &[], held: &BTreeMap::new() })
}

fn said(change: impl FnOnce(&mut GroupView)) -> String {
    asked(change).unwrap_err().to_string()
}

#[test]
fn one_above_the_highest_of_the_others() {
    let plan = asked(|_| {}).unwrap();
    let expected = Plan { instances: vec!["VI_1".to_owned()], priority: 151, from: Some(name("lb01")) };
    assert_eq!(plan, expected);
    // A track that is down on the holder may come back, and a silent member may advertise.
    assert_eq!(asked(|group| group.members[0].report.effective_priority = 50).unwrap().priority, 151);
    assert_eq!(asked(|group| group.members[0].report.effective_priority = 200).unwrap().priority, 201);
    let silent = |group: &mut GroupView| {
        group.members[2].fresh = false;
        group.members[2].report.priority = 253;
    };
    assert_eq!(asked(silent).unwrap().priority, 254);
    // It may be the highest by itself (nopreempt), and must not become less.
    assert_eq!(
        asked(|group| group.members[1].report.priority = 200).err().map(|error| error.to_string()).unwrap(),
        "something that lb02 tracks is down: its priority is 100 of 200 (VI_1)"
    );
    let highest = |group: &mut GroupView| {
        group.members[1].report.priority = 200;
        group.members[1].report.effective_priority = 200;
    };
    assert_eq!(asked(highest).unwrap().priority, 200);
}

#[test]
fn several_instances_of_the_target_go_together() {
    let plan = asked(|group| {
        let mut second = member("lb02", VrrpState::Backup, 120);
        second.report.instance = "VI_2".to_owned();
        group.members.push(second);
    });
    assert_eq!(plan.unwrap().instances, ["VI_1", "VI_2"]);
}

#[test]
fn what_cannot_win_is_refused() {
    assert_eq!(
        said(|group| group.members[0].report.priority = 255),
        "lb01 owns the address (priority 255) and takes it back whenever it is up"
    );
    let stale_owner = |group: &mut GroupView| {
        group.members[2].fresh = false;
        group.members[2].report.priority = 255;
    };
    assert!(said(stale_owner).contains("lb03 owns the address"));
    assert_eq!(
        said(|group| group.members[0].report.effective_priority = 254),
        "lb01 has priority 254; nothing below 255 is higher than what it can have"
    );
}

#[test]
fn each_reason_against_it_is_told() {
    assert_eq!(
        said(|group| group.members[1].fresh = false),
        "lb02 is not heard, last 0 s ago; whether it can serve is not known"
    );
    let never = |group: &mut GroupView| {
        group.members[1].fresh = false;
        group.members[1].age = None;
    };
    assert!(said(never).contains("since the coordinator started"));
    let silent_holder = |group: &mut GroupView| {
        group.members[0].fresh = false;
        group.holder = None;
    };
    assert_eq!(
        said(silent_holder),
        "lb01 held it when it was last heard; that it releases it could not be seen"
    );
    let fault = |group: &mut GroupView| {
        group.members[1].report.state = VrrpState::Fault;
        group.members[1].report.reason = "track_failed".to_owned();
        group.members[1].report.reason_detail = "script nginx: exit 1".to_owned();
    };
    assert_eq!(said(fault), "lb02 is FAULT and not BACKUP (VI_1): track_failed: script nginx: exit 1");
    assert!(said(|group| group.members[1].report.state = VrrpState::Init).contains("INIT"));
    assert_eq!(said(|group| group.members[1].report.carrier = false), "ens33 of lb02 has no carrier");
    assert_eq!(
        said(|group| group.members[1].report.effective_priority = 40),
        "something that lb02 tracks is down: its priority is 40 of 100 (VI_1)"
    );
    assert!(said(|group| group.members[1].report.source = None).contains("no address to advertise from"));
    assert!(said(|group| drop(group.members.remove(1))).contains("its members are lb01, lb03"));
    let holds = |group: &mut GroupView| {
        group.members.swap(0, 1);
        group.holder = Some(name("lb02"));
        group.members[0].report.state = VrrpState::Master;
    };
    assert_eq!(asked(holds), Err(NotReady::Holds(name("lb02"))));
}

#[test]
fn a_leg_in_the_network_is_needed_where_others_have_one() {
    let elsewhere =
        |group: &mut GroupView| group.members[1].report.source = Some(IpAddr::from([10, 9, 0, 2]));
    assert!(said(elsewhere).contains("10.9.0.2 on ens33, which is not in the network of 10.0.0.100/24"));
    let alone = |group: &mut GroupView| {
        elsewhere(group);
        group.addresses[0].1 = 32;
    };
    asked(alone).unwrap();
    let nobody = |group: &mut GroupView| {
        for member in &mut group.members {
            member.report.source = Some(IpAddr::from([10, 9, 0, 2]));
        }
    };
    asked(nobody).unwrap();
}

#[test]
fn a_group_in_trouble_and_a_node_that_is_held_are_left_alone() {
    let target = name("lb02");
    let group = group();
    let judged = |findings: &[Finding], held: &BTreeMap<NodeName, String>| {
        judge(&Question { group: &group, target: &target, findings, held })
    };
    let none = BTreeMap::new();
    let subject = "dc1/10.0.0.100";
    for kind in
        [FindingKind::SplitBrainConfirmed, FindingKind::SplitBrainSuspected, FindingKind::ConfigMismatch]
    {
        let fires = [finding(kind, subject, FindingStatus::Firing)];
        assert_eq!(judged(&fires, &none), Err(NotReady::Finding { id: format!("{kind}@{subject}#1") }));
        judged(&[finding(kind, subject, FindingStatus::Pending)], &none).unwrap();
        judged(&[finding(kind, "dc1/10.0.0.101", FindingStatus::Firing)], &none).unwrap();
    }
    judged(&[finding(FindingKind::NoMaster, subject, FindingStatus::Firing)], &none).unwrap();
    let held = BTreeMap::from([(name("lb02"), "maintenance/lb02/7".to_owned())]);
    assert_eq!(judged(&[], &held).unwrap_err().to_string(), "lb02 is held back by maintenance/lb02/7");
    judged(&[], &BTreeMap::from([(name("lb03"), "fence/1".to_owned())])).unwrap();
}
