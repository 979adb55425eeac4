//! Fencing end to end: from a cut heartbeat to an order that a victim obeys, or to a fence program that a person allowed.

use std::{fs, time::Duration};

use ha_coordinator::store::Role;
use hafleet_proto::v1::{
    self, VrrpState, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent,
    fence_service_client::FenceServiceClient, order::Order as Ordered, request::Request as What,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tonic::{Code, transport::Channel};

use crate::rig::{Blocker, FakeAgent, Rig, SOON, Stream, eventually};

const BEAT: Duration = Duration::from_millis(100);
/// The design's promise, from the confirmation of the split brain to the order at the victim.
const PROMISE: Duration = Duration::from_secs(5);
/// What makes the rules quick enough for a test; which of them hold is the core's own tests'.
const QUICK: &str = "[fencing.windows]\ngrace = \"1s\"\nconfirm = \"2s\"\npoll = \"4s\"\nobserved = \"2s\"\n\
                     aftercare = \"5s\"\n";

/// A fake agent that takes orders: it lets go when it is told to, unless it is stubborn.
struct Obedient {
    wishes: mpsc::Sender<Wish>,
    /// Every request that came, with its instant.
    asked: mpsc::Receiver<(v1::Request, Instant)>,
    state: watch::Receiver<VrrpState>,
    task: tokio::task::JoinHandle<FakeAgent>,
}

enum Wish {
    Become(VrrpState),
    Hear(Vec<v1::HeardAdvert>),
    Leave,
}

impl Obedient {
    async fn start(rig: &Rig, agent: FakeAgent, obeys: bool) -> Self {
        let mut stream = agent.connect(rig).await;
        agent.send_after(&stream, stream.welcome.acked_seq, 256).await;
        stream.send(FromAgent::Snapshot(snapshot(&agent))).await;
        let (wishes, wished) = mpsc::channel(8);
        let (asks, asked) = mpsc::channel(64);
        let (told, state) = watch::channel(agent.state);
        let task = tokio::spawn(async move { live(agent, &mut stream, obeys, wished, asks, told).await });
        Self { wishes, asked, state, task }
    }

    async fn wish(&self, wish: Wish) {
        assert!(self.wishes.send(wish).await.is_ok());
    }

    /// Ends its stream, or finds it ended.
    async fn leave(self) -> FakeAgent {
        let _ = self.wishes.send(Wish::Leave).await;
        self.task.await.unwrap()
    }

    async fn request(&mut self) -> (v1::Request, Instant) {
        tokio::time::timeout(SOON, self.asked.recv()).await.unwrap().unwrap()
    }
}

/// With a gateway that answers: who would go on serving must have a network.
fn snapshot(agent: &FakeAgent) -> v1::Snapshot {
    let gateway = v1::Reference {
        address: "192.168.178.1".into(),
        interface: "ens33".into(),
        reachable: true,
        age_us: 100_000,
    };
    v1::Snapshot { references: vec![gateway], ..agent.snapshot() }
}

async fn live(
    mut agent: FakeAgent,
    stream: &mut Stream,
    obeys: bool,
    mut wished: mpsc::Receiver<Wish>,
    asks: mpsc::Sender<(v1::Request, Instant)>,
    told: watch::Sender<VrrpState>,
) -> FakeAgent {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let message = tokio::select! {
            _ = beat.tick() => {
                let counters = Some(v1::Counters::default());
                let heartbeat = v1::Heartbeat { snapshot: Some(snapshot(&agent)), counters };
                stream.send(FromAgent::Heartbeat(heartbeat)).await;
                continue;
            }
            wish = wished.recv() => {
                match wish {
                    Some(Wish::Become(state)) => turn(&mut agent, stream, state, &told).await,
                    Some(Wish::Hear(heard)) => agent.heard = heard,
                    Some(Wish::Leave) | None => return agent,
                }
                continue;
            }
            message = stream.next() => message,
        };
        match message {
            Some(ToAgent::Probe(probe)) => {
                let report = v1::ProbeReport { snapshot: Some(snapshot(&agent)), ..agent.answer(&probe) };
                stream.send(FromAgent::ProbeReport(report)).await;
            }
            Some(ToAgent::Request(request)) => {
                let demote = match &request.request {
                    Some(What::Give(order)) => matches!(order.order, Some(Ordered::Demote(_))),
                    _ => false,
                };
                if obeys && demote {
                    turn(&mut agent, stream, VrrpState::Fault, &told).await;
                }
                let answer = v1::Answer {
                    id: request.id.clone(),
                    done: obeys,
                    reason: if obeys { String::new() } else { "engine".into() },
                    detail: String::new(),
                };
                stream.send(FromAgent::Answer(answer)).await;
                let _ = asks.try_send((request, Instant::now()));
            }
            Some(_) => {}
            None => return agent,
        }
    }
}

async fn turn(agent: &mut FakeAgent, stream: &Stream, state: VrrpState, told: &watch::Sender<VrrpState>) {
    let sent = agent.events.len() as u64;
    agent.becomes(state);
    agent.send_after(stream, sent, 256).await;
    stream.send(FromAgent::Snapshot(snapshot(agent))).await;
    told.send_replace(state);
}

async fn desk(rig: &Rig, name: &str, role: Role) -> FenceServiceClient<Channel> {
    let credential = rig.user(name, role).await;
    FenceServiceClient::new(rig.channel(Some(&credential)).await.unwrap())
}

async fn fences(desk: &mut FenceServiceClient<Channel>) -> Vec<v1::Fence> {
    let request = v1::ListFencesRequest { limit: 100, ..Default::default() };
    desk.list(request).await.unwrap().into_inner().fences
}

async fn fence_in(desk: &FenceServiceClient<Channel>, state: &str) -> v1::Fence {
    eventually(&format!("a fence that is {state}"), async || {
        fences(&mut desk.clone()).await.into_iter().find(|fence| fence.state == state)
    })
    .await
}

async fn confirmed(rig: &Rig) {
    eventually("the split brain to be confirmed", async || {
        let findings = rig.fleet().await.findings;
        findings
            .iter()
            .any(|finding| finding.kind == "split_brain.confirmed" && finding.status == "firing")
            .then_some(())
    })
    .await;
}

async fn holds(rig: &Rig, node: &str) {
    eventually(&format!("{node} to hold the address alone"), async || {
        rig.fleet().await.groups.into_iter().find(|group| group.holder == node && group.state == "ok")
    })
    .await;
}

/// lb03 is MASTER, lb02 and lb01 hear it; lb02 will be the victim, for its priority is lower than lb03's.
async fn three(rig: &Rig, obeys: bool) -> (Obedient, Obedient, Obedient) {
    let (mut survivor, mut victim, mut witness) =
        (rig.enrol("lb03").await, rig.enrol("lb02").await, rig.enrol("lb01").await);
    survivor.becomes(VrrpState::Master);
    victim.becomes(VrrpState::Backup);
    victim.heard = vec![survivor.as_heard()];
    witness.becomes(VrrpState::Backup);
    witness.heard = vec![survivor.as_heard()];
    (
        Obedient::start(rig, survivor, true).await,
        Obedient::start(rig, victim, obeys).await,
        Obedient::start(rig, witness, true).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_heartbeat_in_auto_is_ended_by_the_victim_s_own_agent() {
    let mut rig = Rig::start_with(&format!("[fencing]\nmode = \"auto\"\n{QUICK}")).await;
    let (mut survivor, mut victim, witness) = three(&rig, true).await;
    holds(&rig, "lb03").await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    // The heartbeat is cut: lb02 hears nobody any more and takes over.
    victim.wish(Wish::Hear(Vec::new())).await;
    victim.wish(Wish::Become(VrrpState::Master)).await;
    confirmed(&rig).await;
    let confirmed_at = Instant::now();
    let (request, at) = victim.request().await;
    assert!(at < confirmed_at + PROMISE, "{:?} after the confirmation", at - confirmed_at);
    let Some(What::Give(order)) = request.request else { panic!("{request:?}") };
    assert!(order.id.starts_with("fence/1.") && order.until_us == 0, "{order:?}");
    let order_id = order.id.clone();
    assert_eq!(order.instances, ["VI_1"]);
    assert!(order.why.contains("lb02 loses"), "{}", order.why);
    holds(&rig, "lb03").await;
    assert_eq!(*survivor.state.borrow(), VrrpState::Master, "the survivor was left alone");

    let viewer = desk(&rig, "vic", Role::Viewer).await;
    let fence = fence_in(&viewer, "resolved").await;
    assert_eq!((fence.id.as_str(), fence.target.as_str()), ("fence/1", "lb02"));
    assert_eq!(
        (fence.origin.as_str(), fence.taken(), fence.holds_order),
        ("detection", v1::FenceLevel::Demote, true)
    );
    assert_eq!(fence.survivors["dc1/192.168.178.3"], "lb03");
    assert!(!fence.evidence.is_empty());

    // The survivor tells the neighbours again, and then nobody is called.
    let (request, _) = survivor.request().await;
    let announced = v1::Announce { instances: vec!["VI_1".into()] };
    assert_eq!(request.request, Some(What::Announce(announced)));
    eventually("the aftercare to be over", async || {
        let fence = fences(&mut viewer.clone()).await.pop()?;
        assert_ne!(fence.aftercare, "escalated");
        (fence.aftercare == "done").then_some(())
    })
    .await;

    // What was done is in the audit log, edge by edge, each before the next.
    let rows = rig.audit().await;
    let line = |words: &str| {
        rows.iter()
            .rposition(|row| row.action == "fence" && row.subject == "lb02" && row.detail.contains(words))
            .unwrap_or_else(|| panic!("no {words} in {rows:#?}"))
    };
    let edges = [
        "fence/1: proposed",
        "proposed -> approved",
        "approved -> demoting",
        "step of demoting",
        "demoting -> resolved",
    ];
    let places: Vec<usize> = edges.iter().map(|words| line(words)).collect();
    assert!(places.is_sorted_by(|a, b| a > b), "newest first: {places:?}");

    // Held down until a person lets it back, over a restart of the coordinator too.
    rig.stop().await;
    let agents = (survivor.leave().await, victim.leave().await, witness.leave().await);
    rig.serve().await;
    let _survivor = Obedient::start(&rig, agents.0, true).await;
    let mut victim = Obedient::start(&rig, agents.1, true).await;
    let _witness = Obedient::start(&rig, agents.2, true).await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    assert_eq!(fences(&mut approver).await[0].state, "resolved");
    eventually("lb02 to be heard", async || {
        rig.fleet().await.nodes.iter().find(|node| node.name == "lb02" && node.fresh).map(drop)
    })
    .await;
    approver.release(v1::ReleaseFenceRequest { node: "lb02".into() }).await.unwrap();
    let (request, _) = victim.request().await;
    assert_eq!(request.request, Some(What::Withdraw(v1::Withdraw { order_id })), "the same over a restart");
    eventually("the order to be withdrawn", async || {
        let fence = fences(&mut approver).await.pop()?;
        (fence.state == "released" && !fence.holds_order).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_before_it_is_written_down() {
    let toml = format!("[windows]\ngrace = \"3s\"\n[fencing]\nmode = \"auto\"\n{QUICK}");
    let rig = Rig::start_with(&toml).await;
    let (_survivor, mut victim, _witness) = three(&rig, true).await;
    holds(&rig, "lb03").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let blocker = Blocker::start(&rig).await;
    victim.wish(Wish::Hear(Vec::new())).await;
    victim.wish(Wish::Become(VrrpState::Master)).await;
    // Longer than a confirmation and the demote's window take together.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(victim.asked.try_recv().is_err(), "nothing could be written down");
    let viewer = FenceServiceClient::new(rig.channel(Some(&rig.admin())).await.unwrap());
    assert_eq!(fences(&mut viewer.clone()).await, []);
    blocker.stop().await;
    let (request, _) = victim.request().await;
    assert!(matches!(request.request, Some(What::Give(_))), "{request:?}");
    fence_in(&viewer, "resolved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_is_cut_only_after_a_person_allowed_it_and_is_verified() {
    let outlet = tempfile::NamedTempFile::new().unwrap();
    fs::write(outlet.path(), "on").unwrap();
    let toml = format!(
        "[fencing]\nmode = \"approve\"\nreferences = [\"127.0.0.1:9\"]\n{QUICK}\
         [[fencing.device]]\nnode = \"lb02\"\nrung = \"power\"\nprogram = \"/usr/sbin/fence_dummy\"\n\
         parameters = {{ type = \"file\", status_file = \"{}\" }}\n",
        outlet.path().display()
    );
    let rig = Rig::start_with(&toml).await;
    let is_on = || fs::read_to_string(outlet.path()).unwrap().trim() == "on";
    // Its agent does not do what it is told.
    let (survivor, mut victim, witness) = three(&rig, false).await;
    holds(&rig, "lb03").await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    let mut operator = desk(&rig, "ann", Role::Operator).await;
    eventually("the fence path to be verified", async || {
        let request = v1::ListFencesRequest::default();
        let state = approver.list(request).await.unwrap().into_inner().fencing.unwrap();
        (state.epoch == 1 && state.paths.iter().any(|path| path.works_since_us > 0)).then_some(())
    })
    .await;
    let tested =
        operator.test(v1::TestFenceRequest { node: "lb02".into(), level: 0 }).await.unwrap().into_inner();
    assert_eq!(tested.tested[0].reading, "on");
    assert!(tested.tested[0].command.starts_with("/usr/sbin/fence_dummy action=status "), "{tested:?}");

    // One way: lb02 hears nobody and takes over; the two others hear it, and are the witnesses that a program needs.
    let credential = rig.user("nobody", Role::Viewer).await;
    let heard = |node: &str| FakeAgent::new(node, credential.clone()).as_heard();
    survivor.wish(Wish::Hear(vec![heard("lb02")])).await;
    witness.wish(Wish::Hear(vec![heard("lb03"), heard("lb02")])).await;
    victim.wish(Wish::Hear(Vec::new())).await;
    victim.wish(Wish::Become(VrrpState::Master)).await;
    let fence = fence_in(&approver, "awaiting_approval").await;
    assert_eq!(fence.target, "lb02");
    assert!(victim.asked.try_recv().is_err(), "nothing is done before a person says yes");
    let yes = |up_to: v1::FenceLevel, typed: &str| v1::ApproveFenceRequest {
        id: fence.id.clone(),
        up_to: up_to.into(),
        node_typed: typed.into(),
    };
    let refused = operator.approve(yes(v1::FenceLevel::Demote, "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "who operates does not approve");
    approver.approve(yes(v1::FenceLevel::Demote, "")).await.unwrap();
    let (request, _) = victim.request().await;
    assert!(matches!(request.request, Some(What::Give(_))), "{request:?}");

    // It did not let go: the next step is another question, and nothing happens before its answer.
    eventually("the next step to wait for a person", async || {
        let fence = fences(&mut approver).await.pop()?;
        (fence.state == "awaiting_approval" && fence.taken() == v1::FenceLevel::Demote).then_some(())
    })
    .await;
    assert!(is_on());
    let power = v1::FenceLevel::Power;
    for typed in ["", "lb03"] {
        let refused = approver.approve(yes(power, typed)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let run = v1::RunFenceRequest { node: "lb02".into(), level: power.into(), node_typed: typed.into() };
        let refused = approver.run(run).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    assert!(is_on());
    approver.approve(yes(power, "lb02")).await.unwrap();
    eventually("the outlet to be off", async || (!is_on()).then_some(())).await;
    // Its host has no power: neither it nor its adverts are heard from now on.
    let agent = victim.leave().await;
    survivor.wish(Wish::Hear(Vec::new())).await;
    witness.wish(Wish::Hear(vec![heard("lb03")])).await;
    let fence = fence_in(&approver, "quarantined").await;
    assert_eq!((fence.taken(), fence.approved_by.as_str()), (power, "user/eve"));
    let rows = rig.audit().await;
    let said = |words: &str| rows.iter().any(|row| row.action == "fence" && row.detail.contains(words));
    assert!(said("fence_dummy action=off") && said("result status off"), "{rows:#?}");
    // Every word of a person is there, with who said it, and each refusal.
    let verb = |actor: &str, action: &str, outcome: &str, words: &str| {
        rows.iter().any(|row| {
            (row.actor.as_str(), row.action.as_str(), row.outcome.as_str()) == (actor, action, outcome)
                && row.subject == "lb02"
                && row.detail.contains(words)
        })
    };
    assert!(verb("user/ann", "fence.test", "done", "asked from "), "{rows:#?}");
    assert!(verb("user/eve", "fence.approve", "done", ""), "{rows:#?}");
    for action in ["fence.approve", "fence.run"] {
        assert!(verb("user/eve", action, "refused", "refused (consent_missing)"), "{rows:#?}");
    }

    // It comes back, and is held down until a person releases it.
    let mut agent = agent;
    agent.becomes(VrrpState::Backup);
    let mut back = Obedient::start(&rig, agent, true).await;
    let (request, _) = back.request().await;
    let Some(What::Give(order)) = request.request else { panic!("{request:?}") };
    assert!(order.id.starts_with(&format!("{}.", fence.id)) && order.instances.is_empty(), "{order:?}");
    let order_id = order.id.clone();
    let refused = operator.release(v1::ReleaseFenceRequest { node: "lb02".into() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(fences(&mut approver).await[0].state, "quarantined");
    approver.release(v1::ReleaseFenceRequest { node: "lb02".into() }).await.unwrap();
    let (request, _) = back.request().await;
    assert_eq!(request.request, Some(What::Withdraw(v1::Withdraw { order_id })));
    drop((survivor, witness));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_leaves_fencing_inert_and_everything_else_alone() {
    let mut rig = Rig::start().await;
    rig.enrol("lb01").await;
    let mut operator = desk(&rig, "ann", Role::Operator).await;
    operator.pause(v1::PauseFencingRequest {}).await.unwrap();
    let listed = operator.list(v1::ListFencesRequest::default()).await.unwrap().into_inner();
    let state = listed.fencing.unwrap();
    assert_eq!((state.mode.as_str(), state.epoch, state.paused_by.as_str()), ("dry_run", 1, "user/ann"));
    rig.stop().await;
    rig.serve().await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    let state = approver.list(v1::ListFencesRequest::default()).await.unwrap().into_inner().fencing.unwrap();
    assert_eq!((state.epoch, state.paused_by.as_str()), (2, "user/ann"), "a pause outlives the coordinator");
    assert!(state.paused_since_us > 0 && state.fleet_rate.unwrap().limit == 5, "{state:?}");
    approver.resume(v1::ResumeFencingRequest {}).await.unwrap();

    rig.stop().await;
    rig.execute("UPDATE fence_standing SET body = '{}'").await;
    rig.serve().await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    let state = approver.list(v1::ListFencesRequest::default()).await.unwrap().into_inner().fencing.unwrap();
    assert_eq!(state.epoch, 0);
    assert!(state.inert.starts_with("the standing of fencing is not readable"), "{}", state.inert);
    let run = v1::RunFenceRequest {
        node: "lb01".into(),
        level: v1::FenceLevel::Demote.into(),
        node_typed: String::new(),
    };
    let refused = approver.run(run).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().ends_with("(not_leader)"), "{}", refused.message());
    assert_eq!(rig.fleet().await.nodes.len(), 1);
}

/// A backup from before a fence is restored: the fence's number is given again, but the agent that kept the order of the first
/// one does not take the second one's for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_gives_no_order_s_id_again() {
    let mut rig = Rig::start_with(QUICK).await;
    let (survivor, mut victim, witness) = three(&rig, true).await;
    holds(&rig, "lb03").await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    let run = || v1::RunFenceRequest {
        node: "lb02".into(),
        level: v1::FenceLevel::Demote.into(),
        node_typed: String::new(),
    };
    let data = rig.config.data_dir.clone();
    rig.store().backup(&data.join("before.db")).await.unwrap();
    approver.run(run()).await.unwrap();
    let (first, _) = victim.request().await;
    rig.stop().await;
    let agents = (survivor.leave().await, victim.leave().await, witness.leave().await);
    for log in ["coordinator.db-wal", "coordinator.db-shm"] {
        let _ = fs::remove_file(data.join(log));
    }
    fs::rename(data.join("before.db"), data.join("coordinator.db")).unwrap();

    rig.serve().await;
    let _survivor = Obedient::start(&rig, agents.0, true).await;
    let mut victim = Obedient::start(&rig, agents.1, true).await;
    let _witness = Obedient::start(&rig, agents.2, true).await;
    holds(&rig, "lb03").await;
    let mut approver = desk(&rig, "eve", Role::FenceApprover).await;
    assert!(fences(&mut approver).await.is_empty(), "this database knows of no fence");
    let answer = approver.run(run()).await.unwrap().into_inner();
    assert_eq!(answer.fence.unwrap().id, "fence/1", "the number is given again");
    let (second, _) = victim.request().await;
    let order_id = |request: &v1::Request| match &request.request {
        Some(What::Give(order)) => order.id.clone(),
        other => panic!("{other:?}"),
    };
    let ids = [order_id(&first), order_id(&second)];
    assert!(ids.iter().all(|id| id.starts_with("fence/1.")) && ids[0] != ids[1], "{ids:?}");
    assert_ne!(first.id, second.id, "nor is the question one that it has answered already");
}
