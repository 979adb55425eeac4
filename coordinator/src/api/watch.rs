//! The live stream of one watcher.
//!
//! One task per watcher, between two bounded queues: the changes that all watchers share, and what this one has not
//! read. A watcher that is too slow for the first is told how many it missed and gets the whole fleet again; one that is
//! too slow for the second only slows its own task. It ends with the watcher, with their access, or with the coordinator.

use std::{sync::Arc, time::Duration};

use hafleet_proto::v1::{self, watch_event::Event};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    api::{
        caller::{self, Caller, Need},
        fleet,
    },
    shared::{Change, Shared},
};

/// Events that the watcher has not read.
const UNREAD_MAX: usize = 64;
/// Silence means that something is wrong, so there is none longer than this.
const TICK: Duration = Duration::from_secs(1);
/// How often the watcher's access is looked at again.
const CHECK_ACCESS_EVERY: Duration = Duration::from_secs(2);

/// Starts the task.
pub fn serve(shared: Arc<Shared>, caller: Arc<Caller>) -> ReceiverStream<Result<v1::WatchEvent, Status>> {
    let (events, unread) = mpsc::channel(UNREAD_MAX);
    tokio::spawn(async move {
        let closing = Arc::clone(&shared);
        let ended = tokio::select! {
            ended = watch(&shared, &caller, &events) => ended,
            () = events.closed() => return,
            () = closing.closing() => return,
        };
        if let Err(status) = ended {
            // An error means that the watcher is gone.
            let _ = events.send(Err(status)).await;
        }
    });
    ReceiverStream::new(unread)
}

async fn watch(
    shared: &Shared,
    caller: &Caller,
    events: &mpsc::Sender<Result<v1::WatchEvent, Status>>,
) -> Result<(), Status> {
    // Before the first picture, so that nothing falls between them.
    let mut changes = shared.changes.subscribe();
    let gone = |_| Status::cancelled("the watcher is gone");
    let send = async |event| events.send(Ok(v1::WatchEvent { event: Some(event) })).await.map_err(gone);
    send(Event::Fleet(fleet::fleet(shared).await?)).await?;
    let mut checked = Instant::now();
    loop {
        if checked.elapsed() >= CHECK_ACCESS_EVERY {
            caller::still(shared, caller, Need::Look, "watch").await?;
            checked = Instant::now();
        }
        let event = match timeout_at(Instant::now() + TICK, changes.recv()).await {
            Err(_) => Event::Tick(v1::Tick { at_us: shared.clock.now_us() }),
            Ok(Ok(Change::Transition(transition))) => Event::Transition(transition),
            Ok(Ok(Change::Finding(finding))) => Event::Finding(finding),
            Ok(Ok(Change::Fleet)) => Event::Fleet(fleet::fleet(shared).await?),
            Ok(Err(RecvError::Lagged(missed))) => {
                send(Event::Missed(missed)).await?;
                Event::Fleet(fleet::fleet(shared).await?)
            }
            Ok(Err(RecvError::Closed)) => return Ok(()),
        };
        send(event).await?;
    }
}
