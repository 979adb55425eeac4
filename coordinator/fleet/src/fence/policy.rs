//! What may be fenced, by what, and how carefully. The defaults are the design's.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};
use core::{fmt, time::Duration};

use crate::model::{GroupKey, NodeName};

/// How far fencing goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Nothing is fenced, by nobody.
    Disabled,
    /// What would be done is written down as a denied operation. People may still act.
    #[default]
    DryRun,
    /// A person approves each operation.
    Approve,
    /// The explained victim is fenced without asking.
    Auto,
}

/// A step that a fence program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// A switch port or a firewall.
    Network,
    /// The host's power.
    Power,
}

/// How hard a step is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The agent releases the addresses and is held down.
    Demote,
    /// A fence program.
    Device(Rung),
}

/// What a fence program is aimed at: one outlet, one port. What it needs for that, secrets included, only the shell knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device(pub String);

/// Everything that an operator decides about fencing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FencePolicy {
    /// For the whole fleet. `Disabled` disables every group.
    pub mode: Mode,
    /// For groups that differ, by any of their addresses; of several the most careful counts.
    pub group_modes: BTreeMap<GroupKey, Mode>,
    /// Who shall survive when more than one holds the address, by any address of the group.
    pub pins: BTreeMap<GroupKey, NodeName>,
    /// The nodes on which coordinators run. Never fenced.
    pub coordinator_hosts: BTreeSet<NodeName>,
    /// The nodes on which the database runs. Never fenced.
    pub database_hosts: BTreeSet<NodeName>,
    /// Never fenced.
    pub protected_nodes: BTreeSet<NodeName>,
    /// A node with one of these labels is never fenced.
    pub protected_labels: BTreeSet<String>,
    /// The labels of the nodes.
    pub labels: BTreeMap<NodeName, BTreeSet<String>>,
    /// What can fence a node beside its own agent.
    pub devices: BTreeMap<NodeName, BTreeMap<Rung, Device>>,
    /// How many and how much.
    pub limits: FenceLimits,
    /// How long.
    pub windows: FenceWindows,
}

/// Numbers of fencing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceLimits {
    /// Independent observers of the victim's activity.
    pub observers: usize,
    /// With so many per cent of the other nodes unheard nothing is fenced.
    pub unreachable_percent: usize,
    /// So many of `references_of` of the coordinator's own references must answer.
    pub references: usize,
    /// See `references`.
    pub references_of: usize,
    /// Operations that act at once.
    pub active: usize,
    /// Operations on one group within `FenceWindows::rate`; then `approve`.
    pub group_rate: usize,
    /// Operations in the fleet within `FenceWindows::rate`; then `approve`.
    pub fleet_rate: usize,
    /// Steps taken against one node, counted until it has rejoined.
    pub attempts: u32,
    /// Status polls of one step.
    pub polls: u32,
}

/// Times of fencing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceWindows {
    /// How long the overlap lasts before a demote.
    pub demote_confirm: Duration,
    /// How long the witnesses' evidence lasts before a fence program runs.
    pub confirm: Duration,
    /// What was asked right before acting is no older than this.
    pub reprobe: Duration,
    /// An observation is no older than three adverts, or this if that is longer.
    pub observed: Duration,
    /// After a start or a change of leader nothing is fenced by detection.
    pub grace: Duration,
    /// Detection leaves a node alone for so long after an operation against it.
    pub cool_down: Duration,
    /// A success is not repeated for so long.
    pub recent: Duration,
    /// The time that rates are counted in.
    pub rate: Duration,
    /// A demote must be seen to have worked within this.
    pub demote: Duration,
    /// A fence program that has not ended by then is taken for timed out.
    pub step: Duration,
    /// Between two status polls; one unanswered for so long says nothing. Paths are verified within the same time.
    pub poll: Duration,
    /// An approved operation whose gates stay shut for so long is given up.
    pub act: Duration,
    /// The next level must become allowed within this.
    pub escalate: Duration,
    /// How often fence paths are verified; see [`FenceWindows::verified_lately`].
    pub path: Duration,
    /// Within this one holder must serve, announced again.
    pub aftercare: Duration,
    /// The age at which the coordinator's or a node's references say nothing any more.
    pub references: Duration,
}

impl Default for FenceLimits {
    fn default() -> Self {
        Self {
            observers: 2,
            unreachable_percent: 30,
            references: 2,
            references_of: 3,
            active: 2,
            group_rate: 2,
            fleet_rate: 5,
            attempts: 3,
            polls: 18,
        }
    }
}

impl Default for FenceWindows {
    fn default() -> Self {
        Self {
            demote_confirm: Duration::from_secs(3),
            confirm: Duration::from_secs(30),
            reprobe: Duration::from_secs(5),
            observed: Duration::from_secs(5),
            grace: Duration::from_secs(300),
            cool_down: Duration::from_secs(15 * 60),
            recent: Duration::from_secs(10 * 60),
            rate: Duration::from_secs(3600),
            demote: Duration::from_secs(10),
            step: Duration::from_secs(120),
            poll: Duration::from_secs(10),
            act: Duration::from_secs(30),
            escalate: Duration::from_secs(120),
            path: Duration::from_secs(600),
            aftercare: Duration::from_secs(60),
            references: Duration::from_secs(60),
        }
    }
}

impl FenceWindows {
    /// A fence goes by a path that was verified within this (rule 18).
    pub fn verified_lately(&self) -> Duration {
        self.path * 2
    }
}

impl FencePolicy {
    pub(crate) fn device(&self, node: &NodeName, rung: Rung) -> Option<&Device> {
        self.devices.get(node)?.get(&rung)
    }

    /// What may not be fenced whatever happens, and why.
    pub(crate) fn protection(&self, node: &NodeName) -> Option<String> {
        let label = || {
            let labels = self.labels.get(node)?;
            labels.iter().find(|label| self.protected_labels.contains(*label))
        };
        if self.coordinator_hosts.contains(node) {
            Some(alloc::format!("a coordinator runs on {node}"))
        } else if self.database_hosts.contains(node) {
            Some(alloc::format!("the coordinator's database runs on {node}"))
        } else if self.protected_nodes.contains(node) {
            Some(alloc::format!("{node} is protected"))
        } else {
            label().map(|label| alloc::format!("{node} has the protected label `{label}`"))
        }
    }

    /// The mode of a group with these keys.
    pub(crate) fn mode_of(&self, keys: impl Iterator<Item = GroupKey>) -> Mode {
        if self.mode == Mode::Disabled {
            return Mode::Disabled;
        }
        keys.filter_map(|key| self.group_modes.get(&key).copied()).min().unwrap_or(self.mode)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Network => "network",
            Self::Power => "power",
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demote => f.pad("demote"),
            Self::Device(rung) => rung.fmt(f),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Disabled => "disabled",
            Self::DryRun => "dry_run",
            Self::Approve => "approve",
            Self::Auto => "auto",
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
