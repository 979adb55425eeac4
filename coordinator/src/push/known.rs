//! What the coordinator knows of its nodes, for judging files and for telling what they run.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hafleet_fleet::NodeName;
use hafleet_fleetfile::{FenceDevice, FleetFile, Known, KnownNode};
use hafleet_proto::v1;

use crate::{actuator::program::Value, clock::micros, config, shared::Shared, store::hash};

/// Every node that may be a member, with its addresses as far as its instances tell them.
pub fn known(shared: &Shared) -> Known {
    let nodes = shared.roster.map(|name, entry| {
        let mut interfaces: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for instance in entry.last.iter().flat_map(|last| &last.snapshot.instances) {
            if let Ok(address) = instance.source_address.parse() {
                interfaces.entry(instance.interface.clone()).or_default().push(address);
            }
        }
        (!entry.revoked).then(|| (name.0.clone(), KnownNode { site: entry.site.clone(), interfaces }))
    });
    Known {
        nodes: nodes.into_iter().flatten().collect(),
        fence_devices: fence_devices(shared.steps.devices()),
    }
}

/// Parameters of fence programs that say where the device is reached, by the API of the fence-agents.
const ADDRESS_PARAMETERS: [&str; 3] = ["ip", "ipaddr", "ip_address"];

/// Where nodes are fenced. A host name is not looked up: it may name another address tomorrow, and lint waits for nobody.
fn fence_devices<'d>(devices: impl Iterator<Item = &'d config::FenceDevice>) -> Vec<FenceDevice> {
    let address = |device: &config::FenceDevice| {
        let mut values = ADDRESS_PARAMETERS.iter().filter_map(|name| device.parameters.get(*name));
        values.find_map(|value| match value {
            Value::Plain(text) => text.parse::<IpAddr>().ok(),
            Value::Secret(_) => None,
        })
    };
    let known = devices.filter_map(|device| {
        let address = address(device)?;
        Some(FenceDevice { name: device.name.0.clone(), node: device.node.0.clone(), address })
    });
    known.collect()
}

/// What a node told last over the stream that it has now.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// It has a stream.
    pub is_connected: bool,
    /// Its access was taken away.
    pub is_revoked: bool,
    /// When it told; `None`: not in this coordinator's life.
    pub received_us: Option<i64>,
    /// Where a pushed configuration stands; `None` from an agent that does not tell.
    pub pushed: Option<v1::Pushed>,
    /// What it runs.
    pub instances: Vec<v1::InstanceState>,
}

/// What a node told last.
pub fn told(shared: &Shared, node: &str) -> Told {
    shared.roster.with(&NodeName(node.to_owned()), |entry| Told {
        is_connected: entry.live.is_some(),
        is_revoked: entry.revoked,
        received_us: entry.last.as_ref().and_then(|last| last.received).map(micros),
        pushed: entry.last.as_ref().and_then(|last| last.snapshot.pushed.clone()),
        instances: entry.last.as_ref().map(|last| last.snapshot.instances.clone()).unwrap_or_default(),
    })
}

impl Told {
    /// It is connected and has said something to this coordinator; what an earlier one was told is from the store.
    pub fn is_heard(&self) -> bool {
        self.is_connected && self.received_us.is_some()
    }

    /// It runs this text and keeps it, by its own word: what was pushed and does not run is nothing that runs.
    pub fn runs(&self, text: &str) -> bool {
        let Some(pushed) = self.pushed.as_ref().filter(|_| self.is_heard()) else { return false };
        let is_kept = pushed.confirm_left_us == 0 && pushed.error.is_empty();
        let is_nothing = pushed.generation == 0 && text.is_empty();
        is_kept && (is_nothing || pushed.generation != 0 && pushed.hash == hash(text))
    }

    /// It holds the addresses of one of these instances.
    pub fn is_master_of(&self, is_touched: impl Fn(&str) -> bool) -> bool {
        let master = i32::from(v1::VrrpState::Master);
        self.instances.iter().any(|instance| instance.state == master && is_touched(&instance.instance))
    }
}

/// Connected nodes that are not of those who stay and may run what was pushed: members of what runs, and nodes that were away
/// when an earlier file left them out.
pub fn leaving(shared: &Shared, running: &FleetFile, staying: &[String]) -> Vec<String> {
    let members = running.nodes();
    let nothing = hash("");
    let leaving = shared.roster.map(|name, entry| {
        let pushed = entry.last.as_ref().and_then(|last| last.snapshot.pushed.as_ref());
        let runs_some = pushed.is_some_and(|pushed| pushed.generation > 0 && pushed.hash != nothing);
        let is_member = members.iter().any(|member| *member == name.0);
        let leaves = !staying.contains(&name.0) && (is_member || runs_some);
        (leaves && entry.live.is_some()).then(|| name.0.clone())
    });
    leaving.into_iter().flatten().collect()
}

/// A node that tells a higher number is not believed: numbers never run out.
const NUMBER_MAX: u64 = 1 << 48;

/// The highest generation that a node runs, holds ready or gave up, by its last word: an agent takes none that is older than what
/// it has, and a database that was restored may know nothing of them. 0: none.
pub fn highest(shared: &Shared) -> u64 {
    let of_nodes = shared.roster.map(|_, entry| {
        let pushed = entry.last.as_ref().and_then(|last| last.snapshot.pushed.as_ref());
        pushed.map(|pushed| [pushed.generation, pushed.staged_generation, pushed.rolled_back_generation])
    });
    of_nodes.into_iter().flatten().flatten().filter(|number| *number <= NUMBER_MAX).max().unwrap_or(0)
}

/// Every generation that a node runs or holds ready, by its last word.
pub fn in_use(shared: &Shared) -> BTreeSet<u64> {
    let of_nodes = shared.roster.map(|_, entry| {
        let pushed = entry.last.as_ref().and_then(|last| last.snapshot.pushed.as_ref());
        pushed.map(|pushed| [pushed.generation, pushed.staged_generation])
    });
    of_nodes.into_iter().flatten().flatten().filter(|number| *number > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_not_what_runs() {
        let of = |generation, text: &str, error: &str| {
            let hash = if generation == 0 { String::new() } else { hash(text) };
            let pushed = v1::Pushed { generation, hash, error: error.into(), ..Default::default() };
            Told { is_connected: true, received_us: Some(1), pushed: Some(pushed), ..Default::default() }
        };
        assert!(of(7, "x", "").runs("x") && of(0, "", "").runs("") && of(7, "", "").runs(""));
        assert!(!of(7, "x", "").runs("y"));
        assert!(!of(7, "x", "the pushed generation 7 does not run: collision").runs("x"));
        assert!(!of(0, "", "what was pushed to this node cannot be read").runs(""));
    }
}
