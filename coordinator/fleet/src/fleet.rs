//! The fleet: one door in, one door out.

use core::time::Duration;

use crate::{effect::Effect, input::Input, time::Instant, view};

/// Every window, in one place. The defaults are the design's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// A snapshot older than this does not speak for the present.
    pub fresh: Duration,
    /// After a start of the coordinator nothing is called lost for so long.
    pub grace: Duration,
    /// A node unheard for so long is lost.
    pub agent_lost: Duration,
    /// Two masters must overlap for more than this, and for two intervals.
    pub split_brain: Duration,
    /// A suspicion becomes critical after so long.
    pub suspected_critical: Duration,
    /// A group without a holder for so long, and for two Master_Down, has none.
    pub no_master: Duration,
    /// A condition must be gone for so long before its finding is resolved.
    pub resolve: Duration,
    /// A probe that is not answered within this is answered by silence.
    pub probe: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(3),
            grace: Duration::from_secs(15),
            agent_lost: Duration::from_secs(30),
            split_brain: Duration::from_secs(1),
            suspected_critical: Duration::from_secs(60),
            no_master: Duration::from_secs(3),
            resolve: Duration::from_secs(1),
            probe: Duration::from_millis(500),
        }
    }
}

/// The whole fleet.
#[derive(Debug)]
pub struct Fleet {
    windows: Windows,
}

impl Fleet {
    /// A fleet without nodes.
    pub fn new(windows: Windows) -> Self {
        Self { windows }
    }

    /// Takes one input in. What follows from it is waiting in [`Fleet::next_output`].
    pub fn handle(&mut self, _input: Input, _now: Instant) {
        let _ = self.windows;
    }

    /// The next thing to do, in order.
    pub fn next_output(&mut self) -> Option<Effect> {
        None
    }

    /// When to call with [`Input::Deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Everything as it is now, for people.
    pub fn view(&self, _now: Instant) -> view::FleetView {
        view::FleetView::default()
    }

    /// Why a group is where it is, one sentence each; `None` for an unknown group.
    pub fn explain(
        &self,
        _group: &crate::GroupKey,
        _now: Instant,
    ) -> Option<alloc::vec::Vec<alloc::string::String>> {
        None
    }
}
