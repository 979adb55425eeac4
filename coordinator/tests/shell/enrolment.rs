//! Tokens, first certificates, renewal.

use std::time::Duration;

use ha_coordinator::{
    clock::Clock,
    data_dir::{DataDir, SERVER_CERTIFICATE, SERVER_KEY},
    identity::{ca::ServerName, certificate, token::JoinToken},
    init,
    store::NewToken,
};
use hafleet_proto::v1::{self, agent_service_client::AgentServiceClient};
use tonic::Code;

use crate::rig::{Rig, eventually, key_and_request};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_and_is_seen() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut stream = agent.connect(&rig).await;
    assert_eq!(stream.welcome.acked_seq, 0);
    agent.beat(&stream).await;
    let ack = stream.next().await;
    assert!(matches!(ack, Some(v1::coordinator_message::Message::HeartbeatAck(_))), "{ack:?}");
    let fleet = rig.fleet().await;
    let node = &fleet.nodes[0];
    assert_eq!(
        (node.name.as_str(), node.site.as_str(), node.agent_version.as_str()),
        ("lb01", "dc1", "0.1.0")
    );
    assert!(node.ever_heard && node.peer.starts_with("127.0.0.1:"));
    assert_eq!(node.instances[0].instance, "VI_1");
    let week_us = 7 * 86_400 * 1_000_000;
    assert!((node.certificate_not_after_us - fleet.at_us - week_us).abs() < 60_000_000);

    rig.running().shared().roster.with(&hafleet_fleet::NodeName("lb01".into()), |entry| {
        // The first heartbeat came without an answered snapshot: there is no estimate, and none is made up.
        assert_eq!(entry.offset.estimate(0), None);
    });
    stream.send(v1::agent_message::Message::Snapshot(agent.snapshot())).await;
    eventually("an estimate of the clock", async || {
        let node = rig.fleet().await.nodes.remove(0);
        (node.clock_uncertainty_us < 10_000_000).then_some(node)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_for_one_name() {
    let rig = Rig::start().await;
    let token = rig.token("lb01").await;
    let parsed: JoinToken = token.parse().unwrap();

    let error = rig.try_enrol(&token, "lb02").await.err().unwrap();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("for the node lb01"), "{error}");

    let mut wrong = token.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == '0' { '1' } else { '0' });
    let error = rig.try_enrol(&wrong, "lb01").await.err().unwrap();
    assert!(error.message().contains("secret"), "{error}");

    let foreign = token.replace(&parsed.ca_fingerprint, &"0".repeat(64));
    let error = rig.try_enrol(&foreign, "lb01").await.err().unwrap();
    assert!(error.message().contains("another coordinator"), "{error}");

    let error = rig.try_enrol("hat1.nonsense", "lb01").await.err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);

    let unknown = token.replace(&parsed.id, "0123456789abcdef");
    let error = rig.try_enrol(&unknown, "lb01").await.err().unwrap();
    assert!(error.message().contains("not known"), "{error}");

    rig.try_enrol(&token, "lb01").await.unwrap();
    let error = rig.try_enrol(&token, "lb01").await.err().unwrap();
    assert!(error.message().contains("used already, by lb01"), "{error}");

    for reason in ["other_node", "wrong_secret", "foreign_ca", "bad_request", "unknown_token", "used_token"] {
        rig.refused("enroll", &[reason, "127.0.0.1"]).await;
    }
    let tokens =
        rig.operator().await.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    assert_eq!((tokens[0].used_by.as_str(), tokens[0].created_by.as_str()), ("lb01", "user/admin"));
    assert!(!format!("{:?} {tokens:?}", rig.audit().await).contains(token.rsplit('.').next().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused() {
    let rig = Rig::start().await;
    let token = JoinToken::generate(rig.ca().fingerprint()).unwrap();
    let new = NewToken {
        id: token.id.clone(),
        secret_hash: token.secret_hash(),
        node: None,
        created_by: "user/admin".into(),
        created_at_us: 1,
        expires_at_us: 2,
    };
    rig.store().create_token(&new).await.unwrap();
    let error = rig.try_enrol(&token.to_string(), "lb01").await.err().unwrap();
    assert!(error.message().contains("expired at 1970-01-01"), "{error}");
    rig.refused("enroll", &["expired_token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_anybody_takes_over_no_name() {
    let rig = Rig::start().await;
    let first = rig.token("").await;
    rig.try_enrol(&first, "lb01").await.unwrap();
    let second = rig.token("").await;
    let error = rig.try_enrol(&second, "lb01").await.err().unwrap();
    assert!(error.message().contains("hactl node token --node lb01"), "{error}");
    // What was refused was not spent; a second new name may have it.
    rig.try_enrol(&second, "lb02").await.unwrap();
    // A token for that very node may.
    let third = rig.token("lb01").await;
    rig.try_enrol(&third, "lb01").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hosts_that_join_as_one_name_at_once_one_gets_it() {
    let rig = Rig::start().await;
    for round in 0..5 {
        let name = format!("lb{round}");
        let (one, two) = (rig.token("").await, rig.token("").await);
        let (one, two) = tokio::join!(rig.try_enrol(&one, &name), rig.try_enrol(&two, &name));
        assert_eq!(u32::from(one.is_ok()) + u32::from(two.is_ok()), 1, "{name}");
        let error = one.err().or(two.err()).unwrap();
        assert!(error.message().contains("there is a node"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_request_costs_no_token() {
    let rig = Rig::start().await;
    let token = rig.token("lb01").await;
    let mut client = AgentServiceClient::new(rig.channel(None).await.unwrap());
    let request = |csr_der| v1::EnrollRequest {
        token: token.clone(),
        node: "lb01".into(),
        site: "dc1".into(),
        csr_der,
    };
    let error = client.enroll(request(vec![1, 2, 3])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    client.enroll(request(key_and_request().1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_renews_for_itself() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut client = AgentServiceClient::new(rig.channel(Some(&agent.credential)).await.unwrap());
    let (_, csr_der) = key_and_request();
    let renewed = client.renew(v1::RenewRequest { csr_der: csr_der.clone() }).await.unwrap().into_inner();
    let certificate = certificate::parse(&renewed.certificate_der.into()).unwrap();
    assert_eq!(certificate.identity.to_string(), "node/lb01");
    assert_eq!(certificate.not_after_us, renewed.not_after_us);

    // A loop gets no second one, and the audit log no second row.
    for _ in 0..3 {
        let again = client.renew(v1::RenewRequest { csr_der: csr_der.clone() }).await.unwrap_err();
        assert_eq!(again.code(), Code::ResourceExhausted);
        assert!(again.message().contains("once a minute; try again in"), "{again}");
    }
    assert_eq!(rig.audit().await.iter().filter(|row| row.action == "renew").count(), 1);
    // What came to nothing does not count.
    let other = rig.enrol("lb02").await;
    let mut client = AgentServiceClient::new(rig.channel(Some(&other.credential)).await.unwrap());
    let broken = client.renew(v1::RenewRequest { csr_der: vec![1] }).await.unwrap_err();
    assert_eq!(broken.code(), Code::InvalidArgument);
    client.renew(v1::RenewRequest { csr_der: csr_der.clone() }).await.unwrap();

    let mut stranger = AgentServiceClient::new(rig.channel(None).await.unwrap());
    let error = stranger.renew(v1::RenewRequest { csr_der }).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn init_overwrites_nothing_and_force_moves_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = init::Request {
        data_dir: dir.path().join("data"),
        names: vec![ServerName::parse("coord1").unwrap(), ServerName::parse("::1").unwrap()],
        port: 7443,
        database: None,
        force: false,
    };
    let first = init::init(&request).await.unwrap();
    let error = init::init(&request).await.unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    request.force = true;
    let second = init::init(&request).await.unwrap();
    assert_ne!(first.ca_fingerprint, second.ca_fingerprint);
    let aside = second.set_aside.unwrap();
    assert!(aside.join("ca.key").exists() && aside.join("coordinator.db").exists());
    let text = std::fs::read_to_string(&second.admin_context).unwrap();
    assert!(text.contains("coord1:7443") && text.contains("[::1]:7443"), "{text}");

    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&request.data_dir), 0o700);
    for entry in std::fs::read_dir(&request.data_dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_certificate_near_its_end_is_made_anew_at_start() {
    let mut rig = Rig::start().await;
    rig.stop().await;
    let dir = DataDir::at(&rig.config.data_dir);
    let old_us = Clock::start().wall_us() - Duration::from_secs(364 * 86_400).as_micros() as i64;
    let names = [ServerName::parse("127.0.0.1").unwrap(), ServerName::parse("coord1").unwrap()];
    let old = rig.ca().issue_server(&names, old_us).unwrap();
    dir.write(SERVER_CERTIFICATE, &old.certificate.pem).unwrap();
    dir.write(SERVER_KEY, &old.key_pem).unwrap();
    rig.serve().await;
    let new = certificate::parse_server(&dir.read(SERVER_CERTIFICATE).unwrap()).unwrap();
    assert_eq!(new.names, names);
    assert!(new.not_after_us > old.certificate.not_after_us);
    rig.fleet().await;
}
