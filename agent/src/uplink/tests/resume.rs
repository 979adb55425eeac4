//! The story is told once, in order, whatever happens to the coordinator.

use super::*;

/// What a coordinator has committed: the numbers in the journal's order.
#[derive(Default)]
struct Committed(Vec<u64>);

impl Committed {
    fn last_seq(&self) -> u64 {
        self.0.len() as u64
    }

    /// As the coordinator's store does: what is known is left alone, a hole is a failure.
    fn take<'a>(&mut self, events: impl IntoIterator<Item = &'a v1::Event>) {
        for event in events {
            let next = self.last_seq() + 1;
            assert!(seq_of(event) <= next, "a hole before {}", seq_of(event));
            assert!(seq_of(event) >= next, "{} was acknowledged and came again", seq_of(event));
            self.0.push(number_of(event));
        }
    }

    /// Takes in and acknowledges batches until `last_seq` is committed.
    async fn take_until(&mut self, session: &mut FakeSession, last_seq: u64) {
        while self.last_seq() < last_seq {
            let batch = session.batch().await;
            assert!(batch.len() <= 256);
            self.take(&batch);
            session.say(ToAgent::Ack(v1::Ack { seq: self.last_seq() })).await;
        }
    }
}

#[tokio::test]
async fn a_coordinator_that_dies_in_the_middle_of_a_batch_gets_every_event_once_in_order() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    agent.write(2000).await;
    let mut committed = Committed::default();

    let mut session = coordinator.session().await;
    let journal_id = session.hello.journal_id.clone();
    session.welcome(0).await;
    committed.take_until(&mut session, 256).await;
    // The next batch is committed in part and never acknowledged.
    let batch = session.batch().await;
    committed.take(&batch[..100]);
    let socket = coordinator.socket;
    drop((session, coordinator));
    agent.until(|status| status.failures > 0).await;
    agent.write(10).await;

    for round in 0..3 {
        let mut coordinator =
            FakeCoordinator::start_with(&authority, &authority, socket, Behaviour::default());
        let mut session = coordinator.session().await;
        assert_eq!(session.hello.journal_id, journal_id);
        session.welcome(committed.last_seq()).await;
        committed.take_until(&mut session, committed.last_seq() + 300).await;
        // Dies with an acknowledgement on its way, which may or may not arrive.
        drop(coordinator);
        agent.write(round).await;
    }

    let mut coordinator = FakeCoordinator::start_with(&authority, &authority, socket, Behaviour::default());
    let mut session = coordinator.session().await;
    session.welcome(committed.last_seq()).await;
    committed.take_until(&mut session, agent.written).await;
    assert_eq!(committed.0, (1..=agent.written).collect::<Vec<_>>());
    agent.until(|status| status.acked_seq == committed.last_seq()).await;
    let mut journal = agent.journal.status();
    let freed = timeout(PATIENCE, journal.wait_for(|journal| journal.pending() == 0)).await;
    freed.expect("the journal was not told").unwrap();
}

#[tokio::test]
async fn a_coordinator_that_does_not_acknowledge_gets_a_bounded_number_of_events() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    agent.write(3000).await;
    let mut session = coordinator.session().await;
    session.welcome(0).await;
    let (mut events, mut heartbeats) = (0, 0);
    while heartbeats < 3 {
        match session.hear_all().await.unwrap() {
            FromAgent::Journal(batch) => events += batch.events.len(),
            FromAgent::Heartbeat(_) => {
                heartbeats += 1;
                session.say(ToAgent::HeartbeatAck(v1::HeartbeatAck::default())).await;
            }
            _ => {}
        }
    }
    assert_eq!(events, 1024);
    session.say(ToAgent::Ack(v1::Ack { seq: 1024 })).await;
    assert_eq!(session.batch().await.first().map(seq_of), Some(1025));
}

#[tokio::test]
async fn a_coordinator_that_knows_more_than_the_journal_gets_a_new_one() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    let mut agent = Agent::start(Some(&identity));
    agent.write(5).await;
    let first = coordinator.session().await;
    // As after a disk was set back to an old state: sequences 6 to 9 exist already, with other events.
    first.welcome(9).await;
    let mut second = coordinator.session().await;
    assert_ne!(second.hello.journal_id, first.hello.journal_id);
    second.welcome(0).await;
    let told = second.batch().await;
    assert_eq!(seq_of(&told[0]), 1);
    let Some(Event::Lost(lost)) = &told[0].event else { panic!("{told:?}") };
    assert_eq!(lost.count, 5);
}

#[tokio::test]
async fn what_is_acknowledged_without_a_journal_frees_nothing_of_the_journal() {
    let authority = Authority::new();
    let mut coordinator = FakeCoordinator::start(&authority);
    let identity = authority.identity("lb01", GOOD, &coordinator.address);
    // Ten events that no coordinator has, on a disk that is away when the agent starts.
    let state_dir = tempfile::tempdir().unwrap();
    let (dir, away) = (state_dir.path().join("journal"), state_dir.path().join("away"));
    let (journal, thread) = Journal::start(&dir, Limits::default()).unwrap();
    (1..=10).for_each(|number| journal.append(numbered(number)));
    assert_eq!(journal.flush().await.unwrap(), 0);
    journal.close();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    std::fs::rename(&dir, &away).unwrap();
    std::fs::write(&dir, b"").unwrap();

    let agent = Agent::start_in(state_dir, Some(&identity), Vec::new());
    let mut session = coordinator.session().await;
    session.welcome(5).await;
    session.snapshot().await;
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&away, &dir).unwrap();
    // Wakes the journal's thread, which finds its disk again.
    session.say(ToAgent::Ack(v1::Ack { seq: 5 })).await;
    let mut status = agent.journal.status();
    let opened = timeout(PATIENCE, status.wait_for(|journal| journal.journal_id.is_some())).await;
    opened.expect("the journal was not opened").unwrap();
    let mut session = coordinator.session().await;
    assert_eq!(agent.journal.status().borrow().acked_seq, 0, "the stand-in's acknowledgement was taken");
    session.welcome(0).await;
    assert_eq!(session.batch().await.iter().map(number_of).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}
