//! Rules 3 and 4 in their parts: who counts as an observer, and how long and how lately.

use std::time::Duration;

use hafleet_fleet::{
    Heard, Input, Site, Snapshot, VrrpState,
    fence::{Device, FenceState, RefusalCode as Code, Rung},
};

use crate::{
    lab::Lab,
    network::{ip, vip},
    world::{node, site},
};

/// What the third one says that it hears of lb02, and where it stands.
struct Says {
    site: Site,
    priority: u8,
    source: std::net::IpAddr,
    address: std::net::IpAddr,
    age: Duration,
}

fn well() -> Says {
    Says { site: site(), priority: 100, source: ip(2), address: vip(), age: Duration::from_millis(500) }
}

/// lb01 hears lb02, which does not do what it is told; a third node, no member of the group, says this of lb02 every second, and that it
/// hears lb01 as well.
fn beside(says: &Says, interval: Duration) -> Lab {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.escalate = Duration::from_secs(60);
    lab.policy.devices.insert(node("lb02"), [(Rung::Network, Device("port 2".to_owned()))].into());
    lab.configure();
    for name in ["lb01", "lb02"] {
        lab.world.edit(name, |report| report.interval = interval);
    }
    lab.disobedient.insert("lb02".to_owned());
    lab.deafen();
    lab.world.input(Input::NodeConnected { node: node("far"), site: says.site.clone() });
    for seq in 1..=130 {
        let line = Heard {
            interface: "eth0".to_owned(),
            vrid: 51,
            source: says.source,
            version: 3,
            priority: says.priority,
            interval,
            addresses: vec![says.address],
            auth: "none".to_owned(),
            age: says.age,
            accepted: seq,
            rejected: Vec::new(),
            vrid_configured: false,
        };
        let other =
            Heard { source: ip(1), priority: 150, addresses: vec![vip()], age: well().age, ..line.clone() };
        let now = lab.world.now_us;
        let own = lab.world.segment.host("lb01").snapshot(now);
        let snapshot = Snapshot {
            seq,
            journal_id: "far".to_owned(),
            instances: Vec::new(),
            heard: vec![line, other],
            references: Vec::new(),
            ..own
        };
        lab.world.input(Input::Snapshot { node: node("far"), snapshot });
        lab.run(1_000);
    }
    lab
}

#[test]
fn rule_3_what_counts_as_a_witness() {
    let (second, four) = (Duration::from_secs(1), Duration::from_secs(4));
    let s = Duration::from_secs;
    let cases = [
        ("it hears it", well(), second, true),
        ("in another site", Says { site: Site("dc2".to_owned()), ..well() }, second, false),
        ("it left", Says { priority: 0, ..well() }, second, false),
        ("somebody else", Says { source: ip(77), ..well() }, second, false),
        ("another address", Says { address: ip(101), ..well() }, second, false),
        ("four seconds ago, of five", Says { age: s(4), ..well() }, second, true),
        ("six seconds ago", Says { age: s(6), ..well() }, second, false),
        ("ten seconds ago, of three adverts", Says { age: s(10), ..well() }, four, true),
        ("thirteen seconds ago", Says { age: s(13), ..well() }, four, false),
    ];
    for (what, says, interval, counts) in cases {
        let lab = beside(&says, interval);
        let expected = if counts { vec!["demote lb02", "network off lb02"] } else { vec!["demote lb02"] };
        assert_eq!(lab.steps()[..lab.steps().len().min(2)], expected, "{what}: {:?}", lab.refusals());
        assert!(counts || lab.refusals().contains(&Code::TooFewObservers), "{what}");
    }
}

#[test]
fn rule_3_one_observer_must_not_profit_however_few_are_asked_for() {
    let mut lab = Lab::witnessed();
    lab.policy.limits.observers = 1;
    lab.configure();
    lab.world.cut("lb03", "lb02");
    lab.disobedient.insert("lb02".to_owned());
    lab.deafen();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"], "only lb01 sees it, and would win");
}

#[test]
fn rule_3_nobody_is_their_own_witness() {
    let mut lab = Lab::witnessed();
    lab.world.cut("lb03", "lb01");
    lab.world.cut("lb03", "lb02");
    lab.disobedient.insert("lb02".to_owned());
    lab.deafen();
    for _ in 0..130 {
        // A switch sends its own adverts back to it.
        let now = lab.world.now_us;
        let heard = lab.world.segment.host("lb01").heard.get(&(51, ip(2))).cloned();
        if let Some(mut line) = heard {
            line.last_us = now;
            lab.world.segment.host("lb02").heard.insert((51, ip(2)), line);
        }
        lab.run(1_000);
    }
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_3_an_answer_that_grew_old_is_no_witness() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    // Nobody hears its adverts: it is seen by its ARP answers only.
    lab.world.filter_one_way("lb02", "lb03");
    lab.split();
    lab.run_until(10_000, "demoted", |lab| lab.steps.len() == 1);
    lab.world.uplinks.get_mut("lb03").expect("lb03").answers = false;
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::TooFewObservers), "{:?}", lab.refusals());
}

#[test]
fn rule_3_a_virtual_mac_tells_nobody_who_answers() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    for name in ["lb01", "lb02"] {
        lab.world.segment.host(name).mac = "00:00:5e:00:01:33".to_owned();
    }
    lab.world.filter_one_way("lb02", "lb03");
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_4_witnesses_that_come_late_or_go_away_meanwhile_wait_for_the_window_anew() {
    let mut lab = Lab::witnessed();
    lab.policy.windows.escalate = Duration::from_secs(600);
    lab.configure();
    lab.disobedient.insert("lb02".to_owned());
    lab.world.cut("lb02", "lb03");
    lab.deafen();
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    lab.world.segment.cut.clear();
    lab.run(25_000);
    assert_eq!(lab.steps(), ["demote lb02"], "the third one has seen it for 25 s only");
    lab.world.cut("lb02", "lb03");
    lab.run(10_000);
    lab.world.segment.cut.clear();
    lab.run(25_000);
    assert_eq!(lab.steps(), ["demote lb02"], "and now, without a gap, for 25 s again");
    lab.run(15_000);
    assert_eq!(lab.steps()[..2], ["demote lb02", "network off lb02"]);
}

/// How long after the split the demote comes with a window of 20 s, and this done 10 s after it for 5 s.
fn demoted_after(facts: fn(&mut Lab), then: fn(&mut Lab)) -> (u64, String) {
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.policy.windows.demote_confirm = Duration::from_secs(20);
    lab.configure();
    lab.split();
    let began = lab.world.now_us;
    lab.run(10_000);
    facts(&mut lab);
    lab.run(5_000);
    then(&mut lab);
    lab.run_until(60_000, "demoted", |lab| !lab.steps.is_empty());
    let (at, step) = lab.steps[0].clone();
    ((at - began) / 1_000_000, step)
}

#[test]
fn rule_4_the_window_begins_anew_when_it_was_not_clear_who_loses() {
    let (after, step) = demoted_after(|_| {}, |_| {});
    assert!((20..23).contains(&after), "{after} s");
    assert_eq!(step, "demote lb02");
    // Another one loses by now, and goes on losing.
    let (after, step) = demoted_after(|lab| lab.world.segment.host("lb01").gateway = Some(false), |_| {});
    assert_eq!(step, "demote lb01");
    assert!((30..34).contains(&after), "{after} s");
    // Health and witnesses disagreed for a time.
    let disagree = |lab: &mut Lab| {
        lab.world.segment.host("lb02").gateway = Some(false);
        lab.world.cut("lb01", "lb03");
    };
    let agree = |lab: &mut Lab| {
        lab.world.segment.host("lb02").gateway = Some(true);
        lab.world.segment.cut.clear();
    };
    let (after, step) = demoted_after(disagree, agree);
    assert_eq!(step, "demote lb02");
    assert!(after >= 34, "{after} s");
    // Another leader, in the same process: what it saw before is not its own evidence.
    let (after, _) = demoted_after(|_| {}, Lab::lead);
    assert!(after >= 34, "{after} s");
}

#[test]
fn rule_4_the_survivor_too_must_have_said_so_again() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.demote_confirm = Duration::from_secs(12);
    lab.configure();
    lab.split();
    lab.run(4_000);
    lab.world.uplinks.get_mut("lb01").expect("lb01").answers = false;
    lab.run(120_000);
    assert_eq!(lab.steps(), [""; 0], "{:?}", lab.refusals());
    assert!(lab.refusals().contains(&Code::Reprobe));
}

#[test]
fn rule_13_a_power_off_is_not_believed_while_the_agent_speaks() {
    let mut lab = Lab::witnessed();
    lab.devices.insert(("lb02".to_owned(), Rung::Power), crate::lab::Behaviour::Lies);
    // Nobody sees it on the segment, and its management works.
    lab.world.cut("lb02", "lb01");
    lab.world.cut("lb02", "lb03");
    let power = lab.power("lb02");
    assert!(lab.ask(power).is_ok());
    lab.run(300_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["power off lb02"], FenceState::Unknown));
    assert_eq!(lab.world.segment.host("lb02").instances[0].report.state, VrrpState::Backup);
}
