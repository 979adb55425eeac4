//! What the fleet wants done.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::net::IpAddr;

use crate::{
    fence::FenceEffect,
    model::{NodeName, Site},
    time::Instant,
};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this finding down as it now is (by id), and tell the receivers when `notify` says so.
    Finding {
        /// The finding, whole.
        finding: Finding,
        /// True when people must hear of this change.
        notify: bool,
    },
    /// Ask nodes to look again. Each answers by `Input::Probed`; silence is noticed by a deadline.
    Probe(Probe),
    /// Something about fencing. There is none until a policy was given.
    Fence(FenceEffect),
}

/// Names one finding for good: `<kind>@<subject>#<n>`, n counting from 1 for that kind and subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingId(pub String);

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its name.
    pub id: FindingId,
    /// What kind.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// `dc1/192.168.178.3` for a group, `node/lb01` for a node.
    pub subject: String,
    /// The layer-2 world.
    pub site: Site,
    /// Where it is in its life.
    pub status: FindingStatus,
    /// When the condition began.
    pub since: Instant,
    /// When it ended.
    pub resolved_at: Option<Instant>,
    /// One sentence for people.
    pub summary: String,
    /// The probable cause as a code.
    pub cause_code: CauseCode,
    /// The probable cause in words with its reasoning; empty when unknown.
    pub cause: String,
    /// The command that acts; empty when there is none.
    pub action: String,
    /// The facts behind it.
    pub evidence: Vec<Evidence>,
}

/// The kinds of docs/operations.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Two or more hosts hold one address, proven.
    SplitBrainConfirmed,
    /// Two hosts may hold one address.
    SplitBrainSuspected,
    /// Two hosts held one address and it ended by itself.
    SplitBrainTransient,
    /// Nobody holds an address.
    NoMaster,
    /// Members of a group are configured differently, or reject each other's adverts.
    ConfigMismatch,
    /// A router that is in no inventory uses the VRID of a group.
    VridConflict,
    /// A kernel has an address whose instance is not MASTER.
    OrphanVip,
    /// A node has not been heard from.
    AgentLost,
    /// A running agent did not take its last configuration.
    ConfigRefused,
    /// A node cannot read its standing orders, and holds everything back.
    OrdersUnreadable,
    /// A node is being fenced, is fenced, or a person has to decide about it.
    Fence,
    /// A confirmed split brain that is not ended by fencing, though the mode allows it.
    FenceRefused,
    /// What would fence a node does not answer.
    FencePathBroken,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

/// Where a finding is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingStatus {
    /// Seen, not yet for long enough.
    Pending,
    /// True.
    Firing,
    /// Over.
    Resolved,
}

/// The cause hints of the design, decided from evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseCode {
    /// Not known.
    Unknown,
    /// Something filters VRRP.
    VrrpFiltered,
    /// The line between the members is cut.
    LinkCut,
    /// NIC, driver or cable of one member.
    Carrier,
    /// One hears the other, not the other way.
    OneWay,
    /// Heard but rejected.
    Rejected,
    /// One address under two VRIDs.
    VridMismatch,
    /// Authentication type or password differ.
    AuthMismatch,
    /// One speaks VRRP 2, the other 3.
    VersionMismatch,
    /// The advertisement intervals differ (version 2).
    IntervalMismatch,
    /// A checksum that is right in no known form.
    ChecksumMismatch,
    /// A TTL or hop limit that is not allowed.
    TtlMismatch,
    /// One is multicast and the other unicast, or one is no peer of the other.
    UnicastMismatch,
    /// The address lists differ.
    AddressMismatch,
    /// Packets that are no adverts.
    Malformed,
    /// A foreign host answers for the address.
    ForeignHost,
    /// An agent is dead or frozen and its kernel keeps the address.
    AgentStalled,
    /// A setting differs between the members.
    ConfigDiffers,
    /// A configuration has errors.
    ConfigInvalid,
    /// A file of the agent's own cannot be read.
    FileDamaged,
    /// The node or its management line is down.
    NodeUnreachable,
    /// The agent said that it was being stopped before it fell silent.
    StoppedOnPurpose,
}

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// A stable code: `asserts_master`, `hears_nobody`, `arp_answered`, ….
    pub kind: &'static str,
    /// Who reported it; `None` for the coordinator itself.
    pub node: Option<NodeName>,
    /// When it was observed, by the coordinator's clock.
    pub at: Instant,
    /// In words.
    pub summary: String,
    /// The operands by stable keys.
    pub facts: BTreeMap<&'static str, String>,
}

/// Names one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId(pub u64);

/// Ask these nodes to look again. One probe speaks for every group of these nodes that has something to ask: their
/// answers bring the whole of what they run.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Its name.
    pub id: ProbeId,
    /// Whom to ask.
    pub nodes: Vec<NodeName>,
    /// The address in question; the first of them when there are several.
    pub address: IpAddr,
    /// Whom to ask for by ARP: the addresses in question and the members' own addresses.
    pub arp_targets: Vec<IpAddr>,
}
