//! How the rest of the agent asks the engine. It never waits for us, and we never wait long for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use hafleet_vrrp::{State, TrackResult};

use crate::driver::{
    ANNOUNCED_WITHIN, ArpObservation, Changes, Command, EngineSnapshot, NotAnnounced, Plan, Standing,
};

/// A healthy engine answers within a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// No probe listens longer for answers.
const PROBE_AT_MOST: Duration = Duration::from_secs(1);

/// The engine does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineSilent {
    /// It has ended.
    #[error("the engine has ended")]
    Ended,
    /// It is busy or stuck.
    #[error("the engine did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Stuck,
}

/// Asks the engine. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct EngineClient(mpsc::Sender<Command>);

impl EngineClient {
    /// Asks through `commands`.
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self(commands)
    }

    /// The present, whole.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn snapshot(&self) -> Result<EngineSnapshot, EngineSilent> {
        self.ask(Command::Snapshot, ANSWER_WITHIN).await
    }

    /// Who answers ARP for `targets`, listening for `listen` or one second, whichever is less.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn probe(
        &self,
        targets: Vec<IpAddr>,
        listen: Duration,
    ) -> Result<Vec<ArpObservation>, EngineSilent> {
        let timeout = listen.min(PROBE_AT_MOST);
        self.ask(|reply| Command::Probe { targets, timeout, reply }, timeout + ANSWER_WITHIN).await
    }

    /// Makes this the plan; what changed by it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn reconfigure(&self, plan: Plan, within: Duration) -> Result<Changes, EngineSilent> {
        self.ask(|reply| Command::Reconfigure(plan, reply), within).await
    }

    /// Makes this what stands over the configuration, and lets these instances take over; every instance's state thereafter.
    ///
    /// # Errors
    /// When the engine does not answer. It may still heed it.
    pub async fn stand(
        &self,
        standing: Standing,
        take_over: BTreeSet<String>,
    ) -> Result<BTreeMap<String, State>, EngineSilent> {
        self.ask(|reply| Command::Stand { standing, take_over, reply }, ANSWER_WITHIN).await
    }

    /// Lets these instances announce their addresses once more; done when the kernel has taken the packets, or why it is not.
    ///
    /// # Errors
    /// When the engine does not answer. It may still do it.
    pub async fn announce(
        &self,
        instances: BTreeSet<String>,
    ) -> Result<Result<(), NotAnnounced>, EngineSilent> {
        let within = ANNOUNCED_WITHIN + ANSWER_WITHIN;
        self.ask(|reply| Command::Announce { instances, reply }, within).await
    }

    /// Makes these the instances that a host without a network holds back.
    ///
    /// # Errors
    /// When the engine does not answer. It may still heed it.
    pub async fn isolate(&self, isolated: BTreeSet<String>) -> Result<(), EngineSilent> {
        self.ask(|reply| Command::Isolate(isolated, reply), ANSWER_WITHIN).await
    }

    /// Tells what became of a check; waits while the engine has too many commands already.
    ///
    /// # Errors
    /// When the engine has ended.
    pub async fn track(
        &self,
        check: String,
        result: TrackResult,
        detail: String,
    ) -> Result<(), EngineSilent> {
        self.0.send(Command::Track { check, result, detail }).await.map_err(|_| EngineSilent::Ended)
    }

    /// Priority 0, addresses released, thread ended; waits at most `at_most`. Names the addresses that may be left on this
    /// host, and why.
    ///
    /// # Errors
    /// When it did not end in time.
    pub async fn stop(&self, at_most: Duration) -> Result<Vec<String>, EngineSilent> {
        self.ask(Command::Stop, at_most).await
    }

    /// Waits until the engine takes no more commands.
    pub async fn ended(&self) {
        self.0.closed().await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
        within: Duration,
    ) -> Result<T, EngineSilent> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.0.send(command(reply)).await.map_err(|_| EngineSilent::Ended)?;
            answer.await.map_err(|_| EngineSilent::Ended)
        };
        timeout(within, asked).await.unwrap_or(Err(EngineSilent::Stuck))
    }
}
