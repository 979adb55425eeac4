//! The connection to one coordinator: TCP, TLS 1.3, HTTP/2, each with a bound on its time and words for its failure.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::join::{CoordinatorAddress, Identity};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A server may also wait for us to speak first.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot look up {address}")]
    Lookup {
        /// The coordinator.
        address: CoordinatorAddress,
        /// The resolver's words.
        #[source]
        source: io::Error,
    },
    /// Nobody listens, or no route.
    #[error("cannot connect to {address}")]
    Tcp {
        /// The coordinator.
        address: CoordinatorAddress,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("no secure connection to {address}: {}", advice(.source))]
    Tls {
        /// The coordinator.
        address: CoordinatorAddress,
        /// What TLS says.
        #[source]
        source: rustls::Error,
    },
    /// The peer hung up in the middle of the handshake.
    #[error(
        "no secure connection to {address}: it hung up during the TLS handshake (is that a coordinator's gRPC port?)"
    )]
    HungUp {
        /// The coordinator.
        address: CoordinatorAddress,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// Some step took too long.
    #[error("{address} did not answer: {step} took longer than {} s", at_most.as_secs())]
    TimedOut {
        /// The coordinator.
        address: CoordinatorAddress,
        /// Which step.
        step: &'static str,
        /// Its bound.
        at_most: Duration,
    },
    /// HTTP/2 failed.
    #[error("{address} does not speak gRPC")]
    Http {
        /// The coordinator.
        address: CoordinatorAddress,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// How TLS is to be spoken as this node.
///
/// # Errors
/// When certificate, key or authority are not usable together.
pub fn client_config(identity: &Identity) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca.clone())?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
    Ok(Arc::new(with_alpn(config)))
}

/// The cryptography of the whole agent.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The protocol of gRPC.
pub fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A connection, and what TLS says when it breaks.
#[derive(Clone, Debug)]
pub struct Connection {
    /// For gRPC. It never reconnects by itself.
    pub channel: Channel,
    /// In TLS 1.3 a coordinator that refuses our certificate says so only after the handshake, when gRPC already reads.
    pub failure: Failure,
}

/// The first TLS failure of a connection.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<rustls::Error>>>);

impl Failure {
    /// What TLS said, as a connection error; `None` when TLS is not to blame.
    pub fn of(&self, address: &CoordinatorAddress) -> Option<ConnectError> {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(ConnectError::Tls { address: address.clone(), source })
    }

    fn note(&self, error: &io::Error) {
        if let Some(error) = tls_error(error) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

/// Connects to `address`.
///
/// # Errors
/// With the step that failed.
pub async fn connect(
    address: &CoordinatorAddress,
    config: Arc<ClientConfig>,
) -> Result<Connection, ConnectError> {
    let stream = connect_tcp(address).await?;
    // Heartbeats and probes are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    let name = ServerName::try_from(address.host().to_owned()).map_err(|_| ConnectError::Lookup {
        address: address.clone(),
        source: io::Error::from(io::ErrorKind::InvalidInput),
    })?;
    let handshake = timeout(HANDSHAKE_TIMEOUT, TlsConnector::from(config).connect(name, stream)).await;
    let broken = |source: io::Error| match tls_error(&source) {
        Some(error) => ConnectError::Tls { address: address.clone(), source: error.clone() },
        None => ConnectError::HungUp { address: address.clone(), source },
    };
    let mut stream =
        handshake.map_err(|_| timed_out(address, "the TLS handshake", HANDSHAKE_TIMEOUT))?.map_err(broken)?;
    // A coordinator speaks first in HTTP/2 (its settings) unless it refuses our certificate, which in TLS 1.3 it can only
    // say now. Whoever sends before listening may lose that word to the reset that follows it.
    match timeout(FIRST_WORD_TIMEOUT, stream.fill_buf()).await {
        Ok(Ok([])) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(source)) => return Err(broken(source)),
    }
    let failure = Failure::default();
    let mut stream = Some(TokioIo::new(Watched { stream, failure: failure.clone() }));
    // gRPC may ask for a second connection when the first breaks; whoever uses this one wants to know instead.
    let once = service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://coordinator").buffer_size(64);
    let connected = timeout(HANDSHAKE_TIMEOUT, endpoint.connect_with_connector(once)).await;
    match connected {
        Ok(Ok(channel)) => Ok(Connection { channel, failure }),
        Ok(Err(source)) => {
            Err(failure.of(address).unwrap_or(ConnectError::Http { address: address.clone(), source }))
        }
        Err(_) => Err(timed_out(address, "the HTTP/2 preface", HANDSHAKE_TIMEOUT)),
    }
}

async fn connect_tcp(address: &CoordinatorAddress) -> Result<TcpStream, ConnectError> {
    let lookup = tokio::net::lookup_host((address.host(), address.port()));
    let found: Vec<SocketAddr> = timeout(CONNECT_TIMEOUT, lookup)
        .await
        .map_err(|_| timed_out(address, "looking up the name", CONNECT_TIMEOUT))?
        .map_err(|source| ConnectError::Lookup { address: address.clone(), source })?
        .collect();
    let mut last = timed_out(address, "looking up the name", CONNECT_TIMEOUT);
    for to in found {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = ConnectError::Tcp { address: address.clone(), source },
            Err(_) => last = timed_out(address, "connecting", CONNECT_TIMEOUT),
        }
    }
    Err(last)
}

fn timed_out(address: &CoordinatorAddress, step: &'static str, at_most: Duration) -> ConnectError {
    ConnectError::TimedOut { address: address.clone(), step, at_most }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What a TLS failure means for the person who must mend it.
fn advice(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate was not signed by the CA that this node joined (another fleet's coordinator, or its CA \
                 was made anew; then join again with `ha-agent join`)"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired (renew it on the coordinator; if it should still be good, compare the clocks)"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet (compare this host's clock with the coordinator's)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is not for the name or address by which this node calls it (use a name that was given \
                 to `ha-coordinator init --name`)"
            }
            CertificateError::Other(_) => "it did not present the CA that the token names",
            _ => "its certificate is not acceptable",
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "it says that this node's certificate has expired (join again with `ha-agent join`; if it should still \
                 be good, compare the clocks)"
            }
            AlertDescription::CertificateRevoked => {
                "it says that this node's certificate was revoked (join again under another name)"
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => {
                "it does not know the CA that signed this node's certificate (another fleet's coordinator, or its CA was \
                 made anew; then join again with `ha-agent join`)"
            }
            AlertDescription::CertificateRequired => "it wants a certificate, and this node sent none",
            AlertDescription::ProtocolVersion => "it does not speak TLS 1.3",
            AlertDescription::NoApplicationProtocol => "it speaks TLS but not gRPC (is that the gRPC port?)",
            _ => "it refuses this node's TLS",
        },
        rustls::Error::NoApplicationProtocol => "it speaks TLS but not gRPC (is that the gRPC port?)",
        rustls::Error::InvalidMessage(_) => "what it answers is not TLS (is that the gRPC port?)",
        rustls::Error::PeerIncompatible(_) => "it does not speak TLS 1.3",
        _ => "TLS failed",
    }
}

/// A stream that remembers what TLS said when it broke.
struct Watched<S> {
    stream: S,
    failure: Failure,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.failure.note(error);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.failure.note(error);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
