//! A coordinator that says what a test wants, over mutual TLS 1.3 on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use hafleet_proto::v1::{
    AddUserRequest, AddUserResponse, AuditRecord, CreateTokenRequest, CreateTokenResponse,
    ExplainGroupRequest, ExplainGroupResponse, Fence, FenceTested, FencingState, Finding, Fleet,
    GetFleetRequest, Group, ListAuditRequest, ListAuditResponse, ListFindingsRequest, ListFindingsResponse,
    ListTokensRequest, ListTokensResponse, ListTransitionsRequest, ListTransitionsResponse, ListUsersRequest,
    ListUsersResponse, ProbeGroupRequest, ProbeGroupResponse, RevokeNodeRequest, RevokeNodeResponse,
    RevokeUserRequest, RevokeUserResponse, SetMaintenanceRequest, SetMaintenanceResponse, SwitchOverRequest,
    SwitchOverResponse, Tick, Token, TransitionRecord, UndoSwitchOverRequest, UndoSwitchOverResponse, User,
    WatchEvent, WatchRequest,
    config_service_server::ConfigServiceServer,
    fence_service_server::FenceServiceServer,
    operator_service_server::{OperatorService, OperatorServiceServer},
    watch_event::Event,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::{
    fake_configs::Configs,
    pki::{Ca, Identity},
};

/// What it answers.
#[derive(Default)]
pub struct Script {
    pub fleet: Fleet,
    /// Resolved ones too.
    pub findings: Vec<Finding>,
    pub transitions: Vec<TransitionRecord>,
    pub tokens: Vec<Token>,
    pub audit: Vec<AuditRecord>,
    pub users: Vec<User>,
    pub fences: Vec<Fence>,
    pub fencing: FencingState,
    pub tested: Vec<FenceTested>,
    /// What a new person gets, and the CA that they are to trust.
    pub certificate_pem: String,
    pub ca_pem: String,
    /// `authorization` of the last question about people.
    pub shown: Option<String>,
    pub configs: Configs,
    pub explanation: ExplainGroupResponse,
    /// No node is reached.
    pub away: bool,
    /// Every call is refused so.
    pub refusal: Option<(Code, &'static str)>,
    /// No call is ever answered.
    pub hangs: bool,
    /// Watchers hear a tick now and then, as they do from a real coordinator.
    pub ticks: bool,
    /// What was asked, in the order asked.
    pub asked: Vec<String>,
    /// Handshakes that failed.
    pub refused: usize,
    pub watchers: Vec<mpsc::Sender<Result<WatchEvent, Status>>>,
}

/// It serves until it is dropped.
pub struct Coordinator {
    pub address: SocketAddr,
    pub script: Arc<Mutex<Script>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Coordinator {
    /// On a free port.
    pub fn start(ca: &Ca, identity: &Identity, script: Script) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), ca, identity, script)
    }

    /// On this port, as a restarted one would be.
    pub fn start_at(address: SocketAddr, ca: &Ca, identity: &Identity, script: Script) -> Self {
        let acceptor = acceptor(ca, identity);
        let script = Arc::new(Mutex::new(script));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let service = OperatorServiceServer::new(Service(script.clone()));
        let configs = ConfigServiceServer::new(Service(script.clone()));
        let fences = FenceServiceServer::new(Service(script.clone()));
        let refused = script.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                let (streams, incoming) = mpsc::channel::<Result<_, std::io::Error>>(16);
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let (acceptor, streams, refused) =
                            (acceptor.clone(), streams.clone(), refused.clone());
                        tokio::spawn(async move {
                            // A refused handshake is what some tests are about; the client says why.
                            match acceptor.accept(stream).await {
                                Ok(stream) => drop(streams.send(Ok(stream)).await),
                                Err(_) => refused.lock().unwrap().refused += 1,
                            }
                        });
                    }
                });
                let server = Server::builder().add_service(service).add_service(configs).add_service(fences);
                // Open connections are cut, as by a crash.
                tokio::select! {
                    served = server.serve_with_incoming(ReceiverStream::new(incoming)) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let address = is_ready.recv().unwrap();
        Self { address, script, stop: Some(stop), thread: Some(thread) }
    }

    /// Send this to everybody who watches; there must be somebody.
    pub fn say(&self, event: Event) {
        let script = self.script.lock().unwrap();
        assert!(!script.watchers.is_empty(), "nobody watches");
        for watcher in &script.watchers {
            watcher.try_send(Ok(WatchEvent { event: Some(event.clone()) })).unwrap();
        }
    }

    /// How many handshakes failed.
    pub fn refused(&self) -> usize {
        self.script.lock().unwrap().refused
    }

    /// What was asked, as debug text.
    pub fn asked(&self) -> String {
        self.script.lock().unwrap().asked.join("\n")
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let _ = self.thread.take().unwrap().join();
    }
}

fn acceptor(ca: &Ca, identity: &Identity) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Every service of it.
pub struct Service(Arc<Mutex<Script>>);

impl Service {
    /// Note the question; answer from the script, refuse, or never answer.
    pub async fn answer<Q: std::fmt::Debug, A>(
        &self,
        request: Request<Q>,
        answer: impl FnOnce(&mut Script, Q) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        let hangs = {
            let mut script = self.0.lock().unwrap();
            script.asked.push(format!("{:?}", request.get_ref()));
            script.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let mut script = self.0.lock().unwrap();
        match script.refusal {
            Some((code, message)) => Err(Status::new(code, message)),
            None => answer(&mut script, request.into_inner()).map(Response::new),
        }
    }
}

/// Five times a second, so that a test need not wait long.
async fn tick(at_us: i64, watcher: mpsc::Sender<Result<WatchEvent, Status>>) {
    let mut interval = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        interval.tick().await;
        if watcher.send(Ok(WatchEvent { event: Some(Event::Tick(Tick { at_us })) })).await.is_err() {
            return;
        }
    }
}

fn cut<T>(mut all: Vec<T>, limit: u32, newest_first: bool) -> (Vec<T>, bool) {
    let limit = if limit == 0 { 100 } else { limit as usize };
    let truncated = all.len() > limit;
    if newest_first {
        all.truncate(limit);
    } else {
        all.drain(..all.len().saturating_sub(limit));
    }
    (all, truncated)
}

#[tonic::async_trait]
impl OperatorService for Service {
    async fn get_fleet(&self, request: Request<GetFleetRequest>) -> Result<Response<Fleet>, Status> {
        self.answer(request, |script, _| Ok(script.fleet.clone())).await
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let pick = |script: &mut Script, asked: ListFindingsRequest| {
            let mut findings = script.findings.clone();
            findings.retain(|finding| {
                (asked.id.is_empty() || finding.id == asked.id)
                    && (asked.include_resolved || finding.status != "resolved")
                    && finding.since_us.max(finding.resolved_at_us) >= asked.since_us
            });
            let (findings, truncated) = cut(findings, asked.limit, true);
            Ok(ListFindingsResponse { findings, truncated })
        };
        self.answer(request, pick).await
    }

    async fn list_transitions(
        &self,
        request: Request<ListTransitionsRequest>,
    ) -> Result<Response<ListTransitionsResponse>, Status> {
        let pick = |script: &mut Script, asked: ListTransitionsRequest| {
            let is_called = |group: &&Group| {
                [&group.group, &group.address]
                    .into_iter()
                    .any(|name| [name.clone(), format!("{}/{name}", group.site)].contains(&asked.group))
            };
            let groups: Vec<&Group> = script.fleet.groups.iter().filter(is_called).collect();
            if !asked.group.is_empty() && groups.is_empty() {
                return Err(Status::not_found(format!("there is no group `{}`", asked.group)));
            }
            let members: Vec<(&str, &str)> = groups
                .iter()
                .flat_map(|group| &group.members)
                .map(|member| (member.node.as_str(), member.instance.as_str()))
                .collect();
            let mut transitions = script.transitions.clone();
            transitions.retain(|record| {
                (asked.group.is_empty()
                    || members.contains(&(record.node.as_str(), record.instance.as_str())))
                    && (asked.node.is_empty() || record.node == asked.node)
                    && (asked.instance.is_empty() || record.instance == asked.instance)
                    && record.at_us >= asked.since_us
            });
            let (transitions, truncated) = cut(transitions, asked.limit, false);
            Ok(ListTransitionsResponse { transitions, truncated })
        };
        self.answer(request, pick).await
    }

    async fn explain_group(
        &self,
        request: Request<ExplainGroupRequest>,
    ) -> Result<Response<ExplainGroupResponse>, Status> {
        let tell = |script: &mut Script, asked: ExplainGroupRequest| {
            if asked.group == "web" || asked.group == "192.168.178.3" {
                Ok(script.explanation.clone())
            } else {
                Err(Status::not_found(format!("no group is called {}", asked.group)))
            }
        };
        self.answer(request, tell).await
    }

    type WatchStream = ReceiverStream<Result<WatchEvent, Status>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let open = |script: &mut Script, _| {
            let (sender, receiver) = mpsc::channel(64);
            sender.try_send(Ok(WatchEvent { event: Some(Event::Fleet(script.fleet.clone())) })).unwrap();
            if script.ticks {
                tokio::spawn(tick(script.fleet.at_us, sender.clone()));
            }
            script.watchers.push(sender);
            Ok(ReceiverStream::new(receiver))
        };
        self.answer(request, open).await
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let make = |script: &mut Script, asked: CreateTokenRequest| {
            if script.fleet.nodes.iter().any(|node| node.name == asked.node) {
                return Err(Status::already_exists(format!(
                    "a node called {} has joined already",
                    asked.node
                )));
            }
            let lifetime_us = i64::try_from(asked.lifetime_s).unwrap() * 1_000_000;
            Ok(CreateTokenResponse {
                token: "hat1.5e2c5f4f4b0f1c.t-0003.secret".to_owned(),
                id: "t-0003".to_owned(),
                expires_at_us: script.fleet.at_us + lifetime_us,
            })
        };
        self.answer(request, make).await
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        self.answer(request, |script, _| Ok(ListTokensResponse { tokens: script.tokens.clone() })).await
    }

    async fn revoke_node(
        &self,
        request: Request<RevokeNodeRequest>,
    ) -> Result<Response<RevokeNodeResponse>, Status> {
        let revoke = |script: &mut Script, asked: RevokeNodeRequest| match script
            .fleet
            .nodes
            .iter_mut()
            .find(|node| node.name == asked.node)
        {
            Some(node) => {
                node.revoked = true;
                Ok(RevokeNodeResponse {})
            }
            None => Err(Status::not_found(format!("no node is called {}", asked.node))),
        };
        self.answer(request, revoke).await
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let pick = |script: &mut Script, asked: ListAuditRequest| {
            let mut records = script.audit.clone();
            records.retain(|record| {
                record.at_us >= asked.since_us
                    && (asked.name.is_empty() || [&record.actor, &record.subject].contains(&&asked.name))
                    && (asked.action.is_empty() || record.action.split('.').next() == Some(&asked.action))
                    && (asked.outcome.is_empty() || record.outcome == asked.outcome)
            });
            let (records, truncated) = cut(records, asked.limit, true);
            Ok(ListAuditResponse { records, truncated })
        };
        self.answer(request, pick).await
    }

    async fn add_user(&self, request: Request<AddUserRequest>) -> Result<Response<AddUserResponse>, Status> {
        let shown = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let add = |script: &mut Script, asked: AddUserRequest| {
            script.shown = shown;
            let known = script.users.iter().find(|user| user.name == asked.name);
            if known.is_some_and(|user| user.role() != asked.role() && !asked.change_role) {
                return Err(Status::failed_precondition(format!(
                    "user/{} is there with another role",
                    asked.name
                )));
            }
            let lifetime_us = i64::try_from(asked.lifetime_s).unwrap() * 1_000_000;
            let by_token = asked.csr_der.is_empty();
            Ok(AddUserResponse {
                id: if by_token { "5e2c5f4f4b0f1c11" } else { "4a0b" }.to_owned(),
                token: if by_token { "hut1.5e2c5f4f4b0f1c11.secret".to_owned() } else { String::new() },
                certificate_pem: if by_token { String::new() } else { script.certificate_pem.clone() },
                ca_pem: script.ca_pem.clone(),
                expires_at_us: script.fleet.at_us + lifetime_us,
            })
        };
        self.answer(request, add).await
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let shown = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let list = |script: &mut Script, _| {
            script.shown = shown;
            Ok(ListUsersResponse { users: script.users.clone() })
        };
        self.answer(request, list).await
    }

    async fn revoke_user(
        &self,
        request: Request<RevokeUserRequest>,
    ) -> Result<Response<RevokeUserResponse>, Status> {
        let revoke = |script: &mut Script, asked: RevokeUserRequest| match script
            .users
            .iter_mut()
            .find(|user| user.name == asked.name)
        {
            Some(user) => {
                user.revoked = true;
                Ok(RevokeUserResponse {})
            }
            None => Err(Status::not_found(format!("there is no user `{}`", asked.name))),
        };
        self.answer(request, revoke).await
    }

    async fn switch_over(
        &self,
        request: Request<SwitchOverRequest>,
    ) -> Result<Response<SwitchOverResponse>, Status> {
        let switch = |script: &mut Script, asked: SwitchOverRequest| {
            let called = |group: &&Group| [&group.group, &group.address].contains(&&asked.group);
            let Some(group) = script.fleet.groups.iter().find(called) else {
                return Err(Status::not_found(format!("there is no group `{}`", asked.group)));
            };
            let subject = format!("{}/{}", group.site, group.address);
            if group.holder == asked.node {
                let (from, to) = (asked.node.clone(), asked.node);
                return Ok(SwitchOverResponse { group: subject, from, to, ..Default::default() });
            }
            if !group.members.iter().any(|member| member.node == asked.node) {
                return Err(Status::failed_precondition(format!("{} is no member of {subject}", asked.node)));
            }
            let for_us = i64::try_from(asked.for_s).unwrap() * 1_000_000;
            Ok(SwitchOverResponse {
                order_id: format!("switchover/{subject}/7"),
                group: subject,
                from: group.holder.clone(),
                to: asked.node,
                priority: 151,
                taken_us: 12_345,
                released_us: 15_678,
                until_us: if for_us == 0 { 0 } else { script.fleet.at_us + for_us },
            })
        };
        self.answer(request, switch).await
    }

    async fn undo_switch_over(
        &self,
        request: Request<UndoSwitchOverRequest>,
    ) -> Result<Response<UndoSwitchOverResponse>, Status> {
        let undo = |script: &mut Script, asked: UndoSwitchOverRequest| {
            let nodes = vec!["lb02".to_owned()];
            let pending = if script.away { nodes.clone() } else { Vec::new() };
            Ok(UndoSwitchOverResponse { group: format!("dc1/{}", asked.group), nodes, pending })
        };
        self.answer(request, undo).await
    }

    async fn set_maintenance(
        &self,
        request: Request<SetMaintenanceRequest>,
    ) -> Result<Response<SetMaintenanceResponse>, Status> {
        let set = |script: &mut Script, asked: SetMaintenanceRequest| {
            if asked.on && asked.node == "lb01" && !asked.even_if_last {
                let text = "lb01 is the last member that can hold dc1/192.168.178.4; nobody would after this";
                return Err(Status::failed_precondition(text));
            }
            let for_us = i64::try_from(asked.for_s).unwrap() * 1_000_000;
            Ok(SetMaintenanceResponse {
                order_id: format!("maintenance/{}/8", asked.node),
                until_us: if for_us == 0 { 0 } else { script.fleet.at_us + for_us },
                pending: script.away,
                released: if asked.on { vec!["dc1/192.168.178.3".to_owned()] } else { Vec::new() },
            })
        };
        self.answer(request, set).await
    }

    async fn probe_group(
        &self,
        request: Request<ProbeGroupRequest>,
    ) -> Result<Response<ProbeGroupResponse>, Status> {
        let probe = |script: &mut Script, asked: ProbeGroupRequest| {
            let called = |group: &&Group| [&group.group, &group.address].contains(&&asked.group);
            let Some(group) = script.fleet.groups.iter().find(called) else {
                return Err(Status::not_found(format!("there is no group `{}`", asked.group)));
            };
            let members = group.members.iter().map(|member| member.node.clone()).collect();
            let asked = if script.away { Vec::new() } else { members };
            let answered = asked.first().cloned().into_iter().collect();
            Ok(ProbeGroupResponse { group: format!("{}/{}", group.site, group.address), asked, answered })
        };
        self.answer(request, probe).await
    }
}
