//! The hosts: what they hold, hear and say.

use std::{net::IpAddr, time::Duration};

use hafleet_fleet::{Heard, Input, InstanceReport, Instant, NodeName, Reference, Site, Snapshot, VrrpState};

use super::World;

/// How many there are; of falling priority.
pub(super) const NODES: usize = 3;

const PRIORITIES: [u8; NODES] = [150, 100, 50];
const MASTER_DOWN: Duration = Duration::from_millis(3_600);

pub(super) fn node(number: usize) -> NodeName {
    NodeName(format!("lb{:02}", number + 1))
}

pub(super) fn site() -> Site {
    Site("dc1".to_owned())
}

fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 100])
}

fn source(number: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, 10 + u8::try_from(number).unwrap_or_default()])
}

/// A host as it really is.
#[derive(Clone, Debug)]
pub(super) struct Host {
    number: usize,
    pub state: VrrpState,
    reason: String,
    entered: Instant,
    pub up: bool,
    pub connected: bool,
    /// Its switch port is on; management has another one.
    pub port: bool,
    pub held: bool,
    pub disobedient: bool,
    pub gateway: bool,
    seq: u64,
    /// When each other one last advertised to it.
    pub heard: [Option<Instant>; NODES],
    /// When it last was MASTER in truth.
    pub master: Option<Instant>,
    /// When the coordinator last heard it.
    pub spoke: Option<Instant>,
}

impl Host {
    pub fn new(number: usize) -> Self {
        Self {
            number,
            state: if number == 0 { VrrpState::Master } else { VrrpState::Backup },
            reason: "started".to_owned(),
            entered: Instant::default(),
            up: true,
            connected: false,
            port: true,
            held: false,
            disobedient: false,
            gateway: true,
            seq: 1,
            heard: [None; NODES],
            master: None,
            spoke: None,
        }
    }
}

impl World {
    pub(super) fn lately(&self, at: Option<Instant>, within: Duration) -> bool {
        at.is_some_and(|at| self.now.since(at) <= within)
    }

    pub(super) fn enter(&mut self, number: usize, state: VrrpState, reason: &str) {
        let now = self.now;
        let host = &mut self.hosts[number];
        if host.state == state {
            return;
        }
        (host.state, host.reason, host.entered) = (state, reason.to_owned(), now);
        host.seq += 1;
        self.say(number);
    }

    pub(super) fn crash(&mut self, number: usize) {
        self.hosts[number].up = false;
        self.hosts[number].state = VrrpState::Init;
        self.disconnect(number);
    }

    pub(super) fn boot(&mut self) {
        for number in 0..NODES {
            self.hosts[number].port = true;
            if !self.hosts[number].up {
                self.hosts[number].up = true;
                // What it was told to do stands on its disk.
                let held = self.hosts[number].held;
                let (state, reason) =
                    if held { (VrrpState::Fault, "held") } else { (VrrpState::Backup, "started") };
                self.enter(number, state, reason);
            }
            self.connect(number);
        }
    }

    pub(super) fn disconnect(&mut self, number: usize) {
        if std::mem::take(&mut self.hosts[number].connected) {
            self.give(Input::NodeDisconnected { node: node(number) });
        }
    }

    pub(super) fn connect(&mut self, number: usize) {
        if self.hosts[number].up && !self.hosts[number].connected {
            self.hosts[number].connected = true;
            self.give(Input::NodeConnected { node: node(number), site: site() });
            self.say(number);
        }
    }

    pub(super) fn say(&mut self, number: usize) {
        if self.hosts[number].connected {
            self.hosts[number].spoke = Some(self.now);
            let snapshot = self.snapshot(number);
            self.give(Input::Snapshot { node: node(number), snapshot });
        }
    }

    /// VRRP, coarsely: the best of those who hear each other is master.
    pub(super) fn elect(&mut self) {
        let now = self.now;
        for from in 0..NODES {
            if self.hosts[from].state != VrrpState::Master || !self.hosts[from].up {
                continue;
            }
            self.hosts[from].master = Some(now);
            for to in 0..NODES {
                let passes = !self.cut.contains(&(from, to)) && self.hosts[from].port && self.hosts[to].port;
                if to != from && passes && self.hosts[to].up {
                    self.hosts[to].heard[from] = Some(now);
                }
            }
        }
        for number in 0..NODES {
            let host = &self.hosts[number];
            let hears = |other: usize| self.lately(host.heard[other], MASTER_DOWN);
            let (better, worse) = ((0..number).any(hears), (number + 1..NODES).any(hears));
            let (state, since) = (host.state, now.since(host.entered));
            if !host.up || host.held {
                continue;
            }
            match state {
                VrrpState::Backup if !better && (!worse || since > Duration::from_secs(4)) => {
                    self.enter(number, VrrpState::Master, "master_down");
                }
                VrrpState::Master if better && since > Duration::ZERO => {
                    self.enter(number, VrrpState::Backup, "higher_priority_heard");
                }
                VrrpState::Master | VrrpState::Backup | VrrpState::Init | VrrpState::Fault => {}
            }
        }
    }

    pub(super) fn snapshot(&self, number: usize) -> Snapshot {
        let host = &self.hosts[number];
        let own = report(host, self.now);
        let heard = (0..NODES).filter_map(|other| {
            let at = host.heard[other]?;
            Some(Heard {
                interface: "eth0".to_owned(),
                vrid: 51,
                source: source(other),
                version: 3,
                priority: PRIORITIES[other],
                interval: Duration::from_secs(1),
                addresses: vec![vip()],
                auth: "none".to_owned(),
                age: self.now.since(at),
                // It grows with every advert.
                accepted: at.as_micros() / 500_000,
                rejected: Vec::new(),
                vrid_configured: true,
            })
        });
        let gateway = Reference {
            address: IpAddr::from([192, 0, 2, 1]),
            interface: "eth0".to_owned(),
            reachable: host.gateway,
            age: Duration::ZERO,
        };
        Snapshot {
            seq: host.seq,
            journal_id: format!("journal of {}", node(number)),
            instances: vec![own],
            heard: heard.collect(),
            refused: None,
            orders_unreadable: None,
            references: vec![gateway],
        }
    }
}

fn report(host: &Host, now: Instant) -> InstanceReport {
    let mine = host.state == VrrpState::Master;
    let priority = PRIORITIES[host.number];
    InstanceReport {
        instance: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        vrid: 51,
        version: 3,
        state: host.state,
        in_state: now.since(host.entered),
        reason: host.reason.clone(),
        reason_detail: String::new(),
        priority,
        effective_priority: priority,
        interval: Duration::from_secs(1),
        master_down: MASTER_DOWN,
        auth: "none".to_owned(),
        preempt: true,
        addresses: vec![(vip(), 24)],
        addresses_present: if mine { vec![vip()] } else { Vec::new() },
        source: Some(source(host.number)),
        carrier: true,
        interface_errors: 0,
        defined_at: "agent.toml:1".to_owned(),
    }
}
