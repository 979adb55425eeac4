//! Whether the coordinator itself has a network: it must reach its references to be believed about others.
//!
//! A reference is reached when it answers a TCP connection, be it by accepting or by refusing it: either is a packet that came back.
//! ICMP would need a privilege, or a sysctl that hosts differ in. What drops TCP silently is no reference.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hafleet_fleet::{Input, Instant, fence::FenceInput};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::shared::Shared;

/// The shortest `fencing.windows.references` is three of it.
const EVERY: Duration = Duration::from_secs(5);
/// A reference is on the next switch, or not much farther.
const WITHIN: Duration = Duration::from_secs(2);

/// What the coordinator itself reached when it last asked, for people.
#[derive(Debug, Default)]
pub struct Reached(Mutex<Option<(Answers, Instant)>>);

/// Each reference, in their order, and whether it answered.
type Answers = Vec<(SocketAddr, bool)>;

impl Reached {
    /// Each reference, whether it answered, and when they were asked; `None` before that, and without references.
    pub fn last(&self) -> Option<(Answers, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, answers: Answers, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((answers, at));
    }
}

/// Tells the core every few seconds, until the coordinator ends. Without references nothing is told: then nothing is known.
pub async fn tell(shared: Arc<Shared>, references: Vec<SocketAddr>) {
    if references.is_empty() {
        return;
    }
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.closing() => return,
            _ = turn.tick() => {}
        }
        let asked = shared.clock.now();
        let answers = ask(&references).await;
        let (reachable, total) = (answers.iter().filter(|(_, answered)| *answered).count(), references.len());
        shared.references.note(answers, asked);
        let told = Input::Fence(FenceInput::References { reachable, total });
        if shared.fleet.tell(told, shared.clock.now()).await.is_err() {
            return;
        }
    }
}

/// Which of them answer, in their order.
async fn ask(references: &[SocketAddr]) -> Answers {
    let ask = |address: SocketAddr| async move { answers(address).await.then_some(address) };
    let mut asked: JoinSet<Option<SocketAddr>> = references.iter().copied().map(ask).collect();
    let mut reached = BTreeSet::new();
    while let Some(answered) = asked.join_next().await {
        // A task that panicked says nothing: its reference was not reached.
        reached.extend(answered.ok().flatten());
    }
    references.iter().map(|address| (*address, reached.contains(address))).collect()
}

async fn answers(address: SocketAddr) -> bool {
    match timeout(WITHIN, TcpStream::connect(address)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_accepts_and_who_refuses_is_there_and_who_is_nowhere_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        // The kernel connects to no broadcast address: nothing is sent.
        let nowhere: SocketAddr = "255.255.255.255:443".parse().unwrap();
        assert_eq!(ask(&[nowhere, open, closed]).await, [(nowhere, false), (open, true), (closed, true)]);
        assert_eq!(ask(&[]).await, []);
    }
}
