//! One agent's stream from Hello to its end.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hafleet_fleet::{Input, Instant, NodeName, ProbeId, Site};
use hafleet_proto::v1::{self, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    audit::Refusal,
    backoff::Backoff,
    effects::FleetGone,
    health::Trouble,
    identity::{self, Identity, certificate::ClientCertificate},
    ingest::{IngestError, JournalReader},
    sessions::{
        border::{self, Malformed},
        roster::{End, LastWords, OUTBOUND_MAX, Outbound, Registration},
    },
    shared::Shared,
    store::{NodeRow, StoreError},
};

/// How long an agent may take to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that says nothing for so long is dead; an agent speaks every second.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A snapshot that changed nothing is stored again after so long.
const STORE_SNAPSHOT_EVERY: Duration = Duration::from_secs(30);
/// The wall clock may step: how long until the certificate ends is asked again after so long.
const EXPIRY_LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a refusal may take to be read.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the agent reads.
pub type ToAgentStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

/// Serves a stream whose certificate names `node`.
pub fn serve(
    shared: Arc<Shared>,
    node: NodeName,
    certificate: Arc<ClientCertificate>,
    peer: String,
    inbound: Streaming<v1::AgentMessage>,
) -> ToAgentStream {
    let (outbound, to_agent) = mpsc::channel(OUTBOUND_MAX);
    let stream = Stream { shared, node, certificate, peer, outbound };
    tokio::spawn(stream.run(inbound));
    ReceiverStream::new(to_agent)
}

struct Stream {
    shared: Arc<Shared>,
    node: NodeName,
    certificate: Arc<ClientCertificate>,
    peer: String,
    outbound: Outbound,
}

/// The stream has been accepted.
struct Session {
    stream: Stream,
    registration: Registration,
    journal: JournalReader,
    journal_id: String,
    stored_snapshot: Option<(u64, Instant)>,
    welcomed_us: Option<i64>,
}

/// Why a stream ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the agent ended it")]
    ByAgent,
    #[error("the connection failed: {0}")]
    Broken(Status),
    #[error("nothing was heard for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the coordinator is shutting down")]
    Closing,
    #[error("{reason}: {detail}")]
    Refused { reason: &'static str, detail: String },
}

impl From<FleetGone> for Ended {
    fn from(_: FleetGone) -> Self {
        Self::Closing
    }
}

impl From<Malformed> for Ended {
    fn from(error: Malformed) -> Self {
        protocol(error.to_string())
    }
}

impl From<IngestError> for Ended {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Malformed(malformed) => malformed.into(),
            IngestError::Unfit(error) => {
                protocol(format!("field `journal.events`: {:#}", anyhow::Error::new(error)))
            }
            IngestError::Gone(gone) => gone.into(),
        }
    }
}

fn protocol(detail: String) -> Ended {
    Ended::Refused { reason: "protocol", detail }
}

/// What is kept of a snapshot across restarts of the coordinator.
#[derive(Serialize, Deserialize)]
struct StoredSnapshot {
    journal_id: String,
    /// The protobuf message, base64.
    message: String,
}

/// Reads back what [`Session::keep`] wrote.
pub(crate) fn read_stored(body: &str) -> Option<(String, v1::Snapshot)> {
    let stored: StoredSnapshot = serde_json::from_str(body).ok()?;
    let bytes = STANDARD.decode(stored.message).ok()?;
    Some((stored.journal_id, v1::Snapshot::decode(bytes.as_slice()).ok()?))
}

impl Stream {
    async fn run(self, mut inbound: Streaming<v1::AgentMessage>) {
        let shared = Arc::clone(&self.shared);
        let (node, peer, outbound) = (self.node.clone(), self.peer.clone(), self.outbound.clone());
        let opened = tokio::select! {
            opened = self.open(&mut inbound) => opened,
            () = shared.closing() => Err(Ended::Closing),
        };
        let ended = match opened {
            Ok(session) => {
                let id = session.registration.id;
                let ended = session.run(&mut inbound).await;
                // An error means that the coordinator ends, and with it the core.
                let place = shared.fleet.reserve().await.ok();
                shared.roster.deregister(&node, id, || {
                    if let Some(place) = place {
                        place.tell(Input::NodeDisconnected { node: node.clone() }, shared.clock.now());
                    }
                });
                ended
            }
            Err(ended) => ended,
        };
        match ended {
            Ended::Refused { reason, detail } => {
                refuse(&shared, &node, &peer, &outbound, reason, detail).await
            }
            Ended::ByAgent | Ended::Broken(_) | Ended::Silent | Ended::Closing => {
                tracing::info!(%node, peer, "stream ended: {ended}");
            }
        }
    }

    /// From Hello to Welcome.
    async fn open(self, inbound: &mut Streaming<v1::AgentMessage>) -> Result<Session, Ended> {
        let first = timeout(HELLO_TIMEOUT, next(inbound)).await.map_err(|_| Ended::Silent)??;
        let FromAgent::Hello(hello) = first else {
            return Err(protocol("field `message`: the first message must be Hello".into()));
        };
        if hello.node != self.node.0 {
            return Err(Ended::Refused {
                reason: "identity_mismatch",
                detail: format!(
                    "the certificate is that of the node `{}`, but the agent speaks for `{}`; set `node` to `{}` or join \
                     this host under its own name",
                    self.node, hello.node, self.node
                ),
            });
        }
        self.check_certificate()?;
        let site = identity::site_name(&hello.site)
            .map_err(|error| protocol(format!("field `hello.site`: {error}")))?;
        border::journal_id(&hello.journal_id).map_err(|error| error.within("hello"))?;
        border::text("hello.agent_version", &hello.agent_version)?;

        let received_us = self.shared.clock.wall_us();
        self.check_site(&site).await?;
        self.save_node(&hello, &site).await;
        let journal = JournalReader::new(self.node.clone(), hello.journal_id.clone(), hello.first_seq);
        let begun = journal.begin(&self.shared).await?;
        self.note_journal(&hello, begun.acked_seq, begun.gap);

        let connected = Input::NodeConnected { node: self.node.clone(), site: site.clone() };
        let place = self.shared.fleet.reserve().await?;
        let announce = || place.tell(connected, self.shared.clock.now());
        let registration =
            self.shared.roster.register(&self.node, &self.peer, self.outbound.clone(), announce);
        self.shared.roster.with(&self.node, |entry| {
            entry.site = site.0.clone();
            entry.agent_version = hello.agent_version.clone();
            entry.journal_id = hello.journal_id.clone();
            entry.acked_seq = begun.acked_seq;
            entry.pending_events = hello.last_seq.saturating_sub(begun.acked_seq);
            entry.certificate_not_after_us = self.certificate.not_after_us;
            entry.offset.heard(hello.at_us, received_us);
        });
        if let Some(old) = &registration.replaced {
            tracing::info!(node = %self.node, peer = self.peer, old, "a newer stream replaces the old one");
        }
        let at_us = self.shared.clock.wall_us();
        let session = Session {
            journal,
            journal_id: hello.journal_id,
            registration,
            stored_snapshot: None,
            welcomed_us: Some(at_us),
            stream: self,
        };
        session.stream.send(ToAgent::Welcome(v1::Welcome { acked_seq: begun.acked_seq, at_us })).await;
        session.shared().roster.welcomed(&session.stream.node, session.registration.id);
        tracing::info!(
            node = %session.stream.node, peer = session.stream.peer, version = hello.agent_version,
            acked = begun.acked_seq, last = hello.last_seq, "stream began"
        );
        Ok(session)
    }

    fn check_certificate(&self) -> Result<(), Ended> {
        if self.shared.revoked.contains(&self.node) {
            let detail = format!("the node {} was revoked; join this host under another name", self.node);
            return Err(Ended::Refused { reason: "revoked", detail });
        }
        if self.certificate.not_after_us <= self.shared.clock.wall_us() {
            return Err(expired(&self.certificate));
        }
        Ok(())
    }

    /// Groups are those of one site: a node that says another than it joined would be in none of its own groups, and
    /// two holders of one address would look well, each at its site.
    async fn check_site(&self, said: &Site) -> Result<(), Ended> {
        let mut again = Again::new(self);
        let known = loop {
            match self.shared.store.node(&self.node.0).await {
                Ok(known) => break known,
                Err(error) => again.after(error).await,
            }
        };
        match known {
            Some(known) if known.site != said.0 => Err(Ended::Refused {
                reason: "site_mismatch",
                detail: format!(
                    "the node {} joined at the site `{}`, but its agent says `{said}`: set `site` in agent.toml to `{}` \
                     or leave it out; a host that has moved joins again with `ha-agent join --site {said}`",
                    self.node, known.site, known.site
                ),
            }),
            // Nothing is known of a node whose row a restored backup does not have.
            Some(_) | None => Ok(()),
        }
    }

    async fn save_node(&self, hello: &v1::Hello, site: &Site) {
        let now_us = self.shared.clock.now_us();
        let row = NodeRow {
            name: self.node.0.clone(),
            site: site.0.clone(),
            first_seen_us: now_us,
            last_seen_us: Some(now_us),
            agent_version: hello.agent_version.clone(),
            certificate_serial: Some(self.certificate.serial.clone()),
            certificate_not_after_us: Some(self.certificate.not_after_us),
            revoked_at_us: None,
        };
        let mut again = Again::new(self);
        while let Err(error) = self.shared.store.save_node(&row).await {
            again.after(error).await;
        }
    }

    fn note_journal(&self, hello: &v1::Hello, acked_seq: u64, gap: Option<(u64, u64)>) {
        if let Some((first, last)) = gap {
            tracing::warn!(node = %self.node, first, last, "events are gone: the agent's journal no longer has them");
        }
        if hello.last_seq < acked_seq {
            // What is journalled under numbers that are committed already would be taken for what is known.
            let detail = format!(
                "journal {} ends at {}, but {acked_seq} events of it are committed: it was set back (a restored disk?). \
                 Events up to {acked_seq} will not be taken again",
                hello.journal_id, hello.last_seq
            );
            self.shared.audit.note_refusal(Refusal {
                actor: &Identity::Node(self.node.clone()).to_string(),
                action: "session",
                reason: "journal_set_back",
                subject: &self.peer,
                detail: &detail,
            });
        }
    }

    /// Waits while the agent does not read; the stream's reader waits with it.
    async fn send(&self, message: ToAgent) {
        // An error means that the agent is gone, which the reader sees too.
        let _ = self.outbound.send(Ok(v1::CoordinatorMessage { message: Some(message) })).await;
    }
}

/// Asks the database again until it answers; the agent waits with us.
struct Again<'a> {
    stream: &'a Stream,
    backoff: Backoff,
    trouble: Option<Trouble>,
}

impl<'a> Again<'a> {
    fn new(stream: &'a Stream) -> Self {
        Self { stream, backoff: Backoff::STORE, trouble: None }
    }

    async fn after(&mut self, error: StoreError) {
        self.trouble.get_or_insert_with(|| self.stream.shared.health.trouble());
        let error = anyhow::Error::new(error);
        tracing::error!(node = %self.stream.node, "{error:#}; trying again");
        tokio::time::sleep(self.backoff.next()).await;
    }
}

impl Session {
    fn shared(&self) -> &Shared {
        &self.stream.shared
    }

    async fn run(mut self, inbound: &mut Streaming<v1::AgentMessage>) -> Ended {
        let shared = Arc::clone(&self.stream.shared);
        let mut end = self.registration.end.clone();
        let told_to_end = async {
            // An error means that the roster dropped this stream for a newer one.
            let end = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
            end_words(end)
        };
        let certificate = Arc::clone(&self.stream.certificate);
        let expired = async {
            loop {
                let left_us = certificate.not_after_us.saturating_sub(shared.clock.wall_us());
                match u64::try_from(left_us) {
                    Ok(left_us @ 1..) => {
                        tokio::time::sleep(Duration::from_micros(left_us).min(EXPIRY_LOOK_EVERY)).await;
                    }
                    Ok(0) | Err(_) => return expired(&certificate),
                }
            }
        };
        tokio::select! {
            biased;
            ended = told_to_end => ended,
            () = shared.closing() => Ended::Closing,
            ended = expired => ended,
            ended = self.read(inbound) => ended,
        }
    }

    async fn read(&mut self, inbound: &mut Streaming<v1::AgentMessage>) -> Ended {
        loop {
            let message = match timeout(SILENCE_MAX, next(inbound)).await {
                Ok(Ok(message)) => message,
                Ok(Err(ended)) => return ended,
                Err(_) => return Ended::Silent,
            };
            if let Err(ended) = self.take(message).await {
                return ended;
            }
        }
    }

    async fn take(&mut self, message: FromAgent) -> Result<(), Ended> {
        self.stream.check_certificate()?;
        match message {
            FromAgent::Hello(_) => Err(protocol("field `message`: a second Hello".into())),
            FromAgent::Journal(batch) => self.journal(&batch).await,
            FromAgent::Snapshot(snapshot) => {
                if let Some(asked_us) = self.welcomed_us.take() {
                    self.hear_answer(snapshot.at_us, asked_us);
                }
                let at = self.snapshot(&snapshot, "snapshot").await?;
                self.keep(snapshot, at).await;
                Ok(())
            }
            FromAgent::Heartbeat(heartbeat) => self.heartbeat(heartbeat).await,
            FromAgent::ProbeReport(report) => self.probe_report(report).await,
            FromAgent::Answer(answer) => {
                border::answer(&answer).map_err(|error| error.within("answer"))?;
                self.shared().agents.answered(&self.stream.node, answer);
                Ok(())
            }
        }
    }

    async fn journal(&mut self, batch: &v1::JournalBatch) -> Result<(), Ended> {
        let stream = &self.stream;
        let acknowledge = async |seq| stream.send(ToAgent::Ack(v1::Ack { seq })).await;
        let outcome = self.journal.take(self.shared(), batch, acknowledge).await?;
        self.shared().roster.with(&self.stream.node, |entry| {
            entry.pending_events = entry.pending_events.saturating_sub(outcome.inserted);
            entry.acked_seq = outcome.acked_seq;
        });
        Ok(())
    }

    async fn heartbeat(&mut self, heartbeat: v1::Heartbeat) -> Result<(), Ended> {
        let Some(snapshot) = heartbeat.snapshot else {
            return Err(protocol("field `heartbeat.snapshot`: is missing".into()));
        };
        let agent_at_us = snapshot.at_us;
        let coordinator_at_us = self.shared().clock.wall_us();
        self.shared().roster.with(&self.stream.node, |entry| {
            entry.offset.heard(agent_at_us, coordinator_at_us);
            if let Some(counters) = &heartbeat.counters {
                entry.pending_events = counters.journal_events_pending;
            }
        });
        let at = self.snapshot(&snapshot, "heartbeat.snapshot").await?;
        self.stream.send(ToAgent::HeartbeatAck(v1::HeartbeatAck { agent_at_us, coordinator_at_us })).await;
        self.keep(snapshot, at).await;
        Ok(())
    }

    async fn probe_report(&mut self, report: v1::ProbeReport) -> Result<(), Ended> {
        let Some(snapshot) = report.snapshot else {
            return Err(protocol("field `probe_report.snapshot`: is missing".into()));
        };
        let at = self.shared().clock.now();
        let read = border::snapshot(&snapshot, &self.journal_id)
            .map_err(|error| error.within("probe_report.snapshot"))?;
        let arp = border::arp(&report.arp).map_err(|error| error.within("probe_report"))?;
        let asked = self.shared().roster.with(&self.stream.node, |entry| {
            let asked = entry.take_probe(report.id);
            if let Some(asked) = asked {
                entry.witness.saw(&arp, asked.at);
            }
            asked
        });
        if let Some(asked) = asked {
            self.hear_answer(snapshot.at_us, asked.wall_us);
        }
        self.remember(snapshot, at);
        let node = self.stream.node.clone();
        let input = Input::Probed { probe: ProbeId(report.id), node, snapshot: read, arp };
        self.shared().fleet.tell(input, at).await?;
        self.shared().roster.probe_answered();
        Ok(())
    }

    /// Tells the core; says when the snapshot came.
    async fn snapshot(&self, snapshot: &v1::Snapshot, field: &str) -> Result<Instant, Ended> {
        let at = self.shared().clock.now();
        let read = border::snapshot(snapshot, &self.journal_id).map_err(|error| error.within(field))?;
        let input = Input::Snapshot { node: self.stream.node.clone(), snapshot: read };
        self.shared().fleet.tell(input, at).await?;
        Ok(at)
    }

    fn remember(&self, snapshot: v1::Snapshot, at: Instant) {
        let last = LastWords { snapshot, received: Some(at) };
        self.shared().roster.with(&self.stream.node, |entry| entry.last = Some(last));
    }

    /// Remembers a snapshot, and stores one that has news or the first after a while: the picture that a restart
    /// begins with.
    async fn keep(&mut self, snapshot: v1::Snapshot, at: Instant) {
        let due = self
            .stored_snapshot
            .is_none_or(|(seq, stored)| seq != snapshot.seq || at.since(stored) >= STORE_SNAPSHOT_EVERY);
        let seq = snapshot.seq;
        let message = due.then(|| STANDARD.encode(snapshot.encode_to_vec()));
        self.remember(snapshot, at);
        let Some(message) = message else { return };
        let stored = StoredSnapshot { journal_id: self.journal_id.clone(), message };
        let node = self.stream.node.0.as_str();
        let saved: Result<(), StoreError> = match serde_json::to_string(&stored) {
            Ok(body) => self.shared().store.save_snapshot(node, self.shared().clock.now_us(), &body).await,
            Err(error) => {
                tracing::error!(node, %error, "a snapshot cannot be put into JSON");
                return;
            }
        };
        match saved {
            Ok(()) => self.stored_snapshot = Some((seq, at)),
            // The next heartbeat tries again; nothing is decided by it.
            Err(error) => tracing::warn!(node, "{:#}", anyhow::Error::new(error)),
        }
    }

    fn hear_answer(&self, stamped_us: i64, asked_us: i64) {
        let received_us = self.shared().clock.wall_us();
        self.shared()
            .roster
            .with(&self.stream.node, |entry| entry.offset.answered(stamped_us, asked_us, received_us));
    }
}

async fn next(inbound: &mut Streaming<v1::AgentMessage>) -> Result<FromAgent, Ended> {
    match inbound.message().await {
        Ok(Some(v1::AgentMessage { message: Some(message) })) => Ok(message),
        Ok(Some(v1::AgentMessage { message: None })) => Err(protocol(
            "field `message`: is missing, or of a kind that this coordinator does not know".into(),
        )),
        Ok(None) => Err(Ended::ByAgent),
        Err(status) => Err(Ended::Broken(status)),
    }
}

fn expired(certificate: &ClientCertificate) -> Ended {
    let until = crate::clock::rfc3339(certificate.not_after_us);
    let detail = format!("the certificate ended at {until}; renew it before, or join again with a new token");
    Ended::Refused { reason: "expired", detail }
}

fn end_words(end: Option<End>) -> Ended {
    match end {
        Some(End::Revoked) => {
            Ended::Refused { reason: "revoked", detail: "an administrator revoked this node".into() }
        }
        Some(End::Replaced { by }) => Ended::Refused {
            reason: "duplicate_session",
            detail: format!(
                "a newer stream of this node came from {by}; if that is another host, it has a copy of this one's identity"
            ),
        },
        None => Ended::Closing,
    }
}

/// Says why, to the agent, the log and the audit log.
async fn refuse(
    shared: &Shared,
    node: &NodeName,
    peer: &str,
    outbound: &Outbound,
    reason: &'static str,
    detail: String,
) {
    let actor = Identity::Node(node.clone()).to_string();
    shared.audit.note_refusal(Refusal {
        actor: &actor,
        action: "session",
        reason,
        subject: peer,
        detail: &detail,
    });
    let refusal = ToAgent::Refusal(v1::Refusal { reason: reason.into(), detail });
    let message = v1::CoordinatorMessage { message: Some(refusal) };
    // An agent that does not read it within the time is left without.
    let _ = timeout(REFUSAL_TIMEOUT, outbound.send(Ok(message))).await;
}
