//! One step against one node: asked of its agent, or taken by a fence program. The epoch is looked up right before.
//!
//! Whatever happens becomes an answer to the core. What could not be begun is `Failed`, what did not answer `TimedOut`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hafleet_fleet::{
    NodeName,
    fence::{
        Device, FenceEffect, FenceInput, FenceWindows, OperationId, Outcome, Reading, Rung, StepAction, Trace,
    },
};
use hafleet_proto::v1::{self, request::Request as What};
use tokio::{
    sync::{Mutex, OnceCell},
    time::{Instant, sleep, timeout},
};

use crate::{
    actuator::{
        agent::{AgentActuator, AskError},
        program::{self, Action, Exit, FenceProgram, Power, ProgramError, Report},
    },
    api::status::said,
    clock::duration_us,
    config::{FenceDevice, Fencing},
    sessions::roster::Roster,
    store::{Store, StoreError},
};

/// How long the database may take to say which epoch is the newest.
const EPOCH_WITHIN: Duration = Duration::from_secs(3);
/// What is left of a step's time for a program that has to be killed, and for the way of the answer.
const MARGIN: Duration = Duration::from_secs(3);
/// When an agent has all the questions that it may have, it is asked after this.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// What ending a program may take when its time is over.
const KILLED: Duration = Duration::from_secs(5);
/// How often a status that no operation wants looks whether its device is free.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Who gives orders of fencing, for people who look at the host.
const BY: &str = "hafleet";

/// Takes steps.
#[derive(Debug)]
pub struct Steps {
    store: Store,
    roster: Arc<Roster>,
    agents: Arc<AgentActuator>,
    devices: BTreeMap<(NodeName, Rung), Slot>,
    windows: FenceWindows,
    asked: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    device: FenceDevice,
    /// Made at its first use: to ask a program what it takes is to run it.
    program: OnceCell<FenceProgram>,
    /// Held while it is used; one for all devices of its name.
    turn: Arc<Mutex<()>>,
}

impl Slot {
    fn busy(&self) -> StepError {
        StepError::Busy { name: self.device.name.clone() }
    }
}

/// Why a step cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Another coordinator leads.
    #[error("the step is of epoch {given}, and {newest} is taken: another coordinator leads")]
    Stale {
        /// The step's.
        given: u64,
        /// The store's.
        newest: u64,
    },
    /// Whether another one leads is not known.
    #[error("the epoch, or the operation's order, cannot be looked up")]
    Epoch(#[from] StoreError),
    /// The database says nothing.
    #[error("the database has not told the epoch or the order within {} s", EPOCH_WITHIN.as_secs())]
    NoEpoch,
    /// What is not written down is not done.
    #[error("{operation} is not in the database")]
    NotWritten {
        /// Which.
        operation: OperationId,
    },
    /// It cannot be told.
    #[error("{node} is not connected; it was not told")]
    NotConnected {
        /// Whom.
        node: NodeName,
    },
    /// Its agent did not do it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There is nothing to fence it with.
    #[error("{node} has no fence device for {rung} in coordinator.toml")]
    NoDevice {
        /// Whom.
        node: NodeName,
        /// How.
        rung: Rung,
    },
    /// Two of one name are never used at once.
    #[error("the fence device `{}` is in use; try again", name.0)]
    Busy {
        /// Its name.
        name: Device,
    },
    /// The program cannot be used.
    #[error("the fence device for {rung} of {node} cannot be used")]
    Program {
        /// Whom.
        node: NodeName,
        /// How.
        rung: Rung,
        /// Why.
        #[source]
        source: ProgramError,
    },
}

/// A run of a program.
#[derive(Debug)]
pub struct Ran {
    /// What it showed.
    pub report: Report,
    /// The command without its secrets.
    pub command: String,
}

impl Steps {
    /// With the devices of the configuration.
    pub fn new(store: Store, roster: Arc<Roster>, agents: Arc<AgentActuator>, fencing: &Fencing) -> Self {
        let mut turns: BTreeMap<Device, Arc<Mutex<()>>> = BTreeMap::new();
        let slot = |device: &FenceDevice| {
            let turn = Arc::clone(turns.entry(device.name.clone()).or_default());
            let slot = Slot { device: device.clone(), program: OnceCell::new(), turn };
            ((device.node.clone(), device.rung), slot)
        };
        let devices = fencing.devices.iter().map(slot).collect();
        Self { store, roster, agents, devices, windows: fencing.policy.windows, asked: AtomicU64::new(0) }
    }

    /// Takes the step and says what came of it; `None` for what is no step.
    pub async fn take(&self, effect: FenceEffect) -> Option<FenceInput> {
        match effect {
            FenceEffect::Demote { epoch, operation, node, instances, why } => {
                let what = |id| {
                    What::Give(v1::Order {
                        id,
                        instances,
                        until_us: 0,
                        by: BY.into(),
                        why,
                        order: Some(v1::order::Order::Demote(v1::Demote {})),
                    })
                };
                let outcome = self.agent(epoch, operation, &node, "demote", what).await;
                Some(FenceInput::Demoted { operation, outcome })
            }
            FenceEffect::Withdraw { epoch, operation, node } => {
                let what = |order_id| What::Withdraw(v1::Withdraw { order_id });
                let outcome = self.agent(epoch, operation, &node, "withdraw", what).await;
                Some(FenceInput::Withdrawn { operation, outcome })
            }
            FenceEffect::Announce { epoch, operation, node, groups: _, instances } => {
                let what = |_order_id| What::Announce(v1::Announce { instances });
                let outcome = self.agent(epoch, operation, &node, "announce", what).await;
                Some(FenceInput::Announced { operation, node, outcome })
            }
            FenceEffect::RunStep { epoch, operation, revision, node, rung, action, device: _ } => {
                Some(self.program_step(epoch, operation, revision, &node, rung, action).await)
            }
            FenceEffect::VerifyPath { node, rung, device: _ } => {
                let outcome = self.verify(&node, rung).await;
                Some(FenceInput::PathVerified { node, rung, outcome })
            }
            FenceEffect::Write(_) | FenceEffect::Audit(_) | FenceEffect::Answer { .. } => None,
        }
    }

    /// Asks a device for its status, changing nothing, in the time that it will have when a fence is verified: one that needs
    /// more would leave everybody without an answer then. It does not queue for one that is in use: what an operation wants of it
    /// comes before.
    ///
    /// # Errors
    /// There is no such device, it is in use, or its program cannot be used.
    pub async fn status(&self, node: &NodeName, rung: Rung) -> Result<Ran, StepError> {
        // What it takes is asked of the program before: nobody waits for that.
        self.program(node, rung).await?;
        let (slot, began) = (self.slot(node, rung)?, Instant::now());
        let _turn = loop {
            match slot.turn.try_lock() {
                Ok(turn) => break turn,
                // Another status is soon over.
                Err(_) if began.elapsed() < before(self.windows.poll) + KILLED => sleep(LOOK_AGAIN).await,
                Err(_) => return Err(slot.busy()),
            }
        };
        self.run(node, rung, Action::Status, before(self.windows.poll)).await
    }

    /// How a status ended, and what to do about one that took too long.
    pub fn ending(&self, exit: &Exit) -> String {
        let (within, poll) = (before(self.windows.poll).as_secs_f64(), self.windows.poll.as_secs_f64());
        match exit {
            Exit::TimedOut => format!(
                "timed out after {within} s, which is what `fencing.windows.poll` ({poll} s) leaves it; raise that for a \
                 device that is slow"
            ),
            Exit::Code(_) | Exit::Signal(_) | Exit::Failed(_) => exit.to_string(),
        }
    }

    /// Every device, in order.
    pub fn devices(&self) -> impl Iterator<Item = &FenceDevice> {
        self.devices.values().map(|slot| &slot.device)
    }

    async fn may(&self, epoch: u64) -> Result<(), StepError> {
        let newest =
            timeout(EPOCH_WITHIN, self.store.fence_epoch()).await.map_err(|_| StepError::NoEpoch)??;
        if newest == epoch { Ok(()) } else { Err(StepError::Stale { given: epoch, newest }) }
    }

    /// Not the operation's number alone: a restored database gives that again, and an agent that had the other one's order would
    /// take this one for done.
    async fn order_id(&self, operation: OperationId) -> Result<String, StepError> {
        let found = timeout(EPOCH_WITHIN, self.store.fence_order_id(operation.0));
        let found = found.await.map_err(|_| StepError::NoEpoch)??;
        found.ok_or(StepError::NotWritten { operation })
    }

    async fn agent(
        &self,
        epoch: u64,
        operation: OperationId,
        node: &NodeName,
        verb: &str,
        what: impl FnOnce(String) -> What,
    ) -> Outcome {
        // An order may be given again with more instances: each question is one of its own.
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = async {
            let order_id = self.order_id(operation).await?;
            let id = format!("{order_id}/{verb}/{epoch}.{number}");
            let what = what(order_id);
            let deadline = Instant::now() + self.windows.demote;
            loop {
                self.may(epoch).await?;
                if !self.roster.with(node, |entry| entry.live.is_some()) {
                    return Err(StepError::NotConnected { node: node.clone() });
                }
                let left = deadline.saturating_duration_since(Instant::now());
                match self.agents.ask(node, &id, what.clone(), left).await {
                    // It has refused nothing: others ask it just now.
                    Err(AskError::Busy { .. }) if left > BUSY_PAUSE => sleep(BUSY_PAUSE).await,
                    asked => return Ok(asked?),
                }
            }
        };
        let Err(error) = asked.await else {
            tracing::info!(%operation, %node, "{verb}: done");
            return Outcome::Done;
        };
        tracing::error!(%operation, %node, "{verb}: {}", said(&error));
        match error {
            // What it may do yet is waited for: whether it lets go is seen.
            StepError::Ask(error) if error.may_be_done() => Outcome::TimedOut,
            StepError::Ask(AskError::NoAnswer { .. } | AskError::Busy { .. }) => Outcome::TimedOut,
            StepError::Ask(AskError::NotTold { .. } | AskError::Refused { .. }) => Outcome::Failed,
            StepError::Stale { .. }
            | StepError::Epoch(_)
            | StepError::NoEpoch
            | StepError::NotWritten { .. } => Outcome::Failed,
            StepError::NotConnected { .. }
            | StepError::NoDevice { .. }
            | StepError::Busy { .. }
            | StepError::Program { .. } => Outcome::Failed,
        }
    }

    async fn program_step(
        &self,
        epoch: u64,
        operation: OperationId,
        revision: u64,
        node: &NodeName,
        rung: Rung,
        action: StepAction,
    ) -> FenceInput {
        let (action, within) = match action {
            StepAction::Off => (Action::Off, before(self.windows.step)),
            StepAction::Status => (Action::Status, before(self.windows.poll)),
        };
        let ran = async {
            let began = Instant::now();
            // Its program is made, and its turn has come, before the epoch is looked up: nothing lies between that and the step.
            // Nobody queues but operations, which the core keeps apart: it waits for one status at most.
            self.program(node, rung).await?;
            let slot = self.slot(node, rung)?;
            let _turn = timeout(within, slot.turn.lock()).await.map_err(|_| slot.busy())?;
            self.may(epoch).await?;
            self.run(node, rung, action, within.saturating_sub(began.elapsed())).await
        };
        let ran = ran.await;
        match &ran {
            Ok(ran) => {
                tracing::info!(%operation, %node, %rung, "{}: {}", ran.command, ran.report.exit);
            }
            Err(error) => {
                tracing::error!(%operation, %node, %rung, "{}: {}", action.as_str(), said(error));
            }
        }
        let (outcome, reading) = match &ran {
            Ok(ran) => (outcome(&ran.report), reading(&ran.report)),
            Err(_) => (Outcome::Failed, Reading::Unknown),
        };
        let trace = trace(ran, action);
        match action {
            Action::Status | Action::Monitor => FenceInput::Status { operation, revision, reading, trace },
            Action::Off | Action::On => FenceInput::Ran { operation, revision, outcome, trace },
        }
    }

    async fn verify(&self, node: &NodeName, rung: Rung) -> Outcome {
        let ran = match self.status(node, rung).await {
            Ok(ran) => ran,
            Err(error) => {
                tracing::error!(%node, %rung, "its fence path cannot be verified: {}", said(&error));
                return Outcome::Failed;
            }
        };
        let power = ran.report.power();
        if power == Power::Unknown {
            let ending = self.ending(&ran.report.exit);
            tracing::error!(%node, %rung, "its fence path is broken: {}: {ending}", ran.command);
        }
        match (power, &ran.report.exit) {
            (Power::On | Power::Off, _) => Outcome::Done,
            (Power::Unknown, Exit::TimedOut) => Outcome::TimedOut,
            (Power::Unknown, Exit::Code(0)) => Outcome::Unknown,
            (Power::Unknown, Exit::Code(_) | Exit::Signal(_) | Exit::Failed(_)) => Outcome::Failed,
        }
    }

    async fn run(
        &self,
        node: &NodeName,
        rung: Rung,
        action: Action,
        within: Duration,
    ) -> Result<Ran, StepError> {
        let program = self.program(node, rung).await?;
        let report = program.act(action, within).await;
        Ok(Ran { report, command: program.command(action) })
    }

    fn slot(&self, node: &NodeName, rung: Rung) -> Result<&Slot, StepError> {
        let slot = self.devices.get(&(node.clone(), rung));
        slot.ok_or_else(|| StepError::NoDevice { node: node.clone(), rung })
    }

    async fn program(&self, node: &NodeName, rung: Rung) -> Result<&FenceProgram, StepError> {
        let slot = self.slot(node, rung)?;
        let made = slot.program.get_or_try_init(|| make(&slot.device)).await;
        made.map_err(|source| StepError::Program { node: node.clone(), rung, source })
    }
}

/// It does something to a node: what it was decided by must still be true.
pub fn cannot_wait(effect: &FenceEffect) -> bool {
    match effect {
        FenceEffect::Demote { .. } => true,
        FenceEffect::RunStep { action, .. } => *action == StepAction::Off,
        FenceEffect::Withdraw { .. } | FenceEffect::Announce { .. } | FenceEffect::VerifyPath { .. } => false,
        FenceEffect::Write(_) | FenceEffect::Audit(_) | FenceEffect::Answer { .. } => false,
    }
}

/// What the core is told of a step that was not begun; `None` for what is no step.
pub fn not_begun(effect: &FenceEffect, why: &str) -> Option<FenceInput> {
    tracing::error!(?effect, "a step of fencing is not begun: {why}");
    let outcome = Outcome::Failed;
    let trace = |action: Action| Trace {
        command: action.as_str().into(),
        exit_code: None,
        tail: format!("not begun: {why}"),
        took_us: 0,
    };
    match effect {
        FenceEffect::Demote { operation, .. } => Some(FenceInput::Demoted { operation: *operation, outcome }),
        FenceEffect::Withdraw { operation, .. } => {
            Some(FenceInput::Withdrawn { operation: *operation, outcome })
        }
        FenceEffect::Announce { operation, node, .. } => {
            Some(FenceInput::Announced { operation: *operation, node: node.clone(), outcome })
        }
        FenceEffect::RunStep { operation, revision, action, .. } => {
            let (operation, revision) = (*operation, *revision);
            Some(match action {
                StepAction::Off => {
                    FenceInput::Ran { operation, revision, outcome, trace: trace(Action::Off) }
                }
                StepAction::Status => {
                    let (reading, trace) = (Reading::Unknown, trace(Action::Status));
                    FenceInput::Status { operation, revision, reading, trace }
                }
            })
        }
        FenceEffect::VerifyPath { node, rung, .. } => {
            Some(FenceInput::PathVerified { node: node.clone(), rung: *rung, outcome })
        }
        FenceEffect::Write(_) | FenceEffect::Audit(_) | FenceEffect::Answer { .. } => None,
    }
}

/// Whether the program of a device can be run so; the names of its parameters that are secret and given in plain sight.
///
/// # Errors
/// It cannot be run so.
pub async fn check(device: &FenceDevice) -> Result<Vec<String>, ProgramError> {
    let metadata = FenceProgram::metadata(&device.program).await?;
    FenceProgram::new(&device.program, &metadata, device.parameters.clone())?;
    Ok(program::exposed(&metadata, &device.parameters).into_iter().map(str::to_owned).collect())
}

/// The program of a device, as it says itself what it takes.
async fn make(device: &FenceDevice) -> Result<FenceProgram, ProgramError> {
    let metadata = FenceProgram::metadata(&device.program).await?;
    FenceProgram::new(&device.program, &metadata, device.parameters.clone())
}

/// Whether a program says that it did what it was told.
fn outcome(report: &Report) -> Outcome {
    match &report.exit {
        Exit::Code(0) => Outcome::Done,
        // It was not begun, or says itself that it did not come to it.
        Exit::Code(_) | Exit::Failed(_) => Outcome::Failed,
        Exit::TimedOut => Outcome::TimedOut,
        Exit::Signal(_) => Outcome::Unknown,
    }
}

fn reading(report: &Report) -> Reading {
    match report.power() {
        Power::On => Reading::On,
        Power::Off => Reading::Off,
        Power::Unknown => Reading::Unknown,
    }
}

fn trace(ran: Result<Ran, StepError>, action: Action) -> Trace {
    match ran {
        Ok(Ran { report, command }) => {
            let (exit_code, ending) = match &report.exit {
                Exit::Code(code) => (Some(*code), String::new()),
                Exit::Signal(_) | Exit::TimedOut | Exit::Failed(_) => (None, format!("{}\n", report.exit)),
            };
            let took_us = duration_us(report.took);
            Trace { command, exit_code, tail: format!("{ending}{}", report.output), took_us }
        }
        Err(error) => {
            Trace { command: action.as_str().into(), exit_code: None, tail: said(&error), took_us: 0 }
        }
    }
}

/// So that a program's end is told before the core takes it for timed out.
fn before(window: Duration) -> Duration {
    window.saturating_sub(MARGIN).max(window / 2)
}

#[cfg(test)]
mod tests;
