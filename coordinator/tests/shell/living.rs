//! Fake agents that live: they beat, answer probes and do what they are asked, each in its manner.

use std::time::Duration;

use hafleet_proto::v1::{
    self, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent,
    request::Request as What,
};
use tokio::{sync::mpsc, time::timeout};

use crate::rig::{FakeAgent, Rig, SOON, Stream};

/// A fake agent that lives: it beats, journals what it is told to become, and answers probes.
pub struct Living {
    wishes: mpsc::Sender<Wish>,
    /// What the coordinator asked of it, as it came.
    asked: mpsc::Receiver<v1::Request>,
    task: tokio::task::JoinHandle<FakeAgent>,
}

/// What an agent does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It does it and says so.
    Obeys,
    /// It says that it is done, and nothing changes.
    Pretends,
    /// It refuses for this reason.
    Refuses(&'static str),
    /// It does it and says nothing.
    Mute,
}

enum Wish {
    Become(v1::VrrpState),
    Hear(Vec<v1::HeardAdvert>),
    Behave(Manner),
    Leave,
}

const BEAT: Duration = Duration::from_millis(100);

impl Living {
    pub async fn start(rig: &Rig, agent: FakeAgent) -> Self {
        let (wishes, wished) = mpsc::channel(8);
        let (asks, asked) = mpsc::channel(64);
        let mut stream = agent.connect(rig).await;
        agent.send_after(&stream, stream.welcome.acked_seq, 256).await;
        stream.send(FromAgent::Snapshot(agent.snapshot())).await;
        let task = tokio::spawn(async move { live(agent, &mut stream, wished, asks).await });
        Self { wishes, asked, task }
    }

    pub async fn becomes(&self, state: v1::VrrpState) {
        assert!(self.wishes.send(Wish::Become(state)).await.is_ok());
    }

    /// What its heard-adverts table says from now on.
    pub async fn hears(&self, heard: Vec<v1::HeardAdvert>) {
        assert!(self.wishes.send(Wish::Hear(heard)).await.is_ok());
    }

    pub async fn behaves(&self, manner: Manner) {
        assert!(self.wishes.send(Wish::Behave(manner)).await.is_ok());
    }

    /// The next thing that is asked of it.
    pub async fn request(&mut self) -> What {
        let request = timeout(SOON, self.asked.recv()).await.expect("nothing is asked").unwrap();
        request.request.unwrap()
    }

    /// Ends its stream, or finds it ended.
    pub async fn leave(self) -> FakeAgent {
        let _ = self.wishes.send(Wish::Leave).await;
        self.task.await.unwrap()
    }
}

async fn live(
    mut agent: FakeAgent,
    stream: &mut Stream,
    mut wishes: mpsc::Receiver<Wish>,
    asks: mpsc::Sender<v1::Request>,
) -> FakeAgent {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = beat.tick() => agent.beat(stream).await,
            wish = wishes.recv() => match wish {
                Some(Wish::Become(state)) => agent.turns(stream, state).await,
                Some(Wish::Behave(manner)) => agent.manner = manner,
                Some(Wish::Hear(heard)) => agent.heard = heard,
                Some(Wish::Leave) | None => return agent,
            },
            message = stream.rx.message() => match message {
                Ok(Some(v1::CoordinatorMessage { message: Some(ToAgent::Probe(probe)) })) => {
                    let report = agent.answer(&probe);
                    stream.send(FromAgent::ProbeReport(report)).await;
                }
                Ok(Some(v1::CoordinatorMessage { message: Some(ToAgent::Request(request)) })) => {
                    agent.take(stream, &request).await;
                    // A test that looks at none of them leaves the queue full.
                    let _ = asks.try_send(request);
                }
                Ok(Some(v1::CoordinatorMessage { message: Some(ToAgent::Refusal(refusal)) })) => {
                    panic!("refused: {refusal:?}")
                }
                Ok(Some(_)) => {}
                // The coordinator has gone.
                Ok(None) | Err(_) => return agent,
            },
        }
    }
}

impl FakeAgent {
    /// Everybody answers ARP but this host itself.
    pub fn answer(&self, probe: &v1::ProbeRequest) -> v1::ProbeReport {
        let own = self.address();
        let holds_vip = self.state == v1::VrrpState::Master;
        let arp = probe.arp_targets.iter().map(|target| {
            let silent = *target == own || (holds_vip && *target == probe.address);
            v1::ArpObservation {
                interface: "ens33".into(),
                target: target.clone(),
                macs: if silent { Vec::new() } else { vec!["02:00:00:00:00:01".into()] },
                error: String::new(),
            }
        });
        v1::ProbeReport { id: probe.id, snapshot: Some(self.snapshot()), arp: arp.collect() }
    }

    /// Changes state and says so.
    async fn turns(&mut self, stream: &Stream, state: v1::VrrpState) {
        let sent = self.events.len() as u64;
        self.becomes(state);
        self.send_after(stream, sent, 256).await;
        stream.send(FromAgent::Snapshot(self.snapshot())).await;
    }

    /// Does what it is asked, in its manner.
    async fn take(&mut self, stream: &Stream, request: &v1::Request) {
        let does = matches!(self.manner, Manner::Obeys | Manner::Mute);
        match request.request.clone().unwrap() {
            What::Give(order) if does => {
                let state = match order.order.as_ref().unwrap() {
                    v1::order::Order::TakeOver(_) => v1::VrrpState::Master,
                    v1::order::Order::Maintenance(_) | v1::order::Order::Demote(_) => v1::VrrpState::Fault,
                };
                self.orders.retain(|known| known.id != order.id);
                self.orders.push(order);
                self.turns(stream, state).await;
            }
            What::Withdraw(withdraw) if does => {
                let before = self.orders.len();
                self.orders.retain(|known| known.id != withdraw.order_id);
                if self.orders.len() < before {
                    self.turns(stream, v1::VrrpState::Backup).await;
                }
            }
            _ => {}
        }
        let (done, reason) = match self.manner {
            Manner::Obeys | Manner::Pretends => (true, String::new()),
            Manner::Refuses(reason) => (false, reason.to_owned()),
            Manner::Mute => return,
        };
        let detail = if done { String::new() } else { "in words".to_owned() };
        stream.send(FromAgent::Answer(v1::Answer { id: request.id.clone(), done, reason, detail })).await;
    }
}
