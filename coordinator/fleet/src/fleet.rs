//! The fleet: one door in, one door out.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{cell::Cell, time::Duration};

use crate::{
    bounds::{self, Counters},
    detect::{config, conflict, lost, no_master, orders, orphan, refused, rejection, sooner, split_brain},
    effect::{Effect, FindingKind, ProbeId},
    fence::Fencing,
    index::{self, Index, MemberKey, Place, Shape},
    input::{ArpAnswer, Input, Snapshot},
    ledger::{Ledger, Subject},
    model::{GroupKey, NodeName, Site},
    node::{Node, Taken},
    probe::Probes,
    scene::{Handover, Member, Scene, Story},
    time::Instant,
    timers::{Timers, Work},
    view,
};

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

/// A handover holds nothing back for longer than this, whoever forgets to say that it is over.
const HANDOVER_MOST: Duration = Duration::from_secs(60);

/// The whole fleet.
///
/// What a node's input costs is bounded by that node's own groups and heard table; no input looks at the whole fleet but
/// the end of the grace.
#[derive(Debug)]
pub struct Fleet {
    pub(crate) windows: Windows,
    /// The latest instant seen: time does not go back.
    latest: Instant,
    grace_until: Option<Instant>,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// The names of those in maintenance, known or not.
    pub(crate) maintenance: BTreeSet<NodeName>,
    places: BTreeMap<NodeName, BTreeMap<MemberKey, Place>>,
    pub(crate) index: Index,
    pub(crate) units: BTreeMap<GroupKey, Unit>,
    pub(crate) units_of: BTreeMap<NodeName, BTreeSet<GroupKey>>,
    pub(crate) ledger: Ledger,
    pub(crate) probes: Probes,
    /// Groups whose members are to be asked at the end of the present input.
    pub(crate) asking: BTreeSet<GroupKey>,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) fence: Fencing,
}

/// The addresses that move together, and what is remembered of them.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) subject: Subject,
    pub(crate) shape: Shape,
    pub(crate) story: Story,
}

impl Fleet {
    /// A fleet without nodes.
    pub fn new(windows: Windows) -> Self {
        Self {
            windows,
            latest: Instant::default(),
            grace_until: None,
            nodes: BTreeMap::new(),
            maintenance: BTreeSet::new(),
            places: BTreeMap::new(),
            index: Index::default(),
            units: BTreeMap::new(),
            units_of: BTreeMap::new(),
            ledger: Ledger::new(windows.resolve),
            probes: Probes::default(),
            asking: BTreeSet::new(),
            timers: Timers::default(),
            counters: Counters::default(),
            fence: Fencing::default(),
        }
    }

    /// Takes one input in. What follows from it is waiting in [`Fleet::next_output`].
    pub fn handle(&mut self, input: Input, now: Instant) {
        let now = now.max(self.latest);
        self.latest = now;
        if input == Input::Started {
            // Before anything that is due: a coordinator that was deaf for a while must not call anybody silent.
            self.grace_until = Some(now + self.grace());
            self.fence_deaf(now);
        }
        self.run_due(now);
        match input {
            Input::Started => self.started(now),
            Input::NodeKnown { node, site, last } => self.known(node, site, last, now),
            Input::FindingRestored(restored) => {
                self.ledger.restore(restored.finding, now);
                let until = self.grace_until.unwrap_or(now + self.grace());
                self.timers.arm(Work::Grace, until, now);
            }
            Input::FindingNumbered { kind, subject, last } => self.ledger.numbered(kind, subject, last),
            Input::NodeConnected { node, site } => self.connected(node, site, now),
            Input::NodeDisconnected { node } => {
                if self.with_node(&node, |known, _| known.disconnect(now)).is_some() {
                    self.judge_node(&node, now);
                }
            }
            Input::NodeRemoved { node } => self.removed(&node, now),
            Input::Snapshot { node, snapshot } => {
                self.heard(&node, snapshot, now);
            }
            Input::Transition { node, change } => {
                // The snapshot that follows is the present; only of a silent node is this all that is known.
                let fresh = self.windows.fresh;
                let silent = self.with_node(&node, |known, _| {
                    known.change(change, now);
                    !known.is_fresh(now, fresh)
                });
                if silent == Some(true) {
                    self.judge_units_of(&node, now);
                }
            }
            Input::Probed { probe, node, snapshot, arp } => self.probed(probe, &node, snapshot, arp, now),
            Input::ProbeNotSent { probe, node } => self.not_sent(probe, &node, now),
            Input::Maintenance { node, on } => self.maintain(node, on, now),
            Input::Handover { group, until } => self.hand_over(&group, until, now),
            Input::Fence(input) => self.fence_told(input, now),
            Input::Deadline => {}
        }
        self.fence_turn(now);
        self.ask(now);
    }

    /// The next thing to do, in order. To be drained after every [`Fleet::handle`].
    pub fn next_output(&mut self) -> Option<Effect> {
        self.ledger.next_output()
    }

    /// When to call with [`Input::Deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Everything as it is now, for people.
    pub fn view(&self, now: Instant) -> view::FleetView {
        crate::describe::fleet(self, now.max(self.latest))
    }

    /// Why a group is where it is, one sentence each; `None` for an unknown group. Any address of the group names it.
    pub fn explain(&self, group: &GroupKey, now: Instant) -> Option<Vec<String>> {
        crate::explain::group(self, group, now.max(self.latest))
    }

    /// What was done, and what was left out at a bound.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn scene<'a>(&'a self, key: &'a GroupKey, now: Instant) -> Option<Scene<'a>> {
        let unit = self.units.get(key)?;
        let in_grace = self.grace_until.is_some_and(|until| now < until);
        Some(stage(key, &unit.subject, &unit.shape, &self.nodes, &self.index, &self.windows, in_grace, now))
    }

    fn grace(&self) -> Duration {
        self.windows.grace.max(lost::GRACE_LEAST)
    }

    fn started(&mut self, now: Instant) {
        let until = now + self.grace();
        self.grace_until = Some(until);
        self.probes.begin(now);
        self.timers.disarm(&Work::Grace);
        self.timers.arm(Work::Grace, until, now);
        for node in
            self.nodes.values_mut().filter(|node| node.heard_at.is_none() && node.silent_from.is_some())
        {
            node.silent_from = Some(now);
        }
        self.judge_all(now);
    }

    fn known(&mut self, name: NodeName, site: Site, last: Option<Snapshot>, now: Instant) {
        if !self.admit(&name, &site, now) {
            return;
        }
        if let Some(last) = last {
            self.with_node(&name, |node, counters| node.remember(last, now, counters));
            self.settle(&name, now);
        }
        self.judge_node(&name, now);
    }

    fn connected(&mut self, name: NodeName, site: Site, now: Instant) {
        if !self.admit(&name, &site, now) {
            return;
        }
        self.with_node(&name, |node, _| node.connect(site, now));
        self.settle(&name, now);
        self.judge_node(&name, now);
    }

    fn maintain(&mut self, name: NodeName, on: bool, now: Instant) {
        let changed = match on {
            true if self.maintenance.len() >= bounds::NODES && !self.maintenance.contains(&name) => {
                self.counters.nodes_refused += 1;
                false
            }
            true => self.maintenance.insert(name.clone()),
            false => self.maintenance.remove(&name),
        };
        if let Some(node) = self.nodes.get_mut(&name).filter(|_| changed) {
            node.maintenance = on;
            self.judge_node(&name, now);
        }
    }

    /// A configuration is on its way to a node, or no more.
    pub(crate) fn commit(&mut self, name: NodeName, on: bool, now: Instant) {
        let is_full = self.fence.committing.len() >= bounds::NODES;
        let changed = match on {
            true if is_full && !self.fence.committing.contains(&name) => {
                self.counters.nodes_refused += 1;
                false
            }
            true => self.fence.committing.insert(name.clone()),
            false => self.fence.committing.remove(&name),
        };
        if let Some(node) = self.nodes.get_mut(&name).filter(|_| changed) {
            node.committing = on;
            self.judge_node(&name, now);
        }
    }

    fn hand_over(&mut self, group: &GroupKey, until: Instant, now: Instant) {
        let unit = self.index.unit_of(group);
        let Some((key, unit)) = unit.and_then(|key| self.units.get_mut(&key).map(|unit| (key, unit))) else {
            self.counters.inputs_unexpected += 1;
            return;
        };
        let until = until.min(now + HANDOVER_MOST);
        let begun = unit.story.handover.map(|handover| handover.from);
        let from = begun.filter(|_| until <= now).unwrap_or(now);
        unit.story.handover = Some(Handover { from, until });
        self.judge_unit(&key, now);
    }

    fn removed(&mut self, name: &NodeName, now: Instant) {
        self.maintenance.remove(name);
        if self.nodes.remove(name).is_none() {
            self.counters.inputs_unexpected += 1;
            return;
        }
        self.timers.disarm(&Work::Node(name.clone()));
        self.ledger.close(&Subject::Node(name.clone()), now, "the node was removed");
        self.settle(name, now);
        self.units_of.remove(name);
    }

    /// Takes a snapshot in and judges what it touches. True when it is the present now.
    fn heard(&mut self, name: &NodeName, snapshot: Snapshot, now: Instant) -> bool {
        let fresh = self.windows.fresh;
        let taken = self.with_node(name, |node, counters| {
            if !node.connected {
                counters.inputs_unexpected += 1;
                return Taken::OutOfOrder;
            }
            node.hear(snapshot, now, fresh, counters)
        });
        match taken {
            None | Some(Taken::OutOfOrder) => return false,
            Some(Taken::ConfigChanged) => self.settle(name, now),
            Some(Taken::Same | Taken::Changed) => {}
        }
        self.judge_node(name, now);
        true
    }

    fn probed(
        &mut self,
        probe: ProbeId,
        name: &NodeName,
        snapshot: Snapshot,
        arp: Vec<ArpAnswer>,
        now: Instant,
    ) {
        let asked = self.probes.answered(probe, name);
        let fresh = self.windows.fresh;
        // The contest must know of the answer when the groups are judged by it.
        let current = self.with_node(name, |node, counters| {
            if node.connected { node.hear(snapshot, now, fresh, counters) } else { Taken::OutOfOrder }
        });
        let Some(taken) = current.filter(|taken| *taken != Taken::OutOfOrder) else { return };
        if let Some((units, sent_at)) = asked {
            self.answered(name, probe, &units, sent_at, arp);
        }
        match taken {
            Taken::OutOfOrder => {}
            Taken::ConfigChanged => {
                self.settle(name, now);
                self.judge_node(name, now);
            }
            Taken::Changed => self.judge_node(name, now),
            Taken::Same => {
                self.judge_lost(name, now);
                self.judge_contests_of(name, now);
            }
        }
    }

    fn admit(&mut self, name: &NodeName, site: &Site, now: Instant) -> bool {
        if !self.nodes.contains_key(name) {
            if self.nodes.len() >= bounds::NODES {
                self.counters.nodes_refused += 1;
                return false;
            }
            let mut node = Node::new(site.clone(), now);
            node.maintenance = self.maintenance.contains(name);
            node.committing = self.fence.committing.contains(name);
            self.nodes.insert(name.clone(), node);
        }
        true
    }

    fn with_node<T>(
        &mut self,
        name: &NodeName,
        act: impl FnOnce(&mut Node, &mut Counters) -> T,
    ) -> Option<T> {
        match self.nodes.get_mut(name) {
            Some(node) => Some(act(node, &mut self.counters)),
            None => {
                self.counters.inputs_unexpected += 1;
                None
            }
        }
    }

    /// Puts a node's instances where its config says, and judges every group that this changed.
    fn settle(&mut self, name: &NodeName, now: Instant) {
        let new = self.nodes.get(name).map(|node| index::places(name, node)).unwrap_or_default();
        let old = self.places.remove(name).unwrap_or_default();
        let touched = self.index.replace(&old, &new, &mut self.counters);
        if !new.is_empty() {
            self.places.insert(name.clone(), new);
        }
        for key in &touched {
            let shape = self.index.shape(key);
            let members = |shape: Option<&Shape>| -> BTreeSet<NodeName> {
                shape
                    .into_iter()
                    .flat_map(|shape| shape.members.iter().map(|member| member.node.clone()))
                    .collect()
            };
            let before = members(self.units.get(key).map(|unit| &unit.shape));
            let after = members(shape.as_ref());
            for node in before.difference(&after) {
                if let Some(units) = self.units_of.get_mut(node) {
                    units.remove(key);
                }
            }
            for node in after.difference(&before) {
                self.units_of.entry(node.clone()).or_default().insert(key.clone());
            }
            match (shape, self.units.get_mut(key)) {
                (Some(shape), Some(unit)) => unit.shape = shape,
                (Some(shape), None) => {
                    let subject = Subject::Group(key.clone());
                    self.units.insert(key.clone(), Unit { subject, shape, story: Story::default() });
                }
                (None, _) => {
                    self.units.remove(key);
                    self.timers.disarm(&Work::Unit(key.clone()));
                    self.ledger.close(
                        &Subject::Group(key.clone()),
                        now,
                        "the group is no longer configured like this",
                    );
                }
            }
        }
        for key in touched {
            self.judge_unit(&key, now);
        }
    }

    fn run_due(&mut self, now: Instant) {
        while let Some(work) = self.timers.due(now) {
            match work {
                Work::Node(name) => self.judge_node_if_changed(&name, now),
                Work::Unit(key) => self.judge_unit(&key, now),
                Work::Probe(id) => self.probe_due(id, now),
                Work::Grace => self.judge_all(now),
                Work::Fence => self.fence_due(),
            }
        }
    }

    fn probe_due(&mut self, id: ProbeId, now: Instant) {
        let Some(silence) = self.probes.due(id, now) else { return };
        for name in &silence.nodes {
            self.with_node(name, |node, _| node.missed_probe(silence.sent_at));
        }
        if let Some(again) = silence.again {
            self.timers.arm(Work::Probe(id), again, now);
        }
        for key in &silence.units {
            self.judge_unit(key, now);
        }
    }

    /// Judges a node and all its groups.
    fn judge_node(&mut self, name: &NodeName, now: Instant) {
        self.judge_lost(name, now);
        self.judge_units_of(name, now);
    }

    /// Time alone has passed for a node: its groups care only if it became stale.
    fn judge_node_if_changed(&mut self, name: &NodeName, now: Instant) {
        let fresh = self.windows.fresh;
        let changed = self.nodes.get(name).is_some_and(|node| node.judged_fresh != node.is_fresh(now, fresh));
        self.judge_lost(name, now);
        if changed {
            self.judge_units_of(name, now);
        }
    }

    fn judge_lost(&mut self, name: &NodeName, now: Instant) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let fresh = node.is_fresh(now, self.windows.fresh);
        let stale_at = node.heard_at.filter(|_| fresh).map(|at| at + self.windows.fresh);
        let wake = lost::judge(name, node, &self.windows, self.grace_until, &mut self.ledger, now);
        let wake = sooner(wake, refused::judge(name, node, fresh, &mut self.ledger, now));
        let wake = sooner(wake, orders::judge(name, node, fresh, &mut self.ledger, now));
        if let Some(wake) = sooner(stale_at, wake) {
            self.timers.arm(Work::Node(name.clone()), wake, now);
        }
    }

    fn judge_units_of(&mut self, name: &NodeName, now: Instant) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.judged_fresh = node.is_fresh(now, self.windows.fresh);
        }
        // Judging changes no membership, so the list can be lent out.
        let Some(units) = self.units_of.get_mut(name).map(core::mem::take) else { return };
        for key in &units {
            self.judge_unit(key, now);
        }
        self.units_of.insert(name.clone(), units);
    }

    /// A node has answered a probe about others of its groups.
    fn judge_contests_of(&mut self, name: &NodeName, now: Instant) {
        let Some(units) = self.units_of.get_mut(name).map(core::mem::take) else { return };
        for key in &units {
            if self.units.get(key).is_some_and(|unit| unit.story.contest.is_some()) {
                self.judge_unit(key, now);
            }
        }
        self.units_of.insert(name.clone(), units);
    }

    /// The end of the grace, or its beginning: everything may be judged otherwise, and what is open about subjects that
    /// nobody knows any more is closed.
    fn judge_all(&mut self, now: Instant) {
        let keys: Vec<GroupKey> = self.units.keys().cloned().collect();
        for key in keys {
            self.judge_unit(&key, now);
        }
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in names {
            self.judge_lost(&name, now);
        }
        if self.grace_until.is_some_and(|until| now < until) {
            return;
        }
        self.fence_end_findings(now);
        for subject in self.ledger.subjects() {
            let known = match &subject {
                Subject::Group(key) => self.units.contains_key(key),
                Subject::Node(name) => self.nodes.contains_key(name),
            };
            if !known {
                self.ledger.close(&subject, now, "nobody reports it any more");
            }
        }
    }

    pub(crate) fn judge_unit(&mut self, key: &GroupKey, now: Instant) {
        let in_grace = self.grace_until.is_some_and(|until| now < until);
        let fenced = self.fence.acts_for(key);
        let Self { units, nodes, index, windows, ledger, timers, counters, .. } = self;
        let Some(Unit { subject, shape, story }) = units.get_mut(key) else { return };
        let scene = stage(key, subject, shape, nodes, index, windows, in_grace, now);
        counters.groups_judged += 1;
        let next = split_brain::judge(&scene, story, ledger);
        let mut wake = next.wake;
        wake = sooner(wake, no_master::judge(&scene, story, fenced, ledger));
        wake = sooner(wake, orphan::judge(&scene, story, ledger));
        let lines: Vec<rejection::Line<'_>> = rejection::lines(&scene).collect();
        wake = sooner(wake, config::judge(&scene, &lines, story, ledger));
        wake = sooner(wake, conflict::judge(&scene, &lines, story, ledger));
        counters.visits += scene.visits.get();
        self.fence.judged(key, ledger.firing(subject, FindingKind::SplitBrainConfirmed).is_some());
        if next.ask {
            self.asking.insert(key.clone());
        }
        if let Some(wake) = wake.filter(|wake| *wake > now) {
            timers.arm(Work::Unit(key.clone()), wake, now);
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a scene is made in two places, from parts that are borrowed apart"
)]
pub(crate) fn stage<'a>(
    key: &'a GroupKey,
    subject: &'a Subject,
    shape: &'a Shape,
    nodes: &'a BTreeMap<NodeName, Node>,
    index: &'a Index,
    windows: &'a Windows,
    in_grace: bool,
    now: Instant,
) -> Scene<'a> {
    let members = shape.members.iter().filter_map(|member| {
        let node = nodes.get(&member.node)?;
        let instance = node.instances.get(&member.instance)?;
        Some(Member { key: member, node, instance, fresh: node.is_fresh(now, windows.fresh) })
    });
    let members: Vec<Member<'a>> = members.collect();
    let visits = Cell::new(members.len() as u64);
    Scene { subject, key, shape, members, nodes, index, windows, in_grace, now, visits }
}
