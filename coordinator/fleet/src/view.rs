//! The fleet as people see it.

use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};

use crate::{
    effect::Finding,
    input::{Heard, InstanceReport},
    model::{GroupKey, NodeName, Site},
    time::Instant,
};

/// Everything as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetView {
    /// By name.
    pub nodes: Vec<NodeView>,
    /// By site, then address.
    pub groups: Vec<GroupView>,
    /// Pending and firing, worst first.
    pub findings: Vec<Finding>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub node: NodeName,
    /// Its layer-2 world.
    pub site: Site,
    /// Its stream is up.
    pub connected: bool,
    /// Connected and heard within the freshness window.
    pub fresh: bool,
    /// Since its last snapshot; `None` if never heard in this coordinator's life.
    pub age: Option<Duration>,
    /// What it last reported.
    pub instances: Vec<InstanceReport>,
    /// What it last heard.
    pub heard: Vec<Heard>,
}

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// Its key.
    pub key: GroupKey,
    /// The name people use: the instance name that its members agree on, else the address.
    pub name: String,
    /// Every address that moves together with the key's, the key's own included, with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Exactly one fresh MASTER: its node.
    pub holder: Option<NodeName>,
    /// Since when.
    pub since: Option<Instant>,
    /// In one word.
    pub state: GroupState,
    /// By effective priority, highest first.
    pub members: Vec<MemberView>,
}

/// A group in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// One fresh holder.
    Ok,
    /// No fresh MASTER, all members fresh, for longer than the window.
    NoMaster,
    /// A confirmed split brain.
    SplitBrain,
    /// No fresh MASTER and a member is stale.
    Unknown,
    /// Inside a window: an election or an overlap that may end by itself.
    Changing,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    /// The node.
    pub node: NodeName,
    /// Its instance's last report.
    pub report: InstanceReport,
    /// The report speaks for the present.
    pub fresh: bool,
    /// Age of the report; `None` if never heard in this coordinator's life.
    pub age: Option<Duration>,
    /// When it entered its state, by the coordinator's clock.
    pub since: Instant,
    /// Its kernel has the key's address.
    pub address_present: bool,
}
