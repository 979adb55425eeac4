//! What the engine is to do: the part of a configuration that concerns it.

use std::collections::BTreeMap;

use hafleet_vrrp::{Config, Path, Track, TrackResult};

use super::{
    Standing,
    served::{path_configs, unspecified},
};
use crate::{
    config::{
        AgentConfig, Instance, Scheduling,
        track::{CheckKind, Subject},
    },
    net::{Family, macvlan::Macvlan, netlink::Interfaces},
};

/// Every virtual router, and what is known of checks before they were ever run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the configuration's order.
    pub instances: Vec<Instance>,
    /// Every check there is, and what counts until its first result: down with `init_fail`, otherwise it is waited for.
    pub checks: BTreeMap<String, Option<TrackResult>>,
    /// How the engine's thread runs; counts at the start only.
    pub scheduling: Scheduling,
    /// What stands over it from the first moment on; counts at the start only, later it is told.
    pub standing: Standing,
}

impl Plan {
    /// The engine's part of a configuration.
    pub fn of(config: &AgentConfig) -> Self {
        let initially = |kind: &CheckKind| match kind {
            CheckKind::Script(script) => script.init_fail.then_some(TrackResult::Down),
            CheckKind::Process(_) | CheckKind::File(_) => None,
        };
        Self {
            instances: config.instances.clone(),
            checks: config.checks.iter().map(|check| (check.name.clone(), initially(&check.kind))).collect(),
            scheduling: config.scheduling,
            standing: Standing::default(),
        }
    }

    /// Every interface that an instance serves, sends on, puts an address on, or tracks; those of virtual MACs are made.
    pub fn interfaces(&self) -> Interfaces {
        Interfaces {
            watched: self.instances.iter().flat_map(interfaces_of).map(str::to_owned).collect(),
            macvlans: self.instances.iter().filter_map(macvlan_of).collect(),
            unwanted: BTreeMap::new(),
        }
    }
}

/// The interface of an instance's virtual MAC.
pub(super) fn macvlan_of(instance: &Instance) -> Option<(String, Macvlan)> {
    let family = Family::of(unspecified(instance));
    let macvlan = Macvlan::new(instance.interface.clone(), family, instance.vrid.get());
    Some((vmac_interface(instance)?.to_owned(), macvlan))
}

/// Its name.
pub(super) fn vmac_interface(instance: &Instance) -> Option<&str> {
    instance.vmac.as_ref()?.interface.as_deref()
}

/// Every interface that an instance needs to know about.
pub(super) fn interfaces_of(instance: &Instance) -> impl Iterator<Item = &str> {
    let paths = instance.paths.iter().map(|path| path.interface.as_str());
    let devices = instance.vips.iter().filter_map(|vip| vip.dev.as_deref());
    let tracked = instance.tracks.iter().filter_map(|tracked| match &tracked.subject {
        Subject::Interface(name) => Some(name.as_str()),
        Subject::Check(_) => None,
    });
    let service = std::iter::once(instance.interface.as_str());
    service.chain(vmac_interface(instance)).chain(paths).chain(devices).chain(tracked)
}

/// The last results of checks, as far as there are any. As many as there are checks.
#[derive(Debug, Default)]
pub(super) struct Checks {
    initially: BTreeMap<String, Option<TrackResult>>,
    results: BTreeMap<String, (TrackResult, String)>,
}

impl Checks {
    pub(super) fn new(initially: BTreeMap<String, Option<TrackResult>>) -> Self {
        Self { initially, results: BTreeMap::new() }
    }

    /// Forgets the results of checks that there are no more.
    pub(super) fn replace(&mut self, plan: &Plan) {
        self.initially.clone_from(&plan.checks);
        self.results.retain(|name, _| plan.checks.contains_key(name));
    }

    /// Keeps a result; false for one of a check that there is no more.
    pub(super) fn note(&mut self, check: String, result: TrackResult, detail: String) -> bool {
        let is_known = self.initially.contains_key(&check);
        if is_known {
            self.results.insert(check, (result, detail));
        }
        is_known
    }

    pub(super) fn result(&self, check: &str) -> Option<&(TrackResult, String)> {
        self.results.get(check)
    }

    /// The core's configuration of an instance.
    pub(super) fn config(&self, instance: &Instance) -> Config {
        let paths = path_configs(instance);
        let tracks = instance.tracks.iter().map(|tracked| Track {
            name: tracked.subject.name().to_owned(),
            weight: tracked.weight,
            reverse: tracked.reverse,
            initially: match &tracked.subject {
                Subject::Interface(_) => None,
                Subject::Check(name) => self.initially.get(name).copied().flatten(),
            },
        });
        Config {
            name: instance.name.clone(),
            vrid: instance.vrid,
            version: instance.version,
            priority: instance.priority,
            interval: instance.interval,
            preempt: instance.preempt,
            preempt_delay: instance.preempt_delay,
            authentication: instance.authentication.clone(),
            checksum: instance.checksum,
            vips: instance.vips.iter().map(|vip| vip.vip).collect(),
            paths: paths
                .iter()
                .map(|path| Path { source: unspecified(instance), peers: path.peers.clone() })
                .collect(),
            announcing: instance.announcing,
            tracks: tracks.collect(),
            track_service: instance.track_service,
            answers_lower: instance.answers_lower,
            answers_higher: instance.answers_higher,
        }
    }
}
