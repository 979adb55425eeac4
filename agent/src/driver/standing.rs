//! What stands over the configuration: which instances are held back, and which have another priority than configured.
//!
//! The engine is told all of it every time and makes the difference itself, so that telling it again changes nothing. It knows it
//! before any instance is started: who is held back never serves, not even between the start and the first command.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_vrrp::{HoldCause, Input, Override, State};
use tokio::sync::oneshot;

use super::engine::Engine;

/// What stands over one instance, or over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// It is held back.
    pub held: bool,
    /// Its base priority; `None`: the configured one.
    pub priority: Option<Override>,
}

/// What stands over the instances of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Over every instance, those included that a later configuration brings.
    pub all: Stand,
    /// Over instances by name. A name that there is no instance of waits for one.
    pub named: BTreeMap<String, Stand>,
}

impl Standing {
    /// What stands over this instance. A priority of its own goes before one for all.
    pub fn over(&self, instance: &str) -> Stand {
        let named = self.named.get(instance).copied().unwrap_or_default();
        Stand { held: self.all.held || named.held, priority: named.priority.or(self.all.priority) }
    }
}

/// Who is to take over, and whom to tell what became of it.
#[derive(Debug)]
pub(super) struct TakeOver {
    pub instances: BTreeSet<String>,
    pub reply: oneshot::Sender<BTreeMap<String, State>>,
}

impl Engine {
    /// Makes this what stands. Idempotent.
    pub(super) fn take_standing(&mut self, standing: Standing) {
        self.standing = standing;
        for index in 0..self.routers.len() {
            self.stand(index);
        }
    }

    /// Makes these the instances of a host without a network. Idempotent.
    pub(super) fn take_isolated(&mut self, isolated: BTreeSet<String>) {
        self.isolated = isolated;
        for index in 0..self.routers.len() {
            self.stand(index);
        }
    }

    /// Tells a router what stands over it, as far as it does not know.
    pub(super) fn stand(&mut self, index: usize) {
        let Some(served) = self.routers.get(index).filter(|served| !served.retired) else { return };
        let Stand { held, priority } = self.standing.over(&served.instance.name);
        let isolated = self.isolated.contains(&served.instance.name);
        let wanted = [(HoldCause::Order, held), (HoldCause::Isolation, isolated)];
        let differs = wanted.map(|(cause, holds)| (cause, holds, served.router.is_held_for(cause) != holds));
        let is_new_priority = served.router.overridden() != priority;
        // Who is to stand back does so before anything else, and who may serve again does with the right priority.
        for (cause, _, _) in differs.into_iter().filter(|(_, holds, differs)| *holds && *differs) {
            self.input(index, Input::Hold(cause));
        }
        if is_new_priority {
            self.input(index, Input::Override(priority));
        }
        for (cause, _, _) in differs.into_iter().filter(|(_, holds, differs)| !*holds && *differs) {
            self.input(index, Input::Unhold(cause));
        }
    }

    /// Lets those take over who were told to, after the sockets were read: what was said meanwhile is heard before.
    pub(super) fn take_over(&mut self) {
        for TakeOver { instances, reply } in std::mem::take(&mut self.taking_over) {
            for index in self.order.clone() {
                let name = self.routers.get(index).map(|served| &served.instance.name);
                if name.is_some_and(|name| instances.contains(name)) {
                    self.input(index, Input::TakeOver);
                }
            }
            let served = self.order.iter().filter_map(|index| self.routers.get(*index));
            let states = served.map(|served| (served.instance.name.clone(), served.router.state()));
            // Whoever asked may have gone.
            let _ = reply.send(states.collect());
        }
    }
}
