//! The task that carries out what is open.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use hafleet_fleetfile::{FleetFile, GroupKey};
use hafleet_proto::v1::{self, request::Request as What};
use tokio::time::{sleep, timeout};

use super::{
    aftercare,
    ask::{ASKED_BESIDE, answered, ask, ask_back, id, note, went_back},
    change,
    known::{Told, told},
    plan::{self, Next},
    read,
    settling::{Settling, passed},
    spared::{self, Spared},
    trouble::Lookout,
    wave::{self, Ready},
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
/// How long a node may take to run it or to keep it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A commit has settled when nothing happened for so long that what goes wrong would have become a finding: a missing holder
/// takes twice the longest Master_Down, and at least this …
const SETTLE_MIN: Duration = Duration::from_secs(3);
/// … and this to be told.
const SETTLE_MARGIN: Duration = Duration::from_secs(1);
/// No longer than this, nor than a quarter of the time to confirm: the backups of a group, the others and the holder settle in it.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// A confirmation is sent no later than so long before the node goes back by itself.
const CONFIRM_MARGIN: Duration = Duration::from_secs(3);
/// How long findings may take to be over when every node runs it.
const CONCLUDE_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked when nothing is under way: for nodes that did not go back yet, and for an apply whose asker went away
/// before he could wake this task.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(2);

/// Carries out what is open, and what is begun, until the coordinator ends.
pub async fn run(shared: Arc<Shared>) {
    let closing = Arc::clone(&shared);
    tokio::select! {
        () = serve(shared) => {}
        () = closing.closing() => {}
    }
}

async fn serve(shared: Arc<Shared>) {
    let mut backoff = Backoff::STORE;
    // Of an earlier life it is not known.
    let mut is_owed = true;
    loop {
        let done = match shared.store.open_config().await {
            Ok(None) => rest(&shared, &mut is_owed).await,
            Ok(Some(row)) => {
                is_owed = true;
                apply(&shared, row).await
            }
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

/// Nothing is under way.
async fn rest(shared: &Arc<Shared>, is_owed: &mut bool) -> Result<(), Stopped> {
    if *is_owed {
        *is_owed = aftercare::look(shared).await?;
    }
    // Late is not lost: it looks again.
    let _ = timeout(LOOK_AGAIN_EVERY, shared.pushes.begun.notified()).await;
    Ok(())
}

/// Why the task cannot go on now.
#[derive(Debug)]
pub(super) enum Stopped {
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
    /// The groups of each node, before and after.
    memberships: BTreeMap<String, BTreeSet<GroupKey>>,
    lookout: Lookout,
    /// Nodes that have committed, by name.
    settling: BTreeMap<String, Settling>,
    /// Those of them that came well out of it.
    settled: BTreeSet<String>,
}

async fn apply(shared: &Arc<Shared>, row: GenerationRow) -> Result<(), Stopped> {
    let number = row.number;
    // Fencing hears of it before any node does, and again when all of it is over.
    spared::tell(shared, number, Spared::UntilItsEnd).await?;
    carry_out(shared, row).await?;
    spared::tell(shared, number, Spared::NoMore).await?;
    Ok(())
}

async fn carry_out(shared: &Arc<Shared>, row: GenerationRow) -> Result<(), Stopped> {
    let parent = match shared.store.config_generation(row.parent).await? {
        Some(parent) => read(parent.number, &parent.text).ok(),
        None => (row.parent == 0).then(FleetFile::default),
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
    let mut touched = change::touched(&parent, &file);
    for step in shared.store.config_steps(row.number).await? {
        let told = told(shared, &step.node);
        // In a later life of the coordinator also what has committed: then it is watched more than it had to be.
        if !told.runs(&parent.compile(&step.node)) && !told.runs(&file.compile(&step.node)) {
            touched.add_drifted(&step.node, &parent, &file);
        }
    }
    let lookout = Lookout::new(shared, touched, row.created_at_us, is_first).await?;
    let memberships = change::memberships(&parent, &file);
    let (settling, settled) = (BTreeMap::new(), BTreeSet::new());
    let mut apply = Apply { shared, row, file, memberships, lookout, settling, settled };
    tracing::info!(generation = apply.row.number, state = %apply.row.state, "applying the fleet's configuration");
    while apply.step().await? {}
    tracing::info!(generation = apply.row.number, state = %apply.row.state, why = apply.row.why, "the apply is over");
    Ok(())
}

impl Apply<'_> {
    /// Does what is next; false at the end.
    async fn step(&mut self) -> Result<bool, Stopped> {
        let steps = self.shared.store.config_steps(self.row.number).await?;
        match plan::next(self.row.state, &steps, &self.settled) {
            Next::Stage(nodes) => self.stage(nodes).await?,
            Next::Enter(state) => {
                let why = self.why_of(&steps);
                self.enter(state, why).await?;
            }
            Next::CommitSomeOf(nodes) => match self.lookout.trouble(self.shared, false).await? {
                Some(trouble) => self.turn_back(trouble).await?,
                None => {
                    let wave = self.wave(nodes, &steps);
                    self.commit(wave).await?;
                }
            },
            Next::Commit(nodes) => self.commit(nodes).await?,
            Next::Settle(nodes) => self.settle(nodes, &steps).await?,
            Next::Conclude(nodes) => self.conclude(nodes, &steps).await?,
            Next::Confirm(nodes) => self.confirm(nodes).await?,
            Next::RollBackSomeOf(nodes) => {
                let nodes = self.holders_last(nodes);
                self.roll_back(nodes).await?;
            }
            Next::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Every node judges its part; what is known already is not asked.
    async fn stage(&self, nodes: Vec<String>) -> Result<(), Stopped> {
        for some in nodes.chunks(ASKED_BESIDE) {
            let mut asked = Vec::new();
            for node in some {
                let text = self.file.compile(node);
                if told(self.shared, node).runs(&text) {
                    self.note(node, StepState::Unchanged, "it runs this already").await?;
                    continue;
                }
                self.note(node, StepState::Staging, "").await?;
                let what = v1::StageConfig { generation: self.row.number, hash: hash(&text), toml: text };
                asked.push((node.clone(), What::Stage(what)));
            }
            let mut answers = ask(self.shared, &self.id("stage"), asked, STAGE_WITHIN);
            while let Some((node, answer)) = answered(&mut answers).await {
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

    async fn commit(&mut self, nodes: Vec<String>) -> Result<(), Stopped> {
        let (generation, confirm_within_us) = (self.row.number, self.row.confirm_within_us);
        let what = What::Commit(v1::CommitConfig { generation, confirm_within_us });
        let (asked, done) = (StepState::Committing, StepState::Committed);
        match self.take(nodes, ("commit", what), asked, done).await? {
            None => Ok(()),
            Some(error) => self.turn_back(format!("the commit failed: {error}")).await,
        }
    }

    async fn confirm(&mut self, nodes: Vec<String>) -> Result<(), Stopped> {
        let what = What::Confirm(v1::ConfirmConfig { generation: self.row.number });
        let (asked, done) = (StepState::Confirming, StepState::Confirmed);
        match self.take(nodes, ("confirm", what), asked, done).await? {
            None => Ok(()),
            Some(error) => self.turn_back(format!("the confirmation failed: {error}")).await,
        }
    }

    /// Every one of them takes the same step at the same time; gives why the first one did not, when all have answered.
    async fn take(
        &self,
        nodes: Vec<String>,
        (step, what): (&str, What),
        asked: StepState,
        done: StepState,
    ) -> Result<Option<AskError>, Stopped> {
        let mut failed = None;
        for some in nodes.chunks(ASKED_BESIDE) {
            for node in some {
                self.note(node, asked, "").await?;
            }
            let questions = some.iter().map(|node| (node.clone(), what.clone())).collect();
            let mut answers = ask(self.shared, &self.id(step), questions, ANSWER_WITHIN);
            while let Some((node, answer)) = answered(&mut answers).await {
                match answer {
                    Ok(()) => self.note(&node, done, "").await?,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        Ok(failed)
    }

    /// The nodes are heard by their streams, run the generation, and for a while nothing happens that was not meant to.
    async fn settle(&mut self, nodes: Vec<String>, steps: &[StepRow]) -> Result<(), Stopped> {
        loop {
            let trouble = self.lookout.trouble(self.shared, false).await?;
            if let Some(trouble) = trouble.or_else(|| self.look(&nodes, steps)) {
                return self.turn_back(trouble).await;
            }
            if nodes.iter().all(|node| self.settled.contains(node)) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at nodes that have committed, and notes which came well out of it. Gives what speaks against going on.
    fn look(&mut self, nodes: &[String], steps: &[StepRow]) -> Option<String> {
        let within = Duration::from_micros(self.row.confirm_within_us).saturating_sub(CONFIRM_MARGIN);
        let now_us = self.shared.clock.now_us();
        for step in steps.iter().filter(|step| nodes.contains(&step.node)) {
            let node = &step.node;
            let told = told(self.shared, node);
            let least = self.least(&told);
            let settling =
                self.settling.entry(node.clone()).or_insert_with(|| Settling::new(node, step.updated_us));
            match settling.look(&told, self.row.number, now_us) {
                Err(gone_back) => return Some(gone_back),
                Ok(since_us) if since_us.is_some_and(|since_us| passed(since_us, now_us) >= least) => {
                    self.settled.insert(node.clone());
                }
                Ok(_) => drop(self.settled.remove(node)),
            }
            if passed(step.updated_us, now_us) >= within {
                return Some(if self.settled.contains(node) {
                    format!(
                        "{node} would go back by itself before the last node was judged; give it more time (--confirm)"
                    )
                } else {
                    format!("{node} did not come back in time after its commit")
                });
            }
        }
        None
    }

    /// Every node runs it. What was meant to differ in between does not differ any more; then they are to keep it.
    async fn conclude(&mut self, nodes: Vec<String>, steps: &[StepRow]) -> Result<(), Stopped> {
        let begun_us = self.shared.clock.now_us();
        loop {
            let meanwhile = self.lookout.trouble(self.shared, false).await?;
            let trouble = match meanwhile.or_else(|| self.look(&nodes, steps)) {
                Some(trouble) => return self.turn_back(trouble).await,
                None => self.lookout.trouble(self.shared, true).await?,
            };
            let are_settled = nodes.iter().all(|node| self.settled.contains(node));
            let is_late = passed(begun_us, self.shared.clock.now_us()) >= CONCLUDE_WITHIN;
            match trouble {
                None if nodes.is_empty() => return self.enter(ApplyState::Applied, String::new()).await,
                None if are_settled => return self.confirm(nodes).await,
                Some(trouble) if is_late => return self.turn_back(trouble).await,
                None | Some(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn roll_back(&self, nodes: Vec<String>) -> Result<(), Stopped> {
        for some in nodes.chunks(ASKED_BESIDE) {
            for node in some {
                self.note(node, StepState::RollingBack, "").await?;
            }
            let mut answers = ask_back(self.shared, &self.row, some);
            while let Some((node, answer)) = answered(&mut answers).await {
                match went_back(answer) {
                    Ok(words) => self.note(&node, StepState::RolledBack, &words).await?,
                    Err(error) => {
                        let words = format!(
                            "{error}; it is told again when it is heard, and what it did not confirm it gives up by itself"
                        );
                        self.note(&node, StepState::Failed, &words).await?;
                    }
                }
            }
        }
        Ok(())
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
        note(self.shared, self.row.number, node, state, detail).await
    }

    fn id(&self, step: &str) -> String {
        id(&self.row, step)
    }

    /// Who commits next.
    fn wave(&self, staged: Vec<String>, steps: &[StepRow]) -> Vec<String> {
        // All that have committed have settled.
        let committed = steps.iter().filter(|step| step.state == StepState::Committed);
        let proven = committed.flat_map(|step| self.groups(&step.node).into_keys()).collect();
        let ready: Vec<Ready> = staged
            .into_iter()
            .map(|node| Ready { groups: self.groups(&node), waits: self.holds(&node), node })
            .collect();
        wave::next(&ready, &proven)
    }

    /// The groups of a node, with whether it holds their addresses.
    fn groups(&self, node: &str) -> BTreeMap<GroupKey, bool> {
        let told = told(self.shared, node);
        let groups = self.memberships.get(node).into_iter().flatten();
        groups.map(|group| (group.clone(), told.is_master_of(|name| name == group.name))).collect()
    }

    /// Those that hold nothing of what is touched; all, when all do.
    fn holders_last(&self, nodes: Vec<String>) -> Vec<String> {
        let idle: Vec<String> = nodes.iter().filter(|node| !self.holds(node)).cloned().collect();
        if idle.is_empty() { nodes } else { idle }
    }

    /// It holds something of what is touched; or of anything that it is a member of, when none of that is touched: what drifted
    /// is applied again.
    fn holds(&self, node: &str) -> bool {
        let touched = self.lookout.touched();
        let counts = |group: &GroupKey| !touched.nodes.contains(node) || touched.groups.contains_key(group);
        self.groups(node).iter().any(|(group, holds)| *holds && counts(group))
    }

    /// Until every router had the time to miss what it should hear, and the fleet core to say so.
    fn least(&self, told: &Told) -> Duration {
        let groups = &self.lookout.touched().groups;
        let touched =
            told.instances.iter().filter(|instance| groups.keys().any(|key| key.name == instance.instance));
        let longest_us = touched.map(|instance| instance.master_down_us).max().unwrap_or(0);
        let least = Duration::from_micros(longest_us.saturating_mul(2)).max(SETTLE_MIN);
        let quarter = Duration::from_micros(self.row.confirm_within_us) / 4;
        least.saturating_add(SETTLE_MARGIN).min(SETTLE_MAX).min(quarter)
    }

    fn why_of(&self, steps: &[StepRow]) -> String {
        let refused = steps.iter().find(|step| step.state == StepState::Refused);
        refused.map(|step| format!("{} refuses it: {}", step.node, step.detail)).unwrap_or_default()
    }
}
