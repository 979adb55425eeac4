//! The fake coordinator's service for the fleet's configuration.

use std::sync::Arc;

use hafleet_proto::v1::{
    ApplyConfigRequest, CheckConfigRequest, CheckConfigResponse, ConfigProblem, ConfigProgress,
    DiffConfigRequest, DiffConfigResponse, Generation, GetConfigRequest, GetConfigResponse, GetDriftRequest,
    GetDriftResponse, ListConfigsRequest, ListConfigsResponse, NodeCheck, NodeDrift, RollbackConfigRequest,
    ValidateConfigRequest, ValidateConfigResponse, config_service_server::ConfigService,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::fake::Service;

/// What it answers.
#[derive(Default)]
pub struct Configs {
    pub problems: Vec<ConfigProblem>,
    pub checks: Vec<NodeCheck>,
    pub diff: DiffConfigResponse,
    /// What an apply tells, to its end, or to where the coordinator dies.
    pub progress: Vec<ConfigProgress>,
    /// It tells one message for each permit; `None`: all at once.
    pub pace: Option<Arc<Semaphore>>,
    pub generations: Vec<Generation>,
    pub text: String,
    pub drift: Vec<NodeDrift>,
    /// The nodes cannot be compared.
    pub no_drift: Option<&'static str>,
}

type Progress = ReceiverStream<Result<ConfigProgress, Status>>;

fn told(configs: &Configs) -> Progress {
    let (sender, receiver) = mpsc::channel(64);
    let Some(pace) = configs.pace.clone() else {
        for progress in &configs.progress {
            sender.try_send(Ok(progress.clone())).unwrap();
        }
        return ReceiverStream::new(receiver);
    };
    let all = configs.progress.clone();
    tokio::spawn(async move {
        for progress in all {
            pace.acquire().await.unwrap().forget();
            sender.send(Ok(progress)).await.unwrap();
        }
    });
    ReceiverStream::new(receiver)
}

#[tonic::async_trait]
impl ConfigService for Service {
    type ApplyConfigStream = Progress;
    type RollbackConfigStream = Progress;

    async fn validate_config(
        &self,
        request: Request<ValidateConfigRequest>,
    ) -> Result<Response<ValidateConfigResponse>, Status> {
        self.answer(request, |script, _| {
            Ok(ValidateConfigResponse { problems: script.configs.problems.clone() })
        })
        .await
    }

    async fn check_config(
        &self,
        request: Request<CheckConfigRequest>,
    ) -> Result<Response<CheckConfigResponse>, Status> {
        let check = |script: &mut crate::fake::Script, _| {
            let Configs { problems, checks, .. } = &script.configs;
            Ok(CheckConfigResponse { problems: problems.clone(), nodes: checks.clone() })
        };
        self.answer(request, check).await
    }

    async fn diff_config(
        &self,
        request: Request<DiffConfigRequest>,
    ) -> Result<Response<DiffConfigResponse>, Status> {
        self.answer(request, |script, _| Ok(script.configs.diff.clone())).await
    }

    async fn apply_config(&self, request: Request<ApplyConfigRequest>) -> Result<Response<Progress>, Status> {
        let apply = |script: &mut crate::fake::Script, asked: ApplyConfigRequest| {
            let head = script.configs.diff.generation;
            if asked.parent != head {
                return Err(Status::aborted(format!(
                    "the file was made from generation {}, but generation {head} was applied since",
                    asked.parent
                )));
            }
            Ok(told(&script.configs))
        };
        self.answer(request, apply).await
    }

    async fn rollback_config(
        &self,
        request: Request<RollbackConfigRequest>,
    ) -> Result<Response<Progress>, Status> {
        self.answer(request, |script, _| Ok(told(&script.configs))).await
    }

    async fn list_configs(
        &self,
        request: Request<ListConfigsRequest>,
    ) -> Result<Response<ListConfigsResponse>, Status> {
        let list = |script: &mut crate::fake::Script, asked: ListConfigsRequest| {
            let limit = usize::try_from(asked.limit).unwrap();
            let truncated = script.configs.generations.len() > limit;
            let generations = script.configs.generations.iter().take(limit).cloned().collect();
            Ok(ListConfigsResponse { generations, truncated })
        };
        self.answer(request, list).await
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        let get = |script: &mut crate::fake::Script, asked: GetConfigRequest| {
            let found = script
                .configs
                .generations
                .iter()
                .find(|row| asked.generation == 0 || row.number == asked.generation)
                .ok_or_else(|| Status::not_found(format!("there is no generation `{}`", asked.generation)))?;
            let steps = script.configs.progress.iter().flat_map(|progress| progress.steps.clone()).collect();
            Ok(GetConfigResponse {
                generation: Some(found.clone()),
                text: script.configs.text.clone(),
                steps,
            })
        };
        self.answer(request, get).await
    }

    async fn get_drift(
        &self,
        request: Request<GetDriftRequest>,
    ) -> Result<Response<GetDriftResponse>, Status> {
        let drift = |script: &mut crate::fake::Script, _| {
            if let Some(words) = script.configs.no_drift {
                return Err(Status::internal(words));
            }
            Ok(GetDriftResponse {
                generation: script.configs.diff.generation,
                nodes: script.configs.drift.clone(),
            })
        };
        self.answer(request, drift).await
    }
}
