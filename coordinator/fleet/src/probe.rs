//! Probes that wait for answers. A late answer still says what is so; silence is noticed when the probe is due.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use crate::{
    bounds::{self, Counters},
    effect::{Probe, ProbeId},
    model::{GroupKey, NodeName},
    time::Instant,
};

/// An answer is taken for so many times the probe's window.
const EXPIRES: u32 = 4;
/// When too many probes are open, or one could not be sent, the next is tried after this.
pub(crate) const POSTPONED: Duration = Duration::from_millis(100);

/// Every open probe.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    last: u64,
    open: BTreeMap<ProbeId, Open>,
}

#[derive(Debug)]
struct Open {
    units: Vec<GroupKey>,
    waiting: BTreeSet<NodeName>,
    sent_at: Instant,
    due: Instant,
    expires: Instant,
    /// Its silence has been noticed.
    passed: bool,
}

/// What came of a deadline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) units: Vec<GroupKey>,
    pub(crate) nodes: Vec<NodeName>,
    pub(crate) sent_at: Instant,
    /// When to look at this probe again.
    pub(crate) again: Option<Instant>,
}

impl Probes {
    /// Numbers of this life are above those of earlier ones: the caller's clock never goes back.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.last = self.last.max(now.as_micros());
    }

    /// Opens a probe for some groups, or postpones it when too many are open.
    pub(crate) fn send(
        &mut self,
        units: Vec<GroupKey>,
        nodes: Vec<NodeName>,
        arp_targets: Vec<IpAddr>,
        window: Duration,
        now: Instant,
        counters: &mut Counters,
    ) -> Option<(Probe, Instant)> {
        let address = units.first()?.address;
        if self.open.len() >= bounds::PROBES {
            counters.probes_postponed += units.len() as u64;
            return None;
        }
        counters.probes_sent += 1;
        self.last += 1;
        let id = ProbeId(self.last);
        let due = now + window;
        let waiting = nodes.iter().cloned().collect();
        let expires = now + window * EXPIRES;
        self.open.insert(id, Open { units, waiting, sent_at: now, due, expires, passed: false });
        Some((Probe { id, nodes, address, arp_targets }, due))
    }

    /// A node's answer: which units were asked about, and when it was asked; `None` when nobody waits for it. What it says was so
    /// at some time since it was asked, and not only when it came.
    pub(crate) fn answered(&mut self, id: ProbeId, node: &NodeName) -> Option<(Vec<GroupKey>, Instant)> {
        let open = self.open.get_mut(&id)?;
        let awaited = open.waiting.remove(node);
        let asked = (open.units.clone(), open.sent_at);
        if open.waiting.is_empty() {
            self.open.remove(&id);
        }
        awaited.then_some(asked)
    }

    /// The probe's deadline has come: who was silent, told once.
    pub(crate) fn due(&mut self, id: ProbeId, now: Instant) -> Option<Silence> {
        let open = self.open.get_mut(&id)?;
        let (units, sent_at) = (open.units.clone(), open.sent_at);
        if now >= open.expires {
            let open = self.open.remove(&id)?;
            let nodes = if open.passed { Vec::new() } else { open.waiting.into_iter().collect() };
            return Some(Silence { units, nodes, sent_at, again: None });
        }
        let first = now >= open.due && !open.passed;
        open.passed |= first;
        let nodes = if first { open.waiting.iter().cloned().collect() } else { Vec::new() };
        let again = if open.passed { open.expires } else { open.due };
        Some(Silence { units, nodes, sent_at, again: Some(again) })
    }
}
