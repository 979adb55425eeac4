//! What nobody waits for: orders that end, that are still to be withdrawn, and those that a restart left behind.
//!
//! One task looks; each order that has something to be done is driven by a task of its own, so that a node that does not
//! answer holds up nobody. There are no more of them than open orders. Dropping one in the middle leaves the order as it was
//! last written, and the next look goes on from there.

use std::{sync::Arc, time::Duration};

use hafleet_fleet::NodeName;
use tokio::task::JoinSet;

use crate::{
    api::status::{CallError, said},
    orders::{self, Attempt, maintenance, switchover},
    shared::Shared,
    store::{OrderKind, OrderRow, OrderState},
};

/// How often orders are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is to be done about an order now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Its time is over; the node ends it by itself.
    End,
    /// The node does not exist any more.
    Forget,
    /// Tell the node.
    Give,
    /// See a switchover through that a restart interrupted.
    Resume,
    /// Too old to be seen through.
    TakeBack,
    /// Tell the node to forget it.
    Withdraw,
}

/// Runs until the coordinator ends.
pub async fn run(shared: Arc<Shared>) {
    let mut driving = JoinSet::new();
    loop {
        for row in shared.orders.open() {
            let due = due(&row, shared.clock.now_us(), &situation(&shared, &row));
            if due == Due::Nothing {
                continue;
            }
            let shared = Arc::clone(&shared);
            driving.spawn(async move {
                let Some(_claim) = shared.orders.claim(row.number) else { return };
                let done = tokio::select! {
                    done = drive(&shared, &row, due) => done,
                    () = shared.closing() => return,
                };
                // The next look tries again.
                if let Err(error) = done {
                    tracing::error!(order = row.id(), "{}", said(&error));
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            });
        }
        tokio::select! {
            () = shared.closing() => return,
            () = shared.orders.due.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        while driving.try_join_next().is_some() {}
    }
}

/// What is known of an order's node.
struct Situation {
    connected: bool,
    revoked: bool,
}

fn situation(shared: &Shared, row: &OrderRow) -> Situation {
    let node = NodeName(row.node.clone());
    Situation {
        connected: shared.roster.with(&node, |entry| entry.live.is_some()),
        revoked: shared.revoked.contains(&node),
    }
}

fn due(row: &OrderRow, now_us: i64, situation: &Situation) -> Due {
    let over = row.until_us.is_some_and(|until_us| until_us <= now_us);
    let resume_us = i64::try_from(switchover::RESUME_WITHIN.as_micros()).unwrap_or(i64::MAX);
    let young = now_us.saturating_sub(row.created_at_us) <= resume_us;
    match (row.state, row.kind) {
        (OrderState::Over, _) => Due::Nothing,
        (OrderState::Asked | OrderState::Standing | OrderState::Withdrawing, _) if situation.revoked => {
            Due::Forget
        }
        (OrderState::Asked | OrderState::Standing | OrderState::Withdrawing, _) if over => Due::End,
        (OrderState::Asked, OrderKind::Switchover) if young => Due::Resume,
        (OrderState::Asked, OrderKind::Switchover) => Due::TakeBack,
        (OrderState::Asked, OrderKind::Maintenance) if situation.connected => Due::Give,
        (OrderState::Withdrawing, _) if situation.connected => Due::Withdraw,
        (OrderState::Asked, OrderKind::Maintenance)
        | (OrderState::Standing, OrderKind::Switchover | OrderKind::Maintenance)
        | (OrderState::Withdrawing, _) => Due::Nothing,
    }
}

async fn drive(shared: &Shared, row: &OrderRow, due: Due) -> Result<(), CallError> {
    match due {
        Due::Nothing => Ok(()),
        Due::End => end(shared, row, "its time is over").await,
        Due::Forget => end(shared, row, "the node was revoked").await,
        Due::Give => {
            if !maintenance::carry_out(shared, row, Attempt::Later).await? {
                // Not at once again.
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        }
        Due::Resume => switchover::resume(shared, row).await,
        Due::TakeBack => {
            let why = "the coordinator was restarted before it was over; taken back";
            Ok(shared.orders.set(shared, row.number, OrderState::Withdrawing, why).await?)
        }
        Due::Withdraw => match orders::withdraw(shared, row).await {
            Ok(()) => Ok(shared.orders.set(shared, row.number, OrderState::Over, &row.detail).await?),
            Err(error) => {
                tracing::warn!(order = row.id(), "still to be withdrawn: {error}");
                // Not at once again.
                tokio::time::sleep(LOOK_EVERY).await;
                Ok(())
            }
        },
    }
}

async fn end(shared: &Shared, row: &OrderRow, why: &str) -> Result<(), CallError> {
    shared.orders.set(shared, row.number, OrderState::Over, why).await?;
    if row.kind == OrderKind::Maintenance {
        maintenance::tell(shared, &row.node, false).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: OrderKind, state: OrderState) -> OrderRow {
        OrderRow {
            number: 1,
            kind,
            node: "lb01".into(),
            subject: "lb01".into(),
            instances: "[]".into(),
            priority: None,
            from_node: None,
            until_us: None,
            given_by: "user/ann".into(),
            why: String::new(),
            state,
            detail: String::new(),
            created_at_us: 1_000_000_000,
            updated_us: 1_000_000_000,
        }
    }

    #[test]
    fn every_kind_in_every_state_here_and_away_young_and_old() {
        use OrderKind::{Maintenance, Switchover};
        use OrderState::{Asked, Over, Standing, Withdrawing};
        let (young, old) = (1_001_000_000, 1_061_000_000);
        for (kind, state, connected, now_us, expected) in [
            (Switchover, Asked, true, young, Due::Resume),
            (Switchover, Asked, false, young, Due::Resume),
            (Switchover, Asked, true, old, Due::TakeBack),
            (Switchover, Asked, false, old, Due::TakeBack),
            (Maintenance, Asked, true, old, Due::Give),
            (Maintenance, Asked, false, old, Due::Nothing),
            (Switchover, Standing, true, old, Due::Nothing),
            (Maintenance, Standing, true, old, Due::Nothing),
            (Switchover, Withdrawing, true, old, Due::Withdraw),
            (Switchover, Withdrawing, false, old, Due::Nothing),
            (Maintenance, Withdrawing, true, young, Due::Withdraw),
            (Maintenance, Withdrawing, false, young, Due::Nothing),
            (Switchover, Over, true, old, Due::Nothing),
            (Maintenance, Over, true, old, Due::Nothing),
        ] {
            let row = row(kind, state);
            let here = Situation { connected, revoked: false };
            assert_eq!(due(&row, now_us, &here), expected, "{kind} {state} {connected} {now_us}");
            let ends = OrderRow { until_us: Some(now_us), ..row.clone() };
            let over = state == Over;
            assert_eq!(due(&ends, now_us, &here), if over { Due::Nothing } else { Due::End });
            let later = OrderRow { until_us: Some(now_us + 1), ..row.clone() };
            assert_eq!(due(&later, now_us, &here), expected);
            let gone = Situation { connected, revoked: true };
            assert_eq!(due(&ends, now_us, &gone), if over { Due::Nothing } else { Due::Forget });
        }
    }
}
