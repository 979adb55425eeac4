#![allow(clippy::unwrap_used, clippy::panic)]
use hafleet_fleet::{FindingKind, FindingStatus, ProbeId, Site};

use super::*;
use crate::{
    actuator::agent::AgentActuator,
    config::Fencing,
    fencing,
    sessions::border,
    store::{AuditFilter, AuditOutcome},
};
use hafleet_fleet::fence::RefusalCode;

type Sent = mpsc::Receiver<Result<v1::CoordinatorMessage, tonic::Status>>;

/// A core, and two nodes that both say MASTER; what is sent to them goes where the test sees it.
struct Bench {
    _dir: tempfile::TempDir,
    fleet: FleetHandle,
    store: Store,
    roster: Arc<Roster>,
    clock: Clock,
}

impl Bench {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("fleet.db").display());
        let (roster, clock) = (Arc::new(Roster::default()), Clock::start());
        let store = Store::open(&url.parse().unwrap()).await.unwrap();
        let agents = Arc::new(AgentActuator::new(Arc::clone(&roster)));
        let steps = Steps::new(store.clone(), Arc::clone(&roster), agents, &Fencing::default());
        let parts = Parts {
            clock,
            store: store.clone(),
            roster: Arc::clone(&roster),
            changes: broadcast::channel(16).0,
            health: Health::default(),
            outbox: Arc::new(Notify::new()),
            receivers: Vec::new(),
            windows: Windows::default(),
            steps: Arc::new(steps),
            inert: None,
        };
        let leads = fencing::begin(&store, &Fencing::default(), 1).await.unwrap();
        let (fleet, _keeper) = start(parts, leads.inputs);
        Self { _dir: dir, fleet, store, roster, clock }
    }

    /// A stream that nobody reads yet, with room for so many messages.
    async fn connect(&self, node: &str, room: usize) -> Sent {
        let (outbound, sent) = mpsc::channel(room);
        let name = NodeName(node.into());
        self.roster.register(&name, "192.0.2.1:1", outbound, || ());
        self.tell(Input::NodeConnected { node: name, site: Site("dc1".into()) }).await;
        sent
    }

    async fn tell(&self, input: Input) {
        self.fleet.tell(input, self.clock.now()).await.unwrap();
    }

    async fn say(&self, node: &str) {
        self.tell(Input::Snapshot { node: NodeName(node.into()), snapshot: self.master(node) }).await;
    }

    fn master(&self, node: &str) -> hafleet_fleet::Snapshot {
        let instance = v1::InstanceState {
            instance: "VI_1".into(),
            interface: "eth0".into(),
            vrid: 51,
            version: 3,
            state: v1::VrrpState::Master.into(),
            in_state_us: self.clock.up_us(),
            priority: 100,
            effective_priority: 100,
            advert_interval_cs: 10,
            master_down_us: 360_000,
            auth: "none".into(),
            addresses: vec!["10.0.0.100/24".into()],
            source_address: format!("10.0.0.{}", node.len()),
            carrier: true,
            ..Default::default()
        };
        let snapshot = v1::Snapshot {
            seq: 1,
            at_us: self.clock.wall_us(),
            instances: vec![instance],
            ..Default::default()
        };
        border::snapshot(&snapshot, &"0".repeat(32)).unwrap()
    }

    async fn confirmed(&self) -> bool {
        let findings = self.fleet.view().await.unwrap().findings;
        findings.iter().any(|finding| {
            finding.kind == FindingKind::SplitBrainConfirmed && finding.status == FindingStatus::Firing
        })
    }

    /// Answers every probe that has arrived.
    async fn answer(&self, node: &str, sent: &mut Sent) {
        while let Ok(message) = sent.try_recv() {
            if let Some(v1::coordinator_message::Message::Probe(probe)) = message.unwrap().message {
                let (probe, snapshot) = (ProbeId(probe.id), self.master(node));
                let node = NodeName(node.into());
                self.tell(Input::Probed { probe, node, snapshot, arp: Vec::new() }).await;
            }
        }
    }
}

#[tokio::test]
async fn the_core_is_told_of_a_probe_that_could_not_be_sent() {
    let bench = Bench::start().await;
    let mut free = bench.connect("lb1", 64).await;
    let mut full = bench.connect("lb02", 1).await;
    let filler = v1::coordinator_message::Message::Ack(v1::Ack { seq: 1 });
    assert!(bench.roster.send(&NodeName("lb02".into()), filler));
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let began = bench.clock.now();
    // Without the news, one is sent early in the overlap, one at its end after a second, and the next much later.
    while bench.roster.not_sent() < 6 {
        assert!(bench.clock.now().since(began) < Duration::from_secs(3), "{}", bench.roster.not_sent());
        beat.tick().await;
        bench.say("lb1").await;
        bench.say("lb02").await;
        bench.answer("lb1", &mut free).await;
    }
    while !bench.confirmed().await {
        assert!(bench.clock.now().since(began) < Duration::from_secs(20), "room again, and not confirmed");
        beat.tick().await;
        bench.say("lb1").await;
        bench.say("lb02").await;
        bench.answer("lb1", &mut free).await;
        bench.answer("lb02", &mut full).await;
    }
}

#[tokio::test]
async fn nobody_is_told_that_it_is_done_when_the_row_was_refused() {
    let bench = Bench::start().await;
    // While it leads it is done, and is in the database.
    assert_eq!(bench.fleet.ask_fence("user/eve".into(), FenceVerb::Pause).await.unwrap(), Ok(None));
    let paused = bench.store.fence_standing().await.unwrap();
    assert_eq!(bench.fleet.ask_fence("user/eve".into(), FenceVerb::Resume).await.unwrap(), Ok(None));
    let resumed = bench.store.fence_standing().await.unwrap();
    assert_ne!(paused.body, resumed.body);
    // Another coordinator takes over; this one has not heard of it.
    bench.store.take_fence_epoch(2).await.unwrap();
    for _ in 0..2 {
        let answer = bench.fleet.ask_fence("user/eve".into(), FenceVerb::Pause).await.unwrap();
        assert_eq!(answer.unwrap_err().code, RefusalCode::NotLeader);
    }
    assert_eq!(bench.store.fence_standing().await.unwrap().body, resumed.body);
    let filter = AuditFilter { action: Some("fence.pause".into()), limit: 10, ..AuditFilter::default() };
    let outcomes: Vec<AuditOutcome> =
        bench.store.audit(&filter).await.unwrap().rows.into_iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [AuditOutcome::Refused, AuditOutcome::Refused, AuditOutcome::Done]);
}
