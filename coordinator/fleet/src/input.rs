//! What the fleet is told.

use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};

use crate::{
    effect::{Finding, FindingKind, ProbeId},
    fence::FenceInput,
    model::{GroupKey, NodeName, Site, VrrpState},
    time::Instant,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The coordinator has started (or become leader); its grace begins.
    Started,
    /// A node of the inventory, from the store: known, not heard yet.
    NodeKnown {
        /// The node.
        node: NodeName,
        /// Its layer-2 world.
        site: Site,
        /// Its last snapshot, if one was ever stored: history until it connects.
        last: Option<Snapshot>,
    },
    /// A finding that was open when the coordinator stopped, from the store.
    FindingRestored(RestoredFinding),
    /// The highest number that the store has for this kind and subject, resolved findings included, so that no number
    /// is given twice. Without it numbers begin after those of the restored findings.
    FindingNumbered {
        /// What kind.
        kind: FindingKind,
        /// `dc1/192.168.178.3` or `node/lb01`.
        subject: String,
        /// The highest `n` used so far.
        last: u64,
    },
    /// A node's stream began.
    NodeConnected {
        /// The node.
        node: NodeName,
        /// Its layer-2 world.
        site: Site,
    },
    /// A node's stream ended.
    NodeDisconnected {
        /// The node.
        node: NodeName,
    },
    /// A node was taken out of the inventory.
    NodeRemoved {
        /// The node.
        node: NodeName,
    },
    /// The present of a node, whole: on connect, with every heartbeat, after every change.
    Snapshot {
        /// The node.
        node: NodeName,
        /// What it runs, holds and hears.
        snapshot: Snapshot,
    },
    /// A journalled change of state. History: the present comes by snapshot.
    Transition {
        /// The node.
        node: NodeName,
        /// What changed.
        change: StateChange,
    },
    /// A node answered a probe.
    Probed {
        /// Which probe.
        probe: ProbeId,
        /// The node.
        node: NodeName,
        /// Its present, taken after the probe reached it.
        snapshot: Snapshot,
        /// Who answered ARP.
        arp: Vec<ArpAnswer>,
    },
    /// A probe could not be sent to a node: its stream is full or has just ended. The node is asked again soon, and is not
    /// taken for silent meanwhile.
    ProbeNotSent {
        /// Which probe.
        probe: ProbeId,
        /// The node.
        node: NodeName,
    },
    /// A node is in maintenance from now on, or not any more: what is expected of it then is no finding. Told of unknown nodes
    /// too; a node that joins later is in maintenance when it comes.
    Maintenance {
        /// The node.
        node: NodeName,
        /// It is.
        on: bool,
    },
    /// People hand a group over until then at the latest; again with the present when it is over. It is the coordinator's own
    /// doing if two hold the address for a moment, or nobody does.
    Handover {
        /// The group, by any of its addresses.
        group: GroupKey,
        /// When it is over.
        until: Instant,
    },
    /// Something about fencing.
    Fence(FenceInput),
    /// The instant that `deadline()` named has come. Early and late calls are harmless.
    Deadline,
}

/// The present of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Its journal's position: a snapshot with a lower one than the last is old and ignored.
    pub seq: u64,
    /// Which journal `seq` counts in.
    pub journal_id: String,
    /// Every instance it runs.
    pub instances: Vec<InstanceReport>,
    /// Its heard-adverts table.
    pub heard: Vec<Heard>,
    /// The last configuration that came to the running agent, while it is refused.
    pub refused: Option<Refused>,
    /// The addresses outside its groups by which it knows whether it has a network; empty when it watches none.
    pub references: Vec<Reference>,
    /// Why it cannot read its standing orders, and holds every instance back therefore.
    pub orders_unreadable: Option<String>,
}

/// An address outside the groups that tells whether a node has a network: its gateway by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whom it asks.
    pub address: IpAddr,
    /// On which interface.
    pub interface: String,
    /// It answered.
    pub reachable: bool,
    /// Since it was last asked.
    pub age: Duration,
}

/// A configuration that a running agent did not take: the one before it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What is wrong with it and where.
    pub why: String,
    /// Since it came.
    pub age: Duration,
}

/// One instance as its agent reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceReport {
    /// Its name.
    pub instance: String,
    /// Its service interface.
    pub interface: String,
    /// Its VRID.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// Its state.
    pub state: VrrpState,
    /// How long it has been in it.
    pub in_state: Duration,
    /// Reason code of its last transition.
    pub reason: String,
    /// The operands of the reason, in words.
    pub reason_detail: String,
    /// Configured priority.
    pub priority: u8,
    /// After tracking.
    pub effective_priority: u8,
    /// Advertisement interval.
    pub interval: Duration,
    /// Master_Down as now in force.
    pub master_down: Duration,
    /// `none` or `pass`.
    pub auth: String,
    /// False for `nopreempt`.
    pub preempt: bool,
    /// Addresses with prefix length it is configured to hold.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The subset that its kernel has.
    pub addresses_present: Vec<IpAddr>,
    /// The source of its adverts.
    pub source: Option<IpAddr>,
    /// Carrier of its service interface.
    pub carrier: bool,
    /// Packet errors of its service interface since the agent started.
    pub interface_errors: u64,
    /// Where it is defined: file and line.
    pub defined_at: String,
}

/// A source that a node heard for one VRID.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// On which interface.
    pub interface: String,
    /// The VRID.
    pub vrid: u8,
    /// Who sent.
    pub source: IpAddr,
    /// 2 or 3.
    pub version: u8,
    /// The last priority.
    pub priority: u8,
    /// The last interval.
    pub interval: Duration,
    /// The last address list.
    pub addresses: Vec<IpAddr>,
    /// `none`, `pass`, `ah` or a number.
    pub auth: String,
    /// Since the last packet, accepted or not.
    pub age: Duration,
    /// Accepted since the agent started.
    pub accepted: u64,
    /// Rejected since the agent started, by reason.
    pub rejected: Vec<Rejected>,
    /// False when the node runs no such VRID on that interface.
    pub vrid_configured: bool,
}

/// Packets of one source rejected for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Stable code: `auth_mismatch`, `interval_mismatch`, ….
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Since the last.
    pub age: Duration,
    /// Both values.
    pub detail: String,
}

/// A journalled change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// Its journal's position.
    pub seq: u64,
    /// Which journal.
    pub journal_id: String,
    /// The instance.
    pub instance: String,
    /// Its VRID.
    pub vrid: u8,
    /// The state left.
    pub from: VrrpState,
    /// The state entered.
    pub to: VrrpState,
    /// Reason code.
    pub reason: String,
}

/// Who answered an ARP request for one address.
#[derive(Clone, Debug, PartialEq)]
pub struct ArpAnswer {
    /// The address asked for.
    pub target: IpAddr,
    /// The interface asked on.
    pub interface: String,
    /// Every MAC that answered, except the asker's own.
    pub macs: Vec<String>,
    /// Why nothing could be asked; empty when it was.
    pub error: String,
}

/// An open finding as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredFinding {
    /// The finding.
    pub finding: Finding,
}
