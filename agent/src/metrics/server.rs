//! The little HTTP server of `/metrics`.
//!
//! Whoever asks, however often and however slowly: a bounded number of connections, each with a bounded time, and the engine is
//! asked at most once in [`PAGE_EVERY`].

use std::{
    convert::Infallible,
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

use crate::{clock, present::Present};

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8;
/// How long a client may take for the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take altogether.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
/// What one connection may have unread.
const BUFFER_LEN_MAX: usize = 16 * 1024;
/// After `accept` failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A page serves everybody who asks within this.
const PAGE_EVERY: Duration = Duration::from_millis(100);

/// The address of `metrics` cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve metrics at {address} (`metrics` of agent.toml): {source}; name an address and port that are free on this \
     host, or leave the key out"
)]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// The kernel's words.
    pub source: io::Error,
}

/// Opens the address.
///
/// # Errors
/// When it is not of this host, or taken.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        // With SO_REUSEADDR: connections of the agent before this one may linger.
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|source| BindError { address, source })
}

/// Serves pages for ever.
pub async fn serve<F>(listener: TcpListener, present: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = Present> + Send,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "metrics are not served"),
    };
    let pages = Arc::new(Pages { present, last: Mutex::default() });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Arc::clone(&pages);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(&pages, request));
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD_WITHIN)
                        .max_buf_size(BUFFER_LEN_MAX)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that went away, or too slow, has no use for the rest.
                    let _ = timeout(CONNECTION_WITHIN, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept on the metrics address");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes pages, one for everybody who asks at about the same time.
struct Pages<P> {
    present: P,
    last: Mutex<Option<(hafleet_vrrp::Instant, Bytes)>>,
}

impl<P, F> Pages<P>
where
    P: Fn() -> F,
    F: Future<Output = Present> + Send,
{
    async fn page(&self) -> Result<Bytes, fmt::Error> {
        let mut last = self.last.lock().await;
        if let Some((at, page)) = &*last
            && clock::now().since(*at) < PAGE_EVERY
        {
            return Ok(page.clone());
        }
        let page = Bytes::from(super::page((self.present)().await)?);
        *last = Some((clock::now(), page.clone()));
        Ok(page)
    }
}

async fn answer<P, F>(
    pages: &Pages<P>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    P: Fn() -> F,
    F: Future<Output = Present> + Send,
{
    Ok(match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => match pages.page().await {
            Ok(page) => response(StatusCode::OK, prometheus_text::CONTENT_TYPE, page),
            Err(error) => {
                tracing::warn!(%error, "the metrics cannot be written as text");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written as text\n")
            }
        },
        ("/metrics", _) => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        _ => plain(StatusCode::NOT_FOUND, "the metrics of the agent are at /metrics\n"),
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
