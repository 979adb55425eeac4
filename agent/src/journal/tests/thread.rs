//! The journal as the rest of the agent sees it.

use std::time::Duration;

use super::super::{Journal, Status, inbox::WAITING_MAX};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn until(journal: &Journal, reached: impl Fn(&Status) -> bool) -> Status {
    let mut status = journal.status();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(reached)).await;
    found.expect("the journal never got there").unwrap().clone()
}

#[tokio::test]
async fn events_are_durable_before_they_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, thread) = Journal::start(dir.path(), Limits::default()).unwrap();
    for number in 1..=1000 {
        journal.append(happening(number));
    }
    assert_eq!(journal.flush().await.unwrap(), 0);
    let status = until(&journal, |status| status.last_seq == 1000).await;
    assert_eq!((status.first_seq, status.acked_seq, status.pending(), status.waiting), (1, 0, 1000, 0));
    let events = journal.read(501, 256).await.unwrap();
    assert_eq!(events.len(), 256);
    assert_eq!(events[0].event, Some(happening(501).event));
    journal.acked(1000);
    assert_eq!(until(&journal, |status| status.acked_seq == 1000).await.pending(), 0);
    journal.close();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    assert!(journal.read(1, 1).await.is_err());
    assert_eq!(open(dir.path(), Limits::default()).acked_seq(), 1000);
}

#[tokio::test]
async fn a_disk_that_refuses_costs_bounded_memory_and_the_loss_is_told_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("journal");
    // A file where the directory should be.
    std::fs::write(&blocked, b"").unwrap();
    let (journal, thread) = Journal::start(&blocked, Limits::default()).unwrap();
    let too_many = WAITING_MAX as u64 + 50;
    for number in 1..=too_many {
        journal.append(happening(number));
    }
    assert_eq!(journal.flush().await.unwrap(), WAITING_MAX);
    let status = until(&journal, |status| status.overflowed == 50).await;
    assert_eq!((status.waiting, status.journal_id), (WAITING_MAX, None));
    assert!(status.failure.unwrap().contains("cannot create the directory"));

    std::fs::remove_file(&blocked).unwrap();
    journal.append(happening(too_many + 1));
    let status = until(&journal, |status| status.failure.is_none() && status.waiting == 0).await;
    let last = status.last_seq;
    assert_eq!(last, WAITING_MAX as u64 + 1);
    let tail = journal.read(last - 1, 2).await.unwrap();
    assert_eq!(tail[0].event, Some(happening(WAITING_MAX as u64).event));
    let Some(Event::Lost(lost)) = &tail[1].event else { panic!("{tail:?}") };
    // The one that came before there was room again is among them.
    assert_eq!((lost.count, lost.at.as_str()), (51, "journal"));
    journal.close();
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
