//! What stands over the configuration: which instances are held back, and which have another priority than configured.
//!
//! The engine is told all of it every time and makes the difference itself, so that telling it again changes nothing. It knows it
//! before any instance is started: who is held back never serves, not even between the start and the first command.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_vrrp::{HoldCause, Input, Override, State};
use tokio::sync::oneshot;

use super::engine::Engine;
use crate::net::Family;

/// What is told of the orders behind a transition is not longer, in bytes.
const WORDS_LEN_MAX: usize = 512;

/// What stands over one instance, or over all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// A fence holds it back.
    pub fenced: bool,
    /// Maintenance holds it back.
    pub in_maintenance: bool,
    /// Who says so and why, for the reader of a transition.
    pub held_by: String,
    /// Its base priority; `None`: the configured one.
    pub priority: Option<Override>,
    /// Who says so and why, likewise.
    pub priority_by: String,
}

impl Stand {
    /// A fence, or whatever else may be one.
    pub fn fence(by: String) -> Self {
        Self { fenced: true, held_by: by, ..Self::default() }
    }

    /// Whether it is held back for any cause.
    pub const fn is_held(&self) -> bool {
        self.fenced || self.in_maintenance
    }

    /// One more that stands. A later priority goes before an earlier one.
    pub fn add(&mut self, other: &Self) {
        self.fenced |= other.fenced;
        self.in_maintenance |= other.in_maintenance;
        join(&mut self.held_by, &other.held_by);
        if other.priority.is_some() {
            self.priority = other.priority;
            self.priority_by.clone_from(&other.priority_by);
        }
    }
}

fn join(words: &mut String, more: &str) {
    if !words.is_empty() && !more.is_empty() {
        words.push_str("; ");
    }
    words.push_str(more);
    words.truncate(words.floor_char_boundary(WORDS_LEN_MAX));
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
        let mut stand = self.all.clone();
        if let Some(named) = self.named.get(instance) {
            stand.add(named);
        }
        stand
    }
}

/// A router, whatever it is called: by what its peers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub interface: String,
    pub family: Family,
    pub vrid: u8,
}

/// What stands over the routers that run, whatever they are called by now.
#[derive(Debug, Default)]
pub(super) struct Laid {
    standing: Standing,
    /// Where a name was when a fence was laid on it: that router stays fenced when another configuration calls it otherwise. No
    /// more names than the orders have.
    fenced: BTreeMap<String, Known>,
}

impl Laid {
    /// At the start.
    pub fn new(standing: Standing) -> Self {
        Self { standing, ..Self::default() }
    }

    fn replace(&mut self, standing: Standing) {
        self.fenced.retain(|name, _| standing.named.get(name).is_some_and(|stand| stand.fenced));
        self.standing = standing;
    }

    /// What stands over the router of this name.
    fn over(&mut self, name: &str, router: &Known) -> Stand {
        let mut stand = self.standing.over(name);
        if self.standing.named.get(name).is_some_and(|named| named.fenced) && !self.fenced.contains_key(name)
        {
            self.fenced.insert(name.to_owned(), router.clone());
        }
        let others = self.fenced.iter().filter(|(other, known)| *other != name && *known == router);
        for named in others.filter_map(|(other, _)| self.standing.named.get(other)) {
            stand.add(&Stand::fence(named.held_by.clone()));
        }
        stand
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
        self.standing.replace(standing);
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
        let Some(served) = self.routers.get_mut(index).filter(|served| !served.retired) else { return };
        let stand = self.standing.over(&served.instance.name, &served.known());
        let isolated = self.isolated.contains(&served.instance.name);
        let is_held = stand.is_held();
        if is_held {
            // Who lets go of it later is told by whom it was held.
            served.held_by = stand.held_by;
        }
        served.priority_by = stand.priority_by;
        let wanted = [
            (HoldCause::Fence, stand.fenced),
            (HoldCause::Maintenance, stand.in_maintenance),
            (HoldCause::Isolation, isolated),
        ];
        let differs = wanted.map(|(cause, holds)| (cause, holds, served.router.is_held_for(cause) != holds));
        let is_new_priority = served.router.overridden() != stand.priority;
        // Who is to stand back does so before anything else, and who may serve again does with the right priority.
        for (cause, _, _) in differs.into_iter().filter(|(_, holds, differs)| *holds && *differs) {
            self.input(index, Input::Hold(cause));
            self.forget_what_is_handed_over(index);
        }
        if is_new_priority {
            self.input(index, Input::Override(stand.priority));
        }
        for (cause, _, _) in differs.into_iter().filter(|(_, holds, differs)| !*holds && *differs) {
            self.input(index, Input::Unhold(cause));
        }
        if !is_held && let Some(served) = self.routers.get_mut(index) {
            served.held_by.clear();
        }
    }

    /// A successor's announcements are not answered with old ones of ours.
    pub(super) fn forget_what_is_handed_over(&mut self, index: usize) {
        let Some(served) = self.routers.get_mut(index).filter(|served| served.router.is_handing_over())
        else {
            return;
        };
        served.addresses.iter_mut().for_each(|held| held.announce = 0);
        self.announcements.forget(index, |_| true);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn known(vrid: u8) -> Known {
        Known { interface: "ens33".to_owned(), family: Family::V4, vrid }
    }

    fn fence(names: &[&str]) -> Standing {
        let named = names.iter().map(|name| ((*name).to_owned(), Stand::fence("fence/17".to_owned())));
        Standing { named: named.collect(), ..Standing::default() }
    }

    /// A configuration that calls it otherwise is no withdrawal.
    #[test]
    fn a_router_stays_fenced_under_another_name() {
        let mut laid = Laid::new(fence(&["web"]));
        assert!(laid.over("web", &known(51)).fenced);
        assert_eq!(laid.over("dns", &known(52)), Stand::default());
        let renamed = laid.over("www", &known(51));
        assert_eq!((renamed.fenced, renamed.held_by.as_str()), (true, "fence/17"));
        // Told again, and renamed once more; who has the name by now is fenced as ever, and nobody else is.
        laid.replace(fence(&["web", "mail"]));
        assert!(laid.over("w3", &known(51)).fenced && laid.over("web", &known(53)).fenced);
        assert_eq!(laid.over("dns", &known(52)), Stand::default());
        for other in
            [Known { family: Family::V6, ..known(51) }, Known { interface: "ens34".to_owned(), ..known(51) }]
        {
            assert!(!laid.over("www", &other).fenced, "{other:?}");
        }
        // Withdrawn, and given anew: it is about who has the name then.
        laid.replace(fence(&["mail"]));
        assert_eq!(laid.over("w3", &known(51)), Stand::default());
        laid.replace(fence(&["web"]));
        assert!(laid.over("web", &known(53)).fenced && !laid.over("w3", &known(51)).fenced);
    }

    #[test]
    fn maintenance_and_priorities_are_of_names() {
        let maintenance = Stand { in_maintenance: true, ..Stand::default() };
        let named = BTreeMap::from([("web".to_owned(), maintenance.clone())]);
        let mut laid = Laid::new(Standing { named, ..Standing::default() });
        assert_eq!(laid.over("web", &known(51)), maintenance);
        assert_eq!(laid.over("www", &known(51)), Stand::default());
    }
}
