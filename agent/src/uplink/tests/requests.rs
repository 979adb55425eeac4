//! Requests of a coordinator, and their answers.

use hafleet_proto::v1::{Order, Request, request::Request as What};

use super::*;
use crate::{orders, reference::ReferenceStatus};

fn request(id: &str) -> ToAgent {
    let withdraw = v1::Withdraw { order_id: "fence/1".to_owned() };
    ToAgent::Request(Request { id: id.to_owned(), request: Some(What::Withdraw(withdraw)) })
}

fn answer(id: &str) -> v1::Answer {
    v1::Answer { id: id.to_owned(), done: true, reason: String::new(), detail: String::new() }
}

/// The next answer; everything else is left out.
async fn answered(session: &mut FakeSession) -> v1::Answer {
    loop {
        if let FromAgent::Answer(answer) = session.hear().await {
            return answer;
        }
    }
}

async fn asked(agent: &mut Agent) -> (Request, tokio::sync::oneshot::Sender<v1::Answer>) {
    timeout(PATIENCE, agent.asked.recv()).await.expect("nothing is asked for").unwrap().into_parts()
}

#[tokio::test]
async fn requests_are_answered_once_and_in_their_order() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut agent = Agent::start(Some(&authority.identity("lb01", GOOD, &coordinator.address)));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    for id in ["1", "2", "3"] {
        session.say(request(id)).await;
    }
    for id in ["1", "2", "3"] {
        let (request, reply) = asked(&mut agent).await;
        assert_eq!(request.id, id);
        // What takes long holds up neither heartbeats nor snapshots.
        session.snapshot().await;
        reply.send(answer(id)).unwrap();
        assert_eq!(answered(&mut session).await, answer(id));
        agent.acting.send_modify(|status| status.orders_error = Some(id.to_owned()));
    }
}

/// A session that ends while something is done: it is done all the same, and asked for again.
#[tokio::test]
async fn a_request_outlives_its_session() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut agent = Agent::start(Some(&authority.identity("lb01", GOOD, &coordinator.address)));
    let session = coordinator.session().await;
    session.welcome(0).await;
    session.say(request("1")).await;
    let (_, reply) = asked(&mut agent).await;
    drop(session);
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    assert!(reply.send(answer("1")).is_err(), "nobody waits for it any more");
    session.say(request("1")).await;
    let (again, reply) = asked(&mut agent).await;
    assert_eq!(again.id, "1");
    reply.send(answer("1")).unwrap();
    assert_eq!(answered(&mut session).await, answer("1"));
}

#[tokio::test]
async fn a_coordinator_that_floods_is_left() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let mut agent = Agent::start(Some(&authority.identity("lb01", GOOD, &coordinator.address)));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    session.snapshot().await;
    for id in 0..40 {
        session.say(request(&id.to_string())).await;
    }
    let error = agent.last_error().await;
    assert!(error.contains("more than 32 requests that wait for their answers"), "{error}");

    // And nothing is asked for before Welcome.
    let session = coordinator.session().await;
    session.say(request("1")).await;
    let reached = |status: &Status| status.last_error.as_ref().is_some_and(|e| e.contains("before Welcome"));
    agent.until(reached).await;
}

#[tokio::test]
async fn what_stands_and_what_was_pushed_is_part_of_the_present() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let agent = Agent::start(Some(&authority.identity("lb01", GOOD, &coordinator.address)));
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    assert!(session.snapshot().await.orders.is_empty());
    let order = Order {
        id: "fence/1".to_owned(),
        order: Some(v1::order::Order::Demote(v1::Demote {})),
        ..Order::default()
    };
    let standing = orders::Order::try_from(order.clone()).unwrap();
    agent.references.send_modify(|references| {
        references.push(ReferenceStatus {
            address: "192.0.2.1".parse().unwrap(),
            interface: "ens33".to_owned(),
            reachable: true,
            asked: clock::now(),
            error: String::new(),
        });
    });
    agent.acting.send_modify(|status| {
        status.orders = vec![standing];
        status.push.pointer.staged = Some(crate::push::Generation { number: 7, hash: "0".repeat(64) });
    });
    // Told at once, not with the next heartbeat.
    let mut snapshot = session.snapshot().await;
    while snapshot.orders.is_empty() {
        snapshot = session.snapshot().await;
    }
    assert_eq!(snapshot.orders, [order]);
    assert_eq!(snapshot.pushed.unwrap().staged_generation, 7);
    let [reference] = &snapshot.references[..] else { panic!("{:?}", snapshot.references) };
    assert_eq!((reference.address.as_str(), reference.interface.as_str()), ("192.0.2.1", "ens33"));
    assert!(reference.reachable && reference.age_us < 60_000_000);
}
