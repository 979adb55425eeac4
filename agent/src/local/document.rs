//! What `ha-agent status` shows. Field names are part of the contract with scripts.

mod acting;
mod check;
mod heard;
mod instance;
mod uplink;

use hafleet_vrrp::Instant;
use serde::{Deserialize, Serialize};

pub use acting::{OrderPart, OrdersPart, PushedPart, ReferencePart};
pub use check::CheckPart;
pub use heard::{HeardPart, RejectedPart};
pub use instance::{InstancePart, PathPart, PeerPart, TrackPart, VipPart};
pub use uplink::{JournalPart, UplinkPart};

use crate::{
    driver::EngineSnapshot, present::Present, run::ConfigurationStatus, run::EngineSilent, uplink::rfc3339,
};

/// Everything the agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The process.
    pub agent: AgentPart,
    /// What became of configurations that came while it runs.
    #[serde(default)]
    pub configuration: ConfigurationPart,
    /// What stands over it by order of a coordinator.
    #[serde(default)]
    pub orders: OrdersPart,
    /// What a coordinator pushed.
    #[serde(default)]
    pub pushed: PushedPart,
    /// Neighbours outside the group, by which the node knows whether it has a network.
    #[serde(default)]
    pub references: Vec<ReferencePart>,
    /// The engine.
    pub engine: EnginePart,
    /// Every virtual router, in the order of the configuration.
    pub instances: Vec<InstancePart>,
    /// Every check, in the order of the configuration.
    pub checks: Vec<CheckPart>,
    /// Every source heard.
    pub heard: Vec<HeardPart>,
    /// The connection to a coordinator.
    pub uplink: UplinkPart,
    /// The journal.
    pub journal: JournalPart,
    /// The log.
    pub log: LogPart,
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPart {
    /// Its version.
    pub version: String,
    /// The node's name, as joined or configured.
    pub node: Option<String>,
    /// Its site.
    pub site: Option<String>,
    /// Process id.
    pub pid: u32,
    /// Start, RFC 3339.
    pub started_at: String,
    /// How long ago.
    pub up_ms: u64,
    /// The files that configure it.
    pub configuration: Vec<String>,
}

/// What became of configurations that came while the agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationPart {
    /// When the one that runs was taken, RFC 3339.
    pub taken_at: String,
    /// How many were taken since the start, the first not counted.
    pub taken: u64,
    /// How many were refused.
    pub refused: u64,
    /// Why the last one was refused; absent when it was taken.
    pub error: Option<String>,
    /// When it was refused, RFC 3339.
    pub error_at: Option<String>,
}

/// The engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnginePart {
    /// Why it does not answer; absent when it does.
    pub error: Option<String>,
    /// Packets rejected since the start.
    pub packets_rejected: u64,
    /// Reports that nobody took in time.
    pub reports_dropped: u64,
    /// Announcements (gratuitous ARP, neighbour advertisements) that found no room in their queue.
    pub announcements_dropped: u64,
    /// Sources heard that were forgotten to make room for new ones.
    pub sources_evicted: u64,
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// Lines that nobody read in time.
    pub lines_dropped: u64,
}

impl Document {
    /// The present, written down.
    pub fn new(present: &Present) -> Self {
        Self {
            agent: AgentPart::new(present),
            configuration: present.configuration.clone().into(),
            orders: OrdersPart::new(present),
            pushed: PushedPart::new(present),
            references: present.references.iter().map(|one| ReferencePart::new(one, present.now)).collect(),
            engine: EnginePart::new(&present.engine),
            instances: present
                .engine
                .iter()
                .flat_map(|engine| &engine.instances)
                .map(|one| InstancePart::new(one, present))
                .collect(),
            checks: present.checks.iter().map(|check| CheckPart::new(check, present.now)).collect(),
            heard: present
                .engine
                .iter()
                .flat_map(|engine| &engine.heard)
                .map(|(interface, one)| HeardPart::new(interface, one, present.now))
                .collect(),
            uplink: present.uplink.clone().into(),
            journal: present.journal.clone().into(),
            log: LogPart { lines_dropped: present.log_lines_dropped },
        }
    }
}

impl AgentPart {
    fn new(present: &Present) -> Self {
        let process = &present.process;
        Self {
            version: process.version.to_owned(),
            node: present.node().map(ToOwned::to_owned),
            site: process.site.clone(),
            pid: process.pid,
            started_at: rfc3339(process.started_wall_us),
            up_ms: u64::try_from(present.now.since(process.started).as_millis()).unwrap_or(u64::MAX),
            configuration: process.configuration.clone(),
        }
    }
}

impl EnginePart {
    fn new(engine: &Result<EngineSnapshot, EngineSilent>) -> Self {
        match engine {
            Ok(engine) => Self {
                error: None,
                packets_rejected: engine.packets_rejected,
                reports_dropped: engine.reports_dropped,
                announcements_dropped: engine.announcements_dropped,
                sources_evicted: engine.sources_evicted,
            },
            Err(error) => Self { error: Some(error.to_string()), ..Self::default() },
        }
    }
}

impl From<ConfigurationStatus> for ConfigurationPart {
    fn from(status: ConfigurationStatus) -> Self {
        Self {
            taken_at: rfc3339(status.taken_at_us),
            taken: status.taken,
            refused: status.refused,
            error: status.error,
            error_at: status.error_at_us.map(rfc3339),
        }
    }
}

fn ms(now: Instant, then: Instant) -> u64 {
    u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX)
}
