//! The thread that speaks rtnetlink.
//!
//! A netlink request is carried out inside the system call that sends it, under a lock of the kernel that any other
//! program may hold for long (a driver that loads firmware does). So the requests have a thread of their own and the
//! engine never waits for one: it sends [`Operation`]s and takes [`Event`]s, both over bounded queues, and what
//! was done to an address and what was seen afterwards come in that order.
//!
//! Truth about links comes from events as they happen; truth about addresses from a dump of the interface that an event
//! named, so that an old event can never pass for the present. Both are asked for anew every second: events are
//! a hint to look sooner, nothing depends on them. When the kernel's event queue overflowed, everything is asked for.

mod macvlans;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::{Arc, mpsc as blocking},
    thread,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, address::AddressMessage, link::LinkMessage};
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};
use tokio::{
    runtime, select,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

pub use self::macvlans::Interfaces;
use self::macvlans::Macvlans;
use super::{
    address::{Action, AddressSpec, ask, kernel_error},
    link::{Address, Interface},
    macvlan::Macvlan,
};

/// How many batches of operations may wait.
pub const OPERATION_QUEUE_LEN: usize = 1024;
/// How many events may wait for the engine; beyond that this thread waits and the kernel's own queue fills.
pub const EVENT_QUEUE_LEN: usize = 4096;
/// How often everything is asked for, whatever the events said.
pub const RECONCILE_INTERVAL: Duration = Duration::from_secs(1);

/// Requests under way at once: their answers must fit the socket's receive buffer.
const PIPELINED: usize = 64;
/// Batches of operations taken in at once.
const BATCHES_AT_ONCE: usize = 256;
/// Event datagrams read before the interfaces that they named are looked at.
const EVENTS_AT_ONCE: usize = 512;
const EVENT_BUFFER_LEN: usize = 32 * 1024;
const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;

/// One thing to do with one address.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Comes back in [`Event::Done`].
    pub ticket: u64,
    /// What to do.
    pub action: Action,
    /// With which address.
    pub spec: Arc<AddressSpec>,
    /// How long ago it was added.
    pub age: Duration,
}

/// What the kernel answered or is like.
#[derive(Debug)]
pub enum Event {
    /// An interface as it is now. Comes for every watched one at the start, at every change, and every second.
    Interface {
        /// The watched name.
        name: String,
        /// `None`: there is no such interface.
        state: Option<Interface>,
        /// Why it is not as it is wanted, if it is one that is made.
        fault: Option<String>,
    },
    /// An operation is done. On failure the kernel's words.
    Done {
        /// The operation's.
        ticket: u64,
        /// The operation's.
        action: Action,
        /// How it ended.
        result: Result<(), String>,
    },
}

/// The engine's ends of the thread. It ends when both are dropped.
#[derive(Debug)]
pub struct Netlink {
    /// Takes batches; each is carried out in order.
    pub operations: mpsc::Sender<Vec<Operation>>,
    /// Gives answers and truth, in order.
    pub events: mpsc::Receiver<Event>,
    /// Which interfaces are watched, and which are made. A new name is looked at at once, before operations that are sent
    /// afterwards; one that is gone is told of no more, and if it was made removed, after operations that were sent before.
    pub interfaces: watch::Sender<Interfaces>,
}

/// Why netlink cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No thread or no runtime.
    #[error("cannot start the netlink thread")]
    Thread(#[source] io::Error),
    /// No socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// No CAP_NET_ADMIN.
    #[error("the kernel refuses address changes: run as root or with CAP_NET_ADMIN")]
    Privilege(#[source] io::Error),
    /// A request that must work does not.
    #[error("cannot read interface {interface} from the kernel")]
    Interface {
        /// Which.
        interface: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The event socket failed for good.
    #[error("cannot read netlink events")]
    Events(#[source] io::Error),
    /// It ended before it began.
    #[error("the netlink thread ended while starting")]
    Gone,
}

/// Starts the thread. Returns when every interface that is watched was looked at once, and its [`Event`] is queued.
///
/// When the thread cannot go on, it says so in the log and the events end.
pub fn start(wanted: Interfaces) -> Result<Netlink, NetlinkError> {
    let (operations, operations_end) = mpsc::channel(OPERATION_QUEUE_LEN);
    let (events_end, events) = mpsc::channel(EVENT_QUEUE_LEN.max(2 * wanted.watched.len()));
    let (ready, is_ready) = blocking::sync_channel(1);
    let (interfaces, wanted_end) = watch::channel(wanted.clone());
    let body = move || {
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = ready.send(Err(NetlinkError::Thread(error)));
                return;
            }
        };
        runtime.block_on(async {
            let mut kernel = match Kernel::connect(wanted, events_end).await {
                Ok(kernel) => kernel,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            if let Err(error) = kernel.run(operations_end, wanted_end).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(error, "the netlink thread cannot go on");
            }
        });
    };
    thread::Builder::new().name("netlink".into()).spawn(body).map_err(NetlinkError::Thread)?;
    is_ready.recv().unwrap_or(Err(NetlinkError::Gone))?;
    Ok(Netlink { operations, events, interfaces })
}

/// The engine dropped its end of the events.
struct EngineGone;

struct Kernel {
    handle: Handle,
    socket: TokioSocket,
    wanted: Interfaces,
    macvlans: Macvlans,
    truth: BTreeMap<String, Interface>,
    /// Where each address was last put, by its interface's name then, address and prefix length: an interface that was renamed
    /// keeps its addresses. As many entries as addresses are configured.
    put_on: BTreeMap<(String, IpAddr, u8), u32>,
    events: mpsc::Sender<Event>,
}

impl Kernel {
    async fn connect(wanted: Interfaces, events: mpsc::Sender<Event>) -> Result<Self, NetlinkError> {
        let socket = event_socket().map_err(NetlinkError::Socket)?;
        let handle = request_handle().map_err(NetlinkError::Socket)?;
        may_change_addresses(&handle).await?;
        let mut kernel = Self {
            handle,
            socket,
            wanted,
            macvlans: Macvlans::default(),
            truth: BTreeMap::new(),
            put_on: BTreeMap::new(),
            events,
        };
        for interface in kernel.wanted.watched.clone() {
            kernel.look(&interface).await.map_err(|source| NetlinkError::Interface { interface, source })?;
        }
        Ok(kernel)
    }

    /// Cancel-safe where it selects: a batch or a datagram is either taken whole or left in its queue.
    async fn run(
        &mut self,
        mut operations: mpsc::Receiver<Vec<Operation>>,
        mut wanted: watch::Receiver<Interfaces>,
    ) -> Result<(), NetlinkError> {
        let mut tick = interval(RECONCILE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = Vec::with_capacity(EVENT_BUFFER_LEN);
        let mut batches = Vec::new();
        loop {
            buffer.clear();
            let outcome = select! {
                // What was asked for goes before what is seen: a takeover waits for it. And before an interface is taken away,
                // which takes the kernel much longer: an address that moves off it is not to wait for that.
                biased;
                count = operations.recv_many(&mut batches, BATCHES_AT_ONCE) => match count {
                    0 => return Ok(()),
                    _ => {
                        // A new interface is looked at, or made, before an address is put on it.
                        let new = wanted.has_changed().unwrap_or(false).then(|| wanted.borrow().clone());
                        let begun = match new {
                            Some(new) => self.begin(&new).await,
                            None => Ok(()),
                        };
                        begun.and(self.carry_out(batches.drain(..).flatten().collect()).await)
                    }
                },
                received = self.socket.recv_from(&mut buffer) => {
                    let changes = self.changes(received.map(drop), &mut buffer).map_err(NetlinkError::Events)?;
                    self.apply(changes).await
                }
                // An engine that is gone is seen by its operations.
                Ok(()) = wanted.changed() => {
                    let wanted = wanted.borrow_and_update().clone();
                    self.watch(wanted).await
                }
                _ = tick.tick() => self.apply(Changes::everything()).await,
            };
            if outcome.is_err() {
                return Ok(());
            }
        }
    }

    async fn carry_out(&mut self, operations: Vec<Operation>) -> Result<(), EngineGone> {
        let mut lost = false;
        let Self { handle, truth, put_on, events, .. } = self;
        let mut answers = stream::iter(operations)
            .map(|Operation { ticket, action, spec, age }| {
                let index = truth.get(&spec.interface).map(|interface| interface.index);
                let place = (spec.interface.clone(), spec.address, spec.prefix_len);
                let elsewhere = match action {
                    Action::Add => {
                        index.map(|index| put_on.insert(place, index));
                        None
                    }
                    Action::Renew => None,
                    // Also from where it was put if another interface, or none, has the name now.
                    Action::Delete => put_on.get(&place).copied().filter(|put_on| Some(*put_on) != index),
                };
                let elsewhere = elsewhere.map(|index| ask(handle, index, action, &spec, age));
                let answer = index.map(|index| ask(handle, index, action, &spec, age));
                async move {
                    let moved = match elsewhere {
                        Some(elsewhere) => elsewhere.await,
                        None => Ok(()),
                    };
                    let result = match (answer, action) {
                        (Some(answer), _) => answer.await,
                        (None, Action::Delete) => Ok(()),
                        (None, Action::Add | Action::Renew) => {
                            Err(io::Error::from_raw_os_error(libc::ENODEV))
                        }
                    };
                    (ticket, action, moved.and(result))
                }
            })
            .buffered(PIPELINED);
        while let Some((ticket, action, result)) = answers.next().await {
            lost |= matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
            let result = result.map_err(|error| error.to_string());
            events.send(Event::Done { ticket, action, result }).await.map_err(|_| EngineGone)?;
        }
        drop(answers);
        if lost {
            self.reconnect();
        }
        Ok(())
    }

    /// Reads `received`'s datagram in `buffer` and all that wait behind it.
    fn changes(&mut self, received: io::Result<()>, buffer: &mut Vec<u8>) -> io::Result<Changes> {
        let mut changes = Changes::default();
        let mut received = received;
        for _ in 0..EVENTS_AT_ONCE {
            match received {
                Ok(()) => changes.read(buffer),
                // Events were lost: look at everything instead.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changes.all = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            buffer.clear();
            received = self.socket.socket_ref().recv_from(buffer, libc::MSG_DONTWAIT).map(drop);
        }
        Ok(changes)
    }

    async fn apply(&mut self, changes: Changes) -> Result<(), EngineGone> {
        let mut look_at = changes.look_at;
        if changes.all {
            look_at.clone_from(&self.wanted.watched);
        }
        for change in changes.links {
            look_at.extend(self.link_changed(change).await?);
        }
        for (index, address) in changes.addresses {
            let owner = self.truth.values().find(|interface| interface.index == index);
            // A renewal changes nothing that is looked at.
            if let Some(interface) = owner
                && !address.is_some_and(|address| interface.addresses.contains(&address))
            {
                look_at.insert(interface.name.clone());
            }
        }
        // What could not be made without it.
        let waits = |(name, it): &(&String, &Macvlan)| {
            look_at.contains(&it.parent) && !self.truth.contains_key(*name)
        };
        let waiting: Vec<String> =
            self.wanted.macvlans.iter().filter(waits).map(|(name, _)| name.clone()).collect();
        look_at.extend(waiting);
        for name in look_at {
            if let Err(error) = self.look(&name).await {
                tracing::warn!(interface = name, %error, "cannot read the interface from the kernel");
                self.reconnect();
            }
        }
        if self.events.is_closed() { Err(EngineGone) } else { Ok(()) }
    }

    /// Takes a link event over at once; returns the names that need a closer look.
    async fn link_changed(&mut self, change: LinkChange) -> Result<Vec<String>, EngineGone> {
        match change {
            LinkChange::New(new) => {
                // Renamed away, or renamed and replaced.
                let mut look_at: Vec<String> = self
                    .truth
                    .values()
                    .filter(|known| known.index == new.index && known.name != new.name)
                    .map(|known| known.name.clone())
                    .collect();
                match self.truth.get_mut(&new.name) {
                    Some(known) if known.index == new.index => {
                        let addresses = std::mem::take(&mut known.addresses);
                        let changed = (known.admin_up, known.carrier, known.mac, known.forwards_v6)
                            != (new.admin_up, new.carrier, new.mac, new.forwards_v6);
                        *known = Interface { addresses, ..new };
                        let known = known.clone();
                        if changed && self.wanted.macvlans.contains_key(&known.name) {
                            look_at.push(known.name);
                        } else if changed {
                            self.tell(known.name.clone(), Some(known)).await?;
                        }
                    }
                    Some(_) | None if self.wanted.watched.contains(&new.name) => look_at.push(new.name),
                    Some(_) | None => {}
                }
                Ok(look_at)
            }
            LinkChange::Gone { index } => {
                let names: Vec<String> = self
                    .truth
                    .values()
                    .filter(|known| known.index == index)
                    .map(|known| known.name.clone())
                    .collect();
                let mut look_at = Vec::new();
                for name in names {
                    self.truth.remove(&name);
                    if self.wanted.macvlans.contains_key(&name) {
                        self.macvlans.forget(&name);
                        look_at.push(name);
                    } else {
                        self.tell(name, None).await?;
                    }
                }
                Ok(look_at)
            }
        }
    }

    /// Asks the kernel for one interface and its addresses, and tells the engine.
    async fn look(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.link(name).await?;
        if let Some(macvlan) = self.wanted.macvlans.get(name).cloned() {
            state = self.keep(name, &macvlan, state).await?;
        }
        if let Some(interface) = &mut state {
            interface.addresses = self.addresses(interface.index, AddressFamily::Inet).await?;
            interface.addresses.extend(self.addresses(interface.index, AddressFamily::Inet6).await?);
        }
        match &state {
            Some(interface) => self.truth.insert(name.to_owned(), interface.clone()),
            None => self.truth.remove(name),
        };
        // Whether the engine still listens is seen by whoever called.
        let _ = self.tell(name.to_owned(), state).await;
        Ok(())
    }

    /// An interface without its addresses.
    async fn link(&self, name: &str) -> io::Result<Option<Interface>> {
        let mut links = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match links.try_next().await.map_err(kernel_error) {
            Ok(message) => Ok(message.as_ref().and_then(Interface::from_message)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn addresses(&self, index: u32, family: AddressFamily) -> io::Result<Vec<Address>> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = family;
        request.message_mut().header.index = index;
        let messages: Vec<AddressMessage> = match request.execute().try_collect().await.map_err(kernel_error)
        {
            Ok(messages) => messages,
            // Deleted between the two questions; for IPv6 also: it is switched off there.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(messages
            .iter()
            .filter(|message| message.header.index == index && message.header.family == family)
            .filter_map(Address::from_message)
            .collect())
    }

    async fn tell(&self, name: String, state: Option<Interface>) -> Result<(), EngineGone> {
        let fault = self.macvlans.fault(&name).cloned();
        self.events.send(Event::Interface { name, state, fault }).await.map_err(|_| EngineGone)
    }

    fn reconnect(&mut self) {
        match request_handle() {
            Ok(handle) => self.handle = handle,
            Err(error) => {
                tracing::error!(%error, "cannot reopen the netlink socket; trying again in a second")
            }
        }
    }
}

/// What a run of event datagrams said.
#[derive(Default)]
struct Changes {
    all: bool,
    /// Interfaces that were named for another reason.
    look_at: BTreeSet<String>,
    links: Vec<LinkChange>,
    /// Index, and the address as it is now; `None`: it was removed.
    addresses: Vec<(u32, Option<Address>)>,
}

enum LinkChange {
    New(Interface),
    Gone { index: u32 },
}

impl Changes {
    fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    fn read(&mut self, datagram: &[u8]) {
        let mut rest = datagram;
        while !rest.is_empty() {
            let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) else {
                // Not understood: look at everything instead.
                self.all = true;
                return;
            };
            // Messages are aligned to four bytes.
            let len =
                usize::try_from(message.header.length).unwrap_or(usize::MAX).max(16).next_multiple_of(4);
            self.note(message.payload);
            rest = rest.get(len..).unwrap_or(&[]);
        }
    }

    fn note(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) {
        let NetlinkPayload::InnerMessage(message) = payload else {
            self.all = true;
            return;
        };
        // Foreign and growing: only what these groups carry is of interest.
        #[allow(clippy::wildcard_enum_match_arm)]
        match message {
            RouteNetlinkMessage::NewLink(link) if is_the_link_s_own(&link) => {
                self.links.extend(Interface::from_message(&link).map(LinkChange::New));
            }
            RouteNetlinkMessage::DelLink(link) if is_the_link_s_own(&link) => {
                self.links.push(LinkChange::Gone { index: link.header.index });
            }
            RouteNetlinkMessage::NewAddress(address) => {
                self.addresses.push((address.header.index, Address::from_message(&address)));
            }
            RouteNetlinkMessage::DelAddress(address) => self.addresses.push((address.header.index, None)),
            _ => {}
        }
    }
}

/// A bridge tells about its ports with link messages of its own family: a port that left is no interface that went.
fn is_the_link_s_own(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

fn request_handle() -> io::Result<Handle> {
    // Strict checking has the kernel filter address dumps by interface.
    let (connection, handle, _) = rtnetlink::new_connection_with_strict_check()?;
    tokio::spawn(connection);
    Ok(handle)
}

fn event_socket() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let mask = groups.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
    socket.socket_mut().bind(&SocketAddr::new(0, mask))?;
    socket.socket_ref().set_rx_buf_sz(RECEIVE_BUFFER_LEN)?;
    Ok(socket)
}

/// Asks for the removal of an address from no interface: the kernel looks at the privilege first.
async fn may_change_addresses(handle: &Handle) -> Result<(), NetlinkError> {
    match handle.address().del(AddressMessage::default()).execute().await.map_err(kernel_error) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            Err(NetlinkError::Privilege(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
