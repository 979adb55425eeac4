//! The one door by which a configuration reaches a running agent, whoever brings it.
//!
//! A configuration with an error changes nothing. One without is held against what runs: the engine applies the difference, and
//! what did not change does not notice. What became of it is in the log, in `ha-agent status` and in the journal.
//! It is always made of everything there is: the local files as they are on the disk, and what was pushed.

use std::time::Duration;

use tokio::sync::watch;

use super::{EngineClient, EngineSilent, firewall::Firewall};
use crate::{
    clock,
    config::{AgentConfig, Inputs, Instance, LoadError, Loaded, PushedText, load_with},
    driver::Plan,
    journal::{Happening, Journal},
    orders::Order,
    reference::Watched,
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

/// Why a configuration is not applied. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotApplied {
    /// It has errors.
    #[error("{0}")]
    Load(LoadError),
    /// It cannot be read at all.
    #[error("reading the configuration failed: {0}")]
    Read(String),
    /// The local files have no instance any more.
    #[error(
        "it has no instance at all, which would give up every address of this host; stop the agent if that is meant"
    )]
    Empty,
    /// The rules of `no_accept` cannot be had.
    #[error("{0}")]
    Firewall(String),
    /// The engine is silent.
    #[error("the engine did not apply it: {0}")]
    Engine(EngineSilent),
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    inputs: Inputs,
    running: AgentConfig,
    /// What was pushed and is part of what runs.
    pushed: Option<PushedText>,
    engine: EngineClient,
    journal: Journal,
    tracker: Tracker,
    firewall: Firewall,
    status: watch::Sender<ConfigurationStatus>,
    watched: watch::Sender<Watched>,
}

impl Door {
    /// The door of an agent that was started with `running`, read from `inputs` and `pushed`. `tracker` runs its checks.
    pub(super) fn new(
        inputs: Inputs,
        running: AgentConfig,
        pushed: Option<PushedText>,
        engine: EngineClient,
        journal: Journal,
        tracker: Tracker,
        firewall: Firewall,
    ) -> Self {
        let status = ConfigurationStatus { taken_at_us: clock::wall_us(), ..ConfigurationStatus::default() };
        let status = watch::Sender::new(status);
        let watched = watch::Sender::new(Watched::of(&running));
        Self { inputs, running, pushed, engine, journal, tracker, firewall, status, watched }
    }

    /// What became of them.
    pub fn status(&self) -> watch::Receiver<ConfigurationStatus> {
        self.status.subscribe()
    }

    /// What of the running configuration concerns reference addresses.
    pub fn watched(&self) -> watch::Receiver<Watched> {
        self.watched.subscribe()
    }

    /// The files that are read.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Every instance that runs.
    pub fn instances(&self) -> &[Instance] {
        &self.running.instances
    }

    /// SIGHUP: the files are read again, with what was pushed.
    pub async fn reload(&mut self) {
        // What became of it is told by the door itself.
        let _ = self.apply(self.pushed.clone()).await;
    }

    /// Applies the files as they are on the disk with this in the place of what was pushed, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// When it is not applied, which is logged and journalled here.
    pub async fn apply(&mut self, pushed: Option<PushedText>) -> Result<(), NotApplied> {
        let (inputs, with) = (self.inputs.clone(), pushed.clone());
        let loaded = match tokio::task::spawn_blocking(move || load_with(&inputs, with.as_ref())).await {
            Ok(Ok(loaded)) => self.take(loaded, pushed).await,
            Ok(Err(error)) => Err(NotApplied::Load(error)),
            Err(error) => Err(NotApplied::Read(error.to_string())),
        };
        if let Err(why) = &loaded {
            self.refused(why.to_string());
        }
        loaded
    }

    /// Applies a configuration without errors.
    async fn take(&mut self, loaded: Loaded, pushed: Option<PushedText>) -> Result<(), NotApplied> {
        for finding in &loaded.findings {
            tracing::warn!("{finding}");
        }
        // A file that is just being written is empty for a moment. What was pushed comes and goes on purpose.
        let has_local = |config: &AgentConfig, pushed: &Option<PushedText>| {
            let is_pushed = |instance: &Instance| {
                pushed.as_ref().is_some_and(|pushed| instance.defined_at.file == pushed.path)
            };
            config.instances.iter().any(|instance| !is_pushed(instance))
        };
        if has_local(&self.running, &self.pushed) && !has_local(&loaded.config, &pushed) {
            return Err(NotApplied::Empty);
        }
        for key in self.running.needs_restart(&loaded.config) {
            tracing::warn!(
                "`{key}` is different in the configuration; it takes effect with a restart of the agent"
            );
        }
        let rules = self.firewall.apply(&loaded.config).await;
        rules.map_err(|error| NotApplied::Firewall(crate::log::chain(&error)))?;
        let plan = Plan::of(&loaded.config);
        let changes = self.engine.reconfigure(plan, APPLIED_WITHIN).await.map_err(NotApplied::Engine)?;
        // After the engine: it takes results of checks that somebody tracks.
        self.tracker.replace(loaded.config.checks.clone());
        let summary = changes.to_string();
        tracing::info!("the configuration is applied: {summary}");
        self.running = loaded.config;
        self.watched.send_replace(Watched::of(&self.running));
        self.pushed = pushed;
        self.journal.append(Happening::configured("applied", summary));
        self.status.send_modify(|status| {
            status.taken_at_us = clock::wall_us();
            status.taken += 1;
            (status.error, status.error_at_us) = (None, None);
        });
        Ok(())
    }

    /// History has what became of standing orders, too.
    pub fn note_order(&self, what: &str, order: &Order) {
        self.journal.append(Happening::configured(what, order.words()));
    }

    /// Nothing comes by this door any more: running scripts are ended.
    pub async fn close(mut self) {
        self.tracker.stop().await;
        self.firewall.remove().await;
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
