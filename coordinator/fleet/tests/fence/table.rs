//! The state machine, whole: every pair that goes somewhere is here, and every other one is refused.

use std::collections::BTreeMap;

use hafleet_fleet::fence::{FenceEvent, FenceState, RefusalCode, next};

const EDGES: [(&str, &str); 14] = [
    ("proposed", "deny denied, await_approval awaiting_approval, approve approved, vouch fenced"),
    ("awaiting_approval", "deny denied, approve approved, clear resolved, vouch fenced"),
    (
        "approved",
        "deny denied, demote demoting, clear resolved, escalate escalating, run_network running_network, run_power \
         running_power, vouch fenced",
    ),
    (
        "demoting",
        "deny denied, demote demoting, clear resolved, escalate escalating, lose_sight unknown, vouch fenced",
    ),
    ("resolved", "demote demoting, escalate escalating, release released"),
    (
        "escalating",
        "deny denied, await_approval awaiting_approval, clear resolved, run_network running_network, run_power \
         running_power, give_up failed, vouch fenced",
    ),
    ("running_network", "ran verifying_network, give_up failed, vouch fenced"),
    ("running_power", "ran verifying_power, give_up failed, vouch fenced"),
    (
        "verifying_network",
        "escalate escalating, see_off fenced, give_up failed, lose_sight unknown, vouch fenced",
    ),
    (
        "verifying_power",
        "escalate escalating, see_off fenced, give_up failed, lose_sight unknown, vouch fenced",
    ),
    ("fenced", "quarantine quarantined"),
    ("failed", "run_network running_network, run_power running_power, vouch fenced, release released"),
    ("unknown", "run_network running_network, run_power running_power, vouch fenced, release released"),
    ("quarantined", "release released"),
];

#[test]
fn every_pair_is_as_it_is_written_here() {
    let edges: BTreeMap<&str, &str> = EDGES.into();
    for state in FenceState::ALL {
        let expected = edges.get(state.as_str()).copied().unwrap_or_default();
        let goes = FenceEvent::ALL
            .into_iter()
            .filter_map(|event| next(state, event).ok().map(|to| format!("{event} {to}")));
        assert_eq!(goes.collect::<Vec<_>>().join(", "), expected, "{state}");
        for event in FenceEvent::ALL {
            if let Err(illegal) = next(state, event) {
                assert_eq!((illegal.state, illegal.event), (state, event));
            }
        }
    }
}

#[test]
fn only_a_status_or_a_person_makes_it_fenced_and_only_a_person_lets_it_back() {
    for state in FenceState::ALL {
        for event in FenceEvent::ALL {
            let Ok(to) = next(state, event) else { continue };
            if to == FenceState::Fenced {
                assert!(matches!(event, FenceEvent::SeeOff | FenceEvent::Vouch), "{state} {event}");
            }
            if to == FenceState::Released {
                assert_eq!(event, FenceEvent::Release);
            }
            if state == FenceState::Unknown {
                assert!(!to.has_worked() || event == FenceEvent::Vouch, "unknown is never a success");
            }
        }
    }
}

#[test]
fn words_read_back_and_are_all_different() {
    for state in FenceState::ALL {
        assert_eq!(FenceState::parse(state.as_str()), Some(state));
    }
    assert_eq!(FenceState::parse("nonsense"), None);
    let words: std::collections::BTreeSet<&str> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), RefusalCode::ALL.len());
}
