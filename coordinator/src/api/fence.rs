//! `FenceService`: fencing for people.

mod standing;

use std::sync::Arc;

use hafleet_fleet::{
    NodeName,
    fence::{Consent, FenceVerb, Level, Operation, OperationId, Origin, Refusal, RefusalCode, Rung},
};
use hafleet_proto::v1::{self, fence_service_server::FenceService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::{
    actuator::program::Power,
    api::{
        caller::{self, Caller, Need},
        operator::limit,
        status::{CallError, RequestError, said},
    },
    clock::{duration_us, micros},
    fencing::row,
    finding::EvidenceRecord,
    identity,
    shared::Shared,
    store::{AuditOutcome, FenceFilter, FenceRow},
};

/// A person's words are kept up to here.
const WHY_MAX: usize = 1024;
/// People's tests of fence devices at once: each runs a program.
const TESTS_MAX: usize = 4;

/// The people's way to fencing.
pub struct FenceDesk {
    shared: Arc<Shared>,
    tests: Semaphore,
}

impl FenceDesk {
    /// Over what is shared.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tests: Semaphore::new(TESTS_MAX) }
    }

    fn user<T>(
        &self,
        request: &Request<T>,
        need: Need,
        call: &'static str,
    ) -> Result<Arc<Caller>, RequestError> {
        caller::user(&self.shared, request.extensions(), need, call)
    }

    async fn list(&self, request: v1::ListFencesRequest) -> Result<v1::ListFencesResponse, CallError> {
        let filter = FenceFilter {
            since_us: request.since_us,
            target: (!request.node.is_empty()).then_some(request.node),
            open: request.open,
            limit: limit(request.limit)?,
        };
        let page = self.shared.store.fences(&filter).await?;
        let fences = page.rows.iter().map(fence).collect::<Result<_, _>>()?;
        let fencing = standing::state(&self.shared).await?;
        Ok(v1::ListFencesResponse { fences, truncated: page.truncated, fencing: Some(fencing) })
    }

    async fn get(&self, request: v1::GetFenceRequest) -> Result<v1::Fence, CallError> {
        let found = match number(&request.name) {
            Some(number) => self.shared.store.fence(number).await?,
            None => {
                let filter =
                    FenceFilter { target: Some(request.name.clone()), limit: 1, ..FenceFilter::default() };
                self.shared.store.fences(&filter).await?.rows.pop()
            }
        };
        let row = found.ok_or(RequestError::NotFound { what: "fence", name: request.name })?;
        fence(&row)
    }

    /// The core writes the verb into the audit log, with what became of it.
    async fn ask(&self, caller: &Caller, verb: FenceVerb) -> Result<v1::FenceAnswer, CallError> {
        let answer = self.shared.fleet.ask_fence(caller.actor.clone(), verb).await?;
        let Some(id) = answer.map_err(refused)? else { return Ok(v1::FenceAnswer { fence: None }) };
        let row = self.shared.store.fence(id.0).await?;
        Ok(v1::FenceAnswer { fence: row.as_ref().map(fence).transpose()? })
    }

    async fn approve(&self, request: v1::ApproveFenceRequest) -> Result<FenceVerb, CallError> {
        let operation = id(&request.id)?;
        let up_to = level("up_to", request.up_to())?;
        let row = self.shared.store.fence(operation.0).await?;
        let row = row.ok_or_else(|| RequestError::NotFound { what: "fence", name: request.id.clone() })?;
        let consent = Consent::typed_back(&NodeName(row.target), &request.node_typed);
        Ok(FenceVerb::Approve { operation, up_to, consent })
    }

    async fn test(
        &self,
        caller: &Caller,
        request: v1::TestFenceRequest,
    ) -> Result<v1::TestFenceResponse, CallError> {
        let node = node(&request.node)?;
        let only = match request.level() {
            v1::FenceLevel::Unspecified => None,
            wire => match level("level", wire)? {
                Level::Device(rung) => Some(rung),
                Level::Demote => {
                    let what = "only network and power have a device that can be asked".to_owned();
                    return Err(RequestError::Field { field: "level", what }.into());
                }
            },
        };
        let own = self.shared.steps.devices().filter(|device| device.node == node);
        let rungs: Vec<Rung> =
            own.map(|device| device.rung).filter(|rung| only.is_none_or(|only| only == *rung)).collect();
        if rungs.is_empty() {
            return Err(RequestError::NotFound { what: "fence device of node", name: node.0 }.into());
        }
        let Ok(_place) = self.tests.try_acquire() else {
            let what = format!("{TESTS_MAX} tests of fence devices are under way; try again");
            return Err(RequestError::Conflict { what }.into());
        };
        let (audit, store) = (&self.shared.audit, &self.shared.store);
        let detail = format!("asked from {}", caller.peer);
        audit.record(store, &caller.actor, "fence.test", &node.0, AuditOutcome::Done, detail).await?;
        let mut tested = Vec::new();
        for rung in rungs {
            tested.push(self.test_one(&node, rung).await);
        }
        Ok(v1::TestFenceResponse { tested })
    }

    async fn test_one(&self, node: &NodeName, rung: Rung) -> v1::FenceTested {
        let level = wire(Some(Level::Device(rung))).into();
        match self.shared.steps.status(node, rung).await {
            Ok(ran) => v1::FenceTested {
                level,
                reading: match ran.report.power() {
                    Power::On => "on".into(),
                    Power::Off => "off".into(),
                    Power::Unknown => "unknown".into(),
                },
                command: ran.command,
                exit: self.shared.steps.ending(&ran.report.exit),
                output: ran.report.output,
                took_us: duration_us(ran.report.took),
            },
            Err(error) => {
                let reading = "unknown".into();
                v1::FenceTested { level, reading, exit: said(&error), ..Default::default() }
            }
        }
    }
}

#[tonic::async_trait]
impl FenceService for FenceDesk {
    async fn list(
        &self,
        request: Request<v1::ListFencesRequest>,
    ) -> Result<Response<v1::ListFencesResponse>, Status> {
        self.user(&request, Need::Look, "fence.list")?;
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn get(&self, request: Request<v1::GetFenceRequest>) -> Result<Response<v1::Fence>, Status> {
        self.user(&request, Need::Look, "fence.get")?;
        Ok(Response::new(self.get(request.into_inner()).await?))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeFenceRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::Operate, "fence.propose")?;
        let verb = FenceVerb::Propose { node: node(&request.get_ref().node)? };
        Ok(Response::new(self.ask(&caller, verb).await?))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveFenceRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.approve")?;
        let verb = self.approve(request.into_inner()).await?;
        Ok(Response::new(self.ask(&caller, verb).await?))
    }

    async fn deny(
        &self,
        request: Request<v1::DenyFenceRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.deny")?;
        let request = request.into_inner();
        if request.why.len() > WHY_MAX {
            let what = format!("has {} bytes; at most {WHY_MAX}", request.why.len());
            return Err(RequestError::Field { field: "why", what }.into());
        }
        let verb = FenceVerb::Deny { operation: id(&request.id)?, why: request.why };
        Ok(Response::new(self.ask(&caller, verb).await?))
    }

    async fn run(&self, request: Request<v1::RunFenceRequest>) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.run")?;
        let request = request.into_inner();
        let (node, level) = (node(&request.node)?, level("level", request.level())?);
        let consent = Consent::typed_back(&node, &request.node_typed);
        Ok(Response::new(self.ask(&caller, FenceVerb::Run { node, level, consent }).await?))
    }

    async fn confirm(
        &self,
        request: Request<v1::ConfirmFenceRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.confirm")?;
        let verb = FenceVerb::Confirm { node: node(&request.get_ref().node)? };
        Ok(Response::new(self.ask(&caller, verb).await?))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseFenceRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.release")?;
        let verb = FenceVerb::Release { node: node(&request.get_ref().node)? };
        Ok(Response::new(self.ask(&caller, verb).await?))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseFencingRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::CheckFence, "fence.pause")?;
        Ok(Response::new(self.ask(&caller, FenceVerb::Pause).await?))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeFencingRequest>,
    ) -> Result<Response<v1::FenceAnswer>, Status> {
        let caller = self.user(&request, Need::ApproveFence, "fence.resume")?;
        Ok(Response::new(self.ask(&caller, FenceVerb::Resume).await?))
    }

    async fn test(
        &self,
        request: Request<v1::TestFenceRequest>,
    ) -> Result<Response<v1::TestFenceResponse>, Status> {
        let caller = self.user(&request, Need::CheckFence, "fence.test")?;
        Ok(Response::new(self.test(&caller, request.into_inner()).await?))
    }
}

fn node(name: &str) -> Result<NodeName, RequestError> {
    identity::node_name(name).map_err(|error| RequestError::Field { field: "node", what: error.to_string() })
}

fn id(text: &str) -> Result<OperationId, RequestError> {
    let what = || format!("`{text}` is not fence/N");
    number(text).map(OperationId).ok_or_else(|| RequestError::Field { field: "id", what: what() })
}

/// `17` of `fence/17`.
fn number(text: &str) -> Option<u64> {
    text.strip_prefix("fence/")?.parse().ok()
}

fn level(field: &'static str, level: v1::FenceLevel) -> Result<Level, RequestError> {
    match level {
        v1::FenceLevel::Demote => Ok(Level::Demote),
        v1::FenceLevel::Network => Ok(Level::Device(Rung::Network)),
        v1::FenceLevel::Power => Ok(Level::Device(Rung::Power)),
        v1::FenceLevel::Unspecified => {
            Err(RequestError::Field { field, what: "name demote, network or power".into() })
        }
    }
}

fn wire(level: Option<Level>) -> v1::FenceLevel {
    match level {
        None => v1::FenceLevel::Unspecified,
        Some(Level::Demote) => v1::FenceLevel::Demote,
        Some(Level::Device(Rung::Network)) => v1::FenceLevel::Network,
        Some(Level::Device(Rung::Power)) => v1::FenceLevel::Power,
    }
}

/// Every refusal keeps its code: programs go by it.
fn refused(refusal: Refusal) -> RequestError {
    let Refusal { code, words } = refusal;
    match code {
        RefusalCode::UnknownNode | RefusalCode::UnknownOperation | RefusalCode::NothingToRelease => {
            RequestError::NoFence { what: format!("{words} ({code})") }
        }
        RefusalCode::ConsentMissing => RequestError::Field { field: "node_typed", what: words },
        // All else is in the way of it.
        _ => RequestError::Conflict { what: format!("{words} ({code})") },
    }
}

fn fence(row: &FenceRow) -> Result<v1::Fence, CallError> {
    let Operation {
        id,
        revision,
        epoch,
        target,
        site,
        groups,
        instances,
        survivors,
        origin,
        state,
        entered_at,
        reason,
        detail,
        explanation,
        proposed_at,
        approved_by,
        approved_up_to,
        taken,
        ordered,
        withdrawn,
        aftercare,
        evidence,
    } = row::operation(row)?;
    let (origin, by) = match origin {
        Origin::Detection => ("detection", String::new()),
        Origin::Proposal(by) => ("proposal", by),
        Origin::Order(by) => ("order", by),
        Origin::Vouched(by) => ("vouched", by),
    };
    Ok(v1::Fence {
        id: id.to_string(),
        target: target.0,
        site: site.0,
        groups: groups.iter().map(ToString::to_string).collect(),
        instances: instances.into_iter().collect(),
        survivors: survivors.into_iter().map(|(key, node)| (key.to_string(), node.0)).collect(),
        origin: origin.into(),
        by,
        state: state.as_str().into(),
        since_us: micros(entered_at),
        reason,
        detail,
        explanation,
        proposed_at_us: micros(proposed_at),
        approved_by: approved_by.unwrap_or_default(),
        approved_up_to: wire(approved_up_to).into(),
        taken: wire(taken).into(),
        holds_order: ordered && !withdrawn,
        aftercare: row::aftercare_word(aftercare).into(),
        evidence: evidence.iter().map(|fact| EvidenceRecord::from(fact).into()).collect(),
        epoch,
        revision,
    })
}
