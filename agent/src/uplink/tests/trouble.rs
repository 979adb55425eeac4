//! What goes wrong is said in words a person can act on, and never ends the uplink.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn listening_on_nothing() -> CoordinatorAddress {
    // Bound and closed again: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

/// The error of an agent that meets this coordinator.
async fn error_with(servers: &Authority, nodes: &Authority, behaviour: Behaviour) -> String {
    let socket = "127.0.0.1:0".parse().unwrap();
    let coordinator = FakeCoordinator::start_with(servers, nodes, socket, behaviour);
    // The agent believes `servers` only if it is the authority that signed its own certificate.
    let identity = nodes.identity("lb01", GOOD, &coordinator.address);
    Agent::start(Some(&identity)).last_error().await
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let authority = Authority::new();
    let address = listening_on_nothing();
    let mut agent = Agent::start(Some(&authority.identity("lb01", GOOD, &address)));
    let error = agent.last_error().await;
    assert_says(&error, &[&format!("cannot connect to {address}"), "Connection refused"]);
    // It goes on trying, and says how often.
    agent.until(|status| status.failures >= 3).await;
}

#[tokio::test]
async fn the_next_coordinator_is_tried() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut identity = authority.identity("lb01", GOOD, &coordinator.address);
    identity.coordinators.insert(0, listening_on_nothing());
    let _agent = Agent::start(Some(&identity));
    coordinator.session().await;
}

#[tokio::test]
async fn the_coordinator_is_of_a_foreign_authority() {
    let error = error_with(&Authority::new(), &Authority::new(), Behaviour::default()).await;
    assert_says(
        &error,
        &["not signed by the CA that this node joined", "invalid peer certificate", "ha-agent join"],
    );
}

#[tokio::test]
async fn the_coordinator_does_not_know_the_authority_of_the_node() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let socket = "127.0.0.1:0".parse().unwrap();
    let coordinator = FakeCoordinator::start_with(&ours, &theirs, socket, Behaviour::default());
    let identity = ours.identity("lb01", GOOD, &coordinator.address);
    let error = Agent::start(Some(&identity)).last_error().await;
    assert_says(
        &error,
        &["does not know the CA that signed this node's certificate", "received fatal alert"],
    );
}

#[tokio::test]
async fn the_coordinators_certificate_is_for_another_name() {
    let authority = Authority::new();
    let behaviour = Behaviour { server_name: "coord1.example", ..Behaviour::default() };
    let error = error_with(&authority, &authority, behaviour).await;
    assert_says(&error, &["not for the name or address", "ha-coordinator init --name", "coord1.example"]);
}

#[tokio::test]
async fn the_coordinators_certificate_has_expired() {
    let authority = Authority::new();
    let behaviour = Behaviour { server_hours: (-9, -1), ..Behaviour::default() };
    let error = error_with(&authority, &authority, behaviour).await;
    assert_says(&error, &["its certificate has expired", "clocks"]);
    let behaviour = Behaviour { server_hours: (1, 9), ..Behaviour::default() };
    let error = error_with(&authority, &authority, behaviour).await;
    assert_says(&error, &["not valid yet", "clock"]);
}

#[tokio::test]
async fn the_nodes_own_certificate_has_expired() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut agent = Agent::start(Some(&authority.identity("lb01", (-9, -1), &coordinator.address)));
    let error = agent.last_error().await;
    let command = format!("ha-agent join --coordinator {} --name lb01 --token", coordinator.address);
    assert_says(&error, &["this node's certificate expired at 20", &command, "hactl node token --node lb01"]);
    assert!(
        coordinator.is_left_alone(Duration::from_millis(500)).await,
        "it connects with what it knows to be expired"
    );
    // Joined again, without a restart.
    authority.identity("lb01", GOOD, &coordinator.address).store(agent.state_dir.path()).unwrap();
    coordinator.session().await;
}

#[tokio::test]
async fn a_refusal_is_told_with_what_to_do() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    let session = coordinator.session().await;
    let refusal = v1::Refusal {
        reason: "identity_mismatch".to_owned(),
        detail: format!("the certificate is that of lb02\n\u{1b}[31m{}", "x".repeat(10_000)),
    };
    session.say(ToAgent::Refusal(refusal)).await;
    let error = agent.last_error().await;
    assert_says(
        &error,
        &["refuses this node: identity_mismatch: the certificate is that of lb02", "agent.toml"],
    );
    assert!(error.len() < 1000 && !error.contains(char::is_control), "{error:?}");
    // It comes back, but not at once: at least half of the longest wait.
    assert!(coordinator.is_left_alone(Duration::from_secs(2)).await);
    coordinator.session().await;
}

#[tokio::test]
async fn a_coordinator_that_falls_silent_is_left() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    // Hello is not answered.
    let _unanswered = coordinator.session().await;
    assert_says(&agent.last_error().await, &["no Welcome for 5 s"]);
    // Heartbeats are not answered.
    let session = coordinator.session().await;
    session.welcome(0).await;
    agent
        .until(|status| status.last_error.as_ref().is_some_and(|error| error.contains("no heartbeat answer")))
        .await;
    coordinator.session().await;
}

#[tokio::test]
async fn a_coordinator_that_breaks_the_protocol_frees_nothing() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    agent.write(10).await;
    let session = coordinator.session().await;
    session.welcome(0).await;
    session.say(ToAgent::Ack(v1::Ack { seq: u64::MAX })).await;
    assert_says(&agent.last_error().await, &["broke the protocol", "Ack of 18446744073709551615"]);
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    assert_eq!(session.batch().await.len(), 10);
    session.welcome(0).await;
    agent
        .until(|status| status.last_error.as_ref().is_some_and(|error| error.contains("second Welcome")))
        .await;
}

#[tokio::test]
async fn what_is_no_coordinator_is_named_as_such() {
    let authority = Authority::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: CoordinatorAddress = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = Agent::start(Some(&authority.identity("lb01", GOOD, &address))).last_error().await;
    assert_says(&error, &["what it answers is not TLS", "gRPC port"]);
}
