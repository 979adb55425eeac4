//! What the coordinator knows of its nodes, for judging files and for telling what they run.

use std::{collections::BTreeMap, net::IpAddr};

use hafleet_fleet::NodeName;
use hafleet_fleetfile::{FleetFile, Known, KnownNode};
use hafleet_proto::v1;
use sha2::{Digest as _, Sha256};

use crate::{clock::micros, shared::Shared};

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
    Known { nodes: nodes.into_iter().flatten().collect(), fence_devices: Vec::new() }
}

/// SHA-256, hex.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
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
    /// It runs this text and keeps it.
    pub fn runs(&self, text: &str) -> bool {
        let Some(pushed) = self.pushed.as_ref().filter(|_| self.is_connected && self.received_us.is_some())
        else {
            return false;
        };
        let is_kept = pushed.confirm_left_us == 0;
        let is_nothing = pushed.generation == 0 && text.is_empty();
        is_kept && (is_nothing || pushed.generation != 0 && pushed.hash == hash(text))
    }

    /// It holds the addresses of one of these instances.
    pub fn is_master_of(&self, is_touched: impl Fn(&str) -> bool) -> bool {
        let master = i32::from(v1::VrrpState::Master);
        self.instances.iter().any(|instance| instance.state == master && is_touched(&instance.instance))
    }
}

/// Which nodes do not run what was applied last.
pub fn drift(shared: &Shared, file: &FleetFile) -> Vec<v1::NodeDrift> {
    let names = shared.roster.map(|name, _| name.0.clone());
    let drift = |node: String| {
        let (told, text) = (told(shared, &node), file.compile(&node));
        let pushed = told.pushed.clone().unwrap_or_default();
        let (state, detail) = if told.is_revoked {
            return None;
        } else if !told.is_connected || told.received_us.is_none() {
            ("unknown", "it is not connected".to_owned())
        } else if told.pushed.is_none() && text.is_empty() {
            ("in_step", String::new())
        } else if told.pushed.is_none() {
            ("unknown", "its agent does not tell what it runs".to_owned())
        } else if pushed.confirm_left_us > 0 {
            let left_s = pushed.confirm_left_us.div_ceil(1_000_000);
            ("unconfirmed", format!("goes back by itself in {left_s} s unless it is confirmed"))
        } else if told.runs(&text) {
            ("in_step", String::new())
        } else {
            ("differs", differs(&pushed, &text))
        };
        Some(v1::NodeDrift { node, state: state.into(), runs_generation: pushed.generation, detail })
    };
    names.into_iter().filter_map(drift).collect()
}

fn differs(pushed: &v1::Pushed, text: &str) -> String {
    let given_up = match pushed.rolled_back_generation {
        0 => String::new(),
        number => format!("; generation {number} was given up: {}", pushed.rolled_back_why),
    };
    match (pushed.generation, text.is_empty()) {
        (0, _) => format!("it runs nothing that was pushed{given_up}"),
        (number, true) => format!("it runs generation {number}, but the file has nothing for it{given_up}"),
        (number, false) => format!("it runs generation {number}{given_up}"),
    }
}
