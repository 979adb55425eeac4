//! `OperatorService`: what hactl and the dashboard ask.

use std::{sync::Arc, time::Duration};

use hafleet_fleet::{Input, view::GroupView};
use hafleet_proto::v1::{self, operator_service_server::OperatorService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    api::{
        caller::{self, Caller, Need},
        fleet, group, operate, probe,
        status::{CallError, RequestError},
        users, watch,
    },
    clock::rfc3339,
    finding::Record,
    identity::{self, token::JoinToken},
    shared::Shared,
    store::{
        AuditFilter, AuditOutcome, AuditRow, FindingFilter, MAX_ROWS, NewToken, OrderKind, OrderRow,
        StoreError, TokenRow, TransitionFilter,
    },
};

const LIMIT_DEFAULT: u32 = 100;
const TOKEN_LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);
const TOKEN_LIFETIME_MIN: Duration = Duration::from_secs(60);
const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The operators' API.
pub struct Operators {
    shared: Arc<Shared>,
}

impl Operators {
    /// Over what is shared.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn user<T>(
        &self,
        request: &Request<T>,
        need: Need,
        call: &'static str,
    ) -> Result<Arc<Caller>, RequestError> {
        caller::user(&self.shared, request.extensions(), need, call)
    }

    async fn findings(
        &self,
        request: v1::ListFindingsRequest,
    ) -> Result<v1::ListFindingsResponse, CallError> {
        let filter = FindingFilter {
            include_resolved: request.include_resolved,
            since_us: request.since_us,
            id: (!request.id.is_empty()).then_some(request.id),
            limit: limit(request.limit)?,
        };
        let page = self.shared.store.findings(&filter).await?;
        let findings: Result<Vec<_>, _> =
            page.rows.into_iter().map(|row| Record::try_from(row).map(v1::Finding::from)).collect();
        Ok(v1::ListFindingsResponse { findings: findings?, truncated: page.truncated })
    }

    async fn transitions(
        &self,
        request: v1::ListTransitionsRequest,
    ) -> Result<v1::ListTransitionsResponse, CallError> {
        let members = match request.group.as_str() {
            "" => None,
            group => Some(self.members(group).await?),
        };
        let filter = TransitionFilter {
            since_us: request.since_us,
            node: (!request.node.is_empty()).then_some(request.node),
            instance: (!request.instance.is_empty()).then_some(request.instance),
            nodes_and_instances: members,
            limit: limit(request.limit)?,
        };
        let page = self.shared.store.transitions(&filter).await?;
        let transitions = page.rows.into_iter().map(fleet::transition).collect();
        Ok(v1::ListTransitionsResponse { transitions, truncated: page.truncated })
    }

    /// Every (node, instance) of the groups with this name or address.
    async fn members(&self, name: &str) -> Result<Vec<(String, String)>, CallError> {
        let view = self.shared.fleet.view().await?;
        let groups: Vec<&GroupView> =
            view.groups.iter().filter(|group| group::is_called(group, name, "")).collect();
        if groups.is_empty() {
            return Err(RequestError::NotFound { what: "group", name: name.to_owned() }.into());
        }
        let members = groups.iter().flat_map(|group| &group.members);
        Ok(members.map(|member| (member.node.0.clone(), member.report.instance.clone())).collect())
    }

    async fn explain(&self, request: v1::ExplainGroupRequest) -> Result<v1::ExplainGroupResponse, CallError> {
        let view = self.shared.fleet.view().await?;
        let group = group::find(&view, &request.group, &request.site)?;
        let mut sentences = self.shared.fleet.explain(group.key.clone()).await?.unwrap_or_default();
        let orders = self.shared.orders.open().into_iter();
        sentences.extend(orders.filter(|order| concerns(order, group)).map(|order| told(&order)));
        let subject = group.key.to_string();
        let findings = view.findings.iter().filter(|finding| finding.subject == subject);
        Ok(v1::ExplainGroupResponse {
            group: Some(fleet::group(group)),
            sentences,
            findings: findings.map(|finding| Record::from(finding).into()).collect(),
        })
    }

    async fn create_token(
        &self,
        caller: &Caller,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, CallError> {
        let node = match request.node.as_str() {
            "" => None,
            name => Some(
                identity::node_name(name)
                    .map_err(|error| RequestError::Field { field: "node", what: error.to_string() })?
                    .0,
            ),
        };
        let lifetime = match request.lifetime_s {
            0 => TOKEN_LIFETIME_DEFAULT,
            seconds => Duration::from_secs(seconds),
        };
        if !(TOKEN_LIFETIME_MIN..=TOKEN_LIFETIME_MAX).contains(&lifetime) {
            let what = format!("{} s; a token lives 1 minute to 7 days", lifetime.as_secs());
            return Err(RequestError::Field { field: "lifetime_s", what }.into());
        }
        let token = JoinToken::generate(self.shared.ca.fingerprint())?;
        let now_us = self.shared.clock.now_us();
        let lifetime_us = i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX);
        let new = NewToken {
            id: token.id.clone(),
            secret_hash: token.secret_hash(),
            node: node.clone(),
            created_by: caller.actor.clone(),
            created_at_us: now_us,
            expires_at_us: now_us.saturating_add(lifetime_us),
        };
        let detail = format!("token {} for {}", token.id, node.as_deref().unwrap_or("any node"));
        self.record(caller, "token.create", node.as_deref().unwrap_or_default(), detail).await?;
        self.shared.store.create_token(&new).await?;
        Ok(v1::CreateTokenResponse {
            token: token.to_string(),
            id: token.id,
            expires_at_us: new.expires_at_us,
        })
    }

    async fn revoke(&self, caller: &Caller, request: v1::RevokeNodeRequest) -> Result<(), CallError> {
        let field = |what| RequestError::Field { field: "node", what };
        let node = identity::node_name(&request.node).map_err(|error| field(error.to_string()))?;
        if self.shared.store.node(&node.0).await?.is_none() {
            return Err(RequestError::NotFound { what: "node", name: node.0 }.into());
        }
        self.record(caller, "node.revoke", &node.0, format!("asked from {}", caller.peer)).await?;
        self.shared.store.revoke_node(&node.0, self.shared.clock.now_us()).await?;
        self.shared.revoked.insert(node.clone());
        self.shared.roster.revoke(&node);
        self.shared.fleet.tell(Input::NodeRemoved { node }, self.shared.clock.now()).await?;
        Ok(())
    }

    async fn audit(&self, request: v1::ListAuditRequest) -> Result<v1::ListAuditResponse, CallError> {
        let outcome = match request.outcome.as_str() {
            "" => None,
            word => Some(word.parse().map_err(|_| RequestError::Field {
                field: "outcome",
                what: "only `done` and `refused` are outcomes".into(),
            })?),
        };
        let filter = AuditFilter {
            since_us: request.since_us,
            name: (!request.name.is_empty()).then_some(request.name),
            action: (!request.action.is_empty()).then_some(request.action),
            outcome,
            limit: limit(request.limit)?,
        };
        let page = self.shared.store.audit(&filter).await?;
        let record = |row: AuditRow| v1::AuditRecord {
            at_us: row.at_us,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            outcome: row.outcome.as_str().into(),
            detail: row.detail,
        };
        Ok(v1::ListAuditResponse {
            records: page.rows.into_iter().map(record).collect(),
            truncated: page.truncated,
        })
    }

    async fn record(
        &self,
        caller: &Caller,
        action: &str,
        subject: &str,
        detail: String,
    ) -> Result<(), StoreError> {
        let (audit, store) = (&self.shared.audit, &self.shared.store);
        audit.record(store, &caller.actor, action, subject, AuditOutcome::Done, detail).await
    }
}

#[tonic::async_trait]
impl OperatorService for Operators {
    type WatchStream = ReceiverStream<Result<v1::WatchEvent, Status>>;

    async fn get_fleet(&self, request: Request<v1::GetFleetRequest>) -> Result<Response<v1::Fleet>, Status> {
        self.user(&request, Need::Look, "fleet.get")?;
        Ok(Response::new(fleet::fleet(&self.shared).await?))
    }

    async fn list_findings(
        &self,
        request: Request<v1::ListFindingsRequest>,
    ) -> Result<Response<v1::ListFindingsResponse>, Status> {
        self.user(&request, Need::Look, "finding.list")?;
        Ok(Response::new(self.findings(request.into_inner()).await?))
    }

    async fn list_transitions(
        &self,
        request: Request<v1::ListTransitionsRequest>,
    ) -> Result<Response<v1::ListTransitionsResponse>, Status> {
        self.user(&request, Need::Look, "transition.list")?;
        Ok(Response::new(self.transitions(request.into_inner()).await?))
    }

    async fn explain_group(
        &self,
        request: Request<v1::ExplainGroupRequest>,
    ) -> Result<Response<v1::ExplainGroupResponse>, Status> {
        self.user(&request, Need::Look, "group.explain")?;
        Ok(Response::new(self.explain(request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.user(&request, Need::Look, "watch")?;
        Ok(Response::new(watch::serve(Arc::clone(&self.shared), caller)))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = self.user(&request, Need::Administer, "token.create")?;
        Ok(Response::new(self.create_token(&caller, request.into_inner()).await?))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        self.user(&request, Need::Administer, "token.list")?;
        let page = self.shared.store.tokens().await.map_err(CallError::from)?;
        Ok(Response::new(v1::ListTokensResponse { tokens: page.rows.into_iter().map(token).collect() }))
    }

    async fn revoke_node(
        &self,
        request: Request<v1::RevokeNodeRequest>,
    ) -> Result<Response<v1::RevokeNodeResponse>, Status> {
        let caller = self.user(&request, Need::Administer, "node.revoke")?;
        self.revoke(&caller, request.into_inner()).await?;
        Ok(Response::new(v1::RevokeNodeResponse {}))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        self.user(&request, Need::Look, "audit.list")?;
        Ok(Response::new(self.audit(request.into_inner()).await?))
    }

    async fn add_user(
        &self,
        request: Request<v1::AddUserRequest>,
    ) -> Result<Response<v1::AddUserResponse>, Status> {
        let caller = self.user(&request, Need::Administer, "user.add")?;
        Ok(Response::new(users::add(&self.shared, &caller, request.into_inner()).await?))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        self.user(&request, Need::Administer, "user.list")?;
        Ok(Response::new(users::list(&self.shared).await?))
    }

    async fn revoke_user(
        &self,
        request: Request<v1::RevokeUserRequest>,
    ) -> Result<Response<v1::RevokeUserResponse>, Status> {
        let caller = self.user(&request, Need::Administer, "user.revoke")?;
        users::revoke(&self.shared, &caller, request.into_inner()).await?;
        Ok(Response::new(v1::RevokeUserResponse {}))
    }

    async fn switch_over(
        &self,
        request: Request<v1::SwitchOverRequest>,
    ) -> Result<Response<v1::SwitchOverResponse>, Status> {
        let caller = self.user(&request, Need::Operate, "switchover")?;
        Ok(Response::new(operate::switch_over(&self.shared, &caller, request.into_inner()).await?))
    }

    async fn undo_switch_over(
        &self,
        request: Request<v1::UndoSwitchOverRequest>,
    ) -> Result<Response<v1::UndoSwitchOverResponse>, Status> {
        let caller = self.user(&request, Need::Operate, "switchover.undo")?;
        Ok(Response::new(operate::undo(&self.shared, &caller, request.into_inner()).await?))
    }

    async fn set_maintenance(
        &self,
        request: Request<v1::SetMaintenanceRequest>,
    ) -> Result<Response<v1::SetMaintenanceResponse>, Status> {
        let call = if request.get_ref().on { "maintenance.on" } else { "maintenance.off" };
        let caller = self.user(&request, Need::Operate, call)?;
        Ok(Response::new(operate::maintain(&self.shared, &caller, request.into_inner()).await?))
    }

    async fn probe_group(
        &self,
        request: Request<v1::ProbeGroupRequest>,
    ) -> Result<Response<v1::ProbeGroupResponse>, Status> {
        self.user(&request, Need::Operate, "group.probe")?;
        Ok(Response::new(probe::probe(&self.shared, request.into_inner()).await?))
    }
}

fn token(row: TokenRow) -> v1::Token {
    v1::Token {
        id: row.id,
        node: row.node.unwrap_or_default(),
        created_by: row.created_by,
        created_at_us: row.created_at_us,
        expires_at_us: row.expires_at_us,
        used_at_us: row.used_at_us.unwrap_or_default(),
        used_by: row.used_by.unwrap_or_default(),
    }
}

/// It says who is to hold this group, or who is not to.
fn concerns(order: &OrderRow, group: &GroupView) -> bool {
    match order.kind {
        OrderKind::Switchover => order.subject == group.key.to_string(),
        OrderKind::Maintenance => group.members.iter().any(|member| member.node.0 == order.node),
    }
}

fn told(order: &OrderRow) -> String {
    let what = match (order.kind, order.priority) {
        (OrderKind::Switchover, Some(priority)) => format!("takes it with priority {priority}"),
        (OrderKind::Switchover, None) => "takes it".to_owned(),
        (OrderKind::Maintenance, _) => "takes nothing: it is in maintenance".to_owned(),
    };
    let until = order.until_us.map(|until_us| format!(" until {}", rfc3339(until_us))).unwrap_or_default();
    let why = if order.why.is_empty() { String::new() } else { format!(" ({})", order.why) };
    format!(
        "{} {what}, by order of {}{until}{why}; the order is {}.",
        order.node, order.given_by, order.state
    )
}

/// How many rows are wanted.
pub(super) fn limit(limit: u32) -> Result<u32, RequestError> {
    match limit {
        0 => Ok(LIMIT_DEFAULT),
        1..=MAX_ROWS => Ok(limit),
        _ => Err(RequestError::Field {
            field: "limit",
            what: format!("{limit}; 1 to {MAX_ROWS}, or 0 for {LIMIT_DEFAULT}"),
        }),
    }
}
