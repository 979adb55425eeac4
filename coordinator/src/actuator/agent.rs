//! Asking agents to do something, and waiting for their word that it is done.
//!
//! A request is told on the node's stream and told again, under the same id, on every stream that replaces it, until its
//! answer or the end of the time that the asker has. An agent does what it was asked once. No answer means that nobody
//! knows: the asker must be able to live with either, and ask again later.
//!
//! Nothing runs by itself here: dropping the future of [`AgentActuator::ask`] forgets the question.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hafleet_fleet::NodeName;
use hafleet_proto::v1::{self, request::Request as What};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use crate::sessions::roster::{Roster, Told};

/// Questions that one node has not answered; more would be a coordinator that runs wild.
const OPEN_PER_NODE_MAX: usize = 16;
/// When the stream had no room it is tried again after this.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// The way to what agents do.
#[derive(Debug)]
pub struct AgentActuator {
    roster: Arc<Roster>,
    open: Mutex<BTreeMap<(NodeName, String), oneshot::Sender<v1::Answer>>>,
    stray: AtomicU64,
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It has no stream, and got none in time: it was not told.
    #[error("{node} is not connected; it was not told")]
    NotTold {
        /// Which.
        node: NodeName,
    },
    /// It was told, and said nothing. It may have done it.
    #[error("{node} did not answer within {} s", within.as_secs())]
    NoAnswer {
        /// Which.
        node: NodeName,
        /// How long that was.
        within: Duration,
    },
    /// It says no.
    #[error("{node} refuses ({reason}): {detail}")]
    Refused {
        /// Which.
        node: NodeName,
        /// Its code.
        reason: String,
        /// Its words.
        detail: String,
    },
    /// Too many questions are open, or the very same.
    #[error("{node} has {OPEN_PER_NODE_MAX} questions to answer, or this one already")]
    Busy {
        /// Which.
        node: NodeName,
    },
}

impl AskError {
    /// Whether the node may have done it, or may do it yet. An agent whose engine is silent keeps what it was told, and obeys it
    /// when the engine hears; one whose disk refuses does not know what the disk has.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { reason, .. } => matches!(reason.as_str(), "engine" | "disk"),
            Self::NotTold { .. } | Self::Busy { .. } => false,
        }
    }
}

impl AgentActuator {
    /// Over the streams of the roster.
    pub fn new(roster: Arc<Roster>) -> Self {
        Self { roster, open: Mutex::default(), stray: AtomicU64::new(0) }
    }

    /// Asks a node and waits until it is done. `id` is unique for what is asked of this node: the agent does nothing twice
    /// under one.
    ///
    /// # Errors
    /// It was not told, did not answer in time, or says no.
    pub async fn ask(&self, node: &NodeName, id: &str, what: What, within: Duration) -> Result<(), AskError> {
        self.ask_for_words(node, id, what, within).await.map(drop)
    }

    /// The same, with what the agent says of it.
    ///
    /// # Errors
    /// As of [`AgentActuator::ask`].
    pub async fn ask_for_words(
        &self,
        node: &NodeName,
        id: &str,
        what: What,
        within: Duration,
    ) -> Result<String, AskError> {
        let (answer, mut answered) = oneshot::channel();
        let _open = self.open_question(node, id, answer)?;
        let message =
            v1::coordinator_message::Message::Request(v1::Request { id: id.to_owned(), request: Some(what) });
        let deadline = Instant::now() + within;
        let mut streams = self.roster.streams();
        let mut told_on = None;
        let answer = loop {
            // Before the look, so that no stream falls between them.
            streams.borrow_and_update();
            let full = match self.roster.tell_once(node, told_on, &message) {
                Told::On(session) => {
                    told_on = Some(session);
                    false
                }
                Told::Before | Told::NoStream => false,
                Told::Full => true,
            };
            tokio::select! {
                answer = &mut answered => break answer.ok(),
                _ = streams.changed() => {}
                () = sleep(FULL_PAUSE), if full => {}
                () = sleep_until(deadline) => break None,
            }
        };
        match answer {
            Some(answer) if answer.done => Ok(answer.detail),
            Some(v1::Answer { reason, detail, .. }) => {
                Err(AskError::Refused { node: node.clone(), reason, detail })
            }
            None if told_on.is_some() => Err(AskError::NoAnswer { node: node.clone(), within }),
            None => Err(AskError::NotTold { node: node.clone() }),
        }
    }

    /// A node has answered. What nobody waits for any more is counted.
    pub fn answered(&self, node: &NodeName, answer: v1::Answer) {
        let asker = self.lock().remove(&(node.clone(), answer.id.clone()));
        let heard = asker.is_some_and(|asker| asker.send(answer).is_ok());
        if !heard {
            self.stray.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers that nobody waited for, since the start.
    pub fn stray(&self) -> u64 {
        self.stray.load(Ordering::Relaxed)
    }

    fn open_question(
        &self,
        node: &NodeName,
        id: &str,
        answer: oneshot::Sender<v1::Answer>,
    ) -> Result<Open<'_>, AskError> {
        let key = (node.clone(), id.to_owned());
        let mut open = self.lock();
        let of_node = open.keys().filter(|(known, _)| known == node).count();
        if of_node >= OPEN_PER_NODE_MAX || open.contains_key(&key) {
            return Err(AskError::Busy { node: node.clone() });
        }
        open.insert(key.clone(), answer);
        Ok(Open { actuator: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(NodeName, String), oneshot::Sender<v1::Answer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question whose asker still waits.
struct Open<'a> {
    actuator: &'a AgentActuator,
    key: (NodeName, String),
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.actuator.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use tokio::sync::mpsc;

    use super::*;
    use crate::sessions::roster::{Outbound, SessionId};

    type Told = mpsc::Receiver<Result<v1::CoordinatorMessage, tonic::Status>>;

    /// Of which some is waited out.
    const WITHIN: Duration = Duration::from_secs(1);

    fn node() -> NodeName {
        NodeName("lb01".into())
    }

    fn connect(roster: &Roster, capacity: usize) -> (SessionId, Told) {
        let (outbound, told): (Outbound, Told) = mpsc::channel(capacity);
        let registration = roster.register(&node(), "a:1", outbound, || ());
        roster.welcomed(&node(), registration.id);
        (registration.id, told)
    }

    fn what() -> What {
        What::Withdraw(v1::Withdraw { order_id: "maintenance/lb01/1".into() })
    }

    async fn request(told: &mut Told) -> String {
        match told.recv().await.unwrap().unwrap().message {
            Some(v1::coordinator_message::Message::Request(request)) => request.id,
            other => panic!("{other:?}"),
        }
    }

    fn answer(id: &str, done: bool) -> v1::Answer {
        v1::Answer { id: id.into(), done, reason: "disk".into(), detail: "full".into() }
    }

    #[tokio::test]
    async fn it_is_told_again_on_the_next_stream_and_answered_once() {
        let roster = Arc::new(Roster::default());
        let actuator = AgentActuator::new(Arc::clone(&roster));
        let (_, mut first) = connect(&roster, 4);
        let name = node();
        let asked = actuator.ask(&name, "1", what(), WITHIN);
        let agent = async {
            assert_eq!(request(&mut first).await, "1");
            let (_, mut second) = connect(&roster, 4);
            assert_eq!(request(&mut second).await, "1");
            actuator.answered(&name, answer("2", true));
            actuator.answered(&NodeName("lb02".into()), answer("1", true));
            actuator.answered(&name, answer("1", true));
            assert!(second.try_recv().is_err(), "it was told twice on one stream");
        };
        let (asked, ()) = tokio::join!(asked, agent);
        assert_eq!(asked, Ok(()));
        assert_eq!(actuator.stray(), 2);
    }

    #[tokio::test]
    async fn each_end_has_its_own_word() {
        let roster = Arc::new(Roster::default());
        let actuator = AgentActuator::new(Arc::clone(&roster));
        let name = node();
        let error = actuator.ask(&name, "1", what(), WITHIN).await;
        assert_eq!(error, Err(AskError::NotTold { node: node() }));
        // Not before it is welcome: an agent waits for that first.
        let (outbound, mut told): (Outbound, Told) = mpsc::channel(4);
        let registration = roster.register(&name, "a:1", outbound, || ());
        let error = actuator.ask(&name, "2", what(), WITHIN).await;
        assert_eq!(error, Err(AskError::NotTold { node: node() }));
        assert!(told.try_recv().is_err());
        roster.welcomed(&name, registration.id);
        let error = actuator.ask(&name, "3", what(), WITHIN).await;
        assert_eq!(error, Err(AskError::NoAnswer { node: node(), within: WITHIN }));
        let (refused, ()) = tokio::join!(actuator.ask(&name, "4", what(), WITHIN), async {
            tokio::task::yield_now().await;
            actuator.answered(&name, answer("4", false));
        });
        let expected = AskError::Refused { node: node(), reason: "disk".into(), detail: "full".into() };
        assert!(expected.may_be_done(), "who reads the disk again may find it there");
        assert_eq!(refused, Err(expected));
        actuator.answered(&name, answer("3", true));
        assert_eq!(actuator.stray(), 1, "too late");
    }

    #[tokio::test]
    async fn a_full_stream_is_tried_again_and_questions_are_bounded() {
        let roster = Arc::new(Roster::default());
        let actuator = AgentActuator::new(Arc::clone(&roster));
        let name = node();
        let (_, mut told) = connect(&roster, 1);
        assert!(roster.send(&name, v1::coordinator_message::Message::Ack(v1::Ack { seq: 1 })));
        let (asked, ()) = tokio::join!(actuator.ask(&name, "1", what(), WITHIN), async {
            tokio::task::yield_now().await;
            told.recv().await.unwrap().unwrap();
            assert_eq!(request(&mut told).await, "1");
            actuator.answered(&name, answer("1", true));
        });
        assert_eq!(asked, Ok(()));

        let ids: Vec<String> = (0..=OPEN_PER_NODE_MAX).map(|n| n.to_string()).collect();
        let mut open = Vec::new();
        for id in &ids[..OPEN_PER_NODE_MAX] {
            open.push(actuator.open_question(&name, id, oneshot::channel().0).unwrap());
        }
        let busy = AskError::Busy { node: node() };
        assert_eq!(actuator.open_question(&name, "more", oneshot::channel().0).err(), Some(busy.clone()));
        open.pop();
        assert_eq!(
            actuator.open_question(&name, "0", oneshot::channel().0).err(),
            Some(busy),
            "the same twice"
        );
        assert!(actuator.open_question(&name, "more", oneshot::channel().0).is_ok());
    }
}
