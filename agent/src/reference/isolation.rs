//! Whether a host has no network. Pure.

use std::time::Duration;

use hafleet_vrrp::Instant;

use crate::driver::InstanceSnapshot;

/// How long every coordinator must have been gone.
pub const COORDINATOR_GONE_FOR: Duration = Duration::from_secs(30);

/// What a node knows beside what its routers hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether each reference address answers; `None` while that is not known.
    pub references: Vec<Option<bool>>,
    /// For how long no coordinator has been connected; `None` while one is.
    pub coordinator_gone_for: Option<Duration>,
}

/// Whether an instance serves nobody: no path hears anything, no reference address answers, and every coordinator has been gone
/// for [`COORDINATOR_GONE_FOR`]. Losing coordinators alone is nothing, and neither is a node without references: what cannot be asked
/// is no evidence.
pub fn is_isolated(instance: &InstanceSnapshot, surroundings: &Surroundings, now: Instant) -> bool {
    let Surroundings { references, coordinator_gone_for } = surroundings;
    let silent_for = instance.master_down;
    let is_silent = |last: Option<Instant>| last.is_none_or(|at| now.since(at) > silent_for);
    !references.is_empty()
        && references.iter().all(|reachable| *reachable == Some(false))
        && coordinator_gone_for.is_some_and(|gone_for| gone_for >= COORDINATOR_GONE_FOR)
        && instance.paths.iter().all(|path| path.link.is_err() || is_silent(path.last_accepted))
}
