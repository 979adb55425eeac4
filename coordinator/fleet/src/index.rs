//! Which instances could hold which address, and which addresses move together.
//!
//! A *unit* is a set of addresses of one site whose members are exactly the same instances: they move together, so they
//! are one group to people, and one split brain of an instance with three addresses is one finding. Its key is its
//! lowest address. When a changed config gives it a lower one, the unit begins anew under that key and the findings of
//! the old key are resolved.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use crate::{
    bounds::{self, Counters},
    model::{GroupKey, NodeName, Site},
    node::Node,
};

/// One instance of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberKey {
    pub(crate) node: NodeName,
    pub(crate) instance: String,
}

/// What a unit is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Sorted.
    pub(crate) members: Vec<MemberKey>,
}

/// Where one instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    site: Site,
    addresses: BTreeSet<IpAddr>,
    source: Option<IpAddr>,
    vrid: u8,
}

type Members = Vec<MemberKey>;

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: BTreeMap<GroupKey, Members>,
    by_members: BTreeMap<(Site, Members), BTreeSet<IpAddr>>,
    /// By source address and VRID: a host with many instances sends for all of them from one address.
    sources: BTreeMap<(GroupKey, u8), BTreeSet<MemberKey>>,
}

impl Index {
    /// Moves one node's instances from where they stood to where they stand, and names the units that this touched:
    /// changed, new and gone ones.
    pub(crate) fn replace(
        &mut self,
        old: &BTreeMap<MemberKey, Place>,
        new: &BTreeMap<MemberKey, Place>,
        counters: &mut Counters,
    ) -> BTreeSet<GroupKey> {
        let mut touched = BTreeSet::new();
        for (member, place) in old {
            let stays = new.get(member);
            if stays == Some(place) {
                continue;
            }
            for key in place.keys() {
                if !stays.is_some_and(|stays| stays.holds(&key)) {
                    self.set(key, member, false, &mut touched, counters);
                }
            }
            if let Some(source) = place.source_key()
                && let Some(members) = self.sources.get_mut(&source)
            {
                members.remove(member);
                if members.is_empty() {
                    self.sources.remove(&source);
                }
            }
        }
        for (member, place) in new {
            let stood = old.get(member);
            if stood == Some(place) {
                continue;
            }
            for key in place.keys() {
                if !stood.is_some_and(|stood| stood.holds(&key)) {
                    self.set(key, member, true, &mut touched, counters);
                }
            }
            if let Some(source) = place.source_key() {
                self.sources.entry(source).or_default().insert(member.clone());
            }
        }
        touched
    }

    /// The unit whose key this is, if it is one's.
    pub(crate) fn shape(&self, key: &GroupKey) -> Option<Shape> {
        let members = self.slots.get(key)?;
        let addresses = self.by_members.get(&(key.site.clone(), members.clone()))?;
        (addresses.first() == Some(&key.address))
            .then(|| Shape { addresses: addresses.clone(), members: members.clone() })
    }

    /// The key of the unit that this address belongs to.
    pub(crate) fn unit_of(&self, key: &GroupKey) -> Option<GroupKey> {
        let members = self.slots.get(key)?;
        let addresses = self.by_members.get(&(key.site.clone(), members.clone()))?;
        Some(GroupKey { site: key.site.clone(), address: *addresses.first()? })
    }

    /// Whose adverts for this VRID come from this address.
    pub(crate) fn sent_by(&self, source: GroupKey, vrid: u8) -> impl Iterator<Item = &MemberKey> {
        self.sources.get(&(source, vrid)).into_iter().flatten()
    }

    /// Whose adverts come from this address, whatever their VRID.
    pub(crate) fn sent_from(&self, source: GroupKey) -> impl Iterator<Item = &MemberKey> {
        self.sources.range((source.clone(), 0)..=(source, u8::MAX)).flat_map(|(_, members)| members)
    }

    fn set(
        &mut self,
        key: GroupKey,
        member: &MemberKey,
        belongs: bool,
        touched: &mut BTreeSet<GroupKey>,
        counters: &mut Counters,
    ) {
        let mut members = self.slots.get(&key).cloned().unwrap_or_default();
        if members.is_empty() && self.slots.len() >= bounds::GROUPS {
            counters.items_cut += 1;
            return;
        }
        self.unlink(&key, &members, touched);
        match (members.binary_search(member), belongs) {
            (Ok(at), false) => drop(members.remove(at)),
            (Err(at), true) => members.insert(at, member.clone()),
            (Ok(_), true) | (Err(_), false) => {}
        }
        if members.is_empty() {
            self.slots.remove(&key);
            return;
        }
        let addresses = self.by_members.entry((key.site.clone(), members.clone())).or_default();
        touched.extend(addresses.first().map(|first| GroupKey { site: key.site.clone(), address: *first }));
        addresses.insert(key.address);
        touched.extend(addresses.first().map(|first| GroupKey { site: key.site.clone(), address: *first }));
        self.slots.insert(key, members);
    }

    fn unlink(&mut self, key: &GroupKey, members: &Members, touched: &mut BTreeSet<GroupKey>) {
        let signature = (key.site.clone(), members.clone());
        let Some(addresses) = self.by_members.get_mut(&signature) else { return };
        touched.extend(addresses.first().map(|first| GroupKey { site: key.site.clone(), address: *first }));
        addresses.remove(&key.address);
        touched.extend(addresses.first().map(|first| GroupKey { site: key.site.clone(), address: *first }));
        if addresses.is_empty() {
            self.by_members.remove(&signature);
        }
    }
}

impl Place {
    fn keys(&self) -> impl Iterator<Item = GroupKey> {
        self.addresses.iter().map(|address| GroupKey { site: self.site.clone(), address: *address })
    }

    fn holds(&self, key: &GroupKey) -> bool {
        self.site == key.site && self.addresses.contains(&key.address)
    }

    fn source_key(&self) -> Option<(GroupKey, u8)> {
        self.source.map(|address| (GroupKey { site: self.site.clone(), address }, self.vrid))
    }
}

/// Where a node's instances stand.
pub(crate) fn places(name: &NodeName, node: &Node) -> BTreeMap<MemberKey, Place> {
    let place = |(instance, known): (&String, &crate::node::Instance)| {
        let addresses = known.report.addresses.iter().map(|(address, _)| *address).collect();
        let key = MemberKey { node: name.clone(), instance: instance.clone() };
        (
            key,
            Place {
                site: node.site.clone(),
                addresses,
                source: known.report.source,
                vrid: known.report.vrid,
            },
        )
    };
    node.instances.iter().map(place).collect()
}
