//! Adverts that are heard and not believed, and strangers that use our VRID.

use std::time::Duration;

use hafleet_fleet::{CauseCode, Finding, FindingKind, Severity};

use crate::{
    network::{Host, ip, vip},
    world::World,
};

const MISMATCH: FindingKind = FindingKind::ConfigMismatch;
const CONFLICT: FindingKind = FindingKind::VridConflict;
const PASSWORD: &str = "authentication type is pass on both sides, but the password is not ours";

fn reject(world: &mut World, listener: &str, reason: &str, detail: &str) {
    world.segment.rejects.insert(listener.to_owned(), (reason.to_owned(), detail.to_owned()));
}

fn fact(finding: &Finding, kind: &str, key: &str) -> String {
    let evidence = finding.evidence.iter().find(|evidence| evidence.kind == kind);
    let evidence = evidence.unwrap_or_else(|| panic!("no {kind}: {finding:#?}"));
    evidence.facts.get(key).unwrap_or_else(|| panic!("no {key}: {finding:#?}")).clone()
}

#[test]
fn a_member_that_is_rejected_is_told_although_nobody_else_is_master() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| report.auth = "pass".to_owned());
    }
    reject(&mut world, "lb02", "auth_mismatch", PASSWORD);
    let took = world.run_until(9_000, "config_mismatch", |world| world.firing(MISMATCH).is_some());
    assert!(took >= 5_000, "{took} ms");
    assert_eq!(world.told(), ["config_mismatch firing warning"]);
    let finding = world.expect(MISMATCH);
    assert_eq!(finding.cause_code, CauseCode::AuthMismatch);
    let expected = format!(
        "the members of 10.0.0.100 (VI_1) reject adverts of the fleet: lb02 rejects the adverts of lb01 (10.0.0.1): \
         auth_mismatch ({PASSWORD})"
    );
    assert!(finding.summary.starts_with(&expected), "{}", finding.summary);
    assert!(
        finding.action.starts_with("on lb01 and lb02: make authentication type and password the same"),
        "{}",
        finding.action
    );
    assert_eq!(fact(&finding, "rejects", "from"), "lb01");
    assert_eq!(fact(&finding, "rejects", "heard"), "none");
    assert_eq!(fact(&finding, "rejects", "ours"), "pass");
    assert_eq!(fact(&finding, "rejects", "their_defined_at"), "agent.toml:150");
    assert!(world.explain().contains("auth_mismatch"), "{}", world.explain());

    world.segment.rejects.clear();
    world.run(6_000);
    assert_eq!(world.told(), ["config_mismatch firing warning", "config_mismatch resolved warning"]);
}

#[test]
fn each_reason_has_its_cause_and_what_to_do() {
    for (reason, code, advice) in [
        ("version_mismatch", CauseCode::VersionMismatch, "make the VRRP version the same"),
        ("interval_mismatch", CauseCode::IntervalMismatch, "make the advertisement interval the same"),
        ("checksum", CauseCode::ChecksumMismatch, "look for what changes packets on the way"),
        ("ttl", CauseCode::TtlMismatch, "look for a router between them"),
        ("mode_mismatch", CauseCode::UnicastMismatch, "make all of them unicast"),
        ("unknown_peer", CauseCode::UnicastMismatch, "make all of them unicast"),
        ("length", CauseCode::Malformed, "find out what sends packets that are no adverts"),
        ("a_reason_of_tomorrow", CauseCode::Rejected, "make the VRRP settings agree"),
    ] {
        let mut world = World::new(&[150, 100]);
        reject(&mut world, "lb02", reason, "x is 1, ours is 2");
        world.run_until(9_000, reason, |world| world.firing(MISMATCH).is_some());
        let finding = world.expect(MISMATCH);
        assert_eq!(finding.cause_code, code, "{reason}");
        assert!(finding.summary.contains(&format!("{reason} (x is 1, ours is 2)")), "{}", finding.summary);
        assert!(finding.action.contains(advice), "{reason}: {}", finding.action);
    }
}

#[test]
fn one_packet_that_is_rejected_is_nothing_however_long_its_interval() {
    for interval_s in [1, 60] {
        let mut world = World::new(&[150, 100]);
        for name in ["lb01", "lb02"] {
            world.edit(name, |report| report.interval = Duration::from_secs(interval_s));
        }
        world.run(61_000);
        reject(&mut world, "lb02", "checksum", "checksum is 0x1, must be 0x2 or 0x3");
        let before = world.segment.host("lb01").instances[0].next_advert_us;
        let rejected = world.run_until(61_000, "an advert", |world| {
            world.segment.hosts[0].instances[0].next_advert_us > before
        });
        world.segment.rejects.clear();
        world.run(200_000 - rejected);
        world.silence("one packet");
    }
}

#[test]
fn two_that_reject_each_other_are_one_finding_with_both_words() {
    let mut world = World::new(&[150, 100, 50]);
    for name in ["lb02", "lb03"] {
        reject(&mut world, name, "interval_mismatch", "advert interval is 1 s, ours is 2 s");
        world.edit(name, |report| report.interval = Duration::from_secs(2));
    }
    world.run(10_000);
    assert_eq!(world.told(), ["config_mismatch firing warning"]);
    let finding = world.expect(MISMATCH);
    assert_eq!(finding.cause_code, CauseCode::IntervalMismatch);
    assert!(
        finding.summary.contains("are configured differently: advertisement interval: 1 s on lb01"),
        "{finding:#?}"
    );
    for listener in ["lb02", "lb03"] {
        assert!(finding.summary.contains(&format!("{listener} rejects the adverts of lb01")), "{finding:#?}");
    }
    assert_eq!(fact(&finding, "rejects", "heard"), "1 s");
    assert_eq!(fact(&finding, "rejects", "ours"), "2 s");
}

#[test]
fn a_rejection_is_told_by_one_group_of_an_instance_with_several() {
    let mut world = World::new(&[150, 100]);
    world.edit("lb01", |report| report.addresses = vec![(ip(90), 24), (vip(), 24), (ip(110), 24)]);
    world.edit("lb02", |report| report.addresses = vec![(vip(), 24), (ip(105), 24)]);
    reject(&mut world, "lb02", "auth_mismatch", PASSWORD);
    world.run(12_000);
    let told = world.told();
    assert_eq!(told.iter().filter(|line| line.starts_with("config_mismatch")).count(), 1, "{told:?}");
    let finding = world.expect(MISMATCH);
    assert_eq!(finding.subject, "dc1/10.0.0.100", "the lowest address of both");
    assert!(
        finding.summary.contains("addresses: ") && finding.summary.contains("auth_mismatch"),
        "{finding:#?}"
    );
}

#[test]
fn another_daemon_on_a_known_host_is_a_mismatch_and_no_stranger() {
    let mut world = World::new(&[150, 100]);
    let mut other = Host::new(7, "web07", 120);
    (other.instances[0].report.vrid, other.instances[0].report.addresses) = (99, vec![(ip(200), 24)]);
    world.segment.hosts.push(other);
    world.connect("web07");
    world.segment.foreign_adverts.push((ip(7), 51, vec![vip()]));
    for name in ["lb01", "lb02"] {
        reject(&mut world, name, "auth_mismatch", "authentication type is pass, ours is none");
    }
    world.run(12_000);
    assert!(world.firing(CONFLICT).is_none());
    let finding = world.expect(MISMATCH);
    assert!(finding.summary.contains("lb01 rejects the adverts of web07 (10.0.0.7)"), "{}", finding.summary);
}

#[test]
fn a_stranger_with_our_vrid_is_a_warning_and_over_when_it_joins() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 51, vec![ip(200)]));
    let took = world.run_until(13_000, "vrid_conflict", |world| world.firing(CONFLICT).is_some());
    assert!(took >= 9_900, "{took} ms");
    assert_eq!(world.told(), ["vrid_conflict firing warning"]);
    let finding = world.expect(CONFLICT);
    assert_eq!(
        (finding.subject.as_str(), finding.cause_code),
        ("dc1/10.0.0.100", CauseCode::AddressMismatch)
    );
    let summary = "10.0.0.77, which no node of the inventory has, uses VRID 51 of 10.0.0.100 (VI_1), and its adverts are believed";
    assert_eq!(finding.summary, summary);
    assert!(
        finding.cause.contains("it advertises 10.0.0.200, which are not addresses of 10.0.0.100"),
        "{}",
        finding.cause
    );
    assert!(finding.action.contains("ha-agent join"), "{}", finding.action);
    assert_eq!(fact(&finding, "hears_stranger", "heard"), "10.0.0.200");
    assert_eq!(fact(&finding, "hears_stranger", "ours"), "10.0.0.100");
    assert!(world.explain().contains("vrid_conflict"), "{}", world.explain());

    world.segment.foreign_adverts.clear();
    let mut joined = Host::new(77, "lb03", 90);
    joined.instances[0].report.addresses = vec![(vip(), 24)];
    world.segment.hosts.push(joined);
    world.connect("lb03");
    world.run(5_000);
    assert_eq!(world.told(), ["vrid_conflict firing warning", "vrid_conflict resolved warning"]);
}

#[test]
fn a_stranger_that_is_rejected_is_critical_with_its_cause_and_both_values() {
    let mut world = World::new(&[150, 100]);
    world.segment.foreign_adverts.push((ip(77), 51, vec![ip(200)]));
    world.run_until(13_000, "vrid_conflict", |world| world.firing(CONFLICT).is_some());
    let detail = "authentication type is pass, ours is none";
    reject(&mut world, "lb01", "auth_mismatch", detail);
    world.run_until(3_000, "critical", |world| world.expect(CONFLICT).severity == Severity::Critical);
    assert_eq!(world.told(), ["vrid_conflict firing warning", "vrid_conflict firing critical"]);
    let finding = world.expect(CONFLICT);
    assert_eq!(finding.cause_code, CauseCode::AuthMismatch);
    assert!(finding.summary.ends_with("and its adverts are rejected: auth_mismatch"), "{}", finding.summary);
    let said = format!("lb01 rejects the adverts of 10.0.0.77: auth_mismatch ({detail})");
    assert!(finding.cause.contains(&said), "{}", finding.cause);
    assert_eq!(fact(&finding, "rejects", "detail"), detail);
    assert!(
        finding.action.contains("make authentication type and password the same there and here"),
        "{}",
        finding.action
    );
    assert!(world.firing(MISMATCH).is_none(), "the members agree");
}

#[test]
fn one_advert_of_a_stranger_is_no_conflict() {
    let mut world = World::new(&[150, 100]);
    for name in ["lb01", "lb02"] {
        world.edit(name, |report| report.interval = Duration::from_secs(30));
    }
    world.run(31_000);
    world.segment.foreign_adverts.push((ip(77), 51, vec![ip(200)]));
    world.run(1_000);
    world.segment.foreign_adverts.clear();
    world.run(120_000);
    world.silence("one advert");
}

#[test]
fn nobody_is_called_a_stranger_before_everybody_had_time_to_come_back() {
    let mut world = World::new(&[150, 100, 50]);
    world.segment.foreign_adverts.push((ip(77), 51, vec![ip(200)]));
    world.restart_coordinator();
    world.connect_all();
    world.run(14_500);
    world.silence("the grace");
    world.run_until(1_000, "vrid_conflict", |world| world.firing(CONFLICT).is_some());
}

#[test]
fn a_flood_of_strangers_is_one_finding_of_bounded_size() {
    let mut world = World::new(&[150, 100]);
    for last in 101..=250 {
        world.segment.foreign_adverts.push((ip(last), 51, vec![ip(200)]));
    }
    reject(&mut world, "lb01", "ttl", "TTL is 64, must be 255");
    world.run(15_000);
    assert_eq!(world.told(), ["vrid_conflict firing critical"]);
    let finding = world.expect(CONFLICT);
    assert!(
        finding.summary.starts_with("10.0.0.101, 10.0.0.102 and 10.0.0.103 and 147 more sources"),
        "{}",
        finding.summary
    );
    assert!(finding.summary.len() < 300 && finding.cause.len() < 600, "{finding:#?}");
    assert_eq!(finding.evidence.len(), 32);
    assert_eq!(fact(&finding, "left_out", "count"), "269");
}

#[test]
fn what_a_stale_member_heard_ends_nothing_and_begins_nothing() {
    let mut world = World::new(&[150, 100]);
    reject(&mut world, "lb02", "auth_mismatch", PASSWORD);
    world.run(3_000);
    world.disconnect("lb02");
    world.run(20_000);
    assert!(world.firing(MISMATCH).is_none());
    world.connect("lb02");
    world.run(9_000);
    world.expect(MISMATCH);
    world.disconnect("lb02");
    world.run(20_000);
    world.expect(MISMATCH);
}
