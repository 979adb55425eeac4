//! `ConfigService`: the fleet's configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hafleet_fleetfile::{Change, FleetFile, Problem, Severity, What, diff, parse};
use hafleet_proto::v1::{self, config_service_server::ConfigService};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    api::{
        caller::{self, Caller, Need},
        status::{CallError, RequestError},
    },
    push::{self, BeginError, Wish},
    shared::Shared,
    store::{AuditOutcome, GenerationRow, StepRow, hash},
};

const LIMIT_DEFAULT: u32 = 100;
/// Bytes of a message.
const MESSAGE_MAX: usize = 1000;
/// What a follower has not read; a slow one slows its own task only.
const UNREAD_MAX: usize = 16;
/// How often a follower looks though nothing was told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Checks by the members at once: each is work for all of them.
const CHECKS_MAX: usize = 2;

/// The API of the fleet's configuration.
pub struct Configs {
    shared: Arc<Shared>,
    checks: Semaphore,
}

type Progress = ReceiverStream<Result<v1::ConfigProgress, Status>>;

impl Configs {
    /// Over what is shared.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, checks: Semaphore::new(CHECKS_MAX) }
    }

    fn user<T>(
        &self,
        request: &Request<T>,
        need: Need,
        call: &'static str,
    ) -> Result<Arc<Caller>, RequestError> {
        caller::user(&self.shared, request.extensions(), need, call)
    }

    async fn running(&self) -> Result<(u64, FleetFile), CallError> {
        push::head(&self.shared).await.map_err(refusal)
    }

    async fn generation(&self, number: u64) -> Result<GenerationRow, CallError> {
        let row = match number {
            0 => self.shared.store.config_head().await?,
            number => self.shared.store.config_generation(number).await?,
        };
        let name = if number == 0 { "0: none was applied yet".to_owned() } else { number.to_string() };
        row.ok_or_else(|| RequestError::NotFound { what: "generation", name }.into())
    }

    async fn compare(&self, request: v1::DiffConfigRequest) -> Result<v1::DiffConfigResponse, CallError> {
        let (head, running) = self.running().await?;
        let (generation, from) = match request.generation {
            0 => (head, running.clone()),
            number => {
                let row = self.generation(number).await?;
                let file = parse(&row.text).map_err(|_| RequestError::Conflict {
                    what: format!("generation {number} cannot be read any more"),
                })?;
                (number, file)
            }
        };
        let (problems, file) = push::judge(&self.shared, &running, &request.text);
        let changes = file.map(|file| diff(&from, &file)).unwrap_or_default();
        Ok(v1::DiffConfigResponse {
            generation,
            problems: problems.iter().map(problem).collect(),
            changes: changes.iter().map(change).collect(),
        })
    }

    async fn check(&self, text: &str) -> Result<v1::CheckConfigResponse, CallError> {
        let (_, running) = self.running().await?;
        let (problems, file) = push::judge(&self.shared, &running, text);
        let is_wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
        let problems = problems.iter().map(problem).collect();
        let Some(file) = file.filter(|_| !is_wrong) else {
            return Ok(v1::CheckConfigResponse { problems, nodes: Vec::new() });
        };
        let Ok(_place) = self.checks.try_acquire() else {
            let what = format!("{CHECKS_MAX} files are being checked by their members; try again");
            return Err(RequestError::Conflict { what }.into());
        };
        Ok(v1::CheckConfigResponse { problems, nodes: push::ask_members(&self.shared, &file).await })
    }

    async fn apply(&self, caller: &Caller, call: &'static str, wish: Wish) -> Result<Progress, CallError> {
        if wish.message.len() > MESSAGE_MAX {
            let what = format!("{} bytes; at most {MESSAGE_MAX}", wish.message.len());
            return Err(RequestError::Field { field: "message", what }.into());
        }
        let within = push::CONFIRM_WITHIN_MIN..=push::CONFIRM_WITHIN_MAX;
        if !within.contains(&wish.confirm_within) {
            let what = format!("{} s; 10 s to 1 h", wish.confirm_within.as_secs());
            return Err(RequestError::Field { field: "confirm_within_us", what }.into());
        }
        let (audit, store) = (&self.shared.audit, &self.shared.store);
        let (subject, hash) = (format!("parent/{}", wish.parent), hash(&struck_out(&wish.text)));
        let detail = format!("SHA-256 {hash}: {}", wish.message);
        audit.record(store, &caller.actor, call, &subject, AuditOutcome::Done, detail).await?;
        match push::begin(&self.shared, wish).await {
            Ok((generation, problems)) => Ok(follow(Arc::clone(&self.shared), generation, problems)),
            Err(error) => {
                let detail = error.to_string();
                audit.record(store, &caller.actor, call, &subject, AuditOutcome::Refused, detail).await?;
                match error {
                    BeginError::Problems(problems) => Ok(refused(&problems)),
                    other => Err(refusal(other)),
                }
            }
        }
    }
}

#[tonic::async_trait]
impl ConfigService for Configs {
    type ApplyConfigStream = Progress;
    type RollbackConfigStream = Progress;

    async fn validate_config(
        &self,
        request: Request<v1::ValidateConfigRequest>,
    ) -> Result<Response<v1::ValidateConfigResponse>, Status> {
        self.user(&request, Need::Operate, "config.validate")?;
        let (_, running) = self.running().await?;
        let (problems, _) = push::judge(&self.shared, &running, &request.into_inner().text);
        Ok(Response::new(v1::ValidateConfigResponse { problems: problems.iter().map(problem).collect() }))
    }

    async fn check_config(
        &self,
        request: Request<v1::CheckConfigRequest>,
    ) -> Result<Response<v1::CheckConfigResponse>, Status> {
        self.user(&request, Need::Operate, "config.check")?;
        Ok(Response::new(self.check(&request.into_inner().text).await?))
    }

    async fn diff_config(
        &self,
        request: Request<v1::DiffConfigRequest>,
    ) -> Result<Response<v1::DiffConfigResponse>, Status> {
        self.user(&request, Need::Operate, "config.diff")?;
        Ok(Response::new(self.compare(request.into_inner()).await?))
    }

    async fn apply_config(
        &self,
        request: Request<v1::ApplyConfigRequest>,
    ) -> Result<Response<Self::ApplyConfigStream>, Status> {
        let caller = self.user(&request, Need::Administer, "config.apply")?;
        let v1::ApplyConfigRequest { text, parent, message, confirm_within_us } = request.into_inner();
        let confirm_within = within(confirm_within_us);
        let wish = Wish { text, parent, author: caller.actor.clone(), message, confirm_within };
        Ok(Response::new(self.apply(&caller, "config.apply", wish).await?))
    }

    async fn rollback_config(
        &self,
        request: Request<v1::RollbackConfigRequest>,
    ) -> Result<Response<Self::RollbackConfigStream>, Status> {
        let caller = self.user(&request, Need::Administer, "config.rollback")?;
        let v1::RollbackConfigRequest { generation, parent, message, confirm_within_us } =
            request.into_inner();
        let text = match generation {
            0 => {
                return Err(
                    RequestError::Field { field: "generation", what: "0; they count from 1".into() }.into()
                );
            }
            number => self.generation(number).await?.text,
        };
        let message = if message.is_empty() { format!("back to generation {generation}") } else { message };
        let confirm_within = within(confirm_within_us);
        let wish = Wish { text, parent, author: caller.actor.clone(), message, confirm_within };
        Ok(Response::new(self.apply(&caller, "config.rollback", wish).await?))
    }

    async fn list_configs(
        &self,
        request: Request<v1::ListConfigsRequest>,
    ) -> Result<Response<v1::ListConfigsResponse>, Status> {
        let caller = self.user(&request, Need::Look, "config.list")?;
        let limit = match request.into_inner().limit {
            0 => LIMIT_DEFAULT,
            limit => limit,
        };
        let page = self.shared.store.config_history(limit).await.map_err(CallError::from)?;
        let generations = page.rows.iter().map(|row| generation(row, &shown(&caller, &row.text))).collect();
        Ok(Response::new(v1::ListConfigsResponse { generations, truncated: page.truncated }))
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let caller = self.user(&request, Need::Look, "config.get")?;
        let row = self.generation(request.into_inner().generation).await?;
        let steps = self.shared.store.config_steps(row.number).await.map_err(CallError::from)?;
        let steps = steps.iter().map(step).collect();
        let text = shown(&caller, &row.text);
        Ok(Response::new(v1::GetConfigResponse { generation: Some(generation(&row, &text)), text, steps }))
    }

    async fn get_drift(
        &self,
        request: Request<v1::GetDriftRequest>,
    ) -> Result<Response<v1::GetDriftResponse>, Status> {
        self.user(&request, Need::Look, "config.drift")?;
        let (generation, file) = self.running().await?;
        Ok(Response::new(v1::GetDriftResponse { generation, nodes: push::drift(&self.shared, &file) }))
    }
}

/// Tells an apply from its beginning, or from where it is, to its end.
fn follow(shared: Arc<Shared>, generation: u64, problems: Vec<Problem>) -> Progress {
    let (events, unread) = mpsc::channel(UNREAD_MAX);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = tell(&shared, generation, &problems, &events) => ended,
            () = events.closed() => return,
            () = shared.closing() => return,
        };
        if let Err(error) = ended {
            // An error means that the follower is gone.
            let _ = events.send(Err(error.into())).await;
        }
    });
    ReceiverStream::new(unread)
}

async fn tell(
    shared: &Shared,
    generation: u64,
    problems: &[Problem],
    events: &mpsc::Sender<Result<v1::ConfigProgress, Status>>,
) -> Result<(), CallError> {
    let mut written = shared.pushes.watch();
    let mut told: BTreeMap<String, StepRow> = BTreeMap::new();
    let mut state = None;
    loop {
        // Before the look, so that nothing falls between them; the row before its steps, so that the last steps come with its end.
        written.borrow_and_update();
        let Some(row) = shared.store.config_generation(generation).await? else { return Ok(()) };
        let steps = shared.store.config_steps(generation).await?;
        let news: Vec<&StepRow> = steps.iter().filter(|step| told.get(&step.node) != Some(step)).collect();
        if state != Some(row.state) || !news.is_empty() {
            let event = v1::ConfigProgress {
                generation,
                state: row.state.as_str().into(),
                why: row.why.clone(),
                steps: news.into_iter().map(step).collect(),
                problems: if state.is_none() { problems.iter().map(problem).collect() } else { Vec::new() },
                at_us: shared.clock.now_us(),
            };
            if events.send(Ok(event)).await.is_err() || !row.state.is_open() {
                return Ok(());
            }
            state = Some(row.state);
            told = steps.into_iter().map(|step| (step.node.clone(), step)).collect();
        }
        // An error cannot be: the sender is in `shared`. Late is not lost: it looks again.
        let _ = timeout(LOOK_EVERY, written.changed()).await;
    }
}

/// The file has errors: the end is told at once.
fn refused(problems: &[Problem]) -> Progress {
    let (events, unread) = mpsc::channel(1);
    let event = v1::ConfigProgress {
        state: "refused".into(),
        why: "the file has errors".into(),
        problems: problems.iter().map(problem).collect(),
        ..Default::default()
    };
    // There is room for one.
    let _ = events.try_send(Ok(event));
    ReceiverStream::new(unread)
}

fn refusal(error: BeginError) -> CallError {
    match error {
        BeginError::Store(error) => error.into(),
        BeginError::Moved { .. } | BeginError::Busy { .. } | BeginError::Head { .. } => {
            RequestError::Conflict { what: error.to_string() }.into()
        }
        BeginError::Problems(_) => {
            RequestError::Field { field: "text", what: "the file has errors".into() }.into()
        }
    }
}

fn within(confirm_within_us: u64) -> Duration {
    match confirm_within_us {
        0 => push::CONFIRM_WITHIN_DEFAULT,
        us => Duration::from_micros(us),
    }
}

fn problem(problem: &Problem) -> v1::ConfigProblem {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    v1::ConfigProblem {
        severity: match problem.severity {
            Severity::Error => "error".into(),
            Severity::Warning => "warning".into(),
        },
        line: number(problem.at.line),
        column: number(problem.at.column),
        message: problem.message.clone(),
        help: problem.help.clone(),
    }
}

fn change(change: &Change) -> v1::ConfigChange {
    let (what, key, from, to) = match &change.what {
        What::Added => ("added", "", "", ""),
        What::Removed => ("removed", "", "", ""),
        What::Changed { key, from, to } => ("changed", key.as_str(), from.as_str(), to.as_str()),
    };
    v1::ConfigChange {
        subject: change.subject.clone(),
        node: change.node.clone().unwrap_or_default(),
        what: what.into(),
        key: key.into(),
        from: from.into(),
        to: to.into(),
        text: change.to_string(),
    }
}

/// A text as this caller may see it.
fn shown(caller: &Caller, text: &str) -> String {
    if caller.is_admin() { text.to_owned() } else { struck_out(text) }
}

/// A text as everybody may see it. Comments may say a password too, and go with it.
fn struck_out(text: &str) -> String {
    match parse(text) {
        Ok(file) => file.struck_out().to_string(),
        Err(_) => "# this coordinator cannot read the text, and shows it to an admin only\n".to_owned(),
    }
}

/// With a hash of what is shown: by one of the whole text passwords could be tried.
fn generation(row: &GenerationRow, shown: &str) -> v1::Generation {
    v1::Generation {
        number: row.number,
        parent: row.parent,
        author: row.author.clone(),
        message: row.message.clone(),
        created_at_us: row.created_at_us,
        state: row.state.as_str().into(),
        why: row.why.clone(),
        hash: if row.text.is_empty() { String::new() } else { hash(shown) },
        updated_at_us: row.updated_us,
    }
}

fn step(step: &StepRow) -> v1::ConfigStep {
    v1::ConfigStep {
        node: step.node.clone(),
        state: step.state.as_str().into(),
        detail: step.detail.clone(),
        at_us: step.updated_us,
    }
}
