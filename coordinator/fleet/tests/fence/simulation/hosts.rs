//! The hosts of a simulated world: what they hold, hear and say.

use std::time::Duration;

use hafleet_fleet::{
    Heard, Input, InstanceReport, NodeName, Reference, Snapshot, VrrpState,
    fence::{OperationId, Outcome, Rung},
};

use super::{NODES, STEP_US, Sim, name};
use crate::{
    network::{MS, SECOND, ip, report, vip},
    world::site,
};

/// A host as it really is.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: NodeName,
    pub(super) state: VrrpState,
    reason: String,
    entered_us: u64,
    pub(super) up: bool,
    pub(super) connected: bool,
    /// Its port is off: it hears nobody and is not heard, but its management works.
    pub(super) port: bool,
    pub(super) held: bool,
    /// It says that it does what it is told, and does not.
    pub(super) disobedient: bool,
    /// It does what it is told some time later.
    pub(super) slow: bool,
    pub(super) gateway: bool,
    pub(super) lie: Option<Lie>,
    /// When it last said what is not so.
    pub(super) lied_us: u64,
    pub(super) flaps_until_us: u64,
    seq: u64,
    /// When each other one last advertised to it.
    pub(super) heard_us: [u64; NODES],
    /// When it last was MASTER in truth.
    pub(super) master_us: u64,
}

/// What an agent says that is not so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// That it is MASTER and has the address.
    Holds,
    /// That it is BACKUP.
    Denies,
    /// That it hears everybody at this moment.
    Sees,
    /// That it has been where it is for an hour, and that it heard just now what it heard long ago.
    Ages,
}

impl Host {
    pub(super) fn new(index: usize) -> Self {
        Self {
            name: name(index),
            state: if index == 0 { VrrpState::Master } else { VrrpState::Backup },
            reason: "started".to_owned(),
            entered_us: 0,
            up: true,
            connected: false,
            port: true,
            held: false,
            disobedient: false,
            slow: false,
            gateway: true,
            lie: None,
            lied_us: 0,
            flaps_until_us: 0,
            seq: 1,
            heard_us: [0; NODES],
            master_us: 0,
        }
    }

    pub(super) fn mend(&mut self) {
        (self.disobedient, self.slow, self.gateway) = (false, false, true);
        (self.lie, self.flaps_until_us) = (None, 0);
    }
}

impl Sim {
    /// The agent is given an order.
    pub(super) fn demote(&mut self, operation: OperationId, target: &NodeName) -> Outcome {
        let index = self.index(target);
        let host = &self.hosts[index];
        if !host.connected {
            return Outcome::Failed;
        }
        if host.slow {
            let late = self.chance.below(40) * STEP_US;
            self.orders.push((self.now_us + late, index, operation));
            return Outcome::TimedOut;
        }
        if !host.disobedient {
            self.hold(index);
        }
        Outcome::Done
    }

    pub(super) fn withdraw(&mut self, operation: OperationId, target: &NodeName) -> Outcome {
        let index = self.index(target);
        if !self.hosts[index].connected {
            return Outcome::Failed;
        }
        // One stream: what was given before is taken back too.
        self.orders.retain(|(_, _, order)| *order != operation);
        if self.hosts[index].held {
            self.hosts[index].held = false;
            self.enter(index, VrrpState::Backup, "unheld");
        }
        Outcome::Done
    }

    fn hold(&mut self, index: usize) {
        if !self.hosts[index].held {
            self.hosts[index].held = true;
            self.enter(index, VrrpState::Fault, "held");
        }
    }

    /// What comes to its end at last.
    pub(super) fn late_work(&mut self) {
        let now_us = self.now_us;
        let (due, later) =
            std::mem::take(&mut self.orders).into_iter().partition::<Vec<_>, _>(|(us, ..)| *us <= now_us);
        self.orders = later;
        for (_, index, _) in due {
            if self.hosts[index].up {
                self.tally.late += 1;
                self.hold(index);
            }
        }
        let (due, later) =
            std::mem::take(&mut self.programs).into_iter().partition::<Vec<_>, _>(|(us, ..)| *us <= now_us);
        self.programs = later;
        for (_, index, rung) in due {
            self.tally.late += 1;
            self.switch_off(index, rung);
        }
        for index in 0..NODES {
            if self.hosts[index].flaps_until_us > now_us && self.chance.below(2) == 0 {
                if self.hosts[index].connected { self.disconnect(index) } else { self.connect(index) }
            }
        }
    }

    pub(super) fn switch_off(&mut self, index: usize, rung: Rung) {
        match rung {
            Rung::Network => self.hosts[index].port = false,
            Rung::Power => self.crash(index),
        }
    }

    pub(super) fn enter(&mut self, index: usize, state: VrrpState, reason: &str) {
        let now_us = self.now_us;
        let host = &mut self.hosts[index];
        if host.state == state {
            return;
        }
        (host.state, host.reason, host.entered_us) = (state, reason.to_owned(), now_us);
        host.seq += 1;
        self.say(index);
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.hosts[index].up = false;
        self.hosts[index].state = VrrpState::Init;
        self.disconnect(index);
    }

    pub(super) fn disconnect(&mut self, index: usize) {
        if std::mem::take(&mut self.hosts[index].connected) {
            self.give_all(&Input::NodeDisconnected { node: name(index) });
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        if self.hosts[index].up && !self.hosts[index].connected {
            self.hosts[index].connected = true;
            self.give_all(&Input::NodeConnected { node: name(index), site: site() });
            self.say(index);
        }
    }

    pub(super) fn say(&mut self, index: usize) {
        if self.hosts[index].connected {
            self.spoke_us[index] = self.now_us;
            if self.hosts[index].lie.is_some() {
                self.hosts[index].lied_us = self.now_us;
            }
            let snapshot = self.snapshot(index);
            self.give_all(&Input::Snapshot { node: name(index), snapshot });
        }
    }

    /// What its agent says, which may be a lie.
    pub(super) fn snapshot(&self, index: usize) -> Snapshot {
        let host = &self.hosts[index];
        let source = ip(index as u8 + 1);
        let priority = [150, 100, 50][index];
        let in_state = Duration::from_micros(self.now_us - host.entered_us);
        let (state, in_state, sees, ages) = match host.lie {
            None => (host.state, in_state, false, false),
            Some(Lie::Holds) => (VrrpState::Master, in_state, false, false),
            Some(Lie::Denies) => (VrrpState::Backup, in_state, false, false),
            Some(Lie::Sees) => (host.state, in_state, true, true),
            Some(Lie::Ages) => (host.state, Duration::from_secs(3600), false, true),
        };
        let report = InstanceReport {
            state,
            in_state,
            reason: host.reason.clone(),
            addresses_present: if state == VrrpState::Master { vec![vip()] } else { Vec::new() },
            ..report("VI_1", source, priority)
        };
        let heard = (0..NODES).filter(|other| host.heard_us[*other] > 0 || (sees && *other != index));
        let heard = heard.map(|other| Heard {
            interface: "eth0".to_owned(),
            vrid: 51,
            source: ip(other as u8 + 1),
            version: 3,
            priority: [150, 100, 50][other],
            interval: Duration::from_secs(1),
            addresses: vec![vip()],
            auth: "none".to_owned(),
            age: if ages {
                Duration::ZERO
            } else {
                Duration::from_micros(self.now_us - host.heard_us[other])
            },
            accepted: host.heard_us[other] / STEP_US,
            rejected: Vec::new(),
            vrid_configured: true,
        });
        let reference = Reference {
            address: ip(254),
            interface: "eth0".to_owned(),
            reachable: host.gateway,
            age: Duration::ZERO,
        };
        Snapshot {
            seq: host.seq,
            journal_id: format!("journal-of-{}", host.name),
            instances: vec![report],
            heard: heard.collect(),
            refused: None,
            references: vec![reference],
            orders_unreadable: None,
        }
    }

    /// VRRP, coarsely: the better of those who hear each other is master.
    pub(super) fn elect(&mut self) {
        let now_us = self.now_us;
        for from in 0..NODES {
            if self.hosts[from].state != VrrpState::Master || !self.hosts[from].up {
                continue;
            }
            self.hosts[from].master_us = now_us;
            for to in 0..NODES {
                let passes = !self.cut.contains(&(from, to)) && self.hosts[from].port && self.hosts[to].port;
                if to != from && passes && self.hosts[to].up {
                    self.hosts[to].heard_us[from] = now_us;
                }
            }
        }
        for index in 0..NODES {
            let host = &self.hosts[index];
            let (state, better) =
                (host.state, (0..index).any(|other| now_us - host.heard_us[other] < 3_600 * MS));
            let worse = (index + 1..NODES).any(|other| now_us - host.heard_us[other] < 3_600 * MS);
            if !host.up || host.held {
                continue;
            }
            match state {
                VrrpState::Backup if !better && (!worse || now_us - host.entered_us > 4 * SECOND) => {
                    self.enter(index, VrrpState::Master, "master_down");
                }
                VrrpState::Master if better && now_us > host.entered_us => {
                    self.enter(index, VrrpState::Backup, "higher_priority_heard");
                }
                VrrpState::Master | VrrpState::Backup | VrrpState::Init | VrrpState::Fault => {}
            }
        }
    }

    pub(super) fn boot(&mut self) {
        for index in 0..NODES {
            self.hosts[index].port = true;
            if !self.hosts[index].up {
                self.hosts[index].up = true;
                let state = if self.hosts[index].held { VrrpState::Fault } else { VrrpState::Backup };
                let reason = if self.hosts[index].held { "held" } else { "started" };
                self.enter(index, state, reason);
            }
            self.connect(index);
        }
    }
}
