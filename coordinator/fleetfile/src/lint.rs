//! What is right by itself and wrong together, or wrong for this fleet.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    model::{Address, FleetFile, Group, GroupKey, Member},
    problem::Problem,
};

/// What the coordinator knows of the fleet.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Every node that may be a member.
    pub nodes: BTreeMap<String, KnownNode>,
    /// What nodes are fenced by.
    pub fence_devices: Vec<FenceDevice>,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub struct KnownNode {
    /// Its layer-2 world.
    pub site: String,
    /// Its own addresses on each interface, as far as they were told.
    pub interfaces: BTreeMap<String, Vec<IpAddr>>,
}

/// Something that a node is fenced by.
#[derive(Clone, Debug)]
pub struct FenceDevice {
    /// Its name.
    pub name: String,
    /// Whom it fences.
    pub node: String,
    /// Where it is reached.
    pub address: IpAddr,
}

/// Everything that is wrong or remarkable, in the order of the file. Without `known` only what the file itself shows.
pub fn lint(file: &FleetFile, known: Option<&Known>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, group) in file.groups.iter().enumerate() {
        let earlier = file.groups.get(..index).unwrap_or_default();
        members(group, &mut problems);
        for other in earlier.iter().filter(|other| other.key.site == group.key.site) {
            vrid(group, other, &mut problems);
            addresses(group, other, &mut problems);
        }
        sites(group, earlier, &mut problems);
        if let Some(known) = known {
            nodes(group, known, &mut problems);
            fence_paths(group, known, &mut problems);
        }
    }
    problems.sort_by_key(|problem| problem.at);
    problems
}

fn members(group: &Group, problems: &mut Vec<Problem>) {
    let key = &group.key;
    if group.members.len() < 2 {
        let message = format!("{key} has one member: nobody takes over when it fails");
        problems.push(Problem::warning(group.at, message, "add a second [[group.member]]"));
    }
    let owners: Vec<&Member> = group.members.iter().filter(|member| member.priority == u8::MAX).collect();
    if let [first, second, ..] = owners[..] {
        let message = format!(
            "{} and {} both have priority 255 in {key}: an address has one owner (RFC 9568 section 6.1)",
            first.node, second.node
        );
        problems.push(Problem::error(second.at, message, "give one of them a priority below 255"));
    }
    for (index, member) in group.members.iter().enumerate() {
        let earlier = group.members.get(..index).unwrap_or_default();
        let same = earlier.iter().find(|other| other.priority == member.priority);
        if let Some(other) = same.filter(|_| member.priority != u8::MAX) {
            let message = format!(
                "{} and {} both have priority {} in {key}: the higher source address wins",
                other.node, member.node, member.priority
            );
            problems.push(Problem::warning(member.at, message, "say by the priorities who is preferred"));
        }
    }
    let Some(owner) = owners.first() else { return };
    if group.settings.get("preempt").is_some_and(|preempt| preempt == "false") {
        let message =
            format!("{} owns the addresses of {key} by priority 255: it preempts always", owner.node);
        problems.push(Problem::warning(
            owner.at,
            message,
            "remove `preempt = false`, or choose a lower priority",
        ));
    }
    let weighted =
        group.track.iter().chain(&owner.track).find(|track| track.weight.is_some_and(|weight| weight != 0));
    if let Some(track) = weighted {
        let message =
            format!("priority 255 is never changed: `{}` has no weight for {}", track.name, owner.node);
        problems.push(Problem::warning(owner.at, message, "choose a priority below 255"));
    }
}

/// Two groups of one site that could be heard by each other's routers.
fn vrid(group: &Group, other: &Group, problems: &mut Vec<Problem>) {
    if group.vrid != other.vrid || group.is_ipv6() != other.is_ipv6() {
        return;
    }
    let shares_interface = group.members.iter().any(|member| {
        other.members.iter().any(|their| their.node == member.node && their.interface == member.interface)
    });
    let shares_name = group
        .members
        .iter()
        .any(|member| other.members.iter().any(|their| their.interface == member.interface));
    let shares_network = group.addresses.iter().any(|own| {
        other.addresses.iter().any(|their| contains(own, their.address) || contains(their, own.address))
    });
    let (key, others) = (&group.key, &other.key);
    let help = "choose another VRID, 1 to 255";
    if shares_interface || shares_name || shares_network {
        let message =
            format!("{key} has VRID {}, which {others} has on the same network already", group.vrid);
        problems.push(Problem::error(group.at, message, help));
    } else {
        let message =
            format!("{key} has VRID {}, as {others}: their routers must never hear each other", group.vrid);
        problems.push(Problem::warning(group.at, message, help));
    }
}

fn addresses(group: &Group, other: &Group, problems: &mut Vec<Problem>) {
    for address in &group.addresses {
        let link_local = match address.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let same = other.addresses.iter().any(|their| their.address == address.address);
        let meet = group
            .members
            .iter()
            .any(|own| other.members.iter().any(|their| !link_local || own.interface == their.interface));
        if same && meet {
            let message = format!("{} is held by {} already", address.address, other.key);
            problems.push(Problem::error(address.at, message, "an address can follow one group only"));
        }
    }
}

/// A node is at one site.
fn sites(group: &Group, earlier: &[Group], problems: &mut Vec<Problem>) {
    for member in &group.members {
        let elsewhere = |other: &&Group| {
            other.key.site != group.key.site && other.members.iter().any(|their| their.node == member.node)
        };
        if let Some(GroupKey { site, name }) = earlier.iter().find(elsewhere).map(|other| &other.key) {
            let message =
                format!("{} is a member of {site}/{name} already: a node is at one site", member.node);
            problems.push(Problem::error(member.at, message, "correct `site` of one of the groups"));
        }
    }
}

fn nodes(group: &Group, known: &Known, problems: &mut Vec<Problem>) {
    for member in &group.members {
        let Some(node) = known.nodes.get(&member.node) else {
            let message = format!("there is no node {} in the fleet", member.node);
            let help = format!("let it join first: hactl node token --node {}", member.node);
            problems.push(Problem::error(member.at, message, help));
            continue;
        };
        if node.site != group.key.site {
            let message =
                format!("{} is at site {}, but the group at {}", member.node, node.site, group.key.site);
            problems.push(Problem::error(member.at, message, "a group is at one site"));
        }
        let Some(own) = node.interfaces.get(&member.interface) else { continue };
        for address in group.addresses.iter().filter(|address| is_network(address)) {
            let same_family = |own: &&IpAddr| own.is_ipv4() == address.address.is_ipv4();
            let mut own = own.iter().filter(same_family).peekable();
            let first = own.peek().map(|own| **own);
            if let Some(first) = first.filter(|_| !own.any(|own| contains(address, *own))) {
                let message = format!(
                    "{address} is not in the network of {} on {}, whose address is {first}",
                    member.interface, member.node
                );
                problems.push(Problem::warning(
                    member.at,
                    message,
                    "check the interface and the prefix length",
                ));
            }
        }
    }
}

/// Whoever loses the network of the address must not lose the way to fence its members with it.
fn fence_paths(group: &Group, known: &Known, problems: &mut Vec<Problem>) {
    let is_member = |device: &&FenceDevice| group.members.iter().any(|member| member.node == device.node);
    for device in known.fence_devices.iter().filter(is_member) {
        let inside =
            group.addresses.iter().find(|address| is_network(address) && contains(address, device.address));
        if let Some(address) = inside {
            let message = format!(
                "{} is fenced by {} at {}, in the network of {address}: what cuts the one cuts the other",
                device.node, device.name, device.address
            );
            problems.push(Problem::warning(address.at, message, "reach it by a network of its own"));
        }
    }
}

fn is_network(address: &Address) -> bool {
    address.prefix_len.is_some_and(|length| length < if address.address.is_ipv4() { 32 } else { 128 })
}

/// Whether an address lies in the network of a group's address.
fn contains(network: &Address, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    };
    let ((one, one_v4), (other, other_v4)) = (bits(network.address), bits(address));
    let length = u32::from(network.prefix_len.unwrap_or(if one_v4 { 32 } else { 128 }));
    // A shift by all bits is none: everything is in a network of length 0.
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
    one_v4 == other_v4 && one & mask == other & mask
}
