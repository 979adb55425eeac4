//! The hosts of a simulated world: what they hold, hear and say.

use std::time::Duration;

use hafleet_fleet::{Heard, Input, InstanceReport, Reference, Snapshot, VrrpState, fence::Rung};

use super::{NODES, SPOKE_US, STEP_US, Sim, name};
use crate::{
    network::{MS, SECOND, ip, report, vip},
    world::site,
};

impl Sim {
    pub(super) fn switch_off(&mut self, index: usize, rung: Rung) {
        match rung {
            Rung::Network => self.hosts[index].port = false,
            Rung::Power => self.crash(index),
        }
    }

    pub(super) fn was_master(&self, index: usize) -> bool {
        self.now_us - self.hosts[index].master_us <= SPOKE_US
    }

    pub(super) fn spoke(&self, index: usize) -> bool {
        self.now_us - self.spoke_us[index] <= SPOKE_US
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
            self.give(Input::NodeDisconnected { node: name(index) });
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        if self.hosts[index].up && !self.hosts[index].connected {
            self.hosts[index].connected = true;
            self.give(Input::NodeConnected { node: name(index), site: site() });
            self.say(index);
        }
    }

    pub(super) fn say(&mut self, index: usize) {
        if self.hosts[index].connected {
            self.spoke_us[index] = self.now_us;
            let snapshot = self.snapshot(index);
            self.give(Input::Snapshot { node: name(index), snapshot });
        }
    }

    pub(super) fn snapshot(&self, index: usize) -> Snapshot {
        let host = &self.hosts[index];
        let source = ip(index as u8 + 1);
        let priority = [150, 100, 50][index];
        let mine = host.state == VrrpState::Master;
        let report = InstanceReport {
            state: host.state,
            in_state: Duration::from_micros(self.now_us - host.entered_us),
            reason: host.reason.clone(),
            addresses_present: if mine { vec![vip()] } else { Vec::new() },
            ..report("VI_1", source, priority)
        };
        let heard = (0..NODES).filter(|other| host.heard_us[*other] > 0).map(|other| Heard {
            interface: "eth0".to_owned(),
            vrid: 51,
            source: ip(other as u8 + 1),
            version: 3,
            priority: [150, 100, 50][other],
            interval: Duration::from_secs(1),
            addresses: vec![vip()],
            auth: "none".to_owned(),
            age: Duration::from_micros(self.now_us - host.heard_us[other]),
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
