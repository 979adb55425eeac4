//! The accept loop.
//!
//! One task accepts; each connection's handshake is a task of its own, so that a peer that stalls holds up nobody.
//! Finished connections go through a bounded channel to the gRPC server. Everything is cancel-safe: dropping a task
//! closes its socket.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{
    identity::certificate::{self, ClientCertificate},
    tls::{
        Reason, RefusedHandshakes,
        under_way::{Full, Place, UnderWay},
    },
};

/// Connections with a client certificate at once.
const CERTIFIED_MAX: usize = 4096;
/// Connections without one at once: strangers and joining agents cannot keep the fleet out.
const ANONYMOUS_MAX: usize = 128;
/// How long a connection without a certificate may last; to enrol takes a second.
const ANONYMOUS_LIFETIME: Duration = Duration::from_secs(60);
/// Bytes that a connection without a certificate may send; to enrol takes some two thousand.
const ANONYMOUS_BYTES_MAX: usize = 64 << 10;
/// Connections that the gRPC server has not taken yet.
const READY_MAX: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to say anything; an honest one begins at once.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(3);
/// After an error of `accept` (usually: out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Connections whose handshake has succeeded.
pub type Incoming = ReceiverStream<Result<Connection, io::Error>>;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// Its certificate; without one only `Enroll` is served, and what is called with a good token.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Of a connection without a certificate. The connection owns it: a call that outlives it keeps no place taken.
    standing: Weak<Standing>,
}

impl Peer {
    /// Somebody on this connection has shown a good token: from now on it counts among those with a certificate and is not
    /// cut any more. Where there is no place among them it stays what it is.
    pub fn vouch(&self) {
        if let Some(standing) = self.standing.upgrade() {
            standing.vouch();
        }
    }
}

/// Whether a connection without a certificate is a stranger's.
#[derive(Debug)]
struct Standing {
    vouched: AtomicBool,
    certified: Arc<Semaphore>,
    /// Held while the connection lives.
    place: Mutex<OwnedSemaphorePermit>,
}

impl Standing {
    fn vouch(&self) {
        if self.is_vouched() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.certified).try_acquire_owned() {
            // The stranger's place is free again.
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = permit;
            self.vouched.store(true, Ordering::Release);
        }
    }

    fn is_vouched(&self) -> bool {
        self.vouched.load(Ordering::Acquire)
    }
}

/// One accepted TLS connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// What a stranger's connection may yet do.
    allowance: Option<Allowance>,
    /// Held while the connection lives.
    _place: Held,
}

/// A connection's place among those of its kind.
enum Held {
    Certified(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit),
    Anonymous(#[expect(dead_code, reason = "it is held, not read")] Arc<Standing>),
}

/// What a connection without a certificate may yet do before it is cut.
struct Allowance {
    until: Pin<Box<Sleep>>,
    bytes: usize,
    refused: Arc<RefusedHandshakes>,
    standing: Arc<Standing>,
}

impl Allowance {
    fn new(refused: &Arc<RefusedHandshakes>, standing: &Arc<Standing>) -> Self {
        Self {
            until: Box::pin(tokio::time::sleep(ANONYMOUS_LIFETIME)),
            bytes: ANONYMOUS_BYTES_MAX,
            refused: Arc::clone(refused),
            standing: Arc::clone(standing),
        }
    }

    /// These bytes more.
    fn spend(&mut self, bytes: usize, peer: &Peer) -> io::Result<()> {
        if let Some(left) = self.bytes.checked_sub(bytes) {
            self.bytes = left;
            return Ok(());
        }
        let detail = format!("the bound is {ANONYMOUS_BYTES_MAX} bytes");
        self.refused.record(peer.address, Reason::TooMuch, &detail);
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, detail))
    }
}

/// How many of each kind there may be.
#[derive(Clone)]
struct Bounds {
    handshakes: UnderWay,
    certified: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
}

/// Starts accepting. It ends when the returned stream is dropped.
pub fn accept(listener: TcpListener, acceptor: TlsAcceptor, refused: Arc<RefusedHandshakes>) -> Incoming {
    let (ready, incoming) = mpsc::channel(READY_MAX);
    tokio::spawn(accept_loop(listener, acceptor, refused, ready));
    ReceiverStream::new(incoming)
}

async fn accept_loop(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    refused: Arc<RefusedHandshakes>,
    ready: mpsc::Sender<Result<Connection, io::Error>>,
) {
    let bounds = Bounds {
        handshakes: UnderWay::default(),
        certified: Arc::new(Semaphore::new(CERTIFIED_MAX)),
        anonymous: Arc::new(Semaphore::new(ANONYMOUS_MAX)),
    };
    loop {
        let accepted = tokio::select! {
            () = ready.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again in {ACCEPT_PAUSE:?}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = match bounds.handshakes.begin(address.ip(), Instant::now()) {
            Ok(place) => place,
            Err(Full(detail)) => {
                refused.record(address, Reason::TooMany, &detail);
                continue;
            }
        };
        let (acceptor, refused, ready) = (acceptor.clone(), Arc::clone(&refused), ready.clone());
        let bounds = bounds.clone();
        tokio::spawn(async move {
            let connection = tokio::select! {
                biased;
                connection = handshake(stream, address, acceptor, &refused, &bounds, &place) => connection,
                () = place.made_room() => {
                    refused.record(address, Reason::TooMany, "it stood still and made room for another handshake");
                    None
                }
            };
            drop(place);
            if let Some(connection) = connection {
                // An error means that the server is shutting down; the connection closes.
                let _ = ready.send(Ok(connection)).await;
            }
        });
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    refused: &Arc<RefusedHandshakes>,
    bounds: &Bounds,
    place: &Place,
) -> Option<Connection> {
    // Probes and heartbeats are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    if timeout(FIRST_BYTE_TIMEOUT, stream.readable()).await.is_err() {
        let detail = format!("nothing was said for {} s", FIRST_BYTE_TIMEOUT.as_secs());
        refused.record(address, Reason::TimedOut, &detail);
        return None;
    }
    place.spoke();
    let stream = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            refused.record(address, Reason::of(&error), &error.to_string());
            return None;
        }
        Err(_) => {
            refused.record(address, Reason::TimedOut, &format!("{} s", HANDSHAKE_TIMEOUT.as_secs()));
            return None;
        }
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = match leaf.map(certificate::parse).transpose() {
        Ok(certificate) => certificate.map(Arc::new),
        Err(error) => {
            refused.record(address, Reason::NamesNobody, &error.to_string());
            return None;
        }
    };
    let (kind, most) = match certificate {
        Some(_) => (&bounds.certified, CERTIFIED_MAX),
        None => (&bounds.anonymous, ANONYMOUS_MAX),
    };
    let Ok(permit) = Arc::clone(kind).try_acquire_owned() else {
        refused.record(address, Reason::TooMany, &format!("the bound for its kind is {most}"));
        return None;
    };
    if certificate.is_some() {
        let peer = Peer { address, certificate, standing: Weak::new() };
        return Some(Connection { stream, peer, allowance: None, _place: Held::Certified(permit) });
    }
    let standing = Arc::new(Standing {
        vouched: AtomicBool::new(false),
        certified: Arc::clone(&bounds.certified),
        place: Mutex::new(permit),
    });
    Some(Connection {
        stream,
        peer: Peer { address, certificate, standing: Arc::downgrade(&standing) },
        allowance: Some(Allowance::new(refused, &standing)),
        _place: Held::Anonymous(standing),
    })
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, peer, allowance, .. } = &mut *self;
        if allowance.as_ref().is_some_and(|allowance| allowance.standing.is_vouched()) {
            *allowance = None;
        }
        let Some(allowance) = allowance else { return Pin::new(stream).poll_read(cx, buf) };
        if allowance.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        Poll::Ready(allowance.spend(buf.filled().len().saturating_sub(before), peer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
