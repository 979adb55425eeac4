//! What is seen of groups now, by whom, and how old it is: `hactl describe group|finding|fence -o json`.

use std::collections::BTreeSet;

use hafleet_proto::v1;
use serde::Serialize;

use super::{Heard, present};

/// Everything that nodes and the coordinator see now of some groups of one site.
#[derive(Debug, Default, Serialize)]
pub struct Seen {
    /// Who answered for the groups' addresses and their members' own, by whom it was asked.
    pub witnesses: Vec<Witnessed>,
    /// Who hears which adverts for them.
    pub heard: Vec<HeardBy>,
    /// What the coordinator and the members reach beside each other.
    pub references: Vec<Reference>,
    /// The members' clocks against the coordinator's.
    pub clocks: Vec<Clock>,
}

/// What one node's neighbours answered for one address.
#[derive(Debug, Serialize)]
pub struct Witnessed {
    /// Who asked.
    pub node: String,
    /// For whom.
    pub address: String,
    /// On which of its interfaces.
    pub interface: String,
    /// Each MAC that answered; empty when nobody did, or nothing was asked.
    pub macs: Vec<Mac>,
    /// Why nothing could be asked.
    pub error: Option<String>,
    /// Since it was asked.
    pub age_ms: u64,
}

/// One MAC that answered.
#[derive(Debug, Serialize)]
pub struct Mac {
    /// As it was seen.
    pub mac: String,
    /// The member whose own address it answers for too; `null` for a stranger, or when that was not asked.
    pub node: Option<String>,
}

/// A source of adverts and who hears it.
#[derive(Debug, Serialize)]
pub struct HeardBy {
    /// The listener.
    pub node: String,
    /// What it hears.
    #[serde(flatten)]
    pub heard: Heard,
}

/// Something that should always answer.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// Who asked; `null`: the coordinator.
    pub node: Option<String>,
    /// Whom.
    pub address: String,
    /// Over which interface; `null` where the host chooses.
    pub interface: Option<String>,
    /// It answered.
    pub reachable: bool,
    /// Since it was asked; `null` when the node was not heard since the coordinator started.
    pub age_ms: Option<u64>,
}

/// How far a node's clock is from the coordinator's.
#[derive(Debug, Serialize)]
pub struct Clock {
    /// Whose.
    pub node: String,
    /// The node's minus the coordinator's; this and the rest are `null` before anything was measured.
    pub offset_us: Option<i64>,
    /// How far off that may be.
    pub uncertainty_us: Option<u64>,
    /// Since it last rested on an answer.
    pub age_ms: Option<u64>,
}

impl Seen {
    /// Of these groups.
    pub fn of(fleet: &v1::Fleet, groups: &[&v1::Group]) -> Self {
        let members = || groups.iter().flat_map(|group| &group.members);
        let sites: BTreeSet<&str> = groups.iter().map(|group| group.site.as_str()).collect();
        let names: BTreeSet<&str> = members().map(|member| member.node.as_str()).collect();
        let vrids: BTreeSet<u32> = members().map(|member| member.vrid).collect();
        let own: BTreeSet<&str> = groups.iter().flat_map(|group| addresses(group)).collect();
        let asked_for: BTreeSet<&str> =
            own.iter().copied().chain(members().map(|member| member.source_address.as_str())).collect();
        let here = || fleet.nodes.iter().filter(|node| sites.contains(node.site.as_str()));
        let of_members = || here().filter(|node| names.contains(node.name.as_str()));
        let witnesses = here().flat_map(|node| {
            let about = node.witnessed.iter().filter(|seen| asked_for.contains(seen.address.as_str()));
            about.map(|seen| witnessed(fleet, groups, node, seen))
        });
        let heard = here().flat_map(|node| {
            let concerns = |heard: &&v1::HeardAdvert| {
                vrids.contains(&heard.vrid) && names.contains(node.name.as_str())
                    || heard.addresses.iter().any(|address| own.contains(address.as_str()))
            };
            let heard_by = |heard| HeardBy { node: node.name.clone(), heard: Heard::new(node, heard) };
            node.heard.iter().filter(concerns).map(heard_by)
        });
        let ours = fleet.references.iter().map(|reference| Reference::new(None, reference));
        let theirs = of_members().flat_map(Reference::of);
        Self {
            witnesses: witnesses.collect(),
            heard: heard.collect(),
            references: if groups.is_empty() { Vec::new() } else { ours.chain(theirs).collect() },
            clocks: of_members().map(Clock::of).collect(),
        }
    }
}

impl Witnessed {
    /// All that one node saw.
    pub fn by<'a>(fleet: &'a v1::Fleet, node: &'a v1::Node) -> impl Iterator<Item = Self> + 'a {
        let groups: Vec<&v1::Group> = fleet.groups.iter().filter(|group| group.site == node.site).collect();
        node.witnessed.iter().map(move |seen| witnessed(fleet, &groups, node, seen))
    }
}

impl Reference {
    /// What a node reaches.
    pub fn of(node: &v1::Node) -> impl Iterator<Item = Self> + '_ {
        node.references.iter().map(move |reference| Self::new(Some(node), reference))
    }

    fn new(node: Option<&v1::Node>, reference: &v1::Reference) -> Self {
        Self {
            node: node.map(|node| node.name.clone()),
            address: reference.address.clone(),
            interface: present(&reference.interface),
            reachable: reference.reachable,
            age_ms: node.is_none_or(|node| node.ever_heard).then_some(reference.age_us / 1000),
        }
    }
}

impl Clock {
    /// A node's.
    pub fn of(node: &v1::Node) -> Self {
        let known = node.ever_heard && node.clock_uncertainty_us != u64::MAX;
        Self {
            node: node.name.clone(),
            offset_us: known.then_some(node.clock_offset_us),
            uncertainty_us: known.then_some(node.clock_uncertainty_us),
            age_ms: known.then_some(node.clock_age_us / 1000),
        }
    }
}

fn witnessed(fleet: &v1::Fleet, groups: &[&v1::Group], node: &v1::Node, seen: &v1::Witnessed) -> Witnessed {
    let named = |mac: &String| Mac { mac: mac.clone(), node: whose(fleet, groups, &node.site, mac) };
    Witnessed {
        node: node.name.clone(),
        address: seen.address.clone(),
        interface: seen.interface.clone(),
        macs: seen.macs.iter().map(named).collect(),
        error: present(&seen.error),
        age_ms: seen.age_us / 1000,
    }
}

/// The member for whose own address this MAC answered anybody of the site.
fn whose(fleet: &v1::Fleet, groups: &[&v1::Group], site: &str, mac: &str) -> Option<String> {
    let mut members = groups.iter().filter(|group| group.site == site).flat_map(|group| &group.members);
    let answers_for = |address: &str| {
        let here = fleet.nodes.iter().filter(|node| node.site == site);
        let seen = here.flat_map(|node| &node.witnessed).filter(|seen| seen.address == address);
        seen.flat_map(|seen| &seen.macs).any(|known| known == mac)
    };
    let member =
        members.find(|member| !member.source_address.is_empty() && answers_for(&member.source_address));
    member.map(|member| member.node.clone())
}

/// A group's addresses without their prefix lengths.
fn addresses(group: &v1::Group) -> impl Iterator<Item = &str> {
    let bare = |address: &'_ String| -> usize { address.find('/').unwrap_or(address.len()) };
    let all = group.addresses.iter().filter_map(move |address| address.get(..bare(address)));
    all.chain([group.address.as_str()])
}
