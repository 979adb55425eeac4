//! The present of the whole agent: what `ha-agent status` and `/metrics` are made of.

use std::sync::Arc;

use hafleet_vrrp::Instant;
use tokio::sync::watch;

use crate::{
    clock,
    driver::EngineSnapshot,
    journal::{self, Journal},
    push::Clocks,
    reference::ReferenceStatus,
    run::{ActStatus, ConfigurationStatus, EngineClient, EngineSilent},
    track::{CheckStatus, Statuses},
    uplink,
};

/// Everything the agent knows of itself, taken at one moment.
#[derive(Clone, Debug)]
pub struct Present {
    /// When it was taken.
    pub now: Instant,
    /// The same on the wall.
    pub wall_us: i64,
    /// The process.
    pub process: Arc<Process>,
    /// What became of configurations.
    pub configuration: ConfigurationStatus,
    /// What a coordinator ordered and pushed.
    pub acting: ActStatus,
    /// How long is left to confirm what was pushed; `None` when it is confirmed.
    pub confirm_left_us: Option<u64>,
    /// The reference addresses.
    pub references: Vec<ReferenceStatus>,
    /// What the engine said.
    pub engine: Result<EngineSnapshot, EngineSilent>,
    /// Every check, in the order of the configuration.
    pub checks: Vec<CheckStatus>,
    /// The uplink.
    pub uplink: uplink::Status,
    /// The journal.
    pub journal: journal::Status,
    /// Log lines that nobody read in time, since the start.
    pub log_lines_dropped: u64,
}

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub struct Process {
    /// The agent's version.
    pub version: &'static str,
    /// Its id.
    pub pid: u32,
    /// When it started.
    pub started: Instant,
    /// The same on the wall.
    pub started_wall_us: i64,
    /// `node` of the configuration.
    pub node: Option<String>,
    /// `site` of the configuration.
    pub site: Option<String>,
    /// The files that configure it.
    pub configuration: Vec<String>,
}

impl Present {
    /// The node's name: as its certificate proves, else as configured.
    pub fn node(&self) -> Option<&str> {
        self.uplink.node.as_deref().or(self.process.node.as_deref())
    }

    /// An instant of the engine's clock on the wall.
    pub fn on_the_wall_us(&self, then: Instant) -> i64 {
        let age_us = i64::try_from(self.now.since(then).as_micros()).unwrap_or(i64::MAX);
        self.wall_us.saturating_sub(age_us)
    }
}

/// Whom to ask for the present. Clones ask the same ones.
#[derive(Clone)]
pub struct Sources {
    /// The process.
    pub process: Arc<Process>,
    /// What became of configurations.
    pub configuration: watch::Receiver<ConfigurationStatus>,
    /// What a coordinator ordered and pushed.
    pub acting: watch::Receiver<ActStatus>,
    /// The reference addresses.
    pub references: watch::Receiver<Vec<ReferenceStatus>>,
    /// The engine.
    pub engine: EngineClient,
    /// The checks.
    pub checks: Statuses,
    /// The uplink.
    pub uplink: watch::Receiver<uplink::Status>,
    /// The journal.
    pub journal: Journal,
    /// The log.
    pub log_lines_dropped: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Sources {
    /// The present; within a second also when the engine is stuck.
    pub async fn present(&self) -> Present {
        let engine = self.engine.snapshot().await;
        let acting = self.acting.borrow().clone();
        let confirm = acting.push.pointer.confirm.as_ref();
        Present {
            confirm_left_us: confirm.map(|confirm| confirm.left_us(&Clocks::now())),
            acting,
            references: self.references.borrow().clone(),
            now: clock::now(),
            wall_us: clock::wall_us(),
            process: Arc::clone(&self.process),
            configuration: self.configuration.borrow().clone(),
            engine,
            checks: self.checks.all(),
            uplink: self.uplink.borrow().clone(),
            journal: self.journal.status().borrow().clone(),
            log_lines_dropped: (self.log_lines_dropped)(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
