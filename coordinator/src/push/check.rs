//! Whether every member could run its part, asked of the members themselves. Nothing is kept, here or there.

use std::{sync::Arc, time::Duration};

use hafleet_fleet::NodeName;
use hafleet_fleetfile::FleetFile;
use hafleet_proto::v1::{self, request::Request as What};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{ask::ASKED_BESIDE, known::told};
use crate::{actuator::agent::AskError, shared::Shared};

/// How long all of them may take together: somebody waits in front of a terminal.
const CHECK_WITHIN: Duration = Duration::from_secs(8);

/// Asks every member of a file that has no errors, in the order of names.
pub async fn ask_members(shared: &Arc<Shared>, file: &FleetFile) -> Vec<v1::NodeCheck> {
    // No two questions have one id, also over restarts: an agent may remember what it answered.
    let id = format!("check/{}.{}", shared.clock.now_us(), shared.pushes.number_check());
    let deadline = Instant::now() + CHECK_WITHIN;
    let mut waiting = file.nodes().into_iter().map(|node| (node.to_owned(), file.compile(node)));
    let mut asked = JoinSet::new();
    let mut checks = Vec::new();
    loop {
        while asked.len() < ASKED_BESIDE
            && let Some((node, toml)) = waiting.next()
        {
            let (shared, id) = (Arc::clone(shared), id.clone());
            asked.spawn(async move { ask(&shared, node, &id, toml, deadline).await });
        }
        match asked.join_next().await {
            Some(Ok(check)) => checks.push(check),
            Some(Err(error)) => tracing::error!("a check failed: {error}"),
            None => break,
        }
    }
    checks.sort_by(|one: &v1::NodeCheck, other| one.node.cmp(&other.node));
    checks
}

async fn ask(shared: &Shared, node: String, id: &str, toml: String, deadline: Instant) -> v1::NodeCheck {
    if !told(shared, &node).is_connected {
        let detail = "it is not connected: its interfaces and its own files were not looked at".to_owned();
        return v1::NodeCheck { node, state: "not_connected".into(), detail };
    }
    let name = NodeName(node.clone());
    let what = What::Check(v1::CheckConfig { toml });
    let asked = shared.agents.ask_for_words(&name, id, what, CHECK_WITHIN);
    let (state, detail) = match timeout_at(deadline, asked).await {
        Ok(Ok(warnings)) => ("valid", warnings),
        Ok(Err(AskError::Refused { reason, detail, .. })) if reason == "invalid" => ("invalid", detail),
        Ok(Err(AskError::NotTold { .. })) => ("not_connected", "its connection was lost".to_owned()),
        Ok(Err(error @ (AskError::NoAnswer { .. } | AskError::Refused { .. } | AskError::Busy { .. }))) => {
            ("unknown", error.to_string())
        }
        Err(_) => ("unknown", format!("{node} did not answer within {} s", CHECK_WITHIN.as_secs())),
    };
    v1::NodeCheck { node, state: state.into(), detail }
}
