//! Reference addresses: neighbours outside the group, by which a node knows whether it has a network. The default gateways of
//! the service interfaces, unless `references` of agent.toml says others.
//!
//! ```text
//! gateways (netlink, every 30 s) ─┐
//! `references` ───────────────────┴─► asked by ARP or neighbour discovery every 3 s ─► a coordinator, status, metrics
//!                                         (the engine starts a thread for it)       └► isolated? ─► the engine
//! ```
//!
//! One task; it waits for nobody who waits for it.

mod gateway;
mod isolation;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use hafleet_vrrp::Instant;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

pub use isolation::{COORDINATOR_GONE_FOR, Surroundings, is_isolated};

use crate::{
    clock,
    config::{AgentConfig, OnIsolation, References},
    driver::{ArpObservation, is_busy},
    run::EngineClient,
    uplink,
};

/// How often they are asked.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// How long answers are waited for.
const LISTEN_FOR: Duration = Duration::from_secs(1);
/// How often the kernel is asked for its gateways.
const GATEWAYS_EVERY: Duration = Duration::from_secs(30);
/// So many questions in a row without an answer, and it is not reachable.
const MISSES_MAX: u8 = 3;
pub use crate::config::native::REFERENCES_MAX;

/// What of a configuration concerns them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Whom to ask.
    pub references: References,
    /// The service interfaces.
    pub interfaces: BTreeSet<String>,
    /// The instances that release when this node has no network.
    pub releasing: BTreeSet<String>,
}

impl Watched {
    /// Of a configuration.
    pub fn of(config: &AgentConfig) -> Self {
        let releases = config.instances.iter().filter(|instance| match instance.on_isolation {
            OnIsolation::Keep => false,
            OnIsolation::Release => true,
        });
        Self {
            references: config.references.clone(),
            interfaces: config.instances.iter().map(|instance| instance.interface.clone()).collect(),
            releasing: releases.map(|instance| instance.name.clone()).collect(),
        }
    }
}

/// One address as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceStatus {
    /// The address.
    pub address: IpAddr,
    /// Where it answered last, or where the kernel says that it is; empty when neither is known.
    pub interface: String,
    /// Whether it answers.
    pub reachable: bool,
    /// When it was last asked.
    pub asked: Instant,
    /// Why it could not be asked; empty when it was.
    pub error: String,
}

/// What is known of one address.
#[derive(Clone, Debug, Default)]
struct Known {
    interface: String,
    misses: u8,
    /// `None` until it has answered, or has been asked often enough.
    reachable: Option<bool>,
    asked: Instant,
    error: String,
}

/// Every address that is asked.
#[derive(Clone, Debug, Default)]
struct Board(BTreeMap<IpAddr, Known>);

impl Board {
    /// These from now on, each with the interface that it should be on, if that is known.
    fn replace(&mut self, wanted: BTreeMap<IpAddr, String>) {
        self.0.retain(|address, _| wanted.contains_key(address));
        for (address, interface) in wanted.into_iter().take(REFERENCES_MAX) {
            let known = self.0.entry(address).or_default();
            if known.interface.is_empty() {
                known.interface = interface;
            }
        }
    }

    /// What one round of questions brought. Of an address that somebody else was just asking for nothing is known.
    fn note(&mut self, observations: &[ArpObservation], now: Instant) {
        for (address, known) in &mut self.0 {
            let mut seen =
                observations.iter().filter(|one| one.target == *address && !is_busy(one)).peekable();
            if seen.peek().is_none() {
                continue;
            }
            known.asked = now;
            let answered = seen.clone().find(|one| !one.macs.is_empty());
            known.error = seen.clone().map(|one| one.error.clone()).next().unwrap_or_default();
            if let Some(answered) = answered {
                known.interface.clone_from(&answered.interface);
                (known.misses, known.reachable) = (0, Some(true));
                known.error.clear();
            } else {
                known.misses = known.misses.saturating_add(1);
                if known.misses >= MISSES_MAX {
                    known.reachable = Some(false);
                }
            }
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.0.keys().copied().collect()
    }

    fn reachable(&self) -> Vec<Option<bool>> {
        self.0.values().map(|known| known.reachable).collect()
    }

    /// Those of which something is known.
    fn statuses(&self) -> Vec<ReferenceStatus> {
        let status = |(address, known): (&IpAddr, &Known)| {
            Some(ReferenceStatus {
                address: *address,
                interface: known.interface.clone(),
                reachable: known.reachable?,
                asked: known.asked,
                error: known.error.clone(),
            })
        };
        self.0.iter().filter_map(status).collect()
    }
}

/// Asks for ever; ends with the engine.
pub async fn run(
    engine: EngineClient,
    mut watched: watch::Receiver<Watched>,
    uplink: watch::Receiver<uplink::Status>,
    publish: watch::Sender<Vec<ReferenceStatus>>,
) {
    let mut round = interval(ASK_EVERY);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut board = Board::default();
    let mut gateways_at: Option<Instant> = None;
    let mut gone_since = Some(clock::now());
    let mut isolated = BTreeSet::new();
    loop {
        tokio::select! {
            _ = round.tick() => {}
            () = engine.ended() => return,
        }
        let now = clock::now();
        let is_new = watched.has_changed().unwrap_or(false);
        let what = watched.borrow_and_update().clone();
        if is_new || gateways_at.is_none_or(|at| now.since(at) >= GATEWAYS_EVERY) {
            gateways_at = Some(now);
            board.replace(wanted(&what).await);
        }
        let targets = board.addresses();
        if !targets.is_empty()
            && let Ok(observations) = engine.probe(targets, LISTEN_FOR).await
        {
            board.note(&observations, clock::now());
        }
        publish.send_if_modified(|before| {
            let after = board.statuses();
            let is_new = *before != after;
            *before = after;
            is_new
        });
        let is_connected = matches!(uplink.borrow().phase, uplink::Phase::Connected { .. });
        gone_since = (!is_connected).then(|| gone_since.unwrap_or(now));
        isolate(&engine, &what, &board, gone_since, &mut isolated).await;
    }
}

/// Tells the engine which instances are isolated.
async fn isolate(
    engine: &EngineClient,
    watched: &Watched,
    board: &Board,
    gone_since: Option<Instant>,
    isolated: &mut BTreeSet<String>,
) {
    if watched.releasing.is_empty() && isolated.is_empty() {
        return;
    }
    let Ok(snapshot) = engine.snapshot().await else { return };
    let now = clock::now();
    let surroundings = Surroundings {
        references: board.reachable(),
        coordinator_gone_for: gone_since.map(|since| now.since(since)),
    };
    let releasing =
        snapshot.instances.iter().filter(|instance| watched.releasing.contains(&instance.config.name));
    let are: BTreeSet<String> = releasing
        .filter(|instance| is_isolated(instance, &surroundings, now))
        .map(|instance| instance.config.name.clone())
        .collect();
    if are != *isolated {
        tracing::warn!(instances = ?are, "instances that this host has no network for");
    }
    // Told every time: the engine makes the difference.
    if engine.isolate(are.clone()).await.is_ok() {
        *isolated = are;
    }
}

/// Whom to ask, and where they should be.
async fn wanted(watched: &Watched) -> BTreeMap<IpAddr, String> {
    match &watched.references {
        References::Off => BTreeMap::new(),
        References::These(addresses) => addresses.iter().map(|address| (*address, String::new())).collect(),
        References::Gateways => match gateway::gateways(&watched.interfaces).await {
            Ok(gateways) => gateways,
            Err(error) => {
                tracing::debug!("the kernel does not tell its gateways: {}", crate::log::chain(&error));
                BTreeMap::new()
            }
        },
    }
}

#[cfg(test)]
mod tests;
