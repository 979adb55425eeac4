//! Fencing as the core asks for it: rows, agents, fence programs, references.
//!
//! ```text
//! config ─► policy ─┐                       ┌─► store: row and standing in one transaction, epoch checked
//! store ─► restored ├─► core (in effects) ──┼─► audit
//! epoch ─► leader ──┘        ▲              └─► steps ─► agent | fence program, epoch checked right before
//!                            └── results, people's verbs, references
//! ```
//!
//! Without a readable store fencing stays inert, and says why. `references` is the one task of its own; steps are tasks of
//! the one that owns the core, and end with it: what was under way then is found out by its status after a restart.

pub mod references;
pub mod row;
pub mod steps;

use std::sync::Arc;

use hafleet_fleet::{
    Input,
    fence::{FenceInput, Operation, Standing},
};

use crate::{
    api::status::said,
    config::Fencing,
    fencing::row::UnreadableFence,
    store::{FENCES_MAX, Store, StoreError},
};

/// What the core is told about fencing after a start, in this order and after everything else.
#[derive(Debug, Default)]
pub struct Beginning {
    /// Policy, what the store has, the epoch.
    pub inputs: Vec<Input>,
    /// Why fencing is inert, if it is.
    pub inert: Option<Arc<str>>,
}

/// Takes an epoch, then reads the store: from then on nobody of an older epoch writes.
///
/// # Errors
/// The database refuses. A row that cannot be read is no error: the coordinator serves, and does not fence.
pub async fn begin(store: &Store, fencing: &Fencing, now_us: i64) -> Result<Beginning, StoreError> {
    let configured = Input::Fence(FenceInput::Configured(Box::new(fencing.policy.clone())));
    let epoch = store.take_fence_epoch(now_us).await?;
    match restore(store).await? {
        Ok((standing, operations)) => {
            let restored = Input::Fence(FenceInput::Restored { standing, operations });
            let leader = Input::Fence(FenceInput::Leader { epoch });
            Ok(Beginning { inputs: vec![configured, restored, leader], inert: None })
        }
        Err(error) => {
            let why = said(&error);
            tracing::error!("nothing will be fenced, by nobody: {why}");
            Ok(Beginning { inputs: vec![configured], inert: Some(why.into()) })
        }
    }
}

async fn restore(store: &Store) -> Result<Result<(Standing, Vec<Operation>), UnreadableFence>, StoreError> {
    let (standing, rows) = (store.fence_standing().await?, store.standing_fences().await?);
    let read = || {
        if rows.truncated {
            return Err(UnreadableFence::TooMany(FENCES_MAX));
        }
        let operations = rows.rows.iter().map(row::operation).collect::<Result<_, _>>()?;
        Ok((row::standing(&standing)?, operations))
    };
    Ok(read())
}
