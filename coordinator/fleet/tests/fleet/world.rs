//! A segment of hosts, their uplinks, and a coordinator that hears them: the core under test and a log of what it said.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_fleet::{
    Effect, Finding, FindingKind, FindingStatus, Fleet, GroupKey, Input, Instant, NodeName, Probe,
    RestoredFinding, Site, StateChange, VrrpState, Windows,
    fence::FenceEffect,
    view::{FleetView, GroupView},
};

use crate::{
    chance::Chance,
    network::{Host, MS, SECOND, Segment, vip},
};

const TICK_US: u64 = 10 * MS;
/// What an agent waits for ARP answers.
const ARP_US: u64 = 100 * MS;

/// Everything.
pub struct World {
    pub fleet: Fleet,
    pub segment: Segment,
    pub now_us: u64,
    pub uplinks: BTreeMap<String, Uplink>,
    /// Every finding effect, in order, with its instant and whether people were told.
    pub said: Vec<(u64, Finding, bool)>,
    pub probes: Vec<(u64, Probe)>,
    /// What fencing wants done, in order, until somebody takes it. Nothing without a policy.
    pub fenced: Vec<FenceEffect>,
    /// What the coordinator's store has.
    pub store: Store,
    /// Every input, for a replay.
    pub inputs: Vec<(Input, u64)>,
    /// How long a message takes at most; chance says how long it does.
    pub delay_us: u64,
    pub chance: Chance,
}

/// A node's stream to the coordinator. In order, as a stream is.
#[derive(Debug, Default)]
pub struct Uplink {
    pub up: bool,
    /// The agent answers probes.
    pub answers: bool,
    /// It carries out one probe after the other, 300 ms each, and drops those of which nine wait, as agents do.
    pub one_by_one: bool,
    /// Nothing can be sent to it.
    pub full: bool,
    /// How much longer than that everything takes from the agent to the coordinator.
    pub late_us: u64,
    queue: Vec<(u64, Input)>,
    last_us: u64,
    next_beat_us: u64,
    probes: Vec<(u64, Probe)>,
}

/// The last snapshot of each node and every finding by id.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub snapshots: BTreeMap<String, hafleet_fleet::Snapshot>,
    pub findings: BTreeMap<String, Finding>,
}

pub fn site() -> Site {
    Site("dc1".to_owned())
}

pub fn node(name: &str) -> NodeName {
    NodeName(name.to_owned())
}

pub fn group(address: IpAddr) -> GroupKey {
    GroupKey { site: site(), address }
}

pub fn at(us: u64) -> Instant {
    Instant::from_micros(us)
}

impl World {
    /// Hosts by priority, named lb01, lb02, …, connected; the first is MASTER and the others have followed it for long.
    pub fn new(priorities: &[u8]) -> Self {
        let mut world = Self::silent(priorities);
        world.segment.host("lb01").enter(0, VrrpState::Master, "preempted", 0);
        world.connect_all();
        world.run(20_000);
        world
    }

    /// The same hosts, not connected, all BACKUP, at a time long after zero.
    pub fn silent(priorities: &[u8]) -> Self {
        let hosts = priorities.iter().zip(1..).map(|(priority, index)| {
            let mut host = Host::new(index, &format!("lb{index:02}"), *priority);
            host.instances[0].heard_master_us = 1000 * SECOND;
            host
        });
        let segment = Segment { hosts: hosts.collect(), ..Segment::default() };
        let mut world = Self {
            fleet: Fleet::new(Windows::default()),
            segment,
            now_us: 1000 * SECOND,
            uplinks: BTreeMap::new(),
            said: Vec::new(),
            probes: Vec::new(),
            fenced: Vec::new(),
            store: Store::default(),
            inputs: Vec::new(),
            delay_us: 0,
            chance: Chance::new(1),
        };
        world.input(Input::Started);
        world
    }

    pub fn connect_all(&mut self) {
        let names: Vec<String> = self.segment.hosts.iter().map(|host| host.name.clone()).collect();
        for name in names {
            self.connect(&name);
        }
    }

    pub fn connect(&mut self, name: &str) {
        // A stream that is broken loses what was on its way.
        let uplink = self.uplinks.entry(name.to_owned()).or_default();
        *uplink = Uplink { up: true, answers: true, next_beat_us: self.now_us + SECOND, ..Uplink::default() };
        self.send(name, Input::NodeConnected { node: node(name), site: site() });
        self.say(name);
    }

    pub fn disconnect(&mut self, name: &str) {
        let uplink = self.uplinks.entry(name.to_owned()).or_default();
        uplink.up = false;
        uplink.queue.clear();
        uplink.probes.clear();
        self.input(Input::NodeDisconnected { node: node(name) });
    }

    /// The host loses its power.
    pub fn crash(&mut self, name: &str) {
        self.segment.host(name).up = false;
        self.disconnect(name);
    }

    /// The agent sends its present.
    pub fn say(&mut self, name: &str) {
        let snapshot = self.segment.host(name).snapshot(self.now_us);
        self.send(name, Input::Snapshot { node: node(name), snapshot });
    }

    /// An instance changes its state and its agent says so at once.
    pub fn enter(&mut self, name: &str, state: VrrpState, reason: &str) {
        let now = self.now_us;
        self.segment.host(name).enter(0, state, reason, now);
        self.tell_change(name);
    }

    pub fn tell_change(&mut self, name: &str) {
        if !self.segment.host(name).works() {
            return;
        }
        let host = self.segment.host(name);
        let report = host.instances[0].report.clone();
        let change = StateChange {
            seq: host.seq,
            journal_id: host.journal_id.clone(),
            instance: report.instance,
            vrid: report.vrid,
            from: VrrpState::Init,
            to: report.state,
            reason: report.reason,
        };
        self.send(name, Input::Transition { node: node(name), change });
        self.say(name);
    }

    /// Edits a host's instance and lets its agent say so.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut hafleet_fleet::InstanceReport)) {
        let host = self.segment.host(name);
        change(&mut host.instances[0].report);
        host.seq += 1;
        self.say(name);
    }

    /// Both directions between two hosts.
    pub fn filter(&mut self, a: &str, b: &str) {
        self.filter_one_way(a, b);
        self.filter_one_way(b, a);
    }

    pub fn filter_one_way(&mut self, from: &str, to: &str) {
        self.segment.filtered.insert((from.to_owned(), to.to_owned()));
    }

    pub fn cut(&mut self, a: &str, b: &str) {
        self.segment.cut.insert((a.to_owned(), b.to_owned()));
        self.segment.cut.insert((b.to_owned(), a.to_owned()));
    }

    pub fn run(&mut self, ms: u64) {
        let until = self.now_us + ms * MS;
        while self.now_us < until {
            self.tick();
        }
    }

    /// Runs until something is so, or fails after `ms`. Says how long it took.
    pub fn run_until(&mut self, ms: u64, what: &str, mut so: impl FnMut(&Self) -> bool) -> u64 {
        let from = self.now_us;
        while !so(self) {
            assert!(self.now_us < from + ms * MS, "{what}: not within {ms} ms\n{:#?}", self.view().findings);
            self.tick();
        }
        (self.now_us - from) / MS
    }

    pub fn tick(&mut self) {
        self.now_us += TICK_US;
        for name in self.segment.step(self.now_us) {
            self.tell_change(&name);
        }
        let names: Vec<String> = self.uplinks.keys().cloned().collect();
        for name in &names {
            self.answer_probes(name);
            self.beat(name);
        }
        for name in &names {
            self.deliver(name);
        }
        if self.fleet.deadline().is_some_and(|deadline| deadline <= at(self.now_us)) {
            self.input(Input::Deadline);
        }
    }

    fn beat(&mut self, name: &str) {
        let now = self.now_us;
        let works = self.segment.host(name).works();
        let due = self.uplinks.get_mut(name).is_some_and(|uplink| {
            let due = uplink.up && uplink.next_beat_us <= now;
            if due {
                uplink.next_beat_us = now + SECOND;
            }
            due && works
        });
        if due {
            self.say(name);
        }
    }

    fn answer_probes(&mut self, name: &str) {
        let now = self.now_us;
        let works = self.segment.host(name).works();
        let Some(uplink) = self.uplinks.get_mut(name) else { return };
        if !works || !uplink.up || !uplink.answers {
            return;
        }
        let (due, later) =
            std::mem::take(&mut uplink.probes).into_iter().partition(|(at_us, _)| *at_us <= now);
        uplink.probes = later;
        let due: Vec<(u64, Probe)> = due;
        for (_, probe) in due {
            let snapshot = self.segment.host(name).snapshot(now);
            let arp = self.segment.arp(name, &probe.arp_targets);
            self.send(name, Input::Probed { probe: probe.id, node: node(name), snapshot, arp });
        }
    }

    fn way(&mut self) -> u64 {
        if self.delay_us == 0 { 0 } else { self.chance.below(self.delay_us) }
    }

    /// Puts a message on a node's stream.
    pub fn send(&mut self, name: &str, input: Input) {
        let way = self.way();
        let now = self.now_us;
        let Some(uplink) = self.uplinks.get_mut(name).filter(|uplink| uplink.up) else { return };
        let way = way + uplink.late_us;
        uplink.last_us = uplink.last_us.max(now + way);
        uplink.queue.push((uplink.last_us, input));
        if way == 0 {
            self.deliver(name);
        }
    }

    fn deliver(&mut self, name: &str) {
        let now = self.now_us;
        while let Some(uplink) = self.uplinks.get_mut(name) {
            if uplink.queue.first().is_none_or(|(at_us, _)| *at_us > now) {
                return;
            }
            let (_, input) = uplink.queue.remove(0);
            self.input(input);
        }
    }

    /// Gives the core an input and carries out what follows.
    pub fn input(&mut self, input: Input) {
        if let Input::Snapshot { node, snapshot } = &input {
            self.store.snapshots.insert(node.0.clone(), snapshot.clone());
        }
        self.inputs.push((input.clone(), self.now_us));
        self.fleet.handle(input, at(self.now_us));
        let mut not_sent = Vec::new();
        while let Some(effect) = self.fleet.next_output() {
            match effect {
                Effect::Finding { finding, notify } => {
                    self.store.findings.insert(finding.id.0.clone(), finding.clone());
                    self.said.push((self.now_us, finding, notify));
                }
                Effect::Probe(probe) => {
                    for name in &probe.nodes {
                        if self.uplinks.get(&name.0).is_some_and(|uplink| uplink.full) {
                            not_sent.push(Input::ProbeNotSent { probe: probe.id, node: name.clone() });
                            continue;
                        }
                        let due = self.now_us + self.way() + ARP_US;
                        if let Some(uplink) = self.uplinks.get_mut(&name.0) {
                            let last = uplink.probes.last().map_or(self.now_us, |(us, _)| *us);
                            let due = if uplink.one_by_one { last + 300 * MS } else { due };
                            if !uplink.one_by_one || uplink.probes.len() <= 9 {
                                uplink.probes.push((due, probe.clone()));
                            }
                        }
                    }
                    self.probes.push((self.now_us, probe));
                }
                Effect::Fence(effect) => self.fenced.push(effect),
            }
        }
        for input in not_sent {
            self.input(input);
        }
    }

    /// The coordinator dies and comes back with what its store has; agents find it again when they are connected.
    pub fn restart_coordinator(&mut self) {
        for uplink in self.uplinks.values_mut() {
            *uplink = Uplink::default();
        }
        self.fleet = Fleet::new(Windows::default());
        self.inputs.clear();
        self.input(Input::Started);
        for (name, last) in self.store.snapshots.clone() {
            self.input(Input::NodeKnown { node: node(&name), site: site(), last: Some(last) });
        }
        for finding in self.store.findings.clone().into_values() {
            let (before, number) = finding.id.0.rsplit_once('#').unwrap_or_default();
            assert!(before.ends_with(&finding.subject));
            let last = number.parse().unwrap_or_default();
            self.input(Input::FindingNumbered { kind: finding.kind, subject: finding.subject.clone(), last });
            if finding.status == FindingStatus::Firing {
                self.input(Input::FindingRestored(RestoredFinding { finding }));
            }
        }
    }

    pub fn view(&self) -> FleetView {
        self.fleet.view(at(self.now_us))
    }

    pub fn group(&self) -> GroupView {
        let view = self.view();
        view.groups.into_iter().find(|group| group.key.address == vip()).unwrap_or_else(|| panic!("no group"))
    }

    pub fn explain(&self) -> String {
        self.fleet.explain(&group(vip()), at(self.now_us)).unwrap_or_default().join("\n")
    }

    /// A finding of this kind that fires.
    pub fn firing(&self, kind: FindingKind) -> Option<Finding> {
        let open = self.view().findings;
        open.into_iter().find(|finding| finding.kind == kind && finding.status == FindingStatus::Firing)
    }

    pub fn expect(&self, kind: FindingKind) -> Finding {
        self.firing(kind).unwrap_or_else(|| panic!("{kind} does not fire: {:#?}", self.view().findings))
    }

    /// What people were told: kind, status, severity.
    pub fn told(&self) -> Vec<String> {
        let told = self.said.iter().filter(|(_, _, notify)| *notify);
        told.map(|(_, finding, _)| format!("{} {} {}", finding.kind, finding.status, finding.severity))
            .collect()
    }

    pub fn silence(&mut self, what: &str) {
        assert!(self.said.is_empty(), "{what} must not alert: {:#?}", self.said);
    }

    pub fn seconds(&self, since: Instant) -> f64 {
        Duration::from_micros(self.now_us - since.as_micros()).as_secs_f64()
    }
}
