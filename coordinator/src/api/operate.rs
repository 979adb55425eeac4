//! Switchovers and maintenance as they are asked for.

use std::{sync::Arc, time::Duration};

use hafleet_proto::v1;

use crate::{
    api::{
        caller::Caller,
        status::{CallError, RequestError},
    },
    identity,
    orders::{maintenance, switchover},
    shared::Shared,
};

/// An order that is to last longer is forgotten by people before it ends.
const LASTS_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Bytes of what people say why.
const WHY_MAX: usize = 1024;

/// Hands a group over.
pub async fn switch_over(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: v1::SwitchOverRequest,
) -> Result<v1::SwitchOverResponse, CallError> {
    let node = identity::node_name(&request.node)
        .map_err(|error| RequestError::Field { field: "node", what: error.to_string() })?;
    let wish = switchover::Wish {
        by: caller.actor.clone(),
        group: request.group,
        site: request.site,
        node,
        lasts: lasts(request.for_s)?,
        why: why(request.why)?,
    };
    switchover::switch_over(shared, wish).await
}

/// Takes the order of a switchover back.
pub async fn undo(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: v1::UndoSwitchOverRequest,
) -> Result<v1::UndoSwitchOverResponse, CallError> {
    switchover::undo(shared, &caller.actor, &request.group, &request.site).await
}

/// Puts a node into maintenance, or ends it.
pub async fn maintain(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: v1::SetMaintenanceRequest,
) -> Result<v1::SetMaintenanceResponse, CallError> {
    let node = identity::node_name(&request.node)
        .map_err(|error| RequestError::Field { field: "node", what: error.to_string() })?;
    if !request.on {
        return maintenance::end(shared, &caller.actor, &node).await;
    }
    let wish = maintenance::Wish {
        by: caller.actor.clone(),
        node,
        lasts: lasts(request.for_s)?,
        why: why(request.why)?,
        even_if_last: request.even_if_last,
    };
    maintenance::begin(shared, wish).await
}

fn lasts(seconds: u64) -> Result<Option<Duration>, RequestError> {
    let lasts = Duration::from_secs(seconds);
    match seconds {
        0 => Ok(None),
        _ if lasts <= LASTS_MAX => Ok(Some(lasts)),
        _ => {
            let what = format!("{seconds} s; an order lasts 30 days at most, or until it is ended");
            Err(RequestError::Field { field: "for_s", what })
        }
    }
}

fn why(why: String) -> Result<String, RequestError> {
    if why.len() > WHY_MAX {
        let what = format!("{} bytes; at most {WHY_MAX}", why.len());
        return Err(RequestError::Field { field: "why", what });
    }
    // The node would refuse it, when the order is written already.
    if let Some(control) = why.chars().find(|char| char.is_control()) {
        let what = format!("has the control character U+{:04X}; say it in one line", u32::from(control));
        return Err(RequestError::Field { field: "why", what });
    }
    Ok(why)
}
