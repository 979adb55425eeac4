//! The task that carries out what is open.

use std::{sync::Arc, time::Duration};

use hafleet_fleet::{Input, NodeName, fence::FenceInput};
use hafleet_fleetfile::FleetFile;
use hafleet_proto::v1::{self, request::Request as What};
use tokio::{task::JoinSet, time::sleep};

use super::{
    change,
    known::told,
    plan::{self, Next},
    read,
    trouble::Lookout,
};
use crate::{
    actuator::agent::AskError,
    api::status::said,
    backoff::Backoff,
    effects::FleetGone,
    shared::Shared,
    store::{ApplyState, GenerationRow, StepRow, StepState, StoreError, hash},
};

/// How long a node may take to judge its part.
const STAGE_WITHIN: Duration = Duration::from_secs(15);
/// Nodes that judge at a time.
const STAGED_BESIDE: usize = 32;
/// How long a node may take to run it or to keep it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a node may take to go back; one that cannot be reached goes back by itself.
const ROLL_BACK_WITHIN: Duration = Duration::from_secs(10);
/// A commit has settled when nothing happened for so long that what goes wrong would have become a finding: a missing holder
/// takes twice the longest Master_Down, and at least this …
const SETTLE_MIN: Duration = Duration::from_secs(3);
/// … and this to be told.
const SETTLE_MARGIN: Duration = Duration::from_secs(1);
/// No longer than this, nor than half of the time to confirm.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// A confirmation is sent no later than so long before the node goes back by itself.
const CONFIRM_MARGIN: Duration = Duration::from_secs(3);
/// How long findings may take to be over when every node runs it.
const CONCLUDE_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Carries out what is open, and what is begun, until the coordinator ends.
pub async fn run(shared: Arc<Shared>) {
    let closing = Arc::clone(&shared);
    tokio::select! {
        () = serve(shared) => {}
        () = closing.closing() => {}
    }
}

/// The node runs what it may have to give up again.
const fn is_mid_commit(state: StepState) -> bool {
    match state {
        StepState::Committing | StepState::Committed | StepState::Confirming | StepState::RollingBack => true,
        StepState::Waiting
        | StepState::Unchanged
        | StepState::Staging
        | StepState::Staged
        | StepState::Refused
        | StepState::Confirmed
        | StepState::RolledBack
        | StepState::Failed => false,
    }
}

async fn serve(shared: Arc<Shared>) {
    let mut backoff = Backoff::STORE;
    loop {
        let done = match shared.store.open_config().await {
            Ok(None) => {
                shared.pushes.begun.notified().await;
                continue;
            }
            Ok(Some(row)) => apply(&shared, row).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => backoff = Backoff::STORE,
            Err(Stopped::Gone(_)) => return,
            Err(Stopped::Store(error)) => {
                // What is written down is where it goes on.
                let _trouble = shared.health.trouble();
                tracing::error!("the apply stands still: {}", said(&error));
                sleep(backoff.next()).await;
            }
        }
    }
}

/// Why the task cannot go on now.
#[derive(Debug)]
enum Stopped {
    Store(StoreError),
    Gone(FleetGone),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FleetGone> for Stopped {
    fn from(gone: FleetGone) -> Self {
        Self::Gone(gone)
    }
}

/// One apply, from wherever it is to its end.
struct Apply<'s> {
    shared: &'s Arc<Shared>,
    row: GenerationRow,
    file: FleetFile,
    lookout: Lookout,
}

async fn apply(shared: &Arc<Shared>, row: GenerationRow) -> Result<(), Stopped> {
    let parent = match shared.store.config_generation(row.parent).await? {
        Some(parent) => read(parent.number, &parent.text).ok(),
        None => Some(FleetFile::default()),
    };
    let (Some(parent), Ok(file)) = (parent, read(row.number, &row.text)) else {
        // Written by another release. Nothing can be compiled from it any more; what nodes run unconfirmed they give up.
        let why = "this coordinator cannot read its text or its parent's";
        tracing::error!(generation = row.number, "given up: {why}");
        let now_us = shared.clock.now_us();
        shared.store.save_config_apply(row.number, ApplyState::RolledBack, why, now_us).await?;
        shared.pushes.note();
        return Ok(());
    };
    let is_first = row.state == ApplyState::Staging;
    let lookout = Lookout::new(shared, change::touched(&parent, &file), row.created_at_us, is_first).await?;
    let mut apply = Apply { shared, row, file, lookout };
    tracing::info!(generation = apply.row.number, state = %apply.row.state, "applying the fleet's configuration");
    while apply.step().await? {}
    tracing::info!(generation = apply.row.number, state = %apply.row.state, why = apply.row.why, "the apply is over");
    Ok(())
}

impl Apply<'_> {
    /// Does what is next; false at the end.
    async fn step(&mut self) -> Result<bool, Stopped> {
        let steps = self.shared.store.config_steps(self.row.number).await?;
        match plan::next(self.row.state, &steps) {
            Next::Stage(nodes) => self.stage(nodes).await?,
            Next::Enter(state) => {
                let why = self.why_of(&steps);
                self.enter(state, why).await?;
            }
            Next::CommitOneOf(nodes) => match self.lookout.trouble(self.shared, false).await? {
                Some(trouble) => self.turn_back(trouble).await?,
                None => {
                    let node = self.holders_last(nodes);
                    self.commit(&node).await?;
                }
            },
            Next::Commit(node) => self.commit(&node).await?,
            Next::Settle(node) => self.settle(&node, &steps).await?,
            Next::Confirm(node) => self.confirm(&node).await?,
            Next::Conclude => self.conclude().await?,
            Next::RollBackOneOf(nodes) => {
                let node = self.holders_last(nodes);
                self.roll_back(&node).await?;
            }
            Next::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Every node judges its part; what is known already is not asked.
    async fn stage(&self, nodes: Vec<String>) -> Result<(), Stopped> {
        for some in nodes.chunks(STAGED_BESIDE) {
            let mut asked: JoinSet<(String, Result<(), AskError>)> = JoinSet::new();
            for node in some {
                let text = self.file.compile(node);
                if told(self.shared, node).runs(&text) {
                    self.note(node, StepState::Unchanged, "it runs this already").await?;
                    continue;
                }
                self.note(node, StepState::Staging, "").await?;
                let what = v1::StageConfig { generation: self.row.number, hash: hash(&text), toml: text };
                let (shared, name, id) = (Arc::clone(self.shared), node.clone(), self.id("stage"));
                asked.spawn(async move {
                    let node = NodeName(name.clone());
                    let answer = shared.agents.ask(&node, &id, What::Stage(what), STAGE_WITHIN).await;
                    (name, answer)
                });
            }
            while let Some(answered) = asked.join_next().await {
                // A panic is told by the runtime; the node is asked again.
                let Ok((node, answer)) = answered else { continue };
                match answer {
                    Ok(()) => self.note(&node, StepState::Staged, "").await?,
                    Err(AskError::Refused { detail, reason, .. }) => {
                        let words = if detail.is_empty() { reason } else { detail };
                        self.note(&node, StepState::Refused, &words).await?;
                    }
                    Err(error) => self.note(&node, StepState::Refused, &error.to_string()).await?,
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self, node: &str) -> Result<(), Stopped> {
        self.note(node, StepState::Committing, "").await?;
        let (generation, confirm_within_us) = (self.row.number, self.row.confirm_within_us);
        let what = What::Commit(v1::CommitConfig { generation, confirm_within_us });
        match self.ask(node, "commit", what, ANSWER_WITHIN).await {
            Ok(()) => self.note(node, StepState::Committed, "").await,
            Err(error) => self.turn_back(format!("the commit failed: {error}")).await,
        }
    }

    /// The node is heard by its stream, runs the generation, and for a while nothing happens that was not meant to.
    async fn settle(&mut self, node: &str, steps: &[StepRow]) -> Result<(), Stopped> {
        let committed_us = steps.iter().find(|step| step.node == node).map_or(0, |step| step.updated_us);
        let within = Duration::from_micros(self.row.confirm_within_us).saturating_sub(CONFIRM_MARGIN);
        let mut heard_us = None;
        loop {
            if let Some(trouble) = self.lookout.trouble(self.shared, false).await? {
                return self.turn_back(trouble).await;
            }
            let (now_us, told) = (self.shared.clock.now_us(), told(self.shared, node));
            let is_news = told.is_connected && told.received_us.is_some_and(|at_us| at_us > committed_us);
            let pushed = told.pushed.as_ref().filter(|_| is_news);
            if let Some(pushed) = pushed.filter(|pushed| pushed.rolled_back_generation == self.row.number) {
                return self
                    .turn_back(format!("{node} went back by itself: {}", pushed.rolled_back_why))
                    .await;
            }
            let runs_it = pushed.is_some_and(|pushed| pushed.generation == self.row.number);
            if runs_it {
                let since_us = *heard_us.get_or_insert(now_us);
                if passed(since_us, now_us) >= self.settling(&told) {
                    return self.confirm(node).await;
                }
            } else if is_news {
                // An answer may overtake what was under way before it; but what runs, runs on.
                heard_us = None;
            }
            if passed(committed_us, now_us) >= within {
                return self.turn_back(format!("{node} did not come back in time after its commit")).await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn confirm(&mut self, node: &str) -> Result<(), Stopped> {
        self.note(node, StepState::Confirming, "").await?;
        let what = What::Confirm(v1::ConfirmConfig { generation: self.row.number });
        match self.ask(node, "confirm", what, ANSWER_WITHIN).await {
            Ok(()) => self.note(node, StepState::Confirmed, "").await,
            Err(error) => self.turn_back(format!("the confirmation failed: {error}")).await,
        }
    }

    /// Every node runs it. What was meant to differ in between does not differ any more.
    async fn conclude(&mut self) -> Result<(), Stopped> {
        let begun_us = self.shared.clock.now_us();
        loop {
            let meanwhile = self.lookout.trouble(self.shared, false).await?;
            let trouble = match meanwhile {
                Some(trouble) => return self.turn_back(trouble).await,
                None => self.lookout.trouble(self.shared, true).await?,
            };
            let is_late = passed(begun_us, self.shared.clock.now_us()) >= CONCLUDE_WITHIN;
            match trouble {
                None => return self.enter(ApplyState::Applied, String::new()).await,
                Some(trouble) if is_late => return self.turn_back(trouble).await,
                Some(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn roll_back(&self, node: &str) -> Result<(), Stopped> {
        self.note(node, StepState::RollingBack, "").await?;
        let what = What::RollBack(v1::RollBackConfig { generation: self.row.number });
        match self.ask(node, "roll_back", what, ROLL_BACK_WITHIN).await {
            Ok(()) => self.note(node, StepState::RolledBack, "").await,
            // It has nothing of this generation, which is what is wanted.
            Err(AskError::Refused { reason, detail, .. })
                if matches!(reason.as_str(), "stale_generation" | "nothing_staged") =>
            {
                self.note(node, StepState::RolledBack, &detail).await
            }
            Err(error) => {
                let words = format!(
                    "{error}; what it did not confirm it gives up by itself: see `hactl config drift`"
                );
                self.note(node, StepState::Failed, &words).await
            }
        }
    }

    async fn turn_back(&mut self, why: String) -> Result<(), Stopped> {
        self.enter(ApplyState::RollingBack, why).await
    }

    async fn enter(&mut self, state: ApplyState, why: String) -> Result<(), Stopped> {
        let why = if why.is_empty() { self.row.why.clone() } else { why };
        let (generation, now_us) = (self.row.number, self.shared.clock.now_us());
        self.shared.store.save_config_apply(generation, state, &why, now_us).await?;
        if state == ApplyState::RollingBack {
            tracing::warn!(generation, why, "the apply is given up; every node goes back");
        }
        self.row.state = state;
        self.row.why = why;
        self.shared.pushes.note();
        Ok(())
    }

    async fn note(&self, node: &str, state: StepState, detail: &str) -> Result<(), Stopped> {
        let updated_us = self.shared.clock.now_us();
        let step = StepRow { node: node.to_owned(), state, detail: detail.to_owned(), updated_us };
        self.shared.store.save_config_step(self.row.number, &step).await?;
        tracing::info!(generation = self.row.number, node, step = %state, detail, "configuration");
        self.shared.pushes.note();
        // Nobody is fenced in the middle of a commit.
        let on = is_mid_commit(state);
        let committing = FenceInput::Committing { node: NodeName(node.to_owned()), on };
        self.shared.fleet.tell(Input::Fence(committing), self.shared.clock.now()).await?;
        Ok(())
    }

    async fn ask(&self, node: &str, step: &str, what: What, within: Duration) -> Result<(), AskError> {
        self.shared.agents.ask(&NodeName(node.to_owned()), &self.id(step), what, within).await
    }

    /// The same step of the same generation has the same id in every life of the coordinator.
    fn id(&self, step: &str) -> String {
        format!("config/{}/{step}", self.row.number)
    }

    /// The first that holds nothing of what is touched; the first when all do.
    fn holders_last(&self, nodes: Vec<String>) -> String {
        let groups = &self.lookout.touched().groups;
        let is_touched = |instance: &str| groups.keys().any(|key| key.name == instance);
        let holds = |node: &String| told(self.shared, node).is_master_of(is_touched);
        let idle = nodes.iter().find(|node| !holds(node)).cloned();
        idle.or_else(|| nodes.first().cloned()).unwrap_or_default()
    }

    /// Until every router had the time to miss what it should hear, and the fleet core to say so.
    fn settling(&self, told: &super::known::Told) -> Duration {
        let groups = &self.lookout.touched().groups;
        let touched =
            told.instances.iter().filter(|instance| groups.keys().any(|key| key.name == instance.instance));
        let longest_us = touched.map(|instance| instance.master_down_us).max().unwrap_or(0);
        let least = Duration::from_micros(longest_us.saturating_mul(2)).max(SETTLE_MIN);
        let half = Duration::from_micros(self.row.confirm_within_us) / 2;
        least.saturating_add(SETTLE_MARGIN).min(SETTLE_MAX).min(half)
    }

    fn why_of(&self, steps: &[StepRow]) -> String {
        let refused = steps.iter().find(|step| step.state == StepState::Refused);
        refused.map(|step| format!("{} refuses it: {}", step.node, step.detail)).unwrap_or_default()
    }
}

fn passed(since_us: i64, now_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(now_us.saturating_sub(since_us)).unwrap_or(0))
}
