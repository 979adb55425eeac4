//! Fencing leaves the nodes of an apply alone, from its beginning to its end (rule 17): any of them may run at any time what it
//! will have to give up again.

use hafleet_fleet::{Input, NodeName, fence::FenceInput};

use super::task::Stopped;
use crate::{
    effects::FleetGone,
    shared::Shared,
    store::{StepRow, StepState, Store, StoreError},
};

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// Until the apply is over.
    UntilItsEnd,
    /// It is over.
    NoMore,
}

/// What the core of a coordinator that starts is told of the apply that an earlier one left, before anything can be fenced.
///
/// # Errors
/// The database refuses.
pub async fn left_open(store: &Store) -> Result<Vec<Input>, StoreError> {
    match store.open_config_number().await? {
        Some(number) => Ok(inputs(&store.config_steps(number).await?, Spared::UntilItsEnd)),
        None => Ok(Vec::new()),
    }
}

/// Tells the core.
pub(super) async fn tell(shared: &Shared, generation: u64, spared: Spared) -> Result<(), Stopped> {
    let steps = shared.store.config_steps(generation).await?;
    for input in inputs(&steps, spared) {
        shared.fleet.tell(input, shared.clock.now()).await.map_err(|FleetGone| Stopped::Gone(FleetGone))?;
    }
    Ok(())
}

fn inputs(steps: &[StepRow], spared: Spared) -> Vec<Input> {
    let concerned = steps.iter().filter(|step| spared == Spared::NoMore || is_concerned(step.state));
    let input = |step: &StepRow| {
        let node = NodeName(step.node.clone());
        Input::Fence(FenceInput::Committing { node, on: spared == Spared::UntilItsEnd })
    };
    concerned.map(input).collect()
}

/// It may still be asked to run something else, or back.
const fn is_concerned(state: StepState) -> bool {
    match state {
        StepState::Waiting
        | StepState::Staging
        | StepState::Staged
        | StepState::Committing
        | StepState::Committed
        | StepState::Confirming
        | StepState::Confirmed
        | StepState::RollingBack
        | StepState::RolledBack
        | StepState::Failed => true,
        StepState::Unchanged | StepState::Refused => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_spared_but_those_that_change_nothing() {
        let rows: Vec<StepRow> = StepState::ALL
            .iter()
            .map(|&state| StepRow { node: state.to_string(), state, detail: String::new(), updated_us: 1 })
            .collect();
        let names = |spared| -> Vec<(String, bool)> {
            let told = inputs(&rows, spared).into_iter().filter_map(|input| match input {
                Input::Fence(FenceInput::Committing { node, on }) => Some((node.0, on)),
                _ => None,
            });
            told.collect()
        };
        let spared = names(Spared::UntilItsEnd);
        assert_eq!(spared.len(), StepState::ALL.len() - 2, "{spared:?}");
        assert!(spared.iter().all(|(name, on)| *on && name != "unchanged" && name != "refused"));
        let over = names(Spared::NoMore);
        assert_eq!(over.len(), StepState::ALL.len());
        assert!(over.iter().all(|(_, on)| !on));
    }
}
