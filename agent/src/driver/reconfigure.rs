//! Another plan while the engine runs: what is the same goes on without noticing, what differs is changed in place.
//!
//! A router goes on as the one of the same name, or of the same interface, family and VRID, if peers know both by the same
//! ([`hafleet_vrrp::Config::may_become`]); otherwise the old one is stopped and the new one started. What goes away is
//! asked for first, so that an address that passes from one router to another is taken off before it is put on.

use std::{collections::BTreeSet, fmt};

use hafleet_vrrp::{Input, PathId, State, is_same_place};

use super::{
    engine::{Engine, Timer},
    held::{HeldAddress, Phase, interface_of, spec_of},
    line::Line,
    plan::{Plan, interfaces_of, macvlan_of},
    served::{Served, ServedMac, path_configs, served_paths},
};
use crate::{
    clock,
    config::{Instance, Place},
    net::{
        address::{Action, AddressSpec},
        netlink::Interfaces,
    },
};

/// What another plan changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many instances are as they were.
    pub unchanged: usize,
    /// The names of those that were changed in place.
    pub changed: Vec<String>,
    /// Of those that were started.
    pub started: Vec<String>,
    /// Of those that were stopped.
    pub stopped: Vec<String>,
}

impl fmt::Display for Changes {
    /// `1 changed (VI_1), 1 started (VI_3), 4 unchanged`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (names, what) in
            [(&self.changed, "changed"), (&self.started, "started"), (&self.stopped, "stopped")]
        {
            if !names.is_empty() {
                write!(f, "{} {what} ({}), ", names.len(), names.join(", "))?;
            }
        }
        write!(f, "{} unchanged", self.unchanged)
    }
}

impl Engine {
    /// Makes this the plan. Idempotent.
    pub(super) fn reconfigure(&mut self, plan: Plan) -> Changes {
        let mut changes = Changes::default();
        if self.stopping.is_some() {
            return changes;
        }
        self.may_adopt = false;
        self.is_replanning = true;
        self.checks.replace(&plan);
        // What comes is there before it is used, and what goes stays until it is not used any more.
        self.netlink.interfaces.send_modify(|wanted| wanted.include(&plan.interfaces()));
        let mut left: BTreeSet<usize> = self.order.iter().copied().collect();
        let mut order = Vec::new();
        let (mut continued, mut started) = (Vec::new(), Vec::new());
        for instance in plan.instances {
            match self.counterpart(&instance, &left) {
                Some(index) => {
                    left.remove(&index);
                    order.push(Some(index));
                    continued.push((index, instance));
                }
                None => {
                    order.push(None);
                    started.push(instance);
                }
            }
        }
        for index in left {
            changes.stopped.extend(self.routers.get(index).map(|served| served.instance.name.clone()));
            self.retire(index);
        }
        // An address that passes from one to the other leaves before it comes.
        continued.sort_by_key(|(index, instance)| !self.loses_any(*index, instance));
        for (index, instance) in continued {
            let name = instance.name.clone();
            if self.change(index, instance) { changes.changed.push(name) } else { changes.unchanged += 1 }
        }
        let mut new = started.into_iter().map(|instance| {
            changes.started.push(instance.name.clone());
            self.place(instance)
        });
        self.order = order.into_iter().filter_map(|index| index.or_else(|| new.next())).collect();
        self.listen_anew();
        self.is_replanning = false;
        self.watch_what_is_needed();
        for line in 0..self.lines.len() {
            if self.lines.get(line).is_some_and(Line::is_seen) {
                let own = self.own_addresses(line);
                for index in self.order.clone() {
                    self.tell_links(index, line, &own);
                }
            }
        }
        for index in self.order.clone() {
            // A name may have come to another router.
            self.stand(index);
            self.try_start(index);
        }
        // That took a while: what has come meanwhile is heard before anybody's time is up.
        self.hear_first = true;
        changes
    }

    /// Begins a router when every interface that it needs was looked at once, so that nobody starts in FAULT only to leave
    /// it at once.
    pub(super) fn try_start(&mut self, index: usize) {
        let Some(served) = self.routers.get_mut(index).filter(|served| served.unstarted && !served.retired)
        else {
            return;
        };
        let needed: Vec<&str> = interfaces_of(&served.instance).collect();
        if !self.lines.iter().filter(|line| needed.contains(&line.name.as_str())).all(Line::is_seen) {
            return;
        }
        served.unstarted = false;
        self.stand(index);
        self.tell_all_tracks(index);
        let adopt = self.may_adopt && self.finds_its_addresses(index);
        self.input(index, Input::Start { adopt });
    }

    /// Who listens on which line, from scratch; lines that nobody listens on any more are silent.
    pub(super) fn listen_anew(&mut self) {
        for line in &mut self.lines {
            line.routers.clear();
            line.outgoing.clear();
            line.parent = None;
        }
        for (index, served) in self.routers.iter().enumerate().filter(|(_, served)| !served.retired) {
            for (path, id) in served.paths.iter().zip((0..=u8::MAX).map(PathId)) {
                if let Some(line) = self.lines.get_mut(path.line) {
                    line.routers.insert((served.family(), served.instance.vrid.get()), (index, id));
                }
                if let Some(line) = self.lines.get_mut(path.sends_on).filter(|_| path.sends_on != path.line) {
                    line.outgoing.insert(served.family());
                }
            }
            let vmac = served.vmac.and_then(|vmac| self.lines.get_mut(vmac.line));
            if let Some(line) = vmac {
                line.parent = served.paths.first().map(|path| path.line);
            }
        }
        for line in &mut self.lines {
            line.fit_sockets();
        }
        self.tap();
    }

    /// Forgets what is not configured any more and not on the host any more either.
    pub(super) fn forget_absent(&mut self, index: usize) {
        // Asked at every look at an interface, for every router: almost never is anything leaving.
        let is_leaving = |served: &Served| served.addresses.iter().any(|held| held.leaving);
        if !self.routers.get(index).is_some_and(is_leaving) {
            return;
        }
        // Answers under way name addresses by their place.
        if self.tickets.values().any(|ticket| ticket.is_of(index)) {
            return;
        }
        let Some(served) = self.routers.get_mut(index) else { return };
        let lines = &self.lines;
        let before = served.addresses.len();
        served.addresses.retain(|held| {
            let is_here = || {
                let line = lines.get(held.line);
                line.is_some_and(|line| line.find(held.vip.address, held.spec.prefix_len).is_some())
            };
            !held.leaving || held.phase != Phase::Absent || held.undeleted && is_here()
        });
        if served.addresses.len() < before {
            self.watch_what_is_needed();
        }
    }

    /// The interfaces of what is configured, and of addresses whose removal is still to be seen. What is known of the others is
    /// forgotten: it would pass for the present when they are needed again.
    fn watch_what_is_needed(&mut self) {
        // What is new is watched already, and not yet among the routers.
        if self.is_replanning {
            return;
        }
        let mut needed = Interfaces::default();
        for served in &self.routers {
            if !served.retired {
                needed.watched.extend(interfaces_of(&served.instance).map(str::to_owned));
                needed.macvlans.extend(macvlan_of(&served.instance));
            }
            let lines = served.addresses.iter().filter_map(|held| self.lines.get(held.line));
            needed.watched.extend(lines.map(|line| line.name.clone()));
        }
        for line in self.lines.iter_mut().filter(|line| !needed.watched.contains(&line.name)) {
            line.forget();
        }
        self.netlink.interfaces.send_if_modified(|watched| {
            let is_new = *watched != needed;
            if is_new {
                *watched = needed;
            }
            is_new
        });
    }

    /// The running router that goes on as this instance.
    fn counterpart(&self, instance: &Instance, left: &BTreeSet<usize>) -> Option<usize> {
        let new = self.checks.config(instance);
        let may_go_on = |index: &usize| {
            self.routers.get(*index).is_some_and(|served| {
                served.instance.interface == instance.interface && served.router.config().may_become(&new)
            })
        };
        let is_namesake = |index: &usize| {
            self.routers.get(*index).is_some_and(|served| served.instance.name == instance.name)
        };
        let mut candidates: Vec<usize> = left.iter().copied().filter(may_go_on).collect();
        candidates.sort_by_key(|index| !is_namesake(index));
        candidates.first().copied()
    }

    fn loses_any(&self, index: usize, new: &Instance) -> bool {
        let kept = |held: &HeldAddress| new.vips.iter().any(|vip| vip.vip.address == held.vip.address);
        self.routers.get(index).is_some_and(|served| !served.addresses.iter().all(kept))
    }

    fn retire(&mut self, index: usize) {
        let Some(served) = self.routers.get_mut(index) else { return };
        served.retired = true;
        served.unstarted = false;
        for held in &mut served.addresses {
            held.leaving = true;
        }
        self.input(index, Input::Stop { hand_over: false });
        self.set_timer(index, Timer::Renewal, None);
        self.forget_absent(index);
    }

    /// Gives an instance a slot: a free one if there is one.
    fn place(&mut self, instance: Instance) -> usize {
        let served = Served::new(instance, &self.checks, line_of(&mut self.lines));
        let free = self.routers.iter().position(|served| served.retired && served.addresses.is_empty());
        if let Some(index) = free {
            // What the one before waited for is nothing to this one.
            for timer in [Timer::Deadline, Timer::Renewal, Timer::Answer] {
                self.set_timer(index, timer, None);
            }
        }
        match free.and_then(|index| Some((index, self.routers.get_mut(index)?))) {
            Some((index, slot)) => {
                *slot = served;
                index
            }
            None => {
                self.routers.push(served);
                self.routers.len() - 1
            }
        }
    }

    /// Takes the lines off that the new instance does not have at the same place: the core knows a line by its place, and would
    /// take what it knows of one for another's.
    fn leave_lines(&mut self, index: usize, instance: &Instance) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let (old, new) = (path_configs(&served.instance), path_configs(instance));
        let same = old.iter().zip(&new).take_while(|(old, new)| old.interface == new.interface).count();
        if same == old.len() || same == 0 {
            return;
        }
        served.paths.truncate(same);
        let mut config = served.router.config().clone();
        config.paths.truncate(same);
        self.input(index, Input::Reconfigure(config));
    }

    /// Changes a router in place; false when nothing is different.
    fn change(&mut self, index: usize, instance: Instance) -> bool {
        let config = self.checks.config(&instance);
        let Some(served) = self.routers.get_mut(index) else { return false };
        let same = |instance: &Instance| Instance { defined_at: Place::default(), ..instance.clone() };
        if same(&served.instance) == same(&instance) {
            served.instance.defined_at = instance.defined_at;
            return false;
        }
        self.leave_lines(index, &instance);
        let Some(served) = self.routers.get_mut(index) else { return false };
        let moved = {
            let mut line_of = line_of(&mut self.lines);
            for name in interfaces_of(&instance) {
                line_of(name);
            }
            let vmac = ServedMac::new(&instance, &mut line_of);
            let mut paths = served_paths(&instance, vmac, &mut line_of);
            served.vmac = vmac;
            for (new, old) in paths.iter_mut().zip(&served.paths) {
                if new.line == old.line && served.instance.source == instance.source {
                    new.told = old.told;
                }
            }
            served.paths = paths;
            merge_addresses(served, &instance, line_of)
        };
        let lease_changed = served.instance.lease != instance.lease;
        served.instance = instance;
        let taken_over = self.no_longer_native(index);
        self.input(index, Input::Reconfigure(config));
        self.operate(index, Action::Add, &taken_over);
        for (position, spec, line) in moved {
            self.move_address(index, position, spec, line);
        }
        self.tell_all_tracks(index);
        self.forget_absent(index);
        if lease_changed {
            self.renew(index);
        }
        true
    }

    /// Takes an address off as it was and puts it on as it is to be.
    fn move_address(&mut self, index: usize, position: usize, spec: AddressSpec, line: usize) {
        let Some(served) = self.routers.get_mut(index) else { return };
        let is_master = served.router.state() == State::Master;
        let repeat = served.instance.announcing.repeat;
        let Some(held) = served.addresses.get_mut(position) else { return };
        match held.phase {
            Phase::Adding | Phase::Held | Phase::Lost => {
                self.operate(index, Action::Delete, &[position]);
                self.set_place(index, position, spec, line);
                if is_master {
                    if let Some(held) = self.held_mut(index, position) {
                        held.announce = repeat;
                    }
                    self.operate(index, Action::Add, &[position]);
                }
            }
            Phase::Absent | Phase::Removing | Phase::Native => self.set_place(index, position, spec, line),
        }
    }

    /// Addresses that were the host's own for an owner (priority 255), and are virtual ones like any other now.
    fn no_longer_native(&mut self, index: usize) -> Vec<usize> {
        let Some(served) = self.routers.get_mut(index) else { return Vec::new() };
        let may_own = served.may_own();
        let is_master = served.router.state() == State::Master;
        let mut taken_over = Vec::new();
        for (position, held) in served.addresses.iter_mut().enumerate() {
            if held.phase == Phase::Native && !may_own {
                held.phase = Phase::Absent;
                if is_master && !held.leaving {
                    taken_over.push(position);
                }
            }
        }
        taken_over
    }

    fn set_place(&mut self, index: usize, position: usize, spec: AddressSpec, line: usize) {
        if let Some(held) = self.held_mut(index, position) {
            held.spec = spec.into();
            held.line = line;
        }
    }

    fn held_mut(&mut self, index: usize, position: usize) -> Option<&mut HeldAddress> {
        self.routers.get_mut(index)?.addresses.get_mut(position)
    }
}

/// The line of an interface; a new one if there is none yet.
pub(super) fn line_of(lines: &mut Vec<Line>) -> impl FnMut(&str) -> usize {
    |interface| {
        lines.iter().position(|line| line.name == interface).unwrap_or_else(|| {
            lines.push(Line::new(interface.to_owned()));
            lines.len() - 1
        })
    }
}

/// The new addresses beside the old ones, which keep their places: answers under way name them by that. Returns those
/// that the kernel must be told anew, with what and where.
fn merge_addresses(
    served: &mut Served,
    instance: &Instance,
    mut line_of: impl FnMut(&str) -> usize,
) -> Vec<(usize, AddressSpec, usize)> {
    let now = clock::now();
    let mut moved = Vec::new();
    for held in &mut served.addresses {
        held.leaving = true;
    }
    for vip in &instance.vips {
        let line = line_of(interface_of(instance, vip));
        let is_it = |held: &HeldAddress| held.leaving && is_same_place(&held.vip, &vip.vip);
        let known = served.addresses.iter_mut().enumerate().find(|(_, held)| is_it(held));
        let Some((position, held)) = known else {
            served.addresses.push(HeldAddress::new(instance, vip, line));
            continue;
        };
        held.leaving = false;
        held.vip = vip.vip;
        let spec = spec_of(instance, vip);
        let with_old_lease = AddressSpec { lease: held.spec.lease, ..spec.clone() };
        if with_old_lease == *held.spec {
            // A lifetime is changed by the next renewal, and counts from it: until then the old one is in force.
            if spec.lease != held.spec.lease && !held.lapsed(now) {
                held.renewed_at = now;
            }
            held.spec = spec.into();
        } else {
            moved.push((position, spec, line));
        }
    }
    moved
}
