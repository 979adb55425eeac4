//! Requests: one at a time, in the order in which they came, each answered once.

use std::collections::VecDeque;

use futures_util::future::BoxFuture;
use hafleet_proto::v1;

use crate::run::ActClient;

/// Requests that may wait. A coordinator that sends more breaks the protocol.
pub(super) const WAITING_MAX: usize = 32;

/// The requests of one session. What is under way when the session ends is finished all the same, without an answer: it is
/// asked for again then, and found done.
#[derive(Default)]
pub(super) struct Requests {
    waiting: VecDeque<v1::Request>,
    running: Option<BoxFuture<'static, Option<v1::Answer>>>,
    /// What finds no room on the way out. No more than were asked for.
    answers: VecDeque<v1::Answer>,
}

impl Requests {
    /// Takes a request in; false when too many wait.
    #[must_use]
    pub fn ask(&mut self, request: v1::Request) -> bool {
        let room = self.waiting.len() + self.answers.len() < WAITING_MAX;
        if room {
            self.waiting.push_back(request);
        }
        room
    }

    /// Starts the next one if none runs.
    pub fn start(&mut self, acts: &ActClient) {
        if self.running.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            let acts = acts.clone();
            self.running = Some(Box::pin(async move { acts.ask(request).await }));
        }
    }

    /// Waits for the one that runs, and keeps its answer; waits for ever when none runs.
    pub async fn next(&mut self) {
        match &mut self.running {
            Some(running) => {
                let answer = running.await;
                self.running = None;
                // `None`: the agent ends.
                self.answers.extend(answer);
            }
            None => std::future::pending().await,
        }
    }

    /// Gives answers out for as long as they find room.
    pub fn send(&mut self, mut send: impl FnMut(v1::Answer) -> bool) {
        while let Some(answer) = self.answers.front() {
            if !send(answer.clone()) {
                return;
            }
            self.answers.pop_front();
        }
    }
}
