//! From journals into the store: once, in order, committed before it is acknowledged.

use hafleet_proto::v1::{self, VrrpState, agent_message::Message as FromAgent};

use crate::rig::{Blocker, FakeAgent, Rig, eventually};

fn flaps(agent: &mut FakeAgent, times: usize) {
    for _ in 0..times {
        agent.becomes(VrrpState::Master);
        agent.becomes(VrrpState::Backup);
    }
}

async fn assert_stored_once(rig: &Rig, agents: &[&FakeAgent]) {
    let stored = rig.transitions().await;
    for agent in agents {
        let seqs: Vec<u64> = stored.iter().filter(|row| row.node == agent.node).map(|row| row.seq).collect();
        let journalled: Vec<u64> = (1..=agent.events.len() as u64).collect();
        assert_eq!(seqs, journalled, "{}", agent.node);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_are_stored_once_across_reconnects_and_resends() {
    let mut rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    flaps(&mut agent, 150);
    let mut stream = agent.connect(&rig).await;
    agent.send_after(&stream, 0, 256).await;
    stream.acked(300).await;
    // The same again, as if the acknowledgements had been lost, and overlapping with what is new.
    agent.send_after(&stream, 0, 100).await;
    flaps(&mut agent, 5);
    agent.send_after(&stream, 290, 256).await;
    stream.acked(310).await;
    drop(stream);

    // While the coordinator is away things happen; when it is back they are there once, in order.
    rig.stop().await;
    flaps(&mut agent, 7);
    rig.serve().await;
    let mut stream = agent.connect(&rig).await;
    assert_eq!(stream.welcome.acked_seq, 310);
    agent.send_after(&stream, 305, 4).await;
    stream.acked(324).await;
    assert_stored_once(&rig, &[&agent]).await;
    let node = rig.fleet().await.nodes.remove(0);
    assert_eq!((node.acked_seq, node.journal_id), (324, agent.journal_id.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_streams_at_once_do_not_meet() {
    let rig = Rig::start().await;
    let (mut one, mut two) = (rig.enrol("lb01").await, rig.enrol("lb02").await);
    flaps(&mut one, 200);
    flaps(&mut two, 200);
    let (mut first, mut second) = (one.connect(&rig).await, two.connect(&rig).await);
    tokio::join!(one.send_after(&first, 0, 16), two.send_after(&second, 0, 16));
    tokio::join!(first.acked(400), second.acked(400));
    assert_stored_once(&rig, &[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_refused_and_a_forgotten_beginning_is_recorded() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    flaps(&mut agent, 10);
    let mut stream = agent.connect(&rig).await;
    agent.send_after(&stream, 4, 256).await;
    let refusal = stream.refusal().await;
    assert_eq!(refusal.reason, "protocol");
    assert!(refusal.detail.contains("expected sequence 1, got 5"), "{refusal:?}");
    rig.refused("session", &["node/lb01", "protocol", "expected sequence 1"]).await;

    let hello = v1::Hello { first_seq: 5, ..agent.hello() };
    let mut stream = agent.open(&rig, hello).await.unwrap();
    let welcome = stream.next().await;
    assert!(
        matches!(welcome, Some(v1::coordinator_message::Message::Welcome(v1::Welcome { acked_seq: 4, .. }))),
        "{welcome:?}"
    );
    agent.send_after(&stream, 4, 256).await;
    stream.acked(20).await;
    let gaps = rig.store().gaps(0, 10).await.unwrap().rows;
    assert_eq!((gaps[0].first_seq, gaps[0].last_seq), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_refused_with_its_field() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    flaps(&mut agent, 2);
    let Some(v1::event::Event::Transition(transition)) = &mut agent.events[1].event else { panic!() };
    transition.vrid = 300;
    let mut stream = agent.connect(&rig).await;
    agent.send_after(&stream, 0, 256).await;
    let refusal = stream.refusal().await;
    assert_eq!(refusal.reason, "protocol");
    assert!(
        refusal.detail.contains("`journal.events[1].transition.vrid`") && refusal.detail.contains("300"),
        "{refusal:?}"
    );
    assert!(rig.transitions().await.is_empty(), "nothing of a batch that is wrong is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_waited_for_and_seen() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    flaps(&mut agent, 1);
    let mut stream = agent.connect(&rig).await;
    let blocker = Blocker::start(&rig).await;
    agent.send_after(&stream, 0, 256).await;
    eventually("a coordinator that knows it is not well", async || {
        (!rig.running().shared().health.is_well()).then_some(())
    })
    .await;
    assert!(rig.transitions().await.is_empty());
    blocker.stop().await;
    stream.acked(2).await;
    eventually("a coordinator that is well again", async || {
        rig.running().shared().health.is_well().then_some(())
    })
    .await;
    assert_stored_once(&rig, &[&agent]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_a_transition_as_it_is_committed() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    let mut watch = rig.operator().await.watch(v1::WatchRequest {}).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(first, v1::watch_event::Event::Fleet(_)), "{first:?}");
    let stream = agent.connect(&rig).await;
    agent.becomes(VrrpState::Backup);
    agent.send_after(&stream, 0, 256).await;
    stream.send(FromAgent::Snapshot(agent.snapshot())).await;
    loop {
        let event = watch.message().await.unwrap().unwrap().event.unwrap();
        if let v1::watch_event::Event::Transition(transition) = event {
            assert_eq!((transition.node.as_str(), transition.seq), ("lb01", 1));
            assert_eq!(transition.to(), VrrpState::Backup);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_will_never_take_is_refused_and_not_tried_for_ever() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    agent.becomes(VrrpState::Master);
    rig.execute(
        "CREATE TRIGGER no_event BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'it does not fit'); END",
    )
    .await;
    let mut stream = agent.connect(&rig).await;
    agent.send_after(&stream, 0, 256).await;
    let refusal = stream.refusal().await;
    assert_eq!(refusal.reason, "protocol");
    assert!(refusal.detail.contains("`journal.events`") && refusal.detail.contains("fit"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_index_holds_is_refused_with_its_field() {
    let rig = Rig::start().await;
    let agent = rig.enrol("lb01").await;
    let mut longest = agent.snapshot();
    longest.instances[0].instance = "x".repeat(256);
    let mut stream = agent.connect(&rig).await;
    stream.send(FromAgent::Snapshot(longest)).await;
    let refusal = stream.refusal().await;
    assert!(refusal.detail.contains("`snapshot.instances[0].instance`: 256 bytes"), "{refusal:?}");
}
