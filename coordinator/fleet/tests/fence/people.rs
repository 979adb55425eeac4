//! Rules 21 and 22, and what else people ask.

use hafleet_fleet::{
    VrrpState,
    fence::{
        Consent, FenceInput, FenceState, FenceVerb, Level, Mode, OperationId, Origin, RefusalCode as Code,
        Rung,
    },
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

const POWER: Level = Level::Device(Rung::Power);

fn approving() -> Lab {
    let mut lab = Lab::witnessed();
    lab.policy.mode = Mode::Approve;
    lab.configure();
    lab.split();
    lab.run(10_000);
    assert_eq!(lab.state(), FenceState::AwaitingApproval);
    lab
}

fn approve(lab: &Lab, up_to: Level, consent: Option<Consent>) -> FenceVerb {
    FenceVerb::Approve { operation: lab.operation().id, up_to, consent }
}

#[test]
fn rule_21_nobody_is_switched_off_before_their_name_was_typed_back() {
    let mut lab = Lab::witnessed();
    let run = |consent| FenceVerb::Run { node: node("lb02"), level: POWER, consent };
    assert_eq!(Consent::typed_back(&node("lb02"), "lb2"), None);
    assert_eq!(Consent::typed_back(&node(""), ""), None);
    assert_eq!(lab.refused(run(None)), Code::ConsentMissing);
    assert_eq!(lab.refused(run(Consent::typed_back(&node("lb01"), "lb01"))), Code::ConsentMissing);
    lab.run(10_000);
    assert_eq!(lab.steps(), [""; 0]);
    assert!(lab.ask(run(Consent::typed_back(&node("lb02"), "lb02"))).is_ok());
    lab.run(20_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["power off lb02"], FenceState::Quarantined));
    assert_eq!(lab.operation().origin, Origin::Order("ada".to_owned()));

    let mut lab = approving();
    let power = approve(&lab, POWER, None);
    assert_eq!(lab.refused(power), Code::ConsentMissing);
    assert_eq!(lab.state(), FenceState::AwaitingApproval);
}

#[test]
fn an_approval_goes_as_far_as_it_says_and_the_next_level_asks_again() {
    let mut lab = approving();
    lab.disobedient.insert("lb02".to_owned());
    let yes = approve(&lab, Level::Demote, None);
    assert!(lab.ask(yes.clone()).is_ok());
    assert_eq!(lab.operation().approved_by.as_deref(), Some("ada"));
    lab.run(120_000);
    assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::AwaitingApproval));
    assert_eq!(lab.refused(yes), Code::NeedsApproval, "a demote is no network step");
    let consent = Consent::typed_back(&node("lb02"), "lb02");
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Fails);
    let all = approve(&lab, POWER, consent);
    assert!(lab.ask(all).is_ok());
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02", "power off lb02"]);
}

#[test]
fn an_approved_operation_is_looked_at_again_before_it_acts() {
    let mut lab = approving();
    lab.world.edit("lb01", |report| report.addresses_present.clear());
    let yes = approve(&lab, Level::Demote, None);
    assert!(lab.ask(yes).is_ok());
    lab.run(60_000);
    assert_eq!((lab.steps(), lab.rows[&OperationId(1)].state), (vec![], FenceState::Denied));
    assert_eq!(lab.rows[&OperationId(1)].reason, "no_survivor");
}

#[test]
fn a_persons_no_lasts_until_that_split_brain_is_over() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.mode = Mode::Approve;
    lab.configure();
    lab.split();
    lab.run(10_000);
    let deny = FenceVerb::Deny { operation: lab.operation().id, why: "we look at it".to_owned() };
    assert!(lab.ask(deny.clone()).is_ok());
    assert_eq!(lab.refused(deny), Code::UnknownOperation, "it is over");
    lab.policy.mode = Mode::Auto;
    lab.configure();
    lab.run(60_000);
    lab.restart();
    lab.run(60_000);
    lab.untouched(Code::DeniedByPerson);
    lab.world.enter("lb02", VrrpState::Backup, "higher_priority_heard");
    lab.world.segment.filtered.clear();
    lab.run(5_000);
    lab.split();
    lab.run(10_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn rule_22_a_person_vouches_for_a_node_that_is_silent_and_for_no_other() {
    let mut lab = Lab::new(&[150, 100]);
    assert_eq!(lab.refused(FenceVerb::Confirm { node: node("lb02") }), Code::StillSpeaking);
    assert_eq!(lab.refused(FenceVerb::Confirm { node: node("nobody") }), Code::UnknownNode);
    assert_eq!(lab.rows.len(), 0);
    lab.world.crash("lb02");
    lab.run(5_000);
    assert!(lab.ask(FenceVerb::Confirm { node: node("lb02") }).is_ok());
    assert_eq!(lab.state(), FenceState::Quarantined);
    assert_eq!(lab.steps(), [""; 0]);
}

#[test]
fn rule_22_a_person_ends_what_nobody_knows() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Unreadable);
    lab.split();
    lab.run(300_000);
    assert_eq!(lab.state(), FenceState::Unknown);
    assert_eq!(lab.refused(FenceVerb::Confirm { node: node("lb02") }), Code::StillSpeaking);
    lab.world.crash("lb02");
    lab.run(5_000);
    assert!(lab.ask(FenceVerb::Confirm { node: node("lb02") }).is_ok());
    assert_eq!(lab.state(), FenceState::Quarantined);
}

#[test]
fn a_proposal_needs_the_same_evidence_and_an_approval() {
    let mut lab = Lab::new(&[150, 100]);
    lab.policy.mode = Mode::DryRun;
    lab.configure();
    let propose = |name| FenceVerb::Propose { node: node(name) };
    assert_eq!(lab.refused(propose("lb02")), Code::EvidenceGone);
    lab.split();
    lab.run(10_000);
    assert_eq!(lab.refused(propose("lb01")), Code::EvidenceGone, "that one survives");
    assert_eq!(lab.steps(), [""; 0]);
    assert!(lab.ask(propose("lb02")).is_ok());
    lab.run(10_000);
    assert_eq!((lab.steps(), lab.state()), (vec![], FenceState::AwaitingApproval));
    let yes = approve(&lab, Level::Demote, None);
    assert!(lab.ask(yes).is_ok());
    lab.run(3_000);
    assert_eq!(lab.steps(), ["demote lb02"]);
}

#[test]
fn there_is_nothing_to_release_or_deny_that_is_not_there() {
    let mut lab = Lab::new(&[150, 100]);
    assert_eq!(lab.refused(FenceVerb::Release { node: node("lb02") }), Code::NothingToRelease);
    let deny = FenceVerb::Deny { operation: OperationId(9), why: String::new() };
    assert_eq!(lab.refused(deny), Code::UnknownOperation);
    assert_eq!(lab.run_demote("nobody").map_err(|refusal| refusal.code), Err(Code::UnknownNode));
    lab.split();
    lab.run_until(10_000, "demoted", |lab| !lab.steps.is_empty());
    let operation = lab.operation().id;
    let why = String::new();
    assert_eq!(lab.refused(FenceVerb::Deny { operation, why }), Code::IllegalPair, "it has acted");
    lab.run(5_000);
    assert_eq!(
        lab.refused(FenceVerb::Approve { operation, up_to: Level::Demote, consent: None }),
        Code::IllegalPair
    );
    assert_eq!(lab.state(), FenceState::Resolved);
    lab.tell(FenceInput::NotLeader);
    assert_eq!(lab.refused(FenceVerb::Release { node: node("lb02") }), Code::NotLeader);
}
