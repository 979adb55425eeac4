//! The task that owns the fleet core.
//!
//! Inputs come through one bounded channel, so that a core that cannot go on makes its sources wait. What the core wants
//! done is first written down: a finding and its messages are one transaction, tried until it succeeds, and nothing is
//! acted on before. While the database does not answer, questions are still answered and gRPC health says NOT_SERVING.
//!
//! Steps of fencing are tasks of this one, so that none holds it up; their results come back here. They end with it.
//!
//! The task ends when every [`FleetHandle`] is gone. It is never cancelled in the middle of a commit.

mod fence;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hafleet_fleet::{
    Effect, Finding, Fleet, GroupKey, Input, Instant, NodeName, Probe, Windows,
    fence::{FenceEffect, FenceInput, FenceVerb},
    view::FleetView,
    view::GroupState,
};
use hafleet_proto::v1;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::{
    api::status::said,
    backoff::Backoff,
    clock::{Clock, duration_us},
    fencing::steps::Steps,
    finding::{self, Record},
    health::Health,
    sessions::roster::{Asked, Roster},
    shared::Change,
    store::{FindingRow, NewOutbox, Store, StoreError},
};
use fence::Entry;
pub use fence::{FenceAnswer, Fences};

/// Inputs that the core has not taken yet.
const INPUTS_MAX: usize = 1024;
/// Questions that are not answered yet.
const QUESTIONS_MAX: usize = 64;
/// How often the picture is compared for watchers.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The way to the core.
#[derive(Clone, Debug)]
pub struct FleetHandle {
    inputs: mpsc::Sender<Told>,
    questions: mpsc::Sender<Question>,
    late: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Told {
    Input(Box<Input>, Instant),
    Asked { actor: String, verb: FenceVerb, answer: oneshot::Sender<FenceAnswer> },
}

#[derive(Debug)]
enum Question {
    View(oneshot::Sender<FleetView>),
    Fences(oneshot::Sender<Fences>),
    Explain(GroupKey, oneshot::Sender<Option<Vec<String>>>),
}

/// The task that owns the core has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is shutting down")]
pub struct FleetGone;

impl FleetHandle {
    /// Tells the core; waits while it has too much to do.
    pub async fn tell(&self, input: Input, at: Instant) -> Result<(), FleetGone> {
        self.inputs.send(Told::Input(Box::new(input), at)).await.map_err(|_| FleetGone)
    }

    /// A place in the queue, to be filled without waiting.
    pub async fn reserve(&self) -> Result<Place<'_>, FleetGone> {
        self.inputs.reserve().await.map(Place).map_err(|_| FleetGone)
    }

    /// Everything as it is now.
    pub async fn view(&self) -> Result<FleetView, FleetGone> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::View(answer)).await.map_err(|_| FleetGone)?;
        answered.await.map_err(|_| FleetGone)
    }

    /// Why a group is where it is; `None` for an unknown group.
    pub async fn explain(&self, group: GroupKey) -> Result<Option<Vec<String>>, FleetGone> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Explain(group, answer)).await.map_err(|_| FleetGone)?;
        answered.await.map_err(|_| FleetGone)
    }

    /// Everything about fencing as it is now.
    pub async fn fences(&self) -> Result<Fences, FleetGone> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Fences(answer)).await.map_err(|_| FleetGone)?;
        answered.await.map_err(|_| FleetGone)
    }

    /// What a person, whose rights were looked at, asks of fencing. Answered when it is written down, or refused.
    pub async fn ask_fence(&self, actor: String, verb: FenceVerb) -> Result<FenceAnswer, FleetGone> {
        let (answer, answered) = oneshot::channel();
        self.inputs.send(Told::Asked { actor, verb, answer }).await.map_err(|_| FleetGone)?;
        answered.await.map_err(|_| FleetGone)
    }

    /// Snapshots that were too old to speak for the present when the core came to them.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }
}

/// A reserved place in the queue of inputs.
pub struct Place<'a>(mpsc::Permit<'a, Told>);

impl Place<'_> {
    /// Fills it.
    pub fn tell(self, input: Input, at: Instant) {
        self.0.send(Told::Input(Box::new(input), at));
    }
}

/// What the task works with.
pub struct Parts {
    /// Dates things.
    pub clock: Clock,
    /// Where findings go.
    pub store: Store,
    /// Where probes go.
    pub roster: Arc<Roster>,
    /// What watchers are told.
    pub changes: broadcast::Sender<Change>,
    /// Told while the database does not answer.
    pub health: Health,
    /// Woken when there are messages to deliver.
    pub outbox: Arc<Notify>,
    /// Every receiver's name.
    pub receivers: Vec<String>,
    /// The core's windows.
    pub windows: Windows,
    /// Takes the steps of fencing.
    pub steps: Arc<Steps>,
    /// Why fencing is inert from the beginning.
    pub inert: Option<Arc<str>>,
}

/// Starts the task; `replay` is what the core is told first, in order.
pub fn start(parts: Parts, replay: Vec<Input>) -> (FleetHandle, tokio::task::JoinHandle<()>) {
    let (inputs, told) = mpsc::channel(INPUTS_MAX);
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let late = Arc::new(AtomicU64::new(0));
    let handle = FleetHandle { inputs, questions, late: Arc::clone(&late) };
    let keeper = Keeper {
        fleet: Fleet::new(parts.windows),
        fresh: parts.windows.fresh,
        fencing: fence::Fencing::new(parts.inert.clone()),
        parts,
        asked,
        late,
        picture: Picture::default(),
        looked_at: Instant::from_micros(0),
    };
    (handle, tokio::spawn(keeper.run(told, replay)))
}

struct Keeper {
    fleet: Fleet,
    fresh: Duration,
    parts: Parts,
    asked: mpsc::Receiver<Question>,
    late: Arc<AtomicU64>,
    fencing: fence::Fencing,
    picture: Picture,
    looked_at: Instant,
}

/// What watchers must hear of at once, without what changes every second.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    nodes: Vec<(NodeName, bool, bool)>,
    groups: Vec<(GroupKey, Option<NodeName>, GroupState)>,
}

impl Keeper {
    async fn run(mut self, mut told: mpsc::Receiver<Told>, replay: Vec<Input>) {
        for input in replay {
            self.take(input).await;
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let deadline = self.fleet.deadline();
            let sleep = deadline.map_or(Duration::MAX, |deadline| self.parts.clock.until(deadline));
            tokio::select! {
                Some(question) = self.asked.recv() => self.answer(question),
                Some(ended) = self.fencing.under_way.join_next() => {
                    if let Some(result) = fence::result(ended) {
                        self.take(Input::Fence(result)).await;
                    }
                }
                one = told.recv() => {
                    let Some(one) = one else { return };
                    self.take_told(one).await;
                    // Whatever has come must be heard before anything is called silent.
                    while let Ok(one) = told.try_recv() {
                        self.take_told(one).await;
                    }
                }
                () = tokio::time::sleep(sleep), if deadline.is_some() => {
                    if told.is_empty() {
                        self.take(Input::Deadline).await;
                    }
                }
                _ = look.tick() => {}
            }
            self.look();
        }
    }

    async fn take_told(&mut self, told: Told) {
        let (input, at) = match told {
            Told::Input(input, at) => (*input, at),
            Told::Asked { actor, verb, answer } => {
                let request = self.fencing.waits(answer);
                return self.take(Input::Fence(FenceInput::Asked { request, actor, verb })).await;
            }
        };
        let now = self.parts.clock.now();
        let is_present = matches!(input, Input::Snapshot { .. } | Input::Probed { .. });
        if is_present && now.since(at) > self.fresh {
            self.late.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.take(input).await;
    }

    async fn take(&mut self, input: Input) {
        let mut at = self.parts.clock.now();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            // What follows from a row is judged by the present: its commit may have taken long.
            if matches!(input, Input::Fence(FenceInput::Written { .. })) {
                at = self.catch_up(at);
            }
            // A probe that cannot be sent is the core's to know; at the same instant, so that this comes to an end.
            self.fleet.handle(input, at);
            while let Some(effect) = self.fleet.next_output() {
                let effect = match effect {
                    Effect::Fence(FenceEffect::Write(row)) => {
                        inputs.extend(self.enter(Entry::Write(row)).await);
                        continue;
                    }
                    Effect::Fence(FenceEffect::Audit(line)) => {
                        inputs.extend(self.enter(Entry::Audit(line)).await);
                        continue;
                    }
                    other => other,
                };
                inputs.extend(self.write_fences().await);
                match effect {
                    Effect::Finding { finding, notify } => self.write_down(finding, notify).await,
                    Effect::Probe(probe) => inputs.extend(self.probe(&probe)),
                    Effect::Fence(effect) => inputs.extend(self.fence(effect, at)),
                }
            }
            inputs.extend(self.write_fences().await);
        }
        self.catch_up(at);
    }

    /// The present. Deaf since `began`, the coordinator must not call anybody silent, nor trust what it saw: as after a start.
    fn catch_up(&mut self, began: Instant) -> Instant {
        let now = self.parts.clock.now();
        if now.since(began) > self.fresh {
            tracing::warn!("was held up by the database for {} ms", now.since(began).as_millis());
            self.fleet.handle(Input::Started, now);
        }
        now
    }

    fn answer(&self, question: Question) {
        let now = self.parts.clock.now();
        // An error means that the asker has gone away.
        match question {
            Question::View(answer) => drop(answer.send(self.fleet.view(now))),
            Question::Fences(answer) => drop(answer.send(self.fences())),
            Question::Explain(group, answer) => drop(answer.send(self.fleet.explain(&group, now))),
        }
    }

    async fn write_down(&mut self, finding: Finding, notify: bool) {
        let record = Record::from(&finding);
        let now_us = self.parts.clock.now_us();
        let (row, messages) = match self.rows(&finding, &record, notify, now_us) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(finding = record.id, %error, "a finding cannot be put into JSON");
                return;
            }
        };
        self.commit(&row, &messages).await;
        tracing::info!(
            finding = record.id,
            status = record.status,
            severity = record.severity,
            cause = record.cause_code,
            "{}",
            record.summary
        );
        // An error means that nobody watches.
        let _ = self.parts.changes.send(Change::Finding(v1::Finding::from(record)));
        if !messages.is_empty() {
            self.parts.outbox.notify_one();
        }
    }

    fn rows(
        &self,
        finding: &Finding,
        record: &Record,
        notify: bool,
        now_us: i64,
    ) -> Result<(FindingRow, Vec<NewOutbox>), serde_json::Error> {
        let row = finding::row(finding, now_us)?;
        let receivers = if notify { self.parts.receivers.as_slice() } else { &[] };
        let body = serde_json::to_string(record)?;
        let message = |receiver: &String| NewOutbox {
            receiver: receiver.clone(),
            body: body.clone(),
            created_us: now_us,
            next_attempt_us: now_us,
        };
        Ok((row, receivers.iter().map(message).collect()))
    }

    /// Tries until it succeeds.
    async fn commit(&mut self, row: &FindingRow, messages: &[NewOutbox]) {
        let store = self.parts.store.clone();
        let save = || store.save_finding(row, messages);
        while self.persist(&row.id, save).await.is_err() {}
    }

    /// Tries until the database has taken it, or says that it never will; questions are answered meanwhile.
    async fn persist<T, F>(&mut self, what: &str, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::STORE;
        let mut trouble = None;
        loop {
            let saved = {
                let save = attempt();
                tokio::pin!(save);
                loop {
                    tokio::select! {
                        saved = &mut save => break saved,
                        Some(question) = self.asked.recv() => self.answer(question),
                    }
                }
            };
            let error = match saved {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            trouble.get_or_insert_with(|| self.parts.health.trouble());
            let wait = backoff.next();
            let is_for_good = error.is_for_good();
            tracing::error!(what, "{}; trying again in {} ms", said(&error), wait.as_millis());
            let sleep = tokio::time::sleep(wait);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    () = &mut sleep => break,
                    Some(question) = self.asked.recv() => self.answer(question),
                }
            }
            if is_for_good {
                return Err(error);
            }
        }
    }

    /// Sends a probe and says what could not be sent.
    fn probe(&self, probe: &Probe) -> Vec<Input> {
        let mut not_sent = Vec::new();
        for node in &probe.nodes {
            let request = v1::ProbeRequest {
                id: probe.id.0,
                address: probe.address.to_string(),
                arp_targets: probe.arp_targets.iter().map(ToString::to_string).collect(),
                // The agent answers well before the core stops waiting.
                timeout_us: duration_us(self.parts.windows.probe / 2),
            };
            let asked = Asked { wall_us: self.parts.clock.wall_us(), at: self.parts.clock.now() };
            if !self.parts.roster.probe(node, request, asked) {
                tracing::debug!(%node, probe = probe.id.0, "a probe could not be sent");
                not_sent.push(Input::ProbeNotSent { probe: probe.id, node: node.clone() });
            }
        }
        not_sent
    }

    fn look(&mut self) {
        let now = self.parts.clock.now();
        if self.parts.changes.receiver_count() == 0 || now.since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        let view = self.fleet.view(now);
        let picture = Picture {
            nodes: view.nodes.into_iter().map(|node| (node.node, node.connected, node.fresh)).collect(),
            groups: view.groups.into_iter().map(|group| (group.key, group.holder, group.state)).collect(),
        };
        if picture != self.picture {
            self.picture = picture;
            // An error means that nobody watches.
            let _ = self.parts.changes.send(Change::Fleet);
        }
    }
}
