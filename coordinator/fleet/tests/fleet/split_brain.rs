//! Two fresh claims: when they are confirmed, why, and when it is over.

use hafleet_fleet::{CauseCode, FindingKind, FindingStatus, Severity, VrrpState, view::GroupState};

use crate::{
    network::{MS, SECOND, vip},
    world::World,
};

const CONFIRMED: FindingKind = FindingKind::SplitBrainConfirmed;
const SUSPECTED: FindingKind = FindingKind::SplitBrainSuspected;

/// lb02 becomes MASTER too, and the whole promise of the design is kept.
fn both_masters(world: &mut World) -> hafleet_fleet::Finding {
    world.enter("lb02", VrrpState::Master, "master_down");
    let took = world.run_until(3_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took >= 2_000, "two intervals must pass, not {took} ms");
    world.expect(CONFIRMED)
}

#[test]
fn filtered_vrrp_is_confirmed_named_and_resolved() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.id.0, "split_brain.confirmed@dc1/10.0.0.100#1");
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.cause_code, CauseCode::VrrpFiltered);
    for word in [
        "something filters VRRP",
        "protocol 112",
        "iptables -I INPUT -p 112",
        "nft insert rule",
        "lb01",
        "lb02",
    ] {
        assert!(finding.cause.contains(word), "`{word}` is missing: {}", finding.cause);
    }
    assert!(finding.summary.contains("lb01 and lb02 both hold 10.0.0.100"), "{}", finding.summary);
    assert!(
        finding.action.contains("nft insert rule") && finding.action.contains("hactl explain 10.0.0.100")
    );
    let kinds: Vec<_> = finding.evidence.iter().map(|evidence| evidence.kind).collect();
    for kind in ["asserts_master", "hears_nobody", "arp_answered"] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 2, "{kind} from both: {kinds:?}");
    }
    assert_eq!(world.group().state, GroupState::SplitBrain);
    assert!(world.explain().contains("something filters VRRP"), "{}", world.explain());

    world.segment.filtered.clear();
    world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    world.run(900);
    assert!(world.firing(CONFIRMED).is_some(), "not before the resolve window");
    world.run_until(1_000, "resolved", |world| world.firing(CONFIRMED).is_none());
    assert_eq!(world.group().holder.map(|node| node.0).as_deref(), Some("lb01"));
    let last = &world.said.last().expect("said").1;
    assert_eq!(last.status, FindingStatus::Resolved);
    assert!(last.resolved_at.is_some());
    assert_eq!(
        world.told(),
        ["split_brain.confirmed firing critical", "split_brain.confirmed resolved critical"],
        "told once of each"
    );
}

#[test]
fn a_cut_line_is_told_from_a_filter() {
    let mut world = World::new(&[150, 100]);
    world.cut("lb01", "lb02");
    world.run(4_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::LinkCut, "{}", finding.cause);
    assert!(finding.evidence.iter().any(|evidence| evidence.kind == "arp_unanswered"));
}

#[test]
fn one_direction_is_told_from_both() {
    let mut world = World::new(&[150, 100]);
    world.filter_one_way("lb01", "lb02");
    world.run(4_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::OneWay, "{}", finding.cause);
    assert!(finding.cause.contains("lb02 hears nothing from lb01"), "{}", finding.cause);
    assert!(finding.action.starts_with("on lb02"), "{}", finding.action);
}

#[test]
fn rejected_adverts_print_both_values() {
    let mut world = World::new(&[150, 100]);
    let why = ("interval_mismatch".to_owned(), "heard 2 s, configured 1 s".to_owned());
    world.segment.rejects.insert("lb02".to_owned(), why);
    world.run(4_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::Rejected, "{}", finding.cause);
    assert!(finding.cause.contains("interval_mismatch (heard 2 s, configured 1 s)"), "{}", finding.cause);
}

#[test]
fn a_wrong_vrid_is_named_with_its_places() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb02", |report| (report.vrid, report.defined_at) = (52, "keepalived.conf:7".to_owned()));
    world.run(1_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::VridMismatch, "{}", finding.cause);
    assert!(finding.cause.contains("52 on lb02 (keepalived.conf:7)"), "{}", finding.cause);
}

#[test]
fn lost_carrier_and_rising_errors_point_at_the_hardware() {
    let mut world = World::new(&[150, 100]);
    world.cut("lb01", "lb02");
    world.edit("lb01", |report| report.carrier = false);
    world.run(4_000);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::Carrier, "{}", finding.cause);

    let mut world = World::new(&[150, 100]);
    world.cut("lb01", "lb02");
    world.run(4_000);
    world.edit("lb01", |report| report.interface_errors = 700);
    let finding = both_masters(&mut world);
    assert_eq!(finding.cause_code, CauseCode::Carrier, "{}", finding.cause);
    assert!(finding.cause.contains("eth0 on lb01"), "{}", finding.cause);
}

#[test]
fn an_instance_with_three_addresses_is_one_group_and_one_finding() {
    let mut world = World::new(&[150, 100]);
    let three = [(vip(), 24), (crate::network::ip(101), 24), (crate::network::ip(102), 32)];
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| report.addresses = three.to_vec());
    }
    world.filter("lb01", "lb02");
    world.run(4_000);
    both_masters(&mut world);
    world.run(5_000);
    let view = world.view();
    assert_eq!(view.groups.len(), 1);
    assert_eq!(view.groups[0].addresses, three);
    assert_eq!(view.groups[0].key.address, vip(), "the lowest address is the key");
    assert_eq!(view.findings.len(), 1, "{:#?}", view.findings);
    assert!(world.explain().contains("10.0.0.102"));
}

#[test]
fn fast_adverts_are_confirmed_after_a_second() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| report.interval = std::time::Duration::from_millis(100));
    }
    world.filter("lb01", "lb02");
    world.run(4_000);
    world.enter("lb02", VrrpState::Master, "master_down");
    let took = world.run_until(1_500, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took >= 1_000, "{took} ms");
}

#[test]
fn the_evidence_is_kept_fresh_by_a_bounded_number_of_probes() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    both_masters(&mut world);
    let (probes, said) = (world.probes.len(), world.said.len());
    world.run(100_000);
    let more = world.probes.len() - probes;
    assert!((9..=11).contains(&more), "one probe every ten seconds, not {more} in 100 s");
    assert!(
        world.said.len() - said <= 15,
        "at most a rewrite every ten seconds: {}",
        world.said.len() - said
    );
    assert_eq!(world.told().len(), 1);
    let newest = world.expect(CONFIRMED);
    let oldest = newest.evidence.iter().map(|evidence| evidence.at).min().expect("evidence");
    assert!(world.seconds(oldest) < 12.0, "the evidence is {} s old", world.seconds(oldest));
}

#[test]
fn a_claimant_that_does_not_answer_is_suspected_only() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    world.uplinks.get_mut("lb01").expect("uplink").answers = false;
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run_until(4_000, "suspected", |world| world.firing(SUSPECTED).is_some());
    world.run(30_000);
    assert!(world.firing(CONFIRMED).is_none(), "nobody confirms what was not said again");
    assert_eq!(world.expect(SUSPECTED).severity, Severity::Warning);
    world.run(60_000);
    assert_eq!(world.expect(SUSPECTED).severity, Severity::Critical, "escalated after 60 s");
    assert_eq!(
        world.told(),
        ["split_brain.suspected firing warning", "split_brain.suspected firing critical"],
        "told of firing and of the escalation"
    );

    world.uplinks.get_mut("lb01").expect("uplink").answers = true;
    world.run_until(11_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(world.firing(SUSPECTED).is_none(), "one finding for one split brain");
    assert!(world.said.iter().any(|(_, finding, _)| finding.summary.contains("proven by now")));
}

#[test]
fn a_claimant_that_falls_silent_makes_it_suspected_and_not_over() {
    let mut world = World::new(&[150, 100]);
    world.cut("lb01", "lb02");
    world.run(4_000);
    let confirmed = both_masters(&mut world);
    world.run(5_000);
    world.disconnect("lb01");
    world.run(2_800);
    assert!(world.firing(CONFIRMED).is_some(), "it may be back in a moment");
    world.run(1_000);
    let suspected = world.expect(SUSPECTED);
    assert!(world.firing(CONFIRMED).is_none());
    assert_eq!(suspected.severity, Severity::Critical, "it was proven once");
    assert_eq!(suspected.since, confirmed.since);
    assert!(suspected.summary.contains("lb01 held it last"), "{}", suspected.summary);
    world.run(120_000);
    assert!(world.firing(SUSPECTED).is_some(), "silence resolves nothing");

    world.connect("lb01");
    world.run_until(4_000, "confirmed again", |world| world.firing(CONFIRMED).is_some());
    assert_eq!(world.expect(CONFIRMED).id.0, "split_brain.confirmed@dc1/10.0.0.100#2");
    world.enter("lb01", VrrpState::Backup, "higher_priority_heard");
    world.run(2_000);
    assert!(world.firing(CONFIRMED).is_none() && world.firing(SUSPECTED).is_none());
}

#[test]
fn a_reconnect_within_the_window_changes_nothing() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000);
    both_masters(&mut world);
    world.disconnect("lb01");
    world.run(1_500);
    world.connect("lb01");
    world.run(10_000);
    assert_eq!(world.told(), ["split_brain.confirmed firing critical"]);
}

#[test]
fn heartbeats_alone_are_enough_to_confirm_in_time() {
    let mut world = World::new(&[150, 100]);
    world.filter("lb01", "lb02");
    world.run(4_000 + 250);
    // The message about the change is lost with a broken agent; the next heartbeat says how long it has been so.
    let now = world.now_us;
    world.segment.host("lb02").enter(0, VrrpState::Master, "master_down", now);
    let took = world.run_until(3_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
    assert!(took >= 2_000, "{took} ms");
    assert!((world.expect(CONFIRMED).since.as_micros()).abs_diff(now) < 20 * MS, "since is when it began");
    assert!(world.now_us > now + 2 * SECOND);
}

#[test]
fn two_instances_of_one_host_are_no_split_brain() {
    let mut world = World::new(&[150]);
    let mut twin = world.segment.host("lb01").instances[0].clone();
    twin.report.instance = "VI_2".to_owned();
    world.segment.host("lb01").instances.push(twin);
    world.run(10_000);
    assert!(
        world.said.is_empty() || world.told().iter().all(|told| !told.starts_with("split")),
        "{:?}",
        world.told()
    );
}

#[test]
fn an_answer_to_a_probe_of_before_the_window_proves_nothing() {
    for late_ms in [400, 800, 1_200, 1_600] {
        let mut world = World::new(&[150, 100]);
        world.uplinks.get_mut("lb01").expect("uplink").late_us = late_ms * MS;
        world.run(5_000);
        world.enter("lb02", VrrpState::Master, "master_down");
        world.run(1_500);
        world.enter("lb01", VrrpState::Backup, "higher_priority_heard");
        world.run(10_000);
        let confirmed = world.said.iter().find(|(_, finding, _)| finding.kind == CONFIRMED);
        assert!(confirmed.is_none(), "{late_ms} ms late, 1.5 s of overlap: {confirmed:#?}");
    }
}

#[test]
fn a_slow_management_line_confirms_later() {
    for (late_ms, within_ms) in [(100, 3_000), (300, 3_500), (1_200, 20_000)] {
        let mut world = World::new(&[150, 100]);
        world.filter("lb01", "lb02");
        world.uplinks.get_mut("lb01").expect("uplink").late_us = late_ms * MS;
        world.run(5_000);
        world.enter("lb02", VrrpState::Master, "master_down");
        let took = world.run_until(within_ms, "confirmed", |world| world.firing(CONFIRMED).is_some());
        assert!(took >= 2_000, "{late_ms} ms late, and confirmed after {took} ms");
    }
}

#[test]
fn a_late_third_claimant_proves_nothing_about_the_first_two() {
    let mut world = World::new(&[150, 100, 50]);
    for (a, b) in [("lb01", "lb02"), ("lb01", "lb03"), ("lb02", "lb03")] {
        world.filter(a, b);
    }
    world.uplinks.get_mut("lb01").expect("uplink").answers = false;
    // Heartbeats come between the probe and its deadline, so lb01 is not taken for frozen.
    world.run(4_600);
    world.enter("lb02", VrrpState::Master, "master_down");
    world.run(1_900);
    world.enter("lb03", VrrpState::Master, "master_down");
    world.run(1_900);
    assert!(world.firing(CONFIRMED).is_none(), "lb02 and lb03 have not overlapped for long enough");
    world.run_until(4_000, "confirmed", |world| world.firing(CONFIRMED).is_some());
}

#[test]
fn what_was_said_on_an_older_stream_is_not_the_present() {
    let mut world = World::new(&[150, 100]);
    world.disconnect("lb01");
    world.run(500);
    world.input(hafleet_fleet::Input::NodeConnected {
        node: crate::world::node("lb01"),
        site: crate::world::site(),
    });
    assert_eq!(world.group().holder, None, "lb01 has said nothing on its new stream");
    assert_eq!(world.group().state, GroupState::Unknown);
    world.connect("lb01");
    assert_eq!(world.group().holder, Some(crate::world::node("lb01")));
}
