//! What is to be done next, decided from what is written down: after a restart it is the same, but that nodes are judged again.

use std::collections::BTreeSet;

use crate::store::{ApplyState, StepRow, StepState};

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask these nodes to judge their parts, all at once.
    Stage(Vec<String>),
    /// The apply is now in this state.
    Enter(ApplyState),
    /// Ask the next of these nodes to run it: which, a `wave` says.
    CommitSomeOf(Vec<String>),
    /// Ask these nodes again: whether they were asked before is not known.
    Commit(Vec<String>),
    /// See whether these nodes, which have committed so far, came well out of it.
    Settle(Vec<String>),
    /// See whether the whole fleet came well out of it, of which these nodes are to keep it then.
    Conclude(Vec<String>),
    /// Tell these nodes to keep it.
    Confirm(Vec<String>),
    /// Tell some of these nodes to go back, the holders last.
    RollBackSomeOf(Vec<String>),
    /// Nothing.
    Over,
}

/// Decides. The order of `steps` is that of names; `settled` are nodes that were found to have come well out of their commits.
pub fn next(state: ApplyState, steps: &[StepRow], settled: &BTreeSet<String>) -> Next {
    match state {
        ApplyState::Staging => staging(steps),
        ApplyState::Committing => committing(steps, settled),
        ApplyState::RollingBack => rolling_back(steps),
        ApplyState::Applied | ApplyState::RolledBack | ApplyState::Refused => Next::Over,
    }
}

fn staging(steps: &[StepRow]) -> Next {
    let to_ask = nodes(steps, |state| matches!(state, StepState::Waiting | StepState::Staging));
    let is_fit = |state| matches!(state, StepState::Staged | StepState::Unchanged);
    if !to_ask.is_empty() {
        Next::Stage(to_ask)
    } else if steps.iter().all(|step| is_fit(step.state)) {
        Next::Enter(ApplyState::Committing)
    } else {
        Next::Enter(ApplyState::RollingBack)
    }
}

/// No node is told to keep it before all have committed and settled: until then each goes back by itself if nobody comes.
fn committing(steps: &[StepRow], settled: &BTreeSet<String>) -> Next {
    let (mut staged, mut asked, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut to_keep, mut keep) = (Vec::new(), 0);
    for StepRow { node, state, .. } in steps {
        match state {
            StepState::Staged => staged.push(node.clone()),
            StepState::Committing => asked.push(node.clone()),
            StepState::Committed => committed.push(node.clone()),
            StepState::Confirming => to_keep.push(node.clone()),
            StepState::Confirmed => keep += 1,
            StepState::Unchanged => {}
            // None of these can be while nodes commit: what is written down is not what was meant.
            StepState::Waiting
            | StepState::Staging
            | StepState::Refused
            | StepState::RollingBack
            | StepState::RolledBack
            | StepState::Failed => return Next::Enter(ApplyState::RollingBack),
        }
    }
    let was_judged = !to_keep.is_empty() || keep > 0;
    // One wave is finished before the next begins.
    if !asked.is_empty() {
        Next::Commit(asked)
    } else if !was_judged && committed.iter().any(|node| !settled.contains(node)) {
        Next::Settle(committed)
    } else if !staged.is_empty() {
        Next::CommitSomeOf(staged)
    } else if !was_judged {
        Next::Conclude(committed)
    } else if !to_keep.is_empty() || !committed.is_empty() {
        to_keep.extend(committed);
        Next::Confirm(to_keep)
    } else {
        Next::Enter(ApplyState::Applied)
    }
}

fn rolling_back(steps: &[StepRow]) -> Next {
    let to_tell = nodes(steps, |state| match state {
        StepState::Staging
        | StepState::Staged
        | StepState::Committing
        | StepState::Committed
        | StepState::Confirming
        | StepState::Confirmed
        | StepState::RollingBack => true,
        StepState::Waiting
        | StepState::Unchanged
        | StepState::Refused
        | StepState::RolledBack
        | StepState::Failed => false,
    });
    if !to_tell.is_empty() {
        Next::RollBackSomeOf(to_tell)
    } else if steps.iter().any(|step| step.state == StepState::Refused) {
        // Refusals come before the first commit.
        Next::Enter(ApplyState::Refused)
    } else {
        Next::Enter(ApplyState::RolledBack)
    }
}

fn nodes(steps: &[StepRow], is: impl Fn(StepState) -> bool) -> Vec<String> {
    steps.iter().filter(|step| is(step.state)).map(|step| step.node.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(states: &[StepState]) -> Vec<StepRow> {
        let row = |(number, state): (usize, &StepState)| StepRow {
            node: format!("lb{number:02}"),
            state: *state,
            detail: String::new(),
            updated_us: 1,
        };
        states.iter().enumerate().map(row).collect()
    }

    fn nobody() -> BTreeSet<String> {
        BTreeSet::new()
    }

    #[test]
    fn every_pair_is_told() {
        use {ApplyState as A, StepState as S};
        let one = || "lb00".to_owned();
        for &state in S::ALL {
            let staging = match state {
                S::Waiting | S::Staging => Next::Stage(vec![one()]),
                S::Staged | S::Unchanged => Next::Enter(A::Committing),
                _ => Next::Enter(A::RollingBack),
            };
            assert_eq!(next(A::Staging, &steps(&[state]), &nobody()), staging, "{state}");
            let committing = match state {
                S::Staged => Next::CommitSomeOf(vec![one()]),
                S::Committing => Next::Commit(vec![one()]),
                S::Committed => Next::Settle(vec![one()]),
                S::Unchanged => Next::Conclude(vec![]),
                S::Confirming => Next::Confirm(vec![one()]),
                S::Confirmed => Next::Enter(A::Applied),
                _ => Next::Enter(A::RollingBack),
            };
            assert_eq!(next(A::Committing, &steps(&[state]), &nobody()), committing, "{state}");
            let back = match state {
                S::Refused => Next::Enter(A::Refused),
                S::Waiting | S::Unchanged | S::RolledBack | S::Failed => Next::Enter(A::RolledBack),
                _ => Next::RollBackSomeOf(vec![one()]),
            };
            assert_eq!(next(A::RollingBack, &steps(&[state]), &nobody()), back, "{state}");
            for over in [A::Applied, A::RolledBack, A::Refused] {
                assert_eq!(next(over, &steps(&[state]), &nobody()), Next::Over);
            }
        }
    }

    #[test]
    fn one_wave_is_finished_before_the_next_begins() {
        use StepState as S;
        for under_way in [S::Committing, S::Committed] {
            let next = next(ApplyState::Committing, &steps(&[S::Staged, under_way, S::Staged]), &nobody());
            assert!(!matches!(next, Next::CommitSomeOf(_) | Next::Conclude(_)), "{under_way}: {next:?}");
        }
    }

    #[test]
    fn nobody_keeps_it_before_all_were_judged() {
        use StepState as S;
        let named =
            |numbers: &[usize]| numbers.iter().map(|number| format!("lb{number:02}")).collect::<Vec<_>>();
        let all = |numbers: &[usize]| named(numbers).into_iter().collect::<BTreeSet<_>>();
        for (states, settled, expected) in [
            ([S::Staged, S::Committing, S::Committed], all(&[2]), Next::Commit(named(&[1]))),
            ([S::Staged, S::Committed, S::Committed], all(&[2]), Next::Settle(named(&[1, 2]))),
            ([S::Staged, S::Committed, S::Committed], all(&[1, 2]), Next::CommitSomeOf(named(&[0]))),
            ([S::Committed, S::Committed, S::Committed], all(&[1, 2]), Next::Settle(named(&[0, 1, 2]))),
            ([S::Committed, S::Unchanged, S::Committed], all(&[0, 2]), Next::Conclude(named(&[0, 2]))),
            // A coordinator that ended amid the confirmations judges nothing again.
            ([S::Committed, S::Confirming, S::Confirmed], nobody(), Next::Confirm(named(&[1, 0]))),
            ([S::Committed, S::Unchanged, S::Confirmed], nobody(), Next::Confirm(named(&[0]))),
            ([S::Confirmed, S::Unchanged, S::Confirmed], nobody(), Next::Enter(ApplyState::Applied)),
        ] {
            assert_eq!(next(ApplyState::Committing, &steps(&states), &settled), expected, "{states:?}");
        }
    }

    #[test]
    fn a_refusal_waits_for_the_others_and_then_turns_all_back() {
        use StepState as S;
        let some = steps(&[S::Refused, S::Staging, S::Staged]);
        assert_eq!(next(ApplyState::Staging, &some, &nobody()), Next::Stage(vec!["lb01".into()]));
        let all = steps(&[S::Refused, S::Staged, S::Staged]);
        assert_eq!(next(ApplyState::Staging, &all, &nobody()), Next::Enter(ApplyState::RollingBack));
        assert_eq!(
            next(ApplyState::RollingBack, &all, &nobody()),
            Next::RollBackSomeOf(vec!["lb01".into(), "lb02".into()])
        );
    }
}
