//! What the shell itself knows of each node: its stream, its last words verbatim, its clock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hafleet_fleet::{Instant, NodeName, PROBES_MAX};
use hafleet_proto::v1;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::sessions::{offset::ClockOffset, witness::Witness};

/// Messages on their way to one agent: every probe that the core may have open, and the acknowledgements.
pub const OUTBOUND_MAX: usize = PROBES_MAX + 64;

/// How often nodes are asked on people's behalf.
const PEOPLES_PROBE_EVERY: Duration = Duration::from_secs(1);
/// The numbers of such probes begin here: the core counts microseconds of its clock, and gets here in 292,000 years.
const PEOPLES_PROBES: u64 = 1 << 63;

/// What goes to an agent.
pub type Outbound = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// Every node that is known.
#[derive(Debug)]
pub struct Roster {
    nodes: Mutex<BTreeMap<NodeName, Entry>>,
    next_session: AtomicU64,
    probes_not_sent: AtomicU64,
    probes_answered: watch::Sender<u64>,
    /// How many probes people wanted, and when the last was.
    peoples_probe: Mutex<Option<(u64, Instant)>>,
    /// How many streams were made welcome so far: it changes when there is a new way to a node.
    streams: watch::Sender<u64>,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            nodes: Mutex::default(),
            next_session: AtomicU64::new(0),
            probes_not_sent: AtomicU64::new(0),
            probes_answered: watch::Sender::new(0),
            peoples_probe: Mutex::default(),
            streams: watch::Sender::new(0),
        }
    }
}

/// One node.
#[derive(Debug, Default)]
pub struct Entry {
    /// Its layer-2 world.
    pub site: String,
    /// The version its agent last told.
    pub agent_version: String,
    /// Its present journal.
    pub journal_id: String,
    /// Last event committed from it.
    pub acked_seq: u64,
    /// Events its journal holds that are not committed.
    pub pending_events: u64,
    /// Its access was taken away.
    pub revoked: bool,
    /// When its present certificate ends.
    pub certificate_not_after_us: i64,
    /// What it last said.
    pub last: Option<LastWords>,
    /// Its clock.
    pub offset: ClockOffset,
    /// What its neighbours answered when it was told to ask them.
    pub witness: Witness,
    probes: VecDeque<(u64, Asked)>,
    /// Its stream, while there is one.
    pub live: Option<Live>,
}

/// When a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By the wall clock, which an agent's stamp is held against.
    pub wall_us: i64,
    /// By the clock that ages are told by.
    pub at: Instant,
}

/// A snapshot as it came.
#[derive(Clone, Debug)]
pub struct LastWords {
    /// The message.
    pub snapshot: v1::Snapshot,
    /// When it came; `None` when it was read back from the store.
    pub received: Option<Instant>,
}

/// A live stream.
#[derive(Debug)]
pub struct Live {
    session: SessionId,
    /// The address it comes from.
    pub peer: String,
    outbound: Outbound,
    /// It was sent Welcome, before which an agent hears nothing else.
    welcome: bool,
    end: watch::Sender<Option<End>>,
}

/// What became of a message that is to go once on every stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It went on this stream now.
    On(SessionId),
    /// It went on the present stream before.
    Before,
    /// The stream has no room.
    Full,
    /// There is no stream that is welcome.
    NoStream,
}

/// Names one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(u64);

/// Why a stream is ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The node has a newer stream, from this address.
    Replaced {
        /// Address and port.
        by: String,
    },
    /// The node was revoked.
    Revoked,
}

/// A registered stream's own view.
#[derive(Debug)]
pub struct Registration {
    /// Its name.
    pub id: SessionId,
    /// Becomes `Some` when it must end.
    pub end: watch::Receiver<Option<End>>,
    /// The address of the stream that it replaced.
    pub replaced: Option<String>,
}

impl Entry {
    /// The probe that is now answered: when it was sent.
    pub fn take_probe(&mut self, id: u64) -> Option<Asked> {
        let index = self.probes.iter().position(|(known, _)| *known == id)?;
        self.probes.remove(index).map(|(_, asked)| asked)
    }

    /// The probe was sent, and is not answered.
    pub fn awaits_probe(&self, id: u64) -> bool {
        self.probes.iter().any(|(known, _)| *known == id)
    }

    fn note_probe(&mut self, id: u64, asked: Asked) {
        if self.probes.len() == PROBES_MAX {
            self.probes.pop_front();
        }
        self.probes.push_back((id, asked));
    }
}

impl Roster {
    /// Makes this the node's only stream; an older one is told to end. `announce` is called before anybody else can
    /// register or deregister, so that the core hears of streams in the order in which they are.
    pub fn register(
        &self,
        node: &NodeName,
        peer: &str,
        outbound: Outbound,
        announce: impl FnOnce(),
    ) -> Registration {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let (end, ended) = watch::channel(None);
        let live = Live { session: id, peer: peer.to_owned(), outbound, welcome: false, end };
        let old = self.with(node, |entry| {
            announce();
            entry.live.replace(live)
        });
        let replaced = old.map(|old| {
            old.end.send_replace(Some(End::Replaced { by: peer.to_owned() }));
            old.peer
        });
        Registration { id, end: ended, replaced }
    }

    /// The stream has ended. `announce` is called if it was the node's present one.
    pub fn deregister(&self, node: &NodeName, id: SessionId, announce: impl FnOnce()) {
        self.with(node, |entry| {
            if entry.live.as_ref().is_some_and(|live| live.session == id) {
                entry.live = None;
                announce();
            }
        });
    }

    /// Tells a node's stream to end because the node is revoked.
    pub fn revoke(&self, node: &NodeName) {
        self.with(node, |entry| {
            entry.revoked = true;
            if let Some(live) = &entry.live {
                live.end.send_replace(Some(End::Revoked));
            }
        });
    }

    /// Sends a message to a node without waiting. False when it has no stream or reads too slowly.
    pub fn send(&self, node: &NodeName, message: v1::coordinator_message::Message) -> bool {
        let outbound = {
            let nodes = self.lock();
            nodes.get(node).and_then(|entry| entry.live.as_ref()).map(|live| live.outbound.clone())
        };
        let message = v1::CoordinatorMessage { message: Some(message) };
        let sent = outbound.is_some_and(|outbound| outbound.try_send(Ok(message)).is_ok());
        if !sent {
            self.probes_not_sent.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Sends a probe without waiting. False when it could not be sent: then no answer is awaited.
    pub fn probe(&self, node: &NodeName, request: v1::ProbeRequest, asked: Asked) -> bool {
        let id = request.id;
        self.with(node, |entry| entry.note_probe(id, asked));
        let sent = self.send(node, v1::coordinator_message::Message::Probe(request));
        if !sent {
            self.with(node, |entry| entry.take_probe(id));
        }
        sent
    }

    /// The number of a probe that a person wants, or `None` when there was one less than a second ago. The core's own numbers are
    /// below, and an answer to one of these is to the core a snapshot like any other.
    pub fn peoples_probe(&self, now: Instant) -> Option<u64> {
        let mut last = self.peoples_probe.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, at) = last.unwrap_or_default();
        if number > 0 && now < at + PEOPLES_PROBE_EVERY {
            return None;
        }
        *last = Some((number + 1, now));
        Some(PEOPLES_PROBES + number)
    }

    /// A probe was answered, and what it said is known.
    pub fn probe_answered(&self) {
        self.probes_answered.send_modify(|answered| *answered += 1);
    }

    /// Changes when a probe was answered.
    pub fn probes_answered(&self) -> watch::Receiver<u64> {
        self.probes_answered.subscribe()
    }

    /// A stream was sent Welcome: from now on requests may follow.
    pub fn welcomed(&self, node: &NodeName, id: SessionId) {
        self.with(node, |entry| {
            if let Some(live) = entry.live.as_mut().filter(|live| live.session == id) {
                live.welcome = true;
            }
        });
        self.streams.send_modify(|streams| *streams += 1);
    }

    /// Changes when there is a new way to a node.
    pub fn streams(&self) -> watch::Receiver<u64> {
        self.streams.subscribe()
    }

    /// Sends a message to a node without waiting, unless it went on the same stream already.
    pub fn tell_once(
        &self,
        node: &NodeName,
        before: Option<SessionId>,
        message: &v1::coordinator_message::Message,
    ) -> Told {
        let nodes = self.lock();
        let live = nodes.get(node).and_then(|entry| entry.live.as_ref()).filter(|live| live.welcome);
        match live {
            None => Told::NoStream,
            Some(live) if before == Some(live.session) => Told::Before,
            Some(live) => {
                let message = v1::CoordinatorMessage { message: Some(message.clone()) };
                match live.outbound.try_send(Ok(message)) {
                    Ok(()) => Told::On(live.session),
                    Err(mpsc::error::TrySendError::Full(_)) => Told::Full,
                    Err(mpsc::error::TrySendError::Closed(_)) => Told::NoStream,
                }
            }
        }
    }

    /// Messages that found no stream or a full one, since the start.
    pub fn not_sent(&self) -> u64 {
        self.probes_not_sent.load(Ordering::Relaxed)
    }

    /// Reads or changes one node's entry, which is made if there is none.
    pub fn with<T>(&self, node: &NodeName, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(self.lock().entry(node.clone()).or_default())
    }

    /// Reads every entry in the order of names.
    pub fn map<T>(&self, mut read: impl FnMut(&NodeName, &Entry) -> T) -> Vec<T> {
        self.lock().iter().map(|(node, entry)| read(node, entry)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Entry>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stream_wins_and_only_its_end_counts() {
        let roster = Roster::default();
        let node = NodeName("lb01".into());
        let old = roster.register(&node, "a:1", mpsc::channel(1).0, || ());
        let new = roster.register(&node, "b:2", mpsc::channel(1).0, || ());
        assert_eq!(old.replaced, None);
        assert_eq!(new.replaced.as_deref(), Some("a:1"));
        assert_eq!(*old.end.borrow(), Some(End::Replaced { by: "b:2".into() }));
        assert_eq!(*new.end.borrow(), None);
        let mut ends = 0;
        roster.deregister(&node, old.id, || ends += 1);
        assert_eq!(ends, 0);
        roster.deregister(&node, new.id, || ends += 1);
        assert_eq!(ends, 1);
    }

    #[test]
    fn people_have_nodes_asked_once_a_second() {
        let roster = Roster::default();
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        assert_eq!(roster.peoples_probe(at(5)), Some(PEOPLES_PROBES));
        assert_eq!(roster.peoples_probe(at(6)), None);
        assert_eq!(
            roster.peoples_probe(at(1004)),
            None,
            "a refusal counts for nothing, and nothing is forgotten"
        );
        assert_eq!(roster.peoples_probe(at(1005)), Some(PEOPLES_PROBES + 1));
    }

    #[test]
    fn a_full_stream_is_not_waited_for() {
        let roster = Roster::default();
        let node = NodeName("lb01".into());
        let (outbound, _kept) = mpsc::channel(1);
        let _registration = roster.register(&node, "a:1", outbound, || ());
        let ack = v1::coordinator_message::Message::Ack(v1::Ack { seq: 1 });
        assert!(roster.send(&node, ack.clone()));
        assert!(!roster.send(&node, ack));
        assert_eq!(roster.not_sent(), 1);
    }
}
