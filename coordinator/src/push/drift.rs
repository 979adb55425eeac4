//! What nodes run beside what was applied last.

use std::{collections::BTreeMap, net::IpAddr};

use hafleet_fleetfile::FleetFile;
use hafleet_proto::v1::{self, InstanceState};

use super::known::{Told, told};
use crate::shared::Shared;

/// Which nodes do not run what was applied last. Instances of a node's own files are told, and are no difference by themselves;
/// an address that is pushed and in a node's own files too is one.
pub fn drift(shared: &Shared, file: &FleetFile) -> Vec<v1::NodeDrift> {
    let names = shared.roster.map(|name, _| name.0.clone());
    names.into_iter().filter_map(|node| of_node(told(shared, &node), file, node)).collect()
}

fn of_node(told: Told, file: &FleetFile, node: String) -> Option<v1::NodeDrift> {
    if told.is_revoked {
        return None;
    }
    let text = file.compile(&node);
    let pushed = told.pushed.clone().unwrap_or_default();
    let is_heard = told.is_heard();
    let twice = if is_heard { twice(&told.instances, file, &node) } else { None };
    let (state, detail) = if !is_heard {
        ("unknown", "it is not connected".to_owned())
    } else if let Some(twice) = twice {
        ("differs", twice)
    } else if told.pushed.is_none() && text.is_empty() {
        ("in_step", String::new())
    } else if told.pushed.is_none() {
        ("unknown", "its agent does not tell what it runs".to_owned())
    } else if pushed.confirm_left_us > 0 {
        let left_s = pushed.confirm_left_us.div_ceil(1_000_000);
        ("unconfirmed", format!("goes back by itself in {left_s} s unless it is confirmed"))
    } else if !pushed.error.is_empty() {
        ("differs", pushed.error.clone())
    } else if told.runs(&text) {
        ("in_step", String::new())
    } else {
        ("differs", differs(&pushed, &text))
    };
    let instances = told.instances.iter().map(instance).collect();
    Some(v1::NodeDrift { node, state: state.into(), runs_generation: pushed.generation, detail, instances })
}

fn instance(state: &InstanceState) -> v1::DriftInstance {
    let (origin, generation) = match state.pushed_generation {
        None => ("", 0),
        Some(0) => ("local", 0),
        Some(generation) => ("pushed", generation),
    };
    v1::DriftInstance { instance: state.instance.clone(), origin: origin.into(), generation }
}

/// Addresses that the node's own files give to an instance although they are the file's, or pushed; `None`: there are none.
fn twice(instances: &[InstanceState], file: &FleetFile, node: &str) -> Option<String> {
    let mut pushed: BTreeMap<IpAddr, String> = BTreeMap::new();
    for instance in instances.iter().filter(|instance| instance.pushed_generation.is_some_and(|it| it > 0)) {
        pushed.extend(addresses(instance).map(|address| (address, instance.instance.clone())));
    }
    let own = file.groups.iter().filter(|group| group.members.iter().any(|member| member.node == node));
    for group in own {
        pushed.extend(group.addresses.iter().map(|address| (address.address, group.key.name.clone())));
    }
    let local = instances.iter().filter(|instance| instance.pushed_generation == Some(0));
    let both = local.flat_map(|instance| {
        let both = addresses(instance).filter_map(|address| Some((address, pushed.get(&address)?)));
        both.map(|(address, group)| {
            let InstanceState { instance, defined_at, .. } = instance;
            format!(
                "{address} is pushed for {group}, and {instance} of its own files has it too ({defined_at})"
            )
        })
    });
    let both: Vec<String> = both.collect();
    (!both.is_empty()).then(|| both.join("; "))
}

fn addresses(instance: &InstanceState) -> impl Iterator<Item = IpAddr> {
    instance.addresses.iter().filter_map(|text| text.split('/').next()?.parse().ok())
}

fn differs(pushed: &v1::Pushed, text: &str) -> String {
    let given_up = match pushed.rolled_back_generation {
        0 => String::new(),
        number => format!("; generation {number} was given up: {}", pushed.rolled_back_why),
    };
    match (pushed.generation, text.is_empty()) {
        (0, _) => format!("it runs nothing that was pushed{given_up}"),
        (number, true) => format!(
            "it runs generation {number}, but the file has nothing for it; apply it again to take that away{given_up}"
        ),
        (number, false) => format!("it runs generation {number}{given_up}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = r#"
[[group]]
name = "web"
site = "dc1"
vrid = 51
addresses = ["192.168.178.3/24"]
  [[group.member]]
  node = "lb01"
  interface = "ens33"
  priority = 101
"#;

    fn state(name: &str, generation: Option<u64>, address: &str) -> InstanceState {
        InstanceState {
            instance: name.into(),
            pushed_generation: generation,
            addresses: vec![address.into()],
            defined_at: "agent.toml:3".into(),
            ..Default::default()
        }
    }

    fn drift(instances: Vec<InstanceState>) -> v1::NodeDrift {
        drift_with(instances, "")
    }

    fn drift_with(instances: Vec<InstanceState>, error: &str) -> v1::NodeDrift {
        let file = hafleet_fleetfile::parse(FILE).unwrap();
        let hash = crate::store::hash(&file.compile("lb01"));
        let pushed = Some(v1::Pushed { generation: 7, hash, error: error.into(), ..Default::default() });
        let told = Told { is_connected: true, is_revoked: false, received_us: Some(1), pushed, instances };
        of_node(told, &file, "lb01".into()).unwrap()
    }

    #[test]
    fn what_is_local_is_told_and_no_difference() {
        let web = state("web", Some(7), "192.168.178.3/24");
        let found = drift(vec![
            web.clone(),
            state("VI_2", Some(0), "10.0.0.2/24"),
            state("old", None, "10.0.0.3/24"),
        ]);
        assert_eq!((found.state.as_str(), found.detail.as_str()), ("in_step", ""));
        let told: Vec<_> = found
            .instances
            .iter()
            .map(|it| (it.instance.as_str(), it.origin.as_str(), it.generation))
            .collect();
        assert_eq!(told, [("web", "pushed", 7), ("VI_2", "local", 0), ("old", "", 0)]);
    }

    #[test]
    fn what_was_pushed_and_does_not_run_is_a_difference() {
        let words = "the pushed generation 7 does not run: VI_1 has VRID 51 too";
        let found = drift_with(vec![state("VI_1", Some(0), "10.0.0.2/24")], words);
        assert_eq!((found.state.as_str(), found.detail.as_str()), ("differs", words));
    }

    #[test]
    fn an_address_that_is_pushed_and_local_is_a_difference() {
        let (web, both) =
            (state("web", Some(7), "192.168.178.3/24"), state("VI_1", Some(0), "192.168.178.3/32"));
        // It counts also while the node does not run what is pushed, and for a group that only the node has by a push.
        let ghost = state("ghost", Some(6), "10.0.0.2/24");
        for (instances, words) in [
            (
                vec![web, both.clone()],
                "192.168.178.3 is pushed for web, and VI_1 of its own files has it too (agent.toml:3)",
            ),
            (vec![both], "192.168.178.3 is pushed for web"),
            (vec![ghost, state("VI_2", Some(0), "10.0.0.2/24")], "10.0.0.2 is pushed for ghost, and VI_2"),
        ] {
            let found = drift(instances);
            assert_eq!(found.state, "differs");
            assert!(found.detail.contains(words), "{}", found.detail);
        }
    }
}
