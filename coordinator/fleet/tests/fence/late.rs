//! What comes too late, or was so before: a demote that worked after its time, a status from before the program ended, a clock that
//! was set back, a device that is another one now. And answers that nobody waits for.

use std::time::Duration;

use hafleet_fleet::{
    VrrpState,
    fence::{
        Device, FenceInput, FenceState, FenceVerb, Level, Mode, OperationId, Outcome, Reading,
        RefusalCode as Code, Rung, Trace,
    },
};

use crate::{
    lab::{Behaviour, Lab},
    world::node,
};

/// The demote of lb02 is on its way for ever; witnesses have seen it hold the address for long enough.
fn waiting() -> Lab {
    let mut lab = Lab::witnessed();
    lab.policy.windows.confirm = Duration::from_secs(5);
    lab.configure();
    lab.mute.insert("lb02".to_owned());
    lab.deafen();
    lab.run_until(10_000, "demoted", |lab| lab.steps.len() == 1);
    lab
}

#[test]
fn rule_3_what_was_seen_before_a_demote_was_given_up_speaks_for_no_program() {
    let mut lab = waiting();
    lab.run(9_500);
    assert_eq!(lab.state(), FenceState::Demoting);
    // It lets go at the last moment, and the word of it is lost: its management line breaks.
    let now = lab.world.now_us;
    lab.world.segment.host("lb02").enter(0, VrrpState::Fault, "held", now);
    lab.world.disconnect("lb02");
    lab.run(300_000);
    assert_eq!(lab.steps(), ["demote lb02"], "it holds nothing any more");
    assert_eq!((lab.state(), lab.rows.len()), (FenceState::Failed, 1), "a person must act");
    // The same, and it goes on holding: two see it afterwards too.
    let mut lab = waiting();
    lab.run(9_500);
    lab.world.disconnect("lb02");
    lab.run(60_000);
    assert_eq!(lab.steps(), ["demote lb02", "network off lb02"], "{:?}", lab.refusals());
}

#[test]
fn a_demote_that_came_too_late_ends_the_question_and_is_not_taken_back() {
    for approved_again in [false, true] {
        let mut lab = Lab::witnessed();
        lab.policy.mode = Mode::Approve;
        lab.configure();
        lab.mute.insert("lb02".to_owned());
        lab.split();
        lab.run(10_000);
        let operation = lab.operation().id;
        let yes = |up_to| FenceVerb::Approve { operation, up_to, consent: None };
        assert!(lab.ask(yes(Level::Demote)).is_ok());
        lab.run(60_000);
        assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::AwaitingApproval));
        if approved_again {
            // Somebody says yes to the next step while its path does not answer.
            lab.tell(FenceInput::References { reachable: 0, total: 3 });
            lab.references = (0, 3);
            assert!(lab.ask(yes(Level::Device(Rung::Network))).is_ok());
            assert_eq!(lab.state(), FenceState::Approved);
        }
        lab.world.enter("lb02", VrrpState::Fault, "held");
        lab.run(120_000);
        assert_eq!((lab.steps(), lab.state()), (vec!["demote lb02"], FenceState::Resolved));
    }
}

#[test]
fn rule_13_a_status_that_was_asked_before_the_program_ended_is_not_believed() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Hangs);
    lab.split();
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    let (operation, running) = (lab.operation().id, lab.operation().revision);
    lab.run_until(130_000, "timed out", |lab| lab.state() == FenceState::Verifying(Rung::Network));
    lab.run(12_000);
    // Nobody sees it for a moment, and the program ends at last.
    for other in ["lb01", "lb03"] {
        lab.world.cut("lb02", other);
    }
    let (trace, revision) = (Trace::default(), lab.operation().revision);
    lab.run(6_000);
    let stale = revision - 1;
    lab.tell(FenceInput::Status { operation, revision: stale, reading: Reading::Off, trace: trace.clone() });
    assert_eq!(lab.state(), FenceState::Verifying(Rung::Network), "it is about another row");
    lab.tell(FenceInput::Ran { operation, revision: running, outcome: Outcome::Done, trace: trace.clone() });
    lab.run(2_500);
    lab.tell(FenceInput::Status { operation, revision, reading: Reading::Off, trace: trace.clone() });
    assert_eq!(lab.state(), FenceState::Verifying(Rung::Network), "it was asked before");
    assert!(lab.refusals().contains(&Code::StillSpeaking));
}

#[test]
fn a_clock_that_was_set_back_holds_no_operation_up() {
    let mut lab = Lab::witnessed();
    lab.disobedient.insert("lb02".to_owned());
    lab.split();
    lab.run_until(60_000, "the network step", |lab| lab.steps.len() == 2);
    assert_eq!(lab.state(), FenceState::Verifying(Rung::Network));
    for row in lab.rows.values_mut() {
        row.entered_at = row.entered_at + Duration::from_secs(86_400);
    }
    lab.restart();
    lab.run(60_000);
    assert_eq!(lab.state(), FenceState::Quarantined, "{:?}", lab.refusals());
}

#[test]
fn rule_18_another_device_is_not_verified_because_the_one_before_was() {
    let mut lab = Lab::witnessed();
    let run = FenceVerb::Run { node: node("lb02"), level: Level::Device(Rung::Network), consent: None };
    lab.devices.insert(("lb02".to_owned(), Rung::Network), Behaviour::Broken);
    let devices = lab.policy.devices.get_mut(&node("lb02")).expect("its devices");
    devices.insert(Rung::Network, Device("another port".to_owned()));
    lab.configure();
    assert_eq!(lab.refused(run.clone()), Code::PathUnverified);
    lab.devices.clear();
    lab.run(610_000);
    assert!(lab.ask(run).is_ok());
}

#[test]
fn rule_20_an_answer_that_nobody_waits_for_changes_nothing_and_is_written_down() {
    let mut lab = Lab::witnessed();
    lab.split();
    lab.run(20_000);
    let (operation, revision) = (lab.operation().id, lab.operation().revision);
    let before = (lab.rows.clone(), lab.standing.clone(), lab.steps.clone());
    let trace = Trace::default;
    for operation in [operation, OperationId(77)] {
        for outcome in [Outcome::Done, Outcome::Failed, Outcome::TimedOut, Outcome::Unknown] {
            let answers = [
                FenceInput::Demoted { operation, outcome },
                FenceInput::Withdrawn { operation, outcome },
                FenceInput::Ran { operation, revision, outcome, trace: trace() },
                FenceInput::Status { operation, revision, reading: Reading::Off, trace: trace() },
            ];
            for answer in answers {
                let lines = lab.audit.len();
                lab.tell(answer.clone());
                let new: Vec<_> =
                    lab.audit[lines..].iter().map(|line| (line.operation, line.refused)).collect();
                assert_eq!(new, [(Some(operation), Some(Code::Unexpected))], "{answer:?}");
            }
        }
    }
    lab.run(1_000);
    assert_eq!((lab.rows.clone(), lab.standing.clone(), lab.steps.clone()), before);
    assert_eq!(lab.state(), FenceState::Resolved);
}

#[test]
fn rule_20_a_person_s_pair_that_makes_no_sense_is_refused_and_written_down() {
    let mut lab = Lab::witnessed();
    lab.split();
    lab.run(20_000);
    assert_eq!(lab.state(), FenceState::Resolved);
    let operation = lab.operation().id;
    let before = lab.rows.clone();
    let verbs = [
        (FenceVerb::Approve { operation, up_to: Level::Demote, consent: None }, "resolved + approve"),
        (FenceVerb::Deny { operation, why: String::new() }, "resolved + deny"),
    ];
    for (verb, pair) in verbs {
        assert_eq!(lab.refused(verb), Code::IllegalPair);
        let line = lab.audit.iter().rfind(|line| line.action == pair).unwrap_or_else(|| panic!("no {pair}"));
        assert_eq!((line.refused, line.actor.as_str()), (Some(Code::IllegalPair), "ada"));
    }
    assert_eq!(lab.rows, before);
}
