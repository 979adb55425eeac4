//! One node as the coordinator knows it: what it last said, when, and whether that speaks for the present.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use crate::{
    bounds::{self, Counters},
    effect::ProbeId,
    input::{Heard, InstanceReport, Reference, Snapshot, StateChange},
    model::{Site, VrrpState},
    time::Instant,
};

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) site: Site,
    /// People have put it into maintenance.
    pub(crate) maintenance: bool,
    /// A configuration is on its way to it, and may run already or not yet.
    pub(crate) committing: bool,
    /// Its stream is up.
    pub(crate) connected: bool,
    /// When its stream last ended.
    pub(crate) disconnected_at: Option<Instant>,
    /// When its last snapshot came, in this life of the coordinator.
    pub(crate) heard_at: Option<Instant>,
    /// From when its silence is counted; `None`: never heard in any life, so it cannot be lost.
    pub(crate) silent_from: Option<Instant>,
    /// Since when it has been heard without a gap: not stale, and not mute when asked.
    pub(crate) steady_since: Instant,
    /// A snapshot came on the present stream: what was said on an older one is history.
    heard_on_stream: bool,
    /// The next snapshot begins a new steady time: it is the first, or a probe went unanswered in silence.
    interrupted: bool,
    /// The last probe sent to it, and until when its answer is waited for before it is asked again.
    pub(crate) asked: Option<(ProbeId, Instant)>,
    /// Its freshness as it was when its groups were last judged.
    pub(crate) judged_fresh: bool,
    /// Where its journal stood at the last snapshot of this stream.
    journal_id: String,
    seq: u64,
    /// `seq` is a mark that snapshots of this stream may not fall behind.
    ordered: bool,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) heard: Vec<Heard>,
    /// The configuration that it refused, and when it came, by the coordinator's clock.
    pub(crate) refused: Option<(String, Instant)>,
    /// Why it cannot read its standing orders, and when that was first told.
    pub(crate) orders_unreadable: Option<(String, Instant)>,
    /// What it says about its own network.
    pub(crate) references: Vec<Reference>,
    /// Indices into `heard` by advertised address and by VRID, sorted.
    heard_by_address: Vec<(IpAddr, usize)>,
    heard_by_vrid: Vec<(u8, usize)>,
    /// Journalled changes after the last snapshot: what is known of a node that said no more.
    later: BTreeMap<String, (StateChange, Instant)>,
}

/// The last that is known of an instance, from whichever is later: the snapshot or the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastKnown<'a> {
    pub(crate) state: VrrpState,
    pub(crate) reason: &'a str,
    /// From when it is known; never before the truth.
    pub(crate) since: Instant,
}

/// One instance of a node.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) report: InstanceReport,
    /// When it entered its state, by the coordinator's clock. Never before the truth: delays only make it later.
    pub(crate) entered: Instant,
    /// When it was last seen to have left MASTER.
    pub(crate) left_master: Option<Instant>,
    /// When its interface's error counter was last seen to rise.
    pub(crate) errors_rose_at: Option<Instant>,
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Older than what is known.
    OutOfOrder,
    /// The present now, and nothing that groups are judged by is new but the heard table.
    Same,
    /// The present now.
    Changed,
    /// The present now, and what the node could hold, or from where, has changed.
    ConfigChanged,
}

impl Node {
    pub(crate) fn new(site: Site, now: Instant) -> Self {
        Self {
            site,
            maintenance: false,
            committing: false,
            connected: false,
            disconnected_at: None,
            heard_at: None,
            silent_from: None,
            steady_since: now,
            heard_on_stream: false,
            interrupted: true,
            asked: None,
            judged_fresh: false,
            journal_id: String::new(),
            seq: 0,
            ordered: false,
            instances: BTreeMap::new(),
            heard: Vec::new(),
            refused: None,
            orders_unreadable: None,
            references: Vec::new(),
            heard_by_address: Vec::new(),
            heard_by_vrid: Vec::new(),
            later: BTreeMap::new(),
        }
    }

    /// What the store remembers. History: it says who belongs to a group, not what is so now.
    pub(crate) fn remember(&mut self, last: Snapshot, now: Instant, counters: &mut Counters) {
        if self.heard_at.is_none() {
            self.take(last, now, counters);
            self.ordered = false;
            self.silent_from = Some(now);
        }
    }

    /// A stream began: its snapshots are in order among themselves, whatever older streams said. (A host that was set
    /// back to an older disk image has an older journal; that must not make it stale for ever.) A new stream within the
    /// freshness window is no gap: the agent was alive to make it.
    pub(crate) fn connect(&mut self, site: Site, now: Instant) {
        self.site = site;
        self.connected = true;
        self.heard_on_stream = false;
        self.ordered = false;
        self.silent_from = Some(now);
    }

    pub(crate) fn disconnect(&mut self, now: Instant) {
        if self.connected {
            self.connected = false;
            self.disconnected_at = Some(now);
        }
    }

    /// Takes a snapshot in as the present, unless it is older than the one known.
    pub(crate) fn hear(
        &mut self,
        snapshot: Snapshot,
        now: Instant,
        fresh: Duration,
        counters: &mut Counters,
    ) -> Taken {
        if self.ordered && snapshot.journal_id == self.journal_id && snapshot.seq < self.seq {
            counters.snapshots_out_of_order += 1;
            return Taken::OutOfOrder;
        }
        let returns = self.interrupted || !self.is_fresh(now, fresh);
        if self.interrupted || !self.is_recent(now, fresh) {
            self.steady_since = now;
            self.interrupted = false;
        }
        let taken = match self.take(snapshot, now, counters) {
            Taken::Same if returns => Taken::Changed,
            taken => taken,
        };
        self.ordered = true;
        self.heard_on_stream = true;
        self.disconnected_at = None;
        self.heard_at = Some(now);
        self.silent_from = Some(now);
        taken
    }

    /// Connected, and heard on this stream within the window.
    pub(crate) fn is_fresh(&self, now: Instant, fresh: Duration) -> bool {
        self.connected && self.heard_on_stream && self.is_recent(now, fresh)
    }

    fn is_recent(&self, now: Instant, fresh: Duration) -> bool {
        self.heard_at.is_some_and(|at| now < at + fresh)
    }

    /// Since when it has not been fresh; `None` while it is, or if it never was.
    pub(crate) fn stale_since(&self, now: Instant, fresh: Duration) -> Option<Instant> {
        let silent = self.heard_at.map(|at| at + fresh).filter(|at| *at <= now);
        match self.disconnected_at {
            Some(at) => Some(silent.map_or(at, |silent| silent.min(at))),
            None => silent,
        }
    }

    /// A probe of `sent_at` was not answered in time. If nothing else was heard since, the node was mute.
    pub(crate) fn missed_probe(&mut self, sent_at: Instant) {
        if self.heard_at.is_none_or(|at| at <= sent_at) {
            self.interrupted = true;
        }
    }

    /// A journalled change. It is kept only while no snapshot includes it.
    pub(crate) fn change(&mut self, change: StateChange, now: Instant) {
        let newer = change.journal_id == self.journal_id
            && change.seq > self.seq
            && self.instances.contains_key(&change.instance)
            && self.later.get(&change.instance).is_none_or(|(known, _)| change.seq > known.seq);
        if newer {
            self.later.insert(change.instance.clone(), (change, now));
        }
    }

    pub(crate) fn last_known<'a>(&'a self, name: &str, instance: &'a Instance) -> LastKnown<'a> {
        match self.later.get(name) {
            Some((change, since)) => LastKnown { state: change.to, reason: &change.reason, since: *since },
            None => {
                let InstanceReport { state, reason, .. } = &instance.report;
                LastKnown { state: *state, reason, since: instance.entered }
            }
        }
    }

    /// Everything it runs was stopped by an instruction, and it has said nothing since.
    pub(crate) fn was_stopped(&self) -> bool {
        let stopped = |(name, instance): (&String, &Instance)| {
            let last = self.last_known(name, instance);
            last.state == VrrpState::Init && last.reason == STOPPED
        };
        !self.instances.is_empty() && self.instances.iter().all(stopped)
    }

    /// The lines of the heard table that carry this address.
    pub(crate) fn heard_for(&self, address: IpAddr) -> impl Iterator<Item = &Heard> {
        let from = self.heard_by_address.partition_point(|(known, _)| *known < address);
        let lines = self.heard_by_address.iter().skip(from).take_while(move |(known, _)| *known == address);
        lines.filter_map(|(_, index)| self.heard.get(*index))
    }

    /// The lines of the heard table with this VRID.
    pub(crate) fn heard_with(&self, vrid: u8) -> impl Iterator<Item = &Heard> {
        let from = self.heard_by_vrid.partition_point(|(known, _)| *known < vrid);
        let lines = self.heard_by_vrid.iter().skip(from).take_while(move |(known, _)| *known == vrid);
        lines.filter_map(|(_, index)| self.heard.get(*index))
    }

    fn take(&mut self, mut snapshot: Snapshot, now: Instant, counters: &mut Counters) -> Taken {
        bound(&mut snapshot, counters);
        let moved = snapshot.journal_id != self.journal_id || snapshot.seq != self.seq;
        let mut config_changed = snapshot.instances.len() != self.instances.len();
        let mut changed = moved;
        let mut instances = BTreeMap::new();
        for report in snapshot.instances {
            let old = self.instances.remove(&report.instance);
            config_changed |= old.as_ref().is_none_or(|old| !same_place(&old.report, &report));
            changed |= old.as_ref().is_none_or(|old| !same_present(&old.report, &report));
            let live = self.heard_at.is_some();
            let name = report.instance.clone();
            instances.insert(name, Instance::after(old.filter(|_| live), report, moved, now));
        }
        self.instances = instances;
        if snapshot.journal_id == self.journal_id {
            self.later.retain(|_, (change, _)| change.seq > snapshot.seq);
        } else {
            self.later.clear();
        }
        self.journal_id = snapshot.journal_id;
        self.seq = snapshot.seq;
        self.heard = snapshot.heard;
        self.references = snapshot.references;
        // A delay on the way only makes it later.
        let known = self.refused.take();
        self.refused = snapshot.refused.map(|refused| {
            let came = now - refused.age;
            let same = known.filter(|(why, _)| *why == refused.why);
            (refused.why, same.map_or(came, |(_, before)| before.min(came)))
        });
        let before = self.orders_unreadable.take();
        self.orders_unreadable =
            snapshot.orders_unreadable.map(|why| (why, before.map_or(now, |(_, since)| since)));
        let lines = || self.heard.iter().enumerate();
        self.heard_by_address = lines()
            .flat_map(|(index, heard)| heard.addresses.iter().map(move |address| (*address, index)))
            .collect();
        self.heard_by_vrid = lines().map(|(index, heard)| (heard.vrid, index)).collect();
        self.heard_by_address.sort_unstable();
        self.heard_by_vrid.sort_unstable();
        match (config_changed, changed) {
            (true, _) => Taken::ConfigChanged,
            (false, true) => Taken::Changed,
            (false, false) => Taken::Same,
        }
    }
}

/// The reason code of a stop by instruction.
pub(crate) const STOPPED: &str = "stopped";

impl Instance {
    fn after(old: Option<Self>, report: InstanceReport, moved: bool, now: Instant) -> Self {
        // The report's age on the way is unknown, so this is never before the truth.
        let estimate = now - report.in_state;
        let Some(old) = old else {
            return Self { report, entered: estimate, left_master: None, errors_rose_at: None };
        };
        let same_state = old.report.state == report.state;
        // It may have left and come back between two snapshots.
        let bounced = report.in_state < old.report.in_state || (moved && estimate > old.entered);
        let entered = if same_state && !bounced { old.entered.min(estimate) } else { estimate };
        let left = old.report.state == VrrpState::Master && !same_state;
        let rose = report.interface_errors > old.report.interface_errors;
        Self {
            entered,
            left_master: if left { Some(estimate) } else { old.left_master },
            errors_rose_at: if rose { Some(now) } else { old.errors_rose_at },
            report,
        }
    }
}

/// Whether two reports put an instance into the same groups.
fn same_place(old: &InstanceReport, new: &InstanceReport) -> bool {
    old.addresses == new.addresses && old.source == new.source && old.vrid == new.vrid
}

/// Whether two reports say the same, apart from the passing of time.
fn same_present(old: &InstanceReport, new: &InstanceReport) -> bool {
    let passed = new.in_state.saturating_sub(old.in_state);
    let same = InstanceReport { in_state: old.in_state + passed, ..old.clone() };
    same == *new
}

fn bound(snapshot: &mut Snapshot, counters: &mut Counters) {
    let mut cut = 0;
    let mut names = BTreeSet::new();
    snapshot.instances.retain(|report| {
        let keep = names.len() < bounds::INSTANCES && names.insert(report.instance.clone());
        cut += usize::from(!keep);
        keep
    });
    cut += snapshot.heard.len().saturating_sub(bounds::HEARD);
    cut += snapshot.references.len().saturating_sub(bounds::REFERENCES);
    snapshot.references.truncate(bounds::REFERENCES);
    snapshot.heard.truncate(bounds::HEARD);
    let lists = snapshot.instances.iter_mut().map(|report| {
        let over = report.addresses.len().saturating_sub(bounds::ADDRESSES);
        report.addresses.truncate(bounds::ADDRESSES);
        over
    });
    cut += lists.sum::<usize>();
    for heard in &mut snapshot.heard {
        cut += heard.addresses.len().saturating_sub(bounds::ADDRESSES);
        heard.addresses.truncate(bounds::ADDRESSES);
    }
    counters.items_cut += cut as u64;
}
