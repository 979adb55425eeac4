//! Nodes that did not go back when they were told: they are told again when they are heard, until they have.
//!
//! Generations can be owed that were given up since one was applied: what is applied after them is compared with what a node
//! runs, and replaces it.

use std::sync::Arc;

use super::{
    ask::{answered, ask_back, note, went_back},
    known::{Told, told},
    read,
    task::Stopped,
};
use crate::{
    shared::Shared,
    store::{GenerationRow, StepState, hash},
};

/// What to do about a node that was not known to have gone back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// It is not heard.
    Wait,
    /// It runs the generation, or holds it ready.
    Tell,
    /// It has nothing of it.
    Note,
}

/// Looks once, and tells whom it may concern; false when nobody is left to go back.
pub async fn look(shared: &Arc<Shared>) -> Result<bool, Stopped> {
    let mut is_owed = false;
    for row in shared.store.owed_configs().await? {
        is_owed |= look_at(shared, &row).await?;
    }
    Ok(is_owed)
}

async fn look_at(shared: &Arc<Shared>, row: &GenerationRow) -> Result<bool, Stopped> {
    let file = read(row.number, &row.text).ok();
    let steps = shared.store.config_steps(row.number).await?;
    let (mut late, mut owed) = (Vec::new(), 0);
    for step in steps.into_iter().filter(|step| step.state == StepState::Failed) {
        let text = file.as_ref().map(|file| hash(&file.compile(&step.node)));
        match care(&told(shared, &step.node), row.number, text.as_deref()) {
            Care::Wait => owed += 1,
            Care::Tell => late.push(step.node),
            Care::Note => {
                note(
                    shared,
                    row.number,
                    &step.node,
                    StepState::RolledBack,
                    "found back when it was heard again",
                )
                .await?;
            }
        }
    }
    let mut answers = ask_back(shared, row, &late);
    while let Some((node, answer)) = answered(&mut answers).await {
        match went_back(answer) {
            Ok(_) => {
                note(shared, row.number, &node, StepState::RolledBack, "told when it was heard again")
                    .await?;
            }
            // Next time.
            Err(error) => {
                tracing::warn!(generation = row.number, "{error}: it has still to go back");
                owed += 1;
            }
        }
    }
    Ok(owed > 0)
}

/// A database that was restored gives a number again: what has it with another hash is not this generation. Without a text
/// that can be read the number counts.
fn care(told: &Told, generation: u64, hash: Option<&str>) -> Care {
    let heard = told.pushed.as_ref().filter(|_| told.is_heard());
    match heard {
        None => Care::Wait,
        Some(pushed) if pushed.staged_generation == generation => Care::Tell,
        Some(pushed) if pushed.generation == generation && hash.is_none_or(|hash| hash == pushed.hash) => {
            Care::Tell
        }
        Some(_) => Care::Note,
    }
}

#[cfg(test)]
mod tests {
    use hafleet_proto::v1;

    use super::*;

    #[test]
    fn only_what_is_heard_counts() {
        let pushed = |generation, staged_generation| v1::Pushed {
            generation,
            staged_generation,
            ..Default::default()
        };
        let heard = |pushed| Told {
            is_connected: true,
            received_us: Some(1),
            pushed: Some(pushed),
            ..Default::default()
        };
        assert_eq!(care(&Told::default(), 7, None), Care::Wait);
        assert_eq!(care(&Told { is_connected: false, ..heard(pushed(7, 0)) }, 7, None), Care::Wait);
        // Read back from the store: said to an earlier coordinator.
        assert_eq!(care(&Told { received_us: None, ..heard(pushed(7, 0)) }, 7, None), Care::Wait);
        assert_eq!(care(&heard(pushed(7, 0)), 7, None), Care::Tell);
        assert_eq!(care(&heard(pushed(6, 7)), 7, None), Care::Tell);
        assert_eq!(care(&heard(pushed(6, 0)), 7, None), Care::Note);
        let ours = v1::Pushed { hash: "ours".into(), ..pushed(7, 0) };
        assert_eq!(care(&heard(ours.clone()), 7, Some("ours")), Care::Tell);
        assert_eq!(care(&heard(ours), 7, Some("of a database that was restored")), Care::Note);
    }
}
