//! When to look again at what. A timer that comes early costs one look; one that never comes costs a finding.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::{
    effect::ProbeId,
    model::{GroupKey, NodeName},
    time::Instant,
};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Node(NodeName),
    Unit(GroupKey),
    Probe(ProbeId),
    Grace,
    Fence,
}

/// One timer for each.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Work)>,
    armed: BTreeMap<Work, Instant>,
}

impl Timers {
    /// Looks at it then, or earlier if that was already meant. Always after `now`, so that no look can loop.
    pub(crate) fn arm(&mut self, work: Work, at: Instant, now: Instant) {
        let at = at.max(now + Duration::from_micros(1));
        match self.armed.get(&work) {
            Some(armed) if *armed <= at => {}
            Some(armed) => {
                self.queue.remove(&(*armed, work.clone()));
                self.put(work, at);
            }
            None => self.put(work, at),
        }
    }

    pub(crate) fn disarm(&mut self, work: &Work) {
        if let Some(at) = self.armed.remove(work) {
            self.queue.remove(&(at, work.clone()));
        }
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    pub(crate) fn due(&mut self, now: Instant) -> Option<Work> {
        if self.first()? > now {
            return None;
        }
        let (_, work) = self.queue.pop_first()?;
        self.armed.remove(&work);
        Some(work)
    }

    fn put(&mut self, work: Work, at: Instant) {
        self.armed.insert(work.clone(), at);
        self.queue.insert((at, work));
    }
}
