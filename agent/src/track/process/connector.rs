//! The socket that the kernel tells of processes by (`NETLINK_CONNECTOR`, `CN_IDX_PROC`).
//!
//! The kernel answers only in the first network namespace and the first process namespace, and before Linux 6.6 only to
//! `CAP_NET_ADMIN`. Elsewhere opening it fails, and the caller looks at `/proc` instead.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recvfrom, send, socket_with, sockopt,
    },
};
use tokio::{io::unix::AsyncFd, time::timeout};

use super::{
    events::{self, Event},
    readable,
};

/// Room for a burst of some ten thousand events.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;
/// The kernel answers at once, where it answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Events are taken from the socket so many datagrams at a time.
const DATAGRAMS_AT_ONCE: usize = 1024;

/// Tells of every process of this host.
#[derive(Debug)]
pub(super) struct Connector {
    socket: AsyncFd<OwnedFd>,
}

/// What came.
#[derive(Debug)]
pub(super) enum Told {
    /// These, in order.
    Events(Vec<Event>),
    /// More than fit: events are missing.
    Lost,
}

impl Connector {
    /// Opens it and waits for the kernel's answer.
    ///
    /// # Errors
    /// When there are no events for us.
    pub(super) async fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::CONNECTOR))?;
        // Without the right to more it is what the system allows.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_LEN)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_LEN));
        bind(&socket, &SocketAddrNetlink::new(0, events::INDEX))?;
        send(&socket, &events::request(true), SendFlags::empty())?;
        let mut connector = Self { socket: readable(socket)? };
        timeout(ANSWERS_WITHIN, connector.answer()).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer: another process namespace?")
        })??;
        Ok(connector)
    }

    /// Room for nearly nothing.
    #[cfg(test)]
    pub(super) fn make_small(&self) {
        sockopt::set_socket_recv_buffer_size(self.socket.get_ref(), 1).unwrap();
    }

    /// Any event is an answer too: they come.
    async fn answer(&mut self) -> io::Result<()> {
        loop {
            match self.told().await? {
                Told::Lost => return Ok(()),
                Told::Events(events) => match events.first() {
                    None => {}
                    Some(Event::Answer(error)) if *error != 0 => {
                        return Err(io::Error::from_raw_os_error(i32::try_from(*error).unwrap_or(libc::EIO)));
                    }
                    Some(_) => return Ok(()),
                },
            }
        }
    }

    /// Waits for events. Losing the future loses none.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(super) async fn told(&mut self) -> io::Result<Told> {
        let mut guard = self.socket.readable().await?;
        let mut events = Vec::new();
        for _ in 0..DATAGRAMS_AT_ONCE {
            match receive(self.socket.get_ref(), &mut events) {
                Ok(()) => {}
                Err(Errno::AGAIN) => {
                    guard.clear_ready();
                    break;
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => {
                    self.discard();
                    return Ok(Told::Lost);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Told::Events(events))
    }

    /// Throws away what is older than the loss; what comes from now on is newer.
    fn discard(&self) {
        let mut events = Vec::new();
        for _ in 0..8 * DATAGRAMS_AT_ONCE {
            events.clear();
            if receive(self.socket.get_ref(), &mut events) == Err(Errno::AGAIN) {
                return;
            }
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // Older kernels count listeners and do not see that one is gone.
        let _ = send(self.socket.get_ref(), &events::request(false), SendFlags::DONTWAIT);
    }
}

fn receive(socket: &OwnedFd, events: &mut Vec<Event>) -> Result<(), Errno> {
    let mut datagram = [0; 1024];
    let (_, length, sender) = recvfrom(socket, &mut datagram, RecvFlags::DONTWAIT)?;
    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
    // The kernel is 0; others may send to the group.
    if sender.is_some_and(|sender| sender.pid() == 0) {
        events.extend(events::read(datagram.get(..length).unwrap_or_default()));
    }
    Ok(())
}
