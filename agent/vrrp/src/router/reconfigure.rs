//! A new configuration at run time. What did not change does not notice; what did is applied without a gap.

use alloc::vec::Vec;

use super::{Expiry, Init, Output, PathHealth, Reason, Role, VirtualRouter, timers};
use crate::{Config, Instant, Track, Vip, is_same_place, tracking::Known};

impl VirtualRouter {
    pub(super) fn on_reconfigure(&mut self, new: Config, now: Instant) {
        if new == self.config || !self.config.may_become(&new) {
            return;
        }
        let before = self.effective_priority();
        let old = core::mem::replace(&mut self.config, new);
        self.carry_over_tracks(&old);
        self.carry_over_paths();
        match &mut self.role {
            Role::Init(Init::Idle) => {}
            Role::Init(Init::HandingOver { .. }) => {
                release(&mut self.outputs, missing(&old.vips, &self.config.vips));
            }
            Role::Init(Init::Waiting { adopt }) => {
                let adopt = *adopt;
                if adopt {
                    release(&mut self.outputs, missing(&old.vips, &self.config.vips));
                }
                if !self.awaits_results() {
                    self.start(adopt, now);
                }
            }
            Role::Backup(_) => self.reconfigure_backup(&old, before, now),
            Role::Master(_) => self.reconfigure_master(&old, before, now),
            Role::Fault(fault) => {
                if fault.handing_over.is_some() {
                    release(&mut self.outputs, missing(&old.vips, &self.config.vips));
                }
                // Other addresses may be what the kernel takes.
                if old.vips != self.config.vips {
                    fault.retry = None;
                }
                self.leave_fault(Reason::Reconfigured, now);
            }
        }
    }

    /// Results stay with the names. What is new is not waited for while the router is part of an election.
    fn carry_over_tracks(&mut self, old: &Config) {
        let is_elected = match &self.role {
            Role::Init(_) | Role::Fault(_) => false,
            Role::Backup(_) | Role::Master(_) => true,
        };
        let known = |track: &Track| {
            let kept = old.tracks.iter().zip(&self.known).find(|(other, _)| other.name == track.name);
            match kept.map_or_else(|| track.at_start(), |(_, known)| *known) {
                Known::Awaited if is_elected => Known::Assumed,
                known => known,
            }
        };
        self.known = self.config.tracks.iter().map(known).collect();
    }

    /// A line keeps its health by its place; the shell tells what is different on it.
    fn carry_over_paths(&mut self) {
        self.paths.truncate(self.config.paths.len());
        let new = self.config.paths.iter().skip(self.paths.len()).map(PathHealth::new);
        self.paths.extend(new);
    }

    fn reconfigure_backup(&mut self, old: &Config, before: u8, now: Instant) {
        let Role::Backup(backup) = &self.role else { return };
        if backup.adopting {
            let removed = missing(&old.vips, &self.config.vips);
            release(&mut self.outputs, removed);
        }
        if !self.config.preempt {
            self.let_the_master_be(now);
        }
        if let Some(reason) = self.obstacle() {
            return self.leave_for(Role::Fault(super::Fault::default()), reason);
        }
        if self.is_owner() {
            return self.become_master(Reason::AddressOwner, now);
        }
        // A master that has resigned is not waited for any longer than it was.
        let Role::Backup(backup) = &self.role else { return };
        let has_resigned = matches!(backup.expiry, Expiry::Resignation { .. });
        if old.interval == self.config.interval || has_resigned {
            return self.priority_changed(before, now);
        }
        // Nobody is called silent by a measure that was not in force when it was last heard.
        let (version, priority) = (self.config.version, self.effective_priority());
        let ours_cs = self.config.interval.as_centiseconds();
        let Role::Backup(backup) = &mut self.role else { return };
        let learned = matches!(version, crate::Version::V3) && backup.master.is_some();
        if !learned {
            backup.master_interval_cs = ours_cs;
        }
        backup.down_at = now + timers::master_down(version, priority, backup.master_interval_cs);
        backup.since = now;
    }

    fn reconfigure_master(&mut self, old: &Config, before: u8, now: Instant) {
        if let Some(reason) = self.obstacle() {
            // The goodbye is the new configuration's; what is released is what is held.
            let removed = missing(&old.vips, &self.config.vips);
            self.leave_for(Role::Fault(super::Fault::default()), reason);
            return release(&mut self.outputs, removed);
        }
        let (added, removed) = (missing(&self.config.vips, &old.vips), missing(&old.vips, &self.config.vips));
        if self.says_something_else(old, before) {
            self.advertise_at_once(now);
        }
        if let Role::Master(master) = &mut self.role {
            master.held.retain(|address| self.config.vips.iter().any(|vip| vip.address == *address));
            if old.announcing.refresh != self.config.announcing.refresh {
                let refresh = self.config.announcing.refresh;
                master.refresh_at = (!refresh.is_zero()).then(|| now + refresh);
            }
        }
        if !added.is_empty() {
            let addresses = added.iter().map(|vip| vip.address).collect();
            self.outputs.push_back(Output::HoldAddresses(added));
            self.announce(addresses, self.config.announcing.repeat);
        }
        release(&mut self.outputs, removed);
    }

    /// Whether the next advert differs from the last, or goes elsewhere.
    fn says_something_else(&self, old: &Config, priority_before: u8) -> bool {
        let new = &self.config;
        priority_before != self.effective_priority()
            || (old.interval, &old.authentication, old.checksum, &old.paths)
                != (new.interval, &new.authentication, new.checksum, &new.paths)
            || !old.advertised().eq(new.advertised())
    }
}

/// What is in `these` and not in `others`; whether it is advertised does not matter to the kernel.
fn missing(these: &[Vip], others: &[Vip]) -> Vec<Vip> {
    these.iter().copied().filter(|vip| !others.iter().any(|other| is_same_place(other, vip))).collect()
}

fn release(outputs: &mut alloc::collections::VecDeque<Output>, vips: Vec<Vip>) {
    if !vips.is_empty() {
        outputs.push_back(Output::ReleaseAddresses(vips));
    }
}
