//! What `ha-agent status` shows. Field names are part of the contract with scripts.

use hafleet_vrrp::{Authentication, Instant, Version};
use serde::{Deserialize, Serialize};

use crate::{
    config::VipConfig,
    driver::{EngineSnapshot, InstanceSnapshot, PathSnapshot},
    journal,
    present::Present,
    run::ConfigurationStatus,
    uplink,
};

/// Everything the agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The process.
    pub agent: AgentPart,
    /// What became of configurations that came while it runs.
    #[serde(default)]
    pub configuration: ConfigurationPart,
    /// The engine.
    pub engine: EnginePart,
    /// Every virtual router, in the order of the configuration.
    pub instances: Vec<InstancePart>,
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
    /// Gratuitous ARP packets that found no room in their queue.
    pub announcements_dropped: u64,
    /// Sources heard that were forgotten to make room for new ones.
    pub sources_evicted: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePart {
    /// Its name.
    pub name: String,
    /// Its service interface.
    pub interface: String,
    /// Its VRID.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: String,
    /// When it entered the state, RFC 3339.
    pub since: String,
    /// How long ago.
    pub in_state_ms: u64,
    /// Why, as a stable code.
    pub reason: String,
    /// Why, in words.
    pub reason_detail: String,
    /// Configured priority.
    pub priority: u8,
    /// After tracking.
    pub effective_priority: u8,
    /// Advertisement interval.
    pub advert_interval_ms: u64,
    /// Without an advert for so long it takes over.
    pub master_down_ms: u64,
    /// False for `nopreempt`.
    pub preempt: bool,
    /// `none` or `pass`.
    pub auth: String,
    /// `3s`, or `off`.
    pub lease: String,
    /// The interface has carrier.
    pub carrier: bool,
    /// The source of its adverts.
    pub source: Option<String>,
    /// The master it follows.
    pub master_source: Option<String>,
    /// Every heartbeat line, the service interface first.
    pub paths: Vec<PathPart>,
    /// Adverts sent since the start.
    pub adverts_sent: u64,
    /// Adverts accepted since the start.
    pub adverts_accepted: u64,
    /// Packets for it that were rejected since the start.
    pub packets_rejected: u64,
    /// Adverts with its own priority and source address heard while MASTER: another host has its address.
    pub duplicates: u64,
    /// Times the kernel refused an address.
    pub refusals: u64,
    /// Addresses put back after somebody removed them.
    pub repairs: u64,
    /// Addresses taken off because they were here while it was not MASTER.
    pub foreign_released: u64,
    /// Its addresses.
    pub vips: Vec<VipPart>,
    /// File and line.
    pub defined_at: String,
}

/// One heartbeat line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPart {
    /// Its interface.
    pub interface: String,
    /// The address adverts are sent from; absent while none can be sent.
    pub source: Option<String>,
    /// Why none can be sent, as a stable code.
    pub fault: Option<String>,
    /// How long ago an advert was last accepted on it.
    pub last_accepted_age_ms: Option<u64>,
    /// The last advert could not be sent.
    pub failing: bool,
    /// Adverts that could not be sent since the start.
    pub send_failures: u64,
    /// The kernel's words for the last of them.
    pub last_send_error: Option<String>,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipPart {
    /// With prefix length.
    pub address: String,
    /// The interface it goes to.
    pub dev: String,
    /// Its label.
    pub label: Option<String>,
    /// The kernel has it now.
    pub present: bool,
}

/// One source heard for one VRID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardPart {
    /// Where.
    pub interface: String,
    /// VRID.
    pub vrid: u8,
    /// Who.
    pub source: String,
    /// Version of its last packet.
    pub version: u8,
    /// Priority of its last packet.
    pub priority: u8,
    /// How long ago its last packet came.
    pub age_ms: u64,
    /// Packets accepted.
    pub accepted: u64,
    /// Packets rejected, by reason.
    pub rejected: Vec<RejectedPart>,
    /// Packets accepted although something about them is odd, by remark.
    pub remarked: Vec<RejectedPart>,
    /// An instance here has this VRID.
    pub vrid_configured: bool,
}

/// Packets rejected for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPart {
    /// Stable code.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// How long ago the last came.
    pub age_ms: u64,
    /// Both values of the last.
    pub detail: String,
}

/// The connection to a coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkPart {
    /// `off`, `connecting`, `connected` or `waiting`.
    pub state: String,
    /// In words.
    pub summary: String,
    /// The coordinator, while connecting or connected.
    pub coordinator: Option<String>,
    /// Connected since, RFC 3339.
    pub since: Option<String>,
    /// Why the last attempt or session failed.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<String>,
    /// Failed attempts and sessions.
    pub failures: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// How far the coordinator has the journal.
    pub acked_seq: u64,
    /// Probes refused because too many came at once.
    pub probes_dropped: u64,
    /// Sources heard that the last snapshot left out, because there were too many.
    pub heard_left_out: u64,
    /// The certificate's end.
    pub certificate_not_after: Option<String>,
    /// Why it could not be renewed.
    pub renewal_error: Option<String>,
}

/// The journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPart {
    /// Which life of it; absent while it cannot be opened.
    pub id: Option<String>,
    /// The oldest event it has.
    pub first_seq: u64,
    /// The newest.
    pub last_seq: u64,
    /// How far a coordinator has it.
    pub acked_seq: u64,
    /// On disk, but with no coordinator.
    pub pending: u64,
    /// In memory, because the disk refuses.
    pub waiting: u64,
    /// Found no room in memory.
    pub overflowed: u64,
    /// Dropped at its bound or lost to damage.
    pub dropped: u64,
    /// Damaged places found.
    pub damaged: u64,
    /// Bytes of unfinished records cut off.
    pub torn_bytes: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// What the disk says; absent when it works.
    pub error: Option<String>,
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
        let (now, engine) = (present.now, present.engine.as_ref());
        let instance = |one: &InstanceSnapshot| InstancePart::new(one, now, present.wall_us);
        Self {
            agent: AgentPart::new(present),
            configuration: present.configuration.clone().into(),
            engine: EnginePart::new(&present.engine),
            instances: engine
                .map(|engine| engine.instances.iter().map(instance).collect())
                .unwrap_or_default(),
            heard: engine.map(|engine| HeardPart::all(engine, now)).unwrap_or_default(),
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
            started_at: uplink::rfc3339(process.started_wall_us),
            up_ms: u64::try_from(present.now.since(process.started).as_millis()).unwrap_or(u64::MAX),
            configuration: process.configuration.clone(),
        }
    }
}

impl EnginePart {
    /// From what the engine said, or why it said nothing.
    pub fn new<E: ToString>(engine: &Result<EngineSnapshot, E>) -> Self {
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

impl InstancePart {
    /// As it is at `now`, which is `wall_us` on the wall.
    pub fn new(one: &InstanceSnapshot, now: Instant, wall_us: i64) -> Self {
        let config = &one.config;
        let in_state_us = now.as_micros().saturating_sub(one.since_mono_us);
        let since_us = wall_us.saturating_sub(i64::try_from(in_state_us).unwrap_or(i64::MAX));
        let vip = |vip: &VipConfig| VipPart {
            address: format!("{}/{}", vip.vip.address, vip.vip.prefix_len),
            dev: vip.dev.clone().unwrap_or_else(|| config.interface.clone()),
            label: vip.label.clone(),
            present: one.addresses_present.contains(&vip.vip.address),
        };
        Self {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.get(),
            version: match config.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            state: state_word(one.state).to_owned(),
            since: uplink::rfc3339(since_us),
            in_state_ms: in_state_us / 1000,
            reason: one.reason.to_owned(),
            reason_detail: one.reason_detail.clone(),
            priority: config.priority.get(),
            effective_priority: one.effective_priority,
            advert_interval_ms: u64::from(config.interval.as_centiseconds()) * 10,
            master_down_ms: u64::try_from(one.master_down.as_millis()).unwrap_or(u64::MAX),
            preempt: config.preempt,
            auth: match config.authentication {
                Authentication::None => "none",
                Authentication::Pass(_) => "pass",
            }
            .to_owned(),
            lease: config.lease.to_string(),
            carrier: one.carrier,
            source: one.source.map(|source| source.to_string()),
            master_source: one.master_source.map(|source| source.to_string()),
            adverts_sent: one.adverts_sent,
            adverts_accepted: one.adverts_accepted,
            packets_rejected: one.packets_rejected,
            duplicates: one.duplicates,
            refusals: one.refusals,
            repairs: one.repairs,
            foreign_released: one.foreign_released,
            paths: one.paths.iter().map(|path| PathPart::new(path, now)).collect(),
            vips: config.vips.iter().map(vip).collect(),
            defined_at: config.defined_at.to_string(),
        }
    }
}

impl PathPart {
    fn new(path: &PathSnapshot, now: Instant) -> Self {
        let age_ms = |then: Instant| u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX);
        Self {
            interface: path.interface.clone(),
            source: path.link.ok().map(|source| source.to_string()),
            fault: path.link.err().map(|fault| fault.code().to_owned()),
            last_accepted_age_ms: path.last_accepted.map(age_ms),
            failing: path.is_failing,
            send_failures: path.send_failures,
            last_send_error: Some(path.last_send_error.clone()).filter(|error| !error.is_empty()),
        }
    }
}

impl HeardPart {
    /// Everything heard, as it is at `now`.
    pub fn all(engine: &EngineSnapshot, now: Instant) -> Vec<Self> {
        let age_ms = |then: Instant| u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX);
        let counted = |rejected: &hafleet_vrrp::heard::Rejected| RejectedPart {
            reason: rejected.reason.to_owned(),
            count: rejected.count,
            age_ms: age_ms(rejected.last),
            detail: rejected.detail.clone(),
        };
        let part = |(interface, one): &(String, hafleet_vrrp::heard::HeardAdvert)| Self {
            interface: interface.clone(),
            vrid: one.vrid,
            source: one.source.to_string(),
            version: one.version,
            priority: one.priority,
            age_ms: age_ms(one.last_heard),
            accepted: one.accepted,
            rejected: one.rejected.iter().map(counted).collect(),
            remarked: one.remarked.iter().map(counted).collect(),
            vrid_configured: one.vrid_configured,
        };
        engine.heard.iter().map(part).collect()
    }
}

impl From<uplink::Status> for UplinkPart {
    fn from(status: uplink::Status) -> Self {
        let summary = status.phase.to_string();
        let (state, coordinator, since) = match status.phase {
            uplink::Phase::Off { .. } => ("off", None, None),
            uplink::Phase::Connecting { to } => ("connecting", Some(to), None),
            uplink::Phase::Connected { to, since_us } => {
                ("connected", Some(to), Some(uplink::rfc3339(since_us)))
            }
            uplink::Phase::Waiting { .. } => ("waiting", None, None),
        };
        Self {
            state: state.to_owned(),
            summary,
            coordinator,
            since,
            last_error: status.last_error,
            last_error_at: status.last_error_at_us.map(uplink::rfc3339),
            failures: status.failures,
            sessions: status.sessions,
            acked_seq: status.acked_seq,
            probes_dropped: status.probes_dropped,
            heard_left_out: status.heard_left_out,
            certificate_not_after: status.certificate_not_after_us.map(uplink::rfc3339),
            renewal_error: status.renewal_error,
        }
    }
}

impl From<ConfigurationStatus> for ConfigurationPart {
    fn from(status: ConfigurationStatus) -> Self {
        Self {
            taken_at: uplink::rfc3339(status.taken_at_us),
            taken: status.taken,
            refused: status.refused,
            error: status.error,
            error_at: status.error_at_us.map(uplink::rfc3339),
        }
    }
}

impl From<journal::Status> for JournalPart {
    fn from(status: journal::Status) -> Self {
        Self {
            id: status.journal_id.map(|id| id.to_string()),
            first_seq: status.first_seq,
            last_seq: status.last_seq,
            acked_seq: status.acked_seq,
            pending: status.pending(),
            waiting: status.waiting as u64,
            overflowed: status.overflowed,
            dropped: status.dropped,
            damaged: status.damaged,
            torn_bytes: status.torn_bytes,
            bytes: status.bytes,
            segments: status.segments as u64,
            error: status.failure,
        }
    }
}

/// The state as keepalived's users write it.
fn state_word(state: hafleet_vrrp::State) -> &'static str {
    match state {
        hafleet_vrrp::State::Init => "INIT",
        hafleet_vrrp::State::Backup => "BACKUP",
        hafleet_vrrp::State::Master => "MASTER",
        hafleet_vrrp::State::Fault => "FAULT",
    }
}
