//! Who is turned away, with which reason, and where it can be read.

use std::time::Duration;

use ha_coordinator::{clock::Clock, identity::ca::Ca, store::Role, tls::Reason};
use hafleet_proto::v1::{
    self, agent_message::Message as FromAgent, agent_service_client::AgentServiceClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{
    Code, Status,
    body::Body,
    codec::{EncodeBody, EncodeBuf, Encoder},
};
use tower::ServiceExt as _;

use crate::rig::{FakeAgent, Rig, SOON, channel, eventually, node_credential};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_speaks_for_another_is_refused() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb02").await;
    let hello = v1::Hello { node: "lb01".into(), ..agent.hello() };
    let refusal = agent.open(&rig, hello).await.unwrap().refusal().await;
    assert_eq!(refusal.reason, "identity_mismatch");
    assert!(refusal.detail.contains("`lb02`") && refusal.detail.contains("`lb01`"), "{refusal:?}");
    rig.refused("session", &["node/lb02", "identity_mismatch", "`lb01`"]).await;
    assert!(!rig.fleet().await.nodes.iter().any(|node| node.connected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_another_site_than_it_joined_is_refused() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let hello = v1::Hello { site: "dc2".into(), ..agent.hello() };
    let refusal = agent.open(&rig, hello).await.unwrap().refusal().await;
    assert_eq!(refusal.reason, "site_mismatch");
    assert!(refusal.detail.contains("to `dc1`") && refusal.detail.contains("--site dc2"), "{refusal:?}");
    rig.refused("session", &["node/lb01", "site_mismatch"]).await;
    assert_eq!(rig.store().node("lb01").await.unwrap().unwrap().site, "dc1", "what was joined stays");
    // With the site it joined it is welcome, and stays so at the next Hello.
    agent.connect(&rig).await;
    agent.connect(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_a_foreign_ca_and_expired_ones_are_refused() {
    let rig = Rig::start().await;
    let now_us = Clock::start().wall_us();
    let (foreign, _) = Ca::create(now_us).unwrap();
    let expired = node_credential(&rig.ca(), "lb01", now_us - 30 * 86_400_000_000, DAY);
    for (credential, reason) in
        [(node_credential(&foreign, "lb01", now_us, DAY), Reason::ForeignCa), (expired, Reason::Expired)]
    {
        let agent = FakeAgent::new("lb01", credential);
        // In TLS 1.3 the client learns of it with its first read: connecting or calling fails.
        assert!(agent.open(&rig, agent.hello()).await.is_err(), "{reason:?} must be refused");
        let row = rig.refused("tls", &[reason.code()]).await;
        assert!(row.actor.starts_with("127.0.0.1:"), "{row:?}");
        assert!(rig.running().shared().refused.count(reason) >= 1);
    }
    // And we are refused by who does not know our CA.
    channel(rig.running().address(), foreign.der().clone(), None).await.unwrap_err();
    rig.refused("tls", &["refused_by_peer"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_refused_and_a_flood_of_it_is_bounded() {
    let rig = Rig::start().await;
    for _ in 0..30 {
        let mut stream = TcpStream::connect(rig.running().address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // The end may come as a reset, because what was sent is not read.
        let _ = stream.read_to_end(&mut answer).await;
    }
    rig.refused("tls", &["no_tls"]).await;
    let refused = &rig.running().shared().refused;
    eventually("all to be counted", async || (refused.count(Reason::NoTls) == 30).then_some(())).await;
    let rows = rig.audit().await.into_iter().filter(|row| row.detail.contains("no_tls")).count();
    assert!(rows <= 10, "{rows} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_lock_nobody_out() {
    let rig = Rig::start().await;
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(TcpStream::connect(rig.running().address()).await.unwrap());
    }
    // From the same address, while they are held open and without waiting for their time to be up.
    let served = async || rig.channel(Some(&rig.admin())).await.ok();
    let channel = timeout(Duration::from_secs(2), eventually("a connection", served)).await.unwrap();
    let mut client = v1::operator_service_client::OperatorServiceClient::new(channel);
    client.get_fleet(v1::GetFleetRequest {}).await.unwrap();
    assert!(rig.running().shared().refused.count(Reason::TooMany) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_while_its_stream_lives_ends_the_stream() {
    let rig = Rig::start().await;
    let credential = node_credential(&rig.ca(), "lb01", Clock::start().wall_us(), Duration::from_secs(3));
    let agent = FakeAgent::new("lb01", credential);
    let mut stream = agent.connect(&rig).await;
    let refusal = loop {
        agent.beat(&stream).await;
        match stream.next().await {
            Some(v1::coordinator_message::Message::Refusal(refusal)) => break refusal,
            Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            None => panic!("the stream ended without a refusal"),
        }
    };
    assert_eq!(refusal.reason, "expired");
    rig.refused("session", &["node/lb01", "expired"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_ends_its_stream_whatever_is_said_there() {
    let rig = Rig::start().await;
    let credential = node_credential(&rig.ca(), "lb01", Clock::start().wall_us(), Duration::from_secs(3));
    let silent = FakeAgent::new("lb01", credential.clone());
    let mut stream = silent.connect(&rig).await;
    // Not one word: neither a heartbeat that is looked at, nor the end for silence, which is no refusal.
    assert_eq!(stream.refusal().await.reason, "expired");

    let credential = node_credential(&rig.ca(), "lb02", Clock::start().wall_us(), Duration::from_secs(3));
    let agent = FakeAgent::new("lb02", credential);
    let mut stream = agent.connect(&rig).await;
    let refusal = loop {
        stream.send(FromAgent::Snapshot(agent.snapshot())).await;
        match timeout(Duration::from_millis(100), stream.next()).await {
            Ok(Some(v1::coordinator_message::Message::Refusal(refusal))) => break refusal,
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => panic!("the stream ended without a refusal"),
        }
    };
    assert_eq!(refusal.reason, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_is_out_at_once_and_for_good() {
    let mut rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut stream = agent.connect(&rig).await;
    rig.operator().await.revoke_node(v1::RevokeNodeRequest { node: "lb01".into() }).await.unwrap();
    assert_eq!(stream.refusal().await.reason, "revoked");
    for restarted in [false, true] {
        if restarted {
            rig.stop().await;
            rig.serve().await;
        }
        let error = agent.open(&rig, agent.hello()).await.err().expect("it must be refused");
        assert_eq!(error.code(), Code::PermissionDenied);
        assert!(error.message().contains("revoked"), "{error}");
    }
    let token = rig.token("lb01").await;
    let error = rig.try_enrol(&token, "lb01").await.err().unwrap();
    assert!(error.message().contains("refused for good"), "{error}");
    let audit = rig.audit().await;
    assert!(
        audit
            .iter()
            .any(|row| row.action == "node.revoke" && row.actor == "user/admin" && row.outcome == "done")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_stream_of_a_node_wins() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut old = agent.connect(&rig).await;
    let mut new = agent.connect(&rig).await;
    let refusal = old.refusal().await;
    assert_eq!(refusal.reason, "duplicate_session");
    agent.beat(&new).await;
    assert!(matches!(new.next().await, Some(v1::coordinator_message::Message::HeartbeatAck(_))));
    rig.refused("session", &["node/lb01", "duplicate_session"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_snapshot_is_refused_with_its_field() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut snapshot = agent.snapshot();
    snapshot.instances[0].addresses.push("nowhere".into());
    let mut stream = agent.connect(&rig).await;
    stream.send(FromAgent::Snapshot(snapshot)).await;
    let refusal = stream.refusal().await;
    assert_eq!(refusal.reason, "protocol");
    assert!(refusal.detail.contains("`snapshot.instances[0].addresses[1]`"), "{refusal:?}");

    let mut stream = agent.connect(&rig).await;
    stream.send(FromAgent::Hello(agent.hello())).await;
    assert!(stream.refusal().await.detail.contains("second Hello"));

    let hello = v1::Hello { journal_id: "x".into(), ..agent.hello() };
    let refusal = agent.open(&rig, hello).await.unwrap().refusal().await;
    assert!(refusal.detail.contains("`hello.journal_id`"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_party_may_call_only_what_is_its_own() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let get = v1::GetFleetRequest {};

    let mut node = rig.operator_as(&agent.credential).await;
    assert_eq!(node.get_fleet(get).await.unwrap_err().code(), Code::PermissionDenied);
    rig.refused("fleet.get", &["node/lb01", "wrong_party"]).await;

    let viewer = rig.user("eve", Role::Viewer).await;
    let mut viewer = rig.operator_as(&viewer).await;
    viewer.get_fleet(get).await.unwrap();
    let error = viewer.create_token(v1::CreateTokenRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("viewer") && error.message().contains("admin"), "{error}");
    viewer.revoke_node(v1::RevokeNodeRequest { node: "lb01".into() }).await.unwrap_err();
    rig.refused("token.create", &["user/eve", "role"]).await;
    rig.refused("node.revoke", &["user/eve", "role"]).await;

    let mut stranger =
        v1::operator_service_client::OperatorServiceClient::new(rig.channel(None).await.unwrap());
    assert_eq!(stranger.get_fleet(get).await.unwrap_err().code(), Code::Unauthenticated);
    rig.refused("fleet.get", &["127.0.0.1", "no_credential"]).await;

    let admin = FakeAgent::new("lb01", rig.admin());
    let error = admin.open(&rig, admin.hello()).await.err().unwrap();
    assert_eq!(error.code(), Code::PermissionDenied);

    let mut nobody = AgentServiceClient::new(rig.channel(None).await.unwrap());
    let error = nobody.session(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);

    let gone = rig.user("gone", Role::Admin).await;
    let row = ha_coordinator::store::UserRow {
        name: "gone".into(),
        role: Role::Admin,
        created_at_us: 1,
        revoked: true,
    };
    rig.store().save_user(&row).await.unwrap();
    assert_eq!(rig.operator_as(&gone).await.get_fleet(get).await.unwrap_err().code(), Code::PermissionDenied);
}

/// Writes nothing.
struct Nothing;

impl Encoder for Nothing {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

/// A request's body that never comes.
fn never() -> Body {
    Body::new(EncodeBody::new_client(Nothing, tokio_stream::pending(), None, None))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_the_body_of_the_call_is_read() {
    let rig = Rig::start().await;
    for path in ["/hafleet.v1.OperatorService/GetFleet", "/hafleet.v1.AgentService/Renew"] {
        let request = tonic::codegen::http::Request::post(format!("http://coordinator{path}"))
            .header("content-type", "application/grpc")
            .body(never())
            .unwrap();
        let call = rig.channel(None).await.unwrap().oneshot(request);
        let answer = timeout(SOON, call).await.expect("it waits for the body").unwrap();
        assert_eq!(answer.headers()["grpc-status"], "16", "{answer:?}");
    }
    rig.refused("fleet.get", &["127.0.0.1", "no_credential"]).await;
    rig.refused("renew", &["127.0.0.1", "no_credential"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_send_more_than_it_takes_to_join() {
    let rig = Rig::start().await;
    // Well below what a message may be.
    rig.try_enrol(&"x".repeat(1 << 20), "lb01").await.err().expect("it must be refused");
    rig.refused("tls", &["127.0.0.1", "too_much"]).await;
    // Nothing is held against who comes next.
    rig.enrol("lb01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_request_is_small() {
    let rig = Rig::start().await;
    let request = v1::RevokeNodeRequest { node: "x".repeat(100 << 10) };
    let error = rig.operator().await.revoke_node(request).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_there_for_who_has_a_certificate() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let rig = Rig::start().await;
    let request = HealthCheckRequest { service: "hafleet.v1.AgentService".into() };
    let mut health = HealthClient::new(rig.channel(Some(&rig.admin())).await.unwrap());
    assert_eq!(health.check(request.clone()).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let mut stranger = HealthClient::new(rig.channel(None).await.unwrap());
    assert_eq!(stranger.check(request.clone()).await.unwrap_err().code(), Code::Unauthenticated);

    let trouble = rig.running().shared().health.trouble();
    eventually("NOT_SERVING", async || {
        let status = health.check(request.clone()).await.unwrap().into_inner().status();
        (status == ServingStatus::NotServing).then_some(())
    })
    .await;
    drop(trouble);

    let mut reflection = ServerReflectionClient::new(rig.channel(Some(&rig.admin())).await.unwrap());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"hafleet.v1.AgentService") && names.contains(&"hafleet.v1.OperatorService"),
        "{names:?}"
    );
}
