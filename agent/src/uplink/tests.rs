pub(crate) mod fake;
mod requests;
mod resume;
mod trouble;

use std::{net::IpAddr, sync::Arc, time::Duration};

use hafleet_proto::v1::{
    self, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent, event::Event,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    driver::{ArpObservation, Command, EngineSnapshot},
    join::Fingerprint,
    journal::{Happening, Limits},
};
use fake::{Authority, Behaviour, FakeCoordinator, FakeSession, GOOD, PATIENCE};

/// An agent without an engine: its uplink, its journal, and a thread that answers like an engine.
struct Agent {
    state_dir: TempDir,
    journal: Journal,
    configuration: watch::Sender<ConfigurationStatus>,
    acting: watch::Sender<ActStatus>,
    references: watch::Sender<Vec<ReferenceStatus>>,
    /// What the coordinator asks for comes out here; a test answers.
    asked: mpsc::Receiver<crate::run::Asked>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    uplink: JoinHandle<()>,
    written: u64,
}

impl Agent {
    /// With this identity, if any.
    fn start(identity: Option<&Identity>) -> Self {
        Self::start_with(identity, Vec::new())
    }

    fn start_with(identity: Option<&Identity>, coordinators: Vec<CoordinatorAddress>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), identity, coordinators)
    }

    fn start_in(
        state_dir: TempDir,
        identity: Option<&Identity>,
        coordinators: Vec<CoordinatorAddress>,
    ) -> Self {
        if let Some(identity) = identity {
            identity.store(state_dir.path()).unwrap();
        }
        let (journal, _thread) =
            Journal::start(&state_dir.path().join("journal"), Limits::default()).unwrap();
        let (commands, orders) = mpsc::channel(8);
        tokio::spawn(fake_engine(orders));
        let (publish, status) = watch::channel(Status::default());
        let (stop, stopped) = watch::channel(false);
        let (configuration, configured) = watch::channel(ConfigurationStatus::default());
        let (acting, ordered) = watch::channel(ActStatus::default());
        let (acts, asked) = ActClient::new();
        let (references, asked_references) = watch::channel(Vec::new());
        let uplink = Uplink {
            state_dir: state_dir.path().to_owned(),
            node: None,
            site: None,
            coordinators,
            engine: EngineClient::new(commands),
            journal: journal.clone(),
            configuration: configured,
            acts,
            acting: ordered,
            references: asked_references,
            status: publish,
            stop: stopped,
        };
        let uplink = tokio::spawn(uplink.run());
        Self {
            state_dir,
            journal,
            configuration,
            acting,
            references,
            asked,
            status,
            stop,
            uplink,
            written: 0,
        }
    }

    /// Journals that many more transitions; each carries its number.
    async fn write(&mut self, count: u64) {
        for number in self.written + 1..=self.written + count {
            self.journal.append(numbered(number));
        }
        self.written += count;
        assert_eq!(self.journal.flush().await.unwrap(), 0);
    }

    async fn until(&mut self, reached: impl FnMut(&Status) -> bool) -> Status {
        let found = timeout(PATIENCE, self.status.wait_for(reached)).await;
        found.expect("the uplink never got there").unwrap().clone()
    }

    async fn last_error(&mut self) -> String {
        self.until(|status| status.last_error.is_some()).await.last_error.unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.uplink.abort();
        self.journal.close();
    }
}

async fn fake_engine(mut orders: mpsc::Receiver<Command>) {
    while let Some(order) = orders.recv().await {
        match order {
            Command::Snapshot(reply) => {
                let _ = reply.send(EngineSnapshot { packets_rejected: 7, ..EngineSnapshot::default() });
            }
            Command::Probe { targets, reply, .. } => {
                let answer = |target: IpAddr| ArpObservation {
                    interface: "ens33".to_owned(),
                    target,
                    macs: vec!["02:00:00:00:00:01".to_owned()],
                    error: String::new(),
                };
                let _ = reply.send(targets.into_iter().map(answer).collect());
            }
            Command::Track { .. } => {}
            Command::Stand { reply, .. } => {
                let _ = reply.send(std::collections::BTreeMap::new());
            }
            Command::Announce { reply, .. } => {
                let _ = reply.send(Ok(()));
            }
            Command::Isolate(_, reply) => {
                let _ = reply.send(());
            }
            Command::Reconfigure(_, reply) => {
                let _ = reply.send(crate::driver::Changes::default());
            }
            Command::Stop(reply) => {
                let _ = reply.send(Vec::new());
                return;
            }
        }
    }
}

fn numbered(number: u64) -> Happening {
    let transition = v1::Transition {
        instance: "VI_1".to_owned(),
        vrid: 51,
        from: v1::VrrpState::Backup.into(),
        to: v1::VrrpState::Master.into(),
        reason: "master_down".to_owned(),
        detail: number.to_string(),
    };
    Happening { event: Event::Transition(transition), at_us: 1, mono_us: number }
}

fn number_of(event: &v1::Event) -> u64 {
    match event.event.as_ref().unwrap() {
        Event::Transition(transition) => transition.detail.parse().unwrap(),
        other => panic!("{other:?} was never journalled"),
    }
}

fn seq_of(event: &v1::Event) -> u64 {
    event.stamp.as_ref().unwrap().seq
}

#[tokio::test]
async fn a_session_says_hello_tells_the_present_and_then_the_past() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    agent.write(3).await;
    let mut session = coordinator.session().await;
    assert_eq!((session.hello.node.as_str(), session.hello.site.as_str()), ("lb01", "dc1"));
    assert_eq!(session.hello.journal_id.len(), 32);
    assert_eq!(session.hello.first_seq, 1);
    session.welcome(0).await;
    // The journal and the snapshot come in either order; both come at once.
    let (mut events, mut snapshots) = (Vec::new(), 0);
    while events.len() < 3 || snapshots == 0 {
        match session.hear().await {
            FromAgent::Journal(batch) => events.extend(batch.events),
            FromAgent::Snapshot(_) => snapshots += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events.iter().map(number_of).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(events[0].stamp.as_ref().unwrap().journal_id, session.hello.journal_id);
    session.say(ToAgent::Ack(v1::Ack { seq: 3 })).await;
    let status = agent.until(|status| status.acked_seq == 3).await;
    assert!(matches!(status.phase, Phase::Connected { .. }), "{:?}", status.phase);
    assert_eq!((status.sessions, status.failures), (1, 0));

    // A transition: journalled, told, and then the whole present.
    agent.write(1).await;
    assert_eq!(session.batch().await.iter().map(number_of).collect::<Vec<_>>(), [4]);
    assert_eq!(session.snapshot().await.seq, 4);

    // The heartbeat carries the whole present and the counters.
    let heartbeat = loop {
        if let Some(FromAgent::Heartbeat(heartbeat)) = session.hear_all().await {
            break heartbeat;
        }
    };
    assert_eq!(heartbeat.snapshot.unwrap().seq, 4);
    let counters = heartbeat.counters.unwrap();
    assert_eq!((counters.packets_rejected, counters.journal_events_pending), (7, 1));

    // A configuration that is refused is part of the present, as long as it is.
    let refused_at_us = clock::wall_us() - 2_000_000;
    agent.configuration.send_modify(|status| {
        (status.error, status.error_at_us) = (Some("x".repeat(5_000)), Some(refused_at_us));
    });
    agent.write(1).await;
    let refused = session.snapshot().await.configuration_refused.unwrap();
    assert_eq!(refused.why.len(), 1024);
    assert!((2_000_000..30_000_000).contains(&refused.age_us), "{refused:?}");
    agent.configuration.send_modify(|status| status.error = None);
    agent.write(1).await;
    assert_eq!(session.snapshot().await.configuration_refused, None);
}

#[tokio::test]
async fn a_probe_is_answered_with_a_fresh_snapshot() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    let targets = ["192.168.178.3", "nonsense"].map(str::to_owned).to_vec();
    let request = |id| v1::ProbeRequest {
        id,
        address: "192.168.178.3".to_owned(),
        arp_targets: targets.clone(),
        timeout_us: u64::MAX,
    };
    session.say(ToAgent::Probe(request(17))).await;
    let report = loop {
        if let FromAgent::ProbeReport(report) = session.hear().await {
            break report;
        }
    };
    assert_eq!(report.id, 17);
    assert!(report.snapshot.is_some());
    assert_eq!(report.arp.len(), 2);
    assert_eq!(report.arp[0].target, "nonsense");
    assert!(!report.arp[0].error.is_empty());
    assert_eq!(report.arp[1].macs, ["02:00:00:00:00:01"]);

    // A thousand at once: few are answered, the rest is counted, and the session lives.
    for id in 100..1100 {
        session.say(ToAgent::Probe(request(id))).await;
    }
    assert!(agent.until(|status| status.probes_dropped > 500).await.probes_dropped < 1000);
    session.say(ToAgent::Ack(v1::Ack { seq: 0 })).await;
    assert!(matches!(agent.status.borrow().phase, Phase::Connected { .. }));
}

#[tokio::test]
async fn the_certificate_is_renewed_and_used_at_two_thirds_of_its_life() {
    let authority = Arc::new(Authority::new());
    let signer = Arc::clone(&authority);
    let renew = move |request: v1::RenewRequest| {
        let certificate = signer.certify("lb01", GOOD, &request.csr_der);
        Ok(v1::RenewResponse {
            certificate_der: certificate.to_vec(),
            ca_der: signer.der.to_vec(),
            not_after_us: 0,
        })
    };
    let behaviour = Behaviour { renew: Box::new(renew), ..Behaviour::default() };
    let socket = "127.0.0.1:0".parse().unwrap();
    let mut coordinator = FakeCoordinator::start_with(&authority, &authority, socket, behaviour);
    // Three quarters of its life are over.
    let identity = authority.identity("lb01", (-3, 1), &coordinator.address);
    let old_key = identity.key.secret_der().to_vec();
    let agent = Agent::start(Some(&identity));
    let first = coordinator.session().await;
    first.welcome(0).await;
    let second = coordinator.session().await;
    assert_ne!(first.certificate, second.certificate);
    let kept = Identity::load(agent.state_dir.path()).unwrap();
    assert_eq!(Fingerprint::of(&kept.certificate), second.certificate);
    assert_ne!(kept.key.secret_der(), old_key, "a new certificate has a new key");
    assert!(kept.validity().unwrap().renew_at_us() > clock::wall_us());
}

#[tokio::test]
async fn a_renewal_that_is_never_answered_ends() {
    let authority = Authority::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let renew = move |_| {
        // Until the test is over.
        let _ = held.lock().unwrap().recv();
        Err(tonic::Status::unavailable("too late"))
    };
    let behaviour = Behaviour { renew: Box::new(renew), ..Behaviour::default() };
    let socket = "127.0.0.1:0".parse().unwrap();
    let coordinator = FakeCoordinator::start_with(&authority, &authority, socket, behaviour);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let config = client_config(&identity).unwrap();
    let connection = connect(&coordinator.address, config).await.unwrap();
    let client = v1::agent_service_client::AgentServiceClient::new(connection.channel);
    let state_dir = tempfile::tempdir().unwrap();
    let within = Duration::from_millis(300);
    let renewal = renew::renew(client, Arc::new(identity), state_dir.path().to_owned(), within);
    let error = timeout(PATIENCE, renewal).await.expect("it waits for ever").unwrap_err();
    assert!(
        error.to_string().contains("did not answer the request for a new certificate within 0.3 s"),
        "{error}"
    );
    assert!(!state_dir.path().join("identity").exists());
    drop(release);
}

#[tokio::test]
async fn a_node_that_joins_while_the_agent_runs_is_taken_up() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut agent = Agent::start(None);
    agent.until(|status| status.phase.to_string().contains("runs on its own")).await;
    authority.identity("lb01", GOOD, &coordinator.address).store(agent.state_dir.path()).unwrap();
    assert_eq!(coordinator.session().await.hello.node, "lb01");

    let configured = Agent::start_with(None, vec![coordinator.address.clone()]);
    let mut configured = configured;
    let why = configured
        .until(|status| status.phase.to_string().contains("has not joined"))
        .await
        .phase
        .to_string();
    assert!(why.contains("ha-agent join --coordinator 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn the_last_events_are_told_before_the_agent_ends() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    session.snapshot().await;
    agent.write(5).await;
    agent.stop.send_replace(true);
    let mut last = 0;
    while last < 5 {
        last = session.batch().await.last().map(seq_of).unwrap();
    }
    session.say(ToAgent::Ack(v1::Ack { seq: 5 })).await;
    timeout(PATIENCE, &mut agent.uplink).await.expect("the uplink did not end").unwrap();

    // A coordinator that does not answer costs a second, not more.
    let mut agent = Agent::start(Some(&identity));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    session.snapshot().await;
    agent.write(1).await;
    let began = tokio::time::Instant::now();
    agent.stop.send_replace(true);
    timeout(PATIENCE, &mut agent.uplink).await.expect("the uplink did not end").unwrap();
    // One second by its bound; twice that for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
