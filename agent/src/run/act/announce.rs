//! Announcing again. Nothing else waits for it: a fence that comes meanwhile is obeyed at once.

use std::collections::BTreeSet;

use hafleet_proto::v1;
use tokio::sync::oneshot;

use super::{Acts, Refusal, answer_of};
use crate::driver::NotAnnounced;

/// So many may be under way.
const ANNOUNCING_MAX: usize = 32;

/// What became of one, and whom to tell.
pub(super) type Announced = (v1::Answer, oneshot::Sender<v1::Answer>);

impl Acts {
    /// Begins it; the answer comes out of [`Acts::next`].
    pub(super) fn announce(
        &mut self,
        id: String,
        instances: BTreeSet<String>,
        reply: oneshot::Sender<v1::Answer>,
    ) {
        let (engine, waiting) = (self.engine.clone(), self.announcing.len());
        self.announcing.spawn(async move {
            let announced = if waiting < ANNOUNCING_MAX {
                engine.announce(instances).await.map_err(|error| Refusal::new("engine", error.to_string()))
            } else {
                Ok(Err(NotAnnounced::Busy))
            };
            let done = announced.and_then(|announced| match announced {
                Ok(()) => Ok(String::new()),
                Err(error) => Err(Refusal::new(code(&error), error.to_string())),
            });
            (answer_of(id, done), reply)
        });
    }
}

const fn code(error: &NotAnnounced) -> &'static str {
    match error {
        NotAnnounced::Unknown { .. } => "unknown_instance",
        NotAnnounced::NotMaster { .. } => "not_master",
        NotAnnounced::NotHeld { .. }
        | NotAnnounced::Refused { .. }
        | NotAnnounced::Late { .. }
        | NotAnnounced::Busy => "engine",
    }
}
