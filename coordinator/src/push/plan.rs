//! What is to be done next, decided from what is written down and nothing else: after a restart it is the same.

use crate::store::{ApplyState, StepRow, StepState};

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask these nodes to judge their parts, all at once.
    Stage(Vec<String>),
    /// The apply is now in this state.
    Enter(ApplyState),
    /// Ask one of these nodes to run it.
    CommitOneOf(Vec<String>),
    /// Ask this node again: whether it was asked before is not known.
    Commit(String),
    /// See whether this node came well out of its commit.
    Settle(String),
    /// Tell this node to keep it.
    Confirm(String),
    /// See whether the whole fleet came well out of it.
    Conclude,
    /// Tell this node to go back.
    RollBackOneOf(Vec<String>),
    /// Nothing.
    Over,
}

/// Decides. The order of `steps` is that of names.
pub fn next(state: ApplyState, steps: &[StepRow]) -> Next {
    match state {
        ApplyState::Staging => staging(steps),
        ApplyState::Committing => committing(steps),
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

fn committing(steps: &[StepRow]) -> Next {
    let mut staged = Vec::new();
    for StepRow { node, state, .. } in steps {
        match state {
            StepState::Committing => return Next::Commit(node.clone()),
            StepState::Committed => return Next::Settle(node.clone()),
            StepState::Confirming => return Next::Confirm(node.clone()),
            StepState::Staged => staged.push(node.clone()),
            StepState::Unchanged | StepState::Confirmed => {}
            // None of these can be while nodes commit: what is written down is not what was meant.
            StepState::Waiting
            | StepState::Staging
            | StepState::Refused
            | StepState::RollingBack
            | StepState::RolledBack
            | StepState::Failed => return Next::Enter(ApplyState::RollingBack),
        }
    }
    if staged.is_empty() { Next::Conclude } else { Next::CommitOneOf(staged) }
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
        Next::RollBackOneOf(to_tell)
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
            assert_eq!(next(A::Staging, &steps(&[state])), staging, "{state}");
            let committing = match state {
                S::Staged => Next::CommitOneOf(vec![one()]),
                S::Committing => Next::Commit(one()),
                S::Committed => Next::Settle(one()),
                S::Confirming => Next::Confirm(one()),
                S::Confirmed | S::Unchanged => Next::Conclude,
                _ => Next::Enter(A::RollingBack),
            };
            assert_eq!(next(A::Committing, &steps(&[state])), committing, "{state}");
            let back = match state {
                S::Refused => Next::Enter(A::Refused),
                S::Waiting | S::Unchanged | S::RolledBack | S::Failed => Next::Enter(A::RolledBack),
                _ => Next::RollBackOneOf(vec![one()]),
            };
            assert_eq!(next(A::RollingBack, &steps(&[state])), back, "{state}");
            for over in [A::Applied, A::RolledBack, A::Refused] {
                assert_eq!(next(over, &steps(&[state])), Next::Over);
            }
        }
    }

    #[test]
    fn one_node_is_finished_before_the_next_begins() {
        use StepState as S;
        for under_way in [S::Committing, S::Committed, S::Confirming] {
            let next = next(ApplyState::Committing, &steps(&[S::Staged, under_way, S::Staged]));
            assert!(!matches!(next, Next::CommitOneOf(_) | Next::Conclude), "{under_way}: {next:?}");
        }
    }

    #[test]
    fn a_refusal_waits_for_the_others_and_then_turns_all_back() {
        use StepState as S;
        let some = steps(&[S::Refused, S::Staging, S::Staged]);
        assert_eq!(next(ApplyState::Staging, &some), Next::Stage(vec!["lb01".into()]));
        let all = steps(&[S::Refused, S::Staged, S::Staged]);
        assert_eq!(next(ApplyState::Staging, &all), Next::Enter(ApplyState::RollingBack));
        assert_eq!(
            next(ApplyState::RollingBack, &all),
            Next::RollBackOneOf(vec!["lb01".into(), "lb02".into()])
        );
    }
}
