//! What an apply asks of nodes, and where it notes their answers.

use std::{sync::Arc, time::Duration};

use hafleet_fleet::NodeName;
use hafleet_proto::v1::{self, request::Request as What};
use tokio::task::JoinSet;

use super::task::Stopped;
use crate::{
    actuator::agent::AskError,
    shared::Shared,
    store::{GenerationRow, StepRow, StepState},
};

/// How long a node may take to go back; one that cannot be reached goes back by itself.
const ROLL_BACK_WITHIN: Duration = Duration::from_secs(10);

/// Nodes that are asked at a time.
pub const ASKED_BESIDE: usize = 32;

/// Nodes that were asked, each with its answer.
pub type Answers = JoinSet<(String, Result<(), AskError>)>;

/// Asks nodes at the same time.
pub fn ask(shared: &Arc<Shared>, id: &str, questions: Vec<(String, What)>, within: Duration) -> Answers {
    let mut asked = JoinSet::new();
    for (name, what) in questions {
        let (shared, id) = (Arc::clone(shared), id.to_owned());
        asked.spawn(async move {
            let answer = shared.agents.ask(&NodeName(name.clone()), &id, what, within).await;
            (name, answer)
        });
    }
    asked
}

/// The next answer; `None` when there are no more.
pub async fn answered(asked: &mut Answers) -> Option<(String, Result<(), AskError>)> {
    loop {
        // A panic is told by the runtime; the node is asked again.
        if let Ok(answered) = asked.join_next().await? {
            return Some(answered);
        }
    }
}

/// Asks nodes to go back.
pub fn ask_back(shared: &Arc<Shared>, row: &GenerationRow, nodes: &[String]) -> Answers {
    let what = What::RollBack(v1::RollBackConfig { generation: row.number });
    let questions = nodes.iter().map(|node| (node.clone(), what.clone())).collect();
    ask(shared, &id(row, "roll_back"), questions, ROLL_BACK_WITHIN)
}

/// Its words, if it runs nothing of the generation now.
pub fn went_back(answer: Result<(), AskError>) -> Result<String, AskError> {
    match answer {
        Ok(()) => Ok(String::new()),
        // It has nothing of this generation, which is what is wanted.
        Err(AskError::Refused { reason, detail, .. })
            if matches!(reason.as_str(), "stale_generation" | "nothing_staged") =>
        {
            Ok(detail)
        }
        Err(error) => Err(error),
    }
}

/// Writes a step down, and tells those who follow.
pub async fn note(
    shared: &Shared,
    generation: u64,
    node: &str,
    state: StepState,
    detail: &str,
) -> Result<(), Stopped> {
    let updated_us = shared.clock.now_us();
    let step = StepRow { node: node.to_owned(), state, detail: detail.to_owned(), updated_us };
    shared.store.save_config_step(generation, &step).await?;
    tracing::info!(generation, node, step = %state, detail, "configuration");
    shared.pushes.note();
    Ok(())
}

/// The same step of the same generation has the same id in every life of the coordinator. A restored database gives a number again:
/// the generation's beginning tells the two apart, so that an agent does not answer by what it did for the other one.
pub fn id(row: &GenerationRow, step: &str) -> String {
    format!("config/{}.{}/{step}", row.number, row.created_at_us)
}
