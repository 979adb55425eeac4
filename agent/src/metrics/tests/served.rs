//! The server, asked over loopback.

use std::{
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::*;

/// No answer takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server and how often it asked for the present.
fn serving() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(serve(listener, move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { sample() }
    }));
    (address, asked)
}

/// From an address of its own: hundreds of short connections take no port that another test comes back to.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the server closes").unwrap();
    answer
}

#[tokio::test]
async fn a_scrape() {
    let (address, _) = serving();
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: lb01\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, page(sample()).unwrap());

    let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: lb01\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn anything_else_is_refused() {
    let (address, asked) = serving();
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        ("GET /metrics/x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 405 Method Not Allowed\r\n",
        ),
        ("junk\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let answer = ask(address, request).await;
        assert!(answer.starts_with(expected), "{request:?}: {answer}");
    }
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024));
    let mut stream = connect(address).await;
    // It may close before it has read everything.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nobody was asked for any of it");
}

#[tokio::test]
async fn however_many_ask_the_engine_is_asked_a_bounded_number_of_times() {
    let (address, asked) = serving();
    let began = crate::clock::now();
    let scrapes = (0..200).map(|_| tokio::spawn(ask(address, "GET /metrics HTTP/1.0\r\n\r\n")));
    for scrape in scrapes.collect::<Vec<_>>() {
        assert!(scrape.await.unwrap().starts_with("HTTP/1.0 200 OK"));
    }
    let most = crate::clock::now().since(began).as_millis() / 100 + 1;
    assert!(u128::from(asked.load(Ordering::Relaxed)) <= most, "{asked:?} times, expected at most {most}");
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_out_for_long() {
    let (address, _) = serving();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(address).await;
        stream.write_all(b"GET /metr").await.unwrap();
        idle.push(stream);
    }
    // They are left after three times 2 s; the rest is for a busy machine.
    let scrape = ask(address, "GET /metrics HTTP/1.1\r\nHost: lb01\r\n\r\n");
    assert!(timeout(PATIENCE, scrape).await.unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).unwrap_err().to_string();
    assert!(
        error.contains(&format!("cannot serve metrics at {address} (`metrics` of agent.toml)")),
        "{error}"
    );
    assert!(error.contains("Address already in use"), "{error}");
}
