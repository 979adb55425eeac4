//! The way to the coordinators: in their order, over TLS 1.3 with the context's CA and certificate.
//!
//! A question goes to the coordinator that answered last, else to the first. One that cannot be reached, or does not
//! answer in its share of the time, is passed over; one that answers, even with a refusal, has answered.

mod error;
mod fault;
mod tls;
mod watched;

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use hafleet_proto::v1::{
    config_service_client::ConfigServiceClient, fence_service_client::FenceServiceClient,
    operator_service_client::OperatorServiceClient,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

pub use self::error::CallError;
use self::{
    error::Attempt,
    fault::{Fault, FaultCell},
    tls::Bearer,
    watched::Watched,
};
use crate::{address::Address, context::Context, context::ContextError};

/// A connection on which every call shows who asks.
type Authorised = InterceptedService<Channel, Bearer>;

/// What a verb asks by: the operators' service, and beside it that of the fleet's configuration and that of fencing.
pub struct Client {
    operators: OperatorServiceClient<Authorised>,
    configs: ConfigServiceClient<Authorised>,
    /// Fencing.
    pub fence: FenceServiceClient<Authorised>,
}

impl Client {
    fn new(channel: Channel, bearer: Bearer) -> Self {
        let operators = OperatorServiceClient::with_interceptor(channel.clone(), bearer.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        let configs = ConfigServiceClient::with_interceptor(channel.clone(), bearer.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        let fence =
            FenceServiceClient::with_interceptor(channel, bearer).max_decoding_message_size(MAX_ANSWER_BYTES);
        Self { operators, configs, fence }
    }

    /// `ConfigService`.
    pub fn configs(&mut self) -> &mut ConfigServiceClient<Authorised> {
        &mut self.configs
    }
}

impl Deref for Client {
    type Target = OperatorServiceClient<Authorised>;

    fn deref(&self) -> &Self::Target {
        &self.operators
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.operators
    }
}

/// The largest answer taken: a fleet of a thousand nodes with full tables is a tenth of it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// How long to wait for the first byte after the handshake. A TLS 1.3 server judges our certificate after our side
/// is done; waiting for its word before saying anything lets its reason arrive instead of a reset connection.
const FIRST_WORD: Duration = Duration::from_millis(300);

/// The coordinators of a context.
pub struct Coordinators {
    addresses: Vec<Address>,
    tls: TlsConnector,
    bearer: Bearer,
    timeout: Duration,
    /// Index into `addresses` and the open connection.
    current: Option<(usize, Connection)>,
}

struct Connection {
    client: Client,
    faults: FaultCell,
}

impl Coordinators {
    /// Ready to ask; nothing is opened yet.
    pub fn new(context: &Context, timeout: Duration) -> Result<Self, ContextError> {
        let (tls, bearer) = (tls::connector(context)?, Bearer::of(context)?);
        Ok(Self { addresses: context.coordinators.clone(), tls, bearer, timeout, current: None })
    }

    /// All of them, in order.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// Each of them alone, in order.
    pub fn one_by_one(&self) -> Vec<Self> {
        let alone = |address: &Address| Self {
            addresses: vec![address.clone()],
            tls: self.tls.clone(),
            bearer: self.bearer.clone(),
            timeout: self.timeout,
            current: None,
        };
        self.addresses.iter().map(alone).collect()
    }

    /// The one that answered last.
    pub fn current(&self) -> Option<&Address> {
        self.current.as_ref().and_then(|(index, _)| self.addresses.get(*index))
    }

    /// Ask one question. `attempted` completes "cannot …".
    pub async fn call<Q: Clone, A>(
        &mut self,
        attempted: &str,
        request: Q,
        ask: impl AsyncFn(&mut Client, Q) -> Result<Response<A>, Status>,
    ) -> Result<A, CallError> {
        let deadline = Instant::now() + self.timeout;
        let first = self.current.as_ref().map_or(0, |(index, _)| *index);
        let count = self.addresses.len();
        let mut attempts = Vec::new();
        for (tried, address) in self.addresses.clone().into_iter().enumerate().cycle().skip(first).take(count)
        {
            let left = u32::try_from(count - attempts.len()).unwrap_or(u32::MAX).max(1);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            let fault = match timeout(share, self.ask_one(tried, &address, request.clone(), &ask)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Attempt::Answered(status))) => {
                    return Err(CallError::Refused {
                        attempted: attempted.to_owned(),
                        coordinator: address,
                        code: status.code(),
                        message: status.message().to_owned(),
                    });
                }
                Ok(Err(Attempt::Failed(fault))) => fault,
                Err(_) => Fault::TimedOut(share),
            };
            self.current = None;
            attempts.push((address, fault));
        }
        Err(CallError::NoAnswer { attempted: attempted.to_owned(), attempts })
    }

    /// What broke the stream that `status` ended.
    pub fn stream_fault(&mut self, status: &Status) -> String {
        let fault = self.current.as_ref().and_then(|(_, connection)| connection.faults.take());
        fault.map_or_else(|| status.message().to_owned(), |fault| crate::failure::chain(&fault))
    }

    /// Open a new connection for the next question.
    pub fn forget_connection(&mut self) {
        self.current = None;
    }

    async fn ask_one<Q, A>(
        &mut self,
        index: usize,
        address: &Address,
        request: Q,
        ask: impl AsyncFn(&mut Client, Q) -> Result<Response<A>, Status>,
    ) -> Result<A, Attempt> {
        let connection = match self.current.take() {
            Some((open, connection)) if open == index => connection,
            Some(_) | None => {
                open(address, self.tls.clone(), self.bearer.clone()).await.map_err(Attempt::Failed)?
            }
        };
        let (_, connection) = self.current.insert((index, connection));
        match ask(&mut connection.client, request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(judge(status, &connection.faults)),
        }
    }
}

/// Did the coordinator say this, or did the connection break?
fn judge(status: Status, faults: &FaultCell) -> Attempt {
    if let Some(source) = std::error::Error::source(&status) {
        let fault = faults.take().unwrap_or_else(|| Fault::Broken(crate::failure::chain(source)));
        return Attempt::Failed(fault);
    }
    match (status.code(), faults.take()) {
        (Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled, Some(fault)) => {
            Attempt::Failed(fault)
        }
        (Code::Unavailable, None) => Attempt::Failed(Fault::Unavailable(status.message().to_owned())),
        (_, _) => Attempt::Answered(status),
    }
}

async fn open(address: &Address, tls: TlsConnector, bearer: Bearer) -> Result<Connection, Fault> {
    let faults = FaultCell::default();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(concat!("hactl/", env!("CARGO_PKG_VERSION"))))
        .map_err(|error| Fault::Broken(crate::failure::chain(&error)))?;
    let connector = {
        let faults = faults.clone();
        let address = address.clone();
        // One handshake per attempt: a channel that connects again by itself would be refused, and audited, twice.
        let mut once = Some(tls);
        tower::service_fn(move |_| {
            let (address, tls, faults) = (address.clone(), once.take(), faults.clone());
            async move {
                let Some(tls) = tls else {
                    return Err(std::io::Error::from(std::io::ErrorKind::NotConnected));
                };
                let stream = handshake(&address, tls).await;
                stream.map(|stream| TokioIo::new(Watched::new(stream, faults.clone()))).map_err(|fault| {
                    faults.put(fault);
                    // The cell says why; this only ends tonic's attempt.
                    std::io::Error::from(std::io::ErrorKind::NotConnected)
                })
            }
        })
    };
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => Ok(Connection { client: Client::new(channel, bearer), faults }),
        Err(error) => Err(faults.take().unwrap_or_else(|| Fault::Broken(crate::failure::chain(&error)))),
    }
}

async fn handshake(
    address: &Address,
    tls: TlsConnector,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    let host = address.host();
    let found = lookup_host((host.as_str(), address.port())).await;
    let mut last = None;
    for socket_address in found.map_err(|source| Fault::Unresolved { host: host.clone(), source })? {
        match TcpStream::connect(socket_address).await {
            Ok(stream) => {
                // Questions are small and waited for.
                stream.set_nodelay(true).map_err(Fault::Lost)?;
                let stream = tls
                    .connect(address.server_name().clone(), stream)
                    .await
                    .map_err(|e| Fault::of_io(e, address))?;
                let _ = timeout(FIRST_WORD, stream.get_ref().0.readable()).await;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => Fault::unreachable(error),
        None => Fault::Unresolved { host, source: std::io::ErrorKind::NotFound.into() },
    })
}
