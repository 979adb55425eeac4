//! Probes: one at a time, paced, and never more waiting than a bound.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use futures_util::future::BoxFuture;
use hafleet_proto::v1;
use tokio::time::Instant;

use super::wire::{self, Asides};
use crate::{clock, journal::Journal, run::EngineClient};

/// Probes that may wait.
const WAITING_MAX: usize = 8;
/// Addresses that one probe asks for.
const TARGETS_MAX: usize = 64;
/// Between the starts of two probes, so that no coordinator can keep the engine busy.
const PACE: Duration = Duration::from_millis(50);

/// The probes of one session.
#[derive(Default)]
pub(super) struct Probes {
    waiting: VecDeque<v1::ProbeRequest>,
    running: Option<BoxFuture<'static, Option<v1::ProbeReport>>>,
    not_before: Option<Instant>,
}

impl Probes {
    /// Takes a request in; false when too many wait.
    #[must_use]
    pub fn ask(&mut self, request: v1::ProbeRequest) -> bool {
        let room = self.waiting.len() < WAITING_MAX;
        if room {
            self.waiting.push_back(request);
        }
        room
    }

    /// Starts the next one if none runs.
    pub fn start(&mut self, engine: &EngineClient, journal: &Journal, asides: impl FnOnce() -> Asides) {
        if self.running.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            let not_before = self.not_before.unwrap_or_else(Instant::now);
            self.not_before = Some(not_before.max(Instant::now()) + PACE);
            let (engine, journal, asides) = (engine.clone(), journal.clone(), asides());
            self.running = Some(Box::pin(run(request, engine, journal, asides, not_before)));
        }
    }

    /// The next report; waits for ever when nothing runs. `None`: the engine did not answer.
    pub async fn next(&mut self) -> Option<v1::ProbeReport> {
        match &mut self.running {
            Some(running) => {
                let report = running.await;
                self.running = None;
                report
            }
            None => std::future::pending().await,
        }
    }
}

async fn run(
    request: v1::ProbeRequest,
    engine: EngineClient,
    journal: Journal,
    asides: Asides,
    not_before: Instant,
) -> Option<v1::ProbeReport> {
    tokio::time::sleep_until(not_before).await;
    let mut arp = Vec::new();
    let mut targets = Vec::new();
    for target in request.arp_targets.iter().take(TARGETS_MAX) {
        match target.parse::<IpAddr>() {
            Ok(target) => targets.push(target),
            Err(error) => arp.push(v1::ArpObservation {
                interface: String::new(),
                target: target.chars().take(60).collect(),
                macs: Vec::new(),
                error: error.to_string(),
            }),
        }
    }
    if !targets.is_empty() {
        match engine.probe(targets, Duration::from_micros(request.timeout_us)).await {
            Ok(observations) => arp.extend(wire::arp(observations)),
            Err(error) => {
                tracing::warn!("a probe for {} got no answer: {error}", request.address.escape_debug());
                return None;
            }
        }
    }
    // Taken after the request came, as it must be: the state is asserted anew.
    let seq = journal.status().borrow().last_seq;
    let engine = engine.snapshot().await.ok()?;
    let snapshot = wire::snapshot(&engine, &asides, seq, clock::now(), clock::wall_us());
    Some(v1::ProbeReport { id: request.id, snapshot: Some(snapshot), arp })
}
