//! The one door by which a configuration reaches a running agent, whoever brings it.
//!
//! A configuration with an error changes nothing. One without is held against what runs: the engine applies the difference, and
//! what did not change does not notice. What became of it is in the log, in `ha-agent status` and in the journal.

use std::time::Duration;

use tokio::sync::watch;

use super::{EngineClient, firewall::Firewall};
use crate::{
    clock,
    config::{AgentConfig, Inputs, LoadError, Loaded, load},
    driver::Plan,
    journal::{Happening, Journal},
    track::Tracker,
};

/// How long the engine may take for a whole plan.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// What became of the configurations that came by this door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationStatus {
    /// When the one that runs was taken, wall clock.
    pub taken_at_us: i64,
    /// How many were taken since the start, the first not counted.
    pub taken: u64,
    /// How many were refused since the start.
    pub refused: u64,
    /// Why the last one was refused, line by line; `None` when it was taken.
    pub error: Option<String>,
    /// When it was refused, wall clock.
    pub error_at_us: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    inputs: Inputs,
    running: AgentConfig,
    engine: EngineClient,
    journal: Journal,
    tracker: Tracker,
    firewall: Firewall,
    status: watch::Sender<ConfigurationStatus>,
}

impl Door {
    /// The door of an agent that was started with `running`, read from `inputs`. `tracker` runs its checks.
    pub(super) fn new(
        inputs: Inputs,
        running: AgentConfig,
        engine: EngineClient,
        journal: Journal,
        tracker: Tracker,
        firewall: Firewall,
    ) -> Self {
        let status = ConfigurationStatus { taken_at_us: clock::wall_us(), ..ConfigurationStatus::default() };
        Self { inputs, running, engine, journal, tracker, firewall, status: watch::Sender::new(status) }
    }

    /// What became of them.
    pub fn status(&self) -> watch::Receiver<ConfigurationStatus> {
        self.status.subscribe()
    }

    /// SIGHUP: the files are read again, on a thread that may wait for the disk.
    pub async fn reload(&mut self) {
        let inputs = self.inputs.clone();
        match tokio::task::spawn_blocking(move || load(&inputs)).await {
            Ok(Ok(loaded)) => self.take(loaded).await,
            Ok(Err(error)) => self.refuse(&error),
            Err(error) => self.refused(format!("reading the configuration failed: {error}")),
        }
    }

    /// Applies a configuration without errors.
    pub async fn take(&mut self, loaded: Loaded) {
        for finding in &loaded.findings {
            tracing::warn!("{finding}");
        }
        if loaded.config.instances.is_empty() && !self.running.instances.is_empty() {
            // A file that is just being written is empty for a moment.
            return self.refused(
                "it has no instance at all, which would give up every address of this host; stop the agent if that is meant"
                    .to_owned(),
            );
        }
        for key in self.running.needs_restart(&loaded.config) {
            tracing::warn!(
                "`{key}` is different in the configuration; it takes effect with a restart of the agent"
            );
        }
        if let Err(error) = self.firewall.apply(&loaded.config).await {
            return self.refused(crate::log::chain(&error));
        }
        let changes = match self.engine.reconfigure(Plan::of(&loaded.config), APPLIED_WITHIN).await {
            Ok(changes) => changes,
            Err(error) => return self.refused(format!("the engine did not apply it: {error}")),
        };
        // After the engine: it takes results of checks that somebody tracks.
        self.tracker.replace(loaded.config.checks.clone());
        let summary = changes.to_string();
        tracing::info!("the configuration is applied: {summary}");
        self.running = loaded.config;
        self.journal.append(Happening::configured("applied", summary));
        self.status.send_modify(|status| {
            status.taken_at_us = clock::wall_us();
            status.taken += 1;
            (status.error, status.error_at_us) = (None, None);
        });
    }

    /// Nothing comes by this door any more: running scripts are ended.
    pub async fn close(mut self) {
        self.tracker.stop().await;
        self.firewall.remove().await;
    }

    fn refuse(&self, error: &LoadError) {
        self.refused(error.to_string());
    }

    fn refused(&self, why: String) {
        self.status.send_modify(|status| {
            status.refused += 1;
            (status.error, status.error_at_us) = (Some(why.clone()), Some(clock::wall_us()));
        });
        tracing::error!("the configuration is not applied, and nothing was changed: {why}");
        self.journal.append(Happening::configured("refused", why));
    }
}
