//! A coordinator in this process: real sockets, real TLS, real gRPC; what it says is up to the test.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hafleet_proto::v1::{
    self,
    agent_message::Message as FromAgent,
    agent_service_server::{AgentService, AgentServiceServer},
    coordinator_message::Message as ToAgent,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use x509_parser::time::ASN1Time;

use crate::{
    clock,
    join::{CoordinatorAddress, Fingerprint, Identity},
    uplink::provider,
};

/// No step of a test takes longer on any machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// From when until when, relative to now, in hours.
pub type Hours = (i64, i64);
/// A usual certificate.
pub const GOOD: Hours = (-1, 24);

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        valid(&mut params, (-100, 1000));
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    fn server(&self, name: &str, hours: Hours) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params, hours);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }

    fn node_params(node: &str, hours: Hours) -> CertificateParams {
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://hafleet/node/{node}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut params, hours);
        params
    }

    /// What a coordinator does with a request.
    pub fn certify(&self, node: &str, hours: Hours, request: &[u8]) -> CertificateDer<'static> {
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request)).unwrap();
        request.params = Self::node_params(node, hours);
        request.signed_by(&self.issuer).unwrap().der().clone()
    }

    /// An identity as `join` makes it.
    pub fn identity(&self, node: &str, hours: Hours, coordinator: &CoordinatorAddress) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = Self::node_params(node, hours).signed_by(&key, &self.issuer).unwrap();
        Identity {
            node: node.parse().unwrap(),
            site: "dc1".parse().unwrap(),
            coordinators: vec![coordinator.clone()],
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            ca: self.der.clone(),
        }
    }
}

fn valid(params: &mut CertificateParams, (from, until): Hours) {
    let at = |hours: i64| {
        let seconds = clock::wall_us() / 1_000_000 + hours * 3600;
        ASN1Time::from_timestamp(seconds).unwrap().to_datetime()
    };
    params.not_before = at(from);
    params.not_after = at(until);
}

/// What a session looks like from the coordinator's end.
pub struct FakeSession {
    pub hello: v1::Hello,
    inbound: Streaming<v1::AgentMessage>,
    outbound: mpsc::Sender<Result<v1::CoordinatorMessage, Status>>,
    /// Of the agent's certificate.
    pub certificate: Fingerprint,
}

impl FakeSession {
    pub async fn say(&self, message: ToAgent) {
        let message = v1::CoordinatorMessage { message: Some(message) };
        self.outbound.send(Ok(message)).await.expect("the agent has left");
    }

    pub async fn welcome(&self, acked_seq: u64) {
        self.say(ToAgent::Welcome(v1::Welcome { acked_seq, at_us: clock::wall_us() })).await;
    }

    /// The next message, heartbeats answered and left out.
    pub async fn hear(&mut self) -> FromAgent {
        self.hear_if_any().await.expect("the agent has left")
    }

    /// `None` when the agent has left.
    pub async fn hear_if_any(&mut self) -> Option<FromAgent> {
        loop {
            match self.hear_all().await? {
                FromAgent::Heartbeat(_) => {
                    let ack = v1::HeartbeatAck { agent_at_us: 0, coordinator_at_us: 0 };
                    let message = v1::CoordinatorMessage { message: Some(ToAgent::HeartbeatAck(ack)) };
                    let _ = self.outbound.send(Ok(message)).await;
                }
                other => return Some(other),
            }
        }
    }

    /// The next message of any kind, without an answer.
    pub async fn hear_all(&mut self) -> Option<FromAgent> {
        let message = timeout(PATIENCE, self.inbound.message()).await.expect("the agent says nothing");
        message.ok().flatten().map(|message| message.message.unwrap())
    }

    /// The next journal batch; everything else is answered or left out.
    pub async fn batch(&mut self) -> Vec<v1::Event> {
        loop {
            if let FromAgent::Journal(batch) = self.hear().await {
                return batch.events;
            }
        }
    }

    pub async fn snapshot(&mut self) -> v1::Snapshot {
        loop {
            if let FromAgent::Snapshot(snapshot) = self.hear().await {
                return snapshot;
            }
        }
    }
}

type Answer<Q, A> = Box<dyn Fn(Q) -> Result<A, Status> + Send + Sync>;

/// How the fake presents itself and answers unary calls.
pub struct Behaviour {
    pub server_name: &'static str,
    pub server_hours: Hours,
    pub enroll: Answer<v1::EnrollRequest, v1::EnrollResponse>,
    pub renew: Answer<v1::RenewRequest, v1::RenewResponse>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            server_name: "127.0.0.1",
            server_hours: GOOD,
            enroll: Box::new(|_| Err(Status::unimplemented("no enrolment here"))),
            renew: Box::new(|_| Err(Status::unavailable("no renewal here"))),
        }
    }
}

/// A listening coordinator; when it is dropped it is dead, with all its connections and its port free again.
pub struct FakeCoordinator {
    pub address: CoordinatorAddress,
    pub socket: SocketAddr,
    sessions: mpsc::Receiver<FakeSession>,
    runtime: Option<Runtime>,
}

impl Drop for FakeCoordinator {
    fn drop(&mut self) {
        // Waited for on a thread of its own: a test's runtime may not block, and one that is only told to end still
        // listens for a while.
        let runtime = self.runtime.take().unwrap();
        std::thread::spawn(|| runtime.shutdown_timeout(PATIENCE)).join().unwrap();
    }
}

impl FakeCoordinator {
    pub fn start(authority: &Authority) -> Self {
        Self::start_with(authority, authority, "127.0.0.1:0".parse().unwrap(), Behaviour::default())
    }

    /// With a server certificate of `servers`, for nodes of `nodes`.
    pub fn start_with(
        servers: &Authority,
        nodes: &Authority,
        socket: SocketAddr,
        behaviour: Behaviour,
    ) -> Self {
        Self::start_chain(servers, &servers.der, nodes, socket, behaviour)
    }

    /// As somebody in between would: a certificate of `servers`, beside the certificate of an authority that did not
    /// sign it.
    pub fn start_presenting(servers: &Authority, presented: &CertificateDer<'static>) -> Self {
        let socket = "127.0.0.1:0".parse().unwrap();
        Self::start_chain(servers, presented, servers, socket, Behaviour::default())
    }

    fn start_chain(
        servers: &Authority,
        presented: &CertificateDer<'static>,
        nodes: &Authority,
        socket: SocketAddr,
        behaviour: Behaviour,
    ) -> Self {
        let (certificate, key) = servers.server(behaviour.server_name, behaviour.server_hours);
        let mut roots = RootCertStore::empty();
        roots.add(nodes.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate, presented.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = std::net::TcpListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let socket = listener.local_addr().unwrap();
        let (accepted, incoming) = mpsc::channel(8);
        let (opened, sessions) = mpsc::channel(8);
        let service = AgentServiceServer::new(Service { behaviour, opened });
        let serve = Server::builder().add_service(service).serve_with_incoming(ReceiverStream::<
            Result<TlsStream<TcpStream>, std::io::Error>,
        >::new(incoming));
        // A runtime of its own: only so can it die like a process.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), accepted));
        runtime.spawn(serve);
        Self { address: socket.to_string().parse().unwrap(), socket, sessions, runtime: Some(runtime) }
    }

    /// The next session, with its Hello.
    pub async fn session(&mut self) -> FakeSession {
        timeout(PATIENCE, self.sessions.recv()).await.expect("no session was opened").unwrap()
    }

    /// True when no session comes within this time.
    pub async fn is_left_alone(&mut self, within: Duration) -> bool {
        timeout(within, self.sessions.recv()).await.is_err()
    }
}

async fn accept(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<Result<TlsStream<TcpStream>, std::io::Error>>,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        // A peer that TLS refuses is told so by TLS.
        if let Ok(stream) = acceptor.accept(stream).await {
            let _ = accepted.send(Ok(stream)).await;
        }
    }
}

struct Service {
    behaviour: Behaviour,
    opened: mpsc::Sender<FakeSession>,
}

#[tonic::async_trait]
impl AgentService for Service {
    type SessionStream = ReceiverStream<Result<v1::CoordinatorMessage, Status>>;

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        (self.behaviour.enroll)(request.into_inner()).map(Response::new)
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        (self.behaviour.renew)(request.into_inner()).map(Response::new)
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let certificates = request.peer_certs().ok_or_else(|| Status::unauthenticated("no certificate"))?;
        let certificate = Fingerprint::of(&certificates[0]);
        let mut inbound = request.into_inner();
        let (outbound, to_agent) = mpsc::channel(1024);
        let opened = self.opened.clone();
        tokio::spawn(async move {
            if let Ok(Some(v1::AgentMessage { message: Some(FromAgent::Hello(hello)) })) =
                inbound.message().await
            {
                let _ = opened.send(FakeSession { hello, inbound, outbound, certificate }).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(to_agent)))
    }
}
