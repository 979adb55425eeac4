//! Members that are configured differently.

use std::time::Duration;

use hafleet_fleet::{CauseCode, Finding, FindingKind, Input, InstanceReport, Refused, VrrpState};

use crate::{
    network::{Host, ip, vip},
    world::{World, node},
};

const MISMATCH: FindingKind = FindingKind::ConfigMismatch;

fn after(change: impl FnOnce(&mut InstanceReport)) -> Finding {
    let mut world = World::new(&[150, 100]);
    world.edit("lb02", change);
    let took = world.run_until(6_000, "config_mismatch", |world| world.firing(MISMATCH).is_some());
    assert!(took >= 4_900, "{took} ms");
    assert_eq!(world.told(), ["config_mismatch firing warning"]);
    let finding = world.expect(MISMATCH);
    world.edit("lb02", |report| *report = crate::network::report("VI_1", ip(2), 100));
    world.run(1_500);
    assert_eq!(world.told(), ["config_mismatch firing warning", "config_mismatch resolved warning"]);
    finding
}

#[test]
fn each_setting_is_named_with_both_values_and_places() {
    let finding = after(|report| report.interval = Duration::from_secs(2));
    assert!(
        finding.summary.contains("advertisement interval: 1 s on lb01 (agent.toml:150), 2 s on lb02"),
        "{finding:#?}"
    );
    let values: Vec<_> = finding.evidence.iter().map(|evidence| evidence.facts["value"].as_str()).collect();
    assert_eq!(values, ["1 s", "2 s"]);

    let finding = after(|report| report.vrid = 52);
    assert_eq!(finding.cause_code, CauseCode::VridMismatch);
    assert!(finding.summary.contains("VRID: 51 on lb01"), "{}", finding.summary);
    assert!(after(|report| report.version = 2).summary.contains("VRRP version: 2 on lb02"));
    assert!(after(|report| report.auth = "pass".to_owned()).summary.contains("authentication: none on lb01"));
    assert!(after(|report| report.priority = 150).summary.contains("priority: 150 on lb01 and lb02 alike"));
}

#[test]
fn another_address_set_is_told_once_and_by_the_lowest_common_address() {
    let mut world = World::new(&[150, 100, 50]);
    world.edit("lb01", |report| report.addresses = vec![(vip(), 24), (ip(101), 24), (ip(102), 24)]);
    world.edit("lb02", |report| report.addresses = vec![(vip(), 24), (ip(101), 24)]);
    world.run(8_000);
    assert_eq!(world.view().groups.len(), 3, "members differ, so they do not all move together");
    assert_eq!(world.told(), ["config_mismatch firing warning"]);
    let finding = world.expect(MISMATCH);
    assert_eq!(finding.subject, "dc1/10.0.0.100");
    assert!(finding.summary.contains("10.0.0.100, 10.0.0.101 and 10.0.0.102 on lb01"), "{}", finding.summary);
}

#[test]
fn the_order_of_addresses_and_their_prefix_lengths_are_nobodys_business() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb01", |report| report.addresses = vec![(vip(), 24), (ip(101), 24)]);
    world.edit("lb02", |report| report.addresses = vec![(ip(101), 32), (vip(), 32)]);
    world.run(10_000);
    world.silence("an order");
}

#[test]
fn a_single_member_has_nothing_to_differ_from() {
    let mut world = World::new(&[150]);
    world.edit("lb01", |report| report.vrid = 99);
    world.run(10_000);
    world.silence("one member");
}

#[test]
fn one_vrid_for_two_sets_of_addresses_is_told_where_it_is_heard_and_once() {
    let mut world = World::new(&[150, 100]);
    let mut stranger = Host::new(7, "web07", 120);
    stranger.instances[0].report.addresses = vec![(ip(200), 24)];
    world.segment.hosts.push(stranger);
    let now = world.now_us;
    world.segment.host("web07").enter(0, VrrpState::Master, "master_down", now);
    world.connect("web07");
    world.run(10_000);
    assert_eq!(world.told(), ["config_mismatch firing warning"]);
    let finding = world.expect(MISMATCH);
    assert_eq!(finding.subject, "dc1/10.0.0.100", "the lower group tells");
    assert!(
        finding.summary.contains("VRID 51") && finding.summary.contains("10.0.0.200 on web07"),
        "{}",
        finding.summary
    );
}

#[test]
fn one_vrid_on_two_segments_of_a_site_is_fine() {
    let mut world = World::new(&[150, 100]);
    let mut other = Host::new(7, "web07", 120);
    other.instances[0].report.addresses = vec![(ip(200), 24)];
    world.segment.hosts.push(other);
    for name in ["lb01", "lb02"] {
        world.cut(name, "web07");
    }
    let now = world.now_us;
    world.segment.host("web07").enter(0, VrrpState::Master, "master_down", now);
    world.connect("web07");
    world.run(10_000);
    world.silence("another segment");
}

#[test]
fn a_stale_member_differs_from_nobody_and_resolves_nothing() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb02", |report| report.vrid = 52);
    world.run(6_000);
    world.expect(MISMATCH);
    world.disconnect("lb02");
    world.run(20_000);
    assert!(world.firing(MISMATCH).is_some());
}

fn refuse(world: &mut World, why: &str) {
    let refused = Refused { why: why.to_owned(), age: Duration::from_secs(2) };
    world.segment.host("lb01").refused = Some(refused);
    world.say("lb01");
}

#[test]
fn a_configuration_that_was_refused_is_told_at_once_and_until_one_is_taken() {
    let mut world = World::new(&[150, 100]);
    let why = "the configuration has errors, so nothing of it is taken\n\
               agent.toml:3:1: error: `priorty` is not a key of [[instance]]";
    refuse(&mut world, why);
    assert_eq!(world.told(), ["config_refused firing warning"]);
    let finding = world.expect(FindingKind::ConfigRefused);
    assert_eq!((finding.subject.as_str(), finding.cause_code), ("node/lb01", CauseCode::ConfigInvalid));
    assert!((world.seconds(finding.since) - 2.0).abs() < 0.001, "{finding:#?}");
    assert!(
        finding.cause.ends_with("agent.toml:3:1: error: `priorty` is not a key of [[instance]]"),
        "{finding:#?}"
    );
    assert_eq!(finding.evidence[0].facts["why"], why);

    // A node that falls silent has not taken it.
    world.disconnect("lb01");
    world.run(20_000);
    world.expect(FindingKind::ConfigRefused);
    world.restart_coordinator();
    world.connect_all();
    world.run(20_000);
    world.expect(FindingKind::ConfigRefused);

    world.segment.host("lb01").refused = None;
    world.run(3_000);
    assert_eq!(world.told(), ["config_refused firing warning", "config_refused resolved warning"]);
}

#[test]
fn a_long_list_of_errors_is_cut_in_the_cause_only() {
    let mut world = World::new(&[150, 100]);
    let why = "ü: error\n".repeat(100);
    refuse(&mut world, &why);
    let finding = world.expect(FindingKind::ConfigRefused);
    assert!(finding.cause.ends_with('…') && finding.cause.len() < 410, "{}", finding.cause);
    assert_eq!(finding.evidence[0].facts["why"], why);
}

/// Also in maintenance: its order is in the very file.
#[test]
fn a_node_that_cannot_read_its_orders_is_told_at_once_and_until_it_can() {
    let mut world = World::new(&[150, 100]);
    world.input(Input::Maintenance { node: node("lb02"), on: true });
    let why = "the standing orders in /var/lib/hafleet/agent/orders.json cannot be read: EOF";
    let unreadable = |world: &mut World, why: Option<&str>| {
        world.segment.host("lb02").orders_unreadable = why.map(str::to_owned);
        world.say("lb02");
    };
    unreadable(&mut world, Some(why));
    assert_eq!(world.told(), ["orders_unreadable firing warning"]);
    let finding = world.expect(FindingKind::OrdersUnreadable);
    assert_eq!((finding.subject.as_str(), finding.cause_code), ("node/lb02", CauseCode::FileDamaged));
    assert_eq!((finding.cause.as_str(), finding.evidence[0].facts["why"].as_str()), (why, why));
    // Other words are the same trouble, and a node that falls silent has not read them.
    let since = finding.since;
    world.run(5_000);
    unreadable(&mut world, Some("still not"));
    world.disconnect("lb02");
    world.run(20_000);
    assert_eq!(world.expect(FindingKind::OrdersUnreadable).since, since);
    world.connect("lb02");
    unreadable(&mut world, None);
    world.run(3_000);
    let told = world.told();
    let about = told.iter().filter(|line| line.starts_with("orders_unreadable")).collect::<Vec<_>>();
    assert_eq!(about, ["orders_unreadable firing warning", "orders_unreadable resolved warning"]);
}
