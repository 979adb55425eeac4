//! Asking nodes to look again, and what becomes of it.
//!
//! A node's answer brings everything that it runs, so one probe speaks for all groups that have something to ask its
//! nodes: a line with hundreds of groups that is cut is asked about with a few probes and not with hundreds. A claimant
//! gets the next probe when it has answered the last one or its time is over; what there is to ask meanwhile goes into
//! that next one.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::net::IpAddr;

use crate::{
    bounds,
    effect::{Effect, ProbeId},
    fleet::Fleet,
    index::MemberKey,
    input::ArpAnswer,
    model::{GroupKey, NodeName, VrrpState},
    probe::POSTPONED,
    scene::{ArpRound, Member, Scene, Story},
    time::Instant,
    timers::Work,
};

/// What one group wants to know.
struct Question {
    key: GroupKey,
    targets: Vec<IpAddr>,
    claimants: Vec<NodeName>,
    last_sent: Option<Instant>,
}

impl Fleet {
    /// Sends what has come up during an input, as few probes as can be.
    pub(crate) fn ask(&mut self, now: Instant) {
        if self.asking.is_empty() {
            return;
        }
        let mut rounds: BTreeMap<Vec<NodeName>, Vec<Question>> = BTreeMap::new();
        for key in core::mem::take(&mut self.asking) {
            let Some((nodes, question)) = self.question(&key, now) else { continue };
            rounds.entry(nodes).or_default().push(question);
        }
        for (nodes, mut questions) in rounds {
            // Who has waited longest is asked about first.
            questions.sort_by_key(|question| question.last_sent);
            self.ask_nodes(&nodes, questions, now);
        }
    }

    /// Asks these nodes all that one probe can ask; the rest waits for the next.
    fn ask_nodes(&mut self, nodes: &[NodeName], questions: Vec<Question>, now: Instant) {
        let (mut units, mut targets) = (Vec::new(), Vec::new());
        let mut later = Vec::new();
        for question in questions {
            let new = question.targets.iter().filter(|target| !targets.contains(*target)).count();
            let fits = units.is_empty() || targets.len() + new <= bounds::PROBE_TARGETS;
            match self.busy_until(&question.claimants, now) {
                Some(at) => later.push((question.key, at)),
                None if !fits => later.push((question.key, now + self.windows.probe)),
                None => {
                    for target in question.targets {
                        if !targets.contains(&target) {
                            targets.push(target);
                        }
                    }
                    units.push(question.key);
                }
            }
        }
        self.counters.probes_postponed += later.len() as u64;
        for (key, at) in later {
            self.timers.arm(Work::Unit(key), at, now);
        }
        let window = self.windows.probe;
        let asked = units.clone();
        let sent = self.probes.send(units, nodes.to_vec(), targets, window, now, &mut self.counters);
        let Some((probe, due)) = sent else {
            for key in asked {
                self.timers.arm(Work::Unit(key), now + POSTPONED, now);
            }
            return;
        };
        for name in nodes {
            if let Some(node) = self.nodes.get_mut(name) {
                node.asked = Some((probe.id, due));
            }
        }
        for key in asked {
            let story = self.units.get_mut(&key).map(|unit| &mut unit.story);
            match story.map(|story| (&mut story.contest, &mut story.vigil)) {
                Some((Some(contest), _)) => contest.asked(now),
                Some((None, Some(vigil))) => vigil.asked(now),
                Some((None, None)) | None => {}
            }
            self.timers.arm(Work::Unit(key), due, now);
        }
        self.timers.arm(Work::Probe(probe.id), due, now);
        self.ledger.ask(Effect::Probe(probe));
    }

    fn question(&self, key: &GroupKey, now: Instant) -> Option<(Vec<NodeName>, Question)> {
        let scene = self.scene(key, now)?;
        let story = &self.units.get(key)?.story;
        let last_sent = match (&story.contest, &story.vigil) {
            (Some(contest), _) => contest.last_sent,
            (None, Some(vigil)) => vigil.last_sent,
            (None, None) => return None,
        };
        let (nodes, targets) = to_ask(&scene);
        let claimants = scene.claims().iter().map(|claim| claim.name().clone()).collect();
        Some((nodes, Question { key: key.clone(), targets, claimants, last_sent }))
    }

    /// Until when one of them still has another probe to answer.
    fn busy_until(&self, nodes: &[NodeName], now: Instant) -> Option<Instant> {
        let asked = nodes.iter().filter_map(|name| self.nodes.get(name)?.asked);
        asked.map(|(_, until)| until).filter(|until| *until > now).min()
    }

    /// A node has answered: whatever it asserts was so at some time since it was asked, about every group.
    pub(crate) fn answered(
        &mut self,
        name: &NodeName,
        probe: ProbeId,
        asked: &[GroupKey],
        sent_at: Instant,
        arp: Vec<ArpAnswer>,
    ) {
        let Self { nodes, units, units_of, .. } = self;
        let Some(node) = nodes.get_mut(name) else { return };
        if node.asked.is_some_and(|(id, _)| id == probe) {
            node.asked = None;
        }
        let answers: Arc<[ArpAnswer]> = arp.into_iter().take(bounds::ARP_ANSWERS).collect();
        let asked: BTreeSet<&GroupKey> = asked.iter().collect();
        for key in units_of.get(name).into_iter().flatten() {
            let Some(unit) = units.get_mut(key) else { continue };
            let Story { contest, vigil, .. } = &mut unit.story;
            let Some(contest) = contest else {
                if let Some(vigil) = vigil.as_mut().filter(|_| asked.contains(key)) {
                    vigil.answered(name, ArpRound { asked_at: sent_at, answers: Arc::clone(&answers) });
                }
                continue;
            };
            contest.unsent_since.remove(name);
            let is_master = |member: &&MemberKey| {
                member.node == *name
                    && node
                        .instances
                        .get(&member.instance)
                        .is_some_and(|instance| instance.report.state == VrrpState::Master)
            };
            for member in unit.shape.members.iter().filter(is_master) {
                let asked_at = contest.reasserted.entry(member.clone()).or_insert(sent_at);
                *asked_at = sent_at.max(*asked_at);
            }
            let newer = contest.arp.get(name).is_none_or(|round| round.asked_at <= sent_at);
            if newer && asked.contains(key) {
                let round = ArpRound { asked_at: sent_at, answers: Arc::clone(&answers) };
                contest.arp.insert(name.clone(), round);
            }
        }
    }

    /// A node could not be asked: that says nothing about the node. It is asked again soon.
    pub(crate) fn not_sent(&mut self, probe: ProbeId, name: &NodeName, now: Instant) {
        self.counters.probes_not_sent += 1;
        let Some((units, sent_at)) = self.probes.answered(probe, name) else { return };
        if let Some(node) = self.nodes.get_mut(name) {
            node.asked = Some((probe, now + POSTPONED));
        }
        for key in units {
            if let Some(contest) = self.units.get_mut(&key).and_then(|unit| unit.story.contest.as_mut()) {
                contest.not_asked(name, sent_at, now);
            }
            self.timers.arm(Work::Unit(key), now + POSTPONED, now);
        }
    }
}

/// Whom a probe asks, claimants first, and for whose addresses.
fn to_ask(scene: &Scene<'_>) -> (Vec<NodeName>, Vec<IpAddr>) {
    let mut members: Vec<&Member<'_>> = scene.members.iter().collect();
    members.sort_by_key(|member| !member.is_master());
    let mut nodes: Vec<NodeName> = Vec::new();
    let mut targets = Vec::from([scene.key.address]);
    for member in members {
        if member.node.connected && nodes.len() < bounds::PROBE_NODES && !nodes.contains(member.name()) {
            nodes.push(member.name().clone());
        }
        if let Some(source) = member.report().source
            && targets.len() <= bounds::PROBE_NODES
            && !targets.contains(&source)
        {
            targets.push(source);
        }
    }
    nodes.sort_unstable();
    (nodes, targets)
}
