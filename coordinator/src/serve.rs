//! A serving coordinator: puts the parts together, and takes them apart in order.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use hafleet_fleet::{Input, NodeName, RestoredFinding, Site};
use hafleet_proto::v1::{
    FILE_DESCRIPTOR_SET, agent_service_server::AgentServiceServer,
    config_service_server::ConfigServiceServer, fence_service_server::FenceServiceServer,
    operator_service_server::OperatorServiceServer,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;

use crate::{
    actuator::agent::AgentActuator,
    api::{Guarded, agent::Agents, config::Configs, fence::FenceDesk, operator::Operators},
    audit::AuditLog,
    backoff::Backoff,
    clock::Clock,
    config::{Config, SealedParameterError},
    data_dir::{CA_CERTIFICATE, CA_KEY, DataDir, DataDirError, SERVER_CERTIFICATE, SERVER_KEY},
    effects,
    fencing::{self, steps::Steps},
    finding::{self, UnreadableFinding},
    health::Health,
    identity::{
        ca::{Ca, CaError, SERVER_RENEWAL},
        certificate::{self, CertificateError},
        revoked::RevokedNodes,
    },
    notify::{self, NotifyError},
    orders::{self, Orders},
    push::{self, Pushes},
    sealing::{self, SealingError},
    sessions::{
        self, border,
        roster::{LastWords, Roster},
    },
    shared::{CHANGES_MAX, Shared},
    store::{Sole, SoleError, Store, StoreError},
    tls::{self, RefusedHandshakes, TlsError},
};

/// How long open connections may take to end in order.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long the last writes may take at the end.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// How often the database is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often old rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Events older than this are deleted, but never one of the newest [`KEEP_EVENTS`].
const EVENTS_KEPT_US: i64 = 400 * 86_400_000_000;
const KEEP_EVENTS: u64 = 100_000;
/// The newest orders and the newest fences, and those that are not over.
const KEEP_ORDERS: u64 = 10_000;
/// Messages that were finished longer ago are deleted.
const MESSAGES_KEPT_US: i64 = 30 * 86_400_000_000;
/// HTTP/2 pings find peers that vanished without a word.
const PING_PEERS_EVERY: Duration = Duration::from_secs(10);
const PING_PEERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls at once on one connection.
const STREAMS_MAX: u32 = 64;
/// Bytes in an operator's request; the longest there is names a group and a few filters.
const OPERATOR_REQUEST_MAX: usize = 64 << 10;
/// The same where a request carries the fleet's file.
const CONFIG_REQUEST_MAX: usize = hafleet_fleetfile::MOST_BYTES + (64 << 10);

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file is missing or cannot be read.
    #[error("the data directory cannot be used; was `ha-coordinator init` run for it?")]
    DataDir(#[from] DataDirError),
    /// The CA or a certificate is wrong.
    #[error("the CA in the data directory cannot be used")]
    Ca(#[from] CaError),
    /// The server certificate is wrong.
    #[error("the server certificate in the data directory cannot be used")]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The key of the secrets cannot be used.
    #[error("the key that secrets are sealed with cannot be used")]
    Sealing(#[from] SealingError),
    /// A secret of the configuration cannot be opened.
    #[error(transparent)]
    SealedParameter(#[from] SealedParameterError),
    /// Another coordinator serves the database.
    #[error("this coordinator may not serve")]
    NotSole(#[from] SoleError),
    /// A receiver cannot be used.
    #[error("the receivers cannot be used")]
    Notify(#[from] NotifyError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A coordinator that serves.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// Ends when another coordinator serves the same database; the right to serve is dropped with it.
    sole: JoinHandle<SoleError>,
    keeper: JoinHandle<()>,
    auditor: JoinHandle<()>,
    background: JoinSet<()>,
}

/// Starts serving.
pub async fn start(config: &Config) -> Result<Running, ServeError> {
    let clock = Clock::start();
    let dir = DataDir::at(&config.data_dir);
    let ca = Ca::load(&dir.read(CA_CERTIFICATE)?, &dir.read(CA_KEY)?)?;
    let (certificate, key) = server_certificate(&dir, &ca, clock)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&ca, &certificate, &key)?));
    let database = config.database.clone().unwrap_or_else(|| dir.default_database());
    // Before anything is read or written.
    let sole = Sole::take(&database).await?;
    let store = Store::open(&database).await?;
    let sealing = sealing::of_store(&dir, &store, config.fencing.is_sealed()).await?;
    let fencing_config = config.fencing.opened(&sealing)?;
    let store = store.sealed_by(sealing);

    let listen_error = |source| ServeError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;

    let (closing, closed) = watch::channel(false);
    let (audit, auditor) = AuditLog::start(store.clone(), clock);
    let (roster, health, outbox) = (Arc::new(Roster::default()), Health::default(), Arc::new(Notify::new()));
    let changes = broadcast::Sender::new(CHANGES_MAX);
    let receivers = notify::receivers(&config.receivers);
    let revoked = RevokedNodes::default();
    let orders = Orders::load(&store).await?;
    let mut replay = replay(&store, &roster, &revoked).await?;
    let maintenance = orders.in_maintenance().into_keys();
    replay.extend(maintenance.map(|node| Input::Maintenance { node, on: true }));
    let fencing = fencing::begin(&store, &fencing_config, clock.now_us()).await?;
    replay.extend(fencing.inputs);
    replay.extend(push::left_open(&store).await?);
    let agents = Arc::new(AgentActuator::new(Arc::clone(&roster)));
    let steps = Steps::new(store.clone(), Arc::clone(&roster), Arc::clone(&agents), &fencing_config);
    let steps = Arc::new(steps);
    let effects = effects::Parts {
        clock,
        store: store.clone(),
        roster: Arc::clone(&roster),
        changes: changes.clone(),
        health: health.clone(),
        outbox: Arc::clone(&outbox),
        receivers: receivers.iter().map(|receiver| receiver.name.clone()).collect(),
        windows: config.windows,
        steps: Arc::clone(&steps),
        inert: fencing.inert,
    };
    let notify = notify::Parts {
        store: store.clone(),
        clock,
        health: health.clone(),
        outbox,
        external_url: config.external_url.clone(),
        closing: closed.clone(),
    };
    let mut background = notify::start(notify, &receivers).await?;
    let (fleet, keeper) = effects::start(effects, replay);
    let shared = Arc::new(Shared {
        pushes: Pushes::default(),
        references: fencing::references::Reached::default(),
        clock,
        store,
        ca,
        node_certificate_lifetime: config.node_certificate_lifetime,
        refused: Arc::new(RefusedHandshakes::new(audit.clone())),
        audit,
        revoked,
        orders,
        agents,
        steps,
        roster,
        fleet,
        changes,
        health,
        closing: closed,
    });
    background.spawn(ping(Arc::clone(&shared)));
    background.spawn(prune(Arc::clone(&shared)));
    background.spawn(orders::keeper::run(Arc::clone(&shared)));
    background.spawn(push::run(Arc::clone(&shared)));
    background.spawn(fencing::references::tell(Arc::clone(&shared), fencing_config.references));
    let incoming = tls::accept(listener, acceptor, Arc::clone(&shared.refused));
    let server = tokio::spawn(grpc(Arc::clone(&shared), incoming, &mut background));
    let sole = tokio::spawn(sole.lost());
    Ok(Running { address, shared, closing, server, sole, keeper, auditor, background })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its tasks share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns when the server has ended by itself or may not go on, which should not happen.
    pub async fn failed(&mut self) {
        let ended = tokio::select! {
            ended = &mut self.server => ended,
            lost = &mut self.sole => {
                match lost {
                    Ok(error) => tracing::error!("{}", crate::api::status::said(&error)),
                    Err(error) => tracing::error!("the lock of the database failed: {error}"),
                }
                return;
            }
        };
        match ended {
            Ok(Ok(())) => tracing::error!("the gRPC server ended"),
            Ok(Err(error)) => tracing::error!("the gRPC server failed: {}", crate::api::status::said(&error)),
            Err(error) => tracing::error!("the gRPC server failed: {error}"),
        }
    }

    /// Ends every stream in order, writes what is left, closes the database.
    pub async fn stop(self) {
        let Self { shared, closing, mut server, sole, keeper, auditor, mut background, .. } = self;
        closing.send_replace(true);
        if !server.is_finished() && timeout(DRAIN_MAX, &mut server).await.is_err() {
            tracing::warn!("connections are still open after {} s; closing them", DRAIN_MAX.as_secs());
            server.abort();
            // Aborted: an error is what it must be.
            let _ = server.await;
        }
        let store = shared.store.clone();
        let flush = async {
            while background.join_next().await.is_some() {}
            // The last handle of the core goes with the last stream's task.
            drop(shared);
            // An error means that the task panicked, which it has said.
            let _ = keeper.await;
            let _ = auditor.await;
        };
        if timeout(FLUSH_MAX, flush).await.is_err() {
            tracing::error!("not everything could be written within {} s", FLUSH_MAX.as_secs());
        }
        store.close().await;
        // Only now may another one begin.
        if !sole.is_finished() {
            sole.abort();
            // Aborted: an error is what it must be.
            let _ = sole.await;
        }
    }
}

/// The certificate to present; made anew when it is about to end.
fn server_certificate(dir: &DataDir, ca: &Ca, clock: Clock) -> Result<(String, String), ServeError> {
    let (pem, key) = (dir.read(SERVER_CERTIFICATE)?, dir.read(SERVER_KEY)?);
    let server = certificate::parse_server(&pem)?;
    let renewal_us = i64::try_from(SERVER_RENEWAL.as_micros()).unwrap_or(i64::MAX);
    if server.not_after_us.saturating_sub(clock.wall_us()) > renewal_us {
        return Ok((pem, key));
    }
    let issued = ca.issue_server(&server.names, clock.wall_us())?;
    dir.write(SERVER_KEY, &issued.key_pem)?;
    dir.write(SERVER_CERTIFICATE, &issued.certificate.pem)?;
    tracing::info!("made a new server certificate: the old one was about to end");
    Ok((issued.certificate.pem, issued.key_pem))
}

/// What the core is told first, and what the roster begins with.
async fn replay(store: &Store, roster: &Roster, revoked: &RevokedNodes) -> Result<Vec<Input>, StoreError> {
    let mut inputs = Vec::new();
    let mut last_words = BTreeMap::new();
    for row in store.snapshots().await? {
        match sessions::read_stored(&row.body) {
            Some(words) => drop(last_words.insert(row.node, words)),
            None => tracing::warn!(node = row.node, "its stored snapshot cannot be read; starting without"),
        }
    }
    for row in store.nodes().await? {
        let node = NodeName(row.name.clone());
        let words = last_words.remove(&row.name);
        roster.with(&node, |entry| {
            entry.site = row.site.clone();
            entry.agent_version = row.agent_version.clone();
            entry.revoked = row.revoked();
            entry.certificate_not_after_us = row.certificate_not_after_us.unwrap_or_default();
            if let Some((journal_id, snapshot)) = &words {
                entry.journal_id = journal_id.clone();
                entry.last = Some(LastWords { snapshot: snapshot.clone(), received: None });
            }
        });
        if row.revoked() {
            revoked.insert(node);
        } else if row.last_seen_us.is_some() {
            // What cannot be read any more is history that is lost, not a reason to stand still.
            let last = words.and_then(|(journal_id, snapshot)| border::snapshot(&snapshot, &journal_id).ok());
            inputs.push(Input::NodeKnown { node, site: Site(row.site), last });
        }
    }
    for row in store.open_findings().await? {
        match finding::restore(row) {
            Ok(finding) => inputs.push(Input::FindingRestored(RestoredFinding { finding })),
            Err(error) => tracing::error!("{}", said(&error)),
        }
    }
    inputs.extend(numbers(store).await?);
    inputs.push(Input::Started);
    Ok(inputs)
}

/// The highest number of each kind and subject, so that none is given twice.
async fn numbers(store: &Store) -> Result<Vec<Input>, StoreError> {
    let rows = store.finding_numbers().await?;
    // A kind that this version does not know raises no finding here.
    let numbered = rows.into_iter().filter_map(|row| Some((row.kind.parse().ok()?, row.subject, row.last)));
    Ok(numbered.map(|(kind, subject, last)| Input::FindingNumbered { kind, subject, last }).collect())
}

fn said(error: &UnreadableFinding) -> String {
    crate::api::status::said(error)
}

fn grpc(
    shared: Arc<Shared>,
    incoming: tls::Incoming,
    background: &mut JoinSet<()>,
) -> impl Future<Output = Result<(), tonic::transport::Error>> + use<> {
    let agents = AgentServiceServer::new(Agents::new(Arc::clone(&shared)));
    let agents = Guarded::new(Arc::clone(&shared), agents);
    let operators = OperatorServiceServer::new(Operators::new(Arc::clone(&shared)))
        .max_decoding_message_size(OPERATOR_REQUEST_MAX);
    let operators = Guarded::new(Arc::clone(&shared), operators);
    let configs = ConfigServiceServer::new(Configs::new(Arc::clone(&shared)))
        .max_decoding_message_size(CONFIG_REQUEST_MAX);
    let configs = Guarded::new(Arc::clone(&shared), configs);
    let fences = FenceServiceServer::new(FenceDesk::new(Arc::clone(&shared)))
        .max_decoding_message_size(OPERATOR_REQUEST_MAX);
    let fences = Guarded::new(Arc::clone(&shared), fences);
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = Guarded::new(Arc::clone(&shared), health);
    background.spawn(report_health(Arc::clone(&shared), reporter));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let reflection = match reflection {
        Ok(service) => Some(Guarded::new(Arc::clone(&shared), service)),
        Err(error) => {
            tracing::error!("no gRPC reflection: {error}");
            None
        }
    };
    let router = Server::builder()
        .http2_keepalive_interval(Some(PING_PEERS_EVERY))
        .http2_keepalive_timeout(Some(PING_PEERS_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(agents)
        .add_service(operators)
        .add_service(configs)
        .add_service(fences)
        .add_service(health)
        .add_optional_service(reflection);
    async move { router.serve_with_incoming_shutdown(incoming, async move { shared.closing().await }).await }
}

/// gRPC health follows what the tasks say of themselves.
async fn report_health(shared: Arc<Shared>, reporter: tonic_health::server::HealthReporter) {
    let mut troubles = shared.health.watch();
    loop {
        let status = if *troubles.borrow_and_update() == 0 {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        for service in [
            "",
            "hafleet.v1.AgentService",
            "hafleet.v1.OperatorService",
            "hafleet.v1.ConfigService",
            "hafleet.v1.FenceService",
        ] {
            reporter.set_service_status(service, status).await;
        }
        tokio::select! {
            changed = troubles.changed() => if changed.is_err() { return },
            () = shared.closing() => return,
        }
    }
}

/// Notices a database that does not answer also when there is nothing to write.
async fn ping(shared: Arc<Shared>) {
    let mut trouble = None;
    loop {
        tokio::select! {
            () = shared.closing() => return,
            () = tokio::time::sleep(PING_EVERY) => {}
        }
        match timeout(PING_EVERY, shared.store.ping()).await {
            Ok(Ok(())) => trouble = None,
            Ok(Err(error)) => {
                tracing::error!("{}", crate::api::status::said(&error));
                trouble.get_or_insert_with(|| shared.health.trouble());
            }
            Err(_) => {
                tracing::error!("the database has not answered for {} s", PING_EVERY.as_secs());
                trouble.get_or_insert_with(|| shared.health.trouble());
            }
        }
    }
}

/// Keeps the tables within their bounds.
async fn prune(shared: Arc<Shared>) {
    loop {
        let now_us = shared.clock.now_us();
        let mut backoff = Backoff::STORE;
        loop {
            let pruned = async {
                let events =
                    shared.store.prune_events(now_us.saturating_sub(EVENTS_KEPT_US), KEEP_EVENTS).await?;
                shared.store.prune_outbox(now_us.saturating_sub(MESSAGES_KEPT_US)).await?;
                let in_use = push::in_use(&shared);
                let generations = shared.store.prune_configs(push::GENERATIONS_KEPT, &in_use).await?;
                let orders = shared.store.prune_orders(KEEP_ORDERS).await?;
                let fences = shared.store.prune_fences(KEEP_ORDERS).await?;
                Ok::<_, StoreError>(events.more || generations.more || orders.more || fences.more)
            };
            let wait = match pruned.await {
                Ok(false) => break,
                Ok(true) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!("{}", crate::api::status::said(&error));
                    backoff.next()
                }
            };
            tokio::select! {
                () = shared.closing() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tokio::select! {
            () = shared.closing() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}
