#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;

use hafleet_fleet::{
    Evidence, Fleet, NodeName, Windows,
    fence::{Outcome, RefusalCode, Standing},
};
use tokio::sync::{Notify, broadcast, mpsc};

use super::*;
use crate::{
    actuator::agent::AgentActuator,
    clock::Clock,
    config,
    effects::{Parts, Picture},
    fencing::steps::Steps,
    health::Health,
    sessions::roster::Roster,
    store::{AuditFilter, Store},
};

/// The task's insides, over a store of which it has the first epoch.
struct Bench {
    _dir: tempfile::TempDir,
    keeper: Keeper,
    store: Store,
}

impl Bench {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("fleet.db").display());
        let store = Store::open(&url.parse().unwrap()).await.unwrap();
        assert_eq!(store.take_fence_epoch(1).await.unwrap(), 1);
        let roster = Arc::new(Roster::default());
        let agents = Arc::new(AgentActuator::new(Arc::clone(&roster)));
        let steps = Steps::new(store.clone(), Arc::clone(&roster), agents, &config::Fencing::default());
        let parts = Parts {
            clock: Clock::start(),
            store: store.clone(),
            roster,
            changes: broadcast::channel(16).0,
            health: Health::default(),
            outbox: Arc::new(Notify::new()),
            receivers: Vec::new(),
            windows: Windows::default(),
            steps: Arc::new(steps),
            inert: None,
        };
        let keeper = Keeper {
            fleet: Fleet::new(parts.windows),
            fresh: parts.windows.fresh,
            fencing: Fencing::new(None),
            parts,
            asked: mpsc::channel(1).1,
            late: Arc::default(),
            picture: Picture::default(),
            looked_at: Instant::from_micros(0),
        };
        Self { _dir: dir, keeper, store }
    }

    async fn enter(&mut self, entry: Entry) {
        assert_eq!(self.keeper.enter(entry).await, [], "it waits for what comes with it");
    }

    async fn audited(&self) -> Vec<AuditRow> {
        self.store.audit(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows
    }
}

fn row(revision: u64) -> Entry {
    let standing = Standing { revision, epoch: 1, ..Standing::default() };
    Entry::Write(Box::new(FenceRow { operation: None, standing }))
}

fn line() -> Audit {
    Audit {
        at: Instant::from_micros(7),
        operation: Some(OperationId(17)),
        epoch: 3,
        actor: "hafleet".into(),
        action: "approved -> demoting".into(),
        target: Some(NodeName("lb02".into())),
        group: row::group_key("dc1/192.168.178.3"),
        refused: None,
        detail: "lb02 loses".into(),
        evidence: vec![Evidence {
            kind: "asserts_master",
            node: Some(NodeName("lb02".into())),
            at: Instant::from_micros(5),
            summary: "lb02 says MASTER".into(),
            facts: BTreeMap::from([("instance", "VI_1".to_owned())]),
        }],
    }
}

#[test]
fn a_line_says_who_what_whom_why_and_by_which_facts() {
    let done = AuditRow {
        at_us: 7,
        actor: "hafleet".into(),
        action: "fence".into(),
        subject: "lb02".into(),
        outcome: AuditOutcome::Done,
        detail: "fence/17: approved -> demoting: lb02 loses; group dc1/192.168.178.3; epoch 3; evidence \
                 [{\"kind\":\"asserts_master\",\"node\":\"lb02\",\"summary\":\"lb02 says MASTER\",\
                 \"observed_at_us\":5,\"facts\":{\"instance\":\"VI_1\"}}]"
            .into(),
    };
    assert_eq!(audit_row(&line()), done);
    let verb = Audit {
        actor: "user/eve".into(),
        action: "verb approve".into(),
        refused: Some(RefusalCode::ConsentMissing),
        evidence: Vec::new(),
        ..line()
    };
    let refused = AuditRow {
        actor: "user/eve".into(),
        action: "fence.approve".into(),
        outcome: AuditOutcome::Refused,
        detail:
            "fence/17: verb approve, refused (consent_missing): lb02 loses; group dc1/192.168.178.3; epoch 3"
                .into(),
        ..done
    };
    assert_eq!(audit_row(&verb), refused);
    let of_group = Audit { target: None, ..verb.clone() };
    assert_eq!(audit_row(&of_group).subject, "dc1/192.168.178.3");
    assert_eq!(audit_row(&Audit { group: None, ..of_group }).subject, "");
}

/// What changes a node rests on what was seen right before; what lets go, or looks, may come late.
#[tokio::test]
async fn what_was_decided_too_long_ago_is_not_begun() {
    let mut bench = Bench::start().await;
    let (operation, node) = (OperationId(17), NodeName("lb02".into()));
    let demote = || FenceEffect::Demote {
        epoch: 1,
        operation,
        node: node.clone(),
        instances: Vec::new(),
        why: String::new(),
    };
    let now = bench.keeper.parts.clock.now();
    let ago = |ms: u64| Instant::from_micros(now.as_micros() - ms * 1_000);
    let late = bench.keeper.fence(demote(), ago(2_500));
    let failed = FenceInput::Demoted { operation, outcome: Outcome::Failed };
    assert_eq!(late, Some(Input::Fence(failed)));
    assert!(bench.keeper.fencing.under_way.is_empty());
    let withdraw = FenceEffect::Withdraw { epoch: 1, operation, node: node.clone() };
    assert_eq!(bench.keeper.fence(withdraw, ago(2_500)), None);
    assert_eq!(bench.keeper.fence(demote(), now), None);
    assert_eq!(bench.keeper.fencing.under_way.len(), 2);
}

/// The core goes on only from a row that is in the store.
#[tokio::test]
async fn what_is_written_is_told_after_it_is_written() {
    let mut bench = Bench::start().await;
    bench.enter(Entry::Audit(line())).await;
    bench.enter(row(1)).await;
    assert_eq!(bench.store.fence_standing().await.unwrap().revision, 0);
    let told = bench.keeper.write_fences().await;
    assert_eq!(told, [Input::Fence(FenceInput::Written { operation: None, revision: 1 })]);
    assert_eq!(bench.store.fence_standing().await.unwrap().revision, 1);
    assert_eq!(bench.audited().await.len(), 1);
    assert!(bench.keeper.fences().inert.is_none());
}

#[tokio::test]
async fn under_another_epoch_nothing_is_written_but_what_was_refused() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.store.take_fence_epoch(2).await.unwrap(), 2);
    bench.enter(Entry::Audit(line())).await;
    bench.enter(row(1)).await;
    let told = bench.keeper.write_fences().await;
    let [Input::Fence(FenceInput::WriteRefused { revision: 1, why })] = &told[..] else { panic!("{told:?}") };
    assert_eq!(why, "the store has epoch 2 and revision 0: another coordinator leads");
    assert_eq!(bench.keeper.fences().inert.as_deref(), Some(why.as_str()));
    let standing = bench.store.fence_standing().await.unwrap();
    assert_eq!((standing.revision, standing.epoch), (0, 2));
    assert_eq!(bench.audited().await[0].subject, "lb02", "what was wanted can be read afterwards");
}

/// What the database will never take is not written either, however often it is tried.
#[tokio::test]
async fn what_cannot_be_written_is_not_acted_on() {
    let mut bench = Bench::start().await;
    let standing = Standing { revision: 1, epoch: u64::MAX, ..Standing::default() };
    bench.enter(Entry::Write(Box::new(FenceRow { operation: None, standing }))).await;
    let told = bench.keeper.write_fences().await;
    assert!(matches!(&told[..], [Input::Fence(FenceInput::WriteRefused { revision: 1, .. })]), "{told:?}");
    assert!(bench.keeper.fences().inert.is_some());
}
