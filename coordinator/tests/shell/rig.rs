//! A coordinator in this process, and what connects to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ha_coordinator::{
    clock::Clock,
    config::Config,
    data_dir::{ADMIN_CONTEXT, CA_CERTIFICATE, CA_KEY, DataDir},
    identity::{
        Identity,
        ca::{Ca, ServerName},
    },
    init,
    serve::{self, Running},
    store::{Role, Store, UserRow},
};
use hafleet_fleet::NodeName;
use hafleet_proto::v1::{
    self, agent_message::Message as FromAgent, agent_service_client::AgentServiceClient,
    config_service_client::ConfigServiceClient, coordinator_message::Message as ToAgent, event::Event,
    operator_service_client::OperatorServiceClient,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName as TlsName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::living::Manner;

/// Generous for a machine that does ten other things; nothing waits this long when all is well.
pub const SOON: Duration = Duration::from_secs(20);

/// A coordinator with its data directory.
pub struct Rig {
    _dir: TempDir,
    pub config: Config,
    running: Option<Running>,
}

/// Adds a token to every call.
#[derive(Clone)]
pub struct Bearer(pub String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().map_err(|_| Status::internal("no header"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Credential {
    pub certificate: CertificateDer<'static>,
    pub key_der: Vec<u8>,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines of coordinator.toml.
    pub async fn start_with(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let request = init::Request {
            data_dir: data_dir.clone(),
            names: vec![ServerName::parse("127.0.0.1").unwrap()],
            port: 7443,
            database: None,
            force: false,
        };
        init::init(&request).await.unwrap();
        let mut config = Config::parse(toml, &dir.path().join("coordinator.toml")).unwrap();
        config.data_dir = data_dir;
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut rig = Self { _dir: dir, config, running: None };
        rig.serve().await;
        rig
    }

    pub async fn serve(&mut self) {
        let running = serve::start(&self.config).await.unwrap();
        // The port stays the same over restarts.
        self.config.listen = running.address();
        self.running = Some(running);
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn store(&self) -> &Store {
        &self.running().shared().store
    }

    pub fn ca(&self) -> Ca {
        let dir = DataDir::at(&self.config.data_dir);
        Ca::load(&dir.read(CA_CERTIFICATE).unwrap(), &dir.read(CA_KEY).unwrap()).unwrap()
    }

    /// The administrator's credential, from the file that `init` wrote.
    pub fn admin(&self) -> Credential {
        let text = DataDir::at(&self.config.data_dir).read(ADMIN_CONTEXT).unwrap();
        let context: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(context["name"].as_str(), Some("admin"));
        assert_eq!(context["coordinators"][0].as_str(), Some("127.0.0.1:7443"));
        let pem = |key: &str| context[key].as_str().unwrap().as_bytes().to_vec();
        assert_eq!(CertificateDer::from_pem_slice(&pem("ca")).unwrap(), *self.ca().der());
        Credential {
            certificate: CertificateDer::from_pem_slice(&pem("cert")).unwrap(),
            key_der: PrivateKeyDer::from_pem_slice(&pem("key")).unwrap().secret_der().to_vec(),
        }
    }

    /// A user with a role, and their credential.
    pub async fn user(&self, name: &str, role: Role) -> Credential {
        let user = UserRow { name: name.into(), role, created_at_us: 1, revoked: false };
        self.store().save_user(&user).await.unwrap();
        let issued = self.ca().issue_user(name, Clock::start().wall_us()).unwrap();
        Credential {
            certificate: issued.certificate.der,
            key_der: PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap().secret_der().to_vec(),
        }
    }

    /// A token of a new user with a role.
    pub async fn user_token(&self, name: &str, role: v1::Role) -> String {
        let request = v1::AddUserRequest { name: name.into(), role: role.into(), ..Default::default() };
        self.operator().await.add_user(request).await.unwrap().into_inner().token
    }

    /// An operator who shows a token and no certificate.
    pub async fn operator_with(
        &self,
        token: &str,
    ) -> OperatorServiceClient<InterceptedService<Channel, Bearer>> {
        let channel = self.channel(None).await.unwrap();
        OperatorServiceClient::with_interceptor(channel, Bearer(token.to_owned()))
    }

    pub async fn channel(&self, credential: Option<&Credential>) -> Result<Channel, tonic::transport::Error> {
        channel(self.running().address(), self.ca().der().clone(), credential).await
    }

    pub async fn operator(&self) -> OperatorServiceClient<Channel> {
        self.operator_as(&self.admin()).await
    }

    pub async fn operator_as(&self, credential: &Credential) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel(Some(credential)).await.unwrap())
    }

    pub async fn configs_as(&self, credential: &Credential) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.channel(Some(credential)).await.unwrap())
    }

    pub async fn token(&self, node: &str) -> String {
        let request = v1::CreateTokenRequest { node: node.into(), lifetime_s: 0 };
        self.operator().await.create_token(request).await.unwrap().into_inner().token
    }

    /// One attempt to enrol, with a key of its own.
    pub async fn try_enrol(&self, token: &str, node: &str) -> Result<Credential, Status> {
        let (key_der, csr_der) = key_and_request();
        let request =
            v1::EnrollRequest { token: token.into(), node: node.into(), site: "dc1".into(), csr_der };
        let mut client = AgentServiceClient::new(self.channel(None).await.unwrap());
        let response = client.enroll(request).await?.into_inner();
        assert_eq!(response.ca_der, self.ca().der().to_vec());
        Ok(Credential { certificate: response.certificate_der.into(), key_der })
    }

    pub async fn enrol(&self, node: &str) -> FakeAgent {
        let credential = self.try_enrol(&self.token(node).await, node).await.unwrap();
        FakeAgent::new(node, credential)
    }

    pub async fn fleet(&self) -> v1::Fleet {
        self.operator().await.get_fleet(v1::GetFleetRequest {}).await.unwrap().into_inner()
    }

    pub async fn transitions(&self) -> Vec<v1::TransitionRecord> {
        let request = v1::ListTransitionsRequest { limit: 10_000, ..Default::default() };
        self.operator().await.list_transitions(request).await.unwrap().into_inner().transitions
    }

    pub async fn audit(&self) -> Vec<v1::AuditRecord> {
        let request = v1::ListAuditRequest { limit: 1000, ..Default::default() };
        self.operator().await.list_audit(request).await.unwrap().into_inner().records
    }

    /// A statement past the coordinator, as somebody with `sqlite3` could give it.
    pub async fn execute(&self, sql: &'static str) {
        use sqlx::Connection as _;
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.config.data_dir.join("coordinator.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Waits for a refusal in the audit log whose fields contain these words.
    pub async fn refused(&self, action: &str, words: &[&str]) -> v1::AuditRecord {
        eventually(&format!("a refused {action} with {words:?}"), async || {
            self.audit().await.into_iter().find(|row| {
                let text = format!("{} {} {}", row.actor, row.subject, row.detail);
                row.action == action
                    && row.outcome == "refused"
                    && words.iter().all(|word| text.contains(word))
            })
        })
        .await
    }
}

/// Another program that holds the database against every writer, for longer than SQLite waits by itself.
pub struct Blocker(sqlx::SqliteConnection);

impl Blocker {
    pub async fn start(rig: &Rig) -> Self {
        use sqlx::Connection as _;
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(rig.config.data_dir.join("coordinator.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    pub async fn stop(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

/// Asks again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, asked).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A key in PEM.
pub fn der(key_pem: &str) -> Vec<u8> {
    PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap().secret_der().to_vec()
}

/// A certificate in PEM.
pub fn der_of_certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

pub fn key_and_request() -> (Vec<u8>, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    (key.serialize_der(), request.der().to_vec())
}

/// A node's certificate straight from a CA, as of some instant.
pub fn node_credential(ca: &Ca, node: &str, now_us: i64, lifetime: Duration) -> Credential {
    let (key_der, request) = key_and_request();
    let identity = Identity::Node(NodeName(node.into()));
    let issued = ca.issue_for_request(&identity, &request, lifetime, now_us).unwrap();
    Credential { certificate: issued.der, key_der }
}

pub async fn channel(
    address: SocketAddr,
    ca: CertificateDer<'static>,
    credential: Option<&Credential>,
) -> Result<Channel, tonic::transport::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match credential {
        None => builder.with_no_client_auth(),
        Some(credential) => {
            let key = PrivateKeyDer::try_from(credential.key_der.clone()).unwrap();
            builder.with_client_auth_cert(vec![credential.certificate.clone()], key).unwrap()
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(tls));
    let connector = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = TlsName::IpAddress(address.ip().into());
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://coordinator").connect_with_connector(connector).await
}

/// An agent's side of the wire, with a journal in memory.
pub struct FakeAgent {
    pub node: String,
    pub credential: Credential,
    pub journal_id: String,
    pub events: Vec<v1::Event>,
    pub state: v1::VrrpState,
    pub heard: Vec<v1::HeardAdvert>,
    pub priority: u32,
    pub number: u8,
    /// Instances that are in the same state as the first, each with an address of its own.
    pub twins: u8,
    /// Why its last configuration is refused; empty when it is not.
    pub refused: String,
    pub orders_unreadable: String,
    /// More addresses of the first instance.
    pub also: Vec<String>,
    /// How many of its addresses the kernel refuses, from the last.
    pub refused_addresses: usize,
    /// What it was told to do over its configuration.
    pub orders: Vec<v1::Order>,
    /// What it does with requests.
    pub manner: Manner,
    /// Where a pushed configuration stands.
    pub pushed: Option<v1::Pushed>,
}

/// One open stream.
pub struct Stream {
    tx: mpsc::Sender<v1::AgentMessage>,
    pub rx: Streaming<v1::CoordinatorMessage>,
    pub welcome: v1::Welcome,
}

impl FakeAgent {
    pub fn new(node: &str, credential: Credential) -> Self {
        let number = node.bytes().last().unwrap() - b'0';
        Self {
            node: node.into(),
            credential,
            journal_id: format!("{number:032x}"),
            events: Vec::new(),
            state: v1::VrrpState::Init,
            heard: Vec::new(),
            priority: 100 + u32::from(number),
            number,
            twins: 0,
            refused: String::new(),
            orders_unreadable: String::new(),
            also: Vec::new(),
            refused_addresses: 0,
            orders: Vec::new(),
            manner: Manner::Obeys,
            pushed: None,
        }
    }

    pub fn hello(&self) -> v1::Hello {
        v1::Hello {
            node: self.node.clone(),
            site: "dc1".into(),
            agent_version: "0.1.0".into(),
            journal_id: self.journal_id.clone(),
            first_seq: 1,
            last_seq: self.events.len() as u64,
            at_us: Clock::start().wall_us(),
        }
    }

    /// Journals a change of state.
    pub fn becomes(&mut self, state: v1::VrrpState) {
        let transition = v1::Transition {
            instance: "VI_1".into(),
            vrid: 51,
            from: self.state.into(),
            to: state.into(),
            reason: "master_down".into(),
            detail: "no advert for 3.6 s".into(),
        };
        let stamp = v1::Stamp {
            journal_id: self.journal_id.clone(),
            seq: self.events.len() as u64 + 1,
            at_us: Clock::start().wall_us(),
            mono_us: 1,
        };
        self.events.push(v1::Event { stamp: Some(stamp), event: Some(Event::Transition(transition)) });
        self.state = state;
    }

    pub fn snapshot(&self) -> v1::Snapshot {
        let vips = [vec!["192.168.178.3/24".to_owned()], self.also.clone()].concat();
        let there = if self.state == v1::VrrpState::Master { vips.len() - self.refused_addresses } else { 0 };
        let present = vips[..there].to_vec();
        let first = v1::InstanceState {
            instance: "VI_1".into(),
            interface: "ens33".into(),
            vrid: 51,
            version: 3,
            state: self.state.into(),
            in_state_us: 1_000_000,
            reason: "master_down".into(),
            priority: self.priority,
            effective_priority: self.priority,
            advert_interval_cs: 10,
            master_down_us: 360_000,
            auth: "none".into(),
            preempt: true,
            addresses: vips,
            addresses_present: present,
            source_address: self.address(),
            carrier: true,
            ..Default::default()
        };
        let twin = |number: u8| {
            let vip = format!("192.168.179.{number}/24");
            let present = if self.state == v1::VrrpState::Master { vec![vip.clone()] } else { Vec::new() };
            v1::InstanceState {
                instance: format!("TWIN_{number}"),
                vrid: 100 + u32::from(number),
                addresses: vec![vip],
                addresses_present: present,
                ..first.clone()
            }
        };
        let twins: Vec<_> = (1..=self.twins).map(twin).collect();
        v1::Snapshot {
            seq: self.events.len() as u64,
            at_us: Clock::start().wall_us(),
            instances: [vec![first], twins].concat(),
            heard: self.heard.clone(),
            configuration_refused: (!self.refused.is_empty())
                .then(|| v1::ConfigurationRefused { why: self.refused.clone(), age_us: 5_000_000 }),
            orders: self.orders.clone(),
            pushed: self.pushed.clone(),
            references: Vec::new(),
            orders_unreadable: self.orders_unreadable.clone(),
        }
    }

    /// The address its adverts come from.
    pub fn address(&self) -> String {
        format!("192.168.178.13{}", self.number)
    }

    pub async fn open(&self, rig: &Rig, hello: v1::Hello) -> Result<Stream, Status> {
        let channel = rig
            .channel(Some(&self.credential))
            .await
            .map_err(|error| Status::unavailable(format!("{error:?}")))?;
        let (tx, messages) = mpsc::channel(64);
        tx.send(v1::AgentMessage { message: Some(FromAgent::Hello(hello)) }).await.unwrap();
        let rx = AgentServiceClient::new(channel).session(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Stream { tx, rx, welcome: v1::Welcome::default() })
    }

    /// Opens a stream and waits for Welcome.
    pub async fn connect(&self, rig: &Rig) -> Stream {
        let mut stream = self.open(rig, self.hello()).await.unwrap();
        match stream.next().await {
            Some(ToAgent::Welcome(welcome)) => stream.welcome = welcome,
            other => panic!("expected Welcome, got {other:?}"),
        }
        stream
    }

    /// Sends the journal from after `seq`, in batches of `len`.
    pub async fn send_after(&self, stream: &Stream, seq: u64, len: usize) {
        for batch in self.events[usize::try_from(seq).unwrap()..].chunks(len) {
            stream.send(FromAgent::Journal(v1::JournalBatch { events: batch.to_vec() })).await;
        }
    }

    pub async fn beat(&self, stream: &Stream) {
        let heartbeat =
            v1::Heartbeat { snapshot: Some(self.snapshot()), counters: Some(v1::Counters::default()) };
        stream.send(FromAgent::Heartbeat(heartbeat)).await;
    }
}

impl Stream {
    pub async fn send(&self, message: FromAgent) {
        // A stream that the coordinator has ended takes nothing; what was said is read from `next`.
        let _ = self.tx.send(v1::AgentMessage { message: Some(message) }).await;
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<ToAgent> {
        let message = timeout(SOON, self.rx.message()).await.expect("the coordinator says nothing");
        message.unwrap().and_then(|message| message.message)
    }

    pub async fn acked(&mut self, seq: u64) {
        loop {
            match self.next().await {
                Some(ToAgent::Ack(ack)) if ack.seq >= seq => return assert_eq!(ack.seq, seq),
                Some(ToAgent::Refusal(refusal)) => panic!("refused: {refusal:?}"),
                Some(_) => {}
                None => panic!("the stream ended before {seq} was acknowledged"),
            }
        }
    }

    /// Waits for the refusal that must come, and for the end after it.
    pub async fn refusal(&mut self) -> v1::Refusal {
        loop {
            match self.next().await {
                Some(ToAgent::Refusal(refusal)) => {
                    assert_eq!(self.next().await, None, "the stream ends after a refusal");
                    return refusal;
                }
                Some(_) => {}
                None => panic!("the stream ended without a refusal"),
            }
        }
    }
}

impl FakeAgent {
    /// The line that a neighbour's heard-adverts table has for this agent.
    pub fn as_heard(&self) -> v1::HeardAdvert {
        v1::HeardAdvert {
            interface: "ens33".into(),
            vrid: 51,
            source: self.address(),
            version: 3,
            priority: self.priority,
            advert_interval_cs: 10,
            addresses: vec!["192.168.178.3".into()],
            auth: "none".into(),
            last_heard_age_us: 50_000,
            accepted: 100,
            vrid_configured: true,
            ..Default::default()
        }
    }
}
