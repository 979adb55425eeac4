//! Whether the coordinator itself has a network: it must reach its references to be believed about others.
//!
//! A reference is reached when it answers a TCP connection, be it by accepting or by refusing it: either is a packet that came back.
//! ICMP would need a privilege, or a sysctl that hosts differ in. What drops TCP silently is no reference.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hafleet_fleet::{Input, fence::FenceInput};
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
        let (reachable, total) = (count(&references).await, references.len());
        let told = Input::Fence(FenceInput::References { reachable, total });
        if shared.fleet.tell(told, shared.clock.now()).await.is_err() {
            return;
        }
    }
}

/// How many of them answer.
async fn count(references: &[SocketAddr]) -> usize {
    let mut asked: JoinSet<bool> = references.iter().map(|address| answers(*address)).collect();
    let mut count = 0;
    while let Some(answered) = asked.join_next().await {
        count += usize::from(answered.unwrap_or(false));
    }
    count
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
        assert_eq!(count(&[open, closed, nowhere]).await, 2);
        assert_eq!(count(&[nowhere]).await, 0);
    }
}
