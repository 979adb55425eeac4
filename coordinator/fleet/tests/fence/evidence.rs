//! Rules 2 to 5 and 16: positive evidence, lasting, seen again; a survivor; the right victim.

use std::time::Duration;

use hafleet_fleet::{
    FindingKind, Severity, VrrpState,
    fence::{FenceState, Mode, RefusalCode as Code},
};

use crate::{
    lab::Lab,
    world::{group, node},
};

const CONFIRMED: FindingKind = FindingKind::SplitBrainConfirmed;

fn confirmed(lab: &mut Lab) {
    lab.run_until(4_000, "confirmed", |lab| lab.world.firing(CONFIRMED).is_some());
}

#[test]
fn rule_2_a_master_that_falls_silent_is_not_fenced() {
    let mut lab = Lab::witnessed();
    lab.world.crash("lb01");
    lab.run(3_600);
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.run(600_000);
    assert!(lab.world.firing(FindingKind::SplitBrainSuspected).is_some());
    assert_eq!(lab.steps(), [""; 0]);
    assert_eq!(lab.rows.len(), 0);
}

#[test]
fn rule_2_a_proven_victim_that_falls_silent_before_it_is_told_is_not_fenced() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.demote_confirm = Duration::from_secs(8);
    lab.configure();
    lab.split();
    confirmed(&mut lab);
    lab.world.disconnect("lb02");
    lab.run(300_000);
    assert_eq!(lab.steps(), [""; 0], "its silence is no evidence");
}

#[test]
fn rule_3_a_claim_without_the_address_and_without_a_witness_is_one_observer() {
    let mut lab = Lab::new(&[150, 100]);
    lab.split();
    lab.world.edit("lb02", |report| report.addresses_present.clear());
    lab.run(60_000);
    lab.untouched(Code::TooFewObservers);
}

#[test]
fn rule_3_a_program_needs_a_witness_that_does_not_profit() {
    let mut lab = Lab::witnessed();
    // The third host is cut off from both: only lb01 sees lb02, and it would win.
    lab.world.cut("lb03", "lb01");
    lab.world.cut("lb03", "lb02");
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::TooFewObservers), "{:?}", lab.refusals());
    assert_eq!(lab.state(), FenceState::Failed, "a person must act");
}

#[test]
fn rule_4_an_overlap_that_ends_inside_the_window_fences_nobody() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.demote_confirm = Duration::from_secs(10);
    lab.configure();
    lab.split();
    lab.run(8_000);
    assert!(lab.world.firing(CONFIRMED).is_some());
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.run(60_000);
    assert_eq!(lab.steps(), [""; 0]);
    assert_eq!(lab.rows.len(), 0);
}

#[test]
fn rule_4_programs_wait_for_thirty_seconds_of_witnesses() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    let began = lab.world.now_us;
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"]);
    let after = (lab.steps[1].0 - began) / 1_000_000;
    assert!((30..50).contains(&after), "{after} s after the overlap began");
}

#[test]
fn rule_4_what_nobody_says_again_when_asked_is_not_acted_on() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.windows.demote_confirm = Duration::from_secs(12);
    lab.configure();
    lab.split();
    confirmed(&mut lab);
    lab.world.uplinks.get_mut("lb02").expect("lb02").answers = false;
    lab.run(120_000);
    assert_eq!(lab.steps(), [""; 0], "{:?}", lab.refusals());
}

#[test]
fn rule_5_without_a_healthy_survivor_nobody_is_fenced() {
    type Spoil = fn(&mut Lab);
    let ways: [(&str, Spoil); 4] = [
        ("its kernel has no address", |lab| {
            lab.world.edit("lb01", |report| report.addresses_present.clear());
        }),
        ("its references do not answer, nor do the other's", |lab| {
            lab.world.segment.host("lb01").gateway = Some(false);
            lab.world.segment.host("lb02").gateway = Some(false);
        }),
        ("its service fails, and so does the other's", |lab| {
            lab.world.edit("lb01", |report| report.effective_priority = 149);
            lab.world.edit("lb02", |report| report.effective_priority = 99);
        }),
        ("it has no carrier", |lab| lab.world.edit("lb01", |report| report.carrier = false)),
    ];
    for (what, spoil) in ways {
        let mut lab = Lab::new(&[150, 100]);
        lab.split();
        spoil(&mut lab);
        lab.run(30_000);
        println!("{what}");
        lab.untouched(Code::NoSurvivor);
    }
}

#[test]
fn rule_5_the_survivor_of_a_program_must_know_that_it_has_a_network() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.world.segment.host("lb01").gateway = None;
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
    assert!(lab.refusals().contains(&Code::NoSurvivor));
}

#[test]
fn rule_16_the_same_facts_choose_the_same_victim_and_say_why() {
    type Facts = fn(&mut Lab);
    let cases: [(Facts, &str, &str); 6] = [
        (
            |lab| {
                lab.policy.pins.insert(group(crate::network::vip()), node("lb02"));
                lab.configure();
            },
            "demote lb01",
            "lb01 loses: the operator's pin lets lb02 survive",
        ),
        (
            |lab| lab.world.segment.host("lb01").gateway = Some(false),
            "demote lb01",
            "lb01 loses: it does not reach its references",
        ),
        (
            |lab| lab.world.edit("lb01", |report| report.effective_priority = 140),
            "demote lb01",
            "lb01 loses: a service that it tracks fails",
        ),
        (
            |lab| lab.world.cut("lb01", "lb03"),
            "demote lb01",
            "lb01 loses: it is seen by 0 witnesses, lb02 by 1",
        ),
        (|_| {}, "demote lb02", "lb02 loses: its priority 100 is lower than 150"),
        (
            |lab| {
                for name in ["lb01", "lb02"] {
                    lab.world.edit(name, |report| (report.priority, report.effective_priority) = (120, 120));
                }
            },
            "demote lb01",
            "lb01 loses: all else is equal, and its address is the lower one",
        ),
    ];
    for (facts, step, why) in cases {
        let mut lab = Lab::new(&[150, 100, 50]);
        facts(&mut lab);
        lab.run(2_000);
        lab.split();
        lab.run(20_000);
        assert_eq!(lab.steps(), [step], "{why}: {:?}", lab.refusals());
        assert_eq!(lab.operation().explanation, why);
    }
}

#[test]
fn rule_16_when_health_and_witnesses_disagree_a_person_is_called() {
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.world.segment.host("lb02").gateway = Some(false);
    lab.world.cut("lb01", "lb03");
    lab.run(2_000);
    lab.split();
    lab.run(120_000);
    lab.untouched(Code::HealthDisagrees);
    let finding = lab.world.expect(FindingKind::FenceRefused);
    assert_eq!(finding.severity, Severity::Critical);
    assert!(finding.summary.contains("seen by"), "{}", finding.summary);
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.run(3_000);
    assert!(lab.world.firing(FindingKind::FenceRefused).is_none(), "it is over with the split brain");
}

#[test]
fn rule_16_a_stranger_is_nobody_we_can_fence() {
    let mut lab = Lab::new(&[150, 100, 50]);
    lab.policy.mode = Mode::Auto;
    lab.world.segment.foreign_adverts.push((crate::network::ip(77), 51, vec![crate::network::vip()]));
    lab.world.segment.foreign.push(("02:00:00:00:00:77".to_owned(), crate::network::vip()));
    lab.run(120_000);
    lab.untouched(Code::NoVictim);
}

#[test]
fn a_third_master_is_the_next_victim_and_the_survivor_stays() {
    let mut lab = Lab::new(&[150, 100, 50]);
    for (a, b) in [("lb01", "lb02"), ("lb01", "lb03"), ("lb02", "lb03")] {
        lab.world.filter(a, b);
    }
    lab.run(4_000);
    lab.world.enter("lb02", VrrpState::Master, "master_down");
    lab.world.enter("lb03", VrrpState::Master, "master_down");
    lab.run(40_000);
    assert_eq!(lab.steps(), ["demote lb03", "demote lb02"]);
    assert_eq!(lab.world.group().holder, Some(node("lb01")));
}
