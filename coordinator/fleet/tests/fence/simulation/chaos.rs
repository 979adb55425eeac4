//! What goes wrong.

use hafleet_fleet::{
    Input,
    fence::{Consent, FenceInput, FenceVerb, Level, Mode, OperationId, Rung},
};

use super::{DESKS, NODES, Sim, hosts::Lie, name};
use crate::network::SECOND;

impl Sim {
    fn any(&mut self) -> usize {
        self.chance.below(NODES as u64) as usize
    }

    /// Most worlds begin with what fencing is for.
    pub(super) fn begin(&mut self) {
        if self.chance.below(8) == 0 {
            return;
        }
        self.cut.insert((0, 1));
        if self.chance.below(4) == 0 {
            self.cut.insert((1, 0));
        }
        match self.chance.below(8) {
            0..=3 => self.hosts[1].disobedient = true,
            4 | 5 => self.hosts[1].slow = true,
            _ => {}
        }
    }

    pub(super) fn chaos(&mut self) {
        let (a, b) = (self.any(), self.any());
        match self.chance.below(34) {
            0..=2 => {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
            // The worse of two hears nothing, and is heard.
            3..=6 => {
                self.cut.insert((a.min(b), a.max(b)));
            }
            7 | 8 => self.cut.clear(),
            9 | 10 => self.disconnect(a),
            11 | 12 => (0..NODES).for_each(|index| self.connect(index)),
            13 => self.crash(a),
            14 | 15 => self.boot(),
            16 => self.hosts[a].disobedient = !self.hosts[a].disobedient,
            17 => self.hosts[a].slow = !self.hosts[a].slow,
            18 => self.hosts[a].gateway = !self.hosts[a].gateway,
            19 => self.hosts[a].flaps_until_us = self.now_us + 10 * SECOND,
            20 => self.lie(a),
            21 => self.hosts.iter_mut().for_each(|host| host.lie = None),
            22 => self.database = !self.database,
            23 => self.maintain(a, !self.maintained.contains(&a)),
            24 => self.jump(),
            25 => {
                let desk = self.chance.below(DESKS as u64) as usize;
                let modes = [Mode::Auto, Mode::Auto, Mode::Approve, Mode::DryRun, Mode::Disabled];
                self.desks[desk].mode = modes[self.chance.below(5) as usize];
                self.restart(desk);
                self.lead(desk);
            }
            26 => {
                let desk = self.chance.below(DESKS as u64) as usize;
                self.restart(desk);
                self.lead(desk);
            }
            // The other one takes over; the one before finds out, or is told.
            27 | 28 => {
                let desk = self.chance.below(DESKS as u64) as usize;
                self.lead(desk);
                if self.chance.below(4) == 0 {
                    self.fence((desk + 1) % DESKS, FenceInput::NotLeader);
                }
            }
            29 => self.approve(),
            _ => self.person(),
        }
    }

    /// One lies at a time: whom everybody lies to can know nothing.
    fn lie(&mut self, index: usize) {
        if self.hosts.iter().all(|host| host.lie.is_none()) {
            let lies = [Lie::Holds, Lie::Denies, Lie::Sees, Lie::Ages];
            self.hosts[index].lie = Some(lies[self.chance.below(4) as usize]);
        }
    }

    /// A clock is set forward while its coordinator runs.
    fn jump(&mut self) {
        let desk = self.chance.below(DESKS as u64) as usize;
        self.desks[desk].skew_us += [2_000_000, 7_000_000, 60_000_000][self.chance.below(3) as usize];
    }

    pub(super) fn maintain(&mut self, index: usize, on: bool) {
        if on {
            self.maintained.insert(index);
        } else {
            self.maintained.remove(&index);
        }
        self.give_all(&Input::Maintenance { node: name(index), on });
    }

    fn leader(&self) -> usize {
        let led = |desk: &usize| self.desks[*desk].fleet.fences().epoch;
        (0..DESKS).max_by_key(led).unwrap_or_default()
    }

    /// Somebody says yes to what waits for it.
    fn approve(&mut self) {
        let desk = self.leader();
        let waiting = self.desks[desk].fleet.fences().operations;
        let Some(row) =
            waiting.into_iter().find(|row| row.state == hafleet_fleet::fence::FenceState::AwaitingApproval)
        else {
            return;
        };
        let up_to = self.level();
        let consent = Consent::typed_back(&row.target, &row.target.0);
        self.ask(desk, FenceVerb::Approve { operation: row.id, up_to, consent });
    }

    fn level(&mut self) -> Level {
        let levels = [Level::Demote, Level::Device(Rung::Network), Level::Device(Rung::Power)];
        levels[self.chance.below(3) as usize]
    }

    fn person(&mut self) {
        let target = name(self.any());
        let operation = OperationId(self.chance.below(self.standing.last_operation + 1) + 1);
        let consent = Consent::typed_back(&target, &target.0);
        let level = self.level();
        let verb = match self.chance.below(12) {
            0 => FenceVerb::Pause,
            1..=3 => FenceVerb::Resume,
            4 => FenceVerb::Run { node: target, level, consent },
            5 => FenceVerb::Confirm { node: target },
            6 => FenceVerb::Propose { node: target },
            7 => FenceVerb::Deny { operation, why: "no".to_owned() },
            8 | 9 => FenceVerb::Release { node: target },
            _ => FenceVerb::Approve { operation, up_to: level, consent },
        };
        let desk =
            if self.chance.below(4) == 0 { self.chance.below(DESKS as u64) as usize } else { self.leader() };
        self.ask(desk, verb);
    }
}
