//! One open stream with one coordinator.
//!
//! Nothing here waits for the coordinator: what does not fit into the outgoing queue is not sent, and a coordinator that
//! does not answer heartbeats is left. Every branch of the loop is cancel-safe: channels, timers, and futures that are
//! kept between turns.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use hafleet_proto::v1::{
    self, agent_message::Message as Out, agent_service_client::AgentServiceClient,
    coordinator_message::Message as In,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::{
    Phase, Uplink,
    probe::Probes,
    renew,
    requests::{self, Requests},
    rfc3339, told_to_stop, wire,
};
use crate::{
    clock,
    join::{CoordinatorAddress, Identity},
    journal::{self, AskError, JournalId},
    log,
};

const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Without an answer for so long the coordinator is left.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Messages that wait to be sent.
const OUTGOING_MAX: usize = 16;
/// Events in one batch, by the protocol.
const BATCH_LEN: usize = 256;
/// Events sent and not acknowledged.
const IN_FLIGHT_MAX: u64 = 1024;
/// No message of a coordinator is longer.
const MESSAGE_LEN_MAX: usize = 256 * 1024;
/// After a transition the kernel's answers come in; the snapshot after this shows them.
const SETTLE_AFTER: Duration = Duration::from_millis(100);
/// How long the coordinator may take to certify a new key.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
const RENEW_RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long the coordinator may take to acknowledge the last events when the agent stops.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// No text of a coordinator is shown longer.
const TEXT_LEN_MAX: usize = 500;

/// How a session ended.
pub(super) enum SessionEnd {
    /// The agent stops.
    Stopped,
    /// There is a new certificate to connect with.
    Renewed,
    /// The journal began a new life or dropped what was promised: Hello must be said anew.
    JournalMoved,
    /// The coordinator does not want this node.
    Refused { reason: String, detail: String },
    /// Anything else.
    Failed(SessionError),
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{address} did not open a session")]
    Open {
        address: CoordinatorAddress,
        #[source]
        source: Box<Status>,
    },
    #[error("the connection to {address} broke")]
    Broken {
        address: CoordinatorAddress,
        #[source]
        source: Box<Status>,
    },
    #[error("{address} ended the session without a reason (is it being restarted?)")]
    Ended { address: CoordinatorAddress },
    #[error("{address} does not answer: no {what} for {} s", SILENCE_MAX.as_secs())]
    Silent { address: CoordinatorAddress, what: &'static str },
    #[error("{address} broke the protocol: {what}")]
    Protocol { address: CoordinatorAddress, what: String },
}

pub(super) struct Session<'a> {
    uplink: &'a mut Uplink,
    identity: Arc<Identity>,
    address: CoordinatorAddress,
    client: AgentServiceClient<Channel>,
    outgoing: mpsc::Sender<v1::AgentMessage>,
    messages: Option<mpsc::Receiver<v1::AgentMessage>>,
    journal: watch::Receiver<journal::Status>,
    /// The life that Hello named; `None`: a stand-in while the journal cannot be opened.
    journal_id: Option<JournalId>,
    /// `None` before Welcome.
    told: Option<Told>,
    reading: Option<BoxFuture<'static, Result<Vec<v1::Event>, AskError>>>,
    probes: Probes,
    requests: Requests,
    renewing: Option<BoxFuture<'static, Result<(), renew::RenewError>>>,
    renew_not_before: Instant,
    read_not_before: Instant,
    snapshot_due: bool,
    settle_at: Option<Instant>,
    /// Since when a heartbeat waits for its answer.
    unanswered_since: Option<Instant>,
    goodbye: Option<Goodbye>,
}

/// How far the coordinator has been told.
#[derive(Clone, Copy, Debug)]
struct Told {
    sent_seq: u64,
    acked_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Goodbye {
    until: Instant,
    last_seq: u64,
}

/// A turn of the loop that goes on, or the end.
type Turn = Result<(), SessionEnd>;

impl<'a> Session<'a> {
    pub fn new(
        uplink: &'a mut Uplink,
        identity: Arc<Identity>,
        address: CoordinatorAddress,
        channel: Channel,
    ) -> Self {
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let journal = uplink.journal.status();
        Self {
            identity,
            address,
            client: AgentServiceClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX),
            outgoing,
            messages: Some(messages),
            journal_id: None,
            journal,
            told: None,
            reading: None,
            probes: Probes::default(),
            requests: Requests::default(),
            renewing: None,
            renew_not_before: Instant::now(),
            read_not_before: Instant::now(),
            snapshot_due: false,
            settle_at: None,
            unanswered_since: None,
            goodbye: None,
            uplink,
        }
    }

    pub async fn run(mut self) -> SessionEnd {
        let mut inbound = match self.open().await {
            Ok(inbound) => inbound,
            Err(end) => return end,
        };
        let mut stop = self.uplink.stop.clone();
        let mut acting = self.uplink.acting.clone();
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.unanswered_since = Some(Instant::now());
        loop {
            self.start_what_is_due().await;
            let turn = tokio::select! {
                message = inbound.message() => self.heard(message).await,
                _ = heartbeat.tick() => self.beat().await,
                changed = self.journal.changed() => self.journal_changed(changed.is_ok()),
                events = or_never(&mut self.reading) => self.read(events),
                report = self.probes.next() => self.probed(report),
                () = self.requests.next() => Ok(()),
                Ok(()) = acting.changed() => {
                    self.snapshot_due = true;
                    Ok(())
                }
                renewed = or_never(&mut self.renewing) => self.renewed(renewed),
                () = at(self.settle_at) => self.settle(),
                () = at(self.goodbye.map(|goodbye| goodbye.until)) => Err(SessionEnd::Stopped),
                () = told_to_stop(&mut stop), if self.goodbye.is_none() => self.say_goodbye(),
            };
            if let Err(end) = turn {
                return end;
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<v1::CoordinatorMessage>, SessionEnd> {
        let hello = self.hello();
        self.send(Out::Hello(hello));
        let Some(messages) = self.messages.take() else { return Err(SessionEnd::JournalMoved) };
        match timeout(SILENCE_MAX, self.client.session(ReceiverStream::new(messages))).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(SessionEnd::Failed(SessionError::Open {
                address: self.address.clone(),
                source: Box::new(status),
            })),
            Err(_) => Err(self.silent("answer to the session request")),
        }
    }

    fn hello(&mut self) -> v1::Hello {
        let journal = self.journal.borrow_and_update();
        self.journal_id = journal.journal_id;
        // Until the journal can be opened nothing of it is promised; the present is told all the same.
        let stand_in = || JournalId::random().unwrap_or(JournalId::from_bytes([0; 16]));
        v1::Hello {
            node: self.identity.node.to_string(),
            site: self.uplink.site.as_ref().unwrap_or(&self.identity.site).to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            journal_id: self.journal_id.unwrap_or_else(stand_in).to_string(),
            first_seq: journal.first_seq.max(1),
            last_seq: journal.last_seq,
            at_us: clock::wall_us(),
        }
    }

    /// Begins what can begin without waiting for anybody.
    async fn start_what_is_due(&mut self) {
        let Uplink { journal, engine, acts, .. } = &*self.uplink;
        if let Some(told) = self.told
            && self.reading.is_none()
            && self.journal_id.is_some()
            && told.sent_seq < self.journal.borrow().last_seq
            && told.sent_seq - told.acked_seq < IN_FLIGHT_MAX
            && self.outgoing.capacity() > OUTGOING_MAX / 2
            && self.read_not_before <= Instant::now()
        {
            let journal = journal.clone();
            self.reading = Some(Box::pin(async move { journal.read(told.sent_seq + 1, BATCH_LEN).await }));
        }
        self.probes.start(engine, journal, || self.uplink.asides());
        self.requests.start(acts);
        let outgoing = &self.outgoing;
        let answer = |answer| v1::AgentMessage { message: Some(Out::Answer(answer)) };
        self.requests.send(|one| outgoing.try_send(answer(one)).is_ok());
        if self.snapshot_due
            && self.outgoing.capacity() > 0
            && let Some(snapshot) = self.snapshot().await
        {
            self.snapshot_due = !self.send(Out::Snapshot(snapshot));
        }
    }

    async fn heard(&mut self, message: Result<Option<v1::CoordinatorMessage>, Status>) -> Turn {
        let address = self.address.clone();
        match message {
            Ok(Some(v1::CoordinatorMessage { message: Some(message) })) => self.take(message).await,
            Ok(Some(v1::CoordinatorMessage { message: None })) => {
                Err(self.protocol("a message of a kind that this agent does not know".to_owned()))
            }
            Ok(None) => Err(SessionEnd::Failed(SessionError::Ended { address })),
            Err(status) => {
                Err(SessionEnd::Failed(SessionError::Broken { address, source: Box::new(status) }))
            }
        }
    }

    async fn take(&mut self, message: In) -> Turn {
        match message {
            In::Welcome(welcome) => self.welcomed(welcome.acked_seq).await,
            In::Ack(ack) => self.acked(ack.seq),
            In::HeartbeatAck(_) => {
                self.unanswered_since = None;
                Ok(())
            }
            In::Probe(request) => {
                if !self.probes.ask(request) {
                    self.uplink.status.send_modify(|status| status.probes_dropped += 1);
                }
                Ok(())
            }
            In::Request(request) => self.requested(request),
            In::Refusal(refusal) => {
                Err(SessionEnd::Refused { reason: shown(&refusal.reason), detail: shown(&refusal.detail) })
            }
        }
    }

    fn requested(&mut self, request: v1::Request) -> Turn {
        if self.told.is_none() {
            return Err(self.protocol("a Request before Welcome".to_owned()));
        }
        if !self.requests.ask(request) {
            let what = format!("more than {} requests that wait for their answers", requests::WAITING_MAX);
            return Err(self.protocol(what));
        }
        Ok(())
    }

    async fn welcomed(&mut self, acked_seq: u64) -> Turn {
        if self.told.is_some() {
            return Err(self.protocol("a second Welcome".to_owned()));
        }
        let (first_seq, last_seq) = {
            let journal = self.journal.borrow();
            (journal.first_seq.max(1), journal.last_seq)
        };
        if self.journal_id.is_some() && acked_seq > last_seq {
            tracing::warn!(
                acked_seq,
                last_seq,
                "the coordinator has events of this journal that are not in it (was the disk restored from a backup?); \
                 a new journal begins"
            );
            if let Err(error) = self.uplink.journal.begin_anew().await {
                let error = log::chain(&error);
                tracing::warn!("no new journal can begin yet: {error}");
            }
            return Err(SessionEnd::JournalMoved);
        }
        let told = Told { sent_seq: acked_seq.max(first_seq - 1), acked_seq: acked_seq.max(first_seq - 1) };
        self.told = Some(told);
        if self.journal_id.is_some() {
            self.uplink.journal.acked(acked_seq);
        }
        self.snapshot_due = true;
        self.unanswered_since = None;
        let to = self.address.to_string();
        tracing::info!(coordinator = to, acked_seq, last_seq, "connected");
        self.uplink.status.send_modify(|status| {
            status.phase = Phase::Connected { to, since_us: clock::wall_us() };
            status.sessions += 1;
            status.acked_seq = acked_seq;
        });
        Ok(())
    }

    fn acked(&mut self, seq: u64) -> Turn {
        let Some(told) = &mut self.told else {
            return Err(self.protocol("an Ack before Welcome".to_owned()));
        };
        if seq > told.sent_seq {
            let what = format!("an Ack of {seq}, but only {} was sent", told.sent_seq);
            return Err(self.protocol(what));
        }
        told.acked_seq = told.acked_seq.max(seq);
        let acked_seq = told.acked_seq;
        // What a stand-in was acknowledged says nothing about the journal that will be opened.
        if self.journal_id.is_some() {
            self.uplink.journal.acked(acked_seq);
        }
        self.uplink.status.send_modify(|status| status.acked_seq = acked_seq);
        match self.goodbye {
            Some(goodbye) if acked_seq >= goodbye.last_seq => Err(SessionEnd::Stopped),
            Some(_) | None => Ok(()),
        }
    }

    async fn beat(&mut self) -> Turn {
        let now = Instant::now();
        if self.unanswered_since.is_some_and(|since| now.duration_since(since) > SILENCE_MAX) {
            return Err(self.silent(if self.told.is_some() { "heartbeat answer" } else { "Welcome" }));
        }
        if self.told.is_none() || self.goodbye.is_some() {
            return Ok(());
        }
        self.renew_if_due(now);
        if let Some((snapshot, packets_rejected, dropped)) = self.engine_snapshot().await {
            self.unanswered_since.get_or_insert(now);
            let (pending, waiting) = {
                let journal = self.journal.borrow();
                (journal.pending(), journal.waiting as u64)
            };
            let counters = v1::Counters {
                engine_events_dropped: dropped,
                journal_events_pending: pending + waiting,
                packets_rejected,
            };
            // When it does not fit, the missing answer tells.
            self.send(Out::Heartbeat(v1::Heartbeat { snapshot: Some(snapshot), counters: Some(counters) }));
        }
        Ok(())
    }

    fn renew_if_due(&mut self, now: Instant) {
        if self.renewing.is_some() || now < self.renew_not_before {
            return;
        }
        let due = self.identity.validity().is_ok_and(|validity| validity.renew_at_us() <= clock::wall_us());
        if due {
            let identity = Arc::clone(&self.identity);
            let state_dir = self.uplink.state_dir.clone();
            self.renewing =
                Some(Box::pin(renew::renew(self.client.clone(), identity, state_dir, RENEW_WITHIN)));
        }
    }

    fn renewed(&mut self, renewed: Result<(), renew::RenewError>) -> Turn {
        let error = renewed.err().map(|error| log::chain(&error));
        self.uplink.status.send_modify(|status| status.renewal_error.clone_from(&error));
        let Some(error) = error else { return Err(SessionEnd::Renewed) };
        let until = self.identity.validity().map_or_else(|_| String::new(), |v| rfc3339(v.not_after_us));
        tracing::warn!(
            "the certificate could not be renewed and ends at {until}: {error}; trying again in a minute"
        );
        self.renew_not_before = Instant::now() + RENEW_RETRY_AFTER;
        Ok(())
    }

    fn journal_changed(&mut self, alive: bool) -> Turn {
        let moved = !alive || self.journal.borrow_and_update().journal_id != self.journal_id;
        if moved { Err(SessionEnd::JournalMoved) } else { Ok(()) }
    }

    fn read(&mut self, events: Result<Vec<v1::Event>, AskError>) -> Turn {
        let Some(told) = &mut self.told else { return Ok(()) };
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                // The turn of a later heartbeat tries again.
                self.read_not_before = Instant::now() + HEARTBEAT_EVERY;
                let error = log::chain(&error);
                tracing::debug!("the journal cannot be read: {error}");
                return Ok(());
            }
        };
        let seq_of = |event: Option<&v1::Event>| event.and_then(|event| Some(event.stamp.as_ref()?.seq));
        let (Some(first), Some(last)) = (seq_of(events.first()), seq_of(events.last())) else {
            self.read_not_before = Instant::now() + HEARTBEAT_EVERY;
            return Ok(());
        };
        if first != told.sent_seq + 1 {
            // The bound of the journal has taken what was promised.
            return Err(SessionEnd::JournalMoved);
        }
        let batch = v1::JournalBatch { events };
        if self.outgoing.try_send(v1::AgentMessage { message: Some(Out::Journal(batch)) }).is_ok() {
            told.sent_seq = last;
            if last >= self.journal.borrow().last_seq && self.goodbye.is_none() {
                self.snapshot_due = true;
                self.settle_at = Some(Instant::now() + SETTLE_AFTER);
            }
        } else {
            self.read_not_before = Instant::now() + HEARTBEAT_EVERY;
        }
        Ok(())
    }

    fn probed(&mut self, report: Option<v1::ProbeReport>) -> Turn {
        if let Some(report) = report {
            self.send(Out::ProbeReport(report));
        }
        Ok(())
    }

    fn settle(&mut self) -> Turn {
        self.settle_at = None;
        self.snapshot_due = true;
        Ok(())
    }

    fn say_goodbye(&mut self) -> Turn {
        let last_seq = self.journal.borrow().last_seq;
        match self.told {
            Some(told) if told.acked_seq < last_seq => {
                self.goodbye = Some(Goodbye { until: Instant::now() + GOODBYE_MAX, last_seq });
                Ok(())
            }
            Some(_) | None => Err(SessionEnd::Stopped),
        }
    }

    async fn snapshot(&mut self) -> Option<v1::Snapshot> {
        self.engine_snapshot().await.map(|(snapshot, ..)| snapshot)
    }

    /// The present, with the packets rejected and the reports dropped so far. `None` when the engine does not answer:
    /// an old picture would be a lie.
    async fn engine_snapshot(&mut self) -> Option<(v1::Snapshot, u64, u64)> {
        // Before the engine is asked: everything up to here is in its answer.
        let seq = self.journal.borrow().last_seq;
        let engine = self.uplink.engine.snapshot().await.ok()?;
        let asides = self.uplink.asides();
        let snapshot = wire::snapshot(&engine, &asides, seq, clock::now(), clock::wall_us());
        let left_out = engine.heard.len().saturating_sub(snapshot.heard.len()) as u64;
        self.uplink.status.send_if_modified(|status| {
            let before = std::mem::replace(&mut status.heard_left_out, left_out);
            if left_out > 0 && before == 0 {
                tracing::warn!(
                    left_out,
                    "more VRRP sources are heard than a coordinator is told; those of VRIDs not configured here are left \
                     out first. `ha-agent status -o json` shows them all"
                );
            }
            before != left_out
        });
        Some((snapshot, engine.packets_rejected, engine.reports_dropped))
    }

    fn send(&self, message: Out) -> bool {
        self.outgoing.try_send(v1::AgentMessage { message: Some(message) }).is_ok()
    }

    fn silent(&self, what: &'static str) -> SessionEnd {
        SessionEnd::Failed(SessionError::Silent { address: self.address.clone(), what })
    }

    fn protocol(&self, what: String) -> SessionEnd {
        SessionEnd::Failed(SessionError::Protocol { address: self.address.clone(), what })
    }
}

/// The result of a future that may be there; waits for ever when it is not.
async fn or_never<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(running) => {
            let result = running.await;
            *future = None;
            result
        }
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// A text of a peer, bounded and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(TEXT_LEN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
